use proptest::prelude::*;

use super::*;
use crate::jose::algorithm::Algorithm;
use crate::jose::crypto::PreparedKey;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn secret() -> SealingSecret {
    SealingSecret::new([7; 32]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000_000 + seconds * 1000, Duration::ZERO)
}

fn set(issuer: &str, document: &str) -> SavedSet {
    SavedSet {
        issuer: IssuerId::new(issuer),
        source: "discovery".to_owned(),
        age: Duration::from_secs(60),
        document: document.to_owned().into(),
    }
}

fn document() -> Vec<u8> {
    SavedKeys::seal([set("https://id.example", KEYS), set("https://other.example", KEYS)], at(0), &secret())
}

fn take(issuer: &str, source: &str, now: i64) -> Option<Result<RestoredSet, RestoreError>> {
    SavedKeys::open(&document(), &secret()).unwrap().take(&IssuerId::new(issuer), source, at(now), DAY)
}

#[test]
fn what_was_saved_comes_back_older_by_the_time_that_has_passed() {
    for (passed, age) in [(0, 60), (3600, 3660), (-30, 60), (24 * 3600 - 60, 24 * 3600)] {
        let set = take("https://id.example", "discovery", passed).unwrap().unwrap();
        assert_eq!(set.age, Duration::from_secs(age), "{passed}");
        assert_eq!(&set.document[..], KEYS.as_bytes());
        assert_eq!(set.keys.keys()[0].kid(), Some("1"));
    }
}

#[test]
fn once_taken_over_they_age_by_whichever_clock_says_longer() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let taken = SavedKeys::open(&document(), &secret()).unwrap().taken(at(3600));
    // The wall clock was set back to when the document was written; the monotonic clock says how long it really was.
    for (passed, serves) in [(hours(22), true), (hours(24), false), (hours(48), false)] {
        let now = Timestamp::new(1_800_000_000_000, passed);
        let judged = taken.clone().take(&IssuerId::new("https://id.example"), "discovery", now, DAY).unwrap();
        assert_eq!(judged.is_ok(), serves, "{passed:?}");
        let left: Vec<_> = taken.left(now, DAY).map(|set| set.age).collect();
        assert_eq!(left, if serves { vec![hours(23) + Duration::from_secs(60); 2] } else { vec![] });
    }
}

#[test]
fn of_two_sets_of_one_issuer_the_first_counts_and_the_other_is_nobodys() {
    let set = |age: u64| SavedSet {
        issuer: IssuerId::new("i"),
        source: "discovery".to_owned(),
        age: Duration::from_secs(age),
        document: b"{}".as_slice().into(),
    };
    let document = SavedKeys::seal([set(1), set(2)], at(0), &secret());
    let mut saved = SavedKeys::open(&document, &secret()).unwrap();
    assert_eq!(saved.left(at(0), DAY).map(|set| set.age.as_secs()).collect::<Vec<_>>(), [1]);
    assert!(saved.remove("i") && !saved.remove("i") && !saved.has("i"));
}

#[test]
fn what_would_make_the_document_too_long_to_be_read_is_left_out() {
    let long = "x".repeat(30 * 1024 * 1024);
    let sets =
        [set("https://long.example", &long), set("https://longer.example", &long), set("https://id.example", KEYS)];
    let saved = SavedKeys::open(&SavedKeys::seal(sets, at(0), &secret()), &secret()).unwrap();
    assert!(saved.has("https://long.example") && saved.has("https://id.example"));
    assert!(!saved.has("https://longer.example"));
}

#[test]
fn keys_that_are_stale_foreign_or_of_no_known_age_do_not_serve() {
    let refused = |issuer: &str, source: &str, now| take(issuer, source, now).unwrap().err().unwrap();
    let id = "https://id.example";
    assert!(matches!(refused(id, "discovery", 24 * 3600 - 59), RestoreError::Stale { limit: DAY, .. }));
    assert!(matches!(refused(id, "https://id.example/jwks", 0), RestoreError::Foreign));
    assert!(matches!(refused(id, "discovery", -31), RestoreError::FromTheFuture { .. }));
    assert!(take("https://unknown.example", "discovery", 0).is_none());
    assert!(take("https://id.example/", "discovery", 0).is_none(), "byte for byte");
}

#[test]
fn a_set_without_a_usable_key_does_not_serve() {
    for keys in [r#"{"keys":[]}"#, "{}", "", "<html>", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        let document = SavedKeys::seal([set("i", keys)], at(0), &secret());
        let mut saved = SavedKeys::open(&document, &secret()).unwrap();
        let taken = saved.take(&IssuerId::new("i"), "discovery", at(0), DAY).unwrap();
        assert!(matches!(taken, Err(RestoreError::NoUsableKey)), "{keys}");
    }
}

#[test]
fn every_bit_is_sealed() {
    let document = SavedKeys::seal([set("https://id.example", r#"{"keys":[]}"#)], at(0), &secret());
    assert!(SavedKeys::open(&document, &secret()).is_ok());
    for place in 0..document.len() {
        for bit in 0..8 {
            let mut changed = document.clone();
            changed[place] ^= 1 << bit;
            assert!(SavedKeys::open(&changed, &secret()).is_err(), "bit {bit} of byte {place}");
        }
        assert!(SavedKeys::open(&document[..place], &secret()).is_err(), "cut at {place}");
    }
    for more in [&b"\n"[..], b" ", b"x"] {
        assert!(SavedKeys::open(&[&document, more].concat(), &secret()).is_err());
    }
}

#[test]
fn another_secret_opens_nothing_and_a_token_of_the_same_secret_is_no_seal() {
    let other = SealingSecret::new([8; 32]).unwrap();
    assert!(matches!(SavedKeys::open(&document(), &other), Err(RestoreError::NotSealed)));

    let text = String::from_utf8(document()).unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    let seal = base64url::decode(head.split_once(' ').unwrap().1.as_bytes()).unwrap();
    let of_tokens = PreparedKey::hmac(Algorithm::Hs256, &[7; 32]).unwrap();
    assert!(!of_tokens.verify(body.as_bytes(), &seal));
    assert!(!of_tokens.verify(text.as_bytes(), &seal));
}

#[test]
fn another_version_is_told_apart_and_a_long_document_is_not_read() {
    let text = String::from_utf8(document()).unwrap().replace("scopegate-keys-1", "scopegate-keys-2");
    assert!(matches!(SavedKeys::open(text.as_bytes(), &secret()), Err(RestoreError::OtherVersion)));
    let long = vec![b'a'; LONGEST + 1];
    assert!(matches!(SavedKeys::open(&long, &secret()), Err(RestoreError::TooLarge { limit: LONGEST })));
}

#[test]
fn a_secret_is_long_and_is_never_shown() {
    assert!(SealingSecret::new([7; 31]).is_err());
    assert!(SealingSecret::new([7; 32]).is_ok());
    assert_eq!(format!("{:?}", secret()), "SealingSecret(..)");
    let error = SealingSecret::new("a short secret").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("a short secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_read_again(
        sets in proptest::collection::vec((".{0,40}", ".{0,40}", 0_u64..1 << 40, ".{0,200}"), 0..6),
    ) {
        let sets: Vec<_> = sets
            .into_iter()
            .map(|(issuer, source, age, document)| SavedSet {
                issuer: IssuerId::new(&issuer),
                source,
                age: Duration::from_millis(age),
                document: document.into(),
            })
            .collect();
        let document = SavedKeys::seal(sets.clone(), at(5), &secret());
        let saved = SavedKeys::open(&document, &secret()).unwrap();
        // Of two of one issuer the first counts.
        let mut expected = BTreeMap::new();
        for set in sets {
            expected.entry(set.issuer.clone()).or_insert(set);
        }
        prop_assert_eq!(saved.sets, expected);
        prop_assert_eq!(saved.saved_at, at(5).unix_millis());
    }

    #[test]
    fn no_octets_are_too_strange_to_be_refused(octets: Vec<u8>) {
        prop_assert!(SavedKeys::open(&octets, &secret()).is_err());
        let head = [b"scopegate-keys-1 AAAA\n".as_slice(), &octets].concat();
        prop_assert!(SavedKeys::open(&head, &secret()).is_err());
    }
}

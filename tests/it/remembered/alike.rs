//! Tokens that look like one that is remembered, and requests that carry one in another way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};

use super::*;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What may stand in the place of this octet.
fn others(octet: u8) -> Vec<u8> {
    let next = ALPHABET.iter().position(|letter| *letter == octet).map(|place| ALPHABET[(place + 1) % 64]);
    let mut others = vec![octet ^ 1, octet ^ 0x20, octet ^ 0x80, b'.', b'=', b' ', 0];
    others.extend(next);
    others.retain(|other| *other != octet);
    others
}

#[test]
fn row_s01_no_octet_of_a_remembered_token_may_be_another() {
    for kid in [None, Some(())] {
        let world = World::new();
        // By a secretless signature of each length that is common: 64 octets and 256.
        let name = kid.map(|()| world.issuer.add_rsa(scopegate::Algorithm::Rs256, 2048));
        world.handle.install(published(&world.issuer));
        let token = name.iter().fold(world.token(), |token, name| token.key(name));
        let known = world.known(token).into_bytes();
        for at in 0..known.len() {
            for other in others(known[at]) {
                let mut changed = known.clone();
                changed[at] = other;
                assert!(world.api.check(&changed).is_err(), "S01 octet {at} as {other:#04x}");
            }
            let (before, after) = known.split_at(at);
            assert!(world.api.check(&[before, &after[1..]].concat()).is_err(), "S01 without octet {at}");
            assert!(world.api.check(&[before, b"A", after].concat()).is_err(), "S01 one more at {at}");
            assert!(world.api.check(before).is_err(), "S01 cut off at {at}");
            assert!(world.api.check(after).is_err() || at == 0, "S01 begun at {at}");
        }
        for after in ["A", ".", "=", " ", "\n", "\0", "é", ".A"] {
            let longer = [&known, after.as_bytes()].concat();
            assert!(world.api.check(&longer).is_err(), "S01 followed by {after:?}");
        }
        assert_eq!(world.api.check(&known), MEMORY);
    }
}

/// A token over this payload, well signed.
fn signed(world: &World, payload: &str) -> String {
    world.token().payload_json(payload).mint()
}

fn payload(subject: &str, note: &str) -> String {
    serde_json::json!({
        "note": note, "iss": A, "aud": API, "sub": subject, "client_id": "client-1", "scope": "read",
        "iat": NOW - 10, "exp": NOW + 300, "jti": "j-1",
    })
    .to_string()
}

fn resealed(token: &str, seal: &str) -> String {
    format!("{}.{seal}", token.rsplit_once('.').unwrap().0)
}

fn seal(token: &str) -> &str {
    token.rsplit_once('.').unwrap().1
}

fn subject(world: &World, token: &str) -> Option<String> {
    world.api.accepted(token).subject().map(str::to_owned)
}

/// How many characters two tokens have in common at their beginnings.
fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

#[test]
fn row_s02_a_token_that_begins_as_a_remembered_one_is_judged_for_itself() {
    for length in [20, 64, 255, 300] {
        let world = World::new();
        let user = signed(&world, &payload("user-1", &"x".repeat(300)));
        assert_eq!((world.api.check(&user), world.api.check(&user)), (SIGNATURE, MEMORY), "S02");
        // All after so many characters is the admin's.
        let header = user.split('.').next().unwrap().len();
        let admin = signed(&world, &payload("admin!", &format!("{}y{}", "x".repeat(100), "x".repeat(199))));
        let own = |token: &str| token[length.max(header + 1)..].to_owned();
        let forged = [
            resealed(&admin, seal(&user)),
            format!("{}{}", &user[..length.max(header + 1)], own(&resealed(&admin, seal(&user)))),
            format!("{}{}", &user[..length], &"A".repeat(user.len() - length)),
            user[..length].to_owned(),
        ];
        for token in &forged {
            assert!(shared(&user, token) >= length.min(100), "S02 {length}");
            assert!(world.api.check(token).is_err(), "S02 {length}: {token}");
        }
        assert_eq!(world.api.check(&admin), SIGNATURE, "S02 {length}");
        assert_eq!((subject(&world, &admin), subject(&world, &user)), (Some("admin!".into()), Some("user-1".into())));
    }
}

#[test]
fn row_s02_a_token_that_ends_as_a_remembered_one_is_judged_for_itself() {
    let world = World::new();
    let (user, admin) = (signed(&world, &payload("user-1", "")), signed(&world, &payload("admin!", "")));
    assert_eq!((world.api.check(&user), world.api.check(&user)), (SIGNATURE, MEMORY), "S02");
    assert_eq!(user.len(), admin.len(), "of one length, so that the hash is the same where the ends are");
    for length in [16, 43, 63, 64, 65, 85, seal(&user).len()] {
        let forged = format!("{}{}", &admin[..admin.len() - length], &user[user.len() - length..]);
        assert_eq!(forged.len(), user.len(), "S02");
        for _ in 0..2 {
            assert!(world.api.check(&forged).is_err(), "S02 the last {length}");
            assert_eq!(world.api.check(&user), MEMORY, "S02 the last {length}");
        }
    }
    assert_eq!((world.api.check(&admin), world.api.check(&admin)), (SIGNATURE, MEMORY), "S02 the twin");
    assert_eq!((subject(&world, &admin), subject(&world, &user)), (Some("admin!".into()), Some("user-1".into())));
    assert_eq!(world.api.check(&resealed(&user, seal(&admin))), Err(Reason::BadSignature), "S02 both are remembered");
}

#[test]
fn row_s02_another_header_over_a_remembered_payload_is_judged_for_itself() {
    let world = World::new();
    let known = world.known(world.token());
    let [header, payload, seal] = <[&str; 3]>::try_from(known.split('.').collect::<Vec<_>>()).unwrap();
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    for other in [
        text.replace("ES256", "none"),
        text.replace("ES256", "HS256"),
        text.replace("at+jwt", "JWT"),
        text.replace("es256-1", "es256-2"),
        text.replace('{', "{ "),
    ] {
        assert_ne!(other, text);
        let changed = URL_SAFE_NO_PAD.encode(&other);
        assert!(world.api.check(&format!("{changed}.{payload}.{seal}")).is_err(), "S02 {other}");
    }
    assert_eq!(world.api.check(&known), MEMORY);
}

/// A request, and what is read of it.
struct Carried {
    fields: Vec<String>,
    query: Option<String>,
    form: Option<String>,
}

fn fields<const N: usize>(fields: [String; N]) -> Carried {
    Carried { fields: fields.into(), query: None, form: None }
}

impl Carried {
    fn judge(&self, api: &Watched) -> Outcome {
        let mut headers = HeaderMap::new();
        for field in &self.fields {
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let presented = Credentials::from_headers(&headers).and_query(self.query.as_deref());
        let form = self.form.as_deref().unwrap_or_default().as_bytes();
        let presented = presented.and_form(&Method::POST, &headers, form);
        let owned = presented.clone().into_owned();
        let outcome = api.judge(&presented, &read());
        let again = api.judge(&owned, &read());
        assert_eq!(again.map(drop), outcome.map(drop), "the same when it is owned");
        outcome
    }
}

#[test]
fn however_a_request_carries_a_token_it_is_judged_the_same_whether_it_is_remembered_or_not() {
    let world = World::new();
    let unmindful = Watched::new(
        Validator::builder(API)
            .trust(Issuer::keys(A, published(&world.issuer)))
            .clock(world.clock.clone())
            .remember_signatures(Duration::ZERO),
    );
    let token = world.known(world.token());
    let t = token.as_str();
    let (malformed, ambiguous, nothing) =
        (Err(Reason::MalformedCredentials), Err(Reason::AmbiguousCredentials), Err(Reason::NoCredentials));
    let escaped: String = t.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let query = |query: String| Carried { fields: Vec::new(), query: Some(query), form: None };
    let rows = [
        (fields([format!("Bearer {t}")]), MEMORY),
        (fields([format!("bearer {t}")]), MEMORY),
        (fields([format!("BEARER {t}")]), MEMORY),
        (fields([format!("Bearer  {t}")]), MEMORY),
        (fields([format!("bEaReR     {t}")]), MEMORY),
        (fields([format!("Bearer {t} ")]), malformed),
        (fields([format!("Bearer {t},")]), malformed),
        (fields([format!("Bearer \"{t}\"")]), malformed),
        (fields([format!("Bearer {t} {t}")]), malformed),
        (fields([format!("Bearer {t}, Bearer {t}")]), malformed),
        (fields([format!("Bearer\t{t}")]), malformed),
        (fields([format!("Bearer={t}")]), malformed),
        (fields([format!(" Bearer {t}")]), malformed),
        (fields([format!("Bearer \t{t}")]), malformed),
        (fields([format!("Bearer {t}=")]), Err(Reason::Malformed)),
        (fields([format!("Bearer {t}=a")]), malformed),
        (fields([format!("Bearer{t}")]), nothing),
        (fields([format!("Basic {t}")]), nothing),
        (fields([format!("DPoP {t}")]), nothing),
        (fields([t.to_owned()]), nothing),
        (fields([format!("Bearer {t}"), format!("Bearer {t}")]), ambiguous),
        (fields([format!("Bearer {t}"), "Basic eA==".to_owned()]), ambiguous),
        (query(format!("access_token={t}")), MEMORY),
        (query(format!("a=b&access_token={escaped}&c=d")), MEMORY),
        (query(format!("access_token={t}&access_token={t}")), ambiguous),
        (query(format!("access_token={t}%20")), malformed),
        (query(format!("access_token=+{t}")), malformed),
        (query(format!("access_token={t}%00")), malformed),
        (Carried { form: Some(format!("access_token={t}")), ..fields([]) }, MEMORY),
        (Carried { form: Some(format!("access_token={t}")), ..fields([format!("Bearer {t}")]) }, ambiguous),
        (Carried { form: Some(format!("access_token={t}")), ..query(format!("access_token={t}")) }, ambiguous),
    ];
    for (carried, expected) in rows {
        let about = format!("{:?} {:?} {:?}", carried.fields, carried.query, carried.form);
        assert_eq!(carried.judge(&world.api), expected, "{about}");
        let unremembered = if expected == MEMORY { SIGNATURE } else { expected };
        assert_eq!(carried.judge(&unmindful), unremembered, "{about}");
    }
}

#[test]
fn what_the_program_hands_over_is_the_token_to_the_octet() {
    let world = World::new();
    let token = world.known(world.token()).into_bytes();
    for spoiled in [
        [&token[..], b"\n"].concat(),
        [&token[..], b"="].concat(),
        [b" ", &token[..]].concat(),
        [&token[..], b"\xff"].concat(),
    ] {
        for _ in 0..2 {
            assert_eq!(world.api.check(&spoiled), Err(Reason::Malformed), "{}", spoiled.escape_ascii());
        }
    }
    assert_eq!(world.api.check(&token), MEMORY);
}

#[test]
fn the_longest_token_is_remembered_and_a_longer_one_is_not_looked_at() {
    let world = World::with(|issuer| issuer, |builder| builder.max_token_bytes(1024));
    let of_length = |length: usize| {
        let padded = |header: usize, payload: usize| {
            let token =
                world.token().header("pad", "x".repeat(header)).claim("pad", "x".repeat(payload)).claim("jti", "j");
            token.mint()
        };
        let pads = (0..4).flat_map(|header| (0..4).map(move |payload| (header, payload)));
        let missing = (length - padded(0, 0).len()) * 3 / 4;
        let mut tokens = pads.map(|(header, payload)| padded(header, missing - 4 + payload));
        tokens.find(|token| token.len() == length).unwrap()
    };
    let (longest, longer) = (of_length(1024), of_length(1025));
    let in_field = |token: &str| fields([format!("Bearer {token}")]).judge(&world.api);
    assert_eq!(world.api.check(&longest), SIGNATURE);
    assert_eq!((world.api.check(&longest), in_field(&longest)), (MEMORY, MEMORY));
    for _ in 0..2 {
        assert_eq!((world.api.check(&longer), in_field(&longer)), (Err(Reason::TooLong), Err(Reason::TooLong)));
    }
    assert_eq!(world.api.check(&format!("{longest}A")), Err(Reason::TooLong));
}

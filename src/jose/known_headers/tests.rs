use super::*;
use crate::jose::base64url;
use crate::jose::compact::Unverified;

impl KnownHeaders {
    pub(crate) fn count(&self) -> usize {
        self.known.load().len()
    }
}

fn token(header: &str) -> String {
    format!("{}.e30.AA", base64url::encode(header.as_bytes()))
}

fn numbered(number: usize) -> String {
    token(&format!(r#"{{"alg":"RS256","kid":"{number}"}}"#))
}

/// What a token is taken for, with what is known and without.
fn parsed(token: &[u8], known: &KnownHeaders) -> [String; 2] {
    let shown = |parsed: Result<Unverified<'_>, _>| {
        format!("{:?}", parsed.map(|token| (token.header, token.signing_input, token.payload, token.signature)))
    };
    [shown(Unverified::parse_knowing(token, |first| known.find(first))), shown(Unverified::parse(token))]
}

#[test]
fn a_header_that_is_known_says_what_reading_it_says() {
    let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(256));
    for header in [
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256","kid":"key-1","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"","typ":"Application/Foo+JWT","jku":"https://a.test"}"#,
        r#"{"typ":"\u004aWT","alg":"PS512","kid":"\u00e9"}"#,
        &long,
    ] {
        let (known, token) = (KnownHeaders::default(), token(header));
        known.keep(token.as_bytes());
        assert!(known.find(token.split_once('.').unwrap().0.as_bytes()).is_some(), "{header}");
        let [with, without] = parsed(token.as_bytes(), &known);
        assert!(with == without && with.starts_with("Ok"), "{header}: {with} and {without}");
    }
}

/// Where a header that is known is changed, cut or prolonged, it is read again, and refused where that refuses it.
#[test]
fn a_header_is_known_by_every_octet() {
    let (known, token) = (KnownHeaders::default(), token(r#"{"alg":"ES256","kid":"key-1"}"#).into_bytes());
    known.keep(&token);
    for at in 0..token.len() {
        for other in 0..=u8::MAX {
            let mut changed = token.clone();
            changed[at] = other;
            let [with, without] = parsed(&changed, &known);
            assert_eq!(with, without, "{other:#x} at {at}");
        }
        for other in [&token[..at], &token[at..], &[&token[..at], b"A", &token[at..]].concat()] {
            let [with, without] = parsed(other, &known);
            assert_eq!(with, without, "{}", other.escape_ascii());
        }
    }
}

#[test]
fn few_are_known_and_none_that_is_long_or_cannot_be_read() {
    let known = KnownHeaders::default();
    for bad in
        ["", ".", "AA", "AA.e30.AA", "e30.e30.AA", &token(r#"{"alg":"none"}"#), &token(r#"{"alg":"RS256","crit":[]}"#)]
    {
        known.keep(bad.as_bytes());
    }
    known.keep(token(&format!(r#"{{"alg":"RS256","x":"{}"}}"#, "x".repeat(LONGEST))).as_bytes());
    assert_eq!(known.count(), 0);
    for number in 0..100 {
        known.keep(numbered(number).as_bytes());
        known.keep(numbered(number).as_bytes());
    }
    assert_eq!(known.count(), AT_MOST);
}

#[test]
fn what_comes_once_seldom_takes_the_place_of_what_is_known_and_what_comes_often_soon_has_one() {
    let known = KnownHeaders::default();
    let is_known = |number: &usize| known.find(numbered(*number).split_once('.').unwrap().0.as_bytes()).is_some();
    (0..AT_MOST).for_each(|number| known.keep(numbered(number).as_bytes()));
    assert!((0..AT_MOST).all(|number| is_known(&number)));
    (100..100 + SELDOM).for_each(|number| known.keep(numbered(number).as_bytes()));
    assert_eq!((0..AT_MOST).filter(is_known).count(), AT_MOST - 1);
    (0..SELDOM).for_each(|_| known.keep(numbered(7).as_bytes()));
    assert!(is_known(&7));
}

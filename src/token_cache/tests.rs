use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use super::*;
use crate::claims::Claims;
use crate::claims::read::ClaimNames;

fn is_same(one: &[u8], other: &[u8]) -> bool {
    Octets(one).equivalent(&Text(other.into()))
}

/// The hash covers an end alone, so that what is found by it is told apart here or nowhere.
#[test]
fn a_token_is_the_same_by_every_octet() {
    for length in [0, 1, 63, 64, 65, 400] {
        let token: Vec<u8> = (0..length).map(|at: usize| b"abc.-_09"[at % 8]).collect();
        assert!(is_same(&token, &token));
        for at in 0..length {
            for bit in 0..8 {
                let mut other = token.clone();
                other[at] ^= 1 << bit;
                assert!(!is_same(&token, &other) && !is_same(&other, &token), "{length} {at} {bit}");
            }
            assert!(!is_same(&token, &token[..at]) && !is_same(&token, &token[at + 1..]), "{length} {at}");
        }
        assert!(!is_same(&token, &[&token[..], b"a"].concat()) && !is_same(&token, &[b"a", &token[..]].concat()));
    }
}

#[test]
fn a_token_that_is_kept_has_the_hash_of_one_that_is_asked_for() {
    let hasher = RandomState::default();
    for length in [0, 1, 63, 64, 65, 400] {
        let token = vec![b'a'; length];
        let hash = hasher.hash_one(Octets(&token));
        assert_eq!(hash, hasher.hash_one(Text(token.into())), "{length}");
    }
    // What differs before the end has one hash, and is told apart all the same.
    let (one, other) = ([b"a", &[b'x'; 64][..]].concat(), [b"b", &[b'x'; 64][..]].concat());
    assert_eq!(hasher.hash_one(Octets(&one)), hasher.hash_one(Octets(&other)));
    assert!(!is_same(&one, &other));
}

#[test]
fn what_is_kept_of_long_lists_and_of_escapes_is_counted() {
    let size = |payload: &str| {
        let claims = Claims::read(payload.as_bytes().to_vec(), &ClaimNames::default()).ok().unwrap();
        claims.size() - payload.len()
    };
    let list = |element: &str| format!(r#"{{"aud":[{}]}}"#, [element; 1000].join(","));
    assert!(size(r#"{"aud":"a"}"#) < 64);
    assert!(size(&list(r#""a""#)) >= 8 * 1000);
    assert!(size(&list(r#""\u0061""#)) >= 9 * 1000);
}

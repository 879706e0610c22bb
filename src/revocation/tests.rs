use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::claims::Claims;
use crate::claims::read::ClaimNames;
use crate::claims::rules::{AudienceRule, Binding, Profile, Rules};
use crate::issuer_id::IssuerId;
use crate::jose::compact::Typ;

const A: &str = "https://a.test";
const B: &str = "https://b.test";
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(1_800_000_000_000, Duration::from_secs(1_000)).plus(Duration::from_secs(seconds))
}

fn token(issuer: &str, claims: &str) -> AccessToken {
    let rules = Rules {
        issuer: IssuerId::new(issuer),
        profile: Profile::PlainJwt,
        audience: AudienceRule::Anybody,
        names: ClaimNames::default(),
        leeway: Duration::ZERO,
        binding: Binding::MustBeProven,
        #[cfg(feature = "client")]
        for_a_client: false,
        #[cfg(feature = "testing")]
        left_out: Default::default(),
    };
    let claims =
        Claims::read(format!(r#"{{"iss":"{issuer}","exp":4000000000{claims}}}"#).into_bytes(), &rules.names).unwrap();
    AccessToken::new(rules.accept(claims, &Typ::Jwt, at(0)).unwrap(), &rules)
}

fn is_denied(list: &DenyList, token: &AccessToken, seconds: u64) -> bool {
    list.allows(token, None, at(seconds)) == Err(Reason::Revoked)
}

#[test]
fn a_denial_is_of_one_issuer_one_kind_and_one_name() {
    let list = DenyList::new(10);
    list.deny(&Denial::session(A, "7"), HOUR, at(0)).unwrap();
    assert!(is_denied(&list, &token(A, r#","sid":"7""#), 1));
    for (issuer, claims) in [
        (B, r#","sid":"7""#),
        (A, r#","sid":"77""#),
        (A, r#","sid":"""#),
        (A, r#","jti":"7""#),
        (A, r#","sub":"7""#),
        (A, ""),
    ] {
        assert!(!is_denied(&list, &token(issuer, claims), 1), "{issuer} {claims}");
    }
    list.deny(&Denial::jwt_id(A, "j"), HOUR, at(0)).unwrap();
    assert!(is_denied(&list, &token(A, r#","jti":"j","sid":"8""#), 1));
}

#[test]
fn a_subject_is_denied_up_to_a_time_and_without_one_always() {
    let list = DenyList::new(10);
    list.deny(&Denial::subject(A, "u", 1000), HOUR, at(0)).unwrap();
    for (issued, expected) in [
        (r#","iat":999"#, true),
        (r#","iat":1000"#, true),
        (r#","iat":1000.9"#, true),
        (r#","iat":1001"#, false),
        ("", true),
    ] {
        assert_eq!(is_denied(&list, &token(A, &format!(r#","sub":"u"{issued}"#)), 1), expected, "{issued}");
    }
}

#[test]
fn a_denial_ends_by_both_clocks() {
    let list = DenyList::new(10);
    list.deny(&Denial::jwt_id(A, "j"), HOUR, at(0)).unwrap();
    let token = token(A, r#","jti":"j""#);
    assert!(is_denied(&list, &token, 3599) && !is_denied(&list, &token, 3600));
    let start = at(0);
    for (wall, uptime, expected) in [(7200, 3599, true), (-7200, 7200, true), (3599, 7200, true), (3600, 3600, false)] {
        let uptime = start.uptime().saturating_add(Duration::from_secs(uptime));
        let now = Timestamp::new(start.unix_millis() + wall * 1000, uptime);
        assert_eq!(list.allows(&token, None, now).is_err(), expected, "{wall} {uptime:?}");
    }
}

#[test]
fn what_was_said_is_not_taken_back_by_saying_less() {
    let list = DenyList::new(10);
    let token = |issued: i64| token(A, &format!(r#","sub":"u","iat":{issued}"#));
    list.deny(&Denial::subject(A, "u", 1000), HOUR, at(0)).unwrap();
    list.deny(&Denial::subject(A, "u", 500), Duration::from_secs(1), at(10)).unwrap();
    assert!(is_denied(&list, &token(1000), 3599) && !is_denied(&list, &token(1000), 3600));
    list.deny(&Denial::subject(A, "u", 2000), HOUR, at(3600)).unwrap();
    assert!(is_denied(&list, &token(2000), 7199));
    assert_eq!(list.len(), 1);
}

#[test]
fn saying_less_after_the_wall_clock_was_set_back_takes_nothing_back_either() {
    let list = DenyList::new(10);
    list.deny(&Denial::jwt_id(A, "j"), HOUR, at(0)).unwrap();
    let start = at(0);
    let shown = |wall: i64, uptime: u64| {
        Timestamp::new(start.unix_millis() + wall * 1000, start.uptime().saturating_add(Duration::from_secs(uptime)))
    };
    list.deny(&Denial::jwt_id(A, "j"), Duration::from_secs(1), shown(-1800, 3000)).unwrap();
    // By the wall clock it would have stood until an hour after it was said, and that is not over.
    assert!(list.allows(&token(A, r#","jti":"j""#), None, shown(1700, 6500)).is_err());
}

#[test]
fn a_full_list_refuses_the_next_and_forgets_nothing() {
    let list = DenyList::new(3);
    for name in ["a", "b", "c"] {
        list.deny(&Denial::jwt_id(A, name), HOUR, at(0)).unwrap();
    }
    assert_eq!(list.deny(&Denial::jwt_id(A, "d"), HOUR, at(1)), Err(DenyListFull));
    assert_eq!(list.deny(&Denial::jwt_id(B, "a"), HOUR, at(1)), Err(DenyListFull), "another issuer's is another");
    list.deny(&Denial::jwt_id(A, "a"), HOUR, at(1)).unwrap();
    for name in ["a", "b", "c"] {
        assert!(is_denied(&list, &token(A, &format!(r#","jti":"{name}""#)), 2));
    }
    assert!(!is_denied(&list, &token(A, r#","jti":"d""#), 2));
    // Two have come to their end, which makes room.
    list.deny(&Denial::jwt_id(A, "d"), HOUR, at(3600)).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(DenyList::new(0).deny(&Denial::jwt_id(A, "a"), HOUR, at(0)), Err(DenyListFull));
}

#[test]
fn readers_find_what_was_denied_before_they_looked_whatever_is_denied_meanwhile() {
    let (list, is_over) = (DenyList::new(100_000), AtomicBool::new(false));
    let names: Vec<_> = (0..300).map(|number| format!("n{number}")).collect();
    let tokens: Vec<_> = names.iter().map(|name| token(A, &format!(r#","jti":"{name}""#))).collect();
    let good = token(A, r#","jti":"good""#);
    let denied = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let known = denied.load(Ordering::Acquire);
                    assert!(tokens[..known].iter().all(|token| list.allows(token, None, at(1)).is_err()));
                    assert!(list.allows(&good, None, at(1)).is_ok());
                }
            });
        }
        for (number, name) in names.iter().enumerate() {
            list.deny(&Denial::jwt_id(A, name), HOUR, at(0)).unwrap();
            list.deny(&Denial::session(B, name), HOUR, at(0)).unwrap();
            denied.store(number + 1, Ordering::Release);
        }
        is_over.store(true, Ordering::Release);
    });
    assert_eq!(list.len(), 600);
}

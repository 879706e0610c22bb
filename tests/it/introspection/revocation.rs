//! Tokens that the program refuses, however good they are.

use scopegate::testing::{TestIssuer, TestToken};
use scopegate::{Credentials, Denial, DenyListFull, Issuer, KeySet, Reason, Requirement, ScopePolicy, Validator};

use super::{A, API, B, MILLISECOND, World, at, unasked};
use crate::rotation::{issuer, read, refused, seconds};

const NOW: i64 = 1_800_000_000;
const HOUR: std::time::Duration = seconds(3600);

/// How a token is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Keys,
    Introspection,
    /// Nothing is remembered of it.
    Unremembered,
    Both,
}

const WAYS: [Way; 4] = [Way::Keys, Way::Introspection, Way::Unremembered, Way::Both];

impl Way {
    fn world(self) -> World {
        World::of(
            |issuer| match self {
                Self::Keys => Issuer::discover(A),
                Self::Introspection => Issuer::introspect(A, at(issuer)),
                Self::Unremembered => Issuer::introspect(A, at(issuer).remember(seconds(0))),
                Self::Both => Issuer::discover(A).and_introspect(at(issuer)),
            },
            |builder| builder,
        )
    }

    fn mint(self, token: TestToken) -> String {
        match self {
            Self::Keys | Self::Both => token.mint(),
            Self::Introspection | Self::Unremembered => token.mint_opaque(),
        }
    }
}

fn token(world: &World) -> TestToken {
    let token = world.issuer.token().scope("read").lifetime(seconds(36_000));
    token.claim("jti", "token-7").claim("sid", "session-7").subject("user-7").claim("iat", NOW)
}

/// Whether a token that was accepted is refused after this denial, from memory and by waiting alike.
#[track_caller]
fn is_denied(way: Way, denial: &Denial, change: impl FnOnce(TestToken) -> TestToken) -> bool {
    let world = way.world();
    let token = way.mint(change(token(&world)));
    assert!(world.validate(&token).is_ok(), "{way:?}");
    world.validator.deny(denial, HOUR).unwrap();
    assert_eq!(world.validator.denials(), 1);
    let result = world.validate(&token);
    if way == Way::Unremembered {
        unasked(world.check(&token));
    } else {
        assert_eq!(world.check(&token).is_err(), result.is_err(), "{way:?}");
    }
    result.is_err_and(|rejection| {
        assert_eq!((rejection.reason(), rejection.status().as_u16()), (Reason::Revoked, 401));
        true
    })
}

#[test]
fn what_is_denied_is_refused_however_it_is_judged() {
    for way in WAYS {
        for denial in [Denial::jwt_id(A, "token-7"), Denial::session(A, "session-7"), Denial::subject(A, "user-7", NOW)]
        {
            assert!(is_denied(way, &denial, |token| token), "{way:?} {denial:?}");
        }
        for other in [
            Denial::jwt_id(B, "token-7"),
            Denial::session(B, "session-7"),
            Denial::subject(B, "user-7", NOW),
            Denial::jwt_id("https://a.example.test/", "token-7"),
            Denial::jwt_id(A, "token-77"),
            Denial::jwt_id(A, "session-7"),
            Denial::session(A, "token-7"),
            Denial::subject(A, "USER-7", NOW),
            Denial::subject(A, "user-7", NOW - 1),
        ] {
            assert!(!is_denied(way, &other, |token| token), "{way:?} {other:?}");
        }
    }
}

#[test]
fn a_subject_is_denied_up_to_the_second_in_which_its_token_was_issued() {
    for way in [Way::Introspection, Way::Keys] {
        for (issued, expected) in [(-10, true), (0, true), (1, false), (20, false)] {
            let denial = Denial::subject(A, "user-7", NOW);
            let denied = is_denied(way, &denial, |token| token.claim("iat", NOW + issued));
            assert_eq!(denied, expected, "{way:?} {issued}");
        }
    }
    // One that does not say when it was issued.
    assert!(is_denied(Way::Introspection, &Denial::subject(A, "user-7", 0), |token| token.without("iat")));
    assert!(!is_denied(Way::Introspection, &Denial::subject(A, "user-8", 0), |token| token.without("iat")));
}

#[test]
fn a_denial_stands_before_the_token_is_seen_and_needs_no_issuer() {
    for way in WAYS {
        let world = way.world();
        world.validator.deny(&Denial::session(A, "session-7"), HOUR).unwrap();
        assert_eq!(refused(world.validate(&way.mint(token(&world)))), Reason::Revoked, "{way:?}");
    }
}

#[test]
fn a_denied_token_is_refused_before_its_scopes_are_looked_at() {
    let world = Way::Keys.world();
    let token = token(&world).mint();
    assert!(world.validate(&token).is_ok());
    world.validator.deny(&Denial::jwt_id(A, "token-7"), HOUR).unwrap();
    let admin = Requirement::from(ScopePolicy::all(["admin"]).unwrap());
    assert_eq!(refused(world.validator.check(&Credentials::bearer(&token), &admin)), Reason::Revoked);
}

#[test]
fn a_denial_ends_when_both_clocks_say_so() {
    let world = Way::Keys.world();
    let token = token(&world).mint();
    assert!(world.validate(&token).is_ok());
    world.validator.deny(&Denial::jwt_id(A, "token-7"), HOUR).unwrap();
    world.clock.set_wall(NOW + 7200);
    assert_eq!(refused(world.check(&token)), Reason::Revoked, "a wall clock that was set ahead lets nobody in");
    world.clock.set_wall(NOW);
    world.clock.advance(HOUR - MILLISECOND);
    assert_eq!(refused(world.check(&token)), Reason::Revoked);
    world.clock.set_wall(NOW - 30);
    world.clock.advance(MILLISECOND);
    assert_eq!(refused(world.check(&token)), Reason::Revoked, "the wall clock says that it is not over");
    world.clock.advance(seconds(3630));
    assert!(world.check(&token).is_ok());
}

#[test]
fn a_full_list_refuses_the_next_denial_and_keeps_the_others() {
    let keys = TestIssuer::new(A).jwks();
    let build = |most| {
        let issuer = Issuer::keys(A, KeySet::from_json(keys.as_bytes()).unwrap());
        Validator::builder(API).trust(issuer).deny_at_most(most).build()
    };
    let validator = build(2).unwrap();
    for name in ["one", "two"] {
        validator.deny(&Denial::jwt_id(A, name), HOUR).unwrap();
    }
    assert_eq!(validator.deny(&Denial::jwt_id(A, "three"), HOUR), Err(DenyListFull));
    assert_eq!(DenyListFull.to_string(), "the deny list is full");
    assert!(validator.deny(&Denial::jwt_id(A, "two"), HOUR).is_ok(), "what is there may be said again");
    assert_eq!(validator.denials(), 2);
    assert!(build(0).unwrap().deny(&Denial::jwt_id(A, "one"), HOUR).is_err());
    assert!(build(1_000_000).is_ok());
    assert_eq!(build(1_000_001).unwrap_err().setting(), "deny_at_most");
}

#[test]
fn a_full_list_makes_room_of_what_is_over() {
    let world = World::of(|_| Issuer::discover(A), |builder| builder.deny_at_most(2));
    world.validator.deny(&Denial::jwt_id(A, "short"), seconds(1)).unwrap();
    world.validator.deny(&Denial::jwt_id(A, "long"), HOUR).unwrap();
    assert!(world.validator.deny(&Denial::jwt_id(A, "new"), HOUR).is_err());
    world.clock.advance(seconds(1));
    assert!(world.validator.deny(&Denial::jwt_id(A, "new"), HOUR).is_ok());
    assert!(world.validator.deny(&Denial::jwt_id(A, "newer"), HOUR).is_err());
}

#[test]
fn clones_share_what_is_denied_and_other_validators_do_not() {
    let (one, other) = (Way::Keys.world(), Way::Keys.world());
    let clone = one.validator.clone();
    clone.deny(&Denial::jwt_id(A, "token-7"), HOUR).unwrap();
    assert_eq!((clone.denials(), one.validator.denials()), (1, 1));
    assert_eq!(refused(one.validate(&token(&one).mint())), Reason::Revoked);
    assert!(other.validate(&token(&other).mint()).is_ok());
}

#[test]
fn who_denies_is_heard_at_once_by_those_who_check() {
    let clock = scopegate::testing::TestClock::at(NOW);
    let a = issuer(A, &clock);
    let keys = KeySet::from_json(a.jwks().as_bytes()).unwrap();
    let validator = Validator::builder(API).trust(Issuer::keys(A, keys)).clock(clock).build().unwrap();
    let names: Vec<_> = (0..60).map(|number| format!("session-{number}")).collect();
    let mint = |name: &String| a.token().scope("read").claim("sid", name).mint();
    let tokens: Vec<_> = names.iter().map(mint).collect();
    let good = mint(&"good".to_owned());
    let denied = std::sync::atomic::AtomicUsize::new(0);
    let check = |token: &str| validator.check(&Credentials::bearer(token), &read());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < tokens.len() {
                    seen = denied.load(std::sync::atomic::Ordering::Acquire);
                    for token in tokens[..seen].iter().rev().take(3) {
                        assert_eq!(refused(check(token)), Reason::Revoked);
                    }
                    assert!(check(&good).is_ok());
                }
            });
        }
        for (number, name) in names.iter().enumerate() {
            validator.deny(&Denial::session(A, name), HOUR).unwrap();
            denied.store(number + 1, std::sync::atomic::Ordering::Release);
        }
    });
    assert_eq!(validator.denials(), 60);
}

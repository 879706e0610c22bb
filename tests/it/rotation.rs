//! Keys over the network: fetched when they are first needed, found anew when they rotate, and never at a stranger's bidding.

mod caches;
mod cancelled;
mod late;
mod lifecycle;
mod metadata;
mod moved;
mod outage;
mod parted;
mod readiness;
mod refresh;

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer, TestToken};
use scopegate::{AccessToken, Credentials, FetchError, Issuer, Reason, Rejection, Requirement, ScopePolicy, Validator};

pub(crate) const API: &str = "https://api.example.test";
pub(crate) const A: &str = "https://a.example.test";
pub(crate) const B: &str = "https://b.example.test";

/// An issuer whose keys are fetched from memory, and one clock for everything.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) validator: Validator,
    pub(crate) read: Requirement,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).clock(clock.clone());
        Self { validator: validator.build().unwrap(), clock, issuer, read: read() }
    }

    /// With keys, fetched once.
    pub(crate) fn warm() -> Self {
        let world = Self::new();
        block_on(world.validator.warm_up()).unwrap();
        assert_eq!(world.asked(), (1, 1));
        world
    }

    pub(crate) fn token(&self) -> TestToken {
        self.issuer.token().scope("read")
    }

    /// Good for two days, by the key of this moment.
    pub(crate) fn lasting_token(&self) -> String {
        self.token().lifetime(DAY.saturating_mul(2)).mint()
    }

    pub(crate) fn check(&self, token: &str) -> Result<AccessToken, Rejection> {
        self.validator.check(&Credentials::bearer(token), &self.read)
    }

    pub(crate) async fn validate(&self, token: &str) -> Result<AccessToken, Rejection> {
        self.validator.validate(&Credentials::bearer(token), &self.read).await
    }

    /// How often the issuer was asked for its metadata and for its keys.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let requests = self.issuer.requests();
        assert_eq!((requests.token, requests.other), (0, 0));
        (requests.metadata, requests.jwks)
    }

    /// Brings on keys that are a second late. The issuer counts a question a moment before its answer begins to be late, so
    /// that one second may not be enough. A machine that is busy needs time of its own and not more of ours: the clock is turned
    /// four times at most, which is before anybody's deadline.
    pub(crate) fn keys_arrive(&self) {
        let token = self.token().mint();
        let arrive_within = |millis: u32| {
            (0..millis).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                self.check(&token).is_ok()
            })
        };
        for _ in 0..4 {
            self.clock.advance(seconds(1));
            if arrive_within(250) {
                return;
            }
        }
        assert!(arrive_within(20_000), "the keys did not arrive");
    }

    /// Lets the driver do all that is due, where it has usable keys. Between two answers it has seen to everything else.
    pub(crate) fn settle(&self) {
        for _ in 0..3 {
            block_on(self.validator.warm_up()).unwrap();
        }
    }
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn issuer(identifier: &str, clock: &TestClock) -> TestIssuer {
    TestIssuer::new(identifier).clock(clock).default_audience(API)
}

pub(crate) fn read() -> Requirement {
    ScopePolicy::all(["read"]).unwrap().into()
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits for the driver's thread, at most 5 s.
#[track_caller]
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..5_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not within 5 s: {what}");
}

/// Polls it once and says whether it still waits.
pub(crate) fn waits<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[track_caller]
pub(crate) fn refused(result: Result<AccessToken, Rejection>) -> Reason {
    result.unwrap_err().reason()
}

/// The token was not judged, and the client is told when to come again.
#[track_caller]
pub(crate) fn unjudged(result: Result<AccessToken, Rejection>) -> Rejection {
    let rejection = result.unwrap_err();
    assert_eq!((rejection.reason(), rejection.status().as_u16()), (Reason::KeysUnavailable, 503));
    assert!(rejection.retry_after().is_some_and(|after| (seconds(1)..=seconds(6)).contains(&after)));
    assert!(rejection.challenge().is_none());
    rejection
}

#[test]
fn the_first_check_starts_what_a_later_one_finds() {
    let world = World::new();
    let token = world.token().mint();
    let rejection = unjudged(world.check(&token));
    assert!(rejection.validate_could_decide());
    assert_eq!(rejection.retry_after(), Some(seconds(1)));
    soon("a later check accepts", || world.check(&token).is_ok());
    assert_eq!(world.asked(), (1, 1));
    let forged = world.token().signed_by_stranger().mint();
    assert_eq!(refused(world.check(&forged)), Reason::BadSignature);
    soon("the issuer is asked whether the name is another key's by now", || world.asked() == (1, 2));
}

#[test]
fn validate_waits_for_the_first_keys_without_a_runtime() {
    let world = World::new();
    assert!(block_on(world.validate(&world.token().mint())).is_ok());
    assert_eq!(world.asked(), (1, 1));
    assert_eq!(refused(block_on(world.validate(&world.token().expired().mint()))), Reason::Expired);
}

#[test]
fn validate_waits_for_the_first_keys_under_tokio() {
    for mut builder in [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()] {
        let world = World::new();
        // No timer and no reactor: the driver has its own.
        let runtime = builder.worker_threads(2).build().unwrap();
        assert!(runtime.block_on(world.validate(&world.token().mint())).is_ok());
        assert_eq!(refused(runtime.block_on(world.validate(&world.token().expired().mint()))), Reason::Expired);
        assert_eq!(world.asked(), (1, 1));
    }
}

#[test]
fn warm_up_has_the_keys_there_before_the_first_token() {
    let world = World::new();
    block_on(world.validator.warm_up()).unwrap();
    assert!(world.check(&world.token().mint()).is_ok());
    block_on(world.validator.warm_up()).unwrap();
    assert_eq!(world.asked(), (1, 1), "keys that are there are not fetched again");
}

#[test]
fn warm_up_names_the_first_issuer_whose_keys_it_did_not_get() {
    let clock = TestClock::at(1_800_000_000);
    let (a, b) = (issuer(A, &clock), issuer(B, &clock));
    let validator = Validator::builder(API)
        .trust(Issuer::discover(A))
        .trust(Issuer::discover(B))
        .fetch(TestIssuer::fetch_from([&a, &b]))
        .clock(clock)
        .build()
        .unwrap();
    b.script(Fault::status(500).at(Endpoint::Jwks));
    let error = block_on(validator.warm_up()).unwrap_err();
    assert!(matches!(&error, FetchError::Issuer { issuer, .. } if issuer.as_str() == B), "{error:?}");
    assert_eq!(error.to_string(), format!("no keys of the issuer {B}"));
    assert_eq!(error.source().unwrap().to_string(), "unexpected status 500 Internal Server Error");
    // One that fails takes nothing from the other.
    let token = a.token().scope("read").mint();
    assert!(validator.check(&Credentials::bearer(&token), &read()).is_ok());
}

/// S12, with so many that wait that each of them has asked before the first is answered.
fn cold_start(callers: usize) {
    let world = World::new();
    world.issuer.script(Fault::delay(seconds(1)).at(Endpoint::Jwks).times(1));
    let token = world.token().mint();
    let mut waiting: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = Vec::new();
    for _ in 0..callers {
        let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&token));
        assert!(waits(&mut call), "S12 the keys are not there yet, and no call is turned away");
        waiting.push(call);
    }
    soon("S12 the keys are asked for", || world.asked() == (1, 1));
    world.keys_arrive();
    for call in waiting {
        assert!(block_on(call).is_ok(), "S12 accepted");
    }
    assert_eq!(world.asked(), (1, 1), "S12 one metadata and one key request");
}

#[test]
fn row_s12_fault_row_27_a_thousand_that_come_at_once_share_one_fetch() {
    cold_start(1_000);
}

#[test]
fn row_s12_fault_row_27_ten_thousand_that_come_at_once_share_one_fetch() {
    cold_start(10_000);
}

#[test]
fn a_key_that_is_not_known_yet_is_fetched_once_and_accepted() {
    let world = World::warm();
    let old = world.token().mint();
    world.issuer.rotate();
    let new = world.token().mint();
    assert!(block_on(world.validate(&new)).is_ok());
    assert_eq!(world.asked(), (1, 2), "the metadata is not read again");
    assert!(world.check(&new).is_ok());
    assert_eq!(world.asked(), (1, 2));
    // The withdrawn key is as unknown as any, and may be asked for once more.
    assert_eq!(refused(block_on(world.validate(&old))), Reason::UnknownKey);
    assert_eq!(refused(world.check(&old)), Reason::UnknownKey);
    assert_eq!(world.asked(), (1, 3));
}

#[test]
fn a_check_with_a_key_that_is_not_known_yet_heals_itself() {
    let world = World::warm();
    world.issuer.rotate();
    let new = world.token().mint();
    assert!(unjudged(world.check(&new)).validate_could_decide());
    soon("a later check accepts", || world.check(&new).is_ok());
    assert_eq!(world.asked(), (1, 2));
}

#[test]
fn two_rotations_in_a_row_are_both_found_at_once() {
    let world = World::warm();
    for fetches in [2, 3] {
        world.issuer.rotate();
        assert!(block_on(world.validate(&world.token().mint())).is_ok());
        assert_eq!(world.asked(), (1, fetches));
    }
}

#[test]
fn a_key_that_is_published_ahead_causes_no_fetch_when_it_signs() {
    let world = World::new();
    world.issuer.publish_ahead();
    block_on(world.validator.warm_up()).unwrap();
    world.issuer.sign_with_newest();
    assert!(world.check(&world.token().mint()).is_ok());
    assert_eq!(world.asked(), (1, 1));
}

#[test]
fn row_s07_fault_row_28_a_flood_of_unknown_kids_costs_two_fetches_and_is_answered_401() {
    let world = World::warm();
    let good = world.token().mint();
    for number in 0..1_000 {
        let unknown = world.token().header("kid", format!("random-{number}")).mint();
        assert_eq!(refused(block_on(world.validate(&unknown))), Reason::UnknownKey, "S07 {number}");
    }
    assert!(world.asked().1 <= 1 + 2, "S07 {:?}", world.asked());
    assert!(world.check(&good).is_ok(), "S07 the others go on");

    // A minute later the budget is whole again, and no larger than it was.
    world.clock.advance(seconds(60));
    for number in 0..100 {
        let unknown = world.token().header("kid", format!("other-{number}")).mint();
        assert_eq!(refused(block_on(world.validate(&unknown))), Reason::UnknownKey, "S07 {number}");
    }
    assert!(world.asked().1 <= 1 + 2 + 2, "S07 {:?}", world.asked());
    assert_eq!(world.asked().0, 1, "S07 no metadata is read for it");
}

#[test]
fn row_s07_fault_row_28_a_flood_of_checks_from_several_threads_costs_two_fetches() {
    let world = World::warm();
    let good = world.token().mint();
    let unknown = |name: String| world.check(&world.token().header("kid", name).mint()).unwrap_err();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..250 {
                    let rejection = unknown(format!("{thread}-{number}"));
                    match rejection.status().as_u16() {
                        401 => assert_eq!(rejection.reason(), Reason::UnknownKey, "S07"),
                        // Only while the question is on its way.
                        503 => assert!(rejection.validate_could_decide(), "S07"),
                        status => panic!("S07 {status}"),
                    }
                }
            });
        }
    });
    soon("S07 the flood is answered 401", || unknown("last".to_owned()).status() == 401);
    world.settle();
    assert!(world.asked().1 <= 1 + 2, "S07 {:?}", world.asked());
    assert!(world.check(&good).is_ok(), "S07 the others go on");
}

#[test]
fn a_token_that_would_be_refused_anyway_causes_no_fetch() {
    let clock = TestClock::at(1_800_000_000);
    let (a, stranger) = (issuer(A, &clock), issuer("https://evil.example.test", &clock));
    let worthless = [
        (Reason::UntrustedIssuer, stranger.token().scope("read")),
        (Reason::UntrustedIssuer, stranger.token().scope("read").header("kid", "unknown")),
        (Reason::UntrustedIssuer, a.token().claim("iss", "https://a.example.test/").header("kid", "unknown")),
        (Reason::Expired, a.token().expired()),
        (Reason::Expired, a.token().expired().header("kid", "unknown")),
        (Reason::MissingClaim, a.token().without("exp").header("kid", "unknown")),
        (Reason::MissingClaim, a.token().without("iss").header("kid", "unknown")),
        (Reason::MalformedClaim, a.token().claim("exp", "9").header("kid", "unknown")),
        (Reason::Malformed, a.token().payload_json("[]").header("kid", "unknown")),
        (Reason::AlgorithmRefused, a.token().signed_with_secret(scopegate::Algorithm::Hs256, &[7; 32])),
    ];
    let worthless = worthless.map(|(reason, token)| (reason, token.mint()));
    let alone = || Validator::builder(API).trust(Issuer::discover(A));
    for (many, builder) in [(false, alone()), (true, alone().trust(Issuer::discover(B)))] {
        let fetch = TestIssuer::fetch_from([&a, &stranger]);
        let validator = builder.fetch(fetch).clock(clock.clone()).build().unwrap();
        let before = (a.requests(), stranger.requests());
        for (reason, token) in &worthless {
            let presented = Credentials::bearer(token);
            let checked = validator.check(&presented, &read()).unwrap_err().reason();
            let validated = block_on(validator.validate(&presented, &read())).unwrap_err().reason();
            assert_eq!(checked, validated, "{token}");
            assert!(many || checked == *reason, "{checked} instead of {reason}");
        }
        assert_eq!((a.requests(), stranger.requests()), before, "cold: nobody was asked");

        let good = a.token().scope("read").mint();
        assert!(block_on(validator.validate(&Credentials::bearer(&good), &read())).is_ok());
        let before = (a.requests(), stranger.requests());
        for (_, token) in &worthless {
            assert!(validator.check(&Credentials::bearer(token), &read()).is_err());
            assert!(block_on(validator.validate(&Credentials::bearer(token), &read())).is_err());
        }
        assert!(block_on(validator.validate(&Credentials::bearer(&good), &read())).is_ok());
        assert_eq!((a.requests(), stranger.requests()), before, "warm: nobody was asked");
    }
}

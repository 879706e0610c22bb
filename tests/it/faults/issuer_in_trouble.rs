//! The way to the issuer is broken, whatever the way is: names that do not resolve, certificates that do not hold, answers that break
//! off, and no answer at all. A way out of the test's own says what a socket would.

use std::error::Error as _;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::{
    Addresses, Event, Fetch, FetchError, FetchLimits, FetchOutcome, Fetching, Issuer, Observe, TlsProblem, Validator,
};

use super::*;
use crate::rotation::{API, waits};

/// A way out that says what the test wants, and nothing at all where that is `None`.
#[derive(Debug, Default)]
struct Way {
    says: Mutex<Option<Result<http::Response<Bytes>, FetchError>>>,
    /// What it was asked for, and what that may cost.
    asked: Mutex<Vec<(String, FetchLimits)>>,
}

impl Way {
    fn say(&self, answer: Option<Result<http::Response<Bytes>, FetchError>>) {
        *self.says.lock().unwrap() = answer;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(url, _)| url.clone()).collect()
    }
}

impl Fetch for Way {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        self.asked.lock().unwrap().push((request.uri().to_string(), limits));
        let says = self.says.lock().unwrap().clone();
        Box::pin(async move {
            match says {
                Some(answer) => answer,
                None => pending().await,
            }
        })
    }
}

fn document(body: impl Into<Bytes>) -> http::Response<Bytes> {
    http::Response::builder().header("content-type", "application/json").body(body.into()).unwrap()
}

/// How each fetch failed and when the next was due, and what became of the keys.
#[derive(Debug, Default)]
struct Heard {
    failed: Mutex<Vec<(&'static str, String, Duration)>>,
    turned: Mutex<Vec<(KeyState, KeyState)>>,
}

impl Observe for Heard {
    fn happened(&self, event: &Event) {
        match event {
            Event::FetchEnded { outcome: FetchOutcome::Failed { kind, error, next_try }, .. } => {
                self.failed.lock().unwrap().push((kind, error.to_string(), *next_try));
            }
            Event::StateChanged { before, after, .. } => self.turned.lock().unwrap().push((*before, *after)),
            _ => {}
        }
    }
}

impl World {
    /// Whose keys came once by this way, from one place.
    fn by(way: &Arc<Way>, heard: &Arc<Heard>) -> Self {
        let mut world = Self::new();
        way.say(Some(Ok(document(world.issuer.jwks()))));
        let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri()));
        let builder = builder.fetch(Arc::<Way>::clone(way)).clock(world.clock.clone());
        world.validator = builder.observe(Arc::<Heard>::clone(heard)).build().unwrap();
        block_on(world.validator.warm_up()).unwrap();
        world
    }

    /// What went wrong the last time, with its causes.
    fn last_error(&self) -> String {
        let error = self.health().last_error.unwrap();
        let causes = std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
        std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>().join(": ")
    }
}

fn told(words: &'static str) -> Arc<io::Error> {
    Arc::new(io::Error::other(words))
}

/// What comes instead of keys, its label, and the words in which an operator is told of it.
type Trouble = (Result<http::Response<Bytes>, FetchError>, &'static str, &'static str);

fn troubles() -> Vec<Trouble> {
    let unresolved = |said| Err(FetchError::Unresolved { source: told(said) });
    let tls = |problem| Err(FetchError::Tls { problem, source: told("invalid peer certificate") });
    // The first bytes of what `gzip` makes, under the name that a client would unpack it by.
    let mut packed = document(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0xca][..]);
    packed.headers_mut().insert("content-encoding", http::HeaderValue::from_static("gzip"));
    vec![
        (unresolved("NXDOMAIN"), "unresolved", "the host name could not be resolved: NXDOMAIN"),
        (unresolved("SERVFAIL"), "unresolved", "the host name could not be resolved: SERVFAIL"),
        (tls(TlsProblem::Expired), "tls", "no secure connection to the host (tls): its certificate has expired"),
        (
            tls(TlsProblem::WrongHost),
            "tls",
            "no secure connection to the host (tls): its certificate is for another name",
        ),
        (
            tls(TlsProblem::UnknownAuthority),
            "tls",
            "no secure connection to the host (tls): its certificate comes from no trusted authority",
        ),
        (
            tls(TlsProblem::AuthorityAsHost),
            "tls",
            "no secure connection to the host (tls): its certificate is an authority's and no host's (self-signed?)",
        ),
        (Ok(packed), "unusable", "not a JSON object"),
    ]
}

#[test]
fn row_f11_row_f19_row_f22_fault_row_21_fault_row_23_what_no_answer_can_come_by_takes_no_key_away_and_is_told() {
    for (trouble, label, words) in troubles() {
        let (way, heard) = (Arc::new(Way::default()), Arc::new(Heard::default()));
        let world = World::by(&way, &heard);
        let (token, keys) = (world.lasting_token(), format!("{:?}", world.health().keys));
        way.say(Some(trouble));
        let mut waits = Vec::new();
        for (failures, most) in [(1, 1), (2, 2), (3, 4)] {
            let wait = world.next_failure();
            let health = world.health();
            assert_eq!(health.failures, failures, "{words}");
            assert!((seconds(most) / 2..=seconds(most)).contains(&wait), "{words}: {wait:?} after failure {failures}");
            assert_eq!(format!("{:?}", health.keys), keys, "{words}: the keys stay");
            assert!(world.check(&token).is_ok(), "{words}: failure {failures}");
            assert!(world.last_error().starts_with(words), "{words}: {}", world.last_error());
            waits.push(wait);
        }
        // One question each, always the same: no other scheme, name or place was tried.
        assert_eq!(way.asked(), vec![world.issuer.jwks_uri(); 4], "{words}: 0 insecure retries");
        soon("each failure is told", || heard.failed.lock().unwrap().len() == 3);
        for ((kind, error, next_try), wait) in heard.failed.lock().unwrap().iter().zip(waits) {
            assert_eq!((*kind, *next_try), (label, wait), "{words}");
            assert!(words.starts_with(error.as_str()), "{words}: {error}");
        }
        world.clock.advance(seconds(300) - world.health().age.unwrap());
        assert_eq!(world.health().state, KeyState::Fresh, "{words}: for 300 s");
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.health().state, KeyState::Stale, "{words}: and no longer");
        assert!(world.check(&token).is_ok() && world.validator.is_ready(), "{words}: stale keys serve");
        let stale = (KeyState::Fresh, KeyState::Stale);
        soon("it is told that the keys are stale", || heard.turned.lock().unwrap().contains(&stale));
        way.say(Some(Ok(document(world.issuer.jwks()))));
        soon("fresh again, with nobody who asks", || {
            world.clock.advance(seconds(1));
            world.health().state == KeyState::Fresh
        });
        assert!(world.health().last_error.is_none(), "{words}");
    }
}

#[test]
fn fault_row_05_a_way_out_that_never_answers_keeps_one_question_open_and_no_check_waiting() {
    let (way, heard) = (Arc::new(Way::default()), Arc::new(Heard::default()));
    let world = World::by(&way, &heard);
    let (token, keys) = (world.lasting_token(), format!("{:?}", world.health().keys));
    way.say(None);
    world.clock.advance(world.health().next_try.unwrap());
    soon("it is asked", || way.asked().len() == 2);
    for second in 1..60 {
        world.clock.advance(seconds(1));
        assert!(world.check(&token).is_ok(), "second {second}");
        world.settle();
        assert_eq!(way.asked().len(), 2, "second {second}");
    }
    // What nobody reported on for a minute has failed, and is asked for again after the wait that a failure costs.
    world.clock.advance(seconds(1));
    world.settle();
    world.clock.advance(seconds(1));
    soon("it is asked again", || way.asked().len() == 3);
    assert_eq!((world.health().failures, format!("{:?}", world.health().keys)), (1, keys));
    assert!(world.check(&token).is_ok());
    world.clock.advance(seconds(40));
    assert_eq!(world.health().state, KeyState::Stale);
    assert!(world.check(&token).is_ok());
}

#[test]
fn row_f08_fault_row_22_an_answer_that_breaks_off_is_asked_for_again_within_a_second() {
    for fault in [Fault::truncated(), Fault::disconnect(), Fault::reset()] {
        let world = World::warm();
        let token = world.lasting_token();
        world.issuer.script(fault.clone().at(Endpoint::Jwks).times(1));
        let wait = world.next_failure();
        assert!((seconds(1) / 2..=seconds(1)).contains(&wait), "{fault:?}: {wait:?}");
        assert_eq!((world.health().failures, world.health().keys.keys().len()), (1, 1), "{fault:?}");
        assert_eq!(
            world.last_error().split(": ").next(),
            Some("the connection broke off before the answer was complete")
        );
        assert!(world.check(&token).is_ok(), "{fault:?}: meanwhile");
        let asked = world.asked().1;
        world.next_success();
        assert_eq!(world.asked().1, asked + 1, "{fault:?}: and no more than once");
        assert!(world.check(&token).is_ok(), "{fault:?}: afterwards");
    }
}

/// What a [`Fetch`] is told that an exchange may cost, over another that keeps to it.
#[derive(Debug)]
struct Told(Arc<dyn Fetch>, Mutex<Vec<FetchLimits>>);

impl Fetch for Told {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        self.1.lock().unwrap().push(limits);
        self.0.fetch(request, limits)
    }
}

#[test]
fn row_f05_row_j08_fault_row_05_every_exchange_may_take_5_s_2_to_connect_and_bring_512_kib() {
    let mut world = World::new();
    let told = Arc::new(Told(world.issuer.fetch(), Mutex::default()));
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::<Told>::clone(&told));
    world.validator = builder.clock(world.clock.clone()).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    block_on(world.validator.refresh_now()).unwrap();
    assert!(block_on(world.validate(&world.token().header("kid", "unknown").mint())).is_err());
    let told = told.1.lock().unwrap();
    assert_eq!(told.len(), 4, "the metadata, and the keys three times");
    for FetchLimits { connect, total, body, addresses, .. } in told.iter().copied() {
        assert_eq!((connect, total, body, addresses), (seconds(2), seconds(5), 524_288, Addresses::Any));
    }
}

#[test]
fn row_f05_fault_row_05_a_refresh_that_hangs_fails_at_5_s_and_no_check_notices() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.script(Fault::hang().at(Endpoint::Jwks));
    world.clock.advance(world.health().next_try.unwrap());
    soon("the refresh has begun", || world.asked().1 == 2);
    let step = Duration::from_millis(1);
    for passed in [step, seconds(1), seconds(2), seconds(1), Duration::from_millis(998)] {
        world.clock.advance(passed);
        assert!(world.check(&token).is_ok());
        world.settle();
    }
    assert_eq!((world.health().failures, world.health().next_try), (0, Some(Duration::ZERO)), "after 4,999 ms");
    world.clock.advance(step);
    assert!(world.check(&token).is_ok());
    soon("it has failed after 5 s", || world.health().failures == 1);
    let error = world.health().last_error.unwrap();
    let error = error.downcast_ref::<FetchError>();
    assert!(matches!(error, Some(FetchError::TimedOut(limit)) if *limit == seconds(5)), "{error:?}");
    assert_eq!(world.last_error(), "no complete answer within 5s");
    assert!(world.check(&token).is_ok());
    assert_eq!(world.asked().1, 2);
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<(), FetchError>> + 'a>>;

#[test]
fn who_warms_up_or_refreshes_is_answered_after_25_s_and_told_which_issuer_it_was() {
    let (way, heard) = (Arc::new(Way::default()), Arc::new(Heard::default()));
    let warm = World::by(&way, &heard);
    way.say(None);
    let mut cold = World::new();
    let builder = Validator::builder(API).trust(Issuer::jwks(A, warm.issuer.jwks_uri()));
    cold.validator = builder.fetch(Arc::<Way>::clone(&way)).clock(cold.clock.clone()).build().unwrap();
    let warm_up: Asking<'_> = Box::pin(cold.validator.warm_up());
    let refresh: Asking<'_> = Box::pin(warm.validator.refresh_now());
    for (about, world, mut asking) in [("warm_up", &cold, warm_up), ("refresh_now", &warm, refresh)] {
        let asked = way.asked().len();
        assert!(waits(&mut asking), "{about}");
        soon("the issuer is asked", || way.asked().len() == asked + 1);
        world.clock.advance(Duration::from_millis(24_999));
        for _ in 0..50 {
            std::thread::yield_now();
            assert!(waits(&mut asking), "{about} after 24.999 s");
        }
        world.clock.advance(Duration::from_millis(1));
        let error = block_on(asking).unwrap_err();
        assert!(matches!(&error, FetchError::Issuer { issuer, .. } if issuer.as_str() == A), "{about}: {error:?}");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("no complete answer within 25s"),
            "{about}"
        );
    }
}

#[test]
fn fault_row_12_health_tells_which_keys_were_left_out_and_why() {
    let world = World::warm();
    assert!(world.health().keys.left_out().is_empty());
    let good = world.issuer.jwks();
    let bad = r#"{"kty":"oct","kid":"secret","k":"c2VjcmV0"},{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"},7,"#;
    world.issuer.publish_raw(good.replace("\"keys\":[", &format!("\"keys\":[{bad}")));
    block_on(world.validator.refresh_now()).unwrap();
    let health = world.health();
    let left_out: Vec<_> =
        health.keys.left_out().iter().map(|key| (key.place, key.kid.as_deref(), key.cause.label())).collect();
    let expected = [(0, Some("secret"), "symmetric"), (1, Some("weak"), "weak_modulus"), (2, None, "not_an_object")];
    assert_eq!(left_out, expected);
    assert_eq!((health.keys.keys().len(), health.state, health.failures), (1, KeyState::Fresh, 0));
    assert!(world.check(&world.token().mint()).is_ok(), "the good key serves");
    world.issuer.recover();
    block_on(world.validator.refresh_now()).unwrap();
    assert!(world.health().keys.left_out().is_empty());
}

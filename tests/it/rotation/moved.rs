//! Where keys lie, and whose they are.

use std::sync::Arc;

use bytes::Bytes;
use scopegate::{Fetch, FetchError, FetchLimits, Fetching, KeySet};

use super::*;

/// An issuer whose metadata can be changed, and whose old host can be gone, or serve what it served.
#[derive(Debug)]
struct Moving {
    issuer: TestIssuer,
    left_behind: Option<String>,
    moved: std::sync::atomic::AtomicBool,
    asked: std::sync::atomic::AtomicU64,
}

impl Moving {
    /// A validator that has its keys from the old host, after it has moved and turned its keys over.
    fn away(leaves_its_keys: bool) -> (TestClock, Arc<Self>, Validator) {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let left_behind = leaves_its_keys.then(|| issuer.jwks());
        let moving = Arc::new(Self { issuer, left_behind, moved: false.into(), asked: 0.into() });
        let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::<Self>::clone(&moving) as _);
        let validator = validator.clock(clock.clone()).build().unwrap();
        block_on(validator.warm_up()).unwrap();
        moving.moved.store(true, std::sync::atomic::Ordering::SeqCst);
        moving.issuer.rotate();
        (clock, moving, validator)
    }

    fn has_moved(&self) -> bool {
        self.moved.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn asked(&self) -> u64 {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Fetch for Moving {
    fn fetch(&self, request: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let url = request.uri().to_string();
        self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = |body: String| {
            let mut response = http::Response::new(Bytes::from(body));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            Ok(response)
        };
        let answer = match (url.as_str(), self.has_moved()) {
            ("https://a.example.test/.well-known/openid-configuration", moved) => {
                let host = if moved { "new" } else { "old" };
                answer(format!(r#"{{"issuer":"{A}","jwks_uri":"https://{host}.example.test/keys"}}"#))
            }
            ("https://old.example.test/keys", false) | ("https://new.example.test/keys", true) => {
                answer(self.issuer.jwks())
            }
            ("https://old.example.test/keys", true) if self.left_behind.is_some() => {
                answer(self.left_behind.clone().unwrap())
            }
            _ => Err(FetchError::other("no such host")),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[test]
fn a_key_set_that_moved_to_another_host_is_found_when_the_old_host_is_gone() {
    let (clock, moving, validator) = Moving::away(false);
    let read = read();
    soon("the new host is found", || {
        clock.advance(seconds(61));
        let fresh = moving.issuer.token().scope("read").mint();
        validator.check(&Credentials::bearer(&fresh), &read).is_ok()
    });
}

/// Tokens of a key that the old host never gets come all the time, so that time alone never makes the keys be asked for.
#[test]
fn a_key_set_that_moved_is_found_while_the_old_host_still_serves_its_own() {
    let (clock, moving, validator) = Moving::away(true);
    let read = read();
    let minutes = (0..60).find(|_| {
        clock.advance(seconds(60));
        let fresh = moving.issuer.token().scope("read").mint();
        block_on(validator.validate(&Credentials::bearer(&fresh), &read)).is_ok()
    });
    assert!(minutes.is_some_and(|minutes| minutes <= 6), "{minutes:?}");
}

/// Forged tokens of a key that the old host still has, one for each that the budget earns, put the timed refresh off for ever.
/// The key that was withdrawn at the new host is dead all the same once the metadata is an hour old.
#[test]
fn a_key_set_that_moved_is_found_within_an_hour_while_forged_tokens_cause_every_fetch() {
    let (clock, moving, validator) = Moving::away(true);
    let (read, old) = (read(), moving.left_behind.as_deref().map(first_kid).unwrap());
    let by_old = || moving.issuer.token().scope("read").key(&old);
    let judge = |token: String| block_on(validator.validate(&Credentials::bearer(&token), &read));
    assert!(judge(by_old().mint()).is_ok(), "the old key counts until the new place is known");
    let mut causes = 0;
    let found = (1..=122_u64).find(|_| {
        clock.advance(seconds(30));
        let before = moving.asked();
        let reason = refused(judge(by_old().signed_by_stranger().mint()));
        causes += u64::from(moving.asked() > before);
        matches!(reason, Reason::UnknownKey)
    });
    assert!(found.is_some_and(|periods| periods <= 121), "an hour and a period: {found:?}");
    assert_eq!(Some(causes), found, "each of them caused a fetch");
    assert_eq!(refused(judge(by_old().mint())), Reason::UnknownKey, "what was withdrawn at the new host is dead");
    assert!(judge(moving.issuer.token().scope("read").mint()).is_ok(), "the twin");
}

fn first_kid(jwks: &str) -> String {
    KeySet::from_json(jwks.as_bytes()).unwrap().keys()[0].kid().unwrap().to_owned()
}

#[test]
fn two_validators_that_trust_clones_of_one_issuer_do_not_disturb_each_other() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let trusted = Issuer::jwks(A, issuer.jwks_uri());
    let build = |trusted: Issuer| {
        Validator::builder(API).trust(trusted).fetch(issuer.fetch()).clock(clock.clone()).build().unwrap()
    };
    let (warm, cold) = (build(trusted.clone()), build(trusted));
    block_on(warm.warm_up()).unwrap();
    let (token, junk) = (issuer.token().scope("read").mint(), issuer.token().header("kid", "junk").mint());
    assert_eq!(refused(cold.check(&Credentials::bearer(&junk), &read())), Reason::KeysUnavailable);
    soon("the cold one has asked", || issuer.requests().jwks == 2);
    assert!(warm.check(&Credentials::bearer(&token), &read()).is_ok());
}

#[test]
fn only_keys_that_were_handed_over_can_be_replaced_by_hand() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let keys = || KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    assert_eq!(Issuer::discover(A).key_handle().unwrap_err().setting(), "key_handle");
    let pushed = Issuer::keys(A, KeySet::default());
    let handle = pushed.key_handle().unwrap();
    let validator = Validator::builder(API).trust(pushed).clock(clock).build().unwrap();
    let token = issuer.token().scope("read").mint();
    let check = || validator.check(&Credentials::bearer(&token), &read());
    assert_eq!(refused(check()), Reason::KeysUnavailable, "nothing was handed over yet");
    handle.install(keys());
    assert!(check().is_ok());
    issuer.rotate();
    handle.install(keys());
    assert_eq!(refused(check()), Reason::UnknownKey, "the old key was taken away");
}

/// An attempt that never ends is given up; nothing was fetched, and nobody is told otherwise.
#[test]
fn warming_up_succeeds_only_with_keys() {
    let world = World::new();
    world.issuer.script(Fault::hang());
    for attempt in 0..3 {
        let mut warming: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.warm_up());
        let mut outcome = None;
        soon("it is answered", || {
            world.clock.advance(seconds(1));
            match warming.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Ready(result) => outcome = Some(result),
                std::task::Poll::Pending => {}
            }
            outcome.is_some()
        });
        assert!(outcome.unwrap().is_err(), "attempt {attempt}");
        world.clock.advance(seconds(60));
    }
}

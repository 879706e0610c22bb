//! Answers to fetches that were given up.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use scopegate::{Fetch, FetchLimits, Fetching, KeyState};

use super::*;

/// Keeps to no limit: while it is held, an answer waits until it is let go.
#[derive(Debug)]
struct Held {
    way: Arc<dyn Fetch>,
    held: Mutex<(bool, Vec<Waker>)>,
    asked: Mutex<u32>,
}

impl Held {
    fn hold(&self) {
        self.held.lock().unwrap().0 = true;
    }

    fn let_go(&self) {
        let mut held = self.held.lock().unwrap();
        held.0 = false;
        held.1.drain(..).for_each(Waker::wake);
    }
}

impl Fetch for Held {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        *self.asked.lock().unwrap() += 1;
        Box::pin(async move {
            std::future::poll_fn(|context| {
                let mut held = self.held.lock().unwrap();
                if held.0 {
                    held.1.push(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            self.way.fetch(request, limits).await
        })
    }
}

#[test]
fn keys_that_arrive_late_end_the_failures_before_them() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let held = Arc::new(Held { way: issuer.fetch(), held: Mutex::default(), asked: Mutex::default() });
    let builder = Validator::builder(API).trust(Issuer::jwks(A, issuer.jwks_uri()));
    let validator = builder.fetch(Arc::<Held>::clone(&held) as _).clock(clock.clone()).build().unwrap();
    let world = World { validator, clock, issuer, read: read() };
    let health = || world.validator.health().issuers()[0].clone();
    let token = world.lasting_token();

    world.issuer.script(Fault::status(500).times(1));
    unjudged(block_on(world.validate(&token)));
    assert!(health().last_error.is_some());
    held.hold();
    world.clock.advance(seconds(2));
    soon("it is asked again", || {
        unjudged(world.check(&token));
        *held.asked.lock().unwrap() == 2
    });
    // The order is given up, and another is not due yet.
    world.clock.advance(seconds(60));
    assert_eq!(refused(block_on(world.validate(&token))), Reason::KeysUnavailable, "at once");
    held.let_go();
    soon("its keys are there", || health().state == KeyState::Fresh);
    let health = health();
    assert_eq!((health.failures, health.last_error.map(|error| error.to_string())), (0, None));
    assert!(world.check(&token).is_ok());
}

#[test]
fn who_joins_a_fetch_of_the_first_keys_that_is_older_than_his_key_has_the_issuer_asked_for_it() {
    let world = World::new();
    world.issuer.script(Fault::delay(seconds(1)).at(Endpoint::Jwks).times(1));
    let old = world.token().mint();
    let mut first: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&old));
    assert!(waits(&mut first));
    // What is on its way is the set without the key that signs from here on.
    soon("the first keys are asked for", || world.asked().1 == 1);
    world.issuer.rotate();
    let new = world.token().mint();
    let mut second: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&new));
    assert!(waits(&mut second));
    world.keys_arrive();
    assert!(block_on(second).is_ok());
    assert_eq!(world.asked().1, 2);
    drop(first);
}

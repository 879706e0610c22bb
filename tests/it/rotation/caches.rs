//! Caches on the way to the issuer: what they keep proves nothing that is newer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::{Fetch, FetchLimits, Fetching};

use super::*;

/// Writes down what each request for keys says to caches.
#[derive(Debug)]
struct Listener {
    way: Arc<dyn Fetch>,
    heard: Mutex<Vec<Option<String>>>,
}

impl Fetch for Listener {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        if request.uri().path().ends_with("/jwks") {
            let said = request.headers().get("cache-control").map(|said| said.to_str().unwrap().to_owned());
            self.heard.lock().unwrap().push(said);
        }
        self.way.fetch(request, limits)
    }
}

#[test]
fn what_is_to_prove_something_is_asked_for_past_caches_and_nothing_else_is() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let listener = Arc::new(Listener { way: issuer.fetch(), heard: Mutex::default() });
    let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::<Listener>::clone(&listener) as _);
    let world = World { validator: validator.clock(clock.clone()).build().unwrap(), clock, issuer, read: read() };
    let heard = |times: usize| {
        soon("it is asked", || listener.heard.lock().unwrap().len() == times);
        listener.heard.lock().unwrap()[times - 1].clone()
    };
    block_on(world.validator.warm_up()).unwrap();
    assert_eq!(heard(1), None, "the first keys");
    world.clock.advance(seconds(300));
    assert_eq!(heard(2), None, "keys that have come of age");
    world.settle();
    let no_cache = Some("no-cache".to_owned());
    let _ = block_on(world.validate(&world.token().signed_by_stranger().mint()));
    assert_eq!(heard(3), no_cache, "a signature that does not hold");
    world.clock.advance(seconds(60));
    let _ = block_on(world.validate(&world.token().header("kid", "unknown").mint()));
    assert_eq!(heard(4), no_cache, "an unknown key");
    block_on(world.validator.refresh_now()).unwrap();
    assert_eq!(heard(5), no_cache, "what the program asks for");
}

#[test]
fn an_answer_that_a_cache_has_kept_proves_no_key_absent() {
    for (age, is_proof) in [("0", true), ("junk", true), ("1", false), ("99999999999999999999", false)] {
        let world = World::warm();
        world.clock.advance(seconds(31));
        world.issuer.script(Fault::header("age", age).at(Endpoint::Jwks));
        let unknown = |kid: Option<&str>| {
            let token = kid.map_or_else(|| world.token().without_header("kid"), |kid| world.token().header("kid", kid));
            token.signed_by_stranger().mint()
        };
        for kid in [Some("unknown"), None] {
            let judged = block_on(world.validate(&unknown(kid)));
            if is_proof {
                assert_eq!(refused(judged), Reason::UnknownKey, "{age} {kid:?}");
            } else {
                let rejection = judged.unwrap_err();
                assert_eq!(rejection.reason(), Reason::KeysUnavailable, "{age} {kid:?}");
                assert!(rejection.retry_after().is_some());
            }
        }
        // The budget is spent, and is all that holds anybody back.
        assert_eq!(world.asked().1, 3, "{age}");
        let judged = world.check(&unknown(Some("unknown")));
        let expected = if is_proof { Reason::UnknownKey } else { Reason::KeysUnavailable };
        assert_eq!(refused(judged), expected, "{age}");
        assert!(world.check(&world.token().mint()).is_ok());
    }
}

#[test]
fn a_key_that_a_cache_did_not_have_is_asked_for_again() {
    let world = World::warm();
    world.clock.advance(seconds(31));
    let kept = world.issuer.jwks();
    world.issuer.rotate();
    world.issuer.script(Fault::header("age", "30").with_body(kept).at(Endpoint::Jwks).times(1));
    let token = world.token().mint();
    unjudged(block_on(world.validate(&token)));
    assert!(block_on(world.validate(&token)).is_ok(), "and is there");
    assert_eq!(world.asked().1, 3);
}

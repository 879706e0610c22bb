//! Where the metadata lies, and when it is read again.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::{Event, Fetch, FetchLimits, Fetching, KeyState};

use super::*;
use crate::tenants::Ears;

const TENANT: &str = "https://a.example.test/tenant";
const OPENID: &str = "/tenant/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server/tenant";
const OPENID_INSERTED: &str = "/.well-known/openid-configuration/tenant";

/// Writes down which addresses are asked, and serves the metadata at one of them alone.
#[derive(Debug)]
struct Clerk {
    way: Arc<dyn Fetch>,
    only: &'static str,
    asked: Mutex<Vec<String>>,
}

impl Fetch for Clerk {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let path = request.uri().path().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        if path.contains("/.well-known/") && path != self.only {
            let mut gone = http::Response::new(Bytes::new());
            *gone.status_mut() = http::StatusCode::NOT_FOUND;
            return Box::pin(std::future::ready(Ok(gone)));
        }
        self.way.fetch(request, limits)
    }
}

impl Clerk {
    /// What was asked since the last time.
    fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn world(only: &'static str) -> (World, Arc<Clerk>) {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(TENANT, &clock);
    let clerk = Arc::new(Clerk { way: issuer.fetch(), only, asked: Mutex::default() });
    let builder = Validator::builder(API).trust(Issuer::discover(TENANT)).fetch(clerk.clone()).clock(clock.clone());
    let world = World { validator: builder.build().unwrap(), clock, issuer, read: read() };
    block_on(world.validator.warm_up()).unwrap();
    (world, clerk)
}

/// Lets five minutes pass, in which the keys come of age and are asked for.
fn five_minutes(world: &World) {
    let before = world.asked().1;
    world.clock.advance(seconds(300));
    soon("the keys are asked for", || world.asked().1 > before);
    world.settle();
}

#[test]
fn the_form_that_led_to_the_metadata_is_remembered() {
    let forms: [(&str, &[&str]); 3] =
        [(OPENID, &[OPENID]), (OAUTH, &[OPENID, OAUTH]), (OPENID_INSERTED, &[OPENID, OAUTH, OPENID_INSERTED])];
    for (only, first) in forms {
        let (world, clerk) = world(only);
        assert_eq!(clerk.read(), [first, &["/tenant/jwks"]].concat());
        for _ in 0..11 {
            five_minutes(&world);
        }
        assert!(clerk.read().iter().all(|path| path == "/tenant/jwks"), "within an hour nobody looks again");
        five_minutes(&world);
        assert_eq!(clerk.read(), [only, "/tenant/jwks"], "and then where it lay");
    }
}

#[test]
fn metadata_is_read_again_after_a_key_was_missing() {
    let world = World::warm();
    let unknown = world.token().header("kid", "unknown").mint();
    assert_eq!(refused(block_on(world.validate(&unknown))), Reason::UnknownKey);
    assert_eq!(world.asked(), (1, 2), "not at a stranger's bidding");
    five_minutes(&world);
    assert_eq!(world.asked(), (2, 3), "but when it is time to ask for the keys");
    five_minutes(&world);
    assert_eq!(world.asked(), (2, 4), "once");
}

#[test]
fn metadata_is_read_again_where_there_were_no_keys() {
    let world = World::warm();
    world.issuer.script(Fault::status(404).at(Endpoint::Jwks).times(1));
    five_minutes(&world);
    assert_eq!(world.asked(), (1, 2));
    world.clock.advance(seconds(2));
    soon("it is looked for anew", || world.asked() == (2, 3));
    world.settle();
    assert!(world.check(&world.token().mint()).is_ok());
}

#[test]
fn one_miss_does_not_make_it_forgotten_where_the_keys_lay() {
    let world = World::warm();
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks).times(1));
    five_minutes(&world);
    assert_eq!(world.asked(), (1, 2));
    world.issuer.script(Fault::status(403).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    let failures = || world.validator.health().issuers()[0].failures;
    world.clock.advance(seconds(1));
    soon("the metadata is tried, only where it lay", || (world.asked(), failures()) == ((2, 2), 2));
    world.clock.advance(seconds(2));
    soon("and the old place in turn", || world.asked() == (2, 3));
    soon("its keys count", || failures() == 0);
}

#[test]
fn metadata_that_cannot_be_read_again_leaves_the_keys_where_they_are() {
    for fault in
        [Fault::status(500), Fault::status(404), Fault::body("{}"), Fault::body(r#"{"issuer":"https://evil.test"}"#)]
    {
        let world = World::warm();
        let before = world.asked();
        world.issuer.script(fault.clone().at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
        for _ in 0..15 {
            five_minutes(&world);
            assert!(world.check(&world.token().mint()).is_ok(), "{fault:?}");
        }
        let after = world.asked();
        assert!(after.0 > before.0 && after.1 == before.1 + 15, "{fault:?} {after:?}");
        let health = world.validator.health();
        assert_eq!(health.issuer(A).map(|issuer| (issuer.state, issuer.failures)), Some((KeyState::Fresh, 0)));
    }
}

#[test]
fn metadata_that_cannot_be_read_again_is_told_and_its_host_is_left_alone_as_long_as_it_asks() {
    let mut world = World::new();
    let ears = Arc::new(Ears::default());
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(world.issuer.fetch());
    world.validator = builder.clock(world.clock.clone()).observe(Arc::<Ears>::clone(&ears) as _).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let fault = Fault::status(503).with_header("retry-after", "1700");
    world.issuer.script(fault.at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    let told = |times: usize| {
        soon("it is told", || {
            let heard = ears.0.lock().unwrap();
            let failed = heard.iter().filter_map(|event| match event {
                Event::MetadataFailed { issuer, error } => Some((issuer.to_string(), error.to_string())),
                _ => None,
            });
            let failed: Vec<_> = failed.collect();
            assert!(failed.len() <= times, "{failed:?}");
            failed == vec![(A.to_owned(), "unexpected status 503 Service Unavailable".to_owned()); times]
        });
    };
    (0..11).for_each(|_| five_minutes(&world));
    assert_eq!(world.asked(), (1, 12));
    told(0);
    five_minutes(&world);
    let asked = world.asked().0;
    assert!(asked > 1, "an hour has passed");
    told(1);
    (0..5).for_each(|_| five_minutes(&world));
    block_on(world.validator.refresh_now()).unwrap();
    assert_eq!(world.asked().0, asked, "1,500 s later");
    five_minutes(&world);
    assert!(world.asked().0 > asked, "1,800 s later");
    told(2);
    assert_eq!(world.validator.health().issuers()[0].failures, 0, "its keys are as good as before");
}

#[test]
fn metadata_that_cannot_be_read_is_not_tried_with_each_unknown_key() {
    let world = World::warm();
    world.issuer.script(Fault::status(500).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    let before = world.asked();
    for number in 0..40 {
        world.clock.advance(seconds(30));
        let unknown = world.token().header("kid", format!("unknown-{number}")).mint();
        assert_eq!(refused(block_on(world.validate(&unknown))), Reason::UnknownKey);
    }
    let after = world.asked();
    assert_eq!(after.1 - before.1, 40, "one fetch each, by which the timed ones are put off");
    assert_eq!(after.0 - before.0, 4, "once in 5 minutes, in 20");
}

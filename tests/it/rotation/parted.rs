//! Metadata and keys at two hosts: the trouble of one is not the other's.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::{Fetch, FetchLimits, Fetching};

use super::*;

const METADATA: &str = "https://a.example.test/.well-known/openid-configuration";

/// Two hosts, each with a status of its own; an answer that is none asks to be left alone for an hour.
#[derive(Debug)]
struct Parted {
    issuer: TestIssuer,
    keys_at: &'static str,
    statuses: Mutex<[u16; 2]>,
    asked: Mutex<[u32; 2]>,
}

impl Parted {
    /// A validator that has its keys.
    fn warm(keys_at: &'static str) -> (Arc<Self>, World) {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let (statuses, asked) = (Mutex::new([200; 2]), Mutex::default());
        let parted = Arc::new(Self { issuer: issuer.clone(), keys_at, statuses, asked });
        let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::<Self>::clone(&parted) as _);
        let world = World { validator: validator.clock(clock.clone()).build().unwrap(), clock, issuer, read: read() };
        block_on(world.validator.warm_up()).unwrap();
        assert_eq!(parted.asked(), [1, 1]);
        (parted, world)
    }

    /// The status of the metadata, and of the keys.
    fn answer(&self, statuses: [u16; 2]) {
        *self.statuses.lock().unwrap() = statuses;
    }

    /// How often the metadata was asked for, and the keys.
    fn asked(&self) -> [u32; 2] {
        *self.asked.lock().unwrap()
    }
}

impl Fetch for Parted {
    fn fetch(&self, request: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let url = request.uri().to_string();
        let (which, body) = if url == METADATA {
            (0, format!(r#"{{"issuer":"{A}","jwks_uri":"{}"}}"#, self.keys_at))
        } else {
            assert_eq!(url, self.keys_at);
            (1, self.issuer.jwks())
        };
        self.asked.lock().unwrap()[which] += 1;
        let status = self.statuses.lock().unwrap()[which];
        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() = status.try_into().unwrap();
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        if status != 200 {
            response.headers_mut().insert("retry-after", http::HeaderValue::from_static("3600"));
        }
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// The keys' host is down for a moment, which makes the metadata be read; its host is asked at the wrong time.
fn metadata_fails_while_the_keys_are_looked_for(keys_at: &'static str) -> (Arc<Parted>, World) {
    let (parted, world) = Parted::warm(keys_at);
    parted.answer([503, 404]);
    world.clock.advance(seconds(300));
    soon("the keys are asked for", || parted.asked()[1] == 2);
    world.settle();
    // The keys' host asks for an hour.
    world.clock.advance(seconds(3_600));
    soon("the metadata is read", || parted.asked()[0] == 2);
    world.settle();
    parted.answer([503, 200]);
    (parted, world)
}

#[test]
fn a_metadata_host_that_asks_to_be_left_alone_keeps_nobody_from_another_host_that_has_the_keys() {
    let (parted, world) = metadata_fails_while_the_keys_are_looked_for("https://keys.example.test/keys");
    world.issuer.rotate();
    let token = world.lasting_token();
    let mut waited = 0;
    soon("the keys are fetched where they lay", || {
        world.clock.advance(seconds(1));
        waited += 1;
        world.check(&token).is_ok()
    });
    assert!(waited <= 60, "{waited} s");
    assert_eq!(parted.asked()[0], 2, "and the metadata's host is left alone");
}

#[test]
fn a_host_that_has_both_is_left_alone_as_long_as_it_asks() {
    let (parted, world) = metadata_fails_while_the_keys_are_looked_for("https://a.example.test/keys");
    world.clock.advance(seconds(3_599));
    world.settle();
    assert_eq!(parted.asked(), [2, 2]);
    world.clock.advance(seconds(1));
    soon("it is asked again", || parted.asked()[1] == 3);
}

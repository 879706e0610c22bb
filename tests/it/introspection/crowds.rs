//! What many tenants that are asked about their tokens may cost together.

use std::sync::{Arc, Condvar, Mutex};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer};
use scopegate::{ClientAuth, ClientSecret, Credentials, Introspection, Issuer, Tenants, Validator};

use super::{A, API, Call, Told, json, polled, unasked, words};
use crate::rotation::{issuer, read, refused, soon};

/// So many tenants, each asked at its own address.
fn town(houses: usize) -> (Vec<TestIssuer>, Validator, Arc<super::Recorder>) {
    let clock = TestClock::at(1_800_000_000);
    let houses: Vec<_> = (0..houses).map(|house| issuer(&format!("https://t{house}.example.test"), &clock)).collect();
    let way = super::Recorder::before(TestIssuer::fetch_from(&houses));
    let settings = |name: &str| Introspection::at(format!("{name}/introspect"), super::api()).at_most_in_flight(4096);
    let tenants = Tenants::at_most(1000, move |name| Some(Issuer::introspect(name, settings(name))));
    let builder = Validator::builder(API).trust_each(tenants).observe(Arc::new(Told::default()));
    (houses, builder.fetch(way.clone()).clock(clock).build().unwrap(), way)
}

fn calls<'v>(validator: &'v Validator, tokens: &'v [String]) -> Vec<Call<'v>> {
    let call = |token: &'v String| -> Call<'v> {
        Box::pin(async move { validator.validate(&Credentials::bearer(token), &read()).await })
    };
    tokens.iter().map(call).collect()
}

/// How many of these go on waiting when the others were refused.
fn settled(calls: &mut Vec<Call<'_>>, waiting: usize) {
    soon("the rest is refused at once", || {
        calls.retain_mut(|call| match polled(call) {
            Some(result) => {
                assert!(words(&unasked(result)).contains("as many questions are open as may be"));
                false
            }
            None => true,
        });
        calls.len() == waiting
    });
}

#[test]
fn tenants_that_hang_leave_places_to_all_others() {
    let (houses, validator, _) = town(3);
    let jwts = |house: &TestIssuer| -> Vec<_> { (0..200).map(|_| house.token().scope("read").mint()).collect() };
    let (slow, slower) = (jwts(&houses[0]), jwts(&houses[1]));
    for house in &houses[..2] {
        house.script(Fault::hang().at(Endpoint::Introspection));
    }
    let mut first = calls(&validator, &slow);
    settled(&mut first, 128);
    soon("a single one has half", || houses[0].requests().introspection == 128);
    let mut second = calls(&validator, &slower);
    settled(&mut second, 64);
    soon("a second has half of the rest", || houses[1].requests().introspection == 64);
    for _ in 0..100 {
        let jwt = houses[2].token().scope("read").mint();
        assert!(block_on(validator.validate(&Credentials::bearer(&jwt), &read())).is_ok(), "others do not notice");
    }
}

#[test]
fn callbacks_of_tenants_that_hang_hold_16_threads_and_one_for_each_tenant() {
    let clock = TestClock::at(1_800_000_000);
    let houses: Vec<_> = (0..30).map(|house| issuer(&format!("https://t{house}.example.test"), &clock)).collect();
    let vault = Arc::new((Mutex::new((0, true)), Condvar::new()));
    let asked = Arc::clone(&vault);
    let secret = ClientSecret::asked(move || {
        let mut hangs = asked.0.lock().unwrap();
        hangs.0 += 1;
        drop(asked.1.wait_while(hangs, |(_, hangs)| *hangs).unwrap());
        Ok::<_, String>("api".to_owned())
    });
    let settings =
        move |name: &str| Introspection::at(format!("{name}/introspect"), ClientAuth::basic("api", secret.clone()));
    let tenants = Tenants::at_most(1000, move |name| Some(Issuer::introspect(name, settings(name))));
    let builder = Validator::builder(API).trust_each(tenants).fetch(TestIssuer::fetch_from(&houses));
    let validator = builder.clock(clock).build().unwrap();
    let jwts = |house: &TestIssuer| [0, 1].map(|_| house.token().scope("read").mint());
    let jwts: Vec<_> = houses.iter().flat_map(jwts).collect();
    let mut waiting = calls(&validator, &jwts);
    let mut crowded = 0;
    soon("those for whom there is no place are told", || {
        waiting.retain_mut(|call| match polled(call) {
            Some(result) => {
                assert!(words(&unasked(result)).contains("as many callbacks"));
                crowded += 1;
                false
            }
            None => true,
        });
        waiting.len() == 32
    });
    soon("16 are asked", || vault.0.lock().unwrap().0 == 16);
    assert_eq!(crowded, 28, "two tokens of each of the others");
    vault.0.lock().unwrap().1 = false;
    vault.1.notify_all();
    for call in waiting {
        assert!(block_on(call).is_ok());
    }
    for jwt in &jwts {
        assert!(block_on(validator.validate(&Credentials::bearer(jwt), &read())).is_ok(), "it heals");
    }
}

#[test]
fn an_answer_of_a_tenant_has_16_kib() {
    let (houses, validator, way) = town(1);
    for (length, is_read) in [(16 * 1024, true), (16 * 1024 + 1, false)] {
        let begun = r#"{"active":false,"x":""}"#.len();
        let body = format!(r#"{{"active":false,"x":"{}"}}"#, "x".repeat(length - begun));
        assert_eq!(body.len(), length);
        way.answer(move |sent| (sent.method == "POST").then(|| json(200, body.clone())));
        let jwt = houses[0].token().scope("read").mint();
        let result = block_on(validator.validate(&Credentials::bearer(&jwt), &read()));
        if is_read {
            assert_eq!(refused(result), scopegate::Reason::Inactive);
        } else {
            assert!(words(&unasked(result)).contains("longer than 16384 bytes"));
        }
    }
}

#[test]
fn the_metadata_that_names_where_a_tenant_is_asked_has_64_kib() {
    for (length, is_read) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let clock = TestClock::at(1_800_000_000);
        let house = issuer(A, &clock);
        let way = super::Recorder::before(house.fetch());
        let tenants =
            Tenants::at_most(10, |name| Some(Issuer::introspect(name, Introspection::discover(super::api()))));
        let builder = Validator::builder(API).trust_each(tenants).fetch(way.clone()).clock(clock);
        let validator = builder.build().unwrap();
        let document = |x: &str| {
            format!(r#"{{"issuer":"{A}","introspection_endpoint":"{A}/introspect","jwks_uri":"{A}/jwks","x":"{x}"}}"#)
        };
        let body = document(&"x".repeat(length - document("").len()));
        assert_eq!(body.len(), length);
        way.answer(move |sent| (sent.method == "GET").then(|| json(200, body.clone())));
        let jwt = house.token().scope("read").mint();
        let result = block_on(validator.validate(&Credentials::bearer(&jwt), &read()));
        if is_read {
            assert!(result.is_ok());
        } else {
            assert!(words(&unasked(result)).contains("longer than 65536 bytes"));
        }
    }
}

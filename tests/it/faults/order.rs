//! Keys come, go, and change places: with overlap, without it, under one name, and in the wrong order.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::testing::TestIssuer;
use scopegate::{Event, Fetch, FetchError, FetchLimits, FetchOutcome, Fetching, Issuer, Observe, Validator};
use tokio::sync::oneshot;

use super::*;
use crate::rotation::{API, issuer, waits};

/// Scaled down from 50,000 checks a second over a minute; the whole is a program (`examples/outage`).
#[test]
fn row_j40_fault_row_13_a_rotation_with_overlap_refuses_nobody() {
    let world = World::warm();
    let old = world.lasting_token();
    let pass = |time: u64, tokens: &[&str]| {
        for second in 0..time {
            world.clock.advance(seconds(1));
            for token in tokens {
                assert!(world.check(token).is_ok(), "J40 second {second}");
            }
        }
    };
    pass(300, &[&old]);
    world.issuer.publish_ahead();
    // Published for as long as keys may be believed, and only then used.
    pass(300, &[&old]);
    soon("J40 the new key is there", || world.health().keys.keys().len() == 2);
    world.issuer.sign_with_newest();
    world.lull();
    let asked = world.asked();
    let new = world.lasting_token();
    assert!(world.check(&new).is_ok(), "J40 at once");
    assert_eq!(world.asked(), asked, "J40 no fetch");
    pass(300, &[&old, &new]);
    world.issuer.retire_oldest();
    world.clock.advance(seconds(270));
    soon("J40 the old key is dead one refresh after its removal", || world.check(&old).is_err());
    pass(300, &[&new]);
}

#[test]
fn row_j41_fault_row_15_a_removed_key_is_dead_within_its_lifetime_and_a_second() {
    for (cache_control, lifetime) in [(None, 300), (Some("max-age=60"), 60), (Some("max-age=31536000"), 3600)] {
        let world = World::new();
        if let Some(value) = cache_control {
            world.issuer.script(Fault::header("cache-control", value).at(Endpoint::Jwks));
        }
        world.issuer.publish_ahead();
        block_on(world.validator.warm_up()).unwrap();
        let stolen = world.lasting_token();
        world.issuer.sign_with_newest();
        world.issuer.retire_oldest();
        // The tokens keep coming.
        for _ in 0..=lifetime {
            world.clock.advance(seconds(1));
            if world.check(&stolen).is_err() {
                break;
            }
        }
        soon("J41 refused", || world.check(&stolen).is_err());
        assert_eq!(refused(block_on(world.validate(&stolen))), Reason::UnknownKey, "J41");
        assert!(world.check(&world.token().mint()).is_ok(), "J41");

        // And at once where the program asks.
        soon("J41 no fetch is under way", || world.health().next_try != Some(Duration::ZERO));
        let other = world.lasting_token();
        world.issuer.rotate();
        let asked = world.asked().1;
        block_on(world.validator.refresh_now()).unwrap();
        assert_eq!(world.asked().1, asked + 1, "J41 one fetch");
        assert!(world.check(&other).is_err(), "J41 refresh_now");
    }
}

#[test]
fn row_j42_fault_row_16_the_new_material_of_a_kid_wins_after_one_fetch() {
    let world = World::warm();
    let successor = issuer(A, &world.clock);
    let (old, new) = (world.lasting_token(), successor.token().scope("read").mint());
    world.issuer.publish_raw(successor.jwks());
    assert!(block_on(world.validate(&new)).is_ok(), "J42");
    assert_eq!(world.asked(), (1, 2), "J42 one fetch");
    assert_eq!(refused(block_on(world.validate(&old))), Reason::BadSignature, "J42");
    assert!(world.check(&new).is_ok(), "J42");

    // Bad signatures and unknown keys share one budget: 2, and one more for each 30 s.
    let asked = world.asked().1;
    for round in 1..=10 {
        for number in 0..20 {
            let forged = successor.token().scope("read").signed_by_stranger().mint();
            assert_eq!(refused(block_on(world.validate(&forged))), Reason::BadSignature);
            let unknown = successor.token().scope("read").header("kid", format!("{round}-{number}")).mint();
            assert!(block_on(world.validate(&unknown)).is_err());
        }
        world.clock.advance(seconds(6));
    }
    // 54 s after the first of them.
    assert!((1..=3).contains(&(world.asked().1 - asked)), "{:?}", world.asked());
}

#[test]
fn row_j52_fault_row_14_a_rotation_without_overlap_costs_one_fetch_and_refuses_nobody() {
    let world = World::warm();
    let old = world.lasting_token();
    world.clock.advance(seconds(31));
    world.issuer.rotate();
    world.issuer.script(Fault::delay(Duration::from_millis(500)).at(Endpoint::Jwks).times(1));
    let new = world.token().mint();
    let mut waiting: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = Vec::new();
    for _ in 0..500 {
        let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&new));
        assert!(waits(&mut call), "J52 nobody is turned away");
        waiting.push(call);
    }
    soon("J52 the keys are asked for", || world.asked() == (1, 2));
    assert!(world.check(&old).is_ok(), "J52 the old key until the answer is there");
    world.clock.advance(Duration::from_millis(500));
    for call in waiting {
        assert!(block_on(call).is_ok(), "J52 0 false rejects");
    }
    assert_eq!(world.asked(), (1, 2), "J52 one fetch");
    assert!(world.check(&old).is_err(), "J52 the old key from then on");
}

#[test]
fn row_j52_fault_row_14_a_key_that_is_used_before_it_is_published_is_refused_for_30_s_at_most() {
    let world = World::warm();
    world.clock.advance(seconds(31));
    let unpublished = Fault::body(world.issuer.jwks()).at(Endpoint::Jwks).times(1);
    world.issuer.rotate();
    world.issuer.script(unpublished);
    let new = world.token().mint();
    assert_eq!(refused(block_on(world.validate(&new))), Reason::UnknownKey, "J52 it is not there");
    world.clock.advance(Duration::from_millis(29_999));
    assert_eq!(refused(block_on(world.validate(&new))), Reason::UnknownKey);
    assert_eq!(world.asked(), (1, 2), "J52 nobody is asked twice for one key");
    world.clock.advance(Duration::from_millis(1));
    assert!(block_on(world.validate(&new)).is_ok(), "J52 at most 30 s");
    assert_eq!(world.asked(), (1, 3));
}

/// The kids that were left out, for each change of the keys.
#[derive(Debug, Default)]
struct Changes(Mutex<Vec<Vec<String>>>);

impl Observe for Changes {
    fn happened(&self, event: &Event) {
        if let Event::KeysChanged { after, .. } = event {
            let kids = after.left_out().iter().filter_map(|entry| entry.kid.clone());
            self.0.lock().unwrap().push(kids.collect());
        }
    }
}

#[test]
fn fault_row_12_a_bad_key_among_good_ones_is_told_once_a_change() {
    let mut world = World::new();
    let changes = Arc::new(Changes::default());
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(world.issuer.fetch());
    world.validator = builder.clock(world.clock.clone()).observe(Arc::<Changes>::clone(&changes) as _).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let bad = r#"{"kty":"oct","kid":"bad","k":"AAAA"}"#;
    let document = world.issuer.jwks().replace("\"keys\":[", &format!("\"keys\":[{bad},"));
    world.issuer.publish_raw(document);
    for _ in 0..5 {
        block_on(world.validator.refresh_now()).unwrap();
        assert!(world.check(&world.token().mint()).is_ok(), "the other key is usable");
    }
    world.issuer.recover();
    block_on(world.validator.refresh_now()).unwrap();
    soon("the last change is told", || changes.0.lock().unwrap().len() >= 3);
    assert_eq!(*changes.0.lock().unwrap(), [vec![], vec!["bad".to_owned()], vec![]]);
}

/// A way out whose answers come when the test says so.
#[derive(Debug, Default)]
struct Held(Mutex<Vec<oneshot::Sender<String>>>);

impl Fetch for Held {
    fn fetch(&self, _: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let (answer, answered) = oneshot::channel::<String>();
        self.0.lock().unwrap().push(answer);
        Box::pin(async move {
            let body = answered.await.map_err(|_| FetchError::other("never answered"))?;
            let mut response = http::Response::new(Bytes::from(body));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            Ok(response)
        })
    }
}

/// How many fetches have ended, and how many of them with an answer that was too old.
#[derive(Debug, Default)]
struct Ends(Mutex<(usize, usize)>);

impl Observe for Ends {
    fn happened(&self, event: &Event) {
        if let Event::FetchEnded { outcome, .. } = event {
            let mut ends = self.0.lock().unwrap();
            ends.0 += 1;
            ends.1 += usize::from(matches!(outcome, FetchOutcome::Late));
        }
    }
}

/// Four questions, each given up after a minute, are answered in every order that there is: 24 of them.
#[test]
fn fault_row_18_the_answer_to_the_newest_question_stays_in_whatever_order_answers_come() {
    const QUESTIONS: usize = 4;
    for order in orders(QUESTIONS) {
        let clock = scopegate::testing::TestClock::at(1_800_000_000);
        let (held, ends) = (Arc::new(Held::default()), Arc::new(Ends::default()));
        let people: Vec<TestIssuer> = (0..QUESTIONS).map(|_| issuer(A, &clock)).collect();
        let builder = Validator::builder(API).trust(Issuer::jwks(A, "https://a.example.test/jwks"));
        let builder = builder.fetch(Arc::<Held>::clone(&held) as _).observe(Arc::<Ends>::clone(&ends) as _);
        let validator = builder.clock(clock.clone()).build().unwrap();
        let asked = || held.0.lock().unwrap().len();
        let token = people[0].token().scope("read").lifetime(seconds(3600)).mint();
        for question in 1..=QUESTIONS {
            soon("it is asked", || {
                let presented = scopegate::Credentials::bearer(&token);
                assert!(validator.check(&presented, &crate::rotation::read()).is_err());
                let is_asked = asked() == question;
                if !is_asked {
                    // Out of the wait after a question that was given up.
                    clock.advance(Duration::from_millis(100));
                }
                is_asked
            });
            if question < QUESTIONS {
                clock.advance(seconds(61));
            }
        }
        let mut answers: Vec<_> = held.0.lock().unwrap().drain(..).map(Some).collect();
        let mut is_answered = false;
        for (ended, question) in order.iter().copied().enumerate() {
            answers[question].take().unwrap().send(people[question].jwks()).unwrap();
            soon("the answer is taken in", || ends.0.lock().unwrap().0 == ended + 1);
            // A set that is older than a question on its way is not installed: that answer may be the word that nothing changed.
            is_answered |= question == QUESTIONS - 1;
            let newest = people[QUESTIONS - 1].token().scope("read").mint();
            let presented = scopegate::Credentials::bearer(&newest);
            let judged = validator.check(&presented, &crate::rotation::read());
            assert_eq!(judged.is_ok(), is_answered, "{order:?} after {question}");
            let older = people[question].token().scope("read").mint();
            let presented = scopegate::Credentials::bearer(&older);
            let judged = validator.check(&presented, &crate::rotation::read());
            assert_eq!(judged.is_ok(), question == QUESTIONS - 1, "{order:?} after {question}");
        }
    }
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(of - 1);
    let insert = |order: &Vec<usize>, at: usize| [&order[..at], &[of - 1], &order[at..]].concat();
    shorter.iter().flat_map(|order| (0..of).map(move |at| insert(order, at))).collect()
}

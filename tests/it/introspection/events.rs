//! What is told where more happens than a listener can hear.

use std::sync::{Arc, Condvar, Mutex};

use futures_executor::block_on;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{Credentials, Event, Issuer, Observe, Reason, Validator};

use super::{A, API, B, Recorder, World, at};
use crate::rotation::{issuer, read, refused, soon};

/// Hears nothing before it is opened.
#[derive(Default, Debug)]
struct Slow {
    is_open: Mutex<bool>,
    opened: Condvar,
    heard: Mutex<Vec<String>>,
}

impl Observe for Slow {
    fn happened(&self, event: &Event) {
        drop(self.opened.wait_while(self.is_open.lock().unwrap(), |open| !*open).unwrap());
        self.heard.lock().unwrap().push(format!("{event:?}"));
    }
}

#[test]
fn a_flood_of_questions_leaves_room_for_the_news_of_keys() {
    let clock = TestClock::at(1_800_000_000);
    let (a, b) = (issuer(A, &clock), issuer(B, &clock));
    let way = Recorder::before(TestIssuer::fetch_from([&a, &b]));
    let slow = Arc::new(Slow::default());
    let asked = Issuer::introspect(A, at(&a).at_most_per_second(100_000));
    let builder = Validator::builder(API).trust(asked).trust(Issuer::discover(B)).observe(slow.clone());
    let validator = builder.fetch(way.clone()).clock(clock.clone()).build().unwrap();
    let world = World { clock, issuer: a, validator, way, told: Arc::default() };
    for number in 0..1_500 {
        assert_eq!(refused(world.validate(&format!("junk-{number}"))), Reason::Inactive);
    }
    let jwt = b.token().scope("read").mint();
    assert!(block_on(world.validator.validate(&Credentials::bearer(&jwt), &read())).is_ok());
    *slow.is_open.lock().unwrap() = true;
    slow.opened.notify_all();
    let heard = |word: &str| slow.heard.lock().unwrap().iter().filter(|event| event.starts_with(word)).count();
    soon("the keys are told of", || heard("KeysChanged") == 1);
    assert!((500..=513).contains(&heard("Introspected")), "{}", heard("Introspected"));
    assert_eq!(heard("Lost"), 1, "and it is told that some were lost");
}

//! A listener that is no good does no harm.

use std::sync::Condvar;
use std::sync::atomic::AtomicBool;

use scopegate::testing::{Fault, TestClock};
use scopegate::{Credentials, Fetch, FetchLimits, Fetching};

use super::*;
use crate::rotation::{issuer, read, soon};

/// A sink that takes nothing in until it is opened.
#[derive(Clone, Default)]
struct Clogged(Arc<(Mutex<bool>, Condvar)>, Arc<AtomicBool>);

impl Clogged {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Subscriber for Clogged {
    /// As where the level is `INFO`: judgements are not told.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "scopegate::keys"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.1.store(true, Ordering::Relaxed);
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A way out that can be seen to be gone.
#[derive(Debug)]
struct Held(Arc<dyn Fetch>);

impl Fetch for Held {
    fn fetch(&self, request: http::Request<bytes::Bytes>, limits: FetchLimits) -> Fetching<'_> {
        self.0.fetch(request, limits)
    }
}

#[test]
fn fault_row_40_a_sink_that_blocks_for_ever_holds_up_no_check_no_fetch_and_no_end() {
    let (sink, kept) = (Clogged::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let way_out: Arc<dyn Fetch> = Arc::new(Held(a.fetch()));
    let still_there = Arc::downgrade(&way_out);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(way_out).clock(clock);
    let validator = builder.observe(Watched::new(sink.clone(), &kept, 32)).build().unwrap();
    futures_executor::block_on(validator.warm_up()).unwrap();
    soon("the sink is clogged", || sink.1.load(Ordering::Relaxed));

    // Far more events than may wait: each of these is a fetch that begins and ends, and keys that change.
    for _ in 0..500 {
        a.rotate();
        futures_executor::block_on(validator.refresh_now()).unwrap();
        let token = a.token().scope("read").mint();
        assert!(validator.check(&Credentials::bearer(&token), &read()).is_ok());
    }
    assert_eq!(kept.scrape()[r#"scopegate_judged_total{outcome="accepted",reason="none"}"#], 500.0);

    drop(validator);
    soon("the driver has ended", || still_there.upgrade().is_none());
    assert!(!kept.scrape().contains_key("scopegate_events_lost_total{}"));
    sink.open();
    soon("the others are told how many were lost", || {
        kept.scrape().get("scopegate_events_lost_total{}").is_some_and(|lost| *lost > 0.0)
    });
}

/// A subscriber that counts what it is told, of keys and of judgements, and then panics.
#[derive(Clone, Default)]
struct Panics {
    keys: Arc<AtomicU64>,
    judged: Arc<AtomicU64>,
}

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("scopegate")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let of_keys = event.metadata().target() == "scopegate::keys";
        let count = if of_keys { &self.keys } else { &self.judged };
        count.fetch_add(1, Ordering::Relaxed);
        panic!("this panic belongs to the test");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn fault_row_40_a_subscriber_that_panics_changes_no_verdict_and_is_told_each_thing_once() {
    let (subscriber, kept) = (Panics::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(a.fetch()).clock(clock.clone());
    let validator = builder.observe(Watched::new(subscriber.clone(), &kept, 32)).build().unwrap();
    futures_executor::block_on(validator.warm_up()).unwrap();
    let told = || subscriber.keys.load(Ordering::Relaxed);
    soon("began, ended, changed, fresh: each has panicked", || told() == 4);
    let (good, bad) = (a.token().scope("read"), a.token().scope("read").signed_by_stranger());
    for round in 1..=10 {
        assert!(validator.check(&Credentials::bearer(&good.clone().mint()), &read()).is_ok());
        let refused = validator.check(&Credentials::bearer(&bad.clone().mint()), &read()).unwrap_err();
        assert_eq!(refused.reason(), scopegate::Reason::BadSignature);
        assert_eq!(subscriber.judged.load(Ordering::Relaxed), 2 * round, "each judgement is told once");
    }
    a.script(Fault::status(503));
    let before = told();
    clock.advance(seconds(3600));
    soon("later events still come", || told() > before);
    a.recover();
    clock.advance(seconds(61));
    let state = r#"scopegate_keys_state{issuer="https://a.example.test",state="fresh"}"#;
    soon("the keys are fresh again", || kept.scrape()[state] == 1.0);
    assert!(validator.check(&Credentials::bearer(&a.token().scope("read").mint()), &read()).is_ok());
}

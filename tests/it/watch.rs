//! What an operator sees: `tracing` and `metrics`, by stable names, bounded, and never a word of a token.

mod counted;
mod faults;
pub(crate) mod recorder;
mod restored;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scopegate::{
    Event, FetchCause, FetchOutcome, IntrospectionOutcome, Issuer, IssuerId, Judged, KeySet, KeyState, MetricsObserver,
    Observe, TracingObserver, Validator,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Metadata, Subscriber};

use crate::rotation::{API, seconds};
use recorder::Kept;

const A: &str = "https://a.example.test";

/// A subscriber that writes everything down: an event as `LEVEL target name (span) fields`, a span when it is opened and closed.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Lines>);

#[derive(Default)]
struct Lines {
    said: Mutex<Vec<String>>,
    open: Mutex<BTreeMap<u64, String>>,
    numbers: AtomicU64,
}

impl Log {
    fn say(&self, line: String) {
        self.0.said.lock().unwrap().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.said.lock().unwrap().clone()
    }

    fn open(&self) -> usize {
        self.0.open.lock().unwrap().len()
    }

    /// What is said while this runs.
    fn during(&self, run: impl FnOnce()) -> Vec<String> {
        let before = self.lines().len();
        tracing::dispatcher::with_default(&Dispatch::new(self.clone()), run);
        self.lines().split_off(before)
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("scopegate")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::default();
        span.record(&mut fields);
        let metadata = span.metadata();
        self.say(format!("{} {} {} opened{}", metadata.level(), metadata.target(), metadata.name(), fields.0));
        self.0.open.lock().unwrap().insert(number, metadata.name().to_owned());
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.say(format!("{} records{}", self.0.open.lock().unwrap()[&span.into_u64()], fields.0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let span = event.parent().map(|id| format!(" in {}", self.0.open.lock().unwrap()[&id.into_u64()]));
        let span = span.unwrap_or_default();
        self.say(format!("{} {} {}{span}:{}", metadata.level(), metadata.target(), metadata.name(), fields.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, span: Id) -> bool {
        let name = self.0.open.lock().unwrap().remove(&span.into_u64());
        self.say(format!("{} closed", name.unwrap()));
        true
    }
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

/// Both observers, heard by a log and a recorder of the test's own: those that the program installs are for all its tests.
#[derive(Debug)]
pub(crate) struct Watched {
    dispatch: Dispatch,
    kept: Kept,
    tracing: TracingObserver,
    metrics: MetricsObserver,
}

impl Watched {
    pub(crate) fn new(subscriber: impl Into<Dispatch>, kept: &Kept, most_issuers: usize) -> Arc<Self> {
        let metrics = metrics::with_local_recorder(kept, || MetricsObserver::new().issuers_at_most(most_issuers));
        let (dispatch, kept) = (subscriber.into(), kept.clone());
        Arc::new(Self { dispatch, kept, tracing: TracingObserver::new(), metrics })
    }

    fn heard(&self, tell: impl Fn(&dyn Observe)) {
        metrics::with_local_recorder(&self.kept, || {
            tracing::dispatcher::with_default(&self.dispatch, || {
                tell(&self.metrics);
                tell(&self.tracing);
            });
        });
    }
}

impl Observe for Watched {
    fn judged(&self, judged: &Judged<'_>) {
        self.heard(|observer| observer.judged(judged));
    }

    fn happened(&self, event: &Event) {
        self.heard(|observer| observer.happened(event));
    }
}

/// The identifiers of so many issuers, as a validator knows them.
fn identifiers(names: impl IntoIterator<Item = String>) -> Vec<IssuerId> {
    let none = || KeySet::from_json(br#"{"keys":[]}"#).unwrap();
    let builder =
        names.into_iter().fold(Validator::builder(API), |builder, name| builder.trust(Issuer::keys(&name, none())));
    builder.build().unwrap().health().issuers().iter().map(|issuer| issuer.issuer.clone()).collect()
}

fn a() -> IssuerId {
    identifiers([A.to_owned()]).remove(0)
}

fn set(kids: &[&str]) -> KeySet {
    let key = |kid: &&str| {
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        serde_json::json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y})
    };
    let mut keys: Vec<_> = kids.iter().map(key).collect();
    keys.push(serde_json::json!({"kty": "oct", "kid": "left out"}));
    KeySet::from_json(serde_json::json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn broken(words: &str) -> Arc<dyn std::error::Error + Send + Sync> {
    let cause: Box<dyn std::error::Error + Send + Sync> = words.into();
    Arc::from(cause)
}

fn began(cause: FetchCause) -> Event {
    Event::FetchBegan { issuer: a(), cause }
}

fn ended(cause: FetchCause, outcome: FetchOutcome) -> Event {
    Event::FetchEnded { issuer: a(), cause, took: Duration::from_millis(250), outcome }
}

fn failed(words: &str) -> FetchOutcome {
    FetchOutcome::Failed { kind: "status", error: broken(words), next_try: seconds(2) }
}

fn introspected(outcome: IntrospectionOutcome) -> Event {
    Event::Introspected { issuer: a(), took: Duration::from_millis(250), outcome }
}

fn unanswered(words: &str) -> IntrospectionOutcome {
    IntrospectionOutcome::Failed { kind: "status", error: broken(words) }
}

fn turned(before: KeyState, after: KeyState) -> Event {
    Event::StateChanged { issuer: a(), before, after }
}

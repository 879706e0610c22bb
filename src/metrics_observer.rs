//! Counts what a validator does, for `metrics`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::health::{Health, KeyState};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::observe::{Basis, Event, FetchCause, FetchOutcome, Judged, Observe};
use crate::reason::{Family, Reason};

const JUDGED: &str = "scopegate_judged_total";
const ACCEPTED: &str = "scopegate_accepted_total";
const JUDGED_DURATION: &str = "scopegate_judged_duration_seconds";
const FETCHES: &str = "scopegate_key_fetches_total";
const FETCH_DURATION: &str = "scopegate_key_fetch_duration_seconds";
const METADATA_FAILURES: &str = "scopegate_metadata_failures_total";
const CHANGES: &str = "scopegate_key_changes_total";
const STATE: &str = "scopegate_keys_state";
const KEYS: &str = "scopegate_keys";
const LEFT_OUT: &str = "scopegate_keys_left_out";
const AGE: &str = "scopegate_keys_age_seconds";
const RESTORES: &str = "scopegate_key_restores_total";
const ISSUERS: &str = "scopegate_resolved_issuers_total";
const RESOLVER_FAILURES: &str = "scopegate_resolver_failures_total";
const SAVE_FAILURES: &str = "scopegate_key_save_failures_total";
const INTROSPECTIONS: &str = "scopegate_introspections_total";
const INTROSPECTION_DURATION: &str = "scopegate_introspection_duration_seconds";
const HALTS: &str = "scopegate_introspection_halts_total";
const LOST: &str = "scopegate_events_lost_total";

/// The label of issuers beyond the bound.
const OTHER: &str = "other";
const STATES: [KeyState; 5] =
    [KeyState::NeverLoaded, KeyState::Fresh, KeyState::Stale, KeyState::Expired, KeyState::NotNeeded];

/// Counts what a validator does, for the recorder of [`metrics`](https://docs.rs/metrics): every judgement, and whatever
/// happens to the keys.
///
/// Names and labels are stable; `manual::watch_it` has the table. Every label is of a fixed list, but for the issuer's, which
/// is [bounded](Self::issuers_at_most): no client can make a new one.
///
/// Install the recorder first. Its counters and histograms of judgements are taken hold of by [`new`](Self::new), so that a
/// judgement costs no look-up and no allocation, and a recorder that is installed later never hears of one.
///
/// ```
/// use std::sync::Arc;
/// use scopegate::{Issuer, KeySet, MetricsObserver, Validator};
///
/// // Here the program has installed its recorder: that of `metrics-exporter-prometheus`, for one.
/// let metrics = Arc::new(MetricsObserver::new());
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", KeySet::from_json(br#"{"keys":[]}"#)?))
///     .observe(metrics.clone())
///     .build()?;
/// metrics.record_health(&validator.health()); // now and then: before each scrape, or each 15 s
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MetricsObserver {
    accepted: Counter,
    accepted_by: [(Basis, Counter); 3],
    refused: BTreeMap<Reason, Counter>,
    took: Took,
    most_issuers: usize,
    /// The issuers that have a label, and what their keys were when they were last told of. A label is never given back.
    issuers: Mutex<HashMap<IssuerId, Option<KeyState>>>,
}

struct Took {
    accepted: Histogram,
    refused: Histogram,
    unjudged: Histogram,
}

impl MetricsObserver {
    /// One that tells the recorder which is installed at this moment, with labels for 32 issuers.
    ///
    /// Every counter of judgements begins at zero here, so that a rate sees the first refusal too.
    #[must_use]
    pub fn new() -> Self {
        describe();
        let took = |outcome: &'static str| histogram!(JUDGED_DURATION, "outcome" => outcome);
        Self {
            accepted: counter!(JUDGED, "outcome" => "accepted", "reason" => "none"),
            accepted_by: Basis::ALL.map(|basis| (basis, counter!(ACCEPTED, "basis" => basis.label()))),
            refused: Reason::ALL.into_iter().map(|reason| (reason, refusals(reason))).collect(),
            took: Took { accepted: took("accepted"), refused: took("refused"), unjudged: took("unjudged") },
            most_issuers: 32,
            issuers: Mutex::default(),
        }
    }

    /// How many issuers get a label of their own, first come, first served; the others share the label `other`, and have no
    /// gauges. Default: 32. Bounds: none; 0 gives none a label. Reason: each label makes some forty series, and a resolver may
    /// name ten thousand issuers.
    #[must_use]
    pub const fn issuers_at_most(mut self, most: usize) -> Self {
        self.most_issuers = most;
        self
    }

    /// Sets the gauges of every issuer that has a label to what its health is: the state, the number of keys, and their age,
    /// which no event tells.
    ///
    /// Call it now and then, before each scrape for one. It is right also where events were [lost](Event::Lost).
    ///
    /// ```
    /// # use scopegate::{Issuer, KeySet, MetricsObserver, Validator};
    /// # let validator = Validator::builder("https://api.example.com")
    /// #     .trust(Issuer::keys("https://id.example.com", KeySet::from_json(br#"{"keys":[]}"#)?)).build()?;
    /// let metrics = MetricsObserver::new();
    /// metrics.record_health(&validator.health());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_health(&self, health: &Health) {
        for issuer in health.issuers() {
            self.set_state(&issuer.issuer, issuer.state);
            self.set_keys(&issuer.issuer, &issuer.keys);
            if let Some(age) = issuer.age {
                self.set_age(&issuer.issuer, age);
            }
        }
    }

    /// The label of this issuer's own, if there is room for it.
    fn own_label(&self, issuer: &IssuerId) -> Option<String> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if !issuers.contains_key(issuer) {
            if issuers.len() >= self.most_issuers {
                return None;
            }
            issuers.insert(issuer.clone(), None);
        }
        Some(issuer.as_str().to_owned())
    }

    fn label(&self, issuer: &IssuerId) -> String {
        self.own_label(issuer).unwrap_or_else(|| OTHER.to_owned())
    }

    /// Notes what the keys of an issuer are, if it has a label; says whether it has.
    fn note(&self, issuer: &IssuerId, state: Option<KeyState>) -> bool {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.get_mut(issuer).map(|noted| *noted = state).is_some()
    }

    fn set_state(&self, issuer: &IssuerId, state: KeyState) {
        let Some(label) = self.own_label(issuer) else { return };
        self.note(issuer, Some(state));
        for each in STATES {
            state_gauge(&label, each).set(if each == state { 1.0 } else { 0.0 });
        }
    }

    fn set_keys(&self, issuer: &IssuerId, keys: &KeySet) {
        let Some(label) = self.own_label(issuer) else { return };
        gauge!(KEYS, "issuer" => label.clone()).set(float(keys.keys().len()));
        gauge!(LEFT_OUT, "issuer" => label).set(float(keys.left_out().len()));
    }

    /// Before its first keys nothing but this tells that an issuer is there.
    fn began(&self, issuer: &IssuerId) {
        let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = issuers.get(issuer).is_some_and(Option::is_some);
        drop(issuers);
        if !is_known {
            self.set_state(issuer, KeyState::NeverLoaded);
        }
    }

    /// Saved keys serve, and are stale from the start. Nothing else tells of them until they are fetched.
    fn restored(&self, issuer: &IssuerId, age: Duration, keys: &KeySet) {
        counter!(RESTORES, "outcome" => "restored").increment(1);
        self.set_state(issuer, KeyState::Stale);
        self.set_keys(issuer, keys);
        self.set_age(issuer, age);
    }

    fn set_age(&self, issuer: &IssuerId, age: Duration) {
        if let Some(label) = self.own_label(issuer) {
            gauge!(AGE, "issuer" => label).set(age);
        }
    }

    fn ended(&self, issuer: &IssuerId, cause: FetchCause, took: Duration, outcome: &FetchOutcome) {
        let label = self.label(issuer);
        histogram!(FETCH_DURATION, "issuer" => label.clone()).record(took);
        counter!(FETCHES, "issuer" => label, "cause" => cause.label(), "outcome" => outcome.label()).increment(1);
    }

    /// An issuer that is gone is in no state, and has no keys. One that never had a label has nothing to take back.
    fn left(&self, issuer: &IssuerId, change: &'static str) {
        counter!(ISSUERS, "change" => change).increment(1);
        if !self.note(issuer, None) {
            return;
        }
        let label = issuer.as_str();
        for state in STATES {
            state_gauge(label, state).set(0.0);
        }
        for name in [KEYS, LEFT_OUT, AGE] {
            gauge!(name, "issuer" => label.to_owned()).set(0.0);
        }
    }
}

impl Observe for MetricsObserver {
    fn judged(&self, judged: &Judged<'_>) {
        let Some(reason) = judged.refused else {
            self.accepted.increment(1);
            let by = self.accepted_by.iter().filter(|(basis, _)| judged.basis == Some(*basis));
            by.for_each(|(_, counter)| counter.increment(1));
            self.took.accepted.record(judged.took);
            return;
        };
        match self.refused.get(&reason) {
            Some(refused) => refused.increment(1),
            None => refusals(reason).increment(1),
        }
        let took = if is_unjudged(reason) { &self.took.unjudged } else { &self.took.refused };
        took.record(judged.took);
    }

    fn happened(&self, event: &Event) {
        match event {
            Event::FetchBegan { issuer, .. } => self.began(issuer),
            Event::FetchEnded { issuer, cause, took, outcome } => self.ended(issuer, *cause, *took, outcome),
            Event::MetadataFailed { issuer, .. } => {
                counter!(METADATA_FAILURES, "issuer" => self.label(issuer)).increment(1);
            }
            Event::KeysChanged { issuer, after, .. } => {
                counter!(CHANGES, "issuer" => self.label(issuer)).increment(1);
                self.set_keys(issuer, after);
            }
            Event::StateChanged { issuer, after, .. } => self.set_state(issuer, *after),
            Event::Restored { issuer, age, keys } => self.restored(issuer, *age, keys),
            Event::RestoreRefused { .. } => counter!(RESTORES, "outcome" => "refused").increment(1),
            Event::IssuerResolved { .. } => counter!(ISSUERS, "change" => "resolved").increment(1),
            Event::IssuerEvicted { issuer } => self.left(issuer, "evicted"),
            Event::IssuerWithdrawn { issuer } => self.left(issuer, "withdrawn"),
            Event::ResolverFailed { .. } => counter!(RESOLVER_FAILURES).increment(1),
            Event::SaveFailed { .. } => counter!(SAVE_FAILURES).increment(1),
            Event::Introspected { issuer, took, outcome } => {
                let label = self.label(issuer);
                histogram!(INTROSPECTION_DURATION, "issuer" => label.clone()).record(*took);
                counter!(INTROSPECTIONS, "issuer" => label, "outcome" => outcome.label()).increment(1);
            }
            Event::IntrospectionHalted { issuer, why } => {
                counter!(HALTS, "issuer" => self.label(issuer), "why" => why.label()).increment(1);
            }
            Event::IntrospectionResumed { .. } => {}
            Event::Lost { events } => counter!(LOST).increment(*events),
        }
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsObserver").field("most_issuers", &self.most_issuers).finish_non_exhaustive()
    }
}

const fn is_unjudged(reason: Reason) -> bool {
    matches!(reason.family(), Family::Unavailable | Family::Misconfigured)
}

fn refusals(reason: Reason) -> Counter {
    let outcome = if is_unjudged(reason) { "unjudged" } else { "refused" };
    counter!(JUDGED, "outcome" => outcome, "reason" => reason.label())
}

fn state_gauge(issuer: &str, state: KeyState) -> Gauge {
    gauge!(STATE, "issuer" => issuer.to_owned(), "state" => state.label())
}

/// A set has far fewer keys than a float can count.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn describe() {
    describe_counter!(JUDGED, Unit::Count, "Requests that were judged, by outcome and reason.");
    describe_histogram!(JUDGED_DURATION, Unit::Seconds, "How long judging took, waiting for the network included.");
    describe_counter!(ACCEPTED, Unit::Count, "Tokens that were accepted, by what it took.");
    describe_counter!(FETCHES, Unit::Count, "Fetches of keys that ended, by issuer, cause and outcome.");
    describe_histogram!(FETCH_DURATION, Unit::Seconds, "How long fetching keys took.");
    describe_counter!(METADATA_FAILURES, Unit::Count, "Times that an issuer's metadata could not be read again.");
    describe_counter!(CHANGES, Unit::Count, "Times that the keys of an issuer became others.");
    describe_gauge!(STATE, Unit::Count, "1 for the state that the keys of an issuer are in, 0 for the others.");
    describe_gauge!(KEYS, Unit::Count, "Keys of an issuer that are in use.");
    describe_gauge!(LEFT_OUT, Unit::Count, "Keys in an issuer's set that cannot be used.");
    describe_gauge!(AGE, Unit::Seconds, "How long ago the issuer last vouched for its keys, when health was recorded.");
    describe_counter!(RESTORES, Unit::Count, "Saved keys that serve, or do not.");
    describe_counter!(ISSUERS, Unit::Count, "Issuers that were resolved, evicted or withdrawn.");
    describe_counter!(RESOLVER_FAILURES, Unit::Count, "Times that the resolver did not answer as it should.");
    describe_counter!(SAVE_FAILURES, Unit::Count, "Times that keys could not be written to their file.");
    describe_counter!(INTROSPECTIONS, Unit::Count, "Questions about tokens that ended, by issuer and outcome.");
    describe_histogram!(INTROSPECTION_DURATION, Unit::Seconds, "How long asking an issuer about a token took.");
    describe_counter!(HALTS, Unit::Count, "Times that an issuer was spared a question, at most one a second.");
    describe_counter!(LOST, Unit::Count, "Events that were not told, because a listener took too long.");
}

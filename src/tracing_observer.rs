//! Tells `tracing` what a validator does.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::iter::successors;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::Empty;
use tracing::{Span, debug, error, info, info_span, warn};

use crate::health::KeyState;
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::observe::{Basis, Event, FetchCause, FetchOutcome, IntrospectionOutcome, Judged, Observe};

const JUDGED: &str = "scopegate::judged";
const KEYS: &str = "scopegate::keys";
const INTROSPECTION: &str = "scopegate::introspection";

/// So many fetches may have a span at a time. The events of further ones are told without.
const MOST_SPANS: usize = 1024;
/// Characters of an error's words, and of a key's name, before they are cut.
const LONGEST_WORDS: usize = 500;
const LONGEST_NAME: usize = 64;
/// Causes behind an error, and names of keys, that are told.
const MOST_CAUSES: usize = 8;
const MOST_NAMES: usize = 8;

/// Tells [`tracing`](https://docs.rs/tracing) what a validator does: every judgement, and whatever happens to the keys.
///
/// Names, targets, levels and fields are stable; `manual::watch_it` has the table. Neither a token nor a claim is ever told:
/// an issuer is named where it is trusted, and a refusal has its [label](crate::Reason::label) alone.
///
/// A judgement is an event of the target `scopegate::judged` at `DEBUG`, said in the span of the request, on its own way: a
/// subscriber that takes its time over it takes the request's time. Nothing is said where the level is off. Everything else is
/// of the target `scopegate::keys` and said on a thread of its own, so the subscriber must be the program's global default
/// to hear it.
///
/// ```
/// use std::sync::Arc;
/// use scopegate::{Issuer, KeySet, TracingObserver, Validator};
///
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", KeySet::from_json(br#"{"keys":[]}"#)?))
///     .observe(Arc::new(TracingObserver::new()))
///     .build()?;
/// assert!(!validator.is_ready());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct TracingObserver {
    /// The span of each fetch that is under way. No subscriber is ever called while this is locked.
    fetches: Mutex<HashMap<(IssuerId, FetchCause), Span>>,
}

impl TracingObserver {
    /// One for a validator; several may share it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<(IssuerId, FetchCause), Span>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(&self, issuer: &IssuerId, cause: FetchCause) {
        let span = info_span!(
            target: KEYS,
            parent: None,
            "scopegate.fetch",
            issuer = issuer.as_str(),
            cause = cause.label(),
            outcome = Empty
        );
        debug!(name: "fetch_began", target: KEYS, parent: &span, issuer = issuer.as_str(), cause = cause.label(), "fetch began");
        let key = (issuer.clone(), cause);
        let mut fetches = self.fetches();
        let has_room = fetches.len() < MOST_SPANS || fetches.contains_key(&key);
        let closed = if has_room { fetches.insert(key, span) } else { Some(span) };
        drop(fetches);
        drop(closed);
    }

    fn ended(&self, issuer: &IssuerId, cause: FetchCause, took_seconds: f64, outcome: &FetchOutcome) {
        let span = self.fetches().remove(&(issuer.clone(), cause)).unwrap_or_else(Span::none);
        let (issuer, cause, label) = (issuer.as_str(), cause.label(), outcome.label());
        span.record("outcome", label);
        match outcome {
            FetchOutcome::Fetched | FetchOutcome::NotModified | FetchOutcome::Late => debug!(
                name: "fetch_ended", target: KEYS, parent: &span,
                issuer, cause, outcome = label, took_seconds, "fetch ended"
            ),
            FetchOutcome::Unconfirmed => warn!(
                name: "fetch_ended", target: KEYS, parent: &span,
                issuer, cause, outcome = label, took_seconds, "fetch ended without a usable key"
            ),
            FetchOutcome::Failed { error, next_try, .. } => warn!(
                name: "fetch_failed", target: KEYS, parent: &span,
                issuer, cause, outcome = label, took_seconds, error = words(&**error),
                next_try_seconds = next_try.as_secs_f64(), "fetch failed"
            ),
        }
    }

    /// Closes the spans of fetches whose end may never be told.
    fn close(&self, is_over: impl Fn(&IssuerId) -> bool) {
        let closed: Vec<_> = self.fetches().extract_if(|(issuer, _), _| is_over(issuer)).collect();
        drop(closed);
    }
}

impl Observe for TracingObserver {
    fn judged(&self, judged: &Judged<'_>) {
        let took_seconds = judged.took.as_secs_f64();
        match judged.refused {
            None => {
                let issuer = judged.issuer.map(IssuerId::as_str);
                let basis = judged.basis.map(Basis::label);
                debug!(name: "accepted", target: JUDGED, issuer, basis, took_seconds, "token accepted");
            }
            Some(reason) => {
                debug!(name: "refused", target: JUDGED, reason = reason.label(), took_seconds, "token refused");
            }
        }
    }

    fn happened(&self, event: &Event) {
        match event {
            Event::FetchBegan { issuer, cause } => self.began(issuer, *cause),
            Event::FetchEnded { issuer, cause, took, outcome } => {
                self.ended(issuer, *cause, took.as_secs_f64(), outcome);
            }
            Event::MetadataFailed { issuer, error } => warn!(
                name: "metadata_failed", target: KEYS,
                issuer = issuer.as_str(), error = words(&**error), "metadata could not be read again"
            ),
            Event::KeysChanged { issuer, before, after } => keys_changed(issuer, before, after),
            Event::StateChanged { issuer, before, after } => state_changed(issuer, *before, *after),
            Event::Restored { issuer, age, .. } => info!(
                name: "restored", target: KEYS,
                issuer = issuer.as_str(), age_seconds = age.as_secs_f64(), "saved keys serve"
            ),
            Event::RestoreRefused { issuer, error } => warn!(
                name: "restore_refused", target: KEYS,
                issuer = issuer.as_str(), error = words(&**error), "saved keys do not serve"
            ),
            Event::IssuerResolved { issuer } => {
                info!(name: "issuer_resolved", target: KEYS, issuer = issuer.as_str(), "issuer resolved");
            }
            Event::IssuerEvicted { issuer } => {
                self.close(|over| over == issuer);
                info!(name: "issuer_evicted", target: KEYS, issuer = issuer.as_str(), "issuer evicted");
            }
            Event::IssuerWithdrawn { issuer } => {
                self.close(|over| over == issuer);
                info!(name: "issuer_withdrawn", target: KEYS, issuer = issuer.as_str(), "issuer withdrawn");
            }
            Event::ResolverFailed { error } => {
                warn!(name: "resolver_failed", target: KEYS, error = words(&**error), "resolver failed");
            }
            Event::SaveFailed { error } => {
                warn!(name: "save_failed", target: KEYS, error = words(&**error), "keys could not be saved");
            }
            Event::Introspected { issuer, took, outcome } => introspected(issuer, took.as_secs_f64(), outcome),
            Event::IntrospectionHalted { issuer, why } => warn!(
                name: "introspection_halted", target: INTROSPECTION,
                issuer = issuer.as_str(), why = why.label(), "the issuer is not asked about tokens for a while"
            ),
            Event::IntrospectionResumed { issuer } => info!(
                name: "introspection_resumed", target: INTROSPECTION,
                issuer = issuer.as_str(), "the issuer is asked about tokens again"
            ),
            Event::Lost { events } => {
                self.close(|_| true);
                warn!(name: "lost", target: KEYS, events, "events were lost: the listener takes too long");
            }
        }
    }
}

fn introspected(issuer: &IssuerId, took_seconds: f64, outcome: &IntrospectionOutcome) {
    let (issuer, label) = (issuer.as_str(), outcome.label());
    match outcome {
        IntrospectionOutcome::Failed { error, .. } => warn!(
            name: "introspection_failed", target: INTROSPECTION,
            issuer, took_seconds, outcome = label, error = words(&**error), "the issuer did not say what a token is worth"
        ),
        IntrospectionOutcome::Active | IntrospectionOutcome::Refused(_) | IntrospectionOutcome::Forgotten => debug!(
            name: "introspected", target: INTROSPECTION,
            issuer, took_seconds, outcome = label, "the issuer was asked about a token"
        ),
    }
}

fn keys_changed(issuer: &IssuerId, before: &KeySet, after: &KeySet) {
    info!(
        name: "keys_changed", target: KEYS,
        issuer = issuer.as_str(),
        keys = after.keys().len(),
        left_out = after.left_out().len(),
        added = names_missing(before, after),
        removed = names_missing(after, before),
        "keys changed"
    );
}

fn state_changed(issuer: &IssuerId, before: KeyState, after: KeyState) {
    let (issuer, before) = (issuer.as_str(), before.label());
    let label = after.label();
    match after {
        KeyState::Fresh | KeyState::NotNeeded => {
            info!(name: "state_changed", target: KEYS, issuer, before, after = label, "keys are fresh");
        }
        KeyState::Stale => warn!(
            name: "state_changed", target: KEYS,
            issuer, before, after = label, "keys are stale: the issuer could not be asked in time"
        ),
        KeyState::Expired | KeyState::NeverLoaded => error!(
            name: "state_changed", target: KEYS,
            issuer, before, after = label, "there are no usable keys: requests are refused"
        ),
    }
}

/// The names of keys that are in one set and not in the other. They come from the issuer, so they are bounded and escaped.
fn names_missing(from: &KeySet, among: &KeySet) -> String {
    let known = |name: &str| from.keys().iter().any(|key| key.kid() == Some(name));
    let missing = among.keys().iter().filter_map(|key| key.kid()).filter(|name| !known(name));
    missing.take(MOST_NAMES).map(|name| plain(name, LONGEST_NAME)).collect::<Vec<_>>().join(", ")
}

/// An error and its causes in one line. Some of it can be a server's words, so it is bounded and escaped.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()).take(MOST_CAUSES) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    plain(&text, LONGEST_WORDS)
}

fn plain(text: &str, longest: usize) -> String {
    let mut plain = String::new();
    for letter in text.chars().take(longest) {
        match letter {
            '"' | '\'' => plain.push(letter),
            _ => plain.extend(letter.escape_debug()),
        }
    }
    plain
}

impl fmt::Debug for TracingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingObserver").finish_non_exhaustive()
    }
}

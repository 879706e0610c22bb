//! What the driver tells of what it did.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::keys::refresh::Order;
use crate::observe::{Event, FetchCause, FetchOutcome};
use crate::restored::Restored;
use crate::wire::driver::slot::{self, Slot};
use crate::wire::news::News;

/// What became of saved keys; where they serve, the slot of their issuer has them.
pub(super) fn tell_restored(news: &News, restored: &Restored, slot: Option<&Slot>) {
    let issuer = restored.issuer.clone();
    news.tell(|| match &restored.outcome {
        Ok(age) => {
            Event::Restored { issuer, age: *age, keys: slot.map(|slot| slot.keys().clone()).unwrap_or_default() }
        }
        Err(error) => Event::RestoreRefused { issuer, error: Arc::new(error.clone()) },
    });
}

pub(super) fn tell_turn(news: &News, slot: &mut Slot, now: Timestamp) {
    if let Some((before, after)) = slot.turned(now) {
        news.tell(|| Event::StateChanged { issuer: slot.issuer.clone(), before, after });
    }
}

pub(super) fn tell_arrival(news: &News, slot: &Slot, order: Order, arrived: slot::News, now: Timestamp) {
    let took = now.uptime().saturating_sub(slot.asked.uptime());
    let ended = |cause: FetchCause, outcome| Event::FetchEnded { issuer: slot.issuer.clone(), cause, took, outcome };
    let outcome = match arrived {
        slot::News::Replaced { before } => {
            news.tell(|| ended(order.cause, FetchOutcome::Fetched));
            news.tell(|| Event::KeysChanged { issuer: slot.issuer.clone(), before, after: slot.keys().clone() });
            return;
        }
        slot::News::Renewed => FetchOutcome::NotModified,
        slot::News::Unconfirmed => FetchOutcome::Unconfirmed,
        slot::News::Failed(error) => FetchOutcome::Failed {
            kind: error.label(),
            error,
            next_try: slot.refresh.next_try(now).unwrap_or_default(),
        },
        slot::News::Late => FetchOutcome::Late,
    };
    news.tell(|| ended(order.cause, outcome));
}

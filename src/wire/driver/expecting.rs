//! Programs that wait, before they begin, until an issuer can be asked about tokens: where, and as whom.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::decision::Supply;
use crate::wire::driver::Patience;
use crate::wire::fetch::FetchError;

/// How soon it is tried again: then twice as long, and so on.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// All who wait for one issuer.
#[derive(Default)]
pub(super) struct Expecting {
    waiting: Vec<Expectant>,
    /// How often it has failed in a row.
    failures: u32,
    /// The uptime at which it is tried again.
    again_at: Duration,
    last_error: Option<Arc<FetchError>>,
}

struct Expectant {
    patience: Patience,
    since: Timestamp,
    reply: oneshot::Sender<Supply>,
}

impl Expectant {
    const fn left(&self, now: Timestamp) -> Duration {
        let (Patience::Until(limit) | Patience::Success(limit)) = self.patience else { return Duration::ZERO };
        limit.saturating_sub(now.uptime().saturating_sub(self.since.uptime()))
    }
}

impl Expecting {
    pub(super) fn wait(&mut self, patience: Patience, now: Timestamp, reply: oneshot::Sender<Supply>) {
        self.waiting.push(Expectant { patience, since: now, reply });
    }

    /// It was found out.
    pub(super) fn met(&mut self) {
        for expectant in std::mem::take(self).waiting {
            let _ = expectant.reply.send(Supply::Fetched);
        }
    }

    /// It could not be: who waits for one try is told, and the others wait for the next.
    pub(super) fn failed(&mut self, error: &Arc<FetchError>, now: Timestamp) {
        let wait = AGAIN.saturating_mul(2_u32.saturating_pow(self.failures)).min(AGAIN_AT_MOST);
        self.failures = self.failures.saturating_add(1);
        self.again_at = now.uptime().saturating_add(wait.max(error.retry_after().unwrap_or_default()));
        self.last_error = Some(Arc::clone(error));
        self.tell(|expectant| !matches!(expectant.patience, Patience::Success(_)));
    }

    /// Tells those who have waited as long as they would.
    pub(super) fn answer_the_late(&mut self, now: Timestamp) {
        self.tell(|expectant| expectant.left(now).is_zero());
    }

    /// Whether it is to be tried again.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.waiting.is_empty() && self.failures > 0 && now.uptime() >= self.again_at
    }

    /// Whether somebody waits, and nothing has failed that is to be tried again later.
    pub(super) const fn is_hopeful(&self) -> bool {
        !self.waiting.is_empty() && self.failures == 0
    }

    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Duration> {
        let first = self.waiting.iter().map(|expectant| expectant.left(now)).min()?;
        let again = self.again_at.saturating_sub(now.uptime());
        Some(if again.is_zero() { first } else { first.min(again) })
    }

    fn tell(&mut self, is_told: impl Fn(&Expectant) -> bool) {
        for expectant in self.waiting.extract_if(.., |expectant| is_told(expectant)) {
            let error = self.last_error.clone().unwrap_or_else(|| Arc::new(FetchError::other(LATE)));
            let _ = expectant.reply.send(Supply::Unreachable(error));
        }
    }
}

const LATE: &str = "it is not known yet where, or as whom, the issuer is asked";

//! The near end of the driver: how needs reach its thread, and how what came of them comes back.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::decision::{Need, Supply};
use crate::introspection::memory::{FlightId, TokenText};
use crate::issuer_id::IssuerId;
use crate::keys::refresh::Order;
use crate::reason::Cause;
use crate::tenants::{Directory, Question};
use crate::wire::driver::desk::Ready;
use crate::wire::driver::hand_over::{HandOver, Sender, Started, Unread};
use crate::wire::driver::resolving::Resolved;
use crate::wire::driver::slot::Arrival;
use crate::wire::driver::{Patience, Plan, Wire, unreachable};
use crate::wire::fetch::FetchError;

/// By how much the two clocks may drift apart, in milliseconds, before that means that one was set, or the computer slept.
const DRIFT: u64 = 2000;

/// A thread that has not looked for so long, in milliseconds, though it looks once a minute, is gone: it was left behind by a fork,
/// or ended by a panic.
const LOOKS_WITHIN: u64 = 180_000;

pub(super) enum Message {
    Needed {
        need: Need,
        patience: Patience,
        reply: Option<oneshot::Sender<Supply>>,
    },
    Arrived {
        issuer: IssuerId,
        slot: u64,
        order: Order,
        arrival: Arrival,
    },
    Resolved {
        name: Box<str>,
        question: Question,
        answer: Resolved,
    },
    Forgotten {
        name: Box<str>,
    },
    /// Saved keys that were not asked for yet serve no more.
    LeftoversForgotten,
    Kept {
        result: Result<(), Cause>,
    },
    /// It was found out what it takes to ask an issuer about tokens.
    Prepared {
        issuer: IssuerId,
        asker: u64,
        found: Result<Ready, FetchError>,
    },
    /// An issuer has answered what it was asked about a token.
    Answered {
        issuer: IssuerId,
        asker: u64,
        token: TokenText,
        id: FlightId,
        outcome: Result<Vec<u8>, FetchError>,
    },
    ClockTurned,
}

/// The near end of the thread.
pub(crate) struct Driver {
    /// What the thread will begin with; `None` where nothing is ever fetched.
    plan: Option<Plan>,
    hand_over: HandOver<mpsc::UnboundedSender<Message>>,
    watch: Watch,
}

/// When the thread last looked, for checks to see that it is overdue.
#[derive(Clone)]
pub(super) struct Watch(Arc<Looked>);

struct Looked {
    /// How far the wall clock was ahead of the other, in milliseconds.
    drift: AtomicI64,
    /// The uptime, in milliseconds.
    at: AtomicU64,
}

impl Watch {
    pub(super) fn new(drift: i64) -> Self {
        Self(Arc::new(Looked { drift: AtomicI64::new(drift), at: AtomicU64::new(0) }))
    }

    /// The thread looks at this time.
    pub(super) fn note(&self, now: Timestamp) {
        self.0.at.store(millis(now), Ordering::Relaxed);
        self.0.drift.store(drift(now), Ordering::Relaxed);
    }

    /// Whether a clock was set, the computer slept, or the thread is gone, since it last looked. True to one who asks, and to no
    /// other.
    fn is_overdue(&self, now: Timestamp) -> bool {
        let (known, found) = (self.0.drift.load(Ordering::Relaxed), drift(now));
        if known == NEVER {
            return false;
        }
        let at = self.0.at.load(Ordering::Relaxed);
        let is_overdue = known.abs_diff(found) > DRIFT || millis(now).saturating_sub(at) > LOOKS_WITHIN;
        is_overdue && self.0.at.compare_exchange(at, millis(now), Ordering::Relaxed, Ordering::Relaxed).is_ok() && {
            self.0.drift.store(found, Ordering::Relaxed);
            true
        }
    }
}

/// The thread has not looked yet.
const NEVER: i64 = i64::MIN;

fn millis(now: Timestamp) -> u64 {
    u64::try_from(now.uptime().as_millis()).unwrap_or(u64::MAX)
}

fn drift(now: Timestamp) -> i64 {
    let uptime = i64::try_from(now.uptime().as_millis()).unwrap_or(i64::MAX);
    now.unix_millis().saturating_sub(uptime).max(NEVER.saturating_add(1))
}

impl Driver {
    /// A driver that has not begun. Without a plan it never will.
    pub(crate) fn new(plan: Option<Plan>) -> Self {
        // Restored keys are due, and nobody needs them so much that he would say so: the first check finds the thread overdue.
        let is_due = plan.as_ref().is_some_and(Plan::has_restored);
        let drift = if is_due { NEVER.saturating_add(1) } else { NEVER };
        Self { plan, hand_over: HandOver::new(), watch: Watch::new(drift) }
    }

    /// Starts what is needed and does not wait; says whether there is a thread that sees to it, or will when it is asked again.
    pub(crate) fn start(&self, need: Need) -> bool {
        let question = Message::Needed { need, patience: Patience::OneAnswer, reply: None };
        match self.hand_over.start(process::id(), |unread| self.begin(unread), question) {
            Started::Sent | Started::Crowded => true,
            Started::Nobody => false,
        }
    }

    /// Asks for what is needed; what came of it is the receiver's to wait for.
    ///
    /// The inbox has no bound of its own for those who wait: there are as many of them as the program has requests, and one
    /// who waited for a place and was then not polled would hold it against everybody.
    pub(crate) fn ask(&self, need: Need, patience: Patience) -> Answer {
        let (reply, answer) = oneshot::channel();
        let question = Message::Needed { need, patience, reply: Some(reply) };
        let line = self.hand_over.ask(process::id(), |unread| self.begin(unread), question);
        Answer { reply: answer, line }
    }

    /// Wakes the thread if a clock was set or the computer slept, which its own timer does not tell: keys may be due. One that is
    /// gone is replaced.
    pub(crate) fn notice(&self, now: Timestamp) {
        if self.watch.is_overdue(now) {
            self.hand_over.wake(process::id(), |unread| self.begin(unread), Message::ClockTurned);
        }
    }

    /// Takes the program's word on a resolved issuer back: its keys need not be fetched, and saved ones serve no more.
    pub(crate) fn forget(&self, name: &str, directory: &Directory) {
        // Saved keys first, so that none are there for whoever is resolved anew.
        let was_saved = self.plan.as_ref().is_some_and(|plan| plan.leftovers.forget(name));
        directory.forget(name);
        self.tell(Message::Forgotten { name: name.into() }, was_saved);
    }

    /// Saved keys of issuers that were not named yet serve no more: they may be what the program has learned to be compromised.
    pub(crate) fn forget_leftovers(&self) {
        if self.plan.as_ref().is_some_and(|plan| plan.leftovers.forget_all()) {
            self.tell(Message::LeftoversForgotten, true);
        }
    }

    /// Tells the thread. Where there is none, it concerns nobody but a file from which saved keys are to disappear.
    fn tell(&self, word: Message, concerns_file: bool) {
        if concerns_file && self.plan.as_ref().is_some_and(|plan| plan.key_file.is_some()) {
            self.hand_over.ask(process::id(), |unread| self.begin(unread), word);
        } else {
            self.hand_over.tell(process::id(), word);
        }
    }

    /// Begins the thread; `None` if there is nothing for it to do, or the system has none to give.
    fn begin(&self, unread: Unread) -> Option<mpsc::UnboundedSender<Message>> {
        let (plan, watch) = (self.plan.clone()?, self.watch.clone());
        let (inbox, messages) = mpsc::unbounded_channel();
        let post = inbox.downgrade();
        let run = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(Wire::new(plan, post, unread, watch).run(messages));
            // A name that is still being resolved must not hold the thread.
            runtime.shutdown_background();
        };
        thread::Builder::new().name("scopegate-wire".to_owned()).spawn(run).ok()?;
        Some(inbox)
    }
}

impl Sender<Message> for mpsc::UnboundedSender<Message> {
    fn send(&self, message: Message) -> bool {
        Self::send(self, message).is_ok()
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// What will come of a need.
pub(crate) struct Answer {
    reply: oneshot::Receiver<Supply>,
    /// The line to the thread that was asked.
    line: Option<mpsc::UnboundedSender<Message>>,
}

impl Answer {
    /// Waits for it, at most as long as its kind of need may take.
    pub(crate) async fn wait(self) -> Supply {
        let Self { mut reply, line } = self;
        let Some(line) = line else { return nobody() };
        let mut closed = pin!(line.closed());
        // A message that is sent while the thread ends may lie in the line for ever, and its reply with it.
        poll_fn(|context| {
            let mut answer = |context: &mut Context<'_>| Pin::new(&mut reply).poll(context);
            if let Poll::Ready(supply) = answer(context) {
                return Poll::Ready(supply.unwrap_or_else(|_| nobody()));
            }
            ready!(closed.as_mut().poll(context));
            // What was answered before it ended still counts.
            match answer(context) {
                Poll::Ready(Ok(supply)) => Poll::Ready(supply),
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(nobody()),
            }
        })
        .await
    }
}

/// Tells all who wait, if anybody does.
pub(super) fn answer(replies: impl IntoIterator<Item = oneshot::Sender<Supply>>, supply: &Supply) {
    for reply in replies {
        // Who has given up waiting hears nothing.
        let _ = reply.send(supply.clone());
    }
}

fn nobody() -> Supply {
    unreachable("the thread that fetches keys could not be started or has ended, or the issuer is trusted no longer")
}

//! The thread that fetches keys, so that no request has to.
//!
//! One named thread a validator, started when something is first needed, with a runtime of its own: keys stay fresh in a
//! program that has none, and a starved or stopped runtime of the application does not reach it. These hold:
//!
//! 1. The driver alone writes to the stores of fetched keys.
//! 2. What is fetched, and when, its refresh machines say; the driver obeys.
//! 3. Whoever waits is answered at a deadline of its own, whatever the network does.
//! 4. The thread ends when the last validator that it serves is dropped; nobody waits for it to end.
//! 5. A panic in a [`Fetch`] is a failed fetch.

mod slot;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::decision::{Need, Supply};
use crate::issuer::{RemoteKeys, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::keys::refresh::{Order, Refresh};
use crate::keys::remote::{find, load};
use crate::keys::store::KeyStore;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits};
use slot::{Arrival, News, Slot, Step, Waiting};

/// How long finding and fetching a key set may take in all, whatever a `Fetch` makes of its limits.
const LONGEST_LOAD: Duration = Duration::from_secs(20);
/// Questions that nobody waits for and that may lie unread. More would only repeat them.
const UNREAD: usize = 1024;
/// Messages that are read before anything else is done.
const BATCH: usize = 4096;
/// How many may wait for one issuer at a time. More are told that the issuer cannot be asked.
const MOST_WAITING: usize = 65_536;
/// How long the thread may sleep where nothing is due, so that a computer that slept is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// The near end of the thread.
pub(crate) struct Driver {
    /// What the thread will begin with; its inbox once it has begun.
    plan: Option<Plan>,
    /// Behind a lock, since only who needs the network comes here; a thread that could not start, or has died, is replaced.
    inbox: Mutex<Option<mpsc::UnboundedSender<Message>>>,
    /// Questions that nobody waits for and that lie unread.
    unread: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Plan {
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    /// In the order of the validator's issuers; `None` for one whose keys are not fetched.
    remotes: Vec<Option<(IssuerId, RemoteKeys, Arc<KeyStore>)>>,
    max_stale: Duration,
}

enum Message {
    Needed(Need, Option<oneshot::Sender<Supply>>),
    Arrived { issuer: usize, order: Order, arrival: Arrival },
    ClockTurned,
}

impl Driver {
    /// A driver that has not begun. Without a way out it never will.
    pub(crate) fn new(
        fetch: Option<Arc<dyn Fetch>>,
        clock: Arc<dyn Clock>,
        issuers: &[TrustedIssuer],
        max_stale: Duration,
    ) -> Self {
        let of_issuer = |issuer: &TrustedIssuer| {
            let remote = issuer.remote.clone()?;
            Some((issuer.rules.issuer.clone(), remote, Arc::clone(&issuer.keys)))
        };
        let remotes = issuers.iter().map(of_issuer).collect();
        Self {
            plan: fetch.map(|fetch| Plan { fetch, clock, remotes, max_stale }),
            inbox: Mutex::default(),
            unread: Arc::default(),
        }
    }

    /// Starts what is needed and does not wait; says whether it is on its way. Where too much is asked at once the question is
    /// dropped: the next asks again.
    pub(crate) fn start(&self, need: Need) -> bool {
        let Some(inbox) = self.inbox() else { return false };
        if self.unread.fetch_add(1, Ordering::Relaxed) < UNREAD {
            inbox.send(Message::Needed(need, None)).is_ok()
        } else {
            self.unread.fetch_sub(1, Ordering::Relaxed);
            false
        }
    }

    /// Asks for what is needed; what came of it is the receiver's to wait for.
    ///
    /// The inbox has no bound of its own for those who wait: there are as many of them as the program has requests, and one
    /// who waited for a place and was then not polled would hold it against everybody.
    pub(crate) fn ask(&self, need: Need) -> Answer {
        let (reply, answer) = oneshot::channel();
        if let Some(inbox) = self.inbox() {
            let _ = inbox.send(Message::Needed(need, Some(reply)));
        }
        Answer(answer)
    }

    fn inbox(&self) -> Option<mpsc::UnboundedSender<Message>> {
        let plan = self.plan.as_ref()?;
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.as_ref().is_none_or(mpsc::UnboundedSender::is_closed) {
            self.unread.store(0, Ordering::Relaxed);
            *inbox = begin(plan.clone(), Arc::clone(&self.unread));
        }
        inbox.clone()
    }
}

/// What will come of a need.
pub(crate) struct Answer(oneshot::Receiver<Supply>);

impl Answer {
    /// Waits for it, at most as long as its kind of need may take.
    pub(crate) async fn wait(self) -> Supply {
        self.0.await.unwrap_or_else(|_| unreachable("the thread that fetches keys could not be started, or has ended"))
    }
}

fn unreachable(problem: &'static str) -> Supply {
    Supply::Unreachable(Arc::new(FetchError::other(problem)))
}

/// Starts the thread; `None` if the system has none to give.
fn begin(plan: Plan, unread: Arc<AtomicUsize>) -> Option<mpsc::UnboundedSender<Message>> {
    let (inbox, messages) = mpsc::unbounded_channel();
    let post = inbox.downgrade();
    let run = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(Wire::new(plan, post, unread).run(messages));
        // A name that is still being resolved must not hold the thread.
        runtime.shutdown_background();
    };
    thread::Builder::new().name("scopegate-wire".to_owned()).spawn(run).ok()?;
    Some(inbox)
}

/// The far end: everything that the thread knows.
struct Wire {
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    post: mpsc::WeakUnboundedSender<Message>,
    unread: Arc<AtomicUsize>,
    slots: Vec<Option<Slot>>,
}

impl Wire {
    fn new(plan: Plan, post: mpsc::WeakUnboundedSender<Message>, unread: Arc<AtomicUsize>) -> Self {
        let seeds = RandomState::new();
        let slot = |(place, remote): (usize, Option<(IssuerId, RemoteKeys, Arc<KeyStore>)>)| {
            let (issuer, remote, store) = remote?;
            let mut seed = seeds.build_hasher();
            seed.write_usize(place);
            Some(Slot {
                issuer,
                remote,
                store,
                keys: KeySet::default(),
                refresh: Refresh::new(seed.finish(), plan.max_stale),
                jwks_uri: None,
                misses: 0,
                last_error: None,
                waiting: Vec::new(),
            })
        };
        let slots = plan.remotes.into_iter().enumerate().map(slot).collect();
        Self { fetch: plan.fetch, clock: plan.clock, post, unread, slots }
    }

    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.clock.wake_when_turned(Waker::from(Arc::new(Post(self.post.clone()))));
        loop {
            let nap = self.do_what_is_due();
            let mut batch = Vec::new();
            if let Ok(0) = tokio::time::timeout(nap, messages.recv_many(&mut batch, BATCH)).await {
                return;
            }
            // News first: what has arrived may answer all that is asked behind it.
            let (news, questions): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|message| matches!(message, Message::Arrived { .. }));
            for message in news.into_iter().chain(questions) {
                self.read(message);
            }
        }
    }

    fn read(&mut self, message: Message) {
        match message {
            Message::Needed(need, reply) => self.needed(need, reply),
            Message::Arrived { issuer, order, arrival } => self.arrived(issuer, order, arrival),
            Message::ClockTurned => {}
        }
    }

    /// Sends what time has made due and answers whoever has waited long enough. Says how long there is nothing to do.
    fn do_what_is_due(&mut self) -> Duration {
        let now = self.clock.now();
        let mut nap = LONGEST_NAP;
        for place in 0..self.slots.len() {
            let Some(Some(slot)) = self.slots.get_mut(place) else { continue };
            let order = slot.refresh.due(now);
            slot.answer_the_late(now);
            if let Some(order) = order {
                self.send(place, order);
            }
            if let Some(Some(slot)) = self.slots.get(place) {
                nap = nap.min(slot.next_wake(now).unwrap_or(nap));
            }
        }
        // A moment, so that two clocks that round differently do not make the thread spin.
        nap.max(Duration::from_millis(1))
    }

    fn needed(&mut self, need: Need, reply: Option<oneshot::Sender<Supply>>) {
        if reply.is_none() {
            self.unread.fetch_sub(1, Ordering::Relaxed);
        }
        if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return;
        }
        let now = self.clock.now();
        let place = need.issuer();
        let Some(Some(slot)) = self.slots.get_mut(place) else { return };
        let (order, launch) = match slot.step(&need, now) {
            Step::Settled(supply) => {
                if let Some(reply) = reply {
                    let _ = reply.send(supply);
                }
                return;
            }
            Step::Ordered(order) => (Some(order.id), Some(order)),
            Step::Joined => (None, None),
        };
        match reply {
            Some(reply) if slot.waiting.len() < MOST_WAITING => {
                slot.waiting.push(Waiting { need, order, since: now, reply });
            }
            Some(reply) => {
                let _ = reply.send(unreachable("too many requests wait for this issuer"));
            }
            None => {}
        }
        if let Some(order) = launch {
            self.send(place, order);
        }
    }

    /// Carries out an order, beside everything else.
    fn send(&self, place: usize, order: Order) {
        let Some(Some(slot)) = self.slots.get(place) else { return };
        slot.publish();
        let fetch = Arc::clone(&self.fetch);
        let (issuer, remote, known) = (slot.issuer.clone(), slot.remote.clone(), slot.jwks_uri.clone());
        let post = self.post.clone();
        let loading = tokio::spawn(async move {
            let limits = FetchLimits::default();
            let loading = async {
                let jwks_uri = match find(&*fetch, limits, &issuer, &remote, known).await {
                    Ok(jwks_uri) => jwks_uri,
                    Err(error) => return Arrival::failed(error),
                };
                let outcome = load(&*fetch, limits, &jwks_uri).await;
                Arrival { jwks_uri: Some(jwks_uri), outcome }
            };
            let timely = tokio::time::timeout(LONGEST_LOAD, loading).await;
            timely.unwrap_or(Arrival::failed(FetchError::TimedOut(LONGEST_LOAD)))
        });
        tokio::spawn(async move {
            // Invariant 5: a task that panicked is a task that failed.
            let arrival = loading.await.unwrap_or_else(|panic| Arrival::failed(FetchError::other(panic)));
            if let Some(inbox) = post.upgrade() {
                let _ = inbox.send(Message::Arrived { issuer: place, order, arrival });
            }
        });
    }

    fn arrived(&mut self, place: usize, order: Order, arrival: Arrival) {
        let now = self.clock.now();
        let Some(Some(slot)) = self.slots.get_mut(place) else { return };
        let news = slot.take_in(order, arrival, now);
        // Before anybody is answered: whoever hears that keys were fetched looks at once, from another thread.
        slot.publish();
        if news == News::Late {
            return;
        }
        if let Some(order) = slot.settle(order, now) {
            self.send(place, order);
        }
    }
}

/// Wakes the thread when its clock was turned.
struct Post(mpsc::WeakUnboundedSender<Message>);

impl Wake for Post {
    fn wake(self: Arc<Self>) {
        if let Some(inbox) = self.0.upgrade() {
            let _ = inbox.send(Message::ClockTurned);
        }
    }
}

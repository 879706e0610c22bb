//! What stands for the channel, the reply and the thread. Their insides are not what is tested, so each of their steps is one step
//! (a lock of std), and only their waiting is loom's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loom::sync::Notify;
use loom::thread;

use crate::clock::Timestamp;
use crate::hand_over::{HandOver, Sender, Started, Unread};
use crate::keys::refresh::{Contents, Refresh, Word};

enum Message {
    /// Somebody needs keys, and may wait for them.
    NeedsKeys(Option<Reply>),
    Wake,
}

/// A channel without a bound, whose ends know of each other.
///
/// A message is sent in two steps, first a place and then the message, as tokio does: what is put into its place after the receiver
/// has gone lies there, unread and not dropped, as long as there is a sender.
pub struct Post(Arc<Channel>);

struct Channel {
    state: Mutex<State>,
    /// For the receiver.
    arrived: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    senders: usize,
    is_closed: bool,
    /// Those who want to know when it is closed.
    watchers: Vec<Arc<Slot>>,
}

struct Receiver(Arc<Channel>);

fn channel() -> (Post, Receiver) {
    let state = State { senders: 1, ..State::default() };
    let channel = Arc::new(Channel { state: Mutex::new(state), arrived: Notify::new() });
    (Post(Arc::clone(&channel)), Receiver(channel))
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Sender<Message> for Post {
    fn send(&self, message: Message) -> bool {
        if self.is_closed() {
            return false;
        }
        // Here the receiver may go.
        thread::yield_now();
        self.0.state().messages.push_back(message);
        self.0.arrived.notify();
        true
    }

    fn is_closed(&self) -> bool {
        self.0.state().is_closed
    }
}

impl Clone for Post {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders -= 1;
        let left =
            if state.senders == 0 && state.is_closed { std::mem::take(&mut state.messages) } else { VecDeque::new() };
        drop(state);
        drop(left);
        self.0.arrived.notify();
    }
}

impl Receiver {
    /// The next message, or `None` when nobody can send any more.
    fn next(&self) -> Option<Message> {
        loop {
            let mut state = self.0.state();
            if let Some(message) = state.messages.pop_front() {
                return Some(message);
            }
            if state.senders == 0 {
                return None;
            }
            drop(state);
            self.0.arrived.wait();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        let (unread, watchers) = (std::mem::take(&mut state.messages), std::mem::take(&mut state.watchers));
        drop(state);
        drop(unread);
        watchers.iter().for_each(|slot| slot.changed.notify());
    }
}

/// Where an answer will lie.
struct Slot {
    outcome: Mutex<Option<Outcome>>,
    changed: Notify,
}

/// An answer that comes, or the word that none will.
struct Reply(Arc<Slot>);

/// The wait for it.
pub struct Answer {
    slot: Arc<Slot>,
    line: Option<Post>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Keys, of this fetch.
    Keys(usize),
    /// Whoever would have answered is gone.
    Nobody,
}

impl Reply {
    fn send(self, outcome: Outcome) {
        *self.0.outcome.lock().unwrap() = Some(outcome);
        // Dropped, it tells.
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.0.outcome.lock().unwrap().get_or_insert(Outcome::Nobody);
        self.0.changed.notify();
    }
}

impl Answer {
    /// As the driver's own: for the answer, or for the end of the line.
    pub fn wait(self) -> Outcome {
        let Some(line) = self.line else { return Outcome::Nobody };
        line.0.state().watchers.push(Arc::clone(&self.slot));
        loop {
            let is_closed = line.is_closed();
            match *self.slot.outcome.lock().unwrap() {
                Some(outcome) => return outcome,
                None if is_closed => return Outcome::Nobody,
                None => {}
            }
            self.slot.changed.wait();
        }
    }
}

/// A driver, and what was seen of its threads.
pub struct World {
    hand_over: HandOver<Post>,
    pub begun: AtomicUsize,
    pub fetches: Arc<AtomicUsize>,
    /// Questions that nobody waits for, read.
    pub read: Arc<AtomicUsize>,
    /// How many threads end, as by a panic, at their first message.
    dies: usize,
}

impl World {
    pub fn new(dies: usize) -> Arc<Self> {
        Arc::new(Self {
            hand_over: HandOver::new(),
            begun: AtomicUsize::new(0),
            fetches: Arc::new(AtomicUsize::new(0)),
            read: Arc::new(AtomicUsize::new(0)),
            dies,
        })
    }

    /// Whether the question is on its way.
    pub fn start(&self) -> bool {
        let question = Message::NeedsKeys(None);
        self.hand_over.start(1, |unread| Some(self.begin(unread)), question) == Started::Sent
    }

    pub fn ask(&self) -> Answer {
        let slot = Arc::new(Slot { outcome: Mutex::new(None), changed: Notify::new() });
        let question = Message::NeedsKeys(Some(Reply(Arc::clone(&slot))));
        let line = self.hand_over.ask(1, |unread| Some(self.begin(unread)), question);
        Answer { slot, line }
    }

    pub fn wake(&self) {
        self.hand_over.wake(1, |unread| Some(self.begin(unread)), Message::Wake);
    }

    fn begin(&self, unread: Unread) -> Post {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let (post, receiver) = channel();
        let (fetches, read, dies) = (Arc::clone(&self.fetches), Arc::clone(&self.read), number < self.dies);
        thread::spawn(move || serve(&receiver, &unread, &fetches, &read, dies));
        post
    }
}

fn serve(receiver: &Receiver, unread: &Unread, fetches: &AtomicUsize, read: &AtomicUsize, dies: bool) {
    let now = Timestamp::new(0, Duration::ZERO);
    let mut machine = Refresh::new(1, Duration::from_secs(3600));
    while let Some(message) = receiver.next() {
        if dies {
            return;
        }
        let Message::NeedsKeys(reply) = message else { continue };
        if reply.is_none() {
            unread.give_back();
            read.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(order) = machine.need_keys(now) {
            fetches.fetch_add(1, Ordering::Relaxed);
            machine.fetched(order, now, Duration::from_secs(300), Contents::Usable, Word::Own);
        }
        if let Some(reply) = reply {
            reply.send(Outcome::Keys(fetches.load(Ordering::Relaxed)));
        }
    }
}

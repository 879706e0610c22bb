//! What stands for the channel, the reply and the thread.

use std::collections::VecDeque;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::clock::Timestamp;
use crate::hand_over::{HandOver, Sender, Unread};
use crate::keys::refresh::{Contents, Refresh};

enum Message {
    /// Somebody needs keys, and may wait for them.
    NeedsKeys(Option<Reply>),
    Wake,
}

/// A channel without a bound, whose ends know of each other.
struct Post(Arc<Channel>);

struct Channel {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    senders: usize,
    is_closed: bool,
}

struct Receiver(Arc<Channel>);

fn channel() -> (Post, Receiver) {
    let state = State { senders: 1, ..State::default() };
    let channel = Arc::new(Channel { state: Mutex::new(state), arrived: Condvar::new() });
    (Post(Arc::clone(&channel)), Receiver(channel))
}

impl Sender<Message> for Post {
    fn send(&self, message: Message) -> bool {
        let mut state = self.0.state.lock().unwrap();
        if state.is_closed {
            // What cannot be sent is dropped, and its reply with it.
            drop(state);
            drop(message);
            return false;
        }
        state.messages.push_back(message);
        drop(state);
        self.0.arrived.notify_one();
        true
    }

    fn is_closed(&self) -> bool {
        self.0.state.lock().unwrap().is_closed
    }
}

impl Clone for Post {
    fn clone(&self) -> Self {
        self.0.state.lock().unwrap().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.senders -= 1;
        drop(state);
        self.0.arrived.notify_one();
    }
}

impl Receiver {
    /// The next message, or `None` when nobody can send any more.
    fn next(&self) -> Option<Message> {
        let mut state = self.0.state.lock().unwrap();
        loop {
            if let Some(message) = state.messages.pop_front() {
                return Some(message);
            }
            if state.senders == 0 {
                return None;
            }
            state = self.0.arrived.wait(state).unwrap();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.is_closed = true;
        let unread = std::mem::take(&mut state.messages);
        drop(state);
        drop(unread);
    }
}

/// An answer that comes, or the word that none will.
struct Reply(Arc<(Mutex<Option<Outcome>>, Condvar)>);
pub struct Answer(Arc<(Mutex<Option<Outcome>>, Condvar)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Keys, of this fetch.
    Keys(usize),
    /// Whoever would have answered is gone.
    Nobody,
}

fn reply() -> (Reply, Answer) {
    let shared = Arc::new((Mutex::new(None), Condvar::new()));
    (Reply(Arc::clone(&shared)), Answer(shared))
}

impl Reply {
    fn send(self, outcome: Outcome) {
        *self.0.0.lock().unwrap() = Some(outcome);
        // Dropped, it tells.
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().get_or_insert(Outcome::Nobody);
        self.0.1.notify_one();
    }
}

impl Answer {
    pub fn wait(self) -> Outcome {
        let mut outcome = self.0.0.lock().unwrap();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            outcome = self.0.1.wait(outcome).unwrap();
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

    pub fn start(&self) -> bool {
        self.hand_over.start(1, |unread| Some(self.begin(unread)), Message::NeedsKeys(None))
    }

    pub fn ask(&self) -> Answer {
        let (reply, answer) = reply();
        self.hand_over.ask(1, |unread| Some(self.begin(unread)), Message::NeedsKeys(Some(reply)));
        answer
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
            machine.fetched(order.id, now, Duration::from_secs(300), Contents::Usable);
        }
        if let Some(reply) = reply {
            reply.send(Outcome::Keys(fetches.load(Ordering::Relaxed)));
        }
    }
}

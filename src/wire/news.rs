//! Tells listeners what happened, on a thread of its own: a listener that takes its time, or blocks, holds up nothing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::observe::{Event, Listeners};

/// So many events may wait for a slow listener; those that come then are counted and lost.
const WAITING: usize = 1024;
/// While so many wait, those of which a flood of tokens makes many are lost, so that there is room for the others.
const CROWDED: usize = WAITING / 2;

/// The way to the listeners. Without any it costs nothing.
pub(super) struct News {
    listeners: Listeners,
    /// The thread's inbox. The thread ends when this is dropped and all that was told before has been heard.
    inbox: OnceLock<Option<SyncSender<Event>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Told, and not heard yet.
    waiting: AtomicUsize,
    lost: AtomicU64,
}

impl News {
    pub(super) fn new(listeners: Listeners) -> Self {
        Self { listeners, inbox: OnceLock::new(), counts: Arc::default() }
    }

    /// Tells it, soon.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.listeners.is_empty() {
            return;
        }
        let inbox = self.inbox.get_or_init(|| begin(self.listeners.clone(), Arc::clone(&self.counts)));
        // Counted before it is sent, so that it is never heard first.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let is_told = inbox.as_ref().is_some_and(|inbox| inbox.try_send(event()).is_ok());
        if !is_told {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lose();
        }
    }

    /// Tells what anybody can make many of: it is lost before anything else is.
    pub(super) fn tell_if_there_is_room(&self, event: impl FnOnce() -> Event) {
        if self.counts.waiting.load(Ordering::Relaxed) < CROWDED {
            self.tell(event);
        } else {
            self.lose();
        }
    }

    fn lose(&self) {
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the thread; `None` if the system has none to give.
fn begin(listeners: Listeners, counts: Arc<Counts>) -> Option<SyncSender<Event>> {
    let (inbox, events) = sync_channel(WAITING);
    let run = move || hear(&listeners, &events, &counts);
    thread::Builder::new().name("scopegate-news".to_owned()).spawn(run).ok()?;
    Some(inbox)
}

fn hear(listeners: &Listeners, events: &Receiver<Event>, counts: &Counts) {
    for event in events {
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
        let events = counts.lost.swap(0, Ordering::Relaxed);
        if events > 0 {
            listeners.happened(&Event::Lost { events });
        }
        listeners.happened(&event);
    }
}

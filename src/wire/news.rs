//! Tells listeners what happened, on a thread of its own: a listener that takes its time, or blocks, holds up nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::observe::{Event, Listeners};

/// So many events may wait for a slow listener; those that come then are counted and lost.
const WAITING: usize = 1024;

/// The way to the listeners. Without any it costs nothing.
pub(super) struct News {
    listeners: Listeners,
    /// The thread's inbox. The thread ends when this is dropped and all that was told before has been heard.
    inbox: OnceLock<Option<SyncSender<Event>>>,
    lost: Arc<AtomicU64>,
}

impl News {
    pub(super) fn new(listeners: Listeners) -> Self {
        Self { listeners, inbox: OnceLock::new(), lost: Arc::default() }
    }

    /// Tells it, soon.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.listeners.is_empty() {
            return;
        }
        let inbox = self.inbox.get_or_init(|| begin(self.listeners.clone(), Arc::clone(&self.lost)));
        let is_told = inbox.as_ref().is_some_and(|inbox| inbox.try_send(event()).is_ok());
        if !is_told {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts the thread; `None` if the system has none to give.
fn begin(listeners: Listeners, lost: Arc<AtomicU64>) -> Option<SyncSender<Event>> {
    let (inbox, events) = sync_channel(WAITING);
    let run = move || hear(&listeners, &events, &lost);
    thread::Builder::new().name("scopegate-news".to_owned()).spawn(run).ok()?;
    Some(inbox)
}

fn hear(listeners: &Listeners, events: &Receiver<Event>, lost: &AtomicU64) {
    for event in events {
        let events = lost.swap(0, Ordering::Relaxed);
        if events > 0 {
            listeners.happened(&Event::Lost { events });
        }
        listeners.happened(&event);
    }
}

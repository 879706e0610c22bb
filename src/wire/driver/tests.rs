//! Who stops waiting harms nobody (I13), over schedules of questions, cancellations, answers and time.
//!
//! The [`Wire`] is the real one, with its slots and the tasks that fetch; only the thread's loop is played here, so that one seed
//! is one schedule. Whoever asks is what `validate` is while it waits: the far end of a [`oneshot`]. Each schedule is played twice,
//! with the cancellations and without them, and whoever stays must hear the same both times.
//!
//! `SCOPEGATE_SCHEDULES=100000` plays them all, `SCOPEGATE_SCHEDULE=17` one.

#![cfg(test)]

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::task::Poll;

use bytes::Bytes;

use super::*;
use crate::issuer::Issuer;
use crate::keys::refresh::MAX_STALE;
use crate::keys::refresh::jitter::Jitter;
use crate::wire::fetch::Fetching;
use hand_over::HandOver;

const SCHEDULES: u64 = 3_000;
const STEPS: u64 = 24;
const IDENTIFIER: &str = "https://id.example.com";
/// RFC 7517 A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// A clock that is set by hand.
#[derive(Debug)]
pub(super) struct Hand(pub(super) Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl Plan {
    /// With nothing but these, and nothing to begin with.
    pub(super) fn of(
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
        issuers: Arc<[TrustedIssuer]>,
        defaults: Defaults,
    ) -> Self {
        Self {
            fetch,
            clock,
            issuers,
            tenants: None,
            defaults,
            memory: Arc::new(Memory::nothing()),
            listeners: Listeners::default(),
            restored: [].into(),
            first: Arc::new(Once::new()),
            leftovers: Leftovers::default(),
            key_file: None,
        }
    }
}

/// Keys, a failure, or a panic.
#[derive(Debug)]
struct Moody(Mutex<Jitter>);

impl Fetch for Moody {
    fn fetch(&self, _: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let mood = self.0.lock().unwrap().below(6);
        Box::pin(async move {
            tokio::task::yield_now().await;
            match mood {
                0 => Err(FetchError::other("down")),
                1 => Ok(http::Response::builder().status(503).body(Bytes::new()).unwrap()),
                // A panic as the driver sees it, without the words that a hook would print for each.
                2 => std::panic::resume_unwind(Box::new("this panic belongs to the test")),
                _ => {
                    let answer = http::Response::builder().header("content-type", "application/json");
                    Ok(answer.body(Bytes::from_static(KEYS.as_bytes())).unwrap())
                }
            }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cancellations {
    Happen,
    DoNot,
}

/// One who asks.
struct Caller {
    answer: Option<oneshot::Receiver<Supply>>,
    since: Duration,
    limit: Duration,
    /// Stops waiting at some time.
    is_leaving: bool,
    heard: Option<&'static str>,
}

struct Stage {
    wire: Wire,
    /// Keeps the line open, as a validator does.
    _inbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    /// What was posted and is not read yet.
    unread: Vec<Message>,
    clock: Arc<Hand>,
    callers: Vec<Caller>,
    chance: Jitter,
    cancellations: Cancellations,
}

impl Stage {
    fn new(seed: u64, cancellations: Cancellations) -> Self {
        let defaults = Defaults {
            audiences: vec!["a".to_owned()],
            leeway: Duration::ZERO,
            max_stale: MAX_STALE,
            numbers: Arc::default(),
        };
        let issuer = Issuer::jwks(IDENTIFIER, "https://id.example.com/keys").build(&defaults).unwrap();
        let clock = Arc::new(Hand(Mutex::new(Timestamp::new(1_700_000_000_000, Duration::from_secs(1)))));
        let fetch = Arc::new(Moody(Mutex::new(Jitter(seed))));
        let plan = Plan::of(fetch, Arc::<Hand>::clone(&clock), [issuer].into(), defaults);
        let (inbox, messages) = mpsc::unbounded_channel();
        let mut unread = None;
        let hand_over = HandOver::<mpsc::UnboundedSender<Message>>::new();
        hand_over.wake(
            0,
            |places| {
                unread = Some(places);
                None
            },
            Message::ClockTurned,
        );
        let mut wire = Wire::new(plan, inbox.downgrade(), unread.unwrap(), Watch::new(0));
        // Without chance of its own, so that one seed is one schedule.
        wire.slots.values_mut().for_each(|slot| slot.refresh = Refresh::new(seed, MAX_STALE));
        let (callers, unread) = (Vec::new(), Vec::new());
        let chance = Jitter(seed ^ 0x5C07_E6A7);
        Self { wire, _inbox: inbox, messages, unread, clock, callers, chance, cancellations }
    }

    fn up(&self) -> Duration {
        self.clock.now().uptime()
    }

    async fn play(mut self) -> Vec<Option<&'static str>> {
        for _ in 0..STEPS {
            match self.chance.below(8) {
                0..=2 => self.ask(),
                3 => self.cancel(),
                4 | 5 => self.fetches_go_on().await,
                6 => self.read_one(),
                _ => {
                    let span = self.chance.below(1_500);
                    self.pass(Duration::from_millis(span));
                }
            }
            self.wire.do_what_is_due();
            self.listen();
        }
        // All who wait, wait through; every place is given back.
        for _ in 0..6 {
            self.pass(Duration::from_secs(1));
            self.wire.do_what_is_due();
            self.listen();
        }
        let waiting: usize = self.wire.slots.values().map(Slot::waiters).sum();
        assert_eq!(waiting, 0, "who stopped waiting is still waited for");
        assert!(self.callers.iter().all(|caller| caller.answer.is_none()), "somebody waits for ever");
        self.a_later_caller_is_served().await;
        self.callers.iter().filter(|caller| !caller.is_leaving).map(|caller| caller.heard).collect()
    }

    /// Whatever was cancelled before.
    async fn a_later_caller_is_served(&mut self) {
        for _ in 0..120 {
            self.fetches_go_on().await;
            while !self.unread.is_empty() {
                self.read_one();
            }
            let (reply, mut answer) = oneshot::channel();
            let need = Need::Keys { issuer: self.wire.slots.keys().next().unwrap().clone() };
            self.wire.read(Message::Needed { need, patience: Patience::OneAnswer, reply: Some(reply) });
            if matches!(answer.try_recv(), Ok(Supply::Fetched | Supply::LookAgain)) {
                return;
            }
            self.pass(Duration::from_secs(1));
            self.wire.do_what_is_due();
        }
        panic!("nobody brings keys any more");
    }

    fn ask(&mut self) {
        let issuer = self.wire.slots.keys().next().unwrap().clone();
        let (need, mut limit) = match self.chance.below(5) {
            0 | 1 => (Need::Keys { issuer }, 5_000),
            2 => (Need::UnknownKey { issuer, kid: Some(self.chance.below(3).to_string().into()) }, 1_000),
            3 => (Need::RenamedKey { issuer }, 1_000),
            _ => (Need::Fresh { issuer }, 5_000),
        };
        let patience = match self.chance.below(4) {
            0 => Patience::Until(Duration::from_secs(2)),
            1 => Patience::Success(Duration::from_secs(2)),
            _ => Patience::OneAnswer,
        };
        if patience != Patience::OneAnswer {
            limit = 2_000;
        }
        let (reply, answer) = oneshot::channel();
        let is_gone_before_it_is_read = self.chance.below(8) == 0;
        let answer = if is_gone_before_it_is_read { None } else { Some(answer) };
        let caller = Caller {
            answer,
            since: self.up(),
            limit: Duration::from_millis(limit),
            is_leaving: is_gone_before_it_is_read,
            heard: None,
        };
        self.callers.push(caller);
        self.wire.read(Message::Needed { need, patience, reply: Some(reply) });
    }

    fn cancel(&mut self) {
        let place = self.chance.below(8);
        let place = self.callers.len().checked_sub(1 + usize::try_from(place).unwrap());
        let Some(caller) = place.and_then(|place| self.callers.get_mut(place)) else { return };
        caller.is_leaving = true;
        if self.cancellations == Cancellations::Happen {
            caller.answer = None;
        }
    }

    async fn fetches_go_on(&mut self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        while let Ok(message) = self.messages.try_recv() {
            self.unread.push(message);
        }
    }

    fn read_one(&mut self) {
        if let Some(last) = (self.unread.len() as u64).checked_sub(1) {
            let place = usize::try_from(self.chance.below(last + 1)).unwrap();
            let message = self.unread.swap_remove(place);
            self.wire.read(message);
        }
    }

    fn pass(&self, span: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.plus(span);
    }

    /// Whoever waits hears an answer, at the deadline at the latest, and never that the other end is gone.
    fn listen(&mut self) {
        let up = self.up();
        for caller in &mut self.callers {
            let Some(answer) = &mut caller.answer else { continue };
            let heard = match answer.try_recv() {
                Ok(Supply::Fetched | Supply::LookAgain | Supply::Answered(_)) => "fetched",
                Ok(Supply::BudgetSpent) => "budget spent",
                Ok(Supply::Unreachable(_)) => "unreachable",
                Err(oneshot::error::TryRecvError::Closed) => panic!("somebody was left without an answer"),
                Err(oneshot::error::TryRecvError::Empty) => {
                    assert!(up - caller.since < caller.limit, "somebody waits past the deadline");
                    continue;
                }
            };
            (caller.heard, caller.answer) = (Some(heard), None);
        }
    }
}

fn play(runtime: &tokio::runtime::Runtime, seed: u64) -> Vec<Option<&'static str>> {
    let with = runtime.block_on(Stage::new(seed, Cancellations::Happen).play());
    let without = runtime.block_on(Stage::new(seed, Cancellations::DoNot).play());
    assert_eq!(with, without, "seed {seed}: who stays hears something else when others leave");
    with
}

#[test]
fn who_stops_waiting_harms_nobody() {
    let number = |name| env::var(name).ok().map(|value: String| value.parse::<u64>().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (from, to) = match number("SCOPEGATE_SCHEDULE") {
        Some(one) => (one, one + 1),
        None => (0, number("SCOPEGATE_SCHEDULES").unwrap_or(SCHEDULES)),
    };
    let mut heard = BTreeMap::new();
    for seed in from..to {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&runtime, seed)));
        let Ok(played) = played else {
            panic!("schedule {seed}; again: SCOPEGATE_SCHEDULE={seed} cargo test --lib who_stops")
        };
        for word in played.into_iter().flatten() {
            *heard.entry(word).or_insert(0_u64) += 1;
        }
    }
    // Otherwise schedules in which nobody waits would pass.
    for word in ["fetched", "budget spent", "unreachable"] {
        assert!(to - from < SCHEDULES || heard.get(word).is_some_and(|times| *times >= 20), "{heard:?}");
    }
}

/// What a request is when its connection goes away: a future that was polled and is then dropped.
#[test]
fn an_answer_that_was_polled_can_be_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::new(1, Cancellations::Happen);
        let issuer = stage.wire.slots.keys().next().unwrap().clone();
        let ask = |stage: &mut Stage| {
            let (reply, answer) = oneshot::channel();
            let need = Need::Keys { issuer: issuer.clone() };
            stage.wire.read(Message::Needed { need, patience: Patience::OneAnswer, reply: Some(reply) });
            answer
        };
        let (mut first, mut second) = (Box::pin(ask(&mut stage)), Box::pin(ask(&mut stage)));
        let polled = std::future::poll_fn(|context| {
            Poll::Ready((first.as_mut().poll(context).is_pending(), second.as_mut().poll(context).is_pending()))
        });
        assert_eq!(polled.await, (true, true));
        drop(first);
        stage.fetches_go_on().await;
        assert_eq!(stage.unread.len(), 1, "one fetch for both");
        stage.read_one();
        assert!(second.await.is_ok());
    });
}

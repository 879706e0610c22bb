//! The whole of it under chance: the real [`Wire`] with its slots, the real stores, the real judgement, and two issuers that go down,
//! rotate, give a key's name to another key, talk nonsense and answer late, while clocks jump and strangers flood. After each step
//! tokens are judged by `decide`, and a plain model that knows nothing of how any of it works says whether that was right.
//!
//! | held, after each step | how |
//! | --- | --- |
//! | I1: accepted by a key of that issuer's current set, vouched for at most 24 h ago | the model's own age, by either clock |
//! | I2: a stranger's token causes no I/O and no state | its verdict wants nothing; nobody else is ever asked |
//! | I3: what tokens cause to be fetched | each window that ends with such a fetch |
//! | I4: without the key in the newest good answer nothing is accepted by it | each answer is compared with what then lies in the store |
//! | I5: a failure changes nothing | the same |
//! | I7: nothing is accepted once it has expired | half of the tokens that are tried end in the course of a life |
//! | I11: 503 where nobody could judge, 401 where a key did | each verdict has one reason, two for a key that is not at hand |
//! | I12: an older answer never replaces a newer one | the number of the key set in the store never falls |
//! | I13: who stops waiting harms nobody | whoever stays hears an answer by the deadline, and no place is lost |
//! | and the other way round | a good token by a key at hand is accepted, and by any key of the issuer once it is well |
//!
//! I10 is held by `keys/refresh/simulation.rs`, and by `row_s07_fault_row_28_…` under a flood. I6 is about a memory of tokens, and there
//! is none: every token is judged anew, by the keys of that moment, which `row_s01_row_s02_…` and `row_j42_…` show. I8 is held by
//! `tests/it/layer` (`every_row_is_answered_by_the_layer_alone`), I9 by `row_s18_a_check_may_be_made_anywhere_and_blocks_nowhere`
//! and `fault_row_40_…`. What a resolver names is in the tests of tenants.
//!
//! `SCOPEGATE_SEEDS=1000000 cargo test --lib simulation_of_the_whole` runs longer; `SCOPEGATE_SEED=17` replays one life and tells it.

#![cfg(test)]

#[path = "simulation/ends.rs"]
mod ends;
#[path = "simulation/judgement.rs"]
mod judgement;
#[path = "simulation/world.rs"]
mod world;

use std::env;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::decision::Trusted;
use crate::issuer::Issuer;
use crate::jose::algorithm::Algorithm;
use crate::keys::refresh::MAX_STALE;
use crate::keys::refresh::jitter::Jitter;
use crate::requirement::Requirement;
use crate::scope::ScopePolicy;
use hand_over::HandOver;
use judgement::{Model, Seen};
use tests::Hand;
use world::{API, BEGIN, FOREIGN, ISSUERS, Key, NAMES, Network, PAIRS, POOL, Presented, Server};

const SEEDS: u64 = 10_000;
const STEPS: u64 = 8;
const LEEWAY: Duration = Duration::from_secs(30);

/// Which of those that are on their way are heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Some,
    All,
}

/// One request that waits.
struct Caller {
    /// Nothing, where the program asks for fresh keys.
    presented: Option<Presented>,
    answer: oneshot::Receiver<Supply>,
    since: Duration,
    limit: Duration,
}

struct Life {
    wire: Wire,
    hand_over: HandOver<mpsc::UnboundedSender<Message>>,
    messages: mpsc::UnboundedReceiver<Message>,
    trusted: Trusted,
    demand: Requirement,
    network: Arc<Network>,
    clock: Arc<Hand>,
    chance: Jitter,
    callers: Vec<Caller>,
    models: [Model; 2],
    seen: Seen,
    /// Whether it is told while it is lived.
    is_told: bool,
}

impl Life {
    fn new(seed: u64, is_told: bool) -> Self {
        let defaults =
            Defaults { audiences: vec![API.to_owned()], leeway: LEEWAY, max_stale: MAX_STALE, numbers: Arc::default() };
        let issuer = |name: &str| Issuer::jwks(name, format!("{name}/keys")).algorithms([Algorithm::Ed25519]);
        let issuers: Arc<[TrustedIssuer]> = ISSUERS.iter().map(|name| issuer(name).build(&defaults).unwrap()).collect();
        let clock = Arc::new(Hand(Mutex::new(Timestamp::new(BEGIN, Duration::from_secs(100)))));
        let network = Arc::new(Network::new(seed));
        let plan =
            Plan::of(Arc::<Network>::clone(&network), Arc::<Hand>::clone(&clock), Arc::clone(&issuers), defaults);
        let (inbox, messages) = mpsc::unbounded_channel();
        let (hand_over, post, mut unread) = (HandOver::new(), inbox.downgrade(), None);
        let begin = |places| {
            unread = Some(places);
            Some(inbox)
        };
        hand_over.wake(0, begin, Message::ClockTurned);
        let mut wire = Wire::new(plan, post, unread.unwrap(), Watch::new(0));
        // Without chance of its own, so that one seed is one life.
        wire.slots.values_mut().for_each(|slot| slot.refresh = Refresh::new(seed, MAX_STALE));
        let trusted = Trusted::by_name(issuers, LEEWAY, 4096);
        let chance = Jitter(seed.wrapping_mul(0x5851_F42D_4C95_7F2D));
        Self {
            wire,
            hand_over,
            messages,
            trusted,
            demand: ScopePolicy::none().into(),
            network,
            clock,
            chance,
            callers: Vec::new(),
            models: Default::default(),
            seen: Seen::default(),
            is_told,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(self.chance.below(below as u64)).unwrap()
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>12} ms  {}", self.now().uptime().as_millis(), what());
        }
    }

    fn server<T>(&self, issuer: usize, with: impl FnOnce(&mut Server) -> T) -> T {
        with(&mut self.network.servers.lock().unwrap()[issuer])
    }

    async fn live(mut self, seed: u64) -> Seen {
        // Nobody has keys at first. Most lives begin with some.
        for issuer in 0..ISSUERS.len() {
            self.a_token_by_the_issuers_key(issuer);
        }
        self.turn(Answers::Some).await;
        for _ in 0..STEPS {
            let issuer = self.pick(ISSUERS.len());
            self.happen(issuer);
            self.turn(Answers::Some).await;
            self.judge_some();
        }
        // Half of the lives end well, and of those half go on for an hour.
        if seed.is_multiple_of(2) {
            self.be_well().await;
        }
        if seed.is_multiple_of(4) {
            self.outlive_what_was_withdrawn().await;
        }
        self.seen
    }

    fn happen(&mut self, issuer: usize) {
        match self.pick(100) {
            0..22 => {
                let longest = [50, 2_000, 20_000, 400_000, 5_000_000, 60_000_000][self.pick(6)];
                let span = self.pick(longest);
                self.pass(Duration::from_millis(span as u64));
            }
            22..44 => self.a_token_by_the_issuers_key(issuer),
            44..54 => {
                let presented = self.any_token(issuer);
                self.validate(presented);
            }
            54..59 => self.flood(issuer),
            59..64 => {
                let name = self.pick(NAMES);
                self.validate(POOL.token(issuer, Key { name, pair: FOREIGN }, true));
            }
            64..70 => self.cancel(),
            70..77 => {
                let is_up = self.server(issuer, |server| {
                    server.is_up = !server.is_up;
                    server.is_up
                });
                self.note(|| format!("issuer {issuer} is up: {is_up}"));
            }
            77..87 => self.rotate(issuer),
            87..91 => {
                let by = [90_000, 7_200_000, 3_000_000_000, -7_200_000, -5_000][self.pick(5)];
                self.note(|| format!("the wall clock moves by {by} ms"));
                let mut now = self.clock.0.lock().unwrap();
                *now = Timestamp::new(now.unix_millis() + by, now.uptime());
            }
            91..94 => {
                let slept = self.pick(40_000_000) as i64;
                self.note(|| format!("slept {slept} ms"));
                let mut now = self.clock.0.lock().unwrap();
                *now = Timestamp::new(now.unix_millis() + slept, now.uptime());
            }
            94..97 => self.ask(Need::Fresh { issuer: self.trusted.issuers[issuer].rules.issuer.clone() }, None),
            _ => {
                let lifetime = [60, 300, 3_600][self.pick(3)];
                self.server(issuer, |server| server.lifetime = lifetime);
            }
        }
    }

    fn pass(&self, span: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.plus(span);
    }

    fn rotate(&mut self, issuer: usize) {
        let mut keys = self.server(issuer, |server| server.keys().to_vec());
        let is_free = |keys: &[Key], name| keys.iter().all(|key| key.name != name);
        let (name, pair) = (self.pick(NAMES), self.pick(PAIRS));
        match self.pick(8) {
            // Ahead, as it should be.
            0 | 1 if is_free(&keys, name) => keys.insert(0, Key { name, pair }),
            // At once.
            0..=3 => keys = vec![Key { name, pair }],
            // A key is withdrawn; the last one leaves an empty set.
            4 | 5 => drop(keys.pop()),
            // The name of a key is given to another.
            _ => keys.iter_mut().take(1).for_each(|key| key.pair = (key.pair + 1) % PAIRS),
        }
        self.note(|| format!("the keys of issuer {issuer} are {keys:?}"));
        self.server(issuer, |server| server.sets.push(keys));
    }

    fn a_token_by_the_issuers_key(&mut self, issuer: usize) {
        if let Some(key) = self.server(issuer, |server| server.keys().first().copied()) {
            self.validate(POOL.token(issuer, key, true));
        }
    }

    fn any_token(&mut self, issuer: usize) -> Presented {
        let key = Key { name: self.pick(NAMES), pair: self.pick(PAIRS) };
        POOL.token(issuer, key, self.chance.below(2) == 0)
    }

    /// As `check` does, which waits for nothing.
    fn flood(&mut self, issuer: usize) {
        for _ in 0..=self.pick(3) {
            let junk = POOL.junk(issuer, self.chance.next());
            if let Some(need) = self.judge(&junk, None, Duration::MAX) {
                let question = Message::Needed { need, patience: Patience::OneAnswer, reply: None };
                self.hand_over.start(0, |_| None, question);
            }
        }
    }

    /// As `validate` does: judges, and waits where that takes it.
    fn validate(&mut self, presented: Presented) {
        let since = self.now().uptime();
        self.note(|| format!("a token of issuer {} by {:?}", presented.issuer, presented.key));
        if let Some(need) = self.judge(&presented, None, since) {
            self.ask(need, Some(presented));
        }
    }

    fn ask(&mut self, need: Need, presented: Option<Presented>) {
        let limit = match need {
            Need::UnknownKey { .. } | Need::RenamedKey { .. } => Duration::from_secs(1),
            Need::Keys { .. }
            | Need::Fresh { .. }
            | Need::Issuer { .. }
            | Need::Introspection { .. }
            | Need::Asking { .. } => Duration::from_secs(5),
        };
        let (reply, answer) = oneshot::channel();
        let question = Message::Needed { need, patience: Patience::OneAnswer, reply: Some(reply) };
        self.hand_over.ask(0, |_| None, question);
        // Some are gone before they were heard.
        if self.pick(8) != 0 {
            self.callers.push(Caller { presented, answer, since: self.now().uptime(), limit });
        }
    }

    fn cancel(&mut self) {
        if !self.callers.is_empty() {
            let place = self.pick(self.callers.len());
            self.callers.swap_remove(place);
            self.seen.note("cancelled");
        }
    }

    /// The thread's loop, once.
    async fn turn(&mut self, answers: Answers) {
        self.wire.do_what_is_due();
        yield_to_fetches().await;
        let chance = &mut self.chance;
        self.network.let_go(|is_slow| answers == Answers::All || chance.below(8) < if is_slow { 1 } else { 6 });
        yield_to_fetches().await;
        let mut batch = Vec::new();
        while let Ok(message) = self.messages.try_recv() {
            batch.push(message);
        }
        let (questions, news): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|message| matches!(message, Message::Needed { .. }));
        for message in news.into_iter().chain(questions) {
            self.read(message);
            // Whoever hears looks at once.
            self.listen();
        }
        self.wire.do_what_is_due();
        self.listen();
        // Who looked again may have asked again.
        while let Ok(message) = self.messages.try_recv() {
            self.read(message);
            self.listen();
        }
    }

    /// I13.
    fn listen(&mut self) {
        let up = self.now().uptime();
        for mut caller in mem::take(&mut self.callers) {
            match caller.answer.try_recv() {
                Ok(supply) => {
                    if let Some(presented) = caller.presented.take()
                        && let Some(need) = self.judge(&presented, Some(&supply), caller.since)
                    {
                        // Who joined others has not had the issuer asked.
                        assert!(matches!(supply, Supply::LookAgain), "asked for again after an answer");
                        self.ask(need, Some(presented));
                    }
                    self.seen.note("answered");
                }
                Err(oneshot::error::TryRecvError::Closed) => panic!("somebody was left without an answer (I13)"),
                Err(oneshot::error::TryRecvError::Empty) => {
                    assert!(up - caller.since <= caller.limit, "somebody waits past the deadline (I13)");
                    self.callers.push(caller);
                }
            }
        }
    }
}

/// As often as a fetch can be put off within a turn, and its task's end be told.
async fn yield_to_fetches() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn simulation_of_the_whole_system() {
    let one = number("SCOPEGATE_SEED");
    let seeds = one.map_or(0..number("SCOPEGATE_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let (next, failed, all) = (AtomicU64::new(seeds.start), Mutex::new(None), Mutex::new(Seen::default()));
    let live_some = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.lock().unwrap().is_some() {
                return;
            }
            let live = || runtime.block_on(Life::new(seed, one.is_some()).live(seed));
            match catch_unwind(AssertUnwindSafe(live)) {
                Ok(seen) => all.lock().unwrap().add(seen),
                Err(_) => *failed.lock().unwrap() = Some(seed),
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(live_some))));
    let failed = *failed.lock().unwrap();
    if let Some(seed) = failed {
        panic!("seed {seed}; again: SCOPEGATE_SEED={seed} cargo test --lib simulation_of_the_whole");
    }
    // Otherwise lives in which everything is refused, or nothing happens, would pass.
    let seen = all.lock().unwrap();
    assert!(one.is_some() || seeds.end < SEEDS || seen.is_varied(), "{seen:?}");
}

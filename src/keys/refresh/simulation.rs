//! The machine against a scripted issuer, over thousands of random lives: outages, rotations, answers that come late or never,
//! clocks that jump, floods. After each step a plain model, which knows nothing of how the machine works, says whether what it did
//! was right.
//!
//! | held | how |
//! | --- | --- |
//! | at most one order is open (invariant 1) | the model counts orders and reports |
//! | a failure, or an unconfirmed empty set, changes no key (invariant 3, I5) | the model judges each `Install` |
//! | an older answer never replaces a newer one (invariant 4, I12) | by the numbers of the orders |
//! | the budget for unknown keys and bad signatures (invariant 5, I3) | every window that ends with such an order |
//! | keys serve 24 h and no longer, by either clock (invariant 6, I1) | the model's own age of the last good answer |
//! | nothing is ordered before the wait is over (invariant 7) | the shortest wait that the failure allows |
//! | containers are bounded (invariant 8, I10) | their lengths |
//! | 401 for an unknown key only from keys that could judge it (I11) | the model's own age, and what the issuer had |
//! | keys come back within 6 s, a withdrawn key dies, an outage costs at most 16 requests | at the end of each life |
//!
//! What else there is, with the driver, the stores and the judgement in it, is played by `wire/driver/simulation.rs`.
//!
//! `SCOPEGATE_SEEDS=1000000 cargo test --lib simulation` runs longer; `SCOPEGATE_SEED=17` replays one life and prints it.

#![cfg(test)]

#[path = "simulation/ends.rs"]
mod ends;

use std::env;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::keys::unknown_key::UnknownKey;

const SEEDS: u64 = 10_000;
const STEPS: usize = 120;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys by name and material: a name can be given to other material.
type Keys = Vec<(u32, u32)>;

/// What the issuer says to a question, decided when it is asked and heard later.
#[derive(Clone, Debug)]
enum Answer {
    Keys(Keys, Duration),
    Unchanged,
    Failure(Option<Duration>),
}

#[derive(Debug)]
struct Letter {
    order: Order,
    answer: Answer,
    /// The uptime at which it is heard.
    at: Duration,
}

/// When the issuer last vouched for the keys at hand, as the model knows it.
#[derive(Clone, Debug)]
struct Vouched {
    order: u64,
    at: Timestamp,
    aged: Duration,
}

struct Life {
    seed: u64,
    machine: Refresh,
    chance: Jitter,
    wall: i64,
    uptime: Duration,
    /// The issuer's own.
    keys: Keys,
    is_up: bool,
    lifetime: Duration,
    names: u32,
    letters: Vec<Letter>,
    /// What the driver holds.
    held: Keys,
    // The model.
    vouched: Option<Vouched>,
    open: Option<(u64, Duration)>,
    empties: Option<(u32, Duration)>,
    /// The uptimes of orders that tokens have caused.
    spent: Vec<Duration>,
    /// Until this uptime nothing may be ordered, if tokens are refused for want of keys, and if none are.
    barred: (Duration, Duration),
    failures: u32,
    needed: Option<Duration>,
    orders: u64,
    diary: Vec<String>,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            machine: Refresh::new(seed, DAY),
            chance: Jitter(seed.wrapping_mul(0x5851_F42D_4C95_7F2D)),
            wall: 1_800_000_000_000,
            uptime: Duration::from_secs(seed % 3),
            keys: vec![(1, 1)],
            is_up: true,
            lifetime: Duration::from_secs(300),
            names: 1,
            letters: Vec::new(),
            held: Vec::new(),
            vouched: None,
            open: None,
            empties: None,
            spent: Vec::new(),
            barred: Default::default(),
            failures: 0,
            needed: None,
            orders: 0,
            diary: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.wall, self.uptime)
    }

    /// A number below this one.
    fn pick(&mut self, below: u64) -> u64 {
        self.chance.below(below)
    }

    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.pick(below))
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.diary.len() >= 40 {
            self.diary.remove(0);
        }
        let line = format!("{:>12} ms  {}", self.uptime.as_millis(), what());
        self.diary.push(line);
    }

    /// The age of the keys at hand: what passed by the clock by which more passed.
    fn age(&self) -> Option<Duration> {
        let vouched = self.vouched.as_ref()?;
        let by_wall = u64::try_from(self.wall - vouched.at.unix_millis()).unwrap_or(0);
        let passed = Duration::from_millis(by_wall).max(self.uptime - vouched.at.uptime());
        Some(passed + vouched.aged)
    }

    fn has_keys(&self) -> bool {
        self.age().is_some_and(|age| age <= DAY)
    }

    fn pass(&mut self, time: Duration) {
        self.uptime += time;
        self.wall += i64::try_from(time.as_millis()).unwrap();
    }

    /// One of the things that happen.
    fn happen(&mut self) {
        match self.pick(100) {
            0..40 => {
                let longest = [50, 2_000, 20_000, 400_000, 5_000_000][usize::try_from(self.pick(5)).unwrap()];
                let time = self.millis(longest);
                self.pass(time);
            }
            40..60 => self.token_by_a_key_of_the_issuer(),
            60..66 => self.flood(),
            66..70 => self.forged(),
            70..73 => {
                self.look();
                let now = self.now();
                let order = self.machine.asked(now);
                self.ordered(order);
            }
            73..78 => {
                self.is_up = !self.is_up;
                let is_up = self.is_up;
                self.note(|| format!("the issuer is up: {is_up}"));
            }
            78..84 => self.rotate(),
            84..87 => {
                // A wall clock that is set, by a little, by hours, or to another age of the world.
                let by = [90_000, 7_200_000, 3_000_000_000_000, -1_900_000_000_000, -5_000]
                    [usize::try_from(self.pick(5)).unwrap()];
                self.wall = self.wall.saturating_add(by);
                self.note(|| format!("the wall clock moves by {by} ms"));
            }
            87..90 => {
                // A computer that sleeps.
                let slept = self.millis(40_000_000);
                self.wall += i64::try_from(slept.as_millis()).unwrap();
                self.note(|| format!("slept {slept:?}"));
            }
            90..93 => self.lifetime = Duration::from_secs([60, 300, 3600][usize::try_from(self.pick(3)).unwrap()]),
            93..95 => self.keys.clear(),
            95..97 => {
                let age = self.millis(90_000_000);
                let now = self.now();
                if self.machine.restored(now, age) == Outcome::Install {
                    assert!(self.vouched.is_none(), "restored keys in the place of the issuer's word");
                    self.note(|| format!("restored, {age:?} old"));
                    self.vouched = Some(Vouched { order: 0, at: now, aged: age });
                    self.held = vec![(1, 1)];
                }
            }
            _ => {
                // Whoever waited goes away: the machine does not hear of it (invariant 2).
            }
        }
    }

    fn rotate(&mut self) {
        match self.pick(4) {
            // Ahead, as it should be.
            0 => {
                self.names += 1;
                self.keys.insert(0, (self.names, self.names));
            }
            // At once.
            1 => {
                self.names += 1;
                self.keys = vec![(self.names, self.names)];
            }
            // A key is withdrawn.
            2 => drop(self.keys.pop()),
            // The name of a key is given to another.
            _ => {
                self.names += 1;
                let names = self.names;
                if let Some(first) = self.keys.first_mut() {
                    first.1 = names;
                }
            }
        }
        let keys = self.keys.clone();
        self.note(|| format!("the issuer's keys are {keys:?}"));
    }

    /// What a check does with a token that this key has signed. Says whether it is accepted.
    fn present(&mut self, name: u32, material: u32) -> bool {
        let now = self.now();
        let published = self.machine.published(now);
        assert_eq!(published.state(now).is_usable(), self.has_keys(), "who has keys (invariant 6)");
        if !self.has_keys() {
            self.needed = Some(self.uptime);
            self.look();
            let order = self.machine.need_keys(now);
            self.ordered(order);
            return false;
        }
        let held = self.held.iter().find(|(held, _)| *held == name).map(|(_, held)| *held);
        if held == Some(material) {
            return true;
        }
        self.look();
        let order = match held {
            Some(_) => self.machine.bad_signature(now),
            None => {
                let kid = name.to_string();
                let thought = published.unknown_key(Some(&kid), now);
                if thought == UnknownKey::Absent {
                    assert!(self.age().unwrap() <= UNKNOWN_PERIOD, "absent, say keys that are old (I11)");
                }
                let step = self.machine.unknown_key(Some(&kid), now);
                assert_eq!(step == Unknown::Absent, self.machine_remembers(&kid), "{step:?}");
                step
            }
        };
        let order = self.caused_by_a_token(order);
        self.ordered(order);
        false
    }

    /// The order, if there is one, that a token has caused; it is one of the budget's.
    fn caused_by_a_token(&mut self, step: Unknown) -> Option<Order> {
        let Unknown::Fetch(order) = step else { return None };
        self.spent.push(self.uptime);
        self.within_budget();
        Some(order)
    }

    /// An order of which nothing was heard for a minute has failed at the moment at which somebody looks.
    fn look(&mut self) {
        if self.open.is_some_and(|(_, since)| self.uptime - since >= Duration::from_secs(60)) {
            self.failed_in_the_model(None);
            self.empties = None;
        }
    }

    fn machine_remembers(&self, kid: &str) -> bool {
        remembers(&self.machine.remembered, Some(kid), self.now())
    }

    fn token_by_a_key_of_the_issuer(&mut self) {
        if let Some(&(name, material)) = self.keys.first() {
            self.present(name, material);
        }
    }

    fn flood(&mut self) {
        let many = if self.pick(8) == 0 { 300 } else { 12 };
        for _ in 0..self.pick(many) {
            let name = 1_000_000 + u32::try_from(self.pick(1_000_000)).unwrap();
            self.present(name, 0);
        }
    }

    fn forged(&mut self) {
        if let Some(&(name, _)) = self.held.first() {
            self.present(name, 0);
        }
    }

    /// In every window that ends now: at most 2, and one more for each half minute.
    fn within_budget(&self) {
        for (place, begin) in self.spent.iter().enumerate() {
            let count = self.spent.len() - place;
            let window = (self.uptime - *begin).as_secs() / 30;
            assert!(u64::try_from(count).unwrap() <= 2 + window, "{count} orders by tokens in {window} half minutes");
        }
    }

    /// The driver was told to fetch.
    fn ordered(&mut self, order: Option<Order>) {
        if let Some(order) = order {
            self.obey(order);
            self.send(order);
        }
    }

    /// What must be true of every order.
    fn obey(&mut self, order: Order) {
        self.orders += 1;
        self.note(|| format!("{order:?}"));
        assert_eq!(self.open, None, "two orders are open (invariant 1)");
        let in_need = !self.has_keys() && self.needed.is_some_and(|at| self.uptime - at < Duration::from_secs(60));
        let barred = if in_need { self.barred.0 } else { self.barred.1 };
        assert!(self.uptime >= barred, "ordered {:?} too early (invariant 7)", barred - self.uptime);
        self.open = Some((order.id, self.uptime));
    }

    fn send(&mut self, order: Order) {
        let answer = match (self.is_up, self.pick(20)) {
            (true, 0) | (false, 0..4) => {
                let after = self.pick(8_000);
                Answer::Failure(Some(Duration::from_secs(after)))
            }
            (true, 1) | (false, _) => Answer::Failure(None),
            (true, 2) if self.vouched.is_some() && self.held == self.keys && !self.keys.is_empty() => Answer::Unchanged,
            (true, _) => Answer::Keys(self.keys.clone(), self.lifetime),
        };
        let delay = match self.pick(20) {
            0 => return, // never heard of again
            1 => self.millis(200_000),
            2..6 => self.millis(5_000),
            _ => self.millis(100),
        };
        self.letters.push(Letter { order, answer, at: self.uptime + delay });
    }

    fn deliver(&mut self) {
        let (uptime, mut heard) = (self.uptime, Vec::new());
        self.letters.retain_mut(|letter| {
            let is_due = letter.at <= uptime;
            if is_due {
                heard.push(Letter { order: letter.order, answer: letter.answer.clone(), at: letter.at });
            }
            !is_due
        });
        for letter in heard {
            self.hear(letter);
        }
    }

    fn hear(&mut self, Letter { order, answer, .. }: Letter) {
        let now = self.now();
        self.note(|| format!("order {} is answered: {answer:?}", order.id));
        // As the driver does: late news may bring keys, and nothing else.
        let is_open = self.machine.is_open(order.id);
        let is_newest = self.vouched.as_ref().is_none_or(|vouched| order.id > vouched.order);
        match answer {
            Answer::Failure(retry_after) => {
                self.machine.failed(order.id, now, retry_after);
                if self.open.is_some_and(|(id, _)| id == order.id) {
                    self.failed_in_the_model(retry_after);
                    self.empties = None;
                }
            }
            Answer::Unchanged if is_open => {
                let outcome = self.machine.fetched(order, now, self.lifetime, Contents::Unchanged, Word::Own);
                assert_eq!(outcome == Outcome::Renew, is_newest, "{outcome:?}");
                self.vouch(order, is_newest);
            }
            Answer::Unchanged => {}
            Answer::Keys(keys, lifetime) if keys.is_empty() => {
                let outcome = self.machine.fetched(order, now, lifetime, Contents::Empty, Word::Own);
                if !is_newest || !is_open {
                    self.open.take_if(|(id, _)| *id == order.id);
                    assert_eq!(outcome, Outcome::Late, "an older answer counts (invariant 4)");
                    return;
                }
                let (count, first) = self.empties.unwrap_or((0, self.uptime));
                self.empties = Some((count + 1, first));
                let is_empty_already = self.vouched.is_some() && self.held.is_empty();
                let is_confirmed = is_empty_already || count >= 2 && self.uptime - first >= Duration::from_secs(60);
                assert_eq!(outcome == Outcome::Install, is_confirmed, "an empty set (invariant 3)");
                if is_confirmed {
                    self.vouch(order, true);
                    self.held.clear();
                } else {
                    self.failed_in_the_model(None);
                }
            }
            Answer::Keys(keys, lifetime) => {
                let outcome = self.machine.fetched(order, now, lifetime, Contents::Usable, Word::Own);
                assert_eq!(outcome == Outcome::Install, is_newest, "the later started wins (invariant 4): {outcome:?}");
                if is_newest {
                    self.held = keys;
                }
                self.vouch(order, is_newest);
            }
        }
    }

    fn vouch(&mut self, order: Order, counts: bool) {
        self.open.take_if(|(id, _)| *id == order.id);
        if counts {
            self.vouched = Some(Vouched { order: order.id, at: order.at, aged: Duration::ZERO });
            (self.barred, self.failures, self.empties, self.needed) = (Default::default(), 0, None, None);
        }
    }

    /// The shortest wait that is allowed: half of what it doubles to, or what the issuer asked for.
    fn failed_in_the_model(&mut self, retry_after: Option<Duration>) {
        self.open = None;
        let doubled = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX).min(60);
        self.failures += 1;
        let asked = retry_after.map_or(0, |asked| asked.as_secs().clamp(1, 3600));
        let least = |longest: u64| Duration::from_millis(doubled.min(longest) * 500).max(Duration::from_secs(asked));
        self.barred = (self.uptime + least(5), self.uptime + least(60));
    }

    fn live(&mut self) {
        for _ in 0..STEPS {
            self.happen();
            self.step();
        }
        // Each end is long; every life has one of them.
        self.be_well_for_an_hour();
        match self.seed % 4 {
            0 => self.rotate_without_overlap(),
            1 => self.withdraw_a_key(),
            2 => self.bear_an_outage_of_minutes(),
            _ => self.bear_an_outage_of_a_day(),
        }
    }

    fn step(&mut self) {
        self.deliver();
        self.look();
        let order = self.machine.due(self.now());
        self.ordered(order);
        let now = self.now();
        assert_eq!(self.machine.usable(now), self.has_keys(), "keys serve 24 h and no longer (invariant 6)");
        assert!(self.machine.pending.len() <= REMEMBERED && self.machine.remembered.len() <= REMEMBERED, "invariant 8");
        let nap = self.machine.next_wake(now);
        assert!(nap.is_none_or(|nap| nap <= LONGEST_NAP), "{nap:?}");
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn row_f28_row_j43_fault_row_18_simulation_of_many_lives() {
    let (seeds, print) = match number("SCOPEGATE_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (0..number("SCOPEGATE_SEEDS").unwrap_or(SEEDS), false),
    };
    for seed in seeds {
        let mut life = Life::new(seed);
        let lived = catch_unwind(AssertUnwindSafe(|| life.live()));
        if lived.is_err() || print {
            let mut story = String::new();
            for line in &life.diary {
                let _ = writeln!(story, "{line}");
            }
            println!("the last of life {seed}, orders {}:\n{story}", life.orders);
        }
        assert!(lived.is_ok(), "seed {seed}; again: SCOPEGATE_SEED={seed} cargo test --lib simulation_of_many_lives");
    }
}

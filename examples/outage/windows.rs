//! How long checks take beside a refresh, a flood, an outage, an issuer that hangs and a log that is clogged, as multiples of what
//! they take without.
//!
//! Many short windows take turns, so that whatever else this machine does touches all alike; the two of each ratio follow each
//! other, and the middle of all ratios counts. All load comes from the thread that checks: on another it would measure how a
//! system shares its cores, and nothing of ours.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use scopegate::testing::{Fault, TestClock, TestIssuer};
use scopegate::{Algorithm, Credentials, Event, Issuer, Observe, Requirement, ScopePolicy, Validator};

use crate::between::{Kind, Spoil};
use crate::world::{API, HOUR, START, Spread, World, spread, uptime, with_unknown_key};
use crate::{Failure, Scale};

/// How much longer checks took, in each round.
pub(crate) struct Ratio {
    pub(crate) name: &'static str,
    /// What it is said to be at most, where nothing else runs.
    pub(crate) promised: f64,
    /// What it must not exceed here, on cores that others use too.
    pub(crate) bound: f64,
    /// Whether it is enough that the quiet windows hold it.
    is_lenient: bool,
    /// What was measured beside it and without, in seconds.
    rounds: Vec<(f64, f64)>,
}

impl Ratio {
    pub(crate) fn rounds(&self) -> Vec<f64> {
        self.rounds.iter().map(|(beside, without)| beside / without).collect()
    }

    pub(crate) fn median(&self) -> f64 {
        below(self.rounds(), 2)
    }

    /// Of the quietest quarter of either's windows. Others on the same cores only ever add time: where they interrupt about one
    /// check in a hundred, chance decides whether p99 is one of ours or one of theirs. What we cost ourselves is in the quiet
    /// windows too.
    pub(crate) fn quiet(&self) -> f64 {
        let (beside, without) = self.rounds.iter().copied().unzip();
        below(beside, 4) / below(without, 4)
    }

    pub(crate) fn holds(&self) -> bool {
        self.median() <= self.bound || self.is_lenient && self.quiet() <= self.bound
    }

    pub(crate) fn all(&self) -> String {
        let mut all = String::new();
        for ratio in self.rounds() {
            let _ = write!(all, "{ratio:.2} ");
        }
        all
    }
}

/// The value below which one in so many lies.
fn below(mut values: Vec<f64>, one_in: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = values.len().checked_div(one_in).unwrap_or(0);
    values.get(place).copied().unwrap_or(f64::MAX)
}

pub(crate) async fn measure(scale: Scale, kind: Kind) -> Result<Vec<Ratio>, Failure> {
    let (rounds, checks) = if scale == Scale::Full { (31, 6_000) } else { (3, 300) };
    let ratio = |name, promised, bound| {
        let is_lenient = bound != MOST_OF_P999;
        Ratio { name, promised, bound, is_lenient, rounds: Vec::new() }
    };
    let mut ratios = vec![
        ratio("p99.9 of checks beside refreshes", 1.2, MOST_OF_P999),
        ratio("p99.9 of checks beside a flood of unknown keys", 1.2, MOST_OF_P999),
        ratio("row 2: p99 of checks beside refreshes that fail", 1.05, MOST_OF_P99),
        ratio("row 38: p99 of checks by 49 issuers, the 50th hangs", 1.0, MOST_OF_P99),
        ratio("row 40: p99 of checks beside a log that is clogged", 1.1, MOST_OF_P99),
    ];
    let mut stage = Stage::new(kind, checks).await?;
    for round in 0..rounds {
        let idle = stage.beside(Beside::Nothing, round).await?;
        let others = [Beside::Refresh, Beside::Flood, Beside::Outage];
        let mut seen = Vec::new();
        for beside in others {
            seen.push((stage.beside(beside, round).await?, idle));
        }
        let (fifty, hung) = (stage.by_fifty(&stage.fifty.0), stage.by_fifty(&stage.fifty.1));
        seen.push((hung, fifty));
        let (open, clogged) = (stage.with_log(&stage.logs.0), stage.with_log(&stage.logs.1));
        seen.push((clogged, open));
        for (place, (ratio, (beside, without))) in ratios.iter_mut().zip(seen).enumerate() {
            let [beside, without] =
                [beside, without].map(|spread: Spread| if place < 2 { spread.p999 } else { spread.p99 });
            ratio.rounds.push((beside.as_secs_f64(), without.as_secs_f64()));
        }
    }
    Ok(ratios)
}

/// The promise itself, which wants a machine that does nothing else: on two cores that six others wanted too the middle of 31 rounds
/// was 1.01, 1.01 and, in a third run, 1.25.
const MOST_OF_P999: f64 = 1.2;
/// Above what is promised, since a few percent are less than what such cores add: there the middle was from 0.95 to 1.02, and once
/// 0.23, where others interrupted the windows without and not those beside.
const MOST_OF_P99: f64 = 1.25;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Refresh,
    Flood,
    Outage,
}

/// All that is measured.
struct Stage {
    checks: u64,
    world: World,
    token: String,
    /// Of fifty issuers: all are well, and one hangs.
    fifty: (Crowd, Crowd),
    /// With a log that listens, and one that is clogged.
    logs: (Logged, Logged),
    nothing: Requirement,
}

type Logged = (TestIssuer, Validator, String);

struct Crowd {
    validator: Validator,
    tokens: Vec<String>,
    /// Of the last one, which may hang.
    other: String,
    one_hangs: bool,
}

impl Stage {
    async fn new(kind: Kind, checks: u64) -> Result<Self, Failure> {
        let mut world = World::verifying(kind).await?;
        let token = world.mint(HOUR.saturating_mul(48))?;
        let fifty = (Crowd::gather(false).await?, Crowd::gather(true).await?);
        let logs = (logged(Log::Listens).await?, logged(Log::IsClogged).await?);
        Ok(Self { checks, world, token, fifty, logs, nothing: ScopePolicy::none().into() })
    }

    /// Each window has the same things to do besides checking, and does them with other tokens.
    async fn beside(&mut self, beside: Beside, round: u64) -> Result<Spread, Failure> {
        let world = &self.world;
        if beside == Beside::Outage {
            world.proxy.spoil(Spoil::Gone)?;
            world.pass(Duration::from_secs(301));
        }
        let names = round.saturating_mul(self.checks);
        let aside = |number: u64| {
            let other = match beside {
                Beside::Flood => with_unknown_key(&self.token, names.saturating_add(number)),
                Beside::Nothing | Beside::Refresh | Beside::Outage => self.token.clone(),
            };
            let _ = std::hint::black_box(world.check(&other));
        };
        let now_and_then = || match beside {
            Beside::Nothing | Beside::Flood => {}
            Beside::Refresh => refresh(&world.validator),
            // The next try is due.
            Beside::Outage => world.pass(Duration::from_secs(61)),
        };
        let seen = window(self.checks, aside, now_and_then, |_| drop(std::hint::black_box(world.check(&self.token))));
        if beside == Beside::Outage {
            if world.validator.health().issuers().iter().all(|issuer| issuer.failures == 0) {
                return Err("no refresh failed, so there was no outage".into());
            }
            world.proxy.spoil(Spoil::Nothing)?;
        }
        world.pass(Duration::from_secs(61));
        world.settle().await;
        Ok(seen)
    }

    fn by_fifty(&self, crowd: &Crowd) -> Spread {
        let check = |token: &str| {
            let _ = std::hint::black_box(crowd.validator.check(&Credentials::bearer(token), &self.nothing));
        };
        let turn = |number: u64| {
            let tokens = u64::try_from(crowd.tokens.len()).unwrap_or(1);
            let place = usize::try_from(number.checked_rem(tokens).unwrap_or(0)).unwrap_or(0);
            crowd.tokens.get(place).map_or("", String::as_str)
        };
        // A signature is verified beside, whether or not it is that of the last one.
        let aside = |number| {
            check(&crowd.other);
            if crowd.one_hangs {
                check(turn(number));
            }
        };
        window(self.checks, aside, || {}, |number| check(turn(number)))
    }

    fn with_log(&self, (_, validator, token): &Logged) -> Spread {
        let check = || {
            let _ = std::hint::black_box(validator.check(&Credentials::bearer(token), &self.nothing));
        };
        window(self.checks, |_| check(), || refresh(validator), |_| check())
    }
}

/// Times so many checks. Each tenth has something to do before it, and five of them have more.
fn window(checks: u64, aside: impl Fn(u64), now_and_then: impl Fn(), check: impl Fn(u64)) -> Spread {
    let mut times = Vec::new();
    for number in 0..checks {
        if number.is_multiple_of(10) {
            aside(number);
        }
        if number.is_multiple_of(checks / 5) {
            now_and_then();
        }
        let begun = uptime();
        check(number);
        times.push(uptime().saturating_sub(begun));
    }
    spread(times)
}

fn refresh(validator: &Validator) {
    let validator = validator.clone();
    tokio::spawn(async move { validator.refresh_now().await });
}

impl Crowd {
    async fn gather(one_hangs: bool) -> Result<Self, Failure> {
        let clock = TestClock::at(START);
        let issuers: Vec<TestIssuer> =
            (0..50).map(|number| issuer(&format!("https://id-{number}.example.test"), &clock)).collect();
        let mut builder = Validator::builder(API).clock(clock).fetch(TestIssuer::fetch_from(&issuers));
        builder = builder.remember_signatures(Duration::ZERO);
        for issuer in &issuers {
            builder = builder.trust(trusted(issuer));
        }
        let validator = builder.build()?;
        let mut tokens: Vec<String> = issuers.iter().map(|issuer| issuer.token().mint()).collect();
        let other = tokens.pop().ok_or("nobody is there")?;
        if one_hangs {
            issuers.last().ok_or("nobody is there")?.script(Fault::hang());
        } else {
            validator.warm_up().await?;
        }
        let nothing = ScopePolicy::none().into();
        for token in &tokens {
            validator.validate(&Credentials::bearer(token), &nothing).await?;
        }
        let is_judged = validator.check(&Credentials::bearer(&other), &nothing).is_ok();
        if is_judged == one_hangs {
            return Err("the fiftieth issuer is not as it should be".into());
        }
        Ok(Self { validator, tokens, other, one_hangs })
    }
}

async fn logged(log: Log) -> Result<Logged, Failure> {
    let clock = TestClock::at(START);
    let issuer = issuer("https://id.example.test", &clock);
    let builder = Validator::builder(API).trust(trusted(&issuer)).clock(clock).fetch(issuer.fetch());
    let validator = builder.remember_signatures(Duration::ZERO).observe(Arc::new(log)).build()?;
    validator.warm_up().await?;
    let token = issuer.token().mint();
    Ok((issuer, validator, token))
}

fn issuer(identifier: &str, clock: &TestClock) -> TestIssuer {
    TestIssuer::with_algorithms(identifier, [Algorithm::Ed25519]).clock(clock).default_audience(API)
}

fn trusted(issuer: &TestIssuer) -> Issuer {
    Issuer::jwks(issuer.id(), issuer.jwks_uri()).algorithms([Algorithm::Ed25519])
}

/// Where events are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Listens,
    /// Takes the first event, and never comes back.
    IsClogged,
}

impl Observe for Log {
    fn happened(&self, _: &Event) {
        if *self == Self::IsClogged {
            loop {
                std::thread::park();
            }
        }
    }
}

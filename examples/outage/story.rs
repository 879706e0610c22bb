//! The story: what happens when, and what is seen of it.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use scopegate::{KeyState, MetricsObserver};

use crate::between::{Kind, Spoil};
use crate::dashboard::{self, Scrape};
use crate::recorder::Kept;
use crate::world::{HOUR, Spread, World, spread, uptime, with_unknown_key};
use crate::{Failure, Scale, picture};

/// What begins at an hour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Tell(&'static str),
    Flood,
    Slow,
    Garbage,
    Outage,
    Calm,
}

/// The hour of the story, its name in the picture, and what happens.
const ACTS: [(u64, &str, Act); 13] = [
    (2, "a successor is published", Act::Tell("ahead")),
    (3, "the successor signs", Act::Tell("newest")),
    (5, "the old key is withdrawn", Act::Tell("retire")),
    (7, "flood of unknown keys", Act::Flood),
    (8, "", Act::Calm),
    (9, "slow answers", Act::Slow),
    (11, "", Act::Calm),
    (12, "garbage", Act::Garbage),
    (14, "", Act::Calm),
    (15, "rotation without overlap", Act::Tell("rotate")),
    (17, "the issuer is gone", Act::Outage),
    (42, "it is back", Act::Calm),
    (43, "rotation without overlap", Act::Tell("rotate")),
];
const END: Duration = hours(44);
const SLOW: Duration = Duration::from_millis(300);
/// Of each token.
const LIFETIME: Duration = hours(2);

/// What was seen in one step.
pub(crate) struct Sample {
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) requests: u32,
    pub(crate) accepted: u32,
    /// Good tokens that were answered with 401 or 403, or with 503 before the keys had expired.
    pub(crate) false_rejects: u32,
    /// Good tokens that were answered with 503, since the keys had expired.
    pub(crate) unjudged: u32,
    pub(crate) fetches: u64,
    pub(crate) checks: Spread,
    pub(crate) state: KeyState,
}

/// What happened, with its name.
pub(crate) type Mark = (Duration, &'static str);

pub(crate) async fn run(scale: Scale, kind: Kind, folder: PathBuf) -> Result<(), Failure> {
    let (step, requests, checks) = match scale {
        Scale::Full => (Duration::from_secs(60), 10, 200),
        Scale::Quick => (Duration::from_secs(300), 2, 20),
    };
    println!("between the API and its issuer: {}", kind.name());
    // Before the observer: it takes hold of its counters when it is made.
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone())?;
    let observer = Arc::new(MetricsObserver::new());
    let mut world = World::watched(kind, Arc::<MetricsObserver>::clone(&observer)).await?;
    let mut scrapes = Vec::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut acts = ACTS.into_iter().peekable();
    let (mut at, mut act) = (Duration::ZERO, Act::Calm);
    let mut token = world.mint(LIFETIME)?;
    while at < END {
        while let Some((_, _, next)) = acts.next_if(|(hour, ..)| hours(*hour) <= at) {
            act = begin(&mut world, next)?;
            if matches!(next, Act::Tell(_)) {
                token = world.mint(LIFETIME)?;
            }
        }
        if at.as_secs().is_multiple_of(1800) {
            token = world.mint(LIFETIME)?;
        }
        samples.push(sample(&mut world, &token, at, act, (requests, checks)).await?);
        tell(&samples)?;
        if at.as_secs().is_multiple_of(600) {
            observer.record_health(&world.validator.health());
            scrapes.push(Scrape::of(&kept, at));
        }
        world.advance(step)?;
        if act != Act::Slow {
            world.settle().await;
        }
        at = at.saturating_add(step);
    }
    println!();
    let named = ACTS.into_iter().filter(|(_, name, _)| !name.is_empty());
    let marks: Vec<Mark> = named.map(|(hour, name, _)| (hours(hour), name)).collect();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("timeline.svg"), picture::svg(&samples, &marks, END))?;
    std::fs::write(folder.join("dashboard.svg"), dashboard::svg(&scrapes, END))?;
    std::fs::write(folder.join("result.json"), picture::json((kind, step), &samples, &marks)?)?;
    println!("the timeline and the dashboard are in {}", folder.display());
    let false_rejects: u32 = samples.iter().map(|sample| sample.false_rejects).sum();
    if samples.iter().all(|sample| sample.unjudged == 0) {
        return Err("a day and an hour without the issuer went unnoticed, so there was no outage".into());
    }
    if false_rejects == 0 { Ok(()) } else { Err(format!("{false_rejects} good tokens were refused").into()) }
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(HOUR.as_secs().saturating_mul(count))
}

fn begin(world: &mut World, act: Act) -> Result<Act, Failure> {
    match act {
        Act::Tell(word) => {
            world.issuer.tell(word)?;
            return Ok(Act::Calm);
        }
        Act::Slow => world.proxy.spoil(Spoil::Slow(SLOW))?,
        Act::Garbage => world.proxy.spoil(Spoil::Garbage)?,
        Act::Outage => world.proxy.spoil(Spoil::Gone)?,
        Act::Calm => world.proxy.spoil(Spoil::Nothing)?,
        Act::Flood => {}
    }
    Ok(act)
}

async fn sample(
    world: &mut World,
    token: &str,
    at: Duration,
    act: Act,
    (requests, checks): (u32, u64),
) -> Result<Sample, Failure> {
    let state =
        |world: &World| world.validator.health().issuers().first().map_or(KeyState::NeverLoaded, |issuer| issuer.state);
    let before = state(world);
    let (mut accepted, mut false_rejects, mut unjudged) = (0_u32, 0_u32, 0_u32);
    for _ in 0..requests {
        let answer = world.ask(token).await?;
        let count = match answer.status.as_u16() {
            200 => &mut accepted,
            503 if before == KeyState::Expired && answer.retry_after.is_some() => &mut unjudged,
            _ => &mut false_rejects,
        };
        *count = count.saturating_add(1);
    }
    let mut times = Vec::new();
    for number in 0..checks {
        if act == Act::Flood {
            let junk = with_unknown_key(token, at.as_secs().saturating_mul(1000).saturating_add(number));
            let _ = world.check(&junk);
        }
        let begun = uptime();
        let _ = std::hint::black_box(world.check(token));
        times.push(uptime().saturating_sub(begun));
    }
    let (fetches, state) = (world.fetches()?, state(world));
    Ok(Sample { at, requests, accepted, false_rejects, unjudged, fetches, checks: spread(times), state })
}

/// The live line; a line an hour where nobody watches.
fn tell(samples: &[Sample]) -> Result<(), Failure> {
    let Some(last) = samples.last() else { return Ok(()) };
    let is_live = std::io::stdout().is_terminal();
    if !is_live && !last.at.as_secs().is_multiple_of(HOUR.as_secs()) {
        return Ok(());
    }
    let sum = |count: fn(&Sample) -> u32| samples.iter().map(count).sum::<u32>();
    let line = format!(
        "{:>2} h  requests {:>6}  accepted {:>6}  false rejects {}  503 {:>5}  fetches {:>4}  check p50 {:>5.1} us p99.9 {:>6.1} us  {:?}",
        last.at.as_secs().checked_div(HOUR.as_secs()).unwrap_or(0),
        sum(|sample| sample.requests),
        sum(|sample| sample.accepted),
        sum(|sample| sample.false_rejects),
        sum(|sample| sample.unjudged),
        last.fetches,
        last.checks.p50.as_secs_f64() * 1e6,
        last.checks.p999.as_secs_f64() * 1e6,
        last.state,
    );
    let mut out = std::io::stdout();
    if is_live {
        write!(out, "\r{line}   ")?
    } else {
        writeln!(out, "{line}")?
    }
    Ok(out.flush()?)
}

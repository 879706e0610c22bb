//! Contenders in turn, by the time that the thread has really run, and medians.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long this thread has run so far.
pub(crate) fn ran() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// One thing that is measured.
pub(crate) struct Contender {
    pub(crate) group: String,
    pub(crate) name: String,
    run: Box<dyn FnMut() -> bool>,
    /// How many signatures one run verifies.
    signatures: u32,
    figures: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(group: &str, name: &str, signatures: u32, run: impl FnMut() -> bool + 'static) -> Self {
        let mut contender = Self {
            group: group.to_owned(),
            name: name.to_owned(),
            run: Box::new(run),
            signatures,
            figures: Vec::new(),
        };
        assert!((contender.run)(), "{group}, {name}: the signature holds");
        contender
    }

    fn measure(&mut self, times: u32) {
        let start = ran();
        for _ in 0..times {
            black_box((self.run)());
        }
        let took = (ran() - start).as_nanos() as f64;
        self.figures.push(took / f64::from(times) / f64::from(self.signatures));
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.figures)
    }

    pub(crate) fn spread(&self) -> f64 {
        spread(&self.figures)
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Half of all rounds lie within this much of the median.
pub(crate) fn spread(figures: &[f64]) -> f64 {
    let median = median(figures);
    let away: Vec<_> = figures.iter().map(|figure| (figure - median).abs()).collect();
    self::median(&away)
}

/// Runs the contenders in turn, so that a machine whose speed drifts is slow for all of them, and each about as long as the others.
pub(crate) fn compare(contenders: &mut [Contender], rounds: usize) {
    let times: Vec<_> = contenders.iter_mut().map(times_of).collect();
    for _ in 0..rounds {
        for (contender, times) in contenders.iter_mut().zip(&times) {
            contender.measure(*times);
        }
    }
}

/// How often in a round: 1 ms' worth.
fn times_of(contender: &mut Contender) -> u32 {
    (contender.run)();
    let start = ran();
    (contender.run)();
    let once = (ran() - start).max(Duration::from_nanos(200));
    (Duration::from_millis(1).as_nanos() / once.as_nanos()).clamp(1, 5_000) as u32
}

pub(crate) fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

pub(crate) fn head(columns: &[&str]) {
    row(columns.iter().map(|column| (*column).to_owned()));
    row(columns.iter().map(|_| "---".to_owned()));
}

//! How many times as long one thing takes as another that was measured beside it.

use std::fmt;

/// A ratio of medians, and the quartiles of the ratios of single rounds: half of the rounds lie between them.
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// From one figure a round of each.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Self {
        let rounds = sorted(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs));
        Self {
            ratio: median(ours.iter().copied()) / median(theirs.iter().copied()),
            low: rounds[rounds.len() / 4],
            high: rounds[rounds.len() * 3 / 4],
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2} ({:.2} to {:.2})", self.ratio, self.low, self.high))
    }
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(figures);
    sorted[sorted.len() / 2]
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

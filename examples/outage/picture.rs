//! The timeline as a picture, and all of it as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use scopegate::KeyState;
use serde_json::json;

use crate::Failure;
use crate::between::Kind;
use crate::story::{Mark, Sample};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
const PANEL: f64 = 90.0;
const GAP: f64 = 30.0;
const TOP: f64 = 120.0;
/// Room for the last name and for the hours.
const RIGHT: f64 = 110.0;
const BOTTOM: f64 = 40.0;

/// What one panel draws: its name, its unit, and the value of a sample.
type Panel = (&'static str, &'static str, fn(&Sample, Option<&Sample>) -> f64);

const PANELS: [Panel; 5] = [
    ("accepted", "requests a step", |sample, _| f64::from(sample.accepted)),
    ("refused, though good", "requests a step", |sample, _| f64::from(sample.false_rejects)),
    ("503, keys expired", "requests a step", |sample, _| f64::from(sample.unjudged)),
    ("fetches of keys", "a step", |sample, before| {
        let fetched = sample.fetches.saturating_sub(before.map_or(sample.fetches, |before| before.fetches));
        f64::from(u32::try_from(fetched).unwrap_or(u32::MAX))
    }),
    ("check, p99.9", "us", |sample, _| sample.checks.p999.as_secs_f64() * 1e6),
];

pub(crate) fn svg(samples: &[Sample], marks: &[Mark], end: Duration) -> String {
    let x = |at: Duration| LEFT + (WIDTH - LEFT - RIGHT) * at.as_secs_f64() / end.as_secs_f64();
    let panels = PANELS.len();
    let height = TOP + (PANEL + GAP) * f64::from(u32::try_from(panels).unwrap_or(0)) + BOTTOM;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">An issuer rotates, slows down, talks nonsense and is gone for a day</text>\n"
    );
    // The state of the keys is a band over the whole height.
    for (sample, next) in samples.iter().zip(samples.iter().skip(1)) {
        let fill = match sample.state {
            KeyState::Stale => "#fff3c4",
            KeyState::Expired | KeyState::NeverLoaded => "#f8c9c4",
            _ => continue,
        };
        let (from, to) = (x(sample.at), x(next.at));
        let _ = writeln!(
            out,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
            to - from + 0.2,
            height - TOP - BOTTOM
        );
    }
    for (at, name) in marks {
        let at = x(*at);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#999\" stroke-dasharray=\"2 3\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" transform=\"rotate(-35 {at:.1} {:.1})\">{name}</text>",
            height - BOTTOM,
            TOP - 6.0,
            TOP - 6.0
        );
    }
    let mut top = TOP;
    for (name, unit, value) in PANELS {
        top += GAP / 2.0;
        let mut before = None;
        let mut values = Vec::new();
        for sample in samples {
            values.push((x(sample.at), value(sample, before)));
            before = Some(sample);
        }
        let most = values.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        let points: Vec<String> =
            values.iter().map(|(x, value)| format!("{x:.1},{:.1}", top + PANEL - PANEL * value / most)).collect();
        let _ = writeln!(
            out,
            "<text x=\"8\" y=\"{:.1}\">{name}</text><text x=\"8\" y=\"{:.1}\" fill=\"#666\">{unit}, to {most:.0}</text>\n\
             <line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ccc\"/>\n\
             <polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"1.2\" points=\"{}\"/>",
            top + PANEL / 2.0,
            top + PANEL / 2.0 + 14.0,
            top + PANEL,
            WIDTH - RIGHT,
            top + PANEL,
            points.join(" ")
        );
        top += PANEL + GAP / 2.0;
    }
    for hour in (0..=end.as_secs()).step_by(4 * 3600) {
        let at = x(Duration::from_secs(hour));
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} h</text>",
            height - 22.0,
            hour / 3600
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#666\">Behind the lines: yellow, the keys are stale and serve; red, they have expired.</text>\n</svg>",
        height - 6.0
    );
    out
}

pub(crate) fn json((kind, step): (Kind, Duration), samples: &[Sample], marks: &[Mark]) -> Result<String, Failure> {
    let sum = |count: fn(&Sample) -> u32| samples.iter().map(|sample| u64::from(count(sample))).sum::<u64>();
    let totals = json!({
        "requests": sum(|sample| sample.requests),
        "accepted": sum(|sample| sample.accepted),
        "false_rejects": sum(|sample| sample.false_rejects),
        "unjudged": sum(|sample| sample.unjudged),
        "fetches": samples.last().map_or(0, |sample| sample.fetches),
    });
    let samples: Vec<_> = samples
        .iter()
        .map(|sample| {
            json!({
                "at_seconds": sample.at.as_secs(),
                "requests": sample.requests,
                "accepted": sample.accepted,
                "false_rejects": sample.false_rejects,
                "unjudged": sample.unjudged,
                "fetches_so_far": sample.fetches,
                "check_p50_us": sample.checks.p50.as_secs_f64() * 1e6,
                "check_p999_us": sample.checks.p999.as_secs_f64() * 1e6,
                "keys": format!("{:?}", sample.state),
            })
        })
        .collect();
    let marks: Vec<_> = marks.iter().map(|(at, name)| json!({ "at_seconds": at.as_secs(), "what": name })).collect();
    Ok(serde_json::to_string_pretty(&json!({
        "between": kind.name(),
        "step_seconds": step.as_secs(),
        "totals": totals,
        "marks": marks,
        "samples": samples,
    }))?)
}

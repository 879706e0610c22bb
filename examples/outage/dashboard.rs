//! The example dashboard: what a metrics server would draw of the story, from what `MetricsObserver` told and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::recorder::Kept;

/// Everything that was told until then.
pub(crate) struct Scrape {
    pub(crate) at: Duration,
    series: BTreeMap<String, f64>,
    /// How long each judgement took, since the scrape before, in seconds.
    judged: Vec<f64>,
}

impl Scrape {
    pub(crate) fn of(kept: &Kept, at: Duration) -> Self {
        Self { at, series: kept.scrape(), judged: kept.take_values("scopegate_judged_duration_seconds") }
    }

    /// The sum over all series whose name, with its labels, has these in it.
    fn sum(&self, parts: &[&str]) -> f64 {
        let fits = |name: &str| parts.iter().all(|part| name.contains(part));
        self.series.iter().filter(|(name, _)| fits(name)).map(|(_, value)| value).sum()
    }

    fn percentile(&self, share: usize) -> f64 {
        let mut values = self.judged.clone();
        values.sort_by(f64::total_cmp);
        let below = values.len().saturating_sub(1).saturating_mul(share).checked_div(100);
        below.and_then(|place| values.get(place)).copied().unwrap_or_default()
    }
}

/// How a line is drawn from two scrapes that follow each other.
enum Value {
    /// How much more of it, in a minute.
    PerMinute(&'static [&'static str]),
    /// What it is.
    Now(&'static [&'static str]),
    /// Of the durations of judgements, in microseconds.
    Percentile(usize),
}

impl Value {
    fn between(&self, before: &Scrape, now: &Scrape) -> f64 {
        match self {
            Self::PerMinute(parts) => {
                let minutes = now.at.saturating_sub(before.at).as_secs_f64() / 60.0;
                (now.sum(parts) - before.sum(parts)).max(0.0) / minutes.max(f64::MIN_POSITIVE)
            }
            Self::Now(parts) => now.sum(parts),
            Self::Percentile(share) => now.percentile(*share) * 1e6,
        }
    }
}

struct Panel {
    title: &'static str,
    lines: &'static [(&'static str, &'static str, Value)],
}

const BLUE: &str = "#1f5fa8";
const GREEN: &str = "#2e7d32";
const AMBER: &str = "#b26a00";
const RED: &str = "#b3261e";

const PANELS: [Panel; 6] = [
    Panel {
        title: "Judgements a minute, by outcome",
        lines: &[
            ("accepted", GREEN, Value::PerMinute(&["scopegate_judged_total", "outcome=\"accepted\""])),
            ("refused", AMBER, Value::PerMinute(&["scopegate_judged_total", "outcome=\"refused\""])),
            ("unjudged", RED, Value::PerMinute(&["scopegate_judged_total", "outcome=\"unjudged\""])),
        ],
    },
    Panel {
        title: "How long a judgement took, in microseconds",
        lines: &[("p50", BLUE, Value::Percentile(50)), ("p99", AMBER, Value::Percentile(99))],
    },
    Panel {
        title: "State of the keys",
        lines: &[
            ("fresh", GREEN, Value::Now(&["scopegate_keys_state{", "state=\"fresh\""])),
            ("stale", AMBER, Value::Now(&["scopegate_keys_state{", "state=\"stale\""])),
            ("expired", RED, Value::Now(&["scopegate_keys_state{", "state=\"expired\""])),
        ],
    },
    Panel {
        title: "Age of the keys, in seconds",
        lines: &[("age", BLUE, Value::Now(&["scopegate_keys_age_seconds{"]))],
    },
    Panel {
        title: "Fetches a minute, by outcome",
        lines: &[
            ("fetched", GREEN, Value::PerMinute(&["scopegate_key_fetches_total", "outcome=\"fetched\""])),
            ("not modified", BLUE, Value::PerMinute(&["scopegate_key_fetches_total", "outcome=\"not_modified\""])),
            ("unreachable", RED, Value::PerMinute(&["scopegate_key_fetches_total", "outcome=\"unreachable\""])),
            ("unusable", AMBER, Value::PerMinute(&["scopegate_key_fetches_total", "outcome=\"unusable\""])),
        ],
    },
    Panel {
        title: "Keys in use, and changes of them so far",
        lines: &[
            ("in use", BLUE, Value::Now(&["scopegate_keys{"])),
            ("changes", AMBER, Value::Now(&["scopegate_key_changes_total"])),
        ],
    },
];

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 130.0;
const MARGIN: f64 = 20.0;

/// Two panels beside each other, with classes of their own, so that it can stand in a page of another style.
pub(crate) fn svg(scrapes: &[Scrape], end: Duration) -> String {
    let (width, row) = (2.0 * WIDTH + 3.0 * MARGIN, HEIGHT + 70.0);
    let height = 50.0 + 3.0 * row;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Dashboard of a day and a half\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"28\" font-size=\"15\">44 hours: rotations, a flood, slow answers, garbage, and an outage \
         of 25 hours from the 17th</text>\n"
    );
    let mut top = 75.0;
    for pair in PANELS.chunks(2) {
        for (panel, left) in pair.iter().zip([MARGIN, WIDTH + 2.0 * MARGIN]) {
            draw(&mut out, panel, scrapes, end, (left, top));
        }
        top += row;
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel, scrapes: &[Scrape], end: Duration, (left, top): (f64, f64)) {
    let x = |at: Duration| left + WIDTH * at.as_secs_f64() / end.as_secs_f64();
    let lines = panel.lines.iter().map(|(name, colour, value)| {
        let pairs = scrapes.iter().zip(scrapes.iter().skip(1));
        (name, colour, pairs.map(|(before, now)| (now.at, value.between(before, now))).collect::<Vec<_>>())
    });
    let lines: Vec<_> = lines.collect();
    let most = lines.iter().flat_map(|(.., points)| points).map(|(_, value)| *value).fold(1.0, f64::max);
    let bottom = top + HEIGHT;
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">to {most:.0}</text>\
         <rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#f7f8fa\"/>",
        top - 8.0,
        panel.title,
        left + WIDTH,
        top - 8.0,
    );
    for (quarter, anchor) in (0..=4).zip(["start", "middle", "middle", "middle", "end"]) {
        let time = end.mul_f64(f64::from(quarter) / 4.0);
        let (at, y, hour) = (x(time), bottom + 13.0, time.as_secs_f64() / 3600.0);
        let _ =
            writeln!(out, "<text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#666\">{hour:.0} h</text>");
    }
    let mut key = left;
    for (name, colour, points) in lines {
        let points = steps(&points).map(|(at, value)| format!("{:.1},{:.1}", x(at), bottom - HEIGHT * value / most));
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" points=\"{}\"/>\
             <rect x=\"{key}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            points.collect::<Vec<_>>().join(" "),
            bottom + 20.0,
            key + 13.0,
            bottom + 28.5
        );
        key += 100.0;
    }
}

/// Without the points of a level line that lie between its ends.
fn steps(points: &[(Duration, f64)]) -> impl Iterator<Item = (Duration, f64)> {
    let value = |place: usize| points.get(place).map(|(_, value)| *value);
    let is_turn = move |place: usize| {
        let (before, after) = (place.checked_sub(1).and_then(value), value(place.saturating_add(1)));
        before != value(place) || after != value(place)
    };
    points.iter().enumerate().filter(move |(place, _)| is_turn(*place)).map(|(_, point)| *point)
}

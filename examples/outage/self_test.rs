//! The figures that are promised, each with what was expected and what was seen.

use std::path::PathBuf;

use serde_json::json;

use crate::between::Kind;
use crate::{Failure, Scale, herd, promises, rotations, windows};

/// What was promised, and what came of it.
#[derive(Default)]
struct Report {
    is_bad: bool,
    rows: Vec<serde_json::Value>,
}

impl Report {
    fn row(&mut self, name: &str, expected: &str, seen: &str, holds: bool) {
        self.is_bad |= !holds;
        println!("{} {name:<58} expected {expected:<46} saw {seen}", if holds { "ok  " } else { "FAIL" });
        self.rows.push(json!({ "name": name, "expected": expected, "saw": seen, "holds": holds }));
    }
}

pub(crate) async fn run(scale: Scale, kind: Kind, folder: PathBuf) -> Result<(), Failure> {
    println!("between the API and its issuer: {}", kind.name());
    let mut report = Report::default();
    floods_and_herds(&mut report, scale, kind).await?;
    rotations_and_outages(&mut report, scale, kind).await?;
    let mut measured = Vec::new();
    for ratio in windows::measure(scale, kind).await? {
        // A small run measures the machine, so that its ratios are told and not judged.
        let holds = scale == Scale::Quick || ratio.holds();
        let expected = match scale {
            Scale::Full => format!("at most {:.2} (promised: {:.2}) times", ratio.bound, ratio.promised),
            Scale::Quick => "anything, at this size".to_owned(),
        };
        report.row(
            ratio.name,
            &expected,
            &format!("{:.3} (quiet windows {:.3})", ratio.median(), ratio.quiet()),
            holds,
        );
        println!("       in each round: {}", ratio.all());
        measured.push(
            json!({ "name": ratio.name, "median": ratio.median(), "quiet": ratio.quiet(), "rounds": ratio.rounds() }),
        );
    }
    std::fs::create_dir_all(&folder)?;
    let size = if scale == Scale::Full { "full" } else { "quick" };
    let result = json!({ "between": kind.name(), "size": size, "rows": report.rows, "ratios": measured });
    std::fs::write(folder.join("self-test.json"), serde_json::to_string_pretty(&result)?)?;
    if report.is_bad { Err("not everything is as promised".into()) } else { Ok(()) }
}

async fn floods_and_herds(report: &mut Report, scale: Scale, kind: Kind) -> Result<(), Failure> {
    let (junk, asked) = promises::flood(scale, kind).await?;
    let holds = (1..=2).contains(&asked);
    report.row(&format!("{junk} unknown keys in 10 s"), "1 or 2 requests", &asked.to_string(), holds);

    let size = herd::size(scale);
    let seen = herd::cold(scale, kind).await?;
    report.row(
        &format!("{size} cold requests at once, over HTTP"),
        "all waited, all 200, 1 discovery, 1 key set",
        &format!("{}, {}, {}, {}", seen.waited, seen.accepted, seen.metadata, seen.keys),
        (seen.waited, seen.accepted, seen.metadata, seen.keys) == (size, size, 1, 1),
    );

    let (accepted, fetches) = herd::after_a_rotation(scale, kind).await?;
    let refused = size.saturating_sub(accepted);
    report.row(
        &format!("{size} of a new key at once, without overlap"),
        "0 refused, 1 fetch",
        &format!("{refused}, {fetches}"),
        (refused, fetches) == (0, 1),
    );
    Ok(())
}

async fn rotations_and_outages(report: &mut Report, scale: Scale, kind: Kind) -> Result<(), Failure> {
    let seen = rotations::rotations(scale, kind).await?;
    let least = if scale == Scale::Full { 3_000_000 } else { 10_000 };
    report.row(
        &format!("checks on two threads over rotations, {} key sets", seen.fetches),
        &format!("0 refused of {least} or more"),
        &format!("{} of {}", seen.refused, seen.checks),
        seen.refused == 0 && seen.checks >= least && seen.fetches >= 8,
    );

    let (within, asked) = promises::removed(kind).await?;
    report.row("a removed key", "dead after 301 s", &format!("dead: {within}"), within);
    report.row("a removed key, and `refresh_now`", "dead at once", &format!("dead: {asked}"), asked);

    let day = promises::outage(kind).await?;
    let served = format!("{} of {}", day.served, day.asked);
    report.row("an outage of 24 h", "200 all day", &served, day.served == day.asked);
    let has_expired = day.after.0 == 503 && day.after.1.is_some();
    report.row("after it", "503 with Retry-After", &format!("{} {:?}", day.after.0, day.after.1), has_expired);
    let back = day.back.map_or("never".to_owned(), |seconds| format!("{seconds} s"));
    report.row("its recovery", "200 within 6 s", &back, day.back.is_some_and(|seconds| seconds <= 6));
    Ok(())
}

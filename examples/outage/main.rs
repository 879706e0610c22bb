//! A guarded API whose issuer rotates, slows down, talks nonsense and is gone for a day, at a glance.
//!
//! ```text
//! cargo run --release --example outage                          # a story of 44 hours; writes target/outage/
//! cargo run --release --example outage -- --self-test           # the figures that are promised, in full: minutes; they are in target/outage/ too
//! cargo run --release --example outage -- --self-test --quick   # the same at a hundredth of the size
//! ```
//!
//! `--proxy ours` or `--proxy node` chooses what stands between; otherwise it is the one under node, where that is at hand.
//!
//! The issuer is a process of its own on loopback, and a proxy that can spoil everything stands between it and the API. The hours
//! are those of a clock that is turned by hand; sockets, threads and the durations of checks are real.

mod between;
mod dashboard;
mod herd;
mod issuer_process;
mod picture;
mod promises;
#[path = "../../tests/it/watch/recorder.rs"]
mod recorder;
mod rotations;
mod self_test;
mod story;
mod windows;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use between::Kind;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much of each row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Quick,
    Full,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, words) = match *words.as_slice() {
        ["--proxy", "ours", ref rest @ ..] => (Kind::Ours, rest),
        ["--proxy", "node", ref rest @ ..] => (Kind::Node, rest),
        ref all => (Kind::at_hand(), all),
    };
    let outcome = match *words {
        [] => in_runtime(story::run(Scale::Full, kind, PathBuf::from("target/outage"))),
        ["--quick"] => in_runtime(story::run(Scale::Quick, kind, PathBuf::from("target/outage"))),
        ["--out", folder] => in_runtime(story::run(Scale::Full, kind, PathBuf::from(folder))),
        ["--self-test"] => in_runtime(self_test::run(Scale::Full, kind, PathBuf::from("target/outage"))),
        ["--self-test", "--quick"] => in_runtime(self_test::run(Scale::Quick, kind, PathBuf::from("target/outage"))),
        // Not for people: the issuer's process.
        [issuer_process::ARGUMENT, identifier] => issuer_process::serve(identifier),
        _ => {
            eprintln!("usage: outage [--proxy ours | --proxy node] [--quick | --out FOLDER | --self-test [--quick]]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

//! scopegate beside other crates that judge bearer tokens. README.md says what is compared and how.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml                     # some seconds an algorithm
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --test           # outcomes alone
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --json FILE      # figures appended to a file
//! ```

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]

#[path = "../../measure/mod.rs"]
mod measure;
mod peers;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use measure::{Contender, ROUNDS, compare, json, json_file, only_test, raw, request};
use peers::{Judge, PEERS};
use scopegate::Algorithm;
use world::World;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// What a peer accepted of the bad tokens.
type Mistakes = BTreeMap<&'static str, BTreeSet<&'static str>>;

fn main() {
    let world = World::new(ALGORITHMS);
    let (only_test, json_file) = (only_test(), json_file());
    let mut mistakes = Mistakes::new();
    println!("a whole check beside the signature alone, medians of {ROUNDS} interleaved rounds");
    for algorithm in ALGORITHMS {
        let mut contenders = contenders(&world, algorithm, &mut mistakes);
        if only_test {
            continue;
        }
        compare(&mut contenders);
        print(algorithm, &contenders);
        if let Some(file) = &json_file {
            let figures: Vec<_> =
                contenders.iter().map(|one| (algorithm.name(), one.name, one.median(), one.spread())).collect();
            json(file, "peers", &figures);
        }
    }
    println!("\naccepted, though it is not what was demanded:");
    for (name, what) in &mistakes {
        println!("{name:<28} {}", what.iter().copied().collect::<Vec<_>>().join("; "));
    }
    assert!(!mistakes.keys().any(|name| name.starts_with("scopegate")), "scopegate accepted what it must refuse");
}

/// The signature alone, and every peer that knows the algorithm and accepts the good token.
fn contenders(world: &World, algorithm: Algorithm, mistakes: &mut Mistakes) -> Vec<Contender> {
    let token = world.good(algorithm);
    let mut contenders = vec![Contender::new("raw signature", raw(algorithm, &world.jwk(algorithm), &token))];
    for (name, prepare) in PEERS {
        let Some(mut judge) = prepare(world, algorithm) else {
            println!("{name} is left out: it has no {}", algorithm.name());
            continue;
        };
        if !judge(&request(&token)) {
            println!("{name} is left out: it refuses a good token of {}", algorithm.name());
            continue;
        }
        for (what, bad) in world.bad(algorithm) {
            if judge(&request(&bad)) {
                mistakes.entry(name).or_default().insert(what);
            }
        }
        contenders.push(Contender::new(name, accepting(judge, &token)));
    }
    contenders
}

/// What is timed: the judge with the good token, and its answer each time.
fn accepting(mut judge: Judge, token: &str) -> impl FnMut() + 'static {
    let headers = request(token);
    move || assert!(judge(std::hint::black_box(&headers)))
}

fn print(algorithm: Algorithm, contenders: &[Contender]) {
    let (raw, rest) = contenders.split_first().expect("the signature alone comes first");
    println!("\n{:<28} {:>8} {:>14} {:>12}", algorithm.name(), "of raw", "over raw ns", "whole ns");
    println!("{:<28} {:>8} {:>14} {:>12.0} ±{:.0}", raw.name, "1", "", raw.median(), raw.spread());
    for one in rest {
        println!(
            "{:<28} {:>8.3} {:>14.0} {:>12.0} ±{:.0}",
            one.name,
            one.median() / raw.median(),
            one.median() - raw.median(),
            one.median(),
            one.spread(),
        );
    }
}

//! Which store suits a memory of verified tokens. `-- --test` runs all of it once, small, and measures nothing.

#[path = "../../../src/cache.rs"]
#[allow(dead_code, reason = "the crate's own file")]
mod cache;
mod hashers;
mod measure;
mod stores;

use std::hash::RandomState;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use foldhash::{fast, quality};
use rustix::time::{ClockId, clock_gettime};

use hashers::Tail;
use measure::{Figures, Scale, Zipf, hit_ratio, insert, look_up, resident, rounds, threads, token, tokens};
use stores::{Facts, Hash, Made, Spread};

type Make = Box<dyn Fn() -> Made>;

/// A contender: its name, and how a fresh one is made.
struct Contender(String, Make);

fn contender(name: impl Into<String>, make: impl Fn() -> Made + 'static) -> Contender {
    Contender(name.into(), Box::new(make))
}

type Plain = Arc<Facts>;
type Usual = Tail<quality::RandomState>;

fn all() -> Vec<Contender> {
    vec![
        contender("moka", || stores::moka::<Plain, _>(Usual::default())),
        contender("moka, whole, SipHash", || stores::moka::<Plain, _>(RandomState::new())),
        contender("quick_cache", || stores::quick_cache::<Plain, _>(Usual::default())),
        contender("quick_cache, copies", || stores::quick_cache::<Spread, _>(Usual::default())),
        contender("papaya + CLOCK", || stores::papaya::<Plain, _>(Usual::default())),
        contender("papaya + CLOCK, copies", || stores::papaya::<Spread, _>(Usual::default())),
        contender("scc::HashCache", || stores::scc::<Plain, _>(Usual::default())),
        contender("scc::HashCache, copies", || stores::scc::<Spread, _>(Usual::default())),
        contender("ours", || stores::ours::<Plain, _>(Usual::default())),
        contender("ours, copies", || stores::ours::<Spread, _>(Usual::default())),
    ]
}

fn row(name: &str, cells: impl IntoIterator<Item = String>) {
    println!("| {name} | {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

fn head(title: &str, columns: &[&str]) {
    println!("\n{title}\n");
    row("", columns.iter().map(|column| column.to_string()));
    row("---", columns.iter().map(|_| "---".to_owned()));
}

fn filled(make: &Make, tokens: &[Vec<u8>]) -> Made {
    let store = make();
    insert(&*store, tokens);
    store.len();
    store
}

/// Those that a store kept of what it was given: some lose a few before they are full.
fn kept(store: &Made, tokens: &[Vec<u8>]) -> Vec<Vec<u8>> {
    tokens.iter().filter(|token| store.hit(token)).cloned().collect()
}

fn times(scale: Scale, contenders: &[Contender]) {
    let (known, unknown) = (tokens(0, 10_000), tokens(1 << 20, 1_000));
    let made = |tokens: &[Vec<u8>]| -> Vec<(Made, Vec<Vec<u8>>)> {
        let stores = contenders.iter().map(|Contender(_, make)| filled(make, tokens));
        stores
            .map(|store| {
                let kept = kept(&store, tokens);
                (store, kept)
            })
            .collect()
    };
    let mut columns: Vec<(&str, Vec<Figures>)> = Vec::new();
    let few = made(&known[..1_000]);
    columns.push(("hit, 1", rounds(scale, &few, |(store, kept)| look_up(&**store, &kept[..1], scale.times, true))));
    columns.push(("hit, 1,000", rounds(scale, &few, |(store, kept)| look_up(&**store, kept, scale.times, true))));
    drop(few);
    let many = made(&known);
    columns.push(("hit, 10,000", rounds(scale, &many, |(store, kept)| look_up(&**store, kept, scale.times, true))));
    columns.push(("miss", rounds(scale, &many, |(store, _)| look_up(&**store, &unknown, scale.times, false))));
    let mut next = 1 << 30;
    columns.push((
        "insert, full",
        rounds(scale, &many, |(store, _)| {
            next += 1_000;
            insert(&**store, &tokens(next, 1_000))
        }),
    ));
    drop(many);
    columns
        .push(("insert, not full", rounds(scale, contenders, |Contender(_, make)| insert(&*make(), &known[..4_000]))));
    head("Nanoseconds an operation", &columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (number, Contender(name, _)) in contenders.iter().enumerate() {
        row(name, columns.iter().map(|(_, figures)| figures[number].cell()));
    }
}

fn two_threads(scale: Scale) {
    let (contenders, known) = (all(), tokens(0, 1_000));
    let stores: Vec<_> = contenders
        .iter()
        .map(|Contender(_, make)| filled(make, &known))
        .map(|store| {
            let kept = kept(&store, &known);
            (store, kept)
        })
        .collect();
    let alone = rounds(scale, &stores, |(store, kept)| threads(store, [&kept[0]], scale.times));
    let same = rounds(scale, &stores, |(store, kept)| threads(store, [&kept[0], &kept[0]], scale.times));
    // Another pair each round, since chance puts some of them side by side.
    let apart = rounds(scale, &stores, |(store, kept)| {
        let pair = [fastrand::usize(..400), fastrand::usize(400..800)];
        threads(store, pair.map(|at| &kept[at % kept.len()][..]), scale.times)
    });
    head(
        "Nanoseconds a hit, over and over",
        &["1 thread", "2 threads, same token", "2 threads, a token each", "same / 1", "apart / 1"],
    );
    for (number, Contender(name, _)) in contenders.iter().enumerate() {
        let [alone, same, apart] = [&alone, &same, &apart].map(|figures| &figures[number]);
        let ratios = [same, apart].map(|figures| format!("{:.2}", figures.median() / alone.median()));
        row(name, [alone, same, apart].map(Figures::cell).into_iter().chain(ratios));
    }
}

fn void<T>(value: T) {
    black_box(value);
}

/// That all of them do what they are measured at.
fn check(contenders: &[Contender]) {
    let known = tokens(0, 100);
    for Contender(name, make) in contenders {
        let store = filled(make, &known);
        let kept = kept(&store, &known);
        assert!(kept.len() > 50 && store.len() == kept.len(), "{name}");
        store.remove(&kept[0]);
        assert!(!store.hit(&kept[0]) && store.hit(&kept[1]), "{name}");
        assert!(!store.hit(&kept[1][1..]), "{name}");
        store.insert(&kept[1]);
        assert_eq!(store.len(), kept.len() - 1, "{name}");
    }
}

fn ratios(scale: Scale, contenders: &[Contender]) {
    let (wide, hot) = (Zipf::new(100_000, 0.9), Zipf::new(1_000, 0.9));
    head(
        "Hit ratio, percent",
        &["Zipf 0.9 of 100,000", "the same, moving", "1,000 hot, 1 unique each", "1,000 hot, 4 unique each", "entries"],
    );
    for Contender(name, make) in contenders {
        let few = scale.requests / 3;
        let store = make();
        let all = hit_ratio(&*store, &wide, 0, scale.requests, 0);
        let entries = store.len();
        let shares = [
            all,
            hit_ratio(&*make(), &wide, 0, scale.requests, 25_000),
            hit_ratio(&*make(), &hot, 1, few, 0),
            hit_ratio(&*make(), &hot, 4, few, 0),
        ];
        row(name, shares.map(|share| format!("{share:.1}")).into_iter().chain([entries.to_string()]));
    }
}

/// What each takes, in a process of its own.
fn memory(scale: Scale, contenders: &[Contender]) {
    head(
        "Memory",
        &["entries when full", "bytes an entry", "MiB when full", "MiB after unique inserts", "entries then"],
    );
    for Contender(name, _) in contenders {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--memory", name, &scale.unique.to_string()])
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        row(name, String::from_utf8(run.stdout).unwrap().trim().split(' ').map(str::to_owned));
    }
}

fn memory_of(name: &str, unique: u64) {
    let Contender(_, make) = all().into_iter().find(|contender| contender.0 == name).unwrap();
    let before = resident();
    let store = make();
    let grow = |from: u64, to: u64| (from..to).for_each(|number| store.insert(&token(number, 1_100)));
    grow(0, unique.min(12_000));
    let (entries, full) = (store.len(), resident() - before);
    grow(12_000, unique);
    let mib = |bytes: f64| format!("{:.1}", bytes / 1_048_576.0);
    println!("{entries} {:.0} {} {} {}", full / entries as f64, mib(full), mib(resident() - before), store.len());
}

fn hashes(scale: Scale) {
    fn of<S: Hash + Default>(name: &str) -> [(String, [Made; 5], Box<dyn Fn(&[u8]) -> u64>); 2] {
        fn one<S: Hash + Default>(name: String) -> (String, [Made; 5], Box<dyn Fn(&[u8]) -> u64>) {
            let made = [
                stores::moka::<Plain, _>(S::default()),
                stores::quick_cache::<Plain, _>(S::default()),
                stores::papaya::<Plain, _>(S::default()),
                stores::scc::<Plain, _>(S::default()),
                stores::ours::<Plain, _>(S::default()),
            ];
            let hasher = S::default();
            (name, made, Box::new(move |token| hasher.hash_one(token)))
        }
        [one::<S>(format!("{name}, whole")), one::<Tail<S>>(format!("{name}, tail"))]
    }
    let hashers: Vec<_> = [
        of::<RandomState>("SipHash-1-3"),
        of::<quality::RandomState>("foldhash quality"),
        of::<fast::RandomState>("foldhash fast"),
        of::<ahash::RandomState>("ahash"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (known, unknown) = (tokens(0, 1_000), tokens(1 << 20, 1_000));
    let flat: Vec<_> = hashers
        .iter()
        .flat_map(|(_, stores, _)| stores)
        .map(|store| {
            insert(&**store, &known);
            (store.clone(), kept(store, &known))
        })
        .collect();
    let alone = rounds(scale, &hashers, |(_, _, hash)| {
        let start = Instant::now();
        for number in 0..scale.times {
            black_box(hash(black_box(&known[number % 16])));
        }
        start.elapsed().as_nanos() as f64 / scale.times as f64
    });
    let hits = rounds(scale, &flat, |(store, kept)| look_up(&**store, kept, scale.times, true));
    let misses = rounds(scale, &flat, |(store, _)| look_up(&**store, &unknown, scale.times, false));
    head(
        "Hashers: ns for the hash alone, then hit of 1,000 / miss",
        &["alone", "moka", "quick_cache", "papaya", "scc", "ours"],
    );
    for (number, (name, ..)) in hashers.iter().enumerate() {
        let cells = (0..5)
            .map(|store| number * 5 + store)
            .map(|at| format!("{:.0} / {:.0}", hits[at].median(), misses[at].median()));
        row(name, [alone[number].cell()].into_iter().chain(cells));
    }
}

/// What else is in a hit.
fn parts(scale: Scale) {
    let (one, other) = (token(1, 1_100), token(1, 1_100));
    let (value, slot) = (<Plain as stores::Value>::new(), arc_swap::ArcSwapOption::from_pointee(1));
    let mut headers = http::HeaderMap::new();
    for name in ["host", "user-agent", "accept", "accept-encoding", "content-type", "traceparent"] {
        headers.insert(name, http::HeaderValue::from_static("x"));
    }
    headers
        .insert(http::header::AUTHORIZATION, http::HeaderValue::from_bytes(&[b"Bearer ", &one[..]].concat()).unwrap());
    let parts: [(&str, Box<dyn Fn()>); 9] = [
        ("SystemTime::now + Instant::now", Box::new(|| void((SystemTime::now(), Instant::now())))),
        ("Instant::now", Box::new(|| void(Instant::now()))),
        (
            "RealtimeCoarse + MonotonicCoarse",
            Box::new(|| void((clock_gettime(ClockId::RealtimeCoarse), clock_gettime(ClockId::MonotonicCoarse)))),
        ),
        ("MonotonicCoarse", Box::new(|| void(clock_gettime(ClockId::MonotonicCoarse)))),
        (
            "HeaderMap::get(AUTHORIZATION), 7 headers",
            Box::new(move || void(black_box(&headers).get(http::header::AUTHORIZATION))),
        ),
        ("1,100 equal bytes compared, warm", Box::new(move || void(black_box(&one) == black_box(&other)))),
        ("Arc cloned and dropped, one thread", Box::new(move || void(black_box(&value).clone()))),
        ("ArcSwapOption::load", Box::new(move || void(slot.load()))),
        ("nothing", Box::new(|| black_box(()))),
    ];
    let figures = rounds(scale, &parts, |(_, run)| {
        let start = Instant::now();
        (0..scale.times).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / scale.times as f64
    });
    head("Other parts of a check, ns", &["alone"]);
    for ((name, _), figures) in parts.iter().zip(&figures) {
        row(name, [figures.cell()]);
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, name, unique] = &arguments[..]
        && flag == "--memory"
    {
        return memory_of(name, unique.parse().unwrap());
    }
    let small = arguments.iter().any(|argument| argument == "--test");
    let wanted = |part: &str| {
        arguments.iter().all(|argument| argument.starts_with("--")) || arguments.iter().any(|argument| argument == part)
    };
    let scale = if small {
        Scale { rounds: 1, times: 32, requests: 3_000, unique: 200 }
    } else {
        Scale { rounds: 21, times: 20_000, requests: 1_200_000, unique: 2_000_000 }
    };
    check(&all());
    for (part, run) in [
        ("parts", parts as fn(Scale)),
        ("hashes", hashes),
        ("times", |scale| times(scale, &all())),
        ("threads", two_threads),
        ("ratios", |scale| ratios(scale, &all())),
        ("memory", |scale| memory(scale, &all())),
    ] {
        if wanted(part) {
            run(scale);
        }
    }
}

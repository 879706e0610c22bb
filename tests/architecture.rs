//! Holds the plan of the house: who may use whom, by which module a dependency enters, where waiting is allowed.
//!
//! It reads `src` as text, so it sees every feature at once. Tests inside `src` (`#[cfg(test)]`, `tests.rs`) are free.
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a failure here is a failed test")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Source, names};

/// The room of a file is the longest entry that its path begins with. A file uses its own floor and those below.
const ROOMS: [(u8, &[&str]); 8] = [
    (7, &["tower", "axum", "client", "testing", "tracing_observer", "metrics_observer"]),
    (6, &["validator", "builder"]),
    (5, &["wire", "keys/remote", "introspection/remote"]),
    (4, &["issuer", "decision", "key_file", "restored", "tenants"]),
    (
        3,
        &[
            "keys/store",
            "keys/proof",
            "keys/published",
            "keys/refresh",
            "keys/saved",
            "keys/unknown_key",
            "introspection/memory",
            "introspection/mercy",
            "introspection/setup",
            "published_metadata",
            "revocation",
            "token_cache",
            "binding",
        ],
    ),
    (
        2,
        &[
            "claims",
            "introspection/response",
            "introspection/signed",
            "opaque",
            "token",
            "credentials",
            "requirement",
            "resource_metadata",
            "challenge",
            "rejection",
            "metadata",
            "client_auth",
            "health",
            "observe",
        ],
    ),
    (1, &["jose"]),
    (0, &["scope", "reason", "clock", "cache", "shared", "issuer_id", "config_error", "endpoint", "manual"]),
];

/// A porch is used by nobody, with these exceptions (who, whom).
const PORCH_TO_PORCH: [(&str, &str); 2] = [("axum", "tower"), ("client", "tower")];

/// Where a dependency may be named: in these rooms, or anywhere from a floor upwards.
enum Door {
    In(&'static [&'static str]),
    From(u8),
}
use Door::{From, In};

const DOORS: [(&str, Door); 29] = [
    ("arc_swap", In(&["cache", "jose/known_headers", "keys/store", "revocation", "tenants"])),
    ("aws_lc_rs", In(&["jose/crypto"])),
    ("axum_core", In(&["axum", "client/oauth"])),
    ("base64_simd", In(&["jose/base64url", "testing"])),
    ("bytes", From(2)),
    ("foldhash", In(&["cache"])),
    ("form_urlencoded", In(&["credentials", "wire/form", "client_auth", "client", "testing"])),
    ("http", From(0)), // `endpoint` reads addresses with `http::Uri`
    ("http_body", In(&["tower"])),
    ("http_body_util", In(&["testing"])),
    ("httpdate", In(&["wire/fetch"])),
    ("hyper", In(&["testing"])),
    ("hyper_util", In(&["testing"])),
    ("jsonwebtoken", In(&["jose/crypto", "testing"])),
    ("memchr", In(&["jose", "token"])),
    ("metrics", In(&["metrics_observer"])),
    ("pin_project_lite", In(&["tower"])),
    ("reqwest", In(&["wire/reqwest", "client/api"])),
    ("rustls", In(&["wire/reqwest"])), // its errors alone, to tell them apart
    ("rustix", In(&["clock"])),
    ("serde", In(&["token", "client", "testing"])),
    ("serde_json", In(&["client_auth", "token", "rejection", "resource_metadata", "client", "testing"])),
    ("smallvec", In(&["jose"])),
    ("thiserror", From(0)),
    ("tokio", In(&["wire/driver", "wire/reqwest", "wire/worker", "client", "testing"])),
    ("tower_layer", In(&["tower", "wire/reqwest"])),
    ("tower_service", In(&["tower", "wire/reqwest"])),
    ("tracing", In(&["tracing_observer"])),
    ("zeroize", In(&["client", "client_auth", "jose/crypto", "jose/secret", "wire/form"])),
];

const MAY_WAIT: &[&str] =
    &["wire", "keys/remote", "introspection/remote", "validator", "tower", "axum", "client", "testing"];
const MAY_OPEN_SOCKETS: &[&str] = &["wire", "keys/remote", "introspection/remote", "testing"];
const CODE_LINES: usize = 400;

/// The room of a module and its floor.
fn room(module: &str) -> Option<(&'static str, u8)> {
    let rooms = ROOMS.iter().flat_map(|(floor, rooms)| rooms.iter().map(|room| (*room, *floor)));
    rooms.filter(|(room, _)| within(module, room)).max_by_key(|(room, _)| room.len())
}

fn within(module: &str, room: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All that is wrong with these files (path below `src`, text), each fault as a sentence.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let house: BTreeMap<String, Source> = files.iter().map(|(path, text)| Source::read(path, text)).collect();
    let mut faults = Vec::new();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, source) in house.iter().filter(|(_, source)| !source.tests && source.path != "lib.rs") {
        let path = &source.path;
        if source.code_lines() > CODE_LINES {
            faults.push(format!("{path} has {} code lines, more than {CODE_LINES}: split it", source.code_lines()));
        }
        if source.is_folder() {
            faults.extend(
                source.more_than_a_list().map(|word| format!("{path} holds `{word}`, not only docs, mod and use")),
            );
            let own = |used: &String| within(used, module);
            faults.extend(
                targets(&house, module)
                    .into_iter()
                    .filter(|used| !own(used))
                    .map(|used| format!("{path} may not use {}: a mod.rs names only its own children", names(&used))),
            );
            if room(module).is_none() && !ROOMS.iter().any(|(_, rooms)| rooms.iter().any(|room| within(room, module))) {
                faults.push(homeless(path));
            }
            continue;
        }
        let Some((room_of_file, floor)) = room(module) else {
            faults.push(homeless(path));
            continue;
        };
        faults.extend(wrong_doors(source, module, floor));
        for used in targets(&house, module) {
            let shown = names(&used);
            let Some((room_used, floor_used)) = room(&used) else {
                faults.push(format!("{path} may not use {shown} as a whole: name the module in it that is meant"));
                continue;
            };
            let porch =
                floor_used == 7 && room_used != room_of_file && !PORCH_TO_PORCH.contains(&(room_of_file, room_used));
            if floor_used > floor || porch {
                faults.push(format!("{path} (floor {floor}) may not use {shown} (floor {floor_used})"));
            }
            if let Some((used, _)) = house.get_key_value(&used).filter(|_| floor_used == floor) {
                uses.entry(unit(&house, module)).or_default().insert(unit(&house, used));
            }
        }
    }
    faults.extend(circles(&uses));
    faults
}

fn homeless(path: &str) -> String {
    format!("{path} is in no room: give it a floor in tests/architecture.rs")
}

/// Dependencies, waiting and sockets outside the places that are meant for them.
fn wrong_doors<'a>(source: &'a Source, module: &'a str, floor: u8) -> impl Iterator<Item = String> + 'a {
    let inside = move |rooms: &[&str]| rooms.iter().any(|room| within(module, room));
    let mut wrong = BTreeSet::new();
    for path in source.paths() {
        let first = path[0].as_str();
        let closed = DOORS.iter().find(|(name, _)| *name == first).is_some_and(|(_, door)| match door {
            In(rooms) => !inside(rooms),
            From(lowest) => floor < *lowest,
        });
        if closed {
            wrong.insert(format!("`{first}`"));
        }
        let net = path.get(1).is_some_and(|second| second == "net") && ["std", "core"].contains(&first);
        let address = path.get(2).is_some_and(|third| ["IpAddr", "Ipv4Addr", "Ipv6Addr"].contains(&third.as_str()));
        if net && !address && !inside(MAY_OPEN_SOCKETS) {
            wrong.insert("sockets".to_owned());
        }
    }
    if source.waits() && !inside(MAY_WAIT) {
        wrong.insert("async".to_owned());
    }
    wrong.into_iter().map(move |what| format!("{} may not use {what}: it has another door", source.path))
}

/// The modules that a module names, itself left out.
fn targets(house: &BTreeMap<String, Source>, module: &str) -> BTreeSet<String> {
    let Some(source) = house.get(module) else { return BTreeSet::new() };
    let paths = source.paths().filter_map(|path| source.absolute(&path));
    paths.map(|path| home(house, &path, 8)).filter(|used| used != module).collect()
}

/// The module that a path from the root of the crate leads to, through what `lib.rs` and `mod.rs` pass on.
fn home(house: &BTreeMap<String, Source>, path: &[String], patience: u8) -> String {
    let deepest = (0..=path.len()).rev().find(|length| house.contains_key(&path[..*length].join("/"))).unwrap_or(0);
    let module = path[..deepest].join("/");
    let passed_on = path.get(deepest).zip(house.get(&module)).filter(|(_, source)| source.is_folder() && patience > 0);
    let further = passed_on.and_then(|(name, source)| {
        let named = source.paths().find(|path| path.len() > 1 && path.last() == Some(name))?;
        Some([source.module.as_slice(), named.strip_prefix(&["self".to_owned()]).unwrap_or(&named)].concat())
    });
    further.map_or(module, |path| home(house, &path, patience - 1))
}

/// `foo/bar.rs` beside `foo.rs` is a part of `foo`.
fn unit<'a>(house: &'a BTreeMap<String, Source>, module: &'a str) -> &'a str {
    let parent = module.rsplit_once('/').map(|(parent, _)| parent);
    match parent.filter(|parent| house.get(*parent).is_some_and(|source| !source.is_folder())) {
        Some(parent) => unit(house, parent),
        None => module,
    }
}

/// Modules that use each other in a circle, one sentence for each circle that is found.
fn circles(uses: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    fn search<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, way: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
        let last = way[way.len() - 1];
        for next in uses.get(last).into_iter().flatten().filter(|next| **next != last) {
            if *next == way[0] {
                let circle: Vec<String> = way.iter().chain([next]).map(|module| names(module)).collect();
                found.insert(format!("{} is a circle", circle.join(" -> ")));
            } else if *next > way[0] && !way.contains(next) {
                way.push(next);
                search(uses, way, found);
                way.pop();
            }
        }
    }
    let mut found = BTreeSet::new();
    for first in uses.keys() {
        search(uses, &mut vec![*first], &mut found);
    }
    found.into_iter().collect()
}

fn files_below(folder: &Path, files: &mut Vec<(String, String)>, root: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries {
        if path.is_dir() {
            files_below(&path, files, root);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((name, std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
}

#[test]
fn the_house_keeps_its_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&root, &mut files, &root);
    let lib = files.iter().find(|(path, _)| path == "lib.rs").map_or("", |(_, text)| text);
    assert!(lib.contains("#![forbid(unsafe_code)]"), "lib.rs does not forbid unsafe code");
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(files.len() > 20, "src was not found");
    let faults = faults(&files);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_dependency_has_a_door() {
    let mut section = "";
    for line in include_str!("../Cargo.toml").lines() {
        section = if line.starts_with('[') { line.trim_matches(['[', ']']) } else { section };
        // `name = ..` as we write it, and `[dependencies.name]` as cargo does in the published manifest.
        let name = match section.strip_prefix("dependencies") {
            Some("") => line.split_once(" = ").map_or("", |(name, _)| name),
            Some(name) => name.trim_start_matches('.'),
            None => "",
        };
        let name = name.replace('-', "_");
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        assert!(DOORS.iter().any(|(door, _)| *door == name), "{name} has no door in tests/architecture.rs");
    }
}

/// A test's name, as the manual has it: it counts a row, or says a sentence. With an ellipsis it is the beginning of one.
fn cited_tests(page: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &str| word.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_' | '…'));
    let is_sentence = |word: &str| word.ends_with('…') || word.matches('_').count() >= 3;
    page.split('`').skip(1).step_by(2).filter(move |word| is_name(word) && is_sentence(word))
}

/// The names of all functions in these texts.
fn functions(files: &[(String, String)]) -> BTreeSet<&str> {
    let after_fn = files.iter().flat_map(|(_, text)| text.split("fn ").skip(1));
    after_fn
        .filter_map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next())
        .collect()
}

#[test]
fn every_test_that_the_list_of_attacks_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "examples"] {
        files_below(&root.join(folder), &mut files, root);
    }
    let functions = functions(&files);
    let is_there = |name: &str| match name.strip_suffix('…') {
        Some(begin) => functions.range(begin..).next().is_some_and(|function| function.starts_with(begin)),
        None => functions.contains(name),
    };
    let pages = [
        ("attacks.md", include_str!("../src/manual/attacks.md"), 100),
        ("login-tables.md", include_str!("../src/manual/login-tables.md"), 80),
    ];
    for (name, page, least) in pages {
        let missing: Vec<&str> = cited_tests(page).filter(|name| !is_there(name)).collect();
        assert!(missing.is_empty(), "{name} names tests that are not there: {missing:?}");
        assert!(cited_tests(page).count() > least, "{name} was not read");
    }
    assert!(!is_there("row_z99_…") && !is_there("a_test_that_nobody_has_written"), "the twin");
}

#[path = "architecture/made_up.rs"]
mod made_up;

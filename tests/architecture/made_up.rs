//! The checker is checked, on files that were never written.

use super::faults;

/// A lawful house that the tests damage in one place.
const LAWFUL: [(&str, &str); 9] = [
    (
        "lib.rs",
        "mod keys; mod scope; mod reason; pub use scope::Scope; pub use keys::KeyHandle; use wire::fetch::Fetch;",
    ),
    ("scope.rs", "use std::fmt; pub struct Scope;"),
    ("reason.rs", "pub enum Reason {}"),
    (
        "keys/mod.rs",
        "//! Docs.\n#[cfg(feature = \"driver\")]\npub(crate) mod remote;\nmod store;\npub(crate) use store::KeyHandle;",
    ),
    (
        "keys/store.rs",
        "use arc_swap::ArcSwap;\nuse crate::{reason::Reason, Scope};\n#[cfg(test)]\nmod tests { use crate::wire::fetch; }",
    ),
    ("keys/remote.rs", "use super::KeyHandle;\nasync fn ask() { crate::wire::fetch::go().await }"),
    ("wire/mod.rs", "pub(crate) mod fetch;\nmod reqwest;\npub(crate) use self::reqwest::Client;"),
    ("wire/fetch.rs", "/// [`crate::tower::Layer`]\npub(crate) fn go() { let text = \"crate::tower\"; }"),
    ("wire/reqwest.rs", "use ::reqwest::Client as Inner; use super::fetch; pub(crate) struct Client;"),
];

/// What is found when one file of the lawful house has another text, or is added.
fn found(path: &str, text: &str) -> Vec<String> {
    let mut house: Vec<(&str, &str)> = LAWFUL.into_iter().filter(|(name, _)| *name != path).collect();
    house.push((path, text));
    faults(&house)
}

#[test]
fn a_lawful_house_has_no_fault() {
    assert_eq!(faults(&LAWFUL), Vec::<String>::new());
}

#[test]
fn an_import_from_above_is_a_fault_however_it_is_written() {
    let sentence = ["keys/store.rs (floor 3) may not use wire::fetch (floor 5)"];
    for text in [
        "use crate::wire::fetch::Fetch;",
        "use crate::wire::fetch;",
        "use crate::wire::{fetch};",
        "use crate::{\n    scope::Scope,\n    wire::{\n        fetch::{self, Fetch as F},\n    },\n};",
        "use crate::Fetch;",
        "use super::super::wire::fetch::*;",
        "fn f() -> Option<crate::wire::fetch::Fetch> { None }",
        "mod inner { use super::super::super::wire::fetch::Fetch; }",
        "fn f() { let _ = '\"'; let _ = r#\" \" \"#; crate::wire::fetch::go() }",
        "#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nuse crate::wire::fetch::Fetch;",
        "#[cfg(not(test))]\nuse crate::wire::fetch::Fetch;",
    ] {
        assert_eq!(found("keys/store.rs", text), sentence, "{text}");
    }
}

#[test]
fn what_is_passed_on_by_a_folder_counts_where_it_is_written() {
    assert_eq!(
        found("scope.rs", "use crate::keys::KeyHandle;"),
        ["scope.rs (floor 0) may not use keys::store (floor 3)"]
    );
    assert_eq!(found("scope.rs", "use crate::KeyHandle;"), ["scope.rs (floor 0) may not use keys::store (floor 3)"]);
    assert_eq!(
        found("validator.rs", "use crate::keys;"),
        ["validator.rs may not use keys as a whole: name the module in it that is meant"]
    );
}

#[test]
fn comments_strings_and_tests_are_free() {
    for text in [
        "// crate::wire::fetch::go()",
        "/* a /* b */ crate::wire::fetch::go() */",
        "//! [`crate::wire::fetch`] awaits: .await",
        "const TEXT: &str = \"say \\\" crate::wire::fetch::go()\";",
        "const TEXT: &str = r#\"say \" crate::wire::fetch::go()\"#;",
        "#[cfg(all(test, feature = \"driver\"))]\nfn f(x: [u8; 2]) -> u8 { crate::wire::fetch::go() }",
        "#[cfg(test)]\nuse crate::wire::fetch::{Fetch};",
        "mod inner { use super::Handle; use self::x::Y; }\nstruct Handle<'a>(&'a str);",
    ] {
        assert_eq!(found("keys/store.rs", text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(found("keys/store/tests.rs", "use crate::wire::fetch;"), Vec::<String>::new());
}

#[test]
fn a_file_in_no_room_is_a_fault() {
    let sentence = |path| [format!("{path} is in no room: give it a floor in tests/architecture.rs")];
    assert_eq!(found("helper.rs", ""), sentence("helper.rs"));
    assert_eq!(found("keys/misplaced.rs", ""), sentence("keys/misplaced.rs"));
    assert_eq!(found("tools/mod.rs", "mod x;"), sentence("tools/mod.rs"));
}

#[test]
fn a_circle_on_one_floor_is_a_fault() {
    let circle = "use crate::reason::Reason; fn f() {}";
    let mut house = LAWFUL.to_vec();
    house[1] = ("scope.rs", circle);
    house[2] = ("reason.rs", "use crate::Scope;");
    assert_eq!(faults(&house), ["reason -> scope -> reason is a circle"]);

    let parts = [("jose/json.rs", "mod read; pub use read::X;"), ("jose/json/read.rs", "use super::Y;")];
    assert_eq!(faults(&parts), Vec::<String>::new(), "a file and its own parts are one");
}

#[test]
fn a_porch_is_used_by_nobody_but_axum_knows_tower() {
    let tower = ("tower/layer.rs", "");
    assert_eq!(faults(&[tower, ("axum.rs", "use crate::tower::layer::Mark;")]), Vec::<String>::new());
    assert_eq!(
        faults(&[tower, ("testing/x.rs", "use crate::tower::layer::Mark;")]),
        ["testing/x.rs (floor 7) may not use tower::layer (floor 7)"]
    );
}

#[test]
fn a_dependency_waiting_and_sockets_have_their_doors() {
    let sentence = |path: &str, what: &str| vec![format!("{path} may not use {what}: it has another door")];
    assert_eq!(found("wire/fetch.rs", "use reqwest::Client;"), sentence("wire/fetch.rs", "`reqwest`"));
    assert_eq!(found("wire/fetch.rs", "#[tokio::main]\nfn f() {}"), sentence("wire/fetch.rs", "`tokio`"));
    assert_eq!(found("scope.rs", "struct S { b: bytes::Bytes }"), sentence("scope.rs", "`bytes`"));
    assert_eq!(found("scope.rs", "async fn f() {}"), sentence("scope.rs", "async"));
    assert_eq!(found("scope.rs", "use std::{fmt, net::TcpStream};"), sentence("scope.rs", "sockets"));
    assert_eq!(found("scope.rs", "use std::net::Ipv4Addr;"), Vec::<String>::new());
}

#[test]
fn a_file_of_more_than_400_code_lines_is_a_fault() {
    let text = |lines: usize| {
        format!(
            "// a\n\n{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "const A: u8 = 1;\n".repeat(lines),
            "// b\nfn f() {}\n".repeat(500)
        )
    };
    assert_eq!(found("scope.rs", &text(400)), Vec::<String>::new());
    assert_eq!(found("scope.rs", &text(401)), ["scope.rs has 401 code lines, more than 400: split it"]);
}

#[test]
fn a_mod_file_only_lists() {
    assert_eq!(
        found("wire/mod.rs", "#![doc = \"x\"]\nmod fetch;\npub struct S;"),
        ["wire/mod.rs holds `struct`, not only docs, mod and use"]
    );
    assert_eq!(
        found("wire/mod.rs", "mod fetch; use crate::scope::Scope;"),
        ["wire/mod.rs may not use scope: a mod.rs names only its own children"]
    );
}

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { depth: 16, members: 512, duplicates: Duplicates::Refused };

fn read(document: &[u8]) -> Result<Vec<(String, String)>, NotStrictJson> {
    let mut seen = Vec::new();
    object(document, LIMITS, |name, value| seen.push((name.to_owned(), format!("{value:?}"))))?;
    Ok(seen)
}

#[test]
fn what_is_not_one_strict_object_is_refused() {
    let refused: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"1",
        b"\"x\"",
        b"[]",
        b"{",
        b"{}x",
        b"{}{}",
        b"{,}",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":+1}",
        b"{\"a\":1e}",
        b"{\"a\":-}",
        b"{\"a\":NaN}",
        b"{\"a\":1e400}",
        b"{\"a\":-1e400}",
        b"{\"a\":Infinity}",
        b"{\"a\":tru}",
        b"{\"a\":nul}",
        b"{\"a\":[1,]}",
        b"{\"a\":[1 2]}",
        b"{\"a\":\"\x01\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\udc00\"}",
        b"{\"a\":\"\\ud800\\u0041\"}",
        b"{\"a\":\"\\u00g0\"}",
        b"{\"a\":\"\\u+041\"}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":1,\"a\":1}",
        b"{\"a\":1,\"\\u0061\":1}",
        b"{\"o\":{\"a\":1,\"a\":1}}",
        b"{\"o\":[{\"a\":1,\"a\":1}]}",
        b"{\"a\":1}\0",
        b"{\"a\":1/**/}",
        b"{\"a\":\"x",
        b"{\"a\":\"\\",
        b"{\"a\":\"\\u00",
        b"{\x0b}",
    ];
    for document in refused {
        assert_eq!(read(document), Err(NotStrictJson), "{}", String::from_utf8_lossy(document));
    }
}

#[test]
fn every_kind_of_value_is_handed_out_as_it_is() {
    let document =
        r#" {"s":"a\u00e9\ud83d\ude00\n\"\/","n":-1.5e+3 , "b":true,"z":null,"a":[1,"\u0062",[2]],"o":{"k":{}}} "#;
    let mut seen = 0;
    object(document.as_bytes(), LIMITS, |name, value| {
        seen += 1;
        match (name, value) {
            ("s", Value::String(text)) => assert_eq!(text.decoded(), "a\u{e9}\u{1f600}\n\"/"),
            ("n", Value::Number(text)) => assert_eq!(text, "-1.5e+3"),
            ("b", Value::Bool(_)) | ("z", Value::Null) => {}
            ("a", Value::Array(array)) => {
                assert_eq!(array.values().count(), 3);
                assert!(array.strings().is_none());
            }
            ("o", Value::Object(inner)) => {
                assert_eq!(inner.as_bytes(), br#"{"k":{}}"#);
            }
            other => panic!("{other:?}"),
        }
    })
    .unwrap();
    assert_eq!(seen, 6);
}

#[test]
fn limits_hold_on_both_sides() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(read(nested(16).as_bytes()).is_ok());
    assert!(read(nested(17).as_bytes()).is_err());
    assert!(read(nested(100_000).as_bytes()).is_err());
    let wide = |members: usize| {
        let members: Vec<_> = (0..members).map(|n| format!("\"a{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(read(wide(512).as_bytes()).unwrap().len(), 512);
    assert!(read(wide(513).as_bytes()).is_err());
}

#[test]
fn a_name_that_stands_twice_among_many_is_found() {
    let members: Vec<_> = (0..40).map(|n| format!("\"a{n}\":0")).collect();
    assert!(read(format!("{{{}}}", members.join(",")).as_bytes()).is_ok());
    assert!(read(format!("{{{},\"a7\":1}}", members.join(",")).as_bytes()).is_err());
    let lenient = Limits { duplicates: Duplicates::LeftToTheReader, ..LIMITS };
    assert!(object(b"{\"a\":1,\"a\":1}", lenient, |_, _| ()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is read here, `serde_json` reads too, with the same strings.
    #[test]
    fn nothing_is_read_that_another_parser_refuses(document in r#"\{("[a-c\\u0061]{0,6}":("[ -~\\u00e9\\ud83d]{0,8}"|-?[0-9.eE]{1,4}|true|null|\[\]|\{\})[, ]?){0,4}\}"#) {
        let mut seen = Vec::new();
        let ours = object(document.as_bytes(), LIMITS, |name, value| {
            if let Value::String(text) = value {
                seen.push((name.to_owned(), text.decoded().into_owned()));
            }
        });
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&document);
        if ours.is_ok() {
            let theirs = theirs.unwrap();
            for (name, text) in seen {
                prop_assert_eq!(theirs.get(&name).and_then(|value| value.as_str()), Some(text.as_str()));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(document in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&document);
    }
}

proptest! {
    #[test]
    fn what_is_skipped_in_words_is_what_would_be_skipped_byte_by_byte(text in proptest::collection::vec(prop_oneof![any::<u8>(), 0x1e_u8..0x24, 0x5a_u8..0x5e, 0x61_u8..0x7b, 0x61_u8..0x7b], 0..40)) {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
        prop_assert_eq!(plain_length(&text), text.iter().position(special).unwrap_or(text.len()));
    }
}

use super::words::{is_plain, next_quote, next_quote_nearby};

/// The members of a document whose values are strings, or `None`.
fn strings(document: &str) -> Option<Vec<(String, String)>> {
    let mut seen = Vec::new();
    object(document.as_bytes(), LIMITS, |name, value| {
        let Value::String(text) = value else { panic!("{value:?}") };
        assert!(text.place().is_none_or(|(start, end)| document[start..end] == *text.decoded()));
        seen.push((name.to_owned(), text.decoded().into_owned()));
    })
    .ok()?;
    Some(seen)
}

/// What stands in a document that is all plain is read by other code than what has an escape somewhere.
#[test]
fn strings_of_every_length_read_the_same_in_plain_documents_and_in_others() {
    for length in 0..40 {
        for letter in ["x", "\u{e9}", "\u{1f600}"] {
            let text = letter.repeat(length);
            let member = (text.clone(), text.clone());
            let plain = format!(r#"{{"{text}":"{text}"}}"#);
            assert!(is_plain(plain.as_bytes()));
            assert_eq!(strings(&plain), Some(vec![member.clone()]));
            let more = format!(r#" {{"{text}" :	"{text}" , "\u0061-":"\n"}} "#);
            assert!(!is_plain(more.as_bytes()));
            assert_eq!(strings(&more), Some(vec![member, ("a-".to_owned(), "\n".to_owned())]));
        }
    }
}

#[test]
fn whatever_ends_or_spoils_a_string_is_seen_at_every_place() {
    for length in 1..40 {
        for place in 0..length {
            let with = |spoiler: &str| {
                let mut text = "x".repeat(length);
                text.replace_range(place..=place, spoiler);
                [format!(r#"{{"a":"{text}"}}"#), format!(r#"{{"{text}":"a"}}"#)]
            };
            for spoiler in ["\"", "\0", "\x1f", "\n", "\\", "\\x", "\\u", "\\ud800"] {
                for document in with(spoiler) {
                    assert_eq!(strings(&document), None, "{document:?}");
                }
            }
            for (escape, letter) in [("\\\"", '"'), ("\\\\", '\\'), ("\\u001f", '\x1f'), ("\x7f", '\x7f')] {
                let [value, name] = with(escape).map(|document| strings(&document).unwrap().remove(0));
                assert_eq!((&value.1, &value.0), (&name.0, &name.1));
                assert_eq!(value.1.chars().nth(place), Some(letter));
            }
        }
    }
}

#[test]
fn what_is_looked_at_in_words_is_found_wherever_it_stands() {
    for length in 0..64 {
        let none = "x1".repeat(length);
        let none = none.as_bytes().get(..length).unwrap();
        assert_eq!((next_quote(none, 0), next_quote_nearby(none, 0)), (None, None));
        for place in 0..length {
            for others in [&b""[..], b"\"", b"\x23\x21", b"\xa2\xff"] {
                let mut text = none.to_vec();
                text[place] = b'"';
                text[place + 1..].iter_mut().zip(others.iter().cycle()).for_each(|(byte, other)| *byte = *other);
                for start in 0..=place {
                    assert_eq!(next_quote(&text, start), Some(place));
                    assert_eq!(next_quote_nearby(&text, start), Some(place));
                }
                assert!(others == b"\"" || next_quote(&text, place + 1).is_none());
            }
        }
        assert_eq!((next_quote(none, length + 1), next_quote_nearby(none, length + 1)), (None, None));
    }
}

/// A name is met again whether it is written with escapes or not, among few names and among many.
#[test]
fn a_name_that_stands_twice_is_found_in_whatever_form() {
    for others in [0, 1, 22, 23, 24, 30, 31, 32, 33, 60] {
        let others: Vec<_> = (0..others).map(|n| format!(r#""a{n}":0"#)).collect();
        let forms = [r#""key":1"#, r#""\u006bey":2"#, r#""k\u0065y":3"#];
        for (at, first) in forms.iter().enumerate() {
            let once = [&others[..], &[(*first).to_owned()]].concat().join(",");
            assert!(read(format!("{{{once}}}").as_bytes()).is_ok());
            assert!(read(format!(r#"{{"b":{{{once}}},{once}}}"#).as_bytes()).is_ok(), "each object for itself");
            assert!(read(format!(r#"{{{once},"b":[{{{once}}},{{{once}}}]}}"#).as_bytes()).is_ok());
            for second in forms {
                assert!(read(format!("{{{second},{once}}}").as_bytes()).is_err(), "{at}");
                assert!(read(format!("{{{once},{second}}}").as_bytes()).is_err(), "{at}");
                assert!(read(format!(r#"{{"b":{{"c":0}},{once},"d":[{{{once},{second}}}]}}"#).as_bytes()).is_err());
            }
        }
    }
}

#[test]
fn elements_are_where_the_document_has_them() {
    for escape in ["", r#""\n","#] {
        let document = format!(r#"{{"a" : [{escape} "one" ,"two",[ "three"]]}}"#);
        object(document.as_bytes(), LIMITS, |_, value| {
            let Value::Array(list) = value else { panic!("{value:?}") };
            let places = list.values().filter_map(|value| match value {
                Value::String(text) => text.place(),
                Value::Array(inner) => inner.strings().map(|inner| (0, inner.len())),
                _ => None,
            });
            let texts: Vec<_> =
                places.filter(|(start, _)| *start > 0).map(|(start, end)| &document[start..end]).collect();
            assert_eq!(texts, ["one", "two"]);
        })
        .unwrap();
    }
}

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

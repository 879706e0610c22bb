//! Rows T and D: what is not a compact JWS over strict JSON.

use scopegate::Reason::{Encrypted, InsufficientScope, Malformed, MissingClaim, TooLong};

use super::rows::{Row, accepted, refused, run, scope};
use super::world::{A, API, B, HEADER, NOW, base, base_claims, decode, encode, parts, resealed, sealed, with_first};

#[test]
fn a_token_has_exactly_three_segments() {
    let base = base().mint();
    let [header, payload, signature] = parts(&base);
    run([
        refused("T01 nothing at all", "", Malformed).not_b64token(),
        refused("T02 one dot", ".", Malformed),
        refused("T02 two dots", "..", Malformed),
        refused("T02 three dots", "...", Malformed),
        refused("T03 no signature and no dot for it", format!("{header}.{payload}"), Malformed),
        refused("T04 a fourth segment", format!("{base}.x"), Malformed),
        refused("T07 the first dot twice", format!("{header}..{payload}.{signature}"), Malformed),
        refused("T07 the second dot twice", format!("{header}.{payload}..{signature}"), Malformed),
        refused("T07 a dot before", format!(".{base}"), Malformed),
        refused("T07 a dot after", format!("{base}."), Malformed),
    ]);
}

#[test]
fn an_encrypted_token_is_told_by_its_five_segments() {
    let header = encode(r#"{"alg":"dir","enc":"A128GCM"}"#);
    let token = format!("{header}..{}.{}.{}", encode([7; 12]), encode([9; 200]), encode([5; 16]));
    run([refused("T08 a JWE", token, Encrypted)]);
}

#[test]
fn other_serializations_are_no_tokens() {
    let base = base().mint();
    let [header, payload, signature] = parts(&base);
    let members = format!(r#""protected":"{header}","signature":"{signature}""#);
    let flattened = format!(r#"{{"payload":"{payload}",{members}}}"#);
    let general = format!(r#"{{"payload":"{payload}","signatures":[{{{members}}}]}}"#);
    run([
        refused("T18 dots in percent encoding", base.replace('.', "%2E"), Malformed).not_b64token(),
        refused("T18 the same in lower case", base.replace('.', "%2e"), Malformed).not_b64token(),
        refused("T19 flattened JSON", flattened, Malformed).not_b64token(),
        refused("T19 general JSON", general, Malformed).not_b64token(),
    ]);
}

#[test]
fn base64url_has_one_text_for_one_value() {
    let base = base().mint();
    let [header, payload, signature] = parts(&base);
    run([
        refused("T09 one = after the signature", format!("{base}="), Malformed),
        refused("T09 two = after the signature", format!("{base}=="), Malformed),
        refused("T09 = after the payload, signed with it", sealed(header, &format!("{payload}=")), Malformed)
            .not_b64token(),
        refused("T09 = after the header, signed with it", sealed(&format!("{header}="), payload), Malformed)
            .not_b64token(),
        refused("T14 a line feed after it", format!("{base}\n"), Malformed).not_a_field(),
        refused("T14 a carriage return and a line feed", format!("{base}\r\n"), Malformed).not_a_field(),
        refused("T14 a blank after it", format!("{base} "), Malformed).not_b64token(),
        refused("T14 a line feed in the payload", sealed(header, &format!("{payload}\n")), Malformed).not_a_field(),
        refused("T25 a header of one character", format!("A.{payload}.{signature}"), Malformed),
        refused("T25 a header of 4n+1 characters", sealed(&format!("{header}AA"), payload), Malformed),
        refused("T25 a signature of 4n+1 characters", format!("{base}AAA"), Malformed),
    ]);
}

#[test]
fn the_standard_alphabet_is_not_that_of_tokens() {
    let mut tokens = (0..).map(|count| base().claim("jti", format!("{count}????>>>>\u{ff}\u{ff}")).mint());
    let other = |segment: &str| segment.replace('-', "+").replace('_', "/");
    let token = tokens.find(|token| parts(token).iter().skip(1).all(|part| part.contains(['-', '_']))).unwrap();
    let [header, payload, signature] = parts(&token);
    run([
        accepted("T11 the twin in the right alphabet", token.clone()),
        refused("T11 the signature", format!("{header}.{payload}.{}", other(signature)), Malformed),
        refused("T11 the payload, signed so", sealed(header, &other(payload)), Malformed),
    ]);
}

#[test]
fn spare_bits_of_the_last_character_are_zero() {
    let base = base().mint();
    let [header, payload, signature] = parts(&base);
    let signatures = twins(signature).into_iter().map(|twin| format!("{header}.{payload}.{twin}"));
    let headers = twins(header).into_iter().map(|twin| sealed(&twin, payload));
    let tokens: Vec<String> = signatures.chain(headers).collect();
    assert_eq!(tokens.len(), 15 + 15, "T12: the spare bits of 256 octets and of 46");
    run(tokens.into_iter().map(|token| refused(&format!("T12 spare bits, {token}"), token, Malformed)));
}

/// Every text that a careless reader decodes to the same octets.
fn twins(segment: &str) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = match segment.len() % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    let (body, last) = segment.split_at(segment.len() - 1);
    let place = ALPHABET.iter().position(|letter| [*letter] == last.as_bytes()).unwrap();
    assert_eq!(place % spare, 0, "the text is canonical");
    ALPHABET[place + 1..place + spare].iter().map(|letter| format!("{body}{}", char::from(*letter))).collect()
}

#[test]
fn a_byte_that_is_no_character_spoils_the_token() {
    let base = base().mint().into_bytes();
    let place = base.len() - 9;
    let with = |octets: &[u8]| [&base[..place], octets, &base[place..]].concat();
    run([
        refused("T17 0xFF in the signature", with(b"\xff"), Malformed).not_b64token(),
        refused("T17 0x80 in the signature", with(b"\x80"), Malformed).not_b64token(),
        refused("T17 a character of three octets", with("\u{200b}".as_bytes()), Malformed).not_b64token(),
        refused("T17 a zero octet", with(b"\0"), Malformed).not_a_field(),
    ]);
}

#[test]
fn a_token_over_the_limit_is_not_read() {
    let limit = 16_384;
    run([
        accepted("T22 a good token at the limit", of_length(limit)),
        refused("T22 a good token of one byte more", of_length(limit + 1), TooLong),
        // That the length counts first shows where everything else is wrong too.
        refused("T22 one byte more of what is no base64url", "?".repeat(limit + 1), TooLong),
        refused("T22 the limit of what is no base64url", "?".repeat(limit), Malformed).not_b64token(),
        accepted("T22 a limit of ours", of_length(limit + 1)).with(|settings| settings.max_token = limit + 1),
        refused("T22 a limit of ours and one", of_length(limit + 2), TooLong).with(|it| it.max_token = limit + 1),
        refused("T23 a MiB of dots", ".".repeat(1 << 20), TooLong),
        refused("T23 the longest token of dots", ".".repeat(limit), Malformed),
        refused("T23 a MiB of dots where it may be as long", ".".repeat(1 << 20), Malformed)
            .with(|settings| settings.max_token = 1 << 20),
    ]);
}

/// BASE with so much padding in a claim that it has this length.
fn of_length(length: usize) -> String {
    let encoded = |octets: usize| (octets * 4).div_ceil(3);
    let of_pad = |pad: usize| {
        // Not every length is one of base64url: the header makes up for that.
        let header = with_first(&format!(r#""x-pad":"{}""#, "x".repeat(pad)), HEADER);
        let payload = length - encoded(header.len()) - encoded(256) - 2;
        let octets = payload * 3 / 4;
        (encoded(octets) == payload).then_some((header, octets))
    };
    let (header, octets) = (0..4).find_map(of_pad).unwrap();
    let pad = octets - with_first(r#""pad":"""#, &base_claims()).len();
    let payload = with_first(&format!(r#""pad":"{}""#, "x".repeat(pad)), &base_claims());
    let token = base().header_json(header).payload_json(payload).mint();
    assert_eq!(token.len(), length);
    token
}

fn with_header(id: &str, header: impl Into<String>) -> Row {
    refused(id, base().header_json(header).mint(), Malformed)
}

fn with_payload(id: &str, payload: impl Into<String>) -> Row {
    refused(id, base().payload_json(payload).mint(), Malformed)
}

#[test]
fn header_and_payload_are_one_json_object_each() {
    let claims = base_claims();
    let positional = format!(r#"[{},0,"user-1","{A}","{API}"]"#, NOW + 300);
    run([
        with_payload("T27 a byte order mark before the payload", format!("\u{feff}{claims}")),
        with_header("T28 a byte order mark before the header", format!("\u{feff}{HEADER}")),
        with_header("T29 a letter after the header", format!("{HEADER}x")),
        with_header("T29 a second object after the header", format!("{HEADER}{{}}")),
        with_payload("T29 a letter after the payload", format!("{claims}x")),
        with_payload("T29 a second object after the payload", format!("{claims}{{}}")),
        with_header("T30 the header is a list", r#"["RS256"]"#),
        with_header("T30 the header is a text", r#""RS256""#),
        with_payload("T32 the payload is a list of values by place", positional),
        with_payload("T32 the payload is null", "null"),
        with_payload("T33 the payload is empty", ""),
        with_header("T33 the header is empty", ""),
        with_payload("T39 a comma after the last claim", claims.replace('}', ",}")),
        with_header("T39 a comma after the last header parameter", HEADER.replace('}', ",}")),
        with_payload("T39 a comment", format!("{claims}/**/")),
    ]);
}

#[test]
fn text_in_json_is_unicode() {
    let subject = |text: &str| base_claims().replace("user-1", text);
    let octets = base_claims().into_bytes();
    let broken: Vec<u8> = octets.iter().map(|octet| if *octet == b'-' { 0xFF } else { *octet }).collect();
    run([
        with_payload("T41 half of a surrogate pair", subject("\\ud800")),
        with_payload("T41 the other half", subject("\\udc00")),
        with_payload("T41 the halves in the wrong order", subject("\\udc00\\ud800")),
        with_header("T41 half of a pair in the header", with_first(r#""x":"\ud800""#, HEADER)),
        with_payload("T41 half of a pair in a claim that nobody knows", with_first(r#""x":"\ud800""#, &base_claims())),
        refused("T41 octets that are not UTF-8", base().payload_bytes(broken).mint(), Malformed),
        accepted("T41 the twin: a whole pair", base().payload_json(subject("\\ud83d\\ude00")).mint())
            .holds(|token| token.subject() == Some("\u{1f600}")),
    ]);
}

/// A recursion as deep as the input would overflow the stack of a test's thread. That it takes under 5 ms is for a benchmark.
#[test]
fn nesting_and_members_are_bounded() {
    let large = |row: Row| row.with(|settings| settings.max_token = 1 << 20);
    let nested = |depth: usize| format!(r#""d":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", r#""d":{"d":"#.repeat(50_000), "}".repeat(50_000));
    let members = |count: usize| (0..count).map(|at| format!(r#""a{at}":0"#)).collect::<Vec<_>>().join(",");
    let claims = base_claims();
    let of_claims = |more: String| base().payload_json(with_first(&more, &claims)).mint();
    let of_parameters = |more: String| base().header_json(with_first(&more, HEADER)).mint();
    run([
        large(with_payload("T35 100,000 lists in each other", with_first(&nested(100_000), &claims))),
        large(with_payload("T35 lists that never end", with_first(&"[".repeat(100_000), &claims))),
        large(with_payload("T35 50,000 objects in each other", with_first(&objects, &claims))),
        large(with_header("T35 100,000 lists in the header", with_first(&nested(100_000), HEADER))),
        accepted("T35 the twin: 15 lists in the payload", of_claims(nested(15))),
        refused("T35 16 lists in the payload", of_claims(nested(16)), Malformed),
        accepted("T35 the twin: 15 lists in the header", of_parameters(nested(15))),
        refused("T35 16 lists in the header", of_parameters(nested(16)), Malformed),
        large(with_payload("T38 50,000 claims", with_first(&members(50_000), &claims))),
        accepted("T38 the twin: 512 claims", of_claims(members(512 - 8))),
        refused("T38 513 claims", of_claims(members(513 - 8)), Malformed),
        accepted("T38 the twin: 64 header parameters", of_parameters(members(64 - 3))),
        refused("T38 65 header parameters", of_parameters(members(65 - 3)), Malformed),
    ]);
}

#[test]
fn any_way_to_write_the_same_json_will_do() {
    let spaced = |text: &str| {
        let spaced = text.replace('{', " \t{\r\n").replace('}', "\n }\n").replace(',', " ,\t").replace("\":", "\" : ");
        assert_ne!(spaced, text);
        spaced
    };
    let spaces = base().header_json(spaced(HEADER)).payload_json(spaced(&base_claims())).mint();
    let escaped =
        [A, API, "user-1", "client-1", "read write", "j-1"].into_iter().fold(base_claims(), |claims, value| {
            let escape = |letter: char| match letter {
                'a'..='z' => format!("\\u00{:02x}", u32::from(letter)),
                _ => letter.to_string(),
            };
            claims.replace(&format!("\"{value}\""), &format!("\"{}\"", value.chars().map(escape).collect::<String>()))
        });
    assert!(!escaped.contains("user-1") && escaped.contains(r"\u0075\u0073\u0065\u0072-1"), "{escaped}");
    let unknown = r#""a":null,"b":true,"c":-1.5e3,"d":"x","e":[1,[2]],"f":{"g":{}},"name":"Zoë \ud83d\ude00 😀""#;
    let is_user_1 = |token: &scopegate::AccessToken| token.subject() == Some("user-1");
    run([
        accepted("T43 white space between the parts of JSON", spaces).holds(is_user_1),
        accepted("T44 letters as escapes", base().payload_json(escaped).mint()).holds(is_user_1),
        accepted("T45 claims that nobody knows", base().payload_json(with_first(unknown, &base_claims())).mint())
            .holds(is_user_1),
    ]);
}

#[test]
fn no_member_stands_twice() {
    let twice_in_header = |members: &str| with_first(members, HEADER);
    let claims = base_claims();
    let twice = |members: &str| with_first(members, &claims);
    let admin = claims.replace("read write", "admin");
    run([
        with_header("D01 alg, first none", twice_in_header(r#""alg":"none""#)),
        with_header("D01 alg, first the same", twice_in_header(r#""alg":"RS256""#)),
        with_header("D01 alg, first in escapes", twice_in_header(r#""\u0061lg":"none""#)),
        with_header("D03 kid", HEADER.replace('}', r#","kid":"a-ec-1"}"#)),
        with_header("D03 a parameter that nobody knows", twice_in_header(r#""x":1,"x":1"#)),
        with_payload("D04 exp, first past", twice(&format!(r#""exp":{}"#, NOW - 300))),
        with_payload("D04 exp, first to come", twice(&format!(r#""exp":{}"#, NOW + 100))),
        with_payload("D06 iss, first B", twice(&format!(r#""iss":"{B}""#))),
        with_payload("D06 iss, first in escapes", twice(&format!(r#""is\u0073":"{B}""#))),
        with_payload("D08 scope, then admin", with_first(r#""scope":"read""#, &admin)).demanding(scope("admin")),
        with_payload("D08 scope, first admin", twice(r#""scope":"admin""#)).demanding(scope("admin")),
        with_payload("D08 a claim that nobody knows", twice(r#""x":1,"x":1"#)),
        with_payload("D08 inside a claim that nobody knows", twice(r#""x":{"y":1,"y":1}"#)),
        accepted("D08 the twin: admin once", base().payload_json(admin).mint()).demanding(scope("admin")),
        refused("D08 the twin: no admin", base().mint(), InsufficientScope).demanding(scope("admin")),
    ]);
}

#[test]
fn a_claim_is_known_by_its_exact_name() {
    let claims = base_claims();
    let renamed = |from: &str, to: &str| {
        let payload = claims.replace(&format!("\"{from}\":"), &format!("\"{to}\":"));
        assert_ne!(payload, claims);
        base().payload_json(payload).mint()
    };
    let all = ["iss", "aud", "exp"].into_iter().fold(claims.clone(), |claims, name| {
        let other = if name == "aud" { "Aud".to_owned() } else { name.to_uppercase() };
        claims.replace(&format!("\"{name}\":"), &format!("\"{other}\":"))
    });
    run([
        refused("D12 ISS, Aud and EXP", base().payload_json(all).mint(), MissingClaim),
        refused("D12 ISS", renamed("iss", "ISS"), MissingClaim),
        refused("D12 Aud", renamed("aud", "Aud"), MissingClaim),
        refused("D12 EXP", renamed("exp", "EXP"), MissingClaim),
        refused("D12 exp and a blank", renamed("exp", "exp "), MissingClaim),
    ]);
}

/// What the rows change is the only difference: the texts here are BASE's own.
#[test]
fn the_good_token_is_accepted_everywhere() {
    let base = base().mint();
    let [header, payload, signature] = parts(&base);
    let claims: serde_json::Value = serde_json::from_slice(&decode(payload)).unwrap();
    assert_eq!(claims, serde_json::from_str::<serde_json::Value>(&base_claims()).unwrap());
    run([
        accepted("BASE", base.clone()),
        accepted("BASE of its own text", sealed(header, payload)),
        accepted("BASE sealed again", resealed(&base, &decode(signature))),
    ]);
}

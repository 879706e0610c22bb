//! S01 and S02 on every site, each token for itself. What a remembered one changes in it is in `remembered/alike`.

use scopegate::Reason::BadSignature;

use super::rows::{accepted, refused, run};
use super::world::{base, base_claims, parts, resealed, signature};

#[test]
fn row_s01_a_token_that_is_an_accepted_one_but_for_an_octet_of_its_signature_is_refused() {
    let good = base().mint();
    let mut flipped = signature(&good);
    *flipped.last_mut().unwrap() ^= 1;
    run([
        accepted("S01 the twin", good.clone()),
        refused("S01 the last octet", resealed(&good, &flipped), BadSignature),
    ]);
}

/// How many characters two tokens have in common from this side.
fn shared(one: impl Iterator<Item = char>, other: impl Iterator<Item = char>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// Two headers and payloads whose tokens have so many characters in common, and then others. A line feed may stand before any
/// member, and differs from a quotation mark in its upper bits, so that the very character changes in which it begins.
fn beginning_alike(length: usize) -> [(String, String); 2] {
    let header = |blank: &str| format!(r#"{{"alg":"RS256",{blank}"typ":"at+jwt","kid":"a-rsa-1"}}"#);
    let payload = |first: &str| format!("{{{first}{}", base_claims().strip_prefix('{').unwrap());
    let admin = |payload: String| payload.replace("user-1", "admin!");
    match length {
        20 => [(header(""), payload("")), (header("\n"), admin(payload("")))],
        64 => [(header(""), payload("")), (header(""), admin(payload("\n")))],
        _ => {
            let noted = |end: char| payload(&format!(r#""note":"{}{end}","#, "x".repeat(135)));
            [(header(""), noted('x')), (header(""), admin(noted('D')))]
        }
    }
}

#[test]
fn row_s02_a_token_that_begins_as_an_accepted_one_is_judged_for_itself() {
    for length in [20, 64, 255] {
        let [one, other] = beginning_alike(length).map(|(header, payload)| {
            let token = base().header_json(header).payload_json(payload);
            token.mint()
        });
        assert_eq!(shared(one.chars(), other.chars()), length, "S02 the beginning");
        run([
            accepted("S02 the one", one.clone()),
            refused("S02 the same beginning", resealed(&other, &signature(&one)), BadSignature),
            accepted("S02 the twin", other),
        ]);
    }
}

#[test]
fn row_s02_a_token_that_ends_as_an_accepted_one_is_judged_for_itself() {
    let (one, other) = (base().mint(), base().subject("admin").mint());
    for length in [16, 64] {
        let (begin, end) = (other.split_at(other.len() - length - 1).0, one.split_at(one.len() - length).1);
        let before = one.chars().rev().nth(length).unwrap();
        let another = if before == 'A' { 'B' } else { 'A' };
        let spliced = format!("{begin}{another}{end}");
        assert_eq!(shared(one.chars().rev(), spliced.chars().rev()), length, "S02 the end");
        run([refused("S02 the same end", spliced, BadSignature)]);
    }
    let [header, payload, seal] = [parts(&other)[0], parts(&other)[1], parts(&one)[2]];
    run([
        accepted("S02 the one", one.clone()),
        refused("S02 the whole signature", format!("{header}.{payload}.{seal}"), BadSignature),
        accepted("S02 the twin", other.clone()),
    ]);
}

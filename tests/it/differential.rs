//! The judge against two others: a naive second validator, which must agree with it on everything, and `jsonwebtoken`, which
//! must accept whatever it accepts.
//!
//! | where the other differs | and why that is right |
//! | --- | --- |
//! | `jsonwebtoken` accepts much that we refuse | one direction is asserted: nothing that we accept is refused there |
//! | it reads `jwk` of a header, and refuses one of the wrong type | a token never brings its own key, so that we do not look |
//! | it refuses dates with a fraction where `serde_json` keeps numbers as text (its feature `arbitrary_precision`) | RFC 7519 s2 allows them, and what we accept does not hang on a feature of another crate |
//! | it takes its time from the system | the tokens' times are minutes away from every limit |

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{
    Algorithm, Clock, Credentials, Family, Issuer, KeySet, Rejection, Requirement, ScopePolicy, SystemClock, Validator,
};
use serde_json::Value;

use crate::naive::{Key, Naive};

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "https://api.test";
/// Every mutant is judged three times, and at least 20,000 are made in a run.
const CASES: u32 = 21_000;

struct World {
    issuer: TestIssuer,
    validator: Validator,
    demand: Requirement,
    naive: Naive,
    oracle_keys: HashMap<String, jsonwebtoken::DecodingKey>,
    now: i64,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let now = SystemClock::new().now().unix_seconds();
        let clock = TestClock::at(now);
        let issuer = TestIssuer::with_algorithms(ISSUER, [Algorithm::Es256, Algorithm::EdDsa]).clock(&clock);
        let document = issuer.jwks();
        let keys = KeySet::from_json(document.as_bytes()).unwrap();
        let validator = Validator::builder(AUDIENCE).trust(Issuer::keys(ISSUER, keys)).clock(clock).build().unwrap();
        let published: Value = serde_json::from_str(&document).unwrap();
        let published = published["keys"].as_array().unwrap();
        let naive = Naive {
            keys: published.iter().map(naive_key).collect(),
            issuer: ISSUER,
            audience: AUDIENCE,
            scope: "read",
            now: now as f64,
            leeway: 30.0,
        };
        let oracle_key = |jwk: &Value| {
            let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk.clone()).unwrap();
            (jwk["kid"].as_str().unwrap().to_owned(), jsonwebtoken::DecodingKey::from_jwk(&key).unwrap())
        };
        let oracle_keys = published.iter().map(oracle_key).collect();
        let demand = Requirement::from(ScopePolicy::all(["read"]).unwrap());
        World { issuer, validator, demand, naive, oracle_keys, now }
    })
}

fn naive_key(jwk: &Value) -> Key {
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let kid = jwk["kid"].as_str().unwrap().to_owned();
    match jwk["kty"].as_str() {
        Some("EC") => Key { kid, alg: "ES256", octets: [vec![4], octets("x"), octets("y")].concat() },
        _ => Key { kid, alg: "EdDSA", octets: octets("x") },
    }
}

/// What is done to a good token.
#[derive(Clone, Debug)]
enum Mutation {
    /// A member of the header or the payload gets another value, or is taken out; signed again.
    Member { of_header: bool, name: &'static str, value: Option<String> },
    /// A member is added although it may be there; signed again.
    Twice { of_header: bool, name: &'static str, value: String },
    /// The JSON text is cut, doubled or changed somewhere; signed again.
    Text { of_header: bool, at: prop::sample::Index, with: Option<char> },
    /// The finished token is changed somewhere.
    Octet { at: prop::sample::Index, with: char },
    /// A character of the finished token is taken out.
    Shorter { at: prop::sample::Index },
}

const HEADER: [&str; 10] = ["alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jwk", "foo"];
const CLAIMS: [&str; 16] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "client_id",
    "jti",
    "scope",
    "scp",
    "cnf",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "foo",
];

fn value() -> impl Strategy<Value = String> {
    let now = || world().now;
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("\"\"".to_owned()),
        Just(format!("\"{ISSUER}\"")),
        Just(format!("\"{AUDIENCE}\"")),
        Just(format!("[\"x\",\"{AUDIENCE}\"]")),
        Just(format!("[1,\"{AUDIENCE}\"]")),
        Just(format!("\"{ISSUER}/\"")),
        Just("\"read\"".to_owned()),
        Just("\"write read\"".to_owned()),
        Just("\"readonly\"".to_owned()),
        Just("[\"read\"]".to_owned()),
        Just("\"\\u0072ead\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"at+jwt\"".to_owned()),
        Just("\"application/AT+JWT\"".to_owned()),
        Just("\"JWT\"".to_owned()),
        Just("\"none\"".to_owned()),
        Just("\"ES256\"".to_owned()),
        Just("\"EdDSA\"".to_owned()),
        Just("\"es256-1\"".to_owned()),
        Just("\"eddsa-1\"".to_owned()),
        Just("[[[[[[[[[[[[[[1]]]]]]]]]]]]]]".to_owned()),
        Just("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]".to_owned()),
        Just("1e400".to_owned()),
        Just("-1".to_owned()),
        Just("0".to_owned()),
        Just("18446744073709551616".to_owned()),
        (-3_i64..4).prop_map(move |step| (now() + step * 1200 + 600).to_string()),
        (-3_i64..4).prop_map(move |step| format!("{}.5", now() + step * 1200 + 600)),
        (-3_i64..4).prop_map(move |step| format!("{}e-3", (now() + step * 1200 + 600) * 1000)),
        any::<i64>().prop_map(|number| number.to_string()),
        "[ -~]{0,6}".prop_map(|text| Value::from(text).to_string()),
    ]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let character = || {
        prop_oneof![
            Just('.'),
            Just('='),
            Just('"'),
            Just(','),
            Just('{'),
            Just('\\'),
            any::<char>(),
            "[A-Za-z0-9_-]".prop_map(|text| text.chars().next().unwrap_or('A'))
        ]
    };
    let name =
        |of_header: bool| if of_header { prop::sample::select(&HEADER[..]) } else { prop::sample::select(&CLAIMS[..]) };
    let member = any::<bool>().prop_flat_map(move |of_header| {
        (name(of_header), prop::option::weighted(0.85, value())).prop_map(move |(name, value)| Mutation::Member {
            of_header,
            name,
            value,
        })
    });
    let twice = any::<bool>().prop_flat_map(move |of_header| {
        (name(of_header), value()).prop_map(move |(name, value)| Mutation::Twice { of_header, name, value })
    });
    prop_oneof![
        6 => member,
        1 => twice,
        2 => (any::<bool>(), any::<prop::sample::Index>(), prop::option::of(character()))
            .prop_map(|(of_header, at, with)| Mutation::Text { of_header, at, with }),
        2 => (any::<prop::sample::Index>(), character()).prop_map(|(at, with)| Mutation::Octet { at, with }),
        1 => any::<prop::sample::Index>().prop_map(|at| Mutation::Shorter { at }),
    ]
}

/// A good token, mutated.
fn mutant(algorithm: Algorithm, mutations: &[Mutation]) -> String {
    let world = world();
    let hour = std::time::Duration::from_secs(3600);
    let good = world.issuer.token().lifetime(hour).algorithm(algorithm).audience(AUDIENCE).scope("read write").mint();
    let mut parts = good.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut texts = [(); 2].map(|()| String::from_utf8(parts.next().unwrap()).unwrap());
    for mutation in mutations {
        match mutation {
            Mutation::Member { of_header, name, value } => {
                let text = &mut texts[usize::from(!of_header)];
                let Ok(mut members) = serde_json::from_str::<HashMap<String, Box<serde_json::value::RawValue>>>(text)
                else {
                    continue;
                };
                match value {
                    Some(value) => members.insert((*name).to_owned(), raw(value)),
                    None => members.remove(*name),
                };
                *text = serde_json::to_string(&members).unwrap();
            }
            Mutation::Twice { of_header, name, value } => {
                let text = &mut texts[usize::from(!of_header)];
                if text.ends_with('}') {
                    text.insert_str(text.len() - 1, &format!(",\"{name}\":{value}"));
                }
            }
            Mutation::Text { of_header, at, with } => {
                let text = &mut texts[usize::from(!of_header)];
                *text = changed(text, *at, *with);
            }
            Mutation::Octet { .. } | Mutation::Shorter { .. } => {}
        }
    }
    let [header, payload] = texts;
    let mut token =
        world.issuer.token().algorithm(algorithm).header_json(header).payload_bytes(payload.into_bytes()).mint();
    for mutation in mutations {
        token = match mutation {
            Mutation::Octet { at, with } => changed(&token, *at, Some(*with)),
            Mutation::Shorter { at } => changed(&token, *at, None),
            _ => token,
        };
    }
    token
}

fn raw(value: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(value.to_owned()).unwrap()
}

fn changed(text: &str, at: prop::sample::Index, with: Option<char>) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return String::new();
    }
    let at = at.index(characters.len());
    match with {
        Some(with) => characters[at] = with,
        None => drop(characters.remove(at)),
    }
    characters.into_iter().collect()
}

/// Whether `serde_json` keeps numbers as text in this build, and a date of this token has a fraction.
fn has_a_date_that_it_cannot_read(token: &str) -> bool {
    let keeps_text = serde_json::to_string(&serde_json::from_str::<Value>("1.10").unwrap()).unwrap().len() == 4;
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims = serde_json::from_slice::<HashMap<String, Value>>(&payload).unwrap();
    let whole = |name: &str| claims.get(name).is_none_or(|date| date.as_u64().is_some());
    keeps_text && !["exp", "nbf", "iat"].into_iter().all(whole)
}

/// Whether the header has a member that `jsonwebtoken` reads and we pass over.
fn has_what_we_pass_over(token: &str) -> bool {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<HashMap<String, Value>>(&header).unwrap().contains_key("jwk")
}

fn oracle_accepts(token: &str) -> bool {
    let world = world();
    let Ok(header) = jsonwebtoken::decode_header(token) else { return false };
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.leeway = 30;
    validation.validate_nbf = true;
    let fits = |kid: &str| header.kid.as_deref().is_none_or(|named| named == kid);
    let mut keys = world.oracle_keys.iter().filter(|(kid, _)| fits(kid));
    keys.any(|(_, key)| jsonwebtoken::decode::<HashMap<String, Value>>(token, key, &validation).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_judge_agrees_with_the_naive_validator_and_accepts_nothing_that_jsonwebtoken_refuses(
        eddsa in any::<bool>(),
        mutations in proptest::collection::vec(mutation(), 0..3),
    ) {
        let world = world();
        let token = mutant(if eddsa { Algorithm::EdDsa } else { Algorithm::Es256 }, &mutations);
        let judged = world.validator.check(&Credentials::bearer(&token), &world.demand);
        let judged = judged.map(drop).map_err(|rejection| Rejection::reason(&rejection));
        let family = judged.map_err(|reason| reason.family());
        prop_assert_eq!(family, world.naive.judge(&token), "{:?} {}", judged, token);
        if family.is_ok() {
            let explained = has_what_we_pass_over(&token) || has_a_date_that_it_cannot_read(&token);
            prop_assert!(explained || oracle_accepts(&token), "jsonwebtoken refuses {}", token);
        }
        prop_assert_ne!(family, Err(Family::Unavailable));
    }
}

#[test]
fn mutants_are_of_both_kinds() {
    let world = world();
    let good = mutant(Algorithm::Es256, &[]);
    assert!(world.validator.check(&Credentials::bearer(&good), &world.demand).is_ok());
    assert!(world.naive.judge(&good).is_ok() && oracle_accepts(&good));
    let members = Mutation::Member { of_header: false, name: "iss", value: Some("\"https://evil.test\"".to_owned()) };
    let bad = mutant(Algorithm::Es256, &[members]);
    assert!(world.validator.check(&Credentials::bearer(&bad), &world.demand).is_err());
    assert!(world.naive.judge(&bad).is_err() && !oracle_accepts(&bad));
}

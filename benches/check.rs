//! What a check costs beyond the signature.
//!
//! For each algorithm, interleaved in one run: the signature alone with a prepared key, which is the physical limit; our whole
//! check from `Authorization` header to accepted token; and `jsonwebtoken`'s `decode` with the same demands, where it knows the
//! algorithm. Every outcome is asserted before the first measurement. Quote the differences and ratios, not the times.
//!
//! `cargo bench --bench check`; with `-- --test` everything runs once and nothing is measured, and `-- --json FILE` appends the figures
//! to a file.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]

mod measure;

use std::collections::HashMap;
use std::hint::black_box;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use measure::{
    AUDIENCE, Contender, ROUNDS, accepted, compare, forgetful, header, json, json_file, only_test, raw, request, token,
};
use scopegate::testing::TestIssuer;
use scopegate::{Algorithm, Credentials, Issuer, KeySet, Reason, Requirement, ScopePolicy, Secret, Validator};

const ISSUER: &str = "https://issuer.test";

fn refused(validator: &Validator, demand: &Requirement, token: &str, reason: Reason) -> Box<dyn FnMut()> {
    let (validator, demand, headers) = (validator.clone(), demand.clone(), request(token));
    assert_eq!(validator.check(&Credentials::from_headers(&headers), &demand).unwrap_err().reason(), reason);
    Box::new(move || {
        black_box(validator.check(&Credentials::from_headers(black_box(&headers)), &demand)).unwrap_err();
    })
}

/// `jsonwebtoken` with the same demands: issuer, audience, expiry, and the claims of RFC 9068.
fn theirs(algorithm: Algorithm, key: jsonwebtoken::DecodingKey, token: &str) -> Box<dyn FnMut()> {
    let mut validation = jsonwebtoken::Validation::new(algorithm.name().parse().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.validate_nbf = true;
    let token = token.to_owned();
    type Claims = HashMap<String, serde_json::Value>;
    jsonwebtoken::decode::<Claims>(&token, &key, &validation).expect("accepted");
    Box::new(move || {
        let decoded = jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation).unwrap();
        // The scope is not among its demands; ours looks at it.
        assert!(decoded.claims["scope"].as_str().unwrap().split(' ').any(|scope| scope == "things:read"));
    })
}

fn main() {
    let (only_test, json_file) = (only_test(), json_file());
    let algorithms =
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Hs256];
    let issuer = TestIssuer::with_algorithms(ISSUER, algorithms);
    let demand = Requirement::from(ScopePolicy::all(["things:read"]).unwrap());
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let published: serde_json::Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let public = forgetful(Validator::builder(AUDIENCE)).trust(Issuer::keys(ISSUER, keys)).build().unwrap();

    println!("a whole check beside the signature alone, medians of {ROUNDS} interleaved rounds\n");
    println!("{:<8} {:>10} {:>12} {:>14} {:>22}", "alg", "raw ns", "check ns", "over raw ns", "jsonwebtoken over raw");
    for algorithm in algorithms {
        let token = token(&issuer, algorithm).mint();
        let mut contenders = Vec::new();
        if algorithm == Algorithm::Hs256 {
            let kid = header(&token)["kid"].as_str().unwrap().to_owned();
            let secret = issuer.secret(&kid).unwrap();
            let shared = Issuer::secrets(ISSUER, [Secret::new(algorithm, secret.clone()).unwrap().kid(&kid)]);
            let validator = forgetful(Validator::builder(AUDIENCE)).trust(shared).build().unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let (input, signature) = token.rsplit_once('.').unwrap();
            let (input, signature) = (input.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature).unwrap());
            contenders.push(Contender::new("raw", move || hmac::verify(&key, black_box(&input), &signature).unwrap()));
            contenders.push(Contender::new("check", accepted(&validator, &demand, &token)));
            let key = jsonwebtoken::DecodingKey::from_secret(&secret);
            contenders.push(Contender::new("jsonwebtoken", theirs(algorithm, key, &token)));
        } else {
            let kid = header(&token)["kid"].clone();
            let jwk = published["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == kid).unwrap();
            let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk.clone()).unwrap();
            contenders.push(Contender::new("raw", raw(algorithm, jwk, &token)));
            contenders.push(Contender::new("check", accepted(&public, &demand, &token)));
            let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
            contenders.push(Contender::new("jsonwebtoken", theirs(algorithm, key, &token)));
        }
        if only_test {
            continue;
        }
        compare(&mut contenders);
        let [raw, check, theirs] = contenders.as_slice() else { unreachable!() };
        assert_eq!((raw.name, check.name, theirs.name), ("raw", "check", "jsonwebtoken"));
        println!(
            "{:<8} {:>10.0} {:>12.0} {:>8.0} ±{:<4.0} {:>22.0}",
            algorithm.name(),
            raw.median(),
            check.median(),
            check.median() - raw.median(),
            raw.spread() + check.spread(),
            theirs.median() - raw.median(),
        );
        if let Some(file) = &json_file {
            let figures: Vec<_> =
                contenders.iter().map(|one| (algorithm.name(), one.name, one.median(), one.spread())).collect();
            json(file, "check", &figures);
        }
    }

    let good = token(&issuer, Algorithm::Es256).mint();
    let tampered = issuer.token().algorithm(Algorithm::Es256).audience(AUDIENCE).scope("things:read").tampered().mint();
    let refusals = [
        ("no dots at all", refused(&public, &demand, &"A".repeat(900), Reason::Malformed)),
        ("four segments", refused(&public, &demand, &format!("{good}.x"), Reason::Malformed)),
        ("padding", refused(&public, &demand, &format!("{good}="), Reason::Malformed)),
        ("too long", refused(&public, &demand, &"A.".repeat(30_000), Reason::TooLong)),
        ("another algorithm", refused(&public, &demand, &issuer.token().unsigned().mint(), Reason::AlgorithmRefused)),
        ("bad signature", refused(&public, &demand, &tampered, Reason::BadSignature)),
    ];
    println!("\na refusal, as ns");
    for (name, run) in refusals {
        let mut contenders = [Contender::new(name, run)];
        if !only_test {
            compare(&mut contenders);
            let (median, spread) = (contenders[0].median(), contenders[0].spread());
            println!("{name:<20} {median:>10.0} ±{spread:.0}");
            if let Some(file) = &json_file {
                json(file, "check", &[("refusal", name, median, spread)]);
            }
        }
    }
}

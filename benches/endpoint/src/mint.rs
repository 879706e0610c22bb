//! One issuer's keys, in the forms that the contenders read, and its tokens, good and bad.

use std::fs::write;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scopegate::Algorithm;
use scopegate::testing::{TestIssuer, TestToken};

use crate::measure::{AUDIENCE, header, prepared, token};

pub(crate) const ISSUER: &str = "https://issuer.test";

/// `jwks.json`, a PEM file for each algorithm, and `world.json` with all that a configuration and a client need.
pub(crate) fn into(folder: &Path) {
    let algorithms = [Algorithm::Rs256, Algorithm::Es256];
    let issuer = TestIssuer::with_algorithms(ISSUER, algorithms);
    write(folder.join("jwks.json"), issuer.jwks()).unwrap();
    let mut tokens = serde_json::Map::new();
    for algorithm in algorithms {
        // A run takes minutes.
        let good = || token(&issuer, algorithm).lifetime(Duration::from_secs(6 * 3600));
        tokens.insert(
            algorithm.name().to_owned(),
            serde_json::json!({
                "good": good().mint(),
                "expired": token(&issuer, algorithm).expired().mint(),
                "bad signature": good().tampered().mint(),
                "another issuer": good().claim("iss", "https://other.test").mint(),
                "another audience": good().audience("https://other.example.com").mint(),
                "no such scope": good().scope("things:reader").mint(),
            }),
        );
        write(folder.join(format!("{}.pem", algorithm.name())), pem(&issuer, algorithm, good())).unwrap();
    }
    let world = serde_json::json!({ "issuer": ISSUER, "audience": AUDIENCE, "tokens": tokens });
    write(folder.join("world.json"), world.to_string()).unwrap();
}

fn pem(issuer: &TestIssuer, algorithm: Algorithm, token: TestToken) -> String {
    let kid = header(&token.mint())["kid"].as_str().unwrap().to_owned();
    let jwk = serde_json::from_str(&issuer.jwk(&kid).unwrap()).unwrap();
    let der: PublicKeyX509Der<'_> = prepared(algorithm, &jwk).as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

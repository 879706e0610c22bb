//! How the benchmarks measure: contenders in turn, and medians; and where they put their figures.

#![allow(dead_code, reason = "no benchmark uses all of it")]

pub(crate) mod ratio;

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use scopegate::testing::{TestIssuer, TestToken};
use scopegate::{Algorithm, Credentials, Requirement, Validator, ValidatorBuilder};

use ratio::{Ratio, median};

pub(crate) const AUDIENCE: &str = "https://api.example.com";
pub(crate) const ROUNDS: usize = 161;

/// Is everything to run once, and nothing to be measured?
pub(crate) fn only_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// The file that `--json FILE` names.
pub(crate) fn json_file() -> Option<PathBuf> {
    std::env::args().skip_while(|argument| argument != "--json").nth(1).map(PathBuf::from)
}

/// Appends figures to a file, one JSON object a line, so that several benchmarks can fill the same one.
///
/// A figure has a group (an algorithm, a kind of traffic), a name, its median and its spread, in nanoseconds unless the benchmark says so.
pub(crate) fn json(path: &Path, bench: &str, figures: &[(&str, &str, f64, f64)]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file of --json can be written");
    for (group, name, median, spread) in figures {
        let line =
            serde_json::json!({ "bench": bench, "group": group, "name": name, "median": median, "spread": spread });
        writeln!(file, "{line}").unwrap();
    }
}

/// One thing that is measured.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut()>,
    /// Nanoseconds a run, one figure a round.
    figures: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run), figures: Vec::new() }
    }

    fn measure(&mut self, times: u32) {
        let start = Instant::now();
        for _ in 0..times {
            (self.run)();
        }
        self.figures.push(start.elapsed().as_nanos() as f64 / f64::from(times));
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.figures.iter().copied())
    }

    /// How many times as long as the other, which was measured beside it.
    pub(crate) fn ratio_to(&self, other: &Self) -> Ratio {
        Ratio::of(&self.figures, &other.figures)
    }

    /// Half of all rounds lie within this much of the median.
    pub(crate) fn spread(&self) -> f64 {
        let middle = self.median();
        median(self.figures.iter().map(|figure| (figure - middle).abs()))
    }
}

/// Runs the contenders in turn, so that a machine whose speed drifts is slow for all of them, and each about as long as the others.
pub(crate) fn compare(contenders: &mut [Contender]) {
    let times: Vec<_> = contenders.iter_mut().map(times_of).collect();
    for _ in 0..ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&times) {
            contender.measure(*times);
        }
    }
}

/// How often in a round: 1 ms' worth. A machine that others use too takes the core away for longer than that, so most rounds know nothing
/// of it, and the median is of those.
fn times_of(contender: &mut Contender) -> u32 {
    (contender.run)();
    let start = Instant::now();
    (contender.run)();
    let once = start.elapsed().max(Duration::from_nanos(200));
    (Duration::from_millis(1).as_nanos() / once.as_nanos()).clamp(1, 20_000) as u32
}

/// The signature alone, by a key that was prepared beforehand.
pub(crate) fn raw(algorithm: Algorithm, jwk: &serde_json::Value, token: &str) -> Box<dyn FnMut()> {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (input, signature) = (input.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature).unwrap());
    let key = prepared(algorithm, jwk);
    key.verify_sig(&input, &signature).expect("the signature holds");
    Box::new(move || black_box(key.verify_sig(black_box(&input), black_box(&signature))).unwrap())
}

pub(crate) fn prepared(algorithm: Algorithm, jwk: &serde_json::Value) -> ParsedPublicKey {
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let ec = |algorithm: &'static sig::EcdsaVerificationAlgorithm| {
        ParsedPublicKey::new(algorithm, [&[4][..], &octets("x"), &octets("y")].concat()).unwrap()
    };
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let parameters = if algorithm == Algorithm::Rs256 {
                &sig::RSA_PKCS1_2048_8192_SHA256
            } else {
                &sig::RSA_PSS_2048_8192_SHA256
            };
            PublicKeyComponents { n: octets("n"), e: octets("e") }.to_parsed_public_key(parameters).unwrap()
        }
        Algorithm::Es256 => ec(&sig::ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => ec(&sig::ECDSA_P384_SHA384_FIXED),
        _ => ParsedPublicKey::new(&sig::ED25519, octets("x")).unwrap(),
    }
}

/// The claims of an ordinary access token: about 700 bytes of them.
pub(crate) fn token(issuer: &TestIssuer, algorithm: Algorithm) -> TestToken {
    let groups: Vec<_> = (0..8).map(|n| format!("/customers/europe/team-{n}")).collect();
    let token = issuer.token().algorithm(algorithm).audience(AUDIENCE).scope("openid profile things:read things:write");
    token
        .claim("name", "Ada Lovelace")
        .claim("email", "ada.lovelace@example.com")
        .claim("sid", "0bd9fef1-6b0c-4b4a-9d8c-1f7f2a6f3b21")
        .claim("groups", groups)
        .claim("acr", "urn:mace:incommon:iap:silver")
        .claim("auth_time", 1_700_000_000)
}

pub(crate) fn request(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    headers
}

/// A whole check that accepts.
pub(crate) fn accepted(validator: &Validator, demand: &Requirement, token: &str) -> Box<dyn FnMut()> {
    let (validator, demand, headers) = (validator.clone(), demand.clone(), request(token));
    assert!(validator.check(&Credentials::from_headers(&headers), &demand).is_ok());
    Box::new(move || {
        black_box(validator.check(&Credentials::from_headers(black_box(&headers)), &demand)).unwrap();
    })
}

pub(crate) fn header(token: &str) -> serde_json::Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

/// With nothing remembered of signatures: each check is a whole one.
pub(crate) fn forgetful(builder: ValidatorBuilder) -> ValidatorBuilder {
    builder.remember_signatures(Duration::ZERO)
}

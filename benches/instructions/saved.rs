//! Keys and tokens that were made once, in `tokens.json`, and are good until 2096.
//!
//! `cargo bench --bench instructions -- --mint > FILE` makes others, for another text of the claims, say; then the counts are to be
//! renewed too. The secret among them is nobody's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::Algorithm;
use serde_json::{Value, json};

use crate::measure;
use crate::world::{self, KID};

const ISSUED: i64 = 1_700_000_000;
const ENDS: i64 = 4_000_000_000;
const JTI: &str = "0bd9fef1-6b0c-4b4a-9d8c-1f7f2a6f3b21";

pub(crate) struct Saved(Value);

impl Saved {
    pub(crate) fn read() -> Self {
        Self(serde_json::from_str(include_str!("tokens.json")).unwrap())
    }

    pub(crate) fn keys(&self) -> String {
        self.0["keys"].to_string()
    }

    pub(crate) fn secret(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.0["secret"].as_str().unwrap()).unwrap()
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        self.0["tokens"][name].as_str().unwrap()
    }

    /// What an issuer that is asked about it says of the token by ES256.
    pub(crate) fn answer(&self) -> String {
        let claims = self.token("es256").split('.').nth(1).unwrap();
        let mut answer: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        answer["active"] = true.into();
        answer["token_type"] = "Bearer".into();
        answer.to_string()
    }
}

pub(crate) fn mint() -> String {
    let algorithms = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Hs256];
    let issuer = world::issuer(algorithms);
    let token =
        |algorithm| measure::token(&issuer, algorithm).claim("jti", JTI).claim("iat", ISSUED).claim("exp", ENDS);
    let keys: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let mut tokens: serde_json::Map<String, Value> = algorithms
        .into_iter()
        .map(|algorithm| (algorithm.name().to_lowercase(), token(algorithm).mint().into()))
        .collect();
    let bad = token(Algorithm::Es256).signature(vec![0x5a; 64]).mint();
    tokens.insert("bad-signature".to_owned(), bad.into());
    let secret = URL_SAFE_NO_PAD.encode(issuer.secret(KID).unwrap());
    serde_json::to_string_pretty(&json!({ "keys": keys, "secret": secret, "tokens": tokens })).unwrap()
}

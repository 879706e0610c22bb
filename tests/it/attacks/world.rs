//! The fixture: two issuers and a stranger, their keys, the good token, and validators that trust the two.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use scopegate::testing::{TestClock, TestIssuer, TestToken};
use scopegate::{Algorithm, Fetch, FetchLimits, Fetching, Issuer, KeySet, Profile, Validator};
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_800_000_000;
/// Seconds.
pub(crate) const LEEWAY: i64 = 60;
pub(crate) const API: &str = "https://api.example.test";
pub(crate) const A: &str = "https://a.example.test";
pub(crate) const B: &str = "https://b.example.test";
/// The header of the good token.
pub(crate) const HEADER: &str = r#"{"alg":"RS256","typ":"at+jwt","kid":"a-rsa-1"}"#;

/// A private key of somebody, under the name that it has in that somebody's key set.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    owner: Owner,
    /// What the owner's `TestIssuer` calls it.
    own_name: &'static str,
    pub(crate) kid: &'static str,
    algorithm: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Owner {
    A,
    B,
    Stranger,
}

impl Key {
    const fn new(owner: Owner, own_name: &'static str, kid: &'static str, algorithm: &'static str) -> Self {
        Self { owner, own_name, kid, algorithm: Some(algorithm) }
    }

    fn owner(&self) -> &'static TestIssuer {
        let people = people();
        match self.owner {
            Owner::A => &people.a,
            Owner::B => &people.b,
            Owner::Stranger => &people.stranger,
        }
    }

    /// The public half, as its owner publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.owner().jwk(self.own_name).unwrap()).unwrap();
        let members = jwk.as_object_mut().unwrap();
        members.insert("kid".to_owned(), self.kid.into());
        match self.algorithm {
            Some(algorithm) => members.insert("alg".to_owned(), algorithm.into()),
            None => members.remove("alg"),
        };
        jwk
    }

    /// A member of the public half, decoded.
    pub(crate) fn octets(&self, member: &str) -> Vec<u8> {
        decode(self.jwk()[member].as_str().unwrap())
    }
}

pub(crate) const A1: Key = Key::new(Owner::A, "rs256-1", "a-rsa-1", "RS256");
pub(crate) const A2: Key = Key::new(Owner::A, "es256-1", "a-ec-1", "ES256");
pub(crate) const A3: Key = Key::new(Owner::A, "es384-1", "a-ec384-1", "ES384");
pub(crate) const A4: Key = Key::new(Owner::A, "eddsa-1", "a-ed-1", "EdDSA");
pub(crate) const A5: Key = Key { owner: Owner::A, own_name: "rs256-2", kid: "a-rsa-noalg", algorithm: None };
pub(crate) const A6: Key = Key::new(Owner::A, "ps256-1", "a-ps-1", "PS256");
pub(crate) const A7: Key = Key::new(Owner::A, "rs256-3", "shared", "RS256");
pub(crate) const B1: Key = Key::new(Owner::B, "rs256-1", "b-rsa-1", "RS256");
pub(crate) const B2: Key = Key::new(Owner::B, "rs256-2", "shared", "RS256");
/// The attacker's.
pub(crate) const X: Key = Key::new(Owner::Stranger, "rs256-1", "x", "RS256");

/// Whoever has private keys; they are made once, since RSA keys take longer to make than all the rest.
struct People {
    a: TestIssuer,
    b: TestIssuer,
    stranger: TestIssuer,
    /// The private keys A1 and X (PKCS#8), for what is not a token.
    a1: Vec<u8>,
    x: Vec<u8>,
}

fn people() -> &'static People {
    static PEOPLE: OnceLock<People> = OnceLock::new();
    PEOPLE.get_or_init(|| {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
        let clock = TestClock::at(NOW);
        let person = |identifier: &str, algorithms: &[Algorithm]| {
            let algorithms = algorithms.iter().copied();
            TestIssuer::with_algorithms(identifier, algorithms).clock(&clock).default_audience(API)
        };
        let (a1, x) = (rsa_document(), rsa_document());
        let a = person(A, &[Es256, Es384, EdDsa]);
        let names = [a.add_pkcs8(Rs256, &a1), a.add_rsa(Rs256, 2048), a.add_rsa(Rs256, 2048), a.add_rsa(Ps256, 3072)];
        assert_eq!(names, [A1, A5, A7, A6].map(|key| key.own_name));
        let stranger = person("https://stranger.example.test", &[]);
        assert_eq!(stranger.add_pkcs8(Rs256, &x), X.own_name);
        let b = person(B, &[Rs256]);
        assert_eq!(b.add_rsa(Rs256, 2048), B2.own_name);
        People { a, b, stranger, a1, x }
    })
}

fn rsa_document() -> Vec<u8> {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let document: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    document.as_ref().to_vec()
}

/// The signature of A1 (RS256) over whatever this is.
pub(crate) fn signed_by_a1(message: impl AsRef<[u8]>) -> Vec<u8> {
    rs256(&people().a1, message.as_ref())
}

/// The same by the attacker's key X.
pub(crate) fn signed_by_x(message: impl AsRef<[u8]>) -> Vec<u8> {
    rs256(&people().x, message.as_ref())
}

/// The public half of A1 as a document (SubjectPublicKeyInfo, DER).
pub(crate) fn spki_of_a1() -> Vec<u8> {
    spki(&people().a1)
}

/// The same of the attacker's key X.
pub(crate) fn spki_of_x() -> Vec<u8> {
    spki(&people().x)
}

fn rs256(document: &[u8], message: &[u8]) -> Vec<u8> {
    let pair = KeyPair::from_pkcs8(document).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn spki(document: &[u8]) -> Vec<u8> {
    let pair = KeyPair::from_pkcs8(document).unwrap();
    let document: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    document.as_ref().to_vec()
}

/// A token of these very segments, by A1.
pub(crate) fn sealed(header: &str, payload: &str) -> String {
    let input = format!("{header}.{payload}");
    format!("{input}.{}", encode(signed_by_a1(&input)))
}

/// BASE: the good token, by A1.
pub(crate) fn base() -> TestToken {
    base_by(&A1)
}

/// The same with the issuer A's name in it and this key under it, whoever's it is.
pub(crate) fn base_by(key: &Key) -> TestToken {
    let token = key.owner().token().key(key.own_name).header("kid", key.kid).scope("read write").claim("iss", A);
    token.claim("iat", NOW - 10).claim("exp", NOW + 300).claim("jti", "j-1")
}

/// The claims of BASE as text.
pub(crate) fn base_claims() -> String {
    json!({
        "iss": A, "aud": API, "sub": "user-1", "client_id": "client-1", "scope": "read write",
        "iat": NOW - 10, "exp": NOW + 300, "jti": "j-1",
    })
    .to_string()
}

/// A JSON object's text with these members before its own.
pub(crate) fn with_first(members: &str, object: &str) -> String {
    format!("{{{members},{}", object.strip_prefix('{').unwrap())
}

/// The three segments.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

pub(crate) fn signature(token: &str) -> Vec<u8> {
    decode(parts(token)[2])
}

/// The token with another signature.
pub(crate) fn resealed(token: &str, signature: &[u8]) -> String {
    let [header, payload, _] = parts(token);
    format!("{header}.{payload}.{}", encode(signature))
}

pub(crate) fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A key set of these keys.
pub(crate) fn key_set(keys: impl IntoIterator<Item = Value>) -> String {
    json!({ "keys": keys.into_iter().collect::<Vec<_>>() }).to_string()
}

/// The key set of issuer A.
pub(crate) fn keys_of_a() -> Vec<Value> {
    [A1, A2, A3, A4, A5, A6, A7].map(|key| key.jwk()).to_vec()
}

/// What A and B publish.
fn documents() -> &'static (String, String) {
    static DOCUMENTS: OnceLock<(String, String)> = OnceLock::new();
    DOCUMENTS.get_or_init(|| (key_set(keys_of_a()), key_set([B1.jwk(), B2.jwk()])))
}

/// How issuer A is trusted. Issuer B always is in the same way, with its own keys.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) scope_claim: Option<&'static str>,
    pub(crate) binding: Binding,
    pub(crate) max_token: usize,
    /// The document that A publishes.
    pub(crate) key_set: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Binding {
    MustBeProven,
    Ignored,
}

impl Default for Settings {
    fn default() -> Self {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
        Self {
            profile: Profile::Rfc9068,
            algorithms: vec![Rs256, Ps256, Es256, Es384, EdDsa],
            scope_claim: None,
            binding: Binding::MustBeProven,
            max_token: 16_384,
            key_set: documents().0.clone(),
        }
    }
}

impl Settings {
    fn apply(&self, issuer: Issuer) -> Issuer {
        let issuer = issuer.profile(self.profile).algorithms(self.algorithms.iter().copied());
        let issuer = match self.scope_claim {
            Some(claim) => issuer.scope_claim(claim),
            None => issuer,
        };
        match self.binding {
            Binding::MustBeProven => issuer,
            Binding::Ignored => issuer.dangerous().accept_unproven_binding(),
        }
    }
}

/// How a validator comes by its keys, and whom it trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The program hands over the keys of A and of B.
    HandedOver,
    /// The same, and A alone is trusted: the token's `iss` is then read only after its signature.
    OnlyA,
    /// The keys of A and of B are fetched, from memory.
    Fetched,
}

/// A validator and all that it depends on.
pub(crate) struct Site {
    pub(crate) validator: Validator,
    pub(crate) clock: TestClock,
    asked: Arc<Counting>,
}

impl Site {
    pub(crate) fn new(place: Place, settings: &Settings) -> Self {
        let clock = TestClock::at(NOW);
        let publisher = |identifier: &str, document: &str| {
            let issuer = TestIssuer::with_algorithms(identifier, []).clock(&clock);
            issuer.publish_raw(document);
            issuer
        };
        let a = publisher(A, &settings.key_set);
        let b = publisher(B, &documents().1);
        let trusted = |issuer: &TestIssuer| {
            settings.apply(match place {
                Place::Fetched => Issuer::jwks(issuer.id(), issuer.jwks_uri()),
                Place::HandedOver | Place::OnlyA => {
                    Issuer::keys(issuer.id(), KeySet::from_json(issuer.jwks().as_bytes()).unwrap())
                }
            })
        };
        let asked = Arc::new(Counting { way: TestIssuer::fetch_from([&a, &b]), urls: Mutex::default() });
        let way_out: Arc<dyn Fetch> = Arc::<Counting>::clone(&asked);
        let builder = Validator::builder(API)
            .trust(trusted(&a))
            .leeway(Duration::from_secs(LEEWAY.unsigned_abs()))
            .max_token_bytes(settings.max_token)
            .clock(clock.clone())
            .fetch(way_out);
        let builder = if place == Place::OnlyA { builder } else { builder.trust(trusted(&b)) };
        Self { validator: builder.build().unwrap(), clock, asked }
    }

    /// Every address that the validator has asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.urls.lock().unwrap().clone()
    }
}

/// The way to the issuers, which remembers what was asked.
#[derive(Debug)]
struct Counting {
    way: Arc<dyn Fetch>,
    urls: Mutex<Vec<String>>,
}

impl Fetch for Counting {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        self.urls.lock().unwrap().push(request.uri().to_string());
        self.way.fetch(request, limits)
    }
}

//! Tokens and key sets of real authorization servers get the verdict that their files state.

use std::fs;
use std::path::PathBuf;

use scopegate::{
    Algorithm, Credentials, Issuer, KeySet, PlainHttp, Profile, Reason, Rejection, Requirement, ScopePolicy, Validator,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Server {
    issuer: String,
    audience: String,
    scopes: Vec<String>,
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    token: String,
    #[serde(default)]
    expect: String,
    scope: Option<Vec<String>>,
}

impl Server {
    fn read(folder: &str) -> Self {
        serde_json::from_slice(&fixture(&format!("idp/{folder}/tokens.json"))).unwrap()
    }

    fn issuer(&self, keys: KeySet) -> Issuer {
        Issuer::keys(&self.issuer, keys).plain_http(PlainHttp::OnLoopback)
    }

    fn validator(&self, issuer: Issuer) -> Validator {
        Validator::builder(&self.audience).trust(issuer).build().unwrap()
    }

    /// What the entry says that its token carries; all scopes of the server where it says nothing.
    fn demand(&self, entry: &Entry) -> Requirement {
        let scopes = entry.scope.as_ref().unwrap_or(&self.scopes);
        if scopes.is_empty() {
            return ScopePolicy::none().into();
        }
        ScopePolicy::all(scopes.iter().map(String::as_str)).unwrap().into()
    }

    fn named(&self, name: &str) -> &Entry {
        self.tokens.iter().find(|entry| entry.name == name).unwrap()
    }
}

fn fixture(path: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)).unwrap()
}

fn keys(path: &str) -> KeySet {
    KeySet::from_json(&fixture(path)).unwrap()
}

fn judge(validator: &Validator, entry: &Entry, demand: &Requirement) -> Result<(), Reason> {
    let judged = validator.check(&Credentials::bearer(&entry.token), demand);
    judged.map(drop).map_err(|rejection| Rejection::reason(&rejection))
}

/// What we decided where the file leaves it to the server.
fn our_policy(name: &str) -> Reason {
    match name {
        "iat-2100" => Reason::NotYetValid,
        "aud-mixed" => Reason::MalformedClaim,
        "scope-tab" => Reason::InsufficientScope,
        "dup-claims" | "dup-alg" | "std-base64" | "newline" | "deep-json" => Reason::Malformed,
        other => panic!("no decision on {other}"),
    }
}

#[test]
fn every_token_of_node_oidc_provider_gets_the_verdict_that_its_file_states() {
    let server = Server::read("oidc-provider");
    let set = || keys("idp/oidc-provider/jwks.json");
    let strict = server.validator(server.issuer(set()));
    let lenient = server.validator(server.issuer(set()).profile(Profile::PlainJwt));
    let with_list = server.validator(server.issuer(set()).profile(Profile::PlainJwt).scope_claim("scope"));
    let unbound = server.validator(server.issuer(set()).dangerous().accept_unproven_binding());
    let rotated = server.validator(server.issuer(keys("idp/oidc-provider/jwks-after-rotation.json")));
    let anything = ScopePolicy::none().into();
    assert!(server.tokens.len() >= 100);
    for entry in &server.tokens {
        let (name, demand) = (&entry.name, server.demand(entry));
        let judged = judge(&strict, entry, &demand);
        match entry.expect.as_str() {
            "accept" => assert_eq!(judged, Ok(()), "{name}"),
            "reject" => {
                assert!(judged.is_err_and(|reason| reason != Reason::KeysUnavailable), "{name}: {judged:?}");
                assert!(judge(&lenient, entry, &anything).is_err(), "{name} under the plain profile");
            }
            "reject-strict" => {
                assert!(judged.is_err(), "{name}");
                let widened = if name == "scope-array" { &with_list } else { &lenient };
                assert_eq!(judge(widened, entry, &demand), Ok(()), "{name} under the plain profile");
            }
            "introspect" => assert_eq!(judged, Err(Reason::Malformed), "{name}"),
            "accept-with-dpop" | "accept-with-cert" => {
                assert_eq!(judged, Err(Reason::Unbound), "{name}");
                assert_eq!(judge(&unbound, entry, &demand), Ok(()), "{name} with the opt-out");
            }
            "accept-no-scope" => {
                assert_eq!(judged, Err(Reason::InsufficientScope), "{name}");
                assert_eq!(judge(&strict, entry, &anything), Ok(()), "{name}");
            }
            "accept-after-refresh" => {
                assert_eq!(judged, Err(Reason::UnknownKey), "{name}");
                assert_eq!(judge(&rotated, entry, &demand), Ok(()), "{name} after the rotation");
            }
            "policy" => assert_eq!(judged, Err(our_policy(name)), "{name}"),
            other => panic!("{name}: the file expects {other:?}"),
        }
    }
}

#[test]
fn glewlwyd_follows_rfc_9068_and_names_its_audience_only_when_asked_to() {
    let server = Server::read("glewlwyd");
    let validator = server.validator(server.issuer(keys("idp/glewlwyd/jwks.json")));
    for entry in &server.tokens {
        let expected = match entry.name.as_str() {
            "no-resource-aud-is-scope" => Err(Reason::WrongAudience),
            "dpop-bound" => Err(Reason::Unbound),
            _ => Ok(()),
        };
        assert_eq!(judge(&validator, entry, &server.demand(entry)), expected, "{}", entry.name);
    }
}

#[test]
fn authlib_follows_rfc_9068() {
    let server = Server::read("authlib");
    let validator = server.validator(server.issuer(keys("idp/authlib/jwks.json")));
    for entry in &server.tokens {
        let expected = if entry.name == "opaque" { Err(Reason::Malformed) } else { Ok(()) };
        assert_eq!(judge(&validator, entry, &server.demand(entry)), expected, "{}", entry.name);
    }
}

#[test]
fn lemonldap_ng_needs_the_plain_profile() {
    let server = Server::read("lemonldap-ng");
    let issuer = || server.issuer(keys("idp/lemonldap-ng/jwks.json"));
    let strict = server.validator(issuer());
    let plain = server.validator(issuer().profile(Profile::PlainJwt));
    for entry in &server.tokens {
        let is_jwt = entry.name != "opaque";
        let (refused, accepted) =
            if is_jwt { (Err(Reason::WrongType), Ok(())) } else { (Err(Reason::Malformed), Err(Reason::Malformed)) };
        assert_eq!(judge(&strict, entry, &server.demand(entry)), refused, "{}", entry.name);
        assert_eq!(judge(&plain, entry, &server.demand(entry)), accepted, "{}", entry.name);
    }
    let nobody = plain.check(&Credentials::bearer(&server.named("rs256").token), &ScopePolicy::none().into()).unwrap();
    assert_eq!(nobody.subject(), None, "`sub: null` is nobody");
}

#[derive(Deserialize)]
struct Shape {
    file: String,
    rs256: String,
    es256: String,
}

/// Where the index leaves it to us: keys without `kid` serve, junk beside good keys is passed over, a leading zero octet of an
/// RSA modulus is put up with; a published private key, a coordinate that is too long, padded base64 and a byte order mark are
/// not.
fn our_shape(file: &str, algorithm: Algorithm) -> bool {
    match file {
        "no-kid.json" | "junk-entries.json" => true,
        "leading-zero.json" => algorithm == Algorithm::Rs256,
        "private-leaked.json" | "padded-base64.json" | "bom.json" => false,
        other => panic!("no decision on {other}"),
    }
}

#[test]
fn every_shape_of_key_set_gets_the_verdict_that_the_index_states() {
    let server = Server::read("oidc-provider");
    let shapes: Vec<Shape> = serde_json::from_slice(&fixture("jwks-shapes/index.json")).unwrap();
    assert!(shapes.len() >= 24);
    for shape in &shapes {
        let set = KeySet::from_json(&fixture(&format!("jwks-shapes/{}", shape.file)));
        for (name, stated, algorithm) in
            [("rs256", &shape.rs256, Algorithm::Rs256), ("es256", &shape.es256, Algorithm::Es256)]
        {
            let accepted = set.as_ref().is_ok_and(|set| {
                let validator = server.validator(server.issuer(set.clone()));
                let entry = server.named(name);
                judge(&validator, entry, &server.demand(entry)).is_ok()
            });
            let expected = match stated.as_str() {
                "accept" => true,
                "reject" => false,
                _ => our_shape(&shape.file, algorithm),
            };
            assert_eq!(accepted, expected, "{} with {name}", shape.file);
        }
    }
}

//! What real authorization servers answered about tokens gets the verdict that their file states, each server under the settings that
//! it needs and under no wider ones.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_executor::block_on;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use scopegate::testing::TestClock;
use scopegate::{
    AccessToken, ClientAuth, Credentials, Fetch, FetchLimits, Fetching, Introspection, Issuer, PlainHttp, Reason,
    Rejection, Requirement, ScopePolicy, Validator,
};
use serde::Deserialize;
use serde_json::Value;

/// One server, as its tokens and its metadata name it.
#[derive(Clone, Copy)]
struct Server {
    folder: &'static str,
    issuer: &'static str,
    audience: &'static str,
    /// Where its metadata lies, and which file it is.
    metadata: (&'static str, &'static str),
    endpoint: &'static str,
    jwks: &'static str,
}

const OIDC_PROVIDER: Server = Server {
    folder: "oidc-provider",
    issuer: "https://issuer.example",
    audience: "https://api.example/",
    metadata: ("https://issuer.example/.well-known/openid-configuration", "openid-configuration.json"),
    endpoint: "https://issuer.example/token/introspection",
    jwks: "https://issuer.example/jwks",
};
const GLEWLWYD: Server = Server {
    folder: "glewlwyd",
    issuer: "http://127.0.0.1:18601/api/oidc",
    audience: "https://rs.example/",
    metadata: ("http://127.0.0.1:18601/api/oidc/.well-known/openid-configuration", "openid-configuration.json"),
    endpoint: "http://127.0.0.1:18601/api/oidc/introspect",
    jwks: "http://127.0.0.1:18601/api/oidc/jwks",
};
const LEMONLDAP_NG: Server = Server {
    folder: "lemonldap-ng",
    issuer: "http://127.0.0.1:18602",
    audience: "https://rs.example/",
    metadata: ("http://127.0.0.1:18602/.well-known/openid-configuration", "openid-configuration.json"),
    endpoint: "http://127.0.0.1:18602/oauth2/introspect",
    jwks: "http://127.0.0.1:18602/oauth2/jwks",
};
const AUTHLIB: Server = Server {
    folder: "authlib",
    issuer: "http://127.0.0.1:18603",
    audience: "https://rs.example/",
    metadata: ("http://127.0.0.1:18603/.well-known/oauth-authorization-server", "oauth-authorization-server.json"),
    endpoint: "http://127.0.0.1:18603/introspect",
    jwks: "http://127.0.0.1:18603/jwks",
};

/// When the answers count: after the last was given, and before the first of those that last ends.
const NOW: i64 = 1_795_444_000;
const SIGNED_AT: i64 = 1_600_000_000;
/// A day after the oldest were given: the refresh token is active then.
const THEN: i64 = 1_600_000_100;

const JSON: &str = "application/json; charset=utf-8";
const SIGNED: &str = "application/token-introspection+jwt";

/// Answers as the server did, at its addresses, and with 404 at all others.
#[derive(Debug)]
struct Replayed(HashMap<String, (&'static str, Bytes)>);

impl Fetch for Replayed {
    fn fetch(&self, request: Request<Bytes>, _limits: FetchLimits) -> Fetching<'_> {
        let mut response = Response::new(Bytes::new());
        match self.0.get(&request.uri().to_string()) {
            Some((kind, body)) => {
                response.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
                *response.body_mut() = body.clone();
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        Box::pin(async move { Ok(response) })
    }
}

impl Server {
    fn file(self, name: &str) -> Bytes {
        fixture(&format!("introspection/{}/{name}", self.folder))
    }

    /// An answer as it was given, or as it was written down beside its token.
    fn answer(self, name: &str) -> Value {
        let answer: Value = serde_json::from_slice(&self.file(name)).unwrap();
        answer.get("response").cloned().unwrap_or(answer)
    }

    /// Gives this answer about any token, and has its own metadata and keys.
    fn replays(self, kind: &'static str, answer: impl Into<Bytes>) -> Arc<dyn Fetch> {
        let at = |url: &str, kind, body| (url.to_owned(), (kind, body));
        Arc::new(Replayed(HashMap::from([
            at(self.endpoint, kind, answer.into()),
            at(self.metadata.0, JSON, self.file(self.metadata.1)),
            at(self.jwks, JSON, fixture(&format!("idp/{}/jwks.json", self.folder))),
        ])))
    }

    /// The endpoint is where the server's own metadata says.
    fn asked(self) -> Asked {
        Asked {
            server: self,
            issuer: self.issuer,
            audience: self.audience,
            introspection: Introspection::discover(ClientAuth::basic("rs-basic", "secret")),
            unproven: false,
            now: NOW,
        }
    }
}

/// The settings of one test.
#[derive(Clone)]
struct Asked {
    server: Server,
    issuer: &'static str,
    audience: &'static str,
    introspection: Introspection,
    unproven: bool,
    now: i64,
}

impl Asked {
    fn with(mut self, settings: impl FnOnce(Introspection) -> Introspection) -> Self {
        self.introspection = settings(self.introspection);
        self
    }

    /// Signed answers are made out to this client.
    fn signed_for(mut self, client: &str) -> Self {
        self.introspection = Introspection::discover(ClientAuth::basic(client, "secret")).signed();
        self
    }

    fn judge_as(self, kind: &'static str, answer: impl Into<Bytes>, scope: &str) -> Result<AccessToken, Rejection> {
        let issuer = Issuer::introspect(self.issuer, self.introspection).plain_http(PlainHttp::OnLoopback);
        let issuer = if self.unproven { issuer.dangerous().accept_unproven_binding() } else { issuer };
        let fetch = self.server.replays(kind, answer);
        let clock = TestClock::at(self.now);
        let validator = Validator::builder(self.audience).trust(issuer).fetch(fetch).clock(clock).build().unwrap();
        let demand = Requirement::from(ScopePolicy::all(scope.split(' ')).unwrap());
        block_on(validator.validate(&Credentials::bearer("opaque-token"), &demand))
    }

    fn judge(self, answer: &Value) -> Result<AccessToken, Reason> {
        self.judge_as(JSON, answer.to_string(), "things:read").map_err(|rejection| rejection.reason())
    }

    /// At the time when the answer was given.
    fn judge_signed(mut self, answer: impl Into<Bytes>) -> Result<AccessToken, Reason> {
        self.now = SIGNED_AT;
        self.judge_as(SIGNED, answer, "things:read").map_err(|rejection| rejection.reason())
    }
}

fn fixture(path: &str) -> Bytes {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)).unwrap().into()
}

/// The same answer with one member changed, or left out.
fn but(answer: &Value, name: &str, value: Option<&str>) -> Value {
    let mut answer = answer.clone();
    let members = answer.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value.into()),
        None => members.remove(name),
    };
    answer
}

#[track_caller]
fn refused(judged: Result<AccessToken, Reason>, reason: Reason) {
    assert_eq!(judged.map(drop), Err(reason));
}

#[test]
fn node_oidc_provider_and_authlib_need_no_opt_in() {
    for (server, client) in [(OIDC_PROVIDER, "cc"), (AUTHLIB, "cc-opaque")] {
        let answer = server.answer("active.json");
        let token = server.asked().judge(&answer).unwrap();
        assert_eq!((token.client_id(), token.issuer().as_str()), (Some(client), server.issuer));
        assert!(token.expires_at().is_some());

        // A twin for each member that matters.
        refused(server.asked().judge(&but(&answer, "iss", Some("https://other.example"))), Reason::UntrustedIssuer);
        refused(server.asked().judge(&but(&answer, "iss", None)), Reason::MissingClaim);
        refused(server.asked().judge(&but(&answer, "aud", Some("https://rs.example"))), Reason::WrongAudience);
        refused(server.asked().judge(&but(&answer, "aud", None)), Reason::MissingClaim);
        refused(server.asked().judge(&but(&answer, "token_type", Some("N_A"))), Reason::WrongType);
        refused(server.asked().judge(&but(&answer, "scope", Some("things:readonly"))), Reason::InsufficientScope);
        refused(server.asked().judge(&but(&answer, "active", Some("true"))), Reason::IntrospectionUnavailable);
        let elsewhere = Asked { audience: "https://another.example", ..server.asked() };
        refused(elsewhere.judge(&answer), Reason::WrongAudience);
        refused(Asked { now: 2_546_080_100, ..server.asked() }.judge(&answer), Reason::Expired);
    }
}

#[test]
fn glewlwyd_leaves_out_the_issuer() {
    let answer = GLEWLWYD.answer("active.json");
    refused(GLEWLWYD.asked().judge(&answer), Reason::MissingClaim);
    let widened = || GLEWLWYD.asked().with(|settings| settings.dangerous().accept_absent_issuer());
    assert_eq!(widened().judge(&answer).unwrap().client_id(), Some("cc-es256"));
    // What may be absent may not be another's.
    refused(widened().judge(&but(&answer, "iss", Some("https://other.example"))), Reason::UntrustedIssuer);
    refused(widened().judge(&but(&answer, "aud", None)), Reason::MissingClaim);
}

#[test]
fn lemonldap_ng_leaves_out_the_audience_and_writes_null_for_nobody() {
    let answer = LEMONLDAP_NG.answer("active.json");
    refused(LEMONLDAP_NG.asked().judge(&answer), Reason::MissingClaim);
    let widened = || LEMONLDAP_NG.asked().with(|settings| settings.dangerous().accept_absent_audience());
    let token = widened().judge(&answer).unwrap();
    assert_eq!((token.subject(), token.client_id()), (None, Some("cc-opaque")));
    refused(widened().judge(&but(&answer, "aud", Some("https://other.example"))), Reason::WrongAudience);
    refused(widened().judge(&but(&answer, "iss", None)), Reason::MissingClaim);
}

#[test]
fn what_is_not_active_is_refused_by_every_server() {
    for server in [OIDC_PROVIDER, GLEWLWYD, LEMONLDAP_NG] {
        refused(server.asked().judge(&server.answer("inactive.json")), Reason::Inactive);
    }
}

#[test]
fn a_refresh_token_is_no_access_token() {
    let answer = OIDC_PROVIDER.answer("refresh-token.json");
    let then = || Asked { now: THEN, ..OIDC_PROVIDER.asked() };
    refused(then().judge(&answer), Reason::MissingClaim);
    // The price of the opt-in, as its documentation says: this server does not tell the one from the other.
    assert!(then().with(|settings| settings.dangerous().accept_absent_audience()).judge(&answer).is_ok());
}

#[test]
fn a_token_that_is_bound_to_a_key_or_a_certificate_is_refused_without_proof() {
    for (server, name) in [(OIDC_PROVIDER, "dpop.json"), (OIDC_PROVIDER, "mtls.json"), (GLEWLWYD, "dpop.json")] {
        let answer = server.answer(name);
        let asked = || server.asked().with(|settings| settings.dangerous().accept_absent_issuer());
        refused(asked().judge(&answer), Reason::Unbound);
        assert!(Asked { unproven: true, ..asked() }.judge(&answer).is_ok(), "{name} with the opt-out");
        // Either of the two says that it is bound.
        if name == "dpop.json" {
            refused(asked().judge(&but(&answer, "cnf", None)), Reason::Unbound);
        }
        refused(asked().judge(&but(&answer, "token_type", Some("Bearer"))), Reason::Unbound);
    }
}

#[test]
fn a_signed_answer_of_node_oidc_provider_is_made_out_to_the_client_that_asks() {
    let (active, inactive) = (OIDC_PROVIDER.file("active.jwt"), OIDC_PROVIDER.file("inactive.jwt"));
    let asked = || OIDC_PROVIDER.asked().signed_for("rs-jwtresp");
    assert_eq!(asked().judge_signed(active.clone()).unwrap().client_id(), Some("cc"));
    refused(asked().judge_signed(inactive), Reason::Inactive);

    // Another client's answer, another server's keys, one bit of the signature, plain JSON, and the JWT under JSON's name.
    let never_judged = Reason::IntrospectionUnavailable;
    refused(OIDC_PROVIDER.asked().signed_for("rs-basic").judge_signed(active.clone()), never_judged);
    let other_keys = Asked { server: Server { folder: "glewlwyd", ..OIDC_PROVIDER }, ..asked() };
    let other_keys = other_keys.with(|_| {
        Introspection::at(OIDC_PROVIDER.endpoint, ClientAuth::basic("rs-jwtresp", "secret"))
            .signed_by_keys_at(OIDC_PROVIDER.jwks)
    });
    refused(other_keys.judge_signed(active.clone()), never_judged);
    let mut flipped = active.to_vec();
    let place = flipped.len() - 10;
    flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
    refused(asked().judge_signed(flipped), never_judged);
    refused(asked().judge(&OIDC_PROVIDER.answer("active.json")), never_judged);
    let unasked = OIDC_PROVIDER.asked().judge_signed(active.clone());
    refused(unasked, never_judged);
    let mislabelled = asked().judge_as(JSON, active, "things:read").map_err(|rejection| rejection.reason());
    refused(mislabelled, never_judged);
}

#[test]
fn a_signed_answer_of_glewlwyd_is_made_out_to_the_api_as_a_draft_had_it() {
    let active = || GLEWLWYD.file("active.jwt");
    refused(GLEWLWYD.asked().signed_for("rs-glewlwyd").judge_signed(active()), Reason::IntrospectionUnavailable);
    let drafted =
        || GLEWLWYD.asked().signed_for("rs-glewlwyd").with(|settings| settings.dangerous().accept_draft_audience());
    assert_eq!(drafted().judge_signed(active()).unwrap().client_id(), Some("cc-es256"));
    let elsewhere = Asked { audience: "https://another.example", ..drafted() };
    refused(elsewhere.judge_signed(active()), Reason::IntrospectionUnavailable);
    let stranger = Asked { issuer: "http://127.0.0.1:18601/api", ..drafted() };
    let stranger = stranger.with(|_| {
        Introspection::at(GLEWLWYD.endpoint, ClientAuth::basic("rs", "secret"))
            .signed_by_keys_at(GLEWLWYD.jwks)
            .dangerous()
            .accept_draft_audience()
    });
    refused(stranger.judge_signed(active()), Reason::IntrospectionUnavailable);
}

#[derive(Deserialize)]
struct Shape {
    server: String,
    case: String,
    body: Value,
}

/// What becomes of a shape without opt-ins, and with both: whose server names neither issuer nor audience has no other way.
fn expected(shape: &Shape) -> (Result<(), Reason>, Result<(), Reason>) {
    use Reason::{Inactive, MissingClaim, Unbound, WrongType};
    match (shape.server.split(' ').next().unwrap(), shape.case.as_str()) {
        ("oidc-provider", case) if case.contains("DPoP") => (Err(Unbound), Err(Unbound)),
        ("oidc-provider" | "authlib", _) => (Ok(()), Ok(())),
        ("glewlwyd" | "lemonldap-ng" | "django-oauth-toolkit", _) => (Err(MissingClaim), Ok(())),
        // `{"active":true}` about whatever it is asked: nothing says that it is an access token.
        ("oauth2-mock-server", _) => (Err(WrongType), Err(WrongType)),
        ("all", "inactive") => (Err(Inactive), Err(Inactive)),
        (server, case) => panic!("no decision on {server}, {case}"),
    }
}

#[test]
fn every_shape_of_answer_that_was_met_gets_its_verdict() {
    let shapes: Vec<Shape> = serde_json::from_slice(&fixture("introspection/shapes.json")).unwrap();
    assert_eq!(shapes.len(), 9);
    for shape in &shapes {
        let named = |name: &str| match &shape.body[name] {
            Value::Array(list) => list[0].as_str().map(str::to_owned),
            other => other.as_str().map(str::to_owned),
        };
        let issuer = named("iss").unwrap_or_else(|| AUTHLIB.issuer.to_owned());
        let audience = named("aud").unwrap_or_else(|| AUTHLIB.audience.to_owned());
        let judge = |introspection: Introspection| {
            let issuer = Issuer::introspect(issuer.clone(), introspection).plain_http(PlainHttp::OnLoopback);
            let fetch = AUTHLIB.replays(JSON, shape.body.to_string());
            let clock = TestClock::at(NOW);
            let validator = Validator::builder(&audience).trust(issuer).fetch(fetch).clock(clock).build().unwrap();
            let demand = Requirement::from(ScopePolicy::none());
            block_on(validator.validate(&Credentials::bearer("any"), &demand)).map(drop).map_err(|no| no.reason())
        };
        let strict = || Introspection::at(AUTHLIB.endpoint, ClientAuth::post("rs-post", "secret"));
        let widened = strict().dangerous().accept_absent_issuer().dangerous().accept_absent_audience();
        assert_eq!((judge(strict()), judge(widened)), expected(shape), "{}: {}", shape.server, shape.case);
    }
}

//! Runs test vectors: one JSON object a line on standard input, one verdict a line on standard output.
//!
//! The keys, the clock and the demands are all in the line; nothing else is looked at. A case that asks for something that this
//! crate does not do is answered `unsupported`, never guessed.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use scopegate::testing::{BareJudge, metadata_url, presented, read_metadata};
use scopegate::{
    AccessToken, Algorithm, Algorithms, Challenge, Credentials, Family, KeySet, Profile, Reason, Requirement,
    ScopePolicy, Secret, Timestamp,
};
use serde_json::{Map, Value, json};

/// What came of a case.
enum Verdict {
    Accept(Map<String, Value>),
    Reject { family: Option<Family>, detail: String },
    Unsupported(&'static str),
}

impl Verdict {
    fn accept(members: Value) -> Self {
        Self::Accept(if let Value::Object(members) = members { members } else { Map::new() })
    }

    fn because(detail: &(impl ToString + ?Sized)) -> Self {
        Self::Reject { family: None, detail: detail.to_string() }
    }
}

impl From<Reason> for Verdict {
    fn from(reason: Reason) -> Self {
        Self::Reject { family: Some(reason.family()), detail: reason.to_string() }
    }
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let case: Value = serde_json::from_str(&line)?;
        let mut answer = match judge(&case) {
            Verdict::Accept(mut members) => {
                members.insert("verdict".to_owned(), json!("accept"));
                members
            }
            Verdict::Reject { family, detail } => {
                let mut members = Map::new();
                members.insert("verdict".to_owned(), json!("reject"));
                members.insert("detail".to_owned(), json!(detail));
                if let Some(family) = family {
                    let (status, error) = outward(family);
                    members.insert("status".to_owned(), json!(status));
                    members.insert("error".to_owned(), json!(error));
                }
                members
            }
            Verdict::Unsupported(why) => {
                json!({"verdict": "unsupported", "detail": why}).as_object().cloned().unwrap_or_default()
            }
        };
        answer.insert("id".to_owned(), case.get("id").cloned().unwrap_or_default());
        writeln!(out, "{}", Value::Object(answer))?;
        out.flush()?;
    }
    Ok(())
}

fn outward(family: Family) -> (u16, Option<&'static str>) {
    match family {
        Family::NothingPresented => (401, None),
        Family::InvalidRequest => (400, Some("invalid_request")),
        Family::InvalidToken => (401, Some("invalid_token")),
        Family::InsufficientScope => (403, Some("insufficient_scope")),
        Family::Unavailable => (503, Some("upstream_error")),
        _ => (500, None),
    }
}

fn judge(case: &Value) -> Verdict {
    match case["kind"].as_str().unwrap_or_default() {
        "jws" => jws(case),
        "jwt" => jwt(case),
        "jwks" => jwks(case),
        "thumbprint" => match scopegate::thumbprint(case["jwk"].to_string().as_bytes()) {
            Ok(thumbprint) => Verdict::accept(json!({ "thumbprint": thumbprint })),
            Err(cause) => Verdict::because(&cause),
        },
        "introspection" => introspection(case),
        "bearer" => bearer(case),
        "challenge" => challenge(&case["input"]),
        "wellknown" => match metadata_url(text(&case["input"], "type"), text(&case["input"], "identifier")) {
            Ok(url) => Verdict::accept(json!({ "url": url })),
            Err(problem) => Verdict::because(&problem),
        },
        "metadata" => {
            let input = &case["input"];
            match read_metadata(text(input, "type"), text(input, "identifier"), text(case, "body").as_bytes()) {
                Ok(()) => Verdict::accept(json!({})),
                Err(problem) => Verdict::because(&problem),
            }
        }
        _ => Verdict::Unsupported("this kind of case is not part of the crate yet"),
    }
}

fn text<'v>(object: &'v Value, member: &str) -> &'v str {
    object[member].as_str().unwrap_or_default()
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn jws(case: &Value) -> Verdict {
    match bare_judge(case).verify(text(case, "token").as_bytes()) {
        Ok(payload) => Verdict::accept(json!({ "payload_sha256": sha256(&payload) })),
        Err(reason) => reason.into(),
    }
}

fn jwt(case: &Value) -> Verdict {
    let token = text(case, "token");
    let verdict = by_each_issuer(case, |judge, demand| match judge.judge(token.as_bytes(), demand) {
        Ok(accepted) => beyond_the_crate(&case["policy"], &accepted),
        Err(reason) => reason.into(),
    });
    if let Verdict::Accept(_) = verdict {
        let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        return Verdict::accept(json!({ "payload_sha256": sha256(&payload.unwrap_or_default()) }));
    }
    verdict
}

/// What an introspection endpoint answered.
fn introspection(case: &Value) -> Verdict {
    let given = &case["response"];
    by_each_issuer(case, |judge, demand| {
        let status = given["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        let mut response = Response::builder().status(status);
        if let Some(kind) = given["content_type"].as_str() {
            response = response.header(CONTENT_TYPE, kind);
        }
        let response = response.body(Bytes::from(text(given, "body").to_owned())).ok();
        match response.and_then(|response| judge.judge_answer(response, demand)) {
            Some(Ok(accepted)) => beyond_the_crate(&case["policy"], &accepted),
            Some(Err(reason)) => reason.into(),
            // It was never judged: the fault is the issuer's, or ours, and not the client's.
            None => {
                Verdict::Reject { family: Some(Family::Unavailable), detail: "the endpoint gave no answer".to_owned() }
            }
        }
    })
}

/// Judges by what the policy says. Where it names several issuers each is tried, and one acceptance will do.
fn by_each_issuer(case: &Value, judge: impl Fn(&BareJudge, &Requirement) -> Verdict) -> Verdict {
    let policy = &case["policy"];
    // A proof of possession is judged by a later part of the crate. Until then whatever is bound is refused, which is right
    // for every case but those that bring a proof.
    let with_proof = policy["mtls_x5t_s256"].is_string()
        || policy["client_cert_pem"].is_string()
        || policy["presented_as"].as_str().is_some_and(|scheme| scheme != "Bearer");
    if with_proof {
        return Verdict::Unsupported("proof of possession");
    }
    let demand = match strings(&policy["scopes"]) {
        scopes if scopes.is_empty() => ScopePolicy::none(),
        scopes => match ScopePolicy::all(scopes.iter().map(String::as_str)) {
            Ok(policy) => policy,
            Err(error) => return Verdict::because(&error),
        },
    };
    let demand = Requirement::from(demand);
    let bare = bare_judge(case);
    if policy["iss"].is_null() {
        return judge(&bare, &demand);
    }
    let mut verdict = Verdict::because("no issuer");
    for issuer in strings(&policy["iss"]) {
        verdict = judge(&bare.clone().issuer(&issuer), &demand);
        if matches!(verdict, Verdict::Accept(_)) {
            break;
        }
    }
    verdict
}

/// Demands that a program would make of an accepted token itself.
fn beyond_the_crate(policy: &Value, accepted: &AccessToken) -> Verdict {
    let claims: Map<String, Value> = match accepted.claims() {
        Ok(claims) => claims,
        Err(error) => return Verdict::because(&error),
    };
    let refused = |detail: &str| Verdict::Reject { family: Some(Family::InvalidToken), detail: detail.to_owned() };
    if strings(&policy["require"]).iter().any(|claim| claims.get(claim).is_none_or(Value::is_null)) {
        return refused("a required claim is absent");
    }
    if !policy["sub"].is_null() && !strings(&policy["sub"]).iter().any(|sub| accepted.subject() == Some(sub)) {
        return refused("another subject");
    }
    if let Some(oldest) = policy["max_iat_age"].as_i64() {
        let now = policy["now"].as_i64().unwrap_or_default();
        let leeway = policy["leeway"].as_i64().unwrap_or_default();
        if accepted.issued_at().is_none_or(|issued_at| now.saturating_sub(leeway).saturating_sub(issued_at) > oldest) {
            return refused("too old");
        }
    }
    Verdict::accept(json!({}))
}

/// The judge that a case asks for. Secrets count as an operator's only where the set holds nothing else: beside public keys they
/// are what no published set may hold, and are left out.
fn bare_judge(case: &Value) -> BareJudge {
    let policy = &case["policy"];
    let keys = case.pointer("/jwks/keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let secrets: Vec<_> = keys.iter().filter(|key| key["kty"] == "oct").collect();
    let judge = if secrets.is_empty() || secrets.len() < keys.len() {
        BareJudge::new(KeySet::from_json(case["jwks"].to_string().as_bytes()).unwrap_or_default())
    } else {
        // An operator whose settings hold a secret that cannot be read gets no validator at all.
        BareJudge::of_secrets(
            secrets.into_iter().map(secret).collect::<Option<Vec<_>>>().into_iter().flatten().flatten(),
        )
    };
    let algorithms = &policy["algs"];
    let judge = match algorithms.is_null() {
        true => judge,
        false => judge.algorithms(strings(algorithms).iter().filter_map(|name| Algorithm::from_name(name)).collect()),
    };
    let judge = if policy["aud"].is_null() { judge } else { judge.audiences(strings(&policy["aud"])) };
    let judge = if policy["profile"] == "rfc9068" { judge.profile(Profile::Rfc9068) } else { judge };
    let judge = match policy["typ"].as_str() {
        Some(typ) => judge.typ(typ),
        None => judge,
    };
    match policy["now"].as_i64() {
        Some(now) => {
            let leeway = Duration::from_secs(policy["leeway"].as_u64().unwrap_or_default());
            judge.at(Timestamp::new(now.saturating_mul(1000), Duration::ZERO), leeway)
        }
        None => judge,
    }
}

/// The secrets that an operator would give for this key, one an algorithm; `None` if it cannot be read.
fn secret(key: &Value) -> Option<Vec<Secret>> {
    let for_signatures = key.get("use").is_none_or(|usage| usage == "sig")
        && key.get("key_ops").is_none_or(|operations| strings(operations).iter().any(|name| name == "verify"));
    let octets = URL_SAFE_NO_PAD.decode(text(key, "k")).ok()?;
    let algorithms: Algorithms = match key.get("alg") {
        Some(alg) => alg.as_str().and_then(Algorithm::from_name).into_iter().collect(),
        None => [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512].into_iter().collect(),
    };
    let named = |secret: Secret| match key["kid"].as_str() {
        Some(kid) => secret.kid(kid),
        None => secret,
    };
    let usable = algorithms.iter().filter(|_| for_signatures);
    Some(usable.filter_map(|algorithm| Secret::new(algorithm, octets.clone()).ok().map(named)).collect())
}

fn jwks(case: &Value) -> Verdict {
    match KeySet::from_json(text(case, "jwks_text").as_bytes()) {
        Ok(set) if set.keys().is_empty() => {
            let causes: Vec<_> = set.left_out().iter().map(|entry| entry.cause.label()).collect();
            Verdict::because(&format!("no usable key: {causes:?}"))
        }
        Ok(_) => Verdict::accept(json!({})),
        Err(fault) => Verdict::because(&fault),
    }
}

fn bearer(case: &Value) -> Verdict {
    let (policy, request) = (&case["policy"], &case["request"]);
    if strings(&policy["schemes"]).iter().any(|scheme| scheme != "Bearer") {
        return Verdict::Unsupported("another scheme than Bearer");
    }
    let mut headers = HeaderMap::new();
    for field in request["headers"].as_array().into_iter().flatten() {
        let name = HeaderName::from_bytes(field[0].as_str().unwrap_or_default().as_bytes());
        let value = HeaderValue::from_bytes(field[1].as_str().unwrap_or_default().as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else {
            // No such field can be held by the `http` types: the server has answered 400 before anybody asks us.
            return Verdict::Reject { family: Some(Family::InvalidRequest), detail: "not a field of HTTP".to_owned() };
        };
        headers.append(name, value);
    }
    let transports = strings(&policy["transport"]);
    let takes = |transport: &str| transports.iter().any(|name| name == transport);
    let mut credentials = Credentials::from_headers(&headers);
    if takes("query") {
        let uri = text(request, "uri");
        credentials =
            credentials.and_query(uri.split('#').next().and_then(|uri| uri.split_once('?')).map(|(_, query)| query));
    }
    if takes("form") {
        let method = Method::from_bytes(text(request, "method").as_bytes()).unwrap_or_default();
        credentials = credentials.and_form(&method, &headers, text(request, "form").as_bytes());
    }
    match presented(&credentials) {
        Ok(token) => Verdict::accept(json!({ "token": String::from_utf8_lossy(&token) })),
        Err(reason) => reason.into(),
    }
}

fn challenge(input: &Value) -> Verdict {
    if strings(&input["schemes"]).iter().any(|scheme| scheme != "Bearer") || input["dpop_nonce"].is_string() {
        return Verdict::Unsupported("another scheme than Bearer");
    }
    let status = match input["error"].as_str() {
        None | Some("invalid_token") => 401,
        Some("invalid_request") => 400,
        Some("insufficient_scope") => 403,
        Some(_) => return Verdict::Unsupported("an error code that is not RFC 6750's"),
    };
    type Setter = fn(Challenge, &str) -> Challenge;
    let setters: [(&str, Setter); 6] = [
        ("realm", Challenge::realm),
        ("error", Challenge::error),
        ("error_description", Challenge::error_description),
        ("error_uri", Challenge::error_uri),
        ("scope", Challenge::scope),
        ("resource_metadata", Challenge::resource_metadata),
    ];
    let challenge = setters.into_iter().fold(Challenge::new(), |challenge, (member, set)| {
        input[member].as_str().map_or(challenge.clone(), |text| set(challenge, text))
    });
    let value = challenge.to_header_value();
    let field = value.to_str().unwrap_or_default();
    Verdict::accept(json!({ "status": status, "headers": [["WWW-Authenticate", field]] }))
}

fn sha256(octets: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

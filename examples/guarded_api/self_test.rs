//! The requests of the screen and more, sent by the program itself.

use std::net::SocketAddr;

use axum::http::Method;
use scopegate::testing::{Fault, TestIssuer};

use crate::Failure;
use crate::client::{self, Seen};
use crate::demo::Demo;
use crate::screen::Paint;

/// Sends every request, and tells whether every answer was as expected.
pub(crate) async fn run(listen: SocketAddr) -> Result<bool, Failure> {
    let demo = Demo::start(listen).await?;
    let mut tester = Tester { api: demo.listener.local_addr()?, paint: Paint::for_stdout(), sent: 0, failed: 0 };
    let tokens = Tokens::of(&demo)?;
    let Demo { issuer, url, listener, router } = demo;
    println!("{}    {url}\n{} {}\n", tester.paint.bold("API"), tester.paint.bold("issuer"), issuer.id());
    tokio::spawn(async { axum::serve(listener, router).await });

    tester.without_a_token().await?;
    tester.by_scope(&tokens).await?;
    tester.bad_credentials(&tokens).await?;
    tester.keys_asked_for(&issuer, 1);
    tester.after_a_rotation(&issuer, &tokens).await?;
    tester.issuer_in_trouble(&issuer).await?;

    let Tester { paint, sent, failed, .. } = tester;
    let sum = format!("{sent} answers, {failed} not as expected");
    println!("\n{}", if failed == 0 { paint.good(&sum) } else { paint.bad(&sum) });
    Ok(failed == 0)
}

/// Tokens of every kind, ready to be sent.
struct Tokens {
    read: String,
    write: String,
    plain: String,
    bad: Vec<(&'static str, String)>,
}

impl Tokens {
    fn of(demo: &Demo) -> Result<Self, Failure> {
        let write = || demo.token("things:read things:write");
        // Another issuer, as good as ours and not trusted, and a token of it that pretends to be ours.
        let stranger = TestIssuer::on_loopback()?.default_audience(&demo.url);
        let foreign = || stranger.token().scope("things:read things:write");
        Ok(Self {
            read: demo.token("things:read").mint(),
            write: write().mint(),
            plain: demo.token("").without("scope").mint(),
            bad: vec![
                ("an expired token", write().expired().mint()),
                ("a token that is not valid yet", write().not_yet_valid().mint()),
                ("a tampered token", write().tampered().mint()),
                ("a token without a signature", write().unsigned().mint()),
                ("a token signed by a stranger", write().signed_by_stranger().mint()),
                ("a token of a foreign issuer", foreign().mint()),
                ("a foreign token in our name", foreign().claim("iss", demo.issuer.id()).mint()),
                ("a token for another API", write().audience("https://other.example").mint()),
                ("an ID token of our issuer", write().id_token().mint()),
                ("no JWT at all", "not-a-token".to_owned()),
            ],
        })
    }
}

struct Tester {
    api: SocketAddr,
    paint: Paint,
    sent: u32,
    failed: u32,
}

impl Tester {
    async fn without_a_token(&mut self) -> Result<(), Failure> {
        self.expect("no token, open route", Method::GET, "/health", &[], "200", "well").await?;
        self.expect("no token", Method::GET, "/things", &[], NO_TOKEN, "needs a bearer token").await?;
        self.expect("no token, no body", Method::HEAD, "/things", &[], NO_TOKEN, "").await?;
        let write = r#"401 Bearer scope="things:write""#;
        self.expect("no token", Method::POST, "/things", &[], write, "needs a bearer token").await?;
        self.expect("no token, any will do", Method::GET, "/me", &[], "401 Bearer", "needs a bearer token").await?;
        let basic = ["Basic ZGVtbzpkZW1v".to_owned()];
        self.expect("another scheme", Method::GET, "/things", &basic, NO_TOKEN, "needs a bearer token").await
    }

    async fn by_scope(&mut self, tokens: &Tokens) -> Result<(), Failure> {
        let read = [bearer(&tokens.read)];
        self.expect("things:read", Method::GET, "/things", &read, "200", r#""things":0"#).await?;
        self.expect("things:read", Method::POST, "/things", &read, TOO_LITTLE, r#""error":"insufficient_scope""#).await?;
        self.expect("the refused POST made nothing", Method::GET, "/things", &read, "200", r#""things":0"#).await?;
        let write = [bearer(&tokens.write)];
        self.expect("things:write", Method::POST, "/things", &write, "201", r#""thing":1"#).await?;
        self.expect("the accepted POST made one", Method::GET, "/things", &read, "200", r#""things":1"#).await?;
        let claims = r#""scope":"things:read things:write""#;
        self.expect("the accepted claims", Method::GET, "/me", &write, "200", claims).await?;
        let plain = [bearer(&tokens.plain)];
        self.expect("no scope, none is needed", Method::GET, "/me", &plain, "200", r#""sub":"alice""#).await?;
        let read_scope = r#"403 Bearer error="insufficient_scope" scope="things:read""#;
        self.expect("no scope", Method::GET, "/things", &plain, read_scope, r#""error":"insufficient_scope""#).await
    }

    async fn bad_credentials(&mut self, tokens: &Tokens) -> Result<(), Failure> {
        for (what, token) in &tokens.bad {
            self.expect(what, Method::GET, "/things", &[bearer(token)], BAD_TOKEN, BAD_TOKEN_BODY).await?;
        }
        let bad_request = (r#"400 Bearer error="invalid_request""#, r#""error":"invalid_request""#);
        let twice = [bearer(&tokens.read), bearer(&tokens.write)];
        self.expect("two tokens", Method::GET, "/things", &twice, bad_request.0, bad_request.1).await?;
        let split = [format!("Bearer {} extra", tokens.read)];
        self.expect("a token and a word", Method::GET, "/things", &split, bad_request.0, bad_request.1).await?;
        let query = format!("/things?access_token={}", tokens.read);
        self.expect("a token in the URL only", Method::GET, &query, &[], NO_TOKEN, "needs a bearer token").await
    }

    /// The issuer withdraws its key and signs with another, of which the API learns by the first token that names it.
    async fn after_a_rotation(&mut self, issuer: &TestIssuer, tokens: &Tokens) -> Result<(), Failure> {
        issuer.rotate();
        let fresh = [bearer(&issuer.token().scope("things:read").mint())];
        self.expect("after rotation: a new token", Method::GET, "/things", &fresh, "200", r#""things":1"#).await?;
        self.expect("after rotation: it again", Method::GET, "/things", &fresh, "200", r#""things":1"#).await?;
        self.keys_asked_for(issuer, 2);
        let old = [bearer(&tokens.read)];
        self.expect("after rotation: an old token", Method::GET, "/things", &old, BAD_TOKEN, BAD_TOKEN_BODY).await
    }

    /// A token that nobody could judge is not a bad one: 503, and never 401.
    async fn issuer_in_trouble(&mut self, issuer: &TestIssuer) -> Result<(), Failure> {
        let known = [bearer(&issuer.token().scope("things:read").mint())];
        issuer.rotate();
        let unknown = [bearer(&issuer.token().scope("things:read").mint())];
        issuer.script(Fault::status(500));
        let (verdict, body) = ("503 Retry-After", "cannot be judged");
        self.expect("issuer down: a new key", Method::GET, "/things", &unknown, verdict, body).await?;
        self.expect("issuer down: a known key", Method::GET, "/things", &known, "200", r#""things":1"#).await
    }

    async fn expect(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        authorization: &[String],
        verdict: &str,
        body: &str,
    ) -> Result<(), Failure> {
        let seen = client::ask(self.api, &method, path, authorization).await?;
        let holds = seen.verdict == verdict && seen.body.contains(body) && !(body.is_empty() && !seen.body.is_empty());
        let path = path.split('?').next().unwrap_or_default();
        let expected = Seen { verdict: verdict.to_owned(), body: body.to_owned() };
        self.line(holds, &format!("{:<5}{path:<8} {what}", method.as_str()), &brief(&expected), &brief(&seen));
        Ok(())
    }

    /// That the keys came over HTTP, and how often.
    fn keys_asked_for(&mut self, issuer: &TestIssuer, times: u64) {
        let asked = issuer.requests().jwks;
        let (expected, seen) = (format!("{times} so far"), format!("{asked} so far"));
        self.line(asked == times, "     the API's requests for the issuer's keys", &expected, &seen);
    }

    fn line(&mut self, holds: bool, request: &str, expected: &str, seen: &str) {
        self.sent = self.sent.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(!holds));
        let mark = if holds { self.paint.good("ok  ") } else { self.paint.bad("FAIL") };
        println!("{mark} {request:<46} expected {expected}, {} {seen}", self.paint.faint("saw"));
    }
}

/// One line, and not a long one.
fn brief(seen: &Seen) -> String {
    let body: String = seen.body.trim_end().chars().take(100).flat_map(char::escape_default).collect();
    let body = body.replace("\\\"", "\"");
    if body.is_empty() { format!("{}, no body", seen.verdict) } else { format!("{}, {body}", seen.verdict) }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

const NO_TOKEN: &str = r#"401 Bearer scope="things:read""#;
const TOO_LITTLE: &str = r#"403 Bearer error="insufficient_scope" scope="things:write""#;
const BAD_TOKEN: &str = r#"401 Bearer error="invalid_token""#;
const BAD_TOKEN_BODY: &str = r#""error":"invalid_token""#;

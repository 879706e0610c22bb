//! The requests of the screen and more, sent by the program itself.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use axum::http::Method;
use scopegate::testing::{Fault, TestIssuer};

use crate::client;
use crate::demo::{self, Demo};
use crate::paint::Paint;
use crate::{Failure, api};

/// Sends every request, and tells whether every answer was as expected.
pub(crate) async fn run(listen: SocketAddr) -> Result<bool, Failure> {
    let demo = Demo::start(listen).await?;
    demo::warm_up(&demo.validator).await?;
    let tokens = Tokens::of(&demo)?;
    let Demo { issuer, url, validator, listener } = demo;
    let mut tester = Tester { api: listener.local_addr()?, paint: Paint::for_stdout(), lines: 0, failed: 0 };
    writeln!(io::stdout(), "API    {url}\nissuer {}\n", issuer.id())?;
    let router = api::router(&validator)?;
    tokio::spawn(async { axum::serve(listener, router).await });

    tester.without_a_token().await?;
    tester.by_scope(&tokens).await?;
    tester.bad_credentials(&tokens).await?;
    tester.after_a_rotation(&issuer, &tokens).await?;
    tester.without_keys().await?;

    let sum = format!("{} of {} as expected", tester.lines.saturating_sub(tester.failed), tester.lines);
    let paint = &tester.paint;
    writeln!(io::stdout(), "\n{}", if tester.failed == 0 { paint.good(&sum) } else { paint.bad(&sum) })?;
    Ok(tester.failed == 0)
}

/// Tokens of every kind, ready to be sent.
struct Tokens {
    read: String,
    write: String,
    without_scope: String,
    bad: Vec<(&'static str, String)>,
}

impl Tokens {
    fn of(demo: &Demo) -> Result<Self, Failure> {
        let write = || demo.token("things:read things:write");
        // Another issuer, as good as ours but not trusted.
        let stranger = TestIssuer::on_loopback()?.default_audience(&demo.url);
        let foreign = || stranger.token().scope("things:read things:write");
        Ok(Self {
            read: demo.token("things:read").mint(),
            write: write().mint(),
            without_scope: write().without("scope").mint(),
            bad: vec![
                ("an expired token", write().expired().mint()),
                ("a token that is not valid yet", write().not_yet_valid().mint()),
                ("a tampered token", write().tampered().mint()),
                ("a token without a signature", write().unsigned().mint()),
                ("a token signed by a stranger", write().signed_by_stranger().mint()),
                ("a foreign issuer's token", foreign().mint()),
                ("the same, in our issuer's name", foreign().claim("iss", demo.issuer.id()).mint()),
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
    lines: u32,
    failed: u32,
}

impl Tester {
    async fn without_a_token(&mut self) -> Result<(), Failure> {
        let nothing: &[String] = &[];
        self.expect("open to all", Method::GET, "/health", nothing, ("200", "well")).await?;
        self.expect("no token", Method::GET, "/things", nothing, NO_TOKEN).await?;
        self.expect("no token", Method::HEAD, "/things", nothing, (NO_TOKEN.0, "")).await?;
        let to_write = (r#"401 Bearer scope="things:write""#, NO_TOKEN.1);
        self.expect("no token", Method::POST, "/things", nothing, to_write).await?;
        self.expect("no token", Method::GET, "/me", nothing, ("401 Bearer", NO_TOKEN.1)).await?;
        let basic = ["Basic ZGVtbzpkZW1v".to_owned()];
        self.expect("another scheme", Method::GET, "/things", &basic, NO_TOKEN).await
    }

    async fn by_scope(&mut self, tokens: &Tokens) -> Result<(), Failure> {
        let read = [bearer(&tokens.read)];
        self.expect("with things:read", Method::GET, "/things", &read, ("200", r#""things":0"#)).await?;
        let to_write = (r#"403 Bearer error="insufficient_scope" scope="things:write""#, TOO_LITTLE);
        self.expect("with things:read", Method::POST, "/things", &read, to_write).await?;
        self.expect("the refused POST made nothing", Method::GET, "/things", &read, ("200", r#""things":0"#)).await?;
        let write = [bearer(&tokens.write)];
        self.expect("with things:write", Method::POST, "/things", &write, ("201", r#""thing":1"#)).await?;
        self.expect("the accepted one made one", Method::GET, "/things", &read, ("200", r#""things":1"#)).await?;
        let claims = ("200", r#""scope":"things:read things:write""#);
        self.expect("the accepted claims", Method::GET, "/me", &write, claims).await?;
        let without = [bearer(&tokens.without_scope)];
        self.expect("no scope, and none needed", Method::GET, "/me", &without, ("200", r#""sub":"alice""#)).await?;
        let to_read = (r#"403 Bearer error="insufficient_scope" scope="things:read""#, TOO_LITTLE);
        self.expect("no scope", Method::GET, "/things", &without, to_read).await
    }

    async fn bad_credentials(&mut self, tokens: &Tokens) -> Result<(), Failure> {
        for (what, token) in &tokens.bad {
            self.expect(what, Method::GET, "/things", &[bearer(token)], BAD_TOKEN).await?;
        }
        let unreadable = (r#"400 Bearer error="invalid_request""#, r#""error":"invalid_request""#);
        let two = [bearer(&tokens.read), bearer(&tokens.write)];
        self.expect("two tokens", Method::GET, "/things", &two, unreadable).await?;
        let split = [format!("Bearer {} more", tokens.read)];
        self.expect("a token and a word", Method::GET, "/things", &split, unreadable).await?;
        let query = format!("/things?access_token={}", tokens.read);
        self.expect("a good token, in the URL", Method::GET, &query, &[], NO_TOKEN).await
    }

    /// The issuer withdraws its key and signs with another, of which the API learns by the first token that names it. That is
    /// its third fetch: the second was for the forged signatures above, which might have been by a new key of the old name.
    async fn after_a_rotation(&mut self, issuer: &TestIssuer, tokens: &Tokens) -> Result<(), Failure> {
        self.keys_fetched(issuer, 2)?;
        issuer.rotate();
        let fresh = [bearer(&issuer.token().scope("things:read").mint())];
        self.expect("a new token after rotation", Method::GET, "/things", &fresh, ("200", r#""things":1"#)).await?;
        self.keys_fetched(issuer, 3)?;
        let old = [bearer(&tokens.read)];
        self.expect("an old token after rotation", Method::GET, "/things", &old, BAD_TOKEN).await
    }

    /// Another API, whose issuer is in trouble. A token that nobody could judge is not a bad one: 503, and never 401.
    async fn without_keys(&mut self) -> Result<(), Failure> {
        let Demo { issuer, validator, listener, .. } = Demo::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        issuer.script(Fault::status(500));
        self.api = listener.local_addr()?;
        let router = api::router(&validator)?;
        tokio::spawn(async { axum::serve(listener, router).await });
        let good = [bearer(&issuer.token().scope("things:read").mint())];
        let unjudged = ("503 Retry-After", r#""error":"temporarily_unavailable""#);
        self.expect("an issuer that cannot be asked", Method::GET, "/things", &good, unjudged).await
    }

    /// One request, and the verdict and a part of the body that are expected. An empty part stands for an empty body.
    async fn expect(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        authorization: &[String],
        (verdict, body): (&str, &str),
    ) -> Result<(), Failure> {
        let seen = client::ask(self.api, &method, path, authorization).await?;
        // The line shows what it is about: the body from the expected part on, or all of it where that is not there.
        let part = seen.body.find(body).and_then(|place| seen.body.get(place..));
        let part = part.filter(|part| part.is_empty() || !body.is_empty());
        let holds = part.is_some() && seen.verdict == verdict;
        let path = path.split('?').next().unwrap_or_default();
        let request = format!("{:<5}{path:<8} {what}", method.as_str());
        let seen = brief(&seen.verdict, part.unwrap_or(&seen.body), if holds { 40 } else { 300 });
        self.line(holds, &request, &brief(verdict, body, 60), &seen)
    }

    /// That the keys came over HTTP, and how often.
    fn keys_fetched(&mut self, issuer: &TestIssuer, times: u64) -> Result<(), Failure> {
        let asked = issuer.requests().jwks;
        let count = |times: u64| format!("{times} in all");
        self.line(asked == times, "     requests for the issuer's keys", &count(times), &count(asked))
    }

    fn line(&mut self, holds: bool, request: &str, expected: &str, seen: &str) -> Result<(), Failure> {
        self.lines = self.lines.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(!holds));
        let mark = if holds { self.paint.good("ok  ") } else { self.paint.bad("FAIL") };
        let [expects, saw] = ["expected", "saw"].map(|word| self.paint.faint(word));
        writeln!(io::stdout(), "{mark} {request:<45} {expects} {expected:<90} {saw} {seen}")?;
        Ok(())
    }
}

/// On one line, the body cut short.
fn brief(verdict: &str, body: &str, longest: usize) -> String {
    let body: String = body.trim_end().chars().take(longest).filter(|character| !character.is_control()).collect();
    if body.is_empty() { format!("{verdict}, no body") } else { format!("{verdict}, {body}") }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

const NO_TOKEN: (&str, &str) = (r#"401 Bearer scope="things:read""#, "needs a bearer token");
const BAD_TOKEN: (&str, &str) = (r#"401 Bearer error="invalid_token""#, r#""error":"invalid_token""#);
const TOO_LITTLE: &str = r#""error":"insufficient_scope""#;

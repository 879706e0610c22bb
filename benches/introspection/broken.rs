//! Rows I16 to I20: the way to the issuer, broken in every way, and JWTs judged beside it by the same validator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer};
use scopegate::{Credentials, Issuer, KeySet, PlainHttp, Reason, Validator};

use crate::measure::{AUDIENCE, token};
use crate::{Scale, asked, read};

const JWT_ISSUER: &str = "https://keys.issuer.test";
/// Who ask at a time, with a token each time that nobody has seen.
const CALLERS: usize = 16;
/// How long each waits between two calls: all together they ask 800 times a second at most, which a well issuer may be asked, and do not
/// compete with what is measured for the machine.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(scale: Scale) {
    // A question ends at its deadline; what is over it is the waking of a thread, which on a busy machine may be late.
    let (lasts, deadline, late) = match scale {
        Scale::Test => (Duration::from_millis(300), Duration::from_millis(200), Duration::from_secs(2)),
        Scale::Full => (Duration::from_secs(5), Duration::from_secs(2), Duration::from_millis(200)),
    };
    let (idle, well) = Bench::new(deadline).beside_idle(lasts);
    assert!(well.accepted > 0 && well.refused.is_empty(), "a well issuer's tokens are accepted");
    let rows: Vec<_> = ways()
        .into_iter()
        .map(|(name, fault)| {
            let bench = Bench::new(deadline);
            bench.issuer.script(fault.at(Endpoint::Introspection));
            let (idle, came) = bench.beside_idle(lasts);
            assert_eq!((came.accepted, came.inactive), (0, 0), "{name}");
            assert!(!came.refused.is_empty(), "{name}");
            (name, idle, came)
        })
        .collect();

    println!(
        "the way to the issuer broken, {lasts:?} each: {CALLERS} callers with tokens that nobody has seen; deadline {deadline:?}\n"
    );
    println!(
        "{:<34} {:>20} {:>10} {:>9} {:>9} {:>16}",
        "", "JWT p99 : idle", "JWT p99", "accepted", "inactive", "503, p99 after"
    );
    let line = |name: &str, idle: &Came, came: &Came| {
        let ratio = came.jwt_p99().as_secs_f64() / idle.jwt_p99().as_secs_f64();
        let unjudged = came.refused.len();
        println!(
            "{name:<34} {ratio:>20.2} {:>10.1?} {:>9} {:>9} {unjudged:>7}, {:>7.1?}",
            came.jwt_p99(),
            came.accepted,
            came.inactive,
            p99(&came.refused)
        );
    };
    line("a well issuer", &idle, &well);
    for (name, idle, came) in &rows {
        line(name, idle, came);
        assert!(p99(&came.refused) <= deadline + late, "{name}: {:?}", p99(&came.refused));
    }
    println!();
}

/// Rows I16, I17 and I20, and what else a wire does.
fn ways() -> Vec<(&'static str, Fault)> {
    let json =
        |status, body: &str| Fault::status(status).with_header("content-type", "application/json").with_body(body);
    vec![
        ("I16 401, our secret is wrong", json(401, r#"{"error":"invalid_client"}"#)),
        ("I16 403 in HTML", Fault::status(403).with_header("content-type", "text/html").with_body("<html></html>")),
        ("I17 400 unsupported_token_type", json(400, r#"{"error":"unsupported_token_type"}"#)),
        ("I17 500 with active true", json(500, r#"{"active":true,"scope":"things:read"}"#)),
        ("I17 429, Retry-After: 1", Fault::status(429).with_header("retry-after", "1")),
        ("I17 503, no Retry-After", Fault::status(503)),
        ("I17 no answer ever", Fault::hang()),
        ("I17 cut in the middle", Fault::truncated()),
        ("I17 HTML with 200", Fault::content_type("text/html").with_body("<html>log in</html>")),
        ("I17 empty with 200", Fault::body("")),
        ("I17 half a JSON document", Fault::body(r#"{"active":true"#)),
        ("I02 active is a string", Fault::body(r#"{"active":"false"}"#)),
        ("closed without an answer", Fault::disconnect()),
        ("reset", Fault::reset()),
        ("a redirect", Fault::redirect("https://elsewhere.test/introspect")),
        ("I34 a body without end", Fault::endless()),
        ("I20 takes ten seconds", Fault::delay(Duration::from_secs(10))),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Callers {
    None,
    Some,
}

struct Bench {
    issuer: TestIssuer,
    jwt: String,
    validator: Validator,
}

/// What came of one way.
#[derive(Default)]
struct Came {
    accepted: usize,
    inactive: usize,
    /// How long each caller waited for his 503.
    refused: Vec<Duration>,
    jwt: Vec<Duration>,
}

impl Came {
    fn jwt_p99(&self) -> Duration {
        p99(&self.jwt)
    }
}

fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
}

impl Bench {
    /// One validator, two issuers: one by its keys, one that is asked over real sockets.
    fn new(deadline: Duration) -> Self {
        let signs = TestIssuer::new(JWT_ISSUER);
        let issuer = TestIssuer::on_loopback().unwrap().default_audience(AUDIENCE);
        let keys = KeySet::from_json(signs.jwks().as_bytes()).unwrap();
        let opaque = Issuer::introspect(issuer.id(), asked(&issuer).deadline(deadline));
        let validator = Validator::builder(AUDIENCE)
            .trust(Issuer::keys(JWT_ISSUER, keys))
            .trust(opaque.plain_http(PlainHttp::OnLoopback))
            .build()
            .unwrap();
        let jwt = token(&signs, scopegate::Algorithm::Es256).mint();
        Self { issuer, jwt, validator }
    }

    /// While nobody asks, and right after it while they do: a machine whose speed drifts is much the same for both.
    fn beside_idle(&self, lasts: Duration) -> (Came, Came) {
        (self.measure(Callers::None, lasts / 2), self.measure(Callers::Some, lasts))
    }

    fn measure(&self, callers: Callers, lasts: Duration) -> Came {
        let is_over = AtomicBool::new(false);
        let number = if callers == Callers::None { 0 } else { CALLERS };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..number).map(|_| scope.spawn(|| self.call(&is_over))).collect();
            let mut came = Came { jwt: self.check_jwts(lasts), ..Came::default() };
            is_over.store(true, Ordering::Relaxed);
            for caller in callers {
                let theirs = caller.join().unwrap();
                came.accepted += theirs.accepted;
                came.inactive += theirs.inactive;
                came.refused.extend(theirs.refused);
            }
            came
        })
    }

    fn call(&self, is_over: &AtomicBool) -> Came {
        let mut came = Came::default();
        while !is_over.load(Ordering::Relaxed) {
            let token = self.issuer.token().scope("things:read").mint_opaque();
            let began = Instant::now();
            match block_on(self.validator.validate(&Credentials::bearer(&token), &read())) {
                Ok(_) => came.accepted += 1,
                Err(rejection) => match rejection.reason() {
                    Reason::IntrospectionUnavailable => came.refused.push(began.elapsed()),
                    _ => came.inactive += 1,
                },
            }
            thread::sleep(PAUSE);
        }
        came
    }

    /// How long each check of a JWT took, a thousand or so a second.
    fn check_jwts(&self, lasts: Duration) -> Vec<Duration> {
        let (began, demand) = (Instant::now(), read());
        let mut times = Vec::new();
        while began.elapsed() < lasts {
            let start = Instant::now();
            let judged = self.validator.check(&Credentials::bearer(&self.jwt), &demand);
            times.push(start.elapsed());
            assert!(judged.is_ok(), "a JWT is judged whatever happens beside it");
            thread::sleep(Duration::from_millis(1));
        }
        times
    }
}

//! Rows I16 to I20: the way to the issuer, broken in every way, and JWTs judged beside it by the same validator.
//!
//! The keys of the JWTs are fetched, so that one thread serves both issuers. In each round JWTs are checked while nobody asks, and right
//! after it while callers ask, so that a machine whose speed drifts is much the same for both; a round says how much slower the slowest
//! hundredth was. Callers and their threads also use the machine's cores, which slows whatever runs beside them and is no fault of a lock:
//! so it is said too by how much the time grew for which the thread ran, and how often it slept. A check that waits for a lock sleeps; one
//! whose core was taken does not. After the checks, while the callers go on, the keys are fetched anew: that shows the one thread. And the
//! worst way is measured once more with callers who ask another validator: what is left of it then is the machine's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer};
use scopegate::{Credentials, Issuer, PlainHttp, Reason, Validator};

use crate::measure::ratio::{Ratio, median};
use crate::measure::{AUDIENCE, token};
use crate::{Scale, asked, cpu_time, read};

/// Who ask at a time, with a token each time that nobody has seen.
const CALLERS: usize = 16;
/// How long each waits between two calls: all together they ask 800 times a second at most, which a well issuer may be asked.
const PAUSE: Duration = Duration::from_millis(20);
/// So long the callers have been at it before anything is measured.
const SETTLE: Duration = Duration::from_millis(20);

/// How much of it.
struct Size {
    rounds: usize,
    /// Each half of a round.
    lasts: Duration,
    deadline: Duration,
    /// What is over a deadline is the waking of a thread, which on a busy machine may be late.
    late: Duration,
}

pub(crate) fn run(scale: Scale) {
    let slept = cpu_time::sleeps_of_this_thread();
    thread::sleep(Duration::from_millis(1));
    assert!(cpu_time::sleeps_of_this_thread() > slept, "the system counts how often a thread sleeps");
    let size = match scale {
        Scale::Test => Size {
            rounds: 1,
            lasts: Duration::from_millis(30),
            deadline: Duration::from_millis(150),
            late: Duration::from_secs(2),
        },
        Scale::Full => Size {
            rounds: 15,
            lasts: Duration::from_millis(100),
            deadline: Duration::from_millis(500),
            late: Duration::from_millis(200),
        },
    };
    println!(
        "the way to the issuer broken, {} rounds of {:?} idle and {:?} with {CALLERS} callers, whose tokens nobody has seen",
        size.rounds, size.lasts, size.lasts
    );
    println!(
        "JWT p99 : idle, the ratio of the medians of all rounds (the quartiles of the rounds' own ratios); deadline {:?}\n",
        size.deadline
    );
    println!(
        "{:<32} {:<10} {:>20} {:>20} {:>9} {:>6} {:>20} {:>8} {:>8} {:>16}",
        "",
        "signatures",
        "by the clock",
        "by its own time",
        "JWT p99",
        "slept",
        "keys anew : idle",
        "accepted",
        "inactive",
        "503, p99 after"
    );
    let mut all = Vec::new();
    for (name, fault) in [("a well issuer", None)].into_iter().chain(ways().map(|(name, fault)| (name, Some(fault)))) {
        for memory in [Memory::Off, Memory::On] {
            let bench = Bench::new(&size, memory, fault.as_ref());
            let rounds = (0..size.rounds).map(|_| bench.round(&bench, size.lasts)).collect();
            let row = Row { name, memory, fault: fault.clone(), rounds };
            row.hold(&size);
            row.print();
            all.push(row);
        }
    }
    println!();
    for memory in [Memory::Off, Memory::On] {
        sum_up(memory, all.iter().filter(|row| row.memory == memory).collect(), &size);
    }
    println!();
}

fn sum_up(memory: Memory, mut rows: Vec<&Row>, size: &Size) {
    rows.sort_by(|one, other| one.by_clock().ratio.total_cmp(&other.by_clock().ratio));
    let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    println!(
        "signatures {}: JWT p99 : idle over {} ways {:.2} by the clock, {:.2} by its own time; slept {} times",
        memory.name(),
        rows.len(),
        median(rows.iter().map(|row| row.by_clock().ratio)),
        median(rows.iter().map(|row| row.by_own_time().ratio)),
        rows.iter().map(|row| row.slept()).sum::<u64>(),
    );
    println!(
        "    quartiles above 1: {} by the clock, {} by its own time",
        count(|row| row.by_clock().low > 1.0),
        count(|row| row.by_own_time().low > 1.0)
    );
    let worst = rows.last().unwrap();
    let [bench, other] = [(); 2].map(|()| Bench::new(size, memory, worst.fault.as_ref()));
    let apart = Row {
        name: worst.name,
        memory,
        fault: worst.fault.clone(),
        rounds: (0..size.rounds).map(|_| bench.round(&other, size.lasts)).collect(),
    };
    for (whose, row) in [("this validator", *worst), ("another", &apart)] {
        println!(
            "    the worst, {}, callers at {whose}: {} by the clock, {} by its own time",
            row.name,
            row.by_clock(),
            row.by_own_time()
        );
    }
}

/// Rows I16, I17 and I20, and what else a wire does.
fn ways() -> impl Iterator<Item = (&'static str, Fault)> {
    let json =
        |status, body: &str| Fault::status(status).with_header("content-type", "application/json").with_body(body);
    [
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
    .into_iter()
}

/// Whether the validator remembers that a signature held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Each is verified each time.
    Off,
    On,
}

impl Memory {
    const fn name(self) -> &'static str {
        match self {
            Self::Off => "verified",
            Self::On => "remembered",
        }
    }
}

/// One way, one validator.
struct Row {
    name: &'static str,
    memory: Memory,
    fault: Option<Fault>,
    rounds: Vec<(Came, Came)>,
}

impl Row {
    fn ratio(&self, of: impl Fn(&Came) -> Duration) -> Ratio {
        let (idle, busy): (Vec<_>, Vec<_>) =
            self.rounds.iter().map(|(idle, busy)| (of(idle).as_secs_f64(), of(busy).as_secs_f64())).unzip();
        Ratio::of(&busy, &idle)
    }

    fn by_clock(&self) -> Ratio {
        self.ratio(|came| came.jwt.by_clock)
    }

    fn by_own_time(&self) -> Ratio {
        self.ratio(|came| came.jwt.by_own_time)
    }

    fn slept(&self) -> u64 {
        self.rounds.iter().map(|(_, busy)| busy.jwt.slept).sum()
    }

    fn sum(&self, of: impl Fn(&Came) -> usize) -> usize {
        self.rounds.iter().map(|(_, busy)| of(busy)).sum()
    }

    fn unjudged_p99(&self) -> Duration {
        p99(self.rounds.iter().flat_map(|(_, busy)| busy.refused.iter().copied()).collect())
    }

    /// What must be so whatever the machine does.
    fn hold(&self, size: &Size) {
        let (accepted, inactive) = (self.sum(|came| came.accepted), self.sum(|came| came.inactive));
        let unjudged = self.sum(|came| came.refused.len());
        if self.fault.is_some() {
            assert!((accepted, inactive) == (0, 0) && unjudged > 0, "{}: {accepted} {inactive}", self.name);
        } else {
            assert!(accepted > 0 && (inactive, unjudged) == (0, 0), "a well issuer's tokens are accepted");
        }
        assert!(self.unjudged_p99() <= size.deadline + size.late, "{}: {:?}", self.name, self.unjudged_p99());
    }

    fn print(&self) {
        let jwt = median(self.rounds.iter().map(|(_, busy)| busy.jwt.by_clock.as_secs_f64()));
        println!(
            "{:<32} {:<10} {:>20} {:>20} {:>9.1?} {:>6} {:>20} {:>8} {:>8} {:>7}, {:>7.1?}",
            self.name,
            self.memory.name(),
            self.by_clock(),
            self.by_own_time(),
            Duration::from_secs_f64(jwt),
            self.slept(),
            self.ratio(|came| came.keys_anew),
            self.sum(|came| came.accepted),
            self.sum(|came| came.inactive),
            self.sum(|came| came.refused.len()),
            self.unjudged_p99(),
        );
    }
}

struct Bench {
    issuer: TestIssuer,
    /// Whose keys are fetched.
    _signs: TestIssuer,
    jwt: String,
    validator: Validator,
}

/// What came of half a round.
#[derive(Default)]
struct Came {
    accepted: usize,
    inactive: usize,
    /// How long each caller waited for his 503.
    refused: Vec<Duration>,
    jwt: Jwts,
    /// How long it took to fetch the keys once more.
    keys_anew: Duration,
}

/// The slowest hundredth of the checks of a JWT.
#[derive(Default)]
struct Jwts {
    by_clock: Duration,
    /// For so long the thread ran.
    by_own_time: Duration,
    slept: u64,
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

impl Bench {
    /// One validator, two issuers: one by its keys, one that is asked, and both over real sockets.
    fn new(size: &Size, memory: Memory, fault: Option<&Fault>) -> Self {
        let (signs, issuer) = (TestIssuer::on_loopback().unwrap(), TestIssuer::on_loopback().unwrap());
        let issuer = issuer.default_audience(AUDIENCE);
        let opaque = Issuer::introspect(issuer.id(), asked(&issuer).deadline(size.deadline));
        let builder = Validator::builder(AUDIENCE)
            .trust(Issuer::discover(signs.id()).plain_http(PlainHttp::OnLoopback))
            .trust(opaque.plain_http(PlainHttp::OnLoopback));
        let builder = if memory == Memory::Off { builder.remember_signatures(Duration::ZERO) } else { builder };
        let validator = builder.build().unwrap();
        let jwt = token(&signs, scopegate::Algorithm::Es256).lifetime(Duration::from_secs(3600)).mint();
        block_on(validator.warm_up()).unwrap();
        assert_eq!(signs.requests().jwks, 1, "the keys were fetched");
        if let Some(fault) = fault {
            issuer.script(fault.clone().at(Endpoint::Introspection));
        }
        Self { issuer, _signs: signs, jwt, validator }
    }

    /// While nobody asks, and right after it while callers ask this very validator or another.
    fn round(&self, asked: &Self, lasts: Duration) -> (Came, Came) {
        (self.measure(None, lasts), self.measure(Some(asked), lasts))
    }

    fn measure(&self, asked: Option<&Self>, lasts: Duration) -> Came {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let callers = asked.iter().flat_map(|asked| (0..CALLERS).map(|_| scope.spawn(|| asked.call(&is_over))));
            let callers: Vec<_> = callers.collect();
            thread::sleep(SETTLE);
            let (jwt, began) = (self.check_jwts(lasts), Instant::now());
            block_on(self.validator.refresh_now()).unwrap();
            let mut came = Came { jwt, keys_anew: began.elapsed(), ..Came::default() };
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

    /// One check after the other.
    fn check_jwts(&self, lasts: Duration) -> Jwts {
        let demand = read();
        // Room for all of them, so that nothing is waited for but the check.
        let (mut by_clock, mut by_own_time) = (Vec::with_capacity(1 << 19), Vec::with_capacity(1 << 19));
        let (began, slept) = (Instant::now(), cpu_time::sleeps_of_this_thread());
        while began.elapsed() < lasts && by_clock.len() < by_clock.capacity() {
            let (ran, start) = (cpu_time::of_this_thread(), Instant::now());
            let judged = self.validator.check(&Credentials::bearer(&self.jwt), &demand);
            by_clock.push(start.elapsed());
            by_own_time.push(cpu_time::of_this_thread() - ran);
            assert!(judged.is_ok(), "a JWT is judged whatever happens beside it");
        }
        let slept = cpu_time::sleeps_of_this_thread() - slept;
        Jwts { by_clock: p99(by_clock), by_own_time: p99(by_own_time), slept }
    }
}

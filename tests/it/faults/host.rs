//! The program around the validator misbehaves: its runtime, its threads, its callbacks, its processes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use scopegate::testing::{FaultProxy, TestClock, TestIssuer};
use scopegate::{
    Algorithm, Clock, Credentials, Event, Issuer, Judged, Observe, PlainHttp, Tenants, Timestamp, Validator,
};

use super::*;
use crate::rotation::{API, issuer, read};

#[test]
fn fault_row_29_a_starved_runtime_of_the_program_delays_nothing() {
    let world = World::warm();
    let old = world.lasting_token();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (released, busy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..2 {
        let (released, busy) = (Arc::clone(&released), Arc::clone(&busy));
        runtime.spawn(async move {
            busy.fetch_add(1, Ordering::SeqCst);
            while !released.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        });
    }
    soon("every worker is busy", || busy.load(Ordering::SeqCst) == 2);
    let forged = world.token().signed_by_stranger().lifetime(seconds(7200)).mint();
    for _ in 0..100 {
        assert!(world.check(&old).is_ok());
        assert_eq!(refused(world.check(&forged)), Reason::BadSignature);
    }
    world.issuer.rotate();
    world.clock.advance(seconds(270));
    soon("keys are renewed meanwhile", || world.check(&world.token().mint()).is_ok() && world.check(&old).is_err());
    assert_eq!(busy.load(Ordering::SeqCst), 2);
    released.store(true, Ordering::SeqCst);
}

/// Names are resolved on blocking threads, and not on those of the program.
#[test]
fn row_f23_fault_row_30_a_program_without_a_free_blocking_thread_delays_nothing() {
    let proxy = FaultProxy::start().unwrap();
    let identifier = proxy.url().replace("127.0.0.1", "localhost");
    let issuer = TestIssuer::on_loopback_as(&identifier, [Algorithm::Es256]).unwrap().default_audience(API);
    proxy.forward_to(issuer.address().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let (is_held, release) = (Arc::new(AtomicBool::new(false)), std::sync::mpsc::channel::<()>());
    let held = Arc::clone(&is_held);
    runtime.spawn_blocking(move || {
        held.store(true, Ordering::SeqCst);
        let _ = release.1.recv();
    });
    soon("the only thread is busy", || is_held.load(Ordering::SeqCst));
    let trusted = Issuer::discover(&identifier).plain_http(PlainHttp::OnLoopback);
    let validator = Validator::builder(API).trust(trusted).build().unwrap();
    let (demand, validate) = (read(), |token: String| {
        let (validator, demand) = (validator.clone(), read());
        runtime.block_on(async move { validator.validate(&Credentials::bearer(&token), &demand).await })
    });
    assert!(validate(issuer.token().scope("read").mint()).is_ok(), "F23 the first keys");
    issuer.rotate();
    let new = issuer.token().scope("read").mint();
    assert!(validate(new.clone()).is_ok(), "F23 a new key");
    assert!(validator.check(&Credentials::bearer(&new), &demand).is_ok());
    drop(release.0);
}

/// Panics whenever it is told anything.
#[derive(Debug, Default)]
struct Tantrum {
    judged: AtomicUsize,
    happened: AtomicUsize,
}

impl Observe for Tantrum {
    fn judged(&self, _: &Judged<'_>) {
        self.judged.fetch_add(1, Ordering::SeqCst);
        panic!("this panic belongs to the test");
    }

    fn happened(&self, _: &Event) {
        self.happened.fetch_add(1, Ordering::SeqCst);
        panic!("this panic belongs to the test");
    }
}

#[test]
fn fault_row_33_a_listener_that_panics_changes_nothing() {
    let mut world = World::new();
    let tantrum = Arc::new(Tantrum::default());
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(world.issuer.fetch());
    world.validator = builder.clock(world.clock.clone()).observe(Arc::<Tantrum>::clone(&tantrum) as _).build().unwrap();
    assert!(block_on(world.validate(&world.token().mint())).is_ok());
    world.issuer.rotate();
    assert!(block_on(world.validate(&world.token().mint())).is_ok());
    assert_eq!(refused(world.check(&world.token().expired().mint())), Reason::Expired);
    assert_eq!(tantrum.judged.load(Ordering::SeqCst), 3);
    // Both fetches begin and end, and twice the keys change.
    soon("it is told everything all the same", || tantrum.happened.load(Ordering::SeqCst) >= 6);
}

#[test]
fn fault_row_33_a_resolver_that_panics_is_asked_again() {
    let clock = TestClock::at(1_800_000_000);
    let tenant = issuer(A, &clock);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let tenants = Tenants::at_most(2, move |name| {
        assert!(count.fetch_add(1, Ordering::SeqCst) > 0, "this panic belongs to the test");
        Some(Issuer::discover(name))
    });
    let builder = Validator::builder(API).trust_each(tenants).fetch(tenant.fetch()).clock(clock.clone());
    let validator = builder.build().unwrap();
    let token = tenant.token().scope("read").mint();
    let validate = || block_on(validator.validate(&Credentials::bearer(&token), &read()));
    assert_eq!(refused(validate()), Reason::KeysUnavailable);
    clock.advance(seconds(5));
    assert!(validate().is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// A clock that panics once, on the thread that fetches.
#[derive(Clone, Debug)]
struct Broken {
    clock: TestClock,
    breaks: Arc<AtomicBool>,
}

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        if std::thread::current().name() == Some("scopegate-wire") && self.breaks.swap(false, Ordering::SeqCst) {
            panic!("this panic belongs to the test");
        }
        self.clock.now()
    }
}

#[test]
fn fault_row_33_a_clock_that_panics_costs_the_thread_and_the_next_trigger_starts_another() {
    let mut world = World::new();
    let broken = Broken { clock: world.clock.clone(), breaks: Arc::default() };
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(world.issuer.fetch());
    world.validator = builder.clock(broken.clone()).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let token = world.lasting_token();
    broken.breaks.store(true, Ordering::SeqCst);
    world.issuer.rotate();
    let new = world.token().mint();
    soon("the thread panics", || {
        assert!(world.check(&new).is_err() && world.check(&token).is_ok());
        !broken.breaks.load(Ordering::SeqCst)
    });
    soon("the next trigger finds the key", || world.check(&new).is_ok());
    assert_eq!(refused(block_on(world.validate(&token))), Reason::UnknownKey);
}

/// What a child process that was forked off can do: everything, with a thread of its own.
#[cfg(unix)]
#[test]
fn row_s19_fault_row_34_a_forked_child_checks_and_fetches() {
    // The operating system's clock: one of ours has a lock, which the other thread could hold at the fork.
    let issuer = TestIssuer::new(A).default_audience(API);
    let builder = Validator::builder(API).trust(Issuer::jwks(A, issuer.jwks_uri())).fetch(issuer.fetch());
    let validator = builder.build().unwrap();
    block_on(validator.warm_up()).unwrap();
    let demand = read();
    let known = issuer.token().scope("read").mint();
    issuer.rotate();
    let new = issuer.token().scope("read").mint();
    let accepts = |token: &str| validator.check(&Credentials::bearer(token), &demand).is_ok();
    assert!(accepts(&known));

    let code = super::fork::in_a_child(|| {
        let right = (0..10_000).filter(|_| accepts(&known)).count();
        let is_found = (0..2_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            accepts(&new)
        });
        i32::from(right != 10_000) + 2 * i32::from(!is_found)
    });
    assert_eq!(code, 0, "1: a wrong verdict, 2: no fetch");
}

/// A listener that does not come back before it is let go.
#[derive(Debug, Default)]
struct Stuck {
    free: Mutex<bool>,
    freed: Condvar,
    lost: AtomicUsize,
    heard: AtomicUsize,
}

impl Observe for Stuck {
    fn happened(&self, event: &Event) {
        let free = self.free.lock().unwrap();
        drop(self.freed.wait_while(free, |free| !*free).unwrap());
        if let Event::Lost { events } = event {
            self.lost.fetch_add(usize::try_from(*events).unwrap(), Ordering::SeqCst);
        } else {
            self.heard.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn fault_row_40_a_log_that_blocks_holds_up_neither_checks_nor_keys() {
    let mut world = World::new();
    let stuck = Arc::new(Stuck::default());
    let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri())).fetch(world.issuer.fetch());
    world.validator = builder.clock(world.clock.clone()).observe(Arc::<Stuck>::clone(&stuck) as _).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    // Twice as many events as may wait.
    for _ in 0..1_024 {
        block_on(world.validator.refresh_now()).unwrap();
    }
    world.issuer.rotate();
    assert!(block_on(world.validate(&world.token().mint())).is_ok());
    assert_eq!((stuck.heard.load(Ordering::SeqCst), world.asked()), (0, (0, 1_026)));
    *stuck.free.lock().unwrap() = true;
    stuck.freed.notify_all();
    soon("what was heard late is heard", || stuck.heard.load(Ordering::SeqCst) >= 1_024);
    block_on(world.validator.refresh_now()).unwrap();
    soon("what was lost is counted", || stuck.lost.load(Ordering::SeqCst) >= 1_000);
}

#[test]
fn row_s10_fault_row_38_of_fifty_issuers_a_broken_one_disturbs_no_other() {
    let clock = TestClock::at(1_800_000_000);
    let names: Vec<String> = (0..50).map(|number| format!("https://issuer-{number}.example.test")).collect();
    let issuers: Vec<TestIssuer> = names.iter().map(|name| issuer(name, &clock)).collect();
    let builder = issuers
        .iter()
        .fold(Validator::builder(API), |builder, issuer| builder.trust(Issuer::jwks(issuer.id(), issuer.jwks_uri())));
    let validator = builder.fetch(TestIssuer::fetch_from(&issuers)).clock(clock.clone()).build().unwrap();
    issuers[17].script(Fault::hang());
    for (number, issuer) in issuers.iter().enumerate().filter(|(number, _)| *number != 17) {
        let token = issuer.token().scope("read").mint();
        assert!(block_on(validator.validate(&Credentials::bearer(&token), &read())).is_ok(), "issuer {number}");
        assert_eq!(issuer.requests().jwks, 1, "issuer {number}");
    }
    // A flood at one issuer spends the budget of that one.
    clock.advance(seconds(60));
    for number in 0..100 {
        let unknown = issuers[3].token().scope("read").header("kid", format!("unknown-{number}")).mint();
        assert!(block_on(validator.validate(&Credentials::bearer(&unknown), &read())).is_err());
    }
    assert!((2..=3).contains(&issuers[3].requests().jwks), "{:?}", issuers[3].requests());
    issuers[4].rotate();
    let new = issuers[4].token().scope("read").mint();
    assert!(block_on(validator.validate(&Credentials::bearer(&new), &read())).is_ok());
    assert!(!validator.is_ready(), "the broken one is told");
}

/// Scaled down from 10,000, of which `examples/soak` counts threads, sockets and memory.
#[test]
fn row_s26_fault_row_37_of_validators_that_were_dropped_nothing_is_left() {
    let clock = TestClock::at(1_800_000_000);
    let tenant = issuer(A, &clock);
    let way = tenant.fetch();
    let before = Arc::strong_count(&way);
    for _ in 0..200 {
        let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::clone(&way)).clock(clock.clone());
        block_on(builder.build().unwrap().warm_up()).unwrap();
    }
    soon("every thread has let go of the way out", || Arc::strong_count(&way) == before);
}

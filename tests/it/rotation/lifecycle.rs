//! The thread that fetches: when it begins and ends, who may stop waiting, and under which executors it serves.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use scopegate::{Fetch, FetchLimits, Fetching, PlainHttp};

use super::*;

/// A way out that leaves something on the thread that uses it, which says when the thread has ended.
#[derive(Debug)]
struct Watched {
    way: Arc<dyn Fetch>,
    thread: Arc<Mutex<Option<String>>>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct LastWords(Arc<AtomicBool>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

impl Fetch for Watched {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        *self.thread.lock().unwrap() = std::thread::current().name().map(str::to_owned);
        LAST_WORDS.with_borrow_mut(|words| {
            words.get_or_insert_with(|| LastWords(Arc::clone(&self.ended)));
        });
        self.way.fetch(request, limits)
    }
}

impl World {
    /// A cold world, and the news of its thread.
    fn watched() -> (Self, Arc<Watched>) {
        let mut world = Self::new();
        let (thread, ended) = (Arc::default(), Arc::default());
        let watched = Arc::new(Watched { way: world.issuer.fetch(), thread, ended });
        let builder = Validator::builder(API).trust(Issuer::discover(A)).clock(world.clock.clone());
        world.validator = builder.fetch(watched.clone()).build().unwrap();
        (world, watched)
    }
}

impl Watched {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

#[test]
fn the_thread_ends_with_the_last_validator() {
    let (world, watched) = World::watched();
    let layer = world.validator.require(ScopePolicy::none());
    block_on(world.validator.warm_up()).unwrap();
    assert_eq!(watched.thread.lock().unwrap().as_deref(), Some("scopegate-wire"));
    let clone = world.validator.clone();
    drop(world);
    let World { issuer, .. } = World::new();
    let token = issuer.token().mint();
    assert!(clone.check(&Credentials::bearer(&token), &read()).is_err());
    block_on(clone.warm_up()).unwrap();
    assert!(!watched.has_ended(), "a clone keeps it");
    drop(clone);
    std::thread::yield_now();
    assert!(!watched.has_ended(), "a layer keeps it");
    drop(layer);
    soon("the thread ends", || watched.has_ended());
    soon("and lets go of all it had", || Arc::strong_count(&watched) == 1);
}

#[test]
fn nobody_waits_for_the_thread_to_end_though_a_fetch_hangs() {
    let (world, watched) = World::watched();
    world.issuer.script(Fault::hang());
    unjudged(world.check(&world.token().mint()));
    soon("the issuer is asked", || world.asked() == (1, 0));
    // A drop that waited for the fetch would wait for ever, since no clock is turned.
    let dropping = std::thread::spawn(move || drop(world));
    soon("the drop is over", || dropping.is_finished());
    dropping.join().unwrap();
    soon("the thread ends", || watched.has_ended());
}

#[test]
fn no_thread_begins_before_something_is_needed() {
    let (world, watched) = World::watched();
    assert!(world.check("not.a.token").is_err());
    assert!(world.check(&world.token().expired().mint()).is_err());
    drop(world);
    assert_eq!(Arc::strong_count(&watched), 1, "nobody else had it");
    assert_eq!(*watched.thread.lock().unwrap(), None);
}

#[test]
fn row_s14_fault_row_32_who_stops_waiting_harms_nobody() {
    let world = World::new();
    world.issuer.script(Fault::delay(seconds(1)).at(Endpoint::Jwks).times(1));
    let token = world.token().mint();
    let call = || -> Pin<Box<dyn Future<Output = _> + '_>> { Box::pin(world.validate(&token)) };
    let mut first = call();
    assert!(waits(&mut first));
    soon("S14 the keys are asked for", || world.asked() == (1, 1));
    let (mut second, mut third, unpolled) = (call(), call(), call());
    assert!(waits(&mut second) && waits(&mut third));
    // The one that caused the fetch goes, one that joined it, and one that never began.
    drop((first, second, unpolled));
    world.keys_arrive();
    assert!(block_on(third).is_ok(), "S14 the fetch goes on for the others");
    assert_eq!(world.asked(), (1, 1), "S14 nothing is fetched again");
}

#[test]
fn row_s14_fault_row_32_a_fetch_that_nobody_waits_for_is_finished_all_the_same() {
    let world = World::new();
    world.issuer.script(Fault::delay(seconds(1)).at(Endpoint::Jwks).times(1));
    let token = world.token().mint();
    let mut only: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&token));
    assert!(waits(&mut only));
    soon("S14 the keys are asked for", || world.asked() == (1, 1));
    drop(only);
    world.keys_arrive();
    soon("S14 the keys are there", || world.check(&token).is_ok());
    assert_eq!(world.asked(), (1, 1));
}

/// A future that is neither polled on nor dropped is a client that stalls. It must not stand in anybody's way.
#[test]
fn row_s14_fault_row_32_thousands_that_stall_hold_up_nobody() {
    let world = World::new();
    world.issuer.script(Fault::delay(seconds(1)).at(Endpoint::Jwks).times(1));
    let token = world.token().mint();
    let mut stalled: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = Vec::new();
    for _ in 0..5_000 {
        let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&token));
        waits(&mut call);
        stalled.push(call);
    }
    soon("S14 the keys are asked for", || world.asked() == (1, 1));
    // Only a question that is read after them shows that none of them blocks the way.
    soon("S14 the keys are there", || {
        world.clock.advance(Duration::from_millis(10));
        world.check(&token).is_ok()
    });
    world.issuer.rotate();
    assert!(block_on(world.validate(&world.token().mint())).is_ok(), "S14 later questions are answered");
    drop(stalled);
}

/// Invariant 5 of the driver.
#[derive(Debug)]
struct Panics(Arc<dyn Fetch>, AtomicBool);

impl Fetch for Panics {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        assert!(self.1.swap(true, Ordering::SeqCst), "this panic belongs to the test");
        self.0.fetch(request, limits)
    }
}

#[test]
fn fault_row_33_a_way_out_that_panics_has_failed_once_and_is_used_again() {
    let mut world = World::new();
    let fetch = Arc::new(Panics(world.issuer.fetch(), AtomicBool::new(false)));
    let builder = Validator::builder(API).trust(Issuer::discover(A)).clock(world.clock.clone());
    world.validator = builder.fetch(fetch).build().unwrap();
    assert!(unjudged(block_on(world.validate(&world.token().mint()))).source().is_some());
    world.clock.advance(seconds(1));
    assert!(block_on(world.validate(&world.token().mint())).is_ok());
}

#[test]
fn row_s17_fault_row_31_keys_outlive_the_runtime_that_asked_for_them_and_are_still_renewed() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    assert!(runtime.block_on(world.validate(&world.token().mint())).is_ok());
    drop(runtime);
    let world = std::thread::spawn(move || {
        for second in 0..10 {
            world.clock.advance(seconds(1));
            assert!(world.check(&world.token().mint()).is_ok(), "S17 {second} s later");
        }
        world.issuer.rotate();
        soon("S17 a new key is found", || world.check(&world.token().mint()).is_ok());
        world
    });
    drop(world.join().unwrap());
}

/// Checks a token when it is dropped.
struct AtTheEnd<'w>(&'w World);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        assert!(self.0.check(&self.0.token().mint()).is_ok(), "S18 in a drop");
        unjudged(self.0.check(&self.0.token().header("kid", "unknown in a drop").mint()));
    }
}

#[test]
fn row_s18_a_check_may_be_made_anywhere_and_blocks_nowhere() {
    let world = Arc::new(World::warm());
    world.clock.advance(seconds(120));
    world.issuer.script(Fault::hang());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(world.check(&world.token().mint()).is_ok(), "S18 on the runtime's thread");
        unjudged(world.check(&world.token().header("kid", "unknown").mint()));
        let blocking = Arc::clone(&world);
        let checked = tokio::task::spawn_blocking(move || blocking.check(&blocking.token().mint()).is_ok());
        assert!(checked.await.unwrap(), "S18 in spawn_blocking");
        drop(AtTheEnd(&world));
    });
}

#[test]
fn keys_come_over_http_and_are_found_anew_when_they_rotate() {
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for own_runtime in [false, true] {
        let before = issuer.requests();
        let remote = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
        let validator = Validator::builder(API).trust(remote).build().unwrap();
        let demand = read();
        let validate = |token: String| {
            let validating = async { validator.validate(&Credentials::bearer(&token), &demand).await };
            if own_runtime { runtime.block_on(validating) } else { block_on(validating) }
        };
        let token = || issuer.token().scope("read");
        assert!(validate(token().mint()).is_ok());
        assert_eq!(refused(validate(token().expired().mint())), Reason::Expired);
        issuer.rotate();
        assert!(validate(token().mint()).is_ok());
        issuer.rotate();
        let newest = token().mint();
        let checked = || validator.check(&Credentials::bearer(&newest), &demand);
        unjudged(checked());
        soon("a later check accepts", || checked().is_ok());
        assert_eq!(refused(validate(token().signed_by_stranger().mint())), Reason::BadSignature);
        let asked = issuer.requests();
        assert_eq!((asked.metadata - before.metadata, asked.jwks - before.jwks, asked.other), (1, 3, 0));
    }
}

#[test]
fn a_key_set_whose_address_is_known_is_fetched_without_metadata() {
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
    let remote = Issuer::jwks(issuer.id(), issuer.jwks_uri()).plain_http(PlainHttp::OnLoopback);
    let validator = Validator::builder(API).trust(remote).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    let token = issuer.token().scope("read").mint();
    assert!(validator.check(&Credentials::bearer(&token), &read()).is_ok());
    assert_eq!((issuer.requests().metadata, issuer.requests().jwks), (0, 1));

    // Nobody listens there any more: the keys stay.
    let expired = issuer.token().scope("read").expired().mint();
    drop(issuer);
    assert!(block_on(validator.refresh_now()).is_err());
    assert!(validator.check(&Credentials::bearer(&token), &read()).is_ok());
    let refusal = validator.check(&Credentials::bearer(&expired), &read());
    assert_eq!(refused(refusal), Reason::Expired);
}

//! Who stops waiting, at whatever point: the others are answered, and the issuer is asked as often as if nobody had gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Wake;

use bytes::Bytes;
use scopegate::{Fetch, FetchLimits, Fetching, Tenants};

use super::*;

/// Holds up the resolver and every question to the issuer until it is let through. The first answer lacks the newest key.
#[derive(Debug)]
struct Gate {
    state: Mutex<Passing>,
    opened: Condvar,
    sets: [String; 2],
}

#[derive(Debug, Default)]
struct Passing {
    resolved: usize,
    fetched: usize,
    let_through: usize,
    is_open: bool,
    wakers: Vec<Waker>,
}

impl Passing {
    /// Whether whoever came as this one may go on.
    const fn lets_through(&self, number: usize) -> bool {
        self.is_open || number <= self.let_through
    }

    const fn arrived(&self) -> usize {
        self.resolved + self.fetched
    }
}

impl Gate {
    /// Lets through whoever is held up at this moment.
    fn let_through(&self) {
        self.change(|passing| passing.let_through = passing.arrived());
    }

    fn open(&self) {
        self.change(|passing| passing.is_open = true);
    }

    fn change(&self, change: impl FnOnce(&mut Passing)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        state.wakers.drain(..).for_each(Waker::wake);
        drop(state);
        self.opened.notify_all();
    }

    /// How often the resolver and the issuer were asked.
    fn asked(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.resolved, state.fetched)
    }

    fn resolve(&self) {
        let mut state = self.state.lock().unwrap();
        state.resolved += 1;
        let number = state.arrived();
        drop(self.opened.wait_while(state, |state| !state.lets_through(number)).unwrap());
    }
}

impl Fetch for Gate {
    fn fetch(&self, _: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let mut state = self.state.lock().unwrap();
        state.fetched += 1;
        let (number, set) = (state.arrived(), &self.sets[usize::from(state.fetched > 1)]);
        drop(state);
        Box::pin(std::future::poll_fn(move |context| {
            let mut state = self.state.lock().unwrap();
            if !state.lets_through(number) {
                state.wakers.push(context.waker().clone());
                return std::task::Poll::Pending;
            }
            let answer = http::Response::builder().header("content-type", "application/json");
            std::task::Poll::Ready(Ok(answer.body(Bytes::from(set.clone())).unwrap()))
        }))
    }
}

#[derive(Clone, Copy)]
enum Trust {
    ByName,
    ByResolver,
}

/// A cold validator behind the gate, a token of the key that every answer has, and one of the key that the first answer lacks.
fn behind_a_gate(trust: Trust) -> (Arc<Gate>, Validator, [String; 2]) {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let (old, first) = (issuer.jwks(), issuer.token().scope("read").mint());
    issuer.publish_ahead();
    issuer.sign_with_newest();
    let (state, opened) = (Mutex::default(), Condvar::new());
    let gate = Arc::new(Gate { state, opened, sets: [old, issuer.jwks()] });
    let remote = Issuer::jwks(A, issuer.jwks_uri());
    let builder = Validator::builder(API).fetch(Arc::<Gate>::clone(&gate) as _).clock(clock);
    let builder = match trust {
        Trust::ByName => builder.trust(remote),
        Trust::ByResolver => builder.trust_each(Tenants::at_most(4, {
            let gate = Arc::clone(&gate);
            move |_| {
                gate.resolve();
                Some(remote.clone())
            }
        })),
    };
    (gate, builder.build().unwrap(), [first, issuer.token().scope("read").mint()])
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future only when it is woken, so that each time that it pends is an await of its own, and drops it at this one. Says at
/// how many it has pended, and what it came to.
fn until_await<T>(last: usize, gate: &Gate, future: impl Future<Output = T>) -> (usize, Option<T>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = Box::pin(future);
    for awaited in 0.. {
        if let std::task::Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (awaited, Some(outcome));
        }
        if awaited + 1 == last {
            return (last, None);
        }
        soon("what it waits for comes", || {
            gate.let_through();
            woken.0.swap(false, Ordering::SeqCst)
        });
    }
    unreachable!("it returns")
}

/// What one request can wait for: a resolver and the first keys, or a key that is not among those at hand.
#[derive(Clone, Copy, Debug)]
enum Start {
    Cold,
    Warm,
}

impl Start {
    /// A validator behind the gate, the token that makes it wait, and how often it does.
    fn set_up(self) -> (Arc<Gate>, Validator, String, usize) {
        match self {
            Self::Cold => {
                let (gate, validator, [first, _]) = behind_a_gate(Trust::ByResolver);
                (gate, validator, first, 2)
            }
            Self::Warm => {
                let (gate, validator, [_, second]) = behind_a_gate(Trust::ByName);
                assert!(until_await(usize::MAX, &gate, validator.warm_up()).1.unwrap().is_ok());
                (gate, validator, second, 1)
            }
        }
    }
}

#[test]
fn row_s14_fault_row_32_a_request_that_goes_away_at_any_await_harms_nobody_and_costs_nothing() {
    let demand = read();
    for (start, asked) in [(Start::Cold, (1, 1)), (Start::Warm, (0, 2))] {
        let (gate, validator, token, awaits) = start.set_up();
        let credentials = Credentials::bearer(&token);
        let (awaited, outcome) = until_await(usize::MAX, &gate, validator.validate(&credentials, &demand));
        assert!(outcome.unwrap().is_ok(), "S14 {start:?}");
        assert_eq!((awaited, gate.asked()), (awaits, asked), "S14 {start:?}: nobody goes away");
        for last in 1..=awaits {
            let (gate, validator, token, _) = start.set_up();
            let credentials = Credentials::bearer(&token);
            let gone = until_await(last, &gate, validator.validate(&credentials, &demand));
            assert!(matches!(gone, (at, None) if at == last), "S14 {start:?}: dropped at await {last}");
            gate.open();
            assert!(block_on(validator.validate(&credentials, &demand)).is_ok(), "S14 {start:?}: after await {last}");
            assert_eq!(gate.asked(), asked, "S14 {start:?}: the requests, after await {last}");
            assert!(validator.check(&credentials, &demand).is_ok(), "S14 {start:?}");
        }
    }
}

#[test]
fn row_s14_fault_row_32_a_program_that_stops_to_warm_up_to_be_ready_or_to_refresh_harms_nobody() {
    type Waiting<'v> = Pin<Box<dyn Future<Output = Result<(), FetchError>> + 'v>>;
    type Begin = fn(&Validator) -> Waiting<'_>;
    let ways: [(&str, Begin); 3] = [
        ("warm_up", |validator| Box::pin(validator.warm_up())),
        ("wait_until_ready", |validator| Box::pin(validator.wait_until_ready(seconds(60)))),
        ("refresh_now", |validator| Box::pin(validator.refresh_now())),
    ];
    for (about, begin) in ways {
        let run = |last: usize| {
            let (gate, validator, [first, second]) = behind_a_gate(Trust::ByName);
            let (awaits, outcome) = until_await(last, &gate, begin(&validator));
            assert_eq!((awaits, outcome.is_none()), (1, last == 1), "S14 {about}");
            gate.open();
            for token in [first, second] {
                let judged = block_on(validator.validate(&Credentials::bearer(&token), &read()));
                assert!(judged.is_ok(), "S14 {about}: {judged:?}");
            }
            gate.asked()
        };
        assert_eq!((run(usize::MAX), run(1)), ((0, 2), (0, 2)), "S14 {about}");
    }
}

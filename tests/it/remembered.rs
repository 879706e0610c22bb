//! Tokens whose signature is remembered: what that spares, and that it lets nothing in which would not come in otherwise.
//!
//! What a judgement rests on is told to observers (`Basis`), so that each test sees what was remembered and what was not.

mod alike;
mod asked;
mod denied;
mod issuers;
mod keys;
mod same;
mod threads;
mod time;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Basis, Credentials, Issuer, Judged, KeyHandle, KeySet, Observe, Reason, Requirement, ScopePolicy,
    Validator, ValidatorBuilder,
};

use crate::rotation::{A, API, issuer, read, seconds};

const NOW: i64 = 1_800_000_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// What came of a token: what it was accepted by, or why it was refused.
type Outcome = Result<Basis, Reason>;

const MEMORY: Outcome = Ok(Basis::Memory);
const SIGNATURE: Outcome = Ok(Basis::Signature);
const NETWORK: Outcome = Ok(Basis::Network);

/// Keeps what the last judgement rested on.
#[derive(Debug, Default)]
struct Bases(Mutex<Option<Basis>>);

impl Observe for Bases {
    fn judged(&self, judged: &Judged<'_>) {
        assert_eq!(judged.basis.is_some(), judged.refused.is_none(), "whoever is accepted is accepted by something");
        *self.0.lock().unwrap() = judged.basis;
    }
}

impl Bases {
    fn of<T>(&self, judge: impl FnOnce() -> Result<T, scopegate::Rejection>) -> Outcome {
        judge().map_err(|rejection| rejection.reason())?;
        Ok(self.0.lock().unwrap().unwrap())
    }
}

/// A validator that is watched.
struct Watched {
    validator: Validator,
    bases: Arc<Bases>,
}

impl Watched {
    fn new(builder: ValidatorBuilder) -> Self {
        let bases = Arc::new(Bases::default());
        Self { validator: builder.observe(bases.clone()).build().unwrap(), bases }
    }

    fn judge(&self, presented: &Credentials<'_>, demand: &Requirement) -> Outcome {
        self.bases.of(|| self.validator.check(presented, demand))
    }

    fn check(&self, token: &(impl AsRef<[u8]> + ?Sized)) -> Outcome {
        self.judge(&Credentials::bearer(token), &read())
    }

    fn validate(&self, token: &str) -> Outcome {
        self.bases.of(|| block_on(self.validator.validate(&Credentials::bearer(token), &read())))
    }

    /// The token itself.
    fn accepted(&self, token: &str) -> AccessToken {
        self.validator.check(&Credentials::bearer(token), &read()).unwrap()
    }
}

/// An issuer whose keys the program hands over, a validator that trusts it, and their clock.
struct World {
    clock: TestClock,
    issuer: TestIssuer,
    handle: KeyHandle,
    api: Watched,
}

impl World {
    fn new() -> Self {
        Self::with(|issuer| issuer, |builder| builder)
    }

    fn with(
        settings: impl FnOnce(Issuer) -> Issuer,
        builder: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder,
    ) -> Self {
        let clock = TestClock::at(NOW);
        let issuer = issuer(A, &clock);
        let trusted = settings(Issuer::keys(A, published(&issuer)));
        let handle = trusted.key_handle().unwrap();
        let api = Watched::new(builder(Validator::builder(API).trust(trusted).clock(clock.clone())));
        Self { clock, issuer, handle, api }
    }

    /// Good for two hours, and made two hours ago, so that a clock may be turned far.
    fn token(&self) -> TestToken {
        self.issuer.token().scope("read").claim("iat", NOW - 7200).lifetime(seconds(7200))
    }

    /// A token that was judged once, and is remembered.
    fn known(&self, token: TestToken) -> String {
        let token = token.mint();
        assert_eq!((self.api.check(&token), self.api.check(&token)), (SIGNATURE, MEMORY));
        token
    }
}

/// The keys that an issuer publishes.
fn published(issuer: &TestIssuer) -> KeySet {
    KeySet::from_json(issuer.jwks().as_bytes()).unwrap()
}

fn demanding(scopes: &str) -> Requirement {
    ScopePolicy::all([scopes]).unwrap().into()
}

#[test]
fn a_token_is_accepted_by_its_signature_and_then_from_memory() {
    let world = World::new();
    let (one, other) = (world.token().mint(), world.token().mint());
    assert_eq!(world.api.check(&one), SIGNATURE);
    for _ in 0..3 {
        assert_eq!((world.api.check(&one), world.api.validate(&one)), (MEMORY, MEMORY));
    }
    assert_eq!((world.api.check(&other), world.api.check(&other)), (SIGNATURE, MEMORY), "each for itself");
}

#[test]
fn what_is_remembered_says_what_the_token_says() {
    let world = World::new();
    let token = world.token().claim("sid", "session-7").claim("tenant", "é\n").scope("read write").mint();
    let said = |token: &AccessToken| {
        let names = [token.subject(), token.client_id(), token.jwt_id(), token.session_id()]
            .map(|name| name.map(str::to_owned));
        let lists = (token.audience().map(str::to_owned).collect(), token.scopes().map(str::to_owned).collect());
        let lists: (Vec<_>, Vec<_>) = lists;
        let times = (token.issuer().clone(), token.issued_at(), token.expires_at());
        (names, lists, times, token.claims::<serde_json::Value>().unwrap())
    };
    let first = said(&world.api.accepted(&token));
    let held: Vec<_> = (0..4).map(|_| world.api.accepted(&token)).collect();
    assert!(held.iter().all(|token| said(token) == first), "however many hold it at once");
    assert_eq!(first.3["tenant"], "é\n");
}

#[test]
fn nothing_is_remembered_where_that_is_switched_off_or_there_is_no_room() {
    let settings: [fn(ValidatorBuilder) -> ValidatorBuilder; 5] = [
        |builder| builder.remember_signatures(Duration::ZERO),
        |builder| builder.remember_at_most(0, 1 << 20),
        |builder| builder.remember_at_most(100, 0),
        |builder| builder.remember_at_most(0, 0),
        |builder| builder.remember_at_most(100, 500),
    ];
    for settings in settings {
        let world = World::with(|issuer| issuer, settings);
        let token = world.token().mint();
        assert!((0..3).all(|_| world.api.check(&token) == SIGNATURE));
        assert_eq!(world.api.check(&world.token().expired().mint()), Err(Reason::Expired));
    }
    let world = World::with(|issuer| issuer, |builder| builder.remember_at_most(1, 1 << 14));
    world.known(world.token());
}

#[test]
fn it_is_remembered_for_an_hour_at_most() {
    let build =
        |life| Validator::builder(API).trust(Issuer::keys(A, KeySet::default())).remember_signatures(life).build();
    assert!(build(seconds(3600)).is_ok());
    let refused = build(seconds(3600) + MILLISECOND).unwrap_err().to_string();
    assert!(refused.contains("remember_signatures") && refused.contains("1 hour"), "{refused}");
}

#[test]
fn no_more_tokens_are_remembered_than_there_is_room_for() {
    let world = World::with(|issuer| issuer, |builder| builder.remember_at_most(20, 1 << 20));
    let tokens: Vec<_> = (0..100).map(|_| world.token().mint()).collect();
    assert!(tokens.iter().all(|token| world.api.check(token) == SIGNATURE));
    let mut known = tokens.iter().rev().filter(|token| world.api.check(token) == MEMORY);
    // Each that is not known takes the place of one that is, so that only the first look counts.
    assert!(known.by_ref().take(21).count() <= 20);
}

#[test]
fn clones_of_a_validator_share_what_they_remember_and_two_validators_do_not() {
    let world = World::new();
    let token = world.known(world.token());
    let twin = Watched { validator: world.api.validator.clone(), bases: Arc::clone(&world.api.bases) };
    assert_eq!(twin.check(&token), MEMORY);
    let builder =
        || Validator::builder(API).trust(Issuer::keys(A, published(&world.issuer))).clock(world.clock.clone());
    let another = Watched::new(builder());
    assert_eq!((another.check(&token), another.check(&token)), (SIGNATURE, MEMORY));
    let stricter =
        Watched::new(Validator::builder("https://other.example.test").trust(Issuer::keys(A, published(&world.issuer))));
    assert!(stricter.check(&token).is_err());
    assert_eq!(world.api.check(&token), MEMORY);
}

/// One that cannot listen.
#[derive(Debug)]
struct Panics;

impl Observe for Panics {
    fn judged(&self, _: &Judged<'_>) {
        panic!("this panic belongs to the test");
    }
}

#[test]
fn a_listener_that_panics_changes_neither_the_judgement_nor_what_is_remembered() {
    let world = World::with(|issuer| issuer, |builder| builder.observe(Arc::new(Panics)));
    let token = world.known(world.token());
    assert_eq!(world.api.check(&world.token().expired().mint()), Err(Reason::Expired));
    assert_eq!(world.api.check(&token), MEMORY);
}

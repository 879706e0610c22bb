//! What is remembered is remembered of one issuer, and of the settings under which it was judged.

use scopegate::{Algorithm, Introspection, Profile, Tenants};

use super::*;
use crate::introspection::api;
use crate::rotation::{B, soon};

/// Two issuers that are trusted by name.
struct Two {
    clock: TestClock,
    issuers: [TestIssuer; 2],
    handles: [KeyHandle; 2],
    api: Watched,
}

impl Two {
    /// Of these keys at the beginning.
    fn new(keys: impl Fn(&[TestIssuer; 2]) -> [KeySet; 2]) -> Self {
        let clock = TestClock::at(NOW);
        let issuers = [A, B].map(|name| issuer(name, &clock));
        let [of_a, of_b] = keys(&issuers);
        let trusted = [Issuer::keys(A, of_a), Issuer::keys(B, of_b)];
        let handles = [0, 1].map(|place: usize| trusted[place].key_handle().unwrap());
        let builder = trusted.into_iter().fold(Validator::builder(API), ValidatorBuilder::trust);
        Self { api: Watched::new(builder.clock(clock.clone())), clock, issuers, handles }
    }

    fn known(&self, place: usize) -> String {
        let token = self.issuers[place].token().scope("read").mint();
        assert_eq!((self.api.check(&token), self.api.check(&token)), (SIGNATURE, MEMORY));
        token
    }
}

fn both_own(issuers: &[TestIssuer; 2]) -> [KeySet; 2] {
    [published(&issuers[0]), published(&issuers[1])]
}

#[test]
fn of_two_issuers_each_has_its_own_keys_and_what_they_proved() {
    let two = Two::new(both_own);
    let tokens = [two.known(0), two.known(1)];
    for (place, name) in [A, B].into_iter().enumerate() {
        assert_eq!(two.api.accepted(&tokens[place]).issuer().as_str(), name);
    }
    two.issuers[0].rotate();
    two.handles[0].install(published(&two.issuers[0]));
    assert_eq!((two.api.check(&tokens[0]), two.api.check(&tokens[1])), (Err(Reason::UnknownKey), MEMORY));
    let crossed = two.issuers[1].forge(two.issuers[0].token().scope("read")).mint();
    assert!(two.api.check(&crossed).is_err());
}

#[test]
fn a_key_that_another_issuer_has_too_counts_for_its_own_tokens_alone() {
    let two = Two::new(|issuers| [published(&issuers[0]), published(&issuers[0])]);
    let token = two.known(0);
    two.handles[0].install(published(&two.issuers[1]));
    assert_eq!(two.api.check(&token), Err(Reason::BadSignature), "the other has the very key yet");
    two.handles[0].install(published(&two.issuers[0]));
    assert_eq!(two.api.check(&token), MEMORY);
    let _ = &two.clock;
}

/// A tenant whose settings are what lies in `row`.
struct Tenant {
    clock: TestClock,
    issuer: TestIssuer,
    row: Arc<Mutex<Option<Issuer>>>,
    asked: Arc<Mutex<usize>>,
    api: Watched,
}

impl Tenant {
    fn new(settings: impl FnOnce(&TestIssuer) -> Issuer) -> Self {
        let clock = TestClock::at(NOW);
        let issuer = issuer(A, &clock);
        let row = Arc::new(Mutex::new(Some(settings(&issuer))));
        let asked = Arc::new(Mutex::new(0));
        let (found, counted) = (Arc::clone(&row), Arc::clone(&asked));
        let tenants = Tenants::at_most(10, move |name| {
            *counted.lock().unwrap() += 1;
            found.lock().unwrap().clone().filter(|_| name == A)
        });
        let builder = Validator::builder(API).trust_each(tenants.resolve_again_after(seconds(10)));
        let builder = builder.fetch(issuer.fetch()).clock(clock.clone()).remember_signatures(seconds(3600));
        Self { api: Watched::new(builder), clock, issuer, row, asked }
    }

    fn set(&self, settings: Option<Issuer>) {
        *self.row.lock().unwrap() = settings;
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// A token with everything that the settings below look at.
    fn token(&self) -> TestToken {
        let token = self.issuer.token().scope("read").lifetime(seconds(3600)).claim("permissions", "read");
        token.claim("azp", API).audiences([API, "https://other.example.test"])
    }

    /// The issuer is resolved by this token's twin, and the token is remembered.
    fn known(&self, token: TestToken) -> String {
        assert_eq!(self.api.validate(&token.clone().claim("jti", "first").mint()), NETWORK);
        let token = token.mint();
        assert_eq!((self.api.check(&token), self.api.check(&token)), (SIGNATURE, MEMORY));
        token
    }
}

fn pushed(issuer: &TestIssuer) -> Issuer {
    Issuer::keys(A, published(issuer))
}

#[test]
fn a_resolver_that_says_the_same_again_takes_nothing_from_what_is_remembered() {
    let settings: [fn(&TestIssuer) -> Issuer; 3] = [
        pushed,
        |issuer| Issuer::jwks(A, issuer.jwks_uri()),
        |issuer| pushed(issuer).profile(Profile::Rfc9068).algorithms([Algorithm::Es256]).audience(API),
    ];
    for settings in settings {
        let tenant = Tenant::new(settings);
        let token = tenant.known(tenant.token());
        for asked in 2..6 {
            // Made anew each time, as a resolver would from a database.
            tenant.set(Some(settings(&tenant.issuer)));
            tenant.clock.advance(seconds(10));
            soon("it is asked again", || {
                assert_eq!(tenant.api.check(&token), MEMORY);
                tenant.asked() == asked
            });
        }
        assert!((0..50).all(|_| tenant.api.check(&token) == MEMORY));
    }
}

type Settings = fn(Issuer) -> Issuer;

/// Settings before and after, and what comes of a token that was good before.
#[test]
fn under_other_settings_what_was_remembered_counts_no_more() {
    let same: Settings = |issuer| issuer;
    let changes: [(&str, Settings, Settings, Outcome); 12] = [
        ("algorithms", same, |issuer| issuer.algorithms([Algorithm::EdDsa]), Err(Reason::AlgorithmRefused)),
        ("fewer algorithms", same, |issuer| issuer.algorithms([Algorithm::Es256]), SIGNATURE),
        ("audience", same, |issuer| issuer.audience("https://third.example.test"), Err(Reason::WrongAudience)),
        ("another of its audiences", same, |issuer| issuer.audience("https://other.example.test"), SIGNATURE),
        ("audience claim", same, |issuer| issuer.audience_claim("client_id"), Err(Reason::WrongAudience)),
        ("audience claim that fits", same, |issuer| issuer.audience_claim("azp"), SIGNATURE),
        ("scope claim", same, |issuer| issuer.scope_claim("sub"), Err(Reason::InsufficientScope)),
        ("scope claim that fits", same, |issuer| issuer.scope_claim("permissions"), SIGNATURE),
        ("profile", |issuer| issuer.profile(Profile::PlainJwt), same, Err(Reason::WrongType)),
        ("binding", |issuer| issuer.dangerous().accept_unproven_binding(), same, Err(Reason::Unbound)),
        ("any audience", |issuer| issuer.dangerous().accept_any_audience(), same, SIGNATURE),
        (
            "its word",
            same,
            |issuer| issuer.and_introspect(Introspection::at(format!("{A}/introspect"), api())),
            Err(Reason::IntrospectionUnavailable),
        ),
    ];
    for (about, before, after, expected) in changes {
        let tenant = Tenant::new(|issuer| before(pushed(issuer)));
        let token = match about {
            "profile" => tenant.token().typ("JWT"),
            "binding" => tenant.token().claim("cnf", serde_json::json!({"jkt": "x"})),
            _ => tenant.token(),
        };
        let token = tenant.known(token);
        tenant.set(Some(after(pushed(&tenant.issuer))));
        tenant.clock.advance(seconds(10));
        let mut outcome = MEMORY;
        soon(about, || {
            outcome = tenant.api.check(&token);
            outcome != MEMORY
        });
        assert_eq!(outcome, expected, "{about}");
        if expected == SIGNATURE {
            assert_eq!(tenant.api.check(&token), MEMORY, "{about}");
        }
    }
}

#[test]
fn scopes_are_read_by_the_settings_of_the_moment() {
    let tenant = Tenant::new(pushed);
    let token = tenant.known(tenant.token().claim("permissions", "write"));
    tenant.set(Some(pushed(&tenant.issuer).scope_claim("permissions")));
    tenant.clock.advance(seconds(10));
    let credentials = Credentials::bearer(&token);
    soon("the other claim counts", || tenant.api.judge(&credentials, &demanding("write")).is_ok());
    assert_eq!(tenant.api.check(&token), Err(Reason::InsufficientScope));
}

#[test]
fn keys_that_a_resolver_hands_over_anew_are_the_keys_that_count() {
    let tenant = Tenant::new(pushed);
    let token = tenant.known(tenant.token());
    tenant.issuer.rotate();
    tenant.set(Some(pushed(&tenant.issuer)));
    tenant.clock.advance(seconds(10));
    soon("the key is gone", || tenant.api.check(&token) == Err(Reason::UnknownKey));
}

/// The token is accepted again when everything is there that it takes, and then by its signature.
#[track_caller]
fn verified_anew(api: &Watched, token: &str) {
    let mut before = MEMORY;
    soon("it is accepted again", || {
        let outcome = api.check(token);
        assert!(outcome == SIGNATURE || outcome == before || outcome == Err(Reason::KeysUnavailable), "{outcome:?}");
        before = outcome;
        outcome == SIGNATURE
    });
    assert_eq!(api.check(token), MEMORY);
}

#[test]
fn the_same_keys_at_another_place_are_those_of_other_settings() {
    let tenant = Tenant::new(|issuer| Issuer::jwks(A, issuer.jwks_uri()));
    let token = tenant.known(tenant.token());
    tenant.set(Some(Issuer::discover(A)));
    tenant.clock.advance(seconds(10));
    verified_anew(&tenant.api, &token);
}

#[test]
fn of_an_issuer_that_made_room_for_another_nothing_counts_any_more() {
    let clock = TestClock::at(NOW);
    let issuers = [A, B].map(|name| issuer(name, &clock));
    let keys = issuers.each_ref().map(published);
    let known = move |name: &str| {
        let place = [A, B].iter().position(|known| *known == name)?;
        Some(Issuer::keys(name, keys[place].clone()))
    };
    let builder = Validator::builder(API).trust_each(Tenants::at_most(1, known));
    let api = Watched::new(builder.fetch(TestIssuer::fetch_from(&issuers)).clock(clock.clone()));
    let [of_a, of_b] = issuers.each_ref().map(|issuer| issuer.token().scope("read").mint());
    assert_eq!((api.validate(&of_a), api.check(&of_a)), (NETWORK, MEMORY));
    clock.advance(seconds(60));
    assert_eq!((api.validate(&of_b), api.check(&of_b)), (NETWORK, MEMORY));
    assert_eq!(api.check(&of_a), Err(Reason::KeysUnavailable));
    clock.advance(seconds(60));
    verified_anew(&api, &of_a);
}

#[test]
fn of_an_issuer_that_is_forgotten_nothing_counts_any_more() {
    let tenant = Tenant::new(pushed);
    let token = tenant.known(tenant.token());
    tenant.api.validator.forget_issuer(A);
    assert_eq!(tenant.api.check(&token), Err(Reason::KeysUnavailable), "from the next check on");
    // It is trusted still, so it comes back; what it proved before was forgotten.
    verified_anew(&tenant.api, &token);
    tenant.set(None);
    tenant.api.validator.forget_issuer(A);
    assert_eq!(tenant.api.validate(&token), Err(Reason::UntrustedIssuer));
    assert_eq!(tenant.api.check(&token), Err(Reason::UntrustedIssuer));
}

#[test]
fn of_an_issuer_that_the_resolver_trusts_no_longer_nothing_counts_any_more() {
    let tenant = Tenant::new(pushed);
    let token = tenant.known(tenant.token());
    tenant.set(None);
    tenant.clock.advance(seconds(10) - MILLISECOND);
    assert_eq!(tenant.api.check(&token), MEMORY);
    tenant.clock.advance(MILLISECOND);
    soon("it is refused", || tenant.api.check(&token) == Err(Reason::UntrustedIssuer));
}

#[test]
fn a_word_of_the_resolver_that_could_not_be_renewed_for_too_long_holds_up_nothing_that_is_remembered() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(A, &clock);
    let trusted = Mutex::new(Some(pushed(&issuer)));
    // It answers once, and fails from then on.
    let resolve = move |_: &str| trusted.lock().unwrap().take().map(Some).ok_or("the database is down");
    let tenants = Tenants::try_at_most(10, resolve).resolve_again_after(seconds(10));
    let builder = Validator::builder(API).trust_each(tenants).fetch(issuer.fetch()).clock(clock.clone());
    let api = Watched::new(builder);
    let token = issuer.token().scope("read").mint();
    assert_eq!((api.validate(&token), api.check(&token)), (NETWORK, MEMORY));
    clock.advance(seconds(120) - MILLISECOND);
    assert_eq!(api.check(&token), MEMORY);
    clock.advance(MILLISECOND);
    assert_eq!(api.check(&token), Err(Reason::KeysUnavailable));
}

//! Rows S that belong to no other place: what a validator shows of itself, and what it leaves behind. Caches are not there yet;
//! floods, herds and outages are in `rotation` and `faults`.

use std::error::Error;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Algorithm, Credentials, Event, Issuer, Judged, KeyFile, KeySet, Observe, Rejection, Requirement,
    ReqwestFetch, SavedKeys, ScopePolicy, SealingSecret, Secret, Tenants, Validator,
};
use tower::Layer as _;

use super::world::{A, API, NOW};
use crate::rotation::soon;

const CANARY: &str = "T0k3n-canary";
const SECRET: &str = "S3cr3t-canary-of-thirty-two-bytes";

/// Whatever was shown of anything, and of what it was.
#[derive(Debug, Default)]
struct Shown(Mutex<Vec<String>>);

impl Shown {
    fn show(&self, thing: &dyn Debug) {
        self.0.lock().unwrap().extend([format!("{thing:?}"), format!("{thing:#?}")]);
    }

    /// An error, and all that it comes of.
    fn tell(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.show(&error);
            self.0.lock().unwrap().push(error.to_string());
            next = error.source();
        }
    }

    fn holds(&self, text: &str) -> Option<String> {
        self.0.lock().unwrap().iter().find(|shown| shown.contains(text)).cloned()
    }
}

/// What a listener is told is what stands in logs.
impl Observe for Shown {
    fn judged(&self, judged: &Judged<'_>) {
        self.show(judged);
    }

    fn happened(&self, event: &Event) {
        self.show(event);
        if let Event::MetadataFailed { error, .. }
        | Event::ResolverFailed { error }
        | Event::RestoreRefused { error, .. }
        | Event::SaveFailed { error } = event
        {
            self.tell(&**error);
        }
    }
}

/// A type of a program's, into which the claims of these tokens do not fit.
#[derive(Debug, serde::Deserialize)]
struct Typed {
    #[expect(dead_code, reason = "it is never filled")]
    sub: u64,
}

fn canaries(token: TestToken) -> TestToken {
    token.claim("jti", CANARY).claim("sub", CANARY).claim("note", CANARY)
}

fn tokens(issuer: &TestIssuer) -> [(&'static str, TestToken); 7] {
    [
        ("good", canaries(issuer.token().scope("read"))),
        ("expired", canaries(issuer.token().scope("read")).expired()),
        ("forged", canaries(issuer.token().scope("read")).signed_by_stranger()),
        ("without the scope", canaries(issuer.token())),
        ("of an unknown key", canaries(issuer.token()).header("kid", CANARY)),
        ("of another issuer", canaries(issuer.token()).claim("iss", format!("https://{CANARY}.test"))),
        ("of a wrong type", canaries(issuer.token()).claim("scope", 7)),
    ]
}

fn show_judged(shown: &Shown, judged: Result<AccessToken, Rejection>, about: &str) {
    shown.show(&judged);
    match judged {
        Ok(token) => {
            assert_eq!(about, "good");
            shown.tell(&token.claims::<Typed>().unwrap_err());
        }
        Err(rejection) => {
            shown.tell(&rejection);
            shown.show(&rejection.challenge());
            shown.show(&rejection.into_response());
        }
    }
}

#[test]
fn row_s27_nothing_that_is_shown_holds_a_token_a_claim_or_a_secret() {
    let clock = TestClock::at(NOW);
    let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
    let shown = Arc::new(Shown::default());
    let secret = Secret::new(Algorithm::Hs256, SECRET.as_bytes()).unwrap();
    let by_secret = Issuer::secrets("https://b.example.test", [secret.clone()]);
    let discovered = Issuer::discover(A);
    shown.show(&(&secret, &by_secret, &discovered));
    let listener = || Arc::<Shown>::clone(&shown);
    let tenants = Tenants::at_most(4, |_| None);
    shown.show(&tenants);
    let validator = Validator::builder(API).trust(discovered).trust_each(tenants).fetch(issuer.fetch());
    let validator = validator.clock(clock.clone()).observe(listener());
    shown.show(&validator);
    let validator = validator.build().unwrap();
    let private = Validator::builder(API).trust(by_secret).clock(clock.clone());
    shown.show(&private);
    shown.show(&private.build().unwrap());
    let policy = || ScopePolicy::all(["read"]).unwrap();
    let layer = validator.require(policy());
    shown.show(&(&layer, &layer.layer(()), &policy(), Requirement::from(policy())));
    let read = Requirement::from(policy());
    for (about, token) in tokens(&issuer) {
        let token = token.mint();
        let presented = Credentials::bearer(&token);
        shown.show(&presented);
        for judged in [block_on(validator.validate(&presented, &read)), validator.check(&presented, &read)] {
            show_judged(&shown, judged, about);
        }
        for piece in token.split('.').map(|segment| segment.get(..24).unwrap_or(segment)) {
            assert_eq!(shown.holds(piece), None, "{about}: a piece of the token");
        }
    }
    issuer.script(Fault::body(CANARY).at(Endpoint::Jwks));
    shown.tell(&block_on(validator.refresh_now()).unwrap_err());
    soon("the listener has heard of it", || shown.holds("FetchEnded").is_some() && shown.holds("Failed").is_some());
    shown.show(&(&validator, validator.health(), &clock, &issuer));
    for text in [CANARY, "S3cr3t"] {
        assert_eq!(shown.holds(text), None, "S27");
    }
    assert!(shown.holds("Judged").is_some() && shown.holds("KeysChanged").is_some(), "the listener was told");
}

/// The secret that seals saved keys, what is saved under it, and what is told of saved keys that do not serve; and a client
/// certificate's private key.
#[test]
fn row_s27_nothing_that_is_shown_of_saved_keys_and_of_the_way_out_holds_a_secret() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let shown = Arc::new(Shown::default());
    let secret = SealingSecret::new(SECRET.as_bytes()).unwrap();
    let file = KeyFile::new(std::env::temp_dir().join("missing").join("keys"), secret.clone());
    shown.show(&(&secret, &file));
    shown.tell(&file.read().unwrap_err());
    let builder = || {
        let listener = Arc::<Shown>::clone(&shown);
        Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).observe(listener)
    };
    let validator = builder().keep_keys_in(file).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    soon("the file could not be written", || shown.holds("SaveFailed").is_some());
    let document = validator.save_keys(&secret);
    let saved = SavedKeys::open(&document, &secret).unwrap();
    shown.show(&saved);
    let strangers = SealingSecret::new([7; 32]).unwrap();
    shown.tell(&SavedKeys::open(&document, &strangers).unwrap_err());
    shown.tell(&SavedKeys::open(SECRET.as_bytes(), &secret).unwrap_err());
    shown.tell(&SealingSecret::new("S3cr3t").unwrap_err());
    let restoring = builder().restore(saved);
    shown.show(&restoring);
    let restored = restoring.build().unwrap();
    shown.show(&(restored.restored(), &restored));
    assert!(shown.holds("Restored").is_some());

    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["client.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = key.serialize_pem();
    let way = ReqwestFetch::new().client_certificate(format!("{}{pem}", certificate.pem()).as_bytes()).unwrap();
    shown.show(&way);
    shown.tell(&ReqwestFetch::new().client_certificate(pem.as_bytes()).unwrap_err());
    for text in ["S3cr3t", "PRIVATE", pem.lines().nth(1).unwrap()] {
        assert_eq!(shown.holds(text), None, "S27");
    }
}

/// S29: this very process links `jsonwebtoken` (the test issuer signs with it), and the crate asks no process for a provider.
/// The differential test runs both beside each other; `tests/providers` runs this beside one that cannot choose its provider.
#[test]
fn row_s29_another_library_of_tokens_in_the_process_changes_nothing() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let token = issuer.token().scope("read").mint();
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let validator = Validator::builder(API).trust(Issuer::keys(A, keys)).build().unwrap();
    let read = Requirement::from(ScopePolicy::all(["read"]).unwrap());
    assert!(validator.check(&Credentials::bearer(&token), &read).is_ok());
}

//! Rows S that belong to no other place: what a validator shows of itself, and what it leaves behind. Caches are not there yet;
//! floods, herds and outages are in `rotation` and `faults`.

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer, TestToken};
use scopegate::{Algorithm, Credentials, Issuer, KeySet, Requirement, ScopePolicy, Secret, Validator};

use super::world::{A, API, NOW};

const CANARY: &str = "T0k3n-canary";
const SECRET: &str = "S3cr3t-canary-of-thirty-two-bytes";

fn canaries(token: TestToken) -> TestToken {
    token.claim("jti", CANARY).claim("sub", CANARY).claim("note", CANARY)
}

#[test]
fn row_s27_nothing_that_is_shown_holds_a_token_a_claim_or_a_secret() {
    let clock = TestClock::at(NOW);
    let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
    let secret = Secret::new(Algorithm::Hs256, SECRET.as_bytes()).unwrap();
    let by_secret = Issuer::secrets("https://b.example.test", [secret.clone()]);
    let mut shown = vec![format!("{secret:?}"), format!("{by_secret:?}")];
    let discovered = Issuer::discover(A);
    shown.push(format!("{discovered:?}"));
    let validator = Validator::builder(API).trust(discovered).fetch(issuer.fetch()).clock(clock.clone());
    shown.push(format!("{validator:?}"));
    let validator = validator.build().unwrap();
    let private = Validator::builder(API).trust(by_secret).clock(clock.clone());
    shown.push(format!("{private:?}"));
    shown.push(format!("{:?}", private.build().unwrap()));
    let read = Requirement::from(ScopePolicy::all(["read"]).unwrap());
    for (about, token) in [
        ("good", canaries(issuer.token().scope("read"))),
        ("expired", canaries(issuer.token().scope("read")).expired()),
        ("forged", canaries(issuer.token().scope("read")).signed_by_stranger()),
        ("without the scope", canaries(issuer.token())),
        ("of an unknown key", canaries(issuer.token()).header("kid", CANARY)),
        ("of another issuer", canaries(issuer.token()).claim("iss", format!("https://{CANARY}.test"))),
        ("of a wrong type", canaries(issuer.token()).claim("scope", 7)),
    ] {
        let token = token.mint();
        let presented = Credentials::bearer(&token);
        shown.push(format!("{presented:?}"));
        for judged in [block_on(validator.validate(&presented, &read)), validator.check(&presented, &read)] {
            shown.push(format!("{judged:?}"));
            if let Err(rejection) = judged {
                shown.push(rejection.to_string());
                let mut source = std::error::Error::source(&rejection);
                while let Some(error) = source {
                    shown.push(format!("{error} {error:?}"));
                    source = error.source();
                }
            } else {
                assert_eq!(about, "good");
            }
        }
        let pieces = token.split('.').map(|segment| segment.get(..24).unwrap_or(segment));
        for piece in pieces {
            assert!(shown.iter().all(|text| !text.contains(piece)), "{about}: a piece of the token");
        }
    }
    issuer.script(Fault::body(CANARY).at(Endpoint::Jwks));
    block_on(validator.refresh_now()).map_err(|error| shown.push(format!("{error} {error:?}"))).unwrap_err();
    shown.push(format!("{validator:?} {:?} {clock:?} {issuer:?}", validator.health()));
    for text in shown {
        assert!(!text.contains(CANARY) && !text.contains("S3cr3t"), "S27 {text}");
    }
}

/// S29: this very process links `jsonwebtoken` (the test issuer signs with it), and the crate asks no process for a provider.
/// The differential test runs both beside each other.
#[test]
fn row_s29_another_library_of_tokens_in_the_process_changes_nothing() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let token = issuer.token().scope("read").mint();
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let validator = Validator::builder(API).trust(Issuer::keys(A, keys)).build().unwrap();
    let read = Requirement::from(ScopePolicy::all(["read"]).unwrap());
    assert!(validator.check(&Credentials::bearer(&token), &read).is_ok());
}

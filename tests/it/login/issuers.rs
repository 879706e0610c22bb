//! Several servers, one of which lies: mix-up (RFC 9207, RFC 9700 s4.4).

use std::sync::Arc;

use futures_executor::block_on;
use scopegate::client::{Client, CookieStore, Registration, StateStore};
use scopegate::testing::{Endpoint, Fault, TestClient, TestClock, TestIssuer};
use scopegate::{ClientAuth, Fetch};

use super::world::*;

const HONEST: &str = "https://honest.example.com";
const EVIL: &str = "https://evil.example.com";
const OF_HONEST: &str = "https://app.example.com/honest";
const OF_EVIL: &str = "https://app.example.com/evil";

/// Two servers that know the same program, by a client of its own each.
struct Two {
    honest: TestIssuer,
    evil: TestIssuer,
    at_honest: Client,
    at_evil: Client,
    way: Arc<Way>,
}

impl Two {
    fn new(prepare: impl Fn(&TestIssuer)) -> Self {
        let clock = TestClock::at(NOW);
        let issuers = [(HONEST, OF_HONEST), (EVIL, OF_EVIL)].map(|(identifier, back)| {
            let issuer = TestIssuer::new(identifier).clock(&clock);
            issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(back));
            prepare(&issuer);
            issuer
        });
        let way = Way::over(TestIssuer::fetch_from(&issuers));
        let states: Arc<dyn StateStore> = Arc::new(CookieStore::new(&[7; 32]).unwrap());
        let client = |name: &str, issuer: &TestIssuer| {
            let registration = Registration::discover(issuer.id(), ClientAuth::basic("app", SECRET)).scope(SCOPE);
            let registration = registration.fetch(Arc::clone(&way) as Arc<dyn Fetch>).clock(clock.clone());
            Client::new(name, registration.state_store(Arc::clone(&states))).unwrap()
        };
        let (at_honest, at_evil) = (client("honest", &issuers[0]), client("evil", &issuers[1]));
        let [honest, evil] = issuers;
        Self { honest, evil, at_honest, at_evil, way }
    }

    /// What was posted to the evil server: codes and verifiers of others must not be among it.
    fn told_evil(&self) -> Vec<Seen> {
        self.way.to(&self.evil.token_endpoint())
    }
}

#[test]
fn an_answer_that_names_another_server_is_not_taken() {
    let two = Two::new(|_| ());
    let others =
        [EVIL, "https://honest.example.com/", "https://HONEST.example.com", "http://honest.example.com", "honest"];
    for other in others {
        let browser = Browser::default();
        let answer = two.honest.sign_in(&browser.begins(&two.at_honest, OF_HONEST), "alice");
        assert_eq!(answer.parameter("iss"), Some(HONEST));
        let result = browser.comes_back(&two.at_honest, &answer.with("iss", other));
        assert_eq!(label(&result), "mismatching_issuer", "{other}");
    }
    assert!(two.way.to(&two.honest.token_endpoint()).is_empty(), "the code was not sent");
    let browser = Browser::default();
    let answer = two.honest.sign_in(&browser.begins(&two.at_honest, OF_HONEST), "alice");
    assert_eq!(whose(&browser.comes_back(&two.at_honest, &answer)), "alice");
}

#[test]
fn an_answer_that_does_not_name_its_server_is_not_taken_where_that_promised_to() {
    for omits in [false, true] {
        let two = Two::new(|issuer| {
            if omits {
                issuer.omit_response_issuer()
            }
        });
        let browser = Browser::default();
        let answer = two.honest.sign_in(&browser.begins(&two.at_honest, OF_HONEST), "alice").without("iss");
        let expected = if omits { "a login" } else { "mismatching_issuer" };
        assert_eq!(label(&browser.comes_back(&two.at_honest, &answer)), expected);
        // An empty one is none.
        let answer = two.honest.sign_in(&browser.begins(&two.at_honest, OF_HONEST), "alice").with("iss", "");
        assert_eq!(label(&browser.comes_back(&two.at_honest, &answer)), expected);
    }
}

#[test]
fn an_error_that_names_another_server_is_not_believed() {
    let two = Two::new(|_| ());
    for (iss, expected) in [(EVIL, "mismatching_issuer"), (HONEST, "refused")] {
        let browser = Browser::default();
        let answer = two.honest.deny(&browser.begins(&two.at_honest, OF_HONEST)).with("iss", iss);
        assert_eq!(label(&browser.comes_back(&two.at_honest, &answer)), expected);
    }
}

#[test]
fn an_answer_of_one_server_is_nothing_at_the_callback_of_the_other() {
    for omits in [false, true] {
        let two = Two::new(|issuer| {
            if omits {
                issuer.omit_response_issuer()
            }
        });
        // The victim wants to log in at the evil server, which sends the browser on to the honest one with a request of its own: the
        // honest server's code comes to the callback of the honest client, for a login that was begun with the evil one.
        let browser = Browser::default();
        let at_evil = browser.begins(&two.at_evil, OF_EVIL);
        let at_honest = Browser::default().begins(&two.at_honest, OF_HONEST);
        let code = two.honest.sign_in(&at_honest, "alice").parameter("code").unwrap().to_owned();
        let mixed = two.evil.sign_in(&at_evil, "alice").with("code", &code).with("iss", HONEST);
        assert_eq!(label(&browser.comes_back(&two.at_honest, &mixed)), "mismatching_state");
        assert!(two.told_evil().is_empty(), "the evil server learns no code");
        // At its own callback the answer names the wrong server, if it names one.
        let at_evil = browser.begins(&two.at_evil, OF_EVIL);
        let mixed = two.evil.sign_in(&at_evil, "alice").with("code", &code).with("iss", HONEST);
        assert_eq!(label(&browser.comes_back(&two.at_evil, &mixed)), "mismatching_issuer");
        assert!(two.told_evil().is_empty());

        // And the reverse: the evil server's answer at the honest client's callback.
        let browser = Browser::default();
        let at_honest = browser.begins(&two.at_honest, OF_HONEST);
        let evil_answer = two.evil.sign_in(&Browser::default().begins(&two.at_evil, OF_EVIL), "mallory");
        assert_eq!(label(&browser.comes_back(&two.at_honest, &evil_answer)), "mismatching_state");
        let own = two.honest.sign_in(&at_honest, "alice");
        assert_eq!(label(&browser.comes_back(&two.at_evil, &own)), "mismatching_state");
        assert!(two.told_evil().is_empty());
    }
}

#[test]
fn a_code_of_the_honest_server_is_worth_nothing_to_the_evil_one_without_the_verifier_of_its_login() {
    // The worst of it: neither server names itself, and the evil one gets the honest code at its own callback.
    let two = Two::new(TestIssuer::omit_response_issuer);
    let (victim, browser) = (Browser::default(), Browser::default());
    let code = two.honest.sign_in(&victim.begins(&two.at_honest, OF_HONEST), "alice");
    let at_evil = two.evil.sign_in(&browser.begins(&two.at_evil, OF_EVIL), "alice");
    let result = browser.comes_back(&two.at_evil, &at_evil.with("code", code.parameter("code").unwrap()));
    assert_eq!(server_error(&result), Some("invalid_grant"));
    // What it was told: a verifier of its own login, with which nobody exchanges that code at the honest one.
    let told = &two.told_evil()[0];
    let injected = Browser::default();
    let answer = two.honest.sign_in(&injected.begins(&two.at_honest, OF_HONEST), "mallory");
    let result = injected.comes_back(&two.at_honest, &answer.with("code", told.one("code").unwrap()));
    assert_eq!(server_error(&result), Some("invalid_grant"));
}

#[test]
fn nothing_of_one_server_is_ever_sent_to_the_other() {
    let two = Two::new(|_| ());
    let browser = Browser::default();
    let answer = two.honest.sign_in(&browser.begins(&two.at_honest, OF_HONEST), "alice");
    let login = browser.comes_back(&two.at_honest, &answer).unwrap();
    block_on(two.at_honest.userinfo(login.token())).unwrap();
    assert_eq!(two.way.beside(HONEST), Vec::<String>::new());
}

#[test]
fn a_redirect_of_any_endpoint_is_not_followed() {
    for endpoint in
        [Endpoint::Token, Endpoint::PushedRequest, Endpoint::Userinfo, Endpoint::OpenIdConfiguration, Endpoint::Jwks]
    {
        let two = Two::new(|_| ());
        two.honest.script(Fault::redirect(&two.evil.token_endpoint()).at(endpoint).at(Endpoint::OAuthMetadata));
        let browser = Browser::default();
        let result = block_on(async {
            let redirect = two.at_honest.authorize_redirect(OF_HONEST).await?;
            browser.keep(redirect.cookies());
            let answer = two.honest.sign_in(redirect.location(), "alice");
            let login = two.at_honest.callback(&browser.callback(&answer.url())).await?;
            two.at_honest.userinfo(login.token()).await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        });
        assert!(result.is_err(), "{endpoint:?}");
        assert_eq!(two.way.beside(HONEST), Vec::<String>::new(), "{endpoint:?}");
    }
}

//! Registrations that stand in variables or in a document.

use futures_executor::block_on;
use scopegate::client::{Callback, Client, PushedRequests, Redirect, Registration, RegistrationDocument};
use scopegate::testing::{TestClient, TestIssuer};
use scopegate::{ConfigError, PlainHttp};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.test";
const BACK: &str = "https://app.example.test/authorize";
const SECRET: &str = "a secret that has thirty-two octets";

const ISSUER_SET: (&str, &str) = ("ISSUER", ISSUER);
const CLIENT: (&str, &str) = ("CLIENT_ID", "app");
const WITH_SECRET: (&str, &str) = ("CLIENT_SECRET", SECRET);

/// By variables that begin with `EXAMPLE_`.
fn from_vars(vars: &[(&str, &str)]) -> Result<Registration, ConfigError> {
    Registration::from_vars("example", |variable| {
        let name = variable.strip_prefix("EXAMPLE_").unwrap();
        vars.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
    })
}

/// By the same settings in a document.
fn from_document(vars: &[(&str, &str)]) -> Result<Registration, ConfigError> {
    let members = vars.iter().map(|(name, value)| (name.to_ascii_lowercase(), Value::from(*value)));
    Registration::try_from(document(Value::Object(members.collect())))
}

fn document(json: Value) -> RegistrationDocument {
    serde_json::from_value(json).unwrap()
}

/// An issuer to which the client is known by its secret, and one to which it is known by its name alone.
fn issuer() -> TestIssuer {
    let issuer = TestIssuer::new(ISSUER);
    issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(BACK));
    issuer.register_client(TestClient::public("native").redirect_uri(BACK));
    issuer
}

fn client(issuer: &TestIssuer, registration: Registration) -> Client {
    // What is asked for is to be seen in the address.
    let registration = registration.pushed_requests(PushedRequests::WhereDemanded);
    Client::new("example", registration.fetch(issuer.fetch())).unwrap()
}

fn redirect(client: &Client) -> Redirect {
    block_on(client.authorize_redirect(BACK)).unwrap()
}

/// Whether a user can log in: the code is exchanged under the client's proof.
fn logs_in(issuer: &TestIssuer, client: &Client) -> bool {
    let redirect = redirect(client);
    let cookie = redirect.cookies()[0].to_str().unwrap().split(';').next().unwrap().to_owned();
    let back = issuer.sign_in(redirect.location(), "alice");
    let request = http::Request::get(back.url()).header("cookie", cookie).body(()).unwrap();
    match block_on(client.callback(&Callback::of(&request))) {
        Ok(login) => login.user().map(|user| user.subject().to_owned()) == Some("alice".to_owned()),
        Err(error) => {
            assert_eq!(error.error().server_error(), Some("invalid_client"), "{error}");
            false
        }
    }
}

#[track_caller]
fn fault(vars: &[(&str, &str)]) -> String {
    let (by_vars, by_document) = (from_vars(vars).unwrap_err(), from_document(vars).unwrap_err());
    let (by_vars, by_document) = (by_vars.to_string(), by_document.to_string());
    let named = |error: &str| error.rsplit_once('"').unwrap().0.rsplit_once('"').unwrap().1.to_owned();
    assert_eq!(named(&by_vars), format!("EXAMPLE_{}", named(&by_document).to_ascii_uppercase()), "{by_vars}");
    assert!(!by_vars.contains(SECRET) && !by_document.contains(SECRET), "{by_vars}");
    by_vars
}

#[test]
fn what_stands_in_variables_or_in_a_document_logs_users_in() {
    let scope = ("SCOPE", "openid profile");
    let methods: [(&[(&str, &str)], bool); 6] = [
        (&[CLIENT, WITH_SECRET], true),
        (&[CLIENT, WITH_SECRET, ("TOKEN_ENDPOINT_AUTH_METHOD", "client_secret_basic")], true),
        (&[CLIENT, WITH_SECRET, ("TOKEN_ENDPOINT_AUTH_METHOD", "client_secret_post")], true),
        (&[CLIENT, ("CLIENT_SECRET", "another secret that has its octets")], false),
        (&[("CLIENT_ID", "native")], true),
        (&[("CLIENT_ID", "native"), ("TOKEN_ENDPOINT_AUTH_METHOD", "none")], true),
    ];
    for (method, is_good) in methods {
        for place in [from_vars, from_document] {
            let issuer = issuer();
            let client = client(&issuer, place(&[method, &[ISSUER_SET, scope]].concat()).unwrap());
            assert_eq!(logs_in(&issuer, &client), is_good, "{method:?}");
        }
    }
}

#[test]
fn a_secret_may_sign_and_is_long_enough_for_it() {
    let signs = ("TOKEN_ENDPOINT_AUTH_METHOD", "client_secret_jwt");
    assert!(from_vars(&[CLIENT, WITH_SECRET, signs, ISSUER_SET]).is_ok());
    let error = fault(&[CLIENT, ("CLIENT_SECRET", "short"), signs, ISSUER_SET]);
    assert!(error.contains("EXAMPLE_CLIENT_SECRET") && error.contains("32 octets"), "{error}");
}

#[test]
fn a_name_is_written_in_capitals_with_underscores() {
    for name in ["my-idp", "My IdP", "MY_IDP"] {
        let registration = Registration::from_vars(name, |variable| match variable {
            "MY_IDP_CLIENT_ID" => Some("app".to_owned()),
            "MY_IDP_ISSUER" => Some(ISSUER.to_owned()),
            _ => None,
        });
        assert!(registration.is_ok(), "{name}");
    }
    for name in ["", "my.idp", "id=", "caf\u{e9}", "a\0"] {
        let error = Registration::from_vars(name, |_| Some("app".to_owned())).unwrap_err();
        assert!(error.to_string().contains("letters"), "{error}");
    }
}

#[test]
fn the_process_is_asked_for_its_variables() {
    let error = Registration::from_env("scopegate test that nobody sets").unwrap_err().to_string();
    assert!(error.starts_with("from_env") && error.contains("SCOPEGATE_TEST_THAT_NOBODY_SETS_CLIENT_ID"), "{error}");
}

#[test]
fn an_issuer_is_told_by_the_address_of_its_metadata() {
    for (identifier, url) in [
        (ISSUER, format!("{ISSUER}/.well-known/openid-configuration")),
        (ISSUER, format!("{ISSUER}/.well-known/oauth-authorization-server")),
        ("https://id.example.test/realms/a", format!("{ISSUER}/realms/a/.well-known/openid-configuration")),
        ("https://id.example.test/realms/a", format!("{ISSUER}/.well-known/oauth-authorization-server/realms/a")),
    ] {
        let issuer = TestIssuer::new(identifier);
        issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(BACK));
        let vars = [CLIENT, WITH_SECRET, ("SERVER_METADATA_URL", &*url), ("SCOPE", "openid")];
        assert!(logs_in(&issuer, &client(&issuer, from_vars(&vars).unwrap())), "{url}");
    }
    let error = fault(&[CLIENT, ("SERVER_METADATA_URL", "https://id.example.test/metadata.json")]);
    assert!(error.contains("EXAMPLE_SERVER_METADATA_URL") && error.contains("give the issuer"), "{error}");
}

#[test]
fn an_issuer_and_the_address_of_its_metadata_agree() {
    let url = ("SERVER_METADATA_URL", "https://id.example.test/.well-known/openid-configuration");
    for same in [ISSUER, "https://id.example.test/"] {
        assert!(from_vars(&[CLIENT, url, ("ISSUER", same)]).is_ok(), "{same}");
    }
    let error = fault(&[CLIENT, url, ("ISSUER", "https://other.example.test")]);
    assert!(error.contains("EXAMPLE_SERVER_METADATA_URL") && error.contains("another issuer"), "{error}");
}

#[test]
fn what_is_set_stands_against_what_the_metadata_says() {
    let issuer = issuer();
    let vars = [CLIENT, ISSUER_SET, ("AUTHORIZE_URL", "https://login.example.test/go?tenant=1")];
    let client = client(&issuer, from_vars(&vars).unwrap());
    assert!(redirect(&client).location().starts_with("https://login.example.test/go?tenant=1&response_type=code"));
}

#[test]
fn a_server_without_metadata_is_told_by_its_endpoints() {
    let issuer = issuer();
    let (authorize, token, jwks) = (issuer.authorization_endpoint(), issuer.token_endpoint(), issuer.jwks_uri());
    let endpoints = [("AUTHORIZE_URL", &*authorize), ("ACCESS_TOKEN_URL", &*token)];
    let openid = [ISSUER_SET, ("JWKS_URI", &*jwks), ("SCOPE", "openid")];
    let client = client(&issuer, from_vars(&[&[CLIENT, WITH_SECRET], &endpoints[..], &openid].concat()).unwrap());
    assert!(logs_in(&issuer, &client));
    assert_eq!(issuer.requests().metadata, 0, "nobody asked for its metadata");

    assert!(from_vars(&[&[CLIENT], &endpoints[..]].concat()).is_ok());
    for (lacks, vars) in [
        ("EXAMPLE_ACCESS_TOKEN_URL", &[CLIENT, endpoints[0]][..]),
        ("EXAMPLE_AUTHORIZE_URL", &[CLIENT, endpoints[1]]),
        ("EXAMPLE_ISSUER", &[CLIENT]),
        ("EXAMPLE_ISSUER", &[CLIENT, endpoints[0], endpoints[1], openid[1]]),
        ("EXAMPLE_CLIENT_ID", &[ISSUER_SET]),
    ] {
        let error = fault(vars);
        assert!(error.contains(lacks) && error.contains("is missing"), "{error}");
    }
}

#[test]
fn each_setting_that_cannot_be_used_is_named() {
    for (name, value, why) in [
        ("ISSUER", "id.example.test", "not an absolute URL"),
        ("ISSUER", "http://id.example.test", "not loopback"),
        ("AUTHORIZE_URL", "https://id.example.test/#a", "fragment"),
        ("ACCESS_TOKEN_URL", "ftp://id.example.test/", "https://"),
        ("JWKS_URI", "https://user:pass@id.example.test/", "user name"),
        ("USERINFO_ENDPOINT", "https://", "URL"),
        ("API_BASE_URL", "/api", "not an absolute URL"),
        ("SERVER_METADATA_URL", "https://id.example.test\\@evil.test/", "character"),
        ("SCOPE", "openid \"all\"", "RFC 6749"),
        ("TOKEN_ENDPOINT_AUTH_METHOD", "private_key_jwt", "given in code"),
        ("TOKEN_ENDPOINT_AUTH_METHOD", "tls_client_auth", "given in code"),
        ("TOKEN_ENDPOINT_AUTH_METHOD", "client_secret_plain", "not a method that is known"),
        ("TOKEN_ENDPOINT_AUTH_METHOD", "none", "though there is a secret"),
        ("CLIENT_ID", "", "is empty"),
        ("CLIENT_SECRET", "", "is empty"),
        ("ISSUER", "", "is empty"),
        ("SCOPE", "", "is empty"),
        ("API_BASE_URL", "", "is empty"),
    ] {
        let kept = [CLIENT, WITH_SECRET, ISSUER_SET].into_iter().filter(|(set, _)| *set != name);
        let vars: Vec<_> = kept.chain([(name, value)]).collect();
        let error = fault(&vars);
        assert!(error.contains(&format!("EXAMPLE_{name}\"")) && error.contains(why), "{name}={value}: {error}");
    }
    for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
        let error = fault(&[CLIENT, ISSUER_SET, ("TOKEN_ENDPOINT_AUTH_METHOD", method)]);
        assert!(error.contains("EXAMPLE_CLIENT_SECRET") && error.contains("is missing"), "{error}");
    }
}

#[test]
fn a_document_may_have_parameters_and_name_the_one_way_of_pkce() {
    let issuer = issuer();
    let settings = json!({
        "client_id": "app", "issuer": ISSUER, "scope": "openid", "code_challenge_method": "S256",
        "authorize_params": { "audience": "https://api.example.test", "access_type": "offline" },
    });
    let client = client(&issuer, Registration::try_from(document(settings)).unwrap());
    let location = redirect(&client).location().to_owned();
    assert!(location.contains("&access_type=offline&audience=https%3A%2F%2Fapi.example.test"), "{location}");
    assert!(location.contains("code_challenge_method=S256"), "{location}");

    for method in ["plain", "s256", "none"] {
        let plain = document(json!({ "client_id": "app", "issuer": ISSUER, "code_challenge_method": method }));
        let error = Registration::try_from(plain).unwrap_err().to_string();
        assert!(error.contains("\"code_challenge_method\"") && error.contains("S256"), "{error}");
    }
    let ours = document(json!({ "client_id": "app", "issuer": ISSUER, "authorize_params": { "state": "1" } }));
    assert!(Client::new("example", Registration::try_from(ours).unwrap()).is_err());
}

#[test]
fn a_document_says_nothing_that_is_not_understood() {
    for settings in [
        json!({ "client_id": "app", "issuer": ISSUER, "client_kwargs": { "scope": "openid" } }),
        json!({ "client_id": "app", "issuer": ISSUER, "client_secrte": SECRET }),
        json!({ "client_id": 7, "issuer": ISSUER }),
        json!({ "client_id": "app", "issuer": ISSUER, "scope": ["openid"] }),
        json!({ "client_id": "app", "issuer": ISSUER, "authorize_params": { "max": 1 } }),
    ] {
        let error = serde_json::from_value::<RegistrationDocument>(settings).unwrap_err().to_string();
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[test]
fn a_secret_is_not_shown() {
    let settings = document(json!({ "client_id": "app", "client_secret": SECRET, "issuer": ISSUER }));
    let shown = format!("{settings:?} {:?}", Registration::try_from(settings.clone()).unwrap());
    assert!(shown.contains("app") && !shown.contains(SECRET), "{shown}");
}

#[test]
fn a_server_on_this_machine_is_allowed_by_code_alone() {
    let local = || from_vars(&[CLIENT, ("ISSUER", "http://127.0.0.1:8080")]).unwrap();
    assert!(Client::new("example", local()).is_err());
    assert!(Client::new("example", local().plain_http(PlainHttp::OnLoopback)).is_ok());
}

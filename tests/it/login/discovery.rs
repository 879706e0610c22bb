//! What the server says of itself: fetched, kept, and not believed in everything.

use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use scopegate::client::{Client, OAuthError, PushedRequests, Registration};
use scopegate::testing::{Endpoint, Fault};
use scopegate::{ClientAuth, PlainHttp};
use serde_json::{Value, json};

use super::world::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A client whose judge fetches nothing, so that what is counted is the client's own.
fn counted(world: &World) -> Client {
    world.client_of(world.registration().scope("things:read").pushed_requests(PushedRequests::WhereDemanded))
}

fn begins(client: &Client) -> Result<String, OAuthError> {
    block_on(client.authorize_redirect(BACK)).map(|redirect| redirect.location().to_owned())
}

/// The world's metadata with this member, or without it where it is null.
fn changed(world: &World, name: &str, value: &Value) -> String {
    let mut document: Value = serde_json::from_str(&world.issuer.metadata()).unwrap();
    match value {
        Value::Null => drop(document.as_object_mut().unwrap().remove(name)),
        value => document[name] = value.clone(),
    }
    document.to_string()
}

fn says(world: &World, document: impl Into<String>) {
    world.issuer.script(Fault::body(document).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
}

#[test]
fn metadata_is_fetched_once_for_all_and_again_after_an_hour() {
    let world = World::new();
    let client = counted(&world);
    assert_eq!(world.issuer.requests().metadata, 0, "nothing is fetched before it is needed");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| begins(&client).unwrap());
        }
    });
    assert_eq!(world.issuer.requests().metadata, 1);
    world.clock.advance(HOUR - Duration::from_millis(1));
    begins(&client).unwrap();
    assert_eq!(world.issuer.requests().metadata, 1);
    let elsewhere = changed(&world, "authorization_endpoint", &json!("https://id.example.com/moved"));
    says(&world, elsewhere);
    world.clock.advance(Duration::from_millis(1));
    // Nobody waits for the newer document while the older one will do; it comes by itself.
    while !begins(&client).unwrap().starts_with("https://id.example.com/moved?") {
        thread::yield_now();
    }
    assert_eq!(world.issuer.requests().metadata, 2);
}

#[test]
fn nobody_waits_for_newer_metadata_while_the_server_hangs() {
    let world = World::new();
    let client = counted(&world);
    begins(&client).unwrap();
    world.issuer.script(Fault::hang());
    world.clock.advance(HOUR);
    for _ in 0..20 {
        begins(&client).unwrap();
    }
    while world.issuer.requests().metadata < 2 {
        thread::yield_now();
    }
    begins(&client).unwrap();
    assert_eq!(world.issuer.requests().metadata, 2, "one is under way");
}

#[test]
fn old_metadata_is_used_for_a_day_while_the_server_is_down() {
    let world = World::new();
    let client = counted(&world);
    begins(&client).unwrap();
    world.issuer.script(Fault::status(503));
    world.clock.advance(HOUR);
    begins(&client).unwrap();
    let asked = || world.issuer.requests().metadata;
    while asked() < 2 {
        thread::yield_now();
    }
    world.clock.advance(Duration::from_secs(59));
    begins(&client).unwrap();
    assert_eq!(asked(), 2, "it is left alone for a minute");
    // The failure may have been noted before the clock was turned, or after.
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        begins(&client).unwrap();
    }
    while asked() < 3 {
        world.clock.advance(Duration::from_secs(1));
        begins(&client).unwrap();
    }
    world.clock.advance(23 * HOUR);
    assert_eq!(begins(&client).unwrap_err().label(), "unreachable");
    world.issuer.recover();
    world.clock.advance(Duration::from_secs(60));
    begins(&client).unwrap();
}

#[test]
fn a_server_that_cannot_be_asked_is_the_operators_news_and_nobody_queues_up_for_it() {
    let world = World::new();
    let client = counted(&world);
    world.issuer.script(Fault::status(500));
    let error = begins(&client).unwrap_err();
    assert_eq!((error.label(), error.status().as_u16()), ("unreachable", 503));
    let asked = world.issuer.requests().metadata;
    for _ in 0..20 {
        assert!(begins(&client).is_err());
    }
    assert_eq!(world.issuer.requests().metadata, asked, "for a while nobody asks again");
    world.issuer.recover();
    world.clock.advance(Duration::from_secs(5));
    begins(&client).unwrap();
}

#[test]
fn those_who_wait_for_a_server_that_hangs_wait_together() {
    let world = World::new();
    let client = counted(&world);
    world.issuer.script(Fault::hang());
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| begins(&client).map_err(|error| error.label()))).collect();
        while world.issuer.requests().metadata == 0 {
            thread::yield_now();
        }
        // The whole time of one exchange, once: eight of them one after another would hang here for good.
        world.clock.advance(Duration::from_secs(10));
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), Err("unreachable"));
        }
    });
    assert_eq!(world.issuer.requests().metadata, 1);
}

#[test]
fn the_document_of_another_issuer_is_not_believed() {
    let others = [
        json!("https://evil.example.com"),
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("http://id.example.com"),
        json!(["https://id.example.com"]),
        json!(7),
        Value::Null,
    ];
    for other in others {
        let world = World::new();
        says(&world, changed(&world, "issuer", &other));
        assert_eq!(begins(&counted(&world)).unwrap_err().label(), "unreachable", "{other}");
    }
    let world = World::new();
    says(&world, changed(&world, "issuer", &json!(ISSUER)));
    begins(&counted(&world)).unwrap();
}

#[test]
fn what_is_no_strict_json_object_is_no_metadata() {
    let good = World::new().issuer.metadata();
    let twice = good.replacen('{', r#"{"token_endpoint":"https://evil.example.com/token","#, 1);
    for document in ["", "[]", "null", "<html>", &format!("{good}x"), &good[..good.len() - 1], &twice] {
        let world = World::new();
        says(&world, document);
        assert_eq!(begins(&counted(&world)).unwrap_err().label(), "unreachable", "{document:.60}");
    }
    let world = World::new();
    world.issuer.script(Fault::content_type("text/html").at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    assert_eq!(begins(&counted(&world)).unwrap_err().label(), "unreachable");
}

#[test]
fn an_endpoint_that_is_no_https_url_is_never_asked_nor_a_browser_sent_there() {
    let unusable = [
        json!("javascript:alert(1)"),
        json!("http://id.example.com/x"),
        json!("http://localhost/x"),
        json!("data:text/html,x"),
        json!("//id.example.com/x"),
        json!("/x"),
        json!("https://"),
        json!("https://user:secret@id.example.com/x"),
        json!("https://id.example.com/x#fragment"),
        json!("https://id.example.com/a b"),
        json!("https://id.example.com\\@evil.example.com/"),
        json!(""),
        json!(7),
        json!(["https://id.example.com/x"]),
    ];
    for url in unusable {
        for endpoint in ["authorization_endpoint", "token_endpoint"] {
            let world = World::new();
            says(&world, changed(&world, endpoint, &url));
            assert_eq!(begins(&counted(&world)).unwrap_err().label(), "unreachable", "{endpoint} {url}");
        }
        let world = World::new();
        let client = world.client();
        says(&world, changed(&world, "userinfo_endpoint", &url));
        let login = world.login(&client, BACK).unwrap();
        assert_eq!(block_on(client.userinfo(login.token())).unwrap_err().label(), "unreachable", "{url}");
        assert_eq!(world.way.beside(ISSUER), Vec::<String>::new(), "{url}");
    }
    let world = World::new();
    says(&world, changed(&world, "authorization_endpoint", &json!("https://login.example.com/a?tenant=1")));
    assert!(begins(&counted(&world)).unwrap().starts_with("https://login.example.com/a?tenant=1&response_type=code&"));
}

#[test]
fn what_is_wrong_with_an_endpoint_is_nobodys_trouble_who_does_not_need_it() {
    for url in [json!("javascript:alert(1)"), json!(7)] {
        for endpoint in [
            "pushed_authorization_request_endpoint",
            "userinfo_endpoint",
            "revocation_endpoint",
            "end_session_endpoint",
        ] {
            let world = World::new();
            says(&world, changed(&world, endpoint, &url));
            assert_eq!(label(&world.login(&counted(&world), BACK)), "a login", "{endpoint}");
        }
        let world = World::new();
        says(&world, changed(&world, "pushed_authorization_request_endpoint", &url));
        let pushing = world.client();
        assert_eq!(begins(&pushing).unwrap_err().label(), "unreachable", "where it is needed it is not passed over");
    }
}

#[test]
fn a_server_that_lacks_what_is_needed_is_said_to() {
    let world = World::new();
    says(&world, changed(&world, "authorization_endpoint", &Value::Null));
    let error = begins(&counted(&world)).unwrap_err();
    assert_eq!((error.label(), error.status().as_u16()), ("unsupported", 500));

    let world = World::new();
    says(&world, changed(&world, "token_endpoint", &Value::Null));
    assert!(begins(&counted(&world)).is_err());

    // Without keys there is no login with an ID token, and it is not the user's fault.
    let world = World::new();
    says(&world, changed(&world, "jwks_uri", &Value::Null));
    assert_eq!(label(&world.login(&world.client(), BACK)), "unreachable");
    let world = World::new();
    says(&world, changed(&world, "jwks_uri", &Value::Null));
    assert_eq!(label(&world.login(&counted(&world), BACK)), "a login", "a server without OpenID has none");
}

#[test]
fn a_server_that_publishes_under_the_name_of_rfc_8414_alone_is_found() {
    let world = World::new();
    world.issuer.script(Fault::status(404).at(Endpoint::OpenIdConfiguration));
    assert_eq!(label(&world.login(&world.client(), BACK)), "a login");
}

#[test]
fn metadata_cannot_widen_what_a_token_is_signed_with() {
    let world = World::new();
    says(&world, changed(&world, "id_token_signing_alg_values_supported", &json!(["none", "HS256", "ES256"])));
    assert_eq!(why(world.login_with(scopegate::testing::TestToken::unsigned)), "AlgorithmRefused");
    assert_eq!(why(world.login_with(|token| token)), "accepted");
}

#[test]
fn addresses_of_a_registration_are_https_or_loopback_by_name() {
    let auth = || ClientAuth::basic("app", SECRET);
    let good = "https://id.example.com/x";
    for bad in
        ["http://id.example.com/x", "javascript:alert(1)", "x", "", "https://id.example.com/x#y", "http://localhost/x"]
    {
        let table = [
            Registration::endpoints(bad, good, auth()),
            Registration::endpoints(good, bad, auth()),
            Registration::endpoints(good, good, auth()).userinfo_url(bad),
            Registration::endpoints(good, good, auth()).revocation_url(bad),
            Registration::endpoints(good, good, auth()).end_session_url(bad),
            Registration::endpoints(good, good, auth()).pushed_authorization_request_url(bad),
            Registration::endpoints(good, good, auth()).openid(ISSUER, bad),
            Registration::endpoints(good, good, auth()).openid(bad, good),
            Registration::discover(bad, auth()),
        ];
        for registration in table {
            assert!(Client::new("example", registration).is_err(), "{bad}");
        }
    }
    assert!(Client::new("example", Registration::endpoints(good, good, auth())).is_ok());
    let local = Registration::endpoints("http://localhost/x", "http://127.0.0.1:1/x", auth());
    assert!(Client::new("example", local.plain_http(PlainHttp::OnLoopback)).is_ok());
}

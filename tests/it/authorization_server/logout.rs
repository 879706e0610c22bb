//! Signing out, and who is told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::*;

fn end(world: &World, fields: &[(&str, &str)]) -> String {
    format!("{}?{}", world.issuer.end_session_endpoint(), form(fields.iter().copied()))
}

#[test]
fn an_id_token_signs_out_without_a_question_and_ends_what_the_session_renewed() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let code = browser.send(&consent, &[("decision", "allow")]).parameter("code").unwrap();
    let body = world.exchange(&code, &[]).1;
    let another = world.tokens(&[]);
    world.advance(3600); // the ID token has expired, and is a hint still
    let to = [
        ("id_token_hint", text(&body["id_token"])),
        ("post_logout_redirect_uri", "https://web.test/"),
        ("state", "bye"),
    ];
    let shown = browser.get(&end(&world, &to));
    assert_eq!((shown.status, shown.location.as_deref()), (303, Some("https://web.test/?state=bye")));
    assert_eq!(browser.cookie, None);
    assert_eq!(world.refresh(text(&body["refresh_token"]), &[]).1["error"], "invalid_grant");
    assert_eq!(world.refresh(text(&another["refresh_token"]), &[]).0, 200, "another session goes on");
    assert!(browser.get(&world.url(&[])).html.contains("id=\"sign-in\""));
}

#[test]
fn a_refresh_token_for_the_time_after_it_outlives_the_session() {
    let world = World::new();
    let body = world.tokens(&[("scope", "openid offline_access")]);
    world.browser().get(&end(&world, &[("id_token_hint", text(&body["id_token"]))]));
    assert_eq!(world.refresh(text(&body["refresh_token"]), &[]).0, 200);
}

#[test]
fn without_a_hint_the_person_is_asked() {
    let world = World::new();
    let mut browser = world.browser();
    let shown = browser.get(&end(&world, &[]));
    assert!(shown.html.contains("<h1>Signed out</h1>"), "nobody is there to be asked");

    let consent = browser.sign_in(&world.url(&[]), "alice");
    browser.send(&consent, &[("decision", "allow")]);
    let to = [("client_id", "web"), ("post_logout_redirect_uri", "https://web.test/")];
    let question = browser.get(&end(&world, &to));
    assert!(question.html.contains("id=\"sign-out\"") && question.html.contains("<bdi>alice</bdi>"));
    assert!(browser.get(&world.url(&[])).parameter("code").is_some(), "not yet");
    assert_eq!(world.browser().send(&question, &[]).status, 400, "another browser has no say");
    let gone = browser.send(&question, &[]);
    assert_eq!(gone.location.as_deref(), Some("https://web.test/"));
    assert!(browser.get(&world.url(&[])).html.contains("id=\"sign-in\""));
}

#[test]
fn a_page_that_was_left_open_allows_nothing_after_the_session() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let (mut tab, question) = (world.browser(), browser.get(&end(&world, &[])));
    tab.cookie = browser.cookie.clone();
    assert!(browser.send(&question, &[]).html.contains("<h1>Signed out</h1>"));
    let back = tab.send(&consent, &[("decision", "allow")]);
    assert_eq!(back.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(back.parameter("code"), None);
}

#[test]
fn a_code_of_a_session_that_has_ended_brings_nothing() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    browser.send(&consent, &[("decision", "allow")]);
    let code = browser.get(&world.url(&[])).parameter("code").unwrap();
    let question = browser.get(&end(&world, &[]));
    browser.send(&question, &[]);
    assert_eq!(world.exchange(&code, &[]).1["error"], "invalid_grant");
}

#[test]
fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let world = World::new();
    let body = world.tokens(&[]);
    let hint = text(&body["id_token"]);
    let other = TestIssuer::new("https://issuer.test");
    let forged = other.token().audience("web").mint();
    for fields in [
        &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://web.test/other")][..],
        &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://web.test/"), ("client_id", "app")],
        &[("post_logout_redirect_uri", "https://web.test/")],
        &[("client_id", "app"), ("post_logout_redirect_uri", "https://web.test/")],
        &[("id_token_hint", &forged), ("post_logout_redirect_uri", "https://web.test/")],
        &[("id_token_hint", "nonsense")],
        &[("id_token_hint", text(&body["access_token"]))],
    ] {
        let shown = world.browser().get(&end(&world, fields));
        assert_eq!((shown.status, shown.location), (400, None), "{fields:?}");
    }
    assert_eq!(world.refresh(text(&body["refresh_token"]), &[]).0, 200, "and nothing has ended");
}

#[test]
fn a_logout_token_is_about_the_newest_session_of_the_client() {
    let world = World::new();
    world.tokens(&[]);
    let sid = part(&world.tokens(&[])["id_token"], 1)["sid"].clone();
    let token = world.issuer.logout_token("web").mint().into();
    assert_eq!(part(&token, 0)["typ"], "logout+jwt");
    let claims = part(&token, 1);
    assert_eq!((&claims["aud"], &claims["sub"], &claims["sid"]), (&json!("web"), &json!("alice"), &sid));
    assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    assert_eq!((&claims["iss"], claims["iat"].as_i64()), (&json!("https://issuer.test"), Some(NOW)));
    assert!(claims["jti"].is_string() && claims["exp"].as_i64() == Some(NOW + 120));
    assert!(claims.get("nonce").is_none() && claims.get("client_id").is_none());
    let without = part(&world.issuer.logout_token("app").without("events").mint().into(), 1);
    assert_eq!((&without["sub"], without.get("sid"), without.get("events")), (&json!("user-1"), None, None));
}

/// Reads one request: its head, and the body that the head promises.
fn read(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = Vec::new();
    let mut octets = [0; 4096];
    loop {
        let length = stream.read(&mut octets).unwrap();
        request.extend_from_slice(&octets[..length]);
        let seen = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = seen.split_once("\r\n\r\n") else { continue };
        let promised = between(&head.to_ascii_lowercase(), "content-length: ", "\r\n").trim().parse::<usize>().unwrap();
        if body.len() == promised {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            return seen;
        }
    }
}

#[test]
fn an_issuer_on_loopback_tells_the_clients_of_the_session() {
    let told = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::of(TestIssuer::on_loopback().unwrap());
    let uri = format!("http://{}/logout?from=issuer", told.local_addr().unwrap());
    world
        .issuer
        .register_client(TestClient::confidential("web", "s3cret").redirect_uri(CALLBACK).backchannel_logout_uri(uri));
    let body = world.tokens(&[]);
    world.browser().get(&end(&world, &[("id_token_hint", text(&body["id_token"]))]));
    let request = read(told.accept().unwrap().0);
    assert!(request.starts_with("POST /logout?from=issuer HTTP/1.1\r\n"));
    assert!(request.contains("application/x-www-form-urlencoded"));
    let token = request.split_once("\r\n\r\nlogout_token=").unwrap().1.to_owned().into();
    let claims = part(&token, 1);
    assert_eq!((&claims["aud"], &claims["sid"]), (&json!("web"), &part(&body["id_token"], 1)["sid"]));
}

#[test]
fn a_sign_in_over_sockets_is_the_same() {
    let world = World::of(TestIssuer::on_loopback().unwrap());
    let post = |path: &str, cookie: &str, body: &str| {
        let mut stream = TcpStream::connect(world.issuer.address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let kind = "content-type: application/x-www-form-urlencoded\r\nconnection: close";
        let (method, length) = if body.is_empty() { ("GET", 0) } else { ("POST", body.len()) };
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: issuer\r\n{kind}\r\ncookie: {cookie}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let cookie = |answer: &str| between(answer, "set-cookie: ", ";").to_owned();
    let transaction = |answer: &str| between(answer, "name=\"transaction\" value=\"", "\"").to_owned();
    let url = world.url(&[]);
    let login = post(url.strip_prefix(world.issuer.id()).unwrap(), "other=1", "");
    let consent = post("/authorize", &cookie(&login), &format!("transaction={}&login=alice", transaction(&login)));
    assert!(consent.contains("id=\"allow\""), "{consent}");
    let decision = format!("transaction={}&decision=allow", transaction(&consent));
    let back = post("/authorize", &format!("other=1; {}", cookie(&consent)), &decision);
    assert!(back.starts_with("HTTP/1.1 303"));
    let code = between(&back, "code=", "&").split("\r\n").next().unwrap().to_owned();
    assert_eq!(world.exchange(&code, &[]).0, 200);
}

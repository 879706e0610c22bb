//! Whose login an answer belongs to: state, cookie and browser (RFC 6749 s10.12, RFC 9700 s4.7).

use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request};
use scopegate::ClientAuth;
use scopegate::client::{Callback, Client, CookieStore, MemoryStore, Registration, StateStore};
use scopegate::testing::TestClient;

use super::world::*;

const LOCAL: &str = "http://localhost:8000/authorize";

/// The client with each store of this crate.
fn clients(world: &World) -> [Client; 2] {
    let stores: [Arc<dyn StateStore>; 2] =
        [Arc::new(CookieStore::new(&[7; 32]).unwrap()), Arc::new(MemoryStore::default())];
    stores.map(|store| world.client_of(world.registration().state_store(store)))
}

/// The callback of this answer with exactly this `Cookie` field.
fn with_cookies(url: &str, cookies: &[u8]) -> Callback {
    let mut request = Request::get(url).body(()).unwrap();
    request.headers_mut().insert(COOKIE, HeaderValue::from_bytes(cookies).unwrap());
    Callback::of(&request)
}

#[test]
fn an_attackers_code_and_state_complete_nothing_in_the_victims_browser() {
    let world = World::new();
    for client in clients(&world) {
        // The attacker begins a login of his own, and has the victim's browser bring the answer: login CSRF.
        let attacker = Browser::default();
        let answer = world.issuer.sign_in(&attacker.begins(&client, BACK), "mallory");
        let victim = Browser::default();
        assert_eq!(label(&victim.comes_back(&client, &answer)), "mismatching_state");
        // A login of the victim's own is open at the time.
        let open = world.answer(&client, &victim, BACK);
        assert_eq!(label(&victim.comes_back(&client, &answer)), "mismatching_state");
        assert_eq!(whose(&victim.comes_back(&client, &open)), "alice", "and goes on");
        assert_eq!(whose(&attacker.comes_back(&client, &answer)), "mallory", "in its own browser the answer is good");
    }
}

#[test]
fn the_victims_answer_completes_nothing_in_the_attackers_browser() {
    let world = World::new();
    for client in clients(&world) {
        let (victim, attacker) = (Browser::default(), Browser::default());
        let stolen = world.answer(&client, &victim, BACK);
        world.answer(&client, &attacker, BACK);
        let before = world.issuer.requests().token;
        assert_eq!(label(&attacker.comes_back(&client, &stolen)), "mismatching_state");
        // The secret of the attacker's own login under the name of the victim's.
        let own = attacker.only().1;
        let forged = Browser::default();
        forged.set(&victim.only().0, &own);
        assert_eq!(label(&forged.comes_back(&client, &stolen)), "mismatching_state");
        assert_eq!(world.issuer.requests().token, before, "the code was not sent anywhere");
    }
}

#[test]
fn a_state_counts_once() {
    let world = World::new();
    for client in clients(&world) {
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let kept = browser.jar.borrow().clone();
        assert_eq!(whose(&browser.comes_back(&client, &answer)), "alice");
        let exchanges = world.issuer.requests().token;
        for _ in 0..2 {
            browser.jar.replace(kept.clone());
            assert_eq!(label(&browser.comes_back(&client, &answer)), "mismatching_state");
        }
        assert_eq!(world.issuer.requests().token, exchanges);
    }
}

#[test]
fn a_state_is_used_up_by_a_login_that_fails_and_its_cookie_taken_away() {
    let world = World::new();
    for client in clients(&world) {
        type Spoil = fn(scopegate::testing::TestRedirect) -> scopegate::testing::TestRedirect;
        let spoilt: [(&str, Spoil); 4] = [
            ("refused", |answer| answer.without("code").with("error", "access_denied")),
            ("missing_code", |answer| answer.without("code")),
            ("mismatching_issuer", |answer| answer.with("iss", "https://evil.example.com")),
            ("refused", |answer| answer.with("code", "another")),
        ];
        for (why, spoil) in spoilt {
            let browser = Browser::default();
            let good = world.answer(&client, &browser, BACK);
            let kept = browser.jar.borrow().clone();
            assert_eq!(label(&browser.comes_back(&client, &spoil(good.clone()))), why);
            assert!(browser.jar.borrow().is_empty(), "{why}: the cookie is gone");
            browser.jar.replace(kept);
            assert_eq!(label(&browser.comes_back(&client, &good)), "mismatching_state", "{why}");
        }
    }
}

#[test]
fn an_answer_that_repeats_a_parameter_uses_the_state_up_too() {
    let world = World::new();
    for client in clients(&world) {
        let browser = Browser::default();
        let good = world.answer(&client, &browser, BACK);
        let kept = browser.jar.borrow().clone();
        let twice = format!("{}&code=another", good.url());
        assert_eq!(label(&browser.brings(&client, &browser.callback(&twice))), "malformed_response");
        assert!(browser.jar.borrow().is_empty());
        browser.jar.replace(kept);
        assert_eq!(label(&browser.comes_back(&client, &good)), "mismatching_state");
    }
}

#[test]
fn a_state_ends_by_the_clock_whatever_the_browser_keeps() {
    let world = World::new();
    let stores: [Arc<dyn StateStore>; 2] =
        [Arc::new(CookieStore::new(&[7; 32]).unwrap()), Arc::new(MemoryStore::default())];
    for store in stores {
        let table = [
            // The state is good, and the server's code has ended long since.
            (599, None, "refused"),
            (600, None, "mismatching_state"),
            (59, Some(60), "a login"),
            (60, Some(60), "mismatching_state"),
        ];
        for (seconds, time, expected) in table {
            let mut registration = world.registration().state_store(Arc::clone(&store));
            if let Some(time) = time {
                registration = registration.login_time(Duration::from_secs(time));
            }
            let client = world.client_of(registration);
            let browser = Browser::default();
            let answer = world.answer(&client, &browser, BACK);
            world.clock.advance(Duration::from_secs(seconds));
            assert_eq!(label(&browser.comes_back(&client, &answer)), expected, "{seconds} s of {time:?}");
        }
    }
    for outside in [59, 3601] {
        let registration = world.registration().login_time(Duration::from_secs(outside));
        assert!(Client::new("example", registration).is_err());
    }
}

#[test]
fn a_state_that_is_none_of_ours_reaches_no_store() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let good = world.answer(&client, &browser, BACK);
    let state = good.parameter("state").unwrap();
    let others = [
        String::new(),
        "x".to_owned(),
        state[..42].to_owned(),
        format!("{state}A"),
        format!("{}!", &state[..42]),
        "A".repeat(43),
        "A".repeat(4000),
        format!("{state}\u{0}"),
    ];
    for other in others {
        let result = browser.comes_back(&client, &good.clone().with("state", &other));
        assert_eq!(label(&result), "mismatching_state", "{other:?}");
    }
    assert_eq!(label(&browser.comes_back(&client, &good.clone().without("state"))), "mismatching_state");
    assert_eq!(whose(&browser.comes_back(&client, &good)), "alice");
}

/// What can be made of a cookie, with that of another login at hand.
fn spoilt_cookies(value: &str, other: &str) -> Vec<String> {
    let (secret, kept) = value.split_once('.').unwrap();
    let (other_secret, other_kept) = other.split_once('.').unwrap();
    let mut spoilt = vec![
        String::new(),
        ".".to_owned(),
        secret.to_owned(),
        kept.to_owned(),
        format!("{secret}."),
        format!("{secret}.{kept}."),
        format!("{secret}..{kept}"),
        format!("{secret}.{kept}="),
        format!("\"{value}\""),
        other.to_owned(),
        format!("{other_secret}.{kept}"),
        format!("{secret}.{other_kept}"),
        format!("{secret}.{}", &kept[..kept.len() - 4]),
        format!("{secret}.{}", &kept[..16]),
        format!("{secret}.{}", "A".repeat(100_000)),
    ];
    // One character of each part of it.
    for at in [0, 10, 41, 44, 60, value.len() / 2, value.len() - 3] {
        let mut changed = value.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        spoilt.push(String::from_utf8(changed).unwrap());
    }
    spoilt
}

#[test]
fn a_cookie_that_was_changed_cut_or_exchanged_completes_nothing() {
    let world = World::new();
    let client = world.client();
    let count = spoilt_cookies(&format!("s.{}", "k".repeat(100)), "o.p").len();
    for place in 0..count {
        // A login of its own for each, since a good record with another secret uses it up.
        let (browser, other) = (Browser::default(), Browser::default());
        let answer = world.answer(&client, &browser, BACK);
        world.answer(&client, &other, BACK);
        let (name, value) = browser.only();
        let spoilt = &spoilt_cookies(&value, &other.only().1)[place];
        let callback = with_cookies(&answer.url(), format!("{name}={spoilt}").as_bytes());
        let result = block_on(client.callback(&callback));
        assert_eq!(label(&result), "mismatching_state", "{place}: {spoilt:.80}");
    }
    let twin = Browser::default();
    let answer = world.answer(&client, &twin, BACK);
    assert_eq!(whose(&twin.comes_back(&client, &answer)), "alice");
}

#[test]
fn a_changed_cookie_is_refused_before_it_uses_anything_up() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let answer = world.answer(&client, &browser, BACK);
    let (name, value) = browser.only();
    let mut changed = value.into_bytes();
    *changed.last_mut().unwrap() ^= 0x01;
    let callback = with_cookies(&answer.url(), &[name.as_bytes(), b"=", &changed].concat());
    assert!(block_on(client.callback(&callback)).is_err());
    assert_eq!(whose(&browser.comes_back(&client, &answer)), "alice");
}

#[test]
fn a_cookie_without_the_host_prefix_counts_for_nothing_at_an_https_site() {
    let world = World::new();
    for client in clients(&world) {
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let (name, value) = browser.only();
        // A neighbouring host, or somebody on the way to it, can set any cookie but one whose name begins so (RFC 6265bis s4.1.3.2).
        let plain = name.strip_prefix("__Host-").unwrap();
        let injected = with_cookies(&answer.url(), format!("{plain}={value}").as_bytes());
        assert_eq!(block_on(client.callback(&injected)).unwrap_err().error().label(), "mismatching_state");
        let twin = Browser::default();
        let answer = world.answer(&client, &twin, BACK);
        twin.set(plain, "of somebody else");
        assert_eq!(whose(&twin.comes_back(&client, &answer)), "alice", "and it hides nothing");
    }
}

#[test]
fn a_program_on_ones_own_machine_logs_in_over_plain_http_in_any_spelling() {
    for address in [LOCAL, "http://127.0.0.1:8000/authorize", "HTTP://localhost:8000/authorize"] {
        let world = World::new();
        world.issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(address));
        let registration = world.registration().plain_http(scopegate::PlainHttp::OnLoopback);
        let client = world.client_of(registration);
        let browser = Browser::default();
        let redirect = block_on(client.authorize_redirect(address)).unwrap();
        let cookie = redirect.cookies()[0].to_str().unwrap();
        assert!(!cookie.contains("Secure") && !cookie.starts_with("__Host-"), "{cookie}");
        browser.keep(redirect.cookies());
        let answer = world.issuer.sign_in(redirect.location(), "alice");
        assert_eq!(whose(&browser.comes_back(&client, &answer)), "alice", "{address}");
    }
    let world = World::new();
    let refused = block_on(world.client().authorize_redirect(LOCAL)).unwrap_err();
    assert_eq!(refused.label(), "invalid_request", "unless it is allowed by name");
}

#[test]
fn where_a_name_stands_twice_among_the_cookies_neither_counts() {
    let world = World::new();
    for client in clients(&world) {
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let (name, value) = browser.only();
        let attacker = Browser::default();
        world.answer(&client, &attacker, BACK);
        let other = attacker.only().1;
        for twice in [
            format!("{name}={value}; {name}={other}"),
            format!("{name}={other}; {name}={value}"),
            format!("{name}={value}; a=b; {name}={value}"),
        ] {
            let callback = with_cookies(&answer.url(), twice.as_bytes());
            assert_eq!(block_on(client.callback(&callback)).unwrap_err().error().label(), "mismatching_state");
        }
        // In two header fields it is no different (RFC 9113 s8.2.3 allows them).
        let mut request = Request::get(answer.url()).body(()).unwrap();
        for value in [&value, &other] {
            request.headers_mut().append(COOKIE, HeaderValue::try_from(format!("{name}={value}")).unwrap());
        }
        assert!(block_on(client.callback(&Callback::of(&request))).is_err());
        assert_eq!(whose(&browser.comes_back(&client, &answer)), "alice", "nothing was used up");
    }
}

#[test]
fn cookies_of_others_with_any_octets_hide_nothing() {
    let world = World::new();
    for others in ["theme=\u{e4}".as_bytes(), b"x=\xff\xfe", b"", b";;;", b"=", b"oauth-login-", b"__Host-"] {
        let client = world.client();
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let (name, value) = browser.only();
        let own = format!("{name}={value}");
        let field = [others, b"; ", own.as_bytes(), b"; y=z"].concat();
        let callback = with_cookies(&answer.url(), &field);
        let result = block_on(client.callback(&callback));
        assert_eq!(label(&result), "a login", "{:?}", String::from_utf8_lossy(others));
    }
}

#[test]
fn a_login_of_one_client_is_not_completed_by_another_of_the_same_program() {
    let world = World::new();
    let store: Arc<dyn StateStore> = Arc::new(CookieStore::new(&[7; 32]).unwrap());
    let client = |name: &str| Client::new(name, world.registration().state_store(Arc::clone(&store))).unwrap();
    let (one, two) = (client("one"), client("two"));
    let browser = Browser::default();
    let answer = world.answer(&one, &browser, BACK);
    assert_eq!(label(&browser.comes_back(&two, &answer)), "mismatching_state");
    let browser = Browser::default();
    let answer = world.answer(&one, &browser, BACK);
    assert_eq!(whose(&browser.comes_back(&client("one"), &answer)), "alice");
}

#[test]
fn a_login_that_needs_more_than_a_cookie_holds_does_not_begin() {
    let world = World::new();
    let request = |length: usize| {
        let long = format!("https://api.test/{}", "a".repeat(length));
        scopegate::client::AuthorizationRequest::to(BACK).resource(long)
    };
    let error = block_on(world.client().authorize_redirect(request(4000))).unwrap_err();
    assert_eq!((error.label(), error.status().as_u16()), ("invalid_request", 400));
    assert!(block_on(world.client().authorize_redirect(request(2000))).is_ok());
    // The longest place to go back to fits, whatever its letters are.
    for letter in ["a", "'", "&", "%"] {
        let long = format!("/{}", letter.repeat(2047));
        let request = scopegate::client::AuthorizationRequest::to(BACK).return_to(long);
        assert!(block_on(world.client().authorize_redirect(request)).is_ok(), "{letter}");
    }
}

#[test]
fn an_answer_without_any_cookie_is_of_no_login() {
    let world = World::new();
    let client = world.client();
    let answer = world.answer(&client, &Browser::default(), BACK);
    let none = Callback::of_query(&HeaderMap::new(), answer.url().split_once('?').unwrap().1);
    assert_eq!(block_on(client.callback(&none)).unwrap_err().error().label(), "mismatching_state");
}

#[test]
fn a_login_that_was_begun_without_metadata_is_bound_just_so() {
    let world = World::new();
    let issuer = &world.issuer;
    let auth = ClientAuth::basic("app", SECRET);
    let explicit = Registration::endpoints(issuer.authorization_endpoint(), issuer.token_endpoint(), auth);
    let client = world.client_of(world.on_the_way(explicit));
    let (browser, stranger) = (Browser::default(), Browser::default());
    let answer = world.answer(&client, &browser, BACK);
    assert_eq!(label(&stranger.comes_back(&client, &answer)), "mismatching_state");
    assert_eq!(label(&browser.comes_back(&client, &answer)), "a login");
}

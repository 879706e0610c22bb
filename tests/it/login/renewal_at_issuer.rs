//! The same at an issuer that rotates refresh tokens, and ends what came of a sign-in when one is used twice.

use std::time::Duration;

use futures_executor::block_on;
use http::Request;
use scopegate::ClientAuth;
use scopegate::client::{Callback, Client, Registration, TokenSet};
use scopegate::testing::{TestClient, TestClock, TestIssuer};

use super::token_server::{Calling, NOW};

const ID: &str = "https://id.test";
const BACK: &str = "https://app.test/authorize";

fn issuer(clock: &TestClock) -> TestIssuer {
    let issuer = TestIssuer::new(ID).clock(clock);
    issuer.register_client(TestClient::confidential("app", "s3cret").redirect_uri(BACK));
    issuer
}

/// A process of the program.
fn process(issuer: &TestIssuer, clock: &TestClock) -> Client {
    let registration = Registration::discover(ID, ClientAuth::basic("app", "s3cret")).scope("openid things:read");
    Client::new("example", registration.fetch(issuer.fetch()).clock(clock.clone())).unwrap()
}

fn sign_in(issuer: &TestIssuer, client: &Client) -> TokenSet {
    let redirect = block_on(client.authorize_redirect(BACK)).unwrap();
    let cookie = redirect.cookies()[0].to_str().unwrap().split(';').next().unwrap().to_owned();
    let back = issuer.sign_in(redirect.location(), "alice");
    let request = Request::get(back.url()).header("cookie", cookie).body(()).unwrap();
    block_on(client.callback(&Callback::of(&request))).unwrap().into_token()
}

#[test]
fn api_clients_in_a_race_use_a_refresh_token_once_and_the_session_goes_on() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(&clock);
    let client = process(&issuer, &clock);
    let first = sign_in(&issuer, &client);
    assert_eq!((first.subject(), first.scope()), (Some("alice"), Some("openid things:read")));

    let mut before = first;
    for _ in 0..3 {
        clock.set_wall(before.expires_at().unwrap());
        let mut callers: Vec<Calling<TokenSet>> = Vec::new();
        for _ in 0..50 {
            let api = client.api(before.clone());
            callers.push(Box::pin(async move { api.fresh_token().await }));
        }
        let sets: Vec<_> = callers.into_iter().map(|caller| block_on(caller).unwrap()).collect();
        assert!(sets.iter().all(|set| *set == sets[0]));
        let after = sets[0].clone();
        assert_ne!(after.access_token(), before.access_token());
        assert_ne!(after.refresh_token(), before.refresh_token(), "the issuer rotates");
        assert_eq!(after.subject(), Some("alice"));
        before = after;
    }
}

/// The twin: what the single flight is there for.
#[test]
fn two_processes_that_use_one_refresh_token_end_the_session() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(&clock);
    let (one, other) = (process(&issuer, &clock), process(&issuer, &clock));
    let token = sign_in(&issuer, &one);
    let renewed = block_on(one.renew(&token)).unwrap();
    assert_eq!(block_on(other.renew(&token)).unwrap_err().server_error(), Some("invalid_grant"));
    assert_eq!(block_on(one.renew(&renewed)).unwrap_err().server_error(), Some("invalid_grant"));
}

#[test]
fn a_refresh_token_that_was_stolen_and_used_ends_the_session_of_the_thief_too() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(&clock);
    let (client, thief) = (process(&issuer, &clock), process(&issuer, &clock));
    let token = sign_in(&issuer, &client);
    let loot = block_on(thief.renew(&token)).unwrap();
    // The user's own renewal is the second use, and tells the issuer.
    let error = block_on(client.renew(&token)).unwrap_err();
    assert_eq!(error.server_error(), Some("invalid_grant"));
    assert_eq!(block_on(thief.renew(&loot)).unwrap_err().server_error(), Some("invalid_grant"));
}

#[test]
fn an_issuer_that_keeps_refresh_tokens_is_asked_again_by_whoever_has_the_newest_set() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(&clock);
    issuer.keep_refresh_tokens();
    let client = process(&issuer, &clock);
    let first = sign_in(&issuer, &client);
    let second = block_on(client.renew(&first)).unwrap();
    assert_eq!(second.refresh_token(), first.refresh_token());
    let third = block_on(client.renew(&second)).unwrap();
    assert_ne!(third.access_token(), second.access_token());
    assert_eq!(block_on(client.renew(&first)).unwrap(), third, "the newest is what is remembered");
    clock.advance(Duration::from_secs(60));
    assert_ne!(block_on(client.renew(&first)).unwrap(), third);
}

#[test]
fn what_was_revoked_is_not_renewed_and_its_successors_neither() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(&clock);
    let client = process(&issuer, &clock);
    let first = sign_in(&issuer, &client);
    let second = block_on(client.renew(&first)).unwrap();
    block_on(client.revoke(&first)).unwrap();
    for token in [&first, &second] {
        assert_eq!(block_on(client.renew(token)).unwrap_err().label(), "token_expired");
        // Another process asks, and the issuer knows.
        let elsewhere = process(&issuer, &clock);
        assert_eq!(block_on(elsewhere.renew(token)).unwrap_err().server_error(), Some("invalid_grant"));
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(block_on(client.renew(&second)).unwrap_err().server_error(), Some("invalid_grant"));
}

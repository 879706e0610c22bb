//! Secrets that the program is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer};
use scopegate::{ClientAuth, ClientSecret, Introspection, Issuer};

use super::client_auth::world;
use super::{A, Call, World, unasked, words};
use crate::rotation::{seconds, soon, waits};

/// A vault: counts how often it is asked, and gives what a test puts in.
#[derive(Default)]
struct Vault {
    secret: Mutex<String>,
    asked: AtomicUsize,
    /// What it does instead.
    trouble: Mutex<Trouble>,
    opened: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    Fails,
    Panics,
    Hangs,
}

impl Vault {
    fn with(secret: &str) -> Arc<Self> {
        Arc::new(Self { secret: Mutex::new(secret.to_owned()), ..Self::default() })
    }

    fn put(&self, secret: &str) {
        *self.secret.lock().unwrap() = secret.to_owned();
    }

    fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
        self.opened.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn secret(self: &Arc<Self>) -> ClientSecret {
        let vault = Arc::clone(self);
        ClientSecret::asked(move || {
            vault.asked.fetch_add(1, Ordering::SeqCst);
            let trouble = *vault.trouble.lock().unwrap();
            match trouble {
                Trouble::None => {}
                Trouble::Fails => return Err("the vault is sealed"),
                Trouble::Panics => {
                    let secret = vault.secret.lock().unwrap().clone();
                    panic!("a test's own, with {secret}")
                }
                Trouble::Hangs => {
                    let hangs = vault.trouble.lock().unwrap();
                    drop(vault.opened.wait_while(hangs, |trouble| *trouble == Trouble::Hangs).unwrap());
                }
            }
            Ok(vault.secret.lock().unwrap().clone())
        })
    }
}

/// A world whose client has its secret from a vault, and the vault.
fn vaulted(secret: &str) -> (World, Arc<Vault>) {
    let vault = Vault::with(secret);
    (world(|_| ClientAuth::basic("api", vault.secret())), vault)
}

#[test]
fn a_callback_is_asked_when_it_is_needed_and_once() {
    let (world, vault) = vaulted("  api\n");
    assert_eq!(vault.asked(), 0, "nobody needs it yet");
    for _ in 0..5 {
        assert!(world.validate(&world.token()).is_ok());
    }
    assert_eq!((vault.asked(), world.asked()), (1, 5), "a line end of a file is no part of it");
}

#[test]
fn fault_row_26_a_rotated_secret_costs_no_failed_request() {
    let (world, vault) = vaulted("api");
    assert!(world.validate(&world.token()).is_ok());
    world.issuer.client_secret("api", "newer");
    vault.put("newer");
    assert!(
        world.validate(&world.token()).is_ok(),
        "fault row 26: the callback is asked again, and the question sent again"
    );
    assert_eq!((vault.asked(), world.asked()), (2, 3), "fault row 26: once each");
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!((vault.asked(), world.asked()), (2, 4));
}

#[test]
fn fault_row_26_a_secret_is_rotated_while_the_metadata_is_read_again() {
    for trouble in [Fault::delay(seconds(1)), Fault::delay(seconds(1)).with_status(404)] {
        let vault = Vault::with("api");
        let auth = ClientAuth::basic("api", vault.secret());
        let world = World::of(|_| Issuer::introspect(A, Introspection::discover(auth)), |builder| builder);
        assert!(world.validate(&world.token()).is_ok());
        world.clock.advance(seconds(3600));
        world.issuer.script(trouble.at(Endpoint::OpenIdConfiguration));
        world.issuer.script(Fault::status(404).at(Endpoint::OAuthMetadata));
        let before = world.issuer.requests().metadata;
        world.issuer.client_secret("api", "newer");
        vault.put("newer");
        let token = world.token();
        let mut call = world.call(&token);
        assert!(waits(&mut call));
        soon("both are asked", || world.asked() == 2 && world.issuer.requests().metadata > before);
        world.clock.advance(seconds(1));
        assert!(block_on(call).is_ok(), "fault row 26");
        assert_eq!((vault.asked(), world.asked()), (2, 3), "fault row 26");
    }
}

#[test]
fn fault_row_26_a_question_that_is_sent_again_counts_in_the_rate() {
    let vault = Vault::with("api");
    let auth = ClientAuth::basic("api", vault.secret());
    let asked = |issuer: &TestIssuer| Introspection::at(issuer.introspection_endpoint(), auth).at_most_per_second(3);
    let world = World::of(|issuer| Issuer::introspect(A, asked(issuer)), |builder| builder);
    world.issuer.client_secret("api", "newer");
    unasked(world.validate(&world.token()));
    assert_eq!(world.asked(), 2, "with one secret, and with the one that it was told next");
    unasked(world.validate(&world.token()));
    assert_eq!(world.asked(), 3, "and no more in this second");
    vault.put("newer");
    world.clock.advance(seconds(1));
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!(world.asked(), 4, "it was asked for anew all the same");
}

#[test]
fn fault_row_26_a_server_may_say_400_where_it_means_the_client() {
    let refusal = |error: &str| Fault::status(400).with_body(format!(r#"{{"error":"{error}"}}"#)).times(1);
    let (world, vault) = vaulted("api");
    world.issuer.script(refusal("invalid_client"));
    assert!(
        world.validate(&world.token()).is_ok(),
        "fault row 26: RFC 6749 s5.2 wants 401 only where a header was sent"
    );
    assert_eq!((vault.asked(), world.asked()), (2, 2));
    // What is wrong with the question is no reason to ask for another secret.
    world.issuer.script(refusal("unsupported_token_type"));
    unasked(world.validate(&world.token()));
    assert_eq!((vault.asked(), world.asked()), (2, 3));
}

#[test]
fn fault_row_26_a_secret_that_is_late_costs_what_was_asked_until_it_comes() {
    let (world, vault) = vaulted("api");
    assert!(world.validate(&world.token()).is_ok());
    world.issuer.client_secret("api", "newer");
    for questions in 1..=3 {
        unasked(world.validate(&world.token()));
        assert_eq!(
            (vault.asked(), world.asked()),
            (1 + questions, 1 + 2 * questions as u64),
            "once a question, no more"
        );
    }
    vault.put("newer");
    assert!(world.validate(&world.token()).is_ok(), "fault row 26: no failed request after the newer value");
}

#[test]
fn twenty_questions_at_once_ask_a_callback_once() {
    let (world, vault) = vaulted("api");
    let tokens: Vec<_> = (0..20).map(|_| world.token()).collect();
    vault.trouble(Trouble::Hangs);
    let mut calls: Vec<Call<'_>> = tokens.iter().map(|token| world.call(token)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("it is asked", || vault.asked() == 1);
    vault.trouble(Trouble::None);
    for call in calls {
        assert!(block_on(call).is_ok());
    }
    assert_eq!((vault.asked(), world.asked()), (1, 20));

    // All of them hear 401, and it is asked once again.
    world.issuer.client_secret("api", "newer");
    vault.put("newer");
    world.script(Fault::delay(seconds(1)).times(20));
    let tokens: Vec<_> = (0..20).map(|_| world.token()).collect();
    let mut calls: Vec<Call<'_>> = tokens.iter().map(|token| world.call(token)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("they are asked", || world.asked() == 40);
    world.clock.advance(seconds(1));
    for call in calls {
        assert!(block_on(call).is_ok());
    }
    assert_eq!((vault.asked(), world.asked()), (2, 60));
}

#[test]
fn a_callback_in_trouble_is_503_and_heals() {
    for trouble in [Trouble::Fails, Trouble::Panics] {
        let (world, vault) = vaulted("api");
        vault.trouble(trouble);
        let rejection = unasked(world.validate(&world.token()));
        assert!(words(&rejection).contains("no secret to ask the issuer with"));
        assert_eq!(words(&rejection).contains("the vault is sealed"), trouble == Trouble::Fails);
        assert!(!words(&rejection).contains("with api"), "what a panic said is not told");
        assert_eq!(world.told.last_of(1), "no_client_secret");
        assert_eq!((vault.asked(), world.asked()), (1, 0));
        vault.trouble(Trouble::None);
        assert!(world.validate(&world.token()).is_ok());
    }
    let (world, vault) = vaulted(" \n");
    assert!(words(&unasked(world.validate(&world.token()))).contains("empty secret"));
    vault.put("api");
    assert!(world.validate(&world.token()).is_ok());
}

#[test]
fn questions_that_were_never_sent_do_not_shut_out_the_issuer() {
    let (world, vault) = vaulted("api");
    vault.trouble(Trouble::Hangs);
    let tokens: Vec<_> = (0..30).map(|_| world.token()).collect();
    let mut calls: Vec<Call<'_>> = tokens.iter().map(|token| world.call(token)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("it is asked", || vault.asked() == 1);
    world.clock.advance(seconds(2));
    for call in calls {
        unasked(world.late(call));
    }
    vault.trouble(Trouble::None);
    // Of the breaker it would be told at once, and then nothing be asked for 5 s.
    assert!(world.validate(&tokens[0]).is_ok());
    assert!(world.told.halts().is_empty());
    assert_eq!((vault.asked(), world.asked()), (1, 1));
}

#[test]
fn a_callback_that_hangs_is_503_at_the_deadline() {
    let (world, vault) = vaulted("api");
    vault.trouble(Trouble::Hangs);
    let (token, other) = (world.token(), world.token());
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    soon("it is asked", || vault.asked() == 1);
    world.clock.advance(seconds(2));
    unasked(block_on(call));
    unasked(world.late(world.call(&other)));
    assert_eq!((vault.asked(), world.asked()), (1, 0), "one at a time");
    vault.trouble(Trouble::None);
    soon("it heals when the callback comes back", || world.validate(&token).is_ok());
    assert_eq!(vault.asked(), 1);
}

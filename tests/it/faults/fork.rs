//! A process that forks under a validator, and its child.
#![cfg(unix)]

use std::sync::Arc;

use scopegate::testing::TestIssuer;
use scopegate::{Credentials, Issuer, KeySet, PlainHttp, ReqwestFetch, Validator};

use super::*;
use crate::rotation::{API, read};

/// Runs it in a child, which must end by itself; says with which code.
pub(super) fn in_a_child(run: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child uses what glibc and the crate keep usable after a fork, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let code = run();
        // SAFETY: it does not return, and runs nothing of the parent's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    for _ in 0..20_000 {
        // SAFETY: `status` outlives the call.
        if unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child {
            assert!(libc::WIFEXITED(status), "the child was killed: {status}");
            return libc::WEXITSTATUS(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: the child is ours, and has not been waited for.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &raw mut status, 0);
    }
    panic!("a deadlock in the child");
}

#[test]
fn a_child_fetches_over_a_connection_of_its_own() {
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
    let trusted = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
    let fetch = Arc::new(ReqwestFetch::new().plain_http(PlainHttp::OnLoopback));
    let validator = Validator::builder(API).trust(trusted).fetch(fetch).build().unwrap();
    // The connection that it leaves is kept, and served by a task of the parent's thread.
    block_on(validator.warm_up()).unwrap();
    issuer.rotate();
    let token = issuer.token().scope("read").mint();
    let code = in_a_child(|| {
        if block_on(validator.refresh_now()).is_err() {
            return 1;
        }
        i32::from(validator.check(&Credentials::bearer(&token), &read()).is_err()) * 2
    });
    assert_eq!(code, 0, "1: nothing was fetched, 2: not the keys");
    block_on(validator.refresh_now()).unwrap();
    assert!(validator.check(&Credentials::bearer(&token), &read()).is_ok(), "nor does the child take anything from it");
}

#[test]
fn a_child_has_a_memory_of_its_own_that_begins_with_what_its_parent_knew() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let keys = || KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let trusted = Issuer::keys(A, keys());
    let handle = trusted.key_handle().unwrap();
    let validator = Validator::builder(API).trust(trusted).build().unwrap();
    let is_good = |token: &str| validator.check(&Credentials::bearer(token), &read()).is_ok();
    let [known, new] = [(); 2].map(|()| issuer.token().scope("read").mint());
    assert!(is_good(&known) && is_good(&known));
    issuer.rotate();
    let rotated = keys();
    let code = in_a_child(|| {
        if !(is_good(&known) && is_good(&new) && is_good(&new)) {
            return 1;
        }
        handle.install(rotated.clone());
        i32::from(is_good(&known) || is_good(&new)) * 2
    });
    assert_eq!(code, 0, "1: a good token is refused, 2: one is accepted whose key is gone");
    assert!(is_good(&known) && is_good(&new), "what the child was told is its own");
    handle.install(rotated);
    assert!(!is_good(&known) && !is_good(&new));
}

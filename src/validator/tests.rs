use super::*;
use crate::jose::key_set::KeySet;
use crate::testing::{TestIssuer, TestToken};
use crate::{Issuer, ScopePolicy};

const ISSUER: &str = "https://id.example.test";
const API: &str = "https://api.example.test";

#[test]
fn a_header_is_known_once_a_token_of_it_was_good_and_never_by_a_bad_one() {
    for signatures_for in [Duration::ZERO, Duration::from_secs(300)] {
        let issuer = TestIssuer::new(ISSUER).default_audience(API);
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let trusted = Issuer::keys(ISSUER, keys);
        let validator = Validator::builder(API).trust(trusted).remember_signatures(signatures_for).build().unwrap();
        let judge = |token: TestToken| {
            let demand = ScopePolicy::all(["read"]).unwrap().into();
            let reason = validator.check(&Credentials::bearer(&token.mint()), &demand).err().map(|no| no.reason());
            (reason, validator.0.trusted.tokens.headers.count())
        };
        let token = |number: u8| issuer.token().header("number", number);
        assert_eq!(judge(token(1).tampered()), (Some(Reason::BadSignature), 0));
        assert_eq!(judge(token(2).signed_by_stranger()), (Some(Reason::BadSignature), 0));
        assert_eq!(judge(token(3).header("kid", "nobodys")), (Some(Reason::UnknownKey), 0));
        assert_eq!(judge(token(4).expired()), (Some(Reason::Expired), 0));
        assert_eq!(judge(token(5)), (Some(Reason::InsufficientScope), 1), "good, and not enough");
        assert_eq!(judge(token(5).scope("read")), (None, 1));
        assert_eq!(judge(token(6).scope("read")), (None, 2));
    }
}

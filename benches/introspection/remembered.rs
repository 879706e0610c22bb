//! A remembered answer, beside a JWT whose signature is remembered, and beside what it costs to verify one.

use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::TestIssuer;
use scopegate::{Algorithm, Credentials, Issuer, KeySet, Reason, Validator};

use crate::measure::{AUDIENCE, Contender, ROUNDS, accepted, compare, header, raw, request, token};
use crate::{Scale, asked, counting, read};

const ISSUER: &str = "https://issuer.test";
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn run(scale: Scale) {
    let algorithms = [Algorithm::Es256, Algorithm::Rs256];
    let issuer = TestIssuer::with_algorithms(ISSUER, algorithms);
    let published: serde_json::Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let by_keys = || Validator::builder(AUDIENCE).trust(Issuer::keys(ISSUER, keys.clone()));
    let (remembering, forgetful) =
        (by_keys().build().unwrap(), by_keys().remember_signatures(Duration::ZERO).build().unwrap());
    let trusted = Issuer::introspect(ISSUER, asked(&issuer).remember(HOUR));
    let by_asking = Validator::builder(AUDIENCE).trust(trusted).fetch(issuer.fetch()).build().unwrap();

    // The same claims, as an opaque token and as JWTs, so that everything behind the answer is the same.
    let minted = |algorithm| token(&issuer, algorithm).lifetime(HOUR);
    let opaque = minted(Algorithm::Es256).mint_opaque();
    let [es256, rs256] = algorithms.map(|algorithm| minted(algorithm).mint());
    for token in [&opaque, &es256] {
        assert!(block_on(by_asking.validate(&Credentials::bearer(token), &read())).is_ok());
    }
    let inactive = "nobody-made-it-whatever-it-says-of-itself";
    let refused = block_on(by_asking.validate(&Credentials::bearer(inactive), &read())).unwrap_err();
    assert_eq!((refused.reason(), issuer.requests().introspection), (Reason::Inactive, 3));

    let jwk = |token: &str| {
        let kid = header(token)["kid"].clone();
        published["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == kid).unwrap().clone()
    };
    let mut contenders = [
        Contender::new("remembered, opaque token", accepted(&by_asking, &read(), &opaque)),
        Contender::new("remembered, a JWT's text", accepted(&by_asking, &read(), &es256)),
        Contender::new("remembered, JWT by ES256", accepted(&remembering, &read(), &es256)),
        Contender::new("remembered, JWT by RS256", accepted(&remembering, &read(), &rs256)),
        Contender::new("verified, JWT by ES256", accepted(&forgetful, &read(), &es256)),
        Contender::new("verified, JWT by RS256", accepted(&forgetful, &read(), &rs256)),
        Contender::new("the signature alone, ES256", raw(Algorithm::Es256, &jwk(&es256), &es256)),
        Contender::new("the signature alone, RS256", raw(Algorithm::Rs256, &jwk(&rs256), &rs256)),
    ];
    let times: Vec<_> = contenders.iter_mut().map(|contender| counting::allocations_of(&mut contender.run)).collect();
    if scale == Scale::Test {
        assert_eq!(issuer.requests().introspection, 3);
        return;
    }
    compare(&mut contenders);
    // It is remembered for a few seconds alone, so it is asked about anew before it is measured.
    let headers = request(inactive);
    let _ = block_on(by_asking.validate(&Credentials::bearer(inactive), &read()));
    let mut junk = [Contender::new("remembered, not active", move || {
        assert!(by_asking.check(&Credentials::from_headers(&headers), &read()).is_err());
    })];
    compare(&mut junk);

    println!("through check; medians of {ROUNDS} interleaved rounds\n");
    let [opaque, text, jwt, ..] = &contenders;
    println!("a remembered opaque answer : a remembered JWT   {}  (at most 2)", opaque.ratio_to(jwt));
    println!("the same of an answer about a JWT's text        {}\n", text.ratio_to(jwt));
    for contender in &contenders[2..] {
        println!("1 to {:<6.1} {}", contender.median() / opaque.median(), contender.name);
    }
    println!("\n{:<28} {:>10} {:>16}", "", "ns", "allocations");
    for (contender, times) in contenders.iter().zip(times) {
        println!("{:<28} {:>10.0} ±{:<6.0} {times:>8.2}", contender.name, contender.median(), contender.spread());
    }
    println!("{:<28} {:>10.0} ±{:<6.0}", junk[0].name, junk[0].median(), junk[0].spread());
    println!();
}

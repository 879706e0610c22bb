//! A wrong setting is refused when it is given or when the validator is built, by its name and with its value.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use scopegate::testing::TestIssuer;
use scopegate::{
    Algorithm, ConfigError, Fetch, FetchError, FetchLimits, Fetching, Issuer, KeySet, PlainHttp, ReqwestFetch, Scope,
    ScopePolicy, Secret, Validator, ValidatorBuilder,
};

const API: &str = "https://api.example.test";
const ISSUER: &str = "https://a.example.test";

fn keys() -> KeySet {
    KeySet::from_json(br#"{"keys":[]}"#).unwrap()
}

fn pushed(identifier: &str) -> Issuer {
    Issuer::keys(identifier, keys())
}

fn builder() -> ValidatorBuilder {
    Validator::builder(API).trust(pushed(ISSUER))
}

fn trusting(issuer: Issuer) -> Result<Validator, ConfigError> {
    Validator::builder(API).trust(issuer).build()
}

fn secret() -> Secret {
    Secret::new(Algorithm::Hs256, [7; 32]).unwrap()
}

/// The error names the setting and the value, in a sentence that may stand in a log.
#[track_caller]
fn names<T>(result: Result<T, ConfigError>, setting: &str, value: &str) {
    let Err(error) = result else { panic!("{setting} was taken with {value:?}") };
    assert_eq!(error.setting(), setting, "{error}");
    let message = error.to_string();
    assert!(message.starts_with(&format!("{setting}: ")), "the setting comes first: {message}");
    match &error {
        ConfigError::Invalid { value: named, problem, .. } | ConfigError::Conflict { value: named, problem, .. } => {
            assert_eq!(named, value, "{message}");
            assert_eq!(message, format!("{setting}: {problem}: {value:?}"));
        }
        ConfigError::Missing { problem, .. } | ConfigError::Unusable { problem, .. } => {
            assert_eq!(value, "", "{message}");
            assert_eq!(message, format!("{setting}: {problem}"));
        }
        _ => panic!("a kind of error that this test does not know: {error:?}"),
    }
    assert!(message.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{message:?} is not one line of ASCII");
    assert!(!message.trim_end_matches('"').ends_with('.'), "a full stop: {message}");
}

#[test]
fn b01_an_audience_is_asked_for_and_is_not_empty() {
    // That there is none cannot be written: it is an argument.
    names(Validator::builder("").trust(pushed(ISSUER)).build(), "audience", "");
    names(builder().audience("").build(), "audience", "");
    names(trusting(pushed(ISSUER).audience("")), "audience", "");
    names(trusting(pushed(ISSUER).audience("https://other.example.test").audience("")), "audience", "");
    assert!(trusting(pushed(ISSUER).audience("https://other.example.test")).is_ok(), "B01 control");
    assert!(trusting(pushed(ISSUER).dangerous().accept_any_audience()).is_ok(), "B01 control: said by its name");
}

#[test]
fn b01_an_empty_audience_is_refused_wherever_it_stands() {
    let elsewhere = || pushed(ISSUER).audience("https://other.example.test");
    names(Validator::builder("").trust(elsewhere()).build(), "audience", "");
    names(Validator::builder(API).audience("").trust(elsewhere()).build(), "audience", "");
    names(Validator::builder("").trust(pushed(ISSUER).dangerous().accept_any_audience()).build(), "audience", "");
}

#[test]
fn b02_an_issuer_is_asked_for() {
    names(Validator::builder(API).build(), "trust", "");
}

#[test]
fn b02_an_issuer_is_an_https_url_without_query_and_fragment() {
    let makers: [fn(&str) -> Issuer; 3] =
        [pushed, |identifier| Issuer::discover(identifier), |identifier| Issuer::jwks(identifier, "https://k.test/k")];
    for bad in [
        "",
        "https://a.example.test?x=1",
        "https://a.example.test/?",
        "https://a.example.test/#x",
        "https://a.example.test#",
        "http://a.example.test",
        "http://127.0.0.1:8080",
        "http://localhost",
        "https://",
        "https:///x",
        "https://a.example.test:99999",
        "https://a.example.test/a b",
        " https://a.example.test",
        "ftp://a.example.test",
        "urn:a",
        "a.example.test:443",
    ] {
        for make in makers {
            names(trusting(make(bad)), "issuer", bad);
        }
    }
    for make in makers {
        names(trusting(make("https://me@a.example.test")), "issuer", "https://...@a.example.test");
    }
    for bad in ["http://a.example.test", "http://10.0.0.1", "http://localhost.example.test", "http://[::2]"] {
        for make in makers {
            names(trusting(make(bad).plain_http(PlainHttp::OnLoopback)), "issuer", bad);
        }
    }
    for good in ["https://a.example.test", "https://a.example.test/", "https://a.example.test/tenants/1"] {
        for make in makers {
            assert!(trusting(make(good)).is_ok(), "B02 control {good}");
        }
    }
    for make in makers {
        assert!(trusting(make("http://127.0.0.1:1").plain_http(PlainHttp::OnLoopback)).is_ok(), "B02 control");
    }
}

#[test]
fn b02_a_plain_name_will_do_unless_it_must_be_asked() {
    assert!(trusting(pushed("a-plain-name")).is_ok());
    assert!(trusting(Issuer::jwks("a-plain-name", "https://k.test/k")).is_ok());
    names(trusting(Issuer::discover("a-plain-name")), "issuer", "a-plain-name");
}

#[test]
fn b02_keys_come_from_an_https_url() {
    for bad in [
        "",
        "/keys",
        "http://a.example.test/keys",
        "http://127.0.0.1/keys",
        "https://a.example.test/keys#x",
        "file:///etc/passwd",
    ] {
        names(trusting(Issuer::jwks(ISSUER, bad)), "jwks", bad);
    }
    // A password is not repeated, wherever the "@" stands.
    for (bad, shown) in [
        ("https://me:pw@a.example.test/keys", "https://...@a.example.test/keys"),
        ("https://me:p@w@a.example.test/keys", "https://...@a.example.test/keys"),
        ("me:pw@a.example.test", "...@a.example.test"),
    ] {
        names(trusting(Issuer::jwks(ISSUER, bad)), "jwks", shown);
    }
    names(
        trusting(Issuer::jwks(ISSUER, "http://169.254.169.254/").plain_http(PlainHttp::OnLoopback)),
        "jwks",
        "http://169.254.169.254/",
    );
    assert!(trusting(Issuer::jwks(ISSUER, "https://a.example.test/keys?v=1")).is_ok(), "B02 control");
}

#[test]
fn b03_algorithms_are_named_and_of_one_kind() {
    let of = |issuer: Issuer, algorithms: &[Algorithm]| trusting(issuer.algorithms(algorithms.iter().copied()));
    let (mixed, secret_ones) = ([Algorithm::Hs256, Algorithm::Rs256], [Algorithm::Hs256]);
    let (remote, discovered) = (|| Issuer::jwks(ISSUER, "https://a.example.test/k"), || Issuer::discover(ISSUER));
    for issuer in [pushed(ISSUER), remote(), discovered(), Issuer::secrets(ISSUER, [secret()])] {
        names(of(issuer.clone(), &[]), "algorithms", ISSUER);
        names(of(issuer, &mixed), "algorithms", ISSUER);
    }
    for issuer in [pushed(ISSUER), remote(), discovered()] {
        names(of(issuer.clone(), &secret_ones), "algorithms", ISSUER);
        assert!(of(issuer, &[Algorithm::Rs256, Algorithm::EdDsa]).is_ok(), "B03 control");
    }
    names(of(Issuer::secrets(ISSUER, [secret()]), &[Algorithm::Rs256]), "algorithms", ISSUER);
    names(of(Issuer::secrets(ISSUER, [secret()]), &[Algorithm::Hs256, Algorithm::Hs384]), "algorithms", ISSUER);
    names(of(Issuer::secrets(ISSUER, [secret()]), &[Algorithm::Hs384]), "algorithms", ISSUER);
    assert!(of(Issuer::secrets(ISSUER, [secret()]), &secret_ones).is_ok(), "B03 control");
    assert!(trusting(Issuer::secrets(ISSUER, [secret()])).is_ok(), "B03 control");
}

#[test]
fn b06_an_issuer_is_trusted_once() {
    let twice: [fn() -> [Issuer; 2]; 4] = [
        || [pushed(ISSUER), pushed(ISSUER)],
        || [Issuer::jwks(ISSUER, "https://a.example.test/1"), Issuer::jwks(ISSUER, "https://a.example.test/2")],
        || [Issuer::discover(ISSUER), pushed(ISSUER)],
        || [Issuer::secrets(ISSUER, [secret()]), Issuer::discover(ISSUER)],
    ];
    for twice in twice {
        let [one, two] = twice();
        names(Validator::builder(API).trust(one).trust(two).build(), "trust", ISSUER);
        let [one, two] = twice();
        let between = pushed("https://b.example.test");
        names(Validator::builder(API).trust(one).trust(between).trust(two).build(), "trust", ISSUER);
    }
    // Identifiers are compared byte for byte, so these are three.
    let others = builder().trust(pushed("https://a.example.test/")).trust(pushed("https://A.example.test"));
    assert!(others.build().is_ok(), "B06 control");
}

#[test]
fn a_leeway_is_at_most_five_minutes() {
    for (given, named) in [(Duration::from_millis(300_001), "300.001s"), (Duration::from_secs(3600), "3600s")] {
        names(builder().leeway(given).build(), "leeway", named);
    }
    names(builder().leeway(Duration::MAX).build(), "leeway", &format!("{:?}", Duration::MAX));
    for given in [Duration::ZERO, Duration::from_secs(300)] {
        assert!(builder().leeway(given).build().is_ok(), "{given:?}");
    }
}

#[test]
fn a_token_is_between_a_kibibyte_and_a_mebibyte() {
    for bad in [0, 1_023, 1_048_577, usize::MAX] {
        names(builder().max_token_bytes(bad).build(), "max_token_bytes", &bad.to_string());
    }
    for good in [1_024, 1_048_576] {
        assert!(builder().max_token_bytes(good).build().is_ok(), "{good}");
    }
}

#[test]
fn a_realm_is_printable_ascii() {
    for bad in ["", "a\nb", "a\r\nX-Evil: 1", "caf\u{e9}", "\u{7f}", "\0"] {
        let message = builder().realm(bad).build().unwrap_err().to_string();
        assert!(message.contains(&format!("{bad:?}")), "{message}");
        assert!(!message.contains(['\n', '\r', '\0', '\u{7f}']), "{message:?}");
        let setting = builder().realm(bad).build().unwrap_err();
        assert_eq!(setting.setting(), "realm");
    }
    assert!(builder().realm(" !\"\\~").build().is_ok());
    // An audience that is not printable names the tokens all the same, and no realm is made of it.
    assert!(Validator::builder("caf\u{e9}").trust(pushed(ISSUER)).build().is_ok());
}

#[test]
fn the_address_of_the_metadata_is_an_https_url_or_on_loopback() {
    for bad in
        ["", "/metadata", "http://api.example.test/", "https://api.example.test/#x", "https://a b/", "\"https://a/"]
    {
        names(builder().resource_metadata(bad).build(), "resource_metadata", bad);
    }
    for good in ["https://api.example.test/.well-known/oauth-protected-resource", "http://127.0.0.1:1/m"] {
        assert!(builder().resource_metadata(good).build().is_ok(), "{good}");
    }
}

#[test]
fn a_claim_has_a_name() {
    assert!(trusting(pushed(ISSUER).audience_claim("")).is_err());
    assert!(trusting(pushed(ISSUER).scope_claim("")).is_err());
    assert!(trusting(pushed(ISSUER).audience_claim("client_id").scope_claim("permissions")).is_ok());
}

#[test]
fn a_claim_without_a_name_is_told_by_the_method_that_set_it() {
    names(trusting(pushed(ISSUER).audience_claim("")), "audience_claim", "");
    names(trusting(pushed(ISSUER).scope_claim("")), "scope_claim", "");
}

#[test]
fn a_secret_is_as_long_as_its_hash_and_never_shown() {
    for (algorithm, needed) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
        assert!(Secret::new(algorithm, vec![b'#'; needed]).is_ok(), "{algorithm}");
        for short in [0, 1, needed - 1] {
            let octets = b"S3cr3t-canary#".iter().copied().cycle().take(short).collect::<Vec<_>>();
            let result = Secret::new(algorithm, octets);
            let shown = format!("{result:?}");
            assert!(!shown.contains("S3c") && !shown.contains("83, 51"), "{shown}");
            names(result, "secret", &format!("{short} octets for {algorithm}"));
        }
    }
    for algorithm in [Algorithm::Rs256, Algorithm::Ps512, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ed25519] {
        names(Secret::new(algorithm, [7; 64]), "secret", algorithm.name());
    }
    names(trusting(Issuer::secrets(ISSUER, [])), "secrets", ISSUER);
}

#[test]
fn no_secret_is_in_what_is_shown_of_a_builder_or_a_validator() {
    let canary = Secret::new(Algorithm::Hs256, *b"S3cr3t-canary-S3cr3t-canary-1234").unwrap().kid("k");
    let issuer = Issuer::secrets(ISSUER, [canary.clone()]);
    let builder = Validator::builder(API).trust(issuer.clone());
    let shown = format!("{canary:?} {issuer:?} {builder:?}");
    let shown = format!("{shown} {:?}", builder.build().unwrap());
    // As text, as a list of numbers, in hexadecimal.
    for trace in ["S3cr3t", "83, 51, 99", "53336372", "UzNjcjN0"] {
        assert!(!shown.contains(trace), "{trace} is in {shown}");
    }
}

#[test]
fn a_scope_is_a_scope_token() {
    for bad in ["", " ", "a b", "a\tb", "a\nb", "a\"b", "a\\b", "caf\u{e9}", "\0", "\u{7f}"] {
        let error = Scope::new(bad).unwrap_err();
        assert_eq!(error.setting(), "scope");
        assert!(error.to_string().ends_with(&format!("{bad:?}")), "{error}");
    }
    for bad in ["", " a", "a ", "a  b", "a\"b"] {
        names(ScopePolicy::all([bad]), "scope", bad);
        names(ScopePolicy::all(["ok", bad]), "scope", bad);
        names(ScopePolicy::any(["ok", bad]), "scope", bad);
    }
    names(ScopePolicy::all([]), "scope", "");
    names(ScopePolicy::any([]), "scope", "");
}

#[test]
fn certificates_are_pem() {
    for setting in ["trust_only", "trust_also"] {
        let set = |pem: &[u8]| match setting {
            "trust_only" => ReqwestFetch::new().trust_only(pem),
            _ => ReqwestFetch::new().trust_also(pem),
        };
        for none in [&b""[..], b"no certificate"] {
            names(set(none), setting, "");
        }
        let garbled = b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        let error = set(garbled).unwrap_err();
        assert!(matches!(error, ConfigError::Unusable { .. }) && error.source().is_some(), "{error:?}");
        names(set(garbled), setting, "");
    }
}

/// A way out that counts.
#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Fetch for Counted {
    fn fetch(&self, _: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Err(FetchError::other("nobody was to be asked"))))
    }
}

#[test]
fn nothing_is_asked_while_a_validator_is_built() {
    let fetch = Arc::new(Counted::default());
    let built = Validator::builder(API).trust(Issuer::discover(ISSUER)).fetch(fetch.clone()).build().unwrap();
    assert_eq!(fetch.0.load(Ordering::SeqCst), 0);
    // The thread that fetches has not begun either: nobody but the validator holds the way out.
    assert_eq!(Arc::strong_count(&fetch), 2);
    drop(built);
    assert_eq!(Arc::strong_count(&fetch), 1);

    let issuer = TestIssuer::on_loopback().unwrap();
    let remote = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
    assert!(trusting(remote).is_ok());
    assert_eq!(issuer.requests(), scopegate::testing::Requests::default());
}

#[test]
fn an_error_is_shown_in_one_line_and_shared_between_threads() {
    fn shared(_: impl fmt::Debug + fmt::Display + Clone + Send + Sync + 'static) {}
    let error = trusting(pushed("https://a.example.test/\n?x")).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    shared(error);
}

#[test]
fn secrets_that_no_token_could_find_are_a_fault_of_the_settings() {
    let secret = |octet: u8| Secret::new(Algorithm::Hs256, vec![octet; 32]).unwrap();
    let shared = |secrets: Vec<Secret>| trusting(Issuer::secrets(ISSUER, secrets));
    assert!(shared(vec![secret(1).kid("1"), secret(2).kid("2")]).is_ok());
    names(shared(vec![secret(1).kid("1"), secret(2).kid("1")]), "secrets", ISSUER);
    assert!(shared((0..4).map(secret).collect()).is_ok());
    names(shared((0..5).map(secret).collect()), "secrets", ISSUER);
}

#[test]
fn memory_has_bounds_that_a_machine_has() {
    let most = |tokens, bytes| builder().remember_at_most(tokens, bytes).build().map(drop);
    for (tokens, bytes) in [(0, 0), (1, u64::MAX), (1_000_000, 1), (1_000_000, u64::MAX)] {
        assert!(most(tokens, bytes).is_ok(), "{tokens} {bytes}");
    }
    assert_eq!(most(1_000_001, 1).unwrap_err().setting(), "remember_at_most");
    let life = |millis| builder().remember_signatures(Duration::from_millis(millis)).build().map(drop);
    assert!(life(0).is_ok() && life(3_600_000).is_ok());
    assert_eq!(life(3_600_001).unwrap_err().setting(), "remember_signatures");
}

#[test]
fn the_staleness_limit_is_between_minutes_and_days() {
    let with = |seconds| builder().max_stale(Duration::from_secs(seconds)).build().map(drop);
    for good in [300, 604_800] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in [0, 299, 604_801] {
        assert_eq!(with(bad).unwrap_err().setting(), "max_stale", "{bad}");
    }
}

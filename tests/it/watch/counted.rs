//! What `metrics` is told.

use scopegate::testing::{Fault, TestClock};
use scopegate::{Credentials, IntrospectionOutcome, Reason, Requirement, ScopePolicy, Spared};

use super::*;
use crate::rotation::{issuer, read, soon};

/// The series that are others than before, with what they grew to.
fn changed(kept: &Kept, run: impl FnOnce()) -> BTreeMap<String, f64> {
    let before = kept.scrape();
    metrics::with_local_recorder(kept, run);
    kept.scrape().into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect()
}

fn observer(kept: &Kept) -> MetricsObserver {
    metrics::with_local_recorder(kept, MetricsObserver::new)
}

/// Four series, one for each state.
fn states(state: &str) -> Vec<(String, f64)> {
    let one = |each: &&str| (format!("scopegate_keys_state{{issuer={A:?},state={each:?}}}"), f64::from(*each == state));
    ["never_loaded", "fresh", "stale", "expired", "not_needed"].iter().map(one).collect()
}

#[test]
fn every_event_has_its_series() {
    let own = |name: &str| format!("{name}{{issuer={A:?}}}");
    let fetches = |cause: &str, outcome: &str| {
        let fetches = format!("scopegate_key_fetches_total{{cause={cause:?},issuer={A:?},outcome={outcome:?}}}");
        vec![(fetches, 1.0), (own("scopegate_key_fetch_duration_seconds_count"), 1.0)]
    };
    let questions = |outcome: &str| {
        let questions = format!("scopegate_introspections_total{{issuer={A:?},outcome={outcome:?}}}");
        vec![(questions, 1.0), (own("scopegate_introspection_duration_seconds_count"), 1.0)]
    };
    let one = |name: &str| vec![(name.to_owned(), 1.0)];
    let keys_changed = Event::KeysChanged { issuer: a(), before: set(&["one"]), after: set(&["two", "three"]) };
    let rows: Vec<(Event, Vec<(String, f64)>)> = vec![
        (began(FetchCause::NoKeys), states("never_loaded")),
        (ended(FetchCause::NoKeys, FetchOutcome::Fetched), fetches("no_keys", "fetched")),
        (ended(FetchCause::Timed, FetchOutcome::NotModified), fetches("timed", "not_modified")),
        (ended(FetchCause::UnknownKey, FetchOutcome::Unconfirmed), fetches("unknown_key", "unconfirmed")),
        (ended(FetchCause::BadSignature, FetchOutcome::Late), fetches("bad_signature", "late")),
        (ended(FetchCause::Asked, failed("503")), fetches("asked", "status")),
        (
            keys_changed,
            vec![
                (own("scopegate_key_changes_total"), 1.0),
                (own("scopegate_keys"), 2.0),
                (own("scopegate_keys_left_out"), 1.0),
            ],
        ),
        (turned(KeyState::NeverLoaded, KeyState::Fresh), states("fresh")),
        (turned(KeyState::Fresh, KeyState::Stale), states("stale")),
        (turned(KeyState::Stale, KeyState::Expired), states("expired")),
        (
            Event::MetadataFailed { issuer: a(), error: broken("no") },
            vec![(own("scopegate_metadata_failures_total"), 1.0)],
        ),
        (
            Event::Restored { issuer: a(), age: seconds(1), keys: set(&["one", "two"]) },
            [
                one(r#"scopegate_key_restores_total{outcome="restored"}"#),
                states("stale"),
                vec![
                    (own("scopegate_keys"), 2.0),
                    (own("scopegate_keys_left_out"), 1.0),
                    (own("scopegate_keys_age_seconds"), 1.0),
                ],
            ]
            .concat(),
        ),
        (
            Event::RestoreRefused { issuer: a(), error: broken("no") },
            one(r#"scopegate_key_restores_total{outcome="refused"}"#),
        ),
        (Event::IssuerResolved { issuer: a() }, one(r#"scopegate_resolved_issuers_total{change="resolved"}"#)),
        (Event::IssuerEvicted { issuer: a() }, one(r#"scopegate_resolved_issuers_total{change="evicted"}"#)),
        (Event::IssuerWithdrawn { issuer: a() }, one(r#"scopegate_resolved_issuers_total{change="withdrawn"}"#)),
        (Event::ResolverFailed { error: broken("no") }, one("scopegate_resolver_failures_total{}")),
        (Event::SaveFailed { error: broken("no") }, one("scopegate_key_save_failures_total{}")),
        (introspected(IntrospectionOutcome::Active), questions("active")),
        (introspected(IntrospectionOutcome::Refused(Reason::Inactive)), questions("inactive")),
        (introspected(IntrospectionOutcome::Refused(Reason::WrongAudience)), questions("wrong_audience")),
        (introspected(IntrospectionOutcome::Forgotten), questions("forgotten")),
        (introspected(unanswered("503")), questions("status")),
        (
            Event::IntrospectionHalted { issuer: a(), why: Spared::Breaker },
            one(&format!(r#"scopegate_introspection_halts_total{{issuer={A:?},why="breaker"}}"#)),
        ),
        (Event::IntrospectionResumed { issuer: a() }, Vec::new()),
        (Event::Lost { events: 7 }, vec![("scopegate_events_lost_total{}".to_owned(), 7.0)]),
    ];
    for (event, expected) in rows {
        let kept = Kept::default();
        let observer = observer(&kept);
        assert_eq!(changed(&kept, || observer.happened(&event)), expected.into_iter().collect(), "{event:?}");
    }
}

#[test]
fn a_judgement_is_counted_by_its_outcome_and_its_reason_and_timed() {
    let kept = Kept::default();
    let watched = Watched::new(Log::default(), &kept, 32);
    let clock = TestClock::at(1_800_000_000);
    let (a, down) = (issuer(A, &clock), issuer("https://down.example.test", &clock));
    down.script(Fault::disconnect());
    let builder = Validator::builder(API).trust(Issuer::keys(A, KeySet::from_json(a.jwks().as_bytes()).unwrap()));
    let builder = builder.trust(Issuer::discover(down.id())).fetch(down.fetch()).clock(clock);
    let validator = builder.observe(watched).build().unwrap();

    let (good, strange) = (a.token().scope("read"), a.token().scope("read").signed_by_stranger());
    let rows = [
        (good.mint(), "accepted", "none"),
        (a.token().mint(), "refused", "insufficient_scope"),
        (strange.mint(), "refused", "bad_signature"),
        (a.token().scope("read").audience("https://other.test").mint(), "refused", "wrong_audience"),
        ("junk".to_owned(), "refused", "malformed"),
        (down.token().scope("read").mint(), "unjudged", "keys_unavailable"),
    ];
    for (token, outcome, reason) in rows {
        let changed = changed(&kept, || drop(validator.check(&Credentials::bearer(&token), &read())));
        let judged = format!("scopegate_judged_total{{outcome={outcome:?},reason={reason:?}}}");
        assert_eq!(changed.get(&judged), Some(&1.0), "{changed:?}");
        let timed = format!("scopegate_judged_duration_seconds_count{{outcome={outcome:?}}}");
        assert!(changed.contains_key(&timed), "{changed:?}");
        let others = changed.keys().filter(|name| name.starts_with("scopegate_judged_total")).count();
        assert_eq!(others, 1, "{changed:?}");
        let by: Vec<_> = changed.iter().filter(|(name, _)| name.starts_with("scopegate_accepted_total")).collect();
        match outcome {
            "accepted" => assert_eq!(by, [(&accepted_by("signature"), &1.0)]),
            _ => assert!(by.is_empty(), "{by:?}"),
        }
    }
    assert_eq!(kept.take_values("scopegate_judged_duration_seconds").len(), 6);
}

fn accepted_by(basis: &str) -> String {
    format!("scopegate_accepted_total{{basis={basis:?}}}")
}

#[test]
fn an_accepted_token_is_counted_and_told_by_what_it_was_accepted_by() {
    let (log, kept) = (Log::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(a.fetch()).clock(clock);
    let validator = builder.observe(Watched::new(log.clone(), &kept, 32)).build().unwrap();
    let [first, second] = [(); 2].map(|()| a.token().scope("read").mint());
    for (token, basis) in [(&first, "network"), (&first, "memory"), (&second, "signature"), (&second, "memory")] {
        let credentials = Credentials::bearer(token);
        let heard = changed(&kept, || {
            assert!(futures_executor::block_on(validator.validate(&credentials, &read())).is_ok());
        });
        let by: Vec<_> = heard.keys().filter(|name| name.starts_with("scopegate_accepted_total")).collect();
        assert_eq!(by, [&accepted_by(basis)]);
        let lines = log.lines();
        let told = lines.iter().rfind(|line| line.contains("scopegate::judged")).unwrap();
        let expected = format!(
            "DEBUG scopegate::judged accepted: message=token accepted issuer={A:?} basis={basis:?} took_seconds=0.0"
        );
        assert_eq!(*told, expected);
    }
    let counted = ["memory", "signature", "network"].map(|basis| kept.scrape()[&accepted_by(basis)]);
    assert_eq!(counted, [2.0, 1.0, 1.0]);
    // A refusal rests on nothing, whatever is remembered of the token.
    let write = Requirement::from(ScopePolicy::all(["write"]).unwrap());
    assert!(validator.check(&Credentials::bearer(&first), &write).is_err());
    let lines = log.lines();
    let told = lines.iter().rfind(|line| line.contains("scopegate::judged")).unwrap();
    let expected =
        r#"DEBUG scopegate::judged refused: message=token refused reason="insufficient_scope" took_seconds=0.0"#;
    assert_eq!(told, expected);
    assert_eq!(["memory", "signature", "network"].map(|basis| kept.scrape()[&accepted_by(basis)]), counted);
}

#[test]
fn every_reason_is_there_from_the_start_at_zero() {
    let kept = Kept::default();
    let _observer = observer(&kept);
    for basis in ["memory", "signature", "network"] {
        assert_eq!(kept.scrape()[&accepted_by(basis)], 0.0);
    }
    let reasons: Vec<_> = kept.scrape().into_iter().filter(|(name, _)| name.contains("judged_total")).collect();
    assert_eq!(reasons.len(), 25, "24 reasons, and accepted: {reasons:?}");
    assert!(reasons.iter().all(|(_, count)| *count == 0.0));
    for reason in [Reason::NoCredentials, Reason::Unbound, Reason::Misconfigured] {
        assert!(reasons.iter().any(|(name, _)| name.contains(&format!("reason={:?}", reason.label()))), "{reason}");
    }
}

#[test]
fn a_recorder_that_is_installed_later_hears_of_no_judgement() {
    let kept = Kept::default();
    let observer = MetricsObserver::new();
    let validator = Validator::builder(API).trust(Issuer::keys(A, set(&["one"]))).observe(Arc::new(observer));
    let validator = validator.build().unwrap();
    let nothing = Requirement::from(ScopePolicy::none());
    let heard = changed(&kept, || drop(validator.check(&Credentials::bearer("junk"), &nothing)));
    assert_eq!(heard, BTreeMap::new());
}

#[test]
fn a_thousand_tenants_have_at_most_as_many_labels_as_were_allowed_and_one() {
    let tenants = identifiers((0..1000).map(|number| format!("https://{number}.example.test")));
    for most in [0, 3] {
        let kept = Kept::default();
        let observer = observer(&kept).issuers_at_most(most);
        metrics::with_local_recorder(&kept, || {
            for issuer in &tenants {
                let issuer = || issuer.clone();
                let (cause, outcome) = (FetchCause::NoKeys, FetchOutcome::Fetched);
                observer.happened(&Event::IssuerResolved { issuer: issuer() });
                observer.happened(&Event::FetchBegan { issuer: issuer(), cause });
                observer.happened(&Event::FetchEnded { issuer: issuer(), cause, took: seconds(1), outcome });
                observer.happened(&Event::KeysChanged { issuer: issuer(), before: set(&[]), after: set(&["one"]) });
                let (before, after) = (KeyState::NeverLoaded, KeyState::Fresh);
                observer.happened(&Event::StateChanged { issuer: issuer(), before, after });
                observer.happened(&Event::IssuerEvicted { issuer: issuer() });
            }
        });
        let scraped = kept.scrape();
        let issuers = scraped.keys().filter_map(|name| Some(name.split_once("issuer=\"")?.1.split_once('"')?.0));
        let labels: std::collections::BTreeSet<_> = issuers.collect();
        assert_eq!(labels.len(), most + 1, "{labels:?}");
        assert!(labels.contains("other"));
        let fetches = scraped.iter().filter(|(name, _)| name.starts_with("scopegate_key_fetches_total"));
        assert_eq!(fetches.map(|(_, count)| count).sum::<f64>(), 1000.0, "all are counted");
        assert!(
            !scraped.keys().any(|name| name.starts_with("scopegate_keys") && name.contains("other")),
            "{scraped:?}"
        );
    }
}

#[test]
fn a_thousand_odd_tokens_make_no_new_series() {
    let kept = Kept::default();
    let watched = Watched::new(Log::default(), &kept, 32);
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::keys(A, KeySet::from_json(a.jwks().as_bytes()).unwrap()));
    let validator = builder.clock(clock.clone()).observe(watched).build().unwrap();
    let names = || kept.scrape().into_keys().collect::<Vec<_>>();
    let before = names();
    for number in 0..1000 {
        let stranger = issuer(&format!("https://{number}.stranger.test"), &clock);
        for token in [a.token().header("kid", format!("kid-{number}")).mint(), stranger.token().mint()] {
            assert!(validator.check(&Credentials::bearer(&token), &read()).is_err());
        }
    }
    assert_eq!(names(), before);
    let refused = kept.scrape();
    assert_eq!(refused[r#"scopegate_judged_total{outcome="refused",reason="unknown_key"}"#], 1000.0);
    assert_eq!(refused[r#"scopegate_judged_total{outcome="refused",reason="bad_signature"}"#], 1000.0);
}

#[test]
fn recorded_health_is_the_state_the_keys_and_their_age() {
    let kept = Kept::default();
    let watched = Watched::new(Log::default(), &kept, 32);
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(a.fetch()).clock(clock.clone());
    let validator = builder.build().unwrap();
    let record = || changed(&kept, || watched.metrics.record_health(&validator.health()));
    let own = |name: &str| format!("{name}{{issuer={A:?}}}");

    let mut expected: BTreeMap<_, _> = states("never_loaded").into_iter().collect();
    expected.extend([(own("scopegate_keys"), 0.0), (own("scopegate_keys_left_out"), 0.0)]);
    assert_eq!(record(), expected);

    futures_executor::block_on(validator.warm_up()).unwrap();
    a.script(Fault::disconnect());
    record();
    assert_eq!(kept.scrape()[&own("scopegate_keys")], 1.0);
    clock.advance(seconds(3600));
    record();
    let scraped = kept.scrape();
    assert_eq!(scraped[&own("scopegate_keys_age_seconds")], 3600.0);
    for (name, value) in states("stale") {
        assert_eq!(scraped[&name], value, "{name}");
    }
}

#[test]
fn an_issuer_that_left_is_in_no_state_and_has_no_keys() {
    for left in [Event::IssuerEvicted { issuer: a() }, Event::IssuerWithdrawn { issuer: a() }] {
        let kept = Kept::default();
        let observer = observer(&kept);
        metrics::with_local_recorder(&kept, || {
            observer.happened(&turned(KeyState::NeverLoaded, KeyState::Fresh));
            observer.happened(&Event::KeysChanged { issuer: a(), before: set(&[]), after: set(&["one"]) });
            observer.happened(&left);
        });
        let mut gauges = kept.scrape();
        gauges.retain(|name, _| name.starts_with("scopegate_keys"));
        assert!(gauges.len() >= 6 && gauges.values().all(|value| *value == 0.0), "{gauges:?}");
    }
}

#[test]
fn a_fetch_that_begins_does_not_undo_what_is_known_of_the_keys() {
    let kept = Kept::default();
    let observer = observer(&kept);
    metrics::with_local_recorder(&kept, || observer.happened(&turned(KeyState::Fresh, KeyState::Stale)));
    let heard = changed(&kept, || observer.happened(&began(FetchCause::Timed)));
    assert_eq!(heard, BTreeMap::new());
}

#[test]
fn a_life_with_rotation_and_outage_is_seen_as_it_was() {
    let (log, kept) = (Log::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(a.fetch()).clock(clock.clone());
    let validator = builder.observe(Watched::new(log.clone(), &kept, 32)).build().unwrap();
    let fetched = |cause: &str, outcome: &str| {
        let name = format!("scopegate_key_fetches_total{{cause={cause:?},issuer={A:?},outcome={outcome:?}}}");
        kept.scrape().get(&name).copied().unwrap_or_default()
    };
    let state = |state: &str| {
        kept.scrape().get(&states(state).into_iter().find(|(_, value)| *value == 1.0).unwrap().0) == Some(&1.0)
    };

    futures_executor::block_on(validator.warm_up()).unwrap();
    soon("the first keys", || fetched("no_keys", "fetched") == 1.0 && state("fresh"));
    a.rotate();
    futures_executor::block_on(validator.refresh_now()).unwrap();
    let changes = format!("scopegate_key_changes_total{{issuer={A:?}}}");
    soon("the second", || fetched("asked", "fetched") == 1.0 && kept.scrape()[&changes] == 2.0);
    a.script(Fault::status(503));
    clock.advance(seconds(3600));
    soon("stale, and told why", || state("stale") && fetched("timed", "status") >= 1.0);
    clock.advance(seconds(24 * 3600));
    // What has failed before the clock is turned is waited for from then on, so it must be known by then.
    soon("expired, and told why", || state("expired") && fetched("timed", "status") >= 2.0);
    a.recover();
    clock.advance(seconds(61));
    soon("fresh", || state("fresh"));
    let lines = log.lines();
    for part in [
        r#"added="es256-2" removed="es256-1""#,
        r#"WARN scopegate::keys fetch_failed in scopegate.fetch"#,
        r#"ERROR scopegate::keys state_changed"#,
        r#"before="expired" after="fresh""#,
    ] {
        soon(part, || {
            log.lines().iter().any(|line| line.contains(part)) || lines.iter().any(|line| line.contains(part))
        });
    }
}

#[test]
fn no_word_of_a_token_is_ever_told() {
    let (log, kept) = (Log::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let (a, stranger) = (issuer(A, &clock), issuer("https://SECRET.stranger.test", &clock));
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(a.fetch()).clock(clock.clone());
    let validator = builder.observe(Watched::new(log.clone(), &kept, 32)).build().unwrap();
    let spoilt = |token: scopegate::testing::TestToken| {
        token
            .claim("sub", "SECRET-sub")
            .claim("jti", "SECRET-jti")
            .claim("client_id", "SECRET-client")
            .scope("read SECRET-scope")
    };
    let tokens = [
        spoilt(a.token()).mint(),
        spoilt(a.token()).header("kid", "SECRET-kid").mint(),
        spoilt(a.token()).audience("https://SECRET.audience.test").mint(),
        spoilt(a.token()).claim("cnf", "SECRET-cnf").mint(),
        spoilt(a.token()).signed_by_stranger().mint(),
        spoilt(a.token()).header("alg", "SECRET-alg").mint(),
        spoilt(stranger.token()).mint(),
        a.token().claim("sub", "SECRET").mint(),
        "SECRET.SECRET.SECRET".to_owned(),
        "SECRET with spaces".to_owned(),
    ];
    let mut accepted = 0;
    for token in &tokens {
        let credentials = Credentials::bearer(token);
        accepted += u32::from(futures_executor::block_on(validator.validate(&credentials, &read())).is_ok());
        accepted += u32::from(validator.check(&credentials, &read()).is_ok());
        clock.advance(seconds(31));
    }
    assert_eq!(accepted, 2);
    drop(validator);
    soon("the thread that tells has told all", || Arc::strong_count(&log.0) == 1);
    let (lines, series) = (log.lines(), kept.scrape());
    let all = format!("{lines:?}{series:?}");
    assert!(lines.len() > 20 && all.contains("unknown_key") && all.contains("fetch_began"), "{all}");
    assert!(!all.contains("SECRET"), "{all}");
    for part in tokens.iter().flat_map(|token| token.split('.')).filter(|part| part.len() > 20) {
        assert!(!all.contains(part), "{part}");
    }
}

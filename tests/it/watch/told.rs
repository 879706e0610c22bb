//! What `tracing` is told.

use scopegate::{IntrospectionOutcome, Reason, Spared};

use super::*;

/// What is told of one event, by an observer that has heard nothing else.
fn told(event: &Event) -> Vec<String> {
    Log::default().during(|| TracingObserver::new().happened(event))
}

#[test]
fn every_event_has_its_level_its_target_its_name_and_its_fields() {
    let issuer = format!("issuer={A:?}");
    let keys_changed = Event::KeysChanged { issuer: a(), before: set(&["one", "two"]), after: set(&["two", "three"]) };
    let rows: Vec<(Event, String)> = vec![
        (
            keys_changed,
            format!(
                r#"INFO scopegate::keys keys_changed: message=keys changed {issuer} keys=2 left_out=1 added="three" removed="one""#
            ),
        ),
        (
            turned(KeyState::Stale, KeyState::Fresh),
            format!(
                r#"INFO scopegate::keys state_changed: message=keys are fresh {issuer} before="stale" after="fresh""#
            ),
        ),
        (
            turned(KeyState::Fresh, KeyState::Stale),
            format!(
                r#"WARN scopegate::keys state_changed: message=keys are stale: the issuer could not be asked in time {issuer} before="fresh" after="stale""#
            ),
        ),
        (
            turned(KeyState::Stale, KeyState::Expired),
            format!(
                r#"ERROR scopegate::keys state_changed: message=there are no usable keys: requests are refused {issuer} before="stale" after="expired""#
            ),
        ),
        (
            Event::MetadataFailed { issuer: a(), error: broken("gone") },
            format!(
                r#"WARN scopegate::keys metadata_failed: message=metadata could not be read again {issuer} error="gone""#
            ),
        ),
        (
            Event::Restored { issuer: a(), age: seconds(90), keys: set(&["one"]) },
            format!("INFO scopegate::keys restored: message=saved keys serve {issuer} age_seconds=90.0"),
        ),
        (
            Event::RestoreRefused { issuer: a(), error: broken("too old") },
            format!(
                r#"WARN scopegate::keys restore_refused: message=saved keys do not serve {issuer} error="too old""#
            ),
        ),
        (
            Event::IssuerResolved { issuer: a() },
            format!("INFO scopegate::keys issuer_resolved: message=issuer resolved {issuer}"),
        ),
        (
            Event::IssuerEvicted { issuer: a() },
            format!("INFO scopegate::keys issuer_evicted: message=issuer evicted {issuer}"),
        ),
        (
            Event::IssuerWithdrawn { issuer: a() },
            format!("INFO scopegate::keys issuer_withdrawn: message=issuer withdrawn {issuer}"),
        ),
        (
            Event::ResolverFailed { error: broken("no database") },
            r#"WARN scopegate::keys resolver_failed: message=resolver failed error="no database""#.to_owned(),
        ),
        (
            Event::SaveFailed { error: broken("disk full") },
            r#"WARN scopegate::keys save_failed: message=keys could not be saved error="disk full""#.to_owned(),
        ),
        (
            Event::Lost { events: 7 },
            "WARN scopegate::keys lost: message=events were lost: the listener takes too long events=7".to_owned(),
        ),
    ];
    for (event, line) in rows {
        assert_eq!(told(&event), [line], "{event:?}");
    }
}

#[test]
fn a_question_about_a_token_is_told_without_the_token() {
    let issuer = format!("issuer={A:?}");
    let rows = [
        (
            introspected(IntrospectionOutcome::Active),
            format!(
                r#"DEBUG scopegate::introspection introspected: message=the issuer was asked about a token {issuer} took_seconds=0.25 outcome="active""#
            ),
        ),
        (
            introspected(IntrospectionOutcome::Refused(Reason::Inactive)),
            format!(
                r#"DEBUG scopegate::introspection introspected: message=the issuer was asked about a token {issuer} took_seconds=0.25 outcome="inactive""#
            ),
        ),
        (
            introspected(unanswered("503")),
            format!(
                r#"WARN scopegate::introspection introspection_failed: message=the issuer did not say what a token is worth {issuer} took_seconds=0.25 outcome="status" error="503""#
            ),
        ),
        (
            Event::IntrospectionHalted { issuer: a(), why: Spared::RetryAfter },
            format!(
                r#"WARN scopegate::introspection introspection_halted: message=the issuer is not asked about tokens for a while {issuer} why="retry_after""#
            ),
        ),
        (
            Event::IntrospectionResumed { issuer: a() },
            format!(
                r#"INFO scopegate::introspection introspection_resumed: message=the issuer is asked about tokens again {issuer}"#
            ),
        ),
    ];
    for (event, line) in rows {
        assert_eq!(told(&event), [line], "{event:?}");
    }
}

#[test]
fn a_fetch_is_a_span_with_what_came_of_it_inside() {
    let head = format!(r#"issuer={A:?} cause="timed""#);
    let next = "took_seconds=0.25";
    let failed_line = format!(
        r#"WARN scopegate::keys fetch_failed in scopegate.fetch: message=fetch failed {head} outcome="status" {next} error="503" next_try_seconds=2.0"#
    );
    let well = |outcome: &str| {
        format!(
            r#"DEBUG scopegate::keys fetch_ended in scopegate.fetch: message=fetch ended {head} outcome="{outcome}" {next}"#
        )
    };
    let empty = format!(
        r#"WARN scopegate::keys fetch_ended in scopegate.fetch: message=fetch ended without a usable key {head} outcome="unconfirmed" {next}"#
    );
    let rows = [
        (FetchOutcome::Fetched, well("fetched")),
        (FetchOutcome::NotModified, well("not_modified")),
        (FetchOutcome::Late, well("late")),
        (FetchOutcome::Unconfirmed, empty),
        (failed("503"), failed_line),
    ];
    for (outcome, line) in rows {
        let (log, observer) = (Log::default(), TracingObserver::new());
        let lines = log.during(|| {
            observer.happened(&began(FetchCause::Timed));
            observer.happened(&ended(FetchCause::Timed, outcome.clone()));
        });
        let expected = [
            format!("INFO scopegate::keys scopegate.fetch opened {head}"),
            format!("DEBUG scopegate::keys fetch_began in scopegate.fetch: message=fetch began {head}"),
            format!("scopegate.fetch records outcome={:?}", outcome.label()),
            line,
            "scopegate.fetch closed".to_owned(),
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn an_end_without_a_beginning_is_told_without_a_span() {
    let lines = told(&ended(FetchCause::Asked, FetchOutcome::Fetched));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("DEBUG scopegate::keys fetch_ended: "), "{lines:?}");
}

#[test]
fn no_span_stays_open_for_a_fetch_whose_end_is_never_told() {
    for over in [
        Event::IssuerEvicted { issuer: a() },
        Event::IssuerWithdrawn { issuer: a() },
        Event::Lost { events: 1 },
        began(FetchCause::Timed),
    ] {
        let (log, observer) = (Log::default(), TracingObserver::new());
        log.during(|| observer.happened(&began(FetchCause::Timed)));
        assert_eq!(log.open(), 1);
        let lines = log.during(|| observer.happened(&over));
        assert!(lines.contains(&"scopegate.fetch closed".to_owned()), "{over:?}: {lines:?}");
        assert_eq!(log.open(), usize::from(matches!(over, Event::FetchBegan { .. })));
    }
}

#[test]
fn at_most_1024_fetches_have_a_span_at_a_time_and_the_others_are_told_all_the_same() {
    let (log, observer) = (Log::default(), TracingObserver::new());
    let lines = log.during(|| {
        for issuer in identifiers((0..1100).map(|number| format!("https://{number}.example.test"))) {
            observer.happened(&Event::FetchBegan { issuer, cause: FetchCause::NoKeys });
        }
    });
    assert_eq!(log.open(), 1024);
    assert_eq!(lines.iter().filter(|line| line.contains("fetch_began")).count(), 1100);
    log.during(|| drop(observer));
    assert_eq!(log.open(), 0);
}

#[test]
fn words_of_others_are_one_line_bounded_and_escaped() {
    let words = format!("status 500\r\nERROR forged \u{1b}[31m\u{202e} {}", "x".repeat(10_000));
    let lines = told(&Event::SaveFailed { error: broken(&words) });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(!line.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{line}");
    assert!(line.contains("status 500") && line.len() < 1000, "{line}");

    let name = format!("kid\n{}", "k".repeat(500));
    let kids: Vec<String> = (0..20).map(|number| format!("{number}{name}")).collect();
    let kids: Vec<&str> = kids.iter().map(String::as_str).collect();
    let lines = told(&Event::KeysChanged { issuer: a(), before: set(&[]), after: set(&kids) });
    assert!(!lines[0].contains('\n') && lines[0].len() < 1200, "{}", lines[0]);
    assert!(lines[0].contains("keys=20"), "{}", lines[0]);
}

#[test]
fn the_causes_of_an_error_are_told_with_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("the issuer was not asked")]
    struct Outer(#[source] std::io::Error);

    let error = Arc::new(Outer(std::io::Error::other("no route")));
    let lines = told(&Event::ResolverFailed { error });
    assert!(lines[0].ends_with(r#"error="the issuer was not asked: no route""#), "{lines:?}");
}

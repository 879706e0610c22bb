//! What is told of keys that were restored.

use super::*;
use crate::rotation::{issuer, soon};
use crate::saved::keys_of;
use crate::tenants::Ears;
use futures_executor::block_on;
use scopegate::testing::TestClock;

#[test]
fn restored_keys_that_the_issuer_still_has_are_stale_and_then_fresh_and_never_changed() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let builder = || Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).clock(clock.clone());
    let first = builder().build().unwrap();
    block_on(first.warm_up()).unwrap();
    let saved = keys_of(&first);
    clock.advance(seconds(60));

    let (kept, ears) = (Kept::default(), Arc::new(Ears::default()));
    let watched = Watched::new(Log::default(), &kept, 32);
    let validator = builder().restore(saved).observe(watched).observe(ears.clone()).build().unwrap();
    // The first question starts the thread, which tells what became of the saved keys before it asks anybody.
    block_on(validator.warm_up()).unwrap();
    let gauge = |name: &str| kept.scrape().get(&format!("{name}{{issuer={A:?}}}")).copied();
    let state =
        |state: &str| kept.scrape().get(&format!("scopegate_keys_state{{issuer={A:?},state={state:?}}}")).copied();
    soon("the restored keys are counted", || gauge("scopegate_keys") == Some(1.0));
    assert_eq!((state("never_loaded"), gauge("scopegate_keys_age_seconds")), (Some(0.0), Some(60.0)));
    block_on(validator.refresh_now()).unwrap();
    soon("they are fresh", || state("fresh") == Some(1.0));
    assert_eq!((state("never_loaded"), state("stale")), (Some(0.0), Some(0.0)));

    let heard = ears.0.lock().unwrap();
    let changes = heard.iter().filter(|event| matches!(event, Event::KeysChanged { .. })).count();
    assert_eq!(changes, 0, "{heard:?}");
    let turns: Vec<_> = heard
        .iter()
        .filter_map(|event| match event {
            Event::StateChanged { before, after, .. } => Some((*before, *after)),
            _ => None,
        })
        .collect();
    assert_eq!(turns, [(KeyState::Stale, KeyState::Fresh)]);
}

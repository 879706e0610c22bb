use super::*;
use crate::keys::unknown_key::UnknownKey;

const HOUR: u64 = 3600;
const LIFETIME: Duration = Duration::from_secs(300);

/// A moment at which both clocks agree.
fn at(millis: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + i64::try_from(millis).unwrap(), Duration::from_millis(millis))
}

fn s(seconds: u64) -> Timestamp {
    at(seconds * 1000)
}

fn machine(seed: u64) -> Refresh {
    Refresh::new(seed, MAX_STALE)
}

/// A machine whose keys were fetched at second 0.
fn loaded(seed: u64) -> Refresh {
    let mut refresh = machine(seed);
    let order = refresh.need_keys(s(0)).unwrap();
    assert_eq!(refresh.fetched(order, s(0), LIFETIME, Contents::Usable, Word::Own), Outcome::Install);
    refresh
}

/// Lets time pass in steps of 100 ms and answers each order at once; returns when orders were given.
fn run(
    refresh: &mut Refresh,
    from: u64,
    to: u64,
    mut tokens: impl FnMut(&mut Refresh, Timestamp) -> Option<Order>,
    mut answer: impl FnMut(&mut Refresh, Order, Timestamp),
) -> Vec<u64> {
    let mut orders = Vec::new();
    for tenth in from * 10..to * 10 {
        let now = at(tenth * 100);
        let order = tokens(refresh, now).or_else(|| refresh.due(now));
        if let Some(order) = order {
            orders.push(tenth * 100);
            answer(refresh, order, now);
        }
    }
    orders
}

fn no_tokens(_: &mut Refresh, _: Timestamp) -> Option<Order> {
    None
}

fn fails(refresh: &mut Refresh, order: Order, now: Timestamp) {
    refresh.failed(order.id, now, None);
}

fn succeeds(refresh: &mut Refresh, order: Order, now: Timestamp) {
    refresh.fetched(order, now, LIFETIME, Contents::Usable, Word::Own);
}

#[test]
fn nothing_is_asked_before_keys_are_needed_and_then_once() {
    let mut refresh = machine(1);
    assert!(run(&mut refresh, 0, 600, no_tokens, fails).is_empty());
    assert_eq!(refresh.next_wake(s(600)), None);
    let order = refresh.need_keys(s(600)).unwrap();
    assert_eq!(order.cause, FetchCause::NoKeys);
    for second in 600..605 {
        assert_eq!(refresh.need_keys(s(second)), None, "invariant 1");
        assert_eq!(refresh.unknown_key(Some("k"), s(second)), Unknown::InFlight);
        assert_eq!(refresh.asked(s(second)), None);
    }
    refresh.fetched(order, s(605), LIFETIME, Contents::Usable, Word::Own);
    assert!(refresh.usable(s(605)));
    assert_eq!(refresh.need_keys(s(606)), None);
    assert_eq!(refresh.asked(s(606)).map(|order| order.cause), Some(FetchCause::Asked));
}

#[test]
fn keys_are_refreshed_between_seventy_and_ninety_percent_of_their_lifetime() {
    let mut seen = Vec::new();
    for seed in 0..500 {
        let mut refresh = loaded(seed);
        let orders = run(&mut refresh, 0, 300, no_tokens, succeeds);
        assert_eq!(orders.len(), 1);
        assert!((210_000..=270_100).contains(&orders[0]), "{orders:?}");
        seen.push(orders[0]);
    }
    assert!(seen.iter().min().unwrap() < &220_000 && seen.iter().max().unwrap() > &260_000, "the load is spread");
}

#[test]
fn an_outage_costs_at_most_sixteen_requests_in_five_minutes_while_there_are_keys() {
    for seed in 0..200 {
        let mut refresh = loaded(seed);
        let orders = run(&mut refresh, 0, 3 * HOUR, no_tokens, fails);
        let first = orders[0];
        let early = orders.iter().filter(|order| **order < first + 300_000).count();
        assert!((9..=16).contains(&early), "{early}");
        assert!(orders.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{orders:?}");
        assert!(orders.windows(2).all(|pair| pair[1] - pair[0] <= 60_100), "{orders:?}");
        assert!(refresh.usable(s(3 * HOUR)), "invariant 3");
    }
}

#[test]
fn unknown_keys_add_no_request_to_an_outage() {
    let mut number = 0_u64;
    let mut flood = |refresh: &mut Refresh, now| {
        number += 1;
        match refresh.unknown_key(Some(&number.to_string()), now) {
            Unknown::Fetch(order) => Some(order),
            Unknown::InFlight | Unknown::Absent | Unknown::NotYet => None,
        }
    };
    let mut refresh = loaded(3);
    let orders = run(&mut refresh, 0, 300, &mut flood, fails);
    assert!(orders.len() <= 16, "{orders:?}");
    assert_eq!(refresh.published(s(300)).unknown_key(Some("k"), s(300)), UnknownKey::Undecided, "503, not 401");
}

#[test]
fn tokens_without_keys_are_served_within_six_seconds_of_the_end_of_an_outage() {
    for seed in 0..50 {
        for down in [1, 30, 600, 4000] {
            let mut refresh = machine(seed);
            run(&mut refresh, 0, down, Refresh::need_keys, fails);
            let orders = run(&mut refresh, down, down + 10, Refresh::need_keys, succeeds);
            assert!(orders[0] <= down * 1000 + 5_100, "{orders:?}");
        }
    }
}

#[test]
fn a_quiet_program_backs_off_and_the_first_token_ends_it() {
    let mut refresh = machine(7);
    let mut once = Some(());
    let warm_up = |refresh: &mut Refresh, now| once.take().and_then(|()| refresh.need_keys(now));
    let orders = run(&mut refresh, 0, HOUR, warm_up, fails);
    let late: Vec<_> = orders.iter().filter(|order| **order > 300_000).collect();
    assert!(late.windows(2).all(|pair| pair[1] - pair[0] >= 30_000), "{late:?}");
    let orders = run(&mut refresh, HOUR, HOUR + 10, Refresh::need_keys, succeeds);
    assert!(orders[0] <= HOUR * 1000 + 5_100, "{orders:?}");
}

#[test]
fn a_thousand_unknown_kids_in_a_second_cause_two_fetches() {
    let mut refresh = loaded(1);
    let mut fetches = 0;
    for number in 0..1000 {
        let now = at(1000 + number);
        match refresh.unknown_key(Some(&number.to_string()), now) {
            Unknown::Fetch(order) => {
                fetches += 1;
                refresh.fetched(order, now, LIFETIME, Contents::Usable, Word::Own);
            }
            Unknown::InFlight | Unknown::Absent | Unknown::NotYet => {}
        }
    }
    assert_eq!(fetches, 2);
    assert_eq!(
        refresh.published(s(2)).unknown_key(Some("other"), s(2)),
        UnknownKey::Absent,
        "a set of this moment judged it"
    );
    assert_eq!(refresh.published(s(32)).unknown_key(Some("other"), s(32)), UnknownKey::Ask);
}

#[test]
fn in_any_window_unknown_keys_cause_two_fetches_and_one_more_for_each_half_minute() {
    let mut refresh = loaded(9);
    let mut given = Vec::new();
    let mut noise = Jitter(5);
    let mut now_millis = 0;
    for number in 0..20_000_u64 {
        now_millis += noise.next() % 4000 * u64::from(noise.next().is_multiple_of(5));
        if let Unknown::Fetch(order) = refresh.unknown_key(Some(&number.to_string()), at(now_millis)) {
            given.push(now_millis);
            refresh.fetched(order, at(now_millis), LIFETIME, Contents::Usable, Word::Own);
        }
        assert!(refresh.pending.len() <= REMEMBERED && refresh.remembered.len() <= REMEMBERED, "invariant 8");
    }
    assert!(given.len() > 200);
    for (first, start) in given.iter().enumerate() {
        for (count, end) in given[first..].iter().enumerate() {
            assert!((count as u64) < 2 + (end - start) / 30_000, "{start} {end}");
        }
    }
}

#[test]
fn forged_signatures_leave_an_unknown_key_the_order_that_it_needs() {
    let mut refresh = loaded(1);
    let mut forged = 0;
    for second in 10..130 {
        if let Unknown::Fetch(order) = refresh.bad_signature(s(second)) {
            forged += 1;
            succeeds(&mut refresh, order, s(second));
            assert_eq!(refresh.bad_signature(s(second)), Unknown::NotYet);
            assert!(refresh.published(s(second)).unknown_barred(s(second)).is_zero());
            assert!(!refresh.published(s(second)).renamed_barred(s(second)).is_zero());
        }
    }
    assert_eq!(forged, 4, "one in 30 s");
    let Unknown::Fetch(order) = refresh.unknown_key(Some("new"), s(130)) else { panic!("forged ones took it") };
    succeeds(&mut refresh, order, s(130));
    assert_eq!(refresh.bad_signature(s(159)), Unknown::NotYet, "the new key's order is owed");
}

#[test]
fn a_kid_that_the_issuer_was_just_asked_for_does_not_spend() {
    let mut refresh = loaded(1);
    let kid = Some("gone");
    let Unknown::Fetch(order) = refresh.unknown_key(kid, s(10)) else { panic!("the budget is whole") };
    refresh.fetched(order, s(10), LIFETIME, Contents::Usable, Word::Own);
    for second in 10..40 {
        assert_eq!(refresh.unknown_key(kid, s(second)), Unknown::Absent, "{second}");
        assert_eq!(refresh.published(s(second)).unknown_key(kid, s(second)), UnknownKey::Absent);
    }
    assert!(matches!(refresh.unknown_key(Some("gone"), s(40)), Unknown::Fetch(_)));
}

/// Otherwise one forged token without a name would shut out, for a minute, all good ones after a rotation.
#[test]
fn a_token_without_kid_proves_nothing_about_the_next() {
    let mut refresh = loaded(1);
    for second in [10, 11] {
        let Unknown::Fetch(order) = refresh.unknown_key(None, s(second)) else { panic!("the budget is for two") };
        refresh.fetched(order, s(second), LIFETIME, Contents::Usable, Word::Own);
    }
    assert_eq!(refresh.unknown_key(None, s(12)), Unknown::NotYet);
    assert!(matches!(refresh.unknown_key(None, s(40)), Unknown::Fetch(_)));
}

#[test]
fn an_answer_to_an_older_question_does_not_prove_a_kid_absent() {
    let mut refresh = loaded(1);
    let order = refresh.asked(s(10)).unwrap();
    assert_eq!(refresh.unknown_key(Some("new"), s(10)), Unknown::InFlight);
    refresh.fetched(order, s(11), LIFETIME, Contents::Usable, Word::Own);
    let Unknown::Fetch(order) = refresh.unknown_key(Some("new"), s(11)) else { panic!("the key may have come since") };
    refresh.fetched(order, s(11), LIFETIME, Contents::Usable, Word::Own);
    assert_eq!(refresh.unknown_key(Some("new"), s(12)), Unknown::Absent);
}

#[test]
fn one_answer_proves_all_that_was_asked_before_it() {
    let mut refresh = loaded(1);
    for kid in ["a", "b"] {
        let Unknown::Fetch(order) = refresh.unknown_key(Some(kid), s(1)) else { panic!("the budget is whole") };
        refresh.fetched(order, s(1), LIFETIME, Contents::Usable, Word::Own);
    }
    assert_eq!(refresh.unknown_key(Some("c"), s(2)), Unknown::NotYet);
    let order = refresh.asked(s(3)).unwrap();
    refresh.failed(order.id, s(3), None);
    let order = refresh.due(s(5)).unwrap();
    refresh.fetched(order, s(5), LIFETIME, Contents::Usable, Word::Own);
    assert_eq!(refresh.unknown_key(Some("c"), s(6)), Unknown::Absent);
}

#[test]
fn retry_after_is_obeyed_by_every_cause_and_kept_within_bounds() {
    for (asked, obeyed) in [(120, 120), (0, 1), (100 * HOUR, HOUR)] {
        let mut refresh = machine(4);
        let order = refresh.need_keys(s(0)).unwrap();
        refresh.failed(order.id, s(0), Some(Duration::from_secs(asked)));
        for tenth in 0..obeyed * 10 {
            let now = at(tenth * 100);
            assert_eq!(refresh.need_keys(now), None);
            assert_eq!(refresh.asked(now), None);
            assert_eq!(refresh.due(now), None);
            assert_eq!(refresh.unknown_key(None, now), Unknown::NotYet);
        }
        assert!(refresh.need_keys(s(obeyed)).is_some());
    }
}

#[test]
fn an_empty_set_counts_when_three_answers_over_a_minute_agree() {
    for seed in 0..50 {
        let mut refresh = loaded(seed);
        let mut answers = Vec::new();
        run(&mut refresh, 0, 600, no_tokens, |refresh, order, now| {
            let outcome = refresh.fetched(order, now, LIFETIME, Contents::Empty, Word::Own);
            if answers.last() != Some(&Outcome::Install) {
                answers.push(outcome);
            }
        });
        let (last, kept) = answers.split_last().unwrap();
        assert_eq!(last, &Outcome::Install);
        assert!(kept.len() >= 2 && kept.iter().all(|answer| *answer == Outcome::Unconfirmed), "{answers:?}");
        // From then on it is what the issuer says, and no failure, until it says something else.
        let answer = |refresh: &mut Refresh, now, contents| {
            let order = refresh.asked(now).unwrap();
            refresh.fetched(order, now, LIFETIME, contents, Word::Own)
        };
        assert_eq!(answer(&mut refresh, s(601), Contents::Empty), Outcome::Install);
        assert_eq!(answer(&mut refresh, s(602), Contents::Unchanged), Outcome::Renew);
        assert_eq!(answer(&mut refresh, s(603), Contents::Empty), Outcome::Install);
        assert_eq!(answer(&mut refresh, s(604), Contents::Usable), Outcome::Install);
        assert_eq!(answer(&mut refresh, s(605), Contents::Empty), Outcome::Unconfirmed);
    }
}

#[test]
fn an_empty_set_is_forgotten_when_a_good_one_follows_and_three_in_a_moment_are_not_enough() {
    let mut refresh = loaded(1);
    let mut answer = |now, contents| {
        let order = refresh.asked(now).unwrap();
        refresh.fetched(order, now, LIFETIME, contents, Word::Own)
    };
    assert_eq!(answer(s(0), Contents::Empty), Outcome::Unconfirmed);
    assert_eq!(answer(s(5), Contents::Empty), Outcome::Unconfirmed);
    assert_eq!(answer(s(50), Contents::Empty), Outcome::Unconfirmed);
    assert_eq!(answer(at(59_900), Contents::Empty), Outcome::Unconfirmed);
    assert_eq!(answer(s(70), Contents::Usable), Outcome::Install);
    assert_eq!(answer(s(80), Contents::Empty), Outcome::Unconfirmed);
    assert_eq!(answer(s(140), Contents::Empty), Outcome::Unconfirmed, "over a minute, and two only");
    assert_eq!(answer(s(200), Contents::Empty), Outcome::Install);
}

#[test]
fn a_late_answer_never_replaces_a_newer_one() {
    let mut refresh = machine(1);
    let lost = refresh.need_keys(s(0)).unwrap();
    assert_eq!(refresh.due(s(59)), None);
    assert_eq!(refresh.due(s(60)), None, "a lost order counts as failed, and failures wait");
    let newer = refresh.due(s(62)).unwrap();
    assert!(newer.id > lost.id);
    assert_eq!(refresh.fetched(newer, s(62), LIFETIME, Contents::Usable, Word::Own), Outcome::Install);
    assert_eq!(refresh.fetched(lost, s(63), LIFETIME, Contents::Usable, Word::Own), Outcome::Late);
    assert_eq!(refresh.fetched(newer, s(64), LIFETIME, Contents::Usable, Word::Own), Outcome::Late);
    refresh.failed(lost.id, s(64), None);
    assert_eq!(refresh.published(s(64)).age(s(64)), Some(Duration::from_secs(2)));
}

/// The key that was removed a moment after the question is in its answer still, however long that was on its way.
#[test]
fn keys_are_as_old_as_the_question_that_they_answer() {
    for contents in [Contents::Usable, Contents::Unchanged] {
        for seed in 0..100 {
            let mut refresh = loaded(seed);
            let order = refresh.asked(s(100)).unwrap();
            refresh.fetched(order, s(120), LIFETIME, contents, Word::Own);
            assert_eq!(refresh.published(s(120)).age(s(120)), Some(Duration::from_secs(20)));
            assert!(refresh.published(s(120)).next_try(s(120)).unwrap() <= Duration::from_secs(250));
            assert_eq!((refresh.state(s(400)), refresh.state(at(400_001))), (KeyState::Fresh, KeyState::Stale));
            assert!(refresh.due(s(370)).is_some(), "invariant 11");
        }
    }
}

#[test]
fn an_answer_that_was_given_up_is_as_old_as_its_question_too() {
    let mut refresh = loaded(1);
    let order = refresh.asked(s(100)).unwrap();
    assert_eq!(refresh.due(s(370)), None, "it is lost, and failures wait");
    assert_eq!(refresh.fetched(order, s(370), LIFETIME, Contents::Usable, Word::Own), Outcome::Install);
    assert!(refresh.due(s(370)).is_some(), "the key that was removed meanwhile is found out at once");
}

/// By the uptime no time has passed, by the wall clock eight hours have.
#[test]
fn a_computer_that_slept_during_a_fetch_asks_again_when_it_wakes() {
    let mut refresh = loaded(1);
    let order = refresh.asked(s(100)).unwrap();
    let awake = Timestamp::new(s(100 + 8 * HOUR).unix_millis(), Duration::from_secs(101));
    assert_eq!(refresh.fetched(order, awake, LIFETIME, Contents::Usable, Word::Own), Outcome::Install);
    assert_eq!(refresh.state(awake), KeyState::Stale);
    let order = refresh.due(awake).unwrap();
    succeeds(&mut refresh, order, awake);
    assert_eq!((refresh.state(awake), refresh.due(awake)), (KeyState::Fresh, None), "once");
}

#[test]
fn a_key_counts_as_absent_no_longer_than_30_s_after_the_question() {
    let mut refresh = loaded(1);
    let Unknown::Fetch(order) = refresh.unknown_key(Some("new"), s(50)) else { panic!("the budget is whole") };
    succeeds(&mut refresh, order, s(70));
    assert_eq!(refresh.unknown_key(Some("new"), at(79_999)), Unknown::Absent);
    assert!(matches!(refresh.unknown_key(Some("new"), s(80)), Unknown::Fetch(_)), "it may be there by now");
}

#[test]
fn keys_are_usable_up_to_the_hard_limit_and_not_after_it() {
    let mut refresh = loaded(1);
    let published = refresh.published(s(0));
    let limit = 24 * HOUR * 1000;
    run(&mut refresh, 0, 24 * HOUR, no_tokens, fails);
    assert!(refresh.usable(at(limit)) && published.state(at(limit)).is_usable());
    assert!(!refresh.usable(at(limit + 1)) && !published.state(at(limit + 1)).is_usable());
    let orders = run(&mut refresh, 24 * HOUR + 1, 24 * HOUR + 10, Refresh::need_keys, succeeds);
    assert!(orders[0] <= (24 * HOUR + 6) * 1000, "{orders:?}");
    assert!(refresh.usable(s(24 * HOUR + 10)));
}

#[test]
fn a_wall_clock_that_jumps_cannot_make_us_hammer_an_issuer_or_keep_keys_young() {
    let jump =
        |seconds: i64, uptime: u64| Timestamp::new(1_700_000_000_000 + seconds * 1000, Duration::from_secs(uptime));
    // Set back by an hour, or before 1970: the age is the monotonic clock's.
    for wall in [-3600, -1_700_000_001] {
        let mut refresh = loaded(1);
        assert!(refresh.usable(jump(wall, 100)));
        assert_eq!(refresh.due(jump(wall, 100)), None);
        assert!(refresh.next_wake(jump(wall, 269)).unwrap() <= Duration::from_secs(2));
        assert!(refresh.due(jump(wall, 271)).is_some());
        assert!(!refresh.usable(jump(wall, 24 * HOUR + 1)));
    }
    // Set ahead by an hour, or a computer that slept: refreshed at once, and once.
    let mut refresh = loaded(1);
    let order = refresh.due(jump(3600, 10)).unwrap();
    refresh.fetched(order, jump(3600, 10), LIFETIME, Contents::Usable, Word::Own);
    assert_eq!(refresh.due(jump(3601, 11)), None);
    // Ahead by centuries: the keys are not believed, and waits and budgets do not end early.
    let mut refresh = loaded(1);
    let far = |uptime| jump(10_000_000_000, uptime);
    assert!(!refresh.usable(far(1)));
    for kid in ["a", "b"] {
        let Unknown::Fetch(order) = refresh.unknown_key(Some(kid), s(1)) else { panic!("the budget is whole") };
        refresh.fetched(order, s(1), LIFETIME, Contents::Usable, Word::Own);
    }
    assert_eq!(refresh.unknown_key(Some("c"), far(30)), Unknown::NotYet);
    let order = refresh.asked(s(2)).unwrap();
    refresh.failed(order.id, s(2), Some(Duration::from_secs(100)));
    assert_eq!(refresh.need_keys(far(50)), None);
    assert_eq!(refresh.unknown_key(Some("k"), far(50)), Unknown::NotYet);
    assert!(refresh.need_keys(far(102)).is_some());
}

#[test]
fn the_driver_sleeps_until_the_next_work_and_at_most_a_minute() {
    let mut refresh = loaded(11);
    let mut now = 0;
    let mut naps = 0;
    while refresh.due(at(now)).is_none() {
        let nap = refresh.next_wake(at(now)).unwrap();
        assert!(nap > Duration::ZERO && nap <= Duration::from_secs(60));
        now += u64::try_from(nap.as_millis()).unwrap();
        naps += 1;
    }
    assert!((210_000..=270_000).contains(&now) && naps <= 5, "{now} {naps}");
    assert!(refresh.next_wake(at(now)).unwrap() <= Duration::from_secs(60), "the open order might be lost");
}

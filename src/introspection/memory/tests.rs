use std::sync::atomic::AtomicUsize;

use super::*;
use crate::claims::read::ClaimNames;
use crate::claims::rules::{AudienceRule, Binding, Profile};
use crate::issuer_id::IssuerId;

const LIFE: Duration = Duration::from_secs(30);
const START: i64 = 1_800_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(START, Duration::ZERO).plus(Duration::from_secs(seconds))
}

fn rules() -> Rules {
    Rules {
        issuer: IssuerId::new("https://a.test"),
        profile: Profile::Rfc9068,
        audience: AudienceRule::Anybody,
        names: ClaimNames::default(),
        leeway: Duration::ZERO,
        binding: Binding::MustBeProven,
        #[cfg(feature = "client")]
        for_a_client: false,
        #[cfg(feature = "testing")]
        left_out: Default::default(),
    }
}

fn active(subject: &str) -> Fact {
    let document = format!(r#"{{"active":true,"iss":"https://a.test","sub":"{subject}","token_type":"Bearer"}}"#);
    let answer = Answer::read(document.as_bytes(), &ClaimNames::default()).unwrap();
    Fact::of(answer, &rules(), MayLack::default())
}

fn inactive() -> Fact {
    Fact::of(Answer::Inactive, &rules(), MayLack::default())
}

fn remembered(fact: Fact, seconds: u64) -> Remembered {
    Remembered::new(fact, 1, at(seconds), LIFE, Duration::ZERO)
}

fn memory(entries: u64, bytes: u64) -> Memory {
    Memory::new(Bounds { entries, bytes })
}

fn learn(memory: &Memory, token: &[u8], fact: Fact) -> Arc<Remembered> {
    let flight = memory.ask(1, TokenText::new(token));
    memory.answered(flight, remembered(fact, 0)).unwrap()
}

fn recalled(memory: &Memory, asker: Asker, token: &[u8], now: Timestamp) -> Option<Arc<Remembered>> {
    memory.recall(asker, token, now, |known| Some(Arc::clone(known)))
}

fn knows(memory: &Memory, token: &[u8]) -> bool {
    recalled(memory, 1, token, at(1)).is_some()
}

fn subject(name: &'static str) -> Meant {
    Arc::new(move |token: &AccessToken| token.subject() == Some(name))
}

#[test]
fn an_entry_is_found_by_every_octet_of_its_token_and_by_whom_was_asked() {
    let memory = memory(100, 1_000_000);
    let long = [b'a'; 1000];
    learn(&memory, &long, active("x"));
    assert!(knows(&memory, &long));
    for place in [0, 1, 500, 998, 999] {
        let mut other = long;
        other[place] = b'b';
        assert!(!knows(&memory, &other), "{place}");
    }
    assert!(!knows(&memory, &long[..999]) && !knows(&memory, b"") && recalled(&memory, 2, &long, at(1)).is_none());
}

/// Invariant 8.
#[test]
fn at_no_time_is_nothing_known_of_a_token_whose_answer_changes() {
    let memory = memory(100, 1_000_000);
    learn(&memory, b"t", active("x"));
    let (is_over, looks, misses) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                misses.fetch_add(usize::from(!knows(&memory, b"t")), Ordering::SeqCst);
                looks.fetch_add(1, Ordering::SeqCst);
            }
        });
        for round in 0..2_000 {
            learn(&memory, b"t", if round % 2 == 0 { inactive() } else { active("x") });
            // One look that began after it has ended: it does not change twice within one.
            let seen = looks.load(Ordering::SeqCst);
            while looks.load(Ordering::SeqCst) < seen + 2 {
                std::thread::yield_now();
            }
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert_eq!(misses.into_inner(), 0, "of {}", looks.into_inner());
}

#[test]
fn what_is_learnt_anew_takes_the_place_of_what_was_known() {
    let memory = memory(100, 1_000_000);
    learn(&memory, b"t", active("x"));
    learn(&memory, b"t", inactive());
    assert!(matches!(recalled(&memory, 1, b"t", at(1)).unwrap().fact, Fact::Bad(Reason::Inactive)));
    learn(&memory, b"t", active("x"));
    assert!(matches!(recalled(&memory, 1, b"t", at(1)).unwrap().fact, Fact::Active(_)));
}

#[test]
fn an_entry_lives_by_whichever_clock_says_longer() {
    let memory = memory(100, 1_000_000);
    learn(&memory, b"t", active("x"));
    let just = Timestamp::new(START + 29_999, Duration::from_millis(29_999));
    assert!(recalled(&memory, 1, b"t", just).is_some());
    assert!(recalled(&memory, 1, b"t", Timestamp::new(START + 30_000, Duration::ZERO)).is_none());
    assert!(recalled(&memory, 1, b"t", Timestamp::new(START - 999_999, Duration::from_secs(30))).is_none());
}

#[test]
fn what_is_remembered_for_no_time_is_handed_back_and_not_kept() {
    let memory = memory(100, 1_000_000);
    let flight = memory.ask(1, TokenText::new(b"t"));
    let fact = Remembered::new(active("x"), 1, at(0), Duration::ZERO, Duration::ZERO);
    let handed = memory.answered(flight, fact).unwrap();
    assert!(handed.is_good_for(1) && handed.judge(&rules(), at(0)).is_ok() && !handed.is_about_to_end(at(0)));
    assert!(recalled(&memory, 1, b"t", at(0)).is_none());
    memory.forget(b"t");
    assert!(!handed.is_good_for(1), "invariant 4 holds for what was not kept too");
}

#[test]
fn the_last_fifth_of_a_life_is_when_it_is_about_to_end() {
    let fact = remembered(active("x"), 0);
    assert!(!fact.is_about_to_end(at(23)) && fact.is_about_to_end(at(24)));
    fact.put_off(Duration::from_secs(2), at(24));
    assert!(!fact.is_about_to_end(at(25)) && fact.is_about_to_end(at(26)), "its issuer was not to be asked");
    fact.renew();
    assert!(!fact.is_about_to_end(at(29)), "it is being asked about");
    assert!(!remembered(inactive(), 0).is_about_to_end(at(29)));
}

#[test]
fn junk_never_makes_a_good_token_leave() {
    let memory = memory(100, 1_000_000);
    for number in 0..50_u32 {
        learn(&memory, &number.to_be_bytes(), active("x"));
    }
    for number in 1_000..21_000_u32 {
        learn(&memory, &number.to_be_bytes(), inactive());
    }
    assert!((0..50_u32).all(|number| knows(&memory, &number.to_be_bytes())));
}

#[test]
fn nothing_of_what_has_left_is_kept_for_long() {
    let memory = memory(10_000, 32 * 1024 * 1024);
    for number in 0..8_000_u32 {
        learn(&memory, &number.to_be_bytes(), active("x"));
    }
    // Long junk lets other junk go, and the good ones are so many that the dead could be as many.
    for number in 0..5_000_u32 {
        let mut token = vec![b'x'; 16 * 1024];
        token.extend(number.to_be_bytes());
        learn(&memory, &token, inactive());
    }
    let held: usize = memory.lock().handed.keys().map(|token| token.octets().len()).sum();
    assert!(held <= 12 * 1024 * 1024, "{held} bytes of tokens are held");
}

#[test]
fn a_token_is_forgotten_wherever_its_answer_is() {
    let memory = memory(100, 1_000_000);
    let handed = learn(&memory, b"t", active("x"));
    let other = learn(&memory, b"u", active("x"));
    let open = memory.ask(2, TokenText::new(b"t"));
    memory.forget(b"t");
    assert!(!handed.is_good_for(1) && !knows(&memory, b"t"));
    assert!(other.is_good_for(1) && knows(&memory, b"u"));
    assert!(memory.answered(open, remembered(active("x"), 0)).is_none(), "it was on its way");
    learn(&memory, b"t", active("x"));
    assert!(knows(&memory, b"t"), "a question that begins afterwards counts");
}

#[test]
fn tokens_that_are_meant_are_forgotten_and_no_others() {
    let memory = memory(100, 1_000_000);
    learn(&memory, b"x", active("x"));
    learn(&memory, b"y", active("y"));
    learn(&memory, b"dead", inactive());
    let open: Vec<_> = [b"1", b"2"].iter().map(|token| memory.ask(1, TokenText::new(*token))).collect();
    memory.forget_where(&subject("x"));
    assert!(!knows(&memory, b"x") && knows(&memory, b"y") && knows(&memory, b"dead"));
    assert!(memory.answered(open[0], remembered(active("x"), 0)).is_none());
    assert!(memory.answered(open[1], remembered(active("y"), 0)).is_some());
}

#[test]
fn what_panics_means_every_token_and_breaks_nothing() {
    let memory = memory(100, 1_000_000);
    learn(&memory, b"x", active("x"));
    let open = memory.ask(1, TokenText::new(b"y"));
    let panics: Meant = Arc::new(|_: &AccessToken| panic!("a test's own"));
    memory.forget_where(&panics);
    assert!(!knows(&memory, b"x"));
    assert!(memory.answered(open, remembered(active("y"), 0)).is_none());
    learn(&memory, b"x", active("x"));
    assert!(knows(&memory, b"x"));
}

#[test]
fn what_means_tokens_may_have_others_forgotten() {
    let memory = Arc::new(memory(100, 1_000_000));
    learn(&memory, b"x", active("x"));
    learn(&memory, b"y", active("y"));
    let open = memory.ask(1, TokenText::new(b"z"));
    let (again, calls) = (Arc::downgrade(&memory), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let meant: Meant = Arc::new(move |_: &AccessToken| {
        // The first call alone, or a question that is open would never close.
        if let (0, Some(memory)) = (counted.fetch_add(1, Ordering::SeqCst), again.upgrade()) {
            memory.forget(b"y");
            memory.forget_where(&subject("z"));
        }
        false
    });
    memory.forget_where(&meant);
    assert!(knows(&memory, b"x") && !knows(&memory, b"y"));
    assert!(memory.answered(open, remembered(active("z"), 0)).is_none());
    assert!(calls.load(Ordering::SeqCst) >= 3);
}

#[test]
fn what_is_meant_while_the_program_is_asked_counts_for_the_same_answer() {
    let memory = Arc::new(memory(100, 1_000_000));
    let open = memory.ask(1, TokenText::new(b"t"));
    let again = Arc::downgrade(&memory);
    let meant: Meant = Arc::new(move |_: &AccessToken| {
        again.upgrade().unwrap().forget(b"t");
        false
    });
    memory.forget_where(&meant);
    assert!(memory.answered(open, remembered(active("x"), 0)).is_none());
}

#[test]
fn more_meanings_than_are_kept_make_an_answer_void() {
    let memory = memory(100, 1_000_000);
    let open = memory.ask(1, TokenText::new(b"t"));
    for _ in 0..=MOST_MEANT {
        memory.forget_where(&subject("nobody"));
    }
    assert!(memory.answered(open, remembered(active("x"), 0)).is_none());
}

#[test]
fn a_question_that_was_given_up_is_never_answered() {
    let memory = memory(100, 1_000_000);
    let open = memory.ask(1, TokenText::new(b"t"));
    memory.give_up(open);
    assert!(memory.answered(open, remembered(active("x"), 0)).is_none());
    assert!(!knows(&memory, b"t") && memory.lock().flights.is_empty());
}

#[test]
fn an_end_counts_by_the_time_that_has_passed_also_when_the_wall_clock_was_set_back() {
    let document =
        format!(r#"{{"active":true,"iss":"https://a.test","token_type":"Bearer","exp":{}}}"#, START / 1000 + 5);
    for leeway in [0, 60] {
        let leeway = Duration::from_secs(leeway);
        let rules = Rules { leeway, ..rules() };
        let answer = Answer::read(document.as_bytes(), &ClaimNames::default()).unwrap();
        let fact = Fact::of(answer, &rules, MayLack::default());
        let fact = Remembered::new(fact, 1, at(0), Duration::from_secs(3600), leeway);
        let end = Duration::from_secs(5).saturating_add(leeway);
        let last = end.saturating_sub(Duration::from_millis(1));
        for back in [0, 3_600_000] {
            let shown = |since: Duration| {
                let passed = i64::try_from(since.as_millis()).unwrap();
                Timestamp::new(START + passed - back, since)
            };
            assert!(fact.judge(&rules, shown(last)).is_ok(), "{leeway:?} {back}");
            assert_eq!(fact.judge(&rules, shown(end)).err(), Some(Reason::Expired), "{leeway:?} {back}");
        }
    }
}

#[test]
fn what_a_token_has_proven_of_itself_is_meant_too() {
    let proven = |subject: &str| {
        let Fact::Active(token) = active(subject) else { panic!("it is active") };
        Some(token.hand_out())
    };
    let nameless = || {
        let document = br#"{"active":true,"iss":"https://a.test","token_type":"Bearer"}"#;
        Fact::of(Answer::read(document, &ClaimNames::default()).unwrap(), &rules(), MayLack::default())
    };
    for (named, is_kept) in [("carol", false), ("dave", true)] {
        let memory = memory(100, 1_000_000);
        let flight = memory.ask(1, TokenText::new(b"on its way"));
        memory.forget_where(&subject("carol"));
        let answer = remembered(nameless(), 0).beside(proven(named));
        assert_eq!(memory.answered(flight, answer).is_some(), is_kept, "{named}");
    }
}

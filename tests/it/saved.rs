//! Saved keys: a restart while the issuer is down serves at once, and trusts nothing that it should not.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{Fault, TestClock, TestIssuer};
use scopegate::{
    Credentials, Event, Issuer, KeyFile, KeyState, Observe, PlainHttp, Reason, Requirement, RestoreError, SavedKeys,
    ScopePolicy, SealingSecret, Tenants, Validator, ValidatorBuilder,
};

use crate::rotation::soon;

const API: &str = "https://api.example.test";
const A: &str = "https://a.example.test";
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    clock: TestClock,
    issuer: TestIssuer,
    read: Requirement,
    token: String,
}

impl World {
    fn new() -> Self {
        let clock = TestClock::at(1_800_000_000);
        let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
        let token = issuer.token().scope("read").lifetime(48 * HOUR).mint();
        Self { clock, issuer, read: ScopePolicy::all(["read"]).unwrap().into(), token }
    }

    fn builder(&self) -> ValidatorBuilder {
        Validator::builder(API).fetch(self.issuer.fetch()).clock(self.clock.clone())
    }

    fn discovering(&self) -> ValidatorBuilder {
        self.builder().trust(Issuer::discover(A))
    }

    /// The keys as a validator has them after it has fetched them.
    fn saved(&self) -> SavedKeys {
        let validator = self.discovering().build().unwrap();
        block_on(validator.warm_up()).unwrap();
        keys_of(&validator)
    }

    /// What a check says of the good token.
    fn judged(&self, validator: &Validator) -> Result<(), Reason> {
        let judged = validator.check(&Credentials::bearer(&self.token), &self.read);
        judged.map(drop).map_err(|rejection| rejection.reason())
    }
}

pub(crate) fn secret() -> SealingSecret {
    SealingSecret::new([7; 32]).unwrap()
}

/// What a restart of this validator begins with.
pub(crate) fn keys_of(validator: &Validator) -> SavedKeys {
    SavedKeys::open(&validator.save_keys(&secret()), &secret()).unwrap()
}

#[test]
fn a_restart_while_the_issuer_is_down_serves_the_first_check() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.script(Fault::disconnect());
    world.clock.advance(HOUR);
    let before = world.issuer.requests();

    let cold = world.discovering().build().unwrap();
    assert_eq!(world.judged(&cold), Err(Reason::KeysUnavailable));

    let warm = world.discovering().restore(saved).build().unwrap();
    assert_eq!(world.issuer.requests().jwks, before.jwks, "nothing is fetched by `build`");
    assert!(warm.is_ready());
    assert_eq!(world.judged(&warm), Ok(()));
    assert_eq!(*warm.restored()[0].outcome.as_ref().unwrap(), HOUR);
    let health = warm.health();
    let health = health.issuer(A).unwrap();
    assert_eq!((health.state, health.age), (KeyState::Stale, Some(HOUR)));
    let stranger = world.issuer.token().scope("read").lifetime(48 * HOUR).signed_by_stranger().mint();
    assert!(warm.check(&Credentials::bearer(&stranger), &world.read).is_err());
    soon("the issuer is asked by the first check", || warm.health().issuer(A).is_some_and(|a| a.failures > 0));

    world.issuer.recover();
    soon("the keys are fresh again", || {
        world.clock.advance(Duration::from_secs(10));
        warm.health().issuer(A).is_some_and(|a| a.state == KeyState::Fresh)
    });
}

#[test]
fn restored_keys_are_never_younger_than_they_were() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.script(Fault::disconnect());
    world.clock.advance(20 * HOUR);
    let warm = world.discovering().restore(saved.clone()).build().unwrap();
    world.clock.advance(4 * HOUR);
    assert_eq!(world.judged(&warm), Ok(()), "24 h to the second");
    // Saved once more, and the wall clock is set back: neither makes them young.
    let again = keys_of(&warm);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.judged(&warm), Err(Reason::KeysUnavailable));
    for late in [saved, again] {
        let late = world.discovering().restore(late).build().unwrap();
        assert!(matches!(late.restored()[0].outcome, Err(RestoreError::Stale { .. })));
        assert_eq!(world.judged(&late), Err(Reason::KeysUnavailable));
    }
}

#[test]
fn a_withdrawn_key_is_dead_as_soon_as_the_issuer_has_been_asked() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.rotate();
    let warm = world.discovering().restore(saved).build().unwrap();
    assert_eq!(world.judged(&warm), Ok(()), "nobody has been asked yet");
    soon("the key is gone", || world.judged(&warm).is_err());
}

#[test]
fn keys_serve_only_the_issuer_and_the_place_that_they_came_from() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.script(Fault::disconnect());
    let elsewhere = world.builder().trust(Issuer::jwks(A, "https://a.example.test/moved")).restore(saved.clone());
    let other = world.builder().trust(Issuer::discover("https://b.example.test")).restore(saved.clone());
    for builder in [elsewhere, other] {
        let validator = builder.build().unwrap();
        assert!(matches!(validator.restored()[0].outcome, Err(RestoreError::Foreign)));
        assert_eq!(validator.restored()[0].issuer.as_str(), A);
        assert!(world.judged(&validator).is_err());
        assert!(!validator.is_ready());
    }
    // Not even two issuers of one program get each other's keys.
    let both = world.discovering().trust(Issuer::discover("https://b.example.test")).restore(saved).build().unwrap();
    assert_eq!(both.restored().len(), 1);
    assert_eq!(both.health().issuers()[1].state, KeyState::NeverLoaded);
}

#[test]
fn a_document_of_the_future_or_of_another_secret_is_refused_with_the_reason() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.script(Fault::disconnect());
    world.clock.set_wall(1_800_000_000 - 31);
    let validator = world.discovering().restore(saved).build().unwrap();
    assert!(matches!(validator.restored()[0].outcome, Err(RestoreError::FromTheFuture { .. })));
    assert_eq!(world.judged(&validator), Err(Reason::KeysUnavailable));

    let document = validator.save_keys(&secret());
    let another = SealingSecret::new([8; 32]).unwrap();
    assert!(matches!(SavedKeys::open(&document, &another), Err(RestoreError::NotSealed)));
    assert!(SavedKeys::open(&document, &secret()).is_ok());
}

/// What happened, as words.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<String>>);

impl Observe for Diary {
    fn happened(&self, event: &Event) {
        let word = match event {
            Event::Restored { issuer, age, .. } => format!("restored {issuer} {}", age.as_secs()),
            Event::RestoreRefused { issuer, .. } => format!("refused {issuer}"),
            Event::SaveFailed { .. } => "not saved".to_owned(),
            _ => return,
        };
        self.0.lock().unwrap().push(word);
    }
}

#[test]
fn a_resolved_issuer_is_restored_when_it_is_named() {
    let world = World::new();
    let saved = world.saved();
    world.issuer.script(Fault::disconnect());
    world.clock.advance(HOUR);
    let diary = Arc::new(Diary::default());
    let tenants = Tenants::at_most(5, |name| (name == A).then(|| Issuer::discover(name)));
    let listening = world.builder().trust_each(tenants).restore(saved).observe(diary.clone());
    let validator = listening.build().unwrap();
    let judged = block_on(validator.validate(&Credentials::bearer(&world.token), &world.read));
    assert!(judged.is_ok(), "{:?}", judged.err());
    soon("it is told", || *diary.0.lock().unwrap() == [format!("restored {A} 3600")]);
}

#[test]
fn junk_that_spends_the_resolver_s_budget_keeps_no_restored_issuer_waiting() {
    let world = World::new();
    let tenants = Tenants::at_most(5, |name| (name == A).then(|| Issuer::discover(name)));
    let validator = world.builder().trust_each(tenants).restore(world.saved()).build().unwrap();
    let judge = |token: &str| block_on(validator.validate(&Credentials::bearer(token), &world.read));
    let junk = |number: u32| {
        let name = format!("https://junk{number}.example.test");
        judge(&world.issuer.token().claim("iss", name).mint()).unwrap_err().reason()
    };
    (0..64).for_each(|number| assert_eq!(junk(number), Reason::UntrustedIssuer));
    assert_eq!(junk(64), Reason::KeysUnavailable, "the budget is spent");
    assert!(judge(&world.token).is_ok(), "and not needed by who was there before the restart");
}

#[test]
fn keys_of_an_issuer_that_was_not_named_outlast_a_second_restart() {
    let (world, place) = (World::new(), Place::new("twice"));
    let saved = world.saved();
    let other = TestIssuer::new("https://b.example.test").clock(&world.clock).default_audience(API);
    let tenants = || Tenants::at_most(5, |name| (name == A).then(|| Issuer::discover(name)));
    let second = Validator::builder(API).trust(Issuer::discover(other.id())).trust_each(tenants()).fetch(other.fetch());
    let second = second.clock(world.clock.clone()).restore(saved).keep_keys_in(place.file()).build().unwrap();
    block_on(second.warm_up()).unwrap();
    soon("it is written", || place.file().read().is_ok());
    drop(second);
    world.issuer.script(Fault::disconnect());
    world.clock.advance(HOUR);
    let third = world.builder().trust_each(tenants()).restore(place.file().read().unwrap()).build().unwrap();
    let judged = block_on(third.validate(&Credentials::bearer(&world.token), &world.read));
    assert!(judged.is_ok(), "{:?}", judged.err());
    let health = third.health();
    let age = health.issuers().iter().find(|issuer| issuer.issuer.as_str() == A).and_then(|issuer| issuer.age);
    assert!(age.is_some_and(|age| age >= HOUR), "{age:?}");
}

/// A path that nobody else uses, removed at the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("scopegate-it-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }

    pub(crate) fn file(&self) -> KeyFile {
        KeyFile::new(&self.0, secret())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_is_kept_as_the_keys_change_and_opens_at_the_next_start() {
    let world = World::new();
    let place = Place::new("kept");
    assert!(place.file().read().unwrap_err().is_not_found());
    let validator = world.discovering().keep_keys_in(place.file()).build().unwrap();
    assert!(!place.0.exists(), "`build` does no I/O");
    block_on(validator.warm_up()).unwrap();
    soon("the keys are written", || place.file().read().is_ok());
    let first = fs::read(&place.0).unwrap();

    world.issuer.rotate();
    block_on(validator.refresh_now()).unwrap();
    soon("other keys are written at once", || fs::read(&place.0).is_ok_and(|found| found != first));
    drop(validator);

    world.issuer.script(Fault::disconnect());
    let fresh = world.issuer.token().scope("read").mint();
    let next = world.discovering().restore(place.file().read().unwrap()).keep_keys_in(place.file()).build().unwrap();
    assert!(next.check(&Credentials::bearer(&fresh), &world.read).is_ok());
    assert!(world.judged(&next).is_err(), "the old key is not among them");
}

#[test]
fn a_file_with_one_changed_byte_is_refused_with_the_reason() {
    let (world, place) = (World::new(), Place::new("changed"));
    let validator = world.discovering().build().unwrap();
    block_on(validator.warm_up()).unwrap();
    let document = validator.save_keys(&secret());
    let read = |document: &[u8]| {
        fs::write(&place.0, document).unwrap();
        place.file().read()
    };
    assert!(read(&document).is_ok());
    let version = "scopegate-keys-1".len();
    for at in 0..document.len() {
        let mut changed = document.clone();
        changed[at] ^= 1;
        let error = read(&changed).unwrap_err();
        // A version that nobody writes is told apart from a seal that does not hold.
        let is_told = match error {
            RestoreError::OtherVersion => at < version,
            RestoreError::NotSealed => at >= version,
            _ => false,
        };
        assert!(is_told, "byte {at}: {error:?}");
    }
    for (about, changed) in [
        ("a byte less", &document[..document.len() - 1]),
        ("a byte more", &[&document[..], b"\n"].concat()),
        ("nothing", b""),
    ] {
        let error = read(changed).unwrap_err();
        assert!(matches!(error, RestoreError::NotSealed), "{about}: {error:?}");
        assert_eq!(error.to_string(), "the document is not sealed with this secret", "{about}");
        assert!(!error.is_not_found(), "{about}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_news_and_nothing_more() {
    let world = World::new();
    let diary = Arc::new(Diary::default());
    let nowhere = KeyFile::new("/nowhere/at/all/keys", secret());
    let validator = world.discovering().keep_keys_in(nowhere).observe(diary.clone()).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    assert_eq!(world.judged(&validator), Ok(()));
    soon("it is told", || *diary.0.lock().unwrap() == ["not saved"]);
}

#[test]
fn what_came_over_sockets_is_saved_like_all_else() {
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
    let remote = || Issuer::jwks(issuer.id(), issuer.jwks_uri()).plain_http(PlainHttp::OnLoopback);
    let validator = Validator::builder(API).trust(remote()).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    let saved = keys_of(&validator);
    assert!(format!("{saved:?}").contains(issuer.id()));
    let token = issuer.token().scope("read").mint();
    let restored = remote();
    drop(issuer);
    let restored = Validator::builder(API).trust(restored).restore(saved).build().unwrap();
    let read = Requirement::from(ScopePolicy::all(["read"]).unwrap());
    assert!(restored.check(&Credentials::bearer(&token), &read).is_ok());
    assert!(restored.check(&Credentials::bearer(&token[..token.len() - 4]), &read).is_err());
}

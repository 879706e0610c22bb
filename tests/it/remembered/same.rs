//! A validator that remembers and one that does not, side by side: whatever happens, both say the same.

use std::collections::BTreeMap;

use scopegate::{Algorithm, Denial, Profile, Secret};

use super::*;
use crate::rotation::B;

const C: &str = "https://c.example.test";

/// Chance that is the same in each run (Knuth's MMIX).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Three validators that trust the same issuers: one remembers much, one little, one nothing.
struct Side {
    clock: TestClock,
    issuers: [TestIssuer; 3],
    handles: [KeyHandle; 2],
    sets: [Vec<KeySet>; 2],
    mindful: [Watched; 2],
    unmindful: Watched,
    tokens: Vec<String>,
    chance: Chance,
    seen: BTreeMap<String, usize>,
}

/// The sets that an issuer's program may install: all keys, each alone, one under the name of another, none.
fn sets(issuer: &TestIssuer, kids: &[String]) -> Vec<KeySet> {
    let jwk = |kid: &String| -> serde_json::Value { serde_json::from_str(&issuer.jwk(kid).unwrap()).unwrap() };
    let all: Vec<_> = kids.iter().map(jwk).collect();
    let mut renamed = all[0].clone();
    renamed["kid"] = all[1]["kid"].clone();
    let mut encrypts = all[0].clone();
    encrypts["use"] = "enc".into();
    let [first, second] = [all[0].clone(), all[1].clone()];
    [
        all,
        vec![first.clone()],
        vec![second.clone()],
        vec![renamed.clone()],
        vec![first, renamed],
        vec![encrypts, second],
        Vec::new(),
    ]
    .into_iter()
    .map(|keys| KeySet::from_json(serde_json::json!({ "keys": keys }).to_string().as_bytes()).unwrap())
    .collect()
}

impl Side {
    fn new(seed: u64) -> Self {
        let clock = TestClock::at(NOW);
        let issuers = [(A, Algorithm::Es256), (B, Algorithm::EdDsa), (C, Algorithm::Hs256)].map(|(name, algorithm)| {
            TestIssuer::with_algorithms(name, [algorithm]).clock(&clock).default_audience(API)
        });
        issuers[0].publish_ahead();
        issuers[1].publish_ahead();
        let kids = [["es256-1", "es256-2"], ["eddsa-1", "eddsa-2"]].map(|kids| kids.map(str::to_owned));
        let sets = [0, 1].map(|place: usize| sets(&issuers[place], &kids[place]));
        let secret = issuers[2].secret("hs256-1").unwrap();
        let trusted = [
            Issuer::keys(A, sets[0][0].clone()),
            Issuer::keys(B, sets[1][0].clone()).profile(Profile::PlainJwt),
            Issuer::secrets(C, [Secret::new(Algorithm::Hs256, secret).unwrap()]),
        ];
        let handles = [0, 1].map(|place: usize| trusted[place].key_handle().unwrap());
        let watched = |settings: fn(ValidatorBuilder) -> ValidatorBuilder| {
            let builder = trusted.iter().cloned().fold(Validator::builder(API), ValidatorBuilder::trust);
            Watched::new(settings(builder.clock(clock.clone()).deny_at_most(20)))
        };
        let mindful = [watched(|builder| builder), watched(|builder| builder.remember_at_most(5, 1 << 14))];
        let unmindful = watched(|builder| builder.remember_signatures(Duration::ZERO));
        let (tokens, chance, seen) = (Vec::new(), Chance(seed), BTreeMap::new());
        Self { clock, issuers, handles, sets, mindful, unmindful, tokens, chance, seen }
    }

    fn mint(&mut self) {
        let chance = &mut self.chance;
        let (who, now) = (chance.below(3), self.clock.now().unix_seconds());
        let issuer = &self.issuers[who];
        let token = issuer.token().scope(chance.one_of(&["read", "read write", "write", ""]));
        let token = token.subject(chance.one_of(&["user-1", "user-2", "user-3"]));
        let token = token.claim("sid", chance.one_of(&["session-1", "session-2"]));
        let token = token.claim("jti", format!("j-{}", chance.below(20)));
        let token = token
            .claim("iat", now - chance.one_of(&[0, 10, 5000]))
            .lifetime(seconds(chance.one_of(&[5, 400, 9000, 9000])));
        let token = match chance.below(20) {
            0 => token.claim("nbf", now + chance.one_of(&[20, 100, 4000])),
            1 => token.audience("https://other.example.test"),
            2 => token.without("iat"),
            3 => token.signed_by_stranger(),
            4 => token.without_header("kid"),
            5 => token.typ("JWT"),
            6 => token.claim("iss", chance.one_of(&[A, B, C])),
            7 => token.tampered(),
            _ => token,
        };
        let kid = chance.one_of(&[["es256-1", "es256-2"], ["eddsa-1", "eddsa-2"]][who.min(1)]);
        let token = if who < 2 { token.key(kid) } else { token };
        let token = token.mint();
        if self.tokens.len() < 24 {
            self.tokens.push(token);
        } else {
            let place = self.chance.below(24);
            self.tokens[place] = token;
        }
    }

    /// Something happens to both alike.
    fn happen(&mut self) -> String {
        let chance = &mut self.chance;
        match chance.below(40) {
            0..8 => {
                self.mint();
                "minted".to_owned()
            }
            8..11 => {
                let by = MILLISECOND * chance.one_of(&[1, 999, 999, 5_000, 5_000, 29_999, 150_000, 299_999, 300_000]);
                self.clock.advance(by);
                format!("{by:?} later")
            }
            11..13 => {
                let uptime = i64::try_from(self.clock.now().uptime().as_secs()).unwrap();
                // Mostly it is set right.
                let wall = NOW + uptime + chance.one_of(&[0, 0, 0, 0, 0, 0, 0, 0, 3600, -3600, 301, -31]);
                self.clock.set_wall(wall);
                format!("set to {wall}")
            }
            13..15 => {
                let who = chance.below(2);
                let which = chance.one_of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
                self.handles[who].install(self.sets[who][which].clone());
                format!("keys {which} of {who}")
            }
            15 => {
                let (issuer, until) =
                    (chance.one_of(&[A, B, C]), self.clock.now().unix_seconds() - chance.one_of(&[0, 100]));
                let denial = match chance.below(3) {
                    0 => Denial::jwt_id(issuer, &format!("j-{}", chance.below(20))),
                    1 => Denial::session(issuer, "session-1"),
                    _ => Denial::subject(issuer, "user-3", until),
                };
                let lasting = seconds(chance.one_of(&[10, 60, 200]));
                let denied = |api: &Watched| api.validator.deny(&denial, lasting);
                let expected = denied(&self.unmindful);
                assert!(self.mindful.iter().all(|api| denied(api) == expected));
                format!("{denial:?} for {lasting:?}")
            }
            _ => String::new(),
        }
    }

    /// All judge one token, perhaps spoiled, where something is demanded.
    fn judge(&mut self, about: &str) {
        let chance = &mut self.chance;
        // A few of them again and again.
        let most = if chance.below(3) > 0 { self.tokens.len().min(6) } else { self.tokens.len() };
        let mut token = self.tokens[chance.below(most)].clone().into_bytes();
        if chance.below(8) == 0 {
            let at = chance.below(token.len());
            match chance.below(3) {
                0 => token[at] = token[at].wrapping_add(1),
                1 => token.truncate(at),
                _ => token.insert(at, b'A'),
            }
        }
        let demand = chance.one_of(&["read", "read", "write"]);
        let said = |api: &Watched| {
            let judged = api.validator.check(&Credentials::bearer(&token), &demanding(demand));
            judged
                .map(|token| {
                    (
                        token.claims::<serde_json::Value>().unwrap(),
                        token.scopes().map(str::to_owned).collect::<Vec<_>>(),
                    )
                })
                .map_err(|no| {
                    (no.reason(), no.status(), no.retry_after(), no.challenge().cloned(), no.validate_could_decide())
                })
        };
        let expected = said(&self.unmindful);
        for (api, size) in self.mindful.iter().zip(["much", "little"]) {
            assert_eq!(said(api), expected, "{about}, who remembers {size}: {}", token.escape_ascii());
            if expected.is_ok() {
                let basis = api.bases.0.lock().unwrap().unwrap();
                *self.seen.entry(format!("{size} {}", basis.label())).or_default() += 1;
            }
        }
        let outcome = expected.map_or_else(|no| no.0.label(), |_| "accepted");
        *self.seen.entry(outcome.to_owned()).or_default() += 1;
    }
}

#[test]
fn a_validator_that_remembers_judges_as_one_that_does_not() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..=6 {
        let mut side = Side::new(seed);
        (0..4).for_each(|_| side.mint());
        let mut happened = Vec::new();
        for step in 0..500 {
            let event = side.happen();
            if !event.is_empty() {
                happened.push(event);
            }
            let last = &happened[happened.len().saturating_sub(12)..];
            side.judge(&format!("seed {seed}, step {step}, after {last:?}"));
        }
        for (outcome, times) in side.seen {
            *seen.entry(outcome).or_default() += times;
        }
    }
    // It was about something.
    for (outcome, least) in [
        ("much memory", 150),
        ("little memory", 100),
        ("much signature", 100),
        ("accepted", 300),
        ("expired", 50),
        ("not_yet_valid", 50),
        ("revoked", 20),
        ("unknown_key", 20),
        ("bad_signature", 50),
        ("insufficient_scope", 50),
        ("keys_unavailable", 5),
        ("wrong_audience", 5),
        ("malformed", 50),
    ] {
        assert!(seen.get(outcome).is_some_and(|times| *times >= least), "{outcome}: {seen:?}");
    }
    assert_eq!(seen.get("little network"), None);
}

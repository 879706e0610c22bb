//! How a life ends: each in a way that must go well, from whatever state it has come to.

#![cfg(test)]

use super::*;

impl Life {
    /// The issuer is well from here on. Time passes in small steps, with a token at each.
    fn be_well(&mut self) {
        self.is_up = true;
        self.lifetime = Duration::from_secs(300);
        self.turn_over();
        self.note(|| "from here on all is well".to_owned());
    }

    fn pass_well(&mut self, time: Duration, by: Duration) {
        let end = self.uptime + time;
        while self.uptime < end {
            self.pass(by);
            // No chance is left to the issuer: each answer comes at once, and is good.
            self.look();
            let order = self.machine.due(self.now());
            self.answered_at_once(order);
        }
    }

    fn answered_at_once(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        self.obey(order);
        let answer = if self.is_up { Answer::Keys(self.keys.clone(), self.lifetime) } else { Answer::Failure(None) };
        self.hear(Letter { order, answer, at: self.uptime });
    }

    /// Liveness, from whatever state this life has come to. A Retry-After may last an hour.
    pub(super) fn be_well_for_an_hour(&mut self) {
        // Nothing that was sent before is heard any more.
        self.letters.clear();
        self.be_well();
        self.pass_well(Duration::from_secs(60), Duration::from_secs(5));
        self.pass_well(Duration::from_secs(3_600), Duration::from_secs(60));
        self.pass_well(Duration::from_secs(60), Duration::from_secs(5));
        assert_eq!(self.held, self.keys, "the keys that the issuer has had for an hour are not here");
    }

    /// The budget is whole by now, so the first token brings the key.
    pub(super) fn rotate_without_overlap(&mut self) {
        let orders = self.orders;
        for _ in 0..2 {
            self.turn_over();
            let name = self.names.to_string();
            let now = self.now();
            let step = self.machine.unknown_key(Some(&name), now);
            let order = self.caused_by_a_token(step);
            assert!(order.is_some(), "a new key was not asked for: {step:?}");
            self.answered_at_once(order);
            assert_eq!(self.held, self.keys, "one fetch brings the new key");
        }
        // The name of a key is given to another, when nothing is owed to the budget any more.
        self.pass_well(Duration::from_secs(60), Duration::from_secs(30));
        self.keys[0].1 += 1;
        let step = self.machine.bad_signature(self.now());
        let order = self.caused_by_a_token(step);
        assert!(order.is_some(), "a renamed key was not asked for: {step:?}");
        self.answered_at_once(order);
        assert_eq!(self.held, self.keys, "one fetch brings the renamed key");
        assert!(self.orders - orders <= 4, "and at most one more was due by time");
    }

    pub(super) fn withdraw_a_key(&mut self) {
        self.turn_over();
        self.pass_well(self.lifetime + Duration::from_secs(1), Duration::from_secs(1));
        assert_eq!(self.held, self.keys, "a withdrawn key lives on");
    }

    /// At most 16 requests in its first five minutes, floods or not, and the keys stay.
    pub(super) fn bear_an_outage_of_minutes(&mut self) {
        self.is_up = false;
        let first = self.orders + 1;
        while self.orders < first {
            self.pass_well(Duration::from_secs(1), Duration::from_secs(1));
        }
        let end = self.uptime + Duration::from_secs(300);
        while self.uptime < end {
            self.pass(Duration::from_millis(500));
            let now = self.now();
            let name = self.pick(1 << 40).to_string();
            let step = self.machine.unknown_key(Some(&name), now);
            let order = self.caused_by_a_token(step).or_else(|| self.machine.due(now));
            self.answered_at_once(order);
        }
        assert!(self.orders - first < 16, "{} requests", self.orders - first + 1);
        assert_eq!(self.held, self.keys, "an outage changes no key");
    }

    /// Tokens are refused in the end; six seconds after it they are not.
    pub(super) fn bear_an_outage_of_a_day(&mut self) {
        self.is_up = false;
        let end = self.uptime + DAY - Duration::from_secs(400);
        while self.uptime < end {
            self.pass_well(Duration::from_secs(300), Duration::from_secs(300));
            assert!(self.machine.usable(self.now()), "an outage changes no key");
        }
        self.pass(Duration::from_secs(500));
        for _ in 0..100 {
            self.pass(Duration::from_millis(500));
            assert!(!self.machine.usable(self.now()), "invariant 6");
            self.refused_for_want_of_keys();
        }
        self.is_up = true;
        let end = self.uptime + Duration::from_secs(6);
        while self.uptime < end && !self.machine.usable(self.now()) {
            self.pass(Duration::from_millis(100));
            self.refused_for_want_of_keys();
        }
        assert!(self.machine.usable(self.now()), "not within 6 s of the end of an outage");
    }

    /// A token finds no keys.
    fn refused_for_want_of_keys(&mut self) {
        self.look();
        self.needed = Some(self.uptime);
        let order = self.machine.need_keys(self.now());
        self.answered_at_once(order);
    }

    fn turn_over(&mut self) {
        self.names += 1;
        self.keys = vec![(self.names, self.names)];
    }
}

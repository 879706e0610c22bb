//! How lives end that end well.

#![cfg(test)]

use super::*;

impl Life {
    /// From whatever state it has come to: the issuers are well from here on, and so are their tokens soon.
    pub(super) async fn be_well(&mut self) {
        self.note(|| "from here on all is well".to_owned());
        for issuer in 0..ISSUERS.len() {
            let keys = vec![Key { name: self.pick(NAMES), pair: self.pick(PAIRS) }];
            self.server(issuer, |server| {
                server.sets.push(keys);
                (server.is_up, server.is_moody, server.lifetime) = (true, false, 300);
            });
        }
        // A budget that is spent is whole again within a minute, and nobody asked to be left alone for longer than 7 s.
        let mut is_well = [false; ISSUERS.len()];
        for _ in 0..40 {
            for issuer in (0..ISSUERS.len()).filter(|issuer| !is_well[*issuer]).collect::<Vec<_>>() {
                let key = self.server(issuer, |server| server.keys()[0]);
                let accepted = self.seen.times("accepted");
                self.validate(POOL.token(issuer, key, true));
                is_well[issuer] = self.seen.times("accepted") > accepted;
            }
            if is_well == [true; 2] {
                break;
            }
            self.turn(Answers::All).await;
            self.pass(Duration::from_secs(3));
        }
        assert_eq!(is_well, [true; 2], "good tokens are not accepted two minutes after all is well");
        // Who waits, waits through; every place is given back.
        for _ in 0..2 {
            self.turn(Answers::All).await;
            self.pass(Duration::from_secs(5));
        }
        self.turn(Answers::All).await;
        assert_eq!(self.callers.len(), 0, "somebody waits for ever (I13)");
        assert_eq!(self.wire.slots.values().map(Slot::waiters).sum::<usize>(), 0, "who left is still waited for (I13)");
    }

    /// The longest lifetime of a key set is over.
    pub(super) async fn outlive_what_was_withdrawn(&mut self) {
        self.pass(Duration::from_secs(3_601));
        for _ in 0..2 {
            self.turn(Answers::All).await;
        }
        for issuer in 0..ISSUERS.len() {
            let newest = self.server(issuer, |server| server.sets.len() - 1);
            assert_eq!(self.installed(issuer), Some(newest), "a withdrawn key lives on (I4)");
        }
        self.judge_some();
    }
}

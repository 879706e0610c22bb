//! How long one signature takes.

use std::collections::HashMap;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::keys::{self, Key, Signed};
use crate::libraries::{ALL, Made};
use crate::measure::{Contender, compare, head, row};

pub(crate) fn show(rounds: usize) {
    let mut contenders = Vec::new();
    for (group, signed) in keys::all() {
        contenders.extend(ALL.iter().filter_map(|library| {
            let Made::Ready(verify) = (library.make)(signed.algorithm, &signed.key) else { return None };
            let Signed { message, signature, .. } = signed.clone();
            Some(Contender::new(group, library.name, 1, move || verify(&message, &signature)))
        }));
    }
    contenders.extend(unprepared());
    contenders.extend(batches());
    compare(&mut contenders, rounds);
    println!("\n### One signature of 1 KB, by a prepared key\n");
    head(&["", "", "µs", "±", "of aws-lc-rs"]);
    let mut ours = HashMap::new();
    for contender in &contenders {
        let (median, spread) = (contender.median(), contender.spread());
        // What is ours comes first in its group.
        let ours = *ours.entry(contender.group.clone()).or_insert(median);
        row([
            contender.group.clone(),
            contender.name.clone(),
            format!("{:.2}", median / 1_000.0),
            format!("{:.2}", spread / 1_000.0),
            format!("{:.0} %", median / ours * 100.0),
        ]);
    }
}

/// What it is worth to decompress an Ed25519 key only once.
fn unprepared() -> Option<Contender> {
    let signed = keys::ed25519();
    let Key::Ed25519(key) = signed.key else { return None };
    Some(Contender::new("Ed25519", "ed25519-dalek 3, key decompressed each time", 1, move || {
        let (key, signature) = (
            dalek3::VerifyingKey::from_bytes(&key).unwrap(),
            dalek3::Signature::from_slice(&signed.signature).unwrap(),
        );
        dalek3::Verifier::verify(&key, &signed.message, &signature).is_ok()
    }))
}

fn batches() -> Vec<Contender> {
    /// Both editions, whose types differ and whose names do not.
    macro_rules! batch {
        ($dalek:ident, $name:literal, $size:literal) => {{
            let pair = Ed25519KeyPair::generate().unwrap();
            let signed: Vec<_> = (0..$size).map(|_| keys::ed25519_by(&pair)).collect();
            let keys: Vec<_> = signed
                .iter()
                .map(|signed| match &signed.key {
                    Key::Ed25519(key) => $dalek::VerifyingKey::from_bytes(key).unwrap(),
                    _ => unreachable!("the key is of another kind"),
                })
                .collect();
            let signatures: Vec<_> =
                signed.iter().map(|signed| $dalek::Signature::from_slice(&signed.signature).unwrap()).collect();
            Contender::new("Ed25519", $name, $size, move || {
                let messages: Vec<_> = signed.iter().map(|signed| &signed.message[..]).collect();
                $dalek::verify_batch(&messages, &signatures, &keys).is_ok()
            })
        }};
    }
    vec![
        batch!(dalek2, "ed25519-dalek 2, batch of 8", 8),
        batch!(dalek2, "ed25519-dalek 2, batch of 64", 64),
        batch!(dalek3, "ed25519-dalek 3, batch of 8", 8),
        batch!(dalek3, "ed25519-dalek 3, batch of 64", 64),
    ]
}

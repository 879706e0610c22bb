//! Who accepts what.

use crate::edges::{self, Edge};
use crate::keys::{self, Key, Signed};
use crate::libraries::{ALL, Library, Made};
use crate::measure::{head, row};
use crate::wycheproof_cases;

/// `None` if the library has no such algorithm. A key that it refuses verifies nothing.
fn accepts(library: &Library, signed: &Signed) -> Option<bool> {
    match (library.make)(signed.algorithm, &signed.key) {
        Made::Ready(verify) => Some(verify(&signed.message, &signed.signature)),
        Made::Refused => Some(false),
        Made::Missing => None,
    }
}

pub(crate) fn show() {
    published();
    constructed();
    batched();
}

fn published() {
    let sets = wycheproof_cases::all();
    println!("\n### Wycheproof: wrongly accepted, wrongly refused, other than aws-lc-rs\n");
    let titles: Vec<_> = sets.iter().map(|set| format!("{} ({})", set.name, set.cases.len())).collect();
    head(&[&[""], &titles.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    for (number, library) in ALL.iter().enumerate() {
        let cells = sets.iter().map(|set| {
            let mut wrong = [0; 3];
            for case in &set.cases {
                let Some(accepted) = accepts(library, &case.signed) else { return "–".to_owned() };
                wrong[0] += usize::from(accepted && case.holds == Some(false));
                wrong[1] += usize::from(!accepted && case.holds == Some(true));
                wrong[2] += usize::from(Some(accepted) != accepts(&ALL[0], &case.signed));
            }
            assert!(number > 0 || wrong == [0; 3], "{}: ours agrees with every case", set.name);
            wrong.map(|count| count.to_string()).join(", ")
        });
        row([library.name.to_owned()].into_iter().chain(cells));
    }
}

fn constructed() {
    let edges = edges::all();
    println!("\n### Constructed cases: who accepts\n");
    let names: Vec<_> = ALL.iter().map(|library| library.name).collect();
    head(&[&[""], &names[..]].concat());
    for Edge { name, signed } in &edges {
        let cells = ALL.iter().map(|library| match accepts(library, signed) {
            Some(true) => "accepted".to_owned(),
            Some(false) => String::new(),
            None => "–".to_owned(),
        });
        row([(*name).to_owned()].into_iter().chain(cells));
    }
}

/// How often a batch of 8 lets a signature pass that alone is refused.
fn batched() {
    const BATCHES: u32 = 400;
    println!("\n### A bad signature among seven good ones: batches that verify_batch accepts, of {BATCHES}\n");
    head(&["", "ed25519-dalek 2", "ed25519-dalek 3"]);
    let good: Vec<_> = (0..7).map(|_| keys::ed25519()).collect();
    type Make = fn(&[u8]) -> Signed;
    let bad: [(&str, Make); 2] =
        [("R with a part of order 2", edges::torsion), ("R the neutral element, y = p + 1", edges::large_r)];
    for (name, make) in bad {
        let mut accepted = [0; 2];
        for n in 0..BATCHES {
            let bad = make(&n.to_le_bytes());
            assert_eq!(accepts(&ALL[0], &bad), Some(false), "{name}: aws-lc-rs refuses it");
            let batch: Vec<_> = good.iter().chain([&bad]).collect();
            accepted[0] += u32::from(dalek2_accepts(&batch));
            accepted[1] += u32::from(dalek3_accepts(&batch));
        }
        row([name.to_owned(), accepted[0].to_string(), accepted[1].to_string()]);
    }
}

/// Both editions, whose types differ and whose names do not.
macro_rules! accepts_batch {
    ($name:ident, $dalek:ident) => {
        fn $name(batch: &[&Signed]) -> bool {
            let key = |signed: &&Signed| match &signed.key {
                Key::Ed25519(key) => $dalek::VerifyingKey::from_bytes(key).unwrap(),
                _ => unreachable!("the key is of another kind"),
            };
            let keys: Vec<_> = batch.iter().map(key).collect();
            let messages: Vec<_> = batch.iter().map(|signed| &signed.message[..]).collect();
            let signature = |signed: &&Signed| $dalek::Signature::from_slice(&signed.signature).unwrap();
            let signatures: Vec<_> = batch.iter().map(signature).collect();
            $dalek::verify_batch(&messages, &signatures, &keys).is_ok()
        }
    };
}

accepts_batch!(dalek2_accepts, dalek2);
accepts_batch!(dalek3_accepts, dalek3);

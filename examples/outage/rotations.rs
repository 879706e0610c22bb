//! Rotations with overlap, while two threads check without a pause: each refresh and each swap of keys happens beside them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use scopegate::{Credentials, Requirement, Validator};

use crate::between::Kind;
use crate::world::{HOUR, World, uptime};
use crate::{Failure, Scale};

const CHECKERS: usize = 2;
/// So much of the clock at a time.
const STEP: Duration = Duration::from_secs(7);
/// A stage of a rotation: everybody has the time to see the new key.
const STAGE: Duration = Duration::from_secs(301);

/// What the threads share.
#[derive(Default)]
struct Board {
    /// All that are good at this moment. Whoever holds it checks by it, so that none is checked after it was taken out.
    tokens: RwLock<Vec<String>>,
    checks: AtomicU64,
    refused: AtomicU64,
    is_over: AtomicBool,
}

/// What was seen of it.
pub(crate) struct Seen {
    pub(crate) checks: u64,
    pub(crate) refused: u64,
    /// Key sets that were fetched meanwhile.
    pub(crate) fetches: u64,
}

pub(crate) async fn rotations(scale: Scale, kind: Kind) -> Result<Seen, Failure> {
    let (rotations, least) = if scale == Scale::Full { (30_u64, 3_000_000) } else { (4, 10_000) };
    let mut world = World::warm(kind).await?;
    let before = world.fetches()?;
    let board = Arc::new(Board::default());
    board.put_up(vec![world.mint(HOUR)?]);
    let checkers: Vec<_> =
        (0..CHECKERS).map(|_| check_on(Arc::clone(&board), world.validator.clone(), world.read.clone())).collect();
    let played = play(&mut world, &board, rotations, least).await;
    board.is_over.store(true, Ordering::Relaxed);
    for checker in checkers {
        checker.join().map_err(|_| "a thread that checks panicked")?;
    }
    played?;
    Ok(Seen {
        checks: board.checks.load(Ordering::Relaxed),
        refused: board.refused.load(Ordering::Relaxed),
        fetches: world.fetches()?.saturating_sub(before),
    })
}

/// Rotates, a step of the clock at a time, and no faster than the checks are made.
async fn play(world: &mut World, board: &Board, rotations: u64, least: u64) -> Result<(), Failure> {
    let steps = STAGE.as_secs().div_ceil(STEP.as_secs());
    let all = rotations.saturating_mul(3).saturating_mul(steps);
    let mut tokens = vec![world.mint(HOUR)?];
    let mut step = 0_u64;
    for _ in 0..rotations {
        for stage in ["ahead", "newest", "retire"] {
            // What the old key signed has expired when it goes.
            if stage == "retire" {
                tokens.drain(..tokens.len().saturating_sub(1));
                board.put_up(tokens.clone());
            }
            world.issuer.tell(stage)?;
            tokens.push(world.mint(HOUR)?);
            board.put_up(tokens.clone());
            for _ in 0..steps {
                world.advance(STEP)?;
                world.settle().await;
                step = step.saturating_add(1);
                let due = least.saturating_mul(step).checked_div(all).unwrap_or(least);
                board.wait_for(due).await?;
            }
        }
    }
    Ok(())
}

impl Board {
    fn put_up(&self, tokens: Vec<String>) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    async fn wait_for(&self, checks: u64) -> Result<(), Failure> {
        let mut before = (self.checks.load(Ordering::Relaxed), uptime());
        loop {
            let made = self.checks.load(Ordering::Relaxed);
            if made >= checks {
                return Ok(());
            }
            if made > before.0 {
                before = (made, uptime());
            } else if uptime().saturating_sub(before.1) > Duration::from_secs(30) {
                return Err("nobody checks any more".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn check_on(board: Arc<Board>, validator: Validator, read: Requirement) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !board.is_over.load(Ordering::Relaxed) {
            let tokens = board.tokens.read().unwrap_or_else(PoisonError::into_inner);
            for token in tokens.iter() {
                let is_refused = validator.check(&Credentials::bearer(token), &read).is_err();
                board.refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
                board.checks.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

//! What is promised of floods, of keys that are removed, and of an outage of a day.

use std::time::Duration;

use scopegate::{KeyState, Reason};

use crate::between::{Kind, Spoil};
use crate::world::{HOUR, World, with_unknown_key};
use crate::{Failure, Scale};

/// How many unknown keys were named, and how many requests the issuer got.
pub(crate) async fn flood(scale: Scale, kind: Kind) -> Result<(u64, u64), Failure> {
    const SLICES: u64 = 1000;
    let in_slice = if scale == Scale::Full { 1000 } else { 10 };
    let mut world = World::warm(kind).await?;
    let token = world.mint(HOUR)?;
    let before = world.proxy.all_requests()?;
    for slice in 0..SLICES {
        for number in 0..in_slice {
            let junk = with_unknown_key(&token, slice.saturating_mul(in_slice).saturating_add(number));
            match world.check(&junk).map_err(|rejection| rejection.reason()) {
                // Otherwise it is no flood of unknown keys.
                Err(Reason::UnknownKey | Reason::KeysUnavailable) => {}
                judged => return Err(format!("an unknown key was judged {judged:?}").into()),
            }
        }
        world.pass(Duration::from_millis(10));
        // Fetches take real time, and must have it for a second one to be possible.
        if slice.is_multiple_of(100) {
            world.settle().await;
        }
    }
    world.settle().await;
    Ok((SLICES.saturating_mul(in_slice), world.proxy.all_requests()?.saturating_sub(before)))
}

/// Whether a removed key is dead after its lifetime and a second, and whether it is at once where the program asks.
pub(crate) async fn removed(kind: Kind) -> Result<(bool, bool), Failure> {
    let mut dead = [false; 2];
    for (is_dead, by_hand) in dead.iter_mut().zip([false, true]) {
        let mut world = World::warm(kind).await?;
        let token = world.mint(HOUR)?;
        world.check(&token)?;
        world.issuer.tell("rotate")?;
        if by_hand {
            world.validator.refresh_now().await?;
        } else {
            world.advance(Duration::from_secs(301))?;
            world.settle().await;
        }
        *is_dead = world.check(&token).is_err();
    }
    let [within, asked] = dead;
    Ok((within, asked))
}

pub(crate) struct Day {
    pub(crate) asked: u32,
    pub(crate) served: u32,
    /// The status once the keys have expired, and how long to wait.
    pub(crate) after: (u16, Option<String>),
    /// How many seconds after its recovery it accepts.
    pub(crate) back: Option<u64>,
}

pub(crate) async fn outage(kind: Kind) -> Result<Day, Failure> {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut world = World::warm(kind).await?;
    let token = world.mint(HOUR.saturating_mul(48))?;
    world.proxy.spoil(Spoil::Gone)?;
    let (mut asked, mut served) = (0_u32, 0_u32);
    for _ in 0..24 * 60 {
        world.advance(MINUTE)?;
        asked = asked.saturating_add(1);
        served = served.saturating_add(u32::from(world.ask(&token).await?.status.as_u16() == 200));
    }
    world.advance(MINUTE)?;
    let answer = world.ask(&token).await?;
    let after = (answer.status.as_u16(), answer.retry_after);
    // Requests go on to come, as they do.
    for _ in 0..60 {
        world.advance(Duration::from_secs(1))?;
        world.settle().await;
        world.ask(&token).await?;
    }
    world.proxy.spoil(Spoil::Nothing)?;
    let mut back = None;
    for second in 0..30 {
        if world.ask(&token).await?.status.as_u16() == 200 {
            back = Some(second);
            break;
        }
        world.advance(Duration::from_secs(1))?;
        world.settle().await;
    }
    if back.is_some() && world.validator.health().issuers().iter().any(|issuer| issuer.state != KeyState::Fresh) {
        return Err("it accepts, and its keys are not fresh".into());
    }
    Ok(Day { asked, served, after, back })
}

//! An API that is guarded by opaque tokens, of which one is revoked while you watch.
//!
//! ```text
//! cargo run --example introspection                 plays it through, and then leaves the API to your own requests
//! cargo run --example introspection -- --self-test  plays it through, and says by its exit code whether all was as it should be
//! ```
//!
//! The API is the very one of `guarded_api`: routes do not know how tokens are judged. `world.rs` has the settings that a program of
//! your own would have; `story.rs` is what happens.

#[path = "../guarded_api/api.rs"]
mod api;
#[path = "../guarded_api/client.rs"]
mod client;
mod console;
#[path = "../guarded_api/failure.rs"]
mod failure;
#[path = "../guarded_api/paint.rs"]
mod paint;
mod story;
mod world;

use std::process::ExitCode;

use failure::Failure;
use world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        [] => play(Then::ServeOn).await,
        ["--self-test"] => play(Then::End).await,
        _ => Err(Failure::Arguments("usage: introspection [--self-test]".to_owned())),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure::Arguments(problem)) => {
            eprintln!("introspection: {problem}");
            ExitCode::from(2)
        }
        Err(Failure::Trouble(problem)) => {
            eprintln!("introspection: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[derive(PartialEq, Eq)]
enum Then {
    End,
    ServeOn,
}

/// Whether everything was as it should be.
async fn play(then: Then) -> Result<bool, Failure> {
    let world = World::start().await?;
    let is_well = story::play(&world).await?;
    if then == Then::ServeOn {
        console::open(&world).await?;
    }
    Ok(is_well)
}

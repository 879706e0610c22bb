//! An API that is guarded by scope, to look at and to try.
//!
//! ```text
//! cargo run --example guarded_api                      starts an issuer and the API, and says what to try
//! cargo run --example guarded_api -- --self-test       tries it all by itself, over real sockets
//! cargo run --example guarded_api -- --issuer URL --audience URI
//!                                                      guards the same API with the tokens of a real issuer
//! cargo run --example guarded_api -- --help            the other flags: an issuer is also asked about its tokens
//! ```
//!
//! `api.rs` is the part that a program of your own would have; the rest plays the world around it.

mod api;
mod arguments;
mod asking;
mod client;
mod demo;
mod failure;
mod paint;
mod real;
mod screen;
mod self_test;

use std::process::ExitCode;

use arguments::Run;
use failure::Failure;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match arguments::read(std::env::args_os().skip(1)) {
        Ok(Run::Help) => screen::help(),
        Ok(Run::Demo { listen }) => demo::run(listen).await,
        Ok(Run::SelfTest { listen }) => match self_test::run(listen).await {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(failure) => Err(failure),
        },
        Ok(Run::Guard { listen, server }) => real::run(listen, &server).await,
        Err(problem) => Err(Failure::Arguments(problem)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Arguments(problem)) => {
            eprintln!("guarded_api: {problem}\nguarded_api: --help says what it takes");
            ExitCode::from(2)
        }
        Err(Failure::Trouble(problem)) => {
            eprintln!("guarded_api: {problem}");
            ExitCode::FAILURE
        }
    }
}

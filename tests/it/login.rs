//! Logging in, and what a program does with the tokens.

mod api;
mod renewal;
mod token_server;

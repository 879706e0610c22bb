//! Logging in, and what a program does with the tokens.

mod api;
mod renewal;
mod renewal_at_issuer;
mod token_server;

//! Logging in through the public API, and what is tried against it.
//!
//! `src/manual/login-tables.md` lists the behaviours and attacks with the tests that hold them. An answer that is taken has a refused twin
//! which differs from it in one thing.

mod answers;
mod api;
mod codes;
mod discovery;
mod environment;
mod flow;
mod id_token;
mod issuers;
mod logout;
mod oauth;
mod redirects;
mod renewal;
mod renewal_at_issuer;
mod secrets;
mod state;
mod token_server;
mod userinfo;
mod world;

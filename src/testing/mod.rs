//! An issuer in memory or on loopback, a clock turned by hand, and tokens of every kind, for the tests of your program.
//!
//! [`TestIssuer`] plays the authorization server, [`TestToken`] is a token about to be minted, [`TestClock`] is the time for
//! both the issuer and your validator, a [`Fault`] is what goes wrong at the issuer, and a [`FaultProxy`] is what goes wrong on
//! the way to it. None of them is for production: the issuer gives tokens to whoever asks.
//!
//! The issuer signs people in, too: a [`TestClient`] may send a browser to it, a [`TestUser`] is somebody who has more to tell
//! than a name, and a [`TestRedirect`] is what the browser brings back.
//!
//! ```
//! use scopegate::testing::{Fault, TestClock, TestIssuer};
//!
//! let clock = TestClock::at(1_700_000_000);
//! let issuer = TestIssuer::new("https://issuer.test").clock(&clock).default_audience("https://api.example.com");
//!
//! let good = issuer.token().scope("things:read").mint();
//! let forged = issuer.token().scope("things:read").signed_by_stranger().mint();
//! assert_ne!(good, forged);
//!
//! issuer.script(Fault::status(503).times(2)); // the next two answers
//! assert_eq!(issuer.requests().jwks, 0);
//! ```

mod answer;
mod authentication;
mod authorization;
mod authorization_server;
mod backchannel;
mod bare;
mod browser;
mod client;
mod clock;
mod end_session;
mod endpoint;
mod fault;
mod form;
mod grants;
mod id_token;
mod introspection_endpoint;
mod issuer;
mod key;
mod keyring;
mod line;
mod memory;
mod metadata;
mod own;
mod pages;
mod provider;
mod proxy;
mod pushed;
mod redirect;
mod refusal;
mod reply;
mod request;
mod revocation;
mod server;
mod sessions;
mod settings;
mod state;
mod token;
mod token_endpoint;
mod user;
mod userinfo;

pub use bare::{BareJudge, metadata_url, presented, read_metadata};
pub use client::TestClient;
pub use clock::TestClock;
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use issuer::TestIssuer;
pub use proxy::FaultProxy;
pub use redirect::TestRedirect;
pub use state::Requests;
pub use token::TestToken;
pub use user::TestUser;

//! The client: what it asks of a server, what it takes from a browser, and what it refuses.

mod environment;
mod logout;

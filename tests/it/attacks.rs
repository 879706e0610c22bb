//! Known attacks on a token, one row each: what is sent, and what must come of it. `src/manual/attacks.md` is their list.
//!
//! A row is one defect put on a good token, so that a refusal can only come from that defect. Each row is judged by every
//! [site](world::Site) in both profiles, straight and through the tower layer, and all that [`rows`] demands is asserted.

mod algorithms;
mod claims;
mod key_selection;
mod key_sets;
mod metadata;
mod remembered;
mod rows;
mod service;
mod structure;
mod world;
mod wycheproof;

//! Known attacks on a token, one row each: what is sent, and what must come of it. `src/manual/attacks.md` is their list.
//!
//! A row is one defect put on a good token, so that a refusal can only come from that defect. Each row is judged by every
//! [site](world::Site) in both profiles, straight and through the tower layer, and all that [`rows`] demands is asserted.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

#[path = "attacks/algorithms.rs"]
mod algorithms;
#[path = "attacks/claims.rs"]
mod claims;
#[path = "attacks/key_selection.rs"]
mod key_selection;
#[path = "attacks/rows.rs"]
mod rows;
#[path = "attacks/structure.rs"]
mod structure;
#[path = "attacks/world.rs"]
mod world;
#[path = "attacks/wycheproof.rs"]
mod wycheproof;

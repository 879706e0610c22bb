//! The ready way out, against sockets that speak whatever a test tells them to.
//!
//! A row in a name is one of `src/manual/attacks.md` (`row_f05`), or one of the faults that must not do harm (`fault_row_05`).

mod addresses;
mod answers;
mod certificates;
mod connections;
mod held;
mod host;
mod time;
mod tls;

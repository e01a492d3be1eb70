//! What the simulator promises, seen over real sockets.
#![allow(clippy::unwrap_used, reason = "clippy.toml lets tests do it, but not what they share")]

mod bfl;
mod client;
mod faults;
mod ledger;
mod openai;
mod program;

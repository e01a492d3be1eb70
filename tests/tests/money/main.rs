//! Money against the built code: no limit is ever exceeded, nothing is held that nobody needs, and every figure is that of
//! the providers' ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod common;
mod dump;
mod evasion;
mod implausible;
mod limits;
mod locks;
mod nested;
mod prices;
mod property;
mod race;
mod reports;
mod review;
mod roles;
mod steps;
mod unknown;
mod visible;
mod windows;

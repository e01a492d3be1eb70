//! Routing, fallback, refusals, and the human at the end: who is called, in which order, how often, and who pays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "routing/common.rs"]
mod common;
#[path = "routing/outages.rs"]
mod outages;

//! Routing, fallback, refusals, and the human at the end: who is called, in which order, how often, and who pays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "routing/accounts.rs"]
mod accounts;
#[path = "routing/common.rs"]
mod common;
#[path = "routing/explain.rs"]
mod explain;
#[path = "routing/health.rs"]
mod health;
#[path = "routing/ladder.rs"]
mod ladder;
#[path = "routing/limits.rs"]
mod limits;
#[path = "routing/outages.rs"]
mod outages;
#[path = "routing/preferences.rs"]
mod preferences;
#[path = "routing/restart.rs"]
mod restart;
#[path = "routing/review.rs"]
mod review;
#[path = "routing/rewriter.rs"]
mod rewriter;

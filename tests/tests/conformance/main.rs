//! What every provider must do, in one loop over the table of providers: adding one adds its tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod matrix;
mod success;

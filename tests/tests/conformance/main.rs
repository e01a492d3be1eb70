//! What every provider must do, in loops over the table of providers: adding one to the catalogue adds its tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod calls;
mod every_model;
mod failures;
mod masks;
mod matrix;
mod success;

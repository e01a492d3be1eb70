//! Black-box tests of the installed extension: real servers, the simulator as every provider, and plain SQL.
//!
//! | module | its one noun |
//! |---|---|
//! | [`cluster`] | a PostgreSQL server of its own, gone when dropped |
//! | [`companion`] | the program `image-gen`, and clients of its MCP server |
//! | [`session`] | a connection, with answers as text |
//! | [`sim`] | the simulator of the providers, and its ledger |
//! | [`picture`] | images that go in, and what came out |
//! | [`stage`] | all of these set up for a test |
//! | [`unfinished`] | one job in each state before its end, and how each must end elsewhere |
//! | [`hostile`] | arguments that mean harm |
//! | [`history`] | finished jobs of the past, many |
//! | [`s3`] | a server that speaks S3, and verifies signatures |
//! | [`sample`] | figures of what was measured |
//! | [`matrix`] | all kills at all places |
//! | [`process`] | a process of the server, seen from outside |
//! | [`wait`] | waiting for something that happens in another process |
//!
//! The extension must be installed before (`make install`); `PG_CONFIG` says where, else `pg_config` in the path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod cluster;
pub mod companion;
pub mod history;
pub mod hostile;
pub mod matrix;
pub mod picture;
pub mod process;
pub mod s3;
pub mod sample;
pub mod session;
pub mod sim;
pub mod stage;
mod template;
pub mod unfinished;
pub mod wait;

pub use cluster::{Cluster, Copy, Mode, Options};
pub use s3::S3;
pub use session::{Job, Session};
pub use sim::Sim;
pub use stage::Stage;
pub use template::bindir;
pub use unfinished::Unfinished;
pub use wait::{eventually, wait_until};

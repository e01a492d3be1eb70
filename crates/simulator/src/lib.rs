#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admin;
mod answer;
mod body;
mod call;
mod clock;
mod config;
mod desk;
mod fault;
mod filter;
mod hash;
mod ledger;
mod link;
mod material;
mod picture;
mod price;
mod provider;
mod rule;
mod server;
mod service;
mod shelf;
mod size;
mod task;
mod world;

pub use config::{BadConfig, Config};
pub use fault::{Fault, Stage};
pub use ledger::{Phase, Tally, Totals};
pub use rule::Rule;
pub use server::Simulator;

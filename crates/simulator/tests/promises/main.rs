//! What the simulator promises, seen over real sockets.
#![allow(clippy::unwrap_used, reason = "clippy.toml lets tests do it, but not what they share")]

mod a1111;
mod bfl;
mod client;
mod comfyui;
mod fal;
mod faults;
mod files;
mod google;
mod ideogram;
mod ledger;
mod openai;
mod openrouter;
mod program;
mod replicate;
mod stability;

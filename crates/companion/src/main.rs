//! `image-gen`: see `image-gen --help`.

use std::process::ExitCode;

use clap::Parser;
use image_gen_companion::cli::{Command, run};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    let command = Command::parse();
    // Standard output is the conversation of `mcp`; the log is people's. Libraries would log what was said: prompts, and answers.
    let ours =
        Targets::new().with_target("image_gen_companion", command.log_level()).with_default(Level::ERROR);
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_filter(ours);
    tracing_subscriber::registry().with(log).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    };
    ExitCode::from(code)
}

//! The simulator as a program.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use image_gen_simulator::{Config, Simulator};
use lexopt::prelude::*;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
An HTTP server that speaks the image providers' wire protocols, scripts faults and counts what it would have billed.

Usage: image-gen-simulator [OPTIONS]

The first line on stdout is `listening on http://HOST:PORT`. Providers live at /bfl and /openai/v1, the simulator's own
endpoints at /_sim. SIGTERM and SIGINT end it.

Options:
      --listen HOST:PORT        where to listen; port 0 takes a free one [default: 127.0.0.1:0]
      --config FILE             a JSON file as for PUT /_sim/config; options here win over it
      --render-seconds N        how long a picture takes [default: 0.2]
      --refusal-words A,B       words and phrases that the safety filter refuses
                                [default: eyes closed,anatomy,bare skin,nude]
      --refusal-stage STAGE     `request` refuses before drawing, `content` after [default: content]
      --refusal-rate N          share of other prompts refused too, 0 to 1 [default: 0]
      --keys A,B                let in only these keys [default: any that is not empty]
      --active-task-limit N     answer 429 when N pictures are being drawn [default: no limit]
      --balance USD             what each provider's account holds [default: never runs dry]
      --seed N                  feeds all that would be random at a real provider [default: 0]
  -h, --help                    print this
  -V, --version                 print the version
";

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image-gen-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Box<dyn Error>> {
    let Some((address, config)) = read_arguments()? else { return Ok(()) };
    // Thousands of connections need as many descriptors; the usual soft limit is 1,024.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("image-gen-simulator: the limit of open files stays as it is: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let simulator = Simulator::listen(address, config).await?;
        println!("listening on {}", simulator.url());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

fn read_arguments() -> Result<Option<(SocketAddr, Config)>, Box<dyn Error>> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::default();
    let mut patch = Map::new();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        let Long(name) = argument else {
            match argument {
                Short('h') => print!("{HELP}"),
                Short('V') => println!("{}", env!("CARGO_PKG_VERSION")),
                other => return Err(other.unexpected().into()),
            }
            return Ok(None);
        };
        let name = name.to_owned();
        match name.as_str() {
            "help" => {
                print!("{HELP}");
                return Ok(None);
            }
            "version" => {
                println!("{}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            "listen" => address = arguments.value()?.parse()?,
            "config" => {
                let file = std::fs::read_to_string(arguments.value()?)?;
                config = config.merged(&serde_json::from_str(&file)?)?;
            }
            "render-seconds" | "refusal-rate" => {
                patch.insert(name.replace('-', "_"), json!(arguments.value()?.parse::<f64>()?));
            }
            "active-task-limit" | "seed" => {
                patch.insert(name.replace('-', "_"), json!(arguments.value()?.parse::<u64>()?));
            }
            "refusal-stage" | "balance" => {
                patch.insert(name.replace('-', "_"), json!(arguments.value()?.string()?));
            }
            "refusal-words" | "keys" => {
                let words = arguments.value()?.string()?;
                let words: Vec<&str> = words.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
                patch.insert(name.replace('-', "_"), json!(words));
            }
            other => return Err(Long(other).unexpected().into()),
        }
    }
    Ok(Some((address, config.merged(&Value::Object(patch))?)))
}

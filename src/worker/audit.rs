//! What the worker and its processes write into `audit_log`.

use std::time::Instant;

use image_gen_engine::denials::Denials;
use pgrx::prelude::*;

use super::transaction::{Failed, as_worker};

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

/// Requests that were turned away, where it is time to write them down.
pub fn denials(extension: pg_sys::Oid, denials: &Denials) -> Result<(), Failed> {
    let denied = denials.take(Instant::now());
    if denied.is_empty() {
        return Ok(());
    }
    let destinations: Vec<&str> = denied.iter().map(|denied| denied.destination.as_str()).collect();
    let targets: Vec<Option<&str>> = denied.iter().map(|denied| denied.target.as_deref()).collect();
    let times: Vec<i64> = denied.iter().map(|denied| denied.times as i64).collect();
    as_worker(extension, "write down what was turned away", || {
        let call = "SELECT image_gen_internal.record_denials($1, $2, $3)";
        Spi::run_with_args(call, &[destinations.into(), targets.into(), times.into()]).map_err(spi)
    })
}

/// The names of keys that have another value now.
pub fn replaced_keys(extension: pg_sys::Oid, names: Vec<String>) -> Result<(), Failed> {
    if names.is_empty() {
        return Ok(());
    }
    as_worker(extension, "write down which keys were replaced", || {
        Spi::run_with_args("SELECT image_gen_internal.record_key_reload($1)", &[names.into()]).map_err(spi)
    })
}

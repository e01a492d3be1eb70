//! What the worker does when it has time, or when something is found to be out of order.

use std::time::Duration;

use pgrx::prelude::*;

use super::{on_uncertain, spi};
use crate::worker::transaction::{Failed, within};

/// Decides about jobs in flight that no task follows any more.
pub fn take_over(extension: pg_sys::Oid, epoch: i64, lost: Vec<i64>) -> Result<(), Failed> {
    within(extension, "take over", || {
        Spi::connect(|client| {
            let arguments = [epoch.into(), lost.into(), on_uncertain().into()];
            client.select("SELECT image_gen_internal.rescue_jobs($1, $2, $3)", None, &arguments).map(drop)
        })
        .map_err(spi)
    })
}

/// Up to where every job was over when the worker last looked.
pub fn all_over_to(extension: pg_sys::Oid) -> Result<i64, Failed> {
    within(extension, "look where history ends", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.finished_up_to()", Some(1), &[])?
                .first()
                .get_one::<i64>()
        })
        .map(Option::unwrap_or_default)
        .map_err(spi)
    })
}

/// Remembers that.
pub fn note_all_over(extension: pg_sys::Oid, to: i64) -> Result<(), Failed> {
    within(extension, "note where history ends", || {
        Spi::connect(|client| {
            client.select("SELECT image_gen_internal.record_finished_up_to($1)", None, &[to.into()]).map(drop)
        })
        .map_err(spi)
    })
}

/// What a look at some jobs has found.
#[derive(Debug)]
pub struct Reconciled {
    /// The last one; `None` when there are no more.
    pub last: Option<i64>,
    /// The first that is not over.
    pub first_open: Option<i64>,
    /// Open ones without a row in the queue, which have one again: those that were not in flight.
    pub found: Vec<i64>,
}

/// Gives open jobs that have no row in the queue their row back: some of those after a seq.
pub fn reconcile(
    extension: pg_sys::Oid,
    epoch: i64,
    in_flight: Vec<i64>,
    after: i64,
    at_most: i32,
) -> Result<Reconciled, Failed> {
    within(extension, "reconcile the queue", || {
        Spi::connect(|client| {
            let arguments =
                [epoch.into(), in_flight.into(), after.into(), at_most.into(), on_uncertain().into()];
            let call =
                "SELECT last_seq, first_open, lost FROM image_gen_internal.reconcile($1, $2, $3, $4, $5)";
            let row = client.select(call, Some(1), &arguments)?.first();
            Ok(Reconciled {
                last: row.get(1)?,
                first_open: row.get(2)?,
                found: row.get::<Vec<i64>>(3)?.unwrap_or_default(),
            })
        })
        .map_err(spi)
    })
}

/// Removes bytes of images that no job needs any more, looking at some after a hash; gives where to go on.
pub fn sweep_inputs(extension: pg_sys::Oid, after: &str, at_most: i32) -> Result<Option<String>, Failed> {
    within(extension, "sweep inputs", || {
        Spi::connect(|client| {
            let call = "SELECT last_hash FROM image_gen_internal.sweep_inputs($1, $2)";
            client.select(call, Some(1), &[after.into(), at_most.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// Removes some of the jobs that ended so many minutes ago or earlier; gives where to go on, or `None` when there are no more.
pub fn prune(extension: pg_sys::Oid, minutes: i32, after: i64, at_most: i32) -> Result<Option<i64>, Failed> {
    within(extension, "prune", || {
        Spi::connect(|client| {
            // What a crash undoes is done again: no session waits for the disk.
            let hurry = "SELECT pg_catalog.set_config('synchronous_commit', 'off', true)";
            client.select(hurry, None, &[])?;
            let arguments = [minutes.into(), after.into(), at_most.into()];
            let call = "SELECT last_seq FROM image_gen_internal.prune_jobs(clock_timestamp() - make_interval(mins => $1), $2, $3)";
            client.select(call, Some(1), &arguments)?.first().get_one::<i64>()
        })
        .map_err(spi)
    })
}

/// Lets jobs that were put off not wait for a clock that was set back.
pub fn clock_set_back(extension: pg_sys::Oid, by: Duration) -> Result<(), Failed> {
    within(extension, "follow the clock", || {
        Spi::connect(|client| {
            let call = "SELECT image_gen_internal.clock_set_back($1)";
            client.select(call, None, &[by.as_secs_f64().into()]).map(drop)
        })
        .map_err(spi)
    })
}

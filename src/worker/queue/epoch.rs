//! Lives of the worker: whether one may begin, and what the one before has left.

use std::time::Duration;

use pgrx::prelude::*;

use super::{on_uncertain, spi};
use crate::instance;
use crate::worker::limits::Limit;
use crate::worker::transaction::{Failed, within};

/// Why a worker that starts here must be held; `None` when it may go on.
pub fn hold(extension: pg_sys::Oid, mode: &str) -> Result<Option<String>, Failed> {
    within(extension, "look whether it may work", || {
        Spi::connect(|client| {
            // SAFETY: this process's own pid.
            let pid = unsafe { pg_sys::MyProcPid };
            let call = "SELECT image_gen_internal.fence($1, $2)";
            client.select(call, Some(1), &[pid.into(), mode.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// Why no paid work may run here any more.
pub fn fenced(extension: pg_sys::Oid) -> Result<Option<String>, Failed> {
    within(extension, "look whether it may work", || Ok(instance::of_worker(true).fenced))
}

/// Begins this life of the worker, and charges jobs with the death of the one before: those that were in hand.
pub fn start_epoch(
    extension: pg_sys::Oid,
    mode: &str,
    limit: &Limit,
    keys: &[String],
    in_hand: &[i64],
) -> Result<i64, Failed> {
    let (epoch, deaths) = within(extension, "begin an epoch", || {
        let deaths = record_deaths(in_hand).map_err(spi)?;
        let epoch = Spi::connect(|client| {
            // SAFETY: this process's own pid.
            let pid = unsafe { pg_sys::MyProcPid };
            let arguments = [
                pid.into(),
                mode.into(),
                (limit.cap as i32).into(),
                limit.reason.as_str().into(),
                keys.to_vec().into(),
                on_uncertain().into(),
            ];
            let call = "SELECT image_gen_internal.start_epoch($1, $2, $3, $4, $5, $6)";
            client.select(call, Some(1), &arguments)?.first().get_one::<i64>()
        });
        let epoch = epoch.map_err(spi)?;
        let epoch =
            epoch.ok_or_else(|| Failed::Error("image_gen_internal.worker_state has no row".into()))?;
        Ok((epoch, deaths))
    })?;
    for (job, deaths) in deaths {
        log!("image_gen: the worker died with job {job} in hand ({deaths} times so far)");
    }
    Ok(epoch)
}

fn record_deaths(in_hand: &[i64]) -> spi::Result<Vec<(String, i16)>> {
    let mut deaths = vec![];
    if !in_hand.is_empty() {
        Spi::connect(|client| {
            let call = "SELECT job_id, deaths FROM image_gen_internal.record_deaths($1)";
            for row in client.select(call, None, &[in_hand.to_vec().into()])? {
                deaths.extend(row.get::<String>(1)?.zip(row.get::<i16>(2)?));
            }
            Ok::<_, spi::Error>(())
        })?;
    }
    Ok(deaths)
}

/// Jobs that were in hand when a worker died and have not ended since; of those that must run alone, in how long each is ready.
pub fn suspects(extension: pg_sys::Oid) -> Result<Vec<(i64, Option<Duration>)>, Failed> {
    within(extension, "look for suspects", || {
        Spi::connect(|client| {
            let mut suspects = vec![];
            for row in client.select("SELECT seq, ready_in FROM image_gen_internal.suspects()", None, &[])? {
                if let Some(seq) = row.get::<i64>(1)? {
                    let ready_in = row.get::<f64>(2)?.and_then(|s| Duration::try_from_secs_f64(s).ok());
                    suspects.push((seq, ready_in));
                }
            }
            Ok(suspects)
        })
        .map_err(spi)
    })
}

//! Typed calls of the functions in `sql/queue.sql`. They are called through SELECT, so that looking for work costs no
//! transaction id when there is none.

use std::time::Duration;

use image_gen_engine::run::Entry;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::io::Commit;
use super::limits::Limit;
use super::transaction::{Failed, within};
use crate::settings;

/// A claimed job with all that the network thread must know.
#[derive(Debug, Deserialize)]
pub struct Claimed {
    /// Its place in the queue.
    #[serde(skip)]
    pub seq: i64,
    /// `gen_…`
    pub id: String,
    /// The rest is the engine's business.
    #[serde(flatten)]
    pub rest: Value,
}

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

/// Begins this life of the worker.
pub fn start_epoch(
    extension: pg_sys::Oid,
    mode: &str,
    limit: &Limit,
    keys: &[String],
) -> Result<i64, Failed> {
    let on_uncertain = match settings::ON_UNCERTAIN.get() {
        settings::OnUncertain::Review => "review",
        settings::OnUncertain::Retry => "retry",
    };
    within(extension, "begin an epoch", || {
        let epoch = Spi::connect(|client| {
            // SAFETY: this process's own pid.
            let pid = unsafe { pg_sys::MyProcPid };
            let arguments = [
                pid.into(),
                mode.into(),
                (limit.cap as i32).into(),
                limit.reason.as_str().into(),
                keys.to_vec().into(),
                on_uncertain.into(),
            ];
            let call = "SELECT image_gen._start_epoch($1, $2, $3, $4, $5, $6)";
            client.select(call, Some(1), &arguments)?.first().get_one::<i64>()
        });
        epoch.map_err(spi)?.ok_or_else(|| Failed::Error("image_gen.worker_state has no row".into()))
    })
}

/// Takes ready jobs after the watermark.
pub fn claim(
    extension: pg_sys::Oid,
    epoch: i64,
    room: usize,
    watermark: i64,
) -> Result<Vec<Claimed>, Failed> {
    within(extension, "claim", || {
        Spi::connect(|client| {
            let arguments = [epoch.into(), (room as i32).into(), watermark.into()];
            let rows =
                client.select("SELECT seq, job FROM image_gen._claim($1, $2, $3)", None, &arguments)?;
            let mut claimed = vec![];
            for row in rows {
                let (seq, job) = (row.get::<i64>(1)?, row.get::<JsonB>(2)?);
                if let (Some(seq), Some(JsonB(job))) = (seq, job) {
                    claimed.push((seq, job));
                }
            }
            Ok(claimed)
        })
        .map_err(spi)
        .map(|rows| {
            let read =
                |(seq, job)| serde_json::from_value::<Claimed>(job).ok().map(|job| Claimed { seq, ..job });
            rows.into_iter().filter_map(read).collect()
        })
    })
}

/// Jobs in flight that a user wants stopped.
pub fn cancellations(extension: pg_sys::Oid, epoch: i64) -> Result<Vec<i64>, Failed> {
    within(extension, "look for cancels", || {
        Spi::connect(|client| {
            let rows = client.select("SELECT * FROM image_gen._cancellations($1)", None, &[epoch.into()])?;
            rows.map(|row| row.get::<i64>(1)).collect::<Result<Vec<_>, _>>()
        })
        .map(|found| found.into_iter().flatten().collect())
        .map_err(spi)
    })
}

/// What worker_status should show.
pub fn note(extension: pg_sys::Oid, keys: Option<Vec<String>>, error: Option<String>) -> Result<(), Failed> {
    within(extension, "note", || {
        Spi::connect(|client| {
            client.select("SELECT image_gen._note($1, $2)", None, &[keys.into(), error.into()]).map(drop)
        })
        .map_err(spi)
    })
}

/// What came of a flush.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many jobs ended.
    pub closed: usize,
    /// Jobs that wait for their turn again.
    pub put_off: Vec<(i64, Duration)>,
    /// What could not be written, for the log.
    pub errors: Vec<String>,
}

/// Makes commits durable and answers each: in one transaction, and one by one when that fails, so that one bad job
/// cannot hold up the others.
pub fn journal(extension: pg_sys::Oid, epoch: i64, commits: Vec<Commit>) -> Result<Outcome, Failed> {
    let mut outcome = Outcome::default();
    match write(extension, epoch, &commits.iter().collect::<Vec<_>>()) {
        Ok(owned) => commits.into_iter().for_each(|commit| outcome.answer(commit, &owned)),
        Err(Failed::Gone) => return Err(Failed::Gone),
        Err(Failed::Error(why)) if commits.len() == 1 => {
            for commit in commits {
                outcome.errors.push(format!("job {}: {why}", commit.job_id));
                let minimal = commit.minimal(&why);
                let owned = write(extension, epoch, &[&minimal]).unwrap_or_default();
                outcome.answer(minimal, &owned);
            }
        }
        Err(Failed::Error(_)) => {
            for commit in commits {
                let one = journal(extension, epoch, vec![commit])?;
                outcome.closed += one.closed;
                outcome.put_off.extend(one.put_off);
                outcome.errors.extend(one.errors);
            }
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn answer(&mut self, commit: Commit, owned: &[i64]) {
        let ours = owned.contains(&commit.seq);
        for entry in commit.entries.iter().filter(|_| ours) {
            match entry {
                Entry::Later { after } => self.put_off.push((commit.seq, *after)),
                Entry::Close { .. } => self.closed += 1,
                _ => {}
            }
        }
        // A task that is gone needs no answer.
        let _ = commit.done.send(ours);
    }
}

fn write(extension: pg_sys::Oid, epoch: i64, commits: &[&Commit]) -> Result<Vec<i64>, Failed> {
    let items: Vec<Value> = commits
        .iter()
        .map(|c| {
            let begins = c.entries.iter().any(|e| matches!(e, Entry::Begin { .. }));
            json!({"seq": c.seq, "job_id": c.job_id, "begins": begins, "entries": c.entries})
        })
        .collect();
    within(extension, "write the journal", || {
        Spi::connect(|client| {
            for picture in commits.iter().flat_map(|c| c.pictures()) {
                if let (Some(facts), Some(bytes)) = (&picture.facts, &picture.bytes) {
                    let arguments = [
                        facts.sha256.as_str().into(),
                        facts.content_type.as_str().into(),
                        bytes.as_slice().into(),
                    ];
                    client.select("SELECT image_gen._keep($1, $2, $3)", None, &arguments)?;
                }
            }
            let arguments = [epoch.into(), JsonB(Value::Array(items)).into()];
            let rows = client.select("SELECT * FROM image_gen._journal($1, $2)", None, &arguments)?;
            rows.map(|row| row.get::<i64>(1)).collect::<Result<Vec<_>, _>>()
        })
        .map(|owned| owned.into_iter().flatten().collect())
        .map_err(spi)
    })
}

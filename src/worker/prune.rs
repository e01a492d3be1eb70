//! When jobs are pruned: after a rescan, so that it never wakes an idle worker, at most once an hour, a few at a time, with
//! long pauses in between.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::queue;
use super::transaction::Failed;
use crate::settings;

/// How many jobs one transaction removes.
const BATCH: i32 = 100;
/// The pause after a batch, in batches: claims and commits have the thread nine tenths of the time.
const PAUSES: u32 = 9;
/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(50);
/// The time from one search to the next.
const REST: Duration = Duration::from_secs(3600);

/// The same after an error, such as a lock on a whole table.
const AFTER_ERROR: Duration = Duration::from_secs(60);

/// Where the search for jobs that are kept for no longer stands.
pub struct Pruner {
    /// No search begins before.
    rests_until: Instant,
    /// While one goes on: after which seq, and when.
    next: Option<(i64, Instant)>,
}

impl Pruner {
    /// One that has not searched yet.
    pub fn new(now: Instant) -> Self {
        Pruner { rests_until: now, next: None }
    }

    /// The worker is awake anyway: begins a search where it is time for one.
    pub fn wake(&mut self, now: Instant) {
        if settings::RETAIN_JOBS.get() > 0 && self.next.is_none() && now >= self.rests_until {
            self.next = Some((0, now));
        }
    }

    /// When the next batch is due.
    pub fn due(&self) -> Option<Instant> {
        self.next.map(|(_, at)| at)
    }

    /// Removes one batch, if one is due.
    pub fn step(&mut self, extension: pg_sys::Oid) -> Result<(), Failed> {
        let start = Instant::now();
        let Some((after, _)) = self.next.filter(|(_, at)| *at <= start) else { return Ok(()) };
        // An error ends the search: the next one tries again.
        self.next = None;
        self.rests_until = start + AFTER_ERROR;
        let minutes = settings::RETAIN_JOBS.get();
        let last = if minutes > 0 { queue::prune(extension, minutes, after, BATCH)? } else { None };
        let now = Instant::now();
        match last {
            Some(last) => self.next = Some((last, now + (PAUSES * (now - start)).max(SHORTEST))),
            None => self.rests_until = now + REST,
        }
        Ok(())
    }
}

//! When jobs that are over are folded into the totals that reports read: after a rescan or when many have ended, a few at a time,
//! with long pauses in between.

use std::time::Instant;

use pgrx::prelude::*;

use super::transaction::{Failed, within};

/// How many jobs one transaction folds.
const BATCH: i32 = 500;
/// After so many ends it is time to.
const MANY: usize = 1000;
/// The pause after a batch, in batches: claims and commits have the thread nine tenths of the time.
const PAUSES: u32 = 9;

/// What is left to fold, as far as is known.
#[derive(Debug, Default)]
pub struct Folder {
    /// When the next batch is due.
    next: Option<Instant>,
    /// Jobs that have ended since the last batch that found nothing more.
    ended: usize,
}

impl Folder {
    /// The worker is awake anyway.
    pub fn wake(&mut self, now: Instant) {
        self.next.get_or_insert(now);
    }

    /// So many jobs have ended.
    pub fn ended(&mut self, jobs: usize, now: Instant) {
        self.ended += jobs;
        if self.ended >= MANY {
            self.wake(now);
        }
    }

    /// When the next batch is due.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Folds one batch, if one is due.
    pub fn step(&mut self, extension: pg_sys::Oid) -> Result<(), Failed> {
        let start = Instant::now();
        if self.next.take_if(|at| *at <= start).is_none() {
            return Ok(());
        }
        // An error ends the round: the next rescan tries again.
        self.ended = 0;
        let more = within(extension, "fold finished jobs into the totals", || {
            Spi::connect(|client| {
                let call = "SELECT image_gen_internal.fold_spending($1)";
                client.select(call, Some(1), &[BATCH.into()])?.first().get_one::<bool>()
            })
            .map_err(|e| Failed::Error(e.to_string()))
        })?;
        if more == Some(true) {
            let now = Instant::now();
            self.next = Some(now + PAUSES * (now - start));
        }
        Ok(())
    }
}

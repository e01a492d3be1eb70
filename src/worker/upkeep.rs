//! What the worker does when it is awake anyway and it is time for it, a little at a time: pruning, folding, and the looks for open jobs
//! that have lost their row in the queue and for bytes that no job needs any more.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::complaints::Complaints;
use super::fold::Folder;
use super::prune::Pruner;
use super::sweep::Pass;
use super::transaction::Failed;
use super::{queue, user_code};
use crate::settings;

/// How many jobs one look for lost rows of the queue reads, and one look for bytes that are not needed.
const SWEEP: i32 = 1000;
/// In steps of so many it is remembered up to where all jobs are over.
const HISTORY: i64 = 10_000;

/// Where each of these stands.
pub struct Upkeep {
    pruner: Pruner,
    folder: Folder,
    /// The look for open jobs that have lost their row in the queue.
    lost_rows: Pass<i64>,
    /// Every job up to here is over: as is known now, and as is written down.
    all_over_to: (i64, i64),
    /// The first open job that this pass has seen.
    first_open: Option<i64>,
    /// The look for bytes that no job needs any more.
    inputs: Pass<String>,
}

impl Upkeep {
    /// Nothing has begun; every job up to `all_over_to` is over.
    pub fn new(all_over_to: i64, now: Instant) -> Self {
        Upkeep {
            pruner: Pruner::new(now),
            folder: Folder::default(),
            lost_rows: Pass::new(now),
            all_over_to: (all_over_to, all_over_to),
            first_open: None,
            inputs: Pass::new(now),
        }
    }

    /// When the next step is due.
    pub fn due(&self) -> Option<Instant> {
        let due = [self.pruner.due(), self.folder.due(), self.lost_rows.due(), self.inputs.due()];
        due.into_iter().flatten().min()
    }

    /// The worker is awake anyway, for a rescan: begins what it is time for.
    pub fn wake(&mut self, now: Instant) {
        self.pruner.wake(now);
        self.folder.wake(now);
        self.lost_rows.wake(self.all_over_to.0, now);
        self.inputs.wake(String::new(), now);
    }

    /// The settings were read again: jobs may be kept for another time.
    pub fn reload(&mut self, now: Instant) {
        self.pruner = Pruner::new(now);
        self.pruner.wake(now);
    }

    /// So many jobs have ended.
    pub fn ended(&mut self, jobs: usize, now: Instant) {
        self.folder.ended(jobs, now);
    }

    /// A job from this number on may be open again.
    pub fn reopened(&mut self, seq: i64) {
        self.all_over_to.0 = self.all_over_to.0.min(seq.saturating_sub(1));
    }

    /// Looks for open jobs without a row in the queue, from this one on.
    pub fn look_for_lost_rows(&mut self, from: i64, now: Instant) {
        self.first_open = None;
        self.reopened(from);
        self.lost_rows.begin(self.all_over_to.0, now);
    }

    /// Removes a few jobs that are kept for no longer, and folds a few that are over, where it is time for that.
    pub fn prune(&mut self, extension: pg_sys::Oid, complaints: &mut Complaints) {
        if user_code::triggers_rest() {
            return;
        }
        for step in [self.pruner.step(extension), self.folder.step(extension)] {
            if let Err(why) = step {
                // A dropped extension is noticed by what follows.
                complaints.note::<()>(extension, why);
            }
        }
    }

    /// One step of each look that is due; the first job that has its row in the queue again.
    pub fn sweep(
        &mut self,
        extension: pg_sys::Oid,
        epoch: i64,
        in_flight: impl FnOnce() -> Vec<i64>,
    ) -> Result<Option<i64>, Failed> {
        let rescan = Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64);
        let mut found = None;
        let start = Instant::now();
        if let Some(after) = self.lost_rows.step(start) {
            let looked = queue::reconcile(extension, epoch, in_flight(), after, SWEEP)?;
            self.lost_rows.done(start, looked.last, rescan);
            found = looked.found.iter().min().copied();
            if found.is_some() {
                log!(
                    "image_gen: {} open jobs had lost their row in the queue, and go on",
                    looked.found.len()
                );
            }
            self.first_open = self.first_open.or(looked.first_open);
            let over = match (self.first_open, looked.last) {
                (Some(first), _) => first - 1,
                (None, Some(last)) => last,
                (None, None) => after,
            };
            self.all_over_to.0 = self.all_over_to.0.max(over);
            if looked.last.is_none() {
                self.first_open = None;
            }
            if self.all_over_to.0 >= self.all_over_to.1 + HISTORY {
                queue::note_all_over(extension, self.all_over_to.0)?;
                self.all_over_to.1 = self.all_over_to.0;
            }
        }
        let start = Instant::now();
        if let Some(after) = self.inputs.step(start) {
            let last = queue::sweep_inputs(extension, &after, SWEEP)?;
            self.inputs.done(start, last, rescan);
        }
        Ok(found)
    }
}

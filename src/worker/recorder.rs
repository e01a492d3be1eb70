//! What is to be made durable: the transitions that the network thread reports, in its order.

use std::collections::VecDeque;

use pgrx::prelude::*;

use super::io::Commit;
use super::quarantine::Quarantine;
use super::transaction::Failed;
use super::transitions::{self, Outcome};

/// How many reports go into one transaction.
const BATCH: usize = 500;

/// What is not durable yet.
#[derive(Default)]
pub struct Recorder {
    pending: VecDeque<Commit>,
}

impl Recorder {
    /// How many more reports the next transaction takes.
    pub fn room(&self) -> usize {
        BATCH.saturating_sub(self.pending.len())
    }

    /// To be made durable by the next transaction.
    pub fn push(&mut self, commit: Commit) {
        self.pending.push_back(commit);
    }

    /// Makes durable what is pending: in one transaction, but for jobs that a worker died with.
    pub fn write(
        &mut self,
        extension: pg_sys::Oid,
        epoch: i64,
        quarantine: &Quarantine,
        outcome: &mut Outcome,
    ) -> Result<(), Failed> {
        let mut record = |commits: &mut VecDeque<Commit>| match commits.is_empty() {
            true => Ok(()),
            false => transitions::record(extension, epoch, commits, outcome),
        };
        if quarantine.is_empty() {
            return record(&mut self.pending);
        }
        let (suspects, mut others): (VecDeque<_>, VecDeque<_>) =
            self.pending.drain(..).partition(|commit| quarantine.suspects(commit.seq));
        let mut written = record(&mut others);
        self.pending = others;
        for suspect in suspects {
            let mut one = VecDeque::from([suspect]);
            if written.is_ok() {
                written = record(&mut one);
            }
            self.pending.append(&mut one);
        }
        written
    }
}

//! Requests whose image is there already, or under way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pgrx::prelude::*;

use super::Submission;
use super::row::{NewJob, Receipt};
use crate::statement::{Element, Statement, argument};

/// Requests that need no job of their own.
#[derive(Default)]
pub(super) struct Reused {
    /// A request, and the one among those queued with it that it is the same as.
    twins: Vec<(usize, usize)>,
    /// Requests that have an image of another job.
    served: Vec<usize>,
}

impl Reused {
    /// Finds, of jobs that are to be queued, those whose image is there or under way; they are jobs no more.
    pub(super) fn of(
        owner: pg_sys::Oid,
        submissions: &[Submission],
        jobs: &mut Vec<(usize, NewJob)>,
        receipts: &mut [Option<Receipt>],
    ) -> Reused {
        thread_local! {
            static EARLIER: Statement = Statement::new(
                "SELECT e.id, e.status, e.model, e.estimated_seconds, 0::numeric, e.created_at, e.warnings, NULL::bytea, e.seed, e.batch, e.number
                   FROM image_gen_internal.earlier_jobs($1, $2, $3) e",
                &[pg_sys::OIDOID, pg_sys::BYTEAARRAYOID, pg_sys::TIMESTAMPTZARRAYOID],
            );
        }
        let mut reused = Reused::default();
        let asking = |jobs: &[(usize, NewJob)]| -> Vec<(usize, Vec<u8>)> {
            jobs.iter().filter_map(|(at, job)| Some((*at, job.fingerprint.clone()?))).collect()
        };
        let asked = asking(jobs);
        if asked.is_empty() {
            return reused;
        }
        let since = asked.iter().map(|(at, _)| submissions[*at].reuse.map(pg_sys::Datum::from));
        let arguments = [
            argument(owner),
            Element::BYTEA.array(asked.iter().map(|(_, fingerprint)| argument(fingerprint.as_slice()))),
            Element::TIMESTAMPTZ.array(since),
        ];
        for (receipt, number) in
            EARLIER.with(|s| s.run(&arguments, |row| (Receipt::read(row), row.get::<i32>(11))))
        {
            if let Some((at, _)) = number.and_then(|number| asked.get(number as usize - 1)) {
                receipts[*at] = Some(receipt);
                reused.served.push(*at);
            }
        }
        jobs.retain(|(at, _)| receipts[*at].is_none());
        let mut first = HashMap::new();
        for (at, fingerprint) in asking(jobs) {
            match first.entry(fingerprint) {
                Entry::Occupied(other) => reused.twins.push((at, *other.get())),
                Entry::Vacant(place) => drop(place.insert(at)),
            }
        }
        jobs.retain(|(at, _)| !reused.twins.iter().any(|(twin, _)| twin == at));
        reused
    }

    /// Gives twins the job of the other one, and writes down what was saved.
    pub(super) fn settle(mut self, submissions: &[Submission], receipts: &mut [Option<Receipt>]) {
        thread_local! {
            static NOTE: Statement = Statement::new(
                "SELECT image_gen_internal.record_reuses($1, $2)",
                &[pg_sys::TEXTARRAYOID, pg_sys::JSONBARRAYOID],
            );
        }
        for (twin, other) in std::mem::take(&mut self.twins) {
            receipts[twin] = receipts[other].clone();
            self.served.push(twin);
        }
        if !self.served.is_empty() {
            let id = |at: &usize| argument(receipts[*at].as_ref().map(|receipt| receipt.id.as_str()));
            let arguments = [
                Element::TEXT.array(self.served.iter().map(id)),
                Element::JSONB.array(self.served.iter().map(|at| submissions[*at].metadata.datum)),
            ];
            NOTE.with(|s| s.run(&arguments, |_| ()));
        }
    }
}

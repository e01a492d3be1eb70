//! Jobs that were read from the queue and wait here, because their role has as many in flight as its policy allows
//! (`role_policies.max_in_flight`). They are ready in the queue still, and take no place of others.

use std::collections::{HashMap, VecDeque};

use pgrx::prelude::*;

use super::queue::Claimed;

/// So many of one role are kept at hand; others are read again when some of these have gone.
const MOST: usize = 100;

/// The jobs of roles that have enough in flight.
#[derive(Default)]
pub struct Held(HashMap<pg_sys::Oid, Line>);

#[derive(Default)]
struct Line {
    waiting: VecDeque<Claimed>,
    /// The first job that was read and found no place here.
    passed: Option<i64>,
}

impl Held {
    /// Keeps a job, or passes it over; true when it is kept.
    pub fn hold(&mut self, job: Claimed) -> bool {
        let line = self.0.entry(job.owner).or_default();
        if line.waiting.len() < MOST {
            line.waiting.push_back(job);
            return true;
        }
        line.passed = Some(line.passed.map_or(job.seq, |first| first.min(job.seq)));
        false
    }

    /// Whether a role has more waiting than is kept here: there is no use in reading more of it.
    pub fn is_full(&self, owner: u32) -> bool {
        self.0.get(&pg_sys::Oid::from(owner)).is_some_and(|line| line.waiting.len() >= MOST)
    }

    /// The next jobs of roles that have room, where `room` says how many more a role may have in flight; and from where on jobs are
    /// to be read again that were passed over.
    pub fn release(&mut self, room: impl Fn(pg_sys::Oid, u32) -> usize) -> (Vec<Claimed>, Option<i64>) {
        let (mut released, mut again) = (vec![], None::<i64>);
        self.0.retain(|owner, line| {
            let most = line.waiting.front().and_then(|job| job.allowance.max_in_flight);
            let free = most.map_or(usize::MAX, |most| room(*owner, most)).min(line.waiting.len());
            released.extend(line.waiting.drain(..free));
            if line.waiting.len() < MOST / 2
                && let Some(first) = line.passed.take()
            {
                again = Some(again.map_or(first, |lowest| lowest.min(first)));
            }
            !line.waiting.is_empty() || line.passed.is_some()
        });
        (released, again)
    }

    /// Lets all go, because policies may be others now: they are in the queue. From where on they are to be read again.
    pub fn let_go(&mut self) -> (Vec<i64>, Option<i64>) {
        let lines: Vec<Line> = self.0.drain().map(|(_, line)| line).collect();
        let held: Vec<i64> = lines.iter().flat_map(|line| line.waiting.iter().map(|job| job.seq)).collect();
        let first = lines.iter().filter_map(|line| line.passed).chain(held.iter().copied()).min();
        (held, first)
    }
}

//! Who is served next when more is queued than can be in flight: each role in its turn, so that a flood of one role does not keep out
//! the one job of another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgrx::pg_sys;

/// How often it is looked who waits, at most. Looking may take longer beside an old snapshot: then less often.
const LOOK: Duration = Duration::from_millis(100);
/// Looking takes at most one part in so many of the worker's time.
const SHARE: u32 = 20;

/// The queue of one role.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The role.
    pub owner: pg_sys::Oid,
    /// Every ready job of its up to here was claimed.
    pub after: i64,
    /// How many it has in flight.
    pub in_flight: usize,
}

/// What is known of who waits. Nothing, while all who are ready find room.
#[derive(Debug, Default)]
pub struct Lanes {
    crowded: bool,
    lanes: Vec<Lane>,
    next_look: Option<Instant>,
}

impl Lanes {
    /// Whether it is time to look who waits.
    pub fn is_due(&self, now: Instant) -> bool {
        self.crowded && self.next_look.is_none_or(|due| now >= due)
    }

    /// Who waits, from which place in the queue on, and how long it took to find out.
    pub fn seen(&mut self, waiting: Vec<(pg_sys::Oid, i64)>, now: Instant, took: Duration) {
        let known: HashMap<pg_sys::Oid, i64> =
            self.lanes.drain(..).map(|lane| (lane.owner, lane.after)).collect();
        self.lanes = waiting
            .into_iter()
            .map(|(owner, first)| {
                let after = known.get(&owner).map_or(first - 1, |after| (first - 1).max(*after));
                Lane { owner, after, in_flight: 0 }
            })
            .collect();
        self.next_look = Some(now + LOOK.max(took * SHARE));
    }

    /// The lanes to claim from, with what each owner has in flight; `None` where the order of the queue is fair enough.
    pub fn for_claim(&mut self, in_flight: impl Iterator<Item = pg_sys::Oid>) -> Option<&[Lane]> {
        if !self.crowded || self.lanes.len() < 2 {
            return None;
        }
        let mut counts: HashMap<pg_sys::Oid, usize> = HashMap::new();
        in_flight.for_each(|owner| *counts.entry(owner).or_default() += 1);
        for lane in &mut self.lanes {
            lane.in_flight = counts.get(&lane.owner).copied().unwrap_or(0);
        }
        Some(&self.lanes)
    }

    /// A job was claimed.
    pub fn claimed(&mut self, owner: pg_sys::Oid, seq: i64) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.owner == owner) {
            lane.after = lane.after.max(seq);
        }
    }

    /// Some job from here on may be ready again.
    pub fn go_back_to(&mut self, seq: i64) {
        self.lanes.iter_mut().for_each(|lane| lane.after = lane.after.min(seq.saturating_sub(1)));
    }

    /// Whether the last claim left something behind.
    pub fn crowd(&mut self, crowded: bool) {
        self.crowded = crowded;
        if !crowded {
            self.lanes.clear();
            self.next_look = None;
        }
    }
}

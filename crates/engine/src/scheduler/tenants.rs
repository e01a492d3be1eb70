//! Which role is served next when more is queued than can be in flight: each in its turn, so that a flood of one role does not
//! keep out the one job of another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often the roles that wait are looked up, at most. Beside an old snapshot that may take longer: then less often.
const LOOK: Duration = Duration::from_millis(100);
/// Looking takes at most one part in so many of the worker's time.
const SHARE: u32 = 20;

/// How far the queue of one role has been claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The role: its oid.
    pub owner: u32,
    /// Every ready job of its up to here was claimed.
    pub after: i64,
    /// How many it has in flight.
    pub in_flight: usize,
}

/// The roles that wait. None, while all that is ready finds room.
#[derive(Debug, Default)]
pub struct Tenants {
    crowded: bool,
    cursors: Vec<Cursor>,
    next_look: Option<Instant>,
}

impl Tenants {
    /// Whether it is time to look up which roles wait.
    pub fn is_due(&self, now: Instant) -> bool {
        self.crowded && self.next_look.is_none_or(|due| now >= due)
    }

    /// The roles that wait, the first job of each, and how long it took to find out.
    pub fn seen(&mut self, waiting: Vec<(u32, i64)>, now: Instant, took: Duration) {
        let known: HashMap<u32, i64> =
            self.cursors.drain(..).map(|cursor| (cursor.owner, cursor.after)).collect();
        self.cursors = waiting
            .into_iter()
            .map(|(owner, first)| {
                let after = known.get(&owner).map_or(first - 1, |after| (first - 1).max(*after));
                Cursor { owner, after, in_flight: 0 }
            })
            .collect();
        self.next_look = Some(now + LOOK.max(took * SHARE));
    }

    /// Where to claim from, with what each role has in flight; `None` where the order of the queue is fair enough.
    pub fn for_claim(&mut self, in_flight: impl Iterator<Item = u32>) -> Option<&[Cursor]> {
        if !self.crowded || self.cursors.len() < 2 {
            return None;
        }
        let mut counts: HashMap<u32, usize> = HashMap::new();
        in_flight.for_each(|owner| *counts.entry(owner).or_default() += 1);
        for cursor in &mut self.cursors {
            cursor.in_flight = counts.get(&cursor.owner).copied().unwrap_or(0);
        }
        Some(&self.cursors)
    }

    /// A job was claimed.
    pub fn claimed(&mut self, owner: u32, seq: i64) {
        if let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.owner == owner) {
            cursor.after = cursor.after.max(seq);
        }
    }

    /// Some job from here on may be ready again.
    pub fn go_back_to(&mut self, seq: i64) {
        self.cursors.iter_mut().for_each(|cursor| cursor.after = cursor.after.min(seq.saturating_sub(1)));
    }

    /// Whether the last claim left something behind.
    pub fn crowd(&mut self, crowded: bool) {
        self.crowded = crowded;
        if !crowded {
            self.cursors.clear();
            self.next_look = None;
        }
    }
}

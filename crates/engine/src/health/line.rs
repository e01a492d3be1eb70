//! Jobs that wait at a circuit, in the order of the queue.

use std::collections::BTreeMap;

use super::Caller;

/// So long, in milliseconds, those that come back at the same moment are waited for before one of them becomes the probe.
const GATHERING: i64 = 100;

/// The line at one circuit.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// By place in the queue: the ticket, and how often it was turned away.
    waiting: BTreeMap<(i64, u64), u32>,
    gathered_at: i64,
}

impl Line {
    pub fn join(&mut self, caller: Caller, now: i64) {
        if self.waiting.is_empty() {
            self.gathered_at = now.saturating_add(GATHERING);
        }
        self.waiting.insert((caller.seq, caller.ticket), caller.tries);
    }

    pub fn remove(&mut self, ticket: u64) {
        self.waiting.retain(|(_, t), _| *t != ticket);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn gathered_at(&self) -> i64 {
        self.gathered_at
    }

    pub fn is_gathered(&self, now: i64) -> bool {
        now >= self.gathered_at
    }

    /// The first one of the queue.
    pub fn first(&self) -> Option<u64> {
        self.waiting.keys().next().map(|(_, ticket)| *ticket)
    }

    /// The one that was turned away least often; of several the first one.
    pub fn fairest(&self) -> Option<u64> {
        self.waiting.iter().min_by_key(|(_, tries)| **tries).map(|((_, ticket), _)| *ticket)
    }

    /// All of them in order: place in the queue, and ticket.
    pub fn into_order(self) -> impl Iterator<Item = (i64, u64)> {
        self.waiting.into_keys()
    }
}

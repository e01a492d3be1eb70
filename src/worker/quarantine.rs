//! Jobs that were in hand when the worker died. Who has seen one death is written down in a transaction of its own; who has
//! seen two runs with nothing else in flight, so that the next death tells who was to blame. Everything about that is bounded:
//! others are kept waiting for so long, and have as much time for themselves before the next one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// What is in flight has so long to end before a job that must run alone begins; what is still at its provider then is not
/// waited for.
const DRAIN: Duration = Duration::from_secs(20);
/// A job that is not over by then has company again.
const ALONE: Duration = Duration::from_secs(60);
/// The shortest time for the others in between.
const BETWEEN: Duration = Duration::from_secs(1);

/// What may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Everything that is ready.
    All,
    /// Nothing: a job runs alone, or is about to.
    None,
    /// The one that must run alone.
    One,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Open,
    Draining { since: Instant },
    Alone { seq: i64, drained: Duration, since: Instant },
}

/// Who is suspected, and whose turn it is.
#[derive(Debug)]
pub struct Quarantine {
    suspects: HashSet<i64>,
    /// When the next one can run alone; `None` where there is none.
    due: Option<Instant>,
    phase: Phase,
}

impl Quarantine {
    /// No job is suspected.
    pub fn new() -> Self {
        Quarantine { suspects: HashSet::new(), due: None, phase: Phase::Open }
    }

    /// What the queue says: suspects, and of those that must run alone, in how long each is ready.
    pub fn seen(&mut self, suspects: Vec<(i64, Option<Duration>)>, now: Instant) {
        let first = suspects.iter().filter_map(|(_, ready_in)| *ready_in).min().map(|after| now + after);
        // What was said about a rest for the others holds.
        self.due = first.map(|first| self.due.map_or(first, |due| due.max(first)));
        self.suspects = suspects.into_iter().map(|(seq, _)| seq).collect();
    }

    /// True when no job is suspected: nothing has to be asked.
    pub fn is_empty(&self) -> bool {
        self.suspects.is_empty()
    }

    /// True for a job that was in hand when a worker died.
    pub fn suspects(&self, seq: i64) -> bool {
        self.suspects.contains(&seq)
    }

    /// Whose turn it is; `in_flight` says how many jobs are, and whether a job is.
    pub fn turn(&mut self, now: Instant, in_flight: usize, is_in_flight: impl Fn(i64) -> bool) -> Turn {
        if let Phase::Alone { seq, drained, since } = self.phase {
            let ran = now.duration_since(since);
            if is_in_flight(seq) && ran < ALONE {
                return Turn::None;
            }
            self.phase = Phase::Open;
            self.due = Some(now + (drained + ran).max(BETWEEN));
        }
        if matches!(self.phase, Phase::Open) && self.due.is_some_and(|due| due <= now) {
            self.phase = Phase::Draining { since: now };
        }
        match self.phase {
            Phase::Draining { since } if in_flight == 0 || now.duration_since(since) >= DRAIN => Turn::One,
            Phase::Draining { .. } => Turn::None,
            _ => Turn::All,
        }
    }

    /// What came of [`Turn::One`]: this job was claimed, or there was none.
    pub fn began(&mut self, seq: Option<i64>, now: Instant) {
        let drained = match self.phase {
            Phase::Draining { since } => now.duration_since(since),
            _ => Duration::ZERO,
        };
        self.due = None;
        self.phase = seq.map_or(Phase::Open, |seq| Phase::Alone { seq, drained, since: now });
    }

    /// When to look again, if nothing happens before.
    pub fn wakes(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => self.due,
            Phase::Draining { since } => Some(since + DRAIN),
            Phase::Alone { since, .. } => Some(since + ALONE),
        }
    }
}

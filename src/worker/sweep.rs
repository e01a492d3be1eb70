//! What the worker looks after in small steps, when it is awake anyway: open jobs that have lost their row in the queue, and bytes
//! that no job needs any more. A pass goes through a table by its key; it pauses after each step for nine times as long as that
//! took, and an idle worker begins none.

use std::time::{Duration, Instant};

/// The pause after a step, in steps: claims and commits have the thread nine tenths of the time.
const PAUSES: u32 = 9;
/// From the end of a pass to the next, in rescans.
const REST: u32 = 20;
/// The same after an error.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// A pass through a table whose key is a `K`.
#[derive(Debug)]
pub struct Pass<K> {
    rests_until: Instant,
    /// While one goes on: after which key, and when.
    next: Option<(K, Instant)>,
}

impl<K: Clone> Pass<K> {
    /// The first one begins with the first rescan.
    pub fn new(now: Instant) -> Self {
        Pass { rests_until: now, next: None }
    }

    /// The worker is awake anyway: begins where it is time for it.
    pub fn wake(&mut self, first: K, now: Instant) {
        if self.next.is_none() && now >= self.rests_until {
            self.next = Some((first, now));
        }
    }

    /// Begins now, whatever it is at.
    pub fn begin(&mut self, first: K, now: Instant) {
        self.next = Some((first, now));
    }

    /// When the next step is due.
    pub fn due(&self) -> Option<Instant> {
        self.next.as_ref().map(|(_, at)| *at)
    }

    /// Takes the next step, if one is due. Until [`Pass::done`] says how it went, it counts as failed.
    pub fn step(&mut self, now: Instant) -> Option<K> {
        let (after, _) = self.next.take_if(|(_, at)| *at <= now)?;
        self.rests_until = now + AFTER_ERROR;
        Some(after)
    }

    /// The step that began at `start` is over: where to go on, or that this was the last one.
    pub fn done(&mut self, start: Instant, last: Option<K>, rescan: Duration) {
        let now = Instant::now();
        match last {
            Some(last) => self.next = Some((last, now + PAUSES * (now - start))),
            None => self.rests_until = now + REST * rescan,
        }
    }
}

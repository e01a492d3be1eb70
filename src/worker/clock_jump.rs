//! The machine's clock, as far as it can be set while the worker runs.

use std::time::{Duration, Instant, SystemTime};

/// Less than this is how clocks are corrected all the time.
const NOTICED: Duration = Duration::from_secs(1);

/// When the machine's clock was read last, by it and by one that cannot be set.
pub struct ClockJump(Instant, SystemTime);

impl ClockJump {
    pub fn new() -> Self {
        ClockJump(Instant::now(), SystemTime::now())
    }

    /// By how much the clock was set back since this was asked last.
    pub fn set_back(&mut self) -> Option<Duration> {
        let before = std::mem::replace(self, ClockJump::new());
        let expected = before.1.checked_add(self.0.duration_since(before.0))?;
        expected.duration_since(self.1).ok().filter(|back| *back >= NOTICED)
    }
}

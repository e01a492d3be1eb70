//! When to ask a provider again.

use std::time::Duration;

/// The longest pause between two polls of one task.
pub const CAP: Duration = Duration::from_secs(8);
/// The shortest pause: also the first one where the estimate is shorter.
const FLOOR: Duration = Duration::from_millis(200);
const GROWTH: f64 = 1.5;

/// The pauses before the polls of one task: the estimated time first, then half as long again after each
/// miss, capped at [`CAP`], and never shorter than the provider asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    last: Option<Duration>,
    estimate: Duration,
}

impl Schedule {
    /// A schedule for a task that is expected to take `estimate`.
    pub fn new(estimate: Duration) -> Self {
        Schedule { last: None, estimate: estimate.max(FLOOR) }
    }

    /// A schedule whose estimated time is already over: a task found again after a restart is asked at once.
    pub fn overdue() -> Self {
        Schedule { last: Some(Duration::ZERO), estimate: FLOOR }
    }

    /// The pause before the next poll. `after` is what the provider's last answer asked for.
    pub fn next(&mut self, after: Option<Duration>) -> Duration {
        let pause = match self.last {
            None => self.estimate,
            Some(last) if last.is_zero() => FLOOR,
            Some(last) => last.mul_f64(GROWTH).min(CAP),
        };
        self.last = Some(pause);
        pause.max(after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: &mut Schedule, n: usize) -> Vec<f64> {
        (0..n).map(|_| schedule.next(None).as_secs_f64()).collect()
    }

    #[test]
    fn the_first_pause_is_the_estimate_and_later_ones_grow_to_the_cap() {
        // S44, S45, S46
        assert_eq!(seconds(&mut Schedule::new(Duration::from_secs(2)), 5), [2.0, 3.0, 4.5, 6.75, 8.0]);
        assert_eq!(seconds(&mut Schedule::new(Duration::from_secs(9)), 3), [9.0, 8.0, 8.0]);
    }

    #[test]
    fn a_provider_that_asks_for_more_time_gets_it() {
        let mut schedule = Schedule::new(Duration::from_secs(1));
        assert_eq!(schedule.next(Some(Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(schedule.next(None), Duration::from_millis(1500));
    }

    #[test]
    fn a_task_found_again_is_asked_soon() {
        assert_eq!(seconds(&mut Schedule::overdue(), 3), [0.2, 0.3, 0.45]);
    }
}

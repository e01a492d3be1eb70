//! When a submission may start at a provider that takes so many in a minute. What waits follows a rate that changes.

use std::time::{Duration, Instant};

/// So much of a minute's submissions may go out at once; the rest follows at the steady rate.
const BURST: Duration = Duration::from_secs(6);

/// Submissions of a provider, in the order in which they asked.
#[derive(Debug)]
pub struct Rate {
    /// How long each takes of the minute; `None` is no limit.
    each: Option<Duration>,
    /// How many have asked so far.
    asked: u64,
    /// When the bucket of submissions was, or will be, full: when the last one is paid for.
    full_at: Instant,
}

impl Rate {
    /// No limit.
    pub fn new(now: Instant) -> Self {
        Rate { each: None, asked: 0, full_at: now }
    }

    /// Takes the next place; its number.
    pub fn ask(&mut self, now: Instant) -> u64 {
        if let Some(each) = self.each {
            self.full_at = self.full_at.max(now) + each;
        }
        self.asked += 1;
        self.asked
    }

    /// When the submission with this place may start.
    pub fn start(&self, place: u64, now: Instant) -> Instant {
        let Some(each) = self.each else { return now };
        let later = u32::try_from(self.asked.saturating_sub(place)).unwrap_or(u32::MAX);
        let before = each.saturating_mul(later).saturating_add(BURST.max(each));
        self.full_at.checked_sub(before).map_or(now, |start| start.max(now))
    }

    /// Goes on at another rate; true where it is one. What is not paid for yet is paid for at the new one.
    pub fn change(&mut self, requests_per_minute: Option<u32>, now: Instant) -> bool {
        let each = requests_per_minute.map(|rate| Duration::from_secs(60) / rate.max(1));
        if each == self.each {
            return false;
        }
        let unpaid = self.full_at.saturating_duration_since(now);
        self.full_at = match (self.each, each) {
            (Some(old), Some(new)) => now + unpaid.mul_f64(new.as_secs_f64() / old.as_secs_f64()),
            _ => now,
        };
        self.each = each;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of these may start, in seconds from now.
    fn starts(rate: &Rate, places: &[u64], now: Instant) -> Vec<f64> {
        let start = |place: &u64| (rate.start(*place, now) - now).as_secs_f64();
        places.iter().map(|place| (start(place) * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn a_tenth_of_a_minute_goes_out_at_once_and_the_rest_at_a_steady_rate() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert!(rate.change(Some(30), now) && !rate.change(Some(30), now));
        let places: Vec<u64> = (0..6).map(|_| rate.ask(now)).collect();
        assert_eq!(starts(&rate, &places, now), [0.0, 0.0, 0.0, 2.0, 4.0, 6.0]);
        // After a pause there is a burst again, and those of before are where they were.
        let later = now + Duration::from_secs(60);
        let next: Vec<u64> = (0..4).map(|_| rate.ask(later)).collect();
        assert_eq!(starts(&rate, &next, later), [0.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn what_waits_follows_a_rate_that_changes() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        rate.change(Some(1), now);
        let places: Vec<u64> = (0..4).map(|_| rate.ask(now)).collect();
        assert_eq!(starts(&rate, &places, now), [0.0, 60.0, 120.0, 180.0]);
        let soon = now + Duration::from_secs(6);
        assert!(rate.change(Some(10), soon));
        let waited = starts(&rate, &places, soon);
        assert!(waited.iter().all(|start| *start <= 18.0), "{waited:?}");
        assert!(rate.change(Some(1), soon));
        let slow = starts(&rate, &places, soon);
        assert!(slow[3] > 100.0, "{slow:?}");
        assert!(rate.change(None, soon));
        assert_eq!(starts(&rate, &places, soon), [0.0; 4], "no limit any more");
        // A new limit is not about what came before it.
        rate.change(Some(1), soon);
        let next = [rate.ask(soon), rate.ask(soon)];
        assert_eq!(starts(&rate, &next, soon), [0.0, 60.0]);
        assert_eq!(starts(&rate, &places, soon), [0.0; 4]);
    }
}

//! When a submission may start at a provider that takes so many in a minute. What waits follows a rate that changes. Plain numbers, so
//! that several processes can share one; the clock is their owner's, in microseconds.

/// A minute.
const MINUTE: i64 = 60_000_000;
/// So much of a minute's submissions may go out at once; the rest follows at the steady rate.
const BURST: i64 = MINUTE / 10;

/// Submissions of a key, in the order in which they asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// How long each takes of the minute; 0 is no limit.
    each: i64,
    /// How many have asked so far.
    asked: u64,
    /// When the bucket of submissions was, or will be, full: when the last one is paid for.
    full_at: i64,
}

impl Rate {
    /// No limit.
    pub const NEW: Rate = Rate { each: 0, asked: 0, full_at: 0 };

    /// Whether there is no limit.
    pub fn is_unlimited(&self) -> bool {
        self.each == 0
    }

    /// Takes the next place; its number.
    pub fn ask(&mut self, now: i64) -> u64 {
        if self.each > 0 {
            self.full_at = self.full_at.max(now).saturating_add(self.each);
        }
        self.asked += 1;
        self.asked
    }

    /// When the submission with this place may start.
    pub fn start(&self, place: u64, now: i64) -> i64 {
        if self.each == 0 {
            return now;
        }
        let later = i64::try_from(self.asked.saturating_sub(place)).unwrap_or(i64::MAX);
        let before = self.each.saturating_mul(later).saturating_add(BURST.max(self.each));
        self.full_at.saturating_sub(before).max(now)
    }

    /// When one that asked now might start.
    pub fn next_start(&self, now: i64) -> i64 {
        let mut then = *self;
        let place = then.ask(now);
        then.start(place, now)
    }

    /// Goes on at another rate; true where it is one. What is not paid for yet is paid for at the new one.
    pub fn change(&mut self, requests_per_minute: Option<u32>, now: i64) -> bool {
        let each = requests_per_minute.map_or(0, |rate| MINUTE / i64::from(rate.max(1)));
        if each == self.each {
            return false;
        }
        let unpaid = self.full_at.saturating_sub(now).max(0);
        self.full_at = match (self.each, each) {
            (0, _) | (_, 0) => now,
            (old, new) => now.saturating_add((unpaid as f64 * new as f64 / old as f64) as i64),
        };
        self.each = each;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// When each of these may start, in seconds from now.
    fn starts(rate: &Rate, places: &[u64], now: i64) -> Vec<f64> {
        let start = |place: &u64| (rate.start(*place, now) - now) as f64 / SECOND as f64;
        places.iter().map(|place| (start(place) * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn a_tenth_of_a_minute_goes_out_at_once_and_the_rest_at_a_steady_rate() {
        let now = 77 * SECOND;
        let mut rate = Rate::NEW;
        assert!(rate.change(Some(30), now) && !rate.change(Some(30), now));
        let places: Vec<u64> = (0..6).map(|_| rate.ask(now)).collect();
        assert_eq!(starts(&rate, &places, now), [0.0, 0.0, 0.0, 2.0, 4.0, 6.0]);
        assert_eq!(rate.next_start(now), now + 8 * SECOND);
        // After a pause there is a burst again, and those of before are where they were.
        let later = now + 60 * SECOND;
        let next: Vec<u64> = (0..4).map(|_| rate.ask(later)).collect();
        assert_eq!(starts(&rate, &next, later), [0.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn what_waits_follows_a_rate_that_changes() {
        let now = 77 * SECOND;
        let mut rate = Rate::NEW;
        rate.change(Some(1), now);
        let places: Vec<u64> = (0..4).map(|_| rate.ask(now)).collect();
        assert_eq!(starts(&rate, &places, now), [0.0, 60.0, 120.0, 180.0]);
        let soon = now + 6 * SECOND;
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

//! What may be claimed next, and when to look: how far the queue was read, jobs that were put off, turns of tenants. Reads no
//! clock: the moment is an argument.

mod tenants;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use tenants::{Cursor, Tenants};

/// What is known of the queue between two looks at it.
#[derive(Debug)]
pub struct Scheduler {
    /// Every ready job up to here was claimed. New ones have a higher number; what commits late says so itself.
    watermark: i64,
    /// There may be something to claim.
    more: bool,
    tenants: Tenants,
    /// The lowest of the jobs that are due at a moment: going back to it finds the others.
    put_off: BTreeMap<Instant, i64>,
    rescan: Instant,
}

impl Scheduler {
    /// One that has read nothing; it reads everything again at `rescan`.
    pub fn new(rescan: Instant) -> Self {
        Scheduler { watermark: 0, more: true, tenants: Tenants::default(), put_off: BTreeMap::new(), rescan }
    }

    /// From this number on a job may be ready that was passed over.
    pub fn go_back_to(&mut self, seq: i64) {
        self.watermark = self.watermark.min(seq.saturating_sub(1));
        self.tenants.go_back_to(seq);
        self.more = true;
    }

    /// There may be something to claim although no job has become ready: there is room again, or something failed.
    pub fn look_again(&mut self) {
        self.more = true;
    }

    /// A job is ready again at `due`.
    pub fn put_off(&mut self, seq: i64, due: Instant) {
        self.put_off.entry(due).and_modify(|lowest| *lowest = seq.min(*lowest)).or_insert(seq);
    }

    /// What was put off until now is ready.
    pub fn release(&mut self, now: Instant) {
        while let Some(entry) = self.put_off.first_entry().filter(|entry| *entry.key() <= now) {
            let seq = entry.remove();
            self.go_back_to(seq);
        }
    }

    /// Whether it is time to read the whole queue again, which is for what no one has told: the next time is after `interval`.
    pub fn rescan(&mut self, now: Instant, interval: Duration) -> bool {
        if now < self.rescan {
            return false;
        }
        self.rescan = now + interval;
        self.watermark = 0;
        self.more = true;
        true
    }

    /// True when there may be something to claim.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// When to look again, if nothing happens before.
    pub fn due(&self) -> Instant {
        self.put_off.keys().next().map_or(self.rescan, |first| self.rescan.min(*first))
    }

    /// The turns of tenants.
    pub fn tenants(&mut self) -> &mut Tenants {
        &mut self.tenants
    }

    /// Where to claim from: after a number, and where it is crowded by turns of tenants, for which `in_flight` is the role of each
    /// job in flight.
    pub fn claim_from(&mut self, in_flight: impl Iterator<Item = u32>) -> (i64, Option<&[Cursor]>) {
        (self.watermark, self.tenants.for_claim(in_flight))
    }

    /// What a claim of at most `room` jobs has brought, by turns or in the order of the queue.
    pub fn claimed(&mut self, jobs: impl ExactSizeIterator<Item = (u32, i64)>, room: usize, by_turns: bool) {
        let full = jobs.len() == room;
        // What belongs to no turn is found in the order of the queue.
        self.more = full || by_turns;
        self.tenants.crowd(full);
        for (owner, seq) in jobs {
            if by_turns {
                self.tenants.claimed(owner, seq);
            } else {
                self.watermark = self.watermark.max(seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FLOOD: u32 = 16384;
    const OTHER: u32 = 16385;

    /// Claims what is ready of these jobs, as the queue would answer; `room` at a time, until there is no more.
    fn drain(scheduler: &mut Scheduler, ready: &[(u32, i64)], room: usize, now: Instant) -> Vec<i64> {
        let mut claimed: Vec<i64> = vec![];
        while scheduler.has_more() && claimed.len() < 100 {
            let left = |claimed: &[i64]| {
                ready.iter().filter(|(_, seq)| !claimed.contains(seq)).copied().collect::<Vec<_>>()
            };
            if scheduler.tenants().is_due(now) {
                let mut firsts: BTreeMap<u32, i64> = BTreeMap::new();
                for (owner, seq) in left(&claimed) {
                    let first = firsts.entry(owner).or_insert(seq);
                    *first = seq.min(*first);
                }
                scheduler.tenants().seen(firsts.into_iter().collect(), now, Duration::ZERO);
            }
            let (after, cursors) = scheduler.claim_from(std::iter::empty());
            let cursors = cursors.map(<[Cursor]>::to_vec);
            let mut jobs: Vec<(u32, i64)> = match &cursors {
                None => left(&claimed).into_iter().filter(|(_, seq)| *seq > after).collect(),
                Some(cursors) => cursors
                    .iter()
                    .filter_map(|c| {
                        left(&claimed).into_iter().find(|(o, seq)| *o == c.owner && *seq > c.after)
                    })
                    .collect(),
            };
            jobs.truncate(room);
            claimed.extend(jobs.iter().map(|(_, seq)| *seq));
            scheduler.claimed(jobs.into_iter(), room, cursors.is_some());
        }
        claimed
    }

    #[test]
    fn what_commits_late_is_claimed_all_the_same() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(now + SECOND);
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 1), (FLOOD, 3)], 10, now), [1, 3]);
        assert!(!scheduler.has_more());
        // Number 2 was drawn before 3 and is committed after it: its wake-up tells the number.
        scheduler.go_back_to(2);
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 2)], 10, now), [2]);
    }

    #[test]
    fn what_is_put_off_is_claimed_when_it_is_due_and_not_before() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(now + 60 * SECOND);
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 5), (FLOOD, 9)], 10, now), [5, 9]);
        scheduler.put_off(9, now + 2 * SECOND);
        scheduler.put_off(5, now + 2 * SECOND);
        assert_eq!(scheduler.due(), now + 2 * SECOND);
        scheduler.release(now + SECOND);
        assert!(!scheduler.has_more());
        scheduler.release(now + 2 * SECOND);
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 5), (FLOOD, 9)], 10, now), [5, 9]);
        assert_eq!(scheduler.due(), now + 60 * SECOND, "nothing but the rescan is left");
    }

    #[test]
    fn a_rescan_finds_what_no_wake_up_told() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(now + SECOND);
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 7)], 10, now), [7]);
        assert!(!scheduler.rescan(now, 60 * SECOND));
        assert!(scheduler.rescan(now + SECOND, 60 * SECOND));
        assert_eq!(drain(&mut scheduler, &[(FLOOD, 2)], 10, now), [2]);
        assert!(
            !scheduler.rescan(now + 60 * SECOND, 60 * SECOND),
            "the next one is an interval after the last"
        );
    }

    #[test]
    fn a_flood_of_one_role_does_not_keep_out_the_job_of_another() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(now + SECOND);
        let mut ready: Vec<(u32, i64)> = (1..=20).map(|seq| (FLOOD, seq)).collect();
        ready.push((OTHER, 21));
        let order = drain(&mut scheduler, &ready, 2, now);
        assert_eq!(order.len(), 21, "all are claimed: {order:?}");
        let place = order.iter().position(|seq| *seq == 21).unwrap();
        assert!(place < 6, "its turn comes with the first ones, once it is crowded: {order:?}");
    }
}

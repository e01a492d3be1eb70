//! A queue that shares permits out among owners, so that a thousand jobs of one do not keep out the one job of another.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// Which owners `O` have permits, and what waits for one. How many there are is told by those who have them to give.
#[derive(Debug)]
pub struct FairQueue<O, T> {
    /// How many each owner has; an owner with none has no entry.
    owners: HashMap<O, u32>,
    /// What waits, by owner, the first one first.
    waiting: BTreeMap<O, VecDeque<T>>,
}

impl<O, T> Default for FairQueue<O, T> {
    fn default() -> Self {
        FairQueue { owners: HashMap::new(), waiting: BTreeMap::new() }
    }
}

impl<O: Copy + Ord + Hash, T> FairQueue<O, T> {
    /// Joins the queue.
    pub fn line_up(&mut self, owner: O, who: T) {
        self.waiting.entry(owner).or_default().push_back(who);
    }

    /// Takes a permit without waiting for one.
    pub fn admit(&mut self, owner: O) {
        *self.owners.entry(owner).or_default() += 1;
    }

    /// Gives a permit back.
    pub fn leave(&mut self, owner: O) {
        if let Some(count) = self.owners.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
    }

    /// Whether anything waits that has not gone away.
    pub fn waits(&self, has_gone: impl Fn(&T) -> bool) -> bool {
        self.waiting.values().flatten().any(|who| !has_gone(who))
    }

    /// Takes all that wait out of the queue.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.waiting).into_values().flatten()
    }

    /// Admits the next one: of the owner who has the fewest inside, the one who has waited longest.
    /// Those who have gone away meanwhile are forgotten.
    pub fn next(&mut self, has_gone: impl Fn(&T) -> bool) -> Option<(O, T)> {
        loop {
            let inside = |owner: &O| self.owners.get(owner).copied().unwrap_or(0);
            let owner = self.waiting.keys().min_by_key(|owner| inside(owner)).copied()?;
            let who = self.waiting.get_mut(&owner).and_then(VecDeque::pop_front);
            match who {
                Some(who) if !has_gone(&who) => {
                    self.admit(owner);
                    return Some((owner, who));
                }
                Some(_) => {}
                None => drop(self.waiting.remove(&owner)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays(_: &u32) -> bool {
        false
    }

    #[test]
    fn a_flood_leaves_the_others_their_share() {
        // worker failure mode 70
        let mut turns = FairQueue::default();
        (0..1000).for_each(|n| turns.line_up("flood", n));
        let first: Vec<u32> = (0..4).filter_map(|_| turns.next(stays)).map(|(_, n)| n).collect();
        assert_eq!(first, [0, 1, 2, 3], "alone it has all places, in order");
        (5000..5003).for_each(|n| turns.line_up("small", n));
        let mut seen = vec![];
        for _ in 0..6 {
            turns.leave("flood");
            seen.extend(turns.next(stays));
        }
        let small = seen.iter().filter(|(owner, _)| *owner == "small").count();
        assert!(small >= 2, "two of four places are the other's as soon as they are free: {seen:?}");
        assert_eq!(seen[0].0, "small");
    }

    #[test]
    fn who_has_gone_is_passed_over_and_none_is_owed_what_it_gave_back() {
        let mut turns = FairQueue::default();
        turns.admit("a");
        turns.admit("a");
        turns.leave("nobody");
        turns.line_up("a", 1);
        turns.line_up("a", 2);
        turns.line_up("b", 3);
        assert!(turns.waits(stays));
        assert_eq!(turns.next(stays), Some(("b", 3)), "who has fewer comes first");
        assert_eq!(turns.next(|n| *n == 1), Some(("a", 2)), "who has gone is passed over");
        assert!(turns.next(stays).is_none() && !turns.waits(stays));
    }

    #[test]
    fn all_that_wait_can_be_sent_away() {
        let mut turns = FairQueue::default();
        (0..3).for_each(|n| turns.line_up(n % 2, n));
        let mut sent: Vec<u32> = turns.drain().collect();
        sent.sort_unstable();
        assert_eq!(sent, [0, 1, 2]);
        assert!(turns.next(stays).is_none());
    }
}

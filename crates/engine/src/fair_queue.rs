//! A queue that shares permits out among owners, so that a thousand jobs of one do not keep out the one job of another.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// Permits, which owners `O` have them, and what waits for one.
#[derive(Debug)]
pub struct FairQueue<O, T> {
    /// How many permits there are; `None` is no limit.
    pub limit: Option<u32>,
    inside: u32,
    /// How many each owner has; an owner with none has no entry.
    owners: HashMap<O, u32>,
    /// What waits, by owner, the first one first.
    waiting: BTreeMap<O, VecDeque<T>>,
}

impl<O, T> Default for FairQueue<O, T> {
    fn default() -> Self {
        FairQueue { limit: None, inside: 0, owners: HashMap::new(), waiting: BTreeMap::new() }
    }
}

impl<O: Copy + Ord + Hash, T> FairQueue<O, T> {
    /// Joins the queue.
    pub fn line_up(&mut self, owner: O, who: T) {
        self.waiting.entry(owner).or_default().push_back(who);
    }

    /// Takes a permit without waiting for one, beyond the limit if need be.
    pub fn admit(&mut self, owner: O) {
        self.inside += 1;
        *self.owners.entry(owner).or_default() += 1;
    }

    /// Gives a permit back.
    pub fn leave(&mut self, owner: O) {
        if let Some(count) = self.owners.get_mut(&owner) {
            self.inside -= 1;
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
    }

    /// Admits the next one where there is room: of the owner who has the fewest inside, the one who has waited longest.
    /// Those who have gone away meanwhile are forgotten.
    pub fn next(&mut self, has_gone: impl Fn(&T) -> bool) -> Option<(O, T)> {
        if self.limit.is_some_and(|limit| self.inside >= limit) {
            return None;
        }
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
        let mut turns = FairQueue { limit: Some(4), ..FairQueue::default() };
        (0..1000).for_each(|n| turns.line_up("flood", n));
        let first: Vec<u32> = std::iter::from_fn(|| turns.next(stays)).map(|(_, n)| n).collect();
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
    fn places_are_counted_whichever_tenant_comes_and_goes() {
        let mut turns = FairQueue { limit: Some(2), ..FairQueue::default() };
        turns.admit("resumed");
        turns.admit("resumed");
        turns.admit("resumed");
        turns.line_up("a", 1);
        assert!(turns.next(stays).is_none(), "more are inside than there are places");
        turns.leave("resumed");
        assert!(turns.next(stays).is_none());
        turns.leave("resumed");
        assert_eq!(turns.next(stays), Some(("a", 1)));
        turns.leave("nobody");
        turns.limit = None;
        turns.line_up("a", 2);
        turns.line_up("a", 3);
        assert_eq!(turns.next(|n| *n == 2), Some(("a", 3)), "who has gone is passed over");
        assert!(turns.next(stays).is_none());
    }
}

//! Requests that the egress filter has turned away, folded: whoever can make a server ask for addresses can do so as often as he
//! likes, and what is written down of it must not grow with that.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::egress::Destination;

/// At most once in so long are denials handed out.
pub const FOLDED_FOR: Duration = Duration::from_secs(60);
/// So many targets are named each time; the others are counted together.
const NAMED: usize = 16;
/// The longest name of a target, in characters.
const LONGEST: usize = 255;

/// Requests to one target that were turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What they were for.
    pub destination: Destination,
    /// Host and port; `None` is all further targets together.
    pub target: Option<String>,
    /// How many.
    pub times: u64,
}

/// Those that were not handed out yet.
#[derive(Debug, Default)]
pub struct Denials(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    handed_out: Option<Instant>,
    named: BTreeMap<(Destination, String), u64>,
    others: BTreeMap<Destination, u64>,
}

impl Denials {
    /// A request was turned away.
    pub fn note(&self, destination: Destination, target: &str) {
        let mut state = self.state();
        let target: String = target.chars().take(LONGEST).collect();
        let room = state.named.len() < NAMED;
        let key = (destination, target);
        match state.named.get_mut(&key) {
            Some(times) => *times += 1,
            None if room => drop(state.named.insert(key, 1)),
            None => *state.others.entry(destination).or_default() += 1,
        }
    }

    /// When there is something to hand out; `None` while there is nothing.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        (!state.named.is_empty()).then(|| state.handed_out.map_or(now, |at| at + FOLDED_FOR))
    }

    /// Hands out what there is, where it is time for that. The first is not waited with.
    pub fn take(&self, now: Instant) -> Vec<Denied> {
        if self.due(now).is_none_or(|due| due > now) {
            return vec![];
        }
        let mut state = self.state();
        state.handed_out = Some(now);
        let named = std::mem::take(&mut state.named).into_iter();
        let others = std::mem::take(&mut state.others).into_iter();
        let named =
            named.map(|((destination, target), times)| Denied { destination, target: Some(target), times });
        named.chain(others.map(|(destination, times)| Denied { destination, target: None, times })).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_denial_is_told_at_once_and_a_million_more_once_a_minute() {
        let (denials, start) = (Denials::default(), Instant::now());
        assert_eq!(denials.due(start), None);
        denials.note(Destination::Image, "10.0.0.1:80");
        let one =
            |times| Denied { destination: Destination::Image, target: Some("10.0.0.1:80".to_owned()), times };
        assert_eq!(denials.take(start), [one(1)]);
        for _ in 0..1_000_000 {
            denials.note(Destination::Image, "10.0.0.1:80");
        }
        assert_eq!(denials.take(start + FOLDED_FOR - Duration::from_millis(1)), []);
        assert_eq!(denials.due(start), Some(start + FOLDED_FOR));
        assert_eq!(denials.take(start + FOLDED_FOR), [one(1_000_000)]);
        assert_eq!((denials.due(start), denials.take(start + 3 * FOLDED_FOR)), (None, vec![]));
    }

    #[test]
    fn ever_new_targets_take_neither_memory_nor_rows_and_are_counted() {
        let (denials, start) = (Denials::default(), Instant::now());
        for n in 0..10_000 {
            denials.note(Destination::Webhook, &format!("{n}.{}.example:443", "x".repeat(1000)));
        }
        let told = denials.take(start);
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told.iter().map(|denied| denied.times).sum::<u64>(), 10_000);
        assert!(told.iter().filter_map(|d| d.target.as_ref()).all(|t| t.chars().count() <= LONGEST));
    }
}

//! The ledger: every request, and what it would have cost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::material::Material;
use crate::world::Account;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Asks for images.
    Submit,
    /// Asks how a task is doing.
    Poll,
    /// Fetches an image.
    Picture,
    /// Calls a task off.
    Cancel,
    /// Asks what is left on the account.
    Balance,
    /// Anything else.
    Other,
}

/// One request.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// Counts up from 1, also across resets.
    pub n: u64,
    /// Unix microseconds when the headers had arrived.
    pub at_us: u64,
    /// Unix microseconds when the answer began, or the connection was closed; `null` while neither.
    pub done_us: Option<u64>,
    /// Whom it was sent to; `null` for a path of no provider.
    pub provider: Option<&'static str>,
    /// Which key came with it: the first eight digits of its SHA-256; empty without one.
    pub account: Box<str>,
    /// What it is for.
    pub phase: Phase,
    /// HTTP method.
    pub method: String,
    /// Path and query, signatures and keys as `***`.
    pub path: String,
    /// Headers, keys as `***`.
    pub headers: Box<RawValue>,
    /// The JSON received, long strings cut; a form as an object.
    pub body: Option<Box<RawValue>>,
    /// The images that came with it, where the provider looked at them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Material>,
    /// The prompt, of the task where there is one.
    pub prompt: Option<Box<str>>,
    /// The model, of the task where there is one.
    pub model: Option<Box<str>>,
    /// The seed drawn with, as far as known.
    pub seed: Option<u64>,
    /// The provider's id of the task.
    pub remote_id: Option<Box<str>>,
    /// The HTTP status sent, if one was.
    pub status: Option<u16>,
    /// `accepted`, `refused`, `rejected`, `pending`, `ready`, `failed`, `not_found`, `delivered`, `answered` or `fault:` and its kind.
    pub outcome: &'static str,
    /// Whether the provider took the request on.
    pub accepted: bool,
    /// Whether the safety filter withholds the image. Counted at the submission.
    pub refused: bool,
    /// What it cost, in USD.
    pub billed: Option<Decimal>,
    /// How many images of this provider were being drawn with this key, this one included.
    pub in_flight: usize,
    /// The scripted fault that struck.
    pub fault: Option<&'static str>,
    /// The rule it came from.
    pub rule: Option<u64>,
}

/// Counts of requests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those that ask for images.
    pub submits: u64,
    /// Submissions taken on.
    pub accepted: u64,
    /// Submissions whose image the safety filter withholds.
    pub refused: u64,
    /// Requests turned down as invalid, unauthorised or too many.
    pub rejected: u64,
    /// Requests struck by a rule.
    pub faults: u64,
    /// Questions after a task.
    pub polls: u64,
    /// Images fetched.
    pub pictures: u64,
    /// What it all cost, in USD.
    pub billed: Decimal,
    /// How many submissions cost something.
    pub billed_calls: u64,
    /// The most images that were being drawn at once with one key.
    pub peak_in_flight: usize,
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        self.requests += 1;
        self.submits += u64::from(entry.phase == Phase::Submit);
        self.polls += u64::from(entry.phase == Phase::Poll);
        self.pictures += u64::from(entry.phase == Phase::Picture);
        self.accepted += u64::from(entry.accepted);
        self.refused += u64::from(entry.refused);
        self.rejected += u64::from(entry.outcome == "rejected");
        self.faults += u64::from(entry.fault.is_some());
        if let Some(billed) = entry.billed {
            self.billed = (self.billed + billed).normalize();
            self.billed_calls += 1;
        }
        self.peak_in_flight = self.peak_in_flight.max(entry.in_flight);
    }
}

/// Counts over everything since the last reset, also over requests that are no longer remembered one by one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// All providers together. Its peak is that of the busiest provider.
    #[serde(flatten)]
    pub all: Tally,
    /// One by one.
    pub by_provider: BTreeMap<&'static str, Tally>,
}

/// Which entries to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub provider: Option<String>,
    pub phase: Option<Phase>,
    /// Only entries with a greater `n`.
    pub since: u64,
}

impl Wanted {
    fn wants(&self, entry: &Entry) -> bool {
        self.provider.as_deref().is_none_or(|p| entry.provider == Some(p))
            && self.phase.is_none_or(|p| p == entry.phase)
    }
}

/// The newest entries, and totals over all.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    last: u64,
    totals: Totals,
    /// What each provider's accounts were billed.
    billed: HashMap<(&'static str, Box<str>), Decimal>,
}

impl Ledger {
    /// Books a request and gives its number.
    pub(crate) fn open(&mut self, mut entry: Entry, limit: usize) -> u64 {
        self.last += 1;
        entry.n = self.last;
        self.totals.all.count(&entry);
        if let Some(provider) = entry.provider {
            self.totals.by_provider.entry(provider).or_default().count(&entry);
            if let Some(billed) = entry.billed {
                *self.billed.entry((provider, entry.account.clone())).or_default() += billed;
            }
        }
        self.entries.push_back(entry);
        while self.entries.len() > limit {
            self.entries.pop_front();
        }
        self.last
    }

    /// Notes how request `n` was answered, if it is still remembered.
    pub(crate) fn close(&mut self, n: u64, status: Option<u16>, done_us: u64) {
        let at = self.index_after(n.saturating_sub(1));
        if let Some(entry) = self.entries.get_mut(at).filter(|e| e.n == n) {
            entry.status = status;
            entry.done_us = Some(done_us);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.totals = Totals::default();
        self.billed.clear();
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    pub(crate) fn billed_by(&self, (provider, key): Account<'_>) -> Decimal {
        self.billed.get(&(provider, key.into())).copied().unwrap_or_default()
    }

    /// Up to `most` entries as JSON texts, and the number to go on after; `None` in its place at the end.
    pub(crate) fn page(&self, wanted: &Wanted, most: usize) -> (Vec<String>, Option<u64>) {
        let from = self.index_after(wanted.since);
        let mut texts = Vec::new();
        for entry in self.entries.iter().skip(from).filter(|e| wanted.wants(e)) {
            texts.extend(serde_json::to_string(entry));
            if texts.len() == most {
                return (texts, Some(entry.n));
            }
        }
        (texts, None)
    }

    /// Entries are numbered without gaps, so the place follows from the number.
    fn index_after(&self, n: u64) -> usize {
        let first = self.last + 1 - self.entries.len() as u64;
        usize::try_from((n + 1).saturating_sub(first)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn entry(provider: &'static str, phase: Phase, billed: Option<Decimal>) -> Entry {
        Entry {
            n: 0,
            at_us: 1,
            done_us: None,
            provider: Some(provider),
            account: "".into(),
            phase,
            method: "POST".into(),
            path: "/".into(),
            headers: RawValue::from_string("{}".into()).unwrap(),
            body: None,
            inputs: Vec::new(),
            prompt: None,
            model: None,
            seed: None,
            remote_id: None,
            status: None,
            outcome: "accepted",
            accepted: phase == Phase::Submit,
            refused: false,
            billed,
            in_flight: 1,
            fault: None,
            rule: None,
        }
    }

    #[test]
    fn totals_stay_exact_when_entries_are_forgotten() {
        let mut ledger = Ledger::default();
        for _ in 0..1000 {
            ledger.open(entry("bfl", Phase::Submit, Some(Decimal::new(4, 2))), 10);
            ledger.open(entry("openai", Phase::Submit, Some(Decimal::new(5925, 6))), 10);
            ledger.open(entry("bfl", Phase::Poll, None), 10);
        }
        let totals = ledger.totals();
        assert_eq!(totals.all.billed.to_string(), "45.925");
        assert_eq!((totals.all.billed_calls, totals.all.requests, totals.all.polls), (2000, 3000, 1000));
        assert_eq!(ledger.billed_by(("bfl", "")).normalize().to_string(), "40");
        assert_eq!(ledger.page(&Wanted::default(), 100).0.len(), 10);
    }

    #[test]
    fn paging_shows_every_wanted_entry_once() {
        let mut ledger = Ledger::default();
        for n in 0..25 {
            ledger.open(entry(if n % 5 == 0 { "openai" } else { "bfl" }, Phase::Submit, None), 20);
        }
        let mut wanted = Wanted { provider: Some("bfl".into()), ..Wanted::default() };
        let mut seen = Vec::new();
        loop {
            let (texts, next) = ledger.page(&wanted, 7);
            seen.extend(texts);
            let Some(next) = next else { break };
            wanted.since = next;
        }
        assert_eq!(seen.len(), 16);
        ledger.close(25, Some(200), 9);
        assert!(ledger.page(&Wanted { since: 24, ..Wanted::default() }, 9).0[0].contains(r#""status":200"#));
        ledger.close(1, Some(200), 9); // forgotten: no harm
    }

    #[test]
    fn numbers_go_on_after_a_reset_so_that_late_answers_hit_nothing() {
        let mut ledger = Ledger::default();
        let old = ledger.open(entry("bfl", Phase::Submit, None), 10);
        ledger.clear();
        let new = ledger.open(entry("bfl", Phase::Submit, None), 10);
        ledger.close(old, Some(500), 9);
        assert!(new > old && ledger.page(&Wanted::default(), 9).0[0].contains(r#""status":null"#));
    }
}

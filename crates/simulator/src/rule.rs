//! The script: which requests go wrong, how, and how often.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::call::account_of;
use crate::fault::Fault;
use crate::ledger::Phase;
use crate::provider::Intent;

/// A fault and the requests it strikes. Every condition that is absent holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only this provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// Only requests of this kind; `any` is the same as absent.
    #[serde(default, deserialize_with = "phase_or_any")]
    pub phase: Option<Phase>,
    /// Only prompts with this text in them, whatever its case. Polls and images count by their task's prompt.
    #[serde(default)]
    pub prompt_contains: Option<String>,
    /// Only requests with this key.
    #[serde(default)]
    pub key: Option<String>,
    /// Only this model, by the provider's name for it.
    #[serde(default)]
    pub model: Option<String>,
    /// Lets the first so many matching requests pass.
    #[serde(default)]
    pub skip: u64,
    /// Strikes so many times, then never again. Absent: for ever.
    #[serde(default)]
    pub times: Option<u64>,
    /// What goes wrong.
    #[serde(deserialize_with = "fault_or_name")]
    pub fault: Fault,
}

impl Rule {
    /// A rule that strikes every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            provider: None,
            phase: None,
            prompt_contains: None,
            key: None,
            model: None,
            skip: 0,
            times: None,
            fault,
        }
    }

    fn matches(&self, provider: &str, account: &str, intent: &Intent) -> bool {
        let prompt = || intent.prompt.as_deref().unwrap_or_default().to_lowercase();
        self.provider.as_deref().is_none_or(|p| p == provider)
            && self.phase.is_none_or(|p| p == intent.phase)
            && self.key.as_deref().is_none_or(|key| account_of(key) == account)
            && self.model.as_deref().is_none_or(|m| Some(m) == intent.model.as_deref())
            && self.prompt_contains.as_ref().is_none_or(|text| prompt().contains(&text.to_lowercase()))
    }
}

#[derive(Debug)]
struct Listed {
    id: u64,
    rule: Rule,
    seen: u64,
    fired: u64,
}

/// All rules, oldest first. The first that matches and is neither skipping nor used up strikes.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    rules: Vec<Listed>,
    next: u64,
}

impl RuleBook {
    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.next += 1;
        self.rules.push(Listed { id: self.next, rule, seen: 0, fired: 0 });
        self.next
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|r| r.id != id);
        self.rules.len() < before
    }

    pub(crate) fn pick(&mut self, provider: &str, account: &str, intent: &Intent) -> Option<(u64, Fault)> {
        for listed in self.rules.iter_mut().filter(|l| l.rule.matches(provider, account, intent)) {
            listed.seen += 1;
            if listed.seen > listed.rule.skip && listed.rule.times.is_none_or(|times| listed.fired < times) {
                listed.fired += 1;
                return Some((listed.id, listed.rule.fault.clone()));
            }
        }
        None
    }

    pub(crate) fn to_json(&self) -> Value {
        let all = self.rules.iter().map(|listed| {
            let mut value = json!(listed.rule);
            value["id"] = json!(listed.id);
            value["seen"] = json!(listed.seen);
            value["fired"] = json!(listed.fired);
            value
        });
        json!({ "rules": all.collect::<Vec<_>>() })
    }
}

fn phase_or_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Phase>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("any") => Ok(None),
        Some(name) => serde_json::from_value(json!(name)).map(Some).map_err(serde::de::Error::custom),
    }
}

fn fault_or_name<'de, D: Deserializer<'de>>(from: D) -> Result<Fault, D::Error> {
    let value = match Value::deserialize(from)? {
        Value::String(kind) => json!({ "kind": kind }),
        other => other,
    };
    serde_json::from_value(value).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(prompt: &str) -> Intent {
        Intent { prompt: Some(prompt.into()), model: Some("m".into()), ..Intent::of(Phase::Submit) }
    }

    #[test]
    fn a_rule_skips_then_strikes_then_is_used_up() {
        let mut book = RuleBook::default();
        book.add(serde_json::from_value(json!({"skip": 1, "times": 2, "fault": "hang"})).unwrap());
        let struck: Vec<_> = (0..5).map(|_| book.pick("bfl", "", &submit("a")).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert_eq!(book.to_json()["rules"][0]["seen"], 5);
        assert_eq!(book.to_json()["rules"][0]["fired"], 2);
    }

    #[test]
    fn every_condition_must_hold_and_the_first_rule_wins() {
        let mut book = RuleBook::default();
        for rule in [
            json!({"provider": "openai", "fault": "hang"}),
            json!({"phase": "poll", "fault": "hang"}),
            json!({"model": "other", "fault": "hang"}),
            json!({"prompt_contains": "CAT", "fault": {"kind": "garbage"}}),
            json!({"phase": "any", "fault": "empty"}),
        ] {
            book.add(serde_json::from_value(rule).unwrap());
        }
        assert_eq!(book.pick("bfl", "", &submit("a cat")), Some((4, Fault::Garbage)));
        assert_eq!(book.pick("bfl", "", &submit("a dog")), Some((5, Fault::Empty)));
    }

    #[test]
    fn a_misspelt_rule_is_refused() {
        for rule in
            [json!({"fault": "hangs"}), json!({"fautl": "hang"}), json!({"phase": "x", "fault": "hang"})]
        {
            assert!(serde_json::from_value::<Rule>(rule.clone()).is_err(), "{rule}");
        }
    }
}

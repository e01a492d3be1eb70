//! Rules for what may be in an image: words of a prompt that block a job, send it to a person, or are warned of, before any call.
//!
//! Patterns are regular expressions without back references and look-around, so that the time that one takes grows with the text
//! alone, whoever writes either.

use regex::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

use crate::job::{Invalid, Warning};

/// What follows where a rule applies: of several the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The caller is told.
    Warn,
    /// A person must approve the image before it is final.
    Approve,
    /// A person decides before anything is sent.
    Review,
    /// The job is refused.
    Block,
}

/// A row of `image_gen.policy_rules`.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    #[serde(default)]
    position: i32,
    /// Its name.
    pub rule: String,
    /// What it is about.
    pub class: String,
    pattern: String,
    /// What follows.
    pub action: Action,
    /// What is said.
    pub message: String,
}

/// All rules of a database.
#[derive(Clone, Debug, Default)]
pub struct ContentRules {
    set: RegexSet,
    rules: Vec<Rule>,
}

/// The longest pattern, in characters.
pub const MAX_PATTERN: usize = 2000;
/// What one pattern may take when it is compiled, in bytes.
const SIZE: usize = 1 << 20;
/// Groups in groups.
const NESTING: u32 = 30;

fn builder<'a>(patterns: impl Iterator<Item = &'a str>, count: usize) -> RegexSetBuilder {
    let mut builder = RegexSetBuilder::new(patterns);
    builder.case_insensitive(true).nest_limit(NESTING).size_limit(SIZE * count.max(1));
    builder
}

/// An error for a pattern that cannot be used.
pub fn check_pattern(pattern: &str) -> Result<(), Invalid> {
    let hint = "Write a regular expression without back references and look-around, such as \\bpassport (photo|scan)s?\\b.";
    if pattern.is_empty() || pattern.chars().count() > MAX_PATTERN {
        return Err(Invalid::new(format!("a pattern has 1 to {MAX_PATTERN} characters"), hint));
    }
    let set = builder([pattern].into_iter(), 1).build();
    let set = set.map_err(|e| {
        let why = e.to_string();
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Invalid::new(format!("the pattern cannot be used: {last}"), hint)
    })?;
    match set.is_match("") {
        true => Err(Invalid::new("the pattern matches everything", hint)),
        false => Ok(()),
    }
}

/// A text without what cannot be seen: it must not hide a word.
fn visible(text: &str) -> String {
    let hidden = |c: &char| matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().filter(|c| !hidden(c)).collect()
}

impl ContentRules {
    /// Those of some rows, each of which can be used (see [`check_pattern`]).
    ///
    /// # Errors
    /// One cannot.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, String> {
        rules.sort_by_key(|rule| rule.position);
        let set = builder(rules.iter().map(|rule| rule.pattern.as_str()), rules.len()).build();
        let set = set.map_err(|e| format!("the patterns of image_gen.policy_rules cannot be used: {e}"))?;
        Ok(ContentRules { set, rules })
    }

    /// Where the rows cannot be used together, all is stopped until that is mended: what they forbid is not known.
    pub fn closed(why: String) -> Self {
        let rule = Rule {
            position: 0,
            rule: "policy_rules".into(),
            class: "unusable rules".into(),
            pattern: String::new(),
            action: Action::Block,
            message: why,
        };
        // The empty pattern is in every text.
        let set = RegexSet::new([""]).unwrap_or_default();
        ContentRules { set, rules: vec![rule] }
    }

    /// The rules that apply to a text, in their order.
    pub fn apply(&self, text: &str) -> Vec<&Rule> {
        if self.rules.is_empty() {
            return vec![];
        }
        self.set.matches(&visible(text)).into_iter().filter_map(|at| self.rules.get(at)).collect()
    }

    /// The gravest rule that keeps a text from being sent: one that blocks, or one that wants a person first, unless one has
    /// `cleared` it.
    pub fn stops(&self, text: &str, cleared: bool) -> Option<&Rule> {
        let least = if cleared { Action::Block } else { Action::Review };
        let stopping = self.apply(text).into_iter().filter(|rule| rule.action >= least);
        // Of equal ones the first.
        stopping.reduce(|a, b| if b.action > a.action { b } else { a })
    }
}

impl Rule {
    /// What is said of a prompt that it stops.
    pub fn says(&self) -> String {
        format!("rule '{}' ({}): {}", self.rule, self.class, self.message)
    }

    /// What a caller is told of a job that is queued.
    pub fn warning(&self) -> Warning {
        match self.action {
            Action::Approve => {
                Warning::new(Warning::APPROVAL, format!("a person must approve the image: {}", self.says()))
            }
            Action::Review => {
                Warning::new("content_review", format!("a person decides before it is sent: {}", self.says()))
            }
            Action::Warn | Action::Block => Warning::new("content_policy", self.says()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(rows: &[(&str, &str)]) -> ContentRules {
        let rule = |(n, (pattern, action)): (usize, &(&str, &str))| {
            serde_json::from_value(json!({
                "position": n, "rule": pattern, "class": "test", "pattern": pattern, "action": action, "message": "no"
            }))
            .unwrap()
        };
        ContentRules::new(rows.iter().enumerate().map(rule).collect()).unwrap()
    }

    #[test]
    fn the_gravest_rule_that_applies_decides() {
        let rules =
            rules(&[(r"\bpassports?\b", "warn"), (r"\bscans?\b", "review"), (r"\bforged\b", "block")]);
        assert!(rules.apply("a kettle").is_empty());
        assert!(rules.stops("a PASSPORT", false).is_none());
        assert_eq!(rules.apply("a passport").len(), 1);
        assert_eq!(rules.stops("a passport scan", false).unwrap().action, Action::Review);
        assert_eq!(rules.stops("a scan of a forged passport", false).unwrap().action, Action::Block);
        assert!(rules.stops("scanner", false).is_none());
        // A person's word is enough for what asks for a person, and no more.
        assert!(rules.stops("a passport scan", true).is_none());
        assert!(rules.stops("a forged passport", true).is_some());
    }

    #[test]
    fn rules_that_cannot_be_used_stop_everything_and_say_so() {
        let rule = json!({"rule": "old", "class": "test", "pattern": "(", "action": "warn", "message": "no"});
        let rules = ContentRules::new(vec![serde_json::from_value(rule).unwrap()]);
        let closed = rules.unwrap_or_else(ContentRules::closed);
        for text in ["", "a kettle"] {
            assert!(closed.stops(text, true).unwrap().says().contains("cannot be used"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_hides_no_word() {
        let rules = rules(&[("forged", "block")]);
        for hidden in ["for\u{200b}ged", "f\u{ad}orged", "forg\u{2060}ed", "FORGED", "\u{feff}forged"] {
            assert!(rules.stops(hidden, false).is_some(), "{hidden:?}");
        }
    }

    #[test]
    fn a_pattern_is_bounded_whoever_writes_it() {
        for good in [r"\bx-?rays?\b", "(?-i)ACME", r"p{1,100}"] {
            assert!(check_pattern(good).is_ok(), "{good}");
        }
        let nested = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        for bad in
            ["", "(", "a*", r"(a)\1", "(?=a)", r"(((\w{100}){100}){100}){100}", &nested, &"x".repeat(3000)]
        {
            let invalid = check_pattern(bad).unwrap_err();
            assert!(!invalid.hint.is_empty() && invalid.message.len() < 300, "{invalid:?}");
        }
        // What brings other engines to a halt takes this one as long as the text is.
        let rules = rules(&[(r"(a+)+$", "block"), (r"(x+x+)+y", "block")]);
        assert!(rules.stops(&format!("{}b", "a".repeat(32_000)), false).is_none());
        assert!(rules.stops(&"x".repeat(32_000), false).is_none());
    }
}

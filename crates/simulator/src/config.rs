//! What the simulator can be told, at start or while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Stage;

/// Everything that `PUT /_sim/config` can change. A change is a JSON merge patch: absent keys stay, `null` means the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an image takes, unless `render_seconds_by` says otherwise.
    pub render_seconds: f64,
    /// How long an image takes at `"provider"` or `"provider/model"`; the longer name wins.
    pub render_seconds_by: BTreeMap<String, f64>,
    /// Words and phrases that the safety filter refuses, whatever their case.
    pub refusal_words: Vec<String>,
    /// When the filter refuses: before or after drawing.
    pub refusal_stage: Stage,
    /// Share of prompts, 0 to 1, refused besides those with a refused word. The same seed and prompt always fare the same.
    pub refusal_rate: f64,
    /// Feeds every choice that would be random at a real provider.
    pub seed: u64,
    /// Whether a submission is answered with its price, where the provider can do that.
    pub cost_in_response: bool,
    /// The keys that are let in. Empty: any key but an empty one.
    pub keys: Vec<String>,
    /// How many tasks may be rendering at once before a submission gets a 429. `null`: no limit.
    pub active_task_limit: Option<usize>,
    /// What each provider's account held at the start, in USD. `null`: the account never runs dry. More than before is a top-up.
    pub balance: Option<Decimal>,
    /// The same for single providers, by their names; these win.
    pub balance_by: BTreeMap<String, Decimal>,
    /// The keys that may ask for an account's balance where the provider wants an administrator's key for that. Empty: all that
    /// are let in.
    pub admin_keys: Vec<String>,
    /// How long a signed image URL stays good.
    pub picture_seconds: f64,
    /// How many requests the ledger remembers one by one. Its totals count all of them.
    pub ledger_limit: usize,
    /// How many tasks are remembered; the oldest is forgotten first.
    pub task_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        let words = ["eyes closed", "anatomy", "bare skin", "nude"];
        Self {
            render_seconds: 0.2,
            render_seconds_by: BTreeMap::new(),
            refusal_words: words.map(String::from).to_vec(),
            refusal_stage: Stage::Content,
            refusal_rate: 0.0,
            seed: 0,
            cost_in_response: true,
            keys: Vec::new(),
            active_task_limit: None,
            balance: None,
            balance_by: BTreeMap::new(),
            admin_keys: Vec::new(),
            picture_seconds: 600.0,
            ledger_limit: 1_000_000,
            task_limit: 200_000,
        }
    }
}

impl Config {
    /// This configuration with `patch` laid over it (RFC 7396).
    pub fn merged(&self, patch: &Value) -> Result<Self, BadConfig> {
        let mut whole = serde_json::to_value(self).map_err(|e| BadConfig(e.to_string()))?;
        merge(&mut whole, patch);
        let config: Self = serde_json::from_value(whole).map_err(|e| BadConfig(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), BadConfig> {
        let times = self.render_seconds_by.values().chain([&self.render_seconds, &self.picture_seconds]);
        for seconds in times {
            if !seconds.is_finite() || *seconds < 0.0 {
                return Err(BadConfig(format!("{seconds} is not a number of seconds")));
            }
        }
        let money = self.balance_by.values().chain(&self.balance);
        if let Some(debt) = money.into_iter().find(|amount| amount.is_sign_negative()) {
            return Err(BadConfig(format!("a balance of {debt} is below zero")));
        }
        if !(0.0..=1.0).contains(&self.refusal_rate) {
            return Err(BadConfig("refusal_rate is not between 0 and 1".into()));
        }
        Ok(())
    }

    /// How long `model` of `provider` takes to draw.
    pub fn render_time(&self, provider: &str, model: &str) -> Duration {
        let by = &self.render_seconds_by;
        let seconds = by.get(&format!("{provider}/{model}")).or_else(|| by.get(provider));
        duration(*seconds.unwrap_or(&self.render_seconds))
    }

    /// What the account of `provider` held at the start; `None` if it never runs dry.
    pub fn balance_of(&self, provider: &str) -> Option<Decimal> {
        self.balance_by.get(provider).copied().or(self.balance)
    }

    /// Whether this key may see what only an administrator may see.
    pub fn administers(&self, key: &str) -> bool {
        self.admits(key) && (self.admin_keys.is_empty() || self.admin_keys.iter().any(|k| k == key))
    }

    /// Whether a request with this key is let in.
    pub fn admits(&self, key: &str) -> bool {
        !key.is_empty() && (self.keys.is_empty() || self.keys.iter().any(|k| k == key))
    }
}

/// A configuration that makes no sense, and why.
#[derive(Debug)]
pub struct BadConfig(String);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadConfig {}

/// `seconds` as a duration between nothing and a year, whatever was written.
pub(crate) fn duration(seconds: f64) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(YEAR).min(YEAR)
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_leaves_the_rest_alone_and_null_restores_the_default() {
        let config =
            Config::default().merged(&json!({"render_seconds": 3, "active_task_limit": 24})).unwrap();
        assert_eq!((config.render_seconds, config.active_task_limit, config.seed), (3.0, Some(24), 0));
        let config = config.merged(&json!({"render_seconds": null, "active_task_limit": null})).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn nonsense_is_refused() {
        for patch in [
            json!({"rendr_seconds": 1}),
            json!({"refusal_rate": 2}),
            json!({"render_seconds": -1}),
            json!(7),
            json!({"balance_by": {"bfl": "-1"}}),
        ] {
            assert!(Config::default().merged(&patch).is_err(), "{patch}");
        }
    }

    #[test]
    fn the_longer_name_decides_the_render_time() {
        let patch = json!({"render_seconds_by": {"bfl": 2, "bfl/flux-2-pro": 5}});
        let config = Config::default().merged(&patch).unwrap();
        let secs = |p, m| config.render_time(p, m).as_secs_f64();
        assert_eq!((secs("bfl", "flux-2-pro"), secs("bfl", "x"), secs("openai", "x")), (5.0, 2.0, 0.2));
    }
}

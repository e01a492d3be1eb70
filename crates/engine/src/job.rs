//! What was asked, checked once at the border.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::seed::MAX_SEED;

/// What a job does to pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// New pictures from a prompt.
    Generate,
    /// Change a picture: img2img, inpaint or outpaint.
    Edit,
    /// The same picture, larger.
    Upscale,
    /// Pictures like a given one.
    Variate,
    /// A picture in the style of another.
    TransferStyle,
}

/// What a caller asked for, in the wide types of SQL, not yet checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// What should be in the picture.
    pub prompt: Option<String>,
    /// What should not be in it.
    pub negative_prompt: Option<String>,
    /// Pixels.
    pub width: Option<i64>,
    /// Pixels.
    pub height: Option<i64>,
    /// `W:H`, used where no width and height are given.
    pub aspect_ratio: Option<String>,
    /// 0..=2147483647.
    pub seed: Option<i64>,
    /// How closely to follow the prompt; the range depends on the model.
    pub guidance: Option<f64>,
    /// Diffusion steps; the range depends on the model.
    pub steps: Option<i64>,
    /// How many pictures.
    pub n: Option<i64>,
    /// `draft`, `low`, `standard`, `medium`, `high`, `hd` …: mapped per model.
    pub quality: Option<String>,
    /// A picture whose subject should reappear.
    pub reference_image: Option<String>,
    /// `strict`, `balanced` or `loose`.
    pub consistency_mode: Option<String>,
    /// What the priority of the choice is: quality, control, speed, variety, cost, privacy.
    pub priority: Option<String>,
    /// Options of one provider, passed by name where the adapter knows them.
    pub options: Option<Map<String, Value>>,
}

/// A request that passed [`Asked::check`]: what adapters read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What should be in the picture. Never empty.
    pub prompt: String,
    /// What should not be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Pixels, 1..=[`MAX_SIDE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels, 1..=[`MAX_SIDE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// `W:H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    /// 0..=2147483647. Always there: chosen by us when the caller gave none.
    pub seed: i64,
    /// How closely to follow the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Diffusion steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// How many pictures, 1..=[`MAX_N`].
    #[serde(default = "one")]
    pub n: u32,
    /// The wished quality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// A picture whose subject should reappear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_image: Option<String>,
    /// How closely it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency_mode: Option<String>,
    /// Options of one provider.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

fn one() -> u32 {
    1
}

/// The longest side that any request may ask for, in pixels.
pub const MAX_SIDE: i64 = 16_384;
/// The most pictures that one job may ask for.
pub const MAX_N: i64 = 10;
/// The longest prompt that any model takes, in characters (the gpt-image family's limit).
pub const MAX_PROMPT_CHARS: usize = 32_000;
/// The values that `priority` may have.
pub const PRIORITIES: [&str; 6] = ["quality", "control", "speed", "variety", "cost", "privacy"];
/// The values that `consistency_mode` may have.
pub const CONSISTENCY_MODES: [&str; 3] = ["strict", "balanced", "loose"];

/// Something is wrong with what the caller gave.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// True when it names something that does not exist.
    pub unknown: bool,
}

impl Invalid {
    /// An error with its remedy.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Invalid { message: message.into(), hint: hint.into(), unknown: false }
    }

    /// An error about a name that does not exist.
    pub fn unknown(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Invalid { unknown: true, ..Invalid::new(message, hint) }
    }
}

/// Something the caller asked for that will not happen, or not as asked. The text goes to the caller, the
/// code is for programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// For programs: `unsupported`, `adjusted`, `reference_ignored`, `seed_ignored`, `successor` …
    pub code: String,
    /// For people.
    pub message: String,
}

impl Warning {
    /// A warning.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Warning { code: code.to_owned(), message: message.into() }
    }
}

impl Asked {
    /// Checks everything that does not depend on a model. `seed` is used when the caller gave none.
    pub fn check(self, seed: i64) -> Result<Request, Invalid> {
        let prompt = self.prompt.unwrap_or_default();
        if prompt.trim().is_empty() {
            return Err(Invalid::new("the prompt is empty", "Describe the picture in the argument prompt."));
        }
        let length = prompt.chars().count();
        if length > MAX_PROMPT_CHARS {
            return Err(Invalid::new(
                format!("the prompt has {length} characters, at most {MAX_PROMPT_CHARS} are possible"),
                "Shorten the prompt; details that are not for the model belong in metadata.",
            ));
        }
        let width = side("width", self.width)?;
        let height = side("height", self.height)?;
        if width.is_some() != height.is_some() {
            return Err(Invalid::new(
                "width and height belong together, only one was given",
                "Give both, or neither, or an aspect_ratio such as '16:9'.",
            ));
        }
        if let Some(ratio) = &self.aspect_ratio {
            crate::size::parse_ratio(ratio)?;
        }
        let seed = self.seed.unwrap_or(seed);
        if !(0..=MAX_SEED).contains(&seed) {
            return Err(Invalid::new(
                format!("seed {seed} is out of range"),
                format!("Use 0 to {MAX_SEED}, or leave it out: a seed is then chosen and recorded."),
            ));
        }
        let n = self.n.unwrap_or(1);
        if !(1..=MAX_N).contains(&n) {
            return Err(Invalid::new(
                format!("n is {n}, but a job makes 1 to {MAX_N} pictures"),
                "Queue several jobs for more pictures.",
            ));
        }
        let steps = match self.steps {
            Some(steps) if !(1..=10_000).contains(&steps) => {
                return Err(Invalid::new(format!("steps is {steps}"), "Use a positive number such as 28."));
            }
            steps => steps.map(|s| s as u32),
        };
        if let Some(guidance) = self.guidance
            && !(guidance.is_finite() && (0.0..=100.0).contains(&guidance))
        {
            return Err(Invalid::new(
                format!("guidance is {guidance}"),
                "Use a number from 0 to 100, such as 3.5.",
            ));
        }
        one_of("priority", self.priority.as_deref(), &PRIORITIES)?;
        one_of("consistency_mode", self.consistency_mode.as_deref(), &CONSISTENCY_MODES)?;
        Ok(Request {
            prompt,
            negative_prompt: self.negative_prompt.filter(|p| !p.trim().is_empty()),
            width,
            height,
            aspect_ratio: self.aspect_ratio,
            seed,
            guidance: self.guidance,
            steps,
            n: n as u32,
            quality: self.quality,
            reference_image: self.reference_image,
            consistency_mode: self.consistency_mode,
            options: self.options.unwrap_or_default(),
        })
    }
}

fn side(name: &str, value: Option<i64>) -> Result<Option<u32>, Invalid> {
    match value {
        Some(v) if !(1..=MAX_SIDE).contains(&v) => Err(Invalid::new(
            format!("{name} is {v} pixels, possible are 1 to {MAX_SIDE}"),
            format!("Use for example {name} => 1024; the limits of each model are in image_gen.models."),
        )),
        v => Ok(v.map(|v| v as u32)),
    }
}

fn one_of(name: &str, value: Option<&str>, choices: &[&str]) -> Result<(), Invalid> {
    match value {
        Some(v) if !choices.contains(&v) => Err(Invalid::new(
            format!("{name} '{v}' does not exist"),
            format!("Use one of: {}.", choices.join(", ")),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: Value) -> Result<Request, Invalid> {
        serde_json::from_value::<Asked>(json).unwrap().check(7)
    }

    #[test]
    fn a_seed_is_chosen_when_the_caller_gives_none() {
        assert_eq!(asked(serde_json::json!({"prompt": "a cat"})).unwrap().seed, 7);
        assert_eq!(asked(serde_json::json!({"prompt": "a cat", "seed": 0})).unwrap().seed, 0);
    }

    #[test]
    fn bad_input_is_refused_with_a_remedy() {
        use serde_json::json;
        for (bad, word) in [
            (json!({}), "prompt"),
            (json!({"prompt": " \n"}), "prompt"),
            (json!({"prompt": "x".repeat(32_001)}), "32001"),
            (json!({"prompt": "x", "width": 0, "height": 10}), "width"),
            (json!({"prompt": "x", "width": 100_000, "height": 10}), "100000"),
            (json!({"prompt": "x", "width": 10}), "together"),
            (json!({"prompt": "x", "n": 0}), "n is 0"),
            (json!({"prompt": "x", "n": 11}), "n is 11"),
            (json!({"prompt": "x", "seed": -1}), "seed -1"),
            (json!({"prompt": "x", "seed": 2_147_483_648_i64}), "out of range"),
            (json!({"prompt": "x", "steps": 0}), "steps"),
            (json!({"prompt": "x", "guidance": -0.5}), "guidance"),
            (json!({"prompt": "x", "aspect_ratio": "wide"}), "wide"),
            (json!({"prompt": "x", "priority": "luck"}), "luck"),
            (json!({"prompt": "x", "consistency_mode": "exact"}), "exact"),
        ] {
            let error = asked(bad.clone()).unwrap_err();
            assert!(error.message.contains(word), "{bad}: {}", error.message);
            assert!(!error.hint.is_empty());
        }
    }
}

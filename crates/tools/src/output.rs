//! The answers of the tools.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// How a generation stands. A client that asks until it is one of the last two always comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// A provider works on it.
    Running,
    /// The image is there.
    Succeeded,
    /// There will be no image, unless needs_review says that a person may still decide otherwise.
    Failed,
}

/// Answer of `generate_image`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queued {
    /// Its id: sorts by time.
    pub id: String,
    /// queued; of a repeated idempotency_key, how that one stands.
    pub status: Status,
    /// The name of the model in the catalogue.
    pub model: String,
    /// How long a render of it usually takes here. The first look is worth while after it.
    pub estimated_seconds: Option<Number>,
    /// When it was queued.
    pub created_at: Timestamp,
}

/// Answer of `get_generation`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// The model that made it, or is asked now, or was planned.
    pub model: String,
    /// The provider that made it or is asked now.
    pub provider: Option<String>,
    /// As the caller wrote it.
    pub prompt: String,
    /// What the image begins from.
    pub seed: i64,
    /// Where the first image is.
    pub output_url: Option<String>,
    /// Where all of them are.
    pub output_urls: Vec<String>,
    /// Why there is no image.
    pub error: Option<Failure>,
    /// True where it failed for now, and a person may still decide otherwise.
    pub needs_review: bool,
    /// What it cost, refused calls included, in currency; null while it is not over, and where any of it is not known.
    pub billed_cost: Option<Number>,
    /// ISO 4217.
    pub currency: String,
    /// How long a render was expected to take.
    pub estimated_seconds: Option<Number>,
    /// When to ask again, in milliseconds from now; null where it is over.
    pub next_poll_ms: Option<u32>,
    /// The caller's own.
    pub metadata: Map<String, Value>,
    /// What does not happen as asked.
    pub warnings: Vec<Warning>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// Why a generation has no image.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// For programs: safety_filter, policy_block, timeout, ...; unknown where nothing is known.
    pub code: String,
    /// For people.
    pub message: Option<String>,
}

/// Something that does not happen as asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Answer of `list_recent_generations`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generations {
    /// The newest first.
    pub generations: Vec<Generation>,
    /// What to pass as before for the next page; null on the last one.
    pub next_before: Option<String>,
}

/// Answer of `get_credits`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credits {
    /// What may still be spent, whatever it is for: the least of the limits that always apply. null is unlimited.
    pub available: Option<Number>,
    /// True where no limit always applies; those for a campaign or a ticket may.
    pub unlimited: bool,
    /// ISO 4217.
    pub currency: String,
    /// Each limit that concerns the caller, and the caller itself.
    pub limits: Vec<Limit>,
}

/// A limit in money, and how it stands.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// workspace, role:NAME, campaign:NAME, ...
    pub scope: String,
    /// The period that it counts.
    pub period: String,
    /// null where there is none, or it may not be seen.
    pub limit: Option<Number>,
    /// What was billed in the period.
    pub spent: Option<Number>,
    /// What is held for generations that are not over.
    pub reserved: Option<Number>,
    /// What is left of it.
    pub available: Option<Number>,
}

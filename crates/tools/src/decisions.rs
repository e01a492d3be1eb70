//! The tools beside those that queue and show images: what it would cost, which model, waiting, canceling, and the person at the end.

use image_gen_engine::job::{MAX_PROMPT_CHARS, PRIORITIES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::output::{Status, Warning};

/// The most generations that are waited for at once.
pub const MOST_SETTLED: u32 = 20;
/// The longest that a call waits, in seconds: clients give up after a minute.
pub const LONGEST_WAIT: u32 = 45;
/// The most reviews of one answer.
pub const MOST_REVIEWS: u32 = 20;

/// What can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// generate_image.
    Generate,
    /// edit_image.
    Edit,
    /// upscale_image.
    Upscale,
    /// vary_image.
    Variate,
    /// transfer_style.
    TransferStyle,
}

/// Arguments of `estimate`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// generate where it is not given.
    pub operation: Option<Operation>,
    /// Those of the tool.
    pub arguments: Map<String, Value>,
}

/// Answer of `estimate`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// Who would be asked first.
    pub model: Option<String>,
    /// By this provider.
    pub provider: Option<String>,
    /// How many jobs.
    pub jobs: i64,
    /// How many images.
    pub images: i64,
    /// The first call of each; null is unknown.
    pub estimated_cost: Option<Number>,
    /// With room for a refused call.
    pub with_buffer: Option<Number>,
    /// The most that can be billed; null is unknown.
    pub highest_cost: Option<Number>,
    /// ISO 4217.
    pub currency: String,
    /// How long a render takes.
    pub estimated_seconds: Option<Number>,
    /// What does not happen as asked.
    pub warnings: Vec<Warning>,
    /// Whether the call would be asked about before it is made.
    pub needs_confirmation: bool,
    /// Whether any budget limits it.
    pub within_budget: bool,
}

/// Arguments of `choose_model`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseModel {
    /// Legible words in the image.
    pub needs_text: Option<bool>,
    /// Like a photograph.
    pub photoreal: Option<bool>,
    /// Fast and cheap.
    pub draft: Option<bool>,
    /// Illustration, painting.
    pub stylized: Option<bool>,
    /// An image is changed.
    pub editing: Option<bool>,
    /// What matters most.
    #[schemars(extend("enum" = priorities()))]
    pub priority: Option<String>,
}

fn priorities() -> Vec<Value> {
    PRIORITIES.iter().map(|priority| (*priority).into()).chain([Value::Null]).collect()
}

/// Answer of `choose_model`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Its name; null where none has a key.
    pub model: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether its provider has a key.
    pub configured: bool,
}

/// Arguments of `get_generation` where the caller may wait: the SQL function of this name does not.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowGeneration {
    /// As generate_image returned it.
    pub id: String,
    /// How long to wait for its end at most; 0 where it is not given.
    #[schemars(range(min = 0, max = LONGEST_WAIT))]
    pub wait_seconds: Option<u32>,
}

/// Arguments of `cancel_generation`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelGeneration {
    /// Of generate_image.
    pub id: String,
}

/// Answer of `cancel_generation` and of `resolve_review`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// How it stands now. One in flight is canceled a moment later.
    pub status: Status,
    /// What it has cost so far; null is unknown, or not over.
    pub billed_cost: Option<Number>,
}

/// Arguments of `settle`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// Of generate_image.
    #[schemars(length(min = 1, max = MOST_SETTLED))]
    pub ids: Vec<String>,
    /// How long to wait at most; 40 where it is not given.
    #[schemars(range(min = 0, max = LONGEST_WAIT))]
    pub wait_seconds: Option<u32>,
}

/// An image of `settle`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Where it is.
    pub url: Option<String>,
    /// What it begins from.
    pub seed: i64,
}

/// Answer of `settle`: by metadata.shot, or by the id where there is none.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// What is there.
    pub done: std::collections::BTreeMap<String, Done>,
    /// What is not, and the code of why.
    pub failed: std::collections::BTreeMap<String, String>,
    /// What is still being made.
    pub pending: Vec<String>,
    /// When to ask again; null where nothing is pending.
    pub next_poll_ms: Option<u32>,
}

/// Arguments of `list_reviews`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListReviews {
    /// How many; 10 where it is not given.
    #[schemars(range(min = 1, max = MOST_REVIEWS))]
    pub limit: Option<u32>,
}

/// A job that waits for a person.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Of the generation.
    pub id: String,
    /// safety_filter, uncertain, timeout, approval, ...
    pub why: Option<String>,
    /// For people.
    pub message: Option<String>,
    /// metadata.campaign.
    pub campaign: Option<String>,
    /// metadata.shot.
    pub shot: Option<String>,
    /// As it was asked.
    pub prompt: String,
    /// All that was sent.
    pub prompts_tried: Vec<String>,
    /// Who was asked.
    pub model: Option<String>,
    /// Known so far.
    pub spent: Option<Number>,
    /// Since when.
    pub waiting_since: Option<String>,
}

/// Answer of `list_reviews`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reviews {
    /// The oldest first.
    pub reviews: Vec<Review>,
    /// How many there are besides.
    pub more: i64,
}

/// What can be decided about a job that waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Here is the image: url. Or let it be written to its table.
    Approve,
    /// No image.
    Reject,
    /// Again with prompt.
    Rewrite,
    /// Again with model.
    SwitchModel,
    /// Again as it was.
    Retry,
}

impl Action {
    /// Whether a provider is called once more.
    pub fn spends(self) -> bool {
        matches!(self, Action::Rewrite | Action::SwitchModel | Action::Retry)
    }
}

/// Arguments of `resolve_review`. What a call was billed is not among them: that is said in SQL, by a reviewer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveReview {
    /// Of list_reviews.
    pub id: String,
    /// What to do.
    pub action: Action,
    /// For rewrite.
    #[schemars(length(min = 1, max = MAX_PROMPT_CHARS))]
    pub prompt: Option<String>,
    /// For switch_model.
    pub model: Option<String>,
    /// For approve: https.
    pub url: Option<String>,
    /// Why.
    pub note: Option<String>,
}

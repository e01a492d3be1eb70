//! The arguments of the tools.

use image_gen_engine::input::MAX_REFERENCES;
use image_gen_engine::job::{MAX_N, MAX_PROMPT_CHARS, MAX_SIDE, PRIORITIES};
use image_gen_engine::seed::MAX_SEED;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use crate::output::Status;
use crate::read::Mistake;

/// The most generations of one page.
pub const MOST_LISTED: u32 = 100;

/// Arguments of `generate_image`: those of the SQL function `generate`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateImage {
    /// What should be in the image; the most important first.
    #[schemars(length(min = 1, max = MAX_PROMPT_CHARS))]
    pub prompt: String,
    /// A model or alias of the catalogue, or provider:model. Without it one is chosen by what the prompt asks for.
    pub model: Option<String>,
    /// What should not be in it, where the model can be told.
    #[schemars(length(max = MAX_PROMPT_CHARS))]
    pub negative_prompt: Option<String>,
    /// Pixels; with height, or neither.
    #[schemars(range(min = 1, max = MAX_SIDE))]
    pub width: Option<i64>,
    /// Pixels; with width, or neither.
    #[schemars(range(min = 1, max = MAX_SIDE))]
    pub height: Option<i64>,
    /// W:H, where no size is given.
    #[schemars(regex(pattern = r"^[0-9.]+:[0-9.]+$"))]
    pub aspect_ratio: Option<String>,
    /// The same seed, prompt and model give the same image again. Chosen and recorded where it is not given.
    #[schemars(range(min = 0, max = MAX_SEED))]
    pub seed: Option<i64>,
    /// How closely to follow the prompt, where the model can be told.
    pub guidance: Option<f64>,
    /// Diffusion steps, where the model can be told.
    #[schemars(range(min = 1, max = 10_000))]
    pub steps: Option<i64>,
    /// How many images.
    #[schemars(range(min = 1, max = MAX_N))]
    pub n: Option<i64>,
    /// draft, low, standard, medium, high or hd: mapped to what the model knows.
    pub quality: Option<String>,
    /// An image whose subject should reappear: an https URL, a data: URI, asset:ID or job:gen_...
    pub reference_image: Option<String>,
    /// How closely it should.
    #[schemars(extend("enum" = ["strict", "balanced", "loose", null]))]
    pub consistency_mode: Option<String>,
    /// Further images to look at, such as product photography or a palette, the most important first.
    #[schemars(length(max = MAX_REFERENCES))]
    pub reference_images: Option<Vec<String>>,
    /// A style of the caller's, by its name: its words, images and models are put into the request.
    #[schemars(length(min = 1, max = 100))]
    pub style: Option<String>,
    /// The caller's own; never sent to a provider. campaign, shot and ticket become columns of the asset.
    pub metadata: Option<Map<String, Value>>,
    /// {"preferred": [], "only": false, "weights": {}, "blocked": []}, by the ids of providers.
    pub provider_preferences: Option<Map<String, Value>>,
    /// Parameters of one provider, by name.
    pub options: Option<Map<String, Value>>,
    /// What matters most where no model is named.
    #[schemars(extend("enum" = priorities()))]
    pub priority: Option<String>,
    /// The same key gives the same generation, and not a second one.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// Not sent after it: ISO 8601 with a zone, such as 2026-04-30T09:17:42Z.
    #[serde(default, deserialize_with = "instant")]
    pub deadline: Option<Timestamp>,
    /// USD for all calls of this generation together.
    #[schemars(range(min = 0))]
    pub max_cost: Option<Number>,
    /// Take a model whose price is not known although a budget or max_cost applies.
    pub allow_unpriced: Option<bool>,
}

/// A time, or the error that says what one looks like.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let expected = &"a time with its zone, such as 2026-04-30T09:17:42Z";
    let read =
        |text: String| text.parse().map_err(|_| Error::invalid_value(Unexpected::Str(&text), expected));
    text.map(read).transpose()
}

fn priorities() -> Vec<Value> {
    PRIORITIES.iter().map(|priority| (*priority).into()).chain([Value::Null]).collect()
}

/// Arguments of `get_generation`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetGeneration {
    /// As generate_image returned it.
    #[schemars(regex(pattern = r"^gen_[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub id: String,
}

/// Arguments of `list_recent_generations`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRecentGenerations {
    /// How many; 20 where it is not given.
    #[schemars(range(min = 1, max = MOST_LISTED))]
    pub limit: Option<u32>,
    /// Which.
    pub filters: Option<Filters>,
    /// Only those that are older than this one: next_before of the page before.
    pub before: Option<String>,
}

impl ListRecentGenerations {
    /// What its types do not say.
    pub fn check(&self) -> Result<(), Mistake> {
        match self.limit {
            Some(limit) if !(1..=MOST_LISTED).contains(&limit) => Err(Mistake {
                path: "$.limit".to_owned(),
                message: format!("{limit} is out of range"),
                hint: format!("Use 1 to {MOST_LISTED}; the next page is before => next_before."),
            }),
            _ => Ok(()),
        }
    }
}

/// Which generations are listed: those of which all of this is so.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// How they stand.
    pub status: Option<Status>,
    /// The name of the model in the catalogue.
    pub model: Option<String>,
    /// metadata.campaign.
    pub campaign: Option<String>,
    /// metadata.shot.
    pub shot: Option<String>,
    /// metadata.ticket.
    pub ticket: Option<String>,
    /// What their metadata contain.
    pub metadata: Option<Map<String, Value>>,
}

/// Arguments of `get_credits`: none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetCredits {}

//! The arguments of the tools that change an image. Each is the SQL function of its operation with the arguments that an agent needs;
//! all others are there in SQL.

use image_gen_engine::input::MAX_REFERENCES;
use image_gen_engine::job::{MAX_N, MAX_PROMPT_CHARS};
use image_gen_engine::seed::MAX_SEED;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::output::Queued;

/// Arguments of `edit_image`: of the SQL function `edit`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditImage {
    /// https URL, data: URI, asset:ID, or job:gen_... (waits for that one).
    pub image: String,
    /// What should become of it.
    #[schemars(length(min = 1, max = MAX_PROMPT_CHARS))]
    pub prompt: Option<String>,
    /// White is changed, black is kept.
    pub mask: Option<String>,
    /// By mask or borders where it is not given.
    #[schemars(extend("enum" = ["img2img", "inpaint", "outpaint", null]))]
    pub mode: Option<String>,
    /// 0 keeps everything, 1 nothing.
    #[schemars(range(min = 0, max = 1))]
    pub strength: Option<f64>,
    /// Pixels to add above it.
    #[schemars(range(min = 0))]
    pub border_top: Option<i64>,
    /// Pixels to add to its right.
    #[schemars(range(min = 0))]
    pub border_right: Option<i64>,
    /// Pixels to add below it.
    #[schemars(range(min = 0))]
    pub border_bottom: Option<i64>,
    /// Pixels to add to its left.
    #[schemars(range(min = 0))]
    pub border_left: Option<i64>,
    /// As of generate_image.
    pub model: Option<String>,
    /// What should not be in it.
    #[schemars(length(max = MAX_PROMPT_CHARS))]
    pub negative_prompt: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0, max = MAX_SEED))]
    pub seed: Option<i64>,
    /// As of generate_image.
    #[schemars(range(min = 1, max = MAX_N))]
    pub n: Option<i64>,
    /// Further images to look at.
    #[schemars(length(max = MAX_REFERENCES))]
    pub reference_images: Option<Vec<String>>,
    /// As of generate_image.
    pub metadata: Option<Map<String, Value>>,
    /// As of generate_image.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0))]
    pub max_cost: Option<Number>,
}

/// Arguments of `upscale_image`: of the SQL function `upscale`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpscaleImage {
    /// As of edit_image.
    pub image: String,
    /// For both sides.
    #[schemars(extend("enum" = [2, 4, null]))]
    pub scale: Option<i64>,
    /// Only for models that draw details anew.
    pub prompt: Option<String>,
    /// As of generate_image.
    pub model: Option<String>,
    /// As of generate_image.
    pub metadata: Option<Map<String, Value>>,
    /// As of generate_image.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0))]
    pub max_cost: Option<Number>,
}

/// Arguments of `vary_image`: of the SQL function `variate`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaryImage {
    /// As of edit_image.
    pub image: String,
    /// How many, 3 where it is not given: a job each.
    #[schemars(range(min = 1, max = MAX_N))]
    pub n: Option<i64>,
    /// 0 strays not at all, 1 as far as it likes.
    #[schemars(range(min = 0, max = 1))]
    pub variance: Option<f64>,
    /// As of generate_image.
    pub prompt: Option<String>,
    /// As of generate_image.
    pub model: Option<String>,
    /// The base: each variation has one derived from it.
    #[schemars(range(min = 0, max = MAX_SEED))]
    pub seed: Option<i64>,
    /// As of generate_image.
    pub metadata: Option<Map<String, Value>>,
    /// As of generate_image.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0))]
    pub max_cost: Option<Number>,
}

/// Arguments of `transfer_style`: of the SQL function of the same name.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferStyle {
    /// As of edit_image.
    pub image: String,
    /// Whose style it takes on.
    pub style_image: String,
    /// As of generate_image.
    pub prompt: Option<String>,
    /// How much of the style.
    #[schemars(range(min = 0, max = 1))]
    pub strength: Option<f64>,
    /// As of generate_image.
    pub model: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0, max = MAX_SEED))]
    pub seed: Option<i64>,
    /// As of generate_image.
    pub metadata: Option<Map<String, Value>>,
    /// As of generate_image.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// As of generate_image.
    #[schemars(range(min = 0))]
    pub max_cost: Option<Number>,
}

/// Answer of `vary_image`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variations {
    /// One for each.
    pub generations: Vec<Queued>,
}

//! Fields and prices that several models share.

use crate::material::Polarity::{Black, Transparent, White};

use super::models::Kind::*;
use super::models::{Field, Kind, Price, may, must};

pub(super) const TEXT: Kind = Text(0, 131_072);
pub(super) const UNIT: Kind = Number(0.0, 1.0);
pub(super) const MEGAPIXEL: f64 = 1_048_576.0;

// Groups of fields.
pub(super) const SEED: &[Field] = &[may("seed", Int(0, i64::MAX)), may("sync_mode", Bool)];
pub(super) const COUNT: &[Field] = &[may("num_images", Int(1, 4))];
pub(super) const FORMAT: &[Field] = &[may("output_format", Choice(&["jpeg", "png"]))];
pub(super) const FORMAT_3: &[Field] = &[may("output_format", Choice(&["jpeg", "png", "webp"]))];
pub(super) const SHORT_FORMAT: &[Field] = &[may("format", Choice(&["jpeg", "png"]))];
pub(super) const CHECKER: &[Field] = &[may("enable_safety_checker", Bool)];
pub(super) const TOLERANCE: &[Field] =
    &[may("safety_tolerance", Choice(&["1", "2", "3", "4", "5", "6"])), may("enhance_prompt", Bool)];
pub(super) const TOLERANCE_2: &[Field] =
    &[may("safety_tolerance", Choice(&["1", "2", "3", "4", "5"])), may("enable_safety_checker", Bool)];
pub(super) const PROMPT: &[Field] = &[must("prompt", TEXT)];
pub(super) const NEGATIVE: &[Field] = &[may("negative_prompt", TEXT)];
pub(super) const SIZE: &[Field] = &[may("image_size", Dimensions)];
pub(super) const SIZE_OR_AUTO: &[Field] = &[may("image_size", DimensionsOrAuto)];
pub(super) const IMAGE: &[Field] = &[must("image_url", Picture)];
pub(super) const IMAGES: &[Field] = &[must("image_urls", Pictures(10))];
pub(super) const MASK: &[Field] = &[must("mask_url", Mask(White))];
pub(super) const BLACK_MASK: &[Field] = &[must("mask_url", Mask(Black))];
pub(super) const STRENGTH: &[Field] = &[may("strength", Number(0.01, 1.0))];
pub(super) const STEPS: &[Field] =
    &[may("num_inference_steps", Int(1, 50)), may("guidance_scale", Number(1.0, 20.0))];
pub(super) const SPEED: &[Field] = &[may("acceleration", Choice(&["none", "regular", "high"]))];
const RATIOS: Kind = Choice(&["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"]);
pub(super) const RATIO: &[Field] = &[may("aspect_ratio", RATIOS)];
pub(super) const LORAS: &[Field] = &[may("loras", Any)];
pub(super) const GENERAL: &[Field] = &[
    may("controlnets", Any),
    may("ip_adapters", Any),
    may("reference_image_url", Picture),
    may("reference_strength", Number(-3.0, 3.0)),
];
const MARGIN: Kind = Int(0, 2048);
pub(super) const MARGINS: &[Field] = &[
    may("expand_top", MARGIN),
    may("expand_bottom", MARGIN),
    may("expand_left", MARGIN),
    may("expand_right", MARGIN),
];
const SHORT_MARGIN: Kind = Int(0, 700);
pub(super) const SHORT_MARGINS: &[Field] = &[
    may("expand_top", SHORT_MARGIN),
    may("expand_bottom", SHORT_MARGIN),
    may("expand_left", SHORT_MARGIN),
    may("expand_right", SHORT_MARGIN),
    may("zoom_out_percentage", Number(0.0, 90.0)),
    may("prompt", TEXT),
];
pub(super) const IDEOGRAM_2: &[Field] = &[
    may("style", Choice(&["auto", "general", "realistic", "design", "render_3D", "anime"])),
    may("expand_prompt", Bool),
];
pub(super) const IDEOGRAM_2_RATIO: &[Field] = &[
    may(
        "aspect_ratio",
        Choice(&["10:16", "16:10", "9:16", "16:9", "4:3", "3:4", "1:1", "1:3", "3:1", "3:2", "2:3"]),
    ),
    may("negative_prompt", TEXT),
];
pub(super) const PACE: Field = may("rendering_speed", Choice(&["TURBO", "BALANCED", "QUALITY"]));
pub(super) const IDEOGRAM_3: &[Field] = &[
    PACE,
    may("style", Choice(&["AUTO", "GENERAL", "REALISTIC", "DESIGN"])),
    may("style_codes", Any),
    may("style_preset", TEXT),
    may("image_urls", Pictures(3)),
    may("color_palette", Any),
    may("num_images", Int(1, 8)),
];
pub(super) const EXPAND: &[Field] = &[may("expand_prompt", Bool)];
pub(super) const CHARACTER: &[Field] = &[
    must("reference_image_urls", Pictures(10)),
    may("reference_mask_urls", Pictures(10)),
    PACE,
    may("style", Choice(&["AUTO", "REALISTIC", "FICTION"])),
    may("expand_prompt", Bool),
    may("num_images", Int(1, 8)),
];
pub(super) const BANANA: &[Field] = &[
    must("prompt", Text(3, 50_000)),
    may(
        "aspect_ratio",
        Choice(&["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"]),
    ),
    may("resolution", Choice(&["0.5K", "1K", "2K", "4K"])),
    may("safety_tolerance", Choice(&["1", "2", "3", "4", "5", "6"])),
];
pub(super) const BANANA_IMAGES: &[Field] = &[must("image_urls", Pictures(14))];
pub(super) const GPT: &[Field] =
    &[must("prompt", Text(2, 32_000)), may("quality", Choice(&["auto", "low", "medium", "high"]))];
// OpenAI's masks mark by transparency, and fal hands them on.
pub(super) const GPT_EDIT: &[Field] = &[must("image_urls", Pictures(16)), may("mask_url", Mask(Transparent))];

// Prices by grade, the default first.
pub(super) const V3: Price = Price::Grade(&[("BALANCED", 600), ("TURBO", 300), ("QUALITY", 900)]);
pub(super) const V4: Price = Price::Grade(&[("BALANCED", 600), ("TURBO", 300), ("QUALITY", 1000)]);
pub(super) const WITH_CHARACTER: Price =
    Price::Grade(&[("BALANCED", 1500), ("TURBO", 1000), ("QUALITY", 2000)]);
pub(super) const NANO_2: Price = Price::Grade(&[("1K", 800), ("0.5K", 600), ("2K", 1200), ("4K", 1600)]);
pub(super) const NANO_PRO: Price = Price::Grade(&[("1K", 1500), ("0.5K", 1500), ("2K", 1500), ("4K", 3000)]);
pub(super) const GPT_2: Price = Price::Grade(&[("high", 2110), ("low", 60), ("medium", 530), ("auto", 530)]);
pub(super) const COMPUTED: Price = Price::Second(11);

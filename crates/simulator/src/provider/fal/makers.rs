//! Other makers' models, as in fal's API reference and price list.

use crate::picture::Format;

use super::flux::DEV;
use super::groups::*;
use super::models::Kind::*;
use super::models::{Field, Filter, Model, Output, Price, Size, may, must};

const IDEOGRAM: Model = Model {
    name: "fal-ai/ideogram/v2",
    fields: &[PROMPT, IDEOGRAM_2, IDEOGRAM_2_RATIO, SEED],
    size: Size::Ratio(MEGAPIXEL, "1:1"),
    price: Price::Picture(800),
    filter: Filter::Maker,
    format: Format::Png,
    ..DEV
};
const THIRD: Model = Model {
    name: "fal-ai/ideogram/v3",
    fields: &[PROMPT, IDEOGRAM_3, EXPAND, NEGATIVE, SIZE, SEED],
    size: Size::Preset("square_hd"),
    price: V3,
    ..IDEOGRAM
};
const HIDREAM: Model = Model {
    name: "fal-ai/hidream-i1-full",
    fields: &[PROMPT, NEGATIVE, SIZE, STEPS, SEED, COUNT, FORMAT, CHECKER],
    size: Size::Preset("square_hd"),
    price: Price::Megapixel(500),
    ..DEV
};
const HIDREAM_SMALL: &[&[Field]] =
    &[PROMPT, NEGATIVE, SIZE, &[may("num_inference_steps", Int(1, 50))], SEED, COUNT, FORMAT, CHECKER];
const PLAYGROUND_STEPS: &[Field] =
    &[may("num_inference_steps", Int(1, 65)), may("guidance_scale", Number(0.0, 20.0))];
const PLAYGROUND: Model = Model {
    name: "fal-ai/playground-v25",
    fields: &[PROMPT, NEGATIVE, SIZE, PLAYGROUND_STEPS, SEED, COUNT, SHORT_FORMAT, CHECKER],
    size: Size::Preset("square_hd"),
    price: COMPUTED,
    ..DEV
};
const LIGHTNING_STEPS: &[Field] = &[may("num_inference_steps", Choice(&["1", "2", "4", "8"]))];
const LIGHTNING: Model = Model {
    name: "fal-ai/fast-lightning-sdxl",
    fields: &[PROMPT, SIZE, LIGHTNING_STEPS, SEED, COUNT, SHORT_FORMAT, CHECKER],
    ..PLAYGROUND
};
const NANO: Model = Model {
    name: "fal-ai/nano-banana-2",
    fields: &[BANANA, SEED, COUNT, FORMAT_3],
    size: Size::Tier,
    price: NANO_2,
    filter: Filter::Maker,
    format: Format::Png,
    ..DEV
};

pub(super) static MODELS: &[Model] = &[
    // Ideogram
    IDEOGRAM,
    Model { name: "fal-ai/ideogram/v2/turbo", price: Price::Picture(500), ..IDEOGRAM },
    Model {
        name: "fal-ai/ideogram/v2/edit",
        fields: &[PROMPT, IMAGE, BLACK_MASK, IDEOGRAM_2, SEED],
        size: Size::Input,
        ..IDEOGRAM
    },
    Model {
        name: "fal-ai/ideogram/v2/turbo/remix",
        fields: &[PROMPT, IMAGE, STRENGTH, IDEOGRAM_2, IDEOGRAM_2_RATIO, SEED],
        size: Size::Ratio(MEGAPIXEL, "auto"),
        price: Price::Picture(500),
        ..IDEOGRAM
    },
    Model {
        name: "fal-ai/ideogram/v2/remix",
        fields: &[PROMPT, IMAGE, STRENGTH, IDEOGRAM_2, IDEOGRAM_2_RATIO, SEED],
        size: Size::Ratio(MEGAPIXEL, "auto"),
        ..IDEOGRAM
    },
    THIRD,
    Model {
        name: "fal-ai/ideogram/v3/edit",
        fields: &[PROMPT, IMAGE, BLACK_MASK, IDEOGRAM_3, EXPAND, SEED],
        size: Size::Input,
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/v3/remix",
        fields: &[PROMPT, IMAGE, STRENGTH, IDEOGRAM_3, EXPAND, NEGATIVE, SIZE, SEED],
        size: Size::Input,
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/v3/reframe",
        fields: &[IMAGE, &[must("image_size", Dimensions)], IDEOGRAM_3, SEED],
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/v3/replace-background",
        fields: &[PROMPT, IMAGE, IDEOGRAM_3, EXPAND, SEED],
        size: Size::Input,
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/character",
        fields: &[PROMPT, CHARACTER, NEGATIVE, SIZE, SEED],
        price: WITH_CHARACTER,
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/character/edit",
        fields: &[PROMPT, IMAGE, BLACK_MASK, CHARACTER, SEED],
        size: Size::Input,
        price: WITH_CHARACTER,
        ..THIRD
    },
    Model {
        name: "fal-ai/ideogram/character/remix",
        fields: &[PROMPT, IMAGE, STRENGTH, CHARACTER, NEGATIVE, SIZE, SEED],
        size: Size::Input,
        price: WITH_CHARACTER,
        ..THIRD
    },
    Model {
        name: "ideogram/v4",
        fields: &[
            PROMPT,
            SIZE,
            &[PACE, may("expansion_model", Choice(&["None", "Medium", "Large"]))],
            SEED,
            COUNT,
        ],
        price: V4,
        ..THIRD
    },
    // Other makers' generators
    HIDREAM,
    Model { name: "fal-ai/hidream-i1-dev", price: Price::Megapixel(300), fields: HIDREAM_SMALL, ..HIDREAM },
    Model { name: "fal-ai/hidream-i1-fast", price: Price::Megapixel(100), fields: HIDREAM_SMALL, ..HIDREAM },
    PLAYGROUND,
    Model {
        name: "fal-ai/playground-v25/image-to-image",
        fields: &[
            PROMPT,
            NEGATIVE,
            IMAGE,
            STRENGTH,
            SIZE,
            PLAYGROUND_STEPS,
            SEED,
            COUNT,
            SHORT_FORMAT,
            CHECKER,
        ],
        size: Size::Input,
        ..PLAYGROUND
    },
    Model {
        name: "fal-ai/playground-v25/inpainting",
        fields: &[
            PROMPT,
            NEGATIVE,
            IMAGE,
            MASK,
            STRENGTH,
            SIZE,
            PLAYGROUND_STEPS,
            SEED,
            COUNT,
            SHORT_FORMAT,
            CHECKER,
        ],
        size: Size::Input,
        ..PLAYGROUND
    },
    LIGHTNING,
    Model {
        name: "fal-ai/fast-lightning-sdxl/image-to-image",
        fields: &[PROMPT, IMAGE, STRENGTH, SIZE, LIGHTNING_STEPS, SEED, COUNT, SHORT_FORMAT, CHECKER],
        size: Size::Input,
        ..LIGHTNING
    },
    Model {
        name: "fal-ai/fast-lightning-sdxl/inpainting",
        fields: &[PROMPT, IMAGE, MASK, STRENGTH, SIZE, LIGHTNING_STEPS, SEED, COUNT, SHORT_FORMAT, CHECKER],
        size: Size::Input,
        ..LIGHTNING
    },
    NANO,
    Model {
        name: "fal-ai/nano-banana-2/edit",
        fields: &[BANANA, BANANA_IMAGES, SEED, COUNT, FORMAT_3],
        ..NANO
    },
    Model { name: "fal-ai/nano-banana-pro", price: NANO_PRO, ..NANO },
    Model {
        name: "fal-ai/nano-banana-pro/edit",
        fields: &[BANANA, BANANA_IMAGES, SEED, COUNT, FORMAT_3],
        price: NANO_PRO,
        ..NANO
    },
    Model {
        name: "openai/gpt-image-2",
        fields: &[GPT, SIZE_OR_AUTO, &[may("sync_mode", Bool)], COUNT, FORMAT_3],
        size: Size::Preset("square_hd"),
        price: GPT_2,
        ..NANO
    },
    Model {
        name: "openai/gpt-image-2/edit",
        fields: &[GPT, GPT_EDIT, SIZE_OR_AUTO, &[may("sync_mode", Bool)], COUNT, FORMAT_3],
        size: Size::Input,
        price: GPT_2,
        ..NANO
    },
    Model {
        name: "fal-ai/inpaint",
        fields: &[
            &[must("model_name", Text(1, 500))],
            PROMPT,
            NEGATIVE,
            IMAGE,
            MASK,
            &[may("num_inference_steps", Int(0, 150)), may("guidance_scale", Number(0.0, 20.0))],
            SEED,
        ],
        size: Size::Input,
        price: COMPUTED,
        output: Output::Image,
        format: Format::Png,
        ..DEV
    },
];

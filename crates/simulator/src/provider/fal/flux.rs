//! Black Forest Labs' models, as in fal's API reference and price list.

use crate::picture::Format;

use super::groups::*;
use super::models::Kind::*;
use super::models::{Field, Filter, Model, Output, Price, Size, may};

pub(super) const DEV: Model = Model {
    name: "fal-ai/flux/dev",
    fields: &[PROMPT, SIZE, STEPS, SPEED, SEED, COUNT, FORMAT, CHECKER],
    size: Size::Preset("landscape_4_3"),
    price: Price::Megapixel(250),
    output: Output::Images,
    filter: Filter::Checker,
    format: Format::Jpeg,
};
const PRO: Model = Model {
    name: "fal-ai/flux-pro/v1.1",
    fields: &[PROMPT, SIZE, SEED, COUNT, FORMAT, TOLERANCE],
    price: Price::Megapixel(400),
    ..DEV
};
const KONTEXT: Model = Model {
    name: "fal-ai/flux-pro/kontext",
    fields: &[PROMPT, IMAGE, RATIO, KONTEXT_GUIDANCE, SEED, COUNT, FORMAT, TOLERANCE],
    size: Size::Ratio(MEGAPIXEL, "auto"),
    price: Price::Picture(400),
    ..PRO
};
const KONTEXT_TEXT: Model = Model {
    name: "fal-ai/flux-pro/kontext/text-to-image",
    fields: &[PROMPT, RATIO, KONTEXT_GUIDANCE, SEED, COUNT, FORMAT, TOLERANCE],
    size: Size::Ratio(MEGAPIXEL, "1:1"),
    ..KONTEXT
};
const KONTEXT_GUIDANCE: &[Field] = &[may("guidance_scale", Number(1.0, 20.0))];
const KONTEXT_MULTI: &[&[Field]] = &[PROMPT, IMAGES, RATIO, KONTEXT_GUIDANCE, SEED, COUNT, FORMAT, TOLERANCE];
const SECOND: Model = Model {
    name: "fal-ai/flux-2-pro",
    fields: &[PROMPT, SIZE, SEED, FORMAT, TOLERANCE_2],
    price: Price::Stepped(300, 150),
    filter: Filter::Maker,
    ..DEV
};
const SECOND_EDIT: Model = Model {
    name: "fal-ai/flux-2-pro/edit",
    fields: &[PROMPT, IMAGES, SIZE_OR_AUTO, SEED, FORMAT, TOLERANCE_2],
    size: Size::Input,
    ..SECOND
};

pub(super) static MODELS: &[Model] = &[
    // FLUX.1
    DEV,
    Model {
        name: "fal-ai/flux/schnell",
        fields: &[
            PROMPT,
            SIZE,
            &[may("num_inference_steps", Int(1, 12)), may("guidance_scale", Number(1.0, 20.0))],
            SPEED,
            SEED,
            COUNT,
            FORMAT,
            CHECKER,
        ],
        price: Price::Megapixel(30),
        ..DEV
    },
    Model {
        name: "fal-ai/flux/dev/image-to-image",
        fields: &[PROMPT, IMAGE, STRENGTH, STEPS, SPEED, SEED, COUNT, FORMAT, CHECKER],
        size: Size::Input,
        price: Price::Megapixel(300),
        ..DEV
    },
    Model {
        name: "fal-ai/flux/dev/redux",
        fields: &[IMAGE, SIZE, STEPS, SPEED, SEED, COUNT, FORMAT, CHECKER],
        ..DEV
    },
    Model {
        name: "fal-ai/flux/schnell/redux",
        fields: &[
            IMAGE,
            SIZE,
            &[may("num_inference_steps", Int(1, 12))],
            SPEED,
            SEED,
            COUNT,
            FORMAT,
            CHECKER,
        ],
        ..DEV
    },
    Model {
        name: "fal-ai/flux-lora",
        fields: &[PROMPT, SIZE, STEPS, LORAS, SPEED, SEED, COUNT, FORMAT, CHECKER],
        price: Price::Megapixel(350),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-lora/image-to-image",
        fields: &[PROMPT, IMAGE, STRENGTH, SIZE, STEPS, LORAS, SPEED, SEED, COUNT, FORMAT, CHECKER],
        size: Size::Input,
        price: Price::Megapixel(350),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-general",
        fields: &[PROMPT, NEGATIVE, SIZE, STEPS, LORAS, GENERAL, SEED, COUNT, FORMAT, CHECKER],
        price: Price::Megapixel(750),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-general/image-to-image",
        fields: &[
            PROMPT, NEGATIVE, IMAGE, STRENGTH, SIZE, STEPS, LORAS, GENERAL, SEED, COUNT, FORMAT, CHECKER,
        ],
        size: Size::Input,
        price: Price::Megapixel(750),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-lora/inpainting",
        fields: &[PROMPT, IMAGE, MASK, STRENGTH, SIZE, STEPS, LORAS, SEED, COUNT, FORMAT, CHECKER],
        size: Size::Input,
        price: Price::Megapixel(350),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-general/inpainting",
        fields: &[
            PROMPT, NEGATIVE, IMAGE, MASK, STRENGTH, SIZE, STEPS, LORAS, GENERAL, SEED, COUNT, FORMAT,
            CHECKER,
        ],
        size: Size::Input,
        price: Price::Megapixel(750),
        ..DEV
    },
    PRO,
    Model {
        name: "fal-ai/flux-pro/v1.1-ultra",
        fields: &[
            PROMPT,
            RATIO,
            &[may("image_url", Picture), may("image_prompt_strength", UNIT), may("raw", Bool)],
            SEED,
            COUNT,
            FORMAT,
            TOLERANCE,
        ],
        size: Size::Ratio(4.0 * MEGAPIXEL, "16:9"),
        price: Price::Picture(600),
        ..PRO
    },
    Model {
        name: "fal-ai/flux-pro/v1.1/redux",
        fields: &[IMAGE, &[may("prompt", TEXT)], SIZE, SEED, COUNT, FORMAT, TOLERANCE],
        price: Price::Megapixel(500),
        ..PRO
    },
    Model {
        name: "fal-ai/flux-pro/v1.1-ultra/redux",
        fields: &[
            IMAGE,
            &[may("prompt", TEXT), may("image_prompt_strength", UNIT), may("raw", Bool)],
            RATIO,
            SEED,
            COUNT,
            FORMAT,
            TOLERANCE,
        ],
        size: Size::Ratio(4.0 * MEGAPIXEL, "16:9"),
        price: Price::Picture(600),
        ..PRO
    },
    Model {
        name: "fal-ai/flux-pro/v1/fill",
        fields: &[PROMPT, IMAGE, MASK, SEED, COUNT, FORMAT, TOLERANCE],
        size: Size::Input,
        price: Price::Megapixel(500),
        ..PRO
    },
    KONTEXT,
    KONTEXT_TEXT,
    Model { name: "fal-ai/flux-pro/kontext/max/text-to-image", price: Price::Picture(800), ..KONTEXT_TEXT },
    Model { name: "fal-ai/flux-pro/kontext/max", price: Price::Picture(800), ..KONTEXT },
    Model { name: "fal-ai/flux-pro/kontext/multi", fields: KONTEXT_MULTI, ..KONTEXT },
    Model {
        name: "fal-ai/flux-pro/kontext/max/multi",
        fields: KONTEXT_MULTI,
        price: Price::Picture(800),
        ..KONTEXT
    },
    // FLUX.2
    SECOND,
    Model { name: "fal-ai/flux-2-max", price: Price::Stepped(700, 300), ..SECOND },
    Model { name: "fal-ai/flux-2-flex", price: Price::Stepped(500, 500), ..SECOND },
    Model { name: "fal-ai/flux-2", price: Price::Stepped(120, 120), ..SECOND },
    Model { name: "fal-ai/flux-2/klein/9b", price: Price::Stepped(150, 20), ..SECOND },
    SECOND_EDIT,
    Model { name: "fal-ai/flux-2-max/edit", price: Price::Stepped(700, 300), ..SECOND_EDIT },
    Model { name: "fal-ai/flux-2/edit", price: Price::Stepped(120, 120), ..SECOND_EDIT },
    Model { name: "fal-ai/flux-2/klein/9b/edit", price: Price::Stepped(150, 20), ..SECOND_EDIT },
    Model { name: "fal-ai/flux-2-flex/edit", price: Price::Stepped(500, 500), ..SECOND_EDIT },
    Model {
        name: "fal-ai/flux-2-pro/outpaint",
        fields: &[
            IMAGE,
            MARGINS,
            &[may("auto_crop", Bool), may("mode", Choice(&["high", "fast"]))],
            SEED,
            FORMAT,
            TOLERANCE_2,
        ],
        size: Size::Grown,
        ..SECOND
    },
];

//! The models, as in their input schemas and the vendor's price list.

use crate::material::Polarity::{Black, White};
use crate::picture::Format;

use super::models::Kind::*;
use super::models::{Field, Fit, Kind, Model, Price, Size, may, must};

const RATIOS: Kind =
    Choice(&["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21"]);
const CUSTOM_RATIOS: Kind =
    Choice(&["custom", "1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3"]);
const MATCHING_RATIOS: Kind = Choice(&[
    "match_input_image",
    "custom",
    "1:1",
    "16:9",
    "9:16",
    "4:3",
    "3:4",
    "3:2",
    "2:3",
    "4:5",
    "5:4",
    "21:9",
    "9:21",
]);
const IDEOGRAM_RATIOS: Kind = Choice(&[
    "1:3", "3:1", "1:2", "2:1", "9:16", "16:9", "10:16", "16:10", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4",
    "1:1",
]);
const SEED: Field = may("seed", Int(0, 2_147_483_647));
const UNIT: Kind = Number(0.0, 1.0);

// Groups of fields.
const PROMPT: &[Field] = &[must("prompt", Text)];
const OWN_PROMPT: &[Field] = &[may("prompt", Text)];
const OPEN: &[Field] = &[
    SEED,
    may("num_outputs", Int(1, 4)),
    may("output_format", Choice(&["webp", "jpg", "png"])),
    may("output_quality", Int(0, 100)),
    may("disable_safety_checker", Bool),
];
const FAST: &[Field] =
    &[may("aspect_ratio", RATIOS), may("megapixels", Choice(&["1", "0.25"])), may("go_fast", Bool)];
const GUIDED: &[Field] = &[may("num_inference_steps", Int(1, 50)), may("guidance", Number(0.0, 10.0))];
const PRO: &[Field] = &[
    SEED,
    may("output_format", Choice(&["webp", "jpg", "png"])),
    may("output_quality", Int(0, 100)),
    may("prompt_upsampling", Bool),
];
const KONTEXT: &[Field] = &[
    SEED,
    may("input_image", Picture),
    may("aspect_ratio", MATCHING_RATIOS),
    may("output_format", Choice(&["jpg", "png"])),
    may("safety_tolerance", Int(0, 6)),
    may("prompt_upsampling", Bool),
];
const SECOND: &[Field] = &[
    SEED,
    may("input_images", Pictures(8)),
    may("aspect_ratio", MATCHING_RATIOS),
    may("resolution", Choice(&["match_input_image", "0.5 MP", "1 MP", "2 MP", "4 MP"])),
    may("width", Int(256, 2048)),
    may("height", Int(256, 2048)),
    may("safety_tolerance", Int(1, 5)),
    may("output_format", Choice(&["webp", "jpg", "png"])),
    may("output_quality", Int(0, 100)),
];
const IDEOGRAM: &[Field] = &[
    SEED,
    may("aspect_ratio", IDEOGRAM_RATIOS),
    may("resolution", Text),
    may("magic_prompt_option", Choice(&["Auto", "On", "Off"])),
    may("image", Picture),
    may("mask", Mask(Black, Fit::Any)),
];
const STYLE_2: &[Field] = &[
    may("style_type", Choice(&["None", "Auto", "General", "Realistic", "Design", "Render 3D", "Anime"])),
    may("negative_prompt", Text),
];
const STYLE_3: &[Field] = &[
    may("style_type", Choice(&["None", "Auto", "General", "Realistic", "Design"])),
    may("style_reference_images", Pictures(10)),
];
const HIDREAM: &[Field] = &[
    SEED,
    may("resolution", Text),
    may("speed_mode", Text),
    may("output_format", Choice(&["webp", "jpg", "png"])),
    may("output_quality", Int(1, 100)),
];

const SCHNELL: Model = Model {
    name: "black-forest-labs/flux-schnell",
    official: true,
    fields: &[PROMPT, FAST, &[may("num_inference_steps", Int(1, 4))], OPEN],
    size: Size::Ratio,
    price: Price::Picture(30),
    list: true,
    format: Format::Webp,
    gone: false,
};
const ONE: Model = Model {
    name: "black-forest-labs/flux-1.1-pro",
    fields: &[
        PROMPT,
        &[
            may("image_prompt", Picture),
            may("aspect_ratio", CUSTOM_RATIOS),
            may("width", Int(256, 1440)),
            may("height", Int(256, 1440)),
            may("safety_tolerance", Int(1, 6)),
        ],
        PRO,
    ],
    size: Size::Custom("1:1"),
    price: Price::Picture(400),
    list: false,
    ..SCHNELL
};
const CONTEXT: Model = Model {
    name: "black-forest-labs/flux-kontext-pro",
    fields: &[PROMPT, KONTEXT],
    size: Size::Custom("match_input_image"),
    format: Format::Png,
    ..ONE
};
const IDEOGRAM_2: Model = Model {
    name: "ideogram-ai/ideogram-v2",
    fields: &[PROMPT, IDEOGRAM, STYLE_2],
    size: Size::Ideogram,
    price: Price::Picture(800),
    format: Format::Png,
    ..ONE
};
const IDEOGRAM_3: Model =
    Model { name: "ideogram-ai/ideogram-v3-turbo", fields: &[PROMPT, IDEOGRAM, STYLE_3], ..IDEOGRAM_2 };
const COMMUNITY: Model = Model {
    name: "prunaai/hidream-l1-fast",
    official: false,
    fields: &[PROMPT, HIDREAM],
    size: Size::Written,
    price: Price::Run(100),
    ..ONE
};

pub(super) static MODELS: [Model; 25] = [
    SCHNELL,
    Model {
        name: "black-forest-labs/flux-dev",
        fields: &[PROMPT, &[may("image", Picture), may("prompt_strength", UNIT)], FAST, GUIDED, OPEN],
        price: Price::Picture(250),
        ..SCHNELL
    },
    ONE,
    Model {
        name: "black-forest-labs/flux-redux-dev",
        fields: &[
            &[
                must("redux_image", Picture),
                may("aspect_ratio", RATIOS),
                may("megapixels", Choice(&["1", "0.25"])),
            ],
            GUIDED,
            OPEN,
        ],
        price: Price::Picture(250),
        ..SCHNELL
    },
    Model {
        name: "black-forest-labs/flux-fill-dev",
        fields: &[
            OWN_PROMPT,
            &[
                must("image", Picture),
                may("mask", Mask(White, Fit::Same)),
                may("num_inference_steps", Int(1, 50)),
                may("guidance", Number(0.0, 100.0)),
                may("megapixels", Choice(&["1", "0.25", "match_input"])),
            ],
            OPEN,
        ],
        size: Size::Input,
        price: Price::Picture(400),
        ..SCHNELL
    },
    Model {
        name: "black-forest-labs/flux-fill-pro",
        fields: &[
            OWN_PROMPT,
            &[
                SEED,
                must("image", Picture),
                may("mask", Mask(White, Fit::Same)),
                may(
                    "outpaint",
                    Choice(&[
                        "None",
                        "Zoom out 1.5x",
                        "Zoom out 2x",
                        "Make square",
                        "Left outpaint",
                        "Right outpaint",
                        "Top outpaint",
                        "Bottom outpaint",
                    ]),
                ),
                may("steps", Int(15, 50)),
                may("guidance", Number(1.5, 100.0)),
                may("prompt_upsampling", Bool),
                may("safety_tolerance", Int(1, 6)),
                may("output_format", Choice(&["jpg", "png"])),
            ],
        ],
        size: Size::Input,
        price: Price::Picture(500),
        format: Format::Jpeg,
        ..ONE
    },
    CONTEXT,
    Model { name: "black-forest-labs/flux-kontext-max", price: Price::Picture(800), ..CONTEXT },
    Model {
        name: "black-forest-labs/flux-2-pro",
        fields: &[PROMPT, SECOND],
        price: Price::Stepped(300, 150),
        ..ONE
    },
    Model {
        name: "black-forest-labs/flux-2-flex",
        fields: &[PROMPT, SECOND],
        price: Price::Stepped(500, 500),
        ..ONE
    },
    IDEOGRAM_2,
    Model { name: "ideogram-ai/ideogram-v2-turbo", price: Price::Picture(500), ..IDEOGRAM_2 },
    Model { price: Price::Picture(300), ..IDEOGRAM_3 },
    Model { name: "ideogram-ai/ideogram-v3-balanced", price: Price::Picture(600), ..IDEOGRAM_3 },
    Model { name: "ideogram-ai/ideogram-v3-quality", price: Price::Picture(900), ..IDEOGRAM_3 },
    Model {
        name: "google/nano-banana-pro",
        fields: &[
            PROMPT,
            &[
                may("image_input", Pictures(14)),
                may("aspect_ratio", MATCHING_RATIOS),
                may("resolution", Choice(&["1K", "2K", "4K"])),
                may("output_format", Choice(&["jpg", "png"])),
                may(
                    "safety_filter_level",
                    Choice(&["block_low_and_above", "block_medium_and_above", "block_only_high"]),
                ),
            ],
        ],
        price: Price::Picture(1500),
        ..ONE
    },
    Model {
        name: "google/imagen-3",
        fields: &[
            PROMPT,
            &[
                may("aspect_ratio", Choice(&["1:1", "9:16", "16:9", "3:4", "4:3"])),
                may(
                    "safety_filter_level",
                    Choice(&["block_low_and_above", "block_medium_and_above", "block_only_high"]),
                ),
            ],
        ],
        format: Format::Png,
        gone: true,
        ..ONE
    },
    Model {
        name: "bytedance/sdxl-lightning-4step",
        fields: &[
            OWN_PROMPT,
            &[
                SEED,
                may("negative_prompt", Text),
                may("width", Int(256, 1280)),
                may("height", Int(256, 1280)),
                may("num_outputs", Int(1, 4)),
                may(
                    "scheduler",
                    Choice(&[
                        "DDIM",
                        "DPMSolverMultistep",
                        "HeunDiscrete",
                        "KarrasDPM",
                        "K_EULER_ANCESTRAL",
                        "K_EULER",
                        "PNDM",
                        "DPM++2MSDE",
                    ]),
                ),
                may("num_inference_steps", Int(1, 10)),
                may("guidance_scale", Number(0.0, 50.0)),
                may("disable_safety_checker", Bool),
            ],
        ],
        size: Size::Sides(("width", 1024), ("height", 1024)),
        price: Price::Picture(14),
        list: true,
        format: Format::Png,
        ..COMMUNITY
    },
    Model {
        name: "playgroundai/playground-v2.5-1024px-aesthetic",
        fields: &[
            OWN_PROMPT,
            &[
                SEED,
                may("negative_prompt", Text),
                may("image", Picture),
                may("mask", Mask(White, Fit::Any)),
                may("prompt_strength", UNIT),
                may("width", Int(256, 1536)),
                may("height", Int(256, 1536)),
                may("num_outputs", Int(1, 4)),
                may("scheduler", Choice(&["DPMSolver++", "DPM++2MSDE", "DDIM", "KDPM2", "K_EULER", "PNDM"])),
                may("num_inference_steps", Int(1, 60)),
                may("guidance_scale", Number(0.1, 20.0)),
                may("apply_watermark", Bool),
                may("disable_safety_checker", Bool),
            ],
        ],
        size: Size::Sides(("width", 1024), ("height", 1024)),
        price: Price::Picture(30),
        list: true,
        format: Format::Png,
        ..COMMUNITY
    },
    COMMUNITY,
    Model { name: "prunaai/hidream-l1-dev", price: Price::Run(300), ..COMMUNITY },
    Model { name: "prunaai/hidream-l1-full", price: Price::Run(500), ..COMMUNITY },
    Model {
        name: "nightmareai/real-esrgan",
        fields: &[&[must("image", Picture), may("scale", Number(0.0, 10.0)), may("face_enhance", Bool)]],
        size: Size::Scaled,
        price: Price::Run(20),
        format: Format::Png,
        ..COMMUNITY
    },
    Model {
        name: "zsxkib/pulid",
        fields: &[
            OWN_PROMPT,
            &[
                SEED,
                must("main_face_image", Picture),
                may("auxiliary_face_image1", Picture),
                may("auxiliary_face_image2", Picture),
                may("auxiliary_face_image3", Picture),
                may("negative_prompt", Text),
                may("cfg_scale", Number(1.0, 1.5)),
                may("num_steps", Int(1, 100)),
                may("image_width", Int(512, 2024)),
                may("image_height", Int(512, 2024)),
                may("identity_scale", Number(0.0, 5.0)),
                may("mix_identities", Bool),
                may("num_samples", Int(1, 8)),
                may("generation_mode", Choice(&["fidelity", "extremely style"])),
                may("output_format", Choice(&["png", "jpg", "webp"])),
                may("output_quality", Int(0, 100)),
            ],
        ],
        size: Size::Sides(("image_width", 768), ("image_height", 1024)),
        price: Price::Run(200),
        list: true,
        ..COMMUNITY
    },
    Model {
        name: "lucataco/ip-adapter-faceid",
        fields: &[
            OWN_PROMPT,
            &[
                SEED,
                must("face_image", Picture),
                may("negative_prompt", Text),
                may("width", Int(64, 2048)),
                may("height", Int(64, 2048)),
                may("num_outputs", Int(1, 4)),
                may("num_inference_steps", Int(1, 200)),
                may("agree_to_research_only", Bool),
            ],
        ],
        size: Size::Sides(("width", 1024), ("height", 1024)),
        price: Price::Run(200),
        list: true,
        format: Format::Png,
        ..COMMUNITY
    },
];

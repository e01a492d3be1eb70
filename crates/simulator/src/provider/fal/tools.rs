//! Models that work on an image, as in fal's API reference and price list.

use crate::picture::Format;

use super::flux::DEV;
use super::groups::*;
use super::models::Kind::*;
use super::models::{Filter, Model, Output, Price, Size, may, must};

const UPSCALER: Model = Model {
    name: "fal-ai/esrgan",
    fields: &[
        IMAGE,
        &[
            may("scale", Number(1.0, 8.0)),
            may("tile", Int(0, 1000)),
            may("face", Bool),
            may(
                "model",
                Choice(&[
                    "RealESRGAN_x4plus",
                    "RealESRGAN_x2plus",
                    "RealESRGAN_x4plus_anime_6B",
                    "RealESRGAN_x4_v3",
                    "RealESRGAN_x4_wdn_v3",
                    "RealESRGAN_x4_anime_v3",
                ]),
            ),
        ],
        FORMAT,
    ],
    size: Size::Scaled("scale", 2.0),
    price: COMPUTED,
    output: Output::Image,
    format: Format::Png,
    ..DEV
};

pub(super) static MODELS: &[Model] = &[
    // Upscalers
    UPSCALER,
    Model {
        name: "fal-ai/clarity-upscaler",
        fields: &[
            IMAGE,
            &[
                may("prompt", TEXT),
                may("upscale_factor", Number(1.0, 4.0)),
                may("creativity", UNIT),
                may("resemblance", UNIT),
                may("guidance_scale", Number(0.0, 20.0)),
                may("num_inference_steps", Int(4, 50)),
            ],
            NEGATIVE,
            SEED,
            CHECKER,
        ],
        size: Size::Scaled("upscale_factor", 2.0),
        price: Price::Megapixel(300),
        ..UPSCALER
    },
    Model {
        name: "fal-ai/aura-sr",
        fields: &[
            IMAGE,
            &[
                may("upscale_factor", Only(4)),
                may("overlapping_tiles", Bool),
                may("checkpoint", Choice(&["v1", "v2"])),
            ],
        ],
        size: Size::Scaled("upscale_factor", 4.0),
        ..UPSCALER
    },
    Model {
        name: "fal-ai/seedvr/upscale/image",
        fields: &[
            IMAGE,
            &[may("upscale_factor", Number(1.0, 10.0)), may("noise_scale", UNIT)],
            SEED,
            FORMAT_3,
        ],
        size: Size::Scaled("upscale_factor", 2.0),
        price: Price::Megapixel(10),
        ..UPSCALER
    },
    Model {
        name: "fal-ai/topaz/upscale/image",
        fields: &[
            IMAGE,
            &[may("upscale_factor", Number(1.0, 4.0)), may("model", TEXT), may("face_enhancement", Bool)],
            FORMAT,
        ],
        size: Size::Scaled("upscale_factor", 2.0),
        price: Price::Picture(800),
        format: Format::Jpeg,
        ..UPSCALER
    },
    Model {
        name: "fal-ai/creative-upscaler",
        fields: &[
            IMAGE,
            &[
                may("prompt", TEXT),
                may("scale", Number(1.0, 5.0)),
                may("creativity", UNIT),
                may("detail", Number(0.0, 5.0)),
                may("shape_preservation", Number(0.0, 3.0)),
            ],
            NEGATIVE,
            SEED,
            CHECKER,
        ],
        ..UPSCALER
    },
    Model {
        name: "fal-ai/ccsr",
        fields: &[IMAGE, &[may("scale", Number(1.0, 4.0)), may("steps", Int(10, 100))], SEED],
        ..UPSCALER
    },
    // Larger canvases
    Model {
        name: "fal-ai/image-apps-v2/outpaint",
        fields: &[IMAGE, SHORT_MARGINS, COUNT, FORMAT, &[may("sync_mode", Bool)], CHECKER],
        size: Size::Grown,
        price: Price::Megapixel(350),
        format: Format::Png,
        ..DEV
    },
    Model {
        name: "fal-ai/bria/expand",
        fields: &[
            IMAGE,
            &[
                must("canvas_size", Pair),
                may(
                    "aspect_ratio",
                    Choice(&["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9"]),
                ),
                may("original_image_size", Pair),
                may("original_image_location", Pair),
                may("prompt", TEXT),
            ],
            NEGATIVE,
            SEED,
        ],
        size: Size::Canvas,
        price: Price::Picture(400),
        output: Output::Image,
        filter: Filter::Maker,
        format: Format::Png,
    },
    // Style and character
    Model {
        name: "fal-ai/image-apps-v2/style-transfer",
        fields: &[
            IMAGE,
            &[may("target_style", Text(1, 200)), may("style_reference_image_url", Picture)],
            COUNT,
            FORMAT,
            CHECKER,
        ],
        size: Size::Input,
        price: Price::Picture(400),
        ..DEV
    },
    Model {
        name: "fal-ai/flux-pulid",
        fields: &[
            PROMPT,
            NEGATIVE,
            SIZE,
            &[
                must("reference_image_url", Picture),
                may("id_weight", UNIT),
                may("start_step", Int(0, 20)),
                may("true_cfg", Number(1.0, 20.0)),
                may("num_inference_steps", Int(1, 50)),
                may("guidance_scale", Number(0.0, 20.0)),
                may("max_sequence_length", Choice(&["128", "256", "512"])),
            ],
            SEED,
            CHECKER,
        ],
        price: Price::Megapixel(330),
        ..DEV
    },
    Model {
        name: "fal-ai/pulid",
        fields: &[
            PROMPT,
            NEGATIVE,
            SIZE,
            &[
                must("reference_images", Faces(4)),
                may("id_scale", Number(0.0, 5.0)),
                may("mode", Choice(&["fidelity", "extreme style"])),
                may("num_inference_steps", Int(1, 12)),
                may("guidance_scale", Number(1.0, 1.5)),
                may("id_mix", Bool),
            ],
            SEED,
            COUNT,
        ],
        size: Size::Preset("square_hd"),
        price: COMPUTED,
        ..DEV
    },
    Model {
        name: "fal-ai/ip-adapter-face-id",
        fields: &[
            PROMPT,
            NEGATIVE,
            &[
                may("face_image_url", Picture),
                may("face_images_data_url", TEXT),
                may(
                    "model_type",
                    Choice(&[
                        "1_5-v1",
                        "1_5-v1-plus",
                        "1_5-v2-plus",
                        "SDXL-v1",
                        "SDXL-v2-plus",
                        "1_5-auraface-v1",
                    ]),
                ),
                may("num_inference_steps", Int(1, 200)),
                may("guidance_scale", Number(0.0, 16.0)),
                may("width", Int(64, 1536)),
                may("height", Int(64, 1536)),
            ],
            SEED,
        ],
        size: Size::Sides(512),
        price: COMPUTED,
        output: Output::Image,
        format: Format::Png,
        ..DEV
    },
    Model {
        name: "fal-ai/instant-character",
        fields: &[
            PROMPT,
            NEGATIVE,
            IMAGE,
            SIZE,
            &[may("scale", Number(0.0, 2.0))],
            STEPS,
            SEED,
            COUNT,
            FORMAT,
            CHECKER,
        ],
        size: Size::Preset("square_hd"),
        price: Price::Megapixel(1000),
        ..DEV
    },
];

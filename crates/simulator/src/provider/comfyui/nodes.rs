//! The kinds of nodes that are installed: what goes in, and what comes out.

use serde_json::{Map, Value, json};

pub(super) const CHECKPOINTS: &[&str] = &["sd_xl_base_1.0.safetensors"];
pub(super) const UPSCALERS: &[&str] = &["RealESRGAN_x4plus.pth"];
const SAMPLERS: &[&str] = &[
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "gradient_estimation",
    "er_sde",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
];
const SCHEDULERS: &[&str] = &[
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
];
const SCALINGS: &[&str] = &["nearest-exact", "bilinear", "area", "bicubic", "lanczos"];

/// What an input takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// What another node makes, of this type.
    Link(&'static str),
    Int(i128, i128),
    Float(f64, f64),
    Text,
    OneOf(&'static [&'static str]),
    /// An uploaded image.
    File,
}

#[derive(Debug)]
pub(super) struct Node {
    pub class: &'static str,
    pub inputs: &'static [(&'static str, Kind)],
    pub outputs: &'static [&'static str],
    /// Whether it makes files, so that it is what a graph is run for.
    pub is_output: bool,
}

use Kind::{File, Float, Int, Link, OneOf, Text};

const SIDE: Kind = Int(16, 16_384);
const SIZE: Kind = Int(0, 16_384);
const LATENT: &[(&str, Kind)] = &[("width", SIDE), ("height", SIDE), ("batch_size", Int(1, 4096))];

const fn node(
    class: &'static str,
    inputs: &'static [(&'static str, Kind)],
    outputs: &'static [&'static str],
) -> Node {
    Node { class, inputs, outputs, is_output: outputs.is_empty() }
}

static NODES: [Node; 18] = [
    node("CheckpointLoaderSimple", &[("ckpt_name", OneOf(CHECKPOINTS))], &["MODEL", "CLIP", "VAE"]),
    node("EmptyLatentImage", LATENT, &["LATENT"]),
    node("EmptySD3LatentImage", LATENT, &["LATENT"]),
    node("CLIPTextEncode", &[("text", Text), ("clip", Link("CLIP"))], &["CONDITIONING"]),
    node(
        "KSampler",
        &[
            ("model", Link("MODEL")),
            ("seed", Int(0, u64::MAX as i128)),
            ("steps", Int(1, 10_000)),
            ("cfg", Float(0.0, 100.0)),
            ("sampler_name", OneOf(SAMPLERS)),
            ("scheduler", OneOf(SCHEDULERS)),
            ("positive", Link("CONDITIONING")),
            ("negative", Link("CONDITIONING")),
            ("latent_image", Link("LATENT")),
            ("denoise", Float(0.0, 1.0)),
        ],
        &["LATENT"],
    ),
    node("VAEDecode", &[("samples", Link("LATENT")), ("vae", Link("VAE"))], &["IMAGE"]),
    node("VAEEncode", &[("pixels", Link("IMAGE")), ("vae", Link("VAE"))], &["LATENT"]),
    node(
        "VAEEncodeForInpaint",
        &[
            ("pixels", Link("IMAGE")),
            ("vae", Link("VAE")),
            ("mask", Link("MASK")),
            ("grow_mask_by", Int(0, 64)),
        ],
        &["LATENT"],
    ),
    node("SetLatentNoiseMask", &[("samples", Link("LATENT")), ("mask", Link("MASK"))], &["LATENT"]),
    node("LoadImage", &[("image", File)], &["IMAGE", "MASK"]),
    node(
        "LoadImageMask",
        &[("image", File), ("channel", OneOf(&["alpha", "red", "green", "blue"]))],
        &["MASK"],
    ),
    node(
        "ImagePadForOutpaint",
        &[
            ("image", Link("IMAGE")),
            ("left", SIZE),
            ("top", SIZE),
            ("right", SIZE),
            ("bottom", SIZE),
            ("feathering", SIZE),
        ],
        &["IMAGE", "MASK"],
    ),
    node("UpscaleModelLoader", &[("model_name", OneOf(UPSCALERS))], &["UPSCALE_MODEL"]),
    node(
        "ImageUpscaleWithModel",
        &[("upscale_model", Link("UPSCALE_MODEL")), ("image", Link("IMAGE"))],
        &["IMAGE"],
    ),
    node(
        "ImageScale",
        &[
            ("image", Link("IMAGE")),
            ("upscale_method", OneOf(SCALINGS)),
            ("width", SIZE),
            ("height", SIZE),
            ("crop", OneOf(&["disabled", "center"])),
        ],
        &["IMAGE"],
    ),
    node(
        "ImageScaleBy",
        &[("image", Link("IMAGE")), ("upscale_method", OneOf(SCALINGS)), ("scale_by", Float(0.01, 8.0))],
        &["IMAGE"],
    ),
    node("SaveImage", &[("images", Link("IMAGE")), ("filename_prefix", Text)], &[]),
    node("PreviewImage", &[("images", Link("IMAGE"))], &[]),
];

pub(super) fn find(class: &str) -> Option<&'static Node> {
    NODES.iter().find(|n| n.class == class)
}

pub(super) fn all() -> impl Iterator<Item = &'static Node> {
    NODES.iter()
}

impl Kind {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Link(name) => name,
            Int(..) => "INT",
            Float(..) => "FLOAT",
            Text => "STRING",
            OneOf(_) | File => "COMBO",
        }
    }

    /// As `/object_info` describes it.
    pub(super) fn to_json(self) -> Value {
        match self {
            Int(from, to) => json!(["INT", {"min": number(from), "max": number(to)}]),
            Float(from, to) => json!(["FLOAT", {"min": from, "max": to}]),
            Text => json!(["STRING", {}]),
            OneOf(names) => json!([names]),
            File => json!([[], {"image_upload": true}]),
            Link(name) => json!([name]),
        }
    }
}

fn number(n: i128) -> Value {
    u64::try_from(n).map_or(Value::Null, Value::from)
}

impl Node {
    pub(super) fn to_json(&self) -> Value {
        let required: Map<String, Value> =
            self.inputs.iter().map(|(name, kind)| ((*name).to_owned(), kind.to_json())).collect();
        let order: Vec<&str> = self.inputs.iter().map(|(name, _)| *name).collect();
        json!({
            "input": {"required": required},
            "input_order": {"required": order},
            "output": self.outputs,
            "output_is_list": vec![false; self.outputs.len()],
            "output_name": self.outputs,
            "name": self.class,
            "display_name": self.class,
            "description": "",
            "python_module": "nodes",
            "category": "simulated",
            "output_node": self.is_output,
        })
    }
}

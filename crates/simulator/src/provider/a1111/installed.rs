//! What is installed on this server: checkpoints, samplers, upscalers, ControlNet models.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Wrong;

/// Titles of the checkpoints with their names and hashes. The first one is loaded at the start.
pub(super) const CHECKPOINTS: [(&str, &str, &str); 3] = [
    ("v1-5-pruned-emaonly.safetensors [6ce0161689]", "v1-5-pruned-emaonly", "6ce0161689"),
    ("sd_xl_base_1.0.safetensors [31e35c80fc]", "sd_xl_base_1.0", "31e35c80fc"),
    ("dreamshaper_8.safetensors [879db523c3]", "dreamshaper_8", "879db523c3"),
];
const SAMPLERS: [&str; 10] =
    ["DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "Euler a", "Euler", "LMS", "Heun", "DPM2", "DDIM", "UniPC"];
/// Names that older versions gave to a sampler together with a scheduler, still understood.
const OLD_SAMPLERS: [&str; 3] = ["DPM++ 2M Karras", "DPM++ SDE Karras", "DPM++ 2M SDE Karras"];
const SCHEDULERS: [&str; 7] =
    ["automatic", "uniform", "karras", "exponential", "polyexponential", "sgm_uniform", "simple"];
const UPSCALERS: [&str; 8] =
    ["None", "Lanczos", "Nearest", "ESRGAN_4x", "LDSR", "R-ESRGAN 4x+", "R-ESRGAN 4x+ Anime6B", "SwinIR_4x"];
/// They enlarge while drawing, not afterwards.
const LATENT_UPSCALERS: [&str; 2] = ["Latent", "Latent (nearest-exact)"];
const MODULES: [&str; 12] = [
    "none",
    "canny",
    "depth_midas",
    "openpose",
    "lineart_realistic",
    "softedge_pidinet",
    "tile_resample",
    "inpaint_only",
    "reference_only",
    "ip-adapter-auto",
    "ip-adapter_clip_sd15",
    "ip-adapter_face_id_plus",
];
const MODELS: [&str; 7] = [
    "control_v11p_sd15_canny [d14c016b]",
    "control_v11f1p_sd15_depth [cfd03158]",
    "control_v11p_sd15_openpose [cab727d4]",
    "control_v11f1e_sd15_tile [a371b31b]",
    "control_v11p_sd15_inpaint [ebff9138]",
    "ip-adapter-plus-face_sd15 [7f7a633a]",
    "ip-adapter_sd15 [6a3f6166]",
];

fn alike(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The title of this checkpoint, by title, file, name or hash.
pub(super) fn checkpoint(name: &str) -> Result<&'static str, Wrong> {
    let known = |(title, plain, hash): &&(&str, &str, &str)| {
        *title == name || *plain == name || *hash == name || title.split(' ').next() == Some(name)
    };
    let found = CHECKPOINTS.iter().find(known).map(|(title, ..)| *title);
    found.ok_or_else(|| Wrong::raised(StatusCode::NOT_FOUND, "Model not found"))
}

pub(super) fn check_sampler(name: &str) -> Result<(), Wrong> {
    let known = SAMPLERS.iter().chain(&OLD_SAMPLERS).any(|s| alike(s, name));
    known.then_some(()).ok_or_else(|| Wrong::raised(StatusCode::NOT_FOUND, "Sampler not found"))
}

pub(super) fn check_scheduler(name: &str) -> Result<(), Wrong> {
    let known = SCHEDULERS.iter().any(|s| alike(s, name));
    known.then_some(()).ok_or_else(|| Wrong::raised(StatusCode::NOT_FOUND, "Scheduler not found"))
}

/// An upscaler for a drawn image, or with `latent` also one for an image being drawn.
pub(super) fn check_upscaler(name: &str, latent: bool) -> Result<(), Wrong> {
    let known = UPSCALERS.contains(&name) || latent && LATENT_UPSCALERS.contains(&name);
    known
        .then_some(())
        .ok_or_else(|| Wrong::crash("AssertionError", &format!("could not find upscaler named {name}")))
}

pub(super) fn has_module(name: &str) -> bool {
    MODULES.contains(&name)
}

/// ControlNet models go by their name with the hash.
pub(super) fn has_model(name: &str) -> bool {
    name == "None" || MODELS.contains(&name)
}

pub(super) fn options(checkpoint: &str) -> Value {
    json!({
        "samples_format": "png",
        "return_grid": true,
        "sd_model_checkpoint": checkpoint,
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
        "api_enable_requests": false,
    })
}

/// What can be listed under this name.
pub(super) fn list(name: &str) -> Option<Value> {
    let named = |names: &[&str]| names.iter().map(|name| json!({ "name": name })).collect::<Value>();
    Some(match name {
        "sd-models" => CHECKPOINTS
            .iter()
            .map(|(title, name, hash)| {
                json!({
                    "title": title,
                    "model_name": name,
                    "hash": hash,
                    "sha256": null,
                    "filename": format!("/models/Stable-diffusion/{name}.safetensors"),
                    "config": null,
                })
            })
            .collect(),
        "samplers" => {
            SAMPLERS.iter().map(|name| json!({"name": name, "aliases": [], "options": {}})).collect()
        }
        "schedulers" => SCHEDULERS.iter().map(|name| json!({"name": name, "label": name})).collect(),
        "upscalers" => named(&UPSCALERS),
        "latent-upscale-modes" => named(&LATENT_UPSCALERS),
        "scripts" => json!({"txt2img": ["controlnet"], "img2img": ["controlnet"]}),
        "loras" => json!([]),
        "embeddings" => json!({"loaded": {}, "skipped": {}}),
        "controlnet/version" => json!({"version": 3}),
        "controlnet/model_list" => json!({ "model_list": MODELS }),
        "controlnet/module_list" => json!({ "module_list": MODULES }),
        _ => return None,
    })
}

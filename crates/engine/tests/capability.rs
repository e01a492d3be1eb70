//! What is known of well-known models must come out of the requests that are really prepared for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_engine::capability::{Capability, PARAMETERS, State, of};
use image_gen_engine::catalogue;
use image_gen_engine::job::Task;
use serde_json::json;

fn state(kind: &str, model: &str, task: Task, parameter: &str) -> State {
    let candidate = catalogue::shipped().candidate(kind, model);
    let candidate = candidate.unwrap_or_else(|| panic!("no {model} at {kind}"));
    let found = of(&candidate).into_iter().find(|c| c.task == task && c.parameter == parameter);
    found.unwrap_or_else(|| panic!("{model} at {kind} does not {task:?}")).state
}

#[test]
fn what_is_known_of_well_known_models_is_found_out() {
    // N17
    use State::*;
    let renamed = |field: &str| Renamed { field: field.into() };
    let flare = ("openai", "gpt-image-2.6-flare");
    let sd35 = ("stability", "sd3.5-large");
    let gemini = ("google", "gemini-nano-banana-2.1");
    for ((kind, model), task, parameter, expected) in [
        (("bfl", "flux-1.1-pro"), Task::Generate, "prompt", Forwarded),
        (("bfl", "flux-1.1-pro"), Task::Generate, "seed", Forwarded),
        (("bfl", "flux-1.1-pro"), Task::Generate, "size", Forwarded),
        (("bfl", "flux-1.1-pro"), Task::Generate, "steps", Unsupported),
        (("bfl", "flux-1.1-pro"), Task::Generate, "n", Unsupported),
        (("bfl", "flux-1.1-pro"), Task::Generate, "image", Unsupported),
        (("bfl", "flux-1.1-pro"), Task::Generate, "reference_image", renamed("image_prompt")),
        (("bfl", "flux-1.1-pro"), Task::Generate, "consistency_mode", Unsupported),
        (("bfl", "flux-1.1-pro-ultra"), Task::Generate, "size", renamed("aspect_ratio")),
        (("bfl", "flux-1.1-pro-ultra"), Task::Variate, "variance", renamed("image_prompt_strength")),
        (("bfl", "flux-1-expand-pro"), Task::Outpaint, "borders", Forwarded),
        (flare, Task::Inpaint, "mask", Forwarded),
        (flare, Task::Inpaint, "image", Forwarded),
        (flare, Task::Generate, "seed", Unsupported),
        (flare, Task::Generate, "quality", Forwarded),
        (flare, Task::Generate, "n", Forwarded),
        (flare, Task::TransferStyle, "style_image", renamed("image[]")),
        // The engine pads: image and mask change.
        (flare, Task::Outpaint, "borders", Converted),
        (sd35, Task::Img2img, "image", Forwarded),
        (sd35, Task::Generate, "guidance", renamed("cfg_scale")),
        (sd35, Task::Generate, "size", renamed("aspect_ratio")),
        // S115
        (sd35, Task::Generate, "reference_image", Unsupported),
        (("stability", "stability-outpaint"), Task::Outpaint, "borders", Converted),
        (("stability", "stability-search-replace"), Task::Img2img, "seed", Forwarded),
        (gemini, Task::Generate, "seed", Forwarded),
        (gemini, Task::Generate, "prompt", renamed("contents[].parts[].text")),
        (gemini, Task::Img2img, "image", renamed("contents[].parts[].inlineData.data")),
        (gemini, Task::Generate, "negative_prompt", Unsupported),
        (("ideogram", "ideogram-3"), Task::Generate, "n", renamed("num_images")),
        (("ideogram", "ideogram-v2"), Task::Img2img, "seed", Forwarded),
        (
            ("ideogram", "ideogram-3-character"),
            Task::Generate,
            "reference_image",
            renamed("character_reference_images"),
        ),
        (("a1111", "sd-local"), Task::Generate, "guidance", renamed("cfg_scale")),
        (("a1111", "sd-local"), Task::Generate, "negative_prompt", Forwarded),
        (
            ("a1111", "*"),
            Task::Generate,
            "consistency_mode",
            renamed("alwayson_scripts.controlnet.args[].weight"),
        ),
        (("a1111", "r-esrgan-4x"), Task::Upscale, "scale", renamed("upscaling_resize")),
        (("comfyui", "sd-xl-base"), Task::Generate, "steps", Forwarded),
        (("comfyui", "sd-xl-base"), Task::Generate, "guidance", renamed("prompt.3.inputs.cfg")),
        (("comfyui", "sd-xl-base"), Task::Generate, "n", Converted),
        (("comfyui", "sd-xl-base"), Task::Img2img, "image", Forwarded),
        (("openrouter", "*"), Task::Img2img, "image", renamed("input_references[].image_url.url")),
        (
            ("openrouter", "gemini-nano-banana-2.1"),
            Task::Img2img,
            "image",
            renamed("input_references[].image_url.url"),
        ),
        (("fal", "flux-dev"), Task::Generate, "steps", renamed("num_inference_steps")),
        (("fal", "flux-dev"), Task::Generate, "size", Forwarded),
        (("fal", "*"), Task::Generate, "prompt", Forwarded),
        (("fal", "*"), Task::Inpaint, "mask", renamed("mask_url")),
        (("replicate", "*"), Task::Generate, "seed", Forwarded),
        (("replicate", "*"), Task::Generate, "negative_prompt", Unsupported),
        (("replicate", "flux-fill-pro"), Task::Inpaint, "mask", Forwarded),
        (("replicate", "flux-fill-pro"), Task::Outpaint, "borders", Converted),
        (("preview", "preview"), Task::Generate, "seed", Forwarded),
        (("preview", "preview"), Task::Generate, "guidance", Unsupported),
    ] {
        assert_eq!(state(kind, model, task, parameter), expected, "{parameter} in {task:?} of {model}");
    }
}

#[test]
fn every_task_of_every_model_passes_on_something() {
    for candidate in catalogue::shipped().candidates() {
        let all = of(&candidate);
        for task in candidate.operations.iter().copied() {
            let used = all.iter().filter(|c| c.task == task && c.state != State::Unsupported);
            assert!(used.count() > 0, "{task:?} of {}", candidate.name());
        }
        assert_eq!(all.len() % PARAMETERS.len(), 0);
    }
}

#[test]
fn a_row_of_the_table_is_flat() {
    let state = State::Renamed { field: "cfg_scale".into() };
    let row = Capability { task: Task::Img2img, parameter: "guidance", state };
    let expected = json!({"task": "img2img", "parameter": "guidance", "state": "renamed", "as": "cfg_scale"});
    assert_eq!(serde_json::to_value(&row).unwrap(), expected);
    let row = Capability { state: State::Unsupported, ..row };
    assert_eq!(serde_json::to_value(&row).unwrap()["state"], "unsupported");
}

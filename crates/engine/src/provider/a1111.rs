//! The web UI of AUTOMATIC1111 and its descendants, on the user's own machine: one call, one job at a time, the images
//! come back as base64. There is no filter and no bill.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, without_result};
use super::request_builder::{Encoding, RequestBuilder};
use super::{
    Call, NO_KEY, Output, Prepared, Prerequisite, Provider, Rejection, Reply, Source, base_url, seed_of,
    text_at,
};
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::input::Role;
use crate::job::{Invalid, Task};
use crate::lenient;

#[cfg(test)]
mod tests;

pub(super) struct A1111;

/// Only for a server that was started with `--api-auth`.
const AUTH: Auth = Auth { header: "authorization", prefix: "Basic ", basic: true };
/// Requests wait behind a lock until the ones before them are done.
const RENDER_TIMEOUT: Duration = Duration::from_secs(600);
/// The model that stands for whatever is loaded.
const LOADED: &str = "sd-local";
/// The name of the ControlNet model for a reference image: as an option, else as a prerequisite finds it.
const ADAPTER: &str = "controlnet_model";
/// Models that draw a subject from an image, best first. Their names go on with a hash.
const ADAPTERS: [&str; 4] =
    ["ip-adapter-plus-face_sd15", "ip-adapter-full-face_sd15", "ip-adapter-plus_sd15", "ip-adapter_sd15"];
/// How far an outpainting may stray from the smeared edge that it starts from.
const OUTPAINT_STRENGTH: f64 = 0.9;

impl Provider for A1111 {
    fn kind(&self) -> &'static str {
        "a1111"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("a1111/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "http://127.0.0.1:7860"
    }

    fn key_name(&self) -> Option<&'static str> {
        None
    }

    fn address_name(&self) -> Option<&'static str> {
        Some("STABLE_DIFFUSION_LOCAL_BASE_URL")
    }

    /// The extension takes the name of a model only with its hash, which differs from server to server.
    fn prerequisite(&self, call: &Call<'_>) -> Result<Option<Prerequisite>, Invalid> {
        let wanted = call.candidate.parameter("reference_image", call.task).is_some()
            && call.inputs.get(Role::ReferenceImage).is_some()
            && option(call, ADAPTER).is_none()
            && call.found(ADAPTER).is_none();
        let url = format!("{}/controlnet/model_list", base_url(self, call.candidate));
        Ok(wanted.then(|| Prerequisite { name: ADAPTER, request: HttpRequest::get(url, auth(call)) }))
    }

    fn read_prerequisite(&self, _name: &str, response: &HttpResponse) -> Result<String, Rejection> {
        if response.status == 404 {
            let message = "a reference image needs the ControlNet extension, which this server does not have";
            return Err(Rejection::free(Failure::NotSupported, message));
        }
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let all = answer.get("model_list").and_then(Value::as_array);
        let names: Vec<&str> = all.into_iter().flatten().filter_map(Value::as_str).collect();
        let bare = |name: &str| name.split(" [").next().unwrap_or_default().to_ascii_lowercase();
        let best = ADAPTERS.iter().find_map(|wanted| names.iter().find(|name| bare(name) == *wanted));
        best.map(|name| (*name).to_owned()).ok_or_else(|| {
            let message = format!("none of the ControlNet models {} is installed", ADAPTERS.join(", "));
            Rejection::free(Failure::NotSupported, message)
        })
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        let base = base_url(self, call.candidate);
        if call.task == Task::Upscale {
            builder.set("upscaler_1", json!(call.candidate.remote_name));
            builder.scalars()?.pictures(Encoding::Base64)?;
            builder.size()?;
            let url = format!("{base}/sdapi/v1/extra-single-image");
            let http = HttpRequest::post(url, auth(call), builder.json(), RENDER_TIMEOUT);
            return Ok(builder.finish(http));
        }
        builder.set("force_task_id", json!(call.tag));
        if call.task == Task::Inpaint {
            // The whole image is looked at, and the marked area starts from what is there.
            builder.set("inpaint_full_res", json!(false));
            builder.set("inpainting_fill", json!(1));
        }
        builder.scalars()?.pictures(Encoding::Base64)?;
        if !call.request.borders.is_empty() && call.request.strength.is_none() {
            builder.set("denoising_strength", json!(OUTPAINT_STRENGTH));
        }
        if call.candidate.remote_name != LOADED {
            builder.set("override_settings", json!({"sd_model_checkpoint": call.candidate.remote_name}));
        }
        add_units(call, &mut builder);
        builder.size()?;
        let endpoint = if call.task == Task::Generate { "txt2img" } else { "img2img" };
        let url = format!("{base}/sdapi/v1/{endpoint}");
        let http = HttpRequest::post(url, auth(call), builder.json(), RENDER_TIMEOUT);
        Ok(builder.finish(http))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let (mut pictures, mut all_seeds) = (vec![], vec![]);
        if call.task == Task::Upscale {
            pictures.extend(text_at(&answer, &["/image"]).and_then(lenient::base64));
        } else {
            let seeds = seeds(&answer);
            let images = answer.get("images").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            // Of several images the first one can be an overview of all, and what ControlNet saw comes last.
            let skip = usize::from(seeds.len() > 1 && images.len() > seeds.len());
            let most = if seeds.is_empty() { images.len() } else { seeds.len() };
            let texts = images.iter().skip(skip).take(most).filter_map(Value::as_str);
            pictures.extend(texts.filter_map(lenient::base64));
            all_seeds = seeds;
        }
        if pictures.is_empty() {
            return Err(without_result(self, response, &answer));
        }
        let (pictures, seed) =
            (pictures.into_iter().map(Source::Inline).collect(), all_seeds.first().copied());
        Ok(Reply::Finished(Output { pictures, seed, seeds: all_seeds, ..Output::default() }))
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        Some(HttpRequest::get(format!("{}/sdapi/v1/options", base.trim_end_matches('/')), Some(AUTH)))
    }

    fn bills(&self) -> bool {
        false
    }

    /// The codes differ between the web UI and its descendants, so the words come first.
    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        let says = |words: &[&str]| {
            error.says(words)
                || error.codes.iter().any(|code| {
                    let code = code.to_ascii_lowercase();
                    words.iter().any(|word| code.contains(word))
                })
        };
        match error.status {
            401 | 403 => Some(Failure::Unauthorized),
            _ if says(&["outofmemory", "out of memory"]) => Some(Failure::Overloaded { after: None }),
            _ if says(&["always on script"]) => Some(Failure::NotSupported),
            _ if says(&["invalid encoded image", "init image not found"]) => Some(Failure::Invalid),
            _ if says(&["sampler not found", "model not found", "checkpoint not found"]) => {
                Some(Failure::ModelGone)
            }
            _ if says(&["not found in supported models"]) => Some(Failure::ModelGone),
            // An exception of the program says nothing about the next time.
            500 => Some(Failure::Broken),
            _ => None,
        }
    }

    fn describe(&self, error: &ErrorAnswer<'_>) -> Option<String> {
        let is_missing = error.status == 404 && matches!(error.message.as_str(), "Not Found" | "no details");
        is_missing.then(|| format!("{} (is the server started with --api?)", error.message))
    }
}

/// A key only where the provider's row names one.
fn auth(call: &Call<'_>) -> Option<Auth> {
    call.candidate.key_name.as_deref().filter(|name| *name != NO_KEY).map(|_| AUTH)
}

fn option<'a>(call: &Call<'a>, name: &str) -> Option<&'a str> {
    call.request.options.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Makes ControlNet units of the images that only guide.
fn add_units(call: &Call<'_>, builder: &mut RequestBuilder<'_>) {
    let mut units = vec![];
    let mut unit = |image: Value, module: &str, model: &str, weight: Value| {
        units.push(json!({
            "enabled": true, "image": image, "module": module, "model": model, "weight": weight,
            "save_detected_map": false
        }));
    };
    if let Some(style) = builder.fields.remove("style_image") {
        // It needs no model of its own, so every server with the extension has it.
        unit(style, "reference_only", "None", json!(1.0));
    }
    let weight = builder.fields.remove("reference_weight").unwrap_or_else(|| json!(1.0));
    if let Some(reference) = builder.fields.remove("reference_image") {
        let module = option(call, "controlnet_module").unwrap_or("ip-adapter_clip_sd15");
        let model = option(call, ADAPTER).or_else(|| call.found(ADAPTER)).unwrap_or("ip-adapter_sd15");
        unit(reference, module, model, weight);
    }
    for name in ["controlnet_module", ADAPTER] {
        builder.fields.remove(name);
    }
    if !units.is_empty() {
        builder.set("alwayson_scripts", json!({"controlnet": {"args": units}}));
    }
}

/// The seed of each image. `info` is JSON in a string.
fn seeds(answer: &Value) -> Vec<i64> {
    let info = match answer.get("info") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let all = info.get("all_seeds").and_then(Value::as_array);
    let all: Vec<i64> = all.into_iter().flatten().filter_map(seed_of).collect();
    if all.is_empty() { info.get("seed").and_then(seed_of).into_iter().collect() } else { all }
}

//! Ideogram: three generations of its API side by side. The current one is polled, the older ones answer at once; all
//! answer with links.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::error::{ErrorAnswer, usual_shape, without_result, without_task};
use super::request_builder::RequestBuilder;
use super::{Call, Output, Prepared, Provider, Rejection, Remote, Reply, Source};
use super::{base_url, decimal, refusal, seed_of, segment, task_id, text_at};
use crate::cost::Cost;
use crate::failure::Failure;
use crate::http::{Auth, Body, Content, HttpRequest, HttpResponse, Part};
use crate::input::Role;
use crate::job::{Invalid, Task};
use crate::size::SizeRule;

#[cfg(test)]
mod tests;

pub(super) struct Ideogram;

const AUTH: Auth = Auth::header("api-key", "");
/// The connection is silent while an image is made.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);
/// Links of the current API work for a day; how long the older ones do is not said (Ideogram API reference).
const LINK_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The generations of the API, as the catalogue names them.
#[derive(Clone, Copy, PartialEq)]
enum Api {
    /// `/v2/image/{action}/{model}`, polled.
    Current,
    /// `/v1/ideogram-v3/{action}`.
    V3,
    /// The same, drawing a character from a reference image.
    V3Character,
    /// `/generate`, `/remix`, `/edit` and `/upscale`.
    Legacy,
}

fn api(call: &Call<'_>) -> Api {
    match call.candidate.api.as_deref() {
        Some("v3") => Api::V3,
        Some("v3-character") => Api::V3Character,
        Some("legacy") => Api::Legacy,
        _ => Api::Current,
    }
}

impl Provider for Ideogram {
    fn kind(&self) -> &'static str {
        "ideogram"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("ideogram/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://api.ideogram.ai"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("IDEOGRAM_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let (candidate, request, api) = (call.candidate, call.request, api(call));
        let mut builder = RequestBuilder::new(call)?;
        if api == Api::V3Character && call.inputs.get(Role::ReferenceImage).is_none() {
            return Err(Invalid::new(
                format!("{} draws a character from an image of it", candidate.name()),
                "Give reference_image, or choose another model.",
            ));
        }
        builder.scalars()?.picture_files()?;
        if builder.takes("size") || candidate.sizes == SizeRule::Source {
            builder.size()?;
        } else if request.width.is_some() || request.aspect_ratio.is_some() {
            builder.warnings.push(candidate.unsupported("size when it works on an image"));
        }
        let base = base_url(self, candidate);
        let (path, body) = match api {
            Api::Legacy => legacy(call, &mut builder),
            Api::V3 | Api::V3Character => {
                let action = match call.task {
                    Task::Generate => "generate",
                    Task::Inpaint => "edit",
                    _ => "remix",
                };
                (format!("v1/{}/{action}", candidate.remote_name), builder.form())
            }
            Api::Current => {
                let body = if builder.files.is_empty() { builder.json() } else { builder.form() };
                (format!("v2/image/{}", candidate.remote_name), body)
            }
        };
        Ok(builder.finish(HttpRequest::post(format!("{base}/{path}"), Some(AUTH), body, RENDER_TIMEOUT)))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let (answer, current) = (response.json(), api(call) == Api::Current);
        match (current, answer.get("data"), task_id(&answer, "/generation_id")) {
            (true, None, Some(id)) => {
                let url = format!("{}/v2/generations/{}", base_url(self, call.candidate), segment(&id));
                Ok(Reply::Accepted { remote: Remote::new(id, url), cost: None })
            }
            (true, None, None) => Err(without_task(self, response, &answer)),
            _ => {
                let missing = || without_result(self, response, &answer);
                read_pictures(&answer, current.then_some(LINK_LIFETIME), missing)
            }
        }
    }

    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, Some(AUTH))
    }

    fn read_poll(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            let mut rejection = self.read_error(response);
            if rejection.failed.failure == Failure::ModelGone {
                rejection.failed.failure = Failure::NotFound;
            }
            return Err(rejection);
        }
        let answer = response.json();
        match text_at(&answer, &["/status"]).or_else(|| text_at(&answer, &["/state"])) {
            Some("completed") => {
                read_pictures(&answer, Some(LINK_LIFETIME), || without_result(self, response, &answer))
            }
            // A failed generation is not charged (Ideogram API reference).
            Some("failed") => {
                let why = text_at(&answer, &["/failure_reason"]).unwrap_or("no reason given");
                let failure = if is_refusal(why) { Failure::Refused } else { Failure::Broken };
                Err(Rejection::free(failure, format!("the generation failed: {why}")))
            }
            // `pending`, and any state that did not exist when this was written: only an end is an end.
            Some(_) => Ok(Reply::Pending { after: response.retry_after() }),
            None => Err(Rejection::unknown(Failure::Garbled, "the answer has no status")),
        }
    }

    fn speaks(&self, json: &Value) -> bool {
        usual_shape(json) || json.get("reject_reason").is_some()
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        match error.status {
            400 | 422 if is_refusal(&error.message) => Some(Failure::Refused),
            // A quota that is used up does not come back in seconds, whatever the status.
            _ if error.has_code(&["insufficient_funds", "priority_credit_required", "daily_limit"]) => {
                Some(Failure::OutOfCredit)
            }
            _ if error.has_code(&["subscription_required", "feature_limit"]) => Some(Failure::PolicyBlocked),
            _ => None,
        }
    }

    /// What is turned down before it runs is free (Ideogram API reference).
    fn refuses_for_free(&self, _error: &ErrorAnswer<'_>) -> bool {
        true
    }
}

fn is_refusal(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["safety", "moderat", "unsafe"].iter().chain(refusal::WORDS).any(|word| text.contains(word))
}

/// The oldest generation writes ratios its own way and, except in `edit`, wraps the fields.
fn legacy(call: &Call<'_>, builder: &mut RequestBuilder<'_>) -> (String, Body) {
    if let Some(ratio) = builder.fields.get("aspect_ratio").and_then(Value::as_str) {
        let ratio = format!("ASPECT_{}", ratio.replace(':', "_"));
        builder.set("aspect_ratio", json!(ratio));
    }
    let action = match call.task {
        Task::Upscale => "upscale",
        Task::Generate => "generate",
        Task::Inpaint => "edit",
        _ => "remix",
    };
    if call.task == Task::Upscale {
        if !call.request.has_own_prompt(call.task) {
            // Optional here, and what we say where the caller says nothing is no description of an image.
            builder.fields.remove("prompt");
        }
    } else {
        builder.set("model", json!(call.candidate.remote_name));
    }
    if call.task == Task::Inpaint {
        return (action.to_owned(), builder.form());
    }
    let fields: Map<String, Value> = std::mem::take(&mut builder.fields);
    let wrapped = Value::Object(fields);
    if builder.files.is_empty() {
        return (action.to_owned(), Body::Json(json!({"image_request": wrapped})));
    }
    let text = Content::Text(wrapped.to_string());
    let mut parts = vec![Part { name: "image_request".into(), content: text }];
    parts.append(&mut builder.files);
    (action.to_owned(), Body::Form(parts))
}

/// The images of an answer. One that the safety check withheld after it was made is charged like the others.
fn read_pictures(
    answer: &Value,
    lifetime: Option<Duration>,
    missing: impl FnOnce() -> Rejection,
) -> Result<Reply, Rejection> {
    let items = answer.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_unsafe = |item: &&Value| item.get("is_image_safe") == Some(&json!(false));
    let (withheld, delivered): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|item| is_unsafe(item) || item.get("url").is_some_and(Value::is_null));
    let with_url: Vec<(&Value, &str)> =
        delivered.into_iter().filter_map(|item| Some((item, text_at(item, &["/url"])?))).collect();
    let Some((first, _)) = with_url.first() else {
        if withheld.is_empty() {
            return Err(missing());
        }
        let message = "the image was made and withheld by the safety check";
        return Err(Rejection::charged(Failure::Refused, message));
    };
    let micros = answer.get("usage_cost_usd_micros").and_then(decimal);
    Ok(Reply::Finished(Output {
        seed: first.get("seed").or_else(|| answer.get("seed")).and_then(seed_of),
        revised_prompt: text_at(first, &["/prompt"]).map(str::to_owned),
        pictures: with_url.iter().map(|(_, url)| Source::Url { url: (*url).to_owned(), lifetime }).collect(),
        withheld: u32::try_from(withheld.len()).unwrap_or(u32::MAX),
        cost: micros.map(|micros| Cost::reported(micros / MILLION)),
        ..Output::default()
    }))
}

const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

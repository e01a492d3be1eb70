//! Stability AI: one form in, one image in base64 out; only the creative upscaler is fetched later.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, usual_shape, without_result, without_task};
use super::request_builder::RequestBuilder;
use super::{
    Balance, Call, Output, Prepared, Provider, Rejection, Remote, Reply, Source, balance, base_url, seed_of,
    segment, task_id, text_at,
};
use crate::failure::Failure;
use crate::http::{Auth, Content, HttpRequest, HttpResponse};
use crate::job::{Invalid, Task};
use crate::lenient;
use crate::size::SizeRule;
use crate::verdict::{Documented, Verdict};

#[cfg(test)]
mod tests;

pub(super) struct Stability;

const AUTH: Auth = Auth::header("authorization", "Bearer ");
/// The connection is silent while an image is made.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);
/// Results are to be asked for every ten seconds, not faster (Stability API reference).
const POLL_PAUSE: Duration = Duration::from_secs(10);
/// Who sends too much is locked out for a minute (Stability API reference).
const LOCK_OUT: Duration = Duration::from_secs(60);
/// The largest request that is taken (Stability API reference).
const MAX_REQUEST_BYTES: usize = 10 << 20;
/// Options without which their endpoints refuse to work.
const NEEDED: [&str; 2] = ["search_prompt", "select_prompt"];

impl Provider for Stability {
    fn kind(&self) -> &'static str {
        "stability"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("stability/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://api.stability.ai"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("STABILITY_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let (candidate, request) = (call.candidate, call.request);
        let mut builder = RequestBuilder::new(call)?;
        check_options(call)?;
        builder.scalars()?.picture_files()?;
        let bytes: usize = builder.files.iter().map(|part| content_bytes(&part.content)).sum();
        if bytes > MAX_REQUEST_BYTES {
            return Err(Invalid::new(
                format!("{} takes at most 10 MB of images, these have {bytes} bytes", candidate.name()),
                "Give smaller images, for example as JPEG.",
            ));
        }
        if matches!(call.task, Task::Outpaint | Task::TransferStyle) && !request.has_own_prompt(call.task) {
            // Optional here, and what we say where the caller says nothing is no description of an image.
            builder.fields.remove("prompt");
        }
        if candidate.remote_name == "generate/sd3" && call.task != Task::Generate {
            builder.set("mode", json!("image-to-image"));
        }
        if builder.takes("borders") {
            add_borders(&mut builder)?;
        }
        let own_size = call.task == Task::Upscale && !builder.takes("scale");
        if own_size {
            builder.warnings.push(candidate.unsupported("scale: it chooses the size itself"));
        }
        if builder.takes("size") || (follows_source(call) && !own_size) {
            builder.size()?;
        } else if request.width.is_some() || request.aspect_ratio.is_some() {
            builder.warnings.push(candidate.unsupported("size when it works on an image"));
        }
        let url = format!("{}/v2beta/stable-image/{}", base_url(self, candidate), candidate.remote_name);
        let http = HttpRequest::post(url, Some(AUTH), builder.form(), RENDER_TIMEOUT);
        Ok(builder.finish(http.with("accept", "application/json")))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        if call.candidate.api.as_deref() != Some("async") {
            return read_picture(&answer, || without_result(self, response, &answer));
        }
        match task_id(&answer, "/id") {
            Some(id) => {
                let url = format!("{}/v2beta/results/{}", base_url(self, call.candidate), segment(&id));
                Ok(Reply::Accepted { remote: Remote::new(id, url), cost: None })
            }
            None => Err(without_task(self, response, &answer)),
        }
    }

    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, Some(AUTH)).with("accept", "application/json")
    }

    fn read_poll(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        let pause = response.retry_after().map_or(POLL_PAUSE, |after| after.max(POLL_PAUSE));
        let answer = response.json();
        let has_picture = text_at(&answer, &["/result", "/image"]).is_some();
        if response.status == 202 {
            return Ok(Reply::Pending { after: Some(pause) });
        }
        if !response.is_success() {
            let mut rejection = self.read_error(response);
            match &mut rejection.failed.failure {
                // The id is unknown, older than a day, or belongs to another key.
                failure @ Failure::ModelGone => *failure = Failure::NotFound,
                Failure::Overloaded { after } => *after = Some(pause),
                _ => {}
            }
            return Err(rejection);
        }
        match (has_picture, answer.get("finish_reason"), text_at(&answer, &["/status", "/state"])) {
            (false, None, Some(_)) => Ok(Reply::Pending { after: Some(pause) }),
            (false, None, None) if !answer.is_object() => {
                Err(Rejection::unknown(Failure::Garbled, "the answer is not JSON"))
            }
            _ => read_picture(&answer, || without_result(self, response, &answer)),
        }
    }

    fn balance(&self, base: &str) -> Option<HttpRequest> {
        Some(balance::ask(format!("{}/v1/user/balance", base.trim_end_matches('/')), AUTH))
    }

    fn read_balance(&self, response: &HttpResponse) -> Option<Balance> {
        let answer = response.is_success().then(|| response.json())?;
        Balance::cents(answer.get("credits")?)
    }

    fn speaks(&self, json: &Value) -> bool {
        usual_shape(json) || json.get("name").is_some() && json.get("message").is_some()
    }

    /// A 403 is a refused prompt or a key without rights: only the name tells.
    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        match error.status {
            _ if error.has_code(&["unauthorized", "permission_denied"]) => Some(Failure::Unauthorized),
            429 if error.has_code(&["insufficient_balance"]) => Some(Failure::OutOfCredit),
            429 => Some(Failure::RateLimited { after: Some(error.after.unwrap_or(LOCK_OUT)) }),
            _ if error.has_code(&["rate_limit_exceeded"]) => {
                Some(Failure::RateLimited { after: Some(error.after.unwrap_or(LOCK_OUT)) })
            }
            _ => None,
        }
    }

    fn documented(&self) -> &'static [Documented] {
        const FREE: &str = "Stability API pricing: failed requests are not charged";
        &[Documented { status: 500, verdict: Verdict::Unprocessed, source: FREE }]
    }

    /// Failed and refused requests are not charged (Stability API pricing).
    fn refuses_for_free(&self, _error: &ErrorAnswer<'_>) -> bool {
        true
    }
}

/// The image of a finished answer. The upscaler's result calls it `result`.
fn read_picture(answer: &Value, missing: impl FnOnce() -> Rejection) -> Result<Reply, Rejection> {
    match text_at(answer, &["/finish_reason"]) {
        // It comes with HTTP 200 and a blurred image.
        Some("CONTENT_FILTERED") => {
            return Err(Rejection::free(Failure::Refused, "the image was filtered (CONTENT_FILTERED)"));
        }
        Some("ERROR") => return Err(Rejection::free(Failure::Broken, "the render failed (ERROR)")),
        _ => {}
    }
    let text = ["/image", "/result"].iter().find_map(|p| text_at(answer, &[p]));
    let Some(bytes) = text.and_then(lenient::base64) else {
        return Err(missing());
    };
    let seed = answer.get("seed").and_then(seed_of);
    Ok(Reply::Finished(Output { pictures: vec![Source::Inline(bytes)], seed, ..Output::default() }))
}

/// True where the size of the result is known from that of the source.
fn follows_source(call: &Call<'_>) -> bool {
    call.candidate.sizes == SizeRule::Source && call.task != Task::Outpaint
}

fn check_options(call: &Call<'_>) -> Result<(), Invalid> {
    let Some(known) = call.candidate.parameters.get("options") else { return Ok(()) };
    let is_there = |name: &str| call.request.options.get(name).and_then(Value::as_str).is_some();
    match NEEDED.iter().find(|name| known.values.contains(&json!(name)) && !is_there(name)) {
        Some(name) => Err(Invalid::new(
            format!("{} needs to know what to look for in the image", call.candidate.name()),
            format!("Name it: options => '{{\"{name}\": \"the red car\"}}'."),
        )),
        None => Ok(()),
    }
}

/// What is added on each side; top and bottom are called up and down.
fn add_borders(builder: &mut RequestBuilder<'_>) -> Result<(), Invalid> {
    let borders = builder.borders()?;
    let sides =
        [("left", borders.left), ("right", borders.right), ("up", borders.top), ("down", borders.bottom)];
    for (side, pixels) in sides {
        builder.set(side, json!(pixels));
    }
    Ok(())
}

fn content_bytes(content: &Content) -> usize {
    match content {
        Content::Text(text) => text.len(),
        Content::File { bytes, .. } => bytes.len(),
    }
}

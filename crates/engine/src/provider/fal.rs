//! fal: a queue. Submit, ask for the state and then for the result at exactly the URLs that the answer names.

mod failure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, without_result, without_task};
use super::request_builder::{Encoding, RequestBuilder};
use super::{Balance, Call, Output, Prepared, Provider, Rejection, Remote, Reply, Source};
use super::{balance, base_url, is_path, seed_of, segment, task_id, text_at};
use crate::cost::USD;
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse, Method};
use crate::input::Role;
use crate::job::{Invalid, Task, Warning};
use crate::lenient;
use crate::size::Size;

pub(super) struct Fal;

const AUTH: Auth = Auth::header("authorization", "Key ");
/// Where prices and the account are.
const PLATFORM: &str = "https://api.fal.ai";
/// Images travel in the submission; a slow line needs its time.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(120);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

impl Provider for Fal {
    fn kind(&self) -> &'static str {
        "fal"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("fal/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://queue.fal.run"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("FAL_API_KEY")
    }

    fn own_domains(&self) -> &'static [&'static str] {
        &["queue.fal.run", "api.fal.ai"]
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?.pictures(Encoding::DataUri)?;
        builder.size()?;
        if builder.takes("borders") {
            write_borders(call, &mut builder)?;
        }
        let endpoint = endpoint(&call.candidate.remote_name)?;
        let url = format!("{}/{endpoint}{}", base_url(self, call.candidate), branch(call));
        let http = HttpRequest::post(url, Some(AUTH), builder.json(), SUBMIT_TIMEOUT);
        Ok(builder.finish(http))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let named = |pointer: &str| text_at(&answer, &[pointer]).map(str::to_owned);
        let Some(id) = task_id(&answer, "/request_id") else {
            // The address of fal's direct service, which has no queue, answers with the images.
            return read_pictures(&answer, || without_task(self, response, &answer));
        };
        // Should an answer leave a URL out: tasks are below owner and app, whatever the rest of the endpoint's name is.
        let app: Vec<&str> = call.candidate.remote_name.splitn(3, '/').take(2).collect();
        let task = format!("{}/{}/requests/{}", base_url(self, call.candidate), app.join("/"), segment(&id));
        let poll_url = named("/status_url").unwrap_or_else(|| format!("{task}/status"));
        let remote = Remote {
            result_url: Some(named("/response_url").unwrap_or(task)),
            cancel_url: named("/cancel_url"),
            ..Remote::new(id, poll_url)
        };
        Ok(Reply::Accepted { remote, cost: None })
    }

    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, Some(AUTH))
    }

    fn read_poll(&self, remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_later_error(response));
        }
        let answer = response.json();
        match text_at(&answer, &["/status"]) {
            // A run that failed is completed, too. Where the state does not say of which kind the failure is, the result does.
            Some("COMPLETED") => match failure::of_completed(&ErrorAnswer::read(self, response)) {
                Some(rejection) => Err(rejection),
                None => {
                    let url = remote.result_url.clone().unwrap_or_else(|| {
                        remote.poll_url.strip_suffix("/status").unwrap_or(&remote.poll_url).to_owned()
                    });
                    Ok(Reply::Ask(HttpRequest::get(url, Some(AUTH))))
                }
            },
            // `IN_QUEUE`, `IN_PROGRESS`, and any state that did not exist when this was written.
            Some(_) => Ok(Reply::Pending { after: response.retry_after() }),
            None => Err(Rejection::unknown(Failure::Garbled, "the answer has no status")),
        }
    }

    fn read_result(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        let answer = response.json();
        match response.status {
            202 => Ok(Reply::Pending { after: response.retry_after() }),
            400 if ErrorAnswer::read(self, response).says(&["still in progress"]) => {
                Ok(Reply::Pending { after: response.retry_after() })
            }
            _ if response.is_success() => read_pictures(&answer, || without_result(self, response, &answer)),
            _ if failure::is_about_the_task(&ErrorAnswer::read(self, response)) => {
                Ok(Reply::Failed(failure::of_result(self.read_error(response))))
            }
            _ => Err(self.read_later_error(response)),
        }
    }

    fn read_seconds(&self, response: &HttpResponse) -> Option<f64> {
        seconds(&response.json(), "/metrics/inference_time")
    }

    fn cancel(&self, remote: &Remote) -> Option<HttpRequest> {
        let get = HttpRequest::get(remote.cancel_url.as_ref()?, Some(AUTH));
        Some(HttpRequest { method: Method::Put, timeout: CANCEL_TIMEOUT, ..get })
    }

    fn balance(&self, base: &str) -> Option<HttpRequest> {
        Some(balance::ask(format!("{}/v1/account/billing?expand=credits", self.platform(base)), AUTH))
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        // Any key may ask for prices, and only an administrator's for the account.
        let url = format!("{}/v1/models/pricing?endpoint_id=fal-ai/flux/schnell", self.platform(base));
        Some(HttpRequest::get(url, Some(AUTH)))
    }

    fn read_balance(&self, response: &HttpResponse) -> Option<Balance> {
        // Only an administrator's key may ask; any other gets a 403, which says nothing about the account.
        let answer = response.is_success().then(|| response.json())?;
        let currency = text_at(&answer, &["/credits/currency"]);
        currency
            .is_none_or(|c| c == USD)
            .then(|| answer.pointer("/credits/current_balance"))?
            .and_then(Balance::dollars)
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        failure::of(error)
    }
}

impl Fal {
    /// Where prices and the account are: the vendor has them on another host; a stand-in or a proxy has one address for everything.
    fn platform<'a>(&self, base: &'a str) -> &'a str {
        let base = base.trim_end_matches('/');
        if base == self.base_url() { PLATFORM } else { base }
    }

    /// An error to a question about a task: what is not found then is the task.
    fn read_later_error(&self, response: &HttpResponse) -> Rejection {
        match self.read_error(response) {
            gone if gone.failed.failure == Failure::ModelGone => {
                Rejection::unknown(Failure::NotFound, gone.failed.message)
            }
            other => other,
        }
    }
}

/// The endpoint as part of a URL; callers can name one themselves.
fn endpoint(remote_name: &str) -> Result<&str, Invalid> {
    if is_path(remote_name) && remote_name.contains('/') {
        return Ok(remote_name);
    }
    let message = format!("'{remote_name}' is not the name of an endpoint of fal");
    Err(Invalid::new(message, "Write it as fal does, such as 'fal-ai/flux/dev'."))
}

/// What stands behind the endpoint's name for a task. `api` says which family of endpoints it is.
fn branch(call: &Call<'_>) -> &'static str {
    let candidate = call.candidate;
    let takes = |role: &Role| candidate.takes(*role, call.task, call.request);
    let pictures = Role::ALL.iter().filter(|r| takes(r)).any(|r| call.inputs.get(*r).is_some());
    match (candidate.api.as_deref(), call.task) {
        (Some("edit"), _) if pictures => "/edit",
        (Some("text-to-image"), _) if !pictures => "/text-to-image",
        (Some("tasks"), Task::Img2img | Task::Variate) => "/image-to-image",
        (Some("tasks"), Task::Inpaint) => "/inpainting",
        (Some("ideogram"), Task::Img2img | Task::Variate | Task::TransferStyle) => "/remix",
        (Some("ideogram"), Task::Outpaint) => "/reframe",
        _ => "",
    }
}

/// What an outpainting adds. Endpoints want it as pixels for each side, as a canvas with a place on it (`canvas`), or as
/// the size of the whole (`frame`).
fn write_borders(call: &Call<'_>, builder: &mut RequestBuilder<'_>) -> Result<(), Invalid> {
    let parameter = call.candidate.parameter("borders", call.task);
    let b = builder.borders()?;
    let sides = [("top", b.top), ("bottom", b.bottom), ("left", b.left), ("right", b.right)];
    let form = parameter.and_then(|p| p.form.as_deref());
    // Not known while the call is only planned.
    let old = call.inputs.get(Role::Image).and_then(|i| i.size);
    match (form, old) {
        (Some("canvas"), Some(old)) => {
            let Size { width, height } = b.around(old);
            builder.set("canvas_size", json!([width, height]));
            builder.set("original_image_size", json!([old.width, old.height]));
            builder.set("original_image_location", json!([b.left, b.top]));
        }
        (Some("frame"), Some(old)) => {
            let Size { width, height } = b.around(old);
            builder.set("image_size", json!({"width": width, "height": height}));
        }
        (Some("canvas" | "frame"), None) => {}
        _ => sides.iter().for_each(|(side, pixels)| builder.set(&format!("expand_{side}"), json!(pixels))),
    }
    if form == Some("frame") && (b.left != b.right || b.top != b.bottom) {
        let message =
            format!("{} itself decides where in the new frame the image lies", call.candidate.name());
        builder.warnings.push(Warning::new("adjusted", message));
    }
    Ok(())
}

/// Images are in `images`, or alone in `image`. One that the safety checker found is there, but black: it is no image,
/// and it is charged for.
fn read_pictures(answer: &Value, missing: impl FnOnce() -> Rejection) -> Result<Reply, Rejection> {
    let flags = ["has_nsfw_concepts", "nsfw_content_detected"].iter().find_map(|name| answer.get(*name));
    let is_flagged = |index: usize| match flags {
        Some(Value::Array(flags)) => flags.get(index) == Some(&Value::Bool(true)),
        Some(flag) => *flag == Value::Bool(true),
        None => false,
    };
    let listed: Vec<&Value> = match answer.get("images") {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one @ (Value::Object(_) | Value::String(_))) => vec![one],
        _ => answer.get("image").into_iter().collect(),
    };
    let mut output = Output {
        seed: answer.get("seed").and_then(seed_of),
        render_seconds: seconds(answer, "/timings/inference"),
        ..Output::default()
    };
    for (index, picture) in listed.iter().enumerate() {
        let url = text_at(picture, &["/url", ""]);
        match url {
            _ if is_flagged(index) => output.withheld += 1,
            Some(data) if data.starts_with("data:") => {
                output.pictures.extend(lenient::base64(data).map(Source::Inline));
            }
            // How long it works is a setting of the account.
            Some(url) => output.pictures.push(Source::Url { url: url.into(), lifetime: None }),
            None => {}
        }
    }
    if !output.pictures.is_empty() {
        return Ok(Reply::Finished(output));
    }
    if output.withheld > 0 || is_flagged(0) {
        let message = "the safety checker withheld the image (has_nsfw_concepts)";
        return Err(Rejection::charged(Failure::Refused, message));
    }
    Err(missing())
}

fn seconds(answer: &Value, pointer: &str) -> Option<f64> {
    answer.pointer(pointer).and_then(Value::as_f64).filter(|s| *s > 0.0)
}

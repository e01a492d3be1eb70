//! Replicate: a prediction is created, then asked for at the URL that the answer names. Official models are called by their
//! name; all others by a version, which is looked up first.

mod failure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, usual_shape, without_result, without_task};
use super::request_builder::{Encoding, RequestBuilder, file};
use super::{Call, Output, Prepared, Prerequisite, Provider, Rejection, Remote, Reply, Source};
use super::{base_url, is_path, segment, task_id, text_at};
use crate::failure::Failure;
use crate::http::{Auth, Body, HttpRequest, HttpResponse};
use crate::job::Invalid;
use crate::lenient;

pub(super) struct Replicate;

const AUTH: Auth = Auth::header("authorization", "Bearer ");
/// No `Prefer: wait`: the id of the prediction is to be known, and kept, before anything is waited for.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(60);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);
/// Up to this size files go in as data URIs (Replicate documentation); larger ones are uploaded first.
const LARGEST_INLINE: usize = 256 << 10;
/// Files of a prediction are removed after an hour (Replicate documentation).
const OUTPUT_LIFETIME: Duration = Duration::from_secs(3600);
/// In place of a version: a model that is called by its name.
const OFFICIAL: &str = "official";

impl Provider for Replicate {
    fn kind(&self) -> &'static str {
        "replicate"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("replicate/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://api.replicate.com/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("REPLICATE_API_TOKEN")
    }

    fn prerequisite(&self, call: &Call<'_>) -> Result<Option<Prerequisite>, Invalid> {
        let base = base_url(self, call.candidate);
        let model = Model::read(call)?;
        if model.needs_version && call.found("version").is_none() {
            let request = HttpRequest::get(format!("{base}/models/{}", model.path), Some(AUTH));
            return Ok(Some(Prerequisite { name: "version", request }));
        }
        for (role, input) in RequestBuilder::new(call)?.taken_pictures()? {
            if input.bytes.len() > LARGEST_INLINE && call.found(role.name()).is_none() {
                let form = Body::Form(vec![file("content", role.name(), &input)]);
                let request = HttpRequest::post(format!("{base}/files"), Some(AUTH), form, UPLOAD_TIMEOUT);
                return Ok(Some(Prerequisite { name: role.name(), request }));
            }
        }
        Ok(None)
    }

    fn read_prerequisite(&self, name: &str, response: &HttpResponse) -> Result<String, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        if name == "version" {
            return match text_at(&answer, &["/latest_version/id"]) {
                _ if answer.get("is_official") == Some(&Value::Bool(true)) => Ok(OFFICIAL.to_owned()),
                Some("hidden") => Ok(OFFICIAL.to_owned()),
                Some(version) if is_plain(version) => Ok(version.to_owned()),
                _ => Err(Rejection::free(Failure::ModelGone, "the model has no version that can be run")),
            };
        }
        let url = text_at(&answer, &["/urls/get"]).map(str::to_owned);
        url.ok_or_else(|| Rejection::free(Failure::Broken, "uploaded, but the answer names no file"))
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let base = base_url(self, call.candidate);
        let model = Model::read(call)?;
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?.pictures(Encoding::DataUri)?;
        builder.size()?;
        let input = std::mem::take(&mut builder.fields);
        let (url, body) = match model.version.as_deref().or(call.found("version")) {
            Some(version) if version != OFFICIAL => {
                let version = format!("{}:{version}", model.path);
                (format!("{base}/predictions"), json!({"version": version, "input": input}))
            }
            // While the call is only planned, the version is not known.
            None if model.needs_version => {
                (format!("{base}/predictions"), json!({"version": model.path, "input": input}))
            }
            _ => (format!("{base}/models/{}/predictions", model.path), json!({"input": input})),
        };
        Ok(builder.finish(HttpRequest::post(url, Some(AUTH), Body::Json(body), SUBMIT_TIMEOUT)))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let Some(id) = task_id(&answer, "/id") else {
            return Err(without_task(self, response, &answer));
        };
        let task = format!("{}/predictions/{}", base_url(self, call.candidate), segment(&id));
        let remote = Remote {
            cancel_url: text_at(&answer, &["/urls/cancel"]).map(str::to_owned),
            ..Remote::new(id, text_at(&answer, &["/urls/get"]).unwrap_or(&task))
        };
        // Should it be finished already, the first poll says so: by then its id is kept.
        Ok(Reply::Accepted { remote, cost: None })
    }

    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, Some(AUTH))
    }

    fn read_poll(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(match self.read_error(response) {
                // What is not found now is the prediction.
                gone if gone.failed.failure == Failure::ModelGone => {
                    Rejection::unknown(Failure::NotFound, gone.failed.message)
                }
                other => other,
            });
        }
        let answer = response.json();
        match text_at(&answer, &["/status"]) {
            Some("succeeded") => read_output(&answer, || without_result(self, response, &answer)),
            Some("failed") => Err(failure::of_prediction(&answer)),
            // Not by us: it was wanted so by its account's owner, and is not sent again.
            Some("canceled") => {
                Err(Rejection::unknown(Failure::Broken, "the prediction was canceled at the provider"))
            }
            Some("aborted") => {
                let message = "the provider gave the prediction up before it started";
                Err(Rejection::free(Failure::Overloaded { after: None }, message))
            }
            Some("starting" | "processing") => Ok(Reply::Pending { after: response.retry_after() }),
            // A state that did not exist when this was written.
            Some(state) if text_at(&answer, &["/completed_at"]).is_some() => {
                Err(Rejection::unknown(Failure::Broken, format!("the prediction ended as '{state}'")))
            }
            Some(_) => Ok(Reply::Pending { after: response.retry_after() }),
            None => Err(Rejection::unknown(Failure::Garbled, "the answer has no status")),
        }
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        Some(HttpRequest::get(format!("{}/account", base.trim_end_matches('/')), Some(AUTH)))
    }

    fn cancel(&self, remote: &Remote) -> Option<HttpRequest> {
        Some(HttpRequest::post(remote.cancel_url.as_ref()?, Some(AUTH), Body::Empty, CANCEL_TIMEOUT))
    }

    fn speaks(&self, json: &Value) -> bool {
        usual_shape(json) || json.get("title").is_some() && json.get("status").is_some()
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        failure::of(error)
    }

    /// Where nothing was created, nothing is charged: only time of computing is (Replicate documentation).
    fn refuses_for_free(&self, _error: &ErrorAnswer<'_>) -> bool {
        true
    }
}

/// A model as Replicate names it: `owner/name` or `owner/name:version`.
struct Model {
    path: String,
    version: Option<String>,
    needs_version: bool,
}

impl Model {
    fn read(call: &Call<'_>) -> Result<Model, Invalid> {
        let name = &call.candidate.remote_name;
        let (path, version) = match name.split_once(':') {
            Some((path, version)) => (path, Some(version)),
            None => (name.as_str(), None),
        };
        if !is_path(path) || path.split('/').count() != 2 || !version.is_none_or(is_plain) {
            return Err(Invalid::new(
                format!("'{name}' is not the name of a model at Replicate"),
                "Write it as 'owner/name' or 'owner/name:version'.",
            ));
        }
        let needs_version = version.is_none() && call.candidate.api.as_deref() == Some("community");
        Ok(Model { path: path.to_owned(), version: version.map(str::to_owned), needs_version })
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn read_output(answer: &Value, missing: impl FnOnce() -> Rejection) -> Result<Reply, Rejection> {
    let mut pictures = vec![];
    collect(answer.get("output").unwrap_or(&Value::Null), &mut pictures);
    if pictures.is_empty() {
        if answer.get("data_removed") == Some(&Value::Bool(true)) {
            let message = "the prediction succeeded, and its files were removed after an hour";
            return Err(Rejection::charged(Failure::NotFound, message));
        }
        return Err(missing());
    }
    let logs = text_at(answer, &["/logs"]).unwrap_or_default();
    Ok(Reply::Finished(Output {
        pictures,
        // The open FLUX models leave such images out of the list and say so here only.
        withheld: logs.matches("NSFW content detected in image").count() as u32,
        seed: seed(logs),
        render_seconds: answer.pointer("/metrics/predict_time").and_then(Value::as_f64).filter(|s| *s > 0.0),
        ..Output::default()
    }))
}

/// Models answer with one URL, with a list of them, or with an object that has some.
fn collect(output: &Value, pictures: &mut Vec<Source>) {
    match output {
        // Postgres could not store it.
        Value::String(text) if text.contains('\0') => {}
        Value::String(text) if text.starts_with("https://") || text.starts_with("http://") => {
            pictures.push(Source::Url { url: text.clone(), lifetime: Some(OUTPUT_LIFETIME) });
        }
        Value::String(text) if text.starts_with("data:image/") => {
            pictures.extend(lenient::base64(text).map(Source::Inline));
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, pictures)),
        Value::Object(fields) => fields.values().for_each(|one| collect(one, pictures)),
        _ => {}
    }
}

/// The seed is only in the logs: "Using seed: 123".
fn seed(logs: &str) -> Option<i64> {
    let (_, rest) = logs.split_once("Using seed:")?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

//! ComfyUI on a machine of one's own: images are uploaded, a graph is queued, its history names the files.
//!
//! It knows no keys, no filter and no bill: whatever goes wrong costs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::error::{ErrorAnswer, without_task};
use super::request_builder::{RequestBuilder, file};
use super::{Call, Output, Prepared, Prerequisite, Provider, Rejection, Remote, Reply, Source};
use super::{base_url, seed_of, segment, task_id, text_at};
use crate::candidate::Parameter;
use crate::failure::Failure;
use crate::http::{Body, Content, HttpRequest, HttpResponse, Part};
use crate::input::{Input, Role};
use crate::job::{Borders, Invalid, Task};

mod graph;
#[cfg(test)]
mod tests;
mod workflow;

pub(super) struct ComfyUi;

/// A submission is only checked and queued; an upload is written to a disk.
const TIMEOUT: Duration = Duration::from_secs(60);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

impl Provider for ComfyUi {
    fn kind(&self) -> &'static str {
        "comfyui"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("comfyui/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "http://127.0.0.1:8188"
    }

    fn key_name(&self) -> Option<&'static str> {
        None
    }

    fn address_name(&self) -> Option<&'static str> {
        Some("STABLE_DIFFUSION_LOCAL_BASE_URL")
    }

    fn check_model(
        &self,
        fixed: &Map<String, Value>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<(), Invalid> {
        match fixed.get(workflow::FIELD) {
            Some(own) => workflow::check(own, fixed, parameters),
            None => Ok(()),
        }
    }

    /// A graph names files that are there already, so each image is uploaded first.
    fn prerequisite(&self, call: &Call<'_>) -> Result<Option<Prerequisite>, Invalid> {
        let pictures = RequestBuilder::new(call)?.taken_pictures()?;
        let Some((role, input)) = pictures.into_iter().find(|(role, _)| call.found(role.name()).is_none())
        else {
            return Ok(None);
        };
        let field = |name: &str, text: &str| Part { name: name.into(), content: Content::Text(text.into()) };
        let form = vec![
            file("image", &stem(call, role), &input),
            field("type", "input"),
            // Sent twice, it is still one file.
            field("overwrite", "true"),
        ];
        let url = format!("{}/upload/image", base_url(self, call.candidate));
        Ok(Some(Prerequisite {
            name: role.name(),
            request: HttpRequest::post(url, None, Body::Form(form), TIMEOUT),
        }))
    }

    fn read_prerequisite(&self, _name: &str, response: &HttpResponse) -> Result<String, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        // The name in the answer counts: the server renames.
        match (text_at(&answer, &["/name"]), text_at(&answer, &["/subfolder"])) {
            (Some(name), Some(folder)) => Ok(format!("{folder}/{name}")),
            (Some(name), None) => Ok(name.to_owned()),
            (None, _) => Err(Rejection::free(Failure::Broken, "the answer to an upload names no file")),
        }
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?;
        builder.size()?;
        let borders = if call.task == Task::Outpaint { builder.borders()? } else { Borders::default() };
        let mut files = BTreeMap::new();
        for (role, input) in builder.taken_pictures()? {
            let name = call.found(role.name()).map_or_else(|| planned(call, role, &input), str::to_owned);
            files.insert(role, name);
        }
        let mut fields = std::mem::take(&mut builder.fields);
        let graph = match fields.remove(workflow::FIELD) {
            Some(own) => {
                fields.extend(files.into_iter().map(|(role, name)| (role.name().to_owned(), json!(name))));
                let sides = [borders.top, borders.right, borders.bottom, borders.left];
                fields.extend(
                    workflow::SIDES.iter().zip(sides).map(|(side, n)| ((*side).to_owned(), json!(n))),
                );
                workflow::filled(&own, &fields, call.tag)?
            }
            None => graph::graph(call, fields, &files)?,
        };
        builder.set("prompt", graph);
        // Chosen by us and the same after a crash, so that a job can be found in the server's own lists.
        builder.set("prompt_id", json!(uuid("prompt", call.tag)));
        builder.set("client_id", json!(uuid("client", call.tag)));
        let url = format!("{}/prompt", base_url(self, call.candidate));
        let http = HttpRequest::post(url, None, builder.json(), TIMEOUT);
        Ok(builder.finish(http))
    }

    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        // Older servers pass over the id that we chose.
        let Some(id) = task_id(&answer, "/prompt_id") else {
            return Err(without_task(self, response, &answer));
        };
        Ok(Reply::Accepted { remote: remote(base_url(self, call.candidate), &id), cost: None })
    }

    /// (An older server that gave its own id to a task does not know it by ours: what it renders then has no job, and is free.)
    fn named_task(&self, base: &str, tag: &str) -> Option<Remote> {
        Some(remote(base, &uuid("prompt", tag)))
    }

    /// A task that is in the queue goes on; of one that is not, the history is asked. In this order none can
    /// slip through between the two.
    fn read_poll(&self, remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.no_word(response));
        }
        let answer = response.json();
        let lists: Vec<&Vec<Value>> =
            ["queue_running", "queue_pending"].iter().filter_map(|l| answer.get(l)?.as_array()).collect();
        if lists.is_empty() {
            return Err(Rejection::free(Failure::Garbled, "the answer is no queue"));
        }
        if lists.into_iter().flatten().any(|entry| is_task(entry, remote)) {
            return Ok(Reply::Pending { after: None });
        }
        match &remote.result_url {
            Some(url) => Ok(Reply::Ask(HttpRequest::get(url, None))),
            None => Err(Rejection::free(Failure::NotFound, "the task is not in the queue any more")),
        }
    }

    fn read_result(&self, remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.no_word(response));
        }
        let answer = response.json();
        let Some(all) = answer.as_object() else {
            return Err(Rejection::free(Failure::Garbled, "the answer is no history"));
        };
        let Some(entry) = all.get(&remote.id) else {
            // The history is in memory only.
            let message = "neither in the queue nor in the history: the server was restarted";
            return Err(Rejection::free(Failure::NotFound, message));
        };
        if text_at(entry, &["/status/status_str"]) == Some("error") {
            // Memory that did not suffice is no passing state of the server: the same graph fails again.
            return Err(Rejection::free(Failure::Broken, failure(entry)));
        }
        let base = base_of(remote);
        let nodes = entry.get("outputs").and_then(Value::as_object).into_iter().flatten();
        let pictures: Vec<Source> = nodes
            .flat_map(|(_, node)| node.get("images").and_then(Value::as_array).into_iter().flatten())
            .filter_map(|image| view(base, image))
            .collect();
        if pictures.is_empty() {
            return Err(Rejection::free(Failure::Broken, "success, but no image in the history"));
        }
        Ok(Reply::Finished(Output {
            pictures,
            seed: entry.pointer("/prompt/2/3/inputs/seed").and_then(seed_of),
            render_seconds: seconds(entry),
            ..Output::default()
        }))
    }

    /// Takes a waiting task out of the queue.
    fn cancel(&self, remote: &Remote) -> Option<HttpRequest> {
        let url = remote.cancel_url.as_ref()?;
        let body = Body::Json(json!({"delete": [remote.id]}));
        Some(HttpRequest::post(url, None, body, CANCEL_TIMEOUT))
    }

    /// A running task is interrupted. It is looked for first: older servers pass over the id and stop whatever runs, which may
    /// be another's.
    fn cancel_further(&self, remote: &Remote, step: u32, answer: &HttpResponse) -> Option<HttpRequest> {
        match step {
            0 => {
                let look = HttpRequest::get(&remote.poll_url, None);
                Some(HttpRequest { timeout: CANCEL_TIMEOUT, ..look })
            }
            1 => {
                let queue = answer.json();
                let running = queue.get("queue_running").and_then(Value::as_array);
                running.into_iter().flatten().any(|entry| is_task(entry, remote)).then(|| {
                    let url = format!("{}/interrupt", base_of(remote));
                    let body = Body::Json(json!({"prompt_id": remote.id}));
                    HttpRequest::post(url, None, body, CANCEL_TIMEOUT)
                })
            }
            _ => None,
        }
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        Some(HttpRequest::get(format!("{}/system_stats", base.trim_end_matches('/')), None))
    }

    fn bills(&self) -> bool {
        false
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        let is_missing = text_at(&error.json, &["/error/type"]) == Some("missing_node_type")
            || node_errors(&error.json).any(names_missing_model);
        match error.status {
            400 if is_missing => Some(Failure::ModelGone),
            // Another program, or an old version: what is asked for is not here.
            405 => Some(Failure::ModelGone),
            _ => None,
        }
    }

    fn describe(&self, error: &ErrorAnswer<'_>) -> Option<String> {
        let detail = node_errors(&error.json).next().unwrap_or(&Value::Null);
        let said = Some(error.message.as_str()).filter(|said| *said != "no details");
        if matches!(error.status, 404 | 405) && error.json.get("error").is_none() {
            return Some("there is no ComfyUI at this address".to_owned());
        }
        let parts = [said, text_at(detail, &["/message"]), text_at(detail, &["/details"])];
        let said = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        (!said.is_empty()).then_some(said)
    }
}

/// What is wrong with single nodes of a graph.
fn node_errors(answer: &Value) -> impl Iterator<Item = &Value> {
    let nodes = answer.get("node_errors").and_then(Value::as_object).into_iter().flatten();
    nodes.flat_map(|(_, node)| node.get("errors").and_then(Value::as_array).into_iter().flatten())
}

impl ComfyUi {
    /// An error while a task is followed. The queue and the history are always there: a 404 says nothing of the task.
    fn no_word(&self, response: &HttpResponse) -> Rejection {
        let mut rejection = self.read_error(response);
        if rejection.failed.failure == Failure::ModelGone {
            rejection.failed.failure = Failure::Garbled;
        }
        rejection
    }
}

/// Whether an entry of the queue is this task.
fn is_task(entry: &Value, remote: &Remote) -> bool {
    text_at(entry, &["/1"]) == Some(remote.id.as_str())
}

/// Where the server is that has a task.
fn base_of(remote: &Remote) -> &str {
    remote.poll_url.strip_suffix("/queue").unwrap_or(&remote.poll_url)
}

/// Where a task is asked for.
fn remote(base: &str, id: &str) -> Remote {
    Remote {
        id: id.to_owned(),
        poll_url: format!("{base}/queue"),
        result_url: Some(format!("{base}/history/{}", segment(id))),
        cancel_url: Some(format!("{base}/queue")),
    }
}

/// The start of an upload's file name, different for each attempt.
fn stem(call: &Call<'_>, role: Role) -> String {
    format!("image_gen-{}-{}", call.tag, role.name())
}

/// What an upload will be called, most likely: for a plan.
fn planned(call: &Call<'_>, role: Role, input: &Input) -> String {
    input.file_name(&stem(call, role))
}

/// A UUID of our own making (version 8) out of the attempt's name.
fn uuid(what: &str, tag: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"image_gen.comfyui.");
    hash.update(what);
    hash.update(b"\0");
    hash.update(tag);
    let digest = hash.finalize();
    let mut hex = String::new();
    for (index, byte) in digest.iter().take(16).enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(index, 4 | 6 | 8 | 10) {
            hex.push('-');
        }
        hex.push_str(&format!("{byte:02x}"));
    }
    hex
}

/// A file that is not installed there: all lists of files are inputs called `…_name`, but samplers are none.
fn names_missing_model(error: &Value) -> bool {
    let input = text_at(error, &["/extra_info/input_name"]).unwrap_or_default();
    text_at(error, &["/type"]) == Some("value_not_in_list")
        && input.ends_with("_name")
        && input != "sampler_name"
}

/// The URL of an image; previews are of type `temp` and do not count.
fn view(base: &str, image: &Value) -> Option<Source> {
    let name = text_at(image, &["/filename"])?;
    let kind = text_at(image, &["/type"]).filter(|kind| *kind == "output")?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("filename", name)
        .append_pair("subfolder", text_at(image, &["/subfolder"]).unwrap_or_default())
        .append_pair("type", kind)
        .finish();
    Some(Source::Url { url: format!("{base}/view?{query}"), lifetime: None })
}

/// The last message of this kind about a task.
fn message<'a>(entry: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = entry.pointer("/status/messages").and_then(Value::as_array)?;
    all.iter().rev().find(|m| text_at(m, &["/0"]) == Some(kind))?.get(1)
}

fn failure(entry: &Value) -> String {
    if message(entry, "execution_interrupted").is_some() {
        return "the render was interrupted at the server".into();
    }
    let error = message(entry, "execution_error").unwrap_or(&Value::Null);
    let (kind, text) = (text_at(error, &["/exception_type"]), text_at(error, &["/exception_message"]));
    let (kind, text) = (kind.unwrap_or("error"), text.unwrap_or("no reason given"));
    let signs = ["OutOfMemoryError", "out of memory", "Allocation on device"];
    let is_memory = signs.iter().any(|sign| kind.contains(sign) || text.contains(sign));
    let what = if is_memory { "the machine's memory did not suffice" } else { "the render failed" };
    format!("{what}: {kind}: {text}")
}

/// Newer servers stamp their messages, in milliseconds.
fn seconds(entry: &Value) -> Option<f64> {
    let at = |kind| message(entry, kind)?.get("timestamp")?.as_u64();
    let took = at("execution_success")?.checked_sub(at("execution_start")?)?;
    (took > 0).then_some(took as f64 / 1000.0)
}

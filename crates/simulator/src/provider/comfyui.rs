//! ComfyUI on one's own machine: a graph is queued, its history read, its images fetched. No keys, no filter, no bill.
//!
//! There is one graphics card, so jobs run one after the other, and the queue is unbounded.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::answer::{Answer, Content};
use crate::call::{Call, Payload};
use crate::desk::Desk;
use crate::fault::Fault;
use crate::ledger::Phase;
use crate::provider::{Intent, Provider};
use crate::task::Fate;
use crate::world::World;

mod files;
mod graph;
mod host;
mod nodes;
mod plan;

use host::{Host, Job, State};
use plan::{Failure, Run};

const NAME: &str = "comfyui";
const VERSION: &str = "0.3.75";

pub(crate) struct ComfyUi;

/// Every path is also there below `api`.
fn path(call: &Call) -> &str {
    call.path.strip_prefix("api/").unwrap_or(&call.path)
}

impl Provider for ComfyUi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        let of_job = |phase, job: Option<&Job>, id: Option<&str>| Intent {
            phase,
            model: job.and_then(|j| j.model.clone()),
            prompt: job.and_then(|j| j.prompt.clone()),
            seed: job.and_then(|j| j.seed),
            remote_id: id.map(String::from).or_else(|| job.map(|j| j.id.clone())),
        };
        match (call.method.as_str(), path(call)) {
            ("POST", "prompt") => {
                let (prompt, seed, model) = match &call.payload {
                    Payload::Json(body) => body["prompt"].as_object().map(plan::gist).unwrap_or_default(),
                    _ => Default::default(),
                };
                Intent { prompt, seed, model, ..Intent::of(Phase::Submit) }
            }
            ("GET", "queue" | "history") => Intent::of(Phase::Poll),
            ("POST", "queue") => {
                let id = match &call.payload {
                    Payload::Json(body) => body["delete"][0].as_str().map(String::from),
                    _ => None,
                };
                Intent { remote_id: id, ..Intent::of(Phase::Cancel) }
            }
            ("POST", "interrupt") => {
                Intent { remote_id: call.text("prompt_id"), ..Intent::of(Phase::Cancel) }
            }
            ("GET", "view") => {
                let name = files::wanted(call);
                world.drawer(|host: &mut Host| of_job(Phase::Picture, host.maker(&name), None))
            }
            ("GET", path) => match path.strip_prefix("history/") {
                Some(id) => world.drawer(|host: &mut Host| of_job(Phase::Poll, host.find(id), Some(id))),
                None => Intent::of(Phase::Other),
            },
            _ => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, _: &Intent) -> Answer {
        const KNOWN: [(&str, &str); 9] = [
            ("prompt", "GET,POST"),
            ("queue", "GET,POST"),
            ("history", "GET,POST"),
            ("interrupt", "POST"),
            ("free", "POST"),
            ("upload/image", "POST"),
            ("view", "GET"),
            ("system_stats", "GET"),
            ("object_info", "GET"),
        ];
        let now = desk.now;
        match (desk.call.method.as_str(), path(desk.call)) {
            ("POST", "prompt") => submit(desk),
            ("GET", "prompt") => {
                let left = desk.world.drawer(|host: &mut Host| {
                    host.list(State::Running, now).len() + host.list(State::Waiting, now).len()
                });
                Answer::ok("answered", json!({"exec_info": {"queue_remaining": left}}))
            }
            ("GET", "queue") => queue(desk),
            ("GET", "history") => history(desk, None),
            ("POST", "queue") => forget(desk, State::Waiting),
            ("POST", "history") => forget(desk, State::Done),
            ("POST", "interrupt") => {
                let id = desk.call.text("prompt_id");
                desk.world.drawer(|host: &mut Host| host.interrupt(id.as_deref(), now));
                done()
            }
            ("POST", "free") => done(),
            ("POST", "upload/image") => files::upload(desk),
            ("GET", "view") => files::view(desk),
            ("GET", "system_stats") => Answer::ok("answered", system_stats()),
            ("GET", "object_info") => {
                let all: Map<String, Value> =
                    nodes::all().map(|n| (n.class.to_owned(), n.to_json())).collect();
                Answer::ok("answered", Value::Object(all))
            }
            (method, path) => {
                if let Some((_, allowed)) = KNOWN.iter().find(|(known, _)| *known == path) {
                    return plain(StatusCode::METHOD_NOT_ALLOWED).header("allow", allowed);
                }
                match path.split_once('/') {
                    Some(("history", id)) if method == "GET" => history(desk, Some(id)),
                    Some(("object_info", class)) if method == "GET" => {
                        let found = nodes::find(class).map(|n| (class.to_owned(), n.to_json()));
                        Answer::ok("answered", Value::Object(found.into_iter().collect()))
                    }
                    Some(("models", "checkpoints")) if method == "GET" => {
                        Answer::ok("answered", json!(nodes::CHECKPOINTS))
                    }
                    Some(("models", "upscale_models")) if method == "GET" => {
                        Answer::ok("answered", json!(nodes::UPSCALERS))
                    }
                    _ => plain(StatusCode::NOT_FOUND),
                }
            }
        }
    }

    fn error(&self, status: StatusCode) -> Value {
        let text = status.canonical_reason().unwrap_or("Error");
        graph::error("server_error", text, "", &json!({}))
    }
}

/// Errors outside of graphs are plain text.
fn plain(status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("{}: {reason}", status.as_u16());
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        text = "500 Internal Server Error\n\nServer got itself in trouble".into();
    }
    Answer::rejected_as(status, "text/plain; charset=utf-8", text)
}

/// 200, and nothing to say.
fn done() -> Answer {
    let mut answer = Answer::ok("answered", Value::Null);
    answer.content = Content::Bytes("application/octet-stream", Bytes::new());
    answer
}

fn submit(desk: &Desk<'_>) -> Answer {
    // What is not JSON makes the server stumble.
    let Payload::Json(Value::Object(body)) = &desk.call.payload else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let reject = |body| Answer::rejected(StatusCode::BAD_REQUEST, body);
    let graph = match body.get("prompt") {
        None => {
            let text = "No prompt provided";
            return reject(graph::error("no_prompt", text, text, &json!({})));
        }
        Some(Value::Object(graph)) => graph,
        Some(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let file = |name: &str| files::uploaded(desk.world, name);
    let checked = match graph::check(graph, &|name| file(name).is_some()) {
        Ok(checked) => checked,
        Err(body) => return reject(body),
    };
    let id = match body.get("prompt_id") {
        None => desk.world.new_uuid(),
        Some(Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
    };
    let mut extra = body.get("extra_data").filter(|e| e.is_object()).cloned().unwrap_or_else(|| json!({}));
    if let Some(client) = body.get("client_id") {
        extra["client_id"] = client.clone();
    }
    let front = body.get("front").and_then(Value::as_bool).unwrap_or(false);
    let mut run = Run::new(graph, &file);
    let inputs = run.inputs(&checked.outputs);
    let (prompt, seed, model) = plan::gist(graph);
    // There is no filter that could refuse.
    let scripted = desk.scripted_fate().filter(|fate| !matches!(fate, Fate::Refused(_)));
    let mut fate = scripted.unwrap_or(Fate::Ready);
    let takes = desk.config.render_time(NAME, model.as_deref().unwrap_or_default());
    let limit = desk.config.task_limit;
    let (number, in_flight) = desk.world.drawer(|host: &mut Host| {
        let number = host.next_number(front);
        let signatures: Vec<String> = checked.outputs.iter().map(|id| run.signature(id)).collect();
        let (cached, fresh): (Vec<_>, Vec<_>) =
            checked.outputs.iter().zip(&signatures).partition(|(_, signature)| host.has_done(signature));
        let fresh: Vec<&String> = fresh.into_iter().map(|(id, _)| id).collect();
        let mut failure = (fate == Fate::Error).then(|| crash(graph));
        let mut results = Map::new();
        if fate == Fate::Ready {
            match run.make(&fresh) {
                Ok(made) => results = host.store(made),
                Err(why) => (fate, failure) = (Fate::Error, Some(why)),
            }
        }
        match fate {
            Fate::Ready => host.now_done(signatures.iter().cloned().collect()),
            // What failed is not kept, and neither is what came before.
            _ => host.now_done(HashSet::new()),
        }
        if fate == Fate::Lost {
            return (number, host.list(State::Running, desk.now).len());
        }
        let job = Job {
            number,
            id: id.clone(),
            graph: Value::Object(graph.clone()),
            extra,
            outputs: checked.outputs.clone(),
            cached: cached.into_iter().map(|(id, _)| id.clone()).collect(),
            prompt,
            seed,
            model,
            fate,
            failure,
            results,
            takes: if fresh.is_empty() { Duration::ZERO } else { takes },
            begins: desk.now,
            ends: None,
            interrupted: false,
        };
        (number, host.queue(job, desk.now, limit))
    });
    let body = json!({"prompt_id": id, "number": number, "node_errors": checked.node_errors});
    let mut answer = Answer::ok("accepted", body);
    answer.accepted = true;
    answer.remote_id = Some(id);
    answer.inputs = inputs;
    answer.in_flight = Some(in_flight.max(1));
    answer
}

/// The error that a scripted fault makes.
fn crash(graph: &graph::Graph) -> Failure {
    let sampler = graph.keys().find(|id| graph::class(graph, id).is_some_and(|n| n.class == "KSampler"));
    let node = sampler.or_else(|| graph.keys().next()).cloned().unwrap_or_default();
    let class = graph::class(graph, &node).map_or("", |n| n.class);
    let message = "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)".into();
    Failure { node, class, exception: "RuntimeError", message }
}

fn queue(desk: &Desk<'_>) -> Answer {
    let lost = matches!(desk.fault, Some(Fault::TaskNotFound));
    let list = |state| {
        let tuples = |host: &mut Host| host.list(state, desk.now).into_iter().map(Job::tuple).collect();
        if lost { Vec::new() } else { desk.world.drawer(tuples) }
    };
    let (running, waiting): (Vec<Value>, Vec<Value>) = (list(State::Running), list(State::Waiting));
    Answer::ok("answered", json!({"queue_running": running, "queue_pending": waiting}))
}

/// What is done: one job, or all. A fault changes what is said of the one.
fn history(desk: &Desk<'_>, id: Option<&str>) -> Answer {
    let Some(id) = id else {
        let most = desk.call.query("max_items").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let all = desk.world.drawer(|host: &mut Host| {
            let jobs = host.list(State::Done, desk.now);
            let jobs = jobs.iter().skip(jobs.len().saturating_sub(most));
            jobs.map(|job| (job.id.clone(), entry(desk, job, job.fate))).collect::<Map<_, _>>()
        });
        return Answer::ok("answered", Value::Object(all));
    };
    desk.world.drawer(|host: &mut Host| {
        let Some(job) = host.find(id).filter(|_| !matches!(desk.fault, Some(Fault::TaskNotFound))) else {
            return Answer::ok("not_found", json!({}));
        };
        if matches!(desk.fault, Some(Fault::NeverReady)) || job.state(desk.now) != State::Done {
            return Answer::ok("pending", json!({}));
        }
        let fate = match desk.fault {
            Some(Fault::Empty) => Fate::Empty,
            Some(Fault::TaskError) => Fate::Error,
            _ => job.fate,
        };
        let outcome = if fate == Fate::Error || job.interrupted { "failed" } else { "ready" };
        Answer::ok(outcome, json!({id: entry(desk, job, fate)}))
    })
}

fn entry(desk: &Desk<'_>, job: &Job, fate: Fate) -> Value {
    let at = |then: Instant| {
        let ago = desk.now.saturating_duration_since(then).as_millis();
        (desk.now_us / 1000).saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
    };
    let (begun, ended) = (at(job.begins), at(job.ends.unwrap_or(job.begins)));
    let mut messages = vec![
        json!(["execution_start", {"prompt_id": job.id, "timestamp": begun}]),
        json!(["execution_cached", {"nodes": job.cached, "prompt_id": job.id, "timestamp": begun}]),
    ];
    let good = !job.interrupted && fate != Fate::Error;
    let graph = job.graph.as_object().map(crash);
    let failure = job.failure.as_ref().or(graph.as_ref());
    let mut last = json!({"prompt_id": job.id, "timestamp": ended});
    if let Some(failure) = failure.filter(|_| !good) {
        (last["node_id"], last["node_type"]) = (json!(failure.node), json!(failure.class));
        last["executed"] = json!([]);
    }
    let name = if good {
        "execution_success"
    } else if job.interrupted {
        "execution_interrupted"
    } else {
        last["exception_message"] = json!(failure.map(|f| &f.message));
        last["exception_type"] = json!(failure.map(|f| f.exception));
        last["traceback"] = json!([]);
        (last["current_inputs"], last["current_outputs"]) = (json!({}), json!([]));
        "execution_error"
    };
    messages.push(json!([name, last]));
    let outputs = if good && fate == Fate::Ready { job.results.clone() } else { Map::new() };
    let meta: Map<String, Value> = outputs
        .keys()
        .map(|id| {
            (id.clone(), json!({"node_id": id, "display_node": id, "parent_node": null, "real_node_id": id}))
        })
        .collect();
    let text = if good { "success" } else { "error" };
    let status = json!({"status_str": text, "completed": good, "messages": messages});
    json!({"prompt": job.tuple(), "outputs": outputs, "status": status, "meta": meta})
}

/// Takes jobs out of the queue, or out of the history.
fn forget(desk: &Desk<'_>, state: State) -> Answer {
    let Payload::Json(body) = &desk.call.payload else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
    let now = desk.now;
    if body["clear"] == true {
        desk.world.drawer(|host: &mut Host| host.remove(None, state, now));
    }
    if let Some(ids) = body["delete"].as_array() {
        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
        desk.world.drawer(|host: &mut Host| host.remove(Some(&ids), state, now));
    }
    done()
}

fn system_stats() -> Value {
    const GIGABYTE: u64 = 1 << 30;
    let system = json!({
        "os": "posix",
        "ram_total": 64 * GIGABYTE,
        "ram_free": 48 * GIGABYTE,
        "comfyui_version": VERSION,
        "python_version": "3.12.3",
        "pytorch_version": "2.9.0",
        "embedded_python": false,
        "argv": ["main.py"],
    });
    let device = json!({
        "name": "cuda:0 simulated",
        "type": "cuda",
        "index": 0,
        "vram_total": 24 * GIGABYTE,
        "vram_free": 20 * GIGABYTE,
        "torch_vram_total": GIGABYTE,
        "torch_vram_free": GIGABYTE,
    });
    json!({"system": system, "devices": [device]})
}

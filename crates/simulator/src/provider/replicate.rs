//! Replicate: predictions, created and asked after, or waited for; uploads; models and their input schemas.
//!
//! A prediction is billed when it succeeds, at a price for an image (official models) or for a run (all others). Failed,
//! refused and rejected ones are free. The ledger books it when it is created, also if it is canceled later.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, When};
use crate::call::{Call, Payload};
use crate::clock::micros;
use crate::config::duration;
use crate::desk::Desk;
use crate::ledger::Phase;
use crate::link::Links;
use crate::picture::Picture;
use crate::provider::{Intent, Provider};
use crate::task::{Fate, Task, seed_of};
use crate::world::World;

mod catalogue;
mod clock;
mod fields;
mod files;
mod models;
mod prediction;
mod sizes;

use clock::{span, wait};
use fields::{Order, Problem};
use models::Model;

const NAME: &str = "replicate";
const LINKS: Links = Links { folder: "replicate/delivery", ends: ("se", 1) };

pub(crate) struct Replicate;

#[derive(Clone, Debug, PartialEq)]
enum Route<'a> {
    /// A prediction of the version in the body.
    Create,
    /// A prediction of this model.
    CreateBy(String),
    Get(&'a str),
    Cancel(&'a str),
    Model(String),
    Upload,
    File(&'a str),
    Removal(&'a str),
    Account,
    Delivery(&'a str),
    /// A known path, but another method.
    WrongMethod,
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    if let Some(name) = call.path.strip_prefix("delivery/") {
        return Route::Delivery(name);
    }
    let path: Vec<&str> = call.path.split('/').collect();
    let (get, post) = (call.method == Method::GET, call.method == Method::POST);
    match path.as_slice() {
        ["v1", "predictions"] if post => Route::Create,
        ["v1", "models", owner, name, "predictions"] if post => Route::CreateBy(format!("{owner}/{name}")),
        ["v1", "predictions", id] if get => Route::Get(id),
        ["v1", "predictions", id, "cancel"] if post => Route::Cancel(id),
        ["v1", "models", owner, name] if get => Route::Model(format!("{owner}/{name}")),
        ["v1", "files"] if post => Route::Upload,
        ["v1", "files", id] if get => Route::File(id),
        ["v1", "files", id] if call.method == Method::DELETE => Route::Removal(id),
        ["v1", "account"] if get => Route::Account,
        ["v1", "predictions" | "files" | "account", ..] | ["v1", "models", _, _] => Route::WrongMethod,
        ["v1", "models", _, _, "predictions"] => Route::WrongMethod,
        _ => Route::Unknown,
    }
}

/// The model that a submission is for, known or not.
fn model_name(call: &Call, route: &Route<'_>) -> Option<String> {
    match route {
        Route::CreateBy(name) => Some(name.clone()),
        _ => {
            let version = call.text("version")?;
            Some(models::of_version(&version).map_or(version, |model| model.name.to_owned()))
        }
    }
}

impl Provider for Replicate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        let of_task = |phase, id: &str| Intent::of_task(phase, world, NAME, id);
        let route = route(call);
        match route {
            Route::Create | Route::CreateBy(_) => {
                let prompt = match &call.payload {
                    Payload::Json(body) => body["input"]["prompt"].as_str().map(String::from),
                    _ => None,
                };
                Intent { model: model_name(call, &route), prompt, ..Intent::of(Phase::Submit) }
            }
            Route::Get(id) => of_task(Phase::Poll, id),
            Route::Cancel(id) => of_task(Phase::Cancel, id),
            Route::Delivery(name) => of_task(Phase::Picture, name.split('/').next().unwrap_or_default()),
            Route::File(id) | Route::Removal(id) => {
                Intent { remote_id: Some(id.to_owned()), ..Intent::of(Phase::Other) }
            }
            _ => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        let route = route(desk.call);
        if let Route::Delivery(name) = route {
            return files::deliver(desk, name);
        }
        let header = desk.call.header("authorization");
        // The older scheme is still taken.
        let key =
            desk.call.bearer().or_else(|| header.strip_prefix("Token ").map(str::trim)).unwrap_or_default();
        if !desk.config.admits(key) {
            let detail = if key.is_empty() {
                "You did not pass an authentication token"
            } else {
                "You did not pass a valid authentication token"
            };
            return reject(StatusCode::UNAUTHORIZED, "Unauthenticated", detail);
        }
        let mut answer = match route {
            Route::Create => create(desk, None),
            Route::CreateBy(name) => create(desk, Some(&name)),
            Route::Get(id) => prediction::get(desk, id),
            Route::Cancel(id) => prediction::cancel(desk, id),
            Route::Model(name) => models::find(&name)
                .map_or_else(missing, |model| Answer::ok("answered", model.to_json("https://replicate.com"))),
            Route::Upload => files::upload(desk),
            Route::File(id) => files::describe(desk, id),
            Route::Removal(id) => files::remove(desk, id),
            Route::Account => Answer::ok(
                "answered",
                json!({"type": "user", "username": "simulator", "name": "Simulator", "github_url": null}),
            ),
            Route::WrongMethod => {
                let detail = format!("Method \"{}\" not allowed.", desk.call.method);
                reject(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", &detail)
            }
            Route::Unknown | Route::Delivery(_) => missing(),
        };
        answer.seed = answer.seed.or(intent.seed);
        answer
    }

    fn error(&self, status: StatusCode) -> Value {
        let (title, detail) = match status.as_u16() {
            401 => ("Unauthenticated", "You did not pass a valid authentication token"),
            402 => ("Insufficient credit", NO_CREDIT),
            404 => return json!({"detail": NOT_FOUND, "status": 404}),
            422 => ("Input validation failed", "- input: the input is invalid\n"),
            // How long to wait is left to the header, which a rule can set.
            429 => return json!({"detail": "Request was throttled.", "status": 429}),
            _ => {
                let reason = status.canonical_reason().unwrap_or("Error");
                (reason, reason)
            }
        };
        json!({"title": title, "detail": detail, "status": status.as_u16()})
    }
}

const NO_CREDIT: &str = "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase credit. Once you purchase credit, please wait a few minutes before trying again.";
const NOT_FOUND: &str = "The requested resource could not be found.";

fn reject(status: StatusCode, title: &str, detail: &str) -> Answer {
    Answer::rejected(status, json!({"title": title, "detail": detail, "status": status.as_u16()}))
}

fn missing() -> Answer {
    Answer::json(StatusCode::NOT_FOUND, "not_found", json!({"detail": NOT_FOUND, "status": 404}))
}

/// The list of all that is wrong with a request.
fn invalid(problems: &[Problem]) -> Answer {
    let lines = problems.iter().map(|p| match p.field.as_str() {
        "(root)" => format!("- {}\n", p.text),
        field => format!("- {field}: {}\n", p.text),
    });
    let body = json!({
        "title": "Input validation failed",
        "detail": lines.collect::<String>(),
        "status": 422,
        "invalid_fields": problems.iter().map(Problem::to_json).collect::<Vec<_>>(),
    });
    Answer::rejected(StatusCode::UNPROCESSABLE_ENTITY, body)
}

fn create(desk: &Desk<'_>, name: Option<&str>) -> Answer {
    // Only official models run by name.
    let named = name.map(|name| models::find(name).filter(|model| model.official));
    if let Some(None) = named {
        let mut answer = missing();
        answer.outcome = "rejected";
        return answer;
    }
    let body = match &desk.call.payload {
        Payload::Json(Value::Object(body)) => body,
        Payload::Json(_) | Payload::BrokenJson(_) | Payload::Nothing => {
            return reject(StatusCode::BAD_REQUEST, "Bad request", "The request body is not a JSON object.");
        }
        _ => {
            let detail = "The request must be of type application/json";
            return reject(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail);
        }
    };
    let input = match envelope(body, named.is_none()) {
        Ok(input) => input,
        Err(problems) => return invalid(&problems),
    };
    let version = body.get("version").and_then(Value::as_str).unwrap_or_default();
    let Some(model) = named.flatten().or_else(|| models::of_version(version)) else {
        let detail = "The specified version does not exist (or perhaps you don't have permission to use it?)";
        return reject(StatusCode::UNPROCESSABLE_ENTITY, "Invalid version or not permitted", detail);
    };
    let Some(wait) = wait(desk.call.header("prefer")) else {
        let detail = "The Prefer header must be 'wait' or 'wait=n', with n from 1 to 60 seconds.";
        return reject(StatusCode::BAD_REQUEST, "Invalid Prefer header", detail);
    };
    let order = match Order::read(model, input, desk.world) {
        Ok(order) => order,
        Err(problems) => return invalid(&problems),
    };
    if desk.world.is_broke(desk.account(NAME)) {
        return reject(StatusCode::PAYMENT_REQUIRED, "Insufficient credit", NO_CREDIT);
    }
    begin(desk, model, input, order, wait)
}

/// What is around the input.
fn envelope(body: &Map<String, Value>, versioned: bool) -> Result<&Map<String, Value>, Vec<Problem>> {
    let root = |kind, text: String| Problem::new(kind, "(root)", text);
    let mut problems = Vec::new();
    if versioned && body.get("version").and_then(Value::as_str).is_none() {
        problems.push(root("required", "version is required".into()));
    }
    for name in body.keys() {
        let known = ["input", "webhook", "webhook_events_filter", "stream"].contains(&name.as_str());
        if !(known || versioned && name == "version") {
            let text = format!("Additional property {name} is not allowed");
            problems.push(root("additional_property_not_allowed", text));
        }
    }
    let webhook = body.get("webhook").filter(|url| !url.is_null());
    if webhook.is_some_and(|url| !url.as_str().is_some_and(|url| url.starts_with("https://"))) {
        problems.push(Problem::new("format", "webhook", "Must be an HTTPS URL"));
    }
    match body.get("input") {
        None => problems.push(root("required", "input is required".into())),
        Some(Value::Object(input)) if problems.is_empty() => return Ok(input),
        Some(Value::Object(_)) => {}
        Some(_) => problems.push(Problem::new("invalid_type", "input", "Invalid type. Expected: object")),
    }
    Err(problems)
}

fn begin(
    desk: &Desk<'_>,
    model: &'static Model,
    input: &Map<String, Value>,
    order: Order,
    wait: Duration,
) -> Answer {
    let id = desk.world.new_id()[..26].to_owned();
    let seed = order.seed.unwrap_or_else(|| seed_of(&id, 1 << 31));
    let fate = match order.unchecked {
        _ if model.gone || order.failure.is_some() => Fate::Error,
        true => desk.scripted_fate().unwrap_or(Fate::Ready),
        false => desk.fate(NAME, &order.prompt, seed),
    };
    let time = desk.render_time(NAME, model.name, fate);
    let Ok(in_flight) = desk.begin_render(NAME, time, fate) else {
        let detail = "Request was throttled. Your rate limit resets in ~1s.";
        let body = json!({"detail": detail, "status": 429, "retry_after": 1});
        return Answer::rejected(StatusCode::TOO_MANY_REQUESTS, body).header("retry-after", 1);
    };
    let end = desk.now_us.saturating_add(micros(time));
    let patience = span(desk.call.header("cancel-after"));
    let deadline = patience.map(|patience| desk.now_us.saturating_add(micros(patience)));
    let cut_short = deadline.is_some_and(|at| at < end);
    let note = json!({"input": echo(input), "failure": order.failure, "deadline_us": deadline});
    let picture = Picture {
        prompt: order.prompt.clone(),
        seed,
        width: order.width,
        height: order.height,
        format: order.format.unwrap_or(model.format),
    };
    let task = Task { count: order.count, ..desk.task(NAME, &id, model.name, picture, time, fate) };
    // A caller that waits gets the prediction as it is when the waiting ends.
    let over = if fate == Fate::Never { duration(f64::MAX) } else { time };
    let waited = wait.min(over).min(patience.unwrap_or(over));
    let at = (!wait.is_zero()).then(|| desk.now_us.saturating_add(micros(waited)));
    let (_, body) = prediction::show(desk, &task, model, &note, at);
    desk.world.shelf().put_note(&prediction::note_name(&id), &note);
    desk.world.tasks().add(task, desk.config.task_limit);
    let mut answer = Answer::json(StatusCode::CREATED, "accepted", body);
    answer.when = When::After(waited);
    answer.accepted = true;
    answer.refused = matches!(fate, Fate::Refused(_));
    let billed = matches!(fate, Fate::Ready | Fate::Empty) && !cut_short;
    answer.billed = billed.then(|| model.price.of(&order));
    answer.seed = Some(seed);
    answer.remote_id = Some(id);
    answer.in_flight = Some(in_flight);
    answer.inputs = order.inputs;
    answer
}

/// The input as predictions repeat it, without what is long.
fn echo(input: &Map<String, Value>) -> Value {
    let shown = |value: &Value| match value {
        Value::String(text) if text.starts_with("data:") => {
            json!(text.chars().take(60).collect::<String>() + "…")
        }
        other => other.clone(),
    };
    input
        .iter()
        .map(|(name, value)| match value {
            Value::Array(all) => (name.clone(), all.iter().map(shown).collect()),
            value => (name.clone(), shown(value)),
        })
        .collect()
}

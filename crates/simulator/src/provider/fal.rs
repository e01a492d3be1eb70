//! fal: submit, ask for the status, fetch the result, each at the URL that the submission answered.
//!
//! The queue takes any JSON object for a model that exists; the model looks at it when its turn comes, so an invalid input shows
//! as a completed request whose result is an error. Errors are free; a black image is a success, and billed as one.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::{Call, Payload};
use crate::clock::micros;
use crate::config::duration;
use crate::desk::Desk;
use crate::fault::Stage;
use crate::ledger::Phase;
use crate::link::Links;
use crate::picture::Picture;
use crate::provider::{Intent, Provider};
use crate::task::{Fate, Task, seed_of};
use crate::world::World;

mod fields;
mod flux;
mod groups;
mod makers;
mod models;
mod platform;
mod request;
mod result;
mod sizes;
mod tools;

use fields::{Order, problem};
use models::{Filter, Model};

const NAME: &str = "fal";
const LINKS: Links = Links { folder: "fal/files", ends: ("se", 1) };

pub(crate) struct Fal;

#[derive(Clone, Copy)]
enum Route<'a> {
    Submit(&'a str),
    Status { app: &'a str, id: &'a str },
    Result { app: &'a str, id: &'a str },
    Cancel { app: &'a str, id: &'a str },
    Picture(&'a str),
    Pricing,
    Billing,
}

fn route(call: &Call) -> Route<'_> {
    let path = call.path.as_str();
    match path {
        "v1/models/pricing" => return Route::Pricing,
        "v1/account/billing" => return Route::Billing,
        _ => {}
    }
    if let Some(file) = path.strip_prefix("files/") {
        return Route::Picture(file);
    }
    let Some((app, rest)) = path.split_once("/requests/") else { return Route::Submit(path) };
    match rest.split_once('/') {
        None => Route::Result { app, id: rest },
        Some((id, "status")) => Route::Status { app, id },
        Some((id, "cancel")) => Route::Cancel { app, id },
        Some(_) => Route::Submit(path),
    }
}

impl Provider for Fal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        let of_task = |phase, id: &str| Intent::of_task(phase, world, NAME, id);
        match route(call) {
            Route::Submit(model) => Intent {
                model: Some(model.to_owned()),
                prompt: call.text("prompt"),
                ..Intent::of(Phase::Submit)
            },
            Route::Status { id, .. } | Route::Result { id, .. } => of_task(Phase::Poll, id),
            Route::Cancel { id, .. } => of_task(Phase::Cancel, id),
            Route::Picture(file) => of_task(Phase::Picture, result::id_of(file)),
            Route::Billing => Intent::of(Phase::Balance),
            Route::Pricing => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        let route = route(desk.call);
        let expected = match route {
            Route::Submit(_) => "POST",
            Route::Cancel { .. } => "PUT",
            _ => "GET",
        };
        // A request's URL names owner and app only. Below a longer path there is nothing but the model itself.
        let misplaced = match route {
            Route::Status { app, .. } | Route::Result { app, .. } | Route::Cancel { app, .. } => {
                app.matches('/').count() != 1
            }
            _ => false,
        };
        if desk.call.method.as_str() != expected || misplaced {
            return reject(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").header("allow", expected);
        }
        if let Route::Picture(file) = route {
            return result::file(desk, file);
        }
        let key = desk.call.header("authorization").strip_prefix("Key ").map(str::trim).unwrap_or_default();
        if key.is_empty() {
            let detail = "Authentication is required to access this application.";
            return reject(StatusCode::UNAUTHORIZED, detail);
        }
        if !desk.config.admits(key) {
            return reject(StatusCode::UNAUTHORIZED, "No user found for Key ID and Secret");
        }
        let mut answer = match route {
            Route::Submit(model) => submit(desk, model),
            Route::Status { app, id } => request::status(desk, app, id),
            Route::Result { app, id } => result::result(desk, app, id),
            Route::Cancel { app, id } => request::cancel(desk, app, id),
            Route::Pricing => platform::pricing(desk),
            _ => platform::billing(desk, key),
        };
        answer.seed = answer.seed.or(intent.seed);
        if let Some(id) = answer.remote_id.as_ref().or(intent.remote_id.as_ref()).cloned() {
            answer = answer.header("x-fal-request-id", id);
        }
        // Those that wait in the queue are not being drawn.
        let drawn = desk.world.renders(desk.account(NAME), desk.now);
        answer.in_flight = Some(answer.in_flight.unwrap_or(drawn).min(limit(desk).unwrap_or(usize::MAX)));
        answer
    }

    fn error(&self, status: StatusCode) -> Value {
        match status.as_u16() {
            401 => json!({"detail": "Authentication is required to access this application."}),
            402 | 403 => json!({ "detail": EXHAUSTED }),
            404 => json!({"detail": "Application not found"}),
            422 => json!({"detail": [problem("value_error", &["body"], "Value error", &Value::Null)]}),
            429 => json!({"detail": "Too many requests. Please slow down."}),
            500 => json!({"detail": [internal()]}),
            502 | 503 => json!({"detail": "Runner disconnected", "error_type": "runner_disconnected"}),
            504 => json!({"detail": "Request timed out", "error_type": "request_timeout"}),
            _ => json!({"detail": status.canonical_reason().unwrap_or("Error")}),
        }
    }
}

const EXHAUSTED: &str =
    "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.";

fn reject(status: StatusCode, detail: &str) -> Answer {
    Answer::rejected(status, json!({ "detail": detail }))
}

fn internal() -> Value {
    problem("internal_server_error", &["body"], "Internal server error", &Value::Null)
}

fn limit(desk: &Desk<'_>) -> Option<usize> {
    desk.config.active_task_limit.map(|limit| limit.max(1))
}

/// Where the notes about a request are kept.
fn shelf_name(id: &str) -> String {
    format!("{NAME}/notes/{id}")
}

fn submit(desk: &Desk<'_>, name: &str) -> Answer {
    let Some(model) = models::find(name) else { return unknown(name) };
    let Payload::Json(Value::Object(body)) = &desk.call.payload else {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        let detail = problem("model_attributes_type", &["body"], msg, &Value::Null);
        return Answer::rejected(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": [detail] }));
    };
    if desk.world.is_broke(desk.account(NAME)) {
        return reject(StatusCode::FORBIDDEN, EXHAUSTED);
    }
    let id = desk.world.new_uuid();
    match Order::read(model, body) {
        Ok(order) => accept(desk, model, order, id),
        Err(detail) => {
            // The queue takes it, the model will not.
            let invalid = Note::of(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": detail }));
            let picture = Picture {
                prompt: desk.call.text("prompt").unwrap_or_default(),
                seed: 0,
                width: 1,
                height: 1,
                format: model.format,
            };
            enqueue(desk, model, &id, picture, 1, Fate::Error, (Duration::ZERO, Duration::ZERO), invalid);
            let mut answer = request::submitted(desk, model, &id, 0);
            answer.outcome = "rejected";
            answer
        }
    }
}

fn unknown(name: &str) -> Answer {
    let app: Vec<&str> = name.split('/').collect();
    let detail = match app.as_slice() {
        [owner, app, path @ ..] if models::is_app(&format!("{owner}/{app}")) => {
            format!("Path /{} not found", path.join("/"))
        }
        [_, app, ..] => format!("Application '{app}' not found"),
        _ => "Not Found".to_owned(),
    };
    reject(StatusCode::NOT_FOUND, &detail)
}

/// What is remembered about a request besides its task.
struct Note(Value);

impl Note {
    /// The model's error.
    fn of(status: StatusCode, body: Value) -> Self {
        Self(json!({"status": status.as_u16(), "body": body}))
    }
}

fn accept(desk: &Desk<'_>, model: &'static Model, order: Order, id: String) -> Answer {
    let seed = order.seed.unwrap_or_else(|| seed_of(&id, 1 << 31));
    let mut fate = match order.unchecked {
        true => desk.scripted_fate().unwrap_or(Fate::Ready),
        false => desk.fate(NAME, &order.prompt, seed),
    };
    let time = desk.render_time(NAME, model.name, fate);
    let (wait, in_flight) = take_turn(desk, if fate == Fate::Never { duration(f64::MAX) } else { time });
    let mut note = Note(json!({"inline": order.inline}));
    let (mut wait, mut time) = (wait, time);
    // The caller may limit the time in the queue.
    let patience = desk.call.header("x-fal-request-timeout").parse().ok().map(duration);
    if let Some(patience) = patience.filter(|patience| wait > *patience) {
        fate = Fate::Error;
        (wait, time) = (patience, Duration::ZERO);
        let body = json!({"detail": "Request timed out", "error_type": "request_timeout"});
        note = Note::of(StatusCode::GATEWAY_TIMEOUT, body);
    }
    let picture = Picture {
        prompt: order.prompt.clone(),
        seed,
        width: order.width,
        height: order.height,
        format: order.format.unwrap_or(model.format),
    };
    enqueue(desk, model, &id, picture, order.count, fate, (wait, time), note);
    let position = if wait.is_zero() {
        0
    } else {
        desk.world.renders(desk.account(NAME), desk.now).saturating_sub(in_flight)
    };
    let mut answer = request::submitted(desk, model, &id, position);
    answer.accepted = true;
    answer.refused = matches!(fate, Fate::Refused(_));
    let black = fate == Fate::Refused(Stage::Content) && model.filter == Filter::Checker;
    answer.billed =
        (black || matches!(fate, Fate::Ready | Fate::Empty)).then(|| model.price.of(&order, time));
    answer.seed = Some(seed);
    answer.in_flight = Some(in_flight);
    answer.inputs = order.inputs;
    answer
}

/// Requests beyond the limit are not refused: they wait for a turn. Gives how long, and how many are being drawn.
fn take_turn(desk: &Desk<'_>, time: Duration) -> (Duration, usize) {
    let limit = limit(desk);
    match desk.world.begin_render(desk.account(NAME), desk.now, time, limit) {
        Ok(in_flight) => (Duration::ZERO, in_flight),
        Err(busy) => {
            let limit = limit.unwrap_or(1);
            let turns = u32::try_from(busy / limit).unwrap_or(u32::MAX);
            let wait = time.saturating_mul(turns).min(duration(f64::MAX));
            // Without a limit it cannot fail.
            let _ = desk.world.begin_render(desk.account(NAME), desk.now, wait.saturating_add(time), None);
            (wait, limit)
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "it only fills in a task")]
fn enqueue(
    desk: &Desk<'_>,
    model: &Model,
    id: &str,
    picture: Picture,
    count: u64,
    fate: Fate,
    (wait, time): (Duration, Duration),
    note: Note,
) {
    let mut task = Task { count, ..desk.task(NAME, id, model.name, picture, wait + time, fate) };
    task.drawn_us.0 = desk.now_us.saturating_add(micros(wait));
    desk.world.shelf().put_note(&shelf_name(id), &note.0);
    desk.world.tasks().add(task, desk.config.task_limit);
}

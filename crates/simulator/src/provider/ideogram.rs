//! Ideogram: a form or JSON in, links out; the current API can also be polled.
//!
//! What is turned down before it runs is free, and so is what fails. An image that the safety check withholds afterwards is
//! billed like any other.

use hyper::{Method, StatusCode};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::answer::{Answer, Content, When};
use crate::call::Call;
use crate::clock::date_time;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::ledger::Phase;
use crate::link::{self, Links, Seal};
use crate::material::subject;
use crate::picture::{Format, Picture};
use crate::provider::{Intent, Provider};
use crate::task::{Fate, Task, seed_of};
use crate::world::World;

mod endpoints;
mod fields;
mod pictures;
mod sizes;

use endpoints::Endpoint;
use fields::Order;

const NAME: &str = "ideogram";
const PICTURES: &str = "api/images/ephemeral/";
const LINKS: Links = Links { folder: "ideogram/api/images/ephemeral", ends: ("exp", 1_000_000) };
const REFUSED: &str = "Prompt provided failed safety check due to the inclusion of prohibited content.";

pub(crate) struct Ideogram;

enum Route<'a> {
    Submit(Endpoint),
    Poll(&'a str),
    Picture(&'a str),
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    if let Some(file) = call.path.strip_prefix(PICTURES) {
        return Route::Picture(file);
    }
    if let Some(id) = call.path.strip_prefix("v2/generations/") {
        return Route::Poll(id);
    }
    let Some(endpoint) = endpoints::find(&call.path) else { return Route::Unknown };
    // The legacy API has the model in the body.
    let named = fields::text(call, &endpoint, "model");
    let model = endpoint.models().find(|known| Some(*known) == named.as_deref()).unwrap_or(endpoint.model);
    Route::Submit(Endpoint { model, ..endpoint })
}

/// The task and the number of an image's file.
fn split(file: &str) -> (&str, u64) {
    let (id, rest) = file.split_once('-').unwrap_or((file, ""));
    (id, rest.trim_end_matches(".png").parse().unwrap_or(u64::MAX))
}

impl Provider for Ideogram {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        let of_task = |phase, id: &str| Intent::of_task(phase, world, NAME, id);
        match route(call) {
            Route::Submit(endpoint) => Intent {
                model: Some(endpoint.model.to_owned()),
                prompt: fields::text(call, &endpoint, "prompt"),
                // A quote makes no image and costs nothing.
                ..Intent::of(if wants_quote(call, &endpoint) { Phase::Other } else { Phase::Submit })
            },
            Route::Poll(id) => of_task(Phase::Poll, id),
            Route::Picture(file) => of_task(Phase::Picture, split(file).0),
            Route::Unknown => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        let route = route(desk.call);
        let expected = if matches!(route, Route::Submit(_)) { Method::POST } else { Method::GET };
        if matches!(route, Route::Unknown) {
            return reject(StatusCode::NOT_FOUND, "Not found");
        }
        if desk.call.method != expected {
            return reject(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").header("allow", expected);
        }
        if let Route::Picture(file) = route {
            return picture(desk, file);
        }
        if !desk.config.admits(desk.call.header("api-key")) {
            let forbids = matches!(&route, Route::Submit(endpoint) if endpoint.forbids());
            let status = if forbids { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
            return Answer::rejected(status, self.error(status));
        }
        match route {
            Route::Submit(endpoint) => submit(desk, &endpoint),
            Route::Poll(id) => poll(desk, id, intent),
            _ => reject(StatusCode::NOT_FOUND, "Not found"),
        }
    }

    fn error(&self, status: StatusCode) -> Value {
        let text = match status.as_u16() {
            401 | 403 => {
                return json!({"message": "Access denied. Please verify your API Token is valid."});
            }
            402 => {
                return json!({"error": "Insufficient funds", "reject_reason": "insufficient_funds"});
            }
            404 => "Not found",
            422 => REFUSED,
            429 => "Too many requests in flight",
            503 => "Service unavailable",
            500.. => "Internal server error",
            _ => "Invalid request",
        };
        json!({ "error": text })
    }
}

fn reject(status: StatusCode, text: &str) -> Answer {
    Answer::rejected(status, json!({ "error": text }))
}

fn wants_quote(call: &Call, endpoint: &Endpoint) -> bool {
    endpoint.is_current() && call.query("dry_run") == Some("true")
}

fn submit(desk: &Desk<'_>, endpoint: &Endpoint) -> Answer {
    let order = match Order::read(desk.call, endpoint) {
        Ok(order) => order,
        Err(text) => return reject(StatusCode::BAD_REQUEST, &text),
    };
    let mut answer = if wants_quote(desk.call, endpoint) {
        quote(endpoint, &order)
    } else {
        ordered(desk, endpoint, &order)
    };
    answer.inputs = order.inputs;
    answer
}

fn quote(endpoint: &Endpoint, order: &Order) -> Answer {
    let usd = order.price();
    let whole = |scale: i64| (usd * Decimal::from(scale)).to_i64().unwrap_or_default();
    Answer::ok(
        "answered",
        json!({
            "object": "price_quote",
            "billing_identifier": endpoint.model,
            "quantity": order.count,
            "usd_micros": whole(1_000_000),
            "credit_millis": whole(100_000),
            "qualifier": "exact",
        }),
    )
}

fn ordered(desk: &Desk<'_>, endpoint: &Endpoint, order: &Order) -> Answer {
    let error = |status| Answer::rejected(status, Ideogram.error(status));
    if desk.world.is_broke(desk.account(NAME)) {
        return error(StatusCode::PAYMENT_REQUIRED);
    }
    let id = desk.world.new_id()[..22].to_owned();
    let seed = order.seed.unwrap_or_else(|| seed_of(&id, 1 << 31));
    let fate = desk.fate(NAME, &order.prompt, seed);
    if !order.later {
        // A request that fails at once leaves no task behind.
        match fate {
            Fate::Error => {
                return Answer { outcome: "failed", ..error(StatusCode::INTERNAL_SERVER_ERROR) };
            }
            Fate::Lost => return Answer { outcome: "not_found", ..error(StatusCode::NOT_FOUND) },
            _ => {}
        }
    }
    let time = desk.render_time(NAME, endpoint.model, fate);
    let Ok(in_flight) = desk.begin_render(NAME, time, fate) else {
        return error(StatusCode::TOO_MANY_REQUESTS);
    };
    if fate == Fate::Refused(Stage::Request) {
        let mut answer = error(StatusCode::UNPROCESSABLE_ENTITY);
        (answer.outcome, answer.refused, answer.in_flight) = ("refused", true, Some(in_flight));
        return answer;
    }
    let (width, height) = order.size;
    let shown = subject(&order.prompt, &order.inputs);
    let picture = Picture { prompt: shown, seed, width, height, format: Format::Png };
    let task = Task { count: order.count, ..desk.task(NAME, &id, endpoint.model, picture, time, fate) };
    let mut answer = if order.later {
        Answer::ok("accepted", json!({ "generation_id": id }))
    } else {
        let data = pictures(desk, &task, fate, |item| order.describe(item));
        let mut answer = Answer::ok("accepted", Value::Null);
        answer.content = Content::Json(if endpoint.is_current() {
            json!({"generation_id": id, "generation_kind": "sampling", "seed": seed, "data": data})
        } else {
            json!({"created": written(desk.now_us), "data": data})
        });
        answer.when = if fate == Fate::Never { When::Never } else { When::After(time) };
        answer
    };
    desk.world.tasks().add(task, desk.config.task_limit);
    answer.accepted = true;
    answer.refused = matches!(fate, Fate::Refused(_));
    let billed = matches!(fate, Fate::Ready | Fate::Empty | Fate::Refused(_));
    answer.billed = billed.then(|| order.price());
    answer.seed = Some(seed);
    answer.remote_id = Some(id);
    answer.in_flight = Some(in_flight);
    answer
}

/// The list of images in an answer, each item completed by `describe`.
fn pictures(desk: &Desk<'_>, task: &Task, fate: Fate, describe: impl Fn(&mut Value)) -> Vec<Value> {
    let safe = !matches!(fate, Fate::Refused(_));
    let item = |n| {
        let mut item = json!({
            "url": if safe { json!(LINKS.url(desk, task, &format!("{}-{n}.png", task.id))) } else { Value::Null },
            "prompt": task.picture.prompt,
            "resolution": format!("{}x{}", task.picture.width, task.picture.height),
            "seed": task.picture.seed + n,
            "is_image_safe": safe,
        });
        describe(&mut item);
        item
    };
    if fate == Fate::Empty { Vec::new() } else { (0..task.count).map(item).collect() }
}

fn written(micros: u64) -> String {
    format!("{}Z", date_time(micros))
}

fn poll(desk: &Desk<'_>, id: &str, intent: &Intent) -> Answer {
    let lost = || Answer { outcome: "not_found", ..reject(StatusCode::NOT_FOUND, "Generation not found") };
    let Some(task) = desk.world.tasks().find(NAME, id) else { return lost() };
    let fate = desk.fate_told(&task);
    let (outcome, status) = match fate {
        Fate::Lost => return lost(),
        _ if fate == Fate::Never || desk.now < task.ready_at => ("pending", "pending"),
        Fate::Error => ("failed", "failed"),
        Fate::Refused(_) => ("refused", "completed"),
        _ => ("ready", "completed"),
    };
    let key = desk.status_key(&task);
    let mut body = json!({"generation_id": id, key: status, "created": written(task.drawn_us.0)});
    match status {
        "failed" => body["failure_reason"] = "internal_error".into(),
        "completed" => {
            body["response_type"] = "url".into();
            let describe = |item: &mut Value| item["object_type"] = "image.generation".into();
            body["data"] = pictures(desk, &task, fate, describe).into();
        }
        _ => {}
    }
    let mut answer = Answer::ok(outcome, body);
    answer.seed = intent.seed;
    answer
}

fn picture(desk: &Desk<'_>, file: &str) -> Answer {
    if LINKS.check(desk, file) != Seal::Good {
        return reject(StatusCode::FORBIDDEN, "The link has expired or its signature is wrong");
    }
    let (id, n) = split(file);
    let task = desk.world.tasks().find(NAME, id).filter(|task| n < task.count);
    let Some(task) = task.filter(|_| !matches!(desk.fault, Some(Fault::TaskNotFound))) else {
        return reject(StatusCode::NOT_FOUND, "Not found");
    };
    link::deliver(desk, task.nth(n))
}

//! Black Forest Labs: submit, poll, fetch. Errors in the style of FastAPI.
//!
//! Only a task that becomes `Ready` consumes credits, says the vendor's help page of 2026-06-12: moderated and failed tasks are
//! free. The ledger books a task's price when it is accepted, whether or not it is polled.

use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::ledger::Phase;
use crate::link::{self, Links, Seal};
use crate::picture::{Format, Picture};
use crate::price::number;
use crate::provider::{Intent, Provider};
use crate::task::{Fate, Task, seed_of};
use crate::world::World;

mod fields;
mod models;

use fields::Order;

const NAME: &str = "bfl";
/// The regions that polling URLs point to.
const REGIONS: [&str; 2] = ["eu1", "us1"];
/// What an unlimited account says it started with, in US dollars.
const MONEY: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
const LINKS: Links = Links { folder: "bfl/pictures", ends: ("se", 1) };

pub(crate) struct Bfl;

enum Route<'a> {
    Submit(&'a str),
    Poll { region: Option<&'a str> },
    Credits,
    Picture(&'a str),
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    let path: Vec<&str> = call.path.split('/').collect();
    match path.as_slice() {
        ["v1", "get_result"] => Route::Poll { region: None },
        [region, "v1", "get_result"] => Route::Poll { region: Some(region) },
        ["v1", "credits"] => Route::Credits,
        ["v1", model] => Route::Submit(model),
        ["pictures", file] => Route::Picture(file),
        _ => Route::Unknown,
    }
}

impl Provider for Bfl {
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
            Route::Poll { .. } => of_task(Phase::Poll, call.query("id").unwrap_or_default()),
            Route::Picture(file) => of_task(Phase::Picture, file.split('.').next().unwrap_or_default()),
            Route::Credits => Intent::of(Phase::Balance),
            Route::Unknown => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        let route = route(desk.call);
        let (method, expected) = match route {
            Route::Unknown => return reject(StatusCode::NOT_FOUND, "Not Found"),
            Route::Submit(_) => (desk.call.method.as_str(), "POST"),
            _ => (desk.call.method.as_str(), "GET"),
        };
        if method != expected {
            return reject(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").header("allow", expected);
        }
        if let Route::Picture(file) = route {
            return picture(desk, file);
        }
        match desk.call.header("x-key") {
            "" => return reject(StatusCode::FORBIDDEN, "Not authenticated"),
            key if !desk.config.admits(key) => {
                return reject(StatusCode::FORBIDDEN, "Not authenticated - Invalid Authentication");
            }
            _ => {}
        }
        match route {
            Route::Submit(model) => submit(desk, model),
            Route::Poll { region } => poll(desk, region, intent),
            _ => credits(desk),
        }
    }

    fn error(&self, status: StatusCode) -> Value {
        let detail = match status.as_u16() {
            402 => "Insufficient credits. Add credits to continue.",
            429 => "Too many active tasks. Wait for running tasks to finish.",
            503 => "Service temporarily unavailable",
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        json!({ "detail": detail })
    }
}

fn reject(status: StatusCode, detail: &str) -> Answer {
    Answer::rejected(status, json!({ "detail": detail }))
}

fn submit(desk: &Desk<'_>, model: &str) -> Answer {
    let Some(model) = models::find(model) else { return reject(StatusCode::NOT_FOUND, "Not Found") };
    let order = match Order::read(model, &desk.call.payload) {
        Ok(order) => order,
        Err(detail) => {
            return Answer::rejected(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": detail }));
        }
    };
    if desk.world.is_broke(desk.account(NAME)) {
        return Answer::rejected(StatusCode::PAYMENT_REQUIRED, Bfl.error(StatusCode::PAYMENT_REQUIRED));
    }
    let id = desk.world.new_uuid();
    let seed = order.seed.unwrap_or_else(|| seed_of(&id, 1 << 31));
    let fate = desk.fate(NAME, &order.prompt, seed);
    let time = desk.render_time(NAME, model.name, fate);
    let in_flight = match desk.begin_render(NAME, time, fate) {
        Ok(in_flight) => in_flight,
        Err(limit) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Answer::rejected(status, Bfl.error(status))
                .header("x-ratelimit-limit", limit)
                .header("x-ratelimit-remaining", 0)
                .header("retry-after", 1);
        }
    };
    let price = model.price.of(&order);
    let place = REGIONS[usize::from(seed % 3 == 0)];
    let picture = Picture {
        prompt: order.prompt.clone(),
        seed,
        width: order.width,
        height: order.height,
        format: order.format,
    };
    let task = Task { place, ..desk.task(NAME, &id, model.name, picture, time, fate) };
    desk.world.tasks().add(task, desk.config.task_limit);
    let url = format!("{}/{NAME}/{place}/v1/get_result?id={id}", desk.call.origin);
    let mut body = json!({ "id": id, "polling_url": url });
    if desk.config.cost_in_response {
        body["cost"] = number(price * Decimal::ONE_HUNDRED);
        body["input_mp"] = number(order.input_megapixels());
        body["output_mp"] = number(models::megapixels(order.width, order.height));
    }
    let mut answer = Answer::ok("accepted", body);
    answer.accepted = true;
    answer.refused = matches!(fate, Fate::Refused(_));
    answer.billed = matches!(fate, Fate::Ready | Fate::Empty).then_some(price);
    answer.seed = Some(seed);
    answer.remote_id = Some(id);
    answer.in_flight = Some(in_flight);
    answer.inputs = order.materials;
    answer
}

fn poll(desk: &Desk<'_>, region: Option<&str>, intent: &Intent) -> Answer {
    let Some(id) = desk.call.query("id") else {
        let missing =
            json!([{"type": "missing", "loc": ["query", "id"], "msg": "Field required", "input": null}]);
        return Answer::rejected(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": missing }));
    };
    if region.is_some_and(|r| !REGIONS.contains(&r)) {
        return reject(StatusCode::NOT_FOUND, "Not Found");
    }
    // A task is known in its own region only, as at the real provider.
    let task = desk.world.tasks().find(NAME, id).filter(|t| Some(t.place) == region);
    let Some(task) = task else { return status(id, "not_found", "Task not found", Value::Null, "status") };
    let (fate, key) = (desk.fate_told(&task), desk.status_key(&task));
    let say = |outcome, text, result| status(id, outcome, text, result, key);
    let mut answer = match fate {
        Fate::Lost => say("not_found", "Task not found", Value::Null),
        Fate::Refused(Stage::Request) => say("refused", "Request Moderated", Value::Null),
        _ if desk.now < task.ready_at || fate == Fate::Never => say("pending", "Pending", Value::Null),
        Fate::Refused(Stage::Content) => say("refused", "Content Moderated", Value::Null),
        Fate::Error => say("failed", "Error", Value::Null),
        _ => {
            let sample = match fate {
                Fate::Empty => Value::Null,
                _ => LINKS.url(desk, &task, &file_name(&task)).into(),
            };
            let (start, end) = (seconds(task.drawn_us.0), seconds(task.drawn_us.1));
            let result = json!({
                "sample": sample,
                "prompt": task.picture.prompt,
                "seed": task.picture.seed,
                "start_time": start,
                "end_time": end,
                "duration": seconds(task.drawn_us.1 - task.drawn_us.0),
            });
            say("ready", "Ready", result)
        }
    };
    answer.seed = intent.seed;
    answer
}

fn status(id: &str, outcome: &'static str, text: &str, result: Value, key: &str) -> Answer {
    let mut body = json!({"id": id, "result": result, "progress": null, "details": null});
    body[key] = json!(text);
    Answer::ok(outcome, body)
}

fn file_name(task: &Task) -> String {
    format!("{}.{}", task.id, task.picture.format.name())
}

fn picture(desk: &Desk<'_>, file: &str) -> Answer {
    if LINKS.check(desk, file) != Seal::Good {
        return xml(StatusCode::FORBIDDEN, "AuthenticationFailed", "Signature did not match or has expired.");
    }
    let id = file.split('.').next().unwrap_or_default();
    let task = desk.world.tasks().find(NAME, id);
    let Some(task) = task.filter(|_| !matches!(desk.fault, Some(Fault::TaskNotFound))) else {
        return xml(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.");
    };
    link::deliver(desk, task.picture.clone())
}

fn xml(status: StatusCode, code: &str, message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer::rejected_as(status, "application/xml", text)
}

fn credits(desk: &Desk<'_>) -> Answer {
    let left = desk.money_left(NAME, MONEY) * Decimal::ONE_HUNDRED;
    Answer::ok("answered", json!({ "credits": number(left) }))
}

fn seconds(micros: u64) -> Value {
    number(Decimal::from_i128_with_scale(i128::from(micros), 6))
}

fn format_named(name: &str) -> Option<Format> {
    Format::named(name).filter(|f| matches!(f, Format::Png | Format::Jpeg))
}

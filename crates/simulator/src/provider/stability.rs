//! Stability AI: forms in, one image out, as bytes or in base64; creative upscales are fetched later.
//!
//! Refused and failed requests are not charged, says the vendor, a blurred image (`CONTENT_FILTERED`) included.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::answer::{Answer, Content, When};
use crate::call::Call;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::ledger::Phase;
use crate::material::subject;
use crate::picture::Picture;
use crate::price::number;
use crate::provider::{Intent, Provider};
use crate::task::{Fate, seed_of};
use crate::world::World;

mod endpoints;
mod fields;

use endpoints::Endpoint;
use fields::Order;

const NAME: &str = "stability";
/// What an unlimited account says it started with, in US dollars.
const MONEY: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
const LARGEST_REQUEST: usize = 10 << 20;
/// Seeds go from 1 to this; 0 asks for a random one.
const LARGEST_SEED: u64 = 4_294_967_294;

pub(crate) struct Stability;

enum Route<'a> {
    Submit(&'static Endpoint),
    Result(&'a str),
    Balance,
    Account,
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    match call.path.as_str() {
        "v1/user/balance" => return Route::Balance,
        "v1/user/account" => return Route::Account,
        _ => {}
    }
    if let Some(id) = call.path.strip_prefix("v2beta/results/") {
        return Route::Result(id);
    }
    let endpoint = call.path.strip_prefix("v2beta/stable-image/").and_then(endpoints::find);
    endpoint.map_or(Route::Unknown, Route::Submit)
}

impl Provider for Stability {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        match route(call) {
            Route::Submit(endpoint) => Intent {
                model: Some(endpoint.model(call.text("model").as_deref()).0.to_owned()),
                prompt: call.text("prompt"),
                ..Intent::of(Phase::Submit)
            },
            Route::Result(id) => Intent::of_task(Phase::Poll, world, NAME, id),
            Route::Balance => Intent::of(Phase::Balance),
            Route::Account | Route::Unknown => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        let answer = answer(desk, intent);
        answer.header("x-request-id", desk.world.new_id())
    }

    fn error(&self, status: StatusCode) -> Value {
        let (name, text) = match status.as_u16() {
            401 => ("unauthorized", "missing authorization header"),
            402 => ("payment_required", BROKE),
            403 => ("content_moderation", REFUSED),
            404 => ("not_found", "The requested resource could not be found"),
            413 => ("payload_too_large", "Your request was larger than 10MiB."),
            422 => ("unprocessable_entity", "Your request could not be processed."),
            429 => (
                "rate_limit_exceeded",
                "You have exceeded the rate limit of 150 requests within a 10 second period, and have been timed out for 60 seconds.",
            ),
            503 => ("server_error", "The service is temporarily unavailable."),
            500.. => ("internal_error", "An unexpected server error has occurred, please try again later."),
            _ => ("bad_request", "The request is invalid."),
        };
        json!({"id": "0".repeat(32), "name": name, "errors": [text]})
    }
}

const BROKE: &str = "You lack sufficient credits to make this request. Please purchase more credits at https://platform.stability.ai/account/credits and try again.";
const REFUSED: &str = "Your request was flagged by our content moderation system, as a result your request was denied and you were not charged.";

fn answer(desk: &Desk<'_>, intent: &Intent) -> Answer {
    let route = route(desk.call);
    let expected = if matches!(route, Route::Submit(_)) { Method::POST } else { Method::GET };
    if matches!(route, Route::Unknown) || desk.call.method != expected {
        return reject(desk, StatusCode::NOT_FOUND, None);
    }
    let key = desk.call.bearer().unwrap_or_default();
    if !desk.config.admits(key) {
        let wrong = (!key.is_empty()).then(|| vec!["authorization: invalid or missing header value".into()]);
        return reject(desk, StatusCode::UNAUTHORIZED, wrong);
    }
    match route {
        Route::Submit(endpoint) => submit(desk, endpoint),
        Route::Result(id) => result(desk, id, intent),
        Route::Account => Answer::ok(
            "answered",
            json!({"id": "user-simulated", "email": "nobody@example.com", "organizations": []}),
        ),
        _ => balance(desk),
    }
}

/// An error answer, in the usual words unless there are better ones.
fn reject(desk: &Desk<'_>, status: StatusCode, errors: Option<Vec<String>>) -> Answer {
    let mut body = Stability.error(status);
    body["id"] = desk.world.new_id().into();
    if let Some(errors) = errors {
        body["errors"] = errors.into();
    }
    Answer::rejected(status, body)
}

fn submit(desk: &Desk<'_>, endpoint: &'static Endpoint) -> Answer {
    if desk.call.length > LARGEST_REQUEST {
        return reject(desk, StatusCode::PAYLOAD_TOO_LARGE, None);
    }
    let Some(in_json) = wants_json(desk.call) else {
        let text = "accept: must be one of the following values: image/*, application/json";
        return reject(desk, StatusCode::BAD_REQUEST, Some(vec![text.into()]));
    };
    let order = match Order::read(desk.call, endpoint) {
        Ok(order) => order,
        Err(errors) => return reject(desk, StatusCode::BAD_REQUEST, Some(errors)),
    };
    let mut answer = ordered(desk, endpoint, &order, in_json);
    answer.inputs = order.inputs;
    answer
}

fn ordered(desk: &Desk<'_>, endpoint: &Endpoint, order: &Order, in_json: bool) -> Answer {
    if desk.world.is_broke(desk.account(NAME)) {
        return reject(desk, StatusCode::PAYMENT_REQUIRED, None);
    }
    if !endpoint.later {
        // A request that fails at once leaves no task behind.
        match desk.fault {
            Some(Fault::TaskError) => {
                return Answer { outcome: "failed", ..reject(desk, StatusCode::INTERNAL_SERVER_ERROR, None) };
            }
            Some(Fault::TaskNotFound) => {
                return Answer { outcome: "not_found", ..reject(desk, StatusCode::NOT_FOUND, None) };
            }
            _ => {}
        }
    }
    let id = format!("{}{}", desk.world.new_id(), desk.world.new_id());
    let seed = order.seed.unwrap_or_else(|| 1 + seed_of(&id, LARGEST_SEED));
    let fate = desk.fate(NAME, &order.prompt, seed);
    let time = desk.render_time(NAME, order.model, fate);
    let Ok(in_flight) = desk.begin_render(NAME, time, fate) else {
        return reject(desk, StatusCode::TOO_MANY_REQUESTS, None);
    };
    if fate == Fate::Refused(Stage::Request) {
        let mut answer = reject(desk, StatusCode::FORBIDDEN, None);
        (answer.outcome, answer.refused, answer.in_flight) = ("refused", true, Some(in_flight));
        return answer;
    }
    let picture = Picture {
        prompt: subject(&order.prompt, &order.inputs),
        seed,
        width: order.width,
        height: order.height,
        format: order.format,
    };
    let mut answer = if endpoint.later {
        let task = desk.task(NAME, &id, order.model, picture, time, fate);
        desk.world.tasks().add(task, desk.config.task_limit);
        let mut answer = Answer::ok("accepted", json!({ "id": id }));
        answer.remote_id = Some(id);
        answer
    } else {
        let mut answer = delivery("accepted", picture, fate, if in_json { Some("image") } else { None });
        answer.when = if fate == Fate::Never { When::Never } else { When::After(time) };
        answer
    };
    answer.accepted = true;
    answer.refused = matches!(fate, Fate::Refused(_));
    answer.billed = matches!(fate, Fate::Ready | Fate::Empty).then_some(order.price);
    answer.seed = Some(seed);
    answer.in_flight = Some(in_flight);
    answer
}

/// The answer that carries the image: in base64 under `key`, or as bytes.
fn delivery(outcome: &'static str, picture: Picture, fate: Fate, key: Option<&'static str>) -> Answer {
    let reason = match fate {
        Fate::Refused(_) => "CONTENT_FILTERED",
        Fate::Error => "ERROR",
        _ => "SUCCESS",
    };
    let (seed, media_type) = (picture.seed, picture.format.media_type());
    // What is filtered arrives blurred: an image that has nothing to do with the prompt.
    let prompt = if reason == "CONTENT_FILTERED" { String::new() } else { picture.prompt };
    let drawn = Picture { prompt, ..picture };
    let pictures = if matches!(fate, Fate::Empty | Fate::Error) { Vec::new() } else { vec![drawn] };
    let mut answer = Answer::ok(outcome, Value::Null);
    let Some(key) = key else {
        answer.content = Content::file(media_type, pictures);
        return answer.header("finish-reason", reason).header("seed", seed);
    };
    let finish = move |files: Vec<Bytes>| {
        let image = files.first().map(|file| STANDARD.encode(file));
        Bytes::from(json!({key: image, "finish_reason": reason, "seed": seed}).to_string())
    };
    answer.content = Content::Drawn { media_type: "application/json", pictures, finish: Box::new(finish) };
    answer
}

fn result(desk: &Desk<'_>, id: &str, intent: &Intent) -> Answer {
    let Some(in_json) = wants_json(desk.call) else {
        let text = "accept: must be one of the following values: */*, application/json";
        return reject(desk, StatusCode::BAD_REQUEST, Some(vec![text.into()]));
    };
    let task = desk.world.tasks().find(NAME, id);
    let lost = || Answer { outcome: "not_found", ..reject(desk, StatusCode::NOT_FOUND, None) };
    let Some(task) = task else { return lost() };
    let fate = desk.fate_told(&task);
    if fate == Fate::Lost {
        return lost();
    }
    if fate == Fate::Never || desk.now < task.ready_at {
        let key = desk.status_key(&task);
        return Answer::json(StatusCode::ACCEPTED, "pending", json!({"id": id, key: "in-progress"}));
    }
    let outcome = match fate {
        Fate::Refused(_) => "refused",
        Fate::Error => "failed",
        _ => "ready",
    };
    let mut answer =
        delivery(outcome, task.picture.clone(), fate, if in_json { Some("result") } else { None });
    answer.seed = intent.seed;
    answer
}

/// Whether the answer is to be JSON rather than bytes; `None` if it can be neither.
fn wants_json(call: &Call) -> Option<bool> {
    let kinds: Vec<&str> =
        call.header("accept").split(',').filter_map(|k| Some(k.split(';').next()?.trim())).collect();
    if kinds.contains(&"application/json") {
        return Some(true);
    }
    kinds.iter().any(|kind| ["", "*/*", "image/*"].contains(kind)).then_some(false)
}

fn balance(desk: &Desk<'_>) -> Answer {
    let left = desk.money_left(NAME, MONEY) * Decimal::ONE_HUNDRED;
    Answer::ok("answered", json!({ "credits": number(left) }))
}

//! OpenAI's image API: one request, one long wait, base64 in the answer.
//!
//! A request is billed by its tokens when it is accepted; refused and rejected ones are free.

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
use crate::filter;
use crate::ledger::Phase;
use crate::picture::Picture;
use crate::provider::{Intent, Provider};
use crate::world::World;

mod fields;
mod models;
mod pictures;

use fields::{Order, Wrong};
use models::Model;

const NAME: &str = "openai";

pub(crate) struct OpenAi;

#[derive(Clone, Copy, PartialEq)]
enum Route<'a> {
    Generate,
    Edit,
    Models,
    Model(&'a str),
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    match call.path.strip_prefix("v1/").unwrap_or_default() {
        "images/generations" => Route::Generate,
        "images/edits" => Route::Edit,
        "models" => Route::Models,
        path => path.strip_prefix("models/").map_or(Route::Unknown, Route::Model),
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, _: &World) -> Intent {
        match route(call) {
            Route::Generate | Route::Edit => {
                Intent { model: call.text("model"), prompt: call.text("prompt"), ..Intent::of(Phase::Submit) }
            }
            _ => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, _: &Intent) -> Answer {
        let begun = if desk.config.admits(desk.call.bearer().unwrap_or_default()) {
            routed(desk)
        } else if desk.call.bearer().is_none_or(str::is_empty) {
            let text = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
            Err(Wrong::new(text).status(StatusCode::UNAUTHORIZED))
        } else {
            let text = "Incorrect API key provided: ***. You can find your API key at https://platform.openai.com/account/api-keys.";
            Err(Wrong::new(text).status(StatusCode::UNAUTHORIZED).code("invalid_api_key"))
        };
        let answer = begun.unwrap_or_else(|wrong| Answer::rejected(wrong.status, wrong.to_json()));
        let id = format!("req_{}", desk.world.new_id());
        answer.header("x-request-id", id)
    }

    fn error(&self, status: StatusCode) -> Value {
        let (kind, code, text) = match status.as_u16() {
            401 => ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: ***."),
            402 => ("insufficient_quota", "insufficient_quota", QUOTA),
            404 => ("invalid_request_error", "not_found", "Not found."),
            429 => ("requests", "rate_limit_exceeded", "Rate limit reached for images per minute."),
            503 => (
                "service_unavailable_error",
                "server_is_overloaded",
                "The server is overloaded. Retry later.",
            ),
            500.. => {
                ("server_error", "server_error", "The server had an error while processing your request.")
            }
            _ => ("invalid_request_error", "invalid_request", "The request is invalid."),
        };
        json!({"error": {"message": text, "type": kind, "param": null, "code": code}})
    }
}

const QUOTA: &str = "You exceeded your current quota, please check your plan and billing details.";

fn routed(desk: &Desk<'_>) -> Result<Answer, Wrong> {
    let call = desk.call;
    let route = route(call);
    let expected = match route {
        Route::Generate | Route::Edit => Method::POST,
        _ => Method::GET,
    };
    if route == Route::Unknown || call.method != expected {
        let text = format!("Invalid URL ({} /{})", call.method, call.path);
        return Err(Wrong::new(text).status(StatusCode::NOT_FOUND));
    }
    match route {
        Route::Models => {
            let all: Vec<Value> = models::live(desk.now_us).map(Model::to_json).collect();
            Ok(Answer::ok("answered", json!({"object": "list", "data": all})))
        }
        Route::Model(name) => Ok(Answer::ok("answered", models::find(name, desk.now_us)?.to_json())),
        _ => submit(desk, route == Route::Edit),
    }
}

fn submit(desk: &Desk<'_>, edit: bool) -> Result<Answer, Wrong> {
    let order = Order::read(desk.call, edit, desk.now_us)?;
    if desk.world.is_broke(desk.account(NAME)) {
        let wrong = Wrong::new(QUOTA).status(StatusCode::TOO_MANY_REQUESTS);
        return Err(wrong.kind("insufficient_quota").code("insufficient_quota"));
    }
    match desk.fault {
        Some(Fault::TaskError) => return Ok(failed(StatusCode::INTERNAL_SERVER_ERROR, "failed")),
        Some(Fault::TaskNotFound) => return Ok(failed(StatusCode::NOT_FOUND, "not_found")),
        _ => {}
    }
    // There are no seeds in this API: the same prompt draws the same image.
    let seed = desk.config.seed;
    let refused = filter::verdict(&desk.config, desk.fault, NAME, &order.prompt, seed);
    let time = desk.config.render_time(NAME, order.model.name);
    let time = if refused == Some(Stage::Request) { std::time::Duration::ZERO } else { time };
    let begun = desk.world.begin_render(desk.account(NAME), desk.now, time, desk.config.active_task_limit);
    let in_flight = begun.map_err(|_| {
        let wrong = Wrong::new("Rate limit reached: too many requests at once.");
        wrong.status(StatusCode::TOO_MANY_REQUESTS).kind("requests").code("rate_limit_exceeded")
    })?;
    let mut answer = match refused {
        Some(stage) => refusal(stage, &desk.world.new_id()),
        None => accepted(desk, &order, seed),
    };
    answer.in_flight = Some(in_flight);
    answer.inputs = order.materials;
    answer.when = if matches!(desk.fault, Some(Fault::NeverReady)) { When::Never } else { When::After(time) };
    Ok(answer.header("openai-processing-ms", time.as_millis()))
}

fn failed(status: StatusCode, outcome: &'static str) -> Answer {
    Answer::json(status, outcome, OpenAi.error(status))
}

fn refusal(stage: Stage, id: &str) -> Answer {
    let stage = if stage == Stage::Request { "input" } else { "output" };
    let text = format!(
        "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com and include the request ID req_{id}. safety_violations=[sexual]."
    );
    let details = json!({"moderation_stage": stage, "categories": ["sexual"]});
    let error = json!({
        "message": text,
        "type": "image_generation_user_error",
        "param": null,
        "code": "moderation_blocked",
        "moderation_details": details,
    });
    let mut answer = Answer::json(StatusCode::BAD_REQUEST, "refused", json!({ "error": error }));
    answer.refused = true;
    answer
}

fn accepted(desk: &Desk<'_>, order: &Order, seed: u64) -> Answer {
    let text = order.prompt.chars().count().div_ceil(4) as u64;
    let images: u64 = order.inputs.iter().map(|(w, h)| models::input_tokens(*w, *h)).sum();
    let output = order.model.output_tokens(&order.quality, order.width, order.height) * order.n;
    let usage = json!({
        "input_tokens": text + images,
        "output_tokens": output,
        "total_tokens": text + images + output,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
    });
    let empty = matches!(desk.fault, Some(Fault::Empty));
    let pictures = (0..if empty { 0 } else { order.n }).map(|n| Picture {
        prompt: order.prompt.clone(),
        seed: seed.wrapping_add(n),
        width: order.width,
        height: order.height,
        format: order.format,
    });
    let head = json!({
        "created": desk.now_us / 1_000_000,
        "background": order.background,
        "output_format": order.format.name(),
        "quality": order.quality,
        "size": format!("{}x{}", order.width, order.height),
        "usage": usage,
    });
    let mut answer = Answer::ok("accepted", Value::Null);
    answer.content = if order.stream {
        Content::Drawn {
            media_type: "text/event-stream",
            pictures: pictures.collect(),
            finish: Box::new(|f| events(head, f)),
        }
    } else {
        Content::Drawn {
            media_type: "application/json",
            pictures: pictures.collect(),
            finish: Box::new(|f| whole(head, f)),
        }
    };
    answer.accepted = true;
    let free = matches!(desk.fault, Some(Fault::NeverReady));
    answer.billed = (!free).then(|| order.model.bill(text, images, output));
    answer
}

fn whole(mut head: Value, files: Vec<Bytes>) -> Bytes {
    let data: Vec<Value> = files.iter().map(|file| json!({"b64_json": STANDARD.encode(file)})).collect();
    head["data"] = Value::Array(data);
    Bytes::from(head.to_string())
}

/// The stream without partial images, which a provider may always leave out.
fn events(mut head: Value, files: Vec<Bytes>) -> Bytes {
    let created = head["created"].take();
    head["created_at"] = created;
    head["type"] = json!("image_generation.completed");
    let mut text = String::new();
    for file in files {
        head["b64_json"] = STANDARD.encode(file).into();
        text.push_str(&format!("event: image_generation.completed\ndata: {head}\n\n"));
    }
    Bytes::from(text)
}

/// US dollars for so many tokens at so many dollars for a million.
fn dollars(tokens: &[(u64, Decimal)]) -> Decimal {
    let sum: Decimal = tokens.iter().map(|(count, price)| Decimal::from(*count) * price).sum();
    (sum / Decimal::from(1_000_000)).normalize()
}

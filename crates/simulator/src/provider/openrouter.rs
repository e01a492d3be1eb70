//! OpenRouter: a marketplace in front of other providers. One request, one wait, base64 in the answer, its cost beside it.
//!
//! What an image costs upstream is charged; a request that ends without one because it was refused or failed is free.

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
use crate::picture::{Format, Picture};
use crate::price::number;
use crate::provider::{Intent, Provider};
use crate::world::World;

mod fields;
mod models;

use fields::Order;
use models::Usage;

const NAME: &str = "openrouter";
/// What a model that talks says along with an image, and its tokens.
const SAID: (&str, u64) = ("Here is the image you asked for.", 8);

pub(crate) struct OpenRouter;

#[derive(Clone, Copy, PartialEq)]
enum Route<'a> {
    Images,
    Chat,
    Models,
    Endpoints(&'a str),
    Key,
    Credits,
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    match call.path.strip_prefix("api/v1/").unwrap_or_default() {
        "images" => Route::Images,
        "chat/completions" => Route::Chat,
        "images/models" => Route::Models,
        "key" => Route::Key,
        "credits" => Route::Credits,
        path => path
            .strip_prefix("images/models/")
            .and_then(|rest| rest.strip_suffix("/endpoints"))
            .map_or(Route::Unknown, Route::Endpoints),
    }
}

/// An error answer.
#[derive(Debug)]
struct Wrong {
    status: StatusCode,
    text: String,
    metadata: Option<Value>,
}

impl Wrong {
    fn new(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into(), metadata: None }
    }

    fn status(self, code: u16) -> Self {
        Self { status: StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST), ..self }
    }

    fn metadata(self, metadata: Value) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    fn to_json(&self) -> Value {
        let mut error = json!({"code": self.status.as_u16(), "message": self.text});
        if let Some(metadata) = &self.metadata {
            error["metadata"] = metadata.clone();
        }
        json!({ "error": error })
    }
}

impl Provider for OpenRouter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, _: &World) -> Intent {
        let prompt = match route(call) {
            Route::Images => call.text("prompt"),
            Route::Chat => call.object().map(fields::prompt),
            Route::Key | Route::Credits => return Intent::of(Phase::Balance),
            _ => return Intent::of(Phase::Other),
        };
        let seed = call.object().and_then(|body| body.get("seed")?.as_u64());
        Intent { model: call.text("model"), prompt, seed, ..Intent::of(Phase::Submit) }
    }

    fn answer(&self, desk: &Desk<'_>, _: &Intent) -> Answer {
        let begun = match desk.call.bearer().unwrap_or_default() {
            "" => Err(Wrong::new("No auth credentials found").status(401)),
            key if !desk.config.admits(key) => Err(Wrong::new("User not found.").status(401)),
            _ => routed(desk),
        };
        begun.unwrap_or_else(|wrong| Answer::rejected(wrong.status, wrong.to_json()))
    }

    fn error(&self, status: StatusCode) -> Value {
        let code = status.as_u16();
        let text = match code {
            401 => "User not found.",
            402 => BROKE,
            403 => "This request is not allowed by your account's guardrails.",
            404 => "No endpoints found.",
            408 => "Request timed out",
            413 => "Request too large",
            429 | 500.. => "Provider returned error",
            _ => "Invalid input",
        };
        let wrong = Wrong::new(text).status(code);
        match code {
            429 => wrong.metadata(json!({"provider_name": "Seed", "raw": "The model is temporarily rate-limited upstream. Please retry shortly."})),
            500.. => wrong.metadata(json!({"provider_name": "Seed", "raw": "upstream connect error"})),
            _ => wrong,
        }
        .to_json()
    }
}

const BROKE: &str = "Insufficient credits. Add more using https://openrouter.ai/settings/credits";

fn routed(desk: &Desk<'_>) -> Result<Answer, Wrong> {
    let route = route(desk.call);
    let expected = match route {
        Route::Unknown => return Err(Wrong::new("Not Found").status(404)),
        Route::Images | Route::Chat => Method::POST,
        _ => Method::GET,
    };
    if desk.call.method != expected {
        return Err(Wrong::new("Method Not Allowed").status(405));
    }
    match route {
        Route::Models => {
            let all: Vec<Value> = models::all().map(models::Model::to_json).collect();
            Ok(Answer::ok("answered", json!({ "data": all })))
        }
        Route::Endpoints(name) => match models::find(name) {
            Some(model) => Ok(Answer::ok("answered", json!({"data": model.endpoints()}))),
            None => Err(Wrong::new(format!("Model {name} does not exist")).status(404)),
        },
        Route::Key => Ok(key(desk)),
        Route::Credits => {
            Err(Wrong::new("Only management keys can fetch credits for an account").status(403))
        }
        _ => submit(desk, route == Route::Chat),
    }
}

fn key(desk: &Desk<'_>) -> Answer {
    let used = desk.world.ledger().billed_by(desk.account(NAME));
    let limit = |decimal: Option<Decimal>| decimal.map_or(Value::Null, number);
    let held = desk.config.balance_of(NAME);
    let data = json!({
        "label": "sk-or-v1-***",
        "limit": limit(held),
        "limit_remaining": limit(held.map(|b| (b - used).max(Decimal::ZERO))),
        "limit_reset": null,
        "usage": number(used),
        "usage_daily": number(used),
        "usage_weekly": number(used),
        "usage_monthly": number(used),
        "is_free_tier": false,
        "is_management_key": false,
    });
    Answer::ok("answered", json!({ "data": data }))
}

fn submit(desk: &Desk<'_>, chat: bool) -> Result<Answer, Wrong> {
    let order = Order::read(desk.call, chat)?;
    let model = order.model;
    if desk.world.is_broke(desk.account(NAME)) {
        return Err(Wrong::new(BROKE).status(402));
    }
    if matches!(desk.fault, Some(Fault::TaskNotFound)) {
        let text = format!("No endpoints found for {}.", model.name);
        return Ok(Answer::json(StatusCode::NOT_FOUND, "not_found", Wrong::new(text).status(404).to_json()));
    }
    let seed = order.seed.unwrap_or(desk.config.seed);
    let refused = filter::verdict(&desk.config, desk.fault, NAME, &order.prompt, seed);
    let time = match refused {
        Some(Stage::Request) => std::time::Duration::ZERO,
        _ => desk.config.render_time(NAME, model.name),
    };
    let begun = desk.world.begin_render(desk.account(NAME), desk.now, time, desk.config.active_task_limit);
    let in_flight = begun.map_err(|_| {
        let raw = format!("{} is temporarily rate-limited upstream. Please retry shortly.", model.name);
        let metadata = json!({"provider_name": model.provider.0, "raw": raw});
        Wrong::new("Provider returned error").status(429).metadata(metadata)
    })?;
    let job = Job { order, chat, id: format!("gen-{}", desk.world.new_id()), desk };
    let mut answer = match (refused, desk.fault) {
        (Some(stage), _) => job.refusal(stage),
        (None, Some(Fault::TaskError)) => job.failure(),
        _ => job.success(seed),
    };
    answer.in_flight = Some(in_flight);
    answer.when = When::After(time);
    if matches!(desk.fault, Some(Fault::NeverReady)) {
        (answer.when, answer.billed) = (When::Never, None);
    }
    answer.inputs = job.order.inputs;
    Ok(answer)
}

/// A request taken on.
struct Job<'a> {
    order: Order,
    chat: bool,
    id: String,
    desk: &'a Desk<'a>,
}

impl Job<'_> {
    fn usage(&self, usage: &Usage) -> Value {
        let mut json = json!({
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        });
        if self.desk.config.cost_in_response {
            json["cost"] = number(usage.cost);
            json["cost_details"] = json!({"upstream_inference_cost": number(usage.cost)});
            json["is_byok"] = json!(false);
        }
        json
    }

    fn free(&self) -> Value {
        self.usage(&Usage { cost: Decimal::ZERO, ..self.order.model.usage(&self.order, 0) })
    }

    /// Before drawing, and in the image API also after it, an error; in a chat a choice without an image.
    fn refusal(&self, stage: Stage) -> Answer {
        let model = self.order.model;
        let mut metadata =
            json!({"reasons": ["sexual"], "provider_name": model.provider.0, "model_slug": model.name});
        let mut answer = match stage {
            Stage::Content if self.chat => {
                let choice = json!({
                    "index": 0,
                    "finish_reason": "content_filter",
                    "native_finish_reason": "IMAGE_SAFETY",
                    "message": {"role": "assistant", "content": "", "refusal": null},
                });
                Answer::ok("refused", self.chat_body(vec![choice], self.free()))
            }
            stage => {
                let mut text = format!("{} flagged the generated image", model.provider.0);
                if stage == Stage::Request {
                    text =
                        format!("{} requires moderation. Your input was flagged for \"sexual\".", model.name);
                    let flagged: String = self.order.prompt.chars().take(100).collect();
                    metadata["flagged_input"] = json!(flagged);
                }
                let wrong = Wrong::new(text).status(403).metadata(metadata);
                Answer::json(wrong.status, "refused", wrong.to_json())
            }
        };
        answer.refused = true;
        answer
    }

    /// Once the work upstream has begun, its errors come inside of a 200.
    fn failure(&self) -> Answer {
        let metadata =
            json!({"provider_name": self.order.model.provider.0, "raw": "{\"error\":\"internal error\"}"});
        let wrong = Wrong::new("Provider returned error").status(502).metadata(metadata);
        let mut body = wrong.to_json();
        if self.chat {
            let choice = json!({
                "index": 0,
                "finish_reason": "error",
                "native_finish_reason": null,
                "message": {"role": "assistant", "content": "", "refusal": null},
                "error": body["error"].take(),
            });
            body = self.chat_body(vec![choice], self.free());
        }
        let mut answer = Answer::ok("failed", body);
        answer.accepted = true;
        answer
    }

    fn chat_body(&self, choices: Vec<Value>, usage: Value) -> Value {
        json!({
            "id": self.id,
            "provider": self.order.model.provider.0,
            "model": self.order.model.name,
            "object": "chat.completion",
            "created": self.desk.now_us / 1_000_000,
            "choices": choices,
            "usage": usage,
        })
    }

    fn success(&self, seed: u64) -> Answer {
        let order = &self.order;
        let empty = matches!(self.desk.fault, Some(Fault::Empty));
        let drawn = if order.picture { order.n } else { 0 };
        let usage = order.model.usage(order, drawn);
        let pictures = (0..if empty { 0 } else { drawn }).map(|n| Picture {
            prompt: order.prompt.clone(),
            seed: seed.wrapping_add(n),
            width: order.width,
            height: order.height,
            format: order.format,
        });
        let (stream, format, text) = (order.stream, order.format, order.text);
        let body = if self.chat {
            self.chat_body(Vec::new(), self.usage(&usage))
        } else {
            json!({"created": self.desk.now_us / 1_000_000, "usage": self.usage(&usage)})
        };
        let chat = self.chat;
        let mut answer = Answer::ok("accepted", Value::Null);
        answer.content = Content::Drawn {
            media_type: if stream { "text/event-stream" } else { "application/json" },
            pictures: pictures.collect(),
            finish: Box::new(move |files| {
                let whole = if chat { talk(body, text, stream, &files) } else { data(body, format, &files) };
                Bytes::from(if stream {
                    format!("data: {whole}\n\ndata: [DONE]\n\n")
                } else {
                    whole.to_string()
                })
            }),
        };
        answer.accepted = true;
        answer.billed = Some(usage.cost);
        answer.remote_id = chat.then(|| self.id.clone());
        answer
    }
}

fn data(mut body: Value, format: Format, files: &[Bytes]) -> Value {
    let picture = |file| json!({"b64_json": STANDARD.encode(file), "media_type": format.media_type()});
    body["data"] = files.iter().map(picture).collect();
    body
}

fn talk(mut body: Value, text: bool, stream: bool, files: &[Bytes]) -> Value {
    let mut message = json!({"role": "assistant", "content": if text { SAID.0 } else { "" }});
    if !files.is_empty() {
        let picture = |(n, file)| {
            let url = format!("data:image/png;base64,{}", STANDARD.encode(file));
            json!({"type": "image_url", "image_url": {"url": url}, "index": n})
        };
        message["images"] = files.iter().enumerate().map(picture).collect();
    }
    let mut choice = json!({"index": 0, "finish_reason": "stop", "native_finish_reason": "STOP"});
    choice[if stream { "delta" } else { "message" }] = message;
    if stream {
        body["object"] = json!("chat.completion.chunk");
    }
    body["choices"] = json!([choice]);
    body
}

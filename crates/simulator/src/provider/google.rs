//! Google's Gemini API: one request, one wait, images as base64 among the parts of the answer.
//!
//! A 200 is billed by its tokens, also one that withholds the image, which then costs what went in; errors are free.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Content, When};
use crate::call::Call;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::filter;
use crate::ledger::Phase;
use crate::picture::{Format, Picture};
use crate::provider::{Intent, Provider};
use crate::world::World;

mod fields;
pub(super) mod models;
mod shape;

use fields::{Order, Wrong};
use models::Model;

const NAME: &str = "google";
/// What the model says along with an image, and its tokens.
const SAID: (&str, u64) = ("Here is the image you asked for.", 8);

pub(crate) struct Google;

enum Route<'a> {
    /// A model, and what it is to do.
    Act(&'a str, &'a str),
    Models,
    Model(&'a str),
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    let Some(path) = call.path.strip_prefix("v1beta/models") else { return Route::Unknown };
    match path.strip_prefix('/').map(|rest| (rest, rest.split_once(':'))) {
        None if path.is_empty() => Route::Models,
        Some((_, Some((model, act)))) if call.method == Method::POST => Route::Act(model, act),
        Some((model, None)) if call.method == Method::GET => Route::Model(model),
        _ => Route::Unknown,
    }
}

impl Provider for Google {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, _: &World) -> Intent {
        let Route::Act(model, _) = route(call) else { return Intent::of(Phase::Other) };
        let body = call.object();
        let seed = body.and_then(|body| fields::setting(body, &["seed"])).and_then(fields::whole);
        Intent {
            model: Some(model.to_owned()),
            prompt: body.map(fields::prompt).filter(|p| !p.is_empty()),
            seed: seed.and_then(|n| u64::try_from(n).ok()),
            ..Intent::of(Phase::Submit)
        }
    }

    fn answer(&self, desk: &Desk<'_>, _: &Intent) -> Answer {
        admitted(desk)
            .and_then(|()| routed(desk))
            .unwrap_or_else(|wrong| Answer::rejected(wrong.status, wrong.to_json()))
    }

    fn error(&self, status: StatusCode) -> Value {
        let (name, text) = match status.as_u16() {
            401 => ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
            402 | 403 => ("PERMISSION_DENIED", "The caller does not have permission"),
            404 => ("NOT_FOUND", "Requested entity was not found."),
            429 => return busy().to_json(),
            503 => ("UNAVAILABLE", "The model is overloaded. Please try again later."),
            504 => ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
            500.. => ("INTERNAL", INTERNAL),
            _ => ("INVALID_ARGUMENT", "Request contains an invalid argument."),
        };
        Wrong::new(text).status(status, name).to_json()
    }
}

const INTERNAL: &str = "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting";
const QUOTA: &str = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.";

/// A key in the header or the query. A wrong one is an invalid argument here, not a lack of permission.
fn admitted(desk: &Desk<'_>) -> Result<(), Wrong> {
    let call = desk.call;
    let header = call.header("x-goog-api-key");
    let key = if header.is_empty() { call.query("key").unwrap_or_default() } else { header };
    if desk.config.admits(key) {
        return Ok(());
    }
    if !key.is_empty() {
        let reason = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        });
        return Err(Wrong::new("API key not valid. Please pass a valid API key.").detail(reason));
    }
    if call.bearer().is_some() {
        let text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
        return Err(Wrong::new(text).status(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"));
    }
    let text = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.";
    Err(Wrong::new(text).status(StatusCode::FORBIDDEN, "PERMISSION_DENIED"))
}

fn routed(desk: &Desk<'_>) -> Result<Answer, Wrong> {
    match route(desk.call) {
        Route::Models if desk.call.method == Method::GET => {
            let all: Vec<Value> = models::all().map(Model::to_json).collect();
            Ok(Answer::ok("answered", json!({ "models": all })))
        }
        Route::Model(name) => match models::find(name) {
            Some(model) => Ok(Answer::ok("answered", model.to_json())),
            None => Err(gone(name, "generateContent")),
        },
        Route::Act(name, act) => match models::find(name) {
            Some(model) if act == "generateContent" => submit(desk, model),
            _ => Err(gone(name, act)),
        },
        _ => Err(Wrong::new("Not Found").status(StatusCode::NOT_FOUND, "NOT_FOUND")),
    }
}

fn gone(model: &str, act: &str) -> Wrong {
    let text = format!(
        "models/{model} is not found for API version v1beta, or is not supported for {act}. Call ModelService.ListModels to see the list of available models and their supported methods."
    );
    Wrong::new(text).status(StatusCode::NOT_FOUND, "NOT_FOUND")
}

fn quota(id: &str, value: &str) -> Wrong {
    let violation = json!({
        "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model",
        "quotaId": id,
        "quotaDimensions": {"location": "global"},
        "quotaValue": value,
    });
    let detail = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]});
    Wrong::new(QUOTA).status(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED").detail(detail)
}

/// Too much at once, to be tried again soon.
fn busy() -> Wrong {
    let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"});
    quota("GenerateRequestsPerMinutePerProjectPerModel", "20").detail(retry)
}

fn submit(desk: &Desk<'_>, model: &Model) -> Result<Answer, Wrong> {
    let order = Order::read(model, desk.call)?;
    if desk.world.is_broke(desk.account(NAME)) {
        return Err(quota("GenerateRequestsPerDayPerProjectPerModel", "0"));
    }
    match desk.fault {
        Some(Fault::TaskError) => return Ok(failed(StatusCode::INTERNAL_SERVER_ERROR, "failed")),
        Some(Fault::TaskNotFound) => return Ok(failed(StatusCode::NOT_FOUND, "not_found")),
        _ => {}
    }
    let seed = order.seed.unwrap_or(desk.config.seed);
    let refused = filter::verdict(&desk.config, desk.fault, NAME, &order.prompt, seed);
    let time = match refused {
        Some(Stage::Request) => std::time::Duration::ZERO,
        _ => desk.config.render_time(NAME, model.name),
    };
    let begun = desk.world.begin_render(desk.account(NAME), desk.now, time, desk.config.active_task_limit);
    let in_flight = begun.map_err(|_| busy())?;
    let whole = Whole { model, order: &order, id: desk.world.new_id() };
    let mut answer = match refused {
        Some(stage) => whole.refusal(stage),
        None if matches!(desk.fault, Some(Fault::Empty)) => whole.without_picture("NO_IMAGE"),
        None => whole.picture(seed),
    };
    answer.accepted = true;
    answer.refused = refused.is_some();
    answer.in_flight = Some(in_flight);
    answer.when = When::After(time);
    if matches!(desk.fault, Some(Fault::NeverReady)) {
        (answer.when, answer.billed) = (When::Never, None);
    }
    answer.inputs = order.inputs;
    Ok(answer)
}

fn failed(status: StatusCode, outcome: &'static str) -> Answer {
    Answer::json(status, outcome, Google.error(status))
}

/// What a 200 is made of.
struct Whole<'a> {
    model: &'a Model,
    order: &'a Order,
    id: String,
}

impl Whole<'_> {
    fn body(&self, text: u64, picture: u64) -> Value {
        let input = self.order.input_tokens;
        let mut usage = json!({"promptTokenCount": input, "totalTokenCount": input + text + picture});
        if text + picture > 0 {
            usage["candidatesTokenCount"] = json!(text + picture);
            usage["candidatesTokensDetails"] = json!([{"modality": "IMAGE", "tokenCount": picture}]);
        }
        json!({"usageMetadata": usage, "modelVersion": self.model.name, "responseId": self.id})
    }

    fn refusal(&self, stage: Stage) -> Answer {
        let mut answer = match stage {
            Stage::Content => self.without_picture("IMAGE_SAFETY"),
            Stage::Request => {
                let mut body = self.body(0, 0);
                body["promptFeedback"] = json!({"blockReason": "SAFETY"});
                Answer::ok("refused", body)
            }
        };
        answer.outcome = "refused";
        answer.billed = Some(self.model.bill(self.order.input_tokens, 0, 0));
        answer
    }

    fn without_picture(&self, reason: &str) -> Answer {
        let mut body = self.body(0, 0);
        body["candidates"] = json!([{"content": {"parts": []}, "finishReason": reason, "index": 0}]);
        let mut answer = Answer::ok("accepted", body);
        answer.billed = Some(self.model.bill(self.order.input_tokens, 0, 0));
        answer
    }

    /// Text first, then drafts if thoughts are wanted, then the image.
    fn picture(&self, seed: u64) -> Answer {
        let order = self.order;
        let text = if order.text { SAID.1 } else { 0 };
        let tokens = if order.picture { self.model.output_tokens(&order.size) } else { 0 };
        let drawn = |seed| Picture {
            prompt: order.prompt.clone(),
            seed,
            width: order.width,
            height: order.height,
            format: Format::Png,
        };
        let (says, drafts) = (order.text, usize::from(order.thoughts && order.picture));
        let mut pictures = Vec::new();
        if drafts > 0 {
            pictures.push(drawn(seed.wrapping_add(1)));
        }
        if order.picture {
            pictures.push(drawn(seed));
        }
        let body = self.body(text, tokens);
        let mut answer = Answer::ok("accepted", Value::Null);
        answer.content = Content::Drawn {
            media_type: "application/json",
            pictures,
            finish: Box::new(move |files| whole(body, says, drafts, &files)),
        };
        answer.billed = Some(self.model.bill(order.input_tokens, text, tokens));
        answer
    }
}

fn whole(mut body: Value, says: bool, drafts: usize, files: &[Bytes]) -> Bytes {
    let mut parts = Vec::new();
    if says {
        parts.push(json!({"text": SAID.0}));
    }
    for (n, file) in files.iter().enumerate() {
        let mut part = json!({"inlineData": {"mimeType": "image/png", "data": STANDARD.encode(file)}});
        if n < drafts {
            part["thought"] = json!(true);
        }
        parts.push(part);
    }
    let content = json!({"parts": parts, "role": "model"});
    body["candidates"] = json!([{"content": content, "finishReason": "STOP", "index": 0}]);
    Bytes::from(body.to_string())
}

//! The web UI of AUTOMATIC1111 and its descendants: one server, one job at a time, no filter, no bill.
//!
//! A request waits until the ones before it are done. Nothing is refused for its words, and a limit of active tasks or a balance
//! means nothing here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Content, When};
use crate::call::{Call, Payload};
use crate::config::duration;
use crate::desk::Desk;
use crate::fault::Fault;
use crate::ledger::Phase;
use crate::picture::{Format, Picture};
use crate::provider::{Intent, Provider};
use crate::task::seed_of;
use crate::world::World;

mod control;
mod fields;
mod installed;
mod job;
mod upscale;
mod wrong;

use fields::Order;
use job::Job;
use wrong::Wrong;

const NAME: &str = "a1111";
const API: &str = "sdapi/v1/";

pub(crate) struct A1111;

#[derive(Clone, Copy, PartialEq)]
enum Route<'a> {
    TextToImage,
    ImageToImage,
    Upscale,
    Options,
    Progress,
    Interrupt,
    List(&'a str),
    Ping,
    Unknown,
}

fn route(call: &Call) -> Route<'_> {
    let path = call.path.as_str();
    if path == "internal/ping" {
        return Route::Ping;
    }
    // The extension's lists live beside the API.
    let name = path.strip_prefix(API).filter(|name| !name.contains('/')).unwrap_or(path);
    match name {
        _ if !path.starts_with(API) && !path.starts_with("controlnet/") => Route::Unknown,
        "txt2img" => Route::TextToImage,
        "img2img" => Route::ImageToImage,
        "extra-single-image" => Route::Upscale,
        "options" => Route::Options,
        "progress" => Route::Progress,
        "interrupt" | "skip" => Route::Interrupt,
        _ if installed::list(name).is_some() => Route::List(name),
        _ => Route::Unknown,
    }
}

impl Provider for A1111 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, call: &Call, world: &World) -> Intent {
        let body = call.object();
        match route(call) {
            Route::TextToImage | Route::ImageToImage => {
                let get = |name| body.and_then(|body| body.get(name));
                let named = get("override_settings").and_then(|o| o.get("sd_model_checkpoint")?.as_str());
                Intent {
                    model: Some(named.map_or_else(|| job::checkpoint(world), String::from)),
                    prompt: call.text("prompt"),
                    seed: get("seed").and_then(Value::as_u64),
                    remote_id: call.text("force_task_id"),
                    ..Intent::of(Phase::Submit)
                }
            }
            Route::Upscale => Intent { model: call.text("upscaler_1"), ..Intent::of(Phase::Submit) },
            Route::Progress => Intent::of(Phase::Poll),
            Route::Interrupt => Intent::of(Phase::Cancel),
            _ => Intent::of(Phase::Other),
        }
    }

    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer {
        answer(desk, intent).unwrap_or_else(|wrong| wrong.answer())
    }

    fn error(&self, status: StatusCode) -> Value {
        match status.as_u16() {
            401 => json!({"detail": "Incorrect username or password"}),
            500.. => Wrong::crash("RuntimeError", "the simulator was told to fail").to_json(),
            _ => json!({"detail": status.canonical_reason().unwrap_or("Error")}),
        }
    }
}

fn answer(desk: &Desk<'_>, intent: &Intent) -> Result<Answer, Wrong> {
    let call = desk.call;
    let route = route(call);
    if route == Route::Unknown {
        return Err(Wrong::detail(StatusCode::NOT_FOUND, "Not Found"));
    }
    let allowed: &[Method] = match route {
        Route::TextToImage | Route::ImageToImage | Route::Upscale | Route::Interrupt => &[Method::POST],
        Route::Options => &[Method::GET, Method::POST],
        _ => &[Method::GET],
    };
    if !allowed.contains(&call.method) {
        return Err(Wrong::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
    }
    // The server asks for a name and a password only when it was started with some.
    if route != Route::Ping && !desk.config.keys.is_empty() {
        admit(desk)?;
    }
    match route {
        Route::TextToImage => draw(desk, intent, false),
        Route::ImageToImage => draw(desk, intent, true),
        Route::Upscale => enlarge(desk, intent),
        Route::Options if call.method == Method::POST => {
            let body = body(call)?;
            if let Some(name) = body.get("sd_model_checkpoint").and_then(Value::as_str) {
                job::load(desk.world, installed::checkpoint(name)?);
            }
            Ok(Answer::ok("answered", Value::Null))
        }
        Route::Options => Ok(Answer::ok("answered", installed::options(&job::checkpoint(desk.world)))),
        Route::Progress => Ok(job::progress(desk)),
        Route::Interrupt => {
            job::interrupt(desk);
            Ok(Answer::ok("answered", Value::Null))
        }
        Route::List(name) => Ok(Answer::ok("answered", installed::list(name).unwrap_or_default())),
        Route::Ping | Route::Unknown => Ok(Answer::ok("answered", json!({}))),
    }
}

fn admit(desk: &Desk<'_>) -> Result<(), Wrong> {
    let code = desk.call.header("authorization").strip_prefix("Basic ");
    let text = code.and_then(|code| String::from_utf8(STANDARD.decode(code.trim()).ok()?).ok());
    match text {
        Some(pair) if desk.config.admits(&pair) => Ok(()),
        Some(_) => Err(Wrong::detail(StatusCode::UNAUTHORIZED, "Incorrect username or password")),
        None => Err(Wrong::detail(StatusCode::UNAUTHORIZED, "Not authenticated")),
    }
}

/// The JSON object that came, or FastAPI's complaint.
fn body(call: &Call) -> Result<&Map<String, Value>, Wrong> {
    match &call.payload {
        Payload::Json(Value::Object(body)) => Ok(body),
        Payload::BrokenJson(why) => Err(Wrong::field("__root__", &format!("JSON decode error: {why}"))),
        Payload::Nothing => Err(Wrong::field("__root__", "field required")),
        _ => Err(Wrong::field("__root__", "value is not a valid dict")),
    }
}

/// What a scripted fault makes of a job, or its place in the queue.
fn queued(desk: &Desk<'_>, intent: &Intent, steps: u64) -> Result<Job, Wrong> {
    match desk.fault {
        Some(Fault::TaskError) => {
            Err(Wrong::crash("NansException", "A tensor with all NaNs was produced in Unet.").failed())
        }
        // As if the server had been started without its API.
        Some(Fault::TaskNotFound) => Err(Wrong::detail(StatusCode::NOT_FOUND, "Not Found")),
        _ => {
            let model = intent.model.as_deref().unwrap_or_default();
            let mut time = desk.config.render_time(NAME, model);
            if matches!(desk.fault, Some(Fault::NeverReady)) {
                time = duration(f64::MAX);
            }
            Ok(job::begin(desk, time, steps))
        }
    }
}

fn accepted(desk: &Desk<'_>, job: &Job, content: Content) -> Answer {
    let mut answer = Answer::ok("accepted", Value::Null);
    answer.content = content;
    answer.accepted = true;
    answer.in_flight = Some(job.in_flight);
    let never = matches!(desk.fault, Some(Fault::NeverReady));
    answer.when = if never { When::Never } else { When::After(job.wait) };
    answer
}

fn draw(desk: &Desk<'_>, intent: &Intent, from_image: bool) -> Result<Answer, Wrong> {
    let body = body(desk.call)?;
    let order = Order::read(body, from_image)?;
    let job = queued(desk, intent, order.steps)?;
    let seed = order.seed.unwrap_or_else(|| seed_of(&desk.world.new_id(), 1 << 32));
    let pictures = match desk.fault {
        Some(Fault::Empty) => Vec::new(),
        _ => order.pictures(seed),
    };
    let checkpoint = intent.model.clone().unwrap_or_default();
    let info = order.info(seed, &checkpoint).to_string();
    let mut parameters = body.clone();
    if body.get("include_init_images") != Some(&Value::Bool(true)) {
        for name in ["init_images", "mask"] {
            parameters.get_mut(name).map(Value::take);
        }
    }
    let finish = move |files: Vec<Bytes>| {
        let images: Vec<String> = files.iter().map(|file| STANDARD.encode(file)).collect();
        Bytes::from(json!({"images": images, "parameters": parameters, "info": info}).to_string())
    };
    let content = Content::Drawn { media_type: "application/json", pictures, finish: Box::new(finish) };
    let mut answer = accepted(desk, &job, content);
    answer.seed = Some(seed);
    answer.inputs = order.inputs;
    Ok(answer)
}

fn enlarge(desk: &Desk<'_>, intent: &Intent) -> Result<Answer, Wrong> {
    let (input, (width, height)) = upscale::read(body(desk.call)?)?;
    let job = queued(desk, intent, 1)?;
    let picture = Picture { prompt: input.sha256.clone(), seed: 0, width, height, format: Format::Png };
    let pictures = if matches!(desk.fault, Some(Fault::Empty)) { Vec::new() } else { vec![picture] };
    let finish = |files: Vec<Bytes>| {
        let image = files.first().map(|file| STANDARD.encode(file)).unwrap_or_default();
        Bytes::from(json!({"html_info": "", "image": image}).to_string())
    };
    let content = Content::Drawn { media_type: "application/json", pictures, finish: Box::new(finish) };
    let mut answer = accepted(desk, &job, content);
    answer.inputs = vec![input];
    Ok(answer)
}

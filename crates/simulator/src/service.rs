//! One request's way: read it, script it, let the provider answer, book it, send it.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::admin;
use crate::answer::{Answer, Content, When};
use crate::body::Body;
use crate::call::Call;
use crate::config::duration;
use crate::desk::Desk;
use crate::fault::Fault;
use crate::ledger::{Entry, Phase};
use crate::picture::Studio;
use crate::provider::{self, Intent, Provider};
use crate::world::{World, now_us};

/// Larger requests are cut off.
const LARGEST_REQUEST: usize = 128 << 20;

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scripted fault closes the connection")
    }
}

impl std::error::Error for Dropped {}

/// Answers one request. An error makes hyper close the connection with no byte sent.
pub(crate) async fn serve(world: Arc<World>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let at_us = now_us();
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_REQUEST).collect().await else { return Err(Dropped) };
    let mut call = Call::read(head, body.to_bytes(), &world.address).await;
    if call.path == "_sim" || call.path.starts_with("_sim/") {
        return Ok(admin::answer(&world, &call));
    }
    let Some((provider, path)) = provider::find(&call.path) else {
        let known = provider::ALL.map(|p| format!("/{}", p.name()));
        let answer = Answer::rejected(
            StatusCode::NOT_FOUND,
            json!({"error": format!("no provider lives at this path; known are {}", known.join(", "))}),
        );
        let open = book(&world, &call, at_us, None, &Intent::of(Phase::Other), &answer, None);
        let status = answer.status;
        let response = respond(answer, None, &world.studio).await;
        open.close(Some(status));
        return Ok(response);
    };
    call.path = path.to_owned();
    let intent = provider.intent(&call, &world);
    let struck = world.rules().pick(provider.name(), &call.account, &intent);
    let fault = struck.as_ref().map(|(_, fault)| fault);
    let mut answer = match before_accept(provider, fault) {
        Some(answer) => answer,
        None => {
            let scripted = fault.filter(|f| f.is_providers());
            let desk = Desk {
                world: &world,
                config: world.config(),
                call: &call,
                fault: scripted,
                now: Instant::now(),
                now_us: at_us,
            };
            provider.answer(&desk, &intent)
        }
    };
    if let Some(fault) = fault.filter(|f| !f.is_providers()) {
        answer.outcome = outcome_of(fault);
    }
    let open = book(&world, &call, at_us, Some(provider), &intent, &answer, struck.as_ref());
    match fault {
        Some(Fault::Hang | Fault::HangBeforeAccept) => return pending().await,
        Some(Fault::DropAfterAccept | Fault::DropBeforeAccept) => return Err(Dropped),
        Some(Fault::SlowResponse { seconds }) => sleep(duration(*seconds)).await,
        _ => {}
    }
    match answer.when {
        When::Never => return pending().await,
        When::After(time) if time.is_zero() => {}
        When::After(time) => sleep(time).await,
    }
    let response = respond(answer, fault, &world.studio).await;
    open.close(Some(response.status()));
    Ok(response)
}

/// The answer of faults that keep the provider from seeing the request.
fn before_accept(provider: &dyn Provider, fault: Option<&Fault>) -> Option<Answer> {
    let answer = |status: u16, body: Option<&Value>| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = Answer::rejected(status, Value::Null);
        answer.content = match body {
            None => Content::Json(provider.error(status)),
            Some(Value::String(text)) => Content::Bytes("text/html", Bytes::from(text.clone())),
            Some(json) => Content::Json(json.clone()),
        };
        answer
    };
    let found = match fault? {
        Fault::RateLimited { retry_after, headers } => {
            let mut found = answer(429, None);
            if let Some(after) = retry_after.as_ref().filter(|v| !v.is_null()) {
                found = found
                    .header("retry-after", after.as_str().map_or_else(|| after.to_string(), String::from));
            }
            found.headers.extend(headers.clone());
            found
        }
        Fault::Status { code, body, headers } => {
            let mut found = answer(*code, body.as_ref());
            found.headers.extend(headers.clone());
            found
        }
        Fault::Redirect { to, code } => answer(code.unwrap_or(307), None).header("location", to),
        Fault::HangBeforeAccept | Fault::DropBeforeAccept => answer(503, None),
        _ => return None,
    };
    Some(found)
}

fn outcome_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::RateLimited { .. } => "fault:rate_limited",
        Fault::Status { .. } => "fault:status",
        Fault::Redirect { .. } => "fault:redirect",
        Fault::Hang => "fault:hang",
        Fault::HangBeforeAccept => "fault:hang_before_accept",
        Fault::DropAfterAccept => "fault:drop_after_accept",
        Fault::DropBeforeAccept => "fault:drop_before_accept",
        Fault::DropMidBody => "fault:drop_mid_body",
        Fault::SlowBody { .. } => "fault:slow_body",
        Fault::SlowResponse { .. } => "fault:slow_response",
        Fault::Garbage => "fault:garbage",
        Fault::WrongContentType => "fault:wrong_content_type",
        Fault::Oversized { .. } => "fault:oversized",
        _ => "fault",
    }
}

fn book(
    world: &Arc<World>,
    call: &Call,
    at_us: u64,
    provider: Option<&'static dyn Provider>,
    intent: &Intent,
    answer: &Answer,
    struck: Option<&(u64, Fault)>,
) -> OpenEntry {
    let name = provider.map(|p| p.name());
    let in_flight = || name.map_or(0, |name| world.renders((name, &call.account), Instant::now()));
    let entry = Entry {
        n: 0,
        at_us,
        done_us: None,
        provider: name,
        account: call.account.as_str().into(),
        phase: intent.phase,
        method: call.method.to_string(),
        path: call.shown_path.clone(),
        headers: call.shown_headers(),
        body: call.shown_body(),
        inputs: answer.inputs.clone(),
        prompt: intent.prompt.as_deref().map(Box::from),
        model: intent.model.as_deref().map(Box::from),
        seed: answer.seed.or(intent.seed),
        remote_id: answer.remote_id.as_deref().or(intent.remote_id.as_deref()).map(Box::from),
        status: None,
        outcome: answer.outcome,
        accepted: answer.accepted,
        refused: answer.refused,
        billed: answer.billed.map(|b| b.normalize()),
        in_flight: answer.in_flight.unwrap_or_else(in_flight),
        fault: struck.map(|(_, fault)| fault.kind()),
        rule: struck.map(|(rule, _)| *rule),
    };
    let limit = world.config().ledger_limit;
    let n = world.ledger().open(entry, limit);
    OpenEntry { world: world.clone(), n, open: true }
}

/// A booked request that is not answered yet. Dropping it (the client left, the server stops) notes that nothing was sent.
struct OpenEntry {
    world: Arc<World>,
    n: u64,
    open: bool,
}

impl OpenEntry {
    fn close(mut self, status: Option<StatusCode>) {
        self.open = false;
        self.world.ledger().close(self.n, status.map(|s| s.as_u16()), now_us());
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        if self.open {
            self.world.ledger().close(self.n, None, now_us());
        }
    }
}

async fn respond(answer: Answer, fault: Option<&Fault>, studio: &Studio) -> Response<Body> {
    let (mut status, mut media_type) = (answer.status, "application/json");
    let bytes = match answer.content {
        Content::Json(value) => Bytes::from(value.to_string()),
        Content::Bytes(kind, bytes) => {
            media_type = kind;
            bytes
        }
        Content::Drawn { media_type: kind, pictures, finish } => {
            media_type = kind;
            match draw(studio, pictures).await {
                Ok(files) => finish(files),
                Err(why) => {
                    status = StatusCode::INTERNAL_SERVER_ERROR;
                    Bytes::from(why)
                }
            }
        }
    };
    let body = match fault {
        Some(Fault::DropMidBody) => Body::half(&bytes),
        Some(Fault::SlowBody { seconds }) => Body::slow(&bytes, duration(*seconds)),
        Some(Fault::Garbage) => {
            status = StatusCode::OK;
            Body::from(Bytes::from_static(b"{\"id\":\"4f\",\"data\":[{\"b64_js\xff\xfe\x00"))
        }
        Some(Fault::Oversized { bytes }) => {
            status = StatusCode::OK;
            Body::oversized(*bytes)
        }
        Some(Fault::WrongContentType) => {
            media_type = "text/html";
            Body::from(bytes)
        }
        _ => Body::from(bytes),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in answer.headers {
        // A rule may ask for a header that HTTP does not allow: it is left out.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn draw(studio: &Studio, pictures: Vec<crate::picture::Picture>) -> Result<Vec<Bytes>, String> {
    let mut files = Vec::with_capacity(pictures.len());
    for picture in pictures {
        files.push(studio.draw(picture).await?);
    }
    Ok(files)
}

//! The result of a request: the model's output or its error, and the files.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::link::{self, Seal};
use crate::picture::{Format, Picture};
use crate::task::{Fate, Task};

use super::fields::problem;
use super::models::{Filter, Model, Output};
use super::request::{self, State};
use super::{LINKS, NAME, internal, shelf_name};

/// The error that the model, or the queue, gives instead of an output.
pub(super) fn failure(desk: &Desk<'_>, task: &Task, state: State) -> Option<(StatusCode, Value)> {
    match state {
        State::Canceled => {
            let body = json!({"detail": "Request was cancelled", "error_type": "client_cancelled"});
            Some((StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST), body))
        }
        State::Over(Fate::Refused(_)) => {
            let msg = "The content could not be processed because it contained material flagged by a content checker.";
            let input = json!(task.picture.prompt);
            let detail = problem("content_policy_violation", &["body", "prompt"], msg, &input);
            Some((StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": [detail] })))
        }
        State::Over(Fate::Error) => {
            let note = desk.world.shelf().note(&shelf_name(&task.id));
            let status = note["status"].as_u64().and_then(|code| u16::try_from(code).ok());
            match status.and_then(|code| StatusCode::from_u16(code).ok()) {
                Some(status) => Some((status, note["body"].clone())),
                None => Some((StatusCode::INTERNAL_SERVER_ERROR, json!({"detail": [internal()]}))),
            }
        }
        _ => None,
    }
}

pub(super) fn result(desk: &Desk<'_>, app: &str, id: &str) -> Answer {
    let Some((task, model)) = request::find(desk, app, id) else { return request::not_found() };
    let state = request::state(desk, &task);
    if matches!(state, State::Queued | State::Drawing) {
        let body = json!({"detail": "Request is still in progress"});
        return Answer::json(StatusCode::BAD_REQUEST, "pending", body);
    }
    let black = model.filter == Filter::Checker && state == State::Over(Fate::Refused(Stage::Content));
    match failure(desk, &task, state).filter(|_| !black) {
        Some((status, body)) => {
            let refused = matches!(state, State::Over(Fate::Refused(_)));
            let kind = body["error_type"].as_str().or(body["detail"][0]["type"].as_str()).unwrap_or_default();
            let kind = kind.to_owned();
            let answer = Answer::json(status, if refused { "refused" } else { "failed" }, body);
            let mut answer = answer.header("x-fal-error-type", kind);
            // At the queue's end a timeout is the caller's own.
            if status == StatusCode::GATEWAY_TIMEOUT {
                answer = answer.header("x-fal-request-timeout-type", "user");
            }
            answer.header("x-fal-retryable", status.is_server_error())
        }
        None => output(desk, &task, model, black, state == State::Over(Fate::Empty)),
    }
}

fn output(desk: &Desk<'_>, task: &Task, model: &'static Model, black: bool, empty: bool) -> Answer {
    let count = if empty { 0 } else { task.count };
    let inline = desk.world.shelf().note(&shelf_name(&task.id))["inline"] == true;
    let mut images: Vec<Value> = (0..count)
        .map(|n| {
            let name = format!("{}-{n}.{}", task.id, task.picture.format.name());
            json!({
                "url": LINKS.url(desk, task, &name),
                "width": task.picture.width,
                "height": task.picture.height,
                "content_type": task.picture.format.media_type(),
                "file_name": name,
            })
        })
        .collect();
    let mut body = json!({"timings": {"inference": request::seconds(task)}});
    if model.takes("seed") {
        body["seed"] = json!(task.picture.seed);
    }
    if model.takes("prompt") {
        body["prompt"] = json!(task.picture.prompt);
    }
    if model.filter == Filter::Checker && model.output == Output::Images {
        body["has_nsfw_concepts"] = json!(vec![black; usize::try_from(count).unwrap_or(0)]);
    } else if black {
        body["has_nsfw_concepts"] = json!([true]);
    }
    let mut answer = Answer::ok(if black { "refused" } else { "ready" }, Value::Null);
    let put = move |mut body: Value, images: Vec<Value>| {
        match model.output {
            Output::Images => body["images"] = Value::Array(images),
            Output::Image => body["image"] = images.into_iter().next().unwrap_or(Value::Null),
        }
        body
    };
    if !inline {
        answer.content = Content::Json(put(body, images));
        return answer;
    }
    let picture = task.picture.clone();
    answer.content = Content::Drawn {
        media_type: "application/json",
        pictures: if black { Vec::new() } else { (0..count).map(|n| task.nth(n)).collect() },
        finish: Box::new(move |files| {
            for (n, image) in images.iter_mut().enumerate() {
                let file = files.get(n).cloned().unwrap_or_else(|| darkness(&picture));
                let media_type = picture.format.media_type();
                image["url"] = json!(format!("data:{media_type};base64,{}", STANDARD.encode(file)));
            }
            Bytes::from(put(body, images).to_string())
        }),
    };
    answer
}

/// The image that is all black.
fn darkness(picture: &Picture) -> Bytes {
    let format = match picture.format {
        Format::Png => ImageFormat::Png,
        Format::Webp => ImageFormat::WebP,
        Format::Gif => ImageFormat::Gif,
        Format::Jpeg => ImageFormat::Jpeg,
    };
    let mut file = Cursor::new(Vec::new());
    match RgbImage::new(picture.width, picture.height).write_to(&mut file, format) {
        Ok(()) => Bytes::from(file.into_inner()),
        Err(_) => Bytes::new(),
    }
}

/// The request that a file is of. Ids have four dashes themselves.
pub(super) fn id_of(file: &str) -> &str {
    file.rsplit_once('-').map_or(file, |(id, _)| id)
}

pub(super) fn file(desk: &Desk<'_>, name: &str) -> Answer {
    if LINKS.check(desk, name) != Seal::Good {
        return plain(StatusCode::FORBIDDEN, "Forbidden");
    }
    let number =
        name.rsplit_once('-').and_then(|(_, rest)| rest.split('.').next()).and_then(|n| n.parse().ok());
    let task = desk.world.tasks().find(NAME, id_of(name));
    let found = task.zip(number).filter(|_| !matches!(desk.fault, Some(Fault::TaskNotFound)));
    let Some((task, number)) = found else { return plain(StatusCode::NOT_FOUND, "File not found") };
    let mut answer = link::deliver(desk, task.nth(number));
    let black = matches!(desk.fault, Some(Fault::Refuse { .. })) || matches!(task.fate, Fate::Refused(_));
    if black && !matches!(desk.fault, Some(Fault::Empty)) {
        let picture = task.picture.clone();
        answer.content = Content::Drawn {
            media_type: picture.format.media_type(),
            pictures: Vec::new(),
            finish: Box::new(move |_| darkness(&picture)),
        };
    }
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    Answer::rejected_as(status, "text/plain", text)
}

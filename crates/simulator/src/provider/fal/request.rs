//! A request in the queue: its URLs, its status, and calling it off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::task::{Fate, Task};

use super::models::{self, Filter, Model};
use super::{NAME, result};

/// How far a request is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum State {
    Queued,
    Drawing,
    /// Ended like this.
    Over(Fate),
    Canceled,
}

/// The request of that id, if it is one of this app and not lost.
pub(super) fn find(desk: &Desk<'_>, app: &str, id: &str) -> Option<(Arc<Task>, &'static Model)> {
    if matches!(desk.fault, Some(Fault::TaskNotFound)) {
        return None;
    }
    let task = desk.world.tasks().find(NAME, id).filter(|task| task.fate != Fate::Lost)?;
    let model = models::find(&task.model)?;
    (model.app() == app).then_some((task, model))
}

/// A scripted fault on this one question comes first.
pub(super) fn state(desk: &Desk<'_>, task: &Task) -> State {
    if matches!(desk.fault, Some(Fault::TaskError)) {
        return State::Over(Fate::Error);
    }
    let fate = desk.fate_told(task);
    if task.canceled.load(Ordering::Relaxed) {
        State::Canceled
    } else if desk.now_us < task.drawn_us.0 {
        State::Queued
    } else if desk.now < task.ready_at || fate == Fate::Never {
        State::Drawing
    } else {
        State::Over(fate)
    }
}

fn urls(desk: &Desk<'_>, model: &Model, id: &str) -> Value {
    let base = format!("{}/{NAME}/{}/requests/{id}", desk.call.origin, model.app());
    json!({
        "request_id": id,
        "response_url": base,
        "status_url": format!("{base}/status"),
        "cancel_url": format!("{base}/cancel"),
        "logs": null,
        "metrics": {},
    })
}

pub(super) fn submitted(desk: &Desk<'_>, model: &Model, id: &str, position: usize) -> Answer {
    let mut body = urls(desk, model, id);
    body["status"] = json!("IN_QUEUE");
    body["queue_position"] = json!(position);
    let mut answer = Answer::ok("accepted", body);
    answer.remote_id = Some(id.to_owned());
    answer
}

pub(super) fn not_found() -> Answer {
    Answer::json(StatusCode::NOT_FOUND, "not_found", json!({"detail": "Request not found"}))
}

pub(super) fn status(desk: &Desk<'_>, app: &str, id: &str) -> Answer {
    let Some((task, model)) = find(desk, app, id) else { return not_found() };
    let mut body = urls(desk, model, id);
    let state = state(desk, &task);
    let (code, outcome, text) = match state {
        State::Queued => (StatusCode::ACCEPTED, "pending", "IN_QUEUE"),
        State::Drawing => (StatusCode::ACCEPTED, "pending", "IN_PROGRESS"),
        State::Over(Fate::Refused(_)) => (StatusCode::OK, "refused", "COMPLETED"),
        State::Over(Fate::Error) | State::Canceled => (StatusCode::OK, "failed", "COMPLETED"),
        State::Over(_) => (StatusCode::OK, "ready", "COMPLETED"),
    };
    if state == State::Queued {
        let turn = (task.drawn_us.1 - task.drawn_us.0).max(1);
        body["queue_position"] = json!((task.drawn_us.0 - desk.now_us) / turn);
    }
    if code == StatusCode::OK {
        body["metrics"] = json!({"inference_time": seconds(&task)});
    }
    let black = model.filter == Filter::Checker && state == State::Over(Fate::Refused(Stage::Content));
    if !black && let Some((_, error)) = result::failure(desk, &task, state) {
        let (kind, text) = match &error["detail"] {
            Value::Array(all) => (&all[0]["type"], &all[0]["msg"]),
            text => (&error["error_type"], text),
        };
        body["error"] = text.clone();
        body["error_type"] = kind.clone();
    }
    if desk.call.query("logs") == Some("1") {
        body["logs"] = json!([{"message": "drawing", "level": "INFO", "source": "USER", "timestamp": "2026-01-01T00:00:00Z"}]);
    }
    body[desk.status_key(&task)] = json!(text);
    Answer::json(code, outcome, body)
}

pub(super) fn cancel(desk: &Desk<'_>, app: &str, id: &str) -> Answer {
    let Some((task, _)) = find(desk, app, id) else {
        return Answer::json(StatusCode::NOT_FOUND, "not_found", json!({"status": "NOT_FOUND"}));
    };
    if let State::Over(_) = state(desk, &task) {
        return Answer::rejected(StatusCode::BAD_REQUEST, json!({"status": "ALREADY_COMPLETED"}));
    }
    task.canceled.store(true, Ordering::Relaxed);
    Answer::json(StatusCode::ACCEPTED, "answered", json!({"status": "CANCELLATION_REQUESTED"}))
}

/// How long the drawing took.
pub(super) fn seconds(task: &Task) -> f64 {
    std::time::Duration::from_micros(task.drawn_us.1 - task.drawn_us.0).as_secs_f64()
}

//! A prediction: how far it is, and how it is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::desk::Desk;
use crate::fault::{Fault, Stage};
use crate::link;
use crate::task::{Fate, Task};

use super::clock::time;
use super::models::{self, Model};
use super::{NAME, files, missing};

/// Where the notes about a prediction are kept.
pub(super) fn note_name(id: &str) -> String {
    format!("{NAME}/notes/{id}")
}

/// How far a prediction is.
enum State {
    Starting,
    Processing,
    Succeeded { empty: bool },
    Failed { text: String, refused: bool },
    Canceled,
}

fn state(desk: &Desk<'_>, task: &Task, model: &Model, note: &Value, now_us: u64) -> State {
    let refused = |text: String| State::Failed { text, refused: true };
    let code = &task.id[..10.min(task.id.len())];
    // A scripted fault at the submission is in the fate already.
    let fate = desk.fate_told(task);
    let over = now_us >= task.drawn_us.1;
    if task.canceled.load(Ordering::Relaxed) {
        return State::Canceled;
    }
    let deadline = note["deadline_us"].as_u64().filter(|at| *at < task.drawn_us.1 || fate == Fate::Never);
    if deadline.is_some_and(|at| at <= now_us) {
        return State::Canceled;
    }
    match fate {
        Fate::Refused(Stage::Request) => refused(format!(
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005) ({code})"
        )),
        // A community model that never comes up has not even started.
        Fate::Never if !model.official => State::Starting,
        _ if !over || matches!(fate, Fate::Never | Fate::Lost) => State::Processing,
        Fate::Refused(Stage::Content) => {
            refused("NSFW content detected. Try running it again, or try a different prompt.".to_owned())
        }
        Fate::Error => {
            let usual =
                format!("Service is temporarily unavailable. Please try again later. (E004) ({code})");
            State::Failed { text: note["failure"].as_str().map_or(usual, String::from), refused: false }
        }
        fate => State::Succeeded { empty: fate == Fate::Empty },
    }
}

/// How it is shown at that time, in Unix microseconds; right after the submission it is still starting.
pub(super) fn show(
    desk: &Desk<'_>,
    task: &Task,
    model: &Model,
    note: &Value,
    at: Option<u64>,
) -> (&'static str, Value) {
    let now_us = at.unwrap_or(desk.now_us);
    let state = match at {
        None => State::Starting,
        Some(at) => state(desk, task, model, note, at),
    };
    let (outcome, status) = match &state {
        State::Starting => ("pending", "starting"),
        State::Processing => ("pending", "processing"),
        State::Succeeded { .. } => ("ready", "succeeded"),
        State::Failed { refused: true, .. } => ("refused", "failed"),
        State::Failed { .. } => ("failed", "failed"),
        State::Canceled => ("failed", "canceled"),
    };
    let over = !matches!(state, State::Starting | State::Processing);
    let removed = over && now_us >= link::end(desk, task);
    let base = format!("{}/{NAME}/v1/predictions/{}", desk.call.origin, task.id);
    let output = match &state {
        State::Succeeded { .. } if removed => Value::Null,
        State::Succeeded { empty: true } if model.list => json!([]),
        State::Succeeded { empty: false } if model.list => json!(files::urls(desk, task)),
        State::Succeeded { empty: false } => files::urls(desk, task).into_iter().next().unwrap_or_default(),
        _ => Value::Null,
    };
    let logs = match state {
        State::Starting => String::new(),
        _ if removed => String::new(),
        _ if !model.takes("seed") => "Running prediction...\n".to_owned(),
        _ => format!("Using seed: {}\nRunning prediction...\n", task.picture.seed),
    };
    let took = std::time::Duration::from_micros(task.drawn_us.1 - task.drawn_us.0).as_secs_f64();
    let mut body = json!({
        "id": task.id,
        "model": task.model,
        "version": if model.official { "hidden".to_owned() } else { model.version() },
        "input": if removed { json!({}) } else { note["input"].clone() },
        "logs": logs,
        "output": output,
        "data_removed": removed,
        "error": match &state { State::Failed { text, .. } => json!(text), _ => Value::Null },
        "source": "api",
        "created_at": time(task.drawn_us.0),
        "started_at": if matches!(state, State::Starting) { Value::Null } else { json!(time(task.drawn_us.0)) },
        "completed_at": if over { json!(time(now_us.min(task.drawn_us.1))) } else { Value::Null },
        "urls": {"get": base, "cancel": format!("{base}/cancel"), "web": format!("https://replicate.com/p/{}", task.id)},
        "metrics": if matches!(state, State::Succeeded { .. }) { json!({"predict_time": took, "total_time": took}) } else { json!({}) },
    });
    body[desk.status_key(task)] = json!(status);
    (outcome, body)
}

fn find(desk: &Desk<'_>, id: &str) -> Option<(Arc<Task>, &'static Model, Value)> {
    if matches!(desk.fault, Some(Fault::TaskNotFound)) {
        return None;
    }
    let task = desk.world.tasks().find(NAME, id).filter(|task| task.fate != Fate::Lost)?;
    let model = models::find(&task.model)?;
    let note = desk.world.shelf().note(&note_name(id));
    Some((task, model, note))
}

pub(super) fn get(desk: &Desk<'_>, id: &str) -> Answer {
    let Some((task, model, note)) = find(desk, id) else { return missing() };
    let (outcome, body) = show(desk, &task, model, &note, Some(desk.now_us));
    Answer::ok(outcome, body)
}

pub(super) fn cancel(desk: &Desk<'_>, id: &str) -> Answer {
    let Some((task, model, note)) = find(desk, id) else { return missing() };
    let running =
        matches!(state(desk, &task, model, &note, desk.now_us), State::Starting | State::Processing);
    // What is over stays as it is, and is shown.
    if running {
        task.canceled.store(true, Ordering::Relaxed);
    }
    Answer::ok("answered", show(desk, &task, model, &note, Some(desk.now_us)).1)
}

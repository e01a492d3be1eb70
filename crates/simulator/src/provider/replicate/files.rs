//! Files: those that clients upload, and those that predictions deliver.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Content};
use crate::call::{Part, Payload};
use crate::config::duration;
use crate::fault::Fault;
use crate::material::Material;
use crate::picture::Picture;
use crate::desk::Desk;
use crate::task::Task;

use super::clock::time;
use super::fields::Problem;
use super::{NAME, invalid, missing, reject};

/// How long an upload is kept, in microseconds.
const KEPT: u64 = 24 * 3600 * 1_000_000;

/// Where an upload is kept.
pub(super) fn shelf_name(id: &str) -> String {
    format!("{NAME}/files/{id}")
}

fn note_name(id: &str) -> String {
    format!("{NAME}/file-notes/{id}")
}

/// The upload that a URL means.
pub(super) fn id_in(url: &str) -> Option<&str> {
    let (_, id) = url.split_once("/replicate/v1/files/")?;
    Some(id)
}

pub(super) fn upload(desk: &Desk<'_>) -> Answer {
    let Payload::Form(parts) = &desk.call.payload else {
        let detail = "The request must be of type multipart/form-data";
        return reject(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail);
    };
    let Some(part) = parts.iter().find(|part| part.name == "content" && part.file_name.is_some()) else {
        return invalid(&[Problem::new("required", "(root)", "content is required")]);
    };
    let id = desk.world.new_id();
    let note = described(desk, part, &id);
    let mut shelf = desk.world.shelf();
    shelf.put(&shelf_name(&id), part.bytes.clone());
    shelf.put_note(&note_name(&id), &note);
    drop(shelf);
    let mut answer = Answer::json(StatusCode::CREATED, "answered", note);
    answer.remote_id = Some(id);
    // Not every file is a picture.
    answer.inputs.extend(Material::read("content", &part.bytes));
    answer
}

fn described(desk: &Desk<'_>, part: &Part, id: &str) -> Value {
    let sha256: String = Sha256::digest(&part.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": id,
        "name": part.file_name,
        "content_type": part.media_type.as_deref().unwrap_or("application/octet-stream"),
        "size": part.bytes.len(),
        "etag": sha256,
        "checksums": {"sha256": sha256},
        "metadata": {},
        "created_at": time(desk.now_us),
        "expires_at": time(desk.now_us.saturating_add(KEPT)),
        "urls": {"get": format!("{}/{NAME}/v1/files/{id}", desk.call.origin)},
    })
}

pub(super) fn describe(desk: &Desk<'_>, id: &str) -> Answer {
    match desk.world.shelf().note(&note_name(id)) {
        Value::Null => missing(),
        note => Answer::ok("answered", note),
    }
}

pub(super) fn remove(desk: &Desk<'_>, id: &str) -> Answer {
    let mut shelf = desk.world.shelf();
    shelf.take(&note_name(id));
    if !shelf.take(&shelf_name(id)) {
        return missing();
    }
    let mut answer = Answer::json(StatusCode::NO_CONTENT, "answered", Value::Null);
    answer.content = Content::Bytes("application/json", Bytes::new());
    answer
}

/// When a prediction's files are gone, in Unix microseconds.
pub(super) fn expiry(desk: &Desk<'_>, task: &Task) -> u64 {
    let lifetime = u64::try_from(duration(desk.config.picture_seconds).as_micros()).unwrap_or(u64::MAX);
    task.drawn_us.1.saturating_add(lifetime)
}

/// The signed URLs of a prediction's pictures. They count from the end of the drawing, so all answers give the same ones.
pub(super) fn urls(desk: &Desk<'_>, task: &Task) -> Vec<Value> {
    let expires = expiry(desk, task);
    let extension = match task.picture.format.name() {
        "jpeg" => "jpg",
        name => name,
    };
    let url = |n| {
        let name = format!("{}/out-{n}.{extension}", task.id);
        let sig = desk.world.sign(&format!("{name} {expires}"));
        json!(format!("{}/{NAME}/delivery/{name}?se={expires}&sig={sig}", desk.call.origin))
    };
    (0..task.count).map(url).collect()
}

/// A picture on `replicate.delivery`, as the real host is called. No key is needed.
pub(super) fn deliver(desk: &Desk<'_>, name: &str) -> Answer {
    let expires = desk.call.query("se").unwrap_or_default();
    let good = desk.call.query("sig") == Some(&desk.world.sign(&format!("{name} {expires}")));
    if !good {
        return plain(StatusCode::FORBIDDEN, "Forbidden");
    }
    let (id, file) = name.split_once('/').unwrap_or((name, ""));
    let number: Option<u64> =
        file.strip_prefix("out-").and_then(|rest| rest.split('.').next()).and_then(|n| n.parse().ok());
    let expired = expires.parse().is_ok_and(|at: u64| at <= desk.now_us);
    let lost = expired || matches!(desk.fault, Some(Fault::TaskNotFound));
    let found = desk.world.tasks().find(NAME, id).zip(number).filter(|_| !lost);
    let Some((task, number)) = found else { return plain(StatusCode::NOT_FOUND, "Not Found") };
    let media_type = task.picture.format.media_type();
    let mut answer = Answer::ok("delivered", Value::Null);
    answer.content = match desk.fault {
        Some(Fault::Empty) => Content::Bytes(media_type, Bytes::new()),
        _ => Content::Drawn {
            media_type,
            pictures: vec![Picture { seed: task.picture.seed.wrapping_add(number), ..task.picture.clone() }],
            finish: Box::new(|files| files.into_iter().next().unwrap_or_default()),
        },
    };
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Answer::rejected(status, Value::Null);
    answer.content = Content::Bytes("text/plain", Bytes::from_static(text.as_bytes()));
    answer
}

//! Files: those that clients upload, and those that predictions deliver.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::call::{Part, Payload};
use crate::desk::Desk;
use crate::fault::Fault;
use crate::hash::sha256;
use crate::link::{self, Seal};
use crate::material::Material;
use crate::task::Task;

use super::clock::time;
use super::fields::Problem;
use super::{LINKS, NAME, invalid, missing, reject};

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
    // Not every file is an image.
    answer.inputs.extend(Material::read("content", &part.bytes));
    answer
}

fn described(desk: &Desk<'_>, part: &Part, id: &str) -> Value {
    let sha256 = sha256(&part.bytes);
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

/// The signed URLs of a prediction's images.
pub(super) fn urls(desk: &Desk<'_>, task: &Task) -> Vec<Value> {
    let extension = match task.picture.format.name() {
        "jpeg" => "jpg",
        name => name,
    };
    let url = |n| json!(LINKS.url(desk, task, &format!("{}/out-{n}.{extension}", task.id)));
    (0..task.count).map(url).collect()
}

/// An image on `replicate.delivery`, as the real host is called. No key is needed.
pub(super) fn deliver(desk: &Desk<'_>, name: &str) -> Answer {
    let seal = LINKS.check(desk, name);
    if seal == Seal::Broken {
        return plain(StatusCode::FORBIDDEN, "Forbidden");
    }
    let (id, file) = name.split_once('/').unwrap_or((name, ""));
    let number: Option<u64> =
        file.strip_prefix("out-").and_then(|rest| rest.split('.').next()).and_then(|n| n.parse().ok());
    let lost = seal == Seal::Expired || matches!(desk.fault, Some(Fault::TaskNotFound));
    let found = desk.world.tasks().find(NAME, id).zip(number).filter(|_| !lost);
    let Some((task, number)) = found else { return plain(StatusCode::NOT_FOUND, "Not Found") };
    link::deliver(desk, task.nth(number))
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    Answer::rejected_as(status, "text/plain", text)
}

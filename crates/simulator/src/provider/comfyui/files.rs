//! Images that are uploaded and fetched.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::call::Payload;
use crate::desk::Desk;
use crate::fault::Fault;
use crate::material::Material;
use crate::picture::{Format, Picture};
use crate::world::World;

use super::host::Host;
use super::{NAME, plain};

const FOLDERS: [&str; 3] = ["input", "temp", "output"];

/// The bytes of an upload by the name that graphs have for it: `folder/name.png [temp]`, all but the name optional.
pub(super) fn uploaded(world: &World, name: &str) -> Option<Bytes> {
    let (name, folder) = FOLDERS
        .iter()
        .find_map(|folder| Some((name.strip_suffix(&format!(" [{folder}]"))?, *folder)))
        .unwrap_or((name, "input"));
    let (subfolder, name) = name.rsplit_once('/').unwrap_or(("", name));
    world.shelf().get(&format!("{NAME}/{folder}/{subfolder}/{name}"))
}

/// `POST /upload/image`. Another image of the same name gets a number, unless it is to replace the first.
pub(super) fn upload(desk: &Desk<'_>) -> Answer {
    let Payload::Form(parts) = &desk.call.payload else { return plain(StatusCode::BAD_REQUEST) };
    let text = |name: &str| desk.call.text(name).unwrap_or_default();
    let part = parts.iter().find(|p| p.name == "image" && p.file_name.is_some());
    let Some((part, name)) = part.and_then(|p| Some((p, p.file_name.as_deref()?))) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let (folder, subfolder) = (text("type"), text("subfolder"));
    let folder = if folder.is_empty() { "input" } else { &folder };
    let subfolder = subfolder.trim_matches('/');
    if name.is_empty() || is_trick(name) || is_trick(subfolder) || !FOLDERS.contains(&folder) {
        return plain(StatusCode::BAD_REQUEST);
    }
    let place = |name: &str| format!("{NAME}/{folder}/{subfolder}/{name}");
    let overwrite = ["true", "1"].contains(&text("overwrite").as_str());
    let mut shelf = desk.world.shelf();
    let mut chosen = name.to_owned();
    let (stem, end) = name.rfind('.').map_or((name, ""), |dot| name.split_at(dot));
    let mut n = 1;
    while !overwrite && shelf.get(&place(&chosen)).is_some_and(|there| there != part.bytes) {
        chosen = format!("{stem} ({n}){end}");
        n += 1;
    }
    shelf.put(&place(&chosen), part.bytes.clone());
    let mut answer = Answer::ok("answered", json!({"name": chosen, "subfolder": subfolder, "type": folder}));
    answer.inputs = Material::read("image", &part.bytes).into_iter().collect();
    answer
}

fn is_trick(path: &str) -> bool {
    path.starts_with('/') || path.contains("..") || path.contains('\\')
}

/// What `/view` is asked for, as the machine names it.
pub(super) fn wanted(call: &crate::call::Call) -> String {
    let of = |name| call.query(name).unwrap_or_default();
    let folder = call.query("type").unwrap_or("output");
    format!("{folder}/{}/{}", of("subfolder"), of("filename"))
}

/// `GET /view`.
pub(super) fn view(desk: &Desk<'_>) -> Answer {
    let call = desk.call;
    let of = |name| call.query(name).unwrap_or_default();
    let (filename, folder) = (of("filename"), call.query("type").unwrap_or("output"));
    if filename.is_empty() || is_trick(filename) || !FOLDERS.contains(&folder) {
        return plain(StatusCode::BAD_REQUEST);
    }
    if is_trick(of("subfolder")) {
        return plain(StatusCode::FORBIDDEN);
    }
    let name = wanted(call);
    let now = desk.now;
    let picture = desk.world.drawer(|host: &mut Host| host.picture(&name, now));
    let file = desk.world.shelf().get(&format!("{NAME}/{name}"));
    if matches!(desk.fault, Some(Fault::TaskNotFound)) || (picture.is_none() && file.is_none()) {
        return plain(StatusCode::NOT_FOUND);
    }
    let mut answer = Answer::ok("delivered", Value::Null);
    let empty = matches!(desk.fault, Some(Fault::Empty));
    answer.content = match (picture, file) {
        (Some(_), _) if empty => Content::Bytes("image/png", Bytes::new()),
        (Some(picture), _) => {
            // `webp;90`: a thumbnail's format and quality, of which the format is honoured.
            let preview = call.query("preview").map(|p| p.split(';').next().unwrap_or_default());
            let format = match preview {
                Some("jpeg") => Format::Jpeg,
                Some(_) => Format::Webp,
                None => picture.format,
            };
            Content::file(format.media_type(), vec![Picture { format, ..picture }])
        }
        (None, file) => {
            let file = file.unwrap_or_default();
            let kind = Material::read("image", &file).map_or("application/octet-stream", |m| m.media_type);
            Content::Bytes(kind, file)
        }
    };
    answer.header("content-disposition", format!("filename=\"{filename}\""))
}

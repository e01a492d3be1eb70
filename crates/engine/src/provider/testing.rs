//! Values that the adapters' tests share.
use std::sync::LazyLock;

use super::*;
use crate::http::{Body, Content};
use crate::input::{Input, Role};

pub fn request(json: Value) -> Request {
    serde_json::from_value(json).unwrap()
}

/// The candidate of a model as the catalogue has it.
pub fn candidate(kind: &str, model: &str) -> Candidate {
    let found = crate::catalogue::shipped().candidate(kind, model);
    found.unwrap_or_else(|| panic!("no {model} at {kind} in the catalogue"))
}

static NOTHING: LazyLock<BTreeMap<String, String>> = LazyLock::new(BTreeMap::new);
static NO_INPUTS: LazyLock<Inputs> = LazyLock::new(Inputs::default);

pub fn call<'a>(request: &'a Request, candidate: &'a Candidate) -> Call<'a> {
    call_with(Task::Generate, request, candidate, &NO_INPUTS)
}

pub fn call_with<'a>(
    task: Task,
    request: &'a Request,
    candidate: &'a Candidate,
    inputs: &'a Inputs,
) -> Call<'a> {
    Call { task, request, candidate, inputs, found: &NOTHING, tag: "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0-1" }
}

/// Inputs for these roles: grey images of 96x64; a mask marks its left half.
pub fn inputs(roles: &[Role]) -> Inputs {
    let mut inputs = Inputs::default();
    for role in roles {
        let picture = image::GrayImage::from_fn(96, 64, |x, _| {
            image::Luma([if *role == Role::Mask && x >= 48 { 0 } else { 255 }])
        });
        let mut file = std::io::Cursor::new(vec![]);
        picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
        inputs.set(*role, Input::read(file.into_inner()).unwrap());
    }
    inputs
}

pub fn answer(status: u16, body: Value) -> HttpResponse {
    HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
}

/// The HTTP request of a prepared call.
pub fn http(prepared: &Prepared) -> &HttpRequest {
    match &prepared.submission {
        Submission::Http(http) => http,
        Submission::Local => panic!("nothing is sent"),
    }
}

/// The JSON that is sent.
pub fn json_body(prepared: &Prepared) -> Value {
    match &http(prepared).body {
        Body::Json(json) => json.clone(),
        other => panic!("not JSON: {other:?}"),
    }
}

/// The form that is sent: each field's text, each file's type.
pub fn form_body(prepared: &Prepared) -> Vec<(String, String)> {
    match &http(prepared).body {
        Body::Form(parts) => parts
            .iter()
            .map(|part| match &part.content {
                Content::Text(text) => (part.name.clone(), text.clone()),
                Content::File { content_type, .. } => (part.name.clone(), (*content_type).to_owned()),
            })
            .collect(),
        other => panic!("not a form: {other:?}"),
    }
}

/// The codes of the warnings.
pub fn codes(prepared: &Prepared) -> Vec<&str> {
    prepared.warnings.iter().map(|w| w.code.as_str()).collect()
}

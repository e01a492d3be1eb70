//! Several references in one request: what each family of models calls them, how many it takes, and what is said of the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use image_gen_engine::catalogue;
use image_gen_engine::http::{Body, Content};
use image_gen_engine::input::{Inputs, Role};
use image_gen_engine::job::{Request, Task};
use image_gen_engine::provider::{self, Submission};
use serde_json::{Value, json};

/// The fields that have images, and the warnings, of a request with so many references.
fn sent(kind: &str, model: &str, task: Task, more: Value, references: usize) -> (Vec<String>, Vec<String>) {
    let candidate = catalogue::shipped().candidate(kind, model).unwrap();
    let mut asked = json!({"prompt": "a kettle", "seed": 7, "reference_images": vec!["asset:1"; references]});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request: Request = serde_json::from_value(asked).unwrap();
    let found: BTreeMap<String, String> = match kind {
        // Where images are uploaded first.
        "comfyui" => {
            Role::ALL.map(|role| (role.name().to_owned(), format!("PICTURE-{}", role.name()))).into()
        }
        _ => BTreeMap::new(),
    };
    let prepared =
        provider::plan(&candidate, task, &request, &Inputs::stand_ins(&request), &found, "tag").unwrap();
    let Submission::Http(http) = prepared.submission else { panic!("{model} sends nothing") };
    let mut fields = vec![];
    match http.body {
        Body::Json(json) => pictures("", &json, &mut fields),
        Body::Form(parts) => {
            let files = parts.into_iter().filter(|part| matches!(part.content, Content::File { .. }));
            fields.extend(files.map(|part| part.name));
        }
        Body::Empty => {}
    }
    let warnings = prepared.warnings.into_iter().filter(|w| w.code == "reference_ignored");
    (fields, warnings.map(|w| w.message).collect())
}

/// The paths of all long texts: images are the only ones.
fn pictures(path: &str, json: &Value, all: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| pictures(&format!("{path}/{name}"), value, all));
        }
        Value::Array(list) => list.iter().for_each(|value| pictures(&format!("{path}[]"), value, all)),
        Value::String(text) if text.len() > 80 => all.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn every_family_has_its_own_fields_for_several_references() {
    // P22
    let edit = || json!({"image": "asset:2"});
    for (kind, model, task, more, fields) in [
        ("bfl", "flux-2-pro", Task::Generate, json!({}), "/input_image /input_image_2 /input_image_3"),
        (
            "bfl",
            "flux-2-pro",
            Task::Img2img,
            edit(),
            "/input_image /input_image_2 /input_image_3 /input_image_4",
        ),
        ("bfl", "flux-kontext-pro", Task::Generate, json!({}), "/input_image /input_image_2 /input_image_3"),
        ("openai", "gpt-image-2.6-flare", Task::Generate, json!({}), "image[] image[] image[]"),
        ("openai", "gpt-image-2.6-flare", Task::Img2img, edit(), "image[] image[] image[] image[]"),
        ("fal", "flux-2-pro", Task::Generate, json!({}), "/image_urls[] /image_urls[] /image_urls[]"),
        (
            "fal",
            "flux-kontext-pro-multi",
            Task::Img2img,
            edit(),
            "/image_urls[] /image_urls[] /image_urls[] /image_urls[]",
        ),
        (
            "replicate",
            "flux-2-pro",
            Task::Generate,
            json!({}),
            "/input/input_images[] /input/input_images[] /input/input_images[]",
        ),
        (
            "openrouter",
            "gpt-image-2",
            Task::Generate,
            json!({}),
            "/input_references[]/image_url/url /input_references[]/image_url/url /input_references[]/image_url/url",
        ),
        (
            "google",
            "gemini-nano-banana-2.1",
            Task::Generate,
            json!({}),
            "/contents[]/parts[]/inlineData/data /contents[]/parts[]/inlineData/data /contents[]/parts[]/inlineData/data",
        ),
        (
            "ideogram",
            "ideogram-4.5-edit",
            Task::Img2img,
            edit(),
            "image reference_images reference_images reference_images",
        ),
    ] {
        let (found, ignored) = sent(kind, model, task, more, 3);
        assert_eq!(found.join(" "), fields, "{kind}:{model} {task:?}");
        assert_eq!(ignored, [""; 0], "{kind}:{model}");
    }
}

#[test]
fn the_subject_comes_before_the_other_references() {
    let more = json!({"reference_image": "asset:3"});
    let (fields, _) = sent("bfl", "flux-2-pro", Task::Generate, more.clone(), 2);
    assert_eq!(fields, ["/input_image", "/input_image_2", "/input_image_3"]);
    let (fields, ignored) = sent("fal", "flux-pulid", Task::Generate, more, 2);
    assert_eq!(fields, ["/reference_image_url"]);
    assert_eq!(ignored, ["fal:flux-pulid does not use reference_images"]);
}

#[test]
fn what_is_more_than_a_model_takes_is_left_out_and_named() {
    for (kind, model, task, more, given, taken) in [
        ("bfl", "flux-2-pro", Task::Generate, json!({}), 9, 8),
        ("bfl", "flux-2-klein-4b", Task::Img2img, json!({"image": "asset:2"}), 4, 3),
        ("bfl", "flux-1.1-pro", Task::Generate, json!({}), 2, 1),
        ("openai", "gpt-image-2", Task::Img2img, json!({"image": "asset:2"}), 16, 15),
        ("google", "gemini-3-pro-image", Task::Generate, json!({}), 16, 14),
        ("openrouter", "flux-2-klein-4b", Task::Generate, json!({"reference_image": "asset:2"}), 4, 3),
        ("ideogram", "ideogram-4.5-edit", Task::Img2img, json!({"image": "asset:2"}), 5, 4),
    ] {
        let others = more.as_object().unwrap().len();
        let (fields, ignored) = sent(kind, model, task, more, given);
        assert_eq!(fields.len(), taken + others, "{kind}:{model}: {fields:?}");
        assert_eq!(ignored, [format!("{kind}:{model} uses the first {taken} of {given} reference_images")]);
    }
    let (fields, ignored) = sent("stability", "stable-image-core", Task::Generate, json!({}), 2);
    assert!(fields.is_empty());
    assert_eq!(ignored, ["stability:stable-image-core does not use reference_images"]);
}

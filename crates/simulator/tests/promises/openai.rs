use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::Field::{File, Text};
use crate::files::{FORM, data_uri, encoded, form, png};

fn decoded(picture: &Value) -> image::DynamicImage {
    image::load_from_memory(&STANDARD.decode(picture["b64_json"].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_generation_answers_with_pictures_and_tokens() {
    let sim = start(json!({})).await;
    let body = json!({"model": "gpt-image-2.6-flare", "prompt": "a cat, sitting, in a hat, at home.", "size": "1536x1024", "quality": "low", "n": 2});
    let reply = openai(&sim, body).await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers.contains_key("x-request-id"));
    let json = reply.json();
    assert_eq!(
        (&json["output_format"], &json["size"], &json["quality"]),
        (&json!("png"), &json!("1536x1024"), &json!("low"))
    );
    let usage = json!({"input_tokens": 9, "output_tokens": 588, "total_tokens": 597, "input_tokens_details": {"text_tokens": 9, "image_tokens": 0}});
    assert_eq!(json["usage"], usage);
    let pictures: Vec<_> = json["data"].as_array().unwrap().iter().map(decoded).collect();
    assert_eq!((pictures.len(), pictures[0].width(), pictures[0].height()), (2, 1536, 1024));
    assert_ne!(pictures[0], pictures[1]);
    // 9 x 5 + 588 x 30 dollars for a million.
    assert_eq!(sim.totals().all.billed.to_string(), "0.017685");
}

#[tokio::test]
async fn the_format_asked_for_is_drawn() {
    let sim = start(json!({})).await;
    for (format, kind) in [
        ("jpeg", image::ImageFormat::Jpeg),
        ("webp", image::ImageFormat::WebP),
        ("gif", image::ImageFormat::Gif),
    ] {
        let json =
            openai(&sim, json!({"model": "gpt-image-2.6-flare", "prompt": "a", "output_format": format}))
                .await
                .json();
        let file = STANDARD.decode(json["data"][0]["b64_json"].as_str().unwrap()).unwrap();
        assert_eq!(image::guess_format(&file).unwrap(), kind);
    }
}

#[tokio::test]
async fn a_refusal_has_moderation_details_and_costs_nothing() {
    let sim = start(json!({})).await;
    for (config, stage) in [("content", "output"), ("request", "input")] {
        admin(&sim, "PUT", "config", json!({"refusal_stage": config})).await;
        let reply = openai(&sim, json!({"model": "gpt-image-2", "prompt": "Anatomy study"})).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (400, &json!("moderation_blocked")));
        assert_eq!(error["moderation_details"], json!({"moderation_stage": stage, "categories": ["sexual"]}));
    }
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed_calls), (2, 0, 0));
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let cases = [
        (json!({"response_format": "b64_json"}), 400, "response_format", "unknown_parameter"),
        (json!({"seed": 7}), 400, "seed", "unknown_parameter"),
        (json!({"negative_prompt": "b"}), 400, "negative_prompt", "unknown_parameter"),
        (json!({"style": "vivid"}), 400, "style", "unknown_parameter"),
        (json!({"images": []}), 400, "images", "unknown_parameter"),
        (json!({"complexity": "low"}), 400, "complexity", "unknown_parameter"),
        (json!({"prompt": null}), 400, "prompt", "missing_required_parameter"),
        (json!({"prompt": ""}), 400, "prompt", "empty_string"),
        (json!({"prompt": "x".repeat(32_001)}), 400, "prompt", "string_above_max_length"),
        (json!({"prompt": 7}), 400, "prompt", "invalid_type"),
        (json!({"n": 11}), 400, "n", "integer_above_max_value"),
        (json!({"n": 0}), 400, "n", "integer_below_min_value"),
        (json!({"n": "2"}), 400, "n", "invalid_type"),
        (json!({"size": "1000x1000"}), 400, "size", "invalid_value"),
        (json!({"size": "512x512"}), 400, "size", "invalid_value"),
        (json!({"size": "3856x1296"}), 400, "size", "invalid_value"),
        (json!({"size": "3200x1024"}), 400, "size", "invalid_value"),
        (json!({"size": "big"}), 400, "size", "invalid_value"),
        (json!({"quality": "xhigh"}), 400, "quality", "invalid_value"),
        (json!({"output_format": "gif"}), 400, "output_format", "invalid_value"),
        (json!({"background": "transparent", "output_format": "jpeg"}), 400, "background", "invalid_value"),
        (json!({"output_compression": 50}), 400, "output_compression", "invalid_value"),
        (json!({"model": "gpt-image-9"}), 404, "model", "model_not_found"),
        (json!({"model": "gpt-image-1"}), 404, "model", "model_not_found"),
        (json!({"model": "dall-e-3"}), 404, "model", "model_not_found"),
        (json!({"model": null}), 404, "model", "model_not_found"),
    ];
    let count = cases.len() as u64;
    for (change, status, param, code) in cases {
        let mut body = json!({"model": "gpt-image-2", "prompt": "a cat"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reply = openai(&sim, body).await;
        let error = reply.json()["error"].clone();
        assert_eq!(
            (reply.status, &error["param"], &error["code"]),
            (status, &json!(param), &json!(code)),
            "{change} {error}"
        );
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (count, 0, 0));
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let (json, good) = (("content-type", "application/json"), ("authorization", "Bearer good"));
    let path = "/openai/v1/images/generations";
    for (method, path, headers, status, code) in [
        ("POST", path, vec![json], 401, Value::Null),
        ("POST", path, vec![json, ("x-key", "good")], 401, Value::Null),
        ("POST", path, vec![json, ("authorization", "Bearer bad")], 401, json!("invalid_api_key")),
        ("POST", path, vec![("content-type", "text/plain"), good], 400, Value::Null),
        ("GET", path, vec![good], 404, Value::Null),
        ("POST", "/openai/v1/images/variations", vec![json, good], 404, Value::Null),
        ("GET", "/openai/v1/models/gpt-image-9", vec![good], 404, json!("model_not_found")),
    ] {
        let reply = send(&sim, method, path, &headers, &json!({"prompt": "a"})).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (status, &code),
            "{method} {path} {headers:?}"
        );
    }
    let models = send(&sim, "GET", "/openai/v1/models", &[good], &Value::Null).await.json();
    let names: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert!(names.contains(&"gpt-image-2.6-flare") && !names.contains(&"dall-e-3"), "{names:?}");
}

#[tokio::test]
async fn edits_are_taken_as_json_and_as_forms() {
    let sim = start(json!({})).await;
    let file = png(64, 64);
    let url = data_uri(&file);
    let body =
        json!({"model": "gpt-image-2", "prompt": "a hat", "quality": "low", "images": [{"image_url": url}]});
    let reply = send(&sim, "POST", "/openai/v1/images/edits", OPENAI, &body).await;
    assert_eq!(reply.json()["usage"]["input_tokens_details"]["image_tokens"], 4);

    let form = |media_type: &str| {
        let mut form = Vec::new();
        for (name, value) in [("model", "gpt-image-2"), ("prompt", "a hat"), ("n", "1"), ("quality", "low")] {
            form.extend(
                format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        form.extend(format!("--B\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"a.png\"\r\nContent-Type: {media_type}\r\n\r\n").bytes());
        form.extend(&file);
        form.extend(b"\r\n--B--\r\n");
        form
    };
    let headers = [OPENAI[0], ("content-type", "multipart/form-data; boundary=B")];
    let reply = try_send(&sim, "POST", "/openai/v1/images/edits", &headers, form("image/png")).await.unwrap();
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 1);
    let reply =
        try_send(&sim, "POST", "/openai/v1/images/edits", &headers, form("text/plain")).await.unwrap();
    assert_eq!(reply.json()["error"]["code"], "unsupported_file_mimetype");
    let entry = &sim.entries()[1];
    assert_eq!((&entry["prompt"], &entry["model"]), (&json!("a hat"), &json!("gpt-image-2")));
    let reply = send(
        &sim,
        "POST",
        "/openai/v1/images/edits",
        OPENAI,
        &json!({"model": "gpt-image-2", "prompt": "a"}),
    )
    .await;
    assert_eq!(reply.json()["error"]["code"], "missing_required_parameter");
}

#[tokio::test]
async fn a_stream_ends_with_the_completed_picture() {
    let sim = start(json!({})).await;
    let reply = openai(&sim, json!({"model": "gpt-image-2", "prompt": "a", "stream": true})).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
    let data = text.strip_prefix("event: image_generation.completed\ndata: ").unwrap();
    let event: Value = serde_json::from_str(data.trim()).unwrap();
    assert_eq!((decoded(&event).width(), &event["usage"]["output_tokens"]), (1024, &json!(1756)));
}

#[tokio::test]
async fn an_empty_account_is_out_of_quota() {
    let sim = start(json!({"balance": "0"})).await;
    let reply = openai(&sim, json!({"model": "gpt-image-2", "prompt": "a"})).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("insufficient_quota")));
}

#[tokio::test]
async fn masks_arrive_and_what_is_transparent_is_edited() {
    let sim = start(json!({})).await;
    let url = |file: &[u8]| json!({"image_url": data_uri(file)});
    let hole = |width| {
        let alpha = |x: u32| if x < 3 { 0 } else { 255 };
        encoded(image::RgbaImage::from_fn(width, 48, |x, _| image::Rgba([255, 255, 255, alpha(x)])))
    };
    let picture = png(64, 48);
    let edit = async |mask: &[u8]| {
        let body =
            json!({"model": "gpt-image-2", "prompt": "a hat", "images": [url(&picture)], "mask": url(mask)});
        send(&sim, "POST", "/openai/v1/images/edits", OPENAI, &body).await
    };
    assert_eq!(edit(&hole(64)).await.status, 200);
    for (mask, words) in [(hole(65), "mask size does not match"), (picture.clone(), "missing alpha channel")]
    {
        let reply = edit(&mask).await;
        assert_eq!(reply.status, 400);
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(words));
    }
    let form = form(&[
        Text("model", "gpt-image-2"),
        Text("prompt", "a hat"),
        File("mask", hole(64)),
        File("image[]", picture.clone()),
    ]);
    let headers = [OPENAI[0], FORM];
    let reply = try_send(&sim, "POST", "/openai/v1/images/edits", &headers, form).await.unwrap();
    assert_eq!(reply.status, 200);
    let entries = sim.entries();
    let (json, form) = (&entries[0]["inputs"], &entries[3]["inputs"]);
    assert_eq!((json[0]["name"].as_str(), form[0]["name"].as_str()), (Some("images"), Some("image")));
    assert_eq!((&json[1]["name"], &json[1]["marks"]["edited"]), (&json!("mask"), &json!(144)));
    assert_eq!(form[1]["marks"], json[1]["marks"]);
    assert_eq!(json[0].get("marks"), None);
}

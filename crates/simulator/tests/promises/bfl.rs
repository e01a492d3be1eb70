use image::ImageReader;
use serde_json::{Value, json};
use std::io::Cursor;

use crate::client::*;
use crate::files::{base64, encoded, mask, png};

#[tokio::test]
async fn a_picture_is_submitted_polled_and_fetched() {
    let sim = start(json!({})).await;
    let reply =
        bfl(&sim, "flux-pro-1.1", json!({"prompt": "a cat", "width": 1024, "height": 1024, "seed": 7})).await;
    let submitted = reply.json();
    assert_eq!(
        (&submitted["cost"], &submitted["input_mp"], &submitted["output_mp"]),
        (&json!(4), &json!(0), &json!(1.05))
    );
    let url = submitted["polling_url"].as_str().unwrap();
    assert!(url.starts_with(&sim.url()) && url.contains("1/v1/get_result?id="), "{url}");
    let ready = settle(&sim, url).await;
    assert_eq!((&ready["status"], &ready["id"]), (&json!("Ready"), &submitted["id"]));
    assert_eq!((&ready["result"]["seed"], &ready["result"]["prompt"]), (&json!(7), &json!("a cat")));
    for key in ["start_time", "end_time", "duration"] {
        assert!(ready["result"][key].is_number(), "{key}");
    }
    let sample = ready["result"]["sample"].as_str().unwrap();
    let picture = send(&sim, "GET", sample, &[], &Value::Null).await;
    assert_eq!((picture.status, &picture.headers["content-type"]), (200, &"image/jpeg".parse().unwrap()));
    let read = ImageReader::new(Cursor::new(picture.bytes)).with_guessed_format().unwrap().decode().unwrap();
    assert_eq!((read.width(), read.height()), (1024, 1024));
}

#[tokio::test]
async fn a_task_is_pending_until_it_is_drawn() {
    let sim = start(json!({"render_seconds": 3600})).await;
    let url = submitted(&sim, json!({"prompt": "a cat"})).await;
    let answer = get(&sim, &url).await.json();
    assert_eq!((&answer["status"], &answer["result"]), (&json!("Pending"), &Value::Null));
    assert_eq!(sim.totals().all.billed.to_string(), "0.04", "booked when accepted");
}

#[tokio::test]
async fn the_global_host_does_not_know_a_regional_task() {
    let sim = start(json!({})).await;
    let url = submitted(&sim, json!({"prompt": "a cat"})).await;
    let id = url.split("id=").nth(1).unwrap();
    let other = if url.contains("eu1") { url.replace("eu1", "us1") } else { url.replace("us1", "eu1") };
    for wrong in [format!("/bfl/v1/get_result?id={id}"), other, "/bfl/eu1/v1/get_result?id=x".into()] {
        assert_eq!(get(&sim, &wrong).await.json()["status"], "Task not found", "{wrong}");
    }
    assert_eq!(get(&sim, &url).await.json()["status"], "Ready");
}

#[tokio::test]
async fn moderated_tasks_say_so_and_cost_nothing() {
    let sim = start(json!({})).await;
    let url = submitted(&sim, json!({"prompt": "Portrait, Eyes Closed"})).await;
    assert_eq!(settle(&sim, &url).await["status"], "Content Moderated");
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let url = submitted(&sim, json!({"prompt": "bare skin"})).await;
    assert_eq!(get(&sim, &url).await.json()["status"], "Request Moderated");
    let totals = sim.totals().all;
    assert_eq!(
        (totals.refused, totals.accepted, totals.billed_calls, totals.billed.to_string()),
        (2, 2, 0, "0".into())
    );
}

#[tokio::test]
async fn picture_urls_are_signed_and_expire() {
    let sim = start(json!({})).await;
    let url = submitted(&sim, json!({"prompt": "a cat", "output_format": "png"})).await;
    let sample = settle(&sim, &url).await["result"]["sample"].as_str().unwrap().to_owned();
    assert_eq!(get(&sim, &sample).await.headers["content-type"], "image/png");
    let forged = sample.replace("se=", "se=9");
    assert_eq!(get(&sim, &forged).await.status, 403);
    admin(&sim, "PUT", "config", json!({"picture_seconds": 0})).await;
    let expired = settle(&sim, &url).await["result"]["sample"].as_str().unwrap().to_owned();
    assert_eq!(get(&sim, &expired).await.status, 403);
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let cases = [
        ("flux-pro-1.1", json!({}), "prompt", "missing"),
        ("flux-pro-1.1", json!({"prompt": " "}), "prompt", "string_too_short"),
        ("flux-pro-1.1", json!({"prompt": 7}), "prompt", "string_type"),
        ("flux-2-pro", json!({"prompt": "x".repeat(131_073)}), "prompt", "string_too_long"),
        ("flux-pro-1.1", json!({"prompt": "a", "steps": 20}), "steps", "extra_forbidden"),
        ("flux-pro-1.1", json!({"prompt": "a", "guidance": 3}), "guidance", "extra_forbidden"),
        (
            "flux-pro-1.1",
            json!({"prompt": "a", "negative_prompt": "b"}),
            "negative_prompt",
            "extra_forbidden",
        ),
        ("flux-pro-1.1", json!({"prompt": "a", "aspect_ratio": "1:1"}), "aspect_ratio", "extra_forbidden"),
        ("flux-pro-1.1", json!({"prompt": "a", "width": 1000}), "width", "multiple_of"),
        ("flux-pro-1.1", json!({"prompt": "a", "width": 224}), "width", "greater_than_equal"),
        ("flux-pro-1.1", json!({"prompt": "a", "height": 1472}), "height", "less_than_equal"),
        ("flux-pro-1.1", json!({"prompt": "a", "width": "1024"}), "width", "int_type"),
        (
            "flux-pro-1.1",
            json!({"prompt": "a", "safety_tolerance": 7}),
            "safety_tolerance",
            "less_than_equal",
        ),
        ("flux-2-pro", json!({"prompt": "a", "safety_tolerance": 6}), "safety_tolerance", "less_than_equal"),
        ("flux-2-pro", json!({"prompt": "a", "width": 4096, "height": 4096}), "width", "value_error"),
        ("flux-2-pro", json!({"prompt": "a", "steps": 20}), "steps", "extra_forbidden"),
        ("flux-2-flex", json!({"prompt": "a", "steps": 51}), "steps", "less_than_equal"),
        ("flux-2-klein-4b", json!({"prompt": "a", "input_image_5": "x"}), "input_image_5", "extra_forbidden"),
        ("flux-dev", json!({"prompt": "a", "guidance": 1}), "guidance", "greater_than_equal"),
        ("flux-pro-1.1", json!({"prompt": "a", "output_format": "webp"}), "output_format", "enum"),
        (
            "flux-pro-1.1",
            json!({"prompt": "a", "prompt_upsampling": "yes"}),
            "prompt_upsampling",
            "bool_type",
        ),
        ("flux-pro-1.1-ultra", json!({"prompt": "a", "aspect_ratio": "22:9"}), "aspect_ratio", "value_error"),
        (
            "flux-kontext-pro",
            json!({"prompt": "a", "input_image": "data:image/png;base64,AA"}),
            "input_image",
            "value_error",
        ),
        ("flux-pro-1.0-fill", json!({"prompt": "a"}), "image", "missing"),
    ];
    for (model, body, field, kind) in cases {
        let reply = bfl(&sim, model, body.clone()).await;
        assert_eq!(reply.status, 422, "{model} {body}");
        let detail = reply.json()["detail"][0].clone();
        assert_eq!(
            (&detail["loc"], &detail["type"]),
            (&json!(["body", field]), &json!(kind)),
            "{model} {body}"
        );
        assert!(detail["msg"].is_string());
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (24, 0, 0));
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let json = ("content-type", "application/json");
    let body = json!({"prompt": "a"});
    let path = "/bfl/v1/flux-pro-1.1";
    for (method, path, headers, status) in [
        ("POST", path, vec![json], 403),
        ("POST", path, vec![json, ("authorization", "Bearer good")], 403),
        ("POST", path, vec![json, ("x-key", "bad")], 403),
        ("POST", path, vec![json, ("x-key", "good")], 200),
        ("POST", path, vec![("content-type", "text/plain"), ("x-key", "good")], 422),
        ("GET", path, vec![("x-key", "good")], 405),
        ("POST", "/bfl/v1/flux-9", vec![json, ("x-key", "good")], 404),
        ("GET", "/bfl/v1/get_result", vec![("x-key", "good")], 422),
        ("GET", "/bfl/v1/get_result?id=1", vec![], 403),
        ("GET", "/bfl", vec![], 404),
        ("GET", "/nobody/v1", vec![], 404),
    ] {
        let reply = send(&sim, method, path, &headers, &body).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
    }
    let reply = try_send(&sim, "POST", path, &[json, ("x-key", "good")], "{").await.unwrap();
    assert_eq!((reply.status, &reply.json()["detail"][0]["type"]), (422, &json!("json_invalid")));
}

#[tokio::test]
async fn too_many_active_tasks_are_turned_away() {
    let sim = start(json!({"active_task_limit": 2, "render_seconds": 3600})).await;
    for expected in [200, 200, 429] {
        assert_eq!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.status, expected);
    }
    let entries = sim.entries();
    assert_eq!((&entries[0]["in_flight"], &entries[1]["in_flight"]), (&json!(1), &json!(2)));
    assert_eq!(sim.totals().all.peak_in_flight, 2);
}

#[tokio::test]
async fn credits_go_down_and_an_empty_account_is_turned_away() {
    let sim = start(json!({"balance": "0.07"})).await;
    assert_eq!(get(&sim, "/bfl/v1/credits").await.json(), json!({"credits": 7}));
    for expected in [200, 200, 402] {
        assert_eq!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.status, expected);
    }
    assert_eq!(get(&sim, "/bfl/v1/credits").await.json(), json!({"credits": 0}));
    admin(&sim, "PUT", "config", json!({"balance_by": {"bfl": "1", "stability": "0"}})).await;
    assert_eq!(get(&sim, "/bfl/v1/credits").await.json(), json!({"credits": 92}));
    assert_eq!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.status, 200);
}

#[tokio::test]
async fn inputs_and_size_make_the_price() {
    let sim = start(json!({})).await;
    let image = base64(&png(1024, 1024));
    let reply =
        bfl(&sim, "flux-2-pro", json!({"prompt": "a", "width": 2048, "height": 1024, "input_image": image}))
            .await;
    assert_eq!((&reply.json()["cost"], &reply.json()["input_mp"]), (&json!(6), &json!(1.05)));
    let reply = bfl(&sim, "flux-2-klein-4b", json!({"prompt": "a"})).await;
    assert_eq!(reply.json()["cost"], json!(1.4));
    assert_eq!(sim.totals().all.billed.to_string(), "0.074");
    let shown = sim.entries()[0]["body"]["input_image"].as_str().unwrap().to_owned();
    assert!(shown.contains("(cut, ") && shown.len() < 600);
    admin(&sim, "PUT", "config", json!({"cost_in_response": false})).await;
    assert!(bfl(&sim, "flux-2-pro", json!({"prompt": "a"})).await.json().get("cost").is_none());
}

#[tokio::test]
async fn pictures_and_masks_arrive_and_white_is_edited() {
    let sim = start(json!({})).await;
    let clear = |x, _| image::LumaA([200, if x < 3 { 0 } else { 255 }]);
    let clear = encoded(image::GrayAlphaImage::from_fn(64, 48, clear));
    let plain = base64(&png(64, 48));
    let bodies = [
        json!({"prompt": "a hat", "image": plain, "mask": base64(&mask(64, 48, 3, 255))}),
        json!({"prompt": "a hat", "image": base64(&clear)}),
    ];
    for body in bodies {
        assert_eq!(bfl(&sim, "flux-pro-1.0-fill", body).await.status, 200);
    }
    let entries = sim.entries();
    let (with_mask, alone) = (&entries[0]["inputs"], &entries[1]["inputs"]);
    assert_eq!((&with_mask[0]["name"], &with_mask[1]["name"]), (&json!("image"), &json!("mask")));
    assert_eq!((with_mask[0].get("marks"), &with_mask[1]["marks"]["edited"]), (None, &json!(144)));
    assert_eq!(alone[0]["marks"], with_mask[1]["marks"], "transparency stands in for a mask");
    assert_eq!((&with_mask[0]["width"], &with_mask[0]["media_type"]), (&json!(64), &json!("image/png")));
    let body = json!({"prompt": "a", "input_image": plain, "input_image_2": "https://example.com/a.png"});
    assert_eq!(bfl(&sim, "flux-2-pro", body).await.status, 200);
    let inputs = sim.entries()[2]["inputs"].clone();
    assert_eq!((inputs.as_array().unwrap().len(), &inputs[0]["name"]), (1, &json!("input_image")));
}

use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::Field::{File, Text};
use crate::files::{FORM, Field, encoded, form, mask, png, size, size_in_base64};

const KEY: (&str, &str) = ("authorization", "Bearer test-key");
const JSON: (&str, &str) = ("accept", "application/json");

async fn post(sim: &Simulator, path: &str, fields: &[Field<'_>]) -> Reply {
    let path = format!("/stability/v2beta/stable-image/{path}");
    try_send(sim, "POST", &path, &[KEY, JSON, FORM], form(fields)).await.unwrap()
}

#[tokio::test]
async fn a_picture_comes_as_base64_or_as_bytes() {
    let sim = start(json!({})).await;
    let fields =
        [Text("prompt", "a cat"), Text("seed", "7"), Text("aspect_ratio", "16:9"), Text("steps", "9")];
    let reply = post(&sim, "generate/core", &fields).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["finish_reason"], &body["seed"]), (200, &json!("SUCCESS"), &json!(7)));
    assert_eq!(size_in_base64(&body["image"]), (1344, 768));
    let path = "/stability/v2beta/stable-image/generate/sd3";
    let fields = [Text("prompt", "a cat"), Text("output_format", "jpeg"), Text("model", "sd3-medium")];
    let reply =
        try_send(&sim, "POST", path, &[KEY, ("accept", "image/*"), FORM], form(&fields)).await.unwrap();
    let header = |name: &str| reply.headers[name].to_str().unwrap().to_owned();
    assert_eq!((header("content-type"), header("finish-reason")), ("image/jpeg".into(), "SUCCESS".into()));
    assert!(header("seed").parse::<u64>().unwrap() > 0 && size(&reply.bytes) == (1024, 1024));
    let entries = sim.entries();
    assert_eq!((&entries[0]["model"], &entries[0]["billed"]), (&json!("generate/core"), &json!("0.03")));
    assert_eq!((&entries[1]["model"], &entries[1]["billed"]), (&json!("sd3.5-medium"), &json!("0.035")));
}

#[tokio::test]
async fn every_operation_gives_a_picture_of_its_size_at_its_price() {
    let sim = start(json!({})).await;
    let (prompt, image) = (|| Text("prompt", "a cat"), || File("image", png(96, 64)));
    for (path, fields, expected, price) in [
        ("generate/ultra", vec![prompt(), image(), Text("strength", "0.4")], (96, 64), "0.08"),
        (
            "generate/sd3",
            vec![prompt(), image(), Text("mode", "image-to-image"), Text("strength", "1")],
            (96, 64),
            "0.065",
        ),
        ("edit/outpaint", vec![image(), Text("left", "32"), Text("down", "64")], (128, 128), "0.04"),
        ("edit/search-and-replace", vec![image(), prompt(), Text("search_prompt", "dog")], (96, 64), "0.05"),
        ("edit/search-and-recolor", vec![image(), prompt(), Text("select_prompt", "dog")], (96, 64), "0.05"),
        ("edit/remove-background", vec![image()], (96, 64), "0.05"),
        ("control/sketch", vec![image(), prompt()], (96, 64), "0.05"),
        ("control/structure", vec![image(), prompt(), Text("control_strength", "0")], (96, 64), "0.05"),
        ("control/style", vec![image(), prompt(), Text("aspect_ratio", "9:21")], (640, 1536), "0.05"),
        (
            "control/style-transfer",
            vec![File("init_image", png(64, 80)), File("style_image", png(64, 64))],
            (64, 80),
            "0.08",
        ),
        ("upscale/fast", vec![image()], (384, 256), "0.02"),
        ("upscale/conservative", vec![image(), prompt()], (2508, 1672), "0.4"),
    ] {
        let reply = post(&sim, path, &fields).await;
        assert_eq!(reply.status, 200, "{path} {:?}", reply.bytes);
        assert_eq!(size_in_base64(&reply.json()["image"]), expected, "{path}");
        let entry = sim.entries().pop().unwrap();
        assert_eq!((&entry["billed"], &entry["accepted"]), (&json!(price), &json!(true)), "{path}");
    }
}

#[tokio::test]
async fn a_mask_marks_its_white_pixels_or_the_transparent_ones_of_the_picture() {
    let sim = start(json!({})).await;
    let fields = [
        File("image", png(64, 64)),
        File("mask", mask(64, 64, 3, 255)),
        Text("prompt", "a cat"),
        Text("grow_mask", "0"),
    ];
    assert_eq!(post(&sim, "edit/inpaint", &fields).await.status, 200);
    let at = |x, _| image::LumaA([9, if x < 3 { 0 } else { 255 }]);
    let clear = encoded(image::GrayAlphaImage::from_fn(64, 64, at));
    assert_eq!(post(&sim, "edit/erase", &[File("image", clear)]).await.status, 200);
    let entries = sim.entries();
    let (masked, clear) = (&entries[0]["inputs"], &entries[1]["inputs"]);
    assert_eq!((&masked[0]["name"], &masked[1]["name"]), (&json!("image"), &json!("mask")));
    assert_eq!(masked[1]["marks"]["edited"], 3 * 64);
    assert_eq!(masked[1]["marks"], clear[0]["marks"]);
    let reply = post(&sim, "edit/erase", &[File("image", png(64, 64))]).await;
    assert_eq!(reply.json()["errors"][0], "mask: is required when the image has no transparent pixels");
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let (prompt, image) = (|| Text("prompt", "a"), || File("image", png(64, 64)));
    let long = "x".repeat(10_001);
    for (path, fields, error) in [
        ("generate/core", vec![Text("seed", "1")], "prompt: is required"),
        ("generate/core", vec![Text("prompt", " ")], "prompt: cannot be blank"),
        ("generate/core", vec![Text("prompt", &long)], "prompt: must be less"),
        ("generate/core", vec![prompt(), Text("seed", "4294967295")], "seed: must be less"),
        ("generate/core", vec![prompt(), Text("seed", "-1")], "seed: must be greater"),
        ("generate/core", vec![prompt(), Text("seed", "x")], "seed: must be an integer"),
        ("generate/core", vec![prompt(), Text("aspect_ratio", "4:3")], "aspect_ratio: must be one of"),
        ("generate/core", vec![prompt(), Text("output_format", "gif")], "output_format: must be one of"),
        ("generate/core", vec![prompt(), Text("style_preset", "grunge")], "style_preset: must be one of"),
        ("generate/ultra", vec![prompt(), image()], "strength: is required"),
        ("generate/ultra", vec![prompt(), image(), Text("strength", "1.1")], "strength: must be less"),
        ("generate/sd3", vec![prompt(), Text("model", "sd4")], "model: must be one of"),
        ("generate/sd3", vec![prompt(), Text("cfg_scale", "0.5")], "cfg_scale: must be greater"),
        ("generate/sd3", vec![prompt(), image()], "image: is only allowed when mode"),
        ("generate/sd3", vec![prompt(), Text("mode", "image-to-image")], "image: is required"),
        ("edit/inpaint", vec![prompt()], "image: is required"),
        ("edit/inpaint", vec![prompt(), File("image", b"<html>".to_vec())], "image: must be a valid image"),
        ("edit/outpaint", vec![image()], "left: at least one"),
        ("edit/outpaint", vec![image(), Text("up", "2001")], "up: must be less"),
        ("edit/outpaint", vec![File("image", png(192, 64)), Text("up", "9")], "image: aspect ratio"),
        ("edit/search-and-replace", vec![image(), prompt()], "search_prompt: is required"),
        ("upscale/fast", vec![File("image", png(1600, 64))], "image: every side"),
        ("upscale/conservative", vec![image(), prompt(), Text("creativity", "0.6")], "creativity: must be"),
        ("upscale/creative", vec![File("image", png(1100, 1000)), prompt()], "image: total pixel count"),
    ] {
        let reply = post(&sim, path, &fields).await;
        let body = reply.json();
        assert_eq!((reply.status, &body["name"]), (400, &json!("bad_request")), "{path} {error}");
        assert!(body["errors"][0].as_str().unwrap().starts_with(error), "{path} {body}");
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (24, 0, 0));
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let good = ("authorization", "Bearer good");
    let core = "/stability/v2beta/stable-image/generate/core";
    for (method, path, headers, status, name) in [
        ("POST", core, vec![FORM], 401, "unauthorized"),
        ("POST", core, vec![FORM, ("authorization", "good")], 401, "unauthorized"),
        ("POST", core, vec![FORM, ("authorization", "Bearer bad")], 401, "unauthorized"),
        ("POST", core, vec![good, ("content-type", "application/json")], 400, "bad_request"),
        ("POST", core, vec![good, FORM, ("accept", "text/html")], 400, "bad_request"),
        ("GET", core, vec![good], 404, "not_found"),
        ("POST", "/stability/v2beta/stable-image/generate/dream", vec![good, FORM], 404, "not_found"),
        ("GET", "/stability/v2beta/results/abc", vec![good, JSON], 404, "not_found"),
    ] {
        let reply = try_send(&sim, method, path, &headers, form(&[Text("prompt", "a")])).await.unwrap();
        assert_eq!((reply.status, &reply.json()["name"]), (status, &json!(name)), "{path} {headers:?}");
    }
    let huge = form(&[Text("prompt", "a"), File("image", vec![0; 10 << 20])]);
    let reply = try_send(&sim, "POST", core, &[good, FORM, JSON], huge).await.unwrap();
    assert_eq!((reply.status, &reply.json()["name"]), (413, &json!("payload_too_large")));
    let reply =
        try_send(&sim, "POST", core, &[good, FORM, JSON], form(&[Text("prompt", "a")])).await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn refusals_cost_nothing_whether_denied_or_blurred() {
    let sim = start(json!({})).await;
    let fields = [Text("prompt", "bare skin"), Text("seed", "7")];
    let body = post(&sim, "generate/core", &fields).await.json();
    assert_eq!((&body["finish_reason"], &body["seed"]), (&json!("CONTENT_FILTERED"), &json!(7)));
    assert_eq!(size_in_base64(&body["image"]), (1024, 1024));
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let reply = post(&sim, "generate/core", &fields).await;
    assert_eq!((reply.status, &reply.json()["name"]), (403, &json!("content_moderation")));
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed_calls), (2, 1, 0));
}

#[tokio::test]
async fn a_creative_upscale_is_fetched_later() {
    let sim = start(json!({"render_seconds_by": {"stability/upscale/creative": 3600}})).await;
    let fields = [File("image", png(64, 256)), Text("prompt", "a cat"), Text("seed", "5")];
    let slow = post(&sim, "upscale/creative", &fields).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(slow.len(), 64);
    let path = format!("/stability/v2beta/results/{slow}");
    let reply = send(&sim, "GET", &path, &[KEY, JSON], &Value::Null).await;
    assert_eq!((reply.status, reply.json()), (202, json!({"id": slow, "status": "in-progress"})));
    admin(&sim, "PUT", "config", json!({"render_seconds_by": null})).await;
    let quick = post(&sim, "upscale/creative", &fields).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/stability/v2beta/results/{quick}");
    let body = send(&sim, "GET", &path, &[KEY, JSON], &Value::Null).await.json();
    assert_eq!((&body["finish_reason"], &body["seed"]), (&json!("SUCCESS"), &json!(5)));
    assert_eq!(size_in_base64(&body["result"]), (1024, 4096));
    let reply = send(&sim, "GET", &path, &[KEY, ("accept", "*/*")], &Value::Null).await;
    assert_eq!(size(&reply.bytes), (1024, 4096));
    assert_eq!(send(&sim, "GET", &path, &[JSON], &Value::Null).await.status, 401);
    assert_eq!(sim.totals().all.billed.to_string(), "1.2", "booked when accepted");
    let poll = &sim.entries()[3];
    assert_eq!(
        (&poll["phase"], &poll["outcome"], &poll["model"]),
        (&json!("poll"), &json!("ready"), &json!("upscale/creative"))
    );
}

#[tokio::test]
async fn scripted_faults_speak_the_providers_language() {
    let sim = start(json!({})).await;
    let fields = [Text("prompt", "a cat")];
    for (kind, status, name, billed) in [
        ("task_error", 500, json!("internal_error"), Value::Null),
        ("task_not_found", 404, json!("not_found"), Value::Null),
        ("rate_limited", 429, json!("rate_limit_exceeded"), Value::Null),
        ("empty", 200, Value::Null, json!("0.03")),
    ] {
        sim.clear_rules();
        fault(&sim, json!(kind));
        let reply = post(&sim, "generate/core", &fields).await;
        assert_eq!((reply.status, &reply.json()["name"]), (status, &name), "{kind}");
        assert_eq!(sim.entries().pop().unwrap()["billed"], billed, "{kind}");
        assert!(reply.json()["image"].is_null());
    }
    sim.clear_rules();
    let fields = [File("image", png(64, 64)), Text("prompt", "a cat")];
    for (kind, status, key, value) in [
        ("task_error", 200, "finish_reason", "ERROR"),
        ("task_not_found", 404, "name", "not_found"),
        ("never_ready", 202, "status", "in-progress"),
        ("refuse", 200, "finish_reason", "CONTENT_FILTERED"),
    ] {
        sim.clear_rules();
        fault(&sim, json!(kind));
        let id = post(&sim, "upscale/creative", &fields).await.json()["id"].as_str().unwrap().to_owned();
        sim.clear_rules();
        let path = format!("/stability/v2beta/results/{id}");
        let reply = send(&sim, "GET", &path, &[KEY, JSON], &Value::Null).await;
        assert_eq!((reply.status, &reply.json()[key]), (status, &json!(value)), "{kind}");
    }
    assert_eq!(sim.totals().all.billed_calls, 1);
}

#[tokio::test]
async fn credits_go_down_and_an_empty_account_is_turned_away() {
    let sim = start(json!({"balance": "0.05"})).await;
    let credits = async || {
        send(&sim, "GET", "/stability/v1/user/balance", &[KEY], &Value::Null).await.json()["credits"].clone()
    };
    assert_eq!(credits().await, json!(5));
    for (status, name) in [(200, Value::Null), (200, Value::Null), (402, json!("payment_required"))] {
        let reply = post(&sim, "generate/core", &[Text("prompt", "a")]).await;
        assert_eq!((reply.status, &reply.json()["name"]), (status, &name));
    }
    assert_eq!(credits().await, json!(0));
    admin(&sim, "PUT", "config", json!({"balance_by": {"stability": "0.10"}})).await;
    assert_eq!(credits().await, json!(4), "a top-up");
    assert_eq!(post(&sim, "generate/core", &[Text("prompt", "a")]).await.status, 200);
    let sim = start(json!({"active_task_limit": 0, "render_seconds": 9})).await;
    assert_eq!(post(&sim, "generate/core", &[Text("prompt", "a")]).await.status, 429);
}

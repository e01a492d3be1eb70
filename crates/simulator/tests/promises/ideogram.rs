use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::Field::{File, Text};
use crate::files::{FORM, Field, form, mask, png, size};

mod legacy;

const KEY: (&str, &str) = ("api-key", "test-key");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(sim: &Simulator, path: &str, fields: &[Field<'_>]) -> Reply {
    try_send(sim, "POST", &format!("/ideogram/{path}"), &[KEY, FORM], form(fields)).await.unwrap()
}

async fn post_json(sim: &Simulator, path: &str, body: Value) -> Reply {
    send(sim, "POST", &format!("/ideogram/{path}"), &[KEY, JSON], &body).await
}

async fn ask(sim: &Simulator, id: &Value) -> Reply {
    let path = format!("/ideogram/v2/generations/{}", id.as_str().unwrap());
    send(sim, "GET", &path, &[KEY], &Value::Null).await
}

async fn fetched(sim: &Simulator, url: &Value) -> (u32, u32) {
    let reply = send(sim, "GET", url.as_str().unwrap(), &[], &Value::Null).await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"image/png".parse().unwrap()));
    size(&reply.bytes)
}

#[tokio::test]
async fn pictures_come_as_links_of_the_size_asked_for() {
    let sim = start(json!({})).await;
    let fields = [
        Text("prompt", "a cat"),
        Text("aspect_ratio", "16x9"),
        Text("rendering_speed", "TURBO"),
        Text("seed", "7"),
        Text("num_images", "2"),
    ];
    let reply = post(&sim, "v1/ideogram-v3/generate", &fields).await;
    let body = reply.json();
    assert_eq!((reply.status, body["data"].as_array().unwrap().len()), (200, 2));
    let item = &body["data"][1];
    assert_eq!((&item["seed"], &item["resolution"]), (&json!(8), &json!("1312x736")));
    assert_eq!((&item["is_image_safe"], &item["style_type"]), (&json!(true), &json!("GENERAL")));
    assert!(body["created"].as_str().unwrap().ends_with('Z'));
    let url = item["url"].as_str().unwrap();
    assert!(url.starts_with(&sim.url()) && url.contains("/ideogram/api/images/ephemeral/"), "{url}");
    assert_eq!(fetched(&sim, &item["url"]).await, (1312, 736));
    let body =
        post_json(&sim, "v1/ideogram-v3/generate", json!({"prompt": "a", "resolution": "832x1248"})).await;
    assert_eq!(body.json()["data"][0]["resolution"], "832x1248");
    let entries = sim.entries();
    assert_eq!((&entries[0]["billed"], &entries[0]["model"]), (&json!("0.06"), &json!("ideogram-v3")));
    assert_eq!(entries[1]["phase"], "picture");
    assert_eq!(entries[2]["billed"], "0.06");
}

#[tokio::test]
async fn version_4_draws_small_and_large() {
    let sim = start(json!({})).await;
    for resolution in ["1024x1024", "1280x720", "720x1280", "1152x864", "1440x720", "3072x1024", "2560x1440"]
    {
        let body = json!({"prompt": "a", "resolution": resolution, "async": true});
        let reply = post_json(&sim, "v2/image/generate/ideogram-4", body).await;
        assert_eq!(reply.status, 200, "{resolution}");
        let done = ask(&sim, &reply.json()["generation_id"]).await.json();
        assert_eq!(done["data"][0]["resolution"], resolution);
    }
}

#[tokio::test]
async fn a_mask_marks_its_black_pixels() {
    let sim = start(json!({})).await;
    for (path, price) in [
        ("v1/ideogram-v3/edit", "0.06"),
        ("v2/image/inpaint/ideogram-3", "0.06"),
        ("v2/image/precise-edit/ideogram-4-5", "0.06"),
    ] {
        let fields = [Text("prompt", "a cat"), File("image", png(96, 64)), File("mask", mask(96, 64, 3, 0))];
        let reply = post(&sim, path, &fields).await;
        assert_eq!(reply.json()["data"][0]["resolution"], "96x64", "{path} {:?}", reply.bytes);
        let entry = sim.entries().pop().unwrap();
        assert_eq!((&entry["inputs"][0]["name"], &entry["billed"]), (&json!("image"), &json!(price)));
        assert_eq!(entry["inputs"][1]["marks"]["edited"], 3 * 64);
        let fields = [Text("prompt", "a cat"), File("image", png(96, 64)), File("mask", mask(64, 64, 3, 0))];
        let reply = post(&sim, path, &fields).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (400, &json!("mask must have the same size as the image"))
        );
    }
}

#[tokio::test]
async fn pictures_can_be_remixed_reframed_and_upscaled() {
    let sim = start(json!({})).await;
    let image = |name| File(name, png(128, 128));
    for (path, fields, resolution, price) in [
        (
            "v1/ideogram-v3/remix",
            vec![
                Text("prompt", "a"),
                image("image"),
                Text("image_weight", "10"),
                Text("rendering_speed", "FLASH"),
            ],
            "1024x1024",
            "0.03",
        ),
        (
            "v1/ideogram-v3/reframe",
            vec![image("image"), Text("resolution", "1536x512"), Text("rendering_speed", "QUALITY")],
            "1536x512",
            "0.09",
        ),
        ("v2/image/remix/ideogram-4-5", vec![Text("prompt", "a"), image("image")], "128x128", "0.06"),
        (
            "v1/ideogram-v3/generate",
            vec![Text("prompt", "a"), image("character_reference_images"), Text("aspect_ratio", "1x3")],
            "512x1536",
            "0.15",
        ),
    ] {
        let reply = post(&sim, path, &fields).await;
        assert_eq!(reply.json()["data"][0]["resolution"], resolution, "{path} {:?}", reply.bytes);
        let entry = sim.entries().pop().unwrap();
        assert_eq!((&entry["billed"], &entry["inputs"][0]["width"]), (&json!(price), &json!(128)), "{path}");
    }
    let fields =
        [image("image_file"), Text("image_request", r#"{"prompt": "a cat", "detail": 90, "seed": 3}"#)];
    let item = post(&sim, "upscale", &fields).await.json()["data"][0].clone();
    assert_eq!((&item["resolution"], &item["upscaled_resolution"]), (&json!("128x128"), &json!("256x256")));
    assert_eq!(fetched(&sim, &item["url"]).await, (256, 256));
    assert_eq!(sim.entries()[4]["prompt"], "a cat");
}

#[tokio::test]
async fn version_2_answers_at_once_or_can_be_polled() {
    let sim = start(json!({"render_seconds_by": {"ideogram/ideogram-4": 3600}})).await;
    let body = json!({"prompt": "a cat", "quality": "low", "size": "1024x1024", "seed": 7});
    let now = post_json(&sim, "v2/image/generate/ideogram-4-5", body.clone()).await.json();
    assert_eq!((&now["generation_kind"], &now["seed"]), (&json!("sampling"), &json!(7)));
    assert_eq!(fetched(&sim, &now["data"][0]["url"]).await, (1024, 1024));
    let mut later = body;
    later["async"] = true.into();
    let accepted = post_json(&sim, "v2/image/generate/ideogram-4-5", later).await.json();
    assert_eq!(accepted.as_object().unwrap().len(), 1);
    let done = ask(&sim, &accepted["generation_id"]).await.json();
    assert_eq!(
        (&done["status"], &done["data"][0]["object_type"]),
        (&json!("completed"), &json!("image.generation"))
    );
    assert_eq!(fetched(&sim, &done["data"][0]["url"]).await, (1024, 1024));
    let slow = json!({"prompt": "a cat", "webhook_url": "https://example.com/hook"});
    let slow = post_json(&sim, "v2/image/generate/ideogram-4", slow).await.json();
    let pending = ask(&sim, &slow["generation_id"]).await.json();
    assert_eq!((&pending["status"], &pending["data"]), (&json!("pending"), &Value::Null));
    assert_eq!(ask(&sim, &json!("nobody")).await.status, 404);
    let totals = sim.totals().all;
    assert_eq!((totals.billed.to_string(), totals.polls, totals.pictures), ("0.12".into(), 3, 2));
}

#[tokio::test]
async fn a_dry_run_tells_the_price_and_costs_nothing() {
    let sim = start(json!({})).await;
    let body = json!({"prompt": "a cat", "num_images": 3});
    let quote = post_json(&sim, "v2/image/generate/ideogram-4-5?dry_run=true", body).await.json();
    assert_eq!((&quote["object"], &quote["usd_micros"]), (&json!("price_quote"), &json!(300_000)));
    let totals = sim.totals().all;
    assert_eq!((totals.submits, totals.billed_calls), (0, 0));
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let (v3, v45) = ("v1/ideogram-v3/generate", "v2/image/generate/ideogram-4-5");
    for (path, body) in [
        (v3, json!({})),
        (v3, json!({"prompt": " "})),
        (v3, json!({"prompt": "x".repeat(10_001)})),
        (v3, json!({"prompt": "a", "seed": "7"})),
        (v3, json!({"prompt": "a", "seed": 2_147_483_648_u64})),
        (v3, json!({"prompt": "a", "num_images": 9})),
        (v3, json!({"prompt": "a", "aspect_ratio": "16:9"})),
        (v3, json!({"prompt": "a", "resolution": "1000x1000"})),
        (v3, json!({"prompt": "a", "resolution": "1024x1024", "aspect_ratio": "1x1"})),
        (v3, json!({"prompt": "a", "rendering_speed": "turbo"})),
        (v3, json!({"prompt": "a", "style_type": "ANIME"})),
        (v3, json!({"prompt": "a", "style_codes": ["AAFF5733"], "style_type": "AUTO"})),
        (v45, json!({"prompt": "a", "quality": "ultra"})),
        (v45, json!({"prompt": "a", "quality": "very_low"})),
        (v45, json!({"prompt": "a", "size": "source"})),
        (v45, json!({"prompt": "a", "size": "4096x4096"})),
        (v45, json!({"prompt": "a", "webhook_url": "http://example.com"})),
        ("v2/image/generate/ideogram-4", json!({"prompt": "a", "resolution": "1000x1000"})),
        ("v2/image/generate/ideogram-3-character", json!({"prompt": "a"})),
        ("v2/image/remix/ideogram-4", json!({"prompt": "a"})),
        ("v1/ideogram-v3/edit", json!({"prompt": "a"})),
    ] {
        let reply = post_json(&sim, path, body.clone()).await;
        assert_eq!(reply.status, 400, "{path} {body}");
        assert!(reply.json()["error"].is_string());
    }
    let prompt = || Text("prompt", "a");
    for (path, fields, error) in [
        ("v1/ideogram-v3/remix", vec![prompt()], "image is required"),
        ("v1/ideogram-v3/remix", vec![prompt(), File("image", vec![1])], "image must be a JPEG"),
        ("v1/ideogram-v3/edit", vec![prompt(), File("image", png(64, 64))], "mask is required"),
        ("v1/ideogram-v3/reframe", vec![File("image", png(64, 64))], "resolution is required"),
        (
            "v1/ideogram-v3/reframe",
            vec![File("image", png(64, 9)), Text("resolution", "1536x512")],
            "image must be square",
        ),
        ("upscale", vec![File("image_file", png(64, 64))], "image_request is required"),
        (
            "upscale",
            vec![File("image_file", png(64, 64)), Text("image_request", "{")],
            "image_request is not",
        ),
    ] {
        let reply = post(&sim, path, &fields).await;
        assert_eq!(reply.status, 400, "{path} {error}");
        assert!(reply.json()["error"].as_str().unwrap().starts_with(error), "{path} {:?}", reply.bytes);
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (28, 0, 0));
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let generate = "/ideogram/v2/image/generate/ideogram-3";
    for (method, path, headers, status) in [
        ("POST", generate, vec![JSON], 401),
        ("POST", generate, vec![JSON, ("authorization", "Bearer good")], 401),
        ("POST", generate, vec![JSON, ("api-key", "bad")], 401),
        ("POST", "/ideogram/upscale", vec![JSON, ("api-key", "bad")], 403),
        ("GET", "/ideogram/v2/generations/x", vec![], 401),
        ("GET", generate, vec![("api-key", "good")], 405),
        ("POST", "/ideogram/v2/image/generate/ideogram-9", vec![JSON, ("api-key", "good")], 404),
        ("POST", generate, vec![("content-type", "text/plain"), ("api-key", "good")], 400),
        ("POST", generate, vec![JSON, ("api-key", "good")], 200),
    ] {
        let reply = send(&sim, method, path, &headers, &json!({"prompt": "a"})).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
    }
}

#[tokio::test]
async fn a_prompt_refused_is_free_and_a_picture_withheld_is_not() {
    let sim = start(json!({})).await;
    let body = json!({"prompt": "bare skin", "num_images": 2});
    let item = post_json(&sim, "v1/ideogram-v3/generate", body.clone()).await.json()["data"][1].clone();
    assert_eq!((&item["url"], &item["is_image_safe"]), (&Value::Null, &json!(false)));
    assert_eq!(sim.totals().all.billed.to_string(), "0.12");
    let later = json!({"prompt": "nude", "async": true});
    let id = post_json(&sim, "v2/image/generate/ideogram-3", later).await.json()["generation_id"].clone();
    assert_eq!(ask(&sim, &id).await.json()["data"][0]["is_image_safe"], false);
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let reply = post_json(&sim, "v1/ideogram-v3/generate", body).await;
    assert_eq!(reply.status, 422);
    assert!(reply.json()["error"].as_str().unwrap().contains("safety"));
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed.to_string()), (3, 2, "0.18".into()));
}

#[tokio::test]
async fn links_are_signed_and_expire() {
    let sim = start(json!({})).await;
    let url = async || {
        let body = post_json(&sim, "v2/image/generate/ideogram-3", json!({"prompt": "a"})).await.json();
        body["data"][0]["url"].as_str().unwrap().to_owned()
    };
    let good = url().await;
    for (link, status) in [
        (good.clone(), 200),
        (good.replace("exp=", "exp=9"), 403),
        (good.replace("-0.png", "-1.png"), 403),
        (good.split('?').next().unwrap().to_owned(), 403),
    ] {
        assert_eq!(send(&sim, "GET", &link, &[], &Value::Null).await.status, status, "{link}");
    }
    admin(&sim, "PUT", "config", json!({"picture_seconds": 0})).await;
    assert_eq!(send(&sim, "GET", &url().await, &[], &Value::Null).await.status, 403);
}

#[tokio::test]
async fn scripted_faults_speak_the_providers_language() {
    let sim = start(json!({})).await;
    for (kind, status, body) in [
        ("task_error", 500, json!({"error": "Internal server error"})),
        ("task_not_found", 404, json!({"error": "Not found"})),
        ("rate_limited", 429, json!({"error": "Too many requests in flight"})),
    ] {
        sim.clear_rules();
        fault(&sim, json!(kind));
        let reply = post_json(&sim, "v1/ideogram-v3/generate", json!({"prompt": "a"})).await;
        assert_eq!((reply.status, reply.json()), (status, body), "{kind}");
    }
    for (kind, key, value, billed) in [
        ("task_error", "status", json!("failed"), Value::Null),
        ("task_not_found", "error", json!("Generation not found"), Value::Null),
        ("never_ready", "status", json!("pending"), Value::Null),
        ("state_key", "state", json!("completed"), json!("0.06")),
        ("empty", "data", json!([]), json!("0.06")),
    ] {
        sim.clear_rules();
        fault(&sim, json!(kind));
        let body = json!({"prompt": "a", "async": true});
        let id = post_json(&sim, "v2/image/generate/ideogram-3", body).await.json()["generation_id"].clone();
        assert_eq!(sim.entries().pop().unwrap()["billed"], billed, "{kind}");
        sim.clear_rules();
        assert_eq!(ask(&sim, &id).await.json()[key], value, "{kind}");
    }
}

#[tokio::test]
async fn an_empty_account_and_too_many_at_once_are_turned_away() {
    let sim = start(json!({"balance": "0.05"})).await;
    for status in [200, 402] {
        let reply = post_json(&sim, "v2/image/generate/ideogram-3", json!({"prompt": "a"})).await;
        assert_eq!(reply.status, status);
        assert!(status == 200 || reply.json()["reject_reason"] == "insufficient_funds");
    }
    let sim = start(json!({"active_task_limit": 1, "render_seconds": 3600})).await;
    for status in [200, 429] {
        let body = json!({"prompt": "a", "async": true});
        assert_eq!(post_json(&sim, "v2/image/generate/ideogram-3", body).await.status, status);
    }
}

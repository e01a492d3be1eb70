use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::{data_uri, mask, png};

mod wrong;

const FAL: &[(&str, &str)] = &[("authorization", "Key id:secret"), ("content-type", "application/json")];

async fn submit(sim: &Simulator, model: &str, body: Value) -> Reply {
    send(sim, "POST", &format!("/fal/{model}"), FAL, &body).await
}

async fn ask(sim: &Simulator, url: &Value) -> Reply {
    send(sim, "GET", url.as_str().unwrap(), FAL, &Value::Null).await
}

async fn cancel(sim: &Simulator, url: &Value) -> Reply {
    send(sim, "PUT", url.as_str().unwrap(), FAL, &Value::Null).await
}

/// Submits, waits, and gives the result.
async fn run(sim: &Simulator, model: &str, body: Value) -> Reply {
    let reply = submit(sim, model, body).await;
    assert_eq!(reply.status, 200, "{model}: {:?}", reply.bytes);
    let submitted = reply.json();
    loop {
        let status = ask(sim, &submitted["status_url"]).await;
        if status.status == 200 {
            assert_eq!(status.json()["status"], "COMPLETED");
            return ask(sim, &submitted["response_url"]).await;
        }
        assert_eq!(status.status, 202);
    }
}

fn picture_uri(width: u32, height: u32) -> String {
    data_uri(&png(width, height))
}

fn mask_uri(width: u32, height: u32, columns: u32, shade: u8) -> String {
    data_uri(&mask(width, height, columns, shade))
}

async fn fetched(sim: &Simulator, image: &Value) -> RgbImage {
    let reply = get(sim, image["url"].as_str().unwrap()).await;
    assert_eq!(reply.headers["content-type"], image["content_type"].as_str().unwrap());
    let picture = image::load_from_memory(&reply.bytes).unwrap().into_rgb8();
    assert_eq!((&image["width"], &image["height"]), (&json!(picture.width()), &json!(picture.height())));
    picture
}

fn billed(sim: &Simulator) -> String {
    sim.totals().all.billed.to_string()
}

#[tokio::test]
async fn a_picture_is_queued_drawn_and_fetched() {
    let sim = start(json!({})).await;
    let reply = submit(
        &sim,
        "fal-ai/flux/dev",
        json!({"prompt": "a cat", "image_size": "square_hd", "seed": 7, "image": 1}),
    )
    .await;
    let id = reply.headers["x-fal-request-id"].to_str().unwrap().to_owned();
    let submitted = reply.json();
    let base = format!("{}/fal/fal-ai/flux/requests/{id}", sim.url());
    assert_eq!((&submitted["status"], &submitted["request_id"]), (&json!("IN_QUEUE"), &json!(id)));
    assert_eq!(submitted["response_url"], base);
    assert_eq!(submitted["status_url"], format!("{base}/status"));
    assert_eq!(submitted["cancel_url"], format!("{base}/cancel"));
    let status = ask(&sim, &submitted["status_url"]).await;
    assert_eq!((status.status, &status.json()["status"]), (200, &json!("COMPLETED")));
    assert!(status.json()["metrics"]["inference_time"].is_number());
    let result = ask(&sim, &submitted["response_url"]).await.json();
    assert_eq!((&result["seed"], &result["prompt"]), (&json!(7), &json!("a cat")));
    assert_eq!(result["has_nsfw_concepts"], json!([false]));
    let picture = fetched(&sim, &result["images"][0]).await;
    assert_eq!(
        (picture.dimensions(), &result["images"][0]["content_type"]),
        ((1024, 1024), &json!("image/jpeg"))
    );
    let entry = &sim.entries()[0];
    assert_eq!(
        (&entry["phase"], &entry["model"], &entry["seed"], &entry["remote_id"], &entry["billed"]),
        (&json!("submit"), &json!("fal-ai/flux/dev"), &json!(7), &json!(id), &json!("0.025"))
    );
    assert_eq!(sim.entries()[1]["phase"], "poll");
}

#[tokio::test]
async fn every_operation_draws_what_it_should() {
    let sim = start(json!({})).await;
    let (image, mask) = (picture_uri(320, 192), mask_uri(320, 192, 100, 255));
    for (model, body, size, price) in [
        ("fal-ai/flux/schnell", json!({"prompt": "a"}), (1024, 768), "0.003"),
        (
            "fal-ai/flux/schnell",
            json!({"prompt": "a", "image_size": {"width": 320}, "num_images": 2}),
            (320, 512),
            "0.006",
        ),
        (
            "fal-ai/flux-2-pro",
            json!({"prompt": "a", "image_size": {"width": 1440, "height": 1440}}),
            (1440, 1440),
            "0.045",
        ),
        ("fal-ai/flux-pro/v1.1-ultra", json!({"prompt": "a", "image_url": image}), (2736, 1536), "0.06"),
        (
            "fal-ai/flux/dev/image-to-image",
            json!({"prompt": "a", "image_url": image, "strength": 0.5}),
            (320, 192),
            "0.03",
        ),
        ("fal-ai/flux-2-pro/edit", json!({"prompt": "a", "image_urls": [image, image]}), (320, 192), "0.06"),
        (
            "fal-ai/flux-pro/v1/fill",
            json!({"prompt": "a", "image_url": image, "mask_url": mask}),
            (320, 192),
            "0.05",
        ),
        (
            "fal-ai/flux-2-pro/outpaint",
            json!({"image_url": image, "expand_left": 64, "expand_top": 32}),
            (384, 224),
            "0.045",
        ),
        ("fal-ai/esrgan", json!({"image_url": image, "scale": 4}), (1280, 768), "0.0011"),
        ("fal-ai/aura-sr", json!({"image_url": image}), (1280, 768), "0.0011"),
        ("fal-ai/clarity-upscaler", json!({"image_url": image, "upscale_factor": 2}), (640, 384), "0.03"),
        ("fal-ai/bria/expand", json!({"image_url": image, "canvas_size": [500, 400]}), (500, 400), "0.04"),
        ("fal-ai/flux/dev/redux", json!({"image_url": image}), (1024, 768), "0.025"),
        ("fal-ai/flux-pro/kontext", json!({"prompt": "a", "image_url": image}), (320, 192), "0.04"),
        ("fal-ai/flux-pulid", json!({"prompt": "a", "reference_image_url": image}), (1024, 768), "0.033"),
        (
            "fal-ai/pulid",
            json!({"prompt": "a", "reference_images": [{"image_url": image}]}),
            (1024, 1024),
            "0.0011",
        ),
        (
            "fal-ai/image-apps-v2/style-transfer",
            json!({"image_url": image, "style_reference_image_url": image}),
            (320, 192),
            "0.04",
        ),
        (
            "fal-ai/ideogram/character",
            json!({"prompt": "a", "reference_image_urls": [image], "rendering_speed": "TURBO"}),
            (1024, 1024),
            "0.1",
        ),
        (
            "fal-ai/nano-banana-pro",
            json!({"prompt": "a cat", "resolution": "4K", "aspect_ratio": "1:1", "output_format": "jpeg"}),
            (4096, 4096),
            "0.3",
        ),
    ] {
        admin(&sim, "POST", "reset", Value::Null).await;
        let result = run(&sim, model, body).await.json();
        let single = result.get("image").is_some();
        assert_eq!(
            single,
            ["esrgan", "aura", "clarity", "bria"].iter().any(|name| model.contains(name)),
            "{model}"
        );
        let image = if single { &result["image"] } else { &result["images"][0] };
        assert_eq!((&image["width"], &image["height"]), (&json!(size.0), &json!(size.1)), "{model}");
        assert_eq!(billed(&sim), price, "{model}");
        if size.0 < 1000 {
            fetched(&sim, image).await;
        }
    }
}

#[tokio::test]
async fn several_pictures_have_seeds_of_their_own_and_come_inline_if_asked() {
    let sim = start(json!({})).await;
    let body =
        json!({"prompt": "a", "seed": 5, "num_images": 2, "image_size": "square", "output_format": "png"});
    let result = run(&sim, "fal-ai/flux/dev", body.clone()).await.json();
    let (first, second) =
        (fetched(&sim, &result["images"][0]).await, fetched(&sim, &result["images"][1]).await);
    assert_ne!(first, second);
    let next =
        json!({"prompt": "a", "seed": 6, "image_size": "square", "output_format": "png", "sync_mode": true});
    let result = run(&sim, "fal-ai/flux/dev", next).await.json();
    let inline = result["images"][0]["url"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    assert_eq!(image::load_from_memory(&STANDARD.decode(inline).unwrap()).unwrap().into_rgb8(), second);
}

#[tokio::test]
async fn refusals_are_an_error_before_and_a_black_picture_after_drawing() {
    let sim = start(json!({})).await;
    let bare = json!({"prompt": "bare skin", "image_size": "square"});
    let reply = run(&sim, "fal-ai/flux/dev", bare.clone()).await;
    assert_eq!((reply.status, &reply.json()["has_nsfw_concepts"]), (200, &json!([true])));
    let picture = fetched(&sim, &reply.json()["images"][0]).await;
    assert!(picture.pixels().all(|pixel| pixel.0.iter().all(|c| *c < 8)));
    assert_eq!(billed(&sim), "0.025", "a black image is a success");
    // A maker's own filter gives an error, free of charge.
    let reply = run(&sim, "fal-ai/flux-2-pro", bare.clone()).await;
    assert_eq!((reply.status, &reply.json()["detail"][0]["type"]), (422, &json!("content_policy_violation")));
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let submitted = submit(&sim, "fal-ai/flux/dev", bare.clone()).await.json();
    let status = ask(&sim, &submitted["status_url"]).await.json();
    assert_eq!(
        (&status["status"], &status["error_type"]),
        (&json!("COMPLETED"), &json!("content_policy_violation"))
    );
    let reply = ask(&sim, &submitted["response_url"]).await;
    assert_eq!((reply.status, &reply.json()["detail"][0]["loc"]), (422, &json!(["body", "prompt"])));
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed_calls), (3, 3, 1));
    let unchecked = json!({"prompt": "bare skin", "enable_safety_checker": false});
    assert_eq!(run(&sim, "fal-ai/flux/dev", unchecked).await.json()["has_nsfw_concepts"], json!([false]));
}

#[tokio::test]
async fn masks_mark_in_the_models_own_colour() {
    let sim = start(json!({})).await;
    let image = picture_uri(64, 32);
    for (model, marks) in [
        ("fal-ai/flux-pro/v1/fill", 255),
        ("fal-ai/flux-lora/inpainting", 255),
        ("fal-ai/playground-v25/inpainting", 255),
        ("fal-ai/ideogram/v2/edit", 0),
        ("fal-ai/ideogram/v3/edit", 0),
    ] {
        let body = json!({"prompt": "a", "image_url": image, "mask_url": mask_uri(64, 32, 16, marks)});
        assert_eq!(run(&sim, model, body).await.status, 200, "{model}");
    }
    let entries = sim.entries();
    let inputs: Vec<&Value> =
        entries.iter().filter(|e| e["phase"] == "submit").map(|e| &e["inputs"]).collect();
    for both in inputs {
        assert_eq!((&both[0]["name"], &both[0]["width"]), (&json!("image_url"), &json!(64)));
        assert_eq!((&both[1]["name"], &both[1]["marks"]["edited"]), (&json!("mask_url"), &json!(16 * 32)));
    }
}

#[tokio::test]
async fn a_request_can_be_called_off_until_it_is_over() {
    let sim = start(json!({"render_seconds": 3600})).await;
    let submitted = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    let status = ask(&sim, &submitted["status_url"]).await;
    assert_eq!((status.status, &status.json()["status"]), (202, &json!("IN_PROGRESS")));
    assert_eq!(ask(&sim, &submitted["response_url"]).await.status, 400);
    let reply = cancel(&sim, &submitted["cancel_url"]).await;
    assert_eq!((reply.status, reply.json()), (202, json!({"status": "CANCELLATION_REQUESTED"})));
    let status = ask(&sim, &submitted["status_url"]).await;
    assert_eq!((status.status, &status.json()["error_type"]), (200, &json!("client_cancelled")));
    assert_eq!(ask(&sim, &submitted["response_url"]).await.status, 499);
    admin(&sim, "PUT", "config", json!({"render_seconds": 0})).await;
    let done = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    let reply = cancel(&sim, &done["cancel_url"]).await;
    assert_eq!((reply.status, reply.json()), (400, json!({"status": "ALREADY_COMPLETED"})));
    assert_eq!(sim.entries().iter().filter(|e| e["phase"] == "cancel").count(), 2);
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_in_the_queue() {
    let sim = start(json!({"active_task_limit": 2, "render_seconds": 3600})).await;
    let mut states = Vec::new();
    for _ in 0..4 {
        let submitted = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
        states.push(ask(&sim, &submitted["status_url"]).await.json()["status"].clone());
    }
    assert_eq!(states, ["IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE", "IN_QUEUE"]);
    assert_eq!(sim.totals().all.peak_in_flight, 2);
    // A client that limits the wait is told when it is over.
    let headers = [FAL, &[("x-fal-request-timeout", "0.001")]].concat();
    let reply = send(&sim, "POST", "/fal/fal-ai/flux/dev", &headers, &json!({"prompt": "a"})).await.json();
    let reply = loop {
        let reply = ask(&sim, &reply["response_url"]).await;
        if reply.status != 400 {
            break reply;
        }
    };
    assert_eq!((reply.status, &reply.json()["error_type"]), (504, &json!("request_timeout")));
    assert_eq!(sim.totals().all.billed_calls, 4);
}

#[tokio::test]
async fn picture_urls_are_signed_and_expire() {
    let sim = start(json!({})).await;
    let result = run(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    let url = result["images"][0]["url"].as_str().unwrap();
    assert_eq!(send(&sim, "GET", url, &[], &Value::Null).await.status, 200, "no key is needed");
    assert_eq!(get(&sim, &url.replace("se=", "se=9")).await.status, 403);
    admin(&sim, "PUT", "config", json!({"picture_seconds": 0})).await;
    let result = run(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    assert_eq!(get(&sim, result["images"][0]["url"].as_str().unwrap()).await.status, 403);
}

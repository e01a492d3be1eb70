use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::{data_uri, png, size_in_base64 as size};

const BANANA: &str = "google/gemini-nano-banana-2.1";
const FLUX: &str = "black-forest-labs/flux.2-pro";
const SEED: &str = "bytedance-seed/seedream-4.5";

async fn images(sim: &Simulator, body: Value) -> Reply {
    send(sim, "POST", "/openrouter/api/v1/images", OPENAI, &body).await
}

async fn chat(sim: &Simulator, body: Value) -> Reply {
    send(sim, "POST", "/openrouter/api/v1/chat/completions", OPENAI, &body).await
}

fn said(model: &str, prompt: &str, modalities: &[&str]) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}], "modalities": modalities})
}

#[tokio::test]
async fn pictures_come_with_what_they_cost() {
    let sim = start(json!({})).await;
    let body = json!({"model": BANANA, "prompt": "a cat, sitting, in a hat, at home.", "aspect_ratio": "16:9", "seed": 7});
    let reply = images(&sim, body).await;
    assert_eq!(reply.status, 200, "{:?}", reply.bytes);
    let json = reply.json();
    assert_eq!(
        (&json["data"][0]["media_type"], size(&json["data"][0]["b64_json"])),
        (&json!("image/png"), (1376, 768))
    );
    let usage = &json["usage"];
    // 9 x 1.5 + 1120 x 30 dollars for a million.
    assert_eq!((&usage["cost"], &usage["completion_tokens"]), (&json!(0.0336135), &json!(1120)));
    assert_eq!(sim.totals().all.billed.to_string(), "0.0336135");
    let body =
        json!({"model": SEED, "prompt": "a cat", "n": 3, "size": "2048x1024", "output_format": "webp"});
    let json = images(&sim, body).await.json();
    assert_eq!((json["data"].as_array().unwrap().len(), &json["usage"]["cost"]), (3, &json!(0.12)));
    assert_ne!(json["data"][0], json["data"][1]);
    assert_eq!(
        (&json["data"][2]["media_type"], size(&json["data"][2]["b64_json"])),
        (&json!("image/webp"), (2048, 1024))
    );
    let entry = &sim.entries()[0];
    assert_eq!((&entry["model"], &entry["seed"]), (&json!(BANANA), &json!(7)));
    admin(&sim, "PUT", "config", json!({"cost_in_response": false})).await;
    let json = images(&sim, json!({"model": SEED, "prompt": "a cat"})).await.json();
    assert_eq!(json["usage"].get("cost"), None);
}

#[tokio::test]
async fn sizes_are_what_the_model_can_draw() {
    let sim = start(json!({})).await;
    for (change, expected) in [
        (json!({"model": BANANA, "resolution": "512"}), (512, 512)),
        (json!({"model": "google/gemini-3-pro-image", "resolution": "512"}), (1024, 1024)),
        (json!({"model": BANANA, "size": "2K", "aspect_ratio": "3:2"}), (2528, 1696)),
        (json!({"model": "google/gemini-3-pro-image", "aspect_ratio": "1:8"}), (768, 1376)),
        (json!({"model": FLUX, "resolution": "4K"}), (2048, 2048)),
        (json!({"model": FLUX, "size": "1000x600"}), (1000, 600)),
        (json!({"model": BANANA, "aspect_ratio": "auto"}), (1024, 1024)),
    ] {
        let mut body = json!({"prompt": "a cat"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let json = images(&sim, body).await.json();
        assert_eq!(size(&json["data"][0]["b64_json"]), expected, "{change}");
    }
}

#[tokio::test]
async fn references_arrive_and_are_charged_by_the_megapixel() {
    let sim = start(json!({})).await;
    let shown = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let references = json!([shown(&data_uri(&png(1200, 1000))), shown("https://example.com/cat.png")]);
    let reply = images(&sim, json!({"model": FLUX, "prompt": "a cat", "input_references": references})).await;
    // 1 begun megapixel out; 2 and 1 in.
    assert_eq!(reply.json()["usage"]["cost"], json!(0.075));
    let inputs = &sim.entries()[0]["inputs"];
    assert_eq!(
        (inputs.as_array().unwrap().len(), &inputs[0]["name"], &inputs[0]["width"]),
        (1, &json!("input_references"), &json!(1200))
    );
    let content = json!([{"type": "text", "text": "a hat"}, shown(&data_uri(&png(300, 200)))]);
    let body = json!({"model": BANANA, "messages": [{"role": "user", "content": content}], "modalities": ["image", "text"]});
    let json = chat(&sim, body).await.json();
    assert_eq!(size(&json["choices"][0]["message"]["images"][0]["image_url"]["url"]), (1264, 848));
    let entry = &sim.entries()[1];
    assert_eq!((&entry["prompt"], &entry["inputs"][0]["height"]), (&json!("a hat"), &json!(200)));
}

#[tokio::test]
async fn a_chat_answers_with_data_urls() {
    let sim = start(json!({})).await;
    let mut body = said(BANANA, "a cat", &["image", "text"]);
    body["image_config"] = json!({"aspect_ratio": "9:16", "image_size": "2K"});
    let json = chat(&sim, body).await.json();
    let choice = &json["choices"][0];
    let url = &choice["message"]["images"][0]["image_url"]["url"];
    assert!(url.as_str().unwrap().starts_with("data:image/png;base64,"));
    assert_eq!((size(url), &choice["finish_reason"]), ((1536, 2752), &json!("stop")));
    assert_eq!(json["usage"]["cost"], json!(0.050463));
    assert_eq!(sim.entries()[0]["remote_id"], json["id"]);
    let json = chat(&sim, said(FLUX, "a cat", &["image"])).await.json();
    assert_eq!(json["choices"][0]["message"]["content"], "");
    let json = chat(&sim, said(BANANA, "a cat", &[])).await.json();
    assert_eq!(json["choices"][0]["message"].get("images"), None, "nobody asked for an image");
    let mut body = said(BANANA, "a cat", &["image"]);
    body["stream"] = json!(true);
    let text = String::from_utf8(chat(&sim, body).await.bytes.to_vec()).unwrap();
    let event = text.strip_suffix("\n\ndata: [DONE]\n\n").unwrap().strip_prefix("data: ").unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert!(event["choices"][0]["delta"]["images"][0]["image_url"]["url"].is_string());
}

#[tokio::test]
async fn refusals_are_free_and_say_why() {
    let sim = start(json!({})).await;
    let body = json!({"model": BANANA, "prompt": "an anatomy study"});
    let reply = images(&sim, body.clone()).await;
    let metadata = reply.json()["error"]["metadata"].clone();
    assert_eq!((reply.status, &metadata["reasons"]), (403, &json!(["sexual"])));
    let json = chat(&sim, said(BANANA, "an anatomy study", &["image"])).await.json();
    let choice = &json["choices"][0];
    assert_eq!((&choice["finish_reason"], &json["usage"]["cost"]), (&json!("content_filter"), &json!(0)));
    assert_eq!(choice["message"].get("images"), None);
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    for reply in [images(&sim, body).await, chat(&sim, said(BANANA, "nude", &["image"])).await] {
        let metadata = reply.json()["error"]["metadata"].clone();
        assert_eq!((reply.status, &metadata["provider_name"]), (403, &json!("Google AI Studio")));
        assert!(metadata["flagged_input"].is_string());
    }
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.billed_calls), (4, 0));
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let shown = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
    let cases = [
        (json!({"model": null}), 400, "model: "),
        (json!({"model": "google/imagen-4"}), 404, "No endpoints found for google/imagen-4."),
        (json!({"model": "google/gemini-2.5-flash-image"}), 404, "No endpoints found"),
        (json!({"prompt": null}), 400, "prompt: "),
        (json!({"prompt": ""}), 400, ">=1 characters"),
        (json!({"prompt": ["a"]}), 400, "prompt: "),
        (json!({"prompt": "x".repeat(262_145)}), 400, "maximum context length"),
        (json!({"n": 0}), 400, "n: Too small"),
        (json!({"n": 11}), 400, "n: Too big"),
        (json!({"n": 2}), 400, "n must be 1"),
        (json!({"n": "1"}), 400, "n: Invalid input"),
        (json!({"aspect_ratio": "7:5"}), 400, "aspect_ratio: Invalid option"),
        (json!({"resolution": "8K"}), 400, "resolution: Invalid option"),
        (json!({"size": "big"}), 400, "size: Invalid input"),
        (json!({"size": "2K", "resolution": "1K"}), 400, "size: conflicts"),
        (json!({"size": "1024x1024", "aspect_ratio": "16:9"}), 400, "size: conflicts"),
        (json!({"quality": "best"}), 400, "quality: Invalid option"),
        (json!({"output_format": "gif"}), 400, "output_format: Invalid option"),
        (json!({"output_format": "svg"}), 400, "svg is not supported"),
        (json!({"output_compression": 101}), 400, "output_compression: Too big"),
        (json!({"seed": "7"}), 400, "seed: Invalid input"),
        (json!({"input_references": shown("aGVsbG8=")}), 400, "Invalid URL"),
        (json!({"input_references": shown("data:image/png;base64,aGVsbG8=")}), 400, "Invalid image data"),
        (json!({"input_references": [data_uri(&png(8, 8))]}), 400, "input_references: "),
        (json!({"input_references": vec![shown("https://a.b/c")[0].clone(); 15]}), 400, "at most 14"),
        (json!({"provider": {"only": ["seed"]}}), 404, "No allowed providers"),
        (json!({"provider": {"ignore": ["google-ai-studio"]}}), 404, "ignored"),
    ];
    let count = cases.len() as u64;
    for (change, status, words) in cases {
        let mut body = json!({"model": BANANA, "prompt": "a cat"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reply = images(&sim, body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (status, &json!(status)), "{words}");
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
    for (body, status) in [
        (json!({"model": BANANA}), 400),
        (json!({"model": BANANA, "messages": [{"role": "cat", "content": "a"}]}), 400),
        (json!({"model": BANANA, "messages": [{"role": "user", "content": [{"type": "x"}]}]}), 400),
        (said(BANANA, "a", &["audio"]), 400),
        (said(FLUX, "a", &["image", "text"]), 404),
        (said(FLUX, "a", &[]), 404),
    ] {
        assert_eq!(chat(&sim, body.clone()).await.status, status, "{body}");
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (count + 6, 0, 0));
    // What it does not know it passes over.
    let body = json!({"model": BANANA, "prompt": "a cat", "negative_prompt": "dogs", "mask": "x"});
    assert_eq!(images(&sim, body).await.status, 200);
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let (json, good) = (("content-type", "application/json"), ("authorization", "Bearer good"));
    let path = "/openrouter/api/v1/images";
    for (method, path, headers, status) in [
        ("POST", path, vec![json], 401),
        ("POST", path, vec![json, ("authorization", "Key good")], 401),
        ("POST", path, vec![json, ("authorization", "Bearer bad")], 401),
        ("POST", path, vec![("content-type", "text/plain"), good], 400),
        ("GET", path, vec![good], 405),
        ("POST", "/openrouter/api/v1/images/generations", vec![json, good], 404),
        ("POST", "/openrouter/v1/images", vec![json, good], 404),
        ("GET", "/openrouter/api/v1/credits", vec![good], 403),
        ("POST", path, vec![json, good], 200),
    ] {
        let reply = send(&sim, method, path, &headers, &json!({"model": SEED, "prompt": "a"})).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
    }
}

#[tokio::test]
async fn models_and_their_prices_can_be_looked_up() {
    let sim = start(json!({})).await;
    let list = get_json(&sim, "images/models").await;
    assert_eq!(list["data"][0]["id"], BANANA);
    assert_eq!(list["data"][0]["supported_parameters"]["n"]["max"], 1);
    let endpoints = get_json(&sim, &format!("images/models/{SEED}/endpoints")).await;
    let price = json!({"billable": "output_image", "cost_usd": 0.04, "unit": "image"});
    assert_eq!(endpoints["data"]["endpoints"][0]["pricing"], json!([price]));
}

async fn get_json(sim: &Simulator, path: &str) -> Value {
    send(sim, "GET", &format!("/openrouter/api/v1/{path}"), OPENAI, &Value::Null).await.json()
}

#[tokio::test]
async fn the_key_knows_what_is_left_and_an_empty_account_is_turned_away() {
    let sim = start(json!({"balance": "0.07"})).await;
    for expected in [200, 200, 402] {
        let reply = images(&sim, json!({"model": SEED, "prompt": "a"})).await;
        assert_eq!(reply.status, expected);
    }
    let data = get_json(&sim, "key").await["data"].clone();
    assert_eq!(
        (&data["limit"], &data["usage"], &data["limit_remaining"]),
        (&json!(0.07), &json!(0.08), &json!(0))
    );
    admin(&sim, "PUT", "config", json!({"balance": null, "active_task_limit": 0})).await;
    assert_eq!(get_json(&sim, "key").await["data"]["limit_remaining"], Value::Null);
    let busy = images(&sim, json!({"model": SEED, "prompt": "a"})).await;
    assert_eq!((busy.status, &busy.json()["error"]["metadata"]["provider_name"]), (429, &json!("Seed")));
    assert_eq!(sim.entries()[3]["phase"], "balance");
}

#[tokio::test]
async fn errors_also_come_inside_of_a_200() {
    let sim = start(json!({})).await;
    fault(&sim, json!("task_error"));
    let reply = images(&sim, json!({"model": SEED, "prompt": "a"})).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(502)));
    let reply = chat(&sim, said(BANANA, "a", &["image"])).await;
    assert_eq!((reply.status, &reply.json()["choices"][0]["error"]["code"]), (200, &json!(502)));
    assert_eq!(sim.totals().all.billed_calls, 0);
    admin(&sim, "DELETE", "rules", Value::Null).await;
    fault(&sim, json!("empty"));
    assert_eq!(images(&sim, json!({"model": SEED, "prompt": "a"})).await.json()["data"], json!([]));
    let json = chat(&sim, said(BANANA, "a", &["image", "text"])).await.json();
    assert!(json["choices"][0]["message"]["content"].is_string());
    assert_eq!(json["choices"][0]["message"].get("images"), None);
    assert_eq!(sim.totals().all.billed_calls, 2);
}

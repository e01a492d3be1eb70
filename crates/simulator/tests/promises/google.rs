use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::{base64, png, size_in_base64};

const KEY: &[(&str, &str)] = &[("x-goog-api-key", "test-key"), ("content-type", "application/json")];
const BANANA: &str = "gemini-nano-banana-2.1";

async fn ask(sim: &Simulator, model: &str, body: &Value) -> Reply {
    send(sim, "POST", &format!("/google/v1beta/models/{model}:generateContent"), KEY, body).await
}

fn said(prompt: &str, config: Value) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config})
}

fn size(part: &Value) -> (u32, u32) {
    size_in_base64(&part["inlineData"]["data"])
}

#[tokio::test]
async fn a_picture_comes_among_the_parts_and_is_billed_by_tokens() {
    let sim = start(json!({})).await;
    let config = json!({"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}, "seed": 7});
    let reply = ask(&sim, BANANA, &said("a cat, sitting, in a hat, at home.", config)).await;
    assert_eq!(reply.status, 200);
    let json = reply.json();
    let candidate = &json["candidates"][0];
    assert_eq!(
        (&candidate["finishReason"], &candidate["content"]["role"]),
        (&json!("STOP"), &json!("model"))
    );
    let parts = candidate["content"]["parts"].as_array().unwrap();
    assert!(parts.len() == 2 && parts[0]["text"].is_string());
    assert_eq!((&parts[1]["inlineData"]["mimeType"], size(&parts[1])), (&json!("image/png"), (2752, 1536)));
    let usage = &json["usageMetadata"];
    assert_eq!(
        (&usage["promptTokenCount"], &usage["candidatesTokenCount"], &usage["totalTokenCount"]),
        (&json!(9), &json!(1688), &json!(1697))
    );
    // 9 x 1.5 + 8 x 7.5 + 1680 x 30 dollars for a million.
    assert_eq!(sim.totals().all.billed.to_string(), "0.0504735");
    let entry = &sim.entries()[0];
    assert_eq!(
        (&entry["phase"], &entry["model"], &entry["seed"], &entry["prompt"]),
        (&json!("submit"), &json!(BANANA), &json!(7), &json!("a cat, sitting, in a hat, at home."))
    );
}

#[tokio::test]
async fn pictures_alone_drafts_and_words_alone_come_as_asked() {
    let sim = start(json!({})).await;
    let parts = async |config| {
        ask(&sim, BANANA, &said("a cat", config)).await.json()["candidates"][0]["content"]["parts"].clone()
    };
    let alone = parts(json!({"responseModalities": ["Image"]})).await;
    assert_eq!((alone.as_array().unwrap().len(), size(&alone[0])), (1, (1024, 1024)));
    let both =
        parts(json!({"responseModalities": ["IMAGE"], "thinkingConfig": {"includeThoughts": true}})).await;
    assert_eq!((&both[0]["thought"], both[1].get("thought")), (&json!(true), None));
    assert_ne!(both[0]["inlineData"], both[1]["inlineData"]);
    let words = parts(json!({"responseModalities": ["TEXT"]})).await;
    assert_eq!((words.as_array().unwrap().len(), words[0].get("inlineData")), (1, None));
    // No settings at all, and a part that is not in a list.
    let reply = ask(&sim, BANANA, &json!({"contents": {"parts": {"text": "a cat"}}})).await;
    assert_eq!(reply.status, 200, "{:?}", reply.bytes);
}

#[tokio::test]
async fn pictures_sent_along_arrive_and_shape_the_answer() {
    let sim = start(json!({})).await;
    let shown = |data: String| json!({"inlineData": {"mimeType": "image/png", "data": data}});
    let parts =
        json!([{"text": "in this style"}, shown(base64(&png(200, 300))), shown(base64(&png(64, 64)))]);
    let body = json!({"contents": [{"parts": parts}], "generationConfig": {"responseModalities": ["IMAGE"]}});
    let reply = ask(&sim, "gemini-3-pro-image", &body).await;
    assert_eq!(size(&reply.json()["candidates"][0]["content"]["parts"][0]), (848, 1264));
    let inputs = &sim.entries()[0]["inputs"];
    assert_eq!(
        (&inputs[0]["name"], &inputs[0]["width"], &inputs[1]["width"], inputs.as_array().unwrap().len()),
        (&json!("inlineData"), &json!(200), &json!(64), 2)
    );
    // 2 x 560 + 4 tokens in, 1120 out.
    assert_eq!(sim.totals().all.billed.to_string(), "0.136648");
}

#[tokio::test]
async fn refusals_are_a_200_without_a_picture_and_cost_what_went_in() {
    let sim = start(json!({})).await;
    let json = ask(&sim, BANANA, &said("an anatomy study", json!({}))).await.json();
    assert_eq!(json["candidates"][0]["finishReason"], "IMAGE_SAFETY");
    assert_eq!(json["candidates"][0]["content"]["parts"], json!([]));
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let json = ask(&sim, BANANA, &said("an anatomy study", json!({}))).await.json();
    assert_eq!((&json["promptFeedback"]["blockReason"], json.get("candidates")), (&json!("SAFETY"), None));
    assert_eq!(json["usageMetadata"], json!({"promptTokenCount": 4, "totalTokenCount": 4}));
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed.to_string()), (2, 2, "0.000012".into()));
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let part = |part: Value| json!({"contents": [{"parts": [{"text": "a"}, part]}]});
    let cases = [
        (json!({"contents": []}), "contents is not specified"),
        (json!({"prompt": "a"}), "Unknown name \"prompt\": Cannot find field."),
        (
            json!({"contents": [{"parts": [{"text": "a"}]}], "generation_config": {}}),
            "Unknown name \"generation_config\"",
        ),
        (said("a", json!({"numberOfImages": 2})), "Unknown name \"numberOfImages\" at 'generation_config'"),
        (
            said("a", json!({"imageConfig": {"personGeneration": "ALLOW_ALL"}})),
            "\"personGeneration\" at 'generation_config.image_config'",
        ),
        (
            said("a", json!({"seed": 4_294_967_295_u32})),
            "Invalid value at 'generation_config.seed' (TYPE_INT32), 4294967295",
        ),
        (said("a", json!({"seed": "x"})), "Invalid value at 'generation_config.seed'"),
        (said("a", json!({"responseModalities": ["PICTURE"]})), "response_modalities[0]"),
        (said("a", json!({"imageConfig": {"aspectRatio": "7:5"}})), "aspect_ratio must be one of '1:1'"),
        (said("a", json!({"imageConfig": {"imageSize": "3K"}})), "image_size must be one of '512'"),
        (said("a", json!({"temperature": 3})), "temperature must be in the range [0.0, 2.0]"),
        (said("a", json!({"candidateCount": 2})), "Multiple candidates"),
        (said(&"x".repeat(262_145), json!({})), "exceeds the maximum number of tokens allowed (65536)"),
        (json!({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}), "valid role"),
        (json!({"contents": [{"parts": []}]}), "contents.parts must not be empty"),
        (part(json!({})), "required oneof field 'data'"),
        (part(json!({"inline_data": {}})), "Unknown name \"inline_data\" at 'contents[0].parts[1]'"),
        (
            part(json!({"inlineData": {"mimeType": "image/png", "data": "data:image/png;base64,AA=="}})),
            "'contents[0].parts[1].inline_data.data' (TYPE_BYTES)",
        ),
        (
            part(json!({"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}})),
            "Unable to process input image",
        ),
        (
            part(json!({"inlineData": {"mimeType": "image/gif", "data": base64(&png(8, 8))}})),
            "Unsupported MIME type: image/gif",
        ),
        (
            json!({"contents": [{"parts": [{"text": "a"}]}], "safetySettings": [{"category": "X"}]}),
            "safety_settings[0].category",
        ),
    ];
    let count = cases.len() as u64;
    for (body, words) in cases {
        let reply = ask(&sim, BANANA, &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{words}");
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
    // Small and very long images are not for every model.
    for config in [json!({"imageSize": "512"}), json!({"aspectRatio": "1:8"})] {
        let body = said("a", json!({ "imageConfig": config }));
        assert_eq!(ask(&sim, "gemini-3-pro-image", &body).await.status, 400);
        assert_eq!(ask(&sim, BANANA, &body).await.status, 200);
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (count + 2, 2, 2));
    let body = said("a", json!({"seed": 1.5, "n": 1}));
    let error = ask(&sim, BANANA, &body).await.json()["error"].clone();
    assert_eq!(error["details"][0]["fieldViolations"].as_array().unwrap().len(), 2, "all are listed");
}

#[tokio::test]
async fn a_wrong_key_is_an_invalid_argument() {
    let sim = start(json!({"keys": ["good"]})).await;
    let json = ("content-type", "application/json");
    let path = "/google/v1beta/models/gemini-nano-banana-2.1:generateContent";
    let with_key = format!("{path}?key=good");
    let body = said("a cat", json!({}));
    for (path, headers, status, name) in [
        (path, vec![json], 403, json!("PERMISSION_DENIED")),
        (path, vec![json, ("authorization", "Bearer good")], 401, json!("UNAUTHENTICATED")),
        (path, vec![json, ("x-goog-api-key", "bad")], 400, json!("INVALID_ARGUMENT")),
        (
            path,
            vec![("content-type", "text/plain"), ("x-goog-api-key", "good")],
            400,
            json!("INVALID_ARGUMENT"),
        ),
        (path, vec![json, ("x-goog-api-key", "good")], 200, Value::Null),
        (&with_key, vec![json], 200, Value::Null),
    ] {
        let reply = send(&sim, "POST", path, &headers, &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["status"]), (status, &name), "{headers:?}");
    }
    let reply = send(&sim, "POST", path, &[json, ("x-goog-api-key", "bad")], &body).await;
    assert_eq!(reply.json()["error"]["details"][0]["reason"], "API_KEY_INVALID");
    assert!(!sim.entries()[5].to_string().contains("good"), "keys are masked");
}

#[tokio::test]
async fn what_is_gone_or_never_was_is_not_found() {
    let sim = start(json!({})).await;
    let base = "/google/v1beta/models";
    for (method, path) in [
        ("POST", "/imagen-4.0-generate-001:predict"),
        ("POST", "/imagen-4.0-generate-001:generateContent"),
        ("POST", "/gemini-2.5-flash-image:generateContent"),
        ("POST", "/gemini-nano-banana-2.1:predict"),
        ("GET", "/gemini-nano-banana-2.1:generateContent"),
        ("GET", "/imagen-3.0-generate-002"),
        ("POST", ""),
    ] {
        let reply = send(&sim, method, &format!("{base}{path}"), KEY, &said("a", json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["status"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    let models = send(&sim, "GET", base, KEY, &Value::Null).await.json();
    assert_eq!(models["models"][0]["name"], "models/gemini-nano-banana-2.1");
    let model = send(&sim, "GET", &format!("{base}/gemini-3-pro-image"), KEY, &Value::Null).await.json();
    assert_eq!(model["supportedGenerationMethods"], json!(["generateContent"]));
    assert_eq!(sim.totals().all.accepted, 0);
}

#[tokio::test]
async fn quotas_tell_the_minute_from_the_day() {
    let sim = start(json!({"active_task_limit": 0})).await;
    let busy = ask(&sim, BANANA, &said("a", json!({}))).await;
    let error = busy.json()["error"].clone();
    assert_eq!((busy.status, &error["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(error["details"][1]["retryDelay"], "1s");
    admin(&sim, "PUT", "config", json!({"active_task_limit": null, "balance": "0"})).await;
    let broke = ask(&sim, BANANA, &said("a", json!({}))).await;
    let violation = broke.json()["error"]["details"][0]["violations"][0].clone();
    assert_eq!((broke.status, &violation["quotaValue"]), (429, &json!("0")));
    assert!(violation["quotaId"].as_str().unwrap().contains("PerDay"));
}

#[tokio::test]
async fn scripted_faults_come_in_googles_words() {
    let sim = start(json!({})).await;
    for (what, status, name) in [
        (json!("task_error"), 500, "INTERNAL"),
        (json!("task_not_found"), 404, "NOT_FOUND"),
        (json!({"kind": "status", "code": 503}), 503, "UNAVAILABLE"),
        (json!({"kind": "status", "code": 504}), 504, "DEADLINE_EXCEEDED"),
        (json!({"kind": "rate_limited"}), 429, "RESOURCE_EXHAUSTED"),
    ] {
        sim.add_rule(rule(json!({"fault": what, "times": 1})));
        let reply = ask(&sim, BANANA, &said("a", json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["status"]), (status, &json!(name)));
    }
    assert_eq!(sim.totals().all.billed_calls, 0);
    sim.add_rule(rule(json!({"fault": "empty", "times": 1})));
    let json = ask(&sim, BANANA, &said("a", json!({}))).await.json();
    assert_eq!(json["candidates"][0]["finishReason"], "NO_IMAGE");
    sim.add_rule(rule(json!({"fault": {"kind": "refuse", "stage": "request"}, "times": 1})));
    let json = ask(&sim, BANANA, &said("a", json!({}))).await.json();
    assert!(json["promptFeedback"]["blockReason"].is_string());
}

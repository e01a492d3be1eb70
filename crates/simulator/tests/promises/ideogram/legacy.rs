//! The oldest API, which wraps most of its requests.

use super::*;

fn wrapped(fields: Value) -> Value {
    json!({ "image_request": fields })
}

#[tokio::test]
async fn each_model_draws_at_its_price() {
    // S15: Ideogram 2.0 is the one for legible text.
    let sim = start(json!({})).await;
    for (model, price) in [
        ("V_2", "0.08"),
        ("V_2_TURBO", "0.05"),
        ("V_2A", "0.04"),
        ("V_2A_TURBO", "0.025"),
        ("V_1", "0.06"),
        ("V_1_TURBO", "0.02"),
    ] {
        let request = json!({"prompt": "a cat", "model": model, "aspect_ratio": "ASPECT_16_9", "seed": 7});
        let reply = post_json(&sim, "generate", wrapped(request)).await;
        let item = reply.json()["data"][0].clone();
        assert_eq!((reply.status, &item["resolution"]), (200, &json!("1312x736")), "{model}");
        assert_eq!(fetched(&sim, &item["url"]).await, (1312, 736));
        let entries = sim.entries();
        let entry = &entries[entries.len() - 2];
        assert_eq!(
            (&entry["billed"], &entry["model"], &entry["seed"]),
            (&json!(price), &json!(model), &json!(7))
        );
        assert_eq!((&entry["phase"], &entry["prompt"]), (&json!("submit"), &json!("a cat")));
    }
    let request = json!({
        "prompt": "a cat", "resolution": "RESOLUTION_1280_720", "num_images": 2, "magic_prompt_option": "OFF",
        "style_type": "ANIME", "negative_prompt": "dogs", "color_palette": {"name": "PASTEL"}
    });
    let reply = post_json(&sim, "generate", wrapped(request)).await.json();
    assert_eq!(
        (&reply["data"][1]["resolution"], &reply["data"][1]["style_type"]),
        (&json!("1280x720"), &json!("ANIME"))
    );
    assert!(reply["created"].as_str().unwrap().ends_with('Z'));
    let entry = sim.entries().pop().unwrap();
    assert_eq!((&entry["billed"], &entry["model"]), (&json!("0.16"), &json!("V_2")), "2.0 is the usual one");
}

#[tokio::test]
async fn pictures_are_remixed_edited_and_reframed() {
    let sim = start(json!({})).await;
    let request = r#"{"prompt": "a cat", "model": "V_2A", "image_weight": 25, "aspect_ratio": "ASPECT_3_2"}"#;
    let cases = [
        ("remix", vec![Text("image_request", request), File("image_file", png(96, 64))], "1248x832", "0.04"),
        (
            "edit",
            vec![
                Text("prompt", "a cat"),
                Text("model", "V_2_TURBO"),
                Text("seed", "7"),
                File("image_file", png(96, 64)),
                File("mask", mask(96, 64, 3, 0)),
            ],
            "96x64",
            "0.05",
        ),
        (
            "reframe",
            vec![
                Text("model", "V_2"),
                Text("resolution", "RESOLUTION_1536_512"),
                File("image_file", png(64, 64)),
            ],
            "1536x512",
            "0.08",
        ),
    ];
    for (path, fields, resolution, price) in cases {
        let reply = post(&sim, path, &fields).await;
        assert_eq!(reply.json()["data"][0]["resolution"], resolution, "{path} {:?}", reply.bytes);
        let entry = sim.entries().pop().unwrap();
        assert_eq!(
            (&entry["billed"], &entry["inputs"][0]["name"]),
            (&json!(price), &json!("image_file")),
            "{path}"
        );
    }
    let entries = sim.entries();
    assert_eq!((&entries[0]["prompt"], &entries[0]["model"]), (&json!("a cat"), &json!("V_2A")));
    assert_eq!(entries[1]["inputs"][1]["marks"]["edited"], 3 * 64, "black is edited");
    assert_eq!(entries[1]["seed"], 7);
}

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    for (request, error) in [
        (json!({"model": "V_2"}), "prompt is required"),
        (json!({"prompt": "a", "model": "V_9"}), "model must be one of"),
        (json!({"prompt": "a", "aspect_ratio": "16x9"}), "aspect_ratio '16x9' is not"),
        (json!({"prompt": "a", "aspect_ratio": "ASPECT_4_5"}), "aspect_ratio 'ASPECT_4_5' is not"),
        (json!({"prompt": "a", "resolution": "1024x1024"}), "resolution '1024x1024' is not"),
        (json!({"prompt": "a", "model": "V_1", "resolution": "RESOLUTION_1024_1024"}), "resolution"),
        (
            json!({"prompt": "a", "resolution": "RESOLUTION_1024_1024", "aspect_ratio": "ASPECT_1_1"}),
            "aspect_ratio cannot be used",
        ),
        (json!({"prompt": "a", "model": "V_1_TURBO", "style_type": "AUTO"}), "style_type is not supported"),
        (json!({"prompt": "a", "model": "V_2A", "negative_prompt": "b"}), "negative_prompt is not supported"),
        (
            json!({"prompt": "a", "model": "V_2A_TURBO", "color_palette": {"name": "PASTEL"}}),
            "color_palette is not supported",
        ),
        (json!({"prompt": "a", "num_images": 9}), "num_images must be"),
        (json!({"prompt": "a", "seed": "7"}), "seed must be an integer"),
        (json!({"prompt": "a", "style_type": "auto"}), "style_type must be one of"),
    ] {
        let reply = post_json(&sim, "generate", wrapped(request.clone())).await;
        let text = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && text.starts_with(error), "{request} {text}");
    }
    for (body, error) in [
        (json!({"prompt": "a", "model": "V_2"}), "image_request is required"),
        (json!({"image_request": "a"}), "image_request must be an object"),
    ] {
        let reply = post_json(&sim, "generate", body).await;
        assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)));
    }
    let image = || File("image_file", png(64, 64));
    let (prompt, model) = (|| Text("prompt", "a"), |name| Text("model", name));
    let edited = |height| File("mask", mask(64, height, 3, 0));
    for (path, fields, error) in [
        ("generate", vec![prompt(), model("V_2")], "Expected application/json"),
        ("remix", vec![prompt(), image()], "image_request is required"),
        ("remix", vec![Text("image_request", r#"{"prompt": "a"}"#)], "image_file is required"),
        (
            "remix",
            vec![Text("image_request", r#"{"prompt": "a", "image_weight": 0}"#), image()],
            "image_weight must be between 1 and 100",
        ),
        ("edit", vec![prompt(), image(), edited(64)], "model is required"),
        ("edit", vec![prompt(), model("V_2A"), image(), edited(64)], "model must be one of V_2, V_2_TURBO"),
        ("edit", vec![prompt(), model("V_2"), image()], "mask is required"),
        ("edit", vec![prompt(), model("V_2"), image(), edited(32)], "mask must have the same size"),
        ("reframe", vec![model("V_2"), image()], "resolution is required"),
    ] {
        let reply = post(&sim, path, &fields).await;
        let text = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && text.starts_with(error), "{path} {text}");
    }
    assert_eq!(post_json(&sim, "edit", json!({"prompt": "a", "model": "V_2"})).await.status, 400);
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (25, 0, 0));
}

#[tokio::test]
async fn keys_refusals_and_faults_are_as_elsewhere() {
    let sim = start(json!({"keys": ["test-key"]})).await;
    for (path, status) in [("generate", 401), ("edit", 401), ("remix", 403)] {
        let path = format!("/ideogram/{path}");
        let reply =
            send(&sim, "POST", &path, &[JSON, ("api-key", "bad")], &wrapped(json!({"prompt": "a"}))).await;
        assert_eq!(reply.status, status, "{path}");
    }
    let generate = async |prompt: &str| post_json(&sim, "generate", wrapped(json!({"prompt": prompt}))).await;
    assert_eq!(generate("nude").await.json()["data"][0]["is_image_safe"], false);
    assert_eq!(sim.totals().all.billed.to_string(), "0.08");
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    assert_eq!(generate("nude").await.status, 422);
    sim.add_rule(rule(json!({"model": "V_2", "prompt_contains": "cat", "fault": "task_error"})));
    assert_eq!(generate("a cat").await.json(), json!({"error": "Internal server error"}));
    assert_eq!(sim.totals().all.billed.to_string(), "0.08");
}

//! What is turned down, fails or is made to go wrong.

use super::*;

#[tokio::test]
async fn what_the_real_service_rejects_is_rejected() {
    let sim = start(json!({})).await;
    let large = data_uri(&vec![0; 256 * 1024 + 1]);
    let cases = [
        (FLUX, json!({}), "input", "required"),
        (FLUX, json!({"prompt": 7}), "input.prompt", "invalid_type"),
        (FLUX, json!({"prompt": "a".repeat(131_073)}), "input.prompt", "string_lte"),
        (FLUX, json!({"prompt": "a", "num_outputs": 5}), "input.num_outputs", "number_lte"),
        (FLUX, json!({"prompt": "a", "num_outputs": "1"}), "input.num_outputs", "invalid_type"),
        (FLUX, json!({"prompt": "a", "num_inference_steps": 0}), "input.num_inference_steps", "number_gte"),
        (FLUX, json!({"prompt": "a", "aspect_ratio": "7:5"}), "input.aspect_ratio", "enum"),
        (FLUX, json!({"prompt": "a", "megapixels": 1}), "input.megapixels", "invalid_type"),
        (FLUX, json!({"prompt": "a", "output_format": "gif"}), "input.output_format", "enum"),
        (FLUX, json!({"prompt": "a", "go_fast": "yes"}), "input.go_fast", "invalid_type"),
        ("black-forest-labs/flux-redux-dev", json!({"image": "https://x/a.png"}), "input", "required"),
        ("black-forest-labs/flux-dev", json!({"prompt": "a", "image": "iVBORw0"}), "input.image", "format"),
        ("black-forest-labs/flux-dev", json!({"prompt": "a", "image": large}), "input.image", "string_lte"),
        (
            "black-forest-labs/flux-1.1-pro",
            json!({"prompt": "a", "width": 1500}),
            "input.width",
            "number_lte",
        ),
    ];
    let count = cases.len() as u64;
    for (model, input, field, kind) in cases {
        let reply = create(&sim, model, input).await;
        let body = reply.json();
        assert_eq!(
            (reply.status, &body["title"], &body["status"]),
            (422, &json!("Input validation failed"), &json!(422))
        );
        let first = &body["invalid_fields"][0];
        assert_eq!((&first["field"], &first["type"]), (&json!(field), &json!(kind)), "{body}");
        assert!(body["detail"].as_str().unwrap().starts_with(&format!("- {field}: ")), "{body}");
    }
    let path = format!("/replicate/v1/models/{FLUX}/predictions");
    for body in [
        json!({"prompt": "a"}),
        json!({"input": {"prompt": "a"}, "webhook": "http://x"}),
        json!({"input": "a"}),
        json!({"input": {"prompt": "a"}, "version": "x"}),
    ] {
        assert_eq!(send(&sim, "POST", &path, REPLICATE, &body).await.status, 422, "{body}");
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (count + 4, 0, 0));
}

#[tokio::test]
async fn what_only_the_model_finds_wrong_fails() {
    let sim = start(json!({})).await;
    let image = data_uri(&png(64, 64));
    for (model, input) in [
        ("black-forest-labs/flux-dev", json!({"prompt": "a", "image": "data:image/png;base64,aGk="})),
        ("black-forest-labs/flux-fill-pro", json!({"image": image, "mask": mask_uri(64, 32, 8, 255)})),
        (
            "black-forest-labs/flux-kontext-pro",
            json!({"prompt": "a", "input_image": image, "safety_tolerance": 3}),
        ),
        ("black-forest-labs/flux-1.1-pro", json!({"prompt": "a", "aspect_ratio": "custom", "width": 512})),
    ] {
        let done = settled(&sim, create(&sim, model, input).await).await;
        assert_eq!((&done["status"], &done["output"]), (&json!("failed"), &Value::Null), "{model}");
        assert!(done["error"].as_str().unwrap().contains("E006"), "{}", done["error"]);
    }
    let done = settled(&sim, create(&sim, "google/imagen-3", json!({"prompt": "a"})).await).await;
    assert_eq!(done["status"], "failed");
    assert_eq!(sim.totals().all.billed_calls, 0);
}

#[tokio::test]
async fn who_has_no_token_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let (json, good) = (("content-type", "application/json"), ("authorization", "Bearer good"));
    let body = json!({"input": {"prompt": "a"}});
    let path = format!("/replicate/v1/models/{FLUX}/predictions");
    let path = path.as_str();
    for (method, path, headers, status) in [
        ("POST", path, vec![json], 401),
        ("POST", path, vec![json, ("authorization", "Key good")], 401),
        ("POST", path, vec![json, ("authorization", "Bearer bad")], 401),
        ("POST", path, vec![json, good], 201),
        ("POST", path, vec![json, ("authorization", "Token good")], 201),
        ("POST", path, vec![("content-type", "text/plain"), good], 415),
        ("GET", path, vec![good], 405),
        ("POST", path, vec![json, good, ("prefer", "wait=61")], 400),
        ("POST", "/replicate/v1/models/black-forest-labs/flux-9/predictions", vec![json, good], 404),
        ("GET", "/replicate/v1/models/black-forest-labs/flux-9", vec![good], 404),
        ("GET", "/replicate/v1/predictions/x", vec![good], 404),
        ("GET", "/replicate/v1/predictions/x", vec![], 401),
        ("POST", "/replicate/v1/predictions/x/cancel", vec![good], 404),
        ("GET", "/replicate/v1/account", vec![good], 200),
        ("GET", "/replicate/v2", vec![good], 404),
    ] {
        let reply = send(&sim, method, path, &headers, &body).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
    }
    let reply = try_send(&sim, "POST", path, &[json, good], "{").await.unwrap();
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn limits_and_an_empty_account_turn_away() {
    let sim = start(json!({"active_task_limit": 1, "render_seconds": 3600})).await;
    assert_eq!(create(&sim, FLUX, json!({"prompt": "a"})).await.status, 201);
    let reply = create(&sim, FLUX, json!({"prompt": "a"})).await;
    assert_eq!((reply.status, &reply.json()["retry_after"]), (429, &json!(1)));
    let sim = start(json!({"balance": "0.005"})).await;
    for expected in [201, 201, 402] {
        assert_eq!(create(&sim, FLUX, json!({"prompt": "a"})).await.status, expected);
    }
    assert_eq!(create(&sim, FLUX, json!({"prompt": "a"})).await.json()["title"], "Insufficient credit");
}

#[tokio::test]
async fn scripted_faults_speak_replicate() {
    let sim = start(json!({})).await;
    let scripted = async |kind: &str, model: &str| {
        admin(&sim, "POST", "reset", Value::Null).await;
        sim.add_rule(rule(json!({"phase": "submit", "fault": kind})));
        let created = if model == FLUX {
            create(&sim, model, json!({"prompt": "a"})).await
        } else {
            create_by_version(&sim, model, json!({"prompt": "a"})).await
        };
        ask(&sim, created.json()["urls"]["get"].as_str().unwrap()).await
    };
    let reply = scripted("task_error", FLUX).await.json();
    assert_eq!(reply["status"], "failed");
    assert!(reply["error"].as_str().unwrap().contains("(E004)"));
    assert_eq!(sim.totals().all.billed_calls, 0);
    let reply = scripted("empty", FLUX).await.json();
    assert_eq!(
        (&reply["status"], &reply["output"], sim.totals().all.billed_calls),
        (&json!("succeeded"), &json!([]), 1)
    );
    assert_eq!(scripted("state_key", FLUX).await.json()["state"], "succeeded");
    assert_eq!(scripted("task_not_found", FLUX).await.status, 404);
    assert_eq!(scripted("never_ready", FLUX).await.json()["status"], "processing");
    assert_eq!(scripted("never_ready", "bytedance/sdxl-lightning-4step").await.json()["status"], "starting");
}

//! What is turned down, fails or is made to go wrong.

use super::*;

#[tokio::test]
async fn invalid_inputs_complete_with_the_models_error_and_cost_nothing() {
    let sim = start(json!({})).await;
    let image = picture_uri(64, 64);
    let cases = [
        ("fal-ai/flux/dev", json!({}), "prompt", "missing"),
        ("fal-ai/flux/dev", json!({"prompt": 7}), "prompt", "string_type"),
        ("fal-ai/flux/dev", json!({"prompt": "a".repeat(131_073)}), "prompt", "string_too_long"),
        (
            "fal-ai/flux/dev",
            json!({"prompt": "a", "num_inference_steps": 51}),
            "num_inference_steps",
            "less_than_equal",
        ),
        (
            "fal-ai/flux/schnell",
            json!({"prompt": "a", "num_inference_steps": 28}),
            "num_inference_steps",
            "less_than_equal",
        ),
        (
            "fal-ai/flux/dev",
            json!({"prompt": "a", "guidance_scale": 0.5}),
            "guidance_scale",
            "greater_than_equal",
        ),
        ("fal-ai/flux/dev", json!({"prompt": "a", "num_images": 5}), "num_images", "less_than_equal"),
        ("fal-ai/flux/dev", json!({"prompt": "a", "image_size": "1024x1024"}), "image_size", "one_of"),
        (
            "fal-ai/flux/dev",
            json!({"prompt": "a", "image_size": {"width": 5000, "height": 64}}),
            "image_size",
            "less_than_equal",
        ),
        ("fal-ai/flux/dev", json!({"prompt": "a", "output_format": "webp"}), "output_format", "one_of"),
        ("fal-ai/flux-pro/v1.1", json!({"prompt": "a", "safety_tolerance": 2}), "safety_tolerance", "one_of"),
        (
            "fal-ai/fast-lightning-sdxl",
            json!({"prompt": "a", "num_inference_steps": 4}),
            "num_inference_steps",
            "one_of",
        ),
        ("fal-ai/flux/dev/image-to-image", json!({"prompt": "a"}), "image_url", "missing"),
        (
            "fal-ai/flux/dev/image-to-image",
            json!({"prompt": "a", "image_url": "iVBORw0"}),
            "image_url",
            "file_download_error",
        ),
        (
            "fal-ai/flux/dev/image-to-image",
            json!({"prompt": "a", "image_url": "data:image/png;base64,aGk="}),
            "image_url",
            "image_load_error",
        ),
        (
            "fal-ai/flux-2-pro/edit",
            json!({"prompt": "a", "image_urls": []}),
            "image_urls",
            "sequence_too_short",
        ),
        ("fal-ai/flux-2-pro/edit", json!({"prompt": "a", "image_urls": image}), "image_urls", "list_type"),
        ("fal-ai/aura-sr", json!({"image_url": image, "upscale_factor": 2}), "upscale_factor", "one_of"),
        ("fal-ai/flux-2-pro/outpaint", json!({"image_url": image}), "expand_top", "value_error"),
        (
            "fal-ai/flux-pro/v1/fill",
            json!({"prompt": "a", "image_url": image, "mask_url": mask_uri(64, 32, 5, 255)}),
            "mask_url",
            "value_error",
        ),
    ];
    let count = cases.len() as u64;
    for (model, body, field, kind) in cases {
        let reply = run(&sim, model, body).await;
        let (detail, status) = (reply.json()["detail"][0].clone(), reply.status);
        assert_eq!(
            (status, &detail["loc"], &detail["type"]),
            (422, &json!(["body", field]), &json!(kind)),
            "{model}"
        );
        assert_eq!(
            (&reply.headers["x-fal-error-type"], &reply.headers["x-fal-retryable"]),
            (&kind.parse().unwrap(), &"false".parse().unwrap())
        );
        assert!(detail["msg"].is_string() && detail["url"].is_string());
    }
    let totals = sim.totals().all;
    assert_eq!((totals.rejected, totals.accepted, totals.billed_calls), (count, 0, 0));
}

#[tokio::test]
async fn who_has_no_key_or_comes_to_the_wrong_place_is_turned_away() {
    let sim = start(json!({"keys": ["good"]})).await;
    let (json, good) = (("content-type", "application/json"), ("authorization", "Key good"));
    let body = json!({"prompt": "a"});
    let path = "/fal/fal-ai/flux/dev";
    for (method, path, headers, status) in [
        ("POST", path, vec![json], 401),
        ("POST", path, vec![json, ("authorization", "Bearer good")], 401),
        ("POST", path, vec![json, ("authorization", "Key bad")], 401),
        ("POST", path, vec![json, good], 200),
        ("POST", path, vec![("content-type", "text/plain"), good], 422),
        ("GET", path, vec![good], 405),
        ("POST", "/fal/fal-ai/flux-9", vec![json, good], 404),
        ("POST", "/fal/fal-ai/flux/nope", vec![json, good], 404),
        ("POST", "/fal/fal-ai/imagen4/preview", vec![json, good], 404),
        ("GET", "/fal/fal-ai/flux/requests/7/status", vec![good], 404),
        ("GET", "/fal/fal-ai/flux/requests/7/status", vec![], 401),
        ("GET", "/fal/fal-ai/flux/dev/requests/7/status", vec![good], 405),
        ("PUT", "/fal/fal-ai/flux/requests/7/cancel", vec![good], 404),
        ("POST", "/fal/fal-ai/flux/requests/7/cancel", vec![good], 405),
    ] {
        let reply = send(&sim, method, path, &headers, &body).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
    }
    let reply = submit(&sim, "fal-ai/flux/dev", body).await.json();
    assert_eq!(reply["detail"], "No user found for Key ID and Secret");
}

#[tokio::test]
async fn a_request_is_known_at_its_own_app_only() {
    let sim = start(json!({})).await;
    let submitted = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    let url = submitted["status_url"].as_str().unwrap();
    assert_eq!(ask(&sim, &json!(url.replace("fal-ai/flux", "fal-ai/flux-pro"))).await.status, 404);
    assert_eq!(ask(&sim, &json!(url.replace("fal-ai/flux", "fal-ai/flux/dev"))).await.status, 405);
    assert_eq!(ask(&sim, &json!(url)).await.status, 200);
}

#[tokio::test]
async fn an_empty_account_is_locked_and_the_balance_is_told() {
    let sim = start(json!({"balance": "0.05"})).await;
    for expected in [200, 200, 403] {
        assert_eq!(submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.status, expected);
    }
    let reply = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
    assert!(reply["detail"].as_str().unwrap().contains("Exhausted balance"));
    let account = send(&sim, "GET", "/fal/v1/account/billing?expand=credits", FAL, &Value::Null).await.json();
    assert_eq!(account["credits"], json!({"current_balance": 0, "currency": "USD"}));
    admin(&sim, "PUT", "config", json!({"admin_keys": ["boss"]})).await;
    let refused = send(&sim, "GET", "/fal/v1/account/billing?expand=credits", FAL, &Value::Null).await;
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (403, &json!("authorization_error")));
    let path = "/fal/v1/models/pricing?endpoint_id=fal-ai/flux/dev,fal-ai/esrgan";
    let prices = send(&sim, "GET", path, FAL, &Value::Null).await.json();
    assert_eq!(
        (&prices["prices"][0]["unit_price"], &prices["prices"][0]["unit"]),
        (&json!(0.025), &json!("megapixels"))
    );
    assert_eq!(prices["prices"][1]["unit"], "compute seconds");
}

#[tokio::test]
async fn scripted_faults_speak_fal() {
    let sim = start(json!({})).await;
    for (kind, status, free) in [("empty", 200, false), ("task_error", 500, true), ("state_key", 200, false)]
    {
        admin(&sim, "POST", "reset", Value::Null).await;
        sim.add_rule(rule(json!({"phase": "submit", "fault": kind})));
        let submitted = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
        let polled = ask(&sim, &submitted["status_url"]).await.json();
        let key = if kind == "state_key" { "state" } else { "status" };
        assert_eq!(polled[key], "COMPLETED", "{kind}");
        let reply = ask(&sim, &submitted["response_url"]).await;
        assert_eq!((reply.status, sim.totals().all.billed_calls == 0), (status, free), "{kind}");
        if kind == "empty" {
            assert_eq!(reply.json()["images"], json!([]));
        }
        if kind == "task_error" {
            assert_eq!(polled["error_type"], "internal_server_error");
            assert_eq!(reply.headers["x-fal-retryable"], "true");
        }
    }
    for (kind, status) in [("task_not_found", 404), ("never_ready", 202)] {
        admin(&sim, "POST", "reset", Value::Null).await;
        sim.add_rule(rule(json!({"phase": "submit", "fault": kind})));
        let submitted = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await.json();
        assert_eq!(ask(&sim, &submitted["status_url"]).await.status, status, "{kind}");
    }
    admin(&sim, "POST", "reset", Value::Null).await;
    fault(&sim, json!({"kind": "rate_limited", "retry_after": 2}));
    let reply = submit(&sim, "fal-ai/flux/dev", json!({"prompt": "a"})).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (429, &"2".parse().unwrap()));
}

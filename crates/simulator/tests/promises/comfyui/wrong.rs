//! What is turned down, fails or is made to go wrong.

use super::*;

#[tokio::test]
async fn what_makes_no_sense_is_told_node_by_node() {
    let sim = start(json!({})).await;
    let cases = [
        ("4", "ckpt_name", json!("model.safetensors"), "value_not_in_list"),
        ("3", "sampler_name", json!("fast"), "value_not_in_list"),
        ("3", "steps", json!(0), "value_smaller_than_min"),
        ("3", "cfg", json!(100.5), "value_bigger_than_max"),
        ("3", "denoise", json!("much"), "invalid_input_type"),
        ("3", "seed", json!(-1), "value_smaller_than_min"),
        ("5", "width", json!(16_385), "value_bigger_than_max"),
        ("5", "height", Value::Null, "required_input_missing"),
        ("3", "positive", json!(["5", 0]), "return_type_mismatch"),
        ("3", "model", json!("sdxl"), "return_type_mismatch"),
        ("8", "vae", json!(["4"]), "bad_linked_input"),
        ("8", "vae", json!(["4", 3]), "exception_during_inner_validation"),
        ("9", "images", json!(["99", 0]), "exception_during_validation"),
        ("8", "samples", json!(["8", 0]), "return_type_mismatch"),
    ];
    for (node, name, value, kind) in cases {
        let mut graph = picture("a cat", 1);
        let inputs = graph[node]["inputs"].as_object_mut().unwrap();
        inputs.insert(name.into(), value.clone());
        if value.is_null() {
            inputs.remove(name);
        }
        let reply = queue(&sim, &graph).await;
        let json = reply.json();
        assert_eq!(
            (reply.status, &json["error"]["type"]),
            (400, &json!("prompt_outputs_failed_validation")),
            "{kind}"
        );
        let errors = &json["node_errors"][node];
        assert_eq!(
            (&errors["errors"][0]["type"], &errors["dependent_outputs"]),
            (&json!(kind), &json!(["9"])),
            "{json}"
        );
    }
    let details = |json: &Value| json["node_errors"]["4"]["errors"][0].clone();
    let mut graph = picture("a cat", 1);
    graph["4"]["inputs"]["ckpt_name"] = json!("x");
    let error = details(&queue(&sim, &graph).await.json());
    assert_eq!(error["details"], "ckpt_name: 'x' not in ['sd_xl_base_1.0.safetensors']");
    assert_eq!(
        (&error["extra_info"]["input_name"], &error["extra_info"]["received_value"]),
        (&json!("ckpt_name"), &json!("x"))
    );
    let mut circle = picture("a cat", 1);
    circle["3"]["inputs"]["latent_image"] = json!(["3", 0]);
    for (graph, kind) in [
        (json!({"1": {"class_type": "IPAdapter", "inputs": {}}}), "missing_node_type"),
        (json!({"1": {"inputs": {}}}), "invalid_prompt"),
        (json!({}), "prompt_no_outputs"),
        (json!({"4": picture("a", 1)["4"]}), "prompt_no_outputs"),
        (circle, "prompt_outputs_failed_validation"),
    ] {
        let reply = queue(&sim, &graph).await;
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (400, &json!(kind)));
    }
    let reply = call(&sim, "POST", "prompt", json!({"client_id": "C"})).await;
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (400, &json!("no_prompt")));
    assert_eq!(try_send(&sim, "POST", "/comfyui/prompt", JSON, "{").await.unwrap().status, 500);
    assert_eq!(sim.totals().all.accepted, 0);
    // One good output is enough.
    let mut graph = picture("a cat", 1);
    graph["10"] = json!({"class_type": "PreviewImage", "inputs": {}});
    let reply = queue(&sim, &graph).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["node_errors"]["10"]["errors"][0]["type"], "required_input_missing");
}

#[tokio::test]
async fn errors_while_running_are_in_the_history() {
    let sim = start(json!({})).await;
    let failed = async |graph: Value| {
        let entry = history(&sim, &queued(&sim, &graph).await).await;
        assert_eq!((&entry["status"]["status_str"], &entry["outputs"]), (&json!("error"), &json!({})));
        let message = entry["status"]["messages"][2].clone();
        assert_eq!(message[0], "execution_error");
        (message[1]["exception_type"].clone(), message[1]["node_type"].clone())
    };
    let mut large = picture("a cat", 1);
    large["5"]["inputs"]["width"] = json!(16_384);
    large["5"]["inputs"]["height"] = json!(16_384);
    assert_eq!(failed(large).await, (json!("torch.OutOfMemoryError"), json!("KSampler")));
    upload(&sim, "no.png", b"<html>", &[]).await;
    let broken = inpaint(
        "no.png",
        &json!(["10", 1]),
        &json!({"class_type": "LoadImage", "inputs": {"image": "no.png"}}),
    );
    assert_eq!(failed(broken).await, (json!("PIL.UnidentifiedImageError"), json!("LoadImage")));
    sim.add_rule(rule(json!({"fault": "task_error", "phase": "submit", "times": 1})));
    assert_eq!(failed(picture("a cat", 1)).await, (json!("RuntimeError"), json!("KSampler")));
    let totals = sim.totals().all;
    assert_eq!((totals.accepted, totals.billed_calls), (3, 0));
}

#[tokio::test]
async fn scripted_fates_are_played() {
    let sim = start(json!({})).await;
    let with = async |fault: &str, seed| {
        sim.add_rule(rule(json!({"fault": fault, "phase": "submit", "times": 1})));
        queued(&sim, &picture("a cat", seed)).await
    };
    let empty = history(&sim, &with("empty", 1).await).await;
    assert_eq!((&empty["status"]["completed"], &empty["outputs"]), (&json!(true), &json!({})));
    let refused = history(&sim, &with("refuse", 2).await).await;
    assert!(refused["outputs"]["9"].is_object(), "nobody refuses here");
    let lost = with("task_not_found", 3).await;
    assert_eq!(history(&sim, &lost).await, Value::Null);
    let never = with("never_ready", 4).await;
    assert_eq!(history(&sim, &never).await, Value::Null);
    let queue = call(&sim, "GET", "queue", Value::Null).await.json();
    assert_eq!(
        (queue["queue_running"].as_array().unwrap().len(), &queue["queue_running"][0][1]),
        (1, &json!(never))
    );
    // It holds no other task up, and can be stopped.
    let id = queued(&sim, &picture("a cat", 5)).await;
    assert!(history(&sim, &id).await["outputs"]["9"].is_object());
    call(&sim, "POST", "interrupt", json!({"prompt_id": never})).await;
    assert_eq!(history(&sim, &never).await["status"]["messages"][2][0], "execution_interrupted");
    // At a poll a fault changes the one answer.
    sim.add_rule(rule(json!({"fault": "task_error", "phase": "poll", "times": 1})));
    assert_eq!(history(&sim, &id).await["status"]["status_str"], "error");
    assert_eq!(history(&sim, &id).await["status"]["status_str"], "success");
    admin(&sim, "POST", "reset", Value::Null).await;
    assert_eq!(history(&sim, &id).await, Value::Null);
}

#[tokio::test]
async fn deep_graphs_run_and_too_deep_ones_do_not() {
    let sim = start(json!({})).await;
    upload(&sim, "in.png", &png(8, 8), &[]).await;
    for (depth, status) in [(850, 200), (5000, 400)] {
        let mut graph = json!({"n0": {"class_type": "LoadImage", "inputs": {"image": "in.png"}}});
        for n in 1..depth {
            let image = format!("n{}", n - 1);
            graph[format!("n{n}")] = json!({"class_type": "ImageScaleBy", "inputs": {"image": [image, 0], "upscale_method": "area", "scale_by": 1}});
        }
        let last = format!("n{}", depth - 1);
        graph["9"] = json!({"class_type": "PreviewImage", "inputs": {"images": [last, 0]}});
        assert_eq!(queue(&sim, &graph).await.status, status);
    }
}

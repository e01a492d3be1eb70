use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::{FORM, Field, data_uri, form, mask, png, size};

mod wrong;

const REPLICATE: &[(&str, &str)] =
    &[("authorization", "Bearer r8_test"), ("content-type", "application/json")];
const FLUX: &str = "black-forest-labs/flux-schnell";

async fn create(sim: &Simulator, model: &str, input: Value) -> Reply {
    let path = format!("/replicate/v1/models/{model}/predictions");
    send(sim, "POST", &path, REPLICATE, &json!({ "input": input })).await
}

/// Community models run by their version only.
async fn create_by_version(sim: &Simulator, model: &str, input: Value) -> Reply {
    let found = ask(sim, &format!("/replicate/v1/models/{model}")).await.json();
    let id = found["latest_version"]["id"].as_str().unwrap();
    let body = json!({"version": format!("{model}:{id}"), "input": input});
    send(sim, "POST", "/replicate/v1/predictions", REPLICATE, &body).await
}

async fn ask(sim: &Simulator, url: &str) -> Reply {
    send(sim, "GET", url, REPLICATE, &Value::Null).await
}

/// Asks until the prediction is over.
async fn settled(sim: &Simulator, created: Reply) -> Value {
    assert_eq!(created.status, 201, "{:?}", created.bytes);
    let created = created.json();
    assert_eq!((&created["status"], &created["output"]), (&json!("starting"), &Value::Null));
    loop {
        let reply = ask(sim, created["urls"]["get"].as_str().unwrap()).await;
        assert_eq!((reply.status, &reply.json()["id"]), (200, &created["id"]));
        if reply.json()["completed_at"].is_string() {
            return reply.json();
        }
    }
}

fn mask_uri(width: u32, height: u32, columns: u32, shade: u8) -> String {
    data_uri(&mask(width, height, columns, shade))
}

async fn upload(sim: &Simulator, field: &str, file: &[u8]) -> Reply {
    let body = form(&[Field::Named(field, "a.png", file.to_vec())]);
    let headers = [("authorization", "Bearer k"), FORM];
    try_send(sim, "POST", "/replicate/v1/files", &headers, body).await.unwrap()
}

async fn size_of(sim: &Simulator, url: &Value) -> (u32, u32) {
    let reply = send(sim, "GET", url.as_str().unwrap(), &[], &Value::Null).await;
    size(&reply.bytes)
}

#[tokio::test]
async fn a_prediction_is_created_asked_after_and_fetched() {
    let sim = start(json!({})).await;
    let input = json!({"prompt": "a cat", "seed": 7, "num_outputs": 2, "steps": 99});
    let done = settled(&sim, create(&sim, FLUX, input).await).await;
    assert_eq!(
        (&done["status"], &done["error"], &done["model"]),
        (&json!("succeeded"), &Value::Null, &json!(FLUX))
    );
    assert_eq!(done["input"]["prompt"], "a cat");
    assert!(done["logs"].as_str().unwrap().contains("Using seed: 7\n") && done["output"][1].is_string());
    assert!(done["metrics"]["predict_time"].is_number());
    let url = done["output"][0].as_str().unwrap();
    let picture = send(&sim, "GET", url, &[], &Value::Null).await;
    assert_eq!((picture.status, &picture.headers["content-type"]), (200, &"image/webp".parse().unwrap()));
    assert_eq!(size_of(&sim, &done["output"][1]).await, (1024, 1024));
    let entry = &sim.entries()[0];
    assert_eq!(
        (&entry["phase"], &entry["model"], &entry["prompt"], &entry["seed"], &entry["billed"]),
        (&json!("submit"), &json!(FLUX), &json!("a cat"), &json!(7), &json!("0.006"))
    );
    assert_eq!((&entry["remote_id"], &sim.entries()[1]["phase"]), (&done["id"], &json!("poll")));
}

#[tokio::test]
async fn every_operation_draws_what_it_should() {
    let sim = start(json!({})).await;
    let (image, mask) = (data_uri(&png(320, 192)), mask_uri(320, 192, 100, 255));
    for (model, input, size, price) in [
        (FLUX, json!({"prompt": "a", "aspect_ratio": "16:9"}), (1344, 768), "0.003"),
        (FLUX, json!({"prompt": "a", "megapixels": "0.25"}), (512, 512), "0.003"),
        (
            "black-forest-labs/flux-dev",
            json!({"prompt": "a", "image": image, "prompt_strength": 0.5}),
            (320, 192),
            "0.025",
        ),
        (
            "black-forest-labs/flux-1.1-pro",
            json!({"prompt": "a", "aspect_ratio": "custom", "width": 512, "height": 256}),
            (512, 256),
            "0.04",
        ),
        (
            "black-forest-labs/flux-redux-dev",
            json!({"redux_image": image, "aspect_ratio": "1:1"}),
            (1024, 1024),
            "0.025",
        ),
        (
            "black-forest-labs/flux-fill-dev",
            json!({"prompt": "a", "image": image, "mask": mask}),
            (320, 192),
            "0.04",
        ),
        (
            "black-forest-labs/flux-fill-pro",
            json!({"prompt": "a", "image": image, "outpaint": "Zoom out 2x"}),
            (640, 384),
            "0.05",
        ),
        (
            "black-forest-labs/flux-kontext-pro",
            json!({"prompt": "a", "input_image": image}),
            (320, 192),
            "0.04",
        ),
        (
            "black-forest-labs/flux-2-pro",
            json!({"prompt": "a", "input_images": [image]}),
            (1024, 1024),
            "0.045",
        ),
        (
            "ideogram-ai/ideogram-v3-turbo",
            json!({"prompt": "a", "style_reference_images": [image]}),
            (1024, 1024),
            "0.03",
        ),
    ] {
        admin(&sim, "POST", "reset", Value::Null).await;
        let done = settled(&sim, create(&sim, model, input).await).await;
        let url = if done["output"].is_array() { &done["output"][0] } else { &done["output"] };
        assert_eq!(
            (size_of(&sim, url).await, sim.totals().all.billed.to_string()),
            (size, price.into()),
            "{model}"
        );
        let list = ["schnell", "dev"].iter().any(|end| model.ends_with(end));
        assert_eq!(done["output"].is_array(), list, "{model}");
    }
    for (model, input, size, price) in [
        ("nightmareai/real-esrgan", json!({"image": image}), (1280, 768), "0.002"),
        (
            "bytedance/sdxl-lightning-4step",
            json!({"prompt": "a", "width": 512, "height": 256}),
            (512, 256),
            "0.0014",
        ),
        ("zsxkib/pulid", json!({"main_face_image": image, "prompt": "a"}), (768, 1024), "0.02"),
        (
            "lucataco/ip-adapter-faceid",
            json!({"face_image": image, "prompt": "a", "agree_to_research_only": true}),
            (1024, 1024),
            "0.02",
        ),
    ] {
        admin(&sim, "POST", "reset", Value::Null).await;
        let done = settled(&sim, create_by_version(&sim, model, input).await).await;
        let url = if done["output"].is_array() { &done["output"][0] } else { &done["output"] };
        assert_eq!(
            (size_of(&sim, url).await, sim.totals().all.billed.to_string()),
            (size, price.into()),
            "{model}"
        );
    }
}

#[tokio::test]
async fn community_models_run_by_version_only() {
    let sim = start(json!({})).await;
    let model = "nightmareai/real-esrgan";
    let input = json!({"image": data_uri(&png(64, 64))});
    assert_eq!(create(&sim, model, input.clone()).await.status, 404);
    let found = ask(&sim, &format!("/replicate/v1/models/{model}")).await.json();
    let schema = &found["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"];
    assert_eq!(
        (&schema["required"], &schema["properties"]["scale"]["maximum"]),
        (&json!(["image"]), &json!(10.0))
    );
    let id = found["latest_version"]["id"].as_str().unwrap().to_owned();
    for (version, status) in [
        (id.clone(), 201),
        (format!("{model}:{id}"), 201),
        (model.to_owned(), 422),
        (format!("zsxkib/pulid:{id}"), 422),
        (id[2..].to_owned(), 422),
    ] {
        let body = json!({"version": version, "input": input});
        let reply = send(&sim, "POST", "/replicate/v1/predictions", REPLICATE, &body).await;
        assert_eq!(reply.status, status, "{version}");
        if status == 422 {
            assert_eq!(reply.json()["title"], "Invalid version or not permitted");
        }
    }
    let body = json!({"version": FLUX, "input": {"prompt": "a"}});
    assert_eq!(send(&sim, "POST", "/replicate/v1/predictions", REPLICATE, &body).await.status, 201);
    assert_eq!(sim.entries().iter().filter(|e| e["model"] == model && e["accepted"] == true).count(), 2);
}

#[tokio::test]
async fn a_request_that_waits_gets_the_finished_prediction() {
    let sim = start(json!({"render_seconds": 0.05})).await;
    let path = format!("/replicate/v1/models/{FLUX}/predictions");
    let body = json!({"input": {"prompt": "a"}});
    let headers = [REPLICATE, &[("prefer", "wait")]].concat();
    let reply = send(&sim, "POST", &path, &headers, &body).await;
    assert_eq!((reply.status, &reply.json()["status"]), (201, &json!("succeeded")));
    assert_eq!(size_of(&sim, &reply.json()["output"][0]).await, (1024, 1024));
    admin(&sim, "PUT", "config", json!({"render_seconds": 3600})).await;
    let headers = [REPLICATE, &[("prefer", "wait=1")]].concat();
    let reply = send(&sim, "POST", &path, &headers, &body).await;
    assert_eq!((reply.status, &reply.json()["status"]), (201, &json!("processing")));
}

#[tokio::test]
async fn large_files_are_uploaded_first() {
    let sim = start(json!({})).await;
    let file = png(1600, 900);
    let reply = upload(&sim, "content", &file).await;
    assert_eq!((reply.status, &reply.json()["size"]), (201, &json!(file.len())));
    let url = reply.json()["urls"]["get"].clone();
    let described = ask(&sim, url.as_str().unwrap()).await.json();
    assert_eq!((&described["content_type"], &described["name"]), (&json!("image/png"), &json!("a.png")));
    let input = json!({"prompt": "a", "image": url});
    let done = settled(&sim, create(&sim, "black-forest-labs/flux-dev", input.clone()).await).await;
    assert_eq!(size_of(&sim, &done["output"][0]).await, (1600, 900));
    let entries = sim.entries();
    let of = |phase: &str| entries.iter().find(|e| e["phase"] == phase).unwrap();
    assert_eq!(of("other")["inputs"][0]["name"], "content");
    assert_eq!(of("submit")["inputs"][0]["name"], "image");
    assert_eq!(of("submit")["inputs"][0]["sha256"], of("other")["inputs"][0]["sha256"]);
    assert_eq!(upload(&sim, "file", &file).await.status, 422);
    assert_eq!(send(&sim, "DELETE", url.as_str().unwrap(), REPLICATE, &Value::Null).await.status, 204);
    assert_eq!(ask(&sim, url.as_str().unwrap()).await.status, 404);
    let done = settled(&sim, create(&sim, "black-forest-labs/flux-dev", input).await).await;
    assert_eq!(done["status"], "failed");
}

#[tokio::test]
async fn masks_mark_in_the_models_own_colour() {
    let sim = start(json!({})).await;
    let image = data_uri(&png(64, 32));
    for (model, marks) in [
        ("black-forest-labs/flux-fill-dev", 255),
        ("black-forest-labs/flux-fill-pro", 255),
        ("ideogram-ai/ideogram-v2", 0),
        ("ideogram-ai/ideogram-v3-quality", 0),
    ] {
        admin(&sim, "POST", "reset", Value::Null).await;
        let input = json!({"prompt": "a", "image": image, "mask": mask_uri(64, 32, 16, marks)});
        let done = settled(&sim, create(&sim, model, input).await).await;
        assert_eq!(done["status"], "succeeded");
        let inputs = &sim.entries()[0]["inputs"];
        assert_eq!((&inputs[0]["name"], &inputs[0]["width"]), (&json!("image"), &json!(64)));
        assert_eq!((&inputs[1]["name"], &inputs[1]["marks"]["edited"]), (&json!("mask"), &json!(16 * 32)));
    }
}

#[tokio::test]
async fn refused_predictions_fail_and_cost_nothing() {
    let sim = start(json!({})).await;
    let done = settled(&sim, create(&sim, FLUX, json!({"prompt": "bare skin"})).await).await;
    assert_eq!(done["status"], "failed");
    assert!(done["error"].as_str().unwrap().starts_with("NSFW content detected"));
    admin(&sim, "PUT", "config", json!({"refusal_stage": "request"})).await;
    let done = settled(&sim, create(&sim, FLUX, json!({"prompt": "bare skin"})).await).await;
    let error = done["error"].as_str().unwrap();
    assert!(error.contains("flagged as sensitive") && error.contains("(E005)"), "{error}");
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.accepted, totals.billed_calls), (2, 2, 0));
    let unchecked = json!({"prompt": "bare skin", "disable_safety_checker": true});
    assert_eq!(settled(&sim, create(&sim, FLUX, unchecked).await).await["status"], "succeeded");
}

#[tokio::test]
async fn a_prediction_can_be_canceled_by_hand_and_by_the_clock() {
    let sim = start(json!({"render_seconds": 3600})).await;
    let created = create(&sim, FLUX, json!({"prompt": "a"})).await.json();
    let (get, cancel) =
        (created["urls"]["get"].as_str().unwrap(), created["urls"]["cancel"].as_str().unwrap());
    assert_eq!(ask(&sim, get).await.json()["status"], "processing");
    let reply = send(&sim, "POST", cancel, REPLICATE, &Value::Null).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("canceled")));
    let shown = ask(&sim, get).await.json();
    assert_eq!((&shown["status"], shown["completed_at"].is_string()), (&json!("canceled"), true));
    let headers = [REPLICATE, &[("cancel-after", "0.01s"), ("prefer", "wait")]].concat();
    let path = format!("/replicate/v1/models/{FLUX}/predictions");
    let reply = send(&sim, "POST", &path, &headers, &json!({"input": {"prompt": "a"}})).await;
    assert_eq!(reply.json()["status"], "canceled");
    assert_eq!((sim.totals().all.billed_calls, &sim.entries()[2]["phase"]), (1, &json!("cancel")));
}

#[tokio::test]
async fn pictures_and_data_are_removed_in_time() {
    let sim = start(json!({})).await;
    let created = create(&sim, FLUX, json!({"prompt": "a"})).await.json();
    let get = created["urls"]["get"].as_str().unwrap();
    let url = ask(&sim, get).await.json()["output"][0].as_str().unwrap().to_owned();
    assert_eq!(send(&sim, "GET", &url.replace("se=", "se=9"), &[], &Value::Null).await.status, 403);
    admin(&sim, "PUT", "config", json!({"picture_seconds": 0})).await;
    let removed = ask(&sim, get).await.json();
    assert_eq!(
        (&removed["status"], &removed["data_removed"], &removed["output"], &removed["input"]),
        (&json!("succeeded"), &json!(true), &Value::Null, &json!({}))
    );
}

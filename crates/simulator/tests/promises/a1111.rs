use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files::{base64, data_uri, mask, png, size_in_base64};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(sim: &Simulator, path: &str, body: Value) -> Reply {
    send(sim, "POST", &format!("/a1111/sdapi/v1/{path}"), &[JSON], &body).await
}

async fn ask(sim: &Simulator, path: &str) -> Reply {
    send(sim, "GET", &format!("/a1111/{path}"), &[], &Value::Null).await
}

fn info(reply: &Reply) -> Value {
    serde_json::from_str(reply.json()["info"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn pictures_come_in_base64_with_their_seeds() {
    let sim = start(json!({})).await;
    let body = json!({"prompt": "a cat", "width": 250, "height": "128", "seed": 7, "n_iter": 2, "hm": 1});
    let reply = post(&sim, "txt2img", body).await;
    let images = reply.json()["images"].as_array().unwrap().clone();
    assert_eq!((reply.status, images.len()), (200, 2));
    assert_eq!(size_in_base64(&images[1]), (248, 128), "sides are cut to multiples of 8");
    let told = info(&reply);
    assert_eq!((&told["seed"], &told["all_seeds"]), (&json!(7), &json!([7, 8])));
    assert_eq!((&told["sampler_name"], &told["index_of_first_image"]), (&json!("Euler"), &json!(0)));
    assert_eq!(reply.json()["parameters"]["prompt"], "a cat");
    let body = json!({"enable_hr": true, "hr_scale": 1.5, "width": 64, "height": 64, "seed": -1});
    let reply = post(&sim, "txt2img", body).await;
    assert_eq!(size_in_base64(&reply.json()["images"][0]), (96, 96));
    let body = json!({"batch_size": 3, "save_images": true, "width": 64, "height": 64});
    let reply = post(&sim, "txt2img", body).await;
    assert_eq!(
        (reply.json()["images"].as_array().unwrap().len(), info(&reply)["index_of_first_image"].clone()),
        (4, json!(1))
    );
    let entry = &sim.entries()[0];
    assert_eq!(
        (&entry["seed"], &entry["billed"], &entry["accepted"]),
        (&json!(7), &Value::Null, &json!(true))
    );
    assert_eq!(entry["model"], "v1-5-pruned-emaonly.safetensors [6ce0161689]");
}

#[tokio::test]
async fn a_mask_marks_its_white_pixels_unless_inverted() {
    let sim = start(json!({})).await;
    let image = data_uri(&png(64, 96));
    for (shade, invert) in [(255, 0), (0, 1)] {
        let body = json!({
            "prompt": "a cat",
            "init_images": [image],
            "mask": base64(&mask(64, 96, 3, shade)),
            "inpainting_mask_invert": invert,
            "width": 64,
            "height": 96,
        });
        let reply = post(&sim, "img2img", body).await;
        assert_eq!(size_in_base64(&reply.json()["images"][0]), (64, 96));
        assert_eq!(reply.json()["parameters"]["mask"], Value::Null);
        let inputs = sim.entries().pop().unwrap()["inputs"].clone();
        assert_eq!((&inputs[0]["name"], &inputs[1]["name"]), (&json!("init_images"), &json!("mask")));
        assert_eq!(inputs[1]["marks"]["edited"], 3 * 96);
    }
    let reply = post(&sim, "img2img", json!({"init_images": [image]})).await;
    assert_eq!(size_in_base64(&reply.json()["images"][0]), (512, 512), "the input's size is not followed");
}

#[tokio::test]
async fn control_net_units_are_checked_and_their_pictures_seen() {
    let sim = start(json!({})).await;
    let ask = async |unit: Value| {
        let scripts = json!({"ControlNet": {"args": [unit]}});
        post(&sim, "txt2img", json!({"width": 64, "height": 64, "alwayson_scripts": scripts})).await
    };
    let good = json!({
        "enabled": true,
        "module": "ip-adapter_clip_sd15",
        "model": "ip-adapter-plus-face_sd15 [7f7a633a]",
        "image": base64(&png(32, 32)),
        "weight": 0.8,
        "control_mode": "Balanced",
        "resize_mode": 1,
    });
    let patched = |name: &str, value: Value| {
        let mut unit = good.clone();
        unit[name] = value;
        unit
    };
    let reply = ask(good.clone()).await;
    assert_eq!(reply.json()["images"].as_array().unwrap().len(), 2, "the detected map comes along");
    let seen = sim.entries().pop().unwrap()["inputs"][0].clone();
    assert_eq!((&seen["name"], &seen["width"]), (&json!("controlnet[0].image"), &json!(32)));
    let reply = ask(patched("save_detected_map", json!(false))).await;
    assert_eq!(reply.json()["images"].as_array().unwrap().len(), 1);
    let reply = ask(patched("enabled", Value::Null)).await;
    assert_eq!((reply.status, sim.entries().pop().unwrap().get("inputs")), (200, None), "off unless told");
    for (name, value, status, text) in [
        ("model", json!("ip-adapter-plus-face_sd15"), 500, "not found in supported models."),
        ("module", json!("magic"), 500, "not found in supported modules."),
        ("weight", json!(3), 500, "between 0 and 2"),
        ("control_mode", json!("Wild"), 500, "enumeration"),
        ("image", json!("no"), 500, "Invalid encoded image"),
        ("image", Value::Null, 500, "no input image"),
        ("weight", json!("heavy"), 422, "not a valid float"),
    ] {
        let reply = ask(patched(name, value)).await;
        let body = String::from_utf8(reply.bytes.to_vec()).unwrap();
        assert!(reply.status == status && body.contains(text), "{name}: {} {body}", reply.status);
    }
}

#[tokio::test]
async fn pictures_are_enlarged_by_factor_or_to_a_size() {
    let sim = start(json!({})).await;
    let image = base64(&png(60, 40));
    for (body, expected) in [
        (json!({"image": image, "upscaler_1": "R-ESRGAN 4x+", "upscaling_resize": 4}), (240, 160)),
        (json!({"image": image, "upscaler_1": "Lanczos"}), (120, 80)),
        (json!({"image": image, "upscaling_resize": 4}), (60, 40)),
        (
            json!({"image": image, "upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 90, "upscaling_resize_h": 90}),
            (90, 90),
        ),
        (
            json!({"image": image, "upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 90, "upscaling_resize_h": 90, "upscaling_crop": false}),
            (135, 90),
        ),
    ] {
        let reply = post(&sim, "extra-single-image", body.clone()).await;
        assert_eq!(size_in_base64(&reply.json()["image"]), expected, "{body}");
    }
    for (body, status) in [
        (json!({"image": image, "upscaling_resize": 0}), 422),
        (json!({"image": image, "resize_mode": 2}), 422),
        (json!({"image": image, "gfpgan_visibility": 2}), 422),
        (json!({"image": image, "upscaler_1": "Magic"}), 500),
        (json!({"upscaler_1": "Lanczos"}), 500),
    ] {
        assert_eq!(post(&sim, "extra-single-image", body.clone()).await.status, status, "{body}");
    }
    let entry = &sim.entries()[0];
    assert_eq!((&entry["phase"], &entry["inputs"][0]["width"]), (&json!("submit"), &json!(60)));
}

#[tokio::test]
async fn what_the_real_server_rejects_is_rejected() {
    let sim = start(json!({})).await;
    for (path, body, status, text) in [
        ("txt2img", json!({"steps": "many"}), 422, "not a valid integer"),
        ("txt2img", json!({"prompt": ["a"]}), 422, "str type expected"),
        ("txt2img", json!({"sampler_name": "Magic"}), 404, "Sampler not found"),
        ("txt2img", json!({"override_settings": {"sd_model_checkpoint": "none"}}), 404, "Model not found"),
        ("txt2img", json!({"script_name": "magic"}), 422, "Script 'magic' not found"),
        ("txt2img", json!({"alwayson_scripts": {"magic": {}}}), 422, "always on script magic not found"),
        ("txt2img", json!({"width": 8192, "height": 8192}), 500, "CUDA out of memory"),
        ("txt2img", json!([]), 422, "dict"),
        ("img2img", json!({"prompt": "a"}), 404, "Init image not found"),
        ("img2img", json!({"init_images": ["%"]}), 500, "Invalid encoded image"),
        ("img2img", json!({"init_images": ["https://example.com/a.png"]}), 500, "Requests not allowed"),
        ("img2img", json!({"init_images": [base64(b"<html>")]}), 500, "Invalid encoded image"),
        ("options", json!({"sd_model_checkpoint": "none"}), 404, "Model not found"),
        ("magic", json!({}), 404, "Not Found"),
        ("progress", json!({}), 405, "Method Not Allowed"),
    ] {
        let reply = post(&sim, path, body.clone()).await;
        let answer = String::from_utf8(reply.bytes.to_vec()).unwrap();
        assert!(reply.status == status && answer.contains(text), "{path} {body}: {} {answer}", reply.status);
    }
    assert_eq!(ask(&sim, "txt2img").await.status, 404);
    assert_eq!(sim.totals().all.accepted, 0);
}

#[tokio::test]
async fn a_password_is_asked_for_only_when_there_is_one() {
    let sim = start(json!({})).await;
    assert_eq!(ask(&sim, "sdapi/v1/options").await.status, 200);
    let sim = start(json!({"keys": ["ann:secret"]})).await;
    let header = |text: &str| format!("Basic {}", base64(text.as_bytes()));
    for (value, status) in [
        (String::new(), 401),
        ("Bearer ann:secret".into(), 401),
        (header("ann:wrong"), 401),
        (header("ann:secret"), 200),
    ] {
        let reply =
            send(&sim, "GET", "/a1111/sdapi/v1/options", &[("authorization", &value)], &Value::Null).await;
        assert_eq!(reply.status, status, "{value}");
        assert!(status == 200 || reply.headers["www-authenticate"] == "Basic");
    }
}

#[tokio::test]
async fn the_server_tells_what_it_has_and_can_load_another_checkpoint() {
    let sim = start(json!({})).await;
    let models = ask(&sim, "sdapi/v1/sd-models").await.json();
    assert_eq!(models[1]["model_name"], "sd_xl_base_1.0");
    assert_eq!(
        post(&sim, "options", json!({"sd_model_checkpoint": "sd_xl_base_1.0"})).await.json(),
        Value::Null
    );
    assert_eq!(ask(&sim, "sdapi/v1/options").await.json()["sd_model_checkpoint"], models[1]["title"]);
    let reply = post(&sim, "txt2img", json!({"width": 64, "height": 64})).await;
    assert_eq!(info(&reply)["sd_model_name"], "sd_xl_base_1.0");
    for path in ["samplers", "schedulers", "upscalers", "scripts", "loras"] {
        assert_eq!(ask(&sim, &format!("sdapi/v1/{path}")).await.status, 200, "{path}");
    }
    for path in ["controlnet/model_list", "controlnet/module_list", "internal/ping"] {
        assert_eq!(ask(&sim, path).await.status, 200, "{path}");
    }
    assert_eq!(ask(&sim, "sdapi/v1/controlnet/version").await.status, 404);
}

#[tokio::test]
async fn one_job_at_a_time_is_worked_on_and_can_be_watched() {
    let sim = start(json!({"render_seconds": 0.3})).await;
    let body = || json!({"prompt": "a", "width": 64, "height": 64, "steps": 10});
    let begun = std::time::Instant::now();
    let watch = async {
        booked(&sim, 1).await;
        let seen = ask(&sim, "sdapi/v1/progress?skip_current_image=true").await.json();
        assert_eq!(send(&sim, "POST", "/a1111/sdapi/v1/interrupt", &[], &Value::Null).await.status, 200);
        (seen, ask(&sim, "sdapi/v1/progress").await.json())
    };
    let (one, two, (seen, stopped)) =
        tokio::join!(post(&sim, "txt2img", body()), post(&sim, "txt2img", body()), watch);
    assert!(begun.elapsed().as_secs_f64() >= 0.6, "{:?}", begun.elapsed());
    assert_eq!((one.status, two.status), (200, 200));
    assert!(seen["progress"].as_f64().unwrap() < 1.0 && seen["state"]["job_count"].as_u64().unwrap() > 0);
    assert_eq!(
        (&seen["state"]["sampling_steps"], &stopped["state"]["interrupted"]),
        (&json!(10), &json!(true))
    );
    assert_eq!(ask(&sim, "sdapi/v1/progress").await.json()["progress"], 0.0);
    let phases: Vec<_> = sim.entries().iter().map(|e| e["phase"].clone()).collect();
    assert!(phases.contains(&json!("poll")) && phases.contains(&json!("cancel")), "{phases:?}");
}

#[tokio::test]
async fn nothing_is_refused_billed_or_limited_and_faults_sound_like_the_server() {
    let sim = start(json!({"balance": "0", "active_task_limit": 0})).await;
    let body = || json!({"prompt": "nude", "width": 64, "height": 64});
    fault(&sim, json!("refuse"));
    assert_eq!(post(&sim, "txt2img", body()).await.json()["images"].as_array().unwrap().len(), 1);
    for (kind, status, key, value) in [
        ("empty", 200, "images", json!([])),
        ("task_error", 500, "error", json!("NansException")),
        ("task_not_found", 404, "detail", json!("Not Found")),
    ] {
        sim.clear_rules();
        fault(&sim, json!(kind));
        let reply = post(&sim, "txt2img", body()).await;
        assert_eq!((reply.status, &reply.json()[key]), (status, &value), "{kind}");
    }
    let totals = sim.totals().all;
    assert_eq!((totals.refused, totals.billed_calls, totals.accepted), (0, 0, 2));
}

use std::collections::BTreeMap;

use super::super::Charge;
use super::super::testing::*;
use super::*;
use crate::input::{Input, Inputs};
use crate::size::Size;

fn asked(more: Value) -> crate::job::Request {
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request(all)
}

fn prepared(task: Task, model: &str, more: Value, roles: &[Role]) -> Prepared {
    let (candidate, inputs) = (candidate("a1111", model), inputs(roles));
    A1111.prepare(&call_with(task, &asked(more), &candidate, &inputs)).unwrap()
}

/// The JSON that is sent, images only by their names.
fn body(prepared: &Prepared) -> Value {
    let mut body = json_body(prepared);
    for name in ["image", "mask"] {
        if let Some(picture) = body.get_mut(name) {
            assert!(picture.as_str().unwrap().starts_with("iVBOR"), "bare base64");
            *picture = json!("(picture)");
        }
    }
    if let Some(list) = body.get_mut("init_images") {
        assert_eq!(list.as_array().unwrap().len(), 1);
        *list = json!(["(picture)"]);
    }
    body
}

fn submitted(task: Task, model: &str, more: Value) -> Result<Reply, Rejection> {
    let (candidate, request, inputs) = (candidate("a1111", model), asked(json!({})), inputs(&[]));
    A1111.read_submit(&call_with(task, &request, &candidate, &inputs), &answer(200, more))
}

const TAG: &str = "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0-1";

#[test]
fn a_generation_says_everything_that_is_not_the_servers_own() {
    let made = prepared(
        Task::Generate,
        "sd-local",
        json!({"width": 1000, "height": 512, "negative_prompt": "dogs", "guidance": 7.5, "n": 2,
               "options": {"sampler_name": "Euler a", "script_name": "x"}}),
        &[],
    );
    assert_eq!(http(&made).url, "http://127.0.0.1:7860/sdapi/v1/txt2img");
    let expected = json!({
        "prompt": "a cat", "negative_prompt": "dogs", "seed": 7, "steps": 20, "cfg_scale": 7.5, "n_iter": 2,
        "width": 1000, "height": 512, "sampler_name": "Euler a", "force_task_id": TAG
    });
    assert_eq!(body(&made), expected);
    assert_eq!(codes(&made), ["unsupported"]);
    assert!(made.seed_honored);
}

#[test]
fn sizes_are_multiples_of_eight_and_changes_are_said() {
    // S125: what the server rounds to by itself, and no more.
    let sizes = |more: Value, source: Option<(u32, u32)>| {
        let (candidate, request) = (candidate("a1111", "sd-local"), asked(more));
        let mut all = Inputs::default();
        let task = source.map_or(Task::Generate, |(width, height)| {
            let picture = Input { size: Some(Size { width, height }), ..Input::stand_in() };
            all.set(Role::Image, picture);
            Task::Img2img
        });
        let made = A1111.prepare(&call_with(task, &request, &candidate, &all)).unwrap();
        let body = json_body(&made);
        let told = made.warnings.iter().map(|w| w.message.clone()).collect::<Vec<_>>().join("; ");
        (body["width"].as_u64().unwrap(), body["height"].as_u64().unwrap(), told)
    };
    let told = "size 100x77 became 104x80, the nearest this model makes".to_owned();
    assert_eq!(sizes(json!({"width": 100, "height": 77}), None), (104, 80, told));
    let told = "the image of 100x76 is made at 104x80, the nearest possible size".to_owned();
    assert_eq!(sizes(json!({}), Some((100, 76))), (104, 80, told));
    assert_eq!(sizes(json!({}), Some((1600, 1024))), (1600, 1024, String::new()));
}

#[test]
fn each_task_has_its_own_fields() {
    let common = |more: Value| {
        let mut all = json!({
            "prompt": "a cat", "seed": 7, "steps": 20, "n_iter": 1, "width": 96, "height": 64, "force_task_id": TAG,
            "init_images": ["(picture)"]
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let made = prepared(Task::Img2img, "sd-local", json!({}), &[Role::Image]);
    assert_eq!(http(&made).url, "http://127.0.0.1:7860/sdapi/v1/img2img");
    assert_eq!(body(&made), common(json!({"denoising_strength": 0.75})));
    assert!(codes(&made).is_empty());
    let made = prepared(Task::Variate, "sd-local", json!({"variance": 0.3}), &[Role::Image]);
    assert_eq!(body(&made), common(json!({"denoising_strength": 0.3})));
    let mask = &[Role::Image, Role::Mask];
    let masked = |strength: f64| {
        common(json!({
            "denoising_strength": strength, "mask": "(picture)", "inpaint_full_res": false, "inpainting_fill": 1
        }))
    };
    assert_eq!(body(&prepared(Task::Inpaint, "sd-local", json!({}), mask)), masked(0.75));
    let outpainted = prepared(Task::Inpaint, "sd-local", json!({"borders": {"left": 8}}), mask);
    assert_eq!(body(&outpainted), masked(0.9));
    let told = json!({"options": {"inpainting_fill": 2}, "strength": 1});
    assert_eq!(body(&prepared(Task::Inpaint, "sd-local", told, mask))["inpainting_fill"], 2);
    let made = prepared(Task::Upscale, "r-esrgan-4x", json!({"scale": 4}), &[Role::Image]);
    assert_eq!(http(&made).url, "http://127.0.0.1:7860/sdapi/v1/extra-single-image");
    let expected =
        json!({"image": "(picture)", "resize_mode": 0, "upscaling_resize": 4, "upscaler_1": "R-ESRGAN 4x+"});
    assert_eq!(body(&made), expected);
    assert_eq!(made.size.unwrap().to_string(), "384x256");
}

#[test]
fn a_checkpoint_is_named_unless_it_is_the_loaded_one() {
    let mut candidate = candidate("a1111", "*");
    candidate.remote_name = "dreamshaper_8".into();
    let request = asked(json!({}));
    let body = json_body(&A1111.prepare(&call(&request, &candidate)).unwrap());
    assert_eq!(body["override_settings"], json!({"sd_model_checkpoint": "dreamshaper_8"}));
}

#[test]
fn a_key_goes_out_only_where_the_provider_has_one() {
    let mut candidate = candidate("a1111", "sd-local");
    let request = asked(json!({}));
    assert_eq!(http(&A1111.prepare(&call(&request, &candidate)).unwrap()).auth, None);
    candidate.key_name = Some("A1111_AUTH".into());
    candidate.base_url = Some("http://gpu.example:7861/".into());
    let made = A1111.prepare(&call(&request, &candidate)).unwrap();
    assert!(http(&made).auth.unwrap().basic);
    assert_eq!(http(&made).url, "http://gpu.example:7861/sdapi/v1/txt2img");
}

#[test]
fn guiding_pictures_go_to_controlnet() {
    let made = prepared(Task::TransferStyle, "sd-local", json!({}), &[Role::Image, Role::StyleImage]);
    let sent = json_body(&made);
    let unit = &sent["alwayson_scripts"]["controlnet"]["args"][0];
    assert_eq!((&unit["module"], &unit["model"]), (&json!("reference_only"), &json!("None")));
    assert_eq!((&unit["enabled"], &unit["save_detected_map"]), (&json!(true), &json!(false)));
    assert!(unit["image"].is_string() && sent.get("style_image").is_none());
    // S110-S112
    for (mode, weight) in [("strict", 0.9), ("balanced", 0.6), ("loose", 0.3)] {
        let asked = json!({"consistency_mode": mode});
        let sent = json_body(&prepared(Task::Generate, "sd-local", asked, &[Role::ReferenceImage]));
        let unit = &sent["alwayson_scripts"]["controlnet"]["args"][0];
        assert_eq!((&unit["weight"], &unit["module"]), (&json!(weight), &json!("ip-adapter_clip_sd15")));
        assert!(sent.get("reference_image").is_none() && sent.get("reference_weight").is_none());
    }
}

#[test]
fn the_installed_model_is_looked_up_first() {
    let (candidate, inputs) = (candidate("a1111", "sd-local"), inputs(&[Role::ReferenceImage]));
    let request = asked(json!({}));
    let mut call = call_with(Task::Generate, &request, &candidate, &inputs);
    let prerequisite = A1111.prerequisite(&call).unwrap().unwrap();
    assert_eq!(prerequisite.request.url, "http://127.0.0.1:7860/controlnet/model_list");
    let list = json!({"model_list": ["control_canny [1]", "ip-adapter_sd15 [6a3f6166]", "ip-adapter-plus-face_sd15 [7f7a]"]});
    let name = A1111.read_prerequisite(prerequisite.name, &answer(200, list)).unwrap();
    assert_eq!(name, "ip-adapter-plus-face_sd15 [7f7a]");
    let found = BTreeMap::from([(prerequisite.name.to_owned(), name.clone())]);
    call.found = &found;
    assert_eq!(A1111.prerequisite(&call).unwrap(), None);
    let sent = json_body(&A1111.prepare(&call).unwrap());
    assert_eq!(sent["alwayson_scripts"]["controlnet"]["args"][0]["model"], json!(name));
    // Who names a model has looked himself.
    let request =
        asked(json!({"options": {"controlnet_model": "mine [1]", "controlnet_module": "ip-adapter-auto"}}));
    let call = call_with(Task::Generate, &request, &candidate, &inputs);
    assert_eq!(A1111.prerequisite(&call).unwrap(), None);
    let sent = json_body(&A1111.prepare(&call).unwrap());
    assert_eq!(sent["alwayson_scripts"]["controlnet"]["args"][0]["model"], "mine [1]");
    assert!(sent.get("controlnet_model").is_none());
    for (status, body, failure) in [
        (404, json!({"detail": "Not Found"}), Failure::NotSupported),
        (200, json!({"model_list": []}), Failure::NotSupported),
        (200, json!("garbage"), Failure::NotSupported),
        (401, json!({"detail": "Not authenticated"}), Failure::Unauthorized),
    ] {
        let rejection = A1111.read_prerequisite(prerequisite.name, &answer(status, body)).unwrap_err();
        assert_eq!(rejection.failed.failure, failure);
    }
    let request = asked(json!({}));
    assert_eq!(
        A1111.prerequisite(&call_with(Task::Generate, &request, &candidate, &Default::default())),
        Ok(None)
    );
}

#[test]
fn pictures_and_seeds_are_read_and_the_overview_dropped() {
    let read = |images: Value, info: Value| {
        let body = json!({"images": images, "parameters": {}, "info": info});
        let reply = submitted(Task::Generate, "sd-local", body).unwrap();
        let Reply::Finished(output) = reply else { panic!("{reply:?}") };
        (output.pictures.len(), output.seed, output.pictures[0].clone())
    };
    let (one, grid) = ("iVBORw==", "R1JJRA==");
    let png = Source::Inline(b"\x89PNG".to_vec());
    assert_eq!(read(json!([one]), json!("{\"seed\":7,\"all_seeds\":[7]}")), (1, Some(7), png.clone()));
    let two = json!("{\"seed\":7,\"all_seeds\":[7,8]}");
    assert_eq!(read(json!([grid, one, one]), two.clone()), (2, Some(7), png.clone()));
    assert_eq!(read(json!([one, one]), two), (2, Some(7), png.clone()));
    // What ControlNet saw comes after the images.
    assert_eq!(read(json!([one, grid]), json!("{\"all_seeds\":[7]}")), (1, Some(7), png.clone()));
    assert_eq!(
        read(json!([format!("data:image/png;base64,{one}")]), json!("no JSON")),
        (1, None, png.clone())
    );
    assert_eq!(read(json!([one]), json!({"seed": 9})), (1, Some(9), png.clone()));
    let reply = submitted(Task::Upscale, "r-esrgan-4x", json!({"html_info": "", "image": one})).unwrap();
    assert!(matches!(reply, Reply::Finished(output) if output.pictures == [png]));
}

#[test]
fn success_without_a_picture_is_no_success_and_costs_nothing() {
    for body in
        [json!({}), json!({"images": []}), json!({"images": ["%%"], "info": 7}), json!("x"), Value::Null]
    {
        for (task, model) in [(Task::Generate, "sd-local"), (Task::Upscale, "r-esrgan-4x")] {
            let rejection = submitted(task, model, body.clone()).unwrap_err();
            assert_eq!(
                (rejection.failed.failure, rejection.charge),
                (Failure::Broken, Charge::Free),
                "{body}"
            );
        }
    }
}

#[test]
fn each_documented_error_has_one_class() {
    let crash = |class: &str, text: &str| json!({"error": class, "detail": "", "body": "", "errors": text});
    let raised = |text: &str| json!({"error": "HTTPException", "detail": text, "body": "", "errors": ""});
    for (status, body, failure) in [
        (401, json!({"detail": "Incorrect username or password"}), Failure::Unauthorized),
        (404, json!({"detail": "Not Found"}), Failure::ModelGone),
        (404, raised("Sampler not found"), Failure::ModelGone),
        (400, raised("Sampler not found"), Failure::ModelGone),
        (404, raised("Model not found"), Failure::ModelGone),
        (404, raised("Init image not found"), Failure::Invalid),
        (
            422,
            json!({"detail": [{"loc": ["body", "steps"], "msg": "value is not a valid integer"}]}),
            Failure::Invalid,
        ),
        (422, raised("Script 'x' not found"), Failure::Invalid),
        (422, raised("always on script controlnet not found"), Failure::NotSupported),
        (500, raised("Invalid encoded image"), Failure::Invalid),
        (500, crash("OutOfMemoryError", "CUDA out of memory. Tried"), Failure::Overloaded { after: None }),
        (500, crash("RuntimeError", "CUDA out of memory"), Failure::Overloaded { after: None }),
        (500, crash("ValidationError", "model(x) not found in supported models."), Failure::ModelGone),
        (500, crash("NansException", "A tensor with all NaNs was produced"), Failure::Broken),
        (500, json!({"error": "RuntimeError"}), Failure::Broken),
        (503, Value::Null, Failure::Overloaded { after: None }),
    ] {
        let rejection = A1111.read_error(&answer(status, body.clone()));
        assert_eq!(rejection.failed.failure, failure, "{status} {body}");
        assert_eq!(rejection.charge, Charge::Free);
    }
    let off = A1111.read_error(&answer(404, json!({"detail": "Not Found"})));
    assert!(off.failed.message.contains("--api"));
    let garbage = HttpResponse { status: 500, headers: vec![], body: b"<html>".to_vec() };
    assert_eq!(A1111.read_error(&garbage).failed.failure, Failure::Broken);
}

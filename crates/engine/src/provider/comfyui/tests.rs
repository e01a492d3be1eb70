use std::collections::BTreeMap;

use serde_json::json;

use super::super::testing::*;
use super::*;
use crate::http::Method;
use crate::input::Inputs;
use crate::job::Task;
use crate::size::Size;

const TAG: &str = "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0-1";
const BASE: &str = "http://127.0.0.1:8188";

/// What is sent once the images are uploaded.
fn body(task: Task, model: &str, asked: Value, roles: &[Role]) -> Value {
    let (candidate, inputs) = (candidate("comfyui", model), inputs(roles));
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let request = request(all);
    let found: BTreeMap<String, String> =
        roles.iter().map(|role| (role.name().to_owned(), format!("up/{}.png", role.name()))).collect();
    let call = Call { found: &found, ..call_with(task, &request, &candidate, &inputs) };
    json_body(&ComfyUi.prepare(&call).unwrap())
}

/// Node, class and inputs, one line each.
fn nodes(body: &Value) -> Vec<String> {
    let graph = body["prompt"].as_object().unwrap();
    let line = |(id, node): (&String, &Value)| {
        format!("{id} {} {}", node["class_type"].as_str().unwrap(), node["inputs"])
    };
    graph.iter().map(line).collect()
}

fn remote() -> Remote {
    Remote {
        id: "I".into(),
        poll_url: format!("{BASE}/queue"),
        result_url: Some(format!("{BASE}/history/I")),
        cancel_url: Some(format!("{BASE}/queue")),
    }
}

fn history(entry: Value) -> Result<Reply, Rejection> {
    ComfyUi.read_result(&remote(), &answer(200, json!({ "I": entry })))
}

#[test]
fn a_prompt_becomes_a_graph() {
    let asked = json!({"negative_prompt": "dogs", "steps": 30, "width": 1024, "height": 768,
                       "options": {"sampler_name": "dpmpp_2m"}});
    let body = body(Task::Generate, "sd-xl-base", asked, &[]);
    let expected = json!({
        "3": {"class_type": "KSampler", "inputs": {
            "seed": 7, "steps": 30, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "normal", "denoise": 1,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "dogs", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {
            "images": ["8", 0], "filename_prefix": format!("image_gen/{TAG}")}}
    });
    assert_eq!(body["prompt"], expected);
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[test]
fn the_ids_of_an_attempt_are_always_the_same() {
    let once = body(Task::Generate, "sd-xl-base", json!({}), &[]);
    assert_eq!(once, body(Task::Generate, "sd-xl-base", json!({}), &[]));
    let id = once["prompt_id"].as_str().unwrap();
    assert_ne!(once["client_id"], id);
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert!(id.as_bytes()[14] == b'8' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
    assert_ne!(uuid("prompt", "gen_1-1"), uuid("prompt", "gen_1-2"));
}

#[test]
fn sizes_are_rounded_to_8_and_said_so() {
    // S125
    let candidate = candidate("comfyui", "sd-xl-base");
    let request = request(json!({"prompt": "x", "seed": 1, "width": 1001, "height": 600}));
    let prepared = ComfyUi.prepare(&call(&request, &candidate)).unwrap();
    assert_eq!(codes(&prepared), ["adjusted"]);
    let latent = &json_body(&prepared)["prompt"]["5"]["inputs"];
    assert_eq!((&latent["width"], &latent["height"]), (&json!(1000), &json!(600)));
}

#[test]
fn an_outpainting_beyond_what_the_model_makes_is_refused() {
    let candidate = candidate("comfyui", "sd-xl-base");
    let outpaint = |left: u32| {
        let request = request(json!({"prompt": "x", "seed": 1, "borders": {"left": left}}));
        let mut inputs = Inputs::default();
        inputs
            .set(Role::Image, Input { size: Some(Size { width: 1600, height: 1024 }), ..Input::stand_in() });
        ComfyUi.prepare(&call_with(Task::Outpaint, &request, &candidate, &inputs)).map(drop)
    };
    assert_eq!(outpaint(448), Ok(()));
    assert!(outpaint(449).unwrap_err().message.contains("2049x1024 pixels"));
}

#[test]
fn each_task_has_its_own_nodes() {
    let has = |body: &Value, line: &str| {
        let nodes = nodes(body);
        assert!(nodes.iter().any(|n| n == line), "{line}\nnot in\n{}", nodes.join("\n"));
    };
    let image = &[Role::Image];
    let edit = body(Task::Img2img, "sd-xl-base", json!({"strength": 0.4}), image);
    has(&edit, r#"10 LoadImage {"image":"up/image.png"}"#);
    has(&edit, r#"11 VAEEncode {"pixels":["10",0],"vae":["4",2]}"#);
    assert_eq!(edit["prompt"]["3"]["inputs"]["denoise"], 0.4);
    assert_eq!(edit["prompt"]["3"]["inputs"]["latent_image"], json!(["11", 0]));
    let variation = body(Task::Variate, "sd-xl-base", json!({}), image);
    assert_eq!(variation["prompt"]["3"]["inputs"]["denoise"], 0.5);
    let inpaint = body(Task::Inpaint, "sd-xl-base", json!({}), &[Role::Image, Role::Mask]);
    has(&inpaint, r#"12 LoadImageMask {"channel":"red","image":"up/mask.png"}"#);
    has(
        &inpaint,
        r#"11 VAEEncodeForInpaint {"grow_mask_by":6,"mask":["12",0],"pixels":["10",0],"vae":["4",2]}"#,
    );
    assert_eq!(inpaint["prompt"]["3"]["inputs"]["denoise"], 1);
    let outpaint = body(Task::Outpaint, "sd-xl-base", json!({"borders": {"left": 64, "bottom": 8}}), image);
    has(
        &outpaint,
        r#"13 ImagePadForOutpaint {"bottom":8,"feathering":40,"image":["10",0],"left":64,"right":0,"top":0}"#,
    );
    has(
        &outpaint,
        r#"11 VAEEncodeForInpaint {"grow_mask_by":6,"mask":["13",1],"pixels":["13",0],"vae":["4",2]}"#,
    );
}

#[test]
fn an_upscale_by_two_shrinks_what_the_model_made() {
    let body = |scale: u32| body(Task::Upscale, "real-esrgan", json!({"scale": scale}), &[Role::Image]);
    let save = format!(r#"{{"filename_prefix":"image_gen/{TAG}","images":["#);
    let four = [
        r#"10 LoadImage {"image":"up/image.png"}"#.to_owned(),
        r#"14 UpscaleModelLoader {"model_name":"RealESRGAN_x4plus.pth"}"#.to_owned(),
        r#"15 ImageUpscaleWithModel {"image":["10",0],"upscale_model":["14",0]}"#.to_owned(),
        format!(r#"9 SaveImage {save}"15",0]}}"#),
    ];
    assert_eq!(nodes(&body(4)), four);
    let scaled = r#"16 ImageScaleBy {"image":["15",0],"scale_by":0.5,"upscale_method":"lanczos"}"#;
    assert_eq!(nodes(&body(2))[3..], [scaled.to_owned(), format!(r#"9 SaveImage {save}"16",0]}}"#)]);
}

#[test]
fn several_pictures_have_a_seed_and_a_file_each() {
    let body = body(Task::Variate, "sd-xl-base", json!({"n": 3}), &[Role::Image]);
    let seeds = ["3", "3_2", "3_3"].map(|id| body["prompt"][id]["inputs"]["seed"].as_u64().unwrap());
    assert_eq!(seeds, [7, 8, 9]);
    assert_eq!(body["prompt"]["9_3"]["inputs"]["images"], json!(["8_3", 0]));
    assert_eq!(body["prompt"]["8_3"]["inputs"]["samples"], json!(["3_3", 0]));
}

#[test]
fn each_picture_is_uploaded_once() {
    let candidate = candidate("comfyui", "sd-xl-base");
    let request = request(json!({"prompt": "x", "seed": 1}));
    let inputs = inputs(&[Role::Image, Role::Mask]);
    let plan = call_with(Task::Inpaint, &request, &candidate, &inputs);
    let mut found = BTreeMap::new();
    for role in ["image", "mask"] {
        let call = Call { found: &found, ..plan };
        let prerequisite = ComfyUi.prerequisite(&call).unwrap().unwrap();
        assert_eq!(
            (prerequisite.name, prerequisite.request.url.as_str()),
            (role, "http://127.0.0.1:8188/upload/image")
        );
        let Body::Form(parts) = &prerequisite.request.body else { panic!() };
        assert_eq!(parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["image", "type", "overwrite"]);
        let Content::File { name, .. } = &parts[0].content else { panic!() };
        assert_eq!(*name, format!("image_gen-{TAG}-{role}.png"));
        let named = answer(200, json!({"name": format!("{role} (1).png"), "subfolder": "", "type": "input"}));
        found.insert(role.to_owned(), ComfyUi.read_prerequisite(prerequisite.name, &named).unwrap());
    }
    let call = Call { found: &found, ..plan };
    assert_eq!(ComfyUi.prerequisite(&call), Ok(None));
    let body = json_body(&ComfyUi.prepare(&call).unwrap());
    assert_eq!(body["prompt"]["10"]["inputs"]["image"], "image (1).png");
    // A plan is made before anything is uploaded.
    let body = json_body(&ComfyUi.prepare(&plan).unwrap());
    assert_eq!(body["prompt"]["12"]["inputs"]["image"], format!("image_gen-{TAG}-mask.png"));
    let inputs = Inputs::default();
    assert_eq!(ComfyUi.prerequisite(&Call { inputs: &inputs, task: Task::Generate, ..plan }), Ok(None));
}

#[test]
fn an_upload_is_called_what_the_server_says() {
    let read = |status, body| ComfyUi.read_prerequisite("image", &answer(status, body));
    let body = json!({"name": "a.png", "subfolder": "clips", "type": "input"});
    assert_eq!(read(200, body), Ok("clips/a.png".into()));
    for body in [json!({}), json!({"name": ""}), json!("garbage"), Value::Null] {
        assert_eq!(read(200, body).unwrap_err().failed.failure, Failure::Broken);
    }
    assert_eq!(read(400, Value::Null).unwrap_err().failed.failure, Failure::Invalid);
}

#[test]
fn what_is_accepted_is_asked_for_in_the_queue_and_then_in_the_history() {
    let candidate = candidate("comfyui", "sd-xl-base");
    let request = request(json!({"prompt": "x", "seed": 1}));
    let call = call(&request, &candidate);
    let accepted = answer(200, json!({"prompt_id": "I", "number": 1, "node_errors": {}}));
    let reply = ComfyUi.read_submit(&call, &accepted).unwrap();
    assert_eq!(reply, Reply::Accepted { remote: remote(), cost: None });
    for garbage in [json!({}), json!({"prompt_id": []}), json!("x"), Value::Null] {
        let rejection = ComfyUi.read_submit(&call, &answer(200, garbage)).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Uncertain);
    }
    let poll = |running: Value, waiting: Value| {
        let queue = json!({"queue_running": running, "queue_pending": waiting});
        ComfyUi.read_poll(&remote(), &answer(200, queue)).unwrap()
    };
    let (ours, other) = (json!([4, "I", {}, {}, ["9"]]), json!([3, "J", {}, {}, ["9"]]));
    assert_eq!(poll(json!([ours]), json!([other])), Reply::Pending { after: None });
    assert_eq!(poll(json!([other]), json!([ours])), Reply::Pending { after: None });
    let ask = HttpRequest::get(format!("{BASE}/history/I"), None);
    assert_eq!(poll(json!([other]), json!([])), Reply::Ask(ask));
    let http = ComfyUi.cancel(&remote()).unwrap();
    assert_eq!((http.url.as_str(), http.timeout), ("http://127.0.0.1:8188/queue", CANCEL_TIMEOUT));
    assert_eq!(http.body, Body::Json(json!({"delete": ["I"]})));
}

#[test]
fn a_task_that_runs_is_interrupted_and_no_other_one() {
    let further = |step: u32, running: Value| {
        let queue = json!({"queue_running": running, "queue_pending": [[5, "K", {}, {}, ["9"]]]});
        ComfyUi.cancel_further(&remote(), step, &answer(200, queue))
    };
    let (ours, other) = (json!([4, "I", {}, {}, ["9"]]), json!([3, "J", {}, {}, ["9"]]));
    // Whether it runs is asked after it was taken out of the queue.
    let look = further(0, Value::Null).unwrap();
    assert_eq!((look.method, look.url.as_str()), (Method::Get, "http://127.0.0.1:8188/queue"));
    let stop = further(1, json!([ours])).unwrap();
    assert_eq!((stop.url.as_str(), stop.timeout), ("http://127.0.0.1:8188/interrupt", CANCEL_TIMEOUT));
    assert_eq!(stop.body, Body::Json(json!({"prompt_id": "I"})));
    assert_eq!(further(1, json!([other])), None);
    assert_eq!(further(1, json!([])), None);
    assert_eq!(further(2, json!([ours])), None);
}

#[test]
fn all_files_of_all_nodes_are_found_and_previews_are_not() {
    let image = |name: &str, kind: &str| json!({"filename": name, "subfolder": "image_gen", "type": kind});
    let entry = json!({
        "prompt": [1, "I", {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}, {}, ["9"]],
        "outputs": {
            "9": {"images": [image("a b_00001_.png", "output"), image("c.png", "output")]},
            "12": {"images": [image("preview.png", "temp")]},
            "9_2": {"images": [image("d&e.png", "output")]},
            "20": {"text": ["x"]}
        },
        "status": {"status_str": "success", "completed": true, "messages": [
            ["execution_start", {"prompt_id": "I", "timestamp": 1_700_000_000_000_u64}],
            ["execution_success", {"prompt_id": "I", "timestamp": 1_700_000_003_500_u64}]
        ]}
    });
    let Ok(Reply::Finished(output)) = history(entry) else { panic!() };
    let view = |name: &str| Source::Url {
        url: format!("{BASE}/view?filename={name}&subfolder=image_gen&type=output"),
        lifetime: None,
    };
    assert_eq!(output.pictures, [view("a+b_00001_.png"), view("c.png"), view("d%26e.png")]);
    assert_eq!((output.seed, output.render_seconds), (Some(7), Some(3.5)));
}

#[test]
fn an_entry_in_the_history_is_not_success() {
    let failed = |messages: Value| {
        let status = json!({"status_str": "error", "completed": false, "messages": messages});
        history(json!({"outputs": {"9": {"images": []}}, "status": status})).unwrap_err().failed
    };
    let error = |kind: &str, text: &str| json!([["execution_start", {}], ["execution_error", {"exception_type": kind, "exception_message": text}]]);
    let memory = failed(error("torch.OutOfMemoryError", "Allocation on device"));
    assert_eq!(memory.failure, Failure::Broken);
    assert!(memory.message.starts_with("the machine's memory did not suffice"), "{}", memory.message);
    assert_eq!(failed(error("RuntimeError", "shapes")).message, "the render failed: RuntimeError: shapes");
    let stopped = failed(json!([["execution_interrupted", {"prompt_id": "I"}]]));
    assert!(stopped.message.contains("interrupted"));
    assert_eq!(failed(Value::Null).failure, Failure::Broken);
    for outputs in
        [json!({}), json!({"12": {"images": [{"filename": "p.png", "type": "temp"}]}}), Value::Null]
    {
        let entry = json!({"outputs": outputs, "status": {"status_str": "success", "completed": true}});
        assert_eq!(history(entry).unwrap_err().failed.failure, Failure::Broken);
    }
    assert_eq!(history(json!(7)).unwrap_err().failed.failure, Failure::Broken);
}

#[test]
fn a_task_that_is_nowhere_is_lost_and_nonsense_is_asked_again() {
    let result =
        |status, body| ComfyUi.read_result(&remote(), &answer(status, body)).unwrap_err().failed.failure;
    let poll = |status, body| ComfyUi.read_poll(&remote(), &answer(status, body)).unwrap_err().failed.failure;
    assert_eq!(result(200, json!({})), Failure::NotFound);
    assert_eq!(result(200, json!({"J": {}})), Failure::NotFound);
    for garbage in [json!([]), json!("x"), Value::Null] {
        assert_eq!(result(200, garbage.clone()), Failure::Garbled);
        assert_eq!(poll(200, garbage), Failure::Garbled);
    }
    assert_eq!(poll(404, Value::Null), Failure::Garbled);
    // What a gateway says tells nothing of the task: it is asked again.
    assert_eq!(result(502, Value::Null), Failure::Uncertain);
}

#[test]
fn each_documented_error_has_one_class() {
    let node = |kind: &str, input: &str| {
        let message = format!("{kind}!");
        let error =
            json!({"type": kind, "message": message, "details": "why", "extra_info": {"input_name": input}});
        let node = json!({"errors": [error], "dependent_outputs": ["9"], "class_type": "X"});
        let outer = json!({"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"});
        ComfyUi.read_error(&answer(400, json!({"error": outer, "node_errors": {"4": node}}))).failed
    };
    let missing = node("value_not_in_list", "ckpt_name");
    assert_eq!(missing.failure, Failure::ModelGone);
    let message = "HTTP 400: Prompt outputs failed validation: value_not_in_list!: why";
    assert_eq!(missing.message, message);
    assert_eq!(node("value_not_in_list", "model_name").failure, Failure::ModelGone);
    assert_eq!(node("value_not_in_list", "sampler_name").failure, Failure::Invalid);
    assert_eq!(node("value_not_in_list", "scheduler").failure, Failure::Invalid);
    assert_eq!(node("value_bigger_than_max", "width").failure, Failure::Invalid);
    let error = |status: u16, body: Value| ComfyUi.read_error(&answer(status, body)).failed;
    let nodes =
        json!({"error": {"type": "missing_node_type", "message": "Node not found"}, "node_errors": {}});
    assert_eq!(error(400, nodes).failure, Failure::ModelGone);
    for kind in ["no_prompt", "prompt_no_outputs", "invalid_prompt"] {
        let body = json!({"error": {"type": kind, "message": "m"}, "node_errors": []});
        assert_eq!(error(400, body).failure, Failure::Invalid, "{kind}");
    }
    assert_eq!(error(400, json!({"error": "no prompt"})).message, "HTTP 400: no prompt");
    // S141: another program at this address.
    let other = error(404, json!({"detail": "Not Found"}));
    assert_eq!(other.failure, Failure::ModelGone);
    assert_eq!(other.message, "HTTP 404: there is no ComfyUI at this address");
    assert_eq!(error(401, Value::Null).failure, Failure::Unauthorized);
    // It is asked for by its name.
    assert_eq!(error(500, Value::Null).failure, Failure::Uncertain);
}

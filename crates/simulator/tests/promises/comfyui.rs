use image::{GrayImage, Luma, LumaA, RgbImage};
use image_gen_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::*;
use crate::files;
use crate::files::{FORM, Field, encoded, form, png};

mod wrong;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn call(sim: &Simulator, method: &str, path: &str, body: Value) -> Reply {
    send(sim, method, &format!("/comfyui/{path}"), JSON, &body).await
}

fn picture(prompt: &str, seed: u64) -> Value {
    json!({
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "3": {"class_type": "KSampler", "inputs": {
            "seed": seed, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["8", 0]}},
    })
}

async fn queue(sim: &Simulator, graph: &Value) -> Reply {
    call(sim, "POST", "prompt", json!({"prompt": graph, "client_id": "C"})).await
}

async fn queued(sim: &Simulator, graph: &Value) -> String {
    let reply = queue(sim, graph).await;
    assert_eq!(reply.status, 200, "{:?}", reply.bytes);
    reply.json()["prompt_id"].as_str().unwrap().to_owned()
}

/// What the history says of a job.
async fn history(sim: &Simulator, id: &str) -> Value {
    call(sim, "GET", &format!("history/{id}"), Value::Null).await.json()[id].clone()
}

async fn upload(sim: &Simulator, name: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Reply {
    let mut parts: Vec<Field<'_>> = fields.iter().map(|(name, value)| Field::Text(name, value)).collect();
    parts.push(Field::Named("image", name, bytes.to_vec()));
    let (headers, form) = ([FORM], form(&parts));
    try_send(sim, "POST", "/comfyui/upload/image", &headers, form).await.unwrap()
}

/// The size of the image that a finished job shows at a node.
async fn size(sim: &Simulator, id: &str, node: &str) -> (u32, u32) {
    let shown = history(sim, id).await["outputs"][node]["images"][0].clone();
    let of = |name: &str| shown[name].as_str().unwrap().to_owned();
    let path = format!(
        "/comfyui/view?filename={}&subfolder={}&type={}",
        of("filename"),
        of("subfolder"),
        of("type")
    );
    let reply = send(sim, "GET", &path, &[], &Value::Null).await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"image/png".parse().unwrap()));
    files::size(&reply.bytes)
}

#[tokio::test]
async fn a_graph_is_queued_and_its_picture_fetched_without_key_or_bill() {
    let sim = start(json!({})).await;
    let reply = queue(&sim, &picture("a nude cat, anatomy", 7)).await.json();
    assert_eq!((&reply["number"], &reply["node_errors"]), (&json!(0), &json!({})));
    let id = reply["prompt_id"].as_str().unwrap();
    let entry = history(&sim, id).await;
    assert_eq!(
        (&entry["status"]["status_str"], &entry["status"]["completed"]),
        (&json!("success"), &json!(true))
    );
    let shown = json!([{"filename": "out_00001_.png", "subfolder": "", "type": "output"}]);
    assert_eq!(entry["outputs"]["9"]["images"], shown);
    assert_eq!(
        (&entry["prompt"][1], &entry["prompt"][3], &entry["prompt"][4]),
        (&json!(id), &json!({"client_id": "C"}), &json!(["9"]))
    );
    assert_eq!(size(&sim, id, "9").await, (512, 768));
    let entries = sim.entries();
    let [submit, poll, _, view] = &entries[..] else { panic!("{}", entries.len()) };
    assert_eq!(
        (&submit["prompt"], &submit["seed"], &submit["model"]),
        (&json!("a nude cat, anatomy"), &json!(7), &json!("sd_xl_base_1.0.safetensors"))
    );
    assert_eq!(
        (&submit["remote_id"], &poll["remote_id"], &view["remote_id"]),
        (&json!(id), &json!(id), &json!(id))
    );
    assert_eq!(
        (&poll["phase"], &poll["outcome"], &view["phase"]),
        (&json!("poll"), &json!("ready"), &json!("picture"))
    );
    let totals = sim.totals().all;
    assert_eq!((totals.accepted, totals.refused, totals.billed_calls), (1, 0, 0));
}

#[tokio::test]
async fn jobs_run_one_after_the_other_under_the_callers_ids() {
    let sim = start(json!({"render_seconds": 3600})).await;
    for (id, front) in [("first", false), ("second", false), ("third", false), ("urgent", true)] {
        let seed = id.len() as u64 + u64::from(front);
        let body = json!({"prompt": picture(id, seed), "prompt_id": id, "front": front});
        assert_eq!(call(&sim, "POST", "api/prompt", body).await.json()["prompt_id"], id);
    }
    let ids = async || {
        let queue = call(&sim, "GET", "queue", Value::Null).await.json();
        let ids = |name: &str| {
            let all = queue[name].as_array().unwrap().iter();
            all.map(|job| job[1].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        (ids("queue_running"), ids("queue_pending"))
    };
    assert_eq!(ids().await, ("first".into(), "urgent second third".into()));
    assert_eq!(sim.totals().all.peak_in_flight, 4);
    let left = call(&sim, "GET", "prompt", Value::Null).await.json();
    assert_eq!(left, json!({"exec_info": {"queue_remaining": 4}}));
    assert_eq!(history(&sim, "first").await, Value::Null);
    // What runs is not deleted, what waits is not interrupted.
    call(&sim, "POST", "queue", json!({"delete": ["first", "second"]})).await;
    call(&sim, "POST", "interrupt", json!({"prompt_id": "third"})).await;
    assert_eq!(ids().await, ("first".into(), "urgent third".into()));
    let reply = call(&sim, "POST", "interrupt", json!({"prompt_id": "first"})).await;
    assert_eq!((reply.status, reply.bytes.len()), (200, 0));
    assert_eq!(ids().await, ("urgent".into(), "third".into()));
    let status = history(&sim, "first").await["status"].clone();
    assert_eq!((&status["status_str"], &status["completed"]), (&json!("error"), &json!(false)));
    assert_eq!(status["messages"][2][0], "execution_interrupted");
    call(&sim, "POST", "queue", json!({"clear": true})).await;
    call(&sim, "POST", "interrupt", json!({})).await;
    assert_eq!(ids().await, (String::new(), String::new()));
    assert_eq!(history(&sim, "third").await, Value::Null, "it never was");
    call(&sim, "POST", "history", json!({"delete": ["first"]})).await;
    let all = call(&sim, "GET", "history", Value::Null).await.json();
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["urgent"]);
    let cancels = sim.entries().iter().filter(|e| e["phase"] == "cancel").count();
    assert_eq!(cancels, 5);
}

#[tokio::test]
async fn the_same_graph_again_makes_nothing_new() {
    let sim = start(json!({})).await;
    let outputs = async |graph: Value| {
        let entry = history(&sim, &queued(&sim, &graph).await).await;
        assert_eq!(entry["status"]["status_str"], "success");
        entry["outputs"]["9"]["images"][0]["filename"].clone()
    };
    assert_eq!(outputs(picture("a cat", 1)).await, "out_00001_.png");
    assert_eq!(outputs(picture("a cat", 1)).await, Value::Null);
    assert_eq!(outputs(picture("a cat", 2)).await, "out_00002_.png");
    assert_eq!(outputs(picture("a cat", 1)).await, "out_00003_.png", "only the last run is remembered");
}

#[tokio::test]
async fn uploads_of_the_same_name_are_renamed() {
    let sim = start(json!({})).await;
    let (one, two) = (png(8, 8), png(9, 9));
    let named =
        async |bytes: &[u8], fields: &[(&str, &str)]| upload(&sim, "x.png", bytes, fields).await.json();
    assert_eq!(named(&one, &[]).await, json!({"name": "x.png", "subfolder": "", "type": "input"}));
    assert_eq!(named(&two, &[]).await["name"], "x (1).png");
    assert_eq!(named(&one, &[]).await["name"], "x.png", "the very same image");
    assert_eq!(named(&two, &[("overwrite", "true")]).await["name"], "x.png");
    assert_eq!(
        named(&one, &[("subfolder", "a"), ("type", "temp")]).await,
        json!({"name": "x.png", "subfolder": "a", "type": "temp"})
    );
    let seen = async |query: &str| {
        let reply = send(&sim, "GET", &format!("/comfyui/view?{query}"), &[], &Value::Null).await;
        (reply.status, reply.bytes.len())
    };
    assert_eq!(seen("filename=x.png&type=input").await, (200, two.len()));
    assert_eq!(seen("filename=x.png&type=temp&subfolder=a").await, (200, one.len()));
    for (query, status) in [
        ("filename=y.png&type=input", 404),
        ("filename=x.png", 404),
        ("type=input", 400),
        ("filename=../x.png&type=input", 400),
        ("filename=x.png&type=secret", 400),
        ("filename=x.png&type=input&subfolder=../b", 403),
    ] {
        assert_eq!(seen(query).await.0, status, "{query}");
    }
    assert_eq!(upload(&sim, "x.png", &one, &[("subfolder", "../b")]).await.status, 400);
    assert_eq!(call(&sim, "POST", "upload/image", json!({"image": "x"})).await.status, 400);
}

/// An inpainting graph whose mask comes from there.
fn inpaint(image: &str, mask: &Value, loader: &Value) -> Value {
    let mut graph = picture("a hat", 3);
    graph["10"] = json!({"class_type": "LoadImage", "inputs": {"image": image}});
    graph["12"] = loader.clone();
    graph["11"] = json!({"class_type": "VAEEncodeForInpaint", "inputs": {"pixels": ["10", 0], "vae": ["4", 2], "mask": mask, "grow_mask_by": 6}});
    graph["3"]["inputs"]["latent_image"] = json!(["11", 0]);
    graph
}

#[tokio::test]
async fn masks_mark_the_same_pixels_whichever_way_they_come() {
    let sim = start(json!({})).await;
    let marked = |x: u32| x < 5;
    let clear = image::GrayAlphaImage::from_fn(64, 40, |x, _| LumaA([90, if marked(x) { 0 } else { 255 }]));
    let white = GrayImage::from_fn(64, 40, |x, _| Luma([if marked(x) { 255 } else { 0 }]));
    let green = RgbImage::from_fn(64, 40, |x, _| {
        image::Rgb([if marked(x) { 0 } else { 255 }, if marked(x) { 255 } else { 0 }, 0])
    });
    upload(&sim, "clear.png", &encoded(clear), &[]).await;
    upload(&sim, "white.png", &encoded(white), &[]).await;
    upload(&sim, "green.png", &encoded(green), &[("subfolder", "masks")]).await;
    let loader = |name: &str, channel: &str| json!({"class_type": "LoadImageMask", "inputs": {"image": name, "channel": channel}});
    let mut all = Vec::new();
    for (mask, loader) in [
        (json!(["10", 1]), loader("white.png", "red")),
        (json!(["12", 0]), loader("white.png", "red")),
        (json!(["12", 0]), loader("masks/green.png", "green")),
        (json!(["12", 0]), loader("clear.png [input]", "alpha")),
    ] {
        let id = queued(&sim, &inpaint("clear.png", &mask, &loader)).await;
        assert_eq!(size(&sim, &id, "9").await, (64, 40));
        let entries = sim.entries();
        let entry = entries.iter().find(|e| e["remote_id"] == id.as_str()).unwrap();
        let inputs = entry["inputs"].as_array().unwrap().clone();
        assert_eq!(
            (inputs.len(), &inputs[0]["name"], &inputs[1]["name"]),
            (2, &json!("pixels"), &json!("mask"))
        );
        assert_eq!(inputs[0].get("marks"), None);
        all.push(inputs[1]["marks"].clone());
    }
    assert_eq!(all[0]["edited"], 200);
    assert!(all.iter().all(|marks| *marks == all[0]), "{all:?}");
    let missing = inpaint("gone.png", &json!(["10", 1]), &loader("white.png", "red"));
    let reply = queue(&sim, &missing).await.json();
    assert_eq!(reply["node_errors"]["10"]["errors"][0]["type"], "custom_validation_failed");
}

#[tokio::test]
async fn sizes_follow_the_graph() {
    let sim = start(json!({})).await;
    upload(&sim, "in.png", &png(101, 67), &[]).await;
    let load = json!({"class_type": "LoadImage", "inputs": {"image": "in.png"}});
    let mut img2img = picture("a cat", 1);
    img2img["10"] = load.clone();
    img2img["11"] = json!({"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}});
    img2img["3"]["inputs"]["latent_image"] = json!(["11", 0]);
    let mut masked = img2img.clone();
    masked["13"] =
        json!({"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["11", 0], "mask": ["10", 1]}});
    masked["3"]["inputs"]["latent_image"] = json!(["13", 0]);
    masked["3"]["inputs"]["denoise"] = json!(0.5);
    let mut outpaint = picture("a cat", 1);
    outpaint["10"] = load.clone();
    outpaint["12"] = json!({"class_type": "ImagePadForOutpaint", "inputs": {"image": ["10", 0], "left": 8, "top": 0, "right": 51, "bottom": 5, "feathering": 40}});
    outpaint["11"] = json!({"class_type": "VAEEncodeForInpaint", "inputs": {"pixels": ["12", 0], "vae": ["4", 2], "mask": ["12", 1], "grow_mask_by": 6}});
    outpaint["3"]["inputs"]["latent_image"] = json!(["11", 0]);
    let upscale = json!({
        "1": load,
        "2": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "RealESRGAN_x4plus.pth"}},
        "3": {"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["2", 0], "image": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "up/scaled", "images": ["3", 0]}},
    });
    let mut halved = upscale.clone();
    halved["4"] = json!({"class_type": "ImageScaleBy", "inputs": {"image": ["3", 0], "upscale_method": "area", "scale_by": 0.5}});
    halved["9"]["inputs"]["images"] = json!(["4", 0]);
    let mut wide = upscale.clone();
    wide["4"] = json!({"class_type": "ImageScale", "inputs": {"image": ["3", 0], "upscale_method": "lanczos", "width": 202, "height": 0, "crop": "disabled"}});
    wide["9"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}});
    let mut sd3 = picture("a cat", 1);
    sd3["5"]["class_type"] = json!("EmptySD3LatentImage");
    for (graph, expected) in [
        (img2img, (96, 64)),
        (masked, (96, 64)),
        (outpaint, (160, 72)),
        (upscale, (404, 268)),
        (halved, (202, 134)),
        (wide, (202, 134)),
        (sd3, (512, 768)),
    ] {
        let id = queued(&sim, &graph).await;
        assert_eq!(size(&sim, &id, "9").await, expected, "{graph}");
    }
    let models: Vec<Value> =
        sim.entries().iter().filter(|e| e["phase"] == "submit").map(|e| e["model"].clone()).collect();
    assert_eq!(models[3], "RealESRGAN_x4plus.pth");
}

#[tokio::test]
async fn a_batch_makes_several_pictures() {
    let sim = start(json!({})).await;
    let mut graph = picture("a cat", 1);
    graph["5"]["inputs"]["batch_size"] = json!(3);
    let id = queued(&sim, &graph).await;
    let images = history(&sim, &id).await["outputs"]["9"]["images"].clone();
    assert_eq!(images.as_array().unwrap().len(), 3);
    let mut files = Vec::new();
    for image in images.as_array().unwrap() {
        let path = format!("/comfyui/view?filename={}", image["filename"].as_str().unwrap());
        files.push(send(&sim, "GET", &path, &[], &Value::Null).await.bytes);
    }
    assert!(files[0] != files[1] && files[1] != files[2]);
    let reply =
        send(&sim, "GET", "/comfyui/view?filename=out_00001_.png&preview=webp;90", &[], &Value::Null).await;
    assert_eq!(image::guess_format(&reply.bytes).unwrap(), image::ImageFormat::WebP);
}

#[tokio::test]
async fn the_machine_tells_about_itself() {
    let sim = start(json!({"keys": ["good"]})).await;
    let got = async |path: &str| call(&sim, "GET", path, Value::Null).await.json();
    assert!(got("system_stats").await["devices"][0]["vram_free"].is_u64());
    let loader = got("object_info/CheckpointLoaderSimple").await;
    assert_eq!(
        loader["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0][0],
        "sd_xl_base_1.0.safetensors"
    );
    assert_eq!(got("object_info/IPAdapter").await, json!({}));
    assert_eq!(got("api/object_info").await["KSampler"]["output"], json!(["LATENT"]));
    assert_eq!(got("models/upscale_models").await, json!(["RealESRGAN_x4plus.pth"]));
    for (method, path, status) in
        [("GET", "nowhere", 404), ("GET", "interrupt", 405), ("PUT", "prompt", 405), ("GET", "models/x", 404)]
    {
        assert_eq!(call(&sim, method, path, Value::Null).await.status, status, "{method} {path}");
    }
}

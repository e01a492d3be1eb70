//! One's own back end: A1111 and ComfyUI share one address, and what is private goes nowhere else.

use image_gen_tests::picture::{data_uri, photo};
use image_gen_tests::{Options, Sim, Stage};
use serde_json::json;

use crate::{one, size};

/// A stage whose own back end is at the simulator's address plus `path`, and that simulator.
fn own_machine(path: &str) -> (Stage, Sim) {
    let sim = Sim::start();
    let url = match sim.providers().into_iter().find(|(kind, _)| *kind == path) {
        Some((_, url)) => url,
        None => path.to_owned(),
    };
    let mut options = Options::all_keys(&[]);
    options.env.push(("STABLE_DIFFUSION_LOCAL_BASE_URL".into(), url));
    // A machine that is off is not waited for.
    options.conf.push("image_gen.outage_timeout = 0".into());
    let stage = Stage::with(options);
    sim.configure(&json!({"render_seconds": 0.05}));
    stage.admin().run(
        "UPDATE image_gen.models SET typical_seconds = 0.05;
         UPDATE image_gen.providers SET base_url = NULL WHERE kind IN ('a1111', 'comfyui')",
    );
    (stage, sim)
}

#[test]
fn what_is_private_goes_to_a1111_when_that_answers() {
    // S98
    stays_at_home("a1111", "comfyui");
}

#[test]
fn what_is_private_goes_to_comfyui_when_that_answers() {
    // S98: the same rows, the same setting.
    stays_at_home("comfyui", "a1111");
}

/// The own machine runs programs of this kind, and not of the other one.
fn stays_at_home(kind: &str, other: &str) {
    let (stage, own) = own_machine(kind);
    let mut alice = stage.alice();
    let image = data_uri(&photo(256, 192, 13));
    let drawn = one(&mut alice, "generate('a secret', priority => 'privacy', width => 256, height => 256)");
    let edited = one(&mut alice, &format!("edit('{image}', 'a secret edit', priority => 'privacy')"));
    let large = one(&mut alice, &format!("upscale('{image}', 4, priority => 'privacy')"));
    assert_eq!(
        (size(&drawn), edited["task"].as_str(), size(&large)),
        ((256, 256), Some("img2img"), (1024, 768))
    );
    let used = alice.column("SELECT DISTINCT provider FROM image_gen.attempts");
    assert_eq!(used, [kind]);
    // The ledgers: nothing went anywhere else, and the other program was not spoken to.
    assert_eq!(stage.sim.totals().all.requests, 0, "{:?}", stage.sim.entries());
    let totals = own.totals();
    assert!(!totals.by_provider.contains_key(other), "{totals:?}");
    assert_eq!(totals.all.submits, 3);
    assert_eq!(alice.text("SELECT spent FROM image_gen.credits()"), "0");
    // Who insists on the other program learns that it is not there.
    let wrong = alice.generate_with(&format!("prompt => 'x', model => '{other}:{}'", model_of(other)));
    let ended = alice.done(&wrong);
    assert_eq!((ended.status.as_str(), ended.attempts.as_str()), ("failed", "0"), "{ended:?}");
    assert_eq!((own.totals().all.submits, stage.sim.totals().all.requests), (3, 0));
    stage.check_money();
}

fn model_of(kind: &str) -> &'static str {
    if kind == "a1111" { "sd-local" } else { "sd-xl-base" }
}

/// A workflow as the editor exports it, of another shape than the built-in ones.
fn workflow(latent: &serde_json::Value) -> serde_json::Value {
    json!({
        "loader": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
        "what": {"class_type": "CLIPTextEncode", "inputs": {"text": "in our style: {{prompt}}", "clip": ["loader", 1]}},
        "not": {"class_type": "CLIPTextEncode", "inputs": {"text": "{{negative_prompt}}", "clip": ["loader", 1]}},
        "picture": latent,
        "sampler": {"class_type": "KSampler", "inputs": {
            "model": ["loader", 0], "positive": ["what", 0], "negative": ["not", 0], "latent_image": ["picture", 0],
            "seed": "{{seed}}", "steps": 12, "cfg": 6.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.8}},
        "decoder": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["loader", 2]}},
        "file": {"class_type": "SaveImage", "inputs": {"images": ["decoder", 0], "filename_prefix": "ours"}}
    })
}

#[test]
fn a_workflow_of_ones_own_is_a_model_like_any_other() {
    let (stage, own) = own_machine("comfyui");
    let mut admin = stage.admin();
    let mut insert = |name: &str,
                      operations: &str,
                      sizes: &str,
                      parameters: serde_json::Value,
                      graph: serde_json::Value| {
        let written = admin.try_rows(&format!(
            "INSERT INTO image_gen.models (name, provider_kind, remote_name, operations, sizes, parameters, fixed)
             VALUES ('{name}', 'comfyui', '{name}', '{operations}', '{sizes}', '{parameters}', '{}')",
            json!({ "workflow": graph })
        ));
        written.err().and_then(|e| e.code().map(|code| code.code().to_owned())).unwrap_or_default()
    };
    let empty = json!({"class_type": "EmptyLatentImage", "inputs": {"width": "{{width}}", "height": "{{height}}", "batch_size": 1}});
    let sized = r#"{"free": {"min": 64, "max": 2048, "step": 8, "default": [512, 512]}}"#;
    let parameters =
        json!({"prompt": true, "negative_prompt": true, "seed": true, "size": {"form": "sides"}});
    assert_eq!(insert("house", "{generate}", sized, parameters.clone(), workflow(&empty)), "");
    let mut edit = workflow(
        &json!({"class_type": "VAEEncode", "inputs": {"pixels": ["source", 0], "vae": ["loader", 2]}}),
    );
    edit["source"] = json!({"class_type": "LoadImage", "inputs": {"image": "{{image}}"}});
    let of_edit = json!({"prompt": true, "negative_prompt": true, "seed": true, "image": true});
    assert_eq!(insert("house-edit", "{img2img}", r#""source""#, of_edit.clone(), edit.clone()), "");
    // What cannot run is refused by whoever writes it.
    let mut silent = workflow(&empty);
    silent.as_object_mut().unwrap().remove("file");
    for (parameters, graph) in [
        (parameters.clone(), json!({"nodes": [], "links": []})),
        (parameters.clone(), silent),
        (parameters, edit.clone()),
        (json!({"prompt": true, "seed": true, "image": true, "steps": true}), edit),
    ] {
        assert_eq!(insert("wrong", "{generate}", sized, parameters, graph), "22023");
    }
    let mut alice = stage.alice();
    let drawn = one(
        &mut alice,
        "generate('a {{seed}} fox', model => 'comfyui:house', seed => 77, width => 256, height => 320)",
    );
    assert_eq!((size(&drawn), drawn["assets"][0]["seed"].as_i64()), ((256, 320), Some(77)));
    let image = data_uri(&photo(256, 192, 13));
    let edited =
        one(&mut alice, &format!("edit('{image}', 'at night', model => 'comfyui:house-edit', seed => 78)"));
    assert_eq!(size(&edited), (256, 192));
    let submits: Vec<_> = own.entries().into_iter().filter(|e| e["phase"] == "submit").collect();
    let said: Vec<_> = submits.iter().map(|e| (e["prompt"].as_str().unwrap(), e["seed"].as_i64())).collect();
    assert_eq!(said, [("in our style: a {{seed}} fox", Some(77)), ("in our style: at night", Some(78))]);
    stage.check_money();
}

#[test]
fn what_is_private_stays_here_when_ones_own_machine_is_off() {
    // S98: nothing listens there, and nobody stands in.
    let (stage, _own) = own_machine("http://127.0.0.1:9");
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'secret', priority => 'privacy'");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "overloaded"), "{job:?}");
    assert_eq!(stage.sim.totals().all.requests, 0);
    stage.check_money();
}

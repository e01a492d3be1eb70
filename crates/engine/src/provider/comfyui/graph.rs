//! Graphs of nodes, in the server's API format: a link to another node is `[id, output]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::Call;
use crate::input::Role;
use crate::job::{Invalid, Task};

/// Names of uploaded images. (The built-in nodes have a use for an image and its mask alone; a row that says otherwise
/// changes nothing.)
pub(super) type Files = BTreeMap<Role, String>;

/// How far a filled area reaches into its surroundings, in pixels (the node's usual value).
const GROW_MASK: u32 = 6;
/// How far an outpainting blends into the image, in pixels (the node's usual value).
const FEATHERING: u32 = 40;

/// Nodes by their ids.
#[derive(Debug, Default)]
struct Graph(Map<String, Value>);

impl Graph {
    fn add(&mut self, id: &str, class: &str, inputs: Value) {
        self.0.insert(id.to_owned(), json!({"class_type": class, "inputs": inputs}));
    }

    /// The name of the attempt makes each graph a new one: of a repeated one the server makes nothing.
    fn save(&mut self, id: &str, images: Value, call: &Call<'_>) {
        let prefix = format!("image_gen/{}", call.tag);
        self.add(id, "SaveImage", json!({"images": images, "filename_prefix": prefix}));
    }
}

/// The graph of a call. `fields` are the inputs of the sampler, and some that other nodes take.
pub(super) fn graph(call: &Call<'_>, fields: Map<String, Value>, files: &Files) -> Result<Value, Invalid> {
    let graph = match call.task {
        Task::Upscale => upscaling(call, fields, files)?,
        _ => sampling(call, fields, files)?,
    };
    Ok(Value::Object(graph.0))
}

fn sampling(call: &Call<'_>, mut fields: Map<String, Value>, files: &Files) -> Result<Graph, Invalid> {
    let mut graph = Graph::default();
    let mut taken = |name: &str| fields.remove(name);
    let prompt = taken("prompt").unwrap_or_else(|| json!(""));
    let negative = taken("negative_prompt").unwrap_or_else(|| json!(""));
    let pictures = taken("n").and_then(|n| n.as_u64()).unwrap_or(1);
    let (width, height) = (taken("width"), taken("height"));
    graph.add("4", "CheckpointLoaderSimple", json!({"ckpt_name": call.candidate.remote_name}));
    graph.add("6", "CLIPTextEncode", json!({"text": prompt, "clip": ["4", 1]}));
    graph.add("7", "CLIPTextEncode", json!({"text": negative, "clip": ["4", 1]}));
    let vae = json!(["4", 2]);
    let filled = |pixels: Value, mask: Value| json!({"pixels": pixels, "mask": mask, "vae": vae.clone(), "grow_mask_by": GROW_MASK});
    let latent = if call.task == Task::Generate {
        let (width, height) = (width.unwrap_or(json!(1024)), height.unwrap_or(json!(1024)));
        let inputs = json!({"width": width, "height": height, "batch_size": 1});
        graph.add("5", "EmptyLatentImage", inputs);
        "5"
    } else {
        graph.add("10", "LoadImage", json!({"image": needed(files, Role::Image)?}));
        match call.task {
            Task::Inpaint => {
                let mask = needed(files, Role::Mask)?;
                graph.add("12", "LoadImageMask", json!({"image": mask, "channel": "red"}));
                graph.add("11", "VAEEncodeForInpaint", filled(json!(["10", 0]), json!(["12", 0])));
            }
            Task::Outpaint => {
                let room = call.request.borders;
                let inputs = json!({
                    "image": ["10", 0], "left": room.left, "top": room.top, "right": room.right,
                    "bottom": room.bottom, "feathering": FEATHERING,
                });
                graph.add("13", "ImagePadForOutpaint", inputs);
                graph.add("11", "VAEEncodeForInpaint", filled(json!(["13", 0]), json!(["13", 1])));
            }
            _ => graph.add("11", "VAEEncode", json!({"pixels": ["10", 0], "vae": vae.clone()})),
        }
        "11"
    };
    let mut sampler = fields;
    sampler.entry("denoise").or_insert_with(|| json!(1));
    sampler.extend([
        ("model".to_owned(), json!(["4", 0])),
        ("positive".to_owned(), json!(["6", 0])),
        ("negative".to_owned(), json!(["7", 0])),
        ("latent_image".to_owned(), json!([latent, 0])),
    ]);
    let seed = sampler.get("seed").and_then(Value::as_u64).unwrap_or(0);
    // One after the other: a batch needs the memory of all at once. Each has a seed of its own.
    for picture in 0..pictures {
        let id = |node: &str| if picture == 0 { node.to_owned() } else { format!("{node}_{}", picture + 1) };
        let (sample, decode) = (id("3"), id("8"));
        sampler.insert("seed".to_owned(), json!(seed + picture));
        graph.add(&sample, "KSampler", Value::Object(sampler.clone()));
        graph.add(&decode, "VAEDecode", json!({"samples": [sample, 0], "vae": vae}));
        graph.save(&id("9"), json!([decode, 0]), call);
    }
    Ok(graph)
}

fn upscaling(call: &Call<'_>, mut fields: Map<String, Value>, files: &Files) -> Result<Graph, Invalid> {
    let mut graph = Graph::default();
    graph.add("10", "LoadImage", json!({"image": needed(files, Role::Image)?}));
    graph.add("14", "UpscaleModelLoader", json!({"model_name": call.candidate.remote_name}));
    graph.add("15", "ImageUpscaleWithModel", json!({"upscale_model": ["14", 0], "image": ["10", 0]}));
    // The model knows one factor only; what is wished beside it is reached by scaling its image.
    let mut number = |name: &str| fields.remove(name).and_then(|v| v.as_f64()).filter(|n| *n > 0.0);
    let (own, wished) = (number("native_scale").unwrap_or(4.0), number("scale"));
    let by = wished.map_or(1.0, |wished| wished / own);
    let last = if by == 1.0 {
        "15"
    } else {
        let method = fields.remove("upscale_method").unwrap_or_else(|| json!("lanczos"));
        let inputs = json!({"image": ["15", 0], "upscale_method": method, "scale_by": by});
        graph.add("16", "ImageScaleBy", inputs);
        "16"
    };
    graph.save("9", json!([last, 0]), call);
    Ok(graph)
}

fn needed(files: &Files, role: Role) -> Result<&str, Invalid> {
    files.get(&role).map(String::as_str).ok_or_else(|| {
        Invalid::new(
            format!("the {} is missing", role.name()),
            "Give it, or repair the model's row in image_gen.models.",
        )
    })
}

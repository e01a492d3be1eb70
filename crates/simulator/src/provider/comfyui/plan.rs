//! What running a graph comes to: the images it makes, or where it fails.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hash::hex;
use crate::material::{Material, Polarity};

use super::graph::{Graph, class, float, input, int, link};

/// More pixels than this in one go are more than the graphics card holds while it samples, and while it only scales.
const SAMPLED: u64 = 1 << 24;
const SCALED: u64 = 1 << 26;

/// A batch of images on its way through the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub width: u32,
    pub height: u32,
    pub count: u64,
    pub prompt: String,
    pub seed: u64,
}

/// An error while running.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub node: String,
    pub class: &'static str,
    pub exception: &'static str,
    pub message: String,
}

/// What becomes of the graph's outputs: the node, whether its files are temporary, how their names begin, the images.
pub(super) type Made = Vec<(String, bool, String, Batch)>;

pub(super) struct Run<'a> {
    pub graph: &'a Graph,
    /// An uploaded file by the name that the graph has for it.
    pub file: &'a dyn Fn(&str) -> Option<Bytes>,
    done: HashMap<String, Batch>,
    signatures: HashMap<String, String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(graph: &'a Graph, file: &'a dyn Fn(&str) -> Option<Bytes>) -> Self {
        Self { graph, file, done: HashMap::new(), signatures: HashMap::new() }
    }

    pub(super) fn make(&mut self, outputs: &[&String]) -> Result<Made, Failure> {
        let mut made = Made::new();
        for id in outputs {
            let batch = self.linked(id, "images")?;
            let prefix = input(self.graph, id, "filename_prefix")
                .map_or("ComfyUI_temp", |p| p.as_str().unwrap_or("ComfyUI"));
            if prefix.split(['/', '\\']).any(|part| part == "..") || prefix.starts_with('/') {
                return Err(self.failure(
                    id,
                    "Exception",
                    "Saving image outside the output folder is not allowed.",
                ));
            }
            let temporary = class(self.graph, id).is_some_and(|n| n.class == "PreviewImage");
            made.push(((*id).clone(), temporary, prefix.to_owned(), batch));
        }
        Ok(made)
    }

    fn failure(&self, id: &str, exception: &'static str, message: &str) -> Failure {
        let class = class(self.graph, id).map_or("", |n| n.class);
        Failure { node: id.to_owned(), class, exception, message: message.to_owned() }
    }

    fn memory(&self, id: &str, batch: Batch, most: u64) -> Result<Batch, Failure> {
        let pixels = u64::from(batch.width) * u64::from(batch.height);
        if pixels.saturating_mul(batch.count) > most {
            let text = "Allocation on device 0 would exceed allowed memory. (out of memory)";
            return Err(self.failure(id, "torch.OutOfMemoryError", text));
        }
        Ok(batch)
    }

    fn number(&self, id: &str, name: &str) -> u32 {
        input(self.graph, id, name).and_then(int).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    fn linked(&mut self, id: &str, name: &str) -> Result<Batch, Failure> {
        let graph = self.graph;
        match input(graph, id, name).and_then(link) {
            Some((from, _)) => self.batch(from),
            None => Ok(Batch::default()),
        }
    }

    /// The images that come out of a node; those of no size where it makes something else.
    fn batch(&mut self, id: &str) -> Result<Batch, Failure> {
        if let Some(batch) = self.done.get(id) {
            return Ok(batch.clone());
        }
        let batch = self.run(id)?;
        self.done.insert(id.to_owned(), batch.clone());
        Ok(batch)
    }

    fn run(&mut self, id: &str) -> Result<Batch, Failure> {
        let batch = match class(self.graph, id).map_or("", |n| n.class) {
            "EmptyLatentImage" | "EmptySD3LatentImage" => {
                let (width, height) = (self.number(id, "width") / 8 * 8, self.number(id, "height") / 8 * 8);
                Batch { width, height, count: self.number(id, "batch_size").into(), ..Batch::default() }
            }
            "LoadImage" => self.load(id)?,
            "KSampler" => {
                let latent = self.linked(id, "latent_image")?;
                let prompt = prompt(self.graph, id).unwrap_or_default();
                let seed = seed(self.graph, id).unwrap_or_default();
                self.memory(id, Batch { prompt, seed, ..latent }, SAMPLED)?
            }
            "VAEDecode" | "SetLatentNoiseMask" => self.linked(id, "samples")?,
            "VAEEncode" | "VAEEncodeForInpaint" => {
                let pixels = self.linked(id, "pixels")?;
                let (width, height) = (pixels.width / 8 * 8, pixels.height / 8 * 8);
                if width == 0 || height == 0 {
                    let text = "Calculated padded input size per channel is too small";
                    return Err(self.failure(id, "RuntimeError", text));
                }
                self.memory(id, Batch { width, height, ..pixels }, SAMPLED)?
            }
            "ImagePadForOutpaint" => {
                let image = self.linked(id, "image")?;
                let width = image.width + self.number(id, "left") + self.number(id, "right");
                let height = image.height + self.number(id, "top") + self.number(id, "bottom");
                self.memory(id, Batch { width, height, ..image }, SCALED)?
            }
            "ImageUpscaleWithModel" => {
                let image = self.linked(id, "image")?;
                let (width, height) = (image.width.saturating_mul(4), image.height.saturating_mul(4));
                self.memory(id, Batch { width, height, ..image }, SCALED)?
            }
            "ImageScale" => {
                let image = self.linked(id, "image")?;
                let asked = (self.number(id, "width"), self.number(id, "height"));
                let (width, height) = fitted(&image, asked);
                self.memory(id, Batch { width, height, ..image }, SCALED)?
            }
            "ImageScaleBy" => {
                let image = self.linked(id, "image")?;
                let by = input(self.graph, id, "scale_by").and_then(float).unwrap_or(1.0);
                // A cast of a float saturates.
                let scaled = |side: u32| ((f64::from(side) * by).round() as u32).max(1);
                let (width, height) = (scaled(image.width), scaled(image.height));
                self.memory(id, Batch { width, height, ..image }, SCALED)?
            }
            _ => Batch::default(),
        };
        Ok(batch)
    }

    fn load(&self, id: &str) -> Result<Batch, Failure> {
        let name = input(self.graph, id, "image").and_then(Value::as_str).unwrap_or_default();
        let bytes = (self.file)(name).unwrap_or_default();
        let Ok(material) = Material::read("image", &bytes) else {
            let text = format!("cannot identify image file '{name}'");
            return Err(self.failure(id, "PIL.UnidentifiedImageError", &text));
        };
        // An image that is drawn from no prompt still differs from file to file.
        let seed = u64::from_str_radix(&material.sha256[..15], 16).unwrap_or(0);
        Ok(Batch { width: material.width, height: material.height, count: 1, prompt: String::new(), seed })
    }

    /// Equal for nodes that come to the same, whatever their ids.
    pub(super) fn signature(&mut self, id: &str) -> String {
        if let Some(known) = self.signatures.get(id) {
            return known.clone();
        }
        let graph = self.graph;
        let mut hash = Sha256::new();
        let node = class(graph, id);
        hash.update(node.map_or("", |n| n.class));
        for (name, _) in node.map_or(&[][..], |n| n.inputs) {
            let value = input(graph, id, name).unwrap_or(&Value::Null);
            hash.update(name);
            match link(value) {
                Some((from, slot)) => hash.update(format!("{slot} {}", self.signature(from))),
                None => hash.update(value.to_string()),
            }
            if node.is_some_and(|n| n.outputs.contains(&"MASK")) {
                hash.update(value.as_str().and_then(self.file).unwrap_or_default());
            }
        }
        let signature = hex(&hash.finalize());
        self.signatures.insert(id.to_owned(), signature.clone());
        signature
    }

    /// The uploaded images that these outputs are made from, by the inputs that they feed. Masks come last.
    pub(super) fn inputs(&self, outputs: &[String]) -> Vec<Material> {
        let (mut seen, mut fed) = (HashSet::new(), HashSet::new());
        let mut open: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            for (name, _) in class(self.graph, id).map_or(&[][..], |n| n.inputs) {
                let Some((from, slot)) = input(self.graph, id, name).and_then(link) else { continue };
                open.push(from);
                if fed.insert((name, from, slot)) {
                    found.extend(self.material(name, from, slot));
                }
            }
        }
        found.sort_by_key(|m| m.marks.is_some());
        found
    }

    fn material(&self, name: &str, from: &str, slot: usize) -> Option<Material> {
        let bytes = input(self.graph, from, "image").and_then(Value::as_str).and_then(self.file)?;
        match (class(self.graph, from)?.class, slot) {
            ("LoadImage", 0) => Material::read(name, &bytes).ok(),
            ("LoadImage", _) => Material::read_mask(name, &bytes, Polarity::Transparent).ok(),
            ("LoadImageMask", _) => {
                let channel = match input(self.graph, from, "channel").and_then(Value::as_str)? {
                    "red" => 0,
                    "green" => 1,
                    "blue" => 2,
                    _ => return Material::read_mask(name, &bytes, Polarity::Transparent).ok(),
                };
                let marks = Material::read_mask(name, &grey(&bytes, channel)?, Polarity::White).ok()?.marks;
                Some(Material { marks, ..Material::read(name, &bytes).ok()? })
            }
            _ => None,
        }
    }
}

/// One channel of an image, as a grey image.
fn grey(bytes: &[u8], channel: usize) -> Option<Vec<u8>> {
    let colours = image::load_from_memory(bytes).ok()?.into_rgb8();
    let grey = image::GrayImage::from_fn(colours.width(), colours.height(), |x, y| {
        image::Luma([colours.get_pixel(x, y).0[channel]])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    grey.write_to(&mut file, image::ImageFormat::Png).ok()?;
    Some(file.into_inner())
}

/// A side that is not given follows from the other.
fn fitted(image: &Batch, asked: (u32, u32)) -> (u32, u32) {
    let part = |side: u32, of: u32, to: u32| {
        let (side, of, to) = (u64::from(side), u64::from(of.max(1)), u64::from(to));
        u32::try_from(((side * to + of / 2) / of).max(1)).unwrap_or(u32::MAX)
    };
    match asked {
        (0, 0) => (image.width, image.height),
        (0, height) => (part(image.width, image.height, height), height),
        (width, 0) => (width, part(image.height, image.width, width)),
        both => both,
    }
}

fn prompt(graph: &Graph, sampler: &str) -> Option<String> {
    let (positive, _) = link(input(graph, sampler, "positive")?)?;
    Some(input(graph, positive, "text")?.as_str()?.to_owned())
}

fn seed(graph: &Graph, sampler: &str) -> Option<u64> {
    u64::try_from(int(input(graph, sampler, "seed")?)?).ok()
}

/// Prompt, seed and model of a graph, valid or not.
pub(super) fn gist(graph: &Graph) -> (Option<String>, Option<u64>, Option<String>) {
    let first = |name: &str| graph.keys().find(|id| class(graph, id).is_some_and(|n| n.class == name));
    let text = |id: &str, name: &str| Some(input(graph, id, name)?.as_str()?.to_owned());
    let sampler = first("KSampler");
    let model = first("CheckpointLoaderSimple")
        .and_then(|id| text(id, "ckpt_name"))
        .or_else(|| text(first("UpscaleModelLoader")?, "model_name"));
    (sampler.and_then(|id| prompt(graph, id)), sampler.and_then(|id| seed(graph, id)), model)
}

//! What a job may say. Unknown fields are passed over, and numbers may come as text, as pydantic takes them.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::material::{self, Material, Polarity};
use crate::picture::{Format, Picture};

use super::{Wrong, control, installed};

/// More pixels than that do not fit on the card.
const MOST_PIXELS: u64 = 4096 * 4096;

/// A valid job.
#[derive(Debug)]
pub(super) struct Order {
    pub seed: Option<u64>,
    pub steps: u64,
    pub inputs: Vec<Material>,
    prompt: String,
    negative: String,
    /// As asked for, and as drawn in the end.
    width: u32,
    height: u32,
    drawn: (u32, u32),
    batch: u64,
    rounds: u64,
    cfg_scale: f64,
    sampler: String,
    /// Whether an overview of all images comes first.
    grid: bool,
    send: bool,
    /// Images of what ControlNet saw, which come last.
    maps: u64,
}

impl Order {
    pub(super) fn read(body: &Map<String, Value>, from_image: bool) -> Result<Self, Wrong> {
        let fields = Fields(body);
        let (width, height) = (fields.side("width")?, fields.side("height")?);
        let steps = fields.int("steps")?.unwrap_or(50);
        let (batch, rounds) =
            (fields.int("batch_size")?.unwrap_or(1).max(1), fields.int("n_iter")?.unwrap_or(1).max(1));
        let cfg_scale = fields.number("cfg_scale")?.unwrap_or(7.0);
        let seed = fields.int("seed")?.and_then(|seed| u64::try_from(seed).ok());
        fields.int("subseed")?;
        fields.number("subseed_strength")?;
        fields.number("denoising_strength")?;
        fields.flag("restore_faces")?;
        fields.flag("tiling")?;
        let sampler = match fields.text("sampler_name")? {
            Some(name) => name,
            None => fields.text("sampler_index")?.unwrap_or_else(|| "Euler".to_owned()),
        };
        installed::check_sampler(&sampler)?;
        if let Some(name) = fields.text("scheduler")? {
            installed::check_scheduler(&name)?;
        }
        let override_settings = fields.object("override_settings")?;
        if let Some(name) = override_settings.and_then(|o| o.get("sd_model_checkpoint")?.as_str()) {
            installed::checkpoint(name)?;
        }
        if let Some(name) = fields.text("script_name")?.filter(|name| !name.is_empty()) {
            let text = format!("Script '{name}' not found");
            return Err(Wrong::raised(StatusCode::UNPROCESSABLE_ENTITY, &text));
        }
        let mut inputs = if from_image { fields.images()? } else { Vec::new() };
        let mut maps = 0;
        for (name, script) in fields.object("alwayson_scripts")?.into_iter().flatten() {
            if !name.eq_ignore_ascii_case("controlnet") {
                let text = format!("always on script {name} not found");
                return Err(Wrong::raised(StatusCode::UNPROCESSABLE_ENTITY, &text));
            }
            maps += control::read(script, &mut inputs)?;
        }
        let drawn = if from_image { (width, height) } else { fields.second_pass(width, height)? };
        let at_once = u64::try_from(batch).unwrap_or(1);
        if (u64::from(drawn.0) * u64::from(drawn.1)).saturating_mul(at_once) > MOST_PIXELS {
            return Err(Wrong::out_of_memory());
        }
        let many = batch.saturating_mul(rounds) > 1;
        let settled = |name| override_settings.and_then(|o| o.get(name)).and_then(Value::as_bool);
        Ok(Self {
            seed,
            steps: u64::try_from(steps).unwrap_or(0),
            prompt: fields.text("prompt")?.unwrap_or_default(),
            negative: fields.text("negative_prompt")?.unwrap_or_default(),
            width,
            height,
            drawn,
            batch: at_once,
            rounds: u64::try_from(rounds).unwrap_or(1),
            cfg_scale,
            sampler,
            // The API makes one only for jobs that save their images.
            grid: many && fields.flag("save_images")? == Some(true) && settled("return_grid") != Some(false),
            send: fields.flag("send_images")? != Some(false),
            maps,
            inputs,
        })
    }

    fn count(&self) -> u64 {
        self.batch.saturating_mul(self.rounds).min(1000)
    }

    /// The images that are sent, in order.
    pub(super) fn pictures(&self, seed: u64) -> Vec<Picture> {
        if !self.send {
            return Vec::new();
        }
        let (width, height) = self.drawn;
        let picture = |prompt: String, seed, width, height| Picture {
            prompt,
            seed,
            width,
            height,
            format: Format::Png,
        };
        let mut all = Vec::new();
        if self.grid {
            let shown = u32::try_from(self.count()).unwrap_or(u32::MAX).min(16);
            let (columns, rows) = (shown.min(4), shown.div_ceil(4));
            all.push(picture(format!("grid of {}", self.prompt), seed, width * columns, height * rows));
        }
        all.extend(
            (0..self.count()).map(|n| picture(self.prompt.clone(), seed.wrapping_add(n), width, height)),
        );
        all.extend((0..self.maps).map(|n| picture("detected map".to_owned(), n, width, height)));
        all
    }

    /// What the server tells about the job; it is sent as text.
    pub(super) fn info(&self, seed: u64, checkpoint: &str) -> Value {
        let each = |value: Value| -> Vec<Value> { (0..self.count()).map(|_| value.clone()).collect() };
        let seeds: Vec<u64> = (0..self.count()).map(|n| seed.wrapping_add(n)).collect();
        let text = |seed: &u64| {
            format!(
                "{}\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {seed}, Size: {}x{}",
                self.prompt, self.steps, self.sampler, self.cfg_scale, self.width, self.height
            )
        };
        let texts: Vec<String> = seeds.iter().map(text).collect();
        json!({
            "prompt": self.prompt,
            "all_prompts": each(self.prompt.clone().into()),
            "negative_prompt": self.negative,
            "seed": seed,
            "all_seeds": seeds,
            "width": self.width,
            "height": self.height,
            "sampler_name": self.sampler,
            "cfg_scale": self.cfg_scale,
            "steps": self.steps,
            "batch_size": self.batch,
            "sd_model_name": checkpoint.split(".safetensors").next(),
            "infotexts": texts,
            "index_of_first_image": u8::from(self.grid),
        })
    }
}

/// An image in base64, bare or as a data URI.
pub(super) fn picture(name: &str, value: &Value, mask: Option<Polarity>) -> Result<Material, Wrong> {
    let broken = || Wrong::raised(StatusCode::INTERNAL_SERVER_ERROR, "Invalid encoded image");
    let text = value.as_str().ok_or_else(broken)?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(Wrong::raised(StatusCode::INTERNAL_SERVER_ERROR, "Requests not allowed"));
    }
    let bytes = match text.starts_with("data:image/") {
        true => material::data_uri(text).map(|(_, bytes)| bytes),
        false => material::base64(text),
    };
    let bytes = bytes.ok_or_else(broken)?;
    Material::read_as(mask, name, &bytes).map_err(|_| broken())
}

/// The fields of a body, read as pydantic does.
pub(super) struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Wrong::field(name, "str type expected")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Wrong> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_f64(),
        };
        number.map(Some).ok_or_else(|| Wrong::field(name, "value is not a valid float"))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Wrong> {
        let int = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.trim().parse().ok(),
            // A fraction is cut off. The cast saturates.
            Some(value) => value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)),
        };
        int.map(Some).ok_or_else(|| Wrong::field(name, "value is not a valid integer"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) if *value == 0 || *value == 1 => Ok(Some(*value == 1)),
            Some(_) => Err(Wrong::field(name, "value could not be parsed to a boolean")),
        }
    }

    fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(Wrong::field(name, "value is not a valid dict")),
        }
    }

    /// Sides are cut to multiples of 8.
    fn side(&self, name: &str) -> Result<u32, Wrong> {
        let side = self.int(name)?.unwrap_or(512);
        match u32::try_from(side / 8 * 8) {
            Ok(side @ 8..=16_384) => Ok(side),
            Ok(side) if side > 16_384 => Err(Wrong::out_of_memory()),
            _ => Err(Wrong::crash("RuntimeError", "Calculated output size is too small")),
        }
    }

    /// The size after the second pass, if one is wanted.
    fn second_pass(&self, width: u32, height: u32) -> Result<(u32, u32), Wrong> {
        if self.flag("enable_hr")? != Some(true) {
            return Ok((width, height));
        }
        if let Some(name) = self.text("hr_upscaler")? {
            installed::check_upscaler(&name, true)?;
        }
        let whole = |side: f64| (side as u32).min(65_536) / 8 * 8;
        let side =
            |name: &str| Ok::<_, Wrong>(f64::from(u32::try_from(self.int(name)?.unwrap_or(0)).unwrap_or(0)));
        let (w, h) = (f64::from(width), f64::from(height));
        let (x, y) = (side("hr_resize_x")?, side("hr_resize_y")?);
        Ok(match (x > 0.0, y > 0.0) {
            (true, true) => (whole(x), whole(y)),
            (true, false) => (whole(x), whole(x * h / w)),
            (false, true) => (whole(y * w / h), whole(y)),
            (false, false) => {
                let scale = self.number("hr_scale")?.unwrap_or(2.0);
                (whole(w * scale), whole(h * scale))
            }
        })
    }

    /// The image to start from and the mask.
    fn images(&self) -> Result<Vec<Material>, Wrong> {
        let Some(Value::Array(images)) = self.get("init_images") else {
            return Err(Wrong::raised(StatusCode::NOT_FOUND, "Init image not found"));
        };
        if images.is_empty() {
            return Err(Wrong::raised(StatusCode::NOT_FOUND, "Init image not found"));
        }
        let ranges = BTreeMap::from([
            ("resize_mode", 0..=3),
            ("inpainting_fill", 0..=3),
            ("inpainting_mask_invert", 0..=1),
        ]);
        for (name, range) in ranges {
            if self.int(name)?.is_some_and(|int| !range.contains(&int)) {
                return Err(Wrong::crash("IndexError", "list index out of range"));
            }
        }
        self.int("mask_blur")?;
        self.int("inpaint_full_res_padding")?;
        self.flag("inpaint_full_res")?;
        let mut all = Vec::new();
        for image in images {
            all.push(picture("init_images", image, None)?);
        }
        if let Some(mask) = self.get("mask") {
            let inverted = self.int("inpainting_mask_invert")? == Some(1);
            let polarity = if inverted { Polarity::Black } else { Polarity::White };
            all.push(picture("mask", mask, Some(polarity))?);
        }
        Ok(all)
    }
}

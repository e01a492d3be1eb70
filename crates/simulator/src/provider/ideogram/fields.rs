//! What a request may say, and Ideogram's words for what it may not. Fields it does not know it passes over.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::call::{Call, Part, Payload};
use crate::material::Material;
use crate::size::pair;

use super::endpoints::{Action, Api, Endpoint};
use super::{pictures, sizes};

const LONGEST_PROMPT: usize = 10_000;
/// The last two only in the legacy API.
const STYLES: [&str; 9] =
    ["AUTO", "GENERAL", "REALISTIC", "DESIGN", "CUSTOM", "FICTION", "STYLIZED", "RENDER_3D", "ANIME"];

/// A valid request.
#[derive(Debug)]
pub(super) struct Order {
    pub prompt: String,
    pub seed: Option<u64>,
    pub count: u64,
    pub size: (u32, u32),
    /// Only the identifier is answered, the images are polled for.
    pub later: bool,
    pub inputs: Vec<Material>,
    price_each: Decimal,
    style: Option<String>,
    /// The size before the upscaling.
    upscaled_from: Option<(u32, u32)>,
}

impl Order {
    pub(super) fn read(call: &Call, endpoint: &Endpoint) -> Result<Self, String> {
        let fields = Fields::open(call, endpoint)?;
        fields.model(endpoint)?;
        let (count, seed) =
            (fields.int("num_images", 1, 8)?.unwrap_or(1), fields.int("seed", 0, 2_147_483_647)?);
        let prompt = fields.prompt(matches!(endpoint.action, Action::Reframe | Action::Upscale))?;
        let inputs = pictures::read(fields.parts, endpoint)?;
        let sized = |name: &str| inputs.iter().find(|i| i.name == name).map(|i| (i.width, i.height));
        fields.choices(endpoint)?;
        let tier = fields.tier(endpoint, sized("images").is_some())?;
        let with_character = sized("character_reference_images").is_some();
        if endpoint.model == "ideogram-3-character" && !with_character {
            return Err("character_reference_images is required".into());
        }
        let image = sized("image").or_else(|| sized("image_file"));
        let webhook = fields.text("webhook_url")?;
        if endpoint.is_current() && webhook.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            return Err("webhook_url must be an HTTPS URL".into());
        }
        Ok(Self {
            count,
            seed,
            later: endpoint.is_current() && (fields.boolean("async")? || webhook.is_some()),
            size: match endpoint.action {
                Action::Upscale => image.map_or((2048, 2048), |(w, h)| (w * 2, h * 2)),
                Action::Inpaint | Action::PreciseEdit => image.unwrap_or((1024, 1024)),
                _ => fields.size(endpoint, image, sized("images"))?,
            },
            price_each: endpoint.price(&tier, with_character),
            style: match endpoint.is_current() {
                true => None,
                false => Some(fields.text("style_type")?.unwrap_or_else(|| "GENERAL".to_owned())),
            },
            upscaled_from: image.filter(|_| endpoint.action == Action::Upscale),
            prompt,
            inputs,
        })
    }

    pub(super) fn price(&self) -> Decimal {
        (self.price_each * Decimal::from(self.count)).normalize()
    }

    /// Adds to an image in the answer what only some endpoints tell.
    pub(super) fn describe(&self, item: &mut Value) {
        item["prompt"] = self.prompt.clone().into();
        if let Some(style) = &self.style {
            item["style_type"] = style.clone().into();
        }
        if let Some((width, height)) = self.upscaled_from {
            item["upscaled_resolution"] = item["resolution"].take();
            item["resolution"] = format!("{width}x{height}").into();
        }
    }
}

/// A text of the request, valid or not.
pub(super) fn text(call: &Call, endpoint: &Endpoint, name: &str) -> Option<String> {
    if !endpoint.wraps() {
        return call.text(name);
    }
    Some(image_request(call, endpoint).ok()?.get(name)?.as_str()?.to_owned())
}

/// What the legacy API wraps: an object in the JSON, or JSON in a form with an image.
fn image_request(call: &Call, endpoint: &Endpoint) -> Result<Map<String, Value>, String> {
    let request = match &call.payload {
        Payload::BrokenJson(why) => return Err(broken(why)),
        Payload::Json(body) if endpoint.action == Action::Generate => body.get("image_request").cloned(),
        Payload::Form(parts) if endpoint.action != Action::Generate => {
            let part = parts.iter().find(|p| p.name == "image_request");
            part.map(|part| serde_json::from_slice(&part.bytes))
                .transpose()
                .map_err(|why| format!("image_request is not valid JSON: {why}"))?
        }
        _ if endpoint.action == Action::Generate => return Err("Expected application/json".into()),
        _ => return Err("Expected multipart/form-data".into()),
    };
    match request {
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err("image_request must be an object".into()),
        None => Err("image_request is required".into()),
    }
}

fn broken(why: &str) -> String {
    format!("The body is not valid JSON: {why}")
}

struct Fields<'a> {
    map: Map<String, Value>,
    /// Of a form; empty for JSON.
    parts: &'a [Part],
    /// Numbers and truths come as text.
    texts: bool,
}

impl<'a> Fields<'a> {
    fn open(call: &'a Call, endpoint: &Endpoint) -> Result<Self, String> {
        match &call.payload {
            payload if endpoint.wraps() => {
                let parts = if let Payload::Form(parts) = payload { parts.as_slice() } else { &[] };
                Ok(Self { map: image_request(call, endpoint)?, parts, texts: false })
            }
            Payload::Form(parts) => Ok(Self { map: call.fields().unwrap_or_default(), parts, texts: true }),
            Payload::Json(Value::Object(map)) if endpoint.action == Action::Generate => {
                Ok(Self { map: map.clone(), parts: &[], texts: false })
            }
            Payload::BrokenJson(why) => Err(broken(why)),
            _ if endpoint.action == Action::Generate => {
                Err("Expected multipart/form-data or application/json".into())
            }
            _ => Err("Expected multipart/form-data".into()),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|v| !(v.is_null() || self.texts && *v == ""))
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name} must be a string")),
        }
    }

    fn int(&self, name: &str, from: i64, to: i64) -> Result<Option<u64>, String> {
        let int = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) if self.texts => text.parse().ok(),
            Some(value) => value.as_i64(),
        };
        match int {
            Some(int) if (from..=to).contains(&int) => Ok(u64::try_from(int).ok()),
            Some(int) => Err(format!("{name} must be between {from} and {to}, got {int}")),
            None => Err(format!("{name} must be an integer")),
        }
    }

    fn boolean(&self, name: &str) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if self.texts && ["true", "false"].contains(&text.as_str()) => {
                Ok(text == "true")
            }
            Some(_) => Err(format!("{name} must be a boolean")),
        }
    }

    fn choice(&self, name: &str, known: &[&str]) -> Result<Option<String>, String> {
        let text = self.text(name)?;
        match &text {
            Some(value) if !known.contains(&value.as_str()) => {
                Err(format!("{name} must be one of {}, got '{value}'", known.join(", ")))
            }
            _ => Ok(text),
        }
    }

    fn prompt(&self, optional: bool) -> Result<String, String> {
        let prompt = self.text("prompt")?.unwrap_or_default();
        let length = prompt.chars().count();
        if prompt.trim().is_empty() && !optional {
            return Err("prompt is required".into());
        }
        if length > LONGEST_PROMPT {
            return Err(format!("prompt must be at most {LONGEST_PROMPT} characters long, got {length}"));
        }
        Ok(prompt)
    }

    /// The model, which the legacy API is told here.
    fn model(&self, endpoint: &Endpoint) -> Result<(), String> {
        let known: Vec<&str> = endpoint.models().collect();
        if known.is_empty() {
            return Ok(());
        }
        if self.choice("model", &known)?.is_none() && !endpoint.wraps() {
            return Err("model is required".into());
        }
        let name = endpoint.model;
        let (first, small) = (name.starts_with("V_1"), name.starts_with("V_2A"));
        let lacking = [("style_type", first), ("color_palette", first || small), ("negative_prompt", small)];
        match lacking.iter().find(|(field, lacks)| *lacks && self.get(field).is_some()) {
            Some((field, _)) => Err(format!("{field} is not supported for model {name}")),
            None => Ok(()),
        }
    }

    /// The fields that only need to be well-formed.
    fn choices(&self, endpoint: &Endpoint) -> Result<(), String> {
        let upper = ["AUTO", "ON", "OFF"];
        let lower = ["auto", "on", "off"];
        self.choice("magic_prompt", if endpoint.is_current() { &lower } else { &upper })?;
        self.choice("magic_prompt_option", &upper)?;
        self.text("negative_prompt")?;
        self.text("style_preset")?;
        let styles = if endpoint.api == Api::Legacy { &STYLES[..] } else { &STYLES[..7] };
        let lower: Vec<String> = styles.iter().map(|style| style.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        self.choice("style_type", if endpoint.is_current() { &lower } else { styles })?;
        self.int("image_weight", 1, 100)?;
        self.int("resemblance", 1, 100)?;
        self.int("detail", 1, 100)?;
        let has_file = |name: &str| self.parts.iter().any(|p| pictures::plain(&p.name) == name);
        let codes = self.get("style_codes").or_else(|| self.get("style_codes[]")).is_some();
        if codes && (self.get("style_type").is_some() || has_file("style_reference_images")) {
            return Err("style_codes cannot be used with style_reference_images or style_type".into());
        }
        Ok(())
    }

    fn tier(&self, endpoint: &Endpoint, has_images: bool) -> Result<String, String> {
        let Some(tiers) = endpoint.tiers() else { return Ok(String::new()) };
        let told = self.choice(tiers.field, tiers.known)?;
        let from_picture = has_images || endpoint.action != Action::Generate;
        if told.as_deref() == Some("very_low") && !from_picture {
            return Err("quality very_low needs source images".into());
        }
        let usual = if tiers.field == "quality" && from_picture { "medium" } else { tiers.usual };
        Ok(told.unwrap_or_else(|| usual.to_owned()))
    }

    fn size(
        &self,
        endpoint: &Endpoint,
        image: Option<(u32, u32)>,
        source: Option<(u32, u32)>,
    ) -> Result<(u32, u32), String> {
        let resolution = self.text("resolution")?;
        if endpoint.action == Action::Reframe && resolution.is_none() {
            return Err("resolution is required".into());
        }
        if resolution.is_some() && self.get("aspect_ratio").is_some() {
            return Err("aspect_ratio cannot be used in conjunction with resolution".into());
        }
        if endpoint.model == "ideogram-4-5" {
            return self.free_size(image.or(source));
        }
        if let Some(text) = resolution {
            let size = sizes::resolution(endpoint, &text);
            return size.ok_or_else(|| format!("resolution '{text}' is not supported"));
        }
        // The current API follows the image that comes in; those before make squares unless told.
        let own = sizes::like(endpoint, image.filter(|_| endpoint.is_current()));
        if endpoint.model == "ideogram-4" {
            return Ok(own);
        }
        let (w, h) = match self.text("aspect_ratio")?.as_deref() {
            None => own,
            Some("auto") if endpoint.is_current() => own,
            Some(text) => sizes::of_ratio(endpoint.api, text)
                .ok_or_else(|| format!("aspect_ratio '{text}' is not supported"))?,
        };
        let factor = match self.text("resolution_tier")?.as_deref() {
            Some("2k") if endpoint.model == "auto" => 2,
            Some("4k") if endpoint.model == "auto" => 4,
            _ => 1,
        };
        Ok((w * factor, h * factor))
    }

    /// The field `size` of Ideogram 4.5.
    fn free_size(&self, source: Option<(u32, u32)>) -> Result<(u32, u32), String> {
        let text = self.text("size")?.unwrap_or_else(|| "auto".to_owned());
        match (text.as_str(), source) {
            ("auto" | "source", Some(source)) => return Ok(source),
            ("auto", None) => return Ok((2048, 2048)),
            ("source", None) => return Err("size 'source' needs source images".into()),
            _ => {}
        }
        let usable = |(w, h): &(u32, u32)| {
            let (short, long) = (u64::from(*w.min(h)), u64::from(*w.max(h)));
            w % 16 == 0 && h % 16 == 0 && short >= 256 && long <= 6 * short && short * long <= 4_194_304
        };
        pair(&text, 'x').filter(usable).ok_or_else(|| format!("size '{text}' is not supported"))
    }
}

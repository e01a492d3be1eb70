//! What a request may say. Unknown fields are passed over in silence, as at the real service; known ones must make sense.

use serde_json::{Map, Value};

use crate::call::{Call, Payload};
use crate::material::{Material, REMOTE_SIZE, data_uri};
use crate::picture::Format;
use crate::size::{self, pair};

use super::Wrong;
use super::models::{self, Model};

const MOST_TOKENS: usize = 65_536;

pub(super) const RATIOS: [&str; 21] = [
    "1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16",
    "16:9", "9:19.5", "19.5:9", "9:20", "20:9", "9:21", "21:9",
];
const TIERS: [&str; 4] = ["512", "1K", "2K", "4K"];

/// A valid request.
#[derive(Debug)]
pub(super) struct Order {
    pub model: &'static Model,
    pub prompt: String,
    pub n: u64,
    pub seed: Option<u64>,
    pub width: u32,
    pub height: u32,
    /// `512`, `1K`, `2K` or `4K`.
    pub tier: String,
    pub quality: String,
    pub format: Format,
    /// What it is to answer with.
    pub text: bool,
    pub picture: bool,
    pub stream: bool,
    /// The sizes of the images sent along, also of those that are URLs.
    pub references: Vec<(u32, u32)>,
    pub inputs: Vec<Material>,
}

impl Order {
    pub(super) fn read(call: &Call, chat: bool) -> Result<Self, Wrong> {
        let Some(map) = call.object() else {
            let text = match &call.payload {
                Payload::Json(_) => "Invalid input: expected object".into(),
                Payload::BrokenJson(_) | Payload::Nothing => "Invalid JSON in request body".into(),
                _ => format!(
                    "Unsupported content type '{}': expected application/json",
                    call.header("content-type")
                ),
            };
            return Err(Wrong::new(text));
        };
        let fields = Fields { map };
        let Some(name) = fields.text("model")? else { return Err(missing("model")) };
        let Some(model) = models::find(name) else {
            return Err(Wrong::new(format!("No endpoints found for {name}.")).status(404));
        };
        fields.routing(model)?;
        let mut order = Self {
            model,
            prompt: String::new(),
            n: 1,
            seed: fields.int("seed", i64::MIN, i64::MAX)?.and_then(|n| u64::try_from(n).ok()),
            width: 0,
            height: 0,
            tier: String::new(),
            quality: "medium".to_owned(),
            format: Format::Png,
            text: false,
            picture: true,
            stream: fields.boolean("stream")?,
            references: Vec::new(),
            inputs: Vec::new(),
        };
        if chat {
            order.chat(&fields)?
        } else {
            order.image(&fields)?
        }
        let tokens = order.prompt.chars().count().div_ceil(4);
        if tokens > MOST_TOKENS {
            return Err(Wrong::new(format!(
                "This endpoint's maximum context length is {MOST_TOKENS} tokens. However, you requested about {tokens} tokens."
            )));
        }
        if order.references.len() > model.most_references {
            let text = format!("{} takes at most {} input images", model.name, model.most_references);
            return Err(Wrong::new(text));
        }
        Ok(order)
    }

    /// `POST /images`.
    fn image(&mut self, fields: &Fields<'_>) -> Result<(), Wrong> {
        let Some(prompt) = fields.text("prompt")? else { return Err(missing("prompt")) };
        if prompt.is_empty() {
            return Err(Wrong::new("prompt: Too small: expected string to have >=1 characters"));
        }
        prompt.clone_into(&mut self.prompt);
        self.n = fields.int("n", 1, 10)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(1);
        if self.n > self.model.most_pictures {
            let text = format!("{} generates one image per request: n must be 1", self.model.name);
            return Err(Wrong::new(text));
        }
        let quality = fields.choice("quality", &["auto", "low", "medium", "high"])?.filter(|q| *q != "auto");
        quality.unwrap_or("medium").clone_into(&mut self.quality);
        fields.choice("background", &["auto", "opaque", "transparent"])?;
        fields.int("output_compression", 0, 100)?;
        if let Some(name) = fields.choice("output_format", &["png", "jpeg", "webp", "svg"])? {
            let text = format!("output_format svg is not supported by {}", self.model.name);
            self.format = Format::named(name).ok_or_else(|| Wrong::new(text))?;
        }
        for reference in fields.list("input_references")? {
            self.show(reference, "input_references")?;
        }
        let ratio = fields.ratio("aspect_ratio")?;
        let tier = fields.choice("resolution", &TIERS)?;
        let Some(size) = fields.text("size")? else {
            self.measure(ratio, tier);
            return Ok(());
        };
        let conflict = || Wrong::new("size: conflicts with resolution or aspect_ratio");
        if TIERS.contains(&size) {
            if tier.is_some_and(|t| t != size) {
                return Err(conflict());
            }
            self.measure(ratio, Some(size));
            return Ok(());
        }
        let usable = |(w, h): &(u32, u32)| (64..=4096).contains(w) && (64..=4096).contains(h);
        let Some((width, height)) = pair(size, 'x').filter(usable) else {
            return Err(Wrong::new(format!(
                "size: Invalid input: expected a tier or WIDTHxHEIGHT, received \"{size}\""
            )));
        };
        let own = size::ratio((width, height));
        let near = tier_of(width, height);
        if ratio.is_some_and(|(_, r)| (r / own - 1.0).abs() > 0.05) || tier.is_some_and(|t| t != near) {
            return Err(conflict());
        }
        self.measure(Some(("", own)), Some(near));
        // Those that draw any size draw exactly this one.
        if self.model.gemini().is_none() {
            (self.width, self.height) = (width, height);
        }
        Ok(())
    }

    /// `POST /chat/completions`.
    fn chat(&mut self, fields: &Fields<'_>) -> Result<(), Wrong> {
        let messages = fields.list("messages")?;
        if messages.is_empty() {
            return Err(Wrong::new("Input required: specify \"prompt\" or \"messages\""));
        }
        for message in messages {
            let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
            if !["system", "developer", "user", "assistant", "tool"].contains(&role) {
                return Err(Wrong::new("messages.role: Invalid option"));
            }
            match message.get("content") {
                Some(Value::String(_)) => {}
                Some(Value::Array(parts)) => {
                    for part in parts {
                        match part.get("type").and_then(Value::as_str) {
                            Some("text") if part.get("text").is_some_and(Value::is_string) => {}
                            Some("image_url") => self.show(part, "messages.content")?,
                            _ => return Err(Wrong::new("messages.content: Invalid input")),
                        }
                    }
                }
                _ => return Err(Wrong::new("messages.content: Invalid input: expected string or array")),
            }
        }
        self.prompt = prompt(fields.map);
        let modalities: Vec<&str> =
            fields.list("modalities")?.iter().map(|m| m.as_str().unwrap_or_default()).collect();
        if modalities.iter().any(|m| !["text", "image"].contains(m)) {
            return Err(Wrong::new("modalities: Invalid option: expected one of \"text\"|\"image\""));
        }
        self.picture = modalities.contains(&"image");
        self.text = modalities.contains(&"text") || !self.picture;
        if self.text && !self.model.talks {
            let wanted = if modalities.is_empty() { "text".to_owned() } else { modalities.join(", ") };
            let text = format!("No endpoints found that support the requested output modalities: {wanted}");
            return Err(Wrong::new(text).status(404));
        }
        let config = match fields.get("image_config") {
            None => &Map::new(),
            Some(Value::Object(config)) => config,
            Some(_) => return Err(Wrong::new("image_config: Invalid input: expected record")),
        };
        let config = Fields { map: config };
        let (ratio, tier) = (config.ratio("aspect_ratio")?, config.choice("image_size", &TIERS)?);
        self.measure(ratio, tier);
        Ok(())
    }

    fn show(&mut self, part: &Value, at: &str) -> Result<(), Wrong> {
        let url = part.get("image_url").and_then(|i| i.get("url")).and_then(Value::as_str);
        let typed = part.get("type").and_then(Value::as_str) == Some("image_url");
        let Some(url) = url.filter(|_| typed) else {
            return Err(Wrong::new(format!("{at}: Invalid input: expected an image_url part")));
        };
        if url.starts_with("https://") || url.starts_with("http://") {
            self.references.push(REMOTE_SIZE);
            return Ok(());
        }
        let Some((_, bytes)) = data_uri(url) else {
            return Err(Wrong::new(format!(
                "{at}.image_url.url: Invalid URL: expected https or a base64 data URL"
            )));
        };
        match Material::read(at, &bytes) {
            Ok(material) => {
                self.references.push((material.width, material.height));
                self.inputs.push(material);
                Ok(())
            }
            Err(why) => Err(Wrong::new(format!("{at}.image_url.url: Invalid image data: {why}"))),
        }
    }

    /// Decides the size from what the model can draw. Without a ratio it follows the first image sent along.
    fn measure(&mut self, ratio: Option<(&str, f64)>, tier: Option<&str>) {
        let tiers = self.model.tiers();
        let place = |tier: &str| TIERS.iter().position(|t| *t == tier).unwrap_or(1);
        let wanted = place(tier.unwrap_or("1K"));
        let tier = tiers.into_iter().min_by_key(|t| place(t).abs_diff(wanted)).unwrap_or("1K");
        tier.clone_into(&mut self.tier);
        let first = self.references.first().map(|size| size::ratio(*size));
        let ratio = ratio.map(|(_, ratio)| ratio).or(first).unwrap_or(1.0).clamp(1.0 / 8.0, 8.0);
        // Casts of floats saturate, and these are small.
        (self.width, self.height) = match self.model.gemini() {
            Some(model) => model.pixels(None, tier, Some(((ratio * 10_000.0) as u32, 10_000))),
            None => {
                let side = [512.0, 1024.0, 2048.0, 4096.0][place(tier)];
                let floor = |side: f64| (side / 16.0) as u32 * 16;
                (floor(side * ratio.sqrt()), floor(side / ratio.sqrt()))
            }
        };
    }
}

fn tier_of(width: u32, height: u32) -> &'static str {
    match u64::from(width) * u64::from(height) {
        ..500_000 => "512",
        500_000..2_500_000 => "1K",
        2_500_000..9_000_000 => "2K",
        _ => "4K",
    }
}

/// What the user says in a chat, in order.
pub(super) fn prompt(body: &Map<String, Value>) -> String {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut texts = Vec::new();
    for message in messages.iter().filter(|m| m["role"] == "user") {
        match &message["content"] {
            Value::Array(parts) => texts.extend(parts.iter().filter_map(|part| part["text"].as_str())),
            content => texts.extend(content.as_str()),
        }
    }
    texts.join("\n")
}

fn missing(name: &str) -> Wrong {
    Wrong::new(format!("{name}: Invalid input: expected string, received undefined"))
}

struct Fields<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong::new(format!("{name}: Invalid input: expected string"))),
        }
    }

    fn choice(&self, name: &str, known: &[&str]) -> Result<Option<&'a str>, Wrong> {
        match self.text(name)? {
            Some(value) if !known.contains(&value) => {
                let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
                Err(Wrong::new(format!("{name}: Invalid option: expected one of {}", known.join("|"))))
            }
            value => Ok(value),
        }
    }

    /// A ratio by name, and as a number; `auto` is none.
    fn ratio(&self, name: &str) -> Result<Option<(&'a str, f64)>, Wrong> {
        let known: Vec<&str> = RATIOS.into_iter().chain(["auto"]).collect();
        let Some(text) = self.choice(name, &known)? else { return Ok(None) };
        let sides =
            text.split_once(':').and_then(|(w, h)| Some((w.parse::<f64>().ok()?, h.parse::<f64>().ok()?)));
        Ok(sides.map(|(w, h)| (text, w / h)))
    }

    fn int(&self, name: &str, from: i64, to: i64) -> Result<Option<i64>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_i64() {
            None => Err(Wrong::new(format!("{name}: Invalid input: expected int"))),
            Some(n) if n < from => {
                Err(Wrong::new(format!("{name}: Too small: expected number to be >={from}")))
            }
            Some(n) if n > to => Err(Wrong::new(format!("{name}: Too big: expected number to be <={to}"))),
            some => Ok(some),
        }
    }

    fn boolean(&self, name: &str) -> Result<bool, Wrong> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(Wrong::new(format!("{name}: Invalid input: expected boolean"))),
        }
    }

    fn list(&self, name: &str) -> Result<&'a [Value], Wrong> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(all)) => Ok(all),
            Some(_) => Err(Wrong::new(format!("{name}: Invalid input: expected array"))),
        }
    }

    /// The caller may say who is to run the model.
    fn routing(&self, model: &Model) -> Result<(), Wrong> {
        let provider = match self.get("provider") {
            None => return Ok(()),
            Some(Value::Object(map)) => Fields { map },
            Some(_) => return Err(Wrong::new("provider: Invalid input: expected object")),
        };
        let (only, ignore) = (provider.list("only")?, provider.list("ignore")?);
        provider.list("order")?;
        provider.boolean("allow_fallbacks")?;
        let named = |list: &[Value]| list.iter().any(|slug| slug == model.provider.1);
        if !only.is_empty() && !named(only) {
            return Err(Wrong::new("No allowed providers are available for the selected model.").status(404));
        }
        if named(ignore) {
            return Err(Wrong::new("All providers have been ignored.").status(404));
        }
        Ok(())
    }
}

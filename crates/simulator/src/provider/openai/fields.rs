//! What a request may say, and OpenAI's words for what it may not.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Call, Payload};
use crate::material::Material;
use crate::picture::Format;
use crate::size::pair;

use super::models::{self, Model};
use super::pictures;

const LONGEST_PROMPT: usize = 32_000;

/// An error answer.
#[derive(Debug)]
pub(super) struct Wrong {
    pub status: StatusCode,
    text: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Wrong {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let (status, kind) = (StatusCode::BAD_REQUEST, "invalid_request_error");
        Self { status, text: text.into(), kind, param: None, code: None }
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn param(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"error": {"message": self.text, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

/// A valid request.
#[derive(Debug)]
pub(super) struct Order {
    pub model: &'static Model,
    pub prompt: String,
    pub n: u64,
    pub width: u32,
    pub height: u32,
    pub quality: String,
    pub background: String,
    pub format: Format,
    pub stream: bool,
    /// The sizes of the images sent along.
    pub inputs: Vec<(u32, u32)>,
    /// Those of them, and the mask, that are no URLs.
    pub materials: Vec<Material>,
}

const COMMON: [&str; 12] = [
    "model",
    "prompt",
    "n",
    "size",
    "quality",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "stream",
    "partial_images",
    "user",
];

impl Order {
    pub(super) fn read(call: &Call, edit: bool, now_us: u64) -> Result<Self, Wrong> {
        let form = match &call.payload {
            Payload::Form(parts) if edit => Some(parts.as_slice()),
            Payload::Json(Value::Object(_)) => None,
            Payload::Json(_) | Payload::BrokenJson(_) | Payload::Nothing => {
                return Err(Wrong::new("We could not parse the JSON body of your request."));
            }
            _ => {
                let text = format!(
                    "Invalid Content-Type header ({}), expected application/json.",
                    call.header("content-type")
                );
                return Err(Wrong::new(text));
            }
        };
        let fields = Fields { map: call.fields().unwrap_or_default(), texts: form.is_some() };
        // A request that names no model gets the API's old default, which may be gone.
        let default = if edit { "gpt-image-1.5" } else { "dall-e-2" };
        let name = fields.text("model")?.unwrap_or_else(|| default.to_owned());
        let model = models::find(&name, now_us)?;
        fields.all_known(model, edit)?;
        let prompt = fields.prompt()?;
        let format = match fields.choice("output_format", &["png", "jpeg", "webp", "gif"])? {
            Some(name) => Format::named(&name).unwrap_or(Format::Png),
            None => Format::Png,
        };
        if format == Format::Gif && !model.extras.contains(&"complexity") {
            return Err(unsupported("output_format", "gif", &["png", "jpeg", "webp"]));
        }
        let background = fields.choice("background", &["auto", "opaque", "transparent"])?;
        if background.as_deref() == Some("transparent") && format == Format::Jpeg {
            let text = "Transparent background is not supported for JPEG output format.";
            return Err(Wrong::new(text).param("background").code("invalid_value"));
        }
        let names: Vec<&str> = model.qualities.iter().map(|(name, _)| *name).chain(["auto"]).collect();
        let quality = fields.choice("quality", &names)?.filter(|q| q != "auto");
        let compression = fields.int("output_compression", 0, 100)?;
        if compression.is_some_and(|c| c < 100) && !matches!(format, Format::Jpeg | Format::Webp) {
            let text = "Compression less than 100 is not supported for PNG output format.";
            return Err(Wrong::new(text).param("output_compression").code("invalid_value"));
        }
        fields.choice("moderation", &["auto", "low"])?;
        fields.choice("complexity", &["low", "medium", "high"])?;
        fields.choice("input_fidelity", &["low", "high"])?;
        fields.text("user")?;
        fields.int("partial_images", 0, 3)?;
        let (width, height) = fields.size(model)?;
        let (inputs, materials) = match (edit, form) {
            (false, _) => Default::default(),
            (true, Some(parts)) => pictures::of_form(parts)?,
            (true, None) => pictures::of_json(&fields.map)?,
        };
        Ok(Self {
            model,
            prompt,
            n: fields.int("n", 1, 10)?.unwrap_or(1),
            width,
            height,
            // What `auto` chooses is the vendor's secret.
            quality: quality.unwrap_or_else(|| "medium".to_owned()),
            background: background.filter(|b| b != "auto").unwrap_or_else(|| "opaque".to_owned()),
            format,
            stream: fields.boolean("stream")?,
            inputs,
            materials,
        })
    }
}

fn unsupported(name: &str, value: &str, known: &[&str]) -> Wrong {
    let known: Vec<String> = known.iter().map(|k| format!("'{k}'")).collect();
    let text = format!("Invalid value: '{value}'. Supported values are: {}.", known.join(", "));
    Wrong::new(text).param(name).code("invalid_value")
}

struct Fields {
    map: Map<String, Value>,
    /// A form: numbers and truths come as text.
    texts: bool,
}

impl Fields {
    fn all_known(&self, model: &Model, edit: bool) -> Result<(), Wrong> {
        let of_edits = |name: &str| if self.texts { false } else { ["images", "mask"].contains(&name) };
        for name in self.map.keys().map(String::as_str) {
            let extra = model.extras.contains(&name) && (edit || name != "input_fidelity");
            if !(COMMON.contains(&name) || extra || edit && of_edits(name)) {
                let text = format!("Unknown parameter: '{name}'.");
                return Err(Wrong::new(text).param(name).code("unknown_parameter"));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn wrong_type(&self, name: &str, expected: &str) -> Wrong {
        let got = match self.map.get(name) {
            Some(Value::String(_)) => "a string",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Number(n)) if n.is_f64() => "a decimal number",
            Some(Value::Number(_)) => "an integer",
            Some(Value::Array(_)) => "an array",
            _ => "an object",
        };
        let text = format!("Invalid type for '{name}': expected {expected}, but got {got} instead.");
        Wrong::new(text).param(name).code("invalid_type")
    }

    fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong_type(name, "a string")),
        }
    }

    fn choice(&self, name: &str, known: &[&str]) -> Result<Option<String>, Wrong> {
        let text = self.text(name)?;
        match &text {
            Some(value) if !known.contains(&value.as_str()) => Err(unsupported(name, value, known)),
            _ => Ok(text),
        }
    }

    fn prompt(&self) -> Result<String, Wrong> {
        let Some(prompt) = self.text("prompt")? else {
            let wrong = Wrong::new("Missing required parameter: 'prompt'.");
            return Err(wrong.param("prompt").code("missing_required_parameter"));
        };
        let length = prompt.chars().count();
        if prompt.trim().is_empty() {
            let text = "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead.";
            return Err(Wrong::new(text).param("prompt").code("empty_string"));
        }
        if length > LONGEST_PROMPT {
            let text = format!(
                "Invalid 'prompt': string too long. Expected a string with maximum length {LONGEST_PROMPT}, but got a string with length {length} instead."
            );
            return Err(Wrong::new(text).param("prompt").code("string_above_max_length"));
        }
        Ok(prompt)
    }

    fn int(&self, name: &str, from: i64, to: i64) -> Result<Option<u64>, Wrong> {
        let int = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) if self.texts => text.parse().ok(),
            Some(value) => value.as_i64(),
        };
        let Some(int) = int else { return Err(self.wrong_type(name, "an integer")) };
        if int > to {
            let text = format!(
                "Invalid '{name}': integer above maximum value. Expected a value <= {to}, but got {int} instead."
            );
            return Err(Wrong::new(text).param(name).code("integer_above_max_value"));
        }
        if int < from {
            let text = format!(
                "Invalid '{name}': integer below minimum value. Expected a value >= {from}, but got {int} instead."
            );
            return Err(Wrong::new(text).param(name).code("integer_below_min_value"));
        }
        Ok(u64::try_from(int).ok())
    }

    fn boolean(&self, name: &str) -> Result<bool, Wrong> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if self.texts && ["true", "false"].contains(&text.as_str()) => {
                Ok(text == "true")
            }
            Some(_) => Err(self.wrong_type(name, "a boolean")),
        }
    }

    fn size(&self, model: &Model) -> Result<(u32, u32), Wrong> {
        const FIXED: [&str; 4] = ["1024x1024", "1024x1536", "1536x1024", "auto"];
        let text = self.text("size")?.unwrap_or_else(|| "auto".to_owned());
        if text == "auto" {
            return Ok((1024, 1024));
        }
        let Some((w, h)) = pair(&text, 'x').filter(|_| model.free_sizes || FIXED.contains(&text.as_str()))
        else {
            return Err(unsupported("size", &text, &FIXED));
        };
        let pixels = u64::from(w) * u64::from(h);
        let (short, long) = (u64::from(w.min(h)), u64::from(w.max(h)));
        let trouble = if w % 16 != 0 || h % 16 != 0 {
            "Width and height must both be divisible by 16."
        } else if long > 3840 {
            "The longest side must not exceed 3840 pixels."
        } else if long > 3 * short {
            "The aspect ratio must be between 1:3 and 3:1."
        } else if !(655_360..=8_294_400).contains(&pixels) {
            "The total number of pixels must be between 655360 and 8294400."
        } else {
            return Ok((w, h));
        };
        Err(Wrong::new(format!("Invalid size '{text}'. {trouble}")).param("size").code("invalid_value"))
    }
}

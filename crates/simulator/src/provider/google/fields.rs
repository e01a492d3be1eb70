//! What a request means, once it fits the message types, and Google's words for what it may not say.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Call, Payload};
use crate::material::{Material, base64};

use super::models::{INPUT_TOKENS, Model};
use super::shape::{self, snake};

/// What a model reads at most.
pub(super) const MOST_TOKENS: u64 = 65_536;
/// Bytes of a request with its images in it.
const LARGEST: usize = 20 << 20;
const MOST_PICTURES: usize = 14;

const MEDIA_TYPES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"];

/// An error answer.
#[derive(Debug)]
pub(super) struct Wrong {
    pub status: StatusCode,
    text: String,
    name: &'static str,
    details: Vec<Value>,
}

impl Wrong {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let (status, name) = (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT");
        Self { status, text: text.into(), name, details: Vec::new() }
    }

    pub(super) fn status(self, status: StatusCode, name: &'static str) -> Self {
        Self { status, name, ..self }
    }

    pub(super) fn detail(mut self, detail: Value) -> Self {
        self.details.push(detail);
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({"code": self.status.as_u16(), "message": self.text, "status": self.name});
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        json!({ "error": error })
    }
}

/// A valid request.
#[derive(Debug)]
pub(super) struct Order {
    pub prompt: String,
    pub seed: Option<u64>,
    pub width: u32,
    pub height: u32,
    pub size: String,
    /// What it is to answer with.
    pub text: bool,
    pub picture: bool,
    /// Whether drafts are shown.
    pub thoughts: bool,
    pub input_tokens: u64,
    pub inputs: Vec<Material>,
}

impl Order {
    pub(super) fn read(model: &Model, call: &Call) -> Result<Self, Wrong> {
        let body = match &call.payload {
            Payload::Json(Value::Object(body)) => body,
            Payload::Json(_) | Payload::BrokenJson(_) => {
                return Err(Wrong::new("Invalid JSON payload received. Unexpected token."));
            }
            Payload::Nothing => return Err(unspecified("contents")),
            _ => {
                let text =
                    format!("Invalid content type \"{}\": expected JSON.", call.header("content-type"));
                return Err(Wrong::new(text));
            }
        };
        if call.length > LARGEST {
            let text = format!("Request payload size exceeds the limit: {LARGEST} bytes.");
            return Err(Wrong::new(text));
        }
        shape::check(body)?;
        let mut order = Self::settings(model, body)?;
        let first = order.contents(body)?;
        let ratio = setting(body, &["imageConfig", "aspectRatio"]).and_then(Value::as_str);
        let like = first.map(|m| (m.width, m.height));
        (order.width, order.height) = model.pixels(ratio, &order.size, like);
        Ok(order)
    }

    fn settings(model: &Model, body: &Map<String, Value>) -> Result<Self, Wrong> {
        let number = |name: &str| setting(body, &[name]).and_then(Value::as_f64);
        for (name, most) in [("temperature", 2.0), ("topP", 1.0)] {
            if number(name).is_some_and(|n| !(0.0..=most).contains(&n)) {
                let snake = snake(name);
                return Err(Wrong::new(format!(
                    "* GenerateContentRequest.generation_config.{snake}: {snake} must be in the range [0.0, {most:.1}].\n"
                )));
            }
        }
        if number("candidateCount").is_some_and(|n| n > 1.0) {
            return Err(Wrong::new("Multiple candidates is not enabled for this model"));
        }
        let text = |names: &[&str]| setting(body, names).and_then(Value::as_str);
        if text(&["responseMimeType"]).is_some_and(|t| t != "text/plain") {
            return Err(Wrong::new(format!("JSON mode is not enabled for models/{}", model.name)));
        }
        let ratio = text(&["imageConfig", "aspectRatio"]);
        if ratio.is_some_and(|r| model.ratios().iter().all(|(name, _, _)| *name != r)) {
            let known: Vec<String> = model.ratios().iter().map(|(name, _, _)| format!("'{name}'")).collect();
            return Err(Wrong::new(format!("aspect_ratio must be one of {}.", known.join(", "))));
        }
        let size = text(&["imageConfig", "imageSize"]).unwrap_or("1K");
        if !model.sizes().any(|known| known == size) {
            let known: Vec<String> = model.sizes().map(|name| format!("'{name}'")).collect();
            return Err(Wrong::new(format!("image_size must be one of {}.", known.join(", "))));
        }
        let modalities: Vec<&str> =
            list(setting(body, &["responseModalities"])).filter_map(Value::as_str).collect();
        let wants =
            |name: &str| modalities.is_empty() || modalities.iter().any(|m| m.eq_ignore_ascii_case(name));
        let seed = setting(body, &["seed"]).and_then(whole).and_then(|n| u64::try_from(n).ok());
        Ok(Self {
            prompt: String::new(),
            seed,
            width: 0,
            height: 0,
            size: size.to_owned(),
            text: wants("TEXT"),
            picture: wants("IMAGE"),
            thoughts: setting(body, &["thinkingConfig", "includeThoughts"]) == Some(&Value::Bool(true)),
            input_tokens: 0,
            inputs: Vec::new(),
        })
    }

    /// Reads what is said and shown, and gives the first image.
    fn contents(&mut self, body: &Map<String, Value>) -> Result<Option<Material>, Wrong> {
        self.prompt = prompt(body);
        let (mut count, mut pictures) = (0, 0);
        for (n, content) in list(body.get("contents")).enumerate() {
            count += 1;
            let role = content.get("role").and_then(Value::as_str).unwrap_or("user");
            if !["user", "model"].contains(&role) {
                return Err(Wrong::new("Please use a valid role: user, model."));
            }
            let mut parts = 0;
            for (p, part) in list(content.get("parts")).enumerate() {
                parts += 1;
                let at = format!("contents[{n}].parts[{p}]");
                let given = |name: &str| part.get(name).filter(|v| !v.is_null());
                let kinds =
                    ["text", "inlineData", "fileData"].iter().filter(|name| given(name).is_some()).count();
                if kinds != 1 {
                    let text = "required oneof field 'data' must have one initialized field";
                    return Err(Wrong::new(format!("* GenerateContentRequest.{at}.data: {text}\n")));
                }
                pictures += usize::from(given("text").is_none());
                if let Some(blob) = given("inlineData") {
                    self.inputs.push(picture(blob)?);
                }
            }
            if parts == 0 {
                let text = format!(
                    "* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty.\n"
                );
                return Err(Wrong::new(text));
            }
        }
        if count == 0 {
            return Err(unspecified("contents"));
        }
        if pictures > MOST_PICTURES {
            let text =
                format!("The request contains {pictures} images, more than the maximum of {MOST_PICTURES}.");
            return Err(Wrong::new(text));
        }
        self.input_tokens = self.prompt.chars().count().div_ceil(4) as u64 + INPUT_TOKENS * pictures as u64;
        if self.input_tokens > MOST_TOKENS {
            return Err(Wrong::new(format!(
                "The input token count ({}) exceeds the maximum number of tokens allowed ({MOST_TOKENS}).",
                self.input_tokens
            )));
        }
        Ok(self.inputs.first().cloned())
    }
}

/// All texts of the request, in order.
pub(super) fn prompt(body: &Map<String, Value>) -> String {
    let texts: Vec<&str> = list(body.get("contents"))
        .flat_map(|content| list(content.get("parts")))
        .filter_map(|part| part.get("text")?.as_str())
        .collect();
    texts.join("\n")
}

/// Something inside of `generationConfig` that is not null.
pub(super) fn setting<'a>(body: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names
        .iter()
        .try_fold(body.get("generationConfig")?, |value, name| value.get(name))
        .filter(|v| !v.is_null())
}

/// A whole number, which may be written as a text.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok())
}

fn picture(blob: &Value) -> Result<Material, Wrong> {
    let text = |name| blob.get(name).and_then(Value::as_str).unwrap_or_default();
    let media_type = text("mimeType");
    if !MEDIA_TYPES.contains(&media_type) {
        return Err(Wrong::new(format!("Unsupported MIME type: {media_type}")));
    }
    base64(text("data")).and_then(|bytes| Material::read("inlineData", &bytes).ok()).ok_or_else(|| {
        Wrong::new("Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting")
    })
}

fn unspecified(name: &str) -> Wrong {
    Wrong::new(format!("* GenerateContentRequest.{name}: {name} is not specified\n"))
}

/// The elements of a list; a single one may stand for a list of one.
pub(super) fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    match value {
        None | Some(Value::Null) => [].iter(),
        Some(Value::Array(all)) => all.iter(),
        Some(one) => std::slice::from_ref(one).iter(),
    }
}

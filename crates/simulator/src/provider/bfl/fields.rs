//! What a submission may say, and FastAPI's words for what it may not.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::call::Payload;
use crate::material::{Material, Polarity, REMOTE_SIZE, base64};
use crate::picture::Format;
use crate::size::{fitted, pair, ratio};

use super::format_named;
use super::models::{Kind, Model, Prompt, Size, megapixels};

/// The vendor documents 32K tokens for FLUX.2 and nothing for the others; so many characters are let through.
const LONGEST_PROMPT: usize = 131_072;
/// Pixels of an input image, and with margins of an output.
const LARGEST: u64 = 20_000_000;

/// A valid submission.
#[derive(Debug)]
pub(super) struct Order {
    pub prompt: String,
    pub seed: Option<u64>,
    pub width: u32,
    pub height: u32,
    pub format: Format,
    /// The sizes of the images sent along.
    pub inputs: Vec<(u32, u32)>,
    /// Those of them that are no URLs.
    pub materials: Vec<Material>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            seed: None,
            width: 0,
            height: 0,
            format: Format::Jpeg,
            inputs: Vec::new(),
            materials: Vec::new(),
        }
    }
}

impl Order {
    pub(super) fn input_megapixels(&self) -> Decimal {
        self.inputs.iter().map(|(w, h)| megapixels(*w, *h)).sum()
    }

    /// All that is wrong with it is listed, as FastAPI does.
    pub(super) fn read(model: &Model, payload: &Payload) -> Result<Self, Vec<Value>> {
        let body = match payload {
            Payload::Json(Value::Object(body)) => body,
            Payload::BrokenJson(why) => {
                let error = json!({"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {}, "ctx": {"error": why}});
                return Err(vec![error]);
            }
            Payload::Nothing => {
                return Err(vec![problem("missing", &["body"], "Field required", &Value::Null)]);
            }
            _ => {
                let text = "Input should be a valid dictionary or object to extract fields from";
                return Err(vec![problem("model_attributes_type", &["body"], text, &json!("(not shown)"))]);
            }
        };
        let mut check = Check { body, problems: Vec::new(), materials: Vec::new() };
        let order = check.order(model);
        if check.problems.is_empty() { Ok(order) } else { Err(check.problems) }
    }
}

fn problem(kind: &str, loc: &[&str], msg: &str, input: &Value) -> Value {
    json!({"type": kind, "loc": loc, "msg": msg, "input": input})
}

struct Check<'a> {
    body: &'a Map<String, Value>,
    problems: Vec<Value>,
    materials: Vec<Material>,
}

impl Check<'_> {
    fn wrong(&mut self, name: &str, kind: &str, msg: &str) {
        let input = self.body.get(name).cloned().unwrap_or_else(|| Value::Object(self.body.clone()));
        self.problems.push(problem(kind, &["body", name], msg, &input));
    }

    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.body.get(name).filter(|v| !v.is_null())
    }

    fn order(&mut self, model: &Model) -> Order {
        const COMMON: [&str; 6] =
            ["prompt", "seed", "safety_tolerance", "output_format", "webhook_url", "webhook_secret"];
        let known = |name: &str| COMMON.contains(&name) || model.fields.iter().any(|(n, _)| *n == name);
        let unknown: Vec<&String> = self.body.keys().filter(|name| !known(name)).collect();
        for name in unknown {
            self.wrong(name, "extra_forbidden", "Extra inputs are not permitted");
        }
        let mut order = Order {
            prompt: self.prompt(model),
            seed: self.int("seed", (0, i64::from(u32::MAX), 1)).and_then(|s| u64::try_from(s).ok()),
            format: if model.png { Format::Png } else { Format::Jpeg },
            ..Order::default()
        };
        self.int("safety_tolerance", (0, model.safety_max, 1));
        self.text("webhook_url");
        self.text("webhook_secret");
        if let Some(name) = self.text("output_format") {
            match format_named(&name) {
                Some(format) => order.format = format,
                None => self.wrong("output_format", "enum", "Input should be 'jpeg' or 'png'"),
            }
        }
        let mut ratio = None;
        let mut pictures = Vec::new();
        for (name, kind) in model.fields {
            match *kind {
                Kind::Int(from, to, step) => drop(self.int(name, (from, to, step))),
                Kind::Number(from, to) => self.number(name, from, to),
                Kind::Bool => self.boolean(name),
                Kind::Aspect => ratio = self.aspect(name),
                Kind::NeededPicture if self.get(name).is_none() => {
                    self.wrong(name, "missing", "Field required")
                }
                Kind::Picture | Kind::NeededPicture => {
                    let mask = self.polarity(model, name);
                    pictures.extend(self.picture(name, mask).map(|size| (*name, size)));
                }
            }
        }
        (order.width, order.height) = self.size(model, ratio, &pictures);
        order.materials = std::mem::take(&mut self.materials);
        order.inputs = pictures.into_iter().map(|(_, size)| size).collect();
        order
    }

    fn prompt(&mut self, model: &Model) -> String {
        let needed = match model.prompt {
            Prompt::Needed => true,
            Prompt::OrPicture => self.get("image_prompt").is_none(),
            Prompt::Optional => false,
        };
        let Some(prompt) = self.text("prompt") else {
            if needed && self.get("prompt").is_none() {
                self.wrong("prompt", "missing", "Field required");
            }
            return String::new();
        };
        if needed && prompt.trim().is_empty() {
            self.wrong("prompt", "string_too_short", "String should have at least 1 character");
        }
        if prompt.chars().count() > LONGEST_PROMPT {
            let text = format!("String should have at most {LONGEST_PROMPT} characters");
            self.wrong("prompt", "string_too_long", &text);
        }
        prompt
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let text = value.as_str().map(String::from);
        if text.is_none() {
            self.wrong(name, "string_type", "Input should be a valid string");
        }
        text
    }

    fn int(&mut self, name: &str, (from, to, step): (i64, i64, i64)) -> Option<i64> {
        let value = self.get(name)?;
        let Some(int) = value.as_i64() else {
            self.wrong(name, "int_type", "Input should be a valid integer");
            return None;
        };
        if int < from {
            self.wrong(
                name,
                "greater_than_equal",
                &format!("Input should be greater than or equal to {from}"),
            );
        } else if int > to {
            self.wrong(name, "less_than_equal", &format!("Input should be less than or equal to {to}"));
        } else if int % step != 0 {
            self.wrong(name, "multiple_of", &format!("Input should be a multiple of {step}"));
        } else {
            return Some(int);
        }
        None
    }

    fn number(&mut self, name: &str, from: f64, to: f64) {
        let Some(value) = self.get(name) else { return };
        match value.as_f64() {
            None => self.wrong(name, "float_type", "Input should be a valid number"),
            Some(n) if n < from => {
                self.wrong(
                    name,
                    "greater_than_equal",
                    &format!("Input should be greater than or equal to {from}"),
                );
            }
            Some(n) if n > to => {
                self.wrong(name, "less_than_equal", &format!("Input should be less than or equal to {to}"));
            }
            Some(_) => {}
        }
    }

    fn boolean(&mut self, name: &str) {
        if self.get(name).is_some_and(|v| !v.is_boolean()) {
            self.wrong(name, "bool_type", "Input should be a valid boolean");
        }
    }

    fn aspect(&mut self, name: &str) -> Option<(u32, u32)> {
        let text = self.text(name)?;
        match pair(&text, ':') {
            Some((w, h))
                if w > 0 && h > 0 && w <= 10_000 && h <= 10_000 && w * 9 <= h * 21 && h * 9 <= w * 21 =>
            {
                Some((w, h))
            }
            _ => {
                self.wrong(name, "value_error", "Value error, aspect_ratio must be between 21:9 and 9:21");
                None
            }
        }
    }

    /// For the image that marks what is to be edited: the mask, or without one the image's own transparency.
    fn polarity(&self, model: &Model, name: &str) -> Option<Polarity> {
        let takes_mask = model.fields.iter().any(|(name, _)| *name == "mask");
        match name {
            "mask" => Some(Polarity::White),
            "image" if takes_mask && self.get("mask").is_none() => Some(Polarity::Transparent),
            _ => None,
        }
    }

    fn picture(&mut self, name: &str, mask: Option<Polarity>) -> Option<(u32, u32)> {
        let text = self.text(name)?;
        if text.starts_with("https://") || text.starts_with("http://") {
            return Some(REMOTE_SIZE);
        }
        let material = base64(&text).and_then(|bytes| Material::read_as(mask, name, &bytes).ok());
        let Some(material) = material else {
            let text = "Value error, input is neither a URL nor a base64 encoded image";
            self.wrong(name, "value_error", text);
            return None;
        };
        let size = (material.width, material.height);
        if u64::from(size.0) * u64::from(size.1) > LARGEST {
            self.wrong(name, "value_error", "Value error, image must not exceed 20 megapixels");
            return None;
        }
        self.materials.push(material);
        Some(size)
    }

    fn size(
        &mut self,
        model: &Model,
        asked: Option<(u32, u32)>,
        pictures: &[(&str, (u32, u32))],
    ) -> (u32, u32) {
        let input = |name: &str| pictures.iter().find(|(n, _)| *n == name).map(|(_, size)| *size);
        let side = |name: &str| self.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        match model.size {
            Size::Given(width, height) => (side("width").unwrap_or(width), side("height").unwrap_or(height)),
            Size::Within4(width, height) => {
                let size = (side("width").unwrap_or(width), side("height").unwrap_or(height));
                if u64::from(size.0) * u64::from(size.1) > 4 << 20 {
                    self.wrong(
                        "width",
                        "value_error",
                        "Value error, width * height must not exceed 4 megapixels",
                    );
                }
                size
            }
            Size::Aspect(area, usual) => {
                let own = ratio(asked.or_else(|| input("input_image")).unwrap_or(usual));
                fitted(area, own.clamp(9.0 / 21.0, 21.0 / 9.0))
            }
            Size::Input(name) => {
                let size = input(name).unwrap_or_default();
                if input("mask")
                    .is_some_and(|mask| mask != size && mask != REMOTE_SIZE && size != REMOTE_SIZE)
                {
                    self.wrong("mask", "value_error", "Value error, mask must be of the same size as image");
                }
                size
            }
            Size::Grown => {
                let add = |name: &str| side(name).unwrap_or(0);
                let (width, height) = (add("left") + add("right"), add("top") + add("bottom"));
                let size = input("image").unwrap_or_default();
                if width + height == 0 {
                    self.wrong("top", "value_error", "Value error, at least one side must be expanded");
                }
                let (width, height) = (size.0 + width, size.1 + height);
                if u64::from(width) * u64::from(height) > 2 * LARGEST {
                    self.wrong("image", "value_error", "Value error, the expanded image is too large");
                }
                (width, height)
            }
        }
    }
}

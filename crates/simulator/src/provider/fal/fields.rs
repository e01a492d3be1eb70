//! What an input may say, and fal's words for what it may not. Fields that a model does not have are dropped without a word.

use serde_json::{Map, Value, json};

use crate::material::{Material, Polarity, REMOTE_SIZE, data_uri};
use crate::picture::Format;

use super::models::{Field, Kind, Model};

/// The longest side that may be asked for.
const LONGEST_SIDE: u64 = 4096;

/// A valid input.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub prompt: String,
    pub seed: Option<u64>,
    pub count: u64,
    pub width: u32,
    pub height: u32,
    pub format: Option<Format>,
    /// The images are to be in the answer itself.
    pub inline: bool,
    /// The safety checker is turned off.
    pub unchecked: bool,
    /// The `rendering_speed`, `resolution` or `quality`, where it makes the price.
    pub grade: Option<String>,
    /// The images that came along, masks included.
    pub inputs: Vec<Material>,
    /// The sizes of the input images, those behind URLs too, but not of masks.
    pub sizes: Vec<(u32, u32)>,
}

/// One entry of fal's `detail` list.
pub(super) fn problem(kind: &str, loc: &[&str], msg: &str, input: &Value) -> Value {
    let url = format!("https://docs.fal.ai/errors#{kind}");
    json!({"loc": loc, "msg": msg, "type": kind, "url": url, "input": input})
}

/// Reads one input and collects what is wrong with it.
pub(super) struct Check<'a> {
    body: &'a Map<String, Value>,
    problems: Vec<Value>,
    /// Field, image if it came along, whether it is a mask, and size if known.
    pictures: Vec<(&'static str, Option<Material>, bool)>,
}

impl Order {
    /// All that is wrong with it is listed, as FastAPI does.
    pub(super) fn read(model: &Model, body: &Map<String, Value>) -> Result<Self, Vec<Value>> {
        let mut check = Check { body, problems: Vec::new(), pictures: Vec::new() };
        for field in model.all_fields() {
            check.field(field);
        }
        let order = check.order(model);
        if check.problems.is_empty() { Ok(order) } else { Err(check.problems) }
    }
}

impl Check<'_> {
    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.body.get(name).filter(|v| !v.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    /// The size of the first input image.
    pub(super) fn first_size(&self) -> Option<(u32, u32)> {
        self.sizes().next()
    }

    fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        let pictures = self.pictures.iter().filter(|(_, _, mask)| !mask);
        pictures.map(|(_, picture, _)| picture.as_ref().map_or(REMOTE_SIZE, |p| (p.width, p.height)))
    }

    pub(super) fn wrong(&mut self, name: &str, kind: &str, msg: &str) {
        let input = self.body.get(name).map_or(Value::Null, shown);
        self.problems.push(problem(kind, &["body", name], msg, &input));
    }

    fn limit(&mut self, name: &str, kind: &str, msg: &str, context: Value) {
        self.wrong(name, kind, msg);
        if let Some(last) = self.problems.last_mut() {
            last["ctx"] = context;
        }
    }

    fn field(&mut self, field: &'static Field) {
        let name = field.name;
        let Some(value) = self.body.get(name).filter(|v| !v.is_null()) else {
            if field.needed {
                self.wrong(name, "missing", "Field required");
            }
            return;
        };
        let value = value.clone();
        match field.kind {
            Kind::Text(least, most) => match value.as_str().map(|text| text.chars().count()) {
                None => self.wrong(name, "string_type", "Input should be a valid string"),
                Some(length) if length < least => {
                    let msg = format!("String should have at least {least} characters");
                    self.limit(name, "string_too_short", &msg, json!({"min_length": least}));
                }
                Some(length) if length > most => {
                    let msg = format!("String should have at most {most} characters");
                    self.limit(name, "string_too_long", &msg, json!({"max_length": most}));
                }
                Some(_) => {}
            },
            Kind::Int(from, to) => match value.as_i64() {
                None => self.wrong(name, "int_type", "Input should be a valid integer"),
                Some(int) => self.range(name, int as f64, from as f64, to as f64),
            },
            Kind::Number(from, to) => match value.as_f64() {
                None => self.wrong(name, "float_type", "Input should be a valid number"),
                Some(number) => self.range(name, number, from, to),
            },
            Kind::Bool if !value.is_boolean() => {
                self.wrong(name, "bool_type", "Input should be a valid boolean");
            }
            Kind::Choice(known) if !value.as_str().is_some_and(|text| known.contains(&text)) => {
                let msg = format!("Input should be one of: {}", known.join(", "));
                self.limit(name, "one_of", &msg, json!({"expected": known}));
            }
            Kind::Only(number) if value.as_i64() != Some(number) => {
                let msg = format!("Input should be {number}");
                self.limit(name, "one_of", &msg, json!({"expected": [number]}));
            }
            Kind::Picture => self.picture(name, &value, None),
            Kind::Mask(polarity) => self.picture(name, &value, Some(polarity)),
            Kind::Pictures(most) => self.list(name, &value, most, |item| item.clone()),
            Kind::Faces(most) => self.list(name, &value, most, |item| item["image_url"].clone()),
            Kind::Dimensions => drop(self.image_size(name, &value, false)),
            Kind::DimensionsOrAuto => drop(self.image_size(name, &value, true)),
            Kind::Pair if pair(&value).is_none() => {
                self.wrong(name, "value_error", "Value error, a list of two positive integers is needed");
            }
            Kind::Bool | Kind::Choice(_) | Kind::Only(_) | Kind::Pair | Kind::Any => {}
        }
    }

    fn range(&mut self, name: &str, number: f64, from: f64, to: f64) {
        if number < from {
            let msg = format!("Input should be greater than or equal to {from}");
            self.limit(name, "greater_than_equal", &msg, json!({"ge": from}));
        } else if number > to {
            let msg = format!("Input should be less than or equal to {to}");
            self.limit(name, "less_than_equal", &msg, json!({"le": to}));
        }
    }

    fn list(&mut self, name: &'static str, value: &Value, most: usize, url: impl Fn(&Value) -> Value) {
        let Some(items) = value.as_array() else {
            return self.wrong(name, "list_type", "Input should be a valid list");
        };
        if items.is_empty() {
            let msg = "List should have at least 1 item after validation, not 0";
            self.limit(name, "sequence_too_short", msg, json!({"min_length": 1}));
        } else if items.len() > most {
            let msg = format!("List should have at most {most} items after validation, not {}", items.len());
            self.limit(name, "sequence_too_long", &msg, json!({"max_length": most}));
        } else {
            for item in items {
                self.picture(name, &url(item), None);
            }
        }
    }

    fn picture(&mut self, name: &'static str, value: &Value, mask: Option<Polarity>) {
        let Some(text) = value.as_str() else {
            return self.wrong(name, "string_type", "Input should be a valid string");
        };
        if text.starts_with("https://") || text.starts_with("http://") {
            return self.pictures.push((name, None, mask.is_some()));
        }
        let Some((_, bytes)) = data_uri(text) else {
            let msg = "Failed to download the file. Please check if the URL is accessible and try again.";
            return self.wrong(name, "file_download_error", msg);
        };
        match Material::read_as(mask, name, &bytes) {
            Ok(picture) => self.pictures.push((name, Some(picture), mask.is_some())),
            Err(_) => {
                let msg = "Failed to load the image. Please ensure the image file is not corrupted and is in a supported format.";
                self.wrong(name, "image_load_error", msg);
            }
        }
    }

    /// `None` for `auto` and for what is wrong.
    pub(super) fn image_size(&mut self, name: &str, value: &Value, auto: bool) -> Option<(u32, u32)> {
        if let Some(text) = value.as_str() {
            let size = preset(text);
            if size.is_none() && !(auto && text == "auto") {
                let msg = "Input should be one of: square_hd, square, portrait_4_3, portrait_16_9, landscape_4_3, landscape_16_9";
                self.limit(name, "one_of", msg, json!({}));
            }
            return size;
        }
        let Some(object) = value.as_object() else {
            self.wrong(name, "value_error", "Value error, a preset or an object is needed");
            return None;
        };
        let mut sides = [512, 512];
        for (side, key) in sides.iter_mut().zip(["width", "height"]) {
            let Some(value) = object.get(key).filter(|v| !v.is_null()) else { continue };
            // Models draw whole blocks of 16 pixels.
            match value.as_u64() {
                None => self.wrong(name, "int_type", "Input should be a valid integer"),
                Some(0..16) => {
                    let msg = "Input should be greater than or equal to 16";
                    self.limit(name, "greater_than_equal", msg, json!({"ge": 16}));
                }
                Some(LONGEST_SIDE..) if value.as_u64() != Some(LONGEST_SIDE) => {
                    let msg = format!("Input should be less than or equal to {LONGEST_SIDE}");
                    self.limit(name, "less_than_equal", &msg, json!({"le": LONGEST_SIDE}));
                }
                Some(pixels) => *side = u32::try_from(pixels / 16 * 16).unwrap_or(512),
            }
        }
        Some((sides[0], sides[1]))
    }

    fn order(&mut self, model: &Model) -> Order {
        let format = self.text("output_format").or_else(|| self.text("format")).and_then(Format::named);
        let grade = ["rendering_speed", "resolution", "quality"].iter().find_map(|name| self.text(name));
        let truth = |name: &str| self.get(name).and_then(Value::as_bool);
        let mut order = Order {
            prompt: self.text("prompt").filter(|_| model.takes("prompt")).unwrap_or_default().to_owned(),
            seed: self.get("seed").and_then(Value::as_u64).filter(|_| model.takes("seed")),
            count: self
                .get("num_images")
                .and_then(Value::as_u64)
                .filter(|_| model.takes("num_images"))
                .unwrap_or(1),
            format: format.filter(|_| model.takes("output_format") || model.takes("format")),
            inline: model.takes("sync_mode") && truth("sync_mode") == Some(true),
            unchecked: model.takes("enable_safety_checker") && truth("enable_safety_checker") == Some(false),
            grade: grade.map(String::from),
            ..Order::default()
        };
        let images: Vec<_> = self.pictures.iter().filter(|(_, _, mask)| !mask).collect();
        let masks = self.pictures.iter().filter(|(_, _, mask)| *mask);
        let same = |a: &Material, b: &Material| (a.width, a.height) == (b.width, b.height);
        let misfit = masks.filter_map(|(name, mask, _)| Some((*name, mask.as_ref()?))).find(|(_, mask)| {
            images.first().and_then(|(_, image, _)| image.as_ref()).is_some_and(|image| !same(image, mask))
        });
        if let Some((name, _)) = misfit {
            self.wrong(name, "value_error", "Value error, the mask must be of the same size as the image");
        }
        if self.problems.is_empty() {
            (order.width, order.height) = self.size(model);
        }
        order.sizes = self.sizes().collect();
        order.inputs = self.pictures.drain(..).filter_map(|(_, picture, _)| picture).collect();
        order
    }
}

/// The input as errors repeat it, without what is long.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > 200 => json!(text.chars().take(200).collect::<String>() + "…"),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => value.clone(),
        _ => Value::Null,
    }
}

pub(super) fn pair(value: &Value) -> Option<(u32, u32)> {
    let [a, b] = value.as_array()?.as_slice() else { return None };
    let side = |v: &Value| v.as_u64().filter(|n| *n <= 2 * LONGEST_SIDE).and_then(|n| u32::try_from(n).ok());
    Some((side(a)?, side(b)?))
}

pub(super) fn preset(name: &str) -> Option<(u32, u32)> {
    Some(match name {
        "square_hd" => (1024, 1024),
        "square" => (512, 512),
        "portrait_4_3" => (768, 1024),
        "portrait_16_9" => (576, 1024),
        "landscape_4_3" => (1024, 768),
        "landscape_16_9" => (1024, 576),
        _ => return None,
    })
}

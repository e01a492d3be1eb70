//! What an input may say, and Replicate's words for what it may not. Fields that a schema does not have are dropped without a word.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::material::{Material, Polarity, REMOTE_SIZE, data_uri};
use crate::picture::Format;
use crate::world::World;

use super::files;
use super::models::{Field, Fit, Kind, Model};

/// Larger files must be uploaded.
const LARGEST_DATA_URI: usize = 256 * 1024;
const LONGEST_PROMPT: usize = 131_072;

/// A valid input.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub prompt: String,
    pub seed: Option<u64>,
    pub count: u64,
    pub width: u32,
    pub height: u32,
    pub format: Option<Format>,
    /// The safety checker is turned off.
    pub unchecked: bool,
    /// The images that came along, masks included.
    pub inputs: Vec<Material>,
    /// The sizes of the input images, those behind URLs too, but not of masks.
    pub sizes: Vec<(u32, u32)>,
    /// What only the model itself finds wrong.
    pub failure: Option<String>,
}

/// One thing that is wrong with a request.
#[derive(Debug)]
pub(super) struct Problem {
    pub kind: &'static str,
    pub field: String,
    pub text: String,
}

impl Problem {
    pub(super) fn new(kind: &'static str, field: &str, text: impl Into<String>) -> Self {
        Self { kind, field: field.to_owned(), text: text.into() }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"type": self.kind, "field": self.field, "description": self.text})
    }
}

/// Reads one input and collects what is wrong with it.
pub(super) struct Check<'a> {
    body: &'a Map<String, Value>,
    world: &'a World,
    problems: Vec<Problem>,
    /// The image if it came along, and whether it is a mask that must fit, or any mask.
    pictures: Vec<(Option<Material>, Option<Fit>)>,
    pub(super) failure: Option<String>,
}

impl Order {
    /// All that is wrong with it is listed, as the real service does.
    pub(super) fn read(
        model: &Model,
        body: &Map<String, Value>,
        world: &World,
    ) -> Result<Self, Vec<Problem>> {
        let mut check = Check { body, world, problems: Vec::new(), pictures: Vec::new(), failure: None };
        for field in model.all_fields() {
            check.field(field);
        }
        if !check.problems.is_empty() {
            return Err(check.problems);
        }
        Ok(check.order(model))
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

    pub(super) fn side(&self, name: &str) -> Option<u32> {
        self.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    pub(super) fn has_mask(&self) -> bool {
        self.pictures.iter().any(|(_, mask)| mask.is_some())
    }

    /// The sizes of the input images.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        let pictures = self.pictures.iter().filter(|(_, mask)| mask.is_none());
        pictures.map(|(picture, _)| picture.as_ref().map_or(REMOTE_SIZE, |p| (p.width, p.height)))
    }

    fn wrong(&mut self, name: &str, kind: &'static str, text: impl Into<String>) {
        self.problems.push(Problem::new(kind, &format!("input.{name}"), text));
    }

    fn wrong_type(&mut self, name: &str, expected: &str, value: &Value) {
        let given = match value {
            Value::String(_) => "string",
            Value::Number(n) if n.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Null => "null",
        };
        self.wrong(name, "invalid_type", format!("Invalid type. Expected: {expected}, given: {given}"));
    }

    fn field(&mut self, field: &'static Field) {
        let name = field.name;
        let Some(value) = self.get(name).cloned() else {
            if field.needed {
                self.problems.push(Problem::new("required", "input", format!("{name} is required")));
            }
            return;
        };
        match field.kind {
            Kind::Text => match value.as_str() {
                None => self.wrong_type(name, "string", &value),
                Some(text) if text.chars().count() > LONGEST_PROMPT => {
                    let text = format!("String length must be less than or equal to {LONGEST_PROMPT}");
                    self.wrong(name, "string_lte", text);
                }
                Some(_) => {}
            },
            Kind::Int(from, to) => match value.as_i64() {
                None => self.wrong_type(name, "integer", &value),
                Some(int) => self.range(name, int as f64, from as f64, to as f64),
            },
            Kind::Number(from, to) => match value.as_f64() {
                None => self.wrong_type(name, "number", &value),
                Some(number) => self.range(name, number, from, to),
            },
            Kind::Bool if !value.is_boolean() => self.wrong_type(name, "boolean", &value),
            Kind::Bool => {}
            Kind::Choice(known) => match value.as_str() {
                None => self.wrong_type(name, "string", &value),
                Some(text) if !known.contains(&text) => {
                    let known: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
                    let text = format!("input.{name} must be one of the following: {}", known.join(", "));
                    self.wrong(name, "enum", text);
                }
                Some(_) => {}
            },
            Kind::Picture => self.picture(name, &value, None),
            Kind::Mask(polarity, fit) => self.picture(name, &value, Some((polarity, fit))),
            Kind::Pictures(most) => match value.as_array() {
                None => self.wrong_type(name, "array", &value),
                Some(all) if all.len() > most => {
                    self.wrong(name, "array_max_items", format!("Array must have at most {most} items"));
                }
                Some(all) => all.iter().for_each(|item| self.picture(name, item, None)),
            },
        }
    }

    fn range(&mut self, name: &str, number: f64, from: f64, to: f64) {
        if number < from {
            self.wrong(name, "number_gte", format!("Must be greater than or equal to {from}"));
        } else if number > to {
            self.wrong(name, "number_lte", format!("Must be less than or equal to {to}"));
        }
    }

    fn picture(&mut self, name: &str, value: &Value, mask: Option<(Polarity, Fit)>) {
        let Some(text) = value.as_str() else { return self.wrong_type(name, "string", value) };
        let fit = mask.map(|(_, fit)| fit);
        let bytes = if let Some(id) = files::id_in(text) {
            let file = self.world.shelf().get(&files::shelf_name(id));
            if file.is_none() {
                self.fail(format!("404 Client Error: Not Found for url: {text}"));
            }
            file
        } else if text.starts_with("https://") || text.starts_with("http://") {
            None
        } else {
            match data_uri(text) {
                None => return self.wrong(name, "format", "Does not match format 'uri'"),
                Some((_, bytes)) if bytes.len() > LARGEST_DATA_URI => {
                    let text = "Data URIs are limited to 256 KB. Upload the file with POST /v1/files instead";
                    return self.wrong(name, "string_lte", text);
                }
                Some((_, bytes)) => Some(Bytes::from(bytes)),
            }
        };
        let read = bytes.map(|bytes| Material::read_as(mask.map(|(polarity, _)| polarity), name, &bytes));
        let picture = read.transpose().unwrap_or_else(|_| {
            // The schema cannot see this, only the model does.
            self.fail(format!("cannot identify image file of input {name} (E006)"));
            None
        });
        self.pictures.push((picture, fit));
    }

    pub(super) fn fail(&mut self, text: String) {
        self.failure.get_or_insert(text);
    }

    fn order(mut self, model: &Model) -> Order {
        let truth = |name: &str| self.get(name).and_then(Value::as_bool) == Some(true);
        let count = ["num_outputs", "num_samples"].iter().find(|name| model.takes(name));
        // This one draws four unless told.
        let usual = if model.takes("num_samples") { 4 } else { 1 };
        let format = self.text("output_format").filter(|_| model.takes("output_format"));
        let mut order = Order {
            prompt: self.text("prompt").filter(|_| model.takes("prompt")).unwrap_or_default().to_owned(),
            seed: self.get("seed").and_then(Value::as_u64).filter(|_| model.takes("seed")),
            count: count.and_then(|name| self.get(name)).and_then(Value::as_u64).unwrap_or(usual),
            format: format.and_then(|name| Format::named(if name == "jpg" { "jpeg" } else { name })),
            unchecked: model.takes("disable_safety_checker") && truth("disable_safety_checker"),
            ..Order::default()
        };
        if model.takes("agree_to_research_only") && !truth("agree_to_research_only") {
            self.fail("You must agree to use this model only for research. (E006)".to_owned());
        }
        let tolerant = self.number("safety_tolerance").is_some_and(|tolerance| tolerance > 2.0);
        if tolerant && model.takes("input_image") && self.get("input_image").is_some() {
            self.fail("safety_tolerance must be at most 2 with an input image. (E006)".to_owned());
        }
        if self.get("mask").is_some() && self.sizes().next().is_none() {
            self.fail("A mask needs an image. (E006)".to_owned());
        }
        let size = |p: &Material| (p.width, p.height);
        let image =
            self.pictures.iter().find(|(_, mask)| mask.is_none()).and_then(|(p, _)| p.as_ref()).map(size);
        let fitting = self.pictures.iter().filter(|(_, mask)| *mask == Some(Fit::Same));
        let misfit =
            fitting.filter_map(|(p, _)| p.as_ref()).any(|mask| image.is_some_and(|i| i != size(mask)));
        if misfit {
            self.fail("The mask must be of the same size as the image. (E006)".to_owned());
        }
        (order.width, order.height) = self.size(model);
        order.sizes = self.sizes().collect();
        order.inputs = self.pictures.into_iter().filter_map(|(picture, _)| picture).collect();
        order.failure = self.failure;
        order
    }
}

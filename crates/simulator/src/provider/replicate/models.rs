//! What a model is: its input schema, the size of its images, and its price.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::hash::sha256;
use crate::material::Polarity;
use crate::picture::Format;
use crate::price;

use super::catalogue::MODELS;
use super::fields::Order;

/// One model.
#[derive(Debug)]
pub(super) struct Model {
    /// Owner and name.
    pub name: &'static str,
    /// Official models run by name, all others by version only.
    pub official: bool,
    /// In groups, so that models can share them.
    pub fields: &'static [&'static [Field]],
    pub size: Size,
    pub price: Price,
    /// Whether the output is a list of URLs, or just one.
    pub list: bool,
    /// What it draws unless told otherwise.
    pub format: Format,
    /// The service behind it is gone, so that it only fails.
    pub gone: bool,
}

/// One field of the input.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub needed: bool,
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: false }
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: true }
}

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// A whole number from, to.
    Int(i64, i64),
    /// A number from, to.
    Number(f64, f64),
    Bool,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A URL, or a data URI if it is small.
    Picture,
    /// The same, of a mask. It may have to be of the image's size.
    Mask(Polarity, Fit),
    /// A list of at most so many of them.
    Pictures(usize),
}

/// Whether a mask must be of the size of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fit {
    Same,
    Any,
}

/// Where the size of the image comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// Fields `aspect_ratio` and `megapixels`; the image in field `image` comes first.
    Ratio,
    /// Field `aspect_ratio`, which can say `custom` (fields `width` and `height`) or `match_input_image`.
    Custom(&'static str),
    /// Fields `resolution` and `aspect_ratio`; with a mask, the input image.
    Ideogram,
    /// Fields of these names, with these numbers unless told.
    Sides((&'static str, u32), (&'static str, u32)),
    /// The input image, and what field `outpaint` makes of it.
    Input,
    /// The input image times field `scale`, 4 unless told.
    Scaled,
    /// The first two numbers in field `resolution`.
    Written,
}

/// A price in ten-thousandths of a US dollar.
#[derive(Clone, Copy, Debug)]
pub(super) enum Price {
    Picture(i64),
    /// Once: seconds of computing, for one image.
    Run(i64),
    /// First output megapixel; each further one, and each input megapixel.
    Stepped(i64, i64),
}

impl Price {
    /// In US dollars.
    pub(super) fn of(&self, order: &Order) -> Decimal {
        let count = i64::try_from(order.count).unwrap_or(1);
        let price = match self {
            Self::Picture(price) => price * count,
            Self::Run(price) => *price,
            Self::Stepped(first, step) => {
                price::stepped(*first, *step, (order.width, order.height), &order.sizes)
            }
        };
        Decimal::new(price, 4).normalize()
    }
}

impl Model {
    pub(super) fn all_fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().flat_map(|group| group.iter())
    }

    pub(super) fn takes(&self, field: &str) -> bool {
        self.all_fields().any(|f| f.name == field)
    }

    /// The id of its one version: 64 hex digits, always the same.
    pub(super) fn version(&self) -> String {
        sha256(self.name)
    }

    /// As `GET /models/{owner}/{name}` shows it, with the input schema that requests are held against.
    pub(super) fn to_json(&self, origin: &str) -> Value {
        let (owner, name) = self.name.split_once('/').unwrap_or((self.name, ""));
        let url = json!({"type": "string", "format": "uri"});
        let output = if self.list { json!({"type": "array", "items": url}) } else { url };
        let needed: Vec<&str> = self.all_fields().filter(|f| f.needed).map(|f| f.name).collect();
        let properties: Map<String, Value> = self
            .all_fields()
            .enumerate()
            .map(|(n, field)| {
                let mut schema = field.kind.to_json();
                schema["x-order"] = json!(n);
                (field.name.to_owned(), schema)
            })
            .collect();
        let input = json!({"type": "object", "title": "Input", "required": needed, "properties": properties});
        let schema = json!({
            "openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0"},
            "components": {"schemas": {"Input": input, "Output": output}},
        });
        json!({
            "url": format!("{origin}/{}", self.name),
            "owner": owner,
            "name": name,
            "description": null,
            "visibility": "public",
            "is_official": self.official,
            "run_count": 0,
            "latest_version": {
                "id": self.version(),
                "created_at": "2026-01-01T00:00:00.000000Z",
                "cog_version": "0.16.0",
                "openapi_schema": schema,
            },
        })
    }
}

impl Kind {
    fn to_json(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Int(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Self::Number(from, to) => json!({"type": "number", "minimum": from, "maximum": to}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Choice(known) => json!({"type": "string", "enum": known}),
            Self::Picture | Self::Mask(..) => json!({"type": "string", "format": "uri"}),
            Self::Pictures(most) => {
                json!({"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": most})
            }
        }
    }
}

pub(super) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}

/// The model that `version` means: 64 hex digits, the same after a model's name, or the name of an official model.
pub(super) fn of_version(version: &str) -> Option<&'static Model> {
    let (name, id) = match version.split_once(':') {
        Some((name, id)) => (Some(name), id),
        None if version.contains('/') => return find(version).filter(|m| m.official),
        None => (None, version),
    };
    MODELS.iter().find(|m| m.version() == id && name.is_none_or(|name| name == m.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_price_list() {
        let order = |count| Order { count, width: 1024, height: 1024, ..Order::default() };
        let price = |model, order: Order| find(model).unwrap().price.of(&order).to_string();
        assert_eq!(price("black-forest-labs/flux-schnell", order(3)), "0.009");
        assert_eq!(price("black-forest-labs/flux-1.1-pro", order(1)), "0.04");
        assert_eq!(price("nightmareai/real-esrgan", order(1)), "0.002");
        let with_input = Order { sizes: vec![(1024, 1024)], ..order(1) };
        assert_eq!(price("black-forest-labs/flux-2-pro", with_input), "0.045");
    }

    #[test]
    fn a_version_is_an_id_with_or_without_its_model() {
        let model = find("nightmareai/real-esrgan").unwrap();
        let id = model.version();
        assert_eq!(id.len(), 64);
        for good in [id.clone(), format!("{}:{id}", model.name), "black-forest-labs/flux-dev".into()] {
            assert!(of_version(&good).is_some(), "{good}");
        }
        for bad in [model.name.to_owned(), format!("zsxkib/pulid:{id}"), id[1..].to_owned(), String::new()] {
            assert!(of_version(&bad).is_none(), "{bad}");
        }
    }
}

//! Models of the marketplace: whose they are, what they take, what they cost. A selection; the real list is far longer.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::price::{self, number};
use crate::provider::google::models as gemini;

use super::fields::Order;

/// One model.
#[derive(Debug)]
pub(super) struct Model {
    pub name: &'static str,
    /// Who runs it: shown name, and the name for routing.
    pub provider: (&'static str, &'static str),
    pub price: Price,
    /// Whether it can also answer in words.
    pub talks: bool,
    pub most_pictures: u64,
    pub most_references: usize,
}

#[derive(Debug)]
pub(super) enum Price {
    /// The tokens and prices of Google's model of this name.
    Gemini(&'static str),
    /// OpenAI's tokens of an image of 1024 x 1024 by quality.
    Tokens(&'static [(&'static str, u64)]),
    /// For an image, in thousandths of a US dollar.
    Picture(i64),
    /// The same for the first megapixel; each further one, and each that comes in. Begun ones count in full.
    Megapixels(i64, i64),
}

const GOOGLE: Model = Model {
    name: "google/gemini-nano-banana-2.1",
    provider: ("Google AI Studio", "google-ai-studio"),
    price: Price::Gemini("gemini-nano-banana-2.1"),
    talks: true,
    most_pictures: 1,
    most_references: 14,
};
const OPENAI: Model = Model {
    name: "openai/gpt-image-2.6-flare",
    provider: ("OpenAI", "openai"),
    price: Price::Tokens(&[("low", 196), ("medium", 439), ("high", 1756)]),
    talks: false,
    most_pictures: 10,
    most_references: 16,
};
const FLUX: Model = Model {
    name: "black-forest-labs/flux.2-pro",
    provider: ("Black Forest Labs", "black-forest-labs"),
    price: Price::Megapixels(30, 15),
    talks: false,
    most_pictures: 1,
    most_references: 8,
};

static MODELS: [Model; 11] = [
    GOOGLE,
    Model { name: "google/gemini-3-pro-image", price: Price::Gemini("gemini-3-pro-image"), ..GOOGLE },
    Model {
        name: "google/gemini-3-pro-image-preview",
        price: Price::Gemini("gemini-3-pro-image-preview"),
        ..GOOGLE
    },
    Model {
        name: "google/gemini-3.1-flash-image-preview",
        price: Price::Gemini("gemini-3.1-flash-image-preview"),
        ..GOOGLE
    },
    OPENAI,
    Model {
        name: "openai/gpt-image-2",
        price: Price::Tokens(&[("low", 196), ("medium", 1756), ("high", 7024)]),
        ..OPENAI
    },
    FLUX,
    Model { name: "black-forest-labs/flux.2-max", price: Price::Megapixels(70, 30), ..FLUX },
    Model { name: "black-forest-labs/flux.2-flex", price: Price::Megapixels(50, 50), ..FLUX },
    Model { name: "black-forest-labs/flux.2-klein-4b", price: Price::Megapixels(14, 1), ..FLUX },
    Model {
        name: "bytedance-seed/seedream-4.5",
        provider: ("Seed", "seed"),
        price: Price::Picture(40),
        talks: false,
        most_pictures: 10,
        most_references: 14,
    },
];

pub(super) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}

pub(super) fn all() -> impl Iterator<Item = &'static Model> {
    MODELS.iter()
}

/// What one request uses and costs.
#[derive(Debug)]
pub(super) struct Usage {
    pub input: u64,
    pub output: u64,
    pub cost: Decimal,
}

impl Model {
    pub(super) fn gemini(&self) -> Option<&'static gemini::Model> {
        match self.price {
            Price::Gemini(name) => gemini::find(name),
            _ => None,
        }
    }

    /// The sizes it draws; others become the nearest of these.
    pub(super) fn tiers(&self) -> Vec<&'static str> {
        match (self.gemini(), &self.price) {
            (Some(model), _) => model.sizes().collect(),
            (None, Price::Picture(_)) => vec!["1K", "2K", "4K"],
            _ => vec!["512", "1K", "2K"],
        }
    }

    /// What `order` uses, or no more than what it says, if nothing is drawn.
    pub(super) fn usage(&self, order: &Order, pictures: u64) -> Usage {
        let words = order.prompt.chars().count().div_ceil(4) as u64;
        let area = u64::from(order.width) * u64::from(order.height);
        let references = order.references.len() as u64;
        match &self.price {
            Price::Gemini(_) => {
                let input = words + references * gemini::INPUT_TOKENS;
                let drawn = self.gemini().map_or(0, |m| m.output_tokens(&order.tier)) * pictures;
                let text = if order.text { super::SAID.1 } else { 0 };
                let cost = self.gemini().map_or(Decimal::ZERO, |m| m.bill(input, text, drawn));
                Usage { input, output: text + drawn, cost }
            }
            Price::Tokens(qualities) => {
                let shown: u64 = order
                    .references
                    .iter()
                    .map(|(w, h)| (u64::from(*w) * u64::from(*h)).div_ceil(1024))
                    .sum();
                let square = qualities.iter().find(|(name, _)| *name == order.quality).map_or(0, |(_, t)| *t);
                let drawn = (square * area).div_ceil(1 << 20) * pictures;
                let dollars = |tokens: u64, price: i64| Decimal::from(tokens) * Decimal::new(price, 6);
                let cost = dollars(words, 5) + dollars(shown, 8) + dollars(drawn, 30);
                Usage { input: words + shown, output: drawn, cost: cost.normalize() }
            }
            Price::Picture(price) => {
                let cost = Decimal::new(*price, 3) * Decimal::from(pictures);
                Usage { input: words, output: area.div_ceil(256) * pictures, cost: cost.normalize() }
            }
            Price::Megapixels(first, step) => {
                let one = price::stepped(*first, *step, (order.width, order.height), &order.references);
                let cost = Decimal::new(one, 3) * Decimal::from(pictures);
                Usage { input: words, output: area.div_ceil(256) * pictures, cost: cost.normalize() }
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let outputs = if self.talks { json!(["image", "text"]) } else { json!(["image"]) };
        let parameters = json!({
            "aspect_ratio": {"type": "enum", "values": super::fields::RATIOS},
            "resolution": {"type": "enum", "values": self.tiers()},
            "n": {"type": "range", "min": 1, "max": self.most_pictures},
            "input_references": {"type": "range", "min": 0, "max": self.most_references},
            "seed": {"type": "boolean"},
        });
        json!({
            "id": self.name,
            "name": self.name,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": outputs},
            "supported_parameters": parameters,
        })
    }

    pub(super) fn endpoints(&self) -> Value {
        let line = |billable: &str, cost: Decimal, unit: &str| json!({"billable": billable, "cost_usd": number(cost), "unit": unit});
        let lines = match &self.price {
            Price::Gemini(_) => {
                let price = |i, o| self.gemini().map_or(Decimal::ZERO, |m| m.bill(i, 0, o));
                vec![line("input_text", price(1, 0), "token"), line("output_image", price(0, 1), "token")]
            }
            Price::Tokens(_) => vec![
                line("input_text", Decimal::new(5, 6), "token"),
                line("input_image", Decimal::new(8, 6), "token"),
                line("output_image", Decimal::new(30, 6), "token"),
            ],
            Price::Picture(price) => vec![line("output_image", Decimal::new(*price, 3), "image")],
            Price::Megapixels(first, step) => vec![
                line("output_image", Decimal::new(*first, 3), "megapixel"),
                line("input_reference", Decimal::new(*step, 3), "megapixel"),
            ],
        };
        let (name, tag) = self.provider;
        let endpoint = json!({"provider_name": name, "tag": tag, "pricing": lines});
        json!({"id": self.name, "endpoints": [endpoint]})
    }
}

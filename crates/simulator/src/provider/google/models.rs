//! The models: what they draw, and what their tokens cost.

use rust_decimal::Decimal;
use serde_json::{Value, json};

/// One model.
#[derive(Debug)]
pub(in crate::provider) struct Model {
    pub name: &'static str,
    /// The newer ones also draw very long images, and small ones.
    long_and_small: bool,
    /// Tokens of an image by size.
    tokens: &'static [(&'static str, u64)],
    /// US dollars for a million tokens, in hundredths: in, text out, image out.
    prices: (i64, i64, i64),
}

const FLASH: &[(&str, u64)] = &[("512", 747), ("1K", 1120), ("2K", 1680), ("4K", 2520)];
const PRO: &[(&str, u64)] = &[("1K", 1120), ("2K", 1120), ("4K", 2000)];

const BASE_PRO: Model =
    Model { name: "gemini-3-pro-image", long_and_small: false, tokens: PRO, prices: (200, 1200, 12_000) };

static MODELS: [Model; 4] = [
    Model { name: "gemini-nano-banana-2.1", long_and_small: true, tokens: FLASH, prices: (150, 750, 3000) },
    BASE_PRO,
    Model { name: "gemini-3-pro-image-preview", ..BASE_PRO },
    Model {
        name: "gemini-3.1-flash-image-preview",
        long_and_small: true,
        tokens: FLASH,
        prices: (50, 300, 6000),
    },
];

/// Ratios, and the size of their images at `1K`.
const RATIOS: [(&str, u32, u32); 14] = [
    ("1:1", 1024, 1024),
    ("2:3", 848, 1264),
    ("3:2", 1264, 848),
    ("3:4", 896, 1200),
    ("4:3", 1200, 896),
    ("4:5", 928, 1152),
    ("5:4", 1152, 928),
    ("9:16", 768, 1376),
    ("16:9", 1376, 768),
    ("21:9", 1584, 672),
    ("1:4", 512, 2048),
    ("4:1", 2048, 512),
    ("1:8", 384, 3072),
    ("8:1", 3072, 384),
];

/// An image that comes in counts for so many tokens.
pub(in crate::provider) const INPUT_TOKENS: u64 = 560;

pub(in crate::provider) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}

pub(super) fn all() -> impl Iterator<Item = &'static Model> {
    MODELS.iter()
}

impl Model {
    pub(super) fn ratios(&self) -> &'static [(&'static str, u32, u32)] {
        if self.long_and_small { &RATIOS } else { &RATIOS[..10] }
    }

    pub(in crate::provider) fn sizes(&self) -> impl Iterator<Item = &'static str> {
        self.tokens.iter().map(|(name, _)| *name)
    }

    /// The pixels of an image; without a ratio, about those of `like`, and square without that too.
    pub(in crate::provider) fn pixels(
        &self,
        ratio: Option<&str>,
        size: &str,
        like: Option<(u32, u32)>,
    ) -> (u32, u32) {
        let (_, width, height) = match ratio {
            Some(name) => self.ratios().iter().find(|(n, _, _)| *n == name),
            None => nearest(self.ratios(), like.unwrap_or((1, 1))),
        }
        .copied()
        .unwrap_or(RATIOS[0]);
        match size {
            "512" => (width / 2, height / 2),
            "2K" => (width * 2, height * 2),
            "4K" => (width * 4, height * 4),
            _ => (width, height),
        }
    }

    pub(in crate::provider) fn output_tokens(&self, size: &str) -> u64 {
        self.tokens.iter().find(|(name, _)| *name == size).map_or(1120, |(_, tokens)| *tokens)
    }

    /// US dollars for so many tokens: in, text out, image out.
    pub(in crate::provider) fn bill(&self, input: u64, text: u64, picture: u64) -> Decimal {
        let (a, b, c) = self.prices;
        let cost = |tokens: u64, price: i64| Decimal::from(tokens) * Decimal::new(price, 8);
        (cost(input, a) + cost(text, b) + cost(picture, c)).normalize()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": format!("models/{}", self.name),
            "version": "1.0",
            "displayName": self.name,
            "inputTokenLimit": super::fields::MOST_TOKENS,
            "outputTokenLimit": 32_768,
            "supportedGenerationMethods": ["generateContent"],
        })
    }
}

/// The ratio that is nearest to that of a size.
fn nearest(
    ratios: &'static [(&'static str, u32, u32)],
    (width, height): (u32, u32),
) -> Option<&'static (&'static str, u32, u32)> {
    let slant = |w: u32, h: u32| (f64::from(w.max(1)) / f64::from(h.max(1))).ln();
    let wanted = slant(width, height);
    ratios.iter().min_by(|a, b| {
        let off = |(_, w, h): &(&str, u32, u32)| (slant(*w, *h) - wanted).abs();
        off(a).total_cmp(&off(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_price_list() {
        let price = |model, size| {
            let model = find(model).unwrap();
            model.bill(0, 0, model.output_tokens(size)).to_string()
        };
        assert_eq!(price("gemini-nano-banana-2.1", "1K"), "0.0336");
        assert_eq!(price("gemini-3-pro-image", "2K"), "0.1344");
        assert_eq!(price("gemini-3-pro-image", "4K"), "0.24");
    }

    #[test]
    fn a_picture_without_a_ratio_follows_the_input() {
        let model = find("gemini-3-pro-image").unwrap();
        assert_eq!(model.pixels(None, "1K", Some((1920, 1080))), (1376, 768));
        assert_eq!(model.pixels(None, "2K", None), (2048, 2048));
        assert_eq!(model.pixels(Some("9:16"), "1K", Some((10, 10))), (768, 1376));
    }
}

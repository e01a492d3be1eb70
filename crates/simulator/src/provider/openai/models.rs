//! The models: when they end, what they accept, what their tokens cost; as on the vendor's model, pricing and deprecation pages.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::dollars;
use super::fields::Wrong;

/// One model.
#[derive(Debug)]
pub(super) struct Model {
    pub name: &'static str,
    /// Last day, and its Unix time.
    shutdown: Option<(&'static str, u64)>,
    /// Free sizes, or just the three fixed ones.
    pub free_sizes: bool,
    /// Tokens of an image of 1024 x 1024 by quality.
    pub qualities: &'static [(&'static str, u64)],
    /// What is taken besides the fields that all take.
    pub extras: &'static [&'static str],
    /// US dollars for a million tokens, in hundredths: text in, image in, image out.
    prices: (i64, i64, i64),
}

const FLARE: &[(&str, u64)] =
    &[("low", 196), ("medium", 439), ("high", 1756), ("xhigh", 3122), ("max", 7024)];
const SECOND: &[(&str, u64)] = &[("low", 196), ("medium", 1756), ("high", 7024)];
const FIRST: &[(&str, u64)] = &[("low", 272), ("medium", 1056), ("high", 4160)];
const DECEMBER: Option<(&str, u64)> = Some(("2026-12-01", 1_796_083_200));

const BASE: Model = Model {
    name: "gpt-image-2",
    shutdown: None,
    free_sizes: true,
    qualities: SECOND,
    extras: &[],
    prices: (500, 800, 3000),
};
const OLD: Model = Model {
    name: "gpt-image-1.5",
    shutdown: DECEMBER,
    free_sizes: false,
    qualities: FIRST,
    extras: &["input_fidelity"],
    prices: (500, 800, 3200),
};

static MODELS: [Model; 11] = [
    BASE,
    Model { name: "gpt-image-2.5-flare", qualities: FLARE, ..BASE },
    Model { name: "gpt-image-2.5-sunburst", qualities: FLARE, ..BASE },
    Model { name: "gpt-image-2.6-flare", qualities: FLARE, extras: &["complexity"], ..BASE },
    Model { name: "gpt-image-2.6-sunburst", qualities: FLARE, extras: &["complexity"], ..BASE },
    OLD,
    Model { name: "gpt-image-1-mini", extras: &[], prices: (200, 250, 800), ..OLD },
    Model { name: "chatgpt-image-latest", ..OLD },
    Model { name: "gpt-image-1", shutdown: Some(("2026-10-23", 1_792_713_600)), ..OLD },
    Model { name: "dall-e-3", shutdown: Some(("2026-05-12", 1_778_544_000)), ..OLD },
    Model { name: "dall-e-2", shutdown: Some(("2026-05-12", 1_778_544_000)), ..OLD },
];

/// The models that live at this time, in Unix microseconds.
pub(super) fn live(now_us: u64) -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(move |m| m.lives(now_us))
}

pub(super) fn find(name: &str, now_us: u64) -> Result<&'static Model, Wrong> {
    let text = match MODELS.iter().find(|m| m.name == name) {
        Some(model) if model.lives(now_us) => return Ok(model),
        Some(_) => format!(
            "The model `{name}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"
        ),
        None => format!("The model '{name}' does not exist or you do not have access to it."),
    };
    Err(Wrong::new(text).status(hyper::StatusCode::NOT_FOUND).param("model").code("model_not_found"))
}

impl Model {
    fn lives(&self, now_us: u64) -> bool {
        self.shutdown.is_none_or(|(_, end)| now_us / 1_000_000 < end)
    }

    pub(super) fn to_json(&self) -> Value {
        let shutdown = self.shutdown.map(|(day, _)| day);
        json!({"id": self.name, "object": "model", "created": 1_776_729_600, "owned_by": "system", "shutdown_date": shutdown})
    }

    /// Tokens of one image. The vendor lists square ones; others go by their number of pixels.
    pub(super) fn output_tokens(&self, quality: &str, width: u32, height: u32) -> u64 {
        let square =
            self.qualities.iter().find(|(name, _)| *name == quality).map_or(0, |(_, tokens)| *tokens);
        (square * u64::from(width) * u64::from(height)).div_ceil(1 << 20)
    }

    pub(super) fn bill(&self, text_in: u64, image_in: u64, image_out: u64) -> Decimal {
        let price = |hundredths| Decimal::new(hundredths, 2);
        let (a, b, c) = self.prices;
        dollars(&[(text_in, price(a)), (image_in, price(b)), (image_out, price(c))])
    }
}

/// Tokens of an input image: one for 1,024 pixels. The vendor's own formula is not published for the newest models.
pub(super) fn input_tokens(width: u32, height: u32) -> u64 {
    (u64::from(width) * u64::from(height)).div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_price_list() {
        let flare = find("gpt-image-2.5-flare", 0).unwrap();
        assert_eq!(flare.bill(9, 0, flare.output_tokens("low", 1024, 1024)).to_string(), "0.005925");
        assert_eq!(flare.bill(0, 0, flare.output_tokens("max", 1024, 1024)).to_string(), "0.21072");
        assert_eq!(flare.output_tokens("high", 1024, 1536), 2634);
    }

    #[test]
    fn a_model_is_gone_from_its_shutdown_day_on() {
        let day = 1_796_083_200_000_000;
        assert!(find("gpt-image-1.5", day - 1).is_ok());
        assert!(find("gpt-image-1.5", day).is_err());
        assert!(live(day).all(|m| m.name.starts_with("gpt-image-2")));
    }
}

//! Money: what the provider said, else computed from a dated price, else unknown. Never a float, and
//! never zero by default.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The provider's own answer named the amount.
    Reported,
    /// Computed from a price that was valid at the time, or from the provider's published rule.
    Priced,
    /// Nobody knows.
    Unknown,
}

/// An amount with its source. An unknown cost has no amount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The amount, absent when unknown.
    pub amount: Option<Decimal>,
    /// ISO 4217.
    pub currency: String,
    /// Where it comes from.
    pub source: CostSource,
}

impl Cost {
    /// The provider said so.
    pub fn reported(amount: Decimal) -> Self {
        Cost { amount: Some(amount), currency: "USD".into(), source: CostSource::Reported }
    }

    /// Computed by us.
    pub fn priced(amount: Decimal) -> Self {
        Cost { amount: Some(amount), currency: "USD".into(), source: CostSource::Priced }
    }

    /// Not charged, by the provider's published rule (or because nothing was sent).
    pub fn free() -> Self {
        Cost::priced(Decimal::ZERO)
    }

    /// Nobody knows.
    pub fn unknown() -> Self {
        Cost { amount: None, currency: "USD".into(), source: CostSource::Unknown }
    }
}

/// What an amount is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One picture.
    Image,
    /// A million pixels of output, to the pixel.
    Megapixel,
    /// A megapixel of output (of 1024 x 1024 pixels); a begun one counts in full.
    BegunMegapixel,
    /// The first megapixel of a picture (of 1024 x 1024 pixels; a begun one counts in full).
    FirstMegapixel,
    /// Each further megapixel of a picture, and each of the pictures that go in.
    FurtherMegapixel,
    /// A second of the provider's computing; a begun one counts in full.
    Second,
    /// A million tokens of text read.
    TextInMtok,
    /// A million tokens of pictures read.
    ImageInMtok,
    /// A million tokens of pictures made.
    ImageOutMtok,
    /// A million tokens of text written beside them.
    TextOutMtok,
}

/// One row of the price table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What it is charged for.
    pub unit: Unit,
    /// USD per unit.
    pub amount: Decimal,
    /// Only for this quality, where the price depends on it.
    #[serde(default)]
    pub quality: Option<String>,
}

/// Tokens that a provider counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Text read.
    pub text_in: u64,
    /// Pictures read.
    pub image_in: u64,
    /// Pictures made.
    pub image_out: u64,
    /// Text written beside them.
    #[serde(default)]
    pub text_out: u64,
}

/// What was done, in the terms that prices are in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Pictures made.
    pub images: u32,
    /// Pixels of each.
    #[serde(default)]
    pub pixels: Option<u64>,
    /// Pixels of each picture that went in.
    #[serde(default)]
    pub inputs: Vec<u64>,
    /// How long it computed, where that is known or expected.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// The quality that was asked of the provider, in its own word.
    #[serde(default)]
    pub quality: Option<String>,
    /// Token counts, where the provider gave them.
    #[serde(default)]
    pub tokens: Option<Tokens>,
}

/// The price of some work, or `None` when the table does not say. Tokens are the truth where they were
/// counted and have a price; a price per picture is next, then one per megapixel.
pub fn price(prices: &[Price], work: &Work) -> Option<Decimal> {
    let rate = |unit: Unit| {
        let fits = |p: &&Price| p.unit == unit;
        let exact = prices.iter().filter(fits).find(|p| p.quality.is_some() && p.quality == work.quality);
        exact.or_else(|| prices.iter().filter(fits).find(|p| p.quality.is_none())).map(|p| p.amount)
    };
    let images = Decimal::from(work.images);
    if let (Some(tokens), Some(out)) = (work.tokens, rate(Unit::ImageOutMtok)) {
        let million = Decimal::from(1_000_000);
        let text = rate(Unit::TextInMtok).map(|r| r * Decimal::from(tokens.text_in));
        let seen = rate(Unit::ImageInMtok).map(|r| r * Decimal::from(tokens.image_in));
        let said = rate(Unit::TextOutMtok).map(|r| r * Decimal::from(tokens.text_out));
        let known = (tokens.text_in == 0 || text.is_some())
            && (tokens.image_in == 0 || seen.is_some())
            && (tokens.text_out == 0 || said.is_some());
        let made = out * Decimal::from(tokens.image_out);
        let rest = text.unwrap_or_default() + seen.unwrap_or_default() + said.unwrap_or_default();
        return known.then(|| (rest + made) / million);
    }
    if let Some(each) = rate(Unit::Image) {
        return Some(each * images);
    }
    if let Some(each) = rate(Unit::Second) {
        let seconds = work.seconds?.clamp(0.001, 86_400.0).ceil();
        return Some(each * Decimal::from(seconds as u32));
    }
    let pixels = work.pixels?;
    let begun = |pixels: u64| Decimal::from(pixels.div_ceil(1 << 20));
    if let Some(each) = rate(Unit::BegunMegapixel) {
        return Some(each * begun(pixels) * images);
    }
    if let Some(first) = rate(Unit::FirstMegapixel) {
        let further = rate(Unit::FurtherMegapixel).unwrap_or_default();
        let inputs: Decimal = work.inputs.iter().map(|p| begun(*p)).sum();
        return Some((first + further * (begun(pixels) - Decimal::ONE + inputs)) * images);
    }
    Some(rate(Unit::Megapixel)? * Decimal::from(pixels) / Decimal::from(1_000_000) * images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(json: serde_json::Value) -> Vec<Price> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn four_flux_renders_cost_sixteen_cents() {
        // S10
        let flux = prices(serde_json::json!([{"unit": "image", "amount": "0.04"}]));
        let four = Work { images: 4, ..Work::default() };
        assert_eq!(price(&flux, &four).unwrap().to_string(), "0.16");
    }

    #[test]
    fn counted_tokens_are_priced_exactly() {
        let gpt = prices(serde_json::json!([
            {"unit": "text_in_mtok", "amount": "5.00"}, {"unit": "image_in_mtok", "amount": "8.00"},
            {"unit": "image_out_mtok", "amount": "30.00"}, {"unit": "image", "amount": "0.006", "quality": "low"}
        ]));
        let tokens = Tokens { text_in: 9, image_out: 196, ..Tokens::default() };
        let work = Work { images: 1, tokens: Some(tokens), quality: Some("low".into()), ..Work::default() };
        assert_eq!(price(&gpt, &work).unwrap().normalize().to_string(), "0.005925");
        let estimate = Work { tokens: None, ..work };
        assert_eq!(price(&gpt, &estimate).unwrap().to_string(), "0.006");
    }

    #[test]
    fn what_the_table_does_not_say_is_unknown() {
        assert_eq!(price(&[], &Work { images: 1, ..Work::default() }), None);
        let high = prices(serde_json::json!([{"unit": "image", "amount": "0.2", "quality": "high"}]));
        assert_eq!(price(&high, &Work { images: 1, quality: Some("low".into()), ..Work::default() }), None);
        let per_mp = prices(serde_json::json!([{"unit": "megapixel", "amount": "0.025"}]));
        let work = Work { images: 2, pixels: Some(2_000_000), ..Work::default() };
        assert_eq!(price(&per_mp, &work).unwrap().normalize().to_string(), "0.1");
    }

    #[test]
    fn a_begun_megapixel_counts_in_full_where_the_provider_says_so() {
        let fal = prices(serde_json::json!([{"unit": "begun_megapixel", "amount": "0.025"}]));
        let cost =
            |pixels| price(&fal, &Work { images: 2, pixels: Some(pixels), ..Work::default() }).unwrap();
        assert_eq!(
            [cost(100), cost(1 << 20), cost((1 << 20) + 1)].map(|c| c.to_string()),
            ["0.050", "0.050", "0.100"]
        );
    }

    #[test]
    fn a_price_can_have_a_first_and_further_megapixels() {
        // BFL's published rule for FLUX.2 pro: 0.03 for the first, 0.015 for each further one, inputs included.
        let flux = prices(serde_json::json!([
            {"unit": "first_megapixel", "amount": "0.03"}, {"unit": "further_megapixel", "amount": "0.015"}
        ]));
        let cost = |pixels: u64, inputs: &[u64]| {
            let work = Work { images: 1, pixels: Some(pixels), inputs: inputs.to_vec(), ..Work::default() };
            price(&flux, &work).unwrap().normalize().to_string()
        };
        assert_eq!(cost(1 << 20, &[]), "0.03");
        assert_eq!(cost((1 << 20) + 1, &[]), "0.045");
        assert_eq!(cost(2048 * 2048, &[1 << 20, 100]), "0.105");
        let second = prices(serde_json::json!([{"unit": "second", "amount": "0.0011"}]));
        assert_eq!(
            price(&second, &Work { images: 1, seconds: Some(2.5), ..Work::default() }).unwrap().to_string(),
            "0.0033"
        );
        assert_eq!(price(&second, &Work { images: 1, ..Work::default() }), None);
    }
}

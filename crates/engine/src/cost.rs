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
    /// Unknown.
    Unknown,
}

impl CostSource {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            CostSource::Reported => "reported",
            CostSource::Priced => "priced",
            CostSource::Unknown => "unknown",
        }
    }
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
    /// A figure that was given or computed and is not believed, see [`Sanity`]. Only an unknown cost has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Decimal>,
}

impl Cost {
    /// The provider said so.
    pub fn reported(amount: Decimal) -> Self {
        Cost { amount: Some(amount), currency: usd(), source: CostSource::Reported, claimed: None }
    }

    /// Computed by us.
    pub fn priced(money: Money) -> Self {
        Cost {
            amount: Some(money.amount),
            currency: money.currency,
            source: CostSource::Priced,
            claimed: None,
        }
    }

    /// Not charged, by the provider's published rule (or because nothing was sent).
    pub fn free() -> Self {
        Cost { amount: Some(Decimal::ZERO), currency: usd(), source: CostSource::Priced, claimed: None }
    }

    /// Unknown.
    pub fn unknown() -> Self {
        Cost { amount: None, currency: usd(), source: CostSource::Unknown, claimed: None }
    }

    /// The same cost where its figure can be believed; else an unknown one that shows it.
    pub fn within(self, limit: Option<Decimal>) -> Self {
        match (self.amount, limit) {
            (Some(amount), Some(limit)) if amount > limit => Cost {
                amount: None,
                currency: self.currency,
                source: CostSource::Unknown,
                claimed: Some(amount),
            },
            _ => self,
        }
    }
}

/// Up to which figure a cost is believed, wherever it comes from: a provider's slip, or a lie, must not use up a budget. What is
/// beyond is unknown, shown, and left to an administrator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sanity {
    /// So many times the estimate of the call.
    pub factor: Decimal,
    /// Where the call has no estimate, or one of 0: this much, in the currency of the figure.
    pub ceiling: Decimal,
}

impl Default for Sanity {
    fn default() -> Self {
        Sanity { factor: Decimal::TEN, ceiling: Decimal::TEN }
    }
}

impl Sanity {
    /// The highest figure that is believed; `None` when it is beyond all reckoning.
    pub fn limit(&self, estimate: Option<Decimal>) -> Option<Decimal> {
        match estimate.filter(|estimate| !estimate.is_zero()) {
            Some(estimate) => estimate.checked_mul(self.factor),
            None => Some(self.ceiling),
        }
    }
}

/// The currency of list prices, estimates, budgets and what providers report.
pub const USD: &str = "USD";

fn usd() -> String {
    USD.into()
}

/// An amount that is known. Amounts of two currencies are never added.
#[derive(Clone, Debug, PartialEq)]
pub struct Money {
    /// How much.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
}

/// What an amount is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One image.
    Image,
    /// A million pixels of output, to the pixel.
    Megapixel,
    /// A megapixel of output (of 1024 x 1024 pixels); a begun one counts in full.
    BegunMegapixel,
    /// The first megapixel of an image (of 1024 x 1024 pixels; a begun one counts in full).
    FirstMegapixel,
    /// Each further megapixel of an image, and each of the images that go in.
    FurtherMegapixel,
    /// A second of the provider's computing; a begun one counts in full.
    Second,
    /// A million tokens of text read.
    TextInMtok,
    /// A million tokens of images read.
    ImageInMtok,
    /// A million tokens of text that the provider had in its cache; without a price, that of text read.
    TextCachedMtok,
    /// A million tokens of images that the provider had in its cache; without a price, that of images read.
    ImageCachedMtok,
    /// A million tokens of images made.
    ImageOutMtok,
    /// A million tokens of text written beside them.
    TextOutMtok,
}

/// One row of the price table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What it is charged for.
    pub unit: Unit,
    /// How much per unit.
    pub amount: Decimal,
    /// ISO 4217.
    #[serde(default = "usd")]
    pub currency: String,
    /// Only for this quality, where the price depends on it.
    #[serde(default)]
    pub quality: Option<String>,
}

/// Tokens that a provider counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Text read.
    pub text_in: u64,
    /// Images read.
    pub image_in: u64,
    /// Images made.
    pub image_out: u64,
    /// Text written beside them.
    #[serde(default)]
    pub text_out: u64,
    /// How much of the text read came from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub text_cached: u64,
    /// How much of the images read did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_cached: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was done, in the terms that prices are in. It is kept beside a cost, so that a corrected price can be held against it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Images made.
    pub images: u32,
    /// Pixels of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<u64>,
    /// Pixels of each image that went in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<u64>,
    /// Images went in whose size is not known any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inputs_unknown: bool,
    /// How long it computed, where that is known or expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The quality that was asked of the provider, in its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Token counts, where the provider gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// The price of some work, or `None` when the table does not say. Only prices of one currency are used together: those of
/// the first one, in the table's order, that says what the work costs.
pub fn price(prices: &[Price], usage: &Usage) -> Option<Money> {
    let mut tried: Vec<&str> = vec![];
    for Price { currency, .. } in prices {
        if !tried.contains(&currency.as_str()) {
            tried.push(currency);
            if let Some(amount) = price_in(currency, prices, usage) {
                return Some(Money { amount, currency: currency.clone() });
            }
        }
    }
    None
}

/// The price of some work by the rows of one currency alone. Tokens are the truth where they were counted and have a price;
/// a price per image is next, then one per second, then one per megapixel. An amount beyond all reckoning is unknown.
pub fn price_in(currency: &str, prices: &[Price], usage: &Usage) -> Option<Decimal> {
    let rate = |unit: Unit| {
        let fits = |p: &&Price| p.unit == unit && p.currency == currency;
        let exact = prices.iter().filter(fits).find(|p| p.quality.is_some() && p.quality == usage.quality);
        exact.or_else(|| prices.iter().filter(fits).find(|p| p.quality.is_none())).map(|p| p.amount)
    };
    let images = Decimal::from(usage.images);
    if let (Some(tokens), Some(out)) = (usage.tokens, rate(Unit::ImageOutMtok)) {
        let (text, image) = (rate(Unit::TextInMtok), rate(Unit::ImageInMtok));
        let text_cached = tokens.text_cached.min(tokens.text_in);
        let image_cached = tokens.image_cached.min(tokens.image_in);
        let counts = [
            (tokens.image_out, Some(out)),
            (tokens.text_in - text_cached, text),
            (text_cached, rate(Unit::TextCachedMtok).or(text)),
            (tokens.image_in - image_cached, image),
            (image_cached, rate(Unit::ImageCachedMtok).or(image)),
            (tokens.text_out, rate(Unit::TextOutMtok)),
        ];
        let mut sum = Decimal::ZERO;
        for (count, rate) in counts.into_iter().filter(|(count, _)| *count > 0) {
            sum = sum.checked_add(rate?.checked_mul(Decimal::from(count))?)?;
        }
        return sum.checked_div(MILLION);
    }
    if let Some(each) = rate(Unit::Image) {
        return each.checked_mul(images);
    }
    if let Some(each) = rate(Unit::Second) {
        let seconds = usage.seconds.filter(|s| s.is_finite())?.clamp(0.001, 86_400.0).ceil();
        return each.checked_mul(Decimal::from(seconds as u32));
    }
    let pixels = usage.pixels?;
    let begun = |pixels: u64| Decimal::from(pixels.div_ceil(1 << 20).max(1));
    if let Some(each) = rate(Unit::BegunMegapixel) {
        return each.checked_mul(begun(pixels))?.checked_mul(images);
    }
    if let Some(first) = rate(Unit::FirstMegapixel) {
        let further = begun(pixels) - Decimal::ONE + usage.inputs.iter().map(|p| begun(*p)).sum::<Decimal>();
        let further = match rate(Unit::FurtherMegapixel) {
            Some(_) if usage.inputs_unknown => return None,
            each => each.unwrap_or_default().checked_mul(further)?,
        };
        return first.checked_add(further)?.checked_mul(images);
    }
    rate(Unit::Megapixel)?.checked_mul(Decimal::from(pixels))?.checked_div(MILLION)?.checked_mul(images)
}

const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(json: serde_json::Value) -> Vec<Price> {
        serde_json::from_value(json).unwrap()
    }

    fn price(prices: &[Price], usage: &Usage) -> Option<Decimal> {
        let money = super::price(prices, usage)?;
        assert_eq!(money.currency, USD);
        Some(money.amount)
    }

    #[test]
    fn a_figure_far_above_the_estimate_is_unknown_and_shown() {
        let sanity = Sanity::default();
        let told = |amount: &str, estimate: Option<&str>| {
            let limit = sanity.limit(estimate.map(|e| e.parse().unwrap()));
            let cost = Cost::reported(amount.parse().unwrap()).within(limit);
            let text = |d: Option<Decimal>| d.map(|d| d.to_string());
            (text(cost.amount), text(cost.claimed), cost.source)
        };
        let known = |amount: &str| (Some(amount.to_owned()), None, CostSource::Reported);
        let unknown = |claimed: &str| (None, Some(claimed.to_owned()), CostSource::Unknown);
        assert_eq!(told("0.40", Some("0.04")), known("0.40"));
        assert_eq!(told("0.4000001", Some("0.04")), unknown("0.4000001"));
        assert_eq!(told("1000000000000", Some("0.04")), unknown("1000000000000"));
        // Without an estimate, or with one of nothing, by a bound of its own.
        assert_eq!(told("10", None), known("10"));
        assert_eq!(told("10.01", None), unknown("10.01"));
        assert_eq!(told("0.01", Some("0.00")), known("0.01"));
        assert_eq!(told("11", Some("0")), unknown("11"));
        assert_eq!(
            told("79228162514264337593543950335", Some("79228162514264337593543950335")).2,
            CostSource::Reported
        );
    }

    #[test]
    fn an_unknown_cost_has_no_figure_to_doubt() {
        assert_eq!(Cost::unknown().within(Some(Decimal::ZERO)), Cost::unknown());
        let text = serde_json::to_string(&Cost::unknown()).unwrap();
        assert_eq!(text, "{\"amount\":null,\"currency\":\"USD\",\"source\":\"unknown\"}");
    }

    #[test]
    fn four_flux_renders_cost_sixteen_cents() {
        // S10
        let flux = prices(serde_json::json!([{"unit": "image", "amount": "0.04"}]));
        let four = Usage { images: 4, ..Usage::default() };
        assert_eq!(price(&flux, &four).unwrap().to_string(), "0.16");
    }

    #[test]
    fn counted_tokens_are_priced_exactly() {
        let gpt = prices(serde_json::json!([
            {"unit": "text_in_mtok", "amount": "5.00"}, {"unit": "image_in_mtok", "amount": "8.00"},
            {"unit": "image_out_mtok", "amount": "30.00"}, {"unit": "image", "amount": "0.006", "quality": "low"}
        ]));
        let tokens = Tokens { text_in: 9, image_out: 196, ..Tokens::default() };
        let usage =
            Usage { images: 1, tokens: Some(tokens), quality: Some("low".into()), ..Usage::default() };
        assert_eq!(price(&gpt, &usage).unwrap().normalize().to_string(), "0.005925");
        let estimate = Usage { tokens: None, ..usage };
        assert_eq!(price(&gpt, &estimate).unwrap().to_string(), "0.006");
    }

    #[test]
    fn what_the_table_does_not_say_is_unknown() {
        assert_eq!(price(&[], &Usage { images: 1, ..Usage::default() }), None);
        let high = prices(serde_json::json!([{"unit": "image", "amount": "0.2", "quality": "high"}]));
        assert_eq!(price(&high, &Usage { images: 1, quality: Some("low".into()), ..Usage::default() }), None);
        let per_mp = prices(serde_json::json!([{"unit": "megapixel", "amount": "0.025"}]));
        let usage = Usage { images: 2, pixels: Some(2_000_000), ..Usage::default() };
        assert_eq!(price(&per_mp, &usage).unwrap().normalize().to_string(), "0.1");
    }

    #[test]
    fn a_begun_megapixel_counts_in_full_where_the_provider_says_so() {
        let fal = prices(serde_json::json!([{"unit": "begun_megapixel", "amount": "0.025"}]));
        let cost =
            |pixels| price(&fal, &Usage { images: 2, pixels: Some(pixels), ..Usage::default() }).unwrap();
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
            let usage =
                Usage { images: 1, pixels: Some(pixels), inputs: inputs.to_vec(), ..Usage::default() };
            price(&flux, &usage).unwrap().normalize().to_string()
        };
        assert_eq!(cost(1 << 20, &[]), "0.03");
        assert_eq!(cost((1 << 20) + 1, &[]), "0.045");
        assert_eq!(cost(2048 * 2048, &[1 << 20, 100]), "0.105");
        let second = prices(serde_json::json!([{"unit": "second", "amount": "0.0011"}]));
        assert_eq!(
            price(&second, &Usage { images: 1, seconds: Some(2.5), ..Usage::default() }).unwrap().to_string(),
            "0.0033"
        );
        assert_eq!(price(&second, &Usage { images: 1, ..Usage::default() }), None);
    }

    #[test]
    fn amounts_of_two_currencies_are_never_added() {
        let both = prices(serde_json::json!([
            {"unit": "first_megapixel", "amount": "0.03"},
            {"unit": "further_megapixel", "amount": "0.02", "currency": "EUR"},
            {"unit": "text_in_mtok", "amount": "5", "currency": "EUR"},
            {"unit": "image_out_mtok", "amount": "30"}
        ]));
        let large = Usage { images: 1, pixels: Some(2 << 20), ..Usage::default() };
        assert_eq!(price(&both, &large).unwrap().to_string(), "0.03", "no further megapixels in USD");
        let tokens = Tokens { text_in: 1, image_out: 1, ..Tokens::default() };
        let counted = Usage { images: 1, tokens: Some(tokens), ..Usage::default() };
        assert_eq!(super::price(&both, &counted), None, "neither currency has both prices");
    }

    #[test]
    fn the_first_currency_that_can_say_is_the_bills() {
        let both = prices(serde_json::json!([
            {"unit": "image", "amount": "0.20", "currency": "EUR", "quality": "high"},
            {"unit": "image", "amount": "0.010"},
            {"unit": "image", "amount": "0.009", "currency": "EUR"}
        ]));
        let work = |quality: &str| Usage { images: 3, quality: Some(quality.into()), ..Usage::default() };
        let said = |quality: &str| {
            let money = super::price(&both, &work(quality)).unwrap();
            (money.amount.to_string(), money.currency)
        };
        assert_eq!(said("high"), ("0.60".to_string(), "EUR".to_string()));
        assert_eq!(said("low"), ("0.027".to_string(), "EUR".to_string()));
        assert_eq!(price_in(USD, &both, &work("high")).unwrap().to_string(), "0.030");
        assert_eq!(price_in(USD, &both[..1], &work("high")), None);
    }

    #[test]
    fn what_cannot_be_reckoned_is_unknown_and_no_panic() {
        let dear = prices(serde_json::json!([
            {"unit": "image_out_mtok", "amount": "70000000000000000000"}, {"unit": "second", "amount": "1"}
        ]));
        let tokens = Tokens { image_out: u64::MAX, ..Tokens::default() };
        assert_eq!(price(&dear, &Usage { tokens: Some(tokens), ..Usage::default() }), None);
        assert_eq!(price(&dear, &Usage { seconds: Some(f64::NAN), ..Usage::default() }), None);
        let flux = prices(serde_json::json!([
            {"unit": "first_megapixel", "amount": "0.03"}, {"unit": "further_megapixel", "amount": "0.015"}
        ]));
        let usage = Usage { images: 1, pixels: Some(1), inputs_unknown: true, ..Usage::default() };
        assert_eq!(price(&flux, &usage), None, "the images that went in cost an unknown amount");
    }

    #[test]
    fn recorded_work_is_short_and_comes_back() {
        let usage = Usage { images: 2, pixels: Some(1 << 20), ..Usage::default() };
        assert_eq!(serde_json::to_string(&usage).unwrap(), "{\"images\":2,\"pixels\":1048576}");
        let tokens = Some(Tokens { text_in: 9, image_out: 196, ..Tokens::default() });
        let full =
            Usage { inputs: vec![5], seconds: Some(2.5), quality: Some("low".into()), tokens, ..usage };
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), full);
    }
}

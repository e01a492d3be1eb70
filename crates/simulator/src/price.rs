//! Amounts of money and what they are for.

use rust_decimal::Decimal;
use serde_json::Value;

/// A decimal as a JSON number with the same digits.
pub(crate) fn number(decimal: Decimal) -> Value {
    serde_json::from_str(&decimal.normalize().to_string()).unwrap_or(Value::Null)
}

/// Megapixels of 1024 x 1024, begun ones in full.
pub(crate) fn begun_megapixels((width, height): (u32, u32)) -> i64 {
    let pixels = u64::from(width) * u64::from(height);
    i64::try_from(pixels.div_ceil(1 << 20).max(1)).unwrap_or(i64::MAX)
}

/// What one image of this size costs: so much for the first megapixel, and so much for each further one and each that came in.
pub(crate) fn stepped(first: i64, step: i64, drawn: (u32, u32), inputs: &[(u32, u32)]) -> i64 {
    let inputs: i64 = inputs.iter().map(|size| begun_megapixels(*size)).sum();
    first + step * (begun_megapixels(drawn) - 1 + inputs)
}

//! What adapters read from JSON, and write into URLs.

use rust_decimal::Decimal;
use serde_json::Value;

use super::balance;

/// The longest id of a task.
pub(super) const MAX_ID_BYTES: usize = 512;

/// The id of a task, whatever it is made of. `None` where it is none that could be kept and asked for.
pub(super) fn task_id(json: &Value, pointer: &str) -> Option<String> {
    let id = match json.pointer(pointer)? {
        Value::String(id) => id.trim().to_owned(),
        Value::Number(id) if id.is_u64() || id.is_i64() => id.to_string(),
        _ => return None,
    };
    // A name of dots would lead elsewhere, however it is written.
    let fits = !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.bytes().all(|b| b == b'.');
    (fits && !id.chars().any(char::is_control)).then_some(id)
}

/// A text as one segment of a path, or one value of a query.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte))
            }
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    segment
}

/// Whether a name that callers can write is fit to become part of a URL: nothing in it leads elsewhere.
pub(super) fn is_path(name: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && plain(part))
}

/// The first non-empty string at one of these JSON pointers.
pub(super) fn text_at<'a>(json: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers
        .iter()
        .find_map(|p| json.pointer(p).and_then(Value::as_str))
        .filter(|s| !s.is_empty() && !s.contains('\0'))
}

/// A seed as a number, or as a text with its digits.
pub(super) fn seed_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(seed) => seed.as_i64(),
        Value::String(seed) => seed.trim().parse().ok(),
        _ => None,
    }
}

/// A JSON number as an exact decimal: its digits, not its double. One that is larger than a decimal can be is the largest.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    let huge = || {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.trim().parse().is_ok_and(|number: f64| number > 1e28).then_some(Decimal::MAX)
    };
    balance::signed(value).or_else(huge).filter(|d| !d.is_sign_negative())
}

//! What Replicate's errors mean: problem documents over HTTP, and sentences with codes in failed predictions.

use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::http::MAX_RETRY_AFTER;
use crate::provider::error::ErrorAnswer;
use crate::provider::{Rejection, refusal};

/// What an answer that is no success means, where Replicate means something of its own.
pub(super) fn of(error: &ErrorAnswer<'_>) -> Option<Failure> {
    // The body says how long to wait where no header does.
    let after = || error.after.or_else(|| seconds(error.json.get("retry_after")?));
    (error.status == 429).then(|| Failure::RateLimited { after: after() })
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|s| *s >= 0.0)?;
    Some(Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())))
}

/// Why a prediction failed. Only time of computing is charged (Replicate documentation), and none passed where it never
/// started; whether any other failure is charged depends on the model.
pub(super) fn of_prediction(answer: &Value) -> Rejection {
    let error = match answer.get("error") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "no reason given".to_owned(),
        Some(other) => other.to_string(),
    };
    let (failure, message) = (of_text(&error), format!("the prediction failed: {error}"));
    match code(&error) {
        Some("E003" | "E004" | "E6716") => Rejection::free(failure, message),
        _ => Rejection::unknown(failure, message),
    }
}

/// The code counts first, then the words.
fn of_text(error: &str) -> Failure {
    let unwell = Failure::Overloaded { after: None };
    match code(error) {
        Some("E005") => return Failure::Refused,
        Some("E006") => return Failure::Invalid,
        // Busy, not available, timed out while starting, faults of the machine, out of memory.
        Some("E003" | "E004" | "E6716" | "E8765" | "E9243" | "E1001") => return unwell,
        _ => {}
    }
    let words = error.to_ascii_lowercase();
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if has(&["nsfw", "sensitive", "flagged"]) || has(refusal::WORDS) {
        Failure::Refused
    } else if has(&["prediction interrupted", "out of memory"]) {
        unwell
    } else {
        Failure::Broken
    }
}

/// The first word that is an E with three or four digits.
fn code(error: &str) -> Option<&str> {
    error.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| {
        let digits = word.strip_prefix('E').unwrap_or_default();
        matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

//! What says that content was refused, at any provider: one table, printed in `docs/statuses.md`.
//!
//! A refusal is never taken for an outage or for a wrong key: what follows it is the ladder.

use serde_json::Value;

use super::error::ErrorAnswer;

/// Codes, types, names and states, and who uses them. They are compared without case and punctuation, in any field for such
/// words and as a word of the message.
pub const CODES: &[(&str, &str)] = &[
    ("moderation_blocked", "OpenAI"),
    ("content_policy_violation", "OpenAI, fal, Azure"),
    ("content_filter", "Azure, OpenRouter"),
    ("contentFilter", "Azure"),
    ("ResponsibleAIPolicyViolation", "Azure"),
    ("ContentPolicyViolationError", "LiteLLM"),
    ("content_moderation", "Stability"),
    ("invalid_prompts", "Stability"),
    ("CONTENT_FILTERED", "Stability"),
    ("Request Moderated", "BFL"),
    ("Content Moderated", "BFL"),
    ("content_policy_blocked", "gateways"),
    ("content_blocked", "gateways"),
    ("content_flagged", "gateways"),
    ("nsfw_content_detected", "gateways"),
    ("safety_violation", "gateways"),
    ("image_safety_violation", "gateways"),
];

/// What the end of a generation is called when it was refused: `finish_reason`, `finishReason`, `native_finish_reason`,
/// `blockReason`.
pub const ENDS: &[(&str, &str)] = &[
    ("SAFETY", "Google"),
    ("IMAGE_SAFETY", "Google"),
    ("PROHIBITED_CONTENT", "Google"),
    ("IMAGE_PROHIBITED_CONTENT", "Google"),
    ("BLOCKLIST", "Google"),
    ("SPII", "Google"),
    ("RECITATION", "Google"),
    ("IMAGE_RECITATION", "Google"),
    ("MODEL_ARMOR", "Google"),
    ("JAILBREAK", "Google"),
    ("content_filter", "OpenAI, Azure, OpenRouter"),
    ("CONTENT_FILTERED", "Stability"),
];

/// Flags beside an image, or in the place of one, that say that it was withheld.
pub const FLAGS: &[(&str, bool)] =
    &[("has_nsfw_concepts", true), ("nsfw_content_detected", true), ("is_image_safe", false), ("nsfw", true)];

/// Sentences, where no code says it. Not looked for at 401, 402, 404, 408, 429 and 5xx: there they are about something else.
pub const WORDS: &[&str] = &[
    "content policy",
    "content_policy",
    "content filter",
    "content moderation",
    "safety system",
    "safety filter",
    "safety check",
    "safety policy",
    "flagged as sensitive",
    "flagged as nsfw",
    "nsfw content",
    "flagged by our",
    "flagged by a content checker",
    "responsible ai",
    "rejected by moderation",
    "prohibited content",
];

/// A word without case and punctuation.
pub fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// True where the error says that content was refused.
pub fn is_in(error: &ErrorAnswer<'_>) -> bool {
    let is_code = |word: &str| {
        let word = plain(word);
        CODES.iter().any(|(code, _)| plain(code) == word) || is_end(&word)
    };
    if error.codes.iter().any(|code| is_code(code)) {
        return true;
    }
    // Codes are quoted in sentences, with the name of the library in front.
    let words = error.message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if words
        .filter(|word| word.len() >= 13)
        .any(|word| CODES.iter().any(|(code, _)| plain(code) == plain(word)))
    {
        return true;
    }
    let elsewhere = matches!(error.status, 401 | 402 | 404 | 408 | 429 | 500..);
    !elsewhere && error.says(WORDS)
}

/// Whether the end of a generation is a refusal.
pub fn is_end(reason: &str) -> bool {
    let reason = plain(reason);
    ENDS.iter().any(|(end, _)| plain(end) == reason)
}

/// What a success without an image says about having refused it; `None` where it says nothing of that.
pub fn in_result(answer: &Value) -> Option<String> {
    let mut left = 512;
    look(answer, 8, &mut left)
}

fn look(value: &Value, depth: u32, left: &mut u32) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    match value {
        Value::Array(all) => all.iter().find_map(|inner| look(inner, depth, left)),
        Value::Object(fields) => {
            for name in
                ["finish_reason", "finishReason", "native_finish_reason", "blockReason", "stop_reason"]
            {
                if let Some(reason) = fields.get(name).and_then(Value::as_str).filter(|reason| is_end(reason))
                {
                    return Some(format!("the image was refused ({reason})"));
                }
            }
            for (name, flag) in FLAGS {
                let is_set = |value: &Value| *value == Value::Bool(*flag);
                let flagged = match fields.get(*name) {
                    Some(Value::Array(all)) => all.iter().any(is_set),
                    Some(value) => is_set(value),
                    None => false,
                };
                if flagged {
                    return Some(format!("the image was withheld ({name})"));
                }
            }
            fields.values().find_map(|inner| look(inner, depth, left))
        }
        _ => None,
    }
}

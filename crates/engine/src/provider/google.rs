//! Google's Gemini image models: one call, the image comes back as base64 beside what the model says.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, without_result};
use super::request_builder::RequestBuilder;
use super::{Call, Output, Prepared, Provider, Rejection, Reply, Source, base_url, refusal, text_at};
use crate::cost::Tokens;
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse, MAX_RETRY_AFTER};
use crate::job::Invalid;
use crate::lenient;
use crate::verdict::{Documented, Verdict};

#[cfg(test)]
mod tests;

pub(super) struct Google;

const AUTH: Auth = Auth::header("x-goog-api-key", "");
/// Rendering happens while the connection is silent, at 4K for minutes.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);

impl Provider for Google {
    fn kind(&self) -> &'static str {
        "google"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("google/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://generativelanguage.googleapis.com/v1beta"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("GEMINI_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?;
        builder.size()?;
        // Images come first, in the order in which the prompt can name them.
        let mut parts: Vec<Value> = builder
            .taken_pictures()?
            .iter()
            .map(|(_, p)| json!({"inlineData": {"mimeType": p.content_type, "data": p.base64()}}))
            .collect();
        parts.push(json!({"text": builder.fields.remove("prompt")}));
        builder.set("contents", json!([{"role": "user", "parts": parts}]));
        builder.nest();
        let base = base_url(self, call.candidate);
        let url = format!("{base}/models/{}:generateContent", call.candidate.remote_name);
        let http = HttpRequest::post(url, Some(AUTH), builder.json(), RENDER_TIMEOUT);
        Ok(builder.finish(http))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let mut output = Output { tokens: tokens(&answer), ..Output::default() };
        let mut reason = text_at(&answer, &["/promptFeedback/blockReason"]);
        let mut refused = reason.is_some();
        let mut words = text_at(&answer, &["/promptFeedback/blockReasonMessage"]);
        for candidate in list(&answer, "/candidates") {
            let before = output.pictures.len();
            // With thinking on, parts marked as thoughts hold drafts.
            let said = list(candidate, "/content/parts").filter(|p| p.get("thought") != Some(&json!(true)));
            for part in said {
                let bytes = text_at(part, &["/inlineData/data"]).and_then(lenient::base64);
                output.pictures.extend(bytes.map(Source::Inline));
                words = words.or(text_at(part, &["/text"]));
            }
            let end = text_at(candidate, &["/finishReason"]);
            if output.pictures.len() == before {
                if end.is_some_and(refusal::is_end) {
                    refused = true;
                    output.withheld += 1;
                }
                reason = reason.or(end);
                words = text_at(candidate, &["/finishMessage"]).or(words);
            }
        }
        if !output.pictures.is_empty() {
            return Ok(Reply::Finished(output));
        }
        let why = [reason, words].into_iter().flatten().collect::<Vec<_>>().join(": ");
        match (refused, why.is_empty()) {
            // What was read and thought until then may be billed by the token.
            (true, _) => Err(Rejection::unknown(Failure::Refused, why)),
            (false, true) => Err(without_result(self, response, &answer)),
            (false, false) => {
                let message = format!("success, but no image in the answer: {why}");
                Err(Rejection::unknown(Failure::Broken, message))
            }
        }
    }

    fn speaks(&self, json: &Value) -> bool {
        json.pointer("/error/code").is_some() || json.pointer("/error/status").is_some()
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        Some(HttpRequest::get(format!("{}/models", base.trim_end_matches('/')), Some(AUTH)))
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        let wrong_key = error.message.contains("API key not valid") || error.has_code(&["API_KEY_INVALID"]);
        match error.status {
            _ if wrong_key => Some(Failure::Unauthorized),
            // The region is not served, or needs a paid plan.
            400 if error.has_code(&["FAILED_PRECONDITION"]) => Some(Failure::PolicyBlocked),
            429 if is_spent(&error.json) => Some(Failure::OutOfCredit),
            429 => Some(Failure::RateLimited { after: delay(&error.json).or(error.after) }),
            _ => None,
        }
    }

    fn documented(&self) -> &'static [Documented] {
        const FREE: &str = "Gemini API billing: a request that fails with a 400 or 500 error is not charged";
        &[Documented { status: 500, verdict: Verdict::Unprocessed, source: FREE }]
    }

    /// The vendor charges for no request that fails with a 400 (Gemini API billing).
    fn refuses_for_free(&self, error: &ErrorAnswer<'_>) -> bool {
        error.status == 400
    }
}

fn list<'a>(json: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    json.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// A quota of the day, or one of nothing at all: waiting a minute does not help.
fn is_spent(answer: &Value) -> bool {
    list(answer, "/error/details").flat_map(|detail| list(detail, "/violations")).any(|violation| {
        let value = violation.get("quotaValue");
        text_at(violation, &["/quotaId"]).is_some_and(|id| id.contains("PerDay"))
            || value.is_some_and(|v| *v == json!("0") || *v == json!(0))
    })
}

/// `RetryInfo.retryDelay`, written `34s` or `0.5s`.
fn delay(answer: &Value) -> Option<Duration> {
    let text = list(answer, "/error/details").find_map(|detail| text_at(detail, &["/retryDelay"]))?;
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|d| d.min(MAX_RETRY_AFTER))
}

/// Token counts, split by kind where the answer does that.
fn tokens(answer: &Value) -> Option<Tokens> {
    let usage = answer.get("usageMetadata")?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let of_pictures = |name: &str| {
        let details = usage.get(name)?.as_array()?;
        let pictures = details.iter().filter(|d| text_at(d, &["/modality"]) == Some("IMAGE"));
        Some(pictures.filter_map(|d| d.get("tokenCount")?.as_u64()).fold(0, u64::saturating_add))
    };
    let image_in = of_pictures("promptTokensDetails").unwrap_or(0);
    let all_out = count("candidatesTokenCount");
    // Without details everything counts as image: that is what most of it is, and the dearer.
    let image_out = of_pictures("candidatesTokensDetails").filter(|n| *n > 0).unwrap_or(all_out);
    let cached = count("cachedContentTokenCount");
    let image_cached = of_pictures("cacheTokensDetails").unwrap_or(0);
    let tokens = Tokens {
        text_cached: cached.saturating_sub(image_cached),
        image_cached,
        text_in: count("promptTokenCount").saturating_sub(image_in),
        image_in,
        image_out,
        // What it thought is billed as text, and not counted among the candidates.
        text_out: all_out.saturating_sub(image_out).saturating_add(count("thoughtsTokenCount")),
    };
    (tokens.image_out > 0).then_some(tokens)
}

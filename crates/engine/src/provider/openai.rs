//! OpenAI, and every endpoint that speaks its images API: one call, the pictures come back as base64.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::text_at;
use super::{Call, Output, Prepared, Provider, Rejection, Reply, Source, Submission, base_url, by_status};
use crate::cost::Tokens;
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::job::Invalid;

pub(super) struct OpenAi;

const AUTH: Auth = Auth { header: "authorization", prefix: "Bearer " };
/// Rendering happens while the connection is silent; the vendor's own SDK waits ten minutes.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);

/// Options of this provider that are passed on by name.
const OPTIONS: [&str; 5] = ["background", "output_format", "output_compression", "moderation", "user"];

impl Provider for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn base_url(&self) -> &'static str {
        "https://api.openai.com/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("OPENAI_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let (request, candidate) = (call.request, call.candidate);
        super::only_generates(call)?;
        let mut warnings = super::common_warnings(call, &["quality"]);
        let mut body = Map::new();
        body.insert("model".into(), json!(candidate.remote_name));
        body.insert("prompt".into(), json!(request.prompt));
        body.insert("n".into(), json!(request.n));
        let (size, adjusted) = crate::size::choose(&candidate.sizes, request)?;
        warnings.extend(adjusted);
        body.insert("size".into(), json!(size.to_string()));
        let quality = match request.quality.as_deref() {
            None => None,
            Some(asked) => match quality(candidate, asked) {
                Some(word) => Some(word),
                None => {
                    warnings.push(candidate.unsupported(&format!("quality '{asked}'")));
                    None
                }
            },
        };
        // Always named: the provider's default can change, and with it the price.
        let quality = quality.unwrap_or("medium").to_owned();
        if candidate.takes("quality") {
            body.insert("quality".into(), json!(quality));
        }
        super::pass_options(call, &OPTIONS, &mut body, &mut warnings);
        let url = format!("{}/images/generations", base_url(self, candidate));
        let http = HttpRequest::post(url, Some(AUTH), Value::Object(body), RENDER_TIMEOUT);
        let quality = Some(quality);
        Ok(Prepared { submission: Submission::Http(http), warnings, seed_honored: false, quality })
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return self.read_error(response);
        }
        let answer = response.json();
        let mut pictures = vec![];
        for datum in answer.get("data").and_then(Value::as_array).into_iter().flatten() {
            if let Some(text) = text_at(datum, &["/b64_json"]) {
                // Bytes that do not decode are not a picture; whether the rest is enough is decided below.
                if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text) {
                    pictures.push(Source::Inline(bytes));
                }
            } else if let Some(url) = text_at(datum, &["/url"]) {
                // Compatible endpoints and the older models answer with a URL that works for an hour.
                let lifetime = Some(Duration::from_secs(3600));
                pictures.push(Source::Url { url: url.into(), lifetime });
            }
        }
        if pictures.is_empty() {
            // It was accepted and may have been billed; it is not sent again.
            return Err(Rejection::unknown(Failure::Broken, "success, but no picture in the answer"));
        }
        let tokens = answer.get("usage").map(|usage| {
            let count = |p: &str| usage.pointer(p).and_then(Value::as_u64);
            let image_in = count("/input_tokens_details/image_tokens").unwrap_or(0);
            let text_in = count("/input_tokens_details/text_tokens")
                .unwrap_or_else(|| count("/input_tokens").unwrap_or(0).saturating_sub(image_in));
            Tokens { text_in, image_in, image_out: count("/output_tokens").unwrap_or(0) }
        });
        Ok(Reply::Finished(Output {
            pictures,
            seed: None,
            revised_prompt: text_at(&answer, &["/data/0/revised_prompt"]).map(str::to_owned),
            cost: None,
            tokens: tokens.filter(|t| t.image_out > 0),
            render_seconds: response
                .header("openai-processing-ms")
                .and_then(|ms| ms.parse::<f64>().ok())
                .filter(|ms| *ms > 0.0)
                .map(|ms| ms / 1000.0),
        }))
    }

    fn read_error(&self, response: &HttpResponse) -> Result<Reply, Rejection> {
        let answer = response.json();
        let code = text_at(&answer, &["/error/code", "/error/type"]).unwrap_or_default();
        let message = text_at(&answer, &["/error/message"]).unwrap_or("no details");
        let after = response.retry_after();
        let spent = ["_spend_limit_exceeded", "_usage_limit_exceeded"];
        let failure = match (response.status, code) {
            (_, "moderation_blocked" | "content_policy_violation") => Failure::Refused,
            (
                _,
                "billing_hard_limit_reached"
                | "insufficient_quota"
                | "credit_balance_exhausted"
                | "billing_not_active",
            ) => Failure::OutOfCredit,
            (_, code) if spent.iter().any(|s| code.ends_with(s)) => Failure::OutOfCredit,
            (_, "model_not_found") => Failure::ModelGone,
            (_, "unsupported_country_region_territory") => Failure::PolicyBlocked,
            (400 | 403, _) if message.contains("must be verified") => Failure::PolicyBlocked,
            (_, "rate_limit_exceeded") => Failure::RateLimited { after },
            (503, "slow_down") => Failure::Overloaded { after },
            (_, "slow_down") => Failure::RateLimited { after },
            (409, _) => Failure::Overloaded { after },
            _ => by_status(response),
        };
        Err(Rejection::free(failure, format!("HTTP {}: {message}", response.status)))
    }
}

/// The provider's word for a wished quality.
fn quality<'a>(candidate: &'a crate::candidate::Candidate, asked: &'a str) -> Option<&'a str> {
    let known = candidate.parameters.get("quality").and_then(Value::as_array)?;
    let word = match asked {
        "draft" => "low",
        "standard" => "medium",
        // S120: what `hd` was for the DALL-E models is `high` for their successors.
        "hd" => "high",
        other => other,
    };
    known.iter().any(|k| k == word).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn only_fields_that_the_service_knows_are_sent() {
        let candidate = gpt_image();
        let request = request(json!({
            "prompt": "a cat", "seed": 7, "quality": "hd", "negative_prompt": "dogs", "width": 1024, "height": 1024,
            "options": {"background": "transparent", "style": "vivid"}
        }));
        let prepared = OpenAi.prepare(&call(&request, &candidate)).unwrap();
        let Submission::Http(http) = &prepared.submission else { panic!("local") };
        let body = json!({
            "model": "gpt-image-2.6-flare", "prompt": "a cat", "n": 1, "size": "1024x1024", "quality": "high",
            "background": "transparent"
        });
        assert_eq!(http.json.as_ref().unwrap(), &body);
        let codes: Vec<&str> = prepared.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(codes, ["unsupported", "seed_ignored", "unsupported"]);
        assert!(!prepared.seed_honored);
    }

    #[test]
    fn pictures_and_tokens_are_read() {
        let candidate = gpt_image();
        let request = request(json!({"prompt": "x", "seed": 1}));
        let body = json!({
            "created": 1, "data": [{"b64_json": "iVBORw=="}], "output_format": "png",
            "usage": {"input_tokens": 9, "output_tokens": 196, "total_tokens": 205,
                      "input_tokens_details": {"text_tokens": 9, "image_tokens": 0}}
        });
        let reply = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap();
        let Reply::Finished(output) = reply else { panic!("{reply:?}") };
        assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
        assert_eq!(output.tokens, Some(Tokens { text_in: 9, image_in: 0, image_out: 196 }));
    }

    #[test]
    fn success_without_a_picture_is_no_success() {
        let candidate = gpt_image();
        let request = request(json!({"prompt": "x", "seed": 1}));
        for body in [json!({}), json!({"data": []}), json!({"data": [{"b64_json": "%%"}]}), Value::Null] {
            let rejection = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap_err();
            assert_eq!(rejection.failed.failure, Failure::Broken);
            assert_eq!(rejection.cost.amount, None);
        }
    }

    #[test]
    fn each_documented_error_has_one_class() {
        let failure = |status: u16, code: &str, message: &str| {
            let body = json!({"error": {"message": message, "type": "t", "param": null, "code": code}});
            OpenAi.read_error(&answer(status, body)).unwrap_err().failed.failure
        };
        assert_eq!(failure(400, "moderation_blocked", ""), Failure::Refused);
        assert_eq!(failure(400, "content_policy_violation", ""), Failure::Refused);
        assert_eq!(failure(400, "billing_hard_limit_reached", ""), Failure::OutOfCredit);
        assert_eq!(failure(429, "insufficient_quota", ""), Failure::OutOfCredit);
        assert_eq!(failure(429, "organization_spend_limit_exceeded", ""), Failure::OutOfCredit);
        assert_eq!(failure(429, "rate_limit_exceeded", ""), Failure::RateLimited { after: None });
        assert_eq!(failure(401, "invalid_api_key", ""), Failure::Unauthorized);
        assert_eq!(failure(403, "", "Your organization must be verified to use"), Failure::PolicyBlocked);
        assert_eq!(failure(404, "model_not_found", ""), Failure::ModelGone);
        assert_eq!(failure(400, "unknown_parameter", ""), Failure::Invalid);
        assert_eq!(failure(503, "slow_down", ""), Failure::Overloaded { after: None });
        assert_eq!(failure(500, "server_error", ""), Failure::Overloaded { after: None });
    }
}

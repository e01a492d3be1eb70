//! OpenAI, and every endpoint that speaks its images API: one call, the images come back as base64.

use std::time::Duration;

use serde_json::Value;

use super::error::{ErrorAnswer, without_result};
use super::request_builder::RequestBuilder;
use super::{Call, Output, Prepared, Provider, Rejection, Reply, Source, base_url, text_at};
use crate::cost::Tokens;
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::job::{Invalid, Task};
use crate::lenient;

pub(super) struct OpenAi;

const AUTH: Auth = Auth::header("authorization", "Bearer ");
/// Rendering happens while the connection is silent; the vendor's own SDK waits ten minutes.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);

impl Provider for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("openai/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://api.openai.com/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("OPENAI_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let candidate = call.candidate;
        let mut builder = RequestBuilder::new(call)?;
        builder.set("model", candidate.remote_name.clone().into());
        builder.scalars()?;
        builder.size()?;
        // A reference or a source makes it an edit; several images go in the order in which the prompt can name them.
        builder.picture_files()?;
        let base = base_url(self, candidate);
        let (url, body) = match call.task {
            Task::Generate if builder.files.is_empty() => {
                (format!("{base}/images/generations"), builder.json())
            }
            _ => {
                // `image` alone for a single image: endpoints that only resemble OpenAI's know no list.
                let pictures = builder.files.iter().filter(|p| p.name == "image[]").count();
                builder.files.iter_mut().filter(|p| pictures == 1 && p.name == "image[]").for_each(|p| {
                    p.name = "image".into();
                });
                (format!("{base}/images/edits"), builder.form())
            }
        };
        Ok(builder.finish(HttpRequest::post(url, Some(AUTH), body, RENDER_TIMEOUT)))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let mut pictures = vec![];
        for datum in answer.get("data").and_then(Value::as_array).into_iter().flatten() {
            if let Some(text) = text_at(datum, &["/b64_json"]) {
                // Bytes that do not decode are not an image; whether the rest is enough is decided below.
                pictures.extend(lenient::base64(text).map(Source::Inline));
            } else if let Some(url) = text_at(datum, &["/url"]) {
                // Compatible endpoints and the older models answer with a URL that works for an hour.
                let lifetime = Some(Duration::from_secs(3600));
                pictures.push(Source::Url { url: url.into(), lifetime });
            }
        }
        if pictures.is_empty() {
            return Err(without_result(self, response, &answer));
        }
        let tokens = answer.get("usage").map(|usage| {
            let count = |p: &str| usage.pointer(p).and_then(Value::as_u64);
            let image_in = count("/input_tokens_details/image_tokens").unwrap_or(0);
            let text_in = count("/input_tokens_details/text_tokens")
                .unwrap_or_else(|| count("/input_tokens").unwrap_or(0).saturating_sub(image_in));
            let all_out = count("/output_tokens").unwrap_or(0);
            // Text written beside an image has its own rate. Without details everything counts as image, the dearer.
            let text_out = count("/output_tokens_details/text_tokens").unwrap_or(0).min(all_out);
            // Where it is not said of what, it is counted as text: that saves less.
            let cached = count("/input_tokens_details/cached_tokens").unwrap_or(0);
            let kind =
                |kind: &str| count(&format!("/input_tokens_details/cached_tokens_details/{kind}_tokens"));
            let text_cached = kind("text").unwrap_or(cached).min(text_in);
            let image_cached = kind("image").unwrap_or(cached.saturating_sub(text_cached)).min(image_in);
            Tokens { text_in, image_in, image_out: all_out - text_out, text_out, text_cached, image_cached }
        });
        Ok(Reply::Finished(Output {
            pictures,
            revised_prompt: text_at(&answer, &["/data/0/revised_prompt"]).map(str::to_owned),
            tokens: tokens.filter(|t| t.image_out > 0),
            render_seconds: response
                .header("openai-processing-ms")
                .and_then(|ms| ms.parse::<f64>().ok())
                .filter(|ms| *ms > 0.0 && ms.is_finite())
                .map(|ms| ms / 1000.0),
            ..Output::default()
        }))
    }

    fn probe(&self, base: &str) -> Option<HttpRequest> {
        Some(HttpRequest::get(format!("{}/models", base.trim_end_matches('/')), Some(AUTH)))
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        let after = error.after;
        Some(match error.status {
            _ if error.has_code(&["unsupported_country_region_territory"]) => Failure::PolicyBlocked,
            400 | 403 if error.says(&["must be verified"]) => Failure::PolicyBlocked,
            _ if error.has_code(&["rate_limit_exceeded"]) && !error.has_code(&["insufficient_quota"]) => {
                Failure::RateLimited { after }
            }
            429 if error.has_code(&["slow_down"]) => Failure::RateLimited { after },
            // Said before anything is begun, also with a 500.
            500..=599 if error.has_code(&["slow_down", "server_is_overloaded"]) => {
                Failure::Overloaded { after }
            }
            // A lock that was not got in time: the vendor's own SDK asks again.
            409 => Failure::Overloaded { after },
            _ => return None,
        })
    }

    /// What is refused before it is drawn costs nothing. Of a refused drawing nothing is documented, and Azure charges for
    /// what its filter has read ("you will be charged even if the status code is not successful", Azure OpenAI costs).
    fn refuses_for_free(&self, error: &ErrorAnswer<'_>) -> bool {
        let stage = text_at(&error.json, &["/error/moderation_details/moderation_stage"]);
        error.has_code(&["moderation_blocked"]) && stage == Some("input")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Charge;
    use super::super::testing::*;
    use super::*;
    use crate::input::Role;
    use serde_json::json;

    #[test]
    fn only_fields_that_the_service_knows_are_sent() {
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({
            "prompt": "a cat", "seed": 7, "quality": "hd", "negative_prompt": "dogs", "width": 1024, "height": 1024,
            "options": {"background": "transparent", "style": "vivid"}
        }));
        let prepared = OpenAi.prepare(&call(&request, &candidate)).unwrap();
        let body = json!({
            "model": "gpt-image-2.6-flare", "prompt": "a cat", "n": 1, "size": "1024x1024", "quality": "high",
            "background": "transparent"
        });
        assert_eq!(json_body(&prepared), body);
        assert_eq!(codes(&prepared), ["unsupported", "seed_ignored", "unsupported"]);
        assert!(!prepared.seed_honored);
    }

    #[test]
    fn an_edit_is_a_form_with_a_transparent_mask() {
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({"prompt": "storm", "seed": 1}));
        let inputs = inputs(&[Role::Image, Role::Mask]);
        let prepared = OpenAi.prepare(&call_with(Task::Inpaint, &request, &candidate, &inputs)).unwrap();
        assert_eq!(http(&prepared).url, "https://api.openai.com/v1/images/edits");
        let fields: Vec<String> = form_body(&prepared).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        let expected = [
            "model=gpt-image-2.6-flare",
            "n=1",
            "prompt=storm",
            "quality=medium",
            // Without one the service makes a square.
            "size=1008x672",
            "image=image/png",
            "mask=image/png",
        ];
        assert_eq!(fields, expected);
        // S88: both images, in order.
        let inputs = super::super::testing::inputs(&[Role::Image, Role::StyleImage]);
        let prepared =
            OpenAi.prepare(&call_with(Task::TransferStyle, &request, &candidate, &inputs)).unwrap();
        assert_eq!(form_body(&prepared).iter().filter(|(name, _)| name == "image[]").count(), 2);
    }

    #[test]
    fn pictures_and_tokens_are_read() {
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({"prompt": "x", "seed": 1}));
        let body = json!({
            "created": 1, "data": [{"b64_json": "iVBORw=="}], "output_format": "png",
            "usage": {"input_tokens": 9, "output_tokens": 196, "total_tokens": 205,
                      "input_tokens_details": {"text_tokens": 9, "image_tokens": 0}}
        });
        let reply = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap();
        let Reply::Finished(output) = reply else { panic!("{reply:?}") };
        assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
        assert_eq!(
            output.tokens,
            Some(Tokens { text_in: 9, image_in: 0, image_out: 196, text_out: 0, ..Tokens::default() })
        );
    }

    #[test]
    fn text_beside_a_picture_has_its_own_rate() {
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({"prompt": "x", "seed": 1}));
        let body = json!({"data": [{"b64_json": "iVBORw=="}], "usage": {
            "input_tokens": 9, "output_tokens": 236, "output_tokens_details": {"image_tokens": 196, "text_tokens": 40}}});
        let reply = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap();
        let Reply::Finished(output) = reply else { panic!("{reply:?}") };
        assert_eq!(
            output.tokens,
            Some(Tokens { text_in: 9, image_in: 0, image_out: 196, text_out: 40, ..Tokens::default() })
        );
    }

    #[test]
    fn what_was_cached_is_told_from_what_was_read() {
        let read = |details: Value| {
            let candidate = candidate("openai", "gpt-image-2.6-flare");
            let request = request(json!({"prompt": "x", "seed": 1}));
            let body = json!({"data": [{"b64_json": "iVBORw=="}],
                "usage": {"input_tokens": 1009, "output_tokens": 196, "input_tokens_details": details}});
            let reply = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap();
            let Reply::Finished(Output { tokens: Some(tokens), .. }) = reply else { panic!("{reply:?}") };
            (tokens.text_in, tokens.text_cached, tokens.image_in, tokens.image_cached)
        };
        let all = json!({"text_tokens": 9, "image_tokens": 1000, "cached_tokens": 800,
            "cached_tokens_details": {"text_tokens": 0, "image_tokens": 800}});
        assert_eq!(read(all), (9, 0, 1000, 800));
        let together = json!({"text_tokens": 9, "image_tokens": 1000, "cached_tokens": 800});
        assert_eq!(read(together), (9, 9, 1000, 791), "as text first: that saves less");
        let nonsense = json!({"text_tokens": 9, "image_tokens": 1000, "cached_tokens": 5000});
        assert_eq!(read(nonsense), (9, 9, 1000, 1000), "no more than was read");
    }

    #[test]
    fn success_without_a_picture_is_no_success() {
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({"prompt": "x", "seed": 1}));
        for body in [json!({}), json!({"data": []}), json!({"data": [{"b64_json": "%%"}]}), Value::Null] {
            let rejection = OpenAi.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap_err();
            assert_eq!(rejection.failed.failure, Failure::Broken);
            assert_eq!(rejection.charge, Charge::Unknown);
        }
    }

    #[test]
    fn each_documented_error_has_one_class() {
        let failure = |status: u16, code: &str, message: &str| {
            let body = json!({"error": {"message": message, "type": "t", "param": null, "code": code}});
            OpenAi.read_error(&answer(status, body)).failed.failure
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
        assert_eq!(failure(500, "server_is_overloaded", ""), Failure::Overloaded { after: None });
        // It is not documented to cost nothing.
        assert_eq!(failure(500, "server_error", ""), Failure::Uncertain);
    }
}

//! OpenRouter: many providers behind one API. One call, the images come back as base64 with what they cost.
//!
//! Most models are asked over the images endpoint; those whose catalogue row says `api = "chat"` over the chat endpoint.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::error::{ErrorAnswer, without_result};
use super::request_builder::RequestBuilder;
use super::{Balance, Call, Output, Prepared, Provider, Rejection, Reply, Source, balance, base_url};
use super::{decimal, google, openai, refusal, text_at};
use crate::cost::{Cost, Tokens};
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::job::Invalid;
use crate::lenient;
use crate::verdict::{self, Outcome, Phase, Voice};

#[cfg(test)]
mod tests;

pub(super) struct OpenRouter;

const AUTH: Auth = Auth::header("authorization", "Bearer ");
/// Rendering happens while the connection is silent.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);
impl Provider for OpenRouter {
    fn kind(&self) -> &'static str {
        "openrouter"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("openrouter/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://openrouter.ai/api/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("OPENROUTER_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let candidate = call.candidate;
        let mut builder = RequestBuilder::new(call)?;
        // Before the options: of a model that is not listed, the caller may know better.
        builder.size()?;
        builder.scalars()?;
        builder.set("model", json!(candidate.remote_name));
        let pictures: Vec<Value> = builder
            .taken_pictures()?
            .iter()
            .map(|(_, p)| json!({"type": "image_url", "image_url": {"url": p.data_uri()}}))
            .collect();
        let base = base_url(self, candidate);
        let url = if candidate.api.as_deref() == Some("chat") {
            let mut content = vec![json!({"type": "text", "text": builder.fields.remove("prompt")})];
            content.extend(pictures);
            builder.set("messages", json!([{"role": "user", "content": content}]));
            builder.fields.entry("modalities").or_insert_with(|| json!(["image", "text"]));
            builder.set("stream", json!(false));
            format!("{base}/chat/completions")
        } else {
            if !pictures.is_empty() {
                builder.set("input_references", Value::Array(pictures));
            }
            format!("{base}/images")
        };
        builder.nest();
        let http = HttpRequest::post(url, Some(AUTH), builder.json(), RENDER_TIMEOUT);
        Ok(builder.finish(http))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let pictures: Vec<Source> = [("/data", DATA), ("/choices/0/message/images", CHAT)]
            .into_iter()
            .flat_map(|(place, names)| answer.pointer(place).and_then(Value::as_array).map(|a| (a, names)))
            .flat_map(|(all, names)| all.iter().filter_map(|one| text_at(one, names)))
            .filter_map(source)
            .collect();
        if !pictures.is_empty() {
            let usage = answer.get("usage");
            let (cost, tokens) = (usage.and_then(cost), usage.and_then(tokens));
            return Ok(Reply::Finished(Output { pictures, cost, tokens, ..Output::default() }));
        }
        // Once a provider behind it has begun, errors come inside of a success.
        let missing = without_result(self, response, &answer);
        let words = text_at(&answer, &["/choices/0/message/refusal"])
            .or_else(|| text_at(&answer, &["/choices/0/message/content"]));
        Err(match words {
            Some(words) => {
                let message = format!("{}: {words}", missing.failed.message);
                Rejection { failed: missing.failed.failure.because(message), ..missing }
            }
            None => missing,
        })
    }

    fn balance(&self, base: &str) -> Option<HttpRequest> {
        // Of the key, not of the account: for that a key of another kind is needed.
        Some(balance::ask(format!("{}/key", base.trim_end_matches('/')), AUTH))
    }

    fn read_balance(&self, response: &HttpResponse) -> Option<Balance> {
        // A key without a cap has null here: how much the account has left is not said.
        let answer = response.is_success().then(|| response.json())?;
        Balance::dollars(answer.pointer("/data/limit_remaining")?)
    }

    fn own_word(&self, error: &ErrorAnswer<'_>) -> Option<Failure> {
        let metadata = error.json.pointer("/error/metadata").unwrap_or(&Value::Null);
        let status = inner_status(error);
        match status {
            403 if reasons(metadata).next().is_some() => Some(Failure::Refused),
            _ => upstream(metadata, status).or_else(|| match status {
                403 if !refusal::is_in(error) => Some(Failure::PolicyBlocked),
                // The code inside counts.
                status if status != error.status => {
                    verdict::of(Phase::Submission, Outcome::Status(status), Voice::Provider)
                        .failure(error.after)
                }
                _ => None,
            }),
        }
    }

    /// Input that is flagged is not passed on (OpenRouter documentation, error 403).
    fn refuses_for_free(&self, error: &ErrorAnswer<'_>) -> bool {
        let metadata = error.json.pointer("/error/metadata").unwrap_or(&Value::Null);
        error.status == 403 && metadata.get("raw").is_none() && reasons(metadata).next().is_some()
    }

    fn describe(&self, error: &ErrorAnswer<'_>) -> Option<String> {
        let metadata = error.json.pointer("/error/metadata")?;
        let who = text_at(metadata, &["/provider_name"]).map(|name| format!("{name}: ")).unwrap_or_default();
        let reasons = reasons(metadata).collect::<Vec<_>>().join(", ");
        let reasons = if reasons.is_empty() { reasons } else { format!(" ({reasons})") };
        Some(format!("{who}{}{reasons}", text_at(&error.json, &["/error/message"]).unwrap_or(&error.message)))
    }
}

/// The status of the provider behind it.
fn inner_status(error: &ErrorAnswer<'_>) -> u16 {
    let code =
        error.json.pointer("/error/code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    code.filter(|code| *code >= 400).unwrap_or(error.status)
}

fn reasons(metadata: &Value) -> impl Iterator<Item = &str> {
    metadata.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Where the images endpoint has an image.
const DATA: &[&str] = &["/b64_json", "/url"];
/// Where the chat endpoint has one.
const CHAT: &[&str] = &["/image_url/url", "/imageUrl/url", "/imageUrl"];

fn source(text: &str) -> Option<Source> {
    if text.starts_with("https://") {
        return Some(Source::Url { url: text.to_owned(), lifetime: None });
    }
    lenient::base64(text).map(Source::Inline)
}

/// `usage.cost` is what the account is charged, in USD. With a key of one's own the provider behind it bills too.
fn cost(usage: &Value) -> Option<Cost> {
    let charged = usage.get("cost").and_then(decimal)?;
    let upstream = match usage.get("is_byok") {
        Some(Value::Bool(true)) => usage.pointer("/cost_details/upstream_inference_cost").and_then(decimal),
        _ => Some(Decimal::ZERO),
    };
    // What that one bills is unknown where the answer does not say it.
    Some(upstream.map_or_else(Cost::unknown, |upstream| Cost::reported(charged.saturating_add(upstream))))
}

fn tokens(usage: &Value) -> Option<Tokens> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (text_in, image_out) = (count("prompt_tokens"), count("completion_tokens"));
    (image_out > 0).then_some(Tokens { text_in, image_out, ..Tokens::default() })
}

/// What the provider behind it said, by that provider's own rules. What it says of accounts is about
/// OpenRouter's account there and not about ours.
fn upstream(metadata: &Value, status: u16) -> Option<Failure> {
    let raw = match metadata.get("raw")? {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    let said = raw.to_ascii_lowercase();
    let is_refused = |words: &&str| said.contains(*words);
    if refusal::CODES.iter().any(|(code, _)| raw.contains(code)) || refusal::WORDS.iter().any(is_refused) {
        return Some(Failure::Refused);
    }
    let json: Value = serde_json::from_str(&raw).unwrap_or(Value::Null);
    // OpenAI's codes are words, Google's are numbers.
    let code = json.pointer("/error/code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let response =
        HttpResponse { status: code.unwrap_or(status), headers: vec![], body: raw.clone().into_bytes() };
    let who = text_at(metadata, &["/provider_name"]).unwrap_or_default().to_lowercase();
    let reads: &dyn Provider = match who.as_str() {
        who if who.contains("google") => {
            let reason = text_at(
                &json,
                &["/promptFeedback/blockReason", "/candidates/0/finishReason", "/error/status"],
            );
            if json.pointer("/promptFeedback/blockReason").is_some() || reason.is_some_and(refusal::is_end) {
                return Some(Failure::Refused);
            }
            &google::Google
        }
        who if who.contains("openai") || who.contains("azure") => &openai::OpenAi,
        _ => return None,
    };
    json.is_object().then(|| reads.read_error(&response).failed.failure).filter(|failure| {
        matches!(failure, Failure::Refused | Failure::Invalid | Failure::RateLimited { .. })
    })
}

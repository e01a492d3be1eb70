//! OpenRouter: many providers behind one API. One call, the pictures come back as base64 with what they cost.
//!
//! Most models are asked over the images endpoint; those whose catalogue row says `api = "chat"` over the chat endpoint.

use std::time::Duration;

use serde_json::{Value, json};

use super::draft::{Draft, decoded, no_picture};
use super::{Balance, Call, Output, Prepared, Provider, Rejection, Reply, Source, balance, base_url};
use super::{by_status, decimal, google, openai, text_at};
use crate::cost::{Cost, Tokens};
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::job::Invalid;

#[cfg(test)]
mod tests;

pub(super) struct OpenRouter;

const AUTH: Auth = Auth::header("authorization", "Bearer ");
/// Rendering happens while the connection is silent.
const RENDER_TIMEOUT: Duration = Duration::from_secs(300);
/// The words with which the providers behind it refuse, where those have no adapter that reads an error.
const REFUSALS: [&str; 8] = [
    "moderation_blocked",
    "content_policy_violation",
    "content_moderation",
    "content_filter",
    "Request Moderated",
    "Content Moderated",
    "flagged as sensitive",
    "failed safety check",
];

impl Provider for OpenRouter {
    fn kind(&self) -> &'static str {
        "openrouter"
    }

    fn base_url(&self) -> &'static str {
        "https://openrouter.ai/api/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("OPENROUTER_API_KEY")
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let candidate = call.candidate;
        let mut draft = Draft::new(call)?;
        // Before the options: of a model that is not listed, the caller may know better.
        draft.size()?;
        draft.scalars()?;
        draft.set("model", json!(candidate.remote_name));
        let pictures: Vec<Value> = draft
            .taken_pictures()?
            .iter()
            .map(|(_, p)| json!({"type": "image_url", "image_url": {"url": p.data_uri()}}))
            .collect();
        let base = base_url(self, candidate);
        let url = if candidate.api.as_deref() == Some("chat") {
            let mut content = vec![json!({"type": "text", "text": draft.fields.remove("prompt")})];
            content.extend(pictures);
            draft.set("messages", json!([{"role": "user", "content": content}]));
            draft.fields.entry("modalities").or_insert_with(|| json!(["image", "text"]));
            draft.set("stream", json!(false));
            format!("{base}/chat/completions")
        } else {
            if !pictures.is_empty() {
                draft.set("input_references", Value::Array(pictures));
            }
            format!("{base}/images")
        };
        draft.nest();
        let http = HttpRequest::post(url, Some(AUTH), draft.json(), RENDER_TIMEOUT);
        Ok(draft.finish(http))
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
        for error in ["/error", "/choices/0/error"].iter().filter_map(|p| answer.pointer(p)) {
            if error.is_object() {
                let failed = classified(error, response);
                return Err(Rejection::unknown(failed.failure, failed.message));
            }
        }
        let words = text_at(&answer, &["/choices/0/message/refusal", "/choices/0/message/content"]);
        let reasons = ["/choices/0/native_finish_reason", "/choices/0/finish_reason"];
        let refusal = reasons
            .iter()
            .filter_map(|p| text_at(&answer, &[*p]))
            .find(|reason| google::is_refusal(reason) || *reason == "content_filter");
        match (refusal, words) {
            (Some(reason), words) => {
                let why = words.map(|w| format!(": {w}")).unwrap_or_default();
                Err(Rejection::unknown(Failure::Refused, format!("{reason}{why}")))
            }
            (None, Some(words)) => {
                let message = format!("success, but no picture in the answer: {words}");
                Err(Rejection::unknown(Failure::Broken, message))
            }
            (None, None) => Err(no_picture()),
        }
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

    fn read_error(&self, response: &HttpResponse) -> Rejection {
        let answer = response.json();
        let failed = classified(answer.get("error").unwrap_or(&Value::Null), response);
        match response.status {
            // Nobody answered in time; the provider behind it may have worked all the same.
            408 | 504 => Rejection::unknown(failed.failure, failed.message),
            _ => Rejection::free(failed.failure, failed.message),
        }
    }
}

/// Where the images endpoint has a picture.
const DATA: &[&str] = &["/b64_json", "/url"];
/// Where the chat endpoint has one.
const CHAT: &[&str] = &["/image_url/url", "/imageUrl/url", "/imageUrl"];

fn source(text: &str) -> Option<Source> {
    if text.starts_with("https://") {
        return Some(Source::Url { url: text.to_owned(), lifetime: None });
    }
    decoded(text).map(Source::Inline)
}

/// `usage.cost` is what the account is charged, in USD. With a key of one's own the provider behind it bills too.
fn cost(usage: &Value) -> Option<Cost> {
    let charged = usage.get("cost").and_then(decimal)?;
    let upstream = match usage.get("is_byok") {
        Some(Value::Bool(true)) => usage.pointer("/cost_details/upstream_inference_cost").and_then(decimal),
        _ => None,
    };
    charged.checked_add(upstream.unwrap_or_default()).map(Cost::reported)
}

fn tokens(usage: &Value) -> Option<Tokens> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (text_in, image_out) = (count("prompt_tokens"), count("completion_tokens"));
    (image_out > 0).then_some(Tokens { text_in, image_in: 0, image_out, text_out: 0 })
}

/// The meaning of an `error` object, wherever it stands.
fn classified(error: &Value, response: &HttpResponse) -> crate::failure::Failed {
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    // The code inside counts: outside there may be a 200.
    let status =
        code.filter(|code| *code >= 400).unwrap_or(if response.is_success() { 502 } else { response.status });
    let metadata = error.get("metadata").unwrap_or(&Value::Null);
    let after = response.retry_after();
    let is_moderated = metadata.get("reasons").is_some_and(|r| r.as_array().is_some_and(|r| !r.is_empty()));
    let failure = match status {
        403 if is_moderated => Failure::Refused,
        _ => upstream(metadata, status).unwrap_or_else(|| match status {
            403 => Failure::PolicyBlocked,
            408 => Failure::Overloaded { after },
            status => by_status(&HttpResponse { status, headers: response.headers.clone(), body: vec![] }),
        }),
    };
    let message = text_at(error, &["/message"]).unwrap_or("no details");
    let who = text_at(metadata, &["/provider_name"]).map(|name| format!("{name}: ")).unwrap_or_default();
    let reasons: Vec<&str> = match metadata.get("reasons") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    failure.because(format!("HTTP {status}: {who}{message}{reasons}"))
}

/// What the provider behind it said, by that provider's own rules. What it says of accounts is about
/// OpenRouter's account there and not about ours.
fn upstream(metadata: &Value, status: u16) -> Option<Failure> {
    let raw = match metadata.get("raw")? {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    if REFUSALS.iter().any(|words| raw.contains(words)) {
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
            if json.pointer("/promptFeedback/blockReason").is_some() || reason.is_some_and(google::is_refusal)
            {
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

//! What the body of an error says, in whatever shape, and what it means: one reader and one rule for all adapters.
//!
//! An adapter adds what only its provider means ([`Provider::own_word`]) and documents ([`Provider::documented`]).

use std::time::Duration;

use serde_json::Value;

use super::refusal;
use super::{Charge, Provider, Rejection};
use crate::failure::{Failure, MESSAGE_CHARS};
use crate::http::HttpResponse;
use crate::verdict::{self, Outcome, Phase, Verdict, Voice};

/// An error, read.
#[derive(Debug)]
pub struct ErrorAnswer<'a> {
    /// The status of the answer, or the one that an error inside of a success names.
    pub status: u16,
    /// The body; `Null` where it is no JSON.
    pub json: Value,
    /// The sentence for people. Bounded, never empty.
    pub message: String,
    /// All words for machines (codes, types, names, reasons), the outermost first.
    pub codes: Vec<String>,
    /// Whose words they are.
    pub voice: Voice,
    /// How long the answer asks us to wait.
    pub after: Option<Duration>,
    /// The answer itself.
    pub response: &'a HttpResponse,
}

/// The most codes that are collected.
const MAX_CODES: usize = 32;
/// The longest text that can be a code.
const MAX_CODE_CHARS: usize = 80;
/// How deep an error is looked into.
const MAX_DEPTH: u32 = 6;
/// Fields with words for machines. `error` is one where it is a single word.
const CODE_FIELDS: [&str; 12] = [
    "code",
    "type",
    "status",
    "name",
    "error",
    "error_type",
    "error_code",
    "reason",
    "reject_reason",
    "exception_type",
    "errorCode",
    "quotaId",
];
/// Fields with sentences, the best first.
const MESSAGE_FIELDS: [&str; 9] = [
    "message",
    "msg",
    "detail",
    "error_description",
    "description",
    "error_message",
    "failure_reason",
    "errors",
    "title",
];

impl<'a> ErrorAnswer<'a> {
    /// Reads an answer that is no success.
    pub fn read<P: Provider + ?Sized>(provider: &P, response: &'a HttpResponse) -> Self {
        ErrorAnswer::of(provider, response, unwrapped(response.json()))
    }

    /// Reads an error that came inside of a success. `None` where there is none.
    pub fn inside<P: Provider + ?Sized>(
        provider: &P,
        response: &'a HttpResponse,
        answer: &Value,
    ) -> Option<Self> {
        let places = ["/error", "/choices/0/error", "/errors"];
        let found = places.iter().filter_map(|p| answer.pointer(p)).find(|e| is_an_error(e))?;
        let mut error = ErrorAnswer::of(provider, response, serde_json::json!({"error": found}));
        let numbers = ["/error/code", "/error/status", "/error/status_code"]
            .iter()
            .filter_map(|p| error.json.pointer(p));
        let status = numbers.filter_map(number).find(|status| (400..=599).contains(status));
        error.status = status.unwrap_or(response.status);
        Some(error)
    }

    fn of<P: Provider + ?Sized>(provider: &P, response: &'a HttpResponse, json: Value) -> Self {
        let mut codes = vec![];
        collect(&json, MAX_DEPTH, &mut codes);
        let said = sentence(&json, MAX_DEPTH).or_else(|| match json {
            Value::Null => text(&response.body),
            _ => codes.first().cloned(),
        });
        let voice = match &json {
            _ if says_nothing(&response.body) => Voice::Silent,
            json if !is_of_a_gateway(json) && provider.speaks(json) => Voice::Provider,
            _ => Voice::Intermediary,
        };
        ErrorAnswer {
            status: response.status,
            message: said.unwrap_or_else(|| "no details".into()),
            codes,
            voice,
            after: response.retry_after(),
            json,
            response,
        }
    }

    /// True when one of these codes is named.
    pub fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    /// True when the sentence has one of these in it, whatever its case.
    pub fn says(&self, words: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        words.iter().any(|word| message.contains(word))
    }

    /// What the table says about the status, at a request that costs money.
    fn verdict<P: Provider + ?Sized>(&self, provider: &P) -> Verdict {
        let own =
            provider.documented().iter().find(|d| d.status == self.status && self.voice == Voice::Provider);
        match own {
            Some(documented) => documented.verdict,
            None => verdict::of(Phase::Submission, Outcome::Status(self.status), self.voice),
        }
    }
}

/// What an answer that is no success means at a request that costs money.
pub fn rejection<P: Provider + ?Sized>(provider: &P, response: &HttpResponse) -> Rejection {
    let error = ErrorAnswer::read(provider, response);
    let verdict = error.verdict(provider);
    let failure = classified(provider, &error).or_else(|| verdict.failure(error.after));
    // Asked about an answer that is a success, there is nothing to say but that.
    let failure = match failure.unwrap_or(Failure::Broken) {
        // Nothing is lost but time, unless it can be asked for.
        Failure::Uncertain if !provider.bills() && provider.named_task("", "").is_none() => {
            Failure::Overloaded { after: error.after }
        }
        failure => failure,
    };
    let charge = charge(provider, &error, &failure, verdict.is_free());
    Rejection { failed: failure.because(described(provider, &error)), charge }
}

/// What a success without what was asked for means: an error inside of it, a refusal, or nothing that is understood.
/// It was accepted and may have been billed; it is not sent again.
pub fn without_result<P: Provider + ?Sized>(
    provider: &P,
    response: &HttpResponse,
    answer: &Value,
) -> Rejection {
    if let Some(error) = ErrorAnswer::inside(provider, response, answer) {
        let failure = classified(provider, &error).unwrap_or_else(|| {
            match error.verdict(provider).failure(error.after) {
                // Nothing is asked for again that a provider had begun with.
                Some(Failure::Uncertain) if matches!(error.status, 500 | 502) => {
                    Failure::Overloaded { after: error.after }
                }
                Some(failure) => failure,
                None => Failure::Broken,
            }
        });
        let charge = charge(provider, &error, &failure, false);
        return Rejection { failed: failure.because(described(provider, &error)), charge };
    }
    let free = !provider.bills();
    let rejected = |failure: Failure, message: String| match free {
        true => Rejection::free(failure, message),
        false => Rejection::unknown(failure, message),
    };
    match refusal::in_result(answer) {
        Some(why) => rejected(Failure::Refused, why),
        None => rejected(Failure::Broken, "success, but no image in the answer".into()),
    }
}

/// The same where an accepted task should be named.
pub fn without_task<P: Provider + ?Sized>(
    provider: &P,
    response: &HttpResponse,
    answer: &Value,
) -> Rejection {
    match ErrorAnswer::inside(provider, response, answer) {
        Some(_) => without_result(provider, response, answer),
        None => Rejection::unknown(Failure::Uncertain, "accepted, but the answer names no task"),
    }
}

/// What the words mean: the provider's own first, then what all use.
fn classified<P: Provider + ?Sized>(provider: &P, error: &ErrorAnswer<'_>) -> Option<Failure> {
    provider.own_word(error).or_else(|| {
        if refusal::is_in(error) {
            Some(Failure::Refused)
        } else if is_out_of_credit(error) {
            Some(Failure::OutOfCredit)
        } else if error.codes.iter().any(|code| MODEL_GONE.contains(&refusal::plain(code).as_str())) {
            Some(Failure::ModelGone)
        } else {
            None
        }
    })
}

/// What a failed call costs. `free`: the status says that it was not processed; that of a success says nothing.
fn charge<P: Provider + ?Sized>(
    provider: &P,
    error: &ErrorAnswer<'_>,
    failure: &Failure,
    free: bool,
) -> Charge {
    let is_free = match failure {
        Failure::Uncertain => false,
        _ if !provider.bills() => true,
        // Some charge for what was read, or drawn, before it was refused.
        Failure::Refused => free && provider.refuses_for_free(error),
        // Said in words, whatever the status: none of these is said of work that was done.
        Failure::RateLimited { .. } | Failure::OutOfCredit | Failure::Unauthorized | Failure::ModelGone => {
            free || error.voice == Voice::Provider
        }
        Failure::Overloaded { .. } if error.response.status >= 400 => true,
        _ => free,
    };
    if is_free { Charge::Free } else { Charge::Unknown }
}

fn described<P: Provider + ?Sized>(provider: &P, error: &ErrorAnswer<'_>) -> String {
    let said = provider.describe(error).unwrap_or_else(|| error.message.clone());
    format!("HTTP {}: {said}", error.status)
}

/// Codes of models that are gone, without case and punctuation.
const MODEL_GONE: [&str; 4] = ["modelnotfound", "deploymentnotfound", "modeldeprecated", "modelnotavailable"];

/// Codes of empty accounts and quotas that are used up, without case and punctuation.
pub const OUT_OF_CREDIT: [&str; 15] = [
    "insufficientquota",
    "billinghardlimitreached",
    "creditbalanceexhausted",
    "billingnotactive",
    "paymentrequired",
    "insufficientbalance",
    "insufficientfunds",
    "insufficientcredit",
    "insufficientcredits",
    "outofcredit",
    "outofcredits",
    "balanceexhausted",
    "quotaexhausted",
    "spendlimitexceeded",
    "usagelimitexceeded",
];
/// The same in sentences.
pub const OUT_OF_CREDIT_WORDS: [&str; 11] = [
    "exceeded your current quota",
    "no credits remaining",
    "exhausted balance",
    "user is locked",
    "insufficient credit",
    "insufficient balance",
    "insufficient funds",
    "insufficient quota",
    "not enough credit",
    "out of credit",
    "billing hard limit",
];
/// What a code or a sentence at a 403 has in it when it is about a quota and not about a key.
const QUOTA_AT_403: [&str; 3] = ["quota", "billing", "creditbalance"];

/// True where an account is empty or a quota is used up, whatever the status.
fn is_out_of_credit(error: &ErrorAnswer<'_>) -> bool {
    let codes: Vec<String> = error.codes.iter().map(|code| refusal::plain(code)).collect();
    let names = |code: &String| {
        OUT_OF_CREDIT.contains(&code.as_str())
            || code.ends_with("spendlimitexceeded")
            || code.ends_with("usagelimitexceeded")
    };
    // In a sentence at a 5xx such words may be quoted from anywhere.
    let may_say = matches!(error.status, 200..=299 | 400 | 402 | 403 | 429);
    codes.iter().any(names)
        || may_say && error.says(&OUT_OF_CREDIT_WORDS)
        || error.status == 403
            && (codes.iter().any(|code| QUOTA_AT_403.iter().any(|word| code.contains(word)))
                || error.says(&["quota"]))
}

/// An error of this shape is one: neither `null`, nor `false`, nor empty.
fn is_an_error(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A body that is none, or an empty value.
fn says_nothing(body: &[u8]) -> bool {
    [&b""[..], b"null", b"{}", b"[]", b"\"\""].contains(&body.trim_ascii())
}

/// Some wrap an error into a list of one.
fn unwrapped(json: Value) -> Value {
    match json {
        Value::Array(mut all) if all.len() == 1 => all.pop().unwrap_or_default(),
        other => other,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Number(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// All words for machines.
fn collect(json: &Value, depth: u32, codes: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match json {
        Value::Object(fields) => {
            for name in CODE_FIELDS {
                let code = match fields.get(name) {
                    Some(Value::String(code)) => code.trim().to_owned(),
                    Some(Value::Number(code)) => code.to_string(),
                    _ => continue,
                };
                let is_word =
                    !code.is_empty() && code.len() <= MAX_CODE_CHARS && !code.contains(['\0', '\n']);
                if is_word && codes.len() < MAX_CODES {
                    codes.push(code);
                }
            }
            // What a provider behind it said has its own rules.
            fields
                .iter()
                .filter(|(name, _)| *name != "metadata")
                .for_each(|(_, inner)| collect(inner, depth, codes));
        }
        Value::Array(all) => all.iter().take(MAX_CODES).for_each(|inner| collect(inner, depth, codes)),
        _ => {}
    }
}

/// The sentence for people, wherever it is.
fn sentence(json: &Value, depth: u32) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match json {
        Value::String(text) => {
            let text: String = text.trim().chars().take(2 * MESSAGE_CHARS).collect();
            (!text.is_empty()).then_some(text)
        }
        Value::Array(all) => all.iter().take(MAX_CODES).find_map(|inner| sentence(inner, depth)),
        Value::Object(fields) => {
            // A name for machines in `error` stands beside the sentence for people.
            let own = MESSAGE_FIELDS.iter().find_map(|name| sentence(fields.get(*name)?, depth));
            let said = fields
                .get("error")
                .filter(|error| error.is_object() || error.is_array())
                .and_then(|error| sentence(error, depth))
                .or(own)
                .or_else(|| sentence(fields.get("error")?, depth));
            let field = fields
                .get("loc")
                .and_then(Value::as_array)
                .and_then(|loc| loc.last())
                .and_then(Value::as_str);
            match (said, field) {
                (Some(said), Some(field)) => Some(format!("{said} ({field})")),
                (said, _) => said,
            }
        }
        _ => None,
    }
}

/// The words of a body that is no JSON: the title of a page, or the text as it is.
fn text(body: &[u8]) -> Option<String> {
    let start = &body[..body.len().min(16 << 10)];
    let text = String::from_utf8_lossy(start);
    // A character that was cut in two, or many: bytes and no text.
    if text.chars().filter(|c| *c == '\u{fffd}').count() > 8 {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let is_page = lower.trim_start().starts_with('<');
    let within = |tag: &str| {
        let open = lower.find(&format!("<{tag}"))?;
        let start = open + lower[open..].find('>')? + 1;
        let end = start + lower[start..].find('<')?;
        Some(text[start..end].trim().to_owned()).filter(|t| !t.is_empty())
    };
    let said = match is_page {
        true => within("title").or_else(|| within("h1"))?,
        false => text.trim().to_owned(),
    };
    let said: String = said.chars().take(2 * MESSAGE_CHARS).collect();
    (!said.is_empty()).then_some(said)
}

/// What networks in front of a provider write, in JSON that resembles an error of the provider.
fn is_of_a_gateway(json: &Value) -> bool {
    ["cloudflare_error", "ray_id"].iter().any(|name| json.get(name).is_some())
}

/// The shape of most errors: an object with `error` or `detail`. What gateways write looks otherwise.
pub fn usual_shape(json: &Value) -> bool {
    ["error", "detail", "errors", "node_errors"].iter().any(|name| json.get(name).is_some_and(is_an_error))
}

#[cfg(test)]
mod tests;

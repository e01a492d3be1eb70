//! What fal's errors mean. A model's errors have a machine-readable type, those of the queue another one; neither the words
//! nor the status alone say what happened.

use serde_json::Value;

use crate::failure::Failure;
use crate::http::HttpResponse;
use crate::provider::{Rejection, by_status, text_at};

/// All types that an answer names: the model's, and the queue's in the body or in a header.
fn types<'a>(response: &'a HttpResponse, answer: &'a Value) -> Vec<&'a str> {
    let details = answer.get("detail").and_then(Value::as_array).into_iter().flatten();
    let mut types: Vec<&str> = details.filter_map(|d| text_at(d, &["/type"])).collect();
    types.extend(text_at(answer, &["/error_type"]));
    types.extend(response.header("x-fal-error-type"));
    types
}

/// The provider's own words.
pub(super) fn message(answer: &Value) -> &str {
    let places = ["/detail/0/msg", "/detail", "/error/message", "/error", "/message"];
    text_at(answer, &places).unwrap_or("no details")
}

/// The provider's own words, with the field they are about.
pub(super) fn described(response: &HttpResponse) -> String {
    let answer = response.json();
    let field = answer.pointer("/detail/0/loc").and_then(Value::as_array).and_then(|l| l.last());
    let field = field.and_then(Value::as_str).map(|f| format!(" ({f})")).unwrap_or_default();
    format!("HTTP {}: {}{field}", response.status, message(&answer))
}

/// What an answer that is no success means.
pub(super) fn of(response: &HttpResponse) -> Failure {
    let answer = response.json();
    let (types, words) = (types(response, &answer), message(&answer));
    let after = response.retry_after();
    if types.contains(&"content_policy_violation") {
        return Failure::Refused;
    }
    if words.contains("Exhausted balance") || words.contains("User is locked") {
        return Failure::OutOfCredit;
    }
    if matches!(response.status, 401 | 403) {
        return Failure::Unauthorized;
    }
    // A partner's quota, wrapped in whatever status.
    if words.contains("RESOURCE_EXHAUSTED") || answer.pointer("/error/code") == Some(&Value::from(429)) {
        return Failure::RateLimited { after };
    }
    if let Some(failure) = types.iter().find_map(|kind| of_type(kind, response)) {
        return failure;
    }
    match response.status {
        // A 504 without a type is not fal's own word: its gateway may have passed the request on.
        500 | 502 | 503 => unwell(response),
        _ => by_status(response),
    }
}

/// What a type means by itself; `None` where only the status says it.
fn of_type(kind: &str, response: &HttpResponse) -> Option<Failure> {
    match kind {
        "content_policy_violation" => Some(Failure::Refused),
        "request_timeout" | "startup_timeout" | "generation_timeout" => Some(unwell(response)),
        "downstream_service_unavailable" | "internal_server_error" => Some(unwell(response)),
        kind if kind.starts_with("runner_") => Some(unwell(response)),
        "downstream_service_error" if says_retry(response) == Some(true) => Some(unwell(response)),
        "downstream_service_error" => Some(Failure::Invalid),
        _ => None,
    }
}

/// A timeout or a fault of the service: worth another try, unless fal says that it is not.
fn unwell(response: &HttpResponse) -> Failure {
    let ours = response.header("x-fal-request-timeout-type") == Some("user");
    match says_retry(response) {
        Some(false) => Failure::Broken,
        _ if ours => Failure::Broken,
        _ => Failure::Overloaded { after: response.retry_after() },
    }
}

fn says_retry(response: &HttpResponse) -> Option<bool> {
    response.header("x-fal-retryable").map(|value| value.eq_ignore_ascii_case("true"))
}

/// Why a task is completed without a result, where its state already says so.
pub(super) fn of_completed(response: &HttpResponse, answer: &Value) -> Option<Rejection> {
    let failure = types(response, answer).iter().find_map(|kind| of_type(kind, response))?;
    Some(charged(failure, format!("the run failed: {}", message(answer))))
}

/// Whether an error in place of the result is the run's own and will stay. A gateway's error, a wrong key or too many
/// questions say nothing about the run.
pub(super) fn is_about_the_task(response: &HttpResponse, answer: &Value) -> bool {
    let types = types(response, answer);
    match response.status {
        400 | 413 | 422 => true,
        401..=404 | 429 => types.contains(&"content_policy_violation"),
        500 => !types.is_empty() || answer.get("detail").is_some(),
        _ => !types.is_empty(),
    }
}

/// The run's own error.
pub(super) fn of_result(response: &HttpResponse) -> Rejection {
    charged(of(response), described(response))
}

/// fal never charges for its own faults (5xx); a request that is refused or wrong may have cost time on a GPU.
fn charged(failure: Failure, message: String) -> Rejection {
    match failure {
        Failure::Overloaded { .. } | Failure::Broken => Rejection::free(failure, message),
        _ => Rejection::unknown(failure, message),
    }
}

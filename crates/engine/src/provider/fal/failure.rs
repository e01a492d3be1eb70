//! What fal's errors mean. A model's errors have a machine-readable type, those of the queue another one; neither the words
//! nor the status alone say what happened.

use crate::failure::Failure;
use crate::provider::error::ErrorAnswer;
use crate::provider::{Charge, Rejection};
use crate::verdict::Voice;

/// All types that an answer names: the model's, and the queue's in the body or in a header.
fn types<'a>(error: &'a ErrorAnswer<'_>) -> impl Iterator<Item = &'a str> {
    error.codes.iter().map(String::as_str).chain(error.response.header("x-fal-error-type"))
}

/// What an answer that is no success means, where fal means something of its own.
pub(super) fn of(error: &ErrorAnswer<'_>) -> Option<Failure> {
    let after = error.after;
    if types(error).any(|kind| kind == "content_policy_violation") {
        return Some(Failure::Refused);
    }
    if error.says(&["exhausted balance", "user is locked"]) {
        return Some(Failure::OutOfCredit);
    }
    if matches!(error.status, 401 | 403) {
        return None;
    }
    // A partner's quota, wrapped in whatever status.
    if error.message.contains("RESOURCE_EXHAUSTED")
        || error.json.pointer("/error/code").is_some_and(|code| *code == 429)
    {
        return Some(Failure::RateLimited { after });
    }
    types(error).find_map(|kind| of_type(kind, error))
}

/// What a type means by itself; `None` where only the status says it.
fn of_type(kind: &str, error: &ErrorAnswer<'_>) -> Option<Failure> {
    match kind {
        "content_policy_violation" => Some(Failure::Refused),
        // fal's own faults are never charged (fal documentation, "errors"), so they can be asked for again. A 5xx without a
        // type is not fal's own word: its gateway may have passed the request on.
        "request_timeout" | "startup_timeout" | "generation_timeout" => Some(unwell(error)),
        "downstream_service_unavailable" | "internal_server_error" => Some(unwell(error)),
        kind if kind.starts_with("runner_") => Some(unwell(error)),
        "downstream_service_error" if says_retry(error) == Some(true) => Some(unwell(error)),
        "downstream_service_error" => Some(Failure::Invalid),
        _ => None,
    }
}

/// A timeout or a fault of the service: worth another try, unless fal says that it is not.
fn unwell(error: &ErrorAnswer<'_>) -> Failure {
    let ours = error.response.header("x-fal-request-timeout-type") == Some("user");
    match says_retry(error) {
        Some(false) => Failure::Broken,
        _ if ours => Failure::Broken,
        _ => Failure::Overloaded { after: error.after },
    }
}

fn says_retry(error: &ErrorAnswer<'_>) -> Option<bool> {
    error.response.header("x-fal-retryable").map(|value| value.eq_ignore_ascii_case("true"))
}

/// Why a task is completed without a result, where its state already says so.
pub(super) fn of_completed(error: &ErrorAnswer<'_>) -> Option<Rejection> {
    let failure = types(error).find_map(|kind| of_type(kind, error))?;
    let failed = failure.because(format!("the run failed: {}", error.message));
    Some(of_result(Rejection { failed, charge: Charge::Unknown }))
}

/// Whether an error in place of the result is the run's own and will stay. A gateway's error, a wrong key or too many
/// questions say nothing about the run.
pub(super) fn is_about_the_task(error: &ErrorAnswer<'_>) -> bool {
    let is_typed = types(error).any(|kind| of_type(kind, error).is_some())
        || error.response.header("x-fal-error-type").is_some();
    match error.status {
        400 | 413 | 422 => error.voice == Voice::Provider,
        401..=404 | 429 => types(error).any(|kind| kind == "content_policy_violation"),
        500 => is_typed || error.json.get("detail").is_some(),
        _ => is_typed,
    }
}

/// The run's own error: fal never charges for its own faults; a request that is refused or wrong may have cost time on a GPU.
pub(super) fn of_result(rejection: Rejection) -> Rejection {
    let charge = match rejection.failed.failure {
        Failure::Overloaded { .. } | Failure::Broken => Charge::Free,
        _ => Charge::Unknown,
    };
    Rejection { charge, ..rejection }
}

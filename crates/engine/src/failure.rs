//! What went wrong, by what to do about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The error codes that users see: in `jobs.error_code`, in `attempts.error_code` and in notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// This prompt, input image or output was refused.
    SafetyFilter,
    /// The account, organisation or region is refused, whatever the prompt.
    PolicyBlock,
    /// The role of the job may not use what it would need.
    NotAllowed,
    /// A rule of this database keeps the prompt from being sent.
    ContentPolicy,
    /// Too many requests; the provider said so.
    RateLimited,
    /// The provider cannot work now, or could not be reached.
    Overloaded,
    /// The provider took longer than we wait.
    Timeout,
    /// No key, or a key that is not accepted.
    Auth,
    /// The account at the provider is out of credit.
    InsufficientCredits,
    /// The provider understood the request and rejects it.
    InvalidRequest,
    /// The provider cannot do this operation.
    NotSupported,
    /// The thing asked for does not exist at the provider.
    NotFound,
    /// The model was shut down.
    ModelGone,
    /// An answer that makes no sense, or a failure the provider does not explain.
    ProviderError,
    /// Sent, and it is unknown whether it was accepted. Never sent again by itself.
    Uncertain,
    /// More money than allowed.
    BudgetExceeded,
    /// The job's deadline passed before it was sent.
    DeadlineExceeded,
    /// Cancelled by a user.
    Canceled,
    /// The worker died several times with the job in hand.
    WorkerDied,
    /// None of the above.
    Unknown,
}

impl ErrorCode {
    /// The code as users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::SafetyFilter => "safety_filter",
            ErrorCode::PolicyBlock => "policy_block",
            ErrorCode::NotAllowed => "not_allowed",
            ErrorCode::ContentPolicy => "content_policy",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Auth => "auth",
            ErrorCode::InsufficientCredits => "insufficient_credits",
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::NotSupported => "not_supported",
            ErrorCode::NotFound => "not_found",
            ErrorCode::ModelGone => "model_gone",
            ErrorCode::ProviderError => "provider_error",
            ErrorCode::Uncertain => "uncertain",
            ErrorCode::BudgetExceeded => "budget_exceeded",
            ErrorCode::DeadlineExceeded => "deadline_exceeded",
            ErrorCode::Canceled => "canceled",
            ErrorCode::WorkerDied => "worker_died",
            ErrorCode::Unknown => "unknown",
        }
    }
}

/// A failure of one call. The variant says what can be done about it; [`crate::retry`] is the one place
/// that decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// This prompt or image was refused: only a changed prompt or another model can help.
    Refused,
    /// The account is refused whatever the prompt.
    PolicyBlocked,
    /// The role of the job may not use what it would need; nothing was sent.
    NotAllowed,
    /// A rule of this database keeps the prompt from being sent.
    Content,
    /// Come back later; nothing was started.
    RateLimited {
        /// How long the provider asked us to wait.
        after: Option<Duration>,
    },
    /// The provider is unwell, or the request provably never left: nothing was started.
    Overloaded {
        /// How long the provider asked us to wait.
        after: Option<Duration>,
    },
    /// No key, or a wrong one.
    Unauthorized,
    /// Nothing left on the account.
    OutOfCredit,
    /// The request itself is wrong.
    Invalid,
    /// The provider does not offer the operation.
    NotSupported,
    /// The model is gone; another one may do.
    ModelGone,
    /// A task or result that should exist does not.
    NotFound,
    /// Accepted, and not finished within the time we wait.
    TimedOut,
    /// The provider says that it failed, or succeeded without an image.
    Broken,
    /// An answer that makes no sense. A poll is asked again; a submission is not.
    Garbled,
    /// Sent, and no answer: it may have been accepted and billed.
    Uncertain,
    /// A budget does not allow the call; nothing was sent.
    OverBudget,
    /// The deadline passed before anything was sent.
    DeadlineExceeded,
    /// A user cancelled the job.
    Canceled,
}

impl Failure {
    /// The code that users see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Failure::Refused => ErrorCode::SafetyFilter,
            Failure::PolicyBlocked => ErrorCode::PolicyBlock,
            Failure::NotAllowed => ErrorCode::NotAllowed,
            Failure::Content => ErrorCode::ContentPolicy,
            _ if self.is_used_up_quota() => ErrorCode::InsufficientCredits,
            Failure::RateLimited { .. } => ErrorCode::RateLimited,
            Failure::Overloaded { .. } => ErrorCode::Overloaded,
            Failure::Unauthorized => ErrorCode::Auth,
            Failure::OutOfCredit => ErrorCode::InsufficientCredits,
            Failure::Invalid => ErrorCode::InvalidRequest,
            Failure::NotSupported => ErrorCode::NotSupported,
            Failure::ModelGone => ErrorCode::ModelGone,
            Failure::NotFound => ErrorCode::NotFound,
            Failure::TimedOut => ErrorCode::Timeout,
            Failure::Broken | Failure::Garbled => ErrorCode::ProviderError,
            Failure::Uncertain => ErrorCode::Uncertain,
            Failure::OverBudget => ErrorCode::BudgetExceeded,
            Failure::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            Failure::Canceled => ErrorCode::Canceled,
        }
    }

    /// True when the provider turns calls away for hours: a quota of the account is used up.
    pub fn is_used_up_quota(&self) -> bool {
        matches!(self, Failure::RateLimited { after: Some(after) } if *after >= crate::retry::QUOTA)
    }

    /// Puts a message for people beside the failure.
    pub fn because(self, message: impl Into<String>) -> Failed {
        Failed { failure: self, message: excerpt(&message.into()) }
    }
}

/// A [`Failure`] with the sentence that explains it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// What to do about it.
    pub failure: Failure,
    /// What a person should read: short, one line, without secrets.
    pub message: String,
}

/// The longest message kept from a provider, in characters.
pub const MESSAGE_CHARS: usize = 500;

/// Text from outside made fit to store and to log: one line, no control characters (a NUL cannot be stored
/// in Postgres, a newline forges log lines), cut at [`MESSAGE_CHARS`], query strings of URLs removed because
/// signed URLs are secrets.
pub fn excerpt(text: &str) -> String {
    // What is cut away in the end is not worked on.
    let end = text.char_indices().nth(16 * MESSAGE_CHARS).map_or(text.len(), |(at, _)| at);
    let text = &text[..end];
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        match word.split_once('?') {
            Some((before, _)) if word.contains("://") => {
                line.push_str(before);
                line.push_str("?...");
            }
            _ => line.push_str(word),
        }
    }
    // The dots count too.
    if line.char_indices().nth(MESSAGE_CHARS).is_some() {
        let at = line.char_indices().nth(MESSAGE_CHARS - 3).map_or(0, |(at, _)| at);
        line.truncate(at);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_cut_to_one_printable_line() {
        assert_eq!(excerpt("a\n b\0c\r\n\u{7f}d "), "a b c d");
        assert_eq!(excerpt("see https://cdn/x.png?sig=secret now"), "see https://cdn/x.png?... now");
        assert_eq!(excerpt("why? because"), "why? because");
        let long = excerpt(&"é".repeat(10_000));
        assert_eq!(long.chars().count(), MESSAGE_CHARS);
    }

    #[test]
    fn a_code_reads_the_same_in_json_and_in_text() {
        for code in [ErrorCode::SafetyFilter, ErrorCode::ModelGone, ErrorCode::DeadlineExceeded] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}

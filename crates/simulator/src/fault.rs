//! What can be made to go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When a safety filter speaks up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The prompt is refused before anything is drawn.
    #[serde(alias = "input")]
    Request,
    /// The drawn image is refused.
    #[default]
    #[serde(alias = "output")]
    Content,
}

/// One thing that goes wrong, in JSON `{"kind": "rate_limited", "retry_after": 2}`, or just `"hang"` where nothing need be said.
///
/// *Accepted* means: the provider took the request, draws it, and bills it by its own rules. Faults marked **before** keep the
/// request from being accepted; all others let it through first, so an invalid request is still not accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The safety filter refuses, at the configured stage if none is given.
    Refuse {
        /// When it refuses.
        #[serde(default)]
        stage: Option<Stage>,
    },
    /// **before**: 429 in the provider's own words.
    RateLimited {
        /// The `Retry-After` header: a number of seconds, or any text (an HTTP date, or nonsense) as it is. Absent: no header.
        #[serde(default)]
        retry_after: Option<Value>,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// **before**: this HTTP status.
    Status {
        /// The status code.
        code: u16,
        /// The body: JSON, or text as it is if it is a string. Absent: the provider's own error shape.
        #[serde(default)]
        body: Option<Value>,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// **before**: a redirect.
    Redirect {
        /// Where to.
        to: String,
        /// 307 unless told.
        #[serde(default)]
        code: Option<u16>,
    },
    /// Accepted, then no answer, ever.
    Hang,
    /// **before**: no answer, ever.
    HangBeforeAccept,
    /// Accepted, then the connection is closed without one byte of an answer.
    DropAfterAccept,
    /// **before**: the connection is closed without one byte of an answer.
    DropBeforeAccept,
    /// The headers and half of the body, then the connection is closed.
    DropMidBody,
    /// The whole answer, its body trickling for this long.
    SlowBody {
        /// From the first byte of the body to the last.
        seconds: f64,
    },
    /// The whole answer, this much later.
    SlowResponse {
        /// On top of the render time.
        seconds: f64,
    },
    /// 200 with a body that does not parse.
    Garbage,
    /// The right bytes, called `text/html`.
    WrongContentType,
    /// A success without an image: no images, or a null one.
    Empty,
    /// At a submission: the task ends in an error, unbilled. At a poll: this one answer says so.
    TaskError,
    /// At a submission: the task is lost, unbilled. At a poll: this one answer says so.
    TaskNotFound,
    /// At a submission: the task stays pending for ever, unbilled. At a poll: this one answer says so.
    NeverReady,
    /// 200 with a body of this size, streamed without a `Content-Length`.
    Oversized {
        /// The size of the body.
        bytes: u64,
    },
    /// The status of a task under the key `state` instead of `status`.
    StateKey,
}

impl Fault {
    /// The name used in JSON and in the ledger.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refuse { .. } => "refuse",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Hang => "hang",
            Self::HangBeforeAccept => "hang_before_accept",
            Self::DropAfterAccept => "drop_after_accept",
            Self::DropBeforeAccept => "drop_before_accept",
            Self::DropMidBody => "drop_mid_body",
            Self::SlowBody { .. } => "slow_body",
            Self::SlowResponse { .. } => "slow_response",
            Self::Garbage => "garbage",
            Self::WrongContentType => "wrong_content_type",
            Self::Empty => "empty",
            Self::TaskError => "task_error",
            Self::TaskNotFound => "task_not_found",
            Self::NeverReady => "never_ready",
            Self::Oversized { .. } => "oversized",
            Self::StateKey => "state_key",
        }
    }

    /// Whether the provider itself plays this fault, in its own protocol, rather than the connection.
    pub(crate) fn is_providers(&self) -> bool {
        use Fault::*;
        matches!(self, Refuse { .. } | Empty | TaskError | TaskNotFound | NeverReady | StateKey)
    }
}

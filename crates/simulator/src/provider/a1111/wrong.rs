//! The server's three ways to say no.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;

/// An error answer.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    body: Value,
    outcome: &'static str,
}

impl Wrong {
    /// FastAPI's own.
    pub(super) fn detail(status: StatusCode, text: &str) -> Self {
        Self { status, body: json!({ "detail": text }), outcome: "rejected" }
    }

    /// A field that does not validate.
    pub(super) fn field(name: &str, text: &str) -> Self {
        let kind = match text {
            "field required" => "value_error.missing",
            _ if text.starts_with("value is not a valid") => "type_error",
            _ => "value_error",
        };
        let detail = json!([{"loc": ["body", name], "msg": text, "type": kind}]);
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body: json!({ "detail": detail }),
            outcome: "rejected",
        }
    }

    /// One that the web UI raises on purpose.
    pub(super) fn raised(status: StatusCode, text: &str) -> Self {
        let body = json!({"error": "HTTPException", "detail": text, "body": "", "errors": ""});
        Self { status, body, outcome: "rejected" }
    }

    /// Any other exception.
    pub(super) fn crash(class: &str, text: &str) -> Self {
        let body = json!({"error": class, "detail": "", "body": "", "errors": text});
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, body, outcome: "rejected" }
    }

    /// The image is larger than the graphics card's memory.
    pub(super) fn out_of_memory() -> Self {
        let text = "CUDA out of memory. Tried to allocate 32.00 GiB (GPU 0; 24.00 GiB total capacity)";
        Self::crash("OutOfMemoryError", text).failed()
    }

    /// Not the client's fault.
    pub(super) fn failed(self) -> Self {
        Self { outcome: "failed", ..self }
    }

    pub(super) fn to_json(&self) -> Value {
        self.body.clone()
    }

    pub(super) fn answer(self) -> Answer {
        let answer = Answer::json(self.status, self.outcome, self.body);
        if self.status == StatusCode::UNAUTHORIZED {
            answer.header("www-authenticate", "Basic")
        } else {
            answer
        }
    }
}

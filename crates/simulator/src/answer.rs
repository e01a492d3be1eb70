//! What a provider says to a request.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::material::Material;
use crate::picture::Picture;

/// Builds the final body from the files of the images, in order.
pub(crate) type Finish = Box<dyn FnOnce(Vec<Bytes>) -> Bytes + Send>;

/// The body of an answer.
pub(crate) enum Content {
    /// JSON.
    Json(Value),
    /// Bytes of some type.
    Bytes(&'static str, Bytes),
    /// To be made from images, which are drawn only when the answer is sent.
    Drawn { media_type: &'static str, pictures: Vec<Picture>, finish: Finish },
}

impl Content {
    /// The first of these images as a file, or an empty one if there is none.
    pub(crate) fn file(media_type: &'static str, pictures: Vec<Picture>) -> Self {
        let finish = |files: Vec<Bytes>| files.into_iter().next().unwrap_or_default();
        Self::Drawn { media_type, pictures, finish: Box::new(finish) }
    }
}

/// When an answer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// After this time.
    After(Duration),
    /// Never.
    Never,
}

/// What a provider says to a request, and what it means for the ledger.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    pub content: Content,
    pub when: When,
    /// As in [`crate::ledger::Entry::outcome`].
    pub outcome: &'static str,
    pub accepted: bool,
    pub refused: bool,
    pub billed: Option<Decimal>,
    pub seed: Option<u64>,
    pub remote_id: Option<String>,
    /// The images that came with the request.
    pub inputs: Vec<Material>,
    /// How many images are being drawn, if the provider looked.
    pub in_flight: Option<usize>,
}

impl Answer {
    /// An answer at once.
    pub(crate) fn json(status: StatusCode, outcome: &'static str, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Json(body),
            when: When::After(Duration::ZERO),
            outcome,
            accepted: false,
            refused: false,
            billed: None,
            seed: None,
            remote_id: None,
            inputs: Vec::new(),
            in_flight: None,
        }
    }

    /// 200 at once.
    pub(crate) fn ok(outcome: &'static str, body: Value) -> Self {
        Self::json(StatusCode::OK, outcome, body)
    }

    /// A request turned down.
    pub(crate) fn rejected(status: StatusCode, body: Value) -> Self {
        Self::json(status, "rejected", body)
    }

    /// A request turned down in something else than JSON.
    pub(crate) fn rejected_as(status: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Self {
        let mut answer = Self::rejected(status, Value::Null);
        answer.content = Content::Bytes(media_type, text.into());
        answer
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

//! The trait of an adapter and the one table of adapters.
//!
//! An adapter is two pure translations: from a job to an HTTP request, and from an HTTP response to what it
//! means. To add a provider, write `provider/<name>.rs` and its line in [`TABLE`].

mod bfl;
mod openai;
mod preview;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::candidate::Candidate;
use crate::cost::{Cost, Tokens};
use crate::failure::{Failed, Failure};
use crate::http::{HttpRequest, HttpResponse};
use crate::job::{Invalid, Operation, Request, Warning};

/// All adapters. Documentation, conformance tests, fuzzing and routing follow from this table.
pub const TABLE: &[&dyn Provider] = &[&bfl::Bfl, &openai::OpenAi, &preview::Preview];

/// The adapter of a kind.
pub fn find(kind: &str) -> Option<&'static dyn Provider> {
    TABLE.iter().copied().find(|p| p.kind() == kind)
}

/// One call to one provider: what an adapter translates.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What to do.
    pub operation: Operation,
    /// With what.
    pub request: &'a Request,
    /// Where.
    pub candidate: &'a Candidate,
}

/// How a job reaches a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Submission {
    /// Over HTTP.
    Http(HttpRequest),
    /// Not at all: the adapter draws it itself.
    Local,
}

/// A submission and what it leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What to send.
    pub submission: Submission,
    /// What the caller asked for and will not get.
    pub warnings: Vec<Warning>,
    /// True when the request carries the seed.
    pub seed_honored: bool,
    /// The quality in the provider's own word, for the price table.
    pub quality: Option<String>,
}

/// A task accepted by a provider. It is committed before the first poll, so that a crash resumes it
/// instead of paying for another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// The provider's id of the task.
    pub id: String,
    /// Where to ask for it, exactly as the provider said.
    pub poll_url: String,
}

/// Where the bytes of a picture are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// In the answer.
    Inline(Vec<u8>),
    /// At a URL that needs no key.
    Url {
        /// The URL.
        url: String,
        /// How long it works from now on, as the provider documents it.
        lifetime: Option<Duration>,
    },
}

/// A finished task.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// At least one picture.
    pub pictures: Vec<Source>,
    /// The seed as the provider reports it.
    pub seed: Option<i64>,
    /// The prompt after the provider's own rewriting.
    pub revised_prompt: Option<String>,
    /// What it cost, where the answer says so.
    pub cost: Option<Cost>,
    /// Token counts, where the answer has them.
    pub tokens: Option<Tokens>,
    /// How long the rendering itself took, where the answer says so.
    pub render_seconds: Option<f64>,
}

/// What a response means.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Taken on; ask again later.
    Accepted {
        /// The task.
        remote: Remote,
        /// What it costs, where the answer says so.
        cost: Option<Cost>,
    },
    /// Not finished yet.
    Pending {
        /// How long the provider asks us to wait.
        after: Option<Duration>,
    },
    /// Finished.
    Finished(Output),
}

/// A failed call, with what the provider charges for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// What went wrong.
    pub failed: Failed,
    /// What it cost: free where the provider's rules say so, unknown where they do not.
    pub cost: Cost,
}

impl Rejection {
    /// A failure that the provider does not charge for.
    pub fn free(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), cost: Cost::free() }
    }

    /// A failure that the provider may charge for.
    pub fn unknown(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), cost: Cost::unknown() }
    }
}

/// An adapter: pure, without I/O, clock or randomness.
pub trait Provider: Sync {
    /// Its name in `providers.kind`.
    fn kind(&self) -> &'static str;

    /// Where the real service is.
    fn base_url(&self) -> &'static str;

    /// The name of its key; `None` for a provider without keys.
    fn key_name(&self) -> Option<&'static str>;

    /// Domains whose hosts belong to the provider and may see its key.
    fn own_domains(&self) -> &'static [&'static str] {
        &[]
    }

    /// The request for a job. An error means that this candidate cannot do it, and nothing was sent.
    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid>;

    /// The meaning of the answer to [`Provider::prepare`].
    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection>;

    /// The question about an accepted task. Providers that answer at once are never asked.
    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, None)
    }

    /// The meaning of the answer to [`Provider::poll`].
    fn read_poll(&self, response: &HttpResponse) -> Result<Reply, Rejection> {
        self.read_error(response)
    }

    /// Draws the picture of a [`Submission::Local`].
    fn draw(&self, _call: &Call<'_>) -> Result<Output, Rejection> {
        Err(Rejection::free(Failure::NotSupported, "this provider draws nothing itself"))
    }

    /// The meaning of a status that is not success.
    fn read_error(&self, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(Rejection::free(by_status(response), format!("HTTP {}", response.status)))
    }
}

/// The base URL of a candidate, without a final slash.
pub fn base_url<'a>(provider: &dyn Provider, candidate: &'a Candidate) -> &'a str {
    let default: &'static str = provider.base_url();
    candidate.base_url.as_deref().unwrap_or(default).trim_end_matches('/')
}

/// The name of a candidate's key.
pub fn key_name<'a>(provider: &dyn Provider, candidate: &'a Candidate) -> Option<&'a str> {
    candidate.key_name.as_deref().or(provider.key_name())
}

/// What an HTTP status says where the body says nothing more precise.
fn by_status(response: &HttpResponse) -> Failure {
    match response.status {
        401 | 403 => Failure::Unauthorized,
        402 => Failure::OutOfCredit,
        404 => Failure::NotFound,
        408 | 425 | 429 => Failure::RateLimited { after: response.retry_after() },
        410 => Failure::ModelGone,
        400..=499 => Failure::Invalid,
        500..=599 => Failure::Overloaded { after: response.retry_after() },
        _ => Failure::Broken,
    }
}

/// The warnings that every adapter gives for what it does not carry. `carried` names what it does, or what it
/// warns about itself.
fn common_warnings(call: &Call<'_>, carried: &[&str]) -> Vec<Warning> {
    let request = call.request;
    let asked = [
        ("negative_prompt", request.negative_prompt.is_some()),
        ("quality", request.quality.is_some()),
        ("steps", request.steps.is_some()),
        ("guidance", request.guidance.is_some()),
    ];
    let mut warnings: Vec<Warning> = asked
        .into_iter()
        .filter(|(name, asked)| *asked && !carried.contains(name))
        .map(|(name, _)| call.candidate.unsupported(name))
        .collect();
    if !carried.contains(&"seed") {
        let message =
            format!("{} takes no seed: the picture cannot be repeated exactly", call.candidate.name());
        warnings.push(Warning::new("seed_ignored", message));
    }
    if request.reference_image.is_some() && !carried.contains(&"reference_image") {
        let message = format!("{} does not use a reference image", call.candidate.name());
        warnings.push(Warning::new("reference_ignored", message));
    }
    warnings
}

/// For an adapter that only makes new pictures.
fn only_generates(call: &Call<'_>) -> Result<(), Invalid> {
    if call.operation == Operation::Generate {
        return Ok(());
    }
    Err(Invalid::new(
        format!("{} only generates", call.candidate.name()),
        "Choose a model whose operations include this one, see image_gen.models.",
    ))
}

/// Passes the caller's options of these names on; each of the others is a warning.
fn pass_options(call: &Call<'_>, known: &[&str], body: &mut Map<String, Value>, warnings: &mut Vec<Warning>) {
    for (name, value) in &call.request.options {
        if known.contains(&name.as_str()) {
            body.insert(name.clone(), value.clone());
        } else {
            warnings.push(call.candidate.unsupported(&format!("option {name}")));
        }
    }
}

/// The first non-empty string at one of these JSON pointers.
fn text_at<'a>(json: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers.iter().find_map(|p| json.pointer(p).and_then(Value::as_str)).filter(|s| !s.is_empty())
}

/// A JSON number as an exact decimal: its digits, not its double.
fn decimal(value: &Value) -> Option<rust_decimal::Decimal> {
    let text = match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        _ => return None,
    };
    let parsed = text.parse().or_else(|_| rust_decimal::Decimal::from_scientific(&text));
    parsed.ok().filter(|d: &rust_decimal::Decimal| !d.is_sign_negative())
}

#[cfg(test)]
mod testing {
    //! Values that the adapters' tests share.
    use super::*;

    pub fn request(json: Value) -> Request {
        serde_json::from_value(json).unwrap()
    }

    pub fn call<'a>(request: &'a Request, candidate: &'a Candidate) -> Call<'a> {
        Call { operation: Operation::Generate, request, candidate }
    }

    pub fn answer(status: u16, body: Value) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    pub fn flux() -> Candidate {
        serde_json::from_value(serde_json::json!({
            "provider": "bfl", "kind": "bfl", "model": "flux-1.1-pro", "remote_name": "flux-pro-1.1",
            "operations": ["generate"], "parameters": {"seed": true}, "typical_seconds": 9,
            "sizes": {"free": {"min": 256, "max": 1440, "step": 32, "default": [1024, 768]}},
            "prices": [{"unit": "image", "amount": "0.04"}]
        }))
        .unwrap()
    }

    pub fn gpt_image() -> Candidate {
        serde_json::from_value(serde_json::json!({
            "provider": "openai", "kind": "openai", "model": "gpt-image-2.6-flare",
            "remote_name": "gpt-image-2.6-flare", "operations": ["generate"], "typical_seconds": 10, "max_n": 10,
            "parameters": {"quality": ["low", "medium", "high", "xhigh", "max"]},
            "sizes": {"free": {"min": 480, "max": 3840, "step": 16, "min_pixels": 655360, "max_pixels": 8294400,
                               "default": [1024, 1024]}}
        }))
        .unwrap()
    }
}

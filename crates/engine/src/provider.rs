//! The trait of an adapter and the one table of adapters.
//!
//! An adapter is two pure translations: from a job to an HTTP request, and from an HTTP response to what it
//! means. To add a provider, write `provider/<name>.rs`, its models in `provider/<name>/catalogue.toml`, and its line in [`TABLE`].

mod a1111;
mod answer;
mod balance;
mod bfl;
mod comfyui;
mod error;
mod fal;
mod google;
mod ideogram;
mod openai;
mod openrouter;
mod plan;
mod preview;
pub mod probe;
pub mod refusal;
mod replicate;
mod request_builder;
mod stability;
mod text;

use std::collections::BTreeMap;

pub use answer::{Charge, Output, Rejection, Remote, Reply, Source};
pub use balance::Balance;
pub use error::{ErrorAnswer, OUT_OF_CREDIT, OUT_OF_CREDIT_WORDS};
pub use plan::{calls, can, expected_cost, expected_total, expected_work, first_call, plan, task_at};
use serde_json::{Map, Value};
use text::{decimal, is_path, seed_of, segment, task_id, text_at};

use crate::candidate::{Candidate, Parameter};
use crate::failure::Failure;
use crate::http::{Body, Content, HttpRequest, HttpResponse};
use crate::input::Inputs;
use crate::job::{Invalid, Request, Task, Warning};
use crate::size::Size;
use crate::verdict::Documented;

/// All adapters. Documentation, conformance tests, fuzzing and routing follow from this table.
pub const TABLE: &[&dyn Provider] = &[
    &bfl::Bfl,
    &openai::OpenAi,
    &stability::Stability,
    &fal::Fal,
    &replicate::Replicate,
    &openrouter::OpenRouter,
    &google::Google,
    &ideogram::Ideogram,
    &a1111::A1111,
    &comfyui::ComfyUi,
    &preview::Preview,
];

/// The adapter of a kind.
pub fn find(kind: &str) -> Option<&'static dyn Provider> {
    TABLE.iter().copied().find(|p| p.kind() == kind)
}

/// One call to one provider: what an adapter translates.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What to do.
    pub task: Task,
    /// With what.
    pub request: &'a Request,
    /// Where.
    pub candidate: &'a Candidate,
    /// The images that go in; stand-ins while the call is only planned.
    pub inputs: &'a Inputs,
    /// What prerequisites brought back, by their names.
    pub found: &'a BTreeMap<String, String>,
    /// Names this attempt: the same for the same attempt after a crash, different for every other one.
    pub tag: &'a str,
}

impl<'a> Call<'a> {
    /// What a prerequisite brought back.
    pub fn found(&self, name: &str) -> Option<&'a str> {
        self.found.get(name).map(String::as_str)
    }
}

/// Something to be fetched or uploaded before a job can be submitted. It costs nothing and can be repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Prerequisite {
    /// Under which name the result is found.
    pub name: &'static str,
    /// What to send.
    pub request: HttpRequest,
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
    /// The size that will be made, as far as known before.
    pub size: Option<Size>,
    /// True when the request names that size in pixels: then the bill follows it, whatever comes back.
    pub sized: bool,
}

/// An adapter: pure, without I/O, clock or randomness.
pub trait Provider: Sync {
    /// Its name in `providers.kind`.
    fn kind(&self) -> &'static str;

    /// Its data file: the provider as shipped, its models and their list prices ([`crate::catalogue`]).
    fn catalogue(&self) -> &'static str;

    /// Where the real service is.
    fn base_url(&self) -> &'static str;

    /// The name of its key; `None` for a provider without keys.
    fn key_name(&self) -> Option<&'static str>;

    /// Domains whose hosts belong to the provider and may see its key.
    fn own_domains(&self) -> &'static [&'static str] {
        &[]
    }

    /// The name of the setting that says where it is, for a server of one's own.
    fn address_name(&self) -> Option<&'static str> {
        None
    }

    /// What is wrong with a row of the catalogue, beside what its columns say: found out when it is written.
    fn check_model(
        &self,
        _fixed: &Map<String, Value>,
        _parameters: &BTreeMap<String, Parameter>,
    ) -> Result<(), Invalid> {
        Ok(())
    }

    /// The next thing to fetch or upload before [`Provider::prepare`], until there is none.
    fn prerequisite(&self, _call: &Call<'_>) -> Result<Option<Prerequisite>, Invalid> {
        Ok(None)
    }

    /// What the answer to a prerequisite brought back.
    fn read_prerequisite(&self, _name: &str, response: &HttpResponse) -> Result<String, Rejection> {
        Err(self.read_error(response))
    }

    /// The request for a job. While a call is only planned, what prerequisites bring is not there. An error means that this candidate cannot do it, and nothing was sent.
    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid>;

    /// The meaning of the answer to [`Provider::prepare`].
    fn read_submit(&self, call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection>;

    /// The task that the call of this name began, for a provider at which we choose the ids: when no answer came, it is asked for,
    /// and is there or never arrived. `base` is the provider's base URL.
    fn named_task(&self, _base: &str, _tag: &str) -> Option<Remote> {
        None
    }

    /// The question about an accepted task. Providers that answer at once are never asked.
    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, None)
    }

    /// The meaning of the answer to [`Provider::poll`].
    fn read_poll(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }

    /// The meaning of the answer to a [`Reply::Ask`].
    fn read_result(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }

    /// How long the rendering took, where the answer to [`Provider::poll`] says so and not the one with the result.
    fn read_seconds(&self, _response: &HttpResponse) -> Option<f64> {
        None
    }

    /// The request that calls an accepted task off, where the provider can.
    fn cancel(&self, _remote: &Remote) -> Option<HttpRequest> {
        None
    }

    /// What else is to be sent for that, after the answer to the first request of it (`step` 0), the second, and so on.
    fn cancel_further(&self, _remote: &Remote, _step: u32, _answer: &HttpResponse) -> Option<HttpRequest> {
        None
    }

    /// The question for what is left on the account, where the provider answers that. `base` is where the provider is.
    fn balance(&self, _base: &str) -> Option<HttpRequest> {
        None
    }

    /// The meaning of the answer to [`Provider::balance`]; `None` where it says none, or the key may not ask.
    fn read_balance(&self, _response: &HttpResponse) -> Option<Balance> {
        None
    }

    /// A free question that only a right key gets an answer to, or of a server without keys one that only a healthy server
    /// answers. `None` where the provider documents none. `base` is where the provider is.
    fn probe(&self, base: &str) -> Option<HttpRequest> {
        self.balance(base)
    }

    /// Whether it draws its images itself, and so is asked only where it is named or stands in for others.
    fn draws(&self) -> bool {
        false
    }

    /// Draws the image of a [`Submission::Local`].
    fn draw(&self, _call: &Call<'_>) -> Result<Output, Rejection> {
        Err(Rejection::free(Failure::NotSupported, "this provider draws nothing itself"))
    }

    /// Whether calls cost money. Where they do not, what is lost is simply made again.
    fn bills(&self) -> bool {
        true
    }

    /// Whether this JSON has the shape of the provider's own errors: what a gateway in front of it writes has another.
    fn speaks(&self, json: &Value) -> bool {
        error::usual_shape(json)
    }

    /// What only this provider means by an error; `None` where its words mean the same as everywhere.
    fn own_word(&self, _error: &ErrorAnswer<'_>) -> Option<Failure> {
        None
    }

    /// Statuses after which more may be done than [`crate::verdict`] says, because the provider documents it.
    fn documented(&self) -> &'static [Documented] {
        &[]
    }

    /// Whether the provider documents that such a refusal is not charged.
    fn refuses_for_free(&self, _error: &ErrorAnswer<'_>) -> bool {
        false
    }

    /// The sentence about an error, where the provider puts it together in its own way.
    fn describe(&self, _error: &ErrorAnswer<'_>) -> Option<String> {
        None
    }

    /// The meaning of an answer that is no success, at a request that costs money.
    fn read_error(&self, response: &HttpResponse) -> Rejection {
        error::rejection(self, response)
    }
}

/// What is wrong with a row of `image_gen.models`, of a kind that has more to say to it than its columns. `fixed` and
/// `parameters` are as the row has them.
pub fn check_model(kind: &str, fixed: &Value, parameters: &Value) -> Result<(), Invalid> {
    let Some(adapter) = find(kind) else { return Ok(()) };
    let hint = "Compare it with the comments of the columns of image_gen.models.";
    let parameters = serde_json::from_value(parameters.clone())
        .map_err(|e| Invalid::new(format!("parameters is not understood: {e}"), hint))?;
    adapter.check_model(fixed.as_object().unwrap_or(&Map::new()), &parameters)
}

/// Whether a provider of this kind sends no bill: it is one's own machine, or none at all.
pub fn is_local(kind: &str) -> bool {
    find(kind).is_some_and(|provider| !provider.bills())
}

/// Whether a provider of this kind draws its images itself.
pub fn draws(kind: &str) -> bool {
    find(kind).is_some_and(|provider| provider.draws())
}

/// Whether a call costs nothing, whatever becomes of it: no bill comes, and no price of one's own says otherwise.
pub fn is_free(candidate: &Candidate) -> bool {
    is_local(&candidate.kind)
        && candidate.key_name.is_none()
        && candidate.prices.iter().all(|price| price.amount.is_zero())
}

/// Whether a provider of this kind can say what became of a request whose answer was lost.
pub fn can_be_asked(kind: &str) -> bool {
    find(kind).is_some_and(|provider| provider.named_task("", "").is_some())
}

/// The content type of the image that a request asks for, where it names one: in whichever of its fields, and under whichever of the
/// names that providers have for it.
pub fn asked_format(submission: &Submission) -> Option<&'static str> {
    const NAMES: [&str; 4] = ["output_format", "format", "output_mime_type", "outputMimeType"];
    fn of_object(json: &Value, depth: u32) -> Option<&'static str> {
        let object = json.as_object()?;
        let named = NAMES.iter().find_map(|name| crate::picture::format_named(object.get(*name)?.as_str()?));
        named.or_else(|| {
            if depth == 0 { None } else { object.values().find_map(|inner| of_object(inner, depth - 1)) }
        })
    }
    let Submission::Http(request) = submission else { return None };
    match &request.body {
        Body::Empty => None,
        // Replicate has its input one level down, Google the image two.
        Body::Json(json) => of_object(json, 2),
        Body::Form(parts) => parts.iter().find_map(|part| match &part.content {
            Content::Text(text) if NAMES.contains(&part.name.as_str()) => crate::picture::format_named(text),
            // Fields as JSON.
            Content::Text(text) if text.starts_with('{') => of_object(&serde_json::from_str(text).ok()?, 1),
            _ => None,
        }),
    }
}

/// The base URL of a candidate, without a final slash.
pub fn base_url<'a>(provider: &dyn Provider, candidate: &'a Candidate) -> &'a str {
    let default: &'static str = provider.base_url();
    candidate.base_url.as_deref().unwrap_or(default).trim_end_matches('/')
}

/// The name of a candidate's key.
pub fn key_name<'a>(provider: &dyn Provider, candidate: &'a Candidate) -> Option<&'a str> {
    named_key(provider, candidate.key_name.as_deref())
}

/// The name of the key of a provider whose row says this: the adapter's own where it says nothing, none for [`NO_KEY`].
pub fn named_key<'a>(provider: &dyn Provider, key_name: Option<&'a str>) -> Option<&'a str> {
    match key_name {
        Some(NO_KEY) => None,
        Some(name) => Some(name),
        None => provider.key_name(),
    }
}

/// The name of the key of a server that wants none, such as an OpenAI-compatible one of one's own.
pub const NO_KEY: &str = "NONE";

#[cfg(test)]
mod testing;

//! The trait of an adapter and the one table of adapters.
//!
//! An adapter is two pure translations: from a job to an HTTP request, and from an HTTP response to what it
//! means. To add a provider, write `provider/<name>.rs`, its models in `provider/<name>/catalogue.toml`, and its line in [`TABLE`].

mod a1111;
mod balance;
mod bfl;
mod comfyui;
mod error;
mod fal;
mod google;
mod ideogram;
mod openai;
mod openrouter;
mod preview;
pub mod refusal;
mod replicate;
mod request_builder;
mod stability;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

pub use balance::Balance;
pub use error::{ErrorAnswer, OUT_OF_CREDIT, OUT_OF_CREDIT_WORDS};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::candidate::{Candidate, Parameter};
use crate::cost::{self, Cost, Tokens, Usage};
use crate::failure::{Failed, Failure};
use crate::http::{HttpRequest, HttpResponse};
use crate::input::{Input, Inputs, Role};
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

/// A task accepted by a provider. It is committed before the first poll, so that a crash resumes it
/// instead of paying for another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// The provider's id of the task.
    pub id: String,
    /// Where to ask for it, exactly as the provider said.
    pub poll_url: String,
    /// Where its result is, where that is another place.
    #[serde(default)]
    pub result_url: Option<String>,
    /// Where it is called off, where that is possible.
    #[serde(default)]
    pub cancel_url: Option<String>,
}

impl Remote {
    /// A task with one URL.
    pub fn new(id: impl Into<String>, poll_url: impl Into<String>) -> Self {
        Remote { id: id.into(), poll_url: poll_url.into(), result_url: None, cancel_url: None }
    }
}

/// Where the bytes of an image are.
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// At least one image.
    pub pictures: Vec<Source>,
    /// Images that were made and withheld by the provider's filter, and are charged for like the others.
    pub withheld: u32,
    /// The seed as the provider reports it.
    pub seed: Option<i64>,
    /// The seed of each image, in order, where they differ.
    pub seeds: Vec<i64>,
    /// The prompt after the provider's own rewriting.
    pub revised_prompt: Option<String>,
    /// What it cost, where the answer says so.
    pub cost: Option<Cost>,
    /// Token counts, where the answer has them.
    pub tokens: Option<Tokens>,
    /// How long the rendering itself took, where the answer says so.
    pub render_seconds: Option<f64>,
    /// What is to be known about the images.
    pub warnings: Vec<Warning>,
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
    /// Finished, and the result is in the answer to this.
    Ask(HttpRequest),
    /// Finished.
    Finished(Output),
    /// The task ended with this, said in an answer that is no success. Most failures in such an answer say nothing about
    /// the task, and are asked again; this one is final, whatever it is.
    Failed(Rejection),
}

/// What a failed call costs.
#[derive(Clone, Debug, PartialEq)]
pub enum Charge {
    /// Nothing, by the provider's published rules.
    Free,
    /// As much as if it had succeeded: the image was made and then withheld.
    Full,
    /// Unknown.
    Unknown,
}

/// A failed call, with what the provider charges for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// What went wrong.
    pub failed: Failed,
    /// What it costs.
    pub charge: Charge,
}

impl Rejection {
    /// A failure that the provider does not charge for. (Of what is uncertain that is unknown.)
    pub fn free(failure: Failure, message: impl Into<String>) -> Self {
        let charge = if failure == Failure::Uncertain { Charge::Unknown } else { Charge::Free };
        Rejection { failed: failure.because(message), charge }
    }

    /// A failure that the provider charges for like a success.
    pub fn charged(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), charge: Charge::Full }
    }

    /// A failure that the provider may charge for.
    pub fn unknown(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), charge: Charge::Unknown }
    }
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

/// What a candidate is asked to do for a task: an outpainting is an inpainting on a larger canvas where the model
/// has nothing of its own for it.
pub fn task_at(task: Task, candidate: &Candidate) -> Task {
    let has = |task| candidate.operations.contains(&task);
    match task {
        Task::Outpaint if !has(Task::Outpaint) && has(Task::Inpaint) => Task::Inpaint,
        task => task,
    }
}

/// Whether a candidate can do a task, in one way or another.
pub fn can(candidate: &Candidate, task: Task) -> bool {
    candidate.operations.contains(&task_at(task, candidate))
}

/// How many images a candidate makes in one call.
fn images_per_call(candidate: &Candidate, task: Task) -> u32 {
    match candidate.parameter("n", task_at(task, candidate)) {
        Some(_) => candidate.max_n.max(1),
        None => 1,
    }
}

/// How many calls a request takes at a candidate: they are made one after the other.
pub fn calls(candidate: &Candidate, task: Task, request: &Request) -> u32 {
    request.n.div_ceil(images_per_call(candidate, task))
}

/// What the first of those calls asks for; the request itself where one is enough.
pub fn first_call<'a>(candidate: &Candidate, task: Task, request: &'a Request) -> Cow<'a, Request> {
    let most = images_per_call(candidate, task);
    match request.n > most {
        true => Cow::Owned(Request { n: most, ..request.clone() }),
        false => Cow::Borrowed(request),
    }
}

/// What would be sent first to a candidate for a request, or why it cannot do it: all that is known without sending anything.
pub fn plan(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    inputs: &Inputs,
    found: &BTreeMap<String, String>,
    tag: &str,
) -> Result<Prepared, Invalid> {
    let Some(adapter) = find(&candidate.kind) else {
        let kinds: Vec<&str> = TABLE.iter().map(|p| p.kind()).collect();
        return Err(Invalid::new(
            format!(
                "provider '{}' has the kind '{}', which has no adapter",
                candidate.provider, candidate.kind
            ),
            format!("Kinds are: {}.", kinds.join(", ")),
        ));
    };
    let limit = candidate.prompt_chars.map_or(crate::job::MAX_PROMPT_CHARS, |c| c as usize);
    let length = request.prompt.chars().count();
    if length > limit {
        return Err(Invalid::new(
            format!("the prompt has {length} characters, {} takes {limit}", candidate.name()),
            "Shorten the prompt, or choose a model with a higher prompt_chars in image_gen.models.",
        ));
    }
    let task_here = task_at(task, candidate);
    let mut padded;
    let mut inputs = inputs;
    if task_here != task && inputs.get(Role::Mask).is_none() {
        // The mask of the new border is made when the image is here.
        padded = inputs.clone();
        padded.set(Role::Mask, Input::stand_in());
        inputs = &padded;
    }
    let first = first_call(candidate, task, request);
    let mut prepared =
        adapter.prepare(&Call { task: task_here, request: &first, candidate, inputs, found, tag })?;
    let calls = calls(candidate, task, request);
    if calls > 1 {
        let message = format!(
            "{} makes {} in a call: {calls} calls are made, one after the other",
            candidate.name(),
            if first.n == 1 { "one image".to_owned() } else { format!("{} images", first.n) }
        );
        prepared.warnings.push(Warning::new("several_calls", message));
    }
    Ok(prepared)
}

/// What all calls for a request are expected to cost at a candidate, in USD; `None` when its prices do not say, or say it in
/// another currency. `prepared` is the first of them.
pub fn expected_total(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    prepared: &Prepared,
    inputs: &[u64],
) -> Option<Decimal> {
    let first = first_call(candidate, task, request);
    let each = expected_cost(candidate, &first, prepared, inputs)?;
    let whole = each.checked_mul(Decimal::from(request.n / first.n))?;
    match request.n % first.n {
        0 => Some(whole),
        n => {
            let last = Request { n, ..request.clone() };
            whole.checked_add(expected_cost(candidate, &last, prepared, inputs)?)
        }
    }
}

/// What a call is expected to cost at a candidate, in USD; `None` when its prices do not say, or say it in another
/// currency. `inputs` are the pixels of the images that go in, as far as they are known.
pub fn expected_cost(
    candidate: &Candidate,
    request: &Request,
    prepared: &Prepared,
    inputs: &[u64],
) -> Option<Decimal> {
    if prepared.submission == Submission::Local {
        return Some(Decimal::ZERO);
    }
    cost::price_in(cost::USD, &candidate.prices, &expected_work(candidate, request, prepared, inputs))
}

/// What a call is expected to do, in the terms that prices are in.
pub fn expected_work(candidate: &Candidate, request: &Request, prepared: &Prepared, inputs: &[u64]) -> Usage {
    Usage {
        images: request.n,
        pixels: prepared.size.map(Size::pixels),
        inputs: inputs.to_vec(),
        inputs_unknown: false,
        seconds: Some(candidate.typical_seconds),
        quality: prepared.quality.clone(),
        tokens: None,
    }
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

/// The longest id of a task.
const MAX_ID_BYTES: usize = 512;

/// The id of a task, whatever it is made of. `None` where it is none that could be kept and asked for.
fn task_id(json: &Value, pointer: &str) -> Option<String> {
    let id = match json.pointer(pointer)? {
        Value::String(id) => id.trim().to_owned(),
        Value::Number(id) if id.is_u64() || id.is_i64() => id.to_string(),
        _ => return None,
    };
    // A name of dots would lead elsewhere, however it is written.
    let fits = !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.bytes().all(|b| b == b'.');
    (fits && !id.chars().any(char::is_control)).then_some(id)
}

/// A text as one segment of a path, or one value of a query.
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte))
            }
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    segment
}

/// Whether a name that callers can write is fit to become part of a URL: nothing in it leads elsewhere.
fn is_path(name: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && plain(part))
}

/// The first non-empty string at one of these JSON pointers.
fn text_at<'a>(json: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers
        .iter()
        .find_map(|p| json.pointer(p).and_then(Value::as_str))
        .filter(|s| !s.is_empty() && !s.contains('\0'))
}

/// A seed as a number, or as a text with its digits.
fn seed_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(seed) => seed.as_i64(),
        Value::String(seed) => seed.trim().parse().ok(),
        _ => None,
    }
}

/// A JSON number as an exact decimal: its digits, not its double. One that is larger than a decimal can be is the largest.
fn decimal(value: &Value) -> Option<Decimal> {
    let huge = || {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.trim().parse().is_ok_and(|number: f64| number > 1e28).then_some(Decimal::MAX)
    };
    balance::signed(value).or_else(huge).filter(|d| !d.is_sign_negative())
}

#[cfg(test)]
mod testing;

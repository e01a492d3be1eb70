//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

pub mod admission;

use std::cell::RefCell;

use image_gen_engine::cost::{self, Price, Usage};
use image_gen_engine::egress::Destination;
use image_gen_engine::input::{Reference, Role};
use image_gen_engine::job::{Invalid, Operation, RawRequest, Request, is_blank};
use image_gen_engine::route::Priority;
use image_gen_engine::style::Style;
use image_gen_engine::{
    catalogue, contact_sheet, content, http, input, picture, prompt_hints, provider, render_class, seed,
};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

use crate::errors::{Code, fail};
use crate::submit::rights;
use crate::{settings, snapshot};

thread_local! {
    static ULIDS: RefCell<ulid::Generator> = const { RefCell::new(ulid::Generator::new()) };
}

/// Whether a text has the form of a job's id: `gen_` and a ULID, 26 characters of Crockford's base 32.
#[pg_extern(immutable, strict, parallel_safe, sql = false)]
fn is_job_id(id: &str) -> bool {
    let in_alphabet = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z');
    id.strip_prefix("gen_").is_some_and(|ulid| ulid.len() == 26 && ulid.bytes().all(in_alphabet))
}

/// A new job id: `gen_` and a ULID that is larger than every earlier one of this session.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn new_job_id() -> String {
    // Only after 2^80 ids within one millisecond is there no next one.
    let next = ULIDS.with_borrow_mut(|ulids| ulids.generate().unwrap_or_else(|_| ulid::Ulid::generate()));
    format!("gen_{next}")
}

/// The role in effect in the session: SET ROLE, else the login. A SECURITY DEFINER function does not change it, so it
/// cannot be forged by wrapping a call.
#[pg_extern(
    schema = "image_gen_internal",
    stable,
    parallel_safe,
    sql = r#"
CREATE FUNCTION image_gen_internal."caller"() RETURNS regrole STABLE PARALLEL SAFE STRICT LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#
)]
pub fn caller() -> pg_sys::Oid {
    // SAFETY: a plain look at what the session is.
    unsafe { pg_sys::GetOuterUserId() }
}

/// `current_user`, as the type that owners have: for the policies of row security, which are asked for each row.
#[pg_extern(
    schema = "image_gen_internal",
    stable,
    parallel_safe,
    sql = r#"
CREATE FUNCTION image_gen_internal."current_role_oid"() RETURNS regrole STABLE PARALLEL SAFE STRICT LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#
)]
pub fn current_role_oid() -> pg_sys::Oid {
    // SAFETY: a plain look at what the session is.
    unsafe { pg_sys::GetUserId() }
}

/// Whether a provider of this kind can say what became of a request whose answer was lost.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn can_be_asked(kind: &str) -> bool {
    provider::can_be_asked(kind)
}

/// Whether a provider of this kind sends no bill: it is one's own machine, or none at all.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn is_local_kind(kind: &str) -> bool {
    provider::is_local(kind)
}

/// The kinds of providers: what the library's table of adapters says of each.
#[pg_extern(schema = "image_gen_internal", immutable, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of a view
pub fn provider_kinds() -> TableIterator<
    'static,
    (
        name!(kind, String),
        name!(base_url, Option<String>),
        name!(key_name, Option<String>),
        name!(address_name, Option<String>),
        name!(local, bool),
        name!(draws, bool),
        name!(can_be_asked, bool),
        name!(serves, JsonB),
    ),
> {
    let shipped = &catalogue::shipped().provider;
    TableIterator::new(provider::TABLE.iter().map(|adapter| {
        let kind = adapter.kind();
        let serves = shipped.iter().find(|endpoint| endpoint.id == kind).map(|endpoint| &endpoint.serves);
        (
            kind.to_owned(),
            Some(adapter.base_url().to_owned()).filter(|url| !url.is_empty()),
            adapter.key_name().map(str::to_owned),
            adapter.address_name().map(str::to_owned),
            provider::is_local(kind),
            adapter.draws(),
            provider::can_be_asked(kind),
            JsonB(serde_json::to_value(serves).unwrap_or_default()),
        )
    }))
}

/// What a role may ask for, with all that it is a member of.
#[pg_extern(schema = "image_gen_internal", stable, strict, parallel_unsafe)]
pub fn allowance_of(role: pg_sys::Oid) -> JsonB {
    JsonB(rights::allowance(&snapshot::current(), role).shown())
}

/// An error for a pattern of image_gen.policy_rules that cannot be used.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn check_content_pattern(pattern: &str) {
    if let Err(invalid) = content::check_pattern(pattern) {
        fail(Code::Argument, &invalid.message, &invalid.hint);
    }
}

/// An error for a row of models whose kind of provider has more to say to it than its columns: a workflow that cannot run.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn check_model(kind: &str, parameters: &str, fixed: &str) {
    let read = |what, text| parsed::<Value>(what, text);
    let checked = read("parameters", parameters)
        .and_then(|parameters| provider::check_model(kind, &read("fixed", fixed)?, &parameters));
    if let Err(invalid) = checked {
        fail(Code::Argument, &invalid.message, &invalid.hint);
    }
}

/// Whether a prompt has nothing in it that can be seen.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn is_blank_prompt(prompt: &str) -> bool {
    is_blank(prompt)
}

/// The catalogue that comes with this version of the library, as the file that can be imported.
#[pg_extern(schema = "image_gen_internal", immutable, parallel_safe)]
pub fn shipped_catalogue() -> JsonB {
    JsonB(serde_json::to_value(catalogue::Release::shipped()).unwrap_or_default())
}

/// What is wrong with a file that is to be the catalogue; nothing when it can be used.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn check_catalogue(file: JsonB) -> Vec<String> {
    match serde_json::from_value::<catalogue::Release>(file.0) {
        Ok(release) => release.faults(),
        Err(why) => vec![why.to_string()],
    }
}

/// A request that was checked as far as that needs no model.
pub struct Checked {
    /// What adapters read.
    pub request: Request,
    /// What matters most to the caller.
    pub priority: Option<Priority>,
    /// Images that came along, which the request now refers to by their hash.
    pub kept: Vec<Kept>,
}

/// An image that came along and is to be kept.
pub struct Kept {
    pub role: Role,
    pub sha256: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// Checks a request as far as that needs no model. The seed is derived from the job's id, where the caller gives none.
pub fn check(job_id: &str, operation: Operation, raw: RawRequest) -> Result<Checked, Invalid> {
    let priority = raw.priority.clone();
    let mut request = raw.check(operation, seed::for_job(job_id))?;
    let usual = settings::STORE.get();
    if request.store.is_none() && usual != settings::Storing::Both {
        request.store = Some(usual.into());
    }
    let priority = priority.map(|word| parsed("priority", &json!(word).to_string())).transpose()?;
    let mut kept = vec![];
    for role in Role::ALL {
        let Some(text) = role.reference(&request) else { continue };
        match Reference::parse(text)? {
            Reference::Url(url) => check_url(role, &url)?,
            Reference::Data { bytes, facts } => {
                role.refer(&mut request, format!("{}{}", input::STORED, facts.sha256));
                let (sha256, content_type) = (facts.sha256, facts.content_type);
                kept.push(Kept { role, sha256, content_type, bytes });
            }
            Reference::Stored(hash) => role.refer(&mut request, format!("{}{hash}", input::STORED)),
            Reference::Asset(_) | Reference::Job(_) => {}
        }
    }
    Ok(Checked { request, priority, kept })
}

/// An image is fetched from the public internet, or from a host that the administrator allows.
fn check_url(role: Role, url: &str) -> Result<(), Invalid> {
    let Some(origin) = http::origin(url) else { return Ok(()) };
    settings::egress().check(Destination::Image, &origin).map(drop).map_err(|why| {
        Invalid::new(
            format!("{}: {why}", role.name()),
            "Use an https URL of a public host, or ask the administrator for image_gen.allowed_image_hosts.",
        )
    })
}

/// An error for a URL that no message may be sent to. What a name resolves to is looked at when it is connected to.
#[pg_extern(schema = "image_gen_internal", stable, strict, parallel_safe)]
pub fn check_webhook_url(url: &str) {
    let hint = "Use an https URL of a public host, or ask the superuser for image_gen.allowed_webhook_hosts.";
    let origin = http::origin(url).ok_or_else(|| "it is no http(s) URL".to_owned());
    if let Err(why) = origin.and_then(|origin| settings::egress().check(Destination::Webhook, &origin)) {
        fail(Code::Argument, &format!("no message can be sent to this URL: {why}"), hint);
    }
}

/// Reads JSON that came from outside: too deep, or with a number that is too large, it is an error like any other.
pub fn parsed<T: serde::de::DeserializeOwned>(what: &str, json: &str) -> Result<T, Invalid> {
    serde_json::from_str(json).map_err(|e| {
        Invalid::new(format!("{what} is not understood: {e}"), "Compare it with the documentation.")
    })
}

/// A prompt with a style in it: what a job with that style has as its prompt.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn styled_prompt(prompt: &str, style: &str) -> String {
    let styled = parsed::<Style>("the style", style).and_then(|style| {
        let asked =
            RawRequest { prompt: Some(prompt.to_owned()), style: Some(style), ..RawRequest::default() };
        asked.check(Operation::Generate, 0)
    });
    match styled {
        Ok(request) => request.prompt,
        Err(invalid) => fail(Code::Argument, &invalid.message, &invalid.hint),
    }
}

/// How an image looks, in 64 bits: of two that look alike few differ.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn perceptual_hash(image: &[u8]) -> i64 {
    match picture::perceptual_hash(image) {
        Ok(hash) => hash as i64,
        Err(flaw) => fail(
            Code::Argument,
            &format!("the image cannot be read: {flaw}"),
            "Give the bytes of a PNG, JPEG, WebP or GIF.",
        ),
    }
}

/// A sheet of images as one page of HTML.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn render_contact_sheet(sheet: JsonB) -> String {
    match serde_json::from_value::<contact_sheet::Sheet>(sheet.0) {
        Ok(sheet) => contact_sheet::page(&sheet),
        Err(e) => fail(
            Code::Argument,
            &format!("the sheet is not understood: {e}"),
            "Call image_gen.contact_sheet().",
        ),
    }
}

/// What some work costs by some prices, as {"amount", "currency"}; NULL when they do not say.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn price_usage(prices: JsonB, usage: JsonB) -> Option<JsonB> {
    let prices: Vec<Price> = serde_json::from_value(prices.0).ok()?;
    let usage: Usage = serde_json::from_value(usage.0).ok()?;
    let cost = cost::price(&prices, &usage)?;
    Some(JsonB(json!({"amount": cost.amount.normalize().to_string(), "currency": cost.currency})))
}

/// Which renders of a model take about as long as one of this size and number of steps.
#[pg_extern(schema = "image_gen_internal", immutable, parallel_safe)]
pub fn render_class(width: Option<i32>, height: Option<i32>, steps: Option<i32>) -> String {
    let whole = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    render_class::class(whole(width), whole(height), whole(steps))
}

/// Whether a prompt asks for legible text in the image: words in quotation marks, more than one, or an explicit wish.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn needs_text(prompt: &str) -> bool {
    prompt_hints::asks_for_text(prompt)
}

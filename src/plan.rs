//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

mod ask;

use std::cell::RefCell;

use ask::{Ask, Wrong};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::cost::{self, Price, Work};
use image_gen_engine::egress::Destination;
use image_gen_engine::input::{Reference, Role};
use image_gen_engine::job::{Asked, Consistency, Invalid, Operation, Task};
use image_gen_engine::{capability, catalogue, http, input, picture, seed, wording};
use image_gen_engine::{provider, route};
use pgrx::prelude::*;
use pgrx::{JsonB, default};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::errors::{Kind, raise};
use crate::settings;

thread_local! {
    static ULIDS: RefCell<ulid::Generator> = const { RefCell::new(ulid::Generator::new()) };
}

/// A new job id: `gen_` and a ULID that is larger than every earlier one of this session.
#[pg_extern(volatile, parallel_unsafe)]
pub fn _new_job_id() -> String {
    // Only after 2^80 ids within one millisecond is there no next one.
    let next = ULIDS.with_borrow_mut(|ulids| ulids.generate().unwrap_or_else(|_| ulid::Ulid::generate()));
    format!("gen_{next}")
}

/// The role in effect in the session: SET ROLE, else the login. A SECURITY DEFINER function does not change it, so it
/// cannot be forged by wrapping a call.
#[pg_extern(stable, parallel_safe)]
pub fn _caller() -> String {
    // SAFETY: the outer user of a connected session always exists; noerr makes a dropped role NULL.
    unsafe {
        let name = pg_sys::GetUserNameFromId(pg_sys::GetOuterUserId(), false);
        std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// The name of the key, or the address, that a provider of this kind needs; NULL when it needs none.
#[pg_extern(immutable, parallel_safe)]
pub fn _key_of(kind: &str, key_name: Option<&str>) -> Option<String> {
    let adapter = provider::find(kind)?;
    provider::named_key(adapter, key_name).or(adapter.address_name()).map(str::to_owned)
}

/// Whether a provider has what it needs among the names of the keys that are there.
#[pg_extern(immutable, parallel_safe)]
pub fn _has_access(
    kind: &str,
    base_url: Option<&str>,
    key_name: Option<&str>,
    keys: Option<Vec<String>>,
) -> bool {
    let Some(adapter) = provider::find(kind) else { return false };
    let keys = keys.unwrap_or_default();
    let has = |name: Option<&str>| name.is_none_or(|name| keys.iter().any(|k| k == name));
    has(provider::named_key(adapter, key_name)) && has(adapter.address_name().filter(|_| base_url.is_none()))
}

/// Whether a provider of this kind can say what became of a request whose answer was lost.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn _can_be_asked(kind: &str) -> bool {
    provider::can_be_asked(kind)
}

/// The setting `image_gen.default_model`.
#[pg_extern(stable, parallel_safe)]
pub fn _default_model() -> String {
    settings::text(&settings::DEFAULT_MODEL)
}

/// The seed of a named relative of `base`: the same two always give the same seed, 0 to 2147483647, on every machine.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn derive_seed(base: i64, label: &str) -> i64 {
    seed::derive(base, label)
}

/// What a candidate does with each parameter in each task, found out by preparing requests (nothing is sent).
#[pg_extern(stable, parallel_safe)]
pub fn _capabilities(candidate: JsonB) -> JsonB {
    let found = serde_json::from_value::<Candidate>(candidate.0).map(|c| capability::of(&c));
    JsonB(json!(found.unwrap_or_default()))
}

/// The catalogue that comes with this version of the library.
#[pg_extern(immutable, parallel_safe)]
pub fn _catalogue() -> JsonB {
    JsonB(serde_json::to_value(catalogue::shipped()).unwrap_or_default())
}

/// Checks a request as far as that needs no model. Returns the checked request, what a model must be able to do for it,
/// and which of its pictures came along and are to be kept. Raises an error for what is wrong.
#[pg_extern(stable, parallel_safe)]
pub fn _check(job_id: &str, operation: &str, asked: &str) -> JsonB {
    match check(job_id, operation, asked) {
        Ok(checked) => JsonB(checked),
        Err(invalid) => raise(Kind::Argument, &invalid),
    }
}

fn check(job_id: &str, operation: &str, asked: &str) -> Result<Value, Invalid> {
    let operation: Operation = parsed("operation", &json!(operation).to_string())?;
    let asked: Asked = parsed("the request", asked)?;
    let priority = asked.priority.clone();
    let mut request = asked.check(operation, seed::for_job(job_id))?;
    let task = request.task(operation);
    let mut kept = Map::new();
    for role in Role::ALL {
        let Some(text) = role.reference(&request) else { continue };
        match Reference::parse(text)? {
            Reference::Url(url) => check_url(role, &url)?,
            Reference::Data(bytes) => {
                if let Some(facts) = picture::inspect(&bytes) {
                    let reference = format!("{}{}", input::STORED, facts.sha256);
                    kept.insert(
                        role.name().into(),
                        json!({"sha256": facts.sha256, "content_type": facts.content_type}),
                    );
                    role.refer(&mut request, reference);
                }
            }
            Reference::Stored(hash) => role.refer(&mut request, format!("{}{hash}", input::STORED)),
            Reference::Asset(_) | Reference::Job(_) => {}
        }
    }
    let strict = request.consistency_mode == Some(Consistency::Strict);
    let character = task == Task::Generate && strict && request.reference_image.is_some();
    let task = if character { "character" } else { task.as_str() };
    Ok(json!({"request": request, "task": task, "kept": kept, "priority": priority}))
}

/// A picture is fetched from the public internet, or from a host that the administrator allows.
fn check_url(role: Role, url: &str) -> Result<(), Invalid> {
    let Some(origin) = http::origin(url) else { return Ok(()) };
    settings::egress().check(Destination::Image, &origin).map(drop).map_err(|why| {
        Invalid::new(
            format!("{}: {why}", role.name()),
            "Use an https URL of a public host, or ask the administrator for image_gen.allowed_image_hosts.",
        )
    })
}

fn parsed<T: serde::de::DeserializeOwned>(what: &str, json: &str) -> Result<T, Invalid> {
    serde_json::from_str(json).map_err(|e| {
        Invalid::new(format!("{what} is not understood: {e}"), "Compare it with the documentation.")
    })
}

/// Checks a request against its candidates and says what will happen: the model, warnings, and the estimate. Raises an
/// error for what is wrong.
#[expect(clippy::too_many_arguments, reason = "one call from SQL, each argument from another table")]
#[pg_extern(stable, parallel_safe)]
pub fn _plan(
    job_id: &str,
    operation: &str,
    request: &str,
    provider: Option<&str>,
    model: Option<&str>,
    candidates: &str,
    preferences: default!(Option<&str>, "NULL"),
    known: default!(Option<Vec<String>>, "NULL"),
    max_cost: default!(Option<AnyNumeric>, "NULL"),
    configured: default!(Option<Vec<String>>, "NULL"),
    priority: default!(Option<&str>, "NULL"),
    allow_unpriced: default!(bool, "false"),
) -> JsonB {
    let ask = Ask {
        job_id,
        provider,
        model,
        preferences,
        known: known.unwrap_or_default(),
        max_cost: limit(max_cost),
        allow_unpriced,
        configured,
        priority,
    };
    answered(ask.plan(operation, request, candidates))
}

/// The whole route of a request, with why each candidate is in or out and what it would be sent. Nothing is sent.
#[expect(clippy::too_many_arguments, reason = "as for _plan")]
#[pg_extern(stable, parallel_safe)]
pub fn _explain(
    job_id: &str,
    operation: &str,
    request: &str,
    provider: Option<&str>,
    model: Option<&str>,
    candidates: &str,
    preferences: default!(Option<&str>, "NULL"),
    known: default!(Option<Vec<String>>, "NULL"),
    max_cost: default!(Option<AnyNumeric>, "NULL"),
    configured: default!(Option<Vec<String>>, "NULL"),
    priority: default!(Option<&str>, "NULL"),
) -> JsonB {
    let (known, max_cost) = (known.unwrap_or_default(), limit(max_cost));
    let allow_unpriced = false;
    let ask =
        Ask { job_id, provider, model, preferences, known, max_cost, allow_unpriced, configured, priority };
    answered(ask.explain(operation, request, candidates))
}

/// What some work costs by some prices, as {"amount", "currency"}; NULL when they do not say.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn _price(prices: JsonB, work: JsonB) -> Option<JsonB> {
    let prices: Vec<Price> = serde_json::from_value(prices.0).ok()?;
    let work: Work = serde_json::from_value(work.0).ok()?;
    let cost = cost::price(&prices, &work)?;
    Some(JsonB(json!({"amount": cost.amount.normalize().to_string(), "currency": cost.currency})))
}

/// NaN and infinity were refused before; an amount with more digits than a Decimal has is no limit.
fn limit(max_cost: Option<AnyNumeric>) -> Option<Decimal> {
    max_cost.and_then(|m| m.to_string().parse().ok())
}

fn answered(result: Result<Value, Wrong>) -> JsonB {
    match result {
        Ok(answer) => JsonB(answer),
        Err((kind, invalid)) => raise(kind, &invalid),
    }
}

/// What `provider_preferences` come to with those of the setting `image_gen.provider_preferences`; NULL when there are
/// none.
#[pg_extern(stable, parallel_safe)]
pub fn _preferences(
    asked: default!(Option<&str>, "NULL"),
    known: default!(Option<Vec<String>>, "NULL"),
) -> Option<JsonB> {
    let known = known.unwrap_or_default();
    let setting = settings::text(&settings::PREFERENCES);
    if setting.is_empty() && asked.is_none() {
        return None;
    }
    let read = |text: &str| -> Result<(route::Preferences, Value), Invalid> {
        let json: Value = if text.is_empty() { json!({}) } else { parsed("provider_preferences", text)? };
        Ok((route::preferences(&json, &known)?, json))
    };
    let both = || -> Result<route::Preferences, Invalid> {
        let (base, _) = read(&setting)?;
        let (own, json) = read(asked.unwrap_or_default())?;
        Ok(route::merged(base, own, &json))
    };
    match both() {
        Ok(merged) => serde_json::to_value(merged).ok().map(JsonB),
        Err(invalid) => raise(if invalid.unknown { Kind::Unknown } else { Kind::Argument }, &invalid),
    }
}

/// Whether a prompt asks for legible text in the picture: words in quotation marks, more than one, or an explicit wish.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn needs_text(prompt: &str) -> bool {
    wording::asks_for_text(prompt)
}

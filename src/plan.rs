//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

pub mod admission;

use std::cell::RefCell;

use image_gen_engine::cost::{self, Price, Work};
use image_gen_engine::egress::Destination;
use image_gen_engine::input::{Reference, Role};
use image_gen_engine::job::{Asked, Consistency, Invalid, Operation, Task};
use image_gen_engine::{catalogue, http, input, picture, provider, seed, wording};
use pgrx::JsonB;
use pgrx::prelude::*;
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

/// Whether a provider of this kind can say what became of a request whose answer was lost.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn _can_be_asked(kind: &str) -> bool {
    provider::can_be_asked(kind)
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

/// What some work costs by some prices, as {"amount", "currency"}; NULL when they do not say.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn _price(prices: JsonB, work: JsonB) -> Option<JsonB> {
    let prices: Vec<Price> = serde_json::from_value(prices.0).ok()?;
    let work: Work = serde_json::from_value(work.0).ok()?;
    let cost = cost::price(&prices, &work)?;
    Some(JsonB(json!({"amount": cost.amount.normalize().to_string(), "currency": cost.currency})))
}

/// Whether a prompt asks for legible text in the picture: words in quotation marks, more than one, or an explicit wish.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn needs_text(prompt: &str) -> bool {
    wording::asks_for_text(prompt)
}

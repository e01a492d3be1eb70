//! The four tools of an agent, where they touch PostgreSQL: `sql/tools.sql` is the rest.

use image_gen_engine::job::Operation;
use image_gen_tools::input::{GenerateImage, ListRecentGenerations};
use image_gen_tools::read::{self, Mistake};
use image_gen_tools::{poll, tools};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

use crate::errors::{Code, fail};
use crate::plan::admission::answered;
use crate::submit::arguments::{described, object};
use crate::submit::{Submission, json_text, submit};

finfo!(pg_finfo_image_gen_generate_image);

/// # Safety
/// Called by PostgreSQL, with the argument that `generate_image` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn image_gen_generate_image(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: a jsonb, as declared.
    let json = unsafe { (*call).args.as_slice((*call).nargs as usize) };
    let json = json.first().filter(|a| !a.isnull).map(|a| json_text(a.value));
    let Some(json) = json else {
        fail(Code::Null, "the arguments are NULL", r#"Write for example '{"prompt": "a red fox in snow"}'."#)
    };
    let submission = requested(&json);
    // SAFETY: the function returns image_gen.receipt.
    unsafe { submit(submission).map_or(pg_sys::Datum::from(0), |receipt| receipt.into_tuple(call)) }
}

/// What a call of the tool asks for.
fn requested(json: &str) -> Submission {
    let (root, arguments) = right(read::arguments("generate_image", json));
    let json = arguments.to_string();
    // Of the types that the schema names; the values are checked as generate() does.
    let _: GenerateImage = right(read::read(root, &json));
    let named = object(&json).unwrap_or_default();
    let request = answered(described("the request", &named).map_err(Into::into));
    let metadata = named.get("metadata").map(|json| json.get()).filter(|json| *json != "null");
    let mut submission = Submission::named(Operation::Generate, request, &named, metadata.unwrap_or("{}"));
    submission.set_key(named.get("idempotency_key").copied());
    submission
}

/// What was read, or an error that says where the mistake is.
fn right<T>(read: Result<T, Mistake>) -> T {
    read.unwrap_or_else(|mistake| fail(Code::Argument, &mistake.to_string(), &mistake.hint))
}

/// The tools with their schemas.
#[pg_extern(schema = "image_gen_internal", immutable, parallel_safe)]
fn tool_list() -> JsonB {
    JsonB(json!(tools()))
}

/// The arguments of `list_recent_generations`, checked; what is not there is null.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
fn list_arguments(arguments: JsonB) -> JsonB {
    let arguments: ListRecentGenerations = right(read::read("$", &arguments.0.to_string()));
    right(arguments.check());
    JsonB(serde_json::to_value(&arguments).unwrap_or(Value::Null))
}

/// When a client should ask again, in milliseconds.
#[pg_extern(schema = "image_gen_internal", immutable, parallel_safe)]
fn next_poll_ms(estimate: Option<f64>, elapsed: Option<f64>) -> i32 {
    poll::next_poll_ms(estimate.unwrap_or(0.0), elapsed.unwrap_or(0.0)) as i32
}

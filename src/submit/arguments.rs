//! The arguments of the operations, as SQL passes them by position, and as JSON by name.

use std::collections::BTreeMap;

use image_gen_engine::job::{Invalid, Operation, RawRequest};
use pgrx::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::styles::Wish;
use super::{Metadata as Own, Submission, json_text, submit};
use crate::errors::{Code, fail, without_context};
use crate::plan::parsed;
use crate::statement::{Argument, input};

/// What an argument of a function in `sql/api/operations.sql` is.
#[derive(Clone, Copy)]
enum Parameter {
    Prompt,
    Model,
    NegativePrompt,
    Width,
    Height,
    AspectRatio,
    Seed,
    Guidance,
    Steps,
    N,
    Quality,
    Image,
    Mask,
    StyleImage,
    ReferenceImage,
    ConsistencyMode,
    ReferenceImages,
    Style,
    Mode,
    Strength,
    Variance,
    Scale,
    Top,
    Right,
    Bottom,
    Left,
    Metadata,
    Preferences,
    Options,
    Priority,
    IdempotencyKey,
    Deadline,
    MaxCost,
    AllowUnpriced,
    Reuse,
    Store,
}

use Parameter::*;

/// The last arguments of every operation.
macro_rules! with_terms {
    ($($parameter:ident),*) => {
        &[$($parameter,)* Metadata, Preferences, Options, Priority, IdempotencyKey, Deadline, MaxCost, AllowUnpriced, Reuse, Store]
    };
}

const GENERATE: &[Parameter] = with_terms![
    Prompt,
    Model,
    NegativePrompt,
    Width,
    Height,
    AspectRatio,
    Seed,
    Guidance,
    Steps,
    N,
    Quality,
    ReferenceImage,
    ConsistencyMode,
    ReferenceImages,
    Style
];
const EDIT: &[Parameter] = with_terms![
    Image,
    Prompt,
    Mask,
    Mode,
    Strength,
    Top,
    Right,
    Bottom,
    Left,
    Model,
    NegativePrompt,
    Width,
    Height,
    AspectRatio,
    Seed,
    Guidance,
    Steps,
    N,
    Quality,
    ReferenceImage,
    ConsistencyMode,
    ReferenceImages,
    Style
];
const UPSCALE: &[Parameter] = with_terms![Image, Scale, Prompt, Model, NegativePrompt, Seed, Style];
const VARIATE: &[Parameter] = with_terms![
    Image,
    Variance,
    Prompt,
    Model,
    NegativePrompt,
    Width,
    Height,
    AspectRatio,
    Seed,
    Guidance,
    Steps,
    Quality,
    Style
];
const TRANSFER_STYLE: &[Parameter] = with_terms![
    Image,
    StyleImage,
    Prompt,
    Strength,
    Model,
    NegativePrompt,
    Width,
    Height,
    AspectRatio,
    Seed,
    Guidance,
    Steps,
    N,
    Quality,
    Style
];

/// A function of SQL that queues a job and returns its receipt.
macro_rules! operation {
    ($name:ident, $info:ident, $operation:expr, $parameters:expr) => {
        finfo!($info);

        /// # Safety
        /// Called by PostgreSQL, with the arguments that `sql/api/operations.sql` declares.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: as above.
            let submission = unsafe { read($operation, $parameters, call) };
            let receipt = without_context(|| submit(submission));
            // SAFETY: the function returns image_gen.receipt.
            unsafe { receipt.map_or(pg_sys::Datum::from(0), |receipt| receipt.into_tuple(call)) }
        }
    };
}

operation!(image_gen_generate, pg_finfo_image_gen_generate, Operation::Generate, GENERATE);
operation!(image_gen_edit, pg_finfo_image_gen_edit, Operation::Edit, EDIT);
operation!(image_gen_upscale, pg_finfo_image_gen_upscale, Operation::Upscale, UPSCALE);
operation!(image_gen_variation, pg_finfo_image_gen_variation, Operation::Variate, VARIATE);
operation!(
    image_gen_transfer_style,
    pg_finfo_image_gen_transfer_style,
    Operation::TransferStyle,
    TRANSFER_STYLE
);

/// Reads arguments by position.
///
/// # Safety
/// The call has arguments of the types that the parameters have in `sql/api/operations.sql`.
unsafe fn read(operation: Operation, parameters: &[Parameter], call: pg_sys::FunctionCallInfo) -> Submission {
    // SAFETY: there are as many as the call says.
    let values = unsafe { (*call).args.as_slice((*call).nargs as usize) };
    let mut r = RawRequest::default();
    let (mut model, mut style, mut metadata, mut preferences, mut key) = (None, None, None, None, None);
    let (mut deadline, mut max_cost, mut allow_unpriced, mut reuse) = (None, None, false, None);
    for (parameter, value) in parameters.iter().zip(values) {
        if value.isnull {
            continue;
        }
        let datum = value.value;
        // SAFETY: text, integer, bigint and double precision datums of the declared types, that are not NULL.
        let text = || unsafe { String::from_datum(datum, false) };
        let integer = || Some(i64::from(datum.value() as i32));
        let bigint = || Some(datum.value() as i64);
        let number = |name: &str| Some(finite(name, f64::from_bits(datum.value() as u64)));
        match parameter {
            Prompt => r.prompt = text(),
            Model => model = text(),
            NegativePrompt => r.negative_prompt = text(),
            Width => r.width = integer(),
            Height => r.height = integer(),
            AspectRatio => r.aspect_ratio = text(),
            Seed => r.seed = bigint(),
            Guidance => r.guidance = number("guidance"),
            Steps => r.steps = integer(),
            N => r.n = integer(),
            Quality => r.quality = text(),
            Image => r.image = text(),
            Mask => r.mask = text(),
            StyleImage => r.style_image = text(),
            ReferenceImage => r.reference_image = text(),
            ConsistencyMode => r.consistency_mode = text(),
            // SAFETY: an array of text that is not NULL.
            ReferenceImages => r.reference_images = references(unsafe { Vec::from_datum(datum, false) }),
            Style => style = text().map(Wish::Named),
            Mode => r.mode = text(),
            Strength => r.strength = number("strength"),
            Variance => r.variance = number("variance"),
            Scale => r.scale = integer(),
            Top => r.top = integer(),
            Right => r.right = integer(),
            Bottom => r.bottom = integer(),
            Left => r.left = integer(),
            Metadata => metadata = Some(datum),
            Preferences => preferences = Some(json_text(datum)),
            Options => r.options = Some(options(&json_text(datum))),
            Priority => r.priority = text(),
            IdempotencyKey => key = text(),
            Deadline => deadline = bigint(),
            // SAFETY: a numeric that is not NULL.
            MaxCost => max_cost = unsafe { AnyNumeric::from_datum(datum, false) },
            AllowUnpriced => allow_unpriced = datum.value() != 0,
            Reuse => reuse = since(Some(datum)),
            Store => r.store = text(),
        }
    }
    Submission {
        model,
        style,
        preferences,
        key,
        deadline,
        max_cost,
        allow_unpriced,
        reuse,
        ..Submission::new(operation, r, Own::new(metadata))
    }
}

/// An empty array is none.
fn references(given: Option<Vec<Option<String>>>) -> Option<Vec<String>> {
    let given: Option<Vec<String>> = given?.into_iter().collect();
    if given.is_none() {
        fail(
            Code::Argument,
            "one of reference_images is NULL",
            "Leave it out: array_remove(reference_images, NULL) does.",
        );
    }
    given.filter(|given| !given.is_empty())
}

/// The moment that lies so far back.
fn since(interval: Argument) -> Option<pg_sys::TimestampTz> {
    // SAFETY: the clock; a timestamptz and an interval, as the function takes them.
    let (now, since) = unsafe {
        let now = pg_sys::GetCurrentTimestamp();
        let arguments = [Some(pg_sys::Datum::from(now)), interval];
        (now, pgrx::fcinfo::direct_function_call_as_datum(pg_sys::timestamptz_mi_interval, &arguments)?)
    };
    let since = since.value() as i64;
    if since > now {
        fail(Code::Argument, "reuse is below zero", "Write for example reuse => '30 days', or leave it out.");
    }
    Some(since)
}

/// JSON has no number that is none.
fn finite(name: &str, number: f64) -> f64 {
    if number.is_finite() {
        return number;
    }
    let shown = if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    fail(Code::Argument, &format!("{name} is {shown}"), "Use a number.")
}

fn options(text: &str) -> Map<String, Value> {
    let hint = r#"Write for example options => '{"output_format": "png"}'."#;
    if !text.starts_with('{') {
        fail(Code::Argument, "options is not a JSON object", hint);
    }
    serde_json::from_str(text).unwrap_or_else(|e| {
        fail(
            Code::Argument,
            &format!("the request is not understood: {e}"),
            "Compare it with the documentation.",
        )
    })
}

/// Arguments by name, as JSON that is not read yet.
pub type Named<'a> = BTreeMap<String, &'a RawValue>;

/// The members of a JSON object; `None` for what is none.
pub fn object(json: &str) -> Option<Named<'_>> {
    serde_json::from_str(json).ok()
}

/// An operation and its arguments as they are given to estimate() and explain().
pub fn operation_named<'a>(name: Option<&str>, arguments: Option<&'a str>) -> (Operation, Named<'a>) {
    let (Some(name), Some(arguments)) = (name, arguments) else {
        fail(
            Code::Null,
            "an operation and its arguments are needed",
            r#"Write for example ('generate', '{"prompt": "a cat"}')."#,
        )
    };
    let operation = operation(name);
    let Some(arguments) = object(arguments) else {
        fail(
            Code::Argument,
            "arguments is not a JSON object",
            r#"Write for example '{"prompt": "a cat", "model": "flux-1.1-pro"}'."#,
        )
    };
    (operation, arguments)
}

/// The arguments that say what is to be done with a job. All others describe the image.
const TERMS: [&str; 9] = [
    "model",
    "style",
    "metadata",
    "provider_preferences",
    "idempotency_key",
    "deadline",
    "max_cost",
    "allow_unpriced",
    "reuse",
];

/// An operation by its name.
pub(super) fn operation(name: &str) -> Operation {
    serde_json::from_value(json!(name)).unwrap_or_else(|_| {
        fail(
            Code::Argument,
            &format!("operation '{name}' does not exist"),
            "Use one of: generate, edit, upscale, variate, transfer_style.",
        )
    })
}

/// Of the arguments of an operation, by name, those that describe the image. `what` names them in an error.
pub fn described(what: &str, arguments: &Named<'_>) -> Result<RawRequest, Invalid> {
    let given =
        arguments.iter().filter(|(name, json)| !TERMS.contains(&name.as_str()) && json.get() != "null");
    let mut described = Map::new();
    for (name, json) in given {
        // The borders of an edit are called as in edit().
        let name = name.strip_prefix("border_").unwrap_or(name);
        described.insert(name.to_owned(), parsed(what, json.get())?);
    }
    if described.get("options").is_some_and(|options| !options.is_object()) {
        options("");
    }
    serde_json::from_value(Value::Object(described)).map_err(|e| {
        Invalid::new(format!("the request is not understood: {e}"), "Compare it with the documentation.")
    })
}

/// A value as text, as the operator ->> has it; `None` is null.
pub fn text(json: &RawValue) -> Option<String> {
    match json.get() {
        "null" => None,
        json => Some(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

/// `provider_preferences`, as JSON.
pub fn preferences(arguments: &Named<'_>) -> Option<String> {
    arguments.get("provider_preferences").map(|json| json.get().to_owned()).filter(|json| json != "null")
}

impl Submission {
    /// The arguments of an operation, by name; the metadata are apart.
    pub fn named(operation: Operation, request: RawRequest, arguments: &Named<'_>, metadata: &str) -> Self {
        let given = |name: &str| arguments.get(name).copied().and_then(text);
        Submission {
            model: given("model"),
            style: arguments.get("style").copied().and_then(Wish::read),
            preferences: preferences(arguments),
            deadline: given("deadline")
                .and_then(|text| input(pg_sys::timestamptz_in, &text))
                .map(|d| d.value() as i64),
            // SAFETY: what numeric_in returns is a numeric.
            max_cost: given("max_cost")
                .and_then(|text| unsafe { AnyNumeric::from_datum(input(pg_sys::numeric_in, &text)?, false) }),
            allow_unpriced: given("allow_unpriced")
                .and_then(|text| input(pg_sys::boolin, &text))
                .is_some_and(|yes| yes.value() != 0),
            reuse: given("reuse").and_then(|text| since(input(pg_sys::interval_in, &text))),
            ..Submission::new(operation, request, Own::new(input(pg_sys::jsonb_in, metadata)))
        }
    }
}

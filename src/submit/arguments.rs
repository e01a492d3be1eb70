//! The arguments of the operations, as SQL passes them by position, and as JSON by name.

use image_gen_engine::job::{Invalid, Operation, RawRequest};
use pgrx::prelude::*;
use serde_json::{Map, Value, json};

use super::{Submission, json_text, submit};
use crate::errors::{Code, fail};

/// What an argument of a function in `sql/api.sql` is.
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
}

use Parameter::*;

/// The last arguments of every operation.
macro_rules! with_terms {
    ($($parameter:ident),*) => {
        &[$($parameter,)* Metadata, Preferences, Options, Priority, IdempotencyKey, Deadline, MaxCost, AllowUnpriced]
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
    ConsistencyMode
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
    ConsistencyMode
];
const UPSCALE: &[Parameter] = with_terms![Image, Scale, Prompt, Model, NegativePrompt, Seed];
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
    Quality
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
    Quality
];

/// A function of SQL that queues a job and returns its receipt.
macro_rules! operation {
    ($name:ident, $info:ident, $operation:expr, $parameters:expr) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> *const pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }

        /// # Safety
        /// Called by PostgreSQL, with the arguments that `sql/api.sql` declares.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: as above.
            let submission = unsafe { read($operation, $parameters, call) };
            let receipt = submit(&submission);
            // SAFETY: the function returns image_gen.receipt.
            unsafe { receipt.into_tuple(call) }
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
/// The call has arguments of the types that the parameters have in `sql/api.sql`.
unsafe fn read(operation: Operation, parameters: &[Parameter], call: pg_sys::FunctionCallInfo) -> Submission {
    // SAFETY: there are as many as the call says.
    let values = unsafe { (*call).args.as_slice((*call).nargs as usize) };
    let mut r = RawRequest::default();
    let (mut model, mut metadata, mut preferences, mut key) = (None, None, None, None);
    let (mut deadline, mut max_cost, mut allow_unpriced) = (None, None, false);
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
        }
    }
    Submission {
        operation,
        request: r,
        model,
        metadata: super::Metadata::new(metadata),
        preferences,
        key,
        deadline,
        max_cost,
        allow_unpriced,
        batch: None,
    }
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

/// A request of an operation, by name: the arguments that describe the picture.
pub(super) fn from_json(operation: &str, described: Map<String, Value>) -> Result<Submission, Invalid> {
    let wrong = |what: &str, e: serde_json::Error| {
        Invalid::new(format!("{what} is not understood: {e}"), "Compare it with the documentation.")
    };
    let operation: Operation = serde_json::from_value(json!(operation)).map_err(|e| wrong("operation", e))?;
    if described.get("options").is_some_and(|options| !options.is_object()) {
        options("");
    }
    let request: RawRequest =
        serde_json::from_value(Value::Object(described)).map_err(|e| wrong("the request", e))?;
    Ok(Submission {
        operation,
        request,
        model: None,
        metadata: super::Metadata::new(None),
        preferences: None,
        key: None,
        deadline: None,
        max_cost: None,
        allow_unpriced: false,
        batch: None,
    })
}

/// What [`from_json`] does not read: the rest of a shot's arguments.
pub(super) fn terms(submission: &mut Submission, arguments: &Map<String, Value>) {
    let text = |name: &str| match arguments.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    submission.model = text("model");
    submission.preferences = match arguments.get("provider_preferences") {
        None | Some(Value::Null) => None,
        Some(json) => Some(json.to_string()),
    };
    let metadata = arguments.get("metadata").filter(|m| !m.is_null()).cloned();
    submission.metadata = super::Metadata::new(metadata.and_then(|m| pgrx::JsonB(m).into_datum()));
    let (deadline, max_cost, allow_unpriced) = (text("deadline"), text("max_cost"), text("allow_unpriced"));
    if deadline.is_some() || max_cost.is_some() || allow_unpriced.is_some() {
        (submission.deadline, submission.max_cost, submission.allow_unpriced) =
            super::row::typed(deadline, max_cost, allow_unpriced);
    }
}

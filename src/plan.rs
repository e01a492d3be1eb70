//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

use std::cell::RefCell;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::cost::{self, Work};
use image_gen_engine::job::{Asked, Invalid, MAX_PROMPT_CHARS, Operation, Request, Warning};
use image_gen_engine::provider::{self, Call, Prepared};
use image_gen_engine::{route, seed, size};
use pgrx::prelude::*;
use pgrx::{JsonB, default};
use rust_decimal::Decimal;
use serde_json::{Value, json};

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

/// Checks a request against the candidates of its model and says what will happen: the checked request, warnings,
/// and the estimate. Raises an error for what is wrong.
#[expect(clippy::too_many_arguments, reason = "one call from SQL, each argument from another table")]
#[pg_extern(stable, parallel_safe)]
pub fn _plan(
    job_id: &str,
    operation: &str,
    asked: &str,
    provider: Option<&str>,
    model: &str,
    candidates: &str,
    preferences: default!(Option<&str>, "NULL"),
    known: default!(Option<Vec<String>>, "NULL"),
    max_cost: default!(Option<AnyNumeric>, "NULL"),
    configured: default!(Option<Vec<String>>, "NULL"),
) -> JsonB {
    let ask = Ask {
        job_id,
        operation,
        asked,
        provider,
        model,
        candidates,
        preferences,
        known: known.unwrap_or_default(),
        // NaN and infinity were refused before; an amount with more digits than a Decimal has is no limit.
        max_cost: max_cost.and_then(|m| m.to_string().parse().ok()),
        configured,
    };
    match ask.plan() {
        Ok(plan) => JsonB(plan),
        Err((kind, invalid)) => raise(kind, &invalid),
    }
}

struct Ask<'a> {
    job_id: &'a str,
    operation: &'a str,
    asked: &'a str,
    provider: Option<&'a str>,
    model: &'a str,
    candidates: &'a str,
    preferences: Option<&'a str>,
    known: Vec<String>,
    max_cost: Option<Decimal>,
    configured: Option<Vec<String>>,
}

type Wrong = (Kind, Invalid);

impl Ask<'_> {
    fn plan(self) -> Result<Value, Wrong> {
        let argument = |invalid| (Kind::Argument, invalid);
        let broken = |what: &str, e: serde_json::Error| {
            argument(Invalid::new(
                format!("{what} is not understood: {e}"),
                "Compare it with the documentation.",
            ))
        };
        let operation: Operation =
            serde_json::from_value(json!(self.operation)).map_err(|e| broken("operation", e))?;
        let asked: Asked = serde_json::from_str(self.asked).map_err(|e| broken("the request", e))?;
        let priority = asked.priority.clone();
        let request = asked.check(seed::for_job(self.job_id)).map_err(argument)?;
        let preferences: Value = match self.preferences {
            Some(text) => serde_json::from_str(text).map_err(|e| broken("provider_preferences", e))?,
            None => Value::Null,
        };
        let wishes = route::preferences(&preferences, &self.known)
            .map_err(|invalid| (if invalid.unknown { Kind::Unknown } else { Kind::Argument }, invalid))?;
        let candidates: Vec<Candidate> =
            serde_json::from_str(self.candidates).map_err(|e| broken("a row of image_gen.models", e))?;
        if candidates.is_empty() {
            let at = self.provider.map(|p| format!(" at provider '{p}'")).unwrap_or_default();
            return Err((
                Kind::NotSupported,
                Invalid::new(
                    format!("model '{}' is not offered{at}", self.model),
                    "See image_gen.models for who offers it, and image_gen.providers for who is enabled.",
                ),
            ));
        }
        let route = route::order(candidates, &wishes, operation, self.job_id, |_| true);
        if route.candidates.is_empty() {
            let why: Vec<String> =
                route.left_out.iter().map(|(c, out)| format!("{}: {}", c.provider, out.as_str())).collect();
            return Err((
                Kind::NotSupported,
                Invalid::new(
                    format!("no provider is left for model '{}' ({})", self.model, why.join(", ")),
                    "Change provider_preferences, or name another model.",
                ),
            ));
        }
        let (head, prepared) = first_that_can(&route.candidates, operation, &request).map_err(argument)?;
        let mut warnings = prepared.warnings.clone();
        if priority.is_some() {
            let message = "priority does not choose a model: the model was named or is the default";
            warnings.push(Warning::new("unsupported", message));
        }
        warnings.extend(self.not_configured(head));
        let estimated_cost = estimate(head, &request, &prepared);
        self.check_cost(estimated_cost)?;
        Ok(json!({
            "request": request,
            "warnings": warnings,
            "estimated_cost": estimated_cost.map(|c| c.normalize().to_string()),
            "estimated_seconds": head.typical_seconds,
        }))
    }

    /// The worker says which keys it has; without that word nothing is said.
    fn not_configured(&self, head: &Candidate) -> Option<Warning> {
        let names = self.configured.as_ref()?;
        let key = provider::key_name(provider::find(&head.kind)?, head)?;
        (!names.iter().any(|n| n == key)).then(|| {
            let message =
                format!("provider {} has no key yet: set {key} in the server's environment", head.provider);
            Warning::new("not_configured", message)
        })
    }

    fn check_cost(&self, estimate: Option<Decimal>) -> Result<(), Wrong> {
        let Some(limit) = self.max_cost else { return Ok(()) };
        let error = match estimate {
            Some(estimate) if estimate <= limit => return Ok(()),
            Some(estimate) => Invalid::new(
                format!("the job would cost about {estimate} USD, more than max_cost {limit}"),
                "Raise max_cost, or choose another model, quality or n.",
            ),
            None => Invalid::new(
                format!("nobody knows what '{}' costs, so max_cost {limit} cannot be kept", self.model),
                "Add a row to image_gen.prices, or leave max_cost out.",
            ),
        };
        Err((Kind::Budget, error))
    }
}

/// The first candidate that can do the request as a whole; else the first one's reason why not.
fn first_that_can<'a>(
    candidates: &'a [Candidate],
    operation: Operation,
    request: &Request,
) -> Result<(&'a Candidate, Prepared), Invalid> {
    let mut first = None;
    for candidate in candidates {
        match fits(candidate, operation, request) {
            Ok(prepared) => return Ok((candidate, prepared)),
            Err(invalid) => first = first.or(Some(invalid)),
        }
    }
    Err(first.unwrap_or_else(|| Invalid::new("there is no candidate", "Name another model.")))
}

fn fits(candidate: &Candidate, operation: Operation, request: &Request) -> Result<Prepared, Invalid> {
    if request.n > candidate.max_n {
        return Err(Invalid::new(
            format!("{} makes {} in one call, n is {}", candidate.name(), candidate.max_n, request.n),
            "Queue several jobs, or choose a model with a higher max_n in image_gen.models.",
        ));
    }
    let (length, limit) =
        (request.prompt.chars().count(), candidate.prompt_chars.map_or(MAX_PROMPT_CHARS, |c| c as usize));
    if length > limit {
        return Err(Invalid::new(
            format!("the prompt has {length} characters, {} takes {limit}", candidate.name()),
            "Shorten the prompt, or choose a model with a higher prompt_chars in image_gen.models.",
        ));
    }
    let Some(adapter) = provider::find(&candidate.kind) else {
        let kinds: Vec<&str> = provider::TABLE.iter().map(|p| p.kind()).collect();
        return Err(Invalid::new(
            format!(
                "provider '{}' has the kind '{}', which has no adapter",
                candidate.provider, candidate.kind
            ),
            format!("Kinds are: {}.", kinds.join(", ")),
        ));
    };
    adapter.prepare(&Call { operation, request, candidate })
}

fn estimate(candidate: &Candidate, request: &Request, prepared: &Prepared) -> Option<Decimal> {
    let pixels =
        size::choose(&candidate.sizes, request).ok().map(|(s, _)| u64::from(s.width) * u64::from(s.height));
    let work = Work { images: request.n, pixels, quality: prepared.quality.clone(), tokens: None };
    cost::price(&candidate.prices, &work)
}

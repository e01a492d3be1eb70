//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

mod estimate;

use std::cell::RefCell;
use std::collections::BTreeMap;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::egress::{AllowedHosts, is_public};
use image_gen_engine::input::{Inputs, Reference, Role};
use image_gen_engine::job::{Asked, Consistency, Invalid, Operation, Request, Task, Warning};
use image_gen_engine::provider::{self, Prepared};
use image_gen_engine::{catalogue, http, input, picture, route, seed};
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
    let mut warnings = vec![];
    if priority.is_some() {
        let message = "priority does not choose a model: the model was named or is the default";
        warnings.push(Warning::new("unsupported", message));
    }
    let task = if character { "character" } else { task.as_str() };
    Ok(json!({"request": request, "task": task, "kept": kept, "warnings": warnings}))
}

/// A picture is fetched from the public internet, or from a host that the administrator allows.
fn check_url(role: Role, url: &str) -> Result<(), Invalid> {
    let Some(origin) = http::origin(url) else { return Ok(()) };
    if AllowedHosts::parse(&settings::text(&settings::ALLOW_PRIVATE_HOSTS)).contains(&origin.host) {
        return Ok(());
    }
    let literal = origin.host.trim_start_matches('[').trim_end_matches(']').parse();
    if origin.scheme != "https" || literal.is_ok_and(|address| !is_public(address)) {
        return Err(Invalid::new(
            format!("{}: {} is not public, or its URL is not https", role.name(), origin.host),
            "Use an https URL of a public host, or ask the administrator for image_gen.allow_private_hosts.",
        ));
    }
    Ok(())
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
) -> JsonB {
    let ask = Ask {
        job_id,
        provider,
        model,
        preferences,
        known: known.unwrap_or_default(),
        // NaN and infinity were refused before; an amount with more digits than a Decimal has is no limit.
        max_cost: max_cost.and_then(|m| m.to_string().parse().ok()),
        configured,
    };
    match ask.plan(operation, request, candidates) {
        Ok(plan) => JsonB(plan),
        Err((kind, invalid)) => raise(kind, &invalid),
    }
}

struct Ask<'a> {
    job_id: &'a str,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    preferences: Option<&'a str>,
    known: Vec<String>,
    max_cost: Option<Decimal>,
    configured: Option<Vec<String>>,
}

type Wrong = (Kind, Invalid);

fn argument(invalid: Invalid) -> Wrong {
    (Kind::Argument, invalid)
}

impl Ask<'_> {
    fn plan(self, operation: &str, request: &str, candidates: &str) -> Result<Value, Wrong> {
        let operation: Operation = parsed("operation", &json!(operation).to_string()).map_err(argument)?;
        let request: Request = parsed("the request", request).map_err(argument)?;
        let task = request.task(operation);
        let preferences: Value = match self.preferences {
            Some(text) => parsed("provider_preferences", text).map_err(argument)?,
            None => Value::Null,
        };
        let wishes = route::preferences(&preferences, &self.known)
            .map_err(|invalid| (if invalid.unknown { Kind::Unknown } else { Kind::Argument }, invalid))?;
        let candidates: Vec<Candidate> = parsed("a row of image_gen.models", candidates).map_err(argument)?;
        if candidates.is_empty() {
            return Err((Kind::NotSupported, self.nobody(task)));
        }
        let route = route::order(candidates, &wishes, task, self.job_id, |_| true);
        if route.candidates.is_empty() {
            let why: Vec<String> =
                route.left_out.iter().map(|(c, out)| format!("{}: {}", c.name(), out.as_str())).collect();
            return Err((
                Kind::NotSupported,
                Invalid::new(
                    format!("nobody is left to {} ({})", task.as_str(), why.join(", ")),
                    "Change provider_preferences, or name another model: image_gen.models says what each can do.",
                ),
            ));
        }
        let ready = |c: &Candidate| self.missing_key(c).is_none();
        let (head, prepared) =
            first_that_can(&route.candidates, task, &request, self.model.is_none().then_some(&ready))
                .map_err(argument)?;
        let mut warnings = prepared.warnings.clone();
        if head.operations.contains(&task) {
            // It does it in its own way.
        } else {
            let message = format!("{} outpaints by inpainting on a larger canvas", head.name());
            warnings.push(Warning::new("adjusted", message));
        }
        warnings.extend(self.missing_key(head).map(|key| {
            let message =
                format!("provider {} has no key yet: set {key} in the server's environment", head.provider);
            Warning::new("not_configured", message)
        }));
        let estimated_cost = estimate::cost(head, &request, &prepared);
        self.check_cost(&head.model, estimated_cost)?;
        Ok(json!({
            "model": head.model,
            "warnings": warnings,
            "estimated_cost": estimated_cost.map(|c| c.normalize().to_string()),
            "estimated_seconds": head.typical_seconds,
        }))
    }

    fn nobody(&self, task: Task) -> Invalid {
        let at = self.provider.map(|p| format!(" at provider '{p}'")).unwrap_or_default();
        match self.model {
            Some(model) => Invalid::new(
                format!("model '{model}' is not offered{at}"),
                "See image_gen.models for who offers it, and image_gen.providers for who is enabled.",
            ),
            None => Invalid::new(
                format!("no enabled provider can {}{at}", task.as_str()),
                "See image_gen.models for who can, and image_gen.providers for who is enabled.",
            ),
        }
    }

    /// The name of the key that a candidate lacks. The worker says which keys it has; without that word none is missing.
    fn missing_key(&self, candidate: &Candidate) -> Option<String> {
        let names = self.configured.as_ref()?;
        let adapter = provider::find(&candidate.kind)?;
        let needed = [
            provider::key_name(adapter, candidate),
            adapter.address_name().filter(|_| candidate.base_url.is_none()),
        ];
        needed.into_iter().flatten().find(|key| !names.iter().any(|n| n == key)).map(str::to_owned)
    }

    fn check_cost(&self, model: &str, estimate: Option<Decimal>) -> Result<(), Wrong> {
        let Some(limit) = self.max_cost else { return Ok(()) };
        let error = match estimate {
            Some(estimate) if estimate <= limit => return Ok(()),
            Some(estimate) => Invalid::new(
                format!("the job would cost about {estimate} USD, more than max_cost {limit}"),
                "Raise max_cost, or choose another model, quality or n.",
            ),
            None => Invalid::new(
                format!("nobody knows what '{model}' costs, so max_cost {limit} cannot be kept"),
                "Add a row to image_gen.prices, or leave max_cost out.",
            ),
        };
        Err((Kind::Budget, error))
    }
}

/// The first candidate that can do the request as a whole; else the first one's reason why not. With `ready`, one that
/// is ready comes before all others.
fn first_that_can<'a>(
    candidates: &'a [Candidate],
    task: Task,
    request: &Request,
    ready: Option<&dyn Fn(&Candidate) -> bool>,
) -> Result<(&'a Candidate, Prepared), Invalid> {
    let (mut able, mut first) = (None, None);
    let inputs = Inputs::stand_ins(request);
    for candidate in candidates {
        match provider::plan(candidate, task, request, &inputs, &BTreeMap::new(), "planned") {
            Ok(prepared) if ready.is_none_or(|ready| ready(candidate)) => return Ok((candidate, prepared)),
            Ok(prepared) => able = able.or(Some((candidate, prepared))),
            Err(invalid) => first = first.or(Some(invalid)),
        }
    }
    able.ok_or_else(|| first.unwrap_or_else(|| Invalid::new("there is no candidate", "Name another model.")))
}

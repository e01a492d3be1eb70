//! A request, checked in the caller's session: what is wrong with it is said at once, and nothing is queued.

use std::cell::RefCell;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::egress::{AllowedHosts, is_public};
use image_gen_engine::input::{Reference, Role};
use image_gen_engine::job::{Asked, Consistency, Invalid, Operation, Request, Task, Warning};
use image_gen_engine::provider::{self, Submission};
use image_gen_engine::route::{self, Out, Priority, Route};
use image_gen_engine::{capability, catalogue, http, input, picture, seed, wording};
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
    key_name.or(adapter.key_name()).or(adapter.address_name()).map(str::to_owned)
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
    has(key_name.or(adapter.key_name())) && has(adapter.address_name().filter(|_| base_url.is_none()))
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
    priority: default!(Option<&str>, "NULL"),
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
        priority,
    };
    match ask.plan(operation, request, candidates) {
        Ok(plan) => JsonB(plan),
        Err((kind, invalid)) => raise(kind, &invalid),
    }
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
    let max_cost = max_cost.and_then(|m| m.to_string().parse().ok());
    let known = known.unwrap_or_default();
    let ask = Ask { job_id, provider, model, preferences, known, max_cost, configured, priority };
    match ask.explain(operation, request, candidates) {
        Ok(rows) => JsonB(rows),
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

struct Ask<'a> {
    job_id: &'a str,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    preferences: Option<&'a str>,
    known: Vec<String>,
    max_cost: Option<Decimal>,
    configured: Option<Vec<String>>,
    priority: Option<&'a str>,
}

type Wrong = (Kind, Invalid);

fn argument(invalid: Invalid) -> Wrong {
    (Kind::Argument, invalid)
}

/// What all questions about a request begin with.
struct Asking {
    task: Task,
    request: Request,
    wishes: route::Preferences,
    route: Route,
}

impl Ask<'_> {
    fn read(
        &self,
        operation: &str,
        request: &str,
        candidates: &str,
        ceiling: Option<Decimal>,
        skip_idle: bool,
    ) -> Result<Asking, Wrong> {
        let operation: Operation = parsed("operation", &json!(operation).to_string()).map_err(argument)?;
        let request: Request = parsed("the request", request).map_err(argument)?;
        let task = request.task(operation);
        let priority: Option<Priority> = match self.priority {
            Some(word) => Some(parsed("priority", &json!(word).to_string()).map_err(argument)?),
            None => None,
        };
        let preferences: Value = match self.preferences {
            Some(text) => parsed("provider_preferences", text).map_err(argument)?,
            None => Value::Null,
        };
        let wishes = route::preferences(&preferences, &self.known)
            .map_err(|invalid| (if invalid.unknown { Kind::Unknown } else { Kind::Argument }, invalid))?;
        let mut candidates: Vec<Candidate> =
            parsed("a row of image_gen.models", candidates).map_err(argument)?;
        if candidates.is_empty() {
            return Err((Kind::NotSupported, self.nobody(task)));
        }
        if self.model.is_none() {
            // The choice is open: nobody stands in for anybody.
            candidates.iter_mut().for_each(|c| c.stands_in = false);
        }
        // Of an open choice those without a key are left out, unless there is nobody else.
        let some_ready = candidates.iter().any(|c| self.missing_key(c).is_none());
        let idle =
            |c: &Candidate| skip_idle && self.model.is_none() && some_ready && self.missing_key(c).is_some();
        let judge = |c: &Candidate| match idle(c) {
            true => Err(Out::NotConfigured),
            false => route::fits(c, task, &request, ceiling).map(|(_, cost)| cost),
        };
        let route = route::order(candidates, &wishes, priority, task, self.job_id, judge);
        Ok(Asking { task, request, wishes, route })
    }

    fn plan(self, operation: &str, request: &str, candidates: &str) -> Result<Value, Wrong> {
        let Asking { task, request, wishes, route } =
            self.read(operation, request, candidates, None, true)?;
        // The worker will go to the first that is ready.
        let ready = |c: &&Candidate| self.missing_key(c).is_none();
        let head = route.candidates.iter().find(ready).or(route.candidates.first());
        let Some(head) = head else { return Err(self.nobody_is_left(task, &wishes, &route)) };
        let (prepared, estimated_cost) = route::fits(head, task, &request, None).map_err(|out| {
            argument(Invalid::new(out.details().unwrap_or(out.as_str()), "Change the request."))
        })?;
        let mut warnings = prepared.warnings.clone();
        if !head.operations.contains(&task) {
            let message = format!("{} outpaints by inpainting on a larger canvas", head.name());
            warnings.push(Warning::new("adjusted", message));
        }
        if wording::asks_for_text(&request.prompt) && !wording::writes_legibly(&head.model) {
            // S15
            let message = format!(
                "{} mangles text of more than one word; image_gen.choose_model(needs_text => true) names better ones",
                head.model
            );
            warnings.push(Warning::new("text_in_picture", message));
        }
        warnings.extend(self.missing_key(head).map(|key| {
            let message =
                format!("provider {} has no key yet: set {key} in the server's environment", head.provider);
            Warning::new("not_configured", message)
        }));
        self.check_cost(&head.model, estimated_cost)?;
        Ok(json!({
            "model": head.model,
            "warnings": warnings,
            "estimated_cost": estimated_cost.map(|c| c.normalize().to_string()),
            "estimated_seconds": head.typical_seconds,
        }))
    }

    fn explain(self, operation: &str, request: &str, candidates: &str) -> Result<Value, Wrong> {
        let asking = self.read(operation, request, candidates, self.max_cost, false)?;
        // A provider without a key is not called: it goes to the end, and so does its chance.
        let (ready, idle): (Vec<_>, Vec<_>) =
            asking.route.candidates.into_iter().partition(|c| self.missing_key(c).is_none());
        let chances = route::chances(&ready, &asking.wishes);
        let mut rows = vec![];
        for (position, (candidate, chance)) in ready.iter().zip(chances).enumerate() {
            let reason = match (position, candidate.stands_in) {
                (0, _) => "tried first",
                (_, false) => "tried when those before it fail",
                (_, true) => "stands in with its own model when those before it fail",
            };
            let mut row = describe(candidate, asking.task, &asking.request);
            row.extend([
                ("position".to_owned(), json!(position + 1)),
                ("included".to_owned(), json!(true)),
                ("reason".to_owned(), json!(reason)),
                ("probability".to_owned(), json!((chance * 1e6).round() / 1e6)),
            ]);
            rows.push(row);
        }
        let missing = |c: &Candidate| format!("not_configured: {}", self.missing_key(c).unwrap_or_default());
        let idle = idle.iter().map(|c| (c, missing(c)));
        let out = asking.route.left_out.iter().map(|(c, out)| {
            let details = out.details().map(|d| format!(": {d}")).unwrap_or_default();
            (c, format!("{}{details}", out.as_str()))
        });
        for (candidate, reason) in idle.chain(out) {
            let mut row = describe(candidate, asking.task, &asking.request);
            row.extend([("included".to_owned(), json!(false)), ("reason".to_owned(), json!(reason))]);
            rows.push(row);
        }
        Ok(json!(rows))
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

    fn nobody_is_left(&self, task: Task, wishes: &route::Preferences, route: &Route) -> Wrong {
        // What is wrong with the request itself is said in its own words.
        let unfit = route.left_out.iter().find(|(_, out)| matches!(out, Out::Unfit(_)));
        if let Some((candidate, Out::Unfit(_))) = unfit {
            return argument(self.unfit(task, candidate, route));
        }
        let mut why: Vec<String> =
            route.left_out.iter().map(|(c, out)| format!("{}: {}", c.name(), out.as_str())).collect();
        // Who can do nothing of the kind is no candidate at all.
        let unable =
            |name: &&String| wishes.only && !route.left_out.iter().any(|(c, _)| c.provider == **name);
        why.extend(wishes.preferred.iter().filter(unable).map(|name| format!("{name}: not_supported")));
        let hint = match why.iter().any(|why| why.ends_with("not_supported")) {
            // S137, S138
            true => format!("Models that can: {}.", able(task)),
            false => "Change provider_preferences or priority, or name another model.".to_owned(),
        };
        let message = format!("nobody is left to {} ({})", task.as_str(), why.join(", "));
        (Kind::NotSupported, Invalid::new(message, hint))
    }

    fn unfit(&self, task: Task, candidate: &Candidate, route: &Route) -> Invalid {
        let request = |out: &Out| out.details().unwrap_or_default().to_owned();
        let text =
            route.left_out.iter().find(|(c, _)| c.name() == candidate.name()).map(|(_, out)| request(out));
        let text = text.unwrap_or_default();
        let (message, hint) = text.split_once(". ").unwrap_or((text.as_str(), ""));
        let hint = if hint.is_empty() {
            format!("Models that can {}: {}.", task.as_str(), able(task))
        } else {
            hint.to_owned()
        };
        Invalid::new(message, hint)
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

/// Some models of the shipped catalogue that do a task.
fn able(task: Task) -> String {
    let mut names: Vec<String> =
        catalogue::shipped().candidates().filter(|c| provider::can(c, task)).map(|c| c.model).collect();
    names.retain(|name| name != "*");
    names.sort();
    names.dedup();
    names.truncate(12);
    names.join(", ")
}

/// What a candidate would be sent, what that would cost and how long it would take.
fn describe(candidate: &Candidate, task: Task, request: &Request) -> Map<String, Value> {
    let fits = route::fits(candidate, task, request, None).ok();
    let (prepared, cost) = fits.map_or((None, None), |(prepared, cost)| (Some(prepared), cost));
    let sent = prepared.as_ref().and_then(|p| match &p.submission {
        Submission::Http(http) => {
            let headers: Map<String, Value> = http
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .chain(http.auth.map(|auth| (auth.header.to_owned(), json!(format!("{}***", auth.prefix)))))
                .collect();
            Some(json!({"method": "POST", "url": http.url, "headers": headers, "body": http.body.shown()}))
        }
        Submission::Local => None,
    });
    let row = json!({
        "provider": candidate.provider,
        "model": candidate.model,
        "estimated_cost": cost.map(|c| c.normalize().to_string()),
        "estimated_seconds": candidate.typical_seconds,
        "warnings": prepared.map(|p| p.warnings).unwrap_or_default(),
        "request": sent,
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

//! What becomes of a request, as SQL sees it: views of [`image_gen_engine::admission`].

use image_gen_engine::admission::{
    self, Admission, Kind, Purpose, Query, Rejection, Surroundings, Target, missing_key,
};
use image_gen_engine::allowance::Allowance;
use image_gen_engine::candidate::Candidate;
use image_gen_engine::catalogue::{Need, Provider, Snapshot, Wish};
use image_gen_engine::job::{Invalid, Operation, Request, Task};
use image_gen_engine::provider::{self, Submission};
use image_gen_engine::route::{self, Exclusion, Preferences, Priority};
use image_gen_engine::{capability, seed};
use pgrx::prelude::*;
use pgrx::{JsonB, default};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{caller, check, new_job_id, parsed};
use crate::errors::{Code, fail};
use crate::submit::rights::{self, Rights};
use crate::submit::{arguments, styles};
use crate::{settings, snapshot};

/// The catalogue as this session sees it, with the keys that the worker has said it has, and measured times.
struct Session<'a>(&'a Snapshot);

impl Surroundings for Session<'_> {
    fn has(&self, name: &str) -> bool {
        // Without the worker's word none is missing.
        self.0.keys().is_none_or(|keys| keys.iter().any(|key| key == name))
    }

    fn seconds(&self, provider: &str, model: &str, class: &str) -> Option<f64> {
        snapshot::seconds(provider, model, class)
    }
}

/// Whether the worker has what a provider needs: its key, or its address.
#[pg_extern(schema = "image_gen_internal", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
pub fn is_configured(provider: &str) -> bool {
    let snapshot = snapshot::current();
    let session = Session(&snapshot);
    snapshot.provider(provider).is_some_and(|provider| provider.has_access(&|name| session.has(name)))
}

pub fn answered<T>(result: Result<T, Rejection>) -> T {
    result.unwrap_or_else(|rejection| {
        let code = match rejection.kind {
            Kind::Argument => Code::Argument,
            Kind::Unknown => Code::Unknown,
            Kind::NotSupported => Code::NotSupported,
            Kind::Budget => Code::Limit,
            Kind::Forbidden => Code::Privilege,
        };
        fail(code, &rejection.invalid.message, &rejection.invalid.hint)
    })
}

/// NaN and infinity were refused before; an amount with more digits than a Decimal has is no limit.
fn limit(max_cost: Option<AnyNumeric>) -> Option<Decimal> {
    max_cost.and_then(|m| m.to_string().parse().ok())
}

/// What `provider_preferences` come to with those of the setting `image_gen.provider_preferences`; `None` when there are
/// none.
fn preferences(snapshot: &Snapshot, asked: Option<&str>) -> Result<Option<Preferences>, Invalid> {
    let setting = settings::text(&settings::PREFERENCES);
    if setting.is_empty() && asked.is_none() {
        return Ok(None);
    }
    let read = |text: &str| -> Result<(Preferences, Value), Invalid> {
        let json: Value = if text.is_empty() { json!({}) } else { parsed("provider_preferences", text)? };
        Ok((route::preferences(&json, snapshot.provider_ids())?, json))
    };
    let (base, _) = read(&setting)?;
    let (own, json) = read(asked.unwrap_or_default())?;
    Ok(Some(route::merged(base, own, &json)))
}

/// What is wrong with the setting `image_gen.provider_preferences`, where something is.
pub fn preferences_problem() -> Option<String> {
    preferences(&snapshot::current(), None).err().map(|invalid| invalid.message)
}

/// A checked request, and what its caller says about where it should go.
pub struct Wanted<'a> {
    pub job_id: &'a str,
    pub operation: Operation,
    pub request: &'a Request,
    pub priority: Option<Priority>,
    pub model: Option<&'a str>,
    pub preferences: Option<&'a str>,
    pub max_cost: Option<Decimal>,
    pub allow_unpriced: bool,
    pub allowance: &'a Allowance,
}

/// Where it may go.
pub struct Answer {
    pub need: Need,
    pub target: Target,
    pub preferences: Option<Preferences>,
    pub admission: Admission,
}

impl Answer {
    /// How long all calls of the first candidate take together, one after the other.
    pub fn seconds(&self, request: &Request) -> Option<f64> {
        self.admission.first().map(|candidate| seconds(candidate, self.need.task, request))
    }
}

fn seconds(candidate: &Candidate, task: Task, request: &Request) -> f64 {
    let all = candidate.typical_seconds * f64::from(provider::calls(candidate, task, request));
    (all * 1000.0).round() / 1000.0
}

impl Wanted<'_> {
    /// Decides it.
    pub fn ask(&self, snapshot: &Snapshot, purpose: Purpose) -> Result<Answer, Rejection> {
        let default = settings::text(&settings::DEFAULT_MODEL);
        let need = Need::of(self.request, self.operation);
        let target = Target::of(snapshot, self.operation, self.request, self.priority, self.model, &default)?;
        let preferences = preferences(snapshot, self.preferences)?;
        let query = Query {
            purpose,
            job_id: self.job_id,
            need,
            operation: self.operation,
            allowance: self.allowance,
            request: self.request,
            target: &target,
            priority: self.priority,
            max_cost: self.max_cost,
            allow_unpriced: self.allow_unpriced,
            own: None,
            preview: false,
        };
        let wishes = preferences.clone().unwrap_or_default();
        let admission = admission::admit(snapshot, &query, &wishes, &Session(snapshot))?;
        Ok(Answer { need, target, preferences, admission })
    }
}

/// The whole route of an operation's arguments, with why each candidate is in or out and what it would be sent; and the
/// providers that can do nothing of the kind. Nothing is sent.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn explain_request(
    operation: Option<&str>,
    arguments: Option<&str>,
    max_cost: Option<AnyNumeric>,
) -> JsonB {
    let (operation, arguments) = arguments::operation_named(operation, arguments);
    let explained = || -> Result<Value, Rejection> {
        let job_id = new_job_id();
        let mut request = arguments::described("the request", &arguments)?;
        request.style = styles::of_caller(&arguments);
        let snapshot = snapshot::current();
        let mut rights = Rights::of(caller());
        rights.check_options(&snapshot, request.options.as_ref());
        let checked = check(&job_id, operation, request)?;
        admission::content(&snapshot, &checked.request.prompt)?;
        let model = arguments.get("model").copied().and_then(arguments::text);
        let preferences = arguments::preferences(&arguments);
        let wanted = Wanted {
            job_id: &job_id,
            operation,
            request: &checked.request,
            priority: checked.priority,
            model: model.as_deref(),
            preferences: preferences.as_deref(),
            max_cost: limit(max_cost),
            allow_unpriced: false,
            allowance: rights.allowance(&snapshot),
        };
        let answer = wanted.ask(&snapshot, Purpose::Explain)?;
        let mut rows = explain(&answer, wanted.request, &Session(&snapshot));
        rows.extend(incapable(&snapshot, &answer).map(
            |p| json!({"provider": p.id, "included": false, "reason": "not_supported", "warnings": []}),
        ));
        Ok(Value::Array(rows))
    };
    JsonB(answered(explained()))
}

/// Providers that have no model for the task are no candidates at all; it is said all the same.
fn incapable<'a>(snapshot: &'a Snapshot, answer: &'a Answer) -> impl Iterator<Item = &'a Provider> {
    let named = answer.target.named.as_ref().and_then(|named| named.provider.as_deref());
    let asked =
        move |p: &&Provider| p.enabled && !provider::draws(&p.kind) && named.is_none_or(|id| id == p.id);
    snapshot.providers().iter().filter(asked).filter(|p| !snapshot.can(p, answer.need))
}

fn explain(answer: &Answer, request: &Request, session: &Session<'_>) -> Vec<Value> {
    let task = answer.need.task;
    let wishes = answer.preferences.clone().unwrap_or_default();
    // A provider without a key is not called: it goes to the end, and so does its chance.
    let missing = |c: &Candidate| missing_key(c, session).map(str::to_owned);
    let (ready, idle): (Vec<_>, Vec<_>) =
        answer.admission.route.iter().cloned().partition(|c| missing(c).is_none());
    // As the worker does it: none stands in for those of which none can be tried.
    let alone = ready.iter().all(|c| c.stands_in);
    let (ready, standing): (Vec<_>, Vec<_>) = ready.into_iter().partition(|_| !alone);
    let chances = route::chances(&ready, &wishes);
    let mut rows = vec![];
    for (position, (candidate, chance)) in ready.iter().zip(chances).enumerate() {
        let reason = match (position, candidate.stands_in) {
            (_, false) if !wishes.weights.is_empty() => {
                "tried first with this probability, else in this order"
            }
            (0, _) => "tried first",
            (_, false) => "tried when those before it fail",
            (_, true) => "stands in with its own model when those before it fail",
        };
        let mut row = describe(candidate, task, request);
        row.extend([
            ("position".to_owned(), json!(position + 1)),
            ("included".to_owned(), json!(true)),
            ("reason".to_owned(), json!(reason)),
            ("probability".to_owned(), json!((chance * 1e6).round() / 1e6)),
        ]);
        rows.push(Value::Object(row));
    }
    let lacks = |c: &Candidate| format!("not_configured: {}", missing(c).unwrap_or_default());
    let standing = standing.iter().map(|c| (c, Exclusion::NothingToStandInFor.as_str().to_owned()));
    let idle = idle.iter().map(|c| (c, lacks(c))).chain(standing);
    let out = answer.admission.excluded.iter().map(|(c, why)| {
        let details = why.details().map(|d| format!(": {d}")).unwrap_or_default();
        (c, format!("{}{details}", why.as_str()))
    });
    for (candidate, reason) in idle.chain(out) {
        let mut row = describe(candidate, task, request);
        row.extend([("included".to_owned(), json!(false)), ("reason".to_owned(), json!(reason))]);
        rows.push(Value::Object(row));
    }
    rows
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
        "estimated_seconds": seconds(candidate, task, request),
        "warnings": prepared.map(|p| p.warnings).unwrap_or_default(),
        "request": sent,
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// Where a job in the queue may go, in order, as `provider:model`: what the worker's admission comes to, as far as this session
/// can know. Empty where it can go nowhere.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "the columns of a job")]
pub fn plan_route(
    job_id: &str,
    operation: &str,
    request: &str,
    model: &str,
    model_is_open: bool,
    provider: Option<&str>,
    priority: Option<&str>,
    preferences: Option<&str>,
    max_cost: Option<AnyNumeric>,
    owner: pg_sys::Oid,
) -> Vec<String> {
    let route = || -> Result<Vec<String>, Rejection> {
        let word = |what: &str, word: &str| parsed(what, &json!(word).to_string());
        let operation = word("operation", operation)?;
        let request: Request = parsed("the request", request)?;
        let priority = priority.map(|p| parsed("priority", &json!(p).to_string())).transpose()?;
        let wishes: Option<Preferences> = preferences.map(|p| parsed("preferences", p)).transpose()?;
        let target = Target::queued(model.to_owned(), provider.map(str::to_owned), model_is_open);
        let snapshot = snapshot::current();
        let allowance = rights::allowance(&snapshot, owner);
        let query = Query {
            purpose: Purpose::Run,
            job_id,
            need: Need::of(&request, operation),
            operation,
            allowance: &allowance,
            request: &request,
            target: &target,
            priority,
            max_cost: limit(max_cost),
            allow_unpriced: true,
            own: None,
            preview: false,
        };
        let admission =
            admission::admit(&snapshot, &query, &wishes.unwrap_or_default(), &Session(&snapshot))?;
        Ok(admission.route.iter().map(Candidate::name).collect())
    };
    // What cannot be read is the worker's to say.
    route().unwrap_or_default()
}

/// What image_gen.model_rules say to a wish.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn choose_candidates(
    needs_text: bool,
    photoreal: bool,
    draft: bool,
    stylized: bool,
    editing: bool,
    priority: Option<&str>,
) -> TableIterator<
    'static,
    (name!(model, Option<String>), name!(rule, Option<String>), name!(reason, Option<String>)),
> {
    let wish = Wish { needs_text, photoreal, draft, stylized, editing, priority };
    let choice = answered(snapshot::current().choose(wish).map_err(Rejection::from));
    TableIterator::once((choice.model, choice.rule, choice.reason))
}

/// What a model's name stands for, and whether a provider that gets new jobs offers it for a task. Raises an error for a name
/// that does not exist.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn resolve_model(
    asked: &str,
    task: default!(Option<&str>, "NULL"),
) -> TableIterator<'static, (name!(provider, Option<String>), name!(model, String), name!(offered, bool))> {
    let resolved = || -> Result<_, Rejection> {
        let snapshot = snapshot::current();
        let target = snapshot.resolve(asked)?;
        let task: Option<Task> = match task {
            Some("character") => Some(Task::Generate),
            Some(task) => Some(parsed("task", &json!(task).to_string())?),
            None => None,
        };
        let offers = snapshot.offers(&target.model, target.provider.as_deref(), false)?;
        let offered = offers.iter().any(|c| task.is_none_or(|task| provider::can(c, task)));
        Ok((target.provider, target.model, offered))
    };
    TableIterator::once(answered(resolved()))
}

/// What a model does with each parameter in each task, found out by preparing requests (nothing is sent).
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
pub fn model_capabilities(provider: &str, model: &str) -> JsonB {
    let offers = snapshot::current().offers(model, Some(provider), true);
    let found = offers.ok().and_then(|offers| offers.first().map(capability::of));
    JsonB(json!(found.unwrap_or_default()))
}

/// The seed of a named relative of `base`: the same two always give the same seed, 0 to 2147483647, on every machine.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn derive_seed(base: i64, label: &str) -> i64 {
    seed::derive(base, label)
}

//! What becomes of a request: which candidates it has, in which order, and why not others.

use image_gen_engine::candidate::Candidate;
use image_gen_engine::job::{Invalid, Operation, Request, Task, Warning};
use image_gen_engine::provider::{self, Submission};
use image_gen_engine::route::{self, Out, Priority, Route};
use image_gen_engine::{catalogue, wording};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::parsed;
use crate::errors::Kind;

/// A question about a request.
pub(super) struct Ask<'a> {
    pub job_id: &'a str,
    pub provider: Option<&'a str>,
    pub model: Option<&'a str>,
    pub preferences: Option<&'a str>,
    pub known: Vec<String>,
    pub max_cost: Option<Decimal>,
    /// An unknown cost is no reason to refuse.
    pub allow_unpriced: bool,
    pub configured: Option<Vec<String>>,
    pub priority: Option<&'a str>,
}

/// What is wrong, and of which kind that is.
pub(super) type Wrong = (Kind, Invalid);

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
        to_queue: bool,
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
            |c: &Candidate| to_queue && self.model.is_none() && some_ready && self.missing_key(c).is_some();
        let judge = |c: &Candidate| match idle(c) {
            true => Err(Out::NotConfigured),
            false => route::fits(c, task, &request, ceiling).map(|(_, cost)| cost),
        };
        // Explained is the order before the draw: the draw depends on the id of a job that is not there.
        let drawn = route::Preferences { weights: Default::default(), ..wishes.clone() };
        let order_by = if to_queue { &wishes } else { &drawn };
        let route = route::order(candidates, order_by, priority, task, self.job_id, judge);
        Ok(Asking { task, request, wishes, route })
    }

    /// What will happen: the model, warnings, and the estimate.
    pub fn plan(self, operation: &str, request: &str, candidates: &str) -> Result<Value, Wrong> {
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
            "provider": head.provider,
            "warnings": warnings,
            "estimated_cost": estimated_cost.map(|c| c.normalize().to_string()),
            "estimated_seconds": head.typical_seconds,
        }))
    }

    /// The whole route, with why each candidate is in or out and what it would be sent.
    pub fn explain(self, operation: &str, request: &str, candidates: &str) -> Result<Value, Wrong> {
        let asking = self.read(operation, request, candidates, self.max_cost, false)?;
        // A provider without a key is not called: it goes to the end, and so does its chance.
        let (ready, idle): (Vec<_>, Vec<_>) =
            asking.route.candidates.into_iter().partition(|c| self.missing_key(c).is_none());
        // As the worker does it: nobody stands in for those of whom none can be tried.
        let alone = ready.iter().all(|c| c.stands_in);
        let (ready, standing): (Vec<_>, Vec<_>) = ready.into_iter().partition(|_| !alone);
        let chances = route::chances(&ready, &asking.wishes);
        let mut rows = vec![];
        for (position, (candidate, chance)) in ready.iter().zip(chances).enumerate() {
            let reason = match (position, candidate.stands_in) {
                (_, false) if !asking.wishes.weights.is_empty() => {
                    "tried first with this probability, else in this order"
                }
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
        let standing = standing.iter().map(|c| (c, Out::NothingToStandInFor.as_str().to_owned()));
        let idle = idle.iter().map(|c| (c, missing(c))).chain(standing);
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
        let unfit = route.left_out.iter().find_map(|(_, out)| match out {
            Out::Unfit(why) => Some(why),
            _ => None,
        });
        if let Some(why) = unfit {
            let (message, hint) = why.split_once(". ").unwrap_or((why, ""));
            return argument(match hint {
                "" => Invalid::new(message, format!("Models that can {}: {}.", task.as_str(), able(task))),
                hint => Invalid::new(message, hint),
            });
        }
        let mut why: Vec<String> =
            route.left_out.iter().map(|(c, out)| format!("{}: {}", c.name(), out.as_str())).collect();
        // Who has no key stands in for nobody, and who can do nothing of the kind is no candidate at all.
        let absent =
            |name: &&String| wishes.only && !route.left_out.iter().any(|(c, _)| c.provider == **name);
        let able_kind = |name: &String| {
            catalogue::shipped().candidates().any(|c| c.kind == *name && provider::can(&c, task))
        };
        why.extend(wishes.preferred.iter().filter(absent).map(|name| {
            let out = if able_kind(name) { Out::NotConfigured } else { Out::NotSupported };
            format!("{name}: {}", out.as_str())
        }));
        let hint = match why.iter().any(|why| why.ends_with("not_supported")) {
            // S137, S138
            true => format!("Models that can: {}.", able(task)),
            false => "Change provider_preferences or priority, or name another model.".to_owned(),
        };
        let message = format!("nobody is left to {} ({})", task.as_str(), why.join(", "));
        (Kind::NotSupported, Invalid::new(message, hint))
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
            None if self.allow_unpriced => return Ok(()),
            Some(estimate) => Invalid::new(
                format!("the job would cost about {estimate} USD, more than max_cost {limit}"),
                "Raise max_cost, or choose another model, quality or n.",
            ),
            None => Invalid::new(
                format!("nobody knows what '{model}' costs, so max_cost {limit} cannot be kept"),
                "Add a row to image_gen.prices, leave max_cost out, or say allow_unpriced => true.",
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

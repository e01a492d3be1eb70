//! Where a job may go, what is sent first, and what that costs: decided in one place. Queueing, estimating, explaining and
//! running a job are views of the same answer.

mod rejection;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

pub use rejection::{Kind, Rejection};

use crate::allowance::Allowance;
use crate::candidate::Candidate;
use crate::catalogue::{Need, Provider, Resolved, Snapshot, Wish};
use crate::content::{Action, Rule};
use crate::job::{Invalid, Operation, Request, Task, Warning};
use crate::progress::RefusalStep;
use crate::prompt_hints;
use crate::provider;
use crate::render_class;
use crate::route::{self, Exclusion, Head, Order, Preferences, Priority, Route};

/// What is not in the catalogue and changes by the minute.
pub trait Surroundings {
    /// Whether there is a key, or an address, of this name.
    fn has(&self, name: &str) -> bool;

    /// How long an image of a class (see [`crate::render_class`]) really takes at a provider, in seconds, where that is known.
    fn seconds(&self, provider: &str, model: &str, class: &str) -> Option<f64>;
}

/// Which model a job is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// The model that the caller or the request itself asks for, and its provider where that is named too.
    pub named: Option<Resolved>,
    /// Where the choice is open: the model whose providers come first.
    pub usual: Option<String>,
}

impl Target {
    /// What a request is for: the caller's model, else the one that its words ask for, else what serves it best with the
    /// default first. `asked` and `default` are names as people write them; an empty default is none.
    ///
    /// # Errors
    /// A name that does not exist.
    pub fn of(
        snapshot: &Snapshot,
        operation: Operation,
        request: &Request,
        priority: Option<Priority>,
        asked: Option<&str>,
        default: &str,
    ) -> Result<Target, Invalid> {
        let named = |name: &str| Ok(Target { named: Some(snapshot.resolve(name)?), usual: None });
        if let Some(asked) = asked {
            return named(asked);
        }
        let need = Need::of(request, operation);
        // What serves a priority, who is the same character again, and who takes references, is each provider's own to say.
        let plain =
            operation == Operation::Generate && priority.is_none() && !need.character && !need.references;
        // A style that allows some models only leaves the choice to them.
        let plain = plain && request.style.as_ref().is_none_or(|style| style.models.is_empty());
        if !plain {
            return Ok(Target::default());
        }
        let needs_text = prompt_hints::asks_for_text(&request.prompt);
        let draft = request.quality.as_deref() == Some("draft");
        if (needs_text || draft)
            && let Some(model) = snapshot.choose(Wish { needs_text, draft, ..Wish::default() })?.model
        {
            return named(&model);
        }
        if default.is_empty() {
            return Ok(Target::default());
        }
        let usual = snapshot.resolve(default)?;
        match usual.provider {
            // A setting that names the provider too means it.
            Some(_) => Ok(Target { named: Some(usual), usual: None }),
            None => Ok(Target { named: None, usual: Some(usual.model) }),
        }
    }

    /// The model of a job that is in the queue. `open`: the caller left the choice to the route, which began with it.
    pub fn queued(model: String, provider: Option<String>, open: bool) -> Target {
        match open {
            true => Target { named: None, usual: Some(model) },
            false => Target { named: Some(Resolved { model, provider, warning: None }), usual: None },
        }
    }

    /// The provider that is named.
    pub fn provider(&self) -> Option<&str> {
        self.named.as_ref()?.provider.as_deref()
    }

    /// Whether it names a model or provider that runs on the user's own machine only: then it is not sent elsewhere.
    fn is_local(&self, snapshot: &Snapshot) -> bool {
        let Some(named) = &self.named else { return false };
        let mut kinds = snapshot.kinds_offering(&named.model, named.provider.as_deref()).peekable();
        kinds.peek().is_some() && kinds.all(provider::is_local)
    }
}

/// What is to be known about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is queued, or estimated: the head, what it costs, and warnings.
    Queue,
    /// It is explained: every candidate, in the order before a draw.
    Explain,
    /// It is sent: those that have keys.
    Run,
}

/// A question about a request.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Why it is asked.
    pub purpose: Purpose,
    /// The draw by weights depends on it.
    pub job_id: &'a str,
    /// What a model must be able to do.
    pub need: Need,
    /// What is done to images.
    pub operation: Operation,
    /// What the role of the job may ask for.
    pub allowance: &'a Allowance,
    /// What is wanted.
    pub request: &'a Request,
    /// Which model.
    pub target: &'a Target,
    /// What matters most to the caller.
    pub priority: Option<Priority>,
    /// The most that the job may cost, in USD.
    pub max_cost: Option<Decimal>,
    /// An unknown cost is no reason to refuse.
    pub allow_unpriced: bool,
    /// Where the own back end is, and of which kind it is, once the worker has asked it.
    pub own: Option<OwnBackEnd>,
    /// Without a candidate that has a key, a preview is drawn.
    pub preview: bool,
}

/// The back end of one's own: AUTOMATIC1111 and ComfyUI share one address.
#[derive(Clone, Debug)]
pub struct OwnBackEnd {
    /// Its address, without a final slash.
    pub address: String,
    /// The kind that answers there; `None` when none did.
    pub kind: Option<&'static str>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Who is tried, in this order. Behind the head are candidates of which no request was prepared yet.
    pub route: Vec<Candidate>,
    /// Who is not, and why.
    pub excluded: Vec<(Candidate, Exclusion)>,
    /// What is sent first.
    pub head: Option<Head>,
    /// What will not happen as asked.
    pub warnings: Vec<Warning>,
}

impl Admission {
    /// The candidate that is asked first.
    pub fn first(&self) -> Option<&Candidate> {
        self.head.as_ref().and_then(|head| self.route.get(head.index))
    }

    /// What its calls are expected to cost, in USD; `None` is unknown.
    pub fn cost(&self) -> Option<Decimal> {
        self.head.as_ref().and_then(|head| head.cost)
    }
}

/// The name of the key or the address that a candidate lacks.
pub fn missing_key<'a>(candidate: &'a Candidate, surroundings: &dyn Surroundings) -> Option<&'a str> {
    let adapter = provider::find(&candidate.kind)?;
    let address = adapter.address_name().filter(|_| candidate.base_url.is_none());
    let needed = [provider::key_name(adapter, candidate), address];
    needed.into_iter().flatten().find(|name| !surroundings.has(name))
}

/// Decides where a job may go.
///
/// # Errors
/// It can go nowhere, or would cost too much.
pub fn admit(
    snapshot: &Snapshot,
    query: &Query<'_>,
    wishes: &Preferences,
    surroundings: &dyn Surroundings,
) -> Result<Admission, Rejection> {
    if let Some(why) = query.allowance.forbids_operation(query.operation) {
        return Err(Rejection::forbidden(why, vec![]));
    }
    let mut candidates = candidates(snapshot, query, surroundings).map_err(Rejection::argument)?;
    if candidates.is_empty() {
        return Err(Rejection::not_offered(query));
    }
    if let Some(allowed) = allowed(snapshot, query.request) {
        candidates.retain(|candidate| is_allowed(candidate, &allowed));
        if candidates.is_empty() {
            return Err(Rejection::not_allowed(query));
        }
    }
    if let Some(own) = &query.own {
        own.place(&mut candidates);
    }
    let missing = |c: &Candidate| missing_key(c, surroundings).is_some();
    // Of an open choice those without a key are left out, unless no other is there.
    let open = query.target.named.is_none();
    let usable = |c: &Candidate| !missing(c) && query.allowance.forbids(c).is_none();
    let idle_out = query.purpose == Purpose::Queue && open && candidates.iter().any(usable);
    let eligible = |c: &Candidate| {
        if let Some(why) = query.allowance.forbids(c) {
            return Err(Exclusion::NotAllowed(why));
        }
        if query.purpose == Purpose::Run && provider::find(&c.kind).is_none() {
            return Err(Exclusion::Unfit(format!("there is no adapter of kind '{}'", c.kind)));
        }
        let out = (idle_out || query.purpose == Purpose::Run) && missing(c);
        if out { Err(Exclusion::NotConfigured) } else { Ok(()) }
    };
    let ceiling = query.max_cost.filter(|_| query.purpose != Purpose::Queue);
    let class = render_class::of(query.request);
    let fit = |c: &mut Candidate| {
        learnt(c, &class, surroundings);
        route::fits(c, query.need.task, query.request, ceiling)
    };
    // Explained is the order before the draw: the draw depends on the id of a job that is not there.
    let drawn = Preferences { weights: Default::default(), ..wishes.clone() };
    let wishes = if query.purpose == Purpose::Explain { &drawn } else { wishes };
    let order = Order {
        wishes,
        priority: query.priority,
        task: query.need.task,
        request: query.request,
        job_id: query.job_id,
        all: query.purpose == Purpose::Explain,
        // What is queued is queued for what was named alone.
        keep_local: query.purpose != Purpose::Queue && query.target.is_local(snapshot),
    };
    let Route { candidates: mut route, excluded, head } =
        order.route(candidates, eligible, fit, |c| !missing(c));
    if query.purpose == Purpose::Run {
        route.iter_mut().for_each(|c| learnt(c, &class, surroundings));
    }
    let mut admission = Admission { route, excluded, head, warnings: vec![] };
    match query.purpose {
        Purpose::Explain => {}
        Purpose::Queue => queued(&mut admission, query, wishes, surroundings)?,
        Purpose::Run if admission.route.is_empty() => {
            let like = admission.excluded.iter().find(|(_, why)| *why == Exclusion::NotConfigured);
            match like {
                // (What a role may not use is no reason to draw.)
                Some((like, _)) if query.preview && query.need.task == Task::Generate => {
                    admission.route.push(preview(like));
                }
                _ => return Err(Rejection::none_left(query, wishes, admission.excluded)),
            }
        }
        Purpose::Run => {}
    }
    Ok(admission)
}

/// What the rules of content say of a prompt that is to be queued.
///
/// # Errors
/// One of them blocks it.
pub fn content(snapshot: &Snapshot, prompt: &str) -> Result<Vec<Warning>, Rejection> {
    let rules = snapshot.content().apply(prompt);
    match rules.iter().find(|rule| rule.action == Action::Block) {
        Some(rule) => Err(Rejection::content(rule)),
        None => Ok(rules.into_iter().map(Rule::warning).collect()),
    }
}

/// What follows a refusal, with the candidates of the models that it names. What a caller blocks stays blocked.
pub fn ladder(
    snapshot: &Snapshot,
    query: &Query<'_>,
    wishes: &Preferences,
    surroundings: &dyn Surroundings,
) -> Vec<RefusalStep> {
    let keep_local = query.target.is_local(snapshot);
    let of_model = |name: &String| {
        // One whose row is gone since is offered by none.
        let target = Target { named: snapshot.resolve(name).ok(), usual: None };
        let named = target.named.as_ref()?;
        let offers = snapshot.offers(&named.model, named.provider.as_deref(), false).ok()?;
        let lacks =
            |c: &Candidate| provider::find(&c.kind).is_none() || missing_key(c, surroundings).is_some();
        let mut offers = offers;
        if let Some(allowed) = allowed(snapshot, query.request) {
            offers.retain(|candidate| is_allowed(candidate, &allowed));
        }
        if let Some(own) = &query.own {
            own.place(&mut offers);
        }
        let order = Order {
            wishes,
            priority: query.priority,
            task: query.need.task,
            request: query.request,
            job_id: query.job_id,
            all: true,
            keep_local,
        };
        let eligible = |c: &Candidate| match query.allowance.forbids(c) {
            Some(why) => Err(Exclusion::NotAllowed(why)),
            None if lacks(c) => Err(Exclusion::NotConfigured),
            None => Ok(()),
        };
        let class = render_class::of(query.request);
        let fit = |c: &mut Candidate| {
            learnt(c, &class, surroundings);
            route::fits(c, query.need.task, query.request, query.max_cost)
        };
        Some(order.route(offers, eligible, fit, |_| true).candidates)
    };
    let step = |step: &crate::catalogue::RefusalStep| match step.action.as_str() {
        "rewrite" => RefusalStep::Rewrite,
        "switch_model" => RefusalStep::SwitchModel {
            candidates: step.model.as_ref().map(|name| of_model(name).unwrap_or_default()),
        },
        "review" => RefusalStep::Review,
        _ => RefusalStep::Fail,
    };
    snapshot.refusal_steps().iter().map(step).collect()
}

/// The candidate where a task was accepted. It is followed to its end although its provider was switched off meanwhile.
pub fn accepted(
    snapshot: &Snapshot,
    provider: &str,
    model: &str,
    query: &Query<'_>,
    surroundings: &dyn Surroundings,
) -> Option<Candidate> {
    let mut offers = snapshot.offers(model, Some(provider), true).ok()?;
    if let Some(own) = &query.own {
        own.place(&mut offers);
    }
    let class = render_class::of(query.request);
    offers.iter_mut().for_each(|c| learnt(c, &class, surroundings));
    offers.into_iter().next()
}

/// The models that the request's style allows; `None` where it has none, or allows any.
fn allowed(snapshot: &Snapshot, request: &Request) -> Option<Vec<Resolved>> {
    let style = request.style.as_ref().filter(|style| !style.models.is_empty())?;
    Some(style.allowed(snapshot))
}

fn is_allowed(candidate: &Candidate, allowed: &[Resolved]) -> bool {
    let at = |provider: &Option<String>| provider.as_ref().is_none_or(|id| *id == candidate.provider);
    allowed.iter().any(|one| one.model == candidate.model && at(&one.provider))
}

fn candidates(
    snapshot: &Snapshot,
    query: &Query<'_>,
    surroundings: &dyn Surroundings,
) -> Result<Vec<Candidate>, Invalid> {
    let named = query.target.named.as_ref();
    let provider = named.and_then(|n| n.provider.as_deref());
    // What is asked for by name is queued for it alone; that others stand in is decided when it is sent.
    if let (Purpose::Queue, Some(named)) = (query.purpose, named) {
        return snapshot.offers(&named.model, provider, false);
    }
    // Of an open choice, the models of a style are all that there is, in its order.
    if let (None, Some(allowed)) = (named, allowed(snapshot, query.request)) {
        let mut candidates: Vec<Candidate> = vec![];
        for one in &allowed {
            let mut offers = snapshot.offers(&one.model, one.provider.as_deref(), false)?;
            offers.retain(|c| candidates.iter().all(|other| other.name() != c.name()));
            candidates.append(&mut offers);
        }
        return Ok(candidates);
    }
    let model = named.map(|n| n.model.as_str()).or(query.target.usual.as_deref());
    // None stands in without a key; what was asked for is listed without one, so that it can be said.
    let ready = |p: &Provider| p.has_access(&|name| surroundings.has(name));
    let mut candidates = snapshot.candidates(query.need, model, provider, &ready)?;
    if named.is_none() {
        // The choice is open: all are there for themselves.
        candidates.iter_mut().for_each(|c| c.stands_in = false);
    }
    Ok(candidates)
}

/// Puts in what renders really take.
fn learnt(candidate: &mut Candidate, class: &str, surroundings: &dyn Surroundings) {
    if let Some(seconds) = surroundings.seconds(&candidate.provider, &candidate.model, class) {
        candidate.typical_seconds = seconds;
    }
}

/// What a caller is told of a job that is queued.
fn queued(
    admission: &mut Admission,
    query: &Query<'_>,
    wishes: &Preferences,
    surroundings: &dyn Surroundings,
) -> Result<(), Rejection> {
    let (Some(candidate), Some(head)) = (admission.first(), &admission.head) else {
        return Err(Rejection::none_left(query, wishes, std::mem::take(&mut admission.excluded)));
    };
    let mut warnings: Vec<Warning> =
        query.target.named.as_ref().and_then(|named| named.warning.clone()).into_iter().collect();
    warnings.extend(head.prepared.warnings.iter().cloned());
    if !candidate.operations.contains(&query.need.task) {
        let message = format!("{} outpaints by inpainting on a larger canvas", candidate.name());
        warnings.push(Warning::new("adjusted", message));
    }
    if prompt_hints::asks_for_text(&query.request.prompt) && !prompt_hints::writes_legibly(&candidate.model) {
        // S15
        let message = format!(
            "{} mangles text of more than one word; image_gen.choose_model(needs_text => true) names better ones",
            candidate.model
        );
        warnings.push(Warning::new("text_in_picture", message));
    }
    warnings.extend(missing_key(candidate, surroundings).map(|key| {
        let message =
            format!("provider {} has no key yet: set {key} in the server's environment", candidate.provider);
        Warning::new("not_configured", message)
    }));
    if let Some(limit) = query.max_cost {
        Rejection::check_cost(&candidate.model, head.cost, limit, query.allow_unpriced)?;
    }
    admission.warnings = warnings;
    Ok(())
}

/// The stand-in for a model that there is no key for: drawn here, marked as a preview, at no cost.
fn preview(like: &Candidate) -> Candidate {
    let kind = provider::TABLE.iter().find(|adapter| adapter.draws()).map_or("", |adapter| adapter.kind());
    Candidate {
        provider: kind.into(),
        kind: kind.into(),
        remote_name: kind.into(),
        // Drawn all at once, whatever the model could.
        max_n: crate::job::MAX_N as u32,
        parameters: {
            let mut parameters = like.parameters.as_ref().clone();
            parameters.entry("n".into()).or_default().only.clear();
            parameters.into()
        },
        max_in_flight: None,
        requests_per_minute: None,
        ..like.clone()
    }
}

impl OwnBackEnd {
    /// Whether a candidate is an own back end whose address is not in its row.
    pub fn concerns(candidate: &Candidate) -> bool {
        candidate.base_url.is_none()
            && provider::find(&candidate.kind).is_some_and(|adapter| adapter.address_name().is_some())
    }

    /// Puts the address into the candidates that need it, and keeps of those only the kind that answers there. When none
    /// answers all are kept: the job then fails in the usual way, and is tried again.
    fn place(&self, candidates: &mut Vec<Candidate>) {
        let gone = |c: &Candidate| Self::concerns(c) && self.kind.is_some_and(|kind| kind != c.kind);
        // The two kinds are one back end to users: the one that is there takes the place of the one that was asked for.
        let asked_for = candidates.iter().any(|c| gone(c) && !c.stands_in);
        candidates.retain(|c| !gone(c));
        for candidate in candidates.iter_mut().filter(|c| Self::concerns(c)) {
            candidate.base_url = Some(self.address.clone());
            candidate.stands_in &= !asked_for;
        }
    }
}

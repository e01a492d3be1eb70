//! The order in which candidates are tried.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::catalogue;
use crate::input::Inputs;
use crate::job::{Invalid, Request, Task};
use crate::provider::{self, Prepared};
use crate::seed::fraction;

/// A caller's wishes about providers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    /// Tried first, in this order. Duplicates count once.
    pub preferred: Vec<String>,
    /// With [`Preferences::preferred`]: no other provider.
    pub only: bool,
    /// The head of the chain is drawn by these weights; a provider without one has weight 1, and one with
    /// weight 0 is never drawn first but stays as a fallback.
    pub weights: BTreeMap<String, f64>,
    /// Never used.
    pub blocked: Vec<String>,
}

/// What matters most to a caller who leaves the choice to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Fidelity, prompt adherence, text in the image.
    Quality,
    /// Negative prompts, style presets, steps and guidance.
    Control,
    /// Seconds.
    Speed,
    /// Many models.
    Variety,
    /// The lowest expected price; unknown prices come last.
    Cost,
    /// Nothing leaves the machine: own back ends only.
    Privacy,
}

impl Priority {
    /// As `image_gen.jobs.priority` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Quality => "quality",
            Priority::Control => "control",
            Priority::Speed => "speed",
            Priority::Variety => "variety",
            Priority::Cost => "cost",
            Priority::Privacy => "privacy",
        }
    }

    /// How well the kind of a candidate serves it, by the catalogue: 1 is best. Those that it does not say that of follow in the
    /// administrator's order.
    fn rank(self, candidate: &Candidate) -> u32 {
        let mut kinds = catalogue::shipped().provider.iter();
        let kind = kinds.find(|kind| kind.id == candidate.kind);
        kind.and_then(|kind| kind.serves.get(&self)).copied().unwrap_or(u32::MAX)
    }
}

/// Why a candidate is not on the route.
#[derive(Clone, Debug, PartialEq)]
pub enum Exclusion {
    /// The job is not to leave the machine.
    NotPrivate,
    /// A caller or an administrator blocks the provider.
    Blocked,
    /// The caller wants only other providers.
    NotPreferred,
    /// The role may not use it: why.
    NotAllowed(String),
    /// It has no key or no address.
    NotConfigured,
    /// It cannot do the task.
    NotSupported,
    /// It can do the task, but not this request: why.
    Unfit(String),
    /// It would cost more than the caller allows, or its price is unknown.
    TooDear,
    /// It stands in for models of which none can be tried.
    NothingToStandInFor,
}

impl Exclusion {
    /// The reason as users see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Exclusion::NotPrivate => "not_private",
            Exclusion::Blocked => "blocked",
            Exclusion::NotPreferred => "not_preferred",
            Exclusion::NotAllowed(_) => "not_allowed",
            Exclusion::NotConfigured => "not_configured",
            Exclusion::NotSupported => "not_supported",
            Exclusion::Unfit(_) => "unfit",
            Exclusion::TooDear => "too_dear",
            Exclusion::NothingToStandInFor => "nothing_to_stand_in_for",
        }
    }

    /// More about it, for people.
    pub fn details(&self) -> Option<&str> {
        match self {
            Exclusion::Unfit(why) | Exclusion::NotAllowed(why) => Some(why),
            _ => None,
        }
    }
}

/// The ordered candidates of a job, and the others with the reason why they are not among them.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Tried in this order.
    pub candidates: Vec<Candidate>,
    /// Not tried, in the administrator's order; those that only stand in last.
    pub excluded: Vec<(Candidate, Exclusion)>,
    /// The first candidate that can be asked now.
    pub head: Option<Head>,
}

/// The candidate that a job is sent to first.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its place in [`Route::candidates`].
    pub index: usize,
    /// What it would be sent first.
    pub prepared: Prepared,
    /// What all calls for the request are expected to cost, in USD; `None` is unknown.
    pub cost: Option<Decimal>,
}

/// Reads and checks preferences. `known` are the ids of all providers.
pub fn preferences(json: &serde_json::Value, known: &[String]) -> Result<Preferences, Invalid> {
    if json.is_null() {
        return Ok(Preferences::default());
    }
    let shape =
        "Write for example {\"preferred\": [\"bfl\"], \"weights\": {\"bfl\": 0.7}, \"blocked\": [\"fal\"]}.";
    if !json.is_object() {
        return Err(Invalid::new("provider_preferences is not an object", shape));
    }
    let wishes: Preferences = serde_json::from_value(json.clone())
        .map_err(|e| Invalid::new(format!("provider_preferences is not understood: {e}"), shape))?;
    let named = wishes.preferred.iter().chain(&wishes.blocked).chain(wishes.weights.keys());
    for name in named {
        if !known.contains(name) {
            return Err(Invalid::unknown(
                format!("provider '{name}' in provider_preferences does not exist"),
                format!("Known providers: {}.", known.join(", ")),
            ));
        }
    }
    for (name, weight) in &wishes.weights {
        if !weight.is_finite() || *weight < 0.0 {
            return Err(Invalid::new(
                format!("the weight of provider '{name}' is {weight}"),
                "A weight is a number from 0 up; they need not add up to 1.",
            ));
        }
    }
    if !wishes.weights.is_empty() && known.iter().all(|k| wishes.weights.get(k) == Some(&0.0)) {
        return Err(Invalid::new("all weights are 0", "Give at least one provider a weight above 0."));
    }
    if wishes.only && wishes.preferred.is_empty() {
        return Err(Invalid::new("only is set, but nothing is preferred", shape));
    }
    Ok(wishes)
}

/// What decides the order of candidates.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The caller's wishes.
    pub wishes: &'a Preferences,
    /// What matters most to the caller.
    pub priority: Option<Priority>,
    /// What a model must be able to do.
    pub task: Task,
    /// What is wanted: who takes more of its references comes first.
    pub request: &'a Request,
    /// The draw by weights depends on it alone, so it can be replayed.
    pub job_id: &'a str,
    /// Prepare a request for each candidate, not for the head alone.
    pub all: bool,
    /// What is named runs on the user's own machine: others take the job only where the caller prefers them.
    pub keep_local: bool,
}

/// What is known of a candidate that may be on the route.
struct Kept {
    at: usize,
    candidate: Candidate,
    fit: Option<(Prepared, Option<Decimal>)>,
}

impl Order<'_> {
    /// Orders candidates, given in the administrator's order. Those that stand in come last, and only when there is one to
    /// stand in for. `eligible` says what keeps a candidate out before a request is prepared, `fit` prepares one,
    /// `ready` is false for one that is tried only when no other can be. Requests are prepared as far as the head, or for
    /// all where the order depends on what they cost, or on a draw.
    pub fn route(
        self,
        candidates: Vec<Candidate>,
        eligible: impl Fn(&Candidate) -> Result<(), Exclusion>,
        mut fit: impl FnMut(&mut Candidate) -> Result<(Prepared, Option<Decimal>), Exclusion>,
        ready: impl Fn(&Candidate) -> bool,
    ) -> Route {
        let mut kept: Vec<Kept> = vec![];
        let mut out: Vec<(usize, Candidate, Exclusion)> = vec![];
        let all = self.all || self.priority == Some(Priority::Cost) || !self.wishes.weights.is_empty();
        for (at, mut candidate) in candidates.into_iter().enumerate() {
            let checked = self.permits(&candidate).and_then(|()| eligible(&candidate));
            let checked = checked.and_then(|()| if all { fit(&mut candidate).map(Some) } else { Ok(None) });
            match checked {
                Ok(fit) => kept.push(Kept { at, candidate, fit }),
                Err(exclusion) => out.push((at, candidate, exclusion)),
            }
        }
        kept.sort_by_cached_key(|k| self.rank(k));
        if !all {
            // As far as the head: those that are ready first.
            let mut turns: Vec<usize> = (0..kept.len()).filter(|i| !kept[*i].candidate.stands_in).collect();
            turns.sort_by_key(|i| !ready(&kept[*i].candidate));
            for i in turns {
                match fit(&mut kept[i].candidate) {
                    Ok(fit) => {
                        kept[i].fit = Some(fit);
                        break;
                    }
                    Err(exclusion) => out.push((kept[i].at, kept[i].candidate.clone(), exclusion)),
                }
            }
            kept.retain(|k| k.fit.is_some() || out.iter().all(|(at, ..)| *at != k.at));
        }
        out.sort_by_key(|(at, ..)| *at);
        let mut excluded: Vec<_> = out.into_iter().map(|(_, candidate, why)| (candidate, why)).collect();
        if kept.iter().all(|k| k.candidate.stands_in) {
            excluded.extend(kept.drain(..).map(|k| (k.candidate, Exclusion::NothingToStandInFor)));
        }
        let own = kept.iter().take_while(|k| !k.candidate.stands_in).count();
        if !self.wishes.weights.is_empty()
            && let Some(head) = draw(&kept[..own], self.wishes, fraction(self.job_id, 0))
        {
            let winner = kept.remove(head);
            kept.insert(0, winner);
        }
        let able = |k: &Kept| k.fit.is_some() && ready(&k.candidate);
        let index = kept.iter().position(able).or_else(|| kept.iter().position(|k| k.fit.is_some()));
        let head = index.and_then(|index| {
            let (prepared, cost) = kept[index].fit.take()?;
            Some(Head { index, prepared, cost })
        });
        Route { candidates: kept.into_iter().map(|k| k.candidate).collect(), excluded, head }
    }

    /// What the caller's wishes and the model's operations say.
    fn permits(&self, candidate: &Candidate) -> Result<(), Exclusion> {
        let (wishes, provider) = (self.wishes, &candidate.provider);
        let leaves = !provider::is_local(&candidate.kind);
        if wishes.blocked.contains(provider) {
            Err(Exclusion::Blocked)
        } else if wishes.only && !wishes.preferred.contains(provider) {
            Err(Exclusion::NotPreferred)
        } else if !provider::can(candidate, self.task) {
            Err(Exclusion::NotSupported)
        } else if leaves && self.priority == Some(Priority::Privacy)
            || leaves && self.keep_local && !wishes.preferred.contains(provider)
        {
            Err(Exclusion::NotPrivate)
        } else {
            Ok(())
        }
    }

    fn rank(&self, kept: &Kept) -> (bool, usize, usize, u32, Decimal) {
        let candidate = &kept.candidate;
        let preferred = self.wishes.preferred.iter().position(|p| *p == candidate.provider);
        let cost = match self.priority {
            Some(Priority::Cost) => kept.fit.as_ref().and_then(|(_, cost)| *cost).unwrap_or(Decimal::MAX),
            _ => Decimal::ZERO,
        };
        let served = self.priority.map_or(0, |priority| priority.rank(candidate));
        let given = self.request.reference_images.len();
        let lost = given.saturating_sub(candidate.references_taken(self.task, self.request));
        (candidate.stands_in, preferred.unwrap_or(usize::MAX), lost, served, cost)
    }
}

/// What would be sent first to a candidate and what all calls for the request are expected to cost, or why it is out.
pub fn fits(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    ceiling: Option<Decimal>,
) -> Result<(Prepared, Option<Decimal>), Exclusion> {
    let inputs = Inputs::stand_ins(request);
    let prepared = provider::plan(candidate, task, request, &inputs, &BTreeMap::new(), "planned")
        .map_err(|invalid| Exclusion::Unfit(format!("{invalid}. {}", invalid.hint)))?;
    let cost = provider::expected_total(candidate, task, request, &prepared, &[]);
    match ceiling {
        Some(ceiling) if cost.is_none_or(|cost| cost > ceiling) => Err(Exclusion::TooDear),
        _ => Ok((prepared, cost)),
    }
}

/// How likely it is that each candidate comes first: the draw that [`Order::route`] makes, before it is made.
pub fn chances(candidates: &[Candidate], wishes: &Preferences) -> Vec<f64> {
    let own = candidates.iter().take_while(|c| !c.stands_in).count();
    let weight = |c: &Candidate| wishes.weights.get(&c.provider).copied().unwrap_or(1.0);
    let total: f64 = candidates[..own].iter().map(weight).sum();
    let first = |index: usize| if index == 0 { 1.0 } else { 0.0 };
    let chance = |(index, candidate): (usize, &Candidate)| match wishes.weights.is_empty() || total <= 0.0 {
        true => first(index),
        false if index < own => weight(candidate) / total,
        false => 0.0,
    };
    candidates.iter().enumerate().map(chance).collect()
}

/// The wishes of a setting and of a request, key by key: the request's win, but what either blocks is blocked.
pub fn merged(setting: Preferences, request: Preferences, asked: &serde_json::Value) -> Preferences {
    let given = |key: &str| asked.get(key).is_some();
    let mut blocked = setting.blocked;
    blocked.extend(request.blocked);
    blocked.sort();
    blocked.dedup();
    Preferences {
        // "only" without a list of its own belongs to the list it was written with.
        only: if given("only") || given("preferred") { request.only } else { setting.only },
        preferred: if given("preferred") { request.preferred } else { setting.preferred },
        weights: if given("weights") { request.weights } else { setting.weights },
        blocked,
    }
}

/// The index of the drawn candidate: subtract the weights in order from `fraction`·Σ until nothing is left.
fn draw(candidates: &[Kept], wishes: &Preferences, fraction: f64) -> Option<usize> {
    let weight = |k: &Kept| wishes.weights.get(&k.candidate.provider).copied().unwrap_or(1.0);
    let total: f64 = candidates.iter().map(weight).sum();
    let mut rest = fraction * total;
    let mut last = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let weight = weight(candidate);
        if weight > 0.0 {
            rest -= weight;
            last = Some(index);
            if rest <= 0.0 {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::LazyLock;

    fn candidates(providers: &[&str]) -> Vec<Candidate> {
        let one = |p: &&str| {
            serde_json::from_value(json!({
                "provider": p, "kind": p, "model": "m", "remote_name": "m", "operations": ["generate"],
                "sizes": {"fixed": [[1, 1]]}, "typical_seconds": 1
            }))
            .unwrap()
        };
        providers.iter().map(one).collect()
    }

    fn ordered(wishes: serde_json::Value, job: &str) -> Vec<String> {
        let known: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let wishes = preferences(&wishes, &known).unwrap();
        let order = plain(&wishes, job);
        let route = order.route(candidates(&["a", "b", "c"]), |_| Ok(()), |_| Ok(free()), |_| true);
        route.candidates.into_iter().map(|c| c.provider).collect()
    }

    fn free() -> (Prepared, Option<Decimal>) {
        let prepared = Prepared {
            submission: provider::Submission::Local,
            warnings: vec![],
            seed_honored: false,
            quality: None,
            sized: false,
            size: None,
        };
        (prepared, Some(Decimal::ZERO))
    }

    /// The order of an image that is asked for without more wishes.
    fn plain<'a>(wishes: &'a Preferences, job_id: &'a str) -> Order<'a> {
        let request = &PLAIN;
        Order { wishes, priority: None, task: Task::Generate, request, job_id, all: false, keep_local: false }
    }

    static PLAIN: LazyLock<Request> =
        LazyLock::new(|| serde_json::from_value(json!({"prompt": "a kettle", "seed": 7})).unwrap());

    #[test]
    fn preferred_is_first_the_others_follow_and_blocked_never() {
        // S128, S130, S131, S134
        assert_eq!(ordered(json!({}), "j"), ["a", "b", "c"]);
        assert_eq!(ordered(json!({"preferred": ["c", "c"]}), "j"), ["c", "a", "b"]);
        assert_eq!(ordered(json!({"preferred": ["c", "b"], "blocked": ["c"]}), "j"), ["b", "a"]);
        assert_eq!(ordered(json!({"preferred": ["b"], "only": true}), "j"), ["b"]);
    }

    #[test]
    fn weights_draw_the_head_in_proportion_and_can_be_replayed() {
        // S129
        let wishes = json!({"weights": {"a": 0.7, "b": 0.3, "c": 0}});
        let mut heads = BTreeMap::<String, u32>::new();
        for i in 0..10_000 {
            let job = format!("gen_{i}");
            let first = ordered(wishes.clone(), &job);
            assert_eq!(first.len(), 3);
            assert_eq!(first, ordered(wishes.clone(), &job));
            *heads.entry(first[0].clone()).or_default() += 1;
        }
        assert!(heads["a"].abs_diff(7_000) < 200 && heads["b"].abs_diff(3_000) < 200, "{heads:?}");
        assert_eq!(heads.get("c"), None);
    }

    #[test]
    fn senseless_preferences_are_refused_with_a_remedy() {
        let known: Vec<String> = ["a", "b"].map(String::from).into();
        for bad in [
            json!([]),
            json!({"prefered": ["a"]}),
            json!({"preferred": ["x"]}),
            json!({"blocked": ["x"]}),
            json!({"weights": {"a": -1}}),
            json!({"weights": {"a": "much"}}),
            json!({"weights": {"a": 0, "b": 0}}),
            json!({"only": true}),
        ] {
            assert!(!preferences(&bad, &known).unwrap_err().hint.is_empty(), "{bad}");
        }
    }

    #[test]
    fn those_that_stand_in_come_last_and_not_alone() {
        let known: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let wishes = preferences(&json!({"preferred": ["c"]}), &known).unwrap();
        let mut all = candidates(&["a", "b", "c"]);
        all[2].stands_in = true;
        let names = |route: &Route| route.candidates.iter().map(|c| c.provider.clone()).collect::<Vec<_>>();
        let order = plain(&wishes, "j");
        let route = order.route(all.clone(), |_| Ok(()), |_| Ok(free()), |_| true);
        assert_eq!(names(&route), ["a", "b", "c"]);
        let no_key = |c: &Candidate| if c.stands_in { Ok(()) } else { Err(Exclusion::NotConfigured) };
        let route = order.route(all.clone(), no_key, |_| Ok(free()), |_| true);
        assert!(route.candidates.is_empty() && route.head.is_none());
        assert_eq!(route.excluded.last().unwrap().1, Exclusion::NothingToStandInFor);
        // Also where it takes a request to find out.
        let unfit = |c: &mut Candidate| if c.stands_in { Ok(free()) } else { Err(Exclusion::TooDear) };
        for all_of_them in [false, true] {
            let route = Order { all: all_of_them, ..order }.route(all.clone(), |_| Ok(()), unfit, |_| true);
            let why: Vec<&str> = route.excluded.iter().map(|(_, why)| why.as_str()).collect();
            assert!(route.candidates.is_empty() && route.head.is_none());
            assert_eq!(why, ["too_dear", "too_dear", "nothing_to_stand_in_for"]);
        }
    }

    #[test]
    fn requests_are_prepared_as_far_as_the_head_unless_the_order_depends_on_them() {
        let wishes = Preferences::default();
        let order = plain(&wishes, "j");
        let prepared = |order: Order<'_>, unfit: &[&str], idle: &[&str]| {
            let mut asked = vec![];
            let fit = |c: &mut Candidate| {
                asked.push(c.provider.clone());
                if unfit.contains(&c.provider.as_str()) { Err(Exclusion::TooDear) } else { Ok(free()) }
            };
            let ready = |c: &Candidate| !idle.contains(&c.provider.as_str());
            let route = order.route(candidates(&["a", "b", "c"]), |_| Ok(()), fit, ready);
            let head = route.head.map(|h| route.candidates[h.index].provider.clone());
            (asked.join(""), head.unwrap_or_default(), route.candidates.len())
        };
        assert_eq!(prepared(order, &[], &[]), ("a".into(), "a".into(), 3));
        assert_eq!(prepared(order, &["a"], &[]), ("ab".into(), "b".into(), 2));
        assert_eq!(prepared(order, &["a", "b", "c"], &[]), ("abc".into(), String::new(), 0));
        // One that is not ready is the head only where no other can be; its place on the route stays.
        assert_eq!(prepared(order, &[], &["a"]), ("b".into(), "b".into(), 3));
        assert_eq!(prepared(order, &["b", "c"], &["a"]), ("bca".into(), "a".into(), 1));
        assert_eq!(prepared(Order { all: true, ..order }, &["a"], &[]), ("abc".into(), "b".into(), 2));
        let cost = Order { priority: Some(Priority::Cost), ..order };
        assert_eq!(prepared(cost, &[], &[]).0, "abc");
        let weights = serde_json::from_value(json!({"weights": {"b": 2.0}})).unwrap();
        assert_eq!(prepared(Order { wishes: &weights, ..order }, &[], &[]).0, "abc");
    }

    #[test]
    fn a_request_wins_over_the_setting_key_by_key_but_blocked_is_both() {
        // S132, S133
        let known: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let read = |json: &serde_json::Value| preferences(json, &known).unwrap();
        let setting = json!({"preferred": ["a"], "only": true, "weights": {"a": 2}, "blocked": ["c"]});
        let both = |request: serde_json::Value| merged(read(&setting), read(&request), &request);
        let all = both(json!({"preferred": ["b"], "blocked": ["a"]}));
        assert_eq!((all.preferred, all.only), (vec!["b".to_string()], false));
        assert_eq!(all.blocked, ["a", "c"]);
        assert_eq!(all.weights.get("a"), Some(&2.0));
        let none = both(json!({}));
        assert_eq!((none.preferred, none.only), (vec!["a".to_string()], true));
    }

    #[test]
    fn odd_weights_do_what_they_say() {
        // S129: zero, missing, one alone, all zero among those that are left.
        let head = |wishes: serde_json::Value| {
            let mut heads: Vec<String> =
                (0..200).map(|i| ordered(wishes.clone(), &format!("j{i}"))[0].clone()).collect();
            heads.sort();
            heads.dedup();
            heads
        };
        assert_eq!(head(json!({"weights": {"a": 0, "b": 0}})), ["c"]);
        assert_eq!(head(json!({"weights": {"b": 5}, "blocked": ["a", "c"]})), ["b"]);
        assert_eq!(head(json!({"weights": {"b": 0}, "blocked": ["a", "c"]})), ["b"]);
        assert_eq!(head(json!({"weights": {"a": 1e9, "b": 1e-9, "c": 1e-9}})), ["a"]);
        let known: Vec<String> = vec!["a".into()];
        for bad in
            ["{\"weights\": {\"a\": 1e999}}", "{\"weights\": {\"a\": -0.1}}", "{\"weights\": {\"a\": null}}"]
        {
            let json = serde_json::from_str::<serde_json::Value>(bad);
            assert!(json.is_err() || preferences(&json.unwrap(), &known).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_chances_add_up_and_match_the_draw() {
        let known: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let wishes = preferences(&json!({"weights": {"a": 3, "c": 0}}), &known).unwrap();
        assert_eq!(chances(&candidates(&["a", "b", "c"]), &wishes), [0.75, 0.25, 0.0]);
        assert_eq!(chances(&candidates(&["a", "b"]), &Preferences::default()), [1.0, 0.0]);
    }

    #[test]
    fn a_priority_orders_what_preferences_leave_open() {
        // S92-S99
        let ranked = |priority, wishes: serde_json::Value| {
            let kinds = ["bfl", "openai", "stability", "a1111", "replicate"];
            let known: Vec<String> = kinds.map(String::from).into();
            let wishes = preferences(&wishes, &known).unwrap();
            let price = |c: &mut Candidate| match c.kind.as_str() {
                "replicate" => Ok((free().0, Some(Decimal::new(3, 3)))),
                "a1111" => Ok((free().0, None)),
                _ => Ok((free().0, Some(Decimal::new(4, 2)))),
            };
            let priority = Some(priority);
            let order = Order { priority, ..plain(&wishes, "j") };
            let route = order.route(candidates(&kinds), |_| Ok(()), price, |_| true);
            route.candidates.into_iter().map(|c| c.provider).collect::<Vec<_>>()
        };
        assert_eq!(ranked(Priority::Quality, json!({}))[..2], ["openai", "bfl"]);
        assert_eq!(ranked(Priority::Control, json!({}))[..2], ["stability", "a1111"]);
        assert_eq!(ranked(Priority::Speed, json!({}))[..2], ["bfl", "replicate"]);
        assert_eq!(ranked(Priority::Variety, json!({}))[0], "replicate");
        let cheap = ranked(Priority::Cost, json!({}));
        assert_eq!((cheap[0].as_str(), cheap[4].as_str()), ("replicate", "a1111"));
        assert_eq!(ranked(Priority::Privacy, json!({})), ["a1111"]);
        assert_eq!(ranked(Priority::Quality, json!({"preferred": ["stability"]}))[0], "stability");
    }
}

//! The order in which candidates are tried.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
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
    /// With [`Preferences::preferred`]: nobody else.
    pub only: bool,
    /// The head of the chain is drawn by these weights; a provider without one has weight 1, and one with
    /// weight 0 is never drawn first but stays as a fallback.
    pub weights: BTreeMap<String, f64>,
    /// Never used.
    pub blocked: Vec<String>,
}

/// What matters most to a caller who leaves the choice to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Fidelity, prompt adherence, text in the picture.
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
    /// The kinds of providers that serve it best, best first; the others follow in the administrator's order.
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Priority::Quality => &["openai", "google", "ideogram", "bfl", "stability"],
            Priority::Control => &["stability", "a1111", "comfyui", "replicate", "fal"],
            Priority::Speed => &["bfl", "fal", "replicate"],
            Priority::Variety => &["replicate", "fal", "openrouter"],
            Priority::Cost => &[],
            Priority::Privacy => &["a1111", "comfyui", "preview"],
        }
    }

    fn rank(self, candidate: &Candidate) -> usize {
        let kinds = self.kinds();
        kinds.iter().position(|kind| *kind == candidate.kind).unwrap_or(kinds.len())
    }
}

/// Why a candidate is not on the route.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// The job is not to leave the machine.
    NotPrivate,
    /// A caller or an administrator blocks the provider.
    Blocked,
    /// The caller wants only other providers.
    NotPreferred,
    /// It has no key or no address.
    NotConfigured,
    /// It cannot do the task.
    NotSupported,
    /// It can do the task, but not this request: why.
    Unfit(String),
    /// It would cost more than the caller allows, or nobody knows what it costs.
    TooDear,
    /// It stands in for models of which none can be tried.
    NothingToStandInFor,
}

impl Out {
    /// The reason as users see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Out::NotPrivate => "not_private",
            Out::Blocked => "blocked",
            Out::NotPreferred => "not_preferred",
            Out::NotConfigured => "not_configured",
            Out::NotSupported => "not_supported",
            Out::Unfit(_) => "unfit",
            Out::TooDear => "too_dear",
            Out::NothingToStandInFor => "nothing_to_stand_in_for",
        }
    }

    /// More about it, for people.
    pub fn details(&self) -> Option<&str> {
        match self {
            Out::Unfit(why) => Some(why),
            _ => None,
        }
    }
}

/// The ordered candidates of a job, and the others with the reason why they are not among them.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Tried in this order.
    pub candidates: Vec<Candidate>,
    /// Not tried.
    pub left_out: Vec<(Candidate, Out)>,
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

/// Orders candidates, given in the administrator's order, by the caller's wishes. Those that stand in come last, and
/// only when there is somebody to stand in for. The draw by weights depends on the job's id alone, so it can be
/// replayed. `judge` says what else keeps a candidate out, or what it would cost.
pub fn order(
    candidates: Vec<Candidate>,
    wishes: &Preferences,
    priority: Option<Priority>,
    task: Task,
    job_id: &str,
    judge: impl Fn(&Candidate) -> Result<Option<Decimal>, Out>,
) -> Route {
    let mut route = Route::default();
    let mut costs = BTreeMap::new();
    for candidate in candidates {
        let provider = &candidate.provider;
        let out = if wishes.blocked.contains(provider) {
            Some(Out::Blocked)
        } else if wishes.only && !wishes.preferred.contains(provider) {
            Some(Out::NotPreferred)
        } else if !provider::can(&candidate, task) {
            Some(Out::NotSupported)
        } else if priority == Some(Priority::Privacy)
            && !Priority::Privacy.kinds().contains(&candidate.kind.as_str())
        {
            Some(Out::NotPrivate)
        } else {
            None
        };
        let verdict = match out {
            Some(out) => Err(out),
            None => judge(&candidate),
        };
        match verdict {
            Err(out) => route.left_out.push((candidate, out)),
            Ok(cost) => {
                costs.insert(candidate.name(), cost);
                route.candidates.push(candidate);
            }
        }
    }
    if route.candidates.iter().all(|c| c.stands_in) {
        let idle = route.candidates.drain(..).map(|c| (c, Out::NothingToStandInFor));
        route.left_out.extend(idle);
    }
    let rank = |c: &Candidate| wishes.preferred.iter().position(|p| *p == c.provider).unwrap_or(usize::MAX);
    let cost = |c: &Candidate| match priority {
        Some(Priority::Cost) => costs.get(&c.name()).copied().flatten().unwrap_or(Decimal::MAX),
        _ => Decimal::ZERO,
    };
    route.candidates.sort_by_key(|c| (c.stands_in, rank(c), priority.map_or(0, |p| p.rank(c)), cost(c)));
    let own = route.candidates.iter().take_while(|c| !c.stands_in).count();
    if !wishes.weights.is_empty()
        && let Some(head) = draw(&route.candidates[..own], wishes, fraction(job_id, 0))
    {
        let winner = route.candidates.remove(head);
        route.candidates.insert(0, winner);
    }
    route
}

/// What would be sent to a candidate and what that is expected to cost, or why it is out.
pub fn fits(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    ceiling: Option<Decimal>,
) -> Result<(Prepared, Option<Decimal>), Out> {
    let inputs = Inputs::stand_ins(request);
    let prepared = provider::plan(candidate, task, request, &inputs, &BTreeMap::new(), "planned")
        .map_err(|invalid| Out::Unfit(format!("{invalid}. {}", invalid.hint)))?;
    let cost = provider::expected_cost(candidate, request, &prepared, &[]);
    match ceiling {
        Some(ceiling) if cost.is_none_or(|cost| cost > ceiling) => Err(Out::TooDear),
        _ => Ok((prepared, cost)),
    }
}

/// How likely it is that each candidate comes first: the draw that [`order`] makes, before it is made.
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
fn draw(candidates: &[Candidate], wishes: &Preferences, fraction: f64) -> Option<usize> {
    let weight = |c: &Candidate| wishes.weights.get(&c.provider).copied().unwrap_or(1.0);
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
        let route = order(candidates(&["a", "b", "c"]), &wishes, None, Task::Generate, job, |_| Ok(None));
        route.candidates.into_iter().map(|c| c.provider).collect()
    }

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
        let route = order(all.clone(), &wishes, None, Task::Generate, "j", |_| Ok(None));
        assert_eq!(names(&route), ["a", "b", "c"]);
        let no_key = |c: &Candidate| if c.stands_in { Ok(None) } else { Err(Out::NotConfigured) };
        let route = order(all, &wishes, None, Task::Generate, "j", no_key);
        assert!(route.candidates.is_empty());
        assert_eq!(route.left_out.last().unwrap().1, Out::NothingToStandInFor);
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
            let price = |c: &Candidate| match c.kind.as_str() {
                "replicate" => Ok(Some(Decimal::new(3, 3))),
                "a1111" => Ok(None),
                _ => Ok(Some(Decimal::new(4, 2))),
            };
            let route = order(candidates(&kinds), &wishes, Some(priority), Task::Generate, "j", price);
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

//! The order in which candidates are tried.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::job::{Invalid, Task};
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

/// Why a candidate is not on the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// A caller or an administrator blocks the provider.
    Blocked,
    /// The caller wants only other providers.
    NotPreferred,
    /// It has no key.
    NotConfigured,
    /// It cannot do the operation.
    NotSupported,
}

impl Out {
    /// The reason as users see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Out::Blocked => "blocked",
            Out::NotPreferred => "not_preferred",
            Out::NotConfigured => "not_configured",
            Out::NotSupported => "not_supported",
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

/// Orders candidates, given in the administrator's order, by the caller's wishes. The draw by weights depends
/// on the job's id alone, so it can be replayed.
pub fn order(
    candidates: Vec<Candidate>,
    wishes: &Preferences,
    task: Task,
    job_id: &str,
    configured: impl Fn(&Candidate) -> bool,
) -> Route {
    let mut route = Route::default();
    for candidate in candidates {
        let provider = &candidate.provider;
        let out = if wishes.blocked.contains(provider) {
            Some(Out::Blocked)
        } else if wishes.only && !wishes.preferred.contains(provider) {
            Some(Out::NotPreferred)
        } else if !crate::provider::can(&candidate, task) {
            Some(Out::NotSupported)
        } else if !configured(&candidate) {
            Some(Out::NotConfigured)
        } else {
            None
        };
        match out {
            Some(out) => route.left_out.push((candidate, out)),
            None => route.candidates.push(candidate),
        }
    }
    let rank = |c: &Candidate| wishes.preferred.iter().position(|p| *p == c.provider).unwrap_or(usize::MAX);
    route.candidates.sort_by_key(rank);
    if !wishes.weights.is_empty()
        && let Some(head) = draw(&route.candidates, wishes, fraction(job_id, 0))
    {
        let winner = route.candidates.remove(head);
        route.candidates.insert(0, winner);
    }
    route
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
        let route = order(candidates(&["a", "b", "c"]), &wishes, Task::Generate, job, |_| true);
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
}

//! How far a job has come along its route and up its ladder: what must survive a crash besides its attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::job::Request;
use crate::seed;

/// What happened to a job so far, as far as it decides what comes next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Progress {
    /// How many images were asked for so far, of those that it is to have, in calls that made some.
    #[serde(skip_serializing_if = "is_zero")]
    pub asked: u32,
    /// How many images it has so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub delivered: u32,
    /// How often it was put off because a candidate was unwell, although another one was left.
    #[serde(skip_serializing_if = "is_zero")]
    pub waits: u32,
    /// Candidates that turned it away and are tried again, as `provider:model`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outages: BTreeMap<String, Outage>,
    /// Candidates that were given up after an outage, as `provider:model`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// Candidates that refused the content, as `provider:model`, one entry for each refusal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// How many of the refusals were of an earlier prompt.
    #[serde(skip_serializing_if = "is_zero")]
    pub reworded: u32,
    /// The last refusal waits for the ladder's answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub climbing: bool,
    /// How many steps of the ladder are behind it.
    #[serde(skip_serializing_if = "is_zero")]
    pub step: u32,
    /// The prompt in use, where it is not the caller's own any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A person has decided that the prompt in use may be sent, whatever the rules of content say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cleared: bool,
    /// The candidate that the ladder or a reviewer chose, as `provider:model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
}

/// What a job knows of the outage of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// How often the candidate was called.
    pub tries: u32,
    /// When its first call was turned away, in milliseconds of Unix time.
    pub since: i64,
    /// The attempt that stands for all of them; `None` where the last call got further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Progress {
    /// Leaves of a request what is still to be made, with the seed of the next image.
    pub fn take_off(&self, request: &mut Request) {
        request.n = request.n.saturating_sub(self.asked).max(1);
        request.seed = seed::nth(request.seed, self.asked);
    }

    /// True when the candidate has been given up.
    pub fn gave_up(&self, candidate: &Candidate) -> bool {
        self.failed.contains(&candidate.name())
    }

    /// True when the candidate may be next: it was not given up, has not refused, and is not the same model that has
    /// refused these very words elsewhere.
    pub fn is_open(&self, candidate: &Candidate) -> bool {
        let these_words = self.refused.get(self.reworded as usize..).unwrap_or_default();
        !self.gave_up(candidate)
            && !self.refused.contains(&candidate.name())
            && !has_model(these_words, &candidate.model)
    }

    /// True when a candidate of this model has refused, in whatever words.
    pub fn model_refused(&self, candidate: &Candidate) -> bool {
        has_model(&self.refused, &candidate.model)
    }
}

/// Whether one of these, as `provider:model`, is of a model.
fn has_model(names: &[String], model: &str) -> bool {
    names.iter().any(|name| name.split_once(':').is_some_and(|(_, m)| m == model))
}

/// What follows a refusal: the steps are tried in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum RefusalStep {
    /// The same model and seed with a softer prompt. Left out when there is nothing to soften.
    Rewrite,
    /// Another model, same seed and prompt. Left out when there is none.
    SwitchModel {
        /// The candidates of the model that is wanted; without a model it is the next one of the route with another.
        #[serde(default)]
        candidates: Option<Vec<Candidate>>,
    },
    /// A person decides.
    Review,
    /// The job fails.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_short_and_comes_back() {
        assert_eq!(serde_json::to_string(&Progress::default()).unwrap(), "{}");
        let outage = Outage { tries: 2, since: 7, attempt: Some(1) };
        let progress = Progress {
            outages: BTreeMap::from([("bfl:flux-2-pro".into(), outage)]),
            refused: vec!["bfl:flux-1.1-pro".into()],
            step: 1,
            ..Progress::default()
        };
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
        let step: RefusalStep = serde_json::from_str("{\"action\": \"switch_model\"}").unwrap();
        assert!(matches!(step, RefusalStep::SwitchModel { candidates: None }));
    }
}

//! One (provider, model) pair of the catalogue that could do a job.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cost::Price;
use crate::job::{Operation, Warning};
use crate::size::SizeRule;

/// A provider's row joined with a model's row: all that an adapter must know to build a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The provider's id: `bfl`, or the name an administrator gave to a second endpoint of that kind.
    pub provider: String,
    /// The kind of adapter.
    pub kind: String,
    /// Where it is; the adapter's default when absent.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The name of its key; the adapter's default when absent.
    #[serde(default)]
    pub key_name: Option<String>,
    /// The model's name in the catalogue.
    pub model: String,
    /// The model's name at this provider.
    pub remote_name: String,
    /// What the model can do.
    pub operations: Vec<Operation>,
    /// Which sizes it makes.
    pub sizes: SizeRule,
    /// The longest prompt it takes, in characters.
    #[serde(default)]
    pub prompt_chars: Option<u32>,
    /// The most pictures it makes in one call.
    #[serde(default = "one")]
    pub max_n: u32,
    /// The parameters it takes beyond prompt and size, each with its range: `{"steps": [1, 50], "seed": true}`.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// How long a picture takes: learnt from this database's own history, else from the catalogue.
    pub typical_seconds: f64,
    /// The most tasks in flight at the provider; `None` is no limit.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// The most submissions in a minute; `None` is no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The prices that are valid now.
    #[serde(default)]
    pub prices: Vec<Price>,
}

fn one() -> u32 {
    1
}

impl Candidate {
    /// True when the model has a parameter of this name.
    pub fn takes(&self, parameter: &str) -> bool {
        self.parameters.contains_key(parameter)
    }

    /// The number to send for a ranged parameter: the asked one moved into the model's range. `None` when
    /// nothing was asked or the model has no such parameter; both adjustments come back as warnings.
    pub fn number(&self, parameter: &str, asked: Option<f64>, warnings: &mut Vec<Warning>) -> Option<f64> {
        let asked = asked?;
        let Some(range) = self.parameters.get(parameter) else {
            warnings.push(self.unsupported(parameter));
            return None;
        };
        let bound = |i: usize| range.get(i).and_then(Value::as_f64);
        let sent = match (bound(0), bound(1)) {
            (Some(low), Some(high)) => asked.clamp(low, high),
            _ => asked,
        };
        if sent != asked {
            let message = format!("{parameter} {asked} became {sent}, the nearest that {} takes", self.model);
            warnings.push(Warning::new("adjusted", message));
        }
        Some(sent)
    }

    /// The warning for a parameter that this model does not have.
    pub fn unsupported(&self, parameter: &str) -> Warning {
        Warning::new("unsupported", format!("{} at {} has no {parameter}", self.model, self.provider))
    }

    /// `provider:model`, as it is written in logs and errors.
    pub fn name(&self) -> String {
        format!("{}:{}", self.provider, self.model)
    }
}

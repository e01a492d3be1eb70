//! One (provider, model) pair of the catalogue that could do a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cost::Price;
use crate::input::{MAX_REFERENCES, Role};
use crate::job::{Request, Task, Warning};
use crate::size::SizeRule;

/// A provider's row joined with a model's row: all that an adapter must know to build a request. What is large is shared with
/// the catalogue: a copy costs little.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The provider's id: `bfl`, or the name an administrator gave to a second endpoint of that kind.
    pub provider: String,
    /// The kind of adapter.
    pub kind: String,
    /// Where it is; the adapter's default when absent.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The name of its key; the adapter's default when absent, none for `NONE`.
    #[serde(default)]
    pub key_name: Option<String>,
    /// The model's name in the catalogue.
    pub model: String,
    /// The model's name at this provider.
    pub remote_name: String,
    /// Which of the adapter's protocols it speaks, where there are several.
    #[serde(default)]
    pub api: Option<String>,
    /// What the model can do.
    pub operations: Vec<Task>,
    /// Which sizes it makes.
    pub sizes: SizeRule,
    /// The longest prompt it takes, in characters.
    #[serde(default)]
    pub prompt_chars: Option<u32>,
    /// The most images it makes in one call.
    #[serde(default = "one")]
    pub max_n: u32,
    /// The parameters it takes, by our name for them.
    #[serde(default, with = "shared")]
    pub parameters: Arc<BTreeMap<String, Parameter>>,
    /// Fields that every request has.
    #[serde(default, with = "shared")]
    pub fixed: Arc<Map<String, Value>>,
    /// How long an image takes: learnt from this database's own history, else from the catalogue.
    pub typical_seconds: f64,
    /// The most tasks in flight at the provider; `None` is no limit.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// The most submissions in a minute; `None` is no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The prices that are valid now.
    #[serde(default, with = "shared")]
    pub prices: Arc<Vec<Price>>,
    /// True for a model that the caller did not ask for: it stands in when those asked for fail.
    #[serde(default)]
    pub stands_in: bool,
}

fn one() -> u32 {
    1
}

/// What is shared is written and read as if it were not.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

/// How a model takes one parameter. In the catalogue it is written short where that says all: `true`, a range
/// `[1, 50]`, a choice `["low", "high"]`, or the provider's name for it, `"guidance_scale"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", default)]
pub struct Parameter {
    /// The provider's name for it, where it is not ours.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// Smallest and largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// The values that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// The provider's words for ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, String>,
    /// Sent when the caller says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Sent as text although it is a number.
    #[serde(skip_serializing_if = "is_false")]
    pub text: bool,
    /// Sent as one more element of a list.
    #[serde(skip_serializing_if = "is_false")]
    pub list: bool,
    /// Sent as 1 minus the value.
    #[serde(skip_serializing_if = "is_false")]
    pub invert: bool,
    /// Multiplied by this before it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
    /// How it is written: of a size `sides` (its name stands before `width` and `height`), `custom` (sides, and its name says
    /// `custom`), `asked` (as the caller gave it: sides, or a ratio in `aspect_ratio`), `text`, `object`, `ratio` or `ratio_x`; of
    /// a mask `white`, `black` or `transparent`; of an image `object` for `{"image_url": …}`, or `numbered` where the second
    /// image of the request is called `…_2` and so on; of borders as the adapter says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// For a reference image: the field that says how much it counts, for strict, balanced and loose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// The three weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<(f64, f64, f64)>,
    /// For `reference_images`: the most images that the model takes in all, a mask apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// An image without which the model does nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// Whether the model takes it is not known: it is sent under its usual name where the caller gives it, and the receipt
    /// says so.
    #[serde(skip_serializing_if = "is_false")]
    pub assumed: bool,
    /// Only in these tasks; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Task>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// The ways in which the catalogue writes a parameter.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Taken(True),
    Range((f64, f64)),
    Named(String),
    Choice(Vec<Value>),
    Full(Box<Full>),
}

/// `true`: what a model does not take is not listed.
#[derive(Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(True) } else { Err("leave a parameter out instead of writing false") }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Full {
    #[serde(rename = "as")]
    wire: Option<String>,
    range: Option<(f64, f64)>,
    values: Vec<Value>,
    words: BTreeMap<String, String>,
    default: Option<Value>,
    text: bool,
    list: bool,
    invert: bool,
    times: Option<f64>,
    form: Option<String>,
    weight: Option<String>,
    weights: Option<(f64, f64, f64)>,
    most: Option<u32>,
    required: bool,
    assumed: bool,
    only: Vec<Task>,
}

impl From<Written> for Parameter {
    fn from(written: Written) -> Self {
        let plain = Parameter::default();
        match written {
            Written::Taken(_) => plain,
            Written::Range(range) => Parameter { range: Some(range), ..plain },
            Written::Choice(values) => Parameter { values, ..plain },
            Written::Named(wire) => Parameter { wire: Some(wire), ..plain },
            Written::Full(f) => Parameter {
                wire: f.wire,
                range: f.range,
                values: f.values,
                words: f.words,
                default: f.default,
                text: f.text,
                list: f.list,
                invert: f.invert,
                times: f.times,
                form: f.form,
                weight: f.weight,
                weights: f.weights,
                most: f.most,
                required: f.required,
                assumed: f.assumed,
                only: f.only,
            },
        }
    }
}

impl Candidate {
    /// How the model takes a parameter in a task; `None` when it does not.
    pub fn parameter(&self, name: &str, task: Task) -> Option<&Parameter> {
        self.parameters.get(name).filter(|p| p.only.is_empty() || p.only.contains(&task))
    }

    /// How many of a request's `reference_images` the model takes in a task: the first ones, as many as there is room for
    /// beside the other images.
    pub fn references_taken(&self, task: Task, request: &Request) -> usize {
        let Some(parameter) = self.parameter(Role::Reference(0).parameter(), task) else { return 0 };
        let others = [Role::Image, Role::StyleImage, Role::ReferenceImage];
        let taken = |role: &&Role| {
            role.reference(request).is_some() && self.parameter(role.parameter(), task).is_some()
        };
        let room = parameter.most.map_or(MAX_REFERENCES, |most| most as usize);
        request.reference_images.len().min(room.saturating_sub(others.iter().filter(taken).count()))
    }

    /// Whether the model takes the image of a role in a task.
    pub fn takes(&self, role: Role, task: Task, request: &Request) -> bool {
        match role {
            Role::Reference(at) => usize::from(at) < self.references_taken(task, request),
            _ => self.parameter(role.parameter(), task).is_some(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parameter_is_written_short_where_that_says_all() {
        let read = |json: Value| serde_json::from_value::<Parameter>(json).unwrap();
        assert_eq!(read(json!(true)), Parameter::default());
        assert_eq!(read(json!([1, 50])).range, Some((1.0, 50.0)));
        assert_eq!(read(json!(["low", "high"])).values, [json!("low"), json!("high")]);
        assert_eq!(read(json!([2, 4, 8])).values.len(), 3);
        assert_eq!(read(json!("guidance_scale")).wire.as_deref(), Some("guidance_scale"));
        assert_eq!(read(json!({"as": "id_weight", "range": [0, 1]})).range, Some((0.0, 1.0)));
        assert!(serde_json::from_value::<Parameter>(json!({"name": "x"})).is_err());
        // What goes through the database comes back as it was.
        let full = read(json!({"as": "strength", "invert": true, "only": ["img2img"]}));
        assert_eq!(read(serde_json::to_value(&full).unwrap()), full);
    }
}

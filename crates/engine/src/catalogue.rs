//! Providers, models and prices as published: one data file, `catalogue.toml`, that becomes rows of the database.

use std::sync::LazyLock;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::candidate::{Candidate, Parameter};
use crate::cost::{Price, USD, Unit};
use crate::job::Task;
use crate::size::SizeRule;

/// The whole data file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Where pictures are made.
    pub provider: Vec<Endpoint>,
    /// What they are made with.
    pub model: Vec<Model>,
}

/// A provider as shipped.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its id, which is also its kind of adapter.
    pub id: String,
    /// Lower is tried first.
    pub priority: i32,
    /// Most tasks in flight, where the provider documents a limit.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Most submissions in a minute, where the provider documents a limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
}

/// A model at one kind of provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in the catalogue; `*` stands for every model of the provider that is not listed.
    pub name: String,
    /// The kind of provider.
    pub kind: String,
    /// Its name there; the same when absent.
    #[serde(default)]
    pub remote_name: Option<String>,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Which of the adapter's protocols it speaks, where there are several.
    #[serde(default)]
    pub api: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub operations: Vec<Task>,
    /// For which tasks (or `character`, a strict reference) it is the provider's usual choice.
    #[serde(default)]
    pub default_for: Vec<String>,
    /// Which sizes it makes.
    #[serde(default)]
    pub sizes: Option<SizeRule>,
    /// The longest prompt, in characters.
    #[serde(default)]
    pub prompt_chars: Option<u32>,
    /// The most pictures in one call.
    #[serde(default = "one")]
    pub max_n: u32,
    /// The parameters it takes.
    #[serde(default)]
    pub parameters: std::collections::BTreeMap<String, Parameter>,
    /// Fields that every request has.
    #[serde(default)]
    pub fixed: Map<String, Value>,
    /// Seconds for one picture.
    #[serde(default = "ten")]
    pub typical_seconds: f64,
    /// For people.
    #[serde(default)]
    pub best_for: Option<String>,
    /// Set for a retired model.
    #[serde(default)]
    pub successor: Option<String>,
    /// The day the provider shuts it down.
    #[serde(default)]
    pub ends_on: Option<String>,
    /// What it costs.
    #[serde(default)]
    pub prices: Vec<ListPrice>,
}

/// A list price with its source.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPrice {
    /// What it is charged for.
    pub unit: Unit,
    /// USD per unit.
    pub amount: Decimal,
    /// Only for this quality, in the provider's own word.
    #[serde(default)]
    pub quality: Option<String>,
    /// Where the figure comes from, with its date.
    pub source: String,
}

fn one() -> u32 {
    1
}

fn ten() -> f64 {
    10.0
}

static SHIPPED: LazyLock<Catalogue> =
    // The file is part of the program and read by a test: it cannot be wrong at run time.
    LazyLock::new(|| read(include_str!("../catalogue.toml")).unwrap_or_default());

/// The catalogue that comes with this version.
pub fn shipped() -> &'static Catalogue {
    &SHIPPED
}

/// Reads a catalogue.
pub fn read(text: &str) -> Result<Catalogue, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

impl Catalogue {
    /// A model at the shipped provider of a kind.
    pub fn candidate(&self, kind: &str, model: &str) -> Option<Candidate> {
        self.model.iter().find(|m| m.kind == kind && m.name == model).and_then(Model::candidate)
    }

    /// All models that are not retired, each at the shipped provider of its kind.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.model.iter().filter_map(Model::candidate)
    }

    /// The usual model of a kind of provider for a task.
    pub fn default_for(&self, kind: &str, task: &str) -> Option<&Model> {
        self.model.iter().find(|m| m.kind == kind && m.default_for.iter().any(|t| t == task))
    }
}

impl Model {
    /// The model at the shipped provider of its kind; `None` for a retired one.
    pub fn candidate(&self) -> Option<Candidate> {
        let sizes = self.sizes.clone().filter(|_| self.successor.is_none())?;
        Some(Candidate {
            provider: self.kind.clone(),
            kind: self.kind.clone(),
            base_url: None,
            key_name: None,
            model: self.name.clone(),
            remote_name: self.remote_name.clone().unwrap_or_else(|| self.name.clone()),
            api: self.api.clone(),
            operations: self.operations.clone(),
            sizes,
            prompt_chars: self.prompt_chars,
            max_n: self.max_n,
            parameters: self.parameters.clone(),
            fixed: self.fixed.clone(),
            typical_seconds: self.typical_seconds,
            max_in_flight: None,
            requests_per_minute: None,
            prices: self
                .prices
                .iter()
                .map(|p| Price {
                    unit: p.unit,
                    amount: p.amount,
                    currency: USD.into(),
                    quality: p.quality.clone(),
                })
                .collect(),
            stands_in: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_data_file_is_well_formed() {
        let catalogue = read(include_str!("../catalogue.toml")).unwrap();
        let mut seen = HashSet::new();
        for model in &catalogue.model {
            let name = (model.kind.as_str(), model.name.as_str());
            assert!(seen.insert(name), "{name:?} is there twice");
            assert!(crate::provider::find(&model.kind).is_some(), "{name:?}: no such adapter");
            assert_eq!(model.successor.is_none(), model.sizes.is_some(), "{name:?}: sizes or a successor");
            for task in &model.default_for {
                let known = task == "character" || model.operations.iter().any(|t| t.as_str() == task);
                assert!(known, "{name:?} is the default for {task}, which it does not do");
            }
            if let Some(successor) = &model.successor {
                let found = catalogue.model.iter().any(|m| m.name == *successor && m.successor.is_none());
                assert!(found, "{name:?}: successor {successor} does not exist");
            }
        }
        for provider in &catalogue.provider {
            assert!(crate::provider::find(&provider.id).is_some(), "{}", provider.id);
        }
        for adapter in crate::provider::TABLE {
            assert!(catalogue.provider.iter().any(|p| p.id == adapter.kind()), "{}", adapter.kind());
            for task in Task::ALL {
                let defaults = catalogue
                    .model
                    .iter()
                    .filter(|m| m.kind == adapter.kind() && m.default_for.iter().any(|t| t == task.as_str()));
                assert!(defaults.count() <= 1, "{}: two defaults for {}", adapter.kind(), task.as_str());
            }
        }
    }

    #[test]
    fn every_name_is_free_of_doubt() {
        // An alias must not be the name of another model at the same kind of provider, nor the alias of a second one.
        let catalogue = shipped();
        for model in &catalogue.model {
            for alias in &model.aliases {
                let others = catalogue.model.iter().filter(|m| {
                    m.name != model.name
                        && m.kind == model.kind
                        && (m.name == *alias || m.aliases.contains(alias))
                });
                assert_eq!(others.count(), 0, "{alias} of {} at {}", model.name, model.kind);
                assert_eq!(*alias, alias.to_lowercase(), "aliases are in lower case");
            }
        }
    }
}

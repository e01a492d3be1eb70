//! Providers, models and prices as published: one data file, `catalogue.toml`, that becomes rows of the database; and those
//! rows in memory ([`Snapshot`]).

mod resolve;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, LazyLock};

pub use resolve::{Choice, Resolved, Wish};
pub use snapshot::{Need, Provider, RefusalStep, Rows, Snapshot};

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
    /// Where images are made.
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
    /// The most images in one call.
    #[serde(default = "one")]
    pub max_n: u32,
    /// The parameters it takes.
    #[serde(default)]
    pub parameters: std::collections::BTreeMap<String, Parameter>,
    /// Fields that every request has.
    #[serde(default)]
    pub fixed: Map<String, Value>,
    /// Seconds for one image.
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

impl ListPrice {
    fn price(&self) -> Price {
        Price { unit: self.unit, amount: self.amount, currency: USD.into(), quality: self.quality.clone() }
    }
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
            parameters: self.parameters.clone().into(),
            fixed: self.fixed.clone().into(),
            typical_seconds: self.typical_seconds,
            max_in_flight: None,
            requests_per_minute: None,
            prices: Arc::new(self.prices.iter().map(ListPrice::price).collect()),
            stands_in: false,
        })
    }
}

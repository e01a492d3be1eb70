//! Providers, models and prices as published: a data file beside each adapter (`provider/KIND/catalogue.toml`), which becomes
//! rows of the database; and those rows in memory ([`Snapshot`]).
//!
//! A file has a table `provider`, a table `model` for each model, and `defaults`, of which each model has what it does not
//! say itself; `false` takes a parameter off. (A retired model, one with a `successor`, has none of it.) A parameter is written
//! short where that says all: `true`, a range `[1, 50]`, a choice `["low", "high"]`, or the provider's name for it. The long
//! form is a table: as, range, values, words, default, text, list, invert, times, form, weight, weights, most, only,
//! required, assumed. Prices are USD list prices; `source` says where a figure comes from and how old it is.

mod release;
mod resolve;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub use release::{FORMAT, PUBLISHED, Release};
pub use resolve::{Choice, Resolved, Wish};
pub use snapshot::{Need, Provider, RefusalStep, Rows, Snapshot};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Table;

use crate::candidate::{Candidate, Parameter};
use crate::cost::{Price, USD, Unit};
use crate::job::Task;
use crate::provider;
use crate::route::Priority;
use crate::size::SizeRule;

/// All data files.
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
    #[serde(default)]
    pub id: String,
    /// Lower is tried first.
    pub priority: i32,
    /// Most tasks in flight, where the provider documents a limit.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Most submissions in a minute, where the provider documents a limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// How well it serves what a caller may say matters most: 1 is best.
    #[serde(default)]
    pub serves: BTreeMap<Priority, u32>,
}

/// A model at one kind of provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in the catalogue; `*` stands for every model of the provider that is not listed.
    pub name: String,
    /// The kind of provider.
    #[serde(default)]
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
    /// For which tasks (or `character`, a strict reference, or `reference_images`) it is the provider's usual choice.
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
    pub parameters: BTreeMap<String, Parameter>,
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

/// The data file of one kind of provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Endpoint,
    #[serde(default)]
    defaults: Table,
    model: Vec<Table>,
}

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue = Catalogue::default();
    for adapter in provider::TABLE {
        // The files are part of the program and read by a test: they cannot be wrong at run time.
        let (endpoint, models) = read(adapter.kind(), adapter.catalogue()).ok().unzip();
        catalogue.provider.extend(endpoint);
        catalogue.model.extend(models.into_iter().flatten());
    }
    catalogue
});

/// The catalogue that comes with this version.
pub fn shipped() -> &'static Catalogue {
    &SHIPPED
}

/// Reads the data file of a kind of provider.
pub fn read(kind: &str, text: &str) -> Result<(Endpoint, Vec<Model>), String> {
    let file: File = toml::from_str(text).map_err(|e| format!("{kind}: {e}"))?;
    let endpoint = Endpoint { id: kind.into(), ..file.provider };
    let model = |own: Table| {
        let whole = if own.contains_key("successor") { own } else { with_defaults(own, &file.defaults) };
        let model: Model = whole.try_into().map_err(|e| format!("{kind}: {e}"))?;
        Ok(Model { kind: kind.into(), ..model })
    };
    Ok((endpoint, file.model.into_iter().map(model).collect::<Result<_, String>>()?))
}

/// A model with the defaults that it does not say otherwise.
fn with_defaults(mut own: Table, defaults: &Table) -> Table {
    for (key, default) in defaults {
        match (own.get_mut(key), default) {
            (Some(toml::Value::Table(own)), toml::Value::Table(default)) => {
                for (key, value) in default {
                    own.entry(key).or_insert_with(|| value.clone());
                }
            }
            (Some(_), _) => {}
            (None, default) => drop(own.insert(key.clone(), default.clone())),
        }
    }
    if let Some(toml::Value::Table(parameters)) = own.get_mut("parameters") {
        parameters.retain(|_, value| value.as_bool() != Some(false));
    }
    own
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

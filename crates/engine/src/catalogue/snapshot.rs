//! The catalogue of one database at one moment, in memory: whatever asks the catalogue asks this.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::allowance::{Allowance, ProviderGrant, RolePolicy};
use crate::candidate::{Candidate, Parameter};
use crate::content::{ContentRules, Rule as ContentRule};
use crate::cost::{Price, USD, Unit};
use crate::input::Role;
use crate::job::{Invalid, Operation, Request, Task};
use crate::pauses::Pauses;
use crate::provider;
use crate::size::SizeRule;

/// A row of `image_gen.providers`.
#[derive(Clone, Debug, Deserialize)]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// The kind of adapter.
    pub kind: String,
    /// Where it is; the adapter's default when absent.
    pub base_url: Option<String>,
    /// The name of its key; the adapter's default when absent.
    pub key_name: Option<String>,
    /// Whether it gets new jobs.
    pub enabled: bool,
    /// Lower is tried first.
    pub priority: i32,
    /// The most tasks in flight.
    pub max_in_flight: Option<u32>,
    /// The most submissions in a minute.
    pub requests_per_minute: Option<u32>,
    /// A role needs a grant to use it.
    #[serde(default)]
    pub needs_approval: bool,
}

impl Provider {
    /// The name of its key, else of the setting with its address; `None` when it needs neither.
    pub fn key(&self) -> Option<&str> {
        let adapter = provider::find(&self.kind)?;
        provider::named_key(adapter, self.key_name.as_deref()).or(adapter.address_name())
    }

    /// Whether all that it needs is among the keys and addresses that `has` knows.
    pub fn has_access(&self, has: &dyn Fn(&str) -> bool) -> bool {
        let Some(adapter) = provider::find(&self.kind) else { return false };
        let key = provider::named_key(adapter, self.key_name.as_deref());
        let address = adapter.address_name().filter(|_| self.base_url.is_none());
        key.into_iter().chain(address).all(has)
    }
}

/// A row of `image_gen.models`.
#[derive(Clone, Debug, Deserialize)]
struct ModelRow {
    name: String,
    provider_kind: String,
    #[serde(default)]
    provider: Option<String>,
    remote_name: String,
    api: Option<String>,
    aliases: Vec<String>,
    operations: Vec<Task>,
    default_for: Vec<String>,
    sizes: Value,
    prompt_chars: Option<u32>,
    max_n: u32,
    parameters: Value,
    fixed: Map<String, Value>,
    typical_seconds: f64,
    successor: Option<String>,
    ends_on: Option<String>,
}

/// A row of `image_gen.prices`. Of two that fit, the one with the higher id holds.
#[derive(Clone, Debug, Deserialize)]
struct PriceRow {
    id: i64,
    provider_kind: String,
    model: String,
    unit: Unit,
    quality: Option<String>,
    amount: Decimal,
    currency: String,
    origin: String,
}

/// A row of `image_gen.model_rules`: conditions that are `None` always hold.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rule {
    #[serde(default)]
    position: i32,
    pub rule: String,
    pub needs_text: Option<bool>,
    pub photoreal: Option<bool>,
    pub draft: Option<bool>,
    pub stylized: Option<bool>,
    pub editing: Option<bool>,
    pub priority: Option<String>,
    pub models: Vec<String>,
    pub reason: String,
}

/// A row of `image_gen.refusal_steps`: what follows a refusal.
#[derive(Clone, Debug, Deserialize)]
pub struct RefusalStep {
    #[serde(default)]
    step: i32,
    /// `rewrite`, `switch_model`, `review` or `fail`.
    pub action: String,
    /// For `switch_model`: this one; `None` is the next one of the route.
    pub model: Option<String>,
}

/// What a model must be able to do for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The task.
    pub task: Task,
    /// The subject of a reference image must reappear exactly: a task of its own where a provider has a model for it.
    pub character: bool,
    /// There are `reference_images`: a provider can have another usual model for them.
    pub references: bool,
}

impl Need {
    /// What a request needs.
    pub fn of(request: &Request, operation: Operation) -> Need {
        let task = request.task(operation);
        let strict = request.consistency_mode == Some(crate::job::Consistency::Strict);
        let character = task == Task::Generate && strict && request.reference_image.is_some();
        let references = task == Task::Generate && !request.reference_images.is_empty();
        Need { task, character, references }
    }

    /// As `image_gen.jobs.task` and `models.default_for` have it.
    pub fn as_str(self) -> &'static str {
        if self.character { "character" } else { self.task.as_str() }
    }
}

/// A model at one kind of provider.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub name: String,
    pub kind: String,
    /// The only provider that has it; `None` is every provider of the kind.
    provider: Option<String>,
    /// Set for a retired model.
    pub successor: Option<String>,
    /// The day the provider shuts it down.
    pub ends_on: Option<String>,
    pub operations: Vec<Task>,
    default_for: Vec<String>,
    typical_seconds: f64,
    prices: Arc<Vec<Price>>,
    /// What a request to it looks like, or what is wrong with its row: such a row fails alone.
    facts: Result<Facts, String>,
}

#[derive(Clone, Debug)]
struct Facts {
    remote_name: String,
    api: Option<String>,
    sizes: SizeRule,
    prompt_chars: Option<u32>,
    max_n: u32,
    parameters: Arc<BTreeMap<String, Parameter>>,
    fixed: Arc<Map<String, Value>>,
}

/// The rows that a [`Snapshot`] is made of, as the database has them.
#[derive(Default)]
pub struct Rows {
    providers: Vec<Provider>,
    models: Vec<(Model, Vec<String>)>,
    prices: Vec<PriceRow>,
    rules: Vec<Rule>,
    steps: Vec<RefusalStep>,
    keys: Option<Vec<String>>,
    granted: HashSet<String>,
    pauses: Pauses,
    policies: Vec<RolePolicy>,
    access: Vec<ProviderGrant>,
    content: Vec<ContentRule>,
    day: Option<String>,
}

impl Rows {
    /// Takes in a row as JSON. `table` is the table's name, or `keys` for the names of the keys that the worker has, or `day` for
    /// today's date as ISO writes it; `name` and `kind` are a model's, or `name` is a campaign's. An error is about a row that
    /// cannot be left out.
    pub fn add(&mut self, table: &str, name: &str, kind: &str, json: &str) -> Result<(), String> {
        fn read<T: serde::de::DeserializeOwned>(table: &str, json: &str) -> Result<T, String> {
            serde_json::from_str(json)
                .map_err(|e| format!("a row of image_gen.{table} is not understood: {e}"))
        }
        match table {
            "providers" => self.providers.push(read(table, json)?),
            "models" => {
                let row = read::<ModelRow>(table, json);
                self.models.push(row.map_or_else(|why| Model::broken(name, kind, why), Model::read));
            }
            // An amount with more digits than a Decimal has is no price.
            "prices" => self.prices.extend(read(table, json).ok().into_iter().collect::<Vec<PriceRow>>()),
            "model_rules" => self.rules.push(read(table, json)?),
            "refusal_steps" => self.steps.push(read(table, json)?),
            "pauses" => self.pauses.add(read(table, json)?),
            "role_policies" => self.policies.push(read(table, json)?),
            "provider_access" => self.access.push(read(table, json)?),
            "policy_rules" => self.content.push(read(table, json)?),
            "campaign_grants" => drop(self.granted.insert(name.to_owned())),
            "keys" => self.keys = read(table, json)?,
            "day" => self.day = read(table, json)?,
            _ => return Err(format!("the catalogue has no table {table}")),
        }
        Ok(())
    }
}

impl Model {
    fn broken(name: &str, kind: &str, why: String) -> (Model, Vec<String>) {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        let model = Model {
            name,
            kind,
            provider: None,
            successor: None,
            ends_on: None,
            operations: vec![],
            default_for: vec![],
            typical_seconds: 10.0,
            prices: Arc::default(),
            facts: Err(why),
        };
        (model, vec![])
    }

    fn read(row: ModelRow) -> (Model, Vec<String>) {
        let wrong = |e: serde_json::Error| format!("a row of image_gen.models is not understood: {e}");
        let facts = || -> Result<Facts, String> {
            Ok(Facts {
                sizes: serde_json::from_value(row.sizes).map_err(wrong)?,
                parameters: Arc::new(serde_json::from_value(row.parameters).map_err(wrong)?),
                remote_name: row.remote_name,
                api: row.api,
                prompt_chars: row.prompt_chars,
                max_n: row.max_n,
                fixed: Arc::new(row.fixed),
            })
        };
        let retired = row.successor.is_some();
        let facts = if retired { Err("it is retired".into()) } else { facts() };
        let aliases = row.aliases.iter().map(|alias| alias.to_lowercase()).collect();
        let model = Model {
            name: row.name,
            kind: row.provider_kind,
            provider: row.provider,
            successor: row.successor,
            ends_on: row.ends_on,
            operations: row.operations,
            default_for: row.default_for,
            typical_seconds: row.typical_seconds,
            prices: Arc::default(),
            facts,
        };
        (model, aliases)
    }

    /// Whether a provider of its kind has it.
    fn is_at(&self, provider: &Provider) -> bool {
        self.provider.as_ref().is_none_or(|id| *id == provider.id)
    }

    fn is_default_for(&self, task: &str) -> bool {
        self.default_for.iter().any(|t| t == task)
    }
}

/// The catalogue of one database at one moment: providers, models, the prices of a day, rules, and what follows refusals.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the administrator's order.
    providers: Vec<Provider>,
    models: Vec<Model>,
    pub(super) rules: Vec<Rule>,
    steps: Vec<RefusalStep>,
    keys: Option<Vec<String>>,
    /// Campaigns that are not open to every user.
    granted: HashSet<String>,
    pauses: Pauses,
    policies: Vec<RolePolicy>,
    access: Vec<ProviderGrant>,
    content: Arc<ContentRules>,
    /// Whose prices these are, as ISO writes it.
    day: Option<String>,
    ids: Vec<String>,
    by_id: HashMap<String, usize>,
    by_kind: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
    by_alias: HashMap<String, Vec<usize>>,
    /// Models in use that are their provider's usual choice for something, by kind.
    usual: HashMap<String, Vec<usize>>,
}

impl From<Rows> for Snapshot {
    fn from(rows: Rows) -> Self {
        let mut snapshot = Snapshot {
            rules: rows.rules,
            steps: rows.steps,
            keys: rows.keys,
            granted: rows.granted,
            pauses: rows.pauses,
            policies: rows.policies,
            access: rows.access,
            content: Arc::new(ContentRules::new(rows.content).unwrap_or_else(ContentRules::closed)),
            day: rows.day,
            ..Snapshot::default()
        };
        snapshot.rules.sort_by_key(|rule| rule.position);
        snapshot.steps.sort_by_key(|step| step.step);
        let mut prices = prices(rows.prices);
        snapshot.providers = rows.providers;
        snapshot.providers.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        for (at, provider) in snapshot.providers.iter().enumerate() {
            snapshot.by_id.insert(provider.id.clone(), at);
            snapshot.by_kind.entry(provider.kind.clone()).or_default().push(at);
        }
        snapshot.ids = snapshot.by_id.keys().cloned().collect();
        snapshot.ids.sort();
        let mut models = rows.models;
        models.sort_by(|(a, _), (b, _)| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
        for (at, (mut model, aliases)) in models.into_iter().enumerate() {
            model.prices = prices.remove(&(model.kind.clone(), model.name.clone())).unwrap_or_default();
            snapshot.by_name.entry(model.name.clone()).or_default().push(at);
            for alias in aliases {
                snapshot.by_alias.entry(alias).or_default().push(at);
            }
            if model.successor.is_none() && !model.default_for.is_empty() {
                snapshot.usual.entry(model.kind.clone()).or_default().push(at);
            }
            snapshot.models.push(model);
        }
        snapshot
    }
}

/// The prices of each model, the one that holds first. One of an administrator's own puts all of the catalogue aside.
fn prices(mut rows: Vec<PriceRow>) -> HashMap<(String, String), Arc<Vec<Price>>> {
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    let mut grouped: HashMap<(String, String), Vec<PriceRow>> = HashMap::new();
    for row in rows {
        grouped.entry((row.provider_kind.clone(), row.model.clone())).or_default().push(row);
    }
    let own = |rows: Vec<PriceRow>| {
        let own = rows.iter().any(|row| row.origin == "admin");
        let kept = rows.into_iter().filter(|row| !own || row.origin == "admin");
        let price = |row: PriceRow| Price {
            unit: row.unit,
            amount: row.amount,
            currency: row.currency,
            quality: row.quality,
        };
        Arc::new(kept.map(price).collect())
    };
    grouped.into_iter().map(|(key, rows)| (key, own(rows))).collect()
}

impl Snapshot {
    /// The ids of all providers, sorted.
    pub fn provider_ids(&self) -> &[String] {
        &self.ids
    }

    /// A provider by its id.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.by_id.get(id).map(|at| &self.providers[*at])
    }

    /// All providers, in the administrator's order.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The names of the keys that the worker has; `None` until it has said so.
    pub fn keys(&self) -> Option<&[String]> {
        self.keys.as_deref()
    }

    /// Whether a campaign was granted to some roles, and so is closed to all others.
    pub fn is_granted(&self, campaign: &str) -> bool {
        self.granted.contains(campaign)
    }

    /// Whether any campaign was.
    pub fn has_grants(&self) -> bool {
        !self.granted.is_empty()
    }

    /// What an administrator has paused.
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// What a role may ask for; `is_member` says of a role's oid whether it is a member of it.
    pub fn allowance(&self, is_member: impl Fn(u32) -> bool) -> Allowance {
        let policies: Vec<&RolePolicy> = self.policies.iter().filter(|row| is_member(row.role)).collect();
        let access = self.access.iter().filter(|row| is_member(row.role));
        let guarded = self.providers.iter().filter(|p| p.needs_approval).map(|p| p.id.as_str());
        Allowance::of(policies.into_iter(), access, guarded)
    }

    /// Rules for what may be in an image.
    pub fn content(&self) -> &Arc<ContentRules> {
        &self.content
    }

    /// Today, as ISO writes it, where that is known.
    pub(super) fn day(&self) -> Option<&str> {
        self.day.as_deref()
    }

    /// What follows a refusal, in order.
    pub fn refusal_steps(&self) -> &[RefusalStep] {
        &self.steps
    }

    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Model> {
        self.by_name.get(name).into_iter().flatten().map(|at| &self.models[*at])
    }

    pub(super) fn with_alias(&self, name: &str) -> impl Iterator<Item = &Model> {
        self.by_alias.get(name).into_iter().flatten().map(|at| &self.models[*at])
    }

    pub(super) fn models(&self) -> &[Model] {
        &self.models
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Provider> {
        self.by_kind.get(kind).into_iter().flatten().map(|at| &self.providers[*at])
    }

    /// Whether any provider of the kind has a row for the model's name, retired or not.
    pub(super) fn lists(&self, name: &str, kind: &str) -> bool {
        self.named(name).any(|m| m.kind == kind)
    }

    /// Whether a provider has a model for a need, in use.
    pub fn can(&self, provider: &Provider, need: Need) -> bool {
        let does = |m: &Model, task| m.operations.contains(&task);
        let able = |m: &Model| does(m, need.task) || need.task == Task::Outpaint && does(m, Task::Inpaint);
        self.models
            .iter()
            .any(|m| m.kind == provider.kind && m.is_at(provider) && m.successor.is_none() && able(m))
    }

    /// The providers and models that offer a model by its name, in the administrator's order. A model without a row is
    /// reached through its provider's `*`, when the provider is named. `disabled_too`: also where no new jobs go.
    ///
    /// # Errors
    /// A row that is asked for and cannot be read.
    pub fn offers(
        &self,
        model: &str,
        provider: Option<&str>,
        disabled_too: bool,
    ) -> Result<Vec<Candidate>, Invalid> {
        let found = self.offering(model, provider, disabled_too);
        found.into_iter().map(|(p, m)| self.candidate(p, m, model, false)).collect()
    }

    /// The kinds of the providers that offer a model by its name, those included where no new jobs go.
    pub fn kinds_offering<'a>(
        &'a self,
        model: &str,
        provider: Option<&str>,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        self.offering(model, provider, true).into_iter().map(|(p, _)| p.kind.as_str())
    }

    fn offering(&self, model: &str, provider: Option<&str>, disabled_too: bool) -> Vec<(&Provider, &Model)> {
        let mut found: Vec<(&Provider, &Model)> = vec![];
        let usable = |p: &&Provider| (p.enabled || disabled_too) && provider.is_none_or(|id| id == p.id);
        for entry in self.named(model).filter(|m| m.successor.is_none()) {
            let at = |p: &&Provider| usable(p) && entry.is_at(p);
            found.extend(self.of_kind(&entry.kind).filter(at).map(|p| (p, entry)));
        }
        if provider.is_some() && model != "*" {
            for entry in self.named("*").filter(|m| m.successor.is_none()) {
                let listed = |p: &Provider| self.named(model).any(|m| m.kind == p.kind && m.is_at(p));
                let at = |p: &&Provider| usable(p) && entry.is_at(p) && !listed(p);
                found.extend(self.of_kind(&entry.kind).filter(at).map(|p| (p, entry)));
            }
        }
        found.sort_by(|(a, _), (b, _)| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        found
    }

    /// The (provider, model) pairs that could do a job, in the administrator's order: those that offer the model, then the
    /// usual models of the other providers that `ready` accepts, which stand in. Without a model: the usual ones.
    ///
    /// # Errors
    /// A row that is asked for and cannot be read. (One that would stand in is left out.)
    pub fn candidates(
        &self,
        need: Need,
        model: Option<&str>,
        provider: Option<&str>,
        ready: &dyn Fn(&Provider) -> bool,
    ) -> Result<Vec<Candidate>, Invalid> {
        let mut candidates = match model {
            Some(model) => self.offers(model, provider, false)?,
            None => vec![],
        };
        let own = candidates.len();
        for p in self.providers.iter().filter(|p| p.enabled && !provider::draws(&p.kind)) {
            let asked = provider.is_none_or(|id| id == p.id);
            let offers = candidates[..own].iter().any(|c| c.provider == p.id);
            if asked
                && !offers
                && (model.is_none() || ready(p))
                && let Some(usual) = self.usual(p, need)
            {
                let name = if usual.name == "*" { model.unwrap_or("*") } else { &usual.name };
                candidates.extend(self.candidate(p, usual, name, model.is_some()).ok());
            }
        }
        Ok(candidates)
    }

    /// The usual model of a provider for a need. What can inpaint can outpaint: on a larger canvas.
    fn usual(&self, provider: &Provider, need: Need) -> Option<&Model> {
        let of_kind = || {
            let models = self.usual.get(&provider.kind).into_iter().flatten().map(|at| &self.models[*at]);
            models.filter(|m| m.is_at(provider))
        };
        let exact = of_kind().find(|m| m.is_default_for(need.as_str()));
        let exact = match need.references && !need.character {
            true => of_kind().find(|m| m.is_default_for(Role::Reference(0).parameter())).or(exact),
            false => exact,
        };
        let near = || match need.task {
            Task::Outpaint => of_kind().find(|m| m.is_default_for("inpaint")),
            task => of_kind().find(|m| m.is_default_for(task.as_str())),
        };
        exact.or_else(near)
    }

    fn candidate(&self, p: &Provider, m: &Model, name: &str, stands_in: bool) -> Result<Candidate, Invalid> {
        let facts = m.facts.as_ref().map_err(|why| {
            Invalid::new(why.clone(), "Compare it with the comments of the columns of image_gen.models.")
        })?;
        let remote_name = if m.name == "*" { name } else { &facts.remote_name };
        Ok(Candidate {
            provider: p.id.clone(),
            kind: p.kind.clone(),
            base_url: p.base_url.clone(),
            key_name: p.key_name.clone(),
            model: name.to_owned(),
            remote_name: remote_name.to_owned(),
            api: facts.api.clone(),
            operations: m.operations.clone(),
            sizes: facts.sizes.clone(),
            prompt_chars: facts.prompt_chars,
            max_n: facts.max_n,
            parameters: facts.parameters.clone(),
            fixed: facts.fixed.clone(),
            typical_seconds: m.typical_seconds,
            max_in_flight: p.max_in_flight,
            requests_per_minute: p.requests_per_minute,
            prices: m.prices.clone(),
            stands_in,
        })
    }

    /// The lowest list price of an image of a model, in USD.
    pub(super) fn lowest_price(&self, model: &Model) -> Option<Decimal> {
        let of_a_picture = |p: &&Price| {
            matches!(p.unit, Unit::Image | Unit::Megapixel | Unit::BegunMegapixel | Unit::FirstMegapixel)
        };
        model.prices.iter().filter(|p| p.currency == USD).filter(of_a_picture).map(|p| p.amount).min()
    }
}

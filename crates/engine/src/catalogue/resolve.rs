//! From what a caller writes to a model of the catalogue.

use super::snapshot::{Model, Provider, Snapshot};
use crate::job::{Invalid, PRIORITIES, Warning};
use crate::provider;

/// What a model's name stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Set when the caller named one (`provider:model`).
    pub provider: Option<String>,
    /// The model in use: aliases and retired names resolved.
    pub model: String,
    /// Where that is a successor of what was asked for.
    pub warning: Option<Warning>,
}

/// How many retired models may follow each other; a circle of them ends here.
const SUCCESSORS: usize = 8;

impl Snapshot {
    /// What a name, an alias or `provider:model` stands for.
    ///
    /// # Errors
    /// No such model; the hint has names near it.
    pub fn resolve(&self, asked: &str) -> Result<Resolved, Invalid> {
        let wanted = asked.trim_matches(' ').to_lowercase();
        // provider:model names both; owner/name:version of a community model is no provider's id.
        let named = wanted.split_once(':').and_then(|(id, rest)| Some((self.provider(id)?, rest)));
        let provider = named.map(|(provider, _)| provider);
        let mut name = named.map_or(wanted.as_str(), |(_, rest)| rest).to_owned();
        let mut warning = None;
        let mut found: Option<&Model> = None;
        for _ in 0..SUCCESSORS {
            found = self.entry(&name, provider);
            let Some(model) = found else { break };
            name.clone_from(&model.name);
            let Some(successor) = &model.successor else { break };
            name.clone_from(successor);
            warning.get_or_insert_with(|| {
                let name = &model.name;
                let message = match &model.ends_on {
                    Some(day) if self.day().is_some_and(|today| today < day.as_str()) => {
                        format!("{name} ends on {day}: {successor} is used already")
                    }
                    Some(day) => format!("{name} is retired ({day}): {successor} is used instead"),
                    None => format!("{name} is retired: {successor} is used instead"),
                };
                Warning::new("successor", message)
            });
        }
        let exists = match found {
            Some(model) => model.successor.is_none(),
            // A provider with more models than a catalogue can list.
            None => provider.is_some_and(|p| self.lists("*", &p.kind)),
        };
        match exists {
            true => Ok(Resolved { provider: provider.map(|p| p.id.clone()), model: name, warning }),
            false => Err(self.unknown(asked, &name)),
        }
    }

    /// The name itself; else an alias: what a provider calls its own wins, but another provider's name for it is understood
    /// too. Of models of several kinds that have the alias, one that can be used wins, then the administrator's order.
    fn entry(&self, name: &str, provider: Option<&Provider>) -> Option<&Model> {
        if name == "*" {
            return None;
        }
        let kind = provider.map(|p| p.kind.as_str());
        let exact = self.named(name).filter(|m| kind.is_none_or(|kind| m.kind == kind));
        let best = exact.min_by_key(|m| (m.successor.is_some(), &m.kind));
        best.or_else(|| {
            let all = self.named(name).chain(self.with_alias(name).filter(|m| m.name != "*"));
            all.min_by_key(|m| {
                let usable = self.of_kind(&m.kind).filter(|p| p.enabled);
                let ready = |p: &&Provider| p.has_access(&|name| self.has_key(name));
                let first = usable.map(|p| (!ready(&p), p.priority)).min();
                let nowhere = first.is_none();
                let own = (Some(m.kind.as_str()) != kind, m.name != name, m.successor.is_some());
                (own, nowhere, first, &m.name, &m.kind)
            })
        })
    }

    fn unknown(&self, asked: &str, name: &str) -> Invalid {
        let start = |text: &str| text.chars().take(3).collect::<String>();
        let in_use = self.models().iter().filter(|m| m.successor.is_none() && m.name != "*");
        let mut near: Vec<&str> =
            in_use.map(|m| m.name.as_str()).filter(|n| start(n) == start(name)).collect();
        near.dedup();
        near.truncate(8);
        let near = if near.is_empty() { String::new() } else { format!("Near it: {}. ", near.join(", ")) };
        Invalid::unknown(
            format!("model \"{asked}\" does not exist"),
            format!(
                "{near}image_gen.models lists all, with their aliases; replicate:owner/name, fal:... and openrouter:... reach models that have no row."
            ),
        )
    }
}

/// What is wanted of a model, for [`Snapshot::choose`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Legible text in the image.
    pub needs_text: bool,
    /// A photograph, or what looks like one.
    pub photoreal: bool,
    /// A first try.
    pub draft: bool,
    /// An illustration or a poster.
    pub stylized: bool,
    /// An image is there and is to be changed.
    pub editing: bool,
    /// What matters most.
    pub priority: Option<&'a str>,
}

/// What the rules say to a wish.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// A model that can be used: its name, or `provider:model`. `None` where none is configured.
    pub model: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Why, for people; or what to configure.
    pub reason: Option<String>,
}

impl Snapshot {
    fn has_key(&self, name: &str) -> bool {
        self.keys().is_some_and(|keys| keys.iter().any(|key| key == name))
    }

    /// Whether a provider of a model has a key, as far as the worker has said which keys it has.
    fn is_configured(&self, asked: &str) -> bool {
        let Ok(target) = self.resolve(asked) else { return false };
        let ready = |p: &Provider| {
            p.enabled
                && target.provider.as_ref().is_none_or(|id| *id == p.id)
                && p.has_access(&|name| self.has_key(name))
        };
        self.named(&target.model).any(|m| self.of_kind(&m.kind).any(ready))
    }

    /// A model for what is wanted, by the first of the rules whose conditions hold. What a rule demands is not given up for
    /// what there happens to be a key for.
    ///
    /// # Errors
    /// A priority that does not exist.
    pub fn choose(&self, wish: Wish<'_>) -> Result<Choice, Invalid> {
        if let Some(priority) = wish.priority.filter(|p| !PRIORITIES.contains(p)) {
            return Err(Invalid::new(
                format!("priority '{priority}' does not exist"),
                format!("Use one of: {}.", PRIORITIES.join(", ")),
            ));
        }
        let special = wish.needs_text || wish.draft || wish.stylized || wish.editing;
        if wish.priority == Some("cost") && !special {
            return Ok(self.cheapest());
        }
        let holds = |condition: Option<bool>, value: bool| condition.is_none_or(|c| c == value);
        let rule = self.rules.iter().find(|r| {
            holds(r.needs_text, wish.needs_text)
                && holds(r.photoreal, wish.photoreal)
                && holds(r.draft, wish.draft)
                && holds(r.stylized, wish.stylized)
                && holds(r.editing, wish.editing)
                && r.priority.as_deref().is_none_or(|p| Some(p) == wish.priority)
        });
        let Some(rule) = rule else { return Ok(Choice::default()) };
        let model = rule.models.iter().find(|name| self.is_configured(name)).cloned();
        let reason = match model {
            Some(_) => rule.reason.clone(),
            None => format!(
                "{}: {} would do, but none of them is configured; set a key of their providers ({})",
                rule.reason,
                rule.models.join(", "),
                self.keys_of(&rule.models).join(", ")
            ),
        };
        Ok(Choice { model, rule: Some(rule.rule.clone()), reason: Some(reason) })
    }

    /// The one rule that is no row: the price table decides.
    fn cheapest(&self) -> Choice {
        let offers = self.models().iter().filter(|m| {
            m.successor.is_none() && m.name != "*" && m.operations.contains(&crate::job::Task::Generate)
        });
        let priced = offers.filter_map(|m| Some((self.lowest_price(m)?, m)));
        let ready = |p: &&Provider| {
            p.enabled && !provider::draws(&p.kind) && p.has_access(&|name| self.has_key(name))
        };
        let all =
            priced.flat_map(|(amount, m)| self.of_kind(&m.kind).filter(ready).map(move |p| (amount, p, m)));
        let best = all.min_by(|(a, p, m), (b, q, n)| (a, p.priority, &m.name).cmp(&(b, q.priority, &n.name)));
        let model = best.map(|(_, p, m)| format!("{}:{}", p.id, m.name));
        let reason = match model {
            Some(_) => "the lowest list price of an image",
            None => "no model with a list price is configured: set a provider's key",
        };
        Choice { model, rule: Some("cost".into()), reason: Some(reason.into()) }
    }

    /// The keys of the providers that offer these models, sorted.
    fn keys_of(&self, models: &[String]) -> Vec<&str> {
        let mut keys: Vec<&str> = vec![];
        for asked in models {
            let (id, name) = asked.split_once(':').map_or((None, asked.as_str()), |(id, n)| (Some(id), n));
            for model in self.named(name) {
                let of = self.of_kind(&model.kind).filter(|p| id.is_none_or(|id| id == p.id));
                keys.extend(of.filter_map(Provider::key));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

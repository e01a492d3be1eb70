//! Why a job can go nowhere, in the words of its caller and in those of its end.

use rust_decimal::Decimal;

use super::Query;
use crate::candidate::Candidate;
use crate::catalogue;
use crate::content::Rule;
use crate::failure::{Failed, Failure};
use crate::job::{Invalid, Task};
use crate::provider;
use crate::route::{Exclusion, Preferences};

/// What is wrong, by what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An argument has a value that is not possible.
    Argument,
    /// A name that does not exist.
    Unknown,
    /// No provider can do it.
    NotSupported,
    /// It would cost more than allowed.
    Budget,
    /// The role may not.
    Forbidden,
}

/// A job that can go nowhere.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// What it is about.
    pub kind: Kind,
    /// What is wrong, and what to write instead.
    pub invalid: Invalid,
    /// The candidates, and why none of them is left.
    pub excluded: Vec<(Candidate, Exclusion)>,
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        let kind = if invalid.unknown { Kind::Unknown } else { Kind::Argument };
        Rejection { kind, invalid, excluded: vec![] }
    }
}

impl Rejection {
    /// About an argument.
    pub fn argument(invalid: Invalid) -> Self {
        Rejection { kind: Kind::Argument, invalid, excluded: vec![] }
    }

    /// A rule of content blocks the prompt.
    pub(super) fn content(rule: &Rule) -> Self {
        let invalid = Invalid::new(
            format!("the prompt is not allowed here: {}", rule.says()),
            "Write it without what the rule is about, or ask an administrator: image_gen.policy_rules has the rules.",
        );
        Rejection { kind: Kind::Forbidden, invalid, excluded: vec![] }
    }

    /// The role may not use what is asked for.
    pub(super) fn forbidden(why: String, excluded: Vec<(Candidate, Exclusion)>) -> Self {
        let provider = excluded.first().map(|(candidate, _)| candidate.provider.as_str());
        let ask = provider.map(|id| format!(", ask for it with image_gen.request_provider('{id}')"));
        let invalid = Invalid::new(
            why,
            format!(
                "image_gen.effective_policy() says what this role may use: name something else{}, or ask an administrator for image_gen.set_role_policy().",
                ask.unwrap_or_default()
            ),
        );
        Rejection { kind: Kind::Forbidden, invalid, excluded }
    }

    /// No enabled provider has the model, or can do the task.
    pub(super) fn not_offered(query: &Query<'_>) -> Self {
        let named = query.target.named.as_ref();
        let at = named.and_then(|n| n.provider.as_ref());
        let at = at.map(|id| format!(" at provider '{id}'")).unwrap_or_default();
        if named.is_none() && query.request.style.as_ref().is_some_and(|style| !style.models.is_empty()) {
            return Rejection::not_allowed(query);
        }
        let invalid = match named {
            Some(named) => Invalid::new(
                format!("model '{}' is not offered{at}", named.model),
                "See image_gen.models for who offers it, and image_gen.providers for who is enabled.",
            ),
            None => Invalid::new(
                format!("no enabled provider can {}{at}", query.need.task.as_str()),
                "See image_gen.models for who can, and image_gen.providers for who is enabled.",
            ),
        };
        Rejection { kind: Kind::NotSupported, invalid, excluded: vec![] }
    }

    /// A style allows none of the candidates.
    pub(super) fn not_allowed(query: &Query<'_>) -> Self {
        let style = query.request.style.as_ref();
        let (name, models) =
            style.map(|style| (style.name.as_str(), style.models.join(", "))).unwrap_or_default();
        let what = match &query.target.named {
            Some(named) => format!("style '{name}' does not allow model '{}'", named.model),
            None => format!("no enabled provider offers what style '{name}' allows"),
        };
        let invalid = Invalid::new(
            what,
            format!(
                "It allows {models}: name one of them, leave the style out, or change it with set_style()."
            ),
        );
        Rejection { kind: Kind::Argument, invalid, excluded: vec![] }
    }

    /// There are candidates, and each is out.
    pub(super) fn none_left(
        query: &Query<'_>,
        wishes: &Preferences,
        excluded: Vec<(Candidate, Exclusion)>,
    ) -> Self {
        let task = query.need.task;
        // What would only have stood in is no reason.
        let own =
            || excluded.iter().filter(|(c, why)| !c.stands_in && *why != Exclusion::NothingToStandInFor);
        if own().next().is_some() && own().all(|(_, why)| matches!(why, Exclusion::NotAllowed(_))) {
            let why = own().find_map(|(_, why)| why.details()).unwrap_or_default().to_owned();
            return Rejection::forbidden(why, excluded);
        }
        // What is wrong with the request itself is said in its own words.
        let unfit = excluded.iter().find_map(|(_, why)| match why {
            Exclusion::Unfit(why) => Some(why),
            _ => None,
        });
        if let Some(why) = unfit {
            let (message, hint) = why.split_once(". ").unwrap_or((why, ""));
            let invalid = match hint {
                "" => Invalid::new(message, format!("Models that can {}: {}.", task.as_str(), able(task))),
                hint => Invalid::new(message, hint),
            };
            return Rejection { kind: Kind::Argument, invalid, excluded };
        }
        let mut why: Vec<String> =
            excluded.iter().map(|(c, why)| format!("{}: {}", c.name(), why.as_str())).collect();
        // One without a key stands in for none, and one that can do nothing of the kind is no candidate at all.
        let absent = |name: &&String| wishes.only && !excluded.iter().any(|(c, _)| c.provider == **name);
        let able_kind = |name: &String| {
            catalogue::shipped().candidates().any(|c| c.kind == *name && provider::can(&c, task))
        };
        why.extend(wishes.preferred.iter().filter(absent).map(|name| {
            let out = if able_kind(name) { Exclusion::NotConfigured } else { Exclusion::NotSupported };
            format!("{name}: {}", out.as_str())
        }));
        let allowed = query.request.style.as_ref().filter(|style| !style.models.is_empty());
        let hint = match why.iter().any(|why| why.ends_with("not_supported")) {
            _ if allowed.is_some() => {
                let style = allowed.cloned().unwrap_or_default();
                let models = style.models.join(", ");
                format!(
                    "Style '{}' allows only {models}: change it with set_style(), or leave it out.",
                    style.name
                )
            }
            // S137, S138
            true => format!("Models that can: {}.", able(task)),
            false => "Change provider_preferences or priority, or name another model.".to_owned(),
        };
        let message = format!("no eligible provider to {} ({})", task.as_str(), why.join(", "));
        Rejection { kind: Kind::NotSupported, invalid: Invalid::new(message, hint), excluded }
    }

    /// Whether the first call stays within `max_cost`.
    pub(super) fn check_cost(
        model: &str,
        estimate: Option<Decimal>,
        limit: Decimal,
        allow_unpriced: bool,
    ) -> Result<(), Self> {
        let invalid = match estimate {
            Some(estimate) if estimate <= limit => return Ok(()),
            None if allow_unpriced => return Ok(()),
            Some(estimate) => Invalid::new(
                format!("the job would cost about {estimate} USD, more than max_cost {limit}"),
                "Raise max_cost, or choose another model, quality or n.",
            ),
            None => Invalid::new(
                format!("the price of '{model}' is not known, so max_cost {limit} cannot be kept"),
                "Add a row to image_gen.prices, leave max_cost out, or say allow_unpriced => true where that is granted.",
            ),
        };
        Err(Rejection { kind: Kind::Budget, invalid, excluded: vec![] })
    }

    /// How a job ends that was queued and can go nowhere any more.
    pub fn failure(&self) -> Failed {
        let why = |(candidate, out): &(Candidate, Exclusion)| match out {
            Exclusion::NotConfigured => {
                let key = provider::find(&candidate.kind).and_then(|p| provider::key_name(p, candidate));
                let name = key.or_else(|| provider::find(&candidate.kind)?.address_name());
                format!("{} has no key ({})", candidate.provider, name.unwrap_or("no adapter"))
            }
            Exclusion::Blocked => format!("{} is blocked", candidate.provider),
            Exclusion::NotPrivate => format!("{} is not on this machine", candidate.provider),
            Exclusion::NotPreferred => format!("{} is not preferred", candidate.provider),
            Exclusion::NotSupported => format!("{} does not do this", candidate.provider),
            Exclusion::Unfit(why) | Exclusion::NotAllowed(why) => why.clone(),
            Exclusion::TooDear => format!("{} would cost more than max_cost", candidate.name()),
            Exclusion::NothingToStandInFor => format!("{} only stands in", candidate.name()),
        };
        // What would only have stood in is no reason.
        let own =
            || self.excluded.iter().filter(|(c, why)| !c.stands_in && *why != Exclusion::NothingToStandInFor);
        let failure = if self.kind == Kind::Forbidden {
            Failure::NotAllowed
        } else if own().any(|(_, why)| *why == Exclusion::NotConfigured) {
            Failure::Unauthorized
        } else if self.kind == Kind::Argument || own().any(|(_, why)| matches!(why, Exclusion::Unfit(_))) {
            Failure::Invalid
        } else {
            Failure::NotSupported
        };
        let reasons: Vec<String> = own().map(why).collect();
        match (reasons.is_empty(), self.kind) {
            (false, _) => failure.because(reasons.join("; ")),
            (true, Kind::Argument | Kind::Forbidden) => failure.because(self.invalid.message.clone()),
            (true, _) => failure.because("no enabled provider offers the model"),
        }
    }
}

/// Some models of the shipped catalogue that do a task.
fn able(task: Task) -> String {
    let mut names: Vec<String> =
        catalogue::shipped().candidates().filter(|c| provider::can(c, task)).map(|c| c.model).collect();
    names.retain(|name| name != "*");
    names.sort();
    names.dedup();
    names.truncate(12);
    names.join(", ")
}

//! What a role may ask for: the policies of all roles that it is a member of, added up, as privileges are.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::candidate::Candidate;
use crate::job::Operation;
use crate::policy::HARMLESS;

/// A row of `image_gen.role_policies`.
#[derive(Clone, Debug, Deserialize)]
pub struct RolePolicy {
    /// The role: its oid.
    pub role: u32,
    allow_unpriced: bool,
    allowed_options: Vec<String>,
    allowed_providers: Vec<String>,
    allowed_models: Vec<String>,
    allowed_operations: Vec<String>,
    max_queued: Option<u32>,
    max_in_flight: Option<u32>,
    requests_per_minute: Option<u32>,
}

/// A row of `image_gen.provider_access` that an administrator has granted.
#[derive(Clone, Debug, Deserialize)]
pub struct ProviderGrant {
    /// The role: its oid.
    pub role: u32,
    /// `providers.id`
    pub provider: String,
}

/// Some names, or all.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Names {
    /// All.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
}

/// What one role may ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowance {
    /// Whether it may say `allow_unpriced`.
    pub unpriced: bool,
    /// Options by name, with `*` for all that lower no filter; `All` is every one.
    pub options: Names,
    providers: Names,
    models: Names,
    operations: Names,
    /// Providers that were granted to it, whatever `providers` says.
    granted: Vec<String>,
    /// Providers that need a grant, and have none for it.
    closed: Vec<String>,
    /// The most jobs that it may have queued or in flight; `None` is the setting's word.
    pub max_queued: Option<u32>,
    /// The most jobs that it may have in flight; `None` is no limit.
    pub max_in_flight: Option<u32>,
    /// The most jobs that it may queue in a minute; `None` is no limit.
    pub requests_per_minute: Option<u32>,
}

impl Names {
    fn has(&self, name: impl Fn(&str) -> bool) -> bool {
        match self {
            Names::All => true,
            Names::Only(names) => names.iter().any(|one| name(one)),
        }
    }

    /// What any of some rows allows.
    fn sum<'a>(rows: impl Iterator<Item = &'a Vec<String>>) -> Names {
        let mut names: Vec<String> = rows.flatten().cloned().collect();
        names.sort();
        names.dedup();
        if names.iter().any(|name| name == HARMLESS) { Names::All } else { Names::Only(names) }
    }
}

/// The highest of some limits; `None`, which is none, is higher than any.
fn highest(limits: impl Iterator<Item = Option<u32>>) -> Option<u32> {
    limits.reduce(|a, b| Some(a?.max(b?))).flatten()
}

impl Allowance {
    /// An administrator's: everything.
    pub fn everything() -> Self {
        Allowance { unpriced: true, ..Allowance::default() }
    }

    /// What the rows of a role's memberships come to. `guarded`: the providers that need a grant.
    pub fn of<'a>(
        policies: impl Iterator<Item = &'a RolePolicy> + Clone,
        grants: impl Iterator<Item = &'a ProviderGrant>,
        guarded: impl Iterator<Item = &'a str>,
    ) -> Self {
        let granted: Vec<String> = grants.map(|grant| grant.provider.clone()).collect();
        let closed = guarded.filter(|id| !granted.iter().any(|one| one == id)).map(str::to_owned).collect();
        let harmless = Names::Only(vec![HARMLESS.to_owned()]);
        if policies.clone().next().is_none() {
            return Allowance { options: harmless, granted, closed, ..Allowance::default() };
        }
        let mut options: Vec<String> = policies.clone().flat_map(|p| p.allowed_options.clone()).collect();
        options.sort();
        options.dedup();
        Allowance {
            unpriced: policies.clone().any(|p| p.allow_unpriced),
            options: Names::Only(options),
            providers: Names::sum(policies.clone().map(|p| &p.allowed_providers)),
            models: Names::sum(policies.clone().map(|p| &p.allowed_models)),
            operations: Names::sum(policies.clone().map(|p| &p.allowed_operations)),
            granted,
            closed,
            max_queued: highest(policies.clone().map(|p| p.max_queued)),
            max_in_flight: highest(policies.clone().map(|p| p.max_in_flight)),
            requests_per_minute: highest(policies.map(|p| p.requests_per_minute)),
        }
    }

    /// As people see it: "*" is all.
    pub fn shown(&self) -> Value {
        let names = |names: &Names| match names {
            Names::All => json!([HARMLESS]),
            Names::Only(names) => json!(names),
        };
        json!({
            "allow_unpriced": self.unpriced,
            "allowed_options": if self.options == Names::All { json!(null) } else { names(&self.options) },
            "allowed_providers": names(&self.providers),
            "allowed_models": names(&self.models),
            "allowed_operations": names(&self.operations),
            "granted_providers": self.granted,
            "closed_providers": self.closed,
            "max_queued": self.max_queued,
            "max_in_flight": self.max_in_flight,
            "requests_per_minute": self.requests_per_minute,
        })
    }

    /// Why a candidate may not be used; `None` where it may.
    pub fn forbids(&self, candidate: &Candidate) -> Option<String> {
        let Candidate { provider, model, .. } = candidate;
        let name = || candidate.name();
        if self.closed.contains(provider) {
            return Some(format!("provider '{provider}' needs an administrator's approval for this role"));
        }
        if !self.granted.contains(provider) && !self.providers.has(|one| one == provider) {
            return Some(format!("provider '{provider}' is not among those of this role"));
        }
        // The one that draws previews has no models of its own.
        let allowed = self.models.has(|one| one == model || one == name());
        (!allowed).then(|| format!("model '{model}' is not among those of this role"))
    }

    /// Why an operation may not be used; `None` where it may.
    pub fn forbids_operation(&self, operation: Operation) -> Option<String> {
        let allowed = self.operations.has(|one| one == operation.as_str());
        (!allowed).then(|| format!("operation '{}' is not among those of this role", operation.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(fields: Value) -> RolePolicy {
        let mut row = json!({
            "role": 1, "allow_unpriced": false, "allowed_options": ["*"], "allowed_providers": ["*"],
            "allowed_models": ["*"], "allowed_operations": ["*"], "max_queued": null, "max_in_flight": null,
            "requests_per_minute": null
        });
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn candidate(provider: &str, model: &str) -> Candidate {
        serde_json::from_value(json!({
            "provider": provider, "kind": provider, "model": model, "remote_name": model,
            "operations": ["generate"], "sizes": {"fixed": [[1, 1]]}, "typical_seconds": 1
        }))
        .unwrap()
    }

    fn of(policies: &[RolePolicy], grants: &[&str], guarded: &[&str]) -> Allowance {
        let grants: Vec<ProviderGrant> =
            grants.iter().map(|p| ProviderGrant { role: 1, provider: (*p).to_owned() }).collect();
        Allowance::of(policies.iter(), grants.iter(), guarded.iter().copied())
    }

    #[test]
    fn a_role_without_a_row_may_use_everything_but_options_that_lower_a_filter() {
        let allowance = of(&[], &[], &[]);
        assert_eq!(allowance.forbids(&candidate("bfl", "flux")), None);
        assert_eq!(allowance.forbids_operation(Operation::Edit), None);
        assert_eq!(allowance.options, Names::Only(vec!["*".to_owned()]));
        assert!(!allowance.unpriced && allowance.max_queued.is_none());
    }

    #[test]
    fn policies_add_up_and_the_highest_limit_holds() {
        let narrow = policy(
            json!({"allowed_providers": ["bfl"], "allowed_operations": ["generate"], "max_queued": 5}),
        );
        let other = policy(json!({"allowed_providers": ["fal"], "allowed_operations": [], "max_queued": 9}));
        let one = of(std::slice::from_ref(&narrow), &[], &[]);
        assert!(one.forbids(&candidate("fal", "flux")).unwrap().contains("'fal'"));
        assert!(one.forbids_operation(Operation::Upscale).unwrap().contains("'upscale'"));
        assert_eq!(one.max_queued, Some(5));
        let both = of(&[narrow.clone(), other], &[], &[]);
        assert_eq!(both.forbids(&candidate("fal", "flux")), None);
        assert!(both.forbids(&candidate("openai", "gpt-image")).is_some());
        assert_eq!(both.max_queued, Some(9));
        // No limit is the highest.
        assert_eq!(of(&[narrow, policy(json!({}))], &[], &[]).max_queued, None);
    }

    #[test]
    fn a_model_is_allowed_by_its_name_or_at_one_provider() {
        let allowance = of(&[policy(json!({"allowed_models": ["flux", "openai:gpt-image"]}))], &[], &[]);
        for (provider, model, allowed) in [
            ("bfl", "flux", true),
            ("fal", "flux", true),
            ("openai", "gpt-image", true),
            ("fal", "gpt-image", false),
        ] {
            assert_eq!(
                allowance.forbids(&candidate(provider, model)).is_none(),
                allowed,
                "{provider}:{model}"
            );
        }
    }

    #[test]
    fn a_guarded_provider_needs_a_grant_whatever_policies_say() {
        let any = policy(json!({}));
        assert!(of(&[any], &[], &["bfl"]).forbids(&candidate("bfl", "flux")).unwrap().contains("approval"));
        assert_eq!(of(&[], &["bfl"], &["bfl"]).forbids(&candidate("bfl", "flux")), None);
        // A grant adds to a list that does not have it.
        let narrow = policy(json!({"allowed_providers": ["fal"]}));
        assert_eq!(of(&[narrow], &["bfl"], &[]).forbids(&candidate("bfl", "flux")), None);
    }
}

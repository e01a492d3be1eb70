//! What an administrator has paused: providers that are not called, roles whose jobs are not begun, or everything.

use std::collections::HashSet;

use serde::Deserialize;

/// A row of `image_gen.pauses`.
#[derive(Clone, Debug, Deserialize)]
pub struct Pause {
    /// The provider's id.
    provider: Option<String>,
    /// The role's oid.
    role: Option<u32>,
}

/// All that is paused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pauses {
    everything: bool,
    providers: HashSet<String>,
    roles: HashSet<u32>,
}

impl Pauses {
    /// One more is paused.
    pub fn add(&mut self, pause: Pause) {
        match (pause.provider, pause.role) {
            (None, None) => self.everything = true,
            (Some(provider), _) => drop(self.providers.insert(provider)),
            (None, Some(role)) => drop(self.roles.insert(role)),
        }
    }

    /// Whether a role's job may not be sent to a provider now.
    pub fn holds(&self, provider: &str, role: u32) -> bool {
        self.everything || self.roles.contains(&role) || self.providers.contains(provider)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_pause_holds_what_it_names_and_nothing_else() {
        let all = |rows: serde_json::Value| {
            let mut pauses = Pauses::default();
            from_value::<Vec<Pause>>(rows).unwrap().into_iter().for_each(|pause| pauses.add(pause));
            [("bfl", 1), ("bfl", 2), ("fal", 1), ("fal", 2)]
                .map(|(provider, role)| pauses.holds(provider, role))
        };
        assert_eq!(all(json!([])), [false; 4]);
        assert_eq!(all(json!([{"provider": "bfl", "role": null}])), [true, true, false, false]);
        assert_eq!(all(json!([{"provider": null, "role": 1}])), [true, false, true, false]);
        let both = json!([{"provider": null, "role": 1}, {"provider": "bfl", "role": null}]);
        assert_eq!(all(both), [true, true, true, false]);
        assert_eq!(all(json!([{"provider": null, "role": null}])), [true; 4]);
    }
}

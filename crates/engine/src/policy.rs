//! What a caller's `options` may ask for: which of them lower a provider's safety filter, and who may do that.
//!
//! `options` go to a provider as they are, so a name that switches its filter down is looked for by this table, and, at
//! providers with more options than a catalogue can list, by the words in it. A filter may always be made stricter.

use serde_json::{Map, Value};

use crate::job::Invalid;

/// All options that lower no filter, in a list of options that a role may use.
pub const HARMLESS: &str = "*";

/// A provider's filter that an option sets.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// The option.
    pub option: &'static str,
    /// The kinds of provider that have it.
    pub kinds: &'static [&'static str],
    /// The values that leave the filter as it is, or make it stricter.
    pub harmless: Harmless,
}

/// Values of an option that lower no filter.
#[derive(Clone, Copy, Debug)]
pub enum Harmless {
    /// None is known.
    None,
    /// Numbers up to this one.
    UpTo(f64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// This switch.
    Switch(bool),
}

/// The options of providers that set their filters.
pub const FILTERS: &[Filter] = &[
    // 0 is the strictest, 2 the default.
    Filter { option: "safety_tolerance", kinds: &["bfl", "fal", "replicate"], harmless: Harmless::UpTo(2.0) },
    Filter { option: "moderation", kinds: &["openai"], harmless: Harmless::Words(&["auto"]) },
    Filter { option: "safetySettings", kinds: &["google"], harmless: Harmless::None },
    Filter {
        option: "safety_filter_level",
        kinds: &["replicate"],
        harmless: Harmless::Words(&["block_low_and_above"]),
    },
    Filter { option: "enable_safety_checker", kinds: &["fal"], harmless: Harmless::Switch(true) },
    Filter { option: "disable_safety_checker", kinds: &["replicate"], harmless: Harmless::Switch(false) },
    Filter { option: "enable_copyright_detection", kinds: &["ideogram"], harmless: Harmless::Switch(true) },
    Filter {
        option: "person_generation",
        kinds: &["replicate", "fal"],
        harmless: Harmless::Words(&["dont_allow"]),
    },
];

/// Parts of names that are about filters, at any provider.
const WORDS: [&str; 7] = ["safety", "safemode", "moderat", "nsfw", "censor", "filter", "blocklist"];

/// So deep is an option looked through; what is deeper is not sent.
const DEPTH: usize = 32;

/// An error for the first option that a role may not use. `allowed`: the names of those that it may use whatever they do, and
/// [`HARMLESS`] for all that lower no filter.
pub fn check_options(options: &Map<String, Value>, allowed: &[String]) -> Result<(), Invalid> {
    let granted = |name: &str| allowed.iter().any(|a| a == name);
    for (name, value) in options {
        if granted(name) {
            continue;
        }
        if let Some(filter) = lowers_filter(name, value, 0) {
            let within = if filter == *name { String::new() } else { format!(" (in option '{name}')") };
            return Err(Invalid::new(
                format!("option '{filter}'{within} can lower a provider's safety filter"),
                format!(
                    "Leave it out, make the filter stricter, or ask an administrator: \
                     image_gen.set_role_policy(role, allowed_options => '{{*,{name}}}')."
                ),
            ));
        }
        if !granted(HARMLESS) {
            return Err(Invalid::new(
                format!("option '{name}' is not among those that this role may use"),
                format!("Allowed: {}. image_gen.role_policies says so.", list(allowed)),
            ));
        }
    }
    Ok(())
}

fn list(allowed: &[String]) -> String {
    if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") }
}

/// The name of what lowers a filter in an option, at any depth. A dot in a name opens an object as well.
fn lowers_filter<'a>(name: &'a str, value: &'a Value, depth: usize) -> Option<&'a str> {
    if depth > DEPTH {
        return Some(name);
    }
    if name.split('.').any(|part| is_lowered(part, value)) {
        return Some(name);
    }
    match value {
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| lowers_filter(name, value, depth + 1))
        }
        Value::Array(items) => items.iter().find_map(|item| lowers_filter("", item, depth + 1)),
        _ => None,
    }
}

fn is_lowered(name: &str, value: &Value) -> bool {
    let plain = plain(name);
    let mut known = FILTERS.iter().filter(|filter| self::plain(filter.option) == plain).peekable();
    if known.peek().is_some() {
        return !known.any(|filter| filter.harmless.has(value));
    }
    WORDS.iter().any(|word| plain.contains(word))
}

/// A name in lower case, without what providers write between its words.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Harmless {
    fn has(self, value: &Value) -> bool {
        match self {
            Harmless::None => false,
            Harmless::UpTo(most) => {
                let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
                number.is_some_and(|number| number <= most)
            }
            Harmless::Words(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Harmless::Switch(on) => value.as_bool() == Some(on),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(options: Value, allowed: &[&str]) -> Option<String> {
        let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
        let Value::Object(options) = options else { panic!("an object") };
        let refused = check_options(&options, &allowed).err();
        refused.map(|invalid| {
            assert!(!invalid.hint.is_empty());
            invalid.message
        })
    }

    #[test]
    fn filters_cannot_be_lowered_and_may_be_made_stricter() {
        for lowered in [
            json!({"safety_tolerance": 3}),
            json!({"safety_tolerance": "6"}),
            json!({"safety_tolerance": "2.1"}),
            json!({"safety_tolerance": null}),
            json!({"safety_tolerance": [0]}),
            json!({"Safety-Tolerance": 6}),
            json!({"moderation": "low"}),
            json!({"safetySettings": []}),
            json!({"safety_settings": [{"threshold": "BLOCK_NONE"}]}),
            json!({"generationConfig": {"safetySettings": []}}),
            json!({"generationConfig.safetySettings": []}),
            json!({"list": [1, {"deep": [{"enable_safety_checker": false}]}]}),
            json!({"enable_safety_checker": false}),
            json!({"enable_safety_checker": 0}),
            json!({"disable_safety_checker": true}),
            json!({"disable_safety": true}),
            json!({"nsfw_filter": false}),
            json!({"content-filter": "off"}),
            json!({"uncensored": true}),
            json!({"safety_filter_level": "block_only_high"}),
            json!({"enable_copyright_detection": false}),
            json!({"person_generation": "allow_all"}),
        ] {
            assert!(refused(lowered.clone(), &["*"]).is_some(), "{lowered}");
        }
        for harmless in [
            json!({}),
            json!({"safety_tolerance": 0}),
            json!({"safety_tolerance": "2"}),
            json!({"moderation": "auto"}),
            json!({"enable_safety_checker": true}),
            json!({"disable_safety_checker": false}),
            json!({"safety_filter_level": "block_low_and_above"}),
            json!({"enable_copyright_detection": true}),
            json!({"output_format": "png", "style_preset": "anime", "raw": true, "provider": {"order": ["x"]}}),
        ] {
            assert_eq!(refused(harmless, &["*"]), None);
        }
    }

    #[test]
    fn a_role_may_use_what_it_was_granted_and_no_more() {
        let lowered = json!({"safety_tolerance": 6, "output_format": "png"});
        assert_eq!(refused(lowered.clone(), &["*", "safety_tolerance"]), None);
        assert!(refused(lowered.clone(), &["safety_tolerance"]).unwrap().contains("output_format"));
        assert!(refused(lowered, &["*", "moderation"]).unwrap().contains("safety_tolerance"));
        assert!(refused(json!({"output_format": "png"}), &[]).is_some());
        assert_eq!(refused(json!({}), &[]), None);
        // By the option's own name, whatever is in it.
        assert_eq!(refused(json!({"x": {"safetySettings": []}}), &["x"]), None);
        assert!(refused(json!({"x": {"safetySettings": []}}), &["*"]).unwrap().contains("(in option 'x')"));
    }

    #[test]
    fn what_is_too_deep_to_look_through_is_refused() {
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        assert!(refused(json!({"x": deep}), &["*"]).is_some());
    }

    #[test]
    fn every_option_of_the_catalogue_that_sets_a_filter_is_in_the_table() {
        let shipped = crate::catalogue::shipped();
        for candidate in shipped.candidates() {
            let options = candidate.parameters.get("options").map_or(&[][..], |p| p.values.as_slice());
            for name in options.iter().filter_map(Value::as_str) {
                let named = WORDS.iter().any(|word| plain(name).contains(word));
                let known = |f: &&Filter| f.option == name && f.kinds.contains(&candidate.kind.as_str());
                assert!(!named || FILTERS.iter().any(|f| known(&f)), "{}: {name}", candidate.name());
            }
        }
        let kinds = FILTERS.iter().flat_map(|f| f.kinds);
        assert!(kinds.clone().all(|kind| crate::provider::find(kind).is_some()), "kinds that exist");
    }
}

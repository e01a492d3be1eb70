//! A catalogue as a file of its own: what is shipped, and what is newer than that. It is read by the very types that read the data
//! files, and checked whole: one that is wrong anywhere is not used at all.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Catalogue, Endpoint, Model, shipped};
use crate::job::Task;
use crate::provider;

/// The form of the file. Another form needs another version of the library.
pub const FORMAT: u32 = 1;
/// The day of the catalogue that comes with this version.
pub const PUBLISHED: &str = "2026-11-30";
/// More than these are a mistake.
const MOST_MODELS: usize = 5000;
/// How many faults are told at once.
const MOST_FAULTS: usize = 20;

/// A catalogue with its day.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// [`FORMAT`].
    pub format: u32,
    /// Its day, as ISO writes it: a later one is newer.
    pub published: String,
    /// Where images are made.
    pub provider: Vec<Endpoint>,
    /// What they are made with, all fields written out.
    pub model: Vec<Model>,
}

impl Release {
    /// The one that comes with this version.
    pub fn shipped() -> Self {
        let Catalogue { provider, model } = shipped().clone();
        Release { format: FORMAT, published: PUBLISHED.into(), provider, model }
    }

    /// What is wrong with it, all of it up to some number; nothing when it can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        if self.format != FORMAT {
            return vec![format!("its format is {}, and this version reads {FORMAT}", self.format)];
        }
        if !is_day(&self.published) {
            faults.push(format!("published is '{}', and no day like {PUBLISHED}", self.published));
        }
        if self.model.is_empty() || self.model.len() > MOST_MODELS {
            return vec![format!("it has {} models, and may have 1 to {MOST_MODELS}", self.model.len())];
        }
        let mut kinds = HashSet::new();
        for endpoint in &self.provider {
            if provider::find(&endpoint.id).is_none() {
                faults.push(format!("provider {}: this version has no adapter of this kind", endpoint.id));
            } else if !kinds.insert(endpoint.id.as_str()) {
                faults.push(format!("provider {} is there twice", endpoint.id));
            }
        }
        let mut names: HashMap<(&str, &str), &Model> = HashMap::new();
        for model in &self.model {
            if names.insert((&model.kind, &model.name), model).is_some() {
                faults.push(format!("{}:{} is there twice", model.kind, model.name));
            }
        }
        let mut aliases: HashMap<(&str, &str), &str> = HashMap::new();
        let mut usual: HashSet<(&str, &str)> = HashSet::new();
        for model in &self.model {
            let own = own_faults(model);
            faults.extend(own.into_iter().map(|why| format!("{}:{}: {why}", model.kind, model.name)));
            let mut wrong = |why: String| faults.push(format!("{}:{}: {why}", model.kind, model.name));
            if !kinds.contains(model.kind.as_str()) {
                wrong("its provider is not in the file".into());
            }
            for alias in &model.aliases {
                let other = aliases.insert((&model.kind, alias), &model.name);
                if other.is_some() || names.contains_key(&(model.kind.as_str(), alias.as_str())) {
                    wrong(format!("the alias {alias} is another model's"));
                }
            }
            for task in &model.default_for {
                if !usual.insert((&model.kind, task)) {
                    wrong(format!("its provider has another usual model for {task}"));
                }
            }
            let lives = |name: &str| self.model.iter().any(|m| m.name == name && m.successor.is_none());
            if let Some(successor) = model.successor.as_ref().filter(|name| !lives(name)) {
                wrong(format!("its successor {successor} is no model in use"));
            }
        }
        faults.truncate(MOST_FAULTS);
        faults
    }
}

/// What can be said of a model without the others.
fn own_faults(model: &Model) -> Vec<String> {
    let mut faults = vec![];
    let mut hold = |holds: bool, why: &str| {
        if !holds {
            faults.push(why.to_owned());
        }
    };
    let part = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-');
    let named = |name: &str| {
        (1..=128).contains(&name.len())
            && name.bytes().all(part)
            && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
    };
    hold(model.name == "*" || named(&model.name), "its name is no lower-case name");
    hold(model.successor.is_none() == model.sizes.is_some(), "a model has sizes, or a successor");
    hold((1..=10).contains(&model.max_n), "max_n is not from 1 to 10");
    hold(model.prompt_chars.is_none_or(|n| n > 0 && n <= i32::MAX as u32), "prompt_chars is not above 0");
    let seconds = model.typical_seconds;
    hold(seconds > 0.0 && seconds.is_finite(), "typical_seconds is not above 0");
    hold(model.ends_on.as_deref().is_none_or(is_day), "ends_on is no day");
    hold(model.aliases.iter().all(|alias| *alias == alias.to_lowercase()), "an alias is not in lower case");
    let offered = |task: &String| {
        ["character", "reference_images"].contains(&task.as_str())
            || model.operations.iter().any(|t: &Task| t.as_str() == task)
    };
    hold(model.default_for.iter().all(offered), "it is the usual model for what it does not do");
    let billion = Decimal::from(1_000_000_000);
    let sane =
        |amount: Decimal| amount >= Decimal::ZERO && amount < billion && amount.normalize().scale() <= 18;
    hold(model.prices.iter().all(|price| sane(price.amount)), "a price is below 0, or beyond belief");
    hold(
        model.prices.iter().all(|price| !price.source.trim().is_empty()),
        "a price does not say where it is from",
    );
    let written = serde_json::to_value(&model.parameters).unwrap_or_default();
    if let Err(why) = provider::check_model(&model.kind, &model.fixed.clone().into(), &written) {
        faults.push(why.message);
    }
    faults
}

/// Whether a text is a day as ISO writes it.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())?
    };
    let [year, month, day] = parts.as_slice() else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    year > 0 && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_shipped_passes_and_comes_back_the_same() {
        let shipped = Release::shipped();
        assert_eq!(shipped.faults(), [""; 0]);
        let written = serde_json::to_value(&shipped).unwrap();
        let read: Release = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }

    /// What is wrong with the shipped file when this is done to it.
    fn after(change: impl FnOnce(&mut Value)) -> String {
        let mut file = serde_json::to_value(Release::shipped()).unwrap();
        change(&mut file);
        match serde_json::from_value::<Release>(file) {
            Ok(read) => read.faults().join("; "),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn each_fault_is_named() {
        let first = |name: &'static str, value: Value| move |file: &mut Value| file["model"][0][name] = value;
        for (fault, change) in [
            (
                "its format is 2",
                Box::new(|f: &mut Value| f["format"] = json!(2)) as Box<dyn FnOnce(&mut Value)>,
            ),
            ("no day like", Box::new(|f: &mut Value| f["published"] = json!("2026-02-29"))),
            ("it has 0 models", Box::new(|f: &mut Value| f["model"] = json!([]))),
            ("no adapter", Box::new(|f: &mut Value| f["provider"][0]["id"] = json!("nobody"))),
            (
                "is there twice",
                Box::new(|f: &mut Value| {
                    let copy = f["model"][0].clone();
                    f["model"].as_array_mut().unwrap().push(copy);
                }),
            ),
            (
                "is there twice",
                Box::new(|f: &mut Value| {
                    let copy = f["provider"][0].clone();
                    f["provider"].as_array_mut().unwrap().push(copy);
                }),
            ),
            (
                "provider is not in the file",
                Box::new(|f: &mut Value| drop(f["provider"].as_array_mut().unwrap().remove(0))),
            ),
            ("no lower-case name", Box::new(first("name", json!("Flux")))),
            ("max_n", Box::new(first("max_n", json!(0)))),
            ("prompt_chars", Box::new(first("prompt_chars", json!(0)))),
            ("typical_seconds", Box::new(first("typical_seconds", json!(-1)))),
            ("ends_on", Box::new(first("ends_on", json!("soon")))),
            ("lower case", Box::new(first("aliases", json!(["FLUX"])))),
            ("does not do", Box::new(first("default_for", json!(["upscale", "outpaint", "no-such-task"])))),
            ("sizes, or a successor", Box::new(first("sizes", json!(null)))),
            (
                "no model in use",
                Box::new(|f: &mut Value| {
                    f["model"][0]["successor"] = json!("nobody");
                    f["model"][0]["sizes"] = json!(null);
                }),
            ),
            (
                "another model's",
                Box::new(|f: &mut Value| {
                    let other = f["model"][1]["name"].clone();
                    f["model"][0]["aliases"] = json!([other]);
                }),
            ),
            (
                "beyond belief",
                Box::new(first("prices", json!([{"unit": "image", "amount": "-1", "source": "x"}]))),
            ),
            (
                "where it is from",
                Box::new(first("prices", json!([{"unit": "image", "amount": "1", "source": " "}]))),
            ),
            ("unknown field", Box::new(first("colour", json!(1)))),
            ("unknown variant", Box::new(first("operations", json!(["fly"])))),
        ] {
            let found = after(change);
            assert!(found.contains(fault), "{fault}: {found}");
        }
    }
}

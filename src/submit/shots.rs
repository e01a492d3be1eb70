//! The shots of a batch, as its caller writes them: what each is called and asks for.

use std::collections::HashSet;

use image_gen_engine::job::Operation;
use image_gen_engine::seed::{self, MAX_SEED};
use pgrx::prelude::*;
use serde_json::value::RawValue;

use super::Submission;
use super::arguments::{self, Named, object, text};
use crate::errors::{Code, fail};
use crate::plan::admission::answered;
use crate::statement::input;

/// The most shots of one batch.
const MOST: usize = 500;

/// A shot, with the defaults of its batch.
pub struct Shot<'a> {
    pub name: String,
    operation: String,
    /// All but its metadata, and its seed where that is not its own.
    arguments: Named<'a>,
    seed: Option<i64>,
    metadata: String,
}

/// The shots of a batch and their defaults, not read yet.
pub struct BatchJson {
    pub shots: String,
    pub defaults: String,
}

impl BatchJson {
    /// The shots in their order. `base` is the seed from which theirs are derived where the defaults name none.
    pub fn read(&self, base: Option<i64>) -> Vec<Shot<'_>> {
        // An object has no order of its own: by name.
        let list: Option<Vec<(Option<String>, &RawValue)>> = match object(&self.shots) {
            Some(named) => Some(named.into_iter().map(|(name, shot)| (Some(name), shot)).collect()),
            None => serde_json::from_str(&self.shots)
                .ok()
                .map(|list: Vec<&RawValue>| list.into_iter().map(|shot| (None, shot)).collect()),
        };
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            fail(
                Code::Argument,
                "shots is no list of shots",
                r#"Write for example '[{"shot": "hero", "prompt": "..."}, {"shot": "detail", "prompt": "..."}]', or '{"hero": {"prompt": "..."}}'."#,
            )
        };
        let Some(defaults) = object(&self.defaults) else {
            fail(
                Code::Argument,
                "defaults is not a JSON object",
                r#"Write for example '{"model": "flux-1.1-pro", "metadata": {"campaign": "aurora-launch"}}'."#,
            )
        };
        if list.len() > MOST {
            let message = format!("a batch has at most {MOST} shots, not {}", list.len());
            fail(Code::TooLarge, &message, "Make several batches.");
        }
        let shots: Vec<(String, Named<'_>)> = list
            .into_iter()
            .map(|(name, shot)| {
                let members = object(shot.get());
                let name =
                    name.or_else(|| text(members.as_ref()?.get("shot")?)).filter(|name| !name.is_empty());
                name.zip(members).unwrap_or_else(|| {
                    fail(
                        Code::Argument,
                        "a shot is not an object with a name",
                        r#"Give each its name: {"shot": "hero", "prompt": "..."}."#,
                    )
                })
            })
            .collect();
        let mut names = HashSet::new();
        if let Some((doubled, _)) = shots.iter().find(|(name, _)| !names.insert(name.as_str())) {
            let message = format!("two shots are called \"{doubled}\"");
            fail(Code::Argument, &message, "Give each a name of its own.");
        }
        let named = defaults.get("seed").copied().and_then(text);
        let named = named.and_then(|seed| input(pg_sys::int8in, &seed)).map(|seed| seed.value() as i64);
        let base = named.or(base);
        if let Some(seed) = base.filter(|seed| !(0..=MAX_SEED).contains(seed)) {
            let message = format!("seed {seed} is out of range");
            fail(Code::Argument, &message, &format!("Use 0 to {MAX_SEED}, or leave it out."));
        }
        // In an object none is the first.
        let listed = object(&self.shots).is_none();
        let shots = shots.into_iter().enumerate();
        shots
            .map(|(at, (name, members))| Shot::new(name, members, &defaults, base, listed && at == 0))
            .collect()
    }
}

impl<'a> Shot<'a> {
    /// The first shot of a list has the base seed itself, the others one derived from it and their name.
    fn new(name: String, members: Named<'a>, defaults: &Named<'a>, base: Option<i64>, first: bool) -> Self {
        let named = |key: &str| members.get(key).copied().and_then(text);
        let operation = named("operation").or_else(|| defaults.get("operation").copied().and_then(text));
        let base = base.filter(|_| !members.contains_key("seed"));
        let seed = base.map(|base| if first { base } else { seed::derive(base, &name) });
        let metadata = merged(&name, defaults.get("metadata").copied(), members.get("metadata").copied());
        let mut arguments = defaults.clone();
        arguments.remove("seed");
        arguments.extend(members);
        for apart in ["shot", "operation", "metadata"] {
            arguments.remove(apart);
        }
        let operation = operation.unwrap_or_else(|| "generate".to_owned());
        Shot { name, operation, arguments, seed, metadata }
    }

    /// What is to be queued.
    pub fn submission(&self) -> Submission {
        let operation = arguments::operation(&self.operation);
        if operation == Operation::Variate && self.arguments.contains_key("n") {
            let message = format!("shot \"{}\": a variation is one image", self.name);
            fail(Code::Argument, &message, "Make each variation a shot of its own.");
        }
        let request = arguments::described(&format!("shot \"{}\"", self.name), &self.arguments);
        let mut request = answered(request.map_err(Into::into));
        request.seed = request.seed.or(self.seed);
        Submission::named(operation, request, &self.arguments, &self.metadata)
    }
}

/// The metadata of a shot: those of all shots, its own, and its name.
fn merged(name: &str, all: Option<&RawValue>, own: Option<&RawValue>) -> String {
    let mut members = Named::new();
    for given in [all, own].into_iter().flatten().filter(|json| json.get() != "null") {
        // What is no object is refused as it is.
        match object(given.get()) {
            Some(given) => members.extend(given),
            None => return given.get().to_owned(),
        }
    }
    let name = serde_json::value::to_raw_value(name).unwrap_or_default();
    members.insert("shot".to_owned(), &name);
    serde_json::to_string(&members).unwrap_or_default()
}

/// The shots of a batch with their operations and their arguments, which are JSON: the defaults, and what each says itself. Their
/// seeds and metadata cost nothing.
#[pg_extern(schema = "image_gen_internal", stable, parallel_unsafe)]
fn read_shots(
    shots: Option<&str>,
    defaults: Option<&str>,
) -> TableIterator<'static, (name!(shot, String), name!(operation, String), name!(arguments, String))> {
    let json = BatchJson {
        shots: shots.unwrap_or("null").to_owned(),
        defaults: defaults.unwrap_or("{}").to_owned(),
    };
    let rows = json.read(None).into_iter().map(|shot| {
        let arguments = serde_json::to_string(&shot.arguments).unwrap_or_default();
        (shot.name, shot.operation, arguments)
    });
    TableIterator::new(rows.collect::<Vec<_>>())
}

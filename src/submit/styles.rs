//! Styles that requests name: those of all that are queued together are looked up at once.

use std::collections::{BTreeSet, HashMap};

use image_gen_engine::job::{Request, Warning};
use image_gen_engine::style::Style;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Submission, arguments};
use crate::errors::{Code, fail};
use crate::plan::caller;
use crate::statement::{Element, Row, Statement, argument};

/// The style of a request, as its caller says it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Wish {
    /// By its name.
    Named(String),
    /// What an earlier job had of it, whatever its row says now.
    Kept(Box<Style>),
}

impl Wish {
    /// Of an argument as JSON.
    pub fn read(json: &RawValue) -> Option<Wish> {
        arguments::text(json).map(Wish::Named)
    }

    /// What a job has kept, or else as an argument.
    pub fn read_kept(json: &RawValue) -> Option<Wish> {
        match serde_json::from_str(json.get()) {
            Ok(style) if json.get().starts_with('{') => Some(Wish::Kept(style)),
            _ => Wish::read(json),
        }
    }
}

/// Puts their styles into requests. An error for one that does not exist.
pub fn resolve<'a>(owner: pg_sys::Oid, submissions: impl Iterator<Item = &'a mut Submission>) {
    let wishing: Vec<&mut Submission> = submissions.filter(|s| s.style.is_some()).collect();
    let names: BTreeSet<String> = wishing.iter().filter_map(|s| name(s.style.as_ref()?)).collect();
    let found = find(owner, &names);
    for submission in wishing {
        submission.request.style = match &submission.style {
            Some(Wish::Kept(kept)) => Some((**kept).clone()),
            Some(Wish::Named(name)) => found.get(name).cloned(),
            None => None,
        };
    }
}

/// The caller's style of this name.
pub fn of_caller(named: &arguments::Named<'_>) -> Option<Style> {
    let name = name(&Wish::read(named.get("style")?)?)?;
    find(caller(), &BTreeSet::from([name])).into_values().next()
}

fn name(wish: &Wish) -> Option<String> {
    match wish {
        Wish::Named(name) => Some(name.clone()),
        Wish::Kept(_) => None,
    }
}

fn find(owner: pg_sys::Oid, names: &BTreeSet<String>) -> HashMap<String, Style> {
    thread_local! {
        static FIND: Statement = Statement::new(
            "SELECT f.name, f.style FROM image_gen_internal.find_styles($1, $2) f",
            &[pg_sys::OIDOID, pg_sys::TEXTARRAYOID],
        );
    }
    if names.is_empty() {
        return HashMap::new();
    }
    let names = Element::TEXT.array(names.iter().map(|name| argument(name.as_str())));
    let read = |row: &Row| Some((row.get::<String>(1)?, row.get::<String>(2)?));
    let rows = FIND.with(|s| s.run(&[argument(owner), names], read));
    let style = |(name, json): (String, String)| match serde_json::from_str(&json) {
        Ok(style) => (name, style),
        Err(e) => fail(
            Code::Argument,
            &format!("style '{name}' is not understood: {e}"),
            "Write it anew with image_gen.set_style().",
        ),
    };
    rows.into_iter().flatten().map(style).collect()
}

/// What of its style a request does not use.
pub fn left_out(request: &Request) -> Option<Warning> {
    let style = request.style.as_ref()?;
    let unused = !style.reference_images.is_empty() && request.reference_images.is_empty();
    unused.then(|| {
        let message =
            format!("style '{}' has reference_images, which this operation does not take", style.name);
        Warning::new("reference_ignored", message)
    })
}

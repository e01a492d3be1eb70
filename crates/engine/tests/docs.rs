//! The tables of `docs/providers.md` say what the code does.
//!
//! After a wanted change: `UPDATE_EXPECT=1 cargo test -p image_gen_engine --test docs`, then read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use image_gen_engine::capability::{self, Capability, PARAMETERS, State};
use image_gen_engine::catalogue::{Model, shipped};
use image_gen_engine::job::Task;
use image_gen_engine::provider::{TABLE, can};

/// A reference picture with `consistency_mode` strict: no task, but some models are made for it.
const CHARACTER: &str = "character";
const NOT_OFFERED: &str = "–";

#[test]
fn the_page_about_providers_says_what_the_code_does() {
    // N17, S138
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let page = fs::read_to_string(&path).unwrap();
    let wanted = with_table(&page, "operations", &operations());
    let wanted = with_table(&wanted, "parameters", &parameters());
    if page == wanted {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&path, wanted).unwrap();
    }
    let differs = |(old, new): &(&str, &str)| old != new;
    let (old, new) = page.lines().zip(wanted.lines()).find(differs).unwrap_or_default();
    panic!("docs/providers.md says\n{old}\nand should say\n{new}\nUPDATE_EXPECT=1 writes it.");
}

/// The page with this in the place of what stands between two markers.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let (start, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end of generated -->");
    let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no marker {name}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("no end of {name}"));
    format!("{before}{start}{table}{end}{after}")
}

/// A row for each task, a column for each adapter.
fn operations() -> String {
    let mut table = header("operation");
    for name in Task::ALL.map(Task::as_str).into_iter().chain([CHARACTER]) {
        table += &row(name, |kind| match usual(kind, name) {
            Some(model) => format!("`{}`", model.name),
            None if name == Task::Outpaint.as_str() && pads(kind) => "padding + inpaint".into(),
            None => NOT_OFFERED.into(),
        });
    }
    table
}

/// A row for each parameter, a column for each adapter.
fn parameters() -> String {
    let kinds = TABLE.iter().map(|adapter| adapter.kind());
    let known: Vec<(&str, Task, Vec<Capability>)> =
        kinds.flat_map(|kind| Task::ALL.map(|task| (kind, task, capabilities(kind, task)))).collect();
    let mut table = header("parameter");
    for parameter in PARAMETERS {
        let task = match parameter {
            "image" | "strength" => Task::Img2img,
            "mask" => Task::Inpaint,
            "style_image" => Task::TransferStyle,
            "variance" => Task::Variate,
            "scale" => Task::Upscale,
            "borders" => Task::Outpaint,
            _ => Task::Generate,
        };
        let name = match task {
            Task::Generate => format!("`{parameter}`"),
            task => format!("`{parameter}` ({})", task.as_str()),
        };
        let state = |kind: &str| {
            let known = &known.iter().find(|(k, t, _)| *k == kind && *t == task)?.2;
            known.iter().find(|c| c.parameter == parameter).map(|c| c.state.clone())
        };
        table += &row(&name, |kind| match state(kind) {
            None => String::new(),
            Some(State::Forwarded) => "yes".into(),
            Some(State::Renamed { field }) => format!("`{field}`"),
            Some(State::Converted) => "converted".into(),
            Some(State::Unsupported) => NOT_OFFERED.into(),
        });
    }
    table
}

fn header(first: &str) -> String {
    let kinds = || TABLE.iter().map(|adapter| adapter.kind());
    format!(
        "| {first} | {} |\n|---{}|\n",
        kinds().collect::<Vec<_>>().join(" | "),
        "|---".repeat(kinds().count())
    )
}

fn row(name: &str, cell: impl Fn(&str) -> String) -> String {
    let cells: Vec<String> = TABLE.iter().map(|adapter| cell(adapter.kind())).collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

fn usual(kind: &str, task: &str) -> Option<&'static Model> {
    shipped().default_for(kind, task)
}

fn pads(kind: &str) -> bool {
    let model = usual(kind, Task::Inpaint.as_str()).and_then(Model::candidate);
    model.is_some_and(|candidate| can(&candidate, Task::Outpaint))
}

/// What the usual model of a kind does with each parameter in a task.
fn capabilities(kind: &str, task: Task) -> Vec<Capability> {
    let model = match usual(kind, task.as_str()) {
        None if task == Task::Outpaint => usual(kind, Task::Inpaint.as_str()),
        model => model,
    };
    let all =
        model.and_then(Model::candidate).map(|candidate| capability::of(&candidate)).unwrap_or_default();
    all.into_iter().filter(|c| c.task == task).collect()
}

//! The tables of `docs/providers.md` and `docs/statuses.md` say what the code does.
//!
//! After a wanted change: `UPDATE_EXPECT=1 cargo test -p image_gen_engine --test docs`, then read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use image_gen_engine::capability::{self, Capability, PARAMETERS, State};
use image_gen_engine::catalogue::{Model, shipped};
use image_gen_engine::job::Task;
use image_gen_engine::provider::{OUT_OF_CREDIT, OUT_OF_CREDIT_WORDS, TABLE, can, refusal};
use image_gen_engine::verdict::{self, Documented, Outcome, Phase, Reason, Verdict, Voice};

/// A reference image with `consistency_mode` strict, and several references: no tasks, but some models are made for them.
const CHARACTER: &str = "character";
const REFERENCES: &str = "reference_images";
const NOT_OFFERED: &str = "–";

#[test]
fn the_page_about_providers_says_what_the_code_does() {
    // N17, S138
    check("providers.md", &[("operations", operations()), ("parameters", parameters())]);
}

#[test]
fn the_page_about_statuses_says_what_the_code_does() {
    let tables = [
        ("statuses", statuses()),
        ("documented", documented()),
        ("refusals", refusals()),
        ("credit", credit()),
    ];
    check("statuses.md", &tables);
}

/// Holds a page against its tables, or writes them into it.
fn check(name: &str, tables: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let page = fs::read_to_string(&path).unwrap();
    let wanted = tables.iter().fold(page.clone(), |page, (name, table)| with_table(&page, name, table));
    if page == wanted {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&path, wanted).unwrap();
    }
    let differs = |(old, new): &(&str, &str)| old != new;
    let (old, new) = page.lines().zip(wanted.lines()).find(differs).unwrap_or_default();
    panic!("docs/{name} says\n{old}\nand should say\n{new}\nUPDATE_EXPECT=1 writes it.");
}

/// A row for each status and whose words its body is, a column for each phase. Rows that say the same are one.
fn statuses() -> String {
    let word = |verdict: Verdict| match verdict {
        Verdict::Read => "its body says",
        Verdict::Unprocessed => "**again**, free",
        Verdict::Limited => "**again** later, free",
        Verdict::Rejected(Reason::Unauthorized) => "end: auth, free",
        Verdict::Rejected(Reason::OutOfCredit) => "end: out of credit, free",
        Verdict::Rejected(Reason::ModelGone) => "end: no such model, free",
        Verdict::Rejected(Reason::Invalid) => "end: wrong request, free",
        Verdict::Rejected(Reason::Moved) => "end: not followed, free",
        Verdict::Uncertain => "**uncertain**, cost unknown",
        Verdict::Unusable => "end, cost unknown",
        Verdict::Repeat => "repeated",
        Verdict::Gone => "end: not found, cost unknown",
    };
    let cells = |outcome, voice| Phase::ALL.map(|phase| word(verdict::of(phase, outcome, voice)));
    let mut rows: Vec<(Vec<String>, String, [&str; 4])> = vec![];
    let mut add = |name: String, body: String, cells: [&'static str; 4]| match rows
        .iter_mut()
        .find(|(_, b, c)| *b == body && *c == cells)
    {
        Some((names, ..)) => names.push(name),
        None => rows.push((vec![name], body, cells)),
    };
    for (name, outcome) in [
        ("nothing was sent (refused, no such name, TLS)", Outcome::NotSent),
        ("sent, no complete answer", Outcome::Lost),
        ("an answer larger than allowed", Outcome::TooLarge),
    ] {
        add(name.into(), String::new(), cells(outcome, Voice::Silent));
    }
    let statuses = [
        200, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425, 429,
        451, 499, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 529, 530, 598, 599,
    ];
    for status in statuses {
        let of = |voice| cells(Outcome::Status(status), voice);
        let (own, silent, others) = (of(Voice::Provider), of(Voice::Silent), of(Voice::Intermediary));
        if own == silent && silent == others {
            add(status.to_string(), "any".into(), own);
        } else {
            assert_eq!(own, silent, "a column for it is missing");
            add(status.to_string(), "the provider's, or none".into(), own);
            add(status.to_string(), "anything else".into(), others);
        }
    }
    let any_other = cells(Outcome::Status(999), Voice::Provider);
    add("any other".into(), "any".into(), any_other);
    let mut table =
        "| answer | body | prerequisite | submission | poll | fetch |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (names, body, cells) in rows {
        table += &format!("| {} | {body} | {} |\n", names.join(", "), cells.join(" | "));
    }
    table
}

/// What providers document about their own errors, and who costs nothing.
fn documented() -> String {
    let mut table = "| provider | status | at a submission | source |\n|---|---|---|---|\n".to_owned();
    for adapter in TABLE {
        for Documented { status, verdict, source } in adapter.documented() {
            assert!(verdict.is_free(), "an exception that is none");
            table += &format!(
                "| {} | {status}, in its own words | **again**, free | {source} |\n",
                adapter.kind()
            );
        }
    }
    for adapter in TABLE.iter().filter(|adapter| !adapter.bills()) {
        let how = match adapter.named_task("", "") {
            Some(_) => "asked for by its id, then **again**, free",
            None => "**again**, free",
        };
        table +=
            &format!("| {} | what is uncertain elsewhere | {how} | it costs nothing |\n", adapter.kind());
    }
    table
}

fn refusals() -> String {
    let mut table = "| where | what | who says so |\n|---|---|---|\n".to_owned();
    for (code, who) in refusal::CODES {
        table += &format!("| code | `{code}` | {who} |\n");
    }
    for (end, who) in refusal::ENDS {
        table += &format!("| end of a generation | `{end}` | {who} |\n");
    }
    for (flag, value) in refusal::FLAGS {
        table += &format!("| flag | `{flag}: {value}` | |\n");
    }
    for words in refusal::WORDS {
        table += &format!("| sentence | {words} | |\n");
    }
    table
}

fn credit() -> String {
    let mut table = "| where | what |\n|---|---|\n".to_owned();
    for code in OUT_OF_CREDIT {
        table += &format!("| code | `{code}` |\n");
    }
    for words in OUT_OF_CREDIT_WORDS {
        table += &format!("| sentence | {words} |\n");
    }
    table
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
    for name in Task::ALL.map(Task::as_str).into_iter().chain([CHARACTER, REFERENCES]) {
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
            // Where there is a model for them, that one.
            if let Some(model) = usual(kind, parameter).and_then(Model::candidate) {
                let own = capability::of(&model).into_iter();
                return own.filter(|c| c.task == task).find(|c| c.parameter == parameter).map(|c| c.state);
            }
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

//! Who may do what about money: the table of docs/roles.md, row by row.

use std::collections::BTreeMap;

use image_gen_tests::{Session, Stage};
use serde_json::json;

use crate::common::{ended, refuse, stage};

const PAGE: &str = include_str!("../../../docs/roles.md");

/// What each row of the table comes to in SQL. `{refused}` and `{lost}` are jobs of alice that wait for a person: refused for good,
/// and with a call that may have been billed. `{open}` is one that is under way.
const ROWS: [(&str, &str); 29] = [
    ("`cancel` a job", "SELECT image_gen.cancel('{open}')"),
    ("`retry` a refused job", "SELECT image_gen.resolve_review('{refused}', 'retry')"),
    ("`rewrite` a refused job", "SELECT image_gen.resolve_review('{refused}', 'rewrite', prompt => 'a cup')"),
    (
        "`switch_model` of a refused job",
        "SELECT image_gen.resolve_review('{refused}', 'switch_model', model => 'bfl:flux-2-pro')",
    ),
    (
        "`approve` a refused job with an image of one's own",
        "SELECT image_gen.resolve_review('{refused}', 'approve', url => 'https://example.org/a.png')",
    ),
    ("`reject` a refused job", "SELECT image_gen.resolve_review('{refused}', 'reject')"),
    (
        "`reject` a job with a call that may have been billed (what it was expected to cost stays reserved)",
        "SELECT image_gen.resolve_review('{lost}', 'reject')",
    ),
    (
        "`retry` a job with a call that may have been billed",
        "SELECT image_gen.resolve_review('{lost}', 'retry')",
    ),
    (
        "`rewrite` a job with a call that may have been billed",
        "SELECT image_gen.resolve_review('{lost}', 'rewrite', prompt => 'a cup')",
    ),
    (
        "`switch_model` of a job with a call that may have been billed",
        "SELECT image_gen.resolve_review('{lost}', 'switch_model', model => 'bfl:flux-2-pro')",
    ),
    (
        "`approve` a job with a call that may have been billed",
        "SELECT image_gen.resolve_review('{lost}', 'approve', url => 'https://example.org/a.png')",
    ),
    (
        "`reject` and say `billed_cost` of a call that may have been billed",
        "SELECT image_gen.resolve_review('{lost}', 'reject', billed_cost => 0)",
    ),
    (
        "`approve` and say `billed_cost` of an image of one's own",
        "SELECT image_gen.resolve_review('{refused}', 'approve', url => 'https://example.org/a.png', billed_cost => 0)",
    ),
    (
        "`settle_cost`: what a call was billed, or a correction of that",
        "SELECT image_gen.settle_cost('{lost}', 1, 0); SELECT image_gen.settle_cost('{refused}', 1, 0.01)",
    ),
    ("`import_invoice`", "SELECT image_gen.import_invoice('bfl', '2026-01-01', '2026-02-01', 1)"),
    ("`set_budget`", "SELECT image_gen.set_budget('workspace', NULL, 5)"),
    ("`grant_credits`", "SELECT image_gen.grant_credits(5)"),
    ("`recount_budgets`", "SELECT image_gen.recount_budgets()"),
    ("`reassign_jobs`", "SELECT image_gen.reassign_jobs('strangers', 'alice')"),
    ("`set_role_policy`", "SELECT image_gen.set_role_policy('alice', allow_unpriced => true)"),
    ("`grant_campaign`", "SELECT image_gen.grant_campaign('x', 'alice')"),
    (
        "queue a job with `allow_unpriced`, without a policy that allows it",
        "SELECT image_gen.generate('a cup', model => 'preview', allow_unpriced => true)",
    ),
    (
        "queue a job whose `options` lower a provider's safety filter, without a policy that allows it",
        "SELECT image_gen.generate('a cup', model => 'preview', options => '{\"safety_tolerance\": 6}')",
    ),
    (
        "queue a job whose `options` make a filter stricter",
        "SELECT image_gen.generate('a cup', model => 'preview', options => '{\"safety_tolerance\": 0}')",
    ),
    (
        "queue a job for a `campaign` that was granted to others",
        "SELECT image_gen.generate('a cup', model => 'preview', metadata => '{\"campaign\": \"closed\"}')",
    ),
    (
        "queue a job for a `campaign` without grants",
        "SELECT image_gen.generate('a cup', model => 'preview', metadata => '{\"campaign\": \"open\"}')",
    ),
    ("read `cost_corrections`", "SELECT * FROM image_gen.cost_corrections"),
    ("change a cost with `UPDATE`", "UPDATE image_gen.attempts SET billed_cost = 0"),
    ("change a row of `cost_corrections` with `UPDATE`", "UPDATE image_gen.cost_corrections SET amount = 0"),
];

/// The rows of the table: what, and what comes of it for each of the four.
fn table() -> BTreeMap<String, Vec<String>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(|line| {
        let mut cells = cells(line);
        (cells.remove(0), cells)
    })
    .collect()
}

/// Tries a statement and takes it back: `yes`, or the SQLSTATE.
fn tried(session: &mut Session, statement: &str) -> String {
    session.run("BEGIN");
    let outcome = match session.try_rows(statement) {
        Ok(_) => "yes".to_owned(),
        Err(error) => error.code().unwrap_or_else(|| panic!("{statement}: {error:?}")).code().to_owned(),
    };
    session.run("ROLLBACK");
    outcome
}

/// Jobs of alice: one refused for good, one with a call that may have been billed, one under way.
fn jobs(stage: &Stage) -> [(&'static str, String); 3] {
    let mut alice = stage.alice();
    refuse(stage, "[refused]");
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[lost]", "fault": "drop_after_accept"}));
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[open]", "fault": "never_ready"}));
    let mut queue = |text: &str| {
        alice.generate_with(&format!(
            "prompt => 'a cup {text}', model => 'bfl:flux-1.1-pro', width => 256, height => 256"
        ))
    };
    let [refused, lost, open] = ["[refused]", "[lost]", "[open]"].map(&mut queue);
    assert_eq!(ended(&mut alice, &refused), "needs_review safety_filter");
    assert_eq!(ended(&mut alice, &lost), "needs_review uncertain");
    stage.accepted(1);
    [("{refused}", refused), ("{lost}", lost), ("{open}", open)]
}

#[test]
fn the_table_of_who_may_do_what_is_so() {
    let stage = stage(&["bfl", "preview"], &[]);
    let mut admin = stage.admin();
    admin.run(
        "SELECT image_gen.set_budget('workspace', NULL, 10);
         CREATE ROLE rita LOGIN IN ROLE image_gen_user, image_gen_reviewer;
         CREATE ROLE carol LOGIN IN ROLE image_gen_user, image_gen_admin;
         CREATE ROLE strangers;
         SELECT image_gen.grant_campaign('closed', 'strangers')",
    );
    let jobs = jobs(&stage);
    let submits = stage.sim.submits();
    let mut sessions = ["alice", "bob", "rita", "carol"].map(|name| stage.connect(name));
    let mut table = table();
    let mut wrong = vec![];
    for (what, statement) in ROWS {
        let Some(expected) = table.remove(what) else {
            wrong.push(format!("the page has no row: {what}"));
            continue;
        };
        let statement = jobs.iter().fold(statement.to_owned(), |sql, (name, id)| sql.replace(name, id));
        let found: Vec<String> = sessions.iter_mut().map(|session| tried(session, &statement)).collect();
        if found != expected {
            wrong.push(format!("{what}: {found:?}, the page says {expected:?}"));
        }
    }
    wrong.extend(table.keys().map(|what| format!("nothing tries this row: {what}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(stage.sim.submits(), submits, "what is taken back sends nothing");
}

#[test]
fn a_rejected_call_stays_reserved_until_another_person_says_what_it_cost() {
    // A5: six uncertain paid calls under a budget of one, each closed by its owner.
    let stage = stage(&["bfl"], &["image_gen.breaker_failures = 0"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('role', 'alice', 0.05)");
    stage.sim.rule(json!({"phase": "submit", "fault": "drop_after_accept"}));
    let generate = "SELECT id FROM image_gen.generate('a cup', model => 'bfl:flux-1.1-pro', width => 256, height => 256)";
    let mut refused = vec![];
    for _ in 0..6 {
        match alice.try_rows(generate) {
            Ok(rows) => {
                let id = &rows[0][0];
                assert_eq!(ended(&mut alice, id), "needs_review uncertain");
                for free in ["'reject', billed_cost => 0", "'retry', billed_cost => 0", "'retry'"] {
                    let decision = format!("SELECT image_gen.resolve_review('{id}', {free})");
                    assert_eq!(alice.sqlstate(&decision), "42501", "{free}");
                }
                alice.run(&format!("SELECT image_gen.resolve_review('{id}', 'reject')"));
            }
            Err(error) => refused.push(error.code().unwrap().code().to_owned()),
        }
    }
    assert_eq!(refused, ["53400"; 5]);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (1, "0.04"));
    let review = admin.rows("SELECT why, reserved, owner, job_status FROM image_gen.cost_reviews");
    assert_eq!(review, [["uncertain", "0.04", "alice", "failed"]]);
}

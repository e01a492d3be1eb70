//! Figures that nobody should believe, and how an administrator says what is right.

use image_gen_tests::{Session, Stage};
use serde_json::json;

use crate::common::{PRO, check_books, credits, ended, stage};

/// A job whose provider delivers, and names this many USD.
fn told(stage: &Stage, session: &mut Session, n: usize, cost: &str) -> String {
    const DOT: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let cost: serde_json::Value = serde_json::from_str(cost).unwrap();
    let body = json!({"created": 1, "data": [{"b64_json": DOT}], "usage": {"cost": cost}});
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": format!("[told {n}]"), "fault": {"kind": "status", "code": 200, "body": body}}));
    session.generate_with(&format!("prompt => 'a cup [told {n}]', model => 'openrouter:flux-2-pro'"))
}

#[test]
fn one_figure_does_not_freeze_a_budget_and_its_picture_is_delivered() {
    // A4
    let stage = stage(&["openrouter"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let ids: Vec<String> = ["1e12", "\"1e400\"", "0.9", "0.2"]
        .iter()
        .enumerate()
        .map(|(n, cost)| told(&stage, &mut alice, n, cost))
        .collect();
    alice.all_succeed(&ids);
    let estimate = alice.text(&format!("SELECT estimated_cost FROM image_gen.jobs WHERE id = '{}'", ids[0]));
    for (id, cost) in ids.iter().zip(["", "", "", "0.2"]) {
        assert_eq!(alice.job(id).billed_cost, cost);
    }
    let reviews = admin.rows(
        "SELECT job_id, why, trim_scale(claimed_cost), currency, reserved, owner, job_status FROM image_gen.cost_reviews ORDER BY job_id",
    );
    let row = |n: usize, claimed: &str| {
        [&ids[n], "implausible", claimed, "USD", &estimate, "alice", "succeeded"].map(str::to_owned).to_vec()
    };
    let max = "79228162514264337593543950335";
    assert_eq!(reviews, [row(0, "1000000000000"), row(1, max), row(2, "0.9")]);
    // The budget holds what was expected; everybody else can go on.
    assert!(
        stage.bob().try_rows("SELECT image_gen.generate('a cup', model => 'openrouter:flux-2-pro')").is_ok()
    );
    let held = alice.text("SELECT trim_scale(sum(reserved)) FROM image_gen.reservations");
    assert_eq!((held.as_str(), estimate.as_str()), ("0.09", "0.03"));
    check_books(&stage);
}

#[test]
fn a_wrong_word_about_a_cost_is_undone_by_a_further_one() {
    // A4, F14
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let id = alice.generate_with(&format!("prompt => 'a cup', {PRO}"));
    alice.all_succeed(std::slice::from_ref(&id));
    let settle = |more: &str| format!("SELECT image_gen.settle_cost('{id}', 1, {more})");
    for (wrong, code) in [
        ("1e30", "22023"),
        ("1e9, force => true", "22023"),
        ("'NaN'", "22023"),
        ("-1", "22023"),
        ("1e-19", "22023"),
        ("4.01", "22023"),
        ("NULL", "22023"),
    ] {
        let error = admin.error(&settle(wrong));
        assert_eq!(error.code().code(), code, "{wrong}: {error:?}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{wrong}: {error:?}");
    }
    for (word, standing) in [
        ("999999, 'slip of the pen', force => true", "999999 0 -999998"),
        ("0.05, note => 'as on the invoice'", "0.05 0 0.95"),
        ("NULL, force => true", "0 0.04 0.96"),
        ("0.04", "0.04 0 0.96"),
    ] {
        admin.run(&settle(word));
        assert_eq!(credits(&mut admin, "workspace"), standing, "{word}");
        check_books(&stage);
    }
    let story = admin
        .rows("SELECT amount_before, amount, way, note, made_by FROM image_gen.cost_corrections ORDER BY id");
    let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
    assert_eq!(
        story,
        [
            row(["0.04", "999999", "settle_cost", "slip of the pen", "postgres"]),
            row(["999999", "0.05", "settle_cost", "as on the invoice", "postgres"]),
            row(["0.05", "", "settle_cost", "", "postgres"]),
            row(["", "0.04", "settle_cost", "", "postgres"]),
        ]
    );
    for change in [
        "UPDATE image_gen.cost_corrections SET amount = 0",
        "DELETE FROM image_gen.cost_corrections",
        "TRUNCATE image_gen.cost_corrections",
    ] {
        assert_eq!(admin.sqlstate(change), "55000", "{change}");
    }
}

#[test]
fn a_cost_that_is_changed_past_settle_cost_is_found() {
    // F14
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids: Vec<String> =
        (0..3).map(|n| alice.generate_with(&format!("prompt => 'cup {n}', {PRO}"))).collect();
    alice.all_succeed(&ids);
    let problems = |admin: &mut Session| {
        admin.rows("SELECT problem, booked, computed, job_id FROM image_gen.check_budgets() ORDER BY job_id, problem")
    };
    assert!(problems(&mut admin).is_empty());
    admin.run(&format!("UPDATE image_gen.attempts SET billed_cost = 9 WHERE job_id = '{}'", ids[0]));
    admin.run(&format!("UPDATE image_gen.jobs SET billed_cost = 9, known_cost = 9 WHERE id = '{}'", ids[0]));
    admin.run(&format!("UPDATE image_gen.jobs SET billed_cost = 9 WHERE id = '{}'", ids[1]));
    admin.run(&format!("UPDATE image_gen.campaign_assets SET billed_cost = 9 WHERE job_id = '{}'", ids[2]));
    let row = |problem: &str, booked: &str, computed: &str, n: usize| {
        [problem, booked, computed, &ids[n]].map(str::to_owned).to_vec()
    };
    assert_eq!(
        problems(&mut admin),
        [
            row("cost of an image differs from its share", "0.04", "9", 0),
            row("cost of call 1 was changed by postgres past settle_cost()", "9", "0.04", 0),
            row("cost of an image differs from its share", "0.04", "9", 1),
            row("cost of the job differs from its calls", "9", "0.04", 1),
            row("cost of an image differs from its share", "9", "0.04", 2),
        ]
    );
    admin.run("SELECT image_gen.recount_budgets()");
    let left = problems(&mut admin);
    assert_eq!(left, [row("cost of call 1 was changed by postgres past settle_cost()", "9", "0.04", 0)]);
    admin.run(&format!("SELECT image_gen.settle_cost('{}', 1, 0.04)", ids[0]));
    assert!(problems(&mut admin).is_empty());
    stage.check_money();
}

#[test]
fn unknown_is_unknown_with_the_known_part_beside_it() {
    // F14: a refusal that was billed, then a call whose answer was lost.
    let stage = stage(&["ideogram", "bfl"], &["image_gen.breaker_failures = 0"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    stage.sim.rule(
        json!({"provider": "ideogram", "phase": "submit", "prompt_contains": "[mixed]", "fault": "refuse"}),
    );
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[mixed]", "fault": "drop_after_accept"}));
    let id = alice.generate_with(
        "prompt => 'a cup [mixed]', model => 'ideogram:ideogram-v2a', metadata => '{\"campaign\": \"c\"}'",
    );
    assert_eq!(ended(&mut alice, &id), "needs_review safety_filter");
    admin.run(&format!(
        "SELECT image_gen.resolve_review('{id}', 'switch_model', model => 'bfl:flux-1.1-pro')"
    ));
    assert_eq!(ended(&mut alice, &id), "needs_review uncertain");
    let known = alice
        .text(&format!("SELECT trim_scale(sum(billed_cost)) FROM image_gen.attempts WHERE job_id = '{id}'"));
    assert_ne!(known, "0");
    admin.run(&format!(
        "SELECT image_gen.resolve_review('{id}', 'approve', url => 'https://example.org/a.png')"
    ));
    let unknown = vec![String::new(), known.clone(), "unknown".to_owned()];
    for table in ["jobs WHERE id", "campaign_assets WHERE job_id", "job_status WHERE id"] {
        let found = alice.rows(&format!(
            "SELECT billed_cost, trim_scale(known_cost), cost_source FROM image_gen.{table} = '{id}'"
        ));
        assert_eq!(found, std::slice::from_ref(&unknown), "{table}");
    }
    for report in [
        "cost_by_campaign",
        "cost_by_ticket",
        "cost_report(designer_rate => 80)",
        "cost_report(dimensions => '{campaign}')",
    ] {
        let found = alice.rows(&format!("SELECT billed, known_cost, unknown_costs FROM image_gen.{report}"));
        assert_eq!(found, [[String::new(), known.clone(), "1".to_owned()]], "{report}");
    }
    let saved = alice.text("SELECT saved IS NULL FROM image_gen.cost_report(designer_rate => 80)");
    assert_eq!(saved, "t");
    let number = alice.text(&format!("SELECT max(number) FROM image_gen.attempts WHERE job_id = '{id}'"));
    admin.run(&format!("SELECT image_gen.settle_cost('{id}', {number}, 0.04)"));
    let job = alice.job(&id);
    assert_eq!((job.cost_source.as_str(), job.billed_cost.is_empty()), ("reported", false), "{job:?}");
    check_books(&stage);
}

//! A batch is queued as a whole or not at all, and its own limit holds to its end.

use crate::common::{check_all, credits, refuse, stage, story};

/// Four shots that cost 0.16 together.
const LAUNCH: &str = "'[{\"shot\": \"hero\", \"prompt\": \"hero\"}, {\"shot\": \"lifestyle\", \"prompt\": \"lifestyle\"},
  {\"shot\": \"detail\", \"prompt\": \"detail\"}, {\"shot\": \"square\", \"prompt\": \"square\"}]',
  '{\"model\": \"bfl:flux-1.1-pro\", \"width\": 1024, \"height\": 1024, \"metadata\": {\"campaign\": \"aurora\"}}'";

#[test]
fn a_launch_with_credit_for_three_is_refused_whole() {
    // S10 to S13
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let estimate = alice.rows(&format!(
        "SELECT jobs, images, estimated_cost, with_buffer, needed, currency, unpriced FROM image_gen.estimate_batch({LAUNCH})"
    ));
    assert_eq!(estimate, [["4", "4", "0.16", "0.176", "0.25", "USD", "0"]]);
    let launch = format!("SELECT id FROM image_gen.generate_batch({LAUNCH})");
    for (available, message) in [
        (
            "0.12",
            "budget_exceeded: campaign:aurora has 0.12 USD available, 0.25 USD are needed (0.16 and headroom for retries)",
        ),
        (
            "0.20",
            "budget_exceeded: campaign:aurora has 0.20 USD available, 0.25 USD are needed (0.16 and headroom for retries)",
        ),
    ] {
        admin.run(&format!(
            "SELECT image_gen.set_budget('campaign', 'aurora', {available}); SELECT image_gen.grant_campaign('aurora', 'alice')"
        ));
        let error = alice.error(&launch);
        assert_eq!((error.code().code(), error.message()), ("53400", message));
        assert!(error.hint().is_some() && error.detail().is_some(), "{error:?}");
    }
    // Without the floor it is the buffer that counts: 0.176.
    let mut other = stage.admin();
    other.run("SET image_gen.min_headroom = 0; SELECT image_gen.set_budget('campaign', 'aurora', 0.175)");
    assert_eq!(other.sqlstate(&launch), "53400");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.budget_charges"), 0);
    assert_eq!(stage.sim.totals().all.requests, 0, "nobody was asked anything");
    admin.run("SELECT image_gen.set_budget('campaign', 'aurora', 0.25)");
    let ids = alice.column(&launch);
    assert_eq!(ids.len(), 4);
    alice.all_succeed(&ids);
    assert_eq!(credits(&mut alice, "campaign:aurora"), "0.16 0 0.09");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.16"));
    check_all(&stage);
}

#[test]
fn the_cap_of_a_batch_holds_against_its_retries() {
    // S6. Each refusal is billed: there is room for one call more than four, and not for two.
    let stage = stage(&["ideogram"], &[]);
    refuse(&stage, "a woman");
    let mut alice = stage.alice();
    let shots = |n: usize, cap: &str, key: &str| {
        let all: Vec<String> = (0..n)
            .map(|i| format!("{{\"shot\": \"s{i}\", \"prompt\": \"a woman with a vase [{key} {i}]\"}}"))
            .collect();
        format!(
            "SELECT id FROM image_gen.generate_batch('[{}]', '{{\"model\": \"ideogram:ideogram-v2a\"}}', max_cost => {cap})",
            all.join(",")
        )
    };
    assert_eq!(alice.sqlstate(&shots(4, "0.17", "small")), "53400", "the buffer does not fit");
    let ids = alice.column(&shots(4, "0.18", "cap"));
    let jobs = alice.all_done(&ids);
    let scope = alice.text(&format!("SELECT 'batch:' || batch FROM image_gen.jobs WHERE id = '{}'", ids[0]));
    let stories: Vec<_> = ids.iter().map(|id| story(&mut alice, id)).collect();
    // Four calls were made and billed 0.16; a fifth would lead to 0.20.
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.16"), "{stories:?}");
    for (job, calls) in jobs.iter().zip(&stories) {
        assert_eq!(
            (job.status.as_str(), job.error_code.as_str()),
            ("needs_review", "budget_exceeded"),
            "{job:?}"
        );
        assert_eq!(calls, &["ideogram:ideogram-v2a refused safety_filter 0.04"]);
    }
    assert_eq!(credits(&mut alice, &scope), "0.16 0 0.02");
    // An administrator can raise it, and a person decides which shot goes on.
    let batch = scope.trim_start_matches("batch:");
    let mut admin = stage.admin();
    admin.run(&format!("SELECT image_gen.grant_credits(0.02, 'batch', '{batch}')"));
    stage.sim.clear_rules();
    alice.run(&format!("SELECT image_gen.resolve_review('{}', 'retry')", ids[2]));
    alice.all_succeed(&ids[2..3]);
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.grant_credits(1, 'batch', '{batch}')")), "42501");
    assert_eq!(credits(&mut alice, &scope), "0.2 0 0");
    refuse(&stage, "a woman");
    // With room for one more, one of them goes on.
    let ids = alice.column(&shots(4, "0.20", "more"));
    let jobs = alice.all_done(&ids);
    assert_eq!(jobs.iter().filter(|j| j.status == "succeeded").count(), 1, "{jobs:?}");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (10, "0.4"));
    check_all(&stage);
}

#[test]
fn a_shot_that_is_added_under_the_same_key_has_the_cap_too() {
    let stage = stage(&["bfl"], &[]);
    let mut alice = stage.alice();
    let call = |shots: &str, cap: &str| {
        format!(
            "SELECT id FROM image_gen.generate_batch('{shots}', '{{\"model\": \"bfl:flux-1.1-pro\"}}', max_cost => {cap}, idempotency_key => 'k')"
        )
    };
    let one = "{\"shot\": \"x\", \"prompt\": \"x\"}";
    let first = alice.column(&call(&format!("[{one}]"), "0.05"));
    alice.all_succeed(&first);
    let two = format!("[{one}, {{\"shot\": \"y\", \"prompt\": \"y\"}}]");
    assert_eq!(alice.sqlstate(&call(&two, "0.03")), "53400", "0.04 do not fit in 0.03");
    let both = alice.column(&call(&two, "0.05"));
    assert_eq!(both[0], first[0]);
    alice.all_succeed(&both);
    assert_eq!(stage.sim.submits(), 2);
    check_all(&stage);
}

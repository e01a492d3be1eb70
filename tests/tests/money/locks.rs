//! The worker waits for nobody's transaction, and without a budget nobody waits for anybody.

use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};
use serde_json::json;

use crate::common::{PRO, check_all, credits, no_deadlock, refuse, stage, story};

/// Fails if the worker waits for a lock at any of many looks, while `condition` is awaited.
fn never_blocked(stage: &Stage, what: &str, mut condition: impl FnMut() -> bool) {
    let worker = stage.worker();
    let mut admin = stage.admin();
    wait_until(what, secs(20), || {
        let waits = admin.text(&format!(
            "SELECT wait_event FROM pg_stat_activity WHERE pid = {worker} AND wait_event_type = 'Lock'"
        ));
        assert!(waits.is_empty(), "the worker waits for a lock ({waits}): {what}");
        condition()
    });
}

fn status(session: &mut Session, id: &str) -> String {
    session.job(id).status
}

#[test]
fn jobs_end_while_a_session_holds_their_budget() {
    let stage = stage(&["bfl", "ideogram"], &[]);
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    refuse(&stage, "a woman");
    let (mut admin, mut alice, mut holder) = (stage.admin(), stage.alice(), stage.bob());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 10); SELECT image_gen.set_budget('role', 'alice', 10)");
    let ids: Vec<String> =
        (0..4).map(|n| alice.generate_with(&format!("prompt => 'plain {n}', {PRO}"))).collect();
    let climbing = alice.generate_with("prompt => 'a woman with a vase', model => 'ideogram:ideogram-v2a'");
    stage.submitted(5);
    holder.run("BEGIN");
    let held = holder.generate_with(&format!("prompt => 'held', {PRO}"));
    never_blocked(&stage, "four jobs end under a held budget", || {
        ids.iter().all(|id| status(&mut alice, id) == "succeeded")
    });
    // What they cost can be seen, although nobody could book it.
    never_blocked(&stage, "the refusal is booked", || {
        story(&mut alice, &climbing).first().is_some_and(|s| s.contains("refused"))
    });
    assert_eq!(credits(&mut alice, "workspace"), "0.2 0 9.8");
    // The step up the ladder needs more than is held: it waits, and is not made.
    let mut looks = 0;
    never_blocked(&stage, "fifty looks", || {
        looks += 1;
        assert_eq!(story(&mut alice, &climbing).len(), 1);
        looks >= 50
    });
    assert!(["queued", "running"].contains(&status(&mut alice, &climbing).as_str()));
    assert_eq!(stage.sim.submits(), 5);
    holder.run("COMMIT");
    alice.all_succeed(std::slice::from_ref(&climbing));
    holder.all_succeed(&[held]);
    assert_eq!(story(&mut alice, &climbing).len(), 2);
    assert_eq!(credits(&mut alice, "workspace"), "0.28 0 9.72");
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn an_administrators_open_transaction_stops_no_job() {
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 10); SELECT image_gen.set_budget('role', 'alice', 10)");
    for (round, statement) in [
        "SELECT image_gen.set_budget('workspace', NULL, 9)",
        "SELECT image_gen.set_budget('workspace', NULL, 8, until => clock_timestamp() + '1 hour')",
        "SELECT image_gen.grant_credits(1)",
        "SELECT image_gen.set_budget('role', 'alice', NULL)",
        "SELECT image_gen.set_budget('role', 'alice', 9)",
        "SELECT image_gen.grant_credits(1, 'campaign', 'c')",
        "SELECT image_gen.recount_budgets()",
    ]
    .iter()
    .enumerate()
    {
        let ids: Vec<String> = (0..3)
            .map(|n| {
                alice.generate_with(&format!(
                    "prompt => 'round {round} {n}', metadata => '{{\"campaign\": \"c\"}}', {PRO}"
                ))
            })
            .collect();
        stage.submitted(3 * (round as u64 + 1));
        admin.run("BEGIN");
        admin.run(statement);
        never_blocked(&stage, statement, || ids.iter().all(|id| status(&mut alice, id) == "succeeded"));
        admin.run("COMMIT");
    }
    // What was counted before it was seen is put right by the worker, of itself.
    wait_until("the new budgets are right", secs(10), || {
        admin.rows("SELECT * FROM image_gen.check_budgets()").is_empty()
    });
    assert_eq!(
        admin.text("SELECT trim_scale(spent) FROM image_gen.credits() WHERE scope = 'role:alice'"),
        "0.84"
    );
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn without_a_budget_no_session_waits() {
    let stage = stage(&["bfl"], &[]);
    let mut admin = stage.admin();
    // One that does not apply is as good as none.
    for budget in ["SELECT 1", "SELECT image_gen.set_budget('campaign', 'other', 1)"] {
        admin.run(budget);
        let mut sessions = [stage.alice(), stage.alice(), stage.bob()];
        let mut ids = vec![];
        for session in &mut sessions {
            session.run("SET lock_timeout = '3s'; BEGIN");
            ids.push(session.generate_with(&format!("prompt => 'free', {PRO}")));
            session.run("SELECT image_gen.generate_batch('[{\"shot\": \"x\", \"prompt\": \"x\"}]')");
        }
        let waiting = admin.number("SELECT count(*) FROM pg_locks WHERE NOT granted");
        assert_eq!(waiting, 0);
        for session in &mut sessions {
            session.run("COMMIT");
        }
    }
    let ids = admin.column("SELECT id FROM image_gen.jobs");
    admin.all_succeed(&ids);
    check_all(&stage);
}

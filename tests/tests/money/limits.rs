//! Limits are set, raised, changed for a while and removed, on a history and under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use image_gen_tests::wait::secs;
use image_gen_tests::wait_until;
use serde_json::json;

use crate::common::{PRO, check_all, credits, no_deadlock, stage};

#[test]
fn a_new_budget_counts_what_its_period_has_seen() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids: Vec<String> = (0..5)
        .map(|n| {
            alice.generate_with(&format!(
                "prompt => 'old {n}', metadata => '{{\"campaign\": \"c\", \"team\": \"red\"}}', {PRO}"
            ))
        })
        .collect();
    alice.all_succeed(&ids);
    // Two of them are from long ago.
    admin.run(&format!(
        "UPDATE image_gen.jobs SET created_at = created_at - interval '400 days' WHERE id IN ('{}', '{}')",
        ids[0], ids[1]
    ));
    for (call, name, expected) in [
        ("'workspace', NULL, 1", "workspace", "0.2 0 0.8"),
        ("'campaign', 'c', 1, 'year'", "campaign:c", "0.12 0 0.88"),
        ("'metadata:team', 'red', 1, 'day'", "metadata:team:red", "0.12 0 0.88"),
        ("'role', 'alice', 1, '30 days'", "role:alice", "0.12 0 0.88"),
        ("'role', 'bob', 1", "role:bob", "0 0 1"),
    ] {
        admin.run(&format!("SELECT image_gen.set_budget({call})"));
        assert_eq!(credits(&mut admin, name), expected, "{call}");
    }
    // Credit paid in advance counts from now on.
    admin.run("SELECT image_gen.grant_credits(0.05, 'ticket', 'T-1')");
    let ticket = "metadata => '{\"ticket\": \"T-1\"}'";
    let id = alice.generate_with(&format!("prompt => 'paid in advance', {ticket}, {PRO}"));
    alice.all_succeed(&[id]);
    assert_eq!(credits(&mut admin, "ticket:T-1"), "0.04 0 0.01");
    assert_eq!(credits(&mut alice, "ticket:T-1"), "0.04 0", "its own part");
    assert_eq!(
        alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'more', {ticket}, {PRO})")),
        "53400"
    );
    // A lower limit than what is spent stops what comes, and nothing else; without it everything is as before.
    admin.run("SELECT image_gen.set_budget('campaign', 'c', 0.01, 'year')");
    let more =
        format!("SELECT image_gen.generate(prompt => 'more', metadata => '{{\"campaign\": \"c\"}}', {PRO})");
    assert_eq!(alice.sqlstate(&more), "53400");
    admin.run("SELECT image_gen.set_budget('campaign', 'c', NULL, 'year')");
    assert_eq!(credits(&mut admin, "campaign:c"), "");
    alice.run(&more);
    let ids = alice.column("SELECT id FROM image_gen.jobs");
    alice.all_succeed(&ids);
    // Set again it knows what happened without it.
    admin.run("SELECT image_gen.set_budget('campaign', 'c', 1, 'year')");
    assert_eq!(credits(&mut admin, "campaign:c"), "0.16 0 0.84");
    check_all(&stage);
}

#[test]
fn tampering_is_seen_and_put_right() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1); SELECT image_gen.set_budget('role', 'alice', 1, 'month')");
    let ids: Vec<String> =
        (0..3).map(|n| alice.generate_with(&format!("prompt => 'job {n}', {PRO}"))).collect();
    alice.all_succeed(&ids);
    for (tampering, found) in [
        ("UPDATE image_gen_internal.budget_totals SET spent = spent + 0.01", 2),
        ("UPDATE image_gen_internal.budget_totals SET spent = spent + 0.01, reserved = reserved - 0.01", 2),
        (&*format!("UPDATE image_gen_internal.budget_charges SET spent = 0 WHERE job_id = '{}'", ids[0]), 4),
        (
            &*format!(
                "UPDATE image_gen_internal.budget_charges SET reserved = 0.5 WHERE job_id = '{}'",
                ids[1]
            ),
            4,
        ),
        (&*format!("DELETE FROM image_gen_internal.budget_charges WHERE job_id = '{}'", ids[2]), 4),
    ] {
        admin.run(tampering);
        let seen = admin.rows("SELECT * FROM image_gen.check_budgets()");
        assert_eq!(seen.len(), found, "{tampering}: {seen:?}");
        assert_eq!(admin.text("SELECT image_gen.recount_budgets()"), "2");
        let left = admin.rows("SELECT * FROM image_gen.check_budgets()");
        assert!(left.is_empty(), "{tampering}: {left:?}");
        assert_eq!(credits(&mut alice, "workspace"), "0.12 0 0.88", "{tampering}");
    }
    check_all(&stage);
}

#[test]
fn a_budget_that_is_set_while_jobs_end_counts_them() {
    // The administrator's transaction and the jobs do not see each other.
    let stage = stage(&["bfl"], &["image_gen.max_in_flight = 2"]);
    stage.sim.configure(&json!({"render_seconds": 0.5}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids: Vec<String> =
        (0..3).map(|n| alice.generate_with(&format!("prompt => 'before {n}', {PRO}"))).collect();
    admin.run("BEGIN");
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let during = alice.generate_with(&format!("prompt => 'during', {PRO}"));
    alice.all_succeed(&ids);
    alice.all_succeed(&[during]);
    let mut open = stage.bob();
    open.run("BEGIN");
    let late = open.generate_with(&format!("prompt => 'late', {PRO}"));
    let canceled = open.generate_with(&format!("prompt => 'canceled', {PRO}"));
    open.run(&format!("SELECT image_gen.cancel('{canceled}')"));
    admin.run("COMMIT");
    wait_until("the worker has looked", secs(10), || credits(&mut alice, "workspace") == "0.16 0 0.84");
    open.run("COMMIT");
    open.all_succeed(&[late]);
    assert_eq!(credits(&mut alice, "workspace"), "0.2 0 0.8");
    check_all(&stage);
}

#[test]
fn limits_come_and_go_while_jobs_run() {
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    let over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let setter = scope.spawn(|| {
            let mut admin = stage.admin();
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                for call in ["'workspace', NULL", "'role', 'alice'", "'campaign', 'c'"] {
                    let amount = if rounds % 2 == 0 { "100" } else { "NULL" };
                    admin.run(&format!("SELECT image_gen.set_budget({call}, {amount})"));
                }
                rounds += 1;
            }
            rounds
        });
        let users: Vec<_> = (0..3)
            .map(|user| {
                let stage = &stage;
                scope.spawn(move || {
                    let mut session = if user == 0 { stage.bob() } else { stage.alice() };
                    for n in 0..40 {
                        let call = format!(
                            "prompt => 'come {user} {n}', metadata => '{{\"campaign\": \"c\"}}', {PRO}"
                        );
                        let id = session.generate_with(&call);
                        if n % 5 == 0 {
                            session.run(&format!("SELECT image_gen.cancel('{id}')"));
                        }
                    }
                })
            })
            .collect();
        for user in users {
            user.join().unwrap();
        }
        let mut alice = stage.admin();
        let ids = alice.column("SELECT id FROM image_gen.jobs");
        alice.all_done(&ids);
        over.store(true, Ordering::Relaxed);
        setter.join().unwrap()
    });
    let mut admin = stage.admin();
    for call in ["'workspace', NULL", "'role', 'alice'", "'campaign', 'c'"] {
        admin.run(&format!("SELECT image_gen.set_budget({call}, 100)"));
    }
    println!("{rounds} rounds");
    wait_until("the worker has looked", secs(10), || {
        admin.rows("SELECT * FROM image_gen.check_budgets()").is_empty()
    });
    no_deadlock(&stage);
    check_all(&stage);
}

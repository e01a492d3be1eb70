//! What a transaction has reserved is written before it commits: until then it is right all the same, whatever of it is taken back.

use crate::common::{PRO, check_all, credits, stage};

#[test]
fn what_a_savepoint_takes_back_is_available_again() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.16); SELECT image_gen.set_budget('role', 'alice', 1, 'month')");
    let one = format!("prompt => 'one', {PRO}");
    alice.run("BEGIN");
    let first = alice.generate_with(&one);
    alice.run("SAVEPOINT a");
    let second = alice.generate_with(&one);
    alice.run("SAVEPOINT b");
    alice.generate_with(&one);
    assert_eq!(credits(&mut alice, "workspace"), "0 0.12 0.04");
    alice.run("ROLLBACK TO b");
    assert_eq!(credits(&mut alice, "workspace"), "0 0.08 0.08");
    alice.run("RELEASE a");
    let kept = alice.generate_with(&one);
    assert_eq!(credits(&mut alice, "workspace"), "0 0.12 0.04");
    // What was taken back can be taken again, and not once more.
    alice.run("SAVEPOINT c");
    alice.generate_with(&one);
    let call = format!("SELECT image_gen.generate({one})");
    alice.run("SAVEPOINT d");
    assert_eq!(alice.sqlstate(&call), "53400");
    alice.run("ROLLBACK TO d");
    alice.run("ROLLBACK TO c");
    // In a block with an exception clause, as functions have them.
    alice.run(&format!(
        "DO $$ BEGIN PERFORM image_gen.generate({one}); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END $$"
    ));
    assert_eq!(credits(&mut alice, "workspace"), "0 0.12 0.04");
    assert_eq!(credits(&mut admin, "workspace"), "0 0 0.16", "another session sees what is committed");
    alice.run("COMMIT");
    alice.all_succeed(&[first, second, kept]);
    assert_eq!(credits(&mut alice, "workspace"), "0.12 0 0.04");
    assert_eq!(stage.sim.submits(), 3);
    check_all(&stage);
}

#[test]
fn a_prepared_transaction_reserves_what_it_queued() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    alice.run("BEGIN");
    let id = alice.generate_with(&format!("prompt => 'prepared', {PRO}"));
    alice.run("PREPARE TRANSACTION 'budget'");
    assert_eq!(credits(&mut admin, "workspace"), "0 0 1");
    // This session holds nothing any more.
    alice.run("BEGIN");
    assert_eq!(credits(&mut alice, "workspace"), "0 0 1");
    alice.run("COMMIT");
    alice.run("COMMIT PREPARED 'budget'");
    alice.all_succeed(&[id]);
    assert_eq!(credits(&mut alice, "workspace"), "0.04 0 0.96");
    check_all(&stage);
}

#[test]
fn a_budget_or_the_extension_may_go_before_what_was_reserved_is_written() {
    let stage = stage(&["bfl"], &[]);
    let mut admin = stage.admin();
    admin.run(
        "SELECT image_gen.set_budget('workspace', NULL, 1); SELECT image_gen.set_budget('campaign', 'c', 1)",
    );
    let call = format!("SELECT image_gen.generate('gone', metadata => '{{\"campaign\": \"c\"}}', {PRO})");
    admin.run(&format!("BEGIN; {call}; SELECT image_gen.set_budget('campaign', 'c', NULL); SELECT image_gen.recount_budgets(); COMMIT"));
    let id = admin.text("SELECT id FROM image_gen.jobs");
    admin.all_succeed(&[id]);
    assert_eq!(credits(&mut admin, "workspace"), "0.04 0 0.96");
    check_all(&stage);
    admin.run(&format!("BEGIN; {call}; DROP EXTENSION image_gen CASCADE; COMMIT"));
    assert!(!admin.truth("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'image_gen')"));
}

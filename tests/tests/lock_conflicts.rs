//! The worker's transactions meet those of others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;

use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

#[test]
fn a_deadlock_with_an_administrators_update_loses_nothing() {
    // worker failure mode 41: the worker is the one that is chosen, and writes the paid result again.
    let stage = Stage::conf(&["deadlock_timeout = '1s'"]);
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let worker = stage.worker();
    let mut alice = stage.alice();
    let id = alice.generate("in the middle");
    let sibling = alice.generate("beside it");
    stage.accepted(2);
    let mut holder = stage.admin();
    holder.run("SET deadlock_timeout = '10min'; BEGIN");
    holder.run(&format!("UPDATE image_gen.jobs SET metadata = '{{\"ticket\": \"1\"}}' WHERE id = '{id}'"));
    let mut admin = stage.admin();
    wait_until("the worker waits for the row", secs(20), || {
        admin.truth(&format!("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {worker}"))
    });
    // It holds the attempt already: now each waits for the other.
    holder.run(&format!("UPDATE image_gen.attempts SET warnings = warnings WHERE job_id = '{id}'"));
    holder.run("COMMIT");
    alice.all_succeed(&[id, sibling]);
    assert!(stage.cluster.log().contains("deadlock detected"), "it did not come to that");
    assert_eq!(stage.worker(), worker, "the same worker");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (2, "0.08"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.campaign_assets"), 2);
    stage.check_money();
}

#[test]
fn the_schema_can_change_in_a_transaction_that_also_queues() {
    // worker failure mode 43: what an update script does, between two calls of generate(), while jobs are on their way.
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.5}));
    let worker = stage.worker();
    let mut alice = stage.alice();
    let under_way = alice.generate("under way");
    stage.accepted(1);
    let mut admin = stage.admin();
    admin.run("BEGIN");
    let before = admin.generate("before the update");
    admin.run(
        "ALTER EXTENSION image_gen UPDATE;
         ALTER TABLE image_gen_internal.queue ADD COLUMN of_a_later_version int NOT NULL DEFAULT 7;
         ALTER TABLE image_gen.jobs ADD COLUMN of_a_later_version text;
         DO $$
         DECLARE f regprocedure;
         BEGIN
           FOR f IN SELECT oid FROM pg_proc WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND proname IN ('claim', 'begin', 'end_attempts', 'finish', 'resolve_inputs', 'generate_batch', 'generate') LOOP
             EXECUTE pg_get_functiondef(f);
           END LOOP;
         END $$",
    );
    let after = admin.generate("after the update");
    // Others wait until it has come to its end.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.alice().generate("beside the update"));
        let mut witness = stage.connect("postgres");
        wait_until("the other call waits", secs(20), || {
            witness.truth("SELECT count(*) >= 1 FROM pg_stat_activity WHERE usename = 'alice' AND wait_event_type = 'Lock'")
        });
        admin.run("COMMIT");
        alice.all_succeed(&[waiting.join().unwrap()]);
    });
    alice.all_succeed(&[under_way]);
    admin.all_succeed(&[before, after]);
    assert_eq!(stage.worker(), worker, "the same worker");
    let jobs = admin.rows("SELECT billed_cost FROM image_gen.jobs");
    assert!(jobs.len() == 4 && jobs.iter().all(|j| micros(&j[0]) == 40_000), "{jobs:?}");
    assert_eq!(stage.sim.submits(), 4);
    stage.check_money();

    // An update that is rolled back was none.
    admin.run("BEGIN; ALTER TABLE image_gen.jobs ADD COLUMN never int");
    admin.generate("never");
    admin.run("ROLLBACK");
    stage.sentinel();
    assert_eq!(stage.sim.submits(), 5);
}

#[test]
fn one_key_in_two_sessions_is_one_job_for_each_owner() {
    // worker failure mode 42: the first aborts, and the second, which waited with other arguments, is then in the right.
    let stage = Stage::start();
    let mut one = stage.alice();
    let mut two = stage.alice();
    let pid = two.pid();
    for (end, code) in [("ROLLBACK", None), ("COMMIT", Some("23505"))] {
        one.run("BEGIN");
        one.generate_with(&format!("prompt => 'first, {end}', idempotency_key => '{end}'"));
        let call = format!(
            "SELECT id FROM image_gen.generate(prompt => 'second, {end}', idempotency_key => '{end}')"
        );
        let answer = thread::scope(|scope| {
            let waiting = scope.spawn(|| two.try_rows(&call));
            let mut admin = stage.admin();
            wait_until("the second session waits", secs(10), || {
                admin.truth(&format!(
                    "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {pid}"
                ))
            });
            one.run(end);
            waiting.join().unwrap()
        });
        let refused = answer.err().and_then(|e| e.as_db_error().map(|e| e.code().code().to_owned()));
        assert_eq!(refused.as_deref(), code, "{end}");
    }
    // Another owner's key is another key.
    let of_bob = stage.bob().generate_with("prompt => 'of bob', idempotency_key => 'COMMIT'");
    stage.bob().all_succeed(&[of_bob]);
    stage.sentinel();
    assert_eq!(
        (stage.sim.submits_of("first, ROLLBACK").len(), stage.sim.submits_of("second, ROLLBACK").len()),
        (0, 1)
    );
    assert_eq!(
        (stage.sim.submits_of("first, COMMIT").len(), stage.sim.submits_of("second, COMMIT").len()),
        (1, 0)
    );
}

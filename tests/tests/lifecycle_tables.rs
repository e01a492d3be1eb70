//! People who own the server do with our tables what they like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

/// Jobs that the provider has accepted, and that take two seconds.
fn in_flight(jobs: usize) -> (Stage, Vec<String>) {
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..jobs).map(|n| alice.generate(&format!("job {n}"))).collect();
    stage.accepted(jobs as i64);
    (stage, ids)
}

#[test]
fn maintenance_of_our_tables_disturbs_no_job() {
    // worker failure mode 37
    let (stage, mut ids) = in_flight(5);
    let worker = stage.worker();
    // A session that has plans for the tables as they were.
    let mut alice = stage.alice();
    ids.push(alice.generate("before"));
    let mut admin = stage.admin();
    for (n, statement) in [
        "VACUUM FULL image_gen.jobs",
        "VACUUM FULL image_gen.queue",
        "VACUUM FULL image_gen.attempts",
        "CREATE INDEX CONCURRENTLY ours ON image_gen.jobs (status)",
        "REINDEX TABLE CONCURRENTLY image_gen.queue",
        "ALTER TABLE image_gen.jobs ADD COLUMN our_note text",
        "ALTER TABLE image_gen.queue SET (fillfactor = 50)",
        "ALTER TABLE image_gen.campaign_assets ADD COLUMN our_note text DEFAULT 'none'",
        "ANALYZE image_gen.jobs",
        "CLUSTER image_gen.attempts USING attempts_pkey",
        "BEGIN; LOCK TABLE image_gen.queue, image_gen.jobs, image_gen.attempts IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.5); COMMIT",
    ]
    .into_iter()
    .enumerate()
    {
        admin.run(statement);
        ids.push(alice.generate(&format!("after {n}")));
    }
    alice.all_succeed(&ids);
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, ids.len() as u64));
    stage.check_money();
}

#[test]
fn a_row_that_somebody_deletes_costs_nobody_else_anything() {
    // worker failure mode 37
    let (stage, mut ids) = in_flight(4);
    let worker = stage.worker();
    let mut admin = stage.admin();
    let (gone, orphan) = (ids.remove(0), ids.remove(0));
    admin.run(&format!("DELETE FROM image_gen.jobs WHERE id = '{gone}'"));
    admin.run(&format!("DELETE FROM image_gen.queue WHERE job_id IN ('{gone}', '{orphan}')"));
    let mut alice = stage.alice();
    alice.all_succeed(&ids);
    stage.sentinel();
    // Without its row in the queue nobody follows it; resume() finds it, and its remote id.
    assert_eq!(alice.job(&orphan).status, "running");
    assert_eq!(admin.rows("SELECT * FROM image_gen.resume('a row was deleted')"), [["0", "1", "0"]]);
    alice.all_succeed(std::slice::from_ref(&orphan));
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, 5));
    stage.check_money();
}

#[test]
fn a_row_that_is_deleted_while_it_is_sent_is_not_sent_again() {
    // worker failure mode 37
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "silent", "times": 1, "fault": "hang"}));
    let mut alice = stage.alice();
    let id = alice.generate("silent");
    stage.submitted(1);
    let mut admin = stage.admin();
    admin.run("DELETE FROM image_gen.queue");
    assert_eq!(admin.rows("SELECT * FROM image_gen.resume()"), [["0", "0", "1"]]);
    assert_eq!(alice.done(&id).error_code, "uncertain");
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("silent").len(), 1);
}

#[test]
fn a_truncated_queue_loses_no_job() {
    // worker failure mode 37
    let (stage, ids) = in_flight(6);
    let mut admin = stage.admin();
    admin.run("TRUNCATE image_gen.queue");
    stage.sentinel();
    assert_eq!(admin.text("SELECT followed FROM image_gen.resume()"), "6");
    stage.alice().all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 7);
    stage.check_money();
}

#[test]
fn a_missing_function_stops_the_worker_and_nothing_else() {
    // worker failure modes 8 and 13: SQL that does not fit the library.
    let (stage, ids) = in_flight(2);
    let mut admin = stage.admin();
    let worker = stage.worker();
    admin.run("ALTER FUNCTION image_gen._claim RENAME TO _claim_of_before");
    let mut alice = stage.alice();
    let id = alice.generate("waits");
    wait_until("it says so", secs(20), || {
        admin.text("SELECT last_error FROM image_gen.worker_status").contains("image_gen._claim")
    });
    // What is in flight goes on.
    alice.all_succeed(&ids);
    assert_eq!(alice.job(&id).status, "queued");
    let said = stage
        .cluster
        .log()
        .lines()
        .filter(|l| l.contains("image_gen worker LOG") && l.contains("_claim"))
        .count();
    assert!(said <= 2, "{said} lines");
    admin.run("ALTER FUNCTION image_gen._claim_of_before RENAME TO _claim");
    alice.all_succeed(&[id]);
    assert_eq!(
        (stage.worker(), stage.sim.submits(), stage.cluster.find_worker(DATABASE)),
        (worker, 3, Some(worker))
    );
}

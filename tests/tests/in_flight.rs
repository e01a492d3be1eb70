//! Jobs in flight: they overlap, they hold nothing, and a worker without work does nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use image_gen_tests::process::{cpu_ticks, memory_kb};
use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

#[test]
fn four_jobs_are_rendered_at_the_same_time() {
    // S22, S24
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 3");
    stage.worker();
    let mut alice = stage.alice();
    let start = Instant::now();
    let ids = alice.column(
        "SELECT g.id FROM unnest('{hero,lifestyle,detail,square}'::text[]) s, LATERAL image_gen.generate(prompt => s) g",
    );
    let queued = start.elapsed();
    alice.all_succeed(&ids);
    println!("four jobs of 3 s: queued in {queued:?}, done in {:?}", start.elapsed());
    assert_eq!(stage.sim.totals().all.peak_in_flight, 4);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.16"));
    // S47
    let polls = stage.sim.totals().all.polls;
    assert!(polls <= 4 * FIRST_POLLS, "{polls} polls for four jobs");
}

/// Most polls of a render of a model that was not seen before: it is looked at often, until it is known how long renders
/// take. How few they are from then on is shown by the engine's simulation (`poll::tests`).
const FIRST_POLLS: u64 = 7;

#[test]
fn a_good_estimate_needs_few_polls() {
    // S44 to S47
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 2.1");
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..4).map(|n| alice.generate(&format!("shot {n}"))).collect();
    alice.all_succeed(&ids);
    let polls = stage.sim.totals().all.polls;
    assert!((4..=4 * FIRST_POLLS).contains(&polls), "{polls} polls for four jobs");
}

#[test]
fn nothing_is_held_while_providers_work() {
    // N23, worker failure mode 16
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 6.0}));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET max_in_flight = NULL; UPDATE image_gen.models SET typical_seconds = 6.2");
    admin.run("CREATE DATABASE other");
    let worker = stage.worker();
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT g.id FROM generate_series(1, 64) n,
          LATERAL image_gen.generate(prompt => 'held ' || n, width => 256, height => 256) g",
    );
    stage.accepted(64);
    // The last flush may still be ending.
    wait_until("the worker sleeps", secs(3), || {
        admin.truth(&format!("SELECT state = 'idle' FROM pg_stat_activity WHERE pid = {worker}"))
    });
    for _ in 0..40 {
        let held = admin.rows(&format!(
            "SELECT backend_xid, backend_xmin, xact_start, (SELECT count(*) FROM pg_locks WHERE pid = {worker})
               FROM pg_stat_activity WHERE pid = {worker}"
        ));
        assert_eq!(held, [["", "", "", "0"]]);
        sleep(Duration::from_millis(25));
    }
    for statement in [
        "VACUUM image_gen_internal.queue",
        "DROP DATABASE other",
        "CREATE DATABASE copied TEMPLATE template0 STRATEGY file_copy",
        "DROP DATABASE copied",
    ] {
        let start = Instant::now();
        admin.run(statement);
        println!("with 64 in flight: {statement}: {:?}", start.elapsed());
        assert_eq!(stage.sim.totals().all.pictures, 0, "{statement} waits for no render");
    }
    assert_eq!(stage.sim.totals().all.peak_in_flight, 64);
    assert_eq!(admin.number("SELECT in_flight FROM image_gen.worker_status"), 64);
    alice.all_succeed(&ids);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (64, "2.56"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    println!("worker after 64 jobs: {:?} kB (anonymous, highest resident)", memory_kb(worker));
    stage.check_money();
}

#[test]
fn a_providers_limit_is_respected() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 0.3, "active_task_limit": 3}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 3 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..10).map(|n| alice.generate(&format!("limited {n}"))).collect();
    alice.all_succeed(&ids);
    let totals = stage.sim.totals().all;
    assert_eq!((totals.peak_in_flight, totals.submits, totals.rejected), (3, 10, 0));
}

#[test]
fn a_providers_rate_is_respected() {
    // Six seconds' worth of submissions may go at once; the rest follows at the steady rate.
    let stage = Stage::start();
    // One submission in 400 ms, so fifteen at once.
    stage.admin().run("UPDATE image_gen.providers SET requests_per_minute = 150 WHERE id = 'bfl'");
    stage.worker();
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT g.id FROM generate_series(1, 20) n, LATERAL image_gen.generate(prompt => 'paced ' || n) g",
    );
    alice.all_succeed(&ids);
    let at: Vec<u64> = stage.sim.submits_of("paced").iter().map(|e| e["at_us"].as_u64().unwrap()).collect();
    assert_eq!(at.len(), 20);
    assert!(at[14] - at[0] < 1_000_000, "the first fifteen do not wait: {at:?}");
    assert!(at[14..].windows(2).all(|w| w[1] - w[0] > 300_000), "the others are paced: {at:?}");
    assert!(at[19] - at[0] > 1_800_000, "{at:?}");
    assert_eq!(stage.sim.totals().by_provider.len(), 1, "nobody else is asked because of that");
}

#[test]
fn an_idle_worker_does_nothing() {
    // worker failure modes 9 and 40
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'", "autovacuum = off"]);
    let worker = stage.worker();
    stage.sentinel();
    let mut admin = stage.admin();
    // The first rescan comes 10 s after the start.
    wait_until("the first rescan is over", secs(20), || {
        admin.truth("SELECT clock_timestamp() - running_since > '11 s' FROM image_gen.worker_status")
    });
    let look = format!(
        "SELECT pg_snapshot_xmax(pg_current_snapshot()), a.query_start, a.state_change, a.xact_start
           FROM pg_stat_activity a WHERE pid = {worker}"
    );
    let before = (admin.rows(&look), cpu_ticks(worker));
    sleep(secs(5));
    let after = (admin.rows(&look), cpu_ticks(worker));
    println!("idle for 5 s: {} ticks of CPU", after.1 - before.1);
    assert_eq!(before.0, after.0);
    assert!(after.1 - before.1 <= 1, "{} ticks of CPU while idle", after.1 - before.1);
}

#[test]
fn looking_for_work_in_vain_takes_no_transaction_id() {
    // worker failure mode 40
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'", "autovacuum = off"]);
    let worker = stage.worker();
    stage.sentinel();
    let mut admin = stage.admin();
    let started = format!("SELECT query_start FROM pg_stat_activity WHERE pid = {worker}");
    wait_until("the first rescan is over", secs(20), || {
        admin.truth("SELECT clock_timestamp() - running_since > '11 s' FROM image_gen.worker_status")
    });
    let next_xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    let before = (admin.text(next_xid), admin.text(&started));
    sleep(secs(2));
    assert_eq!(admin.text(next_xid), before.0);
    assert_ne!(admin.text(&started), before.1, "it did look");
}

#[test]
fn one_job_asks_for_one_transaction_in_each_step_of_its_life() {
    // A budget, so that chatter is noticed: claim, intent, acceptance, end.
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'", "autovacuum = off"]);
    stage.sentinel();
    let mut admin = stage.admin();
    let next_xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    let before = admin.number(next_xid);
    stage.sentinel();
    let used = admin.number(next_xid) - before;
    println!("one job: {used} transaction ids, of which one is its caller's");
    assert!(used <= 5, "{used} transaction ids for one job");
}

#[test]
fn a_picture_of_a_job_that_is_not_ours_any_more_leaves_no_bytes() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    stage.worker();
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    // The bytes of this model come in the answer, so the database is to keep them.
    let inline = |prompt: &str| format!("prompt => '{prompt}', model => 'openai:gpt-image-2'");
    let disowned = alice.generate_with(&inline("disowned"));
    let sent = format!("SELECT count(*) FROM image_gen.attempts WHERE job_id = '{disowned}'");
    wait_until("its intent is written", secs(20), || admin.number(&sent) == 1);
    admin.run(&format!(
        "UPDATE image_gen_internal.queue SET epoch = epoch + 1000000 WHERE job_id = '{disowned}'"
    ));
    // Each of these takes as long as that one has left: when both are over, its answer has come and was not taken.
    for prompt in ["ours", "ours again"] {
        let id = alice.generate_with(&inline(prompt));
        assert_eq!(alice.done(&id).status, "succeeded");
    }
    assert_eq!(stage.sim.submits(), 3);
    assert_eq!(admin.text(&format!("SELECT status FROM image_gen.jobs WHERE id = '{disowned}'")), "running");
    let kept = "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = b.sha256)) FROM image_gen_internal.blobs b";
    assert_eq!(admin.rows(kept), [["2", "2"]], "bytes that no asset has");
}

//! A thousand jobs in flight at once, on a server that was started with 1,024 open files. Alone in its binary: it
//! takes what the machine has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Instant;

use image_gen_tests::process::memory_kb;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, wait_until};
use serde_json::json;

#[test]
fn a_thousand_jobs_are_in_flight_at_once() {
    // N19, N20, worker failure mode 51
    const JOBS: u64 = 1000;
    let stage = Stage::with(Options { open_files: Some(1024), ..Options::default() });
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET max_in_flight = NULL; UPDATE image_gen.models SET typical_seconds = 2");
    let worker = stage.worker();
    let before = memory_kb(worker);
    let mut alice = stage.alice();
    let start = Instant::now();
    alice.run(&format!(
        "SELECT count(g.id) FROM generate_series(1, {JOBS}) n,
           LATERAL image_gen.generate(prompt => 'thousand ' || n, width => 256, height => 256) g"
    ));
    let queued = start.elapsed();
    stage.submitted(JOBS);
    let sent = start.elapsed();
    wait_until("all jobs end", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen_internal.queue") == 0
    });
    let took = start.elapsed();
    let totals = stage.sim.totals().all;
    println!(
        "1,000 jobs of 2 s: queued {queued:?}, all sent {sent:?}, all done {took:?}; polls {}; peak {}; worker {:?} -> {:?} kB",
        totals.polls,
        totals.peak_in_flight,
        before,
        memory_kb(worker)
    );
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs WHERE status = 'succeeded'"), JOBS as i64);
    assert_eq!((totals.submits, totals.billed_calls, totals.billed.to_string().as_str()), (JOBS, JOBS, "40"));
    assert_eq!(admin.text("SELECT trim_scale(sum(billed_cost)) FROM image_gen.campaign_assets"), "40");
    assert_eq!(totals.peak_in_flight as u64, JOBS);
    assert_eq!(stage.worker(), worker, "it was not restarted");
    assert_eq!(admin.text("SELECT last_error FROM image_gen.worker_status"), "");
    stage.check_money();
}

//! Limits of providers that are changed while jobs wait for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Instant;

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

/// A provider with these limits, and ten jobs for it of which so many are sent.
fn waiting(limits: &str, sent: u64) -> (Stage, Vec<String>) {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    stage.admin().run(&format!(
        "UPDATE image_gen.models SET typical_seconds = 3; UPDATE image_gen.providers SET {limits} WHERE id = 'bfl'"
    ));
    let ids = (0..10)
        .map(|n| stage.alice().generate_with(&format!("prompt => 'job {n}', model => 'bfl:flux-1.1-pro'")));
    let ids = ids.collect();
    stage.submitted(sent);
    (stage, ids)
}

#[test]
fn more_places_are_taken_at_once_by_those_that_wait() {
    let (stage, ids) = waiting("max_in_flight = 1", 1);
    let mut admin = stage.admin();
    // Two that are rolled back change nothing.
    admin.run("BEGIN; UPDATE image_gen.providers SET max_in_flight = 10 WHERE id = 'bfl'; ROLLBACK");
    admin.run("UPDATE image_gen.providers SET max_in_flight = 2 WHERE id = 'bfl'");
    stage.submitted(2);
    let start = Instant::now();
    admin.run("UPDATE image_gen.providers SET max_in_flight = NULL WHERE id = 'bfl'");
    wait_until("all are sent", secs(2), || stage.sim.submits() == 10);
    println!("eight more were sent {:?} after the change", start.elapsed());
    assert_eq!(stage.sim.totals().all.peak_in_flight, 10, "none had ended");
    stage.alice().all_succeed(&ids);
}

#[test]
fn a_higher_rate_is_that_of_those_that_wait() {
    let (stage, ids) = waiting("max_in_flight = NULL, requests_per_minute = 1", 1);
    stage.admin().run("UPDATE image_gen.providers SET requests_per_minute = 600 WHERE id = 'bfl'");
    wait_until("all are sent", secs(5), || stage.sim.submits() == 10);
    stage.alice().all_succeed(&ids);
}

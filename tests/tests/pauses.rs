//! What is paused waits, and loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Mode, Options, Session, Stage, wait_until};
use serde_json::json;

fn waits_for(session: &mut Session, id: &str) -> (String, String) {
    let sql = format!("SELECT (waiting_for).code, (waiting_for).message FROM image_gen.status('{id}')");
    let row = session.rows(&sql).remove(0);
    (row[0].clone(), row[1].clone())
}

#[test]
fn a_paused_role_waits_and_the_others_do_not() {
    let stage = Stage::conf(&["image_gen.rescan_interval = 500ms"]);
    let (mut alice, mut bob, mut admin) = (stage.alice(), stage.bob(), stage.admin());
    admin.run("SELECT image_gen.pause(role => 'alice', note => 'too many')");
    let hers = alice.generate("hers");
    let his = bob.generate("his");
    bob.all_succeed(&[his]);
    stage.cluster.worker_looks(DATABASE);
    assert_eq!(waits_for(&mut alice, &hers), ("paused".into(), "alice is paused: too many".into()));
    assert_eq!(stage.sim.submits_of("hers").len(), 0);
    // A pause is no fault of the job: it can be canceled, and goes on later as if nothing had been.
    let canceled = alice.generate("canceled");
    alice.run(&format!("SELECT image_gen.cancel('{canceled}')"));
    assert!(admin.truth("SELECT image_gen.unpause(role => 'alice')"));
    alice.all_succeed(&[hers]);
    assert_eq!(alice.job(&canceled).status, "canceled");
    assert!(!admin.truth("SELECT image_gen.unpause(role => 'alice')"), "there is none any more");
}

#[test]
fn a_paused_provider_is_not_called_and_its_jobs_go_elsewhere_or_wait() {
    let stage = Stage::with(Options::all_keys(&["image_gen.outage_timeout = 0"]));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    admin.run("SELECT image_gen.pause('bfl', note => 'maintenance')");
    let anywhere = alice.generate_with("prompt => 'anywhere', model => 'flux-1.1-pro'");
    let here = alice.generate_with("prompt => 'only at bfl', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(std::slice::from_ref(&anywhere));
    assert_ne!(
        alice.text(&format!("SELECT provider FROM image_gen.attempts WHERE job_id = '{anywhere}'")),
        "bfl"
    );
    wait_until("it waits for the pause", secs(20), || {
        waits_for(&mut alice, &here) == ("paused".into(), "bfl is paused: maintenance".into())
    });
    assert_eq!(stage.sim.submits_of("only at bfl").len(), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.attempts WHERE provider = 'bfl'"), 0);
    admin.run("SELECT image_gen.unpause('bfl')");
    alice.all_succeed(&[here]);
}

#[test]
fn while_everything_is_paused_what_a_provider_has_is_followed_to_its_end() {
    let stage = Stage::conf(&["image_gen.rescan_interval = 500ms"]);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let accepted = alice.generate("accepted");
    stage.accepted(1);
    admin.run("SELECT image_gen.pause(note => 'the bill')");
    let later = alice.generate("later");
    // Also by a worker that starts meanwhile.
    stage.cluster.restart(Mode::Immediate);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    alice.all_succeed(&[accepted]);
    stage.cluster.worker_looks(DATABASE);
    assert_eq!(waits_for(&mut alice, &later), ("paused".into(), "everything is paused: the bill".into()));
    assert_eq!(stage.sim.submits(), 1);
    assert_eq!(admin.text("SELECT status FROM image_gen.doctor() WHERE name = 'pauses'"), "warning");
    admin.run("SELECT image_gen.unpause()");
    alice.all_succeed(&[later]);
    assert_eq!(stage.sim.submits(), 2);
    stage.check_money();
}

#[test]
fn a_pause_begins_with_its_commit_also_for_jobs_that_wait_for_a_place() {
    let stage = Stage::start();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    admin.run("UPDATE image_gen.providers SET max_in_flight = 1 WHERE id = 'bfl'");
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let first = alice.generate_with("prompt => 'first', model => 'bfl:flux-1.1-pro'");
    stage.accepted(1);
    // In the worker's hand, and in line for the only place.
    let second = alice.generate_with("prompt => 'second', model => 'bfl:flux-1.1-pro'");
    admin.run("BEGIN; SELECT image_gen.pause('bfl')");
    admin.run("ROLLBACK");
    admin.run("SELECT image_gen.pause('bfl')");
    alice.all_succeed(&[first]);
    wait_until("it waits for the pause", secs(20), || waits_for(&mut alice, &second).0 == "paused");
    assert_eq!(stage.sim.submits(), 1);
    admin.run("SELECT image_gen.unpause('bfl')");
    alice.all_succeed(&[second]);
}

#[test]
fn who_may_pause_and_what() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    for (call, code) in [
        ("pause('nobody')", "42704"),
        ("pause(role => 'nobody')", "42704"),
        ("pause('bfl', 'alice')", "22023"),
        ("unpause(role => 'nobody')", "42704"),
    ] {
        assert_eq!(admin.sqlstate(&format!("SELECT image_gen.{call}")), code, "{call}");
    }
    for call in ["pause()", "pause('bfl')", "unpause()"] {
        assert_eq!(stage.alice().sqlstate(&format!("SELECT image_gen.{call}")), "42501", "{call}");
    }
    let (first, again) = (
        admin.text("SELECT image_gen.pause('bfl')"),
        admin.text("SELECT image_gen.pause('bfl', note => 'why')"),
    );
    assert_eq!(first, again, "one pause each");
    assert_eq!(
        admin.rows("SELECT provider, role, note, paused_by FROM image_gen.pauses"),
        [["bfl", "", "why", "postgres"]]
    );
}

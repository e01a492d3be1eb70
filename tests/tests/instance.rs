//! Paid work runs where an administrator has allowed it, and nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::stage::{DATABASE, check_money};
use image_gen_tests::unfinished::watchful;
use image_gen_tests::wait::secs;
use image_gen_tests::{Cluster, Copy, Mode, Stage, Unfinished, wait_until};

/// A server that has the users of a stage, and an empty database.
fn empty() -> Cluster {
    let cluster = Cluster::start(watchful());
    let mut admin = cluster.admin("postgres");
    admin.run("CREATE ROLE alice LOGIN");
    admin.run(&format!("CREATE DATABASE {DATABASE}"));
    cluster
}

#[test]
fn a_restored_dump_calls_no_provider_until_it_is_resumed() {
    // N5, worker failure modes 26 and 27
    let stage = Stage::with(watchful());
    let jobs = Unfinished::queue(&stage);
    let dump = stage.cluster.dump(DATABASE, &[]);
    stage.cluster.stop(Mode::Immediate);
    let other = empty();
    other.restore(DATABASE, &dump);
    other.admin(DATABASE).run("GRANT image_gen_user TO alice");
    jobs.are_held(&other, &stage.sim, "dump");
    // Still so after a restart.
    other.restart(Mode::Fast);
    jobs.are_held(&other, &stage.sim, "dump");
    jobs.end_once(&other, &stage.sim);
    other.restart(Mode::Immediate);
    assert_eq!(stage.sim.totals().all.submits, 4);
}

#[test]
fn jobs_that_were_restored_without_the_queue_are_queued_again() {
    // N5, worker failure mode 27
    let stage = Stage::with(watchful());
    let jobs = Unfinished::queue(&stage);
    let without = [
        "--exclude-table-data=image_gen_internal.queue",
        "--exclude-table-data=image_gen_internal.job_dependencies",
    ];
    let dump = stage.cluster.dump(DATABASE, &without);
    stage.cluster.stop(Mode::Immediate);
    let other = empty();
    other.restore(DATABASE, &dump);
    let mut admin = other.admin(DATABASE);
    admin.run("GRANT image_gen_user TO alice");
    let counts = admin.rows("SELECT * FROM image_gen.resume()");
    assert_eq!(counts, [["2", "1", "1"]], "requeued, followed, ended");
    let mut alice = other.connect("alice", DATABASE);
    alice.all_succeed(&[jobs.accepted, jobs.unsent, jobs.waiting]);
    let job = alice.done(&jobs.unknown);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "uncertain"), "{job:?}");
    for (prompt, sent) in [("accepted", 1), ("unknown", 1), ("unsent", 1), ("waiting", 1)] {
        assert_eq!(stage.sim.submits_of(prompt).len(), sent, "{prompt}");
    }
    check_money(&other);
}

#[test]
fn a_dump_that_is_restored_into_its_own_database_is_held() {
    // N5, worker failure mode 27: the jobs of the dump have ended since.
    let stage = Stage::with(watchful());
    let mut alice = stage.alice();
    let jobs = Unfinished::queue(&stage);
    let dump = stage.cluster.dump(DATABASE, &["--clean"]);
    alice.all_succeed(&[jobs.accepted.clone(), jobs.unsent, jobs.waiting]);
    let submits = stage.sim.submits();
    stage.cluster.restore(DATABASE, &dump);
    let mut admin = stage.admin();
    wait_until("it is held", secs(20), || {
        admin.text("SELECT fenced FROM image_gen.worker_status WHERE running").contains("dump")
    });
    stage.cluster.worker_looks(DATABASE);
    assert_eq!(stage.sim.submits(), submits);
    assert_eq!(
        admin.text(&format!("SELECT status FROM image_gen.jobs WHERE id = '{}'", jobs.accepted)),
        "running"
    );
    admin.run("SELECT image_gen.resume()");
    // The provider still knows the task: followed again, it is paid once.
    let job = stage.alice().done(&jobs.accepted);
    assert_eq!((job.status.as_str(), stage.sim.submits_of("accepted").len()), ("succeeded", 1));
    stage.check_money();
}

#[test]
fn a_base_backup_calls_no_provider_until_it_is_resumed() {
    // N5, worker failure mode 26: recovered from the backup (a new timeline), or just started (the same one).
    for (copy, says) in [(Copy::Recovered, "timeline 2, not 1"), (Copy::Alone, "the data folder is a copy")] {
        let stage = Stage::with(watchful());
        let jobs = Unfinished::queue(&stage);
        let other = stage.cluster.base_backup(watchful(), copy);
        stage.cluster.stop(Mode::Immediate);
        jobs.are_held(&other, &stage.sim, says);
        other.restart(Mode::Immediate);
        jobs.are_held(&other, &stage.sim, says);
        jobs.end_once(&other, &stage.sim);
    }
}

#[test]
fn a_copy_of_the_files_calls_no_provider_until_it_is_resumed() {
    // N5, worker failure mode 26
    let stage = Stage::with(watchful());
    let jobs = Unfinished::queue(&stage);
    stage.cluster.stop(Mode::Immediate);
    let other = stage.cluster.file_copy(watchful());
    jobs.are_held(&other, &stage.sim, "the data folder is a copy");
    jobs.end_once(&other, &stage.sim);
}

#[test]
fn an_upgraded_server_calls_no_provider_until_it_is_resumed() {
    // worker failure modes 25 and 26: pg_upgrade starts the servers, which call nobody meanwhile.
    let stage = Stage::with(watchful());
    let jobs = Unfinished::queue(&stage);
    stage.cluster.stop(Mode::Fast);
    stage.sim.clear_rules();
    let before = stage.sim.totals().all.requests;
    let other = stage.cluster.upgraded(watchful());
    assert_eq!(stage.sim.totals().all.requests, before);
    jobs.are_held(&other, &stage.sim, "another cluster");
    jobs.end_once(&other, &stage.sim);
}

#[test]
fn a_copied_database_calls_no_provider_until_it_is_resumed() {
    // N5, worker failure mode 17
    let stage = Stage::with(watchful());
    stage.sim.configure(&serde_json::json!({"render_seconds": 3.0}));
    let id = stage.alice().generate("accepted");
    stage.accepted(1);
    let mut admin = stage.cluster.admin("postgres");
    admin.run(&format!("ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false"));
    let worker = stage.cluster.find_worker(DATABASE).unwrap();
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("it can be copied", secs(10), || {
        admin.try_rows(&format!("CREATE DATABASE copied TEMPLATE {DATABASE}")).is_ok()
    });
    admin.run(&format!("ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true"));
    let mut alice = stage.cluster.connect("alice", "copied");
    let second = alice.generate("in the copy");
    assert!(stage.cluster.held("copied").contains("this database is a copy"));
    stage.cluster.worker_looks("copied");
    assert_eq!((alice.job(&id).status.as_str(), alice.job(&second).status.as_str()), ("running", "queued"));
    assert_eq!(stage.sim.submits(), 1);
    // The old one keeps its job, so the copy must let go of it before it begins.
    stage.cluster.admin("copied").run(&format!(
        "DELETE FROM image_gen_internal.queue WHERE job_id = '{id}'; DELETE FROM image_gen.jobs WHERE id = '{id}'"
    ));
    stage.cluster.admin("copied").run("SELECT image_gen.resume()");
    alice.all_succeed(&[second]);
    let third = stage.alice().generate("wakes the first");
    stage.alice().all_succeed(&[id, third]);
    assert_eq!(stage.sim.submits(), 3);
}

#[test]
fn two_halves_of_different_versions_do_not_work() {
    // worker failure modes 13 and 14: a newer library with the old SQL, and the other way round.
    let stage = Stage::with(watchful());
    let mut alice = stage.alice();
    let mut admin = stage.admin();
    let version = admin.text("SELECT extversion FROM pg_extension WHERE extname = 'image_gen'");
    for other in ["0.0.9", "9.9.9"] {
        stage.sim.configure(&serde_json::json!({"render_seconds": 1.0}));
        let in_flight = alice.generate("in flight");
        let mut look = stage.admin();
        wait_until("it is accepted", secs(10), || {
            look.truth(&format!("SELECT count(*) = 1 FROM image_gen.attempts WHERE job_id = '{in_flight}' AND remote_id IS NOT NULL"))
        });
        admin.run(&format!("UPDATE pg_extension SET extversion = '{other}' WHERE extname = 'image_gen'"));
        let id = alice.generate("waits");
        // What was sent before is followed to its end, nothing new is begun.
        alice.all_succeed(&[in_flight]);
        stage.cluster.worker_looks(DATABASE);
        assert_eq!(alice.job(&id).status, "queued");
        assert_eq!(admin.sqlstate("SELECT image_gen.resume()"), "55000");
        // The same for a worker that starts so.
        admin.run(&format!("SELECT pg_terminate_backend({})", stage.worker()));
        assert!(stage.cluster.held(DATABASE).contains("ALTER EXTENSION image_gen UPDATE"));
        stage.cluster.worker_looks(DATABASE);
        assert_eq!(alice.job(&id).status, "queued");
        admin.run(&format!("UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'image_gen'"));
        alice.all_succeed(&[id]);
    }
    assert_eq!(stage.sim.submits(), 4);
    stage.check_money();
}

#[test]
fn an_unknown_version_is_refused_and_does_no_harm() {
    // worker failure mode 13
    let stage = Stage::start();
    let worker = stage.worker();
    let mut admin = stage.admin();
    assert_eq!(admin.sqlstate("ALTER EXTENSION image_gen UPDATE TO '9.9.9'"), "22023");
    admin.run("ALTER EXTENSION image_gen UPDATE");
    stage.sentinel();
    assert_eq!(stage.worker(), worker);
}

#[test]
fn restarts_and_crashes_need_no_word_of_an_administrator() {
    // N5, worker failure mode 21
    let stage = Stage::start();
    for mode in [Mode::Smart, Mode::Fast, Mode::Immediate] {
        stage.cluster.restart(mode);
        stage.sentinel();
        assert_eq!(stage.admin().text("SELECT fenced FROM image_gen.worker_status"), "", "{mode:?}");
    }
    let home = "SELECT id, allowed_by, note FROM image_gen_internal.instance";
    let before = stage.admin().rows(home);
    // Where nothing is held, resume() keeps the home and disturbs nobody.
    assert_eq!(stage.admin().rows("SELECT * FROM image_gen.resume('in vain')"), [["0", "0", "0"]]);
    let after = stage.admin().rows(home);
    assert_eq!((&after[0][0], after[0][2].as_str(), after.len()), (&before[0][0], "in vain", 1));
    stage.sentinel();
    assert!(!stage.cluster.log().contains("paid work is fenced off"));
}

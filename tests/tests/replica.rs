//! Physical standbys and logical subscribers hold the same jobs, and run none of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::stage::{DATABASE, check_money};
use image_gen_tests::unfinished::watchful;
use image_gen_tests::wait::secs;
use image_gen_tests::{Cluster, Copy, Mode, Stage, Unfinished, wait_until};

/// Everything that the primary has written so far is on the standby.
fn caught_up(primary: &Cluster, standby: &Cluster) {
    let written = primary.admin("postgres").text("SELECT pg_current_wal_flush_lsn()");
    let mut admin = standby.admin("postgres");
    wait_until("the standby has it", secs(20), || {
        admin.truth(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'"))
    });
}

#[test]
fn a_standby_shows_everything_and_calls_no_provider() {
    // worker failure mode 23, N5
    let stage = Stage::with(watchful());
    let standby = stage.cluster.base_backup(watchful(), Copy::Standby);
    let jobs = Unfinished::queue(&stage);
    let done = stage.alice().generate_with("prompt => 'done', model => 'preview'");
    stage.alice().all_succeed(std::slice::from_ref(&done));
    caught_up(&stage.cluster, &standby);

    let mut alice = standby.connect("alice", DATABASE);
    assert_eq!(alice.job(&done).status, "succeeded");
    assert_eq!(alice.text("SELECT count(*) FROM image_gen.recent()"), "5");
    for reading in [
        "SELECT * FROM image_gen.campaign_assets",
        "SELECT image_gen.asset_bytes(1)",
        "SELECT * FROM image_gen.credits()",
        "SELECT * FROM image_gen.explain('generate', '{\"prompt\": \"a red fox\"}')",
        "SELECT * FROM image_gen.choose_model(needs_text => true)",
        "SELECT * FROM image_gen.review_queue",
        "SELECT * FROM image_gen.provider_health",
        "SELECT * FROM image_gen.capabilities",
        "SELECT * FROM image_gen.queue_stats",
        "SELECT image_gen.lint_prompt('blood')",
        "SELECT image_gen.rewrite_prompt('blood')",
    ] {
        alice.run(reading);
    }
    let waited = alice.column(&format!("SELECT status FROM image_gen.wait('{{{}}}', '50 ms')", jobs.unsent));
    assert_eq!(waited, ["queued"]);
    let status = alice.rows("SELECT running, fenced FROM image_gen.worker_status");
    assert_eq!(status, [["f", "this server is a standby"]]);
    for writing in [
        "SELECT image_gen.generate('x')".to_owned(),
        format!("SELECT image_gen.edit('job:{done}', 'x')"),
        format!("SELECT image_gen.cancel('{}')", jobs.unsent),
    ] {
        assert_eq!(alice.sqlstate(&writing), "25006", "{writing}");
    }
    let error = alice.error("SELECT image_gen.generate('x')");
    assert_eq!(error.hint(), Some("Call it on the primary."), "{error:?}");
    assert_eq!(standby.admin(DATABASE).sqlstate("SELECT image_gen.resume()"), "25006");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'image_gen%'";
    assert_eq!(standby.admin(DATABASE).number(ours), 0);

    // Promoted: what was in flight goes on by its remote id, and is paid once.
    stage.cluster.stop(Mode::Immediate);
    standby.admin("postgres").run("SELECT pg_promote()");
    jobs.are_held(&standby, &stage.sim, "timeline 2, not 1");
    jobs.end_once(&standby, &stage.sim);
    assert_eq!(stage.sim.totals().all.submits, 4);
    // It stays at home.
    standby.restart(Mode::Fast);
    let mut alice = standby.connect("alice", DATABASE);
    let id = alice.generate("afterwards");
    alice.all_succeed(&[id]);
}

#[test]
fn an_old_primary_and_a_promoted_standby_pay_for_a_task_once() {
    // worker failure mode 24: the old one was not stopped, both follow the same task of the provider.
    let stage = Stage::with(watchful());
    let standby = stage.cluster.base_backup(watchful(), Copy::Standby);
    stage.sim.configure(&serde_json::json!({"render_seconds": 4.0}));
    let id = stage.alice().generate("in both");
    stage.accepted(1);
    caught_up(&stage.cluster, &standby);
    standby.admin("postgres").run("SELECT pg_promote()");
    standby.held(DATABASE);
    assert_eq!(standby.admin(DATABASE).rows("SELECT * FROM image_gen.resume()"), [["0", "1", "0"]]);
    for cluster in [&stage.cluster, &standby] {
        cluster.connect("alice", DATABASE).all_succeed(std::slice::from_ref(&id));
        check_money(cluster);
    }
    assert_eq!(stage.sim.totals().all.billed_calls, 1);
}

/// A publisher with jobs, and a subscriber that has the extension too.
fn subscribed(tables: &str) -> (Stage, Cluster) {
    let mut options = watchful();
    options.conf.push("wal_level = logical".into());
    let stage = Stage::with(options.clone());
    stage.admin().run(&format!("CREATE PUBLICATION jobs FOR TABLE {tables}"));
    let subscriber = Cluster::start(options);
    let mut admin = subscriber.admin("postgres");
    admin.run("CREATE ROLE alice LOGIN");
    admin.run(&format!("CREATE DATABASE {DATABASE}"));
    let mut admin = subscriber.admin(DATABASE);
    admin.run("CREATE EXTENSION image_gen");
    admin.run("GRANT image_gen_user TO alice");
    for (provider, url) in stage.sim.providers() {
        admin.run(&format!("UPDATE image_gen.providers SET base_url = '{url}' WHERE id = '{provider}'"));
    }
    admin.run("UPDATE image_gen.models SET typical_seconds = 0.2");
    let publisher = stage.cluster.socket_folder().display().to_string();
    admin.run(&format!(
        "CREATE SUBSCRIPTION jobs CONNECTION 'host={publisher} port=5432 user=postgres dbname={DATABASE}' PUBLICATION jobs"
    ));
    (stage, subscriber)
}

/// The subscriber has what the publisher has.
fn synchronised(stage: &Stage, subscriber: &Cluster, what: &str) {
    let (mut here, mut there) = (stage.admin(), subscriber.admin(DATABASE));
    wait_until("the subscriber has it", secs(30), || here.rows(what) == there.rows(what));
}

const QUEUE: &str =
    "SELECT seq, job_id, state, attempts, instance FROM image_gen_internal.queue ORDER BY seq";

#[test]
fn a_logical_subscriber_runs_no_jobs_of_its_publisher() {
    // N5, worker failure mode 27
    let (stage, subscriber) = subscribed("image_gen.jobs, image_gen_internal.queue");
    let worker = subscriber.worker_pid(DATABASE);
    let jobs = Unfinished::queue(&stage);
    synchronised(&stage, &subscriber, QUEUE);
    stage.sim.clear_rules();
    subscriber.worker_looks(DATABASE);
    // A new life takes over what its predecessor left; these are not its own.
    subscriber.admin("postgres").run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("it ends", secs(10), || !image_gen_tests::process::is_alive(worker));
    subscriber.worker_pid(DATABASE);
    subscriber.worker_looks(DATABASE);
    let mut alice = stage.alice();
    let mut ready: Vec<String> = (0..20).map(|n| alice.generate(&format!("ready {n}"))).collect();
    synchronised(&stage, &subscriber, "SELECT id, status FROM image_gen.jobs ORDER BY id");
    subscriber.worker_looks(DATABASE);
    assert_eq!(subscriber.admin(DATABASE).sqlstate("SELECT image_gen.resume()"), "55000");
    assert_eq!(subscriber.admin(DATABASE).number("SELECT count(*) FROM image_gen.attempts"), 0);

    // The publisher does them all, and the subscriber sees it.
    stage.cluster.restart(Mode::Fast);
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = NULL WHERE id = 'bfl'");
    stage.sim.configure(&serde_json::json!({"render_seconds": 0.2}));
    ready.extend([jobs.accepted, jobs.unsent, jobs.waiting]);
    stage.alice().all_succeed(&ready);
    assert_eq!(stage.alice().done(&jobs.unknown).status, "needs_review");
    assert_eq!(stage.sim.submits(), 24);
    synchronised(&stage, &subscriber, QUEUE);
    synchronised(&stage, &subscriber, "SELECT id, status, billed_cost FROM image_gen.jobs ORDER BY id");
    subscriber.worker_looks(DATABASE);
    assert_eq!(stage.sim.submits(), 24);
    stage.check_money();
}

#[test]
fn a_subscriber_can_take_the_place_of_its_publisher() {
    // N5, worker failure mode 27: the usual way to a new major version.
    let (stage, subscriber) = subscribed(
        "image_gen.jobs, image_gen_internal.queue, image_gen.attempts, image_gen_internal.job_dependencies",
    );
    let jobs = Unfinished::queue(&stage);
    synchronised(&stage, &subscriber, QUEUE);
    synchronised(&stage, &subscriber, "SELECT id, remote_id, status FROM image_gen.attempts ORDER BY 1");
    let mut admin = subscriber.admin(DATABASE);
    admin.run("ALTER SUBSCRIPTION jobs DISABLE");
    wait_until("nothing more is applied", secs(10), || {
        admin
            .number("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'logical replication worker'")
            == 0
    });
    stage.cluster.stop(Mode::Immediate);
    stage.sim.clear_rules();
    subscriber.worker_looks(DATABASE);
    assert_eq!(stage.sim.submits(), 2);
    // The numbers go on where the publisher's ended: logical replication leaves sequences behind.
    for (table, column) in [("jobs", "seq"), ("attempts", "id")] {
        admin.run(&format!(
            "SELECT setval(pg_get_serial_sequence('image_gen.{table}', '{column}'), max({column}) + 100) FROM image_gen.{table}"
        ));
    }
    jobs.end_once(&subscriber, &stage.sim);
}

#[test]
fn a_subscriber_without_the_calls_sends_nothing_that_may_have_been_sent() {
    // N5, worker failure mode 27
    let (stage, subscriber) = subscribed("image_gen.jobs, image_gen_internal.queue");
    let jobs = Unfinished::queue(&stage);
    synchronised(&stage, &subscriber, QUEUE);
    stage.cluster.stop(Mode::Immediate);
    stage.sim.clear_rules();
    let mut admin = subscriber.admin(DATABASE);
    admin.run("ALTER SUBSCRIPTION jobs DISABLE");
    admin.run(
        "SELECT setval(pg_get_serial_sequence('image_gen.jobs', 'seq'), max(seq) + 100) FROM image_gen.jobs",
    );
    admin.run("SELECT image_gen.resume()");
    let mut alice = subscriber.connect("alice", DATABASE);
    alice.all_succeed(std::slice::from_ref(&jobs.unsent));
    for id in [&jobs.accepted, &jobs.unknown] {
        assert_eq!(alice.done(id).error_code, "uncertain");
    }
    assert_eq!(alice.job(&jobs.waiting).status, "queued", "a person may still give it its image");
    assert_eq!(stage.sim.submits(), 3);
}

#[test]
fn a_publication_of_all_tables_holds_the_subscriber() {
    // N5: the publisher's home comes along.
    let (_stage, subscriber) =
        subscribed("image_gen_internal.instance, image_gen.jobs, image_gen_internal.queue");
    assert!(subscriber.held(DATABASE).contains("rows of a dump"), "two homes");
}

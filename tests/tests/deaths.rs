//! Jobs that are the death of the worker that takes them in hand: they are found, and cost their neighbours nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use image_gen_tests::cluster::Mode;
use image_gen_tests::matrix::field::Field;
use image_gen_tests::process::{is_alive, kill9};
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, eventually, wait_until};

const SMALL: &str = "model => 'bfl:flux-1.1-pro', width => 256, height => 256";

/// Queues a job that kills its worker at this place.
fn poisoned(field: &Field, place: &str, prompt: &str, arguments: &str) -> String {
    let mut alice = field.connect("alice");
    alice.run("BEGIN");
    let id = alice.generate_with(&format!("prompt => '{prompt}', {arguments}"));
    let named = match place {
        "compute" => field.connect("postgres").text("SELECT last_value FROM image_gen.jobs_seq_seq"),
        _ => id.clone(),
    };
    field.poison(place, &named);
    // The server may be down before it has answered.
    drop(alice.try_rows("COMMIT"));
    id
}

/// How often this was logged.
fn said(stage: &Stage, what: &str) -> usize {
    stage.cluster.log().lines().filter(|line| line.contains(what)).count()
}

/// A session of alice's, who waits until these jobs have ended, whatever happens to the server in between.
fn wait_through_crashes(field: &Field, ids: &[String]) {
    let list = ids.join("', '");
    let open = format!("SELECT count(*) FROM image_gen.jobs WHERE id IN ('{list}') AND finished_at IS NULL");
    wait_until("all have ended", secs(90), || {
        let session = field.stage.cluster.try_connect("postgres", DATABASE).ok();
        session.and_then(|mut s| s.try_rows(&open).ok()).is_some_and(|rows| rows[0][0] == "0")
    });
}

#[test]
fn a_job_that_kills_its_worker_is_left_to_a_person_after_three_deaths() {
    // Before it is sent, while it is asked for, when its image is there, in the transaction that writes it, and where
    // images are computed.
    for (place, sent) in [("begin", 0), ("poll", 1), ("finish", 1), ("flush_finish", 1), ("compute", 1)] {
        let field = Field::start(0.3, &[]);
        let mut alice = field.connect("alice");
        let before: Vec<String> =
            (0..6).map(|n| alice.generate_with(&format!("prompt => '[before {n}]', {SMALL}"))).collect();
        // A request without an answer when the server goes down is left to a person: these have theirs.
        field.stage.accepted(6);
        // Large images are computed on a thread of their own.
        let arguments = "model => 'fal:flux-schnell', width => 1024, height => 1024";
        let poison = poisoned(&field, place, "[poison]", arguments);
        if place == "begin" {
            // Those that begin in the same moment would be begun when it goes down.
            wait_until("two deaths", secs(60), || {
                said(&field.stage, &format!("died with job {poison} in hand (2 ")) == 1
            });
            alice = eventually("the server is up", secs(20), || {
                field.stage.cluster.try_connect("alice", DATABASE).ok()
            });
        }
        for n in 0..6 {
            // A crash may come first; one that comes between the commit and its answer leaves a job all the same.
            drop(alice.try_rows(&format!("SELECT image_gen.generate(prompt => '[after {n}]', {SMALL})")));
        }
        wait_through_crashes(&field, &before);
        let mut alice = field.connect("alice");
        let others = alice.column(&format!("SELECT id FROM image_gen.jobs WHERE id <> '{poison}'"));
        assert!(before.iter().all(|id| others.contains(id)), "{place}");
        wait_through_crashes(&field, &others);
        wait_through_crashes(&field, std::slice::from_ref(&poison));

        let mut alice = field.connect("alice");
        let job = alice.job(&poison);
        let end = (job.status.as_str(), job.error_code.as_str());
        assert_eq!(end, ("needs_review", "worker_died"), "{place}: {job:?}");
        assert_eq!(said(&field.stage, "was terminated by signal 6"), 3, "{place}");
        assert_eq!(said(&field.stage, &format!("died with job {poison}")), 3, "{place}");
        assert_eq!(field.sim().submits_of("[poison]").len(), sent, "{place}");
        if sent > 0 {
            assert_eq!((job.billed_cost.as_str(), job.cost_source.as_str()), ("", "unknown"), "{place}");
        } else {
            assert_eq!(job.attempts, "0", "{place}");
        }
        for id in &others {
            let other = alice.job(id);
            assert_eq!(other.status, "succeeded", "{place}: {other:?}");
        }
        assert_eq!(field.sim().submits(), (others.len() + sent) as u64, "{place}: nothing is sent twice");
        let mut admin = field.connect("postgres");
        assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0, "{place}");
        field.stage.check_money();
        // And life goes on.
        field.stage.sentinel();
    }
}

#[test]
fn after_two_deaths_a_job_runs_with_nothing_else_in_flight_and_is_cleared_by_its_success() {
    let field = Field::start(0.2, &[]);
    let innocent = poisoned(&field, "poll", "[innocent]", SMALL);
    wait_until("two deaths", secs(60), || {
        said(&field.stage, &format!("died with job {innocent} in hand (2 ")) == 1
    });
    // It was a coincidence. From now on it is held before it is asked for again, and others want to run beside it.
    field.hold("poll");
    field.cure("poll", &innocent);
    let mut alice = field.connect("alice");
    let others: Vec<String> =
        (0..5).map(|n| alice.generate_with(&format!("prompt => '[other {n}]', {SMALL}"))).collect();
    field.all_reach("poll", std::slice::from_ref(&innocent));
    let worker = field.stage.worker();
    let mut admin = field.connect("postgres");
    assert_eq!(
        admin.column("SELECT job_id FROM image_gen_internal.queue WHERE state = 'running'"),
        [innocent.as_str()]
    );
    // The worker turns, and takes nothing else.
    for _ in 0..2 {
        field.stage.cluster.worker_looks(DATABASE);
        assert_eq!(field.reached("poll"), [innocent.as_str()]);
        assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue WHERE state = 'running'"), 1);
    }
    field.let_go();
    alice.all_succeed(std::slice::from_ref(&innocent));
    alice.all_succeed(&others);
    assert_eq!(field.stage.worker(), worker);
    assert_eq!(field.sim().submits(), 6, "each was sent once");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
}

#[test]
fn a_job_is_not_to_blame_when_the_server_is_stopped_or_another_process_crashes() {
    let field = Field::start(0.1, &[]);
    let deaths =
        |field: &Field| field.connect("postgres").number("SELECT sum(deaths) FROM image_gen_internal.queue");
    let blame = |field: &Field, id: &String| {
        // The main thread has it in hand, in the middle of its transaction.
        wait_until("it is in hand", secs(30), || field.reached("flush_checkpoint").contains(id));
    };
    field.hold("flush_checkpoint");
    let mut alice = field.connect("alice");
    // ComfyUI can be asked what became of it, as often as we like.
    let id = alice
        .generate_with("prompt => '[in hand]', model => 'comfyui:sd-xl-base', width => 256, height => 256");
    wait_until("it is in hand", secs(30), || field.reached("flush_checkpoint").contains(&id));
    field.stage.cluster.stop(Mode::Immediate);
    // Before the next life can come there.
    field.forget_reached();
    field.stage.cluster.start_again();
    field.stage.worker();
    assert_eq!(deaths(&field), 0, "an immediate stop is not the job's fault");

    blame(&field, &id);
    let mut bystander = field.connect("bob");
    let pid = bystander.number("SELECT pg_backend_pid()") as i32;
    let worker = field.any_worker().expect("a worker");
    field.forget_reached();
    kill9(pid);
    wait_until("the worker ends", secs(30), || !is_alive(worker));
    field.connect("postgres");
    field.stage.worker();
    assert_eq!(deaths(&field), 0, "another process's crash is not the job's fault");

    blame(&field, &id);
    let worker = field.any_worker().expect("a worker");
    kill9(worker);
    wait_until("the worker ends", secs(30), || !is_alive(worker));
    field.connect("postgres");
    field.stage.worker();
    assert_eq!(deaths(&field), 1, "the worker's own death is");
    field.let_go();
    field.connect("alice").all_succeed(&[id]);
}

/// The record of what is in hand.
fn record(stage: &Stage) -> PathBuf {
    let database = stage.admin().text("SELECT oid FROM pg_database WHERE datname = current_database()");
    stage.cluster.data().join(format!("pg_stat_tmp/image_gen.{database}"))
}

fn kill_worker(stage: &Stage) {
    stage.cluster.crash(stage.worker());
}

#[test]
fn crashes_in_a_row_slow_the_worker_down_and_a_healthy_time_makes_up_for_them() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'"]);
    let pauses = || -> Vec<String> {
        let log = stage.cluster.log();
        let said =
            log.lines().filter_map(|line| line.split_once("it begins again in ")).map(|(_, s)| s.to_owned());
        said.collect()
    };
    stage.worker();
    let file = record(&stage);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&file).unwrap().len(), 16_384);
    kill_worker(&stage);
    kill_worker(&stage);
    kill_worker(&stage);
    stage.worker();
    assert_eq!(pauses(), ["1 s", "2 s", "4 s"], "each of them was a crash of the whole server");
    // Jobs queued meanwhile run.
    stage.sentinel();
    // A server that is told to stop has no crash to pause for, and forgets none.
    stage.cluster.restart(Mode::Fast);
    stage.worker();
    assert_eq!(pauses().len(), 3);
    // Five minutes of health, as the record says (words 6 and 7: began, last seen).
    let words = OpenOptions::new().read(true).write(true).open(&file).unwrap();
    let mut admin = stage.admin();
    wait_until("the worker sleeps", secs(20), || {
        admin.truth(
            "SELECT bool_and(a.wait_event = 'Extension' AND a.state = 'idle') FROM pg_stat_activity a JOIN image_gen.worker_status w ON w.pid = a.pid",
        )
    });
    let mut began = [0; 8];
    words.read_exact_at(&mut began, 48).unwrap();
    let worker = stage.worker();
    words.write_all_at(&(u64::from_ne_bytes(began) + 301_000).to_ne_bytes(), 56).unwrap();
    stage.cluster.crash(worker);
    stage.worker();
    assert_eq!(pauses(), ["1 s", "2 s", "4 s", "1 s"]);
}

#[test]
fn a_record_that_is_missing_or_none_does_no_harm() {
    let stage = Stage::start();
    stage.worker();
    let file = record(&stage);
    let folder = file.parent().unwrap().to_owned();
    for (what, spoil) in [
        ("missing", &(|| fs::remove_file(&file).unwrap()) as &dyn Fn()),
        ("short", &|| fs::write(&file, "imggen01").unwrap()),
        ("of other bytes", &|| fs::write(&file, vec![0xA5; 16_384]).unwrap()),
        ("a folder", &|| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }),
        ("a link", &|| {
            fs::remove_dir(&file).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        }),
        ("without its folder", &|| fs::remove_dir_all(&folder).unwrap()),
    ] {
        stage.cluster.stop(Mode::Immediate);
        spoil();
        stage.cluster.start_again();
        eventually(what, secs(20), || stage.cluster.find_worker(DATABASE));
        stage.sentinel();
        assert_eq!(
            stage.admin().number("SELECT count(*) FROM image_gen.jobs WHERE status <> 'succeeded'"),
            0,
            "{what}"
        );
    }
    assert_eq!(
        said(&stage, "no record of what is in hand"),
        2,
        "a folder in its place, and no folder to put it in"
    );
}

//! Many databases, few places, and a server that is run in other ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Instant;

use image_gen_tests::process::{is_alive, signal, try_signal};
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Cluster, Mode, Options, Stage, wait_until};
use rustix::process::Signal;
use serde_json::json;

const WORKERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'image_gen worker'";

#[test]
fn a_server_without_the_extension_is_left_in_peace() {
    // worker failure modes 9 and 17: no worker stays, no transaction id is used, and template0 is never tried.
    let cluster = Cluster::start(Options::default());
    let mut admin = cluster.admin("postgres");
    admin.run("CREATE DATABASE closed ALLOW_CONNECTIONS false");
    let launcher = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'image_gen launcher' AND wait_event_type = 'Extension'";
    wait_until("the launcher has looked", secs(10), || admin.truth(launcher) && admin.number(WORKERS) == 0);
    let before = admin.text("SELECT pg_snapshot_xmax(pg_current_snapshot())");
    for _ in 0..20 {
        cluster.reload();
    }
    cluster.restart(Mode::Fast);
    let mut admin = cluster.admin("postgres");
    wait_until("the launcher has looked", secs(10), || admin.truth(launcher) && admin.number(WORKERS) == 0);
    assert_eq!(admin.text("SELECT pg_snapshot_xmax(pg_current_snapshot())"), before);
    let log = cluster.log();
    let said: Vec<&str> =
        log.lines().filter(|l| l.contains("FATAL:  database") || l.contains("LOG:  image_gen")).collect();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn the_extension_can_come_and_go_quickly() {
    // worker failure modes 10 and 12
    let stage = Stage::start();
    let mut admin = stage.admin();
    for round in 0..15 {
        admin.run("DROP EXTENSION image_gen");
        admin.run("CREATE EXTENSION image_gen");
        if round % 3 == 0 {
            admin.run("BEGIN; DROP EXTENSION image_gen; CREATE EXTENSION image_gen; ROLLBACK");
        }
        admin.run("SELECT image_gen.generate('comes and goes', model => 'preview')");
    }
    stage.aim(DATABASE);
    stage.sentinel();
    let ours = stage.cluster.admin("postgres").number(WORKERS);
    assert_eq!(ours, 1);
    let log = stage.cluster.log();
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
}

/// Databases with the extension, as copies of one that has it.
fn many(stage: &Stage, n: usize) -> Vec<String> {
    let mut admin = stage.cluster.admin("postgres");
    admin.run("CREATE DATABASE many IS_TEMPLATE true");
    stage.cluster.admin("many").run("CREATE EXTENSION image_gen");
    stage.aim("many");
    let names: Vec<String> = (0..n).map(|n| format!("db{n}")).collect();
    for name in &names {
        wait_until("no worker is in the template", secs(10), || {
            admin.try_rows(&format!("CREATE DATABASE {name} TEMPLATE many")).is_ok()
        });
    }
    names
}

#[test]
fn databases_without_room_for_a_worker_keep_their_jobs() {
    // P29, worker failure modes 18 and 19: places for two workers besides the two launchers.
    let stage = Stage::conf(&["max_worker_processes = 4"]);
    stage.sentinel();
    let names = many(&stage, 5);
    let mut ids = vec![];
    for name in &names {
        let mut alice = stage.cluster.connect("alice", name);
        ids.push((0..3).map(|n| alice.generate(&format!("{name} {n}"))).collect::<Vec<_>>());
    }
    let mut admin = stage.cluster.admin("postgres");
    wait_until("the places are taken", secs(10), || admin.number(WORKERS) == 2);
    // One of them got the second place.
    let has_worker = |name: &String| stage.cluster.find_worker(name).is_some();
    wait_until("one of them works", secs(10), || names.iter().any(has_worker));
    let lucky = names.iter().position(has_worker).unwrap();
    stage.cluster.connect("alice", &names[lucky]).all_succeed(&ids[lucky]);
    assert_eq!(stage.sim.submits(), 4);
    let log = stage.cluster.log();
    let lines = log.lines().filter(|l| l.contains("max_worker_processes")).count();
    assert!((1..=names.len() + 2).contains(&lines), "said {lines} times: at most once for each database");
    // A place that becomes free is taken.
    admin.run(&format!("DROP DATABASE {} WITH (FORCE)", names[lucky]));
    wait_until("another one works", secs(60), || names.iter().any(has_worker));
    stage.cluster.configure("max_worker_processes = 20");
    stage.cluster.restart(Mode::Fast);
    for (n, name) in names.iter().enumerate().filter(|(n, _)| *n != lucky) {
        stage.cluster.connect("alice", name).all_succeed(&ids[n]);
    }
    assert_eq!(stage.sim.submits(), 1 + 3 * 5);
}

#[test]
fn the_sixty_fifth_database_waits_without_a_flood() {
    // P29, worker failure modes 8 and 19
    let stage = Stage::conf(&["max_worker_processes = 80", "image_gen.max_in_flight = 10"]);
    stage.sentinel();
    let names = many(&stage, 65);
    for name in &names {
        stage.cluster.connect("alice", name).generate_with("prompt => 'x', model => 'preview'");
    }
    let mut admin = stage.cluster.admin("postgres");
    wait_until("all places are taken", secs(60), || admin.number(WORKERS) >= 64);
    let left: Vec<&String> = names.iter().filter(|name| stage.cluster.find_worker(name).is_none()).collect();
    let mut waiting = stage.cluster.connect("alice", left[0]);
    let ids: Vec<String> =
        (0..30).map(|_| waiting.generate_with("prompt => 'y', model => 'preview'")).collect();
    let lines = stage.cluster.log().lines().filter(|l| l.contains("databases have a worker already")).count();
    assert!((1..=2 * left.len() + 6).contains(&lines), "{lines} lines");
    for name in names.iter().filter(|name| !left.contains(name)).take(left.len()) {
        admin.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
    waiting.all_succeed(&ids);
}

#[test]
fn other_databases_come_and_go_while_providers_work() {
    // worker failure modes 15 and 16
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 6.0}));
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..200).map(|n| alice.generate(&format!("in flight {n}"))).collect();
    stage.submitted(24);
    let mut admin = stage.cluster.admin("postgres");
    let start = Instant::now();
    admin.run("CREATE DATABASE other STRATEGY file_copy");
    admin.run("DROP DATABASE other");
    println!("CREATE and DROP DATABASE of another one: {:?}", start.elapsed());
    assert_eq!(stage.sim.totals().all.pictures, 0, "they wait for no render");
    let worker = stage.worker();
    for refused in [
        format!("DROP DATABASE {DATABASE}"),
        format!("ALTER DATABASE {DATABASE} RENAME TO x"),
        format!("CREATE DATABASE x TEMPLATE {DATABASE}"),
    ] {
        assert_eq!(admin.sqlstate(&refused), "55006", "{refused}");
    }
    assert_eq!(stage.worker(), worker);
    stage.sim.configure(&json!({"render_seconds": 0.1}));
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 200);
}

#[test]
fn signals_of_all_kinds_lose_nothing() {
    // worker failure modes 28 and 29
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.5}));
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..20).map(|n| alice.generate(&format!("stormy {n}"))).collect();
    stage.accepted(20);
    let worker = stage.worker();
    for n in 0..1000 {
        if n % 100 == 0 {
            stage.cluster.configure(&format!("image_gen.max_in_flight = {}", 50 + n));
            stage.cluster.reload();
        }
        signal(worker, if n % 2 == 0 { Signal::HUP } else { Signal::USR1 });
    }
    stage.sentinel();
    assert_eq!(stage.worker(), worker, "none of these ends it");
    signal(worker, Signal::HUP);
    signal(worker, Signal::TERM);
    // It may have ended by now.
    try_signal(worker, Signal::HUP);
    wait_until("it ends", secs(5), || !is_alive(worker));
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 21);
    stage.check_money();
}

#[test]
fn single_user_mode_queues_and_runs_nothing() {
    // worker failure mode 25
    let stage = Stage::start();
    stage.sentinel();
    stage.cluster.stop(Mode::Fast);
    let before = stage.sim.totals().all.requests;
    let said = stage.cluster.single_user(
        DATABASE,
        "SELECT image_gen.generate('alone')\nSELECT fenced FROM image_gen.worker_status\nSELECT status FROM image_gen.recent()\n",
    );
    assert!(said.contains("queued") && !said.contains("ERROR"), "{said}");
    assert_eq!(stage.sim.totals().all.requests, before);
    stage.cluster.start_again();
    let id = stage.admin().text("SELECT id FROM image_gen.jobs WHERE prompt = 'alone'");
    stage.admin().all_succeed(&[id]);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn a_database_of_another_encoding_is_refused_with_the_way_out() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    for encoding in ["LATIN1", "WIN1252", "SQL_ASCII", "EUC_JP", "KOI8R"] {
        let name = encoding.to_lowercase();
        admin.run(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        ));
        // A client of that encoding can print every word of it.
        for client in ["UTF8", encoding] {
            let mut there = stage.cluster.admin(&name);
            there.run(&format!("SET client_encoding = '{client}'"));
            let error = there.error("CREATE EXTENSION image_gen");
            assert_eq!(error.code().code(), "0A000", "{encoding}: {error:?}");
            assert!(error.message().contains(encoding), "{error:?}");
            assert!(error.hint().is_some_and(|hint| hint.contains("ENCODING 'UTF8'")), "{error:?}");
            assert_eq!(
                there.number(
                    "SELECT count(*) FROM pg_namespace WHERE nspname IN ('image_gen', 'image_gen_internal')"
                ),
                0
            );
        }
    }
    stage.sentinel();
}

//! Every commit is noticed: by the worker, and by those who wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

#[test]
fn no_wake_up_is_ever_lost() {
    // worker failure mode 32: each COMMIT falls between the worker's last look and its sleep, or anywhere else. Nothing but
    // the wake-up can find the job, because the rescan is an hour away, and nobody else wakes the worker of that database.
    let rounds: usize = std::env::var("IMAGE_GEN_WAKE_UPS").map_or(2_000, |n| n.parse().unwrap());
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'", "image_gen.breaker_failures = 0"]);
    // It ends at once, and costs nothing.
    stage.sim.rule(json!({"fault": {"kind": "status", "code": 400}}));
    let databases = ["wake_1", "wake_2"];
    for database in databases {
        stage.cluster.admin("postgres").run(&format!("CREATE DATABASE {database}"));
        stage.install(database);
        stage.cluster.worker_pid(database);
    }
    let stage = &stage;
    let slowest: Vec<Duration> = thread::scope(|scope| {
        let sessions: Vec<_> = databases
            .into_iter()
            .map(|database| {
                scope.spawn(move || {
                    let mut alice = stage.cluster.connect("alice", database);
                    let mut slowest = Duration::ZERO;
                    for n in 0..rounds {
                        let id = alice.generate(&format!("round {n}"));
                        let start = Instant::now();
                        let ended =
                            alice.text(&format!("SELECT status FROM image_gen.wait('{{{id}}}', '30 s')"));
                        assert_eq!(ended, "failed", "{database}, round {n}: nobody noticed it");
                        slowest = slowest.max(start.elapsed());
                    }
                    slowest
                })
            })
            .collect();
        sessions.into_iter().map(|s| s.join().unwrap()).collect()
    });
    println!("{} jobs one after the other, from COMMIT to the end: {slowest:?} at most", 2 * rounds);
    assert_eq!(stage.sim.submits(), 2 * rounds as u64);
    // A waiter that is not woken would look again after a minute; it is given half of one.
}

#[test]
fn one_statement_can_queue_thousands_from_a_trigger() {
    // worker failure mode 34
    let stage = Stage::conf(&["image_gen.breaker_failures = 0"]);
    stage.sim.rule(json!({"prompt_contains": "row", "fault": {"kind": "status", "code": 400}}));
    stage.admin().run("CREATE SCHEMA cms AUTHORIZATION alice");
    let mut alice = stage.alice();
    alice.run(
        "CREATE TABLE cms.article (n int);
         CREATE FUNCTION cms.picture() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM image_gen.generate('row ' || NEW.n); RETURN NULL; END $$;
         CREATE TRIGGER picture AFTER INSERT ON cms.article FOR EACH ROW EXECUTE FUNCTION cms.picture()",
    );
    let start = Instant::now();
    alice.run("INSERT INTO cms.article SELECT generate_series(1, 2000)");
    println!("2000 jobs from one statement: {:?}", start.elapsed());
    // Others are not held up by them for long.
    stage.sentinel();
    wait_until("all of them have ended", secs(60), || {
        alice.truth("SELECT count(*) = 2001 AND bool_and(finished_at IS NOT NULL) FROM image_gen.jobs")
    });
    assert_eq!(stage.sim.submits(), 2001);
    assert_eq!(stage.admin().number("SELECT count(*) FROM image_gen_internal.queue"), 0);
}

#[test]
fn a_parallel_plan_queues_each_job_once() {
    // worker failure mode 34: the functions are parallel unsafe, so that no parallel worker ever calls them; also from DO.
    let stage = Stage::start();
    let mut alice = stage.alice();
    stage.admin().run("CREATE TABLE public.wide AS SELECT n FROM generate_series(1, 10) n; GRANT SELECT ON public.wide TO alice");
    let parallel = if alice.truth("SELECT current_setting('server_version_num')::int >= 160000") {
        "debug_parallel_query"
    } else {
        "force_parallel_mode"
    };
    alice.run(&format!(
        "SET {parallel} = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"
    ));
    let ids = alice.column("SELECT g.id FROM public.wide w, LATERAL image_gen.generate('wide ' || w.n) g");
    alice.run("DO $$ BEGIN PERFORM image_gen.generate('wide, from DO'); END $$");
    alice.all_succeed(&ids);
    stage.sentinel();
    assert_eq!((ids.len(), stage.sim.submits_of("wide").len()), (10, 11));
    let careless = stage.admin().column(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND provolatile = 'v' AND proparallel <> 'u'",
    );
    assert!(careless.is_empty(), "{careless:?}");
}

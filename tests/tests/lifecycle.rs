//! The extension and its worker come, go and change while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use image_gen_tests::process::is_alive;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, eventually, wait_until};
use serde_json::json;

/// Queues a job in this database as alice, and waits for its image.
fn works(stage: &Stage, database: &str) {
    let mut alice = stage.cluster.connect("alice", database);
    let id = alice.generate("it works");
    let start = Instant::now();
    let end = wait_until(&format!("a job of {database} ends"), secs(20), || {
        !matches!(alice.job(&id).status.as_str(), "queued" | "running")
    });
    assert_eq!(alice.job(&id).status, "succeeded", "after {end:?}, started {start:?}");
}

#[test]
fn an_aborted_create_extension_leaves_nothing() {
    // worker failure mode 10
    let stage = Stage::start();
    stage.admin().run("CREATE DATABASE other");
    let mut admin = stage.cluster.admin("other");
    admin.run("BEGIN; CREATE EXTENSION image_gen; ROLLBACK");
    admin.run("BEGIN; CREATE EXTENSION image_gen; DROP EXTENSION image_gen; COMMIT");
    stage.sentinel();
    assert_eq!(stage.cluster.find_worker("other"), None);
    stage.install("other");
    works(&stage, "other");
    works(&stage, DATABASE);
}

#[test]
fn dropping_the_extension_does_not_wait_for_providers() {
    // worker failure mode 12
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let mut alice = stage.alice();
    for n in 0..10 {
        alice.generate(&format!("in flight {n}"));
    }
    stage.accepted(10);
    let worker = stage.worker();
    let start = Instant::now();
    stage.admin().run("DROP EXTENSION image_gen");
    println!("DROP EXTENSION with ten in flight: {:?}", start.elapsed());
    assert_eq!(stage.sim.totals().all.pictures, 0, "it waits for no render");
    wait_until("the worker ends", secs(15), || !is_alive(worker));
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    stage.install(DATABASE);
    works(&stage, DATABASE);
    let log = stage.cluster.log();
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
}

#[test]
fn the_extension_can_be_dropped_and_created_in_a_row() {
    // worker failure mode 10: a new oid, before the old worker has looked.
    let stage = Stage::start();
    for _ in 0..3 {
        stage.worker();
        stage.admin().run("DROP EXTENSION image_gen");
        stage.install(DATABASE);
        works(&stage, DATABASE);
    }
}

#[test]
fn a_drop_that_is_rolled_back_changes_nothing() {
    // worker failure mode 12
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let worker = stage.worker();
    let mut alice = stage.alice();
    let id = alice.generate("in flight");
    stage.accepted(1);
    let mut admin = stage.admin();
    admin.run("BEGIN; DROP EXTENSION image_gen");
    // Long enough for the job to be ready, and for the worker to run into the lock.
    sleep(Duration::from_millis(1500));
    admin.run("ROLLBACK");
    alice.all_succeed(&[id]);
    works(&stage, DATABASE);
    assert_eq!(stage.worker(), worker);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn without_preloading_it_works_and_says_so() {
    let stage = Stage::with(Options { preload: false, ..Options::default() });
    let mut admin = stage.admin();
    wait_until("the worker runs", secs(10), || {
        admin.truth("SELECT running AND mode = 'dynamic' FROM image_gen.worker_status")
    });
    let worker = stage.worker();
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..4).map(|n| alice.generate(&format!("dynamic {n}"))).collect();
    alice.all_succeed(&ids);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.16"));

    admin.run("CREATE DATABASE other");
    let mut other = stage.cluster.admin("other");
    other.run("CREATE EXTENSION image_gen");
    let notices = other.notices();
    assert!(notices.iter().any(|n| n.contains("shared_preload_libraries")), "{notices:?}");
    stage.aim("other");
    works(&stage, "other");

    // The postmaster restarts a worker that was killed; cancel works without shared memory, too.
    stage.sim.configure(&json!({"render_seconds": 4.0}));
    let id = alice.generate("survives");
    let canceled = alice.generate("canceled");
    stage.accepted(6);
    alice.run(&format!("SELECT image_gen.cancel('{canceled}')"));
    wait_until("it is canceled", secs(2), || alice.job(&canceled).status == "canceled");
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("the worker ends", secs(2), || !is_alive(worker));
    alice.all_succeed(&[id]);
    assert_eq!(stage.sim.submits_of("survives").len(), 1);
}

#[test]
fn each_database_has_its_own_worker() {
    let stage = Stage::start();
    stage.admin().run("CREATE DATABASE other");
    stage.install("other");
    assert_ne!(stage.worker(), stage.cluster.worker_pid("other"));
    works(&stage, DATABASE);
    works(&stage, "other");
    for database in [DATABASE, "other"] {
        assert_eq!(stage.cluster.admin(database).number("SELECT count(*) FROM image_gen.jobs"), 1);
    }
    // After a restart the launcher finds both, and leaves alone those without the extension.
    stage.cluster.restart(image_gen_tests::Mode::Fast);
    assert_ne!(stage.worker(), stage.cluster.worker_pid("other"));
    assert_eq!(stage.cluster.find_worker("postgres"), None);
    works(&stage, "other");
    works(&stage, DATABASE);
}

#[test]
fn a_copied_database_gets_a_worker_with_its_first_job() {
    // worker failure mode 17, with the extension in template1.
    let stage = Stage::start();
    stage.install("template1");
    let mut admin = stage.cluster.admin("postgres");
    // Where our own session in the template is in its way, it fails after five seconds.
    admin.run("CREATE DATABASE copied");
    works(&stage, "copied");
    works(&stage, DATABASE);
}

#[test]
fn a_schema_of_another_owner_is_refused_and_does_no_harm() {
    // worker failure modes 11 and 63
    let stage = Stage::start();
    stage.admin().run("CREATE DATABASE other");
    stage.admin().run("GRANT CREATE ON DATABASE other TO mallory");
    let mut admin = stage.cluster.admin("other");
    for (make, by) in [
        ("CREATE SCHEMA image_gen CREATE TABLE jobs (id text)", "postgres"),
        ("CREATE SCHEMA image_gen", "mallory"),
        (
            "CREATE SCHEMA image_gen; CREATE FUNCTION image_gen.wake(bigint) RETURNS void LANGUAGE sql AS ''",
            "mallory",
        ),
        ("CREATE SCHEMA image_gen; GRANT CREATE ON SCHEMA image_gen TO mallory", "postgres"),
        ("CREATE SCHEMA image_gen; CREATE TYPE image_gen.job AS ENUM ('x')", "postgres"),
        ("CREATE SCHEMA image_gen; CREATE DOMAIN image_gen.text AS pg_catalog.text", "postgres"),
        (
            "CREATE SCHEMA image_gen; CREATE OPERATOR image_gen.= (LEFTARG = text, RIGHTARG = name, FUNCTION = texteqname)",
            "postgres",
        ),
        ("CREATE SCHEMA image_gen; CREATE OPERATOR FAMILY image_gen.f USING btree", "postgres"),
        (
            "CREATE SCHEMA image_gen; CREATE OPERATOR CLASS image_gen.c FOR TYPE int4 USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int4)",
            "postgres",
        ),
        ("CREATE SCHEMA image_gen; CREATE COLLATION image_gen.\"C\" (locale = 'C')", "postgres"),
        (
            "CREATE SCHEMA image_gen; CREATE CONVERSION image_gen.v FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
            "postgres",
        ),
        ("CREATE SCHEMA image_gen; CREATE TEXT SEARCH CONFIGURATION image_gen.s (COPY = simple)", "postgres"),
        ("CREATE SCHEMA image_gen; CREATE SEQUENCE image_gen.jobs_seq_seq", "postgres"),
        (
            "CREATE SCHEMA image_gen; CREATE AGGREGATE image_gen.sum(text) (SFUNC = textcat, STYPE = text)",
            "postgres",
        ),
        (
            "CREATE SCHEMA image_gen; ALTER DEFAULT PRIVILEGES IN SCHEMA image_gen GRANT ALL ON TABLES TO mallory",
            "postgres",
        ),
        ("CREATE SCHEMA image_gen; CREATE EXTENSION citext SCHEMA image_gen", "postgres"),
    ] {
        stage.cluster.connect(by, "other").run(make);
        let error = admin.error("CREATE EXTENSION image_gen");
        assert_eq!(error.code().code(), "42P06", "{make}: {error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        // The launcher looks at every database after a restart of its own.
        stage.sentinel();
        assert_eq!(stage.cluster.find_worker("other"), None);
        admin.run("DROP SCHEMA image_gen CASCADE");
    }
    // The schema of the machinery is made by the extension, or not at all: even an empty one is refused.
    stage.cluster.connect("mallory", "other").run("CREATE SCHEMA image_gen_internal");
    assert_eq!(admin.error("CREATE EXTENSION image_gen").code().code(), "42P06");
    admin.run("DROP SCHEMA image_gen_internal CASCADE");
    // A role that another one has prepared: it would be what the worker runs as.
    admin.run("CREATE SCHEMA image_gen");
    for (prepare, undo) in [
        ("ALTER ROLE image_gen_worker LOGIN", "ALTER ROLE image_gen_worker NOLOGIN"),
        ("ALTER ROLE image_gen_worker CREATEROLE", "ALTER ROLE image_gen_worker NOCREATEROLE"),
        ("GRANT image_gen_worker TO mallory", "REVOKE image_gen_worker FROM mallory"),
        ("GRANT pg_read_all_data TO image_gen_worker", "REVOKE pg_read_all_data FROM image_gen_worker"),
    ] {
        admin.run(prepare);
        let error = admin.error("CREATE EXTENSION image_gen");
        assert_eq!(error.code().code(), "0P000", "{prepare}: {error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        admin.run(undo);
    }
    stage.install("other");
    works(&stage, "other");
    assert!(!stage.cluster.log().contains("image_gen: the worker cannot"), "no crash loop");
}

#[test]
fn changed_settings_hold_without_a_restart() {
    // worker failure mode 28
    let stage = Stage::with(Options { allowed_hosts: String::new(), ..Options::default() });
    let worker = stage.worker();
    let mut alice = stage.alice();
    let job = {
        let id = alice.generate("not allowed yet");
        alice.done(&id)
    };
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "not_supported"), "{job:?}");
    assert_eq!(stage.sim.totals().all.requests, 0);

    stage.cluster.configure("image_gen.allowed_provider_hosts = '127.0.0.1:*'\nimage_gen.max_in_flight = 2");
    stage.cluster.reload();
    let mut admin = stage.admin();
    wait_until("the new cap is shown", secs(5), || {
        admin.text("SELECT in_flight_cap FROM image_gen.worker_status") == "2"
    });
    stage.sim.configure(&json!({"render_seconds": 0.5}));
    let ids: Vec<String> = (0..6).map(|n| alice.generate(&format!("allowed {n}"))).collect();
    alice.all_succeed(&ids);
    assert_eq!((stage.sim.submits(), stage.sim.totals().all.peak_in_flight), (6, 2));

    // What makes no sense is refused, the old value stays.
    stage.cluster.configure("image_gen.max_in_flight = -5");
    stage.cluster.reload();
    stage.sentinel();
    assert_eq!(admin.text("SELECT in_flight_cap FROM image_gen.worker_status"), "2");
    assert_eq!(stage.worker(), worker);
}

#[test]
fn a_rotated_key_is_used_without_a_restart() {
    // worker failure modes 28 and 65
    let folder = std::env::temp_dir().join(format!("image_gen_keys_{}", std::process::id()));
    let _ = std::fs::remove_file(&folder);
    let write = |text: &str, mode| {
        let fresh = folder.with_extension("new");
        image_gen_tests::cluster::write_private(&fresh, text, mode);
        std::fs::rename(&fresh, &folder).unwrap();
    };
    write("# keys\nBFL_API_KEY=first-secret\n\nOTHER_ONE=x\n", 0o600);
    let setting = format!("image_gen.secrets_file = '{}'", folder.display());
    let stage = Stage::conf(&[&setting]);
    stage.sim.configure(&json!({"keys": ["first-secret"], "render_seconds": 2.0}));
    let worker = stage.worker();
    let mut alice = stage.alice();
    let mut admin = stage.admin();
    assert_eq!(
        admin.text("SELECT configured_keys FROM image_gen.worker_status"),
        "{BFL_API_KEY,OPENAI_API_KEY,OTHER_ONE}"
    );
    let id = alice.generate("with the first key");
    stage.accepted(1);

    // The file wins over the environment; the running job goes on with the new key, which the provider takes, too.
    stage.sim.configure(&json!({"keys": ["second-secret"]}));
    write("BFL_API_KEY=second-secret\nROTATED=x\n", 0o600);
    stage.cluster.reload();
    let configured = "SELECT configured_keys FROM image_gen.worker_status";
    wait_until("the new file is read", secs(5), || admin.text(configured).contains("ROTATED"));
    let second = alice.generate("with the second key");
    alice.all_succeed(&[id, second]);

    assert_eq!((stage.worker(), stage.sim.submits()), (worker, 2));
    let log = stage.cluster.log();
    for secret in ["first-secret", "second-secret"] {
        assert!(!log.contains(secret), "{secret} is in the server's log");
    }
    std::fs::remove_file(&folder).unwrap();
}

#[test]
fn a_thousand_reloads_do_no_harm() {
    // worker failure mode 29
    let stage = Stage::start();
    let worker = stage.worker();
    let mut alice = stage.alice();
    // A provider whose key is wrong, until the keys are read again.
    stage.sim.rule(json!({"provider": "openai", "times": 2, "fault": {"kind": "status", "code": 401}}));
    for n in 0..2 {
        let id = alice.generate_with(&format!("prompt => 'refused {n}', model => 'openai:gpt-image-2'"));
        assert_eq!(alice.done(&id).error_code, "auth");
    }
    let said = |what: &str| stage.cluster.log().lines().filter(|l| l.contains(what)).count();
    assert_eq!(said("provider openai is down"), 1);
    let ids: Vec<String> = (0..10).map(|n| alice.generate(&format!("reloaded {n}"))).collect();
    for _ in 0..1000 {
        image_gen_tests::process::signal(worker, rustix::process::Signal::HUP);
    }
    alice.all_succeed(&ids);
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, 12));
    wait_until("its state has changed", secs(20), || said("provider openai is up") > 0);
    // Hundreds of reloads later, one by one.
    for _ in 0..20 {
        image_gen_tests::process::signal(worker, rustix::process::Signal::HUP);
        stage.sentinel();
    }
    assert_eq!(said("provider openai is up"), 1, "a change of state is logged, and nothing else");
}

#[test]
fn hostile_settings_of_database_and_roles_do_not_reach_the_worker() {
    // worker failure modes 35 and 36
    let stage = Stage::start();
    let mut admin = stage.cluster.admin("postgres");
    admin.run("CREATE SCHEMA evil");
    for (whose, setting) in [
        ("DATABASE shop", "default_transaction_read_only = on"),
        ("DATABASE shop", "default_transaction_isolation = 'serializable'"),
        ("DATABASE shop", "statement_timeout = '20ms'"),
        ("DATABASE shop", "lock_timeout = '1ms'"),
        ("DATABASE shop", "search_path = 'evil'"),
        ("DATABASE shop", "row_security = off"),
        ("DATABASE shop", "bytea_output = 'escape'"),
        ("DATABASE shop", "DateStyle = 'German'"),
        ("DATABASE shop", "session_replication_role = 'replica'"),
        ("ROLE image_gen_worker", "default_transaction_read_only = on"),
        ("ROLE postgres IN DATABASE shop", "role = 'bob'"),
        ("ROLE ALL", "idle_in_transaction_session_timeout = '1ms'"),
        ("ROLE ALL", "synchronous_commit = off"),
    ] {
        admin.run(&format!("ALTER {whose} SET {setting}"));
    }
    let worker = stage.worker();
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("the worker ends", secs(2), || !is_alive(worker));
    stage.worker();
    let mut alice = stage.alice();
    for own in ["transaction_read_only = off", "transaction_isolation = 'read committed'"] {
        alice.run(&format!("SET default_{own}"));
    }
    alice.run("SET statement_timeout = 0; SET lock_timeout = 0; SET row_security = on; SET idle_in_transaction_session_timeout = 0");
    let ids = vec![alice.generate("one"), alice.generate_with("prompt => 'two', model => 'gpt-image'")];
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn a_database_can_be_dropped_from_under_the_worker() {
    // worker failure mode 15
    let stage = Stage::start();
    let mut admin = stage.cluster.admin("postgres");
    for round in 0..2 {
        admin.run("CREATE DATABASE doomed");
        stage.install("doomed");
        works(&stage, "doomed");
        let worker = stage.cluster.worker_pid("doomed");
        stage.sim.configure(&json!({"render_seconds": 5.0}));
        let mut alice = stage.cluster.connect("alice", "doomed");
        alice.generate("in flight");
        stage.submitted(2 * (round + 1));
        drop(alice);
        let start = Instant::now();
        admin.run("DROP DATABASE doomed WITH (FORCE)");
        println!("DROP DATABASE WITH (FORCE): {:?}", start.elapsed());
        assert!(!is_alive(worker));
        stage.sim.configure(&json!({"render_seconds": 0.2}));
    }
    // Nobody keeps on trying to connect to it: looked at for longer than the first pauses of a restart loop.
    sleep(secs(8));
    let fatal =
        stage.cluster.log().lines().filter(|l| l.contains("FATAL") && l.contains("does not exist")).count();
    assert!(fatal <= 2, "{fatal} starts in databases that are gone");
    works(&stage, DATABASE);
}

#[test]
fn a_database_with_a_worker_refuses_to_be_renamed() {
    // worker failure mode 15: plain DROP and RENAME fail cleanly while the worker is connected, as documented.
    let stage = Stage::start();
    stage.worker();
    let mut admin = stage.cluster.admin("postgres");
    let error = admin.error("ALTER DATABASE shop RENAME TO store");
    assert_eq!(error.code().code(), "55006");
    works(&stage, DATABASE);
}

#[test]
fn jobs_are_queued_although_there_is_no_room_for_a_worker() {
    // worker failure mode 18: the launcher and the logical replication launcher take both places.
    let stage = Stage::conf(&["max_worker_processes = 2"]);
    let mut alice = stage.alice();
    let id = alice.generate("patience");
    sleep(secs(3));
    assert_eq!(alice.job(&id).status, "queued");
    assert_eq!(alice.text("SELECT running FROM image_gen.worker_status"), "f");
    let lines = stage.cluster.log().lines().filter(|l| l.contains("max_worker_processes")).count();
    assert!((1..=2).contains(&lines), "said {lines} times, for two databases: once for each");
    stage.cluster.configure("max_worker_processes = 8");
    stage.cluster.restart(image_gen_tests::Mode::Fast);
    let mut alice =
        eventually("alice is let in", secs(5), || stage.cluster.try_connect("alice", DATABASE).ok());
    alice.all_succeed(&[id]);
    assert_eq!(stage.sim.submits(), 1);
}

#[test]
fn a_failing_launcher_comes_back() {
    let stage = Stage::start();
    let worker = stage.worker();
    let mut admin = stage.cluster.admin("postgres");
    admin.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'image_gen launcher'",
    );
    works(&stage, DATABASE);
    wait_until("the launcher is back", secs(10), || {
        admin.truth("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'image_gen launcher'")
    });
    // It finds the worker at work, and starts a new one when that ends.
    works(&stage, DATABASE);
    assert_eq!(stage.worker(), worker);
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    works(&stage, DATABASE);
}

//! What is wrong with an installation is named, with what to do about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use image_gen_tests::process::signal;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Cluster, Options, Session, Stage, wait_until};
use rustix::process::Signal;
use serde_json::json;

/// The lines that are not ok, as name, status, detail and fix.
fn findings(session: &mut Session, call: &str) -> Vec<[String; 4]> {
    let rows = session.rows(&format!(
        "SELECT name, status, detail, fix FROM image_gen.{call} WHERE status <> 'ok' OR fix IS NOT NULL"
    ));
    rows.into_iter().map(|row| row.try_into().expect("four columns")).collect()
}

/// Fails unless each of these is found: its name, its status, and words of its detail and of its fix.
fn names_each(found: &[[String; 4]], planted: &[(&str, &str, &str, &str)]) {
    for (name, status, detail, fix) in planted {
        let line = found.iter().find(|line| line[0] == *name && line[2].contains(detail));
        let line = line.unwrap_or_else(|| panic!("{name}: {detail} is not named: {found:#?}"));
        assert_eq!(line[1], *status, "{line:?}");
        assert!(line[3].contains(fix), "{line:?} does not say: {fix}");
    }
}

/// Nothing that is a key, and no other than printable ASCII, is in what is said.
fn is_for_people(found: &[[String; 4]]) {
    for text in found.iter().flatten() {
        assert!(!text.contains("test-bfl-key") && !text.contains("test-openai-key"), "{text}");
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
    }
}

#[test]
fn what_is_in_order_has_nothing_to_be_done() {
    let stage = Stage::with(Options {
        fsync: true,
        ..Options::all_keys(&["max_worker_processes = 16", "image_gen.keep_bytes = all"])
    });
    stage.sentinel();
    let mut admin = stage.admin();
    // What is said of the catalogue depends on the day.
    let mut found = findings(&mut admin, "doctor(thorough => true)");
    found.retain(|line| !["catalogue", "retired models"].contains(&line[0].as_str()));
    assert_eq!(found, [[""; 4]; 0]);
    let lines = admin.rows("SELECT name, detail, fix FROM image_gen.doctor(true)");
    assert!(lines.len() >= 30, "{lines:?}");
    assert!(lines.iter().all(|line| !line[1].is_empty()), "{lines:?}");
    // It asks no provider: what it says of them is what the worker has seen.
    let before = stage.sim.totals().all.requests;
    admin.run("SELECT * FROM image_gen.doctor(true)");
    assert_eq!(stage.sim.totals().all.requests, before);
    // For administrators.
    assert_eq!(stage.alice().sqlstate("SELECT * FROM image_gen.doctor()"), "42501");
}

#[test]
fn what_a_server_is_started_with_and_should_not_be_is_named() {
    let folder = std::env::temp_dir().join(format!("image_gen_doctor_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let secrets = folder.join("secrets");
    fs::write(&secrets, "BFL_API_KEY=test-bfl-key\n").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    let file = format!("image_gen.secrets_file = '{}'", secrets.display());
    let cluster = Cluster::start(Options::conf(&[
        &file,
        "wal_level = minimal",
        "max_wal_senders = 0",
        "full_page_writes = off",
        "max_worker_processes = 4",
        "image_gen.asset_name = '{job}.{ext}'",
        "image_gen.mispelt = 1",
        "image_gen.on_uncertain = retry",
        "image_gen.prompt_rewriter = 'nowhere.soften'",
        "image_gen.embedding_function = 'nowhere.embed'",
        "image_gen.preview_when_unconfigured = on",
        "image_gen.pause_points = '/nonexistent'",
        "image_gen.default_model = 'no-such-model'",
        "image_gen.provider_preferences = '{\"preferred\": [\"nobody\"]}'",
    ]));
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    cluster.worker_pid("shop");
    let found = findings(&mut admin, "doctor()");
    names_each(
        &found,
        &[
            ("keys", "failure", "others may read it (mode 644)", "0600"),
            ("wal_level", "warning", "wal_level is minimal", "wal_level = replica"),
            ("durability", "failure", "fsync is off", "fsync = on"),
            ("worker processes", "warning", "max_worker_processes = 4", "Raise max_worker_processes"),
            ("setting image_gen.asset_name", "warning", "does nothing", "image_gen.asset_store"),
            ("setting image_gen.mispelt", "warning", "no such setting", "correct or remove"),
            ("setting image_gen.on_uncertain", "warning", "paid twice", "review"),
            ("setting image_gen.prompt_rewriter", "failure", "nowhere.soften", "Make the function"),
            ("setting image_gen.embedding_function", "failure", "nowhere.embed", "Make the function"),
            ("setting image_gen.preview_when_unconfigured", "warning", "drawn preview", "off"),
            ("pause points", "failure", "image_gen.pause_points is set", "Remove image_gen.pause_points"),
            ("setting image_gen.default_model", "failure", "no-such-model", "image_gen.models"),
            ("setting image_gen.provider_preferences", "failure", "nobody", "preferred"),
            ("providers", "failure", "no provider", "BFL_API_KEY"),
        ],
    );
    is_for_people(&found);
    // What is put right is gone.
    cluster.configure("fsync = on\nfull_page_writes = on\nimage_gen.default_model = 'flux-1.1-pro'");
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&secrets, Some(fs::metadata(cluster.data()).unwrap().uid()), None).unwrap();
    cluster.reload();
    wait_until("what is put right is gone", secs(20), || {
        let found = findings(&mut admin, "doctor()");
        let gone = ["keys", "durability", "setting image_gen.default_model", "providers"];
        !found.iter().any(|line| gone.contains(&line[0].as_str()))
    });
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_providers_and_people_leave_undone_is_named() {
    let stage = Stage::with(Options::all_keys(&[
        "image_gen.breaker_failures = 1",
        "image_gen.asset_store = 'file:///nonexistent/folder'",
    ]));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    admin.run(
        "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES
           ('inside', 'openai', 'http://10.0.0.1/v1', 'NONE'), ('odd', 'no-such-kind', NULL, NULL), ('gateway', 'openai', 'https://images.example.com/v1', 'GATEWAY_API_KEY');
         CREATE ROLE cms; GRANT image_gen_user TO cms; CREATE SCHEMA cms AUTHORIZATION cms;
         CREATE FUNCTION cms.publish(event jsonb) RETURNS void LANGUAGE sql AS 'SELECT'; ALTER FUNCTION cms.publish OWNER TO cms;
         SELECT image_gen.on_finish('cms.publish(jsonb)');
         INSERT INTO image_gen.webhooks (url, key_name) VALUES ('https://hooks.example.com/x', 'HOOK_SECRET');
         CREATE TABLE articles (id bigint PRIMARY KEY, title text, url text);
         GRANT SELECT, UPDATE ON articles TO cms;
         SELECT image_gen.attach('articles', prompt => 'title', into_column => 'url', run_as => 'cms');
         ALTER TABLE articles DROP COLUMN url CASCADE;
         DROP FUNCTION cms.publish;
         SELECT image_gen.set_budget('campaign', 'spent', 0);",
    );
    let made = alice.generate_with("prompt => 'made', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(std::slice::from_ref(&made));
    stage.sim.rule(json!({"provider": "stability", "fault": {"kind": "status", "code": 401}}));
    stage.sim.rule(json!({"provider": "openai", "phase": "submit", "fault": {"kind": "drop_after_accept"}}));
    let refused = alice.generate_with("prompt => 'refused', model => 'stability:stable-image-core'");
    let lost = alice.generate_with("prompt => 'lost', model => 'openai:gpt-image-2'");
    alice.all_done(&[refused, lost.clone()]);
    admin.run(&format!(
        "UPDATE image_gen.models SET ends_on = current_date + 10 WHERE name = 'flux-1.1-pro' AND provider_kind = 'bfl';
         DELETE FROM image_gen.prices WHERE provider_kind = 'bfl' AND model = 'flux-1.1-pro';
         UPDATE image_gen.jobs SET finished_at = finished_at - interval '2 days', created_at = created_at - interval '2 days' WHERE id = '{lost}';
         INSERT INTO image_gen.provider_balances (provider, amount, checked_at) VALUES ('fal', 0, now());
         UPDATE image_gen.campaign_assets SET billed_cost = 99, known_cost = 99 WHERE job_id = '{made}'"
    ));
    wait_until("the copy fails", secs(20), || {
        admin.truth("SELECT count(*) > 0 FROM image_gen.copies WHERE last_error IS NOT NULL")
    });
    let found = findings(&mut admin, "doctor(thorough => true)");
    names_each(
        &found,
        &[
            ("provider inside", "failure", "10.0.0.1", "image_gen.allowed_provider_hosts"),
            ("provider odd", "failure", "no-such-kind", "provider_kinds"),
            ("provider gateway", "warning", "GATEWAY_API_KEY", "image_gen.secrets_file"),
            ("provider stability", "failure", "refused the key", "STABILITY_API_KEY"),
            ("provider fal", "failure", "account is empty", "Top it up"),
            ("prices", "warning", "bfl:flux-1.1-pro", "INSERT INTO image_gen.prices"),
            ("retired models", "warning", "flux-1.1-pro ends on", "Name another model"),
            ("reviews", "warning", "1 jobs wait for a person", "resolve_review()"),
            ("unknown costs", "warning", "1 calls of unknown cost", "settle_cost"),
            ("budgets", "warning", "campaign:spent", "grant_credits()"),
            ("store", "failure", "cannot be copied", "image_gen.asset_store"),
            ("webhook 1", "failure", "HOOK_SECRET", "whsec_"),
            ("callback cms.publish(jsonb)", "failure", "no such function", "drop_on_finish"),
            ("attached table public.articles", "failure", "are gone", "detach"),
            ("books", "failure", "differ", "check_budgets()"),
        ],
    );
    is_for_people(&found);
}

#[test]
fn a_database_that_may_not_work_is_named() {
    let stage = Stage::start();
    stage.sentinel();
    let mut admin = stage.admin();
    admin.run(
        "BEGIN;
         UPDATE pg_extension SET extversion = '9.9.9' WHERE extname = 'image_gen';
         UPDATE image_gen.jobs SET created_at = now() + interval '1 hour'",
    );
    let found = findings(&mut admin, "doctor()");
    names_each(
        &found,
        &[
            ("versions", "failure", "extension of version 9.9.9", "ALTER EXTENSION image_gen UPDATE"),
            ("fence", "failure", "9.9.9", "image_gen.resume"),
            ("clock", "failure", "the clock is behind", "NTP"),
        ],
    );
    admin.run("ROLLBACK");
}

#[test]
fn without_preloading_it_says_what_is_missing() {
    let cluster = Cluster::start(Options { preload: false, ..Options::default() });
    let mut admin = cluster.admin("postgres");
    for sql in [
        "CREATE DATABASE shop",
        "ALTER DATABASE shop SET image_gen.max_in_flight = 5",
        "ALTER DATABASE shop SET image_gen.nothing = 5",
    ] {
        admin.run(sql);
    }
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    wait_until("the worker runs", secs(20), || {
        admin.text("SELECT status FROM image_gen.check_worker()") == "ok"
    });
    let found = findings(&mut admin, "doctor()");
    names_each(
        &found,
        &[
            ("preloading", "warning", "not in shared_preload_libraries", "shared_preload_libraries"),
            (
                "setting image_gen.max_in_flight",
                "warning",
                "only postgresql.conf",
                "ALTER DATABASE shop RESET",
            ),
            ("setting image_gen.nothing", "warning", "no such setting", "ALTER DATABASE shop RESET"),
        ],
    );
    cluster.restart(image_gen_tests::Mode::Fast);
    let mut admin = cluster.admin("shop");
    let found = findings(&mut admin, "doctor()");
    names_each(&found, &[("worker", "failure", "not preloaded", "start_worker()")]);
    admin.run("SELECT image_gen.start_worker()");
    wait_until("the worker runs", secs(20), || {
        admin.text("SELECT status FROM image_gen.check_worker()") == "ok"
    });
}

#[test]
fn a_worker_that_hangs_is_seen() {
    let stage = Stage::start();
    let (worker, mut alice) = (stage.worker(), stage.alice());
    let mut checked = |call: &str| {
        alice.rows(&format!("SELECT status, pid, answered_in < '10 s', fix FROM image_gen.{call}"))
    };
    assert_eq!(checked("check_worker()"), [["ok", worker.to_string().as_str(), "t", ""]]);
    // Asleep it answers at once, however long it would have slept.
    assert_eq!(checked("check_worker('3 s')")[0][0], "ok");
    signal(worker, Signal::STOP);
    let hung = checked("check_worker('200 ms')").remove(0);
    signal(worker, Signal::CONT);
    assert_eq!(&hung[..3], ["failure", worker.to_string().as_str(), ""]);
    assert!(hung[3].contains("pg_terminate_backend"), "{hung:?}");
    assert_eq!(checked("check_worker()")[0][0], "ok");
    assert_eq!(alice.sqlstate("SELECT image_gen.check_worker('2 minutes')"), "22023");
    // A fenced worker is well, too.
    let mut admin = stage.admin();
    admin.run("INSERT INTO image_gen_internal.instance (system, timeline, database, files, allowed_by) VALUES ('x', 1, 1, 'x', 'x')");
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    stage.cluster.held(DATABASE);
    assert_eq!(admin.text("SELECT status FROM image_gen.check_worker()"), "ok");
}

#[test]
fn a_missing_worker_is_seen() {
    let stage = Stage::conf(&["max_worker_processes = 3"]);
    stage.worker();
    // The place of the worker is taken as soon as it is free.
    let mut admin = stage.cluster.admin("postgres");
    admin.run("CREATE DATABASE other");
    stage.cluster.admin("other").run("CREATE EXTENSION image_gen");
    let mut other = stage.cluster.admin("other");
    let row = other.rows("SELECT status, detail, fix FROM image_gen.check_worker()").remove(0);
    assert_eq!(row[0], "failure");
    assert!(
        row[1].contains("max_worker_processes") && row[2].contains("Raise max_worker_processes"),
        "{row:?}"
    );
}

#[test]
fn a_provider_is_asked_whether_it_takes_its_key() {
    let stage = Stage::with(Options::all_keys(&[]));
    let mut admin = stage.admin();
    let before = stage.sim.totals();
    let mut asked = |id: &str| {
        let sql = format!(
            "SELECT status, standing, http_status, fix FROM image_gen.check_provider('{id}', '10 s')"
        );
        admin.rows(&sql).remove(0)
    };
    for id in ["bfl", "openai", "stability", "fal", "replicate", "openrouter", "google", "a1111", "comfyui"] {
        assert_eq!(asked(id), ["ok", "ready", "200", ""], "{id}");
    }
    assert_eq!(asked("ideogram"), ["ok", "reachable", "404", ""]);
    assert_eq!(asked("preview")[1], "nothing_to_ask");
    // Nothing was bought.
    let after = stage.sim.totals();
    assert_eq!((after.all.submits, after.all.billed), (before.all.submits, before.all.billed));
    assert!(after.all.requests >= before.all.requests + 10);
    // With keys that the providers do not know.
    stage.sim.configure(&json!({"keys": ["another"]}));
    for id in ["bfl", "openai", "stability", "fal", "replicate", "openrouter", "google"] {
        let row = asked(id);
        assert_eq!((row[0].as_str(), row[1].as_str()), ("failure", "unauthorised"), "{id}: {row:?}");
        assert!(row[3].contains("secrets_file"), "{row:?}");
    }
    stage.sim.configure(&json!({"keys": []}));
    stage.sim.rule(json!({"provider": "openai", "fault": {"kind": "status", "code": 503}}));
    assert_eq!(asked("openai")[..2], ["warning", "unwell"]);
    stage.sim.clear_rules();
    stage.sim.cut_off(true);
    assert_eq!(asked("bfl")[..2], ["failure", "unreachable"]);
    stage.sim.cut_off(false);
    // No further than a job may go.
    let mut admin = stage.admin();
    admin.run(
        "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('inside', 'openai', 'https://10.0.0.1/v1', 'NONE'), ('other', 'openai', NULL, 'OTHER_KEY')",
    );
    let row = admin.rows("SELECT standing, detail FROM image_gen.check_provider('inside')").remove(0);
    assert!(row[0] == "unreachable" && row[1].contains("allowed_provider_hosts"), "{row:?}");
    assert_eq!(admin.text("SELECT standing FROM image_gen.check_provider('other')"), "no_key");
    for (call, code) in
        [("'nobody'", "42704"), ("NULL", "22004"), ("'bfl', '2 min'", "22023"), ("'bfl', NULL", "22023")]
    {
        assert_eq!(admin.sqlstate(&format!("SELECT image_gen.check_provider({call})")), code, "{call}");
    }
    assert_eq!(stage.alice().sqlstate("SELECT image_gen.check_provider('bfl')"), "42501");
}

#[test]
fn a_question_to_a_provider_can_be_canceled() {
    let stage = Stage::start();
    stage.sim.rule(json!({"provider": "bfl", "fault": {"kind": "hang"}}));
    let mut admin = stage.admin();
    admin.run("SET statement_timeout = '300 ms'");
    assert_eq!(admin.sqlstate("SELECT image_gen.check_provider('bfl', '60 s')"), "57014");
    // And ends by itself.
    admin.run("SET statement_timeout = 0");
    assert_eq!(admin.text("SELECT standing FROM image_gen.check_provider('bfl', '300 ms')"), "unreachable");
}

//! Roles that share a database: what one does, or prepares, does not reach the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use image_gen_tests::sim::micros;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Options, Stage};
use serde_json::json;

#[test]
fn every_function_has_its_own_search_path_and_none_is_for_public() {
    // worker failure mode 62
    let stage = Stage::start();
    let mut admin = stage.admin();
    let ours = "FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)";
    let careless = admin.column(&format!(
        "SELECT p.oid::regprocedure::text {ours} AND l.lanname <> 'c' AND p.prosqlbody IS NULL
            AND NOT coalesce(p.proconfig, '{{}}') @> '{{\"search_path=pg_catalog, pg_temp\"}}'"
    ));
    // (Those with a parsed body found their names when they were made.)
    assert!(careless.is_empty(), "{careless:?}");
    let public = admin.column(&format!(
        "SELECT p.oid::regprocedure::text {ours} AND has_function_privilege('mallory', p.oid, 'EXECUTE')"
    ));
    assert!(public.is_empty(), "{public:?}");
    // Whoever owns what runs with more rights than its caller has is no ordinary user.
    let definers =
        admin.column(&format!("SELECT p.proowner::regrole::text {ours} AND p.prosecdef GROUP BY 1"));
    assert_eq!(definers, ["postgres"]);
    // Nobody can put something of his own where these functions look.
    for role in ["alice", "mallory", "image_gen_admin", "image_gen_worker"] {
        assert!(
            !admin.truth(&format!("SELECT has_schema_privilege('{role}', 'image_gen', 'CREATE')")),
            "{role}"
        );
    }
    // Every name in a body is found through pg_catalog or says its schema: with an empty database around them, and a
    // temporary table of each of our names, they still do what they did.
    let mut alice = stage.alice();
    for table in admin.column("SELECT DISTINCT relname FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND relkind IN ('r', 'v')") {
        alice.run(&format!("CREATE TEMP TABLE {table} (trap int)"));
    }
    alice.run("SET search_path = pg_temp, public");
    let id = alice.generate("among traps");
    alice.all_succeed(&[id]);
    alice.run("SELECT * FROM image_gen.recent(); SELECT * FROM image_gen.credits(); SELECT * FROM image_gen.worker_status");
}

/// Every file of the install script.
fn sql_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sql_files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_install_script_takes_over_nothing_that_was_there() {
    // worker failure mode 63: what somebody else has made before is an error, not something to build upon.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    let mut files = 0;
    // What was released is held by a test of its own, and is never edited.
    for path in sql_files(&folder).into_iter().filter(|path| !path.starts_with(folder.join("released"))) {
        let text = std::fs::read_to_string(&path).unwrap();
        // Whatever its names and operators are found through, it is nobody's but the system's; at its end stands where the
        // generated functions behind it are made.
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("--")).unwrap();
        assert_eq!(first, "SET LOCAL search_path = pg_catalog, pg_temp;", "{}", path.display());
        if !path.ends_with("grants.sql") {
            let last = text.lines().last().unwrap();
            assert_eq!(last, "SET LOCAL search_path = image_gen, pg_temp;", "{}", path.display());
        }
        let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap()).collect();
        for line in code {
            let line = line.to_uppercase();
            assert!(!line.contains("CREATE OR REPLACE"), "{}: {line}", path.display());
            let creates = line.contains("CREATE ") || line.contains("ADD COLUMN");
            assert!(!(creates && line.contains("IF NOT EXISTS")), "{}: {line}", path.display());
        }
        files += 1;
    }
    assert!(files > 40);
}

#[test]
fn users_can_hang_nothing_on_our_tables() {
    // worker failure modes 68 and 69: the worker writes to these tables only, and runs no code of theirs.
    let stage = Stage::start();
    stage.admin().run("CREATE SCHEMA evil AUTHORIZATION alice; GRANT image_gen_admin TO bob; CREATE SCHEMA worse AUTHORIZATION bob");
    let tables = stage.admin().column(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND relkind = 'r' ORDER BY 1",
    );
    assert!(tables.len() > 12, "{tables:?}");
    for (user, schema) in [("alice", "evil"), ("bob", "worse")] {
        let mut session = stage.connect(user);
        session.run(&format!(
            "CREATE FUNCTION {schema}.hook() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE FUNCTION {schema}.yes(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$"
        ));
        for table in &tables {
            for attempt in [
                format!(
                    "CREATE TRIGGER hook BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.hook()"
                ),
                format!("CREATE RULE hook AS ON INSERT TO {table} DO INSTEAD NOTHING"),
                format!("CREATE INDEX hook ON {table} (({schema}.yes('x')))"),
                format!("CREATE POLICY hook ON {table} USING ({schema}.yes('x'))"),
                format!("ALTER TABLE {table} ADD CHECK ({schema}.yes('x'))"),
                format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
                format!("CREATE TABLE {schema}.child () INHERITS ({table})"),
                format!("ALTER TABLE {table} OWNER TO {user}"),
                format!("TRUNCATE {table}"),
                format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"),
            ] {
                // An administrator may lock what he may edit, as he may lock its rows; never what jobs are made of.
                let hot = matches!(
                    table.as_str(),
                    "image_gen_internal.queue"
                        | "image_gen.jobs"
                        | "image_gen.attempts"
                        | "image_gen.campaign_assets"
                        | "image_gen_internal.job_dependencies"
                        | "image_gen_internal.worker_state"
                        | "image_gen_internal.blobs"
                        | "image_gen_internal.locks"
                );
                if attempt.starts_with("LOCK") && user == "bob" && !hot {
                    continue;
                }
                session.run("BEGIN");
                assert_eq!(session.sqlstate(&attempt), "42501", "{user}: {attempt}");
                session.run("ROLLBACK");
            }
        }
    }
    stage.sentinel();
}

#[test]
fn a_role_that_bypasses_row_security_forges_no_owner() {
    // worker failure mode 67: to see rows is not to write them, and who asks is never an argument.
    let stage = Stage::start();
    stage.admin().run("CREATE ROLE auditor LOGIN BYPASSRLS; GRANT image_gen_user TO auditor");
    let mut alice = stage.alice();
    let of_alice = alice.generate("hers");
    alice.all_succeed(std::slice::from_ref(&of_alice));
    let mut auditor = stage.connect("auditor");
    assert_eq!(auditor.number("SELECT count(*) FROM image_gen.jobs"), 1, "it sees what it was made to see");
    for forged in [
        "INSERT INTO image_gen.jobs (id, operation, task, prompt, model, seed, owner) VALUES ('gen_00000000000000000000000000', 'generate', 'generate', 'x', 'flux-1.1-pro', 1, 'alice')",
        "INSERT INTO image_gen_internal.queue (seq, job_id) SELECT seq, id FROM image_gen.jobs",
        "UPDATE image_gen.jobs SET owner = 'auditor'",
        "UPDATE image_gen.campaign_assets SET owner = 'auditor', billed_cost = 0",
        "DELETE FROM image_gen.attempts",
        "SELECT image_gen_internal.resolve_inputs('{1}', '{image}', '{job:x}', '{NULL}', 'alice')",
    ] {
        assert_eq!(auditor.sqlstate(forged), "42501", "{forged}");
    }
    // The functions ask who calls, not what row security shows him.
    assert_eq!(auditor.sqlstate(&format!("SELECT * FROM image_gen.cancel('{of_alice}')")), "42704");
    let own = auditor.generate("its own");
    assert_eq!(auditor.text(&format!("SELECT owner FROM image_gen.jobs WHERE id = '{own}'")), "auditor");
    auditor.all_succeed(&[own]);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn a_role_has_no_more_jobs_than_it_may() {
    // worker failure mode 70
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    stage.admin().run("ALTER ROLE alice SET image_gen.max_queued_per_role = 5");
    let mut alice = stage.alice();
    let mut bob = stage.bob();
    let ids: Vec<String> = (0..5).map(|n| alice.generate(&format!("flood {n}"))).collect();
    let error = alice.error("SELECT image_gen.generate('one too many')");
    assert_eq!(error.code().code(), "53400");
    assert!(
        error.message().contains("has 5 jobs")
            && error.hint().is_some_and(|h| h.contains("max_queued_per_role")),
        "{error:?}"
    );
    // In one statement too, and then none of them is queued.
    assert_eq!(
        alice.sqlstate("SELECT image_gen.variate('asset:1', n => 3)"),
        "42704",
        "a wrong image is said first"
    );
    // Whoever repeats a call gets his job; who has no limit is not concerned; nobody lifts his own.
    bob.generate("of bob");
    assert_eq!(alice.sqlstate("SET image_gen.max_queued_per_role = 0"), "42501");
    alice.run(&format!("SELECT * FROM image_gen.cancel('{}')", ids[4]));
    alice.all_succeed(&ids[..4]);
    alice.all_done(&ids[4..]);
    let more =
        alice.column("SELECT g.id FROM generate_series(1, 5) n, LATERAL image_gen.generate('again ' || n) g");
    assert_eq!(more.len(), 5);
    assert_eq!(
        alice.sqlstate(
            "SELECT g.id FROM generate_series(1, 9) n, LATERAL image_gen.generate('all or none ' || n) g"
        ),
        "53400"
    );
    // Of a batch it is known before any is queued.
    let shots = "SELECT jsonb_agg(jsonb_build_object('shot', n, 'prompt', 'all or none')) FROM generate_series(1, 9) n";
    let error = alice.error(&format!("SELECT image_gen.generate_batch(({shots}))"));
    assert_eq!(error.code().code(), "53400");
    assert!(error.message().contains("more, not 9") || error.message().contains("no more"), "{error:?}");
    assert_eq!(
        alice.number(
            "SELECT count(*) FROM image_gen.jobs WHERE prompt LIKE 'all or none%' OR prompt = 'one too many'"
        ),
        0
    );
    alice.all_succeed(&more);
    assert!(
        stage.sim.submits_of("all or none").is_empty() && stage.sim.submits_of("one too many").is_empty()
    );
    assert!(micros(&stage.sim.billed()) >= 40_000 * 10);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_queued() {
    // The bounds of a request, each at its own door.
    let stage = Stage::start();
    let mut alice = stage.alice();
    for (call, code) in [
        ("generate(repeat('x', 10000001))", "22023"),
        ("generate('x', negative_prompt => repeat('x', 10000001))", "22023"),
        ("generate('x', metadata => jsonb_build_object('x', repeat('x', 70000)))", "54000"),
        ("generate('x', idempotency_key => repeat('x', 256))", "22023"),
        ("generate('x', n => 100000)", "22023"),
        ("generate('x', width => 1000000, height => 1000000)", "22023"),
        ("generate('x', reference_image => 'data:image/png;base64,' || repeat('A', 40000000))", "22023"),
        ("generate('x', reference_image => 'https://example.com/' || repeat('x', 100000))", "22023"),
        ("generate('x', options => jsonb_build_object('x', repeat('x', 10000000)))", "22023"),
    ] {
        let error = alice.error(&format!("SELECT image_gen.{call}"));
        assert_eq!(error.code().code(), code, "{call}: {error:?}");
        assert!(error.message().len() < 2_000 && error.hint().is_some(), "{call}: {error:?}");
    }
    assert_eq!((alice.number("SELECT count(*) FROM image_gen.jobs"), stage.sim.submits()), (0, 0));
}

#[test]
fn no_advisory_lock_that_a_role_holds_stops_anything() {
    // Without shared memory the worker's singleton is a lock, and pruning and recounts keep each other out by locks.
    for preload in [false, true] {
        let stage = Stage::with(Options { preload, ..Options::default() });
        stage.sentinel();
        let mut admin = stage.admin();
        let extension = admin.text("SELECT oid FROM pg_extension WHERE extname = 'image_gen'");
        let mut mallory = stage.connect("mallory");
        // Every one that has ever had a meaning here, in both key spaces.
        for second in ["0", "1", "2", "3", &extension] {
            mallory.run(&format!(
                "SELECT pg_advisory_lock(1768774510, {second}), pg_advisory_lock((1768774510::bigint << 32) | {second}),
                        pg_advisory_lock({second}, 1768774510), pg_advisory_lock({second}, {extension}), pg_advisory_lock({second})"
            ));
        }
        let before = stage.worker();
        admin.run(&format!("SELECT pg_terminate_backend({before})"));
        wait_until("the next worker", secs(30), || {
            stage.cluster.find_worker(DATABASE).is_some_and(|pid| pid != before)
        });
        stage.sentinel();
        admin.run("SET statement_timeout = '20s'");
        for call in [
            "set_budget('workspace', NULL, 5)",
            "recount_budgets()",
            "set_budget('workspace', NULL, NULL)",
            "prune('1 day')",
        ] {
            admin.run(&format!("SELECT * FROM image_gen.{call}"));
        }
        // The rows that are locked instead are nobody's to lock.
        for role in ["mallory", "alice", "image_gen_admin", "image_gen_worker"] {
            for right in ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] {
                assert!(
                    !admin.truth(&format!(
                        "SELECT has_table_privilege('{role}', 'image_gen_internal.locks', '{right}')"
                    )),
                    "{role}: {right}"
                );
            }
        }
    }
}

#[test]
fn a_second_worker_of_a_database_ends_and_the_first_one_stays() {
    let stage = Stage::with(Options { preload: false, ..Options::default() });
    stage.sentinel();
    let worker = stage.worker();
    let mut admin = stage.admin();
    let processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'image_gen worker'";
    admin.run("SELECT image_gen_internal.start_worker()");
    wait_until("the second one comes", secs(20), || admin.number(processes) == 2);
    wait_until("the second one goes", secs(40), || admin.number(processes) == 1);
    assert_eq!(stage.worker(), worker);
    // What tells them apart outlives a transaction that fails.
    assert_eq!(admin.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 3"), 1);
    stage.sentinel();
}

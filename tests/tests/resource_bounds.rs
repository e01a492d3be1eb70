//! What the machine pays for a job: index reads, disk, memory. Bounds are generous; a change of order of magnitude is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::process::memory_kb;
use image_gen_tests::wait::secs;
use image_gen_tests::{Cluster, Options, Session, Stage, eventually, wait_until};
use serde_json::json;

/// Bounds of what one image of 200 that are queued together may cost, from queueing to its asset: for each, and for each
/// time that the worker writes down what it did. What it does cost stands in docs/performance.md.
const CALLS: (f64, f64) = (4.0, 12.0);
const ROW_WRITES: (f64, f64) = (10.1, 2.5);
const WAL_BYTES: (f64, f64) = (7_000.0, 2_000.0);

/// A stage whose jobs end at once at their provider, at no cost.
fn stage() -> Stage {
    let stage = Stage::conf(&[
        "image_gen.breaker_failures = 0",
        "image_gen.rescan_interval = '1h'",
        "autovacuum = off",
    ]);
    stage.sim.rule(json!({"prompt_contains": "quick", "fault": {"kind": "status", "code": 400}}));
    stage.worker();
    stage
}

/// Queues so many jobs in transactions of fifty, and waits for their end.
fn run(alice: &mut Session, jobs: usize) {
    for _ in 0..jobs / 50 {
        let ids = alice
            .column("SELECT g.id FROM generate_series(1, 50) n, LATERAL image_gen.generate('quick ' || n) g");
        alice.all_done(&ids[49..]);
    }
    wait_until("all have ended", secs(30), || {
        alice.truth("SELECT bool_and(finished_at IS NOT NULL) FROM image_gen.jobs")
    });
}

#[test]
fn claiming_reads_the_index_whatever_is_dead_or_never_analyzed() {
    // worker failure mode 39
    let cluster = Cluster::start(Options {
        preload: false,
        ..Options::conf(&["max_worker_processes = 0", "autovacuum = off", "max_wal_size = '2GB'"])
    });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    admin.run("SELECT image_gen.generate('one', model => 'flux-1.1-pro')");
    // A million rows that were claimed and have ended, and a hundred thousand that wait; nobody has analyzed or vacuumed.
    admin.run(
        "INSERT INTO image_gen_internal.queue (seq, job_id, owner, instance)
         SELECT n, 'gone', 'image_gen_user', (SELECT image_gen_internal.instance_id()) FROM generate_series(1000, 1001000) n;
         DELETE FROM image_gen_internal.queue WHERE job_id = 'gone';
         INSERT INTO image_gen.jobs (id, operation, task, prompt, model, seed, owner)
         SELECT 'gen_0' || lpad(n::text, 25, '0'), 'generate', 'generate', 'x', 'flux-1.1-pro', 1, 'image_gen_user' FROM generate_series(1, 100000) n;
         INSERT INTO image_gen_internal.queue (seq, job_id, owner, instance)
         SELECT seq, id, owner, (SELECT image_gen_internal.instance_id()) FROM image_gen.jobs WHERE id LIKE 'gen_0%' ON CONFLICT DO NOTHING",
    );
    admin.run("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = 'notice'");
    // PL/pgSQL may change its mind after five calls.
    let turns = ", ARRAY['image_gen_user'::regrole::oid], '{0}', '{3}'";
    for (call, index, mark) in [
        (
            "SELECT count(*) FROM image_gen_internal.claim(1000000, 500, 0)",
            "using queue_ready on queue",
            "q.seq > after_seq AND q.ready_at",
        ),
        (
            &format!("SELECT count(*) FROM image_gen_internal.claim(1000000, 500, 0{turns})"),
            "using queue_tenants on queue",
            "unnest(owners, afters, counts)",
        ),
        (
            "SELECT count(*) FROM image_gen_internal.waiting_tenants()",
            "using queue_tenants on queue",
            "WITH RECURSIVE tenants",
        ),
    ] {
        let before = admin.notices().len();
        for _ in 0..8 {
            admin.run("BEGIN");
            assert!(admin.number(call) > 0, "{call}");
            admin.run("ROLLBACK");
        }
        let plans: Vec<String> =
            admin.notices().split_off(before).into_iter().filter(|n| n.contains(mark)).collect();
        assert_eq!(plans.len(), 8, "{call}");
        for plan in plans {
            assert!(plan.contains(index), "{plan}");
            assert!(!plan.contains("Seq Scan on queue") && !plan.contains("Seq Scan on jobs"), "{plan}");
        }
    }
}

#[test]
fn a_claim_calls_no_function_once_a_job() {
    let cluster = Cluster::start(Options {
        preload: false,
        ..Options::conf(&["max_worker_processes = 0", "track_functions = 'all'"])
    });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    for model in ["flux-1.1-pro", "gpt-image-2"] {
        admin.run(&format!(
            "SELECT g.id FROM generate_series(1, 50) n, LATERAL image_gen.generate('cup ' || n, model => '{model}') g"
        ));
    }
    // A session of its own: its counts are those of this claim alone.
    let mut worker = cluster.admin("shop");
    worker.run("BEGIN");
    assert_eq!(worker.number("SELECT count(*) FROM image_gen_internal.claim(1000000, 500, 0)"), 100);
    // (Those in an index of jobs are PostgreSQL's own under other names.)
    let calls = worker.rows(
        "SELECT funcname, calls FROM pg_stat_xact_user_functions
          WHERE schemaname LIKE 'image_gen%' AND funcname NOT IN ('metadata_entry', 'abbreviate') ORDER BY calls DESC",
    );
    println!("function calls of a claim of 100 jobs of 2 models: {calls:?}");
    // The worker knows the catalogue: what a claim ships is the jobs.
    let all: i64 = calls.iter().map(|row| row[1].parse::<i64>().unwrap()).sum();
    assert!(all < 10, "{all} function calls for one claim: {calls:?}");
    worker.run("ROLLBACK");
}

/// How many statements the server runs for one of a client, those within functions included.
fn statements(session: &mut Session, sql: &str) -> usize {
    let before = session.notices().len();
    session.run(sql);
    let all = session.notices().split_off(before);
    let count = all.iter().filter(|notice| notice.contains("Query Text:")).count();
    println!("{count} statements: {sql}");
    count
}

#[test]
fn queueing_runs_one_statement_a_job_and_one_for_a_whole_batch() {
    // With the library's shared memory, and no worker in it.
    let cluster = Cluster::start(Options::conf(&["max_worker_processes = 0"]));
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    admin.run("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = 'notice'");
    let one = |more: &str| {
        format!(
            "SELECT image_gen.generate('a cup', 'flux-1.1-pro', metadata => '{{\"campaign\": \"aurora\"}}'{more})"
        )
    };
    let many = "SELECT g.id FROM generate_series(1, 100) n, LATERAL image_gen.generate('cup ' || n, 'flux-1.1-pro') g";
    let batch = |shot: &str, more: &str| {
        format!(
            "SELECT id FROM image_gen.generate_batch((SELECT jsonb_agg(jsonb_build_object('shot', 's' || n, {shot})) FROM generate_series(1, 100) n),
               '{{\"model\": \"flux-1.1-pro\", \"metadata\": {{\"campaign\": \"aurora\"}}}}'{more})"
        )
    };
    // The session's first call reads the catalogue, and where it is.
    admin.run(&one(""));
    // The client's own; how long the model's images take, asked once a second; the job and its place in the queue.
    assert!((2..=3).contains(&statements(&mut admin, &one(""))));
    assert!((1 + 100..=2 + 100).contains(&statements(&mut admin, many)));
    assert!((2..=3).contains(&statements(&mut admin, &batch("'prompt', 'cup ' || n", ""))));
    // And the look for keys.
    assert!((3..=4).contains(&statements(&mut admin, &one(", idempotency_key => 'k'"))));
    assert_eq!(statements(&mut admin, &one(", idempotency_key => 'k'")), 2);
    let keyed = batch("'prompt', 'cup ' || n", ", idempotency_key => 'b'");
    assert!((3..=4).contains(&statements(&mut admin, &keyed)));
    assert_eq!(statements(&mut admin, &keyed), 2);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 2 + 100 + 100 + 1 + 100);
    // Terms that are the same for all are looked at once.
    let terms = "'prompt', 'x', 'deadline', 'infinity', 'max_cost', 1, 'allow_unpriced', true, 'options', '{\"output_format\": \"png\"}'::jsonb";
    assert!(statements(&mut admin, &batch(terms, "")) <= 12);
    // Of jobs that wait for another one, each is looked up, within one statement.
    let other = admin.generate("another");
    let needs = format!("'prompt', 'x', 'reference_image', 'job:{other}', 'model', 'flux-2-pro'");
    assert!(statements(&mut admin, &batch(&needs, "")) <= 4 + 2 + 2 * 100);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.job_dependencies"), 100);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue WHERE state = 'waiting'"), 100);
}

#[test]
fn what_the_worker_writes_reads_a_few_rows_a_job_also_where_its_plans_are_older_than_the_jobs() {
    let cluster = Cluster::start(Options {
        preload: false,
        ..Options::conf(&["max_worker_processes = 0", "autovacuum = off"])
    });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    // As the worker plans: once, and by an index.
    admin.run(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;
         SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off",
    );
    admin.run(&std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/worker.sql")).unwrap());
    let begin = r#"'{"entry": "begin", "number": 1, "provider": "bfl", "model": "m", "prompt": "x", "seed": 7, "seed_honored": true, "warnings": [], "progress": {}}'::jsonb"#;
    let accepted = r#"'{"entry": "checkpoint", "number": 1, "remote": {"id": "1", "poll_url": "https://x.example"}, "http_status": 200}'::jsonb"#;
    let end = r#"'{"entry": "end", "number": 1, "status": "succeeded", "cost": {"amount": "0.04", "currency": "USD", "source": "priced"}, "render_seconds": 2, "warnings": []}'::jsonb"#;
    let failed = r#"'{"entry": "end", "number": 1, "status": "failed", "cost": {"amount": "0", "currency": "USD", "source": "priced"}, "warnings": []}'::jsonb"#;
    let close = r#"'{"entry": "close", "status": "succeeded", "pictures": [{"url": "https://x.example/1.png"}]}'::jsonb"#;
    let later = r#"'{"entry": "later", "after_seconds": 5, "progress": {}}'::jsonb"#;
    let record = |entries: &str, jobs: &str| {
        format!(
            "SELECT count(*) FROM t.record(1, (SELECT jsonb_agg(jsonb_build_object('seq', s, 'entries', jsonb_build_array({entries}))) FROM {jobs} s))"
        )
    };
    let rounds = |first: u32| {
        let (some, others) = (first + 399, first + 499);
        [
            (record(begin, &format!("generate_series({first}, {others})")), 500),
            (record(accepted, &format!("generate_series({first}, {others})")), 500),
            (record(&format!("{end}, {close}"), &format!("generate_series({first}, {some})")), 400),
            (record(&format!("{failed}, {later}"), &format!("generate_series({some} + 1, {others})")), 100),
        ]
    };
    // All plans are made while there is nothing: as it is after CREATE EXTENSION, and after a vacuum.
    for _ in 0..2 {
        for (round, _) in rounds(1_000_000) {
            assert_eq!(admin.number(&round), 0);
        }
        admin.run("VACUUM");
    }
    admin.run(
        "INSERT INTO image_gen.jobs (id, operation, task, prompt, model, seed, owner)
         SELECT 'gen_0' || lpad(n::text, 25, '0'), 'generate', 'generate', 'x', 'm', 1, 'image_gen_user' FROM generate_series(1, 20000) n;
         UPDATE image_gen.jobs SET status = 'running';
         INSERT INTO image_gen_internal.queue (seq, job_id, owner, instance, state, epoch)
         SELECT seq, id, owner, (SELECT image_gen_internal.instance_id()), 'running', 1 FROM image_gen.jobs;
         INSERT INTO image_gen.attempts (job_id, number, provider, model, prompt, seed, seed_honored, owner, epoch)
         SELECT id, 1, 'bfl', 'm', 'x', 1, true, owner, 1 FROM image_gen.jobs WHERE seq > 10000",
    );
    for (round, jobs) in rounds(1) {
        let read = "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'image_gen'";
        admin.run("BEGIN");
        // What was not reported yet counts in.
        let before = admin.number(read);
        assert_eq!(admin.number(&round), jobs, "{round}");
        let read = admin.number(read) - before;
        admin.run("COMMIT");
        println!("{read} rows are read for {jobs} jobs");
        assert!(read <= 20 * jobs + 200, "{read} rows are read for {jobs} jobs: {round}");
    }
    let ended = "SELECT count(*) FROM image_gen.jobs WHERE status = 'succeeded' AND billed_cost = 0.04";
    assert_eq!(admin.number(ended), 400);
}

#[test]
fn a_picture_costs_a_bounded_number_of_calls_row_writes_and_bytes_of_wal() {
    let stage = Stage::conf(&[
        "image_gen.rescan_interval = '1h'",
        "autovacuum = off",
        "track_functions = 'all'",
        "max_wal_size = '2GB'",
    ]);
    stage.worker();
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET requests_per_minute = NULL, max_in_flight = NULL");
    let mut alice = stage.alice();
    let mut run = |jobs: i64| {
        let queue = format!(
            "SELECT g.id FROM generate_series(1, {jobs}) n, LATERAL image_gen.generate('cup ' || n, model => 'gpt-image-2') g"
        );
        let ids = alice.column(&queue);
        alice.all_succeed(&ids);
    };
    // Calls of functions in SQL and PL/pgSQL, row writes, bytes of WAL, and how often the worker has written down what it did.
    let mut figures = || {
        // What the worker has done is in the statistics when it sleeps. (Functions in C cost next to nothing, and row security asks one of them at each row that is read.)
        let mut last = vec![];
        eventually("the statistics have settled", secs(20), || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            let now = admin.rows(
                "SELECT pg_stat_force_next_flush(),
                        (SELECT sum(s.calls) FROM pg_stat_user_functions s JOIN pg_proc p ON p.oid = s.funcid JOIN pg_language l ON l.oid = p.prolang
                          WHERE s.schemaname LIKE 'image_gen%' AND l.lanname <> 'c'),
                        (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname LIKE 'image_gen%'),
                        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),
                        (SELECT sum(s.calls) FROM pg_stat_user_functions s WHERE s.funcname IN ('begin', 'finish'))",
            );
            let same = now == last;
            last = now;
            same.then(|| last[0][1..].iter().map(|n| n.parse::<i64>().unwrap()).collect::<Vec<_>>())
        })
    };
    // The first touch of a page after a checkpoint is written in full: it is paid for here.
    run(200);
    let before = figures();
    run(200);
    let each: Vec<f64> =
        figures().iter().zip(&before).map(|(now, then)| (now - then) as f64 / 200.0).collect();
    let rounds = each[3];
    println!(
        "an image: {} calls of functions, {} row writes, {} bytes of WAL; {rounds} rounds",
        each[0], each[1], each[2]
    );
    // A busy machine takes fewer jobs together, and a round has its own costs.
    for (figure, (of_a_job, of_a_round), what) in [
        (each[0], CALLS, "calls of functions"),
        (each[1], ROW_WRITES, "row writes"),
        (each[2], WAL_BYTES, "bytes of WAL"),
    ] {
        let bound = of_a_job + of_a_round * rounds;
        assert!(figure <= bound, "{figure} {what} for an image, the bound is {bound}");
    }
}

#[test]
fn an_old_snapshot_does_not_slow_the_queue_down() {
    // worker failure mode 38: rows that were claimed cannot be removed, and are not walked over again and again.
    let stage = stage();
    let mut alice = stage.alice();
    run(&mut alice, 50);
    // A life's first look at the whole queue comes ten seconds after its start: it is no part of what is counted here.
    let mut watch = stage.admin();
    let scans = "SELECT pg_stat_force_next_flush(), (SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'queue_ready')";
    let mut scans = || watch.rows(scans).remove(0).remove(1).parse::<i64>().unwrap();
    let mut before = scans();
    wait_until("the first look at the whole queue", secs(30), || {
        let now = scans();
        std::mem::replace(&mut before, now) < now
    });
    let mut holder = stage.admin();
    holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM image_gen.jobs");
    let mut admin = stage.admin();
    let mut read = |jobs: usize| {
        let look = "SELECT pg_stat_force_next_flush(), (SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'queue_ready')";
        let number = |admin: &mut Session| {
            let mut last = String::new();
            eventually("the statistics have settled", secs(20), || {
                std::thread::sleep(std::time::Duration::from_millis(300));
                let now = admin.rows(look).remove(0).remove(1);
                let same = now == last;
                last.clone_from(&now);
                same.then(|| now.parse::<i64>().unwrap())
            })
        };
        let before = number(&mut admin);
        run(&mut alice, jobs);
        number(&mut admin) - before
    };
    let (first, last) = (read(500), {
        read(1000);
        read(500)
    });
    println!(
        "entries of queue_ready read for 500 jobs: {first}, and after 1500 more with an old snapshot: {last}"
    );
    assert!(last <= 2 * first + 1000, "{first} entries at first, {last} later");
    holder.run("COMMIT");
}

#[test]
fn a_job_writes_a_bounded_amount() {
    // worker failure mode 44
    let stage = stage();
    stage.admin().run("UPDATE image_gen.providers SET requests_per_minute = NULL, max_in_flight = NULL");
    let mut alice = stage.alice();
    run(&mut alice, 500);
    let mut admin = stage.admin();
    admin.run("CHECKPOINT");
    // The first touch of a page after a checkpoint is written in full: it is paid for here.
    run(&mut alice, 500);
    let position = |admin: &mut Session| {
        admin.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    };
    let before = position(&mut admin);
    run(&mut alice, 1000);
    let bytes = (position(&mut admin) - before) / 1000;
    println!("WAL for one job: {bytes} bytes");
    assert!(bytes < 24_000, "{bytes} bytes of WAL for one job");

    // The hot table holds what is open, and its dead rows are used again after a vacuum.
    admin.run("VACUUM image_gen_internal.queue");
    let size = |admin: &mut Session| admin.number("SELECT pg_table_size('image_gen_internal.queue')");
    let after_2000 = size(&mut admin);
    for _ in 0..4 {
        run(&mut alice, 500);
        admin.run("VACUUM image_gen_internal.queue");
    }
    let after_4000 = size(&mut admin);
    println!("the queue's table after 2000 and 4000 jobs: {after_2000} and {after_4000} bytes");
    assert!(after_4000 <= after_2000 + 200_000, "the queue grows: {after_2000}, then {after_4000}");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
}

#[test]
fn neither_sessions_nor_the_worker_grow_with_the_number_of_transactions() {
    // worker failure modes 20 and 58: nothing is registered anew in each transaction, and nothing outlives it.
    let stage = stage();
    let worker = stage.worker();
    let mut alice = stage.alice();
    let mut admin = stage.admin();
    let used = "SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'";
    stage.admin().run("GRANT SELECT ON pg_backend_memory_contexts TO alice; GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts TO alice");
    let transactions = |alice: &mut Session, n: usize| {
        for _ in 0..n {
            let id = alice.generate("quick, one in a transaction");
            alice.done(&id);
        }
    };
    // The worker's own context, as it logs it.
    let mut of_worker = |so_many: usize| {
        admin.run(&format!("SELECT pg_log_backend_memory_contexts({worker})"));
        let logged = || {
            let log = stage.cluster.log();
            let lines =
                log.lines().filter(|l| l.contains(&format!("[{worker}]")) && l.contains("TopMemoryContext:"));
            let all: Vec<String> = lines.map(str::to_owned).collect();
            let used = all.get(so_many - 1)?.rsplit(';').next()?.trim().split(' ').next()?.parse::<i64>();
            used.ok()
        };
        // It looks at the request when it wakes.
        eventually("the worker has logged its memory", secs(20), logged)
    };
    transactions(&mut alice, 500);
    let before = (alice.number(used), of_worker(1), memory_kb(worker).0);
    transactions(&mut alice, 1500);
    let after = (alice.number(used), of_worker(2), memory_kb(worker).0);
    println!(
        "TopMemoryContext of the session and of the worker, and the worker's memory in kB: {before:?}, then {after:?}"
    );
    // A callback that is registered in each of 1500 transactions would take 32 bytes each.
    assert!(after.0 - before.0 < 16_000, "the session grows: {before:?}, {after:?}");
    assert!(after.1 - before.1 < 16_000, "the worker grows: {before:?}, {after:?}");
    assert!(after.2 < before.2 + 8_000, "the worker grows: {before:?}, {after:?}");
}

#[test]
fn queueing_under_a_budget_does_not_read_what_was_charged_before() {
    let cluster = Cluster::start(Options {
        preload: false,
        ..Options::conf(&["max_worker_processes = 0", "autovacuum = off"])
    });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen; SELECT image_gen.set_budget('workspace', NULL, 1000000, 'month')");
    // Fifty thousand charges of this month, all of them in the totals; not analyzed.
    admin.run(
        "INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent)
         SELECT 'gen_0' || lpad(n::text, 25, '0'), b.id, 'image_gen_user', now(), 0, 0.04
           FROM generate_series(1, 50000) n, image_gen.budgets b",
    );
    // What each job and call of a transaction leaves to be posted is not read again by the next one, either.
    let read = |jobs: u32| {
        // Its own session: the plans are made now.
        let mut session = cluster.admin("shop");
        session.run("BEGIN");
        let tuples = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'budget_charges'";
        for n in 0..jobs {
            session.run(&format!("SELECT image_gen.generate('cup {n}', model => 'flux-1.1-pro')"));
        }
        let read = session.number(tuples);
        session.run("COMMIT");
        println!("{jobs} jobs read {read} rows of charges");
        read
    };
    let (few, many) = (read(10), read(40));
    assert!(few <= 100 && many <= 400, "{few} and {many} rows of charges were read");
}

//! People who own the server do with our tables what they like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::cluster::Mode;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, eventually, wait_until};
use serde_json::json;

/// Jobs that the provider has accepted, and that take two seconds.
fn in_flight(jobs: usize) -> (Stage, Vec<String>) {
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..jobs).map(|n| alice.generate(&format!("job {n}"))).collect();
    stage.accepted(jobs as i64);
    (stage, ids)
}

#[test]
fn maintenance_of_our_tables_disturbs_no_job() {
    // worker failure mode 37
    let (stage, mut ids) = in_flight(5);
    let worker = stage.worker();
    // A session that has plans for the tables as they were.
    let mut alice = stage.alice();
    ids.push(alice.generate("before"));
    let mut admin = stage.admin();
    for (n, statement) in [
        "VACUUM FULL image_gen.jobs",
        "VACUUM FULL image_gen_internal.queue",
        "VACUUM FULL image_gen.attempts",
        "CREATE INDEX CONCURRENTLY ours ON image_gen.jobs (status)",
        "REINDEX TABLE CONCURRENTLY image_gen_internal.queue",
        "ALTER TABLE image_gen.jobs ADD COLUMN our_note text",
        "ALTER TABLE image_gen_internal.queue SET (fillfactor = 50)",
        "ALTER TABLE image_gen.campaign_assets ADD COLUMN our_note text DEFAULT 'none'",
        "ANALYZE image_gen.jobs",
        "CLUSTER image_gen.attempts USING attempts_pkey",
        "BEGIN; LOCK TABLE image_gen_internal.queue, image_gen.jobs, image_gen.attempts IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.5); COMMIT",
    ]
    .into_iter()
    .enumerate()
    {
        admin.run(statement);
        ids.push(alice.generate(&format!("after {n}")));
    }
    alice.all_succeed(&ids);
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, ids.len() as u64));
    stage.check_money();
}

#[test]
fn a_picture_is_delivered_whatever_of_the_rest_cannot_be_stored() {
    // What the database refuses, and what is left of the job: status, its image's URL, bytes and cost, a warning of the call.
    let rules = [
        ("image_gen.attempts", "render_seconds IS NULL", ["succeeded", "t", "t", "t", "t"]),
        (
            "image_gen.attempts",
            "status = 'running' OR warnings = '[]' OR warnings @> '[{\"code\": \"not_stored\"}]'",
            ["succeeded", "t", "t", "t", "t"],
        ),
        ("image_gen_internal.blobs", "false", ["succeeded", "t", "f", "t", "t"]),
        ("image_gen_internal.thumbnails", "false", ["succeeded", "t", "t", "t", "t"]),
        (
            "image_gen.attempts",
            "billed_cost IS NULL OR status = 'running'",
            ["succeeded", "t", "t", "f", "t"],
        ),
        ("image_gen.campaign_assets", "false", ["failed", "f", "f", "t", "f"]),
    ];
    let stage = Stage::conf(&["image_gen.keep_bytes = all"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    for (n, (table, rule, expected)) in rules.into_iter().enumerate() {
        admin.run(&format!("ALTER TABLE {table} ADD CONSTRAINT odd CHECK ({rule}) NOT VALID"));
        // A parameter that the model does not know: a warning.
        let id = alice.generate_with(&format!("'unstorable {n}', guidance => 3"));
        let job = alice.done(&id);
        admin.run(&format!("ALTER TABLE {table} DROP CONSTRAINT odd"));
        let left = admin.rows(&format!(
            "SELECT j.status, a.url IS NOT NULL, b.bytes IS NOT NULL, j.billed_cost = 0.04, t.warnings @> '[{{\"code\": \"not_stored\"}}]'
               FROM image_gen.jobs j JOIN image_gen.attempts t ON t.job_id = j.id
               LEFT JOIN image_gen.campaign_assets a ON a.job_id = j.id LEFT JOIN image_gen_internal.blobs b ON b.sha256 = a.sha256
              WHERE j.id = '{id}'"
        ));
        assert!(!left.is_empty(), "{table}: {rule}: {job:?}");
        let left = left[0].iter().map(|cell| if cell.is_empty() { "f" } else { cell });
        assert_eq!(left.collect::<Vec<_>>(), expected, "{table}: {rule}: {job:?}");
        assert!(job.status == "succeeded" || job.error_message.contains("it is at http"), "{job:?}");
    }
    // A label that was accepted before there was a rule for its length, and fits no index.
    let long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n";
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let id = alice.generate_with("'labelled', metadata => '{\"campaign\": \"x\"}'");
    stage.accepted(7);
    admin.run(&format!(
        "UPDATE image_gen.jobs SET metadata = jsonb_build_object('campaign', ({long})) WHERE id = '{id}'"
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    assert!(admin.truth(&format!(
        "SELECT campaign = left(({long}), 255) AND metadata ->> 'campaign' = ({long}) FROM image_gen.campaign_assets WHERE job_id = '{id}'"
    )));
    assert_eq!(stage.sim.submits(), 7, "each was sent once");
}

#[test]
fn a_deleted_row_costs_no_other_job_anything() {
    // worker failure mode 37
    let (stage, mut ids) = in_flight(4);
    let worker = stage.worker();
    let mut admin = stage.admin();
    let (gone, orphan) = (ids.remove(0), ids.remove(0));
    admin.run(&format!("DELETE FROM image_gen.jobs WHERE id = '{gone}'"));
    admin.run(&format!("DELETE FROM image_gen_internal.queue WHERE job_id IN ('{gone}', '{orphan}')"));
    let mut alice = stage.alice();
    alice.all_succeed(&ids);
    // Its row in the queue is given back, and its task at the provider is followed on.
    alice.all_succeed(std::slice::from_ref(&orphan));
    assert_eq!(admin.rows("SELECT * FROM image_gen.resume('nothing is left to do')"), [["0", "0", "0"]]);
    stage.sentinel();
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, 5));
    stage.check_money();
}

#[test]
fn a_row_that_is_deleted_while_it_is_sent_is_not_sent_again() {
    // worker failure mode 37
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "silent", "times": 1, "fault": "hang"}));
    let mut alice = stage.alice();
    let id = alice.generate("silent");
    stage.submitted(1);
    let mut admin = stage.admin();
    admin.run("DELETE FROM image_gen_internal.queue");
    // It is still on its way, so it goes on as if nothing had happened.
    let state = "SELECT q.state || ' ' || (q.epoch = w.epoch)::text FROM image_gen_internal.queue q, image_gen_internal.worker_state w";
    wait_until("its row is back", secs(20), || admin.text(state) == "running true");
    // The same while no worker runs: what was sent is treated as after a crash.
    stage.cluster.stop(Mode::Immediate);
    stage.cluster.start_again();
    eventually("the server is back", secs(20), || stage.cluster.try_connect("postgres", DATABASE).ok());
    assert_eq!(stage.alice().done(&id).error_code, "uncertain");
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("silent").len(), 1);
}

#[test]
fn a_truncated_queue_loses_no_job() {
    // worker failure mode 37
    for truncate in [
        "TRUNCATE image_gen_internal.queue",
        "TRUNCATE image_gen_internal.queue, image_gen_internal.job_dependencies",
    ] {
        let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
        stage.sim.configure(&json!({"render_seconds": 1.0}));
        stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 3 WHERE id = 'bfl'");
        let mut alice = stage.alice();
        // Some at their provider, some waiting for a place there, one for the image of another, one put off.
        let mut ids: Vec<String> = (0..6).map(|n| alice.generate(&format!("job {n}"))).collect();
        let edit = alice.text(&format!(
            "SELECT id FROM image_gen.edit('job:{}', 'its edit', model => 'openai:gpt-image-2')",
            ids[0]
        ));
        stage.sim.rule(json!({"prompt_contains": "put off", "phase": "submit", "times": 1, "fault": {"kind": "rate_limited", "retry_after": 3}}));
        ids.push(alice.generate_with("prompt => 'put off', model => 'openai:gpt-image-2'"));
        ids.push(edit);
        stage.accepted(3);
        let mut admin = stage.admin();
        wait_until("one is put off", secs(20), || {
            admin.number(
                "SELECT count(*) FROM image_gen_internal.queue WHERE state = 'ready' AND ready_at > clock_timestamp()",
            ) == 1
        });
        admin.run(truncate);
        alice.all_succeed(&ids);
        assert_eq!(
            stage.sim.submits(),
            ids.len() as u64 + 1,
            "{truncate}: the one that was refused was sent again"
        );
        assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0, "{truncate}");
        stage.check_money();
    }
}

#[test]
fn a_queue_truncated_while_no_worker_runs_loses_no_job() {
    // worker failure mode 37
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'", "max_worker_processes = 2"]);
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..3).map(|n| alice.generate(&format!("job {n}"))).collect();
    stage.admin().run("TRUNCATE image_gen_internal.queue");
    assert_eq!(alice.job(&ids[0]).status, "queued");
    stage.cluster.configure("max_worker_processes = 8");
    stage.cluster.restart(Mode::Fast);
    let mut alice =
        eventually("alice is let in", secs(20), || stage.cluster.try_connect("alice", DATABASE).ok());
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 3);
}

#[test]
fn looking_for_lost_rows_does_not_read_a_long_history_again() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'", "autovacuum = off"]);
    let mut admin = stage.admin();
    stage.sentinel();
    // Forty thousand jobs that are over.
    admin.run(
        "INSERT INTO image_gen.jobs (id, operation, task, status, prompt, model, seed, owner, finished_at)
         SELECT 'gen_' || lpad(n::text, 26, '0'), 'generate', 'generate', 'succeeded', 'a cup', 'flux-1.1-pro', 1, 'alice', now()
           FROM generate_series(1, 40000) n",
    );
    let behind = "SELECT (SELECT max(seq) FROM image_gen.jobs) - w.all_over_to < 10000 FROM image_gen_internal.worker_state w";
    wait_until("history is behind it", secs(60), || admin.truth(behind));
    // It is read once for the totals of the reports.
    wait_until("history is folded", secs(60), || {
        admin.run("SELECT image_gen_internal.fold_spending(5000)");
        admin.truth(
            "SELECT m.folded_to >= (SELECT max(seq) FROM image_gen.jobs) FROM image_gen_internal.spending_mark m",
        )
    });
    let fetched = |admin: &mut Session| {
        admin.run("SELECT pg_stat_force_next_flush()");
        admin.number("SELECT idx_tup_fetch FROM pg_stat_user_indexes WHERE schemaname = 'image_gen' AND indexrelname = 'jobs_seq_key'")
    };
    let worker = stage.worker();
    let terminate = format!("SELECT pg_terminate_backend({worker})");
    admin.run(&terminate);
    wait_until("the next one is there", secs(20), || stage.worker() != worker);
    stage.sentinel();
    let before = fetched(&mut admin);
    // Some dozens of looks later.
    for _ in 0..20 {
        stage.cluster.worker_looks(DATABASE);
    }
    stage.sentinel();
    let read = fetched(&mut admin) - before;
    println!("{read} rows of jobs were read");
    assert!(read < 25_000, "{read} rows were read: history is read again");
}

#[test]
fn a_missing_function_stops_the_worker_and_nothing_else() {
    // worker failure modes 8 and 13: SQL that does not fit the library.
    let (stage, ids) = in_flight(2);
    let mut admin = stage.admin();
    let worker = stage.worker();
    admin.run("ALTER FUNCTION image_gen_internal.claim RENAME TO claim_of_before");
    let mut alice = stage.alice();
    let id = alice.generate("waits");
    wait_until("it says so", secs(20), || {
        admin.text("SELECT last_error FROM image_gen.worker_status").contains("image_gen_internal.claim")
    });
    // What is in flight goes on.
    alice.all_succeed(&ids);
    assert_eq!(alice.job(&id).status, "queued");
    let said = stage
        .cluster
        .log()
        .lines()
        .filter(|l| l.contains("image_gen worker LOG") && l.contains("claim"))
        .count();
    assert!(said <= 2, "{said} lines");
    admin.run("ALTER FUNCTION image_gen_internal.claim_of_before RENAME TO claim");
    alice.all_succeed(&[id]);
    assert_eq!(
        (stage.worker(), stage.sim.submits(), stage.cluster.find_worker(DATABASE)),
        (worker, 3, Some(worker))
    );
}

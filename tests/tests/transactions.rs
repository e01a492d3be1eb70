//! What the caller's transaction decides: a rolled-back job calls nobody, a committed one runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};

#[test]
fn what_would_not_fit_with_the_picture_is_refused_at_the_call() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    // Four bytes a character, and nothing that compresses.
    let label = |n: u32| {
        format!("(SELECT string_agg(chr(65536 + (hashint4(i) & 65535)), '') FROM generate_series(1, {n}) i)")
    };
    for name in ["campaign", "shot", "ticket"] {
        let sql = format!(
            "SELECT * FROM image_gen.generate('x', model => 'preview', metadata => jsonb_build_object('{name}', {}))",
            label(256)
        );
        assert_eq!(alice.sqlstate(&sql), "22023", "{name}");
        let nested = format!(
            "SELECT * FROM image_gen.generate('x', model => 'preview', metadata => jsonb_build_object('{name}', jsonb_build_object('a', {})))",
            label(200)
        );
        assert_eq!(alice.sqlstate(&nested), "22023", "{name}");
    }
    let all = format!(
        "SELECT id FROM image_gen.generate('x', model => 'preview', width => 16, height => 16,
           metadata => jsonb_build_object('campaign', {0}, 'shot', {0}, 'ticket', {0}, 'brief', repeat('long ', 2000)))",
        label(255)
    );
    let id = alice.text(&all);
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(
        alice.number(&format!(
            "SELECT char_length(campaign) FROM image_gen.campaign_assets WHERE job_id = '{id}'"
        )),
        255
    );
    let long = format!("SELECT image_gen.set_budget('campaign', {}, 1)", label(256));
    assert_eq!(stage.admin().sqlstate(&long), "22023");
}

#[test]
fn a_call_that_the_parser_would_copy_is_an_error_and_queues_nothing() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    let call = "image_gen.generate('x', model => 'preview')";
    for copied in [
        format!("SELECT ({call}).*"),
        format!("SELECT 1, ({call}).* FROM (VALUES (1)) v"),
        format!("WITH g AS (SELECT ({call}).*) SELECT id FROM g"),
        format!("SELECT s.id FROM (SELECT ({call}).*) s"),
        format!("CREATE TEMPORARY TABLE made AS SELECT ({call}).*"),
        format!("DO $do$ BEGIN PERFORM ({call}).*; END $do$"),
        format!("EXPLAIN ANALYZE SELECT ({call}).*"),
        format!("DECLARE c CURSOR WITH HOLD FOR SELECT ({call}).*"),
        "SELECT (image_gen.upscale('asset:1')).*".to_owned(),
    ] {
        let error = alice.try_rows(&copied).expect_err(&copied);
        let error = error.as_db_error().expect("an answer of the server");
        assert_eq!(error.code().code(), "0A000", "{copied}: {error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("SELECT * FROM image_gen.")), "{error:?}");
    }
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 0);
    for once in [
        format!("SELECT ({call}).id"),
        format!("SELECT * FROM {call}"),
        format!("SELECT v.n, g.id FROM (VALUES (1)) v (n) CROSS JOIN LATERAL {call} g"),
    ] {
        let before = alice.number("SELECT count(*) FROM image_gen.jobs");
        alice.run(&once);
        assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), before + 1, "{once}");
    }
    // Two calls that were written are two.
    alice.run(&format!("SELECT ({call}).id, ({call}).model"));
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 5);
}

#[test]
fn a_rollback_calls_no_provider_and_a_commit_runs() {
    // N1, worker failure mode 31
    let stage = Stage::start();
    let mut alice = stage.alice();
    alice.run("BEGIN");
    alice.generate("rolled back");
    alice.run("ROLLBACK");

    alice.run("BEGIN");
    alice.generate("rolled back to a savepoint, before");
    alice.run("ROLLBACK");

    alice.run("BEGIN");
    let kept = alice.generate("kept, outer");
    alice.run("SAVEPOINT s");
    alice.generate("rolled back to a savepoint");
    alice.run("ROLLBACK TO SAVEPOINT s");
    alice.run("COMMIT");

    alice.run(
        "DO $$ BEGIN
           BEGIN
             PERFORM image_gen.generate(prompt => 'rolled back by an exception');
             RAISE division_by_zero;
           EXCEPTION WHEN division_by_zero THEN
             PERFORM image_gen.generate(prompt => 'kept, from the handler');
           END;
         END $$",
    );
    // Only the aborted inner block queued something: the outer COMMIT must wake nobody for nothing that exists.
    alice.run("BEGIN; SAVEPOINT s");
    alice.generate("rolled back, the only one of its transaction");
    alice.run("ROLLBACK TO SAVEPOINT s; COMMIT");

    alice.all_succeed(&[kept]);
    stage.sentinel();
    wait_until("the job of the handler", secs(10), || stage.sim.totals().all.pictures >= 3);
    assert_eq!(stage.sim.submits_of("rolled back").len(), 0);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (3, "0.12"));
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs WHERE prompt LIKE 'rolled back%'"), 0);
    stage.check_money();
}

#[test]
fn a_failing_statement_after_generate_queues_nothing() {
    // N1: the campaign row and its job commit together or not at all.
    let stage = Stage::start();
    let mut alice = stage.alice();
    alice.error("SELECT id, 1 / 0 FROM image_gen.generate(prompt => 'half a statement')");
    alice.error("BEGIN; SELECT image_gen.generate(prompt => 'half a transaction'); SELECT 1 / 0; COMMIT");
    alice.run("ROLLBACK");
    stage.sentinel();
    assert_eq!(stage.sim.submits(), 1);
}

#[test]
fn a_prepared_transaction_runs_after_commit_prepared_and_only_then() {
    // worker failure mode 33: no callback runs at COMMIT PREPARED, the rescan finds the job.
    let stage = Stage::conf(&["image_gen.rescan_interval = '300ms'"]);
    let mut alice = stage.alice();
    alice.run("BEGIN");
    alice.generate("prepared and rolled back");
    alice.run("PREPARE TRANSACTION 'a'");
    alice.run("BEGIN");
    let id = alice.generate("prepared and committed");
    alice.run("PREPARE TRANSACTION 'b'");
    // The next commit of the same session must not tell the worker about what is only prepared.
    stage.sentinel();
    let next = alice.generate("unrelated");
    alice.all_succeed(&[next]);
    assert_eq!(stage.sim.submits_of("prepared").len(), 0);

    alice.run("ROLLBACK PREPARED 'a'");
    stage.alice().run("COMMIT PREPARED 'b'");
    // The first rescan of a worker's life comes after 10 s.
    wait_until("the prepared job is sent", secs(15), || {
        !stage.sim.submits_of("prepared and committed").is_empty()
    });
    alice.all_succeed(&[id]);
    assert_eq!(stage.sim.submits_of("prepared and rolled back").len(), 0);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (3, "0.12"));
}

#[test]
fn a_trigger_queues_with_the_row_that_fires_it() {
    // worker failure mode 34: a row trigger, and a constraint trigger that fires at COMMIT.
    let stage = Stage::start();
    stage.admin().run("CREATE SCHEMA cms AUTHORIZATION alice");
    let mut alice = stage.alice();
    alice.run(
        "CREATE TABLE cms.product (name text PRIMARY KEY, job text);
         CREATE FUNCTION cms.shoot() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           SELECT id INTO NEW.job FROM image_gen.generate(prompt => 'row ' || NEW.name);
           RETURN NEW;
         END $$;
         CREATE FUNCTION cms.late() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           PERFORM image_gen.generate(prompt => 'deferred ' || NEW.name);
           RETURN NULL;
         END $$;
         CREATE TRIGGER shoot BEFORE INSERT ON cms.product FOR EACH ROW EXECUTE FUNCTION cms.shoot();
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON cms.product DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION cms.late()",
    );
    alice.run("BEGIN; INSERT INTO cms.product VALUES ('gone'); ROLLBACK");
    alice.run("INSERT INTO cms.product VALUES ('chair'), ('lamp')");
    let jobs = alice.column("SELECT id FROM image_gen.jobs ORDER BY seq");
    assert_eq!(jobs.len(), 4);
    alice.all_succeed(&jobs);
    assert_eq!(alice.number("SELECT count(*) FROM cms.product p JOIN image_gen.jobs j ON j.id = p.job"), 2);
    assert_eq!((stage.sim.submits_of("row ").len(), stage.sim.submits_of("deferred ").len()), (2, 2));
    assert_eq!(stage.sim.billed(), "0.16");
}

#[test]
fn each_commit_inside_a_procedure_counts() {
    // worker failure mode 34
    let stage = Stage::start();
    stage.admin().run("CREATE SCHEMA cms AUTHORIZATION alice");
    let mut alice = stage.alice();
    alice.run(
        "CREATE PROCEDURE cms.shots() LANGUAGE plpgsql AS $$
         BEGIN
           PERFORM image_gen.generate(prompt => 'first');  COMMIT;
           PERFORM image_gen.generate(prompt => 'second'); ROLLBACK;
           PERFORM image_gen.generate(prompt => 'third');  COMMIT;
         END $$",
    );
    alice.run("CALL cms.shots()");
    let jobs = alice.column("SELECT id FROM image_gen.jobs");
    alice.all_succeed(&jobs);
    stage.sentinel();
    assert_eq!((jobs.len(), stage.sim.submits_of("second").len(), stage.sim.submits()), (2, 0, 3));
}

#[test]
fn callers_of_every_isolation_level_can_queue() {
    // worker failure mode 35
    let stage = Stage::start();
    let mut alice = stage.alice();
    let mut jobs = vec![];
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        alice.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM image_gen.jobs"));
        jobs.push(alice.generate(&level.to_lowercase()));
        jobs.push(alice.generate(&format!("{} again", level.to_lowercase())));
        alice.run("COMMIT");
    }
    alice.all_succeed(&jobs);
    assert_eq!(stage.sim.submits(), 6);

    alice.run("BEGIN READ ONLY");
    assert_eq!(alice.sqlstate("SELECT image_gen.generate(prompt => 'read only')"), "25006");
    alice.run("ROLLBACK");
}

#[test]
fn serializable_callers_do_not_disturb_each_other() {
    // worker failure modes 35 and 41: the worker updates the same tables all the time.
    let stage = Stage::start();
    let stage = &stage;
    thread::scope(|scope| {
        for session in 0..4 {
            scope.spawn(move || {
                let mut alice = stage.alice();
                alice.run("SET default_transaction_isolation = 'serializable'");
                for n in 0..5 {
                    alice.generate(&format!("session {session} number {n}"));
                }
            });
        }
    });
    let mut alice = stage.alice();
    let jobs = alice.column("SELECT id FROM image_gen.jobs");
    assert_eq!(jobs.len(), 20);
    alice.all_succeed(&jobs);
    assert_eq!(stage.sim.submits(), 20);
}

#[test]
fn a_late_commit_is_picked_up_at_once() {
    // Newer jobs went ahead: the watermark has passed this one. The rescan is an hour away.
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'"]);
    let mut late = stage.alice();
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        late.run("BEGIN");
        late.generate(&format!("late {round}"));
        for _ in 0..3 {
            stage.sentinel();
        }
        late.run("COMMIT");
        let committed = Instant::now();
        wait_until("the late job is sent", secs(20), || {
            stage.sim.submits_of(&format!("late {round}")).len() == 1
        });
        slowest = slowest.max(committed.elapsed());
    }
    println!("from a late COMMIT to the provider: {slowest:?} at most");
    assert_eq!(stage.sim.submits(), 20);
}

#[test]
fn a_commit_wakes_the_worker() {
    // N1: the rescan is an hour away. How long it takes is measured by `make bench`.
    let stage = Stage::conf(&["image_gen.rescan_interval = '1h'"]);
    let mut alice = stage.alice();
    stage.sentinel();
    let mut took: Vec<u64> = vec![];
    for n in 0..30 {
        let id = alice.generate(&format!("latency {n} end"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let entry = image_gen_tests::eventually("the job is sent", secs(5), || {
            stage.sim.submits_of(&format!("latency {n} end")).pop()
        });
        took.push(entry["at_us"].as_u64().unwrap().saturating_sub(now.as_micros() as u64));
        alice.all_succeed(&[id]);
    }
    took.sort_unstable();
    println!("from COMMIT to the provider: median {} us, worst of 30 {} us", took[15], took[29]);
}

#[test]
fn an_idempotency_key_gives_the_same_job() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    let first = alice.generate_with("prompt => 'keyed', idempotency_key => 'k1'");
    let again = alice.generate_with("prompt => 'keyed', idempotency_key => 'k1'");
    assert_eq!(first, again);
    alice.all_succeed(std::slice::from_ref(&first));
    assert_eq!(alice.generate_with("prompt => 'keyed', idempotency_key => 'k1'"), first);

    let error = alice.error("SELECT image_gen.generate(prompt => 'another', idempotency_key => 'k1')");
    assert_eq!(error.code().code(), "23505");
    assert!(error.detail().is_some_and(|d| d.contains(&first)) && error.hint().is_some(), "{error:?}");
    for other in
        ["seed => 5", "width => 512, height => 512", "metadata => '{\"a\": 1}'", "model => 'flux-dev'"]
    {
        let call = format!("SELECT image_gen.generate(prompt => 'keyed', idempotency_key => 'k1', {other})");
        assert_eq!(alice.sqlstate(&call), "23505", "{other}");
    }
    // Keys belong to their owner.
    let mut bob = stage.bob();
    let of_bob = bob.generate_with("prompt => 'keyed', idempotency_key => 'k1'");
    assert_ne!(of_bob, first);
    bob.all_succeed(&[of_bob]);
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("keyed").len(), 2);
}

#[test]
fn two_sessions_with_one_key_make_one_job() {
    // worker failure mode 42
    let stage = Stage::start();
    let call = "prompt => 'raced', idempotency_key => 'order-17'";
    for (end, same) in [("COMMIT", true), ("ROLLBACK", false)] {
        let mut one = stage.alice();
        let mut two = stage.alice();
        let pid = two.pid();
        one.run("BEGIN");
        let call = format!("{call}, metadata => '{{\"end\": \"{end}\"}}'").replace("17", end);
        let first = one.generate_with(&call);
        let second = thread::scope(|scope| {
            let waiting = scope.spawn(|| two.generate_with(&call));
            let mut admin = stage.admin();
            wait_until("the second session waits", secs(10), || {
                admin.truth(&format!(
                    "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {pid}"
                ))
            });
            one.run(end);
            waiting.join().unwrap()
        });
        assert_eq!(first == second, same, "{end}");
        two.all_succeed(&[second]);
    }
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("raced").len(), 2);
}

#[test]
fn twenty_sessions_with_one_key_make_one_job() {
    // worker failure mode 42
    let stage = Stage::start();
    let call = "prompt => 'crowd', idempotency_key => 'once'";
    let ids: Vec<String> = thread::scope(|scope| {
        let sessions: Vec<_> = (0..20).map(|_| scope.spawn(|| stage.alice().generate_with(call))).collect();
        sessions.into_iter().map(|s| s.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && id.starts_with("gen_")), "{ids:?}");
    stage.alice().all_succeed(&ids[..1]);
    stage.sentinel();
    assert_eq!((stage.sim.submits_of("crowd").len(), stage.sim.billed().as_str()), (1, "0.08"));
}

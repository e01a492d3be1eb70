//! What each session keeps of the catalogue is right: its own uncommitted changes, rollbacks, others' commits, REPEATABLE READ,
//! DROP and CREATE EXTENSION, dump and restore.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Cluster, Options, Session};

/// A database without a worker.
fn database() -> Cluster {
    let cluster = Cluster::start(Options { preload: false, ..Options::conf(&["max_worker_processes = 0"]) });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    cluster.admin("shop").run("CREATE EXTENSION image_gen");
    cluster
}

/// What an image of bfl's model costs, as the session sees it.
fn cost(session: &mut Session) -> String {
    session.text(
        "SELECT estimated_cost FROM image_gen.estimate('generate', '{\"prompt\": \"a cup\", \"model\": \"bfl:flux-1.1-pro\"}')",
    )
}

fn set(amount: &str) -> String {
    format!(
        "UPDATE image_gen.prices SET amount = {amount} WHERE provider_kind = 'bfl' AND model = 'flux-1.1-pro'"
    )
}

#[test]
fn a_session_sees_its_own_changes_and_their_rollback() {
    let cluster = database();
    let mut one = cluster.admin("shop");
    assert_eq!(cost(&mut one), "0.04");
    one.run(&format!("BEGIN; {}", set("0.05")));
    assert_eq!(cost(&mut one), "0.05", "its own, uncommitted");
    one.run(&format!("SAVEPOINT s; {}", set("0.06")));
    assert_eq!(cost(&mut one), "0.06");
    one.run("ROLLBACK TO s");
    assert_eq!(cost(&mut one), "0.05", "a savepoint was rolled back");
    one.run("DO $$ BEGIN UPDATE image_gen.prices SET amount = 7; RAISE 'undone'; EXCEPTION WHEN OTHERS THEN NULL; END $$");
    assert_eq!(cost(&mut one), "0.05", "an exception block was left");
    one.run("SAVEPOINT t; TRUNCATE image_gen.prices");
    assert_eq!(cost(&mut one), "", "no price is an unknown cost");
    one.run("ROLLBACK TO t");
    assert_eq!(cost(&mut one), "0.05", "a TRUNCATE was rolled back");
    one.run("ROLLBACK");
    assert_eq!(cost(&mut one), "0.04", "all was rolled back");
    // Within one function, between two statements.
    let both = "DO $$ DECLARE a numeric; BEGIN
        UPDATE image_gen.prices SET amount = 0.08 WHERE provider_kind = 'bfl' AND model = 'flux-1.1-pro';
        SELECT estimated_cost INTO a FROM image_gen.estimate('generate', '{\"prompt\": \"x\", \"model\": \"bfl:flux-1.1-pro\"}');
        ASSERT a = 0.08, a; END $$";
    one.run(&format!("BEGIN; {both}; ROLLBACK"));
    // Every table of the catalogue counts.
    for (change, call, expected) in [
        ("UPDATE image_gen.providers SET enabled = false WHERE id = 'bfl'", "error", "0A000"),
        (
            "INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes) VALUES ('mine', 'bfl', 'x', '{\"fixed\": [[8, 8]]}')",
            "SELECT model FROM image_gen.estimate('generate', '{\"prompt\": \"x\", \"model\": \"mine\"}')",
            "mine",
        ),
        (
            "DELETE FROM image_gen.model_rules",
            "SELECT coalesce(rule, 'none') FROM image_gen.choose_model()",
            "none",
        ),
        (
            "UPDATE image_gen_internal.worker_state SET configured = '{OPENAI_API_KEY}'",
            "SELECT provider FROM image_gen.explain('generate', '{\"prompt\": \"x\"}') WHERE included",
            "openai",
        ),
    ] {
        one.run(&format!("BEGIN; {change}"));
        let found = match call {
            "error" => one.sqlstate("SELECT image_gen.generate('x', model => 'bfl:flux-1.1-pro')"),
            call => one.text(call),
        };
        assert_eq!(found, expected, "{change}");
        one.run("ROLLBACK");
    }
}

#[test]
fn what_others_commit_is_seen_and_what_they_do_not_is_not() {
    let cluster = database();
    let (mut one, mut two) = (cluster.admin("shop"), cluster.admin("shop"));
    assert_eq!(cost(&mut one), "0.04");
    one.run("BEGIN");
    assert_eq!(cost(&mut one), "0.04");
    two.run(&format!("BEGIN; {}", set("0.05")));
    assert_eq!(cost(&mut one), "0.04", "not committed");
    two.run("COMMIT");
    assert_eq!(cost(&mut one), "0.05", "committed, inside an open transaction");
    one.run("COMMIT");
    two.run(&format!("BEGIN; {}; ROLLBACK", set("0.07")));
    assert_eq!(cost(&mut one), "0.05");
    // The copy that a REPEATABLE READ transaction makes is of now, as PostgreSQL's own catalogs are, and not wrong after it.
    one.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM image_gen.prices");
    two.run(&set("0.06"));
    assert_eq!(cost(&mut one), "0.06");
    one.run("COMMIT");
    assert_eq!(cost(&mut one), "0.06");
    two.run(&set("0.04"));
    assert_eq!(cost(&mut one), "0.04");
    // A session that is only beginning.
    assert_eq!(cost(&mut cluster.admin("shop")), "0.04");
}

#[test]
fn a_model_that_one_provider_has_is_asked_for_there_alone() {
    let cluster = database();
    let mut admin = cluster.admin("shop");
    admin.run(
        "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('gateway', 'openai', 'http://127.0.0.1:9/v1', 'NONE');
         INSERT INTO image_gen.models (name, provider_kind, provider, remote_name, sizes)
         VALUES ('house-style', 'openai', 'gateway', 'house', '{\"fixed\": [[1024, 1024]]}')",
    );
    let route = "SELECT provider FROM image_gen.explain('generate', '{\"prompt\": \"x\", \"model\": \"house-style\"}')
                  WHERE model = 'house-style'";
    assert_eq!(admin.column(route), ["gateway"]);
    let offered = "SELECT DISTINCT provider FROM image_gen.capabilities WHERE model = 'house-style'";
    assert_eq!(admin.column(offered), ["gateway"]);
}

#[test]
fn prices_are_those_of_the_sessions_day() {
    let cluster = database();
    let mut one = cluster.admin("shop");
    // In one of these zones it is tomorrow, or in the other yesterday.
    one.run(
        "INSERT INTO image_gen.prices (provider_kind, model, unit, amount, valid_from, valid_to)
         SELECT 'bfl', 'flux-1.1-pro', 'image', extract(day FROM d) / 100, d::date, d::date + 1
           FROM generate_series(current_date - 3, current_date + 3, interval '1 day') d",
    );
    for zone in ["Etc/GMT+12", "Etc/GMT-14", "UTC", "Etc/GMT+12"] {
        one.run(&format!("SET TimeZone = '{zone}'"));
        let today = one.text("SELECT trim_scale(extract(day FROM current_date) / 100)");
        assert_eq!(cost(&mut one), today, "{zone}");
    }
}

#[test]
fn an_extension_that_is_made_anew_is_read_anew() {
    let cluster = database();
    let (mut one, mut two) = (cluster.admin("shop"), cluster.admin("shop"));
    assert_eq!((cost(&mut one), cost(&mut two)), ("0.04".into(), "0.04".into()));
    one.run(&set("0.09"));
    assert_eq!(cost(&mut two), "0.09");
    for _ in 0..2 {
        one.run(
            "DROP EXTENSION image_gen CASCADE; DROP SCHEMA IF EXISTS image_gen; CREATE EXTENSION image_gen",
        );
        assert_eq!((cost(&mut one), cost(&mut two)), ("0.04".into(), "0.04".into()));
        two.run(&set("0.09"));
        assert_eq!((cost(&mut one), cost(&mut two)), ("0.09".into(), "0.09".into()));
    }
    // Rolled back, it is the one of before.
    one.run("BEGIN; DROP EXTENSION image_gen CASCADE; ROLLBACK");
    assert_eq!(cost(&mut one), "0.09");
}

#[test]
fn plans_that_are_kept_follow_the_tables() {
    let cluster = database();
    let mut one = cluster.admin("shop");
    let before = one.generate("before");
    one.run("ALTER TABLE image_gen.prices ADD COLUMN of_mine int; ALTER TABLE image_gen.jobs ADD COLUMN of_mine int");
    one.run("ALTER TABLE image_gen_internal.render_estimates ADD COLUMN of_mine int; REINDEX TABLE image_gen.jobs; ANALYZE image_gen.models");
    let after = one.generate("after");
    assert_eq!(cost(&mut one), "0.04");
    assert_ne!(before, after);
    one.run("ALTER TABLE image_gen.jobs DROP COLUMN of_mine");
    one.generate("after that");
    assert_eq!(one.number("SELECT count(*) FROM image_gen_internal.queue"), 3);
}

#[test]
fn a_session_and_a_transaction_do_not_grow_with_what_they_queue() {
    let cluster = database();
    let mut one = cluster.admin("shop");
    let used = "SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name NOT IN ('ExecutorState', 'ExprContext')";
    for _ in 0..200 {
        one.generate("warm");
    }
    let before = one.number(used);
    for n in 0..2_000 {
        one.generate(&format!("one a transaction {n}"));
    }
    let after = one.number(used);
    println!("bytes of the session before and after 2000 calls: {before}, {after}");
    assert!(after < before + 200_000, "the session grows: {before}, {after}");
    one.run("BEGIN");
    let many = |one: &mut Session, n: usize| {
        one.run(&format!(
            "SELECT count(*) FROM generate_series(1, {n}) n, LATERAL image_gen.generate('many ' || n) g"
        ));
    };
    many(&mut one, 1_000);
    let before = one.number(used);
    many(&mut one, 10_000);
    let after = one.number(used);
    println!("bytes of a transaction before and after 10000 calls in it: {before}, {after}");
    assert!(after < before + 500_000, "the transaction grows: {before}, {after}");
    one.run("ROLLBACK");
}

//! Code of the administrator's own at finished jobs: after the image is safe, with its owner's rights, and in nobody's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::process::kill9;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, eventually, wait_until};

/// A stage with a CMS: its role owns a table of pages, and a function that publishes a finished job there.
fn with_cms(options: Options) -> Stage {
    let stage = Stage::with(options);
    stage.admin().run(
        "CREATE ROLE cms; CREATE SCHEMA cms AUTHORIZATION cms; SET ROLE cms;
         CREATE TABLE cms.pages (job text, status text, url text, campaign text, by_whom text);
         CREATE FUNCTION cms.publish(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO cms.pages VALUES (event #>> '{job,id}', event #>> '{job,status}', event #>> '{assets,0,url}',
                                         event #>> '{assets,0,campaign}', current_user);
         END $$;
         RESET ROLE",
    );
    stage
}

fn conf(lines: &[&str]) -> Options {
    Options::conf(&[&["image_gen.rescan_interval = '200ms'"], lines].concat())
}

/// Replaces the body of the CMS's function.
fn publish(admin: &mut Session, body: &str) {
    admin.run(&format!(
        "CREATE OR REPLACE FUNCTION cms.publish(event jsonb) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$"
    ));
}

fn register(admin: &mut Session, filter: &str) -> i64 {
    admin.number(&format!("SELECT image_gen.on_finish('cms.publish(jsonb)', '{filter}')"))
}

const PUBLISH: &str = "INSERT INTO cms.pages VALUES (event #>> '{job,id}', event #>> '{job,status}');";

#[test]
fn a_registered_function_is_called_once_for_each_job_as_its_owner() {
    let stage = with_cms(conf(&[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    register(&mut admin, "{\"status\": \"succeeded\", \"metadata\": {\"campaign\": \"spring\"}}");
    let spring: Vec<String> = (0..20)
        .map(|n| {
            alice
                .generate_with(&format!("prompt => 'spring {n}', metadata => '{{\"campaign\": \"spring\"}}'"))
        })
        .collect();
    let other = alice.generate_with("prompt => 'autumn', metadata => '{\"campaign\": \"autumn\"}'");
    let canceled = alice.generate_with("prompt => 'no', metadata => '{\"campaign\": \"spring\"}'");
    alice.run(&format!("SELECT image_gen.cancel('{canceled}')"));
    alice.all_succeed(&spring);
    alice.all_succeed(&[other]);
    wait_until("all are published", secs(30), || admin.number("SELECT count(*) FROM cms.pages") == 20);
    assert_eq!(
        admin.rows(
            "SELECT count(DISTINCT p.job), count(DISTINCT p.url), min(by_whom), max(by_whom), min(p.campaign), bool_and(p.url = a.url)
               FROM cms.pages p JOIN image_gen.campaign_assets a ON a.job_id = p.job"
        ),
        [["20", "20", "cms", "cms", "spring", "t"]]
    );
    wait_until("none is due", secs(20), || admin.number("SELECT count(*) FROM image_gen.callbacks") == 0);
    assert_eq!(admin.rows("SELECT runs, failures FROM image_gen.finish_hooks"), [["20", "0"]]);
    // Its process ends when there is nothing more to do.
    let process = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'image_gen callbacks'";
    wait_until("its process ends", secs(30), || admin.number(process) == 0);
    // Registered again it is the same; without it nothing is due.
    let hook = register(&mut admin, "{}");
    assert!(admin.truth(&format!("SELECT image_gen.drop_on_finish({hook})")));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.finish_hooks"), 1);
    stage.check_money();
}

#[test]
fn code_that_sleeps_fails_or_cannot_be_stopped_is_in_no_jobs_way() {
    let stage = with_cms(conf(&["image_gen.callback_timeout = '300ms'"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let worker = stage.worker();
    let hook = register(&mut admin, "{}");
    for (what, body, says) in [
        ("sleeps", "PERFORM pg_sleep(600);", "canceling statement due to"),
        ("fails", "RAISE 'no pages today';", "no pages today"),
        ("meddles", "UPDATE image_gen.jobs SET billed_cost = 0;", "permission denied"),
        ("climbs", "SET ROLE postgres;", "cannot set parameter \"role\""),
        ("hides", "CREATE TEMP TABLE mine (x int);", "security-restricted operation"),
        (
            "cannot be stopped",
            "LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;",
            "it did not end",
        ),
    ] {
        publish(&mut admin, body);
        let ids: Vec<String> = (0..5).map(|n| alice.generate(&format!("{what} {n}"))).collect();
        alice.all_succeed(&ids);
        let list = ids.join("', '");
        let seen = format!(
            "SELECT count(*) FROM image_gen.callbacks WHERE job_id IN ('{list}') AND tries > 0 AND last_error LIKE '%{says}%'"
        );
        wait_until(what, secs(60), || admin.number(&seen) > 0);
        assert_eq!(stage.worker(), worker, "{what}");
        admin.run(&format!("DELETE FROM image_gen_internal.callback_queue WHERE job_id NOT IN ('{list}')"));
    }
    // Mended, and called again.
    publish(&mut admin, PUBLISH);
    admin.run(&format!("SELECT image_gen.retry_callbacks({hook})"));
    wait_until("all are published", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.callbacks") == 0
    });
    assert!(admin.number("SELECT count(*) FROM cms.pages") >= 5);
    assert_eq!(admin.number("SELECT count(*) - count(DISTINCT job) FROM cms.pages"), 0, "once each");
    assert_eq!(stage.sim.submits(), 30);
}

#[test]
fn what_code_leaves_in_its_session_reaches_no_other_call() {
    let stage = with_cms(conf(&[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    register(&mut admin, "{}");
    publish(
        &mut admin,
        "INSERT INTO cms.pages VALUES (event #>> '{job,id}', current_setting('work_mem'), current_setting('search_path'));
         PERFORM set_config('work_mem', '77MB', false), set_config('search_path', 'cms', false), pg_advisory_lock(4711);",
    );
    for n in 0..3 {
        let id = alice.generate(&format!("job {n}"));
        alice.all_succeed(&[id]);
    }
    wait_until("all are published", secs(30), || admin.number("SELECT count(*) FROM cms.pages") == 3);
    assert_eq!(
        admin.column("SELECT DISTINCT status || ' ' || url FROM cms.pages"),
        ["4MB pg_catalog, pg_temp"]
    );
    wait_until("its locks are gone", secs(20), || {
        admin.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711") == 0
    });
}

#[test]
fn a_crash_between_the_picture_and_its_callback_loses_neither_and_repeats_neither() {
    let stage = with_cms(Options {
        fsync: true,
        ..conf(&["image_gen.max_restart_pause = 0", "image_gen.callback_timeout = '20s'"])
    });
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    register(&mut admin, "{}");
    publish(&mut admin, &format!("{PUBLISH} PERFORM pg_sleep(5);"));
    let ids: Vec<String> = (0..3).map(|n| alice.generate(&format!("job {n}"))).collect();
    alice.all_succeed(&ids);
    let sleeping = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'image_gen callbacks' AND wait_event = 'PgSleep'";
    let pid = eventually("a call sleeps", secs(30), || admin.text(sleeping).parse::<i32>().ok());
    kill9(pid);
    wait_until("the server goes down", secs(20), || admin.try_rows("SELECT 1").is_err());
    let mut admin = eventually("the server is back", secs(30), || {
        stage.cluster.try_connect("postgres", image_gen_tests::stage::DATABASE).ok()
    });
    publish(&mut admin, PUBLISH);
    wait_until("all are published", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.callbacks") == 0
    });
    assert_eq!(admin.rows("SELECT count(*), count(DISTINCT job) FROM cms.pages"), [["3", "3"]]);
    assert_eq!(stage.sim.submits(), 3);
}

#[test]
fn only_who_may_answer_for_a_function_registers_it() {
    let stage = with_cms(conf(&[]));
    let mut admin = stage.admin();
    admin.run(
        "GRANT image_gen_admin TO bob; CREATE FUNCTION public.mighty(event jsonb) RETURNS void LANGUAGE sql AS '';
         CREATE FUNCTION cms.many(event jsonb) RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text'; ALTER FUNCTION cms.many(jsonb) OWNER TO cms;
         CREATE FUNCTION cms.other(event text) RETURNS void LANGUAGE sql AS ''; ALTER FUNCTION cms.other(text) OWNER TO cms;
         GRANT USAGE ON SCHEMA cms TO PUBLIC",
    );
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    assert_eq!(
        alice.sqlstate("SELECT image_gen.on_finish('cms.publish(jsonb)')"),
        "42501",
        "no administrator"
    );
    assert_eq!(bob.sqlstate("SELECT image_gen.on_finish('cms.publish(jsonb)')"), "42501", "no member of cms");
    for session in [&mut bob, &mut admin] {
        assert_eq!(
            session.sqlstate("SELECT image_gen.on_finish('public.mighty(jsonb)')"),
            "42501",
            "a superuser's"
        );
    }
    assert_eq!(admin.sqlstate("SELECT image_gen.on_finish('cms.many(jsonb)')"), "42809");
    assert_eq!(admin.sqlstate("SELECT image_gen.on_finish('cms.other(text)')"), "42P13");
    for filter in ["[]", "{\"colour\": 1}"] {
        assert_eq!(
            admin.sqlstate(&format!("SELECT image_gen.on_finish('cms.publish(jsonb)', '{filter}')")),
            "22023"
        );
    }
    admin.run("GRANT cms TO bob");
    bob.run("SELECT image_gen.on_finish('cms.publish(jsonb)')");
    // Another owner's function of the same name is not called, nor one whose owner has become a superuser.
    let mut alice = stage.alice();
    for (change, says, undo) in [
        (
            "ALTER FUNCTION cms.publish(jsonb) OWNER TO mallory",
            "belonged to cms",
            "ALTER FUNCTION cms.publish(jsonb) OWNER TO cms",
        ),
        ("ALTER ROLE cms SUPERUSER", "belongs to the superuser cms", "ALTER ROLE cms NOSUPERUSER"),
        (
            "ALTER FUNCTION cms.publish(jsonb) RENAME TO hidden",
            "does not exist",
            "ALTER FUNCTION cms.hidden(jsonb) RENAME TO publish",
        ),
    ] {
        admin.run(change);
        let id = alice.generate(change);
        alice.all_succeed(std::slice::from_ref(&id));
        let seen = format!("SELECT last_error FROM image_gen.callbacks WHERE job_id = '{id}'");
        wait_until(says, secs(30), || admin.text(&seen).contains(says));
        admin.run(undo);
    }
    assert_eq!(admin.number("SELECT count(*) FROM cms.pages"), 0);
    admin.run("SELECT image_gen.retry_callbacks()");
    wait_until("all are published", secs(30), || admin.number("SELECT count(*) FROM cms.pages") == 3);
}

#[test]
fn metadata_of_any_depth_reaches_the_function_and_holds_up_no_other_call() {
    // Readers of JSON stop at depth 128, and jsonb has numbers that a double has not.
    let stage = with_cms(conf(&[]));
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    publish(&mut admin, "INSERT INTO cms.pages VALUES (event #>> '{job,id}', event #>> '{job,metadata}');");
    register(&mut admin, "{}");
    let deep = "('{\"a\": ' || repeat('[', 3000) || '1e400' || repeat(']', 3000) || '}')::jsonb";
    let first = alice.generate_with(&format!("prompt => 'deep', metadata => {deep}"));
    alice.all_succeed(std::slice::from_ref(&first));
    let second = bob.generate("after it");
    bob.all_succeed(std::slice::from_ref(&second));
    wait_until("both are called back", secs(20), || admin.number("SELECT count(*) FROM cms.pages") == 2);
    let same = format!("SELECT status::jsonb = {deep} FROM cms.pages WHERE job = '{first}'");
    assert!(admin.truth(&same), "nothing of it is lost");
}

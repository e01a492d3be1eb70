//! Softer words from somewhere else: the administrator's own function, when it works, when it fails and when it sleeps.

use std::time::Instant;

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

use crate::common::{asked, check_ledger, stage, story};

/// A stage whose rewriter does what the prompt says.
fn with_rewriter(conf: &[&str]) -> Stage {
    let stage = stage(&["bfl", "stability"], conf);
    stage.admin().run(
        "CREATE FUNCTION public.soften(prompt text, context jsonb) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
           CASE substring(prompt FROM '<(.*)>')
           WHEN 'works' THEN RETURN format('soft words for %s, refused by %s <works>', context ->> 'job_id', context ->> 'refused_by');
           WHEN 'fails' THEN RAISE EXCEPTION 'no idea';
           WHEN 'divides' THEN RETURN (1 / 0)::text;
           WHEN 'sleeps' THEN PERFORM pg_sleep(60); RETURN 'too late';
           WHEN 'null' THEN RETURN NULL;
           WHEN 'empty' THEN RETURN '   ';
           WHEN 'same' THEN RETURN prompt;
           WHEN 'endless' THEN RETURN repeat('x', 100000);
           WHEN 'meddles' THEN DELETE FROM image_gen.providers; RETURN 'gone';
           WHEN 'writes' THEN UPDATE image_gen.jobs SET billed_cost = 0; RETURN 'free';
           WHEN 'climbs' THEN SET ROLE image_gen_worker; RETURN 'as the worker';
           END CASE;
         END $$;
         CREATE ROLE softener;
         ALTER FUNCTION public.soften(text, jsonb) OWNER TO softener",
    );
    // The first try is refused; whatever comes next passes.
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    stage
}

const SOFTEN: &str = "image_gen.prompt_rewriter = 'public.soften'";

/// Queues this prompt of a woman, and gives the prompts that were sent.
fn sent(stage: &Stage, what: &str) -> Vec<String> {
    let mut alice = stage.alice();
    let prompt = format!("a woman <{what}>");
    let id = alice.generate_with(&format!(
        "prompt => '{prompt}', model => 'flux-1.1-pro', width => 512, height => 512"
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    let seeds = format!("SELECT count(DISTINCT seed) FROM image_gen.attempts WHERE job_id = '{id}'");
    assert_eq!(alice.number(&seeds), 1);
    alice.column(&format!(
        "SELECT concat_ws(' ', provider || ':', replace(prompt, '{id}', 'ID')) FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"
    ))
}

#[test]
fn the_administrators_function_rewrites_and_the_rules_stand_behind_it() {
    // S54
    let stage = with_rewriter(&[SOFTEN]);
    assert_eq!(
        sent(&stage, "works"),
        ["bfl: a woman <works>", "bfl: soft words for ID, refused by bfl:flux-1.1-pro <works>"]
    );
    // An error or NULL leaves it to the rules.
    for what in ["fails", "divides", "null", "meddles", "writes", "climbs", "no such case"] {
        assert_eq!(
            sent(&stage, what),
            [format!("bfl: a woman <{what}>"), format!("bfl: a person <{what}>")],
            "{what}"
        );
    }
    // What is no use is not sent: another model is next, with the words as they were.
    stage.sim.clear_rules();
    stage
        .sim
        .rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    for what in ["empty", "same", "endless"] {
        let prompts = sent(&stage, what);
        assert_eq!(prompts[0], format!("bfl: a woman <{what}>"));
        assert_eq!(prompts.len(), 2, "{prompts:?}");
        assert!(
            [format!("stability: a woman <{what}>"), format!("bfl: a person <{what}>")].contains(&prompts[1]),
            "{prompts:?}"
        );
    }
    assert_eq!(
        stage.admin().number("SELECT count(*) FROM image_gen.providers WHERE enabled"),
        2,
        "nobody meddled"
    );
    let lines = stage.cluster.log().lines().filter(|l| l.contains("image_gen:")).count();
    assert!(lines <= 8, "{lines} lines in the log");
    check_ledger(&stage);
}

#[test]
fn a_function_that_is_not_there_leaves_it_to_the_rules() {
    for name in ["public.missing", "nonsense(", "pg_catalog.pg_reload_conf"] {
        let stage = with_rewriter(&[&format!("image_gen.prompt_rewriter = '{name}'")]);
        assert_eq!(sent(&stage, name), [format!("bfl: a woman <{name}>"), format!("bfl: a person <{name}>")]);
        check_ledger(&stage);
    }
}

#[test]
fn a_superusers_function_is_not_run_with_its_rights() {
    let stage = with_rewriter(&[SOFTEN]);
    stage.admin().run("ALTER FUNCTION public.soften(text, jsonb) OWNER TO postgres");
    assert_eq!(sent(&stage, "works"), ["bfl: a woman <works>", "bfl: a person <works>"]);
    let why = stage.admin().text("SELECT last_error FROM image_gen.worker_status");
    assert!(why.contains("belongs to the superuser postgres"), "{why}");
}

#[test]
fn a_function_that_sleeps_is_given_up_and_harms_no_other_job() {
    let stage = with_rewriter(&[SOFTEN]);
    let mut alice = stage.alice();
    let worker = stage.worker();
    let started = Instant::now();
    let size = "model => 'flux-1.1-pro', width => 512, height => 512";
    let sleepers: Vec<String> =
        (0..3).map(|n| alice.generate_with(&format!("prompt => 'a woman {n} <sleeps>', {size}"))).collect();
    wait_until("the function sleeps", secs(20), || {
        stage
            .admin()
            .truth(&format!("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {worker}"))
    });
    let queued = Instant::now();
    let others: Vec<String> =
        (0..20).map(|n| alice.generate_with(&format!("prompt => 'a lamp [{n}]', {size}"))).collect();
    alice.all_succeed(&others);
    let waited = queued.elapsed();
    alice.all_succeed(&sleepers);
    println!("others waited {waited:?}, three sleepers took {:?}", started.elapsed());
    for id in &sleepers {
        assert_eq!(
            story(&mut alice, id),
            ["bfl:flux-1.1-pro refused safety_filter", "bfl:flux-1.1-pro succeeded"]
        );
        assert!(
            alice
                .text(&format!("SELECT prompt FROM image_gen.campaign_assets WHERE job_id = '{id}'"))
                .starts_with("a person")
        );
    }
    for n in 0..20 {
        assert_eq!(asked(&stage, &format!("a lamp [{n}]")), ["bfl"]);
    }
    assert_eq!(stage.worker(), worker, "it was not restarted");
    // It is given five seconds, once: three of them in a row would be a quarter of a minute in which nothing moves.
    assert!(waited < secs(14), "others waited {waited:?}");
    check_ledger(&stage);
}

#[test]
fn a_rule_that_is_no_regular_expression_harms_no_job() {
    let stage = stage(&["bfl", "stability"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    stage
        .sim
        .rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    let slip = stage.admin().try_rows(
        "INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (1, '(unclosed', 'x')",
    );
    println!("the slip is {}", if slip.is_ok() { "accepted" } else { "refused" });
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT g.id FROM generate_series(1, 120) n,
           LATERAL image_gen.generate(model => 'flux-1.1-pro', width => 512, height => 512,
             prompt => CASE WHEN n % 6 = 0 THEN format('a woman [%s]', n) ELSE format('a lamp [%s]', n) END) g",
    );
    let jobs = alice.all_done(&ids);
    let wrong: Vec<_> = jobs.iter().enumerate().filter(|(_, job)| job.status != "succeeded").collect();
    assert!(wrong.is_empty(), "{} jobs: {:?}", wrong.len(), wrong.first());
    for n in 1..=120 {
        let calls = asked(&stage, &format!("[{n}]")).len();
        assert!(calls == 1 || n % 6 == 0 && calls == 2, "job {n} was sent {calls} times");
    }
    check_ledger(&stage);
}

#[test]
fn a_job_that_is_stopped_or_late_between_two_refusal_steps_makes_no_further_call() {
    let stage = stage(&["bfl", "stability"], &[SOFTEN]);
    stage.admin().run(
        "CREATE FUNCTION public.soften(prompt text, context jsonb) RETURNS text LANGUAGE sql AS
         $$ SELECT 'soft: ' || replace(prompt, 'a woman', 'somebody') FROM pg_sleep(1.5) $$;
         CREATE ROLE softener;
         ALTER FUNCTION public.soften(text, jsonb) OWNER TO softener",
    );
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let size = "model => 'flux-1.1-pro', width => 512, height => 512";
    let worker = stage.worker();
    for (tag, more, status, code) in [
        ("stopped", "", "canceled", "canceled"),
        ("late", ", deadline => clock_timestamp() + interval '1.2 s'", "failed", "deadline_exceeded"),
    ] {
        let mut sleeps = || {
            let asleep = "SELECT wait_event IS NOT DISTINCT FROM 'PgSleep' FROM pg_stat_activity WHERE pid =";
            admin.truth(&format!("{asleep} {worker}"))
        };
        // A job that was stopped is over before the function is.
        wait_until("the function does not sleep any more", secs(20), || !sleeps());
        let id = alice.generate_with(&format!("prompt => 'a woman [{tag}]', {size}{more}"));
        wait_until("the function sleeps", secs(20), sleeps);
        if tag == "stopped" {
            alice.run(&format!("SELECT image_gen.cancel('{id}')"));
        }
        let job = alice.done(&id);
        assert_eq!((job.status.as_str(), job.error_code.as_str()), (status, code), "{tag}: {job:?}");
        assert_eq!(story(&mut alice, &id), ["bfl:flux-1.1-pro refused safety_filter"], "{tag}");
        assert_eq!(stage.sim.submits_of(&format!("[{tag}]")).len(), 1, "{tag}");
        assert_eq!(job.billed_cost, "0", "{tag}: what the refusal cost is known");
    }
    check_ledger(&stage);
}

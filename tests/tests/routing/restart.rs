//! A worker that ends in the middle of the ladder or of the chain: the job keeps its place, and nothing is paid twice.

use image_gen_tests::process::is_alive;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, eventually, wait_until};
use serde_json::json;

use crate::common::{check_ledger, options, story};

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Terminate,
    Kill,
}

const ENDS: [End; 2] = [End::Terminate, End::Kill];

fn start(conf: &[&str]) -> Stage {
    let stage = Stage::with(Options { fsync: true, ..options(&["bfl", "fal", "stability"], conf) });
    stage
        .admin()
        .run("UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('bfl', 'fal', 'stability')");
    stage
}

/// Ends the worker.
fn end(stage: &Stage, how: End) {
    let pid = stage.worker();
    match how {
        End::Kill => stage.cluster.crash(pid),
        End::Terminate => {
            stage.cluster.admin("postgres").run(&format!("SELECT pg_terminate_backend({pid})"));
            wait_until("the worker ends", secs(20), || !is_alive(pid));
        }
    }
}

fn alice_again(stage: &Stage) -> Session {
    eventually("the server lets in again", secs(30), || stage.cluster.try_connect("alice", DATABASE).ok())
}

/// Waits until the so-manyth call of a job is accepted, and that is committed.
fn accepted(stage: &Stage, id: &str, number: u32) {
    let mut admin = stage.admin();
    wait_until(&format!("call {number} is accepted"), secs(20), || {
        admin.truth(&format!(
            "SELECT remote_id IS NOT NULL FROM image_gen.attempts WHERE job_id = '{id}' AND number = {number}"
        ))
    });
}

const SIZE: &str = "model => 'flux-1.1-pro', width => 512, height => 512";
const REFUSED: &str = "bfl:flux-1.1-pro refused safety_filter";

#[test]
fn a_call_on_the_ladder_is_resumed_and_the_ladder_goes_on_where_it_was() {
    // N3, N4
    for how in ENDS {
        let stage = start(&[]);
        stage.sim.configure(&json!({"render_seconds_by": {"bfl": 1.5}}));
        // The first prompt is refused at once, the softer one after its rendering.
        stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a woman", "fault": {"kind": "refuse", "stage": "request"}}));
        stage.sim.rule(
            json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[refused]", "fault": "refuse"}),
        );
        let mut alice = stage.alice();
        let ids = [
            alice.generate_with(&format!("prompt => 'a woman with a lamp [passes]', {SIZE}")),
            alice.generate_with(&format!("prompt => 'a woman with a lamp [refused]', {SIZE}")),
        ];
        ids.iter().for_each(|id| accepted(&stage, id, 2));
        end(&stage, how);
        let mut alice = alice_again(&stage);
        alice.all_succeed(&ids);
        assert_eq!(story(&mut alice, &ids[0]), [REFUSED, "bfl:flux-1.1-pro succeeded"], "{how:?}");
        assert_eq!(
            story(&mut alice, &ids[1]),
            [REFUSED, REFUSED, "stability:stable-image-core succeeded"],
            "{how:?}: the rewrite is behind it"
        );
        let prompts =
            alice.column("SELECT DISTINCT left(prompt, 8) FROM image_gen.attempts WHERE number > 1");
        assert_eq!(prompts, ["a person"], "{how:?}");
        let seeds = "SELECT count(*) FROM image_gen.jobs j JOIN image_gen.attempts a ON a.job_id = j.id WHERE a.seed <> j.seed";
        assert_eq!(alice.number(seeds), 0);
        assert_eq!(stage.sim.submits(), 5, "{how:?}");
        check_ledger(&stage);
    }
}

#[test]
fn between_two_refusal_steps_nothing_is_forgotten() {
    for how in ENDS {
        let stage = start(&["image_gen.prompt_rewriter = 'public.soften'"]);
        // Long enough to be met asleep.
        stage.admin().run(
            "CREATE FUNCTION public.soften(prompt text, context jsonb) RETURNS text LANGUAGE sql AS
             $$ SELECT 'soft: ' || replace(prompt, 'a woman', 'somebody') FROM pg_sleep(1.5) $$;
             CREATE ROLE softener;
             ALTER FUNCTION public.soften(text, jsonb) OWNER TO softener",
        );
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
        let mut alice = stage.alice();
        let id = alice.generate_with(&format!("prompt => 'a woman with a lamp', {SIZE}"));
        let worker = stage.worker();
        let mut admin = stage.admin();
        wait_until("the rewriter sleeps", secs(20), || {
            admin.truth(&format!("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {worker}"))
        });
        end(&stage, how);
        let mut alice = alice_again(&stage);
        alice.all_succeed(std::slice::from_ref(&id));
        assert_eq!(story(&mut alice, &id), [REFUSED, "bfl:flux-1.1-pro succeeded"], "{how:?}");
        let prompts = alice
            .column(&format!("SELECT prompt FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"));
        assert_eq!(prompts, ["a woman with a lamp", "soft: somebody with a lamp"], "{how:?}");
        assert_eq!(stage.sim.submits(), 2);
        check_ledger(&stage);
    }
}

#[test]
fn a_call_on_the_chain_is_resumed_and_the_chain_goes_on_where_it_was() {
    for how in ENDS {
        let stage = start(&["image_gen.breaker_failures = 0"]);
        stage.sim.configure(&json!({"render_seconds_by": {"fal": 1.5}}));
        stage
            .sim
            .rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 503}}));
        // Accepted, and then it fails without a bill: the next one, and not the first one again.
        stage.sim.rule(json!({"provider": "fal", "phase": "submit", "prompt_contains": "[fails]", "fault": "task_error"}));
        let mut alice = stage.alice();
        let ids = [
            alice.generate_with(&format!("prompt => 'a lamp [passes]', {SIZE}")),
            alice.generate_with(&format!("prompt => 'a lamp [fails]', {SIZE}")),
        ];
        ids.iter().for_each(|id| accepted(&stage, id, 2));
        end(&stage, how);
        let mut alice = alice_again(&stage);
        alice.all_done(&ids);
        let down = "bfl:flux-1.1-pro failed overloaded";
        assert_eq!(story(&mut alice, &ids[0]), [down, "fal:flux-1.1-pro succeeded"], "{how:?}");
        let calls = story(&mut alice, &ids[1]);
        assert_eq!(calls[0], down, "{how:?}");
        assert!(!calls[1..].iter().any(|call| call.starts_with("bfl")), "{how:?}: {calls:?}");
        println!("{how:?}: {calls:?}");
        check_ledger(&stage);
    }
}

#[test]
fn many_ends_in_the_middle_of_many_ladders_pay_nothing_twice() {
    let stage = start(&[]);
    stage.sim.configure(&json!({"render_seconds": 0.3}));
    stage
        .sim
        .rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    stage
        .sim
        .rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[twice", "fault": "refuse"}));
    let mut alice = stage.alice();
    let ids = alice.column(&format!(
        "SELECT g.id FROM generate_series(1, 30) n,
           LATERAL image_gen.generate(prompt => format('a woman %s [%s %s]', n, CASE WHEN n % 2 = 0 THEN 'twice' ELSE 'once' END, n), {SIZE}) g"
    ));
    for kill in 0..4 {
        stage.submitted(5 + 15 * kill);
        if stage.cluster.find_worker(DATABASE).is_some() {
            end(&stage, if kill % 2 == 0 { End::Kill } else { End::Terminate });
        }
    }
    let mut alice = alice_again(&stage);
    let jobs = alice.all_done(&ids);
    let mut uncertain = 0;
    for (n, (job, id)) in jobs.iter().zip(&ids).enumerate() {
        let n = n + 1;
        let calls = story(&mut alice, id);
        let planned: &[&str] = match n % 2 {
            0 => &[REFUSED, REFUSED, "stability:stable-image-core succeeded"],
            _ => &[REFUSED, "bfl:flux-1.1-pro succeeded"],
        };
        let tag = format!(" {n}]");
        let sent = stage.sim.submits_of(&tag).len();
        match job.status.as_str() {
            "succeeded" => {
                assert_eq!(calls, planned, "job {n}");
                assert_eq!(sent, planned.len(), "job {n}");
            }
            // The request was on its way when the worker ended.
            "needs_review" => {
                uncertain += 1;
                assert_eq!(job.error_code, "uncertain", "job {n}: {job:?}");
                assert_eq!(calls[..calls.len() - 1], planned[..calls.len() - 1], "job {n}");
                assert!(calls.last().unwrap().ends_with("uncertain uncertain"), "job {n}: {calls:?}");
                assert!(sent <= calls.len(), "job {n}");
            }
            _ => panic!("job {n}: {job:?}"),
        }
        let (paid, _) = stage.sim.billed_of(&tag);
        assert!(paid <= 1, "job {n} was paid {paid} times: {calls:?}");
    }
    println!("30 ladders through four ends: {uncertain} uncertain");
    assert!(!stage.sim.totals().by_provider.contains_key("fal"));
    assert_eq!(stage.admin().number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    stage.check_money();
}

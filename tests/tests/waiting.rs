//! Every job that is not finished says what it waits for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::wait::secs;
use image_gen_tests::{Mode, Options, Session, Stage, wait_until};
use serde_json::json;

/// A stage with BFL and no other provider.
fn one_provider(conf: &[&str]) -> Stage {
    let key = |name: &str| (format!("{}_API_KEY", name.to_uppercase()), format!("test-{name}-key"));
    let env = vec![key("bfl"), key("ideogram")];
    let stage = Stage::with(Options { env, ..Options::conf(conf) });
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage
}

/// What a job waits for: code, provider, the other job, and whether it is said until when.
fn reason(session: &mut Session, id: &str) -> String {
    session.text(&format!(
        "SELECT concat_ws(' ', (w).code, (w).provider, (w).job_id, CASE WHEN (w).until > now() THEN 'until' END)
           FROM (SELECT waiting_for AS w FROM image_gen.status('{id}')) s"
    ))
}

fn comes_to(session: &mut Session, id: &str, expected: &str) {
    let mut seen = vec![];
    wait_until(&format!("a job waits for '{expected}'"), secs(20), || {
        let now = reason(session, id);
        if seen.last() != Some(&now) {
            println!("{now}");
            seen.push(now.clone());
        }
        now == expected
    });
    // Never without words, whoever reads it.
    for reader in [
        format!("image_gen.status('{id}')"),
        format!("(SELECT * FROM image_gen.recent(1000) WHERE id = '{id}')"),
    ] {
        assert_ne!(session.text(&format!("SELECT (waiting_for).message FROM {reader} r")), "", "{reader}");
    }
}

#[test]
fn what_runs_or_is_queued_waits_for_its_turn_its_provider_or_its_places() {
    let stage = one_provider(&["image_gen.max_in_flight = 2"]);
    stage.sim.configure(&json!({"render_seconds": 8.0}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 1 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    alice.run("BEGIN");
    let first = alice.generate("first");
    assert_eq!(reason(&mut alice, &first), "commit");
    alice.run("COMMIT");
    comes_to(&mut alice, &first, "provider bfl");
    let second = alice.generate("second");
    comes_to(&mut alice, &second, "places bfl");
    let (third, fourth) = (alice.generate("third"), alice.generate("fourth"));
    comes_to(&mut alice, &third, "places bfl");
    let says = |session: &mut Session, id: &str| {
        session.text(&format!("SELECT (waiting_for).message FROM image_gen.status('{id}')"))
    };
    let stands =
        |n| format!("bfl takes 1 at a time, and has as many; jobs of alice before it in the queue: {n}");
    assert_eq!(says(&mut alice, &third), stands(1));
    assert_eq!(says(&mut alice, &fourth), stands(2));
    // A job that is over waits for nothing, and what others wait for is not shown.
    alice.run(&format!("SELECT image_gen.cancel(ARRAY['{second}', '{third}', '{fourth}'])"));
    assert_eq!(reason(&mut alice, &third), "");
    let others = format!("SELECT (image_gen_internal.waiting_for('{first}', '{{}}')).code");
    assert_eq!(stage.bob().text(&others), "");
    assert_eq!(reason(&mut stage.admin(), &first), "provider bfl");
    // wait() says it, too.
    let waits =
        alice.text(&format!("SELECT (waiting_for).code FROM image_gen.wait(ARRAY['{first}'], '0 s')"));
    assert_eq!(waits, "provider");
    alice.run(&format!("SELECT image_gen.cancel('{first}')"));
    stage.cluster.stop(Mode::Fast);
}

#[test]
fn a_rate_a_circuit_and_an_outage_say_until_when() {
    let stage = one_provider(&[]);
    stage.admin().run("UPDATE image_gen.providers SET requests_per_minute = 6 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    let (first, second) = (alice.generate("first"), alice.generate("second"));
    alice.all_succeed(&[first]);
    comes_to(&mut alice, &second, "rate bfl until");
    alice.run(&format!("SELECT image_gen.cancel('{second}')"));
    stage.admin().run("UPDATE image_gen.providers SET requests_per_minute = NULL WHERE id = 'bfl'");

    // With the breaker it is the circuit that is waited for, without it the next call.
    stage.sim.rule(
        json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "rate_limited", "retry_after": 30}}),
    );
    let shut = alice.generate("shut");
    comes_to(&mut alice, &shut, "circuit bfl until");
    stage.cluster.configure("image_gen.breaker_failures = 0");
    stage.cluster.restart(Mode::Fast);
    let mut alice = stage.alice();
    let again = alice.generate("again");
    comes_to(&mut alice, &again, "retry bfl until");
}

#[test]
fn another_job_a_person_and_a_cancel_are_named() {
    let stage = one_provider(&["image_gen.max_refusals = 1"]);
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let mut alice = stage.alice();
    let needed = alice.generate("needed");
    let needs = alice.text(&format!("SELECT id FROM image_gen.edit('job:{needed}', 'darker')"));
    comes_to(&mut alice, &needs, &format!("job {needed}"));
    stage.accepted(1);
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": "refuse"}));
    let refused = alice.generate("refused");
    comes_to(&mut alice, &refused, "person");
    alice.run("BEGIN");
    alice.run(&format!("SELECT image_gen.cancel('{needed}')"));
    assert_eq!(reason(&mut alice, &needed), "cancel");
    alice.run("ROLLBACK");
}

#[test]
fn a_budget_that_another_session_holds_or_that_has_not_enough_is_named() {
    let stage = one_provider(&["image_gen.rescan_interval = 1000"]);
    let mut admin = stage.admin();
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    // Turned away by an outage, and then dearer than what it holds: the next call needs more, which takes the budget.
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'dear', model => 'flux-1.1-pro'");
    alice.all_succeed(&[id]);
    let mut holder = stage.bob();
    holder.run("BEGIN");
    holder.run("SELECT FROM image_gen.generate('held', model => 'flux-1.1-pro')");
    // Its reservation is gone, as after a recount: the worker asks for it anew, and the budget is held.
    let waits = admin.text(
        "INSERT INTO image_gen.jobs (id, operation, task, prompt, model, seed, owner, parameters, estimated_cost)
         SELECT image_gen_internal.new_job_id(), operation, task, prompt, model, seed, owner, parameters, estimated_cost FROM image_gen.jobs
          WHERE prompt = 'dear' RETURNING id",
    );
    admin.run(&format!(
        "INSERT INTO image_gen_internal.queue (seq, job_id, owner) SELECT seq, id, owner FROM image_gen.jobs WHERE id = '{waits}'"
    ));
    admin.run("SELECT image_gen_internal.wake(1)");
    comes_to(&mut alice, &waits, "budget until");
    holder.run("COMMIT");
    alice.all_succeed(&[waits]);
    // Not enough for the step after a refusal: a person can allow it. (Here max_cost is the limit.)
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "a woman", "fault": "refuse"}));
    admin.run("UPDATE image_gen.providers SET enabled = id = 'ideogram'");
    let arguments = "prompt => 'a woman with a vase', model => 'ideogram:ideogram-v2a', max_cost => 0.07";
    let over = alice.generate_with(arguments);
    comes_to(&mut alice, &over, "budget");
}

#[test]
fn without_a_worker_or_behind_the_fence_that_is_the_reason() {
    let stage = one_provider(&[]);
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let mut alice = stage.alice();
    let id = alice.generate("held");
    comes_to(&mut alice, &id, "provider bfl");
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen_internal.instance SET timeline = timeline + 1");
    assert_eq!(reason(&mut alice, &id), "fenced");
    admin.run("UPDATE image_gen_internal.instance SET timeline = timeline - 1");
    admin.run("BEGIN; UPDATE image_gen_internal.queue SET instance = gen_random_uuid()");
    assert_eq!(reason(&mut admin, &id), "fenced");
    admin.run("DELETE FROM image_gen_internal.queue");
    assert_eq!(reason(&mut admin, &id), "fenced");
    admin.run("ROLLBACK");

    let no_worker = Options { preload: false, ..Options::conf(&["max_worker_processes = 0"]) };
    let stage = Stage::with(no_worker);
    let mut alice = stage.alice();
    let id = alice.generate("alone");
    assert_eq!(reason(&mut alice, &id), "worker");
}

//! What roles may ask for, said where they ask and held again where it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Session, Stage};
use serde_json::json;

/// An administrator who is no superuser.
fn carol(stage: &Stage) -> Session {
    stage.admin().run("CREATE ROLE carol LOGIN; GRANT image_gen_admin, image_gen_user TO carol");
    stage.connect("carol")
}

#[test]
fn a_role_is_refused_what_its_policy_does_not_allow_with_the_way_out() {
    let stage = Stage::start();
    let (mut alice, mut bob, mut carol) = (stage.alice(), stage.bob(), carol(&stage));
    carol.run("SELECT image_gen.set_role_policy('alice', allowed_providers => '{openai}', allowed_operations => '{generate,edit}')");
    let error = alice.error("SELECT image_gen.generate('x', model => 'bfl:flux-1.1-pro')");
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert!(
        error.message().contains("provider 'bfl'")
            && error.hint().unwrap().contains("request_provider('bfl')"),
        "{error:?}"
    );
    for call in [
        "generate('x', model => 'flux-1.1-pro')",
        "upscale('https://images.example/a.png')",
        "estimate('generate', '{\"prompt\": \"x\", \"model\": \"bfl:flux-1.1-pro\"}')",
        "generate_batch('[{\"shot\": \"a\", \"prompt\": \"a\"}, {\"shot\": \"b\", \"prompt\": \"b\", \"model\": \"bfl:flux-1.1-pro\"}]')",
    ] {
        assert_eq!(alice.sqlstate(&format!("SELECT * FROM image_gen.{call}")), "42501", "{call}");
    }
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 0);
    // explain() says who is out and why, and an open choice goes to what is left.
    let out = "SELECT DISTINCT reason FROM image_gen.explain('generate', '{\"prompt\": \"x\"}') WHERE provider = 'bfl' AND NOT included";
    assert!(alice.text(out).starts_with("not_allowed: provider 'bfl'"));
    let open = alice.generate("an open choice");
    alice.all_succeed(std::slice::from_ref(&open));
    assert_eq!(
        alice.text(&format!("SELECT provider FROM image_gen.attempts WHERE job_id = '{open}'")),
        "openai"
    );
    // Others may what they might before, and administrators all.
    let theirs = bob.generate_with("prompt => 'x', model => 'bfl:flux-1.1-pro'");
    bob.all_succeed(&[theirs]);
    carol.run("SELECT image_gen.set_role_policy('carol', allowed_providers => '{}')");
    let hers = carol.generate_with("prompt => 'x', model => 'bfl:flux-1.1-pro'");
    carol.all_succeed(&[hers]);
    // Membership counts, and what any row allows is allowed; a rollback takes it back at once.
    stage.admin().run("CREATE ROLE painters; GRANT painters TO alice");
    let call = "SELECT image_gen.generate('x', model => 'bfl:flux-1.1-pro')";
    carol.run("BEGIN; SELECT image_gen.set_role_policy('painters', allowed_providers => '{bfl}', allowed_models => '{flux-1.1-pro}'); ROLLBACK");
    assert_eq!(alice.sqlstate(call), "42501");
    carol.run("SELECT image_gen.set_role_policy('painters', allowed_providers => '{bfl}', allowed_operations => '{}')");
    alice.run(call);
    assert_eq!(
        alice.rows("SELECT p -> 'allowed_providers', p -> 'allowed_operations', p -> 'allow_unpriced' FROM image_gen.effective_policy() p"),
        [["[\"bfl\", \"openai\"]", "[\"edit\", \"generate\"]", "false"]]
    );
    assert_eq!(alice.sqlstate("SELECT image_gen.effective_policy('bob')"), "42501");
    assert_eq!(carol.text("SELECT image_gen.effective_policy('bob') -> 'allowed_providers'"), "[\"*\"]");
    stage.admin().run("REVOKE painters FROM alice");
    assert_eq!(alice.sqlstate(call), "42501");
    for (wrong, state) in [
        ("allowed_providers => '{nowhere}'", "42704"),
        ("allowed_operations => '{paint}'", "42704"),
        ("allowed_models => '{no-such-model}'", "42704"),
        ("allowed_providers => NULL", "22023"),
        ("allowed_models => '{NULL}'", "22023"),
        ("max_queued => -1", "22023"),
        ("max_in_flight => 0", "22023"),
    ] {
        assert_eq!(
            carol.sqlstate(&format!("SELECT image_gen.set_role_policy('alice', {wrong})")),
            state,
            "{wrong}"
        );
    }
    assert_eq!(alice.sqlstate("SELECT image_gen.set_role_policy('alice')"), "42501");
    let done = alice.column("SELECT id FROM image_gen.jobs");
    alice.all_succeed(&done);
    stage.check_money();
}

#[test]
fn a_policy_that_is_tightened_meanwhile_holds_for_what_waits_and_not_for_what_was_accepted() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '200ms'"]);
    let (mut alice, mut carol) = (stage.alice(), carol(&stage));
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let accepted = alice.generate_with("prompt => 'accepted', model => 'bfl:flux-1.1-pro'");
    stage.accepted(1);
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "waits", "fault": {"kind": "status", "code": 429}}),
    );
    let waits = alice.generate_with("prompt => 'waits', model => 'bfl:flux-1.1-pro'");
    wait_until("it was turned away", secs(20), || {
        alice.number("SELECT count(*) FROM image_gen.attempts WHERE http_status = 429") > 0
    });
    carol.run("SELECT image_gen.set_role_policy('alice', allowed_providers => '{openai}')");
    let job = alice.done(&waits);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "not_allowed"), "{job:?}");
    assert!(job.error_message.contains("'bfl'"), "{job:?}");
    let sent = stage.sim.submits_of("waits").len();
    alice.all_succeed(&[accepted]);
    assert_eq!(stage.sim.submits_of("waits").len(), sent, "nothing more is sent");
    stage.check_money();
}

#[test]
fn who_may_spend_a_key_is_asked_for_and_granted_role_by_role() {
    let stage = Stage::start();
    let (mut alice, mut bob, mut carol) = (stage.alice(), stage.bob(), carol(&stage));
    carol.run("UPDATE image_gen.providers SET needs_approval = true WHERE id = 'bfl'");
    let call = "SELECT id FROM image_gen.generate('x', model => 'bfl:flux-1.1-pro')";
    let error = alice.error(call);
    assert_eq!(error.code().code(), "42501");
    assert!(
        error.message().contains("approval") && error.hint().unwrap().contains("request_provider('bfl')"),
        "{error:?}"
    );
    alice.run("SELECT image_gen.request_provider('bfl', 'for the launch')");
    alice.run("SELECT image_gen.request_provider('bfl', 'for the launch of spring')");
    assert_eq!(alice.sqlstate("SELECT image_gen.request_provider('nowhere')"), "42704");
    // Asked for is not granted.
    assert_eq!(alice.sqlstate(call), "42501");
    let open = "SELECT provider, role, request_note FROM image_gen.provider_access WHERE granted_at IS NULL";
    assert_eq!(alice.rows(open), [["bfl", "alice", "for the launch of spring"]]);
    assert_eq!(carol.rows(open), alice.rows(open));
    assert!(bob.rows(open).is_empty());
    for forged in [
        "INSERT INTO image_gen.provider_access (provider, role, granted_by, granted_at) VALUES ('bfl', 'alice', 'x', now())",
        "UPDATE image_gen.provider_access SET granted_at = now(), granted_by = 'x'",
        "SELECT image_gen.grant_provider('bfl', 'alice')",
        "SELECT image_gen.revoke_provider('bfl', 'alice')",
    ] {
        assert_eq!(alice.sqlstate(forged), "42501", "{forged}");
    }
    carol.run("SELECT image_gen.grant_provider('bfl', 'alice')");
    let id = alice.text(call);
    alice.all_succeed(&[id]);
    assert_eq!(bob.sqlstate(call), "42501");
    carol.run("SELECT image_gen.revoke_provider('bfl', 'alice')");
    assert_eq!(alice.sqlstate(call), "42501");
    let told =
        "SELECT action, object FROM image_gen.audit_log WHERE action LIKE 'provider_access.%' ORDER BY at";
    assert_eq!(
        carol.rows(told),
        [
            ["provider_access.created", "bfl alice"],
            ["provider_access.changed", "bfl alice"],
            ["provider_access.removed", "bfl alice"]
        ]
    );
}

#[test]
fn a_role_queues_no_more_than_its_policy_says_at_once_and_within_a_minute() {
    let stage = Stage::conf(&["image_gen.max_queued_per_role = 100"]);
    let (mut alice, mut bob, mut carol) = (stage.alice(), stage.bob(), carol(&stage));
    carol.run("SELECT image_gen.set_role_policy('image_gen_user', max_queued => 3)");
    let error = alice.error("SELECT * FROM image_gen.generate_batch((SELECT jsonb_agg(jsonb_build_object('shot', n, 'prompt', 'x')) FROM generate_series(1, 4) n))");
    assert_eq!(error.code().code(), "53400", "{error:?}");
    assert!(error.hint().unwrap().contains("policy"), "{error:?}");
    // Each role has its own room.
    for session in [&mut alice, &mut bob] {
        session.run("BEGIN");
        session.run("SELECT image_gen.generate('x') FROM generate_series(1, 3)");
        assert_eq!(session.sqlstate("SELECT image_gen.generate('x')"), "53400");
        session.run("ROLLBACK");
    }
    // The highest of several holds.
    carol.run("SELECT image_gen.set_role_policy('alice', max_queued => 5, requests_per_minute => 4)");
    alice.run("BEGIN; SELECT image_gen.generate('x') FROM generate_series(1, 5)");
    // (image_gen_user has no limit on the rate, and that is the highest.)
    assert!(alice.error("SELECT image_gen.generate('x')").message().contains("queued or in flight"));
    alice.run("ROLLBACK");
    carol.run("SELECT image_gen.drop_role_policy('image_gen_user')");
    let ids =
        alice.column("SELECT g.id FROM generate_series(1, 4) n, LATERAL image_gen.generate('x' || n) g");
    alice.all_succeed(&ids);
    // They have ended, and were queued all the same.
    let error = alice.error("SELECT image_gen.generate('x')");
    assert_eq!(error.code().code(), "53400");
    assert!(error.message().contains("within a minute"), "{error:?}");
    assert_eq!(stage.sim.submits(), 4);
    let other = bob.generate("bob has no limit");
    bob.all_succeed(&[other]);
}

#[test]
fn a_role_has_no_more_in_flight_than_its_policy_says_and_its_queue_is_in_no_others_way() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '200ms'", "image_gen.max_in_flight = 20"]);
    let (mut alice, mut bob, mut carol) = (stage.alice(), stage.bob(), carol(&stage));
    carol.run("SELECT image_gen.set_role_policy('alice', max_in_flight => 2)");
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    let all = alice.column("SELECT g.id FROM generate_series(1, 260) n, LATERAL image_gen.generate('flood ' || n, width => 256, height => 256) g");
    stage.submitted(1);
    let theirs =
        bob.column("SELECT g.id FROM generate_series(1, 10) n, LATERAL image_gen.generate('other ' || n) g");
    bob.all_succeed(&theirs);
    let inside = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM image_gen.attempts WHERE owner = 'alice'::regrole AND status = 'running') a";
    let waiting = "SELECT count(*) FROM image_gen.jobs WHERE owner = 'alice'::regrole AND status IN ('queued', 'running')";
    assert!(carol.number(waiting) > 150, "theirs did not wait for them");
    for _ in 0..50 {
        let now = carol.number(inside);
        assert!(now <= 2, "{now} in flight");
    }
    // Another policy is that of jobs that wait, too.
    carol.run("SELECT image_gen.drop_role_policy('alice')");
    wait_until("more are in flight", secs(20), || carol.number(inside) > 2);
    assert_eq!(
        alice.number(&format!(
            "SELECT count(*) FROM image_gen.wait('{{{}}}', '120 s') w WHERE w.status = 'succeeded'",
            all.join(",")
        )),
        260
    );
    assert_eq!(stage.sim.submits(), 270);
    stage.check_money();
}

//! Cancelling, dependents and a person's decision: what was held is given back, what was billed is kept.

use image_gen_tests::wait::secs;
use image_gen_tests::wait_until;
use serde_json::json;

use crate::common::{PRO, check_all, check_books, credits, ended, refuse, stage};

#[test]
fn a_canceled_job_gives_back_what_it_does_not_cost() {
    let stage = stage(&["bfl", "openai"], &["image_gen.max_in_flight = 3"]);
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let polled = alice.generate_with(&format!("prompt => 'polled', {PRO}"));
    let blocking = alice.generate_with("prompt => 'blocking', model => 'openai:gpt-image-2', quality => 'low', width => 1024, height => 1024");
    let kept = alice.generate_with(&format!("prompt => 'kept', {PRO}"));
    stage.submitted(3);
    stage.accepted(2);
    let queued = alice.generate_with(&format!("prompt => 'queued', {PRO}"));
    let child = alice.text(&format!("SELECT id FROM image_gen.edit('job:{polled}', 'needs it', mode => 'img2img', strength => 0.5, model => 'bfl:flux-2-pro')"));
    let before = credits(&mut alice, "workspace");
    // At once, and nothing was sent.
    alice.run(&format!("SELECT image_gen.cancel('{queued}')"));
    let after = credits(&mut alice, "workspace");
    let reserved = |text: &str| image_gen_tests::sim::micros(text.split(' ').nth(1).unwrap());
    assert_eq!(reserved(&before) - reserved(&after), 40_000, "{before} {after}");
    alice.run(&format!("SELECT image_gen.cancel('{polled}'); SELECT image_gen.cancel('{blocking}')"));
    for id in [&polled, &blocking] {
        wait_until("it is canceled", secs(10), || alice.job(id).status == "canceled");
    }
    // Its image will never come.
    assert_eq!(ended(&mut alice, &child), "failed not_found");
    alice.all_succeed(&[kept]);
    let unknown = alice.job(&blocking);
    assert_eq!((unknown.billed_cost.as_str(), unknown.cost_source.as_str()), ("", "unknown"), "{unknown:?}");
    let held = alice.rows("SELECT job_id, reason FROM image_gen.reservations");
    assert_eq!(held, [[blocking.as_str(), "unknown cost"]]);
    // The provider's console tells what the simulator knows.
    let (_, billed) = stage.sim.billed_of("blocking");
    admin.run(&format!("SELECT image_gen.settle_cost('{blocking}', 1, {billed} / 1000000.0)"));
    assert!(alice.rows("SELECT 1 FROM image_gen.reservations").is_empty());
    assert_eq!(stage.sim.submits(), 3);
    check_all(&stage);
}

#[test]
fn a_rejected_job_costs_what_its_calls_did() {
    let stage = stage(&["ideogram", "bfl"], &[]);
    refuse(&stage, "[no]");
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('role', 'alice', 1)");
    let ask = |session: &mut image_gen_tests::Session, n: u32| {
        let id =
            session.generate_with(&format!("prompt => 'a vase [no] {n}', model => 'ideogram:ideogram-v2a'"));
        assert_eq!(ended(session, &id), "needs_review safety_filter");
        id
    };
    let (rejected, approved, switched) = (ask(&mut alice, 1), ask(&mut alice, 2), ask(&mut alice, 3));
    assert_eq!(credits(&mut alice, "role:alice"), "0.12 0 0.88");
    alice.run(&format!("SELECT image_gen.resolve_review('{rejected}', 'reject')"));
    // A person brings one, and says what it cost: not the one whose budget it is.
    let bring = format!(
        "SELECT image_gen.resolve_review('{approved}', 'approve', url => 'https://example.org/a.png', billed_cost => 0.5)"
    );
    assert_eq!(alice.sqlstate(&bring), "42501");
    admin.run(&bring);
    assert_eq!(credits(&mut alice, "role:alice"), "0.62 0 0.38");
    stage.sim.clear_rules();
    alice.run(&format!(
        "SELECT image_gen.resolve_review('{switched}', 'switch_model', model => 'bfl:flux-1.1-pro')"
    ));
    alice.all_succeed(std::slice::from_ref(&switched));
    assert_eq!(credits(&mut alice, "role:alice"), "0.66 0 0.34");
    assert_eq!(alice.job(&switched).billed_cost, "0.08");
    // What is known is not changed by a reviewer either.
    let again = ask_again(&stage, &mut alice);
    let error =
        admin.error(&format!("SELECT image_gen.resolve_review('{again}', 'reject', billed_cost => 0)"));
    assert_eq!(error.code().code(), "55000", "{error:?}");
    check_all(&stage);
}

fn ask_again(stage: &image_gen_tests::Stage, alice: &mut image_gen_tests::Session) -> String {
    refuse(stage, "[again]");
    let id = alice.generate_with("prompt => 'a vase [again]', model => 'ideogram:ideogram-v2a'");
    assert_eq!(ended(alice, &id), "needs_review safety_filter");
    id
}

#[test]
fn a_dependent_is_held_for_like_any_other() {
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.5}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.09)");
    let first = alice.generate_with(&format!("prompt => 'first', {PRO}"));
    let edit = format!(
        "SELECT id FROM image_gen.edit('job:{first}', 'then', mode => 'img2img', strength => 0.5, model => 'bfl:flux-2-pro')"
    );
    let second = alice.text(&edit);
    let sum = alice.text("SELECT reserved = (SELECT sum(estimated_cost) FROM image_gen.jobs) FROM image_gen.credits() WHERE scope = 'workspace'");
    assert_eq!(sum, "t");
    assert_eq!(alice.sqlstate(&edit), "53400", "no room for a third");
    alice.all_succeed(&[first, second]);
    assert_eq!(alice.text("SELECT reserved FROM image_gen.credits() WHERE scope = 'workspace'"), "0.000");
    check_books(&stage);
    check_all(&stage);
}

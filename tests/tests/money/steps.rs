//! Every further call of a job needs money of its own: a step up the ladder, another provider, another try.

use serde_json::json;

use crate::common::{PRO, check_all, credits, ended, refuse, stage, story};

const IDEOGRAM: &str = "model => 'ideogram:ideogram-v2a'";
const REFUSED: &str = "ideogram:ideogram-v2a refused safety_filter 0.04";

#[test]
fn a_refused_and_billed_call_is_not_followed_by_one_that_the_budget_cannot_pay() {
    let stage = stage(&["ideogram"], &[]);
    refuse(&stage, "a woman");
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.07)");
    let id = alice.generate_with(&format!("prompt => 'a woman with a vase', {IDEOGRAM}"));
    assert_eq!(ended(&mut alice, &id), "needs_review budget_exceeded");
    assert_eq!(story(&mut alice, &id), [REFUSED]);
    assert_eq!(credits(&mut alice, "workspace"), "0.04 0 0.03");
    // Trying again makes no money.
    alice.run(&format!("SELECT image_gen.resolve_review('{id}', 'retry')"));
    assert_eq!(ended(&mut alice, &id), "needs_review budget_exceeded");
    assert_eq!(stage.sim.submits(), 1);
    admin.run("SELECT image_gen.grant_credits(0.01)");
    alice.run(&format!("SELECT image_gen.resolve_review('{id}', 'retry', prompt => 'a person with a vase')"));
    assert_eq!(ended(&mut alice, &id), "succeeded");
    assert_eq!(story(&mut alice, &id), [REFUSED, "ideogram:ideogram-v2a succeeded 0.04"]);
    assert_eq!(credits(&mut alice, "workspace"), "0.08 0 0");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (2, "0.08"));
    check_all(&stage);
}

#[test]
fn max_cost_counts_all_calls_of_a_job() {
    let stage = stage(&["ideogram"], &[]);
    refuse(&stage, "a woman");
    let mut alice = stage.alice();
    for (cap, calls, outcome) in [("0.07", 1, "needs_review budget_exceeded"), ("0.08", 2, "succeeded")] {
        let tag = format!("[{cap}]");
        let id = alice
            .generate_with(&format!("prompt => 'a woman with a vase {tag}', {IDEOGRAM}, max_cost => {cap}"));
        assert_eq!(ended(&mut alice, &id), outcome, "{cap}");
        assert_eq!(stage.sim.submits_of(&tag).len(), calls, "{cap}");
    }
    check_all(&stage);
}

#[test]
fn a_dearer_provider_is_passed_over_and_a_cheaper_one_is_asked() {
    // Fallback of an outage: openai's image costs more than is left, stability's does not.
    let stage = stage(&["bfl", "stability", "fal"], &["image_gen.breaker_failures = 0"]);
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[out", "fault": {"kind": "status", "code": 402}}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    // The same model at fal is dearer by an administrator's price, at the third one cheaper.
    admin.run(
        "INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('fal', 'flux-1.1-pro', 'begun_megapixel', 0.09)",
    );
    admin.run("SELECT image_gen.set_budget('campaign', 'c', 0.05); SELECT image_gen.set_budget('campaign', 'd', 0.05)");
    admin.run("SELECT image_gen.grant_campaign('c', 'alice'); SELECT image_gen.grant_campaign('d', 'alice')");
    let job = |out: &str, campaign: &str, preferences: &str| {
        format!(
            "prompt => 'a vase [{out}]', width => 512, height => 512, metadata => '{{\"campaign\": \"{campaign}\"}}',
             provider_preferences => '{preferences}'"
        )
    };
    let no_fal_room = alice.generate_with(&format!(
        "model => 'flux-1.1-pro', {}",
        job("out 1", "c", "{\"preferred\": [\"bfl\", \"fal\"], \"only\": true}")
    ));
    assert_eq!(ended(&mut alice, &no_fal_room), "needs_review budget_exceeded");
    assert_eq!(story(&mut alice, &no_fal_room), ["bfl:flux-1.1-pro failed insufficient_credits 0"]);
    assert!(!stage.sim.totals().by_provider.contains_key("fal"), "nobody could pay it");
    assert_eq!(credits(&mut alice, "campaign:c"), "0 0 0.05");
    let cheaper = alice.generate_with(&job(
        "out 2",
        "d",
        "{\"preferred\": [\"bfl\", \"fal\", \"stability\"], \"only\": true}",
    ));
    assert_eq!(ended(&mut alice, &cheaper), "succeeded");
    let calls = story(&mut alice, &cheaper);
    assert_eq!(calls.last().unwrap(), "stability:stable-image-core succeeded 0.03", "{calls:?}");
    assert_eq!(credits(&mut alice, "campaign:d"), "0.03 0 0.02");
    check_all(&stage);
}

#[test]
fn a_job_that_was_never_sent_needs_room_again_when_it_is_retried() {
    // What it held was given back, and somebody else has it now.
    let stage = stage(&["bfl"], &["image_gen.max_in_flight = 1"]);
    stage.sim.configure(&json!({"render_seconds": 1.5}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.12)");
    let first = alice.generate_with(&format!("prompt => 'first', {PRO}"));
    stage.accepted(1);
    let unsent = alice.generate_with(&format!("prompt => 'unsent', {PRO}"));
    admin.run("INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'flux-1.1-pro', 'image', 0.50)");
    alice.all_succeed(&[first]);
    assert_eq!(ended(&mut alice, &unsent), "needs_review budget_exceeded");
    assert!(story(&mut alice, &unsent).is_empty());
    admin.run("DELETE FROM image_gen.prices WHERE origin = 'admin'");
    assert_eq!(credits(&mut alice, "workspace"), "0.04 0 0.08");
    let others: Vec<String> =
        (0..2).map(|n| alice.generate_with(&format!("prompt => 'other {n}', {PRO}"))).collect();
    let error = alice.error(&format!("SELECT image_gen.resolve_review('{unsent}', 'retry')"));
    assert_eq!(error.code().code(), "53400", "{error:?}");
    alice.all_succeed(&others);
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.resolve_review('{unsent}', 'retry')")), "53400");
    assert_eq!(credits(&mut alice, "workspace"), "0.12 0 0");
    admin.run("SELECT image_gen.grant_credits(0.04)");
    alice.run(&format!("SELECT image_gen.resolve_review('{unsent}', 'retry')"));
    alice.all_succeed(&[unsent]);
    assert_eq!(credits(&mut alice, "workspace"), "0.16 0 0");
    check_all(&stage);
}

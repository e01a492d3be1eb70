//! An account that is empty is left alone until there is something on it again, and everybody can see what is left.

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;

use crate::common::{asked, check_ledger, stage};

/// Queues a small job and waits for it to succeed.
fn render(stage: &Stage, tag: &str) {
    let mut alice = stage.alice();
    let id = alice
        .generate_with(&format!("prompt => '{tag}', model => 'flux-1.1-pro', width => 256, height => 256"));
    assert_eq!(alice.done(&id).status, "succeeded", "{tag}");
}

fn balance(stage: &Stage) -> String {
    stage.alice().text(
        "SELECT coalesce((SELECT trim_scale(balance)::text FROM image_gen.provider_health
                           WHERE provider = 'bfl' AND model = 'flux-1.1-pro'), 'unknown')",
    )
}

#[test]
fn an_empty_account_is_skipped_until_it_is_paid_up_and_the_balance_is_seen() {
    // P3: providers that say what is left are asked; the others are not.
    let stage = stage(&["bfl", "fal"], &["image_gen.balance_interval = 1"]);
    stage.sim.configure(&json!({"balance_by": {"bfl": "0.08"}}));
    render(&stage, "[one]");
    wait_until("the balance is seen", secs(10), || balance(&stage) == "0.04");
    render(&stage, "[two]");
    assert_eq!(asked(&stage, "[two]"), ["bfl"]);

    // Nothing is left: BFL says so once, or its balance does, and fal draws.
    render(&stage, "[three]");
    assert_eq!(asked(&stage, "[three]").last().map(String::as_str), Some("fal"));
    render(&stage, "[four]");
    assert_eq!(asked(&stage, "[four]"), ["fal"]);
    wait_until("the account is seen to be empty", secs(10), || balance(&stage) == "0");

    // The account is topped up: the next look at it closes the circuit.
    stage.sim.configure(&json!({"balance_by": {"bfl": "1.00"}}));
    let mut tries = 0;
    wait_until("jobs go to BFL again", secs(30), || {
        tries += 1;
        let tag = format!("[again {tries}]");
        render(&stage, &tag);
        asked(&stage, &tag) == ["bfl"]
    });
    check_ledger(&stage);
}

#[test]
fn no_provider_is_asked_for_a_balance_while_nothing_happens_or_when_it_is_switched_off() {
    let stage = stage(&["bfl"], &["image_gen.balance_interval = 0"]);
    render(&stage, "[quiet]");
    stage.sentinel();
    let questions = stage.sim.entries().into_iter().filter(|e| e["phase"] == "balance").count();
    assert_eq!(questions, 0);
    assert_eq!(balance(&stage), "unknown");
}

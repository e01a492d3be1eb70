//! A flood of one role leaves the others their share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Options, Stage};
use serde_json::json;

const FLOOD: usize = 300;

/// Prompts of the submissions in the order of their arrival.
fn arrivals(stage: &Stage) -> Vec<String> {
    let submit = |e: &serde_json::Value| e["phase"] == "submit";
    let prompt = |e: serde_json::Value| e["prompt"].as_str().unwrap_or_default().to_owned();
    stage.sim.entries().into_iter().filter(submit).map(prompt).collect()
}

/// Alice floods, Bob queues three jobs behind it: how many of Alice's are sent between his COMMIT and his last one.
fn overtaken(stage: &Stage) -> usize {
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    let flood = alice.column(&format!(
        "SELECT g.id FROM generate_series(1, {FLOOD}) n, LATERAL image_gen.generate(prompt => 'flood ' || n, width => 256, height => 256) g"
    ));
    stage.accepted(4);
    let before = arrivals(stage).len();
    let ids: Vec<String> = (1..=3)
        .map(|n| bob.generate_with(&format!("prompt => 'small {n}', width => 256, height => 256")))
        .collect();
    bob.all_succeed(&ids);
    let all = arrivals(stage);
    let last = all.iter().rposition(|prompt| prompt.starts_with("small")).expect("Bob's jobs were sent");
    alice.all_succeed(&flood);
    assert_eq!(stage.sim.totals().all.submits as usize, FLOOD + 3, "each job is sent once");
    stage.check_money();
    last - before
}

#[test]
fn a_flood_of_one_role_does_not_fill_the_worker() {
    // worker failure mode 70: at most eight are in flight in all.
    let stage = Stage::with(Options::conf(&["image_gen.max_in_flight = 8"]));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = NULL");
    let between = overtaken(&stage);
    assert!(between <= 30, "{between} of {FLOOD} jobs of the flood were sent before");
}

#[test]
fn a_flood_of_one_role_does_not_fill_a_provider() {
    // worker failure mode 70: all of the flood is with the worker, and the provider takes four at a time.
    let stage = Stage::start();
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 4");
    let between = overtaken(&stage);
    assert!(between <= 20, "{between} of {FLOOD} jobs of the flood were sent before");
}

#[test]
fn roles_that_flood_together_share_alike() {
    // worker failure mode 70
    let stage = Stage::with(Options::conf(&["image_gen.max_in_flight = 8"]));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = NULL");
    stage.sim.configure(&json!({"render_seconds": 0.1}));
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    let queue = |who: &str| {
        format!(
            "SELECT g.id FROM generate_series(1, 100) n, LATERAL image_gen.generate(prompt => '{who} ' || n, width => 256, height => 256) g"
        )
    };
    let mut ids = alice.column(&queue("alice"));
    ids.extend(bob.column(&queue("bob")));
    stage.admin().all_succeed(&ids);
    let all = arrivals(&stage);
    let of_bob = all[40..140].iter().filter(|prompt| prompt.starts_with("bob")).count();
    assert!((40..=60).contains(&of_bob), "of a hundred jobs in the middle {of_bob} are Bob's");
}

//! More images than a model makes in one call: one job, several calls, all images, and the sum of the costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, eventually, stage, wait_until};
use serde_json::json;

const THREE: &str = "prompt => 'three lamps', model => 'bfl:flux-1.1-pro', width => 512, height => 512, seed => 2147483646, n => 3";

fn assets(session: &mut Session, id: &str) -> Vec<Vec<String>> {
    session.rows(&format!(
        "SELECT position, attempt, seed, billed_cost, cost_source FROM image_gen.campaign_assets WHERE job_id = '{id}' ORDER BY position"
    ))
}

fn warnings(session: &mut Session, id: &str) -> String {
    session.text(&format!("SELECT warnings FROM image_gen.job_status WHERE id = '{id}'"))
}

#[test]
fn one_job_makes_as_many_calls_as_it_takes_and_costs_their_sum() {
    // P21
    let stage = Stage::start();
    let mut alice = stage.alice();
    let estimate = alice.rows(
        "SELECT images, estimated_cost, estimated_seconds, warnings -> 0 ->> 'code' FROM image_gen.estimate('generate',
           '{\"prompt\": \"x\", \"model\": \"bfl:flux-1.1-pro\", \"width\": 512, \"height\": 512, \"n\": 3}')",
    );
    assert_eq!(estimate, [["3", "0.12", "0.6", "several_calls"]]);
    let id = alice.generate_with(THREE);
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.attempts.as_str()), ("succeeded", "3"));
    assert_eq!(
        assets(&mut alice, &id),
        [
            ["1", "1", "2147483646", "0.04", "reported"],
            ["2", "2", "2147483647", "0.04", "reported"],
            ["3", "3", "0", "0.04", "reported"]
        ]
    );
    assert_eq!(alice.text(&format!("SELECT billed_cost FROM image_gen.jobs WHERE id = '{id}'")), "0.12");
    let urls = alice.number(&format!("SELECT cardinality(urls) FROM image_gen.job_status WHERE id = '{id}'"));
    assert_eq!(urls, 3);
    let seeds: Vec<i64> =
        stage.sim.submits_of("three lamps").iter().filter_map(|e| e["seed"].as_i64()).collect();
    assert!(seeds.is_empty() || seeds == [2_147_483_646, 2_147_483_647, 0], "{seeds:?}");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (3, "0.12"));
    // Reports count each image once, and no call of these as one that was made again.
    let report = alice.rows("SELECT jobs, images, calls, billed, retries FROM image_gen.cost_report()");
    assert_eq!(report, [["1", "3", "3", "0.12", "0"]]);
    assert_eq!(alice.rows("SELECT images FROM image_gen.spending ORDER BY number"), [["1"], ["1"], ["1"]]);
    stage.check_money();
    assert!(stage.admin().rows("SELECT * FROM image_gen.check_budgets()").is_empty());
}

#[test]
fn what_was_made_is_delivered_when_a_later_call_fails_for_good() {
    let stage = Stage::start();
    stage
        .admin()
        .run("UPDATE image_gen.providers SET enabled = id = 'bfl'; DELETE FROM image_gen.refusal_steps");
    stage
        .sim
        .rule(json!({"prompt_contains": "three lamps", "phase": "submit", "skip": 2, "fault": "refuse"}));
    let mut alice = stage.alice();
    let id = alice.generate_with(THREE);
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("succeeded", ""));
    assert_eq!(assets(&mut alice, &id).len(), 2);
    let told = warnings(&mut alice, &id);
    assert!(told.contains("fewer_pictures") && told.contains("2 of 3 images were made: "), "{told}");
    let ends = "SELECT status FROM image_gen.attempts ORDER BY number";
    assert_eq!(alice.column(ends), ["succeeded", "succeeded", "refused"]);
    stage.check_money();
    // Of a call whose fate is unknown the cost stays unknown, and what came before it is there.
    stage.sim.clear_rules();
    stage
        .sim
        .rule(json!({"prompt_contains": "lost", "phase": "submit", "skip": 1, "fault": "drop_after_accept"}));
    let id = alice.generate_with("prompt => 'lost', model => 'bfl:flux-1.1-pro', n => 2");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("succeeded", ""));
    assert_eq!(assets(&mut alice, &id)[0][3..], ["", "unknown"]);
    let unknown = format!("SELECT number, why FROM image_gen.cost_reviews WHERE job_id = '{id}'");
    assert_eq!(stage.admin().rows(&unknown), [["2", "uncertain"]]);
    stage.admin().run(&format!("SELECT image_gen.settle_cost('{id}', 2, 0.04)"));
    assert_eq!(assets(&mut alice, &id)[0][3..], ["0.08", "reported"]);
    stage.check_money();
    assert!(stage.admin().rows("SELECT * FROM image_gen.check_budgets()").is_empty());
}

#[test]
fn a_crash_between_two_calls_makes_the_rest_and_nothing_twice() {
    let stage = Stage::conf(&["image_gen.max_restart_pause = 0"]);
    stage.sim.configure(&json!({"render_seconds": 0.7}));
    let mut alice = stage.alice();
    let id = alice.generate_with(THREE);
    for accepted in 1..=3 {
        stage.accepted(accepted);
        stage.cluster.crash(stage.worker());
        alice = eventually("the server lets in again", secs(30), || {
            stage.cluster.try_connect("alice", stage::DATABASE).ok()
        });
    }
    assert_eq!(alice.done(&id).status, "succeeded");
    assert_eq!(assets(&mut alice, &id).len(), 3);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (3, "0.12"));
    stage.check_money();
}

#[test]
fn budgets_and_ceilings_hold_the_whole_from_the_beginning_to_the_end() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("UPDATE image_gen.providers SET enabled = id = 'bfl'");
    let dear = alice.error(&format!("SELECT image_gen.generate({THREE}, max_cost => 0.11)"));
    assert!(dear.message().contains("0.12"), "{dear:?}");
    admin.run("SELECT image_gen.set_budget('role', 'alice', 0.11)");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.generate({THREE})")), "53400");
    admin.run("SELECT image_gen.set_budget('role', 'alice', 0.12)");
    let id = alice.generate_with(THREE);
    let mut seen = vec![];
    wait_until("the job has ended", secs(20), || {
        let held = "SELECT trim_scale(spent), trim_scale(spent + reserved) FROM image_gen.credits() WHERE scope = 'role:alice'";
        let row = alice.rows(held).remove(0);
        assert_eq!(row[1], "0.12", "{row:?}");
        if seen.last() != Some(&row[0]) {
            seen.push(row[0].clone());
        }
        seen.last().is_some_and(|spent| spent == "0.12")
    });
    assert!(seen.contains(&"0.04".to_owned()) || seen.contains(&"0.08".to_owned()), "{seen:?}");
    alice.all_succeed(&[id]);
    assert!(admin.rows("SELECT * FROM image_gen.check_budgets()").is_empty());
}

#[test]
fn who_stops_it_keeps_what_is_there() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let mut alice = stage.alice();
    let id = alice.generate_with(THREE);
    stage.accepted(2);
    alice.run(&format!("SELECT image_gen.cancel('{id}')"));
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("succeeded", ""));
    assert_eq!(assets(&mut alice, &id).len(), 1);
    let told = warnings(&mut alice, &id);
    assert!(told.contains("1 of 3 images were made: canceled"), "{told}");
    stage.check_money();
}

//! The requests that people make, as they would write them in SQL, on a server with a key for every provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod own_machine;
mod providers;
mod requests;

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Sim, Stage, wait_until};
use serde_json::{Value, json};

fn stage() -> Stage {
    let stage = Stage::with(Options::all_keys(&["image_gen.keep_bytes = 'all'"]));
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.models SET typical_seconds = 0.05");
    // Choices depend on which keys there are: the worker has said so.
    wait_until("the worker has told its keys", secs(10), || {
        admin.truth("SELECT cardinality(configured_keys) >= 8 FROM image_gen.worker_status")
    });
    stage
}

/// What a job came to: `{"status", "task", "provider", "model", "assets": […], "warnings": […]}`.
fn outcome(session: &mut Session, id: &str) -> Value {
    let text = session.text(&format!(
        "SELECT jsonb_build_object('status', j.status, 'code', j.error_code, 'why', j.error_message, 'task', j.task,
                  'provider', a.provider, 'model', a.model, 'attempts', a.number, 'warnings', j.warnings || a.warnings,
                  'assets', (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.position) FROM image_gen.campaign_assets c WHERE c.job_id = j.id))
           FROM image_gen.jobs j LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = j.id
             ORDER BY t.number DESC LIMIT 1) a ON true WHERE j.id = '{id}'"
    ));
    serde_json::from_str(&text).unwrap()
}

/// Calls a function, waits, and gives the outcomes: one for each row.
fn call(session: &mut Session, function: &str) -> Vec<Value> {
    let ids = session.column(&format!("SELECT id FROM image_gen.{function}"));
    session.all_done(&ids);
    let all: Vec<Value> = ids.iter().map(|id| outcome(session, id)).collect();
    for one in &all {
        assert_eq!(one["status"], "succeeded", "{function}: {one}");
    }
    all
}

fn one(session: &mut Session, function: &str) -> Value {
    call(session, function).remove(0)
}

fn size(outcome: &Value) -> (u64, u64) {
    let side = |name: &str| outcome["assets"][0][name].as_u64().unwrap();
    (side("width"), side("height"))
}

fn made_by(outcome: &Value) -> String {
    format!("{}:{}", outcome["provider"].as_str().unwrap(), outcome["model"].as_str().unwrap())
}

fn codes(outcome: &Value) -> Vec<&str> {
    let mut all: Vec<&str> =
        outcome["warnings"].as_array().unwrap().iter().filter_map(|w| w["code"].as_str()).collect();
    // The plan warns, and the call again.
    all.dedup();
    all
}

/// The images that came with the last submission whose prompt has this text.
fn inputs(sim: &Sim, prompt: &str) -> Vec<Value> {
    let last = sim.submits_of(prompt).pop().unwrap_or_else(|| panic!("nothing was sent for {prompt}"));
    last["inputs"].as_array().cloned().unwrap_or_default()
}

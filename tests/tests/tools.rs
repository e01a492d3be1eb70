//! The four tools of an agent, with a worker that renders: the walkthrough, whole, and clients that ask when they are told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Options, Stage, bindir};
use image_gen_tools::output::{Generation, Generations, Queued, Status};
use serde_json::{Value, json};

/// A stage with BFL alone.
fn bfl() -> Stage {
    let stage = Stage::with(Options::default());
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage
}

/// A part of README.md between two marks, without its fence.
fn readme(mark: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {mark}")).expect("a mark in README.md");
    let (_, code) = rest.split_once("```sql\n").unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_walkthrough_is_fifteen_lines_of_sql() {
    // S1 to S6, S21, S22, S48, S79: credits, four shots at once, one refusal, what came of them, what it cost.
    let stage = bfl();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "eyes closed", "fault": "refuse"}));
    let script = readme("agent:");
    let lines = script.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("--")).count();
    assert!(lines <= 15, "{lines} lines:\n{script}");
    let mut psql = Command::new(bindir().join("psql"));
    psql.env("PGHOST", stage.cluster.socket_folder()).env("PGPORT", "5432").env("PGUSER", "alice");
    let said = psql.args(["-XqAt", "--dbname=shop", "-v", "ON_ERROR_STOP=1", "-c", "\\set x", "-f", "-"]);
    let said = said.stdin(input(&script)).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{err}");
    let settled =
        out.lines().find(|line| line.starts_with('{') && line.contains("\"done\"")).expect("settle()");
    let settled: Value = serde_json::from_str(settled).unwrap();
    let done = settled["done"].as_object().unwrap();
    assert_eq!(
        done.keys().map(String::as_str).collect::<Vec<_>>(),
        ["detail", "hero", "lifestyle", "social"]
    );
    assert_eq!((&settled["failed"], settled.get("pending")), (&json!({}), None));
    assert_eq!(done["hero"]["seed"], 73104);
    for shot in done.values() {
        let keys: Vec<&str> = shot.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["seed", "url"], "{shot}");
        assert!(shot["url"].as_str().is_some_and(|url| !url.is_empty()));
    }
    // One render more, for the refused shot, in softer words with the same seed.
    let seeds: Vec<Value> =
        stage.sim.entries().iter().filter(|e| e["phase"] == "submit").map(|e| e["seed"].clone()).collect();
    assert_eq!(stage.sim.submits(), 5, "{seeds:?}");
    let billed = stage.alice().text("SELECT sum(billed_cost) FROM image_gen.jobs");
    assert_eq!(billed, stage.sim.billed());
    assert!(out.contains("MKT-2241|4|"), "the cost of the ticket: {out}");
    stage.check_money();
}

/// A text as the input of a program.
fn input(text: &str) -> std::process::Stdio {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("input-{}.sql", std::process::id()));
    std::fs::write(&path, text).unwrap();
    std::fs::File::open(path).unwrap().into()
}

#[test]
fn answers_are_what_their_types_say() {
    // S34, S35, S48 to S50: an unknown key would not be read, a missing one neither.
    let stage = bfl();
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "never", "fault": {"kind": "status", "code": 422}}),
    );
    let mut alice = stage.alice();
    let call = |prompt: &str| {
        format!(
            "SELECT image_gen.generate_image('{{\"prompt\": \"{prompt}\", \"model\": \"bfl:flux-1.1-pro\", \"metadata\": {{\"shot\": \"{prompt}\"}}}}')"
        )
    };
    let queued: Vec<Queued> =
        ["a cat", "never"].map(|prompt| serde_json::from_str(&alice.text(&call(prompt))).unwrap()).into();
    assert!(queued.iter().all(|q| q.status == Status::Queued && q.model == "flux-1.1-pro"));
    let ids: Vec<String> = queued.iter().map(|q| format!("'{}'", q.id)).collect();
    let settled: Value =
        serde_json::from_str(&alice.text(&format!("SELECT image_gen.settle(ARRAY[{}])", ids.join(", "))))
            .unwrap();
    assert!(settled["done"]["a cat"]["seed"].as_i64().is_some());
    let of = |id: &str| format!("SELECT image_gen.get_generation({id})");
    let [cat, never]: [Generation; 2] =
        [0, 1].map(|at: usize| serde_json::from_str(&alice.text(&of(&ids[at]))).unwrap());
    assert_eq!((cat.status, cat.needs_review, cat.next_poll_ms), (Status::Succeeded, false, None));
    assert_eq!((cat.output_urls.len(), cat.billed_cost.map(|c| c.to_string())), (1, Some("0.04".to_owned())));
    assert_eq!(never.status, Status::Failed);
    assert_eq!(settled["failed"]["never"], never.error.unwrap().code);
    let listed: Generations =
        serde_json::from_str(&alice.text("SELECT image_gen.list_recent_generations(1)")).unwrap();
    assert_eq!((listed.generations.len(), listed.next_before.is_some()), (1, true));
    // Timeouts leave what they leave.
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let slow: Queued = serde_json::from_str(&alice.text(&call("slow"))).unwrap();
    let left: Value =
        serde_json::from_str(&alice.text(&format!("SELECT image_gen.settle('{{{}}}', '10 ms')", slow.id)))
            .unwrap();
    assert_eq!(left, json!({"done": {}, "failed": {}, "pending": ["slow"]}));
}

#[test]
fn a_client_that_asks_when_it_is_told_asks_seldom() {
    // S43 to S47: 20 renders of some 2 s at once, within the places that the provider has; the walk over 200 of 6 to 12 s is a test of crates/tools.
    let stage = bfl();
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 1.5");
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT image_gen.generate_image(jsonb_build_object('prompt', 'shot ' || i, 'model', 'bfl:flux-1.1-pro')) ->> 'id' FROM generate_series(1, 20) i",
    );
    let began = Instant::now();
    let (mut due, mut polls): (Vec<(Duration, String)>, u32) =
        (ids.iter().map(|id| (Duration::from_millis(1500), id.clone())).collect(), 0);
    while let Some((at, id)) = due.iter().min().cloned() {
        due.retain(|(_, other)| *other != id);
        // The client's own pause: nothing is waited for but the time.
        std::thread::sleep(at.saturating_sub(began.elapsed()));
        let answer = alice.text(&format!("SELECT image_gen.get_generation('{id}')"));
        let answer: Generation = serde_json::from_str(&answer).unwrap();
        polls += 1;
        assert!(began.elapsed() < Duration::from_secs(60), "{answer:?}");
        if let Some(next) = answer.next_poll_ms {
            due.push((began.elapsed() + Duration::from_millis(next.into()), id));
        } else {
            assert_eq!(answer.status, Status::Succeeded);
        }
    }
    assert!(polls <= 3 * 20, "{polls} polls of 20 renders");
    assert_eq!(stage.sim.submits(), 20);
    wait_until("the worker has learnt", secs(10), || {
        alice.number("SELECT max(samples) FROM image_gen_internal.render_estimates") >= 20
    });
}

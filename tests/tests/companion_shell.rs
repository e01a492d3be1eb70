//! `image-gen` in a shell: what it saves, what it says to programs, and what its exit code means.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Output;

use image_gen_tests::companion::{Can, Pipe, command, run};
use image_gen_tests::{Options, Stage};
use serde_json::{Value, json};

fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["image_gen.keep_bytes = all"]));
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

#[test]
fn an_image_is_queued_waited_for_and_saved_by_its_name_and_nothing_is_written_over() {
    let stage = stage();
    let out = folder("saved");
    let out_text = out.to_str().unwrap();
    let generate = |shot: &str| {
        run(
            &stage,
            "alice",
            &[
                "generate",
                "a cup",
                "-m",
                "flux-1.1-pro",
                "-s",
                "1024x768",
                "--shot",
                shot,
                "--campaign",
                "spring",
                "-o",
                out_text,
                "--json",
            ],
        )
    };
    let first = generate("Hero Shot");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let answer = json_of(&first);
    let file = out.join("hero_shot.jpg");
    assert_eq!(answer["files"], json!([file.to_str().unwrap()]), "{answer}");
    let image = image::open(&file).unwrap();
    assert_eq!((image.width(), image.height()), (1024, 768));
    let second = json_of(&generate("Hero Shot"));
    assert_eq!(second["files"], json!([out.join("hero_shot-2.jpg").to_str().unwrap()]));
    // From a file, without waiting; then waited for.
    let edited = run(
        &stage,
        "alice",
        &["edit", file.to_str().unwrap(), "in the rain", "-m", "flux-kontext-pro", "--no-wait"],
    );
    assert_eq!(edited.status.code(), Some(0), "{}", said(&edited));
    let id = String::from_utf8(edited.stdout).unwrap().trim().to_owned();
    let waited = run(&stage, "alice", &["wait", &id, "-o", out_text]);
    assert!(waited.status.success() && said(&waited).contains(&id), "{}", said(&waited));
    let opened = run(&stage, "alice", &["open", &id, "--print", "-o", out_text]);
    assert!(opened.status.success() && said(&opened).contains(out_text), "{}", said(&opened));
    let sheet = run(&stage, "alice", &["sheet", "--campaign", "spring"]);
    assert!(said(&sheet).contains("<title>Contact sheet: spring</title>"), "{}", said(&sheet));
    let estimate =
        json_of(&run(&stage, "alice", &["estimate", "a cup", "-m", "flux-1.1-pro", "-n", "3", "--json"]));
    assert_eq!((&estimate["images"], &estimate["estimated_cost"]), (&json!(3), &json!(0.12)));
    let credits = run(&stage, "alice", &["credits"]);
    assert!(said(&credits).starts_with("available: no limit"), "{}", said(&credits));
    assert_eq!(stage.alice().text("SELECT sum(billed_cost) FROM image_gen.jobs"), stage.sim.billed());
    stage.check_money();
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn the_exit_code_says_what_went_wrong_and_the_hint_what_to_do() {
    let stage = stage();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "forbidden", "fault": "refuse"}));
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "broken", "fault": {"kind": "status", "code": 422}}),
    );
    stage.admin().run("SELECT image_gen.set_budget('role', 'bob', 0.01)");
    for (login, arguments, code) in [
        ("alice", vec!["generate", ""], 2),
        ("alice", vec!["generate", "x", "-s", "large"], 2),
        ("alice", vec!["wait", "gen_01M8MRZQ8G00W4RMSJ4BNW62P4"], 3),
        ("alice", vec!["generate", "x", "-m", "no-such-model"], 3),
        ("bob", vec!["generate", "x", "-m", "flux-1.1-pro"], 5),
        ("mallory", vec!["credits"], 7),
        ("alice", vec!["generate", "forbidden fruit", "-m", "bfl:flux-1.1-pro", "--no-save"], 21),
        ("alice", vec!["generate", "broken", "-m", "bfl:flux-1.1-pro", "--no-save"], 2),
        ("alice", vec!["--database", "host=127.0.0.1 port=1 connect_timeout=1", "credits"], 12),
    ] {
        let output = run(&stage, login, &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        if code < 20 && arguments[0] != "generate" {
            assert!(said(&output).contains("hint: "), "{arguments:?}: {}", said(&output));
        }
    }
    // What is not over is no failure, and what is canceled no success.
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let slow = run(&stage, "alice", &["generate", "slow", "-m", "flux-1.1-pro", "--timeout", "1", "--json"]);
    assert_eq!(slow.status.code(), Some(23), "{}", said(&slow));
    let id = json_of(&slow)["id"].as_str().unwrap().to_owned();
    stage.alice().run(&format!("SELECT image_gen.cancel('{id}')"));
    assert_eq!(run(&stage, "alice", &["wait", &id, "--no-save"]).status.code(), Some(22));
    // Programs read the fault as JSON.
    let wrong = run(&stage, "alice", &["--json", "wait", "gen_01M8MRZQ8G00W4RMSJ4BNW62P4"]);
    let fault: Value = serde_json::from_slice(&wrong.stderr).unwrap();
    assert_eq!(
        (&fault["error"]["code"], &fault["error"]["sqlstate"]),
        (&json!("not_found"), &json!("42704"))
    );
}

#[test]
fn completions_and_a_manual_page_are_written_without_a_database() {
    let stage = stage();
    for shell in ["bash", "zsh", "fish"] {
        let written = run(&stage, "alice", &["completions", shell]);
        assert!(written.status.success() && said(&written).contains("estimate"), "{shell}");
    }
    let mut manual = command(&stage, "alice");
    manual.env_remove("PGHOST");
    let manual = manual.arg("man").output().unwrap();
    assert!(manual.status.success() && said(&manual).contains(".TH image-gen"), "{}", said(&manual));
}

#[test]
fn the_skill_is_installed_and_its_tool_calls_run_as_they_are_written() {
    let stage = stage();
    stage.admin().run("UPDATE image_gen.providers SET enabled = true WHERE id = 'openai'");
    stage.admin().run("SELECT image_gen.set_budget('role', 'alice', 5)");
    let out = folder("skills");
    let installed = run(&stage, "alice", &["skill", "install", out.to_str().unwrap()]);
    assert!(installed.status.success(), "{}", said(&installed));
    let skill = std::fs::read_to_string(out.join("image-gen/SKILL.md")).unwrap();
    assert!(skill.starts_with("---\nname: image-gen\ndescription: "), "{skill}");
    let (_, calls) = skill.split_once("```json\n").unwrap();
    let calls: Vec<Value> = serde_json::from_str(calls.split_once("```").unwrap().0).unwrap();
    let mut agent = Pipe::open(&stage, "alice", Can::Nothing);
    let mut id = String::new();
    for call in calls {
        let arguments = serde_json::from_str(&call["arguments"].to_string().replace("$id", &id)).unwrap();
        let answer = agent.done(call["tool"].as_str().unwrap(), arguments);
        if call["tool"] == "generate_image" {
            id = answer["id"].as_str().unwrap().to_owned();
        }
        if call["tool"] == "settle" {
            assert!(answer["done"]["hero"].is_object(), "{answer}");
        }
    }
    std::fs::remove_dir_all(out).unwrap();
}

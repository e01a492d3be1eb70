//! What an agent may spend: nothing that a person has not agreed to, by a budget or by a word. Held against the simulator's ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::companion::{Can, Pipe, meta};
use image_gen_tests::{Options, Stage};
use serde_json::{Value, json};

/// A stage with BFL alone, where whatever costs anything is asked about.
fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["image_gen.mcp_confirm_above = 0"]));
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage
}

fn cup() -> Value {
    json!({"prompt": "a cup", "model": "flux-1.1-pro"})
}

/// Nothing was queued, so nothing can be billed.
fn nothing_spent(stage: &Stage) {
    assert_eq!(stage.admin().number("SELECT count(*) FROM image_gen.jobs"), 0);
    assert_eq!(stage.sim.submits(), 0);
}

#[test]
fn a_client_that_cannot_ask_spends_nothing_without_a_budget_and_within_one_what_it_allows() {
    let stage = stage();
    for modern in [false, true] {
        let mut agent = if modern {
            Pipe::modern(&stage, "alice", Can::Nothing)
        } else {
            Pipe::open(&stage, "alice", Can::Nothing)
        };
        for (tool, arguments) in [
            ("generate_image", cup()),
            ("edit_image", json!({"image": "https://example.com/a.png", "prompt": "x"})),
            ("vary_image", json!({"image": "https://example.com/a.png"})),
            ("upscale_image", json!({"image": "https://example.com/a.png"})),
            (
                "transfer_style",
                json!({"image": "https://example.com/a.png", "style_image": "https://example.com/b.png"}),
            ),
        ] {
            let (code, hint) = agent.refused(tool, arguments);
            // What no provider of this stage can do is said first, and spends nothing either.
            assert!(
                code == "confirmation_required" && hint.contains("set_budget") || code == "not_supported",
                "{tool}: {code}"
            );
        }
        assert_eq!(agent.refused("generate_image", cup()).0, "confirmation_required");
    }
    nothing_spent(&stage);
    // Of another campaign there is a budget: that is none for this one.
    stage.admin().run("SELECT image_gen.set_budget('campaign', 'spring', 0.05)");
    let mut agent = Pipe::modern(&stage, "alice", Can::Nothing);
    assert_eq!(agent.refused("generate_image", cup()).0, "confirmation_required");
    nothing_spent(&stage);
    let mut booked = cup();
    booked["metadata"] = json!({"campaign": "spring"});
    let one = agent.done("generate_image", booked.clone());
    stage.alice().all_succeed(&[one["id"].as_str().unwrap().to_owned()]);
    assert_eq!(agent.refused("generate_image", booked).0, "budget_exceeded");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (1, "0.04"));
    stage.check_money();
}

#[test]
fn a_client_of_old_that_can_ask_asks_and_its_persons_no_is_a_no() {
    let stage = stage();
    let mut agent = Pipe::open(&stage, "alice", Can::Ask(false));
    assert_eq!(agent.refused("generate_image", cup()).0, "declined");
    assert!(agent.asked[0]["message"].as_str().unwrap().contains("0.04 USD"), "{:?}", agent.asked);
    nothing_spent(&stage);
    let mut agent = Pipe::open(&stage, "alice", Can::Ask(true));
    let one = agent.done("generate_image", cup());
    assert_eq!(agent.asked.len(), 1);
    stage.alice().all_succeed(&[one["id"].as_str().unwrap().to_owned()]);
    // What costs little is not asked about.
    stage.admin().run("ALTER DATABASE shop SET image_gen.mcp_confirm_above = 0.05");
    let mut agent = Pipe::open(&stage, "alice", Can::Ask(false));
    let two = agent.done("generate_image", cup());
    stage.alice().all_succeed(&[two["id"].as_str().unwrap().to_owned()]);
    assert_eq!((agent.asked.len(), stage.sim.submits()), (0, 2));
    stage.check_money();
}

#[test]
fn forged_replayed_and_foreign_confirmations_spend_nothing() {
    let stage = stage();
    let mut agent = Pipe::modern(&stage, "alice", Can::Ask(true));
    let asked = agent.request("tools/call", json!({"name": "generate_image", "arguments": cup()}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = asked["requestState"].as_str().unwrap().to_owned();
    assert!(asked["inputRequests"]["spend"]["params"]["message"].as_str().unwrap().contains("0.04 USD"));
    let yes = json!({"spend": {"action": "accept", "content": {"confirm": true}}});
    let with = |arguments: Value, state: &str, answer: &Value| json!({"name": "generate_image", "arguments": arguments, "requestState": state, "inputResponses": answer});
    let mut dearer = cup();
    dearer["n"] = json!(4);
    // One letter of the signature is another one.
    let last = if state.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &state[..state.len() - 1]);
    for (what, params) in [
        ("forged", with(cup(), &forged, &yes)),
        ("made up", with(cup(), "rs2.AAAA.BBBB.CCCC", &yes)),
        ("of another call", with(dearer, &state, &yes)),
    ] {
        let result = agent.request("tools/call", params);
        assert_eq!(result["structuredContent"]["error"]["code"], "confirmation_required", "{what}: {result}");
    }
    // Of another caller, with the same server's key or another's.
    let mut bob = Pipe::modern(&stage, "bob", Can::Ask(true));
    let result = bob.request("tools/call", with(cup(), &state, &yes));
    assert_eq!(result["structuredContent"]["error"]["code"], "confirmation_required", "{result}");
    nothing_spent(&stage);
    // A yes counts once.
    let result = agent.request("tools/call", with(cup(), &state, &yes));
    let id = result["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
    stage.alice().all_succeed(&[id]);
    for _ in 0..3 {
        let result = agent.request("tools/call", with(cup(), &state, &yes));
        assert_eq!(
            result["structuredContent"]["error"]["code"], "confirmation_required",
            "replayed: {result}"
        );
    }
    // A no, and a yes without the word, are a no.
    for answer in [
        json!({"spend": {"action": "decline"}}),
        json!({"spend": {"action": "accept", "content": {}}}),
        json!({}),
    ] {
        let asked = agent.request("tools/call", json!({"name": "generate_image", "arguments": cup()}));
        let state = asked["requestState"].as_str().unwrap();
        let result = agent.request("tools/call", with(cup(), state, &answer));
        assert_eq!(result["structuredContent"]["error"]["code"], "declined", "{answer}: {result}");
    }
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (1, "0.04"));
    stage.check_money();
}

#[test]
fn a_task_is_the_job_it_outlives_the_server_and_a_review_is_a_question() {
    // Must show 3: the same task id answers after the server was killed in the middle.
    let stage = stage();
    stage.admin().run("SELECT image_gen.set_budget('role', 'alice', 1)");
    stage.admin().run("ALTER DATABASE shop SET image_gen.mcp_confirm_above = 1");
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let mut agent = Pipe::modern(&stage, "alice", Can::Tasks);
    let task = agent.call("generate_image", cup());
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task}");
    let id = task["taskId"].as_str().unwrap().to_owned();
    stage.accepted(1);
    agent.kill();
    let mut agent = Pipe::modern(&stage, "alice", Can::Tasks);
    assert_eq!(agent.request("tasks/get", json!({"taskId": id}))["status"], "working");
    stage.alice().all_succeed(std::slice::from_ref(&id));
    let over = agent.request("tasks/get", json!({"taskId": id}));
    assert_eq!(
        (&over["status"], &over["result"]["structuredContent"]["id"]),
        (&json!("completed"), &json!(id)),
        "{over}"
    );
    assert_eq!(stage.sim.submits(), 1);
    // A client that does not know tasks is given none, and may not ask about one.
    let mut plain = Pipe::modern(&stage, "alice", Can::Nothing);
    assert_eq!(plain.answer("tasks/get", json!({"taskId": id}))["error"]["code"], -32021);
    // A job that waits for a person asks.
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "forbidden", "fault": "refuse"}));
    let task =
        agent.call("generate_image", json!({"prompt": "forbidden fruit", "model": "bfl:flux-1.1-pro"}));
    let id = task["taskId"].as_str().unwrap().to_owned();
    stage.alice().all_done(std::slice::from_ref(&id));
    let asks = agent.request("tasks/get", json!({"taskId": id}));
    assert_eq!(asks["status"], "input_required", "{asks}");
    assert!(
        asks["inputRequests"]["review"]["params"]["requestedSchema"]["properties"]["action"].is_object(),
        "{asks}"
    );
    let answer =
        json!({"review": {"action": "accept", "content": {"action": "rewrite", "prompt": "an apple"}}});
    agent.request("tasks/update", json!({"taskId": id, "inputResponses": answer}));
    stage.alice().all_succeed(std::slice::from_ref(&id));
    assert_eq!(agent.request("tasks/get", json!({"taskId": id}))["status"], "completed");
    // One that is canceled says so.
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let task = agent.call("generate_image", cup());
    let id = task["taskId"].as_str().unwrap().to_owned();
    agent.request("tasks/cancel", json!({"taskId": id}));
    stage.alice().all_done(std::slice::from_ref(&id));
    assert_eq!(agent.request("tasks/get", json!({"taskId": id}))["status"], "cancelled");
    assert_eq!(meta(Can::Tasks)["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

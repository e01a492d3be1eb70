//! An agent at the other end of a pipe: the tools, what it may see, what it costs a model to read, and asking before money is spent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image_gen_tests::companion::{Can, Pipe};
use image_gen_tests::{Options, Stage};
use serde_json::{Value, json};

/// A stage with BFL alone, where the role alice has a budget.
fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["image_gen.keep_bytes = all"]));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    admin.run("SELECT image_gen.set_budget('role', 'alice', 5)");
    stage
}

fn shot(name: &str, prompt: &str) -> Value {
    json!({"prompt": prompt, "model": "flux-1.1-pro", "width": 1024, "height": 1024, "idempotency_key": name,
           "metadata": {"campaign": "aurora-launch", "shot": name, "ticket": "MKT-2241"}})
}

fn ids_of(queued: &[Value]) -> Vec<String> {
    queued.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// The blocks of a result of this type.
fn blocks(result: &Value, kind: &str) -> Vec<Value> {
    result["content"].as_array().unwrap().iter().filter(|block| block["type"] == kind).cloned().collect()
}

#[test]
fn an_agent_of_old_and_one_of_today_launch_four_shots_and_the_ledger_agrees() {
    // N28 to N30, S1 to S6, S22: budgets, a refusal that is rendered again in softer words, the images, what it cost.
    for modern in [false, true] {
        let stage = stage();
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": "eyes closed", "fault": "refuse"}));
        let mut agent = match modern {
            true => Pipe::modern(&stage, "alice", Can::Nothing),
            false => Pipe::open(&stage, "alice", Can::Nothing),
        };
        assert_eq!(agent.done("get_credits", json!({}))["available"], 5);
        let shots = [
            ("hero", "matte black over-ear headphones on a plinth"),
            ("lifestyle", "a woman wearing the headphones, eyes closed"),
            ("detail", "macro shot of the ear cushion"),
            ("social", "headphones in mid-air"),
        ];
        let queued: Vec<Value> =
            shots.iter().map(|(name, prompt)| agent.done("generate_image", shot(name, prompt))).collect();
        // The same key again is the same generation.
        assert_eq!(agent.done("generate_image", shot("hero", shots[0].1))["id"], queued[0]["id"]);
        let ids = ids_of(&queued);
        let params = json!({"name": "settle", "arguments": {"ids": ids, "wait_seconds": 45}, "_meta": {"progressToken": "p1"}});
        let settled = agent.request("tools/call", params);
        let answer = &settled["structuredContent"];
        assert_eq!(answer["done"].as_object().unwrap().len(), 4, "{answer}");
        assert_eq!((&answer["failed"], &answer["pending"]), (&json!({}), &json!([])));
        assert_eq!((blocks(&settled, "image").len(), blocks(&settled, "resource_link").len()), (1, 4));
        let progress: Vec<&Value> =
            agent.notified.iter().filter(|one| one["method"] == "notifications/progress").collect();
        assert!(progress.iter().all(|one| one["params"]["progressToken"] == "p1"), "{progress:?}");
        assert!(!progress.is_empty(), "it says that it waits");
        // Two sets of books.
        assert_eq!(stage.sim.submits(), 5, "one render more, for the refused shot");
        assert_eq!(stage.alice().text("SELECT sum(billed_cost) FROM image_gen.jobs"), stage.sim.billed());
        let left = agent.done("get_credits", json!({}))["available"].as_f64().unwrap();
        let billed: f64 = stage.sim.billed().parse().unwrap();
        assert!((left - (5.0 - billed)).abs() < 1e-9, "{left} of 5 are left after {billed}");
        stage.check_money();
    }
}

#[test]
fn the_answers_of_tools_are_what_their_schemas_promise_and_errors_say_what_to_do() {
    let stage = stage();
    let mut agent = Pipe::open(&stage, "alice", Can::Nothing);
    let listed = agent.request("tools/list", json!({}));
    let names: Vec<&str> =
        listed["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "generate_image",
            "get_generation",
            "list_recent_generations",
            "get_credits",
            "edit_image",
            "upscale_image",
            "vary_image",
            "transfer_style",
            "estimate",
            "cancel_generation",
            "choose_model",
            "settle",
            "list_reviews",
            "resolve_review"
        ]
    );
    let keys = |tool: &str| -> Vec<String> {
        let tool = listed["tools"].as_array().unwrap().iter().find(|t| t["name"] == tool).unwrap();
        tool["outputSchema"]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let promised = |agent: &mut Pipe, tool: &str, arguments: Value| {
        let answer = agent.done(tool, arguments);
        let (mut said, mut meant): (Vec<String>, Vec<String>) =
            (answer.as_object().unwrap().keys().cloned().collect(), keys(tool));
        said.sort();
        meant.sort();
        assert_eq!(said, meant, "{tool}");
        answer
    };
    let first = promised(&mut agent, "generate_image", shot("a", "a cup"));
    let id = first["id"].as_str().unwrap().to_owned();
    let seen = promised(&mut agent, "get_generation", json!({"id": id, "wait_seconds": 45}));
    assert_eq!((&seen["status"], &seen["next_poll_ms"]), (&json!("succeeded"), &Value::Null));
    let image = stage.alice().text("SELECT 'asset:' || min(id) FROM image_gen.campaign_assets");
    promised(&mut agent, "list_recent_generations", json!({"limit": 5}));
    promised(&mut agent, "get_credits", json!({}));
    promised(&mut agent, "choose_model", json!({"draft": true}));
    promised(&mut agent, "list_reviews", json!({}));
    promised(
        &mut agent,
        "edit_image",
        json!({"image": image, "prompt": "in the rain", "model": "flux-kontext-pro"}),
    );
    let estimate =
        promised(&mut agent, "estimate", json!({"arguments": {"prompt": "a cup", "model": "flux-1.1-pro"}}));
    assert_eq!((&estimate["needs_confirmation"], &estimate["within_budget"]), (&json!(false), &json!(true)));
    stage.sim.configure(&json!({"render_seconds": 30.0}));
    let slow = agent.done("generate_image", shot("slow", "a slow cup"));
    let waiting = promised(&mut agent, "settle", json!({"ids": [slow["id"]], "wait_seconds": 0}));
    assert_eq!((&waiting["pending"], waiting["next_poll_ms"].as_u64().is_some()), (&json!(["slow"]), true));
    promised(&mut agent, "cancel_generation", json!({"id": slow["id"]}));
    // What is wrong has a code and a hint.
    for (tool, arguments, code) in [
        ("generate_image", json!({"prompt": "x", "widht": 3}), "invalid_request"),
        ("generate_image", json!({"prompt": "x", "model": "no-such-model"}), "not_found"),
        ("get_generation", json!({"id": id, "wait_seconds": 3600}), "invalid_request"),
        ("settle", json!({"ids": vec![id.clone(); 21]}), "invalid_request"),
        ("generate_image", json!({"prompt": "dear", "max_cost": 0.001}), "budget_exceeded"),
    ] {
        let (said, hint) = agent.refused(tool, arguments.clone());
        assert_eq!(said, code, "{tool} {arguments}");
        assert!(!hint.is_empty(), "{tool} {arguments}");
    }
    assert_eq!(
        agent.answer("tools/call", json!({"name": "set_budget", "arguments": {}}))["error"]["code"],
        -32602
    );
}

#[test]
fn what_is_anothers_is_not_found_by_whatever_way_it_is_asked_for() {
    let stage = stage();
    let mut alice = Pipe::open(&stage, "alice", Can::Tasks);
    let mut bob = Pipe::modern(&stage, "bob", Can::Tasks);
    let task = alice.call("generate_image", shot("a", "a cup"));
    let id = task["taskId"].as_str().expect("a task").to_owned();
    stage.alice().all_succeed(std::slice::from_ref(&id));
    let asset = stage.alice().text("SELECT min(id) FROM image_gen.campaign_assets");
    let uri = format!("image_gen://asset/{asset}");
    let whole = alice.request("resources/read", json!({"uri": uri}));
    let bytes = STANDARD.decode(whole["contents"][0]["blob"].as_str().unwrap()).unwrap();
    let kept = stage.alice().text("SELECT byte_size FROM image_gen.campaign_assets");
    assert_eq!(bytes.len().to_string(), kept, "the image itself");
    for (tool, arguments) in [
        ("get_generation", json!({"id": id})),
        ("get_generation", json!({"id": id, "wait_seconds": 5})),
        ("settle", json!({"ids": [id]})),
        ("cancel_generation", json!({"id": id})),
        ("resolve_review", json!({"id": id, "action": "reject"})),
    ] {
        assert_eq!(bob.refused(tool, arguments).0, "not_found", "{tool}");
    }
    assert_eq!(bob.done("list_recent_generations", json!({}))["generations"], json!([]));
    for (method, params) in [
        ("resources/read", json!({"uri": uri})),
        ("resources/read", json!({"uri": "image_gen://asset/999999"})),
        ("resources/read", json!({"uri": "file:///etc/passwd"})),
        ("tasks/get", json!({"taskId": id})),
        ("tasks/cancel", json!({"taskId": id})),
        (
            "tasks/update",
            json!({"taskId": id, "inputResponses": {"review": {"action": "accept", "content": {"action": "reject"}}}}),
        ),
    ] {
        let error = bob.answer(method, params)["error"].clone();
        assert_eq!(error["data"]["error"]["code"], "not_found", "{method}: {error}");
    }
    assert_eq!(bob.request("resources/list", json!({}))["resources"], json!([]));
}

#[test]
fn no_result_is_longer_than_a_model_can_read_with_one_to_twenty_pictures_of_four_megabytes() {
    // N29: as o200k counts it, a picture by its characters as clients do that count so.
    let stage = stage();
    let mut admin = stage.admin();
    let mut agent = Pipe::open(&stage, "alice", Can::Nothing);
    stage.sim.configure(&json!({"render_seconds": 0.0}));
    let mut ids = vec![];
    for n in 0..20 {
        let prompt = format!("{n} {}", "\u{1f980}\"\\ \u{6f22}".repeat(1500));
        let mut call = shot(&format!("{n} {}", "\u{6f22}".repeat(200)), &prompt);
        call["metadata"]["much"] = json!("<&>".repeat(5000));
        ids.push(agent.done("generate_image", call)["id"].as_str().unwrap().to_owned());
    }
    stage.alice().all_succeed(&ids);
    // Each becomes one of 4 MB that has no small copy: what a provider's large answer is.
    admin.run("TRUNCATE image_gen_internal.thumbnails");
    let noise = STANDARD.encode(noise(1180));
    admin.run(&format!("UPDATE image_gen_internal.blobs SET bytes = decode('{noise}', 'base64')"));
    admin.run("UPDATE image_gen.campaign_assets SET byte_size = 4200000, width = 1180, height = 1180, url = 'image-gen:sha256:' || sha256");
    let counted = |result: &Value| -> usize {
        let text: String =
            blocks(result, "text").iter().map(|block| block["text"].as_str().unwrap().to_owned()).collect();
        let images: usize =
            blocks(result, "image").iter().map(|block| block["data"].as_str().unwrap().len()).sum();
        let links = Value::from(blocks(result, "resource_link")).to_string();
        // A character of another script is a token or more; of ours, four characters are one.
        let tokens = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 8 }).sum::<usize>() / 3;
        tokens(&text) + tokens(&result["structuredContent"].to_string()) + tokens(&links) + images / 4
    };
    for n in 1..=20 {
        let result = agent.call("settle", json!({"ids": ids[..n], "wait_seconds": 0}));
        assert!(counted(&result) <= 25_000, "{n} pictures: {}", counted(&result));
        let image = &blocks(&result, "image");
        if let Some(image) = image.first() {
            let bytes = STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
            let shown = image::load_from_memory(&bytes).unwrap();
            assert!(shown.width().max(shown.height()) <= 1024 && bytes.len() <= 48_000);
        }
        assert_eq!(blocks(&result, "resource_link").len(), n);
        if n % 5 > 0 {
            continue;
        }
        let one = agent.call("get_generation", json!({"id": ids[n - 1]}));
        assert!(counted(&one) <= 25_000 && blocks(&one, "image").len() == 1, "{}", counted(&one));
        let list = agent.call("list_recent_generations", json!({"limit": 5 * n}));
        assert!(counted(&list) <= 25_000, "{n}: {}", counted(&list));
    }
    // What did not fit is on the next page.
    let (mut seen, mut before) = (vec![], Value::Null);
    loop {
        let page = agent.done("list_recent_generations", json!({"limit": 20, "before": before}));
        seen.extend(
            page["generations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        before = page["next_before"].clone();
        if before.is_null() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

/// A PNG that cannot be made smaller.
fn noise(side: u32) -> Vec<u8> {
    let mut state = 7_u32;
    let picture = image::RgbImage::from_fn(side, side, |_, _| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        image::Rgb([next(), next(), next()])
    });
    let mut bytes = std::io::Cursor::new(vec![]);
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

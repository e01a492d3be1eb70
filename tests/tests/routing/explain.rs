//! What would be done, without doing it.

use image_gen_tests::Stage;
use serde_json::{Value, json};

use crate::common::{check_ledger, picture, stage, story};

/// How many requests there were. (The worker looks at accounts when it likes.)
fn sent(stage: &Stage) -> usize {
    stage.sim.entries().iter().filter(|entry| entry["phase"] != "balance").count()
}

#[test]
fn explain_sends_nothing_and_shows_no_key() {
    // S115, S134, S138
    let stage = stage(
        &[
            "bfl",
            "openai",
            "stability",
            "fal",
            "replicate",
            "google",
            "ideogram",
            "openrouter",
            "a1111",
            "comfyui",
        ],
        &["image_gen.keep_bytes = 'all'"],
    );
    stage.admin().run("UPDATE image_gen.providers SET enabled = true WHERE id <> 'preview'");
    let mut alice = stage.alice();
    let picture = picture(&stage);
    let before = sent(&stage);
    let jobs = alice.number("SELECT count(*) FROM image_gen.jobs");
    for (operation, arguments) in [
        ("generate", json!({"prompt": "a kettle", "model": "flux-1.1-pro"})),
        ("generate", json!({"prompt": "a kettle"})),
        ("generate", json!({"prompt": "a poster that says \"SUMMER SALE NOW\""})),
        ("generate", json!({"prompt": "a kettle", "quality": "draft", "seed": 7})),
        ("edit", json!({"image": picture, "prompt": "warmer", "mode": "img2img", "strength": 0.4})),
        ("edit", json!({"image": picture, "mask": picture, "prompt": "a lamp"})),
        ("edit", json!({"image": picture, "border_left": 64, "prompt": "a lamp"})),
        ("upscale", json!({"image": picture, "scale": 4})),
        ("variate", json!({"image": picture, "prompt": "a kettle"})),
        ("transfer_style", json!({"image": picture, "style_image": picture, "prompt": "a kettle"})),
    ] {
        let arguments = arguments.to_string().replace('\'', "''");
        let rows = alice.rows(&format!(
            "SELECT \"position\", provider, model, included, reason, probability, estimated_cost, request FROM image_gen.explain('{operation}', '{arguments}')"
        ));
        assert!(!rows.is_empty(), "{operation} {arguments}");
        let included: Vec<_> = rows.iter().filter(|row| row[3] == "t").collect();
        assert!(!included.is_empty(), "{operation} {arguments}: {rows:?}");
        let positions: Vec<String> = included.iter().map(|row| row[0].clone()).collect();
        let expected: Vec<String> = (1..=included.len()).map(|n| n.to_string()).collect();
        assert_eq!(positions, expected, "{operation} {arguments}");
        let sum: f64 = included.iter().map(|row| row[5].parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{operation} {arguments}: {sum}");
        for row in &rows {
            assert!(!row[4].is_empty(), "a reason: {row:?}");
            assert_eq!(row[3] == "t", !row[7].is_empty(), "who would be sent something, and what: {row:?}");
            let text = row.join(" ").to_lowercase();
            assert!(!text.contains("test-"), "a key: {row:?}");
            assert!(
                !text.contains(";base64,ivbor") || text.len() < 4_000,
                "images are cut: {} characters",
                text.len()
            );
        }
        for row in &included {
            let request: Value = serde_json::from_str(&row[7]).unwrap();
            assert!(
                request["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")),
                "{request}"
            );
            assert_eq!(request["method"], "POST", "{request}");
        }
    }
    assert_eq!(sent(&stage), before, "not one request");
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), jobs);
    // Whoever has no upscaler says so before any call.
    let rows = alice.rows(&format!("SELECT provider, reason FROM image_gen.explain('upscale', '{{\"image\": \"{picture}\", \"model\": \"bfl:flux-2-pro\"}}')"));
    assert!(rows.iter().any(|row| row[0] == "bfl" && row[1].contains("not_supported")), "{rows:?}");
    let error =
        alice.error(&format!("SELECT image_gen.upscale(image => '{picture}', model => 'bfl:flux-2-pro')"));
    assert_eq!(error.code().code(), "0A000", "{error:?}");
    assert_eq!(sent(&stage), before);
}

#[test]
fn explain_says_who_is_out_and_why() {
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    stage.admin().run("UPDATE image_gen.providers SET enabled = true WHERE id IN ('openai', 'replicate')");
    stage.sentinel();
    let before = sent(&stage);
    let mut alice = stage.alice();
    let arguments = json!({"prompt": "a kettle", "model": "flux-1.1-pro", "width": 512, "height": 512,
        "provider_preferences": {"blocked": ["fal"], "preferred": ["stability"]}});
    let rows = alice.rows(&format!(
        "SELECT provider, model, included, reason FROM image_gen.explain('generate', '{arguments}')"
    ));
    let of = |provider: &str| {
        let row =
            rows.iter().find(|row| row[0] == provider).unwrap_or_else(|| panic!("{provider}: {rows:?}"));
        (row[2] == "t", row[3].clone())
    };
    assert!(of("bfl").0 && of("stability").0, "{rows:?}");
    for (provider, why) in [("fal", "blocked"), ("replicate", "not_configured")] {
        let (included, reason) = of(provider);
        assert!(!included && reason.contains(why), "{provider}: {reason}");
    }
    assert!(!rows.iter().any(|row| row[0] == "openai"), "nobody without a key stands in: {rows:?}");
    // The route is what is then done.
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 402}}));
    let route: Vec<String> =
        rows.iter().filter(|row| row[2] == "t").map(|row| format!("{}:{}", row[0], row[1])).collect();
    assert_eq!(sent(&stage), before);
    let id = alice.generate_with("prompt => 'a kettle', model => 'flux-1.1-pro', width => 512, height => 512, provider_preferences => '{\"blocked\": [\"fal\"], \"preferred\": [\"stability\"]}'");
    alice.all_succeed(std::slice::from_ref(&id));
    let done: Vec<String> =
        story(&mut alice, &id).iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(done, route);
    assert_eq!(alice.sqlstate("SELECT * FROM image_gen.explain('generate', '[]')"), "22023");
    assert_eq!(alice.sqlstate("SELECT * FROM image_gen.explain('paint', '{\"prompt\": \"x\"}')"), "22023");
    check_ledger(&stage);
}

#[test]
fn a_job_without_a_model_goes_where_explain_says_and_shows_where_it_went() {
    // F10: the model that was planned is not taken for one that the caller named.
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    let mut alice = stage.alice();
    for preferred in ["stability", "fal", "bfl"] {
        let preferences = format!("{{\"preferred\": [\"{preferred}\"]}}");
        let arguments = format!("{{\"prompt\": \"a kettle\", \"provider_preferences\": {preferences}}}");
        let route = alice.column(&format!(
            "SELECT provider || ':' || model FROM image_gen.explain('generate', '{arguments}') WHERE included ORDER BY position"
        ));
        assert!(route[0].starts_with(preferred), "{route:?}");
        let id =
            alice.generate_with(&format!("prompt => 'a kettle', provider_preferences => '{preferences}'"));
        alice.all_succeed(std::slice::from_ref(&id));
        let shown = alice.text(&format!("SELECT provider || ':' || model FROM image_gen.status('{id}')"));
        assert_eq!(shown, route[0]);
        let sent = alice
            .text(&format!("SELECT provider || ':' || model FROM image_gen.attempts WHERE job_id = '{id}'"));
        assert_eq!(sent, route[0]);
    }
    check_ledger(&stage);
}

#[test]
fn a_job_for_ones_own_machine_waits_there_and_goes_nowhere_else() {
    let stage = stage(&["bfl", "fal", "stability", "a1111"], &[]);
    let mut alice = stage.alice();
    stage.sim.rule(json!({"provider": "a1111", "fault": {"kind": "status", "code": 500}}));
    let id = alice.generate_with("prompt => 'the board, before it is announced', model => 'sd-local'");
    alice.done(&id);
    let asked =
        alice.column(&format!("SELECT DISTINCT provider FROM image_gen.attempts WHERE job_id = '{id}'"));
    assert!(asked.iter().all(|provider| provider == "a1111"), "{asked:?}");
    let clouds = stage.sim.totals().by_provider;
    assert!(clouds.keys().all(|provider| *provider == "a1111"), "{clouds:?}");
}

#[test]
fn max_cost_leaves_the_dear_ones_out() {
    let stage = stage(&["bfl", "fal", "stability"], &["image_gen.breaker_failures = 0"]);
    let mut alice = stage.alice();
    let explained = |session: &mut image_gen_tests::Session, limit: &str| {
        session.rows(&format!(
            "SELECT provider, included, reason, estimated_cost FROM image_gen.explain('generate',
               '{{\"prompt\": \"a kettle\", \"model\": \"flux-1.1-pro\", \"max_cost\": {limit}}}') ORDER BY \"position\", provider"
        ))
    };
    let all = explained(&mut alice, "1");
    println!("{all:?}");
    assert!(all.iter().all(|row| row[1] == "t"), "{all:?}");
    // What the first one costs is too dear; the one that stands in costs less, but there is nobody to stand in for.
    let core: f64 = all.iter().find(|row| row[0] == "stability").unwrap()[3].parse().unwrap();
    let bfl: f64 = all.iter().find(|row| row[0] == "bfl").unwrap()[3].parse().unwrap();
    assert!(core < bfl, "{all:?}");
    let cheap = explained(&mut alice, &format!("{}", (core + bfl) / 2.0));
    assert!(
        cheap.iter().any(|row| row[0] == "bfl" && row[1] == "f" && row[2].contains("too_dear")),
        "{cheap:?}"
    );
    assert_eq!(stage.sim.entries().len(), 0);
    let error =
        alice.error("SELECT image_gen.generate(prompt => 'x', model => 'flux-1.1-pro', max_cost => 0.001)");
    assert_eq!(error.code().code(), "53400", "{error:?}");
    assert_eq!(stage.sim.entries().len(), 0);

    // In the chain: the dear one is not the fallback, whatever happens to the cheap one.
    let ultra = "model => 'stable-image-core', provider_preferences => '{\"preferred\": [\"stability\", \"bfl\"], \"only\": true}'";
    stage
        .sim
        .rule(json!({"provider": "stability", "phase": "submit", "fault": {"kind": "status", "code": 402}}));
    let mut queue = |tag: &str, limit: f64| {
        alice.generate_with(&format!("prompt => '[{tag}]', {ultra}, max_cost => {limit}"))
    };
    let (tight, wide) = (queue("tight", (core + bfl) / 2.0), queue("wide", bfl));
    let jobs = alice.all_done(&[tight.clone(), wide.clone()]);
    assert_eq!(story(&mut alice, &tight), ["stability:stable-image-core failed insufficient_credits"]);
    assert_eq!((jobs[0].status.as_str(), jobs[0].error_code.as_str()), ("failed", "insufficient_credits"));
    assert_eq!(
        story(&mut alice, &wide),
        ["stability:stable-image-core failed insufficient_credits", "bfl:flux-1.1-pro succeeded"]
    );
    assert_eq!(stage.sim.submits_of("[tight]").len(), 1);
    check_ledger(&stage);
}

//! Who does what: reference images, priorities, and what each provider is known for.

use image_gen_tests::Session;
use image_gen_tests::picture::{data_uri, photo, sha256};
use serde_json::Value;

use crate::{codes, inputs, made_by, one, stage};

#[test]
fn the_same_character_again() {
    // S110 to S115
    let stage = stage();
    let mut alice = stage.alice();
    let mut bob = stage.bob();
    let face = data_uri(&photo(256, 256, 12));
    let mut again = |prompt: &str, more: &str| {
        one(&mut alice, &format!("generate('{prompt}', reference_image => '{face}', {more})"))
    };
    let only = "provider_preferences => '{\"preferred\": [\"replicate\"], \"only\": true}'";
    let strict = again("strict face", &format!("consistency_mode => 'strict', {only}"));
    assert_eq!(made_by(&strict), "replicate:pulid");
    assert_eq!(inputs(&stage.sim, "strict face")[0]["sha256"], sha256(&photo(256, 256, 12)));
    // Who names a model gets it.
    let named =
        again("named face", &format!("consistency_mode => 'strict', model => 'flux-kontext-pro', {only}"));
    assert_eq!(made_by(&named), "replicate:flux-kontext-pro");
    assert_eq!(inputs(&stage.sim, "named face").len(), 1);
    // No strictness, no special model.
    let loose = again("loose face", &format!("consistency_mode => 'loose', {only}"));
    assert_ne!(made_by(&loose), "replicate:pulid");

    // How much it counts.
    let mut weight = |model: &str, field: &str| {
        ["strict", "balanced", "loose"].map(|mode| {
            let prompt = format!("{model} {mode}");
            again(&prompt, &format!("consistency_mode => '{mode}', model => '{model}'"));
            let sent = stage.sim.submits_of(&prompt).remove(0);
            assert_eq!(sent["inputs"].as_array().map(Vec::len), Some(1), "{prompt}");
            let body = &sent["body"];
            body.pointer(field).unwrap_or_else(|| panic!("{prompt}: no {field} in {body}")).as_f64().unwrap()
        })
    };
    for (model, field) in [
        ("replicate:pulid", "/input/identity_scale"),
        ("fal:flux-pulid", "/id_weight"),
        ("a1111:sd-local", "/alwayson_scripts/controlnet/args/0/weight"),
    ] {
        let [strict, balanced, loose] = weight(model, field);
        assert!(strict > balanced && balanced > loose, "{model}: {strict} {balanced} {loose}");
    }

    // S114: the table of capabilities says who takes one.
    for (model, taken) in [
        ("replicate:pulid", true),
        ("replicate:ip-adapter", true),
        ("fal:ip-adapter-face-id", true),
        ("a1111:sd-local", true),
        ("stability:stable-image-core", false),
    ] {
        let (provider, name) = model.split_once(':').unwrap();
        let state = bob.text(&format!(
            "SELECT state FROM image_gen.capabilities WHERE provider = '{provider}' AND model = '{name}'
                AND task = 'generate' AND parameter = 'reference_image'"
        ));
        assert_eq!(state != "unsupported" && !state.is_empty(), taken, "{model}: {state}");
    }

    // Stability has no place for it, and says so.
    let ignored =
        again("ignored face", "consistency_mode => 'strict', model => 'stability:stable-image-core'");
    assert_eq!(codes(&ignored), ["reference_ignored"], "{ignored}");
    assert_eq!(inputs(&stage.sim, "ignored face"), [] as [Value; 0]);
    // OpenAI's successors of DALL-E have.
    let taken = again("taken face", "consistency_mode => 'strict', model => 'openai:gpt-image'");
    assert!(!codes(&taken).contains(&"reference_ignored"), "{taken}");
    assert_eq!(inputs(&stage.sim, "taken face").len(), 1);
}

#[test]
fn each_priority_has_its_provider() {
    // S92 to S99
    let stage = stage();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let by = |alice: &mut Session, priority: &str| {
        made_by(&one(alice, &format!("generate('a {priority} pear', priority => '{priority}')")))
    };
    for (priority, provider) in [
        ("quality", "openai"),
        ("control", "stability"),
        ("speed", "bfl"),
        ("variety", "replicate"),
        ("privacy", "a1111"),
    ] {
        let made_by = by(&mut alice, priority);
        assert!(made_by.starts_with(&format!("{provider}:")), "{priority}: {made_by}");
    }
    // One's own machine costs nothing; without it the cheapest of all is asked.
    assert!(["a1111", "comfyui"].iter().any(|own| by(&mut alice, "cost").starts_with(own)));
    admin.run("UPDATE image_gen.providers SET enabled = false WHERE kind IN ('a1111', 'comfyui')");
    let route = alice.rows(
        "SELECT e.provider || ':' || e.model, e.estimated_cost, e.estimated_cost <= min(e.estimated_cost) OVER ()
           FROM image_gen.explain('generate', '{\"prompt\": \"a pear\", \"priority\": \"cost\"}') e
          WHERE e.included ORDER BY e.position",
    );
    assert_eq!(
        (route[0][0].as_str(), route[0][2].as_str()),
        (by(&mut alice, "cost").as_str(), "t"),
        "{route:?}"
    );
    // Whose price nobody knows comes last.
    assert!(route.iter().map(|r| r[1].is_empty()).is_sorted(), "{route:?}");
}

#[test]
fn what_each_provider_is_known_for() {
    // S92 to S97
    let stage = stage();
    let mut alice = stage.alice();
    // S92: the retired names still work.
    let old = one(&mut alice, "generate('dall-e', model => 'dall-e-3', quality => 'hd')");
    assert_eq!((made_by(&old).as_str(), codes(&old)[0]), ("openai:gpt-image-2.6-flare", "successor"));
    assert_eq!(stage.sim.submits_of("dall-e")[0]["body"]["quality"], "high");
    // S93
    one(
        &mut alice,
        "generate('controlled', model => 'stability:sd3.5-large', negative_prompt => 'rain', guidance => 6, options => '{\"style_preset\": \"anime\"}')",
    );
    let body = &stage.sim.submits_of("controlled")[0]["body"];
    for (field, value) in [("negative_prompt", "rain"), ("cfg_scale", "6"), ("style_preset", "anime")] {
        assert!(
            body[field][0].as_str().is_some_and(|v| v.trim_end_matches(".0") == value),
            "{field}: {body}"
        );
    }
    // S94, S95: asked at the URLs that the answer names, and nowhere else.
    one(&mut alice, "generate('polled', model => 'bfl:flux-1.1-pro')");
    one(&mut alice, "generate('queued', model => 'fal:flux-dev')");
    let paths = |provider: &str, prompt: &str| -> Vec<String> {
        let ours = |e: &Value| e["provider"] == provider && e["prompt"] == prompt && e["phase"] != "submit";
        stage
            .sim
            .entries()
            .iter()
            .filter(|e| ours(e))
            .map(|e| e["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let bfl = paths("bfl", "polled");
    assert!(bfl.iter().all(|p| p.contains("1/v1/get_result?id=") || p.contains("/pictures/")), "{bfl:?}");
    let fal = paths("fal", "queued");
    assert!(fal.iter().any(|p| p.ends_with("/status")), "{fal:?}");
    assert!(fal.iter().any(|p| p.contains("/requests/") && !p.ends_with("/status")), "{fal:?}");
    // S96: any community model, by its name or one version of it.
    let by_name = one(
        &mut alice,
        "generate('community', model => 'replicate:playgroundai/playground-v2.5-1024px-aesthetic')",
    );
    assert_eq!(made_by(&by_name), "replicate:playground-v2.5");
    let version = stage.sim.submits_of("community")[0]["body"]["version"].as_str().unwrap().to_owned();
    one(&mut alice, &format!("generate('one version', model => 'replicate:{version}')"));
    assert_eq!(stage.sim.submits_of("one version")[0]["body"]["version"], version.as_str());
    // S97: both endpoints; the cost is what the answer says.
    for (model, path) in [
        ("gemini-nano-banana-2.1", "/api/v1/images"),
        ("gemini-3.1-flash-image-preview", "/api/v1/chat/completions"),
    ] {
        let prompt = format!("routed to {model}");
        let routed = one(&mut alice, &format!("generate('{prompt}', model => 'openrouter:{model}')"));
        let sent = stage.sim.submits_of(&prompt).remove(0);
        assert!(sent["path"].as_str().unwrap().ends_with(path), "{sent}");
        let asset = &routed["assets"][0];
        assert_eq!(
            (asset["cost_source"].as_str(), asset["billed_cost"].to_string()),
            (Some("reported"), sent["billed"].as_str().unwrap().to_owned())
        );
    }
    stage.check_money();
}

//! Several references in one job: kept with it, waited for, sent to the models that take several, and said where one does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::picture::{data_uri, photo, sha256};
use image_gen_tests::{Options, Session, Stage};
use serde_json::Value;

fn stage() -> Stage {
    Stage::with(Options::all_keys(&[]))
}

/// The hashes of the images that came with the one submission of a prompt.
fn inputs(stage: &Stage, prompt: &str) -> Vec<String> {
    let submits = stage.sim.submits_of(prompt);
    assert_eq!(submits.len(), 1, "{prompt}: {submits:?}");
    let inputs = submits[0]["inputs"].as_array().cloned().unwrap_or_default();
    inputs.iter().map(|input| input["sha256"].as_str().unwrap().to_owned()).collect()
}

fn warnings(session: &mut Session, id: &str) -> Vec<String> {
    session.column(&format!(
        "SELECT w ->> 'message' FROM image_gen.jobs j, jsonb_array_elements(j.warnings) w
          WHERE j.id = '{id}' AND w ->> 'code' = 'reference_ignored'"
    ))
}

#[test]
fn every_provider_of_models_that_take_several_gets_them_in_their_order() {
    // S4, P22
    let stage = stage();
    let mut alice = stage.alice();
    let pictures = [photo(96, 96, 10), photo(96, 96, 90), photo(96, 96, 170)];
    let list = pictures.each_ref().map(|p| format!("'{}'", data_uri(p))).join(", ");
    let source = photo(128, 128, 200);
    let mut expected = vec![];
    for model in [
        "bfl:flux-2-pro",
        "bfl:flux-kontext-pro",
        "openai:gpt-image-2",
        "fal:flux-2-pro",
        "fal:nano-banana-2",
        "replicate:flux-2-pro",
        "openrouter:gemini-nano-banana-2.1",
        "google:gemini-nano-banana-2.1",
    ] {
        let prompt = format!("several for {model}");
        let id = alice.generate_with(&format!(
            "prompt => '{prompt}', model => '{model}', reference_images => ARRAY[{list}]"
        ));
        expected.push((id, prompt, pictures.iter().map(|p| sha256(p)).collect::<Vec<_>>()));
    }
    for model in
        ["bfl:flux-2-pro", "openai:gpt-image-2", "fal:flux-kontext-pro-multi", "ideogram:ideogram-4.5-edit"]
    {
        let prompt = format!("edited by {model}");
        let id = alice.text(&format!(
            "SELECT id FROM image_gen.edit('{}', '{prompt}', model => '{model}', reference_images => ARRAY[{list}])",
            data_uri(&source)
        ));
        let all = std::iter::once(&source).chain(&pictures);
        expected.push((id, prompt, all.map(|p| sha256(p)).collect()));
    }
    let ids: Vec<String> = expected.iter().map(|(id, ..)| id.clone()).collect();
    alice.all_succeed(&ids);
    for (id, prompt, hashes) in &expected {
        assert_eq!(inputs(&stage, prompt), *hashes, "{prompt}");
        assert_eq!(warnings(&mut alice, id), [""; 0], "{prompt}");
    }
    assert_eq!(stage.sim.submits(), expected.len() as u64);
    // Stored with the job, by hash, and each file once.
    let stored = alice.text(&format!(
        "SELECT parameters -> 'reference_images' FROM image_gen.jobs WHERE id = '{}'",
        ids[0]
    ));
    let stored: Vec<String> = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored, pictures.each_ref().map(|p| format!("image-gen:sha256:{}", sha256(p))));
    let kept = stage
        .admin()
        .number(&format!("SELECT count(*) FROM image_gen_internal.job_inputs WHERE job_id = '{}'", ids[0]));
    assert_eq!(kept, 3);
    stage.check_money();
}

#[test]
fn references_are_waited_for_fetched_and_the_same_again_when_a_job_is_made_again() {
    let stage = stage();
    let mut alice = stage.alice();
    let first = alice.generate_with("prompt => 'first', model => 'openai:gpt-image-2'");
    alice.all_succeed(std::slice::from_ref(&first));
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{first}'"));
    let hash = alice.text(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE id = {asset}"));
    let fresh = photo(96, 96, 40);
    alice.run("BEGIN");
    let unfinished = alice.generate_with("prompt => 'unfinished', model => 'openai:gpt-image-2'");
    let id = alice.generate_with(&format!(
        "prompt => 'from all', model => 'bfl:flux-2-pro', seed => 11,
         reference_images => ARRAY['asset:{asset}', 'job:{unfinished}', '{}', 'job:{unfinished}']",
        data_uri(&fresh)
    ));
    alice.run("COMMIT");
    alice.all_succeed(&[unfinished.clone(), id.clone()]);
    let made =
        alice.text(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE job_id = '{unfinished}'"));
    let expected = [hash, made.clone(), sha256(&fresh), made];
    assert_eq!(inputs(&stage, "from all"), expected);
    // Made again, with what came along.
    let again = alice.text(&format!("SELECT id FROM image_gen.promote('{id}', 'bfl:flux-2-max')"));
    alice.all_succeed(std::slice::from_ref(&again));
    let submits = stage.sim.submits_of("from all");
    assert_eq!(submits.len(), 2);
    let inputs = |entry: &Value| -> Vec<String> {
        entry["inputs"].as_array().unwrap().iter().map(|i| i["sha256"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(inputs(&submits[1]), expected);
    // One that failed is waited for in vain, wherever it stands among them.
    stage.sim.rule(serde_json::json!({"phase": "submit", "prompt_contains": "doomed", "times": 1, "fault": {"kind": "status", "code": 422}}));
    alice.run("BEGIN");
    let doomed = alice.generate_with("prompt => 'doomed', model => 'bfl:flux-1.1-pro'");
    let waiting = alice.generate_with(&format!(
        "prompt => 'in vain', model => 'bfl:flux-2-pro', reference_images => ARRAY['asset:{asset}', 'job:{doomed}']"
    ));
    alice.run("COMMIT");
    assert_eq!(alice.done(&waiting).error_code, "not_found");
    assert!(stage.sim.submits_of("in vain").is_empty());
    stage.check_money();
}

#[test]
fn what_a_model_does_not_take_is_said_and_what_makes_no_sense_is_refused() {
    let stage = stage();
    let mut alice = stage.alice();
    let one = data_uri(&photo(96, 96, 10));
    // The file is not there: what is not sent is not asked for.
    let id = alice.generate_with(&format!(
        "prompt => 'one of two', model => 'bfl:flux-1.1-pro', reference_images => ARRAY['{one}', 'http://127.0.0.1:9/x.png']"
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(inputs(&stage, "one of two").len(), 1);
    assert_eq!(warnings(&mut alice, &id), ["bfl:flux-1.1-pro uses the first 1 of 2 reference_images"]);
    let id = alice.generate_with(&format!(
        "prompt => 'none', model => 'stability:stable-image-core', reference_images => ARRAY['{one}']"
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(warnings(&mut alice, &id), ["stability:stable-image-core does not use reference_images"]);
    // An open choice goes to a model that takes them.
    let id = alice.generate_with(&format!("prompt => 'open', reference_images => ARRAY['{one}', '{one}']"));
    assert_eq!(alice.text(&format!("SELECT model FROM image_gen.jobs WHERE id = '{id}'")), "flux-2-pro");
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(inputs(&stage, "open").len(), 2);
    // From the tools and as a default of a batch, too.
    let tool = alice.text(&format!(
        "SELECT image_gen.generate_image('{{\"prompt\": \"by a tool\", \"model\": \"bfl:flux-2-pro\", \"reference_images\": [\"{one}\"]}}') ->> 'id'"
    ));
    let shots = alice.column(&format!(
        "SELECT id FROM image_gen.generate_batch('[{{\"shot\": \"a\", \"prompt\": \"shot a\"}}, {{\"shot\": \"b\", \"prompt\": \"shot b\"}}]',
                '{{\"model\": \"bfl:flux-2-pro\", \"reference_images\": [\"{one}\"]}}')"
    ));
    alice.all_succeed(&[vec![tool], shots].concat());
    for prompt in ["by a tool", "shot a", "shot b"] {
        assert_eq!(inputs(&stage, prompt).len(), 1, "{prompt}");
    }
    let before = stage.sim.submits();
    let asset = alice.text("SELECT min(id) FROM image_gen.campaign_assets");
    let bob = format!("SELECT image_gen.generate('x', reference_images => ARRAY['{one}', 'asset:{asset}'])");
    assert_eq!(stage.bob().sqlstate(&bob), "42704");
    for (call, state) in [
        ("generate('x', reference_images => ARRAY['me.png'])", "22023"),
        ("generate('x', reference_images => array_fill('asset:1'::text, ARRAY[17]))", "22023"),
        ("generate('x', reference_images => ARRAY['asset:1', NULL])", "22023"),
        ("generate('x', reference_images => ARRAY['http://10.0.0.1/x.png'])", "22023"),
        ("generate_image('{\"prompt\": \"x\", \"reference_images\": \"asset:1\"}')", "22023"),
        ("generate_image('{\"prompt\": \"x\", \"reference_images\": [null]}')", "22023"),
    ] {
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen.{call}")), state, "{call}");
    }
    let batch = "SELECT * FROM image_gen.generate_batch('{\"a\": {\"operation\": \"upscale\", \"image\": \"asset:1\", \"reference_images\": [\"asset:1\"]}}')";
    assert_eq!(alice.sqlstate(batch), "22023");
    // Together they are bounded: each of these is small enough alone.
    let large = {
        let mut file = photo(64, 64, 3);
        file.resize(24 << 20, 0);
        data_uri(&file)
    };
    let call =
        format!("SELECT image_gen.generate('x', reference_images => ARRAY['{large}', '{large}', '{large}'])");
    assert_eq!(alice.sqlstate(&call), "22023");
    // An empty array is none.
    let id = alice.generate_with("prompt => 'empty', model => 'bfl:flux-1.1-pro', reference_images => '{}'");
    assert_eq!(warnings(&mut alice, &id), [""; 0]);
    alice.all_succeed(&[id]);
    assert_eq!(stage.sim.submits(), before + 1);
    stage.check_money();
}

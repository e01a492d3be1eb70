//! The seven examples of the skill, images as arguments, and pipelines.

use image_gen_tests::picture::{Mask, data_uri, facts, photo, sha256};
use serde_json::{Value, json};

use crate::{call, inputs, made_by, one, outcome, size, stage};

#[test]
fn the_seven_example_requests() {
    // S126
    let stage = stage();
    let mut alice = stage.alice();
    let photo_uri = data_uri(&photo(320, 192, 10));

    let cabin = one(
        &mut alice,
        "generate('Generate a photorealistic image of a cozy cabin in the mountains at sunset.')",
    );
    assert_eq!(
        (made_by(&cabin).as_str(), cabin["assets"].as_array().unwrap().len()),
        ("bfl:flux-1.1-pro", 1)
    );

    let logo = one(
        &mut alice,
        "generate('Create a professional logo for a coffee shop called ''Bean There'' — vector illustration style, clean lines.')",
    );
    assert_eq!(made_by(&logo), "openai:gpt-image-2.6-flare", "a model that writes legibly");

    let prompt = "Edit this photo: make the sky more dramatic with storm clouds.";
    let sky = one(&mut alice, &format!("edit('{photo_uri}', '{prompt}')"));
    assert_eq!(sky["task"], "img2img");
    let sent = inputs(&stage.sim, prompt);
    assert_eq!((sent.len(), sent[0]["sha256"].as_str()), (1, Some(sha256(&photo(320, 192, 10)).as_str())));

    let prompt = "Remove the person from the background of this product photo.";
    let person = Mask::new(320, 192, |x, y| (200..260).contains(&x) && y > 40);
    let removed =
        one(&mut alice, &format!("edit('{photo_uri}', '{prompt}', mask => '{}')", data_uri(&person.png)));
    assert_eq!(removed["task"], "inpaint");
    let marks: Vec<Value> = inputs(&stage.sim, prompt).iter().map(|i| i["marks"].clone()).collect();
    assert!(marks.contains(&json!({"edited": person.edited, "sha256": person.sha256})), "{marks:?}");

    // Upscale this thumbnail to 4x resolution for print.
    let large = one(&mut alice, &format!("upscale('{}', 4)", data_uri(&photo(120, 80, 11))));
    assert_eq!((large["task"].as_str(), size(&large)), (Some("upscale"), (480, 320)));

    let prompt = "Show me 3 variations of this hero image with different color palettes.";
    let variations = call(&mut alice, &format!("variate('{photo_uri}', n => 3, prompt => '{prompt}')"));
    assert_eq!(variations.len(), 3);
    for name in ["sha256", "seed", "id"] {
        let mut all: Vec<String> = variations.iter().map(|v| v["assets"][0][name].to_string()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3, "three of everything: {name} {all:?}");
    }

    let tokyo = one(
        &mut alice,
        "generate('Generate a 16:9 cinematic landscape of a neon-lit Tokyo street at night in the rain.', aspect_ratio => '16:9')",
    );
    let (width, height) = size(&tokyo);
    let ratio = width as f64 / height as f64;
    assert!((ratio - 16.0 / 9.0).abs() < 0.05, "{width}x{height}");
    stage.check_money();
}

#[test]
fn a_picture_can_be_given_in_four_ways() {
    // S84 to S88; a pipeline is plain SQL.
    let stage = stage();
    let mut alice = stage.alice();
    let first = one(&mut alice, "generate('a lighthouse', width => 320, height => 256)");
    let asset = &first["assets"][0];
    let (id, url, hash) =
        (asset["id"].to_string(), asset["url"].as_str().unwrap(), asset["sha256"].as_str().unwrap());
    let job = asset["job_id"].as_str().unwrap();
    let bytes: Vec<u8> = alice
        .query_one("SELECT image_gen.asset_bytes($1)", &[&asset["id"].as_i64().unwrap()])
        .unwrap()
        .get(0);
    let (_, _, content_type) = facts(&bytes).unwrap();
    let by_data = data_uri(&bytes).replace("image/png", content_type);
    for (way, reference) in
        [("url", url), ("data", &by_data), ("asset", &format!("asset:{id}")), ("job", &format!("job:{job}"))]
    {
        let prompt = format!("by {way}");
        one(&mut alice, &format!("edit('{reference}', '{prompt}', model => 'stability:sd3.5-large')"));
        let sent = inputs(&stage.sim, &prompt);
        assert_eq!((sent.len(), sent[0]["sha256"].as_str()), (1, Some(hash)), "{way}");
    }
    // Nobody else's, and nothing that is not there.
    let mut bob = stage.bob();
    for reference in [format!("asset:{id}"), format!("job:{job}"), "asset:999999".into()] {
        assert_eq!(
            bob.sqlstate(&format!("SELECT image_gen.edit('{reference}', 'x')")),
            "42704",
            "{reference}"
        );
    }
}

#[test]
fn a_pipeline_is_one_transaction() {
    let stage = stage();
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    alice.run("BEGIN");
    let drawn = alice.text("SELECT id FROM image_gen.generate('a harbour', width => 320, height => 256)");
    let edited = alice.text(&format!("SELECT id FROM image_gen.edit('job:{drawn}', 'a harbour at night')"));
    let large = alice.text(&format!(
        "SELECT id FROM image_gen.upscale('job:{edited}', 2, model => 'replicate:real-esrgan')"
    ));
    let varied = alice.column(&format!("SELECT id FROM image_gen.variate('job:{drawn}', n => 2)"));
    alice.run("COMMIT");
    let waiting = admin.rows(
        "SELECT count(*), (SELECT blocked FROM image_gen.queue_stats) FROM image_gen_internal.queue WHERE state = 'waiting'",
    );
    assert_eq!(waiting, [["4", "4"]]);
    let ids: Vec<String> = [drawn.clone(), edited.clone(), large.clone()].into_iter().chain(varied).collect();
    alice.all_succeed(&ids);
    let [drawn, edited, large] = [drawn, edited, large].map(|id| outcome(&mut alice, &id));
    let hash = |o: &Value| o["assets"][0]["sha256"].clone();
    assert_eq!(inputs(&stage.sim, "a harbour at night")[0]["sha256"], hash(&drawn));
    let (width, height) = size(&edited);
    assert_eq!(size(&large), (2 * width, 2 * height));
    let upscaled: Vec<Value> = stage
        .sim
        .entries()
        .into_iter()
        .filter(|e| e["phase"] == "submit" && e["provider"] == "replicate")
        .collect();
    assert_eq!((upscaled.len(), &upscaled[0]["inputs"][0]["sha256"]), (1, &hash(&edited)));

    // Whoever needs an image that never comes fails without a call.
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "lost", "fault": {"kind": "status", "code": 422}}),
    );
    alice.run("BEGIN");
    let lost = alice.generate("lost");
    let needs = alice.text(&format!("SELECT id FROM image_gen.edit('job:{lost}', 'in vain')"));
    alice.run("COMMIT");
    let ended = alice.all_done(&[lost, needs]);
    let ends: Vec<(&str, &str)> = ended.iter().map(|j| (j.status.as_str(), j.error_code.as_str())).collect();
    assert_eq!(ends, [("failed", "invalid_request"), ("failed", "not_found")]);
    assert_eq!((ended[1].attempts.as_str(), stage.sim.submits_of("in vain").len()), ("0", 0));
    stage.check_money();
}

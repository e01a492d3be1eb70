//! Every model of the catalogue, in everything that its row says it can do, at the address that its row leads to.

use image_gen_tests::picture::data_uri;
use serde_json::{Value, json};

use crate::calls::Pictures;
use crate::matrix::{Offer, Wrong, stage, stored};

/// Options without which a model does nothing.
const NEEDED: [(&str, &str); 3] = [
    ("stability-search-recolor", "{\"select_prompt\": \"the lamp\"}"),
    ("stability-search-replace", "{\"search_prompt\": \"the lamp\"}"),
    ("ip-adapter", "{\"agree_to_research_only\": true}"),
];

#[test]
fn every_model_of_the_catalogue_is_known_to_its_provider() {
    let stage = stage();
    let (pictures, mut alice, mut admin) = (Pictures::default(), stage.alice(), stage.admin());
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    let rows = admin.rows(
        "SELECT m.provider_kind, t, m.name, to_jsonb(m) FROM image_gen.models m CROSS JOIN unnest(m.operations) t
          WHERE m.provider_kind <> 'preview' AND m.successor IS NULL AND m.name <> '*' AND m.provider IS NULL ORDER BY 1, 3, 2",
    );
    let offers: Vec<Offer> = rows
        .into_iter()
        .map(|row| {
            let [kind, task, model, row] = row.try_into().unwrap();
            Offer { kind, task, model, row: serde_json::from_str(&row).unwrap() }
        })
        .collect();
    let mut wrong = Wrong::default();
    let mut queued = vec![];
    for offer in &offers {
        let mut call = pictures.call_scaled(
            offer,
            &format!("{}:{}", offer.kind, offer.model),
            "a teapot",
            offer.scales().last().copied().unwrap_or(4),
        );
        let required = &offer.row["parameters"]["reference_image"]["required"];
        let draws_a_character = *required == Value::Bool(true) || offer.model == "ideogram-3-character";
        if draws_a_character && ["generate", "img2img", "inpaint"].contains(&offer.task.as_str()) {
            let reference = data_uri(&pictures.reference);
            call = call.replacen('(', &format!("(reference_image => '{reference}', "), 1);
        }
        let option = NEEDED.iter().find(|(model, _)| *model == offer.model);
        if let Some((_, option)) = option {
            call = call.replacen('(', &format!("(options => '{option}', "), 1);
        }
        match alice.try_rows(&format!("SELECT id FROM image_gen.{call}")) {
            Ok(rows) => queued.push((offer, rows[0][0].clone())),
            Err(why) => {
                wrong.call(offer, &Err(why.as_db_error().unwrap().to_string()));
            }
        }
    }
    let ids: Vec<String> = queued.iter().map(|(_, id)| id.clone()).collect();
    alice.all_done(&ids);
    for (offer, id) in &queued {
        let found = Ok(stored(&mut alice, id));
        let Some(found) = wrong.call(offer, &found) else { continue };
        let (job, attempts) = (&found["job"], &found["attempts"]);
        let alone = attempts.as_array().is_some_and(|a| a.len() == 1);
        wrong.unless(offer, job["status"] == "succeeded" && alone, || {
            format!("{} {} {}: {attempts}", job["status"], job["error_code"], job["error_message"])
        });
    }
    println!("{} tasks of models", offers.len());
    wrong.report();
}

#[test]
fn an_unlisted_model_gets_image_seed_and_size_and_the_receipt_says_that_they_are_assumed() {
    let stage = stage();
    let (pictures, mut alice, mut admin) = (Pictures::default(), stage.alice(), stage.admin());
    // Models that their providers have, and the catalogue does not.
    let unlisted = [
        "fal-ai/hidream-i1-full",
        "fal-ai/flux/dev/image-to-image",
        "fal-ai/playground-v25",
        "playgroundai/playground-v2.5-1024px-aesthetic",
    ];
    admin.run(&format!("DELETE FROM image_gen.models WHERE remote_name IN ('{}')", unlisted.join("', '")));
    let image = data_uri(&pictures.image);
    let mask = data_uri(&pictures.mask.png);
    let playground = "replicate:playgroundai/playground-v2.5-1024px-aesthetic";
    let (new, same) = ((Some(640), Some(512)), (Some(256), Some(192)));
    let calls = [
        ("fal:fal-ai/hidream-i1-full", "generate('x', width => 640, height => 512".to_owned(), Some(new)),
        ("fal:fal-ai/flux/dev/image-to-image", format!("edit('{image}', 'x'"), Some(same)),
        (
            "fal:fal-ai/playground-v25/inpainting",
            format!("edit('{image}', 'x', mask => '{mask}'"),
            Some(same),
        ),
        (playground, "generate('x', width => 640, height => 512".to_owned(), Some(new)),
        // This one draws at its own size.
        (playground, format!("edit('{image}', 'x', mask => '{mask}'"), None),
    ];
    for (model, call, size) in calls {
        let id = alice.text(&format!("SELECT id FROM image_gen.{call}, model => '{model}', seed => 11)"));
        alice.all_done(std::slice::from_ref(&id));
        let found = stored(&mut alice, &id);
        assert_eq!(found["job"]["status"], "succeeded", "{model}: {found}");
        let (attempt, asset) = (&found["attempts"][0], &found["assets"][0]);
        assert_eq!(attempt["provider"].as_str(), model.split(':').next());
        assert_eq!((&attempt["seed_honored"], &asset["seed"]), (&json!(true), &json!(11)), "{model}");
        if let Some(size) = size {
            assert_eq!((asset["width"].as_u64(), asset["height"].as_u64()), size, "{model}");
        }
        let told = attempt["warnings"].to_string();
        assert!(told.contains("assumed") && told.contains("is not known"), "{model}: {told}");
    }
}

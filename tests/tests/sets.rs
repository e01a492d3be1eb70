//! Batches by shot, variants of which one is chosen, drafts made final, and what came from what; the simulator's ledger counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Options, Session, Stage};
use serde_json::json;

fn stage(providers: &[&str]) -> Stage {
    let stage = Stage::with(Options::all_keys(&[]));
    let list = providers.join("', '");
    stage.admin().run(&format!("UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('{list}')"));
    stage
}

const SHOTS: &str = r#"'{"hero": {"prompt": "hero"}, "detail": {"prompt": "detail"}, "social": {"prompt": "social"}}',
  '{"model": "bfl:flux-1.1-pro", "seed": 7, "width": 512, "height": 512, "metadata": {"campaign": "aurora"}}'"#;

/// The shots of a batch and how they stand.
fn shots(session: &mut Session, batch: &str) -> Vec<String> {
    session.column(&format!(
        "SELECT concat_ws(' ', shot, status, error_code, url IS NOT NULL) FROM image_gen.batches WHERE batch = '{batch}' ORDER BY shot"
    ))
}

#[test]
fn rerun_batch_renders_only_what_failed() {
    // S1, S36
    let stage = stage(&["bfl", "preview"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "detail", "times": 1, "fault": {"kind": "status", "code": 422}}));
    let mut alice = stage.alice();
    let queued = alice.rows(&format!(
        "SELECT batch, id FROM image_gen.generate_batch({SHOTS}, max_cost => 0.30) ORDER BY shot"
    ));
    let batch = queued[0][0].clone();
    let settle = format!("SELECT image_gen.settle_batch('{batch}')");
    let first: serde_json::Value = serde_json::from_str(&alice.text(&settle)).unwrap();
    assert_eq!(first["failed"], json!({"detail": "invalid_request"}));
    assert_eq!(
        shots(&mut alice, &batch),
        ["detail failed invalid_request f", "hero succeeded t", "social succeeded t"]
    );
    let seeds = format!("SELECT seed FROM image_gen.batches WHERE batch = '{batch}' ORDER BY shot");
    let before = alice.column(&seeds);
    // Others have no such batch.
    assert_eq!(stage.bob().sqlstate(&format!("SELECT * FROM image_gen.rerun_batch('{batch}')")), "42704");
    assert_eq!(stage.bob().sqlstate(&settle), "42704");
    let again = alice.rows(&format!("SELECT shot, seed, id FROM image_gen.rerun_batch('{batch}')"));
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0][0], &again[0][1]), (&"detail".to_owned(), &before[0]));
    // A second call, also while it is under way, queues nothing.
    assert!(alice.rows(&format!("SELECT * FROM image_gen.rerun_batch('{batch}')")).is_empty());
    let second: serde_json::Value = serde_json::from_str(&alice.text(&settle)).unwrap();
    assert_eq!((second["done"].as_object().unwrap().len(), &second["failed"]), (3, &json!({})));
    assert_eq!(alice.column(&seeds), before);
    assert!(alice.rows(&format!("SELECT * FROM image_gen.rerun_batch('{batch}')")).is_empty());
    // The ledger: three images, one call that was turned down at no cost.
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.12"));
    let relation = format!(
        "SELECT concat_ws(' ', relation, parent = '{}') FROM image_gen.jobs WHERE id = '{}'",
        queued[0][1], again[0][2]
    );
    assert_eq!(alice.text(&relation), "rerun t");
    assert_eq!(alice.sqlstate("SELECT * FROM image_gen.rerun_batch('bat_nothing')"), "42704");
    stage.check_money();
}

#[test]
fn a_rerun_stays_within_the_cap_of_its_batch() {
    // Room for three calls, and the first one of a shot is refused and billed.
    let stage = Stage::with(Options::all_keys(&["image_gen.min_headroom = 0", "image_gen.retry_buffer = 0"]));
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "detail", "times": 1, "fault": {"kind": "status", "code": 422}}));
    let mut alice = stage.alice();
    let batch =
        alice.text(&format!("SELECT min(batch) FROM image_gen.generate_batch({SHOTS}, max_cost => 0.12)"));
    alice.run(&format!("SELECT image_gen.settle_batch('{batch}')"));
    // Its cap has room for the failed one, which cost nothing; with less it is refused, and nothing is queued.
    let mut admin = stage.admin();
    admin.run(&format!(
        "UPDATE image_gen.budgets SET amount = 0.11 WHERE scope = 'batch' AND key = '{batch}'"
    ));
    let rerun = format!("SELECT id FROM image_gen.rerun_batch('{batch}')");
    assert_eq!(alice.sqlstate(&rerun), "53400");
    admin.run(&format!(
        "UPDATE image_gen.budgets SET amount = 0.12 WHERE scope = 'batch' AND key = '{batch}'"
    ));
    let again = alice.text(&rerun);
    alice.all_succeed(&[again]);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (4, "0.12"));
    stage.check_money();
}

#[test]
fn exactly_one_variant_is_final_and_it_costs_what_all_cost() {
    // S72, N40
    let stage = stage(&["bfl", "preview"]);
    let mut alice = stage.alice();
    let rows = alice.rows(
        "SELECT set_id, variant, seed, id FROM image_gen.generate_variants('a bottle on slate', n => 3, model => 'bfl:flux-1.1-pro', arguments => '{\"seed\": 7}', metadata => '{\"campaign\": \"aurora\"}')",
    );
    let set = rows[0][0].clone();
    assert!(set.starts_with("set_") && rows.iter().all(|row| row[0] == set));
    assert_eq!((rows.len(), rows[0][2].as_str()), (3, "7"));
    assert_eq!(alice.text("SELECT image_gen.derive_seed(7, 'variant 2')"), rows[1][2]);
    let ids: Vec<String> = rows.iter().map(|row| row[3].clone()).collect();
    alice.all_succeed(&ids);
    let states = format!("SELECT state FROM image_gen.variants WHERE set_id = '{set}' ORDER BY asset_id");
    assert_eq!(alice.column(&states), ["candidate"; 3]);
    let cost = format!(
        "SELECT concat_ws(' ', variants, images, open, final_asset IS NOT NULL, billed, coalesce(cost_per_final::text, '-')) FROM image_gen.cost_by_set WHERE set_id = '{set}'"
    );
    assert_eq!(alice.text(&cost), "3 3 0 f 0.12 -");
    let assets = alice
        .column(&format!("SELECT asset_id FROM image_gen.variants WHERE set_id = '{set}' ORDER BY asset_id"));
    // Nobody else picks, and nothing is picked in part.
    assert_eq!(stage.bob().sqlstate(&format!("SELECT * FROM image_gen.pick({})", assets[0])), "42704");
    assert_eq!(alice.sqlstate("SELECT * FROM image_gen.pick(NULL)"), "42704");
    for (pick, expected) in
        [(1, ["candidate", "final", "candidate"]), (0, ["final", "candidate", "candidate"])]
    {
        let set = alice.column(&format!("SELECT state FROM image_gen.pick({})", assets[pick]));
        assert_eq!(set, expected);
        assert_eq!(alice.column(&states), expected);
    }
    assert_eq!(alice.text(&cost), "3 3 0 t 0.12 0.12");
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.picks"), 1);
    assert_eq!(stage.bob().number("SELECT count(*) FROM image_gen.picks"), 0, "what others picked is theirs");
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (3, "0.12"));
    // Several images of one job are a set, too.
    let four = alice.generate_with("prompt => 'four', model => 'preview', n => 4");
    alice.all_succeed(std::slice::from_ref(&four));
    let of_four = format!("SELECT state FROM image_gen.variants WHERE set_id = '{four}' ORDER BY asset_id");
    let last = alice.text(&format!("SELECT max(asset_id) FROM image_gen.variants WHERE set_id = '{four}'"));
    assert_eq!(alice.column(&of_four), ["candidate"; 4]);
    alice.run(&format!("SELECT FROM image_gen.pick({last})"));
    assert_eq!(alice.column(&of_four), ["candidate", "candidate", "candidate", "final"]);
    stage.check_money();
}

#[test]
fn variants_vary_by_what_is_asked_and_keep_the_rest() {
    let stage = stage(&["bfl", "openai", "preview"]);
    let mut alice = stage.alice();
    let mut queue = |arguments: &str| {
        let set = alice
            .text(&format!("SELECT min(set_id) FROM image_gen.generate_variants('a bottle', {arguments})"));
        alice.column(&format!("SELECT concat_ws('|', model, prompt, parameters ->> 'guidance', parameters ->> 'width') FROM image_gen.jobs WHERE batch = '{set}' ORDER BY seq"))
    };
    assert_eq!(
        queue(
            "vary => 'palette', n => 2, model => 'preview', arguments => '{\"width\": 64, \"height\": 64}'"
        ),
        [
            "preview|a bottle, color palette: charcoal, warm grey, single amber accent|64",
            "preview|a bottle, color palette: off-white, sand, sage green|64"
        ]
    );
    assert_eq!(
        queue("vary => 'model', choices => '{preview,flux-1.1-pro}'"),
        ["preview|a bottle", "flux-1.1-pro|a bottle"]
    );
    assert_eq!(
        queue("vary => 'lighting', choices => '{golden hour,neon glow}', model => 'preview'"),
        ["preview|a bottle, golden hour", "preview|a bottle, neon glow"]
    );
    assert_eq!(
        queue("vary => 'guidance', choices => '{2.5,3.5}', model => 'preview'"),
        ["preview|a bottle|2.5", "preview|a bottle|3.5"]
    );
    let models = queue("vary => 'model', n => 2");
    assert!(models.len() == 2 && models[0] != models[1], "{models:?}");
    assert_eq!(
        alice.number(
            "SELECT count(DISTINCT seed) - count(DISTINCT batch) FROM image_gen.jobs WHERE batch IS NOT NULL"
        ),
        0,
        "one seed a set"
    );
    for (arguments, code) in [
        ("n => 0", "22023"),
        ("n => 11", "22023"),
        ("vary => 'mood'", "22023"),
        ("vary => 'style'", "22023"),
        ("vary => 'style', n => 3, choices => '{a,b}'", "22023"),
        ("arguments => '{\"model\": \"preview\"}'", "22023"),
        ("arguments => '[]'", "22023"),
        ("arguments => '{\"widht\": 1}'", "22023"),
        ("model => 'no-such-model'", "42704"),
    ] {
        let call = format!("SELECT * FROM image_gen.generate_variants('a bottle', {arguments})");
        let error = alice.error(&call);
        assert_eq!(error.code().code(), code, "{arguments}: {error:?}");
        assert!(error.hint().is_some(), "{arguments}");
    }
    // A cap for the whole set: nothing is queued beyond it.
    let capped = "SELECT * FROM image_gen.generate_variants('capped', n => 3, model => 'bfl:flux-1.1-pro', max_cost => 0.05)";
    assert_eq!(alice.sqlstate(capped), "53400");
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs WHERE prompt = 'capped'"), 0);
}

#[test]
fn a_draft_is_promoted_with_its_seed_and_lineage_leads_both_ways() {
    // S17, S139
    let stage = stage(&["bfl", "stability"]);
    let mut alice = stage.alice();
    let draft = alice.generate_with("prompt => 'a fox', model => 'bfl:flux-2-klein-4b', quality => 'draft', width => 512, height => 512, seed => 99, metadata => '{\"shot\": \"fox\"}'");
    alice.all_succeed(std::slice::from_ref(&draft));
    let spent = stage.sim.submits();
    let last = alice.text(&format!("SELECT id FROM image_gen.promote('{draft}', 'bfl:flux-1.1-pro')"));
    alice.all_succeed(std::slice::from_ref(&last));
    let row = |session: &mut Session, id: &str| {
        session.text(&format!("SELECT concat_ws(' ', prompt, model, seed, relation, parent, parameters ->> 'quality', parameters ->> 'width', metadata ->> 'shot') FROM image_gen.jobs WHERE id = '{id}'"))
    };
    assert_eq!(row(&mut alice, &last), format!("a fox flux-1.1-pro 99 promote {draft} 512 fox"));
    assert_eq!(stage.sim.submits(), spent + 1);
    let large = alice.text(&format!(
        "SELECT id FROM image_gen.promote('{draft}', 'flux-1.1-pro', '{{\"width\": 1024, \"height\": 768}}')"
    ));
    assert!(row(&mut alice, &large).contains(" 1024 "));
    // On from the final one: upscaled, and varied from that.
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{last}'"));
    let upscaled = alice.text(&format!("SELECT id FROM image_gen.upscale('asset:{asset}', scale => 4, model => 'stability:stability-upscale-fast')"));
    let varied = alice.text(&format!(
        "SELECT id FROM image_gen.edit('job:{upscaled}', 'in snow', model => 'stability:sd3.5-large')"
    ));
    let lineage = |session: &mut Session, of: &str| {
        session.column(&format!("SELECT concat_ws(' ', generation, relation, job_id) FROM image_gen.lineage((SELECT id FROM image_gen.campaign_assets WHERE job_id = '{of}'))"))
    };
    alice.all_succeed(&[upscaled.clone(), varied.clone(), large.clone()]);
    let expected = [
        format!("-1 {draft}"),
        format!("0 promote {last}"),
        format!("1 upscale {upscaled}"),
        format!("2 edit {varied}"),
    ];
    assert_eq!(lineage(&mut alice, &last), expected);
    let down = lineage(&mut alice, &draft);
    assert_eq!((down.len(), down[0].as_str()), (5, format!("0 {draft}").as_str()));
    assert_eq!(
        lineage(&mut alice, &varied),
        [
            format!("-3 {draft}"),
            format!("-2 promote {last}"),
            format!("-1 upscale {upscaled}"),
            format!("0 edit {varied}")
        ]
    );
    assert_eq!(stage.sim.submits(), spent + 4);
    // Images stay, and know where they come from, when their jobs are pruned.
    stage.admin().run("SELECT image_gen.prune('0 s')");
    assert_eq!(lineage(&mut alice, &varied).len(), 4);
    // Others see nothing, and promote nothing.
    let mut bob = stage.bob();
    assert_eq!(bob.sqlstate(&format!("SELECT * FROM image_gen.lineage({asset})")), "42704");
    assert_eq!(bob.sqlstate(&format!("SELECT * FROM image_gen.promote('{last}', 'preview')")), "42704");
    stage.check_money();
}

#[test]
fn a_picture_that_came_along_goes_into_what_is_made_again() {
    let stage = stage(&["bfl", "preview"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "in snow", "times": 1, "fault": {"kind": "status", "code": 422}}));
    let mut alice = stage.alice();
    let picture = image_gen_tests::picture::data_uri(&image_gen_tests::picture::photo(64, 64, 7));
    let shots = format!(
        "'{{\"one\": {{\"operation\": \"edit\", \"image\": \"{picture}\", \"prompt\": \"in snow\", \"model\": \"bfl:flux-kontext-pro\"}}}}'"
    );
    let batch = alice.text(&format!("SELECT batch FROM image_gen.generate_batch({shots})"));
    alice.run(&format!("SELECT image_gen.settle_batch('{batch}')"));
    let again = alice.text(&format!("SELECT id FROM image_gen.rerun_batch('{batch}')"));
    alice.all_succeed(std::slice::from_ref(&again));
    assert_eq!(
        stage
            .admin()
            .number(&format!("SELECT count(*) FROM image_gen_internal.job_inputs WHERE job_id = '{again}'")),
        1
    );
    assert_eq!(stage.sim.submits(), 2);
}

//! Styles: what is sent has them in it, a job keeps what it had of its style, and the models that one allows are the only ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::picture::{data_uri, photo};
use image_gen_tests::{Options, Session, Stage};
use serde_json::{Value, json};

fn stage() -> Stage {
    Stage::with(Options::all_keys(&[]))
}

fn column(session: &mut Session, id: &str, what: &str) -> String {
    session.text(&format!("SELECT {what} FROM image_gen.jobs WHERE id = '{id}'"))
}

#[test]
fn a_style_is_in_what_is_sent_and_a_job_keeps_what_it_had_of_it() {
    let stage = stage();
    let mut alice = stage.alice();
    let palette = alice.generate_with("prompt => 'the palette', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(std::slice::from_ref(&palette));
    let asset = alice.text("SELECT max(id) FROM image_gen.campaign_assets");
    let hash = alice.text("SELECT sha256 FROM image_gen.campaign_assets ORDER BY id DESC LIMIT 1");
    alice.run(&format!(
        "SELECT image_gen.set_style('acme', prefix => 'studio photograph of', suffix => 'soft light', palette => 'sand, sage',
                negative => 'text', reference_images => ARRAY['asset:{asset}'], models => '{{flux-2-pro, sd3.5-large}}')"
    ));
    let styled = "studio photograph of, a kettle, color palette: sand, sage, soft light";
    assert_eq!(alice.text("SELECT image_gen.styled_prompt('a kettle', 'acme')"), styled);
    let id =
        alice.generate_with("prompt => 'a kettle', style => 'acme', seed => 11, width => 512, height => 512");
    assert_eq!(column(&mut alice, &id, "model"), "flux-2-pro", "the first that it allows");
    assert_eq!(column(&mut alice, &id, "prompt"), styled);
    alice.all_succeed(std::slice::from_ref(&id));
    let submits = stage.sim.submits_of(styled);
    assert_eq!(submits.len(), 1);
    assert_eq!(submits[0]["inputs"][0]["sha256"], json!(hash));
    assert_eq!(
        column(
            &mut alice,
            &id,
            "concat_ws(' ', parameters #>> '{style,name}', parameters #>> '{style,own,prompt}')"
        ),
        "acme a kettle"
    );

    // The row changes; what is made again is made with what was kept.
    alice.run("SELECT image_gen.set_style('acme', prefix => 'a doodle of')");
    let promoted =
        alice.text(&format!("SELECT id FROM image_gen.promote('{id}', 'flux-2-pro', '{{\"seed\": 12}}')"));
    alice.all_succeed(std::slice::from_ref(&promoted));
    assert_eq!(column(&mut alice, &promoted, "prompt"), styled);
    assert_eq!(column(&mut alice, &promoted, "parameters"), column(&mut alice, &id, "parameters"));
    // Another prompt, or another style, is put in anew; no style is the caller's own words.
    for (changed, prompt) in [
        (r#"{"prompt": "a cup"}"#, "studio photograph of, a cup, color palette: sand, sage, soft light"),
        (r#"{"style": "acme"}"#, "a doodle of, a kettle"),
        (r#"{"style": null}"#, "a kettle"),
    ] {
        let other =
            alice.text(&format!("SELECT id FROM image_gen.promote('{id}', 'flux-2-pro', '{changed}')"));
        assert_eq!(column(&mut alice, &other, "prompt"), prompt, "{changed}");
        alice.all_succeed(&[other]);
    }
    // What it allowed then is what it allows for that job.
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.promote('{id}', 'flux-1.1-pro')")), "22023");
    // A row that is gone changes nothing either.
    assert!(alice.truth("SELECT image_gen.drop_style('acme')"));
    let after = alice.text(&format!("SELECT id FROM image_gen.promote('{id}', 'flux-2-pro')"));
    assert_eq!(column(&mut alice, &after, "prompt"), styled);
    alice.all_succeed(&[after]);
    assert_eq!(alice.sqlstate("SELECT image_gen.generate('x', style => 'acme')"), "22023");
    // Seven images, and the ledger knows of no other call.
    assert_eq!(stage.sim.submits(), 7);
    stage.check_money();
}

#[test]
fn a_failed_shot_is_rerun_with_the_style_that_it_had() {
    let stage = stage();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "detail", "times": 1, "fault": {"kind": "status", "code": 422}}));
    let mut alice = stage.alice();
    alice.run("SELECT image_gen.set_style('acme', suffix => 'soft light', models => '{bfl:flux-1.1-pro}')");
    let shots = r#"'{"hero": {"prompt": "hero"}, "detail": {"prompt": "detail"}, "plain": {"prompt": "plain", "style": null}}', '{"style": "acme"}'"#;
    let batch = alice.text(&format!("SELECT min(batch) FROM image_gen.generate_batch({shots})"));
    let settle = format!("SELECT image_gen.settle_batch('{batch}')");
    let settled: Value = serde_json::from_str(&alice.text(&settle)).unwrap();
    assert_eq!(settled["failed"], json!({"detail": "invalid_request"}));
    alice.run("SELECT image_gen.set_style('acme', suffix => 'neon')");
    alice.run(&format!("SELECT * FROM image_gen.rerun_batch('{batch}')"));
    let settled: Value = serde_json::from_str(&alice.text(&settle)).unwrap();
    assert_eq!(settled["failed"], json!({}));
    let sent =
        |prompt: &str| stage.sim.submits_of(prompt).iter().map(|e| e["prompt"].clone()).collect::<Vec<_>>();
    assert_eq!(sent("hero"), ["hero, soft light"]);
    assert_eq!(sent("detail"), ["detail, soft light", "detail, soft light"]);
    assert_eq!(sent("plain"), ["plain"], "null is none, whatever the defaults say");
    // Variants, the tools and an attached table take a style as well.
    alice.run("SELECT count(*) FROM image_gen.generate_variants('variant', 2, arguments => '{\"style\": \"acme\"}')");
    alice.run("SELECT image_gen.generate_image('{\"prompt\": \"tool\", \"style\": \"acme\"}')");
    alice.run("SELECT image_gen.variate('job:' || (SELECT id FROM image_gen.jobs WHERE prompt = 'plain'), 1, style => 'acme')");
    let ids = alice.column("SELECT id FROM image_gen.jobs WHERE prompt LIKE '%, neon'");
    assert_eq!(ids.len(), 4);
    alice.all_succeed(&ids);
    // Four images and a call that was turned down, then four more.
    assert_eq!(stage.sim.submits(), 8);
    stage.check_money();
}

#[test]
fn no_model_outside_of_a_style_is_called() {
    let stage = stage();
    let mut alice = stage.alice();
    alice.run("SELECT image_gen.set_style('acme', models => '{bfl:flux-2-pro, openai:gpt-image-2}')");
    // An outage moves along what it allows, and no further.
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 402}}));
    let id = alice.generate_with("prompt => 'elsewhere', style => 'acme'");
    alice.all_succeed(std::slice::from_ref(&id));
    let called = format!(
        "SELECT provider || ':' || model FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"
    );
    assert_eq!(alice.column(&called), ["bfl:flux-2-pro", "openai:gpt-image-2"]);
    stage
        .sim
        .rule(json!({"provider": "openai", "phase": "submit", "fault": {"kind": "status", "code": 401}}));
    let id = alice.generate_with("prompt => 'nowhere', style => 'acme', model => 'openai:gpt-image-2'");
    assert_ne!(alice.done(&id).status, "succeeded");
    let called = format!(
        "SELECT DISTINCT provider FROM image_gen.attempts WHERE job_id = '{id}' AND provider NOT IN ('bfl', 'openai')"
    );
    assert!(alice.column(&called).is_empty());
    for (call, state) in [
        ("generate('x', style => 'acme', model => 'flux-1.1-pro')", "22023"),
        ("upscale('asset:1', style => 'acme')", "0A000"),
        ("set_style('bad', models => '{no-such-model}')", "42704"),
        ("set_style('bad', reference_images => ARRAY['data:image/png;base64,AAAA'])", "22023"),
        ("set_style(' ')", "22023"),
        ("set_style('bad', prefix => repeat('x', 4001))", "22023"),
        ("generate('x', style => 'none')", "22023"),
        ("estimate('generate', '{\"prompt\": \"x\", \"style\": \"none\"}')", "22023"),
        ("explain('generate', '{\"prompt\": \"x\", \"style\": \"none\"}')", "22023"),
    ] {
        assert_eq!(alice.sqlstate(&format!("SELECT * FROM image_gen.{call}")), state, "{call}");
    }
    // A style whose images an operation does not take is used without them, and that is said.
    alice.run("SELECT image_gen.set_style('acme', suffix => 'neon', reference_images => ARRAY['https://example.com/x.png'])");
    let id = alice.text(&format!(
        "SELECT id FROM image_gen.variate('{}', 1, model => 'google:gemini-nano-banana-2.1', style => 'acme')",
        data_uri(&photo(96, 96, 1))
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    let said = column(
        &mut alice,
        &id,
        "jsonb_path_query_first(warnings, '$[*] ? (@.code == \"reference_ignored\")') ->> 'message'",
    );
    assert_eq!(said, "style 'acme' has reference_images, which this operation does not take");
    stage.check_money();
}

#[test]
fn a_role_has_its_own_styles_and_those_of_roles_that_it_is_a_member_of() {
    let stage = stage();
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    stage.admin().run("CREATE ROLE brand; GRANT image_gen_user TO brand; GRANT brand TO alice");
    alice.run("SET ROLE brand; SELECT image_gen.set_style('acme', suffix => 'of the brand'); RESET ROLE");
    assert_eq!(alice.text("SELECT image_gen.styled_prompt('x', 'acme')"), "x, of the brand");
    alice.run("SELECT image_gen.set_style('acme', suffix => 'my own')");
    assert_eq!(alice.text("SELECT image_gen.styled_prompt('x', 'acme')"), "x, my own");
    // What others have is not there.
    assert_eq!(bob.sqlstate("SELECT image_gen.styled_prompt('x', 'acme')"), "22023");
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.styles"), 0);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.styles"), 2);
    assert!(!bob.truth("SELECT image_gen.drop_style('acme')"));
    assert_eq!(alice.sqlstate("DELETE FROM image_gen.styles"), "42501");
    // The same call with the same key is the same job, although the style has changed meanwhile.
    let call = "prompt => 'keyed', style => 'acme', model => 'bfl:flux-1.1-pro', idempotency_key => 'k'";
    let first = alice.generate_with(call);
    alice.run("SELECT image_gen.set_style('acme', suffix => 'changed')");
    assert_eq!(alice.generate_with(call), first);
    assert_eq!(
        alice.sqlstate(
            "SELECT image_gen.generate('keyed', model => 'bfl:flux-1.1-pro', idempotency_key => 'k')"
        ),
        "23505"
    );
    // With reuse, what was made with another look is not the same image.
    let reuse =
        "prompt => 'reused', style => 'acme', model => 'bfl:flux-1.1-pro', seed => 1, reuse => '1 day'";
    let first = alice.generate_with(reuse);
    assert_eq!(alice.generate_with(reuse), first);
    alice.run("SELECT image_gen.set_style('acme', suffix => 'once more')");
    assert_ne!(alice.generate_with(reuse), first);
}

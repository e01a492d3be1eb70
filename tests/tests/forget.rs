//! What a subject has asked for, and what was made of it, can be erased; what it cost stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use image_gen_tests::cluster::give_to_server;
use image_gen_tests::picture::{data_uri, photo};
use image_gen_tests::s3::files;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, wait_until};
use serde_json::json;

/// How many objects are in a store that is a folder.
fn files_in(folder: &Path) -> usize {
    let mut found = BTreeMap::new();
    files(folder, folder, &mut found);
    found.len()
}

#[test]
fn nothing_of_a_subject_is_left_in_a_dump_and_every_figure_is() {
    let store = std::env::temp_dir().join(format!("image_gen_forget_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&store);
    std::fs::create_dir_all(&store).unwrap();
    give_to_server(&store);
    let at = format!("image_gen.asset_store = 'file://{}'", store.display());
    let mut options = Options::conf(&[
        "image_gen.rescan_interval = '200ms'",
        "image_gen.keep_bytes = all",
        "image_gen.allowed_webhook_hosts = '127.0.0.1:*'",
        &at,
    ]);
    options.env.push(("HOOK_SECRET".into(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()));
    let stage = Stage::with(options);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    admin.run(
        "SELECT image_gen.set_budget('metadata:client', 'acme', 50, 'month'); SELECT image_gen.set_budget('role', 'alice', 50); SELECT image_gen.set_budget('ticket', 'MKT-1', 50);
         INSERT INTO image_gen.webhooks (url, key_name) VALUES ('http://127.0.0.1:9/hook', 'HOOK_SECRET')",
    );
    let metadata = "metadata => '{\"end_user\": \"hush-user\", \"client\": \"acme\", \"campaign\": \"spring\", \"ticket\": \"MKT-1\", \"shot\": \"hush-shot\"}'";
    let one = alice.generate_with(&format!("prompt => 'hush-prompt', negative_prompt => 'hush-negative', {metadata}, model => 'flux-1.1-pro', idempotency_key => 'k'"));
    let inline = alice.generate_with(&format!("prompt => 'hush-inline', {metadata}, model => 'gpt-image'"));
    let edited = alice.text(&format!(
        "SELECT id FROM image_gen.edit('{}', 'hush-edit', {metadata})",
        data_uri(&photo(64, 64, 3))
    ));
    stage.sim.rule(json!({"prompt_contains": "hush-wrong", "fault": {"kind": "status", "code": 400, "body": {"detail": "hush-prompt is wrong"}}}));
    let wrong = alice.generate_with(&format!("prompt => 'hush-wrong', {metadata}"));
    let other = alice
        .generate_with("prompt => 'stays', metadata => '{\"end_user\": \"another\", \"client\": \"acme\"}'");
    alice.all_done(&[one.clone(), inline.clone(), edited, wrong, other.clone()]);
    wait_until("all are copied", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirrored_at IS NULL") == 0
    });
    wait_until("messages were made", secs(30), || {
        admin.number("SELECT count(*) FROM image_gen.webhook_deliveries WHERE payload IS NOT NULL") == 5
    });
    let hashes =
        admin.column(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE job_id <> '{other}'"));
    let costs = "SELECT j.id, j.status, j.billed_cost, j.known_cost, (SELECT sum(a.billed_cost) FROM image_gen.attempts a WHERE a.job_id = j.id), (SELECT sum(c.billed_cost) FROM image_gen.campaign_assets c WHERE c.job_id = j.id) FROM image_gen.jobs j ORDER BY j.seq";
    let budgets = "SELECT scope, spent, reserved FROM image_gen.credits() ORDER BY 1";
    let report = "SELECT campaign, jobs, images, calls, billed FROM image_gen.cost_by_campaign ORDER BY 1";
    let before = (admin.rows(costs), admin.rows(budgets), admin.rows(report));
    let dump = stage.cluster.dump(DATABASE, &[]);
    assert!(dump.contains("hush-prompt") && hashes.iter().all(|hash| dump.contains(hash)));
    assert!(files_in(&store) >= 4);

    let said = alice.rows("SELECT jobs, assets, open_jobs, at_providers ->> 'openai' IS NOT NULL FROM image_gen.forget(metadata => '{\"end_user\": \"hush-user\"}')");
    assert_eq!(said, [["4", "3", "0", "t"]]);
    wait_until("the copies are gone", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen_internal.stored_objects WHERE doomed_at IS NOT NULL")
            == 0
    });
    assert_eq!(files_in(&store), 1, "the other one's");
    let dump = stage.cluster.dump(DATABASE, &[]);
    let left: Vec<&str> = dump
        .lines()
        .filter(|line| line.contains("hush-") || hashes.iter().any(|hash| line.contains(hash)))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(dump.contains("stays") && dump.contains("another"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 1);
    assert_eq!((admin.rows(costs), admin.rows(budgets), admin.rows(report)), before);
    assert!(admin.rows("SELECT * FROM image_gen.check_budgets()").is_empty());
    stage.check_money();
    // That it was done is written down, and not of whom.
    let row = admin.rows(
        "SELECT role, object, details ->> 'jobs' FROM image_gen.audit_log WHERE action = 'data.erased'",
    );
    assert_eq!(row, [["alice", "metadata: end_user", "4"]]);
    // The same call is still the same job: nothing is paid again.
    let submits = stage.sim.submits();
    let again = alice.generate_with(&format!("prompt => 'hush-prompt', negative_prompt => 'hush-negative', {metadata}, model => 'flux-1.1-pro', idempotency_key => 'k'"));
    assert_eq!(again, one);
    // What is left of it is not made again.
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{inline}'"));
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.regenerate({asset})")), "55000");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.edit('asset:{asset}', 'x')")), "55000");
    assert_eq!(alice.text(&format!("SELECT image_gen.asset_bytes({asset})")), "");
    assert_eq!(stage.sim.submits(), submits);
    // A second time there is nothing to do.
    assert_eq!(
        alice.rows("SELECT jobs, assets FROM image_gen.forget(metadata => '{\"end_user\": \"hush-user\"}')"),
        [["0", "0"]]
    );
    let _ = std::fs::remove_dir_all(&store);
}

#[test]
fn one_erases_what_is_ones_own_and_the_same_image_of_another_stays() {
    let stage = Stage::conf(&["image_gen.keep_bytes = all"]);
    let (mut alice, mut bob, mut admin) = (stage.alice(), stage.bob(), stage.admin());
    let same = "prompt => 'the same', model => 'gpt-image', seed => 7, n => 2";
    let (hers, his) = (alice.generate_with(same), bob.generate_with(same));
    alice.all_succeed(std::slice::from_ref(&hers));
    bob.all_succeed(std::slice::from_ref(&his));
    let shared = "SELECT count(*) FROM image_gen.campaign_assets a JOIN image_gen.campaign_assets b ON a.sha256 = b.sha256 AND a.owner < b.owner";
    assert!(admin.number(shared) > 0, "they have the same bytes");
    for call in [
        format!("forget(job => '{hers}')"),
        "forget(job => 'gen_x')".to_owned(),
        "forget(asset => 99999)".to_owned(),
    ] {
        assert_eq!(bob.sqlstate(&format!("SELECT * FROM image_gen.{call}")), "42704", "{call}");
    }
    for call in
        ["forget()", "forget(metadata => '{}')", "forget(metadata => '[]')", "forget(job => 'x', asset => 1)"]
    {
        assert_eq!(bob.sqlstate(&format!("SELECT * FROM image_gen.{call}")), "22023", "{call}");
    }
    // One of two images: the words are the other's, too.
    let first = alice.text("SELECT min(id) FROM image_gen.campaign_assets");
    assert_eq!(
        alice.rows(&format!("SELECT jobs, assets FROM image_gen.forget(asset => {first})")),
        [["0", "1"]]
    );
    assert_eq!(alice.text(&format!("SELECT prompt FROM image_gen.jobs WHERE id = '{hers}'")), "the same");
    assert_eq!(
        bob.number(
            "SELECT count(*) FROM image_gen.campaign_assets WHERE length(image_gen.asset_bytes(id)) > 0"
        ),
        2
    );
    let second = alice.text("SELECT max(id) FROM image_gen.campaign_assets");
    assert_eq!(
        alice.rows(&format!("SELECT jobs, assets FROM image_gen.forget(asset => {second})")),
        [["1", "1"]]
    );
    assert_eq!(alice.text(&format!("SELECT prompt FROM image_gen.jobs WHERE id = '{hers}'")), "(erased)");
    assert_eq!(
        bob.number(
            "SELECT count(*) FROM image_gen.campaign_assets WHERE length(image_gen.asset_bytes(id)) > 0"
        ),
        2
    );
    // An administrator erases for all; with the last one the bytes go.
    admin.run(&format!("SELECT image_gen.forget(job => '{his}')"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.thumbnails"), 0);
    stage.check_money();
}

#[test]
fn a_job_under_way_stays_and_is_said() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'under way', metadata => '{\"end_user\": \"u\"}'");
    stage.submitted(1);
    assert_eq!(
        alice.rows(
            "SELECT jobs, assets, open_jobs FROM image_gen.forget(metadata => '{\"end_user\": \"u\"}')"
        ),
        [["0", "0", "1"]]
    );
    alice.all_succeed(&[id]);
    assert_eq!(
        alice.rows(
            "SELECT jobs, assets, open_jobs FROM image_gen.forget(metadata => '{\"end_user\": \"u\"}')"
        ),
        [["1", "1", "0"]]
    );
}

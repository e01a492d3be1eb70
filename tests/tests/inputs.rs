//! Images that callers give along: kept while a job needs them, and no longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::picture::{data_uri, photo, sha256, sideways};
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};

/// A job that edits this image, which it brings along.
fn edit(session: &mut Session, picture: &[u8], more: &str) -> String {
    let uri = data_uri(picture);
    session.text(&format!(
        "SELECT id FROM image_gen.edit('{uri}', 'warmer', model => 'openai:gpt-image-2'{more})"
    ))
}

#[test]
fn the_bytes_of_an_input_go_with_the_last_job_that_needs_them() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    let (mut alice, mut bob, mut admin) = (stage.alice(), stage.bob(), stage.admin());
    // Nothing is sent: what is canceled never was.
    admin.run("UPDATE image_gen.providers SET max_in_flight = 1 WHERE id = 'openai'");
    stage.sim.rule(serde_json::json!({"provider": "openai", "times": 1, "fault": {"kind": "slow_response", "seconds": 3}}));
    let [only, shared, used, gone] = [10, 90, 170, 250].map(|hue| photo(64, 64, hue));
    let kept = |admin: &mut Session, picture: &[u8]| {
        admin.number(&format!(
            "SELECT count(*) FROM image_gen_internal.blobs WHERE sha256 = '{}'",
            sha256(picture)
        )) == 1
    };
    let used_by = edit(&mut alice, &used, "");
    let canceled = edit(&mut alice, &only, "");
    let (first, second) = (edit(&mut alice, &shared, ""), edit(&mut bob, &shared, ""));
    // A job whose transaction is rolled back leaves nothing.
    alice.run("BEGIN");
    edit(&mut alice, &gone, "");
    alice.run("ROLLBACK");
    assert!(
        kept(&mut admin, &only)
            && kept(&mut admin, &shared)
            && kept(&mut admin, &used)
            && !kept(&mut admin, &gone)
    );
    for id in [&canceled, &first] {
        alice.run(&format!("SELECT image_gen.cancel('{id}')"));
    }
    wait_until("the bytes of the canceled job are gone", secs(20), || !kept(&mut admin, &only));
    assert!(kept(&mut admin, &shared), "bob's job needs them");
    alice.all_succeed(std::slice::from_ref(&used_by));
    bob.all_succeed(std::slice::from_ref(&second));
    // A job that is kept keeps what it was made from; with it go the bytes.
    assert!(kept(&mut admin, &shared) && kept(&mut admin, &used));
    assert_eq!(admin.number("SELECT image_gen.prune('0 s')"), 4);
    wait_until("the bytes of pruned jobs are gone", secs(20), || {
        !kept(&mut admin, &shared) && !kept(&mut admin, &used)
    });
    // What assets show is kept, though it was an input, too.
    let url = alice.text(&format!("SELECT url FROM image_gen.campaign_assets WHERE job_id = '{used_by}'"));
    let hash = url.strip_prefix("image-gen:sha256:").expect("kept bytes");
    let bytes: Vec<u8> = admin
        .query_one("SELECT bytes FROM image_gen_internal.blobs WHERE sha256 = $1", &[&hash])
        .unwrap()
        .get(0);
    let again = edit(&mut alice, &bytes, "");
    alice.all_succeed(std::slice::from_ref(&again));
    let other = edit(&mut alice, &only, "");
    alice.run(&format!("SELECT image_gen.cancel('{other}')"));
    alice.done(&other);
    admin.run("SELECT image_gen.prune('0 s')");
    wait_until("all is swept", secs(20), || {
        admin.number("SELECT count(*) FROM image_gen_internal.job_inputs") == 0
    });
    assert_eq!(
        admin.column(
            "SELECT sha256 FROM image_gen_internal.blobs EXCEPT SELECT sha256 FROM image_gen.campaign_assets"
        ),
        Vec::<String>::new()
    );
    assert!(kept(&mut admin, &bytes));
}

#[test]
fn a_picture_that_is_not_there_any_more_is_refused_at_the_call() {
    let stage = Stage::conf(&["image_gen.keep_bytes = off"]);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let job = alice.generate("short-lived");
    alice.all_succeed(std::slice::from_ref(&job));
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{job}'"));
    let calls = [
        format!("SELECT image_gen.edit('asset:{asset}', 'warmer', model => 'openai:gpt-image-2')"),
        format!("SELECT image_gen.upscale('job:{job}')"),
        format!("SELECT image_gen.generate('x', reference_image => 'asset:{asset}')"),
        format!("SELECT * FROM image_gen.estimate('upscale', '{{\"image\": \"asset:{asset}\"}}')"),
    ];
    let set = |admin: &mut Session, what: &str| {
        admin.run(&format!("UPDATE image_gen.campaign_assets SET {what} WHERE id = {asset}"));
    };
    set(&mut admin, "url_expires_at = now() + interval '1 h'");
    alice.run(&calls[0]);
    set(&mut admin, "url_expires_at = now() - interval '1 s'");
    for call in &calls {
        assert_eq!(alice.sqlstate(call), "55000", "{call}");
    }
    // Somewhere else it still is, or its bytes are here.
    set(&mut admin, "mirror_url = 'https://mirror.example/1.png'");
    alice.run(&calls[0]);
    set(&mut admin, "mirror_url = NULL");
    let picture = photo(64, 64, 55);
    admin
        .execute(
            "INSERT INTO image_gen_internal.blobs (sha256, content_type, bytes) VALUES ($1, 'image/png', $2)",
            &[&sha256(&picture), &picture],
        )
        .unwrap();
    set(&mut admin, &format!("sha256 = '{}'", sha256(&picture)));
    let id = alice.text(&format!(
        "SELECT id FROM image_gen.edit('asset:{asset}', 'kept', model => 'openai:gpt-image-2')"
    ));
    alice.all_succeed(&[id]);
}

#[test]
fn a_reference_that_the_model_does_not_use_fails_no_job() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    // Nothing is there, and flux-dev at fal asks for no reference.
    let id = alice.generate_with(
        "prompt => 'a cat', model => 'openai:gpt-image-2', reference_image => 'http://127.0.0.1:9/x.png'",
    );
    assert_eq!(alice.done(&id).status, "failed");
    let id = alice.generate_with("prompt => 'a cat', model => 'comfyui:sd-xl-base', width => 256, height => 256, reference_image => 'http://127.0.0.1:9/x.png'");
    alice.all_succeed(std::slice::from_ref(&id));
    let codes = alice.column(&format!(
        "SELECT w ->> 'code' FROM image_gen.attempts a, jsonb_array_elements(a.warnings) w WHERE a.job_id = '{id}'"
    ));
    assert_eq!(codes, ["reference_ignored"]);
}

#[test]
fn a_photograph_on_its_side_is_edited_as_people_see_it() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    // 240x320 as it is seen; the camera stored its rows as columns (EXIF orientation 6).
    let jpeg = sideways(320, 240, 6);
    let uri = format!("data:image/jpeg;base64,{}", data_uri(&jpeg).split_once(',').unwrap().1);
    let id = alice.text(&format!(
        "SELECT id FROM image_gen.edit('{uri}', border_top => 64, model => 'bfl:flux-1-expand-pro')"
    ));
    alice.all_succeed(std::slice::from_ref(&id));
    let made =
        alice.rows(&format!("SELECT width, height FROM image_gen.campaign_assets WHERE job_id = '{id}'"));
    assert_eq!(made, [["240", "384"]]);
}

#[test]
fn bytes_that_go_while_the_same_ones_come_are_there_at_the_end() {
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'"]);
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    let picture = photo(64, 64, 33);
    let mut ids = vec![];
    for _ in 0..40 {
        // Its transaction is open while the sweeper wants to remove the bytes.
        bob.run("BEGIN");
        let id = edit(&mut alice, &picture, "");
        ids.push(edit(&mut bob, &picture, ""));
        alice.run(&format!("SELECT image_gen.cancel('{id}')"));
        stage.cluster.worker_looks(image_gen_tests::stage::DATABASE);
        bob.run("COMMIT");
    }
    bob.all_succeed(&ids);
}

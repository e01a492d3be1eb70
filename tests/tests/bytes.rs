//! Bytes of images: how much of them is in memory, what they cost the WAL, when they go, and what is said of those that are not as
//! asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_gen_tests::picture::{noise, photo};
use image_gen_tests::process::memory_kb;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, wait_until};
use serde_json::{Value, json};

const QUICK: &str = "image_gen.rescan_interval = '200ms'";

/// OpenAI answers with these bytes as an image, as often as told.
fn answer_with(stage: &Stage, bytes: &[u8], times: Option<u32>) {
    let body: Value = json!({"created": 1, "data": [{"b64_json": STANDARD.encode(bytes)}]});
    stage.sim.rule(json!({"provider": "openai", "phase": "submit", "times": times, "fault": {"kind": "status", "code": 200, "body": body}}));
}

#[test]
fn sixty_four_results_of_ten_megabytes_at_once_are_taken_in_bounded_memory() {
    const IMAGES: usize = 64;
    // In the database, which is where most of their memory would be.
    let stage = Stage::conf(&[QUICK, "max_wal_size = '4GB'"]);
    let mut alice = stage.alice();
    let image = noise(10_000_000, 1);
    answer_with(&stage, &image, None);
    // What it takes for one of them is no matter of how many.
    let one = alice.generate_with("prompt => 'warm', model => 'gpt-image'");
    alice.all_succeed(&[one]);
    let worker = stage.worker();
    let (_, before) = memory_kb(worker);
    let ids = alice.column(&format!(
        "SELECT g.id FROM generate_series(1, {IMAGES}) n CROSS JOIN LATERAL image_gen.generate('noise ' || n, model => 'gpt-image') g"
    ));
    alice.all_succeed(&ids);
    let (left, highest) = memory_kb(worker);
    println!(
        "{IMAGES} images of 10 MB that came inline at once: the worker had {highest} kB at most ({before} kB with one), {left} kB afterwards"
    );
    assert!(highest < 600_000, "{highest} kB at most");
    assert_eq!(stage.sim.submits(), IMAGES as u64 + 1, "none was asked for twice");
    assert_eq!(
        alice
            .number("SELECT count(*) FROM image_gen.campaign_assets WHERE byte_size > 9000000 AND width > 0"),
        IMAGES as i64 + 1
    );
    stage.check_money();
}

fn kept(admin: &mut Session) -> Vec<String> {
    admin.rows("SELECT (SELECT count(*) FROM image_gen_internal.blobs), (SELECT count(*) FROM image_gen_internal.thumbnails)").remove(0)
}

#[test]
fn bytes_and_small_copies_go_with_the_last_asset_that_has_them() {
    // A pass over what is to be looked at begins every two seconds.
    let stage = Stage::conf(&["image_gen.rescan_interval = '100ms'", "image_gen.keep_bytes = 'all'"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    answer_with(&stage, &photo(900, 700, 1), Some(2));
    // Two assets with one image, and two with their own.
    let mut ids: Vec<String> =
        (0..2).map(|n| alice.generate_with(&format!("prompt => 'same {n}', model => 'gpt-image'"))).collect();
    alice.all_succeed(&ids);
    ids.extend(["one", "two"].map(|prompt| alice.generate(prompt)));
    alice.all_succeed(&ids);
    assert_eq!(kept(&mut admin), ["3", "3"]);
    // What an own image is stored for stays, whatever becomes of assets.
    let own: String = photo(20, 20, 9).iter().map(|b| format!("{b:02x}")).collect();
    alice.text(&format!("SELECT image_gen.store_image('\\x{own}')"));
    let delete = |admin: &mut Session, id: &str| {
        admin.run(&format!("DELETE FROM image_gen.campaign_assets WHERE job_id = '{id}'"));
    };
    delete(&mut admin, &ids[0]);
    delete(&mut admin, &ids[2]);
    wait_until("the bytes of one are gone", secs(30), || kept(&mut admin) == ["3", "2"]);
    let hash =
        admin.text(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE job_id = '{}'", ids[1]));
    assert!(
        admin.truth(&format!("SELECT EXISTS (SELECT FROM image_gen_internal.blobs WHERE sha256 = '{hash}')"))
    );
    // A deletion that is not committed holds up no image, and one that is undone removes nothing.
    admin.run("BEGIN");
    delete(&mut admin, &ids[1]);
    let again = alice.generate("three");
    alice.all_succeed(&[again]);
    admin.run("ROLLBACK");
    delete(&mut admin, &ids[1]);
    wait_until("the last one with it is gone", secs(30), || kept(&mut admin) == ["3", "2"]);
    assert!(
        !admin
            .truth(&format!("SELECT EXISTS (SELECT FROM image_gen_internal.blobs WHERE sha256 = '{hash}')"))
    );
    admin.run("TRUNCATE image_gen.campaign_assets CASCADE");
    wait_until("all are gone but the role's own", secs(30), || kept(&mut admin) == ["1", "0"]);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.job_inputs"), 0);
}

#[test]
fn a_small_copy_costs_the_wal_no_more_than_its_bytes() {
    const IMAGES: i64 = 20;
    let stage = Stage::with(Options::conf(&[QUICK, "autovacuum = off", "image_gen.thumbnails = off"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let mut wal_of = |prompt: &str| {
        // The first job after a checkpoint writes whole pages.
        let id = alice.generate_with(&format!("prompt => '{prompt} warm', width => 1024, height => 1024"));
        alice.all_succeed(&[id]);
        let before = admin.text("SELECT pg_current_wal_lsn()");
        let ids: Vec<String> = (0..IMAGES)
            .map(|n| alice.generate_with(&format!("prompt => '{prompt} {n}', width => 1024, height => 1024")))
            .collect();
        alice.all_succeed(&ids);
        admin.number(&format!("SELECT (pg_current_wal_lsn() - '{before}'::pg_lsn)::bigint")) / IMAGES
    };
    let without = wal_of("without");
    stage.cluster.configure("image_gen.thumbnails = on");
    stage.cluster.reload();
    let mut look = stage.admin();
    wait_until("it is on", secs(20), || look.text("SHOW image_gen.thumbnails") == "on");
    // The worker reads its settings soon after a session does.
    let mut bob = stage.bob();
    wait_until("the worker makes small copies", secs(30), || {
        let id = bob.generate_with("prompt => 'probe', width => 1024, height => 1024");
        bob.all_succeed(&[id]);
        look.number("SELECT count(*) FROM image_gen_internal.thumbnails") > 0
    });
    let with = wal_of("with");
    let bytes = look.number("SELECT (avg(length(bytes)))::bigint FROM image_gen_internal.thumbnails");
    println!(
        "WAL of an image: {without} bytes without a small copy, {with} with one of {bytes} bytes on average"
    );
    assert!(with - without < bytes + bytes / 4 + 1500, "{without} and {with}, for {bytes} bytes");
}

#[test]
fn an_image_that_is_not_as_asked_is_delivered_and_says_so() {
    let stage = Stage::conf(&[QUICK]);
    let mut alice = stage.alice();
    let options = r#"options => '{"output_format": "webp"}'"#;
    answer_with(&stage, &photo(64, 48, 1), Some(1));
    let png = alice.generate_with(&format!("prompt => 'a', model => 'gpt-image', {options}"));
    alice.all_succeed(std::slice::from_ref(&png));
    let said = "SELECT w ->> 'message' FROM image_gen.campaign_assets a CROSS JOIN LATERAL jsonb_array_elements(a.warnings) w WHERE w ->> 'code' = 'unexpected_format' AND a.job_id =";
    assert_eq!(
        alice.column(&format!("{said} '{png}'")),
        ["image 1 is image/png, and image/webp was asked for"]
    );
    // A drawing instead of an image is at a URL, and is not looked at.
    let svg =
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>alert(1)</script></svg>"#;
    stage.sim.rule(json!({"provider": "bfl", "phase": "picture", "times": 1, "fault": {"kind": "status", "code": 200, "body": svg}}));
    let id = alice.generate("b");
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(
        alice.rows(&format!("SELECT content_type, width, byte_size, image_gen.thumbnail(id) FROM image_gen.campaign_assets WHERE job_id = '{id}'")),
        [["image/svg+xml", "", &svg.len().to_string(), ""]]
    );
    assert!(alice.text(&format!("{said} '{id}'")).contains("cannot be looked at here"));
    stage.cluster.configure("image_gen.unexpected_formats = accept");
    stage.cluster.reload();
    wait_until("it is accepted", secs(30), || {
        answer_with(&stage, &photo(64, 48, 1), Some(1));
        let id = alice.generate_with(&format!("prompt => 'c', model => 'gpt-image', {options}"));
        alice.all_succeed(std::slice::from_ref(&id));
        alice.column(&format!("{said} '{id}'")).is_empty()
    });
    stage.check_money();
}

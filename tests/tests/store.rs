//! Images that last: copied to a store, read back, and never at the cost of a job or of a second render.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_gen_tests::cluster::give_to_server;
use image_gen_tests::picture::{noise, sha256};
use image_gen_tests::process::{is_alive, kill9, memory_kb};
use image_gen_tests::s3::{BUCKET, REGION, SECRET, files};
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, S3, Session, Stage, eventually, wait_until};
use serde_json::json;

const QUICK: &str = "image_gen.rescan_interval = '200ms'";

fn options(store: &str, lines: &[&str]) -> Options {
    let store = format!("image_gen.asset_store = '{store}'");
    let mut options = Options::conf(&[&[QUICK, store.as_str()], lines].concat());
    options.env.extend(S3::env());
    options
}

/// An empty folder that the server may write to.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("image_gen_store_{}_{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    give_to_server(&folder);
    folder
}

fn in_folder(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(folder, folder, &mut found);
    found
}

/// The four shots of a launch: two whose images come inline, two at a URL.
fn launch(alice: &mut Session) -> Vec<String> {
    (1..=4)
        .map(|n| {
            let model = if n % 2 == 0 { "gpt-image" } else { "flux-1.1-pro" };
            alice.generate_with(&format!(
                "prompt => 'shot {n}', model => '{model}', metadata => '{{\"campaign\": \"spring/26\", \"shot\": \"s{n}\"}}'"
            ))
        })
        .collect()
}

fn copied(session: &mut Session, images: i64) {
    wait_until(&format!("{images} copies"), secs(60), || {
        session.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirrored_at IS NOT NULL")
            == images
    });
}

/// Every asset is in the store under its name, byte for byte as it was made.
fn same_bytes(admin: &mut Session, objects: &BTreeMap<String, Vec<u8>>) {
    let rows = admin.rows(
        "SELECT a.sha256, a.byte_size, o.name, a.mirror_url FROM image_gen.campaign_assets a JOIN image_gen_internal.stored_objects o ON o.sha256 = a.sha256",
    );
    assert_eq!(rows.len(), objects.len(), "{rows:?}");
    for row in rows {
        let (at, bytes) =
            objects.iter().find(|(at, _)| at.ends_with(&row[2])).unwrap_or_else(|| panic!("{row:?}"));
        assert_eq!((sha256(bytes), bytes.len().to_string()), (row[0].clone(), row[1].clone()), "{at}");
        assert!(row[3].ends_with(at.as_str()), "{row:?}");
    }
}

#[test]
fn a_launch_is_copied_to_a_store_that_verifies_signatures_and_nothing_is_rendered_again() {
    let s3 = S3::start();
    let stage = Stage::with(options(&s3.address(), &[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids = launch(&mut alice);
    alice.all_succeed(&ids);
    copied(&mut alice, 4);
    let objects = s3.objects();
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    assert!(
        names.iter().all(|name| name.starts_with("live/spring-26/s") && name.contains("/gen_")),
        "{names:?}"
    );
    same_bytes(&mut admin, &objects);
    assert_eq!(stage.sim.submits(), 4);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.copy_queue"), 0);
    assert_eq!(admin.rows("SELECT objects, to_remove FROM image_gen.stores"), [["4", "0"]]);
    // The provider's URL stays.
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.campaign_assets WHERE url LIKE 'http%' AND url_expires_at IS NOT NULL"), 2);
    // The bytes can be read, by their owner only.
    let asset =
        alice.text("SELECT id FROM image_gen.campaign_assets WHERE url LIKE 'http%' ORDER BY id LIMIT 1");
    assert!(alice.truth(&format!(
        "SELECT encode(sha256(image_gen.asset_bytes({asset})), 'hex') = sha256 FROM image_gen.campaign_assets WHERE id = {asset}"
    )));
    let signed = alice.text(&format!("SELECT image_gen.asset_url({asset}, expires => '10 min')"));
    assert!(signed.contains("X-Amz-Signature=") && signed.contains("X-Amz-Expires=600"), "{signed}");
    assert!(!signed.contains(SECRET));
    let bob = &mut stage.bob();
    assert_eq!(bob.sqlstate(&format!("SELECT image_gen.asset_url({asset})")), "42704");
    assert!(bob.truth(&format!("SELECT image_gen.asset_bytes({asset}) IS NULL")));
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.asset_url({asset}, '8 days')")), "22023");
    assert_eq!(alice.sqlstate("SELECT image_gen_internal.sign_object('s3://images/live', 'x', 60)"), "42501");
    assert_eq!(alice.sqlstate("SELECT image_gen_internal.read_object('file:///etc', 'passwd', 60)"), "42501");
    // The URL works without a key.
    let image = alice.generate_with(&format!(
        "prompt => 'again', reference_image => 'asset:{asset}', model => 'gpt-image'"
    ));
    alice.all_succeed(&[image]);
    // Its process ends when there is nothing more to do.
    let process = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'image_gen copies'";
    wait_until("its process ends", secs(30), || admin.number(process) == 0);
    stage.check_money();
}

#[test]
fn a_wrong_key_a_wrong_region_a_wrong_clock_and_an_outage_delay_copies_and_nothing_else() {
    let s3 = S3::start();
    let nameless = format!("{}&keys=R2", s3.address());
    let mut wrong = options(&nameless, &[]);
    for (name, value) in &mut wrong.env {
        if name == "AWS_SECRET_ACCESS_KEY" {
            value.push('x');
        }
    }
    let stage = Stage::with(wrong);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids = launch(&mut alice);
    alice.all_succeed(&ids);
    let mut says = |what: &str| {
        admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(), last_error = NULL");
        admin.run("SELECT image_gen_internal.tell_worker('copies')");
        eventually(what, secs(60), || {
            let errors =
                alice.column("SELECT coalesce(last_error, '') FROM image_gen.copies ORDER BY 1 DESC LIMIT 1");
            errors.first().filter(|error| error.contains(what)).cloned()
        })
    };
    // Without a key nothing is asked of anyone.
    says("there is no key R2_ACCESS_KEY_ID");
    assert_eq!(s3.requests(), 0);
    stage
        .cluster
        .configure(&format!("image_gen.asset_store = '{}'", s3.address().replace(REGION, "us-east-1")));
    stage.cluster.reload();
    says("AuthorizationHeaderMalformed");
    stage.cluster.configure(&format!("image_gen.asset_store = '{}'", s3.address()));
    stage.cluster.reload();
    let said = says("SignatureDoesNotMatch");
    assert!(!said.contains(SECRET) && !said.contains("127.0.0.1"), "{said}");
    // The right key, in the file that keys are in.
    let secrets = folder("secrets").join("keys");
    let file = format!("AWS_SECRET_ACCESS_KEY={SECRET}\nBFL_API_KEY=test-bfl-key\n");
    image_gen_tests::cluster::write_private(&secrets, &file, 0o600);
    stage.cluster.configure(&format!("image_gen.secrets_file = '{}'", secrets.display()));
    s3.ahead(3600);
    stage.cluster.reload();
    says("RequestTimeTooSkewed");
    s3.ahead(0);
    s3.out(true);
    says("503");
    assert!(s3.objects().is_empty());
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs WHERE status <> 'succeeded'"), 0);
    assert_eq!(
        alice.number("SELECT count(*) FROM image_gen.expiring_assets WHERE state IN ('waiting', 'failing')"),
        2
    );
    s3.out(false);
    admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
    copied(&mut admin, 4);
    same_bytes(&mut admin, &s3.objects());
    assert_eq!(stage.sim.submits(), 4, "nothing was rendered again");
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.expiring_assets"), 0);
    assert!(!stage.cluster.log().contains(SECRET));
    stage.check_money();
}

#[test]
fn an_image_whose_url_ends_before_its_copy_is_seen_and_said_and_its_job_succeeded() {
    let s3 = S3::start();
    s3.out(true);
    let stage = Stage::with(options(&s3.address(), &[]));
    // Fetched once, when it is made; then its provider has it no more.
    stage.sim.rule(json!({"phase": "picture", "skip": 1, "fault": {"kind": "status", "code": 410}}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let id = alice.generate("a fox");
    alice.all_succeed(&[id]);
    wait_until("it is tried", secs(30), || {
        alice.truth("SELECT last_error IS NOT NULL FROM image_gen.copies")
    });
    assert!(alice.text("SELECT last_error FROM image_gen.copies").contains("HTTP 410"));
    assert_eq!(alice.text("SELECT state FROM image_gen.expiring_assets"), "failing", "it may come back");
    admin.run("UPDATE image_gen.campaign_assets SET url_expires_at = clock_timestamp(); UPDATE image_gen_internal.copy_queue SET expires_at = clock_timestamp()");
    let state = |session: &mut Session| session.text("SELECT state FROM image_gen.expiring_assets");
    assert_eq!(state(&mut alice), "expired");
    wait_until("it is lost", secs(60), || {
        admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
        state(&mut alice) == "lost"
    });
    let said =
        "the URL of asset 1 ended before there was a copy of its image: the image cannot be had: HTTP 410";
    wait_until("it is said", secs(20), || stage.cluster.log().contains(said));
    s3.out(false);
    assert_eq!(alice.text("SELECT state FROM image_gen.copies"), "lost");
    assert_eq!(alice.text("SELECT status FROM image_gen.jobs"), "succeeded");
    assert_eq!((stage.sim.submits(), s3.objects().len()), (1, 0));
    stage.check_money();
}

#[test]
fn a_process_that_is_killed_in_the_middle_of_copies_loses_none_and_leaves_none_half() {
    let s3 = S3::start();
    let pauses = folder("pauses");
    let stage =
        Stage::with(options(&s3.address(), &[&format!("image_gen.pause_points = '{}'", pauses.display())]));
    let mut alice = stage.alice();
    // Before there is anything to copy: copies are made at once.
    std::fs::write(pauses.join("copied.hold"), "").unwrap();
    let ids: Vec<String> = (0..12).map(|n| alice.generate(&format!("cup {n}"))).collect();
    alice.all_succeed(&ids);
    let again = || {
        eventually("the server lets in", secs(60), || stage.cluster.try_connect("postgres", DATABASE).ok())
    };
    // More of them: IMAGE_GEN_KILLS=100.
    let kills = std::env::var("IMAGE_GEN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    for round in 0..kills {
        // Sometimes before it is sent, sometimes between the store's word and ours.
        let place = if round % 2 == 0 { "copied.hold" } else { "copy.hold" };
        std::fs::write(pauses.join(place), "").unwrap();
        let mut admin = again();
        admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
        let process = eventually("copies are under way", secs(60), || {
            let held = std::fs::read_dir(&pauses).unwrap().flatten();
            let held = held.filter(|f| f.file_name().to_string_lossy().contains(".reached.")).count();
            let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'image_gen copies'";
            admin.column(pid).first().filter(|_| held > 0).and_then(|pid| pid.parse().ok())
        });
        kill9(process);
        std::fs::remove_file(pauses.join(place)).unwrap();
        for file in std::fs::read_dir(&pauses).unwrap().flatten() {
            std::fs::remove_file(file.path()).unwrap();
        }
        wait_until("the server has seen it", secs(60), || admin.try_rows("SELECT 1").is_err());
    }
    let mut admin = again();
    admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
    copied(&mut admin, 12);
    same_bytes(&mut admin, &s3.objects());
    assert_eq!(stage.sim.submits(), 12);
    stage.check_money();
}

#[test]
fn a_folder_of_the_server_is_a_store_and_images_move_from_one_to_another() {
    let (first, s3) = (folder("first"), S3::start());
    let stage = Stage::with(options(
        &format!("file://{}", first.display()),
        &["image_gen.asset_name = '{date}/{sha256}.{ext}'"],
    ));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids = launch(&mut alice);
    alice.all_succeed(&ids);
    copied(&mut alice, 4);
    same_bytes(&mut admin, &in_folder(&first));
    let asset = alice.text("SELECT min(id) FROM image_gen.campaign_assets WHERE url LIKE 'http%'");
    assert!(alice.number(&format!("SELECT length(image_gen.asset_bytes({asset}))")) > 100);
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.asset_url({asset})")), "58030");
    assert_eq!(alice.sqlstate("SELECT image_gen.copy_assets()"), "42501");

    stage.cluster.configure(&format!(
        "image_gen.asset_store = '{}'\nimage_gen.asset_public_url = 'https://cdn.example/i/'",
        s3.address()
    ));
    stage.cluster.reload();
    wait_until("the setting is there", secs(20), || {
        admin.text("SHOW image_gen.asset_store").starts_with("s3:")
    });
    assert_eq!(admin.number("SELECT image_gen.copy_assets(3)"), 3);
    assert_eq!(admin.number("SELECT image_gen.copy_assets()"), 4, "what is under way is not doubled");
    wait_until("they have moved", secs(60), || in_folder(&first).is_empty() && s3.objects().len() == 4);
    wait_until("that is written down", secs(30), || {
        admin.rows("SELECT objects, to_remove FROM image_gen.stores ORDER BY id") == [["0", "0"], ["4", "0"]]
    });
    same_bytes(&mut admin, &s3.objects());
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirror_url LIKE 'https://cdn.example/i/live/20%g'"), 4);
    assert_eq!(admin.number("SELECT image_gen.copy_assets()"), 0);
    // With the last asset that has it the object goes, and not before.
    admin.run("INSERT INTO image_gen.campaign_assets (job_id, position, url, provider, model, seed, prompt, sha256, cost_source, owner) SELECT job_id, 9, url, provider, model, seed, prompt, sha256, cost_source, owner FROM image_gen.campaign_assets ORDER BY id LIMIT 1");
    admin.run("DELETE FROM image_gen.campaign_assets WHERE position = 9");
    admin.run("DELETE FROM image_gen.campaign_assets WHERE shot = 's2'");
    wait_until("one object is gone", secs(60), || s3.objects().len() == 3);
    same_bytes(&mut admin, &s3.objects());
    assert!(s3.objects().keys().all(|name| name.starts_with("live/")), "in the bucket {BUCKET}");
}

#[test]
fn a_copy_of_the_database_removes_nothing_that_the_original_has_stored() {
    let store = folder("kept");
    let stage = Stage::with(options(&format!("file://{}", store.display()), &[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids = launch(&mut alice);
    alice.all_succeed(&ids);
    copied(&mut alice, 4);
    // As after a restore, and resume(): another instance.
    admin.run("UPDATE image_gen_internal.instance SET id = gen_random_uuid()");
    admin.run("DELETE FROM image_gen.campaign_assets WHERE shot IN ('s1', 's2')");
    let id = alice.generate("one of its own");
    alice.all_succeed(std::slice::from_ref(&id));
    copied(&mut alice, 3);
    admin.run(&format!("DELETE FROM image_gen.campaign_assets WHERE job_id = '{id}'"));
    wait_until("its own is gone", secs(60), || in_folder(&store).len() == 4);
    wait_until("that is written down", secs(30), || {
        admin.rows("SELECT objects, to_remove FROM image_gen.stores") == [["2", "2"]]
    });
}

#[test]
fn a_setting_that_cannot_be_right_is_refused_with_the_reason() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    for (setting, value, why) in [
        ("asset_store", "ftp://images", "ftp:// is no store"),
        ("asset_store", "s3://key:secret@images", "secrets_file"),
        ("asset_store", "az://images", "storage account"),
        ("asset_name", "{campaign}.{ext}", "two images would have one name"),
        ("asset_public_url", "cdn.example", "https://host/folder"),
    ] {
        let error = admin.error(&format!("ALTER SYSTEM SET image_gen.{setting} = '{value}'"));
        assert_eq!(error.code().code(), "22023", "{value}");
        assert!(error.detail().is_some_and(|detail| detail.contains(why)), "{error:?}");
    }
    assert_eq!(stage.alice().sqlstate("SHOW image_gen.asset_store"), "42501");
    assert_eq!(admin.sqlstate("SELECT image_gen.copy_assets()"), "55000");
    // Nothing of it runs where there is no store.
    stage.sentinel();
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.copy_queue"), 0);
    assert_eq!(admin.text("SELECT state FROM image_gen.expiring_assets"), "not_queued");
}

/// OpenAI answers prompts of these numbers with images of this size.
fn answer_with_noise(stage: &Stage, numbers: std::ops::Range<u64>, bytes: u32) {
    for n in numbers {
        let image = STANDARD.encode(noise(bytes, n + 1));
        stage.sim.rule(json!({"provider": "openai", "phase": "submit", "prompt_contains": format!("noise {n}."), "times": 1,
            "fault": {"kind": "status", "code": 200, "body": {"created": 1, "data": [{"b64_json": image}]}}}));
    }
}

#[test]
fn bytes_that_came_inline_go_to_the_store_without_passing_through_the_wal() {
    const IMAGES: i64 = 12;
    let s3 = S3::start();
    let stage = Stage::with(options(&s3.address(), &["autovacuum = off"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    answer_with_noise(&stage, 0..12, 1_500_000);
    // The first job after a checkpoint writes whole pages.
    let id = alice.generate_with("prompt => 'warm', model => 'gpt-image'");
    alice.all_succeed(&[id]);
    let before = admin.text("SELECT pg_current_wal_lsn()");
    let ids: Vec<String> = (0..IMAGES)
        .map(|n| alice.generate_with(&format!("prompt => 'noise {n}.', model => 'gpt-image'")))
        .collect();
    alice.all_succeed(&ids);
    let wal = admin.number(&format!("SELECT (pg_current_wal_lsn() - '{before}'::pg_lsn)::bigint")) / IMAGES;
    println!(
        "{wal} bytes of WAL for an image of {} bytes",
        admin.text("SELECT max(byte_size) FROM image_gen.campaign_assets")
    );
    assert!(wal <= 30_000, "{wal} bytes of WAL an image");
    // They were there when their jobs ended.
    assert_eq!(
        alice.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirrored_at IS NOT NULL"),
        IMAGES + 1
    );
    assert_eq!(
        alice.number("SELECT count(*) FROM image_gen.campaign_assets WHERE byte_size > 1400000"),
        IMAGES
    );
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 0);
    same_bytes(&mut admin, &s3.objects());
    // Those that are nowhere else can be read, and go into other jobs.
    let asset = alice.text("SELECT max(id) FROM image_gen.campaign_assets WHERE byte_size > 1400000");
    let sum = format!(
        "SELECT encode(sha256(image_gen.asset_bytes({asset})), 'hex') = sha256 FROM image_gen.campaign_assets WHERE id = {asset}"
    );
    assert!(alice.truth(&sum));
    let next =
        alice.text(&format!("SELECT id FROM image_gen.variate('asset:{asset}', model => 'gpt-image')"));
    alice.all_succeed(&[next]);
}

#[test]
fn a_store_that_is_out_holds_up_no_image_that_came_inline_and_gets_it_later() {
    let s3 = S3::start();
    s3.out(true);
    let stage = Stage::with(options(&s3.address(), &[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids: Vec<String> =
        (0..6).map(|n| alice.generate_with(&format!("prompt => 'cup {n}', model => 'gpt-image'"))).collect();
    alice.all_succeed(&ids);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 6);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.copies"), 6);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.expiring_assets"), 0, "they do not expire");
    s3.out(false);
    admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
    copied(&mut alice, 6);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 0, "they are not kept twice");
    same_bytes(&mut admin, &s3.objects());
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.campaign_assets WHERE length(image_gen.asset_bytes(id)) = byte_size"), 6);
    assert_eq!(stage.sim.submits(), 6);
    // What cannot be read is said.
    s3.out(true);
    let error = alice.error("SELECT image_gen.asset_bytes(min(id)) FROM image_gen.campaign_assets");
    assert_eq!(error.code().code(), "58030");
    assert!(error.message().contains("503") && error.hint().is_some(), "{error:?}");
    stage.check_money();
}

#[test]
fn an_image_of_ones_own_is_kept_once_and_goes_into_jobs_of_its_owner_only() {
    let stage = Stage::conf(&[QUICK]);
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    let bytes: String = noise(30_000, 7).iter().map(|b| format!("{b:02x}")).collect();
    let store = format!("SELECT image_gen.store_image('\\x{bytes}')");
    let reference = alice.text(&store);
    assert!(reference.starts_with("image-gen:sha256:"));
    assert_eq!(alice.text(&store), reference);
    let edit = format!("SELECT id FROM image_gen.edit('{reference}', 'in snow', model => 'gpt-image')");
    assert_eq!(bob.sqlstate(&edit), "42704", "a hash alone is not enough");
    assert_eq!(bob.text(&store), reference);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 1);
    assert_eq!(
        alice.rows("SELECT content_type, width, byte_size > 30000 FROM image_gen.stored_images"),
        [["image/png", "100", "t"]]
    );
    let first = alice.text(&edit);
    alice.all_succeed(&[first]);
    assert_eq!(alice.sqlstate("SELECT image_gen.store_image('\\x00')"), "22023");
    assert_eq!(alice.sqlstate("SELECT image_gen.store_image(NULL)"), "22004");
    assert_eq!(
        alice.sqlstate("SELECT image_gen.store_image(convert_to(repeat('x', 26300000), 'UTF8'))"),
        "54000"
    );
    // What was another role's is given on with its jobs, and is no use to it any more.
    admin.run("CREATE ROLE carol LOGIN; GRANT image_gen_user TO carol");
    let mut carol = stage.connect("carol");
    assert_eq!(carol.text(&store), reference);
    admin.run("SELECT image_gen.reassign_jobs('carol', 'bob')");
    assert_eq!(
        (carol.sqlstate(&edit), carol.number("SELECT count(*) FROM image_gen.stored_images")),
        ("42704".into(), 0)
    );
    // It stays while another has it, or a job in the queue needs it.
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    assert!(bob.truth(&format!("SELECT image_gen.drop_image('{reference}')")));
    let second = alice.text(&edit);
    assert!(alice.truth(&format!("SELECT image_gen.drop_image('{reference}')")));
    assert!(!alice.truth(&format!("SELECT image_gen.drop_image('{reference}')")));
    assert_eq!(alice.sqlstate(&edit), "42704");
    admin.run("SELECT image_gen_internal.sweep_inputs('', 100)");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs WHERE content_type = 'image/png' AND length(bytes) > 30000 AND length(bytes) < 31000"), 1);
    alice.all_succeed(&[second]);
    admin.run("SELECT image_gen.prune('0 s'); SELECT image_gen_internal.sweep_inputs('', 100)");
    let hash = reference.rsplit(':').next().unwrap();
    assert_eq!(
        admin.number(&format!("SELECT count(*) FROM image_gen_internal.blobs WHERE sha256 = '{hash}'")),
        0
    );
}

#[test]
fn a_sweep_finds_what_is_missing_and_what_no_row_has_and_removes_nothing_of_others() {
    let store = folder("swept");
    let stage = Stage::with(options(&format!("file://{}", store.display()), &["image_gen.keep_bytes = all"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let ids = launch(&mut alice);
    alice.all_succeed(&ids);
    copied(&mut alice, 4);
    assert_eq!(alice.sqlstate("SELECT image_gen.sweep_store()"), "42501");
    // One of ours is gone, one has lost its row; the others are not ours, or of before this database was allowed to work.
    let url = alice.text("SELECT mirror_url FROM image_gen.campaign_assets WHERE shot = 's1'");
    std::fs::remove_file(url.strip_prefix("file://").unwrap()).unwrap();
    let ours = format!("spring-26/s9/{}.png", ids[0]);
    let theirs = ["theirs.txt".to_owned(), format!("old/gen_{}.png", "0".repeat(26))];
    for name in theirs.iter().chain([&ours]) {
        let path = store.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        // What is younger may be a copy that is just being written down.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - secs(2 * 3600)).unwrap();
        give_to_server(path.parent().unwrap());
    }
    admin.run("UPDATE image_gen_internal.instance SET allowed_at = clock_timestamp() - interval '3 hours'");
    let mut sweep = |remove: bool| {
        admin.run(&format!("SELECT image_gen.sweep_store({remove})"));
        wait_until("the sweep is over", secs(60), || {
            admin.truth("SELECT bool_and(finished_at IS NOT NULL) FROM image_gen.store_sweeps")
        });
        admin
            .rows("SELECT seen, orphans, removed FROM image_gen.store_sweeps ORDER BY id DESC LIMIT 1")
            .remove(0)
    };
    assert_eq!(sweep(false), ["6", "3", "0"]);
    let mut admin = stage.admin();
    let orphans = "SELECT name FROM image_gen.store_orphans ORDER BY name COLLATE \"C\"";
    let mut all: Vec<String> = theirs.to_vec();
    all.push(ours.clone());
    all.sort();
    assert_eq!(admin.column(orphans), all);
    // The one that was missing is copied again, from the database.
    copied(&mut alice, 4);
    assert!(Path::new(url.strip_prefix("file://").unwrap()).exists());
    assert_eq!(sweep(true)[2], "1");
    wait_until("ours is gone", secs(60), || !store.join(&ours).exists());
    assert!(theirs.iter().all(|name| store.join(name).exists()));
    assert_eq!(stage.sim.submits(), 4);
}

#[test]
fn a_caller_says_whether_an_image_is_copied_and_what_its_url_is_then() {
    let s3 = S3::start();
    let stage = Stage::with(options(&s3.address(), &["image_gen.asset_public_url = 'https://cdn.example'"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let mut ask = |n: u32, store: &str| {
        alice.generate_with(&format!("prompt => 'cup {n}', metadata => '{{\"shot\": \"{n}\"}}'{store}"))
    };
    let mut ids = vec![
        ask(1, ""),
        ask(2, ", store => 'copy'"),
        ask(3, ", store => 'url'"),
        ask(4, ", store => 'url', model => 'gpt-image'"),
    ];
    alice.run("SET image_gen.store = 'url'");
    ids.push(alice.generate("of the session"));
    ids.push(
        alice.generate_with("prompt => 'nevertheless', store => 'both', metadata => '{\"shot\": \"6\"}'"),
    );
    ids.extend(alice.column("SELECT id FROM image_gen.generate_batch('[{\"prompt\": \"in a batch\", \"shot\": \"7\", \"store\": \"copy\"}]', '{\"model\": \"flux-1.1-pro\"}')"));
    let photo = "https://e.com/a.png";
    assert_eq!(
        alice.sqlstate(&format!("SELECT image_gen.variate('{photo}', store => 'elsewhere')")),
        "22023"
    );
    assert_eq!(alice.sqlstate("SELECT image_gen.generate('x', store => 'elsewhere')"), "22023");
    assert_eq!(alice.sqlstate("SET image_gen.store = 'elsewhere'"), "22023");
    alice.all_succeed(&ids);
    copied(&mut alice, 4);
    wait_until("there is nothing more to copy", secs(30), || {
        admin.number("SELECT count(*) FROM image_gen.copies") == 0
    });
    assert_eq!(
        alice.rows("SELECT coalesce(shot, 'of the session'), url LIKE 'https://cdn.example/live/%', url_expires_at IS NOT NULL, mirror_url IS NOT NULL FROM image_gen.campaign_assets ORDER BY 1"),
        [
            ["1", "f", "t", "t"],
            ["2", "t", "f", "t"],
            ["3", "f", "t", "f"],
            ["4", "f", "f", "f"],
            ["6", "f", "t", "t"],
            ["7", "t", "f", "t"],
            ["of the session", "f", "t", "f"],
        ]
    );
    // What came inline and is copied nowhere is in the database.
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.blobs"), 1);
    assert_eq!(s3.objects().len(), 4);
    // A URL of the copy goes into other jobs like any other image, although it is at a host that is not ours to ask.
    let next = alice.generate_with("prompt => 'again', model => 'gpt-image', reference_image => (SELECT 'asset:' || id FROM image_gen.campaign_assets WHERE shot = '2')");
    alice.all_succeed(&[next]);
    // Variations are told as well, against the setting.
    alice.run("SET image_gen.store = 'both'");
    let variations = alice.column(
        "SELECT v.id FROM image_gen.campaign_assets a, image_gen.variate('asset:' || a.id, n => 2, model => 'flux-1.1-pro', store => 'url') v WHERE a.shot = '2'",
    );
    alice.all_succeed(&variations);
    assert_eq!(
        alice.column(&format!(
            "SELECT mirror_url IS NULL AND NOT EXISTS (SELECT FROM image_gen.copies c WHERE c.asset_id = a.id) FROM image_gen.campaign_assets a WHERE job_id = ANY ('{{{}}}')",
            variations.join(",")
        )),
        ["t", "t"]
    );
}

#[test]
fn many_large_images_at_once_are_copied_in_bounded_memory() {
    const IMAGES: u64 = 20;
    let s3 = S3::start();
    s3.out(true);
    let stage = Stage::with(options(&s3.address(), &[]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    answer_with_noise(&stage, 0..IMAGES, 10_000_000);
    let ids: Vec<String> = (0..IMAGES)
        .map(|n| alice.generate_with(&format!("prompt => 'noise {n}.', model => 'gpt-image'")))
        .collect();
    alice.all_succeed(&ids);
    s3.out(false);
    admin.run("UPDATE image_gen_internal.copy_queue SET due_at = clock_timestamp(); SELECT image_gen_internal.tell_worker('copies')");
    let mut highest = 0;
    wait_until("all are copied", secs(120), || {
        let pid = admin.column("SELECT pid FROM pg_stat_activity WHERE backend_type = 'image_gen copies'");
        if let Some(pid) = pid.first().and_then(|pid| pid.parse().ok())
            && is_alive(pid)
        {
            highest = highest.max(memory_kb(pid).1);
        }
        admin.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirrored_at IS NOT NULL")
            == IMAGES as i64
    });
    println!("{IMAGES} images of 10 MB: the process that copies had {highest} kB at most");
    assert!(highest > 0 && highest < 250_000, "{highest} kB");
    same_bytes(&mut admin, &s3.objects());
}

//! The story of an image: what it was made from, what its bytes say, what it looks like, and the very same request again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_gen_tests::picture::photo;
use image_gen_tests::{Options, Stage};
use serde_json::{Value, json};

const TRAINED: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// An answer of OpenAI with this image.
fn answers_with(stage: &Stage, prompt: &str, image: &[u8]) {
    let body = json!({"created": 1, "data": [{"b64_json": STANDARD.encode(image)}]});
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": prompt, "fault": {"kind": "status", "code": 200, "body": body}}));
}

/// A PNG with a further chunk, before its end.
fn with_chunk(png: &[u8], name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(
                crc ^ u32::from(*byte),
                |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
            )
        })
    };
    let named = [&name[..], data].concat();
    let chunk =
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat();
    let mut file = png.to_vec();
    let end = file.len() - 12;
    file.splice(end..end, chunk);
    file
}

#[test]
fn regenerating_sends_the_same_bytes_once_more() {
    // S38, S67
    let stage = Stage::with(Options::all_keys(&[]));
    let mut alice = stage.alice();
    let submits = |stage: &Stage| -> Vec<Value> {
        stage.sim.entries().into_iter().filter(|e| e["phase"] == "submit").collect()
    };
    // As it was asked, in several calls, and reworded after a refusal.
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "shooting", "times": 1, "fault": {"kind": "refuse"}}),
    );
    for (arguments, position) in [
        (
            "prompt => 'a cup', model => 'flux-1.1-pro', seed => 7, width => 1024, height => 768, guidance => 3.1",
            1,
        ),
        ("prompt => 'a jug', model => 'gpt-image-2', quality => 'low', n => 2", 2),
        ("prompt => 'three plates', model => 'flux-2-pro', n => 3", 3),
        ("prompt => 'a man shooting hoops', model => 'flux-1.1-pro'", 1),
    ] {
        let before = submits(&stage).len();
        let id = alice.generate_with(arguments);
        alice.all_succeed(std::slice::from_ref(&id));
        let made: Vec<Value> = submits(&stage).split_off(before);
        let row = alice.rows(&format!(
            "SELECT id, attempt FROM image_gen.campaign_assets WHERE job_id = '{id}' AND position = {position}"
        )).remove(0);
        let again = alice.text(&format!("SELECT id FROM image_gen.regenerate({})", row[0]));
        alice.all_succeed(std::slice::from_ref(&again));
        let now = submits(&stage).split_off(before + made.len());
        assert_eq!(now.len(), 1, "{arguments}: {now:?}");
        let asked = &made[row[1].parse::<usize>().unwrap() - 1];
        assert_eq!((&now[0]["path"], &now[0]["body"]), (&asked["path"], &asked["body"]), "{arguments}");
        let relation = format!(
            "SELECT concat_ws(' ', relation, parent = '{id}') FROM image_gen.jobs WHERE id = '{again}'"
        );
        assert_eq!(alice.text(&relation), "regenerate t");
    }
    // No other role makes it again; nor is one made again whose job was pruned.
    let asset = alice.text("SELECT min(id) FROM image_gen.campaign_assets");
    assert_eq!(stage.bob().sqlstate(&format!("SELECT image_gen.regenerate({asset})")), "42704");
    stage.admin().run("SELECT image_gen.prune('0 s')");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.regenerate({asset})")), "55000");
    assert!(
        alice.truth(&format!("SELECT job_is_pruned AND prompt = 'a cup' FROM image_gen.provenance({asset})"))
    );
    stage.check_money();
}

#[test]
fn what_the_bytes_say_is_told_and_the_bytes_stay_as_they_came() {
    // N15, N33
    let stage = Stage::with(Options::all_keys(&["image_gen.disclosure = 'Image made with AI'"]));
    let mut alice = stage.alice();
    let xmp =
        format!("XML:com.adobe.xmp\0\0\0\0\0<rdf:Description Iptc4xmpExt:DigitalSourceType=\"{TRAINED}\"/>");
    // A store with a label, and nothing in it.
    let store = b"\0\0\0\x26jumb\0\0\0\x1ejumd0123456789abcdef\x03c2pa\0";
    let plain = photo(300, 200, 9);
    let marked = with_chunk(&with_chunk(&plain, b"iTXt", xmp.as_bytes()), b"caBX", store);
    answers_with(&stage, "marked", &marked);
    answers_with(&stage, "plain", &plain);
    let mut of = |prompt: &str, more: &str| {
        let id = alice.generate_with(&format!("prompt => '{prompt}', model => 'gpt-image-2'{more}"));
        alice.all_succeed(std::slice::from_ref(&id));
        alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{id}'"))
    };
    let (first, second) =
        (of("marked", ""), of("plain", ", metadata => '{\"disclosure\": \"Drawn by a machine\"}'"));
    let told = |asset: &str| {
        format!(
            "SELECT concat_ws('|', content_credentials::text, digital_source_type, disclosure) FROM image_gen.provenance({asset})"
        )
    };
    assert_eq!(alice.text(&told(&first)), format!("{{}}|{TRAINED}|Image made with AI"));
    assert_eq!(alice.text(&told(&second)), "Drawn by a machine");
    let kept = alice.query_one(&format!("SELECT image_gen.asset_bytes({first})"), &[]).unwrap();
    assert!(kept.get::<_, Vec<u8>>(0) == marked, "the bytes are others");
    // Both look the same; others see nothing of them.
    assert_eq!(
        alice.text(&format!("SELECT asset_id || ' ' || distance FROM image_gen.similar_assets({first})")),
        format!("{second} 0")
    );
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.marks"), 0);
    alice.run(&format!("SELECT image_gen.set_disclosure(ARRAY[{first}, {second}], NULL)"));
    assert_eq!(alice.text("SELECT string_agg(asset_id::text, ' ') FROM image_gen.marks"), second);
    let mut bob = stage.bob();
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.marks"), 0);
    for call in ["provenance({})", "similar_assets({})", "set_disclosure('{{}}', 'x')"] {
        assert_eq!(
            bob.sqlstate(&format!("SELECT image_gen.{}", call.replace("{}", &first))),
            "42704",
            "{call}"
        );
    }
}

#[test]
fn a_black_or_empty_image_is_delivered_and_said_to_be_one() {
    let stage = Stage::with(Options::all_keys(&[]));
    let mut alice = stage.alice();
    for (prompt, colour, expected) in [("night", [0, 0, 0], "black"), ("fog", [200, 210, 220], "empty")] {
        let mut file = std::io::Cursor::new(vec![]);
        let picture = image::RgbImage::from_pixel(640, 480, image::Rgb(colour));
        picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
        answers_with(&stage, prompt, &file.into_inner());
        let id = alice.generate_with(&format!("prompt => '{prompt}', model => 'gpt-image-2'"));
        alice.all_succeed(std::slice::from_ref(&id));
        let row = alice.rows(&format!("SELECT blank, warnings @> '[{{\"code\": \"blank_picture\"}}]' FROM image_gen.campaign_assets WHERE job_id = '{id}'"));
        assert_eq!(row, [[expected, "t"]]);
    }
}

#[test]
fn each_image_has_a_small_copy_unless_that_is_turned_off() {
    let stage = Stage::with(Options::all_keys(&["image_gen.keep_bytes = inline"]));
    let mut alice = stage.alice();
    let look = "SELECT coalesce(length(image_gen.thumbnail(id)), 0) || ' ' || coalesce(left(encode(image_gen.thumbnail(id), 'hex'), 6), '') FROM image_gen.campaign_assets WHERE job_id = ";
    let mut of = |prompt: &str, more: &str| {
        let id = alice.generate_with(&format!("prompt => '{prompt}', {more}"));
        alice.all_succeed(std::slice::from_ref(&id));
        alice.text(&format!("{look}'{id}'"))
    };
    // At a provider's URL, large; in an answer, large; small ones are their own.
    for model in ["model => 'flux-1.1-pro', width => 1024, height => 768", "model => 'gpt-image-2'"] {
        let seen = of("large", model);
        let (bytes, head) = seen.split_once(' ').unwrap();
        assert!((1000..=40_000).contains(&bytes.parse::<usize>().unwrap()) && head == "ffd8ff", "{seen}");
    }
    let small = photo(90, 60, 3);
    answers_with(&stage, "small", &small);
    assert_eq!(of("small", "model => 'gpt-image-2'"), format!("{} 89504e", small.len()));
    let admin = &mut stage.admin();
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen_internal.thumbnails"),
        2,
        "the small one is in blobs"
    );
    let seen = of("url", "model => 'flux-1.1-pro', width => 256, height => 256");
    assert!(!seen.starts_with("0 "), "{seen}");
    assert_eq!(stage.bob().number("SELECT count(*) FROM image_gen_internal.thumbnails"), 0);
    let off = Stage::with(Options::all_keys(&["image_gen.thumbnails = off"]));
    let mut alice = off.alice();
    let id = alice.generate_with("prompt => 'large', model => 'flux-1.1-pro', width => 1024, height => 768");
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(alice.text(&format!("{look}'{id}'")), "0 ");
}

#[test]
fn a_contact_sheet_shows_what_its_reader_may_see_and_escapes_all_of_it() {
    let stage = Stage::with(Options::all_keys(&[]));
    let mut alice = stage.alice();
    let hostile = r#"<script>alert(1)</script><img src=x onerror=alert(1)>" '' &"#;
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "broken", "fault": {"kind": "status", "code": 422}}),
    );
    let of = |prompt: &str| {
        format!(
            "prompt => '{prompt}', model => 'flux-1.1-pro', metadata => jsonb_build_object('campaign', 'a <b>', 'shot', '{hostile}')"
        )
    };
    let ids = [
        alice.generate_with(&of(hostile)),
        alice.generate_with(&of("caf\u{e9}")),
        alice.generate_with(&of("broken")),
    ];
    for id in &ids {
        alice.done(id);
    }
    let page = alice.text("SELECT image_gen.contact_sheet('a <b>')");
    assert!(
        page.is_ascii()
            && page.contains("caf&#233;")
            && page.contains("a &lt;b&gt;")
            && page.contains("3 entries")
    );
    assert!(
        !page.contains("<script")
            && !page.contains("<img src=x")
            && !page.contains("http://")
            && !page.contains("https://")
    );
    assert_eq!(page.matches("<img src=\"data:image/").count(), 2);
    assert!(
        page.contains("No image") && page.contains("failed") && page.contains("0.08 USD"),
        "{}",
        &page[..3000]
    );
    let theirs = stage.bob().text("SELECT image_gen.contact_sheet('a <b>')");
    assert!(theirs.contains("0 entries") && !theirs.contains("<img"));
    if let Some(folder) = std::env::var_os("IMAGE_GEN_SHEET") {
        std::fs::write(std::path::Path::new(&folder).join("sheet.html"), page).unwrap();
    }
}

//! Character sheets: a graph of jobs that goes on where it was, keeps the character in each prompt, and reports what was measured only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Options, Session, Stage};
use serde_json::json;

const MIRA: &str = "a girl of ten with red braids, freckles and a green coat";

fn stage(lines: &[&str]) -> Stage {
    let stage = Stage::with(Options::all_keys(lines));
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    stage
}

/// Asks for a sheet: which, and the ids of its images by what they show.
fn sheet(session: &mut Session, more: &str) -> (String, Vec<(String, String)>) {
    let rows = session.rows(&format!(
        "SELECT sheet, shot, id FROM image_gen.character_sheet('mira', '{{happy,sad}}', model => 'flux-2-pro', arguments => '{{\"width\": 512, \"height\": 512}}'{more})"
    ));
    (rows[0][0].clone(), rows.iter().map(|row| (row[1].clone(), row[2].clone())).collect())
}

/// Waits until every image of a sheet has come to its end.
fn settle(session: &mut Session, sheet: &str) {
    session.run(&format!("SELECT image_gen.settle_batch('{sheet}')"));
}

#[test]
fn a_sheet_is_a_portrait_and_what_is_made_from_it() {
    // S108, S109, S121
    let stage = stage(&["image_gen.keep_bytes = all"]);
    let mut alice = stage.alice();
    alice.run(&format!("SELECT image_gen.create_character('mira', '{MIRA}', seed => 4711)"));
    let (id, images) = sheet(&mut alice, ", max_cost => 1");
    let shots: Vec<&str> = images.iter().map(|(shot, _)| shot.as_str()).collect();
    assert_eq!(shots, ["portrait", "happy", "sad", "full_body"]);
    // They wait for the portrait, which is all that is sent at first.
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.job_status WHERE (waiting_for).code = 'job'"), 3);
    settle(&mut alice, &id);
    let submits = stage.sim.entries().into_iter().filter(|e| e["phase"] == "submit").collect::<Vec<_>>();
    assert_eq!(submits.len(), 4);
    assert!(
        submits.iter().all(|e| e["seed"] == 4711 && e["prompt"].as_str().unwrap().starts_with(MIRA)),
        "{submits:?}"
    );
    let portrait =
        alice.text(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE job_id = '{}'", images[0].1));
    assert_eq!(submits[0]["inputs"], serde_json::Value::Null);
    assert!(submits[1..].iter().all(|e| e["inputs"][0]["sha256"] == json!(portrait)), "{submits:?}");
    let modes = format!(
        "SELECT concat_ws(' ', metadata ->> 'shot', parameters ->> 'consistency_mode', parent = '{}') FROM image_gen.jobs WHERE batch = '{id}' ORDER BY seq",
        images[0].1
    );
    assert_eq!(alice.column(&modes), ["portrait", "happy strict t", "sad strict t", "full_body balanced t"]);
    // The same call once more asks for nothing.
    assert_eq!(sheet(&mut alice, "").1, images);
    assert_eq!(stage.sim.submits(), 4);
    // What was measured is the distance of these very images.
    let report = alice
        .rows(&format!("SELECT shot, status, measured_by, distance FROM image_gen.sheet_report('{id}')"));
    assert_eq!(report[0], ["portrait", "succeeded", "", ""]);
    for row in &report[1..] {
        assert_eq!(row[2], "perceptual_hash");
        let expected = alice.text(&format!(
            "SELECT round(bit_count((image_gen_internal.perceptual_hash(image_gen.asset_bytes(p.id)) # image_gen_internal.perceptual_hash(image_gen.asset_bytes(a.id)))::bit(64)) / 64.0, 4)
               FROM image_gen.campaign_assets p, image_gen.campaign_assets a WHERE p.shot = 'portrait' AND a.shot = '{}'",
            row[0]
        ));
        assert_eq!(row[3], expected, "{row:?}");
    }
    assert!(report[1..].iter().any(|row| row[3] != "0.0000"), "{report:?}");
    // Others have neither the character nor its sheet; another description is another sheet.
    let mut bob = stage.bob();
    assert_eq!(bob.sqlstate("SELECT image_gen.character_sheet('mira')"), "42704");
    assert_eq!(bob.sqlstate(&format!("SELECT image_gen.sheet_report('{id}')")), "42704");
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.characters"), 0);
    // Images stay when their jobs are pruned, and are not made again.
    assert_eq!(stage.admin().number("SELECT image_gen.prune('0 s')"), 4);
    assert_eq!(sheet(&mut alice, "").1, images);
    assert_eq!(stage.sim.submits(), 4);
    assert!(alice.truth("SELECT image_gen.drop_character('mira')"));
    assert_eq!(
        alice
            .rows(&format!("SELECT shot, status, measured_by, distance FROM image_gen.sheet_report('{id}')")),
        report
    );
    assert_eq!(alice.number(&format!("SELECT count(*) FROM image_gen.lineage((SELECT min(asset_id) FROM image_gen.sheet_report('{id}')))")), 4);
    stage.check_money();
}

#[test]
fn a_sheet_goes_on_where_it_was() {
    let stage = stage(&["image_gen.min_headroom = 0", "image_gen.retry_buffer = 0"]);
    let fault = |prompt: &str| {
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": prompt, "times": 1, "fault": {"kind": "status", "code": 422}}));
    };
    let mut alice = stage.alice();
    let first = alice.generate_with("prompt => 'her face', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(std::slice::from_ref(&first));
    alice.run(&format!(
        "SELECT image_gen.create_character('mira', '{MIRA}', reference_image => 'job:{first}')"
    ));
    let states = |session: &mut Session, id: &str| {
        session
            .column(&format!("SELECT concat_ws(' ', shot, status, note) FROM image_gen.sheet_report('{id}')"))
    };
    // Without its portrait nothing is made.
    fault("neutral expression");
    let (id, images) = sheet(&mut alice, ", max_cost => 0.5");
    settle(&mut alice, &id);
    let again = "failed character_sheet() queues it once more";
    assert_eq!(
        states(&mut alice, &id),
        ["portrait", "happy", "sad", "full_body"].map(|shot| format!("{shot} {again}"))
    );
    assert_eq!(stage.sim.submits(), 2);
    // Once more: all of them, with the new portrait; one expression fails, and is all that is made the third time.
    fault("sad expression");
    let (same, second) = sheet(&mut alice, "");
    assert_eq!(same, id);
    settle(&mut alice, &id);
    let mut left = states(&mut alice, &id);
    assert_eq!(left.remove(2), format!("sad {again}"));
    assert!(
        left[0].starts_with("portrait succeeded")
            && left[1].starts_with("happy succeeded")
            && left[2].starts_with("full_body succeeded"),
        "{left:?}"
    );
    let (_, third) = sheet(&mut alice, "");
    settle(&mut alice, &id);
    let changed =
        |a: &[(String, String)], b: &[(String, String)]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert_eq!((changed(&images, &second), changed(&second, &third)), (4, 1));
    assert_eq!(states(&mut alice, &id).iter().filter(|row| row.contains("succeeded")).count(), 4);
    // One face, a portrait that failed and one that did not, three from it of which one failed and one more: seven calls, five billed.
    assert_eq!(stage.sim.submits(), 7);
    assert_eq!(stage.sim.totals().all.billed_calls, 5);
    // The portrait was made from the reference, the others from the portrait.
    let sent: Vec<_> =
        stage.sim.submits_of("neutral expression").into_iter().filter(|e| e["accepted"] == true).collect();
    assert_eq!(sent.len(), 1);
    let face = alice.text(&format!("SELECT sha256 FROM image_gen.campaign_assets WHERE job_id = '{first}'"));
    assert_eq!(sent[0]["inputs"][0]["sha256"], json!(face));
    // Its cap holds for the whole sheet, also when it goes on.
    assert_eq!(
        alice.number(&format!(
            "SELECT count(*) FROM image_gen.jobs WHERE batch = '{id}' AND relation = 'rerun'"
        )),
        5
    );
    stage.check_money();
}

#[test]
fn consistency_is_measured_or_said_not_to_be() {
    let stage = stage(&["image_gen.keep_bytes = off"]);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    alice.run(&format!("SELECT image_gen.create_character('mira', '{MIRA}')"));
    let (id, _) = sheet(&mut alice, "");
    settle(&mut alice, &id);
    let report = format!(
        "SELECT measured_by, distance, note FROM image_gen.sheet_report('{id}') WHERE shot = 'happy'"
    );
    assert_eq!(
        alice.rows(&report),
        [["", "", "not measured: the bytes of both images are needed, see image_gen.keep_bytes"]]
    );
    let asked =
        "SELECT measured_by, distance, note FROM image_gen_internal.image_distance('\\x0102', '\\x0304')";
    // By the function that the superuser names, with the rights of who asks, and whatever it does.
    admin.run(
        "CREATE FUNCTION public.embedding(image bytea) RETURNS double precision[] LANGUAGE sql AS $$ SELECT ARRAY[get_byte(image, 0), get_byte(image, 1)] $$;
         CREATE FUNCTION public.broken(image bytea) RETURNS double precision[] LANGUAGE plpgsql AS $$ BEGIN RAISE 'no model, as %', current_user; END $$",
    );
    assert_eq!(alice.sqlstate("SET image_gen.embedding_function = 'public.embedding'"), "42501");
    let name = |admin: &mut Session, function: &str| {
        admin.run(&format!("ALTER DATABASE shop SET image_gen.embedding_function = '{function}'"));
        stage.alice()
    };
    assert_eq!(name(&mut admin, "public.embedding").rows(asked), [["public.embedding", "0.0161", ""]]);
    assert_eq!(
        name(&mut admin, "public.broken").rows(asked),
        [["", "", "not measured: public.broken: no model, as alice"]]
    );
    let missing = name(&mut admin, "public.missing").rows(asked);
    assert_eq!(missing, [["", "", "not measured: there is no function public.missing(bytea)"]]);
    // Without one, what is no image is not compared.
    let none = name(&mut admin, "").rows(asked);
    assert!(none[0][2].starts_with("not measured: the image cannot be read"), "{none:?}");
}

#[test]
fn what_makes_no_sheet_is_refused() {
    let stage = stage(&[]);
    let mut alice = stage.alice();
    alice.run(&format!("SELECT image_gen.create_character('mira', '{MIRA}')"));
    for (call, state) in [
        ("create_character('mira', 'another')", "42710"),
        ("create_character(' ', 'x')", "22023"),
        ("create_character('x', '')", "22023"),
        ("create_character('x', 'y', 'me.png')", "22023"),
        ("create_character('x', 'y', seed => -1)", "22023"),
        ("character_sheet('nobody')", "42704"),
        ("character_sheet('mira', '{}')", "22023"),
        ("character_sheet('mira', '{happy,happy}')", "22023"),
        ("character_sheet('mira', '{portrait}')", "22023"),
        ("character_sheet('mira', arguments => '{\"prompt\": \"x\"}')", "22023"),
        ("character_sheet('mira', arguments => '[]')", "22023"),
        ("character_sheet('mira', model => 'no-such-model')", "42704"),
        ("character_sheet('mira', max_cost => 0.01)", "53400"),
        ("sheet_report('sheet_nothing')", "42704"),
    ] {
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen.{call}")), state, "{call}");
    }
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 0);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.character_sheets"), 0);
}

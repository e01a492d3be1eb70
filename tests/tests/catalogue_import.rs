//! A newer catalogue is imported whole or not at all, and an administrator's own rows stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Cluster, Options, Session};
use serde_json::{Value, json};

/// A database without a worker.
fn database() -> (Cluster, Session) {
    let cluster = Cluster::start(Options {
        preload: false,
        ..Options::conf(&["max_worker_processes = 0", "client_min_messages = error"])
    });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen");
    (cluster, admin)
}

fn shipped(admin: &mut Session) -> Value {
    serde_json::from_str(&admin.text("SELECT image_gen.shipped_catalogue()")).unwrap()
}

/// The shipped file of a later day, with a model more, one less, another price and another limit.
fn newer(admin: &mut Session) -> Value {
    let mut file = shipped(admin);
    file["published"] = json!("2099-01-01");
    for provider in file["provider"].as_array_mut().unwrap() {
        if provider["id"] == "bfl" {
            provider["max_in_flight"] = json!(48);
        }
    }
    let models = file["model"].as_array_mut().unwrap();
    models.retain(|m| !(m["kind"] == "stability" && m["name"] == "stable-image-ultra"));
    let flux = models.iter_mut().find(|m| m["kind"] == "bfl" && m["name"] == "flux-1.1-pro").unwrap();
    flux["prices"][0]["amount"] = json!("0.05");
    flux["best_for"] = json!("another sentence");
    let mut next = flux.clone();
    (next["name"], next["aliases"], next["default_for"]) = (json!("flux-9"), json!([]), json!([]));
    models.push(next);
    file
}

fn import(file: &Value, more: &str) -> String {
    format!(
        "SELECT change, kind, name, field, before, after FROM image_gen.import_catalogue($file${file}$file${more})"
    )
}

/// All that the catalogue says, own rows as well.
fn everything(admin: &mut Session) -> Vec<Vec<String>> {
    admin.rows(
        "SELECT 'p', to_jsonb(p)::text FROM image_gen.providers p UNION ALL SELECT 'm', to_jsonb(m)::text FROM image_gen.models m
         UNION ALL SELECT 'r', (to_jsonb(r) - 'id')::text FROM image_gen.prices r ORDER BY 1, 2",
    )
}

#[test]
fn a_newer_catalogue_is_shown_before_it_is_taken_and_own_rows_stay() {
    let (_cluster, mut admin) = database();
    let file = newer(&mut admin);
    // Own rows: a model that the file has as well, a price, a limit.
    admin.run(
        "UPDATE image_gen.models SET best_for = 'my own words' WHERE provider_kind = 'openai' AND name = 'gpt-image-2';
         INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'flux-1.1-pro', 'image', 7);
         UPDATE image_gen.providers SET max_in_flight = 3 WHERE id = 'fal'",
    );
    let before = everything(&mut admin);
    let shown = admin.rows(&import(&file, ", dry_run => true"));
    let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let expected = [
        row(["added", "bfl", "flux-9", "", "", ""]),
        row(["changed", "bfl", "", "max_in_flight", "24", "48"]),
        row(["changed", "bfl", "flux-1.1-pro", "price of image", "0.04 USD", "0.05 USD"]),
        row(["removed", "stability", "stable-image-ultra", "", "", ""]),
        row(["kept", "openai", "gpt-image-2", "", "", ""]),
        row(["kept", "fal", "", "", "", ""]),
    ];
    for line in &expected {
        assert!(shown.contains(line), "{line:?} is not in {shown:#?}");
    }
    assert!(shown.iter().any(|line| line[3] == "best_for" && line[5] == "another sentence"), "{shown:?}");
    assert_eq!(shown.len(), expected.len() + 1, "{shown:#?}");
    assert_eq!(everything(&mut admin), before, "a dry run changes nothing");
    assert_eq!(admin.text("SELECT source FROM image_gen.catalogue_status()"), "shipped");
    // Taken, it is what was shown.
    assert_eq!(admin.rows(&import(&file, ", note => 'from the release'")), shown);
    assert_eq!(
        admin.rows("SELECT published, source, installed_by, note FROM image_gen.catalogue_status()"),
        [["2099-01-01", "imported", "postgres", "from the release"]]
    );
    for (sql, expected) in [
        (
            "SELECT best_for FROM image_gen.models WHERE provider_kind = 'openai' AND name = 'gpt-image-2'",
            "my own words",
        ),
        ("SELECT max_in_flight FROM image_gen.providers WHERE id = 'fal'", "3"),
        ("SELECT max_in_flight || origin FROM image_gen.providers WHERE id = 'bfl'", "48catalogue"),
        (
            "SELECT amount FROM image_gen.prices WHERE model = 'flux-1.1-pro' AND provider_kind = 'bfl' AND origin = 'admin'",
            "7",
        ),
        (
            "SELECT estimated_cost FROM image_gen.estimate('generate', '{\"prompt\": \"x\", \"model\": \"bfl:flux-9\"}')",
            "0.05",
        ),
    ] {
        assert_eq!(admin.text(sql), expected, "{sql}");
    }
    // A second time it changes nothing.
    let again = admin.rows(&import(&file, ""));
    assert!(again.iter().all(|line| line[0] == "kept"), "{again:?}");
    // Back to the shipped one only when that is said.
    let old = shipped(&mut admin);
    assert_eq!(admin.sqlstate(&import(&old, "")), "55000");
    admin.run(&import(&old, ", allow_older => true"));
    assert_eq!(everything(&mut admin), before);
    assert_eq!(admin.text("SELECT source FROM image_gen.catalogue_status()"), "shipped");
}

#[test]
fn a_catalogue_that_is_wrong_anywhere_is_not_taken() {
    let (_cluster, mut admin) = database();
    let file = newer(&mut admin);
    let before = everything(&mut admin);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut file = file.clone();
        change(&mut file);
        file
    };
    for (wrong, says) in [
        (json!({}), "missing field"),
        (json!([1]), "invalid"),
        (changed(&|f| f["format"] = json!(99)), "format is 99"),
        (changed(&|f| f["model"][3]["max_n"] = json!(0)), "max_n"),
        (changed(&|f| f["model"][3]["sizes"] = json!({"square": 1})), "unknown variant"),
        (changed(&|f| f["model"][3]["kind"] = json!("nobody")), "provider is not in the file"),
        (
            changed(&|f| f["model"][3]["prices"] = json!([{"unit": "wish", "amount": "1", "source": "x"}])),
            "unknown variant",
        ),
        (changed(&|f| f["provider"][0]["base_url"] = json!("https://evil.example")), "unknown field"),
    ] {
        let error = admin.error(&import(&wrong, ""));
        assert_eq!(error.code().code(), "22023");
        assert!(
            error.message().contains(says) || error.detail().unwrap_or_default().contains(says),
            "{says}: {error:?}"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("Nothing of it was taken")));
    }
    assert_eq!(admin.sqlstate("SELECT image_gen.import_catalogue(NULL)"), "22004");
    let huge = "SELECT image_gen.import_catalogue(jsonb_build_object('x', (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 600000) n)))";
    assert_eq!(admin.sqlstate(huge), "54000");
    assert_eq!(everything(&mut admin), before);
    // For administrators.
    admin.run("CREATE ROLE alice LOGIN; GRANT image_gen_user TO alice; SET ROLE alice");
    assert_eq!(admin.sqlstate(&import(&file, ", dry_run => true")), "42501");
    assert_eq!(admin.sqlstate("SELECT image_gen.catalogue_status()"), "42501");
}

#[test]
fn a_dump_has_the_imported_catalogue() {
    let (cluster, mut admin) = database();
    let file = newer(&mut admin);
    admin.run(
        "UPDATE image_gen.models SET best_for = 'my own words' WHERE provider_kind = 'openai' AND name = 'gpt-image-2'",
    );
    admin.run(&import(&file, ""));
    let before = everything(&mut admin);
    let dump = cluster.dump("shop", &[]);
    let mut other = cluster.admin("postgres");
    other.run("CREATE DATABASE other");
    cluster.restore("other", &dump);
    let mut restored = cluster.admin("other");
    assert_eq!(everything(&mut restored), before);
    assert_eq!(
        restored.rows("SELECT published, source FROM image_gen.catalogue_status()"),
        [["2099-01-01", "imported"]]
    );
    // One that this version cannot read is left out, and said; the restore goes on.
    let broken = json!({"format": 99});
    restored.run(&format!(
        "SET client_min_messages = warning; INSERT INTO image_gen_internal.catalogue_imports (published, catalogue, imported_by) VALUES ('2100-01-01', '{broken}', 'x')"
    ));
    assert!(
        restored.notices().iter().any(|notice| notice.contains("is not used")),
        "{:?}",
        restored.notices()
    );
    assert_eq!(everything(&mut restored), before);
}

#[test]
fn models_in_use_that_end_soon_are_listed() {
    let (_cluster, mut admin) = database();
    admin.run(
        "UPDATE image_gen.models SET ends_on = current_date + 59 WHERE name = 'flux-1.1-pro' AND provider_kind = 'bfl';
         UPDATE image_gen.models SET ends_on = current_date + 61 WHERE name = 'flux-1.1-pro' AND provider_kind <> 'bfl';
         UPDATE image_gen.models SET ends_on = current_date + 1 WHERE name = 'flux-2-max'",
    );
    let ending = "SELECT e ->> 'provider', e ->> 'model', e ->> 'why' FROM image_gen.catalogue_status() s, jsonb_array_elements(s.ending) e";
    assert_eq!(
        admin.rows(ending),
        [["bfl", "flux-1.1-pro", "image_gen.default_model"]],
        "what is not used is not listed"
    );
    admin.run("SELECT image_gen.set_style('acme', models => '{flux-2-max}')");
    let listed = admin.rows(ending);
    assert!(listed.iter().any(|row| row[1] == "flux-2-max" && row[2] == "style acme"), "{listed:?}");
}

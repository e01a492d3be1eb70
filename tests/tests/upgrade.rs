//! An upgrade of the extension, with jobs on their way; and what was released stays as it was.
//!
//! Nothing is released yet, so the version before this one is made by the test: a script that leads from it to this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// An upgrade script among those that are installed, gone when dropped.
struct Script(PathBuf);

impl Script {
    fn from(version: &str, to: &str, sql: &str) -> Self {
        let program = std::env::var_os("PG_CONFIG").unwrap_or("pg_config".into());
        let said = Command::new(program).arg("--sharedir").output().unwrap();
        let folder = PathBuf::from(String::from_utf8(said.stdout).unwrap().trim()).join("extension");
        let path = folder.join(format!("image_gen--{version}--{to}.sql"));
        fs::write(&path, sql)
            .unwrap_or_else(|e| panic!("{}: {e}: the test needs to write there", path.display()));
        Script(path)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn an_upgrade_loses_no_job_and_pays_none_twice() {
    let stage = Stage::conf(&["image_gen.rescan_interval = 500ms"]);
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let version = admin.text("SELECT extversion FROM pg_extension WHERE extname = 'image_gen'");
    // As every upgrade script does: what is new, and the catalogue of this version.
    let sql = "CREATE FUNCTION image_gen.made_by_the_upgrade() RETURNS text LANGUAGE sql AS 'SELECT ''here'''; SELECT image_gen_internal.load_catalogue();";
    let _script = Script::from("0.0.9", &version, sql);
    let _broken = Script::from("0.0.8", &version, "SELECT image_gen_internal.no_such_function()");
    admin.run("UPDATE image_gen.models SET best_for = 'my own words' WHERE name = 'flux-2-max'");
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let queue = |alice: &mut image_gen_tests::Session, what: &str, n: usize| -> Vec<String> {
        alice.column(&format!("SELECT g.id FROM generate_series(1, {n}) n, LATERAL image_gen.generate('{what} ' || n, model => 'bfl:flux-1.1-pro') g"))
    };
    let mut ids = queue(&mut alice, "in flight", 20);
    stage.accepted(20);
    admin.run("UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'image_gen'");
    // The new library with the old SQL begins nothing, says why, and follows what is at the provider.
    ids.extend(queue(&mut alice, "before", 200));
    alice.all_succeed(&ids[..20]);
    stage.cluster.worker_looks(DATABASE);
    assert_eq!(stage.sim.submits(), 20);
    let fence = admin.text("SELECT detail FROM image_gen.doctor() WHERE name = 'fence'");
    assert!(
        fence.contains(&version)
            && fence.contains("0.0.9")
            && fence.contains("ALTER EXTENSION image_gen UPDATE"),
        "{fence}"
    );
    // A script that fails leaves all as it was.
    admin.run("BEGIN; UPDATE pg_extension SET extversion = '0.0.8' WHERE extname = 'image_gen'; SAVEPOINT s");
    assert_eq!(admin.sqlstate("ALTER EXTENSION image_gen UPDATE"), "42883");
    admin.run("ROLLBACK");
    assert_eq!(admin.text("SELECT extversion FROM pg_extension WHERE extname = 'image_gen'"), "0.0.9");
    // Updated while jobs wait and the worker runs: it goes on by itself.
    admin.run("ALTER EXTENSION image_gen UPDATE");
    ids.extend(queue(&mut alice, "after", 20));
    wait_until("all are done", secs(60), || {
        admin.truth("SELECT count(*) = 0 FROM image_gen.jobs WHERE finished_at IS NULL")
    });
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 240);
    assert_eq!(admin.text("SELECT image_gen.made_by_the_upgrade()"), "here");
    assert_eq!(admin.text("SELECT extversion FROM pg_extension WHERE extname = 'image_gen'"), version);
    assert_eq!(
        admin.text("SELECT DISTINCT best_for FROM image_gen.models WHERE name = 'flux-2-max'"),
        "my own words"
    );
    stage.check_money();
}

#[test]
fn what_was_released_is_never_edited() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/released");
    let lock = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let mut locked = BTreeSet::new();
    for line in lock.lines().filter(|line| !line.starts_with('#')) {
        let (hash, name) = line.split_once("  ").unwrap_or_else(|| panic!("{line}: no line of sha256sum"));
        let text =
            fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name} was released, and is gone: {e}"));
        let now: String = Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(now, hash, "{name} was released, and must stay as it was: write an upgrade script");
        locked.insert(name.to_owned());
    }
    let there = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let unlocked: Vec<String> =
        there.filter(|name| name.ends_with(".sql") && !locked.contains(name)).collect();
    assert!(unlocked.is_empty(), "scripts/release writes these down: {unlocked:?}");
    // From each released version a chain of scripts leads to this one.
    let version = env!("CARGO_PKG_VERSION");
    let upgrades = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    let steps: Vec<(String, String)> = fs::read_dir(upgrades)
        .unwrap()
        .filter_map(|e| {
            let name = e.unwrap().file_name().to_string_lossy().into_owned();
            let (from, to) = name.strip_prefix("image_gen--")?.strip_suffix(".sql")?.split_once("--")?;
            Some((from.to_owned(), to.to_owned()))
        })
        .collect();
    for name in &locked {
        let mut at = name.trim_start_matches("image_gen--").trim_end_matches(".sql").to_owned();
        while at != version {
            let step = steps.iter().find(|(from, _)| *from == at);
            at = step
                .unwrap_or_else(|| panic!("no script leads on from {at}, and this is {version}"))
                .1
                .clone();
        }
    }
}

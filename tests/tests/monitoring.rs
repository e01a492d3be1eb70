//! What monitoring reads is there, for a role that may read nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use image_gen_tests::{Options, Session, Stage};
use serde_json::{Value, json};

fn contrib(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The values of lines `NAME: "text"` of a YAML file, in order: what is in quotation marks there is JSON, too.
fn quoted(yaml: &str, name: &str) -> Vec<String> {
    let lines = yaml.lines().filter_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
    lines.map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))).collect()
}

/// A server on which something has happened, and a session that may only look.
fn stage() -> (Stage, Session) {
    let stage = Stage::with(Options::all_keys(&["image_gen.breaker_failures = 1"]));
    let mut admin = stage.admin();
    admin.run(
        "CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor;
         SELECT image_gen.set_budget('workspace', NULL, 100); SELECT image_gen.pause('fal')",
    );
    stage.sim.rule(json!({"provider": "stability", "fault": {"kind": "status", "code": 401}}));
    let mut alice = stage.alice();
    let made = alice.generate_with("prompt => 'made', model => 'bfl:flux-1.1-pro'");
    let failed = alice.generate_with("prompt => 'failed', model => 'stability:stable-image-core'");
    alice.all_done(&[made, failed]);
    let monitor = stage.connect("monitor");
    (stage, monitor)
}

#[test]
fn the_views_say_what_happened() {
    let (_stage, mut monitor) = stage();
    assert_eq!(
        monitor.rows("SELECT provider, status, error_code, calls, billed, unknown_costs FROM image_gen.call_stats ORDER BY 1"),
        [["bfl", "succeeded", "", "1", "0.04", "0"], ["stability", "failed", "auth", "1", "0", "0"]]
    );
    let counted = monitor.rows(
        "SELECT count(*), sum(calls), sum(succeeded), sum(failed), sum(refused) FROM image_gen.throughput",
    );
    assert_eq!(counted, [["60", "2", "1", "1", "0"]]);
    assert_eq!(
        monitor.rows(
            "SELECT budget, period, limit_amount, spent, trim_scale(reserved), available FROM image_gen.budget_stats"
        ),
        [["workspace", "total", "100", "0.04", "0", "99.96"]]
    );
    assert_eq!(
        monitor.rows("SELECT provider, circuit, paused FROM image_gen.circuit_stats WHERE paused OR circuit <> 'up' ORDER BY 1"),
        [["fal", "up", "t"], ["stability", "down", "f"]]
    );
    assert_eq!(
        monitor.column(
            "SELECT kind FROM image_gen.backlogs WHERE waiting + failing + given_up = 0 AND oldest IS NULL"
        ),
        ["copies", "webhooks", "callbacks", "reviews", "unknown costs"]
    );
    assert_eq!(monitor.text("SELECT status FROM image_gen.check_worker()"), "ok");
    // And nothing else.
    for forbidden in [
        "image_gen.jobs",
        "image_gen.attempts",
        "image_gen.campaign_assets",
        "image_gen.pauses",
        "image_gen_internal.queue",
    ] {
        assert_eq!(monitor.sqlstate(&format!("SELECT FROM {forbidden}")), "42501", "{forbidden}");
    }
    for forbidden in ["generate('x')", "pause()", "doctor()", "check_provider('bfl')", "credits()"] {
        assert_eq!(monitor.sqlstate(&format!("SELECT image_gen.{forbidden}")), "42501", "{forbidden}");
    }
}

#[test]
fn every_query_of_the_exporters_has_the_columns_that_it_promises() {
    let (_stage, mut monitor) = stage();
    let ours = contrib("prometheus/postgres_exporter.yaml");
    let queries = quoted(&ours, "query");
    assert_eq!(queries, quoted(&contrib("prometheus/sql_exporter.yaml"), "query"), "the same for both");
    assert!(queries.len() >= 7);
    let mut metrics = vec![];
    for block in ours.split("\nimage_gen_").skip(1) {
        let sql = &quoted(block, "query")[0];
        let (name, lines) = block.split_once(':').unwrap();
        let listed = lines.lines().filter_map(|line| line.strip_prefix("    - ")?.split_once(": {usage: "));
        let listed: Vec<(&str, bool)> =
            listed.map(|(column, usage)| (column, usage.starts_with("LABEL"))).collect();
        let columns: Vec<String> =
            monitor.prepare(sql).unwrap().columns().iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(columns, listed.iter().map(|(column, _)| *column).collect::<Vec<_>>(), "{name}");
        let rows = monitor.rows(sql);
        assert!(!rows.is_empty(), "{name}");
        for (row, at) in rows.iter().flat_map(|row| (0..listed.len()).map(move |at| (row, at))) {
            assert!(listed[at].1 || row[at].parse::<f64>().is_ok(), "{name}.{}: {:?}", listed[at].0, row[at]);
        }
        metrics.extend(
            listed.iter().filter(|(_, label)| !label).map(|(column, _)| format!("image_gen_{name}_{column}")),
        );
    }
    // Alerts look at metrics that there are.
    let alerts = contrib("prometheus/alerts.yml");
    for word in
        alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("image_gen_"))
    {
        assert!(metrics.contains(&word.to_owned()), "{word} is no metric: {metrics:#?}");
    }
}

#[test]
fn every_query_of_the_dashboard_runs() {
    let (_stage, mut monitor) = stage();
    let dashboard: Value = serde_json::from_str(&contrib("grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 10);
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let sql = target["rawSql"].as_str().unwrap();
            let rows = monitor.rows(sql);
            assert!(!rows.is_empty(), "{}: {sql}", panel["title"]);
            if target["format"] == "time_series" {
                assert_eq!(monitor.prepare(sql).unwrap().columns()[0].name(), "time", "{}", panel["title"]);
            }
        }
    }
}

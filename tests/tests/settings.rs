//! What a session sets does not reach what is asked of a provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::Stage;
use serde_json::Value;

/// What a session can set, each to something that no sensible one would have.
const HOSTILE: [&str; 42] = [
    "extra_float_digits = -15",
    "extra_float_digits = 3",
    "standard_conforming_strings = off",
    "escape_string_warning = on",
    "backslash_quote = off",
    "DateStyle = 'German, DMY'",
    "DateStyle = 'SQL, DMY'",
    "DateStyle = 'Postgres, MDY'",
    "IntervalStyle = 'sql_standard'",
    "IntervalStyle = 'iso_8601'",
    "IntervalStyle = 'postgres_verbose'",
    "bytea_output = 'escape'",
    "TimeZone = 'Pacific/Kiritimati'",
    "TimeZone = 'Etc/GMT+12'",
    "timezone_abbreviations = 'India'",
    "client_encoding = 'SQL_ASCII'",
    "transform_null_equals = on",
    "array_nulls = off",
    "quote_all_identifiers = on",
    "xmlbinary = 'hex'",
    "xmloption = 'document'",
    "default_text_search_config = 'german'",
    "gin_fuzzy_search_limit = 1",
    "enable_indexscan = off",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "plan_cache_mode = 'force_custom_plan'",
    "from_collapse_limit = 1",
    "join_collapse_limit = 1",
    "work_mem = '64kB'",
    "geqo_threshold = 2",
    "constraint_exclusion = on",
    "jit_above_cost = 0",
    "row_security = off",
    "client_min_messages = 'error'",
    "search_path = 'pg_temp, public'",
    "synchronous_commit = off",
    "default_transaction_isolation = 'repeatable read'",
    "lc_numeric = 'C'",
    "lc_time = 'C'",
    "default_toast_compression = 'pglz'",
    "synchronize_seqscans = off",
];

#[test]
fn the_request_is_the_same_whatever_a_session_has_set() {
    let stage = Stage::start();
    let calls = [
        "prompt => 'digits', model => 'stable-image-core', seed => 7, aspect_ratio => '16:9', negative_prompt => 'fog'",
        "prompt => 'back\\slash \\d \\\\ ''quotes'' \"double\"', model => 'bfl:flux-dev', seed => 7, guidance => 3.14159, steps => 30, width => 640, height => 512",
        "prompt => 'options', model => 'gpt-image', seed => 7, options => '{\"background\": \"transparent\", \"output_compression\": 1e2}', deadline => '2030-01-02 03:04:05+00'",
    ];
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET key_name = 'BFL_API_KEY' WHERE id = 'stability'");
    let said = |setting: Option<&str>| {
        let mut session = stage.alice();
        if let Some(setting) = setting {
            session.run(&format!("SET {setting}"));
        }
        let ids: Vec<String> = calls
            .iter()
            .map(|arguments| {
                // Only the spelling of the literal is the caller's own.
                let arguments = if setting.is_some_and(|s| s.starts_with("standard_conforming")) {
                    arguments.replace('\\', "\\\\")
                } else {
                    (*arguments).to_owned()
                };
                session.generate_with(&arguments)
            })
            .collect();
        let words = session.rows(
            "SELECT image_gen.rewrite_prompt('A naked woman, blood and gore')::text,
                    (SELECT jsonb_agg(to_jsonb(l) ORDER BY to_jsonb(l)::text)::text FROM image_gen.lint_prompt('A sign that says \"OPEN\" and no people') l),
                    image_gen.needs_text('a sign that says \"OPEN LATE\"')::text",
        );
        stage.alice().all_succeed(&ids);
        let rows: Vec<String> = ids.iter().map(|id| admin_row(&stage, id)).collect();
        (rows, words)
    };
    let before = stage.sim.submits();
    let usual = said(None);
    assert_eq!(stage.sim.submits(), before + 3);
    let bodies = || -> Vec<(String, Value)> {
        let mut all: Vec<_> = stage
            .sim
            .entries()
            .iter()
            .filter(|e| e["phase"] == "submit")
            .map(|e| (e["provider"].to_string(), e["body"].clone()))
            .collect();
        all.sort_by_key(|(provider, _)| provider.clone());
        all
    };
    let expected = bodies();
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert!(expected.iter().any(|(_, body)| body.to_string().contains("3.14159")), "{expected:?}");
    let mut different = vec![];
    for setting in HOSTILE {
        let answer = said(Some(setting));
        if answer != usual {
            different.push(format!("{setting}: {answer:?}, not {usual:?}"));
        }
    }
    for (provider, body) in &expected {
        let of_provider: Vec<Value> =
            bodies().into_iter().filter(|(p, _)| p == provider).map(|(_, body)| body).collect();
        assert_eq!(of_provider.len(), 1 + HOSTILE.len());
        different.extend(of_provider.iter().filter(|b| *b != body).map(|b| format!("{b}, not {body}")));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What is kept of a job, without what is its own.
fn admin_row(stage: &Stage, id: &str) -> String {
    stage.admin().text(&format!(
        "SELECT (to_jsonb(j) - '{{id,seq,created_at,finished_at,request_hash,estimated_seconds}}'::text[])::text FROM image_gen.jobs j WHERE id = '{id}'"
    ))
}

//! What callers and administrators wish about providers.

use image_gen_tests::Session;
use image_gen_tests::stage::DATABASE;
use serde_json::json;

use crate::common::{asked, check_ledger, stage, story};

const SMALL: &str = "model => 'flux-1.1-pro', width => 512, height => 512";

fn queue(session: &mut Session, prompt: &str, preferences: &str) -> String {
    let wishes = if preferences.is_empty() {
        String::new()
    } else {
        format!(", provider_preferences => '{preferences}'")
    };
    session.generate_with(&format!("prompt => '{prompt}', {SMALL}{wishes}"))
}

/// The providers that were called for this, in order, once it has ended.
fn called(session: &mut Session, id: &str) -> Vec<String> {
    session.done(id);
    story(session, id).into_iter().map(|call| call.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn blocked_beats_an_explicit_provider() {
    // S130, S134: an error, and not one request.
    let stage = stage(&["bfl", "openai", "stability", "fal"], &[]);
    let mut alice = stage.alice();
    let block = "provider_preferences => '{\"blocked\": [\"bfl\"]}'";
    for arguments in [
        format!("prompt => 'x', model => 'bfl:flux-1.1-pro', {block}"),
        "prompt => 'x', model => 'bfl:flux-1.1-pro', provider_preferences => '{\"preferred\": [\"bfl\"], \"only\": true, \"blocked\": [\"bfl\"]}'".into(),
        // Everybody who offers it.
        "prompt => 'x', model => 'stable-image-core', provider_preferences => '{\"blocked\": [\"stability\"]}'".into(),
    ] {
        let error = alice.error(&format!("SELECT image_gen.generate({arguments})"));
        assert!(error.message().contains("block"), "{arguments}: {}", error.message());
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{arguments}");
    }
    // The same where the setting blocks it, and where the setting came after the job.
    alice.run("SET image_gen.provider_preferences = '{\"blocked\": [\"bfl\"]}'");
    let error = alice.error("SELECT image_gen.generate(prompt => 'x', model => 'bfl:flux-1.1-pro')");
    assert!(error.message().contains("block"), "{}", error.message());
    let preferred = "prompt => 'x', model => 'bfl:flux-1.1-pro', provider_preferences => '{\"preferred\": [\"bfl\"], \"blocked\": []}'";
    alice.error(&format!("SELECT image_gen.generate({preferred})"));
    alice.error(
        "SELECT image_gen.upscale(image => 'https://example.com/x.png', model => 'stability:stability-upscale-fast',
           provider_preferences => '{\"blocked\": [\"stability\"]}')",
    );
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 0);
    alice.run("RESET image_gen.provider_preferences");
    assert_eq!(stage.sim.entries().len(), 0, "zero requests");

    // Blocked is out of the chain before any attempt.
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 402}}));
    let id = queue(&mut alice, "[chain]", r#"{"blocked": ["fal", "openai"]}"#);
    assert_eq!(called(&mut alice, &id), ["bfl", "stability"]);
    assert_eq!(asked(&stage, "[chain]"), ["bfl", "stability"]);
    let id = queue(&mut alice, "[nobody]", r#"{"blocked": ["fal", "openai", "stability"]}"#);
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "insufficient_credits"));
    assert!(asked(&stage, "[nobody]").is_empty(), "an account that is empty is not asked again");
    check_ledger(&stage);
}

#[test]
fn preferred_comes_first_and_only_means_only() {
    // S125 to S128, S131
    let stage = stage(&["bfl", "fal", "stability"], &["image_gen.breaker_failures = 0"]);
    let mut alice = stage.alice();
    let mut check = |wishes: &str, expected: &[&str]| {
        let id = queue(&mut alice, &format!("[{}]", wishes.replace('"', "")), wishes);
        assert_eq!(called(&mut alice, &id), expected, "{wishes}");
        alice.job(&id)
    };
    assert_eq!(check("", &["bfl"]).status, "succeeded");
    check(r#"{"preferred": ["fal"]}"#, &["fal"]);
    check(r#"{"preferred": ["stability"]}"#, &["bfl"]);
    check(r#"{"preferred": ["fal", "bfl"], "blocked": ["fal"]}"#, &["bfl"]);
    check(r#"{"preferred": ["fal"], "only": true}"#, &["fal"]);
    stage.sim.rule(json!({"provider": "fal", "phase": "submit", "fault": {"kind": "status", "code": 401}}));
    check(r#"{"preferred": ["fal"]}"#, &["fal", "bfl"]);
    check(r#"{"preferred": ["fal", "stability"], "only": true}"#, &["fal", "stability"]);
    let job = check(r#"{"preferred": ["fal"], "only": true}"#, &["fal"]);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "auth"), "nobody else was wanted");
    check_ledger(&stage);
}

#[test]
fn a_setting_of_role_and_database_is_inherited_and_merged_with_the_request() {
    // S132, S133
    let stage = stage(&["bfl", "fal", "stability", "openai"], &["image_gen.breaker_failures = 0"]);
    let mut admin = stage.admin();
    admin.run(&format!(
        "ALTER DATABASE {DATABASE} SET image_gen.provider_preferences = '{{\"preferred\": [\"fal\"], \"blocked\": [\"openai\"]}}'"
    ));
    admin.run("ALTER ROLE bob SET image_gen.provider_preferences = '{\"blocked\": [\"bfl\"]}'");
    admin.run(&format!(
        "CREATE ROLE dave LOGIN IN ROLE image_gen_user;
         ALTER ROLE dave IN DATABASE {DATABASE} SET image_gen.provider_preferences = '{{\"preferred\": [\"bfl\"], \"only\": true}}'"
    ));
    // New connections inherit it.
    let (mut alice, mut bob, mut dave) = (stage.alice(), stage.bob(), stage.connect("dave"));
    let id = queue(&mut alice, "[database]", "");
    assert_eq!(called(&mut alice, &id), ["fal"]);
    let id = queue(&mut bob, "[role]", "");
    assert_eq!(called(&mut bob, &id), ["fal"], "bfl is blocked");
    let id = queue(&mut dave, "[both]", "");
    assert_eq!(called(&mut dave, &id), ["bfl"]);
    // Key by key: the request's own win, what either blocks is blocked.
    let id = queue(&mut alice, "[wins]", r#"{"preferred": ["bfl"]}"#);
    assert_eq!(called(&mut alice, &id), ["bfl"]);
    let kept = "SELECT preferences -> 'preferred' = '[\"bfl\"]' AND preferences -> 'blocked' = '[\"openai\"]' FROM image_gen.jobs";
    assert!(alice.truth(&format!("{kept} WHERE id = '{id}'")), "it is kept with the job");
    let id = queue(&mut alice, "[union]", r#"{"blocked": ["fal"]}"#);
    assert_eq!(called(&mut alice, &id), ["bfl"]);
    let both = "SELECT preferences -> 'preferred' = '[\"fal\"]' AND preferences -> 'blocked' @> '[\"openai\", \"fal\"]' FROM image_gen.jobs";
    assert!(alice.truth(&format!("{both} WHERE id = '{id}'")));
    let id = queue(&mut dave, "[not only]", r#"{"preferred": ["fal"]}"#);
    assert_eq!(called(&mut dave, &id), ["fal"], "only belongs to the list that it was written with");
    // The whole chain obeys: what the setting blocks is not in it.
    for provider in ["bfl", "fal"] {
        stage
            .sim
            .rule(json!({"provider": provider, "phase": "submit", "fault": {"kind": "status", "code": 402}}));
    }
    let id = queue(&mut alice, "[chain]", "");
    assert_eq!(called(&mut alice, &id), ["fal", "bfl", "stability"]);
    let id = queue(&mut bob, "[chain of bob]", "");
    assert_eq!(called(&mut bob, &id), ["fal", "stability"]);
    // explain() inherits it too.
    let rows = alice.rows(
        r#"SELECT provider, included, reason FROM image_gen.explain('generate', '{"prompt": "x", "model": "flux-1.1-pro"}')"#,
    );
    assert_eq!(rows[0][..2], ["fal", "t"]);
    assert!(
        rows.iter().any(|row| row[0] == "openai" && row[1] == "f" && row[2].contains("blocked")),
        "{rows:?}"
    );
    // A setting that is no preference is an error when it is used, with a remedy.
    for nonsense in ["nonsense", "[]", r#"{"prefered": ["bfl"]}"#, r#"{"preferred": ["nobody"]}"#] {
        alice.run(&format!("SET image_gen.provider_preferences = '{nonsense}'"));
        let error = alice.error(&format!("SELECT image_gen.generate(prompt => 'x', {SMALL})"));
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{nonsense}: {error:?}");
    }
    check_ledger(&stage);
}

#[test]
fn weights_draw_the_first_and_the_draw_can_be_replayed() {
    // S129
    const JOBS: usize = 200;
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    let mut alice = stage.alice();
    let wishes = r#"{"weights": {"bfl": 3, "fal": 1, "stability": 7}}"#;
    let arguments = format!(
        "{{\"prompt\": \"x\", \"model\": \"flux-1.1-pro\", \"width\": 512, \"height\": 512, \"provider_preferences\": {wishes}}}"
    );
    for _ in 0..3 {
        let mut rows = alice.rows(&format!(
            "SELECT provider, trim_scale(probability), \"position\" FROM image_gen.explain('generate', '{arguments}') WHERE included ORDER BY provider"
        ));
        rows.iter_mut().for_each(|row| row.truncate(2));
        // Who only stands in is never drawn.
        assert_eq!(
            rows,
            [["bfl", "0.75"], ["fal", "0.25"], ["stability", "0"]].map(|row| row.map(String::from).to_vec())
        );
    }
    let ids = alice.column(&format!(
        "SELECT g.id FROM generate_series(1, {JOBS}) n,
           LATERAL image_gen.generate(prompt => format('[drawn %s]', n), {SMALL}, provider_preferences => '{wishes}') g"
    ));
    alice.all_succeed(&ids);
    // The promise: the first 53 bits of SHA-256 over 'image_gen.draw', 0, the job's id, 0, and the number 0 in four bytes,
    // as a fraction of the sum of the weights.
    let replay = "
      SELECT a.provider, CASE WHEN f.fraction * 4 <= 3 THEN 'bfl' ELSE 'fal' END
        FROM image_gen.attempts a
       CROSS JOIN LATERAL (SELECT sha256(convert_to('image_gen.draw', 'UTF8') || '\\x00' || convert_to(a.job_id, 'UTF8') || '\\x0000000000')) h(hash)
       CROSS JOIN LATERAL (SELECT ('x0' || substr(encode(h.hash, 'hex'), 1, 15))::bit(64)::bigint / 1152921504606846976.0) f(fraction)
       WHERE a.number = 1";
    let rows = alice.rows(replay);
    assert_eq!(rows.len(), JOBS);
    let wrong = rows.iter().filter(|row| row[0] != row[1]).count();
    assert_eq!(wrong, 0, "of {JOBS} draws cannot be replayed");
    let drawn = rows.iter().filter(|row| row[0] == "bfl").count();
    println!("{drawn} of {JOBS} went to the provider with three quarters");
    // Four standard deviations.
    assert!(drawn.abs_diff(150) <= 25, "{drawn} of {JOBS}");
    let totals = stage.sim.totals().by_provider;
    assert_eq!((totals["bfl"].submits as usize, totals["fal"].submits as usize), (drawn, JOBS - drawn));

    // Weight 0 is never first and stays as a fallback.
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 401}}));
    let id = queue(&mut alice, "[fallback]", r#"{"weights": {"bfl": 1, "fal": 0}}"#);
    assert_eq!(called(&mut alice, &id), ["bfl", "fal"]);
    check_ledger(&stage);
}

//! A refusal is not an outage: it climbs the ladder, alone, and takes nobody with it.

use image_gen_tests::sim::micros;
use image_gen_tests::{Session, Stage};
use serde_json::{Value, json};

use crate::common::{asked, check_ledger, stage, story};

/// Whoever is asked refuses a prompt with this text in it.
fn refuse(stage: &Stage, text: &str) {
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": text, "fault": "refuse"}));
}

/// This provider refuses a prompt with this text in it.
fn refuse_at(stage: &Stage, provider: &str, text: &str) {
    stage
        .sim
        .rule(json!({"provider": provider, "phase": "submit", "prompt_contains": text, "fault": "refuse"}));
}

/// Refusals that were followed by anything but a softer prompt at the same model, or another model.
const PLAIN_STEPS: &str = "
  SELECT a.job_id, a.provider, a.model, b.provider, b.model
    FROM image_gen.attempts a JOIN image_gen.attempts b ON b.job_id = a.job_id AND b.number = a.number + 1
   WHERE a.status = 'refused'
     AND NOT (b.provider = a.provider AND b.model = a.model AND b.prompt <> a.prompt)
     AND NOT (b.model <> a.model)";

/// Seeds that are not their job's.
const OTHER_SEEDS: &str = "
  SELECT j.id, j.seed, a.number, a.seed FROM image_gen.jobs j JOIN image_gen.attempts a ON a.job_id = j.id
   WHERE a.seed <> j.seed";

fn none(session: &mut Session, sql: &str) {
    let rows = session.rows(sql);
    assert!(rows.is_empty(), "{rows:?}");
}

/// Replaces the ladder by these rows, as an administrator.
fn set_ladder(admin: &mut Session, rows: &str) {
    admin.run("DELETE FROM image_gen.refusal_steps");
    if !rows.is_empty() {
        admin.run(&format!("INSERT INTO image_gen.refusal_steps (step, action, model) VALUES {rows}"));
    }
}

#[test]
fn three_of_two_hundred_are_refused_and_no_other_job_notices() {
    // S51, S55, S58, S59, N21. fal offers the same model: a refusal must not go there.
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    refuse(&stage, "[stubborn");
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT g.id FROM generate_series(1, 200) n,
           LATERAL image_gen.generate(model => 'flux-1.1-pro', width => 512, height => 512, metadata => jsonb_build_object('n', n),
             prompt => CASE WHEN n IN (17, 90, 171) THEN format('a woman with a lamp [stubborn %s]', n)
                            ELSE format('a lamp [sibling %s]', n) END) g",
    );
    let jobs = alice.all_done(&ids);
    let refused = [16, 89, 170];
    for (index, job) in jobs.iter().enumerate() {
        let expected = if refused.contains(&index) {
            ("needs_review", "safety_filter", "3")
        } else {
            ("succeeded", "", "1")
        };
        let got = (job.status.as_str(), job.error_code.as_str(), job.attempts.as_str());
        assert_eq!(got, expected, "job {}: {job:?}", index + 1);
    }
    for index in refused {
        let id = &ids[index];
        assert_eq!(
            story(&mut alice, id),
            [
                "bfl:flux-1.1-pro refused safety_filter",
                "bfl:flux-1.1-pro refused safety_filter",
                "stability:stable-image-core refused safety_filter",
            ]
        );
        let tag = format!("[stubborn {}]", index + 1);
        let prompts = alice
            .column(&format!("SELECT prompt FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"));
        let (hard, soft) = (format!("a woman with a lamp {tag}"), format!("a person with a lamp {tag}"));
        assert_eq!(prompts, [&*hard, &*soft, &*soft], "the other model gets the softer prompt");
        // The same in the ledger: that is what was really sent.
        let sent = stage.sim.submits_of(&tag);
        let seen: Vec<_> =
            sent.iter().map(|e| (e["provider"].as_str().unwrap(), e["prompt"].as_str().unwrap())).collect();
        assert_eq!(seen, [("bfl", hard.as_str()), ("bfl", soft.as_str()), ("stability", soft.as_str())]);
        let seed = alice.number(&format!("SELECT seed FROM image_gen.jobs WHERE id = '{id}'"));
        assert!(sent.iter().all(|e| e["seed"] == json!(seed)), "the seed is {seed}: {sent:?}");
    }
    for n in (1..=200).filter(|n| !refused.contains(&(n - 1))) {
        assert_eq!(asked(&stage, &format!("[sibling {n}]")), ["bfl"], "sibling {n}");
    }
    let totals = stage.sim.totals();
    assert_eq!(totals.all.submits, 197 + 9);
    assert!(
        !totals.by_provider.contains_key("fal"),
        "a refusal is no reason to ask somebody else for the same model"
    );
    none(&mut alice, PLAIN_STEPS);
    none(&mut alice, OTHER_SEEDS);
    let waiting = alice.rows(
        "SELECT why, jsonb_array_length(calls), cardinality(prompts_tried) FROM image_gen.review_queue",
    );
    assert_eq!(waiting, vec![["safety_filter", "3", "2"]; 3]);
    check_ledger(&stage);
}

#[test]
fn the_lifestyle_shot_recovers_with_softer_words_and_the_same_seed() {
    // S53 to S57. The simulator's filter itself refuses "eyes closed".
    let stage = stage(&["bfl", "openai"], &[]);
    let mut alice = stage.alice();
    let prompt = "a woman wearing the headphones, eyes closed, lit from behind";
    let siblings =
        ["hero", "detail", "square"].map(|shot| alice.generate(&format!("headphones, {shot}"))).to_vec();
    let id = alice.generate_with(&format!("prompt => '{prompt}', model => 'flux-1.1-pro', seed => 73104"));
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.attempts.as_str()), ("succeeded", "2"), "{job:?}");
    assert_eq!(
        story(&mut alice, &id),
        ["bfl:flux-1.1-pro refused safety_filter", "bfl:flux-1.1-pro succeeded"]
    );
    let soft =
        "a person wearing the headphones, calm expression, backlit golden hour, head and shoulders only";
    let calls = alice.rows(&format!(
        "SELECT prompt, seed, seed_honored, billed_cost FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"
    ));
    assert_eq!(calls[0][..3], [prompt, "73104", "t"]);
    assert_eq!(calls[1][..3], [soft, "73104", "t"]);
    assert_eq!(
        alice.text(&format!("SELECT prompt FROM image_gen.jobs WHERE id = '{id}'")),
        prompt,
        "as the caller wrote it"
    );
    let asset = alice.rows(&format!(
        "SELECT prompt, seed, billed_cost FROM image_gen.campaign_assets WHERE job_id = '{id}'"
    ));
    assert_eq!(asset[0][..2], [soft, "73104"]);
    // One extra call; each call is booked with what it cost.
    let sent: Vec<Value> = stage.sim.submits_of("the headphones,");
    assert_eq!(sent.len(), 2);
    for (call, entry) in calls.iter().zip(&sent) {
        assert_eq!(
            (entry["seed"].clone(), entry["prompt"].as_str().unwrap()),
            (json!(73104), call[0].as_str())
        );
        assert_eq!(micros(&call[3]), entry["billed"].as_str().map_or(0, micros), "{call:?}");
    }
    assert_eq!(micros(&job.billed_cost), 40_000);
    alice.all_succeed(&siblings);
    assert_eq!(stage.sim.submits(), 3 + 2);
    assert!(
        alice.rows(&format!("SELECT word FROM image_gen.lint_prompt('{prompt}')")).len() >= 3,
        "it could be known before"
    );
    check_ledger(&stage);
}

#[test]
fn refusal_steps_that_change_nothing_are_left_out() {
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    refuse(&stage, "[all]");
    refuse_at(&stage, "bfl", "[bfl]");
    let mut alice = stage.alice();
    let bfl = "bfl:flux-1.1-pro refused safety_filter";
    let core = "stability:stable-image-core";
    let mut check = |prompt: &str, model: &str, more: &str, status: &str, calls: &[&str]| {
        let id = alice.generate_with(&format!(
            "prompt => '{prompt}', model => '{model}', width => 512, height => 512{more}"
        ));
        let job = alice.done(&id);
        assert_eq!(story(&mut alice, &id), calls, "{prompt} {model} {more}");
        assert_eq!(job.status, status, "{prompt} {model} {more}: {job:?}");
        let code = if status == "succeeded" { "" } else { "safety_filter" };
        assert_eq!(job.error_code, code);
    };
    // Nothing to soften: another model at once, and not the same model at fal.
    check("a lamp [bfl]", "flux-1.1-pro", "", "succeeded", &[bfl, &format!("{core} succeeded")]);
    check(
        "a lamp [all]",
        "flux-1.1-pro",
        "",
        "needs_review",
        &[bfl, &format!("{core} refused safety_filter")],
    );
    // Softer words help nothing, another model does.
    check(
        "a woman, a lamp [bfl]",
        "flux-1.1-pro",
        "",
        "succeeded",
        &[bfl, bfl, &format!("{core} succeeded")],
    );
    // Whoever names the provider gets no other one.
    check("a woman, a lamp [all]", "bfl:flux-1.1-pro", "", "needs_review", &[bfl, bfl]);
    check("a lamp [all]", "bfl:flux-1.1-pro", "", "needs_review", &[bfl]);
    // Who is blocked stays blocked.
    let blocked = ", provider_preferences => '{\"blocked\": [\"stability\"]}'";
    check("a lamp [bfl]", "flux-1.1-pro", blocked, "needs_review", &[bfl]);
    let only = ", provider_preferences => '{\"preferred\": [\"bfl\", \"fal\"], \"only\": true}'";
    check("a woman, a lamp [all]", "flux-1.1-pro", only, "needs_review", &[bfl, bfl]);
    none(&mut alice, PLAIN_STEPS);
    none(&mut alice, OTHER_SEEDS);
    assert!(!stage.sim.totals().by_provider.contains_key("fal"));
    check_ledger(&stage);
}

#[test]
fn an_outage_on_the_ladder_moves_on_with_the_softer_prompt() {
    // The ladder's place is kept through an outage, and the outage through the ladder.
    let stage = stage(&["bfl", "fal", "stability"], &["image_gen.breaker_failures = 0"]);
    let busy = json!({"kind": "rate_limited", "retry_after": 30});
    refuse_at(&stage, "bfl", "a woman with a vase [moves]");
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a person with a vase [moves]", "fault": busy}));
    refuse_at(&stage, "bfl", "a woman with a vase [climbs]");
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "a person with a vase [climbs]", "fault": busy}));
    refuse_at(&stage, "fal", "[climbs]");
    let mut alice = stage.alice();
    let size = "model => 'flux-1.1-pro', width => 512, height => 512";
    let moves = alice.generate_with(&format!("prompt => 'a woman with a vase [moves]', {size}"));
    let climbs = alice.generate_with(&format!("prompt => 'a woman with a vase [climbs]', {size}"));
    alice.all_succeed(&[moves.clone(), climbs.clone()]);
    let (refused, busy) = ("bfl:flux-1.1-pro refused safety_filter", "bfl:flux-1.1-pro failed rate_limited");
    assert_eq!(story(&mut alice, &moves), [refused, busy, "fal:flux-1.1-pro succeeded"]);
    assert_eq!(
        story(&mut alice, &climbs),
        [refused, busy, "fal:flux-1.1-pro refused safety_filter", "stability:stable-image-core succeeded"]
    );
    let last = alice.column("SELECT DISTINCT left(prompt, 8) FROM image_gen.attempts WHERE number > 1");
    assert_eq!(last, ["a person"]);
    none(&mut alice, PLAIN_STEPS);
    none(&mut alice, OTHER_SEEDS);
    check_ledger(&stage);
}

#[test]
fn an_outage_of_the_other_model_does_not_carry_refused_words_to_the_same_model_elsewhere() {
    // N21: fal has the model that refused, and nothing was softened. With the circuit closed, and with it open.
    let stage = stage(&["bfl", "fal", "stability"], &[]);
    refuse_at(&stage, "bfl", "[bfl]");
    stage.sim.rule(json!({"provider": "stability", "fault": {"kind": "status", "code": 401}}));
    let mut alice = stage.alice();
    let (refused, down) =
        ("bfl:flux-1.1-pro refused safety_filter", "stability:stable-image-core failed auth");
    for calls in [vec![refused, down], vec![refused, down], vec![refused]] {
        let arguments = "prompt => 'a lamp [bfl]', model => 'flux-1.1-pro', width => 512, height => 512";
        let id = alice.generate_with(arguments);
        let job = alice.done(&id);
        assert_eq!(story(&mut alice, &id), calls);
        assert_ne!(job.status, "succeeded", "{job:?}");
    }
    assert!(!stage.sim.totals().by_provider.contains_key("fal"));
    check_ledger(&stage);
}

#[test]
fn an_edited_ladder_takes_effect() {
    let stage = stage(&["bfl", "openai", "stability"], &[]);
    let mut admin = stage.admin();
    admin.run("CREATE ROLE carol LOGIN IN ROLE image_gen_admin");
    let (mut carol, mut alice) = (stage.connect("carol"), stage.alice());
    refuse(&stage, "[all]");
    refuse_at(&stage, "bfl", "[bfl]");
    let mut check = |rows: &str, prompt: &str, status: &str, calls: &[&str]| {
        set_ladder(&mut carol, rows);
        let id = alice.generate_with(&format!(
            "prompt => '{prompt}', model => 'flux-1.1-pro', width => 1024, height => 1024"
        ));
        let job = alice.done(&id);
        assert_eq!(story(&mut alice, &id), calls, "{rows}: {prompt}");
        assert_eq!(job.status, status, "{rows}: {prompt}: {job:?}");
    };
    let bfl = "bfl:flux-1.1-pro refused safety_filter";
    let (flare, core) = ("openai:gpt-image-2.6-flare", "stability:stable-image-core");
    // Another model before other words, and the administrator's choice instead of the next one.
    let named = "(1, 'switch_model', 'stable-image-core'), (2, 'rewrite', NULL), (3, 'review', NULL)";
    check(named, "a woman [bfl]", "succeeded", &[bfl, &format!("{core} succeeded")]);
    check(
        named,
        "a woman [all]",
        "needs_review",
        &[bfl, &format!("{core} refused safety_filter"), &format!("{core} refused safety_filter")],
    );
    // A model that is on nobody's route.
    let off_route = "(10, 'switch_model', 'sd3.5-large'), (20, 'review', NULL)";
    check(off_route, "a lamp [bfl]", "succeeded", &[bfl, "stability:sd3.5-large succeeded"]);
    let pinned = "(1, 'switch_model', 'stability:sd3.5-flash')";
    check(pinned, "a lamp [bfl]", "succeeded", &[bfl, "stability:sd3.5-flash succeeded"]);
    // A person at once; nobody at all; no ladder.
    check("(1, 'review', NULL), (2, 'rewrite', NULL)", "a woman [all]", "needs_review", &[bfl]);
    check("(1, 'fail', NULL)", "a woman [all]", "failed", &[bfl]);
    check("(1, 'rewrite', NULL), (2, 'fail', NULL)", "a woman [all]", "failed", &[bfl, bfl]);
    check("", "a woman [all]", "needs_review", &[bfl]);
    // However long the ladder, three calls are enough.
    let long = "(1, 'rewrite', NULL), (2, 'switch_model', NULL), (3, 'switch_model', 'sd3.5-large'), (4, 'switch_model', 'sd3.5-flash')";
    check(long, "a woman [all]", "needs_review", &[bfl, bfl, &format!("{flare} refused safety_filter")]);
    // A model that nobody has a key for is left out: it is not a leave to ask somebody else.
    check("(1, 'switch_model', 'hidream-i1-full')", "a lamp [bfl]", "needs_review", &[bfl]);
    check(
        "(1, 'switch_model', 'hidream-i1-full'), (2, 'switch_model', NULL)",
        "a lamp [bfl]",
        "succeeded",
        &[bfl, &format!("{flare} succeeded")],
    );
    none(&mut alice, OTHER_SEEDS);
    check_ledger(&stage);
}

#[test]
fn what_a_caller_blocks_stays_blocked_on_the_ladder() {
    // S130, N21
    let stage = stage(&["bfl", "openai", "stability"], &[]);
    refuse_at(&stage, "bfl", "[bfl]");
    set_ladder(&mut stage.admin(), "(1, 'switch_model', 'stable-image-core')");
    let mut alice = stage.alice();
    let blocked = "provider_preferences => '{\"blocked\": [\"stability\"]}'";
    let id = alice.generate_with(&format!("prompt => 'a lamp [bfl]', model => 'flux-1.1-pro', {blocked}"));
    let job = alice.done(&id);
    assert_eq!(story(&mut alice, &id), ["bfl:flux-1.1-pro refused safety_filter"]);
    assert_eq!(job.status, "needs_review");
    check_ledger(&stage);
}

#[test]
fn fewer_refusals_can_be_allowed() {
    let stage = stage(&["bfl", "stability"], &["image_gen.max_refusals = 1"]);
    refuse(&stage, "[all]");
    let mut alice = stage.alice();
    let id = alice.generate("a woman [all]");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "safety_filter"));
    assert_eq!(story(&mut alice, &id).len(), 1);
    check_ledger(&stage);
}

#[test]
fn every_operation_climbs() {
    let stage = stage(&["bfl", "openai"], &["image_gen.keep_bytes = 'all'"]);
    let mut alice = stage.alice();
    let picture = crate::common::picture(&stage);
    refuse_at(&stage, "bfl", "[first]");
    refuse(&stage, "[all]");
    for (call, first, second) in [
        ("edit(image => 'P', mode => 'img2img', ", "bfl:flux-2-pro", "openai:gpt-image-2.6-flare"),
        ("edit(image => 'P', border_left => 64, ", "bfl:flux-1-expand-pro", "openai:gpt-image-2.6-flare"),
        ("variate(image => 'P', n => 1, ", "bfl:flux-1.1-pro", "openai:gpt-image-2.6-flare"),
        ("transfer_style(image => 'P', style_image => 'P', ", "bfl:flux-2-pro", "openai:gpt-image-2.6-flare"),
    ] {
        let call = call.replace('P', &picture);
        let mut queue = |tag: &str| {
            alice.text(&format!("SELECT id FROM image_gen.{call}prompt => 'a woman and a kettle {tag}')"))
        };
        let ids = [queue("[first]"), queue("[all]")];
        let jobs = alice.all_done(&ids);
        let refused = format!("{first} refused safety_filter");
        assert_eq!(
            story(&mut alice, &ids[0]),
            [refused.clone(), refused.clone(), format!("{second} succeeded")],
            "{call}"
        );
        assert_eq!(
            story(&mut alice, &ids[1]),
            [refused.clone(), refused, format!("{second} refused safety_filter")],
            "{call}"
        );
        assert_eq!(
            (jobs[0].status.as_str(), jobs[1].status.as_str()),
            ("succeeded", "needs_review"),
            "{call}"
        );
    }
    none(&mut alice, PLAIN_STEPS);
    none(&mut alice, OTHER_SEEDS);
    check_ledger(&stage);
}

#[test]
fn a_ladder_that_names_no_model_that_exists_stops_no_job() {
    // An administrator's slip must not stand between other people and their images.
    let stage = stage(&["bfl", "openai"], &[]);
    refuse(&stage, "[all]");
    let mut admin = stage.admin();
    let slip = admin.try_rows(
        "INSERT INTO image_gen.refusal_steps (step, action, model) VALUES (5, 'switch_model', 'no-such-model')",
    );
    println!("the slip is {}", if slip.is_ok() { "accepted" } else { "refused" });
    let mut alice = stage.alice();
    let well = alice.generate("a lamp");
    let refused = alice.generate("a lamp [all]");
    alice.all_succeed(&[well]);
    assert_eq!(alice.done(&refused).status, "needs_review");
}

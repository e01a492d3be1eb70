//! The human at the end: what only a person can decide, and what comes of each decision.

use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};
use serde_json::json;

use crate::common::{asked, check_ledger, stage, story};

/// Queues a job that ends in review: `[refused …]` because everybody refuses it, `[lost …]` because nobody knows its fate.
fn in_review(session: &mut Session, prompt: &str) -> String {
    let id = session.generate_with(&format!(
        "prompt => '{prompt}', model => 'flux-1.1-pro', width => 1024, height => 1024"
    ));
    let job = session.done(&id);
    assert_eq!(job.status, "needs_review", "{prompt}: {job:?}");
    id
}

fn with_trouble() -> Stage {
    // Without the breaker: what is lost five times is not to keep the sixth from where it belongs.
    let stage = stage(&["bfl", "openai"], &["image_gen.breaker_failures = 0"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[refused", "fault": "refuse"}));
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[lost", "fault": "drop_after_accept"}));
    stage
}

fn resolve(session: &mut Session, id: &str, decision: &str) -> String {
    session.text(&format!("SELECT status FROM image_gen.resolve_review('{id}', {decision})"))
}

const BFL_REFUSED: &str = "bfl:flux-1.1-pro refused safety_filter";
const FLARE_REFUSED: &str = "openai:gpt-image-2.6-flare refused safety_filter";

#[test]
fn a_refused_job_is_rejected_rewritten_switched_or_tried_again() {
    let stage = with_trouble();
    let mut alice = stage.alice();
    let ids: Vec<String> = ["rejected", "rewritten", "switched", "again"]
        .iter()
        .map(|what| in_review(&mut alice, &format!("a lamp [refused {what}]")))
        .collect();
    assert_eq!(alice.column("SELECT id FROM image_gen.review_queue ORDER BY id"), ids);
    let tried = alice.rows(
        "SELECT DISTINCT why, jsonb_array_length(calls), calls #>> '{0,code}' FROM image_gen.review_queue",
    );
    assert_eq!(tried, [["safety_filter", "2", "safety_filter"]]);
    let seed = |session: &mut Session, id: &str| {
        session.text(&format!("SELECT seed FROM image_gen.jobs WHERE id = '{id}'"))
    };
    let seeds: Vec<String> = ids.iter().map(|id| seed(&mut alice, id)).collect();

    assert_eq!(resolve(&mut alice, &ids[0], "'reject', note => 'no lamps this year'"), "failed");
    let job = alice.job(&ids[0]);
    assert_eq!(
        (job.error_code.as_str(), job.error_message.as_str()),
        ("safety_filter", "no lamps this year")
    );

    // The same job, seed, provider and model; the caller's own prompt stays what it was.
    assert_eq!(resolve(&mut alice, &ids[1], "'rewrite', prompt => 'a lantern [calm]'"), "queued");
    alice.all_succeed(&ids[1..2]);
    let flare = "openai:gpt-image-2.6-flare succeeded";
    assert_eq!(story(&mut alice, &ids[1]), [BFL_REFUSED, FLARE_REFUSED, flare]);
    assert_eq!(asked(&stage, "a lantern [calm]"), ["openai"]);
    let asset = alice
        .rows(&format!("SELECT prompt, seed FROM image_gen.campaign_assets WHERE job_id = '{}'", ids[1]));
    assert_eq!(asset, [["a lantern [calm]", seeds[1].as_str()]]);
    assert_eq!(
        alice.text(&format!("SELECT prompt FROM image_gen.jobs WHERE id = '{}'", ids[1])),
        "a lamp [refused rewritten]"
    );

    // Another model, with the words as they were.
    stage.sim.clear_rules();
    assert_eq!(resolve(&mut alice, &ids[2], "'switch_model', model => 'flux-2-pro'"), "queued");
    alice.all_succeed(&ids[2..3]);
    assert_eq!(story(&mut alice, &ids[2]), [BFL_REFUSED, FLARE_REFUSED, "bfl:flux-2-pro succeeded"]);
    assert_eq!(
        alice.text(&format!("SELECT model FROM image_gen.jobs WHERE id = '{}'", ids[2])),
        "flux-2-pro"
    );
    assert_eq!(seed(&mut alice, &ids[2]), seeds[2]);
    let sent = stage.sim.submits_of("[refused switched]");
    assert_eq!(sent.last().unwrap()["seed"].to_string(), seeds[2]);

    assert_eq!(resolve(&mut alice, &ids[3], "'retry'"), "queued");
    alice.all_succeed(&ids[3..4]);
    assert_eq!(story(&mut alice, &ids[3]), [BFL_REFUSED, FLARE_REFUSED, flare]);
    // What was decided, and by whom, is kept.
    let decided = alice
        .rows("SELECT action, resolved_by, resolved_at IS NOT NULL FROM image_gen.reviews ORDER BY job_id");
    let expected = ["reject", "rewrite", "switch_model", "retry"]
        .map(|action| vec![action.to_owned(), "alice".into(), "t".into()]);
    assert_eq!(decided, expected);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.review_queue"), 0);
    check_ledger(&stage);
}

#[test]
fn a_person_can_bring_the_picture_of_a_refused_job() {
    let stage = with_trouble();
    let mut alice = stage.alice();
    let id = in_review(&mut alice, "a lamp [refused]");
    let cost = alice.job(&id).billed_cost;
    assert_eq!(
        resolve(
            &mut alice,
            &id,
            "'approve', url => 'https://cdn.example.com/lamp.png', note => 'drawn by hand'"
        ),
        "succeeded"
    );
    let job = alice.job(&id);
    assert_eq!((job.url.as_str(), job.billed_cost), ("https://cdn.example.com/lamp.png", cost));
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.campaign_assets"), 1);
    assert_eq!(stage.sim.submits(), 2);
    // The calls keep their story; the image has a line of its own.
    let statuses =
        "SELECT string_agg(provider || ' ' || status, ', ' ORDER BY number) FROM image_gen.attempts";
    assert_eq!(alice.text(statuses), "bfl refused, openai refused, person succeeded");
    check_ledger(&stage);
}

#[test]
fn a_job_that_is_refused_again_comes_back_to_review() {
    let stage = with_trouble();
    let mut alice = stage.alice();
    let id = in_review(&mut alice, "a lamp [refused]");
    resolve(&mut alice, &id, "'rewrite', prompt => 'a woman with a lamp [refused]'");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "safety_filter"), "{job:?}");
    // A person's words start a ladder of their own: softer words, another model, and at most three refusals.
    let calls = story(&mut alice, &id);
    assert!(calls.len() > 2 && calls.len() <= 2 + 3, "{calls:?}");
    assert!(calls.iter().all(|call| call.ends_with("refused safety_filter")), "{calls:?}");
    assert_eq!(asked(&stage, "[refused]").len(), calls.len());
    assert_eq!(alice.number("SELECT count(DISTINCT seed) FROM image_gen.attempts"), 1);
    assert_eq!(
        alice.text("SELECT claimed_by IS NULL FROM image_gen.review_queue"),
        "t",
        "nobody looks at it now"
    );
    resolve(&mut alice, &id, "'reject'");
    check_ledger(&stage);
}

#[test]
fn what_is_unknown_is_settled_by_a_person() {
    // N2, S57: billed or not, the reviewer finds out.
    let stage = with_trouble();
    let mut alice = stage.alice();
    let ids: Vec<String> = ["approved", "rejected", "rejected free", "again", "again unknown", "elsewhere"]
        .iter()
        .map(|what| in_review(&mut alice, &format!("a lamp [lost {what}]")))
        .collect();
    for id in &ids {
        let job = alice.job(id);
        assert_eq!(
            (job.error_code.as_str(), job.billed_cost.as_str(), job.cost_source.as_str()),
            ("uncertain", "", "unknown")
        );
    }
    assert_eq!(alice.rows("SELECT spent, unknown_costs FROM image_gen.credits()"), [["0", "6"]]);
    let billed = stage.sim.billed_of("[lost approved]").1;
    assert_eq!(billed, 40_000, "it was drawn and paid for");
    stage.sim.clear_rules();
    stage.admin().run("CREATE ROLE rita LOGIN IN ROLE image_gen_reviewer");
    let mut rita = stage.connect("rita");
    assert_eq!(rita.column("SELECT id FROM image_gen.review_queue ORDER BY id"), ids, "of all roles");

    let here = "'approve', url => 'https://cdn.example.com/lamp.png', billed_cost => 0.04";
    assert_eq!(resolve(&mut rita, &ids[0], here), "succeeded");
    let job = alice.job(&ids[0]);
    assert_eq!(
        (job.url.as_str(), job.billed_cost.as_str(), job.cost_source.as_str()),
        ("https://cdn.example.com/lamp.png", "0.04", "reported")
    );
    assert_eq!(story(&mut alice, &ids[0]), ["bfl:flux-1.1-pro succeeded"]);

    assert_eq!(resolve(&mut rita, &ids[1], "'reject', billed_cost => 0.04"), "failed");
    assert_eq!(resolve(&mut rita, &ids[2], "'reject', billed_cost => 0"), "failed");
    assert_eq!(alice.job(&ids[1]).billed_cost, "0.04");
    assert_eq!(
        (alice.job(&ids[2]).billed_cost.as_str(), alice.job(&ids[2]).cost_source.as_str()),
        ("0", "reported")
    );

    // Sent once more: both calls are in the bill.
    assert_eq!(resolve(&mut rita, &ids[3], "'retry', billed_cost => 0.04"), "queued");
    assert_eq!(resolve(&mut rita, &ids[4], "'retry'"), "queued");
    assert_eq!(
        resolve(&mut rita, &ids[5], "'switch_model', model => 'gpt-image', billed_cost => 0.04"),
        "queued"
    );
    alice.all_succeed(&ids[3..]);
    let uncertain = "bfl:flux-1.1-pro uncertain uncertain";
    assert_eq!(story(&mut alice, &ids[3]), [uncertain, "bfl:flux-1.1-pro succeeded"]);
    assert_eq!(story(&mut alice, &ids[5]), [uncertain, "openai:gpt-image-2.6-flare succeeded"]);
    let job = alice.job(&ids[3]);
    assert_eq!(micros(&job.billed_cost), stage.sim.billed_of("[lost again]").1);
    assert_eq!(job.billed_cost, "0.08");
    assert_eq!(alice.job(&ids[4]).cost_source, "unknown", "nobody said what the first call cost");
    let (calls, billed) = stage.sim.billed_of("[lost elsewhere]");
    assert_eq!((calls, micros(&alice.job(&ids[5]).billed_cost)), (2, billed));
    for (id, what) in ids.iter().zip(["approved", "rejected", "rejected free"]) {
        assert_eq!(asked(&stage, &format!("[lost {what}]")).len(), 1, "{id} is not sent again");
    }
    stage.check_money();
    assert_eq!(alice.number("SELECT unknown_costs FROM image_gen.credits()"), 1);
}

#[test]
fn only_those_who_may_decide() {
    let stage = with_trouble();
    let mut admin = stage.admin();
    admin.run(
        "CREATE ROLE carol LOGIN IN ROLE image_gen_admin; CREATE ROLE erin LOGIN IN ROLE image_gen_admin",
    );
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    let (mut carol, mut erin) = (stage.connect("carol"), stage.connect("erin"));
    let ids: Vec<String> = (0..3).map(|n| in_review(&mut alice, &format!("a lamp [refused {n}]"))).collect();
    let submits = stage.sim.submits();
    // Strangers see nothing and decide nothing.
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.review_queue"), 0);
    assert_eq!(bob.rows("SELECT id FROM image_gen.claim_review(10)").len(), 0);
    assert_eq!(bob.sqlstate(&format!("SELECT image_gen.resolve_review('{}', 'retry')", ids[0])), "42704");
    // Two reviewers at once never get the same one.
    let hers = carol.column("SELECT id FROM image_gen.claim_review(2)");
    let his = erin.column("SELECT id FROM image_gen.claim_review(5)");
    assert_eq!((hers.len(), his.len()), (2, 1));
    assert!(!hers.contains(&his[0]));
    assert_eq!(erin.sqlstate(&format!("SELECT image_gen.resolve_review('{}', 'reject')", hers[0])), "55P03");
    assert_eq!(resolve(&mut carol, &hers[0], "'reject', note => 'no'"), "failed");
    // Once is enough.
    assert_eq!(carol.sqlstate(&format!("SELECT image_gen.resolve_review('{}', 'retry')", hers[0])), "55000");
    for wrong in [
        "'guess'",
        "'approve'",
        "'rewrite'",
        "'rewrite', prompt => '  '",
        "'switch_model'",
        "'switch_model', model => 'no-such-model'",
        "'approve', url => 'http://cdn.example.com/x.png'",
        "'approve', url => 'file:///etc/passwd'",
        "'reject', billed_cost => -1",
        "'reject', billed_cost => 'NaN'",
        "'reject', billed_cost => 'Infinity'",
    ] {
        let error = carol.error(&format!("SELECT image_gen.resolve_review('{}', {wrong})", hers[1]));
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{wrong}: {error:?}");
    }
    assert_eq!(carol.job(&hers[1]).status, "needs_review");
    // What is rolled back did not happen.
    carol.run("BEGIN");
    assert_eq!(resolve(&mut carol, &hers[1], "'retry'"), "queued");
    carol.run("ROLLBACK");
    assert_eq!(carol.job(&hers[1]).status, "needs_review");
    stage.sentinel();
    assert_eq!(stage.sim.submits(), submits + 1, "nothing but the sentinel was sent");
    check_ledger(&stage);
}

#[test]
fn a_job_that_needs_the_picture_waits_through_the_review() {
    let stage = with_trouble();
    let mut alice = stage.alice();
    let shot = |session: &mut Session, what: &str| {
        session.generate_with(&format!(
            "prompt => 'a lamp [refused {what}]', model => 'flux-1.1-pro', width => 512, height => 512"
        ))
    };
    let states = "SELECT q.state FROM image_gen_internal.queue q JOIN image_gen.jobs j USING (seq) WHERE j.prompt LIKE '%[after]%' ORDER BY q.seq";
    let mut admin = stage.admin();
    let sources = [shot(&mut alice, "one"), shot(&mut alice, "two")];
    let after: Vec<String> = sources
        .iter()
        .map(|id| alice.text(&format!("SELECT id FROM image_gen.edit(image => 'job:{id}', mode => 'img2img', prompt => 'warmer [after]')")))
        .collect();
    // Queued while the source is in review as well.
    alice.all_done(&sources);
    let late = alice.text(&format!(
        "SELECT id FROM image_gen.variate(image => 'job:{}', n => 1, prompt => 'other [after]')",
        sources[0]
    ));
    assert_eq!(admin.column(states), ["waiting"; 3]);
    stage.sentinel();
    assert_eq!(admin.column(states), ["waiting"; 3]);
    assert_eq!(asked(&stage, "[after]").len(), 0);
    stage.sim.clear_rules();

    resolve(&mut alice, &sources[0], "'rewrite', prompt => 'a lantern [calm]'");
    alice.all_succeed(&[sources[0].clone(), after[0].clone(), late]);
    assert_eq!(asked(&stage, "[after]").len(), 2);
    resolve(&mut alice, &sources[1], "'reject'");
    let job = alice.done(&after[1]);
    assert_eq!(
        (job.status.as_str(), job.error_code.as_str(), job.attempts.as_str()),
        ("failed", "not_found", "0"),
        "{job:?}"
    );
    assert!(job.error_message.contains(&sources[1]), "{job:?}");
    wait_until("the queue is empty", secs(5), || {
        admin.number("SELECT count(*) FROM image_gen_internal.queue") == 0
    });
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.job_dependencies"), 0);
    assert_eq!(asked(&stage, "[after]").len(), 2);
    check_ledger(&stage);
}

//! What goes wrong at a provider: how the job ends, how often it was sent, and what is booked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Sim, Stage, wait_until};
use serde_json::{Value, json};

/// What is booked for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Exactly what the provider bills.
    Exact,
    /// Unknown.
    Unknown,
}

use Cost::{Exact, Unknown};

/// A fault, and what must come of it: status, error code, submissions, cost.
struct Case {
    name: &'static str,
    rule: Value,
    status: &'static str,
    code: &'static str,
    submits: usize,
    cost: Cost,
}

fn case(
    name: &'static str,
    rule: Value,
    end: (&'static str, &'static str),
    submits: usize,
    cost: Cost,
) -> Case {
    Case { name, rule, status: end.0, code: end.1, submits, cost }
}

const DONE: (&str, &str) = ("succeeded", "");
/// A person decides: it may have been accepted.
const REVIEW: (&str, &str) = ("needs_review", "uncertain");
/// A person decides: it was refused, and nothing is left to try.
const REFUSED: (&str, &str) = ("needs_review", "safety_filter");

/// One provider, for which nobody stands in.
const BFL: &str = "bfl:flux-1.1-pro";
const OPENAI: &str = "openai:gpt-image-2.6-flare";

/// A stage whose cases do not learn from each other that a provider is unwell.
fn stage() -> Stage {
    Stage::conf(&["image_gen.breaker_failures = 0", "image_gen.outage_timeout = 0"])
}

/// Runs all cases at once, with a job between them that nothing happens to, and checks every one.
fn run(stage: &Stage, model: &str, cases: Vec<Case>) -> Session {
    let mut alice = stage.alice();
    let sibling = alice
        .generate_with(&format!("prompt => '[sibling]', model => '{model}', width => 512, height => 1280"));
    let mut jobs = vec![];
    for case in &cases {
        let mut rule = case.rule.clone();
        rule["prompt_contains"] = json!(format!("[{}]", case.name));
        stage.sim.rule(rule);
        let arguments =
            format!("prompt => 'a cup [{}]', model => '{model}', width => 512, height => 1280", case.name);
        jobs.push(alice.generate_with(&arguments));
    }
    let ended = alice.all_done(&jobs);
    let mut wrong = vec![];
    for (case, job) in cases.iter().zip(&ended) {
        let prompt = format!("[{}]", case.name);
        let submits = stage.sim.submits_of(&prompt).len();
        let (_, billed) = stage.sim.billed_of(&prompt);
        let costs = match case.cost {
            Exact => job.cost_source != "unknown" && micros(&job.billed_cost) == billed,
            // What is known of earlier attempts may be in it, but it must not look like the whole.
            Unknown => job.cost_source == "unknown",
        };
        if (job.status.as_str(), job.error_code.as_str(), submits) != (case.status, case.code, case.submits)
            || !costs
        {
            let expected = (case.status, case.code, case.submits, case.cost);
            wrong.push(format!(
                "{}: expected {expected:?}; {submits} submits, billed {billed}; {job:?}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    alice.all_succeed(&[sibling]);
    assert_eq!(stage.sim.submits_of("[sibling]").len(), 1);
    stage.sim.clear_rules();
    stage.sentinel();
    stage.check_money();
    alice
}

fn submit(fault: Value) -> Value {
    json!({"phase": "submit", "fault": fault})
}

fn once(fault: Value) -> Value {
    json!({"phase": "submit", "times": 1, "fault": fault})
}

/// What a gateway writes.
fn page(code: u16) -> Value {
    json!({"kind": "status", "code": code, "body": "<html><title>Bad gateway</title></html>"})
}

fn status(code: u16) -> Value {
    json!({"kind": "status", "code": code})
}

// hang and hang_before_accept are not in these tables: a request may take minutes, and no setting shortens that.
// crash.rs lets them hang and kills the worker.

#[test]
fn bfl_submissions_that_go_wrong() {
    // worker failure modes 45 to 47, 49, 54; N1 to N4
    let stage = stage();
    let elsewhere = Sim::start();
    let failed = |code| ("failed", code);
    run(
        &stage,
        BFL,
        vec![
            case("refused prompt", submit(json!({"kind": "refuse", "stage": "request"})), REFUSED, 1, Exact),
            case("refused image", submit(json!({"kind": "refuse", "stage": "content"})), REFUSED, 1, Exact),
            case("429 once", once(json!({"kind": "rate_limited", "retry_after": 1})), DONE, 2, Exact),
            case("429 without a time", once(json!({"kind": "rate_limited"})), DONE, 2, Exact),
            case(
                "429 with nonsense",
                once(json!({"kind": "rate_limited", "retry_after": "soon"})),
                DONE,
                2,
                Exact,
            ),
            case("429 for ever", submit(json!({"kind": "rate_limited"})), failed("rate_limited"), 4, Exact),
            case("503 once", once(status(503)), DONE, 2, Exact),
            case("503 for ever", submit(status(503)), failed("overloaded"), 4, Exact),
            // A gateway may have passed it on: never sent again, never booked as free.
            case("408", submit(status(408)), REVIEW, 1, Unknown),
            case("500", submit(status(500)), REVIEW, 1, Unknown),
            case("502", submit(status(502)), REVIEW, 1, Unknown),
            case("503 page", submit(page(503)), REVIEW, 1, Unknown),
            case("520", submit(page(520)), REVIEW, 1, Unknown),
            case("522", submit(page(522)), REVIEW, 1, Unknown),
            case("524", submit(page(524)), REVIEW, 1, Unknown),
            case("599", submit(status(599)), REVIEW, 1, Unknown),
            case("521 once", once(page(521)), DONE, 2, Exact),
            case("530 once", once(page(530)), DONE, 2, Exact),
            case("401", submit(status(401)), failed("auth"), 1, Exact),
            case("402", submit(status(402)), failed("insufficient_credits"), 1, Exact),
            case("422", submit(status(422)), failed("invalid_request"), 1, Exact),
            case("drop after accept", submit(json!("drop_after_accept")), REVIEW, 1, Unknown),
            case("drop before accept", submit(json!("drop_before_accept")), REVIEW, 1, Unknown),
            case("drop mid body", submit(json!("drop_mid_body")), REVIEW, 1, Unknown),
            case("garbage", submit(json!("garbage")), REVIEW, 1, Unknown),
            case(
                "accepted without a task",
                submit(json!({"kind": "status", "code": 200, "body": {}})),
                REVIEW,
                1,
                Unknown,
            ),
            case("wrong content type", submit(json!("wrong_content_type")), DONE, 1, Exact),
            case("slow body", submit(json!({"kind": "slow_body", "seconds": 1})), DONE, 1, Exact),
            // Not sent again either, and its cost is as unknown.
            case(
                "oversized",
                submit(json!({"kind": "oversized", "bytes": 80_000_000})),
                failed("provider_error"),
                1,
                Unknown,
            ),
            case("no image", submit(json!("empty")), failed("provider_error"), 1, Unknown),
            case("task error", submit(json!("task_error")), failed("provider_error"), 1, Exact),
            case("state key", submit(json!("state_key")), DONE, 1, Exact),
            case(
                "redirect",
                submit(json!({"kind": "redirect", "to": elsewhere.bfl()})),
                failed("provider_error"),
                1,
                Exact,
            ),
        ],
    );
    assert_eq!(elsewhere.totals().all.requests, 0, "a redirect is not followed: it would carry the key away");
}

#[test]
fn a_bfl_task_that_is_lost_fails_with_its_cost_unknown() {
    // worker failure mode 47: "not found" is believed after a while only.
    let stage = stage();
    let lost = case("lost", submit(json!("task_not_found")), ("failed", "not_found"), 1, Unknown);
    let short = case(
        "lost for a moment",
        json!({"phase": "poll", "times": 2, "fault": "task_not_found"}),
        DONE,
        1,
        Exact,
    );
    run(&stage, BFL, vec![lost, short]);
}

#[test]
fn bfl_polls_that_go_wrong_are_repeated() {
    // worker failure mode 47: a task is paid for, so only a word about the task itself ends it.
    let stage = stage();
    let poll = |fault: Value| json!({"phase": "poll", "times": 2, "fault": fault});
    run(
        &stage,
        BFL,
        vec![
            case("503", poll(status(503)), DONE, 1, Exact),
            case("401", poll(status(401)), DONE, 1, Exact),
            case(
                "404 page",
                poll(json!({"kind": "status", "code": 404, "body": "<h1>no</h1>"})),
                DONE,
                1,
                Exact,
            ),
            case("429", poll(json!({"kind": "rate_limited", "retry_after": 1})), DONE, 1, Exact),
            case("garbage", poll(json!("garbage")), DONE, 1, Exact),
            case("drop", poll(json!("drop_before_accept")), DONE, 1, Exact),
            case("drop mid body", poll(json!("drop_mid_body")), DONE, 1, Exact),
            case("never ready", poll(json!("never_ready")), DONE, 1, Exact),
            case(
                "unknown state",
                poll(json!({"kind": "status", "code": 200, "body": {"status": "Warming"}})),
                DONE,
                1,
                Exact,
            ),
            case("oversized", poll(json!({"kind": "oversized", "bytes": 80_000_000})), DONE, 1, Exact),
        ],
    );
}

#[test]
fn pictures_that_cannot_be_fetched_do_not_lose_the_job() {
    // The image exists and is paid for: its URL is kept, with a warning.
    let stage = stage();
    let picture =
        |times: Option<u64>, fault: Value| json!({"phase": "picture", "times": times, "fault": fault});
    let mut alice = run(
        &stage,
        BFL,
        vec![
            case("once 503", picture(Some(1), status(503)), DONE, 1, Exact),
            case("once cut off", picture(Some(1), json!("drop_mid_body")), DONE, 1, Exact),
            case("gone", picture(None, status(404)), DONE, 1, Exact),
            case("cut off", picture(None, json!("drop_mid_body")), DONE, 1, Exact),
            case(
                "too large",
                picture(None, json!({"kind": "oversized", "bytes": 80_000_000})),
                DONE,
                1,
                Exact,
            ),
            case("called html", picture(None, json!("wrong_content_type")), DONE, 1, Exact),
        ],
    );
    let assets = alice.rows(
        "SELECT substring(c.prompt FROM '\\[(.*)\\]'), c.width IS NOT NULL, c.url LIKE 'http%', a.warnings @> '[{\"code\": \"unverified\"}]'
           FROM image_gen.campaign_assets c JOIN image_gen.attempts a USING (job_id) WHERE c.prompt LIKE 'a cup%' ORDER BY 1",
    );
    let expected = ["called html t", "cut off f", "gone f", "once 503 t", "once cut off t", "too large f"];
    for (row, expected) in assets.iter().zip(expected) {
        let looked_at = if expected.ends_with('t') { ["t", "t", "f"] } else { ["f", "t", "t"] };
        assert_eq!(
            (row[0].as_str(), &row[1..]),
            (&expected[..expected.len() - 2], &looked_at.map(String::from)[..])
        );
    }
    assert_eq!(assets.len(), expected.len());
}

#[test]
fn openai_calls_that_go_wrong() {
    // worker failure modes 45 to 47, 49, 54
    let stage = stage();
    let failed = |code| ("failed", code);
    let quota = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}});
    let mut alice = run(
        &stage,
        OPENAI,
        vec![
            case("refused prompt", submit(json!({"kind": "refuse", "stage": "request"})), REFUSED, 1, Exact),
            // That a drawing which is then refused costs nothing is documented nowhere.
            case("refused image", submit(json!({"kind": "refuse", "stage": "content"})), REFUSED, 1, Unknown),
            case("429 once", once(json!({"kind": "rate_limited", "retry_after": 1})), DONE, 2, Exact),
            case("429 for ever", submit(json!({"kind": "rate_limited"})), failed("rate_limited"), 4, Exact),
            case(
                "out of quota",
                submit(json!({"kind": "status", "code": 429, "body": quota})),
                failed("insufficient_credits"),
                1,
                Exact,
            ),
            case("503 once", once(status(503)), DONE, 2, Exact),
            // The provider does not say that it costs nothing; a gateway does not know.
            case("500", submit(status(500)), REVIEW, 1, Unknown),
            case("502 page", submit(page(502)), REVIEW, 1, Unknown),
            case("503 page", submit(page(503)), REVIEW, 1, Unknown),
            case("524", submit(page(524)), REVIEW, 1, Unknown),
            case("521 once", once(page(521)), DONE, 2, Exact),
            case(
                "quota without a code",
                submit(
                    json!({"kind": "status", "code": 429, "body": {"error": {"code": "", "type": "insufficient_quota"}}}),
                ),
                failed("insufficient_credits"),
                1,
                Exact,
            ),
            case(
                "refused inside of a success",
                submit(
                    json!({"kind": "status", "code": 200, "body": {"error": {"code": "content_filter", "message": "no"}}}),
                ),
                REFUSED,
                1,
                Unknown,
            ),
            case(
                "content policy at a 403",
                submit(
                    json!({"kind": "status", "code": 403, "body": {"detail": "temporarily blocked: content policy"}}),
                ),
                REFUSED,
                1,
                Unknown,
            ),
            case("401", submit(status(401)), failed("auth"), 1, Exact),
            case("400", submit(status(400)), failed("invalid_request"), 1, Exact),
            case("drop after accept", submit(json!("drop_after_accept")), REVIEW, 1, Unknown),
            case("drop before accept", submit(json!("drop_before_accept")), REVIEW, 1, Unknown),
            case("drop mid body", submit(json!("drop_mid_body")), REVIEW, 1, Unknown),
            case("garbage", submit(json!("garbage")), failed("provider_error"), 1, Unknown),
            case("wrong content type", submit(json!("wrong_content_type")), DONE, 1, Exact),
            case("slow body", submit(json!({"kind": "slow_body", "seconds": 1})), DONE, 1, Exact),
            case("slow response", submit(json!({"kind": "slow_response", "seconds": 1})), DONE, 1, Exact),
            // Not sent again either, and its cost is as unknown.
            case(
                "oversized",
                submit(json!({"kind": "oversized", "bytes": 80_000_000})),
                failed("provider_error"),
                1,
                Unknown,
            ),
            case("no image", submit(json!("empty")), failed("provider_error"), 1, Unknown),
            case("task error", submit(json!("task_error")), REVIEW, 1, Unknown),
            case("not found", submit(json!("task_not_found")), failed("model_gone"), 1, Exact),
        ],
    );
    // Inline images are kept, and are what their hash says.
    let kept = alice.rows(
        "SELECT count(*), count(*) FILTER (WHERE encode(sha256(image_gen.asset_bytes(id)), 'hex') = sha256), min(url)
           FROM image_gen.campaign_assets WHERE provider = 'openai'",
    );
    assert_eq!(kept[0][0], kept[0][1]);
    assert!(kept[0][2].starts_with("image-gen:sha256:"), "{kept:?}");
}

#[test]
fn a_refusal_touches_no_other_provider_and_no_other_job() {
    // N21, S54, S55, S59: by the words of the prompt this time, which are softened.
    let stage = Stage::start();
    let mut alice = stage.alice();
    let ids = ["hero", "detail, anatomy", "square"].map(|prompt| alice.generate(prompt)).to_vec();
    alice.all_succeed(&ids);
    let totals = stage.sim.totals();
    assert_eq!(totals.by_provider.len(), 1, "a refusal is not a reason to ask somebody else");
    assert_eq!((totals.all.submits, totals.all.billed.to_string().as_str()), (4, "0.12"));
    let calls = alice.rows(&format!(
        "SELECT number, status, prompt, billed_cost, seed = first_value(seed) OVER (ORDER BY number)
           FROM image_gen.attempts WHERE job_id = '{}' ORDER BY number",
        ids[1]
    ));
    assert_eq!(
        calls,
        [["1", "refused", "detail, anatomy", "0", "t"], ["2", "succeeded", "detail, figure", "0.04", "t"]]
    );
    let attempts: Vec<String> = alice.all_done(&ids).into_iter().map(|j| j.attempts).collect();
    assert_eq!(attempts, ["1", "2", "1"]);
    assert_eq!(alice.text("SELECT spent FROM image_gen.credits()"), "0.12");
    stage.check_money();
}

#[test]
fn without_a_ladder_a_refusal_waits_for_a_person() {
    // N21, S60: it is no outage, so the route is not followed.
    let stage = Stage::start();
    stage.admin().run("DELETE FROM image_gen.refusal_steps");
    let mut alice = stage.alice();
    let ids = ["hero", "detail, anatomy", "square"].map(|prompt| alice.generate(prompt)).to_vec();
    let jobs = alice.all_done(&ids);
    let ends: Vec<(&str, &str)> = jobs.iter().map(|j| (j.status.as_str(), j.error_code.as_str())).collect();
    assert_eq!(ends, [DONE, REFUSED, DONE]);
    let totals = stage.sim.totals();
    assert_eq!(totals.by_provider.len(), 1, "a refusal is not a reason to ask somebody else");
    assert_eq!((totals.all.submits, totals.all.billed.to_string().as_str()), (3, "0.08"));
    assert_eq!(alice.text("SELECT spent FROM image_gen.credits()"), "0.08");
    stage.check_money();
}

#[test]
fn a_rewrite_rule_that_cannot_be_applied_harms_no_other_job() {
    // N21, worker failure mode 5: the refused job goes on without softer words; what else the worker is told is not lost.
    let stage = Stage::start();
    // Neither the table's own check nor anybody's care is relied upon.
    stage.admin().run(
        "ALTER TABLE image_gen.rewrite_rules DISABLE TRIGGER ALL;
         INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (1, '(', 'x')",
    );
    let mut alice = stage.alice();
    let shot = |n| format!("prompt => '{n}{}', model => '{BFL}'", if n % 3 == 0 { ", anatomy" } else { "" });
    let ids: Vec<String> = (0..12).map(|n| alice.generate_with(&shot(n))).collect();
    for (n, job) in alice.all_done(&ids).into_iter().enumerate() {
        let expected = if n % 3 == 0 { REFUSED } else { DONE };
        assert_eq!((job.status.as_str(), job.error_code.as_str()), expected, "{n}: {job:?}");
    }
    stage.sentinel();
    let mut admin = stage.admin();
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    wait_until("nothing is left in flight", secs(5), || {
        admin.truth("SELECT in_flight = 0 FROM image_gen.worker_status")
    });
    stage.check_money();
}

#[test]
fn a_provider_that_is_down_is_asked_a_bounded_number_of_times() {
    // worker failure modes 48 and 60
    let stage = stage();
    let mut alice = stage.alice();
    // Nothing listens there.
    stage.admin().run("UPDATE image_gen.providers SET base_url = 'http://127.0.0.1:9' WHERE id = 'bfl'");
    let down = |n| format!("prompt => 'down {n}', model => '{BFL}'");
    let ids: Vec<String> = (0..20).map(|n| alice.generate_with(&down(n))).collect();
    for job in alice.all_done(&ids) {
        assert_eq!(
            (job.status.as_str(), job.error_code.as_str(), job.attempts.as_str()),
            ("failed", "overloaded", "1")
        );
        assert_eq!(micros(&job.billed_cost), 0, "it provably was not sent");
    }
    assert_eq!(alice.column("SELECT DISTINCT sends FROM image_gen.attempts"), ["4"]);
    assert_eq!(stage.sim.submits(), 0);
    let lines = stage.cluster.log().lines().filter(|l| l.contains("image_gen:")).count();
    assert!(lines <= 5, "{lines} lines in the log");
}

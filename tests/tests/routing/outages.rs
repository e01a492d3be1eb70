//! A provider that cannot work is left for the next one, whatever the operation and whatever the reason.

use std::collections::BTreeMap;

use image_gen_tests::picture::{Mask, data_uri};
use image_gen_tests::{Session, Stage};
use serde_json::{Value, json};

use crate::common::{asked, check_ledger, picture, stage, story};

/// A reason to go elsewhere: what the first provider answers, and the calls that this takes there.
struct Outage {
    name: &'static str,
    /// `None`: nothing listens at its address.
    fault: Option<Value>,
    code: &'static str,
    /// How often it is called; together that is one attempt.
    sends: usize,
}

fn outage(name: &'static str, fault: Value, code: &'static str, sends: usize) -> Outage {
    Outage { name, fault: Some(fault), code, sends }
}

fn status(code: u16) -> Value {
    json!({"kind": "status", "code": code})
}

/// The reasons that every provider has.
fn outages() -> Vec<Outage> {
    vec![
        outage("busy", json!({"kind": "rate_limited", "retry_after": 30}), "rate_limited", 1),
        outage("busy for a moment", json!({"kind": "rate_limited", "retry_after": 1}), "rate_limited", 2),
        // Once more at the same one, then elsewhere.
        outage("overloaded", status(503), "overloaded", 2),
        Outage { name: "unreachable", fault: None, code: "overloaded", sends: 2 },
        outage("wrong key", status(401), "auth", 1),
        outage("broke", status(402), "insufficient_credits", 1),
        outage("model gone", status(404), "model_gone", 1),
    ]
}

/// An operation: its name, the call with `{picture}` and `{mask}` in it, and the model that each of two providers does it with.
struct Work {
    name: String,
    call: String,
    first: String,
    second: String,
}

fn work(name: &str, call: &str, first: &str, second: &str) -> Work {
    Work { name: name.into(), call: call.into(), first: first.into(), second: second.into() }
}

const IMG2IMG: &str = "edit(image => '{picture}', mode => 'img2img', strength => 0.5, ";
const INPAINT: &str = "edit(image => '{picture}', mask => '{mask}', ";
const OUTPAINT: &str = "edit(image => '{picture}', border_left => 64, border_right => 64, ";
const VARIATE: &str = "variate(image => '{picture}', n => 1, ";
const STYLE: &str = "transfer_style(image => '{picture}', style_image => '{picture}', ";

/// A job in an outage: the mark in its prompt, its id, and the calls that it must have made.
struct Case {
    tag: String,
    id: String,
    calls: Vec<String>,
    /// The providers that it must have called, and how often the first one.
    asked: Vec<String>,
    sends: String,
}

/// Queues every operation into every outage, all at once, and checks each job's story.
fn all_move_on(stage: &Stage, works: &[Work], outages: impl Fn(&str) -> Vec<Outage>) {
    let mut alice = stage.alice();
    let picture = picture(stage);
    let mask = data_uri(&Mask::new(512, 512, |x, _| (128..384).contains(&x)).png);
    let mut cases = vec![];
    for work in works {
        let (first, model) = work.first.split_once(':').unwrap();
        let (second, _) = work.second.split_once(':').unwrap();
        for outage in outages(first) {
            let tag = format!("[{} {}]", work.name, outage.name);
            let at = match &outage.fault {
                Some(fault) => {
                    stage.sim.rule(
                        json!({"provider": first, "phase": "submit", "prompt_contains": tag, "fault": fault}),
                    );
                    first
                }
                None => unreachable_like(stage, first),
            };
            let call = work.call.replace("{picture}", &picture).replace("{mask}", &mask);
            let id = alice.text(&format!(
                "SELECT id FROM image_gen.{call}prompt => 'a kettle {tag}',
                   provider_preferences => '{{\"preferred\": [\"{at}\", \"{second}\"], \"only\": true}}')"
            ));
            let calls =
                vec![format!("{at}:{model} failed {}", outage.code), format!("{} succeeded", work.second)];
            let mut asked = vec![at.to_owned(); outage.sends];
            asked.retain(|provider| !provider.starts_with("dead"));
            asked.push(second.to_owned());
            let sends = outage.sends.to_string();
            cases.push(Case { tag, id, calls, asked, sends });
        }
    }
    let mut wrong = vec![];
    for Case { tag, id, calls, asked: planned, sends } in &cases {
        alice.run(&format!("SELECT image_gen.wait('{{{id}}}', '20 s')"));
        let job = alice.job(id);
        let made = story(&mut alice, id);
        let first = format!("SELECT sends FROM image_gen.attempts WHERE job_id = '{id}' AND number = 1");
        if job.status != "succeeded" || made != *calls || alice.text(&first) != *sends {
            wrong.push(format!("{tag}: expected {calls:?}, got {made:?}, {job:?}"));
            continue;
        }
        // In the order of the attempts, and only them. Some upscalers take no prompt, so only the first may be named.
        let asked = asked(stage, tag);
        if asked != *planned && asked != planned[..planned.len() - 1] {
            wrong.push(format!("{tag}: the ledger has {asked:?} for {made:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} jobs:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    one_winner_each(&mut alice, cases.len() + 1);
    nothing_but_calls(stage);
    check_ledger(stage);
}

/// Another row of the same kind, with the same models, at an address where nothing listens.
fn unreachable_like<'a>(stage: &Stage, kind: &'a str) -> &'a str {
    let id = format!("dead-{kind}");
    stage.admin().run(&format!(
        "INSERT INTO image_gen.providers (id, kind, base_url, priority)
         VALUES ('{id}', '{kind}', 'http://127.0.0.1:9', 1) ON CONFLICT (id) DO NOTHING"
    ));
    Box::leak(id.into_boxed_str())
}

/// Every job has exactly one winning attempt, the last one.
fn one_winner_each(session: &mut Session, jobs: usize) {
    let won = "SELECT count(*) FILTER (WHERE status = 'succeeded'), max(number) FILTER (WHERE status = 'succeeded') = max(number)
                 FROM image_gen.attempts GROUP BY job_id";
    let rows = session.rows(won);
    assert_eq!(rows.len(), jobs);
    assert!(rows.iter().all(|row| row == &["1", "t"]), "{rows:?}");
}

/// Whoever accepted nothing is not asked about anything either.
fn nothing_but_calls(stage: &Stage) {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for entry in stage.sim.entries() {
        let provider = entry["provider"].as_str().unwrap_or_default().to_owned();
        let (accepted, polls) = counts.entry(provider).or_default();
        *accepted += usize::from(entry["phase"] == "submit" && entry["accepted"] == true);
        *polls += usize::from(entry["phase"] == "poll");
    }
    for (provider, (accepted, polls)) in counts {
        assert!(accepted > 0 || polls == 0, "{provider} accepted nothing and was polled {polls} times");
    }
}

/// The breaker is off: the outages of one job must not spare another.
const NO_BREAKER: &[&str] = &["image_gen.breaker_failures = 0", "image_gen.keep_bytes = 'all'"];

const FLARE: &str = "openai:gpt-image-2.6-flare";

#[test]
fn every_operation_leaves_bfl_or_stability_for_the_next_one() {
    // S122 to S124, S142: one winner, in the order asked for.
    let stage = stage(&["bfl", "openai", "stability", "fal"], NO_BREAKER);
    let works = [
        work("generate", "generate(model => 'flux-1.1-pro', ", "bfl:flux-1.1-pro", FLARE),
        work("img2img", IMG2IMG, "bfl:flux-2-pro", FLARE),
        work("inpaint", INPAINT, "bfl:flux-fill-pro", FLARE),
        work("outpaint", OUTPAINT, "bfl:flux-1-expand-pro", "stability:stability-outpaint"),
        work("variate", VARIATE, "bfl:flux-1.1-pro", FLARE),
        work("transfer_style", STYLE, "bfl:flux-2-pro", FLARE),
        work(
            "upscale",
            "upscale(image => '{picture}', model => 'stability-upscale-conservative', ",
            "stability:stability-upscale-conservative",
            "fal:real-esrgan",
        ),
    ];
    all_move_on(&stage, &works, |_| outages());
}

#[test]
fn every_operation_leaves_openai_or_ideogram_for_the_next_one() {
    // These two also know accounts that may not use a model, whatever the prompt.
    let stage = stage(&["bfl", "openai", "stability", "fal", "replicate", "ideogram"], NO_BREAKER);
    let works = [
        work("generate", "generate(model => 'gpt-image', ", FLARE, "stability:stable-image-core"),
        work("img2img", IMG2IMG, FLARE, "fal:flux-dev-img2img"),
        work("inpaint", INPAINT, FLARE, "stability:stability-inpaint"),
        work(
            "outpaint",
            &OUTPAINT.replace("edit(", "edit(model => 'gpt-image', "),
            FLARE,
            "fal:flux-2-pro-outpaint",
        ),
        work("variate", VARIATE, FLARE, "replicate:flux-redux-dev"),
        work("transfer_style", STYLE, FLARE, "stability:stability-style-transfer"),
        work(
            "upscale",
            "upscale(image => '{picture}', ",
            "ideogram:ideogram-upscale",
            "replicate:real-esrgan",
        ),
    ];
    all_move_on(&stage, &works, |first| {
        let body = match first {
            "openai" => {
                json!({"error": {"message": "Your organization must be verified to use the model", "type": "invalid_request_error", "code": null, "param": null}})
            }
            _ => {
                json!({"error": "Your plan does not include this", "reject_reason": "subscription_required"})
            }
        };
        let refused = json!({"kind": "status", "code": 403, "body": body});
        let mut all = outages();
        all.push(outage("not for this account", refused, "policy_block", 1));
        all
    });
}

#[test]
fn every_provider_is_left_for_the_next_one() {
    let stage = stage(
        &["bfl", "stability", "fal", "replicate", "google", "ideogram", "openrouter", "openai"],
        NO_BREAKER,
    );
    let works = [
        ("stability", "stable-image-core"),
        ("fal", "flux-dev"),
        ("replicate", "flux-schnell"),
        ("google", "gemini-nano-banana-2.1"),
        ("ideogram", "ideogram-4.5"),
        ("openrouter", "gemini-3-pro-image"),
    ];
    let works: Vec<_> = works
        .iter()
        .map(|(provider, model)| Work {
            name: (*provider).to_owned(),
            call: format!("generate(model => '{model}', "),
            first: format!("{provider}:{model}"),
            second: FLARE.to_owned(),
        })
        .collect();
    all_move_on(&stage, &works, |first| {
        let mut all = outages();
        if first == "google" {
            // It says in the body for how long.
            let delay = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"});
            let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded", "details": [delay]}});
            all[0].fault = Some(json!({"kind": "status", "code": 429, "body": body}));
        }
        let blocked = match first {
            // The region is not served.
            "google" => Some((
                400,
                json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "User location is not supported for the API use."}}),
            )),
            "openrouter" => Some((
                403,
                json!({"error": {"code": 403, "message": "This request is not allowed by your account's guardrails."}}),
            )),
            _ => None,
        };
        if let Some((code, body)) = blocked {
            let fault = json!({"kind": "status", "code": code, "body": body});
            all.push(outage("not for this account", fault, "policy_block", 1));
        }
        all
    });
}

#[test]
fn no_other_provider_follows_one_that_may_have_accepted_the_request() {
    // N2: to the client a connection that closes before the request is accepted looks like one that closes after it.
    let stage = stage(&["bfl", "openai", "stability", "fal"], NO_BREAKER);
    let mut alice = stage.alice();
    let picture = picture(&stage);
    let mut jobs = vec![];
    for fault in ["drop_before_accept", "drop_after_accept"] {
        for (name, call) in [
            ("generate", "generate(model => 'flux-1.1-pro', "),
            ("img2img", IMG2IMG),
            ("outpaint", OUTPAINT),
            ("upscale", "upscale(image => '{picture}', model => 'stability-upscale-conservative', "),
            ("variate", VARIATE),
            ("transfer_style", STYLE),
        ] {
            let tag = format!("[{name} {fault}]");
            stage.sim.rule(json!({"phase": "submit", "prompt_contains": tag, "fault": fault}));
            let call = call.replace("{picture}", &picture);
            let id = alice.text(&format!("SELECT id FROM image_gen.{call}prompt => 'a kettle {tag}')"));
            jobs.push((tag, id));
        }
    }
    for (tag, id) in &jobs {
        let job = alice.done(id);
        assert_eq!(
            (job.status.as_str(), job.error_code.as_str()),
            ("needs_review", "uncertain"),
            "{tag}: {job:?}"
        );
        assert_eq!(job.cost_source, "unknown", "{tag}");
        assert_eq!(asked(&stage, tag).len(), 1, "{tag}");
        let made = story(&mut alice, id);
        assert!(made.len() == 1 && made[0].ends_with(" uncertain uncertain"), "{tag}: {made:?}");
    }
    assert_eq!(
        alice.number("SELECT count(*) FROM image_gen.review_queue WHERE why = 'uncertain'"),
        jobs.len() as i64
    );
    stage.check_money();
}

#[test]
fn a_wrong_request_is_no_outage() {
    // What one provider calls invalid is not tried at the next one.
    let stage = stage(&["bfl", "openai"], &[]);
    let mut alice = stage.alice();
    stage.sim.rule(
        json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[wrong]", "fault": status(422)}),
    );
    let id = alice.generate("a kettle [wrong]");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "invalid_request"));
    assert_eq!(asked(&stage, "[wrong]"), ["bfl"]);
    check_ledger(&stage);
}

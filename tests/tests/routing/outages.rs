//! A provider that cannot work is left for the next one, whatever the operation and whatever the reason.

use std::collections::BTreeMap;

use image_gen_tests::{Session, Stage};
use serde_json::{Value, json};

use crate::common::{asked, check_ledger, picture, stage, story};

/// A reason to go elsewhere: what the first provider answers, and the attempts that this takes there.
struct Outage {
    name: &'static str,
    /// `None`: nothing listens at its address.
    fault: Option<Value>,
    code: &'static str,
    calls: usize,
}

fn outage(name: &'static str, fault: Value, code: &'static str, calls: usize) -> Outage {
    Outage { name, fault: Some(fault), code, calls }
}

fn status(code: u16) -> Value {
    json!({"kind": "status", "code": code})
}

/// The reasons that every provider has.
fn outages() -> Vec<Outage> {
    vec![
        outage("busy", json!({"kind": "rate_limited", "retry_after": 30}), "rate_limited", 1),
        // Once more at the same one, then elsewhere.
        outage("overloaded", status(503), "overloaded", 2),
        Outage { name: "unreachable", fault: None, code: "overloaded", calls: 2 },
        outage("wrong key", status(401), "auth", 1),
        outage("broke", status(402), "insufficient_credits", 1),
        outage("model gone", status(404), "model_gone", 1),
    ]
}

/// An operation: its name, the call with `{picture}` in it, and the model that each of two providers does it with.
struct Work {
    name: &'static str,
    call: &'static str,
    first: &'static str,
    second: &'static str,
}

fn work(name: &'static str, call: &'static str, first: &'static str, second: &'static str) -> Work {
    Work { name, call, first, second }
}

const IMG2IMG: &str = "edit(image => '{picture}', mode => 'img2img', strength => 0.5, ";
const INPAINT: &str = "edit(image => '{picture}', mask => '{picture}', ";
const OUTPAINT: &str = "edit(image => '{picture}', border_left => 64, border_right => 64, ";
const VARIATE: &str = "variate(image => '{picture}', n => 1, ";
const STYLE: &str = "transfer_style(image => '{picture}', style_image => '{picture}', ";

/// Queues every operation into every outage, all at once, and checks each job's story.
fn all_move_on(stage: &Stage, works: &[Work], outages: &[Outage]) {
    let mut alice = stage.alice();
    let picture = picture(stage);
    let mut jobs: Vec<(String, String, Vec<String>, String)> = vec![];
    for work in works {
        let (first, first_model) = work.first.split_once(':').unwrap();
        let (second, _) = work.second.split_once(':').unwrap();
        for outage in outages {
            let tag = format!("[{} {}]", work.name, outage.name);
            let mut at = first;
            match &outage.fault {
                Some(fault) => {
                    let rule = json!({"provider": first, "phase": "submit", "prompt_contains": tag});
                    let mut rule = rule;
                    rule["fault"] = fault.clone();
                    stage.sim.rule(rule);
                }
                // Another row of the same kind, with the same models.
                None => {
                    at = "dead";
                    stage.admin().run(&format!(
                        "INSERT INTO image_gen.providers (id, kind, base_url, priority)
                         VALUES ('dead', '{first}', 'http://127.0.0.1:9', 1)
                         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind"
                    ));
                }
            }
            let call = work.call.replace("{picture}", &picture);
            let sql = format!(
                "SELECT id FROM image_gen.{call}prompt => 'a kettle {tag}',
                   provider_preferences => '{{\"preferred\": [\"{at}\", \"{second}\"], \"only\": true}}')"
            );
            let id = alice.text(&sql);
            let mut story = vec![format!("{at}:{first_model} failed {}", outage.code); outage.calls];
            story.push(format!("{} succeeded", work.second));
            if outage.fault.is_none() {
                // The row is changed for the next operation.
                alice.done(&id);
            }
            jobs.push((tag, id, story, at.to_owned()));
        }
    }
    let mut wrong = vec![];
    for (tag, id, expected, at) in &jobs {
        let job = alice.done(id);
        let got = story(&mut alice, id);
        if job.status != "succeeded" || got != *expected {
            wrong.push(format!("{tag}: expected {expected:?}, got {got:?}, {job:?}"));
            continue;
        }
        // In the order of the attempts, and only them. Some upscalers take no prompt, so only the first may be named.
        let named: Vec<String> = expected
            .iter()
            .map(|call| call.split(':').next().unwrap().to_owned())
            .filter(|p| p != "dead")
            .collect();
        let ledger = asked(stage, tag);
        if ledger != named && ledger != named[..named.len() - 1] {
            wrong.push(format!("{tag}: the ledger has {ledger:?} for {got:?}"));
        }
        let _ = at;
    }
    assert!(wrong.is_empty(), "{} of {} jobs:\n{}", wrong.len(), jobs.len(), wrong.join("\n"));
    one_winner_each(&mut alice, jobs.len() as i64 + 1);
    nothing_but_calls(stage);
    check_ledger(stage);
}

/// Every job has exactly one winning attempt, the last one.
fn one_winner_each(session: &mut Session, jobs: i64) {
    let won = "SELECT count(*) FILTER (WHERE status = 'succeeded'), max(number) FILTER (WHERE status = 'succeeded') = max(number)
                 FROM image_gen.attempts GROUP BY job_id";
    let rows = session.rows(won);
    assert_eq!(rows.len() as i64, jobs);
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

#[test]
fn every_operation_leaves_bfl_or_stability_for_the_next_one() {
    let stage = stage(&["bfl", "openai", "stability", "fal", "dead"], NO_BREAKER);
    let flare = "openai:gpt-image-2.6-flare";
    let works = [
        work("generate", "generate(model => 'flux-1.1-pro', ", "bfl:flux-1.1-pro", flare),
        work("img2img", IMG2IMG, "bfl:flux-2-pro", flare),
        work("inpaint", INPAINT, "bfl:flux-fill-pro", flare),
        work("outpaint", OUTPAINT, "bfl:flux-1-expand-pro", flare),
        work("variate", VARIATE, "bfl:flux-1.1-pro", flare),
        work("transfer_style", STYLE, "bfl:flux-2-pro", flare),
        work(
            "upscale",
            "upscale(image => '{picture}', model => 'stability-upscale-conservative', ",
            "stability:stability-upscale-conservative",
            "fal:real-esrgan",
        ),
    ];
    all_move_on(&stage, &works, &outages());
}

//! Providers that turn calls away for their number: they are left alone, and what waits for them loses nothing. The same
//! over ten minutes, by a clock of its own, is in the engine (`run::tests::outage`).

use std::time::Instant;

use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};
use serde_json::{Value, json};

use crate::common::{asked, check_ledger, stage};

/// A provider says nothing, or something short, about when to come back.
fn limit(stage: &Stage, provider: &str, retry_after: Option<u32>) {
    let mut fault = json!({"kind": "rate_limited"});
    if let Some(seconds) = retry_after {
        fault["retry_after"] = json!(seconds);
    }
    stage.sim.rule(json!({"provider": provider, "phase": "submit", "fault": fault}));
}

fn queue(session: &mut Session, tag: &str, jobs: usize, model: &str) -> Vec<String> {
    session.column(&format!(
        "SELECT g.id FROM generate_series(1, {jobs}) n, LATERAL image_gen.generate(
           prompt => format('[{tag} %s]', n), model => '{model}', width => 256, height => 256) g"
    ))
}

fn submits(stage: &Stage, provider: &str) -> u64 {
    stage.sim.totals().by_provider.get(provider).map_or(0, |tally| tally.submits)
}

/// What the log has about providers.
fn lines(stage: &Stage) -> usize {
    stage.cluster.log().lines().filter(|line| line.contains("image_gen: provider")).count()
}

#[test]
fn a_provider_that_limits_calls_is_left_alone_and_the_second_does_all_the_work() {
    for retry_after in [None, Some(1), Some(3)] {
        let stage = stage(&["bfl", "fal"], &[]);
        stage.sim.configure(&json!({"render_seconds": 0.2}));
        limit(&stage, "bfl", retry_after);
        let mut alice = stage.alice();
        let mut ids = queue(&mut alice, "batch", 200, "flux-1.1-pro");
        alice.all_succeed(&ids);
        // Later ones come one by one, and each could be the next probe.
        for n in 0..20 {
            let one = queue(&mut alice, &format!("late {n}"), 1, "flux-1.1-pro");
            alice.all_succeed(&one);
            ids.extend(one);
        }
        let calls = submits(&stage, "bfl");
        println!("retry-after {retry_after:?}: {calls} calls to the first, {} lines", lines(&stage));
        assert_eq!(submits(&stage, "fal"), ids.len() as u64);
        assert!(calls <= 30, "{calls} calls to the first");
        assert!(lines(&stage) <= 10, "{} lines in the log", lines(&stage));
        let most = alice.number("SELECT max(number) FROM image_gen.attempts");
        assert!(most <= 2, "one attempt for the outage and one for the image, not {most}");
        check_ledger(&stage);
    }
}

#[test]
fn with_one_provider_all_is_delivered_soon_after_its_recovery_and_in_the_order_of_the_queue() {
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.2}));
    limit(&stage, "bfl", None);
    let mut alice = stage.alice();
    let ids = queue(&mut alice, "batch", 100, "flux-1.1-pro");
    // Long enough for the pauses to have grown.
    wait_until("it has been probed a few times", secs(90), || submits(&stage, "bfl") >= 24 + 5);
    let turned_away = submits(&stage, "bfl");
    stage.sim.clear_rules();
    let recovered = Instant::now();
    alice.run(&format!("SELECT image_gen.wait('{{{}}}', '90 s')", ids.join(",")));
    let took = recovered.elapsed();
    println!(
        "{turned_away} calls turned away; all delivered {took:?} after the recovery; {} lines",
        lines(&stage)
    );
    alice.all_succeed(&ids);
    // Not the time that a busy machine takes, but how late the last call was sent after the first.
    let accepted: Vec<Value> =
        stage.sim.entries().into_iter().filter(|e| e["phase"] == "submit" && e["accepted"] == true).collect();
    assert_eq!(accepted.len(), ids.len(), "each of them once");
    let place = |e: &Value| -> usize {
        let prompt = e["prompt"].as_str().unwrap();
        prompt.trim_start_matches("[batch ").split(']').next().unwrap().parse().unwrap()
    };
    // In the order of the queue, but for the probe, and for those that come back within the same moment. (Any order would be
    // 33 places off on average.)
    let order: Vec<usize> = accepted[1..].iter().map(place).collect();
    let off: usize = order.iter().enumerate().map(|(n, place)| place.abs_diff(n + 1)).sum();
    println!("{:.1} places off on average", off as f64 / order.len() as f64);
    assert!(off <= 15 * order.len(), "{order:?}");
    assert!(lines(&stage) <= 10, "{} lines in the log", lines(&stage));
    let most = alice.number("SELECT max(number) FROM image_gen.attempts");
    assert!(most <= 2, "one attempt for the outage and one for the image, not {most}");
    check_ledger(&stage);
}

#[test]
fn a_job_that_is_always_turned_away_holds_up_no_other_and_is_one_attempt() {
    let stage = stage(&["bfl"], &["image_gen.outage_timeout = '1 h'"]);
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[always]", "fault": {"kind": "rate_limited"}}));
    let mut alice = stage.alice();
    let always =
        alice.generate_with("prompt => '[always]', model => 'bfl:flux-1.1-pro', width => 256, height => 256");
    wait_until("it has been turned away a few times", secs(60), || asked(&stage, "[always]").len() >= 3);
    for n in 0..5 {
        let healthy = queue(&mut alice, &format!("healthy {n}"), 1, "bfl:flux-1.1-pro");
        alice.all_succeed(&healthy);
    }
    let row = alice.rows(&format!(
        "SELECT count(*), max(sends) >= 3, max(status), max(error_code) FROM image_gen.attempts WHERE job_id = '{always}' AND finished_at IS NOT NULL"
    ));
    assert_eq!(row, [["1", "t", "failed", "rate_limited"]]);
    // A deadline would have ended it; so does a user.
    alice.run(&format!("SELECT image_gen.cancel('{always}')"));
    assert_eq!(alice.done(&always).status, "canceled");
    // Reports count each of those calls, and not the attempt that stands for them.
    let calls = i64::try_from(submits(&stage, "bfl")).unwrap();
    assert_eq!(
        alice.rows("SELECT calls, retries FROM image_gen.cost_report()"),
        [[calls.to_string(), (calls - 6).to_string()]]
    );
    assert_eq!(alice.number("SELECT sum(calls) FROM image_gen.cost_by_campaign"), calls);
    let health = "SELECT calls, round(success_rate * calls) FROM image_gen.provider_health WHERE provider = 'bfl' AND model <> ''";
    assert_eq!(stage.admin().rows(health), [[calls.to_string(), "5".to_owned()]]);
    check_ledger(&stage);
}

#[test]
fn a_job_that_waits_for_its_provider_ends_at_its_deadline() {
    let stage = stage(&["bfl"], &[]);
    limit(&stage, "bfl", Some(600));
    let mut alice = stage.alice();
    let id = alice.generate_with(
        "prompt => '[late]', model => 'bfl:flux-1.1-pro', width => 256, height => 256, deadline => now() + interval '3 s'",
    );
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "deadline_exceeded"));
    let late = alice.number(&format!(
        "SELECT extract(epoch FROM finished_at - deadline)::int FROM image_gen.jobs WHERE id = '{id}'"
    ));
    assert!(
        late < 300,
        "it was noticed {late} s after the deadline, and not when the provider wanted to be asked"
    );
    check_ledger(&stage);
}

#[test]
fn a_quota_that_resets_in_hours_is_an_empty_account() {
    let stage = stage(&["bfl", "fal"], &[]);
    limit(&stage, "bfl", Some(7_200));
    let mut alice = stage.alice();
    let pinned =
        alice.generate_with("prompt => '[pinned]', model => 'bfl:flux-1.1-pro', width => 256, height => 256");
    let job = alice.done(&pinned);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "insufficient_credits"));
    let ids = queue(&mut alice, "elsewhere", 10, "flux-1.1-pro");
    alice.all_succeed(&ids);
    assert_eq!((submits(&stage, "bfl"), submits(&stage, "fal")), (1, 10), "it is not asked again");
    check_ledger(&stage);
}

#[test]
fn an_own_server_that_restarts_is_waited_for() {
    let stage = stage(&["comfyui"], &[]);
    let mut admin = stage.admin();
    stage.sim.cut_off(true);
    let mut alice = stage.alice();
    let id =
        alice.generate_with("prompt => '[patient]', model => 'comfyui:sdxl', width => 512, height => 512");
    // More often than it was tried before it was given up in earlier days.
    wait_until("it has been tried a few times", secs(60), || {
        admin.truth(&format!(
            "SELECT coalesce(max(sends), 0) >= 5 FROM image_gen.attempts WHERE job_id = '{id}'"
        ))
    });
    stage.sim.cut_off(false);
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(asked(&stage, "[patient]").len(), 1);
    let rows = alice.rows(&format!(
        "SELECT number, status, error_code FROM image_gen.attempts WHERE job_id = '{id}' ORDER BY number"
    ));
    assert_eq!(rows, [["1", "failed", "overloaded"], ["2", "succeeded", ""]]);
}

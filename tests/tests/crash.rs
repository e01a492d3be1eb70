//! Whatever is killed: no committed job is lost, and none is paid twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use image_gen_tests::cluster::Mode;
use image_gen_tests::process::is_alive;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, eventually, wait_until};
use serde_json::json;

/// A stage with this many jobs accepted by the provider, who needs 3 s for them.
/// How long a render takes here: what ends sooner has waited for none.
const RENDER: Duration = secs(3);

fn polling(jobs: usize, options: Options) -> (Stage, Vec<String>) {
    let stage = Stage::with(options);
    stage.sim.configure(&json!({"render_seconds": RENDER.as_secs()}));
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..jobs).map(|n| alice.generate(&format!("polled {n}"))).collect();
    stage.accepted(jobs as i64);
    (stage, ids)
}

/// A connection, as soon as the server lets in again.
fn alice_again(stage: &Stage) -> image_gen_tests::Session {
    eventually("the server lets in again", secs(30), || stage.cluster.try_connect("alice", DATABASE).ok())
}

/// Each of these jobs succeeded, was sent once and is paid once.
fn sent_and_paid_once(stage: &Stage, ids: &[String]) {
    alice_again(stage).all_succeed(ids);
    let totals = stage.sim.totals().all;
    assert_eq!((totals.submits, totals.billed_calls), (ids.len() as u64, ids.len() as u64));
    let mut admin = stage.admin();
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.attempts"), ids.len() as i64);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    let booked = admin.text("SELECT trim_scale(sum(billed_cost)) FROM image_gen.campaign_assets");
    assert_eq!(booked, totals.billed.normalize().to_string());
    stage.check_money();
}

fn terminate(stage: &Stage, pid: i32) -> Duration {
    let start = Instant::now();
    stage.cluster.admin("postgres").run(&format!("SELECT pg_terminate_backend({pid})"));
    wait_until("the worker ends", secs(20), || !is_alive(pid));
    start.elapsed()
}

#[test]
fn a_terminated_worker_comes_back_and_resumes() {
    // worker failure mode 1, N4
    let (stage, ids) = polling(5, Options::default());
    let worker = stage.worker();
    let epoch = stage.admin().number("SELECT epoch FROM image_gen.worker_status");
    let took = terminate(&stage, worker);
    println!("pg_terminate_backend with five in flight: {took:?}");
    assert!(took < RENDER, "it waits for its providers: {took:?}");
    assert_ne!(stage.worker(), worker);
    assert!(stage.admin().number("SELECT epoch FROM image_gen.worker_status") > epoch);
    sent_and_paid_once(&stage, &ids);
}

#[test]
fn a_worker_that_is_sent_away_again_and_again_comes_back_at_once() {
    // worker failure modes 1 and 8: the brake is for workers that fail.
    let stage = Stage::start();
    for _ in 0..6 {
        let worker = stage.worker();
        terminate(&stage, worker);
        let start = Instant::now();
        assert_ne!(stage.worker(), worker);
        // The sixth failure would cost it a minute.
        assert!(start.elapsed() < secs(20), "it is held back as one that fails: {:?}", start.elapsed());
    }
    stage.sentinel();
}

#[test]
fn an_idle_worker_ends_at_once() {
    // worker failure mode 1
    let stage = Stage::start();
    stage.sentinel();
    terminate(&stage, stage.worker());
    stage.sentinel();
}

#[test]
fn a_worker_that_waits_for_a_lock_ends_at_once() {
    // worker failure mode 1
    let (stage, ids) = polling(1, Options::default());
    let worker = stage.worker();
    let mut locker = stage.admin();
    locker.run("BEGIN; LOCK TABLE image_gen.jobs IN ACCESS EXCLUSIVE MODE");
    let mut admin = stage.cluster.admin("postgres");
    wait_until("the worker waits for the lock", secs(10), || {
        admin.truth(&format!("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {worker}"))
    });
    terminate(&stage, worker);
    locker.run("COMMIT");
    sent_and_paid_once(&stage, &ids);
}

#[test]
fn a_killed_worker_comes_back_and_resumes() {
    // worker failure mode 2, N4: the whole server recovers.
    let (stage, ids) = polling(5, Options { fsync: true, ..Options::default() });
    let worker = stage.worker();
    stage.cluster.crash(worker);
    assert!(!is_alive(worker));
    sent_and_paid_once(&stage, &ids);
    assert_ne!(stage.worker(), worker);
}

#[test]
fn jobs_in_flight_survive_an_immediate_restart() {
    // worker failure mode 21
    let (stage, ids) = polling(5, Options { fsync: true, ..Options::default() });
    stage.cluster.restart(Mode::Immediate);
    sent_and_paid_once(&stage, &ids);
}

#[test]
fn a_fast_shutdown_does_not_wait_for_providers() {
    // worker failure mode 21
    let (stage, ids) = polling(20, Options::default());
    let (took, status) = stage.cluster.stop(Mode::Fast);
    println!("fast shutdown with 20 in flight: {took:?}");
    assert!(status.success(), "{status}");
    assert_eq!(stage.sim.totals().all.pictures, 0, "it waits for no render: {took:?}");
    stage.cluster.start_again();
    sent_and_paid_once(&stage, &ids);
}

#[test]
fn a_smart_shutdown_does_not_wait_for_providers() {
    // worker failure mode 21
    let (stage, ids) = polling(3, Options::default());
    let (took, status) = stage.cluster.stop(Mode::Smart);
    assert!(status.success(), "{status}");
    assert_eq!(stage.sim.totals().all.pictures, 0, "it waits for no render: {took:?}");
    stage.cluster.start_again();
    sent_and_paid_once(&stage, &ids);
}

#[test]
fn a_fast_shutdown_does_not_wait_for_a_silent_provider() {
    // worker failure modes 21 and 52
    let stage = Stage::start();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "silent", "fault": "hang"}));
    let id = stage.alice().generate("silent");
    stage.submitted(1);
    let (_, status) = stage.cluster.stop(Mode::Fast);
    assert!(status.success(), "{status}");
    stage.cluster.start_again();
    is_left_to_a_person(&stage, &id, "silent");
}

#[test]
fn a_worker_ends_with_its_postmaster() {
    // worker failure mode 22
    let (stage, ids) = polling(5, Options { fsync: true, ..Options::default() });
    let worker = stage.worker();
    let start = Instant::now();
    let left = stage.cluster.kill_postmaster();
    wait_until("the worker ends", secs(20), || !is_alive(worker));
    println!("the worker ended {:?} after its postmaster", start.elapsed());
    assert_eq!(stage.sim.totals().all.pictures, 0, "it waits for no render");
    wait_until("all processes end", secs(20), || !left.iter().any(|pid| is_alive(*pid)));
    stage.cluster.start_again();
    sent_and_paid_once(&stage, &ids);
}

/// The request was sent once, nobody knows its fate, and it is not sent again.
fn is_left_to_a_person(stage: &Stage, id: &str, prompt: &str) {
    let job = alice_again(stage).done(id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "uncertain"), "{job:?}");
    assert_eq!((job.billed_cost.as_str(), job.cost_source.as_str()), ("", "unknown"), "unknown is not zero");
    stage.sim.clear_rules();
    stage.sentinel();
    assert_eq!(stage.sim.submits_of(prompt).len(), 1);
    let attempts =
        stage.admin().column(&format!("SELECT status FROM image_gen.attempts WHERE job_id = '{id}'"));
    assert_eq!(attempts, ["uncertain"]);
}

#[test]
fn a_request_whose_answer_a_kill_swallowed_is_never_sent_again() {
    // worker failure mode 52: BFL before its answer, OpenAI while it renders.
    for (arguments, rule) in [
        (
            "prompt => 'ambiguous'",
            json!({"phase": "submit", "prompt_contains": "ambiguous", "fault": "hang"}),
        ),
        (
            "prompt => 'ambiguous', model => 'gpt-image'",
            json!({"provider": "openai", "prompt_contains": "ambiguous", "fault": {"kind": "slow_response", "seconds": 60}}),
        ),
    ] {
        let stage = Stage::with(Options { fsync: true, ..Options::default() });
        stage.sim.rule(rule);
        let id = stage.alice().generate_with(arguments);
        stage.submitted(1);
        stage.cluster.crash(stage.worker());
        is_left_to_a_person(&stage, &id, "ambiguous");
    }
}

#[test]
fn a_request_whose_answer_a_terminate_swallowed_is_never_sent_again() {
    // worker failure mode 52
    let stage = Stage::start();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "ambiguous", "fault": "hang"}));
    let id = stage.alice().generate("ambiguous");
    stage.submitted(1);
    terminate(&stage, stage.worker());
    is_left_to_a_person(&stage, &id, "ambiguous");
}

#[test]
fn a_render_that_costs_nothing_is_made_again_when_a_kill_swallowed_its_answer() {
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage
        .sim
        .rule(json!({"provider": "a1111", "phase": "submit", "times": 1, "fault": "hang_before_accept"}));
    let arguments = "prompt => 'free', model => 'a1111:sd-local', width => 256, height => 256";
    let id = stage.alice().generate_with(arguments);
    stage.submitted(1);
    stage.cluster.crash(stage.worker());
    sent_and_paid_once_at_home(&stage, &id, &["failed", "succeeded"]);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn a_render_of_ones_own_machine_that_has_a_price_is_left_to_a_person() {
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage.admin().run(
        "INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('a1111', 'sd-local', 'image', 0.01)",
    );
    stage.sim.rule(json!({"provider": "a1111", "phase": "submit", "times": 1, "fault": "hang"}));
    let arguments = "prompt => 'priced', model => 'a1111:sd-local', width => 256, height => 256";
    let id = stage.alice().generate_with(arguments);
    stage.submitted(1);
    stage.cluster.crash(stage.worker());
    is_left_to_a_person(&stage, &id, "priced");
}

/// A job for ComfyUI, where this goes wrong with the submission once.
fn at_comfyui(stage: &Stage, fault: &str) -> String {
    stage.sim.rule(json!({"provider": "comfyui", "phase": "submit", "times": 1, "fault": fault}));
    let arguments = "prompt => 'asked for', model => 'comfyui:sd-xl-base', width => 256, height => 256";
    stage.alice().generate_with(arguments)
}

#[test]
fn a_task_that_we_named_is_found_again_after_a_crash() {
    // N4, P2, worker failure mode 52: ComfyUI took it on, and the kill swallowed its answer.
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    let id = at_comfyui(&stage, "hang");
    stage.submitted(1);
    stage.cluster.crash(stage.worker());
    sent_and_paid_once_at_home(&stage, &id, &["succeeded"]);
    assert_eq!(stage.sim.submits(), 1);
    assert_ne!(stage.admin().text("SELECT remote_id FROM image_gen.attempts"), "");
}

#[test]
fn a_task_that_we_named_and_that_never_arrived_is_sent_again() {
    // N4, P2, worker failure mode 52
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    let id = at_comfyui(&stage, "hang_before_accept");
    stage.submitted(1);
    stage.cluster.crash(stage.worker());
    sent_and_paid_once_at_home(&stage, &id, &["failed", "succeeded"]);
    assert_eq!(stage.sim.submits(), 2);
}

#[test]
fn a_task_that_we_named_is_found_again_after_its_connection_broke() {
    // N4, P2, worker failure mode 45
    let stage = Stage::start();
    let id = at_comfyui(&stage, "drop_after_accept");
    sent_and_paid_once_at_home(&stage, &id, &["succeeded"]);
    assert_eq!(stage.sim.submits(), 1);
}

#[test]
fn a_task_that_we_named_can_be_called_off_after_a_crash() {
    // worker failure modes 52 and 53
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage.sim.configure(&json!({"render_seconds": 60}));
    let id = at_comfyui(&stage, "hang");
    stage.submitted(1);
    stage.alice().run(&format!("SELECT image_gen.cancel('{id}')"));
    stage.cluster.crash(stage.worker());
    let job = alice_again(&stage).done(&id);
    assert_eq!(job.status, "canceled", "{job:?}");
    assert_eq!(stage.sim.submits(), 1);
    assert_eq!(stage.admin().number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    stage.check_money();
}

/// The job succeeded after these attempts, one of which ComfyUI took on, and it cost nothing.
fn sent_and_paid_once_at_home(stage: &Stage, id: &str, attempts: &[&str]) {
    let job = alice_again(stage).done(id);
    assert_eq!((job.status.as_str(), job.billed_cost.as_str()), ("succeeded", "0"), "{job:?}");
    let tried = stage.admin().column("SELECT status FROM image_gen.attempts ORDER BY number");
    assert_eq!(tried, attempts);
    assert_eq!(stage.sim.totals().all.accepted, 1);
    stage.check_money();
}

#[test]
fn an_answer_that_comes_within_the_grace_time_is_not_lost() {
    let stage = Stage::conf(&["image_gen.shutdown_grace = '3s'"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "slow", "fault": {"kind": "slow_response", "seconds": 1}}));
    let id = stage.alice().generate("slow");
    stage.submitted(1);
    terminate(&stage, stage.worker());
    sent_and_paid_once(&stage, &[id]);
}

#[test]
fn an_admin_may_choose_to_send_uncertain_requests_again() {
    let stage = Stage::conf(&["image_gen.on_uncertain = 'retry'"]);
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "ambiguous", "times": 1, "fault": "hang"}));
    let mut alice = stage.alice();
    let id = alice.generate("ambiguous");
    stage.submitted(1);
    terminate(&stage, stage.worker());
    let job = alice.done(&id);
    assert_eq!(
        (job.status.as_str(), job.attempts.as_str(), job.cost_source.as_str()),
        ("succeeded", "2", "unknown")
    );
    assert_eq!(stage.sim.submits_of("ambiguous").len(), 2);
}

#[test]
fn jobs_that_were_not_sent_yet_are_sent_once_after_a_crash() {
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage.sim.configure(&json!({"render_seconds": 1.0}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 1 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..4).map(|n| alice.generate(&format!("waits {n}"))).collect();
    stage.accepted(1);
    stage.cluster.crash(stage.worker());
    sent_and_paid_once(&stage, &ids);
    assert_eq!(stage.sim.totals().all.peak_in_flight, 1);
}

#[test]
fn many_crashes_at_any_moment_lose_nothing_and_pay_nothing_twice() {
    // N3, N4: a batch through six kills, each at another stage of the batch.
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage.sim.configure(&json!({"render_seconds": 0.8}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 8 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..40).map(|n| alice.generate(&format!("chaos {n:03}"))).collect();
    for kill in 0..6 {
        stage.submitted(2 + 6 * kill);
        let Some(pid) = stage.cluster.find_worker(DATABASE) else { continue };
        if kill % 2 == 0 {
            stage.cluster.crash(pid);
        } else {
            terminate(&stage, pid);
        }
    }
    let mut alice = alice_again(&stage);
    let jobs = alice.all_done(&ids);
    let mut uncertain = 0;
    for (n, job) in jobs.iter().enumerate() {
        let (paid, amount) = stage.sim.billed_of(&format!("chaos {n:03}"));
        assert!(paid <= 1, "job {n} was paid {paid} times: {job:?}");
        match job.status.as_str() {
            "succeeded" => assert_eq!(image_gen_tests::sim::micros(&job.billed_cost), amount, "{job:?}"),
            "needs_review" => {
                uncertain += 1;
                assert_eq!(
                    (job.error_code.as_str(), job.cost_source.as_str()),
                    ("uncertain", "unknown"),
                    "{job:?}"
                );
            }
            _ => panic!("job {n}: {job:?}"),
        }
    }
    println!("40 jobs through six kills: {uncertain} uncertain");
    assert_eq!(stage.admin().number("SELECT count(*) FROM image_gen_internal.queue"), 0);
    stage.check_money();
}

//! Stopping, waiting and deadlines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use image_gen_tests::process::cpu_ticks;
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};
use postgres::fallible_iterator::FallibleIterator;
use serde_json::json;

fn cancel(session: &mut Session, id: &str) -> String {
    session.text(&format!("SELECT status FROM image_gen.cancel('{id}')"))
}

fn status(session: &mut Session, id: &str) -> String {
    session.job(id).status
}

/// A stage whose worker takes one job at a time, with that one in flight for 3 s, and another one queued.
fn one_at_a_time() -> (Stage, Session, String, String) {
    let stage = Stage::conf(&["image_gen.max_in_flight = 1"]);
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    let mut alice = stage.alice();
    let first = alice.generate("in flight");
    stage.accepted(1);
    let second = alice.generate("behind it");
    (stage, alice, first, second)
}

#[test]
fn a_queued_job_is_canceled_at_once_and_never_sent() {
    // worker failure mode 53
    let (stage, mut alice, first, second) = one_at_a_time();
    assert_eq!(status(&mut alice, &second), "queued");
    assert_eq!(cancel(&mut alice, &second), "canceled");
    assert_eq!(cancel(&mut alice, &second), "canceled", "again");
    let job = alice.job(&second);
    assert_eq!((job.error_code.as_str(), job.attempts.as_str()), ("canceled", "0"));
    alice.all_succeed(&[first]);
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("behind it").len(), 0);
    assert_eq!(status(&mut alice, &second), "canceled");
}

#[test]
fn a_cancel_that_is_rolled_back_did_not_happen() {
    let (stage, mut alice, first, second) = one_at_a_time();
    alice.run("BEGIN");
    assert_eq!(cancel(&mut alice, &second), "canceled");
    cancel(&mut alice, &first);
    alice.run("ROLLBACK");
    assert_eq!(status(&mut alice, &second), "queued");
    alice.all_succeed(&[first, second]);
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (2, "0.08"));
}

#[test]
fn a_job_that_waits_for_its_providers_limit_can_be_canceled_and_leaves_its_room_to_others() {
    // worker failure mode 53: in the worker's hands, and not sent.
    let stage = Stage::conf(&["image_gen.max_in_flight = 2", "image_gen.rescan_interval = '1h'"]);
    stage.sim.configure(&json!({"render_seconds": 10.0}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 1 WHERE id = 'bfl'");
    let mut alice = stage.alice();
    let first = alice.generate("in flight");
    stage.accepted(1);
    let second = alice.generate("in hand");
    let third = alice.generate_with("prompt => 'no room', model => 'openai:gpt-image-2'");
    // Both rooms are taken: the third one is looked at only when the second one is gone.
    cancel(&mut alice, &second);
    assert_eq!(status(&mut alice, &second), "canceled", "at once");
    wait_until("the third one is sent", secs(5), || stage.sim.submits_of("no room").len() == 1);
    assert_eq!((status(&mut alice, &first).as_str(), stage.sim.submits_of("in hand").len()), ("running", 0));
    cancel(&mut alice, &first);
    alice.run(&format!("SELECT image_gen.wait(ARRAY['{first}', '{third}'])"));
}

#[test]
fn a_job_at_its_provider_is_canceled_and_its_cost_is_kept() {
    // worker failure mode 53
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 5.0}));
    let mut alice = stage.alice();
    let id = alice.generate("polled");
    let sibling = alice.generate("sibling");
    stage.accepted(2);
    assert_eq!(cancel(&mut alice, &id), "running", "the worker ends it");
    cancel(&mut alice, &id);
    wait_until("it is canceled", secs(20), || status(&mut alice, &id) == "canceled");
    assert_eq!(stage.sim.totals().all.pictures, 0, "and waits for no render");
    let job = alice.job(&id);
    assert_eq!(
        (job.error_code.as_str(), job.billed_cost.as_str(), job.cost_source.as_str()),
        ("canceled", "0.04", "reported")
    );
    assert_eq!(stage.sim.billed_of("polled"), (1, 40_000));
    alice.all_succeed(&[sibling]);
    assert_eq!(stage.sim.submits(), 2);
    stage.check_money();
}

#[test]
fn a_render_on_ones_own_machine_is_stopped_and_the_one_behind_it_begins() {
    // worker failure mode 53: renders run one after the other there.
    let stage = Stage::start();
    let mut alice = stage.alice();
    let mut render = |prompt: &str, seconds: f64| {
        stage.sim.configure(&json!({"render_seconds": seconds}));
        let id = alice.generate_with(&format!(
            "prompt => '{prompt}', model => 'comfyui:sd-xl-base', width => 256, height => 256"
        ));
        wait_until("it is taken on", secs(10), || {
            stage.sim.submits_of(prompt).len() == 1
                && alice.number(&format!(
                    "SELECT count(*) FROM image_gen.attempts WHERE job_id = '{id}' AND remote_id IS NOT NULL"
                )) == 1
        });
        id
    };
    let (running, waiting, last) =
        (render("an hour", 3600.0), render("another hour", 3600.0), render("at once", 0.05));
    // One that waits is taken out of the queue, and what runs goes on.
    cancel(&mut alice, &waiting);
    wait_until("it is canceled", secs(5), || status(&mut alice, &waiting) == "canceled");
    assert_eq!(status(&mut alice, &last), "running");
    cancel(&mut alice, &running);
    wait_until("it is canceled", secs(5), || status(&mut alice, &running) == "canceled");
    alice.all_succeed(&[last]);
    stage.check_money();
}

#[test]
fn a_job_canceled_while_its_request_is_on_its_way_is_not_sent_again() {
    // worker failure mode 53
    let stage = Stage::start();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "on its way", "fault": {"kind": "slow_response", "seconds": 3}}));
    let mut alice = stage.alice();
    let id = alice.generate("on its way");
    stage.submitted(1);
    cancel(&mut alice, &id);
    wait_until("it is canceled", secs(5), || status(&mut alice, &id) == "canceled");
    let job = alice.job(&id);
    assert_eq!(
        (job.billed_cost.as_str(), job.cost_source.as_str()),
        ("", "unknown"),
        "it may have been accepted"
    );
    stage.sentinel();
    assert_eq!(stage.sim.submits_of("on its way").len(), 1);
}

#[test]
fn a_finished_job_stays_finished() {
    // worker failure mode 53
    let stage = Stage::start();
    let mut alice = stage.alice();
    let id = alice.generate("done");
    let done = alice.done(&id);
    assert_eq!(cancel(&mut alice, &id), "succeeded");
    assert_eq!(alice.job(&id), done);
}

#[test]
fn no_role_cancels_the_jobs_of_others() {
    // worker failure mode 61
    let (_stage, mut alice, first, second) = one_at_a_time();
    let mut bob = _stage.bob();
    for id in [&first, &second] {
        assert_eq!(bob.sqlstate(&format!("SELECT image_gen.cancel('{id}')")), "42704");
    }
    assert_eq!(bob.sqlstate("SELECT image_gen.cancel('gen_00000000000000000000000000')"), "42704");
    alice.all_succeed(&[first, second]);
}

#[test]
fn a_deadline_that_passes_before_sending_is_kept() {
    // S2
    let (stage, mut alice, first, _) = one_at_a_time();
    let late = alice.generate_with("prompt => 'too late', deadline => clock_timestamp() + interval '1 s'");
    let soon = alice.generate_with("prompt => 'in time', deadline => clock_timestamp() + interval '1 h'");
    let jobs = alice.all_done(&[first, late, soon]);
    let ends: Vec<(&str, &str)> = jobs.iter().map(|j| (j.status.as_str(), j.error_code.as_str())).collect();
    assert_eq!(ends, [("succeeded", ""), ("failed", "deadline_exceeded"), ("succeeded", "")]);
    assert_eq!((stage.sim.submits_of("too late").len(), stage.sim.submits_of("in time").len()), (0, 1));

    for past in ["now() - interval '1 s'", "clock_timestamp()", "'-infinity'"] {
        assert_eq!(
            alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'x', deadline => {past})")),
            "22023"
        );
    }
}

#[test]
fn a_deadline_that_passes_while_a_job_is_put_off_is_kept() {
    // S2: the provider asked for more time than the job has.
    let stage = Stage::start();
    stage
        .sim
        .rule(json!({"prompt_contains": "put off", "fault": {"kind": "rate_limited", "retry_after": 2}}));
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'put off', deadline => clock_timestamp() + interval '1 s'");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "deadline_exceeded"), "{job:?}");
    assert_eq!(stage.sim.submits(), 1);
}

#[test]
fn wait_returns_as_soon_as_the_job_is_done_and_does_not_poll() {
    // N11, S43
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 2.05");
    let mut alice = stage.alice();
    let ids: Vec<String> = (0..2).map(|n| alice.generate(&format!("awaited {n}"))).collect();
    let pid = alice.pid();
    let before = cpu_ticks(pid);
    let rows = alice.rows(&format!(
        "SELECT id, status, clock_timestamp() - max(finished_at) OVER () < '300 ms' FROM image_gen.wait('{{{},{}}}', '20 s')",
        ids[1], ids[0]
    ));
    assert_eq!(rows, [[ids[1].as_str(), "succeeded", "t"], [ids[0].as_str(), "succeeded", "t"]]);
    let ticks = cpu_ticks(pid) - before;
    assert!(ticks <= 2, "{ticks} ticks of CPU while waiting");
}

#[test]
fn wait_says_what_cannot_be_waited_for() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    alice.run("BEGIN");
    let own = alice.generate("own transaction");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.wait('{{{own}}}')")), "55000");
    alice.run("ROLLBACK");

    let id = alice.generate("fine");
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        alice.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen.wait('{{{id}}}')")), "0A000");
        alice.run("ROLLBACK");
    }
    for unknown in ["gen_00000000000000000000000000", "nonsense"] {
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen.wait('{{{unknown}}}')")), "42704");
    }
    assert_eq!(stage.bob().sqlstate(&format!("SELECT image_gen.wait('{{{id}}}')")), "42704", "not his");
    assert!(alice.rows("SELECT * FROM image_gen.wait('{}')").is_empty());
    // In the same transaction, after another one's COMMIT: that can be waited for.
    alice.run("BEGIN");
    alice.all_succeed(&[id]);
    alice.run("COMMIT");
}

#[test]
fn wait_gives_up_after_its_timeout() {
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 4.0}));
    let mut alice = stage.alice();
    let id = alice.generate("slow");
    let start = Instant::now();
    let waited = alice.text(&format!("SELECT status FROM image_gen.wait('{{{id}}}', '700 ms')"));
    let took = start.elapsed();
    assert_eq!(waited, "running");
    assert!(took > Duration::from_millis(690), "{took:?}");

    alice.run("SET statement_timeout = '300ms'");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.wait('{{{id}}}')")), "57014");
    alice.run("RESET statement_timeout");
    alice.all_succeed(&[id]);
}

#[test]
fn wait_notices_a_cancel_by_another_session() {
    let (stage, mut alice, _, second) = one_at_a_time();
    let pid = alice.pid();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let waited = alice.text(&format!("SELECT status FROM image_gen.wait('{{{second}}}', '30 s')"));
            (waited, Instant::now())
        });
        let mut admin = stage.admin();
        wait_until("it waits", secs(5), || {
            admin.truth(&format!(
                "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {pid}"
            ))
        });
        let canceled = Instant::now();
        assert_eq!(cancel(&mut stage.alice(), &second), "canceled");
        let (waited, at) = waiting.join().unwrap();
        assert_eq!(waited, "canceled");
        assert!(at - canceled < secs(25), "wait() noticed it only when its time was up: {:?}", at - canceled);
    });
}

#[test]
fn wait_notices_what_becomes_of_a_job_that_it_needs() {
    // N11: the needed job ends in another session, and takes the one that waits for it along.
    let stage = Stage::start();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[refused]", "fault": {"kind": "refuse", "stage": "request"}}));
    // Approved with an image that cannot be fetched from here: the worker tries that for a while.
    let approve = "'approve', url => 'https://mine.example/1.png'";
    for (action, code, limit) in [("'reject'", "not_found", secs(1)), (approve, "invalid_request", secs(10))]
    {
        let mut alice = stage.alice();
        let needed = alice.generate("[refused]");
        assert_eq!(alice.done(&needed).status, "needs_review");
        let waiting = alice.text(&format!("SELECT id FROM image_gen.edit('job:{needed}', 'at night')"));
        // The look at what it waits for is over.
        stage.sentinel();
        assert_eq!(status(&mut alice, &waiting), "queued");
        assert_eq!(alice.text("SELECT blocked FROM image_gen.queue_stats"), "1");
        let pid = alice.pid();
        thread::scope(|scope| {
            let waited = scope.spawn(|| {
                let job = alice.done(&waiting);
                (job, Instant::now())
            });
            let mut admin = stage.admin();
            wait_until("it waits", secs(5), || {
                admin.truth(&format!(
                    "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {pid}"
                ))
            });
            let decided = Instant::now();
            stage.bob().sqlstate(&format!("SELECT image_gen.resolve_review('{needed}', 'reject')"));
            admin.run(&format!("SELECT image_gen.resolve_review('{needed}', {action})"));
            let (job, at) = waited.join().unwrap();
            assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", code), "{job:?}");
            assert!(at - decided < limit, "{action}: wait() noticed after {:?}", at - decided);
        });
    }
    assert_eq!(stage.sim.submits_of("at night").len(), 0);
}

#[test]
fn a_job_that_waits_for_another_can_be_canceled() {
    // P8: it never was in flight.
    let stage = Stage::start();
    stage.sim.configure(&json!({"render_seconds": 2.0}));
    let mut alice = stage.alice();
    let needed = alice.generate("needed");
    let [first, second] = ["first", "second"]
        .map(|p| alice.text(&format!("SELECT id FROM image_gen.edit('job:{needed}', '{p}')")));
    stage.accepted(1);
    assert_eq!(cancel(&mut alice, &first), "canceled");
    // The one that is needed is stopped at its provider: whoever waits for it has no image either.
    cancel(&mut alice, &needed);
    let jobs = alice.all_done(&[needed, first, second]);
    let ends: Vec<(&str, &str)> = jobs.iter().map(|j| (j.status.as_str(), j.error_code.as_str())).collect();
    assert_eq!(ends, [("canceled", "canceled"), ("canceled", "canceled"), ("failed", "not_found")]);
    assert_eq!(stage.sim.submits(), 1);
    stage.check_money();
}

#[test]
fn who_listens_is_told_that_jobs_finished_and_nothing_about_them() {
    let stage = Stage::start();
    let mut listener = stage.alice();
    listener.run("LISTEN image_gen");
    let mut alice = stage.alice();
    let mut ids: Vec<String> = (0..6).map(|n| alice.generate(&format!("notified {n}"))).collect();
    stage.sim.rule(
        json!({"phase": "submit", "prompt_contains": "[wrong]", "fault": {"kind": "status", "code": 422}}),
    );
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[refused]", "fault": {"kind": "refuse", "stage": "request"}}));
    ids.extend(["[wrong]", "[refused]"].map(|prompt| alice.generate(prompt)));
    // Softened after a refusal, and so put back into the queue: that is no end.
    ids.push(alice.generate("softened: anatomy"));
    let ends: Vec<String> = alice.all_done(&ids).into_iter().map(|j| j.status).collect();
    assert_eq!(ends[6..], ["failed", "needs_review", "succeeded"]);
    stage.sentinel();
    listener.run("SELECT 1");
    let mut notified = vec![];
    let mut notifications = listener.notifications();
    let mut pending = notifications.timeout_iter(Duration::from_millis(500));
    while let Some(notification) = pending.next().unwrap() {
        assert_eq!(notification.channel(), "image_gen");
        notified.push(notification.payload().to_owned());
    }
    // Jobs that end in one transaction are one notification.
    assert!((1..=10).contains(&notified.len()), "nine and the sentinel: {notified:?}");
    assert!(notified.iter().all(String::is_empty), "any role can listen: {notified:?}");
}

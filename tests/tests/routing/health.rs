//! What one job learns of a provider spares all others: a provider that is down is left alone, probed, and let recover.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use image_gen_tests::cluster::write_private;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Session, Stage, wait_until};
use serde_json::{Value, json};

use crate::common::{asked, check_ledger, options, stage, story};

/// `image_gen.breaker_failures`
const FAILURES: u64 = 5;
/// `providers.max_in_flight` of BFL: so many may be in flight when the circuit opens.
const INSIDE: u64 = 24;
/// How long the provider is down.
const OUTAGE: Duration = secs(20);
/// Probes in the time of an outage: 10 s and 30 s after the first failures, and the time it takes to notice.
const PROBES: u64 = 3;

/// Queues this many small jobs of a model that BFL and fal offer.
fn queue(session: &mut Session, tag: &str, jobs: usize) -> Vec<String> {
    session.column(&format!(
        "SELECT g.id FROM generate_series(1, {jobs}) n,
           LATERAL image_gen.generate(prompt => format('[{tag} %s]', n), model => 'flux-1.1-pro', width => 256, height => 256) g"
    ))
}

fn state(session: &mut Session) -> String {
    session
        .text("SELECT state FROM image_gen.provider_health WHERE provider = 'bfl' AND model = 'flux-1.1-pro'")
}

/// Submissions at a provider after this entry of the ledger, oldest first.
fn submits_after(stage: &Stage, provider: &str, n: u64) -> Vec<Value> {
    let wanted = |e: &Value| e["provider"] == provider && e["phase"] == "submit" && e["n"].as_u64() > Some(n);
    stage.sim.entries().into_iter().filter(wanted).collect()
}

fn last_entry(stage: &Stage) -> u64 {
    stage.sim.entries().last().and_then(|e| e["n"].as_u64()).unwrap_or(0)
}

/// The states that were seen, without repetitions.
#[derive(Default)]
struct States(Vec<String>);

impl States {
    fn see(&mut self, state: String) {
        if self.0.last() != Some(&state) {
            self.0.push(state);
        }
    }
}

/// At no time more calls are inside than the successes so far allow: 1, then twice as many with each.
fn check_gradual(accepted: &[Value], render_us: u64) {
    let at = |e: &Value| e["at_us"].as_u64().unwrap();
    let mut peaks = vec![];
    for (index, entry) in accepted.iter().enumerate() {
        let ended = accepted[..index].iter().filter(|e| at(e) + render_us < at(entry)).count();
        let inside = index + 1 - ended;
        peaks.push(inside);
        let allowed = 1_usize << ended.min(10);
        assert!(inside <= allowed, "call {index}: {inside} inside after {ended} successes; so far {peaks:?}");
    }
    println!("inside at the recovering provider: {peaks:?}");
}

#[test]
fn a_provider_that_is_down_is_spared_and_recovers_gradually() {
    // worker failure modes 48 and 60; a second provider does the work meanwhile.
    let stage = stage(&["bfl", "fal"], &[]);
    stage.sim.configure(&json!({"render_seconds_by": {"bfl": 0.4, "fal": 0.2}}));
    stage.sim.rule(json!({"provider": "bfl", "fault": {"kind": "status", "code": 503}}));
    let down_since = Instant::now();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let mut ids = queue(&mut alice, "batch", 300);
    let mut states = States::default();
    let mut tick = 0;
    while down_since.elapsed() < OUTAGE {
        std::thread::sleep(Duration::from_millis(100));
        states.see(state(&mut admin));
        tick += 1;
        if tick % 5 == 0 {
            ids.extend(queue(&mut alice, &format!("trickle {tick}"), 1));
        }
    }
    let during = stage.sim.totals().by_provider["bfl"].submits;
    let health = admin.rows(
        "SELECT state, last_error_code, since < now(), in_flight <= max_in_flight FROM image_gen.provider_health
          WHERE provider = 'bfl' AND model = 'flux-1.1-pro'",
    );
    println!("{during} submissions while it was down; {health:?}");
    assert_eq!(health, [["down", "overloaded", "t", "t"]]);
    stage.sim.clear_rules();
    let recovered_from = last_entry(&stage);
    // There is always somebody who would like to go there.
    wait_until("it is well again", secs(60), || {
        std::thread::sleep(Duration::from_millis(90));
        states.see(state(&mut admin));
        tick += 1;
        if tick % 5 == 0 && states.0.last().is_some_and(|s| s != "up") {
            ids.extend(queue(&mut alice, &format!("trickle {tick}"), 12));
        }
        states.0.last().is_some_and(|s| s == "up")
    });
    println!("{:?} after {:?}", states.0, down_since.elapsed());
    alice.all_succeed(&ids);
    let after = queue(&mut alice, "after", 30);
    alice.all_succeed(&after);
    assert!((1..=30).all(|n| asked(&stage, &format!("[after {n}]")) == ["bfl"]), "it is the first again");

    let seen: Vec<&str> = states.0.iter().map(String::as_str).skip_while(|s| *s != "down").collect();
    assert!(seen.len() >= 3, "{:?}", states.0);
    assert_eq!(seen[seen.len() - 2..], ["recovering", "up"], "{seen:?}");
    let accepted: Vec<Value> =
        submits_after(&stage, "bfl", recovered_from).into_iter().filter(|e| e["accepted"] == true).collect();
    let before_up = accepted.iter().filter(|e| !e["prompt"].as_str().unwrap().starts_with("[after"));
    check_gradual(&before_up.cloned().collect::<Vec<_>>(), 400_000);
    let lines = stage.cluster.log().lines().filter(|l| l.contains("image_gen:")).count();
    assert!(lines <= 10, "{lines} lines in the log");
    check_ledger(&stage);
    // Last, so that the rest is seen: so many failures as open the circuit, those that were in flight by then, and probes.
    assert!(during <= FAILURES + INSIDE + PROBES, "{during} submissions while it was down");
}

#[test]
fn with_one_provider_jobs_wait_for_its_recovery_and_none_is_lost() {
    // worker failure modes 48 and 60
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    stage.sim.rule(json!({"provider": "bfl", "fault": {"kind": "status", "code": 503}}));
    let started = Instant::now();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    queue(&mut alice, "batch", 300);
    wait_until("it is down", secs(10), || state(&mut admin) == "down");
    std::thread::sleep(OUTAGE.saturating_sub(started.elapsed()));
    let during = stage.sim.totals().by_provider["bfl"].submits;
    println!("{during} submissions while it was down; {:?}", counts(&mut alice));
    stage.sim.clear_rules();
    let recovered_from = last_entry(&stage);
    wait_until("all jobs end", secs(90), || {
        admin.number("SELECT count(*) FROM image_gen_internal.queue") == 0
    });
    println!("all over after {:?}: {:?}", started.elapsed(), counts(&mut alice));
    assert_eq!(counts(&mut alice), BTreeMap::from([("succeeded".to_owned(), 300)]));
    let accepted = submits_after(&stage, "bfl", recovered_from);
    assert_eq!(accepted.len(), 300, "each of them once");
    let first: Vec<Value> = accepted.into_iter().take(20).collect();
    check_gradual(&first, 50_000);
    let lines = stage.cluster.log().lines().filter(|l| l.contains("image_gen:")).count();
    assert!(lines <= 10, "{lines} lines in the log");
    check_ledger(&stage);
    assert!(during <= FAILURES + INSIDE + PROBES, "{during} submissions while it was down");
}

#[test]
fn a_few_jobs_wait_for_the_recovery_as_well() {
    // Each model has a circuit of its own, and two jobs: probing it must not use up what a job may try.
    let stage = stage(&["bfl"], &[]);
    stage.sim.rule(json!({"provider": "bfl", "fault": {"kind": "status", "code": 503}}));
    let started = Instant::now();
    let mut alice = stage.alice();
    let ids: Vec<String> =
        ["flux-1.1-pro", "flux-2-pro", "flux-2-flex", "flux-2-klein-4b", "flux-2-klein-9b", "flux-dev"]
            .iter()
            .flat_map(|model| [0, 1].map(|n| format!("prompt => '[few {n}]', model => 'bfl:{model}'")))
            .map(|arguments| alice.generate_with(&arguments))
            .collect();
    std::thread::sleep(OUTAGE.saturating_sub(started.elapsed()));
    stage.sim.clear_rules();
    alice.all_done(&ids);
    assert_eq!(counts(&mut alice), BTreeMap::from([("succeeded".to_owned(), ids.len())]));
    check_ledger(&stage);
}

fn counts(session: &mut Session) -> BTreeMap<String, usize> {
    let rows = session.rows("SELECT status, count(*) FROM image_gen.jobs GROUP BY 1");
    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

#[test]
fn a_busy_provider_is_asked_again_when_it_said_and_not_before() {
    let stage = stage(&["bfl", "fal"], &[]);
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "times": 1, "fault": {"kind": "rate_limited", "retry_after": 6}}));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let first = queue(&mut alice, "first", 1);
    alice.all_succeed(&first);
    let since = Instant::now();
    assert_eq!(state(&mut admin), "down");
    // Elsewhere meanwhile, without asking.
    let meanwhile = queue(&mut alice, "meanwhile", 20);
    alice.all_succeed(&meanwhile);
    assert!(since.elapsed() < secs(5), "{:?}", since.elapsed());
    assert_eq!(stage.sim.totals().by_provider["bfl"].submits, 1);
    assert_eq!(
        alice.number(
            "SELECT max(number) FROM image_gen.attempts WHERE job_id <> (SELECT min(id) FROM image_gen.jobs)"
        ),
        1
    );
    std::thread::sleep(secs(6).saturating_sub(since.elapsed()));
    let later = queue(&mut alice, "later", 1);
    alice.all_succeed(&later);
    assert_eq!(story(&mut alice, &later[0]), ["bfl:flux-1.1-pro succeeded"]);
    check_ledger(&stage);
}

#[test]
fn refusals_and_wrong_requests_say_nothing_about_health() {
    let stage = stage(&["bfl", "fal"], &["image_gen.max_refusals = 1"]);
    stage.sim.rule(
        json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[refused", "fault": "refuse"}),
    );
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "[wrong", "fault": {"kind": "status", "code": 422}}));
    let mut alice = stage.alice();
    for tag in ["refused", "wrong"] {
        let ids = queue(&mut alice, tag, 12);
        assert!(alice.all_done(&ids).iter().all(|job| job.attempts == "1"));
    }
    let well = queue(&mut alice, "well", 5);
    alice.all_succeed(&well);
    assert!((1..=5).all(|n| asked(&stage, &format!("[well {n}]")) == ["bfl"]));
    assert_eq!(state(&mut stage.admin()), "up");
    check_ledger(&stage);
}

#[test]
fn a_model_that_is_gone_does_not_shut_out_the_others() {
    let stage = stage(&["bfl", "fal"], &[]);
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "model": "flux-pro-1.1", "fault": {"kind": "status", "code": 404}}));
    let mut alice = stage.alice();
    for n in 1..=6 {
        let id = queue(&mut alice, &format!("gone {n}"), 1).remove(0);
        let other = alice.generate_with(&format!(
            "prompt => '[other {n}]', model => 'flux-2-pro', width => 512, height => 512"
        ));
        alice.all_succeed(&[id.clone(), other.clone()]);
        let gone = if n <= 2 { vec!["bfl:flux-1.1-pro failed model_gone"] } else { vec![] };
        assert_eq!(story(&mut alice, &id), [gone, vec!["fal:flux-1.1-pro succeeded"]].concat(), "job {n}");
        assert_eq!(story(&mut alice, &other), ["bfl:flux-2-pro succeeded"], "job {n}");
    }
    check_ledger(&stage);
}

#[test]
fn a_wrong_key_is_tried_twice_and_again_after_it_is_mended() {
    let mut options = options(&["fal"], &[]);
    let secrets = std::env::temp_dir().join(format!("image_gen_routing_{}", std::process::id()));
    options.conf.push(format!("image_gen.secrets_file = '{}'", secrets.display()));
    write_private(&secrets, "BFL_API_KEY=wrong\n", 0o600);
    let stage = Stage::with(options);
    stage.admin().run("UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('bfl', 'fal')");
    stage.sim.configure(&json!({"keys": ["right", "test-fal-key"]}));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let (auth, fal) = ("bfl:flux-1.1-pro failed auth", "fal:flux-1.1-pro succeeded");
    // The first one moves on, and the second one, who wants nobody else, fails.
    let id = queue(&mut alice, "moves", 1);
    alice.all_succeed(&id);
    assert_eq!(story(&mut alice, &id[0]), [auth, fal]);
    let pinned = "model => 'bfl:flux-1.1-pro', width => 256, height => 256";
    let id = alice.generate_with(&format!("prompt => '[fails]', {pinned}"));
    let job = alice.done(&id);
    assert_eq!(
        (job.status.as_str(), job.error_code.as_str(), job.attempts.as_str()),
        ("failed", "auth", "1"),
        "{job:?}"
    );
    assert_eq!(state(&mut admin), "down");
    // From now on nobody is sent there.
    let before = stage.sim.totals().by_provider["bfl"].requests;
    let ids = queue(&mut alice, "spared", 20);
    alice.all_succeed(&ids);
    for id in &ids {
        assert_eq!(story(&mut alice, id), [fal]);
    }
    let id = alice.generate_with(&format!("prompt => '[spared too]', {pinned}"));
    let job = alice.done(&id);
    assert_eq!(
        (job.status.as_str(), job.error_code.as_str(), job.attempts.as_str()),
        ("failed", "auth", "0"),
        "{job:?}"
    );
    assert_eq!(stage.sim.totals().by_provider["bfl"].requests, before, "not even a question");
    // Mended without a restart.
    let worker = stage.cluster.worker_pid(DATABASE);
    write_private(&secrets, "BFL_API_KEY=right\n", 0o600);
    stage.cluster.reload();
    wait_until("the key is believed", secs(10), || state(&mut admin) == "up");
    let ids = queue(&mut alice, "mended", 5);
    alice.all_succeed(&ids);
    for id in &ids {
        assert_eq!(story(&mut alice, id), ["bfl:flux-1.1-pro succeeded"]);
    }
    assert_eq!(stage.worker(), worker);
    let leaked = stage.cluster.log().contains("wrong") || stage.cluster.log().contains("right\n");
    assert!(!leaked, "keys are in the log");
    check_ledger(&stage);
    std::fs::remove_file(&secrets).unwrap();
}

#[test]
fn a_wrong_key_under_a_batch_is_tried_by_those_that_are_inside_only() {
    let stage = stage(&["bfl", "fal"], &[]);
    stage.sim.configure(&json!({"keys": ["test-fal-key"]}));
    let mut alice = stage.alice();
    let ids = queue(&mut alice, "batch", 150);
    alice.all_succeed(&ids);
    let wrong = stage.sim.totals().by_provider["bfl"].submits;
    println!("{wrong} calls with a wrong key");
    check_ledger(&stage);
    assert!(wrong <= 2 + INSIDE, "{wrong} calls with a wrong key");
}

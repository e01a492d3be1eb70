//! Several keys of a provider, and one key of several databases: who is called with which, by the provider's own ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use image_gen_tests::cluster::write_private;
use image_gen_tests::picture::sha256;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, wait_until};
use serde_json::{Value, json};

/// Keys of BFL by their names.
const KEYS: [(&str, &str); 3] =
    [("BFL_API_KEY", "first-key-1"), ("BFL_API_KEY_1", "second-key-2"), ("BFL_API_KEY_2", "third-key-3")];

/// What the simulator's ledger calls the account of a key.
fn account(key: &str) -> String {
    sha256(key.as_bytes())[..8].to_owned()
}

/// A stage whose keys are in a file, and where that is.
fn stage(keys: &[(&str, &str)], lines: &[&str]) -> (Stage, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(format!(
        "image_gen_keys_{}_{}",
        std::process::id(),
        account(&format!("{keys:?}{lines:?}"))
    ));
    std::fs::create_dir_all(&folder).unwrap();
    image_gen_tests::cluster::give_to_server(&folder);
    let file = folder.join("keys");
    write(&file, keys);
    let mut options = Options::conf(lines);
    options.conf.push(format!("image_gen.secrets_file = '{}'", file.display()));
    options.conf.push("image_gen.balance_interval = 0".into());
    (Stage::with(options), file)
}

fn write(file: &std::path::Path, keys: &[(&str, &str)]) {
    let lines: Vec<String> = keys.iter().map(|(name, key)| format!("{name}={key}")).collect();
    write_private(file, &lines.join("\n"), 0o600);
}

fn generate(session: &mut Session, tag: &str, jobs: usize) -> Vec<String> {
    session.column(&format!(
        "SELECT g.id FROM generate_series(1, {jobs}) n CROSS JOIN LATERAL image_gen.generate('{tag} ' || n || '.', model => 'bfl:flux-1.1-pro', width => 256, height => 256) g"
    ))
}

/// How many submissions came with each key, of those whose prompt has this in it.
fn submits(stage: &Stage, tag: &str) -> BTreeMap<&'static str, usize> {
    let submits = stage.sim.submits_of(tag);
    let of = |key: &str| submits.iter().filter(|e| e["account"] == account(key)).count();
    KEYS.iter().map(|(name, key)| (*name, of(key))).collect()
}

/// What the view says of each key: state and error.
fn shown(session: &mut Session) -> Vec<Vec<String>> {
    session.rows("SELECT key_name, state, last_error_code FROM image_gen.provider_keys WHERE provider = 'bfl' ORDER BY key_name")
}

/// No task was asked for with another key than the one that submitted it.
fn same_key_for_each_task(stage: &Stage) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let entries = stage.sim.entries();
    let with_key =
        entries.iter().filter(|e| e["phase"] == "submit" || e["phase"] == "poll" || e["phase"] == "cancel");
    for entry in with_key {
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        if let (Some(task), Some(account)) = (text("remote_id"), text("account")) {
            keys.entry(task).or_default().insert(account);
        }
    }
    let mixed: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(mixed.is_empty(), "{mixed:?}");
    assert!(!keys.is_empty());
}

/// The most tasks that were being rendered at a moment, each for so long after it was accepted.
fn most_at_once(entries: &[Value], render_us: u64) -> usize {
    let at = |e: &Value| e["at_us"].as_u64().unwrap();
    let accepted: Vec<u64> = entries.iter().filter(|e| e["accepted"] == true).map(at).collect();
    accepted
        .iter()
        .map(|now| accepted.iter().filter(|at| **at <= *now && *now < **at + render_us).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn three_keys_have_three_times_the_throughput_of_a_limited_provider() {
    let (stage, _) = stage(&KEYS, &[]);
    // A 429 beyond two at a time with one key.
    stage.sim.configure(&json!({"render_seconds": 0.5, "active_task_limit": 2}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 2 WHERE id = 'bfl'; UPDATE image_gen.models SET typical_seconds = 0.5");
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let ids = generate(&mut alice, "pooled", 36);
    wait_until("all keys are in use", secs(30), || {
        admin.column("SELECT in_flight FROM image_gen.provider_keys WHERE provider = 'bfl'")
            == ["2", "2", "2"]
    });
    alice.all_succeed(&ids);
    let totals = stage.sim.totals().all;
    assert_eq!(
        (totals.peak_in_flight, totals.rejected, totals.submits),
        (2, 0, 36),
        "two with each, and none too many"
    );
    assert_eq!(most_at_once(&stage.sim.submits_of("pooled"), 500_000), 6, "two with each of three at once");
    let each = submits(&stage, "pooled");
    assert!(each.values().all(|n| *n >= 10), "{each:?}");
    // The attempts name their keys.
    let named = admin.rows("SELECT key_name, count(*) FROM image_gen.attempts GROUP BY 1 ORDER BY 1");
    let counted: Vec<Vec<String>> =
        each.iter().map(|(name, n)| vec![(*name).to_owned(), n.to_string()]).collect();
    assert_eq!(named, counted);
    same_key_for_each_task(&stage);
    stage.check_money();
}

#[test]
fn a_refused_key_is_benched_and_its_jobs_go_on_with_the_others() {
    for (code, error) in [(401, "auth"), (402, "insufficient_credits"), (403, "auth")] {
        let (stage, file) = stage(&KEYS, &[&format!("application_name = 'refused {code}'")]);
        stage.sim.rule(json!({"provider": "bfl", "key": KEYS[1].1, "phase": "submit", "fault": {"kind": "status", "code": code}}));
        let (mut alice, mut admin) = (stage.alice(), stage.admin());
        // Those that are on their way at once may each find out for themselves.
        let ids = generate(&mut alice, "early", 6);
        alice.all_succeed(&ids);
        let ids = generate(&mut alice, "late", 12);
        alice.all_succeed(&ids);
        let late = submits(&stage, "late");
        assert_eq!(late["BFL_API_KEY_1"], 0, "{code}: {late:?}");
        assert!(late["BFL_API_KEY"] > 0 && late["BFL_API_KEY_2"] > 0, "{code}: {late:?}");
        assert!(submits(&stage, "early")["BFL_API_KEY_1"] > 0, "{code}");
        let state = shown(&mut admin);
        assert_eq!(state[0][1..], ["up", ""], "{code}: {state:?}");
        assert_eq!(state[2][1..], ["up", ""], "{code}: {state:?}");
        assert_eq!(state[1][1], "down", "{code}: {state:?}");
        if code != 403 {
            assert_eq!(state[1][2], error, "{code}");
        }
        // The provider itself is well, and the story is in the attempts.
        assert_eq!(
            admin.number("SELECT count(*) FROM image_gen_internal.provider_breakers WHERE state <> 'up'"),
            0
        );
        assert_eq!(
            admin.rows(
                "SELECT DISTINCT key_name, status FROM image_gen.attempts WHERE error_code IS NOT NULL"
            ),
            [["BFL_API_KEY_1", "failed"]]
        );
        wait_until("the log says it", secs(10), || {
            stage.cluster.log().contains("key BFL_API_KEY_1 is not used for a while")
        });
        // Another key under its name is used at once.
        write(&file, &[KEYS[0], ("BFL_API_KEY_1", "a-new-key"), KEYS[2]]);
        stage.cluster.reload();
        wait_until("it is well again", secs(30), || shown(&mut admin)[1][1] == "up");
        let ids = generate(&mut alice, "renewed", 12);
        alice.all_succeed(&ids);
        let with_new =
            stage.sim.submits_of("renewed").iter().filter(|e| e["account"] == account("a-new-key")).count();
        assert!(with_new > 0, "{code}");
        assert!(!stage.cluster.log().contains(KEYS[1].1), "no key is in the log");
        same_key_for_each_task(&stage);
        stage.check_money();
    }
}

#[test]
fn a_key_that_sends_too_much_rests_and_comes_back_and_a_fault_of_the_provider_rests_none() {
    let (stage, _) = stage(&KEYS[..2], &[]);
    stage.sim.rule(json!({"provider": "bfl", "key": KEYS[0].1, "phase": "submit", "times": 1, "fault": {"kind": "rate_limited", "retry_after": 4}}));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let first = generate(&mut alice, "turned", 1);
    alice.all_succeed(&first);
    // The same job, at once, with the other one.
    assert_eq!(
        admin.rows("SELECT key_name, status, error_code FROM image_gen.attempts ORDER BY id"),
        [["BFL_API_KEY", "failed", "rate_limited"], ["BFL_API_KEY_1", "succeeded", ""]]
    );
    assert_eq!(shown(&mut admin)[0][1..], ["resting", "rate_limited"]);
    let resting = generate(&mut alice, "resting", 4);
    alice.all_succeed(&resting);
    let turned_at = stage.sim.submits_of("turned")[0]["done_us"].as_u64().unwrap();
    // It is tried again when it has rested, not before, and then is one of two.
    wait_until("it is used again", secs(60), || {
        let more = generate(&mut alice, "again", 2);
        alice.all_succeed(&more);
        submits(&stage, "again")["BFL_API_KEY"] > 0
    });
    let again: Vec<u64> = stage
        .sim
        .entries()
        .iter()
        .filter(|e| e["phase"] == "submit" && e["account"] == account(KEYS[0].1))
        .filter_map(|e| e["at_us"].as_u64())
        .filter(|at| *at > turned_at)
        .collect();
    assert!(again.iter().all(|at| *at >= turned_at + 3_900_000), "{again:?}, turned away at {turned_at}");
    wait_until("it is well", secs(10), || shown(&mut admin)[0][1] == "up");
    // 503: both are used on.
    stage.sim.rule(json!({"provider": "bfl", "key": KEYS[0].1, "phase": "submit", "times": 2, "fault": {"kind": "status", "code": 503}}));
    let ids = generate(&mut alice, "faulty", 6);
    alice.all_succeed(&ids);
    assert!(shown(&mut admin).iter().all(|key| key[1] == "up"));
    assert!(submits(&stage, "faulty").iter().filter(|(_, n)| **n > 0).count() == 2);
    stage.check_money();
}

#[test]
fn when_all_keys_are_benched_a_job_goes_elsewhere_or_fails_and_none_is_called() {
    let (stage, _) = stage(&KEYS, &[]);
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "fault": {"kind": "status", "code": 401}}));
    let mut alice = stage.alice();
    let ids = generate(&mut alice, "first", 1);
    let job = alice.done(&ids[0]);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "auth"));
    assert_eq!(submits(&stage, "first").values().sum::<usize>(), 3, "each was tried");
    let ids = generate(&mut alice, "second", 4);
    for id in &ids {
        let job = alice.done(id);
        assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "auth"), "{job:?}");
    }
    assert!(stage.sim.submits_of("second").is_empty());
    assert_eq!(stage.sim.billed(), "0");
}

#[test]
fn a_task_is_followed_and_called_off_with_its_own_key_also_by_the_next_worker() {
    let (stage, _) = stage(&KEYS, &[]);
    stage.sim.configure(&json!({"render_seconds": 3.0}));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 1");
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let ids = generate(&mut alice, "followed", 9);
    stage.accepted(9);
    let polls = || stage.sim.totals().all.polls;
    let worker = stage.worker();
    let before = polls();
    admin.run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("the next worker asks", secs(60), || stage.worker() != worker && polls() > before);
    alice.all_succeed(&ids);
    assert_eq!(stage.sim.submits(), 9, "none was submitted again");
    assert!(submits(&stage, "followed").values().all(|n| *n > 0));
    // At a provider that can be told to stop.
    same_key_for_each_task(&stage);
    stage.check_money();
}

/// Three databases with this extension and one key.
const DATABASES: [&str; 3] = ["shop", "blog", "press"];

fn three_databases(limits: &str) -> Stage {
    let stage = Stage::with(Options::conf(&["max_worker_processes = 24"]));
    for database in &DATABASES[1..] {
        stage.admin().run(&format!("CREATE DATABASE {database}"));
        stage.install(database);
    }
    for database in DATABASES {
        let mut admin = stage.cluster.admin(database);
        admin.run(&format!("UPDATE image_gen.providers SET {limits} WHERE id = 'bfl'; UPDATE image_gen.models SET typical_seconds = 0.3"));
        stage.cluster.worker_pid(database);
    }
    stage
}

#[test]
fn three_databases_with_one_key_never_show_the_provider_a_fifth() {
    let stage = three_databases("max_in_flight = 4");
    stage.sim.configure(&json!({"render_seconds": 0.3, "active_task_limit": 4}));
    let mut sessions: Vec<Session> = DATABASES.iter().map(|d| stage.cluster.connect("alice", d)).collect();
    let ids: Vec<Vec<String>> = sessions
        .iter_mut()
        .zip(DATABASES)
        .map(|(session, database)| generate(session, database, 20))
        .collect();
    // Each has its turn: none waits until another has done all.
    wait_until("all of them are served", secs(60), || {
        DATABASES.iter().all(|database| stage.sim.submits_of(&format!("{database} ")).len() >= 5)
    });
    let most = DATABASES
        .map(|database| stage.sim.submits_of(&format!("{database} ")).len())
        .into_iter()
        .max()
        .unwrap();
    assert!(most < 20, "one had all of its jobs before the others");
    for (session, ids) in sessions.iter_mut().zip(&ids) {
        session.all_succeed(ids);
    }
    let totals = stage.sim.totals().all;
    assert_eq!((totals.peak_in_flight, totals.rejected, totals.submits), (4, 0, 60));
    for session in &mut sessions {
        assert_eq!(session.number("SELECT in_flight FROM image_gen.provider_keys WHERE provider = 'bfl'"), 0);
    }
}

#[test]
fn a_worker_that_ends_gives_its_places_back() {
    let stage = three_databases("max_in_flight = 2");
    stage.sim.configure(&json!({"render_seconds": 600.0}));
    let mut shop = stage.alice();
    generate(&mut shop, "for ever", 2);
    stage.accepted(2);
    let mut blog = stage.cluster.connect("alice", "blog");
    let ids = generate(&mut blog, "waits", 1);
    let waits = "SELECT in_flight FROM image_gen.provider_keys WHERE provider = 'bfl'";
    assert_eq!(blog.number(waits), 2, "it sees those of another database");
    stage.sim.configure(&json!({"render_seconds": 0.1}));
    // The extension goes, and its worker with it.
    stage.admin().run("DROP EXTENSION image_gen CASCADE");
    blog.all_succeed(&ids);
    assert_eq!(stage.sim.submits_of("waits").len(), 1);
}

#[test]
fn the_rate_of_a_key_is_that_of_the_cluster_and_so_is_its_rest() {
    // One submission a second, and six at once.
    let stage = three_databases("requests_per_minute = 60");
    let mut sessions: Vec<Session> = DATABASES.iter().map(|d| stage.cluster.connect("alice", d)).collect();
    let ids: Vec<Vec<String>> = sessions
        .iter_mut()
        .zip(DATABASES)
        .map(|(session, database)| generate(session, database, 4))
        .collect();
    for (session, ids) in sessions.iter_mut().zip(&ids) {
        session.all_succeed(ids);
    }
    let mut at: Vec<u64> = stage
        .sim
        .entries()
        .iter()
        .filter(|e| e["phase"] == "submit")
        .map(|e| e["at_us"].as_u64().unwrap())
        .collect();
    at.sort_unstable();
    assert_eq!(at.len(), 12);
    // Of any that follow each other: six are free, and each further one takes its second.
    for (first, last) in (0..12).flat_map(|first| (first + 6..12).map(move |last| (first, last))) {
        let least = (last - first - 5) as u64 * 1_000_000;
        assert!(at[last] - at[first] + 400_000 >= least, "{} and {first} to {last}: {at:?}", least);
    }
    // One learns that it is too many: the others do not ask.
    for database in DATABASES {
        stage
            .cluster
            .admin(database)
            .run("UPDATE image_gen.providers SET requests_per_minute = NULL WHERE id = 'bfl'");
    }
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "prompt_contains": "learns", "fault": {"kind": "rate_limited", "retry_after": 3000}}));
    generate(&mut sessions[0], "learns", 1);
    wait_until("one has learnt it", secs(30), || {
        sessions[0].text("SELECT state FROM image_gen.provider_keys WHERE provider = 'bfl'") == "resting"
    });
    let before = stage.sim.submits();
    let waits = generate(&mut sessions[1], "told", 1);
    let why = "SELECT code FROM image_gen.status($$ID$$) s, LATERAL (SELECT (s.waiting_for).code) w"
        .replace("$$ID$$", &format!("'{}'", waits[0]));
    wait_until("another one knows it", secs(30), || {
        let mut admin = stage.cluster.admin(DATABASES[1]);
        admin.truth(&format!("SELECT ready_at > clock_timestamp() + interval '5 min' FROM image_gen_internal.queue WHERE job_id = '{}'", waits[0]))
    });
    assert_eq!(sessions[1].text(&why), "turn");
    assert_eq!(stage.sim.submits(), before, "it was not asked");
}

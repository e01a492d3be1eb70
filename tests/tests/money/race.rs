//! Many sessions at one budget: the sum of what is spent and held is never above it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use image_gen_tests::sim::micros;
use image_gen_tests::{Session, Stage};

use crate::common::{PRO, check_all, credits, no_deadlock, stage};

const CONF: &[&str] = &["max_connections = 260", "shared_buffers = '64MB'"];

/// What became of the sessions: how many got a job, how many were refused, how many had to try again (40001).
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    admitted: usize,
    refused: usize,
    serialization: usize,
}

/// So many sessions at once, each running what `work` says for its number; what they did not expect fails the test.
fn race(
    stage: &Stage,
    n: usize,
    work: impl Fn(usize, &mut Session) -> Result<(), postgres::Error> + Sync,
) -> Outcome {
    let start = Barrier::new(n);
    let results: Vec<Result<(), postgres::Error>> = thread::scope(|scope| {
        let runs: Vec<_> = (0..n)
            .map(|i| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    let mut session = stage.alice();
                    start.wait();
                    work(i, &mut session)
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut outcome = Outcome::default();
    for result in results {
        let Err(error) = result else {
            outcome.admitted += 1;
            continue;
        };
        let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}")).clone();
        match error.code().code() {
            "53400" => {
                assert!(error.message().starts_with("budget_exceeded"), "{error:?}");
                assert!(error.hint().is_some_and(|h| h.contains("grant_credits")), "{error:?}");
                outcome.refused += 1;
            }
            "40001" => outcome.serialization += 1,
            _ => panic!("{error:?}"),
        }
    }
    outcome
}

/// Looks at a budget again and again while `work` runs; gives the most that was spent and held, and how often it looked.
fn watched<T>(stage: &Stage, scope: &str, work: impl FnOnce() -> T) -> (T, i64, usize) {
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let watcher = threads.spawn(|| {
            let mut session = stage.alice();
            let (mut most, mut looks) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let sum = session.text(&format!(
                    "SELECT trim_scale(spent + reserved) FROM image_gen.credits() WHERE scope = '{scope}'"
                ));
                most = most.max(micros(&sum));
                looks += 1;
            }
            (most, looks)
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let (most, looks) = watcher.join().unwrap();
        (result, most, looks)
    })
}

fn all_end(stage: &Stage) {
    let mut alice = stage.alice();
    let ids = alice.column("SELECT id FROM image_gen.jobs");
    alice.all_succeed(&ids);
}

#[test]
fn two_hundred_sessions_never_exceed_the_budget() {
    // N2, P5
    let stage = stage(&["bfl"], CONF);
    stage.admin().run("SELECT image_gen.set_budget('workspace', NULL, 0.45)");
    let ((outcome, ()), most, looks) = watched(&stage, "workspace", || {
        let outcome = race(&stage, 200, |i, session| {
            session.try_rows(&format!("SELECT image_gen.generate(prompt => 'race {i}', {PRO})")).map(|_| ())
        });
        (outcome, all_end(&stage))
    });
    println!("{outcome:?}, at most {most} of 450000 in {looks} looks");
    assert_eq!(outcome, Outcome { admitted: 11, refused: 189, serialization: 0 });
    assert!(most <= 450_000 && looks > 10, "{most} in {looks} looks");
    assert_eq!(credits(&mut stage.alice(), "workspace"), "0.44 0 0.01");
    let totals = stage.sim.totals().all;
    assert_eq!((totals.submits, totals.billed.to_string().as_str()), (11, "0.44"));
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn what_is_rolled_back_holds_nothing() {
    let stage = stage(&["bfl"], CONF);
    stage.admin().run("SELECT image_gen.set_budget('workspace', NULL, 0.45)");
    let (outcome, most, looks) = watched(&stage, "workspace", || {
        race(&stage, 200, |i, session| {
            session.run("BEGIN");
            let queued = session.try_rows(&format!("SELECT image_gen.generate(prompt => 'back {i}', {PRO})"));
            // Odd ones think better of it; even ones that were refused have nothing to commit.
            session.run(if i % 2 == 1 { "ROLLBACK" } else { "COMMIT" });
            queued.map(|_| ())
        })
    });
    println!("{outcome:?}, at most {most} of 450000 in {looks} looks");
    all_end(&stage);
    let kept = stage.admin().number("SELECT count(*) FROM image_gen.jobs");
    // All of the even ones that found room, and at the end there is none left.
    assert_eq!(kept, 11, "{outcome:?}");
    assert!(most <= 450_000, "{most}");
    assert_eq!(credits(&mut stage.alice(), "workspace"), "0.44 0 0.01");
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn repeatable_read_admits_no_more() {
    let stage = stage(&["bfl"], CONF);
    stage.admin().run("SELECT image_gen.set_budget('workspace', NULL, 0.45)");
    let (outcome, most, _) = watched(&stage, "workspace", || {
        race(&stage, 100, |i, session| {
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM image_gen.models LIMIT 1");
            session.try_rows(&format!("SELECT image_gen.generate(prompt => 'snapshot {i}', {PRO})"))?;
            session.try_rows("COMMIT").map(|_| ())
        })
    });
    println!("{outcome:?}, at most {most} of 450000");
    assert!((1..=11).contains(&outcome.admitted), "{outcome:?}");
    assert!(most <= 450_000, "{most}");
    all_end(&stage);
    assert_eq!(stage.sim.submits() as usize, outcome.admitted);
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn several_budgets_are_taken_without_a_deadlock() {
    let stage = stage(&["bfl"], CONF);
    let mut admin = stage.admin();
    // The order in which they are made is not that in which anybody meets them.
    admin.run(
        "SELECT image_gen.set_budget('campaign', 'b', 0.30); SELECT image_gen.set_budget('role', 'alice', 0.90, 'day');
         SELECT image_gen.set_budget('campaign', 'a', 0.30); SELECT image_gen.set_budget('workspace', NULL, 0.81);
         SELECT image_gen.set_budget('metadata:team', 'red', 5); SELECT image_gen.set_budget('role', 'alice', 9, '30 days')",
    );
    let (outcome, most, _) = watched(&stage, "workspace", || {
        race(&stage, 120, |i, session| {
            let one = |campaign: &str| {
                format!(
                    "SELECT image_gen.generate(prompt => 'several {i}', metadata => '{{\"campaign\": \"{campaign}\", \"team\": \"red\"}}', {PRO})"
                )
            };
            // Two in a transaction: the second takes budgets that come before those of the first, unless all are taken at once.
            match i % 4 {
                0 => session.try_rows(&one("a")).map(|_| ()),
                1 => session.try_rows(&one("b")).map(|_| ()),
                2 => session.try_rows(&one("none")).map(|_| ()),
                _ => session
                    .try_rows(&format!(
                        "SELECT image_gen.generate_batch('[{{\"shot\": \"x\", \"prompt\": \"b {i}\", \"metadata\": {{\"campaign\": \"b\"}}}},
                           {{\"shot\": \"y\", \"prompt\": \"a {i}\", \"metadata\": {{\"campaign\": \"a\"}}}}]', '{{\"model\": \"bfl:flux-1.1-pro\"}}')"
                    ))
                    .map(|_| ()),
            }
        })
    });
    println!("{outcome:?}, at most {most} of 810000");
    assert!(outcome.refused > 0 && outcome.serialization == 0, "{outcome:?}");
    assert!(most <= 810_000, "{most}");
    all_end(&stage);
    let jobs = admin.number("SELECT count(*) FROM image_gen.jobs");
    for (name, cap) in
        [("campaign:a", 300_000), ("campaign:b", 300_000), ("workspace", 810_000), ("role:alice", 900_000)]
    {
        let spent = admin.text(&format!(
            "SELECT trim_scale(max(spent + reserved)) FROM image_gen.credits() WHERE scope = '{name}'"
        ));
        assert!(micros(&spent) <= cap, "{name}: {spent}");
    }
    assert_eq!(stage.sim.submits() as i64, jobs);
    no_deadlock(&stage);
    check_all(&stage);
}

#[test]
fn the_same_key_reserves_once() {
    // Idempotency under a budget, one after the other and all at once.
    let stage = stage(&["bfl"], CONF);
    stage.sim.configure(&serde_json::json!({"render_seconds": 1.0}));
    let mut admin = stage.admin();
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let call = format!("SELECT id FROM image_gen.generate(prompt => 'once', idempotency_key => 'k', {PRO})");
    let outcome = race(&stage, 40, |_, session| session.try_rows(&call).map(|_| ()));
    assert_eq!(outcome, Outcome { admitted: 40, ..Outcome::default() });
    let shots = "[{\"shot\": \"x\", \"prompt\": \"x\"}, {\"shot\": \"y\", \"prompt\": \"y\"}]";
    let batch = format!(
        "SELECT id FROM image_gen.generate_batch('{shots}', '{{\"model\": \"bfl:flux-1.1-pro\"}}', max_cost => 0.2, idempotency_key => 'b')"
    );
    let outcome = race(&stage, 40, |_, session| session.try_rows(&batch).map(|_| ()));
    assert_eq!(outcome, Outcome { admitted: 40, ..Outcome::default() });
    let mut alice = stage.alice();
    let again = alice.column(&batch);
    assert_eq!(again, alice.column(&batch));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 3);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.budgets WHERE scope = 'batch'"), 1);
    assert_eq!(
        admin.text("SELECT trim_scale(spent + reserved) FROM image_gen.credits() WHERE scope = 'workspace'"),
        "0.12"
    );
    all_end(&stage);
    assert_eq!(credits(&mut alice, "workspace"), "0.12 0 0.88");
    assert_eq!(stage.sim.submits(), 3);
    no_deadlock(&stage);
    check_all(&stage);
}

//! What the worker gets done, and what becomes of it and of the queue in the long run: `make load`.
//!
//! Throughput is measured in pairs, a round of jobs here and a round there, in turn, so that what else the machine does
//! hits both. Images are previews of 16 x 16: nothing but the worker takes time. ROUNDS=n pairs (12); HISTORY=n finished
//! jobs (1,000,000). The soak sends SOAK=n jobs (100,000) through one worker, every tenth over HTTP, and fails when memory,
//! files or the queue grow. A 0 leaves a part out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be taken ends the program

use std::process::ExitCode;
use std::time::{Duration, Instant};

use image_gen_tests::sample::quantile;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, process, wait_until};
use serde_json::json;

/// Jobs of a round.
const ROUND: u64 = 1000;
/// Another session's snapshot is held at least so long, over all rounds of its comparison.
const HELD: Duration = secs(60);
/// A sample of the soak is taken after so many jobs.
const SAMPLE: u64 = 5000;

fn main() -> ExitCode {
    let (rounds, history, soak) =
        (number("ROUNDS", 12), number("HISTORY", 1_000_000), number("SOAK", 100_000));
    if rounds > 0 {
        throughput(rounds, history);
    }
    if soak == 0 || endures(soak) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn throughput(rounds: u64, history: u64) {
    let [plain, other] = [stage(), stage()];
    println!("jobs/s of one worker, {ROUND} jobs a round; the ratio is that of each pair of rounds");
    pairs("nothing else, twice", &plain, &other, rounds, Duration::ZERO);

    let mut foreign = other.admin();
    foreign.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM image_gen.jobs");
    pairs("beside a snapshot that stays open", &plain, &other, rounds, HELD);
    foreign.run("COMMIT");
    drop((foreign, other));

    if history > 0 {
        let full = stage();
        full.admin().run("ALTER TABLE image_gen.jobs SET (autovacuum_enabled = off); ALTER TABLE image_gen.attempts SET (autovacuum_enabled = off)");
        fill(&full, history);
        // The plans of a worker that has run before are as old as the worker.
        new_worker(&full);
        pairs(&format!("after {history} jobs, not analyzed"), &plain, &full, rounds, Duration::ZERO);
        full.admin().run("VACUUM ANALYZE");
        new_worker(&full);
        pairs(&format!("after {history} jobs, analyzed"), &plain, &full, rounds, Duration::ZERO);
    }
}

fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["max_wal_size = '4GB'", "checkpoint_timeout = '1h'"]));
    // Plans and connections are warm in any server that has run for a second.
    for _ in 0..3 {
        round(&stage);
    }
    stage
}

fn new_worker(stage: &Stage) {
    let old = stage.worker();
    stage.admin().run(&format!("SELECT pg_terminate_backend({old})"));
    wait_until("another worker", secs(30), || stage.worker() != old);
    round(stage);
}

/// Measures both in turn, for at least this long, and says how they compare.
fn pairs(what: &str, plain: &Stage, other: &Stage, rounds: u64, at_least: Duration) {
    let start = Instant::now();
    let (mut a, mut b, mut ratios) = (vec![], vec![], vec![]);
    while (ratios.len() as u64) < rounds || start.elapsed() < at_least {
        // The first of a pair is not always the same one.
        let (x, y) = if ratios.len().is_multiple_of(2) {
            let x = round(plain);
            (x, round(other))
        } else {
            let y = round(other);
            (round(plain), y)
        };
        a.push(x);
        b.push(y);
        ratios.push(y / x);
    }
    let (low, middle, high) = (quantile(&ratios, 0.25), quantile(&ratios, 0.5), quantile(&ratios, 0.75));
    println!(
        "{what:<36} {:>5.0} beside {:>5.0}   ratio {middle:.2} (quartiles {low:.2} to {high:.2}, {} pairs)",
        quantile(&b, 0.5),
        quantile(&a, 0.5),
        ratios.len()
    );
}

/// Jobs a second, from COMMIT to the end of the last one.
fn round(stage: &Stage) -> f64 {
    let mut alice = stage.alice();
    let last = queue(&mut alice, ROUND, "model => 'preview', width => 16, height => 16");
    let start = alice.text("SELECT extract(epoch FROM clock_timestamp())");
    all_done(stage);
    let end = alice.text(&format!(
        "SELECT extract(epoch FROM max(finished_at)) FROM image_gen.jobs WHERE seq > {last} - {ROUND}"
    ));
    ROUND as f64 / (end.parse::<f64>().unwrap() - start.parse::<f64>().unwrap())
}

/// Queues jobs in one transaction, and gives the number of the last one.
fn queue(alice: &mut Session, jobs: u64, arguments: &str) -> i64 {
    alice.run(&format!("SELECT count(g.id) FROM generate_series(1, {jobs}) n, LATERAL image_gen.generate('load ' || n, {arguments}) g"));
    alice.number("SELECT max(seq) FROM image_gen.jobs")
}

/// Waits until nothing is in the queue, looking seldom: a look walks over all that is dead there.
fn all_done(stage: &Stage) {
    let mut admin = stage.admin();
    while admin.truth("SELECT EXISTS (SELECT FROM image_gen_internal.queue)") {
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Finished jobs, each with one call.
fn fill(stage: &Stage, jobs: u64) {
    stage.admin().run(&format!(
        "SET synchronous_commit = off;
         INSERT INTO image_gen.jobs (id, operation, task, status, prompt, model, seed, metadata, parameters, owner, billed_cost, cost_source, created_at, finished_at)
         SELECT 'gen_00' || lpad(n::text, 24, '0'), 'generate', 'generate', 'succeeded', 'one of many, number ' || n, 'flux-1.1-pro', n,
                jsonb_build_object('campaign', 'c' || n % 100), '{{\"width\": 1024, \"height\": 1024}}', 'alice', 0.04, 'reported',
                now() - interval '30 days', now() - interval '30 days'
           FROM generate_series(1, {jobs}) n;
         INSERT INTO image_gen.attempts (job_id, number, provider, model, status, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch, created_at, finished_at)
         SELECT j.id, 1, 'bfl', j.model, 'succeeded', j.prompt, j.seed, true, 0.04, 'reported', j.owner, 0, j.created_at, j.finished_at
           FROM image_gen.jobs j WHERE j.id LIKE 'gen_00%'"
    ));
}

/// What is looked at while many jobs go through.
struct Sample {
    jobs: u64,
    resident: u64,
    private: u64,
    files: usize,
    queue: i64,
    wal: i64,
    rate: f64,
}

fn endures(jobs: u64) -> bool {
    let stage = Stage::with(Options::conf(&["max_wal_size = '1GB'", "autovacuum_naptime = '10s'"]));
    stage.sim.configure(&json!({"render_seconds": 0.0}));
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = NULL, requests_per_minute = NULL; UPDATE image_gen.models SET typical_seconds = 0.1");
    let (worker, mut alice, mut admin) = (stage.worker(), stage.alice(), stage.admin());
    println!("\n{jobs} jobs through one worker, every tenth over HTTP");
    println!(
        "{:>8} {:>10} {:>12} {:>6} {:>9} {:>9} {:>7}",
        "jobs", "RSS kB", "RssAnon kB", "files", "queue kB", "WAL B/job", "jobs/s"
    );
    let lsn = "SELECT pg_current_wal_lsn() - '0/0'";
    let mut samples: Vec<Sample> = vec![];
    let (mut done, mut wal) = (0, admin.number(lsn));
    while done < jobs {
        let (start, size) = (Instant::now(), SAMPLE.min(jobs - done));
        for part in 0..10 {
            let arguments = if part == 0 {
                "model => 'bfl:flux-1.1-pro', width => 256, height => 256"
            } else {
                "model => 'preview', width => 16, height => 16"
            };
            queue(&mut alice, size / 10, arguments);
        }
        // The queue as it is under load, before it is empty.
        let queue = admin.number("SELECT pg_total_relation_size('image_gen_internal.queue')");
        all_done(&stage);
        done += size;
        let now = admin.number(lsn);
        let (resident, private, files) = process::footprint(worker);
        let sample = Sample {
            jobs: done,
            resident,
            private,
            files,
            queue: queue / 1024,
            wal: (now - wal) / size as i64,
            rate: size as f64 / start.elapsed().as_secs_f64(),
        };
        println!(
            "{:>8} {:>10} {:>12} {:>6} {:>9} {:>9} {:>7.0}",
            sample.jobs, sample.resident, sample.private, sample.files, sample.queue, sample.wal, sample.rate
        );
        samples.push(sample);
        wal = now;
    }
    assert_eq!(stage.worker(), worker, "the worker was not restarted");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs WHERE status <> 'succeeded'"), 0);
    stage.check_money();
    judge(&samples)
}

/// Compares what comes after the first fifth with what it was by then.
fn judge(samples: &[Sample]) -> bool {
    let (warm, rest) = samples.split_at(samples.len().div_ceil(5));
    let highest = |part: &[Sample], of: fn(&Sample) -> u64| part.iter().map(of).max().unwrap_or(0);
    let mut good = true;
    let mut check = |what: &str, of: fn(&Sample) -> u64, room: fn(u64) -> u64| {
        let (before, after) = (highest(warm, of), highest(rest, of));
        let limit = before + room(before);
        let fine = after <= limit;
        println!(
            "{what:<12} {before:>8} → {after:>8}   at most {limit}: {}",
            if fine { "good" } else { "GROWS" }
        );
        good &= fine;
    };
    // A tenth, or 8 MB: what a heap breathes.
    check("RssAnon kB", |s| s.private, |before| (before / 10).max(8192));
    check("files", |s| s.files as u64, |_| 2);
    check("queue kB", |s| s.queue as u64, |_| 8192);
    good
}

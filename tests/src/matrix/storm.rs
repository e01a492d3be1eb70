//! Random kills while jobs run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::audit::{self, Report};
use super::field::{Field, KINDS, Manner};
use super::kill::Kill;
use super::reviews;

/// So many jobs are open at a time, as long as there are kills to come.
const OPEN: i64 = 30;
/// One job in so many kills the worker that brings it to one of these places.
const POISON: u32 = 25;
const POISONS: [[&str; 2]; 5] = [
    ["begin", "model => 'bfl:flux-1.1-pro', width => 256, height => 256"],
    ["poll", "model => 'bfl:flux-1.1-pro', width => 256, height => 256"],
    ["finish", "model => 'fal:flux-schnell', width => 512, height => 512"],
    ["flush_finish", "model => 'replicate:flux-schnell'"],
    ["finish", "model => 'preview:preview', width => 64, height => 64"],
];
/// In so long one job ends, when the killing is over.
const PATIENCE: Duration = Duration::from_secs(45);

/// This many random kills, on a server of its own. The same seed makes the same choices; when they strike is up to the machine.
///
/// # Panics
/// When the server does not come back.
pub fn play(kills: u64, seed: u64) -> Report {
    // Who is cut off is well again in a moment: a breaker would only make everybody wait.
    let field = Field::start(0.4, &["image_gen.breaker_failures = 0", "max_worker_processes = 12"]);
    let (stop, struck) = (AtomicBool::new(false), AtomicU64::new(0));
    let (known, poisons) = std::thread::scope(|scope| {
        let submitter = scope.spawn(|| submit(&field, seed, &stop));
        let mut random = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        while struck.load(Ordering::Relaxed) < kills {
            pick(&mut random).strike(&field);
            let n = struck.fetch_add(1, Ordering::Relaxed) + 1;
            if n.is_multiple_of(50) {
                println!("seed {seed}: {n} kills in {:.0?}", start.elapsed());
            }
            // At any moment: also while the next life begins.
            sleep(Duration::from_millis(random.random_range(0..700)));
        }
        stop.store(true, Ordering::Relaxed);
        submitter.join().expect("the submitter")
    });
    settle(&field);
    let mut report = Report { kills, ..audit::check(&field, &known) };
    judge(&field, &poisons, &mut report);
    report.violations.extend(reviews::decide(&field));
    report
}

/// Each job that kills its worker is out of the way after three deaths, and no other job is taken for one.
fn judge(field: &Field, poisons: &[String], report: &mut Report) {
    let mut admin = field.connect("postgres");
    let log = field.stage.cluster.log();
    let rows = admin.rows("SELECT id, status, coalesce(error_code, ''), error_message FROM image_gen.jobs");
    for row in &rows {
        let [id, status, code, message] = row.as_slice() else { unreachable!("four columns") };
        // (A life that was killed while it wrote this down has the next one say it again.)
        let said = |n: u32| log.contains(&format!("died with job {id} in hand ({n} times so far)"));
        let deaths = (1..10).filter(|n| said(*n)).count();
        if !poisons.contains(id) {
            report.innocent_deaths += deaths as u64;
            // A job that runs alone, and is in hand just when the storm kills the worker, cannot be told from a poison.
            if code == "worker_died" && last_death(&log, id) == Some("9") {
                report.condemned_by_kills += 1;
            } else if code == "worker_died" {
                report
                    .violations
                    .push(format!("{id} is taken for a poison after {deaths} deaths: {message}"));
            }
            continue;
        }
        report.poisons += 1;
        report.poison_deaths += deaths as u64;
        // Its fate may be unknown before its third death; a provider that has lost all it knew may not let it come that far; and
        // a review that another job waits for is closed.
        let out = matches!(
            (status.as_str(), code.as_str()),
            ("needs_review" | "failed", "worker_died" | "uncertain") | ("failed", "not_found")
        );
        if !out || deaths > 3 || code == "worker_died" && deaths != 3 {
            report.violations.push(format!("poison {id}: {status} {code} after {deaths} deaths"));
        }
    }
}

/// Waits until all jobs have ended. Those that have not are the audit's to find.
fn settle(field: &Field) {
    let mut admin = field.connect("postgres");
    let mut last = (0, Instant::now());
    loop {
        // Who waits for the image of a job that waits for a person, waits for that person.
        let rejected = admin.try_rows(
            "SELECT image_gen.resolve_review(j.id, 'reject') FROM image_gen.jobs j
              WHERE j.status = 'needs_review' AND j.id IN (SELECT w.needs FROM image_gen_internal.job_dependencies w)",
        );
        let open = "SELECT count(*) FROM image_gen.jobs WHERE status IN ('queued', 'running')";
        let open = rejected.and_then(|_| admin.try_rows(open));
        // The poisons kill on.
        let Ok(open) = open.map(|rows| rows[0][0].parse::<i64>().expect("a count")) else {
            admin = field.connect("postgres");
            continue;
        };
        if open == 0 {
            return;
        } else if open != last.0 {
            last = (open, Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            let worker = field.any_worker();
            let stuck = admin.try_rows(
                "SELECT q.*, (SELECT array_agg(w.needs || ' ' || coalesce(j.status, 'gone')) FROM image_gen_internal.job_dependencies w
                               LEFT JOIN image_gen.jobs j ON j.id = w.needs WHERE w.seq = q.seq)
                   FROM image_gen_internal.queue q ORDER BY q.seq",
            );
            println!("{open} jobs do not end; worker {worker:?}; {stuck:#?}");
            return;
        }
        sleep(Duration::from_millis(50));
    }
}

/// The signal of the crash after which this job had its third death.
fn last_death<'a>(log: &'a str, id: &str) -> Option<&'a str> {
    let before = &log[..log.find(&format!("died with job {id} in hand (3 "))?];
    let (_, signal) = before.rsplit_once("was terminated by signal ")?;
    signal.split(':').next()
}

fn pick(random: &mut StdRng) -> Kill {
    match random.random_range(0..100) {
        0..40 => Kill::Terminate,
        40..70 => Kill::Worker,
        70..80 => Kill::Immediate,
        80..90 => Kill::Postmaster,
        90..97 => Kill::Network,
        _ => Kill::Provider,
    }
}

/// Keeps the worker busy, and gives the ids of the jobs whose commit it has seen.
fn submit(field: &Field, seed: u64, stop: &AtomicBool) -> (Vec<String>, Vec<String>) {
    let mut random = StdRng::seed_from_u64(!seed);
    let (mut known, mut poisons) = (vec![], vec![]);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut alice = field.connect("alice");
        // Until the connection breaks.
        let lived: Result<(), postgres::Error> = (|| {
            while !stop.load(Ordering::Relaxed) {
                let open = "SELECT count(*) FROM image_gen.jobs WHERE status IN ('queued', 'running')";
                let open: i64 = alice.try_rows(open)?[0][0].parse().expect("a count");
                for _ in open..OPEN {
                    number += 1;
                    if random.random_range(0..POISON) == 0 {
                        // No process has it before it is one.
                        let [place, arguments] = POISONS[random.random_range(0..POISONS.len())];
                        let prompt = format!("[job {number:06}] poison");
                        alice.try_rows("BEGIN")?;
                        let call =
                            format!("SELECT id FROM image_gen.generate(prompt => '{prompt}', {arguments})");
                        let id = alice.try_rows(&call)?.swap_remove(0).swap_remove(0);
                        field.poison(place, &id);
                        poisons.push(id.clone());
                        alice.try_rows("COMMIT")?;
                        known.push(id);
                        continue;
                    }
                    let call = job(field, &mut random, number, known.last());
                    let id = alice
                        .try_rows(&format!("SELECT id FROM image_gen.{call}"))?
                        .swap_remove(0)
                        .swap_remove(0);
                    let canceled = random.random_range(0..40) == 0;
                    known.push(id.clone());
                    if canceled {
                        alice.try_rows(&format!("SELECT image_gen.cancel('{id}')"))?;
                    }
                }
                sleep(Duration::from_millis(20));
            }
            Ok(())
        })();
        // Only the kills end it.
        drop(lived);
    }
    (known, poisons)
}

/// A job of any kind, most of them without trouble of their own.
fn job(field: &Field, random: &mut StdRng, number: u64, before: Option<&String>) -> String {
    let kind = KINDS[random.random_range(0..KINDS.len())];
    let token = format!("[job {number:06}]");
    let prompt = match random.random_range(0..20) {
        0 if kind.refuses => format!("{token} a portrait, eyes closed"),
        1 => {
            field.sim().rule(json!({
                "phase": "submit", "prompt_contains": token, "times": 1,
                "fault": {"kind": "rate_limited", "retry_after": 1}
            }));
            format!("{token} a crowd")
        }
        _ => format!("{token} a cup"),
    };
    match before.filter(|_| kind.edits && random.random_range(0..4) == 0) {
        // It waits for the other, and has no image to begin with when that one has none.
        Some(other) => format!("edit('job:{other}', '{prompt}', {})", kind.model()),
        // In several calls where the model makes one image in each, in one where it makes more.
        None if kind.manner != Manner::Ours && random.random_range(0..5) == 0 => {
            format!("generate(prompt => '{prompt}', {}, n => 3)", kind.arguments)
        }
        None => format!("generate(prompt => '{prompt}', {})", kind.arguments),
    }
}

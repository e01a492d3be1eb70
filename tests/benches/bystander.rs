//! What another user of the server notices while a role does its worst with the arguments of its calls: `make bench`. Rounds
//! of pgbench on a quiet server, beside 500 hostile submissions, and beside a session that only computes, in turn: where processors
//! are few, any session that computes is noticed, so that one is what the others are held against.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be taken ends the program

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use image_gen_tests::hostile::{Call, calls};
use image_gen_tests::picture::{data_uri, photo};
use image_gen_tests::sample::quantile;
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, bindir, wait_until};

/// Rounds of each kind.
const ROUNDS: usize = 3;
/// Hostile submissions of a round.
const CALLS: usize = 504;
/// Seconds of a quiet round. A hostile one takes as long as its calls do, and at least so long.
const SECONDS: u64 = 15;
/// Transactions a second that the bystander makes: far from what the machine can do, so that what it waits for is others.
const RATE: u32 = 200;

fn main() {
    let stage = Stage::with(Options { fsync: true, ..Options::all_keys(&[]) });
    pgbench(&stage, &["--initialize", "--scale=5", "--quiet"]);
    let mut admin = stage.admin();
    let mut bob = stage.bob();
    let theirs = bob.generate("of bob alone");
    bob.all_succeed(std::slice::from_ref(&theirs));
    let made = calls(&mut admin, CALLS, &data_uri(&photo(64, 64, 7)), &[format!("job:{theirs}")]);

    // Caches are warm in any server that has run for a while.
    bystander(&stage, &AtomicBool::new(true));
    let (mut quiet, mut beside, mut computing) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        quiet.extend(bystander(&stage, &AtomicBool::new(true)));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| {
                submit(&stage, &made);
                over.store(true, Ordering::Relaxed);
            });
            beside.extend(bystander(&stage, &over));
            attack.join().expect("the attacker");
        });
        let open = "SELECT count(*) FROM image_gen.jobs WHERE status IN ('queued', 'running')";
        wait_until("all jobs end", secs(300), || admin.number(open) == 0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| compute(&stage, &over));
            computing.extend(bystander(&stage, &AtomicBool::new(true)));
            over.store(true, Ordering::Relaxed);
        });
    }
    let rows = [
        ("pgbench, quiet", &quiet),
        ("pgbench beside hostile submissions", &beside),
        ("pgbench beside a session that computes", &computing),
    ];
    for (what, times) in rows {
        println!(
            "{what:<40} p50 {:.3} ms   p99 {:.3} ms   n {}",
            quantile(times, 0.5),
            quantile(times, 0.99),
            times.len()
        );
    }
    for (what, times) in [("ratio of the p99, hostile", &beside), ("ratio of the p99, computing", &computing)]
    {
        println!("{what:<40} {:.2}", quantile(times, 0.99) / quantile(&quiet, 0.99));
    }
}

/// Keeps one processor busy, harmlessly.
fn compute(stage: &Stage, over: &AtomicBool) {
    let mut bob = stage.bob();
    while !over.load(Ordering::Relaxed) {
        bob.run("SELECT count(*) FROM generate_series(1, 300000)");
    }
}

/// Makes all calls, one after the other.
fn submit(stage: &Stage, made: &[Call]) {
    let mut alice = stage.alice();
    for Call { what, sql } in made {
        // Most end with an error, as they should; none ends the session.
        if let Err(e) = alice.try_rows(sql) {
            assert!(e.as_db_error().is_some(), "{what}: {e:?}");
        }
    }
}

/// The latencies of a round of the bystander's transactions, in milliseconds, and at least until `over`.
fn bystander(stage: &Stage, over: &AtomicBool) -> Vec<f64> {
    let folder = std::env::temp_dir().join(format!("image_gen_bystander_{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the logs");
    let prefix = format!("--log-prefix={}", folder.join("log").display());
    let (seconds, rate) = (format!("--time={SECONDS}"), format!("--rate={RATE}"));
    loop {
        let load = ["--no-vacuum", "--skip-some-updates", "--client=2", "--log", &prefix, &seconds, &rate];
        pgbench(stage, &load);
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    let mut times = vec![];
    for file in std::fs::read_dir(&folder).expect("the logs").flatten() {
        let log = std::fs::read_to_string(file.path()).expect("a log");
        // Client, number, microseconds since it was due, and more.
        let elapsed = |line: &str| line.split(' ').nth(2).and_then(|us| us.parse::<f64>().ok());
        times.extend(log.lines().filter_map(elapsed).map(|us| us / 1e3));
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    times
}

fn pgbench(stage: &Stage, arguments: &[&str]) {
    let mut command = Command::new(bindir().join("pgbench"));
    command.arg("--host").arg(stage.cluster.socket_folder()).args(["--username=postgres"]).args(arguments);
    let status = command.arg(DATABASE).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("pgbench, which comes with PostgreSQL").success(), "pgbench {arguments:?}");
}

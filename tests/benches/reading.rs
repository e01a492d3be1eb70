//! What reading takes beside a long history: `make reading`. HISTORY=n finished jobs of the last 90 days (1,000,000).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be taken ends the program

use std::time::{Duration, Instant};

use image_gen_tests::history;
use image_gen_tests::sample::quantile;
use image_gen_tests::{Options, Session, Stage};

/// What is read, and how long it may take, in milliseconds.
const READS: [(&str, f64); 10] = [
    ("recent(20)", 5.0),
    ("recent(20, campaign => 'campaign 35')", 5.0),
    ("recent(20, campaign => 'none')", 5.0),
    ("credits()", 5.0),
    ("provider_health", 20.0),
    ("cost_by_campaign", 50.0),
    ("cost_by_ticket", 50.0),
    ("cost_report(now() - interval '90 days')", 1000.0),
    ("cost_report(now() - interval '90 days', NULL, '{campaign,provider,model}')", 1000.0),
    ("cost_report(now() - interval '90 days', NULL, '{month,ticket}')", 1000.0),
];

fn main() {
    let jobs = std::env::var("HISTORY").map_or(1_000_000, |n| n.parse().expect("a number"));
    let stage = Stage::with(Options::conf(&["max_wal_size = '8GB'", "checkpoint_timeout = '1h'"]));
    let mut admin = stage.admin();
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1000000)");
    let start = Instant::now();
    history::fill(&mut admin, jobs, 90);
    println!("{jobs} finished jobs written in {:.0} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    while admin.truth("SELECT image_gen_internal.fold_spending(2000)") {}
    println!("folded in {:.0} s", start.elapsed().as_secs_f64());
    admin.run("VACUUM ANALYZE");
    for user in ["alice", "bob", "postgres"] {
        let mut session = stage.connect(user);
        println!("\nas {user}");
        for (read, aim) in READS {
            let (middle, rows) = timed(&mut session, read);
            let judged = if middle <= aim { "" } else { "  SLOW" };
            println!("{middle:>10.1} ms  (aim {aim:>4}) {rows:>6} rows  {read}{judged}");
        }
    }
}

/// The median of a few, in milliseconds, after one that warms the caches, and the number of rows.
fn timed(session: &mut Session, read: &str) -> (f64, usize) {
    let query = format!("SELECT * FROM image_gen.{read}");
    let rows = session.rows(&query).len();
    let mut times: Vec<Duration> = vec![];
    let begin = Instant::now();
    while times.len() < 9 && (times.len() < 3 || begin.elapsed() < Duration::from_secs(10)) {
        let start = Instant::now();
        session.rows(&query);
        times.push(start.elapsed());
    }
    (quantile(&times, 0.5).as_secs_f64() * 1e3, rows)
}

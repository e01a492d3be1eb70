//! What an attached table costs those who write to it, beside the same table that is not attached. Times are printed, counts are gates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::io::Write as _;
use std::time::Instant;

use image_gen_tests::{Cluster, Options, Session};

const ROWS: i64 = 10_000;
const ROUNDS: usize = 5;

fn main() {
    let conf = Options::conf(&["max_worker_processes = 0", "autovacuum = off", "max_wal_size = '4GB'"]);
    let cluster = Cluster::start(Options { preload: false, ..conf });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("CREATE EXTENSION image_gen; CREATE ROLE cms LOGIN; GRANT image_gen_user TO cms; GRANT CREATE ON SCHEMA public TO cms");
    let mut cms = cluster.connect("cms", "shop");
    for table in ["plain", "attached"] {
        cms.run(&format!(
            "CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text, body text, views integer DEFAULT 0, image_url text)"
        ));
    }
    cms.run("SELECT image_gen.attach('public.attached', template => 'editorial illustration for {title}', into_column => 'image_url')");
    let (mut copied, mut updated, mut single) = (Pair::default(), Pair::default(), Pair::default());
    for round in 0..=ROUNDS {
        for table in if round % 2 == 0 { ["plain", "attached"] } else { ["attached", "plain"] } {
            let before = admin.number("SELECT count(*) FROM image_gen.jobs");
            let took = timed(|| copy(&mut cms, table));
            let jobs = admin.number("SELECT count(*) FROM image_gen.jobs") - before;
            assert_eq!(jobs, if table == "attached" { ROWS } else { 0 }, "a job a row");
            // The first round fills the caches.
            let note = |pair: &mut Pair, took: f64| {
                if round > 0 {
                    pair.add(table, took)
                }
            };
            note(&mut copied, took);
            let update = format!("UPDATE {table} SET views = views + 1 WHERE id > {}", round as i64 * ROWS);
            note(&mut updated, timed(|| cms.run(&update)));
            // Without a client between them.
            let one = format!(
                "DO $$ BEGIN FOR i IN 1 .. 1000 LOOP UPDATE {table} SET views = views + 1 WHERE id = {}; END LOOP; END $$",
                round + 1
            );
            note(&mut single, timed(|| cms.run(&one)) * ROWS as f64 / 1000.0);
            assert_eq!(
                admin.number("SELECT count(*) FROM image_gen.jobs") - before,
                jobs,
                "nothing for such an update"
            );
        }
    }
    copied.print("COPY of 10,000 rows");
    updated.print("UPDATE of 10,000 rows that leaves the prompt alone");
    single.print("UPDATE of one row that leaves the prompt alone");
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn copy(cms: &mut Session, table: &str) {
    let mut copy = cms.copy_in(&format!("COPY {table} (title, body) FROM STDIN")).unwrap();
    (0..ROWS).for_each(|n| writeln!(copy, "article {n}\tlorem ipsum dolor sit amet").unwrap());
    copy.finish().unwrap();
}

/// Times of both, in seconds for 10,000 rows.
#[derive(Default)]
struct Pair {
    plain: Vec<f64>,
    attached: Vec<f64>,
}

impl Pair {
    fn add(&mut self, table: &str, took: f64) {
        if table == "plain" { self.plain.push(took) } else { self.attached.push(took) }
    }

    fn print(mut self, what: &str) {
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2] * 1e6 / ROWS as f64
        };
        let (plain, attached) = (median(&mut self.plain), median(&mut self.attached));
        println!(
            "{what}: {plain:.1} us a row, attached {attached:.1} us (+{:.1} us, x{:.3})",
            attached - plain,
            attached / plain
        );
    }
}

//! What a caller waits for, measured on a server that writes to disk, beside what the same machine's disk and a plain
//! INSERT take: `make bench`. Ratios travel between machines, milliseconds do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be taken ends the program

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use image_gen_tests::sample::quantile;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, eventually};

const SAMPLES: usize = 200;
const SMALL: &str = "width => 256, height => 256";

fn main() {
    let stage = Stage::with(Options { fsync: true, ..Options::default() });
    stage.admin().run("UPDATE image_gen.providers SET max_in_flight = NULL");
    stage.sim.configure(&serde_json::json!({"render_seconds": 0.2}));
    let mut alice = stage.alice();
    // Plans, connections and caches are warm in any server that has run for a second.
    latency(&stage, &mut alice, "warm", 50);

    report("fdatasync of 8 kB", fsync());
    report("COMMIT to first byte, idle", latency(&stage, &mut alice, "idle", SAMPLES));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| steady(&mut stage.bob(), &stop));
        report("COMMIT to first byte, at 100 jobs/s", latency(&stage, &mut alice, "busy", SAMPLES));
        stop.store(true, Ordering::Relaxed);
    });
    eventually("the queue is empty", secs(60), || {
        (stage.admin().number("SELECT count(*) FROM image_gen_internal.queue") == 0).then_some(())
    });

    enqueue(&stage, &mut alice);
    four_shots(&stage, &mut alice);
}

/// The times from the return of COMMIT to the arrival of the request's head at the provider.
fn latency(stage: &Stage, session: &mut Session, name: &str, samples: usize) -> Vec<Duration> {
    let mut committed = vec![];
    for n in 0..samples {
        session.generate_with(&format!("prompt => '{name} {n} end', {SMALL}"));
        committed.push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        std::thread::sleep(Duration::from_millis(15));
    }
    eventually("all are sent", secs(60), || {
        (stage.sim.submits_of(&format!("{name} ")).len() >= samples).then_some(())
    });
    let entries = stage.sim.submits_of(&format!("{name} "));
    let arrived = |n: usize| {
        let prompt = format!("{name} {n} end");
        let entry = entries.iter().find(|e| e["prompt"] == prompt.as_str()).expect("an entry in the ledger");
        Duration::from_micros(entry["at_us"].as_u64().unwrap())
    };
    committed.iter().enumerate().map(|(n, at)| arrived(n).saturating_sub(*at)).collect()
}

/// A hundred jobs a second.
fn steady(session: &mut Session, stop: &AtomicBool) {
    let start = Instant::now();
    for n in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        session.generate_with(&format!("prompt => 'load {n}', {SMALL}"));
        std::thread::sleep((start + Duration::from_millis(10) * n).saturating_duration_since(Instant::now()));
    }
}

fn fsync() -> Vec<Duration> {
    let path = std::env::temp_dir().join(format!("image_gen_bench_{}", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&[0; 8192]).unwrap();
    let one = |_| {
        let start = Instant::now();
        file.write_all_at(&[1; 8192], 0).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    let times = (0..SAMPLES).map(one).collect();
    std::fs::remove_file(path).unwrap();
    times
}

/// generate() beside an INSERT of one such row into a table like jobs, each in its own transaction, in turn.
fn enqueue(stage: &Stage, alice: &mut Session) {
    let mut admin = stage.admin();
    // No provider is called meanwhile: a model that draws itself, and a worker that takes one at a time.
    admin.run(
        "CREATE TABLE public.plain (LIKE image_gen.jobs INCLUDING ALL);
         GRANT ALL ON public.plain TO alice",
    );
    alice.generate_with(&format!("prompt => 'like this', model => 'preview', {SMALL}"));
    admin.run("ALTER SYSTEM SET image_gen.max_in_flight = 1");
    stage.cluster.reload();
    let (mut ours, mut plain) = (vec![], vec![]);
    for n in 0..500 {
        let start = Instant::now();
        alice
            .generate_with(&format!("prompt => 'queued {n}', model => 'preview', width => 16, height => 16"));
        ours.push(start.elapsed());
        let start = Instant::now();
        alice.run(&format!(
            "INSERT INTO public.plain (id, operation, task, prompt, model, seed, parameters, metadata, owner, warnings)
             VALUES ('gen_' || lpad({n}::text, 26, '0'), 'generate', 'generate', 'queued {n}', 'preview', 1, '{{\"n\": 1}}', '{{}}', 'alice', '[]')"
        ));
        plain.push(start.elapsed());
    }
    let (a, b) = (quantile(&ours, 0.5), quantile(&plain, 0.5));
    report("generate(), one a transaction", ours);
    report("a plain INSERT of such a row", plain);
    println!("{:<40} {:.2}", "ratio of the medians", a.as_secs_f64() / b.as_secs_f64());
    admin.run("ALTER SYSTEM RESET image_gen.max_in_flight");
    stage.cluster.reload();
}

/// Four renders of three seconds, one after the other and side by side.
fn four_shots(stage: &Stage, alice: &mut Session) {
    stage.sim.configure(&serde_json::json!({"render_seconds": 3.0}));
    stage.admin().run(
        "UPDATE image_gen.models SET typical_seconds = 3; DELETE FROM image_gen_internal.render_estimates",
    );
    let shot = |n: usize, round: &str| format!("prompt => '{round} {n}', {SMALL}");
    let start = Instant::now();
    for n in 0..4 {
        let id = alice.generate_with(&shot(n, "serial"));
        alice.all_succeed(&[id]);
    }
    let serial = start.elapsed();
    let start = Instant::now();
    let ids: Vec<String> = (0..4).map(|n| alice.generate_with(&shot(n, "parallel"))).collect();
    alice.all_succeed(&ids);
    let parallel = start.elapsed();
    println!("{:<40} {:.2} s", "four renders of 3 s, one by one", serial.as_secs_f64());
    println!("{:<40} {:.2} s", "four renders of 3 s, queued together", parallel.as_secs_f64());
    println!("{:<40} {:.2}", "ratio", serial.as_secs_f64() / parallel.as_secs_f64());
}

fn report(what: &str, times: Vec<Duration>) {
    let ms = |q| quantile(&times, q).as_secs_f64() * 1e3;
    println!("{what:<40} p50 {:.3} ms   p99 {:.3} ms   n {}", ms(0.5), ms(0.99), times.len());
}

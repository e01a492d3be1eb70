//! The threads of the server's processes: only the worker has more than one, and Postgres never meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use image_gen_tests::Stage;
use image_gen_tests::process::children;

/// The threads of a process: id, and which signals are blocked. A process or thread that ends while it is looked at has none.
fn threads(pid: i32) -> Vec<(i32, u64)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned();
            Some((id, u64::from_str_radix(&blocked, 16).ok()?))
        })
        .collect()
}

#[test]
fn only_the_worker_has_a_second_thread() {
    // worker failure mode 30: the postmaster forks, and sessions do; a thread would be lost in that, with its locks.
    let stage = Stage::start();
    stage.sentinel();
    let mut alice = stage.alice();
    alice.generate("in this session");
    let (session, worker) = (alice.pid(), stage.worker());
    let postmaster = stage.cluster.postmaster_pid();
    assert_eq!(threads(postmaster).len(), 1);
    assert_eq!(threads(session).len(), 1);
    for process in children(postmaster).into_iter().filter(|pid| *pid != worker && *pid != session) {
        assert!(threads(process).len() <= 1, "process {process}");
    }
    assert!(threads(worker).len() >= 2);
}

#[test]
fn signals_are_handled_on_the_main_thread_only() {
    // worker failure mode 29: also of the threads that look up names and decode images.
    const HANDLED: [u32; 5] = [1, 2, 3, 10, 15]; // HUP, INT, QUIT, USR1, TERM
    let stage = Stage::start();
    // An inline image is decoded on a thread of its own.
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'inline', model => 'gpt-image'");
    alice.all_succeed(&[id]);
    let worker = stage.worker();
    let all = threads(worker);
    for (thread, blocked) in &all {
        let blocks = |signal: &u32| blocked & (1 << (signal - 1)) != 0;
        let (some, every) = (HANDLED.iter().any(blocks), HANDLED.iter().all(blocks));
        assert_eq!((some, every), (*thread != worker, *thread != worker), "thread {thread} of {worker}");
    }
    println!("threads of the worker: {}", all.len());
    assert!(all.len() >= 3, "{all:?}");
}

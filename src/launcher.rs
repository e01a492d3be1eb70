//! The process that keeps one worker for each database that has the extension.
//!
//! It sees only the shared catalogs, so it cannot know where the extension is: it starts a worker in every database
//! once, and the worker ends at once where the extension is absent. After that it acts when it is told: CREATE
//! EXTENSION committed, or a worker ended.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, DynamicBackgroundWorker, SignalWakeFlags};
use pgrx::prelude::*;

use crate::shared::{self, Slot};

/// Shown as `backend_type` in `pg_stat_activity`; `worker_status` looks for it.
const WORKER_TYPE: &str = "image_gen worker";
/// A worker that lived this long was well: its successor starts at once.
const WELL: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often it looks for databases whose worker ended without its knowledge (when it was restarted itself), and for those
/// that can be connected to again.
const LOOK_AROUND: Duration = Duration::from_secs(60);

/// Registers the launcher; in the postmaster, while libraries are preloaded.
pub fn register() {
    BackgroundWorkerBuilder::new("image_gen launcher")
        .set_type("image_gen launcher")
        .set_library("image_gen")
        .set_function("image_gen_launcher_main")
        .enable_spi_access()
        .set_restart_time(Some(Duration::from_secs(5)))
        .load();
}

fn worker(database: pg_sys::Oid) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(WORKER_TYPE)
        .set_type(WORKER_TYPE)
        .set_library("image_gen")
        .set_function("image_gen_worker_main")
        .enable_spi_access()
        .set_argument(Some(pg_sys::Datum::from(database)))
}

/// Starts the worker of this session's database. Called right after COMMIT, so it does not raise.
pub fn start_worker_here() {
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    match shared::get() {
        Some(shared) => {
            // A worker of an extension that was dropped just before finds out, and makes place for the next.
            if let Some(slot) = shared.slot(database) {
                slot.wake(shared::WORK, 1);
            }
            shared.ask_for_worker(database);
        }
        // Without the launcher, the postmaster restarts it. When all worker slots are taken nothing starts, and
        // worker_status says so.
        None => drop(worker(database).set_restart_time(Some(Duration::from_secs(5))).load_dynamic()),
    }
}

/// What the launcher knows about the worker of one database.
#[derive(Default)]
struct WorkerEntry {
    worker: Option<DynamicBackgroundWorker>,
    started: Option<Instant>,
    failures: u32,
    /// The last one left no word, and another is to find out why.
    looks_again: bool,
    /// When to start it next.
    due: Option<Instant>,
}

impl WorkerEntry {
    fn start(&mut self, database: pg_sys::Oid) {
        // SAFETY: this process's own pid.
        let me = unsafe { pg_sys::MyProcPid };
        self.due = None;
        match worker(database).set_notify_pid(me).load_dynamic() {
            Ok(worker) => {
                self.worker = Some(worker);
                self.started = Some(Instant::now());
            }
            Err(_) => {
                if self.failures == 0 {
                    let pause = FIRST_PAUSE.as_secs();
                    log!(
                        "image_gen: all worker processes are in use (max_worker_processes); trying again, first after {pause} s"
                    );
                }
                self.wait_longer();
            }
        }
    }

    fn wait_longer(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.due = Some(Instant::now() + pause);
    }

    fn has_ended(&self) -> bool {
        use pgrx::bgworkers::BackgroundWorkerStatus::Stopped;
        self.worker.as_ref().is_some_and(|w| matches!(w.pid(), Err(Stopped)))
    }
}

/// The launcher.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_launcher_main(_arg: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // SAFETY: once, at the start; no database: only the shared catalogs can be read.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
    let Some(shared) = shared::get() else { return };
    shared.launcher_is_me();

    let mut entries: HashMap<pg_sys::Oid, WorkerEntry> = HashMap::new();
    let mut known = HashSet::new();
    let mut look_around = Instant::now();
    loop {
        if look_around <= Instant::now() {
            look_around = Instant::now() + LOOK_AROUND;
            // Those that could be connected to before have a worker, or nothing to do for one.
            let found: HashSet<pg_sys::Oid> = databases().into_iter().collect();
            for database in found.difference(&known) {
                let entry = entries.entry(*database).or_default();
                if entry.worker.is_none() {
                    entry.due = Some(Instant::now());
                }
            }
            known = found;
        }
        while let Some(database) = shared.take_request() {
            let entry = entries.entry(database).or_default();
            // Where there is no room, each commit of a job asks again: the pause holds.
            if entry.worker.is_none() && (entry.due.is_none() || entry.looks_again) {
                entry.due = Some(Instant::now());
            }
        }
        for database in shared.orphans() {
            let entry = entries.entry(database).or_default();
            if entry.worker.is_none() && entry.due.is_none() {
                entry.due = Some(Instant::now());
            }
        }
        entries.retain(|database, entry| {
            if entry.has_ended() {
                entry.worker = None;
                // A worker that finds no extension gives its slot back, and one that found no slot leaves it at that; one
                // that ended otherwise is missed.
                let slot = shared.slot(*database);
                // One that was ended before it came so far leaves no word either: another looks again.
                if slot.is_none() && shared.has_room() {
                    entry.due = Some(Instant::now() + FIRST_PAUSE);
                    entry.looks_again = !entry.looks_again;
                    return entry.looks_again;
                }
                entry.looks_again = false;
                // The brake is for workers that fail, not for those that are sent away.
                let dismissed = slot.is_some_and(Slot::was_dismissed);
                if dismissed || entry.started.is_some_and(|at| at.elapsed() >= WELL) {
                    entry.failures = 0;
                }
                match entry.failures {
                    0 => {
                        entry.failures = 1;
                        entry.due = Some(Instant::now());
                    }
                    _ => entry.wait_longer(),
                }
            }
            if entry.due.is_some_and(|due| due <= Instant::now()) {
                // Dropped, or made a template meanwhile: its slot is free for another.
                if !databases().contains(database) {
                    if let Some(slot) = shared.slot(*database) {
                        slot.leave(true);
                    }
                    known.remove(database);
                    crate::worker::forget(*database);
                    return false;
                }
                entry.start(*database);
            }
            true
        });
        let next = entries.values().filter_map(|w| w.due).min();
        let next = next.map_or(look_around, |due| due.min(look_around));
        let pause = next.saturating_duration_since(Instant::now());
        if !BackgroundWorker::wait_latch(Some(pause.max(Duration::from_millis(1)))) {
            // Ends with 1 so that the postmaster starts it again, unless the server is shutting down.
            // SAFETY: the normal end of a background worker.
            unsafe { pg_sys::proc_exit(1) };
        }
        if BackgroundWorker::sighup_received() {
            // SAFETY: on the main thread, outside a transaction.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        }
    }
}

/// All databases that can be connected to and are no templates.
fn databases() -> Vec<pg_sys::Oid> {
    let mut found = vec![];
    // SAFETY: a scan of a shared catalog in a transaction of its own, as the autovacuum launcher does it; the
    // struct is read while the tuple is the scan's current one.
    unsafe {
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as _);
        let scan = pg_sys::table_beginscan_catalog(catalog, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if (*row).datallowconn && !(*row).datistemplate {
                found.push((*row).oid);
            }
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(catalog, pg_sys::AccessShareLock as _);
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
    }
    found
}

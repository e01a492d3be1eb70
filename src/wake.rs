//! The signal from a committing session to the worker, and back.
//!
//! One permanent transaction callback and two session-local numbers: `wake()` remembers the lowest seq that this
//! transaction queued, and COMMIT tells the worker. No NOTIFY (it serialises all commits of the cluster), no lock.

use std::cell::Cell;
use std::ffi::c_void;
use std::time::Instant;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::session;
use crate::shared::{self, CALLBACKS, CANCEL, CATALOGUE, COPIES, RECONCILE, WEBHOOKS, WORK};

/// What this transaction has to tell at COMMIT.
#[derive(Clone, Copy)]
struct Pending {
    bits: u32,
    min_seq: i64,
    start_worker: bool,
    /// The worker's pid, where there is no shared memory to find it in.
    pid: i32,
}

const NOTHING: Pending = Pending { bits: 0, min_seq: i64::MAX, start_worker: false, pid: 0 };

thread_local! {
    static PENDING: Cell<Pending> = const { Cell::new(NOTHING) };
}

/// Registers the callback, once in the life of a process.
pub fn register() {
    // SAFETY: a static function, never unregistered.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

/// Runs at the end of every transaction. After COMMIT nothing may fail here: it neither allocates nor raises.
#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    // Not in the install script: CREATE EXTENSION keeps notices of its script to itself.
    if event == XACT_EVENT_PRE_COMMIT && PENDING.get().start_worker && shared::get().is_none() {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            "image_gen is not in shared_preload_libraries: its worker runs until the server is restarted",
            "image_gen",
        )
        .set_hint("Add image_gen to shared_preload_libraries and restart, then a worker is always there.")
        .report(PgLogLevel::NOTICE);
    }
    // PREPARE forgets as ABORT does: COMMIT PREPARED runs elsewhere, and the rescan finds those jobs.
    if !matches!(
        event,
        XACT_EVENT_COMMIT
            | XACT_EVENT_PARALLEL_COMMIT
            | XACT_EVENT_ABORT
            | XACT_EVENT_PARALLEL_ABORT
            | XACT_EVENT_PREPARE
    ) {
        return;
    }
    let pending = PENDING.replace(NOTHING);
    if !matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_PARALLEL_COMMIT) {
        return;
    }
    if pending.bits != 0 {
        tell(pending);
    }
    if pending.start_worker {
        crate::launcher::start_worker_here();
    }
}

fn tell(pending: Pending) {
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    match shared::get() {
        Some(shared) => match shared.slot(database) {
            Some(slot) => {
                slot.wake(pending.bits, pending.min_seq);
                if pending.bits & CANCEL != 0 {
                    // A job may have ended right here: others may wait for it.
                    slot.complete();
                }
            }
            // A database that was copied from a template with the extension in it has no worker yet.
            None => shared.ask_for_worker(database),
        },
        None if pending.pid != 0 => {
            // SAFETY: the process is looked up under a lock; a latch in PGPROC outlives its process.
            unsafe {
                let process = pg_sys::BackendPidGetProc(pending.pid);
                if !process.is_null() {
                    pg_sys::SetLatch(&raw mut (*process).procLatch);
                }
            }
        }
        None => {}
    }
}

/// Remembers that this transaction queued the job `seq`, or (NULL) canceled one: the worker is told at COMMIT.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn wake(seq: Option<i64>) {
    let mut pending = PENDING.get();
    pending.bits |= if seq.is_some() { WORK } else { CANCEL };
    pending.min_seq = pending.min_seq.min(seq.unwrap_or(i64::MAX));
    if shared::get().is_none() && pending.pid == 0 {
        let pid = Spi::connect(|client| {
            client
                .select("SELECT w.pid FROM image_gen_internal.worker_state w", Some(1), &[])?
                .first()
                .get_one::<i32>()
        });
        pending.pid = pid.ok().flatten().unwrap_or(0);
    }
    PENDING.set(pending);
}

/// Tells the worker at COMMIT that something else has happened: `reconcile`, jobs may have lost their row in the queue;
/// `callbacks`, one may be due; `webhooks`, a message may be; `copies`, an image may have to be copied.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn tell_worker(what: &str) {
    let mut pending = PENDING.get();
    pending.bits |= match what {
        "reconcile" => RECONCILE,
        "callbacks" => CALLBACKS,
        "webhooks" => WEBHOOKS,
        "copies" => COPIES,
        _ => 0,
    };
    PENDING.set(pending);
}

/// Tells the worker at COMMIT that the catalogue was changed: jobs that wait for a provider's limits may go on.
pub fn catalogue_changed() {
    let pending = PENDING.get();
    PENDING.set(Pending { bits: pending.bits | CATALOGUE, ..pending });
}

/// Starts this database's worker at COMMIT; called by the install script.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn start_worker() {
    PENDING.set(Pending { start_worker: true, ..PENDING.get() });
}

/// True when this transaction itself queued a job of that seq or an earlier one.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn is_uncommitted(seq: i64) -> bool {
    PENDING.get().min_seq <= seq
}

/// True when the process of that pid is this database's worker. (pg_stat_activity does not tell that to every role.)
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn is_worker(pid: Option<i32>) -> bool {
    let Some(pid) = pid else { return false };
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    match shared::get() {
        Some(shared) => shared.slot(database).is_some_and(|slot| slot.pid() == pid),
        // SAFETY: looked up under a lock; a process's entry outlives it.
        None => unsafe {
            let process = pg_sys::BackendPidGetProc(pid);
            !process.is_null() && (*process).databaseId == database
        },
    }
}

/// Whether this database has no worker, and this transaction does not start one. Without shared memory it is asked after [`wake`],
/// which finds out who the worker is.
pub fn worker_is_missing() -> bool {
    let pending = PENDING.get();
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    let runs = match shared::get() {
        Some(shared) => shared.slot(database).is_some_and(|slot| slot.pid() != 0),
        None => is_worker(Some(pending.pid)),
    };
    !runs && !pending.start_worker
}

/// Asks this database's worker for a sign of life and waits for it, so many seconds at most: after how many it came; NULL when it did
/// not come, or cannot be asked because there is no shared memory.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn worker_answers(seconds: f64) -> Option<f64> {
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    let slot = shared::get()?.slot(database).filter(|slot| slot.pid() != 0)?;
    let (begun, number) = (Instant::now(), slot.ask_for_sign());
    while slot.last_sign() < number {
        if begun.elapsed().as_secs_f64() >= seconds || slot.pid() == 0 {
            return None;
        }
        session::pause(SIGN_STEP_MS);
    }
    Some(begun.elapsed().as_secs_f64())
}

/// Between two looks whether the worker has given its sign.
const SIGN_STEP_MS: i64 = 5;

/// A counter that moves whenever the worker has finished jobs of this database.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn completions() -> i64 {
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    shared::get().and_then(|s| s.slot(database)).map_or(0, |slot| slot.completions() as i64)
}

/// Sleeps until the counter has moved on from `seen`, or for `seconds`. Can be cancelled like any statement.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn await_completion(seen: i64, seconds: f64) {
    // Looked at again every minute in any case: a worker that dies does not say goodbye.
    let ms = (seconds.clamp(0.0, 60.0) * 1000.0) as i64;
    if ms == 0 {
        return;
    }
    // SAFETY: set when the session connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    match shared::get().and_then(|s| s.slot(database)) {
        Some(slot) => slot.await_completion(seen as u64, ms),
        None => session::pause(ms.min(100)),
    }
}

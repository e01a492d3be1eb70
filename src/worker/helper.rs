//! A process beside the worker for what must not hold it up: started when there is something to do, ended by itself when there
//! has been nothing for some seconds.

use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use pgrx::prelude::*;

/// Between two starts of it.
const BETWEEN: Duration = Duration::from_secs(1);
/// What a process is told so shortly before it ends, it may not have seen.
const UNSEEN: Duration = Duration::from_secs(3);
/// While there is no place for another process.
const NO_PLACE: Duration = Duration::from_secs(60);

/// The process, as the worker sees it.
pub struct Helper {
    /// Shown as `backend_type` in `pg_stat_activity`.
    name: &'static str,
    function: &'static str,
    process: Option<DynamicBackgroundWorker>,
    /// There may be something to do.
    wanted: bool,
    /// When it was last started or woken.
    told: Instant,
    not_before: Instant,
}

impl Helper {
    /// None runs.
    pub fn new(name: &'static str, function: &'static str, now: Instant) -> Self {
        Helper { name, function, process: None, wanted: false, told: now, not_before: now }
    }

    /// There may be something to do.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// When to look after the process again.
    pub fn due(&self) -> Option<Instant> {
        (self.wanted && self.process.is_none()).then_some(self.not_before)
    }

    /// Starts the process, or wakes it, where there may be something to do.
    pub fn tend(&mut self, now: Instant) {
        match self.process.as_ref().map(DynamicBackgroundWorker::pid) {
            Some(Ok(pid)) if self.wanted => {
                self.wanted = false;
                self.told = now;
                // SAFETY: the process is looked up under a lock; a latch in PGPROC outlives its process.
                unsafe {
                    let process = pg_sys::BackendPidGetProc(pid);
                    if !process.is_null() {
                        pg_sys::SetLatch(&raw mut (*process).procLatch);
                    }
                }
            }
            Some(Err(BackgroundWorkerStatus::Stopped)) => {
                self.process = None;
                // What came while it was ending is found by the next one; one that has ended for want of work is not followed by another.
                self.wanted |= now.saturating_duration_since(self.told) < UNSEEN;
                self.not_before = now + BETWEEN;
            }
            _ => {}
        }
        if self.process.is_none() && self.wanted && now >= self.not_before {
            self.start(now);
        }
    }

    fn start(&mut self, now: Instant) {
        // SAFETY: set when the process connected.
        let (database, me) = unsafe { (pg_sys::MyDatabaseId, pg_sys::MyProcPid) };
        let process = BackgroundWorkerBuilder::new(self.name)
            .set_type(self.name)
            .set_library("image_gen")
            .set_function(self.function)
            .enable_spi_access()
            .set_argument(Some(pg_sys::Datum::from(database)))
            .set_notify_pid(me)
            .load_dynamic();
        match process {
            Ok(process) => {
                self.process = Some(process);
                self.told = now;
                self.wanted = false;
            }
            Err(_) => {
                log!(
                    "image_gen: no place for the process {} (max_worker_processes); trying again",
                    self.name
                );
                self.not_before = now + NO_PLACE;
            }
        }
    }
}

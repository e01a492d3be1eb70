//! How a session waits: on its latch, so that it can be canceled.
//!
//! No library of ours may run Postgres's signal handlers, and a session must be able to stop waiting for a network: such work is
//! done by a thread of its own with all signals blocked.

use std::sync::mpsc::{TryRecvError, channel};

use pgrx::prelude::*;

use crate::worker::SignalMask;

/// Between two looks whether the thread has ended. (It cannot set a latch.)
const STEP_MS: i64 = 5;

/// Sleeps for so long, or shorter; an interrupt ends the statement.
pub fn pause(ms: i64) {
    // SAFETY: this session's own latch, on its main thread.
    unsafe {
        let events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32;
        pg_sys::WaitLatch(pg_sys::MyLatch, events, ms as _, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        pg_sys::check_for_interrupts!();
    }
}

/// Does the work in a thread of its own, and gives what it comes to. A session that is canceled does not wait for its end.
pub fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, result) = channel();
    let all = SignalMask::block_all();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        // A session that has given up hears nothing.
        let _ = done.send(work());
    });
    drop(all);
    thread.map_err(|e| e.to_string())?;
    loop {
        match result.try_recv() {
            Ok(worked) => return worked,
            Err(TryRecvError::Disconnected) => return Err("it ended without a word".into()),
            Err(TryRecvError::Empty) => pause(STEP_MS),
        }
    }
}

//! How the main thread sleeps: on its latch, the network thread's event and a timeout, while the postmaster lives.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use pgrx::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

/// A wait event set, and the event that the network thread raises.
pub struct WaitSet {
    set: *mut pg_sys::WaitEventSet,
    event: Arc<OwnedFd>,
}

/// Raises the wait_set's event, from any thread. (Another thread must never set a Postgres latch.)
#[derive(Clone)]
pub struct WakeHandle(Arc<OwnedFd>);

impl WakeHandle {
    /// Wakes the main thread.
    pub fn wake(&self) {
        // The only possible error is a counter that is full: then it is awake already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl WaitSet {
    /// Creates the set. Without an event there can be no worker, so a failure is an ERROR.
    pub fn new() -> Self {
        let event = match eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC) {
            Ok(event) => Arc::new(event),
            Err(why) => error!("image_gen: no eventfd: {why}"),
        };
        // SAFETY: the set lives as long as the process; the descriptor is kept open by `event`.
        let set = unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let set = pg_sys::CreateWaitEventSet(pg_sys::TopMemoryContext, 3);
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            let set = pg_sys::CreateWaitEventSet(std::ptr::null_mut(), 3);
            let nothing = std::ptr::null_mut();
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_LATCH_SET, -1, pg_sys::MyLatch, nothing);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_EXIT_ON_PM_DEATH, -1, std::ptr::null_mut(), nothing);
            pg_sys::AddWaitEventToSet(
                set,
                pg_sys::WL_SOCKET_READABLE,
                event.as_raw_fd(),
                std::ptr::null_mut(),
                nothing,
            );
            set
        };
        WaitSet { set, event }
    }

    /// The other end of the event.
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle(self.event.clone())
    }

    /// Sleeps at most this long, then handles interrupts: other sessions' barriers are answered here.
    pub fn sleep(&self, at_most: Duration) {
        // Rounded up: a timer that is due in half a millisecond must not become a busy loop.
        let ms = at_most.as_micros().div_ceil(1000).min(i32::MAX as u128) as i64;
        // SAFETY: on the main thread, with a set of three events.
        unsafe {
            let mut events: [pg_sys::WaitEvent; 3] = std::mem::zeroed();
            pg_sys::WaitEventSetWait(self.set, ms as _, events.as_mut_ptr(), 3, pg_sys::PG_WAIT_EXTENSION);
            pg_sys::ResetLatch(pg_sys::MyLatch);
            // pg_cancel_backend has nothing to cancel here.
            super::process::forget_pending_cancel();
            pg_sys::check_for_interrupts!();
        }
        let mut counter = [0_u8; 8];
        // Nothing to read means that the latch or the timeout ended the sleep.
        let _ = rustix::io::read(&*self.event, &mut counter);
    }
}

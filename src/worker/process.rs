//! The worker as a process: signals, settings that must not come from outside, the end.

use std::ffi::{CString, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::prelude::*;

use super::End;
use crate::shared::{self, Slot};

static STOP: AtomicBool = AtomicBool::new(false);
/// True while a transaction is open: a SIGTERM then interrupts it, because it may wait for a lock.
pub static IN_TRANSACTION: AtomicBool = AtomicBool::new(false);

mod raw {
    //! Postgres's own function without pgrx's guard, which must not run in a signal handler.
    unsafe extern "C-unwind" {
        pub fn SetLatch(latch: *mut pgrx::pg_sys::Latch);
        pub fn enable_timeout_after(id: std::ffi::c_int, delay_ms: std::ffi::c_int);
        pub fn disable_timeout(id: std::ffi::c_int, keep_indicator: bool);
        pub fn die(signal: std::ffi::c_int);
    }
}

/// SIGTERM: the loop ends in order. A transaction that is open is cancelled, because it may wait for a lock: it is rolled
/// back, and the loop goes on to its end with nothing lost.
unsafe extern "C-unwind" fn on_sigterm(_signal: c_int) {
    STOP.store(true, Ordering::SeqCst);
    // SAFETY: what Postgres's own handler for a cancel does.
    unsafe {
        if IN_TRANSACTION.load(Ordering::SeqCst) {
            (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
            (&raw mut pg_sys::InterruptPending).write_volatile(1);
        }
        raw::SetLatch(pg_sys::MyLatch);
    }
}

/// SIGQUIT: another process of the server has crashed, or the server is stopped at once. As Postgres's own handler does, the
/// process ends here and now; what it has in hand is not to blame for that.
unsafe extern "C-unwind" fn on_sigquit(_signal: c_int) {
    super::trace::ends_in_order();
    // SAFETY: what may be called in a signal handler, and does not return.
    unsafe { libc::_exit(2) };
}

/// Installs the handlers and unblocks signals.
pub fn install_signal_handlers() {
    // SAFETY: before signals are unblocked, on the main thread.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(pg_sys::SIGTERM as c_int, Some(on_sigterm));
        pqsignal(pg_sys::SIGQUIT as c_int, Some(on_sigquit));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
}

/// For a process without a loop of its own to end in order: SIGTERM ends it at the next place where it can be interrupted.
pub fn die_on_sigterm() {
    // SAFETY: before signals are unblocked, on the main thread; Postgres's own handler.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(pg_sys::SIGTERM as c_int, Some(raw::die));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
}

/// Ends the process with a SIGTERM, unless it is dropped in time.
pub struct Deadline(Option<libc::timer_t>);

impl Deadline {
    /// From now on.
    pub fn start(after: std::time::Duration) -> Self {
        // SAFETY: a timer of this process, which is deleted when this is dropped.
        unsafe {
            let mut timer: libc::timer_t = std::ptr::null_mut();
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGTERM;
            if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) != 0 {
                return Deadline(None);
            }
            let mut once: libc::itimerspec = std::mem::zeroed();
            once.it_value.tv_sec = after.as_secs() as _;
            once.it_value.tv_nsec = after.subsec_nanos() as _;
            libc::timer_settime(timer, 0, &once, std::ptr::null_mut());
            Deadline(Some(timer))
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(timer) = self.0 {
            // SAFETY: made by `start`, and deleted once.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

/// True after SIGTERM.
pub fn must_stop() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// True once after each SIGHUP.
pub fn must_reload() -> bool {
    BackgroundWorker::sighup_received()
}

/// A cancel that came too late for its transaction: outside of one it would end the process.
pub fn forget_pending_cancel() {
    // SAFETY: a flag of this process, on the main thread.
    unsafe { (&raw mut pg_sys::QueryCancelPending).write_volatile(0) };
}

/// Cancels what runs in this transaction when it takes too long: Postgres arms this for sessions only.
pub struct StatementTimeout;

/// Its place in Postgres's `enum TimeoutId`, the same in all versions that are supported.
const STATEMENT_TIMEOUT: c_int = 3;

impl StatementTimeout {
    /// From now on, until it is dropped.
    pub fn start(ms: i32) -> Self {
        // SAFETY: the timeout is registered for every process with a database connection.
        unsafe { raw::enable_timeout_after(STATEMENT_TIMEOUT, ms) };
        StatementTimeout
    }
}

impl Drop for StatementTimeout {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { raw::disable_timeout(STATEMENT_TIMEOUT, false) };
    }
}

/// From now on no transaction waits longer for a lock: the process must end.
pub fn wait_for_locks_at_most(ms: i32) {
    set("lock_timeout", &ms.max(1).to_string());
}

/// Reads postgresql.conf again.
pub fn read_config_file() {
    // SAFETY: on the main thread, outside a transaction.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
}

/// Whose statements a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Ours: how they are planned is known.
    Ours,
    /// Others' as well.
    Theirs,
}

/// Settings of the database, of a role or of the cluster that must not reach the worker's transactions.
pub fn pin_settings(code: Code) {
    let mut pins = vec![
        ("search_path", "pg_catalog, pg_temp"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off"),
        ("default_transaction_deferrable", "off"),
        ("session_replication_role", "origin"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("row_security", "on"),
        ("client_min_messages", "warning"),
        ("extra_float_digits", "1"),
        ("standard_conforming_strings", "on"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("bytea_output", "hex"),
        ("transform_null_equals", "off"),
    ];
    let plans = [
        // Everything here is about a few rows, found by an index. Plans are kept for long, because making one takes longer than
        // running it: one that was made while the tables were small must not read all of them when they have grown.
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    ];
    if code == Code::Ours {
        pins.extend(plans);
    }
    // The intent to send must survive a crash, or it is paid twice.
    // SAFETY: a setting's current value, copied at once.
    let commit = unsafe {
        let value = pg_sys::GetConfigOption(c"synchronous_commit".as_ptr(), true, false);
        (!value.is_null()).then(|| std::ffi::CStr::from_ptr(value).to_string_lossy().into_owned())
    };
    if commit.as_deref() == Some("off") {
        pins.push(("synchronous_commit", "local"));
    }
    for (name, value) in pins {
        set(name, value);
    }
}

fn set(name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) {
        let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
        // SAFETY: NUL-terminated copies, on the main thread; this source outranks every other.
        unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) };
    }
}

/// How often a worker without shared memory looks whether another one serves its database, before it ends as a duplicate.
const LOOKS: u32 = 6;

/// Makes sure that a database has one worker: through its slot in shared memory, or, without that, a lock for as long as the
/// process lives.
pub fn be_the_only_one(database: pg_sys::Oid, extension: pg_sys::Oid) -> Result<Option<&'static Slot>, ()> {
    let Some(shared) = shared::get() else {
        for look in 0..LOOKS {
            if super::transaction::take_fence(extension) {
                return Ok(None);
            }
            // The other one may be ending. Whichever ends otherwise is started again by the postmaster.
            let pause = std::time::Duration::from_millis(100 << look);
            if must_stop() || !BackgroundWorker::wait_latch(Some(pause)) {
                break;
            }
        }
        return Err(());
    };
    // SAFETY: this process's own pid.
    match shared.occupy(database, unsafe { pg_sys::MyProcPid }) {
        Ok(slot) => {
            // SAFETY: runs at the end of this process, while shared memory is there.
            unsafe { pg_sys::before_shmem_exit(Some(leave_slot), pg_sys::Datum::from(database)) };
            Ok(Some(slot))
        }
        Err(0) => {
            log!("image_gen: {} databases have a worker already, this one gets none", shared::MAX_DATABASES);
            Err(())
        }
        Err(_) => Err(()),
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn leave_slot(_code: c_int, database: pg_sys::Datum) {
    let slot = shared::get().and_then(|s| s.slot(pg_sys::Oid::from(database.value() as u32)));
    // SAFETY: this process's own pid. After `leave(true)` the slot may belong to another worker.
    if let Some(slot) = slot.filter(|s| s.pid() == unsafe { pg_sys::MyProcPid }) {
        if must_stop() {
            slot.dismiss();
        }
        slot.leave(false);
    }
}

/// The name in pg_stat_activity.
pub fn show_name(what: &str) {
    if let Ok(name) = CString::new(format!("image_gen {} {what}", env!("CARGO_PKG_VERSION"))) {
        // SAFETY: a NUL-terminated copy.
        unsafe { pg_sys::pgstat_report_appname(name.as_ptr()) };
    }
}

/// Ends the process. With 1 it is started again; with 0 it is not.
pub fn end(why: End) -> ! {
    let code = if why == End::Restart { 1 } else { 0 };
    // SAFETY: the normal end of a background worker.
    unsafe { pg_sys::proc_exit(code) };
    // The bindings of some versions know that it does not return, others do not.
    #[allow(unreachable_code)]
    std::process::abort()
}

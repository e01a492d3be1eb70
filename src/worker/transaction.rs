//! Short transactions: as image_gen_worker, checked that the extension is still the same one, cleaned up after an
//! error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use super::process::{IN_TRANSACTION, forget_pending_cancel};
use super::user_code;

/// Why a transaction did not commit.
#[derive(Debug)]
pub enum Failed {
    /// The extension was dropped, or dropped and created again.
    Gone,
    /// An error that the data caused: it will come again.
    Poison(String),
    /// Another error: it may pass. Rolled back, like the one above.
    Error(String),
}

const EXTENSION: &std::ffi::CStr = c"image_gen";
const ROLE: &std::ffi::CStr = c"image_gen_worker";

/// The oid of the extension; gone when it is not in this database, or the database is a template.
pub fn extension() -> Result<pg_sys::Oid, Failed> {
    run("look for the extension", || {
        // A worker in a template would block every CREATE DATABASE from it.
        let template = Spi::connect(|client| {
            let question = "SELECT d.datistemplate FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
            client.select(question, Some(1), &[])?.first().get_one::<bool>()
        });
        match template {
            // SAFETY: in a transaction.
            Ok(Some(false)) => match unsafe { pg_sys::get_extension_oid(EXTENSION.as_ptr(), true) } {
                pg_sys::InvalidOid => Err(Failed::Gone),
                oid => Ok(oid),
            },
            Ok(_) => Err(Failed::Gone),
            Err(why) => Err(Failed::Error(why.to_string())),
        }
    })
}

/// Marks our locks among those of other extensions.
const LOCK_CLASS: u32 = 1_768_774_510;
/// SQL reaches the advisory locks of kinds 1 (one key) and 2 (two keys) only: no role can take one of this kind, in whatever
/// function.
const LOCK_KIND: u16 = 3;

/// Takes the lock that only one worker of this extension can have, for as long as this process lives: it outlives
/// transactions that fail.
pub fn take_fence(extension: pg_sys::Oid) -> bool {
    let taken = run("fence", || {
        // SAFETY: plain values, in a transaction; the lock manager copies the tag.
        let result = unsafe {
            let tag = pg_sys::LOCKTAG {
                locktag_field1: pg_sys::MyDatabaseId.to_u32(),
                locktag_field2: LOCK_CLASS,
                locktag_field3: extension.to_u32(),
                locktag_field4: LOCK_KIND,
                locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
                locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
            };
            pg_sys::LockAcquire(&raw const tag, pg_sys::ExclusiveLock as _, true, true)
        };
        Ok(result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
    });
    matches!(taken, Ok(true))
}

/// Runs nothing, but notices a dropped extension.
pub fn check(extension: pg_sys::Oid) -> Result<(), Failed> {
    within(extension, "check", || Ok(()))
}

/// Runs a transaction as image_gen_worker, in which triggers that are not ours have little time.
pub fn within<R>(
    extension: pg_sys::Oid,
    what: &str,
    body: impl FnOnce() -> Result<R, Failed>,
) -> Result<R, Failed> {
    let start = Instant::now();
    let mut bounded = false;
    let result = as_worker(extension, what, || {
        let limit = user_code::bound_triggers()?;
        bounded = limit.is_some();
        body()
    });
    if let Err(Failed::Error(why)) = &result
        && bounded
    {
        user_code::blame_triggers(start, why);
    }
    result
}

/// Runs a transaction as image_gen_worker, which may take its time.
pub fn as_worker<R>(
    extension: pg_sys::Oid,
    what: &str,
    body: impl FnOnce() -> Result<R, Failed>,
) -> Result<R, Failed> {
    run(what, || {
        // SAFETY: in a transaction; a lock and two catalog look-ups, and the user id is restored by the next transaction.
        unsafe {
            // What DROP EXTENSION locks first. Without it the two could lock our tables in different orders, and the
            // deadlock detector might choose the DROP.
            pg_sys::LockDatabaseObject(
                pg_sys::ExtensionRelationId,
                extension,
                0,
                pg_sys::AccessShareLock as _,
            );
            if pg_sys::get_extension_oid(EXTENSION.as_ptr(), true) != extension {
                return Err(Failed::Gone);
            }
            let role = pg_sys::get_role_oid(ROLE.as_ptr(), false);
            // A trigger or default on our tables that is not ours cannot get back to the superuser from here.
            pg_sys::SetUserIdAndSecContext(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
        }
        body()
    })
}

/// One transaction: committed when `body` returns `Ok`, rolled back otherwise.
fn run<R>(what: &str, body: impl FnOnce() -> Result<R, Failed>) -> Result<R, Failed> {
    let activity = std::ffi::CString::new(what).unwrap_or_default();
    IN_TRANSACTION.store(true, Ordering::SeqCst);
    // SAFETY: reporting functions, on the main thread.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: a transaction command around SPI, as every background worker does it.
        unsafe {
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let result = body()?;
        // SAFETY: pairs with the above.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(result)
    }));
    let result = result.unwrap_or_else(|panic| Err(describe(panic.as_ref())));
    // SAFETY: a failed transaction is still open, whatever caught its error; aborting it releases all it held.
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
            pg_sys::FlushErrorState();
        }
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    IN_TRANSACTION.store(false, Ordering::SeqCst);
    forget_pending_cancel();
    result
}

/// Tells the statistics system what was written: without this, autovacuum never hears of it. Not part of each
/// transaction, because a caller waits for that.
pub fn report_statistics() {
    // SAFETY: outside a transaction, on the main thread.
    unsafe { pg_sys::pgstat_report_stat(true) };
}

fn describe(panic: &(dyn Any + Send)) -> Failed {
    use CaughtError::{ErrorReport, PostgresError, RustPanic};
    match panic.downcast_ref::<CaughtError>() {
        Some(PostgresError(report) | ErrorReport(report) | RustPanic { ereport: report, .. }) => {
            let code = report.sql_error_code();
            let text = format!("{} ({code:?})", report.message());
            if may_pass(code) { Failed::Error(text) } else { Failed::Poison(text) }
        }
        None => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Failed::Error(text.unwrap_or("a panic without a message").to_owned())
        }
    }
}

/// Errors that say nothing about what was to be written: a full disk, a deadlock, a lock, a shutdown, a relation that
/// is just being replaced. All others are that row's own, and come again.
fn may_pass(code: PgSqlErrorCode) -> bool {
    const PASSING: [&[u8; 2]; 10] = [b"08", b"25", b"40", b"42", b"53", b"55", b"57", b"58", b"F0", b"XX"];
    let class = |[a, b]: &[u8; 2]| i32::from(a - b'0') | i32::from(b - b'0') << 6;
    PASSING.iter().any(|c| class(c) == code as i32 & 0xfff)
}

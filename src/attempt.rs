//! A part of a transaction that may fail alone.

use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

/// Why a part has failed.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub sqlstate: PgSqlErrorCode,
    pub message: String,
    pub hint: Option<String>,
}

/// Runs `body` in a subtransaction, which is rolled back where it fails. What is no fault of the part's own (a cancel, a
/// deadlock, a conflict of serializable transactions, no memory) fails the whole transaction.
pub fn alone<R>(body: impl FnOnce() -> R) -> Result<R, Refusal> {
    // SAFETY: as PL/pgSQL runs a block with an exception clause: memory and resources are those of before, whatever comes.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    // SAFETY: those of before, which outlive the subtransaction.
    let restore = || unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    };
    let boxed = |error: CaughtError| Err(Box::new(error));
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(body()))).catch_others(boxed).execute();
    match result {
        Ok(done) => {
            // SAFETY: the subtransaction that was begun above.
            unsafe { pg_sys::ReleaseCurrentSubTransaction() };
            restore();
            Ok(done)
        }
        Err(error) => {
            // SAFETY: as above; the error's data are in `error`.
            unsafe {
                pg_sys::MemoryContextSwitchTo(context);
                pg_sys::FlushErrorState();
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
            }
            restore();
            let refusal = refusal(&error);
            if is_ours(refusal.sqlstate) { Err(refusal) } else { (*error).rethrow() }
        }
    }
}

fn refusal(error: &CaughtError) -> Refusal {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = error;
    Refusal {
        sqlstate: report.sql_error_code(),
        message: report.message().to_owned(),
        hint: report.hint().map(str::to_owned),
    }
}

/// Whether an error is about what was asked, and not about the transaction, the session or the machine.
fn is_ours(sqlstate: PgSqlErrorCode) -> bool {
    use PgSqlErrorCode::*;
    let class = |[a, b]: &[u8; 2]| i32::from(a - b'0') | i32::from(b - b'0') << 6;
    let whole = [b"40", b"57", b"58"].iter().any(|c| class(c) == sqlstate as i32 & 0xfff);
    !whole && !matches!(sqlstate, ERRCODE_OUT_OF_MEMORY | ERRCODE_DISK_FULL | ERRCODE_TOO_MANY_CONNECTIONS)
}

//! What is wrong with a request → SQLSTATE, message, hint.

use std::cell::Cell;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

/// The SQLSTATEs that the API raises from Rust.
#[derive(Clone, Copy)]
pub enum Code {
    /// An argument has a value that is not possible.
    Argument,
    /// An argument that must be there is NULL.
    Null,
    /// A name that does not exist.
    Unknown,
    /// No provider can do it.
    NotSupported,
    /// The caller may not.
    Privilege,
    /// It would cost more than allowed.
    Limit,
    /// An argument is larger than can be kept.
    TooLarge,
    /// Nothing can be written here.
    ReadOnly,
}

impl Code {
    fn sqlstate(self) -> PgSqlErrorCode {
        match self {
            Code::Argument => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Code::Null => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Code::Unknown => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            Code::NotSupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            Code::Privilege => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Code::Limit => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            Code::TooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Code::ReadOnly => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
        }
    }
}

/// Raises an ERROR in the caller's session: nothing is queued.
pub fn fail(code: Code, message: &str, hint: &str) -> ! {
    ErrorReport::new(code.sqlstate(), message.to_owned(), "image_gen")
        .set_hint(hint.to_owned())
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Raises the error of a key that belongs to another request.
pub fn conflict(message: &str, detail: &str, hint: &str) -> ! {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message.to_owned(), "image_gen")
        .set_detail(detail.to_owned())
        .set_hint(hint.to_owned())
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Says a WARNING to the client, once a statement of its. Not to the server's log: a client can make thousands a second.
pub fn warn(message: &CStr, hint: &CStr) {
    thread_local! {
        static SAID_AT: Cell<pg_sys::TimestampTz> = const { Cell::new(0) };
    }
    // SAFETY: a plain look at the session's own state.
    let statement = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    if SAID_AT.replace(statement) != statement {
        // SAFETY: a struct of numbers and of strings, which are copied; none but these are there.
        unsafe {
            let mut report: pg_sys::ErrorData = std::mem::zeroed();
            report.elevel = pg_sys::WARNING_CLIENT_ONLY as i32;
            report.sqlerrcode = PgSqlErrorCode::ERRCODE_WARNING as i32;
            report.message = message.as_ptr().cast_mut();
            report.hint = hint.as_ptr().cast_mut();
            pg_sys::ThrowErrorData(&raw mut report);
        }
    }
}

/// Runs the body of a function that users call. An error that it raises about what was asked comes without the CONTEXT of the
/// functions and statements inside, which says nothing to its caller.
pub fn without_context<R>(body: impl FnOnce() -> R) -> R {
    let plainly = |error: CaughtError| match error {
        CaughtError::PostgresError(report) if !is_internal(report.sql_error_code() as i32) => {
            let message = report.message().to_owned();
            let mut plain = ErrorReport::new(report.sql_error_code(), message, "image_gen");
            if let Some(detail) = report.detail() {
                plain = plain.set_detail(detail);
            }
            if let Some(hint) = report.hint() {
                plain = plain.set_hint(hint);
            }
            plain.report(PgLogLevel::ERROR);
            unreachable!("an ERROR does not return")
        }
        other => other.rethrow(),
    };
    PgTryBuilder::new(AssertUnwindSafe(body)).catch_others(plainly).execute()
}

/// Whether an error is one of class XX: a fault of the program, whose context is needed.
pub fn is_internal(code: i32) -> bool {
    const SIX_BITS: i32 = 0x3f;
    let letter = |shift: i32| (code >> shift) & SIX_BITS;
    let x = i32::from(b'X' - b'0');
    letter(0) == x && letter(6) == x
}

//! What is wrong with a request → SQLSTATE, message, hint.

use pgrx::pg_sys::panic::ErrorReport;
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

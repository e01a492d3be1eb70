//! What is wrong with a request → SQLSTATE, message, hint.

use image_gen_engine::job::Invalid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The SQLSTATEs that the API raises from Rust.
#[derive(Clone, Copy)]
pub enum Kind {
    /// An argument has a value that is not possible.
    Argument,
    /// A provider that does not exist.
    Unknown,
    /// No provider can do it.
    NotSupported,
    /// It would cost more than allowed.
    Budget,
}

/// Raises an ERROR in the caller's session: nothing is queued.
pub fn raise(kind: Kind, invalid: &Invalid) -> ! {
    let code = match kind {
        Kind::Argument => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Kind::Unknown => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        Kind::NotSupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        Kind::Budget => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
    };
    ErrorReport::new(code, invalid.message.clone(), "image_gen")
        .set_hint(invalid.hint.clone())
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

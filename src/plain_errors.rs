//! Errors of the functions in PL/pgSQL that users call come without the CONTEXT of what is inside, as those of generate() do
//! ([`crate::errors::without_context`]): its lines say nothing to the caller. Those of the caller's own functions stay.

use std::ffi::c_int;

use pgrx::prelude::*;

// Called as they are: an error that passes a wrapper of pgrx's loses a SQLSTATE that PostgreSQL does not know.
unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
    fn CopyErrorData() -> *mut pg_sys::ErrorData;
    fn FlushErrorState();
    fn ThrowErrorData(error: *mut pg_sys::ErrorData);
    fn get_func_namespace(function: pg_sys::Oid) -> pg_sys::Oid;
    fn get_namespace_oid(name: *const std::ffi::c_char, missing_ok: bool) -> pg_sys::Oid;
}

/// What is noted of a function when it is first called: whether it is one of the API.
const OTHER: usize = 1;
const API: usize = 2;

/// Looks at the functions that are called with settings of their own, which all of ours are.
pub fn init() {
    // SAFETY: the library is loaded once in the life of a process, by its only thread. Who was here first keeps the place: the
    // note of a function has room for one.
    unsafe {
        let before = pg_sys::fmgr_hook;
        if before.is_none() {
            pg_sys::fmgr_hook = Some(called);
        }
    }
}

/// An error leaves through here by a jump, so nothing in this function may need to be dropped.
unsafe extern "C-unwind" fn called(
    event: pg_sys::FmgrHookEventType::Type,
    function: *mut pg_sys::FmgrInfo,
    note: *mut pg_sys::Datum,
) {
    // SAFETY: PostgreSQL calls this at the start of a function, in a transaction, and after an error in it, which is the newest on
    // its stack; the note is zero at first and kept for us.
    unsafe {
        match event {
            pg_sys::FmgrHookEventType::FHET_START if (*note).value() == 0 => {
                let ours = get_namespace_oid(c"image_gen".as_ptr(), true);
                let is_ours = ours != pg_sys::InvalidOid && get_func_namespace((*function).fn_oid) == ours;
                *note = pg_sys::Datum::from(if is_ours { API } else { OTHER });
            }
            pg_sys::FmgrHookEventType::FHET_ABORT if (*note).value() == API && is_plain(geterrcode()) => {
                pg_sys::CurrentMemoryContext = pg_sys::CurTransactionContext;
                let error = CopyErrorData();
                FlushErrorState();
                (*error).context = std::ptr::null_mut();
                // As a new error: the lines of those who called the function are put to it again.
                ThrowErrorData(error);
            }
            _ => {}
        }
    }
}

/// Whether an error is about what was asked: not one of class XX, a fault of the program, whose context is needed, and not one
/// after which nothing can be allocated.
fn is_plain(code: c_int) -> bool {
    let internal = crate::errors::is_internal(code);
    !internal && code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int
}

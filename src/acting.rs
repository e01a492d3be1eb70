//! Work with the rights of another role, in a security context that it cannot leave.

use std::ffi::CStr;

use pgrx::prelude::*;

use crate::statement::Statement;

/// What the text of values must not depend on.
const PINNED: [(&CStr, &CStr); 8] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"TimeZone", c"UTC"),
    (c"DateStyle", c"ISO, MDY"),
    (c"IntervalStyle", c"postgres"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"standard_conforming_strings", c"on"),
    (c"transform_null_equals", c"off"),
];

/// Runs `body`, within a transaction, as a role. What it sets is set back.
pub fn act_as<R>(role: pg_sys::Oid, body: impl FnOnce() -> R) -> R {
    switched(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION, &[], body)
}

/// Runs `body` as the owner of the extension, as a SECURITY DEFINER function of it would, with the settings that the text of
/// values depends on pinned. `None` where the extension is gone.
pub fn act_as_extension<R>(body: impl FnOnce() -> R) -> Option<R> {
    thread_local! {
        static OWNER: Statement =
            Statement::new("SELECT e.extowner FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'image_gen'", &[]);
    }
    let owner = OWNER.with(|s| s.run(&[], |row| row.get::<pg_sys::Oid>(1))).into_iter().flatten().next()?;
    Some(switched(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE, &PINNED, body))
}

/// Runs `body` as a role, in a security context beside that of now, with settings of the session's own rights.
fn switched<R>(role: pg_sys::Oid, beside: u32, pinned: &[(&CStr, &CStr)], body: impl FnOnce() -> R) -> R {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: in a transaction, as maintenance commands of Postgres run index functions, with static texts; an error aborts the
    // transaction, or the subtransaction, which restores all three.
    let settings = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let settings = pg_sys::NewGUCNestLevel();
        for (name, value) in pinned {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
        pg_sys::SetUserIdAndSecContext(role, context | beside as i32);
        settings
    };
    let result = body();
    // SAFETY: pairs with the above.
    unsafe {
        pg_sys::AtEOXact_GUC(false, settings);
        pg_sys::SetUserIdAndSecContext(user, context);
    }
    result
}

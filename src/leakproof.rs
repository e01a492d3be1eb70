//! Functions of PostgreSQL's own under names of ours, so that they can be LEAKPROOF: an index on what they give is of use to those
//! who see their own rows only. In C, because PostgreSQL finds one of LANGUAGE internal by comparing the names of all that it
//! has, in every statement that writes to a table with such an index.

use pgrx::prelude::*;

macro_rules! alias {
    ($name:ident, $info:ident, $of:path) => {
        finfo!($info);

        /// # Safety
        /// Called by PostgreSQL, with the arguments that `sql/api/status.sql` declares: those of the function that it
        /// stands for.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: as above.
            unsafe { $of(call) }
        }
    };
}

alias!(image_gen_entry, pg_finfo_image_gen_entry, pg_sys::jsonb_object_field_text);
alias!(image_gen_start_of, pg_finfo_image_gen_start_of, pg_sys::text_left);

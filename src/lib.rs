//! image_gen: image generation as jobs inside PostgreSQL.
//!
//! This crate is all that touches Postgres, and nothing else. What a job is and what happens next is decided in
//! `image_gen_engine`; what is true is decided in `sql/`.
//!
//! | module | its one noun |
//! |---|---|
//! | [`plan`] | a request, checked in the caller's session |
//! | [`attach`] | rows of attached tables on their way to jobs |
//! | [`acting`] | work with the rights of another role |
//! | [`attempt`] | a part of a transaction that may fail alone |
//! | [`wake`] | the signal from a committing session to the worker, and back |
//! | [`shared`] | the shared memory behind it |
//! | [`launcher`] | the process that keeps one worker for each database |
//! | [`worker`] | the worker: one thread for Postgres, one for HTTP |
//! | [`snapshot`] | the catalogue as this process keeps it |
//! | [`submit`] | a request on its way into the queue |
//! | [`tools`] | the four tools of an agent |
//! | [`statement`] | a statement that is planned once |
//! | [`leakproof`] | PostgreSQL's own functions, for indexes |
//! | [`instance`] | which database this is, and not a copy of it |
//! | [`pause`] | where a test can hold the worker |
//! | [`session`] | how a session waits: on its latch, for what a thread of its own does |
//! | [`probe`] | a question to a provider whether it is there and takes its key |
//! | [`checkup`] | what `doctor()` asks that SQL cannot know |
//! | [`keys`] | provider keys, in the worker's memory only |
//! | [`settings`] | `image_gen.*` settings |
//! | [`expansion`] | a call that the parser copied |
//! | `inside` | tests that run inside a back end |
//! | [`errors`] | what is wrong with a request → SQLSTATE, message, hint |
//! | [`plain_errors`] | an error without the lines of what is inside |

use pgrx::prelude::*;

/// Tells PostgreSQL how a function of LANGUAGE C is called: it looks for `pg_finfo_` and the function's name.
macro_rules! finfo {
    ($info:ident) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> *const pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    };
}

mod acting;
mod attach;
mod attempt;
mod checkup;
mod errors;
mod expansion;
#[cfg(any(test, feature = "pg_test"))]
mod inside;
mod instance;
mod keys;
mod launcher;
mod leakproof;
mod pause;
mod plain_errors;
mod plan;
mod probe;
mod provider_keys;
mod schema;
mod session;
mod settings;
mod shared;
mod snapshot;
mod statement;
mod stores;
mod submit;
mod tools;
mod transaction_budgets;
mod wake;
mod worker;

pgrx::pg_module_magic!(name, version);

/// Runs once in the postmaster when the library is in `shared_preload_libraries`, else once in each session that
/// first calls a function of the extension.
///
/// # Safety
/// Called by Postgres when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // SAFETY: a plain flag, set before any process is forked.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    settings::define();
    wake::register();
    transaction_budgets::register();
    attach::register();
    expansion::init();
    plain_errors::init();
    // SAFETY: as above.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        shared::request();
        launcher::register();
    }
}

/// What the test framework of pgrx asks for.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to be set up.
    pub fn setup(_options: Vec<&str>) {}

    /// Lines of the server's configuration.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        crate::inside::settings()
    }
}

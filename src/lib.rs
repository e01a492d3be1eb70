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
//! | [`home`] | which database this is, and not a copy of it |
//! | [`pause`] | where a test can hold the worker |
//! | [`keys`] | provider keys, in the worker's memory only |
//! | [`settings`] | `image_gen.*` settings |
//! | [`expansion`] | a call that the parser copied |
//! | [`errors`] | what is wrong with a request → SQLSTATE, message, hint |

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
mod errors;
mod expansion;
mod home;
mod keys;
mod launcher;
mod leakproof;
mod pause;
mod plan;
mod settings;
mod shared;
mod snapshot;
mod statement;
mod submit;
mod tools;
mod wake;
mod worker;

pgrx::pg_module_magic!(name, version);

extension_sql_file!("../sql/tables.sql", name = "tables", bootstrap);
extension_sql_file!("../sql/budgets.sql", name = "budgets", requires = ["tables"]);
extension_sql_file!("../sql/catalogue.sql", name = "catalogue", requires = ["budgets", plan::_catalogue]);
extension_sql_file!(
    "../sql/route.sql",
    name = "route",
    requires = ["catalogue", snapshot::_catalogue_changed, snapshot::_timings_changed, plan::_check_model]
);
extension_sql_file!(
    "../sql/home.sql",
    name = "home",
    requires = ["tables", home::_here, plan::_caller, wake::_wake, snapshot::_catalogue_changed]
);
extension_sql_file!(
    "../sql/queue.sql",
    name = "queue",
    requires = ["route", "home", wake::_wake, plan::_can_be_asked, plan::_is_local]
);
extension_sql_file!("../sql/transitions.sql", name = "transitions", requires = ["queue"]);
extension_sql_file!("../sql/deaths.sql", name = "deaths", requires = ["transitions"]);
extension_sql_file!("../sql/reconcile.sql", name = "reconcile", requires = ["deaths", wake::_tell]);
extension_sql_file!("../sql/callbacks.sql", name = "callbacks", requires = ["reconcile"]);
extension_sql_file!(
    "../sql/submit.sql",
    name = "submit",
    requires = ["callbacks", plan::_caller, plan::_new_job_id]
);
extension_sql_file!(
    "../sql/waiting.sql",
    name = "waiting",
    requires = ["submit", plan::admission::_route, wake::_is_worker, wake::_is_uncommitted]
);
extension_sql_file!(
    "../sql/api.sql",
    name = "api",
    requires = ["waiting", plan::admission::derive_seed, wake::_completions]
);
extension_sql_file!(
    "../sql/decide.sql",
    name = "decide",
    requires = [
        "api",
        plan::needs_text,
        plan::admission::_explain,
        plan::admission::_choose,
        plan::admission::_capabilities
    ]
);
extension_sql_file!("../sql/limits.sql", name = "limits", requires = ["decide"]);
extension_sql_file!("../sql/policies.sql", name = "policies", requires = ["limits", plan::_check_options]);
extension_sql_file!(
    "../sql/batch.sql",
    name = "batch",
    requires = ["policies", submit::_estimate, submit::shots::_shots]
);
extension_sql_file!(
    "../sql/tools.sql",
    name = "tools",
    requires = ["batch", tools::_tools, tools::_list_arguments, tools::_next_poll_ms]
);
extension_sql_file!("../sql/sets.sql", name = "sets", requires = ["tools"]);
extension_sql_file!("../sql/prompts.sql", name = "prompts", requires = ["sets", plan::_is_blank]);
extension_sql_file!("../sql/retention.sql", name = "retention", requires = ["prompts"]);
extension_sql_file!("../sql/rollup.sql", name = "rollup", requires = ["retention"]);
extension_sql_file!("../sql/ownership.sql", name = "ownership", requires = ["rollup"]);
extension_sql_file!("../sql/costs.sql", name = "costs", requires = ["ownership", plan::_price]);
extension_sql_file!(
    "../sql/review.sql",
    name = "review",
    requires = ["costs", plan::admission::_resolve_model, plan::_is_blank]
);
extension_sql_file!(
    "../sql/attachments.sql",
    name = "attachments",
    requires = ["review", attach::place::_backfill, attach::_goes_with]
);
extension_sql_file!("../sql/security.sql", name = "security", finalize);

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
    attach::register();
    expansion::init();
    // SAFETY: as above.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        shared::request();
        launcher::register();
    }
}

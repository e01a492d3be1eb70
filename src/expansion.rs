//! `SELECT (image_gen.generate('x')).*` is an error. The parser copies the call once for each column of the result, so that it
//! would queue, and pay, seven times.

use std::cell::Cell;

use pgrx::prelude::*;
use pgrx::{PgList, is_a, pg_guard};

use crate::errors::{Code, fail};

thread_local! {
    static PREVIOUS: Cell<pg_sys::post_parse_analyze_hook_type> = const { Cell::new(None) };
}

/// Looks at the statements of this process from now on.
pub fn init() {
    // SAFETY: the library is loaded once in the life of a process, by its only thread.
    unsafe {
        PREVIOUS.set(pg_sys::post_parse_analyze_hook);
        pg_sys::post_parse_analyze_hook = Some(analyzed);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn analyzed(
    state: *mut pg_sys::ParseState,
    query: *mut pg_sys::Query,
    jumble: *mut pg_sys::JumbleState,
) {
    // SAFETY: PostgreSQL calls this with a query that it has just made, which nothing else changes meanwhile.
    unsafe {
        if let Some(previous) = PREVIOUS.get() {
            previous(state, query, jumble);
        }
        if let Some(name) = query.as_ref().and_then(|query| copied(query)) {
            fail(
                Code::NotSupported,
                &format!("image_gen.{name}() would be called once for each column of its result"),
                &format!(
                    "Call it in FROM: SELECT * FROM image_gen.{name}(...), or CROSS JOIN LATERAL image_gen.{name}(...)."
                ),
            );
        }
    }
}

/// The name of a function of ours that has effects and stands in a query more often than it was written.
///
/// # Safety
/// A complete query tree.
unsafe fn copied(query: &pg_sys::Query) -> Option<String> {
    // SAFETY: lists of nodes of the types that PostgreSQL documents for them.
    unsafe {
        if let Some(inner) = query_of(query.utilityStmt) {
            return copied(inner);
        }
        let within = PgList::<pg_sys::RangeTblEntry>::from_pg(query.rtable);
        let subqueries = within.iter_ptr().map(|entry| (*entry).subquery);
        let with = PgList::<pg_sys::CommonTableExpr>::from_pg(query.cteList);
        let with = with.iter_ptr().map(|entry| (*entry).ctequery.cast::<pg_sys::Query>());
        let inner = || subqueries.chain(with).find_map(|inner| copied(inner.as_ref()?));
        [query.targetList, query.returningList].into_iter().find_map(|list| copied_in(list)).or_else(inner)
    }
}

/// The query within a command.
///
/// # Safety
/// NULL or a complete node.
unsafe fn query_of<'a>(command: *mut pg_sys::Node) -> Option<&'a pg_sys::Query> {
    // SAFETY: a node's tag says what it is.
    unsafe {
        let inner = match command.as_ref()?.type_ {
            pg_sys::NodeTag::T_CreateTableAsStmt => (*command.cast::<pg_sys::CreateTableAsStmt>()).query,
            pg_sys::NodeTag::T_DeclareCursorStmt => (*command.cast::<pg_sys::DeclareCursorStmt>()).query,
            pg_sys::NodeTag::T_ExplainStmt => (*command.cast::<pg_sys::ExplainStmt>()).query,
            _ => return None,
        };
        let is_query = !inner.is_null() && is_a(inner, pg_sys::NodeTag::T_Query);
        if is_query { inner.cast::<pg_sys::Query>().as_ref() } else { None }
    }
}

/// # Safety
/// A list of target entries.
unsafe fn copied_in(targets: *mut pg_sys::List) -> Option<String> {
    // SAFETY: as the caller promises; a node's tag says what it is.
    unsafe {
        let mut calls: Vec<(pg_sys::Oid, i32)> = vec![];
        for target in PgList::<pg_sys::TargetEntry>::from_pg(targets).iter_ptr() {
            let column = (*target).expr.cast::<pg_sys::Node>();
            if column.is_null() || !is_a(column, pg_sys::NodeTag::T_FieldSelect) {
                continue;
            }
            let of = (*column.cast::<pg_sys::FieldSelect>()).arg.cast::<pg_sys::Node>();
            if of.is_null() || !is_a(of, pg_sys::NodeTag::T_FuncExpr) {
                continue;
            }
            let call = &*of.cast::<pg_sys::FuncExpr>();
            // Two that were written stand in two places.
            let this = (call.funcid, call.location);
            if call.location >= 0 && calls.contains(&this) && has_effects_here(call.funcid) {
                let name = pg_sys::get_func_name(call.funcid);
                return (!name.is_null())
                    .then(|| std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned());
            }
            calls.push(this);
        }
        None
    }
}

/// Whether a function is one of ours that may not be called more often than it was written.
///
/// # Safety
/// In a transaction.
unsafe fn has_effects_here(function: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the system caches.
    unsafe {
        pg_sys::get_func_namespace(function) == pg_sys::get_namespace_oid(c"image_gen".as_ptr(), true)
            && pg_sys::func_volatile(function) == pg_sys::PROVOLATILE_VOLATILE as core::ffi::c_char
    }
}

//! Several jobs at once: all or none.

use image_gen_engine::seed;
use pgrx::prelude::*;

use super::row::Receipt;
use super::shots::BatchJson;
use super::{Identity, TEXT, json_text, queue, reserve, rights};
use crate::errors::without_context;
use crate::plan::{caller, new_job_id};
use crate::statement::{Argument, Statement, argument};

finfo!(pg_finfo_image_gen_generate_batch);

/// # Safety
/// Called by PostgreSQL, with the arguments that `sql/batch.sql` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn image_gen_generate_batch(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: two jsonb, a numeric and a text, as declared.
    let (json, max_cost, key) = unsafe {
        let arguments = (*call).args.as_slice((*call).nargs as usize);
        let given = |at: usize| arguments.get(at).filter(|a| !a.isnull).map(|a| a.value);
        let text = |json: Argument, none: &str| json.map_or_else(|| none.to_owned(), json_text);
        let batch = BatchJson { shots: text(given(0), "null"), defaults: text(given(1), "{}") };
        let max_cost = given(2).and_then(|datum| AnyNumeric::from_datum(datum, false));
        (batch, max_cost, given(3).and_then(|datum| String::from_datum(datum, false)))
    };
    let receipts = without_context(|| generate_batch(&json, max_cost.as_ref(), key.as_deref()));
    // SAFETY: the function returns rows of these columns.
    unsafe { into_rows(receipts, call) }
}

/// Queues the shots of a batch, and holds what they are expected to cost as a whole.
fn generate_batch(
    json: &BatchJson,
    max_cost: Option<&AnyNumeric>,
    key: Option<&str>,
) -> Vec<(String, Receipt)> {
    let cap = max_cost.map(|cap| {
        rights::amount("max_cost", cap, "Give USD for the whole batch, from 0 up, or leave it out.")
    });
    let batch = format!("bat_{}", new_job_id().trim_start_matches("gen_"));
    // One base seed in any case, and the same one for the same key.
    let base = match key {
        None => seed::derive(0, &batch),
        Some(key) => seed::derive(0, key),
    };
    let shots = json.read(Some(base));
    let submissions = shots.iter().map(|shot| {
        let mut submission = shot.submission();
        submission.key = key.map(|key| format!("{key}#{}", shot.name));
        submission.batch = Some(batch.clone());
        submission
    });
    let queued = queue(submissions.collect(), &Identity::caller());
    if !queued.new.is_empty() {
        if let Some(cap) = cap {
            cap_batch(&batch, &cap.to_string());
        }
        if cap.is_some() || queued.budgets {
            reserve(&queued.new, true);
        }
    }
    shots.into_iter().map(|shot| shot.name).zip(queued.receipts).collect()
}

/// A budget for the batch alone.
pub(super) fn cap_batch(batch: &str, cap: &str) {
    thread_local! {
        static CAP: Statement = Statement::new(
            "WITH b AS (INSERT INTO image_gen.budgets (scope, key, amount, set_by) VALUES ('batch', $1, $2::numeric, image_gen_internal.role_name($3)) RETURNING id)
             INSERT INTO image_gen_internal.budget_totals (budget_id, since) SELECT b.id, '-infinity' FROM b",
            &[TEXT, TEXT, pg_sys::OIDOID],
        );
    }
    CAP.with(|s| s.run(&[argument(batch), argument(cap), argument(caller())], |_| ()));
}

/// The rows of generate_batch(), all at once.
///
/// # Safety
/// The call is of a function that returns such rows.
pub(super) unsafe fn into_rows(
    receipts: Vec<(String, Receipt)>,
    call: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: a function that returns a set is told how; the rows outlive the call, and so are made in the query's memory.
    unsafe {
        let info = (*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
        let materialize = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        if info.is_null() || (*info).allowedModes as u32 & materialize == 0 {
            error!("image_gen: rows are returned where none are expected");
        }
        let query = (*(*info).econtext).ecxt_per_query_memory;
        let before = pg_sys::MemoryContextSwitchTo(query);
        let mut descriptor: pg_sys::TupleDesc = std::ptr::null_mut();
        pg_sys::get_call_result_type(call, std::ptr::null_mut(), &mut descriptor);
        let random =
            (*info).allowedModes as u32 & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random != 0;
        let rows = pg_sys::tuplestore_begin_heap(random, false, pg_sys::work_mem);
        (*info).returnMode = materialize;
        (*info).setResult = rows;
        (*info).setDesc = descriptor;
        pg_sys::MemoryContextSwitchTo(before);
        for (shot, receipt) in receipts {
            let [id, status, model, seconds, cost, created_at, warnings] = receipt.columns();
            let columns = [
                argument(shot),
                id,
                status,
                model,
                argument(receipt.seed),
                seconds,
                cost,
                created_at,
                warnings,
                argument(receipt.batch.as_deref()),
            ];
            let mut nulls = columns.map(|column| column.is_none());
            let mut values = columns.map(|column| column.unwrap_or(pg_sys::Datum::from(0)));
            pg_sys::tuplestore_putvalues(rows, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        (*call).isnull = true;
        pg_sys::Datum::from(0)
    }
}

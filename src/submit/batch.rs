//! Several jobs at once: all or none.

use image_gen_engine::job::Invalid;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Map, Value};

use super::row::{Receipt, numeric};
use super::{TEXT, arguments, queue, reserve};
use crate::errors::{Code, fail};
use crate::plan::{_caller, parsed};
use crate::statement::{Statement, argument};

/// Queues the shots of a batch, and holds what they are expected to cost as a whole.
#[expect(clippy::type_complexity, reason = "the columns of generate_batch()")]
#[pg_extern(volatile, parallel_unsafe)]
pub fn _submit_batch(
    batch: &str,
    names: Vec<String>,
    operations: Vec<String>,
    described: Vec<String>,
    given: Vec<String>,
    max_cost: Option<AnyNumeric>,
    key: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(shot, String),
        name!(id, String),
        name!(status, String),
        name!(model, String),
        name!(seed, i64),
        name!(estimated_seconds, Option<AnyNumeric>),
        name!(estimated_cost, Option<AnyNumeric>),
        name!(created_at, TimestampWithTimeZone),
        name!(warnings, JsonB),
        name!(batch, Option<String>),
    ),
> {
    let shots = names.into_iter().zip(operations).zip(described.into_iter().zip(given));
    let mut receipts: Vec<(String, Receipt)> = vec![];
    let mut ids = vec![];
    for ((name, operation), (described, given)) in shots {
        let read = || -> Result<_, Invalid> {
            let what = format!("shot \"{name}\"");
            let submission = arguments::from_json(&operation, parsed(&what, &described)?)?;
            Ok((submission, parsed::<Map<String, Value>>(&what, &given)?))
        };
        let (mut submission, given) = match read() {
            Ok(read) => read,
            Err(invalid) => fail(Code::Argument, &invalid.message, &invalid.hint),
        };
        arguments::terms(&mut submission, &given);
        submission.key = key.map(|key| format!("{key}#{name}"));
        submission.batch = Some(batch.to_owned());
        let (receipt, written) = queue(&submission);
        ids.extend(written.map(|_| receipt.id.clone()));
        receipts.push((name, receipt));
    }
    if !ids.is_empty() {
        if let Some(cap) = max_cost {
            cap_batch(batch, cap);
        }
        reserve(&ids, true);
    }
    let rows: Vec<_> = receipts
        .into_iter()
        .map(|(name, r)| {
            let warnings = serde_json::from_str(&r.warnings).unwrap_or_default();
            // A timestamp of PostgreSQL's own is in range.
            let created_at = TimestampWithTimeZone::try_from(r.created_at).unwrap_or_else(|_| now());
            let status = r.status().to_owned();
            (
                name,
                r.id,
                status,
                r.model,
                r.seed,
                r.estimated_seconds,
                r.estimated_cost,
                created_at,
                JsonB(warnings),
                r.batch,
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// A budget for the batch alone.
fn cap_batch(batch: &str, cap: AnyNumeric) {
    thread_local! {
        static CAP: Statement = Statement::new(
            "WITH b AS (INSERT INTO image_gen.budgets (scope, key, amount, set_by) VALUES ('batch', $1, $2, $3::name) RETURNING id)
             INSERT INTO image_gen.budget_totals (budget_id, since) SELECT b.id, '-infinity' FROM b",
            &[TEXT, pg_sys::NUMERICOID, TEXT],
        );
    }
    let cap = numeric(&cap.to_string());
    CAP.with(|s| s.run(&[argument(batch), argument(cap), argument(_caller())], |_| ()));
}

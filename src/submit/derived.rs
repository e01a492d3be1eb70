//! Jobs that come from earlier ones, or of which one is to be chosen: `sql/sets.sql` says what they ask for.

use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::{self, described, object};
use super::batch::{cap_batch, into_rows};
use super::{Identity, Submission, json_text, queue, reserve, rights, styles};
use crate::errors::{Code, fail};
use crate::plan::admission::answered;
use crate::statement::{Element, Statement, argument};

finfo!(pg_finfo_image_gen_queue_derived);

/// A job that is to be queued, as SQL describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Derived<'a> {
    operation: String,
    #[serde(borrow)]
    arguments: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    /// What its caller is to know it by.
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    relation: Option<String>,
}

/// # Safety
/// Called by PostgreSQL, with the arguments that `sql/sets.sql` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn image_gen_queue_derived(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: a jsonb, a text and a numeric, as declared.
    let (json, batch, max_cost) = unsafe {
        let arguments = (*call).args.as_slice((*call).nargs as usize);
        let given = |at: usize| arguments.get(at).filter(|a| !a.isnull).map(|a| a.value);
        let max_cost = given(2).and_then(|datum| AnyNumeric::from_datum(datum, false));
        let batch = given(1).and_then(|datum| String::from_datum(datum, false));
        (given(0).map(json_text).unwrap_or_default(), batch, max_cost)
    };
    let cap = max_cost.map(|cap| {
        rights::amount("max_cost", &cap, "Give USD for all of them together, from 0 up, or leave it out.")
    });
    let derived: Vec<Derived<'_>> = serde_json::from_str(&json).unwrap_or_else(|e| {
        fail(
            Code::Argument,
            &format!("the jobs are not understood: {e}"),
            "Call generate_variants(), rerun_batch() or promote().",
        )
    });
    let parents: Vec<Option<String>> = derived.iter().map(|d| d.parent.clone()).collect();
    let submissions = derived.iter().map(|derived| derived.submission(batch.as_deref()));
    let queued = queue(submissions.collect(), &Identity::caller());
    let several = queued.receipts.len() > 1;
    inherit_inputs(&queued.new, &parents);
    if let (Some(cap), Some(batch)) = (cap, &batch) {
        cap_batch(batch, &cap.to_string());
    }
    if cap.is_some() || queued.budgets {
        reserve(&queued.new, several);
    }
    let labels = derived.into_iter().map(|derived| derived.label.unwrap_or_default());
    // SAFETY: the function returns rows of these columns.
    unsafe { into_rows(labels.zip(queued.receipts).collect(), call) }
}

impl Derived<'_> {
    fn submission(&self, batch: Option<&str>) -> Submission {
        let Some(named) = object(self.arguments.get()) else {
            fail(
                Code::Argument,
                "arguments is not a JSON object",
                r#"Write for example '{"width": 1024, "height": 1024}'."#,
            )
        };
        let request = answered(described("the request", &named).map_err(Into::into));
        let operation = arguments::operation(&self.operation);
        let mut submission = Submission::named(operation, request, &named, self.metadata.get());
        submission.batch = batch.map(str::to_owned);
        submission.parent = self.parent.clone();
        submission.relation = self.relation.clone();
        if self.relation.is_some() {
            submission.style = named.get("style").copied().and_then(styles::Wish::read_kept);
        }
        submission
    }
}

/// The images that a job came with are those of what comes from it, too.
fn inherit_inputs(new: &[String], parents: &[Option<String>]) {
    thread_local! {
        static INHERIT: Statement = Statement::new(
            "SELECT image_gen_internal.inherit_inputs($1, $2)",
            &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
        );
    }
    if parents.iter().any(Option::is_some) {
        let arguments = [
            Element::TEXT.array(new.iter().map(|id| argument(id.as_str()))),
            Element::TEXT.array(parents.iter().map(|id| argument(id.as_deref()))),
        ];
        INHERIT.with(|s| s.run(&arguments, |_| ()));
    }
}

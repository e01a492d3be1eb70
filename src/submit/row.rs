//! A new job as a row, and what its caller is told about it.

use std::collections::HashSet;

use pgrx::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Draft, Submission, TEXT};
use crate::plan::Kept;
use crate::statement::{Argument, Element, Inputs, Row, Statement, argument};

/// A job that is to be queued.
pub struct NewJob {
    pub id: String,
    key: Option<String>,
    hash: Option<Vec<u8>>,
    /// What decides the image, where another job's will do.
    pub fingerprint: Option<Vec<u8>>,
    seed: i64,
    model: String,
    operation: &'static str,
    task: &'static str,
    prompt: String,
    model_is_open: bool,
    provider: Option<String>,
    parameters: Argument,
    metadata: Argument,
    preferences: Argument,
    deadline: Option<i64>,
    max_cost: Argument,
    allow_unpriced: bool,
    estimated_seconds: Argument,
    estimated_cost: Argument,
    warnings: Argument,
    priority: Option<&'static str>,
    /// The jobs that it waits for.
    pub needs: Vec<String>,
    /// The job that it comes from.
    pub parent: Option<String>,
    relation: Option<String>,
    kept: Vec<Kept>,
}

/// What jobs that are queued together have in common.
pub struct Common<'a> {
    pub owner: pg_sys::Oid,
    /// Another login than the session's.
    pub login: Option<pg_sys::Oid>,
    pub batch: Option<&'a str>,
    pub instance: &'a str,
}

/// Makes texts of one job after the other into values of their columns.
pub struct RowInputs {
    parameters: Inputs,
    preferences: Inputs,
    warnings: Inputs,
    seconds: Inputs,
    cost: Inputs,
}

impl Default for RowInputs {
    fn default() -> Self {
        let json = || Inputs::new(pg_sys::jsonb_in);
        let number = || Inputs::new(pg_sys::numeric_in);
        RowInputs {
            parameters: json(),
            preferences: json(),
            warnings: json(),
            seconds: number(),
            cost: number(),
        }
    }
}

/// What came of writing rows.
#[derive(Default)]
pub struct Written {
    /// The first of them in the order of the queue.
    pub lowest_seq: Option<i64>,
    /// Whether there are budgets, seen by the same statement.
    pub budgets: bool,
    /// Which were written, where not all were for certain.
    ids: Option<HashSet<String>>,
}

impl Written {
    /// Whether a job was written, and not left out for its key.
    pub fn has(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(id))
    }
}

/// What queueing a job returns: `image_gen.receipt`, and what a batch shows besides.
#[derive(Clone)]
pub struct Receipt {
    pub id: String,
    status: String,
    model: String,
    estimated_seconds: Argument,
    estimated_cost: Argument,
    created_at: i64,
    warnings: Argument,
    pub seed: i64,
    pub batch: Option<String>,
}

/// As the session shows it.
pub fn timestamp_text(at: pg_sys::TimestampTz) -> Option<String> {
    thread_local! {
        static SHOWN: Statement = Statement::new("SELECT $1::text", &[pg_sys::TIMESTAMPTZOID]);
    }
    let shown = SHOWN.with(|s| s.run(&[Some(pg_sys::Datum::from(at))], |row| row.get::<String>(1)));
    shown.into_iter().flatten().next()
}

impl NewJob {
    pub fn new(submission: &Submission, draft: Draft, hash: Option<Vec<u8>>, inputs: &mut RowInputs) -> Self {
        let Draft { job_id, checked, answer } = draft;
        let first = answer.admission.first();
        let seconds = answer.seconds(&checked.request);
        let cost = answer.admission.cost().map(|c| c.normalize().to_string());
        let mut parameters = serde_json::to_value(&checked.request).unwrap_or_default();
        if let Value::Object(parameters) = &mut parameters {
            parameters.remove("prompt");
            parameters.remove("seed");
        }
        NewJob {
            key: submission.key.clone(),
            hash,
            fingerprint: None,
            seed: checked.request.seed,
            model: first.map(|c| c.model.clone()).unwrap_or_default(),
            operation: submission.operation.as_str(),
            task: answer.need.as_str(),
            prompt: checked.request.prompt,
            parameters: inputs.parameters.value(parameters.to_string()),
            metadata: submission.metadata.datum,
            preferences: answer.preferences.and_then(|p| inputs.preferences.value(json!(p).to_string())),
            // 'infinity' is none.
            deadline: submission.deadline.filter(|deadline| *deadline != i64::MAX),
            max_cost: submission.max_cost.clone().and_then(IntoDatum::into_datum),
            allow_unpriced: submission.allow_unpriced,
            estimated_seconds: seconds.and_then(|seconds| inputs.seconds.value(seconds.to_string())),
            estimated_cost: cost.and_then(|cost| inputs.cost.value(cost)),
            warnings: inputs.warnings.value(json!(answer.admission.warnings).to_string()),
            priority: checked.priority.map(|p| p.as_str()),
            model_is_open: answer.target.named.is_none(),
            provider: answer.target.named.and_then(|named| named.provider),
            needs: vec![],
            parent: submission.parent.clone(),
            relation: submission.relation.clone(),
            kept: checked.kept,
            id: job_id,
        }
    }

    /// Of a request (as it was described) and of where it goes.
    pub fn fingerprint(&self, described: &Value) -> Vec<u8> {
        let all = json!([described, self.model, self.provider]);
        Sha256::digest(all.to_string().as_bytes()).to_vec()
    }

    pub fn receipt(self, batch: Option<&str>) -> Receipt {
        Receipt {
            id: self.id,
            status: "queued".into(),
            model: self.model,
            estimated_seconds: self.estimated_seconds,
            estimated_cost: self.estimated_cost,
            // SAFETY: in a transaction.
            created_at: unsafe { pg_sys::GetCurrentTransactionStartTimestamp() },
            warnings: self.warnings,
            seed: self.seed,
            batch: batch.map(str::to_owned),
        }
    }
}

/// A column of `jobs` that each new job has its own value in.
struct Column {
    name: &'static str,
    oid: pg_sys::Oid,
    array: pg_sys::Oid,
    element: Element,
    value: fn(&NewJob) -> Argument,
}

macro_rules! columns {
    ($($name:literal $oid:ident $array:ident $element:ident $value:expr;)*) => {
        [$(Column { name: $name, oid: pg_sys::$oid, array: pg_sys::$array, element: Element::$element, value: $value }),*]
    };
}

static COLUMNS: [Column; 23] = columns![
    "id" TEXTOID TEXTARRAYOID TEXT |j| argument(j.id.as_str());
    "operation" TEXTOID TEXTARRAYOID TEXT |j| argument(j.operation);
    "task" TEXTOID TEXTARRAYOID TEXT |j| argument(j.task);
    "prompt" TEXTOID TEXTARRAYOID TEXT |j| argument(j.prompt.as_str());
    "model" TEXTOID TEXTARRAYOID TEXT |j| argument(j.model.as_str());
    "model_is_open" BOOLOID BOOLARRAYOID BOOLEAN |j| argument(j.model_is_open);
    "provider" TEXTOID TEXTARRAYOID TEXT |j| argument(j.provider.as_deref());
    "seed" INT8OID INT8ARRAYOID BIGINT |j| argument(j.seed);
    "parameters" JSONBOID JSONBARRAYOID JSONB |j| j.parameters;
    "metadata" JSONBOID JSONBARRAYOID JSONB |j| j.metadata;
    "preferences" JSONBOID JSONBARRAYOID JSONB |j| j.preferences;
    "idempotency_key" TEXTOID TEXTARRAYOID TEXT |j| argument(j.key.as_deref());
    "request_hash" BYTEAOID BYTEAARRAYOID BYTEA |j| argument(j.hash.as_deref());
    "fingerprint" BYTEAOID BYTEAARRAYOID BYTEA |j| argument(j.fingerprint.as_deref());
    "deadline" TIMESTAMPTZOID TIMESTAMPTZARRAYOID TIMESTAMPTZ |j| j.deadline.map(pg_sys::Datum::from);
    "max_cost" NUMERICOID NUMERICARRAYOID NUMERIC |j| j.max_cost;
    "allow_unpriced" BOOLOID BOOLARRAYOID BOOLEAN |j| argument(j.allow_unpriced);
    "estimated_seconds" NUMERICOID NUMERICARRAYOID NUMERIC |j| j.estimated_seconds;
    "estimated_cost" NUMERICOID NUMERICARRAYOID NUMERIC |j| j.estimated_cost;
    "warnings" JSONBOID JSONBARRAYOID JSONB |j| j.warnings;
    "priority" TEXTOID TEXTARRAYOID TEXT |j| argument(j.priority);
    "parent" TEXTOID TEXTARRAYOID TEXT |j| argument(j.parent.as_deref());
    "relation" TEXTOID TEXTARRAYOID TEXT |j| argument(j.relation.as_deref());
];

/// The session's login, as `jobs.login` has it where nothing else is said.
const SESSION: &str = "quote_ident(session_user)::regrole";

/// Writes jobs and their places in the queue. A job whose key another one has is left out.
pub fn insert<'a>(common: &Common<'_>, jobs: impl Iterator<Item = &'a NewJob>) -> Written {
    thread_local! {
        // A plan for each shape: jobs with keys of their own, jobs that wait for others, several jobs.
        static INSERT: [Statement; 8] = std::array::from_fn(|shape| {
            let several = shape & 4 != 0;
            Statement::new(&text_of(shape & 1 != 0, shape & 2 != 0, several), &types_of(several))
        });
    }
    let jobs: Vec<&NewJob> = jobs.collect();
    let keyed = jobs.iter().any(|job| job.key.is_some());
    let needs: Vec<(&str, &str)> =
        jobs.iter().flat_map(|job| job.needs.iter().map(|n| (job.id.as_str(), n.as_str()))).collect();
    let shape = usize::from(keyed) | usize::from(!needs.is_empty()) << 1 | usize::from(jobs.len() > 1) << 2;
    let mut arguments: Vec<Argument> = match jobs[..] {
        [job] => COLUMNS.iter().map(|column| (column.value)(job)).collect(),
        _ => COLUMNS.iter().map(|c| c.element.array(jobs.iter().map(|job| (c.value)(job)))).collect(),
    };
    arguments.extend([
        argument(common.owner),
        argument(common.login),
        argument(common.batch),
        argument(common.instance),
    ]);
    arguments.extend(match needs[..] {
        [] => [None, None],
        _ => [
            Element::TEXT.array(needs.iter().map(|(job, _)| argument(*job))),
            Element::TEXT.array(needs.iter().map(|(_, needed)| argument(*needed))),
        ],
    });
    let read = |row: &Row| Written {
        lowest_seq: row.get(1),
        budgets: row.get(2).unwrap_or(false),
        ids: keyed.then(|| row.get::<Vec<String>>(3).unwrap_or_default().into_iter().collect()),
    };
    let written = INSERT.with(|shapes| shapes[shape].run(&arguments, read)).into_iter().next();
    // No row where a single job was left out.
    written.unwrap_or_else(|| Written { ids: Some(HashSet::new()), ..Written::default() })
}

fn types_of(several: bool) -> Vec<pg_sys::Oid> {
    let own = COLUMNS.iter().map(|column| if several { column.array } else { column.oid });
    own.chain([pg_sys::OIDOID, pg_sys::OIDOID, TEXT, TEXT, pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID])
        .collect()
}

/// One statement writes all: what starts a statement costs more than the rows do.
fn text_of(keyed: bool, needs: bool, several: bool) -> String {
    let names = COLUMNS.each_ref().map(|column| column.name).join(", ");
    let values: Vec<String> = (1..=COLUMNS.len()).map(|n| format!("${n}")).collect();
    let values = values.join(", ");
    // What follows the columns: owner, login, batch, instance, and which job needs which.
    let [owner, login, batch, instance, job, needed] = [1, 2, 3, 4, 5, 6].map(|n| COLUMNS.len() + n);
    let rows = match several {
        false => format!("VALUES ({values}, ${owner}, coalesce(${login}, {SESSION}), ${batch})"),
        true => format!(
            "SELECT n.*, ${owner}, coalesce(${login}, {SESSION}), ${batch} FROM unnest({values}) AS n({names})"
        ),
    };
    let (seq, ids) = match several {
        false => ("q.seq", "ARRAY[q.job_id]"),
        true => ("min(q.seq)", "array_agg(q.job_id)"),
    };
    let (conflict, ids) = match keyed {
        false => ("", "NULL::text[]"),
        true => ("ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING", ids),
    };
    let (state, waits) = match needs {
        false => ("'ready'".to_owned(), String::new()),
        true => (
            format!("CASE WHEN j.id IN (SELECT unnest(${job})) THEN 'waiting' ELSE 'ready' END"),
            format!(
                ", w AS (INSERT INTO image_gen_internal.job_dependencies (needs, seq)
                         SELECT DISTINCT w.needed, j.seq FROM j JOIN unnest(${job}, ${needed}) AS w(job, needed) ON w.job = j.id)"
            ),
        ),
    };
    format!(
        "WITH j AS (
           INSERT INTO image_gen.jobs ({names}, owner, login, batch) {rows} {conflict} RETURNING seq, id, owner
         ), q AS (
           INSERT INTO image_gen_internal.queue (seq, job_id, owner, state, instance) SELECT j.seq, j.id, j.owner, {state}, ${instance}::uuid FROM j
           RETURNING seq, job_id
         ){waits}
         SELECT {seq}, EXISTS (SELECT FROM image_gen.budgets), {ids} FROM q"
    )
}

/// Stores the images that came along.
pub fn keep_inputs<'a>(jobs: impl Iterator<Item = &'a NewJob>) {
    thread_local! {
        static KEEP: Statement = Statement::new(
            "SELECT image_gen_internal.store_job_input(i.job, i.hash, i.type, i.bytes) FROM unnest($1, $2, $3, $4) AS i(job, hash, type, bytes)",
            &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID, pg_sys::BYTEAARRAYOID],
        );
    }
    let kept: Vec<(&str, &Kept)> =
        jobs.flat_map(|job| job.kept.iter().map(|kept| (job.id.as_str(), kept))).collect();
    if !kept.is_empty() {
        let arguments = [
            Element::TEXT.array(kept.iter().map(|(job, _)| argument(*job))),
            Element::TEXT.array(kept.iter().map(|(_, kept)| argument(kept.sha256.as_str()))),
            Element::TEXT.array(kept.iter().map(|(_, kept)| argument(kept.content_type.as_str()))),
            Element::BYTEA.array(kept.iter().map(|(_, kept)| argument(kept.bytes.as_slice()))),
        ];
        KEEP.with(|s| s.run(&arguments, |_| ()));
    }
}

impl Receipt {
    /// Of a row of jobs.
    pub fn read(row: &Row) -> Self {
        let text = |column| row.get::<String>(column).unwrap_or_default();
        Receipt {
            id: text(1),
            status: text(2),
            model: text(3),
            estimated_seconds: row.copied(4, false, -1),
            estimated_cost: row.copied(5, false, -1),
            created_at: row.get(6).unwrap_or_default(),
            warnings: row.copied(7, false, -1),
            seed: row.get(9).unwrap_or_default(),
            batch: row.get(10),
        }
    }

    /// As the columns of type `image_gen.receipt`.
    pub fn columns(&self) -> [Argument; 7] {
        [
            argument(self.id.as_str()),
            argument(self.status.as_str()),
            argument(self.model.as_str()),
            self.estimated_seconds,
            self.estimated_cost,
            Some(pg_sys::Datum::from(self.created_at)),
            self.warnings,
        ]
    }

    /// As a row of that type.
    ///
    /// # Safety
    /// The call is of a function that returns it.
    pub unsafe fn into_tuple(self, call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
        let columns = self.columns();
        let mut nulls = columns.map(|v| v.is_none());
        let mut values = columns.map(|v| v.unwrap_or(pg_sys::Datum::from(0)));
        // SAFETY: the type's descriptor has seven columns of these types, as the caller promises.
        unsafe {
            let mut descriptor: pg_sys::TupleDesc = std::ptr::null_mut();
            pg_sys::get_call_result_type(call, std::ptr::null_mut(), &mut descriptor);
            let descriptor = pg_sys::BlessTupleDesc(descriptor);
            let tuple = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)
        }
    }
}

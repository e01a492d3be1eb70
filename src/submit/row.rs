//! A new job as a row, and what its caller is told about it.

use image_gen_engine::job::Warning;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::{Submission, TEXT};
use crate::plan::admission::Answer;
use crate::plan::{Checked, Kept};
use crate::statement::{Argument, Row, Statement, argument};

/// A job that is to be queued.
pub struct NewJob {
    pub id: String,
    pub owner: String,
    key: Option<String>,
    hash: Option<Vec<u8>>,
    pub seed: i64,
    pub model: String,
    pub batch: Option<String>,
    operation: &'static str,
    task: &'static str,
    prompt: String,
    provider: Option<String>,
    parameters: String,
    metadata: Argument,
    preferences: Option<String>,
    deadline: Option<i64>,
    max_cost: Argument,
    allow_unpriced: bool,
    estimated_seconds: Option<String>,
    estimated_cost: Option<String>,
    warnings: String,
    priority: Option<&'static str>,
    needs: Vec<String>,
    home: String,
    kept: Vec<Kept>,
}

/// What came of writing a row.
pub struct Written {
    /// The order of the queue.
    pub seq: i64,
    /// Whether there are budgets, seen by the same statement.
    pub budgets: bool,
}

/// What queueing a job returns: `image_gen.receipt`, and what a batch shows besides.
pub struct Receipt {
    pub id: String,
    status: String,
    pub model: String,
    pub estimated_seconds: Option<AnyNumeric>,
    pub estimated_cost: Option<AnyNumeric>,
    pub created_at: i64,
    pub warnings: String,
    pub seed: i64,
    pub batch: Option<String>,
}

/// A number that is written down.
pub fn numeric(text: &str) -> Option<AnyNumeric> {
    AnyNumeric::try_from(text).ok()
}

/// As the session shows it.
pub fn timestamp_text(at: pg_sys::TimestampTz) -> Option<String> {
    thread_local! {
        static SHOWN: Statement = Statement::new("SELECT $1::text", &[pg_sys::TIMESTAMPTZOID]);
    }
    let shown = SHOWN.with(|s| s.run(&[Some(pg_sys::Datum::from(at))], |row| row.get::<String>(1)));
    shown.into_iter().flatten().next()
}

/// Terms that came as text, read as PostgreSQL reads them.
pub fn typed(
    deadline: Option<String>,
    max_cost: Option<String>,
    allow_unpriced: Option<String>,
) -> (Option<i64>, Option<AnyNumeric>, bool) {
    thread_local! {
        static TYPED: Statement =
            Statement::new("SELECT $1::timestamptz, $2::numeric, $3::boolean", &[TEXT, TEXT, TEXT]);
    }
    let arguments = [argument(deadline), argument(max_cost), argument(allow_unpriced)];
    let read = |row: &Row| {
        let deadline = row.get::<i64>(1);
        (deadline, row.get::<AnyNumeric>(2), row.get::<bool>(3).unwrap_or(false))
    };
    TYPED.with(|s| s.run(&arguments, read)).into_iter().next().unwrap_or_default()
}

impl NewJob {
    #[expect(clippy::too_many_arguments, reason = "each is a part of the row, made elsewhere")]
    pub fn new(
        submission: &Submission,
        id: String,
        owner: String,
        checked: Checked,
        answer: Answer,
        needs: Vec<String>,
        warnings: Vec<Warning>,
        hash: Option<Vec<u8>>,
        home: String,
    ) -> Self {
        let first = answer.admission.first();
        let cost = answer.admission.cost().map(|c| c.normalize().to_string());
        let mut parameters = serde_json::to_value(&checked.request).unwrap_or_default();
        if let Value::Object(parameters) = &mut parameters {
            parameters.remove("prompt");
            parameters.remove("seed");
        }
        NewJob {
            owner,
            key: submission.key.clone(),
            hash,
            seed: checked.request.seed,
            model: first.map(|c| c.model.clone()).unwrap_or_default(),
            batch: submission.batch.clone(),
            operation: submission.operation.as_str(),
            task: answer.need.as_str(),
            prompt: checked.request.prompt,
            provider: answer.target.named.and_then(|named| named.provider),
            parameters: parameters.to_string(),
            metadata: submission.metadata.datum,
            preferences: answer.preferences.map(|p| json!(p).to_string()),
            // 'infinity' is none.
            deadline: submission.deadline.filter(|deadline| *deadline != i64::MAX),
            max_cost: submission.max_cost.clone().and_then(IntoDatum::into_datum),
            allow_unpriced: submission.allow_unpriced,
            estimated_seconds: first.map(|c| c.typical_seconds.to_string()),
            estimated_cost: cost,
            warnings: json!(warnings).to_string(),
            priority: checked.priority.map(|p| p.as_str()),
            needs,
            home,
            kept: checked.kept,
            id,
        }
    }

    /// Writes the job and its place in the queue. `None` when a job with its key exists.
    pub fn insert(&self) -> Option<Written> {
        thread_local! {
            // A plan for each shape of job: with a key of its own, and waiting for others.
            static INSERT: [Statement; 4] =
                [0, 1, 2, 3].map(|shape| Statement::new(&text_of(shape & 1 != 0, shape & 2 != 0), &TYPES));
        }
        let shape = usize::from(self.key.is_some()) | usize::from(!self.needs.is_empty()) << 1;
        let state = if self.needs.is_empty() { "ready" } else { "waiting" };
        let arguments = [
            argument(self.id.as_str()),
            argument(self.operation),
            argument(self.task),
            argument(self.prompt.as_str()),
            argument(self.model.as_str()),
            argument(self.provider.as_deref()),
            argument(self.seed),
            argument(self.parameters.as_str()),
            self.metadata,
            argument(self.preferences.as_deref()),
            argument(self.owner.as_str()),
            argument(self.key.as_deref()),
            argument(self.hash.as_deref()),
            self.deadline.map(pg_sys::Datum::from),
            self.max_cost,
            argument(self.allow_unpriced),
            argument(self.batch.as_deref()),
            argument(self.estimated_seconds.as_deref()),
            argument(self.estimated_cost.as_deref()),
            argument(self.warnings.as_str()),
            argument(self.priority),
            argument(state),
            argument(self.home.as_str()),
            argument(self.needs.clone()),
        ];
        let read = |row: &Row| Some(Written { seq: row.get::<i64>(1)?, budgets: row.get::<bool>(2)? });
        INSERT.with(|shapes| shapes[shape].run(&arguments, read)).into_iter().flatten().next()
    }

    /// Stores the pictures that came along.
    pub fn keep_inputs(&self) {
        thread_local! {
            static KEEP: Statement = Statement::new(
                "SELECT image_gen._keep_input($1, $2, $3, $4)",
                &[TEXT, TEXT, TEXT, pg_sys::BYTEAOID],
            );
        }
        for kept in &self.kept {
            let arguments = [
                argument(self.id.as_str()),
                argument(kept.sha256.as_str()),
                argument(kept.content_type.as_str()),
                argument(kept.bytes.as_slice()),
            ];
            KEEP.with(|s| s.run(&arguments, |_| ()));
        }
    }

    pub fn receipt(&self) -> Receipt {
        Receipt {
            id: self.id.clone(),
            status: "queued".into(),
            model: self.model.clone(),
            estimated_seconds: self.estimated_seconds.as_deref().and_then(numeric),
            estimated_cost: self.estimated_cost.as_deref().and_then(numeric),
            // SAFETY: in a transaction.
            created_at: unsafe { pg_sys::GetCurrentTransactionStartTimestamp() },
            warnings: self.warnings.clone(),
            seed: self.seed,
            batch: self.batch.clone(),
        }
    }
}

static TYPES: [pg_sys::Oid; 24] = [
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    pg_sys::INT8OID,
    TEXT,
    pg_sys::JSONBOID,
    TEXT,
    TEXT,
    TEXT,
    pg_sys::BYTEAOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::NUMERICOID,
    pg_sys::BOOLOID,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    pg_sys::TEXTARRAYOID,
];

/// One statement writes all: what starts a statement costs more than the rows do.
fn text_of(keyed: bool, needs: bool) -> String {
    let conflict = match keyed {
        true => "ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING",
        false => "",
    };
    let waits = match needs {
        true => {
            ", w AS (INSERT INTO image_gen.waits (needs, seq) SELECT DISTINCT n, j.seq FROM j CROSS JOIN LATERAL unnest($24) AS n)"
        }
        false => "",
    };
    format!(
        "WITH j AS (
           INSERT INTO image_gen.jobs
             (id, operation, task, prompt, model, provider, seed, parameters, metadata, preferences, owner, idempotency_key,
              request_hash, deadline, max_cost, allow_unpriced, batch, estimated_seconds, estimated_cost, warnings, priority)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10::jsonb, $11::name, $12, $13, $14, $15, $16, $17, $18::numeric,
                   $19::numeric, $20::jsonb, $21) {conflict}
           RETURNING seq, id, owner
         ), q AS (
           INSERT INTO image_gen.queue (seq, job_id, owner, state, home) SELECT j.seq, j.id, j.owner, $22, $23::uuid FROM j
           RETURNING seq
         ){waits}
         SELECT q.seq, EXISTS (SELECT FROM image_gen.budgets) FROM q"
    )
}

impl Receipt {
    /// Of a row of jobs, and the hash of its arguments.
    pub fn read(row: &Row) -> (Self, Option<Vec<u8>>) {
        let text = |column| row.get::<String>(column).unwrap_or_default();
        let receipt = Receipt {
            id: text(1),
            status: text(2),
            model: text(3),
            estimated_seconds: row.get(4),
            estimated_cost: row.get(5),
            created_at: row.get(6).unwrap_or_default(),
            warnings: row.get::<pgrx::JsonB>(7).map(|w| w.0.to_string()).unwrap_or_default(),
            seed: row.get(9).unwrap_or_default(),
            batch: row.get(10),
        };
        (receipt, row.get::<Vec<u8>>(8))
    }

    pub fn status(&self) -> &str {
        &self.status
    }

    /// As a row of type `image_gen.receipt`.
    ///
    /// # Safety
    /// The call is of a function that returns that type.
    pub unsafe fn into_tuple(self, call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
        let warnings: Value = serde_json::from_str(&self.warnings).unwrap_or_default();
        let values: [Argument; 7] = [
            argument(self.id),
            argument(self.status),
            argument(self.model),
            argument(self.estimated_seconds),
            argument(self.estimated_cost),
            Some(pg_sys::Datum::from(self.created_at)),
            argument(pgrx::JsonB(warnings)),
        ];
        let mut nulls = values.map(|v| v.is_none());
        let mut values = values.map(|v| v.unwrap_or(pg_sys::Datum::from(0)));
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

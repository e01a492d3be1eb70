//! A request on its way into the queue: checked, admitted and written, in the caller's transaction.

mod arguments;
pub mod batch;
mod rights;
mod row;

use std::ffi::CStr;

use image_gen_engine::admission::Purpose;
use image_gen_engine::input::Role;
use image_gen_engine::job::{Invalid, Operation, RawRequest};
use pgrx::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::errors::{Code, fail};
use crate::plan::admission::{Answer, Wanted, answered};
use crate::plan::{_caller, _new_job_id, Checked, check, parsed};
use crate::statement::{Argument, Statement, argument};
use crate::{home, settings, snapshot, wake};
use row::{NewJob, Receipt, Written};

const TEXT: pg_sys::Oid = pg_sys::TEXTOID;

/// The largest metadata of one job, in bytes of JSON.
const MAX_METADATA: usize = 65_536;

/// What a caller asks for: a request, and what is to be done with it.
pub struct Submission {
    operation: Operation,
    request: RawRequest,
    /// The model as the caller wrote it.
    model: Option<String>,
    metadata: Metadata,
    /// `provider_preferences`, as JSON.
    preferences: Option<String>,
    key: Option<String>,
    deadline: Option<pg_sys::TimestampTz>,
    max_cost: Option<AnyNumeric>,
    allow_unpriced: bool,
    /// The generate_batch() that it came with.
    batch: Option<String>,
}

/// The caller's own JSON: passed on as it is.
pub struct Metadata {
    datum: Argument,
    text: String,
}

impl Metadata {
    /// `None` is an empty object.
    fn new(datum: Argument) -> Self {
        let datum = datum.or_else(|| pgrx::JsonB(json!({})).into_datum());
        let text = datum.map(json_text).unwrap_or_default();
        Metadata { datum, text }
    }
}

/// A jsonb as text.
fn json_text(datum: pg_sys::Datum) -> String {
    // SAFETY: a datum of type jsonb; its text is copied.
    unsafe {
        let json = pg_sys::pg_detoast_datum(datum.cast_mut_ptr::<pg_sys::varlena>());
        let root = &raw mut (*json.cast::<pg_sys::Jsonb>()).root;
        let size = pgrx::varsize_any(json) as i32;
        let text = pg_sys::JsonbToCString(std::ptr::null_mut(), root, size);
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        owned
    }
}

impl Submission {
    /// What is wrong whatever the request.
    fn check(&self) {
        // SAFETY: a plain look at shared memory.
        if unsafe { pg_sys::RecoveryInProgress() } {
            fail(Code::ReadOnly, "jobs cannot be queued on a standby", "Call it on the primary.");
        }
        if !self.metadata.text.starts_with('{') {
            fail(
                Code::Argument,
                "metadata is not a JSON object",
                r#"Write for example metadata => '{"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}'."#,
            );
        }
        if self.metadata.text.len() > MAX_METADATA {
            fail(
                Code::TooLarge,
                "metadata is larger than 64 kB",
                "Store large data in a table of your own, under the job's id.",
            );
        }
        if self.key.as_ref().is_some_and(|key| key.is_empty() || key.chars().count() > 255) {
            fail(
                Code::Argument,
                "the idempotency key is empty or longer than 255 characters",
                "Use the id of what the picture is for, such as a row's key.",
            );
        }
    }

    /// Of the arguments, where there is a key. Nothing in it depends on the session: not the time zone, not how a number was
    /// written.
    fn hash(&self) -> Option<Vec<u8>> {
        self.key.as_ref()?;
        let all = json!([
            self.operation,
            self.request,
            self.model,
            self.metadata.text,
            self.preferences,
            self.deadline,
            self.max_cost.as_ref().map(|amount| amount.normalize().to_owned()),
            self.allow_unpriced
        ]);
        Some(Sha256::digest(all.to_string().as_bytes()).to_vec())
    }

    fn check_deadline(&self) {
        // SAFETY: the clock.
        let late = self.deadline.filter(|deadline| *deadline <= unsafe { pg_sys::GetCurrentTimestamp() });
        if let Some(deadline) = late {
            let shown = row::timestamp_text(deadline).unwrap_or_default();
            fail(
                Code::Argument,
                &format!("the deadline {shown} has passed"),
                "A job is not sent after its deadline: give a time in the future.",
            );
        }
    }

    /// Checks the request and admits it. Writes nothing.
    fn draft(&self) -> (String, Checked, Answer) {
        let max_cost = self.max_cost.as_ref().map(|max_cost| rights::bounded("max_cost", max_cost));
        rights::check_options(self.request.options.as_ref());
        let job_id = _new_job_id();
        let checked = check(&job_id, self.operation, self.request.clone());
        let checked = answered(checked.map_err(|invalid: Invalid| invalid.into()));
        let wanted = Wanted {
            job_id: &job_id,
            operation: self.operation,
            request: &checked.request,
            priority: checked.priority,
            model: self.model.as_deref(),
            preferences: self.preferences.as_deref(),
            max_cost,
            allow_unpriced: self.allow_unpriced,
        };
        let answer = answered(wanted.ask(&snapshot::current(), Purpose::Queue));
        (job_id, checked, answer)
    }

    /// The row of the job, and which other jobs it waits for.
    fn job(&self, hash: Option<Vec<u8>>) -> NewJob {
        let (job_id, checked, answer) = self.draft();
        let owner = _caller();
        let needs = needs(&checked, &owner);
        let most = settings::MAX_QUEUED_PER_ROLE.get();
        if most != 0 {
            make_room(&owner, most);
        }
        let mut warnings = answer.admission.warnings.clone();
        let standing = home::settled();
        if let Some(why) = &standing.held {
            let message = format!("it waits: {why}; an administrator must call image_gen.resume()");
            warnings.push(image_gen_engine::job::Warning::new("held", message));
        }
        NewJob::new(self, job_id, owner, checked, answer, needs, warnings, hash, standing.id)
    }
}

/// Queues one job, and holds its estimate where a budget applies.
fn submit(submission: &Submission) -> Receipt {
    let (receipt, written) = queue(submission);
    if written.is_some_and(|written| written.budgets) {
        reserve(std::slice::from_ref(&receipt.id), false);
    }
    receipt
}

/// Writes a job, and what came of that; without it there was one with its key.
fn queue(submission: &Submission) -> (Receipt, Option<Written>) {
    submission.check();
    let hash = submission.hash();
    let key = submission.key.as_deref().zip(hash.as_deref());
    if let Some(receipt) = key.and_then(|(key, hash)| same_job(&_caller(), key, hash)) {
        return (receipt, None);
    }
    // After the look for the key: a repeated call must get its job, however late.
    submission.check_deadline();
    rights::check(&submission.metadata.text, submission.metadata.datum, submission.allow_unpriced);
    let job = submission.job(hash.clone());
    let written = job.insert();
    match &written {
        Some(written) => {
            wake::_wake(Some(written.seq));
            job.keep_inputs();
        }
        // Another session committed the same key between our look and our write.
        None => {
            if let Some(receipt) = key.and_then(|(key, hash)| same_job(&job.owner, key, hash)) {
                return (receipt, None);
            }
        }
    }
    (job.receipt(), written)
}

/// The job that a key belongs to; an error when it was queued with other arguments.
fn same_job(owner: &str, key: &str, hash: &[u8]) -> Option<Receipt> {
    thread_local! {
        static SAME: Statement = Statement::new(
            "SELECT j.id, j.status, j.model, j.estimated_seconds, j.estimated_cost, j.created_at, j.warnings, j.request_hash, j.seed, j.batch
               FROM image_gen.jobs j WHERE j.owner = $1::name AND j.idempotency_key = $2",
            &[TEXT, TEXT],
        );
    }
    let found = SAME.with(|s| s.run(&[argument(owner), argument(key)], Receipt::read));
    let (receipt, other) = found.into_iter().next()?;
    if other.as_deref() != Some(hash) {
        crate::errors::conflict(
            &format!("idempotency key \"{key}\" belongs to a job with other arguments"),
            &format!("That job is {}.", receipt.id),
            "Repeat the call with the same arguments, or use another key.",
        );
    }
    Some(receipt)
}

/// The unfinished jobs whose pictures a request needs. An error for a picture that the caller may not see.
fn needs(checked: &Checked, owner: &str) -> Vec<String> {
    thread_local! {
        static NEEDS: Statement =
            Statement::new("SELECT image_gen._needs($1, $2, $3::name)", &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID, TEXT]);
    }
    let came_along = |role: &Role| checked.kept.iter().any(|kept| kept.role == *role);
    let (roles, references): (Vec<String>, Vec<String>) = Role::ALL
        .into_iter()
        .filter(|role| !came_along(role))
        .filter_map(|role| Some((role.name().to_owned(), role.reference(&checked.request)?.to_owned())))
        .filter(|(_, reference)| !reference.starts_with("http://") && !reference.starts_with("https://"))
        .unzip();
    if roles.is_empty() {
        return vec![];
    }
    let arguments = [argument(roles), argument(references), argument(owner)];
    let found = NEEDS.with(|s| s.run(&arguments, |row| row.get::<Vec<Option<String>>>(1)));
    found.into_iter().flatten().flatten().flatten().collect()
}

fn make_room(owner: &str, most: i32) {
    thread_local! {
        static ROOM: Statement =
            Statement::new("SELECT image_gen._make_room($1::name, $2)", &[TEXT, pg_sys::INT8OID]);
    }
    ROOM.with(|s| s.run(&[argument(owner), argument(i64::from(most))], |_| ()));
}

/// Holds the estimates of new jobs in the budgets that apply.
fn reserve(ids: &[String], headroom: bool) {
    thread_local! {
        static RESERVE: Statement =
            Statement::new("SELECT image_gen._reserve($1, $2)", &[pg_sys::TEXTARRAYOID, pg_sys::BOOLOID]);
    }
    RESERVE.with(|s| s.run(&[argument(ids.to_vec()), argument(headroom)], |_| ()));
}

/// What an operation would cost, without queueing it. `arguments` are those that describe the picture.
#[expect(clippy::type_complexity, reason = "the columns of estimate()")]
#[pg_extern(volatile, parallel_unsafe)]
pub fn _estimate(
    operation: &str,
    arguments: &str,
    model: Option<&str>,
    preferences: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(model, Option<String>),
        name!(provider, Option<String>),
        name!(estimated_cost, Option<AnyNumeric>),
        name!(estimated_seconds, Option<AnyNumeric>),
        name!(warnings, pgrx::JsonB),
    ),
> {
    let read = || -> Result<Submission, Invalid> {
        arguments::from_json(operation, parsed("the request", arguments)?)
    };
    let submission = match read() {
        Ok(submission) => submission,
        Err(invalid) => fail(Code::Argument, &invalid.message, &invalid.hint),
    };
    let model = model.map(str::to_owned);
    let preferences = preferences.map(str::to_owned);
    let submission = Submission { model, preferences, allow_unpriced: true, ..submission };
    let (_, checked, answer) = submission.draft();
    needs(&checked, &_caller());
    let first = answer.admission.first();
    TableIterator::once((
        first.map(|c| c.model.clone()),
        first.map(|c| c.provider.clone()),
        answer.admission.cost().and_then(|c| row::numeric(&c.normalize().to_string())),
        first.and_then(|c| row::numeric(&c.typical_seconds.to_string())),
        pgrx::JsonB(json!(answer.admission.warnings)),
    ))
}

//! A request on its way into the queue: checked, admitted and written, in the caller's transaction.

pub mod arguments;
mod batch;
mod derived;
mod keys;
mod reuse;
pub mod rights;
mod row;
pub mod shots;
mod sources;
pub mod styles;
mod submission;

use image_gen_engine::input::Role;
use image_gen_engine::job::{Operation, Warning};
use keys::{Key, same_jobs};
use pgrx::prelude::*;
use reuse::Reused;
use rights::Rights;
use row::{Common, NewJob, Receipt, RowInputs};
use serde_json::json;
use serde_json::value::RawValue;
use sources::{needs, references_of};
use submission::Draft;
pub use submission::{Metadata, Submission, json_text};

use crate::errors::{Code, fail, warn};
use crate::plan::admission::answered;
use crate::plan::caller;
use crate::statement::{Statement, argument};
use crate::{instance, snapshot, wake};

const TEXT: pg_sys::Oid = pg_sys::TEXTOID;

/// Whose jobs are queued.
pub struct Identity {
    owner: pg_sys::Oid,
    /// `None` is that of the session.
    login: Option<pg_sys::Oid>,
}

impl Identity {
    /// The caller.
    fn caller() -> Self {
        Identity { owner: caller(), login: None }
    }

    /// A role, whatever session it is: its own budgets count, and not those of the session's login.
    pub fn of(role: pg_sys::Oid) -> Self {
        Identity { owner: role, login: Some(role) }
    }
}

/// What came of queueing some jobs.
struct Queued {
    /// One for each submission, in their order.
    receipts: Vec<Receipt>,
    /// The ids of those that are new.
    new: Vec<String>,
    /// Whether there are budgets.
    budgets: bool,
}

/// Queues one job, and holds its estimate where a budget applies.
pub fn submit(submission: Submission) -> Option<Receipt> {
    let queued = queue(vec![submission], &Identity::caller());
    if queued.budgets {
        reserve(&queued.new, false);
    }
    queued.receipts.into_iter().next()
}

/// Queues a job for each prompt, all or none; `arguments` are those of generate() that they have in common, as a JSON object.
/// The ids of the jobs, in their order.
pub fn template(arguments: &str, prompts: Vec<String>, identity: &Identity) -> Vec<String> {
    let (operation, mut named) = arguments::operation_named(Some("generate"), Some(arguments));
    let metadata = named.remove("metadata").map(RawValue::get).filter(|json| *json != "null");
    let request = answered(arguments::described("arguments", &named).map_err(Into::into));
    let common = Submission::named(operation, request, &named, metadata.unwrap_or("{}"));
    let submissions = prompts.into_iter().map(|prompt| {
        let mut submission = common.clone();
        submission.request.prompt = Some(prompt);
        submission
    });
    let queued = queue(submissions.collect(), identity);
    if queued.budgets {
        reserve(&queued.new, false);
    }
    queued.receipts.into_iter().map(|receipt| receipt.id).collect()
}

/// Queues jobs, all or none: each is checked and admitted for itself; what is asked of the database is asked for all at once. A
/// job with the key of an earlier one is that one.
fn queue(mut submissions: Vec<Submission>, identity: &Identity) -> Queued {
    // SAFETY: a plain look at shared memory.
    if unsafe { pg_sys::RecoveryInProgress() } {
        fail(Code::ReadOnly, "jobs cannot be queued on a standby", "Call it on the primary.");
    }
    let owner = identity.owner;
    submissions.iter().for_each(Submission::check);
    let keys: Vec<Option<Key>> = submissions.iter().map(Key::of).collect();
    let mut receipts: Vec<Option<Receipt>> = submissions.iter().map(|_| None).collect();
    same_jobs(owner, &keys, &mut receipts);
    let mut queued = Queued { receipts: vec![], new: vec![], budgets: false };
    if receipts.iter().any(Option::is_none) {
        let (snapshot, standing) = (snapshot::current(), instance::settled());
        let fenced = standing.fenced.map(|why| {
            let message = format!("it waits: {why}; an administrator must call image_gen.resume()");
            Warning::new("fenced", message)
        });
        let open = submissions.iter_mut().zip(&receipts).filter(|(_, receipt)| receipt.is_none());
        styles::resolve(owner, open.map(|(submission, _)| submission));
        let (mut rights, mut inputs, mut references) = (Rights::of(owner), RowInputs::default(), vec![]);
        let mut jobs: Vec<(usize, NewJob)> = vec![];
        for (at, submission) in submissions.iter_mut().enumerate().filter(|(at, _)| receipts[*at].is_none()) {
            // After the look for the key: a repeated call must get its job, however late.
            submission.check_deadline();
            rights.check_unpriced(&snapshot, submission.allow_unpriced);
            rights.check_booking(&snapshot, &submission.metadata);
            let described = submission.reuse.map(|_| json!([submission.operation, submission.request]));
            let mut draft = submission.draft(&snapshot, &mut rights);
            let parent = &submission.parent;
            references.extend(references_of(&draft.checked).map(|r| (jobs.len(), r, parent.clone())));
            draft.answer.admission.warnings.extend(fenced.clone());
            let hash = keys[at].as_ref().map(|key| key.hash.clone());
            let mut job = NewJob::new(submission, draft, hash, &mut inputs);
            job.fingerprint = described.map(|described| job.fingerprint(&described));
            jobs.push((at, job));
        }
        for source in needs(&references, owner) {
            let Some((_, job)) = jobs.get_mut(source.number) else { continue };
            if source.role == Role::Image.name() {
                job.parent.get_or_insert_with(|| source.job.clone());
            }
            if source.unfinished {
                job.needs.push(source.job);
            }
        }
        let reused = Reused::of(owner, &submissions, &mut jobs, &mut receipts);
        if !jobs.is_empty() {
            rights.make_room(&snapshot, jobs.len());
        }
        while !jobs.is_empty() {
            let common = Common {
                owner,
                login: identity.login,
                batch: submissions[0].batch.as_deref(),
                instance: &standing.id,
            };
            let written = row::insert(&common, jobs.iter().map(|(_, job)| job));
            queued.budgets |= written.budgets;
            if let Some(seq) = written.lowest_seq {
                wake::wake(Some(seq));
            }
            let (new, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(_, job)| written.has(&job.id));
            row::keep_inputs(new.iter().map(|(_, job)| job));
            for (at, job) in new {
                queued.new.push(job.id.clone());
                receipts[at] = Some(job.receipt(common.batch));
            }
            // Another session has committed the same key between our look and our write.
            if !others.is_empty() {
                same_jobs(owner, &keys, &mut receipts);
            }
            jobs = others.into_iter().filter(|(at, _)| receipts[*at].is_none()).collect();
        }
        reused.settle(&submissions, &mut receipts);
    }
    if !queued.new.is_empty() && wake::worker_is_missing() {
        warn(
            c"no worker of image_gen runs in this database: what is queued waits for one",
            c"SELECT * FROM image_gen.worker_status says what is wrong. It needs image_gen in shared_preload_libraries, and room in max_worker_processes.",
        );
    }
    queued.receipts = receipts.into_iter().flatten().collect();
    queued
}

/// Holds the estimates of new jobs in the budgets that apply.
fn reserve(ids: &[String], headroom: bool) {
    thread_local! {
        static RESERVE: Statement =
            Statement::new("SELECT image_gen_internal.reserve($1, $2)", &[pg_sys::TEXTARRAYOID, pg_sys::BOOLOID]);
    }
    RESERVE.with(|s| s.run(&[argument(ids.to_vec()), argument(headroom)], |_| ()));
}

/// What an operation would cost, without queueing it.
#[expect(clippy::type_complexity, reason = "the columns of estimate()")]
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn estimate_request(
    operation: Option<&str>,
    arguments: Option<&str>,
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
    let (operation, mut arguments) = arguments::operation_named(operation, arguments);
    if operation == Operation::Variate {
        // A job each.
        arguments.remove("n");
    }
    let request = answered(arguments::described("the request", &arguments).map_err(Into::into));
    let mut submission = Submission::new(operation, request, Metadata::new(None));
    submission.model = arguments.get("model").copied().and_then(arguments::text);
    submission.preferences = arguments::preferences(&arguments);
    submission.request.style = styles::of_caller(&arguments);
    submission.allow_unpriced = true;
    let Draft { checked, answer, .. } = submission.draft(&snapshot::current(), &mut Rights::of(caller()));
    let references: Vec<_> = references_of(&checked).map(|reference| (0, reference, None)).collect();
    needs(&references, caller());
    let first = answer.admission.first();
    let number = |text: String| AnyNumeric::try_from(text.as_str()).ok();
    TableIterator::once((
        first.map(|c| c.model.clone()),
        first.map(|c| c.provider.clone()),
        answer.admission.cost().and_then(|c| number(c.normalize().to_string())),
        answer.seconds(&checked.request).and_then(|seconds| number(seconds.to_string())),
        pgrx::JsonB(json!(answer.admission.warnings)),
    ))
}

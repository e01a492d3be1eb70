//! A request on its way into the queue: checked, admitted and written, in the caller's transaction.

pub mod arguments;
mod batch;
mod derived;
mod rights;
mod row;
pub mod shots;
pub mod styles;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CStr;

use image_gen_engine::admission::Purpose;
use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::input::Role;
use image_gen_engine::job::{Invalid, Operation, RawRequest, Warning};
use pgrx::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::errors::{Code, fail, warn};
use crate::plan::admission::{Answer, Wanted, answered};
use crate::plan::{Checked, caller, check, new_job_id};
use crate::statement::{Argument, Element, Row, Statement, argument};
use crate::{instance, settings, snapshot, wake};
use rights::Rights;
use row::{Common, NewJob, Receipt, RowInputs};

const TEXT: pg_sys::Oid = pg_sys::TEXTOID;

/// The largest metadata of one job, in bytes of JSON.
const MAX_METADATA: usize = 65_536;

/// The longest campaign, shot or ticket, in characters. Assets are indexed by them: what does not fit there would fail when
/// the image is paid for.
const MAX_LABEL: usize = 255;

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

/// What a caller asks for: a request, and what is to be done with it.
#[derive(Clone)]
pub struct Submission {
    operation: Operation,
    request: RawRequest,
    /// The model as the caller wrote it.
    model: Option<String>,
    style: Option<styles::Wish>,
    metadata: Metadata,
    /// `provider_preferences`, as JSON.
    preferences: Option<String>,
    key: Option<String>,
    deadline: Option<pg_sys::TimestampTz>,
    max_cost: Option<AnyNumeric>,
    allow_unpriced: bool,
    /// The image of the same request since then will do.
    reuse: Option<pg_sys::TimestampTz>,
    /// The generate_batch() that it came with.
    batch: Option<String>,
    /// The job that it comes from, where no image that goes in says so.
    parent: Option<String>,
    /// How it comes from that one, where its operation does not say so.
    relation: Option<String>,
}

/// The caller's own JSON: passed on as it is.
#[derive(Clone)]
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

impl Metadata {
    /// Which of the entries that are copied to assets is too long.
    fn too_long(&self) -> Option<&'static str> {
        if self.text.len() <= MAX_LABEL {
            return None;
        }
        let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.text).ok()?;
        let long = |name: &&str| match entries.get(*name) {
            Some(serde_json::Value::String(text)) => text.chars().count() > MAX_LABEL,
            // As text it has up to twice as many characters: PostgreSQL writes spaces.
            Some(other) => other.to_string().len() * 2 > MAX_LABEL,
            None => false,
        };
        ["campaign", "shot", "ticket"].into_iter().find(long)
    }
}

/// A jsonb as text.
pub fn json_text(datum: pg_sys::Datum) -> String {
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
    /// A request with no terms beside it.
    fn new(operation: Operation, request: RawRequest, metadata: Metadata) -> Self {
        Submission {
            operation,
            request,
            model: None,
            style: None,
            metadata,
            preferences: None,
            key: None,
            deadline: None,
            max_cost: None,
            allow_unpriced: false,
            reuse: None,
            batch: None,
            parent: None,
            relation: None,
        }
    }

    /// The idempotency key, as JSON.
    pub fn set_key(&mut self, key: Option<&RawValue>) {
        self.key = key.and_then(arguments::text);
    }

    /// What is wrong whatever the request.
    fn check(&self) {
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
        if let Some(name) = self.metadata.too_long() {
            fail(
                Code::Argument,
                &format!("metadata.{name} is longer than {MAX_LABEL} characters"),
                "It names what assets are found by, and is stored with each: put longer texts under another name.",
            );
        }
        if self.key.as_ref().is_some_and(|key| key.is_empty() || key.chars().count() > 255) {
            fail(
                Code::Argument,
                "the idempotency key is empty or longer than 255 characters",
                "Use the id of what the image is for, such as a row's key.",
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
            self.style,
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
    fn draft(&mut self, snapshot: &Snapshot, rights: &mut Rights) -> Draft {
        let hint = "Give an amount in USD from 0 up, or leave it out.";
        let max_cost = self.max_cost.as_ref().map(|max_cost| rights::amount("max_cost", max_cost, hint));
        rights.check_options(self.request.options.as_ref());
        let job_id = new_job_id();
        let checked = check(&job_id, self.operation, std::mem::take(&mut self.request));
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
        let mut answer = answered(wanted.ask(snapshot, Purpose::Queue));
        answer.admission.warnings.extend(styles::left_out(&checked.request));
        Draft { job_id, checked, answer }
    }
}

/// A request that was checked and admitted.
struct Draft {
    job_id: String,
    checked: Checked,
    answer: Answer,
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
            rights.check_unpriced(submission.allow_unpriced);
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
        make_room(owner, jobs.len());
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

/// Requests that need no job of their own.
#[derive(Default)]
struct Reused {
    /// A request, and the one among those queued with it that it is the same as.
    twins: Vec<(usize, usize)>,
    /// Requests that have an image of another job.
    served: Vec<usize>,
}

impl Reused {
    /// Finds, of jobs that are to be queued, those whose image is there or under way; they are jobs no more.
    fn of(
        owner: pg_sys::Oid,
        submissions: &[Submission],
        jobs: &mut Vec<(usize, NewJob)>,
        receipts: &mut [Option<Receipt>],
    ) -> Reused {
        thread_local! {
            static EARLIER: Statement = Statement::new(
                "SELECT e.id, e.status, e.model, e.estimated_seconds, 0::numeric, e.created_at, e.warnings, NULL::bytea, e.seed, e.batch, e.number
                   FROM image_gen_internal.earlier_jobs($1, $2, $3) e",
                &[pg_sys::OIDOID, pg_sys::BYTEAARRAYOID, pg_sys::TIMESTAMPTZARRAYOID],
            );
        }
        let mut reused = Reused::default();
        let asking = |jobs: &[(usize, NewJob)]| -> Vec<(usize, Vec<u8>)> {
            jobs.iter().filter_map(|(at, job)| Some((*at, job.fingerprint.clone()?))).collect()
        };
        let asked = asking(jobs);
        if asked.is_empty() {
            return reused;
        }
        let since = asked.iter().map(|(at, _)| submissions[*at].reuse.map(pg_sys::Datum::from));
        let arguments = [
            argument(owner),
            Element::BYTEA.array(asked.iter().map(|(_, fingerprint)| argument(fingerprint.as_slice()))),
            Element::TIMESTAMPTZ.array(since),
        ];
        for (receipt, number) in
            EARLIER.with(|s| s.run(&arguments, |row| (Receipt::read(row), row.get::<i32>(11))))
        {
            if let Some((at, _)) = number.and_then(|number| asked.get(number as usize - 1)) {
                receipts[*at] = Some(receipt);
                reused.served.push(*at);
            }
        }
        jobs.retain(|(at, _)| receipts[*at].is_none());
        let mut first = HashMap::new();
        for (at, fingerprint) in asking(jobs) {
            match first.entry(fingerprint) {
                Entry::Occupied(other) => reused.twins.push((at, *other.get())),
                Entry::Vacant(place) => drop(place.insert(at)),
            }
        }
        jobs.retain(|(at, _)| !reused.twins.iter().any(|(twin, _)| twin == at));
        reused
    }

    /// Gives twins the job of the other one, and writes down what was saved.
    fn settle(mut self, submissions: &[Submission], receipts: &mut [Option<Receipt>]) {
        thread_local! {
            static NOTE: Statement = Statement::new(
                "SELECT image_gen_internal.record_reuses($1, $2)",
                &[pg_sys::TEXTARRAYOID, pg_sys::JSONBARRAYOID],
            );
        }
        for (twin, other) in std::mem::take(&mut self.twins) {
            receipts[twin] = receipts[other].clone();
            self.served.push(twin);
        }
        if !self.served.is_empty() {
            let id = |at: &usize| argument(receipts[*at].as_ref().map(|receipt| receipt.id.as_str()));
            let arguments = [
                Element::TEXT.array(self.served.iter().map(id)),
                Element::JSONB.array(self.served.iter().map(|at| submissions[*at].metadata.datum)),
            ];
            NOTE.with(|s| s.run(&arguments, |_| ()));
        }
    }
}

/// An idempotency key, and the hash of the arguments that it stands for.
struct Key {
    name: String,
    hash: Vec<u8>,
}

impl Key {
    fn of(submission: &Submission) -> Option<Key> {
        Some(Key { name: submission.key.clone()?, hash: submission.hash()? })
    }
}

/// Finds the jobs that keys belong to, of submissions without a receipt; an error when one was queued with other arguments.
fn same_jobs(owner: pg_sys::Oid, keys: &[Option<Key>], receipts: &mut [Option<Receipt>]) {
    thread_local! {
        static SAME: Statement = Statement::new(
            "SELECT j.id, j.status, j.model, j.estimated_seconds, j.estimated_cost, j.created_at, j.warnings, j.request_hash, j.seed, j.batch,
                    j.idempotency_key
               FROM image_gen.jobs j
              WHERE j.owner = $1 AND j.idempotency_key = ANY ($2) AND j.idempotency_key IS NOT NULL",
            &[pg_sys::OIDOID, pg_sys::TEXTARRAYOID],
        );
    }
    let open = keys.iter().zip(&*receipts).enumerate().filter(|(_, (_, receipt))| receipt.is_none());
    let open: HashMap<&str, usize> =
        open.filter_map(|(at, (key, _))| Some((key.as_ref()?.name.as_str(), at))).collect();
    if open.is_empty() {
        return;
    }
    let names = Element::TEXT.array(open.keys().map(|name| argument(*name)));
    let read =
        |row: &Row| (Receipt::read(row), row.get::<Vec<u8>>(8), row.get::<&str>(11).map(str::to_owned));
    for (receipt, hash, name) in SAME.with(|s| s.run(&[argument(owner), names], read)) {
        let found = name.and_then(|name| Some((open.get(name.as_str())?, name)));
        let Some((at, name)) = found else { continue };
        if hash.as_deref() != keys[*at].as_ref().map(|key| key.hash.as_slice()) {
            crate::errors::conflict(
                &format!("idempotency key \"{name}\" belongs to a job with other arguments"),
                &format!("That job is {}.", receipt.id),
                "Repeat the call with the same arguments, or use another key.",
            );
        }
        receipts[*at] = Some(receipt);
    }
}

/// The images that a request refers to within this database, by their roles.
fn references_of(checked: &Checked) -> impl Iterator<Item = (&'static str, String)> {
    let came_along = |role: &Role| checked.kept.iter().any(|kept| kept.role == *role);
    let roles = Role::ALL.into_iter().filter(move |role| !came_along(role));
    let references = roles.filter_map(|role| Some((role.name(), role.reference(&checked.request)?)));
    let stored = references.filter(|(_, r)| !r.starts_with("http://") && !r.starts_with("https://"));
    stored.map(|(role, reference)| (role, reference.to_owned())).collect::<Vec<_>>().into_iter()
}

/// Of which request a reference is; as what, and to what; and the job that the request makes again, whose images are its own.
type Referred = (usize, (&'static str, String), Option<String>);

/// A job whose image a request needs.
struct Source {
    /// Which request.
    number: usize,
    /// As what.
    role: String,
    job: String,
    unfinished: bool,
}

/// The jobs whose images requests need. An error for an image that the caller may not see.
fn needs(references: &[Referred], owner: pg_sys::Oid) -> Vec<Source> {
    thread_local! {
        static NEEDS: Statement = Statement::new(
            "SELECT n.number, n.role, n.job, n.unfinished FROM image_gen_internal.resolve_inputs($1, $2, $3, $4, $5) n",
            &[
                pg_sys::INT4ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::OIDOID,
            ],
        );
    }
    if references.is_empty() {
        return vec![];
    }
    let arguments = [
        Element::INTEGER.array(references.iter().map(|(number, ..)| argument(*number as i32))),
        Element::TEXT.array(references.iter().map(|(_, (role, _), _)| argument(*role))),
        Element::TEXT.array(references.iter().map(|(_, (_, reference), _)| argument(reference.as_str()))),
        Element::TEXT.array(references.iter().map(|(.., parent)| argument(parent.as_deref()))),
        argument(owner),
    ];
    let read = |row: &Row| {
        Some(Source {
            number: row.get::<i32>(1)? as usize,
            role: row.get(2)?,
            job: row.get(3)?,
            unfinished: row.get(4)?,
        })
    };
    NEEDS.with(|s| s.run(&arguments, read)).into_iter().flatten().collect()
}

/// An error for a role that would have too many jobs.
fn make_room(owner: pg_sys::Oid, new: usize) {
    thread_local! {
        static ROOM: Statement =
            Statement::new("SELECT image_gen_internal.check_queue_quota($1, $2, $3)", &[pg_sys::OIDOID, pg_sys::INT8OID, pg_sys::INT8OID]);
    }
    let most = settings::MAX_QUEUED_PER_ROLE.get();
    if most != 0 {
        ROOM.with(|s| s.run(&[argument(owner), argument(i64::from(most)), argument(new as i64)], |_| ()));
    }
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

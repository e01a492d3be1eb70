//! Makes durable what the network thread reports: the functions of `sql/queue/`, each called once for all jobs of a
//! round, with an array for each argument.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use image_gen_engine::picture::{Blank, Facts};
use image_gen_engine::run::{Entry, JobStatus, Picture, Stored};
use pgrx::JsonB;
use pgrx::datum::IntoDatum;
use pgrx::pg_sys::{
    BOOLARRAYOID, BYTEAARRAYOID, BYTEAOID, FLOAT8ARRAYOID, INT4ARRAYOID, INT4OID, INT8ARRAYOID, INT8OID,
    JSONBARRAYOID, NUMERICARRAYOID, TEXTARRAYOID, TEXTOID,
};
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde::Serialize;

use super::io::{Commit, Omission};
use super::transaction::{Failed, within};
use super::{trace, user_code};
use crate::statement::{Argument, Row, Statement, argument};
use crate::{pause, settings};

/// What the database says to what is to be made durable for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Written,
    /// The job is no longer ours.
    NotOurs,
    /// A budget does not allow the call: its intent is not written.
    Over,
    /// A concurrent session holds the budget just now: its intent is not written.
    Busy,
}

/// What came of a flush.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Jobs that are in flight from now on.
    pub begun: Vec<i64>,
    /// Jobs that ended.
    pub closed: Vec<i64>,
    /// Jobs that wait for their turn again.
    pub put_off: Vec<(i64, Duration)>,
    /// What could not be written, for the log.
    pub errors: Vec<String>,
}

/// Makes commits durable and answers each: in one transaction, and one by one when the data of one of them is the
/// trouble, so that it cannot hold up the others. What a trigger that is not ours would keep from being written is written
/// without it. After an error that may pass, what is left in `commits` is tried again by the next call.
pub fn record(
    extension: pg_sys::Oid,
    epoch: i64,
    commits: &mut VecDeque<Commit>,
    outcome: &mut Outcome,
) -> Result<(), Failed> {
    let all = commits.make_contiguous();
    let fire = user_code::triggers_fire();
    let mut written = write(extension, epoch, all);
    if fire && user_code::triggers_rest() {
        // They took too long.
        outcome
            .errors
            .extend(written.err().map(|why| format!("triggers are left out for a minute: {why:?}")));
        written = write(extension, epoch, all);
    }
    match written {
        Ok(verdicts) => {
            commits.drain(..).for_each(|commit| outcome.answer(commit, &verdicts));
            return Ok(());
        }
        Err(Failed::Poison(_)) => {}
        Err(passing) => return Err(passing),
    }
    while let Some(mut commit) = commits.pop_front() {
        let one = std::slice::from_ref(&commit);
        let fire = user_code::triggers_fire();
        let verdicts = match write(extension, epoch, one) {
            Err(why) if fire && (user_code::triggers_rest() || matches!(why, Failed::Poison(_))) => {
                outcome.errors.push(format!("job {}: written without triggers: {why:?}", commit.job_id));
                user_code::without_triggers(|| write(extension, epoch, one))
            }
            result => result,
        };
        let verdicts = match verdicts {
            Err(Failed::Poison(why)) => {
                outcome.errors.push(format!("job {}: {why}", commit.job_id));
                user_code::without_triggers(|| write_less(extension, epoch, &mut commit, &why))
            }
            result => result,
        };
        match verdicts {
            Ok(verdicts) => outcome.answer(commit, &verdicts),
            Err(passing) => {
                commits.push_front(commit);
                return Err(passing);
            }
        }
    }
    Ok(())
}

/// Writes what can be written of a commit: an image that is paid for is delivered, whatever of the rest cannot be.
fn write_less(
    extension: pg_sys::Oid,
    epoch: i64,
    commit: &mut Commit,
    why: &str,
) -> Result<Verdicts, Failed> {
    if commit.delivers() {
        let whole = commit.entries.clone();
        for step in Omission::STEPS {
            step.iter().for_each(|omission| commit.leave_out(*omission, why));
            match write(extension, epoch, std::slice::from_ref(commit)) {
                Err(Failed::Poison(_)) => commit.entries.clone_from(&whole),
                result => return result,
            }
        }
    }
    commit.reduce(why);
    match write(extension, epoch, std::slice::from_ref(commit)) {
        Err(Failed::Poison(_)) => {
            commit.leave_out(Omission::Figures, why);
            write(extension, epoch, std::slice::from_ref(commit))
        }
        result => result,
    }
}

impl Outcome {
    fn answer(&mut self, commit: Commit, verdicts: &Verdicts) {
        let verdict = verdicts.get(&commit.seq).copied().unwrap_or(Verdict::NotOurs);
        for entry in commit.entries.iter().filter(|_| verdict == Verdict::Written) {
            match entry {
                Entry::Later { after, .. } => self.put_off.push((commit.seq, *after)),
                Entry::Close { .. } => self.closed.push(commit.seq),
                Entry::Begin { .. } => self.begun.push(commit.seq),
                _ => {}
            }
        }
        // A task that is gone needs no answer.
        let _ = commit.done.send(verdict);
    }
}

/// What was said to the jobs of a round; to one that is no longer ours, nothing.
type Verdicts = HashMap<i64, Verdict>;

fn write(extension: pg_sys::Oid, epoch: i64, commits: &[Commit]) -> Result<Verdicts, Failed> {
    let _in_hand = trace::hands(commits.iter().map(|c| c.seq));
    within(extension, "write down transitions", || {
        // In the order of the queue: all that lock several of its rows do so, and the money goes to those that came first.
        let mut in_order: Vec<&Commit> = commits.iter().collect();
        in_order.sort_by_key(|commit| commit.seq);
        let mut batch = Batch::default();
        in_order.into_iter().for_each(|commit| batch.add(commit));
        let verdicts = batch.write(epoch);
        for commit in commits {
            let place = format!("flush_{}", Commit::place(&commit.entries));
            pause::in_transaction(&place, &commit.job_id, super::process::must_stop);
        }
        Ok(verdicts)
    })
}

/// A text that goes into the database, which has no place for a NUL.
struct Text<'a>(&'a str);

impl IntoDatum for Text<'_> {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        if self.0.contains('\0') {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNTRANSLATABLE_CHARACTER,
                "a text with a NUL cannot be stored"
            );
        }
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        TEXTOID
    }
}

fn text(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Text)
}

/// An amount, with all its digits. Within a transaction, which its memory belongs to.
fn numeric(amount: Decimal) -> Option<AnyNumeric> {
    AnyNumeric::try_from(amount.to_string().as_str()).ok()
}

fn json(value: &impl Serialize) -> JsonB {
    JsonB(serde_json::to_value(value).unwrap_or_default())
}

/// What is to be written for all jobs of a round: for each kind of entry, its columns.
#[derive(Default)]
struct Batch<'a> {
    checkpoints: Checkpoints<'a>,
    ends: Ends<'a>,
    requeues: Requeues,
    finishes: Finishes<'a>,
    begins: Begins<'a>,
    /// What the calls that ended have made.
    pictures: Vec<(i64, &'a str, &'a [Picture])>,
}

impl<'a> Batch<'a> {
    /// Adds a job. Its entries are one of these: a begin, a checkpoint, or an end (where an attempt was under way) and what
    /// becomes of the job. So the order in which the kinds are written is that of the entries of each job.
    fn add(&mut self, commit: &'a Commit) {
        let seq = commit.seq;
        for entry in &commit.entries {
            match entry {
                Entry::Begin { .. } => self.begins.add(seq, entry),
                Entry::Checkpoint { .. } => self.checkpoints.add(seq, entry),
                Entry::End { .. } => self.ends.add(seq, entry),
                Entry::Later { after, progress, pictures } => {
                    self.pictures.push((seq, &commit.job_id, pictures));
                    self.requeues.seq.push(seq);
                    self.requeues.delay.push(after.as_secs_f64());
                    self.requeues.progress.push(json(progress));
                }
                Entry::Close { status, failed, pictures } => {
                    self.finishes.seq.push(seq);
                    self.finishes.status.push(status.as_str());
                    self.finishes.code.push(failed.as_ref().map(|f| f.failure.code().as_str()));
                    self.finishes.message.push(failed.as_ref().map(|f| Text(&f.message)));
                    if *status == JobStatus::Succeeded {
                        self.pictures.push((seq, &commit.job_id, pictures));
                    }
                }
            }
        }
    }

    /// What ends comes first: the money that it leaves is there for what begins.
    fn write(self, epoch: i64) -> Verdicts {
        let mut verdicts = HashMap::new();
        let written = |seq| (seq, Verdict::Written);
        verdicts.extend(self.checkpoints.write(epoch).into_iter().map(written));
        self.ends.write(epoch);
        let mut ours: HashSet<i64> = self.requeues.write(epoch).into_iter().collect();
        ours.extend(self.finishes.write(epoch));
        // After that, because only now is it known which jobs are ours: images of another one's would never be removed.
        let kept = self.pictures.into_iter().filter(|(seq, ..)| ours.contains(seq));
        deliver(kept.map(|(_, job, pictures)| (job, pictures)).collect());
        verdicts.extend(ours.into_iter().map(written));
        verdicts.extend(self.begins.write(epoch));
        verdicts
    }
}

/// A function that answers with the jobs that are ours.
fn call(function: &Statement, arguments: &[Argument]) -> Vec<i64> {
    let read = |row: &Row| row.get::<Vec<i64>>(1).unwrap_or_default();
    function.run(arguments, read).into_iter().flatten().collect()
}

/// `SELECT image_gen_internal.NAME($1, …)`, for as many arguments as there are types.
fn function(name: &str, types: &'static [pg_sys::Oid]) -> Statement {
    let arguments: Vec<String> = (1..=types.len()).map(|n| format!("${n}")).collect();
    Statement::new(&format!("SELECT * FROM image_gen_internal.{name}({})", arguments.join(", ")), types)
}

#[derive(Default)]
struct Begins<'a> {
    seq: Vec<i64>,
    number: Vec<i32>,
    provider: Vec<Text<'a>>,
    model: Vec<Text<'a>>,
    prompt: Vec<Text<'a>>,
    seed: Vec<i64>,
    seed_honored: Vec<bool>,
    warnings: Vec<JsonB>,
    estimated_cost: Vec<Option<AnyNumeric>>,
    progress: Vec<JsonB>,
    estimated_rest: Vec<Option<AnyNumeric>>,
}

impl<'a> Begins<'a> {
    fn add(&mut self, seq: i64, entry: &'a Entry) {
        let Entry::Begin {
            number,
            provider,
            model,
            prompt,
            seed,
            seed_honored,
            warnings,
            estimated_cost,
            estimated_rest,
            progress,
        } = entry
        else {
            return;
        };
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.provider.push(Text(provider));
        self.model.push(Text(model));
        self.prompt.push(Text(prompt));
        self.seed.push(*seed);
        self.seed_honored.push(*seed_honored);
        self.warnings.push(json(warnings));
        self.estimated_cost.push(estimated_cost.and_then(numeric));
        self.progress.push(json(progress));
        self.estimated_rest.push(estimated_rest.and_then(numeric));
    }

    fn write(self, epoch: i64) -> Vec<(i64, Verdict)> {
        static TYPES: [pg_sys::Oid; 12] = [
            INT8OID,
            INT8ARRAYOID,
            INT4ARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            INT8ARRAYOID,
            BOOLARRAYOID,
            JSONBARRAYOID,
            NUMERICARRAYOID,
            JSONBARRAYOID,
            NUMERICARRAYOID,
        ];
        thread_local!(static BEGIN: Statement = function("begin", &TYPES));
        if self.seq.is_empty() {
            return vec![];
        }
        let arguments = [
            argument(epoch),
            argument(self.seq),
            argument(self.number),
            argument(self.provider),
            argument(self.model),
            argument(self.prompt),
            argument(self.seed),
            argument(self.seed_honored),
            argument(self.warnings),
            argument(self.estimated_cost),
            argument(self.progress),
            argument(self.estimated_rest),
        ];
        let verdict = |row: &Row| {
            let verdict = match row.get::<String>(2).as_deref() {
                Some("over") => Verdict::Over,
                Some("busy") => Verdict::Busy,
                _ => Verdict::Written,
            };
            row.get::<i64>(1).map(|seq| (seq, verdict))
        };
        BEGIN.with(|begin| begin.run(&arguments, verdict)).into_iter().flatten().collect()
    }
}

#[derive(Default)]
struct Checkpoints<'a> {
    seq: Vec<i64>,
    number: Vec<i32>,
    remote_id: Vec<Text<'a>>,
    poll_url: Vec<Text<'a>>,
    result_url: Vec<Option<Text<'a>>>,
    cancel_url: Vec<Option<Text<'a>>>,
    http_status: Vec<i32>,
    amount: Vec<Option<AnyNumeric>>,
    claimed: Vec<Option<AnyNumeric>>,
    source: Vec<Option<&'static str>>,
    currency: Vec<Option<Text<'a>>>,
}

impl<'a> Checkpoints<'a> {
    fn add(&mut self, seq: i64, entry: &'a Entry) {
        let Entry::Checkpoint { number, remote, cost, http_status } = entry else { return };
        let cost = cost.as_ref();
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.remote_id.push(Text(&remote.id));
        self.poll_url.push(Text(&remote.poll_url));
        self.result_url.push(text(&remote.result_url));
        self.cancel_url.push(text(&remote.cancel_url));
        self.http_status.push(i32::from(*http_status));
        self.amount.push(cost.and_then(|c| c.amount).and_then(numeric));
        self.claimed.push(cost.and_then(|c| c.claimed).and_then(numeric));
        self.source.push(cost.map(|c| c.source.as_str()));
        self.currency.push(cost.map(|c| Text(&c.currency)));
    }

    fn write(self, epoch: i64) -> Vec<i64> {
        static TYPES: [pg_sys::Oid; 12] = [
            INT8OID,
            INT8ARRAYOID,
            INT4ARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            INT4ARRAYOID,
            NUMERICARRAYOID,
            NUMERICARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
        ];
        thread_local!(static CHECKPOINT: Statement = function("checkpoint", &TYPES));
        if self.seq.is_empty() {
            return vec![];
        }
        let arguments = [
            argument(epoch),
            argument(self.seq),
            argument(self.number),
            argument(self.remote_id),
            argument(self.poll_url),
            argument(self.result_url),
            argument(self.cancel_url),
            argument(self.http_status),
            argument(self.amount),
            argument(self.claimed),
            argument(self.source),
            argument(self.currency),
        ];
        CHECKPOINT.with(|checkpoint| call(checkpoint, &arguments))
    }
}

#[derive(Default)]
struct Ends<'a> {
    seq: Vec<i64>,
    number: Vec<i32>,
    status: Vec<&'static str>,
    code: Vec<Option<&'static str>>,
    message: Vec<Option<Text<'a>>>,
    http_status: Vec<Option<i32>>,
    amount: Vec<Option<AnyNumeric>>,
    claimed: Vec<Option<AnyNumeric>>,
    source: Vec<&'static str>,
    currency: Vec<Text<'a>>,
    usage: Vec<Option<JsonB>>,
    tokens: Vec<Option<JsonB>>,
    render_seconds: Vec<Option<f64>>,
    seed: Vec<Option<i64>>,
    warnings: Vec<JsonB>,
    unsent: Vec<bool>,
    joins: Vec<Option<i32>>,
}

impl<'a> Ends<'a> {
    fn add(&mut self, seq: i64, entry: &'a Entry) {
        let Entry::End {
            number,
            status,
            failed,
            http_status,
            cost,
            usage,
            tokens,
            render_seconds,
            seed,
            warnings,
            unsent,
            joins,
        } = entry
        else {
            return;
        };
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.status.push(status.as_str());
        self.code.push(failed.as_ref().map(|f| f.failure.code().as_str()));
        self.message.push(failed.as_ref().map(|f| Text(&f.message)));
        self.http_status.push(http_status.map(i32::from));
        self.amount.push(cost.amount.and_then(numeric));
        self.claimed.push(cost.claimed.and_then(numeric));
        self.source.push(cost.source.as_str());
        self.currency.push(Text(&cost.currency));
        self.usage.push(usage.as_ref().map(json));
        self.tokens.push(tokens.as_ref().map(json));
        self.render_seconds.push(*render_seconds);
        self.seed.push(*seed);
        self.warnings.push(json(warnings));
        self.unsent.push(*unsent);
        self.joins.push(joins.map(|number| number as i32));
    }

    fn write(self, epoch: i64) {
        static TYPES: [pg_sys::Oid; 18] = [
            INT8OID,
            INT8ARRAYOID,
            INT4ARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            INT4ARRAYOID,
            NUMERICARRAYOID,
            NUMERICARRAYOID,
            TEXTARRAYOID,
            TEXTARRAYOID,
            JSONBARRAYOID,
            JSONBARRAYOID,
            FLOAT8ARRAYOID,
            INT8ARRAYOID,
            JSONBARRAYOID,
            BOOLARRAYOID,
            INT4ARRAYOID,
        ];
        thread_local!(static END: Statement = function("end_attempts", &TYPES));
        if self.seq.is_empty() {
            return;
        }
        let arguments = [
            argument(epoch),
            argument(self.seq),
            argument(self.number),
            argument(self.status),
            argument(self.code),
            argument(self.message),
            argument(self.http_status),
            argument(self.amount),
            argument(self.claimed),
            argument(self.source),
            argument(self.currency),
            argument(self.usage),
            argument(self.tokens),
            argument(self.render_seconds),
            argument(self.seed),
            argument(self.warnings),
            argument(self.unsent),
            argument(self.joins),
        ];
        // Which are ours, what becomes of their jobs says.
        END.with(|end| call(end, &arguments));
    }
}

#[derive(Default)]
struct Requeues {
    seq: Vec<i64>,
    delay: Vec<f64>,
    progress: Vec<JsonB>,
}

impl Requeues {
    fn write(self, epoch: i64) -> Vec<i64> {
        static TYPES: [pg_sys::Oid; 4] = [INT8OID, INT8ARRAYOID, FLOAT8ARRAYOID, JSONBARRAYOID];
        thread_local!(static REQUEUE: Statement = function("requeue", &TYPES));
        if self.seq.is_empty() {
            return vec![];
        }
        let arguments = [argument(epoch), argument(self.seq), argument(self.delay), argument(self.progress)];
        REQUEUE.with(|requeue| call(requeue, &arguments))
    }
}

#[derive(Default)]
struct Finishes<'a> {
    seq: Vec<i64>,
    status: Vec<&'static str>,
    code: Vec<Option<&'static str>>,
    message: Vec<Option<Text<'a>>>,
}

impl Finishes<'_> {
    fn write(self, epoch: i64) -> Vec<i64> {
        static TYPES: [pg_sys::Oid; 5] = [INT8OID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID];
        thread_local!(static FINISH: Statement = function("finish", &TYPES));
        if self.seq.is_empty() {
            return vec![];
        }
        let arguments = [
            argument(epoch),
            argument(self.seq),
            argument(self.status),
            argument(self.code),
            argument(self.message),
        ];
        FINISH.with(|finish| call(finish, &arguments))
    }
}

/// Writes the assets of jobs, and the bytes that are kept.
fn deliver(jobs: Vec<(&str, &[Picture])>) {
    static TYPES: [pg_sys::Oid; 14] = [
        TEXTARRAYOID,
        INT4ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        INT8ARRAYOID,
        INT4ARRAYOID,
        INT4ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        TEXTARRAYOID,
        JSONBARRAYOID,
        TEXTARRAYOID,
    ];
    thread_local! {
        static DELIVER: Statement = function("insert_assets", &TYPES);
        static COPY: Statement = function("queue_copies", &[TEXTARRAYOID, INT4ARRAYOID]);
        static UPLOADED: Statement =
            function("record_upload", &[TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID]);
        static KEEP: Statement = function("store_blob", &[TEXTOID, TEXTOID, BYTEAOID]);
    }
    let pictures: Vec<(&str, &Picture)> =
        jobs.into_iter().flat_map(|(job, pictures)| pictures.iter().map(move |p| (job, p))).collect();
    if pictures.is_empty() {
        return;
    }
    let facts = || pictures.iter().map(|(_, picture)| picture.facts.as_ref());
    let arguments = [
        argument(pictures.iter().map(|(job, _)| Text(job)).collect::<Vec<_>>()),
        argument(pictures.iter().map(|(_, picture)| picture.position as i32).collect::<Vec<_>>()),
        argument(pictures.iter().map(|(_, picture)| text(&picture.url)).collect::<Vec<_>>()),
        argument(
            pictures
                .iter()
                .map(|(_, picture)| picture.lifetime.map(|l| l.as_secs() as i64))
                .collect::<Vec<_>>(),
        ),
        argument(pictures.iter().map(|(_, picture)| picture.seed).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.width).map(|w| w as i32)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.height).map(|h| h as i32)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| Text(&f.content_type))).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| f.byte_size as i64)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| Text(&f.sha256))).collect::<Vec<_>>()),
        // The 64 bits as they are.
        argument(facts().map(|f| f.and_then(|f| f.perceptual_hash).map(|h| h as i64)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.blank).map(Blank::as_str)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.marks.credentials.as_ref()).map(json)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| text(&f.marks.digital_source_type))).collect::<Vec<_>>()),
    ];
    DELIVER.with(|deliver| deliver.run(&arguments, |_| ()));
    keep_thumbnails(&pictures);
    for (job, picture) in &pictures {
        if let Some(Stored { identity, address, name, url }) = &picture.stored {
            let texts = [Text(job), Text(identity), Text(address), Text(name), Text(url)];
            let mut arguments: Vec<Argument> = texts.into_iter().map(argument).collect();
            arguments.push(argument(picture.position as i32));
            UPLOADED.with(|uploaded| uploaded.run(&arguments, |_| ()));
        }
    }
    let rest = || pictures.iter().filter(|(_, picture)| picture.stored.is_none());
    if rest().next().is_some() && !settings::text(&settings::ASSET_STORE).is_empty() {
        let arguments = [
            argument(rest().map(|(job, _)| Text(job)).collect::<Vec<_>>()),
            argument(rest().map(|(_, picture)| picture.position as i32).collect::<Vec<_>>()),
        ];
        COPY.with(|copy| copy.run(&arguments, |_| ()));
    }
    for (_, picture) in &pictures {
        if let (Some(facts), Some(bytes)) = (&picture.facts, &picture.bytes) {
            let arguments = [
                argument(Text(&facts.sha256)),
                argument(Text(&facts.content_type)),
                argument(bytes.as_slice()),
            ];
            KEEP.with(|keep| keep.run(&arguments, |_| ()));
        }
    }
}

/// Writes the small copies of images.
fn keep_thumbnails(pictures: &[(&str, &Picture)]) {
    thread_local! {
        static KEEP: Statement = function("store_thumbnails", &[TEXTARRAYOID, TEXTARRAYOID, BYTEAARRAYOID]);
    }
    let kept: Vec<(&Facts, &[u8])> = pictures
        .iter()
        .filter_map(|(_, picture)| Some((picture.facts.as_ref()?, picture.thumbnail.as_deref()?)))
        .collect();
    if kept.is_empty() {
        return;
    }
    // An image that is small is its own small copy.
    let media_type =
        |facts: &Facts| if facts.is_small() { facts.content_type.clone() } else { "image/jpeg".to_owned() };
    let arguments = [
        argument(kept.iter().map(|(facts, _)| facts.sha256.clone()).collect::<Vec<_>>()),
        argument(kept.iter().map(|(facts, _)| media_type(facts)).collect::<Vec<_>>()),
        argument(kept.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>()),
    ];
    KEEP.with(|keep| keep.run(&arguments, |_| ()));
}

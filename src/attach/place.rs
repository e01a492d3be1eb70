//! Rows of an attached table as jobs: their prompts are made as the attachment's owner, what can be queued is queued with one
//! statement, and what cannot is written down, so that the row is saved all the same.

use std::collections::HashSet;

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::collect::{Collected, MOST};
use crate::acting::act_as;
use crate::attempt::{Refusal, alone};
use crate::plan::is_blank_prompt;
use crate::statement::{Argument, Element, Row, Statement, argument};
use crate::submit::{Identity, template};

/// How the rows of a table are made into jobs.
struct Plan {
    attachment: i64,
    owner: pg_sys::Oid,
    arguments: String,
    paused: bool,
    /// The attached table's type, quoted.
    root: String,
    /// The type of the rows.
    element: pg_sys::Oid,
    row_function: String,
    prompt_function: String,
}

/// A row as far as it has come.
struct Candidate {
    /// jsonb
    key: Argument,
    prompt: Option<String>,
    hash: Vec<u8>,
    refusal: Option<(&'static str, String)>,
    job: Option<String>,
    /// The job that it has asked for before, and that may still be called off.
    replaces: Option<String>,
}

/// Places rows of one table. With `again`, those that were refused before are tried although nothing has changed. How many
/// were queued, and how many refused.
pub fn place(rows: &[Collected], again: bool) -> (usize, usize) {
    let Some(first) = rows.first() else { return (0, 0) };
    let Some(plan) = Plan::of(first.attachment, first.relation) else { return (0, 0) };
    let mut candidates = vec![];
    plan.evaluate(rows, &mut candidates);
    plan.leave_out_unchanged(&mut candidates, again);
    if candidates.is_empty() {
        return (0, 0);
    }
    if !plan.paused {
        let mut open: Vec<&mut Candidate> = candidates.iter_mut().filter(|c| c.refusal.is_none()).collect();
        plan.queue(&mut open, &mut None);
    }
    // Whatever it is, it does not keep the rows from being saved.
    if let Err(why) = alone(|| plan.note(&candidates)) {
        warning!("image_gen: attachment {}: {}", plan.attachment, why.message);
    }
    let queued = candidates.iter().filter(|c| c.job.is_some()).count();
    (queued, candidates.iter().filter(|c| c.refusal.is_some()).count())
}

impl Plan {
    /// `None` where rows of the table are not made into jobs: `attachments.problem` says why.
    fn of(attachment: i64, relation: pg_sys::Oid) -> Option<Plan> {
        thread_local! {
            static PLAN: Statement = Statement::new(
                "SELECT p.owner, p.arguments, p.paused, p.root, p.element, p.row_function, p.prompt_function
                   FROM image_gen_internal.attachment_plan($1, $2) p",
                &[pg_sys::INT8OID, pg_sys::OIDOID],
            );
        }
        let read = |row: &Row| {
            Some(Plan {
                attachment,
                owner: row.get(1)?,
                arguments: row.get(2)?,
                paused: row.get(3)?,
                root: row.get(4)?,
                element: row.get(5)?,
                row_function: row.get(6)?,
                prompt_function: row.get(7)?,
            })
        };
        let found = PLAN.with(|s| s.run(&[argument(attachment), argument(relation)], read));
        found.into_iter().flatten().next()
    }

    /// Makes keys and prompts. Where an expression fails, the rows are halved until the one that it fails for is alone.
    fn evaluate(&self, rows: &[Collected], candidates: &mut Vec<Candidate>) {
        match alone(|| self.ask(rows, true)) {
            Ok(made) => candidates.extend(made),
            Err(why) if rows.len() == 1 => {
                // The row is known by its key, where that can be made.
                let made = alone(|| self.ask(rows, false)).unwrap_or_default();
                candidates.extend(made.into_iter().map(|candidate| Candidate {
                    refusal: Some(("invalid_request", format!("the prompt cannot be made: {}", why.message))),
                    ..candidate
                }));
            }
            Err(_) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                self.evaluate(left, candidates);
                self.evaluate(right, candidates);
            }
        }
    }

    fn ask(&self, rows: &[Collected], prompts: bool) -> Vec<Candidate> {
        let prompt =
            if prompts { format!("{}(c.image_gen_row)", self.prompt_function) } else { "NULL::text".into() };
        let text = format!(
            "SELECT k.key, {prompt}
               FROM (SELECT r::{} AS image_gen_row FROM pg_catalog.unnest($1) AS r OFFSET 0) c CROSS JOIN LATERAL {}(c.image_gen_row) AS k",
            self.root, self.row_function
        );
        // SAFETY: a look-up in the catalogue.
        let array = unsafe { pg_sys::get_array_type(self.element) };
        let values = Element::composite(self.element).array(rows.iter().map(|row| Some(row.datum())));
        let read = |row: &Row| {
            let key = row.copied(1, false, -1);
            let prompt: Option<String> = row.get(2);
            let blank = prompt.as_deref().is_none_or(is_blank_prompt);
            let refusal = (prompts && blank)
                .then(|| ("invalid_request", "the prompt of this row is NULL or blank".to_owned()));
            let hash = Sha256::digest(prompt.as_deref().unwrap_or_default().as_bytes()).to_vec();
            Candidate { key, prompt, hash, refusal, job: None, replaces: None }
        };
        act_as(self.owner, || Statement::once(&text, &[array], &[values], read))
    }

    /// Leaves out what has asked for the same before.
    fn leave_out_unchanged(&self, candidates: &mut Vec<Candidate>, again: bool) {
        thread_local! {
            static BEFORE: Statement = Statement::new(
                "SELECT b.number, b.prompt_hash, b.state, b.job_id FROM image_gen_internal.attachment_before($1, $2) b",
                &[pg_sys::INT8OID, pg_sys::JSONBARRAYOID],
            );
        }
        candidates.retain(|candidate| candidate.key.is_some());
        let keys = Element::JSONB.array(candidates.iter().map(|candidate| candidate.key));
        let read = |row: &Row| {
            (row.get::<i32>(1), row.get::<Vec<u8>>(2), row.get::<String>(3), row.get::<String>(4))
        };
        let before = BEFORE.with(|s| s.run(&[argument(self.attachment), keys], read));
        let mut same = HashSet::new();
        for (number, hash, state, job) in before {
            let Some(at) = number.and_then(|number| usize::try_from(number - 1).ok()) else { continue };
            let Some(candidate) = candidates.get_mut(at) else { continue };
            let asked = matches!(state.as_deref(), Some("queued" | "written" | "rejected"));
            if asked && !again && hash.as_ref() == Some(&candidate.hash) {
                same.insert(at);
            } else if state.as_deref() == Some("queued") {
                candidate.replaces = job;
            }
        }
        let mut at = 0;
        candidates.retain(|_| {
            at += 1;
            !same.contains(&(at - 1))
        });
    }

    /// Queues rows together; where one of them is refused they are halved. Where a limit is reached, what is left is not tried.
    fn queue(&self, candidates: &mut [&mut Candidate], full: &mut Option<Refusal>) {
        if candidates.is_empty() {
            return;
        }
        if let Some(why) = full {
            candidates.iter_mut().for_each(|candidate| candidate.refusal = Some(code_of(why)));
            return;
        }
        let prompts = candidates.iter().map(|candidate| candidate.prompt.clone().unwrap_or_default());
        match alone(|| template(&self.arguments, prompts.collect(), &Identity::of(self.owner))) {
            Ok(jobs) => {
                candidates.iter_mut().zip(jobs).for_each(|(candidate, job)| candidate.job = Some(job))
            }
            Err(why) if candidates.len() == 1 => {
                candidates[0].refusal = Some(code_of(&why));
                *full = Some(why)
                    .filter(|why| why.sqlstate == PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED);
            }
            Err(_) => {
                let (left, right) = candidates.split_at_mut(candidates.len() / 2);
                self.queue(left, full);
                self.queue(right, full);
            }
        }
    }

    /// Writes down what became of rows.
    fn note(&self, candidates: &[Candidate]) {
        thread_local! {
            static NOTE: Statement = Statement::new(
                "SELECT image_gen_internal.note_attached($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    pg_sys::INT8OID,
                    pg_sys::JSONBARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::BYTEAARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::BOOLOID,
                ],
            );
        }
        let state = |c: &Candidate| match (&c.refusal, &c.job) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "queued",
            (None, None) => "waiting",
        };
        let texts = |text: &dyn Fn(&Candidate) -> Argument| Element::TEXT.array(candidates.iter().map(text));
        let arguments = [
            argument(self.attachment),
            Element::JSONB.array(candidates.iter().map(|c| c.key)),
            texts(&|c| argument(state(c))),
            Element::BYTEA.array(candidates.iter().map(|c| argument(c.hash.as_slice()))),
            texts(&|c| argument(c.job.as_deref())),
            texts(&|c| argument(c.refusal.as_ref().map(|(code, _)| *code))),
            texts(&|c| argument(c.refusal.as_ref().map(|(_, message)| message.as_str()))),
            Element::TEXT.array(candidates.iter().filter_map(|c| c.replaces.as_deref()).map(argument)),
            argument(self.arguments.contains("\"reuse\"")),
        ];
        NOTE.with(|s| s.run(&arguments, |_| ()));
    }
}

/// The code and the words of an error, for `attachment_rows`.
fn code_of(why: &Refusal) -> (&'static str, String) {
    use PgSqlErrorCode::*;
    let code = match why.sqlstate {
        ERRCODE_CONFIGURATION_LIMIT_EXCEEDED => "budget_exceeded",
        ERRCODE_FEATURE_NOT_SUPPORTED => "not_supported",
        ERRCODE_UNDEFINED_OBJECT => "not_found",
        ERRCODE_LOCK_NOT_AVAILABLE => "timeout",
        _ => "invalid_request",
    };
    let hint = why.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    (code, format!("{}{hint}", why.message))
}

/// Queues rows that have no image; how many were queued, and how many refused.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn backfill(
    attachment: i64,
    relation: pg_sys::Oid,
    most: i32,
    retry_failed: bool,
) -> TableIterator<'static, (name!(queued, i32), name!(refused, i32))> {
    let mut done = (0, 0);
    if let Some(plan) = Plan::of(attachment, relation) {
        let failed = if retry_failed {
            "OR e.state = 'refused' OR e.state = 'queued' AND EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = e.job_id AND j.status IN ('failed', 'canceled'))"
        } else {
            ""
        };
        let text = format!(
            "SELECT image_gen_row FROM {} AS image_gen_row CROSS JOIN LATERAL {}(image_gen_row) AS k
               LEFT JOIN image_gen.attachment_entries e ON e.attachment = $1 AND e.key = k.key
              WHERE CASE WHEN e.key IS NULL THEN NOT k.filled ELSE e.state = 'waiting' OR e.state = 'refused' AND e.error_code <> 'invalid_request' {failed} END LIMIT $2",
            plan.root, plan.row_function
        );
        let arguments = [argument(attachment), argument(i64::from(most))];
        let types = [pg_sys::INT8OID, pg_sys::INT8OID];
        let read = |row: &Row| {
            let datum = row.copied(1, false, -1)?;
            // SAFETY: a composite value, detoasted as such values are when they are made.
            Some(unsafe { Collected::new(attachment, relation, datum) })
        };
        let found = act_as(plan.owner, || Statement::once(&text, &types, &arguments, read));
        let found: Vec<Collected> = found.into_iter().flatten().collect();
        for rows in found.chunks(MOST) {
            let (queued, refused) = place(rows, true);
            done = (done.0 + queued as i32, done.1 + refused as i32);
        }
    }
    TableIterator::once(done)
}

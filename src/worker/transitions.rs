//! Makes durable what the network thread reports: the functions of `sql/queue/`, each called once for all jobs of a
//! round, with an array for each argument.

mod assets;
mod columns;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use columns::{Begins, Checkpoints, Ends, Finishes, Requeues};
use image_gen_engine::run::{JobStatus, Picture, Transition};
use pgrx::prelude::*;

use super::io::{Commit, Omission};
use super::transaction::{Failed, within};
use super::{trace, user_code};
use crate::pause;

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
        let whole = commit.transitions.clone();
        for step in Omission::STEPS {
            step.iter().for_each(|omission| commit.leave_out(*omission, why));
            match write(extension, epoch, std::slice::from_ref(commit)) {
                Err(Failed::Poison(_)) => commit.transitions.clone_from(&whole),
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
        for transition in commit.transitions.iter().filter(|_| verdict == Verdict::Written) {
            match transition {
                Transition::Later { after, .. } => self.put_off.push((commit.seq, *after)),
                Transition::Close { .. } => self.closed.push(commit.seq),
                Transition::Begin { .. } => self.begun.push(commit.seq),
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
            let place = format!("flush_{}", Commit::place(&commit.transitions));
            pause::in_transaction(&place, &commit.job_id, super::process::must_stop);
        }
        Ok(verdicts)
    })
}
/// What is to be written for all jobs of a round: for each kind of transition, its columns.
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
    /// Adds a job. Its transitions are one of these: a begin, a checkpoint, or an end (where an attempt was under way) and what
    /// becomes of the job. So the order in which the kinds are written is that of the transitions of each job.
    fn add(&mut self, commit: &'a Commit) {
        let seq = commit.seq;
        for transition in &commit.transitions {
            match transition {
                Transition::Begin { .. } => self.begins.add(seq, transition),
                Transition::Checkpoint { .. } => self.checkpoints.add(seq, transition),
                Transition::End { .. } => self.ends.add(seq, transition),
                Transition::Later { after, progress, pictures } => {
                    self.pictures.push((seq, &commit.job_id, pictures));
                    self.requeues.add(seq, *after, progress);
                }
                Transition::Close { status, failed, pictures } => {
                    self.finishes.add(seq, *status, failed.as_ref());
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
        assets::deliver(kept.map(|(_, job, pictures)| (job, pictures)).collect());
        verdicts.extend(ours.into_iter().map(written));
        verdicts.extend(self.begins.write(epoch));
        verdicts
    }
}

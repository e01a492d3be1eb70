//! The machine: one graphics card, a queue before it, a history behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::picture::{Format, Picture};
use crate::task::Fate;

use super::plan::{Failure, Made};

/// So many finished jobs are remembered.
const LONGEST_HISTORY: usize = 10_000;

/// A job as it was queued.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place in the queue; lower ones come first.
    pub number: i64,
    pub id: String,
    pub graph: Value,
    pub extra: Value,
    /// The nodes that it is run for, and those of them that an earlier run has done already.
    pub outputs: Vec<String>,
    pub cached: Vec<String>,
    pub prompt: Option<String>,
    pub seed: Option<u64>,
    pub model: Option<String>,
    pub fate: Fate,
    pub failure: Option<Failure>,
    /// By node, what it shows: `{"images": [...]}`.
    pub results: Map<String, Value>,
    pub takes: Duration,
    pub begins: Instant,
    /// `None`: never.
    pub ends: Option<Instant>,
    pub interrupted: bool,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Done,
}

impl Job {
    pub(super) fn state(&self, now: Instant) -> State {
        if self.ends.is_some_and(|ends| ends <= now) {
            State::Done
        } else if self.begins <= now {
            State::Running
        } else {
            State::Waiting
        }
    }

    /// As the queue and the history show it.
    pub(super) fn tuple(&self) -> Value {
        json!([self.number, self.id, self.graph, self.extra, self.outputs])
    }
}

#[derive(Debug, Default)]
pub(super) struct Host {
    jobs: BTreeMap<u64, Job>,
    by_id: HashMap<String, u64>,
    /// Those that were not done when it was last looked.
    open: BTreeSet<u64>,
    count: u64,
    free_at: Option<Instant>,
    /// How many files there are by the beginnings of their names.
    counters: HashMap<String, u64>,
    files: HashMap<String, (u64, Picture)>,
    /// What the last run has done.
    done: HashSet<String>,
}

impl Host {
    /// The number that the next job gets.
    pub(super) fn next_number(&self, front: bool) -> i64 {
        let number = i64::try_from(self.count).unwrap_or(i64::MAX);
        if front { -number } else { number }
    }

    /// Whether the last run has done this already, which then is not done again.
    pub(super) fn has_done(&self, signature: &str) -> bool {
        self.done.contains(signature)
    }

    pub(super) fn now_done(&mut self, signatures: HashSet<String>) {
        self.done = signatures;
    }

    /// Names the files of a job, before it is queued.
    pub(super) fn store(&mut self, made: Made) -> Map<String, Value> {
        let mut results = Map::new();
        for (node, temporary, prefix, batch) in made {
            let kind = if temporary { "temp" } else { "output" };
            let (subfolder, name) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
            let mut images = Vec::new();
            for n in 0..batch.count {
                let counter = self.counters.entry(format!("{kind}/{prefix}")).or_default();
                *counter += 1;
                let file = format!("{name}_{counter:05}_.png");
                let picture = Picture {
                    prompt: batch.prompt.clone(),
                    seed: batch.seed.wrapping_add(n),
                    width: batch.width,
                    height: batch.height,
                    format: Format::Png,
                };
                self.files.insert(format!("{kind}/{subfolder}/{file}"), (self.count, picture));
                images.push(json!({"filename": file, "subfolder": subfolder, "type": kind}));
            }
            results.insert(node, json!({ "images": images }));
        }
        results
    }

    /// Queues a job, and gives how many are not done then.
    pub(super) fn queue(&mut self, mut job: Job, now: Instant, limit: usize) -> usize {
        let front = job.number < 0;
        if job.fate != Fate::Never {
            job.begins = self.free_at.map_or(now, |free| free.max(now));
            job.ends = Some(job.begins + job.takes);
            self.free_at = job.ends;
        }
        self.by_id.insert(job.id.clone(), self.count);
        self.open.insert(self.count);
        self.jobs.insert(self.count, job);
        self.count += 1;
        if front {
            self.replan(now);
        }
        while self.jobs.len() > limit.min(LONGEST_HISTORY) {
            let Some((serial, job)) = self.jobs.pop_first() else { break };
            self.forget(serial, &job);
        }
        self.tidy(now);
        self.open.len()
    }

    fn forget(&mut self, serial: u64, job: &Job) {
        self.open.remove(&serial);
        if self.by_id.get(&job.id) == Some(&serial) {
            self.by_id.remove(&job.id);
        }
        self.files.retain(|_, (owner, _)| *owner != serial);
    }

    fn tidy(&mut self, now: Instant) {
        let jobs = &self.jobs;
        self.open.retain(|serial| jobs.get(serial).is_some_and(|job| job.state(now) != State::Done));
    }

    /// Those that wait come one after the other, once what runs has ended.
    fn replan(&mut self, now: Instant) {
        self.tidy(now);
        let mut free = now;
        let mut waiting = Vec::new();
        for serial in &self.open {
            let Some(job) = self.jobs.get(serial) else { continue };
            match (job.state(now), job.ends) {
                (State::Running, Some(ends)) => free = free.max(ends),
                (State::Waiting, Some(_)) => waiting.push((job.number, *serial)),
                _ => {}
            }
        }
        waiting.sort_unstable();
        for (_, serial) in waiting {
            if let Some(job) = self.jobs.get_mut(&serial) {
                (job.begins, job.ends) = (free, Some(free + job.takes));
                free += job.takes;
            }
        }
        self.free_at = Some(free);
    }

    pub(super) fn find(&self, id: &str) -> Option<&Job> {
        self.jobs.get(self.by_id.get(id)?)
    }

    /// The jobs in this state, in their order.
    pub(super) fn list(&mut self, state: State, now: Instant) -> Vec<&Job> {
        if state == State::Done {
            return self.jobs.values().filter(|job| job.state(now) == state).collect();
        }
        self.tidy(now);
        let mut jobs: Vec<&Job> = self.open.iter().filter_map(|serial| self.jobs.get(serial)).collect();
        jobs.retain(|job| job.state(now) == state);
        jobs.sort_by_key(|job| job.begins);
        jobs
    }

    /// Takes jobs in this state out, as if they had never been: those named, or all.
    pub(super) fn remove(&mut self, ids: Option<&[&str]>, state: State, now: Instant) {
        let wanted =
            |job: &Job| job.state(now) == state && ids.is_none_or(|ids| ids.contains(&job.id.as_str()));
        let gone: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| wanted(job)).map(|(serial, _)| *serial).collect();
        for serial in gone {
            let Some(job) = self.jobs.remove(&serial) else { continue };
            self.open.remove(&serial);
            if self.by_id.get(&job.id) == Some(&serial) {
                self.by_id.remove(&job.id);
            }
            // The history may forget a job whose files stay.
            if state != State::Done {
                self.files.retain(|_, (owner, _)| *owner != serial);
            }
        }
        self.replan(now);
    }

    /// Stops what runs, or only the job of this id if it does.
    pub(super) fn interrupt(&mut self, id: Option<&str>, now: Instant) {
        for serial in self.open.clone() {
            let Some(job) = self.jobs.get_mut(&serial) else { continue };
            if job.state(now) == State::Running && id.is_none_or(|id| job.id == id) {
                (job.interrupted, job.ends) = (true, Some(now));
                self.files.retain(|_, (owner, _)| *owner != serial);
                // Half a run is no run.
                self.done.clear();
            }
        }
        self.replan(now);
    }

    /// An image that a job has made by now.
    pub(super) fn picture(&self, name: &str, now: Instant) -> Option<Picture> {
        let (owner, picture) = self.files.get(name)?;
        let ready = self.jobs.get(owner).is_none_or(|job| job.state(now) == State::Done);
        ready.then(|| picture.clone())
    }

    /// The job that makes this image.
    pub(super) fn maker(&self, name: &str) -> Option<&Job> {
        self.jobs.get(&self.files.get(name)?.0)
    }
}

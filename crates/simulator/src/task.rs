//! Tasks: images that are drawn after the submission was answered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;

use crate::fault::Stage;
use crate::picture::Picture;

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// With an image.
    Ready,
    /// With a success that has no image in it.
    Empty,
    /// Refused by the safety filter.
    Refused(Stage),
    /// With an error.
    Error,
    /// Not at all.
    Never,
    /// Forgotten by the provider.
    Lost,
}

/// One accepted submission. Its fate is decided when it is accepted, so that the ledger can book it then.
#[derive(Debug)]
pub(crate) struct Task {
    pub id: String,
    pub provider: &'static str,
    /// Where it lives, for providers with regions.
    pub place: &'static str,
    pub model: String,
    pub picture: Picture,
    /// How many images, with the seeds that follow `picture.seed`.
    pub count: u64,
    pub ready_at: Instant,
    /// Unix microseconds of start and end of the drawing.
    pub drawn_us: (u64, u64),
    pub fate: Fate,
    /// Answers say `state`, not `status`.
    pub state_key: bool,
    /// Called off by the client.
    pub canceled: AtomicBool,
}

impl Task {
    /// One of its images, counted from 0.
    pub(crate) fn nth(&self, n: u64) -> Picture {
        Picture { seed: self.picture.seed.wrapping_add(n), ..self.picture.clone() }
    }
}

/// The seed, less than `limit`, of what comes without one. It comes out of the id, so it differs from one to the next.
pub(crate) fn seed_of(id: &str, limit: u64) -> u64 {
    id.bytes().fold(0, |seed, byte| (seed * 31 + u64::from(byte)) % limit)
}

/// The newest tasks of all providers.
#[derive(Debug, Default)]
pub(crate) struct TaskBook {
    tasks: HashMap<String, Arc<Task>>,
    order: VecDeque<String>,
}

impl TaskBook {
    pub(crate) fn add(&mut self, task: Task, limit: usize) {
        self.order.push_back(task.id.clone());
        self.tasks.insert(task.id.clone(), Arc::new(task));
        while self.order.len() > limit {
            if let Some(oldest) = self.order.pop_front() {
                self.tasks.remove(&oldest);
            }
        }
    }

    pub(crate) fn find(&self, provider: &str, id: &str) -> Option<Arc<Task>> {
        self.tasks.get(id).filter(|t| t.provider == provider).cloned()
    }

    pub(crate) fn clear(&mut self) {
        self.tasks.clear();
        self.order.clear();
    }
}

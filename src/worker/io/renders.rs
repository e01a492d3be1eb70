//! What renders took lately, model by model: this life of the worker polls by it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::poll::{Renders, Seen};

/// By provider and model.
#[derive(Default)]
pub(super) struct History(Mutex<HashMap<(String, String), Renders>>);

impl History {
    /// What is known of a candidate's model.
    pub fn of(&self, candidate: &Candidate) -> Renders {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(candidate)).cloned().unwrap_or_default()
    }

    /// One more of its renders has ended.
    pub fn learn(&self, candidate: &Candidate, seen: Seen) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key(candidate)).or_default().learn(seen);
    }
}

fn key(candidate: &Candidate) -> (String, String) {
    (candidate.provider.clone(), candidate.model.clone())
}

//! Errors of the worker: in the server's log, at most once a minute the same one, and in worker_status. Without keys.

use std::time::{Duration, Instant};

use image_gen_engine::redact::Redactor;
use pgrx::prelude::*;

use super::queue::{self, Note};
use super::transaction::Failed;
use crate::keys::Keys;

/// The same error is not said again for so long.
const QUIET: Duration = Duration::from_secs(60);

/// What was said last, and what may not be said.
pub struct Complaints {
    redactor: Redactor,
    last: Option<(Instant, String)>,
}

impl Complaints {
    /// Nothing was said.
    pub fn new(redactor: Redactor) -> Self {
        Complaints { redactor, last: None }
    }

    /// The keys were read again; what was wrong is said again if it still is.
    pub fn reload(&mut self, keys: &Keys) {
        self.redactor = self.redactor.with(keys.all());
        self.last = None;
    }

    /// Logs an error and shows it in worker_status.
    pub fn say(&mut self, extension: pg_sys::Oid, why: &str) {
        let now = Instant::now();
        if let Some((at, last)) = &self.last
            && last == why
            && now.duration_since(*at) < QUIET
        {
            return;
        }
        let mut shown = why.to_owned();
        self.redactor.clean_excerpt(&mut shown);
        log!("image_gen: {shown}");
        // If this fails too, the log has the reason of both.
        let _ = queue::note(extension, Note { error: Some(shown), ..Note::default() });
        self.last = Some((now, why.to_owned()));
    }

    /// Something went wrong that no other job has to suffer from. (A dropped extension is noticed by what follows.)
    pub fn note<T>(&mut self, extension: pg_sys::Oid, failed: Failed) -> Option<T> {
        if let Failed::Error(why) | Failed::Poison(why) = failed {
            self.say(extension, &why);
        }
        None
    }
}

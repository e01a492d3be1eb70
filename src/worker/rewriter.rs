//! Softer words for refused prompts: from the administrator's own function, else from the rules. The function has a share of the
//! worker's time: one that is slow has its turn less often, one that fails is left alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::complaints::Complaints;
use super::io::Rewrite;
use super::transaction::Failed;
use super::{process, queue};
use crate::settings;

/// How long a rewriting function is left alone after an error.
const REST: Duration = Duration::from_secs(60);
/// A rewrite that takes so long is followed by a pause, in rewrites.
const SLOW: Duration = Duration::from_millis(50);
const PAUSES: u32 = 4;

/// Prompts that wait for softer words.
pub struct Rewriter {
    waiting: VecDeque<Rewrite>,
    /// When the next one has its turn.
    next: Instant,
    /// After an error `image_gen.prompt_rewriter` is left alone until then.
    rests_until: Option<Instant>,
    /// Prompts whose softer words the next life looks for: kept, so that no answer is not taken for "nothing softer".
    unanswered: Vec<Rewrite>,
}

impl Rewriter {
    /// No prompt waits.
    pub fn new(now: Instant) -> Self {
        Rewriter { waiting: VecDeque::new(), next: now, rests_until: None, unanswered: vec![] }
    }

    /// A prompt was refused.
    pub fn want(&mut self, rewrite: Rewrite) {
        self.waiting.push_back(rewrite);
    }

    /// The settings were read again: what failed before may work now.
    pub fn retry(&mut self) {
        self.rests_until = None;
    }

    /// When the next prompt has its turn.
    pub fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Looks for softer words for the prompts whose turn it is.
    pub fn step(&mut self, extension: pg_sys::Oid, complaints: &mut Complaints) {
        while Instant::now() >= self.next
            && let Some(rewrite) = self.waiting.pop_front()
        {
            let start = Instant::now();
            match self.rewrite(extension, &rewrite, complaints) {
                // A SIGTERM has cancelled the question: the next life asks it again.
                _ if process::must_stop() => self.unanswered.push(rewrite),
                Ok(prompt) => drop(rewrite.done.send(prompt)),
                // What goes wrong with these is theirs alone.
                Err(why) => {
                    let nothing = complaints.note(extension, why);
                    let _ = rewrite.done.send(nothing);
                }
            }
            let took = start.elapsed();
            if took >= SLOW {
                self.next = Instant::now() + took * PAUSES;
            }
        }
    }

    fn rewrite(
        &mut self,
        extension: pg_sys::Oid,
        refused: &Rewrite,
        complaints: &mut Complaints,
    ) -> Result<Option<String>, Failed> {
        let function = settings::text(&settings::PROMPT_REWRITER);
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        if !function.is_empty() && !rests {
            match queue::rewrite_by(extension, &function, refused) {
                Ok(Some(prompt)) => return Ok(Some(prompt)),
                Ok(None) => {}
                Err(Failed::Gone) => return Err(Failed::Gone),
                Err(Failed::Error(why) | Failed::Poison(why)) => {
                    // It may be slow rather than wrong: other jobs do not wait for it again and again.
                    self.rests_until = Some(Instant::now() + REST);
                    complaints.say(extension, &format!("image_gen.prompt_rewriter: {why}"));
                }
            }
        }
        queue::rewrite(extension, &refused.prompt)
    }
}

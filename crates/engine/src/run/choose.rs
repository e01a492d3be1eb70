//! Before anything else: where the job goes next, and with which prompt.

use std::time::Duration;

use super::{JobStatus, Run, State, Step, Transition};
use crate::candidate::Candidate;
use crate::content::{Action, Rule};
use crate::failure::{ErrorCode, Failed, Failure};
use crate::job::{MAX_PROMPT_CHARS, is_blank};
use crate::progress::RefusalStep;
use crate::provider;
use crate::retry::SHORT;
use crate::route;

impl Run {
    pub(super) fn start(&mut self, now: i64) -> Step {
        if self.is_late(now) {
            return self.too_late();
        }
        if self.plan.progress.climbing { self.climb(now) } else { self.go(now) }
    }

    /// Answers a refusal with the next step of the ladder.
    fn climb(&mut self, now: i64) -> Step {
        loop {
            if let Some(end) = self.ladder_ends() {
                return self.end_of_ladder(end);
            }
            let progress = &self.plan.progress;
            match self.plan.ladder.get(progress.step as usize) {
                Some(RefusalStep::Rewrite) => {
                    self.state = State::Rewriting;
                    let refused_by = progress.refused.last().cloned().unwrap_or_default();
                    return Step::Rewrite { prompt: self.job.request.prompt.clone(), refused_by };
                }
                Some(RefusalStep::SwitchModel { candidates }) => {
                    // A model that is named and that no provider can take is not replaced by one that is not named.
                    let from = candidates.as_ref().unwrap_or(&self.plan.route);
                    let open = |c: &&Candidate| progress.is_open(c) && !progress.model_refused(c);
                    let other = from.iter().filter(open).find(|c| self.fits(c)).map(Candidate::name);
                    let progress = &mut self.plan.progress;
                    progress.step += 1;
                    if let Some(other) = other {
                        progress.chosen = Some(other);
                        progress.climbing = false;
                        return self.go(now);
                    }
                }
                // `ladder_ends` knows the others.
                _ => self.plan.progress.step += 1,
            }
        }
    }

    pub(super) fn rewritten(&mut self, prompt: Option<String>, now: i64) -> Step {
        self.plan.progress.step += 1;
        let usable = |p: &String| {
            !is_blank(p) && *p != self.job.request.prompt && p.chars().count() <= MAX_PROMPT_CHARS
        };
        match prompt.filter(usable) {
            Some(prompt) => {
                self.job.request.prompt = prompt.clone();
                let progress = &mut self.plan.progress;
                // What a person has seen is not these words.
                progress.cleared = false;
                if let Some(rule) = self.plan.content.stops(&prompt, false) {
                    let end = ends_with(rule);
                    return self.close(end.0, end.1);
                }
                progress.prompt = Some(prompt);
                progress.reworded = progress.refused.len() as u32;
                progress.chosen = progress.refused.last().cloned();
                progress.climbing = false;
                self.go(now)
            }
            // Nothing to soften: the same prompt would be refused again, and paid for.
            None => self.climb(now),
        }
    }

    /// How the job ends when its ladder has no further step for it; `None` while it has one.
    pub(super) fn ladder_ends(&self) -> Option<JobStatus> {
        let progress = &self.plan.progress;
        if progress.refused.len() >= self.plan.max_refusals as usize {
            return Some(JobStatus::NeedsReview);
        }
        match self.plan.ladder.get(progress.step as usize) {
            None | Some(RefusalStep::Review) => Some(JobStatus::NeedsReview),
            Some(RefusalStep::Fail) => Some(JobStatus::Failed),
            Some(RefusalStep::Rewrite | RefusalStep::SwitchModel { .. }) => None,
        }
    }

    fn end_of_ladder(&mut self, status: JobStatus) -> Step {
        let refused = self.plan.progress.refused.join(", ");
        let failed = Failure::Refused.because(format!("refused by {refused}; there is nothing left to try"));
        self.close(status, failed)
    }

    /// Asks to be let in at the next candidate.
    pub(super) fn go(&mut self, now: i64) -> Step {
        let progress = &self.plan.progress;
        let well = |c: &&Candidate| !self.is_unwell(&c.name());
        let chosen = progress.chosen.as_ref().and_then(|name| self.named(name)).filter(well);
        // A retry stays where it is; the ladder's choice comes before the route.
        let open = |c: &&Candidate| progress.is_open(c) && self.fits(c);
        let next = chosen.or_else(|| self.plan.route.iter().filter(well).find(open));
        match next.cloned() {
            Some(candidate) => {
                self.task = provider::task_at(self.job.request.task(self.job.operation), &candidate);
                let outage = progress.outages.get(&candidate.name());
                self.tries = outage.map_or(0, |outage| outage.tries);
                self.candidate = candidate;
                self.divide();
                self.state = State::Entering;
                Step::Enter
            }
            // With a refusal behind it, what follows is the ladder's to say.
            None if !progress.refused.is_empty() => self.climb(now),
            None => {
                let message = "no provider is left that could do it";
                let late = self.is_late(now);
                if late { self.too_late() } else { self.close_unsent(Failure::NotSupported, message) }
            }
        }
    }

    fn named(&self, name: &str) -> Option<&Candidate> {
        let ladder = self.plan.ladder.iter().flat_map(|step| match step {
            RefusalStep::SwitchModel { candidates: Some(candidates) } => candidates.as_slice(),
            _ => &[],
        });
        self.plan.route.iter().chain(ladder).find(|c| c.name() == name)
    }

    /// Whether the route has another candidate that could take over.
    pub(super) fn others(&self) -> bool {
        let here = self.candidate.name();
        let other = |c: &&Candidate| c.name() != here && self.plan.progress.is_open(c);
        self.plan.route.iter().filter(other).any(|c| self.fits(c))
    }

    /// Whether a candidate can take the request at a price that is allowed. Of the head that is known.
    pub(super) fn fits(&self, candidate: &Candidate) -> bool {
        let head = self.plan.route.first().is_some_and(|head| head.name() == candidate.name());
        let task = self.job.request.task(self.job.operation);
        head || route::fits(candidate, task, &self.job.request, self.plan.ceiling).is_ok()
    }

    fn is_unwell(&self, name: &str) -> bool {
        self.unwell.iter().any(|(unwell, ..)| unwell == name)
    }

    /// Whether the route has a candidate besides this one that may take the job, and is well as far as is known.
    pub(super) fn is_open_elsewhere(&self, here: &str) -> bool {
        let open = |c: &Candidate| {
            let name = c.name();
            name != here && self.plan.progress.is_open(c) && !self.is_unwell(&name) && self.fits(c)
        };
        self.plan.route.iter().any(open)
    }

    pub(super) fn entered(&mut self, now: i64) -> Step {
        if self.provider().is_none() {
            let message = format!("there is no adapter of kind '{}'", self.candidate.kind);
            return self.close_unsent(Failure::NotSupported, &message);
        }
        self.gather(0, now)
    }

    /// The candidate is unwell: another one, later, or not at all. No provider was called, so nothing is counted.
    pub(super) fn shut(&mut self, after: Duration, code: ErrorCode, now: i64) -> Step {
        let here = self.candidate.name();
        self.unwell.push((here.clone(), after, code));
        if self.is_open_elsewhere(&here) {
            // A short pause is worth waiting for, once.
            if is_account(code) || after > SHORT || self.plan.progress.waits > 0 {
                return self.go(now);
            }
            self.plan.progress.waits += 1;
            return self.later(vec![], after, self.plan.progress.clone());
        }
        let passing = |(_, _, code): &&(String, Duration, ErrorCode)| !is_final(*code);
        if !self.desperate && self.unwell.len() > 1 && self.unwell.iter().any(|unwell| passing(&unwell)) {
            // None is well. Those that will be again are asked as if there were no other.
            self.desperate = true;
            self.unwell.retain(|(_, _, code)| is_final(*code));
            return self.go(now);
        }
        if let Some(after) = self.unwell.iter().filter(passing).map(|(_, after, _)| *after).min() {
            return self.later(vec![], after, self.plan.progress.clone());
        }
        if is_account(code) && !self.plan.progress.refused.is_empty() {
            return self.climb(now);
        }
        let message = format!("{here} answered others with {} a moment ago", code.as_str());
        let failure = match code {
            ErrorCode::Auth => Failure::Unauthorized,
            ErrorCode::InsufficientCredits => Failure::OutOfCredit,
            ErrorCode::ModelGone => Failure::ModelGone,
            _ => Failure::PolicyBlocked,
        };
        self.close_unsent(failure, &message)
    }

    /// The job ends between two attempts.
    pub(super) fn close(&mut self, status: JobStatus, failed: Failed) -> Step {
        self.state = State::Closing;
        Step::Commit(vec![Transition::Close { status, failed: Some(failed), pictures: vec![] }])
    }
}

/// How a job ends whose prompt a rule of content stops: nothing more is sent.
pub fn ends_with(rule: &Rule) -> (JobStatus, Failed) {
    let failed = Failure::Content.because(rule.says());
    match rule.action {
        Action::Review => (JobStatus::NeedsReview, failed),
        _ => (JobStatus::Failed, failed),
    }
}

/// Whether a provider that answers like this says the same whatever is asked.
fn is_account(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Auth | ErrorCode::InsufficientCredits | ErrorCode::PolicyBlock)
}

/// Whether waiting does not help against it.
fn is_final(code: ErrorCode) -> bool {
    is_account(code) || code == ErrorCode::ModelGone
}

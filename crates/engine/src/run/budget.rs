//! What a budget can say to the intent to send: not this call, or not just now. Nothing was written and nothing is sent.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{JobStatus, Run, Step};
use crate::failure::Failure;
use crate::input::Inputs;
use crate::provider;

/// When to ask again where another session holds the budget.
const HELD: Duration = Duration::from_millis(300);

impl Run {
    /// What the call that is about to begin is expected to cost.
    pub(super) fn expected(&self) -> Option<Decimal> {
        let prepared = self.prepared.as_ref()?;
        provider::expected_cost(&self.candidate, self.asked(), prepared, &self.input_pixels)
    }

    /// What the calls are expected to cost that follow it.
    pub(super) fn expected_rest(&self) -> Option<Decimal> {
        if self.part.is_none() {
            return Some(Decimal::ZERO);
        }
        let (prepared, request) = (self.prepared.as_ref()?, &self.job.request);
        let task = request.task(self.job.operation);
        let all = provider::expected_total(&self.candidate, task, request, prepared, &self.input_pixels)?;
        all.checked_sub(self.expected()?)
    }

    /// The budget does not allow this call: another candidate may be cheaper, else a person can allow it.
    pub(super) fn unaffordable(&mut self, now: i64) -> Step {
        let name = self.candidate.name();
        let expected = self.expected();
        self.take_back();
        let progress = &mut self.plan.progress;
        progress.outages.remove(&name);
        progress.failed.push(name.clone());
        progress.chosen = None;
        if self.others() {
            let open = |c: &&crate::candidate::Candidate| self.plan.progress.is_open(c) && self.fits(c);
            if self.plan.route.iter().filter(open).all(|c| self.unwell.iter().any(|u| u.0 == c.name())) {
                // They were passed over for one that cannot be paid: now they are asked again, or waited for.
                self.unwell.clear();
            }
            return self.go(now);
        }
        let cost = match expected {
            Some(amount) => format!("is expected to cost {} USD", amount.normalize()),
            None => "has no known price".to_owned(),
        };
        let message = format!(
            "the budget does not allow the call to {name}, which {cost}, and no cheaper candidate is left; \
             raise the budget or wait until it begins anew, then retry the job"
        );
        self.close(JobStatus::NeedsReview, Failure::OverBudget.because(message))
    }

    /// Another session holds the budget just now. No provider was called, so nothing is counted.
    pub(super) fn busy(&mut self, now: i64) -> Step {
        self.take_back();
        let spread = crate::seed::fraction(&self.job.id, (now & 0xffff) as u32);
        self.later(vec![], HELD.mul_f64(0.5 + spread), self.plan.progress.clone())
    }

    /// Undoes what was made ready for the candidate: the next one has images, prerequisites and warnings of its own.
    fn take_back(&mut self) {
        self.number = self.number.saturating_sub(1);
        self.prepared = None;
        self.inputs = Inputs::default();
        self.input_pixels.clear();
        self.found.clear();
        self.warnings.clear();
        self.last_status = None;
        self.accepted = false;
    }
}

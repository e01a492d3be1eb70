//! The end of an attempt, and what follows it.

use std::time::Duration;

use super::collect::Collection;
use super::{AttemptStatus, JobStatus, Run, State, Step, Transition};
use crate::cost::{self, Cost, CostSource, Usage};
use crate::failure::{Failed, Failure};
use crate::job::Warning;
use crate::key_use;
use crate::progress::{Outage, Progress};
use crate::provider::{self, Charge, Output, Rejection};
use crate::retry::{self, Next, Situation};
use crate::size::Size;

/// A cost, and what was held against the price table where it comes from there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bill {
    pub cost: Cost,
    pub usage: Option<Usage>,
}

impl From<Cost> for Bill {
    fn from(cost: Cost) -> Self {
        Bill { cost, usage: None }
    }
}

impl Run {
    pub(super) fn finished(&mut self, mut output: Output, cost: Option<Cost>, now: i64) -> Step {
        // An answer does not decide how much is downloaded and stored, nor what an estimate learns.
        output.pictures.truncate(crate::job::MAX_N as usize);
        output.render_seconds = output.render_seconds.filter(|s| (0.0..86_400.0).contains(s));
        self.warnings.append(&mut output.warnings);
        let (made, asked) = (output.pictures.len() as u64 + u64::from(output.withheld), self.asked().n);
        if made < u64::from(asked) && !self.asks_again() {
            let message = format!("{made} of {asked} images were made");
            self.warnings.push(Warning::new("fewer_pictures", message));
        }
        let waited = (now - self.sent_at).max(0) as f64 / 1000.0;
        let collection = Collection::new(output, cost, waited);
        self.state = State::Collecting(Box::new(collection));
        // Hashing megabytes of inline images is not for the network thread.
        Step::Compute
    }

    /// Whether images that did not come are asked for in a further call: where that costs nothing. Servers of one's own may know no
    /// number of images.
    pub(super) fn asks_again(&self) -> bool {
        provider::is_free(&self.candidate)
    }

    /// The provider said no, and what that costs.
    pub(super) fn rejected(&mut self, rejection: Rejection, told: Option<Cost>) -> Step {
        let bill = match (rejection.charge, told) {
            (Charge::Free, _) => Cost::free().into(),
            (Charge::Unknown, _) => Cost::unknown().into(),
            (Charge::Full, Some(told)) => told.into(),
            (Charge::Full, None) => {
                let size = self.prepared.as_ref().and_then(|p| p.size);
                self.price(self.asked().n, size.map(Size::pixels), None, None)
            }
        };
        self.failed(rejection.failed, bill)
    }

    /// What the price table says about a call.
    pub(super) fn price(
        &self,
        images: u32,
        pixels: Option<u64>,
        tokens: Option<cost::Tokens>,
        seconds: Option<f64>,
    ) -> Bill {
        let quality = self.prepared.as_ref().and_then(|p| p.quality.clone());
        let inputs = self.input_pixels.clone();
        let inputs_unknown = self.inputs_unknown;
        let usage = Usage { images, pixels, inputs, inputs_unknown, seconds, quality, tokens };
        let cost = cost::price(&self.candidate.prices, &usage).map_or_else(Cost::unknown, Cost::priced);
        Bill { cost, usage: Some(usage) }
    }

    /// A cost as it is booked: unknown where its figure is beyond belief, and nothing at one's own machine.
    pub(super) fn booked(&self, cost: Cost) -> Cost {
        if cost.source == CostSource::Unknown {
            let free = cost.claimed.is_none() && provider::is_free(&self.candidate);
            return if free { Cost::free() } else { cost };
        }
        let estimate = self.prepared.as_ref().and_then(|prepared| {
            let usage = provider::expected_work(&self.candidate, self.asked(), prepared, &self.input_pixels);
            cost::price_in(&cost.currency, &self.candidate.prices, &usage)
        });
        cost.within(self.terms.sanity.limit(estimate))
    }

    /// An attempt failed: again, elsewhere, up the ladder, or the end.
    pub(super) fn failed(&mut self, failed: Failed, bill: impl Into<Bill>) -> Step {
        let bill = bill.into();
        let status = match failed.failure {
            Failure::Refused => AttemptStatus::Refused,
            Failure::Uncertain | Failure::TimedOut => AttemptStatus::Uncertain,
            _ => AttemptStatus::Failed,
        };
        let resend = self.terms.resend_uncertain && !self.resumed && failed.failure == Failure::Uncertain;
        let rule = if resend { Failure::Overloaded { after: None } } else { failed.failure.clone() };
        let costs_nothing = bill.cost.amount.is_some_and(|amount| amount.is_zero());
        let mut progress = self.plan.progress.clone();
        let name = self.candidate.name();
        let outage = progress.outages.remove(&name);
        if costs_nothing && self.pass.others && !self.accepted && key_use::is_of_key(&rule) {
            // Its provider is well: another of its keys is tried at once, and this call is no part of an outage.
            progress.outages.extend(outage.map(|outage| (name, outage)));
            let end = self.end_entry(status, Some(failed), bill, None);
            return self.later(vec![end], Duration::ZERO, progress);
        }
        let since = outage.map_or(self.now, |outage| outage.since);
        let situation = Situation {
            tries: self.tries,
            others: self.others(),
            free: resend || costs_nothing,
            // What is sent again at the risk of paying twice is sent a few times and not for an hour.
            accepted: self.accepted || resend,
            waited: Duration::from_millis(u64::try_from(self.now - since).unwrap_or(0)),
            patience: self.terms.patience,
            jitter: crate::seed::fraction(&self.job.id, self.tries),
        };
        // Calls that were turned away in one outage are one attempt.
        let turned_away = matches!(rule, Failure::RateLimited { .. } | Failure::Overloaded { .. })
            && costs_nothing
            && !self.accepted;
        let joins = outage.and_then(|outage| outage.attempt).filter(|_| turned_away);
        let next = retry::after(&rule, situation);
        let after = match next {
            Next::Again { after } => {
                let attempt = turned_away.then_some(joins.unwrap_or(self.number));
                progress.outages.insert(name, Outage { tries: self.tries, since, attempt });
                after
            }
            Next::Elsewhere => {
                progress.waits = 0;
                progress.failed.push(name);
                progress.chosen = None;
                Duration::ZERO
            }
            Next::Climb => {
                progress.refused.push(name);
                progress.climbing = true;
                Duration::ZERO
            }
            Next::Fail if !progress.refused.is_empty() && is_outage(&rule, situation) => {
                // The model that was to take over is out: the ladder goes on.
                progress.failed.push(name);
                progress.climbing = true;
                Duration::ZERO
            }
            Next::Fail => return self.ends(status, failed, bill, joins, JobStatus::Failed),
            Next::Review => return self.ends(status, failed, bill, joins, JobStatus::NeedsReview),
        };
        if progress.climbing {
            self.plan.progress = progress.clone();
            if let Some(end) = self.ladder_ends() {
                return self.ends(status, failed, bill, joins, end);
            }
        }
        let end = self.end_entry(status, Some(failed), bill, joins);
        self.later(vec![end], after, progress)
    }

    /// Puts the job off; one with a deadline comes back at it at the latest.
    pub(super) fn later(
        &mut self,
        mut transitions: Vec<Transition>,
        after: Duration,
        progress: Progress,
    ) -> Step {
        let left = |deadline: i64| Duration::from_millis(u64::try_from(deadline - self.now).unwrap_or(0));
        let after = self.job.deadline.map_or(after, |deadline| after.min(left(deadline)));
        transitions.push(Transition::Later { after, progress, pictures: vec![] });
        self.state = State::Closing;
        Step::Commit(transitions)
    }

    /// The intent was written down and not carried out: known to cost nothing, and no try of the provider's.
    pub(super) fn halted(&mut self) -> Step {
        let failed = Failure::Overloaded { after: None }.because("not sent: the worker had to end");
        let end = unsent(self.end_entry(AttemptStatus::Failed, Some(failed), Cost::free().into(), None));
        self.later(vec![end], Duration::ZERO, self.plan.progress.clone())
    }

    /// The intent was written down, and a user stopped the job before the request left.
    pub(super) fn withdrawn(&mut self) -> Step {
        let failed = Failure::Canceled.because("not sent: canceled before it left");
        let end = self.end_entry(AttemptStatus::Canceled, Some(failed.clone()), Cost::free().into(), None);
        let end = unsent(end);
        self.state = State::Closing;
        let status = JobStatus::Canceled;
        Step::Commit(vec![end, Transition::Close { status, failed: Some(failed), pictures: vec![] }])
    }

    fn end_entry(
        &mut self,
        status: AttemptStatus,
        failed: Option<Failed>,
        bill: Bill,
        joins: Option<u32>,
    ) -> Transition {
        Transition::End {
            number: self.number,
            status,
            failed,
            http_status: self.last_status.take(),
            cost: self.booked(bill.cost),
            usage: bill.usage,
            tokens: None,
            render_seconds: None,
            seed: None,
            warnings: std::mem::take(&mut self.warnings),
            unsent: false,
            joins,
        }
    }

    pub(super) fn end(
        &mut self,
        status: AttemptStatus,
        failed: Failed,
        bill: impl Into<Bill>,
        job: JobStatus,
    ) -> Step {
        self.ends(status, failed, bill.into(), None, job)
    }

    fn ends(
        &mut self,
        status: AttemptStatus,
        failed: Failed,
        bill: Bill,
        joins: Option<u32>,
        job: JobStatus,
    ) -> Step {
        let end = self.end_entry(status, Some(failed.clone()), bill, joins);
        self.state = State::Closing;
        Step::Commit(vec![end, Transition::Close { status: job, failed: Some(failed), pictures: vec![] }])
    }

    /// The job ends before an attempt began.
    pub(super) fn close_unsent(&mut self, failure: Failure, message: &str) -> Step {
        let status = if failure == Failure::Canceled { JobStatus::Canceled } else { JobStatus::Failed };
        self.state = State::Closing;
        Step::Commit(vec![Transition::Close {
            status,
            failed: Some(failure.because(message)),
            pictures: vec![],
        }])
    }
}

/// The end of an attempt whose request never left.
fn unsent(mut end: Transition) -> Transition {
    if let Transition::End { unsent, .. } = &mut end {
        *unsent = true;
    }
    end
}

/// Whether a failure would have moved on, had there been a candidate left.
fn is_outage(failure: &Failure, situation: Situation) -> bool {
    let exhausted = Situation { others: true, tries: retry::MAX_TRIES, ..situation };
    retry::after(failure, exhausted) == Next::Elsewhere
}

/// The end of a job whose provider is no longer configured: it was accepted, and cannot be asked for.
pub fn lost(number: u32, provider: &str, cost: Option<Cost>) -> Vec<Transition> {
    let failed =
        Failure::Uncertain.because(format!("accepted by provider '{provider}', which is not there any more"));
    let end = Transition::End {
        number,
        status: AttemptStatus::Uncertain,
        failed: Some(failed.clone()),
        http_status: None,
        cost: cost.unwrap_or_else(Cost::unknown),
        usage: None,
        tokens: None,
        render_seconds: None,
        seed: None,
        warnings: vec![],
        unsent: false,
        joins: None,
    };
    vec![end, Transition::Close { status: JobStatus::NeedsReview, failed: Some(failed), pictures: vec![] }]
}

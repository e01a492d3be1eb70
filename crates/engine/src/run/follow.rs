//! The middle part of a job: the request is sent, and what was accepted is followed.

use std::time::Duration;

use super::{Accepted, AttemptStatus, JobStatus, Run, State, Step, Transition};
use crate::cost::Cost;
use crate::failure::{Failed, Failure};
use crate::http::{HttpRequest, HttpResponse, TransportError};
use crate::input::Inputs;
use crate::job::Warning;
use crate::poll::{Manners, Schedule, Seen};
use crate::provider::{self, Charge, ErrorAnswer, Remote, Reply, Submission};
use crate::retry;
use crate::verdict::{self, Outcome, Phase, Voice};

/// How long an accepted task is followed before a person is asked. Cold starts of community models take
/// minutes; nothing known takes a quarter of an hour.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);
/// "Not found" right after acceptance can be replication lag at the provider.
const NOT_FOUND_GRACE: Duration = Duration::from_secs(5);

impl Run {
    pub(super) fn submit(&mut self, now: i64) -> Step {
        self.sent_at = now;
        let submission =
            self.prepared.as_mut().map(|p| std::mem::replace(&mut p.submission, Submission::Local));
        // What goes out is in the request now.
        self.inputs = Inputs::default();
        match submission {
            Some(Submission::Http(request)) => {
                self.state = State::Submitting;
                self.send(request)
            }
            Some(Submission::Local) | None => {
                self.state = State::Drawing;
                Step::Compute
            }
        }
    }

    pub(super) fn submitted(&mut self, answer: Result<HttpResponse, TransportError>, now: i64) -> Step {
        let response = match answer {
            Ok(response) => self.mended(response),
            Err(error) => return self.unanswered(&error),
        };
        self.last_status = Some(response.status);
        let Some(provider) = self.provider() else { return Step::Stop };
        match provider.read_submit(&self.call(&self.tag()), &response) {
            Err(lost) if lost.failed.failure == Failure::Uncertain => self.lost(lost.failed.message),
            Err(rejection) => self.rejected(rejection, None),
            Ok(Reply::Finished(output)) => self.finished(output, None, now),
            Ok(Reply::Failed(rejection)) => self.rejected(rejection, None),
            Ok(Reply::Pending { .. } | Reply::Ask(_)) => {
                self.lost("accepted, but the answer names no task".into())
            }
            Ok(Reply::Accepted { remote, cost }) => {
                if let Some(refused) = self.foreign(&remote) {
                    return self.failed(refused, self.as_told(cost));
                }
                let manners = match provider.address_name() {
                    Some(_) => Manners::own_server(),
                    None => Manners::service(self.candidate.typical_seconds),
                };
                let schedule = self.renders.schedule(manners);
                self.checkpoint(Accepted::new(remote, cost, schedule))
            }
        }
    }

    /// A submission without an answer: what may be done is in the table.
    fn unanswered(&mut self, error: &TransportError) -> Step {
        let (outcome, why) = match error {
            TransportError::Forbidden(why) => {
                let failed = Failure::NotSupported.because(format!("could not be sent: {why}"));
                return self.failed(failed, Cost::free());
            }
            TransportError::NotSent(why) => (Outcome::NotSent, format!("could not be sent: {why}")),
            TransportError::MaybeSent(why) => (Outcome::Lost, format!("sent, and no answer came: {why}")),
            TransportError::TooLarge => (Outcome::TooLarge, "the answer is larger than allowed".into()),
        };
        let verdict = verdict::of(Phase::Submission, outcome, Voice::Silent);
        match verdict.failure(None) {
            None | Some(Failure::Uncertain) => self.lost(why),
            Some(failure) if verdict.is_free() => self.failed(failure.because(why), Cost::free()),
            Some(failure) => {
                let cost = self.not_known();
                self.failed(failure.because(why), cost)
            }
        }
    }

    /// What was sent may have been accepted. It is asked for where it can be; where it costs nothing, it is made again;
    /// everywhere else a person decides.
    fn lost(&mut self, why: String) -> Step {
        // It may be there: it is no call that was turned away, and not made over and over.
        self.accepted = true;
        if let Some(unsure) = self.unsure() {
            return self.wait(unsure, None);
        }
        match self.bills() {
            true => self.failed(Failure::Uncertain.because(why), Cost::unknown()),
            false => self.failed(Failure::Overloaded { after: None }.because(why), Cost::free()),
        }
    }

    /// Whether calls to the candidate cost money: by a bill, or by a price of one's own.
    fn bills(&self) -> bool {
        !provider::is_free(&self.candidate)
    }

    /// The cost of what nothing more is known of.
    pub(super) fn not_known(&self) -> Cost {
        if self.bills() { Cost::unknown() } else { Cost::free() }
    }

    /// The cost of a task whose end is not known: what was said when it was accepted. That nothing was asked for then does
    /// not say that nothing will be.
    fn as_told(&self, told: Option<Cost>) -> Cost {
        let said = told.filter(|cost| !cost.amount.is_some_and(|amount| amount.is_zero()));
        said.unwrap_or_else(|| self.not_known())
    }

    /// An answer that is slightly wrong is read all the same, and what was wrong is said.
    fn mended(&mut self, response: HttpResponse) -> HttpResponse {
        let (response, slips) = response.mended();
        if !slips.is_empty() {
            let message = format!("the answer was not as it should be: {}", slips.join("; "));
            let warning = Warning::new("answer_repaired", message);
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        response
    }

    fn checkpoint(&mut self, mut accepted: Accepted) -> Step {
        accepted.cost = accepted.cost.map(|cost| self.booked(cost));
        self.accepted = true;
        let checkpoint = Transition::Checkpoint {
            number: self.number,
            remote: accepted.remote.clone(),
            cost: accepted.cost.clone(),
            http_status: self.last_status.unwrap_or_default(),
        };
        self.state = State::Checkpointing(accepted);
        Step::Commit(vec![checkpoint])
    }

    /// What was sent, as far as is known, and has no answer: at a provider that can be asked for it.
    pub(super) fn unsure(&self) -> Option<Accepted> {
        let provider = self.provider()?;
        let base = provider::base_url(provider, &self.candidate);
        let remote = provider.named_task(base, &format!("{}-{}", self.job.id, self.number))?;
        Some(Accepted { unsure: true, ..Accepted::new(remote, None, Schedule::overdue()) })
    }

    /// All that will be asked about a task is asked at the provider's own hosts.
    fn foreign(&self, remote: &Remote) -> Option<Failed> {
        let urls = [Some(&remote.poll_url), remote.result_url.as_ref()];
        urls.into_iter().flatten().any(|url| self.is_foreign(url)).then(|| {
            Failure::Uncertain.because("accepted, but the polling URL is not at the provider's own host")
        })
    }

    pub(super) fn wait(&mut self, mut accepted: Accepted, after: Option<Duration>) -> Step {
        let pause = accepted.schedule.next(self.age(), after);
        self.state = State::Waiting(accepted);
        Step::Wait(pause)
    }

    /// How long ago the call was sent.
    fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now - self.sent_at).unwrap_or(0))
    }

    pub(super) fn poll(&mut self, accepted: Accepted) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        if let Some(refused) = self.foreign(&accepted.remote) {
            return self.failed(refused, self.as_told(accepted.cost));
        }
        let request = provider.poll(&accepted.remote);
        self.state = State::Polling(accepted);
        self.send(request)
    }

    /// `at_result`: the answer is to the question for the result.
    pub(super) fn polled(
        &mut self,
        mut accepted: Accepted,
        answer: Result<HttpResponse, TransportError>,
        at_result: bool,
        now: i64,
    ) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        let said = matches!(&answer, Ok(response) if response.is_success());
        let mut voice = Voice::Silent;
        let age = self.age();
        // A poll can be repeated at no cost, so a lost one is only a late one.
        let reply = match answer {
            Ok(response) => {
                let response = self.mended(response);
                self.last_status = Some(response.status);
                if !said {
                    voice = ErrorAnswer::read(provider, &response).voice;
                }
                match at_result {
                    false => {
                        accepted.render_seconds = provider.read_seconds(&response);
                        provider.read_poll(&accepted.remote, &response)
                    }
                    true => provider.read_result(&accepted.remote, &response),
                }
            }
            Err(TransportError::TooLarge) if at_result => {
                let cost = self.not_known();
                return self.failed(Failure::Broken.because("the answer is larger than allowed"), cost);
            }
            Err(_) => Ok(Reply::Pending { after: None }),
        };
        let reply = match reply {
            Err(rejection) if accepted.unsure && said && rejection.failed.failure == Failure::NotFound => {
                if age < NOT_FOUND_GRACE {
                    // It may still be on its way there.
                    return self.wait(accepted, None);
                }
                let failed = Failure::Overloaded { after: None };
                return self.failed(failed.because("sent, and it never arrived"), Cost::free());
            }
            Ok(Reply::Ask(request)) => Ok(Reply::Ask(request)),
            // It is there: from now on it is followed like any other.
            _ if accepted.unsure && said => {
                accepted.unsure = false;
                return self.checkpoint(accepted);
            }
            reply => reply,
        };
        let after = match reply {
            Ok(Reply::Finished(mut output)) => {
                // What was found again has been polled by no schedule.
                let finished = accepted.finished.unwrap_or(age.as_secs_f64());
                let seen = Seen { unfinished: accepted.unfinished, finished };
                self.seen = (!accepted.schedule.is_overdue()).then_some(seen);
                output.render_seconds = output.render_seconds.or(accepted.render_seconds);
                return self.finished(output, accepted.cost, now);
            }
            Ok(Reply::Failed(rejection)) => return self.rejected(rejection, accepted.cost),
            Ok(Reply::Ask(request)) if request.auth.is_none() || !self.is_foreign(&request.url) => {
                accepted.finished.get_or_insert(age.as_secs_f64());
                self.state = State::Asking(accepted);
                return self.send(request);
            }
            Ok(Reply::Pending { after }) => {
                if said && !at_result {
                    accepted.unfinished = age.as_secs_f64();
                }
                after
            }
            Ok(Reply::Accepted { .. } | Reply::Ask(_)) => None,
            Err(mut rejection) => {
                // Of a task that was accepted, "not found" says that the task is gone, not the model.
                if rejection.failed.failure == Failure::ModelGone {
                    rejection.failed.failure = Failure::NotFound;
                }
                // Said in an answer that is no success, it is not the task's own word: whatever it costs, it was accepted.
                if !said && self.bills() {
                    rejection.charge = Charge::Unknown;
                }
                match &rejection.failed.failure {
                    Failure::NotFound if age < NOT_FOUND_GRACE => None,
                    // A render that costs nothing and is lost is made again.
                    Failure::NotFound if !self.bills() => return self.lost(rejection.failed.message),
                    failure if retry::poll_is_final(failure, said, at_result, voice) => {
                        return self.rejected(rejection, accepted.cost);
                    }
                    Failure::RateLimited { after } | Failure::Overloaded { after } => *after,
                    _ => None,
                }
            }
        };
        if age > PATIENCE {
            let message = format!("accepted, and not finished after {} s", age.as_secs());
            let cost = self.as_told(accepted.cost);
            return self.failed(Failure::TimedOut.because(message), cost);
        }
        self.wait(accepted, after)
    }

    /// Calls an accepted task off where the provider can do that.
    pub(super) fn call_off(&mut self, accepted: Accepted) -> Step {
        let request = self.provider().and_then(|p| p.cancel(&accepted.remote));
        self.cancel_with(accepted, request, 0)
    }

    /// Goes on with that, where the provider needs more than one request for it.
    pub(super) fn call_off_further(
        &mut self,
        accepted: Accepted,
        step: u32,
        answer: Result<HttpResponse, TransportError>,
    ) -> Step {
        let request = answer.ok().and_then(|a| self.provider()?.cancel_further(&accepted.remote, step, &a));
        self.cancel_with(accepted, request, step + 1)
    }

    fn cancel_with(&mut self, accepted: Accepted, request: Option<HttpRequest>, step: u32) -> Step {
        match request.filter(|r| !self.is_foreign(&r.url)) {
            Some(request) => {
                self.state = State::Canceling(accepted, step);
                self.send(request)
            }
            None => self.called_off(accepted),
        }
    }

    pub(super) fn called_off(&mut self, accepted: Accepted) -> Step {
        // It was accepted: what it costs is what the provider said.
        let cost = self.as_told(accepted.cost);
        let failed = Failure::Canceled.because("canceled after the provider had accepted it");
        self.end(AttemptStatus::Canceled, failed, cost, JobStatus::Canceled)
    }
}

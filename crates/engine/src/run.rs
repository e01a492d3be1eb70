//! The state machine of a job: an event goes in, the next step comes out.
//!
//! The machine does nothing itself. Whoever drives it commits journal entries, sends requests and waits, and
//! tells it what came of that. So a test can drive it through every order of events, and a crash between
//! any two steps leaves behind exactly what was committed.
//!
//! Two orders are the reason for its shape: the intent to send ([`Entry::Begin`]) is committed before the
//! request is sent, and the task's remote id ([`Entry::Checkpoint`]) is committed before its first poll.

mod collect;
mod journal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use collect::Collection;
pub use journal::{AttemptStatus, Entry, JobStatus, Picture};

use crate::candidate::Candidate;
use crate::cost::Cost;
use crate::failure::{Failed, Failure};
use crate::http::{HttpRequest, HttpResponse, TransportError, may_carry_key};
use crate::job::{Operation, Request, Warning};
use crate::poll::Schedule;
use crate::provider::{self, Call, Output, Prepared, Provider, Remote, Reply, Submission};
use crate::retry::{self, Next};

/// A job as the machine sees it.
#[derive(Clone, Debug)]
pub struct Job {
    /// `gen_…`
    pub id: String,
    /// What to do.
    pub operation: Operation,
    /// With what.
    pub request: Request,
    /// Not sent after this moment, in milliseconds of Unix time.
    pub deadline: Option<i64>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Begin, or go on after a restart.
    Start,
    /// The entries of the last [`Step::Commit`] are durable.
    Committed,
    /// They were refused: the job is no longer ours.
    Disowned,
    /// What came of the last [`Step::Send`].
    Answer(Result<HttpResponse, TransportError>),
    /// The pause of the last [`Step::Wait`] is over.
    Elapsed,
    /// The machine is now where computing is allowed.
    Compute,
    /// A user wants the job stopped. Ignored once the result is there: it is paid for.
    Cancel,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make these entries durable, all or none, then say [`Event::Committed`].
    Commit(Vec<Entry>),
    /// Send this; the key of this name goes into it.
    Send {
        /// What to send.
        request: HttpRequest,
        /// Whose key goes in.
        key_name: Option<String>,
    },
    /// Wait this long.
    Wait(Duration),
    /// Call again with [`Event::Compute`] off the network thread: it takes milliseconds.
    Compute,
    /// Nothing more.
    Stop,
}

/// How long an accepted task is followed before a person is asked. Cold starts of community models take
/// minutes; nothing known takes a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(900);
/// "Not found" right after acceptance can be replication lag at the provider.
const NOT_FOUND_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum State {
    New,
    Resumed(Task),
    Beginning,
    Submitting,
    Drawing,
    Checkpointing(Task),
    Waiting(Task),
    Polling(Task),
    Collecting(Box<Collection>),
    Closing,
    Closed,
}

/// An accepted task.
#[derive(Clone, Debug)]
struct Task {
    remote: Remote,
    cost: Option<Cost>,
    schedule: Schedule,
}

/// One job on its way.
#[derive(Debug)]
pub struct Run {
    job: Job,
    candidate: Candidate,
    prepared: Option<Prepared>,
    warnings: Vec<Warning>,
    number: u32,
    tries: u32,
    sent_at: i64,
    last_status: Option<u16>,
    resend_uncertain: bool,
    state: State,
}

impl Run {
    /// A job of which nothing is on its way. `attempts` counts the attempts it already has, `tries` those that
    /// this provider has put off.
    pub fn new(job: Job, candidate: Candidate, attempts: u32, tries: u32) -> Self {
        Run {
            job,
            candidate,
            prepared: None,
            warnings: vec![],
            number: attempts,
            tries,
            sent_at: 0,
            last_status: None,
            resend_uncertain: false,
            state: State::New,
        }
    }

    /// A job whose attempt `number` was accepted by the provider in an earlier life of the worker.
    pub fn resume(
        job: Job,
        candidate: Candidate,
        number: u32,
        remote: Remote,
        cost: Option<Cost>,
        sent_at: i64,
    ) -> Self {
        let task = Task { remote, cost, schedule: Schedule::overdue() };
        Run { number, sent_at, state: State::Resumed(task), ..Run::new(job, candidate, number, 0) }
    }

    /// The administrator's explicit choice to send an ambiguous request again, at the risk of paying twice.
    pub fn resend_uncertain(self, resend: bool) -> Self {
        Run { resend_uncertain: resend, ..self }
    }

    /// The provider that the job is at.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// True while a cancel can still save something.
    pub fn can_cancel(&self) -> bool {
        !matches!(self.state, State::Collecting(_) | State::Drawing | State::Closing | State::Closed)
    }

    /// Takes an event, gives the next step. `now` is Unix time in milliseconds.
    pub fn on(&mut self, event: Event, now: i64) -> Step {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, event) {
            (State::Closed, _) | (_, Event::Disowned) => Step::Stop,
            (State::Closing, Event::Committed) => Step::Stop,
            (State::New, Event::Cancel) => self.close_unsent(Failure::Canceled, "canceled"),
            (State::New, Event::Start) => self.begin(now),
            (State::Beginning, Event::Committed) => self.submit(now),
            (State::Submitting, Event::Answer(answer)) => self.submitted(answer, now),
            (State::Submitting, Event::Cancel) => {
                let failed = Failure::Canceled.because("canceled while the request was on its way");
                self.end(AttemptStatus::Uncertain, failed, Cost::unknown(), JobStatus::Canceled)
            }
            (State::Drawing, Event::Compute) => self.draw(now),
            (State::Checkpointing(task), Event::Committed) => self.wait(task, None),
            (State::Resumed(task), Event::Start) => self.poll(task),
            (State::Waiting(task), Event::Elapsed) => self.poll(task),
            (State::Polling(task), Event::Answer(answer)) => self.polled(task, answer, now),
            (State::Waiting(task) | State::Polling(task) | State::Resumed(task), Event::Cancel) => {
                // It was accepted and goes on rendering: what it costs is what the provider said.
                let cost = task.cost.unwrap_or_else(Cost::unknown);
                let failed = Failure::Canceled.because("canceled after the provider had accepted it");
                self.end(AttemptStatus::Canceled, failed, cost, JobStatus::Canceled)
            }
            (State::Collecting(collection), Event::Answer(answer)) => self.fetched(*collection, answer),
            (State::Collecting(collection), Event::Elapsed | Event::Compute) => self.collect(*collection),
            (state, Event::Cancel) => {
                self.state = state;
                Step::Stop
            }
            (state, event) => {
                // A driver that answers a step with another step's event is wrong; nothing is guessed.
                debug_assert!(false, "{event:?} in {state:?}");
                Step::Stop
            }
        }
    }

    fn provider(&self) -> Option<&'static dyn Provider> {
        provider::find(&self.candidate.kind)
    }

    fn call(&self) -> Call<'_> {
        Call { operation: self.job.operation, request: &self.job.request, candidate: &self.candidate }
    }

    /// Decides to send, and writes that down before sending.
    fn begin(&mut self, now: i64) -> Step {
        if self.job.deadline.is_some_and(|deadline| now >= deadline) {
            return self
                .close_unsent(Failure::DeadlineExceeded, "the deadline passed before the job was sent");
        }
        let Some(provider) = self.provider() else {
            let message = format!("there is no adapter of kind '{}'", self.candidate.kind);
            return self.close_unsent(Failure::NotSupported, &message);
        };
        match provider.prepare(&self.call()) {
            Err(invalid) => self.close_unsent(Failure::Invalid, &format!("{invalid}. {}", invalid.hint)),
            Ok(prepared) => {
                self.number += 1;
                self.tries += 1;
                self.warnings = prepared.warnings.clone();
                let begin = Entry::Begin {
                    number: self.number,
                    provider: self.candidate.provider.clone(),
                    model: self.candidate.model.clone(),
                    prompt: self.job.request.prompt.clone(),
                    seed: self.job.request.seed,
                    seed_honored: prepared.seed_honored,
                    warnings: prepared.warnings.clone(),
                };
                self.prepared = Some(prepared);
                self.state = State::Beginning;
                Step::Commit(vec![begin])
            }
        }
    }

    fn submit(&mut self, now: i64) -> Step {
        self.sent_at = now;
        match self.prepared.as_ref().map(|p| p.submission.clone()) {
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

    fn send(&self, request: HttpRequest) -> Step {
        let key_name = self.provider().and_then(|p| provider::key_name(p, &self.candidate));
        Step::Send { key_name: request.auth.and(key_name).map(str::to_owned), request }
    }

    fn submitted(&mut self, answer: Result<HttpResponse, TransportError>, now: i64) -> Step {
        let response = match answer {
            Ok(response) => response,
            Err(TransportError::NotSent(why)) => {
                let failed = Failure::Overloaded { after: None }.because(format!("could not be sent: {why}"));
                return self.failed(failed, Cost::free());
            }
            Err(TransportError::MaybeSent(why)) => {
                let failed = Failure::Uncertain.because(format!("sent, and no answer came: {why}"));
                return self.failed(failed, Cost::unknown());
            }
            Err(TransportError::TooLarge) => {
                return self
                    .failed(Failure::Broken.because("the answer is larger than allowed"), Cost::unknown());
            }
        };
        self.last_status = Some(response.status);
        let Some(provider) = self.provider() else { return Step::Stop };
        match provider.read_submit(&self.call(), &response) {
            Err(rejection) => self.failed(rejection.failed, rejection.cost),
            Ok(Reply::Finished(output)) => self.finished(output, None, now),
            Ok(Reply::Pending { .. }) => self.failed(
                Failure::Uncertain.because("accepted, but the answer names no task"),
                Cost::unknown(),
            ),
            Ok(Reply::Accepted { remote, cost }) => {
                if let Some(refused) = self.foreign_poll_url(&remote) {
                    return self.failed(refused, cost.unwrap_or_else(Cost::unknown));
                }
                let estimate = Duration::from_secs_f64(self.candidate.typical_seconds.clamp(0.0, 600.0));
                let schedule = Schedule::new(estimate);
                let checkpoint = Entry::Checkpoint {
                    number: self.number,
                    remote: remote.clone(),
                    cost: cost.clone(),
                    http_status: response.status,
                };
                self.state = State::Checkpointing(Task { remote, cost, schedule });
                Step::Commit(vec![checkpoint])
            }
        }
    }

    /// A key never goes to a host that only an answer named.
    fn foreign_poll_url(&self, remote: &Remote) -> Option<Failed> {
        let provider = self.provider()?;
        let base = provider::base_url(provider, &self.candidate);
        let own = may_carry_key(&remote.poll_url, base, provider.own_domains());
        (!own).then(|| {
            Failure::Uncertain.because("accepted, but the polling URL is not at the provider's own host")
        })
    }

    fn wait(&mut self, mut task: Task, after: Option<Duration>) -> Step {
        let pause = task.schedule.next(after);
        self.state = State::Waiting(task);
        Step::Wait(pause)
    }

    fn poll(&mut self, task: Task) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        if let Some(refused) = self.foreign_poll_url(&task.remote) {
            return self.failed(refused, task.cost.unwrap_or_else(Cost::unknown));
        }
        let request = provider.poll(&task.remote);
        self.state = State::Polling(task);
        self.send(request)
    }

    fn polled(&mut self, task: Task, answer: Result<HttpResponse, TransportError>, now: i64) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        let age = Duration::from_millis(u64::try_from(now - self.sent_at).unwrap_or(0));
        // A poll can be repeated at no cost, so a lost one is only a late one.
        let reply = match answer {
            Ok(response) => {
                self.last_status = Some(response.status);
                provider.read_poll(&response)
            }
            Err(_) => Ok(Reply::Pending { after: None }),
        };
        let after = match reply {
            Ok(Reply::Finished(output)) => return self.finished(output, task.cost, now),
            Ok(Reply::Pending { after }) => after,
            Ok(Reply::Accepted { .. }) => None,
            Err(r) if r.failed.failure == Failure::NotFound && age < NOT_FOUND_GRACE => None,
            Err(r) if retry::poll_is_final(&r.failed.failure) => return self.failed(r.failed, r.cost),
            Err(r) => match r.failed.failure {
                Failure::RateLimited { after } | Failure::Overloaded { after } => after,
                _ => None,
            },
        };
        if age > PATIENCE {
            let message = format!("accepted, and not finished after {} s", age.as_secs());
            return self.failed(Failure::TimedOut.because(message), task.cost.unwrap_or_else(Cost::unknown));
        }
        self.wait(task, after)
    }

    fn draw(&mut self, now: i64) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        match provider.draw(&self.call()) {
            Ok(output) => self.finished(output, None, now),
            Err(rejection) => self.failed(rejection.failed, rejection.cost),
        }
    }

    fn finished(&mut self, output: Output, cost: Option<Cost>, now: i64) -> Step {
        let waited = (now - self.sent_at).max(0) as f64 / 1000.0;
        let render_seconds = output.render_seconds.unwrap_or(waited);
        let collection = Collection::new(output, cost, render_seconds);
        self.state = State::Collecting(Box::new(collection));
        // Hashing megabytes of inline pictures is not for the network thread.
        Step::Compute
    }

    /// An attempt failed: again, or the end.
    fn failed(&mut self, failed: Failed, cost: Cost) -> Step {
        let status = match failed.failure {
            Failure::Refused => AttemptStatus::Refused,
            Failure::Uncertain | Failure::TimedOut => AttemptStatus::Uncertain,
            _ => AttemptStatus::Failed,
        };
        let jitter = crate::seed::fraction(&self.job.id, self.number);
        let again = self.resend_uncertain && failed.failure == Failure::Uncertain;
        let rule = if again { Failure::Overloaded { after: None } } else { failed.failure.clone() };
        match retry::after_submit(&rule, self.tries, jitter) {
            Next::Again { after } => {
                let end = self.end_entry(status, Some(failed), cost);
                self.state = State::Closing;
                Step::Commit(vec![end, Entry::Later { after }])
            }
            next => {
                let job = if next == Next::Review { JobStatus::NeedsReview } else { JobStatus::Failed };
                self.end(status, failed, cost, job)
            }
        }
    }

    fn end_entry(&mut self, status: AttemptStatus, failed: Option<Failed>, cost: Cost) -> Entry {
        Entry::End {
            number: self.number,
            status,
            failed,
            http_status: self.last_status.take(),
            cost,
            tokens: None,
            render_seconds: None,
            seed: None,
            warnings: std::mem::take(&mut self.warnings),
        }
    }

    fn end(&mut self, status: AttemptStatus, failed: Failed, cost: Cost, job: JobStatus) -> Step {
        let end = self.end_entry(status, Some(failed.clone()), cost);
        self.state = State::Closing;
        Step::Commit(vec![end, Entry::Close { status: job, failed: Some(failed), pictures: vec![] }])
    }

    /// The job ends before an attempt began.
    fn close_unsent(&mut self, failure: Failure, message: &str) -> Step {
        let status = if failure == Failure::Canceled { JobStatus::Canceled } else { JobStatus::Failed };
        self.state = State::Closing;
        Step::Commit(vec![Entry::Close { status, failed: Some(failure.because(message)), pictures: vec![] }])
    }
}

/// The end of a job whose provider is no longer configured: it was accepted, and nobody can ask for it.
pub fn lost(number: u32, provider: &str, cost: Option<Cost>) -> Vec<Entry> {
    let failed =
        Failure::Uncertain.because(format!("accepted by provider '{provider}', which is not there any more"));
    let end = Entry::End {
        number,
        status: AttemptStatus::Uncertain,
        failed: Some(failed.clone()),
        http_status: None,
        cost: cost.unwrap_or_else(Cost::unknown),
        tokens: None,
        render_seconds: None,
        seed: None,
        warnings: vec![],
    };
    vec![end, Entry::Close { status: JobStatus::NeedsReview, failed: Some(failed), pictures: vec![] }]
}

//! The state machine of a job: an event goes in, the next step comes out.
//!
//! The machine does nothing itself. Its driver commits transitions, sends requests and waits, and
//! tells it what came of that. So a test can drive it through every order of events, and a crash between
//! any two steps leaves behind exactly what was committed.
//!
//! Two orders are the reason for its shape: the intent to send ([`Transition::Begin`]) is committed before the
//! request is sent, and the task's remote id ([`Transition::Checkpoint`]) is committed before its first poll.

mod arrange;
mod budget;
mod choose;
mod collect;
mod finish;
mod follow;
#[cfg(test)]
mod tests;
mod transition;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

pub use choose::ends_with;
use collect::Collection;
pub use finish::lost;
pub use transition::{AttemptStatus, JobStatus, Picture, Stored, Transition};

use crate::candidate::Candidate;
use crate::content::ContentRules;
use crate::cost::{Cost, Sanity};
use crate::egress::Destination;
use crate::failure::{ErrorCode, Failure};
use crate::http::{HttpRequest, HttpResponse, TransportError, may_carry_key};
use crate::input::{Inputs, Role};
use crate::job::{Operation, Request, Storing, Task, Warning};
use crate::poll::{Renders, Schedule, Seen};
use crate::progress::{Progress, RefusalStep};
use crate::provider::{self, Call, Prepared, Provider, Remote};
use crate::retry;

/// A job as the machine sees it.
#[derive(Clone, Debug)]
pub struct Job {
    /// `gen_…`
    pub id: String,
    /// What to do.
    pub operation: Operation,
    /// With what.
    pub request: Request,
    /// Where the images are that go in.
    pub pictures: Vec<(Role, InputLocation)>,
    /// Not sent after this moment, in milliseconds of Unix time.
    pub deadline: Option<i64>,
}

/// Where an image is that goes into a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputLocation {
    /// In the database, under this SHA-256.
    pub stored: Option<String>,
    /// At this URL.
    pub url: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Begin, or go on after a restart.
    Start,
    /// The transitions of the last [`Step::Commit`] are durable.
    Committed,
    /// They were refused: the job is no longer ours.
    Disowned,
    /// They were refused, an [`Transition::Begin`] among them: a budget does not allow this call. Nothing was written.
    Unaffordable,
    /// They were refused, an [`Transition::Begin`] among them: another session holds the budget just now. Nothing was written.
    Busy,
    /// What came of the last [`Step::Rewrite`]: a softer prompt, where there is one.
    Rewritten(Option<String>),
    /// The last [`Step::Enter`] succeeded: the job may call the candidate.
    Entered {
        /// What renders of the candidate's model took lately.
        renders: Renders,
        /// With which of the provider's keys.
        key: Pass,
    },
    /// It did not: the candidate is unwell.
    Shut {
        /// When to ask again at the earliest.
        after: Duration,
        /// What it suffers from.
        code: ErrorCode,
    },
    /// What came of the last [`Step::Load`].
    Loaded(Option<Vec<u8>>),
    /// What came of the last [`Step::Send`].
    Answer(Result<HttpResponse, TransportError>),
    /// The pause of the last [`Step::Wait`] is over; after [`Step::Enter`]: the deadline has come.
    Elapsed,
    /// The machine is now where computing is allowed.
    Compute,
    /// The last [`Step::Send`] of a submission was not carried out: its driver must end. Nothing left this machine.
    Halted,
    /// A user wants the job stopped. Ignored once the result is there: it is paid for.
    Cancel,
    /// A user wants the job stopped, and the submission of the last [`Step::Send`] never left this machine.
    Withdrawn,
}

/// The key that a job may call a provider with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Its name; `None` where the provider wants none.
    pub key_name: Option<String>,
    /// Whether another key of the provider's would do just now: what is wrong with this one is no outage then.
    pub others: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make these transitions durable, all or none, then say [`Event::Committed`].
    Commit(Vec<Transition>),
    /// Look for a softer prompt.
    Rewrite {
        /// The one that was refused.
        prompt: String,
        /// Who refused it, as `provider:model`.
        refused_by: String,
    },
    /// Ask for a place at [`Run::candidate`].
    Enter,
    /// Read the bytes with this SHA-256 from the database.
    Load {
        /// Lower-case hexadecimal.
        sha256: String,
    },
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

#[derive(Debug)]
enum State {
    New,
    /// A softer prompt is looked for.
    Rewriting,
    /// Waiting to be let in at the candidate.
    Entering,
    /// Fetching the image of this index, for the so-manyth time.
    Gathering(usize, u32),
    /// The bytes of the image of this index are here, and wait to be looked at.
    Looking(usize, Vec<u8>),
    /// All images are here, and wait to be made fit.
    Gathered,
    /// They are fit; what is left are prerequisites.
    Arranged,
    Prerequisite(&'static str),
    Beginning,
    Submitting,
    Drawing,
    Checkpointing(Accepted),
    Resumed(Accepted),
    Waiting(Accepted),
    Polling(Accepted),
    Asking(Accepted),
    /// So many requests that call it off were answered.
    Canceling(Accepted, u32),
    Collecting(Box<Collection>),
    Closing,
    Closed,
}

/// A task that the provider has accepted.
#[derive(Clone, Debug)]
struct Accepted {
    remote: Remote,
    cost: Option<Cost>,
    schedule: Schedule,
    /// No answer said that it was accepted: it is asked for by the name that we gave it.
    unsure: bool,
    /// How long the rendering took, as the last poll said.
    render_seconds: Option<f64>,
    /// The last poll that found it unfinished, and the first one that found its end, in seconds after it was sent.
    unfinished: f64,
    finished: Option<f64>,
}

impl Accepted {
    fn new(remote: Remote, cost: Option<Cost>, schedule: Schedule) -> Self {
        let (unsure, render_seconds, unfinished, finished) = (false, None, 0.0, None);
        Accepted { remote, cost, schedule, unsure, render_seconds, unfinished, finished }
    }
}

/// Where a job may go, and what it has behind it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The candidates in order. Never empty. That the first one can take the request is known; of the others it is found out
    /// when it is their turn.
    pub route: Vec<Candidate>,
    /// What follows a refusal.
    pub ladder: Vec<RefusalStep>,
    /// The most calls that may be refused.
    pub max_refusals: u32,
    /// What happened so far.
    pub progress: Progress,
    /// The most that a call may be expected to cost, in USD.
    pub ceiling: Option<Decimal>,
    /// Rules for what may be in an image: for prompts that are rewritten on the way.
    pub content: Arc<ContentRules>,
}

/// What the settings say to all jobs.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The administrator's explicit choice to send an ambiguous request again, at the risk of paying twice: `image_gen.on_uncertain`.
    /// What an earlier life has sent is never sent again for it.
    pub resend_uncertain: bool,
    /// How long the job waits for a provider in an outage when it has nowhere else to go: `image_gen.outage_timeout`.
    pub patience: Duration,
    /// Up to which figure a cost is believed.
    pub sanity: Sanity,
    /// Whether images are to have a small copy: `image_gen.thumbnails`.
    pub thumbnails: bool,
    /// Whether it is said of an image that it is of another format than was asked for: `image_gen.unexpected_formats`.
    pub warn_of_formats: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            resend_uncertain: false,
            patience: retry::PATIENCE,
            sanity: Sanity::default(),
            thumbnails: false,
            warn_of_formats: true,
        }
    }
}

/// One job on its way.
#[derive(Debug)]
pub struct Run {
    job: Job,
    /// What the candidate is asked for in one call, where that is not all that is left.
    part: Option<Request>,
    plan: Plan,
    /// Candidates that are unwell just now, when to ask for each of them again, and what it suffers from.
    unwell: Vec<(String, Duration, ErrorCode)>,
    /// All of them are: those that can be waited for are asked once more, as the last resort.
    desperate: bool,
    candidate: Candidate,
    /// The key that it is called with.
    pass: Pass,
    /// What is asked of the candidate: the job's task, or one that comes to the same.
    task: Task,
    inputs: Inputs,
    input_pixels: Vec<u64>,
    /// The images went in in an earlier life of the worker.
    inputs_unknown: bool,
    found: BTreeMap<String, String>,
    prepared: Option<Prepared>,
    /// The format of image that the request names.
    asked_format: Option<&'static str>,
    warnings: Vec<Warning>,
    number: u32,
    tries: u32,
    /// The provider has accepted the current call, or may have.
    accepted: bool,
    /// The time of the last event.
    now: i64,
    sent_at: i64,
    renders: Renders,
    seen: Option<Seen>,
    last_status: Option<u16>,
    /// An earlier life of the worker has sent it.
    resumed: bool,
    terms: Terms,
    state: State,
}

impl Run {
    /// A job of which nothing is on its way, and `attempts` of which are behind it: what is left of it, see
    /// [`Progress::take_off`]. `None` when the route is empty.
    pub fn new(mut job: Job, plan: Plan, attempts: u32) -> Option<Self> {
        let candidate = plan.route.first()?.clone();
        let task = provider::task_at(job.request.task(job.operation), &candidate);
        if let Some(prompt) = &plan.progress.prompt {
            job.request.prompt = prompt.clone();
        }
        let mut run = Run {
            job,
            part: None,
            tries: 0,
            plan,
            unwell: vec![],
            desperate: false,
            candidate,
            pass: Pass::default(),
            task,
            inputs: Inputs::default(),
            input_pixels: vec![],
            inputs_unknown: false,
            found: BTreeMap::new(),
            prepared: None,
            asked_format: None,
            warnings: vec![],
            number: attempts,
            accepted: false,
            now: 0,
            sent_at: 0,
            renders: Renders::default(),
            seen: None,
            last_status: None,
            resumed: false,
            terms: Terms::default(),
            state: State::New,
        };
        run.divide();
        Some(run)
    }

    /// Finds out what the candidate is asked for in one call.
    fn divide(&mut self) {
        let task = self.job.request.task(self.job.operation);
        self.part = match provider::first_call(&self.candidate, task, &self.job.request) {
            Cow::Owned(part) => Some(part),
            Cow::Borrowed(_) => None,
        };
    }

    /// What the candidate is asked for in one call.
    fn asked(&self) -> &Request {
        self.part.as_ref().unwrap_or(&self.job.request)
    }

    /// A job whose attempt `number` was accepted by the provider in an earlier life of the worker, or (without a remote
    /// task) may have been, at a provider that can be asked. `None` when it cannot be followed.
    pub fn resume(
        job: Job,
        plan: Plan,
        candidate: Candidate,
        number: u32,
        remote: Option<Remote>,
        cost: Option<Cost>,
        sent_at: i64,
    ) -> Option<Self> {
        let mut route = vec![candidate.clone()];
        route.extend(plan.route.into_iter().filter(|c| c.name() != candidate.name()));
        let mut run = Run::new(job, Plan { route, ..plan }, number)?;
        run.sent_at = sent_at;
        let accepted = match remote {
            Some(remote) => Accepted::new(remote, cost, Schedule::overdue()),
            None => run.unsure()?,
        };
        run.state = State::Resumed(accepted);
        run.accepted = true;
        run.resumed = true;
        run.tries = 1 + run.plan.progress.outages.get(&candidate.name()).map_or(0, |outage| outage.tries);
        // For the price: what was prepared then is prepared again, with stand-ins for the images.
        run.inputs = Inputs::stand_ins(&run.job.request);
        if let Some(prepared) = run.provider().and_then(|p| p.prepare(&run.call(&run.tag())).ok()) {
            run.keep_prepared(prepared);
        }
        run.inputs = Inputs::default();
        run.inputs_unknown = !run.job.pictures.is_empty();
        Some(run)
    }

    /// Goes on with the key that an earlier life of the worker has sent it with: no other one is told about its task.
    pub fn with_key(mut self, key_name: Option<String>) -> Self {
        self.pass.key_name = key_name;
        self
    }

    /// The name of the key that the candidate is called with.
    pub fn key_name(&self) -> Option<&str> {
        self.pass.key_name.as_deref()
    }

    /// What the settings say.
    pub fn on_terms(self, terms: Terms) -> Self {
        Run { terms, ..self }
    }

    /// Remembers what is to be sent, and what is known of its answer.
    fn keep_prepared(&mut self, prepared: Prepared) {
        self.asked_format = provider::asked_format(&prepared.submission);
        self.prepared = Some(prepared);
    }

    /// How often the candidate has turned the job away, and whether it has nowhere else to go.
    pub fn standing(&self) -> (u32, bool) {
        let here = self.candidate.name();
        (self.tries, self.desperate || !self.is_open_elsewhere(&here))
    }

    /// What polls saw of the render, where it has ended and was polled from its beginning on.
    pub fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// What becomes of the image where there is a store.
    pub fn storing(&self) -> Storing {
        self.job.request.store.unwrap_or_default()
    }

    /// Not sent after this moment, in milliseconds of Unix time.
    pub fn deadline(&self) -> Option<i64> {
        self.job.deadline
    }

    /// The provider that the job is at.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// True while a cancel can still save something.
    pub fn can_cancel(&self) -> bool {
        !matches!(
            self.state,
            State::Collecting(_) | State::Drawing | State::Canceling(..) | State::Closing | State::Closed
        )
    }

    /// True when the next [`Step::Send`], or the one that is on its way, may cost money.
    pub fn is_submitting(&self) -> bool {
        matches!(self.state, State::Submitting)
    }

    /// True while an accepted task is asked for.
    pub fn is_followed(&self) -> bool {
        matches!(self.state, State::Polling(_) | State::Asking(_))
    }

    /// True while the images that go in are in memory.
    pub fn holds_inputs(&self) -> bool {
        matches!(
            self.state,
            State::Gathering(..)
                | State::Gathered
                | State::Arranged
                | State::Prerequisite(_)
                | State::Beginning
                | State::Submitting
        ) && !self.job.pictures.is_empty()
    }

    /// Takes an event, gives the next step. `now` is Unix time in milliseconds.
    pub fn on(&mut self, event: Event, now: i64) -> Step {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.now = now;
        match (state, event) {
            (State::Closed, _) | (_, Event::Disowned) => Step::Stop,
            (State::Closing, Event::Committed) => Step::Stop,
            (
                State::New
                | State::Gathering(..)
                | State::Looking(..)
                | State::Gathered
                | State::Arranged
                | State::Prerequisite(_)
                | State::Rewriting
                | State::Entering,
                Event::Cancel,
            ) => self.close_unsent(Failure::Canceled, "canceled before it was sent"),
            (State::New, Event::Start) => self.start(now),
            (State::Rewriting, Event::Rewritten(prompt)) => self.rewritten(prompt, now),
            (State::Entering, Event::Entered { renders, key }) => {
                (self.renders, self.pass) = (renders, key);
                self.entered(now)
            }
            (State::Entering, Event::Elapsed) => self.too_late(),
            (State::Entering, Event::Shut { after, code }) => self.shut(after, code, now),
            (State::Gathering(index, tries), event) => self.gathered(index, tries, event),
            (State::Looking(index, bytes), Event::Compute) => self.look_at_input(index, bytes, now),
            (State::Gathered, Event::Compute) => self.arrange(now),
            (State::Arranged, Event::Compute) => self.prerequisite_or_begin(now),
            (State::Prerequisite(name), Event::Answer(answer)) => {
                self.prerequisite_answered(name, answer, now)
            }
            (State::Beginning, Event::Committed) => self.submit(now),
            (State::Beginning, Event::Unaffordable) => self.unaffordable(now),
            (State::Beginning, Event::Busy) => self.busy(now),
            (State::Submitting, Event::Answer(answer)) => self.submitted(answer, now),
            (State::Submitting, Event::Halted) => self.halted(),
            (State::Submitting, Event::Withdrawn) => self.withdrawn(),
            (State::Submitting, Event::Cancel) => {
                if let Some(unsure) = self.unsure() {
                    return self.call_off(unsure);
                }
                let failed = Failure::Canceled.because("canceled while the request was on its way");
                let cost = self.not_known();
                self.end(AttemptStatus::Uncertain, failed, cost, JobStatus::Canceled)
            }
            (State::Drawing, Event::Compute) => self.draw(now),
            (State::Checkpointing(accepted), Event::Committed) => self.wait(accepted, None),
            (State::Resumed(accepted), Event::Start) => self.poll(accepted),
            (State::Waiting(accepted), Event::Elapsed) => self.poll(accepted),
            (State::Polling(accepted), Event::Answer(answer)) => self.polled(accepted, answer, false, now),
            (State::Asking(accepted), Event::Answer(answer)) => self.polled(accepted, answer, true, now),
            (
                State::Waiting(accepted)
                | State::Polling(accepted)
                | State::Asking(accepted)
                | State::Resumed(accepted),
                Event::Cancel,
            ) => self.call_off(accepted),
            (State::Canceling(accepted, step), Event::Answer(answer)) => {
                self.call_off_further(accepted, step, answer)
            }
            (State::Collecting(collection), Event::Answer(answer)) => self.fetched(*collection, answer),
            (State::Collecting(collection), Event::Elapsed) => self.collect(*collection),
            (State::Collecting(collection), Event::Compute) => self.inspect(*collection),
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

    fn call<'a>(&'a self, tag: &'a str) -> Call<'a> {
        Call {
            task: self.task,
            request: self.asked(),
            candidate: &self.candidate,
            inputs: &self.inputs,
            found: &self.found,
            tag,
        }
    }

    /// The name of the attempt that comes next.
    fn tag(&self) -> String {
        format!("{}-{}", self.job.id, self.number + 1)
    }

    fn send(&self, mut request: HttpRequest) -> Step {
        let on_own_machine = self.provider().is_some_and(|p| p.address_name().is_some());
        if on_own_machine && request.destination == Destination::Provider {
            request.destination = Destination::OwnMachine;
        }
        let usual = || self.provider().and_then(|p| provider::key_name(p, &self.candidate));
        let key_name = self.pass.key_name.as_deref().or_else(usual);
        Step::Send { key_name: request.auth.and(key_name).map(str::to_owned), request }
    }

    /// A key never goes to a host that only an answer named.
    fn is_foreign(&self, url: &str) -> bool {
        self.provider().is_some_and(|provider| {
            let base = provider::base_url(provider, &self.candidate);
            !may_carry_key(url, base, provider.own_domains())
        })
    }

    fn draw(&mut self, now: i64) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        match provider.draw(&self.call(&self.tag())) {
            Ok(output) => self.finished(output, None, now),
            Err(rejection) => self.rejected(rejection, None),
        }
    }
}

//! Follows one job: does what its state machine says, and tells it what came of that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use image_gen_engine::admission::{self, OwnBackEnd, Purpose, Query, Surroundings, Target};
use image_gen_engine::allowance::Allowance;
use image_gen_engine::candidate::Candidate;
use image_gen_engine::catalogue::Need;
use image_gen_engine::cost::Cost;
use image_gen_engine::failure::{ErrorCode, Failed, Failure};
use image_gen_engine::http::departure::Departure;
use image_gen_engine::http::room::{Room, Share};
use image_gen_engine::http::{HttpRequest, Method, TransportError};
use image_gen_engine::input::Role;
use image_gen_engine::job::{Operation, Request, Storing};
use image_gen_engine::picture::Facts;
use image_gen_engine::progress::Progress;
use image_gen_engine::provider::Remote;
use image_gen_engine::route::{Preferences, Priority};
use image_gen_engine::run::{
    self, AttemptStatus, Event, InputLocation, Job, JobStatus, Plan, Run, Step, Transition,
};
use image_gen_engine::secret::Key;
use image_gen_store::{Address, Store};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::access::{Access, Caller, Decision};
use super::balances::Occasion;
use super::clock::{self, now};
use super::{Commit, Config, IoContext, Load, Loaded, Report, Rewrite, uploads};
use crate::pause;
use crate::worker::queue::{Catalogue, Claimed};
use crate::worker::trace;
use crate::worker::transitions::Verdict;

/// The engine's part of a claimed job.
struct Details {
    operation: Operation,
    request: Request,
    deadline: Option<i64>,
    attempts: u32,
    progress: Progress,
    target: Target,
    max_cost: Option<Decimal>,
    priority: Option<Priority>,
    preferences: Option<Preferences>,
    inputs: Option<HashMap<String, Where>>,
    resume: Option<Resume>,
}

#[derive(Debug, Deserialize)]
struct Where {
    stored: Option<String>,
    url: Option<String>,
}

struct Resume {
    number: u32,
    provider: String,
    model: String,
    key_name: Option<String>,
    /// Without one, no answer has come, and the provider is asked.
    remote_id: Option<String>,
    poll_url: Option<String>,
    result_url: Option<String>,
    cancel_url: Option<String>,
    cost: Option<Decimal>,
    /// What was told and is not believed.
    claimed: Option<Decimal>,
    sent_at: i64,
}

impl Details {
    fn read(job: Claimed) -> serde_json::Result<Self> {
        let mut request: serde_json::Map<String, Value> = serde_json::from_str(&job.parameters)?;
        request.insert("prompt".into(), job.prompt.into());
        request.insert("seed".into(), job.seed.into());
        let resume = job.under_way.map(|under_way| -> serde_json::Result<Resume> {
            Ok(Resume {
                number: under_way.number.unsigned_abs(),
                provider: under_way.provider,
                model: under_way.model,
                key_name: under_way.key_name,
                remote_id: under_way.remote_id,
                poll_url: under_way.poll_url,
                result_url: under_way.result_url,
                cancel_url: under_way.cancel_url,
                cost: word(under_way.cost)?,
                claimed: word(under_way.claimed)?,
                sent_at: under_way.sent_at,
            })
        });
        Ok(Details {
            operation: serde_json::from_value(job.operation.into())?,
            request: serde_json::from_value(request.into())?,
            deadline: job.deadline,
            attempts: job.attempts.unsigned_abs(),
            progress: serde_json::from_str(&job.progress)?,
            target: Target::queued(job.model, job.provider, job.model_is_open),
            max_cost: word(job.max_cost)?,
            priority: word(job.priority)?,
            preferences: job.preferences.map(|text| serde_json::from_str(&text)).transpose()?,
            inputs: job.inputs.map(|text| serde_json::from_str(&text)).transpose()?,
            resume: resume.transpose()?,
        })
    }
}

/// A value that is written as one word: an amount, or one of a few names.
fn word<T: DeserializeOwned>(text: Option<String>) -> serde_json::Result<Option<T>> {
    text.map(|text| serde_json::from_value(text.into())).transpose()
}

pub(super) async fn follow(claimed: Claimed, context: Arc<IoContext>, cancel: Arc<Notify>) {
    let (seq, job_id, owner) = (claimed.seq, claimed.id.clone(), claimed.owner.to_u32());
    let (catalogue, allowance) = (claimed.catalogue.clone(), claimed.allowance.clone());
    let task = Task { seq, job_id, owner, context, cancel };
    let read = Details::read(claimed)
        .map_err(|e| vec![closed(Failure::Invalid.because(format!("the job is not understood: {e}")))]);
    let started = match read {
        Ok(details) => {
            let provider = details.resume.as_ref().map(|r| r.provider.as_str()).or(details.target.provider());
            let own = task.context.local.find(&catalogue.snapshot, provider, &task.context).await;
            let config = task.context.config.borrow().clone();
            if details.attempts > 0 && details.resume.is_none() {
                pause::at("again", &task.job_id, &task.context.stop).await;
            }
            start(&task.job_id, details, own, &catalogue, &allowance, &config)
        }
        Err(transitions) => Err(transitions),
    };
    match started {
        Ok((run, resumed)) => task.drive(run, resumed).await,
        Err(transitions) => {
            task.commit(transitions).await;
        }
    }
}

fn closed(failed: Failed) -> Transition {
    Transition::Close { status: JobStatus::Failed, failed: Some(failed), pictures: vec![] }
}

/// What the worker knows beside the catalogue.
struct Known<'a> {
    config: &'a Config,
    catalogue: &'a Catalogue,
}

impl Surroundings for Known<'_> {
    fn has(&self, name: &str) -> bool {
        self.config.keys.has(name)
    }

    fn seconds(&self, provider: &str, model: &str, class: &str) -> Option<f64> {
        let of = |class: &str| {
            self.catalogue.seconds.get(&(provider.to_owned(), model.to_owned(), class.to_owned())).copied()
        };
        of(class).or_else(|| of(""))
    }
}

/// Finds out where the job can go, or why it can go nowhere.
fn start(
    job_id: &str,
    details: Details,
    own: Option<OwnBackEnd>,
    catalogue: &Catalogue,
    allowance: &Allowance,
    config: &Config,
) -> Result<(Run, bool), Vec<Transition>> {
    let Details { operation, request, deadline, attempts, preferences, inputs, resume, .. } = details;
    let place = |(name, place): (String, Where)| {
        let role = Role::ALL.into_iter().find(|role| role.name() == name)?;
        Some((role, InputLocation { stored: place.stored, url: place.url }))
    };
    let pictures = inputs.unwrap_or_default().into_iter().filter_map(place).collect();
    let deadline = deadline.map(clock::from_wall);
    let wishes = preferences.unwrap_or_default();
    let target = details.target;
    // What is left of it is to be had.
    let mut rest = request;
    details.progress.take_off(&mut rest);
    let query = Query {
        purpose: Purpose::Run,
        job_id,
        need: Need::of(&rest, operation),
        operation,
        allowance,
        request: &rest,
        target: &target,
        priority: details.priority,
        max_cost: details.max_cost,
        allow_unpriced: true,
        own,
        preview: config.preview_when_unconfigured && resume.is_none(),
    };
    let known = Known { config, catalogue };
    let snapshot = &catalogue.snapshot;
    let admitted = admission::admit(snapshot, &query, &wishes, &known);
    let plan = |route| Plan {
        route,
        ladder: admission::ladder(snapshot, &query, &wishes, &known),
        max_refusals: config.max_refusals,
        progress: details.progress.clone(),
        ceiling: details.max_cost,
        content: snapshot.content().clone(),
    };
    let job = || Job { id: job_id.to_owned(), operation, request: rest.clone(), pictures, deadline };
    if let Some(resume) = resume {
        let doubted = resume.claimed.map(|claimed| Cost { claimed: Some(claimed), ..Cost::unknown() });
        let cost = doubted.or(resume.cost.map(Cost::reported));
        let lost = || run::lost(resume.number, &resume.provider, cost.clone());
        let candidate = admission::accepted(snapshot, &resume.provider, &resume.model, &query, &known);
        let candidate = candidate.ok_or_else(lost)?;
        let remote = resume.remote_id.zip(resume.poll_url).map(|(id, poll_url)| Remote {
            id,
            poll_url,
            result_url: resume.result_url,
            cancel_url: resume.cancel_url,
        });
        // It goes on where it was accepted, whatever has become of the others.
        let plan = plan(admitted.map(|admission| admission.route).unwrap_or_default());
        let sent_at = clock::from_wall(resume.sent_at);
        let run = Run::resume(job(), plan, candidate, resume.number, remote, cost.clone(), sent_at);
        let run = run.map(|run| run.with_key(resume.key_name).on_terms(config.terms));
        return run.map(|run| (run, true)).ok_or_else(lost);
    }
    // Once more: rules and policies may have been tightened since it was queued.
    let prompt = details.progress.prompt.as_ref().unwrap_or(&rest.prompt);
    if let Some(rule) = snapshot.content().stops(prompt, details.progress.cleared) {
        let (status, failed) = run::ends_with(rule);
        return Err(vec![Transition::Close { status, failed: Some(failed), pictures: vec![] }]);
    }
    let admission = admitted.map_err(|rejection| vec![closed(rejection.failure())])?;
    let plan = plan(admission.route);
    let run = Run::new(job(), plan, attempts);
    let run = run.ok_or_else(|| vec![closed(Failure::NotSupported.because("no provider can do it"))])?;
    Ok((run.on_terms(config.terms), false))
}

struct Task {
    seq: i64,
    job_id: String,
    /// Whose it is: places at providers are shared out among owners.
    owner: u32,
    context: Arc<IoContext>,
    cancel: Arc<Notify>,
}

impl Task {
    async fn drive(&self, mut run: Run, resumed: bool) {
        let context = &self.context;
        let mut stop = context.stop.clone();
        let mut event = Event::Start;
        // Held until the job leaves the provider: a task counts there until its image is fetched.
        let mut _permit =
            if resumed { context.access.resume(run.candidate(), self.owner, run.key_name()) } else { None };
        let (mut picture_permit, mut input_permit) = (None, None);
        // Of the answer whose images are on their way into the database.
        let mut share = Share::new(&context.room);
        loop {
            let (again, step) = advance(run, event, &context.computing).await;
            run = again;
            let can_cancel = run.can_cancel();
            match (run.holds_inputs(), &input_permit) {
                // The semaphores are never closed.
                (true, None) => input_permit = context.inputs.clone().acquire_owned().await.ok(),
                (false, Some(_)) => input_permit = None,
                _ => {}
            }
            event = match step {
                Step::Stop => return,
                Step::Compute => Event::Compute,
                Step::Commit(transitions) => {
                    let begins = transitions.iter().any(|e| matches!(e, Transition::Begin { .. }));
                    pause::at(Commit::place(&transitions), &self.job_id, &stop).await;
                    if begins && *stop.borrow() {
                        // Nothing is on its way yet: the next life begins.
                        return;
                    }
                    if let Some(seen) = run.seen() {
                        context.renders.learn(run.candidate(), seen);
                    }
                    self.learn(run.candidate(), run.key_name(), &transitions).await;
                    let mut transitions = self.keep(transitions);
                    let (provider, model) = (run.candidate().provider.clone(), run.candidate().model.clone());
                    if run.storing() != Storing::Url {
                        uploads::upload(context, &self.job_id, &provider, &model, &mut transitions).await;
                    }
                    match self.commit(transitions).await {
                        Verdict::Written => {
                            if begins {
                                pause::at("begun", &self.job_id, &stop).await;
                            }
                            Event::Committed
                        }
                        Verdict::NotOurs => Event::Disowned,
                        Verdict::Over => Event::Unaffordable,
                        Verdict::Busy => Event::Busy,
                    }
                }
                Step::Wait(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => Event::Elapsed,
                    () = self.cancel.notified(), if can_cancel => Event::Cancel,
                    _ = stop.wait_for(|stop| *stop) => return,
                },
                Step::Enter => {
                    let candidate = run.candidate().clone();
                    // No job waits for one permit while it has another: two could wait for each other.
                    _permit = None;
                    input_permit = None;
                    let (tries, alone) = run.standing();
                    let caller = Caller { owner: self.owner, seq: self.seq, tries, alone };
                    let keys = context.access.keys(&candidate, &context.config.borrow().keys);
                    tokio::select! {
                        // First: no job takes a permit that an ending worker's jobs give back.
                        biased;
                        _ = stop.wait_for(|stop| *stop) => return,
                        () = self.cancel.notified() => Event::Cancel,
                        () = at(run.deadline()) => Event::Elapsed,
                        decision = context.access.enter(&candidate, caller, keys.clone()) => match decision {
                            Decision::Granted(permit) => {
                                let key = permit.pass();
                                _permit = Some(permit);
                                Event::Entered { renders: context.renders.of(&candidate), key }
                            }
                            Decision::Refused { after, code } => {
                                for key in keys.iter().filter(|_| code == ErrorCode::InsufficientCredits) {
                                    context.look_at_account(&candidate, key, Occasion::Shut);
                                }
                                Event::Shut { after, code }
                            }
                        },
                    }
                }
                Step::Rewrite { prompt, refused_by } => {
                    Event::Rewritten(self.rewrite(prompt, refused_by).await)
                }
                Step::Load { sha256 } => Event::Loaded(self.load(sha256).await),
                // The intent is written down, and nothing was sent: that is known, and must not become a guess.
                Step::Send { .. } if run.is_submitting() && *stop.borrow() => Event::Halted,
                Step::Send { request, key_name } => {
                    if request.auth.is_none() && input_permit.is_none() && picture_permit.is_none() {
                        picture_permit = context.pictures.clone().acquire_owned().await.ok();
                    }
                    let key = key_name.as_ref().and_then(|name| context.config.borrow().keys.get(name));
                    if let (Some(name), None) = (&key_name, &key) {
                        // It was taken away. What has been accepted is asked for again later: there may be one then.
                        let why = TransportError::NotSent(format!("there is no key {name}"));
                        event = Event::Answer(Err(why));
                        continue;
                    }
                    // What can be asked again is dropped at once when the worker must end. What may be paid for is
                    // given the time that is left.
                    let asks = request.method == Method::Get;
                    if run.is_followed() {
                        pause::at("poll", &self.job_id, &stop).await;
                    }
                    let submits = run.is_submitting();
                    let stopped = async {
                        let _ = stop.wait_for(|stop| *stop).await;
                    };
                    if request.auth.is_some() {
                        share.clear();
                    }
                    let called = self.call(&request, key.as_ref(), submits, can_cancel, &mut share);
                    let event = tokio::select! {
                        event = called => event,
                        () = stopped, if asks => return,
                    };
                    if submits {
                        pause::at("answered", &self.job_id, &stop).await;
                    }
                    event
                }
            };
        }
    }

    /// Sends a request, until there is an answer or a user wants the job stopped.
    async fn call(
        &self,
        request: &HttpRequest,
        key: Option<&Key>,
        submits: bool,
        can_cancel: bool,
        share: &mut Share,
    ) -> Event {
        let departure = Departure::default();
        // Downloads are bounded by the permits for images: two bounds at once could wait for each other.
        let mut apart = Share::new(&Room::default());
        let share = if request.auth.is_some() { share } else { &mut apart };
        let send = self.context.driver.send_noting(request, key, &departure, share);
        tokio::pin!(send);
        tokio::select! {
            answer = &mut send => return Event::Answer(answer),
            () = self.cancel.notified(), if can_cancel => {}
        }
        if submits && !departure.is_noted() { Event::Withdrawn } else { Event::Cancel }
    }

    /// What became of an attempt says how its provider is.
    async fn learn(&self, candidate: &Candidate, key_name: Option<&str>, transitions: &[Transition]) {
        for transition in transitions {
            if let Transition::Checkpoint { .. } = transition {
                let changes = self.context.access.accepted(candidate, key_name);
                if !changes.is_empty() {
                    self.context.report(Report::Health(changes)).await;
                }
            }
            if let Transition::End { status, failed, .. } = transition {
                let failure = match (status, failed) {
                    (AttemptStatus::Succeeded | AttemptStatus::Refused, _) => None,
                    (AttemptStatus::Canceled, _) | (_, None) => continue,
                    (_, Some(failed)) => Some(&failed.failure),
                };
                let limit = self.context.config.borrow().breaker_failures;
                let access = &self.context.access;
                let pool = access.keys(candidate, &self.context.config.borrow().keys);
                let lesson = access.observe(candidate, key_name, &pool, failure, limit);
                if !lesson.rows.is_empty() {
                    self.context.report(Report::Health(lesson.rows)).await;
                }
                if let Some((name, why)) = lesson.benched {
                    self.context.report(Report::Benched(name, why)).await;
                }
                let broke = failure == Some(&Failure::OutOfCredit);
                let occasion = if broke { Occasion::Refused } else { Occasion::Called };
                if let Some(key) = Access::key(candidate, key_name) {
                    self.context.look_at_account(candidate, &key, occasion);
                }
            }
        }
    }

    /// Asks the main thread for a softer prompt.
    async fn rewrite(&self, prompt: String, refused_by: String) -> Option<String> {
        let (done, answer) = oneshot::channel();
        let rewrite = Rewrite { job_id: self.job_id.clone(), prompt, refused_by, done };
        self.context.report(Report::Rewrite(rewrite)).await;
        answer.await.ok().flatten()
    }

    /// Drops bytes that are not to be stored. A small image stays as its own small copy.
    fn keep(&self, mut transitions: Vec<Transition>) -> Vec<Transition> {
        let config = self.context.config.borrow();
        if !config.keep_all_bytes {
            for transition in &mut transitions {
                if let Transition::Close { pictures, .. } | Transition::Later { pictures, .. } = transition {
                    for picture in pictures.iter_mut().filter(|p| !p.inline) {
                        let bytes = picture.bytes.take();
                        if config.terms.thumbnails && picture.facts.as_ref().is_some_and(Facts::is_small) {
                            picture.thumbnail = bytes;
                        }
                    }
                }
            }
        }
        transitions
    }

    /// Asks the main thread for the bytes of an image, or where they are.
    async fn load(&self, sha256: String) -> Option<Vec<u8>> {
        let (done, answer) = oneshot::channel();
        self.context.report(Report::Load(Load { sha256: sha256.clone(), failures: 0, done })).await;
        match answer.await.ok().flatten()? {
            Loaded::Bytes(bytes) => Some(bytes),
            Loaded::Object { address, name } => {
                let config = self.context.config.borrow().clone();
                let (address, driver) = (Address::parse(&address).ok()?, &self.context.driver);
                let store = Store::open(&address, |name| config.keys.get(name), driver).ok()?;
                let read = store.read_image(&name, &sha256);
                tokio::time::timeout(Duration::from_secs(60), read).await.ok()?.ok()
            }
        }
    }

    /// Asks the main thread to make transitions durable.
    async fn commit(&self, mut transitions: Vec<Transition>) -> Verdict {
        // All that is kept passes here: no key does, whatever a provider said.
        let redactor = self.context.driver.redactor();
        transitions.iter_mut().for_each(|transition| transition.redact(&redactor));
        let (done, answer) = oneshot::channel();
        let commit = Commit { seq: self.seq, job_id: self.job_id.clone(), transitions, done };
        self.context.report(Report::Commit(commit)).await;
        answer.await.unwrap_or(Verdict::NotOurs)
    }
}

/// Sleeps until a moment of the thread's clock; for ever without one.
async fn at(moment: Option<i64>) {
    match moment {
        Some(at) => tokio::time::sleep(Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))).await,
        None => std::future::pending().await,
    }
}

/// Advances the machine; where that decodes or draws megabytes, off the network thread.
async fn advance(mut run: Run, event: Event, computing: &Semaphore) -> (Run, Step) {
    const HEAVY: usize = 64 * 1024;
    let heavy = match &event {
        Event::Compute => true,
        Event::Answer(Ok(response)) => response.body.len() > HEAVY,
        _ => false,
    };
    if !heavy {
        let step = run.on(event, now());
        return (run, step);
    }
    // Never closed.
    let _turn = computing.acquire().await;
    let computed = tokio::task::spawn_blocking(trace::carry(move || {
        let step = run.on(event, now());
        (run, step)
    }));
    match computed.await {
        Ok(result) => result,
        // The machine panicked and is lost with its thread: this task ends the same way, and nothing is guessed.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

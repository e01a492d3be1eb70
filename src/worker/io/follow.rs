//! Follows one job: does what its state machine says, and tells it what came of that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::cost::Cost;
use image_gen_engine::failure::{Failed, Failure};
use image_gen_engine::http::Method;
use image_gen_engine::input::{Inputs, Role};
use image_gen_engine::job::{Operation, Request};
use image_gen_engine::provider::{self, Remote};
use image_gen_engine::route::{self, Out, Preferences, Route};
use image_gen_engine::run::{self, Entry, Event, Job, JobStatus, Place, Run, Step};
use serde::Deserialize;
use tokio::sync::{Notify, oneshot};

use super::{Commit, Config, Load, Report, World};
use crate::worker::queue::Claimed;

/// The engine's part of a claimed job.
#[derive(Debug, Deserialize)]
struct Details {
    operation: Operation,
    request: Request,
    deadline: Option<i64>,
    attempts: u32,
    tries: u32,
    preferences: Option<Preferences>,
    #[serde(default)]
    pictures: Option<HashMap<String, Where>>,
    candidates: Vec<Candidate>,
    resume: Option<Resume>,
}

#[derive(Debug, Deserialize)]
struct Where {
    stored: Option<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resume {
    number: u32,
    provider: String,
    remote_id: String,
    poll_url: String,
    result_url: Option<String>,
    cancel_url: Option<String>,
    cost: Option<rust_decimal::Decimal>,
    sent_at: i64,
    candidates: Vec<Candidate>,
}

/// Unix time in milliseconds: the one place where the network thread reads the clock.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

pub(super) async fn follow(claimed: Claimed, world: Arc<World>, cancel: Arc<Notify>) {
    let task = Task { seq: claimed.seq, job_id: claimed.id, world, cancel };
    let read = serde_json::from_str::<Details>(&claimed.job)
        .map_err(|e| vec![closed(Failure::Invalid.because(format!("the job is not understood: {e}")))]);
    let started = match read {
        Ok(mut details) => {
            task.world.local.place(&mut details.candidates, &task.world).await;
            if let Some(resume) = &mut details.resume {
                task.world.local.place(&mut resume.candidates, &task.world).await;
            }
            let config = task.world.config.borrow().clone();
            start(&task.job_id, details, &config)
        }
        Err(entries) => Err(entries),
    };
    match started {
        Ok((run, resumed)) => task.drive(run, resumed).await,
        Err(entries) => {
            task.commit(entries).await;
        }
    }
}

fn closed(failed: Failed) -> Entry {
    Entry::Close { status: JobStatus::Failed, failed: Some(failed), pictures: vec![] }
}

/// Chooses where the job goes, or finds out why it can go nowhere.
fn start(job_id: &str, details: Details, config: &Config) -> Result<(Run, bool), Vec<Entry>> {
    let Details { operation, request, deadline, attempts, tries, preferences, pictures, candidates, resume } =
        details;
    let place = |(name, place): (String, Where)| {
        let role = Role::ALL.into_iter().find(|role| role.name() == name)?;
        Some((role, Place { stored: place.stored, url: place.url }))
    };
    let pictures = pictures.unwrap_or_default().into_iter().filter_map(place).collect();
    let job = Job { id: job_id.to_owned(), operation, request, pictures, deadline };
    if let Some(resume) = resume {
        let cost = resume.cost.map(Cost::reported);
        let Some(candidate) = resume.candidates.into_iter().next() else {
            return Err(run::lost(resume.number, &resume.provider, cost));
        };
        let remote = Remote {
            id: resume.remote_id,
            poll_url: resume.poll_url,
            result_url: resume.result_url,
            cancel_url: resume.cancel_url,
        };
        return Ok((Run::resume(job, candidate, resume.number, remote, cost, resume.sent_at), true));
    }
    let configured = |candidate: &Candidate| {
        provider::find(&candidate.kind).is_some_and(|p| {
            provider::key_name(p, candidate).is_none_or(|name| config.keys.get(name).is_some())
                && (candidate.base_url.is_some() || p.address_name().is_none())
        })
    };
    let wishes = preferences.unwrap_or_default();
    let wanted = job.request.task(operation);
    // Others stand in only for those that were tried.
    let candidates = candidates.into_iter().filter(|c| !c.stands_in).collect();
    let route = route::order(candidates, &wishes, wanted, job_id, configured);
    let inputs = Inputs::stand_ins(&job.request);
    let able =
        |c: &Candidate| provider::plan(c, wanted, &job.request, &inputs, &BTreeMap::new(), "planned").is_ok();
    let head = match route.candidates.iter().find(|c| able(c)).or(route.candidates.first()) {
        Some(head) => head.clone(),
        None if config.preview_when_unconfigured && operation == Operation::Generate => {
            preview(&route).map_err(|failed| vec![closed(failed)])?
        }
        None => return Err(vec![closed(nobody(&route))]),
    };
    Ok((Run::new(job, head, attempts, tries).resend_uncertain(config.resend_uncertain), false))
}

/// The stand-in for a model that nobody has a key for: drawn here, marked as a preview, at no cost.
fn preview(route: &Route) -> Result<Candidate, Failed> {
    let (like, _) =
        route.left_out.iter().find(|(_, out)| *out == Out::NotConfigured).ok_or_else(|| nobody(route))?;
    Ok(Candidate {
        provider: "preview".into(),
        kind: "preview".into(),
        remote_name: "preview".into(),
        max_in_flight: None,
        requests_per_minute: None,
        ..like.clone()
    })
}

fn nobody(route: &Route) -> Failed {
    let why = |(candidate, out): &(Candidate, Out)| match out {
        Out::NotConfigured => {
            let key = provider::find(&candidate.kind).and_then(|p| provider::key_name(p, candidate));
            let name = key.or_else(|| provider::find(&candidate.kind)?.address_name());
            format!("{} has no key ({})", candidate.provider, name.unwrap_or("no adapter"))
        }
        Out::Blocked => format!("{} is blocked", candidate.provider),
        Out::NotPreferred => format!("{} is not preferred", candidate.provider),
        Out::NotSupported => format!("{} does not do this operation", candidate.provider),
    };
    let reasons: Vec<String> = route.left_out.iter().map(why).collect();
    let unconfigured = route.left_out.iter().any(|(_, out)| *out == Out::NotConfigured);
    let failure = if unconfigured { Failure::Unauthorized } else { Failure::NotSupported };
    if reasons.is_empty() {
        failure.because("no enabled provider offers the model")
    } else {
        failure.because(reasons.join("; "))
    }
}

struct Task {
    seq: i64,
    job_id: String,
    world: Arc<World>,
    cancel: Arc<Notify>,
}

impl Task {
    async fn drive(&self, mut run: Run, resumed: bool) {
        let world = &self.world;
        let mut stop = world.stop.clone();
        let candidate = run.candidate().clone();
        let mut event = Event::Start;
        // Held until the job ends: a task counts at its provider until its picture is fetched.
        let _place = tokio::select! {
            place = world.throttle.enter(&candidate, resumed) => place,
            () = self.cancel.notified() => { event = Event::Cancel; None }
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (mut picture_permit, mut input_permit) = (None, None);
        loop {
            let (again, step) = advance(run, event).await;
            run = again;
            let can_cancel = run.can_cancel();
            match (run.holds_inputs(), &input_permit) {
                // The semaphores are never closed.
                (true, None) => input_permit = world.inputs.clone().acquire_owned().await.ok(),
                (false, Some(_)) => input_permit = None,
                _ => {}
            }
            event = match step {
                Step::Stop => return,
                Step::Compute => Event::Compute,
                Step::Commit(entries) => match self.commit(self.keep(entries)).await {
                    true => Event::Committed,
                    false => Event::Disowned,
                },
                Step::Wait(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => Event::Elapsed,
                    () = self.cancel.notified(), if can_cancel => Event::Cancel,
                    _ = stop.wait_for(|stop| *stop) => return,
                },
                Step::Load { sha256 } => Event::Loaded(self.load(sha256).await),
                Step::Send { request, key_name } => {
                    if request.auth.is_none() && input_permit.is_none() && picture_permit.is_none() {
                        picture_permit = world.pictures.clone().acquire_owned().await.ok();
                    }
                    let key = key_name.and_then(|name| world.config.borrow().keys.get(&name));
                    // What can be asked again is dropped at once when the worker must end. What may be paid for is
                    // given the time that is left.
                    let asks = request.method == Method::Get;
                    tokio::select! {
                        answer = world.driver.send(&request, key.as_ref()) => Event::Answer(answer),
                        () = self.cancel.notified(), if can_cancel => Event::Cancel,
                        _ = stop.wait_for(|stop| *stop), if asks => return,
                    }
                }
            };
        }
    }

    /// Drops bytes that are not to be stored.
    fn keep(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        if !self.world.config.borrow().keep_all_bytes {
            for entry in &mut entries {
                if let Entry::Close { pictures, .. } = entry {
                    pictures.iter_mut().filter(|p| !p.inline).for_each(|p| p.bytes = None);
                }
            }
        }
        entries
    }

    /// Asks the main thread for the bytes of a picture.
    async fn load(&self, sha256: String) -> Option<Vec<u8>> {
        let (done, answer) = oneshot::channel();
        self.world.report(Report::Load(Load { sha256, done })).await;
        answer.await.ok().flatten()
    }

    /// Asks the main thread to make entries durable; false when the job is no longer ours.
    async fn commit(&self, entries: Vec<Entry>) -> bool {
        let (done, answer) = oneshot::channel();
        let commit = Commit { seq: self.seq, job_id: self.job_id.clone(), entries, done };
        self.world.report(Report::Commit(commit)).await;
        answer.await.unwrap_or(false)
    }
}

/// Advances the machine; where that decodes or draws megabytes, off the network thread.
async fn advance(mut run: Run, event: Event) -> (Run, Step) {
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
    let computed = tokio::task::spawn_blocking(move || {
        let step = run.on(event, now());
        (run, step)
    });
    match computed.await {
        Ok(result) => result,
        // The machine panicked and is lost with its thread: this task ends the same way, and nothing is guessed.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

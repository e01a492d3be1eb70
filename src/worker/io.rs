//! The network thread: one tokio runtime, one task a job. It never calls Postgres; it asks the main thread to commit and
//! waits for the answer.

mod access;
mod balances;
mod clock;
mod follow;
mod key_book;
mod local;
mod rate_limiter;
mod renders;
mod uploads;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::cost::Cost;
use image_gen_engine::denials::Denials;
use image_gen_engine::egress::Egress;
use image_gen_engine::failure::{ErrorCode, Failure};
use image_gen_engine::health::Row;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::http::room::Room;
use image_gen_engine::http::{Origin, origin};
use image_gen_engine::job::Warning;
use image_gen_engine::picture::Marks;
use image_gen_engine::redact::Redactor;
use image_gen_engine::run::{JobStatus, Terms, Transition};
use rust_decimal::Decimal;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use super::queue::Claimed;
use super::trace::Watched;
use super::transitions::Verdict;
use super::wait_set::{WaitSet, WakeHandle};
use crate::keys::Keys;
use crate::shared::Slot;
use key_book::KeyBook;
pub use rate_limiter::monotonic;
pub use uploads::{Label, Labels};

/// From the main thread to the network thread.
#[derive(Debug)]
pub enum Command {
    /// Follow this job to its end.
    Run {
        /// The job.
        job: Box<Claimed>,
        /// Which hand-over it is.
        number: u64,
    },
    /// Stop this job.
    Cancel(i64),
    /// The limits of providers are those of this catalogue from now on.
    Limits(Arc<Snapshot>),
    /// Use these settings from now on.
    Configure(Box<Config>),
    /// Finish what is being sent, drop what can be resumed.
    Stop,
}

/// From the network thread to the main thread.
#[derive(Debug)]
pub enum Report {
    /// Make these transitions durable.
    Commit(Commit),
    /// Read the bytes of an image.
    Load(Load),
    /// Read what names of objects are made from.
    Label(Label),
    /// Look for a softer prompt.
    Rewrite(Rewrite),
    /// The health of these has changed.
    Health(Vec<Row>),
    /// What is left on an account.
    Balance(Balance),
    /// A key of this name is not used for a while, and another one of its provider's is, for this reason.
    Benched(String, ErrorCode),
    /// Nothing more will be heard of this hand-over.
    Ended {
        /// The job.
        seq: i64,
        /// Which hand-over it was.
        number: u64,
    },
}

/// What is left on the account at a provider.
#[derive(Debug)]
pub struct Balance {
    /// The provider's id.
    pub provider: String,
    /// The name of the key that asked.
    pub key_name: Option<String>,
    /// In USD.
    pub amount: Decimal,
    /// In the provider's own credits, where it counts in those.
    pub credits: Option<Decimal>,
}

/// A prompt that was refused.
#[derive(Debug)]
pub struct Rewrite {
    /// The job.
    pub job_id: String,
    /// The prompt.
    pub prompt: String,
    /// Who refused it, as `provider:model`.
    pub refused_by: String,
    /// Told a softer one, where there is one.
    pub done: oneshot::Sender<Option<String>>,
}

/// An image that a job needs from the database.
#[derive(Debug)]
pub struct Load {
    /// Its hash.
    pub sha256: String,
    /// How often reading it has failed.
    pub failures: u32,
    /// Told the bytes, or that there are none.
    pub done: oneshot::Sender<Option<Loaded>>,
}

/// Where an image is that a job needs.
#[derive(Debug)]
pub enum Loaded {
    /// Here.
    Bytes(Vec<u8>),
    /// In a store.
    Object {
        /// Of the store.
        address: String,
        /// Of the object.
        name: String,
    },
}

/// What can be left out of transitions that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omission {
    /// What came with the images.
    Details,
    /// The bytes of images that are elsewhere, too.
    Bytes,
    /// What the call cost: then it is unknown.
    Figures,
}

impl Omission {
    /// In the order in which they are tried: no more is left out than must be.
    pub const STEPS: [&[Omission]; 4] = [
        &[Omission::Details],
        &[Omission::Bytes],
        &[Omission::Figures],
        &[Omission::Details, Omission::Bytes, Omission::Figures],
    ];
}

/// Entries of one job that must become durable together.
#[derive(Debug)]
pub struct Commit {
    /// The job's place in the queue.
    pub seq: i64,
    /// The job.
    pub job_id: String,
    /// What to write, in order.
    pub transitions: Vec<Transition>,
    /// Told what the database says to it.
    pub done: oneshot::Sender<Verdict>,
}

impl Commit {
    /// The place in a job's life, for [`crate::pause`].
    pub fn place(transitions: &[Transition]) -> &'static str {
        match transitions.last() {
            Some(Transition::Begin { .. }) => "begin",
            Some(Transition::Checkpoint { .. }) => "checkpoint",
            Some(Transition::Later { .. }) => "later",
            Some(Transition::End { .. } | Transition::Close { .. }) | None => "finish",
        }
    }

    /// Whether it brings images.
    pub fn delivers(&self) -> bool {
        let delivers = |transition: &Transition| match transition {
            Transition::Close { status, .. } => *status == JobStatus::Succeeded,
            Transition::Later { pictures, .. } => !pictures.is_empty(),
            _ => false,
        };
        self.transitions.iter().any(delivers)
    }

    /// Leaves something out of transitions that could not be written, but no image.
    pub fn leave_out(&mut self, omission: Omission, why: &str) {
        for transition in &mut self.transitions {
            match transition {
                Transition::End {
                    http_status, cost, usage, tokens, render_seconds, seed, warnings, ..
                } => {
                    match omission {
                        Omission::Details => {
                            (*http_status, *tokens, *render_seconds, *seed) = (None, None, None, None);
                            // That a person is to see the images is no detail.
                            warnings.retain(|warning| warning.code == Warning::APPROVAL);
                        }
                        Omission::Figures => (*cost, *usage) = (Cost::unknown(), None),
                        Omission::Bytes => {}
                    }
                    let message = format!("some of what came with the image could not be stored: {why}");
                    warnings.retain(|warning| warning.code != "not_stored");
                    warnings.push(Warning::new("not_stored", message));
                }
                Transition::Close { pictures, .. } | Transition::Later { pictures, .. } => {
                    pictures.iter_mut().for_each(|picture| match omission {
                        Omission::Details => {
                            (picture.lifetime, picture.seed, picture.thumbnail) = (None, None, None);
                            if let Some(facts) = &mut picture.facts {
                                facts.marks = Marks::default();
                            }
                        }
                        Omission::Bytes => {
                            picture.thumbnail = None;
                            if picture.url.is_some() {
                                picture.bytes = None;
                            }
                        }
                        Omission::Figures => {}
                    });
                }
                _ => {}
            }
        }
    }

    /// Leaves what can be written of transitions that could not be: how the attempt and the job ended and what that cost, with
    /// none of the texts and images that came from outside, but for where the images are.
    pub fn reduce(&mut self, why: &str) {
        let pictures = self.transitions.iter().flat_map(|transition| match transition {
            Transition::Close { pictures, .. } | Transition::Later { pictures, .. } => pictures.as_slice(),
            _ => &[],
        });
        let urls: Vec<&str> = pictures.filter_map(|picture| picture.url.as_deref()).collect();
        let at = match urls[..] {
            [] => String::new(),
            _ => format!("; it is at {}", urls.join(" and ")),
        };
        let failed = || Some(Failure::Broken.because(format!("the result could not be stored{at}: {why}")));
        let ends = self.transitions.iter().any(|e| matches!(e, Transition::End { .. }));
        let mut transitions: Vec<Transition> = std::mem::take(&mut self.transitions)
            .into_iter()
            .filter_map(|transition| match transition {
                Transition::End { number, status, cost, usage, render_seconds, unsent, .. } => {
                    Some(Transition::End {
                        number,
                        status,
                        failed: failed(),
                        http_status: None,
                        cost,
                        usage,
                        tokens: None,
                        render_seconds,
                        seed: None,
                        warnings: vec![],
                        unsent,
                        joins: None,
                    })
                }
                _ => None,
            })
            .collect();
        let status = if ends { JobStatus::Failed } else { JobStatus::NeedsReview };
        transitions.push(Transition::Close { status, failed: failed(), pictures: vec![] });
        self.transitions = transitions;
    }
}

/// What the network thread needs to know of the settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Provider keys.
    pub keys: Keys,
    /// Where requests may go.
    pub egress: Egress,
    /// `image_gen.keep_bytes` = all
    pub keep_all_bytes: bool,
    /// `image_gen.asset_store`
    pub asset_store: String,
    /// `image_gen.asset_name`
    pub asset_name: String,
    /// `image_gen.asset_public_url`
    pub asset_public_url: String,
    /// What is said to each job.
    pub terms: Terms,
    /// `image_gen.preview_when_unconfigured`
    pub preview_when_unconfigured: bool,
    /// `image_gen.max_refusals`
    pub max_refusals: u32,
    /// `image_gen.breaker_failures`
    pub breaker_failures: u32,
    /// `image_gen.balance_interval`; zero is never.
    pub balance_interval: Duration,
}

/// The main thread's end.
pub struct Io {
    commands: mpsc::UnboundedSender<Command>,
    reports: mpsc::Receiver<Report>,
    /// Requests that the egress filter has turned away.
    pub denials: Arc<Denials>,
    _thread: JoinHandle<()>,
}

/// Threads for what blocks: name lookups, which can take half a minute each, and computing.
const BLOCKING_THREADS: usize = 64;
/// Of these compute so many at a time: the processors are the database's.
const COMPUTING_AT_ONCE: usize = 2;
/// Downloads and commits with images that go on at a time: this many images are in memory.
const PICTURES_AT_ONCE: usize = 16;
/// Jobs whose own images (at most four of 25 MB each) are in memory, from fetching them until the provider has answered.
const INPUTS_AT_ONCE: usize = 16;

impl Io {
    /// Starts the thread. `cap` bounds the jobs that it is given, and with them all its queues.
    pub fn start(config: Config, cap: usize, wait_set: &WaitSet, slot: Option<&Slot>) -> Result<Io, String> {
        let book = KeyBook::new(slot);
        let (commands, inbox) = mpsc::unbounded_channel();
        let (outbox, reports) = mpsc::channel(cap.clamp(64, 4096));
        let wake_handle = wait_set.wake_handle();
        // Threads inherit the signal mask. With all signals blocked here, Postgres's handlers run on the main thread
        // only, and so do those of every thread that the runtime starts.
        let denials = Arc::new(Denials::default());
        let noted = denials.clone();
        let all = SignalMask::block_all();
        let thread = std::thread::Builder::new()
            .name("image_gen http".into())
            .spawn(move || serve(inbox, outbox, wake_handle, config, book, noted));
        drop(all);
        Ok(Io { commands, reports, denials, _thread: thread.map_err(|e| e.to_string())? })
    }

    /// Hands a command over. It is lost only when the thread has ended, which the next epoch repairs.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// What has been reported, at most this much.
    pub fn reports(&mut self, at_most: usize) -> Vec<Report> {
        let mut reports = vec![];
        while reports.len() < at_most
            && let Ok(report) = self.reports.try_recv()
        {
            reports.push(report);
        }
        reports
    }
}

/// All signals blocked on this thread until it is dropped.
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// From now on.
    pub fn block_all() -> Self {
        // SAFETY: plain calls on two local sets.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
            SignalMask(before)
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the set that was in force before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// What all tasks share.
struct IoContext {
    driver: Driver,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<bool>,
    outbox: mpsc::Sender<Report>,
    wake_handle: WakeHandle,
    access: access::Access,
    balances: balances::Balances,
    pictures: Arc<Semaphore>,
    inputs: Arc<Semaphore>,
    room: Room,
    computing: Arc<Semaphore>,
    local: local::Local,
    renders: renders::History,
    uploads: uploads::Uploads,
}

impl IoContext {
    async fn report(&self, report: Report) {
        // The main thread drops its end only when the process ends.
        let _ = self.outbox.send(report).await;
        self.wake_handle.wake();
    }
}

fn serve(
    inbox: mpsc::UnboundedReceiver<Command>,
    outbox: mpsc::Sender<Report>,
    wake_handle: WakeHandle,
    config: Config,
    book: KeyBook,
    denials: Arc<Denials>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(dispatch(inbox, outbox, wake_handle, config, book, denials)),
        Err(why) => eprintln!("image_gen: no network runtime: {why}"),
    }
}

/// Where the back end on one's own machine listens.
pub fn own_machine(keys: &Keys) -> Option<Origin> {
    local::address(keys).and_then(|url| origin(&url))
}

async fn dispatch(
    mut inbox: mpsc::UnboundedReceiver<Command>,
    outbox: mpsc::Sender<Report>,
    wake_handle: WakeHandle,
    config: Config,
    book: KeyBook,
    denials: Arc<Denials>,
) {
    let driver = match Driver::new(config.egress.clone()) {
        Ok(driver) => driver.noting(denials),
        Err(why) => {
            eprintln!("image_gen: no HTTP client: {why}");
            return;
        }
    };
    driver.redact(Redactor::new(config.keys.all()));
    let (configure, config) = watch::channel(Arc::new(config));
    let (halt, stop) = watch::channel(false);
    let pictures = Arc::new(Semaphore::new(PICTURES_AT_ONCE));
    let access = access::Access::new(Arc::new(book));
    let balances = balances::Balances::default();
    let inputs = Arc::new(Semaphore::new(INPUTS_AT_ONCE));
    let computing = Arc::new(Semaphore::new(COMPUTING_AT_ONCE));
    let local = local::Local::default();
    let context = Arc::new(IoContext {
        driver,
        config,
        stop,
        outbox,
        wake_handle,
        access,
        balances,
        pictures,
        inputs,
        room: Room::default(),
        computing,
        local,
        renders: renders::History::default(),
        uploads: uploads::Uploads::default(),
    });
    let mut cancels: HashMap<i64, Arc<Notify>> = HashMap::new();
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Run { job, number } => {
                context.access.set_limits(&job.catalogue.snapshot);
                let cancel = Arc::new(Notify::new());
                // Those of tasks that have ended go when the map is full, which then grows: looking at each for each job is quadratic.
                if cancels.len() == cancels.capacity() {
                    cancels.retain(|_, c| Arc::strong_count(c) > 1);
                }
                cancels.insert(job.seq, cancel.clone());
                let context = context.clone();
                tokio::spawn(async move {
                    let seq = job.seq;
                    // A panic ends this task and no other; the job is then found by the next epoch.
                    let followed = follow::follow(*job, context.clone(), cancel);
                    let followed = tokio::spawn(Watched::new(seq, followed)).await;
                    if let Err(why) = followed {
                        let mut why = why.to_string();
                        context.driver.redactor().clean_excerpt(&mut why);
                        eprintln!("image_gen: a job's task ended: {why}");
                    }
                    context.report(Report::Ended { seq, number }).await;
                });
            }
            // The permit is kept, so a task that is busy committing sees it when it next waits.
            // A cancel of a job whose task has just ended finds no task, and main decides about that job.
            Command::Cancel(seq) => {
                if let Some(cancel) = cancels.get(&seq) {
                    cancel.notify_one();
                }
            }
            Command::Limits(catalogue) => context.access.set_limits(&catalogue),
            Command::Configure(config) => {
                context.driver.open(config.egress.clone());
                context.driver.redact(context.driver.redactor().with(config.keys.all()));
                context.local.forget();
                context.balances.forget();
                context.uploads.forget();
                let changes = context.access.forget_accounts();
                if !changes.is_empty() {
                    context.report(Report::Health(changes)).await;
                }
                configure.send_replace(Arc::from(config));
            }
            Command::Stop => {
                halt.send_replace(true);
            }
        }
    }
}

//! The thread that copies and removes.

use std::sync::{Arc, mpsc};

use image_gen_engine::http::MAX_PICTURE_BYTES;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::redact::Redactor;
use image_gen_store::{Address, Facts, Failed, Source, Store, Template};
use tokio::sync::watch;

use super::super::io::SignalMask;
use super::super::wait_set::WakeHandle;
use super::queue::Taken;
use crate::keys::Keys;
use crate::{pause, settings};

/// So many objects are compared at a time.
pub const PAGE: usize = 1000;

/// Where images go.
pub struct Target {
    /// `stores.id`, where that is known.
    pub number: i32,
    pub store: Store,
    pub template: Template,
    /// Where everyone can read its objects; empty where there is no such place.
    pub public: String,
}

impl Target {
    /// Where an object is, for those who look at the asset.
    pub fn url(&self, name: &str) -> String {
        match self.public.trim_end_matches('/') {
            "" => self.store.address.url(name),
            public => format!("{public}/{}", self.store.address.whole(name)),
        }
    }
}

/// What is to be done.
pub enum Task {
    /// An image is to be in the store.
    Copy {
        target: Arc<Target>,
        taken: Box<Taken>,
        /// Where the database has them.
        bytes: Option<Vec<u8>>,
        /// The object that it is moved from.
        from: Option<(Store, String)>,
    },
    /// What is in a store after a name is to be told.
    List { target: Arc<Target>, sweep: i64, after: String },
    /// An object is to go.
    Remove { store: Store, object: i64, name: String },
}

impl Task {
    /// What came of it where its code panicked.
    fn broken(&self) -> Outcome {
        let error = "this is a bug: the log of the server has more".to_owned();
        match self {
            Task::Copy { taken, .. } => {
                Outcome::Failed { asset: taken.asset, error, gone: false, by_store: false }
            }
            Task::List { sweep, .. } => Outcome::Listed { sweep: *sweep, objects: Err(error) },
            Task::Remove { object, .. } => Outcome::Removed { object: *object, error: Some(error) },
        }
    }

    /// The store that it is about.
    fn address(&self) -> Address {
        match self {
            Task::Copy { target, .. } | Task::List { target, .. } => target.store.address.clone(),
            Task::Remove { store, .. } => store.address.clone(),
        }
    }
}

/// What came of it.
pub enum Outcome {
    /// It is there, and is what it should be.
    Copied {
        /// `stores.id`: the setting may have changed since the copy began.
        store: i32,
        asset: i64,
        name: String,
        url: String,
        sha256: String,
        byte_size: u64,
        content_type: Option<String>,
        /// In pixels, where it was not known before.
        size: Option<(u32, u32)>,
        was_there: bool,
        moved: Option<i64>,
    },
    /// It is not.
    Failed {
        asset: i64,
        error: String,
        /// There is nothing at its URL any more.
        gone: bool,
        /// The store is the trouble, not the image.
        by_store: bool,
    },
    /// What is there: name, length, when it was written; all, where these are fewer than [`PAGE`].
    Listed { sweep: i64, objects: Result<Vec<(String, u64, i64)>, String> },
    /// Without an error the object is gone.
    Removed { object: i64, error: Option<String> },
}

/// The thread, as the main thread sees it.
pub struct Hands {
    pub driver: Driver,
    tasks: tokio::sync::mpsc::UnboundedSender<Task>,
    pub outcomes: mpsc::Receiver<Outcome>,
}

impl Hands {
    /// With all signals blocked: those of Postgres are the main thread's.
    pub fn start(keys: &Keys, wake_handle: WakeHandle) -> Result<Self, String> {
        let driver = Driver::new(settings::egress())?;
        driver.redact(Redactor::new(keys.all()));
        let (tasks, mut inbox) = tokio::sync::mpsc::unbounded_channel::<Task>();
        let (outbox, outcomes) = mpsc::channel();
        let shared = driver.clone();
        let all = SignalMask::block_all();
        let thread = std::thread::Builder::new().name("image_gen copies".into()).spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async move {
                while let Some(task) = inbox.recv().await {
                    let (driver, outbox, wake_handle) = (shared.clone(), outbox.clone(), wake_handle.clone());
                    tokio::spawn(async move {
                        let broken = task.broken();
                        // A panic ends this task and no other.
                        let outcome = tokio::spawn(async move { work(&driver, task).await }).await;
                        let _ = outbox.send(outcome.unwrap_or(broken));
                        wake_handle.wake();
                    });
                }
            });
        });
        drop(all);
        thread.map_err(|e| e.to_string())?;
        Ok(Hands { driver, tasks, outcomes })
    }

    pub fn give(&self, task: Task) {
        let _ = self.tasks.send(task);
    }
}

async fn work(driver: &Driver, task: Task) -> Outcome {
    let address = task.address();
    let clean = |text: String| {
        let mut text = address.without_endpoint(&text);
        driver.redactor().clean_excerpt(&mut text);
        text
    };
    match task {
        Task::List { target, sweep, after } => {
            let objects = target.store.list(&after, PAGE).await.map_err(|why| clean(why.message()));
            Outcome::Listed { sweep, objects }
        }
        Task::Remove { store, object, name } => {
            let error = store.delete(&name).await.err().map(|why| clean(why.message()));
            Outcome::Removed { object, error }
        }
        Task::Copy { target, taken, bytes, from } => {
            let (asset, job) = (taken.asset, taken.job.clone());
            let (_never, stop) = watch::channel(false);
            pause::at("copy", &job, &stop).await;
            let outcome = copy(driver, &target, *taken, bytes, from).await;
            pause::at("copied", &job, &stop).await;
            outcome.unwrap_or_else(|failed| Outcome::Failed {
                asset,
                gone: matches!(failed, Failed::Gone(_)),
                by_store: matches!(failed, Failed::Store(_)),
                error: clean(failed.message()),
            })
        }
    }
}

async fn copy(
    driver: &Driver,
    target: &Target,
    taken: Taken,
    bytes: Option<Vec<u8>>,
    from: Option<(Store, String)>,
) -> Result<Outcome, Failed> {
    let store = &target.store;
    if let (Some(name), Some(sha256)) = (&taken.name, &taken.sha256)
        && let Some(there) = store.find(name).await?
        && there.sha256 == *sha256
    {
        // Another asset has the same image.
        return Ok(Outcome::Copied {
            store: target.number,
            asset: taken.asset,
            url: target.url(name),
            name: name.clone(),
            sha256: sha256.clone(),
            byte_size: there.byte_size,
            content_type: taken.content_type,
            size: None,
            was_there: true,
            moved: taken.moves_from,
        });
    }
    let mut source = match (bytes, from) {
        (Some(bytes), _) => Source::Bytes(bytes.into()),
        (None, Some((from, name))) => Source::Bytes(from.read(&name, MAX_PICTURE_BYTES as u64).await?.into()),
        (None, None) if taken.url.starts_with("http") => {
            Source::download(driver, &taken.url, taken.base_url.as_deref()).await?
        }
        (None, None) => return Err(Failed::Gone("its bytes are nowhere any more".into())),
    };
    let (mut sha256, mut content_type, mut size) = (taken.sha256.clone(), taken.content_type.clone(), None);
    if sha256.is_none() {
        let (whole, facts) = source.whole().await?;
        (source, size) = (whole, facts.width.zip(facts.height));
        (sha256, content_type) = (Some(facts.sha256), Some(facts.content_type));
    }
    let sha256 = sha256.unwrap_or_default();
    let facts = Facts {
        campaign: taken.campaign.as_deref(),
        shot: taken.shot.as_deref(),
        ticket: taken.ticket.as_deref(),
        job: &taken.job,
        position: taken.position,
        sha256: &sha256,
        provider: &taken.provider,
        model: &taken.model,
        date: &taken.made_on,
        content_type: content_type.as_deref().unwrap_or_default(),
    };
    let name = target.template.fill(&facts);
    let (name, copied) = store.copy(&name, content_type.as_deref(), &sha256, source).await?;
    Ok(Outcome::Copied {
        store: target.number,
        asset: taken.asset,
        url: target.url(&name),
        name,
        sha256,
        byte_size: copied.byte_size,
        content_type,
        size,
        was_there: copied.was_there,
        moved: taken.moves_from,
    })
}

//! Images that came in an answer go to the store before their job ends: then their bytes are never written to the database, nor to its
//! WAL. A store that is out, or slow, holds up none for long: such an image is stored in the database, and copied later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::run::{JobStatus, Picture, Stored, Transition};
use image_gen_store::{Address, Facts, Failed, Source, Store, Template};
use tokio::sync::{Semaphore, oneshot};

use super::{Config, IoContext, Report};
use crate::worker::copies::Target;

/// How long the images of a job may take to be uploaded.
const LONGEST: Duration = Duration::from_secs(20);
/// A store that did not take one is left alone for so long.
const REST: Duration = Duration::from_secs(30);
/// Uploads that go on at a time.
const AT_ONCE: usize = 8;
/// Images that wait for that, and go on, in units of 64 kB: 256 MB. What has no room goes into the database, so that a slow store does
/// not fill the memory.
const ROOM: usize = 4096;
const UNIT: usize = 64 << 10;

/// What names of objects are made from, and only the database knows.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// `campaign_assets.campaign`
    pub campaign: Option<String>,
    /// `campaign_assets.shot`
    pub shot: Option<String>,
    /// `campaign_assets.ticket`
    pub ticket: Option<String>,
    /// Today, as YYYY-MM-DD.
    pub date: String,
}

/// The labels of a job are wanted.
#[derive(Debug)]
pub struct Label {
    /// The job.
    pub job_id: String,
    /// Told them; `None` when they could not be read.
    pub done: oneshot::Sender<Option<Labels>>,
}

/// The store, as this thread has it open.
pub struct Uploads {
    state: Mutex<State>,
    places: Semaphore,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    target: Option<Arc<Target>>,
    rests_until: Option<Instant>,
}

impl Default for Uploads {
    fn default() -> Self {
        Uploads { state: Mutex::default(), places: Semaphore::new(AT_ONCE), room: Semaphore::new(ROOM) }
    }
}

impl Uploads {
    /// The settings or the keys may have changed.
    pub fn forget(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Where images go; nowhere while there is no store, or it rests.
    fn target(&self, config: &Config, driver: &Driver) -> Option<Arc<Target>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if config.asset_store.is_empty() || state.rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        if state.target.is_none() {
            // What is wrong with it is said where images are copied.
            let store =
                Store::open(&Address::parse(&config.asset_store).ok()?, |name| config.keys.get(name), driver);
            let template = Template::parse(&config.asset_name).ok()?;
            let public = config.asset_public_url.clone();
            state.target = Some(Arc::new(Target { number: 0, store: store.ok()?, template, public }));
        }
        state.target.clone()
    }

    fn rest(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rests_until = Some(Instant::now() + REST);
    }
}

/// Uploads the images of a job that is about to end which are nowhere else. Those that are in the store have no bytes any more.
pub async fn upload(
    context: &IoContext,
    job_id: &str,
    provider: &str,
    model: &str,
    transitions: &mut [Transition],
) {
    let mut pictures: Vec<&mut Picture> = vec![];
    for transition in transitions {
        if let Transition::Close { status: JobStatus::Succeeded, pictures: some, .. }
        | Transition::Later { pictures: some, .. } = transition
        {
            pictures.extend(some.iter_mut().filter(|p| p.inline && p.bytes.is_some() && p.facts.is_some()));
        }
    }
    let config = context.config.borrow().clone();
    if pictures.is_empty() || config.keep_all_bytes {
        return;
    }
    let Some(target) = context.uploads.target(&config, &context.driver) else { return };
    let (done, labels) = oneshot::channel();
    context.report(Report::Label(Label { job_id: job_id.to_owned(), done })).await;
    let Ok(Some(labels)) = labels.await else { return };
    let mut stop = context.stop.clone();
    let ends = tokio::time::Instant::now() + LONGEST;
    for picture in pictures {
        let units = picture.bytes.as_ref().map_or(0, Vec::len).div_ceil(UNIT);
        let room = context.uploads.room.try_acquire_many(u32::try_from(units).unwrap_or(u32::MAX));
        let Ok(_room) = room else { continue };
        let (Some(bytes), Some(facts)) = (picture.bytes.take(), &picture.facts) else { continue };
        let bytes = Bytes::from(bytes);
        let name = target.template.fill(&Facts {
            campaign: labels.campaign.as_deref(),
            shot: labels.shot.as_deref(),
            ticket: labels.ticket.as_deref(),
            job: job_id,
            position: i32::try_from(picture.position).unwrap_or(i32::MAX),
            sha256: &facts.sha256,
            provider,
            model,
            date: &labels.date,
            content_type: &facts.content_type,
        });
        let sent = async {
            // Never closed.
            let _place = context.uploads.places.acquire().await;
            let source = Source::Bytes(bytes.clone());
            target.store.copy(&name, Some(&facts.content_type), &facts.sha256, source).await
        };
        let sent = tokio::select! {
            sent = tokio::time::timeout_at(ends, sent) => sent.unwrap_or_else(|_| Err(Failed::Store("it is slow".into()))),
            // The next life copies it.
            _ = stop.wait_for(|stop| *stop) => Err(Failed::NameTaken),
        };
        match sent {
            Ok((name, _)) => {
                // A small image is its own small copy.
                picture.thumbnail = picture
                    .thumbnail
                    .take()
                    .or((config.terms.thumbnails && facts.is_small()).then(|| bytes.to_vec()));
                let store = &target.store.address;
                picture.stored = Some(Stored {
                    identity: store.identity(),
                    address: store.to_string(),
                    url: target.url(&name),
                    name,
                });
            }
            Err(failed) => {
                if let Failed::Store(_) = failed {
                    context.uploads.rest();
                }
                picture.bytes = Some(bytes.into());
            }
        }
    }
}

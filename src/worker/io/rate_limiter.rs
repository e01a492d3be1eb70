//! Limits of a provider that all jobs share: tasks in flight, and submissions in a minute. They are those of the newest catalogue
//! that the thread was given, also for jobs that came with an older one and wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::fair_queue::FairQueue;
use image_gen_engine::rate::Rate;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

/// The limits of all providers, kept by id.
#[derive(Clone, Default)]
pub struct RateLimiter(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    catalogue: Arc<Snapshot>,
    limits: HashMap<String, Limits>,
}

struct Limits {
    queue: FairQueue<u32, oneshot::Sender<InFlightPermit>>,
    rate: Rate,
    /// Told whenever the rate is another one.
    changed: watch::Sender<()>,
}

/// One of the calls in flight that a provider may have; given back when it is dropped.
pub struct InFlightPermit {
    limiter: RateLimiter,
    provider: String,
    owner: u32,
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.limiter.leave(&self.provider, self.owner);
    }
}

impl RateLimiter {
    /// The limits are those of this catalogue from now on.
    pub fn set(&self, catalogue: &Arc<Snapshot>) {
        let mut all = self.lock();
        if Arc::ptr_eq(&all.catalogue, catalogue) {
            return;
        }
        all.catalogue = catalogue.clone();
        let now = Instant::now();
        for (provider, limits) in &mut all.limits {
            limits.set(catalogue, provider, now);
        }
        let providers: Vec<String> = all.limits.keys().cloned().collect();
        drop(all);
        providers.iter().for_each(|provider| self.grant_next(provider));
    }

    /// Waits for a place at the provider, and for its turn.
    pub async fn enter(&self, provider: &str, owner: u32) -> Option<InFlightPermit> {
        let (granted, place, mut changed) = self.ask(provider, owner);
        let permit = match granted {
            Some(granted) => granted.await.ok(),
            None => None,
        };
        loop {
            let start = self.start(provider, place);
            // The runtime's timers count in milliseconds: a sleep until now would cost one.
            if start <= Instant::now() {
                return permit;
            }
            tokio::select! {
                () = sleep_until(start.into()) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// A place for a task that is at the provider already: it counts, whatever the limit.
    pub fn resume(&self, provider: &str, owner: u32) -> Option<InFlightPermit> {
        let mut all = self.lock();
        let limits = all.of(provider);
        limits.queue.limit.map(|_| {
            limits.queue.admit(owner);
            self.permit(provider, owner)
        })
    }

    /// Lines up, and says which place among the submissions this one has. Where there is no limit there is no line.
    fn ask(
        &self,
        provider: &str,
        owner: u32,
    ) -> (Option<oneshot::Receiver<InFlightPermit>>, u64, watch::Receiver<()>) {
        let mut all = self.lock();
        let limits = all.of(provider);
        let place = limits.rate.ask(Instant::now());
        let granted = limits.queue.limit.map(|_| {
            let (grant, granted) = oneshot::channel();
            limits.queue.line_up(owner, grant);
            granted
        });
        let changed = limits.changed.subscribe();
        drop(all);
        self.grant_next(provider);
        (granted, place, changed)
    }

    fn start(&self, provider: &str, place: u64) -> Instant {
        self.lock().of(provider).rate.start(place, Instant::now())
    }

    fn leave(&self, provider: &str, owner: u32) {
        if let Some(limits) = self.lock().limits.get_mut(provider) {
            limits.queue.leave(owner);
        }
        self.grant_next(provider);
    }

    /// Gives free permits to those who wait. A permit that is not taken comes back by itself.
    fn grant_next(&self, provider: &str) {
        loop {
            let next = self
                .lock()
                .limits
                .get_mut(provider)
                .and_then(|limits| limits.queue.next(oneshot::Sender::is_closed));
            let Some((owner, grant)) = next else { return };
            // Outside the lock: what is not taken is dropped here, and asks for the lock again.
            drop(grant.send(self.permit(provider, owner)));
        }
    }

    fn permit(&self, provider: &str, owner: u32) -> InFlightPermit {
        InFlightPermit { limiter: self.clone(), provider: provider.to_owned(), owner }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn of(&mut self, provider: &str) -> &mut Limits {
        let catalogue = &self.catalogue;
        self.limits.entry(provider.to_owned()).or_insert_with(|| {
            let now = Instant::now();
            let (queue, rate) = (FairQueue::default(), Rate::new(now));
            let mut limits = Limits { queue, rate, changed: watch::Sender::new(()) };
            limits.set(catalogue, provider, now);
            limits
        })
    }
}

impl Limits {
    fn set(&mut self, catalogue: &Snapshot, provider: &str, now: Instant) {
        let row = catalogue.provider(provider);
        self.queue.limit = row.and_then(|row| row.max_in_flight);
        if self.rate.change(row.and_then(|row| row.requests_per_minute), now) {
            self.changed.send_replace(());
        }
    }
}

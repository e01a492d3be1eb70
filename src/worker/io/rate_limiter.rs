//! Limits of a provider that all jobs share: tasks in flight, and submissions in a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::fair_queue::FairQueue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// The limits of all providers, kept by id.
#[derive(Clone, Default)]
pub struct RateLimiter(Arc<Mutex<HashMap<String, Limits>>>);

struct Limits {
    queue: FairQueue<u32, oneshot::Sender<InFlightPermit>>,
    /// When the bucket of submissions was, or will be, full.
    full_at: Instant,
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

/// So much of a minute's submissions may go out at once; the rest follows at the steady rate.
const BURST: Duration = Duration::from_secs(6);

impl RateLimiter {
    /// Waits for a place at the provider, and for its turn.
    pub async fn enter(&self, candidate: &Candidate, owner: u32) -> Option<InFlightPermit> {
        let (granted, start) = self.ask(candidate, owner);
        let permit = match granted {
            Some(granted) => granted.await.ok(),
            None => None,
        };
        // The runtime's timers count in milliseconds: a sleep until now would cost one.
        if start > Instant::now() {
            sleep_until(start).await;
        }
        permit
    }

    /// A place for a task that is at the provider already: it counts, whatever the limit.
    pub fn resume(&self, candidate: &Candidate, owner: u32) -> Option<InFlightPermit> {
        let mut all = self.lock();
        let limits = limits(&mut all, candidate);
        limits.queue.limit.map(|_| {
            limits.queue.admit(owner);
            self.permit(&candidate.provider, owner)
        })
    }

    /// Lines up, and says when the submission may start. Where there is no limit there is no line.
    fn ask(&self, candidate: &Candidate, owner: u32) -> (Option<oneshot::Receiver<InFlightPermit>>, Instant) {
        let mut all = self.lock();
        let limits = limits(&mut all, candidate);
        let now = Instant::now();
        let mut start = now;
        if let Some(rate) = candidate.requests_per_minute {
            let each = Duration::from_secs(60) / rate.max(1);
            limits.full_at = limits.full_at.max(now) + each;
            start = limits.full_at.checked_sub(BURST.max(each)).map_or(now, |start| start.max(now));
        }
        let granted = limits.queue.limit.map(|_| {
            let (grant, granted) = oneshot::channel();
            limits.queue.line_up(owner, grant);
            granted
        });
        drop(all);
        self.grant_next(&candidate.provider);
        (granted, start)
    }

    fn leave(&self, provider: &str, owner: u32) {
        if let Some(limits) = self.lock().get_mut(provider) {
            limits.queue.leave(owner);
        }
        self.grant_next(provider);
    }

    /// Gives free permits to those who wait. A permit that is not taken comes back by itself.
    fn grant_next(&self, provider: &str) {
        loop {
            let next = self
                .lock()
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Limits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn limits<'a>(all: &'a mut HashMap<String, Limits>, candidate: &Candidate) -> &'a mut Limits {
    let limits = all
        .entry(candidate.provider.clone())
        .or_insert_with(|| Limits { queue: FairQueue::default(), full_at: Instant::now() });
    limits.queue.limit = candidate.max_in_flight;
    limits
}

//! Limits of a provider that all jobs share: tasks in flight, and submissions in a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image_gen_engine::candidate::Candidate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// The limits of all providers, kept by id.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<String, Gate>>);

struct Gate {
    limit: Option<u32>,
    places: Arc<Semaphore>,
    /// When the bucket of submissions was, or will be, full.
    full_at: Instant,
}

/// So much of a minute's submissions may go out at once; the rest follows at the steady rate.
const BURST: Duration = Duration::from_secs(6);

impl Throttle {
    /// Waits for a place at the provider, and for its turn. The place is free again when the permit is dropped.
    pub async fn enter(&self, candidate: &Candidate) -> Option<OwnedSemaphorePermit> {
        let (places, start) = self.gate(candidate, true);
        let permit = match places {
            // The semaphore is never closed.
            Some(places) => places.acquire_owned().await.ok(),
            None => None,
        };
        // The runtime's timers count in milliseconds: a sleep until now would cost one.
        if start > Instant::now() {
            sleep_until(start).await;
        }
        permit
    }

    /// A place for a task that is at the provider already, without waiting for one.
    pub fn resume(&self, candidate: &Candidate) -> Option<OwnedSemaphorePermit> {
        self.gate(candidate, false).0.and_then(|places| places.try_acquire_owned().ok())
    }

    fn gate(&self, candidate: &Candidate, submits: bool) -> (Option<Arc<Semaphore>>, Instant) {
        let limit = candidate.max_in_flight;
        let places = || Arc::new(Semaphore::new(limit.unwrap_or(1) as usize));
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gate = gates.entry(candidate.provider.clone()).or_insert_with(|| Gate {
            limit,
            places: places(),
            full_at: now,
        });
        if gate.limit != limit {
            // Whoever is in flight leaves by the old door; new ones count from here.
            gate.limit = limit;
            gate.places = places();
        }
        let mut start = now;
        if let (true, Some(rate)) = (submits, candidate.requests_per_minute) {
            let each = Duration::from_secs(60) / rate.max(1);
            gate.full_at = gate.full_at.max(now) + each;
            start = gate.full_at.checked_sub(BURST.max(each)).map_or(now, |start| start.max(now));
        }
        (limit.map(|_| gate.places.clone()), start)
    }
}

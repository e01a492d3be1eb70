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
    next_start: Instant,
}

impl Throttle {
    /// Waits for a place at the provider, and for its turn. The place is free again when the permit is dropped. A
    /// task that is at the provider already (`resumed`) takes a place without waiting for one.
    pub async fn enter(&self, candidate: &Candidate, resumed: bool) -> Option<OwnedSemaphorePermit> {
        let (places, start) = self.gate(candidate, resumed);
        let permit = match places {
            None => None,
            Some(places) if resumed => places.try_acquire_owned().ok(),
            // The semaphore is never closed.
            Some(places) => places.acquire_owned().await.ok(),
        };
        // The runtime's timers count in milliseconds: a sleep until now would cost one.
        if start > Instant::now() {
            sleep_until(start).await;
        }
        permit
    }

    fn gate(&self, candidate: &Candidate, resumed: bool) -> (Option<Arc<Semaphore>>, Instant) {
        let limit = candidate.max_in_flight;
        let places = || Arc::new(Semaphore::new(limit.unwrap_or(1) as usize));
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gate = gates.entry(candidate.provider.clone()).or_insert_with(|| Gate {
            limit,
            places: places(),
            next_start: now,
        });
        if gate.limit != limit {
            // Whoever is in flight leaves by the old door; new ones count from here.
            gate.limit = limit;
            gate.places = places();
        }
        let start = gate.next_start.max(now);
        match candidate.requests_per_minute {
            Some(rate) if !resumed => gate.next_start = start + Duration::from_secs(60) / rate.max(1),
            _ => gate.next_start = now,
        }
        (limit.map(|_| gate.places.clone()), if resumed { now } else { start })
    }
}

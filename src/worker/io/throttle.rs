//! Limits of a provider that all jobs share: tasks in flight, and submissions in a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::turns::Turns;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// The limits of all providers, kept by id.
#[derive(Clone, Default)]
pub struct Throttle(Arc<Mutex<HashMap<String, Gate>>>);

struct Gate {
    turns: Turns<oneshot::Sender<Seat>>,
    /// When the bucket of submissions was, or will be, full.
    full_at: Instant,
}

/// A place at a provider; free again when it is dropped.
pub struct Seat {
    throttle: Throttle,
    provider: String,
    owner: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.throttle.leave(&self.provider, &self.owner);
    }
}

/// So much of a minute's submissions may go out at once; the rest follows at the steady rate.
const BURST: Duration = Duration::from_secs(6);

impl Throttle {
    /// Waits for a place at the provider, and for its turn.
    pub async fn enter(&self, candidate: &Candidate, owner: &str) -> Option<Seat> {
        let (granted, start) = self.ask(candidate, owner);
        let seat = match granted {
            Some(granted) => granted.await.ok(),
            None => None,
        };
        // The runtime's timers count in milliseconds: a sleep until now would cost one.
        if start > Instant::now() {
            sleep_until(start).await;
        }
        seat
    }

    /// A place for a task that is at the provider already: it counts, whatever the limit.
    pub fn resume(&self, candidate: &Candidate, owner: &str) -> Option<Seat> {
        let mut gates = self.lock();
        let gate = gate(&mut gates, candidate);
        gate.turns.limit.map(|_| {
            gate.turns.admit(owner);
            self.seat(&candidate.provider, owner)
        })
    }

    /// Lines up, and says when the submission may start. Where there is no limit there is no line.
    fn ask(&self, candidate: &Candidate, owner: &str) -> (Option<oneshot::Receiver<Seat>>, Instant) {
        let mut gates = self.lock();
        let gate = gate(&mut gates, candidate);
        let now = Instant::now();
        let mut start = now;
        if let Some(rate) = candidate.requests_per_minute {
            let each = Duration::from_secs(60) / rate.max(1);
            gate.full_at = gate.full_at.max(now) + each;
            start = gate.full_at.checked_sub(BURST.max(each)).map_or(now, |start| start.max(now));
        }
        let granted = gate.turns.limit.map(|_| {
            let (grant, granted) = oneshot::channel();
            gate.turns.line_up(owner, grant);
            granted
        });
        drop(gates);
        self.let_in(&candidate.provider);
        (granted, start)
    }

    fn leave(&self, provider: &str, owner: &str) {
        if let Some(gate) = self.lock().get_mut(provider) {
            gate.turns.leave(owner);
        }
        self.let_in(provider);
    }

    /// Gives free places to those who wait. A place that nobody takes any more comes back by itself.
    fn let_in(&self, provider: &str) {
        loop {
            let next = self.lock().get_mut(provider).and_then(|g| g.turns.next(oneshot::Sender::is_closed));
            let Some((owner, grant)) = next else { return };
            // Outside the lock: what is not taken is dropped here, and asks for the lock again.
            drop(grant.send(self.seat(provider, &owner)));
        }
    }

    fn seat(&self, provider: &str, owner: &str) -> Seat {
        Seat { throttle: self.clone(), provider: provider.to_owned(), owner: owner.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gate<'a>(gates: &'a mut HashMap<String, Gate>, candidate: &Candidate) -> &'a mut Gate {
    let gate = gates
        .entry(candidate.provider.clone())
        .or_insert_with(|| Gate { turns: Turns::default(), full_at: Instant::now() });
    gate.turns.limit = candidate.max_in_flight;
    gate
}

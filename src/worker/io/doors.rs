//! The doors to the providers: who is well, and how many may be inside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::failure::{ErrorCode, Failure};
use image_gen_engine::health::{Door, Health, Row};

use super::clock;
use super::throttle::{Seat, Throttle};

/// What all jobs know together about the providers.
#[derive(Default)]
pub(super) struct Doors {
    throttle: Throttle,
    health: Arc<Mutex<Health>>,
}

/// The answer at a door.
pub(super) enum Entrance {
    /// Inside, until the place is dropped.
    Place {
        /// Held.
        place: Place,
        /// One of few that are sent ahead to a provider that is just recovering.
        probe: bool,
    },
    /// Not now.
    Shut {
        /// When to ask again at the earliest.
        after: Duration,
        /// What the provider suffers from.
        code: ErrorCode,
    },
}

/// A place at a provider.
pub(super) struct Place {
    _seat: Option<Seat>,
    visit: Option<(Arc<Mutex<Health>>, String, String)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((health, provider, model)) = &self.visit {
            lock(health).leave(provider, model);
        }
    }
}

fn lock(health: &Mutex<Health>) -> MutexGuard<'_, Health> {
    health.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has changed, by the clock that everybody sees.
fn shown(health: &mut Health) -> Vec<Row> {
    let mut rows = health.changes();
    for row in &mut rows {
        row.since = clock::to_wall(row.since);
        row.last_error_at = row.last_error_at.map(clock::to_wall);
    }
    rows
}

impl Doors {
    /// Waits for a place and for the owner's turn, unless the provider is unwell.
    pub async fn enter(&self, candidate: &Candidate, owner: &str, clock: impl Fn() -> i64) -> Entrance {
        let (provider, model) = (&candidate.provider, &candidate.model);
        // Nobody waits in line for a door that is shut,
        if let Door::Shut { after, code } = lock(&self.health).look(provider, model, clock()) {
            return Entrance::Shut { after, code };
        }
        let seat = self.throttle.enter(candidate, owner).await;
        // and nobody goes in who stood in line while it was shut.
        match lock(&self.health).enter(provider, model, clock()) {
            Door::Shut { after, code } => Entrance::Shut { after, code },
            door => {
                let visit = Some((self.health.clone(), provider.clone(), model.clone()));
                Entrance::Place { place: Place { _seat: seat, visit }, probe: door == Door::Ajar }
            }
        }
    }

    /// A place for a task that is at the provider already.
    pub fn resume(&self, candidate: &Candidate, owner: &str) -> Place {
        Place { _seat: self.throttle.resume(candidate, owner), visit: None }
    }

    /// Learns from a call, and says what everybody should know now.
    pub fn observe(
        &self,
        candidate: &Candidate,
        failure: Option<&Failure>,
        limit: u32,
        now: i64,
    ) -> Vec<Row> {
        let mut health = lock(&self.health);
        health.observe(&candidate.provider, &candidate.model, failure, limit, now);
        shown(&mut health)
    }

    /// Learns from a balance, and says what everybody should know now.
    pub fn credit(&self, provider: &str, has_credit: bool, limit: u32, now: i64) -> Vec<Row> {
        let mut health = lock(&self.health);
        health.credit(provider, has_credit, limit, now);
        shown(&mut health)
    }

    /// New keys may have mended what the old ones could not do.
    pub fn forget_accounts(&self, now: i64) -> Vec<Row> {
        let mut health = lock(&self.health);
        health.forget_accounts(now);
        shown(&mut health)
    }
}

//! What is left on the accounts at the providers: asked beside the jobs, when one has just been there, and never while
//! nothing happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::provider;

use super::follow::now;
use super::{Balance, Report, World};

/// An empty account is looked at again this soon: somebody may have paid.
const WHILE_EMPTY: Duration = Duration::from_secs(60);
/// Two jobs that find an account empty at the same time ask once.
const AT_ONCE: Duration = Duration::from_secs(5);

/// When each provider was asked last.
#[derive(Default)]
pub(super) struct Balances {
    asked: Mutex<HashMap<String, Instant>>,
}

/// Why somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A call is over.
    Called,
    /// The provider has just said that there is nothing left.
    Refused,
    /// It was shut for that.
    Shut,
}

impl Balances {
    /// New keys are new accounts.
    pub fn forget(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn is_due(&self, provider: &str, pause: Duration) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = asked.get(provider).is_none_or(|at| at.elapsed() >= pause);
        if due {
            asked.insert(provider.to_owned(), Instant::now());
        }
        due
    }
}

impl World {
    /// Asks what is left on the account of a candidate's provider, where it is time to and the provider can be asked.
    /// Nobody waits for the answer.
    pub(super) fn look_at_account(self: &Arc<Self>, candidate: &Candidate, occasion: Occasion) {
        let interval = self.config.borrow().balance_interval;
        let pause = match occasion {
            Occasion::Called => interval,
            Occasion::Refused => AT_ONCE.min(interval),
            Occasion::Shut => WHILE_EMPTY.min(interval),
        };
        let Some(adapter) = provider::find(&candidate.kind).filter(|_| !interval.is_zero()) else { return };
        let Some(request) = adapter.balance(provider::base_url(adapter, candidate)) else { return };
        if !self.balances.is_due(&candidate.provider, pause) {
            return;
        }
        let key = provider::key_name(adapter, candidate).and_then(|name| self.config.borrow().keys.get(name));
        let (world, id) = (self.clone(), candidate.provider.clone());
        tokio::spawn(async move {
            let answer = world.driver.send(&request, key.as_ref()).await;
            // Some keys may not ask: then nobody knows, and nothing changes.
            let Some(left) = answer.ok().and_then(|answer| adapter.read_balance(&answer)) else { return };
            let limit = world.config.borrow().breaker_failures;
            let changes = world.doors.credit(&id, left.has_credit(), limit, now());
            if !changes.is_empty() {
                world.report(Report::Health(changes)).await;
            }
            let balance = Balance { provider: id, amount: left.amount, credits: left.credits };
            world.report(Report::Balance(balance)).await;
        });
    }
}

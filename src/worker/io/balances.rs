//! What is left on the accounts at the providers: asked beside the jobs, when one has just been there, and never while
//! nothing happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::provider;

use super::rate_limiter::PoolKey;
use super::{Balance, IoContext, Report};

/// An empty account is looked at again this soon: it may have been topped up.
const WHILE_EMPTY: Duration = Duration::from_secs(60);

/// When each provider answered last for a key; `None` while it is being asked.
#[derive(Default)]
pub(super) struct Balances {
    asked: Mutex<HashMap<u64, Option<Instant>>>,
}

/// Why it is asked.
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
        self.lock().clear();
    }

    /// Whether it is time to ask; a caller that is told so says [`Balances::answered`] afterwards.
    fn is_due(&self, key: u64, pause: Duration) -> bool {
        let mut asked = self.lock();
        let due = asked.get(&key).is_none_or(|at| at.is_some_and(|at| at.elapsed() >= pause));
        if due {
            asked.insert(key, None);
        }
        due
    }

    fn answered(&self, key: u64) {
        self.lock().insert(key, Some(Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Option<Instant>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoContext {
    /// Asks what is left on the account behind a key of a candidate's provider, where it is time to and the provider can be asked.
    /// No caller waits for the answer.
    pub(super) fn look_at_account(
        self: &Arc<Self>,
        candidate: &Candidate,
        key: &PoolKey,
        occasion: Occasion,
    ) {
        let interval = self.config.borrow().balance_interval;
        let pause = match occasion {
            Occasion::Called => interval,
            Occasion::Refused => Duration::ZERO,
            Occasion::Shut => WHILE_EMPTY.min(interval),
        };
        let Some(adapter) = provider::find(&candidate.kind).filter(|_| !interval.is_zero()) else { return };
        let Some(request) = adapter.balance(provider::base_url(adapter, candidate)) else { return };
        if !self.balances.is_due(key.id, pause) {
            return;
        }
        let secret = key.name.as_ref().and_then(|name| self.config.borrow().keys.get(name));
        let is_only = self.access.keys(candidate, &self.config.borrow().keys).len() <= 1;
        let (context, id, key) = (self.clone(), candidate.provider.clone(), key.clone());
        tokio::spawn(async move {
            let answer = context.driver.send(&request, secret.as_ref()).await;
            context.balances.answered(key.id);
            // Some keys may not ask: then it stays unknown, and nothing changes.
            let Some(left) = answer.ok().and_then(|answer| adapter.read_balance(&answer)) else { return };
            // A provider that has just refused for want of credit and says that there is some is not believed at once: it may
            // be another limit of the account.
            if occasion == Occasion::Shut || !left.has_credit() {
                let limit = context.config.borrow().breaker_failures;
                let changes = context.access.credit(&id, &key, is_only, left.has_credit(), limit);
                if !changes.is_empty() {
                    context.report(Report::Health(changes)).await;
                }
            }
            let balance =
                Balance { provider: id, key_name: key.name, amount: left.amount, credits: left.credits };
            context.report(Report::Balance(balance)).await;
        });
    }
}

//! What is left on the accounts at the providers: asked beside the jobs, when one has just been there, and never while
//! nothing happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::provider;

use super::{Balance, IoContext, Report};

/// An empty account is looked at again this soon: it may have been topped up.
const WHILE_EMPTY: Duration = Duration::from_secs(60);

/// When each provider answered last; `None` while it is being asked.
#[derive(Default)]
pub(super) struct Balances {
    asked: Mutex<HashMap<String, Option<Instant>>>,
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
    fn is_due(&self, provider: &str, pause: Duration) -> bool {
        let mut asked = self.lock();
        let due = asked.get(provider).is_none_or(|at| at.is_some_and(|at| at.elapsed() >= pause));
        if due {
            asked.insert(provider.to_owned(), None);
        }
        due
    }

    fn answered(&self, provider: &str) {
        self.lock().insert(provider.to_owned(), Some(Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Instant>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoContext {
    /// Asks what is left on the account of a candidate's provider, where it is time to and the provider can be asked.
    /// No caller waits for the answer.
    pub(super) fn look_at_account(self: &Arc<Self>, candidate: &Candidate, occasion: Occasion) {
        let interval = self.config.borrow().balance_interval;
        let pause = match occasion {
            Occasion::Called => interval,
            Occasion::Refused => Duration::ZERO,
            Occasion::Shut => WHILE_EMPTY.min(interval),
        };
        let Some(adapter) = provider::find(&candidate.kind).filter(|_| !interval.is_zero()) else { return };
        let Some(request) = adapter.balance(provider::base_url(adapter, candidate)) else { return };
        if !self.balances.is_due(&candidate.provider, pause) {
            return;
        }
        let key = provider::key_name(adapter, candidate).and_then(|name| self.config.borrow().keys.get(name));
        let (context, id) = (self.clone(), candidate.provider.clone());
        tokio::spawn(async move {
            let answer = context.driver.send(&request, key.as_ref()).await;
            context.balances.answered(&id);
            // Some keys may not ask: then it stays unknown, and nothing changes.
            let Some(left) = answer.ok().and_then(|answer| adapter.read_balance(&answer)) else { return };
            // A provider that has just refused for want of credit and says that there is some is not believed at once: it may
            // be another limit of the account.
            if occasion == Occasion::Shut || !left.has_credit() {
                let limit = context.config.borrow().breaker_failures;
                let changes = context.access.credit(&id, left.has_credit(), limit);
                if !changes.is_empty() {
                    context.report(Report::Health(changes)).await;
                }
            }
            let balance = Balance { provider: id, amount: left.amount, credits: left.credits };
            context.report(Report::Balance(balance)).await;
        });
    }
}

//! Access to the providers: a circuit breaker for each, and for each of several keys; and limits on calls in flight and on the rate of
//! submissions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::failure::{ErrorCode, Failure};
use image_gen_engine::health::{self, Health, Permit, Row, Verdict};
use image_gen_engine::run::Pass;
use image_gen_engine::{key_use, provider};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::clock::{self, now};
use super::key_book::KeyBook;
use super::rate_limiter::{self, InFlightPermit, PoolKey, RateLimiter};
use crate::keys::Keys;

/// The breakers and limits that all jobs share.
pub(super) struct Access {
    book: Arc<KeyBook>,
    limiter: RateLimiter,
    breaker: Breaker,
    /// Those of the newest catalogue.
    catalogue: Mutex<Arc<Snapshot>>,
}

/// A job that nothing but a paused provider could take, or whose owner is paused, looks again after this.
const WHILE_PAUSED: Duration = Duration::from_secs(15);

/// The answer to a job that wants to call a provider.
pub(super) enum Decision {
    /// It may, until the permit is dropped.
    Granted(CallPermit),
    /// Not now.
    Refused {
        /// When to ask again at the earliest.
        after: Duration,
        /// What the provider suffers from.
        code: ErrorCode,
    },
}

/// The permission for one call; given back when it is dropped.
pub(super) struct CallPermit {
    in_flight: InFlightPermit,
    _breaker: Option<BreakerPermit>,
}

impl CallPermit {
    /// The key that it is for.
    pub fn pass(&self) -> Pass {
        Pass { key_name: self.in_flight.key.name.clone(), others: self.in_flight.others }
    }
}

/// What a call has taught.
#[derive(Default)]
pub(super) struct Lesson {
    /// What is to be shown of circuits now.
    pub rows: Vec<Row>,
    /// A key that is not used for a while, and why: the first that is heard of it.
    pub benched: Option<(String, ErrorCode)>,
}

/// A job that asks for a permit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Whose it is: permits are shared out among owners.
    pub owner: u32,
    /// Its place in the queue.
    pub seq: i64,
    /// How often the candidate has refused it so far.
    pub tries: u32,
    /// It has nowhere else to go.
    pub alone: bool,
}

impl Access {
    /// With what is known of keys in this book.
    pub fn new(book: Arc<KeyBook>) -> Self {
        Access {
            limiter: RateLimiter::new(book.clone()),
            book,
            breaker: Breaker::default(),
            catalogue: Mutex::default(),
        }
    }

    /// The keys that a candidate may be called with.
    pub fn keys(&self, candidate: &Candidate, keys: &Keys) -> Vec<PoolKey> {
        let Some(adapter) = provider::find(&candidate.kind) else { return vec![] };
        let names = provider::key_name(adapter, candidate).map(|name| keys.pool(name)).unwrap_or_default();
        // A key goes to the host that it is for.
        let is_ours = |name: &String| !self.limiter.are_of_others(&candidate.provider, name);
        let names = names.into_iter().filter(is_ours).collect();
        rate_limiter::pool(provider::base_url(adapter, candidate), names)
    }

    /// The key of this name at a candidate's address.
    pub fn key(candidate: &Candidate, name: Option<&str>) -> Option<PoolKey> {
        let adapter = provider::find(&candidate.kind)?;
        let names = name.map(str::to_owned).into_iter().collect();
        rate_limiter::pool(provider::base_url(adapter, candidate), names).pop()
    }

    /// Waits for a permit and for the owner's turn, unless the circuit is open, or all keys rest.
    pub async fn enter(&self, candidate: &Candidate, caller: Caller, keys: Vec<PoolKey>) -> Decision {
        loop {
            if self.is_paused(candidate, caller) {
                return Decision::Refused { after: WHILE_PAUSED, code: ErrorCode::Overloaded };
            }
            // No job waits in line for a permit of a provider whose circuit is open,
            let permit = match self.breaker.ask(candidate, caller).await {
                Ok(permit) => permit,
                Err((after, code)) => return Decision::Refused { after, code },
            };
            let in_flight = self.limiter.enter(&candidate.provider, caller.owner, keys.clone()).await;
            let in_flight = match in_flight {
                Ok(in_flight) => in_flight,
                Err((after, code)) => return Decision::Refused { after, code },
            };
            // and none gets one that waited in line while it opened.
            if permit.is_valid() && !self.is_paused(candidate, caller) {
                return Decision::Granted(CallPermit { in_flight, _breaker: Some(permit) });
            }
        }
    }

    /// The limits of providers, and what is paused, are those of this catalogue from now on, also for jobs that wait.
    pub fn set_limits(&self, catalogue: &Arc<Snapshot>) {
        *self.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = catalogue.clone();
        self.limiter.set(catalogue);
    }

    fn is_paused(&self, candidate: &Candidate, caller: Caller) -> bool {
        let catalogue = self.catalogue.lock().unwrap_or_else(PoisonError::into_inner);
        catalogue.pauses().holds(&candidate.provider, caller.owner)
    }

    /// A permit for a task that is at the provider already.
    pub fn resume(&self, candidate: &Candidate, owner: u32, key_name: Option<&str>) -> Option<CallPermit> {
        let key = Access::key(candidate, key_name)?;
        let in_flight = self.limiter.resume(&candidate.provider, owner, key);
        Some(CallPermit { in_flight, _breaker: None })
    }

    /// Learns from a call with one of these keys. What is the fault of one of several says nothing of the provider.
    pub fn observe(
        &self,
        candidate: &Candidate,
        key_name: Option<&str>,
        pool: &[PoolKey],
        failure: Option<&Failure>,
        limit: u32,
    ) -> Lesson {
        let (provider, model) = (&candidate.provider, &candidate.model);
        let several = pool.len() > 1;
        let key = pool.iter().find(|key| key.name.as_deref() == key_name);
        let mut benched = None;
        if let (Some(key), Some(failure)) = (key, failure) {
            // Of the only key others learn what concerns all that they would call with it.
            let concerns_all = !matches!(failure, Failure::PolicyBlocked) && !failure.is_used_up_quota();
            let user = self.book.user;
            let news = (several || concerns_all && limit > 0)
                && self.book.with(key.id, |key, now| key.failed(user, failure, now));
            let is_account = !matches!(failure.code(), ErrorCode::RateLimited);
            benched =
                key.name.clone().filter(|_| several && news && is_account).map(|name| (name, failure.code()));
        } else if let (Some(key), None) = (key, failure) {
            self.book.with(key.id, |key, _| key.succeeded());
        }
        let rows = match failure {
            Some(failure) if several && key_use::is_of_key(failure) => vec![],
            failure => self.breaker.learn(|health| health.observe(provider, model, failure, limit, now())),
        };
        Lesson { rows, benched }
    }

    /// Learns that a call was accepted.
    pub fn accepted(&self, candidate: &Candidate, key_name: Option<&str>) -> Vec<Row> {
        if let Some(key) = Access::key(candidate, key_name) {
            self.book.with(key.id, |key, _| key.succeeded());
        }
        self.breaker.learn(|health| health.accepted(&candidate.provider, &candidate.model, now()))
    }

    /// Learns from the balance behind one of these keys, and says what is to be shown now.
    pub fn credit(
        &self,
        provider: &str,
        key: &PoolKey,
        is_only: bool,
        has_credit: bool,
        limit: u32,
    ) -> Vec<Row> {
        let user = self.book.user;
        self.book.with(key.id, |key, now| key.credit(user, has_credit, now));
        if !is_only {
            return vec![];
        }
        self.breaker.learn(|health| health.credit(provider, has_credit, limit, now()))
    }

    /// New keys may have mended what the old ones could not do.
    pub fn forget_accounts(&self) -> Vec<Row> {
        self.limiter.forget_accounts();
        self.breaker.learn(|health| health.forget_accounts(now()))
    }
}

/// The health of the providers, and the jobs that wait for one to recover.
#[derive(Clone, Default)]
struct Breaker(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    health: Health,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    tickets: u64,
    /// When the lines are looked at next although nothing has happened.
    alarm: Option<i64>,
}

type Answer = Result<BreakerPermit, (Duration, ErrorCode)>;

/// A permit that is given back when it is dropped.
struct BreakerPermit {
    breaker: Breaker,
    permit: Permit,
}

impl BreakerPermit {
    fn is_valid(&self) -> bool {
        self.breaker.lock().health.is_valid(&self.permit)
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        self.breaker.lock().health.leave(&self.permit);
        self.breaker.decide();
    }
}

/// A place in a line that is left when it is dropped.
struct Ticket<'a> {
    breaker: &'a Breaker,
    candidate: &'a Candidate,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiting = self.breaker.lock();
        // A job with an answer is in no line any more.
        if waiting.waiting.remove(&self.number).is_some() {
            waiting.health.withdraw(&self.candidate.provider, &self.candidate.model, self.number);
        }
    }
}

impl Breaker {
    async fn ask(&self, candidate: &Candidate, caller: Caller) -> Answer {
        let (provider, model) = (&candidate.provider, &candidate.model);
        let (ticket, answer) = {
            let mut waiting = self.lock();
            waiting.tickets += 1;
            let number = waiting.tickets;
            let caller =
                health::Caller { ticket: number, seq: caller.seq, tries: caller.tries, alone: caller.alone };
            match waiting.health.ask(provider, model, caller, now()) {
                Verdict::Admitted(permit) => return Ok(BreakerPermit { breaker: self.clone(), permit }),
                Verdict::Refused { after, code } => return Err((after, code)),
                Verdict::Waiting => {
                    let (sender, answer) = oneshot::channel();
                    waiting.waiting.insert(number, sender);
                    (Ticket { breaker: self, candidate, number }, answer)
                }
            }
        };
        self.decide();
        let answer = answer.await;
        drop(ticket);
        // Only a line that is lost has no answer; then it is tried again soon.
        answer.unwrap_or(Err((Duration::from_secs(1), ErrorCode::Overloaded)))
    }

    /// Changes what is known, lets in those that wait and may, and says what is to be shown.
    fn learn(&self, change: impl FnOnce(&mut Health)) -> Vec<Row> {
        let mut rows = {
            let mut waiting = self.lock();
            change(&mut waiting.health);
            waiting.health.changes(now())
        };
        self.decide();
        for row in &mut rows {
            row.since = clock::to_wall(row.since);
            row.last_error_at = row.last_error_at.map(clock::to_wall);
        }
        rows
    }

    /// Tells those that wait what has been decided about them.
    fn decide(&self) {
        let (answers, alarm) = {
            let mut guard = self.lock();
            let waiting = &mut *guard;
            let decided = waiting.health.decide(now());
            let told = decided.into_iter().map(|(ticket, verdict)| {
                let answer = match verdict {
                    Verdict::Admitted(permit) => Ok(BreakerPermit { breaker: self.clone(), permit }),
                    Verdict::Refused { after, code } => Err((after, code)),
                    Verdict::Waiting => Err((Duration::ZERO, ErrorCode::Overloaded)),
                };
                (waiting.waiting.remove(&ticket), answer)
            });
            let answers: Vec<_> = told.collect();
            let next = waiting.health.next_decision(now());
            let alarm = next.filter(|next| waiting.alarm.is_none_or(|alarm| *next < alarm));
            waiting.alarm = alarm.or(waiting.alarm);
            (answers, alarm)
        };
        // Outside the lock: a permit that is not taken comes back at once.
        for (sender, answer) in answers {
            if let Some(sender) = sender {
                drop(sender.send(answer));
            }
        }
        if let (Some(at), Ok(runtime)) = (alarm, Handle::try_current()) {
            let breaker = self.clone();
            runtime.spawn(async move {
                sleep(Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))).await;
                breaker.lock().alarm = None;
                breaker.decide();
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

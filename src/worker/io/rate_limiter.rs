//! Places at providers, and the rate of submissions: a limit of each key, which all jobs share, and all databases of the cluster. They are
//! those of the newest catalogue that the thread was given, also for jobs that came with an older one and wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::failure::ErrorCode;
use image_gen_engine::fair_queue::FairQueue;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::key_book::{self, KeyBook};

/// A job waits for a place that another database has: so often it is looked whether it was given back.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The limits of all providers, kept by id.
#[derive(Clone)]
pub struct RateLimiter {
    book: Arc<KeyBook>,
    all: Arc<Mutex<All>>,
}

/// One of a provider's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolKey {
    /// Its name; `None` where the provider wants none.
    pub name: Option<String>,
    /// What names it and the provider's address in all databases.
    pub id: u64,
}

#[derive(Default)]
struct All {
    catalogue: Arc<Snapshot>,
    lines: HashMap<String, Line>,
}

/// The jobs that want to call a provider.
struct Line {
    queue: FairQueue<u32, oneshot::Sender<Answer>>,
    /// The keys that there are to call it with.
    keys: Vec<PoolKey>,
    max_in_flight: Option<u32>,
    requests_per_minute: Option<u32>,
    /// Told whenever the rate is another one.
    changed: watch::Sender<()>,
    /// It is being looked whether another database has given a place back.
    looks_again: bool,
}

/// A place, or that all keys rest: for how long, and why.
pub type Answer = Result<InFlightPermit, (Duration, ErrorCode)>;

/// One of the calls in flight that a key may have; given back when it is dropped.
pub struct InFlightPermit {
    limiter: RateLimiter,
    provider: String,
    owner: u32,
    /// The key that it is for.
    pub key: PoolKey,
    /// Whether another key could be used just now as well.
    pub others: bool,
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.limiter.leave(&self.provider, self.owner, self.key.id);
    }
}

impl RateLimiter {
    /// With what is known of keys in this book.
    pub fn new(book: Arc<KeyBook>) -> Self {
        RateLimiter { book, all: Arc::default() }
    }

    /// The limits are those of this catalogue from now on.
    pub fn set(&self, catalogue: &Arc<Snapshot>) {
        let mut all = self.lock();
        if Arc::ptr_eq(&all.catalogue, catalogue) {
            return;
        }
        all.catalogue = catalogue.clone();
        for (provider, line) in &mut all.lines {
            line.set(catalogue, provider, &self.book);
        }
        let providers: Vec<String> = all.lines.keys().cloned().collect();
        drop(all);
        providers.iter().for_each(|provider| self.grant_next(provider));
    }

    /// The keys that have the name of a row of providers may be used for it, but for those that another row names.
    pub fn are_of_others(&self, provider: &str, name: &str) -> bool {
        let of_other = |row: &image_gen_engine::catalogue::Provider| {
            row.id != provider && row.key_name.as_deref() == Some(name)
        };
        self.lock().catalogue.providers().iter().any(of_other)
    }

    /// New keys may have mended what the old ones could not do.
    pub fn forget_accounts(&self) {
        let all = self.lock();
        let keys = all.lines.values().flat_map(|line| &line.keys);
        keys.for_each(|key| self.book.with(key.id, |key, _| key.forget_account()));
    }

    /// Waits for a place at the provider with one of its keys, and for its turn.
    pub async fn enter(&self, provider: &str, owner: u32, keys: Vec<PoolKey>) -> Answer {
        let (granted, mut changed) = self.line_up(provider, owner, keys);
        // Only a line that is lost has no answer; then it is tried again soon.
        let permit = granted.await.unwrap_or(Err((Duration::from_secs(1), ErrorCode::Overloaded)))?;
        let place = self.book.with(permit.key.id, |key, now| key.rate().ask(now));
        loop {
            let wait = self.book.with(permit.key.id, |key, now| key.rate().start(place, now) - now);
            // The runtime's timers count in milliseconds: a sleep until now would cost one.
            let Some(wait) = u64::try_from(wait).ok().filter(|wait| *wait > 0) else { return Ok(permit) };
            tokio::select! {
                () = sleep(Duration::from_micros(wait)) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// A place for a task that is at the provider already: it counts, whatever the limit.
    pub fn resume(&self, provider: &str, owner: u32, key: PoolKey) -> InFlightPermit {
        let mut all = self.lock();
        all.line(provider, &self.book).queue.admit(owner);
        self.book.with(key.id, |key, _| key.admit(self.book.user));
        InFlightPermit { limiter: self.clone(), provider: provider.to_owned(), owner, key, others: false }
    }

    fn line_up(
        &self,
        provider: &str,
        owner: u32,
        keys: Vec<PoolKey>,
    ) -> (oneshot::Receiver<Answer>, watch::Receiver<()>) {
        let (grant, granted) = oneshot::channel();
        let mut all = self.lock();
        let line = all.line(provider, &self.book);
        if line.keys != keys {
            line.keys = keys;
            line.set_rate(&self.book);
        }
        line.queue.line_up(owner, grant);
        let changed = line.changed.subscribe();
        drop(all);
        self.grant_next(provider);
        (granted, changed)
    }

    fn leave(&self, provider: &str, owner: u32, key: u64) {
        if let Some(line) = self.lock().lines.get_mut(provider) {
            line.queue.leave(owner);
        }
        self.book.with(key, |key, _| key.leave(self.book.user));
        self.grant_next(provider);
    }

    /// Gives free places to those who wait. One that is not taken comes back by itself.
    fn grant_next(&self, provider: &str) {
        loop {
            let next = {
                let mut all = self.lock();
                let Some(line) = all.lines.get_mut(provider) else { return };
                line.next(&self.book)
            };
            // Outside the lock: what is not taken is dropped here, and asks for the lock again.
            match next {
                Next::Nothing => return,
                Next::Place { owner, grant, key, others } => {
                    let provider = provider.to_owned();
                    let permit = InFlightPermit { limiter: self.clone(), provider, owner, key, others };
                    drop(grant.send(Ok(permit)));
                }
                Next::Rest { after, code, refused } => {
                    refused.into_iter().for_each(|grant| drop(grant.send(Err((after, code)))));
                    return;
                }
                Next::LookAgain => {
                    let (limiter, whose) = (self.clone(), provider.to_owned());
                    let look = async move {
                        sleep(LOOK_AGAIN).await;
                        limiter.look_no_more(&whose);
                        limiter.grant_next(&whose);
                    };
                    match Handle::try_current() {
                        Ok(runtime) => drop(runtime.spawn(look)),
                        Err(_) => self.look_no_more(provider),
                    }
                    return;
                }
            }
        }
    }

    fn look_no_more(&self, provider: &str) {
        if let Some(line) = self.lock().lines.get_mut(provider) {
            line.looks_again = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn line(&mut self, provider: &str, book: &KeyBook) -> &mut Line {
        let catalogue = &self.catalogue;
        self.lines.entry(provider.to_owned()).or_insert_with(|| {
            let mut line = Line {
                queue: FairQueue::default(),
                keys: vec![],
                max_in_flight: None,
                requests_per_minute: None,
                changed: watch::Sender::new(()),
                looks_again: false,
            };
            line.set(catalogue, provider, book);
            line
        })
    }
}

/// What is to be done for those who wait.
enum Next {
    /// There is no place, or none waits.
    Nothing,
    /// This one has a place.
    Place { owner: u32, grant: oneshot::Sender<Answer>, key: PoolKey, others: bool },
    /// All keys rest, so they are sent away.
    Rest { after: Duration, code: ErrorCode, refused: Vec<oneshot::Sender<Answer>> },
    /// Another database has what they wait for.
    LookAgain,
}

/// A key as far as it concerns the next call.
struct Chance {
    at: usize,
    /// When a call could start with it, and how many are in flight.
    order: (i64, u32),
    has_room: bool,
}

impl Line {
    fn set(&mut self, catalogue: &Snapshot, provider: &str, book: &KeyBook) {
        let row = catalogue.provider(provider);
        self.max_in_flight = row.and_then(|row| row.max_in_flight);
        self.requests_per_minute = row.and_then(|row| row.requests_per_minute);
        self.set_rate(book);
    }

    fn set_rate(&self, book: &KeyBook) {
        let rate = self.requests_per_minute;
        let change = |key: &PoolKey| book.with(key.id, |key, now| key.rate().change(rate, now));
        if self.keys.iter().filter(|key| change(key)).count() > 0 {
            self.changed.send_replace(());
        }
    }

    fn next(&mut self, book: &KeyBook) -> Next {
        if !self.queue.waits(oneshot::Sender::is_closed) {
            self.keys.iter().for_each(|key| book.with(key.id, |key, _| key.waits_no_more(book.user)));
            return Next::Nothing;
        }
        let (limit, user) = (self.max_in_flight, book.user);
        // What is known of the only key is known to the circuit of its provider better, where it was learnt here.
        let apart_from = (self.keys.len() == 1).then_some(user);
        let mut rests: Vec<(i64, ErrorCode)> = vec![];
        let mut chances: Vec<Chance> = vec![];
        for (at, key) in self.keys.iter().enumerate() {
            book.with(key.id, |key, now| {
                // What is known of a key that was used by none may have made place for another.
                if self.requests_per_minute.is_some() && key.rate().is_unlimited() {
                    key.rate().change(self.requests_per_minute, now);
                }
                match key.rests(now, apart_from) {
                    Some((code, left)) => rests.push((left, code)),
                    None => chances.push(Chance {
                        at,
                        order: (key.rate().next_start(now), key.in_flight()),
                        has_room: key.has_room(user, limit),
                    }),
                }
            });
        }
        if chances.is_empty() {
            let (left, code) =
                rests.into_iter().min_by_key(|(left, _)| *left).unwrap_or((1_000_000, ErrorCode::Auth));
            let after = Duration::from_micros(u64::try_from(left).unwrap_or_default());
            return Next::Rest { after, code, refused: self.queue.drain().collect() };
        }
        chances.sort_by_key(|chance| (!chance.has_room, chance.order));
        let others = chances.len() > 1;
        for Chance { at, .. } in chances {
            let Some(key) = self.keys.get(at) else { continue };
            let entered = book.with(key.id, |key, now| {
                let entered = key.enter(user, limit);
                if entered && apart_from.is_none() {
                    key.probe(now);
                }
                entered
            });
            if !entered {
                continue;
            }
            match self.queue.next(oneshot::Sender::is_closed) {
                Some((owner, grant)) => return Next::Place { owner, grant, key: key.clone(), others },
                None => {
                    book.with(key.id, |key, _| key.leave(user));
                    return Next::Nothing;
                }
            }
        }
        // What this database has itself comes back by itself.
        let is_elsewhere = |key: &PoolKey| book.with(key.id, |key, _| key.is_shared_with(user));
        if self.looks_again || !self.keys.iter().any(is_elsewhere) {
            return Next::Nothing;
        }
        self.looks_again = true;
        Next::LookAgain
    }
}

/// The keys of a provider at an address.
pub fn pool(base_url: &str, names: Vec<String>) -> Vec<PoolKey> {
    let key = |name: Option<String>| {
        let id = image_gen_engine::key_use::id(base_url, name.as_deref().unwrap_or_default());
        PoolKey { name, id }
    };
    match names.is_empty() {
        true => vec![key(None)],
        false => names.into_iter().map(|name| key(Some(name))).collect(),
    }
}

/// Microseconds of the clock that all processes share.
pub fn monotonic() -> i64 {
    key_book::now()
}

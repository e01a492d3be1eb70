//! Everything that lasts longer than a request.

use std::any::{Any, TypeId};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::config::Config;
use crate::hash::hex;
use crate::ledger::Ledger;
use crate::picture::Studio;
use crate::rule::RuleBook;
use crate::shelf::Shelf;
use crate::task::TaskBook;

/// The simulator's state.
#[derive(Debug)]
pub(crate) struct World {
    config: Mutex<Arc<Config>>,
    rules: Mutex<RuleBook>,
    ledger: Mutex<Ledger>,
    tasks: Mutex<TaskBook>,
    shelf: Mutex<Shelf>,
    /// What single providers keep for themselves, by its type.
    drawers: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    renders: Mutex<HashMap<(&'static str, String), Renders>>,
    pub studio: Studio,
    /// Makes ids and signatures of one run differ from those of the next.
    nonce: [u8; 32],
    ids: AtomicU64,
    /// Where we listen: `host:port`.
    pub address: String,
}

/// Who is served: a provider, and what tells the key from others.
pub(crate) type Account<'a> = (&'static str, &'a str);

/// The images being drawn for one account, by their ends.
type Renders = BinaryHeap<Reverse<Instant>>;

impl World {
    pub(crate) fn new(config: Config, address: String) -> Self {
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nonce = Sha256::digest(format!("{born:?} {} {address}", std::process::id()));
        Self {
            config: Mutex::new(Arc::new(config)),
            rules: Mutex::default(),
            ledger: Mutex::default(),
            tasks: Mutex::default(),
            shelf: Mutex::default(),
            drawers: Mutex::default(),
            renders: Mutex::default(),
            studio: Studio::default(),
            nonce: nonce.into(),
            ids: AtomicU64::new(0),
            address,
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        lock(&self.config).clone()
    }

    pub(crate) fn set_config(&self, config: Config) {
        *lock(&self.config) = Arc::new(config);
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, RuleBook> {
        lock(&self.rules)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, TaskBook> {
        lock(&self.tasks)
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }

    /// Works on what a provider keeps for itself: new at first and after a reset.
    pub(crate) fn drawer<T: Default + Send + 'static, R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut drawers = lock(&self.drawers);
        let drawer = drawers.entry(TypeId::of::<T>()).or_insert_with(|| Box::<T>::default());
        match drawer.downcast_mut() {
            Some(kept) => work(kept),
            None => work(&mut T::default()),
        }
    }

    /// Forgets everything but the configuration.
    pub(crate) fn reset(&self) {
        self.rules().clear();
        self.ledger().clear();
        self.lose_state();
    }

    /// Forgets what the providers know, and not what was asked of them.
    pub(crate) fn lose_state(&self) {
        self.tasks().clear();
        self.shelf().clear();
        lock(&self.drawers).clear();
        lock(&self.renders).clear();
    }

    /// Starts drawing for an account unless `limit` are at it already. Gives how many are at it then.
    pub(crate) fn begin_render(
        &self,
        (provider, key): Account<'_>,
        now: Instant,
        time: Duration,
        limit: Option<usize>,
    ) -> Result<usize, usize> {
        let mut renders = lock(&self.renders);
        let ends = renders.entry((provider, key.to_owned())).or_default();
        forget_ended(ends, now);
        if limit.is_some_and(|limit| ends.len() >= limit) {
            return Err(ends.len());
        }
        if !time.is_zero() {
            ends.push(Reverse(now + time));
        }
        Ok(ends.len().max(1))
    }

    /// How many images are being drawn for an account.
    pub(crate) fn renders(&self, (provider, key): Account<'_>, now: Instant) -> usize {
        lock(&self.renders).get_mut(&(provider, key.to_owned())).map_or(0, |ends| {
            forget_ended(ends, now);
            ends.len()
        })
    }

    /// Whether a limited account has nothing left.
    pub(crate) fn is_broke(&self, account: Account<'_>) -> bool {
        self.config().balance_of(account.0).is_some_and(|balance| self.ledger().billed_by(account) >= balance)
    }

    /// Thirty-two hex digits that no other call of this run or another gives.
    pub(crate) fn new_id(&self) -> String {
        let n = self.ids.fetch_add(1, Ordering::Relaxed);
        self.sign(&format!("id {n}"))
    }

    /// The same with dashes, as a UUID.
    pub(crate) fn new_uuid(&self) -> String {
        let hex = self.new_id();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Thirty-two hex digits that only this run can make for `text`.
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.nonce);
        hash.update(text);
        hex(&hash.finalize()[..16])
    }
}

fn forget_ended(ends: &mut Renders, now: Instant) {
    while ends.peek().is_some_and(|end| end.0 <= now) {
        ends.pop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unix microseconds.
pub(crate) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

//! What is known of the providers' keys: by all workers of the cluster together where the library is preloaded, else by this one alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use image_gen_engine::key_use::KeyUse;

use crate::shared::{self, Slot};

/// The book, and who writes in it.
pub struct KeyBook {
    /// The worker among those of the cluster.
    pub user: usize,
    is_shared: bool,
    own: Mutex<HashMap<u64, KeyUse>>,
}

impl KeyBook {
    /// That of the worker with this slot of the shared memory.
    pub fn new(slot: Option<&Slot>) -> Self {
        KeyBook { user: slot.map_or(0, Slot::index), is_shared: slot.is_some(), own: Mutex::default() }
    }

    /// Works on what is known of a key; `now` is that of [`now`].
    pub fn with<T>(&self, id: u64, mut work: impl FnMut(&mut KeyUse, i64) -> T) -> T {
        let now = now();
        let shared = shared::get().filter(|_| self.is_shared);
        // Where there are more keys than there is room for, the others are this worker's own, for as long as it uses them.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|_, known| !self.is_shared || !known.is_idle(now));
        if let Some(shared) = shared.filter(|_| !own.contains_key(&id))
            && let Some(done) = shared.keys.with(id, now, |known| work(known, now))
        {
            return done;
        }
        work(own.entry(id).or_insert(KeyUse::NEW), now)
    }
}

/// Microseconds by the machine's clock that cannot be set: the same for all its processes.
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a plain call with a place for its answer; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
}

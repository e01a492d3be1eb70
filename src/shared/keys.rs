//! What the workers of all databases know together of the providers' keys: places, rates, rests. The limits of a key hold for the cluster.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

use image_gen_engine::key_use::{KeyUse, USERS};

use super::MAX_DATABASES;

/// The most keys, each at one address, that are known at a time. One that is used by none makes place for another.
const MAX_KEYS: usize = 256;
/// After so many looks at the lock its holder is let go on, where it waits for a processor.
const SPINS: u32 = 200;

const _: () = assert!(MAX_DATABASES <= USERS);

#[derive(Clone, Copy)]
struct Entry {
    /// [`image_gen_engine::key_use::id`]; 0 is none.
    id: u64,
    known: KeyUse,
}

/// The shared part of it.
pub struct Keys {
    /// Held for some hundred instructions that neither allocate nor raise. A process that is killed within them takes the shared memory
    /// with it: the postmaster makes all of it anew.
    busy: AtomicBool,
    entries: UnsafeCell<[Entry; MAX_KEYS]>,
}

/// The lock, until this is dropped.
struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Keys {
    /// None is known.
    pub const fn new() -> Self {
        let none = Entry { id: 0, known: KeyUse::NEW };
        Keys { busy: AtomicBool::new(false), entries: UnsafeCell::new([none; MAX_KEYS]) }
    }

    /// Works on what is known of a key. `None` when there is no room for a further one.
    pub fn with<T>(&self, id: u64, now: i64, work: impl FnOnce(&mut KeyUse) -> T) -> Option<T> {
        self.locked(|entries| {
            let place = |wanted: &dyn Fn(&Entry) -> bool| entries.iter().position(wanted);
            let at = place(&|entry| entry.id == id)
                .or_else(|| place(&|entry| entry.id == 0))
                .or_else(|| place(&|entry| entry.known.is_idle(now)))?;
            let entry = entries.get_mut(at)?;
            if entry.id != id {
                *entry = Entry { id, known: KeyUse::NEW };
            }
            Some(work(&mut entry.known))
        })
    }

    /// What is known of a key, as it is now; `None` of one that is not known.
    pub fn get(&self, id: u64) -> Option<KeyUse> {
        self.locked(|entries| entries.iter().find(|entry| entry.id == id).map(|entry| entry.known))
    }

    /// A worker ends, or begins: it has no place at any key.
    pub fn forget_user(&self, user: usize) {
        self.locked(|entries| entries.iter_mut().for_each(|entry| entry.known.forget(user)));
    }

    fn locked<T>(&self, work: impl FnOnce(&mut [Entry; MAX_KEYS]) -> T) -> T {
        let mut spins = 0_u32;
        while self.busy.swap(true, Ordering::Acquire) {
            spins = spins.wrapping_add(1);
            match spins % SPINS {
                0 => std::thread::yield_now(),
                _ => spin_loop(),
            }
        }
        let _held = Held(&self.busy);
        // SAFETY: the lock is held, so this is the only reference.
        work(unsafe { &mut *self.entries.get() })
    }
}

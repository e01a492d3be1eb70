//! Shared memory: how a committing session finds the worker of its database without a lock.
//!
//! All fields are atomics. A latch lives in a process's PGPROC, which Postgres never frees, so its address stays
//! valid; setting the latch of a process that has ended, or of its successor, is harmless.

mod keys;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};

/// The most databases of one cluster that can have a worker.
pub const MAX_DATABASES: usize = 64;

/// Bit of [`Slot::wake`]: there is new work.
pub const WORK: u32 = 1;
/// Bit of [`Slot::wake`]: a user wants a job in flight stopped.
pub const CANCEL: u32 = 2;
/// Bit of [`Slot::wake`]: jobs may have lost their row in the queue.
pub const RECONCILE: u32 = 4;
/// Bit of [`Slot::wake`]: a callback may be due.
pub const CALLBACKS: u32 = 8;
/// Bit of [`Slot::wake`]: a message to a webhook may be due.
pub const WEBHOOKS: u32 = 16;
/// Bit of [`Slot::wake`]: the catalogue was changed.
pub const CATALOGUE: u32 = 32;
/// Bit of [`Slot::wake`]: an image may have to be copied to a store.
pub const COPIES: u32 = 64;

/// What a database's sessions and its worker share.
pub struct Slot {
    index: usize,
    database: AtomicU32,
    pid: AtomicI32,
    /// The last worker was told to end: nothing is wrong with it.
    dismissed: AtomicBool,
    latch: AtomicUsize,
    wake: AtomicU32,
    min_seq: AtomicI64,
    completions: AtomicU64,
    /// Signs of life that were asked for so far.
    asked: AtomicU64,
    /// The last of these that the worker has seen.
    answered: AtomicU64,
    finished: UnsafeCell<pg_sys::ConditionVariable>,
}

/// The whole shared structure.
pub struct Shared {
    launcher_latch: AtomicUsize,
    requests: [AtomicU32; MAX_DATABASES],
    assigning: AtomicBool,
    slots: [Slot; MAX_DATABASES],
    /// What the workers know of the providers' keys.
    pub keys: keys::Keys,
}

// SAFETY: atomics, plain numbers behind a lock of their own, and a condition variable that Postgres made for shared memory; no pointer to a process's own
// memory is stored, only addresses inside the shared PGPROC array.
unsafe impl PGRXSharedMemory for Shared {}

// SAFETY: the name is used nowhere else.
static SHARED: PgAtomic<Shared> = unsafe { PgAtomic::new(c"image_gen 0.1") };
static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Asks for the memory; in the postmaster, while libraries are preloaded.
pub fn request() {
    PRELOADED.store(true, Ordering::Relaxed);
    pg_shmem_init!(SHARED = empty());
}

fn empty() -> Shared {
    let slot = |index: usize| {
        let slot = Slot {
            index,
            database: AtomicU32::new(0),
            pid: AtomicI32::new(0),
            dismissed: AtomicBool::new(false),
            latch: AtomicUsize::new(0),
            wake: AtomicU32::new(0),
            min_seq: AtomicI64::new(i64::MAX),
            completions: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            finished: UnsafeCell::new(pg_sys::ConditionVariable::default()),
        };
        // SAFETY: an exclusive reference to memory of the right type; an initialised variable may be moved
        // while no process waits on it.
        unsafe { pg_sys::ConditionVariableInit(slot.finished.get()) };
        slot
    };
    Shared {
        launcher_latch: AtomicUsize::new(0),
        requests: std::array::from_fn(|_| AtomicU32::new(0)),
        assigning: AtomicBool::new(false),
        slots: std::array::from_fn(slot),
        keys: keys::Keys::new(),
    }
}

/// The shared structure; `None` when the library is not preloaded.
pub fn get() -> Option<&'static Shared> {
    PRELOADED.load(Ordering::Relaxed).then(|| SHARED.get())
}

/// Sets the latch at an address out of shared memory.
pub fn set_latch(address: usize) {
    if address != 0 {
        // SAFETY: the address of a latch inside the PGPROC array, see the module's comment.
        unsafe { pg_sys::SetLatch(address as *mut pg_sys::Latch) };
    }
}

fn my_latch() -> usize {
    // SAFETY: every process with shared memory has a latch from its start.
    unsafe { pg_sys::MyLatch as usize }
}

impl Shared {
    /// The slot of a database.
    pub fn slot(&self, database: pg_sys::Oid) -> Option<&Slot> {
        self.slots.iter().find(|s| s.database.load(Ordering::Acquire) == database.to_u32())
    }

    /// Takes the slot of a database for this worker. `Err` is the pid of the worker that has it, or 0 when all
    /// slots are taken.
    pub fn occupy(&self, database: pg_sys::Oid, pid: i32) -> Result<&Slot, i32> {
        while self.assigning.swap(true, Ordering::AcqRel) {
            std::hint::spin_loop();
        }
        let free = || self.slots.iter().find(|s| s.database.load(Ordering::Acquire) == 0);
        let result = match self.slot(database).or_else(free) {
            None => Err(0),
            Some(slot) => match slot.pid.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire) {
                Err(other) => Err(other),
                Ok(_) => {
                    self.keys.forget_user(slot.index);
                    slot.database.store(database.to_u32(), Ordering::Release);
                    slot.latch.store(my_latch(), Ordering::Release);
                    Ok(slot)
                }
            },
        };
        self.assigning.store(false, Ordering::Release);
        result
    }

    /// The launcher has started.
    pub fn has_launcher(&self) -> bool {
        self.launcher_latch.load(Ordering::Acquire) != 0
    }

    /// A further database can have a worker.
    pub fn has_room(&self) -> bool {
        self.slots.iter().any(|s| s.database.load(Ordering::Acquire) == 0)
    }

    /// Names this process as the launcher.
    pub fn launcher_is_me(&self) {
        self.launcher_latch.store(my_latch(), Ordering::Release);
    }

    /// Asks the launcher for a worker.
    pub fn ask_for_worker(&self, database: pg_sys::Oid) {
        let oid = database.to_u32();
        let known = self.requests.iter().any(|r| r.load(Ordering::Acquire) == oid);
        let place = |r: &&AtomicU32| r.compare_exchange(0, oid, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if known || self.requests.iter().find(place).is_some() {
            set_latch(self.launcher_latch.load(Ordering::Acquire));
        }
    }

    /// Takes the next request.
    pub fn take_request(&self) -> Option<pg_sys::Oid> {
        let taken = self.requests.iter().map(|r| r.swap(0, Ordering::AcqRel)).find(|oid| *oid != 0);
        taken.map(pg_sys::Oid::from)
    }

    /// The databases that have a slot and no worker.
    pub fn orphans(&self) -> Vec<pg_sys::Oid> {
        let orphan =
            |s: &&Slot| s.database.load(Ordering::Acquire) != 0 && s.pid.load(Ordering::Acquire) == 0;
        self.slots.iter().filter(orphan).map(|s| s.database.load(Ordering::Acquire).into()).collect()
    }
}

impl Slot {
    /// Tells the worker; wakes it unless it was told before and has not looked yet.
    pub fn wake(&self, bits: u32, seq: i64) {
        self.min_seq.fetch_min(seq, Ordering::AcqRel);
        let before = self.wake.fetch_or(bits, Ordering::AcqRel);
        if before & bits != bits {
            set_latch(self.latch.load(Ordering::Acquire));
        }
    }

    /// What the worker was told since it last asked: bits, and the lowest new seq.
    pub fn told(&self) -> (u32, i64) {
        // The bits first: a caller between the two is seen now or wakes again.
        let bits = self.wake.swap(0, Ordering::AcqRel);
        (bits, self.min_seq.swap(i64::MAX, Ordering::AcqRel))
    }

    /// Its place among the slots: which of the keys' users the worker is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The pid of the worker, 0 when there is none.
    pub fn pid(&self) -> i32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Asks the worker for a sign of life, and gives the number that it will have answered then.
    pub fn ask_for_sign(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        set_latch(self.latch.load(Ordering::Acquire));
        number
    }

    /// The worker lives, and goes round its loop.
    pub fn give_sign(&self) {
        self.answered.store(self.asked.load(Ordering::Acquire), Ordering::Release);
    }

    /// Which sign the worker gave last.
    pub fn last_sign(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// The worker ends because it was told to.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// True once for each worker that was told to end.
    pub fn was_dismissed(&self) -> bool {
        self.dismissed.swap(false, Ordering::AcqRel)
    }

    /// The worker ends; with `forget` the database has no extension any more.
    pub fn leave(&self, forget: bool) {
        self.latch.store(0, Ordering::Release);
        if let Some(shared) = get() {
            // Its places at providers are others' from now on. What it leaves there counts again when its successor follows it.
            shared.keys.forget_user(self.index);
        }
        if forget {
            self.wake.store(0, Ordering::Release);
            self.database.store(0, Ordering::Release);
        }
        self.pid.store(0, Ordering::Release);
    }

    /// How many flushes have finished jobs so far.
    pub fn completions(&self) -> u64 {
        self.completions.load(Ordering::Acquire)
    }

    /// Jobs were finished and committed: wakes those who wait.
    pub fn complete(&self) {
        self.completions.fetch_add(1, Ordering::AcqRel);
        // SAFETY: an initialised condition variable in shared memory.
        unsafe { pg_sys::ConditionVariableBroadcast(self.finished.get()) };
    }

    /// Sleeps until the counter differs from `seen`, or for `ms`.
    pub fn await_completion(&self, seen: u64, ms: i64) {
        // SAFETY: an initialised condition variable in shared memory. An ERROR out of the sleep (a cancelled
        // statement) is cleaned up by the transaction's abort.
        unsafe {
            pg_sys::ConditionVariablePrepareToSleep(self.finished.get());
            while self.completions() == seen {
                let over =
                    pg_sys::ConditionVariableTimedSleep(self.finished.get(), ms, pg_sys::PG_WAIT_EXTENSION);
                if over {
                    break;
                }
            }
            pg_sys::ConditionVariableCancelSleep();
        }
    }
}

//! What the worker had in hand when it died.
//!
//! A job can kill the process that works on it: an image that cannot be decoded in the memory there is, a stack that is too
//! small, an error in a library. Nothing is written to the database before a job is touched, so the worker keeps a record of
//! what it touches in a small file, `pg_stat_tmp/image_gen.OID`, mapped into memory: noting a job is one store, and the
//! page cache survives the process, whatever ends it. The next life reads the record, charges each of these jobs with a
//! death (`sql/queue/deaths.sql`), and starts the slower the more lives before it ended like that.
//!
//! The file is bounded (16 kB), of mode 0600, made anew by each life, and in a folder that base backups and pg_rewind leave
//! out. Where it is missing, of another boot of the machine, of another extension, or no record at all, nothing is known, and
//! the worker works without.

use std::cell::Cell;
use std::ffi::c_int;
use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pgrx::prelude::*;

use crate::pause;

/// How many jobs can be in hand: a whole transaction of the main thread, and all threads that compute.
const HANDS: usize = 1016;
const MAGIC: u64 = u64::from_ne_bytes(*b"imggen01");
/// The pause after the first death; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A worker that lived this long was well: the deaths before it are forgotten.
const WELL: Duration = Duration::from_secs(300);

/// The file, as it lies in memory.
#[repr(C)]
struct Record {
    magic: AtomicU64,
    extension: AtomicU64,
    boot: [AtomicU64; 2],
    /// 1 while the worker works. Still 1 in the next life: it died.
    working: AtomicU64,
    /// How many lives in a row ended like that.
    deaths: AtomicU64,
    /// When this life began, and when it last turned, in milliseconds since the machine was started.
    began: AtomicU64,
    seen: AtomicU64,
    _reserved: [AtomicU64; 8],
    /// Jobs that were in hand in an earlier life, and are not charged with it yet.
    owed: [AtomicI64; HANDS],
    /// Jobs that are in hand.
    hands: [AtomicI64; HANDS],
}

const SIZE: usize = size_of::<Record>();
const WORDS: usize = SIZE / 8;

static RECORD: AtomicPtr<Record> = AtomicPtr::new(null_mut());

thread_local! {
    /// The job whose task this thread is polling; 0 is none.
    static CURRENT: Cell<i64> = const { Cell::new(0) };
}

fn record() -> Option<&'static Record> {
    // SAFETY: null, or a mapping of the right size that is never unmapped; all its fields are atomics, for which any
    // bytes are a value.
    unsafe { RECORD.load(Ordering::Acquire).as_ref() }
}

fn path(database: pg_sys::Oid) -> PathBuf {
    // Relative to the data folder, which is where every process of the server is.
    format!("pg_stat_tmp/image_gen.{}", database.to_u32()).into()
}

/// What the lives before this one left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// So many of them died in a row, the last one among them; 0 when that one ended in order.
    pub deaths: u32,
    /// The jobs (queue.seq) that were in hand, and are not charged with it yet.
    pub in_hand: Vec<i64>,
}

impl Before {
    /// How long to wait before beginning again: a second, doubled with each death, at most `longest`.
    pub fn pause(&self, longest: Duration) -> Duration {
        match self.deaths {
            0 => Duration::ZERO,
            n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(16)).min(longest),
        }
    }
}

/// Reads what the life before left behind, and begins the record of this one.
pub fn begin(database: pg_sys::Oid, extension: pg_sys::Oid) -> Before {
    let boot = boot();
    let mut words = vec![0_u64; WORDS];
    let old = read(&path(database)).filter(|old| {
        old[0] == MAGIC && old[1] == u64::from(extension.to_u32()) && old[2] == boot[0] && old[3] == boot[1]
    });
    let mut before = Before::default();
    let mut in_a_row = 0;
    if let Some(old) = old {
        let (died, lived) = (old[4] == 1, old[7].saturating_sub(old[6]));
        in_a_row = if lived >= WELL.as_millis() as u64 { 0 } else { old[5].min(1_000) };
        in_a_row += u64::from(died);
        let (owed, hands) = old[WORDS - 2 * HANDS..].split_at(HANDS);
        let hands = if died { hands } else { &[] };
        before.in_hand = owed.iter().chain(hands).map(|seq| *seq as i64).filter(|seq| *seq > 0).collect();
        before.in_hand.sort_unstable();
        before.in_hand.dedup();
        before.deaths = if died { in_a_row as u32 } else { 0 };
    }
    let now = uptime();
    words[..8].copy_from_slice(&[
        MAGIC,
        u64::from(extension.to_u32()),
        boot[0],
        boot[1],
        1,
        in_a_row,
        now,
        now,
    ]);
    // What does not fit is forgiven.
    let owed = &mut words[WORDS - 2 * HANDS..WORDS - HANDS];
    owed.iter_mut().zip(&before.in_hand).for_each(|(cell, seq)| *cell = *seq as u64);
    match map(&path(database), &words) {
        Ok(record) => {
            RECORD.store(record, Ordering::Release);
            // SAFETY: a static function; it runs at the end of a process that ends in order, and only then.
            unsafe { pg_sys::before_shmem_exit(Some(at_exit), pg_sys::Datum::from(0)) };
        }
        Err(why) => {
            let file = path(database);
            log!(
                "image_gen: no record of what is in hand ({}: {why}): after a crash nothing is known",
                file.display()
            );
        }
    }
    before
}

/// The deaths that [`begin`] told of are in the database.
pub fn charged() {
    if let Some(record) = record() {
        record.owed.iter().for_each(|cell| cell.store(0, Ordering::SeqCst));
    }
}

/// The worker turns.
pub fn turn() {
    if let Some(record) = record() {
        record.seen.store(uptime(), Ordering::Relaxed);
    }
}

/// The process is told to end, or ends by itself: what is in hand is not to blame. Safe in a signal handler.
pub fn ends_in_order() {
    if let Some(record) = record() {
        record.working.store(0, Ordering::SeqCst);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_exit(_code: c_int, _arg: pg_sys::Datum) {
    ends_in_order();
}

/// Removes the record of a database that has no worker any more.
pub fn forget(database: pg_sys::Oid) {
    // There may be none.
    let _ = fs::remove_file(path(database));
}

/// A job is in hand until this is dropped.
pub struct Hand(Option<&'static AtomicI64>);

impl Drop for Hand {
    fn drop(&mut self) {
        if let Some(cell) = self.0 {
            cell.store(0, Ordering::SeqCst);
        }
    }
}

/// Takes a job (queue.seq) in hand.
pub fn hand(seq: i64) -> Hand {
    hands([seq]).pop().unwrap_or(Hand(None))
}

/// Takes jobs in hand.
pub fn hands(seqs: impl IntoIterator<Item = i64>) -> Vec<Hand> {
    let Some(record) = record() else { return vec![] };
    let mut cells = record.hands.iter();
    let mut take = |seq: i64| {
        let free =
            |cell: &&AtomicI64| cell.compare_exchange(0, seq, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        Hand(cells.find(free))
    };
    seqs.into_iter().filter(|seq| *seq > 0).map(&mut take).collect()
}

/// A job's task: whenever it is polled, the job is in hand.
pub struct Watched<F> {
    seq: i64,
    task: Pin<Box<F>>,
}

impl<F> Watched<F> {
    /// The task of the job with this queue.seq.
    pub fn new(seq: i64, task: F) -> Self {
        Watched { seq, task: Box::pin(task) }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        struct Before(i64);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _hand = hand(self.seq);
        let _before = Before(CURRENT.replace(self.seq));
        self.task.as_mut().poll(context)
    }
}

/// Work for another thread, with which the job of this thread is in hand.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let seq = CURRENT.get();
    move || {
        let _hand = hand(seq);
        pause::poison("compute", &seq.to_string());
        work()
    }
}

/// The whole file, if it is one of ours.
fn read(path: &PathBuf) -> Option<Vec<u64>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let facts = file.metadata().ok()?;
    if !facts.is_file() || facts.len() != SIZE as u64 {
        return None;
    }
    let mut bytes = vec![0; SIZE];
    file.read_exact(&mut bytes).ok()?;
    let word = |chunk: &[u8]| u64::from_ne_bytes(chunk.try_into().unwrap_or_default());
    Some(bytes.chunks_exact(8).map(word).collect())
}

/// Puts a new file in the place of the old one, and maps it.
fn map(path: &PathBuf, words: &[u64]) -> std::io::Result<*mut Record> {
    let fresh = path.with_extension(format!("{}.new", path.extension().unwrap_or_default().display()));
    match fs::remove_file(&fresh) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(flags);
    let mut file: File = options.open(&fresh)?;
    // Written, not only made longer: a store into a hole of a full disk would be a SIGBUS.
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    file.write_all(&bytes)?;
    // SAFETY: a new mapping of a file that is as long; it outlives the descriptor.
    let memory = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(null_mut(), SIZE, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    // Only now: until then the old one tells what happened.
    fs::rename(&fresh, path)?;
    Ok(memory.cast())
}

/// Milliseconds since the machine was started; that clock cannot be set.
fn uptime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

/// Which start of the machine this is: what a power cut left behind is no job's fault.
fn boot() -> [u64; 2] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    let number = u128::from_str_radix(&digits, 16).unwrap_or(0);
    [(number >> 64) as u64, number as u64]
}

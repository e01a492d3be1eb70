//! From the start of the process to the first round: whether this worker may work, which life it is, and what the life before
//! has left behind.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::config::{config, load_keys};
use super::io::Io;
use super::transaction::Failed;
use super::wait_set::WaitSet;
use super::{Life, Worker, fence, limits, process, queue, trace, transaction, user_code};
use crate::settings;
use crate::shared::{self, Slot};

/// The worker's main function; its argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_worker_main(arg: pg_sys::Datum) {
    process::install_signal_handlers();
    let database = pg_sys::Oid::from(arg.value() as u32);
    // SAFETY: once, at the start. As the bootstrap superuser, because a role without LOGIN cannot connect before
    // PostgreSQL 17; every transaction then runs as image_gen_worker.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0) };
    process::pin_settings(process::Code::Ours);
    user_code::watch_triggers();
    crate::pause::start();
    let end = serve(database);
    process::end(end);
}

/// Why a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The extension is not in this database (any more).
    Absent,
    /// Another worker of this database runs.
    Duplicate,
    /// It was told to, or cannot go on: it is started again.
    Restart,
}

fn serve(database: pg_sys::Oid) -> End {
    let extension = match transaction::extension() {
        Ok(extension) => extension,
        Err(Failed::Gone) => {
            if let Some(slot) = shared::get().and_then(|s| s.slot(database)) {
                slot.leave(true);
            }
            return End::Absent;
        }
        Err(Failed::Error(_) | Failed::Poison(_)) => return End::Restart,
    };
    let slot = match process::be_the_only_one(database, extension) {
        Ok(slot) => slot,
        Err(()) => return End::Duplicate,
    };
    let mode = if slot.is_some() { "preloaded" } else { "dynamic" };
    let wait_set = WaitSet::new();
    let before = trace::begin(database, extension);
    rest(&before, slot, &wait_set);
    match fence::until_allowed(extension, slot, mode, &wait_set) {
        Ok(()) => {}
        Err(Failed::Gone) => return absent_or_restart(slot),
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    }
    if process::must_stop() {
        return End::Restart;
    }
    let limit = limits::raise(settings::MAX_IN_FLIGHT.get());
    let (keys, wrong_with_keys) = load_keys();
    let epoch = match queue::start_epoch(extension, mode, &limit, &keys.names(), &before.in_hand) {
        Ok(epoch) => epoch,
        Err(Failed::Gone) => return End::Absent,
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    };
    trace::charged();
    process::show_name(&format!("epoch {epoch}"));
    if let Some(slot) = slot {
        // Jobs whose fate the last life did not learn have ended just now.
        slot.complete();
    }
    let all_over_to = match queue::all_over_to(extension) {
        Ok(seq) => seq,
        Err(Failed::Gone) => return absent_or_restart(slot),
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    };
    let io = match Io::start(config(keys.clone()), limit.cap, &wait_set, slot) {
        Ok(io) => io,
        Err(why) => {
            log!("image_gen: the worker cannot start its network thread: {why}");
            return End::Restart;
        }
    };
    let mut worker = Worker::new(Life { extension, epoch, slot, all_over_to }, limit.cap, io, keys);
    wrong_with_keys.iter().for_each(|why| worker.complaints.say(extension, why));
    match worker.run(&wait_set) {
        End::Absent => absent_or_restart(slot),
        end => end,
    }
}

/// After a crash: the longer, the more lives in a row ended like that. It survives a restart of the whole server, which each of
/// them is.
fn rest(before: &trace::Before, slot: Option<&'static Slot>, wait_set: &WaitSet) {
    let longest = || Duration::from_secs(settings::MAX_RESTART_PAUSE.get() as u64);
    let start = Instant::now();
    let left = |longest| before.pause(longest).saturating_sub(start.elapsed());
    if before.deaths > 0 {
        let pause = before.pause(longest()).as_secs();
        let times = if before.deaths == 1 { "once" } else { &format!("{} times in a row", before.deaths) };
        log!("image_gen: the worker has crashed {times}; it begins again in {pause} s");
        process::show_name("rests after a crash");
    }
    while !process::must_stop() && !left(longest()).is_zero() {
        if let Some(slot) = slot {
            slot.give_sign();
        }
        wait_set.sleep(left(longest()));
        if process::must_reload() {
            process::read_config_file();
        }
    }
}

/// The end of a worker whose extension is gone. Dropped and created again is another extension: the next life serves it.
fn absent_or_restart(slot: Option<&'static Slot>) -> End {
    if !matches!(transaction::extension(), Err(Failed::Gone)) {
        return End::Restart;
    }
    // SAFETY: set when the process connected.
    trace::forget(unsafe { pg_sys::MyDatabaseId });
    if let Some(slot) = slot {
        slot.leave(true);
    }
    End::Absent
}

fn cannot_start(why: &str) -> End {
    log!("image_gen: the worker cannot start: {why}");
    End::Restart
}

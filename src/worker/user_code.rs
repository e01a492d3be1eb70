//! Code that is not ours: an administrator's functions, and triggers that owners of our tables have put on them.
//!
//! A function runs as its owner, who may be blamed for what it does, in a security context that it cannot leave, without the
//! settings that it changes, and for a limited time. A trigger runs where an image is written; it must not keep the image from
//! being written, nor the worker from working: what fails or takes too long is left out, and that is said.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::process::{StatementTimeout, must_stop};
use super::transaction::Failed;
use crate::acting::act_as;

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

/// A function that may be called.
#[derive(PartialEq, Eq)]
struct Callable {
    function: pg_sys::Oid,
    owner: pg_sys::Oid,
    owner_name: String,
    /// `schema.name`, quoted.
    name: String,
}

fn look_up(signature: &str) -> Result<Callable, Failed> {
    let found = Spi::connect(|client| {
        let question = "SELECT c.function, c.owner, pg_catalog.pg_get_userbyid(c.owner)::text, c.called FROM image_gen_internal.resolve_callback($1) c";
        let row = client.select(question, Some(1), &[signature.into()])?.first();
        Ok((
            row.get::<pg_sys::Oid>(1)?,
            row.get::<pg_sys::Oid>(2)?,
            row.get::<String>(3)?,
            row.get::<String>(4)?,
        ))
    });
    match found.map_err(spi)? {
        (Some(function), Some(owner), Some(owner_name), Some(name)) => {
            Ok(Callable { function, owner, owner_name, name })
        }
        _ => Err(Failed::Error(format!("function {signature} cannot be looked up"))),
    }
}

/// The name of a role, or the oid of one that was dropped.
fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: in a transaction; no name is a null pointer, else it is a string of its own.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        match name.is_null() {
            true => role.to_u32().to_string(),
            false => std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned(),
        }
    }
}

/// Calls a function as its owner, within a transaction: `body` gets its quoted name. `signature` is `schema.name(types)`; where
/// `owner` is given, another owner's function is not called.
pub fn call<R>(
    signature: &str,
    owner: Option<pg_sys::Oid>,
    limit: Duration,
    body: impl FnOnce(&str) -> Result<R, Failed>,
) -> Result<R, Failed> {
    let found = look_up(signature)?;
    // SAFETY: in a transaction, on the main thread: a lock, as DROP FUNCTION takes it, and a snapshot that is popped again.
    let still = unsafe {
        pg_sys::LockDatabaseObject(
            pg_sys::ProcedureRelationId,
            found.function,
            0,
            pg_sys::AccessShareLock as _,
        );
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let still = look_up(signature);
        pg_sys::PopActiveSnapshot();
        still?
    };
    if still != found {
        return Err(Failed::Error(format!("function {signature} was just replaced")));
    }
    if let Some(owner) = owner.filter(|owner| *owner != found.owner) {
        let (then, now) = (role_name(owner), &found.owner_name);
        return Err(Failed::Error(format!(
            "function {signature} belonged to {then} when it was registered, and belongs to {now} now"
        )));
    }
    act_as(found.owner, || {
        let limited = StatementTimeout::start(limit.as_millis().min(i32::MAX as u128) as i32);
        let result = body(&found.name);
        drop(limited);
        result
    })
}

/// How long a transaction of the worker in which such triggers may run can take.
const LIMIT: Duration = Duration::from_secs(2);
/// After one that took longer they are left out for so long: they can waste a small part of the worker's time only.
const REST: Duration = Duration::from_secs(60);

/// Relations have changed since it was last looked whether there are triggers.
static CHANGED: AtomicBool = AtomicBool::new(true);

/// What the worker's main thread knows of triggers on our tables that are not ours.
#[derive(Clone, Copy)]
struct Triggers {
    /// This process looks after them.
    watched: bool,
    present: bool,
    /// They are left out until then,
    rest_until: Option<Instant>,
    /// and in the transaction at hand.
    left_out: bool,
}

thread_local! {
    static TRIGGERS: Cell<Triggers> =
        const { Cell::new(Triggers { watched: false, present: false, rest_until: None, left_out: false }) };
}

#[pg_guard]
unsafe extern "C-unwind" fn relation_changed(_arg: pg_sys::Datum, _relation: pg_sys::Oid) {
    CHANGED.store(true, Ordering::Relaxed);
}

/// From now on, triggers are bounded in the transactions of this process.
pub fn watch_triggers() {
    // SAFETY: a static function, registered once in the life of a process.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::from(0)) };
    TRIGGERS.set(Triggers { watched: true, ..TRIGGERS.get() });
}

/// True while triggers are left out. With them are the foreign keys, so nothing may be deleted then that others refer to.
pub fn triggers_rest() -> bool {
    TRIGGERS.get().rest_until.is_some_and(|until| Instant::now() < until)
}

/// True where there are triggers, and they fire.
pub fn triggers_fire() -> bool {
    let known = TRIGGERS.get();
    known.watched && known.present && !known.left_out && !triggers_rest()
}

/// Runs a transaction in which they do not fire.
pub fn without_triggers<R>(write: impl FnOnce() -> R) -> R {
    TRIGGERS.set(Triggers { left_out: true, ..TRIGGERS.get() });
    let result = write();
    TRIGGERS.set(Triggers { left_out: false, ..TRIGGERS.get() });
    result
}

/// In a transaction of the worker, before its first statement: bounds triggers as long as what it gives lives, or leaves them out.
pub fn bound_triggers() -> Result<Option<StatementTimeout>, Failed> {
    let mut known = TRIGGERS.get();
    if !known.watched {
        return Ok(None);
    }
    if CHANGED.swap(false, Ordering::Relaxed) {
        // A look that fails is made again.
        known.present = present().inspect_err(|_| CHANGED.store(true, Ordering::Relaxed))?;
        TRIGGERS.set(known);
    }
    if !known.present {
        return Ok(None);
    }
    if triggers_fire() {
        return Ok(Some(StatementTimeout::start(LIMIT.as_millis() as i32)));
    }
    // SAFETY: two static texts, on the main thread; undone by the end of the transaction.
    unsafe {
        pg_sys::set_config_option(
            c"session_replication_role".as_ptr(),
            c"replica".as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        );
    }
    Ok(None)
}

/// A transaction that began at `start`, and in which triggers fired, has failed: was it because they took too long?
pub fn blame_triggers(start: Instant, why: &str) {
    if start.elapsed() >= LIMIT && !must_stop() {
        let known = TRIGGERS.get();
        TRIGGERS.set(Triggers { rest_until: Some(Instant::now() + REST), ..known });
        log!("image_gen: triggers on its tables took too long, and are left out for a minute: {why}");
    }
}

/// Whether anything but ours would fire.
fn present() -> Result<bool, Failed> {
    Spi::connect(|client| {
        let question = "SELECT EXISTS (
            SELECT FROM pg_catalog.pg_trigger t
              JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
             WHERE n.nspname = 'image_gen' AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND p.pronamespace <> n.oid)";
        client.select(question, Some(1), &[])?.first().get_one::<bool>()
    })
    .map(|found| found == Some(true))
    .map_err(spi)
}

//! The process that calls functions registered with `image_gen.on_finish()`: a process of its own, so that the worker waits for
//! none of them, and nothing that they leave in a session reaches it. The worker starts it when a callback is due; it ends when
//! none has been for some seconds.

use std::time::{Duration, Instant};

use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::helper::Helper;
use super::process;
use super::transaction::{self, Failed, as_worker};
use super::user_code;
use crate::settings;

/// It waits so long for the next callback before it ends.
const LINGER: Duration = Duration::from_secs(5);

/// The process, as the worker sees it.
pub fn helper(now: Instant) -> Helper {
    Helper::new("image_gen callbacks", "image_gen_callbacks_main", now)
}

/// A call that is due.
struct Call {
    id: i64,
    hook: i64,
    signature: String,
    owner: pg_sys::Oid,
    /// `None`: its job was pruned.
    /// JSON, as it is: metadata may be nested deeper than readers of JSON go, and have numbers larger than theirs.
    event: Option<String>,
}

/// The process's main function; its argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_callbacks_main(arg: pg_sys::Datum) {
    process::die_on_sigterm();
    // SAFETY: once, at the start, as the worker does.
    unsafe {
        let database = pg_sys::Oid::from(arg.value() as u32);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    process::pin_settings(process::Code::Theirs);
    let Ok(extension) = transaction::extension() else { return };
    let mut idle_since = Instant::now();
    loop {
        match next(extension) {
            Ok(Some(call)) => {
                run(extension, &call);
                idle_since = Instant::now();
                continue;
            }
            Ok(None) if idle_since.elapsed() < LINGER => {}
            Ok(None) | Err(Failed::Gone) => return,
            Err(Failed::Error(why) | Failed::Poison(why)) => {
                log!("image_gen: callbacks: {why}");
                return;
            }
        }
        transaction::report_statistics();
        if !BackgroundWorker::wait_latch(Some(LINGER)) {
            return;
        }
        if BackgroundWorker::sighup_received() {
            process::read_config_file();
        }
    }
}

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

fn next(extension: pg_sys::Oid) -> Result<Option<Call>, Failed> {
    as_worker(extension, "look for callbacks", || {
        Spi::connect(|client| {
            let question =
                "SELECT id, hook, signature, owner::oid, event::text FROM image_gen_internal.take_callback()";
            let row = client.select(question, Some(1), &[])?.first();
            let (id, hook) = (row.get::<i64>(1)?, row.get::<i64>(2)?);
            let (signature, owner) = (row.get::<String>(3)?, row.get::<pg_sys::Oid>(4)?);
            let event = row.get::<String>(5)?;
            Ok(match (id, hook, signature, owner) {
                (Some(id), Some(hook), Some(signature), Some(owner)) => {
                    Some(Call { id, hook, signature, owner, event })
                }
                _ => None,
            })
        })
        .map_err(spi)
    })
}

/// Calls the function, and notes in the same transaction that it was called; or, in another one, why not.
fn run(extension: pg_sys::Oid, call: &Call) {
    let limit = Duration::from_millis(settings::CALLBACK_TIMEOUT.get() as u64);
    // Code that goes on after a cancel ends with the process.
    let last = process::Deadline::start(limit * 2 + Duration::from_secs(1));
    let called = as_worker(extension, "call back", || {
        let mut answer = None;
        if let Some(event) = &call.event {
            answer = user_code::call(&call.signature, Some(call.owner), limit, |name| {
                Spi::connect_mut(|client| {
                    let call = format!("SELECT ({name}($1::pg_catalog.jsonb))::pg_catalog.text");
                    client.update(&call, Some(1), &[event.as_str().into()])?.first().get_one::<String>()
                })
                .map_err(spi)
            })?;
        }
        Spi::connect(|client| {
            let arguments = [call.id.into(), answer.into()];
            client.select("SELECT image_gen_internal.callback_done($1, $2)", None, &arguments).map(drop)
        })
        .map_err(spi)
    });
    drop(last);
    // SAFETY: outside a transaction. What code can leave in a session is gone before the next one's runs.
    unsafe {
        pg_sys::LockReleaseAll(pg_sys::USER_LOCKMETHOD as _, true);
        pg_sys::DropAllPreparedStatements();
    }
    let (Err(Failed::Error(why)) | Err(Failed::Poison(why))) = called else { return };
    let noted = as_worker(extension, "note a callback", || {
        Spi::connect(|client| {
            let arguments = [call.id.into(), call.hook.into(), why.as_str().into()];
            client.select("SELECT image_gen_internal.callback_failed($1, $2, $3)", None, &arguments).map(drop)
        })
        .map_err(spi)
    });
    if let Err(Failed::Error(second) | Failed::Poison(second)) = noted {
        log!("image_gen: callback {} ({}): {why}; and: {second}", call.id, call.signature);
    }
}

//! A worker that may not work: its database is a copy of the one that was allowed. It claims nothing, follows nothing and
//! asks no provider, until an administrator calls `image_gen.resume()`.

use std::time::Duration;

use pgrx::prelude::*;

use super::process;
use super::queue;
use super::transaction::Failed;
use super::wait_set::WaitSet;
use crate::settings;
use crate::shared::Slot;

/// Returns when paid work may run here, or the process must end.
pub fn until_allowed(
    extension: pg_sys::Oid,
    slot: Option<&'static Slot>,
    mode: &str,
    wait_set: &WaitSet,
) -> Result<(), Failed> {
    let mut said = None;
    loop {
        // Before the look: who wakes it from now on is heard.
        slot.map(Slot::told);
        if let Some(slot) = slot {
            slot.give_sign();
        }
        let fenced = match queue::hold(extension, mode) {
            // What a SIGTERM cancelled is no error.
            Err(_) if process::must_stop() => return Ok(()),
            fenced => fenced?,
        };
        let Some(why) = fenced else { return Ok(()) };
        if said.as_ref() != Some(&why) {
            say(&why);
            process::show_name("fenced");
            said = Some(why);
        }
        wait_set.sleep(Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64));
        if process::must_stop() {
            return Ok(());
        }
        if process::must_reload() {
            process::read_config_file();
        }
    }
}

/// One line in the log.
pub fn say(why: &str) {
    log!("image_gen: paid work is fenced off: {why}");
}

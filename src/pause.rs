//! Places where a test can hold the worker, to kill it there and nowhere else. The hidden setting
//! `image_gen.pause_points`, which only the configuration of a starting server can have, names a folder; without it a
//! place costs one look at an empty cell. So what the tests kill is what is installed.
//!
//! What comes to a place writes `PLACE.reached.JOB` into the folder and stays while `PLACE.hold` is there. A worker
//! that must end is not held. Where `PLACE.poison.JOB` is there, the process aborts, as it would on an image that it cannot
//! bear.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use pgrx::prelude::*;
use tokio::sync::watch;

use crate::settings;

/// How often a held thread looks whether it may go on.
const STEP: Duration = Duration::from_millis(2);

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Reads the setting, once in the life of a worker.
pub fn start() {
    let folder = settings::text(&settings::PAUSE_POINTS);
    if !folder.is_empty() {
        let _ = FOLDER.set(folder.into());
    }
}

/// The file that holds this place; `None` where no process is held.
fn hold(place: &str, job: &str) -> Option<PathBuf> {
    let folder = FOLDER.get()?;
    let hold = folder.join(format!("{place}.hold"));
    hold.exists().then(|| {
        // A test that cannot be told waits in vain, and says so.
        let _ = std::fs::write(folder.join(format!("{place}.reached.{job}")), "");
        hold
    })
}

/// A place where a job can be the death of the process.
pub fn poison(place: &str, job: &str) {
    if FOLDER.get().is_some_and(|folder| folder.join(format!("{place}.poison.{job}")).exists()) {
        std::process::abort();
    }
}

/// A place of the network thread: the others go on.
pub async fn at(place: &str, job: &str, stop: &watch::Receiver<bool>) {
    poison(place, job);
    let Some(hold) = hold(place, job) else { return };
    while hold.exists() && !*stop.borrow() {
        tokio::time::sleep(STEP).await;
    }
}

/// A place of the main thread, inside a transaction.
pub fn in_transaction(place: &str, job: &str, must_stop: fn() -> bool) {
    poison(place, job);
    let Some(hold) = hold(place, job) else { return };
    while hold.exists() && !must_stop() {
        std::thread::sleep(STEP);
    }
    check_for_interrupts!();
}

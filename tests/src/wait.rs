//! Waiting for something that happens in another process.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Waits until `look` finds something, and gives how long that took.
///
/// # Panics
/// After `timeout`, naming what did not happen.
pub fn eventually<T>(what: &str, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < timeout, "not within {timeout:?}: {what}");
        sleep(STEP);
    }
}

/// Waits until `condition` holds, and gives how long that took.
///
/// # Panics
/// After `timeout`, naming what did not happen.
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    eventually(what, timeout, || condition().then_some(()));
    start.elapsed()
}

/// Seconds, written shorter.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

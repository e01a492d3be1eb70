//! The network thread's clock. It counts on from the moment at which it was first read, and cannot be set: what waits
//! for an answer does not give up because the machine's clock was corrected.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), wall()));

/// Milliseconds of Unix time, for as long as the machine's clock is not set.
pub fn now() -> i64 {
    let (start, at) = *START;
    at.saturating_add(i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX))
}

/// A moment of the machine's clock, as the database writes it, by this clock.
pub fn from_wall(at: i64) -> i64 {
    at.saturating_add(now() - wall())
}

/// A moment of this clock by the machine's, to be shown.
pub fn to_wall(at: i64) -> i64 {
    at.saturating_add(wall() - now())
}

fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

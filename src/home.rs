//! Which database this is: what `image_gen.home` remembers of where paid work was allowed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use pgrx::prelude::*;

/// This cluster, its timeline, this database, its data folder, and the version of this library.
#[pg_extern(stable, parallel_unsafe)]
pub fn _here() -> TableIterator<
    'static,
    (
        name!(system, String),
        name!(timeline, i64),
        name!(database, i64),
        name!(files, String),
        name!(version, String),
    ),
> {
    // SAFETY: plain look-ups in shared memory and in this session; a standby has no timeline of its own to write on.
    let (system, timeline, database) = unsafe {
        let timeline = if pg_sys::RecoveryInProgress() { 0 } else { pg_sys::GetWALInsertionTimeLine() };
        (pg_sys::GetSystemIdentifier(), timeline, pg_sys::MyDatabaseId.to_u32())
    };
    TableIterator::once((
        system.to_string(),
        i64::from(timeline),
        i64::from(database),
        files(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ))
}

/// Tells a data folder from its copies. `PG_VERSION` is written by initdb and never again; a copy of the file is another
/// file, born later. (A snapshot of the whole volume is not told apart.)
fn files() -> String {
    // SAFETY: set before any session starts, never changed.
    let folder = unsafe { std::ffi::CStr::from_ptr(pg_sys::DataDir) }.to_string_lossy();
    let Ok(facts) = std::fs::metadata(Path::new(&*folder).join("PG_VERSION")) else {
        return "unknown".into();
    };
    let born = facts.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or_else(|| "unknown".into(), |at| at.as_micros().to_string());
    format!("inode {} born {born}", facts.ino())
}

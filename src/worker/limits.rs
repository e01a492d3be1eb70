//! How many requests the process can have in flight: its file descriptors decide.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The effective cap and its reason, for worker_status.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Jobs in flight.
    pub cap: usize,
    /// Why not more.
    pub reason: String,
}

/// Descriptors that Postgres itself may want in this process (max_files_per_process is 1000 by default; the worker
/// opens a handful of tables), and those of the runtime.
const RESERVE: u64 = 256;

/// Raises the soft limit of open files as far as needed and allowed. A normal start leaves it at 1024.
pub fn raise(wanted: i32) -> Limit {
    let wanted = u64::try_from(wanted).unwrap_or(1);
    let now = getrlimit(Resource::Nofile);
    // A job has at most two connections at a time: its provider's and its image's.
    let need = wanted * 2 + RESERVE;
    let hard = now.maximum.unwrap_or(u64::MAX);
    let soft = now.current.unwrap_or(u64::MAX);
    let mut have = soft;
    if soft < need {
        let raised = need.min(hard);
        if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: now.maximum }).is_ok() {
            have = raised;
        }
    }
    let possible = have.saturating_sub(RESERVE) / 2;
    if possible >= wanted {
        Limit { cap: wanted as usize, reason: "image_gen.max_in_flight".into() }
    } else {
        let reason =
            format!("the limit of {have} open files allows {possible} of image_gen.max_in_flight = {wanted}");
        Limit { cap: possible.max(1) as usize, reason }
    }
}

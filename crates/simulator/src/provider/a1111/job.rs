//! The job that the server works on, and the checkpoint that it has loaded.

use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::micros;
use crate::desk::Desk;
use crate::fault::Fault;
use crate::world::World;

use super::{NAME, installed};

const CHECKPOINT: &str = "a1111/checkpoint";
const JOB: &str = "a1111/job";

/// A job's place in the queue.
pub(super) struct Job {
    /// Until its images are there.
    pub wait: Duration,
    pub in_flight: usize,
}

/// The title of the checkpoint that draws unless a request names another.
pub(super) fn checkpoint(world: &World) -> String {
    world.shelf().note(CHECKPOINT).as_str().unwrap_or(installed::CHECKPOINTS[0].0).to_owned()
}

pub(super) fn load(world: &World, title: &str) {
    world.shelf().put_note(CHECKPOINT, &title.into());
}

/// Puts a job that takes `time` at the end of the queue.
pub(super) fn begin(desk: &Desk<'_>, time: Duration, steps: u64) -> Job {
    let start = {
        let mut shelf = desk.world.shelf();
        let free = shelf.note(JOB)["end"].as_u64().unwrap_or(0);
        let start = free.max(desk.now_us);
        let end = start.saturating_add(micros(time));
        let note = json!({"start": start, "end": end, "steps": steps, "interrupted": false});
        shelf.put_note(JOB, &note);
        start
    };
    let wait = time.saturating_add(Duration::from_micros(start - desk.now_us));
    // Jobs wait rather than being turned away, so there is no limit.
    let (Ok(in_flight) | Err(in_flight)) = desk.world.begin_render(desk.account(NAME), desk.now, wait, None);
    Job { wait, in_flight }
}

/// How far the last job of the queue is. A busy server knows no more than that.
pub(super) fn progress(desk: &Desk<'_>) -> Answer {
    let job = desk.world.shelf().note(JOB);
    let count = desk.world.renders(desk.account(NAME), desk.now);
    let get = |name: &str| job[name].as_u64().unwrap_or(0);
    let (start, end, steps) = (get("start"), get("end"), get("steps"));
    let busy = count > 0 && end > desk.now_us && !matches!(desk.fault, Some(Fault::TaskNotFound));
    let done = desk.now_us.saturating_sub(start);
    let whole = end.saturating_sub(start).max(1);
    let part = if busy { (done as f64 / whole as f64).min(1.0) } else { 0.0 };
    let left = if busy { end.saturating_sub(desk.now_us) as f64 / 1e6 } else { 0.0 };
    let step = if busy {
        u64::try_from(u128::from(steps) * u128::from(done) / u128::from(whole)).unwrap_or(0)
    } else {
        0
    };
    let state = json!({
        "skipped": false,
        "interrupted": busy && job["interrupted"] == true,
        "job": if busy { "scripts_txt2img" } else { "" },
        "job_count": if busy { count } else { 0 },
        "job_no": 0,
        "sampling_step": step,
        "sampling_steps": if busy { steps } else { 0 },
    });
    let body = json!({
        "progress": part,
        "eta_relative": left,
        "state": state,
        "current_image": Value::Null,
        "textinfo": Value::Null,
    });
    Answer::ok(if busy { "pending" } else { "answered" }, body)
}

/// Notes that the job is to stop. Its answer is on its way already and comes when it comes.
pub(super) fn interrupt(desk: &Desk<'_>) {
    let mut shelf = desk.world.shelf();
    let mut job = shelf.note(JOB);
    if job.is_object() {
        job["interrupted"] = true.into();
        shelf.put_note(JOB, &job);
    }
}

//! The places in a job's life, and what a kill there must lead to.

use std::fmt;

use serde_json::json;

use super::field::{Field, Kind, Manner};
use super::kill::Kill;
use crate::wait::{secs, wait_until};

/// A place in a job's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before the intent to send commits.
    Begin,
    /// In the middle of the transaction that writes the intent.
    FlushBegin,
    /// After that, before the request is sent.
    Begun,
    /// The request was written, and no answer has come.
    Sent,
    /// The answer is there, and nothing of it is written down.
    Answered,
    /// In the middle of the transaction that writes the task's id.
    FlushCheckpoint,
    /// While an accepted task is asked for.
    Polling,
    /// The image is there, and nothing of it is written down.
    Finish,
    /// In the middle of the transaction that writes it.
    FlushFinish,
    /// A refusal is there, and not written down.
    Refused,
    /// Between the commit of a refusal and what follows it.
    Ladder,
    /// Put off, and not taken up again.
    PutOff,
}

impl Point {
    /// All of them.
    pub const ALL: [Point; 12] = [
        Point::Begin,
        Point::FlushBegin,
        Point::Begun,
        Point::Sent,
        Point::Answered,
        Point::FlushCheckpoint,
        Point::Polling,
        Point::Finish,
        Point::FlushFinish,
        Point::Refused,
        Point::Ladder,
        Point::PutOff,
    ];

    /// True when jobs at this kind of provider come there.
    pub fn is_on_the_way(self, kind: &Kind) -> bool {
        match self {
            Point::Begin | Point::FlushBegin | Point::Begun | Point::Finish | Point::FlushFinish => true,
            Point::Sent | Point::Answered | Point::PutOff => kind.manner != Manner::Here,
            Point::FlushCheckpoint | Point::Polling => matches!(kind.manner, Manner::Poll | Manner::Ours),
            Point::Refused | Point::Ladder => kind.refuses,
        }
    }

    /// The prompt of a job that is to come there.
    pub fn prompt(self, token: &str) -> String {
        match self {
            // The simulator refuses these words; the rules of the extension know softer ones.
            Point::Refused | Point::Ladder => format!("{token} a portrait, eyes closed"),
            _ => format!("{token} a portrait"),
        }
    }

    /// Prepares the way for jobs whose prompts contain this text.
    pub fn prepare(self, field: &Field, text: &str) {
        match self {
            Point::Begin | Point::FlushBegin => field.hold("begin"),
            Point::Begun => field.hold("begun"),
            Point::Answered | Point::FlushCheckpoint => field.hold("answered"),
            Point::Polling => field.hold("poll"),
            Point::Finish | Point::FlushFinish => field.hold("finish"),
            Point::Refused => field.hold("later"),
            Point::Ladder => field.hold("again"),
            Point::Sent => drop(
                field
                    .sim()
                    .rule(json!({"phase": "submit", "prompt_contains": text, "fault": "hang"})),
            ),
            Point::PutOff => drop(field.sim().rule(json!({
                "phase": "submit", "prompt_contains": text, "fault": {"kind": "rate_limited", "retry_after": 2}
            }))),
        }
    }

    /// Waits until all these jobs are there.
    pub fn wait_for(self, field: &Field, jobs: &[String], text: &str) {
        match self {
            Point::Begin => field.all_reach("begin", jobs),
            Point::Begun => field.all_reach("begun", jobs),
            Point::Answered => field.all_reach("answered", jobs),
            Point::Polling => field.all_reach("poll", jobs),
            Point::Finish => field.all_reach("finish", jobs),
            Point::Refused => field.all_reach("later", jobs),
            Point::Ladder => field.all_reach("again", jobs),
            Point::FlushBegin => hand_over(field, jobs, "begin", "flush_begin"),
            Point::FlushCheckpoint => hand_over(field, jobs, "answered", "flush_checkpoint"),
            Point::FlushFinish => hand_over(field, jobs, "finish", "flush_finish"),
            Point::Sent => {
                let what = format!("{} requests are sent", jobs.len());
                wait_until(&what, secs(20), || field.sim().submits_of(text).len() >= jobs.len());
            }
            Point::PutOff => {
                let mut admin = field.connect("postgres");
                let list = jobs.join("', '");
                let there = format!(
                    "SELECT count(*) FROM image_gen_internal.queue WHERE state = 'ready' AND attempts > 0
                        AND ready_at > clock_timestamp() AND job_id IN ('{list}')"
                );
                wait_until("all are put off", secs(20), || admin.number(&there) == jobs.len() as i64);
            }
        }
    }

    /// What a kill there must lead to: `succeeded`; `uncertain`, where it cannot be known whether the provider was paid; or
    /// the error of a job whose provider forgot what it had accepted.
    pub fn expected(self, kill: Kill, kind: &Kind) -> &'static str {
        // One's own machine sends no bill: what is lost is made again.
        let asked = matches!(kind.manner, Manner::Ours | Manner::Here) || kind.name == "a1111";
        match self {
            // No answer will ever come. ComfyUI can be asked, because we chose the id.
            Point::Sent if asked => "succeeded",
            Point::Sent => "uncertain",
            // A worker that is told to end writes down what it knows.
            _ if kill == Kill::Terminate => "succeeded",
            Point::Begun | Point::Answered | Point::FlushCheckpoint if kill.is_sudden() && !asked => {
                "uncertain"
            }
            // The image, or the refusal, was in the only answer.
            Point::Finish | Point::FlushFinish | Point::Refused
                if kill.is_sudden() && kind.manner == Manner::Sync && !asked =>
            {
                "uncertain"
            }
            Point::Answered | Point::FlushCheckpoint | Point::Polling
                if kill == Kill::Provider && kind.manner == Manner::Poll =>
            {
                "not_found"
            }
            _ => "succeeded",
        }
    }
}

/// All are held at one place, let go, and the first of them holds the main thread in its transaction.
fn hand_over(field: &Field, jobs: &[String], first: &str, then: &str) {
    field.all_reach(first, jobs);
    field.hold(then);
    field.release(first);
    wait_until(&format!("a job comes to {then}"), secs(20), || !field.reached(then).is_empty());
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Point::Begin => "before the intent",
            Point::FlushBegin => "intent in commit",
            Point::Begun => "before the send",
            Point::Sent => "sent, no answer",
            Point::Answered => "answered",
            Point::FlushCheckpoint => "id in commit",
            Point::Polling => "polling",
            Point::Finish => "image fetched",
            Point::FlushFinish => "image in commit",
            Point::Refused => "refused",
            Point::Ladder => "on the ladder",
            Point::PutOff => "put off",
        })
    }
}

//! Signed links to images, and what they lead to.

use serde_json::Value;

use crate::answer::{Answer, Content};
use crate::clock::micros;
use crate::config::duration;
use crate::desk::Desk;
use crate::fault::Fault;
use crate::picture::Picture;
use crate::task::Task;

/// How a provider writes its links.
pub(crate) struct Links {
    /// The path before the name of the file.
    pub folder: &'static str,
    /// The parameter that says when a link ends, and the microseconds of its unit.
    pub ends: (&'static str, u64),
}

/// What a link is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seal {
    Good,
    Expired,
    /// We did not make it.
    Broken,
}

impl Links {
    /// The link to a file of this task.
    pub(crate) fn url(&self, desk: &Desk<'_>, task: &Task, file: &str) -> String {
        let (name, unit) = self.ends;
        let end = end(desk, task) / unit;
        let sig = desk.world.sign(&format!("{file} {end}"));
        format!("{}/{}/{file}?{name}={end}&sig={sig}", desk.call.origin, self.folder)
    }

    /// Looks at the link that was followed to this file.
    pub(crate) fn check(&self, desk: &Desk<'_>, file: &str) -> Seal {
        let (name, unit) = self.ends;
        let end = desk.call.query(name).unwrap_or_default();
        if desk.call.query("sig") != Some(&desk.world.sign(&format!("{file} {end}"))) {
            return Seal::Broken;
        }
        let over = end.parse().is_ok_and(|end: u64| end.saturating_mul(unit) <= desk.now_us);
        if over { Seal::Expired } else { Seal::Good }
    }
}

/// When a task's files are gone, in Unix microseconds. It counts from the end of the drawing, so all answers give the same links.
pub(crate) fn end(desk: &Desk<'_>, task: &Task) -> u64 {
    task.drawn_us.1.saturating_add(micros(duration(desk.config.picture_seconds)))
}

/// An image as a file of its own.
pub(crate) fn deliver(desk: &Desk<'_>, picture: Picture) -> Answer {
    let media_type = picture.format.media_type();
    let pictures = if matches!(desk.fault, Some(Fault::Empty)) { Vec::new() } else { vec![picture] };
    let mut answer = Answer::ok("delivered", Value::Null);
    answer.content = Content::file(media_type, pictures);
    answer
}

//! What answers mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cost::{Cost, Tokens};
use crate::failure::{Failed, Failure};
use crate::http::HttpRequest;
use crate::job::Warning;

/// A task accepted by a provider. It is committed before the first poll, so that a crash resumes it
/// instead of paying for another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// The provider's id of the task.
    pub id: String,
    /// Where to ask for it, exactly as the provider said.
    pub poll_url: String,
    /// Where its result is, where that is another place.
    #[serde(default)]
    pub result_url: Option<String>,
    /// Where it is called off, where that is possible.
    #[serde(default)]
    pub cancel_url: Option<String>,
}

impl Remote {
    /// A task with one URL.
    pub fn new(id: impl Into<String>, poll_url: impl Into<String>) -> Self {
        Remote { id: id.into(), poll_url: poll_url.into(), result_url: None, cancel_url: None }
    }
}

/// Where the bytes of an image are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// In the answer.
    Inline(Vec<u8>),
    /// At a URL that needs no key.
    Url {
        /// The URL.
        url: String,
        /// How long it works from now on, as the provider documents it.
        lifetime: Option<Duration>,
    },
}

/// A finished task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// At least one image.
    pub pictures: Vec<Source>,
    /// Images that were made and withheld by the provider's filter, and are charged for like the others.
    pub withheld: u32,
    /// The seed as the provider reports it.
    pub seed: Option<i64>,
    /// The seed of each image, in order, where they differ.
    pub seeds: Vec<i64>,
    /// The prompt after the provider's own rewriting.
    pub revised_prompt: Option<String>,
    /// What it cost, where the answer says so.
    pub cost: Option<Cost>,
    /// Token counts, where the answer has them.
    pub tokens: Option<Tokens>,
    /// How long the rendering itself took, where the answer says so.
    pub render_seconds: Option<f64>,
    /// What is to be known about the images.
    pub warnings: Vec<Warning>,
}

/// What a response means.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Taken on; ask again later.
    Accepted {
        /// The task.
        remote: Remote,
        /// What it costs, where the answer says so.
        cost: Option<Cost>,
    },
    /// Not finished yet.
    Pending {
        /// How long the provider asks us to wait.
        after: Option<Duration>,
    },
    /// Finished, and the result is in the answer to this.
    Ask(HttpRequest),
    /// Finished.
    Finished(Output),
    /// The task ended with this, said in an answer that is no success. Most failures in such an answer say nothing about
    /// the task, and are asked again; this one is final, whatever it is.
    Failed(Rejection),
}

/// What a failed call costs.
#[derive(Clone, Debug, PartialEq)]
pub enum Charge {
    /// Nothing, by the provider's published rules.
    Free,
    /// As much as if it had succeeded: the image was made and then withheld.
    Full,
    /// Unknown.
    Unknown,
}

/// A failed call, with what the provider charges for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// What went wrong.
    pub failed: Failed,
    /// What it costs.
    pub charge: Charge,
}

impl Rejection {
    /// A failure that the provider does not charge for. (Of what is uncertain that is unknown.)
    pub fn free(failure: Failure, message: impl Into<String>) -> Self {
        let charge = if failure == Failure::Uncertain { Charge::Unknown } else { Charge::Free };
        Rejection { failed: failure.because(message), charge }
    }

    /// A failure that the provider charges for like a success.
    pub fn charged(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), charge: Charge::Full }
    }

    /// A failure that the provider may charge for.
    pub fn unknown(failure: Failure, message: impl Into<String>) -> Self {
        Rejection { failed: failure.because(message), charge: Charge::Unknown }
    }
}

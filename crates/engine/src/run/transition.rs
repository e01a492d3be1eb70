//! What is made durable, and in which order: the transitions of a job. Together are committed a begin, or a checkpoint, or
//! (where an attempt is under way) its end and what becomes of the job.

use std::time::Duration;

use crate::cost::{Cost, Tokens, Usage};
use crate::failure::Failed;
use crate::job::Warning;
use crate::picture::Facts;
use crate::picture::mark::{Credentials, Marks};
use crate::progress::Progress;
use crate::provider::Remote;
use crate::redact::Redactor;
use rust_decimal::Decimal;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptStatus {
    /// An image came.
    Succeeded,
    /// It failed.
    Failed,
    /// The provider refused the content.
    Refused,
    /// It is unknown whether it was accepted.
    Uncertain,
    /// A user stopped it.
    Canceled,
}

impl AttemptStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptStatus::Succeeded => "succeeded",
            AttemptStatus::Failed => "failed",
            AttemptStatus::Refused => "refused",
            AttemptStatus::Uncertain => "uncertain",
            AttemptStatus::Canceled => "canceled",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// With an image.
    Succeeded,
    /// Without one.
    Failed,
    /// A person decides.
    NeedsReview,
    /// A user stopped it.
    Canceled,
}

impl JobStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::NeedsReview => "needs_review",
            JobStatus::Canceled => "canceled",
        }
    }
}

/// An image that goes into the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Its place among those of the job, from 1.
    pub position: u32,
    /// Where the provider has it; `None` for an image that came in the answer.
    pub url: Option<String>,
    /// How long that works.
    pub lifetime: Option<Duration>,
    /// What the bytes are; `None` when they could not be fetched.
    pub facts: Option<Facts>,
    /// The bytes, kept or not by the database's own setting.
    pub bytes: Option<Vec<u8>>,
    /// True when the bytes came in the answer: the database then is the only place that has them.
    pub inline: bool,
    /// Its own seed, where the images of a call have one each; `None` is that of the attempt.
    pub seed: Option<i64>,
    /// Where it is already; then its bytes are not here.
    pub stored: Option<Stored>,
    /// A small copy, where it is larger than such a one.
    pub thumbnail: Option<Vec<u8>>,
}

/// An object in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What tells the store from others.
    pub identity: String,
    /// How it is opened.
    pub address: String,
    /// What the object is called in it.
    pub name: String,
    /// Where it is, for those who look at the asset.
    pub url: String,
}

/// One durable fact about a job. Entries of one commit are written in order, all or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// A request is about to be sent. Committed before it is.
    Begin {
        /// The attempt's number within its job, from 1.
        number: u32,
        /// Where it goes.
        provider: String,
        /// Which model it asks for.
        model: String,
        /// The name of the key that goes in, never the key; `None` where there is none.
        key_name: Option<String>,
        /// The prompt that is really sent.
        prompt: String,
        /// The seed of the request.
        seed: i64,
        /// Whether the request carries it.
        seed_honored: bool,
        /// What it leaves out.
        warnings: Vec<Warning>,
        /// What this very call is expected to cost, in USD; `None` when unknown.
        estimated_cost: Option<Decimal>,
        /// What the calls are expected to cost that follow it, where the images that are wanted take several.
        estimated_rest: Option<Decimal>,
        /// How far the job has come.
        progress: Progress,
    },
    /// The provider accepted it under an id. Committed before the first poll.
    Checkpoint {
        /// The attempt.
        number: u32,
        /// The task.
        remote: Remote,
        /// What it costs, where the provider says so at once.
        cost: Option<Cost>,
        /// The status of the answer.
        http_status: u16,
    },
    /// The attempt is over.
    End {
        /// The attempt.
        number: u32,
        /// How.
        status: AttemptStatus,
        /// Why, when it did not succeed.
        failed: Option<Failed>,
        /// The status of the last answer.
        http_status: Option<u16>,
        /// What it cost.
        cost: Cost,
        /// What was held against the price table, whether or not that had a price for it: a corrected price can be held
        /// against it again. Absent where the cost does not come from the table.
        usage: Option<Usage>,
        /// Token counts.
        tokens: Option<Tokens>,
        /// How long the rendering took.
        render_seconds: Option<f64>,
        /// The seed as the provider reports it.
        seed: Option<i64>,
        /// Warnings of the whole attempt.
        warnings: Vec<Warning>,
        /// The request is known never to have left this machine.
        unsent: bool,
        /// The earlier attempt whose outage this call only prolonged: it is counted there and has no row of its own.
        joins: Option<u32>,
    },
    /// The job goes back to the queue for a while: nothing is on its way, and its place is free for others.
    Later {
        /// For how long.
        after: Duration,
        /// How far it has come.
        progress: Progress,
        /// Images that it has already, where further ones are still to be made.
        pictures: Vec<Picture>,
    },
    /// The job is over.
    Close {
        /// How.
        status: JobStatus,
        /// Why, when it did not succeed.
        failed: Option<Failed>,
        /// Its images.
        pictures: Vec<Picture>,
    },
}

impl Transition {
    /// Takes keys out of every text that came from outside, or may hold a part of one. Each field is named here, so that none
    /// is forgotten.
    pub fn redact(&mut self, redactor: &Redactor) {
        let whole = &mut |text: &mut String| redactor.clean(text);
        let excerpt = &mut |text: &mut String| redactor.clean_excerpt(text);
        match self {
            Transition::Begin {
                number: _,
                provider: _,
                model: _,
                key_name: _,
                prompt,
                seed: _,
                seed_honored: _,
                warnings,
                estimated_cost: _,
                estimated_rest: _,
                progress,
            } => {
                whole(prompt);
                warnings.iter_mut().for_each(|warning| excerpt(&mut warning.message));
                texts_of_progress(progress, whole);
            }
            Transition::Checkpoint { number: _, remote, cost: _, http_status: _ } => {
                let Remote { id, poll_url, result_url, cancel_url } = remote;
                [Some(id), Some(poll_url), result_url.as_mut(), cancel_url.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(whole);
            }
            Transition::End {
                number: _,
                status: _,
                failed,
                http_status: _,
                cost: _,
                usage,
                tokens: _,
                render_seconds: _,
                seed: _,
                warnings,
                unsent: _,
                joins: _,
            } => {
                failed.iter_mut().for_each(|failed| excerpt(&mut failed.message));
                usage.iter_mut().filter_map(|usage| usage.quality.as_mut()).for_each(whole);
                warnings.iter_mut().for_each(|warning| excerpt(&mut warning.message));
            }
            Transition::Later { after: _, progress, pictures } => {
                texts_of_progress(progress, whole);
                texts_of_pictures(pictures, whole);
            }
            Transition::Close { status: _, failed, pictures } => {
                failed.iter_mut().for_each(|failed| excerpt(&mut failed.message));
                texts_of_pictures(pictures, whole);
            }
        }
    }
}

fn texts_of_pictures(pictures: &mut [Picture], each: &mut dyn FnMut(&mut String)) {
    for picture in pictures {
        let Picture {
            position: _,
            url,
            lifetime: _,
            facts,
            bytes: _,
            inline: _,
            seed: _,
            stored: _,
            thumbnail: _,
        } = picture;
        url.iter_mut().for_each(&mut *each);
        let marks = facts.iter_mut().map(|facts| &mut facts.marks);
        for Marks { credentials, digital_source_type } in marks {
            let credentials = credentials
                .iter_mut()
                .flat_map(|Credentials { claim_generator, signer }| [claim_generator, signer]);
            credentials.chain([digital_source_type]).flatten().for_each(&mut *each);
        }
    }
}

fn texts_of_progress(progress: &mut Progress, each: &mut dyn FnMut(&mut String)) {
    // (Outages have names of our own rows only.)
    let Progress {
        asked: _,
        delivered: _,
        waits: _,
        outages: _,
        failed,
        refused,
        reworded: _,
        climbing: _,
        step: _,
        prompt,
        cleared: _,
        chosen,
    } = progress;
    failed.iter_mut().chain(refused).chain(prompt).chain(chosen).for_each(each);
}

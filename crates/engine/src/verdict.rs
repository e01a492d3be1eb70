//! What may be done after a request: one table for all providers, by what the request was for and what came of it.
//!
//! A submission costs money, so it is sent again only where it certainly was not processed. Everything that a gateway or
//! a proxy may have answered after it had passed the request on is uncertain, and so is its cost. Prerequisites, polls and
//! fetches cost nothing and change nothing: they can be repeated whatever was answered.
//!
//! A provider's own documentation can say more about a status: those exceptions are [`Documented`], stand in the adapters,
//! and name their source. `docs/statuses.md` prints all of it.

use std::time::Duration;

use crate::failure::Failure;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An upload or a look-up before the submission. It costs nothing and can be repeated.
    Prerequisite,
    /// The request that is paid for.
    Submission,
    /// The question about a task that was accepted.
    Poll,
    /// The download of a finished image.
    Fetch,
}

impl Phase {
    /// All phases, in the order in which a job goes through them.
    pub const ALL: [Phase; 4] = [Phase::Prerequisite, Phase::Submission, Phase::Poll, Phase::Fetch];
}

/// How a request came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No byte of it left: the name is unknown, the connection was refused, TLS failed, the address is forbidden.
    NotSent,
    /// Some of it left, and no complete answer came.
    Lost,
    /// An answer came whose body is larger than allowed.
    TooLarge,
    /// An answer with this status.
    Status(u16),
}

/// Whose words the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It has the shape of the provider's own errors.
    Provider,
    /// It is a page, a text or JSON of another shape: a gateway or a proxy speaks.
    Intermediary,
    /// There is no body.
    Silent,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body says what it means.
    Read,
    /// Certainly not processed: it may be sent again, here or elsewhere, and costs nothing.
    Unprocessed,
    /// Certainly not processed because there were too many: it may be sent again later, and costs nothing.
    Limited,
    /// Turned down before any work: the same request gets the same answer, and it costs nothing.
    Rejected(Reason),
    /// It may have been accepted: never sent again by itself, its cost is unknown.
    Uncertain,
    /// It was answered, and perhaps paid for, and the answer cannot be used: the end, its cost is unknown.
    Unusable,
    /// Asked again after a pause, within the bounds of the phase; it says nothing about the task.
    Repeat,
    /// What was asked for is not there. Right after the submission that can be a lag; later it is the end.
    Gone,
}

/// Why a request is turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No key, or one without rights.
    Unauthorized,
    /// The account is empty.
    OutOfCredit,
    /// There is no such model.
    ModelGone,
    /// The request is wrong.
    Invalid,
    /// It belongs elsewhere: a redirect, which is not followed because it would carry the key away.
    Moved,
}

/// What a provider documents about one of its statuses, valid where the body is the provider's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documented {
    /// The status.
    pub status: u16,
    /// What may be done after it at a submission.
    pub verdict: Verdict,
    /// Where the provider says so.
    pub source: &'static str,
}

/// What may be done after a request. The one table.
pub fn of(phase: Phase, outcome: Outcome, voice: Voice) -> Verdict {
    match (phase, outcome) {
        (_, Outcome::Status(200..=299)) => Verdict::Read,

        (Phase::Submission, Outcome::NotSent) => Verdict::Unprocessed,
        (Phase::Submission, Outcome::Lost) => Verdict::Uncertain,
        (Phase::Submission, Outcome::TooLarge) => Verdict::Unusable,
        (Phase::Submission, Outcome::Status(status)) => submission(status, voice),

        (Phase::Prerequisite, Outcome::NotSent | Outcome::Lost | Outcome::TooLarge) => Verdict::Unprocessed,
        (Phase::Prerequisite, Outcome::Status(status)) => match submission(status, voice) {
            Verdict::Uncertain => Verdict::Unprocessed,
            other => other,
        },

        // A page about a missing page is a gateway's: the provider has an answer for tasks that it does not know.
        (Phase::Poll, Outcome::Status(404 | 410)) if voice != Voice::Intermediary => Verdict::Gone,
        (Phase::Poll | Phase::Fetch, _) => Verdict::Repeat,
    }
}

/// A status at a request that costs money.
fn submission(status: u16, voice: Voice) -> Verdict {
    match status {
        // Too many requests; too early. By definition not processed.
        425 | 429 => Verdict::Limited,
        // Overloaded or in maintenance, in the provider's words or in none. A proxy also says so when the connection
        // broke behind it, after the request had gone through.
        503 if voice != Voice::Intermediary => Verdict::Unprocessed,
        // Overloaded. Not reachable from the provider's own edge: refused, no route, no address.
        521 | 523 | 529 | 530 => Verdict::Unprocessed,
        301 | 307 | 308 => Verdict::Rejected(Reason::Moved),
        401 | 403 => Verdict::Rejected(Reason::Unauthorized),
        402 => Verdict::Rejected(Reason::OutOfCredit),
        404 | 410 => Verdict::Rejected(Reason::ModelGone),
        // Given up waiting, on either side: the work may go on.
        408 | 499 => Verdict::Uncertain,
        400..=498 => Verdict::Rejected(Reason::Invalid),
        // 500, 502, 504, 520, 522, 524, 598, 599, and whatever is not known. (522 is also said when the provider went
        // silent after the connection was made.)
        _ => Verdict::Uncertain,
    }
}

impl Verdict {
    /// What this is called by the rule of what follows a failure; `None` where the body decides. `after`: how long the
    /// answer asks us to wait.
    pub fn failure(self, after: Option<Duration>) -> Option<Failure> {
        Some(match self {
            Verdict::Read => return None,
            Verdict::Unprocessed | Verdict::Repeat => Failure::Overloaded { after },
            Verdict::Limited => Failure::RateLimited { after },
            Verdict::Rejected(Reason::Unauthorized) => Failure::Unauthorized,
            Verdict::Rejected(Reason::OutOfCredit) => Failure::OutOfCredit,
            Verdict::Rejected(Reason::ModelGone) => Failure::ModelGone,
            Verdict::Rejected(Reason::Invalid) => Failure::Invalid,
            Verdict::Rejected(Reason::Moved) | Verdict::Unusable => Failure::Broken,
            Verdict::Uncertain => Failure::Uncertain,
            Verdict::Gone => Failure::NotFound,
        })
    }

    /// True where the request certainly cost nothing.
    pub fn is_free(self) -> bool {
        matches!(self, Verdict::Unprocessed | Verdict::Limited | Verdict::Rejected(_))
    }

    /// True where the same request may be sent again.
    pub fn may_be_sent_again(self) -> bool {
        matches!(self, Verdict::Unprocessed | Verdict::Limited | Verdict::Repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICES: [Voice; 3] = [Voice::Provider, Voice::Intermediary, Voice::Silent];

    fn at(phase: Phase, status: u16, voice: Voice) -> Verdict {
        of(phase, Outcome::Status(status), voice)
    }

    #[test]
    fn a_submission_is_sent_again_only_after_what_certainly_was_not_processed() {
        for voice in VOICES {
            let again: Vec<u16> =
                (0..=u16::MAX).filter(|s| at(Phase::Submission, *s, voice).may_be_sent_again()).collect();
            match voice {
                Voice::Intermediary => assert_eq!(again, [425, 429, 521, 523, 529, 530]),
                _ => assert_eq!(again, [425, 429, 503, 521, 523, 529, 530]),
            }
        }
        let transport = |outcome| of(Phase::Submission, outcome, Voice::Silent);
        assert_eq!(transport(Outcome::NotSent), Verdict::Unprocessed);
        assert_eq!(transport(Outcome::Lost), Verdict::Uncertain);
        assert!(!transport(Outcome::TooLarge).is_free());
    }

    #[test]
    fn what_a_gateway_may_have_passed_on_is_uncertain_and_never_free() {
        let forwarded = [0, 100, 300, 302, 303, 408, 499, 500, 502, 504, 520, 522, 524, 598, 599, 600, 999];
        for status in forwarded {
            for voice in VOICES {
                assert_eq!(at(Phase::Submission, status, voice), Verdict::Uncertain, "{status} {voice:?}");
                assert!(!at(Phase::Submission, status, voice).is_free());
            }
        }
        // Whatever is not known is not free either.
        for status in (0..=u16::MAX).filter(|s| !(400..=498).contains(s)) {
            let verdict = at(Phase::Submission, status, Voice::Provider);
            let known = [301, 307, 308, 503, 521, 523, 529, 530].contains(&status);
            assert_eq!(verdict.is_free(), known, "{status}");
        }
    }

    #[test]
    fn polls_and_fetches_are_repeated_whatever_was_answered() {
        for status in (0..=u16::MAX).filter(|s| !(200..300).contains(s)) {
            for voice in VOICES {
                let poll = at(Phase::Poll, status, voice);
                let gone = [404, 410].contains(&status) && voice != Voice::Intermediary;
                assert_eq!(poll, if gone { Verdict::Gone } else { Verdict::Repeat }, "{status} {voice:?}");
                assert_eq!(at(Phase::Fetch, status, voice), Verdict::Repeat);
                assert_ne!(at(Phase::Prerequisite, status, voice), Verdict::Uncertain);
            }
        }
        for outcome in [Outcome::NotSent, Outcome::Lost, Outcome::TooLarge] {
            assert_eq!(of(Phase::Poll, outcome, Voice::Silent), Verdict::Repeat);
            assert_eq!(of(Phase::Fetch, outcome, Voice::Silent), Verdict::Repeat);
        }
    }

    #[test]
    fn a_success_is_read_in_every_phase() {
        for phase in Phase::ALL {
            for status in 200..300 {
                assert_eq!(at(phase, status, Voice::Provider), Verdict::Read);
            }
        }
    }
}

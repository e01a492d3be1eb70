//! The rule that says what follows a failure: one `match`, tested as one table.

use std::time::Duration;

use crate::failure::Failure;

/// What to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// The same request to the same provider, after a pause. Nothing was started, so nothing is paid twice.
    Again {
        /// The pause.
        after: Duration,
    },
    /// No more calls; the job fails.
    Fail,
    /// No more calls; a person decides, because money may have been spent for nothing.
    Review,
}

/// How often one request is sent to one provider in all.
pub const MAX_TRIES: u32 = 4;

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(8);

/// What follows the failure of a submission. `tries` counts the calls made so far (1 after the first);
/// `jitter` is a number in `0.0..1.0` that spreads the pauses of many jobs.
pub fn after_submit(failure: &Failure, tries: u32, jitter: f64) -> Next {
    match failure {
        Failure::RateLimited { after } | Failure::Overloaded { after } if tries < MAX_TRIES => {
            let pause = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(CAP);
            let spread = pause.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
            Next::Again { after: spread.max(after.unwrap_or_default()) }
        }
        Failure::RateLimited { .. }
        | Failure::Overloaded { .. }
        | Failure::Refused
        | Failure::PolicyBlocked
        | Failure::Unauthorized
        | Failure::OutOfCredit
        | Failure::Invalid
        | Failure::NotSupported
        | Failure::ModelGone
        | Failure::NotFound
        | Failure::Broken
        | Failure::Garbled
        | Failure::DeadlineExceeded
        | Failure::Canceled => Next::Fail,
        Failure::TimedOut | Failure::Uncertain => Next::Review,
    }
}

/// True when a poll that failed like this has ended the task; otherwise it is asked again. A task is paid
/// for, so only a word about the task itself ends it: a wrong key or a bad gateway says nothing about it.
pub fn poll_is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused | Failure::Broken | Failure::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_provably_not_started_is_sent_again() {
        let after = None;
        for (failure, next) in [
            (Failure::RateLimited { after }, "again"),
            (Failure::Overloaded { after }, "again"),
            (Failure::Refused, "fail"),
            (Failure::PolicyBlocked, "fail"),
            (Failure::Unauthorized, "fail"),
            (Failure::OutOfCredit, "fail"),
            (Failure::Invalid, "fail"),
            (Failure::NotSupported, "fail"),
            (Failure::ModelGone, "fail"),
            (Failure::NotFound, "fail"),
            (Failure::Broken, "fail"),
            (Failure::Garbled, "fail"),
            (Failure::DeadlineExceeded, "fail"),
            (Failure::Canceled, "fail"),
            (Failure::TimedOut, "review"),
            (Failure::Uncertain, "review"),
        ] {
            let got = match after_submit(&failure, 1, 0.5) {
                Next::Again { .. } => "again",
                Next::Fail => "fail",
                Next::Review => "review",
            };
            assert_eq!(got, next, "{failure:?}");
            assert!(!matches!(after_submit(&failure, MAX_TRIES, 0.5), Next::Again { .. }), "{failure:?}");
        }
    }

    #[test]
    fn pauses_grow_are_capped_and_respect_the_provider() {
        let pause = |tries, jitter, after| match after_submit(&Failure::RateLimited { after }, tries, jitter)
        {
            Next::Again { after } => after.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!([pause(1, 0.5, None), pause(2, 0.5, None), pause(3, 0.5, None)], [500, 1000, 2000]);
        assert_eq!([pause(1, 0.0, None), pause(1, 1.0, None)], [400, 600]);
        assert_eq!(pause(1, 0.5, Some(Duration::from_secs(30))), 30_000);
    }
}

//! The rule that says what follows a failure: one `match`, tested as one table.

use std::time::Duration;

use crate::failure::Failure;
use crate::verdict::Voice;

/// What to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// The same request to the same provider, after a pause. Nothing was started, so nothing is paid twice.
    Again {
        /// The pause.
        after: Duration,
    },
    /// The next candidate of the route.
    Elsewhere,
    /// The next rung of the ladder: the content was refused.
    Climb,
    /// No more calls; the job fails.
    Fail,
    /// No more calls; a person decides, because money may have been spent for nothing, or none is allowed to be.
    Review,
}

/// What the rule needs to know besides the failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Situation {
    /// Calls made so far to this candidate: 1 after the first.
    pub tries: u32,
    /// Whether another candidate is left.
    pub others: bool,
    /// Whether the failed call is known to have cost nothing.
    pub free: bool,
    /// A number in `0.0..1.0` that spreads the pauses of many jobs.
    pub jitter: f64,
}

/// How often one request is sent to one candidate in all when no other is left.
pub const MAX_TRIES: u32 = 4;
/// How often when the provider is well and says when to come back: being busy is no reason to lose a job.
pub const MAX_RATE_TRIES: u32 = 20;
/// How often when another is left: once more is cheaper than another model, twice is not.
const TRIES_BEFORE_OTHERS: u32 = 2;
/// A longer wait than this is not worth it when another candidate is left.
pub const SHORT: Duration = Duration::from_secs(3);

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(8);

/// What follows the failure of a call.
pub fn after(failure: &Failure, now: Situation) -> Next {
    let elsewhere = if now.others { Next::Elsewhere } else { Next::Fail };
    match failure {
        // Nothing was started.
        Failure::RateLimited { after } | Failure::Overloaded { after } if now.free => {
            let busy = matches!(failure, Failure::RateLimited { after: Some(_) });
            let enough = match (now.others, busy) {
                (true, _) => TRIES_BEFORE_OTHERS,
                (false, true) => MAX_RATE_TRIES,
                (false, false) => MAX_TRIES,
            };
            let long = now.others && after.is_some_and(|after| after > SHORT);
            if now.tries >= enough || long {
                return elsewhere;
            }
            let pause = FIRST.saturating_mul(1 << now.tries.saturating_sub(1).min(10)).min(CAP);
            let spread = pause.mul_f64(0.8 + 0.4 * now.jitter.clamp(0.0, 1.0));
            Next::Again { after: spread.max(after.unwrap_or_default()) }
        }
        // It will say the same to everybody for a while.
        Failure::Unauthorized
        | Failure::OutOfCredit
        | Failure::PolicyBlocked
        | Failure::ModelGone
        | Failure::NotSupported => elsewhere,
        // It tried and failed. Whoever may have been paid for that is not followed by a second bill.
        Failure::Broken | Failure::NotFound | Failure::TimedOut if now.free => elsewhere,
        // A refusal never travels along the route: what follows it is the ladder's to say.
        Failure::Refused => Next::Climb,
        Failure::RateLimited { .. }
        | Failure::Overloaded { .. }
        | Failure::Invalid
        | Failure::Broken
        | Failure::NotFound
        | Failure::Garbled
        | Failure::DeadlineExceeded
        | Failure::Canceled => Next::Fail,
        Failure::TimedOut | Failure::Uncertain | Failure::OverBudget => Next::Review,
    }
}

/// True when a poll that failed like this has ended the task; otherwise it is asked again. A task is paid for, so only
/// a word about the task itself ends it: a wrong key or a bad gateway says nothing about it. `said`: it was said in an
/// answer with a success status. `at_result`: the question was for the result of a task that has ended. `voice`: whose
/// words they are.
pub fn poll_is_final(failure: &Failure, said: bool, at_result: bool, voice: Voice) -> bool {
    match failure {
        Failure::Garbled | Failure::Uncertain => false,
        _ if said => true,
        Failure::NotFound => voice != Voice::Intermediary,
        Failure::Refused => voice == Voice::Provider,
        Failure::Invalid => at_result && voice == Voice::Provider,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Situation = Situation { tries: 1, others: false, free: true, jitter: 0.5 };
    const NOT_ALONE: Situation = Situation { others: true, ..ALONE };

    fn word(next: Next) -> &'static str {
        match next {
            Next::Again { .. } => "again",
            Next::Elsewhere => "elsewhere",
            Next::Climb => "climb",
            Next::Fail => "fail",
            Next::Review => "review",
        }
    }

    #[test]
    fn each_failure_has_one_consequence() {
        let after = None;
        // Alone; with others left; with others left, and the failed call may have cost something.
        for (failure, alone, others, charged) in [
            (Failure::RateLimited { after }, "again", "again", "fail"),
            (Failure::Overloaded { after }, "again", "again", "fail"),
            (Failure::Unauthorized, "fail", "elsewhere", "elsewhere"),
            (Failure::OutOfCredit, "fail", "elsewhere", "elsewhere"),
            (Failure::PolicyBlocked, "fail", "elsewhere", "elsewhere"),
            (Failure::ModelGone, "fail", "elsewhere", "elsewhere"),
            (Failure::NotSupported, "fail", "elsewhere", "elsewhere"),
            (Failure::Broken, "fail", "elsewhere", "fail"),
            (Failure::NotFound, "fail", "elsewhere", "fail"),
            (Failure::Refused, "climb", "climb", "climb"),
            (Failure::Invalid, "fail", "fail", "fail"),
            (Failure::Garbled, "fail", "fail", "fail"),
            (Failure::OverBudget, "review", "review", "review"),
            (Failure::DeadlineExceeded, "fail", "fail", "fail"),
            (Failure::Canceled, "fail", "fail", "fail"),
            // An ambiguous send never moves on by itself.
            (Failure::TimedOut, "fail", "elsewhere", "review"),
            (Failure::Uncertain, "review", "review", "review"),
        ] {
            let got = [ALONE, NOT_ALONE, Situation { free: false, ..NOT_ALONE }]
                .map(|s| word(super::after(&failure, s)));
            assert_eq!(got, [alone, others, charged], "{failure:?}");
            let exhausted = Situation { tries: MAX_TRIES, ..ALONE };
            assert_ne!(word(super::after(&failure, exhausted)), "again", "{failure:?}");
        }
    }

    #[test]
    fn with_others_left_nobody_waits_long() {
        let limited = |seconds| Failure::RateLimited { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(word(after(&limited(2), NOT_ALONE)), "again");
        assert_eq!(word(after(&limited(30), NOT_ALONE)), "elsewhere");
        assert_eq!(word(after(&limited(30), ALONE)), "again");
        assert_eq!(word(after(&limited(1), Situation { tries: 2, ..NOT_ALONE })), "elsewhere");
    }

    #[test]
    fn pauses_grow_are_capped_and_respect_the_provider() {
        let pause = |tries, jitter, hint| match after(
            &Failure::RateLimited { after: hint },
            Situation { tries, jitter, ..ALONE },
        ) {
            Next::Again { after } => after.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!([pause(1, 0.5, None), pause(2, 0.5, None), pause(3, 0.5, None)], [500, 1000, 2000]);
        assert_eq!([pause(1, 0.0, None), pause(1, 1.0, None)], [400, 600]);
        assert_eq!(pause(1, 0.5, Some(Duration::from_secs(30))), 30_000);
    }
}

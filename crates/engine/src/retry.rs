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
    /// The next step of the ladder: the content was refused.
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
    /// Whether the provider had accepted the call, and failed while it worked.
    pub accepted: bool,
    /// How long ago the first of these calls failed.
    pub waited: Duration,
    /// How long a job waits for the only provider that could do it: `image_gen.outage_timeout`.
    pub patience: Duration,
    /// A number in `0.0..1.0` that spreads the pauses of many jobs.
    pub jitter: f64,
}

/// How often one request is sent to one candidate at least when no other is left; how often at most when each call was
/// accepted and failed later.
pub const MAX_TRIES: u32 = 4;
/// How often when another is left: once more is cheaper than another model, twice is not.
const TRIES_BEFORE_OTHERS: u32 = 2;
/// A longer wait than this is not worth it when another candidate is left.
pub const SHORT: Duration = Duration::from_secs(3);
/// A provider that turns calls away for this long or longer has used up a quota: that is a matter of the account.
pub const QUOTA: Duration = Duration::from_secs(3600);

/// How long a job waits for a provider in an outage when it has nowhere else to go and nothing else is set.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// A provider's own word on when to ask again is heeded up to this long at least.
const LEAST_HEEDED: Duration = Duration::from_secs(120);
const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(15);

/// What follows the failure of a call.
pub fn after(failure: &Failure, now: Situation) -> Next {
    let elsewhere = if now.others { Next::Elsewhere } else { Next::Fail };
    match failure {
        _ if failure.is_used_up_quota() && now.free => elsewhere,
        // Nothing was started.
        Failure::RateLimited { after } | Failure::Overloaded { after } if now.free => {
            let enough = match (now.others, now.accepted) {
                (true, _) => now.tries >= TRIES_BEFORE_OTHERS || after.is_some_and(|after| after > SHORT),
                (false, true) => now.tries >= MAX_TRIES,
                (false, false) => now.tries >= MAX_TRIES && now.waited >= now.patience,
            };
            if enough {
                return elsewhere;
            }
            let pause = FIRST.saturating_mul(1 << now.tries.saturating_sub(1).min(10)).min(CAP);
            let spread = pause.mul_f64(0.8 + 0.4 * now.jitter.clamp(0.0, 1.0));
            // As long as the provider says, but no longer than the job waits at all. Even a job that waits for no outage
            // does not ask again before it is told to.
            let left = now.patience.saturating_sub(now.waited).max(LEAST_HEEDED);
            Next::Again { after: spread.max(after.unwrap_or_default().min(left)) }
        }
        // It will say the same to every job for a while.
        Failure::Unauthorized
        | Failure::OutOfCredit
        | Failure::PolicyBlocked
        | Failure::ModelGone
        | Failure::NotSupported => elsewhere,
        // It tried and failed. What may have been paid for is not followed by a second bill.
        Failure::Broken | Failure::NotFound | Failure::TimedOut if now.free => elsewhere,
        // A refusal never travels along the route: what follows it is the ladder's to say.
        Failure::Refused => Next::Climb,
        Failure::RateLimited { .. }
        | Failure::Overloaded { .. }
        | Failure::Invalid
        | Failure::NotAllowed
        | Failure::Content
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

    const ALONE: Situation = Situation {
        tries: 1,
        others: false,
        free: true,
        accepted: false,
        waited: Duration::ZERO,
        patience: Duration::from_secs(3600),
        jitter: 0.5,
    };
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
            let exhausted = Situation { tries: MAX_TRIES, waited: ALONE.patience, ..ALONE };
            assert_ne!(word(super::after(&failure, exhausted)), "again", "{failure:?}");
        }
    }

    #[test]
    fn with_others_left_a_job_moves_on_after_two_tries_whatever_the_provider_says() {
        for hint in [None, Some(0), Some(1), Some(3)] {
            for limited in [|after| Failure::RateLimited { after }, |after| Failure::Overloaded { after }] {
                let failure = limited(hint.map(Duration::from_secs));
                assert_eq!(word(after(&failure, NOT_ALONE)), "again", "{failure:?}");
                let twice = Situation { tries: 2, ..NOT_ALONE };
                assert_eq!(word(after(&failure, twice)), "elsewhere", "{failure:?}");
            }
        }
        let limited = |seconds| Failure::RateLimited { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(word(after(&limited(30), NOT_ALONE)), "elsewhere");
        assert_eq!(word(after(&limited(30), ALONE)), "again");
    }

    #[test]
    fn a_job_with_nowhere_else_to_go_waits_for_a_bounded_time() {
        let down = Failure::Overloaded { after: None };
        let waiting = |tries, waited| {
            let situation = Situation { tries, waited: Duration::from_secs(waited), ..ALONE };
            word(after(&down, situation))
        };
        assert_eq!([waiting(4, 4), waiting(200, 3599), waiting(200, 3600)], ["again", "again", "fail"]);
        assert_eq!(waiting(3, 7200), "again", "but it is tried a few times in any case");
        // What the provider accepted and failed at is not done over and over.
        let accepted = Situation { accepted: true, ..ALONE };
        assert_eq!(word(after(&down, accepted)), "again");
        assert_eq!(word(after(&down, Situation { tries: MAX_TRIES, ..accepted })), "fail");
    }

    #[test]
    fn a_quota_that_resets_in_hours_is_not_waited_for() {
        for after_seconds in [3600, 86_400] {
            let quota = Failure::RateLimited { after: Some(Duration::from_secs(after_seconds)) };
            assert_eq!(word(after(&quota, ALONE)), "fail");
            assert_eq!(word(after(&quota, NOT_ALONE)), "elsewhere");
            assert_eq!(quota.code(), crate::failure::ErrorCode::InsufficientCredits);
        }
        let minutes = Failure::RateLimited { after: Some(Duration::from_secs(3599)) };
        assert_eq!(minutes.code(), crate::failure::ErrorCode::RateLimited);
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
        let first = [1, 2, 3, 4, 5, 6, 7, 70].map(|tries| pause(tries, 0.5, None));
        assert_eq!(first, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!([pause(1, 0.0, None), pause(1, 1.0, None)], [400, 600]);
        assert_eq!(pause(1, 0.5, Some(Duration::from_secs(30))), 30_000);
    }
}

//! What all who use a key know of it together: who has how many calls in flight with it, how fast submissions follow each other, and
//! whether it rests because its provider turned it away. Plain numbers without a pointer, so that it can lie in memory that processes
//! share; its owner sees to it that one of them is at it at a time. The clock is the owner's, in microseconds.

use crate::failure::{ErrorCode, Failure};
use crate::rate::Rate;
use sha2::{Digest, Sha256};

/// The most that can use one key: the databases of a cluster.
pub const USERS: usize = 64;

const SECOND: i64 = 1_000_000;
/// A key that is refused, or whose account is empty: a matter of minutes, not of requests.
const BENCH: i64 = 300 * SECOND;
/// The first rest of a key that has sent too many requests; it doubles with each that follows without a success,
const FIRST_REST: i64 = SECOND;
/// up to this.
const LONGEST_REST: i64 = 120 * SECOND;
/// A key that has rested is tried by one call, and by another one when nothing is heard of that for so long.
const PROBE: i64 = 30 * SECOND;

/// A key at one address.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse {
    /// Calls in flight, by user.
    places: [u32; USERS],
    /// Who waits for a place: a bit each.
    wanting: u64,
    rate: Rate,
    rest: Rest,
}

/// Why, and how long, a key is not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Until when; 0 while nothing is wrong with it.
    until: i64,
    /// For which failure.
    code: Option<ErrorCode>,
    /// Failures without a success since.
    failures: u32,
    /// Who has learnt it.
    by: u8,
}

/// A key as it can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Calls in flight with it.
    pub in_flight: u32,
    /// What it rests for, and how many microseconds more; 0: it is tried again by the next call.
    pub rest: Option<(ErrorCode, i64)>,
    /// Failures without a success since.
    pub failures: u32,
}

impl Standing {
    /// In a word: `up`, `resting` or `down`.
    pub fn state(&self) -> &'static str {
        match self.rest {
            None => "up",
            Some((code, left)) if is_of_account(code) && left > 0 => "down",
            Some(_) => "resting",
        }
    }
}

/// Whether a failure is the key's: with another key the same call might be let in.
pub fn is_of_key(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Unauthorized | Failure::OutOfCredit | Failure::PolicyBlocked | Failure::RateLimited { .. }
    )
}

/// What names a key at an address, the same in all processes: no key, and nothing of one.
pub fn id(base_url: &str, key_name: &str) -> u64 {
    let hash = Sha256::digest(format!("{base_url}\n{key_name}"));
    // (0 is none.)
    hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)).max(1)
}

/// Whether a failure is of the account behind a key, and other keys may mend it.
fn is_of_account(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Auth | ErrorCode::InsufficientCredits | ErrorCode::PolicyBlock)
}

impl KeyUse {
    /// Used by none, and well.
    pub const NEW: KeyUse = KeyUse {
        places: [0; USERS],
        wanting: 0,
        rate: Rate::NEW,
        rest: Rest { until: 0, code: None, failures: 0, by: 0 },
    };

    /// Takes a place for a user, where there is one among `limit` and it is that user's turn: of those who wait, the one with the fewest
    /// is next. One that gets none is noted as waiting, until it gets one or says that it waits no more.
    pub fn enter(&mut self, user: usize, limit: Option<u32>) -> bool {
        let Some(limit) = limit else {
            self.admit(user);
            return true;
        };
        let mine = self.places.get(user).copied().unwrap_or_default();
        let fewer = |other: usize| {
            other != user
                && self.wanting & bit(other) != 0
                && self.places.get(other).is_some_and(|n| *n < mine)
        };
        if self.in_flight() >= limit || (0..USERS).any(fewer) {
            // One that has all places that it may have by its own limit is not waited for.
            if mine < limit {
                self.wanting |= bit(user);
            }
            return false;
        }
        self.admit(user);
        self.wanting &= !bit(user);
        true
    }

    /// Whether a user could enter now. Nothing is noted.
    pub fn has_room(&self, user: usize, limit: Option<u32>) -> bool {
        let mut then = *self;
        then.enter(user, limit)
    }

    /// Takes a place whatever the limit: for a task that is at the provider already.
    pub fn admit(&mut self, user: usize) {
        if let Some(places) = self.places.get_mut(user) {
            *places = places.saturating_add(1);
        }
    }

    /// Gives a place back.
    pub fn leave(&mut self, user: usize) {
        if let Some(places) = self.places.get_mut(user) {
            *places = places.saturating_sub(1);
        }
    }

    /// A user waits for no place any more.
    pub fn waits_no_more(&mut self, user: usize) {
        self.wanting &= !bit(user);
    }

    /// A user ends, or begins anew: it has nothing.
    pub fn forget(&mut self, user: usize) {
        self.waits_no_more(user);
        if let Some(places) = self.places.get_mut(user) {
            *places = 0;
        }
    }

    /// Whether others than this user have places, or wait for one.
    pub fn is_shared_with(&self, user: usize) -> bool {
        let has = |other: usize| self.places.get(other).is_some_and(|places| *places > 0);
        (0..USERS).any(|other| other != user && (has(other) || self.wanting & bit(other) != 0))
    }

    /// Calls in flight with it.
    pub fn in_flight(&self) -> u32 {
        self.places.iter().fold(0, |sum, places| sum.saturating_add(*places))
    }

    /// How submissions follow each other.
    pub fn rate(&mut self) -> &mut Rate {
        &mut self.rate
    }

    /// Whether it is used by none, and nothing needs to be remembered of it.
    pub fn is_idle(&self, now: i64) -> bool {
        self.in_flight() == 0 && self.wanting == 0 && self.rest.until <= now && self.rate.start(0, now) <= now
    }

    /// What it rests for, and for how long; `None` when it can be used. `apart_from`: one that has learnt it itself, and knows by other
    /// means what to do about it.
    pub fn rests(&self, now: i64, apart_from: Option<usize>) -> Option<(ErrorCode, i64)> {
        let code = self.rest.code.filter(|_| apart_from != Some(usize::from(self.rest.by)))?;
        (self.rest.until > now).then_some((code, self.rest.until - now))
    }

    /// It is about to be used. Where it has rested this is a probe, and others wait for what comes of that.
    pub fn probe(&mut self, now: i64) {
        if self.rest.code.is_some() && self.rest.until <= now {
            self.rest.until = now.saturating_add(PROBE);
        }
    }

    /// Its provider has let it in.
    pub fn succeeded(&mut self) {
        self.rest = Rest::default();
    }

    /// A call of a user with it has failed; true where that is its own failure, and new.
    pub fn failed(&mut self, user: usize, failure: &Failure, now: i64) -> bool {
        if !is_of_key(failure) {
            return false;
        }
        let before = self.rest;
        let code = failure.code();
        let hint = match failure {
            Failure::RateLimited { after: Some(after) } => {
                i64::try_from(after.as_micros()).unwrap_or(i64::MAX)
            }
            _ => 0,
        };
        let rest = match failure {
            Failure::RateLimited { .. } if hint > 0 => hint,
            Failure::RateLimited { .. } => {
                // Those that were on their way when it began to rest are no further failures.
                let times =
                    if before.until > now { before.failures.saturating_sub(1) } else { before.failures };
                FIRST_REST.saturating_mul(1 << times.min(10)).min(LONGEST_REST)
            }
            _ => BENCH,
        };
        let failures =
            before.failures.saturating_add(u32::from(before.until <= now || before.code != Some(code)));
        // What is worse stays: an account that is refused is no matter of a second.
        let until = now.saturating_add(rest).max(if before.code.is_some_and(is_of_account) {
            before.until
        } else {
            0
        });
        let code = match before.code {
            Some(worse) if is_of_account(worse) && !is_of_account(code) && before.until > now => worse,
            _ => code,
        };
        let by = u8::try_from(user).unwrap_or(u8::MAX);
        self.rest = Rest { until, code: Some(code), failures, by };
        before.code != Some(code)
    }

    /// What is left on its account: with credit it rests no more for want of it, without it rests. True where that is new.
    pub fn credit(&mut self, user: usize, has_credit: bool, now: i64) -> bool {
        let broke = self.rest.code == Some(ErrorCode::InsufficientCredits);
        match (has_credit, broke) {
            (true, true) => self.succeeded(),
            (false, _) => return self.failed(user, &Failure::OutOfCredit, now),
            (true, false) => return false,
        }
        true
    }

    /// Forgets what a change of keys can have mended.
    pub fn forget_account(&mut self) {
        if self.rest.code.is_some_and(is_of_account) {
            self.rest = Rest::default();
        }
    }

    /// As it can be shown.
    pub fn standing(&self, now: i64) -> Standing {
        Standing {
            in_flight: self.in_flight(),
            rest: self.rest.code.map(|code| (code, self.rest.until.saturating_sub(now).max(0))),
            failures: self.rest.failures,
        }
    }
}

fn bit(user: usize) -> u64 {
    u32::try_from(user).ok().and_then(|user| 1_u64.checked_shl(user)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Option<u32> = Some(4);

    #[test]
    fn users_have_as_many_places_together_as_the_key() {
        let mut key = KeyUse::NEW;
        let got: Vec<bool> = (0..6).map(|n| key.enter(n % 3, LIMIT)).collect();
        assert_eq!(got, [true, true, true, true, false, false]);
        assert_eq!(key.in_flight(), 4);
        // What is at the provider already counts, whatever the limit.
        key.admit(2);
        key.leave(0);
        assert!(!key.enter(0, LIMIT), "more are inside than there are places");
        key.forget(2);
        assert!(key.enter(0, LIMIT) && key.in_flight() == 3, "one that has died has none");
        assert!((0..100).all(|_| key.enter(1, None)), "no limit");
    }

    #[test]
    fn a_place_goes_to_the_one_that_waits_and_has_the_fewest() {
        let mut key = KeyUse::NEW;
        assert!((0..4).all(|_| key.enter(0, LIMIT)));
        assert!(!key.enter(1, LIMIT));
        for (has, of) in [(3, 1), (2, 2)] {
            key.leave(0);
            assert!(!key.enter(0, LIMIT), "another one waits, which has fewer");
            assert!(key.enter(1, LIMIT) && !key.enter(1, LIMIT));
            assert_eq!((key.places[0], key.places[1]), (has, of));
        }
        // Each has its share: whoever comes first.
        key.leave(0);
        assert!(key.has_room(0, LIMIT) && key.enter(0, LIMIT));
        key.waits_no_more(1);
        key.leave(1);
        assert!(key.enter(0, LIMIT) && key.places[0] == 3);
        // By a limit of its own it has all that it may have.
        key.leave(1);
        assert!(!key.enter(1, Some(0)) && key.enter(0, LIMIT));
    }

    #[test]
    fn a_refused_key_is_benched_and_one_that_sent_too_much_rests() {
        let mut key = KeyUse::NEW;
        assert!(
            !key.failed(0, &Failure::Overloaded { after: None }, 0) && key.rests(0, None).is_none(),
            "it is the provider's"
        );
        for (failure, code, rest) in [
            (Failure::Unauthorized, ErrorCode::Auth, BENCH),
            (Failure::OutOfCredit, ErrorCode::InsufficientCredits, BENCH),
            (Failure::PolicyBlocked, ErrorCode::PolicyBlock, BENCH),
            (Failure::RateLimited { after: None }, ErrorCode::RateLimited, FIRST_REST),
            (
                Failure::RateLimited { after: Some(Duration::from_secs(7)) },
                ErrorCode::RateLimited,
                7 * SECOND,
            ),
        ] {
            let mut key = KeyUse::NEW;
            assert!(key.failed(0, &failure, SECOND) && !key.failed(0, &failure, SECOND), "{failure:?}");
            assert_eq!(key.rests(SECOND, None), Some((code, rest)), "{failure:?}");
            assert_eq!((key.rests(SECOND + rest, None), key.standing(SECOND + rest).failures), (None, 1));
            key.succeeded();
            assert_eq!(key.standing(SECOND), KeyUse::NEW.standing(SECOND));
        }
        // Each time longer, while nothing succeeds.
        let mut now = 0;
        let rests: Vec<i64> = (0..9)
            .map(|_| {
                key.failed(0, &Failure::RateLimited { after: None }, now);
                let (_, rest) = key.rests(now, None).unwrap();
                now += rest;
                rest / SECOND
            })
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
    }

    #[test]
    fn a_key_that_has_rested_is_tried_by_one_and_what_is_worse_stays() {
        let mut key = KeyUse::NEW;
        key.failed(0, &Failure::Unauthorized, 0);
        assert!(!key.failed(0, &Failure::RateLimited { after: None }, SECOND));
        assert_eq!(key.rests(SECOND, None), Some((ErrorCode::Auth, BENCH - SECOND)));
        assert!(key.rests(BENCH, None).is_none());
        key.probe(BENCH);
        assert_eq!(
            key.rests(BENCH, None),
            Some((ErrorCode::Auth, PROBE)),
            "the others wait for what it hears"
        );
        key.forget_account();
        assert!(key.rests(BENCH, None).is_none() && !key.credit(0, true, 0));
        assert!(key.credit(0, false, 0) && !key.credit(0, false, SECOND) && key.credit(0, true, SECOND));
        key.failed(0, &Failure::RateLimited { after: None }, 0);
        key.forget_account();
        assert!(key.rests(0, None).is_some(), "other keys mend no rate");
        assert!(!key.is_idle(0) && key.is_idle(2 * SECOND));
        assert!(
            key.rests(0, Some(0)).is_none() && key.rests(0, Some(1)).is_some(),
            "who has learnt it knows better"
        );
        assert!(
            id("https://a", "K") != id("https://a", "K_1") && id("https://a", "K") != id("https://b", "K")
        );
    }
}

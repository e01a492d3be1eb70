//! Which providers are well: what one job learns spares all others.
//!
//! A circuit breaker for each provider and model. It opens after several failures in a row, lets a single probe through
//! after a pause, and then opens wider with every success, so that nobody is overrun at his recovery. Refusals and bad
//! requests say nothing about a provider's health.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::failure::{ErrorCode, Failure};

/// The first pause of a breaker that opens; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause for an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// A wrong key or an empty account is a matter of minutes, not of requests.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(300);
/// What a provider that says "too many" without saying for how long is given.
const RATE_PAUSE: Duration = Duration::from_secs(1);
/// When to ask again at a door where others are being let in one by one.
const CROWDED: Duration = Duration::from_secs(2);
/// From so many at a time on, a recovering provider counts as well.
const WELL: u32 = 64;

/// What is known about one provider, or one of its models.
#[derive(Clone, Debug)]
struct Mark {
    state: State,
    /// When the state began, in milliseconds of Unix time.
    since: i64,
    /// Failures in a row.
    failures: u32,
    last: Option<(ErrorCode, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        until: i64,
        pause: Duration,
    },
    /// So many may be at it at a time, so many are.
    HalfOpen {
        allowed: u32,
        inside: u32,
        pause: Duration,
    },
}

/// The answer to whoever wants to call a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Door {
    /// Come in.
    Open,
    /// Come in, as one of few: it is just recovering.
    Ajar,
    /// Come back later, or go elsewhere.
    Shut {
        /// When it can open at the earliest.
        after: Duration,
        /// Why it is shut.
        code: ErrorCode,
    },
}

/// What everybody may see.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The provider's id.
    pub provider: String,
    /// The model; empty for the provider as a whole.
    pub model: String,
    /// `up`, `down` or `recovering`.
    pub state: &'static str,
    /// Since when, in milliseconds of Unix time.
    pub since: i64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure.
    pub last_error_code: Option<ErrorCode>,
    /// When it was.
    pub last_error_at: Option<i64>,
}

/// The health of all providers.
#[derive(Debug, Default)]
pub struct Health {
    marks: HashMap<(String, String), Mark>,
    changed: Vec<(String, String)>,
}

impl Health {
    /// What [`Health::enter`] would say, for whoever still has to wait in line.
    pub fn look(&self, provider: &str, model: &str, now: i64) -> Door {
        for key in keys(provider, model) {
            let Some(mark) = self.marks.get(&key) else { continue };
            let code = mark.last.map_or(ErrorCode::Overloaded, |(code, _)| code);
            match mark.state {
                State::Open { until, .. } if now < until => {
                    return Door::Shut { after: until_from(until, now), code };
                }
                State::HalfOpen { allowed, inside, .. } if inside >= allowed => {
                    return Door::Shut { after: CROWDED, code };
                }
                _ => {}
            }
        }
        Door::Open
    }

    /// Asks to be let in at a provider and model. Whoever is let in says [`Health::leave`] at the end.
    pub fn enter(&mut self, provider: &str, model: &str, now: i64) -> Door {
        if let shut @ Door::Shut { .. } = self.look(provider, model, now) {
            return shut;
        }
        for key in keys(provider, model) {
            if let Some(mark) = self.marks.get_mut(&key)
                && let State::Open { pause, .. } = mark.state
            {
                mark.state = State::HalfOpen { allowed: 1, inside: 0, pause };
                mark.since = now;
                self.changed.push(key);
            }
        }
        let mut door = Door::Open;
        for key in keys(provider, model) {
            if let Some(Mark { state: State::HalfOpen { inside, .. }, .. }) = self.marks.get_mut(&key) {
                *inside += 1;
                door = Door::Ajar;
            }
        }
        door
    }

    /// A call is over, however it ended.
    pub fn leave(&mut self, provider: &str, model: &str) {
        for key in keys(provider, model) {
            if let Some(Mark { state: State::HalfOpen { inside, .. }, .. }) = self.marks.get_mut(&key) {
                *inside = inside.saturating_sub(1);
            }
        }
    }

    /// Learns from a call. `limit` failures in a row open the breaker; 0 never does.
    pub fn observe(&mut self, provider: &str, model: &str, failure: Option<&Failure>, limit: u32, now: i64) {
        let Some(failure) = failure else {
            keys(provider, model).into_iter().for_each(|key| self.succeeded(key, now));
            return;
        };
        let whole = || (provider.to_owned(), String::new());
        let one = || (provider.to_owned(), model.to_owned());
        let code = failure.code();
        match failure {
            Failure::RateLimited { after } => {
                // It works, and says when to come back. Then it is asked by one first, not by all who waited.
                let pause = after.unwrap_or(RATE_PAUSE);
                let mark = self.mark(one(), now);
                mark.last = Some((code, now));
                if limit > 0 {
                    mark.state = State::Open { until: now + pause.as_millis() as i64, pause };
                    mark.since = now;
                    self.changed.push(one());
                }
            }
            Failure::Overloaded { .. } | Failure::TimedOut | Failure::Uncertain => {
                self.failed(one(), code, limit, FIRST_PAUSE, now);
            }
            Failure::Unauthorized => self.failed(whole(), code, limit.min(2), ACCOUNT_PAUSE, now),
            // An empty account does not fill itself: the next call would say the same.
            Failure::OutOfCredit => self.failed(whole(), code, limit.min(1), ACCOUNT_PAUSE, now),
            Failure::ModelGone | Failure::PolicyBlocked => {
                self.failed(one(), code, limit.min(2), ACCOUNT_PAUSE, now)
            }
            _ => {}
        }
    }

    fn mark(&mut self, key: (String, String), now: i64) -> &mut Mark {
        let fresh = || Mark { state: State::Closed, since: now, failures: 0, last: None };
        self.marks.entry(key).or_insert_with(fresh)
    }

    fn failed(&mut self, key: (String, String), code: ErrorCode, limit: u32, first: Duration, now: i64) {
        let mark = self.mark(key.clone(), now);
        mark.failures = mark.failures.saturating_add(1);
        mark.last = Some((code, now));
        let pause = match mark.state {
            State::HalfOpen { pause, .. } => (pause * 2).clamp(first, LONGEST_PAUSE.max(first)),
            State::Closed if limit > 0 && mark.failures >= limit => first,
            // Those that were let in before it opened tell nothing new.
            State::Closed | State::Open { .. } => return,
        };
        mark.state = State::Open { until: now + pause.as_millis() as i64, pause };
        mark.since = now;
        self.changed.push(key);
    }

    fn succeeded(&mut self, key: (String, String), now: i64) {
        let Some(mark) = self.marks.get_mut(&key) else { return };
        mark.failures = 0;
        match &mut mark.state {
            State::HalfOpen { allowed, .. } if *allowed < WELL => *allowed *= 2,
            State::HalfOpen { .. } => {
                mark.state = State::Closed;
                mark.since = now;
                self.changed.push(key);
            }
            // A straggler from before does not prove a recovery; a probe will.
            State::Open { .. } | State::Closed => {}
        }
    }

    /// Learns from a provider's balance whether there is credit. With credit, what an empty account has shut is open at once;
    /// what another failure has shut is not. Without, the provider is shut until there is some or a probe succeeds; with a
    /// `limit` of 0 it never is.
    pub fn credit(&mut self, provider: &str, has_credit: bool, limit: u32, now: i64) {
        let key = (provider.to_owned(), String::new());
        let broke = |mark: &Mark| matches!(mark.last, Some((ErrorCode::InsufficientCredits, _)));
        if has_credit {
            if let Some(mark) = self.marks.get_mut(&key).filter(|mark| broke(mark))
                && (mark.state != State::Closed || mark.failures > 0)
            {
                (mark.state, mark.since, mark.failures) = (State::Closed, now, 0);
                self.changed.push(key);
            }
        } else if limit > 0 {
            let mark = self.mark(key.clone(), now);
            let news = !broke(mark) || !matches!(mark.state, State::Open { .. });
            let until = now + ACCOUNT_PAUSE.as_millis() as i64;
            mark.state = State::Open { until, pause: ACCOUNT_PAUSE };
            mark.last = Some((ErrorCode::InsufficientCredits, now));
            mark.failures = mark.failures.max(1);
            if news {
                mark.since = now;
                self.changed.push(key);
            }
        }
    }

    /// Forgets what a change of keys can have mended.
    pub fn forget_accounts(&mut self, now: i64) {
        let account = |mark: &Mark| {
            matches!(
                mark.last,
                Some((ErrorCode::Auth | ErrorCode::InsufficientCredits | ErrorCode::PolicyBlock, _))
            )
        };
        let mended: Vec<_> =
            self.marks.iter().filter(|(_, m)| account(m)).map(|(key, _)| key.clone()).collect();
        for key in mended {
            if let Some(mark) = self.marks.get_mut(&key)
                && (mark.state != State::Closed || mark.failures > 0)
            {
                (mark.state, mark.since, mark.failures) = (State::Closed, now, 0);
                self.changed.push(key);
            }
        }
    }

    /// What has changed since the last call of this.
    pub fn changes(&mut self) -> Vec<Row> {
        let mut keys = std::mem::take(&mut self.changed);
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| {
                let mark = self.marks.get(&key)?;
                Some(Row {
                    provider: key.0,
                    model: key.1,
                    state: match mark.state {
                        State::Closed => "up",
                        State::Open { .. } => "down",
                        State::HalfOpen { .. } => "recovering",
                    },
                    since: mark.since,
                    failures: mark.failures,
                    last_error_code: mark.last.map(|(code, _)| code),
                    last_error_at: mark.last.map(|(_, at)| at),
                })
            })
            .collect()
    }
}

/// The provider as a whole, and one of its models.
fn keys(provider: &str, model: &str) -> [(String, String); 2] {
    [(provider.to_owned(), String::new()), (provider.to_owned(), model.to_owned())]
}

fn until_from(until: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(until - now).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Failure = Failure::Overloaded { after: None };

    fn is_open(health: &mut Health, now: i64) -> bool {
        !matches!(health.enter("a", "m", now), Door::Shut { .. })
    }

    fn broken() -> Health {
        let mut health = Health::default();
        for _ in 0..5 {
            health.observe("a", "m", Some(&DOWN), 5, 0);
        }
        health
    }

    #[test]
    fn a_dead_provider_is_left_alone_and_probed_by_one() {
        let mut health = broken();
        assert!(!is_open(&mut health, 0) && !is_open(&mut health, 9_999));
        // Other models and other providers are not touched.
        assert_eq!(health.enter("a", "other", 0), Door::Open);
        assert_eq!(health.enter("b", "m", 0), Door::Open);
        assert_eq!(health.look("a", "m", 10_000), Door::Open, "looking lets nobody in");
        let inside = (0..500).filter(|_| is_open(&mut health, 10_000)).count();
        assert_eq!(inside, 1, "one probe for all jobs");
        health.observe("a", "m", Some(&DOWN), 5, 10_500);
        health.leave("a", "m");
        assert!(!is_open(&mut health, 30_499), "the pause doubles");
        assert!(is_open(&mut health, 30_500));
    }

    #[test]
    fn in_a_minute_of_outage_a_handful_of_probes_goes_out() {
        let (mut health, mut probes) = (broken(), 0);
        for now in (0..60_000).step_by(100) {
            for _ in 0..5 {
                if is_open(&mut health, now) {
                    probes += 1;
                    health.observe("a", "m", Some(&DOWN), 5, now);
                    health.leave("a", "m");
                }
            }
        }
        assert!((2..=3).contains(&probes), "{probes}");
    }

    #[test]
    fn recovery_is_gradual() {
        let mut health = broken();
        let mut admitted = vec![];
        for round in 0..8 {
            let now = 10_000 + round * 1_000;
            let inside = (0..1_000).filter(|_| is_open(&mut health, now)).count();
            admitted.push(inside);
            health.observe("a", "m", None, 5, now);
            (0..inside).for_each(|_| health.leave("a", "m"));
        }
        assert_eq!(admitted[..7], [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(admitted[7], 1_000);
    }

    #[test]
    fn what_says_nothing_about_health_changes_nothing() {
        let mut health = Health::default();
        for failure in [Failure::Refused, Failure::Invalid, Failure::Canceled, Failure::Broken] {
            for _ in 0..20 {
                health.observe("a", "m", Some(&failure), 5, 0);
            }
        }
        assert!(is_open(&mut health, 0));
        for _ in 0..20 {
            health.observe("a", "m", Some(&DOWN), 0, 0);
        }
        assert!(is_open(&mut health, 0), "0 switches the breaker off");
    }

    #[test]
    fn a_provider_that_says_later_is_asked_later_and_an_account_stops_all_its_models() {
        let mut health = Health::default();
        health.observe("a", "m", Some(&Failure::RateLimited { after: Some(Duration::from_secs(7)) }), 5, 0);
        assert_eq!(
            health.enter("a", "m", 1_000),
            Door::Shut { after: Duration::from_secs(6), code: ErrorCode::RateLimited }
        );
        assert!(is_open(&mut health, 7_000));
        health.observe("a", "m", Some(&Failure::Unauthorized), 5, 8_000);
        health.observe("a", "m", Some(&Failure::Unauthorized), 5, 8_000);
        assert!(matches!(health.enter("a", "other", 9_000), Door::Shut { code: ErrorCode::Auth, .. }));
        health.forget_accounts(9_000);
        assert_eq!(health.enter("a", "other", 9_000), Door::Open);
        assert!(
            health.changes().iter().any(|row| row.provider == "a" && row.state == "up" && row.since == 9_000)
        );
        // News are told once, however often the keys are read again.
        health.forget_accounts(10_000);
        assert!(health.changes().is_empty());
    }

    #[test]
    fn the_first_word_of_an_empty_account_shuts_the_whole_provider() {
        let mut health = Health::default();
        health.observe("a", "m", Some(&Failure::OutOfCredit), 5, 0);
        let shut =
            |after| Door::Shut { after: Duration::from_secs(after), code: ErrorCode::InsufficientCredits };
        assert_eq!(health.enter("a", "other", 0), shut(300));
        assert_eq!(health.enter("b", "m", 0), Door::Open);
        // Between probes it stays shut for as long.
        let mut now = 0;
        for _ in 0..4 {
            now += 300_000;
            assert_eq!(health.enter("a", "m", now), Door::Ajar);
            health.observe("a", "m", Some(&Failure::OutOfCredit), 5, now);
            health.leave("a", "m");
            assert_eq!(health.look("a", "m", now), shut(300));
        }
        // A probe that is paid for shows that there is credit again.
        assert_eq!(health.enter("a", "m", now + 300_000), Door::Ajar);
        health.observe("a", "m", None, 5, now + 300_000);
        assert_eq!(health.enter("a", "m", now + 300_000), Door::Ajar);
    }

    #[test]
    fn a_balance_opens_and_shuts_a_provider() {
        let mut health = Health::default();
        health.observe("a", "m", Some(&Failure::OutOfCredit), 5, 0);
        assert_eq!(health.changes().len(), 1);
        health.credit("a", true, 5, 1_000);
        assert_eq!(health.enter("a", "m", 1_000), Door::Open);
        let rows = health.changes();
        assert_eq!((rows.len(), rows[0].state, rows[0].failures, rows[0].since), (1, "up", 0, 1_000));
        health.credit("a", true, 5, 2_000);
        assert!(health.changes().is_empty(), "the same again is no news");

        health.credit("a", false, 5, 3_000);
        let rows = health.changes();
        assert_eq!((rows[0].provider.as_str(), rows[0].model.as_str(), rows[0].state), ("a", "", "down"));
        assert_eq!(rows[0].last_error_code, Some(ErrorCode::InsufficientCredits));
        health.credit("a", false, 5, 200_000);
        assert!(health.changes().is_empty());
        assert!(matches!(
            health.look("a", "m", 499_999),
            Door::Shut { code: ErrorCode::InsufficientCredits, .. }
        ));
        assert_eq!(health.enter("a", "m", 500_000), Door::Ajar);
        // Word of an empty account shuts it again while the probe is out, and the probe's leaving is harmless.
        health.credit("a", false, 5, 500_001);
        health.leave("a", "m");
        assert!(!is_open(&mut health, 500_002));
    }

    #[test]
    fn credit_mends_nothing_but_an_empty_account() {
        let mut health = Health::default();
        health.observe("a", "m", Some(&Failure::Unauthorized), 1, 0);
        health.credit("a", true, 5, 1);
        assert!(matches!(health.look("a", "m", 1), Door::Shut { code: ErrorCode::Auth, .. }));
        let mut down = broken();
        down.credit("a", true, 5, 1);
        assert!(!is_open(&mut down, 1), "an overloaded model stays shut");
    }

    #[test]
    fn a_breaker_that_is_switched_off_is_off_for_empty_accounts_too() {
        let mut health = Health::default();
        for _ in 0..20 {
            health.observe("a", "m", Some(&Failure::OutOfCredit), 0, 0);
        }
        health.credit("a", false, 0, 0);
        assert_eq!(health.enter("a", "m", 0), Door::Open);
    }
}

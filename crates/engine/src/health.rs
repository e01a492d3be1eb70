//! Which providers are well: what one job learns spares all others.
//!
//! A circuit breaker for each provider and model. It opens when calls fail, lets a single probe through after a pause that
//! grows, and then opens wider with every success, so that no provider is overrun at its recovery. Refusals and bad
//! requests say nothing about a provider's health.
//!
//! Jobs that have nowhere else to go wait in line at a circuit that is recovering, in the order of the queue; probes are
//! given to the one that has been turned away least often, so that a job that is always refused holds up no other.

mod line;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::failure::{ErrorCode, Failure};
use line::Line;

/// The first pause of a breaker that opens; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause for an outage, as long as every job has another candidate.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The longest pause for an outage where jobs have nowhere else to go.
const LONGEST_PAUSE_ALONE: Duration = Duration::from_secs(15);
/// A wrong key or an empty account is a matter of minutes, not of requests.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(300);
/// The first pause of a provider that says "too many" without saying for how long.
const RATE_PAUSE: Duration = Duration::from_secs(1);
/// When to ask again at a circuit where others are being let in one by one.
const CROWDED: Duration = Duration::from_secs(2);
/// From so many at a time on, a recovering provider counts as well.
const WELL: u32 = 64;
/// Jobs that wait for an open circuit come back in groups of this size,
const GROUP: usize = 50;
/// and one group after the other.
const GROUP_PAUSE: Duration = Duration::from_millis(500);
/// So many lines about one circuit go into the log in an hour.
const LINES_AN_HOUR: usize = 4;
const HOUR: i64 = 3_600_000;

/// What is known about one provider, or one of its models.
#[derive(Clone, Debug)]
struct Circuit {
    state: State,
    /// When the state began, in milliseconds of Unix time.
    since: i64,
    /// Failures in a row.
    failures: u32,
    last: Option<(ErrorCode, i64)>,
    /// The jobs that were told to come back since it opened, by their place in the queue.
    told_later: Vec<i64>,
    /// Which time of recovering it is: those that were let in earlier are none of its probes.
    round: u64,
    /// What the log says: whether it is down, and when the last lines were written.
    logged: (bool, Vec<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        /// When it is probed by a job that could go elsewhere.
        until: i64,
        /// When it is probed by a job that could not.
        until_alone: i64,
        pause: Duration,
    },
    /// So many may be at it at a time, so many are.
    HalfOpen {
        allowed: u32,
        inside: u32,
        pause: Duration,
    },
}

/// A job that wants to call a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caller {
    /// Names it while it waits.
    pub ticket: u64,
    /// Its place in the queue.
    pub seq: i64,
    /// How often the provider has turned it away so far.
    pub tries: u32,
    /// It has nowhere else to go.
    pub alone: bool,
}

/// The answer to a job that wants to call a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may. [`Health::leave`] takes the permit back.
    Admitted(Permit),
    /// [`Health::decide`] will say.
    Waiting,
    /// Not now: come back later, or go elsewhere.
    Refused {
        /// When to ask again at the earliest.
        after: Duration,
        /// What the provider suffers from.
        code: ErrorCode,
    },
}

/// The permission to call a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Permit {
    provider: String,
    model: String,
    /// In which round of recovering it was given, for the provider and for the model; `None` where the circuit was closed.
    rounds: [Option<u64>; 2],
}

/// What may be seen of a circuit.
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
    /// What the log should say about it, where that is news: a probe is none.
    #[serde(skip)]
    pub news: Option<&'static str>,
}

/// The health of all providers.
#[derive(Debug, Default)]
pub struct Health {
    circuits: HashMap<Key, Circuit>,
    lines: HashMap<Key, Line>,
    changed: Vec<Key>,
}

/// A provider and a model; an empty model is the provider as a whole.
type Key = (String, String);

/// What a circuit says to one more caller.
enum Passage {
    Free,
    /// The next one is the probe.
    Probe,
    /// As many are inside as may be.
    ProbesInFlight(ErrorCode),
    Open(Duration, ErrorCode),
}

impl Health {
    /// Asks to be let in at a provider and model.
    pub fn ask(&mut self, provider: &str, model: &str, caller: Caller, now: i64) -> Verdict {
        let line = (provider.to_owned(), model.to_owned());
        let waits = self.lines.get(&line).is_some_and(|line| !line.is_empty());
        match self.passage(provider, model, caller.alone, now) {
            Passage::Open(after, code) => self.refuse(&line, caller.alone.then_some(caller.seq), after, code),
            Passage::Free if !waits => Verdict::Admitted(self.admit(provider, model, now)),
            Passage::Probe if !caller.alone => Verdict::Admitted(self.admit(provider, model, now)),
            Passage::ProbesInFlight(code) if !caller.alone => Verdict::Refused { after: CROWDED, code },
            Passage::Free | Passage::Probe | Passage::ProbesInFlight(_) => {
                self.lines.entry(line).or_default().join(caller, now);
                Verdict::Waiting
            }
        }
    }

    /// One that waits has gone.
    pub fn withdraw(&mut self, provider: &str, model: &str, ticket: u64) {
        let key = (provider.to_owned(), model.to_owned());
        if let Some(line) = self.lines.get_mut(&key) {
            line.remove(ticket);
            if line.is_empty() {
                self.lines.remove(&key);
            }
        }
    }

    /// Decides about those that wait, where it is time to; each is told by its ticket.
    pub fn decide(&mut self, now: i64) -> Vec<(u64, Verdict)> {
        let mut decided = vec![];
        let keys: Vec<Key> = self.lines.keys().cloned().collect();
        for (provider, model) in keys {
            let key = (provider.clone(), model.clone());
            while let Some(line) = self.lines.get(&key) {
                let next = match self.passage(&provider, &model, true, now) {
                    Passage::ProbesInFlight(_) => break,
                    Passage::Probe if !line.is_gathered(now) => break,
                    Passage::Probe => line.fairest(),
                    Passage::Free => line.first(),
                    Passage::Open(after, code) => {
                        for (seq, ticket) in self.lines.remove(&key).into_iter().flat_map(Line::into_order) {
                            decided.push((ticket, self.refuse(&key, Some(seq), after, code)));
                        }
                        break;
                    }
                };
                let Some(ticket) = next else { break };
                self.withdraw(&provider, &model, ticket);
                decided.push((ticket, Verdict::Admitted(self.admit(&provider, &model, now))));
            }
        }
        decided
    }

    /// When [`Health::decide`] has something to say although nothing has happened.
    pub fn next_decision(&self, now: i64) -> Option<i64> {
        self.lines.values().map(Line::gathered_at).filter(|at| *at > now).min()
    }

    fn passage(&self, provider: &str, model: &str, alone: bool, now: i64) -> Passage {
        let mut passage = Passage::Free;
        for key in keys(provider, model) {
            let Some(circuit) = self.circuits.get(&key) else { continue };
            let code = circuit.last.map_or(ErrorCode::Overloaded, |(code, _)| code);
            match circuit.state {
                State::Open { until, until_alone, .. } => {
                    let until = if alone { until_alone } else { until };
                    if now < until {
                        return Passage::Open(until_from(until, now), code);
                    }
                    passage = Passage::Probe;
                }
                State::HalfOpen { allowed, inside, .. } if inside >= allowed => {
                    return Passage::ProbesInFlight(code);
                }
                State::HalfOpen { .. } | State::Closed => {}
            }
        }
        passage
    }

    /// A job that has nowhere else to go comes back in the order of the queue, a group at a time.
    fn refuse(&mut self, key: &Key, seq: Option<i64>, after: Duration, code: ErrorCode) -> Verdict {
        let mut before = 0;
        if let (Some(seq), Some(circuit)) = (seq, self.circuits.get_mut(key)) {
            let told = &mut circuit.told_later;
            before = told.binary_search(&seq).unwrap_or_else(|place| {
                told.insert(place, seq);
                place
            });
        }
        let groups = u32::try_from(before / GROUP).unwrap_or(u32::MAX);
        Verdict::Refused { after: after.saturating_add(GROUP_PAUSE.saturating_mul(groups)), code }
    }

    fn admit(&mut self, provider: &str, model: &str, now: i64) -> Permit {
        let rounds = keys(provider, model).map(|key| {
            let circuit = self.circuits.get_mut(&key)?;
            if let State::Open { pause, .. } = circuit.state {
                circuit.state = State::HalfOpen { allowed: 1, inside: 0, pause };
                circuit.since = now;
                circuit.round += 1;
                self.changed.push(key);
            }
            let State::HalfOpen { inside, .. } = &mut circuit.state else { return None };
            *inside += 1;
            Some(circuit.round)
        });
        Permit { provider: provider.to_owned(), model: model.to_owned(), rounds }
    }

    /// True while a permit is worth what it was when it was given: no circuit has opened since.
    pub fn is_valid(&self, permit: &Permit) -> bool {
        keys(&permit.provider, &permit.model).iter().zip(permit.rounds).all(|(key, round)| {
            let Some(circuit) = self.circuits.get(key) else { return true };
            match circuit.state {
                State::Closed => true,
                State::Open { .. } => false,
                State::HalfOpen { .. } => round == Some(circuit.round),
            }
        })
    }

    /// A call is over, however it ended.
    pub fn leave(&mut self, permit: &Permit) {
        for (key, given) in keys(&permit.provider, &permit.model).into_iter().zip(permit.rounds) {
            if let Some(Circuit { state: State::HalfOpen { inside, .. }, round, .. }) =
                self.circuits.get_mut(&key)
                && given == Some(*round)
            {
                *inside = inside.saturating_sub(1);
            }
        }
    }

    /// A provider has accepted a call. Where it had turned calls away for their number, that is what a recovery looks like.
    pub fn accepted(&mut self, provider: &str, model: &str, now: i64) {
        for key in keys(provider, model) {
            let limited = |circuit: &Circuit| matches!(circuit.last, Some((ErrorCode::RateLimited, _)));
            if self.circuits.get(&key).is_some_and(limited) {
                self.succeeded(key, now);
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
        let outage = |limit, pause, hint: Option<Duration>| Trouble {
            code: failure.code(),
            limit,
            pause,
            hint: hint.unwrap_or_default(),
            alone: LONGEST_PAUSE_ALONE,
        };
        let account = |limit, pause| Trouble { alone: Duration::MAX, ..outage(limit, pause, None) };
        match failure {
            // A quota is a model's own, as far as providers say what it is of.
            Failure::RateLimited { after: Some(after) } if failure.is_used_up_quota() => {
                self.failed(one(), account(limit.min(1), *after), now);
            }
            // It works, and wants fewer calls: from the first word on.
            Failure::RateLimited { after } => {
                self.failed(one(), outage(limit.min(1), RATE_PAUSE, *after), now);
            }
            Failure::Overloaded { after } => self.failed(one(), outage(limit, FIRST_PAUSE, *after), now),
            Failure::TimedOut | Failure::Uncertain => {
                self.failed(one(), outage(limit, FIRST_PAUSE, None), now);
            }
            Failure::Unauthorized => self.failed(whole(), account(limit.min(2), ACCOUNT_PAUSE), now),
            // An empty account does not fill itself: the next call would say the same.
            Failure::OutOfCredit => self.failed(whole(), account(limit.min(1), ACCOUNT_PAUSE), now),
            Failure::ModelGone | Failure::PolicyBlocked => {
                self.failed(one(), account(limit.min(2), ACCOUNT_PAUSE), now);
            }
            _ => {}
        }
    }

    fn circuit(&mut self, key: Key, now: i64) -> &mut Circuit {
        self.circuits.entry(key).or_insert_with(|| Circuit {
            state: State::Closed,
            since: now,
            failures: 0,
            last: None,
            told_later: vec![],
            round: 0,
            logged: (false, vec![]),
        })
    }

    fn failed(&mut self, key: Key, trouble: Trouble, now: i64) {
        let circuit = self.circuit(key.clone(), now);
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.last = Some((trouble.code, now));
        let longest = LONGEST_PAUSE.max(trouble.pause);
        let pause = match &mut circuit.state {
            // The first probe: nothing has become better.
            State::HalfOpen { allowed: 1, pause, .. } => (*pause * 2).clamp(trouble.pause, longest),
            State::HalfOpen { .. } => trouble.pause,
            State::Closed if trouble.limit > 0 && circuit.failures >= trouble.limit => trouble.pause,
            State::Closed => return,
            // Those that were let in before it opened tell nothing new but for how long.
            State::Open { until, until_alone, .. } => {
                let said = after(now, trouble.hint);
                (*until, *until_alone) = ((*until).max(said), (*until_alone).max(said));
                return;
            }
        };
        let wait = pause.max(trouble.hint);
        let wait_alone = pause.min(trouble.alone).max(trouble.hint);
        circuit.state = State::Open { until: after(now, wait), until_alone: after(now, wait_alone), pause };
        circuit.since = now;
        circuit.told_later.clear();
        self.changed.push(key);
    }

    fn succeeded(&mut self, key: Key, now: i64) {
        let Some(circuit) = self.circuits.get_mut(&key) else { return };
        circuit.failures = 0;
        match &mut circuit.state {
            State::HalfOpen { allowed, .. } if *allowed < WELL => *allowed *= 2,
            State::HalfOpen { .. } => {
                circuit.state = State::Closed;
                circuit.since = now;
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
        let broke = |circuit: &Circuit| matches!(circuit.last, Some((ErrorCode::InsufficientCredits, _)));
        if has_credit {
            if let Some(circuit) = self.circuits.get_mut(&key).filter(|circuit| broke(circuit))
                && (circuit.state != State::Closed || circuit.failures > 0)
            {
                (circuit.state, circuit.since, circuit.failures) = (State::Closed, now, 0);
                self.changed.push(key);
            }
        } else if limit > 0 {
            let circuit = self.circuit(key.clone(), now);
            let news = !broke(circuit) || !matches!(circuit.state, State::Open { .. });
            let until = after(now, ACCOUNT_PAUSE);
            circuit.state = State::Open { until, until_alone: until, pause: ACCOUNT_PAUSE };
            circuit.last = Some((ErrorCode::InsufficientCredits, now));
            circuit.failures = circuit.failures.max(1);
            if news {
                circuit.since = now;
                self.changed.push(key);
            }
        }
    }

    /// Forgets what a change of keys can have mended.
    pub fn forget_accounts(&mut self, now: i64) {
        let account = |circuit: &Circuit| {
            matches!(
                circuit.last,
                Some((ErrorCode::Auth | ErrorCode::InsufficientCredits | ErrorCode::PolicyBlock, _))
            )
        };
        for (key, circuit) in self.circuits.iter_mut().filter(|(_, circuit)| account(circuit)) {
            if circuit.state != State::Closed || circuit.failures > 0 {
                (circuit.state, circuit.since, circuit.failures) = (State::Closed, now, 0);
                self.changed.push(key.clone());
            }
        }
    }

    /// What has changed since the last call of this.
    pub fn changes(&mut self, now: i64) -> Vec<Row> {
        let mut keys = std::mem::take(&mut self.changed);
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| {
                let circuit = self.circuits.get_mut(&key)?;
                let news = circuit.news(now);
                Some(Row {
                    provider: key.0,
                    model: key.1,
                    state: match circuit.state {
                        State::Closed => "up",
                        State::Open { .. } => "down",
                        State::HalfOpen { .. } => "recovering",
                    },
                    since: circuit.since,
                    failures: circuit.failures,
                    last_error_code: circuit.last.map(|(code, _)| code),
                    last_error_at: circuit.last.map(|(_, at)| at),
                    news,
                })
            })
            .collect()
    }
}

/// A failure, as far as it concerns a circuit.
struct Trouble {
    code: ErrorCode,
    /// So many in a row open it; 0 never.
    limit: u32,
    /// Its first pause.
    pause: Duration,
    /// What the provider said.
    hint: Duration,
    /// The longest pause for jobs that have nowhere else to go.
    alone: Duration,
}

impl Circuit {
    /// What the log should say: that it went down, or came back; of one that does both often, only so much in an hour.
    fn news(&mut self, now: i64) -> Option<&'static str> {
        let (was_down, lines) = &mut self.logged;
        let is_down = self.state != State::Closed;
        lines.retain(|at| now - at < HOUR);
        if *was_down == is_down || lines.len() >= LINES_AN_HOUR {
            return None;
        }
        *was_down = is_down;
        lines.push(now);
        Some(match (is_down, lines.len() < LINES_AN_HOUR) {
            (true, true) => "down",
            (false, true) => "up",
            (true, false) => "down, and changes often: no more is said about it for a while",
            (false, false) => "up, and changes often: no more is said about it for a while",
        })
    }
}

/// The provider as a whole, and one of its models.
fn keys(provider: &str, model: &str) -> [Key; 2] {
    [(provider.to_owned(), String::new()), (provider.to_owned(), model.to_owned())]
}

fn after(now: i64, pause: Duration) -> i64 {
    now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

fn until_from(until: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}

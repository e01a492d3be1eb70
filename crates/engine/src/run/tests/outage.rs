//! Many jobs and an outage, by a clock of the test's own: who is called how often, and when and in which order all is done.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::health::{Caller, Health, Permit, Verdict};

/// A provider that turns every call away until a moment, and then takes this long for an image.
#[derive(Clone, Copy)]
struct Provider {
    recovers: i64,
    render: i64,
    places: usize,
}

/// What is to happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// It is claimed, in the order of the queue.
    Claim,
    /// An answer comes, or a pause is over.
    Go,
    /// Lines at circuits are looked at.
    Decide,
}

struct Flight {
    run: Run,
    permit: Option<Permit>,
    /// What the job waits for besides time: the answer to what it sent.
    answer: Option<Event>,
    accepted_at: i64,
}

struct Outage {
    now: i64,
    providers: BTreeMap<&'static str, Provider>,
    route: Vec<Candidate>,
    health: Health,
    events: BTreeSet<(i64, Next, usize)>,
    queued: BTreeMap<usize, (Progress, u32)>,
    flying: BTreeMap<usize, Flight>,
    /// Who waits for a place at each provider.
    lines: BTreeMap<String, Vec<usize>>,
    calls: Vec<(i64, String, usize, bool)>,
    done: Vec<(i64, usize)>,
    lines_in_the_log: usize,
    attempts: BTreeMap<usize, u32>,
    put_offs: usize,
}

impl Outage {
    fn new(providers: &[(&'static str, Provider)], jobs: impl IntoIterator<Item = i64>) -> Self {
        let route = providers.iter().map(|(name, _)| Candidate {
            provider: (*name).into(),
            base_url: Some(format!("http://{name}:1")),
            typical_seconds: 1.0,
            ..candidate("bfl")
        });
        let arrivals: Vec<i64> = jobs.into_iter().collect();
        Outage {
            now: 0,
            providers: providers.iter().copied().collect(),
            route: route.collect(),
            health: Health::default(),
            events: arrivals.iter().enumerate().map(|(n, at)| (*at, Next::Claim, n)).collect(),
            queued: (0..arrivals.len()).map(|n| (n, (Progress::default(), 0))).collect(),
            flying: BTreeMap::new(),
            lines: BTreeMap::new(),
            calls: vec![],
            done: vec![],
            lines_in_the_log: 0,
            attempts: BTreeMap::new(),
            put_offs: 0,
        }
    }

    fn go(&mut self) -> &mut Self {
        while let Some((at, next, job)) = self.events.pop_first() {
            assert!(at < 3 * 3_600_000, "no end");
            self.now = at;
            match next {
                Next::Decide => self.decide(),
                Next::Claim => {
                    let (progress, number) = self.queued.remove(&job).unwrap();
                    let plan =
                        Plan { route: self.route.clone(), max_refusals: 3, progress, ..Plan::default() };
                    let id = Job { id: format!("gen_{job}"), ..super::job() };
                    let run = Run::new(id, plan, number).unwrap();
                    self.flying.insert(job, Flight { run, permit: None, answer: None, accepted_at: 0 });
                    self.on(job, Event::Start);
                }
                Next::Go => {
                    let Some(event) = self.flying.get_mut(&job).and_then(|f| f.answer.take()) else {
                        continue;
                    };
                    self.on(job, event);
                }
            }
        }
        self
    }

    fn later(&mut self, job: usize, after: i64, event: Event) {
        self.flying.get_mut(&job).unwrap().answer = Some(event);
        self.events.insert((self.now + after, Next::Go, job));
    }

    fn on(&mut self, job: usize, mut event: Event) {
        loop {
            let now = self.now;
            let flight = self.flying.get_mut(&job).unwrap();
            let step = flight.run.on(event, now);
            let candidate = flight.run.candidate().clone();
            match step {
                Step::Stop => return self.leave(job),
                Step::Compute => event = Event::Compute,
                Step::Enter => return self.enter(job),
                Step::Wait(pause) => return self.later(job, pause.as_millis() as i64, Event::Elapsed),
                Step::Send { request, .. } => {
                    let provider = self.providers[candidate.provider.as_str()];
                    let up = now >= provider.recovers;
                    let answer = if request.url.contains("/v1/") {
                        self.calls.push((now, candidate.provider.clone(), job, up));
                        flight.accepted_at = now;
                        let url = format!("http://{}:1/get_result?id=T", candidate.provider);
                        let accepted = json_answer(200, json!({"id": "T", "polling_url": url, "cost": 4}));
                        if up { accepted } else { json_answer(429, json!({"detail": "too many"})) }
                    } else if request.url.contains("get_result") {
                        if now >= flight.accepted_at + provider.render { ready() } else { status("Pending") }
                    } else {
                        bytes(png())
                    };
                    return self.later(job, 50, Event::Answer(answer));
                }
                Step::Commit(transitions) => {
                    self.committed(job, &candidate, &transitions);
                    event = Event::Committed;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is learnt from transitions, and what the queue has of them.
    fn committed(&mut self, job: usize, candidate: &Candidate, transitions: &[Transition]) {
        let (provider, model) = (&candidate.provider, &candidate.model);
        for transition in transitions {
            match transition {
                Transition::Begin { number, .. } => drop(self.attempts.insert(job, *number)),
                Transition::Checkpoint { .. } => self.health.accepted(provider, model, self.now),
                Transition::End { failed, joins, .. } => {
                    let failure = failed.as_ref().map(|failed| &failed.failure);
                    self.health.observe(provider, model, failure, 5, self.now);
                    joins.map(|number| self.attempts.insert(job, number));
                }
                Transition::Later { after, progress, .. } => {
                    let number = self.attempts.get(&job).copied().unwrap_or(0);
                    self.queued.insert(job, (progress.clone(), number));
                    self.events.insert((self.now + after.as_millis() as i64, Next::Claim, job));
                    self.put_offs += 1;
                }
                Transition::Close { status, .. } => {
                    assert_eq!(*status, JobStatus::Succeeded, "job {job}: {transitions:?}");
                    self.done.push((self.now, job));
                }
            }
        }
        let rows = self.health.changes(self.now);
        self.lines_in_the_log += rows.iter().filter(|row| row.news.is_some()).count();
        self.decide();
    }

    fn enter(&mut self, job: usize) {
        let run = &self.flying[&job].run;
        let (tries, alone) = run.standing();
        let Candidate { provider, model, .. } = run.candidate().clone();
        let caller = Caller { ticket: job as u64, seq: job as i64, tries, alone };
        let verdict = self.health.ask(&provider, &model, caller, self.now);
        self.told(job, verdict);
        self.decide();
    }

    fn told(&mut self, job: usize, verdict: Verdict) {
        match verdict {
            Verdict::Waiting => {}
            Verdict::Refused { after, code } => self.later(job, 0, Event::Shut { after, code }),
            Verdict::Admitted(permit) => {
                let flight = self.flying.get_mut(&job).unwrap();
                flight.permit = Some(permit);
                self.lines.entry(flight.run.candidate().provider.clone()).or_default().push(job);
                self.let_in();
            }
        }
    }

    /// Those that may call a provider wait for one of its places, unless it goes down meanwhile.
    fn let_in(&mut self) {
        for (provider, line) in std::mem::take(&mut self.lines) {
            for job in line {
                let here = |flight: &&Flight| {
                    flight.run.candidate().provider == provider && flight.run.prepared.is_some()
                };
                let taken = self.flying.values().filter(here).count();
                let flight = self.flying.get_mut(&job).unwrap();
                let permit = flight.permit.as_ref().unwrap();
                if !self.health.is_valid(permit) {
                    self.health.leave(permit);
                    flight.permit = None;
                    self.enter(job);
                } else if taken < self.providers[provider.as_str()].places {
                    self.on(job, Event::Entered { renders: Renders::default(), key: Pass::default() });
                } else {
                    self.lines.entry(provider.clone()).or_default().push(job);
                }
            }
        }
    }

    fn leave(&mut self, job: usize) {
        if let Some(permit) = self.flying.remove(&job).and_then(|flight| flight.permit) {
            self.health.leave(&permit);
        }
        self.decide();
        self.let_in();
    }

    fn decide(&mut self) {
        for (job, verdict) in self.health.decide(self.now) {
            self.told(job as usize, verdict);
        }
        if let Some(at) = self.health.next_decision(self.now) {
            self.events.insert((at, Next::Decide, 0));
        }
    }

    fn calls_to(&self, provider: &str) -> usize {
        self.calls.iter().filter(|(_, at, ..)| at == provider).count()
    }
}

const TEN_MINUTES: i64 = 600_000;

#[test]
fn a_provider_that_limits_calls_for_ten_minutes_is_left_alone_and_the_second_does_the_work() {
    let down = Provider { recovers: i64::MAX, render: 1_000, places: 24 };
    let second = Provider { recovers: 0, render: 4_000, places: 10 };
    let at_once: Vec<i64> = vec![0; 200];
    let trickle: Vec<i64> = (0..200).map(|n| n * TEN_MINUTES / 200).collect();
    for (arrivals, last) in [(at_once, 0), (trickle, TEN_MINUTES)] {
        let mut outage = Outage::new(&[("first", down), ("second", second)], arrivals);
        outage.go();
        let calls = outage.calls_to("first");
        let took = outage.done.last().unwrap().0;
        println!(
            "{calls} calls, {} lines, {} put-offs, done at {took} ms",
            outage.lines_in_the_log, outage.put_offs
        );
        assert_eq!((outage.done.len(), outage.calls_to("second")), (200, 200));
        assert!(calls <= 30, "{calls} calls to the first");
        assert!(outage.lines_in_the_log <= 10, "{} lines", outage.lines_in_the_log);
        assert!(
            outage.attempts.values().all(|number| *number <= 2),
            "one attempt for the outage, one for the image"
        );
        // Its own pace: 200 images of 4 s at 10 places, and what polling adds.
        let pace = 200 * 4_000 / 10;
        assert!(took <= (pace * 13 / 10).max(last) + 10_000, "{took} ms");
    }
}

#[test]
fn with_one_provider_all_is_delivered_within_thirty_seconds_of_its_recovery_and_in_order() {
    for recovers in [TEN_MINUTES, TEN_MINUTES + 7_000, TEN_MINUTES + 14_900] {
        let only = Provider { recovers, render: 1_000, places: 24 };
        let mut outage = Outage::new(&[("only", only)], vec![0; 200]);
        outage.go();
        let took = outage.done.last().unwrap().0 - recovers;
        let turned_away = outage.calls.iter().filter(|(.., up)| !up).count();
        println!("{turned_away} calls turned away, {} put-offs, done {took} ms after", outage.put_offs);
        assert_eq!(outage.done.len(), 200);
        assert!(took <= 30_000, "{took} ms");
        assert!(turned_away <= 24 + 60, "{turned_away}");
        assert!(outage.lines_in_the_log <= 10, "{} lines", outage.lines_in_the_log);
        assert!(outage.attempts.values().all(|number| *number <= 2));
        // In the order of the queue, but for the probe.
        let order: Vec<usize> =
            outage.calls.iter().filter(|(.., up)| *up).map(|(_, _, job, _)| *job).collect();
        assert!(order[1..].is_sorted(), "{order:?}");
    }
}

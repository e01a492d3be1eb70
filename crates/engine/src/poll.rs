//! When to ask a provider again.
//!
//! Each look at a task costs a request, and each moment between its end and the next look wastes a place at the provider.
//! So the looks follow what renders of the same model took lately ([`Renders`]), and not the catalogue's estimate: that is
//! where a model begins of which nothing is known yet, and it may be wrong by a factor of three either way.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest pause between two polls of one task.
pub const CAP: Duration = Duration::from_secs(8);
/// The longest pause that a provider can ask for: what it has accepted is not forgotten for an hour.
const LONGEST: Duration = Duration::from_secs(120);
/// So many renders are remembered of each model.
const MEMORY: usize = 24;
/// Where renders differ, a task is looked at when these parts of them have ended.
const PARTS: [f64; 5] = [0.15, 0.35, 0.55, 0.75, 0.95];
/// After so many renders in a row that had ended before the first look, the first look comes earlier and earlier.
const ALWAYS_LATE: usize = 4;

/// How a provider is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manners {
    /// The shortest pause, in seconds.
    pub floor: f64,
    /// The first look at a task of which nothing is known, in seconds.
    pub first: f64,
}

impl Manners {
    /// For a service, where an image is expected to take `estimate` seconds.
    pub fn service(estimate: f64) -> Self {
        Manners { floor: 0.2, first: (estimate / 3.0).clamp(0.2, 200.0) }
    }

    /// For a server of one's own, which can be asked for nothing.
    pub fn own_server() -> Self {
        Manners { floor: 0.1, first: 0.25 }
    }
}

/// What polls saw of one render: it went on at one moment and had ended at another, in seconds after it was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// 0 where the first look found its end.
    pub unfinished: f64,
    /// When its end was found.
    pub finished: f64,
}

/// The latest renders of one model at one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Renders(VecDeque<Seen>);

impl Renders {
    /// Remembers one more.
    pub fn learn(&mut self, seen: Seen) {
        let sane = |seconds: f64| (0.0..86_400.0).contains(&seconds);
        if sane(seen.unfinished) && sane(seen.finished) && seen.unfinished < seen.finished {
            if self.0.len() == MEMORY {
                self.0.pop_front();
            }
            self.0.push_back(seen);
        }
    }

    /// When to look at the next one.
    pub fn schedule(&self, manners: Manners) -> Schedule {
        let Manners { floor, first } = manners;
        if self.0.is_empty() {
            return Schedule { looks: VecDeque::from([first]), step: 0.3, growth: 1.0, floor };
        }
        let late = self.late_in_a_row();
        let mut looks = VecDeque::new();
        if let Some((before, after)) = self.bracket() {
            // All take the same time, and it is known from both sides.
            let middle = match () {
                () if late >= ALWAYS_LATE => after * 0.95_f64.powi((late - ALWAYS_LATE + 1) as i32),
                () if after - before > 0.03 * after => f64::midpoint(before, after),
                () => after * 1.003,
            };
            looks.push_back(middle.max(floor));
            if middle < after {
                looks.push_back((after * 1.003).max(middle.max(floor) + floor / 2.0));
            }
            return Schedule { looks, step: 0.03, growth: 1.6, floor };
        }
        let points = self.points(late);
        for part in PARTS {
            let look = quantile(&points, part) * 1.01;
            let last = looks.back().copied().unwrap_or(0.0);
            if look >= last + f64::max(0.05 * last, floor / 2.0) {
                looks.push_back(look.max(floor));
            }
        }
        Schedule { looks, step: 0.06, growth: 1.6, floor }
    }

    /// How many of the latest were found at the first look: of them only an upper bound is known.
    fn late_in_a_row(&self) -> usize {
        self.0.iter().rev().take_while(|seen| seen.unfinished == 0.0).count()
    }

    /// When nearly all still go on, and when nearly all have ended, where the first is before the second.
    fn bracket(&self) -> Option<(f64, f64)> {
        let before = sorted(self.0.iter().map(|seen| seen.unfinished).filter(|at| *at > 0.0));
        let after = sorted(self.0.iter().map(|seen| seen.finished));
        (!before.is_empty())
            .then(|| (quantile(&before, 0.75), quantile(&after, 0.25)))
            .filter(|(before, after)| before < after)
    }

    /// How long each may have taken. Of those found at the first look it is guessed from the others.
    fn points(&self, late: usize) -> Vec<f64> {
        let middle = |seen: &Seen| f64::midpoint(seen.unfinished, seen.finished);
        let known: Vec<f64> = self.0.iter().filter(|seen| seen.unfinished > 0.0).map(middle).collect();
        let guess = |seen: &Seen| {
            if late >= ALWAYS_LATE {
                return 0.8 * seen.finished;
            }
            let earlier: Vec<f64> = known.iter().copied().filter(|k| *k < 0.97 * seen.finished).collect();
            let mean = earlier.iter().sum::<f64>() / earlier.len().max(1) as f64;
            if earlier.is_empty() { 0.95 * seen.finished } else { mean.min(0.95 * seen.finished) }
        };
        sorted(self.0.iter().map(|seen| if seen.unfinished > 0.0 { middle(seen) } else { guess(seen) }))
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this part of the others is; of none 0.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let index = ((part * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0.0)
}

/// When one task is looked at: at these moments first, and then at a pace that slows down.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In seconds after it was sent.
    looks: VecDeque<f64>,
    /// The next pause, as a part of the time that has passed,
    step: f64,
    /// and by what it grows.
    growth: f64,
    floor: f64,
}

impl Schedule {
    /// A schedule for a task that is found again after a restart: it is asked at once, and then ever more rarely.
    pub fn overdue() -> Self {
        Schedule { looks: VecDeque::new(), step: 0.0, growth: 1.5, floor: 0.2 / 1.5 }
    }

    /// True for a task that was found again.
    pub fn is_overdue(&self) -> bool {
        self.step == 0.0
    }

    /// The pause before the next poll, `age` after the task was sent. `after` is what the provider's last answer asked for.
    pub fn next(&mut self, age: Duration, after: Option<Duration>) -> Duration {
        let age = age.as_secs_f64();
        while self.looks.front().is_some_and(|look| *look < age + self.floor / 4.0) {
            self.looks.pop_front();
        }
        let pause = match self.looks.pop_front() {
            // A look that was planned may be further away than two looks may be apart otherwise.
            Some(look) => (look - age).min(600.0),
            // The time that a found task has taken says nothing: its pauses grow from the shortest one.
            None if self.is_overdue() => {
                self.floor = (self.floor * self.growth).min(CAP.as_secs_f64());
                self.floor
            }
            None => {
                let pause = f64::max(self.floor / 2.0, age * self.step.min(0.5));
                self.step *= self.growth;
                pause.min(CAP.as_secs_f64())
            }
        };
        let pause = Duration::try_from_secs_f64(pause).unwrap_or(CAP);
        pause.max(after.unwrap_or_default().min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::seed;

    /// Renders of one model, each looked at as its schedule says: milliseconds that each took, milliseconds from its end to
    /// the look that found it, looks at it; and when all were done.
    struct Simulated {
        renders: Vec<(f64, f64, usize)>,
        done: f64,
    }

    /// Runs `jobs` renders at so many places; what one has taught is known to those that are sent later.
    fn simulate(manners: Manners, jobs: usize, places: usize, render: impl Fn(usize) -> f64) -> Simulated {
        let mut known = Renders::default();
        let mut events = BTreeSet::new();
        let mut tasks = vec![];
        let mut result = Simulated { renders: vec![], done: 0.0 };
        let micros = |seconds: f64| (seconds * 1e6) as u64;
        let send = |now: f64, known: &Renders, tasks: &mut Vec<_>, events: &mut BTreeSet<(u64, usize)>| {
            let index = tasks.len();
            let mut schedule = known.schedule(manners);
            let first = schedule.next(Duration::ZERO, None).as_secs_f64();
            tasks.push((now, render(index), schedule, 0.0, 0));
            events.insert((micros(now + first), index));
        };
        (0..places.min(jobs)).for_each(|_| send(0.0, &known, &mut tasks, &mut events));
        while let Some((at, index)) = events.pop_first() {
            let now = at as f64 / 1e6;
            let (sent, takes, schedule, unfinished, looks) = &mut tasks[index];
            let age = now - *sent;
            *looks += 1;
            if age < *takes {
                *unfinished = age;
                let pause = schedule.next(Duration::from_secs_f64(age), None).as_secs_f64();
                events.insert((micros(now + pause), index));
                continue;
            }
            known.learn(Seen { unfinished: *unfinished, finished: age });
            result.renders.push((*takes, age - *takes, *looks));
            result.done = now;
            if tasks.len() < jobs {
                // It takes a moment until the next one is sent.
                send(now + 0.02, &known, &mut tasks, &mut events);
            }
        }
        result
    }

    impl Simulated {
        /// After the first `skip`: the median of what was wasted, in seconds and as a part of the render, and the looks at a
        /// render on average.
        fn after(&self, skip: usize) -> (f64, f64, f64) {
            let rest = &self.renders[skip..];
            let wasted = sorted(rest.iter().map(|(_, wasted, _)| *wasted));
            let part = sorted(rest.iter().map(|(takes, wasted, _)| wasted / takes));
            let looks = rest.iter().map(|(.., looks)| *looks).sum::<usize>() as f64 / rest.len() as f64;
            (quantile(&wasted, 0.5), quantile(&part, 0.5), looks)
        }
    }

    /// A render time that spreads by about this part of itself around its middle.
    fn around(middle: f64, spread: f64) -> impl Fn(usize) -> f64 {
        // The sum of three even ones is nearly a bell.
        move |n| {
            let bell: f64 = (0..3).map(|k| seed::fraction("render", (3 * n + k) as u32) - 0.5).sum();
            middle * (1.0 + 2.0 * spread * bell)
        }
    }

    #[test]
    fn places_at_a_provider_are_not_wasted_whatever_the_catalogue_says() {
        // 200 renders of 5 s at 24 places: nine rounds of 5 s at best.
        for estimate in [9.0, 2.0, 15.0, 5.0 / 3.0] {
            let all = simulate(Manners::service(estimate), 200, 24, |_| 5.0);
            let (_, _, looks) = all.after(0);
            println!("estimate {estimate}: {:.1} s of 45, {looks:.2} looks", all.done);
            assert!(
                all.done <= 1.1 * 45.0 && looks <= 3.0,
                "estimate {estimate}: {} s, {looks} looks",
                all.done
            );
        }
    }

    #[test]
    fn little_is_wasted_after_twenty_renders_of_a_model_never_seen_before() {
        for middle in [0.5, 2.0, 5.0, 9.0, 30.0] {
            for factor in [1.0 / 3.0, 1.0, 3.0] {
                for spread in [0.0, 0.03, 0.1] {
                    let manners = Manners::service(middle * factor);
                    let all = simulate(manners, 120, 1, around(middle, spread));
                    let (wasted, part, looks) = all.after(20);
                    let what = format!("{middle} s, estimate x {factor:.2}, spread {spread}");
                    println!("{what}: {wasted:.2} s = {:.1} %, {looks:.2} looks", part * 100.0);
                    assert!(part <= 0.05 || wasted <= 0.3, "{what}: {wasted} s, {part}");
                    assert!(looks <= 3.0, "{what}: {looks} looks");
                }
            }
        }
    }

    #[test]
    fn an_own_server_that_is_fast_is_noticed_at_once() {
        let all = simulate(Manners::own_server(), 60, 1, around(0.5, 0.05));
        let first = all.renders[0];
        assert!(first.1 <= 0.2, "{} s after the first one", first.1);
        let (wasted, _, looks) = all.after(20);
        assert!(wasted <= 0.1 && looks <= 3.0, "{wasted} s, {looks} looks");
    }

    #[test]
    fn renders_that_become_slower_or_faster_are_followed() {
        for (before, since) in [(5.0, 9.0), (9.0, 5.0), (5.0, 1.5)] {
            let manners = Manners::service(before);
            let all = simulate(manners, 150, 1, |n| if n < 60 { before } else { since });
            let (wasted, part, looks) = all.after(90);
            assert!(part <= 0.05 || wasted <= 0.3, "{before} to {since}: {wasted} s, {part}");
            assert!(looks <= 3.0, "{before} to {since}: {looks} looks");
        }
    }

    #[test]
    fn pauses_are_bounded_and_what_a_provider_asks_for_is_respected_within_reason() {
        let mut schedule = Renders::default().schedule(Manners::service(9.0));
        let mut age = Duration::ZERO;
        for _ in 0..200 {
            let pause = schedule.next(age, None);
            assert!((Duration::from_millis(50)..=CAP).contains(&pause), "{pause:?} at {age:?}");
            age += pause;
        }
        assert_eq!(schedule.next(age, Some(Duration::from_secs(15))), Duration::from_secs(15));
        assert_eq!(schedule.next(age, Some(Duration::from_secs(86_400))), LONGEST);
        let mut unknown = Renders::default();
        unknown.learn(Seen { unfinished: 0.0, finished: f64::NAN });
        unknown.learn(Seen { unfinished: 3.0, finished: 3.0 });
        assert_eq!(unknown, Renders::default(), "what makes no sense is not learnt");
    }

    #[test]
    fn a_task_found_again_is_asked_soon() {
        let mut schedule = Schedule::overdue();
        let pauses: Vec<u128> =
            (0..3).map(|_| schedule.next(Duration::from_secs(700), None).as_millis()).collect();
        assert_eq!(pauses, [200, 300, 450]);
    }
}

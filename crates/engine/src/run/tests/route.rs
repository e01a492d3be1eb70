//! Where a job goes next: along its route, up its ladder, past those that are unwell.

use super::*;
use crate::progress::Outage;

/// A world with two candidates, at `bfl` and at `other`, and the usual ladder.
pub(super) fn two(progress: Progress, answers: Vec<Result<HttpResponse, TransportError>>) -> World {
    let mut other = candidate("bfl");
    other.provider = "other".into();
    other.model = "n".into();
    other.stands_in = true;
    let plan = Plan {
        route: vec![candidate("bfl"), other],
        ladder: vec![
            RefusalStep::Rewrite,
            RefusalStep::SwitchModel { candidates: None },
            RefusalStep::Review,
        ],
        max_refusals: 3,
        progress,
        ceiling: None,
        content: Arc::default(),
    };
    let mut world = World::of(Run::new(job(), plan, 0).unwrap(), answers);
    world.quiet = false;
    world
}

/// The progress that was last made durable.
pub(super) fn progress(world: &World) -> Progress {
    let found = world.transitions.iter().rev().find_map(|e| match e {
        Transition::Later { progress, .. } | Transition::Begin { progress, .. } => Some(progress.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn an_outage_moves_along_the_route_and_a_refusal_does_not() {
    // S100, N21
    let mut world = two(Progress::default(), vec![json_answer(401, json!({"detail": "Not authenticated"}))]);
    world.go();
    assert_eq!(world.log, ["enter bfl:m", "begin", "post /v1/flux-pro-1.1", "end failed", "later"]);
    let moved = progress(&world);
    assert_eq!(moved.failed, ["bfl:m"]);
    let mut world = two(moved, vec![accepted(), ready(), bytes(png())]);
    world.go();
    assert_eq!(world.log[0], "enter other:n");
    assert_eq!(world.log.last().unwrap(), "close succeeded");

    let mut world = two(Progress::default(), vec![accepted(), status("Request Moderated")]);
    world.go();
    assert_eq!(world.log.last().unwrap(), "later");
    let refused = progress(&world);
    assert!(refused.climbing && refused.failed.is_empty());
}

#[test]
fn a_refused_job_is_rewritten_then_switched_then_given_to_a_person() {
    // S54, S55, S58-S61: same seed, three calls, then a person.
    let answers = || vec![accepted(), status("Content Moderated")];
    let mut world = two(Progress::default(), answers());
    world.go();
    let mut world = two(progress(&world), answers());
    world.go();
    assert_eq!(world.log[..3], ["rewrite for bfl:m", "enter bfl:m", "begin"]);
    let Some(Transition::Begin { prompt, seed, .. }) = world.transitions.first() else { panic!() };
    assert_eq!((prompt.as_str(), *seed), ("a small animal", 7));
    let mut world = two(progress(&world), answers());
    world.go();
    assert_eq!(world.log[..2], ["enter other:n", "begin"]);
    let Some(Transition::Begin { prompt, seed, .. }) = world.transitions.first() else { panic!() };
    assert_eq!((prompt.as_str(), *seed), ("a small animal", 7));
    assert_eq!(world.log.last().unwrap(), "close needsreview");
}

#[test]
fn nothing_is_paid_for_a_prompt_that_would_be_refused_again() {
    // No rule softens it and no other model is there: the person is asked after one call.
    let refused = Progress { refused: vec!["bfl:m".into()], climbing: true, ..Progress::default() };
    let plan = Plan {
        ladder: vec![
            RefusalStep::Rewrite,
            RefusalStep::SwitchModel { candidates: None },
            RefusalStep::Review,
        ],
        progress: refused,
        ..plan("bfl")
    };
    let mut dog = job();
    dog.request.prompt = "a dog".into();
    let mut world = World::of(Run::new(dog, plan, 1).unwrap(), vec![]);
    world.go();
    assert_eq!(world.log, ["rewrite for bfl:m", "close needsreview"]);
}

#[test]
fn a_provider_that_is_known_to_be_unwell_is_skipped_without_a_call() {
    let mut world = two(Progress::default(), vec![accepted(), ready(), bytes(png())]);
    world.unwell = vec!["bfl:m".into()];
    world.go();
    assert_eq!(world.log[..3], ["shut at bfl:m", "enter other:n", "begin"]);
    // With no closed circuit the job waits, and no attempt is written down.
    let mut world = two(Progress::default(), vec![]);
    world.unwell = vec!["bfl:m".into(), "other:n".into()];
    world.go();
    let both = ["shut at bfl:m", "shut at other:n"];
    assert_eq!(world.log, [&both[..], &both, &["later"]].concat(), "the second time as the last resort");
    assert_eq!(progress(&world), Progress::default());
}

#[test]
fn refused_words_stay_where_they_were_refused() {
    // N21: the other model is out, so the same model elsewhere does not get the refused words; a person does.
    let mut elsewhere = candidate("bfl");
    elsewhere.provider = "elsewhere".into();
    let mut other = candidate("bfl");
    (other.provider, other.model) = ("other".into(), "n".into());
    let refused = Progress {
        refused: vec!["bfl:m".into()],
        step: 1,
        chosen: Some("other:n".into()),
        ..Progress::default()
    };
    let plan = Plan {
        route: vec![candidate("bfl"), elsewhere, other],
        ladder: vec![
            RefusalStep::Rewrite,
            RefusalStep::SwitchModel { candidates: None },
            RefusalStep::Review,
        ],
        max_refusals: 3,
        progress: Progress { step: 2, ..refused },
        ceiling: None,
        content: Arc::default(),
    };
    let mut world = World::of(Run::new(job(), plan, 1).unwrap(), vec![json_answer(401, json!({}))]);
    world.quiet = false;
    world.go();
    assert_eq!(
        world.log,
        ["enter other:n", "begin", "post /v1/flux-pro-1.1", "end failed", "close needsreview"]
    );
}

#[test]
fn with_another_candidate_left_two_tries_are_enough_whatever_the_provider_says() {
    let limited = |after: &str| {
        let headers = vec![("retry-after".to_owned(), after.to_owned())];
        Ok(HttpResponse { status: 429, headers, body: vec![] })
    };
    for answer in [json_answer(429, json!({})), limited("1"), limited("3"), json_answer(503, json!({}))] {
        let mut world = two(Progress::default(), vec![answer.clone()]);
        world.go();
        assert_eq!(world.log.last().unwrap(), "later");
        let once = progress(&world);
        assert_eq!(once.outages["bfl:m"], Outage { tries: 1, since: 1_050, attempt: Some(1) });
        let mut world = two(once, vec![answer.clone()]);
        world.run.number = 1;
        world.go();
        // The second one is counted in the attempt of the first.
        assert!(
            matches!(world.transitions[1], Transition::End { number: 2, joins: Some(1), .. }),
            "{:?}",
            world.transitions
        );
        assert_eq!(progress(&world), Progress { failed: vec!["bfl:m".into()], ..Progress::default() });
        let Some(Transition::Later { after, .. }) = world.transitions.last() else { panic!() };
        assert!(after.is_zero());
    }
}

#[test]
fn a_short_pause_is_waited_for_once_where_another_candidate_is_left() {
    let mut world = two(Progress::default(), vec![]);
    world.from(Event::Start, "enter");
    let shut = || Event::Shut { after: Duration::from_secs(2), code: ErrorCode::RateLimited };
    let Step::Commit(transitions) = world.run.on(shut(), 0) else { panic!() };
    let [Transition::Later { after, progress, .. }] = &transitions[..] else { panic!("{transitions:?}") };
    assert_eq!((after.as_secs(), progress.waits), (2, 1));
    let mut world = two(progress.clone(), vec![]);
    world.from(Event::Start, "enter");
    assert_eq!(world.run.on(shut(), 0), Step::Enter);
    assert_eq!(world.run.candidate().name(), "other:n");
}

#[test]
fn where_no_candidate_is_well_the_first_that_will_be_is_waited_for() {
    let mut world = two(Progress::default(), vec![]);
    assert_eq!(world.run.on(Event::Start, 0), Step::Enter);
    assert_eq!(world.run.standing(), (0, false));
    let shut = |seconds, code| Event::Shut { after: Duration::from_secs(seconds), code };
    assert_eq!(world.run.on(shut(60, ErrorCode::Overloaded), 0), Step::Enter);
    assert_eq!((world.run.candidate().name().as_str(), world.run.standing()), ("other:n", (0, true)));
    // Both once more, now as a job that has nowhere else to go.
    assert_eq!(world.run.on(shut(50, ErrorCode::RateLimited), 0), Step::Enter);
    assert_eq!((world.run.candidate().name().as_str(), world.run.standing()), ("bfl:m", (0, true)));
    assert_eq!(world.run.on(shut(9, ErrorCode::Overloaded), 0), Step::Enter);
    let Step::Commit(transitions) = world.run.on(shut(4, ErrorCode::RateLimited), 0) else { panic!() };
    let [Transition::Later { after, progress, .. }] = &transitions[..] else { panic!("{transitions:?}") };
    assert_eq!((after.as_secs(), progress), (4, &Progress::default()));

    // One whose account is empty is not asked again, and does not end a job that another one may still do.
    let mut world = two(Progress::default(), vec![]);
    world.run.on(Event::Start, 0);
    assert_eq!(world.run.on(shut(8, ErrorCode::Overloaded), 0), Step::Enter);
    assert_eq!(world.run.on(shut(300, ErrorCode::InsufficientCredits), 0), Step::Enter);
    assert_eq!(world.run.candidate().name(), "bfl:m");
    let Step::Commit(transitions) = world.run.on(shut(8, ErrorCode::Overloaded), 0) else { panic!() };
    assert!(
        matches!(&transitions[..], [Transition::Later { after, .. }] if after.as_secs() == 8),
        "{transitions:?}"
    );
}

#[test]
fn a_job_that_waits_comes_back_at_its_deadline_and_ends() {
    let due = Job { deadline: Some(4_000), ..job() };
    let waiting = || Run::new(due.clone(), plan("bfl"), 0).unwrap();
    let mut world = World::of(waiting(), vec![json_answer(429, json!({}))]);
    world.now = 3_800;
    world.go();
    let Some(Transition::Later { after, .. }) = world.transitions.last() else { panic!() };
    assert_eq!(after.as_millis(), 150, "and not after half a second");
    let mut shut = World::of(waiting(), vec![]);
    shut.unwell = vec!["bfl:m".into()];
    shut.go();
    let Some(Transition::Later { after, .. }) = shut.transitions.last() else { panic!() };
    assert_eq!(after.as_millis(), 3_000);
    // While it waits in line, the line ends for it.
    let mut run = waiting();
    assert_eq!(run.on(Event::Start, 0), Step::Enter);
    let Step::Commit(transitions) = run.on(Event::Elapsed, 4_000) else { panic!() };
    let [Transition::Close { status: JobStatus::Failed, failed: Some(failed), .. }] = &transitions[..] else {
        panic!()
    };
    assert_eq!(failed.failure, Failure::DeadlineExceeded);
}

#[test]
fn a_job_waits_for_its_only_provider_as_long_as_it_may_and_is_one_attempt() {
    let down = || Err(TransportError::NotSent("connection refused".into()));
    let (mut state, mut now, mut calls, mut number) = (Progress::default(), 0, 0, 0);
    let patience = Duration::from_secs(600);
    loop {
        let run = Run::new(job(), Plan { progress: state.clone(), ..plan("bfl") }, number).unwrap();
        let mut world = World::of(run.on_terms(Terms { patience, ..Terms::default() }), vec![down()]);
        world.now = now;
        world.go();
        calls += 1;
        let Some(Transition::End { number: ended, joins, .. }) = world.transitions.get(1) else { panic!() };
        assert_eq!((*ended, *joins), if calls == 1 { (1, None) } else { (2, Some(1)) });
        number = 1;
        match world.transitions.last() {
            Some(Transition::Later { after, progress, .. }) => {
                assert!(*after <= Duration::from_secs(18), "{after:?}");
                now = world.now + after.as_millis() as i64;
                state = progress.clone();
            }
            _ => break,
        }
    }
    assert!((600..640).contains(&(now / 1000)), "{now} ms");
    assert!((35..60).contains(&calls), "{calls} calls");
}

//! Where a job goes next: along its route, up its ladder, past those that are unwell.

use super::*;

/// A world with two candidates, at `bfl` and at `other`, and the usual ladder.
pub(super) fn two(progress: Progress, answers: Vec<Result<HttpResponse, TransportError>>) -> World {
    let mut other = candidate("bfl");
    other.provider = "other".into();
    other.model = "n".into();
    other.stands_in = true;
    let plan = Plan {
        route: vec![candidate("bfl"), other],
        ladder: vec![Rung::Rewrite, Rung::SwitchModel { candidates: None }, Rung::Review],
        max_refusals: 3,
        progress,
    };
    let mut world = World::of(Run::new(job(), plan, 0).unwrap(), answers);
    world.quiet = false;
    world
}

/// The progress that was last made durable.
pub(super) fn progress(world: &World) -> Progress {
    let found = world.entries.iter().rev().find_map(|e| match e {
        Entry::Later { progress, .. } | Entry::Begin { progress, .. } => Some(progress.clone()),
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
    let Some(Entry::Begin { prompt, seed, .. }) = world.entries.first() else { panic!() };
    assert_eq!((prompt.as_str(), *seed), ("a small animal", 7));
    let mut world = two(progress(&world), answers());
    world.go();
    assert_eq!(world.log[..2], ["enter other:n", "begin"]);
    let Some(Entry::Begin { prompt, seed, .. }) = world.entries.first() else { panic!() };
    assert_eq!((prompt.as_str(), *seed), ("a small animal", 7));
    assert_eq!(world.log.last().unwrap(), "close needsreview");
}

#[test]
fn nothing_is_paid_for_a_prompt_that_would_be_refused_again() {
    // No rule softens it and no other model is there: the person is asked after one call.
    let refused = Progress { refused: vec!["bfl:m".into()], climbing: true, ..Progress::default() };
    let plan = Plan {
        ladder: vec![Rung::Rewrite, Rung::SwitchModel { candidates: None }, Rung::Review],
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
    // With nobody well the job waits, and no attempt is written down.
    let mut world = two(Progress::default(), vec![]);
    world.unwell = vec!["bfl:m".into(), "other:n".into()];
    world.go();
    assert_eq!(world.log, ["shut at bfl:m", "shut at other:n", "later"]);
    assert_eq!(progress(&world), Progress::default());
}

#[test]
fn a_probe_is_no_try_and_refused_words_stay_where_they_were_refused() {
    // One that is sent ahead to a recovering provider keeps its tries.
    let progress3 = Progress { tries: 3, ..Progress::default() };
    let mut world = World::of(
        Run::new(job(), Plan { progress: progress3, ..plan("bfl") }, 3).unwrap(),
        vec![json_answer(503, json!({}))],
    );
    world.probe = true;
    world.go();
    assert_eq!(world.log.last().unwrap(), "later");
    assert_eq!(progress(&world).tries, 3);

    // N21: the other model is out, so the same model elsewhere does not get the refused words; a person does.
    let mut elsewhere = candidate("bfl");
    elsewhere.provider = "elsewhere".into();
    let mut other = candidate("bfl");
    (other.provider, other.model) = ("other".into(), "n".into());
    let refused = Progress {
        refused: vec!["bfl:m".into()],
        rung: 1,
        chosen: Some("other:n".into()),
        ..Progress::default()
    };
    let plan = Plan {
        route: vec![candidate("bfl"), elsewhere, other],
        ladder: vec![Rung::Rewrite, Rung::SwitchModel { candidates: None }, Rung::Review],
        max_refusals: 3,
        progress: Progress { rung: 2, ..refused },
    };
    let mut world = World::of(Run::new(job(), plan, 1).unwrap(), vec![json_answer(401, json!({}))]);
    world.quiet = false;
    world.go();
    assert_eq!(
        world.log,
        ["enter other:n", "begin", "post /v1/flux-pro-1.1", "end failed", "close needsreview"]
    );
}

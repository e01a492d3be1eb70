//! Several keys of one provider.

use super::*;

fn with_key(name: &str, others: bool, answers: Vec<Result<HttpResponse, TransportError>>) -> World {
    let mut world = World::new("bfl", answers);
    world.pass = Pass { key_name: Some(name.into()), others };
    world
}

fn said(code: u16) -> Result<HttpResponse, TransportError> {
    json_answer(code, json!({"detail": "no"}))
}

#[test]
fn what_is_wrong_with_one_key_sends_the_job_to_the_next_at_once_and_is_no_outage() {
    for code in [401, 402, 429] {
        let mut world = with_key("BFL_API_KEY_2", true, vec![said(code)]);
        world.go();
        assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end failed", "later"], "{code}");
        let Some(Transition::Later { after, progress, .. }) = world.transitions.last() else { panic!() };
        assert_eq!((*after, progress), (Duration::ZERO, &Progress::default()), "{code}");
        assert_eq!(world.end().2.as_deref(), Some("0"), "{code}");
        let Transition::Begin { key_name, .. } = &world.transitions[0] else { panic!() };
        assert_eq!(key_name.as_deref(), Some("BFL_API_KEY_2"));
    }
    // What is the provider's own fault stays one, whichever key it was.
    let mut world = with_key("BFL_API_KEY_2", true, vec![said(503)]);
    world.go();
    let Some(Transition::Later { after, progress, .. }) = world.transitions.last() else {
        panic!("{:?}", world.log)
    };
    assert!(*after > Duration::ZERO && progress.outages.contains_key("bfl:m"));
    // And the last key is as the only one.
    let mut world = with_key("BFL_API_KEY", false, vec![said(401)]);
    world.go();
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end failed", "close failed"]);
    assert_eq!(world.end().1, Some(ErrorCode::Auth));
}

#[test]
fn a_task_is_asked_for_with_the_key_that_submitted_it() {
    fn key_of(step: Step) -> Option<String> {
        match step {
            Step::Send { key_name, .. } => key_name,
            other => panic!("{other:?}"),
        }
    }
    let remote = Remote::new("T", "http://sim:1/eu/get_result?id=T");
    let resumed = |key: Option<&str>| {
        let run =
            Run::resume(job(), plan("bfl"), candidate("bfl"), 1, Some(remote.clone()), None, 0).unwrap();
        run.with_key(key.map(str::to_owned))
    };
    for (kept, used) in [(Some("BFL_API_KEY_7"), "BFL_API_KEY_7"), (None, "BFL_API_KEY")] {
        assert_eq!(key_of(resumed(kept).on(Event::Start, 0)).as_deref(), Some(used));
    }
    let mut world = with_key("BFL_API_KEY_3", true, vec![accepted(), status("Pending")]);
    world.from(Event::Start, "wait");
    assert_eq!(key_of(world.run.on(Event::Elapsed, 9_000)).as_deref(), Some("BFL_API_KEY_3"));
    assert_eq!(world.run.key_name(), Some("BFL_API_KEY_3"));
}

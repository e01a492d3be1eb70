//! More images than the candidate makes in one call: several calls, one after the other.

use std::sync::Arc;

use super::*;
use crate::progress::Progress;

/// What a job has come to: its progress, and the attempts behind it.
fn life(progress: &Progress, attempts: u32, candidate: Candidate, n: u32) -> Run {
    let mut job = job();
    job.request.n = n;
    progress.take_off(&mut job.request);
    let plan = Plan { progress: progress.clone(), ..plan_of(candidate) };
    Run::new(job, plan, attempts).unwrap()
}

/// A world whose task is accepted, finished and fetched.
fn fine(run: Run) -> World {
    World::of(run, vec![accepted(), ready(), bytes(png())])
}

fn put_off(world: &World) -> (Progress, Vec<Picture>) {
    let Some(Transition::Later { after: Duration::ZERO, progress, pictures }) = world.transitions.last()
    else {
        panic!("{:?}", world.log)
    };
    (progress.clone(), pictures.clone())
}

fn begun(world: &World) -> (i64, Option<String>, Option<String>) {
    let found = world.transitions.iter().find_map(|e| match e {
        Transition::Begin { seed, estimated_cost, estimated_rest, .. } => {
            let text = |d: &Option<Decimal>| d.map(|d| d.normalize().to_string());
            Some((*seed, text(estimated_cost), text(estimated_rest)))
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn more_than_one_call_makes_are_several_calls_with_a_seed_each() {
    // P21
    let mut progress = Progress::default();
    let mut positions = vec![];
    for (number, seed, rest) in [(1, 7, "0.08"), (2, 8, "0.04")] {
        let mut world = fine(life(&progress, number - 1, candidate("bfl"), 3));
        world.go();
        assert_eq!(world.log[..2], ["begin", "post /v1/flux-pro-1.1"]);
        assert_eq!(world.log[world.log.len() - 2..], ["end succeeded", "later"]);
        assert_eq!(begun(&world), (seed, Some("0.04".into()), Some(rest.into())));
        let (next, pictures) = put_off(&world);
        positions.extend(pictures.iter().map(|p| p.position));
        progress = next;
        assert_eq!((progress.asked, progress.delivered), (number, number));
        assert_eq!(progress.chosen.as_deref(), Some("bfl:m"), "the same candidate makes the rest");
    }
    let mut last = fine(life(&progress, 2, candidate("bfl"), 3));
    last.go();
    assert_eq!(begun(&last), (9, Some("0.04".into()), Some("0".into())));
    let Some(Transition::Close { status: JobStatus::Succeeded, pictures, .. }) = last.transitions.last()
    else {
        panic!("{:?}", last.log)
    };
    positions.extend(pictures.iter().map(|p| p.position));
    assert_eq!(positions, [1, 2, 3]);
}

#[test]
fn a_call_asks_for_as_many_as_the_candidate_makes() {
    let mut fal = Candidate { remote_name: "fal-ai/x".into(), ..candidate("fal") };
    Arc::make_mut(&mut fal.parameters)
        .insert("n".into(), serde_json::from_value(json!("num_images")).unwrap());
    let three = |urls: &[&str]| {
        let images: Vec<_> = urls.iter().map(|url| json!({"url": url})).collect();
        vec![
            json_answer(200, json!({"request_id": "R"})),
            json_answer(200, json!({"status": "COMPLETED"})),
            json_answer(200, json!({"images": images})),
            bytes(png()),
            bytes(png()),
            bytes(png()),
        ]
    };
    // One of four does not come: it was asked for, and is not asked for again.
    let answers = three(&["http://cdn:2/1.png", "http://cdn:2/2.png", "http://cdn:2/3.png"]);
    let mut world = World::of(life(&Progress::default(), 0, fal.clone(), 10), answers);
    world.go();
    assert_eq!(begun(&world), (7, Some("0.16".into()), Some("0.24".into())));
    let (progress, pictures) = put_off(&world);
    assert_eq!((pictures.len(), progress.asked, progress.delivered), (3, 4, 3));
    let mut world = World::of(life(&progress, 1, fal, 10), three(&["http://cdn:2/4.png"]));
    world.go();
    assert_eq!(begun(&world), (11, Some("0.16".into()), Some("0.08".into())));
    let (progress, pictures) = put_off(&world);
    assert_eq!((pictures[0].position, progress.asked, progress.delivered), (4, 8, 4));
}

#[test]
fn what_was_accepted_of_one_call_is_followed_as_that_call() {
    let progress = Progress { asked: 2, delivered: 2, ..Progress::default() };
    let mut job = job();
    job.request.n = 3;
    progress.take_off(&mut job.request);
    let remote = Remote::new("T", "http://sim:1/eu/get_result?id=T");
    let plan = Plan { progress, ..plan_of(candidate("bfl")) };
    let run = Run::resume(job, plan, candidate("bfl"), 3, Some(remote), None, 900).unwrap();
    let mut world = World::of(run, vec![ready(), bytes(png())]);
    world.go();
    assert!(world.log.iter().all(|line| !line.starts_with("post")), "{:?}", world.log);
    let Some(Transition::Close { status: JobStatus::Succeeded, pictures, .. }) = world.transitions.last()
    else {
        panic!("{:?}", world.log)
    };
    assert_eq!(pictures[0].position, 3);
}

#[test]
fn the_whole_is_what_a_ceiling_and_an_estimate_are_about() {
    let request = |n: u32| serde_json::from_value(json!({"prompt": "a cat", "seed": 7, "n": n})).unwrap();
    let ceiling = Some(Decimal::new(10, 2));
    let fits = |n| crate::route::fits(&candidate("bfl"), Task::Generate, &request(n), ceiling);
    let (prepared, cost) = fits(2).unwrap();
    assert_eq!(cost.unwrap().normalize().to_string(), "0.08");
    let told = prepared.warnings.iter().find(|w| w.code == "several_calls").map(|w| w.message.as_str());
    assert_eq!(told, Some("bfl:m makes one image in a call: 2 calls are made, one after the other"));
    assert_eq!(fits(3).unwrap_err(), crate::route::Exclusion::TooDear);
}

#[test]
fn a_server_of_ones_own_that_knows_no_number_is_asked_again_for_the_rest() {
    use base64::Engine as _;
    let mut own = Candidate { remote_name: "sd-local".into(), ..candidate("a1111") };
    own.prices = Arc::new(vec![]);
    Arc::make_mut(&mut own.parameters).insert("n".into(), serde_json::from_value(json!("n_iter")).unwrap());
    let one = || {
        let png = base64::engine::general_purpose::STANDARD.encode(png());
        vec![json_answer(200, json!({"images": [png], "info": ""}))]
    };
    let mut world = World::of(life(&Progress::default(), 0, own.clone(), 2), one());
    world.go();
    let (progress, pictures) = put_off(&world);
    assert_eq!((pictures[0].position, progress.asked, progress.delivered), (1, 1, 1));
    let told = |world: &World| {
        world.transitions.iter().any(|e| matches!(e, Transition::End { warnings, .. } if warnings.iter().any(|w| w.code == "fewer_pictures")))
    };
    assert!(!told(&world), "{:?}", world.transitions);
    let mut world = World::of(life(&progress, 1, own, 2), one());
    world.go();
    assert_eq!((begun(&world).0, world.log.last().unwrap().as_str()), (8, "close succeeded"));
}

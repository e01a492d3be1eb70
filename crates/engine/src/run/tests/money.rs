//! What a call is expected to cost, what it cost, and what a budget says to it.

use super::route::{progress, two};
use super::*;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::cost::Usage;

#[test]
fn a_synchronous_provider_is_priced_by_its_tokens() {
    use base64::Engine as _;
    let mut openai = candidate("openai");
    let prices: Vec<crate::cost::Price> = serde_json::from_value(json!([
        {"unit": "text_in_mtok", "amount": "5"}, {"unit": "image_in_mtok", "amount": "8"},
        {"unit": "image_out_mtok", "amount": "30"}
    ]))
    .unwrap();
    openai.prices = Arc::new(prices);
    let b64 = base64::engine::general_purpose::STANDARD.encode(png());
    let body = json!({"data": [{"b64_json": b64}], "usage": {"input_tokens": 9, "output_tokens": 196}});
    let mut world = World::of(alone(openai), vec![json_answer(200, body)]);
    world.go();
    assert_eq!(world.log, ["begin", "post /images/generations", "end succeeded", "close succeeded"]);
    assert_eq!(world.end().2.as_deref(), Some("0.005925"));
}

#[test]
fn seconds_that_only_the_poll_names_are_priced() {
    let prices = vec![crate::cost::Price {
        unit: crate::cost::Unit::Second,
        amount: "0.001".parse().unwrap(),
        currency: "USD".into(),
        quality: None,
    }];
    let fal = Candidate { remote_name: "fal-ai/esrgan".into(), prices: prices.into(), ..candidate("fal") };
    let answers = vec![
        json_answer(200, json!({"request_id": "R"})),
        json_answer(202, json!({"status": "IN_PROGRESS"})),
        json_answer(200, json!({"status": "COMPLETED", "metrics": {"inference_time": 2.5}})),
        json_answer(200, json!({"image": {"url": "http://cdn:2/x.png"}})),
        bytes(png()),
    ];
    let mut world = World::of(alone(fal), answers);
    world.go();
    assert_eq!(world.end(), (AttemptStatus::Succeeded, None, Some("0.003".into())));
}

/// The estimate of the last intent to send.
fn estimate(world: &World) -> Option<String> {
    let found = world.transitions.iter().rev().find_map(|e| match e {
        Transition::Begin { estimated_cost, .. } => Some(estimated_cost.map(|c| c.normalize().to_string())),
        _ => None,
    });
    found.unwrap()
}

/// What the last end kept for the price table.
fn usage(world: &World) -> Option<Usage> {
    let found = world.transitions.iter().rev().find_map(|e| match e {
        Transition::End { usage, .. } => Some(usage.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn every_intent_to_send_says_what_this_call_is_expected_to_cost() {
    // S10
    let mut four = job();
    four.request.n = 4;
    let mut fal = Candidate { remote_name: "fal-ai/x".into(), ..candidate("fal") };
    Arc::make_mut(&mut fal.parameters)
        .insert("n".into(), serde_json::from_value(json!("num_images")).unwrap());
    let mut world = World::of(Run::new(four, plan_of(fal), 0).unwrap(), vec![]);
    world.from(Event::Start, "begin");
    assert_eq!(estimate(&world).as_deref(), Some("0.16"));
    // Unknown, or unknown in USD: no estimate, and never zero.
    for prices in [json!([]), json!([{"unit": "image", "amount": "0.04", "currency": "EUR"}])] {
        let foreign =
            Candidate { prices: Arc::new(serde_json::from_value(prices).unwrap()), ..candidate("bfl") };
        let mut world = World::of(alone(foreign), vec![]);
        world.from(Event::Start, "begin");
        assert_eq!(estimate(&world), None);
    }
    // What is drawn here costs nothing, whatever the model that it stands in for costs.
    let mut world = World::new("preview", vec![]);
    world.from(Event::Start, "begin");
    assert_eq!(estimate(&world).as_deref(), Some("0"));
}

/// An edit of a stored image at a model that is paid by the megapixel, inputs included.
fn edit(size: (u32, u32)) -> (Job, Plan, Vec<u8>) {
    let mut edit = job();
    edit.operation = Operation::Edit;
    edit.request.image = Some("asset:1".into());
    edit.pictures = vec![(Role::Image, InputLocation { stored: Some("ab".into()), url: None })];
    let flux = crate::catalogue::shipped().candidate("fal", "flux-2-pro").unwrap();
    let flux = Candidate { base_url: Some("http://sim:1".into()), ..flux };
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(size.0, size.1).write_to(&mut png, image::ImageFormat::Png).unwrap();
    (edit, plan_of(flux), png.into_inner())
}

#[test]
fn the_pictures_that_go_in_are_counted_as_soon_as_they_are_here() {
    let (job, plan, png) = edit((1500, 1000));
    let planned = crate::route::fits(&plan.route[0], Task::Img2img, &job.request, None).unwrap().1.unwrap();
    let mut world = World::of(Run::new(job, plan, 0).unwrap(), vec![]);
    world.stored = Some(png);
    world.from(Event::Start, "begin");
    // Two begun megapixels in.
    let now: Decimal = estimate(&world).unwrap().parse().unwrap();
    assert!(now >= planned + Decimal::new(3, 2), "{planned} {now}");
}

#[test]
fn what_was_held_against_the_price_table_is_kept_with_or_without_a_price() {
    // N13
    let seconds = json!([{"unit": "second", "amount": "0.001"}]);
    for (prices, cost) in [(seconds, Some("0.003")), (json!([]), None)] {
        let prices: Vec<crate::cost::Price> = serde_json::from_value(prices).unwrap();
        let fal =
            Candidate { remote_name: "fal-ai/esrgan".into(), prices: Arc::new(prices), ..candidate("fal") };
        let answers = vec![
            json_answer(200, json!({"request_id": "R"})),
            json_answer(200, json!({"status": "COMPLETED", "metrics": {"inference_time": 2.5}})),
            json_answer(200, json!({"image": {"url": "http://cdn:2/x.png"}})),
            bytes(png()),
        ];
        let mut world = World::of(alone(fal), answers);
        world.go();
        assert_eq!(world.end().2.as_deref(), cost);
        let expected = Usage { images: 1, pixels: Some(4096), seconds: Some(2.5), ..Usage::default() };
        assert_eq!(usage(&world).as_ref(), Some(&expected));
        let written = serde_json::to_value(expected).unwrap();
        assert_eq!(written, json!({"images": 1, "pixels": 4096, "seconds": 2.5}));
    }
}

#[test]
fn a_cost_that_does_not_come_from_the_table_keeps_nothing_for_it() {
    let reported = vec![accepted(), ready(), bytes(png())];
    let free = vec![json_answer(401, json!({"detail": "Not authenticated"}))];
    let uncertain = vec![Err(TransportError::MaybeSent("reset".into()))];
    for answers in [reported, free, uncertain] {
        let mut world = World::new("bfl", answers);
        world.go();
        assert_eq!(usage(&world), None);
    }
}

#[test]
fn a_picture_that_was_withheld_and_is_paid_for_keeps_its_work_too() {
    let mut ideogram = candidate("ideogram");
    (ideogram.remote_name, ideogram.api) = ("ideogram-v3".into(), Some("v1".into()));
    let body = json!({"data": [{"url": null, "is_image_safe": false}]});
    let mut world = World::of(alone(ideogram), vec![json_answer(200, body)]);
    world.go();
    assert_eq!(world.end(), (AttemptStatus::Refused, Some(ErrorCode::SafetyFilter), Some("0.04".into())));
    assert_eq!(usage(&world).unwrap().images, 1);
}

#[test]
fn a_bill_is_in_the_currency_of_its_price() {
    let euro =
        serde_json::from_value(json!([{"unit": "image", "amount": "0.035", "currency": "EUR"}])).unwrap();
    let fal = Candidate { remote_name: "fal-ai/x".into(), prices: Arc::new(euro), ..candidate("fal") };
    let answers = vec![
        json_answer(200, json!({"request_id": "R"})),
        json_answer(200, json!({"status": "COMPLETED"})),
        json_answer(200, json!({"images": [{"url": "http://cdn:2/x.png"}]})),
        bytes(png()),
    ];
    let mut world = World::of(alone(fal), answers);
    world.go();
    let end = world.transitions.iter().find_map(|e| match e {
        Transition::End { cost, .. } => Some(serde_json::to_value(cost).unwrap()),
        _ => None,
    });
    assert_eq!(end.unwrap(), json!({"amount": "0.035", "currency": "EUR", "source": "priced"}));
}

#[test]
fn after_a_restart_it_is_unknown_how_large_the_images_were_that_went_in() {
    let (job, plan, _) = edit((100, 100));
    let remote = Remote { result_url: Some("http://sim:1/r".into()), ..Remote::new("R", "http://sim:1/s") };
    let candidate = plan.route[0].clone();
    let run = Run::resume(job, plan, candidate, 1, Some(remote), None, 0).unwrap();
    let answers = vec![
        json_answer(200, json!({"status": "COMPLETED"})),
        json_answer(200, json!({"images": [{"url": "http://cdn:2/x.png"}]})),
        bytes(png()),
    ];
    let mut world = World::of(run, answers);
    world.go();
    // Not the price of an edit without images.
    assert_eq!(world.end(), (AttemptStatus::Succeeded, None, None));
    assert!(usage(&world).unwrap().inputs_unknown);
}

#[test]
fn a_call_that_the_budget_does_not_allow_goes_to_a_cheaper_candidate() {
    let mut world = two(turned_away("bfl:m", 1, None), vec![accepted(), ready(), bytes(png())]);
    world.budget = [Event::Unaffordable].into();
    world.go();
    assert_eq!(world.log[..4], ["enter bfl:m", "unaffordable", "enter other:n", "begin"]);
    assert_eq!(world.log.last().unwrap(), "close succeeded");
    let Some(Transition::Begin { number, progress, warnings, .. }) = world.transitions.first() else {
        panic!()
    };
    assert_eq!((*number, progress.failed.as_slice()), (1, &["bfl:m".to_string()][..]));
    assert!(progress.outages.is_empty(), "it is given up: {progress:?}");
    assert_eq!(warnings.len(), 1, "each warning once: {warnings:?}");
    assert_eq!(world.log.iter().filter(|l| l.starts_with("post")).count(), 1);
}

#[test]
fn what_no_candidate_can_do_within_the_budget_waits_for_a_person() {
    let mut world = two(Progress::default(), vec![]);
    world.budget = [Event::Unaffordable, Event::Unaffordable].into();
    world.go();
    assert_eq!(
        world.log,
        ["enter bfl:m", "unaffordable", "enter other:n", "unaffordable", "close needsreview"]
    );
    let Some(Transition::Close { failed: Some(failed), .. }) = world.transitions.last() else { panic!() };
    assert_eq!(failed.failure.code().as_str(), "budget_exceeded");
    assert!(failed.message.contains("other:n, which is expected to cost 0.04 USD"), "{}", failed.message);
    assert_eq!(world.transitions.len(), 1, "no attempt was written down");
}

#[test]
fn one_that_was_passed_over_is_waited_for_when_the_other_cannot_be_paid() {
    let mut world = two(Progress::default(), vec![]);
    world.unwell = vec!["bfl:m".into()];
    world.budget = [Event::Unaffordable].into();
    world.go();
    assert_eq!(world.log, ["shut at bfl:m", "enter other:n", "unaffordable", "shut at bfl:m", "later"]);
    assert_eq!(progress(&world).failed, ["other:n"]);
}

#[test]
fn a_refused_job_whose_other_model_cannot_be_paid_waits_for_a_person() {
    let refused = Progress {
        refused: vec!["bfl:m".into()],
        step: 2,
        chosen: Some("other:n".into()),
        ..Progress::default()
    };
    let mut world = two(refused, vec![]);
    world.budget = [Event::Unaffordable].into();
    world.go();
    assert_eq!(world.log, ["enter other:n", "unaffordable", "close needsreview"]);
}

#[test]
fn a_budget_that_a_session_holds_is_asked_again_and_nothing_is_counted() {
    let before = Progress { failed: vec!["other:n".into()], ..turned_away("bfl:m", 2, None) };
    let mut pauses = vec![];
    for id in ["gen_1", "gen_2", "gen_3"] {
        let job = Job { id: id.into(), ..job() };
        let plan = Plan { progress: before.clone(), ..plan("bfl") };
        let mut world = World::of(Run::new(job, plan, 2).unwrap(), vec![]);
        world.budget = [Event::Busy].into();
        world.go();
        assert_eq!(world.log, ["busy", "later"]);
        let Some(Transition::Later { after, progress, .. }) = world.transitions.last() else { panic!() };
        assert_eq!(*progress, before);
        assert!((150..=450).contains(&after.as_millis()), "{after:?}");
        pauses.push(*after);
    }
    pauses.dedup();
    assert_eq!(pauses.len(), 3, "not all at once");
}

#[test]
fn pictures_are_made_fit_again_for_the_candidate_that_takes_over() {
    // The first pads the image for an inpainting; the second outpaints the image itself.
    let catalogue = crate::catalogue::shipped();
    let at_sim = |kind: &str, model: &str| {
        let found = catalogue.candidate(kind, model).unwrap();
        Candidate { base_url: Some("http://sim:1".into()), ..found }
    };
    let mut wider = job();
    wider.operation = Operation::Edit;
    wider.request = serde_json::from_value(json!({
        "prompt": "a cat", "seed": 7, "image": "asset:1", "mode": "outpaint", "borders": {"left": 64}
    }))
    .unwrap();
    wider.pictures = vec![(Role::Image, InputLocation { stored: Some("ab".into()), url: None })];
    let task = wider.request.task(wider.operation);
    assert_eq!(task, Task::Outpaint);
    let route = vec![at_sim("fal", "flux-fill-pro"), at_sim("fal", "flux-2-pro-outpaint")];
    let plan = Plan { route, ..plan("fal") };
    let mut world = World::of(Run::new(wider, plan, 0).unwrap(), vec![]);
    world.stored = Some(png());
    world.budget = [Event::Unaffordable].into();
    world.from(Event::Start, "begin");
    assert_eq!(world.log, ["load ab", "unaffordable", "load ab", "begin"]);
    assert_eq!(world.run.input_pixels, [64 * 64]);
    assert!(world.run.inputs.get(Role::Mask).is_none());
}

/// What the last end was booked at: the amount, and a figure that was not believed.
fn booked(world: &World) -> (Option<String>, Option<String>, crate::cost::CostSource) {
    let text = |d: Option<Decimal>| d.map(|d| d.normalize().to_string());
    let found = world.transitions.iter().rev().find_map(|e| match e {
        Transition::End { cost, .. } => Some((text(cost.amount), text(cost.claimed), cost.source)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_figure_beyond_belief_is_unknown_and_its_picture_is_delivered() {
    use crate::cost::CostSource::{Reported, Unknown};
    // What an account is charged in credits of a cent, beside an estimate of 0.04.
    for (credits, cost) in [
        (json!(4), (Some("0.04"), None, Reported)),
        (json!(40), (Some("0.4"), None, Reported)),
        (json!(40.1), (None, Some("0.401"), Unknown)),
        (json!(1e14), (None, Some("1000000000000"), Unknown)),
        (json!("1e400"), (None, Some("792281625142643375935439503.35"), Unknown)),
    ] {
        let told = json!({"id": "T", "polling_url": "http://sim:1/eu/get_result?id=T", "cost": credits});
        let answers = vec![json_answer(200, told), ready(), bytes(png())];
        let mut world = World::of(alone(candidate("bfl")), answers);
        world.go();
        assert_eq!(world.log.last().unwrap(), "close succeeded", "{credits}");
        let (amount, claimed, source) = booked(&world);
        assert_eq!((amount.as_deref(), claimed.as_deref(), source), cost, "{credits}");
        // It is not believed from the first word on.
        let checkpoint = world.transitions.iter().find_map(|e| match e {
            Transition::Checkpoint { cost, .. } => Some(cost.clone().unwrap()),
            _ => None,
        });
        assert_eq!(checkpoint.unwrap().source, source, "{credits}");
    }
}

#[test]
fn without_an_estimate_a_figure_is_believed_up_to_the_ceiling() {
    let unpriced = Candidate { prices: Default::default(), ..candidate("bfl") };
    let told = |credits: u32| {
        let told = json!({"id": "T", "polling_url": "http://sim:1/eu/get_result?id=T", "cost": credits});
        let mut world =
            World::of(alone(unpriced.clone()), vec![json_answer(200, told), ready(), bytes(png())]);
        world.go();
        booked(&world).0
    };
    assert_eq!(told(1000).as_deref(), Some("10"));
    assert_eq!(told(1001), None);
}

#[test]
fn a_picture_larger_than_was_asked_for_does_not_set_the_bill() {
    let per_megapixel = |size: Value| {
        let mut fal = Candidate { remote_name: "fal-ai/x".into(), ..candidate("fal") };
        let prices: Vec<crate::cost::Price> =
            serde_json::from_value(json!([{"unit": "megapixel", "amount": "1"}])).unwrap();
        fal.prices = prices.into();
        if !size.is_null() {
            Arc::make_mut(&mut fal.parameters).insert("size".into(), serde_json::from_value(size).unwrap());
        }
        let mut sized = job();
        (sized.request.width, sized.request.height) = (Some(64), Some(64));
        let mut large = std::io::Cursor::new(Vec::new());
        image::GrayImage::new(100, 100).write_to(&mut large, image::ImageFormat::Png).unwrap();
        let answers = vec![
            json_answer(200, json!({"request_id": "R"})),
            json_answer(200, json!({"status": "COMPLETED"})),
            json_answer(200, json!({"image": {"url": "http://cdn:2/x.png"}})),
            bytes(large.into_inner()),
        ];
        let mut world = World::of(Run::new(sized, plan_of(fal), 0).unwrap(), answers);
        world.go();
        assert_eq!(world.log.last().unwrap(), "close succeeded");
        booked(&world).0
    };
    // Where the request names a size in pixels, the bill follows it; where it cannot, it follows the image.
    assert_eq!(per_megapixel(json!({"form": "object"})).as_deref(), Some("0.004096"));
    assert_eq!(per_megapixel(Value::Null).as_deref(), Some("0.01"));
}

#[test]
fn a_call_to_ones_own_machine_costs_nothing_however_it_ends() {
    use crate::cost::CostSource::Priced;
    let unpriced = Candidate { prices: Default::default(), ..candidate("a1111") };
    let mut world = World::of(alone(unpriced), vec![Err(TransportError::MaybeSent("cut".into()))]);
    world.from(Event::Start, "later");
    assert_eq!(booked(&world), (Some("0".into()), None, Priced));
    // Canceled while it is on its way.
    let mut world = World::of(alone(Candidate { prices: Default::default(), ..candidate("a1111") }), vec![]);
    world.from(Event::Start, "post");
    world.from(Event::Cancel, "never");
    assert_eq!(world.log.last().unwrap(), "close canceled");
    assert_eq!(booked(&world), (Some("0".into()), None, Priced));
}

use std::sync::Arc;

use super::super::testing::*;
use super::super::{Charge, find};
use super::*;
use crate::input::{Input, Inputs, Role};

fn prepared(task: Task, model: &str, asked: Value, roles: &[Role]) -> Result<Prepared, Invalid> {
    let (candidate, inputs) = (candidate("stability", model), inputs(roles));
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    Stability.prepare(&call_with(task, &request(all), &candidate, &inputs))
}

/// The fields of the form, `name=value`, files as their type.
fn fields(task: Task, model: &str, asked: Value, roles: &[Role]) -> String {
    let form = form_body(&prepared(task, model, asked, roles).unwrap());
    form.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn submitted(model: &str, response: &HttpResponse) -> Result<Reply, Rejection> {
    let candidate = candidate("stability", model);
    let request = request(json!({"prompt": "x", "seed": 1}));
    Stability.read_submit(&call(&request, &candidate), response)
}

#[test]
fn even_text_goes_out_as_a_form_and_json_is_asked_for() {
    let asked = json!({
        "aspect_ratio": "16:9", "negative_prompt": "dogs", "options": {"style_preset": "anime", "samples": 4}, "steps": 20
    });
    let prepared = prepared(Task::Generate, "stable-image-core", asked, &[]).unwrap();
    let http = http(&prepared);
    assert_eq!(http.url, "https://api.stability.ai/v2beta/stable-image/generate/core");
    assert_eq!(http.headers, [("accept", "application/json".to_owned())]);
    assert_eq!(http.auth, Some(Auth::header("authorization", "Bearer ")));
    let form: Vec<String> = form_body(&prepared).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    let expected =
        ["aspect_ratio=16:9", "negative_prompt=dogs", "prompt=a cat", "seed=7", "style_preset=anime"];
    assert_eq!(form, expected);
    assert_eq!(codes(&prepared), ["unsupported", "unsupported"]);
    assert!(prepared.seed_honored);
}

#[test]
fn a_ratio_that_is_not_offered_becomes_the_nearest_one() {
    // S123
    let prepared =
        prepared(Task::Generate, "stable-image-core", json!({"aspect_ratio": "4:3"}), &[]).unwrap();
    assert!(form_body(&prepared).contains(&("aspect_ratio".into(), "5:4".into())));
    assert_eq!(codes(&prepared), ["adjusted"]);
    // 0 would be a random seed.
    let zero = fields(Task::Generate, "stable-image-core", json!({"seed": 0}), &[]);
    assert_eq!(zero, "aspect_ratio=1:1 prompt=a cat seed=1");
}

#[test]
fn each_task_has_its_own_fields() {
    let image = &[Role::Image];
    let none = || json!({});
    assert_eq!(
        fields(Task::Generate, "sd3.5-large", json!({"guidance": 12}), &[]),
        "aspect_ratio=1:1 cfg_scale=10.0 model=sd3.5-large prompt=a cat seed=7"
    );
    assert_eq!(
        fields(Task::Img2img, "sd3.5-large", none(), image),
        "mode=image-to-image model=sd3.5-large prompt=a cat seed=7 strength=0.75 image=image/png"
    );
    assert_eq!(
        fields(Task::Variate, "sd3.5-large", json!({"variance": 0.2}), image),
        "mode=image-to-image model=sd3.5-large prompt=a cat seed=7 strength=0.2 image=image/png"
    );
    assert_eq!(
        fields(Task::Img2img, "stable-image-ultra", json!({"strength": 0.4}), image),
        "prompt=a cat seed=7 strength=0.4 image=image/png"
    );
    assert_eq!(
        fields(Task::Inpaint, "stability-inpaint", none(), &[Role::Image, Role::Mask]),
        "prompt=a cat seed=7 image=image/png mask=image/png"
    );
    assert_eq!(
        fields(Task::Inpaint, "stability-erase", none(), &[Role::Image, Role::Mask]),
        "seed=7 image=image/png mask=image/png"
    );
    assert_eq!(
        fields(Task::Outpaint, "stability-outpaint", json!({"borders": {"top": 8, "left": 16}}), image),
        "down=0 left=16 prompt=a cat right=0 seed=7 up=8 image=image/png"
    );
    assert_eq!(
        fields(Task::Img2img, "stability-structure", json!({"strength": 0.4}), image),
        "control_strength=0.6 prompt=a cat seed=7 image=image/png"
    );
    assert_eq!(
        fields(Task::Variate, "stability-style-guide", none(), image),
        "aspect_ratio=3:2 fidelity=0.5 prompt=a cat seed=7 image=image/png"
    );
    assert_eq!(
        fields(
            Task::TransferStyle,
            "stability-style-transfer",
            json!({"strength": 0.7}),
            &[Role::Image, Role::StyleImage]
        ),
        "change_strength=0.7 prompt=a cat seed=7 init_image=image/png style_image=image/png"
    );
}

#[test]
fn a_prompt_of_our_own_is_sent_only_where_one_is_needed() {
    let usual = |task: Task| json!({"prompt": task.usual_prompt().unwrap(), "borders": {"left": 8}});
    let outpaint = fields(Task::Outpaint, "stability-outpaint", usual(Task::Outpaint), &[Role::Image]);
    assert!(!outpaint.contains("prompt="), "{outpaint}");
    let inpaint =
        fields(Task::Inpaint, "stability-inpaint", usual(Task::Inpaint), &[Role::Image, Role::Mask]);
    assert!(inpaint.contains("prompt=Fill"), "{inpaint}");
}

#[test]
fn an_upscaler_is_not_said_to_do_what_it_does_not() {
    let asked = |scale: u32| json!({"prompt": Task::Upscale.usual_prompt().unwrap(), "scale": scale});
    let image = &[Role::Image];
    let four = prepared(Task::Upscale, "stability-upscale-fast", asked(4), image).unwrap();
    assert_eq!(form_body(&four), [("image".to_owned(), "image/png".to_owned())]);
    assert_eq!(four.size.unwrap().to_string(), "384x256");
    assert_eq!(codes(&four), ["seed_ignored"]);
    let two = prepared(Task::Upscale, "stability-upscale-fast", asked(2), image).unwrap_err();
    assert!(two.hint.contains('4'), "{}", two.hint);
    let own = prepared(Task::Upscale, "stability-upscale-conservative", asked(2), image).unwrap();
    assert_eq!((codes(&own), own.size), (vec!["unsupported"], None));
}

#[test]
fn what_the_service_would_refuse_is_not_sent() {
    let search = "stability-search-replace";
    let missing = prepared(Task::Img2img, search, json!({}), &[Role::Image]).unwrap_err();
    assert!(missing.hint.contains("search_prompt"));
    let given = json!({"options": {"search_prompt": "a dog"}});
    assert_eq!(
        fields(Task::Img2img, search, given, &[Role::Image]),
        "prompt=a cat search_prompt=a dog seed=7 image=image/png"
    );
    let wide = json!({"borders": {"left": 2001}});
    assert!(prepared(Task::Outpaint, "stability-outpaint", wide, &[Role::Image]).is_err());
    let (candidate, request) =
        (candidate("stability", "sd3.5-large"), request(json!({"prompt": "x", "seed": 1})));
    let mut inputs = Inputs::default();
    let bytes = Arc::new(vec![0; MAX_REQUEST_BYTES + 1]);
    inputs.set(Role::Image, Input { bytes, content_type: "image/png", size: None });
    let large = Stability.prepare(&call_with(Task::Img2img, &request, &candidate, &inputs)).unwrap_err();
    assert!(large.message.contains("10 MB"));
}

#[test]
fn a_reference_image_is_ignored_with_a_warning() {
    // S115
    let prepared = prepared(Task::Generate, "stable-image-core", json!({}), &[Role::ReferenceImage]).unwrap();
    assert_eq!(codes(&prepared), ["reference_ignored"]);
}

#[test]
fn a_picture_and_its_seed_are_read() {
    let body = json!({"image": "iVBORw==", "finish_reason": "SUCCESS", "seed": 343940597});
    let reply = submitted("stable-image-core", &answer(200, body)).unwrap();
    let Reply::Finished(output) = reply else { panic!("{reply:?}") };
    assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
    assert_eq!(output.seed, Some(343_940_597));
}

#[test]
fn a_blurred_picture_is_a_refusal() {
    let read = |reason: &str| {
        let body = json!({"image": "iVBORw==", "finish_reason": reason, "seed": 1});
        submitted("stable-image-core", &answer(200, body))
    };
    let refused = read("CONTENT_FILTERED").unwrap_err();
    assert_eq!((refused.failed.failure, refused.charge), (Failure::Refused, Charge::Free));
    assert_eq!(read("ERROR").unwrap_err().failed.failure, Failure::Broken);
}

#[test]
fn success_without_a_picture_is_no_success() {
    for body in [json!({}), json!({"image": ""}), json!({"image": "%%"}), json!("x"), Value::Null] {
        let rejection = submitted("stable-image-core", &answer(200, body.clone())).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Broken, "{body}");
        assert_eq!(rejection.charge, Charge::Unknown);
        let rejection = submitted("stability-upscale-creative", &answer(200, body.clone())).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Uncertain, "{body}");
        assert_eq!(rejection.charge, Charge::Unknown);
    }
    let garbage = HttpResponse { status: 200, headers: vec![], body: vec![0xff, 0] };
    assert!(submitted("stable-image-core", &garbage).is_err());
}

#[test]
fn the_creative_upscaler_is_asked_again_every_ten_seconds() {
    let id = "a".repeat(64);
    let reply = submitted("stability-upscale-creative", &answer(200, json!({"id": id}))).unwrap();
    let Reply::Accepted { remote, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(remote.poll_url, format!("https://api.stability.ai/v2beta/results/{id}"));
    let http = Stability.poll(&remote);
    assert_eq!((http.auth, http.headers.len()), (Some(AUTH), 1));
    let read = |status: u16, body: Value| Stability.read_poll(&remote, &answer(status, body));
    let pending = Ok(Reply::Pending { after: Some(Duration::from_secs(10)) });
    assert_eq!(read(202, json!({"id": id, "status": "in-progress"})), pending);
    assert_eq!(read(200, json!({"id": id, "status": "in a new state"})), pending);
    for key in ["result", "image"] {
        let done = read(200, json!({key: "iVBORw==", "finish_reason": "SUCCESS", "seed": 3})).unwrap();
        assert!(matches!(done, Reply::Finished(Output { seed: Some(3), .. })));
    }
    let failure = |status: u16, body: Value| read(status, body).unwrap_err().failed.failure;
    let filtered = json!({"result": "iVBORw==", "finish_reason": "CONTENT_FILTERED", "seed": 3});
    assert_eq!(failure(200, filtered), Failure::Refused);
    assert_eq!(failure(200, json!({})), Failure::Broken);
    assert_eq!(failure(200, json!("garbage")), Failure::Garbled);
    let gone = json!({"id": "x", "name": "not_found", "errors": ["no such generation"]});
    assert_eq!(failure(404, gone), Failure::NotFound);
    let pause = Some(Duration::from_secs(10));
    assert_eq!(failure(503, json!({})), Failure::Overloaded { after: pause });
}

#[test]
fn each_documented_error_has_one_class() {
    let minute = Failure::RateLimited { after: Some(LOCK_OUT) };
    for (status, name, failure) in [
        (403, "content_moderation", Failure::Refused),
        (400, "invalid_prompts", Failure::Refused),
        (402, "payment_required", Failure::OutOfCredit),
        (402, "", Failure::OutOfCredit),
        (429, "insufficient_balance", Failure::OutOfCredit),
        (401, "unauthorized", Failure::Unauthorized),
        (403, "permission_denied", Failure::Unauthorized),
        (403, "", Failure::Unauthorized),
        (429, "rate_limit_exceeded", minute.clone()),
        (429, "", minute),
        (400, "bad_request", Failure::Invalid),
        (413, "payload_too_large", Failure::Invalid),
        (422, "unprocessable_entity", Failure::Invalid),
        (404, "not_found", Failure::ModelGone),
        (500, "internal_error", Failure::Overloaded { after: None }),
        (503, "server_error", Failure::Overloaded { after: None }),
    ] {
        let body = json!({"id": "x", "name": name, "errors": ["some words"]});
        let rejection = Stability.read_error(&answer(status, body));
        assert_eq!(rejection.failed.failure, failure, "{status} {name}");
        assert_eq!(rejection.failed.message, format!("HTTP {status}: some words"));
        assert_eq!(rejection.charge, Charge::Free);
    }
    let old = json!({"id": "x", "name": "invalid_prompts", "message": "old words"});
    assert!(Stability.read_error(&answer(400, old)).failed.message.ends_with("old words"));
    let garbage = HttpResponse { status: 502, headers: vec![], body: b"<html>".to_vec() };
    assert_eq!(Stability.read_error(&garbage).failed.failure, Failure::Uncertain);
}

#[test]
fn every_model_can_do_its_tasks() {
    let provider = find("stability").unwrap();
    for candidate in crate::catalogue::shipped().candidates().filter(|c| c.kind == "stability") {
        for task in candidate.operations.clone() {
            let roles: &[Role] = match task {
                Task::Generate => &[],
                Task::Inpaint => &[Role::Image, Role::Mask],
                Task::TransferStyle => &[Role::Image, Role::StyleImage],
                _ => &[Role::Image],
            };
            let inputs = inputs(roles);
            let mut request = request(json!({"prompt": "x", "seed": 1, "scale": 4, "borders": {"top": 1}}));
            request.options = NEEDED.iter().map(|name| ((*name).to_owned(), json!("a car"))).collect();
            let prepared = provider.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
            let files = form_body(&prepared).iter().filter(|(_, v)| v == "image/png").count();
            assert_eq!(files, roles.len(), "{} {}", candidate.model, task.as_str());
        }
    }
}

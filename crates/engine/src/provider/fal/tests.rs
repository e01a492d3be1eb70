use super::super::testing::*;
use super::super::{Charge, Submission};
use super::*;
use crate::candidate::Candidate;
use crate::job::Request;

fn asked(json: Value) -> Request {
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    request(all)
}

/// The URL's path and the body, data URIs shortened.
fn sent(task: Task, model: &str, json: Value, roles: &[Role]) -> (String, Value, Vec<String>) {
    let (candidate, inputs, request) = (candidate("fal", model), inputs(roles), asked(json));
    let prepared = Fal.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
    let url = http(&prepared).url.strip_prefix("https://queue.fal.run/").unwrap().to_owned();
    let codes = codes(&prepared).into_iter().map(str::to_owned).collect();
    (url, short(&json_body(&prepared)), codes)
}

fn short(json: &Value) -> Value {
    match json {
        Value::String(text) if text.starts_with("data:image/png;base64,") => json!("DATA"),
        Value::Array(all) => all.iter().map(short).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), short(v))).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_usual_model_of_each_task_gets_exactly_its_fields() {
    use Role::{Image, Mask, ReferenceImage, StyleImage};
    let none: Vec<String> = vec![];
    let square = json!({"width": 1024, "height": 1024});
    let generate = json!({"steps": 28, "guidance": 3.5, "n": 2, "width": 1024, "height": 1024});
    let body = json!({"prompt": "a cat", "seed": 7, "num_images": 2, "num_inference_steps": 28, "guidance_scale": 3.5,
                      "image_size": square});
    assert_eq!(
        sent(Task::Generate, "flux-dev", generate, &[]),
        ("fal-ai/flux/dev".into(), body, none.clone())
    );
    assert_eq!(
        sent(Task::Img2img, "flux-dev-img2img", json!({"strength": 0.75}), &[Image]),
        (
            "fal-ai/flux/dev/image-to-image".into(),
            json!({"prompt": "a cat", "seed": 7, "num_images": 1, "image_url": "DATA", "strength": 0.75}),
            none.clone()
        )
    );
    assert_eq!(
        sent(Task::Inpaint, "flux-fill-pro", json!({}), &[Image, Mask]),
        (
            "fal-ai/flux-pro/v1/fill".into(),
            json!({"prompt": "a cat", "seed": 7, "num_images": 1, "image_url": "DATA", "mask_url": "DATA"}),
            none.clone()
        )
    );
    assert_eq!(
        sent(
            Task::Outpaint,
            "flux-2-pro-outpaint",
            json!({"borders": {"left": 8, "top": 16}, "prompt": Task::Outpaint.usual_prompt()}),
            &[Image]
        ),
        (
            "fal-ai/flux-2-pro/outpaint".into(),
            json!({"image_url": "DATA", "expand_top": 16, "expand_bottom": 0, "expand_left": 8, "expand_right": 0}),
            vec!["seed_ignored".into()]
        )
    );
    assert_eq!(
        sent(
            Task::Upscale,
            "real-esrgan",
            json!({"scale": 4, "prompt": Task::Upscale.usual_prompt()}),
            &[Image]
        ),
        ("fal-ai/esrgan".into(), json!({"image_url": "DATA", "scale": 4}), vec!["seed_ignored".into()])
    );
    // The variations have the shape of the image, not fal's usual landscape.
    let size = json!({"width": 256, "height": 256});
    assert_eq!(
        sent(Task::Variate, "flux-redux-dev", json!({"n": 4, "width": 256, "height": 256}), &[Image]),
        (
            "fal-ai/flux/dev/redux".into(),
            json!({"seed": 7, "num_images": 4, "image_url": "DATA", "image_size": size}),
            vec!["unsupported".into()]
        )
    );
    // S88: both images.
    assert_eq!(
        sent(Task::TransferStyle, "image-apps-style-transfer", json!({}), &[Image, StyleImage]).1,
        json!({"image_url": "DATA", "style_reference_image_url": "DATA"})
    );
    for (mode, weight) in [("strict", 0.9), ("balanced", 0.6), ("loose", 0.3)] {
        let (url, body, _) =
            sent(Task::Generate, "flux-pulid", json!({"consistency_mode": mode}), &[ReferenceImage]);
        assert_eq!(url, "fal-ai/flux-pulid");
        assert_eq!((&body["reference_image_url"], &body["id_weight"]), (&json!("DATA"), &json!(weight)));
    }
}

#[test]
fn families_of_endpoints_have_one_for_each_task() {
    use Role::{Image, Mask, ReferenceImage, StyleImage};
    let url = |task, model: &str, roles: &[Role]| sent(task, model, json!({}), roles).0;
    assert_eq!(url(Task::Generate, "flux-2-pro", &[]), "fal-ai/flux-2-pro");
    assert_eq!(url(Task::Generate, "flux-2-pro", &[ReferenceImage]), "fal-ai/flux-2-pro/edit");
    assert_eq!(url(Task::TransferStyle, "flux-2-pro", &[Image, StyleImage]), "fal-ai/flux-2-pro/edit");
    assert_eq!(url(Task::Generate, "flux-kontext-pro", &[]), "fal-ai/flux-pro/kontext/text-to-image");
    assert_eq!(url(Task::Generate, "flux-kontext-pro", &[ReferenceImage]), "fal-ai/flux-pro/kontext");
    assert_eq!(url(Task::Img2img, "flux-kontext-max", &[Image]), "fal-ai/flux-pro/kontext/max");
    assert_eq!(url(Task::Inpaint, "flux-general", &[Image, Mask]), "fal-ai/flux-general/inpainting");
    assert_eq!(url(Task::Variate, "sdxl-lightning", &[Image]), "fal-ai/fast-lightning-sdxl/image-to-image");
    assert_eq!(url(Task::Generate, "ideogram-v3-turbo", &[]), "fal-ai/ideogram/v3");
    assert_eq!(url(Task::Img2img, "ideogram-v2", &[Image]), "fal-ai/ideogram/v2/remix");
    // A reference that the model does not take changes nothing, least of all the endpoint.
    let (url, _, codes) = sent(Task::Generate, "flux-lora", json!({}), &[ReferenceImage]);
    assert_eq!((url.as_str(), codes[0].as_str()), ("fal-ai/flux-lora", "reference_ignored"));
}

#[test]
fn what_endpoints_name_differently_is_written_their_way() {
    use Role::{Image, ReferenceImage, StyleImage};
    let body = |task, model: &str, json, roles: &[Role]| sent(task, model, json, roles).1;
    assert_eq!(
        body(Task::TransferStyle, "flux-2-pro", json!({}), &[Image, StyleImage]),
        json!({
            "prompt": "a cat", "seed": 7, "image_urls": ["DATA", "DATA"],
            // Where none is named a square can come.
            "image_size": {"width": 768, "height": 512}
        })
    );
    let lightning = body(Task::Generate, "sdxl-lightning", json!({"steps": 3}), &[]);
    assert_eq!(lightning["num_inference_steps"], json!("2"));
    let remix = body(Task::Img2img, "ideogram-v2", json!({"strength": 0.75}), &[Image]);
    assert_eq!((&remix["strength"], &remix["aspect_ratio"]), (&json!(0.25), &json!("3:2")));
    let pulid = body(Task::Generate, "pulid", json!({}), &[ReferenceImage]);
    assert_eq!(pulid["reference_images"], json!([{"image_url": "DATA"}]));
    let borders = json!({"borders": {"left": 10, "bottom": 20}});
    let bria = body(Task::Outpaint, "bria-expand", borders.clone(), &[Image]);
    assert_eq!(bria["canvas_size"], json!([106, 84]));
    assert_eq!(
        (&bria["original_image_size"], &bria["original_image_location"]),
        (&json!([96, 64]), &json!([10, 0]))
    );
    let (url, reframe, codes) = sent(Task::Outpaint, "ideogram-v3-turbo", borders, &[Image]);
    assert_eq!(url, "fal-ai/ideogram/v3/reframe");
    assert_eq!(reframe["image_size"], json!({"width": 106, "height": 84}));
    assert!(codes.contains(&"adjusted".to_owned()), "{codes:?}");
}

#[test]
fn what_cannot_work_is_refused_before_it_is_sent() {
    let refused = |task, candidate: &Candidate, json, roles: &[Role]| {
        let (request, inputs) = (asked(json), inputs(roles));
        let error = Fal.prepare(&call_with(task, &request, candidate, &inputs)).unwrap_err();
        assert!(!error.hint.is_empty());
        error.message
    };
    let image = [Role::Image];
    let outpaint = candidate("fal", "image-apps-outpaint");
    let wide = json!({"borders": {"left": 701}});
    assert!(refused(Task::Outpaint, &outpaint, wide, &image).contains("at most 700"));
    assert!(
        refused(Task::Upscale, &candidate("fal", "aura-sr"), json!({"scale": 2}), &image).contains("by 2")
    );
    assert!(
        refused(Task::Generate, &candidate("fal", "flux-pulid"), json!({}), &[]).contains("reference_image")
    );
    assert!(
        refused(Task::Generate, &candidate("fal", "real-esrgan"), json!({}), &[])
            .contains("does not generate")
    );
    for name in ["../account", "fal-ai/../x", "fal-ai/x?y=1", "fal-ai//x", "fal-ai/x#y", "flux", "", "a/b c"]
    {
        let named = Candidate { remote_name: name.into(), ..candidate("fal", "*") };
        assert!(refused(Task::Generate, &named, json!({}), &[]).contains("endpoint"), "{name}");
    }
}

#[test]
fn an_unlisted_endpoint_gets_every_option() {
    let candidate = Candidate { remote_name: "fal-ai/any/thing".into(), ..candidate("fal", "*") };
    let request = asked(json!({"options": {"image_size": "square_hd", "loras": [{"path": "x"}]}}));
    let prepared = Fal.prepare(&call(&request, &candidate)).unwrap();
    assert_eq!(http(&prepared).url, "https://queue.fal.run/fal-ai/any/thing");
    let body = json!({"prompt": "a cat", "seed": 7, "image_size": "square_hd", "loras": [{"path": "x"}]});
    assert_eq!(json_body(&prepared), body);
}

#[test]
fn an_unlisted_endpoint_gets_pictures_seed_and_size_as_most_take_them() {
    use Role::{Image, Mask};
    let candidate = Candidate { remote_name: "fal-ai/any/thing".into(), ..candidate("fal", "*") };
    let sent = |task, json: Value, roles: &[Role]| {
        let (inputs, request) = (inputs(roles), asked(json));
        let prepared = Fal.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
        let told = prepared.warnings.iter().find(|w| w.code == "assumed").map(|w| w.message.clone());
        (short(&json_body(&prepared)), prepared.seed_honored, told.unwrap_or_default())
    };
    let sides = json!({"width": 640, "height": 512});
    let (body, honored, told) = sent(Task::Generate, sides.clone(), &[]);
    assert_eq!(body, json!({"prompt": "a cat", "seed": 7, "image_size": sides}));
    assert!(honored && told.ends_with("whether it takes seed, size is not known"), "{told}");
    let (body, ..) = sent(Task::Generate, json!({"aspect_ratio": "16:9"}), &[]);
    assert_eq!(body, json!({"prompt": "a cat", "seed": 7, "aspect_ratio": "16:9"}));
    let (body, _, told) = sent(Task::Inpaint, json!({}), &[Image, Mask]);
    assert_eq!(body, json!({"prompt": "a cat", "seed": 7, "image_url": "DATA", "mask_url": "DATA"}));
    assert!(told.contains("seed, image, mask"), "{told}");
    // What the caller writes by name comes first, and is not our seed.
    let own = json!({"width": 640, "height": 512, "options": {"image_size": "square", "seed": 9}});
    let (body, honored, _) = sent(Task::Generate, own, &[]);
    assert_eq!(body, json!({"prompt": "a cat", "seed": 9, "image_size": "square"}));
    assert!(!honored);
}

#[test]
fn every_model_of_the_catalogue_can_be_asked_for_every_task_it_lists() {
    use Role::{Image, Mask, ReferenceImage, StyleImage};
    for candidate in crate::catalogue::shipped().candidates().filter(|c| c.kind == "fal" && c.model != "*") {
        for task in &candidate.operations {
            let roles: &[Role] = match task {
                Task::Generate if candidate.parameters.contains_key("reference_image") => &[ReferenceImage],
                Task::Generate => &[],
                Task::Inpaint => &[Image, Mask],
                Task::TransferStyle => &[Image, StyleImage],
                _ => &[Image],
            };
            let (inputs, mut request) = (inputs(roles), asked(json!({"borders": {"left": 8, "right": 8}})));
            request.scale = (*task == Task::Upscale).then_some(4);
            let prepared = Fal.prepare(&call_with(*task, &request, &candidate, &inputs));
            let prepared = prepared.unwrap_or_else(|e| panic!("{} {}: {e}", candidate.model, task.as_str()));
            assert!(matches!(prepared.submission, Submission::Http(_)));
            let pictures = json_body(&prepared).to_string().matches("data:image/png").count();
            assert_eq!(pictures, roles.len(), "{} {}", candidate.model, task.as_str());
        }
    }
}

#[test]
fn a_task_is_followed_at_the_urls_of_the_answer() {
    let candidate = candidate("fal", "flux-dev");
    let request = asked(json!({}));
    let at = "https://queue.fal.run/fal-ai/flux/requests/R";
    let body = json!({"status": "IN_QUEUE", "request_id": "R", "queue_position": 0, "response_url": at,
                      "status_url": format!("{at}/status"), "cancel_url": format!("{at}/cancel")});
    let submit = |body: Value| Fal.read_submit(&call(&request, &candidate), &answer(200, body));
    let Ok(Reply::Accepted { remote, cost: None }) = submit(body) else { panic!() };
    assert_eq!((remote.id.as_str(), &remote.poll_url), ("R", &format!("{at}/status")));
    assert_eq!(Fal.poll(&remote).auth, Some(AUTH));
    // Without URLs in the answer: below owner and app, not below the whole name.
    let Ok(Reply::Accepted { remote: same, .. }) = submit(json!({"request_id": "R"})) else { panic!() };
    assert_eq!((&same.poll_url, &same.result_url), (&remote.poll_url, &remote.result_url));

    let poll = |status, body| Fal.read_poll(&remote, &answer(status, body));
    for state in ["IN_QUEUE", "IN_PROGRESS", "SOMETHING_NEW"] {
        assert_eq!(poll(202, json!({"status": state})), Ok(Reply::Pending { after: None }));
    }
    let done = json!({"status": "COMPLETED", "metrics": {"inference_time": 1.2}});
    let Ok(Reply::Ask(ask)) = poll(200, done.clone()) else { panic!() };
    assert_eq!((ask.url.as_str(), ask.auth), (at, Some(AUTH)));
    assert_eq!(Fal.read_seconds(&answer(200, done)), Some(1.2));

    let cancel = Fal.cancel(&remote).unwrap();
    assert_eq!((cancel.method, cancel.url), (Method::Put, format!("{at}/cancel")));
    assert_eq!(cancel.timeout, Duration::from_secs(10));
    assert!(Fal.cancel(&same).is_none());
}

#[test]
fn pictures_are_read_in_both_shapes() {
    let task = Remote::new("R", "https://queue.fal.run/fal-ai/flux/requests/R/status");
    let read = |body| Fal.read_result(&task, &answer(200, body));
    let body = json!({
        "images": [{"url": "https://v3.fal.media/x.jpg", "width": 1024, "height": 1024, "content_type": "image/jpeg"}],
        "seed": 7, "has_nsfw_concepts": [false], "prompt": "a cat", "timings": {"inference": 1.5}
    });
    let Ok(Reply::Finished(output)) = read(body) else { panic!() };
    let url = |name: &str| Source::Url { url: format!("https://v3.fal.media/{name}"), lifetime: None };
    assert_eq!(
        (output.pictures, output.seed, output.render_seconds),
        (vec![url("x.jpg")], Some(7), Some(1.5))
    );
    let Ok(Reply::Finished(one)) = read(json!({"image": {"url": "https://v3.fal.media/y.png"}})) else {
        panic!()
    };
    assert_eq!((one.pictures, one.seed), (vec![url("y.png")], None));
    let inline = json!({"images": [{"url": "data:image/png;base64,iVBORw=="}]});
    let Ok(Reply::Finished(inline)) = read(inline) else { panic!() };
    assert_eq!(inline.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
}

#[test]
fn a_picture_that_the_checker_blackened_is_no_picture() {
    let task = Remote::new("R", "https://queue.fal.run/a/b/requests/R/status");
    let read = |body| Fal.read_result(&task, &answer(200, body));
    let images = json!([{"url": "https://v3.fal.media/black.jpg"}, {"url": "https://v3.fal.media/cat.jpg"}]);
    let Ok(Reply::Finished(some)) = read(json!({"images": images, "has_nsfw_concepts": [true, false]}))
    else {
        panic!()
    };
    assert_eq!((some.pictures.len(), some.withheld), (1, 1));
    for all in [
        json!({"images": images, "has_nsfw_concepts": [true, true]}),
        json!({"images": [], "has_nsfw_concepts": [true]}),
        json!({"image": {"url": "https://v3.fal.media/black.jpg"}, "nsfw_content_detected": true}),
    ] {
        let rejection = read(all).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Refused, Charge::Full));
    }
}

/// An error body with one detail of this type.
fn detail(kind: &str) -> Value {
    json!({"detail": [{"loc": ["body", "prompt"], "msg": "words", "type": kind, "url": "u", "input": "i"}]})
}

fn with_header(mut response: HttpResponse, name: &str, value: &str) -> HttpResponse {
    response.headers.push((name.into(), value.into()));
    response
}

#[test]
fn each_documented_error_has_one_class() {
    let unwell = Failure::Overloaded { after: None };
    let locked =
        "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.";
    let wrapped = json!({"error": {"message": "{\"status\": \"RESOURCE_EXHAUSTED\"}", "code": 429}});
    for (status, body, failure) in [
        (422, detail("content_policy_violation"), Failure::Refused),
        (403, json!({"detail": locked}), Failure::OutOfCredit),
        (
            401,
            json!({"detail": "Authentication is required to access this application."}),
            Failure::Unauthorized,
        ),
        (403, json!({"detail": "Forbidden"}), Failure::Unauthorized),
        (504, json!({"detail": "Request timed out", "error_type": "request_timeout"}), unwell.clone()),
        (504, json!({"detail": "Startup timeout", "error_type": "startup_timeout"}), unwell.clone()),
        (504, detail("generation_timeout"), unwell.clone()),
        (504, Value::Null, Failure::Uncertain),
        (503, json!({"detail": "x", "error_type": "runner_scheduling_failure"}), unwell.clone()),
        (503, json!({"detail": "x", "error_type": "runner_connection_refused"}), unwell.clone()),
        (500, detail("downstream_service_unavailable"), unwell.clone()),
        (500, detail("internal_server_error"), unwell.clone()),
        (502, Value::Null, Failure::Uncertain),
        (500, json!({"detail": "oops"}), Failure::Uncertain),
        (503, Value::Null, unwell.clone()),
        (400, detail("downstream_service_error"), Failure::Invalid),
        (429, json!({"detail": "too many"}), Failure::RateLimited { after: None }),
        (400, wrapped.clone(), Failure::RateLimited { after: None }),
        (500, wrapped, Failure::RateLimited { after: None }),
        (404, json!({"detail": "Application 'x' not found"}), Failure::ModelGone),
        (422, detail("image_too_small"), Failure::Invalid),
        (422, detail("missing"), Failure::Invalid),
        (400, json!({"detail": "bad"}), Failure::Invalid),
    ] {
        let rejection = Fal.read_error(&answer(status, body.clone()));
        // What its filter has looked at may be charged.
        let unknown = matches!(failure, Failure::Uncertain | Failure::Refused);
        let charge = if unknown { Charge::Unknown } else { Charge::Free };
        assert_eq!((rejection.failed.failure, rejection.charge), (failure, charge), "{status} {body}");
    }
    let named = Fal.read_error(&answer(422, detail("missing")));
    assert_eq!(named.failed.message, "HTTP 422: words (prompt)");
    // What fal says about trying again counts.
    let read = |status, kind, retryable| {
        let response = with_header(answer(status, detail(kind)), "x-fal-retryable", retryable);
        Fal.read_error(&response).failed.failure
    };
    assert_eq!(read(400, "downstream_service_error", "true"), unwell);
    assert_eq!(read(504, "generation_timeout", "true"), unwell);
    assert_eq!(read(504, "generation_timeout", "false"), Failure::Broken);
    let header = with_header(answer(503, Value::Null), "x-fal-error-type", "content_policy_violation");
    assert_eq!(Fal.read_error(&header).failed.failure, Failure::Refused);
    let later = with_header(answer(429, json!({})), "retry-after", "3");
    let after = Some(Duration::from_secs(3));
    assert_eq!(Fal.read_error(&later).failed.failure, Failure::RateLimited { after });
}

#[test]
fn a_run_that_failed_ends_the_task_and_a_fault_of_the_moment_does_not() {
    let task = Remote::new("R", "https://queue.fal.run/a/b/requests/R/status");
    let result = |status, body| Fal.read_result(&task, &answer(status, body));
    let Ok(Reply::Failed(refused)) = result(422, detail("content_policy_violation")) else { panic!() };
    assert_eq!((refused.failed.failure, refused.charge), (Failure::Refused, Charge::Unknown));
    // Final although other failures of these kinds would be asked again.
    let Ok(Reply::Failed(invalid)) = result(422, detail("image_load_error")) else { panic!() };
    assert_eq!((invalid.failed.failure, invalid.charge), (Failure::Invalid, Charge::Unknown));
    let Ok(Reply::Failed(busy)) = result(500, detail("downstream_service_unavailable")) else { panic!() };
    assert_eq!((busy.failed.failure, busy.charge), (Failure::Overloaded { after: None }, Charge::Free));
    // A gateway, a key, the pace: asked again.
    for (status, failure) in
        [(502, Failure::Uncertain), (401, Failure::Unauthorized), (429, Failure::RateLimited { after: None })]
    {
        assert_eq!(result(status, json!("x")).unwrap_err().failed.failure, failure);
    }
    assert_eq!(
        result(400, json!({"detail": "Request is still in progress"})),
        Ok(Reply::Pending { after: None })
    );
    assert_eq!(result(202, json!({"status": "IN_PROGRESS"})), Ok(Reply::Pending { after: None }));
    assert_eq!(result(404, json!({"detail": "x"})).unwrap_err().failed.failure, Failure::NotFound);

    let poll = |body| Fal.read_poll(&task, &answer(200, body));
    let failed = |kind: &str| json!({"status": "COMPLETED", "error": "words", "error_type": kind});
    assert_eq!(poll(failed("content_policy_violation")).unwrap_err().failed.failure, Failure::Refused);
    let late = poll(failed("request_timeout")).unwrap_err();
    assert_eq!((late.failed.failure, late.charge), (Failure::Overloaded { after: None }, Charge::Free));
    // The state does not say of which kind the failure is; the result does.
    assert!(matches!(poll(json!({"status": "COMPLETED", "error": "words"})), Ok(Reply::Ask(_))));
    let gone = Fal.read_poll(&task, &answer(404, json!({"detail": "not found"}))).unwrap_err();
    assert_eq!(gone.failed.failure, Failure::NotFound);
}

#[test]
fn garbage_is_an_error_and_success_without_a_picture_no_success() {
    let candidate = candidate("fal", "flux-dev");
    let request = asked(json!({}));
    let task = Remote::new("R", "https://queue.fal.run/a/b/requests/R/status");
    for body in
        [json!({}), json!([1]), json!("x"), Value::Null, json!({"images": []}), json!({"images": [{}, 3]})]
    {
        let response = answer(200, body);
        let rejection = Fal.read_submit(&call(&request, &candidate), &response).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Uncertain, Charge::Unknown));
        let rejection = Fal.read_result(&task, &response).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Broken, Charge::Unknown));
        assert_eq!(Fal.read_poll(&task, &response).unwrap_err().failed.failure, Failure::Garbled);
        Fal.read_error(&response);
    }
    // Any id is followed, and none leads elsewhere.
    let submitted =
        |id: &str| Fal.read_submit(&call(&request, &candidate), &answer(200, json!({"request_id": id})));
    let Ok(Reply::Accepted { remote, .. }) = submitted("../a-b c") else { panic!() };
    assert_eq!(remote.poll_url, "https://queue.fal.run/fal-ai/flux/requests/..%2Fa-b%20c/status");
    for none in ["", "..", "a\nb", &"x".repeat(513)] {
        assert_eq!(submitted(none).unwrap_err().failed.failure, Failure::Uncertain);
    }
}

use std::collections::BTreeMap;

use super::super::testing::*;
use super::super::{Charge, Submission};
use super::*;
use crate::candidate::Candidate;
use crate::http::Method;
use crate::input::{Input, Inputs, Role};
use crate::job::{Request, Task};

fn asked(json: Value) -> Request {
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    request(all)
}

fn named(remote_name: &str) -> Candidate {
    Candidate { remote_name: remote_name.into(), ..candidate("replicate", "*") }
}

/// The URL's path and the `input`, data URIs shortened.
fn sent(task: Task, model: &str, json: Value, roles: &[Role]) -> (String, Value) {
    let (candidate, inputs, request) = (candidate("replicate", model), inputs(roles), asked(json));
    let prepared = Replicate.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
    let url = http(&prepared).url.strip_prefix("https://api.replicate.com/v1/").unwrap().to_owned();
    assert_eq!(http(&prepared).headers, [], "no Prefer: the id comes before any waiting");
    (url, short(&json_body(&prepared)["input"]))
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
    let official = |name: &str| format!("models/black-forest-labs/{name}/predictions");
    assert_eq!(
        sent(Task::Generate, "flux-1.1-pro", json!({"width": 1024, "height": 768}), &[]),
        (
            official("flux-1.1-pro"),
            json!({"prompt": "a cat", "seed": 7, "aspect_ratio": "custom", "width": 1024, "height": 768})
        )
    );
    assert_eq!(
        sent(Task::Img2img, "flux-dev", json!({"strength": 0.75, "n": 2}), &[Image]),
        (
            official("flux-dev"),
            json!({"prompt": "a cat", "seed": 7, "num_outputs": 2, "image": "DATA", "prompt_strength": 0.75,
                   "go_fast": false})
        )
    );
    assert_eq!(
        sent(Task::Inpaint, "flux-fill-pro", json!({}), &[Image, Mask]),
        (official("flux-fill-pro"), json!({"prompt": "a cat", "seed": 7, "image": "DATA", "mask": "DATA"}))
    );
    assert_eq!(
        sent(Task::Variate, "flux-redux-dev", json!({}), &[Image]),
        (
            official("flux-redux-dev"),
            json!({"seed": 7, "num_outputs": 1, "redux_image": "DATA", "aspect_ratio": "3:2"})
        )
    );
    // S88: both images, in order.
    assert_eq!(
        sent(Task::TransferStyle, "flux-2-pro", json!({}), &[Image, StyleImage]),
        (
            official("flux-2-pro"),
            json!({"prompt": "a cat", "seed": 7, "input_images": ["DATA", "DATA"],
                   "aspect_ratio": "match_input_image"})
        )
    );
    assert_eq!(
        sent(Task::Upscale, "real-esrgan", json!({"scale": 4}), &[Image]),
        ("predictions".into(), json!({"image": "DATA", "scale": 4}))
    );
    for (mode, weight) in [("strict", 0.85), ("balanced", 0.6), ("loose", 0.3)] {
        let (url, input) =
            sent(Task::Generate, "pulid", json!({"consistency_mode": mode}), &[ReferenceImage]);
        let expected = json!({"prompt": "a cat", "seed": 7, "num_samples": 1, "main_face_image": "DATA",
                              "identity_scale": weight, "image_width": 1024, "image_height": 1024});
        assert_eq!((url.as_str(), input), ("predictions", expected));
    }
    let (_, input) =
        sent(Task::Generate, "flux-kontext-pro", json!({"aspect_ratio": "16:9"}), &[ReferenceImage]);
    assert_eq!((&input["input_image"], &input["aspect_ratio"]), (&json!("DATA"), &json!("16:9")));
}

#[test]
fn an_outpainting_is_an_inpainting_and_ideogram_wants_its_mask_black() {
    assert!(crate::provider::can(&candidate("replicate", "flux-fill-pro"), Task::Outpaint));
    let ink = |model: &str| {
        let (candidate, inputs, request) =
            (candidate("replicate", model), inputs(&[Role::Image, Role::Mask]), asked(json!({})));
        let prepared = Replicate.prepare(&call_with(Task::Inpaint, &request, &candidate, &inputs)).unwrap();
        let mask = lenient::base64(json_body(&prepared)["input"]["mask"].as_str().unwrap()).unwrap();
        // The left half is to be edited.
        image::load_from_memory(&mask).unwrap().into_luma8().get_pixel(0, 0).0[0]
    };
    assert_eq!([ink("flux-fill-pro"), ink("ideogram-v2"), ink("ideogram-v3-turbo")], [255, 0, 0]);
}

#[test]
fn every_model_of_the_catalogue_can_be_asked_for_every_task_it_lists() {
    use Role::{Image, Mask, ReferenceImage, StyleImage};
    for candidate in
        crate::catalogue::shipped().candidates().filter(|c| c.kind == "replicate" && c.model != "*")
    {
        for task in &candidate.operations {
            let roles: &[Role] = match task {
                Task::Generate if candidate.parameters.contains_key("reference_image") => &[ReferenceImage],
                Task::Generate => &[],
                Task::Inpaint => &[Image, Mask],
                Task::TransferStyle => &[Image, StyleImage],
                _ => &[Image],
            };
            let (inputs, mut request) = (inputs(roles), asked(json!({})));
            request.scale = (*task == Task::Upscale).then_some(2);
            let prepared = Replicate.prepare(&call_with(*task, &request, &candidate, &inputs));
            let prepared = prepared.unwrap_or_else(|e| panic!("{} {}: {e}", candidate.model, task.as_str()));
            assert!(matches!(prepared.submission, Submission::Http(_)));
            let pictures = json_body(&prepared).to_string().matches("data:image/png").count();
            assert_eq!(pictures, roles.len(), "{} {}", candidate.model, task.as_str());
        }
    }
}

#[test]
fn a_community_model_is_run_by_a_version_that_is_looked_up() {
    let request = asked(json!({"options": {"width": 512}}));
    let go = |candidate: &Candidate, version: Option<&str>| {
        let found =
            version.map(|v| ("version".to_owned(), v.to_owned())).into_iter().collect::<BTreeMap<_, _>>();
        let call = Call { found: &found, ..call(&request, candidate) };
        let prerequisite = Replicate.prerequisite(&call).unwrap().map(|e| (e.name, e.request.url));
        let prepared = Replicate.prepare(&call).unwrap();
        (prerequisite, http(&prepared).url.clone(), json_body(&prepared))
    };
    let base = "https://api.replicate.com/v1";
    let candidate = named("acme/any-model");
    let input = json!({"prompt": "a cat", "seed": 7, "width": 512});
    // S96: only planned, looked up, official after all, and with a version of the caller's.
    assert_eq!(
        go(&candidate, None),
        (
            Some(("version", format!("{base}/models/acme/any-model"))),
            format!("{base}/predictions"),
            json!({"version": "acme/any-model", "input": input})
        )
    );
    assert_eq!(
        go(&candidate, Some("abc123")),
        (None, format!("{base}/predictions"), json!({"version": "acme/any-model:abc123", "input": input}))
    );
    assert_eq!(
        go(&candidate, Some(OFFICIAL)),
        (None, format!("{base}/models/acme/any-model/predictions"), json!({"input": input}))
    );
    assert_eq!(
        go(&named("zsxkib/pulid:43d309c3"), None),
        (None, format!("{base}/predictions"), json!({"version": "zsxkib/pulid:43d309c3", "input": input}))
    );
    for name in ["flux", "a/b/c", "../x", "a/..", "a/b:", "a/b:c/d", "a/b?c=d", "a b/c", ""] {
        let candidate = named(name);
        assert!(
            Replicate.prepare(&call(&request, &candidate)).unwrap_err().message.contains("model"),
            "{name}"
        );
        assert!(Replicate.prerequisite(&call(&request, &candidate)).is_err());
    }
}

#[test]
fn a_large_picture_is_uploaded_first() {
    let candidate = candidate("replicate", "flux-2-pro");
    let noise = image::RgbImage::from_fn(400, 300, |x, y| {
        let n = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
        image::Rgb([n as u8, (n >> 8) as u8, (n >> 16) as u8])
    });
    let mut file = std::io::Cursor::new(vec![]);
    noise.write_to(&mut file, image::ImageFormat::Png).unwrap();
    let large = Input::read(file.into_inner()).unwrap();
    assert!(large.bytes.len() > LARGEST_INLINE);
    let mut inputs: Inputs = inputs(&[Role::Image]);
    inputs.set(Role::StyleImage, large);
    let request = asked(json!({}));
    let mut found = BTreeMap::new();
    let plan = call_with(Task::TransferStyle, &request, &candidate, &inputs);
    let prerequisite = Replicate.prerequisite(&Call { found: &found, ..plan }).unwrap().unwrap();
    assert_eq!(
        (prerequisite.name, prerequisite.request.url.as_str()),
        ("style_image", "https://api.replicate.com/v1/files")
    );
    let Body::Form(parts) = &prerequisite.request.body else { panic!() };
    assert_eq!((parts.len(), parts[0].name.as_str()), (1, "content"));

    let url = "https://api.replicate.com/v1/files/F";
    let uploaded = answer(201, json!({"id": "F", "urls": {"get": url}}));
    assert_eq!(Replicate.read_prerequisite("style_image", &uploaded), Ok(url.to_owned()));
    found.insert("style_image".into(), url.into());
    let call = Call { found: &found, ..plan };
    assert_eq!(Replicate.prerequisite(&call), Ok(None));
    let images = short(&json_body(&Replicate.prepare(&call).unwrap())["input"]["input_images"]);
    assert_eq!(images, json!(["DATA", url]));
}

#[test]
fn prerequisites_bring_back_what_they_were_for_or_an_error() {
    let read = |status, body| Replicate.read_prerequisite("version", &answer(status, body));
    assert_eq!(read(200, json!({"latest_version": {"id": "abc123"}})), Ok("abc123".into()));
    assert_eq!(read(200, json!({"is_official": true, "latest_version": {"id": "abc"}})), Ok(OFFICIAL.into()));
    assert_eq!(read(200, json!({"latest_version": {"id": "hidden"}})), Ok(OFFICIAL.into()));
    for none in [json!({"latest_version": null}), json!({"latest_version": {"id": "a/b"}}), Value::Null] {
        assert_eq!(read(200, none).unwrap_err().failed.failure, Failure::ModelGone);
    }
    assert_eq!(read(404, json!({"detail": "gone"})).unwrap_err().failed.failure, Failure::ModelGone);
    assert_eq!(read(401, json!({})).unwrap_err().failed.failure, Failure::Unauthorized);
    // The machine asks again: nothing is lost with it.
    assert_eq!(read(504, Value::Null).unwrap_err().failed.failure, Failure::Uncertain);
    let garbage = Replicate.read_prerequisite("image", &answer(200, json!([])));
    assert_eq!(garbage.unwrap_err().failed.failure, Failure::Broken);
}

#[test]
fn a_prediction_is_followed_at_the_urls_of_the_answer() {
    let candidate = candidate("replicate", "flux-schnell");
    let request = asked(json!({}));
    let at = "https://api.replicate.com/v1/predictions/P";
    let body = json!({"id": "P", "status": "processing", "output": null,
                      "urls": {"get": at, "cancel": format!("{at}/cancel")}});
    let reply = Replicate.read_submit(&call(&request, &candidate), &answer(201, body)).unwrap();
    let Reply::Accepted { remote, cost: None } = reply else { panic!("{reply:?}") };
    assert_eq!((remote.id.as_str(), remote.poll_url.as_str()), ("P", at));
    let cancel = Replicate.cancel(&remote).unwrap();
    assert_eq!((cancel.method, cancel.url, cancel.auth), (Method::Post, format!("{at}/cancel"), Some(AUTH)));
    let bare = Replicate.read_submit(&call(&request, &candidate), &answer(201, json!({"id": "P"})));
    let Ok(Reply::Accepted { remote: bare, .. }) = bare else { panic!() };
    assert_eq!((bare.poll_url.as_str(), bare.cancel_url), (at, None));
}

fn poll(status: u16, body: Value) -> Result<Reply, Rejection> {
    let task = Remote::new("P", "https://api.replicate.com/v1/predictions/P");
    Replicate.read_poll(&task, &answer(status, body))
}

#[test]
fn all_states_end_or_go_on_as_documented() {
    for state in ["starting", "processing", "queued in a new way"] {
        assert_eq!(poll(200, json!({"id": "P", "status": state})), Ok(Reply::Pending { after: None }));
    }
    let new = json!({"status": "expired", "completed_at": "2026-11-21T00:00:00Z"});
    assert_eq!(poll(200, new).unwrap_err().failed.failure, Failure::Broken);
    assert_eq!(poll(200, json!({"status": "canceled"})).unwrap_err().failed.failure, Failure::Broken);
    let aborted = poll(200, json!({"status": "aborted"})).unwrap_err();
    assert_eq!((aborted.failed.failure, aborted.charge), (Failure::Overloaded { after: None }, Charge::Free));
    assert_eq!(poll(404, json!({"detail": "x"})).unwrap_err().failed.failure, Failure::NotFound);
    let removed =
        poll(200, json!({"status": "succeeded", "output": null, "data_removed": true})).unwrap_err();
    assert_eq!((removed.failed.failure, removed.charge), (Failure::NotFound, Charge::Full));
}

#[test]
fn output_of_every_shape_is_read() {
    let url = |name: &str| Source::Url {
        url: format!("https://replicate.delivery/{name}"),
        lifetime: Some(Duration::from_secs(3600)),
    };
    let read = |output: Value| {
        let body = json!({"id": "P", "status": "succeeded", "output": output, "logs": "a\nUsing seed: 4242\n 50%",
                          "metrics": {"predict_time": 0.6}});
        let Ok(Reply::Finished(output)) = poll(200, body) else { panic!() };
        assert_eq!((output.seed, output.render_seconds), (Some(4242), Some(0.6)));
        output.pictures
    };
    assert_eq!(read(json!("https://replicate.delivery/x.webp")), [url("x.webp")]);
    let list = json!(["https://replicate.delivery/x.webp", null, "https://replicate.delivery/y.webp"]);
    assert_eq!(read(list), [url("x.webp"), url("y.webp")]);
    assert_eq!(read(json!({"image": "https://replicate.delivery/x.png", "score": 0.3})), [url("x.png")]);
    let withheld = json!({"status": "succeeded", "output": ["https://replicate.delivery/x.webp"],
                          "logs": "NSFW content detected in image 1\nUsing seed: none"});
    let Ok(Reply::Finished(output)) = poll(200, withheld) else { panic!() };
    assert_eq!((output.pictures.len(), output.withheld, output.seed), (1, 1, None));
}

#[test]
fn each_documented_failure_of_a_prediction_has_one_class() {
    let unwell = Failure::Overloaded { after: None };
    for (error, failure) in [
        ("NSFW content detected. Try running it again, or try a different prompt.", Failure::Refused),
        (
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (abc123)",
            Failure::Refused,
        ),
        ("Service is busy (E003)", unwell.clone()),
        ("Service is temporarily unavailable (E004) (x)", unwell.clone()),
        ("Director: timed out starting (E6716)", unwell.clone()),
        ("Runner fault E8765", unwell.clone()),
        ("Error running prediction (E9243)", unwell.clone()),
        ("Invalid input (E006)", Failure::Invalid),
        ("Out of memory (E1001)", unwell.clone()),
        ("CUDA out of memory. Tried to allocate 2 GiB", unwell.clone()),
        ("Prediction interrupted; please retry (code: PA)", unwell.clone()),
        ("list index out of range", Failure::Broken),
        ("ValueError: safety_tolerance EE005 E12345 E12", Failure::Broken),
    ] {
        let rejection = poll(200, json!({"id": "P", "status": "failed", "error": error})).unwrap_err();
        assert_eq!(rejection.failed.failure, failure, "{error}");
        // What never started is not charged; of the rest it is unknown.
        let started = !["(E003)", "(E004)", "(E6716)"].iter().any(|code| error.contains(code));
        assert_eq!(rejection.charge, if started { Charge::Unknown } else { Charge::Free }, "{error}");
    }
    for error in [json!(null), json!({"x": 1}), json!(5)] {
        let rejection = poll(200, json!({"status": "failed", "error": error})).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Broken);
    }
}

#[test]
fn each_documented_error_has_one_class() {
    let throttled = json!({"detail": "Request was throttled. Your rate limit resets in ~5s.", "status": 429, "retry_after": 5});
    let unwell = Failure::Overloaded { after: None };
    for (status, body, failure) in [
        (401, json!({"title": "Unauthenticated", "status": 401}), Failure::Unauthorized),
        (
            402,
            json!({"title": "Insufficient credit", "detail": "You have insufficient credit"}),
            Failure::OutOfCredit,
        ),
        (403, json!({}), Failure::Unauthorized),
        (404, json!({"detail": "The requested resource could not be found."}), Failure::ModelGone),
        (422, json!({"title": "Input validation failed", "invalid_fields": []}), Failure::Invalid),
        (422, json!({"detail": "Invalid version or not permitted"}), Failure::Invalid),
        (429, throttled, Failure::RateLimited { after: Some(Duration::from_secs(5)) }),
        (429, json!({"retry_after": 1e9}), Failure::RateLimited { after: Some(Duration::from_secs(86_400)) }),
        (429, Value::Null, Failure::RateLimited { after: None }),
        (500, json!({"error": "oops"}), Failure::Uncertain),
        (502, Value::Null, Failure::Uncertain),
        (503, Value::Null, unwell.clone()),
        (504, Value::Null, Failure::Uncertain),
    ] {
        let rejection = Replicate.read_error(&answer(status, body.clone()));
        let charge = if failure == Failure::Uncertain { Charge::Unknown } else { Charge::Free };
        assert_eq!((rejection.failed.failure, rejection.charge), (failure, charge), "{status} {body}");
    }
    let credit = json!({"title": "Insufficient credit", "detail": "You have insufficient credit"});
    let message = Replicate.read_error(&answer(402, credit)).failed.message;
    assert_eq!(message, "HTTP 402: You have insufficient credit");
}

#[test]
fn garbage_is_an_error_and_success_without_a_picture_no_success() {
    let candidate = candidate("replicate", "flux-dev");
    let request = asked(json!({}));
    for body in [json!({}), json!([1]), json!("x"), Value::Null, json!({"id": ""}), json!({"id": ".."})] {
        let response = answer(200, body.clone());
        let rejection = Replicate.read_submit(&call(&request, &candidate), &response).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Uncertain, Charge::Unknown));
        assert_eq!(poll(200, body).unwrap_err().failed.failure, Failure::Garbled);
    }
    // Any id is followed, and none leads elsewhere.
    for (id, poll_url) in [
        (json!("a-b_c"), "https://api.replicate.com/v1/predictions/a-b_c"),
        (json!("../x?y"), "https://api.replicate.com/v1/predictions/..%2Fx%3Fy"),
        (json!(17), "https://api.replicate.com/v1/predictions/17"),
    ] {
        let reply = Replicate.read_submit(&call(&request, &candidate), &answer(201, json!({"id": id})));
        let Ok(Reply::Accepted { remote, .. }) = reply else { panic!("{reply:?}") };
        assert_eq!(remote.poll_url, poll_url);
    }
    for output in
        [json!(null), json!([]), json!(["text"]), json!({}), json!(7), json!("data:image/png;base64,%%")]
    {
        let rejection = poll(200, json!({"status": "succeeded", "output": output})).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Broken, Charge::Unknown));
    }
}

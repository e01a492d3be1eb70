use super::super::Charge;
use super::super::testing::*;
use super::*;

fn prepared(task: Task, model: &str, asked: Value, roles: &[Role]) -> Result<Prepared, Invalid> {
    let (candidate, inputs) = (candidate("ideogram", model), inputs(roles));
    let mut all = json!({"prompt": "a cat", "seed": 7});
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    Ideogram.prepare(&call_with(task, &request(all), &candidate, &inputs))
}

/// The end of the URL and the fields of the form, `name=value`, files as their type.
fn fields(task: Task, model: &str, asked: Value, roles: &[Role]) -> (String, String) {
    let prepared = prepared(task, model, asked, roles).unwrap();
    let path = http(&prepared).url.strip_prefix("https://api.ideogram.ai/").unwrap().to_owned();
    let form = form_body(&prepared).into_iter().map(|(name, value)| format!("{name}={value}"));
    (path, form.collect::<Vec<_>>().join(" "))
}

fn submitted(model: &str, body: Value) -> Result<Reply, Rejection> {
    let candidate = candidate("ideogram", model);
    let request = request(json!({"prompt": "x", "seed": 1}));
    Ideogram.read_submit(&call(&request, &candidate), &answer(200, body))
}

fn picture(url: Value, is_safe: bool, seed: i64) -> Value {
    json!({"url": url, "prompt": "a cat", "resolution": "1024x1024", "is_image_safe": is_safe, "seed": seed})
}

#[test]
fn the_current_api_takes_json_and_works_asynchronously() {
    let asked =
        json!({"quality": "hd", "n": 2, "options": {"magic_prompt": "off"}, "negative_prompt": "dogs"});
    let made = prepared(Task::Generate, "ideogram-4.5", asked, &[]).unwrap();
    assert_eq!(http(&made).url, "https://api.ideogram.ai/v2/image/generate/ideogram-4-5");
    assert_eq!(http(&made).auth, Some(Auth::header("api-key", "")));
    let body = json!({
        "prompt": "a cat", "seed": 7, "num_images": 2, "quality": "high", "size": "1024x1024", "async": true,
        "magic_prompt": "off"
    });
    assert_eq!(json_body(&made), body);
    assert_eq!(codes(&made), ["unsupported"]);
    assert_eq!(made.quality.as_deref(), Some("high"));
    let asked = json!({"quality": "draft", "aspect_ratio": "16:9"});
    let made = prepared(Task::Generate, "ideogram-4", asked, &[]).unwrap();
    let body = json!({
        "prompt": "a cat", "seed": 7, "num_images": 1, "rendering_speed": "turbo", "resolution": "1280x720",
        "async": true
    });
    assert_eq!(json_body(&made), body);
    assert!(http(&made).url.ends_with("/v2/image/generate/ideogram-4"));
}

#[test]
fn version_3_takes_forms() {
    let asked = json!({"quality": "low", "aspect_ratio": "16:9", "negative_prompt": "dogs"});
    let (path, form) = fields(Task::Generate, "ideogram-3", asked, &[]);
    assert_eq!(path, "v1/ideogram-v3/generate");
    assert_eq!(
        form,
        "aspect_ratio=16x9 negative_prompt=dogs num_images=1 prompt=a cat rendering_speed=TURBO seed=7"
    );
    // A remix would crop the image to a square unless told.
    let (path, form) = fields(Task::Img2img, "ideogram-3", json!({"strength": 0.75}), &[Role::Image]);
    assert_eq!(path, "v1/ideogram-v3/remix");
    assert_eq!(
        form,
        "aspect_ratio=3x2 image_weight=25 num_images=1 prompt=a cat rendering_speed=DEFAULT seed=7 image=image/png"
    );
    let (_, form) = fields(Task::Variate, "ideogram-3", json!({}), &[Role::Image]);
    assert!(form.contains("image_weight=50"), "{form}");
    let both = &[Role::Image, Role::StyleImage];
    let (path, form) = fields(Task::TransferStyle, "ideogram-3", json!({}), both);
    assert_eq!(path, "v1/ideogram-v3/remix");
    assert!(form.ends_with("image=image/png style_reference_images=image/png"), "{form}");
    let (path, form) = fields(Task::Inpaint, "ideogram-3", json!({}), &[Role::Image, Role::Mask]);
    assert_eq!(path, "v1/ideogram-v3/edit");
    assert_eq!(
        form,
        "num_images=1 prompt=a cat rendering_speed=DEFAULT seed=7 image=image/png mask=image/png"
    );
}

#[test]
fn the_mask_is_black_where_the_picture_changes() {
    for model in ["ideogram-3", "ideogram-4.5-edit", "ideogram-v2"] {
        let made = prepared(Task::Inpaint, model, json!({}), &[Role::Image, Role::Mask]).unwrap();
        let Body::Form(parts) = &http(&made).body else { panic!() };
        let mask = parts.iter().find(|p| p.name == "mask").unwrap();
        let Content::File { bytes, .. } = &mask.content else { panic!() };
        let mask = image::load_from_memory(bytes).unwrap().into_luma8();
        assert_eq!((mask.get_pixel(0, 0).0[0], mask.get_pixel(95, 0).0[0]), (0, 255), "{model}");
    }
}

#[test]
fn an_edit_by_instruction_takes_references() {
    let (path, form) =
        fields(Task::TransferStyle, "ideogram-4.5-edit", json!({}), &[Role::Image, Role::StyleImage]);
    assert_eq!(path, "v2/image/precise-edit/ideogram-4-5");
    assert_eq!(
        form,
        "async=true num_images=1 prompt=a cat quality=medium seed=7 image=image/png reference_images=image/png"
    );
}

#[test]
fn a_character_needs_its_picture() {
    let model = "ideogram-3-character";
    let (path, form) = fields(Task::Generate, model, json!({"quality": "draft"}), &[Role::ReferenceImage]);
    assert_eq!(path, "v1/ideogram-v3/generate");
    assert_eq!(
        form,
        "aspect_ratio=1x1 num_images=1 prompt=a cat rendering_speed=TURBO seed=7 character_reference_images=image/png"
    );
    let error = prepared(Task::Generate, model, json!({}), &[]).unwrap_err();
    assert!(error.hint.contains("reference_image"));
    let ignored = prepared(Task::Generate, "ideogram-3", json!({}), &[Role::ReferenceImage]).unwrap();
    assert_eq!(codes(&ignored), ["reference_ignored"]);
}

#[test]
fn the_oldest_api_wraps_its_fields() {
    let asked = json!({"aspect_ratio": "16:9", "options": {"style_type": "DESIGN"}});
    let made = prepared(Task::Generate, "ideogram-v2", asked, &[]).unwrap();
    assert_eq!(http(&made).url, "https://api.ideogram.ai/generate");
    let body = json!({"image_request": {
        "prompt": "a cat", "model": "V_2", "aspect_ratio": "ASPECT_16_9", "seed": 7, "num_images": 1, "style_type": "DESIGN"
    }});
    assert_eq!(json_body(&made), body);
    let (path, form) = fields(Task::Variate, "ideogram-v2-turbo", json!({"variance": 0.2}), &[Role::Image]);
    assert_eq!(path, "remix");
    let fields_inside = r#"{"aspect_ratio":"ASPECT_3_2","image_weight":80,"model":"V_2_TURBO","num_images":1,"prompt":"a cat","seed":7}"#;
    assert_eq!(form, format!("image_request={fields_inside} image_file=image/png"));
    let (path, form) = fields(Task::Inpaint, "ideogram-v2", json!({}), &[Role::Image, Role::Mask]);
    assert_eq!(path, "edit");
    assert_eq!(form, "model=V_2 num_images=1 prompt=a cat seed=7 image_file=image/png mask=image/png");
    let usual =
        json!({"prompt": Task::Upscale.usual_prompt().unwrap(), "scale": 2, "options": {"detail": 90}});
    let (path, form) = fields(Task::Upscale, "ideogram-upscale", usual, &[Role::Image]);
    assert_eq!(path, "upscale");
    assert_eq!(form, r#"image_request={"detail":90,"num_images":1,"seed":7} image_file=image/png"#);
    assert!(prepared(Task::Upscale, "ideogram-upscale", json!({"scale": 4}), &[Role::Image]).is_err());
}

#[test]
fn pictures_are_read_and_withheld_ones_counted() {
    let url = "https://ideogram.ai/api/images/ephemeral/x.png?exp=1&sig=2";
    let data =
        json!([picture(json!(null), false, 6), picture(json!(url), true, 7), picture(json!(""), false, 8)]);
    let reply = submitted("ideogram-3", json!({"created": "2026-11-21T00:00:00Z", "data": data})).unwrap();
    let Reply::Finished(output) = reply else { panic!("{reply:?}") };
    assert_eq!(output.pictures, [Source::Url { url: url.into(), lifetime: None }]);
    assert_eq!((output.withheld, output.seed), (2, Some(7)));
    let direct =
        submitted("ideogram-4.5", json!({"generation_id": "G", "data": [picture(json!(url), true, 7)]}));
    let Ok(Reply::Finished(output)) = direct else { panic!("{direct:?}") };
    assert_eq!(output.pictures, [Source::Url { url: url.into(), lifetime: Some(LINK_LIFETIME) }]);
}

#[test]
fn a_picture_that_was_made_and_withheld_is_charged() {
    for item in [picture(json!(null), false, 7), picture(json!(null), true, 7), picture(json!(""), false, 7)]
    {
        let rejection = submitted("ideogram-3", json!({"created": "x", "data": [item]})).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Refused, Charge::Full));
    }
}

#[test]
fn success_without_a_picture_is_no_success() {
    for body in
        [json!({}), json!({"data": []}), json!({"data": [{}]}), json!({"data": 7}), json!("x"), Value::Null]
    {
        for model in ["ideogram-3", "ideogram-v2"] {
            let rejection = submitted(model, body.clone()).unwrap_err();
            assert_eq!(
                (rejection.failed.failure, rejection.charge),
                (Failure::Broken, Charge::Unknown),
                "{body}"
            );
        }
        let rejection = submitted("ideogram-4.5", body.clone()).unwrap_err();
        let uncertain = body.get("data").is_none();
        let failure = if uncertain { Failure::Uncertain } else { Failure::Broken };
        assert_eq!((rejection.failed.failure, rejection.charge), (failure, Charge::Unknown), "{body}");
    }
}

#[test]
fn a_task_is_followed_to_its_end() {
    let reply = submitted("ideogram-4.5", json!({"generation_id": "G-_1"})).unwrap();
    let Reply::Accepted { remote, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(remote.poll_url, "https://api.ideogram.ai/v2/generations/G-_1");
    assert_eq!(Ideogram.poll(&remote).auth, Some(AUTH));
    let read = |body: Value| Ideogram.read_poll(&remote, &answer(200, body));
    assert_eq!(read(json!({"generation_id": "G", "status": "pending"})), Ok(Reply::Pending { after: None }));
    assert_eq!(read(json!({"status": "in a new state"})), Ok(Reply::Pending { after: None }));
    let data = json!([picture(json!("https://x/y.png"), true, 7)]);
    let done = read(json!({"state": "completed", "data": data, "usage_cost_usd_micros": 60_000}));
    let Ok(Reply::Finished(output)) = done else { panic!("{done:?}") };
    assert_eq!(output.cost.unwrap().amount.unwrap().to_string(), "0.06");
    let failure = |body: Value| {
        let rejection = read(body).unwrap_err();
        (rejection.failed.failure, rejection.charge)
    };
    let failed = |why: &str| json!({"status": "failed", "failure_reason": why});
    assert_eq!(failure(failed("internal_error")), (Failure::Broken, Charge::Free));
    assert_eq!(failure(failed("prompt_safety")), (Failure::Refused, Charge::Free));
    assert_eq!(failure(json!({"status": "failed"})).0, Failure::Broken);
    assert_eq!(failure(json!({"status": "completed", "data": []})).0, Failure::Broken);
    let withheld = json!({"status": "completed", "data": [picture(json!(null), false, 7)]});
    assert_eq!(failure(withheld), (Failure::Refused, Charge::Full));
    assert_eq!(failure(json!("garbage")).0, Failure::Garbled);
    assert_eq!(failure(Value::Null).0, Failure::Garbled);
    let gone = Ideogram.read_poll(&remote, &answer(404, json!({"error": "Generation not found"})));
    assert_eq!(gone.unwrap_err().failed.failure, Failure::NotFound);
}

#[test]
fn each_documented_error_has_one_class() {
    let refusal = "Prompt provided failed safety check due to the inclusion of prohibited content.";
    for (status, body, failure) in [
        (422, json!({"error": refusal}), Failure::Refused),
        (422, json!({"error": "Image provided failed safety check"}), Failure::Refused),
        (422, json!({"error": "mask must have the same size"}), Failure::Invalid),
        (400, json!({"error": "num_images must be between 1 and 8"}), Failure::Invalid),
        (400, json!({"detail": "bad"}), Failure::Invalid),
        (401, json!({"message": "Access denied."}), Failure::Unauthorized),
        (403, json!({"message": "Access denied."}), Failure::Unauthorized),
        (
            402,
            json!({"error": "Insufficient funds", "reject_reason": "insufficient_funds"}),
            Failure::OutOfCredit,
        ),
        (402, json!({}), Failure::OutOfCredit),
        (429, json!({"error": "x", "reject_reason": "inflight_limit"}), Failure::RateLimited { after: None }),
        (429, json!({"error": "Too many requests in flight"}), Failure::RateLimited { after: None }),
        (429, json!({"error": "x", "reject_reason": "daily_limit"}), Failure::OutOfCredit),
        (403, json!({"error": "x", "reject_reason": "feature_limit"}), Failure::PolicyBlocked),
        (404, json!({"error": "Not found"}), Failure::ModelGone),
        (500, json!({"error": "Internal server error"}), Failure::Uncertain),
        (503, Value::Null, Failure::Overloaded { after: None }),
    ] {
        let rejection = Ideogram.read_error(&answer(status, body.clone()));
        assert_eq!(rejection.failed.failure, failure.clone(), "{status} {body}");
        let charge = if failure == Failure::Uncertain { Charge::Unknown } else { Charge::Free };
        assert_eq!(rejection.charge, charge);
    }
    let garbage = HttpResponse { status: 422, headers: vec![], body: b"<html>".to_vec() };
    assert_eq!(Ideogram.read_error(&garbage).failed.failure, Failure::Invalid);
}

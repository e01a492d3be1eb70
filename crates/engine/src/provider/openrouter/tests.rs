use serde_json::json;

use super::super::Charge;
use super::super::testing::*;
use super::*;
use crate::input::Role;
use crate::job::Task;

fn read(status: u16, body: Value) -> Result<Reply, Rejection> {
    let candidate = candidate("openrouter", "gemini-nano-banana-2.1");
    let request = request(json!({"prompt": "x", "seed": 1}));
    OpenRouter.read_submit(&call(&request, &candidate), &answer(status, body))
}

fn finished(body: Value) -> Output {
    match read(200, body) {
        Ok(Reply::Finished(output)) => output,
        other => panic!("{other:?}"),
    }
}

fn failure(status: u16, error: Value) -> Failure {
    read(status, json!({ "error": error })).unwrap_err().failed.failure
}

#[test]
fn the_images_endpoint_is_the_usual_one() {
    let candidate = candidate("openrouter", "gemini-nano-banana-2.1");
    let request = request(json!({"prompt": "a cat", "seed": 7, "aspect_ratio": "16:9"}));
    let prepared = OpenRouter.prepare(&call(&request, &candidate)).unwrap();
    assert_eq!(http(&prepared).url, "https://openrouter.ai/api/v1/images");
    let body = json!({
        "model": "google/gemini-nano-banana-2.1", "prompt": "a cat", "aspect_ratio": "16:9", "seed": 7,
        "resolution": "1K"
    });
    assert_eq!(json_body(&prepared), body);
    assert!(codes(&prepared).is_empty() && prepared.seed_honored);
}

#[test]
fn pictures_go_along_as_references() {
    for (model, task, roles) in [
        ("flux-2-pro", Task::Img2img, &[Role::Image][..]),
        ("gpt-image-2", Task::Variate, &[Role::Image][..]),
        ("flux-2-klein-4b", Task::TransferStyle, &[Role::Image, Role::StyleImage][..]),
        ("gemini-3-pro-image", Task::Generate, &[Role::ReferenceImage][..]),
    ] {
        let (candidate, inputs) = (candidate("openrouter", model), inputs(roles));
        let request = request(json!({"prompt": "x", "seed": 1}));
        let prepared = OpenRouter.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
        let body = json_body(&prepared);
        let references = body["input_references"].as_array().unwrap();
        assert_eq!(references.len(), roles.len(), "{model}");
        assert!(references.iter().all(|r| {
            let url = r["image_url"]["url"].as_str().unwrap_or_default();
            r["type"] == "image_url" && url.starts_with("data:image/png;base64,")
        }));
    }
}

#[test]
fn several_pictures_and_a_quality_where_the_model_has_them() {
    let candidate = candidate("openrouter", "gpt-image-2");
    let request = request(json!({"prompt": "x", "seed": 1, "n": 4, "quality": "hd"}));
    let prepared = OpenRouter.prepare(&call(&request, &candidate)).unwrap();
    let body = json!({"model": "openai/gpt-image-2", "prompt": "x", "n": 4, "quality": "high", "aspect_ratio": "1:1"});
    assert_eq!(json_body(&prepared), body);
    assert_eq!(codes(&prepared), ["seed_ignored"]);
}

#[test]
fn some_models_are_asked_in_a_chat() {
    let candidate = candidate("openrouter", "gemini-3.1-flash-image-preview");
    let (inputs, request) =
        (inputs(&[Role::Image]), request(json!({"prompt": "rain", "seed": 1, "quality": "4K"})));
    let prepared = OpenRouter.prepare(&call_with(Task::Img2img, &request, &candidate, &inputs)).unwrap();
    assert_eq!(http(&prepared).url, "https://openrouter.ai/api/v1/chat/completions");
    let mut body = json_body(&prepared);
    let url = body.pointer_mut("/messages/0/content/1/image_url/url").unwrap().take();
    assert!(url.as_str().unwrap().starts_with("data:image/png;base64,"));
    let content =
        json!([{"type": "text", "text": "rain"}, {"type": "image_url", "image_url": {"url": null}}]);
    let expected = json!({
        "model": "google/gemini-3.1-flash-image-preview", "modalities": ["image", "text"], "seed": 1,
        "image_config": {"image_size": "4K"}, "stream": false, "messages": [{"role": "user", "content": content}]
    });
    assert_eq!(body, expected);
}

#[test]
fn of_an_unlisted_model_the_caller_knows_the_options() {
    let mut candidate = candidate("openrouter", "*");
    candidate.remote_name = "sourceful/riverflow-v2".into();
    let options = json!({"resolution": "2K", "aspect_ratio": "4:5", "seed": 9});
    let request = request(json!({"prompt": "x", "seed": 1, "options": options}));
    let prepared = OpenRouter.prepare(&call(&request, &candidate)).unwrap();
    let body = json!({
        "model": "sourceful/riverflow-v2", "prompt": "x", "aspect_ratio": "4:5", "resolution": "2K", "seed": 9
    });
    assert_eq!(json_body(&prepared), body);
}

#[test]
fn the_cost_in_the_answer_is_exact() {
    let body = |usage: Value| json!({"created": 1, "data": [{"b64_json": "iVBORw=="}], "usage": usage});
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 1290, "total_tokens": 1295, "cost": 0.0387});
    let output = finished(body(usage));
    assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
    assert_eq!(output.cost.unwrap().amount.unwrap().to_string(), "0.0387");
    assert_eq!(
        output.tokens,
        Some(Tokens { text_in: 5, image_in: 0, image_out: 1290, text_out: 0, ..Tokens::default() })
    );
    let own_key = json!({"cost": 0.001, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.04}});
    assert_eq!(finished(body(own_key)).cost.unwrap().amount.unwrap().to_string(), "0.041");
    // The provider behind it bills too, and does not say what.
    let untold = json!({"cost": 0.001, "is_byok": true});
    assert_eq!(finished(body(untold)).cost, Some(Cost::unknown()));
    assert_eq!(finished(body(json!({}))).cost, None);
}

#[test]
fn pictures_of_a_chat_are_read() {
    for image in [
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}),
        json!({"imageUrl": {"url": "data:image/png;base64,iVBORw=="}}),
    ] {
        let message = json!({"role": "assistant", "content": "Here.", "images": [image]});
        let output = finished(json!({"choices": [{"message": message}], "usage": {"cost": 0.04}}));
        assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
        assert_eq!(output.cost.unwrap().amount.unwrap().to_string(), "0.04");
    }
}

#[test]
fn each_documented_code_has_one_class() {
    let after = None;
    for (status, expected) in [
        (400, Failure::Invalid),
        (401, Failure::Unauthorized),
        (402, Failure::OutOfCredit),
        (403, Failure::PolicyBlocked),
        (404, Failure::ModelGone),
        (408, Failure::Uncertain),
        (413, Failure::Invalid),
        (422, Failure::Invalid),
        (429, Failure::RateLimited { after }),
        (503, Failure::Overloaded { after }),
        (504, Failure::Uncertain),
    ] {
        let error = json!({"code": status, "message": "why"});
        assert_eq!(failure(status, error.clone()), expected, "{status}");
        // The same inside of a success, in both places.
        assert_eq!(failure(200, error.clone()), expected, "{status} in a 200");
        let rejection = read(200, json!({"choices": [{"error": error}]})).unwrap_err();
        // Of what a provider had begun with, nothing is known.
        let unstarted = matches!(status, 401 | 402 | 404 | 429);
        let charge = if unstarted { Charge::Free } else { Charge::Unknown };
        assert_eq!((rejection.failed.failure, rejection.charge), (expected, charge), "{status}");
    }
    for status in [500, 502] {
        let error = json!({"code": status, "message": "why"});
        assert_eq!(failure(status, error.clone()), Failure::Uncertain);
        let rejection = read(200, json!({"choices": [{"error": error}]})).unwrap_err();
        assert_eq!(
            (rejection.failed.failure, rejection.charge),
            (Failure::Overloaded { after }, Charge::Unknown)
        );
    }
    let rejection = read(
        403,
        json!({"error": {"code": 403, "message": "why", "metadata": {
            "reasons": ["sexual"], "flagged_input": "…", "provider_name": "OpenAI", "model_slug": "m"
        }}}),
    );
    let rejection = rejection.unwrap_err();
    assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Refused, Charge::Free));
    assert_eq!(rejection.failed.message, "HTTP 403: OpenAI: why (sexual)");
    let mut limited = answer(429, json!({"error": {"code": 429, "message": "slow"}}));
    limited.headers.push(("retry-after".into(), "7".into()));
    let seven = Failure::RateLimited { after: Some(Duration::from_secs(7)) };
    assert_eq!(OpenRouter.read_error(&limited).failed.failure, seven);
}

#[test]
fn what_the_provider_behind_it_says_comes_first() {
    let raw = |status: u16, who: &str, raw: Value| {
        let metadata = json!({"provider_name": who, "raw": raw});
        failure(status, json!({"code": status, "message": "Provider returned error", "metadata": metadata}))
    };
    let openai = |code: &str| json!({"error": {"message": "m", "type": "t", "code": code}}).to_string();
    assert_eq!(raw(502, "OpenAI", json!(openai("moderation_blocked"))), Failure::Refused);
    assert_eq!(
        raw(502, "OpenAI", json!(openai("rate_limit_exceeded"))),
        Failure::RateLimited { after: None }
    );
    assert_eq!(raw(400, "OpenAI", json!(openai("unknown_parameter"))), Failure::Invalid);
    // OpenRouter's own account there is not ours.
    assert_eq!(raw(502, "OpenAI", json!(openai("insufficient_quota"))), Failure::Uncertain);
    assert_eq!(
        raw(502, "OpenAI", serde_json::from_str(&openai("insufficient_quota")).unwrap()),
        Failure::Uncertain
    );
    let google = json!({"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}});
    assert_eq!(raw(502, "Google AI Studio", google), Failure::Invalid);
    let google = json!({"candidates": [{"finishReason": "IMAGE_SAFETY"}]});
    assert_eq!(raw(502, "Google", google), Failure::Refused);
    assert_eq!(raw(502, "Google", json!({"promptFeedback": {"blockReason": "OTHER"}})), Failure::Refused);
    let bfl = json!({"id": "T", "status": "Content Moderated", "result": null});
    assert_eq!(raw(502, "Black Forest Labs", bfl), Failure::Refused);
    for nonsense in [json!("upstream connect error"), json!(""), Value::Null, json!([1])] {
        assert_eq!(raw(503, "Google", nonsense.clone()), Failure::Overloaded { after: None }, "{nonsense}");
    }
}

#[test]
fn a_refusal_in_words_is_told_from_an_accident() {
    let chat = |reason: &str, native: &str| {
        let choice = json!({
            "finish_reason": reason, "native_finish_reason": native, "message": {"content": "I cannot do that."}
        });
        read(200, json!({"choices": [choice]})).unwrap_err()
    };
    for (reason, native) in
        [("content_filter", "x"), ("stop", "IMAGE_SAFETY"), ("error", "PROHIBITED_CONTENT")]
    {
        assert_eq!(chat(reason, native).failed.failure, Failure::Refused, "{reason} {native}");
    }
    let rejection = chat("stop", "STOP");
    assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Broken, Charge::Unknown));
    assert!(rejection.failed.message.ends_with("I cannot do that."));
}

#[test]
fn success_without_a_picture_is_no_success() {
    for body in [
        json!({}),
        json!({"data": []}),
        json!({"data": [{"b64_json": "%%"}]}),
        json!({"data": {"b64_json": 7}, "choices": 7, "error": null}),
        json!("garbage"),
        Value::Null,
    ] {
        let rejection = read(200, body).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Broken, Charge::Unknown));
    }
    assert_eq!(read(502, json!("garbage")).unwrap_err().failed.failure, Failure::Uncertain);
}

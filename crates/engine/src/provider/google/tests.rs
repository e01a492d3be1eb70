use serde_json::json;

use super::super::Charge;
use super::super::testing::*;
use super::*;
use crate::input::Role;
use crate::job::Task;

const MODEL: &str = "gemini-nano-banana-2.1";

fn read(status: u16, body: Value) -> Result<Reply, Rejection> {
    let candidate = candidate("google", MODEL);
    let request = request(json!({"prompt": "x", "seed": 1}));
    Google.read_submit(&call(&request, &candidate), &answer(status, body))
}

fn error(status: u16, name: &str, message: &str, details: Value) -> Rejection {
    let body = json!({"error": {"code": status, "message": message, "status": name, "details": details}});
    read(status, body).unwrap_err()
}

#[test]
fn a_prompt_becomes_a_nested_request() {
    let candidate = candidate("google", MODEL);
    let request = request(json!({
        "prompt": "a cat", "seed": 7, "aspect_ratio": "16:9", "quality": "hd", "negative_prompt": "dogs",
        "options": {"safetySettings": [], "tools": []}
    }));
    let prepared = Google.prepare(&call(&request, &candidate)).unwrap();
    let url =
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-nano-banana-2.1:generateContent";
    assert_eq!(http(&prepared).url, url);
    assert_eq!(http(&prepared).auth.unwrap().header, "x-goog-api-key");
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"], "seed": 7,
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}
        },
        "safetySettings": []
    });
    assert_eq!(json_body(&prepared), body);
    assert_eq!(codes(&prepared), ["unsupported", "unsupported"]);
    assert!(prepared.seed_honored);
    assert_eq!(prepared.quality.as_deref(), Some("2K"));
}

#[test]
fn pictures_stand_before_the_prompt_and_keep_their_ratio() {
    for (task, roles) in [
        (Task::Img2img, &[Role::Image][..]),
        (Task::Variate, &[Role::Image][..]),
        (Task::TransferStyle, &[Role::Image, Role::StyleImage][..]),
        (Task::Generate, &[Role::ReferenceImage][..]),
    ] {
        let (candidate, inputs) = (candidate("google", MODEL), inputs(roles));
        let request = request(json!({"prompt": "x", "seed": 1}));
        let prepared = Google.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
        let body = json_body(&prepared);
        let parts = body["contents"][0]["parts"].as_array().unwrap();
        assert_eq!(parts.len(), roles.len() + 1, "{task:?}");
        assert!(parts[..roles.len()].iter().all(|p| p["inlineData"]["mimeType"] == "image/png"));
        assert_eq!(parts[roles.len()], json!({"text": "x"}));
        let ratio = &body["generationConfig"]["imageConfig"]["aspectRatio"];
        assert_eq!(ratio.is_null(), task != Task::Generate, "{task:?}: {ratio}");
    }
}

#[test]
fn several_pictures_in_one_call_are_refused_before_anything_is_sent() {
    let candidate = candidate("google", MODEL);
    let request = request(json!({"prompt": "x", "seed": 1, "n": 2}));
    assert!(Google.prepare(&call(&request, &candidate)).is_err());
}

#[test]
fn the_picture_is_read_and_drafts_are_not() {
    let reply = read(
        200,
        json!({
            "candidates": [{"content": {"role": "model", "parts": [
                {"thought": true, "inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"text": "Here it is."},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}
            ]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1120, "totalTokenCount": 1125}
        }),
    );
    let Ok(Reply::Finished(output)) = reply else { panic!("{reply:?}") };
    assert_eq!(output.pictures, [Source::Inline(b"\x89PNG".to_vec())]);
    assert_eq!(
        output.tokens,
        Some(Tokens { text_in: 5, image_in: 0, image_out: 1120, text_out: 0, ..Tokens::default() })
    );
}

#[test]
fn tokens_are_split_by_kind_where_the_answer_does_that() {
    let usage = json!({"usageMetadata": {
        "promptTokenCount": 1130, "candidatesTokenCount": 1150,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 1120}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}]
    }});
    assert_eq!(
        tokens(&usage),
        Some(Tokens { text_in: 10, image_in: 1120, image_out: 1120, text_out: 30, ..Tokens::default() })
    );
    // Thoughts are billed as text, beside the candidates.
    let mut thought = usage.clone();
    thought["usageMetadata"]["thoughtsTokenCount"] = json!(400);
    assert_eq!(tokens(&thought).unwrap().text_out, 430);
    assert_eq!(tokens(&json!({"usageMetadata": {"promptTokenCount": 5}})), None);
}

#[test]
fn a_refusal_comes_as_success() {
    for reason in
        ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"]
    {
        let rejection = read(200, json!({"promptFeedback": {"blockReason": reason}})).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Refused, "{reason}");
        assert_eq!(rejection.failed.message, reason);
    }
    for reason in [
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "PROHIBITED_CONTENT",
        "SAFETY",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
        "IMAGE_RECITATION",
    ] {
        let body = json!({"candidates": [{"finishReason": reason, "content": {"parts": []}}]});
        let rejection = read(200, body).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Refused, "{reason}");
        assert_eq!(rejection.charge, Charge::Unknown);
    }
}

#[test]
fn success_without_a_picture_is_no_success() {
    for reason in ["NO_IMAGE", "IMAGE_OTHER", "OTHER", "STOP", "MAX_TOKENS"] {
        let parts = json!([{"text": "I cannot draw."}]);
        let body = json!({"candidates": [{"finishReason": reason, "content": {"parts": parts}}]});
        let rejection = read(200, body).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::Broken, "{reason}");
        assert!(rejection.failed.message.ends_with(&format!("{reason}: I cannot draw.")));
    }
    for body in
        [json!({}), json!({"candidates": []}), json!({"candidates": [7]}), json!("garbage"), Value::Null]
    {
        let rejection = read(200, body).unwrap_err();
        assert_eq!((rejection.failed.failure, rejection.charge), (Failure::Broken, Charge::Unknown));
    }
}

#[test]
fn a_picture_withheld_among_several_is_counted() {
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}});
    let body = json!({"candidates": [
        {"finishReason": "STOP", "content": {"parts": [picture]}},
        {"finishReason": "IMAGE_SAFETY", "content": {"parts": []}}
    ]});
    let Ok(Reply::Finished(output)) = read(200, body) else { panic!() };
    assert_eq!((output.pictures.len(), output.withheld), (1, 1));
}

#[test]
fn each_documented_error_has_one_class() {
    let none = json!([]);
    let reason = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let after = None;
    for (status, name, message, details, failure) in [
        (400, "INVALID_ARGUMENT", "API key not valid.", &reason, Failure::Unauthorized),
        (400, "INVALID_ARGUMENT", "Invalid value", &none, Failure::Invalid),
        (400, "FAILED_PRECONDITION", "not available in your country", &none, Failure::PolicyBlocked),
        (401, "UNAUTHENTICATED", "", &none, Failure::Unauthorized),
        (402, "RESOURCE_EXHAUSTED", "credits are depleted", &none, Failure::OutOfCredit),
        (403, "PERMISSION_DENIED", "", &none, Failure::Unauthorized),
        (404, "NOT_FOUND", "is not found for API version v1beta", &none, Failure::ModelGone),
        (429, "RESOURCE_EXHAUSTED", "", &none, Failure::RateLimited { after }),
        (500, "INTERNAL", "", &none, Failure::Overloaded { after }),
        (503, "UNAVAILABLE", "The model is overloaded.", &none, Failure::Overloaded { after }),
        (504, "DEADLINE_EXCEEDED", "", &none, Failure::Uncertain),
    ] {
        let rejection = error(status, name, message, details.clone());
        assert_eq!(rejection.failed.failure, failure, "{status} {name}");
        let charge = if status == 504 { Charge::Unknown } else { Charge::Free };
        assert_eq!(rejection.charge, charge);
    }
}

#[test]
fn a_quota_of_the_day_is_no_rate() {
    let quota = |id: &str, value: &str, delay: &str| {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"quotaId": id, "quotaValue": value}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
        ]);
        error(429, "RESOURCE_EXHAUSTED", "quota", details).failed.failure
    };
    let minute = "GenerateRequestsPerMinutePerProjectPerModel";
    let waits = |seconds| Failure::RateLimited { after: Some(Duration::from_secs_f64(seconds)) };
    assert_eq!(quota(minute, "10", "34s"), waits(34.0));
    assert_eq!(quota(minute, "10", "0.5s"), waits(0.5));
    assert_eq!(quota(minute, "10", "86400s"), Failure::RateLimited { after: Some(MAX_RETRY_AFTER) });
    assert_eq!(quota(minute, "10", "-1s"), Failure::RateLimited { after: None });
    assert_eq!(quota(minute, "0", "34s"), Failure::OutOfCredit);
    assert_eq!(quota("GenerateRequestsPerDayPerProjectPerModel", "100", "34s"), Failure::OutOfCredit);
}

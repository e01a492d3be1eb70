use serde_json::json;

use super::super::testing::*;
use super::super::{Reply, TABLE, find};
use super::*;

fn bytes(status: u16, body: &[u8]) -> HttpResponse {
    HttpResponse { status, headers: vec![], body: body.to_vec() }
}

/// What an OpenAI-compatible endpoint means.
fn openai(status: u16, body: Value) -> Failure {
    find("openai").unwrap().read_error(&answer(status, body)).failed.failure
}

#[test]
fn the_words_of_an_error_are_found_in_any_shape() {
    for (body, words) in [
        (&br#"{"detail": "no such model"}"#[..], "no such model"),
        (
            br#"{"detail": [{"loc": ["body", "width"], "msg": "too large", "type": "x"}]}"#,
            "too large (width)",
        ),
        (br#"{"error": "text"}"#, "text"),
        (br#"{"error": {"message": "words", "code": "c", "type": "t"}}"#, "words"),
        (br#"{"error": {"message": "", "code": "c"}}"#, "c"),
        (br#"{"message": "words"}"#, "words"),
        (br#"{"errors": ["one", "two"]}"#, "one"),
        (br#"{"errors": [{"message": "one"}]}"#, "one"),
        (br#"{"title": "Insufficient credit", "status": 402}"#, "Insufficient credit"),
        (br#"{"title": "t", "detail": "the reason", "status": 402}"#, "the reason"),
        (br#"{"error": "bad_thing", "error_description": "what it is"}"#, "what it is"),
        (br#"[{"error": {"code": 400, "message": "in a list"}}]"#, "in a list"),
        (b"upstream connect error\n", "upstream connect error"),
        (b"<html><head><title>502 Bad Gateway</title></head><body>...</body></html>", "502 Bad Gateway"),
        (b"<!DOCTYPE html><h1 class=x>Oops</h1>", "Oops"),
        (b"<html></html>", "no details"),
        (b"", "no details"),
        (b"{}", "no details"),
        (b"{\"detail\": \"lone \\ud83d surrogate\"}", "lone \u{fffd} surrogate"),
        (b"\xef\xbb\xbf{\"error\": \"with a mark\"}", "with a mark"),
    ] {
        for adapter in TABLE {
            let response = bytes(418, body);
            let message = adapter.read_error(&response).failed.message;
            assert_eq!(
                message,
                format!("HTTP 418: {words}"),
                "{} {}",
                adapter.kind(),
                String::from_utf8_lossy(body)
            );
        }
    }
    let long = format!("{{\"error\": {{\"message\": \"{}\"}}}}", "x".repeat(1 << 20));
    for adapter in TABLE {
        assert!(
            adapter.read_error(&bytes(400, long.as_bytes())).failed.message.chars().count() <= MESSAGE_CHARS
        );
    }
}

#[test]
fn an_empty_account_is_neither_a_wrong_key_nor_a_busy_provider() {
    for (status, body) in [
        (429, json!({"error": {"code": "", "type": "insufficient_quota"}})),
        (
            429,
            json!({"error": {"code": null, "type": "insufficient_quota", "message": "You exceeded your current quota"}}),
        ),
        (403, json!({"error": {"code": "quota_exceeded", "message": "words"}})),
        (403, json!({"error": {"message": "Your quota is used up"}})),
        (403, json!({"detail": "Exhausted balance"})),
        (400, json!({"error": {"code": "billing_hard_limit_reached"}})),
        (429, json!({"error": {"code": "project_spend_limit_exceeded"}})),
        (200, json!({"error": {"code": "insufficient_quota"}})),
        (500, json!({"error": {"code": "insufficient_quota"}})),
        (402, json!({})),
    ] {
        let response = answer(status, body.clone());
        let adapter = find("openai").unwrap();
        let candidate = candidate("openai", "gpt-image-2.6-flare");
        let request = request(json!({"prompt": "x", "seed": 1}));
        let rejection = adapter.read_submit(&call(&request, &candidate), &response).unwrap_err();
        assert_eq!(rejection.failed.failure, Failure::OutOfCredit, "{status} {body}");
    }
    assert_eq!(openai(403, json!({"error": {"message": "no access"}})), Failure::Unauthorized);
    assert_eq!(
        openai(429, json!({"error": {"code": "rate_limit_exceeded"}})),
        Failure::RateLimited { after: None }
    );
}

#[test]
fn a_refusal_is_a_refusal_at_every_provider() {
    for (status, body) in [
        (400, json!({"error": {"code": "content_filter", "message": "m"}})),
        (400, json!({"error": {"code": "contentFilter", "message": "m"}})),
        (400, json!({"error": {"code": "x", "inner_error": {"code": "ResponsibleAIPolicyViolation"}}})),
        (400, json!({"error": {"code": "400", "message": "litellm.ContentPolicyViolationError: no"}})),
        (400, json!({"error": {"code": "400", "type": "ContentPolicyViolationError", "message": "no"}})),
        (500, json!({"error": {"code": "500", "message": "ContentPolicyViolationError: no"}})),
        (400, json!({"error": {"code": "moderation_blocked"}})),
        (403, json!({"error": {"message": "temporarily blocked: it violates our content policy"}})),
        (403, json!({"detail": "Temporarily blocked for a breach of the Content Policy"})),
        (
            422,
            json!({"detail": [{"loc": ["body", "prompt"], "msg": "m", "type": "content_policy_violation"}]}),
        ),
        (400, json!({"message": "Rejected by the safety system"})),
    ] {
        for adapter in TABLE.iter().filter(|adapter| adapter.bills()) {
            let rejection = adapter.read_error(&answer(status, body.clone()));
            assert_eq!(rejection.failed.failure, Failure::Refused, "{} {status} {body}", adapter.kind());
        }
    }
    // What only resembles one.
    assert_eq!(
        openai(400, json!({"error": {"message": "moderation must be auto or low", "param": "moderation"}})),
        Failure::Invalid
    );
    assert_eq!(openai(401, json!({"error": {"message": "read our content policy"}})), Failure::Unauthorized);
    assert_eq!(
        openai(429, json!({"error": {"message": "content filter busy"}})),
        Failure::RateLimited { after: None }
    );
}

#[test]
fn a_refused_drawing_is_free_only_where_the_provider_says_so() {
    let charge =
        |kind: &str, status: u16, body: Value| find(kind).unwrap().read_error(&answer(status, body)).charge;
    let staged = |stage: &str| json!({"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": stage}}});
    assert_eq!(charge("openai", 400, staged("input")), Charge::Free);
    assert_eq!(charge("openai", 400, staged("output")), Charge::Unknown);
    assert_eq!(charge("openai", 400, json!({"error": {"code": "content_filter"}})), Charge::Unknown);
    assert_eq!(
        charge("stability", 403, json!({"name": "content_moderation", "errors": ["no"]})),
        Charge::Free
    );
    assert_eq!(charge("ideogram", 422, json!({"error": "failed safety check"})), Charge::Free);
    assert_eq!(
        charge("fal", 422, json!({"detail": [{"type": "content_policy_violation", "msg": "m"}]})),
        Charge::Unknown
    );
    assert_eq!(charge("openai", 500, json!({"error": {"code": "content_filter"}})), Charge::Unknown);
}

#[test]
fn an_error_inside_of_a_success_is_that_error() {
    let candidate = candidate("openai", "gpt-image-2.6-flare");
    let request = request(json!({"prompt": "x", "seed": 1}));
    let read = |body: Value| {
        let rejection = find("openai").unwrap().read_submit(&call(&request, &candidate), &answer(200, body));
        let rejection = rejection.unwrap_err();
        (rejection.failed.failure, rejection.charge, rejection.failed.message)
    };
    let (failure, charge, message) = read(json!({"error": {"message": "slow down", "code": 429}}));
    assert_eq!((failure, charge), (Failure::RateLimited { after: None }, Charge::Free));
    assert_eq!(message, "HTTP 429: slow down");
    let refused = read(json!({"error": {"message": "m", "code": "content_filter"}}));
    assert_eq!((refused.0, refused.1), (Failure::Refused, Charge::Unknown));
    assert_eq!(
        read(json!({"error": {"message": "no such model", "code": "model_not_found"}})).0,
        Failure::ModelGone
    );
    assert_eq!(read(json!({"error": {"message": "m", "code": "401"}})).0, Failure::Unauthorized);
    // Of what is not understood, nothing is known.
    let broken = read(json!({"error": "it broke"}));
    assert_eq!(broken, (Failure::Broken, Charge::Unknown, "HTTP 200: it broke".into()));
    let unclear = read(json!({"error": {"message": "bad gateway", "code": 502}}));
    assert_eq!((unclear.0, unclear.1), (Failure::Overloaded { after: None }, Charge::Unknown));
    // No error, or one beside images: those count.
    assert_eq!(read(json!({"error": null, "data": []})).0, Failure::Broken);
    let body = json!({"error": null, "data": [{"b64_json": "iVBORw=="}]});
    let reply = find("openai").unwrap().read_submit(&call(&request, &candidate), &answer(200, body));
    assert!(matches!(reply, Ok(Reply::Finished(_))));
    // A flag in the place of an image.
    for body in [
        json!({"data": [], "choices": [{"finish_reason": "content_filter"}]}),
        json!({"data": [{"finish_reason": "CONTENT_FILTERED"}]}),
        json!({"images": [], "has_nsfw_concepts": [true]}),
    ] {
        assert_eq!(read(body).0, Failure::Refused);
    }
}

#[test]
fn only_where_a_provider_documents_it_a_broken_submission_is_sent_again() {
    let own = |kind: &str| match kind {
        "google" => json!({"error": {"code": 500, "status": "INTERNAL", "message": "m"}}),
        "stability" => json!({"id": "x", "name": "internal_error", "errors": ["m"]}),
        _ => json!({"error": {"message": "m"}, "detail": "m"}),
    };
    for adapter in TABLE {
        let kind = adapter.kind();
        let failure = |status, body: &[u8]| adapter.read_error(&bytes(status, body)).failed.failure;
        let body = own(kind).to_string();
        let documented = adapter.documented().iter().any(|d| d.status == 500);
        let again = matches!(failure(500, body.as_bytes()), Failure::Overloaded { .. });
        assert_eq!(again, documented || kind == "preview", "{kind}");
        if !adapter.bills() {
            continue;
        }
        // A gateway's page means nothing good anywhere.
        for status in [408, 499, 500, 502, 503, 504, 520, 522, 524, 598, 599] {
            let rejection = adapter.read_error(&bytes(status, b"<html><title>Bad gateway</title></html>"));
            assert_eq!(
                (rejection.failed.failure, rejection.charge),
                (Failure::Uncertain, Charge::Unknown),
                "{kind} {status}"
            );
        }
        assert!(matches!(failure(503, body.as_bytes()), Failure::Overloaded { .. }), "{kind}");
        assert!(matches!(failure(503, b""), Failure::Overloaded { .. }), "{kind}");
        for status in [521, 523, 529, 530] {
            assert!(matches!(failure(status, b"<html>"), Failure::Overloaded { .. }), "{kind}");
        }
    }
}

//! Answers as providers really give them, success and failure.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// The id of the task that answers are about.
pub const ID: &str = "I";
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const URL: &str = "https://cdn.example/x.png?sig=1";

/// The answers of a kind of provider.
pub fn of(kind: &str) -> Vec<Value> {
    ALL.iter().filter(|(k, _)| *k == kind).map(|(_, body)| body.clone()).collect()
}

/// The answers of all.
pub fn all() -> Vec<Value> {
    ALL.iter().map(|(_, body)| body.clone()).collect()
}

/// All names of fields in them.
pub fn names() -> Vec<String> {
    collected().0
}

/// All texts in them.
pub fn words() -> Vec<String> {
    collected().1
}

fn collected() -> (Vec<String>, Vec<String>) {
    let (mut names, mut words) = (BTreeSet::new(), BTreeSet::new());
    ALL.iter().for_each(|(_, body)| super::collect(body, &mut names, &mut words));
    (names.into_iter().collect(), words.into_iter().collect())
}

static ALL: LazyLock<Vec<(&'static str, Value)>> = LazyLock::new(|| {
    let mut all = vec![];
    let mut add = |kind, bodies: Vec<Value>| all.extend(bodies.into_iter().map(|body| (kind, body)));
    add("bfl", bfl());
    add("openai", openai());
    add("stability", stability());
    add("fal", fal());
    add("replicate", replicate());
    add("openrouter", openrouter());
    add("google", google());
    add("ideogram", ideogram());
    add("a1111", a1111());
    add("comfyui", comfyui());
    add("preview", vec![json!({})]);
    all
});

fn bfl() -> Vec<Value> {
    vec![
        json!({"id": ID, "polling_url": "https://api.us1.bfl.ai/v1/get_result?id=I", "cost": 4.1}),
        json!({"id": ID, "status": "Ready", "progress": 1, "result": {"sample": URL, "seed": 7, "duration": 3.5}}),
        json!({"id": ID, "state": "Pending", "result": null}),
        json!({"id": ID, "status": "Request Moderated", "details": {"Moderation Reasons": ["a", "b"]}}),
        json!({"id": ID, "status": "Error", "details": {"error": "why"}}),
        json!({"detail": [{"loc": ["body", "width"], "msg": "too large", "type": "x"}]}),
    ]
}

fn openai() -> Vec<Value> {
    vec![
        json!({"created": 1, "data": [{"b64_json": PNG, "revised_prompt": "a cat"}, {"url": URL}], "usage": {
            "input_tokens": 9, "output_tokens": 196, "total_tokens": 205,
            "input_tokens_details": {"text_tokens": 5, "image_tokens": 4}}}),
        json!({"error": {"message": "must be verified", "type": "t", "param": null, "code": "moderation_blocked"}}),
        json!({"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": null}}),
    ]
}

fn stability() -> Vec<Value> {
    vec![
        json!({"image": PNG, "finish_reason": "SUCCESS", "seed": 343_940_597}),
        json!({"result": PNG, "finish_reason": "SUCCESS", "seed": "7"}),
        json!({"image": PNG, "finish_reason": "CONTENT_FILTERED", "seed": 3}),
        json!({"id": ID, "status": "in-progress"}),
        json!({"id": ID, "name": "content_moderation", "errors": ["words"]}),
    ]
}

fn fal() -> Vec<Value> {
    let at = "https://queue.fal.run/fal-ai/flux/requests/I";
    vec![
        json!({"status": "IN_QUEUE", "request_id": ID, "queue_position": 0, "response_url": at,
               "status_url": format!("{at}/status"), "cancel_url": format!("{at}/cancel")}),
        json!({"status": "COMPLETED", "metrics": {"inference_time": 1.2}, "error_type": "runner_error"}),
        json!({"images": [{"url": URL, "width": 1024, "height": 1024, "content_type": "image/jpeg"}, {"url": URL}],
               "seed": 7, "has_nsfw_concepts": [false, true], "prompt": "a cat", "timings": {"inference": 1.5}}),
        json!({"image": {"url": format!("data:image/png;base64,{PNG}")}, "nsfw_content_detected": false}),
        json!({"detail": [{"loc": ["body", "prompt"], "msg": "still in progress", "type": "generation_timeout"}]}),
        json!({"error": {"message": "{\"status\": \"RESOURCE_EXHAUSTED\"}", "code": 429}}),
    ]
}

fn replicate() -> Vec<Value> {
    let at = "https://api.replicate.com/v1/predictions/I";
    vec![
        json!({"id": ID, "status": "starting", "output": null, "urls": {"get": at, "cancel": format!("{at}/cancel")}}),
        json!({"id": ID, "status": "succeeded", "output": [URL, {"image": format!("data:image/png;base64,{PNG}")}],
               "logs": "Using seed: 4242\nNSFW content detected in image 1", "metrics": {"predict_time": 0.6},
               "completed_at": "2026-11-21T00:00:00Z", "data_removed": false}),
        json!({"id": ID, "status": "failed", "error": "flagged as sensitive (E005) (abc123)"}),
        json!({"is_official": false, "latest_version": {"id": "abc123"}}),
        json!({"id": "F", "urls": {"get": "https://api.replicate.com/v1/files/F"}}),
        json!({"title": "t", "detail": "Request was throttled.", "status": 429, "retry_after": 5}),
    ]
}

fn openrouter() -> Vec<Value> {
    let data_uri = format!("data:image/png;base64,{PNG}");
    let raw = json!({"error": {"message": "m", "type": "t", "code": "moderation_blocked"}}).to_string();
    vec![
        json!({"created": 1, "data": [{"b64_json": PNG}, {"url": URL}], "usage": {
            "prompt_tokens": 5, "completion_tokens": 1290, "total_tokens": 1295, "cost": 0.0387, "is_byok": true,
            "cost_details": {"upstream_inference_cost": 0.04}}}),
        json!({"choices": [{"finish_reason": "stop", "native_finish_reason": "STOP", "message": {
            "role": "assistant", "content": "Here.", "images": [
                {"type": "image_url", "image_url": {"url": data_uri}}, {"imageUrl": data_uri}]}}],
            "usage": {"cost": "0.04"}}),
        json!({"choices": [{"finish_reason": "content_filter", "message": {"refusal": "no", "content": null}}]}),
        json!({"error": {"code": 502, "message": "Provider returned error",
                         "metadata": {"provider_name": "OpenAI", "raw": raw, "reasons": []}}}),
        json!({"choices": [{"error": {"code": 403, "message": "why", "metadata": {
            "provider_name": "Google", "reasons": ["violence"],
            "raw": {"candidates": [{"finishReason": "IMAGE_SAFETY"}]}}}}]}),
    ]
}

fn google() -> Vec<Value> {
    vec![
        json!({"candidates": [
            {"content": {"role": "model", "parts": [
                {"thought": true, "inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "Here it is."},
                {"inlineData": {"mimeType": "image/png", "data": PNG}}]}, "finishReason": "STOP"},
            {"finishReason": "IMAGE_SAFETY", "finishMessage": "no", "content": {"parts": []}}],
            "usageMetadata": {"promptTokenCount": 1130, "candidatesTokenCount": 1150, "totalTokenCount": 2280,
                "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 1110}, {"modality": "IMAGE", "tokenCount": 10}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}, {"modality": "IMAGE", "tokenCount": 8}]}}),
        json!({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "words"}}),
        json!({"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [
            {"reason": "RATE_LIMIT", "violations": [{"quotaId": "GenerateRequestsPerMinute", "quotaValue": "10"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}),
    ]
}

fn ideogram() -> Vec<Value> {
    let picture =
        json!({"url": URL, "prompt": "a cat", "resolution": "1024x1024", "is_image_safe": true, "seed": 7});
    let unsafe_one = json!({"url": null, "is_image_safe": false, "seed": 8});
    vec![
        json!({"created": "2026-11-21T00:00:00Z", "data": [picture, unsafe_one]}),
        json!({"generation_id": ID, "status": "pending"}),
        json!({"generation_id": ID, "state": "completed", "data": [picture], "usage_cost_usd_micros": 60_000}),
        json!({"status": "failed", "failure_reason": "failed safety check"}),
        json!({"error": "Insufficient funds", "reject_reason": "insufficient_funds", "message": "m", "detail": "d"}),
    ]
}

fn a1111() -> Vec<Value> {
    vec![
        json!({"images": [PNG, PNG, PNG], "parameters": {}, "info": "{\"seed\":7,\"all_seeds\":[7,8]}"}),
        json!({"images": [PNG], "info": {"seed": 9, "all_seeds": [9]}}),
        json!({"html_info": "", "image": PNG}),
        json!({"model_list": ["control_canny [1]", "ip-adapter_sd15 [6a3f6166]"]}),
        json!({"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory"}),
    ]
}

fn comfyui() -> Vec<Value> {
    let image = json!({"filename": "a b_00001_.png", "subfolder": "image_gen", "type": "output"});
    let history = |status: &str, messages: Value| {
        json!({ID: {
            "prompt": [1, ID, {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}, {}, ["9"]],
            "outputs": {"9": {"images": [image]}, "12": {"images": [{"filename": "p.png", "type": "temp"}]}},
            "status": {"status_str": status, "completed": true, "messages": messages}}})
    };
    let done = json!([["execution_start", {"timestamp": 1_700_000_000_000_u64}],
                      ["execution_success", {"timestamp": 1_700_000_003_500_u64}]]);
    let failed =
        json!([["execution_error", {"exception_type": "RuntimeError", "exception_message": "shapes"}]]);
    vec![
        json!({"prompt_id": ID, "number": 1, "node_errors": {}}),
        json!({"name": "image (1).png", "subfolder": "clips", "type": "input"}),
        json!({"queue_running": [[4, ID, {}, {}, ["9"]]], "queue_pending": [[5, "J", {}, {}, ["9"]]]}),
        history("success", done),
        history("error", failed),
        json!({"error": {"type": "missing_node_type", "message": "Node not found"}, "node_errors": {"4": {
            "errors": [{"type": "value_not_in_list", "message": "m", "details": "d",
                        "extra_info": {"input_name": "ckpt_name"}}], "class_type": "X"}}}),
    ]
}

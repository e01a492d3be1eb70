use std::time::{Duration, Instant};

use image_gen_simulator::Simulator;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::*;

async fn with(what: Value) -> Simulator {
    let sim = start(json!({})).await;
    fault(&sim, what);
    sim
}

fn money(sim: &Simulator) -> (u64, u64) {
    let totals = sim.totals().all;
    (totals.accepted, totals.billed_calls)
}

fn generation_body() -> Value {
    json!({"model": "gpt-image-2", "prompt": "a cat", "quality": "low"})
}

#[tokio::test]
async fn a_drop_after_accept_bills_and_sends_no_byte() {
    let sim = with(json!("drop_after_accept")).await;
    assert_eq!(raw(&sim).await, b"");
    assert_eq!(money(&sim), (1, 1));
    let entry = &sim.entries()[0];
    assert_eq!((&entry["outcome"], &entry["status"]), (&json!("fault:drop_after_accept"), &Value::Null));
    assert!(entry["done_us"].is_u64());
}

#[tokio::test]
async fn a_drop_before_accept_sends_no_byte_and_bills_nothing() {
    let sim = with(json!("drop_before_accept")).await;
    assert_eq!(raw(&sim).await, b"");
    assert_eq!(money(&sim), (0, 0));
}

#[tokio::test]
async fn a_drop_mid_body_sends_headers_and_half() {
    let sim = with(json!("drop_mid_body")).await;
    let text = raw(&sim).await;
    let at = text.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(text[..at].to_vec()).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!(head.starts_with("http/1.1 200"));
    assert_eq!(text.len() - at - 4, length.parse::<usize>().unwrap() / 2);
    assert_eq!(money(&sim), (1, 1));
}

#[tokio::test]
async fn a_hang_bills_and_never_answers() {
    for (kind, billed) in [("hang", (1, 1)), ("hang_before_accept", (0, 0))] {
        let sim = with(json!(kind)).await;
        let mut stream = TcpStream::connect(sim.address()).await.unwrap();
        stream.write_all(generation().as_bytes()).await.unwrap();
        booked(&sim, 1).await;
        assert_eq!(money(&sim), billed);
        let answer = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(answer.is_err(), "{kind}");
        assert_eq!(sim.entries()[0]["done_us"], Value::Null);
        drop(stream);
        // The ledger notes when the client gave up.
        while sim.entries()[0]["done_us"].is_null() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_rate_limit_speaks_as_the_provider_and_says_when() {
    for (after, sent) in [
        (json!(2), "2"),
        (json!(1.5), "1.5"),
        (json!("Sat, 21 Nov 2026 10:00:00 GMT"), "Sat, 21 Nov 2026 10:00:00 GMT"),
        (json!("soon"), "soon"),
    ] {
        let sim =
            with(json!({"kind": "rate_limited", "retry_after": after, "headers": {"retry-after-ms": "9"}}))
                .await;
        let reply = openai(&sim, generation_body()).await;
        assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (429, sent));
        assert_eq!(reply.headers["retry-after-ms"], "9");
        assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
        assert!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.json()["detail"].is_string());
        assert_eq!(money(&sim), (0, 0));
    }
    let sim = with(json!("rate_limited")).await;
    assert!(!openai(&sim, generation_body()).await.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn any_status_and_body_can_be_sent() {
    let sim = with(
        json!({"kind": "status", "code": 502, "body": "<h1>bad gateway</h1>", "headers": {"server": "edge"}}),
    )
    .await;
    let reply = openai(&sim, generation_body()).await;
    assert_eq!(
        (reply.status, &reply.bytes[..], &reply.headers["server"]),
        (502, &b"<h1>bad gateway</h1>"[..], &"edge".parse().unwrap())
    );
    let sim = with(json!({"kind": "status", "code": 503})).await;
    assert_eq!(openai(&sim, generation_body()).await.json()["error"]["code"], "server_is_overloaded");
    let sim = with(
        json!({"kind": "status", "code": 400, "body": {"error": {"code": "billing_hard_limit_reached"}}}),
    )
    .await;
    assert_eq!(openai(&sim, generation_body()).await.json()["error"]["code"], "billing_hard_limit_reached");
    let sim = with(json!({"kind": "redirect", "to": "http://127.0.0.1:1/"})).await;
    let reply = openai(&sim, generation_body()).await;
    assert_eq!((reply.status, &reply.headers["location"]), (307, &"http://127.0.0.1:1/".parse().unwrap()));
    assert_eq!(money(&sim), (0, 0));
}

#[tokio::test]
async fn slow_answers_are_whole_and_slow() {
    for kind in ["slow_body", "slow_response"] {
        let sim = with(json!({"kind": kind, "seconds": 0.2})).await;
        let begun = Instant::now();
        let reply = openai(&sim, generation_body()).await;
        assert!(begun.elapsed() >= Duration::from_millis(200), "{kind}");
        assert_eq!(reply.json()["data"].as_array().unwrap().len(), 1);
        assert_eq!(money(&sim), (1, 1));
    }
}

#[tokio::test]
async fn broken_successes_are_billed() {
    let sim = with(json!("garbage")).await;
    let reply = openai(&sim, generation_body()).await;
    assert!(reply.status == 200 && serde_json::from_slice::<Value>(&reply.bytes).is_err());
    assert_eq!(money(&sim), (1, 1));

    let sim = with(json!("wrong_content_type")).await;
    let reply = openai(&sim, generation_body()).await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"text/html".parse().unwrap()));
    assert_eq!(money(&sim), (1, 1));

    let sim = with(json!("empty")).await;
    assert_eq!(openai(&sim, generation_body()).await.json()["data"], json!([]));
    let url = submitted(&sim, json!({"prompt": "a"})).await;
    let answer = settle(&sim, &url).await;
    assert_eq!((&answer["status"], &answer["result"]["sample"]), (&json!("Ready"), &Value::Null));
    assert_eq!(money(&sim), (2, 2));

    let sim = with(json!({"kind": "oversized", "bytes": 3_000_000})).await;
    let reply = openai(&sim, generation_body()).await;
    assert_eq!((reply.bytes.len(), reply.headers.contains_key("content-length")), (3_000_000, false));
    assert!(reply.json().is_object());
}

#[tokio::test]
async fn an_invalid_request_is_not_accepted_whatever_the_fault() {
    let sim = with(json!("drop_after_accept")).await;
    let broken = try_send(&sim, "POST", "/openai/v1/images/generations", OPENAI, "{}").await;
    assert!(broken.is_err());
    assert_eq!(money(&sim), (0, 0));
}

#[tokio::test]
async fn a_fault_at_the_submission_decides_the_task() {
    for (what, status, billed) in [
        (json!("task_error"), "Error", 0),
        (json!("task_not_found"), "Task not found", 0),
        (json!("never_ready"), "Pending", 0),
        (json!({"kind": "refuse", "stage": "request"}), "Request Moderated", 0),
        (json!({"kind": "refuse"}), "Content Moderated", 0),
    ] {
        let sim = start(json!({})).await;
        sim.add_rule(rule(json!({"phase": "submit", "fault": what})));
        let url = submitted(&sim, json!({"prompt": "a"})).await;
        assert_eq!(get(&sim, &url).await.json()["status"], status);
        assert_eq!(money(&sim), (1, billed), "{what}");
    }
    let sim = with(json!("state_key")).await;
    let url = submitted(&sim, json!({"prompt": "a"})).await;
    let answer = get(&sim, &url).await.json();
    assert_eq!((&answer["state"], answer.get("status")), (&json!("Ready"), None));
}

#[tokio::test]
async fn a_fault_at_a_poll_changes_one_answer_only() {
    let sim = start(json!({})).await;
    sim.add_rule(rule(
        json!({"phase": "poll", "skip": 1, "times": 1, "prompt_contains": "cat", "fault": "task_not_found"}),
    ));
    let url = submitted(&sim, json!({"prompt": "a CAT"})).await;
    for expected in ["Ready", "Task not found", "Ready"] {
        assert_eq!(get(&sim, &url).await.json()["status"], expected);
    }
    assert_eq!(money(&sim), (1, 1));
}

#[tokio::test]
async fn pictures_can_fail_too() {
    let sim = start(json!({})).await;
    let url = submitted(&sim, json!({"prompt": "a"})).await;
    let sample = settle(&sim, &url).await["result"]["sample"].as_str().unwrap().to_owned();
    for what in [json!({"kind": "status", "code": 404}), json!("drop_mid_body"), json!("empty")] {
        sim.add_rule(rule(json!({"phase": "picture", "times": 1, "fault": what})));
    }
    assert_eq!(get(&sim, &sample).await.status, 404);
    assert!(try_send(&sim, "GET", &sample, &[], "").await.is_err());
    assert_eq!(get(&sim, &sample).await.bytes.len(), 0);
    assert!(get(&sim, &sample).await.bytes.starts_with(b"\xff\xd8"));
}

#[tokio::test]
async fn a_synchronous_provider_plays_task_faults_in_its_own_way() {
    let sim = with(json!("task_error")).await;
    assert_eq!(openai(&sim, generation_body()).await.status, 500);
    let sim = with(json!("task_not_found")).await;
    assert_eq!(openai(&sim, generation_body()).await.status, 404);
    assert_eq!(money(&sim), (0, 0));
    let sim = with(json!({"kind": "refuse", "stage": "input"})).await;
    let reply = openai(&sim, generation_body()).await;
    assert_eq!(reply.json()["error"]["moderation_details"]["moderation_stage"], "input");
    assert_eq!(money(&sim), (0, 0));
    let sim = with(json!("never_ready")).await;
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    stream.write_all(generation().as_bytes()).await.unwrap();
    booked(&sim, 1).await;
    assert_eq!(money(&sim), (1, 0));
}

#[tokio::test]
async fn rules_are_added_listed_and_taken_away_over_http() {
    let sim = start(json!({})).await;
    let added = admin(&sim, "POST", "rules", json!([{"provider": "openai", "fault": "garbage"}, {"provider": "bfl", "phase": "any", "fault": {"kind": "status", "code": 500}}])).await;
    assert_eq!(added.json(), json!({"ids": [1, 2]}));
    assert_eq!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.status, 500);
    let listed = admin(&sim, "GET", "rules", Value::Null).await.json();
    assert_eq!((&listed["rules"][1]["fired"], &listed["rules"][0]["fired"]), (&json!(1), &json!(0)));
    assert_eq!(listed["rules"][0]["fault"], json!({"kind": "garbage"}));
    assert_eq!(admin(&sim, "DELETE", "rules/2", Value::Null).await.status, 200);
    assert_eq!(admin(&sim, "DELETE", "rules/2", Value::Null).await.status, 404);
    assert_eq!(bfl(&sim, "flux-pro-1.1", json!({"prompt": "a"})).await.status, 200);
    assert_eq!(admin(&sim, "DELETE", "rules", Value::Null).await.status, 200);
    assert_eq!(admin(&sim, "GET", "rules", Value::Null).await.json(), json!({"rules": []}));
    let wrong = admin(&sim, "POST", "rules", json!([{"fault": "hang"}, {"fault": "hnag"}])).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(admin(&sim, "GET", "rules", Value::Null).await.json(), json!({"rules": []}), "all or none");
}

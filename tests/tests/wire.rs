//! A provider whose answers no honest server would send, byte by byte: the job ends, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use image_gen_tests::process::memory_kb;
use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Job, Session, Stage, wait_until};
use serde_json::json;

/// What such a server does with a connection whose request it has read.
type Answer = fn(&mut TcpStream);

/// A server that answers every request in the same way. Gives its base URL.
fn serve(answer: Answer) -> String {
    serve_by_head(move |_, stream| answer(stream))
}

/// The same for answers that depend on the request's head, in lower case.
fn serve_by_head(answer: impl Fn(&str, &mut TcpStream) + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut head = vec![];
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let length =
                    head.split("content-length: ").nth(1).and_then(|l| l.split('\r').next()?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                let _ = stream.read_exact(&mut body);
                answer(&head, &mut stream);
            });
        }
    });
    url
}

fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    // The other side may have had enough.
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    let _ = stream.write_all(body);
}

/// Sends a job to each of these servers at once, as an endpoint that speaks OpenAI's protocol.
fn ask(stage: &Stage, answers: &[(&'static str, Answer)]) -> Vec<(&'static str, Job)> {
    let mut admin = stage.admin();
    let mut alice = stage.alice();
    let ids: Vec<String> = answers
        .iter()
        .map(|(name, answer)| {
            admin.run(&format!(
                "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('{name}', 'openai', '{}/v1', 'OPENAI_API_KEY')",
                serve(*answer)
            ));
            alice.generate_with(&format!("prompt => 'a cup', model => '{name}:gpt-image'"))
        })
        .collect();
    let jobs = alice.all_done(&ids);
    answers.iter().map(|(name, _)| *name).zip(jobs).collect()
}

fn calls_of(admin: &mut Session, provider: &str) -> i64 {
    admin.number(&format!("SELECT count(*) FROM image_gen.attempts WHERE provider = '{provider}'"))
}

#[test]
fn a_server_without_keys_is_sent_none_and_a_slip_in_its_answer_loses_no_picture() {
    let stage = Stage::start();
    let url = serve_by_head(|head, stream| {
        if head.contains("authorization") {
            return send(stream, "401 Unauthorized", b"{}");
        }
        // Half a character in the prompt, and base64 in lines without its padding.
        let body = br#"{"created": 1, "data": [{"revised_prompt": "a cup \ud83d", "b64_json":
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}]}"#;
        send(stream, "200 OK", body);
    });
    let mut admin = stage.admin();
    admin.run(&format!(
        "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('own', 'openai', '{url}/v1', 'NONE')"
    ));
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'a cup', model => 'own:gpt-image'");
    alice.all_succeed(std::slice::from_ref(&id));
    let warned = format!(
        "SELECT count(*) FROM image_gen.attempts WHERE job_id = '{id}' AND warnings @> '[{{\"code\": \"answer_repaired\"}}]'"
    );
    assert_eq!(admin.number(&warned), 1);
}

#[test]
fn each_picture_of_a_call_has_its_own_seed() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'a cup', model => 'preview', n => 3, seed => 41");
    alice.all_succeed(std::slice::from_ref(&id));
    let seeds = alice.rows(&format!(
        "SELECT string_agg(seed::text, ' ' ORDER BY position) FROM image_gen.campaign_assets WHERE job_id = '{id}'"
    ));
    assert_eq!(seeds[0][0], "41 42 43");
}

#[test]
fn answers_without_measure_are_cut_off() {
    // worker failure modes 6, 45, 49 and 59
    let stage = Stage::conf(&["image_gen.breaker_failures = 0"]);
    let worker = stage.worker();
    stage.sentinel();
    let before = memory_kb(worker).0;
    let answers: [(&'static str, Answer); 12] = [
        ("headers", |s| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\n");
            for n in 0..100_000 {
                let _ = s.write_all(format!("x-{n}: {n}\r\n").as_bytes());
            }
            send(s, "", b"{}");
        }),
        ("header", |s| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\nx: ");
            for _ in 0..5_000 {
                let _ = s.write_all(&[b'x'; 1000]);
            }
        }),
        // Says that it is small, in a stream that never ends; the reader is who must stop.
        ("endless", |s| {
            let _ = s.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            );
            while s
                .write_all(b"10000\r\n")
                .and_then(|()| s.write_all(&[b' '; 0x10000]))
                .and_then(|()| s.write_all(b"\r\n"))
                .is_ok()
            {}
        }),
        ("promised", |s| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n{");
        }),
        // A megabyte of zeros in a thousand bytes: unpacked within bounds, it is no answer.
        ("packed", |s| {
            let packed = [
                0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee,
                8, 0xa0,
            ];
            send(s, "200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json", &packed);
        }),
        ("not_text", |s| {
            send(s, "200 OK\r\ncontent-type: application/json", &[0xff, 0xfe, 0, 0x80, b'{', 0xc3])
        }),
        ("nul", |s| {
            send(s, "200 OK", br#"{"created": 1, "data": [{"url": "\u0000", "revised_prompt": "\u0000"}]}"#)
        }),
        ("script", |s| send(s, "200 OK", br#"{"created": 1, "data": [{"url": "javascript:alert(1)"}]}"#)),
        ("book", |s| {
            let url = format!("https://example.com/{}", "x".repeat(1_000_000));
            send(s, "200 OK", json!({"created": 1, "data": [{"url": url}]}).to_string().as_bytes());
        }),
        ("deep", |s| send(s, "200 OK", &[b'['; 2_000_000])),
        ("not_http", |s| {
            let _ = s.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n");
        }),
        ("refused_in_200", |s| {
            send(
                s,
                "200 OK",
                br#"{"error": {"message": "it is broken", "type": "server_error", "code": null}}"#,
            );
        }),
    ];
    let mut wrong = vec![];
    for (name, job) in ask(&stage, &answers) {
        // None is a success, and none is sent again where money may have been spent.
        let calls = calls_of(&mut stage.admin(), name);
        let ended = matches!(job.status.as_str(), "failed" | "needs_review");
        if !ended || calls != 1 || job.cost_source == "reported" {
            wrong.push(format!("{name}: {calls} calls, {job:?}"));
        }
        assert!(
            job.error_message.len() < 4_000 && !job.error_message.chars().any(char::is_control),
            "{name}: {job:?}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.sentinel();
    assert_eq!(stage.worker(), worker, "the same worker");
    let after = memory_kb(worker);
    println!("worker: {before} kB before, {after:?} kB after (anonymous, highest resident)");
    assert!(after.1 < 600_000, "{after:?}");
    let log = stage.cluster.log();
    assert!(log.lines().all(|l| l.len() < 8_000), "a line of the log without measure");
    stage.check_money();
}

#[test]
fn a_server_that_answers_byte_by_byte_holds_up_no_other_job() {
    // worker failure modes 45 and 50: ten of them, and a name that does not exist.
    let stage = Stage::conf(&[
        "image_gen.breaker_failures = 0",
        "image_gen.outage_timeout = 0",
        "image_gen.allowed_provider_hosts = '127.0.0.1:*,nowhere.invalid'",
    ]);
    stage.worker();
    let slow = serve(|s| {
        let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while s.write_all(b" ").is_ok() {
            thread::sleep(secs(1));
        }
    });
    let mut admin = stage.admin();
    for (name, url) in [("slow", slow.as_str()), ("nowhere", "http://nowhere.invalid")] {
        admin.run(&format!(
            "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('{name}', 'openai', '{url}/v1', 'OPENAI_API_KEY')"
        ));
    }
    let mut alice = stage.alice();
    let slow: Vec<String> = (0..10)
        .map(|n| alice.generate_with(&format!("prompt => 'slow {n}', model => 'slow:gpt-image'")))
        .collect();
    let nowhere = alice.generate_with("prompt => 'nowhere', model => 'nowhere:gpt-image'");
    wait_until("they are on their way", secs(20), || calls_of(&mut admin, "slow") == 10);
    let start = Instant::now();
    stage.sentinel();
    println!("beside ten answers that never end: {:?} for a job", start.elapsed());
    assert!(start.elapsed() < secs(10));
    let job = alice.done(&nowhere);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "overloaded"), "{job:?}");
    assert_eq!(micros(&job.billed_cost), 0, "it provably was not sent");
    for id in &slow {
        alice.run(&format!("SELECT * FROM image_gen.cancel('{id}')"));
    }
    for job in alice.all_done(&slow) {
        // Sent, and called off: what it costs nobody knows.
        assert_eq!((job.status.as_str(), job.cost_source.as_str()), ("canceled", "unknown"), "{job:?}");
    }
}

#[test]
fn no_provider_can_make_a_job_wait_for_years() {
    // worker failure mode 46
    let stage = Stage::start();
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "times": 1, "prompt_contains": "[alone]",
                          "fault": {"kind": "rate_limited", "retry_after": 315_360_000}}));
    stage.sim.rule(json!({"provider": "openai", "prompt_contains": "[moves on]",
                          "fault": {"kind": "rate_limited", "retry_after": 315_360_000}}));
    let mut alice = stage.alice();
    // Another provider can do it: it is asked.
    let other = alice.generate_with("prompt => '[moves on]', model => 'gpt-image', provider_preferences => '{\"preferred\": [\"openai\"]}'");
    let job = alice.done(&other);
    assert_eq!(job.status, "succeeded", "{job:?}");
    // No other can: what is not to be had for hours is a used-up quota, and no job waits for that.
    let id = alice.generate_with("prompt => '[alone]', model => 'bfl:flux-1.1-pro'");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "insufficient_credits"));
    assert_eq!((micros(&job.billed_cost), job.attempts.as_str()), (0, "1"));
    stage.check_money();
}

#[test]
fn a_bill_below_zero_is_no_bill() {
    // worker failure mode 54: nobody pays us, and what cannot be is not booked.
    let stage = Stage::start();
    let mut alice = stage.alice();
    for (n, cost) in [json!(-4), json!("-4"), json!(1e300), json!("NaN"), json!(null)].into_iter().enumerate()
    {
        let prompt = format!("[bill {n}]");
        let accepted = json!({"id": "t", "polling_url": format!("{}/eu1/v1/get_result?id=t", stage.sim.bfl()), "cost": cost});
        let ready = json!({"id": "t", "status": "Ready", "result": {"sample": format!("{}/none.png", stage.sim.bfl())}});
        for (phase, body) in [("submit", accepted), ("poll", ready)] {
            stage.sim.rule(json!({"phase": phase, "prompt_contains": prompt, "fault": {"kind": "status", "code": 200, "body": body}}));
        }
        // A poll belongs to no prompt that the simulator knows: it is answered in order.
        let ready = json!({"id": "t", "status": "Ready", "result": {"sample": format!("{}/none.png", stage.sim.bfl())}});
        stage.sim.rule(json!({"provider": "bfl", "phase": "poll", "times": 1, "fault": {"kind": "status", "code": 200, "body": ready}}));
        let id = alice.generate_with(&format!("prompt => '{prompt}', model => 'bfl:flux-1.1-pro'"));
        let job = alice.done(&id);
        assert!(matches!(job.cost_source.as_str(), "priced" | "unknown"), "{cost}: {job:?}");
        assert!(job.billed_cost.is_empty() || micros(&job.billed_cost) == 40_000, "{cost}: {job:?}");
    }
    assert_eq!(
        stage
            .admin()
            .number("SELECT count(*) FROM image_gen.attempts WHERE billed_cost < 0 OR billed_cost > 1"),
        0
    );
    stage.check_money();
}

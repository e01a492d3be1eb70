//! Webhooks: signed messages about jobs that have ended, sent until the receiver has them, and in no render's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, wait_until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as it came: its headers, and its body.
type Received = (http::HeaderMap, String);

/// A receiver that answers these statuses, then 200.
struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (log, mut statuses) = (received.clone(), Vec::from(statuses).into_iter());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut headers, mut line) = (http::HeaderMap::new(), String::new());
                while stream.read_line(&mut line).unwrap() > 2 {
                    if let Some((name, value)) = line.trim_end().split_once(": ") {
                        let name: http::HeaderName = name.parse().unwrap();
                        headers.insert(name, value.parse().unwrap());
                    }
                    line.clear();
                }
                let length = headers["content-length"].to_str().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                log.lock().unwrap().push((headers, String::from_utf8(body).unwrap()));
                let status = statuses.next().unwrap_or(200);
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Receiver { port, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn with_secret(lines: &[&str]) -> Options {
    let mut options = Options::conf(
        &[&["image_gen.rescan_interval = '200ms'", "image_gen.allowed_webhook_hosts = '127.0.0.1:*'"], lines]
            .concat(),
    );
    options.env.push(("HOOK_SECRET".into(), SECRET.into()));
    options
}

#[test]
fn a_message_is_signed_and_sent_again_until_the_receiver_has_it() {
    let stage = Stage::with(with_secret(&[]));
    let receiver = Receiver::start(&[500, 500, 500]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(&format!(
        "INSERT INTO image_gen.webhooks (url, key_name, events, filter)
         VALUES ('http://127.0.0.1:{}/hook', 'HOOK_SECRET', '{{job.succeeded}}', '{{\"metadata\": {{\"campaign\": \"spring\"}}}}')",
        receiver.port
    ));
    let id = alice.generate_with(
        "prompt => 'a fox', metadata => '{\"campaign\": \"spring\", \"private\": \"not sent\"}'",
    );
    let other = alice.generate("of no campaign");
    alice.all_succeed(&[id.clone(), other]);
    for tries in 1..=4 {
        let said = format!(
            "SELECT count(*) FROM image_gen.webhook_deliveries WHERE tries = {tries} AND http_status = {}",
            if tries < 4 { 500 } else { 200 }
        );
        wait_until("a try is over", secs(30), || admin.number(&said) == 1);
        if tries < 4 {
            // The next one is put off: 30 s, then twice as long. It is not waited for here.
            let wait = "SELECT round(extract(epoch FROM due_at - clock_timestamp()) / 30) FROM image_gen.webhook_deliveries";
            assert_eq!(admin.number(wait), 1 << (tries - 1));
            assert_eq!(receiver.received().len(), tries);
            admin.run("UPDATE image_gen.webhook_deliveries SET due_at = clock_timestamp(), http_status = NULL; SELECT image_gen_internal.tell_worker('webhooks')");
        }
    }
    assert_eq!(
        admin.rows("SELECT job_id, event, status, tries, last_error FROM image_gen.webhook_deliveries"),
        [[id.as_str(), "job.succeeded", "delivered", "4", ""]]
    );
    let received = receiver.received();
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    let message: serde_json::Value = serde_json::from_str(&received[0].1).unwrap();
    for (headers, body) in &received {
        library.verify(body.as_bytes(), headers).unwrap();
        assert_eq!(headers["webhook-id"], received[0].0["webhook-id"], "the same message");
        assert_eq!(*body, received[0].1);
    }
    assert_eq!(message["type"], "job.succeeded");
    assert_eq!(message["data"]["id"], id.as_str());
    assert_eq!(message["data"]["billed_cost"], "0.04");
    assert_eq!(
        message["data"]["assets"][0]["url"],
        alice.text("SELECT url FROM image_gen.campaign_assets WHERE campaign = 'spring'")
    );
    assert!(!received[0].1.contains("not sent"), "the payload is small");
    // Once more, at an administrator's word, with the same id.
    assert_eq!(admin.number("SELECT image_gen.redrive(id) FROM image_gen.webhook_deliveries"), 1);
    wait_until("it is sent once more", secs(30), || receiver.received().len() == 5);
    assert_eq!(receiver.received()[4].0["webhook-id"], received[0].0["webhook-id"]);
    // Its process ends when there is nothing more to do.
    let process = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'image_gen webhooks'";
    wait_until("its process ends", secs(30), || admin.number(process) == 0);
    stage.check_money();
}

#[test]
fn a_private_address_a_missing_secret_and_a_gone_receiver_are_refused_and_said() {
    let stage = Stage::with(with_secret(&["image_gen.allowed_webhook_hosts = ''"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let hook = |url: &str, key: &str| {
        format!("INSERT INTO image_gen.webhooks (url, key_name) VALUES ('{url}', '{key}')")
    };
    for url in [
        "http://receiver.example/",
        "https://127.0.0.1/",
        "https://10.0.0.8:8443/x",
        "https://[::1]/",
        "https://169.254.169.254/latest",
    ] {
        assert_eq!(admin.sqlstate(&hook(url, "HOOK_SECRET")), "22023", "{url}");
    }
    assert_eq!(admin.sqlstate(&hook("ftp://receiver.example/", "HOOK_SECRET")), "22023");
    assert_eq!(admin.sqlstate(&hook("https://receiver.example/", "not a name")), "23514");
    assert_eq!(alice.sqlstate(&hook("https://receiver.example/", "HOOK_SECRET")), "42501");
    // A name that leads to a private address is refused when it is connected to.
    admin.run(&hook("https://localhost/", "HOOK_SECRET"));
    admin.run(&hook("https://receiver.example/", "NO_SUCH_SECRET"));
    // The key of a provider signs nothing.
    admin.run(&hook("https://receiver.example/", "BFL_API_KEY"));
    let id = alice.generate("a fox");
    alice.all_succeed(&[id]);
    let errors =
        "SELECT last_error FROM image_gen.webhook_deliveries WHERE last_error IS NOT NULL ORDER BY webhook";
    wait_until("each is refused", secs(30), || admin.column(errors).len() == 3);
    let errors = admin.column(errors);
    assert!(errors[0].contains("localhost is not a public address"), "{errors:?}");
    assert_eq!(errors[1..], ["there is no key NO_SUCH_SECRET", "the secret does not begin with whsec_"]);
}

#[test]
fn a_dead_receiver_slows_no_render_and_no_other_receiver() {
    let stage = Stage::with(with_secret(&["image_gen.max_in_flight = 100"]));
    // It takes connections, and never answers.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let well = Receiver::start(&[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let hook = |port: u16| {
        format!(
            "INSERT INTO image_gen.webhooks (url, key_name) VALUES ('http://127.0.0.1:{port}/', 'HOOK_SECRET')"
        )
    };
    admin.run(&hook(dead.local_addr().unwrap().port()));
    admin.run(
        "INSERT INTO image_gen.webhook_deliveries (webhook, job_id, event) SELECT 1, 'gen_' || lpad(n::text, 26, '0'), 'job.succeeded' FROM generate_series(1, 1000) n",
    );
    admin.run(&hook(well.port));
    let worker = stage.worker();
    let ids: Vec<String> = alice.column("SELECT g.id FROM generate_series(1, 200) n, LATERAL image_gen.generate('cup ' || n, model => 'preview') g");
    alice.all_succeed(&ids);
    wait_until("the one that is well has all of its messages", secs(60), || well.received().len() == 200);
    assert_eq!(stage.worker(), worker);
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen.webhook_deliveries WHERE webhook = 2 AND tries <> 1"),
        0
    );
    // Of the dead one's messages a few are tried at a time, and none is lost.
    assert_eq!(
        admin.number(
            "SELECT count(*) FROM image_gen.webhook_deliveries WHERE webhook = 1 AND status = 'pending'"
        ),
        1200
    );
}

#[test]
fn a_message_carries_the_trace_of_the_session_that_queued_its_job() {
    let stage = Stage::with(with_secret(&[]));
    let receiver = Receiver::start(&[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(&format!(
        "INSERT INTO image_gen.webhooks (url, key_name) VALUES ('http://127.0.0.1:{}/hook', 'HOOK_SECRET')",
        receiver.port
    ));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    alice.run(&format!("BEGIN; SET LOCAL image_gen.traceparent = '{parent}'"));
    let traced = alice.generate("traced");
    alice.run("COMMIT");
    let plain = alice.generate("plain");
    alice.all_succeed(&[traced.clone(), plain.clone()]);
    let kept = alice.column("SELECT coalesce(traceparent, 'none') FROM image_gen.jobs ORDER BY seq");
    assert_eq!(kept, [parent, "none"]);
    wait_until("both are told", secs(30), || receiver.received().len() == 2);
    for (headers, body) in receiver.received() {
        let message: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = (message["data"]["id"] == traced.as_str()).then_some(parent);
        assert_eq!(message["data"]["traceparent"].as_str(), expected);
        assert_eq!(headers.get("traceparent").map(|v| v.to_str().unwrap()), expected);
    }
    // What is no traceparent is no value of the setting.
    for wrong in ["x", "00-0-0-00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y"] {
        assert_eq!(alice.sqlstate(&format!("SET image_gen.traceparent = E'{wrong}'")), "22023", "{wrong}");
    }
}

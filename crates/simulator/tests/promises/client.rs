//! The smallest client that shows everything a test wants to see.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use image_gen_simulator::{Config, Rule, Simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }
}

/// A simulator that draws in no time, with these changes.
pub async fn start(patch: Value) -> Simulator {
    let config = Config { render_seconds: 0.0, ..Config::default() };
    Simulator::start(config.merged(&patch).unwrap()).await.unwrap()
}

/// Sends a request on a connection of its own. An error is whatever kept the whole answer from coming.
pub async fn try_send(
    sim: &Simulator,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Reply, hyper::Error> {
    let stream = TcpStream::connect(sim.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = path.strip_prefix(&sim.url()).unwrap_or(path);
    let mut request = Request::builder().method(method).uri(path).header("host", sim.address().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await?;
    let (head, body) = response.into_parts();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, bytes: body.collect().await?.to_bytes() })
}

pub async fn send(
    sim: &Simulator,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Reply {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    try_send(sim, method, path, headers, text).await.unwrap()
}

pub const BFL: &[(&str, &str)] = &[("x-key", "test-key"), ("content-type", "application/json")];
pub const OPENAI: &[(&str, &str)] =
    &[("authorization", "Bearer test-key"), ("content-type", "application/json")];

pub async fn bfl(sim: &Simulator, model: &str, body: Value) -> Reply {
    send(sim, "POST", &format!("/bfl/v1/{model}"), BFL, &body).await
}

pub async fn openai(sim: &Simulator, body: Value) -> Reply {
    send(sim, "POST", "/openai/v1/images/generations", OPENAI, &body).await
}

pub async fn admin(sim: &Simulator, method: &str, path: &str, body: Value) -> Reply {
    send(sim, method, &format!("/_sim/{path}"), &[("content-type", "application/json")], &body).await
}

pub async fn get(sim: &Simulator, url: &str) -> Reply {
    send(sim, "GET", url, BFL, &Value::Null).await
}

/// Asks until the task is no longer pending.
pub async fn settle(sim: &Simulator, polling_url: &str) -> Value {
    loop {
        let answer = get(sim, polling_url).await.json();
        if answer["status"] != "Pending" {
            return answer;
        }
    }
}

/// Submits and gives the polling URL.
pub async fn submitted(sim: &Simulator, body: Value) -> String {
    let reply = bfl(sim, "flux-pro-1.1", body).await;
    assert_eq!(reply.status, 200, "{:?}", reply.bytes);
    reply.json()["polling_url"].as_str().unwrap().to_owned()
}

pub fn rule(value: Value) -> Rule {
    serde_json::from_value(value).unwrap()
}

pub fn fault(sim: &Simulator, fault: Value) {
    sim.add_rule(rule(json!({ "fault": fault })));
}

/// Sends a generation over a bare socket and reads until the other side closes.
pub async fn raw(sim: &Simulator) -> Vec<u8> {
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    stream.write_all(generation().as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // A reset counts as closed: it is how an abrupt end may look.
    let _ = stream.read_to_end(&mut all).await;
    all
}

/// A whole request as text.
pub fn generation() -> String {
    let body = json!({"model": "gpt-image-2", "prompt": "a cat", "quality": "low"}).to_string();
    let head = "POST /openai/v1/images/generations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Waits until the ledger holds so many requests.
pub async fn booked(sim: &Simulator, requests: u64) {
    while sim.totals().all.requests < requests {
        tokio::task::yield_now().await;
    }
}

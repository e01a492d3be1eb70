//! The simulator's own endpoints, under `/_sim`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::{Call, Payload};
use crate::ledger::Wanted;
use crate::rule::Rule;
use crate::world::World;

/// Ledger entries are shown so many at a time, so that the ledger is never locked for long.
const PAGE: usize = 500;

type Outcome = Result<Value, (StatusCode, String)>;

pub(crate) fn answer(world: &Arc<World>, call: &Call) -> Response<Body> {
    let path: Vec<&str> = call.path.split('/').skip(1).collect();
    let outcome = match (call.method.as_str(), path.as_slice()) {
        ("GET", ["ledger"]) => match wanted(call) {
            Ok(wanted) => return json_response(StatusCode::OK, ledger(world, wanted)),
            Err(why) => Err(why),
        },
        ("GET", ["ledger", "totals"]) => Ok(json!(world.ledger().totals())),
        ("GET", ["health"]) => Ok(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})),
        ("GET", ["config"]) => Ok(json!(*world.config())),
        ("PUT", ["config"]) => put_config(world, call),
        ("POST", ["reset"]) => {
            world.reset();
            Ok(json!({"status": "ok"}))
        }
        ("GET", ["rules"]) => Ok(world.rules().to_json()),
        ("POST", ["rules"]) => add_rules(world, call),
        ("DELETE", ["rules"]) => {
            world.rules().clear();
            Ok(json!({"status": "ok"}))
        }
        ("DELETE", ["rules", id]) => match id.parse() {
            Ok(id) if world.rules().remove(id) => Ok(json!({"status": "ok"})),
            _ => Err((StatusCode::NOT_FOUND, format!("there is no rule {id}"))),
        },
        (method, _) => Err((StatusCode::NOT_FOUND, format!("there is no {method} {}", call.shown_path))),
    };
    let (status, value) = match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err((status, why)) => (status, json!({"error": why})),
    };
    json_response(status, Body::from(Bytes::from(value.to_string())))
}

fn json_response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn bad(why: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why.to_string())
}

fn body(call: &Call) -> Result<&Value, (StatusCode, String)> {
    match &call.payload {
        Payload::Json(value) => Ok(value),
        Payload::BrokenJson(why) => Err(bad(why)),
        _ => Err(bad("send JSON, with Content-Type: application/json")),
    }
}

fn put_config(world: &World, call: &Call) -> Outcome {
    let config = world.config().merged(body(call)?).map_err(bad)?;
    world.set_config(config.clone());
    Ok(json!(config))
}

fn add_rules(world: &World, call: &Call) -> Outcome {
    let given = match body(call)? {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    // All are read before any is added.
    let rules: Vec<Rule> =
        given.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().map_err(bad)?;
    let mut book = world.rules();
    let ids: Vec<u64> = rules.into_iter().map(|rule| book.add(rule)).collect();
    Ok(json!({ "ids": ids }))
}

fn wanted(call: &Call) -> Result<Wanted, (StatusCode, String)> {
    let mut wanted = Wanted::default();
    for (name, value) in &call.query {
        match name.as_str() {
            "provider" => wanted.provider = Some(value.clone()),
            "phase" if value == "any" => wanted.phase = None,
            "phase" => wanted.phase = Some(serde_json::from_value(json!(value)).map_err(bad)?),
            "since" => wanted.since = value.parse().map_err(bad)?,
            other => return Err(bad(format!("unknown filter {other}; known are provider, phase, since"))),
        }
    }
    Ok(wanted)
}

/// `{"entries":[…],"totals":{…}}`, made while it is sent.
fn ledger(world: &Arc<World>, mut wanted: Wanted) -> Body {
    let world = world.clone();
    let (mut first, mut ended) = (true, false);
    Body::Pull(Box::new(move || {
        if ended {
            return None;
        }
        let (texts, next) = world.ledger().page(&wanted, PAGE);
        let mut part = String::from(if first { "{\"entries\":[" } else { "" });
        for text in texts {
            if !std::mem::replace(&mut first, false) {
                part.push_str(",\n");
            }
            part.push_str(&text);
        }
        match next {
            Some(n) => wanted.since = n,
            None => {
                ended = true;
                part.push_str(&format!("],\"totals\":{}}}", json!(world.ledger().totals())));
            }
        }
        Some(Bytes::from(part))
    }))
}

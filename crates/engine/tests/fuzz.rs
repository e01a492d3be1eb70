//! Whatever a provider answers, reading it ends in a reply or a failure that the rest can rely on: no adapter panics, and
//! none calls an answer without an image a success.
//!
//! `PROPTEST_CASES=100000 cargo test -p image_gen_engine --test fuzz` looks longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{READERS, Read, Reader, answer, bodies, edges, head, json, replaced, replaced_once, spoilt};
use image_gen_engine::failure::{Failure, MESSAGE_CHARS};
use image_gen_engine::http::{HttpResponse, MAX_RETRY_AFTER};
use image_gen_engine::provider::{Output, Rejection, Reply, Source};
use proptest::collection::vec;
use proptest::prelude::*;

/// A number of cases that takes a few seconds, more where `PROPTEST_CASES` asks for more.
fn cases(factor: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(factor), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn any_bytes_are_read(head in head(), body in vec(any::<u8>(), 0..300)) {
        let response = answer(head, body);
        READERS.iter().for_each(|reader| check(reader, &response));
    }

    #[test]
    fn any_json_is_read(head in head(), body in json()) {
        let response = answer(head, body.to_string().into_bytes());
        READERS.iter().for_each(|reader| check(reader, &response));
    }

    #[test]
    fn one_providers_answer_is_read_by_all_others(head in head(), body in spoilt(bodies::all())) {
        let response = answer(head, body.0);
        READERS.iter().for_each(|reader| check(reader, &response));
    }
}

#[test]
fn every_providers_own_answers_are_read_spoilt_or_not() {
    for reader in READERS.iter() {
        let bodies = bodies::of(reader.adapter.kind());
        assert!(!bodies.is_empty(), "{} has no answers", reader.adapter.kind());
        for body in &bodies {
            for status in [200, 202, 400, 403, 404, 422, 429, 500, 504] {
                check(reader, &answer((status, vec![]), body.to_string().into_bytes()));
            }
        }
        proptest!(cases(4), |(head in head(), body in spoilt(bodies))| {
            check(reader, &answer(head, body.0));
        });
    }
}

#[test]
fn values_at_the_edge_of_what_is_possible_are_read_wherever_they_are() {
    for reader in READERS.iter() {
        for body in bodies::of(reader.adapter.kind()) {
            for edge in edges() {
                for spoilt in replaced(&body, &edge).into_iter().chain(replaced_once(&body, &edge)) {
                    check(reader, &answer((200, vec![]), spoilt.to_string().into_bytes()));
                }
            }
        }
    }
}

#[test]
fn brackets_without_end_are_no_json() {
    for body in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 18), "[".repeat(4000) + &"]".repeat(4000)] {
        let response = answer((200, vec![]), body.into_bytes());
        READERS.iter().for_each(|reader| check(reader, &response));
    }
}

#[test]
fn answers_of_any_depth_fit_a_small_stack() {
    // A stack that overflows aborts the process, and with it the server: nothing catches that.
    let deep =
        |depth: usize, open: &str, close: &str| format!("{}0{}", open.repeat(depth), close.repeat(depth));
    let shapes = [("[", "]"), ("{\"error\":", "}"), ("[{\"detail\":", "}]"), ("{\"a\":[", "]}")];
    let read = move || {
        for depth in [120, 128, 2000] {
            for (open, close) in shapes {
                for body in [
                    deep(depth, open, close),
                    format!("{{\"error\":{}}}", deep(depth, open, close)),
                    format!("{{\"data\":[{}],\"status\":\"Ready\"}}", deep(depth, open, close)),
                ] {
                    for status in [200, 500] {
                        let response = answer((status, vec![]), body.clone().into_bytes());
                        READERS.iter().for_each(|reader| check(reader, &response));
                    }
                }
            }
        }
    };
    // The network thread of the worker has two megabytes; a build without optimisation takes more of it.
    std::thread::Builder::new().stack_size(1 << 20).spawn(read).unwrap().join().unwrap();
}

#[test]
fn numbers_beyond_all_bounds_are_read_wherever_they_are() {
    let huge = "9".repeat(400);
    for reader in READERS.iter() {
        for body in bodies::of(reader.adapter.kind()) {
            let [marked, ..] = replaced(&body, &serde_json::json!("\u{1}number\u{1}"));
            let text = marked.to_string();
            for number in [
                "1e999",
                "-1e999",
                "1e-999",
                "NaN",
                "-Infinity",
                &huge,
                "18446744073709551616",
                "-9223372036854775809",
            ] {
                let body = text.replace("\"\\u0001number\\u0001\"", number);
                check(reader, &answer((200, vec![]), body.into_bytes()));
            }
        }
    }
}

#[test]
fn an_answer_that_unpacks_to_more_than_is_allowed_is_no_answer() {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..65).for_each(|_| packer.write_all(&zeros).unwrap());
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 80 << 10);
    let response = answer((200, vec![]), bomb);
    assert!(response.json().is_null());
    check(&READERS[0], &response);
}

fn check(reader: &Reader, response: &HttpResponse) {
    reader.read(response, |role, run| {
        let shown = || {
            let body = String::from_utf8_lossy(&response.body).into_owned();
            format!("{} {role}: {} {:?} {body}", reader.adapter.kind(), response.status, response.headers)
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(read) => {
                if let Err(wrong) = sound(&read) {
                    panic!("{wrong}: {}", shown());
                }
            }
            Err(_) => panic!("panicked: {}", shown()),
        }
    });
}

/// What the rest of the engine relies on.
fn sound(read: &Read) -> Result<(), &'static str> {
    match read {
        Read::Reply(Ok(Reply::Finished(output))) => finished(output),
        Read::Reply(Ok(Reply::Accepted { remote, .. })) if remote.id.is_empty() => {
            Err("a task without an id")
        }
        Read::Reply(Ok(Reply::Accepted { remote, .. })) if remote.poll_url.is_empty() => {
            Err("nowhere to ask")
        }
        Read::Reply(Ok(Reply::Ask(request))) if request.url.is_empty() => Err("nowhere to ask"),
        Read::Reply(Ok(Reply::Pending { after })) => bounded(*after),
        Read::Reply(Ok(Reply::Failed(rejection)) | Err(rejection))
        | Read::Prerequisite(Err(rejection))
        | Read::Error(rejection) => rejected(rejection),
        Read::Prerequisite(Ok(found)) if found.is_empty() => Err("a prerequisite that brought nothing"),
        Read::Seconds(seconds) => positive(*seconds),
        _ => Ok(()),
    }
}

fn finished(output: &Output) -> Result<(), &'static str> {
    if output.pictures.is_empty() {
        return Err("finished without an image");
    }
    storable(&output.revised_prompt)?;
    for picture in &output.pictures {
        match picture {
            Source::Inline(bytes) if bytes.is_empty() => return Err("an image of no bytes"),
            Source::Url { url, .. } if url.is_empty() => return Err("an image without a URL"),
            Source::Url { url, .. } => storable([url])?,
            Source::Inline(_) => {}
        }
    }
    let amount = output.cost.as_ref().and_then(|cost| cost.amount);
    if amount.is_some_and(|amount| amount.is_sign_negative()) {
        return Err("a negative cost");
    }
    positive(output.render_seconds)
}

/// Postgres has no texts with a NUL.
fn storable<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<(), &'static str> {
    if texts.into_iter().any(|text| text.contains('\0')) { Err("a text with a NUL") } else { Ok(()) }
}

fn positive(seconds: Option<f64>) -> Result<(), &'static str> {
    match seconds {
        Some(seconds) if !(seconds.is_finite() && seconds > 0.0) => Err("a time that is none"),
        _ => Ok(()),
    }
}

fn rejected(rejection: &Rejection) -> Result<(), &'static str> {
    let message = &rejection.failed.message;
    if message.chars().count() > MESSAGE_CHARS + 1 || message.chars().any(char::is_control) {
        return Err("a message that cannot be stored");
    }
    match rejection.failed.failure {
        Failure::RateLimited { after } | Failure::Overloaded { after } => bounded(after),
        _ => Ok(()),
    }
}

fn bounded(after: Option<Duration>) -> Result<(), &'static str> {
    if after.is_some_and(|after| after > MAX_RETRY_AFTER) { Err("a wait without end") } else { Ok(()) }
}

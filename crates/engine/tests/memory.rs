//! How much memory reading an answer takes: not more than a small multiple of the answer, whatever is in it. This is a
//! binary of its own, because it counts all that is allocated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{READERS, Reader, answer, bodies, edges, replaced};
use image_gen_engine::http::HttpResponse;
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn measure() {
    for reader in READERS.iter() {
        for body in bodies::of(reader.adapter.kind()) {
            reader.read(&answer((200, vec![]), body.to_string().into_bytes()), |_, run| drop(run()));
        }
    }
    let n = 1 << 18;
    let text = |unit: &str, times: usize| format!("[{}0]", unit.repeat(times)).into_bytes();
    let shapes: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", text("0,", n)),
        ("empty objects", text("{},", n)),
        ("empty lists", text("[],", n)),
        ("tiny objects", text("{\"\":0},", n)),
        ("tiny strings", text("\"a\",", n)),
        ("one list each", text("[0],", n)),
        ("bytes", vec![b'x'; n]),
        ("one object", format!("{{{}\"\":0}}", (0..n/8).map(|i| format!("\"{i}\":0,")).collect::<String>()).into_bytes()),
    ];
    for (name, body) in shapes {
        for status in [200, 429] {
            measured(name, &answer((status, vec![]), body.clone()));
        }
    }
    let big: Value = json!("A".repeat(1 << 20));
    for reader in READERS.iter() {
        for body in bodies::of(reader.adapter.kind()) {
            let pick = ["/data/0/b64_json", "/image", "/result", "/images/0", "/images/0/url", "/candidates/0/content/parts/2/inlineData/data", "/output/0", "/logs", "/error", "/message", "/detail", "/error/message", "/info", "/error/metadata/raw", "/choices/0/message/images/0/image_url/url", "/choices/0/message/content"];
            for p in pick {
                let mut b = body.clone();
                if let Some(place) = b.pointer_mut(p) {
                    *place = big.clone();
                    for status in [200, 500] { one(p, reader, &answer((status, vec![]), b.to_string().into_bytes())); }
                }
            }
        }
    }
    let _ = (edges, replaced);
}

fn measured(name: &str, response: &HttpResponse) {
    for reader in READERS.iter() { one(name, reader, response); }
}

fn one(name: &str, reader: &Reader, response: &HttpResponse) {
    let mut worst = (0.0, String::new());
    reader.read(response, |role, run| {
        PEAK_reset();
        let before = MEMORY.current_usage();
        let read = run();
        let peak = MEMORY.peak_usage();
        drop(read);
        let ratio = peak.saturating_sub(before) as f64 / response.body.len() as f64;
        if ratio > worst.0 { worst = (ratio, role.to_owned()); }
    });
    println!("{name} {} {} {:.1} {}", reader.adapter.kind(), response.status, worst.0, worst.1);
}
#[allow(non_snake_case)]
fn PEAK_reset() { MEMORY.reset_peak_usage(); }

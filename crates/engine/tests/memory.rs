//! Reading an answer takes a bounded amount of memory, whatever is in it. This is a binary of its own with a single test,
//! because everything that is allocated meanwhile counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{READERS, Reader, answer, bodies, edges, head, longer, replaced, spoilt};
use image_gen_engine::http::HttpResponse;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that any reading may take: a message, a few small strings.
const SPARE: usize = 16 << 10;
/// Times the answer's length: its texts, decoded, and in a message on its way to being cut.
const TEXT: usize = 8;
/// Bytes for each list, object and comma: a value in a tree of them. (Some readings make the tree twice.)
const VALUE: usize = 1400;
/// With more values than this an answer is not read at all.
const MOST_VALUES: usize = 1 << 17;

#[test]
fn reading_an_answer_takes_a_bounded_amount_of_memory() {
    // N20
    let own = |reader: &Reader| bodies::of(reader.adapter.kind());
    for reader in READERS.iter() {
        for body in own(reader) {
            for edge in edges() {
                for spoilt in replaced(&body, &edge) {
                    check(reader, &answer((200, vec![]), spoilt.to_string().into_bytes()));
                }
            }
            for long in longer(&body, 32 << 10) {
                for status in [200, 500] {
                    check(reader, &answer((status, vec![]), long.to_string().into_bytes()));
                }
            }
        }
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(head in head(), body in spoilt(own(reader)))| {
            check(reader, &answer(head, body.0));
        });
    }
    for unit in
        ["0", "{}", "[]", "[0]", "[[[[[0]]]]]", "{\"\":0}", "{\"\":{\"\":{}}}", "\"\"", "\"a\"", "1e9"]
    {
        let list = vec![unit; (2 << 10) / unit.len()].join(",");
        for body in [format!("[{list}]"), format!("{{\"data\":[{list}]}}"), format!("{{\"error\":[{list}]}}")]
        {
            for status in [200, 500] {
                let response = answer((status, vec![]), body.clone().into_bytes());
                READERS.iter().for_each(|reader| check(reader, &response));
            }
        }
    }
    let flood = answer((200, vec![]), format!("[{}0]", "{\"\":0},".repeat(MOST_VALUES)).into_bytes());
    READERS.iter().for_each(|reader| check(reader, &flood));
}

fn check(reader: &Reader, response: &HttpResponse) {
    let values = response.body.iter().filter(|b| b"[{,".contains(b)).count();
    let tree = if values > MOST_VALUES { 0 } else { values * VALUE };
    let most = response.body.len() * TEXT + tree + SPARE;
    reader.read(response, |role, run| {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let read = run();
        let took = MEMORY.peak_usage().saturating_sub(before);
        drop(read);
        if took > most {
            let start: String = String::from_utf8_lossy(&response.body).chars().take(400).collect();
            let (kind, length) = (reader.adapter.kind(), response.body.len());
            panic!("{kind} {role}: {took} bytes for {length} bytes of HTTP {}: {start}", response.status);
        }
    });
}

//! Whatever a provider, or a gateway in front of it, answers to a submission, a poll and a fetch: a job ends, money is never
//! claimed as free unless it certainly is, an image that can be read is delivered, and a request is sent once unless it
//! certainly was not processed.
//!
//! `PROPTEST_CASES=10000 cargo test -p image_gen_engine --test answers` looks longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::LazyLock;

use common::{Bytes, bodies, head, json, spoilt};
use image_gen_engine::candidate::Candidate;
use image_gen_engine::catalogue;
use image_gen_engine::http::{HttpResponse, TransportError};
use image_gen_engine::job::{Operation, Request, Task};
use image_gen_engine::progress::Progress;
use image_gen_engine::provider::{TABLE, is_local};
use image_gen_engine::run::{AttemptStatus, Event, Job, JobStatus, Picture, Plan, Run, Step, Transition};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json as value};

/// One way in which a request comes back.
#[derive(Clone, Debug)]
enum Answer {
    NotSent,
    Lost,
    TooLarge,
    Http { status: u16, headers: Vec<(String, String)>, body: Bytes, by: By },
}

/// Who wrote a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Provider,
    Gateway,
    Anybody,
}

impl Answer {
    fn result(&self) -> Result<HttpResponse, TransportError> {
        match self {
            Answer::NotSent => Err(TransportError::NotSent("refused".into())),
            Answer::Lost => Err(TransportError::MaybeSent("reset".into())),
            Answer::TooLarge => Err(TransportError::TooLarge),
            Answer::Http { status, headers, body, .. } => {
                Ok(HttpResponse { status: *status, headers: headers.clone(), body: body.0.clone() })
            }
        }
    }

    /// True where no provider could have worked on a request that came back like this.
    fn is_certainly_unprocessed(&self, kind: &str) -> bool {
        match self {
            Answer::NotSent => true,
            Answer::Lost | Answer::TooLarge => false,
            Answer::Http { status: 425 | 429 | 521 | 523 | 529 | 530, .. } => true,
            Answer::Http { status: 503, by, .. } => *by != By::Gateway || self.is_empty(),
            Answer::Http { status: 409, by, .. } => {
                kind == "openai" || *by != By::Gateway && self.has_own_words()
            }
            Answer::Http { status: 500, by, .. } => {
                *by != By::Gateway && ["google", "stability"].contains(&kind) || self.has_own_words()
            }
            // In its own words a provider can say more than with a status.
            Answer::Http { by, .. } => *by != By::Gateway && self.has_own_words(),
        }
    }

    /// True where a request that came back like this certainly costs nothing.
    fn is_certainly_free(&self, kind: &str) -> bool {
        let turned_down = match self {
            Answer::Http { status: 301 | 307 | 308, .. } => true,
            Answer::Http { status, .. } => (400..=498).contains(status) && *status != 408,
            _ => false,
        };
        turned_down || self.is_certainly_unprocessed(kind)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Answer::Http { body, .. } if body.0.trim_ascii().is_empty())
    }

    /// Words about rates, credit, models and faults for which the provider documents that it does not charge.
    fn has_own_words(&self) -> bool {
        const WORDS: [&str; 34] = [
            "rate",
            "slow_down",
            "overloaded",
            "exhausted",
            "quota",
            "credit",
            "balance",
            "billing",
            "funds",
            "limit",
            "locked",
            "model_",
            "model not",
            "api key",
            "api_key",
            "429",
            "401",
            "402",
            "404",
            "runner_",
            "timeout",
            "internal_server_error",
            "downstream",
            "moderated",
            "error\"",
            "failed",
            "content_filtered",
            "safety",
            "e003",
            "e004",
            "e6716",
            "aborted",
            "payment",
            "unauthorized",
        ];
        let Answer::Http { headers, body, .. } = self else { return false };
        let heads = headers.iter().map(|(_, value)| value.to_lowercase()).collect::<String>();
        let text = String::from_utf8_lossy(&body.0).to_lowercase();
        WORDS.iter().any(|word| text.contains(word) || heads.contains(word))
    }
}

/// Candidates of every protocol that the adapters speak, each with a task that needs no image.
static CANDIDATES: LazyLock<Vec<Candidate>> = LazyLock::new(|| {
    let mut seen = BTreeSet::new();
    let can =
        |c: &Candidate| c.operations.contains(&Task::Generate) && c.api.as_deref() != Some("v3-character");
    let all = catalogue::shipped().candidates().filter(can);
    let all: Vec<Candidate> = all.filter(|c| seen.insert((c.kind.clone(), c.api.clone()))).collect();
    assert!(TABLE.iter().all(|adapter| all.iter().any(|c| c.kind == adapter.kind())));
    all
});

fn answer(own: Vec<Value>) -> impl Strategy<Value = Answer> {
    let statuses: Vec<u16> = vec![
        200, 201, 202, 204, 301, 302, 303, 307, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 422, 425,
        429, 499, 500, 501, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 529, 530, 598, 599,
    ];
    let pages: Vec<&'static [u8]> = vec![
        b"",
        b"<html><head><title>502 Bad Gateway</title></head></html>",
        b"upstream connect error or disconnect/reset before headers. reset reason: connection termination",
        b"{\"message\": \"Endpoint request timed out\"}",
        b"{\"title\": \"Error 524\", \"status\": 524, \"cloudflare_error\": true}",
    ];
    let own = prop_oneof![
        4 => select(own.clone()).prop_map(|body| (Bytes(body.to_string().into_bytes()), By::Provider)),
        2 => spoilt(own).prop_map(|body| (body, By::Anybody)),
        4 => select(pages).prop_map(|page| (Bytes(page.to_vec()), By::Gateway)),
        1 => json().prop_map(|json| (Bytes(json.to_string().into_bytes()), By::Anybody)),
        1 => vec(any::<u8>(), 0..200).prop_map(|bytes| (Bytes(bytes), By::Anybody)),
    ];
    let head = prop_oneof![2 => head(), 3 => select(statuses).prop_map(|status| (status, vec![]))];
    prop_oneof![
        1 => Just(Answer::NotSent),
        1 => Just(Answer::Lost),
        1 => Just(Answer::TooLarge),
        12 => (head, own).prop_map(|((status, headers), (body, by))| Answer::Http { status, headers, body, by }),
    ]
}

/// A job's way through these answers.
#[derive(Default)]
struct Way {
    submissions: usize,
    ends: Vec<(AttemptStatus, Option<String>)>,
    closed: Option<JobStatus>,
    pictures: Vec<Picture>,
    warnings: Vec<String>,
}

/// Drives a job for one image to its end.
fn drive(
    candidate: &Candidate,
    submits: &[Answer],
    polls: &[Answer],
    fetches: &[Answer],
) -> Result<Way, TestCaseError> {
    drive_n(candidate, 1, submits, polls, fetches)
}

/// Drives a job to its end. The answers of each kind are given in turn; the last one of each stays.
fn drive_n(
    candidate: &Candidate,
    n: u32,
    submits: &[Answer],
    polls: &[Answer],
    fetches: &[Answer],
) -> Result<Way, TestCaseError> {
    let kind = candidate.kind.as_str();
    let (mut way, mut progress, mut attempts) = (Way::default(), Progress::default(), 0);
    let (mut submitted, mut polled, mut fetched) = (0, 0, 0);
    let mut now = 1_000_i64;
    let nth = |answers: &[Answer], n: &mut usize| {
        *n += 1;
        answers[(*n - 1).min(answers.len() - 1)].clone()
    };
    let mut last: Option<Answer> = None;
    let mut asked: Vec<Answer> = vec![];
    for _life in 0..2_000 {
        let wanted = value!({"prompt": "a lighthouse", "seed": 7, "n": n});
        let mut request: Request = serde_json::from_value(wanted).unwrap();
        progress.take_off(&mut request);
        let job = Job {
            id: "gen_1".into(),
            operation: Operation::Generate,
            request,
            pictures: vec![],
            deadline: None,
        };
        let plan = Plan {
            route: vec![candidate.clone()],
            ladder: vec![],
            max_refusals: 3,
            progress: progress.clone(),
            ceiling: None,
            content: Arc::default(),
        };
        let mut run = Run::new(job, plan, attempts).unwrap();
        let (mut event, mut begun, mut later) = (Event::Start, false, false);
        for _step in 0..20_000 {
            event = match run.on(event, now) {
                Step::Stop => break,
                Step::Enter => Event::Entered { renders: Default::default(), key: Default::default() },
                Step::Compute => Event::Compute,
                Step::Rewrite { .. } => Event::Rewritten(None),
                Step::Load { .. } => Event::Loaded(None),
                Step::Wait(pause) => {
                    now += i64::try_from(pause.as_millis()).unwrap();
                    Event::Elapsed
                }
                Step::Send { .. } if run.is_submitting() => {
                    if let Some(before) = &last {
                        // A task that was accepted and failed by its provider's own word is over as well.
                        let over = asked.iter().any(Answer::has_own_words);
                        let again = before.is_certainly_unprocessed(kind) || over || is_local(kind);
                        prop_assert!(again, "{kind}: sent again after {before:?} and {asked:?}");
                    }
                    way.submissions += 1;
                    asked.clear();
                    let answer = nth(submits, &mut submitted);
                    last = Some(answer.clone());
                    Event::Answer(answer.result())
                }
                Step::Send { .. } if run.is_followed() => {
                    let answer = nth(polls, &mut polled);
                    asked.push(answer.clone());
                    Event::Answer(answer.result())
                }
                // A free request before it.
                Step::Send { .. } if !begun => Event::Answer(version()),
                Step::Send { .. } => Event::Answer(nth(fetches, &mut fetched).result()),
                Step::Commit(transitions) => {
                    for transition in transitions {
                        match transition {
                            Transition::Begin { number, .. } => (begun, attempts) = (true, number),
                            Transition::Later { after, progress: p, pictures } => {
                                way.pictures.extend(pictures);
                                now += i64::try_from(after.as_millis()).unwrap();
                                (later, progress) = (true, p);
                            }
                            Transition::Close { status, pictures, .. } => {
                                prop_assert!(way.closed.is_none());
                                way.closed = Some(status);
                                way.pictures.extend(pictures);
                            }
                            Transition::End { status, cost, warnings, failed, .. } => {
                                let amount = cost.amount.map(|a| a.normalize().to_string());
                                let free = amount.as_deref() == Some("0");
                                if free && !is_local(kind) {
                                    let sure = |a: &Answer| a.is_certainly_free(kind) || a.has_own_words();
                                    let all: Vec<&Answer> = last.iter().chain(&asked).collect();
                                    prop_assert!(
                                        all.is_empty() || all.iter().any(|a| sure(a)),
                                        "{kind}: {failed:?} is booked as free after {all:?}"
                                    );
                                }
                                if status == AttemptStatus::Uncertain {
                                    prop_assert!(
                                        !free || is_local(kind),
                                        "{kind}: uncertain, and booked as free"
                                    );
                                }
                                way.warnings.extend(warnings.into_iter().map(|w| w.code));
                                way.ends.push((status, amount));
                            }
                            Transition::Checkpoint { .. } => {}
                        }
                    }
                    Event::Committed
                }
            };
        }
        if !later {
            break;
        }
    }
    prop_assert!(way.closed.is_some(), "{kind}: the job is left open");
    Ok(way)
}

/// What a look-up before a submission brings.
fn version() -> Result<HttpResponse, TransportError> {
    let body = value!({"latest_version": {"id": "abc123"}}).to_string().into_bytes();
    Ok(HttpResponse { status: 200, headers: vec![], body })
}

/// A number of cases that takes seconds, more where `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(4), failure_persistence: None, ..usual }
}

#[test]
fn money_is_never_claimed_as_free_and_nothing_is_sent_again_unless_it_certainly_was_not_processed() {
    for candidate in CANDIDATES.iter() {
        let own = bodies::of(&candidate.kind);
        let answers = || vec(answer(own.clone()), 1..4);
        proptest!(cases(), |(submits in answers(), polls in answers(), fetches in answers())| {
            drive(candidate, &submits, &polls, &fetches)?;
        });
    }
}

fn http(status: u16, body: Vec<u8>) -> Answer {
    Answer::Http { status, headers: vec![], body: Bytes(body), by: By::Provider }
}

#[test]
fn one_post_whatever_a_gateway_says_after_it_may_have_passed_the_request_on() {
    let gateways: [&[u8]; 3] =
        [b"", b"<html><title>Bad gateway</title></html>", b"{\"message\": \"Endpoint request timed out\"}"];
    for candidate in CANDIDATES.iter().filter(|c| !is_local(&c.kind)) {
        for status in [302, 303, 408, 499, 500, 501, 502, 504, 520, 522, 524, 525, 526, 598, 599] {
            for body in gateways {
                let way = drive(candidate, &[http(status, body.to_vec())], &[Answer::Lost], &[Answer::Lost])
                    .unwrap();
                let found = (way.submissions, way.closed, &way.ends[..]);
                let wanted = (1, Some(JobStatus::NeedsReview), &[(AttemptStatus::Uncertain, None)][..]);
                assert_eq!(found, wanted, "{} {status}", candidate.kind);
            }
        }
        let lost = drive(candidate, &[Answer::Lost], &[Answer::Lost], &[Answer::Lost]).unwrap();
        assert_eq!((lost.submissions, lost.closed), (1, Some(JobStatus::NeedsReview)), "{}", candidate.kind);
    }
}

#[test]
fn a_task_whose_end_is_not_known_is_not_free_because_nothing_was_asked_for_at_first() {
    let bfl = CANDIDATES.iter().find(|c| c.kind == "bfl").unwrap();
    let url = "https://api.us1.bfl.ai/v1/get_result?id=I";
    for (cost, booked) in [(value!(0), None), (value!(-0.0), None), (value!(4), Some("0.04".to_owned()))] {
        let body = value!({"id": "I", "polling_url": url, "cost": cost}).to_string().into_bytes();
        let way = drive(bfl, &[http(200, body)], &[Answer::Lost], &[Answer::Lost]).unwrap();
        assert_eq!(way.ends, [(AttemptStatus::Uncertain, booked)]);
    }
}

#[test]
fn what_costs_nothing_is_made_again_when_it_is_lost() {
    let a1111 = CANDIDATES.iter().find(|c| c.kind == "a1111").unwrap();
    let done = http(200, bodies::of("a1111")[0].to_string().into_bytes());
    for lost in [Answer::Lost, http(502, b"<html>".to_vec()), http(504, vec![])] {
        let way = drive(a1111, &[lost, done.clone()], &[Answer::Lost], &[Answer::Lost]).unwrap();
        assert_eq!((way.submissions, way.closed), (2, Some(JobStatus::Succeeded)));
        assert_eq!(way.ends[0], (AttemptStatus::Failed, Some("0".into())));
    }
}

#[test]
fn each_picture_has_its_own_seed_and_fewer_than_asked_are_reported() {
    let a1111 = CANDIDATES.iter().find(|c| c.kind == "a1111").unwrap();
    let png = bodies::PNG;
    // As a number, as a text, and beyond what a double can hold.
    let info = r#"{"seed": 9007199254740993, "all_seeds": [9007199254740993, "9007199254740994", 9]}"#;
    let body = |images: usize| {
        http(200, value!({"images": vec![png; images], "info": info}).to_string().into_bytes())
    };
    let none = [Answer::Lost];
    let way = drive_n(a1111, 3, &[body(3)], &none, &none).unwrap();
    let seeds: Vec<Option<i64>> = way.pictures.iter().map(|p| p.seed).collect();
    assert_eq!(seeds, [Some(9_007_199_254_740_993), Some(9_007_199_254_740_994), Some(9)]);
    assert_eq!(way.warnings, Vec::<String>::new());
    // At a server of one's own the rest is asked for again; where it would be paid for again, it is said.
    let way = drive_n(a1111, 3, &[body(2), body(1)], &none, &none).unwrap();
    assert_eq!((way.submissions, way.pictures.len(), way.warnings), (2, 3, vec![]));
    let openai = CANDIDATES.iter().find(|c| c.kind == "openai").unwrap();
    let image = value!({"b64_json": png});
    let body = http(200, value!({"data": [image, image]}).to_string().into_bytes());
    let way = drive_n(openai, 3, &[body], &none, &none).unwrap();
    let fewer = vec!["seed_ignored".to_owned(), "fewer_pictures".to_owned()];
    assert_eq!((way.submissions, way.pictures.len(), way.warnings), (1, 2, fewer));
}

/// A slip, the bytes with it in them, and the headers.
type Slip = (&'static str, Vec<u8>, Vec<(String, String)>);

/// Ways to spoil JSON that leave it readable for a patient reader.
fn slips(body: &Value) -> Vec<Slip> {
    let text = body.to_string();
    let inner = text.strip_prefix('{').unwrap();
    let plain = |name, text: Vec<u8>| (name, text, vec![]);
    let packed = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let lines = |text: &str| {
        let cut = |picture: &str| {
            picture
                .as_bytes()
                .chunks(40)
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect::<Vec<_>>()
                .join("\\r\\n")
        };
        text.replace(bodies::PNG, &cut(bodies::PNG))
    };
    vec![
        plain("a lone surrogate", format!("{{\"p\":\"\\ud83d\",{inner}").into_bytes()),
        plain("NaN", format!("{{\"t\":NaN,{inner}").into_bytes()),
        plain("Infinity", format!("{{\"t\":[-Infinity],{inner}").into_bytes()),
        plain("a number beyond all bounds", format!("{{\"t\":1e999,{inner}").into_bytes()),
        plain("a huge integer", format!("{{\"t\":{},{inner}", "9".repeat(400)).into_bytes()),
        plain("a byte that is not UTF-8", [&b"{\"p\":\"\xff\","[..], inner.as_bytes()].concat()),
        plain("a byte order mark", [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat()),
        plain("a line break in a text", format!("{{\"p\":\"a\nb\",{inner}").into_bytes()),
        plain("trailing text", format!("{text}\n--boundary").into_bytes()),
        plain("NUL", format!("{{\"p\":\"\\u0000\",{inner}").into_bytes()),
        ("gzip", packed(text.as_bytes()), vec![("content-encoding".into(), "gzip".into())]),
        ("gzip that nobody names", packed(text.as_bytes()), vec![]),
        plain("base64 in lines", lines(&text).into_bytes()),
        plain("base64 without padding", text.replace("==\"", "\"").into_bytes()),
        plain(
            "base64 for URLs",
            text.replace(bodies::PNG, &bodies::PNG.replace('+', "-").replace('/', "_")).into_bytes(),
        ),
        plain(
            "base64 in a data URI",
            text.replace(&format!("\"{}", bodies::PNG), &format!("\"data:image/png;base64,{}", bodies::PNG))
                .into_bytes(),
        ),
    ]
}

#[test]
fn a_picture_that_can_be_read_is_delivered_whatever_slipped_in_the_answer() {
    let png = image_gen_engine::lenient::base64(bodies::PNG).unwrap();
    // The first body of each is a success with images in it.
    for (kind, number) in
        [("openai", 0), ("stability", 0), ("openrouter", 0), ("openrouter", 1), ("google", 0), ("a1111", 0)]
    {
        let body = bodies::of(kind)[number].clone();
        for candidate in CANDIDATES.iter().filter(|c| c.kind == kind) {
            if kind == "stability" && candidate.api.is_some() {
                continue;
            }
            for (slip, bytes, headers) in slips(&body) {
                let answer = Answer::Http { status: 200, headers, body: Bytes(bytes), by: By::Provider };
                let gone = http(404, vec![]);
                let way = drive(candidate, &[answer], &[Answer::Lost], &[gone]).unwrap();
                let found = (way.submissions, way.closed);
                assert_eq!(found, (1, Some(JobStatus::Succeeded)), "{kind}: {slip}");
                assert_eq!(way.pictures[0].bytes.as_ref(), Some(&png), "{kind}: {slip}");
                let named = way.warnings.iter().any(|code| code == "answer_repaired");
                assert_eq!(named, !slip.starts_with("base64"), "{kind}: {slip} {:?}", way.warnings);
            }
        }
    }
}

#[test]
fn a_refusal_with_a_slip_in_it_is_still_a_refusal() {
    let body = value!({"error": {"code": "content_filter", "message": "no"}});
    let openai = CANDIDATES.iter().find(|c| c.kind == "openai").unwrap();
    for (slip, bytes, headers) in slips(&body) {
        let answer = Answer::Http { status: 400, headers, body: Bytes(bytes), by: By::Provider };
        let way = drive(openai, &[answer], &[Answer::Lost], &[Answer::Lost]).unwrap();
        assert_eq!((way.submissions, way.ends[0].0), (1, AttemptStatus::Refused), "{slip}");
    }
}

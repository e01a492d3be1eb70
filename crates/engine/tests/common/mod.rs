//! What the tests of hostile answers share: who reads, what is read, and how it is spoilt.
#![allow(dead_code, reason = "each binary uses a part of it")]

pub mod bodies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use image_gen_engine::candidate::Candidate;
use image_gen_engine::catalogue;
use image_gen_engine::http::HttpResponse;
use image_gen_engine::input::Inputs;
use image_gen_engine::job::{Request, Task};
use image_gen_engine::provider::{Call, Provider, Rejection, Remote, Reply, TABLE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// An adapter with one call of each kind that it reads answers to.
pub struct Reader {
    pub adapter: &'static dyn Provider,
    calls: Vec<(Candidate, Task)>,
}

/// All adapters. Protocols differ by a model's `api`, and some between upscaling and everything else.
pub static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| {
    let calls = |kind: &str| {
        let mut seen = BTreeSet::new();
        let mut calls = vec![];
        for candidate in catalogue::shipped().candidates().filter(|c| c.kind == kind) {
            for task in candidate.operations.iter().copied() {
                if seen.insert((candidate.api.clone(), task == Task::Upscale)) {
                    calls.push((candidate.clone(), task));
                }
            }
        }
        assert!(!calls.is_empty(), "{kind} has no model");
        calls
    };
    TABLE.iter().map(|adapter| Reader { adapter: *adapter, calls: calls(adapter.kind()) }).collect()
});

/// What an answer was taken for.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack of a test")]
pub enum Read {
    Reply(Result<Reply, Rejection>),
    Prerequisite(Result<String, Rejection>),
    Error(Rejection),
    Seconds(Option<f64>),
}

static REQUEST: LazyLock<Request> =
    LazyLock::new(|| serde_json::from_value(json!({"prompt": "a lighthouse", "seed": 7})).unwrap());
static NO_INPUTS: LazyLock<Inputs> = LazyLock::new(Inputs::default);
static NOTHING: LazyLock<BTreeMap<String, String>> = LazyLock::new(BTreeMap::new);
static REMOTES: LazyLock<[Remote; 2]> = LazyLock::new(|| {
    let bare = Remote::new(bodies::ID, "https://x.example/queue");
    let full = Remote {
        result_url: Some("https://x.example/history/I".into()),
        cancel_url: Some("https://x.example/cancel".into()),
        ..bare.clone()
    };
    [bare, full]
});

impl Reader {
    /// Lets the adapter read one answer in every role that it can have. `each` runs a reading and looks at it.
    pub fn read(&self, response: &HttpResponse, mut each: impl FnMut(&str, &dyn Fn() -> Read)) {
        let adapter = self.adapter;
        for (candidate, task) in &self.calls {
            let call = Call {
                task: *task,
                request: &REQUEST,
                candidate,
                inputs: &NO_INPUTS,
                found: &NOTHING,
                tag: "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0-1",
            };
            each("read_submit", &|| Read::Reply(adapter.read_submit(&call, response)));
        }
        for remote in REMOTES.iter() {
            each("read_poll", &|| Read::Reply(adapter.read_poll(remote, response)));
            each("read_result", &|| Read::Reply(adapter.read_result(remote, response)));
        }
        for name in ["image", "version", "controlnet_model"] {
            each("read_prerequisite", &|| Read::Prerequisite(adapter.read_prerequisite(name, response)));
        }
        each("read_error", &|| Read::Error(adapter.read_error(response)));
        each("read_seconds", &|| Read::Seconds(adapter.read_seconds(response)));
    }
}

/// Statuses and headers, each with what means something to some adapter.
pub fn head() -> impl Strategy<Value = (u16, Vec<(String, String)>)> {
    let known: Vec<u16> = vec![
        0, 100, 202, 204, 302, 400, 401, 402, 403, 404, 405, 408, 409, 410, 422, 425, 429, 499, 500, 502,
        503, 504, 529, 599,
    ];
    let status = prop_oneof![6 => Just(200), 1 => 200..300_u16, 4 => select(known), 1 => any::<u16>()];
    let names: Vec<&'static str> = vec![
        "retry-after",
        "retry-after-ms",
        "openai-processing-ms",
        "content-type",
        "x-fal-error-type",
        "x-fal-retryable",
        "x-fal-request-timeout-type",
    ];
    let numbers =
        vec!["0", "-1", "7", "1e308", "inf", "-inf", "NaN", "1e-320", "99999999999999999999", "true"];
    let value = prop_oneof![select(numbers).prop_map(str::to_owned), any::<String>()];
    (status, vec((select(names).prop_map(str::to_owned), value), 0..3))
}

/// Any JSON, with names that adapters look for.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), interesting()];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let name = prop_oneof![9 => select(bodies::names()), 1 => any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((name, inner), 0..6).prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// Values at the edges of what numbers and texts can be.
pub fn edges() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(0.1),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!("79228162514264337593543950335"),
        json!("1e28"),
        json!("1e-999"),
        json!("9".repeat(400)),
        json!(""),
        json!("\0"),
        json!("é\u{202e}🦀"),
        json!("%%"),
        json!("data:image/png;base64,"),
        json!("data:image/png;base64,iVBORw=="),
        json!("iVBORw=="),
        json!("===="),
        json!("https://"),
        json!("https://x.example/y.png?sig=1"),
        json!("https://x.example/\0.png"),
        json!("E005"),
        json!("1e999s"),
        json!("-5s"),
        json!("é".repeat(700)),
        json!("Using seed: 99999999999999999999999"),
        json!("NSFW content detected in image".repeat(9)),
        json!([]),
        json!({}),
        json!([null]),
        json!([[{}]]),
    ]
}

fn interesting() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => select(edges()),
        2 => select(bodies::words()).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
    ]
}

/// The value with another one in the place of all its numbers, of all its texts, and of both.
pub fn replaced(body: &Value, new: &Value) -> [Value; 3] {
    let with = |is_old: fn(&Value) -> bool| {
        let mut body = body.clone();
        each(&mut body, &mut |v| is_old(v).then(|| new.clone()));
        body
    };
    [with(Value::is_number), with(Value::is_string), with(|v| v.is_number() || v.is_string())]
}

/// The value, each time with another one in the place of one of its parts.
pub fn replaced_once(body: &Value, new: &Value) -> Vec<Value> {
    let mut pointers = vec![];
    list(body, "", &mut pointers);
    let with = |pointer: &String| {
        let mut body = body.clone();
        *body.pointer_mut(pointer)? = new.clone();
        Some(body)
    };
    pointers.iter().filter_map(with).collect()
}

/// The value, each time with one of its texts made this long.
pub fn longer(body: &Value, length: usize) -> Vec<Value> {
    let mut pointers = vec![];
    list(body, "", &mut pointers);
    let long = |pointer: &String| {
        let mut body = body.clone();
        let place = body.pointer_mut(pointer).filter(|place| place.is_string())?;
        *place = json!("A".repeat(length));
        Some(body)
    };
    pointers.iter().filter_map(long).collect()
}

/// One way to spoil a JSON value.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, Value),
    Remove(Index),
    Repeat(Index, usize),
    Swap(Index, Index),
    Nest(Index, usize),
    AllNumbers(Value),
    AllTexts(Value),
}

/// One way to spoil a text.
#[derive(Clone, Debug)]
enum Wreck {
    Nothing,
    Cut(Index),
    Insert(Index, Vec<u8>),
    HugeNumber(Index),
    TwiceTheNames,
    Append(Vec<u8>),
}

/// A body that shows itself as text.
#[derive(Clone)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Bytes of one of these bodies, more or less spoilt.
pub fn spoilt(bodies: Vec<Value>) -> impl Strategy<Value = Bytes> {
    let change = prop_oneof![
        6 => (any::<Index>(), interesting()).prop_map(|(at, new)| Change::Replace(at, new)),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), 2..20_usize).prop_map(|(at, times)| Change::Repeat(at, times)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => (any::<Index>(), 1..160_usize).prop_map(|(at, depth)| Change::Nest(at, depth)),
        1 => interesting().prop_map(Change::AllNumbers),
        1 => interesting().prop_map(Change::AllTexts),
    ];
    let wreck = prop_oneof![
        8 => Just(Wreck::Nothing),
        2 => any::<Index>().prop_map(Wreck::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Wreck::Insert(at, bytes)),
        1 => any::<Index>().prop_map(Wreck::HugeNumber),
        1 => Just(Wreck::TwiceTheNames),
        1 => vec(any::<u8>(), 1..9).prop_map(Wreck::Append),
    ];
    (select(bodies), vec(change, 0..4), wreck).prop_map(|(mut body, changes, wreck)| {
        changes.into_iter().for_each(|change| change.apply(&mut body));
        Bytes(wreck.apply(body.to_string().into_bytes()))
    })
}

impl Change {
    fn apply(self, body: &mut Value) {
        match self {
            Change::Replace(at, new) => *place(body, at) = new,
            Change::Remove(at) => {
                if let Value::Object(map) = place(body, at)
                    && let Some(name) = map.keys().next().cloned()
                {
                    map.remove(&name);
                }
            }
            Change::Repeat(at, times) => {
                if let Value::Array(list) = place(body, at) {
                    *list = list.iter().cycle().take(list.len() * times).cloned().collect();
                }
            }
            Change::Swap(a, b) => {
                let first = place(body, a).take();
                let second = std::mem::replace(place(body, b), first);
                *place(body, a) = second;
            }
            Change::Nest(at, depth) => {
                let place = place(body, at);
                *place = (0..depth).fold(place.take(), |inner, _| json!([inner]));
            }
            Change::AllNumbers(new) => each(body, &mut |v| v.is_number().then(|| new.clone())),
            Change::AllTexts(new) => each(body, &mut |v| v.is_string().then(|| new.clone())),
        }
    }
}

impl Wreck {
    fn apply(self, mut text: Vec<u8>) -> Vec<u8> {
        match self {
            Wreck::Nothing => {}
            Wreck::Cut(at) => text.truncate(at.index(text.len() + 1)),
            Wreck::Insert(at, bytes) => {
                let at = at.index(text.len() + 1);
                text.splice(at..at, bytes);
            }
            Wreck::HugeNumber(at) => {
                let digits: Vec<usize> = (0..text.len()).filter(|i| text[*i].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = *at.get(&digits);
                    text.splice(at..at, b"8".repeat(400));
                }
            }
            Wreck::TwiceTheNames => {
                let inner = text.strip_prefix(b"{").and_then(|t| t.strip_suffix(b"}"));
                if let Some(inner) = inner.filter(|i| !i.is_empty()) {
                    text = [b"{", inner, b",", inner, b"}"].concat();
                }
            }
            Wreck::Append(bytes) => text.extend(bytes),
        }
        text
    }
}

/// Some place in a value, the whole of it included.
fn place(value: &mut Value, at: Index) -> &mut Value {
    let mut pointers = vec![String::new()];
    list(value, "", &mut pointers);
    let pointer = at.get(&pointers).clone();
    value.pointer_mut(&pointer).unwrap()
}

fn list(value: &Value, path: &str, pointers: &mut Vec<String>) {
    let mut go = |name: &str, inner: &Value| {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers.push(path.clone());
        list(inner, &path, pointers);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| go(name, inner)),
        Value::Array(all) => all.iter().enumerate().for_each(|(i, inner)| go(&i.to_string(), inner)),
        _ => {}
    }
}

fn each(value: &mut Value, new: &mut impl FnMut(&Value) -> Option<Value>) {
    if let Some(new) = new(value) {
        *value = new;
        return;
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(|inner| each(inner, new)),
        Value::Array(all) => all.iter_mut().for_each(|inner| each(inner, new)),
        _ => {}
    }
}

/// An answer with this head and body.
pub fn answer((status, headers): (u16, Vec<(String, String)>), body: Vec<u8>) -> HttpResponse {
    HttpResponse { status, headers, body }
}

/// All names and all texts of a value.
fn collect(value: &Value, names: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(words.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|inner| collect(inner, names, words)),
        Value::Object(map) => map_all(map, names, words),
        _ => {}
    }
}

fn map_all(map: &Map<String, Value>, names: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    for (name, inner) in map {
        names.insert(name.clone());
        collect(inner, names, words);
    }
}

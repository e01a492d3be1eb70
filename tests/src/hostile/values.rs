//! The values: for each type of an argument a deck of SQL expressions, each of which is dealt before one comes again.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::picture::{data_uri, photo};

/// Expressions of one type.
struct Deck {
    all: Vec<String>,
    left: Vec<usize>,
}

/// The decks, by type.
pub struct Values(HashMap<&'static str, Deck>);

impl Values {
    /// Full decks. `theirs` refers to images of another role.
    pub fn new(theirs: &[String]) -> Self {
        let mut pictures = pictures();
        pictures.extend(theirs.iter().map(|reference| format!("'{reference}'")));
        let decks = [
            ("text[]", lists(&pictures)),
            ("picture", pictures),
            ("text", texts()),
            ("jsonb", documents()),
            ("integer", integers()),
            (
                "bigint",
                owned(&["-1", "9223372036854775807", "(-9223372036854775807 - 1)", "4294967296", "0"]),
            ),
            ("double precision", doubles()),
            ("numeric", numerics()),
            ("timestamp with time zone", times()),
            ("boolean", owned(&["NULL", "false", "true"])),
            ("interval", intervals()),
        ];
        Values(decks.into_iter().map(|(kind, all)| (kind, Deck { all, left: vec![] })).collect())
    }

    /// A value for this argument of this type.
    pub fn of(&mut self, rng: &mut StdRng, name: &str, kind: &str) -> String {
        let pictures = ["image", "mask", "style_image", "reference_image"];
        let kind = if pictures.contains(&name) { "picture" } else { kind };
        let deck = self.0.get_mut(kind).unwrap_or_else(|| panic!("no values of type {kind} for {name}"));
        if deck.left.is_empty() {
            deck.left = (0..deck.all.len()).collect();
            deck.left.shuffle(rng);
        }
        let i = deck.left.pop().expect("not empty");
        deck.all[i].clone()
    }
}

fn owned(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn integers() -> Vec<String> {
    owned(&["0", "-1", "(-2147483647 - 1)", "2147483647", "65537", "16777217", "1", "3", "10000", "NULL"])
}

fn intervals() -> Vec<String> {
    owned(&[
        "interval '0'",
        "interval '-1 day'",
        "interval '1 microsecond'",
        "interval '30 days'",
        "interval '178000000 years'",
        "interval '-178000000 years'",
        "interval '1 month -30 days'",
        "NULL",
    ])
}

fn doubles() -> Vec<String> {
    owned(&[
        "'NaN'::float8",
        "'Infinity'::float8",
        "'-Infinity'::float8",
        "1e308",
        "-1e308",
        "5e-324",
        "-0.0::float8",
    ])
}

fn numerics() -> Vec<String> {
    owned(&[
        "'NaN'::numeric",
        "'Infinity'::numeric",
        "'-Infinity'::numeric",
        "-1",
        "1e1000::numeric",
        "1e-1000::numeric",
        "repeat('9', 131072)::numeric",
        "79228162514264337593543950336",
        "0",
        "0.0000000000000000000000000000001",
    ])
}

fn times() -> Vec<String> {
    owned(&[
        "'infinity'::timestamptz",
        "'-infinity'::timestamptz",
        "'294276-12-31 23:59:59+00'::timestamptz",
        "'4713-01-01 00:00:00+00 BC'::timestamptz",
        "now()",
        "now() + interval '1 microsecond'",
    ])
}

fn texts() -> Vec<String> {
    owned(&[
        "''",
        "' '",
        "NULL",
        "repeat('x', 3000000)",
        "repeat(U&'\\+01F600', 700000)",
        "repeat(U&'e\\0301', 100000)",
        "E'\\x01\\x02\\x1b[2J\\x7f'",
        "E'a\\r\\nX-Injected: yes\\r\\n\\r\\n'",
        "U&'\\202E\\2066\\FEFF\\FFFF\\FFFD'",
        "E'\\xc3\\x28'",
        "chr(1114111)",
        "'%s%n%x {0} ${HOME} $1 {{prompt}}'",
        "E'\\'; DROP TABLE image_gen.jobs; --'",
        "repeat('(', 100000)",
        "repeat('[', 100000)",
        "repeat(E'\\\\', 65536)",
        "'{\"prompt\": {\"prompt\": 1}}'",
        "'../../../../etc/passwd'",
        "'openai:' || repeat('gpt', 100000)",
        "'openai:gpt-image-2'",
        "'bfl:flux-2-pro?x=1#y'",
        "':'",
        "'0:0'",
        "'99999999999999999999999:1'",
        "'-1:2'",
        "'1e308:1e-308'",
        "'NaN:Infinity'",
        "'16:9:4'",
        "'HIGH'",
        "'generate'",
        "'edit'",
        "repeat('0', 255)",
    ])
}

fn documents() -> Vec<String> {
    let mut all = owned(&[
        "'null'::jsonb",
        "'0'::jsonb",
        "'\"text\"'::jsonb",
        "'[]'::jsonb",
        "'[[{}]]'::jsonb",
        "'{\"a\": 1e400}'::jsonb",
        "'{\"a\": -1e131071}'::jsonb",
        "'{\"a\": 1e-16383}'::jsonb",
        "jsonb_build_object('n', repeat('9', 100000)::numeric)",
        "jsonb_build_object('seed', 18446744073709551616, 'n', 1e30, 'width', -1e30, 'steps', 1e400::numeric)",
        "jsonb_build_object('a', repeat('x', 3000000))",
        "jsonb_build_object(repeat('k', 1000000), 1)",
        "jsonb_build_object('', '', E'\\x01', E'\\x01', '__proto__', '{}'::jsonb)",
        "(SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 50000) i)",
        "jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 200000) i))",
        "'{\"prompt\": 7, \"model\": [], \"n\": 1000000000, \"width\": \"x\", \"image\": {}}'::jsonb",
        "'{\"prompt\": \"\\u001b\\ud83d\\ude00\", \"webhook_url\": \"http://169.254.169.254/latest\"}'::jsonb",
        "'{\"order\": [1, null, {}], \"only\": \"x\", \"ignore\": {\"a\": []}, \"fallbacks\": -1}'::jsonb",
        "'{\"order\": [\"nowhere\", \"openai\", \"openai\"], \"max_price\": {\"image\": 1e400}}'::jsonb",
        "jsonb_build_object('order', (SELECT jsonb_agg('p' || i) FROM generate_series(1, 100000) i))",
        "'{\"campaign\": {\"a\": []}, \"shot\": [1], \"ticket\": null}'::jsonb",
        "jsonb_build_object('openai', jsonb_build_object('size', repeat('9', 300) || 'x1'), 'bfl', 7, 'fal', NULL)",
    ]);
    // Readers differ in how deep they go: at and beside 128, and far beyond.
    for depth in [126, 127, 128, 129, 500, 3000, 6000] {
        all.push(format!("(repeat('[', {depth}) || repeat(']', {depth}))::jsonb"));
        all.push(format!("(repeat('{{\"a\":', {depth}) || '1' || repeat('}}', {depth}))::jsonb"));
        all.push(format!("jsonb_build_object('bfl', (repeat('[', {depth}) || repeat(']', {depth}))::jsonb)"));
        all.push(format!(
            "jsonb_build_object('x', (repeat('{{\"a\":', {depth}) || '1' || repeat('}}', {depth}))::jsonb)"
        ));
    }
    all
}

/// Each image alone and beside another one, and what is no list of images at all.
fn lists(pictures: &[String]) -> Vec<String> {
    let one = |picture: &String| format!("ARRAY[{picture}]::text[]");
    let two = |pair: &[String]| format!("ARRAY[{}, {}]::text[]", pair[0], pair[1]);
    let mut all = owned(&[
        "NULL",
        "'{}'::text[]",
        "'{NULL}'::text[]",
        "'{asset:1,NULL}'::text[]",
        "array_fill('asset:1'::text, ARRAY[1000000])",
        "array_fill('asset:1'::text, ARRAY[2, 2, 2])",
        "'[7:8]={asset:1,asset:1}'::text[]",
        "array_fill(repeat('x', 1000), ARRAY[1000])",
    ]);
    all.extend(pictures.iter().map(one));
    all.extend(pictures.chunks_exact(2).map(two));
    all
}

fn pictures() -> Vec<String> {
    let whole = photo(64, 64, 99);
    let uri = data_uri(&whole);
    let of = |bytes: &[u8]| format!("'data:image/png;base64,{}'", STANDARD.encode(bytes));
    let mut all = owned(&[
        "NULL",
        "''",
        "'asset:0'",
        "'asset:-1'",
        "'asset:9223372036854775807'",
        "'asset:9223372036854775808'",
        "'asset:99999999999999999999999999999999'",
        "'asset:1 OR true'",
        "'job:'",
        "'job:gen_00000000000000000000000000'",
        "'job:gen_' || repeat('z', 26)",
        "'job:gen_' || repeat('z', 1000000)",
        "'job:gen_' || repeat(chr(233), 13)",
        "'image-gen:sha256:' || repeat('0', 64)",
        "'image-gen:sha256:' || repeat('0', 1000000)",
        "'http://169.254.169.254/latest/meta-data'",
        "'http://[::ffff:169.254.169.254]/'",
        "'file:///etc/passwd'",
        "'http://' || repeat('a', 3000000)",
        "'data:'",
        "'data:image/png;base64,'",
        "'data:image/png;base64,===='",
        "'data:image/svg+xml;base64,' || encode(convert_to(repeat('<g>', 10000), 'UTF8'), 'base64')",
        "'data:image/png;base64,' || repeat('A', 6000000)",
        "'data:image/png;base64,' || repeat('!', 3000000)",
        "'data:text/plain,hello'",
        "repeat('x', 3000000)",
        "E'data:image/png;base64,\\n\\tAAAA'",
    ]);
    all.push(format!("'{}'", &uri[..uri.len() - 3]));
    all.push(format!("'{}'", &uri[..uri.len() / 2]));
    // Cut within the file's head, its first chunk and its pixels.
    for length in [4, 8, 20, 33, 40, whole.len() / 2, whole.len() - 1] {
        all.push(of(&whole[..length]));
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    all.push(of(&flipped));
    // Heads that claim more than there is, with checksums that are right.
    for (width, height) in
        [(10_000_000, 10_000_000), (40_000, 40_000), (u32::MAX >> 1, 1), (16_383, 16_383), (0, 7)]
    {
        all.extend([(1, 0), (8, 2), (16, 6)].map(|(bits, colour)| of(&claim(width, height, bits, colour))));
    }
    // The heads of other formats with nothing behind them.
    let heads: [&[u8]; 5] = [
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
        b"GIF89a\xff\xff\xff\xff\xf7\x00\x00",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff",
        b"BM\xff\xff\xff\xff\x00\x00\x00\x00",
        b"II*\x00\xff\xff\xff\xff",
    ];
    all.extend(heads.map(of));
    all
}

/// A PNG of 64 bytes of data that says it is this large.
fn claim(width: u32, height: u32, bits: u8, colour: u8) -> Vec<u8> {
    let mut head = [width.to_be_bytes(), height.to_be_bytes()].concat();
    head.extend([bits, colour, 0, 0, 0]);
    let chunks: [(&[u8; 4], &[u8]); 3] = [(b"IHDR", &head), (b"IDAT", &[0x78; 64]), (b"IEND", &[])];
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        let body = [name.as_slice(), data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&body);
        file.extend(crc32(&body).to_be_bytes());
    }
    file
}

/// The checksum of a PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

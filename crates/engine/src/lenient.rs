//! Answers that are paid for and slightly wrong are read all the same, in bounded memory, and what was wrong is named.
//!
//! A strict reader throws a paid image away for one bad byte. So an answer is repaired first, in one pass that costs
//! nothing where there is nothing to repair; then the ordinary parser reads it, with its bound on depth.

use std::borrow::Cow;
use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::http::HttpResponse;

/// What was wrong with an answer, in words for a warning.
pub type Slips = Vec<&'static str>;

/// The slip of an answer that was compressed.
pub const COMPRESSED: &str = "it was compressed, which was not asked for";
const BOM: &str = "it began with a byte order mark";
const ENCODING: &str = "it had bytes that are not UTF-8";
const SURROGATE: &str = "it had half a character (a lone surrogate)";
const NUL: &str = "it had the character NUL";
const ESCAPE: &str = "it had an escape that JSON does not have";
const CONTROL: &str = "it had control characters within a text";
const NUMBER: &str = "it had a number that is none (NaN, Infinity, or beyond all bounds)";
const TRAILING: &str = "something followed its end";

/// The bytes of an answer without a compression that was not asked for: by its `content-encoding`, or by its first bytes.
/// `None` where they are not compressed, or not in a way that is understood. Never more than `max_bytes`.
pub fn inflated(response: &HttpResponse, max_bytes: usize) -> Option<Vec<u8>> {
    let body = response.body.as_slice();
    let named = response.header("content-encoding").unwrap_or_default().trim().to_ascii_lowercase();
    let mut bytes = vec![];
    let most = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    // A stream that is cut off or has something behind it still has what came before.
    let _ = if body.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(body).take(most).read_to_end(&mut bytes)
    } else if named == "deflate" {
        ZlibDecoder::new(body).take(most).read_to_end(&mut bytes)
    } else {
        return None;
    };
    (!bytes.is_empty() && bytes.len() <= max_bytes).then_some(bytes)
}

/// The JSON of an answer made fit to be parsed, and what was wrong with it. What is right is not copied.
pub fn repaired(body: &[u8]) -> (Cow<'_, [u8]>, Slips) {
    let mut slips = vec![];
    let mut body = Cow::Borrowed(body);
    if let Cow::Borrowed(bytes) = body
        && let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf")
    {
        slips.push(BOM);
        body = Cow::Borrowed(rest);
    }
    if std::str::from_utf8(&body).is_err() {
        slips.push(ENCODING);
        body = Cow::Owned(String::from_utf8_lossy(&body).into_owned().into_bytes());
    }
    let mut repair = Repair { text: &body, at: 0, out: None, slips };
    repair.run();
    let Repair { out, slips, .. } = repair;
    match out {
        Some(out) => (Cow::Owned(out), slips),
        None => (body, slips),
    }
}

/// One pass over a text that should be JSON. Nothing is copied before something has to be changed.
struct Repair<'a> {
    text: &'a [u8],
    at: usize,
    /// What was written so far, once it differs from what was read.
    out: Option<Vec<u8>>,
    slips: Slips,
}

impl Repair<'_> {
    fn run(&mut self) {
        let mut depth = 0_i64;
        while let Some(byte) = self.text.get(self.at).copied() {
            match byte {
                b'"' => {
                    self.keep(1);
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.keep(1);
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.keep(1);
                    if depth == 0 {
                        return self.end();
                    }
                }
                b'N' | b'I' | b'+' | b'-' | b'0'..=b'9' => self.number(),
                _ => self.keep(1),
            }
        }
    }

    /// Behind the outermost bracket nothing counts.
    fn end(&mut self) {
        if self.text[self.at..].iter().any(|b| !b.is_ascii_whitespace()) {
            self.slip(TRAILING);
            let end = self.at;
            let text = self.text;
            self.out.get_or_insert_with(|| text[..end].to_vec());
        }
    }

    /// The inside of a text, up to its closing quote.
    fn string(&mut self) {
        while let Some(byte) = self.text.get(self.at).copied() {
            match byte {
                b'"' => return self.keep(1),
                b'\\' => self.escape(),
                0..=0x1f => {
                    self.slip(CONTROL);
                    self.replace(1, b" ");
                }
                _ => {
                    // Images in base64 are long: one step for all of it.
                    let rest = &self.text[self.at..];
                    let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
                    self.keep(plain.unwrap_or(rest.len()));
                }
            }
        }
    }

    fn escape(&mut self) {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.keep(2),
            Some(b'u') => match self.unit(self.at) {
                // Postgres can store it in no text.
                Some(0) => {
                    self.slip(NUL);
                    self.replace(6, b"\\ufffd");
                }
                Some(0xd800..=0xdbff) if matches!(self.unit(self.at + 6), Some(0xdc00..=0xdfff)) => {
                    self.keep(12);
                }
                Some(0xd800..=0xdfff) => {
                    self.slip(SURROGATE);
                    self.replace(6, b"\\ufffd");
                }
                Some(_) => self.keep(6),
                None => {
                    self.slip(ESCAPE);
                    self.replace(2, b"\\\\u");
                }
            },
            // The backslash was meant.
            Some(_) => {
                self.slip(ESCAPE);
                self.replace(1, b"\\\\");
            }
            None => self.keep(1),
        }
    }

    /// The UTF-16 unit of the escape at this place.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// A number, or a word where one should be.
    fn number(&mut self) {
        let rest = &self.text[self.at..];
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let length = rest.iter().position(|b| !is_part(b)).unwrap_or(rest.len()).max(1);
        let word = &rest[..length];
        let bare = word.strip_prefix(b"-").or(word.strip_prefix(b"+")).unwrap_or(word);
        let is_none = [&b"NaN"[..], b"Infinity", b"Inf"].contains(&bare);
        // Beyond what a number can hold is only what has an exponent or hundreds of digits.
        let may_be_beyond = length > 300 || word.iter().any(|b| matches!(b, b'e' | b'E'));
        let is_beyond = may_be_beyond && serde_json::from_slice::<f64>(word).is_err();
        if is_none || is_beyond {
            self.slip(NUMBER);
            self.replace(length, b"null");
        } else {
            self.keep(length);
        }
    }

    fn keep(&mut self, length: usize) {
        let end = (self.at + length).min(self.text.len());
        if let Some(out) = &mut self.out {
            out.extend_from_slice(&self.text[self.at..end]);
        }
        self.at = end;
    }

    fn replace(&mut self, length: usize, with: &[u8]) {
        let (text, at) = (self.text, self.at);
        self.out.get_or_insert_with(|| text[..at].to_vec()).extend_from_slice(with);
        self.at = (at + length).min(text.len());
    }

    fn slip(&mut self, slip: &'static str) {
        if !self.slips.contains(&slip) {
            self.slips.push(slip);
        }
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// The bytes of base64, bare or in a `data:` URI: with or without padding, in either alphabet, broken into lines or not.
/// What follows its end is left out. `None` where there is none.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let bare = match text.trim_start().strip_prefix("data:") {
        Some(uri) => uri.split_once(',').map_or("", |(_, data)| data),
        None => text,
    };
    let strict = base64::engine::general_purpose::STANDARD.decode(bare);
    strict.ok().or_else(|| loose(bare)).filter(|bytes| !bytes.is_empty())
}

fn loose(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' => plain.push(b'+'),
            b'_' => plain.push(b'/'),
            b'+' | b'/' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => plain.push(byte),
            b if b.is_ascii_whitespace() => {}
            // Padding, or what does not belong to it.
            _ => break,
        }
    }
    if plain.len() % 4 == 1 {
        plain.pop();
    }
    BASE64.decode(plain).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::{Value, json};

    use super::*;

    fn read(body: &[u8]) -> (Value, Slips) {
        let (body, slips) = repaired(body);
        (serde_json::from_slice(&body).unwrap_or(Value::Null), slips)
    }

    #[test]
    fn what_is_right_is_neither_changed_nor_copied() {
        let text = json!({"a": [1, -2.5, 1e10, 123_456_789_012_345_678_u64, true, null], "b": "é\u{1f600} \"\\\n", "c": {}});
        let body = text.to_string().into_bytes();
        let (same, slips) = repaired(&body);
        assert!(matches!(same, Cow::Borrowed(_)) && slips.is_empty());
        assert_eq!(read(br#"{"a":"\ud83d\ude00"}"#), (json!({"a": "\u{1f600}"}), vec![]));
        assert_eq!(read(b"[1]\r\n"), (json!([1]), vec![]));
    }

    #[test]
    fn one_slip_does_not_throw_the_rest_away_and_is_named() {
        for (body, value, slip) in [
            (
                &b"{\"p\":\"\\ud83d!\",\"b64\":\"iVBO\"}"[..],
                json!({"p": "\u{fffd}!", "b64": "iVBO"}),
                SURROGATE,
            ),
            (b"{\"p\":\"\\ude00\"}", json!({"p": "\u{fffd}"}), SURROGATE),
            (b"{\"p\":\"\\ud83d\\ud83d\\ude00\"}", json!({"p": "\u{fffd}\u{1f600}"}), SURROGATE),
            (b"{\"t\":NaN,\"x\":1}", json!({"t": null, "x": 1}), NUMBER),
            (b"{\"t\":-Infinity,\"x\":[Infinity]}", json!({"t": null, "x": [null]}), NUMBER),
            (b"{\"t\":1e999,\"x\":1}", json!({"t": null, "x": 1}), NUMBER),
            (b"{\"p\":\"a\xffb\",\"x\":1}", json!({"p": "a\u{fffd}b", "x": 1}), ENCODING),
            (b"\xef\xbb\xbf{\"x\":1}", json!({"x": 1}), BOM),
            (b"{\"x\":\"a\nb\"}", json!({"x": "a b"}), CONTROL),
            (b"{\"x\":\"\\u0000\"}", json!({"x": "\u{fffd}"}), NUL),
            (b"{\"x\":\"\\x41 \\u12\"}", json!({"x": "\\x41 \\u12"}), ESCAPE),
            (b"{\"x\":1} trailing }", json!({"x": 1}), TRAILING),
            (b"{\"x\":1}{\"x\":2}", json!({"x": 1}), TRAILING),
        ] {
            assert_eq!(read(body), (value, vec![slip]), "{}", String::from_utf8_lossy(body));
        }
        let all = b"\xef\xbb\xbf{\"a\":\"\\ud83d\xff\",\"b\":NaN}x";
        assert_eq!(read(all).0, json!({"a": "\u{fffd}\u{fffd}", "b": null}));
        assert_eq!(read(all).1.len(), 5);
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for body in
            [&b""[..], b"<html>no</html>", b"{\"a\":", b"\"", b"\\", b"\"\\", b"}{", b"[[[[", b"nul", b"-"]
        {
            assert_eq!(read(body).0, Value::Null, "{body:?}");
        }
        let deep = [b"[".repeat(4000), b"]".repeat(4000)].concat();
        assert_eq!(read(&deep).0, Value::Null, "depth is bounded");
    }

    #[test]
    fn compression_that_was_not_asked_for_is_undone_within_bounds() {
        let packed = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        let answer = |headers, body| HttpResponse { status: 200, headers, body };
        let text = b"{\"x\":1}".repeat(100);
        assert_eq!(inflated(&answer(vec![], packed(&text)), 1000).as_deref(), Some(&text[..]));
        assert_eq!(inflated(&answer(vec![], packed(&text)), 699), None, "it would be larger than allowed");
        assert_eq!(inflated(&answer(vec![], text.clone()), 1000), None);
        let named = vec![("content-encoding".to_owned(), "gzip".to_owned())];
        assert_eq!(inflated(&answer(named, text.clone()), 1000), None, "the bytes count, not the header");
        let bomb = packed(&vec![0; 8 << 20]);
        assert!(bomb.len() < 16 << 10);
        assert_eq!(inflated(&answer(vec![], bomb), 1 << 20), None);
        let mut zlib = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let deflate = vec![("content-encoding".to_owned(), "deflate".to_owned())];
        assert_eq!(inflated(&answer(deflate, zlib.finish().unwrap()), 1000).as_deref(), Some(&text[..]));
    }

    #[test]
    fn base64_is_read_however_it_is_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        let standard = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let lines: Vec<String> =
            standard.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        for text in [
            standard.clone(),
            standard.trim_end_matches('=').to_owned(),
            standard.replace('+', "-").replace('/', "_"),
            lines.join("\n"),
            lines.join("\r\n") + "\r\n",
            format!("data:image/png;base64,{standard}"),
            format!("data:image/png;charset=utf-8;base64,{}", lines.join("\n")),
            format!(" {standard} \n"),
            format!("{standard}\"}}"),
        ] {
            assert_eq!(base64(&text).as_ref(), Some(&bytes), "{text}");
        }
        for none in ["", "=", "====", "%%", "data:image/png;base64,", "data:", "\u{e9}"] {
            assert_eq!(base64(none), None, "{none}");
        }
    }
}

//! Keys are taken out of every text that is kept, logged or shown, in whatever form a service repeats them.
//!
//! A provider, or a proxy before it, can put the key of a request into its answer: as it is, in other letter case, in
//! hexadecimal or base64, with JSON, percent or HTML escapes, wrapped over lines, or cut in the middle. All of these are looked
//! for in the text as it is and in what its escapes stand for, in time proportional to its length.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::secret::Key;

/// A key that is shorter cannot be told from a word, and is not looked for.
pub const SHORTEST_KEY: usize = 8;
/// As much of the beginning of a key at the end of a text is taken for a key that was cut.
const SHORTEST_START: usize = 6;
/// How often escapes are taken for escaped themselves (`%2573` is `%73` is `s`).
const DEPTH: usize = 3;
/// The most keys that are remembered; what was loaded last comes first.
const MOST_KEYS: usize = 256;
const MASK: &[u8] = b"***";

/// Finds keys in texts, and puts `***` in their place.
#[derive(Debug, Default)]
pub struct Redactor {
    keys: Vec<Key>,
    /// Forms in which case means nothing, in lower case: the key itself, and its hexadecimal digits.
    folded: Needles,
    /// Forms in which it does: base64.
    exact: Needles,
}

#[derive(Debug, Default)]
struct Needles {
    texts: Vec<Vec<u8>>,
    automaton: Option<AhoCorasick>,
}

impl Needles {
    fn new(texts: HashSet<Vec<u8>>, folded: bool) -> Self {
        let texts: Vec<Vec<u8>> = texts.into_iter().collect();
        // Fails only where there are more needles than its numbers can count.
        let automaton = AhoCorasick::builder().ascii_case_insensitive(folded).build(&texts).ok();
        Needles { automaton: automaton.filter(|_| !texts.is_empty()), texts }
    }

    /// All of them, also those that begin within another one.
    fn found<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        self.automaton.iter().flat_map(move |all| all.find_overlapping_iter(text)).map(|found| found.range())
    }
}

impl Redactor {
    /// One that knows these keys. Addresses are no secrets, and keys of less than [`SHORTEST_KEY`] characters are words.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut known: Vec<Key> = vec![];
        for key in keys {
            let is_secret = secrets(&key).next().is_some();
            if is_secret && known.len() < MOST_KEYS && !known.iter().any(|k| k.reveal() == key.reveal()) {
                known.push(key);
            }
        }
        let (mut folded, mut exact) = (HashSet::new(), HashSet::new());
        for secret in known.iter().flat_map(secrets) {
            folded.insert(secret.to_ascii_lowercase().into_bytes());
            folded.insert(secret.bytes().flat_map(hexadecimal).collect());
            exact.extend(base64_forms(secret.as_bytes()));
        }
        Redactor { keys: known, folded: Needles::new(folded, true), exact: Needles::new(exact, false) }
    }

    /// This one with further keys. Those of before are still looked for: an answer may repeat what was in use when it was
    /// asked for.
    pub fn with(&self, keys: impl IntoIterator<Item = Key>) -> Self {
        Redactor::new(keys.into_iter().chain(self.keys.iter().cloned()))
    }

    /// True when it looks for this key, or has no reason to.
    pub fn covers(&self, key: &Key) -> bool {
        secrets(key).next().is_none() || self.keys.iter().any(|known| known.reveal() == key.reveal())
    }

    /// Takes the keys out of a text.
    pub fn clean(&self, text: &mut String) {
        if let Some(clean) = self.cleaned(text.as_bytes()) {
            *text = String::from_utf8_lossy(&clean).into_owned();
        }
    }

    /// Takes the keys out of a text that was cut to fit, and the beginning of one that it ends with.
    pub fn clean_excerpt(&self, text: &mut String) {
        if let Some(clean) = self.cleaned_excerpt(text.as_bytes()) {
            *text = String::from_utf8_lossy(&clean).into_owned();
        }
    }

    /// Bytes without the keys; `None` when there is nothing to take out.
    pub fn cleaned(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.search_all(text, false)
    }

    /// The same of bytes that were cut, with the beginning of a key that they end with.
    pub fn cleaned_excerpt(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.search_all(text, true)
    }

    fn search_all(&self, text: &[u8], is_excerpt: bool) -> Option<Vec<u8>> {
        if self.keys.is_empty() {
            return None;
        }
        let mut secret: Vec<Range<usize>> = vec![];
        let mut layer = Layer::of(text);
        for _ in 0..=DEPTH {
            self.search(&layer, &mut secret);
            if is_excerpt {
                secret.extend(self.cut_key(&layer.bytes).map(|range| layer.at(range)));
            }
            // A key that was wrapped.
            self.search(&layer.without_space(), &mut secret);
            match layer.decoded() {
                Some(decoded) => layer = decoded,
                None => break,
            }
        }
        replaced(text, secret)
    }

    fn search(&self, layer: &Layer, secret: &mut Vec<Range<usize>>) {
        let found = self.folded.found(&layer.bytes).chain(self.exact.found(&layer.bytes));
        secret.extend(found.map(|range| layer.at(range)));
    }

    /// The beginning of a key with which the text ends.
    fn cut_key(&self, text: &[u8]) -> Option<Range<usize>> {
        // What was cut may say so, and the cut may be in an escape.
        let mut end = text.len();
        for mark in ["\u{2026}".as_bytes(), b"...", b"\"", b"'"] {
            end = text[..end].strip_suffix(mark).map_or(end, <[u8]>::len);
        }
        let escape =
            text[..end].iter().rposition(|b| matches!(b, b'%' | b'\\' | b'&')).filter(|at| end - at <= 7);
        [Some(end), escape].into_iter().flatten().find_map(|end| {
            let longest = |needles: &Needles, same: fn(&[u8], &[u8]) -> bool| {
                let starts = needles.texts.iter().filter_map(|needle| {
                    (SHORTEST_START..needle.len().min(end + 1))
                        .rev()
                        .find(|n| same(&text[end - n..end], &needle[..*n]))
                });
                starts.max()
            };
            let folded = longest(&self.folded, <[u8]>::eq_ignore_ascii_case);
            let found = folded.max(longest(&self.exact, |a, b| a == b));
            found.map(|n| end - n..text.len())
        })
    }
}

/// What of a key is secret: all of it, and of `user:password` the password.
fn secrets(key: &Key) -> impl Iterator<Item = &str> {
    let text = key.reveal();
    let is_address = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    let password = text.split_once(':').map(|(_, password)| password);
    let long = |secret: &&str| secret.len() >= SHORTEST_KEY;
    [Some(text), password].into_iter().flatten().filter(move |_| !is_address).filter(long)
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// What base64 makes of a secret within other text, without the digits that depend on what is beside it: three ways to be
/// aligned, two alphabets.
fn base64_forms(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3_usize).flat_map(move |before| {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
        let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)]
            .map(|encoded| encoded.as_bytes().get(first..last).unwrap_or_default().to_vec())
    })
}

/// A text, and where in the original each of its bytes comes from.
struct Layer {
    bytes: Vec<u8>,
    from: Vec<Range<usize>>,
}

impl Layer {
    fn of(text: &[u8]) -> Self {
        Layer { bytes: text.to_vec(), from: (0..text.len()).map(|at| at..at + 1).collect() }
    }

    fn at(&self, range: Range<usize>) -> Range<usize> {
        let of = |at: usize| self.from.get(at).cloned().unwrap_or_default();
        of(range.start).start..of(range.end.saturating_sub(1)).end
    }

    fn without_space(&self) -> Layer {
        let kept = self.bytes.iter().zip(&self.from).filter(|(byte, _)| !byte.is_ascii_whitespace());
        let (bytes, from) = kept.map(|(byte, from)| (*byte, from.clone())).unzip();
        Layer { bytes, from }
    }

    /// What its escapes stand for; `None` when it has none.
    fn decoded(&self) -> Option<Layer> {
        if !self.bytes.iter().any(|b| matches!(b, b'%' | b'\\' | b'&')) {
            return None;
        }
        let (mut bytes, mut from) =
            (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.bytes.len()));
        let (mut at, mut changed) = (0, false);
        while let Some(byte) = self.bytes.get(at) {
            let escape = matches!(byte, b'%' | b'\\' | b'&').then(|| escape(&self.bytes[at..])).flatten();
            let length = escape.map_or(1, |(_, length)| length);
            let source = self.at(at..at + length);
            let mut room = [0; 4];
            let meant = match escape {
                Some((Meant::Byte(byte), _)) => {
                    room[0] = byte;
                    &room[..1]
                }
                Some((Meant::Char(char), _)) => char.encode_utf8(&mut room).as_bytes(),
                None => std::slice::from_ref(byte),
            };
            changed |= escape.is_some();
            bytes.extend_from_slice(meant);
            from.extend(std::iter::repeat_n(source, meant.len()));
            at += length;
        }
        changed.then_some(Layer { bytes, from })
    }
}

#[derive(Clone, Copy)]
enum Meant {
    Byte(u8),
    Char(char),
}

/// The escape with which a text begins, and its length: `%73`, `\u0073`, `\u{73}`, `\x73`, `\/`, `&#115;`, `&#x73;`, `&amp;`.
fn escape(text: &[u8]) -> Option<(Meant, usize)> {
    let digits = |range: Range<usize>, radix| {
        let digits = std::str::from_utf8(text.get(range)?).ok()?;
        // A sign is no digit.
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let until = |end: u8, from: usize| {
        text.iter().take(from + 10).skip(from).position(|b| *b == end).map(|n| from + n)
    };
    let char = |code: Option<u32>, length| Some((Meant::Char(char::from_u32(code?)?), length));
    let byte = |code: Option<u32>, length| Some((Meant::Byte(u8::try_from(code?).ok()?), length));
    match (text.first()?, text.get(1)?, text.get(2)) {
        (b'%', ..) => byte(digits(1..3, 16), 3),
        (b'\\', b'u', Some(b'{')) => until(b'}', 3).and_then(|end| char(digits(3..end, 16), end + 1)),
        (b'\\', b'u' | b'U', _) => char(digits(2..6, 16), 6),
        (b'\\', b'x', _) => byte(digits(2..4, 16), 4),
        (b'\\', b'/' | b'"' | b'\'' | b'\\', _) => Some((Meant::Byte(text[1]), 2)),
        (b'&', b'#', Some(b'x' | b'X')) => until(b';', 3).and_then(|end| char(digits(3..end, 16), end + 1)),
        (b'&', b'#', _) => until(b';', 2).and_then(|end| char(digits(2..end, 10), end + 1)),
        (b'&', ..) => {
            const NAMED: [(&[u8], u8); 5] =
                [(b"&amp;", b'&'), (b"&quot;", b'"'), (b"&apos;", b'\''), (b"&lt;", b'<'), (b"&gt;", b'>')];
            let (name, byte) = NAMED.into_iter().find(|(name, _)| text.starts_with(name))?;
            Some((Meant::Byte(byte), name.len()))
        }
        _ => None,
    }
}

/// The text with a mask in the place of what is secret.
fn replaced(text: &[u8], mut secret: Vec<Range<usize>>) -> Option<Vec<u8>> {
    if secret.is_empty() {
        return None;
    }
    secret.sort_by_key(|range| (range.start, range.end));
    let mut clean = Vec::with_capacity(text.len());
    let mut done = 0;
    for range in secret {
        if range.start >= done {
            clean.extend_from_slice(&text[done..range.start]);
            clean.extend_from_slice(MASK);
        }
        done = done.max(range.end);
    }
    clean.extend_from_slice(&text[done..]);
    Some(clean)
}

#[cfg(test)]
mod tests;

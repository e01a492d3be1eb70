//! What a manifest store of C2PA claims. Its boxes are walked without recursion, and of the CBOR and the certificates in them
//! only single texts are looked for: a description for people, and no proof.

use super::{Credentials, find, iri, line};

/// The most boxes that are looked at.
const MOST_BOXES: usize = 10_000;
/// The most boxes that lie in each other.
const DEEPEST: usize = 16;

/// What the last manifest of a store, which is the active one, claims.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub credentials: Credentials,
    pub digital_source_type: Option<String>,
}

/// Reads boxes; `None` where none of them is a store of C2PA.
pub(super) fn read(boxes: &[u8]) -> Option<Manifest> {
    let mut manifest = Manifest::default();
    let mut is_store = false;
    // Where each box that is open ends, and what it is labelled.
    let mut open: Vec<(usize, &[u8])> = vec![];
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        while open.last().is_some_and(|(end, _)| *end <= at) {
            open.pop();
        }
        let limit = open.last().map_or(boxes.len(), |(end, _)| *end);
        let Some((name, body, end)) = next(boxes, at, limit) else {
            // The rest of this box is not understood: on with what follows it.
            match open.pop() {
                Some((end, _)) => at = end,
                None => break,
            }
            continue;
        };
        let label = open.last().map_or(&b""[..], |(_, label)| *label);
        match name {
            b"jumb" if open.len() < DEEPEST => {
                let label = label_of(boxes, body, end).unwrap_or_default();
                is_store |= label == b"c2pa";
                if open.len() == 1 && is_store {
                    // A later manifest; the active one is the last.
                    manifest = Manifest::default();
                }
                open.push((end, label));
                at = body;
                continue;
            }
            b"cbor" => look(&mut manifest, label, &boxes[body..end]),
            _ => {}
        }
        at = end;
    }
    is_store.then_some(manifest)
}

/// The box at a place: its type, where its body begins and where it ends, within the limit.
fn next(boxes: &[u8], at: usize, limit: usize) -> Option<(&[u8; 4], usize, usize)> {
    let head = boxes.get(at..limit)?.first_chunk::<8>()?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let name = boxes[at + 4..].first_chunk::<4>()?;
    let (head, length) = match length {
        0 => (8, limit - at),
        1 => (16, usize::try_from(u64::from_be_bytes(*boxes.get(at + 8..limit)?.first_chunk()?)).ok()?),
        length => (8, usize::try_from(length).ok()?),
    };
    let end = at.checked_add(length)?;
    (length >= head && end <= limit).then_some((name, at + head, end))
}

/// The label of a superbox: in its first box, after a UUID and a byte of flags.
fn label_of(boxes: &[u8], at: usize, limit: usize) -> Option<&[u8]> {
    let (name, body, end) = next(boxes, at, limit)?;
    if name != b"jumd" {
        return None;
    }
    let rest = boxes.get(body + 17..end)?;
    Some(&rest[..rest.iter().position(|b| *b == 0)?])
}

/// Looks for what is told of a box of CBOR.
fn look(manifest: &mut Manifest, label: &[u8], cbor: &[u8]) {
    let Manifest { credentials, digital_source_type } = manifest;
    if label.starts_with(b"c2pa.actions") {
        *digital_source_type =
            digital_source_type.take().or_else(|| iri(text_after(cbor, b"digitalSourceType")?));
    } else if label.starts_with(b"c2pa.claim") {
        let info = || {
            let at = find(cbor, b"claim_generator_info")?;
            text_after(&cbor[at..], b"name").and_then(line)
        };
        credentials.claim_generator = text_after(cbor, b"claim_generator")
            .and_then(line)
            .or_else(info)
            .or(credentials.claim_generator.take());
    } else if label.starts_with(b"c2pa.signature") {
        credentials.signer = signer(cbor).or(credentials.signer.take());
    }
}

/// The text that stands for a key in CBOR: text strings carry their length in front.
fn text_after<'a>(cbor: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut from = 0;
    while let Some(found) = find(&cbor[from..], key) {
        let at = from + found;
        let value = at + key.len();
        // The key itself is a text of just this length.
        let whole = match key.len() {
            length @ ..24 => at.checked_sub(1).map(|before| cbor[before]) == Some(0x60 + length as u8),
            length => {
                at.checked_sub(2).map(|before| [cbor[before], cbor[before + 1]]) == Some([0x78, length as u8])
            }
        };
        if let Some(text) = whole.then(|| text(&cbor[value..])).flatten() {
            return Some(text);
        }
        from = value;
    }
    None
}

/// A text string of CBOR, of up to 64 kB.
fn text(cbor: &[u8]) -> Option<&[u8]> {
    let (head, length) = match cbor {
        [short @ 0x60..=0x77, ..] => (1, usize::from(short - 0x60)),
        [0x78, length, ..] => (2, usize::from(*length)),
        [0x79, high, low, ..] => (3, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    cbor.get(head..head + length)
}

/// The organization, else the name, of the subject of the first certificate: it follows how long that is valid.
fn signer(cbor: &[u8]) -> Option<String> {
    // A SEQUENCE of two UTCTime.
    let subject = find(cbor, &[0x30, 0x1e, 0x17, 0x0d])? + 32;
    let rest = cbor.get(subject..)?;
    // A SEQUENCE of some length: no certificate's subject is a book.
    let (head, length) = match rest {
        [0x30, length @ ..=0x7f, ..] => (2, usize::from(*length)),
        [0x30, 0x81, length, ..] => (3, usize::from(*length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    let subject = rest.get(head..head + length)?;
    // id-at-organizationName, id-at-commonName; each is followed by a string.
    [0x0a, 0x03].iter().find_map(|attribute| {
        let value = &subject[find(subject, &[0x06, 0x03, 0x55, 0x04, *attribute])? + 5..];
        let length = usize::from(*value.get(1)?);
        line(value.get(2..2 + length)?)
    })
}

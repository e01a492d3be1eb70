//! Where a PNG, JPEG, WebP or GIF keeps what it says of itself. Every length is held against the bytes that are there.

use std::borrow::Cow;
use std::io::Read;

use super::super::whole::Reader;

/// The most bytes of XMP that are unpacked.
const MOST_XMP: u64 = 1 << 20;

/// What was found: as it stands in the file, where it stands in one piece.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Boxes of JUMBF.
    pub jumbf: Cow<'a, [u8]>,
    /// The first packet of XMP.
    pub xmp: Option<Cow<'a, [u8]>>,
}

impl<'a> Parts<'a> {
    fn add_xmp(&mut self, xmp: Cow<'a, [u8]>) {
        self.xmp.get_or_insert(xmp);
    }

    fn add_jumbf(&mut self, boxes: &'a [u8]) {
        match self.jumbf.is_empty() {
            true => self.jumbf = Cow::Borrowed(boxes),
            false => self.jumbf.to_mut().extend_from_slice(boxes),
        }
    }
}

/// Looks through a file, as far as it can be followed.
pub(super) fn parts(bytes: &[u8]) -> Parts<'_> {
    let mut parts = Parts::default();
    let file = Reader(bytes);
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(file, &mut parts),
        [0xff, 0xd8, ..] => jpeg(file, &mut parts),
        [b'R', b'I', b'F', b'F', ..] => webp(file, &mut parts),
        [b'G', b'I', b'F', b'8', ..] => gif(file, &mut parts),
        _ => None,
    };
    parts
}

/// Chunks `caBX` (C2PA) and `iTXt` (XMP, packed or not).
fn png<'a>(mut file: Reader<'a>, parts: &mut Parts<'a>) -> Option<()> {
    file.take(8)?;
    loop {
        let length = u32::from_be_bytes(file.take(4)?.try_into().ok()?);
        let name = file.take(4)?;
        let data = file.take(usize::try_from(length).ok()?)?;
        file.take(4)?;
        match name {
            b"caBX" => parts.add_jumbf(data),
            b"iTXt" => {
                if let Some(xmp) = data.strip_prefix(b"XML:com.adobe.xmp\0").and_then(international_text) {
                    parts.add_xmp(xmp);
                }
            }
            b"IEND" => return Some(()),
            _ => {}
        }
    }
}

/// After the keyword: whether it is packed, by which method, a language, its keyword in that, the text.
fn international_text(data: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (&[packed, method], mut rest) = data.split_first_chunk::<2>()?;
    for _ in 0..2 {
        rest = &rest[rest.iter().position(|b| *b == 0)? + 1..];
    }
    if packed == 0 {
        return Some(Cow::Borrowed(rest));
    }
    let mut text = vec![];
    // What is whole of it is enough.
    let _ = flate2::read::ZlibDecoder::new(rest).take(MOST_XMP).read_to_end(&mut text);
    (method == 0 && !text.is_empty()).then_some(Cow::Owned(text))
}

/// Segments APP11 (JUMBF, in numbered pieces) and APP1 (XMP), up to the first scan.
fn jpeg<'a>(mut file: Reader<'a>, parts: &mut Parts<'a>) -> Option<()> {
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    file.take(2)?;
    // Of each box, known by its number: the head that each piece repeats.
    let mut begun: Option<[u8; 2]> = None;
    loop {
        while file.byte()? != 0xff {}
        let mut marker = file.byte()?;
        while marker == 0xff {
            marker = file.byte()?;
        }
        if matches!(marker, 0xd9 | 0xda) {
            return Some(());
        } else if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let length = u16::from_be_bytes(file.take(2)?.try_into().ok()?);
        let data = file.take(usize::from(length).checked_sub(2)?)?;
        match marker {
            0xe1 => {
                if let Some(xmp) = data.strip_prefix(XMP) {
                    parts.add_xmp(Cow::Borrowed(xmp));
                }
            }
            // "JP", the number of the box, that of the piece, then the box.
            0xeb if data.len() > 16 && data.starts_with(b"JP") => {
                let of_box = [data[2], data[3]];
                // A further piece begins with length and type of the box again, and with its long length where it has one.
                let head = if data[8..12] == [0, 0, 0, 1] { 16 } else { 8 };
                let further = begun == Some(of_box);
                parts.add_jumbf(data.get(if further { 8 + head } else { 8 }..)?);
                begun = Some(of_box);
            }
            _ => {}
        }
    }
}

/// Chunks `C2PA` and `XMP `.
fn webp<'a>(mut file: Reader<'a>, parts: &mut Parts<'a>) -> Option<()> {
    file.take(8)?;
    if file.take(4)? != b"WEBP" {
        return None;
    }
    loop {
        let name = file.take(4)?;
        let length = usize::try_from(u32::from_le_bytes(file.take(4)?.try_into().ok()?)).ok()?;
        let data = file.take(length)?;
        match name {
            b"C2PA" => parts.add_jumbf(data),
            b"XMP " => parts.add_xmp(Cow::Borrowed(data)),
            _ => {}
        }
        if !length.is_multiple_of(2) {
            file.take(1)?;
        }
    }
}

/// Application extensions `C2PA_GIF` and `XMP Data`.
fn gif<'a>(mut file: Reader<'a>, parts: &mut Parts<'a>) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    file.take(6)?;
    let screen = file.take(7)?;
    file.take(table(screen[4]))?;
    loop {
        match file.byte()? {
            0x21 => {
                let application = file.byte()? == 0xff;
                let length = usize::from(file.byte()?);
                let name = file.take(length)?;
                if length == 0 {
                    continue;
                }
                if application && name.starts_with(b"XMP Data") {
                    // It stands there as it is; what follows makes it look like blocks.
                    let all = file.0;
                    file.blocks()?;
                    let xmp = &all[..all.len() - file.0.len()];
                    parts.add_xmp(Cow::Borrowed(xmp));
                } else if application && name.starts_with(b"C2PA_GIF") {
                    loop {
                        let length = usize::from(file.byte()?);
                        if length == 0 {
                            break;
                        }
                        let block = file.take(length)?;
                        parts.add_jumbf(block);
                    }
                } else {
                    file.blocks()?;
                }
            }
            0x2c => {
                let image = file.take(9)?;
                file.take(table(image[8]))?;
                file.byte()?;
                file.blocks()?;
            }
            _ => return Some(()),
        }
    }
}

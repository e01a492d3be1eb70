//! Formats of images by their first bytes, those that are not decoded here included, and whether a file has several frames.

use image::ImageFormat;

use super::whole::Reader;

/// The content types of what is decoded here.
pub(super) const DECODED: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// The content type of a format that is decoded here.
pub(super) fn decoded(format: ImageFormat) -> Option<&'static str> {
    let [png, jpeg, webp, gif] = DECODED;
    match format {
        ImageFormat::Png => Some(png),
        ImageFormat::Jpeg => Some(jpeg),
        ImageFormat::WebP => Some(webp),
        ImageFormat::Gif => Some(gif),
        _ => None,
    }
}

/// The content type of an image of a format that is known here and not decoded.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12).filter(|start| start.starts_with(b"ftyp")).map(|start| &start[4..]);
    match brand {
        Some(b"avif" | b"avis") => return Some("image/avif"),
        Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => return Some("image/heic"),
        _ => {}
    }
    if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") {
        return Some("image/tiff");
    }
    if bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n") {
        return Some("image/jxl");
    }
    // Two letters are no proof: the reserved bytes of the header are 0.
    if bytes.len() >= 26 && bytes.starts_with(b"BM") && bytes[6..10] == [0; 4] {
        return Some("image/bmp");
    }
    is_svg(bytes).then_some("image/svg+xml")
}

/// Whether the first element of a text is `svg`.
fn is_svg(bytes: &[u8]) -> bool {
    let mut rest = &bytes[..bytes.len().min(4096)];
    rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = match () {
            () if rest.starts_with(b"<?") => b"?>",
            () if rest.starts_with(b"<!--") => b"-->",
            () if rest.starts_with(b"<!") => b">",
            () => break,
        };
        match rest.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return false,
        }
    }
    let name = rest.strip_prefix(b"<svg");
    name.and_then(|rest| rest.first()).is_some_and(|next| next.is_ascii_whitespace() || b"/>".contains(next))
}

/// The content type that a provider's word for a format means.
pub fn named(word: &str) -> Option<&'static str> {
    let word = word.trim().to_ascii_lowercase();
    Some(match word.strip_prefix("image/").unwrap_or(&word) {
        "png" => "image/png",
        "jpeg" | "jpg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "avif" => "image/avif",
        "svg" | "svg+xml" => "image/svg+xml",
        _ => return None,
    })
}

/// Whether a file of a format that is decoded here has more than one frame: only the first one is looked at.
pub(super) fn is_animated(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Png => animated_png(bytes).unwrap_or(false),
        ImageFormat::Gif => frames_of_gif(bytes, 2).is_some(),
        // The flag of the extended header.
        ImageFormat::WebP => bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|b| b & 2 != 0),
        _ => false,
    }
}

/// A chunk acTL stands before the first pixels.
fn animated_png(bytes: &[u8]) -> Option<bool> {
    let mut file = Reader(bytes);
    file.take(8)?;
    loop {
        let length = u32::from_be_bytes(file.take(4)?.try_into().ok()?);
        match file.take(4)? {
            b"acTL" => {
                return u32::from_be_bytes(file.take(4)?.try_into().ok()?).checked_sub(2).map(|_| true);
            }
            b"IDAT" | b"IEND" => return Some(false),
            _ => file.take(usize::try_from(length).ok()?.checked_add(4)?)?,
        };
    }
}

/// Reads a GIF up to its image of this number; nothing where it has fewer.
fn frames_of_gif(bytes: &[u8], wanted: u32) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut file = Reader(bytes);
    file.take(6)?;
    let screen = file.take(7)?;
    file.take(table(screen[4]))?;
    let mut seen = 0;
    loop {
        match file.byte()? {
            0x21 => {
                file.byte()?;
                file.blocks()?;
            }
            0x2c => {
                seen += 1;
                if seen == wanted {
                    return Some(());
                }
                let image = file.take(9)?;
                file.take(table(image[8]))?;
                file.byte()?;
                file.blocks()?;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::gif::GifEncoder;
    use image::{Frame, RgbaImage};

    use super::*;

    #[test]
    fn a_format_that_is_not_decoded_here_is_known_by_its_bytes() {
        for (bytes, known) in [
            (&b"\0\0\0\x1cftypavif\0\0\0\0"[..], "image/avif"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
            (b"II*\0\x08\0\0\0", "image/tiff"),
            (b"\xff\x0a\x01", "image/jxl"),
            (b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0", "image/bmp"),
            (b"<svg/>", "image/svg+xml"),
            (
                b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a > b -->\n<!DOCTYPE svg>\n<svg xmlns='x'>",
                "image/svg+xml",
            ),
        ] {
            assert_eq!(foreign(bytes), Some(known));
        }
        for bytes in [
            &b""[..],
            b"<html><svg/></html>",
            b"<svgx>",
            b"<!-- <svg> ",
            b"BM",
            b"BMX, a carmaker of 26 letters",
            b"\0\0\0\x18ftypisom",
        ] {
            assert_eq!(foreign(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn several_frames_are_seen_whatever_the_file_says_of_its_length() {
        let gif = |frames: u32| {
            let mut file = Cursor::new(vec![]);
            let mut encoder = GifEncoder::new(&mut file);
            let frames = (0..frames)
                .map(|n| Frame::new(RgbaImage::from_pixel(8, 8, image::Rgba([n as u8 * 90, 0, 0, 255]))));
            encoder.encode_frames(frames).unwrap();
            drop(encoder);
            file.into_inner()
        };
        assert!(is_animated(ImageFormat::Gif, &gif(2)) && !is_animated(ImageFormat::Gif, &gif(1)));
        let chunk =
            |name: &[u8], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], name, data, &[0; 4]].concat();
        let png = |frames: u32| {
            [
                &b"\x89PNG\r\n\x1a\n"[..],
                &chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat()),
                &chunk(b"IDAT", b""),
            ]
            .concat()
        };
        assert!(is_animated(ImageFormat::Png, &png(2)) && !is_animated(ImageFormat::Png, &png(1)));
        let webp = |flags: u8| [b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0", &[flags, 0, 0, 0][..]].concat();
        assert!(is_animated(ImageFormat::WebP, &webp(0x12)) && !is_animated(ImageFormat::WebP, &webp(0x10)));
        for end in 0..gif(2).len() {
            is_animated(ImageFormat::Gif, &gif(2)[..end]);
            is_animated(ImageFormat::Png, &gif(2)[..end]);
        }
    }
}

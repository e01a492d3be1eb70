//! An image small enough for a model: bytes from outside, read within bounds.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageReader, Limits, Rgb, RgbImage};

/// The longest edge, in pixels.
pub const LONGEST_EDGE: u32 = 1024;
/// The most bytes: in base64 these are 64 kB, of which a client that counts characters makes some 16,000 tokens.
pub const MOST_BYTES: usize = 48_000;

/// A picture that a model can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// image/jpeg, or what it was where it is small already.
    pub content_type: &'static str,
}

/// The picture of these bytes, within the bounds; `None` where they are no picture.
pub fn preview(bytes: &[u8]) -> Option<Preview> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let format = reader.format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(20_000);
    limits.max_image_height = Some(20_000);
    limits.max_alloc = Some(400 << 20);
    reader.limits(limits);
    let picture = reader.decode().ok()?;
    let content_type = format.to_mime_type();
    let small = bytes.len() <= MOST_BYTES && picture.width().max(picture.height()) <= LONGEST_EDGE;
    if small && matches!(content_type, "image/png" | "image/jpeg" | "image/webp") {
        return Some(Preview { bytes: bytes.to_vec(), content_type });
    }
    // Smaller, then coarser: what is smaller by half has a quarter of the bytes.
    for edge in [LONGEST_EDGE, 768, 512, 256, 128] {
        let smaller = match picture.width().max(picture.height()) > edge {
            true => picture.thumbnail(edge, edge),
            false => picture.clone(),
        };
        let flat = on_white(&smaller);
        for quality in [82, 65] {
            let mut written = vec![];
            JpegEncoder::new_with_quality(&mut written, quality).encode_image(&flat).ok()?;
            if written.len() <= MOST_BYTES {
                return Some(Preview { bytes: written, content_type: "image/jpeg" });
            }
        }
    }
    None
}

/// JPEG knows no transparency.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture = picture.to_rgba8();
    let mix = |colour: u8, alpha: u8| {
        let alpha = u32::from(alpha);
        ((u32::from(colour) * alpha + 255 * (255 - alpha)) / 255) as u8
    };
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        Rgb([mix(r, a), mix(g, a), mix(b, a)])
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    /// Noise, which no format makes small.
    fn noise(side: u32) -> Vec<u8> {
        let mut state = 7_u32;
        let picture = RgbImage::from_fn(side, side, |_, _| {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            Rgb([next(), next(), next()])
        });
        let mut bytes = vec![];
        DynamicImage::from(picture).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn a_picture_of_four_megabytes_becomes_one_within_the_bounds() {
        let bytes = noise(1180);
        assert!(bytes.len() > 4_000_000, "{}", bytes.len());
        let preview = preview(&bytes).unwrap();
        assert!(preview.bytes.len() <= MOST_BYTES, "{}", preview.bytes.len());
        let shown = image::load_from_memory(&preview.bytes).unwrap();
        assert!(shown.width() <= LONGEST_EDGE && shown.height() <= LONGEST_EDGE);
    }

    #[test]
    fn what_is_small_stays_as_it_is_and_what_is_no_picture_is_none() {
        let bytes = noise(32);
        assert_eq!(preview(&bytes).unwrap(), Preview { bytes, content_type: "image/png" });
        for not in [&b""[..], b"GIF89a", b"<svg onload=alert(1)>", &noise(64)[..200]] {
            assert_eq!(preview(not), None);
        }
    }
}

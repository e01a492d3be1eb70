//! Images that come in: what they are, and what a mask marks.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, ImageReader, Limits};
use serde::Serialize;

use crate::hash::sha256;

/// Larger inputs are not looked at, in pixels a side.
const LONGEST_SIDE: u32 = 16_384;
/// What an input counts for that we cannot see, as only its URL came.
pub(crate) const REMOTE_SIZE: (u32, u32) = (1024, 1024);

/// An input image, as the ledger shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Material {
    /// The field it came in.
    pub name: String,
    /// Of the bytes: `image/png`, `image/jpeg`, `image/webp` or `image/gif`.
    pub media_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// For a mask: what it marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
}

/// What a mask marks, whatever colour the provider wants for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Marks {
    /// How many pixels are to be edited.
    pub edited: u64,
    /// SHA-256 over one byte a pixel, row by row: 1 where it is to be edited, 0 where it is kept.
    pub sha256: String,
}

/// Which pixels of a mask are to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polarity {
    /// The light ones.
    White,
    /// The dark ones.
    Black,
    /// Those that are more transparent than not.
    Transparent,
}

impl Material {
    /// Looks at the bytes of an image. An error says why it is none.
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let media_type = match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => "image/png",
            Ok(ImageFormat::Jpeg) => "image/jpeg",
            Ok(ImageFormat::WebP) => "image/webp",
            Ok(ImageFormat::Gif) => "image/gif",
            _ => return Err("not an image of a known kind".into()),
        };
        let (width, height) = reader(bytes)?.into_dimensions().map_err(|e| e.to_string())?;
        if width == 0 || height == 0 || width.max(height) > LONGEST_SIDE {
            return Err(format!("{width}x{height} is not a usable size"));
        }
        Ok(Self { name: name.to_owned(), media_type, width, height, sha256: sha256(bytes), marks: None })
    }

    /// The same, and what it marks if it is a mask.
    pub(crate) fn read_as(mask: Option<Polarity>, name: &str, bytes: &[u8]) -> Result<Self, String> {
        mask.map_or_else(|| Self::read(name, bytes), |polarity| Self::read_mask(name, bytes, polarity))
    }

    /// The same, and what it marks as a mask.
    pub(crate) fn read_mask(name: &str, bytes: &[u8], polarity: Polarity) -> Result<Self, String> {
        let whole = Self::read(name, bytes)?;
        let pixels = reader(bytes)?.decode().map_err(|e| e.to_string())?.into_luma_alpha8();
        let edited: Vec<u8> = pixels
            .pixels()
            .map(|p| {
                u8::from(match polarity {
                    Polarity::White => p.0[0] >= 128,
                    Polarity::Black => p.0[0] < 128,
                    Polarity::Transparent => p.0[1] < 128,
                })
            })
            .collect();
        let marks = Marks { edited: edited.iter().map(|e| u64::from(*e)).sum(), sha256: sha256(&edited) };
        Ok(Self { marks: Some(marks), ..whole })
    }
}

/// What an image shows: the prompt, or where there is none the first image that came in.
pub(crate) fn subject(prompt: &str, inputs: &[Material]) -> String {
    match inputs.first() {
        Some(input) if prompt.is_empty() => input.sha256.clone(),
        _ => prompt.to_owned(),
    }
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    reader.limits(limits);
    Ok(reader)
}

/// The bytes of bare base64.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// The declared type and the bytes of a `data:` URI in base64.
pub(crate) fn data_uri(text: &str) -> Option<(&str, Vec<u8>)> {
    let (media_type, data) = text.strip_prefix("data:")?.split_once(";base64,")?;
    Some((media_type, base64(data)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayAlphaImage, GrayImage, Luma, LumaA};

    fn png<P: image::PixelWithColorType<Subpixel = u8>>(picture: &image::ImageBuffer<P, Vec<u8>>) -> Vec<u8>
    where
        [u8]: image::EncodableLayout,
    {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn a_mask_marks_the_same_pixels_in_every_polarity() {
        let left = |x: u32| x < 3;
        let white = GrayImage::from_fn(8, 4, |x, _| Luma([if left(x) { 255 } else { 0 }]));
        let black = GrayImage::from_fn(8, 4, |x, _| Luma([if left(x) { 0 } else { 255 }]));
        let clear = GrayAlphaImage::from_fn(8, 4, |x, _| LumaA([9, if left(x) { 0 } else { 255 }]));
        let marks =
            |bytes: Vec<u8>, polarity| Material::read_mask("mask", &bytes, polarity).unwrap().marks.unwrap();
        let first = marks(png(&white), Polarity::White);
        assert_eq!(first.edited, 12);
        assert_eq!(marks(png(&black), Polarity::Black), first);
        assert_eq!(marks(png(&clear), Polarity::Transparent), first);
        assert_ne!(marks(png(&white), Polarity::Black), first);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for bytes in [&b""[..], b"<html>", b"\x89PNG\r\n\x1a\n"] {
            assert!(Material::read("image", bytes).is_err());
        }
        assert_eq!(data_uri("data:image/png;base64,aGk="), Some(("image/png", b"hi".to_vec())));
        assert_eq!(data_uri("aGk="), None);
        assert_eq!(base64("data:image/png;base64,aGk="), None);
    }
}

//! Images that go in, and what an image that came out is.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, ImageFormat, ImageReader, Luma, Rgb, RgbImage};
use sha2::{Digest, Sha256};

/// A PNG, different for every `hue`.
///
/// # Panics
/// Never.
pub fn photo(width: u32, height: u32, hue: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, hue])
    });
    let mut file = Cursor::new(vec![]);
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A PNG of about so many bytes that nothing makes smaller, another one for each seed.
///
/// # Panics
/// Never.
pub fn noise(bytes: u32, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let side = (f64::from(bytes) / 3.0).sqrt() as u32;
    let picture = RgbImage::from_fn(side, side, |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Rgb([state as u8, (state >> 8) as u8, (state >> 16) as u8])
    });
    let mut file = Cursor::new(vec![]);
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A JPEG of this size as it is stored, whose EXIF says by its number how it is to be turned.
///
/// # Panics
/// Never.
pub fn sideways(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    RgbImage::from_pixel(width, height, Rgb([90, 120, 150])).write_to(&mut file, ImageFormat::Jpeg).unwrap();
    let mut file = file.into_inner();
    // One directory with one entry: orientation (0x0112), a 16-bit number.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap();
    file.splice(2..2, [&[0xff, 0xe1][..], &length.to_be_bytes(), &exif].concat());
    file
}

/// A mask and what it marks.
#[derive(Clone, Debug)]
pub struct Mask {
    /// A PNG, white where the image is to be edited.
    pub png: Vec<u8>,
    /// How many pixels are to be edited.
    pub edited: u64,
    /// SHA-256 over one byte a pixel, as the simulator's ledger has it.
    pub sha256: String,
}

impl Mask {
    /// A mask that marks the pixels for which `edited` holds.
    ///
    /// # Panics
    /// Never.
    pub fn new(width: u32, height: u32, edited: impl Fn(u32, u32) -> bool) -> Self {
        let picture = GrayImage::from_fn(width, height, |x, y| Luma([if edited(x, y) { 255 } else { 0 }]));
        let marks: Vec<u8> = picture.pixels().map(|p| u8::from(p.0[0] == 255)).collect();
        let mut file = Cursor::new(vec![]);
        picture.write_to(&mut file, ImageFormat::Png).unwrap();
        Mask {
            png: file.into_inner(),
            edited: marks.iter().map(|m| u64::from(*m)).sum(),
            sha256: sha256(&marks),
        }
    }
}

/// The image as an argument of a function.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// Width, height and content type of an image, by its bytes alone; `None` when it is none.
pub fn facts(bytes: &[u8]) -> Option<(u32, u32, &'static str)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let content_type = reader.format()?.to_mime_type();
    let (width, height) = reader.into_dimensions().ok()?;
    Some((width, height, content_type))
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

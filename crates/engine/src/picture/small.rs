//! A small copy of a decoded image: what is shown of it, hashed and asked whether anything is on it at all.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::decode::{Pixels, buffer};

/// The longest side of a small copy.
pub const THUMBNAIL_SIDE: u32 = 512;
/// The most bytes of a thumbnail.
pub const THUMBNAIL_BYTES: usize = 40_000;
/// How a thumbnail is written: the first of these that is short enough.
const QUALITIES: [u8; 4] = [75, 60, 45, 30];
/// Of each place of the copy at most so many pixels of a row and of a column are looked at: what this takes does not grow with
/// the image.
const SAMPLES: u32 = 3;

/// That nothing is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    /// Black throughout: what some filters put in the place of an image.
    Black,
    /// One colour throughout, or nothing but transparency.
    Empty,
}

impl Blank {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Blank::Black => "black",
            Blank::Empty => "empty",
        }
    }
}

/// Red, green and blue of each pixel, upright, on white.
#[derive(Debug)]
pub(super) struct Small {
    pub width: u32,
    pub height: u32,
    rgb: Vec<u8>,
    transparent: bool,
}

impl Small {
    /// The copy of an image; no larger than it, and no side longer than told.
    pub fn of(pixels: &Pixels, longest: u32) -> Result<Small, String> {
        let side = |side: u32, other: u32| {
            let all = u64::from(side.max(other));
            let longest = u64::from(longest).min(all);
            // At least a pixel, also of a line.
            ((u64::from(side) * longest).div_ceil(all.max(1)) as u32).clamp(1, side.max(1))
        };
        let (width, height) = (side(pixels.width, pixels.height), side(pixels.height, pixels.width));
        let mut rgb = buffer(width as usize * height as usize * 3)?;
        let mut transparent = true;
        for y in 0..height {
            let rows = places(y, height, pixels.height);
            for x in 0..width {
                let columns = places(x, width, pixels.width);
                let (mut sums, mut count) = ([0_u32; 3], 0);
                for row in rows.clone() {
                    for column in columns.clone() {
                        let [red, green, blue, alpha] = pixels.rgba(column, row).map(u32::from);
                        transparent &= alpha == 0;
                        let on_white = |channel: u32| (channel * alpha + 255 * (255 - alpha)) / 255;
                        sums = [sums[0] + on_white(red), sums[1] + on_white(green), sums[2] + on_white(blue)];
                        count += 1;
                    }
                }
                rgb.extend(sums.map(|sum| (sum / count.max(1)) as u8));
            }
        }
        Ok(Small { width, height, rgb, transparent })
    }

    fn colours(&self) -> impl Iterator<Item = [u8; 3]> {
        self.rgb.chunks_exact(3).map(|c| [c[0], c[1], c[2]])
    }

    /// The brightness of each pixel, by Rec. 709, row after row.
    pub fn greys(&self) -> impl Iterator<Item = u8> {
        self.colours().map(|colour| {
            let [red, green, blue] = colour.map(u32::from);
            ((2126 * red + 7152 * green + 722 * blue) / 10_000) as u8
        })
    }

    /// Whether there is nothing on it.
    pub fn blank(&self) -> Option<Blank> {
        const BLACK: u8 = 10;
        const SAME: u8 = 4;
        // Of so few pixels nothing can be said.
        const LEAST_SIDE: u32 = 16;
        if self.width.min(self.height) < LEAST_SIDE {
            return None;
        }
        if self.transparent {
            return Some(Blank::Empty);
        }
        let (mut least, mut most) = ([u8::MAX; 3], [0_u8; 3]);
        for colour in self.colours() {
            for channel in 0..3 {
                least[channel] = least[channel].min(colour[channel]);
                most[channel] = most[channel].max(colour[channel]);
            }
        }
        match least.iter().zip(&most).all(|(least, most)| most - least <= SAME) {
            _ if most.iter().all(|most| *most <= BLACK) => Some(Blank::Black),
            true => Some(Blank::Empty),
            false => None,
        }
    }

    /// A JPEG of it that is short enough, where there is one.
    pub fn thumbnail(&self) -> Option<Vec<u8>> {
        let room = self.rgb.len() / 2 + 4096;
        QUALITIES.iter().find_map(|quality| {
            let mut file = buffer(room).ok()?;
            JpegEncoder::new_with_quality(&mut file, *quality)
                .write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
                .ok()?;
            file.shrink_to_fit();
            (file.len() <= THUMBNAIL_BYTES).then_some(file)
        })
    }
}

/// Which of so many pixels are looked at for a place: all of its own, or some of them, evenly.
fn places(at: u32, of: u32, pixels: u32) -> impl Iterator<Item = u32> + Clone {
    let edge = |at: u32| (u64::from(at) * u64::from(pixels) / u64::from(of.max(1))) as u32;
    let (first, next) = (edge(at), edge(at + 1).max(edge(at) + 1));
    let number = (next - first).min(SAMPLES);
    (0..number).map(move |n| first + ((2 * n + 1) * (next - first)) / (2 * number))
}

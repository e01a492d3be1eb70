//! The images: a gradient with a few shapes, decided by prompt and seed alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use image::codecs::gif::GifEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// How an image is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, lossless.
    Webp,
    /// GIF.
    Gif,
}

impl Format {
    /// The name that APIs use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }

    /// The content type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Png, Self::Jpeg, Self::Webp, Self::Gif].into_iter().find(|f| f.name() == name)
    }
}

/// An image to draw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Picture {
    /// What it shows.
    pub prompt: String,
    /// Which of the many images of that.
    pub seed: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The file format.
    pub format: Format,
}

impl Picture {
    /// The file, or why it cannot be. The same image always gives the same bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let pixels = self.paint();
        let (w, h, rgb) = (self.width, self.height, ExtendedColorType::Rgb8);
        let mut file = Vec::new();
        match self.format {
            Format::Png => PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Sub)
                .write_image(&pixels, w, h, rgb)
                .map_err(|e| e.to_string())?,
            Format::Jpeg => {
                let side = |n: u32| u16::try_from(n).map_err(|e| e.to_string());
                let encoder = jpeg_encoder::Encoder::new(&mut file, 75);
                encoder
                    .encode(&pixels, side(w)?, side(h)?, jpeg_encoder::ColorType::Rgb)
                    .map_err(|e| e.to_string())?;
            }
            Format::Webp => WebPEncoder::new_lossless(&mut file)
                .write_image(&pixels, w, h, rgb)
                .map_err(|e| e.to_string())?,
            // The fastest choice of colours: there are few to choose from.
            Format::Gif => GifEncoder::new_with_speed(&mut file, 30)
                .encode(&pixels, w, h, rgb)
                .map_err(|e| e.to_string())?,
        }
        Ok(file)
    }

    fn paint(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(&self.prompt);
        let dice = hash.finalize();
        let (top, bottom) = (hue(dice[0], 230), hue(dice[1], 110));
        let shapes: Vec<_> =
            dice[2..32].chunks_exact(5).map(|d| Shape::new(d, self.width, self.height)).collect();
        let (width, height) = (self.width as usize, self.height as usize);
        let mut pixels = vec![0; width * height * 3];
        for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
            fill(row, mix(top, bottom, y, height));
            for shape in &shapes {
                if let Some((from, to)) = shape.span(y, width) {
                    fill(&mut row[from * 3..to * 3], shape.colour);
                }
            }
        }
        pixels
    }
}

type Rgb = [u8; 3];

struct Shape {
    colour: Rgb,
    round: bool,
    x: i64,
    y: i64,
    size: i64,
}

impl Shape {
    fn new(dice: &[u8], width: u32, height: u32) -> Self {
        let part = |dice: u8, whole: u32| i64::from(dice) * i64::from(whole) / 256;
        let size = i64::from(width.min(height)) / 16 + part(dice[3], width.min(height)) / 4;
        Self {
            colour: hue(dice[0], 140 + dice[4] / 3),
            round: dice[4].is_multiple_of(2),
            x: part(dice[1], width),
            y: part(dice[2], height),
            size: size.max(1),
        }
    }

    /// The columns that it covers in row `y`.
    fn span(&self, y: usize, width: usize) -> Option<(usize, usize)> {
        let off = (i64::try_from(y).ok()? - self.y).abs();
        if off >= self.size {
            return None;
        }
        let half = if self.round { (self.size * self.size - off * off).isqrt() } else { self.size };
        let from = usize::try_from((self.x - half).max(0)).ok()?;
        let to = usize::try_from(self.x + half).ok()?.min(width);
        (from < to).then_some((from, to))
    }
}

fn fill(row: &mut [u8], colour: Rgb) {
    for pixel in row.chunks_exact_mut(3) {
        pixel.copy_from_slice(&colour);
    }
}

/// A strong colour, once around the colour wheel in 256 steps.
fn hue(at: u8, strength: u8) -> Rgb {
    let sector = u32::from(at) * 6;
    let rising = u8::try_from(u32::from(strength) * (sector % 256) / 256).unwrap_or(strength);
    let falling = strength - rising;
    match sector / 256 {
        0 => [strength, rising, 20],
        1 => [falling, strength, 20],
        2 => [20, strength, rising],
        3 => [20, falling, strength],
        4 => [rising, 20, strength],
        _ => [strength, 20, falling],
    }
}

fn mix(from: Rgb, to: Rgb, at: usize, of: usize) -> Rgb {
    let part = |i: usize| (usize::from(from[i]) * (of - at) + usize::from(to[i]) * at) / of;
    [0, 1, 2].map(|i| u8::try_from(part(i)).unwrap_or(u8::MAX))
}

/// Draws images, two at a time, and keeps the last few files.
#[derive(Debug)]
pub(crate) struct Studio {
    easels: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<Picture, Bytes>,
    order: VecDeque<Picture>,
    bytes: usize,
}

/// Files kept, in bytes.
const KEPT_BYTES: usize = 32 << 20;

impl Default for Studio {
    fn default() -> Self {
        Self { easels: Semaphore::new(2), kept: Mutex::default() }
    }
}

impl Studio {
    /// The file of this image, or why it could not be written.
    pub(crate) async fn draw(&self, picture: Picture) -> Result<Bytes, String> {
        if let Some(file) = self.kept().files.get(&picture) {
            return Ok(file.clone());
        }
        let _easel = self.easels.acquire().await.map_err(|e| e.to_string())?;
        let drawn = tokio::task::spawn_blocking(move || picture.encode().map(|file| (picture, file)));
        let (picture, file) = drawn.await.map_err(|e| e.to_string())??;
        let file = Bytes::from(file);
        self.kept().keep(picture, file.clone());
        Ok(file)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, picture: Picture, file: Bytes) {
        self.bytes += file.len();
        if self.files.insert(picture.clone(), file).is_none() {
            self.order.push_back(picture);
        }
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.files.remove(&oldest).map_or(0, |f| f.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(prompt: &str, seed: u64, format: Format) -> Picture {
        Picture { prompt: prompt.into(), seed, width: 512, height: 512, format }
    }

    #[test]
    fn the_same_prompt_and_seed_give_the_same_bytes_and_others_do_not() {
        for format in [Format::Png, Format::Jpeg, Format::Webp, Format::Gif] {
            let file = picture("a cat", 7, format).encode().unwrap();
            assert_eq!(file, picture("a cat", 7, format).encode().unwrap());
            let guessed = image::guess_format(&file).unwrap();
            assert_eq!(guessed.to_mime_type(), format.media_type());
            assert!(file.len() < 100_000, "{format:?} of {} bytes", file.len());
        }
    }

    #[test]
    fn different_prompts_and_seeds_look_different() {
        let pixels = picture("a cat", 7, Format::Png).paint();
        for other in [picture("a cat", 8, Format::Png), picture("a dog", 7, Format::Png)] {
            let other = other.paint();
            let far = pixels.iter().zip(&other).filter(|(a, b)| a.abs_diff(**b) > 32).count();
            assert!(far > pixels.len() / 10, "{far} of {}", pixels.len());
        }
    }

    #[test]
    fn odd_sizes_are_drawn_to_size() {
        for (width, height) in [(64, 64), (1, 1), (1440, 256), (333, 777)] {
            let file = Picture { width, height, ..picture("x", 1, Format::Png) }.encode().unwrap();
            let read = image::load_from_memory(&file).unwrap();
            assert_eq!((read.width(), read.height()), (width, height));
        }
    }

    #[test]
    fn the_files_kept_are_bounded() {
        let mut kept = Kept::default();
        for seed in 0..100 {
            kept.keep(picture("x", seed, Format::Png), Bytes::from(vec![0; 1 << 20]));
        }
        assert!(kept.bytes <= KEPT_BYTES && kept.files.len() == 32 && kept.order.len() == 32);
    }
}

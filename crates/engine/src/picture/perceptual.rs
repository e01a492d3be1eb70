//! How much two images look alike, as far as 64 bits say: the gradients of their brightness (a difference hash).

use super::Flaw;
use super::decode::{Pixels, decode};

const COLUMNS: u32 = 9;
const ROWS: u32 = 8;

/// A bit for each of 8 by 8 places: whether it gets darker from there to the right. Of two images that look alike few bits differ.
/// Decodes: it takes milliseconds, and more for a large image.
///
/// # Errors
/// It is no image that can be read.
pub fn perceptual_hash(bytes: &[u8]) -> Result<u64, Flaw> {
    let pixels = decode(bytes)?;
    let mut hash = 0;
    for row in 0..ROWS {
        let line: Vec<u64> = (0..COLUMNS).map(|column| brightness(&pixels, column, row)).collect();
        for pair in line.windows(2) {
            hash = hash << 1 | u64::from(pair[0] > pair[1]);
        }
    }
    Ok(hash)
}

/// The mean brightness of a field, from some of its pixels.
fn brightness(pixels: &Pixels, column: u32, row: u32) -> u64 {
    const SAMPLES: u32 = 8;
    let place = |at: u32, of: u32, sample: u32, side: u32| {
        let steps = u64::from(of * SAMPLES);
        let at = u64::from(at * SAMPLES + sample) * u64::from(side) / steps;
        (at as u32).min(side.saturating_sub(1))
    };
    let mut sum = 0;
    for y in 0..SAMPLES {
        for x in 0..SAMPLES {
            let (x, y) = (place(column, COLUMNS, x, pixels.width), place(row, ROWS, y, pixels.height));
            sum += u64::from(pixels.grey(x, y));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, Luma};

    fn png(width: u32, height: u32, shade: impl Fn(u32, u32) -> u8) -> Vec<u8> {
        let mut file = std::io::Cursor::new(vec![]);
        let image = GrayImage::from_fn(width, height, |x, y| Luma([shade(x, y)]));
        image.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn images_that_look_alike_differ_in_few_bits() {
        let waves = |width: u32, height: u32, shift: u32, bright: u8| {
            png(width, height, move |x, y| {
                ((x * 900 / width + y * 300 / height + shift) % 200) as u8 / 2 + bright
            })
        };
        let hash = |file: &[u8]| perceptual_hash(file).unwrap();
        let one = hash(&waves(360, 240, 0, 10));
        let distance = |file: &[u8]| (one ^ hash(file)).count_ones();
        assert_eq!(distance(&waves(360, 240, 0, 10)), 0);
        assert_eq!(distance(&waves(360, 240, 0, 60)), 0, "brighter");
        assert!(distance(&waves(720, 480, 0, 10)) <= 4, "larger");
        assert!(distance(&waves(360, 240, 100, 10)) >= 16, "another one");
        assert_eq!(hash(&png(1, 1, |_, _| 9)), 0);
        assert!(perceptual_hash(b"no image").is_err());
    }
}

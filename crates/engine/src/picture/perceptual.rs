//! How much two images look alike, as far as 64 bits say: the signs of the slowest waves of their brightness (a hash by the
//! discrete cosine transform).

use super::Flaw;
use super::decode::{Pixels, decode};
use super::small::{Small, THUMBNAIL_SIDE};

/// The brightness is looked at in so many places of a row, and of a column.
const SIDE: usize = 32;
/// The waves are slower than this, in half turns across the image.
const WAVES: usize = 11;
/// A wave that is weaker is none: the noise of an encoder on an even ground.
const FAINT: f64 = 32.0;

/// A bit for each of the 64 slowest waves: whether it begins bright. Of two images that look alike few bits differ.
/// Decodes: it takes milliseconds, and more for a large image.
///
/// # Errors
/// It is no image that can be read.
pub fn perceptual_hash(bytes: &[u8]) -> Result<u64, Flaw> {
    of_pixels(&decode(bytes)?)
}

fn of_pixels(pixels: &Pixels) -> Result<u64, Flaw> {
    Ok(hash(&Small::of(pixels, THUMBNAIL_SIDE).map_err(Flaw::Damaged)?))
}

/// The hash of a small copy.
pub(super) fn hash(small: &Small) -> u64 {
    let field = field(small);
    // waves[u][x]: the cosine of u half turns, at x.
    let waves: Vec<Vec<f64>> = (0..WAVES)
        .map(|u| {
            let turn = std::f64::consts::PI * u as f64 / (2 * SIDE) as f64;
            (0..SIDE).map(|x| (turn * (2 * x + 1) as f64).cos()).collect()
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // across[u][y]: how strong the wave is in a row.
    let across: Vec<Vec<f64>> =
        waves.iter().map(|wave| field.chunks_exact(SIDE).map(|row| dot(row, wave)).collect()).collect();
    // From the slowest to the fastest, but for the mean brightness.
    let order = (1..WAVES).flat_map(|sum| (0..=sum).map(move |u| (u, sum - u))).take(64);
    order.fold(0, |hash, (u, v)| hash << 1 | u64::from(dot(&across[u], &waves[v]) > FAINT))
}

/// The mean brightness of each of the places.
fn field(small: &Small) -> Vec<f64> {
    let (width, height) = (small.width as usize, small.height as usize);
    let greys: Vec<u8> = small.greys().collect();
    let span = |at: usize, side: usize| {
        let first = at * side / SIDE;
        first..((at + 1) * side).div_ceil(SIDE).max(first + 1)
    };
    let mean = |x: usize, y: usize| {
        let columns = span(x, width);
        let rows = span(y, height).filter_map(|row| greys.get(row * width..)?.get(columns.clone()));
        let (sum, count) =
            rows.flatten().fold((0_u32, 0_u32), |(sum, n), grey| (sum + u32::from(*grey), n + 1));
        f64::from(sum) / f64::from(count.max(1))
    };
    (0..SIDE * SIDE).map(|at| mean(at % SIDE, at / SIDE)).collect()
}

#[cfg(test)]
mod tests;

//! Sizes of images: written, and made from a ratio.

/// Two numbers with `between` between them, as in `1280x800` or `16:9`.
pub(crate) fn pair(text: &str, between: char) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(between)?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// Width by height.
pub(crate) fn ratio((width, height): (u32, u32)) -> f64 {
    f64::from(width) / f64::from(height.max(1))
}

/// About `area` pixels at this ratio, both sides multiples of 16.
pub(crate) fn fitted(area: f64, ratio: f64) -> (u32, u32) {
    // A cast of a float saturates, and these are small.
    let round = |side: f64| ((side / 16.0).round() as u32).max(1) * 16;
    (round((area * ratio).sqrt()), round((area / ratio).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_made() {
        assert_eq!(
            (pair("1280x800", 'x'), pair("1280", 'x'), pair("a:b", ':')),
            (Some((1280, 800)), None, None)
        );
        assert_eq!(fitted(1_048_576.0, ratio((16, 9))), (1360, 768));
        assert_eq!(fitted(1.0, ratio((5, 0))), (16, 16));
    }
}

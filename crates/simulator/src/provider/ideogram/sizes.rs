//! The sizes on offer.

/// Sizes of Ideogram 3.0.
#[rustfmt::skip]
pub(super) const THREE: [(u32, u32); 69] = [
    (512, 1536), (576, 1408), (576, 1472), (576, 1536), (640, 1344), (640, 1408), (640, 1472), (640, 1536),
    (704, 1152), (704, 1216), (704, 1280), (704, 1344), (704, 1408), (704, 1472), (736, 1312), (768, 1088),
    (768, 1216), (768, 1280), (768, 1344), (800, 1280), (832, 960), (832, 1024), (832, 1088), (832, 1152),
    (832, 1216), (832, 1248), (864, 1152), (896, 960), (896, 1024), (896, 1088), (896, 1120), (896, 1152),
    (960, 832), (960, 896), (960, 1024), (960, 1088), (1024, 832), (1024, 896), (1024, 960), (1024, 1024),
    (1088, 768), (1088, 832), (1088, 896), (1088, 960), (1120, 896), (1152, 704), (1152, 832), (1152, 864),
    (1152, 896), (1216, 704), (1216, 768), (1216, 832), (1248, 832), (1280, 704), (1280, 768), (1280, 800),
    (1312, 736), (1344, 640), (1344, 704), (1344, 768), (1408, 576), (1408, 640), (1408, 704), (1472, 576),
    (1472, 640), (1472, 704), (1536, 512), (1536, 576), (1536, 640),
];

/// Sizes of Ideogram 4.0, as far as known.
#[rustfmt::skip]
pub(super) const FOUR: [(u32, u32); 21] = [
    (2048, 2048), (1440, 2880), (2880, 1440), (1664, 2496), (2496, 1664), (1792, 2240), (2240, 1792),
    (1440, 2560), (2560, 1440), (1600, 2560), (2560, 1600), (1728, 2304), (2304, 1728), (1296, 3168),
    (3168, 1296), (1152, 2944), (2944, 1152), (1248, 3328), (3328, 1248), (1280, 3072), (3072, 1280),
];

/// The aspect ratios and the sizes that they stand for.
#[rustfmt::skip]
pub(super) const RATIOS: [(&str, (u32, u32)); 15] = [
    ("1x3", (512, 1536)), ("3x1", (1536, 512)), ("1x2", (704, 1408)), ("2x1", (1408, 704)),
    ("9x16", (736, 1312)), ("16x9", (1312, 736)), ("10x16", (800, 1280)), ("16x10", (1280, 800)),
    ("2x3", (832, 1248)), ("3x2", (1248, 832)), ("3x4", (864, 1152)), ("4x3", (1152, 864)),
    ("4x5", (896, 1120)), ("5x4", (1120, 896)), ("1x1", (1024, 1024)),
];

/// The size of this aspect ratio.
pub(super) fn of_ratio(name: &str) -> Option<(u32, u32)> {
    RATIOS.iter().find(|(known, _)| *known == name).map(|(_, size)| *size)
}

/// A size written `1280x800`.
pub(super) fn parse(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The one of `sizes` whose shape is nearest to that of `size`.
pub(super) fn nearest(sizes: impl IntoIterator<Item = (u32, u32)>, size: (u32, u32)) -> (u32, u32) {
    let shape = |(w, h): (u32, u32)| (f64::from(w) / f64::from(h.max(1))).ln();
    let far = |other: &(u32, u32)| (shape(*other) - shape(size)).abs();
    sizes.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or((1024, 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aspect_ratio_is_one_of_the_sizes() {
        assert!(RATIOS.iter().all(|(_, size)| THREE.contains(size)));
        assert_eq!(nearest(FOUR, (1920, 1080)), (2560, 1440));
        assert_eq!((parse("1280x800"), parse("1280")), (Some((1280, 800)), None));
    }
}

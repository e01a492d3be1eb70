//! The sizes on offer.

use crate::size::{pair, ratio};

use super::endpoints::{Api, Endpoint};

/// Sizes of Ideogram 3.0.
#[rustfmt::skip]
const THREE: [(u32, u32); 69] = [
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

/// What Ideogram 2.0 draws besides those.
#[rustfmt::skip]
const TWO: [(u32, u32); 10] = [
    (640, 1024), (720, 1280), (768, 1024), (768, 1152), (768, 1232),
    (1024, 640), (1024, 768), (1152, 768), (1232, 768), (1280, 720),
];

/// What Ideogram 4.0 draws besides those of 3.0, as far as known; the usual one first.
#[rustfmt::skip]
const FOUR: [(u32, u32); 28] = [
    (2048, 2048), (1440, 2880), (2880, 1440), (1664, 2496), (2496, 1664), (1792, 2240), (2240, 1792),
    (1440, 2560), (2560, 1440), (1600, 2560), (2560, 1600), (1728, 2304), (2304, 1728), (1296, 3168),
    (3168, 1296), (1152, 2944), (2944, 1152), (1248, 3328), (3328, 1248), (1280, 3072), (3072, 1280),
    (1024, 3072), (3072, 1024), (512, 512), (720, 1280), (1280, 720), (720, 1440), (1440, 720),
];

/// The aspect ratios and the sizes that they stand for. The last four are newer than the legacy API.
#[rustfmt::skip]
const RATIOS: [(&str, (u32, u32)); 15] = [
    ("1x3", (512, 1536)), ("3x1", (1536, 512)), ("9x16", (736, 1312)), ("16x9", (1312, 736)),
    ("10x16", (800, 1280)), ("16x10", (1280, 800)), ("2x3", (832, 1248)), ("3x2", (1248, 832)),
    ("3x4", (864, 1152)), ("4x3", (1152, 864)), ("1x1", (1024, 1024)),
    ("1x2", (704, 1408)), ("2x1", (1408, 704)), ("4x5", (896, 1120)), ("5x4", (1120, 896)),
];

/// The size that is written so, if this endpoint draws it.
pub(super) fn resolution(endpoint: &Endpoint, text: &str) -> Option<(u32, u32)> {
    let (size, more): (_, &[_]) = match (endpoint.api, endpoint.model) {
        // Only these two models let the caller choose.
        (Api::Legacy, "V_2" | "V_2_TURBO") => (pair(text.strip_prefix("RESOLUTION_")?, '_'), &TWO),
        (Api::Legacy, _) => return None,
        (_, "ideogram-4") => (pair(text, 'x'), &FOUR),
        _ => (pair(text, 'x'), &[]),
    };
    size.filter(|size| THREE.contains(size) || more.contains(size))
}

/// The size that stands for this aspect ratio.
pub(super) fn of_ratio(api: Api, text: &str) -> Option<(u32, u32)> {
    let (name, known) = match api {
        Api::Legacy => (text.strip_prefix("ASPECT_")?.replace('_', "x"), &RATIOS[..11]),
        _ => (text.to_owned(), &RATIOS[..]),
    };
    known.iter().find(|(known, _)| *known == name).map(|(_, size)| *size)
}

/// What is drawn after an image of this size, or without one.
pub(super) fn like(endpoint: &Endpoint, picture: Option<(u32, u32)>) -> (u32, u32) {
    let picture = picture.unwrap_or((1, 1));
    match endpoint.model {
        "ideogram-4" => nearest(FOUR, picture),
        _ => nearest(RATIOS.map(|(_, size)| size), picture),
    }
}

/// The one of `sizes` whose shape is nearest to that of `size`, the first of several.
fn nearest(sizes: impl IntoIterator<Item = (u32, u32)>, size: (u32, u32)) -> (u32, u32) {
    let far = |other: &(u32, u32)| (ratio(*other).ln() - ratio(size).ln()).abs();
    sizes.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or((1024, 1024))
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::find;
    use super::*;

    #[test]
    fn every_aspect_ratio_is_one_of_the_sizes() {
        assert!(RATIOS.iter().all(|(_, size)| THREE.contains(size)));
        assert!(TWO.iter().chain(&FOUR).all(|size| !THREE.contains(size)));
        let four = find("v2/image/generate/ideogram-4").unwrap();
        assert_eq!((like(&four, Some((1920, 1080))), like(&four, None)), ((2560, 1440), (2048, 2048)));
    }

    #[test]
    fn each_generation_writes_sizes_its_own_way() {
        let legacy = find("generate").unwrap();
        assert_eq!(resolution(&legacy, "RESOLUTION_1280_720"), Some((1280, 720)));
        assert_eq!(resolution(&legacy, "1280x720"), None);
        assert_eq!(resolution(&Endpoint { model: "V_2A", ..legacy }, "RESOLUTION_1280_720"), None);
        let third = find("v1/ideogram-v3/generate").unwrap();
        assert_eq!(resolution(&third, "1280x800"), Some((1280, 800)));
        assert_eq!(resolution(&third, "1280x720"), None);
        assert_eq!(of_ratio(Api::Legacy, "ASPECT_16_9"), of_ratio(Api::V3, "16x9"));
        assert_eq!((of_ratio(Api::Legacy, "ASPECT_4_5"), of_ratio(Api::V3, "ASPECT_1_1")), (None, None));
    }
}

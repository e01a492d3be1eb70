//! The endpoints: their fields, sizes and prices, as in the vendor's API reference and price list.

use rust_decimal::Decimal;

/// One endpoint.
pub(super) struct Endpoint {
    /// Its path below `v2beta/stable-image/`, which is its name in the ledger too.
    pub name: &'static str,
    /// The fields besides `seed` and `output_format`.
    pub fields: &'static [(&'static str, Kind)],
    pub size: Size,
    /// In thousandths of a US dollar, or tenths of a credit.
    price: i64,
    /// Whether the image is fetched later.
    pub later: bool,
}

/// What a field may hold.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Text that must be there, and not be blank.
    NeededText,
    Text,
    Number(f64, f64),
    Int(i64, i64),
    Choice(&'static [&'static str]),
    NeededPicture(Limits),
    Picture(Limits),
    /// White is edited. Without one, the transparent pixels of `image` are.
    Mask,
}

/// How large an input may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub side: (u32, u32),
    pub pixels: (u64, u64),
    /// The longest side in tenths of the shortest.
    pub tenths: u32,
}

/// Where the size of the image comes from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Size {
    /// The field `aspect_ratio`.
    Ratio,
    /// That of this input if there is one, else the field `aspect_ratio`.
    InputOrRatio(&'static str),
    /// That of this input.
    Input(&'static str),
    /// That of `image` and what is added to it.
    Grown,
    /// That of `image` so many times.
    Times(u32),
    /// About so many pixels at the ratio of `image`.
    Area(f64),
    /// So many pixels along the longest side of `image`.
    Longest(f64),
}

const USUAL: Limits = Limits { side: (64, 16_384), pixels: (4_096, 9_437_184), tenths: u32::MAX };
const SMALL: Limits = Limits { pixels: (4_096, 1_048_576), ..USUAL };
const TINY: Limits = Limits { side: (32, 1_536), pixels: (1_024, 1_048_576), ..USUAL };
const CUT_OUT: Limits = Limits { pixels: (4_096, 4_194_304), ..USUAL };
const NOT_LONG: Limits = Limits { tenths: 25, ..USUAL };

const PROMPT: (&str, Kind) = ("prompt", Kind::NeededText);
const NEGATIVE: (&str, Kind) = ("negative_prompt", Kind::Text);
const IMAGE: (&str, Kind) = ("image", Kind::NeededPicture(USUAL));
const PART: Kind = Kind::Number(0.0, 1.0);
const RATIO: (&str, Kind) =
    ("aspect_ratio", Kind::Choice(&["21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21"]));
const STYLE: (&str, Kind) = (
    "style_preset",
    Kind::Choice(&[
        "enhance",
        "anime",
        "photographic",
        "digital-art",
        "comic-book",
        "fantasy-art",
        "line-art",
        "analog-film",
        "neon-punk",
        "isometric",
        "low-poly",
        "origami",
        "modeling-compound",
        "cinematic",
        "3d-model",
        "pixel-art",
        "tile-texture",
    ]),
);
const ULTRA: &[(&str, Kind)] =
    &[PROMPT, NEGATIVE, RATIO, STYLE, ("image", Kind::Picture(USUAL)), ("strength", PART)];
const SD3: &[(&str, Kind)] = &[
    PROMPT,
    NEGATIVE,
    RATIO,
    STYLE,
    ("image", Kind::Picture(USUAL)),
    ("strength", PART),
    ("mode", Kind::Choice(&["text-to-image", "image-to-image"])),
    ("cfg_scale", Kind::Number(1.0, 10.0)),
    ("model", Kind::Choice(&SD3_NAMES)),
];
/// Models of `generate/sd3`; the last three are old names for the first three.
const SD3_NAMES: [&str; 7] = [
    "sd3.5-large",
    "sd3.5-large-turbo",
    "sd3.5-medium",
    "sd3.5-flash",
    "sd3-large",
    "sd3-large-turbo",
    "sd3-medium",
];
const SD3_PRICES: [i64; 7] = [65, 40, 35, 25, 65, 40, 35];
const OUTPAINT: &[(&str, Kind)] = &[
    ("image", Kind::NeededPicture(NOT_LONG)),
    ("left", Kind::Int(0, 2000)),
    ("right", Kind::Int(0, 2000)),
    ("up", Kind::Int(0, 2000)),
    ("down", Kind::Int(0, 2000)),
    ("prompt", Kind::Text),
    ("creativity", PART),
    STYLE,
];
const REPLACE: &[(&str, Kind)] =
    &[IMAGE, PROMPT, ("search_prompt", Kind::NeededText), NEGATIVE, ("grow_mask", Kind::Int(0, 20)), STYLE];
const RECOLOR: &[(&str, Kind)] =
    &[IMAGE, PROMPT, ("select_prompt", Kind::NeededText), NEGATIVE, ("grow_mask", Kind::Int(0, 20)), STYLE];
const CONTROL: &[(&str, Kind)] = &[IMAGE, PROMPT, NEGATIVE, ("control_strength", PART), STYLE];
const TRANSFER: &[(&str, Kind)] = &[
    ("init_image", Kind::NeededPicture(USUAL)),
    ("style_image", Kind::NeededPicture(USUAL)),
    ("prompt", Kind::Text),
    NEGATIVE,
    ("style_strength", PART),
    ("composition_fidelity", PART),
    ("change_strength", Kind::Number(0.1, 1.0)),
];

const BASE: Endpoint = Endpoint {
    name: "generate/core",
    fields: &[PROMPT, NEGATIVE, RATIO, STYLE],
    size: Size::Ratio,
    price: 30,
    later: false,
};
const EDIT: Endpoint = Endpoint { size: Size::Input("image"), price: 50, ..BASE };

static ENDPOINTS: [Endpoint; 16] = [
    BASE,
    Endpoint { name: "generate/ultra", fields: ULTRA, size: Size::InputOrRatio("image"), price: 80, ..BASE },
    Endpoint { name: "generate/sd3", fields: SD3, size: Size::InputOrRatio("image"), price: 65, ..BASE },
    Endpoint {
        name: "edit/inpaint",
        fields: &[IMAGE, PROMPT, ("mask", Kind::Mask), NEGATIVE, ("grow_mask", Kind::Int(0, 100)), STYLE],
        ..EDIT
    },
    Endpoint {
        name: "edit/erase",
        fields: &[IMAGE, ("mask", Kind::Mask), ("grow_mask", Kind::Int(0, 20))],
        ..EDIT
    },
    Endpoint { name: "edit/outpaint", fields: OUTPAINT, size: Size::Grown, price: 40, ..BASE },
    Endpoint { name: "edit/search-and-replace", fields: REPLACE, ..EDIT },
    Endpoint { name: "edit/search-and-recolor", fields: RECOLOR, ..EDIT },
    Endpoint {
        name: "edit/remove-background",
        fields: &[("image", Kind::NeededPicture(CUT_OUT)), ("output_format", Kind::Choice(&["png", "webp"]))],
        ..EDIT
    },
    Endpoint { name: "control/sketch", fields: CONTROL, ..EDIT },
    Endpoint { name: "control/structure", fields: CONTROL, ..EDIT },
    Endpoint {
        name: "control/style",
        fields: &[IMAGE, PROMPT, NEGATIVE, RATIO, ("fidelity", PART), STYLE],
        size: Size::Ratio,
        ..EDIT
    },
    Endpoint {
        name: "control/style-transfer",
        fields: TRANSFER,
        size: Size::Input("init_image"),
        price: 80,
        ..BASE
    },
    Endpoint {
        name: "upscale/fast",
        fields: &[("image", Kind::NeededPicture(TINY))],
        size: Size::Times(4),
        price: 20,
        ..BASE
    },
    Endpoint {
        name: "upscale/conservative",
        fields: &[IMAGE, PROMPT, NEGATIVE, ("creativity", Kind::Number(0.2, 0.5))],
        size: Size::Area(4_194_304.0),
        price: 400,
        ..BASE
    },
    Endpoint {
        name: "upscale/creative",
        fields: &[
            ("image", Kind::NeededPicture(SMALL)),
            PROMPT,
            NEGATIVE,
            ("creativity", Kind::Number(0.1, 0.5)),
            STYLE,
        ],
        size: Size::Longest(4096.0),
        price: 600,
        later: true,
    },
];

pub(super) fn find(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|e| e.name == path)
}

impl Endpoint {
    /// The model that answers to this name, or to none, and its price in US dollars.
    pub(super) fn model(&self, named: Option<&str>) -> (&'static str, Decimal) {
        if self.name != "generate/sd3" {
            return (self.name, Decimal::new(self.price, 3).normalize());
        }
        let at = SD3_NAMES.iter().position(|name| Some(*name) == named).unwrap_or(0);
        let name = SD3_NAMES[if at < 4 { at } else { at - 4 }];
        (name, Decimal::new(SD3_PRICES[at], 3).normalize())
    }
}

/// Pixels at this aspect ratio: about one megapixel.
pub(super) fn pixels(ratio: &str) -> (u32, u32) {
    match ratio {
        "21:9" => (1536, 640),
        "16:9" => (1344, 768),
        "3:2" => (1216, 832),
        "5:4" => (1088, 896),
        "4:5" => (896, 1088),
        "2:3" => (832, 1216),
        "9:16" => (768, 1344),
        "9:21" => (640, 1536),
        _ => (1024, 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(path: &str, model: Option<&str>) -> String {
        find(path).unwrap().model(model).1.to_string()
    }

    #[test]
    fn prices_are_those_of_the_price_list() {
        assert_eq!(price("generate/core", None), "0.03");
        assert_eq!(price("generate/ultra", None), "0.08");
        assert_eq!(price("generate/sd3", None), "0.065");
        assert_eq!(price("generate/sd3", Some("sd3.5-flash")), "0.025");
        assert_eq!(price("edit/outpaint", None), "0.04");
        assert_eq!(price("upscale/conservative", None), "0.4");
        assert_eq!(find("generate/sd3").unwrap().model(Some("sd3-medium")).0, "sd3.5-medium");
    }
}

//! The models: their fields, sizes and prices, as in the vendor's API reference and price list.

use rust_decimal::Decimal;

use crate::price;

use super::fields::Order;

/// One endpoint.
pub(super) struct Model {
    pub name: &'static str,
    pub size: Size,
    pub price: Price,
    /// The fields besides `prompt`, `seed`, `safety_tolerance`, `output_format`, `webhook_url` and `webhook_secret`.
    pub fields: &'static [(&'static str, Kind)],
    pub safety_max: i64,
    pub prompt: Prompt,
    pub png: bool,
}

/// What a field may hold.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A whole number from, to, in steps of.
    Int(i64, i64, i64),
    /// A number from, to.
    Number(f64, f64),
    Bool,
    /// `"21:9"` to `"9:21"`.
    Aspect,
    /// A URL, or base64 without a `data:` prefix.
    Picture,
    /// The same, and it must be there.
    NeededPicture,
}

/// Where the size of the image comes from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Size {
    /// Fields `width` and `height`, with these defaults.
    Given(u32, u32),
    /// The same, within 4 megapixels.
    Within4(u32, u32),
    /// Field `aspect_ratio`, about so many pixels, this ratio unless told.
    Aspect(f64, (u32, u32)),
    /// That of this input image.
    Input(&'static str),
    /// That of the input `image` and the margins added to it.
    Grown,
}

/// Whether a prompt must be given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Prompt {
    Needed,
    /// Not with an `image_prompt`.
    OrPicture,
    Optional,
}

/// A price in thousandths of a US dollar.
pub(super) enum Price {
    Picture(i64),
    /// First output megapixel; each further one, and each input megapixel.
    Megapixels(i64, i64),
}

impl Price {
    /// In US dollars.
    pub(super) fn of(&self, order: &Order) -> Decimal {
        let thousandths = match self {
            Self::Picture(price) => *price,
            Self::Megapixels(first, step) => {
                price::stepped(*first, *step, (order.width, order.height), &order.inputs)
            }
        };
        Decimal::new(thousandths, 3).normalize()
    }
}

/// Millions of pixels, to two places.
pub(super) fn megapixels(width: u32, height: u32) -> Decimal {
    Decimal::new(i64::from(width) * i64::from(height), 6).round_dp(2).normalize()
}

const SIDE: Kind = Kind::Int(256, 1440, 32);
const SIDE_2: Kind = Kind::Int(64, 4096, 16);
const MARGIN: Kind = Kind::Int(0, 2048, 1);
const MEGAPIXEL: f64 = 1_048_576.0;

const FLUX_2: &[(&str, Kind)] = &[
    ("width", SIDE_2),
    ("height", SIDE_2),
    ("input_image", Kind::Picture),
    ("input_image_2", Kind::Picture),
    ("input_image_3", Kind::Picture),
    ("input_image_4", Kind::Picture),
    ("input_image_5", Kind::Picture),
    ("input_image_6", Kind::Picture),
    ("input_image_7", Kind::Picture),
    ("input_image_8", Kind::Picture),
];
const KLEIN: &[(&str, Kind)] = FLUX_2.split_at(6).0;
const FLEX: &[(&str, Kind)] = &[
    ("width", SIDE_2),
    ("height", SIDE_2),
    ("steps", Kind::Int(1, 50, 1)),
    ("guidance", Kind::Number(1.5, 10.0)),
    ("input_image", Kind::Picture),
    ("input_image_2", Kind::Picture),
    ("input_image_3", Kind::Picture),
    ("input_image_4", Kind::Picture),
    ("input_image_5", Kind::Picture),
    ("input_image_6", Kind::Picture),
    ("input_image_7", Kind::Picture),
    ("input_image_8", Kind::Picture),
];
const KONTEXT: &[(&str, Kind)] = &[
    ("aspect_ratio", Kind::Aspect),
    ("prompt_upsampling", Kind::Bool),
    ("input_image", Kind::Picture),
    ("input_image_2", Kind::Picture),
    ("input_image_3", Kind::Picture),
    ("input_image_4", Kind::Picture),
];
const PRO: &[(&str, Kind)] =
    &[("width", SIDE), ("height", SIDE), ("image_prompt", Kind::Picture), ("prompt_upsampling", Kind::Bool)];
const DEV: &[(&str, Kind)] = &[
    ("width", SIDE),
    ("height", SIDE),
    ("image_prompt", Kind::Picture),
    ("prompt_upsampling", Kind::Bool),
    ("steps", Kind::Int(1, 50, 1)),
    ("guidance", Kind::Number(1.5, 5.0)),
];
const ULTRA: &[(&str, Kind)] = &[
    ("aspect_ratio", Kind::Aspect),
    ("image_prompt", Kind::Picture),
    ("image_prompt_strength", Kind::Number(0.0, 1.0)),
    ("prompt_upsampling", Kind::Bool),
    ("raw", Kind::Bool),
];
const FILL: &[(&str, Kind)] = &[
    ("image", Kind::NeededPicture),
    ("mask", Kind::Picture),
    ("prompt_upsampling", Kind::Bool),
    ("steps", Kind::Int(15, 50, 1)),
    ("guidance", Kind::Number(1.5, 100.0)),
];
const EXPAND: &[(&str, Kind)] = &[
    ("image", Kind::NeededPicture),
    ("top", MARGIN),
    ("bottom", MARGIN),
    ("left", MARGIN),
    ("right", MARGIN),
    ("prompt_upsampling", Kind::Bool),
    ("steps", Kind::Int(15, 50, 1)),
    ("guidance", Kind::Number(1.5, 100.0)),
];

const BASE: Model = Model {
    name: "flux-pro-1.1",
    size: Size::Given(1024, 768),
    price: Price::Picture(40),
    fields: PRO,
    safety_max: 6,
    prompt: Prompt::OrPicture,
    png: false,
};

const BASE_2: Model = Model {
    name: "flux-2-pro",
    size: Size::Within4(1024, 1024),
    price: Price::Megapixels(30, 15),
    fields: FLUX_2,
    safety_max: 5,
    prompt: Prompt::Needed,
    png: false,
};

const BASE_KONTEXT: Model = Model {
    name: "flux-kontext-pro",
    size: Size::Aspect(MEGAPIXEL, (1, 1)),
    price: Price::Picture(40),
    fields: KONTEXT,
    safety_max: 6,
    prompt: Prompt::Needed,
    png: true,
};

static MODELS: [Model; 12] = [
    BASE,
    Model {
        name: "flux-pro-1.1-ultra",
        size: Size::Aspect(4.0 * MEGAPIXEL, (16, 9)),
        price: Price::Picture(60),
        fields: ULTRA,
        ..BASE
    },
    Model { name: "flux-dev", price: Price::Picture(25), fields: DEV, ..BASE },
    BASE_2,
    Model { name: "flux-2-max", price: Price::Megapixels(70, 30), ..BASE_2 },
    Model { name: "flux-2-flex", price: Price::Megapixels(50, 50), fields: FLEX, ..BASE_2 },
    Model { name: "flux-2-klein-4b", price: Price::Megapixels(14, 1), fields: KLEIN, ..BASE_2 },
    Model { name: "flux-2-klein-9b", price: Price::Megapixels(15, 2), fields: KLEIN, ..BASE_2 },
    BASE_KONTEXT,
    Model { name: "flux-kontext-max", price: Price::Picture(80), ..BASE_KONTEXT },
    Model {
        name: "flux-pro-1.0-fill",
        size: Size::Input("image"),
        price: Price::Picture(50),
        fields: FILL,
        prompt: Prompt::Optional,
        ..BASE
    },
    Model {
        name: "flux-pro-1.0-expand",
        size: Size::Grown,
        price: Price::Picture(50),
        fields: EXPAND,
        prompt: Prompt::Optional,
        ..BASE
    },
];

pub(super) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(model: &str, width: u32, height: u32, inputs: &[(u32, u32)]) -> String {
        let order = Order { width, height, inputs: inputs.to_vec(), ..Order::default() };
        find(model).unwrap().price.of(&order).to_string()
    }

    #[test]
    fn prices_are_those_of_the_price_list() {
        assert_eq!(price("flux-pro-1.1", 1440, 1440, &[]), "0.04");
        assert_eq!(price("flux-2-pro", 1024, 1024, &[]), "0.03");
        assert_eq!(price("flux-2-pro", 1024, 1040, &[]), "0.045");
        assert_eq!(price("flux-2-pro", 2048, 2048, &[(1024, 1024), (64, 64)]), "0.105");
        assert_eq!(price("flux-2-klein-4b", 64, 64, &[]), "0.014");
    }

    #[test]
    fn klein_takes_four_pictures_and_pro_eight() {
        let last = |model: &str| find(model).unwrap().fields.last().unwrap().0;
        assert_eq!((last("flux-2-klein-4b"), last("flux-2-pro")), ("input_image_4", "input_image_8"));
    }
}

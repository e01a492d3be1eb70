//! What a model is: its fields, the size of its images, and its price.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::material::Polarity;
use crate::picture::Format;
use crate::price;

use super::fields::Order;
use super::{flux, makers, tools};

/// One endpoint.
pub(super) struct Model {
    /// Owner, app and the path below it.
    pub name: &'static str,
    /// In groups, so that models can share them.
    pub fields: &'static [&'static [Field]],
    pub size: Size,
    pub price: Price,
    pub output: Output,
    pub filter: Filter,
    /// What it draws unless told otherwise.
    pub format: Format,
}

/// One field of the input.
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub needed: bool,
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: false }
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: true }
}

/// What a field may hold.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text of at least and at most so many characters.
    Text(usize, usize),
    /// A whole number from, to.
    Int(i64, i64),
    /// A number from, to.
    Number(f64, f64),
    Bool,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// The one number that is allowed.
    Only(i64),
    /// A URL or a data URI.
    Picture,
    /// The same, of a mask.
    Mask(Polarity),
    /// A list of at most so many of them.
    Pictures(usize),
    /// A list of at most so many objects with an `image_url`.
    Faces(usize),
    /// A preset's name, or an object with `width` and `height`.
    Dimensions,
    /// The same, or `auto`.
    DimensionsOrAuto,
    /// A list of two whole numbers.
    Pair,
    /// Not looked at.
    Any,
}

/// Where the size of the image comes from.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// Field `image_size`; this preset unless told.
    Preset(&'static str),
    /// The first input image, unless `image_size` says otherwise.
    Input,
    /// Field `aspect_ratio` at so many pixels; this ratio unless told. `auto` is that of the first input image.
    Ratio(f64, &'static str),
    /// Field `aspect_ratio`, and `resolution` from `0.5K` to `4K`.
    Tier,
    /// Fields `width` and `height`; both this unless told.
    Sides(u32),
    /// The first input image and what the fields `expand_…` add to it.
    Grown,
    /// The first input image times the number in this field; this number unless told.
    Scaled(&'static str, f64),
    /// Field `canvas_size`.
    Canvas,
}

/// The key of the result.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Output {
    Images,
    Image,
}

/// Who keeps bad images back.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Filter {
    /// fal's own checker: a black image, called a success. `enable_safety_checker` turns it off.
    Checker,
    /// The maker of the model: an error.
    Maker,
}

/// A price in ten-thousandths of a US dollar.
#[derive(Clone, Copy)]
pub(super) enum Price {
    Picture(i64),
    /// For each megapixel drawn.
    Megapixel(i64),
    /// First output megapixel; each further one, and each input megapixel.
    Stepped(i64, i64),
    /// An image at this `rendering_speed`, `resolution` or `quality`; the first unless told.
    Grade(&'static [(&'static str, i64)]),
    /// For each second that the machine computes.
    Second(i64),
}

impl Price {
    /// In US dollars. Begun seconds count in full.
    pub(super) fn of(&self, order: &Order, time: Duration) -> Decimal {
        let count = i64::try_from(order.count).unwrap_or(1);
        let size = (order.width, order.height);
        let price = match self {
            Self::Picture(price) => price * count,
            Self::Megapixel(price) => price * price::begun_megapixels(size) * count,
            Self::Stepped(first, step) => price::stepped(*first, *step, size, &order.sizes) * count,
            Self::Grade(grades) => {
                let named = grades.iter().find(|(name, _)| Some(*name) == order.grade.as_deref());
                named.or(grades.first()).map_or(0, |(_, price)| *price) * count
            }
            Self::Second(price) => price * i64::try_from(time.as_millis().div_ceil(1000).max(1)).unwrap_or(1),
        };
        Decimal::new(price, 4).normalize()
    }

    /// Unit price and unit, as the price list has them.
    pub(super) fn listed(&self) -> (Decimal, &'static str) {
        let (price, unit) = match self {
            Self::Picture(price) => (*price, "images"),
            Self::Megapixel(price) | Self::Stepped(price, _) => (*price, "megapixels"),
            Self::Grade(grades) => (grades.first().map_or(0, |(_, price)| *price), "images"),
            Self::Second(price) => (*price, "compute seconds"),
        };
        (Decimal::new(price, 4).normalize(), unit)
    }
}

impl Model {
    /// Owner and app: all that the URLs of a request name.
    pub(super) fn app(&self) -> &'static str {
        let end = self.name.match_indices('/').nth(1).map_or(self.name.len(), |(at, _)| at);
        &self.name[..end]
    }

    pub(super) fn all_fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().flat_map(|group| group.iter())
    }

    pub(super) fn takes(&self, field: &str) -> bool {
        self.all_fields().any(|f| f.name == field)
    }
}

fn all() -> impl Iterator<Item = &'static Model> {
    flux::MODELS.iter().chain(makers::MODELS).chain(tools::MODELS)
}

pub(super) fn find(name: &str) -> Option<&'static Model> {
    all().find(|m| m.name == name)
}

/// Whether there is an app of that owner.
pub(super) fn is_app(name: &str) -> bool {
    all().any(|m| m.app() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(model: &str, order: Order, seconds: f64) -> String {
        find(model).unwrap().price.of(&order, Duration::from_secs_f64(seconds)).to_string()
    }

    fn order(width: u32, height: u32, count: u64) -> Order {
        Order { width, height, count, ..Order::default() }
    }

    #[test]
    fn prices_are_those_of_the_price_list() {
        assert_eq!(price("fal-ai/flux/dev", order(1024, 1024, 1), 0.0), "0.025");
        assert_eq!(price("fal-ai/flux/schnell", order(1024, 1040, 3), 0.0), "0.018");
        assert_eq!(price("fal-ai/flux-2-pro", order(2048, 1024, 1), 0.0), "0.045");
        let edit = Order { sizes: vec![(1024, 1024), (64, 64)], ..order(1024, 1024, 1) };
        assert_eq!(price("fal-ai/flux-2-pro/edit", edit, 0.0), "0.06");
        let quality = Order { grade: Some("QUALITY".into()), ..order(1024, 1024, 2) };
        assert_eq!(price("fal-ai/ideogram/v3", quality, 0.0), "0.18");
        assert_eq!(price("fal-ai/ideogram/v3", order(1024, 1024, 1), 0.0), "0.06");
        assert_eq!(price("fal-ai/esrgan", order(1024, 1024, 1), 0.0), "0.0011");
        assert_eq!(price("fal-ai/esrgan", order(1024, 1024, 1), 2.1), "0.0033");
    }

    #[test]
    fn the_catalogue_is_sound() {
        let mut names: Vec<_> = all().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
        for model in all() {
            let mut fields: Vec<_> = model.all_fields().map(|f| f.name).collect();
            let count = fields.len();
            fields.sort_unstable();
            fields.dedup();
            assert_eq!(fields.len(), count, "{}", model.name);
        }
        assert_eq!(find("fal-ai/flux/dev/image-to-image").unwrap().app(), "fal-ai/flux");
        assert_eq!(find("ideogram/v4").unwrap().app(), "ideogram/v4");
    }
}

//! What a form may say, and Stability's words for what it may not. Fields it does not know it passes over.

use rust_decimal::Decimal;

use crate::call::{Call, Part, Payload};
use crate::material::{Material, Polarity};
use crate::picture::Format;

use super::LARGEST_SEED;
use super::endpoints::{Endpoint, Kind, Limits, Size, pixels};

const LONGEST_PROMPT: usize = 10_000;

/// A valid request.
#[derive(Debug)]
pub(super) struct Order {
    pub model: &'static str,
    pub price: Decimal,
    pub prompt: String,
    pub seed: Option<u64>,
    pub width: u32,
    pub height: u32,
    pub format: Format,
    pub inputs: Vec<Material>,
}

impl Order {
    /// All that is wrong with it is listed.
    pub(super) fn read(call: &Call, endpoint: &Endpoint) -> Result<Self, Vec<String>> {
        let Payload::Form(parts) = &call.payload else {
            return Err(vec!["content-type: must be multipart/form-data".into()]);
        };
        let mut check = Check { parts, errors: Vec::new(), inputs: Vec::new() };
        let order = check.order(endpoint);
        if check.errors.is_empty() { Ok(Self { inputs: check.inputs, ..order }) } else { Err(check.errors) }
    }
}

struct Check<'a> {
    parts: &'a [Part],
    errors: Vec<String>,
    inputs: Vec<Material>,
}

impl Check<'_> {
    fn wrong(&mut self, name: &str, text: &str) {
        self.errors.push(format!("{name}: {text}"));
    }

    fn order(&mut self, endpoint: &Endpoint) -> Order {
        for (name, kind) in endpoint.fields {
            match *kind {
                Kind::NeededText => self.check_text(name, true),
                Kind::Text => self.check_text(name, false),
                Kind::Number(from, to) => self.number(name, from, to),
                Kind::Int(from, to) => drop(self.int(name, from, to)),
                Kind::Choice(known) => self.choice(name, known),
                Kind::NeededPicture(limits) => self.picture(name, true, limits),
                Kind::Picture(limits) => self.picture(name, false, limits),
                Kind::Mask => self.mask(name),
            }
        }
        let model = self.text("model");
        let (model, price) = endpoint.model(model.as_deref());
        self.choice("output_format", &["jpeg", "png", "webp"]);
        if endpoint.size == Size::InputOrRatio("image") {
            self.mode(endpoint.name);
        }
        let (width, height) = self.size(endpoint.size);
        let seed = self.int("seed", 0, i64::try_from(LARGEST_SEED).unwrap_or(i64::MAX));
        Order {
            model,
            price,
            prompt: self.text("prompt").unwrap_or_default(),
            seed: seed.and_then(|seed| u64::try_from(seed).ok()).filter(|seed| *seed != 0),
            width,
            height,
            format: self.text("output_format").and_then(|f| Format::named(&f)).unwrap_or(Format::Png),
            inputs: Vec::new(),
        }
    }

    /// What goes with an image and what does not.
    fn mode(&mut self, endpoint: &str) {
        let (has_image, has_strength) = (self.part("image").is_some(), self.text("strength").is_some());
        let sd3 = endpoint == "generate/sd3";
        if sd3 && self.text("mode").as_deref() != Some("image-to-image") {
            for name in ["image", "strength"] {
                if self.part(name).is_some() {
                    self.wrong(name, "is only allowed when mode is image-to-image");
                }
            }
            return;
        }
        if sd3 && !has_image {
            self.wrong("image", "is required when mode is image-to-image");
        }
        if (sd3 || has_image) && !has_strength {
            self.wrong("strength", "is required when an image is given");
        }
        if sd3 && self.part("aspect_ratio").is_some() {
            self.wrong("aspect_ratio", "is only allowed when mode is text-to-image");
        }
    }

    fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|p| p.name == name)
    }

    /// A field that is there and not empty.
    fn text(&self, name: &str) -> Option<String> {
        let part = self.parts.iter().find(|p| p.name == name && p.file_name.is_none())?;
        Some(String::from_utf8_lossy(&part.bytes).into_owned()).filter(|text| !text.is_empty())
    }

    fn check_text(&mut self, name: &str, needed: bool) {
        match self.text(name) {
            None if needed => self.wrong(name, "is required"),
            Some(text) if needed && text.trim().is_empty() => self.wrong(name, "cannot be blank"),
            Some(text) if text.chars().count() > LONGEST_PROMPT => {
                self.wrong(name, &format!("must be less than or equal to {LONGEST_PROMPT} characters"));
            }
            _ => {}
        }
    }

    fn number(&mut self, name: &str, from: f64, to: f64) {
        let Some(text) = self.text(name) else { return };
        match text.parse::<f64>() {
            Ok(n) if n < from => self.wrong(name, &format!("must be greater than or equal to {from}")),
            Ok(n) if n > to => self.wrong(name, &format!("must be less than or equal to {to}")),
            Ok(n) if n.is_finite() => {}
            _ => self.wrong(name, "must be a number"),
        }
    }

    fn int(&mut self, name: &str, from: i64, to: i64) -> Option<i64> {
        let text = self.text(name)?;
        match text.parse::<i64>() {
            Ok(n) if n < from => self.wrong(name, &format!("must be greater than or equal to {from}")),
            Ok(n) if n > to => self.wrong(name, &format!("must be less than or equal to {to}")),
            Ok(n) => return Some(n),
            Err(_) => self.wrong(name, "must be an integer"),
        }
        None
    }

    fn choice(&mut self, name: &str, known: &[&str]) {
        if self.text(name).is_some_and(|text| !known.contains(&text.as_str())) {
            self.wrong(name, &format!("must be one of the following values: {}", known.join(", ")));
        }
    }

    fn picture(&mut self, name: &str, needed: bool, limits: Limits) {
        let Some(part) = self.part(name) else {
            if needed {
                self.wrong(name, "is required");
            }
            return;
        };
        match known_picture(Material::read(name, &part.bytes)) {
            None => self.wrong(name, "must be a valid image of type image/jpeg, image/png or image/webp"),
            Some(material) => {
                self.measure(&material, limits);
                self.inputs.push(material);
            }
        }
    }

    fn measure(&mut self, material: &Material, limits: Limits) {
        let (short, long) = (material.width.min(material.height), material.width.max(material.height));
        let pixels = u64::from(short) * u64::from(long);
        let ((least, most), (fewest, largest)) = (limits.side, limits.pixels);
        if short < least {
            self.wrong(&material.name, &format!("every side must be at least {least} pixels"));
        } else if long > most {
            self.wrong(&material.name, &format!("every side must be at most {most} pixels"));
        } else if !(fewest..=largest).contains(&pixels) {
            self.wrong(
                &material.name,
                &format!("total pixel count must be between {fewest} and {largest} pixels, got {pixels}"),
            );
        } else if u64::from(long) * 10 > u64::from(short) * u64::from(limits.tenths) {
            self.wrong(&material.name, "aspect ratio must be between 1:2.5 and 2.5:1");
        }
    }

    /// The mask, which may be of any size, or else the transparent pixels of the image.
    fn mask(&mut self, name: &str) {
        if let Some(part) = self.part(name) {
            match known_picture(Material::read_mask(name, &part.bytes, Polarity::White)) {
                None => self.wrong(name, "must be a valid image of type image/jpeg, image/png or image/webp"),
                Some(mask) => self.inputs.push(mask),
            }
            return;
        }
        let Some(part) = self.part("image") else { return };
        let Ok(image) = Material::read_mask("image", &part.bytes, Polarity::Transparent) else { return };
        if image.marks.as_ref().is_some_and(|marks| marks.edited == 0) {
            self.wrong(name, "is required when the image has no transparent pixels");
        }
        self.inputs.retain(|input| input.name != "image");
        self.inputs.push(image);
    }

    fn size(&mut self, size: Size) -> (u32, u32) {
        let input = |name: &str| {
            self.inputs.iter().find(|i| i.name == name).map(|i| (i.width, i.height)).unwrap_or((64, 64))
        };
        let scaled = |factor: f64| {
            let (w, h) = input("image");
            // A cast of a float saturates, and these are small.
            let side = |n: u32| ((f64::from(n) * factor).round() as u32).max(1);
            (side(w), side(h))
        };
        let (width, height) = input("image");
        match size {
            Size::InputOrRatio(name) if self.inputs.iter().any(|i| i.name == name) => input(name),
            Size::Ratio | Size::InputOrRatio(_) => pixels(&self.text("aspect_ratio").unwrap_or_default()),
            Size::Input(name) => input(name),
            Size::Times(factor) => (width * factor, height * factor),
            Size::Area(area) => scaled((area / (f64::from(width) * f64::from(height))).sqrt()),
            Size::Longest(long) => scaled(long / f64::from(width.max(height))),
            Size::Grown => {
                // What is out of range was complained about already.
                let add =
                    |name: &str| self.text(name).and_then(|t| t.parse().ok()).unwrap_or(0_u32).min(2000);
                let (across, along) = (add("left") + add("right"), add("up") + add("down"));
                if across + along == 0 {
                    self.wrong("left", "at least one of left, right, up or down must be greater than 0");
                }
                (width + across, height + along)
            }
        }
    }
}

fn known_picture(read: Result<Material, String>) -> Option<Material> {
    read.ok().filter(|material| material.media_type != "image/gif")
}

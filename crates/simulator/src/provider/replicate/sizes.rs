//! How large the image becomes.

use crate::size::{fitted, pair, ratio};

use super::fields::Check;
use super::models::{Model, Size};

/// Pixels of the largest image that fits into the machine.
const LARGEST: u64 = 100_000_000;
const SQUARE: (u32, u32) = (1024, 1024);
const MEGAPIXEL: f64 = 1_048_576.0;

impl Check<'_> {
    pub(super) fn size(&mut self, model: &Model) -> (u32, u32) {
        let input = self.sizes().next();
        let (width, height) = match model.size {
            Size::Ratio => {
                let input = input.filter(|_| model.takes("image"));
                let (width, height) =
                    input.unwrap_or_else(|| named(self.text("aspect_ratio").unwrap_or("1:1")));
                // The small size has half the sides.
                let small = input.is_none() && self.text("megapixels") == Some("0.25");
                if small { (width / 2, height / 2) } else { (width, height) }
            }
            Size::Custom(usual) => self.custom(model, usual, input),
            Size::Ideogram => match self.text("resolution").filter(|text| *text != "None") {
                _ if self.has_mask() => input.unwrap_or(SQUARE),
                Some(text) => written(text).unwrap_or(SQUARE),
                None => named(self.text("aspect_ratio").unwrap_or("1:1")),
            },
            Size::Sides((across, width), (down, height)) => match input.filter(|_| model.takes("image")) {
                Some(size) => size,
                None => (self.side(across).unwrap_or(width), self.side(down).unwrap_or(height)),
            },
            Size::Input => self.outpainted(input.unwrap_or(SQUARE)),
            Size::Scaled => {
                let (width, height) = input.unwrap_or(SQUARE);
                let factor = self.number("scale").unwrap_or(4.0);
                (scaled(width, factor), scaled(height, factor))
            }
            Size::Written => self.text("resolution").and_then(written).unwrap_or(SQUARE),
        };
        if u64::from(width) * u64::from(height) > LARGEST {
            self.fail("CUDA out of memory. Tried to allocate 8.00 GiB.".to_owned());
        }
        (width, height)
    }

    fn custom(&mut self, model: &Model, usual: &str, input: Option<(u32, u32)>) -> (u32, u32) {
        let asked = self.text("aspect_ratio").unwrap_or(usual).to_owned();
        match asked.as_str() {
            "custom" => match (self.side("width"), self.side("height")) {
                // Both are rounded to blocks of 32 pixels.
                (Some(width), Some(height)) => (width / 32 * 32, height / 32 * 32),
                _ => {
                    self.fail("width and height are needed with a custom aspect ratio. (E006)".to_owned());
                    SQUARE
                }
            },
            "match_input_image" => input.unwrap_or(SQUARE),
            name => {
                let resolution = self.text("resolution").filter(|_| model.takes("resolution"));
                let megapixels = resolution.and_then(|text| text.strip_suffix(" MP")?.parse::<f64>().ok());
                match (megapixels, pair(name, ':')) {
                    (Some(megapixels), Some(sides)) if megapixels != 1.0 => {
                        fitted(megapixels * MEGAPIXEL, ratio(sides))
                    }
                    _ => named(name),
                }
            }
        }
    }

    fn outpainted(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let side = width.max(height);
        match self.text("outpaint").unwrap_or("None") {
            "Zoom out 1.5x" => (scaled(width, 1.5), scaled(height, 1.5)),
            "Zoom out 2x" => (width * 2, height * 2),
            "Make square" => (side, side),
            "Left outpaint" | "Right outpaint" => (scaled(width, 1.5), height),
            "Top outpaint" | "Bottom outpaint" => (width, scaled(height, 1.5)),
            _ => (width, height),
        }
    }
}

fn scaled(side: u32, factor: f64) -> u32 {
    // A cast of a float saturates.
    ((f64::from(side) * factor).round() as u32).max(1)
}

/// A size at the ratio of that name, as the FLUX models have them.
fn named(name: &str) -> (u32, u32) {
    match name {
        "1:1" => SQUARE,
        "16:9" => (1344, 768),
        "21:9" => (1536, 640),
        "3:2" => (1216, 832),
        "2:3" => (832, 1216),
        "4:5" => (896, 1088),
        "5:4" => (1088, 896),
        "3:4" => (896, 1152),
        "4:3" => (1152, 896),
        "9:16" => (768, 1344),
        "9:21" => (640, 1536),
        other => pair(other, ':').map_or(SQUARE, |sides| fitted(MEGAPIXEL, ratio(sides))),
    }
}

/// The first two numbers of a text such as `1024x768` or `1024 × 768 (Landscape)`.
fn written(text: &str) -> Option<(u32, u32)> {
    let mut numbers =
        text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(str::parse::<u32>);
    let (width, height) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    ((64..=4096).contains(&width) && (64..=4096).contains(&height)).then_some((width, height))
}

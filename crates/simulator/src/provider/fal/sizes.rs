//! How large the image becomes.

use serde_json::Value;

use crate::size::{self, fitted, ratio};

use super::fields::{Check, pair, preset};
use super::models::{Model, Size};

/// Pixels of the largest image drawn.
const LARGEST: u64 = 100_000_000;
const SQUARE: (u32, u32) = (1024, 1024);

impl Check<'_> {
    pub(super) fn size(&mut self, model: &Model) -> (u32, u32) {
        let input = self.first_size();
        let asked = self
            .get("image_size")
            .cloned()
            .filter(|_| model.takes("image_size"))
            .and_then(|value| self.image_size("image_size", &value, true));
        let (width, height) = match model.size {
            Size::Preset(name) => asked.or_else(|| preset(name)).unwrap_or(SQUARE),
            Size::Input => asked.or(input).unwrap_or(SQUARE),
            Size::Ratio(area, usual) => self.at_ratio(area, usual, input),
            Size::Tier => {
                let side = match self.text("resolution").unwrap_or("1K") {
                    "0.5K" => 512.0,
                    "2K" => 2048.0,
                    "4K" => 4096.0,
                    _ => 1024.0,
                };
                self.at_ratio(side * side, "auto", input.map(|size| fitted(side * side, ratio(size))))
            }
            Size::Sides(usual) => {
                let side = |name: &str| self.get(name).and_then(Value::as_u64);
                let side = |name| side(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(usual);
                (side("width"), side("height"))
            }
            Size::Grown => {
                let (width, height) = input.unwrap_or(SQUARE);
                let add = |name: &str| self.get(name).and_then(Value::as_u64).unwrap_or(0);
                let add = |name| u32::try_from(add(name)).unwrap_or(0);
                let across = add("expand_left") + add("expand_right");
                let down = add("expand_top") + add("expand_bottom");
                if across + down == 0 && self.get("zoom_out_percentage").is_none() {
                    let msg = "Value error, at least one side must be expanded";
                    self.wrong("expand_top", "value_error", msg);
                }
                (width + across, height + down)
            }
            Size::Scaled(field, usual) => {
                let (width, height) = input.unwrap_or(SQUARE);
                let factor = self.number(field).unwrap_or(usual);
                // A cast of a float saturates.
                let scale = |side: u32| (f64::from(side) * factor).round() as u32;
                (scale(width), scale(height))
            }
            Size::Canvas => self.get("canvas_size").and_then(pair).unwrap_or(SQUARE),
        };
        if u64::from(width) * u64::from(height) > LARGEST {
            let msg = "Image dimensions are too large. The result would exceed the maximum.";
            self.wrong("image_url", "image_too_large", msg);
        }
        (width, height)
    }

    fn at_ratio(&self, area: f64, usual: &str, input: Option<(u32, u32)>) -> (u32, u32) {
        let asked = self.text("aspect_ratio").unwrap_or(usual);
        match size::pair(asked, ':') {
            Some(sides) => fitted(area, ratio(sides)),
            None => input.unwrap_or_else(|| fitted(area, 1.0)),
        }
    }
}

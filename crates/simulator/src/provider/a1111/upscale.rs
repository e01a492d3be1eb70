//! Enlarging an image.

use serde_json::{Map, Value};

use crate::material::Material;

use super::fields::{Fields, picture};
use super::{Wrong, installed};

/// Longer sides do not fit on the card.
const LONGEST_SIDE: f64 = 16_384.0;

/// The image that came and the size that it gets.
pub(super) fn read(body: &Map<String, Value>) -> Result<(Material, (u32, u32)), Wrong> {
    let fields = Fields(body);
    let by_size = match fields.int("resize_mode")?.unwrap_or(0) {
        0 => false,
        1 => true,
        _ => return Err(Wrong::field("resize_mode", "unexpected value; permitted: 0, 1")),
    };
    let factor = fields.number("upscaling_resize")?.unwrap_or(2.0);
    if factor <= 0.0 {
        return Err(Wrong::field("upscaling_resize", "ensure this value is greater than 0"));
    }
    let mut sides = [512.0; 2];
    for (name, side) in ["upscaling_resize_w", "upscaling_resize_h"].into_iter().zip(&mut sides) {
        *side = fields.int(name)?.unwrap_or(512) as f64;
        if *side < 1.0 {
            return Err(Wrong::field(name, "ensure this value is greater than or equal to 1"));
        }
    }
    for name in
        ["gfpgan_visibility", "codeformer_visibility", "codeformer_weight", "extras_upscaler_2_visibility"]
    {
        if fields.number(name)?.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
            return Err(Wrong::field(name, "ensure this value is less than or equal to 1"));
        }
    }
    let crop = fields.flag("upscaling_crop")?.unwrap_or(true);
    let input = picture("image", body.get("image").unwrap_or(&Value::Null), None)?;
    let upscaler = fields.text("upscaler_1")?.unwrap_or_else(|| "None".to_owned());
    installed::check_upscaler(&upscaler, false)?;
    if let Some(name) = fields.text("upscaler_2")? {
        installed::check_upscaler(&name, false)?;
    }
    let (width, height) = (f64::from(input.width), f64::from(input.height));
    let [to_width, to_height] = sides;
    let cover = (to_width / width).max(to_height / height);
    let (w, h) = match (upscaler.as_str(), by_size) {
        // Without an upscaler nothing is done at all.
        ("None", _) => (width, height),
        (_, false) => (width * factor, height * factor),
        (_, true) if crop => (to_width, to_height),
        (_, true) => ((width * cover).round(), (height * cover).round()),
    };
    if w.max(h) > LONGEST_SIDE {
        return Err(Wrong::out_of_memory());
    }
    // Both fit by now.
    Ok((input, ((w as u32).max(1), (h as u32).max(1))))
}

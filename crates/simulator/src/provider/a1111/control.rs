//! The units of the ControlNet extension.

use hyper::StatusCode;
use serde_json::Value;

use crate::material::{Material, Polarity};

use super::Wrong;
use super::fields::{Fields, picture};
use super::installed;

const RESIZE_MODES: [&str; 3] = ["Just Resize", "Crop and Resize", "Resize and Fill"];
const CONTROL_MODES: [&str; 3] = ["Balanced", "My prompt is more important", "ControlNet is more important"];

/// Checks all units, puts the images of the enabled ones to `inputs`, and tells how many maps they send back.
pub(super) fn read(script: &Value, inputs: &mut Vec<Material>) -> Result<u64, Wrong> {
    let Some(units) = script.get("args").and_then(Value::as_array) else {
        return Err(Wrong::crash("KeyError", "'args'"));
    };
    let mut maps = 0;
    for (n, unit) in units.iter().enumerate() {
        let Value::Object(unit) = unit else {
            return Err(invalid("__root__", "ControlNetUnit expected dict"));
        };
        maps += u64::from(read_unit(n, &Fields(unit), inputs)?);
    }
    Ok(maps)
}

/// The extension's own validation crashes the request.
fn invalid(name: &str, text: &str) -> Wrong {
    let text = format!("1 validation error for ControlNetUnit\n{name}\n  {text} (type=value_error)");
    Wrong::crash("ValidationError", &text)
}

fn read_unit(n: usize, unit: &Fields<'_>, inputs: &mut Vec<Material>) -> Result<bool, Wrong> {
    let module = unit.text("module")?.unwrap_or_else(|| "none".to_owned());
    if !installed::has_module(&module) {
        return Err(invalid("module", &format!("module({module}) not found in supported modules.")));
    }
    let model = unit.text("model")?.unwrap_or_else(|| "None".to_owned());
    if !installed::has_model(&model) {
        return Err(invalid("model", &format!("model({model}) not found in supported models.")));
    }
    for (name, most) in [("weight", 2.0), ("guidance_start", 1.0), ("guidance_end", 1.0)] {
        if unit.number(name)?.is_some_and(|number| !(0.0..=most).contains(&number)) {
            let text = format!("ensure this value is between 0 and {most}");
            return Err(invalid(name, &text));
        }
    }
    for (name, known) in [("resize_mode", RESIZE_MODES), ("control_mode", CONTROL_MODES)] {
        let good = match unit.get(name) {
            None => true,
            Some(Value::String(text)) => known.contains(&text.as_str()),
            Some(value) => value.as_u64().is_some_and(|number| number < 3),
        };
        if !good {
            return Err(invalid(name, "value is not a valid enumeration member"));
        }
    }
    // Without this a unit does nothing, and says nothing.
    if unit.flag("enabled")? != Some(true) {
        return Ok(false);
    }
    match unit.get("image").or_else(|| unit.get("input_image")) {
        Some(image) => inputs.push(picture(&format!("controlnet[{n}].image"), image, None)?),
        // The image to start from stands in.
        None if inputs.iter().any(|input| input.name == "init_images") => {}
        None => {
            let text = "controlnet is enabled but no input image is given";
            return Err(Wrong::raised(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
    }
    if let Some(mask) = unit.get("mask").or_else(|| unit.get("mask_image")) {
        inputs.push(picture(&format!("controlnet[{n}].mask"), mask, Some(Polarity::White))?);
    }
    Ok(module != "none" && unit.flag("save_detected_map")? != Some(false))
}

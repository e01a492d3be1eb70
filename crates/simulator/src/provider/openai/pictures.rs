//! The images of an edit: in a form or in JSON.

use serde_json::{Map, Value};

use crate::call::Part;
use crate::material::{Material, Polarity, REMOTE_SIZE, data_uri};

use super::fields::Wrong;

const MOST_INPUTS: usize = 16;

/// The sizes of the images sent along, and what was seen of them and of the mask.
type Sent = (Vec<(u32, u32)>, Vec<Material>);

/// Looks at an image, or at what a mask marks.
fn seen(name: &str, file: &[u8]) -> Result<Material, Wrong> {
    if name != "mask" {
        return Material::read(name, file).map_err(|_| bad_picture(name));
    }
    let mask = Material::read_mask(name, file, Polarity::Transparent).map_err(|_| bad_picture(name))?;
    if image::load_from_memory(file).is_ok_and(|picture| !picture.color().has_alpha()) {
        let text = "Invalid mask image format - mask image missing alpha channel";
        return Err(Wrong::new(text).param("mask").code("invalid_image_format"));
    }
    Ok(mask)
}

/// Checks the mask's size, and puts it behind the images.
fn with_mask(
    inputs: Vec<(u32, u32)>,
    mut seen: Vec<Material>,
    mask: Option<Material>,
) -> Result<Sent, Wrong> {
    if let Some(mask) = mask {
        let size = (mask.width, mask.height);
        if inputs.first().is_some_and(|first| *first != size && *first != REMOTE_SIZE) {
            let text = "Invalid mask image format - mask size does not match image size";
            return Err(Wrong::new(text).param("mask").code("invalid_image_format"));
        }
        seen.push(mask);
    }
    Ok((inputs, seen))
}

fn counted(inputs: Vec<(u32, u32)>, name: &str) -> Result<Vec<(u32, u32)>, Wrong> {
    match inputs.len() {
        0 => {
            let text = format!("Missing required parameter: '{name}'.");
            Err(Wrong::new(text).param(name).code("missing_required_parameter"))
        }
        1..=MOST_INPUTS => Ok(inputs),
        many => {
            let text = format!(
                "Invalid '{name}': array too long. Expected an array with maximum length {MOST_INPUTS}, but got an array with length {many} instead."
            );
            Err(Wrong::new(text).param(name).code("array_above_max_length"))
        }
    }
}

pub(super) fn of_form(parts: &[Part]) -> Result<Sent, Wrong> {
    let (mut inputs, mut pictures) = (Vec::new(), Vec::new());
    let mut mask = None;
    for part in parts.iter().filter(|p| p.file_name.is_some()) {
        let name = part.name.trim_end_matches("[]");
        let kind = part.media_type.as_deref().unwrap_or("application/octet-stream");
        let known: &[&str] = match name {
            "image" => &["image/png", "image/jpeg", "image/webp"],
            "mask" => &["image/png"],
            _ => {
                let text = format!("Unknown parameter: '{name}'.");
                return Err(Wrong::new(text).param(name).code("unknown_parameter"));
            }
        };
        if !known.contains(&kind) {
            let text = format!(
                "Invalid file '{name}': unsupported mimetype ('{kind}'). Supported file formats are {}.",
                known.join(", ")
            );
            return Err(Wrong::new(text).param(name).code("unsupported_file_mimetype"));
        }
        let material = seen(name, &part.bytes)?;
        if name == "mask" {
            mask = Some(material);
        } else {
            inputs.push((material.width, material.height));
            pictures.push(material);
        }
    }
    with_mask(counted(inputs, "image")?, pictures, mask)
}

pub(super) fn of_json(map: &Map<String, Value>) -> Result<Sent, Wrong> {
    let images = map.get("images").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut inputs, mut pictures) = (Vec::new(), Vec::new());
    for image in images {
        let material = json_picture(image, "images")?;
        inputs.push(material.as_ref().map_or(REMOTE_SIZE, |m| (m.width, m.height)));
        pictures.extend(material);
    }
    let mask = match map.get("mask").filter(|m| !m.is_null()) {
        Some(mask) => json_picture(mask, "mask")?,
        None => None,
    };
    with_mask(counted(inputs, "images")?, pictures, mask)
}

/// `None` for one that is somewhere else.
fn json_picture(image: &Value, name: &str) -> Result<Option<Material>, Wrong> {
    let text = |key| image.get(key).and_then(Value::as_str);
    match (text("image_url"), text("file_id")) {
        (None, Some(_)) => Ok(None),
        (Some(url), None) if url.starts_with("https://") => Ok(None),
        (Some(url), None) => match data_uri(url).filter(|(kind, _)| kind.starts_with("image/")) {
            Some((_, file)) => seen(name, &file).map(Some),
            None => Err(bad_picture(name)),
        },
        _ => {
            let text = format!("Invalid '{name}': exactly one of 'image_url' and 'file_id' is needed.");
            Err(Wrong::new(text).param(name).code("invalid_value"))
        }
    }
}

fn bad_picture(name: &str) -> Wrong {
    Wrong::new("Invalid image file or mode for image, please check your image file.")
        .param(name)
        .code("invalid_image_file")
}

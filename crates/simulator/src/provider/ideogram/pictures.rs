//! The images of a form.

use crate::call::Part;
use crate::material::{Material, Polarity};

use super::endpoints::{Action, Api, Endpoint};

/// Pixels of a side of the image that is worked on.
const LONGEST_SIDE: u32 = 4096;

pub(super) fn read(parts: &[Part], endpoint: &Endpoint) -> Result<Vec<Material>, String> {
    let mut all: Vec<Material> = Vec::new();
    for part in parts {
        let name = plain(&part.name);
        let Some(most) = most(endpoint, name) else { continue };
        let megabytes = if endpoint.is_current() { 25 } else { 10 };
        if part.bytes.len() > megabytes << 20 {
            return Err(format!("{name} exceeds the limit of {megabytes}MB"));
        }
        let mask = (name == "mask").then_some(Polarity::Black);
        let read = Material::read_as(mask, name, &part.bytes).ok();
        let material = read.filter(|m| m.media_type != "image/gif");
        all.push(material.ok_or_else(|| format!("{name} must be a JPEG, WebP or PNG image"))?);
        if all.iter().filter(|m| m.name == name).count() > most {
            return Err(format!("at most {most} {name} are supported"));
        }
    }
    let find = |name: &str| all.iter().find(|m| m.name == name);
    let needed = [image(endpoint), "mask"];
    let needed = match endpoint.action {
        Action::Generate => &[],
        Action::Inpaint => &needed[..],
        _ => &needed[..1],
    };
    if let Some(name) = needed.iter().find(|name| find(name).is_none()) {
        return Err(format!("{name} is required"));
    }
    let image = find(image(endpoint));
    if let Some(mask) = find("mask") {
        fits(mask, image.or_else(|| find("images")), endpoint)?;
    }
    if let Some(image) = image {
        if image.width.max(image.height) > LONGEST_SIDE {
            return Err(format!("image is too large: its sides must be at most {LONGEST_SIDE} pixels"));
        }
        if endpoint.action == Action::Reframe && !endpoint.is_current() && image.width != image.height {
            return Err("image must be square".into());
        }
    }
    Ok(all)
}

/// The name of the image that is worked on.
fn image(endpoint: &Endpoint) -> &'static str {
    if endpoint.api == Api::Legacy { "image_file" } else { "image" }
}

/// How many images of that name are taken. Others are passed over.
fn most(endpoint: &Endpoint, name: &str) -> Option<usize> {
    let generates = endpoint.action == Action::Generate;
    Some(match (name, endpoint.model) {
        _ if name == image(endpoint) && !generates => 1,
        ("mask", "ideogram-4-5") => 1,
        ("mask", _) if endpoint.action == Action::Inpaint => 1,
        _ if endpoint.api == Api::Legacy => return None,
        ("images", "auto") if generates => 10,
        ("images", "ideogram-4-5") if generates => 5,
        ("reference_images", "ideogram-4-5") => 4,
        ("style_reference_images", _) => 10,
        ("character_reference_images", _) => 1,
        ("character_reference_images_mask" | "character_reference_mask", _) => 1,
        _ => return None,
    })
}

fn fits(mask: &Material, image: Option<&Material>, endpoint: &Endpoint) -> Result<(), String> {
    if image.is_none_or(|image| (image.width, image.height) != (mask.width, mask.height)) {
        return Err("mask must have the same size as the image".into());
    }
    let pixels = u64::from(mask.width) * u64::from(mask.height);
    let edited = mask.marks.as_ref().map_or(0, |marks| marks.edited);
    if endpoint.model == "ideogram-4-5" && (edited == 0 || edited == pixels) {
        return Err("mask must contain both black and white".into());
    }
    Ok(())
}

/// The name without the brackets that some clients add to repeated files.
pub(super) fn plain(name: &str) -> &str {
    name.trim_end_matches("[]")
}

//! What is asked of every offer, and with which images.

use image_gen_tests::picture::{Mask, data_uri, photo};

use crate::matrix::Offer;

/// The images that go in.
pub struct Pictures {
    /// The image to work on.
    pub image: Vec<u8>,
    /// What of it to change.
    pub mask: Mask,
    /// The image with the style.
    pub style: Vec<u8>,
    /// The image with the subject.
    pub reference: Vec<u8>,
}

/// The size of the image to work on.
pub const SIZE: (u32, u32) = (256, 192);
/// What an outpainting adds: top, right, bottom, left.
pub const BORDERS: [u32; 4] = [32, 64, 0, 128];
/// The size of what an outpainting makes.
pub const EXTENDED: (u32, u32) = (SIZE.0 + BORDERS[1] + BORDERS[3], SIZE.1 + BORDERS[0] + BORDERS[2]);
/// The seed of every call.
pub const SEED: i64 = 73104;

impl Default for Pictures {
    fn default() -> Self {
        let (width, height) = SIZE;
        Pictures {
            image: photo(width, height, 90),
            mask: Mask::new(width, height, |x, y| (40..100).contains(&x) && y < 50 || (x, y) == (200, 150)),
            style: photo(128, 128, 91),
            reference: photo(192, 192, 92),
        }
    }
}

impl Pictures {
    /// What a task takes of them: the argument and the bytes.
    pub fn of(&self, task: &str) -> Vec<(&'static str, &[u8])> {
        match task {
            "generate" => vec![],
            "character" => vec![("reference_image", &self.reference)],
            "reference_images" => {
                vec![("reference_images", &self.reference), ("reference_images", &self.style)]
            }
            "inpaint" => vec![("image", &self.image), ("mask", &self.mask.png)],
            "transfer_style" => vec![("image", &self.image), ("style_image", &self.style)],
            _ => vec![("image", &self.image)],
        }
    }

    /// The call of an offer's task: the function with its arguments. A prompt that is not needed and empty is left out.
    pub fn call(&self, offer: &Offer, target: &str, prompt: &str) -> String {
        let last = offer.scales().last().copied();
        self.call_scaled(offer, target, prompt, last.unwrap_or_default())
    }

    /// The same; an upscaling is by this factor.
    pub fn call_scaled(&self, offer: &Offer, target: &str, prompt: &str, scale: i64) -> String {
        let mut arguments = vec![format!("model => '{target}'"), format!("seed => {SEED}")];
        let pictures = self.of(&offer.task);
        let several = |name: &str| name == "reference_images";
        let single = pictures.iter().filter(|(name, _)| !several(name));
        arguments.extend(single.map(|(name, png)| format!("{name} => '{}'", data_uri(png))));
        let list: Vec<String> = pictures
            .iter()
            .filter(|(name, _)| several(name))
            .map(|(_, png)| format!("'{}'", data_uri(png)))
            .collect();
        if !list.is_empty() {
            arguments.push(format!("reference_images => ARRAY[{}]", list.join(", ")));
        }
        let function = match offer.task.as_str() {
            "generate" | "character" | "reference_images" => "generate",
            "img2img" | "inpaint" | "outpaint" => "edit",
            other => other,
        };
        let (width, height) = asked(offer);
        match offer.task.as_str() {
            "generate" | "reference_images" => {
                arguments.push(format!("width => {width}, height => {height}"))
            }
            "character" => {
                arguments.push(format!("width => {width}, height => {height}, consistency_mode => 'strict'"))
            }
            "outpaint" => arguments.push(borders()),
            "upscale" => arguments.push(format!("scale => {scale}")),
            "variate" => arguments.push("n => 1".into()),
            _ => {}
        }
        let needed = matches!(offer.task.as_str(), "generate" | "character" | "reference_images" | "img2img");
        if needed || !prompt.is_empty() {
            arguments.push(format!("prompt => '{}'", if prompt.is_empty() { "a teapot" } else { prompt }));
        }
        format!("{function}({})", arguments.join(", "))
    }
}

/// The arguments of an outpainting.
pub fn borders() -> String {
    let [top, right, bottom, left] = BORDERS;
    format!("border_top => {top}, border_right => {right}, border_bottom => {bottom}, border_left => {left}")
}

/// A small size of 5:4 that the model can make.
pub fn asked(offer: &Offer) -> (u64, u64) {
    let free = &offer.row["sizes"]["free"];
    let number = |name: &str| free[name].as_u64().unwrap_or(0);
    let step = number("step").max(1);
    let side = if number("min_pixels") > 0 { 832 } else { number("min").max(256) };
    ((side * 5 / 4).div_ceil(step) * step, side.div_ceil(step) * step)
}

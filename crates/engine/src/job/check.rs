//! The caller's arguments: what is wrong with them whatever the model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Borders, Consistency, Invalid, MAX_BORDER, MAX_N, MAX_OPTIONS_BYTES, MAX_OPTIONS_DEPTH, MAX_PROMPT_CHARS,
    MAX_SIDE, Mode, Operation, PRIORITIES, Request, Storing, Task,
};
use crate::input::{MAX_INPUTS_BYTES, MAX_REFERENCES, Reference};
use crate::seed::MAX_SEED;
use crate::style::Style;

/// What a caller asked for, in the wide types of SQL, not yet checked.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRequest {
    /// What should be in the image.
    pub prompt: Option<String>,
    /// What should not be in it.
    pub negative_prompt: Option<String>,
    /// Pixels.
    pub width: Option<i64>,
    /// Pixels.
    pub height: Option<i64>,
    /// `W:H`, used where no width and height are given.
    pub aspect_ratio: Option<String>,
    /// 0..=2147483647.
    pub seed: Option<i64>,
    /// How closely to follow the prompt; the range depends on the model.
    pub guidance: Option<f64>,
    /// Diffusion steps; the range depends on the model.
    pub steps: Option<i64>,
    /// How many images.
    pub n: Option<i64>,
    /// `draft`, `low`, `standard`, `medium`, `high`, `hd` …: mapped per model.
    pub quality: Option<String>,
    /// The image to work on.
    pub image: Option<String>,
    /// What of it to change.
    pub mask: Option<String>,
    /// The image whose style is wanted.
    pub style_image: Option<String>,
    /// An image whose subject should reappear.
    pub reference_image: Option<String>,
    /// `strict`, `balanced` or `loose`.
    pub consistency_mode: Option<String>,
    /// Further images to look at: product photography, a palette, a style.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_images: Option<Vec<String>>,
    /// A style, as its row says or as an earlier job had it. No caller writes it down in a request.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub style: Option<Style>,
    /// `img2img`, `inpaint` or `outpaint`.
    pub mode: Option<String>,
    /// 0 to 1.
    pub strength: Option<f64>,
    /// 0 to 1.
    pub variance: Option<f64>,
    /// 2 or 4.
    pub scale: Option<i64>,
    /// `both`, `copy` or `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Pixels to add above.
    pub top: Option<i64>,
    /// Pixels to add to the right.
    pub right: Option<i64>,
    /// Pixels to add below.
    pub bottom: Option<i64>,
    /// Pixels to add to the left.
    pub left: Option<i64>,
    /// What the priority of the choice is: quality, control, speed, variety, cost, privacy.
    pub priority: Option<String>,
    /// Options of one provider, passed by name where the adapter knows them.
    pub options: Option<Map<String, Value>>,
}

impl RawRequest {
    /// Checks everything that does not depend on a model. `seed` is used when the caller gave none.
    pub fn check(self, operation: Operation, seed: i64) -> Result<Request, Invalid> {
        let borders = Borders {
            top: border("top", self.top)?,
            right: border("right", self.right)?,
            bottom: border("bottom", self.bottom)?,
            left: border("left", self.left)?,
        };
        let mode = self.mode(operation, &borders)?;
        let task = Task::of(operation, mode);
        self.check_pictures(operation)?;
        let mut prompt = self.prompt(task)?;
        let mut negative_prompt = self.negative_prompt.filter(|p| !is_blank(p));
        if let Some(negative) = &negative_prompt {
            not_too_long("negative_prompt", negative)?;
        }
        let mut reference_images = self.reference_images.unwrap_or_default();
        let mut style = self.style;
        if let Some(style) = &mut style {
            let is_own = task.usual_prompt() != Some(prompt.as_str());
            style.apply(&mut prompt, is_own, &mut negative_prompt, &mut reference_images, operation);
            not_too_long("prompt with its style", &prompt)?;
            if let Some(negative) = &negative_prompt {
                not_too_long("negative_prompt with its style", negative)?;
            }
        }
        if reference_images.len() > MAX_REFERENCES {
            let of_style = style.as_ref().map(|s| format!(" with those of style '{}'", s.name));
            return Err(Invalid::new(
                format!("reference_images are {}{}", reference_images.len(), of_style.unwrap_or_default()),
                format!("Give at most {MAX_REFERENCES}, the most important first."),
            ));
        }
        let options = self.options.unwrap_or_default();
        let size = serde_json::to_string(&options).map_or(usize::MAX, |text| text.len());
        if size > MAX_OPTIONS_BYTES {
            return Err(Invalid::new(
                format!("options have {size} bytes, at most {MAX_OPTIONS_BYTES} are possible"),
                "Give what the provider is to be told; what is not for it belongs in metadata.",
            ));
        }
        if 1 + options.values().map(depth).max().unwrap_or(0) > MAX_OPTIONS_DEPTH {
            return Err(Invalid::new(
                format!("options are nested deeper than {MAX_OPTIONS_DEPTH} levels"),
                "Give what the provider is to be told; what is not for it belongs in metadata.",
            ));
        }
        let width = side("width", self.width)?;
        let height = side("height", self.height)?;
        if width.is_some() != height.is_some() {
            return Err(Invalid::new(
                "width and height belong together, only one was given",
                "Give both, or neither, or an aspect_ratio such as '16:9'.",
            ));
        }
        if let Some(ratio) = &self.aspect_ratio {
            crate::size::parse_ratio(ratio)?;
        }
        let seed = self.seed.unwrap_or(seed);
        if !(0..=MAX_SEED).contains(&seed) {
            return Err(Invalid::new(
                format!("seed {seed} is out of range"),
                format!("Use 0 to {MAX_SEED}, or leave it out: a seed is then chosen and recorded."),
            ));
        }
        let n = self.n.unwrap_or(1);
        if !(1..=MAX_N).contains(&n) {
            return Err(Invalid::new(
                format!("n is {n}, but a job makes 1 to {MAX_N} images"),
                "Queue several jobs for more images.",
            ));
        }
        let steps = match self.steps {
            Some(steps) if !(1..=10_000).contains(&steps) => {
                return Err(Invalid::new(format!("steps is {steps}"), "Use a positive number such as 28."));
            }
            steps => steps.map(|s| s as u32),
        };
        one_of("priority", self.priority.as_deref(), &PRIORITIES)?;
        let scale = match (task, self.scale) {
            (Task::Upscale, None) => Some(2),
            (_, None) => None,
            (_, Some(scale @ (2 | 4))) => Some(scale as u32),
            (_, Some(scale)) => {
                return Err(Invalid::new(format!("scale is {scale}"), "Use 2 or 4."));
            }
        };
        Ok(Request {
            prompt,
            negative_prompt,
            width,
            height,
            aspect_ratio: self.aspect_ratio,
            seed,
            guidance: number("guidance", self.guidance, 100.0, "3.5")?,
            steps,
            n: n as u32,
            quality: self.quality,
            image: self.image,
            mask: self.mask,
            style_image: self.style_image,
            reference_image: self.reference_image,
            consistency_mode: consistency(self.consistency_mode.as_deref())?,
            reference_images,
            style,
            mode,
            strength: number("strength", self.strength, 1.0, "0.75")?,
            variance: number("variance", self.variance, 1.0, "0.5")?,
            scale,
            store: storing(self.store.as_deref())?,
            borders,
            options,
        })
    }

    fn prompt(&self, task: Task) -> Result<String, Invalid> {
        let own = self.prompt.as_deref().filter(|p| !is_blank(p));
        let Some(prompt) = own.or(task.usual_prompt()) else {
            return Err(Invalid::new("the prompt is empty", "Describe the image in the argument prompt."));
        };
        not_too_long("prompt", prompt)?;
        Ok(prompt.to_owned())
    }

    /// What kind of edit it is: said, or clear from what came with it.
    fn mode(&self, operation: Operation, borders: &Borders) -> Result<Option<Mode>, Invalid> {
        if operation != Operation::Edit {
            return Ok(None);
        }
        let mode = match self.mode.as_deref() {
            Some("img2img") => Mode::Img2img,
            Some("inpaint") => Mode::Inpaint,
            Some("outpaint") => Mode::Outpaint,
            Some(other) => {
                return Err(Invalid::new(
                    format!("mode '{other}' does not exist"),
                    "Use one of: img2img, inpaint, outpaint.",
                ));
            }
            None if self.mask.is_some() => Mode::Inpaint,
            None if !borders.is_empty() => Mode::Outpaint,
            None => Mode::Img2img,
        };
        match mode {
            Mode::Inpaint if self.mask.is_none() => Err(Invalid::new(
                "an inpainting needs a mask",
                "Give mask => an image of the same size whose white pixels are to be changed.",
            )),
            Mode::Outpaint if borders.is_empty() => Err(Invalid::new(
                "an outpainting needs to know where to extend the image",
                "Give at least one of border_left, border_right, border_top, border_bottom, in pixels.",
            )),
            Mode::Img2img | Mode::Outpaint if self.mask.is_some() => Err(Invalid::new(
                "a mask belongs to an inpainting",
                "Use mode => 'inpaint', or leave the mask out.",
            )),
            Mode::Img2img | Mode::Inpaint if !borders.is_empty() => Err(Invalid::new(
                "borders belong to an outpainting",
                "Use mode => 'outpaint', or leave the borders out.",
            )),
            mode => Ok(Some(mode)),
        }
    }

    /// All images that the operation needs are there and can be understood; no other is.
    fn check_pictures(&self, operation: Operation) -> Result<(), Invalid> {
        let needs_image = operation != Operation::Generate;
        match (&self.image, needs_image) {
            (None, true) => return Err(Invalid::new("the image to work on is missing", REFERENCES)),
            // S19: a text-to-image call is the wrong shape for changing an image.
            (Some(_), false) => {
                return Err(Invalid::new(
                    "generate makes new images and takes no source image",
                    "To change an image call image_gen.edit(image, prompt); to keep a character use reference_image.",
                ));
            }
            _ => {}
        }
        if operation == Operation::TransferStyle && self.style_image.is_none() {
            return Err(Invalid::new("the image with the style is missing", REFERENCES));
        }
        let several = self.reference_images.as_deref().unwrap_or_default();
        if !several.is_empty() && !takes_references(operation) {
            return Err(Invalid::new(
                format!("{} takes no reference_images", operation.as_str()),
                "Use generate or edit, or leave them out.",
            ));
        }
        if several.len() > MAX_REFERENCES {
            return Err(Invalid::new(
                format!("reference_images are {}", several.len()),
                format!("Give at most {MAX_REFERENCES}, the most important first."),
            ));
        }
        let single = [&self.image, &self.mask, &self.style_image, &self.reference_image];
        let mut bytes = 0;
        for reference in single.into_iter().flatten().chain(several) {
            if let Reference::Data { bytes: file, .. } = Reference::parse(reference)? {
                bytes += file.len();
            }
        }
        if bytes > MAX_INPUTS_BYTES {
            return Err(Invalid::new(
                format!("the images in data: URIs are larger than {} MB together", MAX_INPUTS_BYTES >> 20),
                "Give URLs instead, or fewer images.",
            ));
        }
        Ok(())
    }
}

/// Whether the function of an operation has `reference_images`.
pub(crate) fn takes_references(operation: Operation) -> bool {
    matches!(operation, Operation::Generate | Operation::Edit)
}

/// Whether nothing of a text can be seen: white space, control characters, and what Unicode says has no shape by itself
/// (Default_Ignorable_Code_Point, such as U+200B), or an empty one.
pub fn is_blank(text: &str) -> bool {
    let unseen = |c: char| {
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().all(|c| c.is_whitespace() || c.is_control() || unseen(c))
}

/// How deep a value is nested: 0 for one that is neither an array nor an object.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What an argument that refers to an image may be.
pub(crate) const REFERENCES: &str =
    "Give an https URL, a data: URI in base64, 'asset:ID' of a row in campaign_assets, or 'job:gen_...'.";

fn not_too_long(name: &str, prompt: &str) -> Result<(), Invalid> {
    let length = prompt.chars().count();
    if length > MAX_PROMPT_CHARS {
        return Err(Invalid::new(
            format!("the {name} has {length} characters, at most {MAX_PROMPT_CHARS} are possible"),
            "Shorten it; details that are not for the model belong in metadata.",
        ));
    }
    Ok(())
}

fn consistency(mode: Option<&str>) -> Result<Option<Consistency>, Invalid> {
    match mode {
        None => Ok(None),
        Some("strict") => Ok(Some(Consistency::Strict)),
        Some("balanced") => Ok(Some(Consistency::Balanced)),
        Some("loose") => Ok(Some(Consistency::Loose)),
        Some(other) => Err(Invalid::new(
            format!("consistency_mode '{other}' does not exist"),
            "Use one of: strict, balanced, loose.",
        )),
    }
}

fn storing(word: Option<&str>) -> Result<Option<Storing>, Invalid> {
    match word {
        None => Ok(None),
        Some("both") => Ok(Some(Storing::Both)),
        Some("copy") => Ok(Some(Storing::Copy)),
        Some("url") => Ok(Some(Storing::Url)),
        Some(other) => {
            Err(Invalid::new(format!("store '{other}' does not exist"), "Use one of: both, copy, url."))
        }
    }
}

fn number(name: &str, value: Option<f64>, max: f64, example: &str) -> Result<Option<f64>, Invalid> {
    match value {
        Some(v) if !(v.is_finite() && (0.0..=max).contains(&v)) => Err(Invalid::new(
            format!("{name} is {v}"),
            format!("Use a number from 0 to {max}, such as {example}."),
        )),
        v => Ok(v),
    }
}

fn border(name: &str, value: Option<i64>) -> Result<u32, Invalid> {
    match value.unwrap_or(0) {
        v if (0..=MAX_BORDER).contains(&v) => Ok(v as u32),
        v => Err(Invalid::new(format!("border_{name} is {v} pixels"), format!("Use 0 to {MAX_BORDER}."))),
    }
}

fn side(name: &str, value: Option<i64>) -> Result<Option<u32>, Invalid> {
    match value {
        Some(v) if !(1..=MAX_SIDE).contains(&v) => Err(Invalid::new(
            format!("{name} is {v} pixels, possible are 1 to {MAX_SIDE}"),
            format!("Use for example {name} => 1024; the limits of each model are in image_gen.models."),
        )),
        v => Ok(v.map(|v| v as u32)),
    }
}

fn one_of(name: &str, value: Option<&str>, choices: &[&str]) -> Result<(), Invalid> {
    match value {
        Some(v) if !choices.contains(&v) => Err(Invalid::new(
            format!("{name} '{v}' does not exist"),
            format!("Use one of: {}.", choices.join(", ")),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(operation: Operation, json: Value) -> Result<Request, Invalid> {
        serde_json::from_value::<RawRequest>(json).unwrap().check(operation, 7)
    }

    #[test]
    fn a_seed_is_chosen_when_the_caller_gives_none() {
        assert_eq!(asked(Operation::Generate, json!({"prompt": "a cat"})).unwrap().seed, 7);
        assert_eq!(asked(Operation::Generate, json!({"prompt": "a cat", "seed": 0})).unwrap().seed, 0);
    }

    #[test]
    fn options_are_nested_no_deeper_than_they_can_be_read_again() {
        let nested = |levels| (1..levels).fold(json!(1), |inner, _| json!([inner]));
        let with =
            |levels| asked(Operation::Generate, json!({"prompt": "x", "options": {"a": nested(levels)}}));
        let request = with(MAX_OPTIONS_DEPTH).unwrap();
        // As deep as in the worker's copy of a job, and then some.
        let text = json!([[[[{"request": request}]]]]).to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok());
        assert!(with(MAX_OPTIONS_DEPTH + 1).unwrap_err().message.contains("deeper than 64"));
    }

    #[test]
    fn what_can_be_seen_in_a_prompt_is_kept_with_what_cannot() {
        let prompt = |text: &str| asked(Operation::Generate, json!({"prompt": text})).map(|r| r.prompt);
        // A family is joined by U+200D; Persian needs U+200C.
        for text in ["\u{1f468}\u{200d}\u{1f469}", "\u{645}\u{6cc}\u{200c}\u{62e}", "\u{feff}a cat"] {
            assert_eq!(prompt(text), Ok(text.to_owned()));
        }
        // Where there is a usual prompt, an empty one is none; an empty negative prompt is none, too.
        let usual = asked(Operation::Upscale, json!({"image": "asset:1", "prompt": "\u{200b}"})).unwrap();
        assert!(!usual.has_own_prompt(Task::Upscale));
        let negative = json!({"prompt": "x", "negative_prompt": "\u{200b}"});
        assert_eq!(asked(Operation::Generate, negative).unwrap().negative_prompt, None);
    }

    #[test]
    fn bad_input_is_refused_with_a_remedy() {
        for (bad, word) in [
            (json!({}), "prompt"),
            (json!({"prompt": " \n"}), "prompt"),
            (json!({"prompt": "\u{200b}\u{feff} \u{2060}\u{a0}"}), "prompt is empty"),
            (json!({"prompt": "\u{3164}\u{2800}\u{e0001}\u{200d}\u{fe0f}"}), "prompt is empty"),
            (json!({"prompt": "x".repeat(32_001)}), "32001"),
            (json!({"prompt": "x", "width": 0, "height": 10}), "width"),
            (json!({"prompt": "x", "width": 100_000, "height": 10}), "100000"),
            (json!({"prompt": "x", "width": 10}), "together"),
            (json!({"prompt": "x", "n": 0}), "n is 0"),
            (json!({"prompt": "x", "n": 11}), "n is 11"),
            (json!({"prompt": "x", "seed": -1}), "seed -1"),
            (json!({"prompt": "x", "seed": 2_147_483_648_i64}), "out of range"),
            (json!({"prompt": "x", "steps": 0}), "steps"),
            (json!({"prompt": "x", "guidance": -0.5}), "guidance"),
            (json!({"prompt": "x", "aspect_ratio": "wide"}), "wide"),
            (json!({"prompt": "x", "priority": "luck"}), "luck"),
            (json!({"prompt": "x", "consistency_mode": "exact"}), "exact"),
            (json!({"prompt": "x", "image": "https://a.example/x.png"}), "no source image"),
            (json!({"prompt": "x", "reference_image": "me.png"}), "me.png"),
            (json!({"prompt": "x", "reference_images": ["asset:1", "me.png"]}), "me.png"),
            (json!({"prompt": "x", "reference_images": vec!["asset:1"; 17]}), "reference_images are 17"),
        ] {
            let error = asked(Operation::Generate, bad.clone()).unwrap_err();
            assert!(error.message.contains(word), "{bad}: {}", error.message);
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn the_kind_of_an_edit_is_said_or_clear() {
        // S85, S101-S108
        let image = "https://a.example/x.png";
        let mode = |json: Value| asked(Operation::Edit, json).map(|r| r.mode);
        assert_eq!(mode(json!({"image": image, "prompt": "storm"})), Ok(Some(Mode::Img2img)));
        assert_eq!(mode(json!({"image": image, "mask": "asset:7"})), Ok(Some(Mode::Inpaint)));
        assert_eq!(mode(json!({"image": image, "left": 10})), Ok(Some(Mode::Outpaint)));
        for (bad, word) in [
            (json!({"prompt": "x"}), "missing"),
            (json!({"image": image}), "prompt"),
            (json!({"image": image, "prompt": "x", "mode": "inpaint"}), "mask"),
            (json!({"image": image, "prompt": "x", "mode": "outpaint"}), "extend"),
            (json!({"image": image, "prompt": "x", "mode": "img2img", "mask": image}), "mask"),
            (json!({"image": image, "prompt": "x", "mode": "inpaint", "mask": image, "top": 1}), "borders"),
            (json!({"image": image, "prompt": "x", "mode": "erase"}), "erase"),
            (json!({"image": image, "prompt": "x", "top": -1}), "border_top"),
            (json!({"image": image, "prompt": "x", "strength": 1.5}), "strength"),
        ] {
            let error = mode(bad.clone()).unwrap_err();
            assert!(error.message.contains(word), "{bad}: {}", error.message);
        }
    }

    #[test]
    fn an_upscale_doubles_or_quadruples_and_needs_no_prompt() {
        // S86
        let scale = |scale: Value| {
            asked(Operation::Upscale, json!({"image": "asset:1", "scale": scale})).map(|r| r.scale)
        };
        assert_eq!(scale(json!(null)), Ok(Some(2)));
        assert_eq!(scale(json!(4)), Ok(Some(4)));
        assert!(scale(json!(3)).unwrap_err().hint.contains("2 or 4"));
        let request = asked(Operation::Upscale, json!({"image": "asset:1"})).unwrap();
        assert!(!request.has_own_prompt(Task::Upscale) && !request.prompt.is_empty());
        let no_style = asked(Operation::TransferStyle, json!({"image": "asset:1"})).unwrap_err();
        assert!(no_style.message.contains("style"));
    }
}

//! What was asked, checked once at the border.

mod check;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use check::{REFERENCES, takes_references};
pub use check::{RawRequest, is_blank};

use crate::size::Size;
use crate::style::Style;

/// What a job does to images: one for each function that users call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// New images from a prompt.
    Generate,
    /// Change an image: img2img, inpaint or outpaint.
    Edit,
    /// The same image, larger.
    Upscale,
    /// Images like a given one.
    Variate,
    /// An image in the style of another.
    TransferStyle,
}

impl Operation {
    /// As `image_gen.jobs.operation` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Generate => "generate",
            Operation::Edit => "edit",
            Operation::Upscale => "upscale",
            Operation::Variate => "variate",
            Operation::TransferStyle => "transfer_style",
        }
    }
}

/// What a model can do. An edit is one of three tasks, because models differ in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// New images from a prompt.
    Generate,
    /// The whole image anew, from itself and a prompt.
    #[serde(rename = "img2img")]
    Img2img,
    /// What a mask marks, anew.
    Inpaint,
    /// More image around an image.
    Outpaint,
    /// The same image, larger.
    Upscale,
    /// Images like a given one.
    Variate,
    /// An image in the style of another.
    TransferStyle,
}

impl Task {
    /// All of them, in the order of the documentation.
    pub const ALL: [Task; 7] = [
        Task::Generate,
        Task::Img2img,
        Task::Inpaint,
        Task::Outpaint,
        Task::Upscale,
        Task::Variate,
        Task::TransferStyle,
    ];

    /// The task of an operation; `mode` counts for edits only.
    pub fn of(operation: Operation, mode: Option<Mode>) -> Task {
        match (operation, mode) {
            (Operation::Generate, _) => Task::Generate,
            (Operation::Edit, Some(Mode::Inpaint)) => Task::Inpaint,
            (Operation::Edit, Some(Mode::Outpaint)) => Task::Outpaint,
            (Operation::Edit, _) => Task::Img2img,
            (Operation::Upscale, _) => Task::Upscale,
            (Operation::Variate, _) => Task::Variate,
            (Operation::TransferStyle, _) => Task::TransferStyle,
        }
    }

    /// As the catalogue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Generate => "generate",
            Task::Img2img => "img2img",
            Task::Inpaint => "inpaint",
            Task::Outpaint => "outpaint",
            Task::Upscale => "upscale",
            Task::Variate => "variate",
            Task::TransferStyle => "transfer_style",
        }
    }

    /// The prompt of a job whose caller wrote none: every asset says what it was made from.
    pub fn usual_prompt(self) -> Option<&'static str> {
        match self {
            Task::Generate | Task::Img2img => None,
            Task::Inpaint => Some("Fill the marked area so that it fits its surroundings."),
            Task::Outpaint => Some("Extend the image beyond its borders in the same style."),
            Task::Upscale => Some("The same image, larger and sharper."),
            Task::Variate => Some("A variation of this image: the same subject, other details."),
            Task::TransferStyle => Some("The first image in the style of the second image."),
        }
    }
}

/// What an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The whole image anew.
    #[serde(rename = "img2img")]
    Img2img,
    /// What the mask marks, anew.
    Inpaint,
    /// More image around it.
    Outpaint,
}

/// Pixels to add around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Borders {
    /// Above.
    pub top: u32,
    /// To the right.
    pub right: u32,
    /// Below.
    pub bottom: u32,
    /// To the left.
    pub left: u32,
}

impl Borders {
    /// True when there is nothing to add.
    pub fn is_empty(&self) -> bool {
        *self == Borders::default()
    }

    /// The size of an image with these around it.
    pub fn around(&self, old: Size) -> Size {
        let sum = |sides: [u32; 3]| sides.into_iter().fold(0, u32::saturating_add);
        Size {
            width: sum([old.width, self.left, self.right]),
            height: sum([old.height, self.top, self.bottom]),
        }
    }
}

/// How closely the subject of a reference image is to reappear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// The face must match exactly.
    Strict,
    /// Recognisable, with natural variation.
    Balanced,
    /// A light influence.
    Loose,
}

/// What becomes of the image where there is a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storing {
    /// It is copied, and keeps the provider's URL as well.
    #[default]
    Both,
    /// It is copied, and its URL is that of the copy.
    Copy,
    /// It stays where it is.
    Url,
}

/// A request that passed [`RawRequest::check`]: what adapters read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What should be in the image. Never empty.
    pub prompt: String,
    /// What should not be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Pixels, 1..=[`MAX_SIDE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels, 1..=[`MAX_SIDE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// `W:H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    /// 0..=2147483647. Always there: chosen by us when the caller gave none.
    pub seed: i64,
    /// How closely to follow the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Diffusion steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// How many images, 1..=[`MAX_N`].
    #[serde(default = "one")]
    pub n: u32,
    /// The wished quality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// The image to work on, as the caller referred to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What of it to change: light pixels are edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The image whose style is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style_image: Option<String>,
    /// An image whose subject should reappear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_image: Option<String>,
    /// How closely it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency_mode: Option<Consistency>,
    /// Further images to look at, at most [`crate::input::MAX_REFERENCES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_images: Vec<String>,
    /// The style that was put into it, as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<Style>,
    /// How an edit works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How much of the source may change: 0 nothing, 1 everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// How far variations stray: 0 not at all, 1 as far as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<f64>,
    /// 2 or 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u32>,
    /// What becomes of the image; `None` is the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Storing>,
    /// What an outpainting adds.
    #[serde(default, skip_serializing_if = "Borders::is_empty")]
    pub borders: Borders,
    /// Options of one provider.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl Request {
    /// What is asked of a model.
    pub fn task(&self, operation: Operation) -> Task {
        Task::of(operation, self.mode)
    }

    /// True when the caller wrote the prompt himself.
    pub fn has_own_prompt(&self, task: Task) -> bool {
        task.usual_prompt() != Some(self.prompt.as_str())
    }
}

fn one() -> u32 {
    1
}

/// The longest side that any request may ask for, in pixels.
pub const MAX_SIDE: i64 = 16_384;
/// The most images that one job may ask for.
pub const MAX_N: i64 = 10;
/// The longest prompt that any model takes, in characters (the gpt-image family's limit).
pub const MAX_PROMPT_CHARS: usize = 32_000;
/// The largest `options` of one job, in bytes of JSON. (A workflow of an own back end is a hundred thousand.)
pub const MAX_OPTIONS_BYTES: usize = 1 << 20;
/// How deep `options` may be nested. Readers of JSON stop at 128, and a job's are read again within its row.
pub const MAX_OPTIONS_DEPTH: usize = 64;
/// The widest border that an outpainting may add, in pixels.
pub const MAX_BORDER: i64 = 4096;
/// The values that `priority` may have.
pub const PRIORITIES: [&str; 6] = ["quality", "control", "speed", "variety", "cost", "privacy"];

/// Something is wrong with what the caller gave.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// True when it names something that does not exist.
    pub unknown: bool,
}

impl Invalid {
    /// An error with its remedy.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Invalid { message: message.into(), hint: hint.into(), unknown: false }
    }

    /// An error about a name that does not exist.
    pub fn unknown(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Invalid { unknown: true, ..Invalid::new(message, hint) }
    }
}

/// Something the caller asked for that will not happen, or not as asked. The text goes to the caller, the
/// code is for programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// For programs: `unsupported`, `adjusted`, `reference_ignored`, `seed_ignored`, `successor` …
    pub code: String,
    /// For people.
    pub message: String,
}

impl Warning {
    /// The code of one that says that a person is to approve the image before it is final.
    pub const APPROVAL: &str = "approval";

    /// A warning.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Warning { code: code.to_owned(), message: message.into() }
    }
}

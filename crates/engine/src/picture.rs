//! What the bytes of an image really are: neither a declared content type nor the size that a header claims is believed
//! before the pixels have been decoded to the end, in bounded memory.

mod decode;
mod format;
pub mod mark;
mod perceptual;
mod small;
mod whole;

use std::fmt;

use sha2::{Digest, Sha256};

use small::Small;

pub(crate) use decode::{Pixels, buffer, decode, is_turned};
pub use format::named as format_named;
pub use mark::Marks;
pub use perceptual::perceptual_hash;
pub use small::{Blank, THUMBNAIL_BYTES, THUMBNAIL_SIDE};

/// The longest side, in pixels, of an image that is decoded: the longest that WebP can have, and twice what any listed
/// model draws.
pub const MAX_SIDE: u32 = 16_383;
/// The most pixels of an image that is decoded: what the largest cameras in use take, and with four bytes each 200 MB.
pub const MAX_PIXELS: u64 = 50_000_000;
/// The most bytes that the decoded form may have, whatever the colour type.
pub const MAX_DECODED: u64 = 4 * MAX_PIXELS;

/// What is known about an image from its bytes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `image/png`, `image/jpeg`, `image/webp` or `image/gif`; of an image that is not decoded here what its first bytes say.
    pub content_type: String,
    /// Pixels, as decoded and seen by people: turned as the file says; `None` where the image is larger than what is decoded here.
    pub width: Option<u32>,
    /// Pixels, as `width`.
    pub height: Option<u32>,
    /// Length in bytes.
    pub byte_size: u64,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
    /// What the file says of where it comes from.
    pub marks: Marks,
    /// What its pixels look like, see [`perceptual_hash`]; `None` where it was not asked for.
    pub perceptual_hash: Option<u64>,
    /// That there is nothing on it, likewise.
    pub blank: Option<Blank>,
    /// It has several frames, of which the first one was looked at.
    pub animated: bool,
}

/// What was found out about an image that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Study {
    /// What it is.
    pub facts: Facts,
    /// A small JPEG of it, where it is larger than such a one.
    pub thumbnail: Option<Vec<u8>>,
}

/// Why bytes are not taken for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Of no type that is known here.
    Unknown,
    /// An image of this content type, which is not decoded here.
    Foreign(&'static str),
    /// The header claims more than is decoded.
    TooLarge {
        /// Pixels, as claimed.
        width: u32,
        /// Pixels, as claimed.
        height: u32,
    },
    /// Its pixels cannot be decoded to the end, or its end is missing.
    Damaged(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Unknown => write!(f, "it is not a PNG, JPEG, WebP or GIF"),
            Flaw::Foreign(content_type) => {
                write!(
                    f,
                    "it is {content_type}, which cannot be looked at here: a PNG, JPEG, WebP or GIF can"
                )
            }
            Flaw::TooLarge { width, height } => write!(
                f,
                "it claims {width}x{height} pixels; at most {MAX_SIDE} on a side, {} million in all and {} MB decoded are taken",
                MAX_PIXELS / 1_000_000,
                MAX_DECODED / 1_000_000
            ),
            Flaw::Damaged(why) => write!(f, "it is damaged or cut short: {why}"),
        }
    }
}

/// Whether an image of this content type cannot be decoded here.
pub fn is_foreign(content_type: &str) -> bool {
    !format::DECODED.contains(&content_type)
}

/// Decodes an image to its end and says what it is. Takes as long as that: never on the network thread.
pub fn inspect(bytes: &[u8]) -> Result<Facts, Flaw> {
    let pixels = decode(bytes)?;
    let (width, height) = (Some(pixels.width), Some(pixels.height));
    drop(pixels);
    Facts::of(bytes, width, height).ok_or(Flaw::Unknown)
}

/// As [`inspect`], and looks at what can be seen. With a thumbnail, where one is wanted and the image is no small one itself.
pub fn study(bytes: &[u8], thumbnail: bool) -> Result<Study, Flaw> {
    let pixels = decode(bytes)?;
    let small = Small::of(&pixels, THUMBNAIL_SIDE).map_err(Flaw::Damaged)?;
    let (width, height) = (Some(pixels.width), Some(pixels.height));
    drop(pixels);
    let mut facts = Facts::of(bytes, width, height).ok_or(Flaw::Unknown)?;
    facts.marks = mark::marks(bytes);
    facts.perceptual_hash = Some(perceptual::hash(&small));
    facts.blank = small.blank();
    let thumbnail = if thumbnail && !facts.is_small() { small.thumbnail() } else { None };
    Ok(Study { facts, thumbnail })
}

impl Facts {
    /// Whether the image is its own thumbnail.
    pub fn is_small(&self) -> bool {
        self.byte_size <= THUMBNAIL_BYTES as u64
            && [self.width, self.height].iter().all(|side| side.is_some_and(|side| side <= THUMBNAIL_SIDE))
    }

    /// What can be said of an image that is not decoded here, for its size or its format: all but how many pixels it has.
    pub fn unmeasured(bytes: &[u8]) -> Option<Facts> {
        let facts = Facts::of(bytes, None, None)?;
        Some(Facts { marks: mark::marks(bytes), ..facts })
    }

    fn of(bytes: &[u8], width: Option<u32>, height: Option<u32>) -> Option<Facts> {
        let format = image::guess_format(bytes).ok().filter(|format| format::decoded(*format).is_some());
        let content_type = match format {
            Some(format) => format::decoded(format),
            None => format::foreign(bytes),
        };
        let content_type = content_type?.to_owned();
        let animated = format.is_some_and(|format| format::is_animated(format, bytes));
        let sha256 = hex(&Sha256::digest(bytes));
        let (byte_size, marks) = (bytes.len() as u64, Marks::default());
        Some(Facts {
            content_type,
            width,
            height,
            byte_size,
            sha256,
            marks,
            perceptual_hash: None,
            blank: None,
            animated,
        })
    }

    /// The decoded size in pixels, width times height.
    pub fn pixels(&self) -> Option<u64> {
        Some(u64::from(self.width?) * u64::from(self.height?))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod exif;
#[cfg(test)]
mod tests;

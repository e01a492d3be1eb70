//! Images that go into a job: how a caller refers to them, and what they are once they are here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::job::{Invalid, Request};
use crate::picture::{self, Facts, Flaw};
use crate::size::Size;

/// The largest input image, in bytes: what the most generous provider takes.
pub const MAX_INPUT_BYTES: usize = 25 << 20;
/// The most bytes of all input images of one job together: they are in the worker's memory at once.
pub const MAX_INPUTS_BYTES: usize = 64 << 20;
/// The most `reference_images` of one job: as many images as the most generous model takes.
pub const MAX_REFERENCES: usize = 16;
/// The longest URL that is taken.
const MAX_URL: usize = 4096;

/// How a caller refers to an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// It is fetched from here.
    Url(String),
    /// It came along, and has been looked at.
    Data {
        /// The file.
        bytes: Vec<u8>,
        /// What it is.
        facts: Facts,
    },
    /// A row of `campaign_assets`.
    Asset(i64),
    /// The first image of another job.
    Job(String),
    /// Bytes kept in the database, by their SHA-256.
    Stored(String),
}

/// The URL scheme of bytes that are kept in the database.
pub const STORED: &str = "image-gen:sha256:";

impl Reference {
    /// Reads an argument.
    pub fn parse(text: &str) -> Result<Reference, Invalid> {
        let text = text.trim();
        if let Some(id) = text.strip_prefix("asset:") {
            let id = id.parse::<i64>().ok().filter(|id| *id > 0);
            return id.map(Reference::Asset).ok_or_else(|| wrong(text));
        }
        if let Some(id) = text.strip_prefix("job:") {
            let good = id.starts_with("gen_") && id.len() == 30 && id.is_ascii();
            return if good { Ok(Reference::Job(id.into())) } else { Err(wrong(text)) };
        }
        if let Some(hash) = text.strip_prefix(STORED) {
            let good = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            return if good { Ok(Reference::Stored(hash.to_ascii_lowercase())) } else { Err(wrong(text)) };
        }
        if text.starts_with("data:") {
            return data(text);
        }
        if text.len() <= MAX_URL && crate::http::origin(text).is_some() {
            return Ok(Reference::Url(text.into()));
        }
        Err(wrong(text))
    }
}

fn wrong(text: &str) -> Invalid {
    let shown: String = text.chars().take(80).collect();
    Invalid::new(format!("'{shown}' does not refer to an image"), crate::job::REFERENCES)
}

/// A `data:` URI, which must hold an image.
fn data(text: &str) -> Result<Reference, Invalid> {
    let hint = "Write data:image/png;base64,... with a PNG, JPEG, WebP or GIF.";
    let encoded = text.split_once(";base64,").map(|(_, data)| data);
    let encoded = encoded.ok_or_else(|| Invalid::new("the data: URI is not in base64", hint))?;
    if encoded.len() / 4 * 3 > MAX_INPUT_BYTES {
        return Err(Invalid::new(
            format!("the image in the data: URI is larger than {} MB", MAX_INPUT_BYTES >> 20),
            "Give its URL instead.",
        ));
    }
    let bytes =
        STANDARD.decode(encoded).map_err(|_| Invalid::new("the data: URI is not valid base64", hint))?;
    match picture::inspect(&bytes) {
        Ok(facts) => Ok(Reference::Data { bytes, facts }),
        Err(flaw) => {
            Err(Invalid::new(format!("the data: URI does not hold an image that can be used: {flaw}"), hint))
        }
    }
}

/// What an image is for in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It is worked on.
    Image,
    /// It says what to change.
    Mask,
    /// It has the style.
    StyleImage,
    /// Its subject should reappear.
    ReferenceImage,
    /// The model is to look at it: one of `reference_images`, by its place among them.
    Reference(u8),
}

const SINGLE: [Role; 4] = [Role::Image, Role::Mask, Role::StyleImage, Role::ReferenceImage];
const ROLES: usize = SINGLE.len() + MAX_REFERENCES;
const REFERENCE_NAMES: [&str; MAX_REFERENCES] = [
    "reference_images_1",
    "reference_images_2",
    "reference_images_3",
    "reference_images_4",
    "reference_images_5",
    "reference_images_6",
    "reference_images_7",
    "reference_images_8",
    "reference_images_9",
    "reference_images_10",
    "reference_images_11",
    "reference_images_12",
    "reference_images_13",
    "reference_images_14",
    "reference_images_15",
    "reference_images_16",
];

impl Role {
    /// All of them, in the order in which they are sent.
    pub const ALL: [Role; ROLES] = {
        let mut all = [Role::Image; ROLES];
        let mut at = 0;
        while at < ROLES {
            all[at] = if at < SINGLE.len() { SINGLE[at] } else { Role::Reference((at - SINGLE.len()) as u8) };
            at += 1;
        }
        all
    };

    /// What it is called: the argument's name, with its place in a list.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reference(at) => REFERENCE_NAMES.get(usize::from(at)).copied().unwrap_or(self.parameter()),
            _ => self.parameter(),
        }
    }

    /// The argument's name, and the catalogue's.
    pub fn parameter(self) -> &'static str {
        match self {
            Role::Image => "image",
            Role::Mask => "mask",
            Role::StyleImage => "style_image",
            Role::ReferenceImage => "reference_image",
            Role::Reference(_) => "reference_images",
        }
    }

    /// Its place in [`Role::ALL`].
    fn index(self) -> usize {
        match self {
            Role::Image => 0,
            Role::Mask => 1,
            Role::StyleImage => 2,
            Role::ReferenceImage => 3,
            Role::Reference(at) => SINGLE.len() + usize::from(at),
        }
    }

    /// Lets the request refer to another image.
    pub fn refer(self, request: &mut Request, reference: String) {
        match self {
            Role::Image => request.image = Some(reference),
            Role::Mask => request.mask = Some(reference),
            Role::StyleImage => request.style_image = Some(reference),
            Role::ReferenceImage => request.reference_image = Some(reference),
            Role::Reference(at) => {
                if let Some(place) = request.reference_images.get_mut(usize::from(at)) {
                    *place = reference;
                }
            }
        }
    }

    /// How the request refers to it.
    pub fn reference(self, request: &Request) -> Option<&str> {
        match self {
            Role::Image => request.image.as_deref(),
            Role::Mask => request.mask.as_deref(),
            Role::StyleImage => request.style_image.as_deref(),
            Role::ReferenceImage => request.reference_image.as_deref(),
            Role::Reference(at) => request.reference_images.get(usize::from(at)).map(String::as_str),
        }
    }
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The bytes, a PNG, JPEG or WebP.
    pub bytes: Arc<Vec<u8>>,
    /// Of the bytes.
    pub content_type: &'static str,
    /// Pixels, as people see it; `None` for a stand-in.
    pub size: Option<Size>,
}

impl Input {
    /// Takes bytes in as they are, when they are a whole image within bounds. What providers do not take is to be
    /// converted next ([`crate::canvas::readable`]). Decodes: never on the network thread.
    pub fn read(bytes: Vec<u8>) -> Result<Input, Flaw> {
        let facts = picture::inspect(&bytes)?;
        let content_type = match facts.content_type.as_str() {
            "image/png" => "image/png",
            "image/jpeg" => "image/jpeg",
            "image/webp" => "image/webp",
            "image/gif" => "image/gif",
            _ => return Err(Flaw::Unknown),
        };
        let size = facts.width.zip(facts.height).map(|(width, height)| Size { width, height });
        Ok(Input { bytes: Arc::new(bytes), content_type, size })
    }

    /// An image that was made here.
    pub(crate) fn made(file: Vec<u8>, content_type: &'static str, size: Size) -> Input {
        Input { bytes: Arc::new(file), content_type, size: Some(size) }
    }

    /// An image of which nothing is known yet: it stands in while a request is only planned.
    pub fn stand_in() -> Input {
        Input { bytes: Arc::new(STAND_IN.to_vec()), content_type: "image/png", size: None }
    }

    /// Bare base64.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.bytes.as_slice())
    }

    /// A `data:` URI.
    pub fn data_uri(&self) -> String {
        format!("data:{};base64,{}", self.content_type, self.base64())
    }

    /// A file name that fits the type.
    pub fn file_name(&self, stem: &str) -> String {
        format!("{stem}.{}", self.content_type.strip_prefix("image/").unwrap_or("png"))
    }
}

/// The smallest PNG: one transparent pixel.
const STAND_IN: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0x1f, 0x15, 0xc4, 0x89, 0x00,
    0x00, 0x00, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x00, 0x02, 0x00, 0x00, 0x05, 0x00,
    0x01, 0xe9, 0xfa, 0xdc, 0xd8, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// The images of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs([Option<Input>; ROLES]);

impl Inputs {
    /// One stand-in for each image that the request refers to.
    pub fn stand_ins(request: &Request) -> Inputs {
        Inputs(Role::ALL.map(|role| role.reference(request).map(|_| Input::stand_in())))
    }

    /// The image of a role.
    pub fn get(&self, role: Role) -> Option<&Input> {
        self.0.get(role.index())?.as_ref()
    }

    /// Puts an image in.
    pub fn set(&mut self, role: Role, input: Input) {
        if let Some(place) = self.0.get_mut(role.index()) {
            *place = Some(input);
        }
    }

    /// The size of all files together.
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|input| input.bytes.len()).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_ways_to_refer_to_a_picture_are_understood() {
        let job = "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0";
        assert_eq!(Reference::parse("asset:12"), Ok(Reference::Asset(12)));
        assert_eq!(Reference::parse(&format!("job:{job}")), Ok(Reference::Job(job.into())));
        assert!(matches!(Reference::parse("https://a.example/x.png?sig=1"), Ok(Reference::Url(_))));
        assert!(matches!(Reference::parse(&Input::stand_in().data_uri()), Ok(Reference::Data { .. })));
        let stored = format!("{STORED}{}", "Ab".repeat(32));
        assert_eq!(Reference::parse(&stored), Ok(Reference::Stored("ab".repeat(32))));
    }

    #[test]
    fn everything_else_is_refused_with_the_choices() {
        for bad in [
            "",
            "x.png",
            "asset:",
            "asset:-1",
            "asset:x",
            "job:7",
            "file:///etc/passwd",
            "ftp://a/x",
            "https://u:p@a/x",
            "data:image/png,raw",
            "data:image/png;base64,%%",
            "data:image/png;base64,aGVsbG8=",
        ] {
            assert!(!Reference::parse(bad).unwrap_err().hint.is_empty(), "{bad}");
        }
    }

    #[test]
    fn every_role_has_a_name_and_a_place_of_its_own() {
        let mut inputs = Inputs::default();
        for (at, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.index(), at);
            assert!(inputs.get(role).is_none());
            inputs.set(role, Input::stand_in());
            assert!(inputs.get(role).is_some());
        }
        let names: std::collections::BTreeSet<_> = Role::ALL.map(Role::name).into();
        assert_eq!(names.len(), ROLES);
        assert_eq!(Role::Reference(15).name(), "reference_images_16");
        assert_eq!(inputs.bytes(), ROLES * STAND_IN.len());
    }

    #[test]
    fn a_stand_in_is_a_picture() {
        // A whole one: adapters convert it while they plan.
        assert!(image::load_from_memory(&Input::stand_in().bytes).is_ok());
        assert!(Input::read(b"hello".to_vec()).is_err());
    }
}

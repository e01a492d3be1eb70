//! Looking at an image takes a bounded amount of memory and never aborts, whatever its bytes claim. This is a binary of its
//! own with a single test, because everything that is allocated meanwhile counts.
//!
//! `PICTURES=1000000 cargo test --release -p image_gen_engine --test pictures` looks at more of them; `SEED=n` at others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::sync::Arc;

use image::{DynamicImage, ImageFormat, RgbaImage};
use image_gen_engine::canvas::{self, MaskEncoding};
use image_gen_engine::input::Input;
use image_gen_engine::job::Borders;
use image_gen_engine::picture::{self, Flaw, MAX_PIXELS, MAX_SIDE};
use image_gen_engine::size::Size;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that looking may take beside the image itself.
const BESIDE: usize = 64 << 20;
/// Bytes for each pixel of an image within bounds: decoded, and what its decoder works with.
const PIXEL: usize = 16;

/// A small generator whose numbers follow from its seed on every machine (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(name);
    sum.update(data);
    [&(data.len() as u32).to_be_bytes(), &name[..], data, &sum.sum().to_be_bytes()].concat()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A PNG of whose parts each may be a lie.
fn crafted(dice: &mut Dice, bomb: &[u8]) -> Vec<u8> {
    let sides =
        [0, 1, 2, 7, 64, 255, 1_000, 7_071, 16_383, 16_384, 40_000, 10_000_000, u32::MAX / 2, u32::MAX];
    let (width, height) = (dice.of(&sides), dice.of(&sides));
    let (depth, colour) = (dice.of(&[1, 2, 4, 8, 16, 3, 255]), dice.of(&[0, 2, 3, 4, 6, 9]));
    let header =
        [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, dice.of(&[0, 1])]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    match dice.below(8) {
        0 => file.extend(chunk(b"iCCP", &[b"p\0\0", bomb].concat())),
        1 => file.extend(chunk(b"zTXt", &[b"t\0\0", bomb].concat())),
        2 => file.extend(chunk(b"iTXt", &[b"t\0\x01\0\0\0", bomb].concat())),
        3 => file.extend(chunk(b"acTL", &[dice.roll().to_be_bytes()].concat())),
        4 => file.extend(chunk(b"PLTE", &vec![7; dice.of(&[3, 768, 769, 4096])])),
        5 => file.extend([&u32::MAX.to_be_bytes()[..], b"eXIf"].concat()),
        _ => {}
    }
    let data = if dice.below(3) == 0 { bomb.to_vec() } else { packed(&vec![0; dice.below(5_000)]) };
    file.extend(chunk(b"IDAT", &data));
    file.extend(chunk(b"IEND", &[]));
    file
}

/// Whole files of each format, small and animated.
fn whole() -> Vec<Vec<u8>> {
    let picture = RgbaImage::from_fn(40, 30, |x, y| image::Rgba([x as u8, y as u8, (x * y) as u8, 200]));
    let picture = DynamicImage::ImageRgba8(picture);
    let mut files = vec![];
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
        let mut file = Cursor::new(vec![]);
        DynamicImage::ImageRgb8(picture.to_rgb8()).write_to(&mut file, format).unwrap();
        files.push(file.into_inner());
    }
    // One that lies on its side: EXIF with one entry, orientation 6.
    let mut turned = files[1].clone();
    let exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    turned.splice(2..2, exif.iter().copied());
    assert_eq!(picture::inspect(&turned).unwrap().width, Some(30), "as people see it");
    files.push(turned);
    let mut animated = vec![];
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut animated);
    encoder.encode_frames((0..3).map(|_| image::Frame::new(picture.to_rgba8()))).unwrap();
    drop(encoder);
    files.push(animated);
    let mut deep = Cursor::new(vec![]);
    DynamicImage::ImageRgba16(picture.to_rgba16()).write_to(&mut deep, ImageFormat::Png).unwrap();
    files.push(deep.into_inner());
    files
}

fn spoilt(dice: &mut Dice, files: &[Vec<u8>]) -> Vec<u8> {
    let mut file = files[dice.below(files.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(file.len());
        match dice.below(6) {
            0 => file.truncate(at),
            1 => file[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            2 => file.insert(at, dice.roll() as u8),
            3 => {
                let piece = file[at..].iter().take(64).copied().collect::<Vec<_>>();
                file.extend(piece);
            }
            // The header is near the front.
            4 => {
                let at = dice.below(file.len().min(64));
                file[at] = dice.of(&[0, 1, 0x7f, 0x80, 0xff]);
            }
            _ => file[at] ^= 1 << dice.below(8),
        }
        if file.is_empty() {
            break;
        }
    }
    file
}

/// Peak memory of some work, beyond what there was before.
fn took<T>(work: impl FnOnce() -> T) -> (usize, T) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let done = work();
    (MEMORY.peak_usage().saturating_sub(before), done)
}

fn look(file: Vec<u8>, dice: &mut Dice) {
    let length = file.len();
    let (peak, seen) = took(|| picture::inspect(&file));
    let pixels = match &seen {
        Ok(facts) => facts.pixels().unwrap(),
        // What is too large is not even begun.
        Err(Flaw::TooLarge { .. } | Flaw::Unknown | Flaw::Foreign(_)) => 0,
        Err(Flaw::Damaged(_)) => MAX_PIXELS,
    };
    assert!(pixels <= MAX_PIXELS);
    assert!(peak <= BESIDE + length * 4 + pixels as usize * PIXEL, "{peak} bytes for {length}: {seen:?}");
    let Ok(facts) = seen else { return };
    if facts.pixels() > Some(1 << 16) {
        return;
    }
    let input = Input::read(file).unwrap();
    let size = Size { width: dice.below(200) as u32 + 1, height: dice.below(200) as u32 + 1 };
    let border = |dice: &mut Dice| dice.of(&[0, 1, 100, MAX_SIDE, u32::MAX]);
    let borders =
        Borders { top: border(dice), right: border(dice), bottom: border(dice), left: border(dice) };
    let (peak, ()) = took(|| {
        let _ = canvas::padded(&input, borders);
        if let Ok(canvas::Canonical { mask, .. }) = canvas::canonical_mask(&input, size) {
            canvas::encoded_mask(&mask, MaskEncoding::Transparent).unwrap();
            canvas::encoded_mask(&mask, MaskEncoding::Black).unwrap();
        }
        canvas::as_png(&input).unwrap();
        canvas::readable(input.clone()).unwrap();
    });
    assert!(peak <= BESIDE + MAX_PIXELS as usize * PIXEL, "{peak} bytes for masks and borders");
    assert_eq!(Arc::strong_count(&input.bytes), 1);
}

#[test]
fn looking_at_pictures_takes_bounded_memory_and_never_aborts() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (pictures, seed) = (number("PICTURES", 4_000), number("SEED", 1));
    let (files, bomb) = (whole(), packed(&vec![0; 96 << 20]));
    for file in &files {
        picture::inspect(file).unwrap();
    }
    let mut dice = Dice(seed);
    for _ in 0..pictures {
        let file = if dice.below(3) == 0 { crafted(&mut dice, &bomb) } else { spoilt(&mut dice, &files) };
        look(file, &mut dice);
    }
    println!("{pictures} images of seed {seed}");
}

#[test]
fn what_the_published_library_has_signed_is_found() {
    // Made by c2pa-python 0.38.1 with a certificate of our own: scripts/credentials does the same against a server.
    let file = include_bytes!("data/signed.png");
    let study = picture::study(file, true).unwrap();
    let credentials = study.facts.marks.credentials.unwrap();
    assert_eq!(credentials.claim_generator.as_deref(), Some("Painter"));
    assert_eq!(credentials.signer.as_deref(), Some("Acme Ltd"));
    assert_eq!(
        study.facts.marks.digital_source_type.as_deref(),
        Some("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia")
    );
    assert!(study.facts.blank.is_none() && study.thumbnail.is_some_and(|file| file.len() < 5000));
}

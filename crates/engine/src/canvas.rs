//! Work on pixels: masks in the colours that providers want, and images with room around them.
//!
//! Inside image_gen a mask is 8-bit grey and 255 is *edit*. Providers disagree; [`MaskEncoding`] says how each wants it.
//! Callers write masks in white, or as the services that read transparency do: there what is transparent is edited.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::input::Input;
use crate::job::Borders;
use crate::picture::{MAX_PIXELS, MAX_SIDE, Pixels, buffer, decode, is_turned};
use crate::size::Size;

/// How a provider wants the pixels that are to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskEncoding {
    /// White on black.
    White,
    /// Black on white.
    Black,
    /// Transparent in an opaque image.
    Transparent,
}

/// A PNG of these bytes, row by row.
fn png(bytes: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Result<Input, String> {
    let mut file = buffer(bytes.len() / 2)?;
    PngEncoder::new(&mut file).write_image(bytes, width, height, colour).map_err(|e| e.to_string())?;
    Ok(Input::made(file, "image/png", Size { width, height }))
}

fn decoded(input: &Input) -> Result<Pixels, String> {
    decode(&input.bytes).map_err(|flaw| flaw.to_string())
}

/// One byte for each pixel of an image of this size.
fn grey(size: Size, paint: impl Fn(u32, u32) -> u8) -> Result<Vec<u8>, String> {
    let mut bytes = buffer(size.width as usize * size.height as usize)?;
    for y in 0..size.height {
        bytes.extend((0..size.width).map(|x| paint(x, y)));
    }
    Ok(bytes)
}

/// Four bytes for each pixel of an image of this size.
fn coloured(size: Size, paint: impl Fn(u32, u32) -> [u8; 4]) -> Result<Vec<u8>, String> {
    let mut bytes = buffer(size.width as usize * size.height as usize * 4)?;
    for y in 0..size.height {
        bytes.extend((0..size.width).flat_map(|x| paint(x, y)));
    }
    Ok(bytes)
}

fn grey_png(bytes: &[u8], size: Size) -> Result<Input, String> {
    png(bytes, size.width, size.height, ExtendedColorType::L8)
}

fn coloured_png(bytes: &[u8], size: Size) -> Result<Input, String> {
    png(bytes, size.width, size.height, ExtendedColorType::Rgba8)
}

/// An image as providers take it: PNG, JPEG and WebP as they are, everything else as PNG. One that lies on its side and only
/// says so (a photograph's EXIF orientation) is turned, because not every provider looks there: its pixels are then as people
/// see it, so that masks and borders are where they were meant to be.
pub fn readable(input: Input) -> Result<Input, String> {
    match input.content_type {
        "image/png" | "image/jpeg" | "image/webp" if !is_turned(&input.bytes) => Ok(input),
        "image/jpeg" => turned_jpeg(&input),
        _ => converted(&input),
    }
}

/// How well a photograph that is turned is written anew: a difference that is not seen.
const JPEG_QUALITY: u8 = 95;

/// A photograph stays one: as PNG it would be larger than most providers take.
fn turned_jpeg(input: &Input) -> Result<Input, String> {
    let picture = decoded(input)?;
    let size = Size { width: picture.width, height: picture.height };
    let mut bytes = buffer(picture.width as usize * picture.height as usize * 3)?;
    for y in 0..size.height {
        bytes.extend((0..size.width).flat_map(|x| {
            let [red, green, blue, _] = picture.rgba(x, y);
            [red, green, blue]
        }));
    }
    drop(picture);
    let mut file = buffer(bytes.len() / 4)?;
    JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)
        .write_image(&bytes, size.width, size.height, ExtendedColorType::Rgb8)
        .map_err(|e| e.to_string())?;
    Ok(Input::made(file, "image/jpeg", size))
}

/// The image as PNG.
pub fn as_png(input: &Input) -> Result<Input, String> {
    if input.content_type == "image/png" {
        return Ok(input.clone());
    }
    converted(input)
}

fn converted(input: &Input) -> Result<Input, String> {
    let picture = decoded(input)?;
    let size = Size { width: picture.width, height: picture.height };
    coloured_png(&coloured(size, |x, y| picture.rgba(x, y))?, size)
}

/// A mask as it was given: what it says, and what had to be changed to have it in the canonical form.
#[derive(Debug)]
pub struct Canonical {
    /// Grey, white is edited, of the image's size.
    pub mask: Input,
    /// It had another size.
    pub resized: bool,
    /// It marks by transparency.
    pub transparent: bool,
}

/// A mask as image_gen keeps it. White is edited. Where a mask has transparent pixels those are, and its colours say nothing:
/// all services that read a mask's transparency mean it so (OpenAI, Stability, BFL, ComfyUI), and under such pixels a
/// file has any colour. A mask that marks nothing is an error, because it was meant in other colours.
pub fn canonical_mask(mask: &Input, size: Size) -> Result<Canonical, String> {
    let mask = decoded(mask)?;
    let resized = (mask.width, mask.height) != (size.width, size.height);
    let transparent = mask.has_holes();
    let marks = |x, y| if transparent { 255 - mask.rgba(x, y)[3] } else { mask.grey(x, y) };
    // The nearest pixel: what is marked stays either marked or not.
    let scaled = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(from) / u64::from(to)) as u32;
    let bytes =
        grey(size, |x, y| marks(scaled(x, mask.width, size.width), scaled(y, mask.height, size.height)))?;
    if !bytes.iter().any(|&luma| luma >= 128) {
        return Err("the mask marks nothing: its white pixels are the ones to be changed".into());
    }
    Ok(Canonical { mask: grey_png(&bytes, size)?, resized, transparent })
}

/// A canonical mask in a provider's colours, as PNG.
pub fn encoded_mask(mask: &Input, ink: MaskEncoding) -> Result<Input, String> {
    if ink == MaskEncoding::White {
        return Ok(mask.clone());
    }
    let mask = decoded(mask)?;
    let size = Size { width: mask.width, height: mask.height };
    match ink {
        MaskEncoding::Transparent => {
            coloured_png(&coloured(size, |x, y| [0, 0, 0, 255 - mask.grey(x, y)])?, size)
        }
        _ => grey_png(&grey(size, |x, y| 255 - mask.grey(x, y))?, size),
    }
}

/// The image on a larger canvas, and the canonical mask of what is new. The new pixels are transparent and
/// have the colour of the nearest old one, so that a provider that ignores transparency sees no hard edge.
pub fn padded(image: &Input, borders: Borders) -> Result<(Input, Input), String> {
    let old = decoded(image)?;
    let (width, height) = (old.width, old.height);
    let size = borders.around(Size { width, height });
    if size.width > MAX_SIDE || size.height > MAX_SIDE || size.pixels() > MAX_PIXELS {
        return Err(format!(
            "{size} is larger than this server works on (at most {MAX_SIDE} on a side, {} million pixels)",
            MAX_PIXELS / 1_000_000
        ));
    }
    let inside = |x: u32, y: u32| {
        (borders.left..borders.left + width).contains(&x) && (borders.top..borders.top + height).contains(&y)
    };
    let canvas = coloured(size, |x, y| {
        let nearest_x = x.saturating_sub(borders.left).min(width - 1);
        let nearest_y = y.saturating_sub(borders.top).min(height - 1);
        let [red, green, blue, alpha] = old.rgba(nearest_x, nearest_y);
        [red, green, blue, if inside(x, y) { alpha } else { 0 }]
    })?;
    drop(old);
    let canvas = coloured_png(&canvas, size)?;
    let mask = grey(size, |x, y| if inside(x, y) { 0 } else { 255 })?;
    Ok((canvas, grey_png(&mask, size)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    use image::RgbaImage;

    fn grey(width: u32, height: u32, paint: impl Fn(u32, u32) -> u8) -> Input {
        let size = Size { width, height };
        grey_png(&super::grey(size, paint).unwrap(), size).unwrap()
    }

    fn pixels(input: &Input) -> RgbaImage {
        image::load_from_memory(&input.bytes).unwrap().into_rgba8()
    }

    #[test]
    fn every_ink_marks_the_same_pixels() {
        let Canonical { mask, resized, transparent } =
            canonical_mask(&grey(8, 4, |x, _| if x < 3 { 255 } else { 0 }), Size { width: 8, height: 4 })
                .unwrap();
        assert!(!resized && !transparent);
        for (x, y, edit) in [(0, 0, true), (2, 3, true), (3, 0, false), (7, 3, false)] {
            let at = |ink| pixels(&encoded_mask(&mask, ink).unwrap()).get_pixel(x, y).0;
            assert_eq!(at(MaskEncoding::White)[0] == 255, edit);
            assert_eq!(at(MaskEncoding::Black)[0] == 0, edit);
            assert_eq!(at(MaskEncoding::Transparent)[3] == 0, edit);
        }
    }

    #[test]
    fn a_mask_of_another_size_is_resized_and_an_empty_one_refused() {
        let size = Size { width: 16, height: 8 };
        let mask = grey(8, 4, |x, _| if x < 4 { 255 } else { 0 });
        let Canonical { mask, resized, .. } = canonical_mask(&mask, size).unwrap();
        assert!(resized);
        assert_eq!(mask.size, Some(size));
        let marked = pixels(&mask).pixels().filter(|p| p.0[0] == 255).count();
        assert_eq!(marked, 64);
        assert!(canonical_mask(&grey(8, 4, |_, _| 0), size).unwrap_err().contains("white"));
    }

    #[test]
    fn padding_adds_room_and_marks_it() {
        let borders = Borders { top: 1, right: 0, bottom: 2, left: 3 };
        let (canvas, mask) = padded(&grey(4, 5, |_, _| 200), borders).unwrap();
        assert_eq!(canvas.size, Some(Size { width: 7, height: 8 }));
        assert_eq!(mask.size, canvas.size);
        let (canvas, mask) = (pixels(&canvas), pixels(&mask));
        assert_eq!((canvas.get_pixel(3, 1).0, mask.get_pixel(3, 1).0[0]), ([200, 200, 200, 255], 0));
        assert_eq!((canvas.get_pixel(2, 1).0, mask.get_pixel(2, 1).0[0]), ([200, 200, 200, 0], 255));
        let huge = Borders { left: 4096, right: 4096, top: 4096, bottom: 4096 };
        assert!(padded(&grey(2000, 2000, |_, _| 1), huge).is_err());
    }

    #[test]
    fn what_is_transparent_in_a_mask_is_edited_whatever_its_colours() {
        let size = Size { width: 8, height: 4 };
        let hole = |x: u32| x >= 5;
        // White with a hole; the hole black, as OpenAI's own example makes it; the image itself with a hole.
        for (colour, under) in
            [([255; 3], [255; 3]), ([255; 3], [0; 3]), ([0; 3], [255; 3]), ([90, 10, 200], [0; 3])]
        {
            let paint = |x, _| {
                let [red, green, blue] = if hole(x) { under } else { colour };
                [red, green, blue, if hole(x) { 0 } else { 255 }]
            };
            let mask = coloured_png(&coloured(size, paint).unwrap(), size).unwrap();
            let Canonical { mask, transparent, .. } = canonical_mask(&mask, size).unwrap();
            assert!(transparent);
            let marked: Vec<u32> =
                pixels(&mask).enumerate_pixels().filter(|p| p.2.0[0] == 255).map(|p| p.0).collect();
            assert_eq!(marked.len(), 12, "{colour:?}");
            assert!(marked.into_iter().all(hole));
        }
        // Opaque in all of it: then white is edited.
        let opaque = coloured(size, |x, _| if x < 2 { [255; 4] } else { [0, 0, 0, 255] }).unwrap();
        let Canonical { mask, transparent, .. } =
            canonical_mask(&coloured_png(&opaque, size).unwrap(), size).unwrap();
        assert!(!transparent);
        assert_eq!(pixels(&mask).pixels().filter(|p| p.0[0] == 255).count(), 8);
    }

    #[test]
    fn a_photograph_is_turned_as_its_camera_says() {
        // Wider than high as stored; the red corner is at the top left there.
        let (width, height) = (48, 32);
        let stored = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb(if x < 16 && y < 16 { [250, 10, 10] } else { [10, 10, 250] })
        });
        // Where people see the corner (left, top), and the size they see, by the orientation's number.
        let seen = [
            (1, (true, true), false),
            (2, (false, true), false),
            (3, (false, false), false),
            (4, (true, false), false),
            (5, (true, true), true),
            (6, (false, true), true),
            (7, (false, false), true),
            (8, (true, false), true),
        ];
        for (orientation, (left, top), swapped) in seen {
            let input = Input::read(crate::picture::exif::jpeg(&stored, orientation)).unwrap();
            let expected =
                if swapped { Size { width: height, height: width } } else { Size { width, height } };
            assert_eq!(input.size, Some(expected), "{orientation}");
            let same = input.bytes.clone();
            let readable = readable(input).unwrap();
            assert_eq!((readable.size, readable.content_type), (Some(expected), "image/jpeg"));
            assert_eq!(readable.bytes == same, orientation == 1, "{orientation}");
            // Read by a program that knows nothing of orientations.
            let plain = image::load_from_memory(&readable.bytes).unwrap().into_rgb8();
            assert_eq!(plain.dimensions(), (expected.width, expected.height));
            let x = if left { 4 } else { expected.width - 5 };
            let y = if top { 4 } else { expected.height - 5 };
            assert!(plain.get_pixel(x, y).0[0] > 200, "{orientation}: {:?}", plain.get_pixel(x, y));
            assert!(!is_turned(&readable.bytes));
            // A border on the left is where people see the left.
            let (canvas, _) = padded(&readable, Borders { left: 8, ..Borders::default() }).unwrap();
            assert_eq!(canvas.size, Some(Size { width: expected.width + 8, ..expected }));
        }
    }
}

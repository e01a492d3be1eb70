//! Work on pixels: masks in the colours that providers want, and pictures with room around them.
//!
//! Inside image_gen a mask is 8-bit grey and 255 is *edit*. Providers disagree; [`Ink`] says how each wants it.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, Luma, Rgba, RgbaImage, imageops};

use crate::input::Input;
use crate::job::Borders;
use crate::size::Size;

/// The most pixels that are decoded: four bytes each, so 256 MB.
const MAX_PIXELS: u64 = 64 << 20;

/// How a provider wants the pixels that are to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// White on black.
    White,
    /// Black on white.
    Black,
    /// Transparent in an opaque picture.
    Transparent,
}

/// Decodes a picture within bounds.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 4);
    reader.limits(limits);
    reader.decode().map_err(|e| e.to_string())
}

fn png(picture: &DynamicImage) -> Result<Input, String> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).map_err(|e| e.to_string())?;
    Input::read(file.into_inner()).ok_or_else(|| "the picture could not be written".into())
}

/// A picture as providers take it: PNG, JPEG and WebP as they are, everything else as PNG.
pub fn readable(input: Input) -> Result<Input, String> {
    match input.content_type {
        "image/png" | "image/jpeg" | "image/webp" => Ok(input),
        _ => png(&decode(&input.bytes)?),
    }
}

/// The picture as PNG.
pub fn as_png(input: &Input) -> Result<Input, String> {
    if input.content_type == "image/png" {
        return Ok(input.clone());
    }
    png(&decode(&input.bytes)?)
}

/// A mask as image_gen keeps it: grey, white is edited, of the picture's size. True when it had to be resized. A
/// mask that marks nothing is an error, because it was meant in other colours.
pub fn canonical_mask(mask: &Input, size: Size) -> Result<(Input, bool), String> {
    let grey = decode(&mask.bytes)?.into_luma8();
    let fits = grey.dimensions() == (size.width, size.height);
    let grey =
        if fits { grey } else { imageops::resize(&grey, size.width, size.height, FilterType::Nearest) };
    if !grey.pixels().any(|p| p.0[0] >= 128) {
        return Err("the mask marks nothing: its white pixels are the ones to be changed".into());
    }
    Ok((png(&DynamicImage::ImageLuma8(grey))?, !fits))
}

/// A canonical mask in a provider's colours, as PNG.
pub fn inked(mask: &Input, ink: Ink) -> Result<Input, String> {
    if ink == Ink::White {
        return Ok(mask.clone());
    }
    let mut grey = decode(&mask.bytes)?.into_luma8();
    for pixel in grey.pixels_mut() {
        pixel.0[0] = 255 - pixel.0[0];
    }
    match ink {
        Ink::Transparent => {
            let (width, height) = grey.dimensions();
            let clear = RgbaImage::from_fn(width, height, |x, y| Rgba([0, 0, 0, grey.get_pixel(x, y).0[0]]));
            png(&DynamicImage::ImageRgba8(clear))
        }
        _ => png(&DynamicImage::ImageLuma8(grey)),
    }
}

/// The picture on a larger canvas, and the canonical mask of what is new. The new pixels are transparent and
/// have the colour of the nearest old one, so that a provider that ignores transparency sees no hard edge.
pub fn padded(image: &Input, borders: Borders) -> Result<(Input, Input), String> {
    let old = decode(&image.bytes)?.into_rgba8();
    let (width, height) = old.dimensions();
    let wide = width.saturating_add(borders.left).saturating_add(borders.right);
    let high = height.saturating_add(borders.top).saturating_add(borders.bottom);
    if u64::from(wide) * u64::from(high) > MAX_PIXELS {
        return Err(format!("{wide}x{high} is larger than this server works on"));
    }
    let inside = |x: u32, y: u32| {
        (borders.left..borders.left + width).contains(&x) && (borders.top..borders.top + height).contains(&y)
    };
    let canvas = RgbaImage::from_fn(wide, high, |x, y| {
        let nearest_x = x.saturating_sub(borders.left).min(width - 1);
        let nearest_y = y.saturating_sub(borders.top).min(height - 1);
        let mut pixel = *old.get_pixel(nearest_x, nearest_y);
        if !inside(x, y) {
            pixel.0[3] = 0;
        }
        pixel
    });
    let mask = GrayImage::from_fn(wide, high, |x, y| Luma([if inside(x, y) { 0 } else { 255 }]));
    Ok((png(&DynamicImage::ImageRgba8(canvas))?, png(&DynamicImage::ImageLuma8(mask))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, paint: impl Fn(u32, u32) -> u8) -> Input {
        png(&DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, |x, y| Luma([paint(x, y)])))).unwrap()
    }

    fn pixels(input: &Input) -> RgbaImage {
        decode(&input.bytes).unwrap().into_rgba8()
    }

    #[test]
    fn every_ink_marks_the_same_pixels() {
        let (mask, resized) =
            canonical_mask(&grey(8, 4, |x, _| if x < 3 { 255 } else { 0 }), Size { width: 8, height: 4 })
                .unwrap();
        assert!(!resized);
        for (x, y, edit) in [(0, 0, true), (2, 3, true), (3, 0, false), (7, 3, false)] {
            let at = |ink| pixels(&inked(&mask, ink).unwrap()).get_pixel(x, y).0;
            assert_eq!(at(Ink::White)[0] == 255, edit);
            assert_eq!(at(Ink::Black)[0] == 0, edit);
            assert_eq!(at(Ink::Transparent)[3] == 0, edit);
        }
    }

    #[test]
    fn a_mask_of_another_size_is_resized_and_an_empty_one_refused() {
        let size = Size { width: 16, height: 8 };
        let (mask, resized) = canonical_mask(&grey(8, 4, |x, _| if x < 4 { 255 } else { 0 }), size).unwrap();
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
}

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::*;

const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif];

fn drawn(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(96, 80, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, (x * y) as u8]));
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A PNG whose header claims any size, with 64 bytes of data.
fn claiming(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8], data: &[u8]| {
        file.extend((data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(name);
        file.extend(data);
        let mut sum = flate2::Crc::new();
        sum.update(&file[start..]);
        file.extend(sum.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[size.as_slice(), &[depth, colour, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78; 64]);
    chunk(b"IEND", &[]);
    file
}

#[test]
fn the_bytes_decide_what_a_picture_is() {
    for format in FORMATS {
        let file = drawn(format);
        let facts = inspect(&file).unwrap();
        assert_eq!(Some(facts.content_type.as_str()), format::decoded(format));
        assert_eq!((facts.width, facts.height, facts.pixels()), (Some(96), Some(80), Some(96 * 80)));
        assert_eq!((facts.byte_size, facts.sha256.len()), (file.len() as u64, 64));
    }
}

#[test]
fn what_is_not_a_picture_is_not_one() {
    for bytes in [&b""[..], b"<html>", b"{\"error\":1}", b"<svgs/>", b"BM"] {
        assert_eq!(inspect(bytes), Err(Flaw::Unknown));
    }
    for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"GIF89a", b"\xff\xd8\xff"] {
        assert!(matches!(inspect(bytes), Err(Flaw::Damaged(_))), "{bytes:?}");
    }
}

#[test]
fn a_header_does_not_decide_how_much_memory_is_used() {
    for (width, height, depth, colour) in [
        (10_000_000, 10_000_000, 1, 0),
        (20_000, 20_000, 8, 0),
        (40_000, 40_000, 8, 6),
        (15_900, 15_900, 8, 0),
        (16_384, 1, 8, 0),
        (7_000, 7_000, 16, 6),
        (u32::MAX >> 1, u32::MAX >> 1, 16, 6),
    ] {
        let flaw = inspect(&claiming(width, height, depth, colour)).unwrap_err();
        assert!(
            matches!(flaw, Flaw::TooLarge { .. } | Flaw::Damaged(_)),
            "{width}x{height} at {depth} bits: {flaw}"
        );
    }
    // Within the bounds, but the pixels are not there.
    let flaw = inspect(&claiming(7_000, 7_000, 8, 0)).unwrap_err();
    assert!(matches!(flaw, Flaw::Damaged(_)), "{flaw}");
}

#[test]
fn a_picture_cut_short_anywhere_is_not_a_whole_one() {
    for format in FORMATS {
        let file = drawn(format);
        for end in (0..file.len()).step_by(7).chain([file.len() - 1]) {
            assert!(inspect(&file[..end]).is_err(), "{format:?} cut to {end} of {}", file.len());
        }
    }
}

#[test]
fn a_png_with_a_broken_checksum_is_damaged() {
    let mut file = drawn(ImageFormat::Png);
    let middle = file.len() / 2;
    file[middle] ^= 0x55;
    assert!(matches!(inspect(&file), Err(Flaw::Damaged(_))));
}

#[test]
fn what_follows_the_end_is_ignored() {
    for format in FORMATS {
        let mut file = drawn(format);
        file.extend([0; 16]);
        assert!(inspect(&file).is_ok(), "{format:?}");
    }
}

#[test]
fn the_pixels_are_those_of_the_picture_in_every_depth() {
    let grey = GrayImage::from_fn(5, 4, |x, y| image::Luma([(x * 40 + y) as u8]));
    let all = [
        DynamicImage::ImageLuma8(grey.clone()),
        DynamicImage::ImageLuma16(DynamicImage::ImageLuma8(grey.clone()).into_luma16()),
        DynamicImage::ImageLumaA8(DynamicImage::ImageLuma8(grey.clone()).into_luma_alpha8()),
        DynamicImage::ImageRgb16(DynamicImage::ImageLuma8(grey.clone()).into_rgb16()),
        DynamicImage::ImageRgba16(DynamicImage::ImageLuma8(grey.clone()).into_rgba16()),
    ];
    for picture in all {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, ImageFormat::Png).unwrap();
        let pixels = decode(file.get_ref()).unwrap_or_else(|flaw| panic!("{:?}: {flaw}", picture.color()));
        for (x, y, luma) in grey.enumerate_pixels() {
            assert_eq!(pixels.grey(x, y), luma.0[0], "{:?}", picture.color());
            assert_eq!(pixels.rgba(x, y), [luma.0[0], luma.0[0], luma.0[0], 255]);
        }
    }
}

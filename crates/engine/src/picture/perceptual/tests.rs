use std::io::Cursor;

use image::imageops::{FilterType, crop_imm, resize};
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use super::*;
use crate::seed::fraction;

fn png(width: u32, height: u32, shade: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let image = GrayImage::from_fn(width, height, |x, y| Luma([shade(x, y)]));
    let mut file = Cursor::new(vec![]);
    image.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

#[test]
fn images_that_look_alike_differ_in_few_bits() {
    let waves = |width: u32, height: u32, shift: u32, bright: u8| {
        png(width, height, move |x, y| {
            ((x * 900 / width + y * 300 / height + shift) % 200) as u8 / 2 + bright
        })
    };
    let hash = |file: &[u8]| perceptual_hash(file).unwrap();
    let one = hash(&waves(360, 240, 0, 10));
    let distance = |file: &[u8]| (one ^ hash(file)).count_ones();
    assert_eq!(distance(&waves(360, 240, 0, 10)), 0);
    assert!(distance(&waves(360, 240, 0, 60)) <= 1, "brighter");
    assert!(distance(&waves(720, 480, 0, 10)) <= 10, "larger");
    assert!(distance(&waves(360, 240, 100, 10)) >= 16, "another one");
    assert_eq!(hash(&png(1, 1, |_, _| 9)), 0);
    assert_eq!(hash(&png(700, 500, |_, _| 9)), 0);
    assert!(perceptual_hash(b"no image").is_err());
}

struct Shape {
    at: [f64; 2],
    size: f64,
    round: f64,
    colour: [f64; 3],
}

/// A scene of its own for each number: of one of five kinds, with its own light, shapes and grain.
fn scene(number: u32) -> RgbImage {
    let dice = |what: &str, step: u32| fraction(&format!("{number} {what}"), step);
    let (width, height) = (120 + (dice("w", 0) * 120.0) as u32, 120 + (dice("h", 0) * 120.0) as u32);
    let colour = |what: &str, step: u32| [0, 1, 2].map(|c| dice(what, 3 * step + c) * 255.0);
    let light = [dice("light", 0) - 0.5, dice("light", 1) - 0.5];
    let ground = [colour("ground", 0), colour("ground", 1)];
    let shapes: Vec<Shape> = (0..4 + number % 5 * 4)
        .map(|n| Shape {
            at: [dice("x", n), dice("y", n)],
            size: 0.05 + dice("size", n) * 0.3,
            round: dice("round", n),
            colour: colour("colour", n),
        })
        .collect();
    let waves: Vec<[f64; 4]> = (0..12)
        .map(|n| [dice("a", n) * 24.0 - 12.0, dice("b", n) * 24.0 - 12.0, dice("c", n) * 6.3, dice("d", n)])
        .collect();
    let kind = number % 5;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let slope = ((u - 0.5) * light[0] + (v - 0.5) * light[1] + 0.5).clamp(0.0, 1.0);
        let mut pixel = [0, 1, 2].map(|c| ground[0][c] * slope + ground[1][c] * (1.0 - slope));
        for shape in &shapes {
            let (dx, dy) = ((u - shape.at[0]).abs(), (v - shape.at[1]).abs());
            let far = if shape.round > 0.5 { dx.hypot(dy) } else { dx.max(dy) } / shape.size;
            // Hard edges, or soft ones.
            let cover = if kind < 2 { f64::from(far < 1.0) } else { (-far * far).exp() };
            pixel = [0, 1, 2].map(|c| pixel[c] * (1.0 - cover) + shape.colour[c] * cover);
        }
        if kind >= 3 {
            // Textures: many waves, the faster the weaker.
            let texture: f64 = waves
                .iter()
                .map(|[a, b, c, d]| (6.3 * (a * u + b * v) + c).sin() * d * 60.0 / (1.0 + a.hypot(*b) / 3.0))
                .sum();
            pixel = pixel.map(|channel| channel + texture);
        }
        let grain = f64::from((x * 7919 + y * 104_729 + x * y * 31) % 17) - 8.0;
        Rgb(pixel.map(|channel| (channel + grain).clamp(0.0, 255.0) as u8))
    })
}

fn encoded(image: &RgbImage, quality: Option<u8>) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    match quality {
        Some(quality) => image
            .write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality))
            .unwrap(),
        None => image.write_to(&mut file, ImageFormat::Png).unwrap(),
    }
    file.into_inner()
}

#[test]
fn copies_are_within_ten_bits_and_different_images_beyond() {
    const SCENES: u32 = 200;
    const NEAR: u32 = 10;
    let mut hashes = vec![];
    let (mut worst, mut found) = (0, 0);
    let mut by_kind = [(0, 0); 3];
    for number in 0..SCENES {
        let original = scene(number);
        let one = perceptual_hash(&encoded(&original, None)).unwrap();
        hashes.push(one);
        let (width, height) = original.dimensions();
        let kind = (number % 3) as usize;
        let copy = match kind {
            // Written again as a poor JPEG; in another size; up to 3 % cut off at each side.
            0 => encoded(&original, Some(40 + (number % 50) as u8)),
            1 => {
                let factor = 0.4 + fraction(&format!("{number} factor"), 0) * 1.4;
                let side = |side: u32| (f64::from(side) * factor) as u32;
                encoded(&resize(&original, side(width), side(height), FilterType::Triangle), Some(85))
            }
            _ => {
                let cut = |step: u32, side: u32| {
                    (fraction(&format!("{number} cut"), step) * 0.03 * f64::from(side)) as u32
                };
                let (left, top) = (cut(0, width), cut(1, height));
                let (right, bottom) = (cut(2, width), cut(3, height));
                let view = crop_imm(&original, left, top, width - left - right, height - top - bottom);
                encoded(&view.to_image(), Some(90))
            }
        };
        let distance = (one ^ perceptual_hash(&copy).unwrap()).count_ones();
        worst = worst.max(distance);
        found += u32::from(distance <= NEAR);
        by_kind[kind].0 += u32::from(distance <= NEAR);
        by_kind[kind].1 += 1;
    }
    let pairs = || (0..hashes.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let apart = pairs().filter(|(a, b)| (hashes[*a] ^ hashes[*b]).count_ones() > NEAR).count();
    let share = apart as f64 / pairs().count() as f64;
    println!(
        "copies within {NEAR} bits: {found} of {SCENES} {by_kind:?} (the farthest {worst}); different images beyond: {share}"
    );
    assert!(found * 100 >= SCENES * 95, "{found} of {SCENES}");
    assert!(share >= 0.99, "{share}");
}

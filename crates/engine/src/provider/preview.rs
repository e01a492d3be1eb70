//! The embedded default: draws an image from prompt and seed, without network, key or cost, and visibly
//! marked as a preview. It is used only when asked for.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, Rgb, RgbImage};
use sha2::{Digest, Sha256};

use super::request_builder::{Encoding, RequestBuilder};
use super::{Call, Output, Prepared, Provider, Rejection, Reply, Source};
use crate::cost::Cost;
use crate::failure::Failure;
use crate::http::HttpResponse;
use crate::job::{Invalid, Warning};

pub(super) struct Preview;

impl Provider for Preview {
    fn kind(&self) -> &'static str {
        "preview"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("preview/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        ""
    }

    fn key_name(&self) -> Option<&'static str> {
        None
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?;
        builder.size()?;
        builder.pictures(Encoding::Base64)?;
        Ok(builder.finish_local())
    }

    fn read_submit(&self, _call: &Call<'_>, _response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(Rejection::free(Failure::NotSupported, "the preview is never sent anywhere"))
    }

    fn bills(&self) -> bool {
        false
    }

    fn draws(&self) -> bool {
        true
    }

    fn draw(&self, call: &Call<'_>) -> Result<Output, Rejection> {
        let made = crate::size::choose(&call.candidate.sizes, call.request, None)
            .map_err(|invalid| Rejection::free(Failure::Invalid, invalid.message))?;
        let Some(size) = made.size else {
            return Err(Rejection::free(Failure::Invalid, "a preview needs a size"));
        };
        let mut pictures = vec![];
        for index in 0..call.request.n {
            let picture = paint(&call.request.prompt, call.request.seed + i64::from(index), size);
            let mut png = vec![];
            PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Up)
                .write_image(&picture, size.width, size.height, image::ExtendedColorType::Rgb8)
                .map_err(|e| Rejection::free(Failure::Broken, e.to_string()))?;
            pictures.push(Source::Inline(png));
        }
        let seeds = (0..call.request.n).map(|index| call.request.seed + i64::from(index)).collect();
        let seed = Some(call.request.seed);
        let model = &call.candidate.model;
        let stands_in = (call.candidate.kind != *model).then(|| {
            let message =
                format!("no provider of {model} has a key here: this drawing stands in for its image");
            Warning::new("preview", message)
        });
        let warnings = stands_in.into_iter().collect();
        Ok(Output { pictures, seed, seeds, warnings, cost: Some(Cost::free()), ..Output::default() })
    }
}

/// Two colours of the prompt run into each other at an angle of the seed, under a band that says PREVIEW.
fn paint(prompt: &str, seed: i64, size: crate::size::Size) -> RgbImage {
    let mut hash = Sha256::new();
    hash.update(prompt);
    hash.update(seed.to_be_bytes());
    let h = hash.finalize();
    let (from, to) = ([h[0], h[1], h[2]], [h[3], h[4], h[5]]);
    let angle = f64::from(h[6]) / 256.0 * std::f64::consts::TAU;
    let (dx, dy) = (angle.cos() / f64::from(size.width), angle.sin() / f64::from(size.height));
    let mut picture = RgbImage::from_fn(size.width, size.height, |x, y| {
        let t = (0.5 + (f64::from(x) * dx + f64::from(y) * dy) / 2.0).fract();
        let mix = |a: u8, b: u8| (f64::from(a) * (1.0 - t) + f64::from(b) * t) as u8;
        Rgb([mix(from[0], to[0]), mix(from[1], to[1]), mix(from[2], to[2])])
    });
    let scale = (size.width / 64).max(1);
    let (left, top) = (scale * 4, size.height / 2);
    for (i, glyph) in PREVIEW.iter().enumerate() {
        for (row, bits) in glyph.iter().enumerate() {
            for column in (0..5_u32).filter(|c| bits >> (4 - c) & 1 == 1) {
                let x0 = left + (i as u32 * 6 + column) * scale;
                let y0 = top + row as u32 * scale;
                for (x, y) in (x0..x0 + scale).flat_map(|x| (y0..y0 + scale).map(move |y| (x, y))) {
                    if x < size.width && y < size.height {
                        picture.put_pixel(x, y, Rgb([255, 255, 255]));
                    }
                }
            }
        }
    }
    picture
}

/// The letters P R E V I E W, five pixels wide and seven high.
const PREVIEW: [[u8; 7]; 7] = [
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
    [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
    [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100],
    [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
    [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001],
];

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_prompt_and_seed_draw_the_same_picture() {
        let candidate = candidate("preview", "preview");
        let draw = |seed: i64| {
            let request = request(json!({"prompt": "a cat", "seed": seed, "width": 256, "height": 320}));
            let output = Preview.draw(&call(&request, &candidate)).unwrap();
            let Source::Inline(bytes) = output.pictures[0].clone() else { panic!("no bytes") };
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let facts = crate::picture::inspect(&draw(1)).unwrap();
        assert_eq!(
            (facts.content_type.as_str(), facts.width, facts.height),
            ("image/png", Some(256), Some(320))
        );
    }
}

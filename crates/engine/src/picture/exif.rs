//! Photographs that lie on their side, for tests.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

/// A JPEG whose EXIF says that it is to be turned: the orientation by its number, 1 to 8.
pub fn jpeg(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut file = vec![];
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, 95)).unwrap();
    // One directory with one entry: orientation (0x0112), a 16-bit number.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap();
    let segment = [&[0xff, 0xe1][..], &length.to_be_bytes(), &exif].concat();
    // After the start of the image.
    file.splice(2..2, segment);
    file
}

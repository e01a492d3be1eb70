//! Images and forms to send, and a look at the images that come back.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Luma};
use serde_json::Value;

/// A field of a form: its name, and text or a file.
pub enum Field<'a> {
    Text(&'a str, &'a str),
    File(&'a str, Vec<u8>),
    /// With a name of its own for the file.
    Named(&'a str, &'a str, Vec<u8>),
}

use Field::{File, Named, Text};

/// What a form is sent as.
pub const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=B");

/// A form on the wire.
pub fn form(fields: &[Field<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    let of_file = |name: &str, file: &str| {
        format!("name=\"{name}\"; filename=\"{file}\"\r\ncontent-type: image/png\r\n\r\n")
    };
    for field in fields {
        let (head, bytes) = match field {
            Text(name, text) => (format!("name=\"{name}\"\r\n\r\n"), text.as_bytes()),
            File(name, bytes) => (of_file(name, &format!("{name}.png")), bytes.as_slice()),
            Named(name, file, bytes) => (of_file(name, file), bytes.as_slice()),
        };
        body.extend_from_slice(format!("--B\r\ncontent-disposition: form-data; {head}").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

/// An image as a PNG.
pub fn encoded(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A PNG, grey all over.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(GrayImage::from_pixel(width, height, Luma([99])))
}

/// A PNG with its left `columns` in one shade and the rest in the opposite one.
pub fn mask(width: u32, height: u32, columns: u32, shade: u8) -> Vec<u8> {
    let at = |x, _| Luma([if x < columns { shade } else { 255 - shade }]);
    encoded(GrayImage::from_fn(width, height, at))
}

pub fn base64(file: &[u8]) -> String {
    STANDARD.encode(file)
}

pub fn data_uri(file: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(file))
}

/// The size of an image.
pub fn size(file: &[u8]) -> (u32, u32) {
    ImageReader::new(Cursor::new(file)).with_guessed_format().unwrap().into_dimensions().unwrap()
}

/// The size of an image in base64, bare or as a data URI.
pub fn size_in_base64(text: &Value) -> (u32, u32) {
    let text = text.as_str().unwrap();
    let data = text.split_once("base64,").map_or(text, |(_, data)| data);
    size(&STANDARD.decode(data).unwrap())
}

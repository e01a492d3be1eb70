//! What the bytes of an answer really are: declared content types and sizes are not believed.

use std::io::Cursor;

use image::{ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is known about a picture from its bytes alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `image/png`, `image/jpeg`, `image/webp` or `image/gif`.
    pub content_type: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Length in bytes.
    pub byte_size: u64,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// Looks at the first bytes and the header of a picture. `None` when it is not one that we know: the
/// caller then treats the answer as broken.
pub fn inspect(bytes: &[u8]) -> Option<Facts> {
    let content_type = match image::guess_format(bytes).ok()? {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::WebP => "image/webp",
        ImageFormat::Gif => "image/gif",
        _ => return None,
    };
    // Only the header is read: no pixel buffer is allocated, whatever the header claims.
    let (width, height) =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.into_dimensions().ok()?;
    (width > 0 && height > 0).then(|| Facts {
        content_type: content_type.to_owned(),
        width,
        height,
        byte_size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_what_a_picture_is() {
        let mut png = Cursor::new(Vec::new());
        image::RgbImage::new(3, 2).write_to(&mut png, ImageFormat::Png).unwrap();
        let facts = inspect(png.get_ref()).unwrap();
        assert_eq!((facts.content_type.as_str(), facts.width, facts.height), ("image/png", 3, 2));
        assert_eq!(facts.byte_size, png.get_ref().len() as u64);
        assert_eq!(facts.sha256.len(), 64);
    }

    #[test]
    fn what_is_not_a_picture_is_not_one() {
        for bytes in [&b""[..], b"<html>", b"{\"error\":1}", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"]
        {
            assert_eq!(inspect(bytes), None);
        }
    }
}

//! Whether an image's file goes to its end. Decoders are generous: they take the rows that are there, and fill the rest.

use image::ImageFormat;

/// An error where the file ends before the image does.
pub(super) fn check(format: ImageFormat, bytes: &[u8]) -> Result<(), &'static str> {
    let whole = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Gif => gif(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => None,
    };
    whole.ok_or("the file has no end")
}

/// Reads a file from front to back.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// Blocks that begin with their length, up to an empty one.
    pub fn blocks(&mut self) -> Option<()> {
        loop {
            match self.byte()? {
                0 => return Some(()),
                length => self.take(usize::from(length))?,
            };
        }
    }
}

/// Chunks of length, name, data and checksum, up to IEND. (The decoder proves the checksums of those with pixels.)
fn png(bytes: &[u8]) -> Option<()> {
    let mut file = Reader(bytes);
    file.take(8)?;
    loop {
        let length = u32::from_be_bytes(file.take(4)?.try_into().ok()?);
        let name = file.take(4)?;
        file.take(usize::try_from(length).ok()?)?;
        file.take(4)?;
        if name == b"IEND" {
            return Some(());
        }
    }
}

/// Segments with their length, and scans up to the next marker, up to EOI. A thumbnail's own EOI is inside a segment.
fn jpeg(bytes: &[u8]) -> Option<()> {
    let mut file = Reader(bytes);
    file.take(2)?;
    loop {
        // In a scan 0xFF is followed by 0 or by a restart marker; between segments it may be repeated.
        while file.byte()? != 0xff {}
        let mut marker = file.byte()?;
        while marker == 0xff {
            marker = file.byte()?;
        }
        match marker {
            0xd9 => return Some(()),
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let length = u16::from_be_bytes(file.take(2)?.try_into().ok()?);
                file.take(usize::from(length).checked_sub(2)?)?;
            }
        }
    }
}

/// Extensions and images, up to the trailer.
fn gif(bytes: &[u8]) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut file = Reader(bytes);
    file.take(6)?;
    let screen = file.take(7)?;
    file.take(table(screen[4]))?;
    loop {
        match file.byte()? {
            0x3b => return Some(()),
            0x21 => {
                file.byte()?;
                file.blocks()?;
            }
            0x2c => {
                let image = file.take(9)?;
                file.take(table(image[8]))?;
                file.byte()?;
                file.blocks()?;
            }
            _ => return None,
        }
    }
}

/// The whole length stands in front.
fn webp(bytes: &[u8]) -> Option<()> {
    let mut file = Reader(bytes);
    file.take(4)?;
    let length = u32::from_le_bytes(file.take(4)?.try_into().ok()?);
    file.take(usize::try_from(length).ok()?).map(drop)
}

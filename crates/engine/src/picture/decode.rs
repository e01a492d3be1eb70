//! From bytes to pixels, within the bounds of [`super`]. What is allocated is bounded before, and its failure is an error:
//! a process of the database must not abort for an image.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Flaw, MAX_DECODED, MAX_PIXELS, MAX_SIDE, format, whole};

/// What a decoder may allocate beside the decoded image: its tables, and metadata such as a colour profile.
const BESIDE: u64 = 32 << 20;

/// A decoded image: rows of pixels of 8-bit channels, without padding. It is as people see it: a photograph that its camera
/// stored lying on its side is turned where it is read.
pub(crate) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// 1 grey, 2 grey and alpha, 3 red, green and blue, 4 with alpha.
    channels: usize,
    /// How the rows, as they are stored, are turned.
    orientation: Orientation,
    data: Vec<u8>,
}

impl Pixels {
    /// Where a pixel is stored: its column, its row, and the length of a row.
    fn stored_at(&self, x: u32, y: u32) -> (u32, u32, u32) {
        let (right, bottom) = (self.width - 1, self.height - 1);
        match self.orientation {
            Orientation::NoTransforms => (x, y, self.width),
            Orientation::FlipHorizontal => (right - x, y, self.width),
            Orientation::FlipVertical => (x, bottom - y, self.width),
            Orientation::Rotate180 => (right - x, bottom - y, self.width),
            Orientation::Rotate90 => (y, right - x, self.height),
            Orientation::Rotate270 => (bottom - y, x, self.height),
            Orientation::Rotate90FlipH => (y, x, self.height),
            Orientation::Rotate270FlipH => (bottom - y, right - x, self.height),
        }
    }

    /// Whether some of it can be seen through.
    pub fn has_holes(&self) -> bool {
        // Of each pixel the last channel, where that is alpha.
        self.channels.is_multiple_of(2)
            && self.data.iter().skip(self.channels - 1).step_by(self.channels).any(|a| *a < 128)
    }

    /// Red, green, blue and alpha of a pixel inside the image.
    pub fn rgba(&self, x: u32, y: u32) -> [u8; 4] {
        let (column, row, length) = self.stored_at(x, y);
        let at = (row as usize * length as usize + column as usize) * self.channels;
        match *self.data.get(at..at + self.channels).unwrap_or_default() {
            [grey] => [grey, grey, grey, 255],
            [grey, alpha] => [grey, grey, grey, alpha],
            [red, green, blue] => [red, green, blue, 255],
            [red, green, blue, alpha] => [red, green, blue, alpha],
            _ => [0; 4],
        }
    }

    /// The brightness of a pixel inside the image, by Rec. 709.
    pub fn grey(&self, x: u32, y: u32) -> u8 {
        let [red, green, blue, _] = self.rgba(x, y).map(u32::from);
        // Weights sum to 10000, so it fits.
        ((2126 * red + 7152 * green + 722 * blue) / 10_000) as u8
    }
}

/// An empty buffer with room for so many bytes, or an error where there is no memory for it.
pub(crate) fn buffer(bytes: usize) -> Result<Vec<u8>, String> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| format!("there is no memory for {} MB", bytes >> 20))?;
    Ok(buffer)
}

/// Decodes the first frame of an image, which must be whole.
pub(crate) fn decode(bytes: &[u8]) -> Result<Pixels, Flaw> {
    let damaged = |why: image::ImageError| Flaw::Damaged(why.to_string());
    let known = image::guess_format(bytes).ok().filter(|format| format::decoded(*format).is_some());
    let format = known.ok_or_else(|| format::foreign(bytes).map_or(Flaw::Unknown, Flaw::Foreign))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // Only the header is read here: no pixel buffer is allocated, whatever it claims.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(BESIDE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let pixels = u64::from(width) * u64::from(height);
    let total = pixels.saturating_mul(u64::from(colour.bytes_per_pixel()));
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS || total > MAX_DECODED {
        return Err(Flaw::TooLarge { width, height });
    }
    if pixels == 0 {
        return Err(Flaw::Damaged("it has no pixels".into()));
    }
    whole::check(format, bytes).map_err(|why| Flaw::Damaged(why.into()))?;
    limits.max_alloc = Some(BESIDE + working_memory(format, pixels, total));
    decoder.set_limits(limits).map_err(damaged)?;
    let length = usize::try_from(total).map_err(|_| Flaw::TooLarge { width, height })?;
    let mut data = buffer(length).map_err(Flaw::Damaged)?;
    data.resize(length, 0);
    // What is said there in vain is no reason to refuse the image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    decoder.read_image(&mut data).map_err(damaged)?;
    let (channels, wide) = match colour {
        ColorType::L8 => (1, false),
        ColorType::La8 => (2, false),
        ColorType::Rgb8 => (3, false),
        ColorType::Rgba8 => (4, false),
        ColorType::L16 => (1, true),
        ColorType::La16 => (2, true),
        ColorType::Rgb16 => (3, true),
        ColorType::Rgba16 => (4, true),
        other => return Err(Flaw::Damaged(format!("pixels of {other:?} are not understood"))),
    };
    if wide {
        // 16 bits in the machine's order: the upper half of each stays, where it was read.
        for at in 0..length / 2 {
            data[at] = (u16::from_ne_bytes([data[2 * at], data[2 * at + 1]]) >> 8) as u8;
        }
        data.truncate(length / 2);
    }
    let (width, height) = if is_on_its_side(orientation) { (height, width) } else { (width, height) };
    Ok(Pixels { width, height, channels, orientation, data })
}

fn is_on_its_side(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Whether the pixels of a file are stored otherwise than people see them. Only its header is read.
pub(crate) fn is_turned(bytes: &[u8]) -> bool {
    let orientation = || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), image::guess_format(bytes).ok()?);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(BESIDE);
        reader.limits(limits);
        reader.into_decoder().ok()?.orientation().ok()
    };
    orientation().is_some_and(|orientation| orientation != Orientation::NoTransforms)
}

/// What decoders hold beside the result: a GIF its canvas in four channels, a WebP its planes, a progressive JPEG its
/// coefficients.
fn working_memory(format: ImageFormat, pixels: u64, total: u64) -> u64 {
    match format {
        ImageFormat::Png => total,
        _ => total.saturating_add(pixels.saturating_mul(8)),
    }
}

//! What the bytes of an image say of where it comes from: a manifest of C2PA (content credentials) and the
//! digitalSourceType of IPTC. Only that they are there, and what they claim: a signature is proved by other programs, and the
//! bytes stay as they came, so that it can be.

mod container;
mod manifest;

use serde::Serialize;

/// The longest text that is kept of what a file says.
const LONGEST: usize = 200;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its content credentials.
    pub credentials: Option<Credentials>,
    /// What kind of source it claims, an IRI such as
    /// `http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia`.
    pub digital_source_type: Option<String>,
}

/// A manifest of C2PA. It is claimed, not proved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The program that has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_generator: Option<String>,
    /// Whose certificate it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// Reads the marks of a file of any bytes. What is not understood is passed over.
pub fn marks(bytes: &[u8]) -> Marks {
    let found = container::parts(bytes);
    let manifest = manifest::read(&found.jumbf);
    let of_xmp = found.xmp.as_deref().and_then(source_type_of_xmp);
    let (credentials, of_manifest) = match manifest {
        Some(manifest) => (Some(manifest.credentials), manifest.digital_source_type),
        None => (None, None),
    };
    Marks { credentials, digital_source_type: of_manifest.or(of_xmp) }
}

/// The value of `Iptc4xmpExt:DigitalSourceType`: an attribute, an element, or an element's `rdf:resource`.
fn source_type_of_xmp(xmp: &[u8]) -> Option<String> {
    const NAME: &[u8] = b":DigitalSourceType";
    let rest = &xmp[find(xmp, NAME)? + NAME.len()..];
    // The value is near.
    let rest = &rest[..rest.len().min(1000)];
    let value = if rest.trim_ascii_start().starts_with(b"=") {
        quoted(rest)?
    } else if let Some(at) = find(rest, b"resource") {
        quoted(&rest[at..])?
    } else {
        let rest = &rest[rest.iter().position(|b| *b == b'>')? + 1..];
        &rest[..rest.iter().position(|b| *b == b'<')?]
    };
    iri(value)
}

fn quoted(text: &[u8]) -> Option<&[u8]> {
    let first = text.iter().position(|b| matches!(b, b'"' | b'\''))?;
    let rest = &text[first + 1..];
    Some(&rest[..rest.iter().position(|b| *b == text[first])?])
}

/// An address on the web, and nothing else.
fn iri(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let sound = text.len() <= LONGEST && text.chars().all(|c| c.is_ascii_graphic() && !"<>\"'\\".contains(c));
    (sound && (text.starts_with("http://") || text.starts_with("https://"))).then(|| text.to_owned())
}

/// One line of what a file says, cut where it is long.
fn line(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;

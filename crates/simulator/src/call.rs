//! One request as received.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::hash::hex;

/// Strings in the ledger are cut at so many characters.
const LONGEST: usize = 500;

/// What came in the body.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Nothing.
    Nothing,
    /// JSON.
    Json(Value),
    /// It was called JSON, but is not, for this reason.
    BrokenJson(String),
    /// A form with files.
    Form(Vec<Part>),
    /// Something else.
    Other,
}

/// A field or file of a form.
#[derive(Debug)]
pub(crate) struct Part {
    pub name: String,
    pub file_name: Option<String>,
    pub media_type: Option<String>,
    pub bytes: Bytes,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    pub method: Method,
    /// The path below the provider's prefix, without slashes at either end.
    pub path: String,
    /// The whole path, with secrets masked in its query.
    pub shown_path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// Which key came along, see [`account_of`].
    pub account: String,
    pub payload: Payload,
    /// The length of the body.
    pub length: usize,
    /// Where the client thinks we are: `http://host:port`.
    pub origin: String,
}

impl Call {
    pub(crate) async fn read(head: Parts, bytes: Bytes, fallback_host: &str) -> Self {
        let path = head.uri.path();
        let query: Vec<(String, String)> = head
            .uri
            .query()
            .map(|q| form_urlencoded::parse(q.as_bytes()).into_owned().collect())
            .unwrap_or_default();
        let host = head.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or(fallback_host);
        Self {
            shown_path: shown(path, &query),
            path: path.trim_matches('/').to_owned(),
            origin: format!("http://{host}"),
            length: bytes.len(),
            account: key_of(&head.headers, &query).map(account_of).unwrap_or_default(),
            payload: Payload::read(&head.headers, bytes).await,
            method: head.method,
            query,
            headers: head.headers,
        }
    }

    /// A header's text, empty if absent or not text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The key after `Bearer`, if that is how the request is authorised.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header(AUTHORIZATION.as_str()).strip_prefix("Bearer ").map(str::trim)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body, if it is a JSON object.
    pub(crate) fn object(&self) -> Option<&Map<String, Value>> {
        match &self.payload {
            Payload::Json(Value::Object(map)) => Some(map),
            _ => None,
        }
    }

    /// The body as a JSON object; a form counts as one, its files left out.
    pub(crate) fn fields(&self) -> Option<Map<String, Value>> {
        match &self.payload {
            Payload::Json(Value::Object(map)) => Some(map.clone()),
            Payload::Form(parts) => {
                let texts = parts.iter().filter(|p| p.file_name.is_none());
                Some(texts.map(|p| (p.name.clone(), String::from_utf8_lossy(&p.bytes).into())).collect())
            }
            _ => None,
        }
    }

    /// A top-level text of the body, wherever it is.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match &self.payload {
            Payload::Json(value) => value.get(name)?.as_str().map(String::from),
            Payload::Form(parts) => {
                let part = parts.iter().find(|p| p.name == name && p.file_name.is_none())?;
                Some(String::from_utf8_lossy(&part.bytes).into_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn shown_headers(&self) -> Box<RawValue> {
        let shown = self.headers.iter().map(|(name, value)| {
            let text = if is_secret(name.as_str()) {
                "***".into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            (name.as_str().to_owned(), Value::String(cut(&text)))
        });
        raw(&Value::Object(shown.collect()))
    }

    pub(crate) fn shown_body(&self) -> Option<Box<RawValue>> {
        let value = match &self.payload {
            Payload::Nothing => return None,
            Payload::Json(value) => shortened(value),
            Payload::BrokenJson(why) => json!(format!("({} bytes, not JSON: {why})", self.length)),
            Payload::Other => json!(format!("({} bytes of {})", self.length, self.header("content-type"))),
            Payload::Form(parts) => {
                let mut map = Map::new();
                for part in parts {
                    let shown = match (&part.file_name, &part.media_type) {
                        (None, _) => cut(&String::from_utf8_lossy(&part.bytes)),
                        (Some(name), media_type) => {
                            let media_type = media_type.as_deref().unwrap_or("no type");
                            format!("(file {name}, {media_type}, {} bytes)", part.bytes.len())
                        }
                    };
                    match map.entry(part.name.clone()).or_insert_with(|| json!([])) {
                        Value::Array(all) => all.push(shown.into()),
                        other => *other = shown.into(),
                    }
                }
                Value::Object(map)
            }
        };
        Some(raw(&value))
    }
}

impl Payload {
    async fn read(headers: &HeaderMap, bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "application/json" || essence.ends_with("+json") {
            return match serde_json::from_slice(&bytes) {
                Ok(value) => Self::Json(value),
                Err(error) => Self::BrokenJson(error.to_string()),
            };
        }
        match multer::parse_boundary(content_type) {
            Ok(boundary) => form(bytes, boundary).await.map_or(Self::Other, Self::Form),
            Err(_) => Self::Other,
        }
    }
}

async fn form(bytes: Bytes, boundary: String) -> multer::Result<Vec<Part>> {
    let mut form = multer::Multipart::new(
        http_body_util::BodyDataStream::new(http_body_util::Full::new(bytes)),
        boundary,
    );
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        parts.push(Part {
            name: field.name().unwrap_or_default().to_owned(),
            file_name: field.file_name().map(String::from),
            media_type: field.content_type().map(ToString::to_string),
            bytes: field.bytes().await?,
        });
    }
    Ok(parts)
}

/// What tells a key from others, without showing it: the first eight digits of its SHA-256.
pub(crate) fn account_of(key: &str) -> String {
    hex(&Sha256::digest(key)[..4])
}

/// The key of a request, wherever a provider wants it.
fn key_of<'a>(headers: &'a HeaderMap, query: &'a [(String, String)]) -> Option<&'a str> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let words = |text: &'a str| text.rsplit(' ').next().unwrap_or(text);
    let named = ["x-key", "x-goog-api-key", "api-key"].into_iter().find_map(header);
    named
        .or_else(|| header("authorization").map(words))
        .or_else(|| query.iter().find(|(name, _)| name == "key").map(|(_, key)| key.as_str()))
        .filter(|key| !key.is_empty())
}

fn is_secret(name: &str) -> bool {
    ["key", "token", "secret", "authorization", "cookie"].iter().any(|word| name.contains(word))
}

fn shown(path: &str, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let mut shown = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    for (name, value) in query {
        shown.append_pair(name, if name == "sig" || is_secret(name) { "***" } else { value });
    }
    cut(&shown.finish())
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(all) => all.iter().map(shortened).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| {
                (name.clone(), if is_secret(name) { json!("***") } else { shortened(value) })
            })
            .collect(),
        other => other.clone(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… (cut, {} characters in all)", &text[..at], text.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_are_cut_with_a_note_and_secrets_masked() {
        let value = shortened(&json!({"image": "é".repeat(9000), "webhook_secret": "hush", "n": [1, "x"]}));
        let image = value["image"].as_str().unwrap();
        assert!(image.ends_with("… (cut, 9000 characters in all)") && image.chars().count() < 540);
        assert_eq!((&value["webhook_secret"], &value["n"]), (&json!("***"), &json!([1, "x"])));
    }

    #[test]
    fn signatures_do_not_show_in_paths() {
        let query = [("id".into(), "7".into()), ("sig".into(), "abc".into())];
        assert_eq!(shown("/p", &query), "/p?id=7&sig=***");
    }
}

//! A request and a response as plain values.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::egress::Destination;
use crate::lenient;
use crate::secret::Key;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "async")]
pub mod departure;
#[cfg(feature = "async")]
pub mod driver;
#[cfg(feature = "async")]
mod guard;
#[cfg(feature = "async")]
pub mod room;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Submits.
    Post,
    /// Calls off.
    Put,
}

/// How a key is written into a request. The key itself is not part of a request: the driver puts it in at
/// the last moment, so a request can be shown, logged and explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The header's name.
    pub header: &'static str,
    /// What stands before the key, such as `Bearer `.
    pub prefix: &'static str,
    /// True when the key is `user:password` and goes in as base64.
    pub basic: bool,
}

impl Auth {
    /// The key as it is, behind a prefix.
    pub const fn header(header: &'static str, prefix: &'static str) -> Self {
        Auth { header, prefix, basic: false }
    }

    /// A key as it goes into its header.
    pub fn written(self, key: &Key) -> String {
        match self.basic {
            true => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(key.reveal());
                format!("{}{encoded}", self.prefix)
            }
            false => format!("{}{}", self.prefix, key.reveal()),
        }
    }
}

/// What a request carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// JSON.
    Json(Value),
    /// A form with files, `multipart/form-data`.
    Form(Vec<Part>),
}

/// A field or a file of a form.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// A file.
    File {
        /// Its name.
        name: String,
        /// Its type.
        content_type: &'static str,
        /// Its bytes.
        bytes: Arc<Vec<u8>>,
    },
}

impl Body {
    /// The body as people may see it: long strings cut, files named.
    pub fn shown(&self) -> Value {
        match self {
            Body::Empty => Value::Null,
            Body::Json(json) => cut(json),
            Body::Form(parts) => {
                let mut fields = Map::new();
                for part in parts {
                    let shown = match &part.content {
                        Content::Text(text) => cut(&json!(text)),
                        Content::File { name, content_type, bytes } => {
                            json!(format!("({name}, {content_type}, {} bytes)", bytes.len()))
                        }
                    };
                    match fields.get_mut(&part.name) {
                        Some(Value::Array(all)) => all.push(shown),
                        Some(first) => *first = json!([first.take(), shown]),
                        None => {
                            fields.insert(part.name.clone(), shown);
                        }
                    }
                }
                Value::Object(fields)
            }
        }
    }
}

/// Images in base64 are not for people.
fn cut(json: &Value) -> Value {
    const LONGEST: usize = 4096;
    match json {
        Value::String(text) if text.starts_with("data:") || text.len() > LONGEST => {
            let start: String = text.chars().take(40).collect();
            json!(format!("{start}... ({} characters)", text.len()))
        }
        Value::Array(all) => all.iter().map(cut).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), cut(v))).collect(),
        other => other.clone(),
    }
}

/// One HTTP request. Headers never contain a key.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// GET, POST or PUT.
    pub method: Method,
    /// Absolute URL.
    pub url: String,
    /// What it goes to: decides which private addresses it may reach.
    pub destination: Destination,
    /// How the provider's key goes in; `None` sends none.
    pub auth: Option<Auth>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// What it carries.
    pub body: Body,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// The longest body that is read, in bytes.
    pub max_bytes: usize,
}

/// The longest JSON answer that is read: room for several base64 images.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The longest image that is downloaded.
pub const MAX_PICTURE_BYTES: usize = 64 << 20;

impl HttpRequest {
    /// A GET.
    pub fn get(url: impl Into<String>, auth: Option<Auth>) -> Self {
        HttpRequest {
            method: Method::Get,
            url: url.into(),
            destination: Destination::Provider,
            auth,
            headers: vec![],
            body: Body::Empty,
            timeout: Duration::from_secs(60),
            max_bytes: MAX_ANSWER_BYTES,
        }
    }

    /// A POST.
    pub fn post(url: impl Into<String>, auth: Option<Auth>, body: Body, timeout: Duration) -> Self {
        HttpRequest { method: Method::Post, body, timeout, ..HttpRequest::get(url, auth) }
    }

    /// The same with one more header.
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The download of an image. Never with a key: the URL comes from an answer.
    pub fn picture(url: impl Into<String>) -> Self {
        HttpRequest {
            max_bytes: MAX_PICTURE_BYTES,
            destination: Destination::Image,
            ..HttpRequest::get(url, None)
        }
    }
}

/// One HTTP response, read to its end within the request's bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names in lower case. Values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON, read as tolerantly as [`lenient`] allows; `Null` where it is none, or has more values than any
    /// honest answer.
    pub fn json(&self) -> Value {
        let plain = lenient::inflated(self, MAX_ANSWER_BYTES);
        let body = plain.as_deref().unwrap_or(&self.body);
        // Images in base64 have none of these bytes.
        let values = body.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count();
        if values > MAX_JSON_VALUES {
            return Value::Null;
        }
        serde_json::from_slice(&lenient::repaired(body).0).unwrap_or(Value::Null)
    }

    /// The same answer with a body that needs no tolerance, and what was wrong with it.
    pub fn mended(mut self) -> (Self, Vec<&'static str>) {
        let mut slips = vec![];
        if let Some(plain) = lenient::inflated(&self, MAX_ANSWER_BYTES) {
            self.body = plain;
            self.headers.retain(|(name, _)| name != "content-encoding");
            slips.push(lenient::COMPRESSED);
        }
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        // Only what may be JSON: the bytes of an image are what they are.
        if matches!(first, Some(b'{' | b'[' | 0xef)) {
            let (body, wrong) = lenient::repaired(&self.body);
            if !wrong.is_empty() {
                self.body = body.into_owned();
                slips.extend(wrong);
            }
        }
        (self, slips)
    }

    /// True for 200..=299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// How long the provider asks us to wait, at most [`MAX_RETRY_AFTER`]: `retry-after-ms`, or `retry-after` in seconds or
    /// as a date. A date is counted from the answer's own, so that no clock is needed and none has to be right.
    pub fn retry_after(&self) -> Option<Duration> {
        let number = |name: &str| self.header(name)?.trim().parse::<f64>().ok().filter(|n| *n >= 0.0);
        let date = |name: &str| httpdate::parse_http_date(self.header(name)?.trim()).ok();
        let until =
            || Some(date("retry-after")?.duration_since(date("date")?).unwrap_or_default().as_secs_f64());
        let seconds = number("retry-after-ms")
            .map(|ms| ms / 1000.0)
            .or_else(|| number("retry-after"))
            .or_else(until)?;
        Some(Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())))
    }
}

/// The most values in a JSON answer that is read: in memory each can take a hundred times its bytes.
const MAX_JSON_VALUES: usize = 1 << 17;

/// The longest time that a provider can ask us to wait: what is longer is read as this. From [`crate::retry::QUOTA`] on
/// it is no longer waited for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// Why there is no response.
#[derive(Clone, Debug, PartialEq)]
pub enum TransportError {
    /// The request provably never left: name not found, connection refused, TLS failed.
    NotSent(String),
    /// It never left, because its address is not one that may be contacted: no outage, and asking again changes nothing.
    Forbidden(String),
    /// Some of it left, and no complete answer came: the other side may have acted on it.
    MaybeSent(String),
    /// A complete status came, and a body larger than allowed.
    TooLarge,
}

/// Whether a URL may be sent the key of the provider at `base_url`: same scheme, host and port, or a host
/// below one of the adapter's own domains, over https.
pub fn may_carry_key(url: &str, base_url: &str, own_domains: &[&str]) -> bool {
    let (Some(a), Some(b)) = (origin(url), origin(base_url)) else { return false };
    if a == b {
        return true;
    }
    let own = |host: &str| own_domains.iter().any(|d| host == *d || host.ends_with(&format!(".{d}")));
    // The provider's other hosts only count when the base URL itself is the provider's: behind a proxy it is not.
    a.scheme == "https" && a.port == 443 && own(&a.host) && own(&b.host)
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Lower case.
    pub host: String,
    /// Always there: the scheme's own when the URL names none.
    pub port: u16,
}

/// The origin of an http(s) URL without user information; `None` for everything else. So is one that others may read otherwise: with a
/// backslash, which some take for a slash, or with control characters, which some drop.
pub fn origin(text: &str) -> Option<Origin> {
    if text.contains(|c: char| c == '\\' || c.is_control()) {
        return None;
    }
    let url = url::Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let (host, port) = (url.host_str()?.to_ascii_lowercase(), url.port_or_known_default()?);
    Some(Origin { scheme: url.scheme().to_owned(), host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_the_providers_own_hosts_only() {
        let own = ["bfl.ai"];
        let base = "https://api.bfl.ai";
        for good in ["https://api.bfl.ai/v1/x", "https://api.us1.bfl.ai/v1/get_result?id=1"] {
            assert!(may_carry_key(good, base, &own), "{good}");
        }
        for bad in [
            "http://api.us1.bfl.ai/v1",
            "https://bfl.ai.evil.example/",
            "https://evilbfl.ai/",
            "https://x@api.bfl.ai/",
            "https://api.bfl.ai\\@evil.example/",
            "https://api.bfl.ai/\n",
            "https://api.bfl.ai:8443/",
            "ftp://api.bfl.ai/",
            "https://evil.example/?api.bfl.ai",
            "nonsense",
        ] {
            assert!(!may_carry_key(bad, base, &own), "{bad}");
        }
        assert!(may_carry_key("http://127.0.0.1:9/x", "http://127.0.0.1:9/bfl", &own));
        assert!(!may_carry_key("https://api.bfl.ai/x", "https://proxy.example/bfl", &own));
    }

    #[test]
    fn a_provider_can_ask_for_time_but_not_for_ever() {
        let asked = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            HttpResponse { status: 429, headers, body: vec![] }.retry_after()
        };
        assert_eq!(asked("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(asked("retry-after", "315360000"), Some(MAX_RETRY_AFTER));
        let dated = |after: &str, date: &str| {
            let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let headers = vec![header("retry-after", after), header("date", date)];
            HttpResponse { status: 503, headers, body: vec![] }.retry_after()
        };
        let now = "Sun, 22 Nov 2026 10:00:00 GMT";
        assert_eq!(dated("Sun, 22 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(dated("Sun, 22 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(dated("Mon, 23 Nov 2026 10:00:00 GMT", now), Some(MAX_RETRY_AFTER));
        assert_eq!(asked("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT"), None, "from when?");
        for nonsense in ["-1", "NaN", "soon", ""] {
            assert_eq!(asked("retry-after", nonsense), None);
        }
    }
}

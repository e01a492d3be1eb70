//! Sends a request value over a real connection: the only part of this crate that opens a socket.

use std::error::Error as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout};

use super::departure::Departure;
use super::guard::{Guard, is_forbidden};
use super::room::{FREE, Room, Share};
use super::{Body, Content, HttpRequest, HttpResponse, Method, Part, TransportError, origin};
use crate::denials::Denials;
use crate::egress::{Destination, Egress, Reach};
use crate::redact::Redactor;
use crate::secret::Key;

/// HTTP clients behind the egress filter.
#[derive(Clone)]
pub struct Driver {
    /// Connects to public addresses only.
    public: reqwest::Client,
    /// Connects to any address. A client of its own, so that no connection of it is ever reused for what may not.
    any: reqwest::Client,
    egress: Arc<RwLock<Egress>>,
    redactor: Arc<RwLock<Arc<Redactor>>>,
    denials: Arc<Denials>,
}

impl Driver {
    /// A driver that may also reach what is opened here. No proxy from the environment, no redirects (they could lead
    /// anywhere, with our headers), and nothing is unpacked here: an answer that was packed unasked is unpacked within
    /// bounds by the reader.
    pub fn new(egress: Egress) -> Result<Self, String> {
        // Fails only when a default was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let public = client(Reach::Public)?;
        Ok(Driver {
            public,
            any: client(Reach::Any)?,
            egress: Arc::new(RwLock::new(egress)),
            redactor: Arc::default(),
            denials: Arc::default(),
        })
    }

    /// What was turned away is noted there.
    pub fn noting(mut self, denials: Arc<Denials>) -> Self {
        self.denials = denials;
        self
    }

    /// What was turned away.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Replaces what is opened.
    pub fn open(&self, egress: Egress) {
        *self.egress.write().unwrap_or_else(PoisonError::into_inner) = egress;
    }

    /// Sends a request and reads the whole answer, within the request's bounds.
    pub async fn send(
        &self,
        request: &HttpRequest,
        key: Option<&Key>,
    ) -> Result<HttpResponse, TransportError> {
        self.send_noting(request, key, &Departure::default(), &mut Share::new(&Room::default())).await
    }

    /// As [`Driver::send`], and notes in `departure` when the request begins to leave: a caller that drops the future knows
    /// whether there is anything to be uncertain about. The answer is read as there is room for it, and has that room until
    /// `share` ends or is cleared.
    pub async fn send_noting(
        &self,
        request: &HttpRequest,
        key: Option<&Key>,
        departure: &Departure,
        share: &mut Share,
    ) -> Result<HttpResponse, TransportError> {
        let client = self.client(request.destination, &request.url).map_err(TransportError::Forbidden)?;
        let mut builder = match request.method {
            Method::Get => client.get(&request.url),
            Method::Post => client.post(&request.url),
            Method::Put => client.put(&request.url),
        };
        if let (Some(auth), Some(key)) = (request.auth, key) {
            if !self.redactor().covers(key) {
                // The key of a row's own name, from the environment: nothing has listed it.
                self.redact(self.redactor().with([key.clone()]));
            }
            let mut value = HeaderValue::from_str(&auth.written(key)).map_err(|_| {
                TransportError::NotSent("the key has characters that no header can carry".into())
            })?;
            value.set_sensitive(true);
            builder = builder.header(HeaderName::from_static(auth.header), value);
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        builder = match &request.body {
            Body::Empty => builder,
            Body::Json(json) => builder.header(CONTENT_TYPE, "application/json").body(json.to_string()),
            Body::Form(parts) => {
                builder.multipart(form(parts).map_err(|e| TransportError::NotSent(chain(&e)))?)
            }
        };
        let (client, built) = builder.build_split();
        let mut built = built.map_err(|e| TransportError::NotSent(chain(&e)))?;
        match built.body_mut().take() {
            Some(body) => *built.body_mut() = Some(departure.noted_by(body)),
            // Without a body nothing tells when it leaves.
            None => departure.note(),
        }
        let clock = Clock { whole: request.timeout, left: request.timeout };
        match exchange(client, built, request.max_bytes, clock, share).await {
            Ok(response) => Ok(self.clean(response)),
            Err(TransportError::Forbidden(why)) => {
                // A name that leads to no address that may be contacted.
                self.deny(request.destination, &request.url);
                Err(TransportError::Forbidden(why))
            }
            Err(TransportError::MaybeSent(why)) if !departure.is_noted() => Err(TransportError::NotSent(why)),
            Err(why) => Err(why),
        }
    }

    /// From now on these keys are taken out of what services say.
    pub fn redact(&self, keys: Redactor) {
        *self.redactor.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// What takes keys out of texts.
    pub fn redactor(&self) -> Arc<Redactor> {
        self.redactor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Some services repeat a rejected key in their error text, of which then a part is kept: the key must be out of it before
    /// it is cut. (What a success says is cleaned where it is kept.)
    fn clean(&self, mut response: HttpResponse) -> HttpResponse {
        // Far more than is ever shown of an error.
        const LONGEST_ERROR: usize = 256 << 10;
        if !response.is_success() {
            response.body.truncate(LONGEST_ERROR);
            if let Some(clean) = self.redactor().cleaned_excerpt(&response.body) {
                response.body = clean;
            }
        }
        response
    }

    /// The client for a URL, for those who need more of it than [`Driver::send`]. Refuses what the resolver never sees: other
    /// schemes, plain text to strangers, literal addresses.
    pub fn client(&self, destination: Destination, url: &str) -> Result<reqwest::Client, String> {
        let checked = origin(url).ok_or("not an http(s) URL without user information".into());
        let egress = self.egress.read().unwrap_or_else(PoisonError::into_inner);
        let reach = checked.and_then(|origin| egress.check(destination, &origin));
        Ok(match reach.inspect_err(|_: &String| self.deny(destination, url))? {
            Reach::Public => self.public.clone(),
            Reach::Any => self.any.clone(),
        })
    }

    /// Notes host and port: a URL can be signed.
    fn deny(&self, destination: Destination, url: &str) {
        let target = origin(url).map(|origin| format!("{}:{}", origin.host, origin.port));
        self.denials.note(destination, target.as_deref().unwrap_or("not a URL"));
    }
}

fn client(reach: Reach) -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("image_gen/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        // Shorter than any server's own limit: a request written into a connection that the server is just
        // closing would be an ambiguous send.
        .pool_idle_timeout(Duration::from_secs(4))
        .pool_max_idle_per_host(64)
        // An answer that waits for room in memory is left in its connection: it must not hold up the others in it.
        .http2_initial_stream_window_size(512 << 10)
        .http2_initial_connection_window_size(1 << 30)
        .dns_resolver(Arc::new(Guard::new(reach)));
    client.build().map_err(|e| chain(&e))
}

fn form(parts: &[Part]) -> Result<reqwest::multipart::Form, reqwest::Error> {
    let mut form = reqwest::multipart::Form::new();
    for Part { name, content } in parts {
        form = match content {
            Content::Text(text) => form.text(name.clone(), text.clone()),
            Content::File { name: file, content_type, bytes } => {
                let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(file.clone());
                form.part(name.clone(), part.mime_str(content_type)?)
            }
        };
    }
    Ok(form)
}

/// How long the other side may still take.
struct Clock {
    whole: Duration,
    left: Duration,
}

impl Clock {
    /// Waits for the other side.
    async fn wait<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, TransportError> {
        let start = Instant::now();
        let answer = timeout(self.left, answer)
            .await
            .map_err(|_| TransportError::MaybeSent(format!("no answer within {} s", self.whole.as_secs())))?;
        self.left = self.left.saturating_sub(start.elapsed());
        Ok(answer)
    }
}

async fn exchange(
    client: reqwest::Client,
    request: reqwest::Request,
    max_bytes: usize,
    mut clock: Clock,
    share: &mut Share,
) -> Result<HttpResponse, TransportError> {
    let mut response = clock.wait(client.execute(request)).await?.map_err(|error| {
        let why = chain(&error);
        // A connection that was never made carried nothing. Everything else may have.
        if is_forbidden(&error) {
            TransportError::Forbidden(why)
        } else if error.is_connect() || error.is_builder() {
            TransportError::NotSent(why)
        } else {
            TransportError::MaybeSent(why)
        }
    })?;
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        value.to_str().ok().map(|v| (name.as_str().to_owned(), v.to_owned()))
    };
    let headers = response.headers().iter().filter_map(header).collect();
    let status = response.status().as_u16();
    let length = response.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > max_bytes) {
        return Err(TransportError::TooLarge);
    }
    if let Some(length) = length {
        share.grow(length, true).await;
    }
    // What it says of its length is not believed before it comes.
    let mut body = Vec::with_capacity(length.unwrap_or_default().min(FREE));
    while let Some(chunk) =
        clock.wait(response.chunk()).await?.map_err(|e| TransportError::MaybeSent(chain(&e)))?
    {
        let longer = body.len() + chunk.len();
        if longer > max_bytes {
            return Err(TransportError::TooLarge);
        }
        share.grow(longer, false).await;
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

/// An error with its causes, without the URL: URLs can be signed.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the request failed".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_an_error_repeats_is_masked_before_it_is_cut() {
        let driver = Driver::new(Egress::default()).unwrap();
        driver.redact(Redactor::new([Key::new("sk-12345")]));
        let said = |status: u16, body: &str| {
            let body = driver.clean(HttpResponse { status, headers: vec![], body: body.into() }).body;
            String::from_utf8(body).unwrap()
        };
        assert_eq!(said(401, "bad key sk-12345 and SK-12345, not sk-12 "), "bad key *** and ***, not sk-12 ");
        assert_eq!(said(401, "nothing"), "nothing");
        let long = said(500, &format!("{}sk-12345{}", " ".repeat((256 << 10) - 7), "x".repeat(1 << 20)));
        assert!(long.trim() == "***");
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build().unwrap()
    }

    #[test]
    fn what_never_left_is_known_from_what_may_have() {
        // Each server takes the connection and says nothing: behind TLS the request waits for a handshake, else it is out.
        let told = |scheme: &str| {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap().to_string();
            let url = format!("{scheme}://{address}/submit");
            let body = Body::Json(serde_json::json!({"prompt": "a cat"}));
            let timeout = Duration::from_millis(300);
            let request = HttpRequest { method: Method::Post, body, timeout, ..HttpRequest::get(url, None) };
            let departure = Departure::default();
            let answer = runtime().block_on(async {
                let providers = crate::egress::AllowedHosts::parse(&address).unwrap();
                let driver = Driver::new(Egress { providers, ..Egress::default() }).unwrap();
                driver.send_noting(&request, None, &departure, &mut Share::new(&Room::default())).await
            });
            (departure.is_noted(), answer.unwrap_err())
        };
        let why = "no answer within 0 s".to_owned();
        assert_eq!(told("https"), (false, TransportError::NotSent(why.clone())));
        assert_eq!(told("http"), (true, TransportError::MaybeSent(why)));
    }
}

//! Sends a request value over a real connection: the only part of this crate that opens a socket.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use base64::Engine as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;

use super::{Auth, Body, Content, HttpRequest, HttpResponse, Method, Part, TransportError, origin};
use crate::egress::{AllowedHosts, is_public};
use crate::secret::Key;

/// A shared HTTP client behind the egress filter.
#[derive(Clone)]
pub struct Driver {
    client: reqwest::Client,
    allowed: Arc<RwLock<AllowedHosts>>,
}

impl Driver {
    /// A driver that may also reach these hosts. No proxy from the environment, no redirects (they could lead
    /// anywhere, with our headers), no decompression (an answer cannot grow).
    pub fn new(allowed: AllowedHosts) -> Result<Self, String> {
        // Fails only when a default was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allowed = Arc::new(RwLock::new(allowed));
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
            .dns_resolver(Arc::new(Guard::new(allowed.clone())))
            .build()
            .map_err(|e| chain(&e))?;
        Ok(Driver { client, allowed })
    }

    /// Replaces the list of allowed hosts.
    pub fn allow(&self, hosts: AllowedHosts) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Sends a request and reads the whole answer, within the request's bounds.
    pub async fn send(
        &self,
        request: &HttpRequest,
        key: Option<&Key>,
    ) -> Result<HttpResponse, TransportError> {
        self.check(&request.url).map_err(TransportError::NotSent)?;
        let mut builder = match request.method {
            Method::Get => self.client.get(&request.url),
            Method::Post => self.client.post(&request.url),
            Method::Put => self.client.put(&request.url),
        };
        if let (Some(auth), Some(key)) = (request.auth, key) {
            let mut value = HeaderValue::from_str(&written(auth, key)).map_err(|_| {
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
        match tokio::time::timeout(request.timeout, exchange(builder, request.max_bytes)).await {
            Ok(result) => result.map(|response| match key {
                Some(key) => without(response, key),
                None => response,
            }),
            Err(_) => {
                Err(TransportError::MaybeSent(format!("no answer within {} s", request.timeout.as_secs())))
            }
        }
    }

    /// Refuses what the resolver never sees: other schemes, plain text to strangers, literal addresses.
    fn check(&self, url: &str) -> Result<(), String> {
        let origin = origin(url).ok_or("not an http(s) URL without user information")?;
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        if allowed.contains(&origin.host) {
            return Ok(());
        }
        if origin.scheme != "https" {
            return Err(format!("{} is not https and not in image_gen.allow_private_hosts", origin.host));
        }
        let literal = origin.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !is_public(address) => Err(forbidden(&origin.host)),
            _ => Ok(()),
        }
    }
}

/// A key as it goes into its header.
fn written(auth: Auth, key: &Key) -> String {
    match auth.basic {
        true => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(key.reveal());
            format!("{}{encoded}", auth.prefix)
        }
        false => format!("{}{}", auth.prefix, key.reveal()),
    }
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

/// Some services repeat a rejected key in their error text, which is stored and shown. Larger bodies are pictures.
fn without(mut response: HttpResponse, key: &Key) -> HttpResponse {
    const TEXT: usize = 64 * 1024;
    // A shorter one is no real key, and would be found in any base64.
    const SHORTEST: usize = 8;
    let secret = key.reveal().as_bytes();
    if secret.len() < SHORTEST || response.body.len() > TEXT {
        return response;
    }
    let mut rest = response.body.as_slice();
    let mut clean = Vec::with_capacity(rest.len());
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(b"***");
        rest = &rest[at + secret.len()..];
    }
    clean.extend_from_slice(rest);
    response.body = clean;
    response
}

fn forbidden(host: &str) -> String {
    format!("{host} is not a public address and not in image_gen.allow_private_hosts")
}

async fn exchange(
    builder: reqwest::RequestBuilder,
    max_bytes: usize,
) -> Result<HttpResponse, TransportError> {
    let mut response = builder.send().await.map_err(|error| {
        let why = chain(&error);
        // A connection that was never made carried nothing. Everything else may have.
        if error.is_connect() || error.is_builder() {
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
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(TransportError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| TransportError::MaybeSent(chain(&e)))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(TransportError::TooLarge);
        }
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

/// Resolves names to public addresses only, so that the address that was checked is the one that is used.
struct Guard {
    allowed: Arc<RwLock<AllowedHosts>>,
    lookup: fn(&str) -> std::io::Result<Vec<SocketAddr>>,
    /// Who looks up each host just now.
    busy: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// So many lookups of one host at a time: a name server that does not answer holds up its own hosts, and no others.
const LOOKUPS_OF_A_HOST: usize = 2;

impl Guard {
    fn new(allowed: Arc<RwLock<AllowedHosts>>) -> Self {
        let lookup = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
        Guard { allowed, lookup, busy: Mutex::default() }
    }

    fn turn(&self, host: &str) -> Arc<Semaphore> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = busy.get(host).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Semaphore::new(LOOKUPS_OF_A_HOST));
        busy.insert(host.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let private_too = self.allowed.read().unwrap_or_else(PoisonError::into_inner).contains(&host);
        let (turn, lookup) = (self.turn(&host), self.lookup);
        Box::pin(async move {
            let turn = turn.acquire_owned().await?;
            let asked = host.clone();
            // The system's lookup blocks its thread, also after the caller has given up: its turn ends with the thread's work.
            let found = tokio::task::spawn_blocking(move || {
                let found = lookup(&asked);
                drop(turn);
                found
            });
            let usable: Vec<SocketAddr> =
                found.await??.into_iter().filter(|a| private_too || is_public(a.ip())).collect();
            if usable.is_empty() {
                return Err(forbidden(&host).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_key_that_an_answer_repeats_is_masked() {
        let answer = |body: &str| HttpResponse { status: 401, headers: vec![], body: body.into() };
        let masked = without(answer("bad key sk-12345 and sk-12345, not sk-12"), &Key::new("sk-12345"));
        assert_eq!(masked.body, b"bad key *** and ***, not sk-12");
        assert_eq!(without(answer("nothing"), &Key::new("sk-12345")).body, b"nothing");
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build().unwrap()
    }

    #[test]
    fn a_name_server_that_does_not_answer_holds_up_its_own_hosts_only() {
        // worker failure mode 50
        fn lookup(host: &str) -> std::io::Result<Vec<SocketAddr>> {
            static SLOW: AtomicUsize = AtomicUsize::new(0);
            if host == "slow.example" {
                assert!(
                    SLOW.fetch_add(1, Ordering::SeqCst) < LOOKUPS_OF_A_HOST,
                    "too many threads for one host"
                );
                std::thread::sleep(Duration::from_millis(500));
                SLOW.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(vec![SocketAddr::from(([93, 184, 216, 34], 0))])
        }
        let guard = Guard { lookup, ..Guard::new(Arc::default()) };
        let resolve = |host: &str| guard.resolve(host.parse().unwrap());
        runtime().block_on(async {
            let slow: Vec<_> = (0..20).map(|_| tokio::spawn(resolve("slow.example"))).collect();
            tokio::task::yield_now().await;
            let quick = tokio::time::timeout(Duration::from_millis(400), resolve("quick.example"));
            assert_eq!(quick.await.expect("it does not wait for the others").unwrap().count(), 1);
            slow.iter().for_each(tokio::task::JoinHandle::abort);
        });
    }

    #[test]
    fn a_name_that_leads_to_a_private_address_is_not_used() {
        // worker failure modes 50 and 64: what is checked is what is connected to, however the name changes.
        fn lookup(host: &str) -> std::io::Result<Vec<SocketAddr>> {
            match host {
                "private.example" => Ok(vec![
                    SocketAddr::from(([10, 0, 0, 1], 0)),
                    SocketAddr::from(([169, 254, 169, 254], 0)),
                ]),
                "both.example" => {
                    Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([93, 184, 216, 34], 0))])
                }
                "six.example" => Ok(vec!["[2606:2800:220:1::1]:0".parse().unwrap()]),
                _ => Err(std::io::Error::other("no such host")),
            }
        }
        let guard = Guard { lookup, ..Guard::new(Arc::default()) };
        let found = |host: &str| {
            let resolving = guard.resolve(host.parse().unwrap());
            runtime().block_on(resolving).map(|all| all.map(|a| a.ip().to_string()).collect::<Vec<_>>())
        };
        assert!(found("private.example").is_err() && found("none.example").is_err());
        assert_eq!(found("both.example").unwrap(), ["93.184.216.34"]);
        assert_eq!(found("six.example").unwrap(), ["2606:2800:220:1::1"]);
    }
}

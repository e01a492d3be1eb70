//! Sends one question and waits for its answer, over `ureq`: for a process that may block and needs no runtime for a single
//! request. It is behind the same egress filter as the driver, and as careful: no proxy from the environment, no redirects, and
//! the address that was checked is the one that is connected to.

use std::io;
use std::sync::Arc;

use ureq::http::{HeaderName, HeaderValue, Request, Uri};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::{Body, HttpRequest, HttpResponse, Method, TransportError, origin};
use crate::egress::{Egress, Forbidden, Reach, is_own_machine};
use crate::secret::Key;

/// Asks a question: a GET. What it gets for an answer is read to its end, within the request's bounds.
pub fn ask(
    egress: &Egress,
    request: &HttpRequest,
    key: Option<&Key>,
) -> Result<HttpResponse, TransportError> {
    if request.method != Method::Get || request.body != Body::Empty {
        return Err(TransportError::NotSent("only questions are asked like this".into()));
    }
    let origin = origin(&request.url)
        .ok_or_else(|| TransportError::Forbidden("not an http(s) URL without user information".into()))?;
    let reach = egress.check(request.destination, &origin).map_err(TransportError::Forbidden)?;
    let mut builder = Request::get(&request.url);
    if let (Some(auth), Some(key)) = (request.auth, key) {
        builder = builder.header(auth.header, auth.written(key));
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    // What is wrong with a header is not repeated: it may be the key.
    let built = builder.body(()).map_err(|_| {
        TransportError::NotSent("the URL or the key has characters that cannot be sent".into())
    })?;
    let mut response = agent(reach, request).run(built).map_err(transport)?;
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        value.to_str().ok().map(|v| (name.as_str().to_owned(), v.to_owned()))
    };
    let headers = response.headers().iter().filter_map(header).collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(request.max_bytes as u64).read_to_vec();
    match body {
        Ok(body) => Ok(HttpResponse { status, headers, body }),
        Err(Error::BodyExceedsLimit(_)) => Err(TransportError::TooLarge),
        Err(why) => Err(transport(why)),
    }
}

/// How many authorities this machine trusts: without any no provider can be told from a stranger.
pub fn trusted_authorities() -> usize {
    rustls_native_certs::load_native_certs().certs.len()
}

fn agent(reach: Reach, request: &HttpRequest) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    let config = Agent::config_builder()
        .user_agent(concat!("image_gen/", env!("CARGO_PKG_VERSION")))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(request.timeout))
        .tls_config(tls)
        .build();
    Agent::with_parts(
        config,
        DefaultConnector::default(),
        Guard { reach, system: DefaultResolver::default() },
    )
}

/// Resolves names to the addresses that may be used.
#[derive(Debug)]
struct Guard {
    reach: Reach,
    system: DefaultResolver,
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let forbidden = || {
            let why = io::Error::new(io::ErrorKind::PermissionDenied, Forbidden(host.to_owned()));
            Err(Error::Io(why))
        };
        if self.reach == Reach::Public && is_own_machine(host) {
            return forbidden();
        }
        let found = self.system.resolve(uri, config, timeout)?;
        let mut usable = self.empty();
        for address in found.iter().filter(|address| self.reach.admits(address.ip())) {
            usable.push(*address);
        }
        if usable.is_empty() { forbidden() } else { Ok(usable) }
    }
}

/// A question changes nothing, so it matters little how far it came: what is known never to have left says so.
fn transport(error: Error) -> TransportError {
    let why = error.to_string();
    match error {
        Error::Io(e) if e.get_ref().is_some_and(|e| e.is::<Forbidden>()) => TransportError::Forbidden(why),
        Error::HostNotFound | Error::ConnectionFailed | Error::BadUri(_) | Error::Http(_) => {
            TransportError::NotSent(why)
        }
        _ => TransportError::MaybeSent(why),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::egress::{AllowedHosts, Destination};
    use crate::http::Auth;

    fn open(hosts: &str) -> Egress {
        Egress { providers: AllowedHosts::parse(hosts).unwrap(), ..Egress::default() }
    }

    /// A server that gives one answer, and what it was asked.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![];
            let mut chunk = [0; 1024];
            while !asked.windows(4).any(|w| w == b"\r\n\r\n") {
                let n = stream.read(&mut chunk).unwrap();
                asked.extend_from_slice(&chunk[..n]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address, asked)
    }

    fn get(address: &str) -> HttpRequest {
        let auth = Auth::header("x-key", "Key ");
        HttpRequest {
            timeout: Duration::from_secs(5),
            ..HttpRequest::get(format!("http://{address}/v1/x"), Some(auth))
        }
    }

    #[test]
    fn a_question_is_asked_with_its_key_and_read_to_the_end() {
        let (address, asked) =
            server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nno");
        let answer = ask(&open(&address), &get(&address), Some(&Key::new("secret"))).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (302, b"no".as_slice()), "not followed");
        assert_eq!(answer.header("location"), Some("http://127.0.0.1:1/"));
        let asked = asked.join().unwrap().to_lowercase();
        assert!(
            asked.starts_with("get /v1/x http/1.1\r\n") && asked.contains("x-key: key secret\r\n"),
            "{asked}"
        );
    }

    #[test]
    fn an_answer_is_not_read_beyond_its_bounds() {
        let (address, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789");
        let request = HttpRequest { max_bytes: 8, ..get(&address) };
        assert_eq!(ask(&open(&address), &request, None), Err(TransportError::TooLarge));
        asked.join().unwrap();
    }

    #[test]
    fn what_is_not_opened_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let port = listener.local_addr().unwrap().port();
        // Plain http, a literal, and a name that leads to the own machine.
        for url in [
            format!("http://{address}/"),
            format!("https://{address}/"),
            format!("https://localhost:{port}/"),
        ] {
            let request = HttpRequest { timeout: Duration::from_secs(5), ..HttpRequest::get(&url, None) };
            let answer = ask(&Egress::default(), &request, None);
            assert!(matches!(answer, Err(TransportError::Forbidden(_))), "{url}: {answer:?}");
        }
        assert!(listener.accept().is_err(), "a connection was made");
        let image = HttpRequest { destination: Destination::Image, ..get(&address) };
        assert!(matches!(ask(&open(&address), &image, None), Err(TransportError::Forbidden(_))));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let request = HttpRequest { timeout: Duration::from_millis(200), ..get(&address) };
        assert!(matches!(ask(&open(&address), &request, None), Err(TransportError::MaybeSent(_))));
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_not_repeated() {
        let answer = ask(&open("127.0.0.1:9"), &get("127.0.0.1:9"), Some(&Key::new("bad\nkey")));
        assert!(matches!(&answer, Err(TransportError::NotSent(why)) if !why.contains("bad")), "{answer:?}");
    }
}

//! Which addresses may be contacted from inside the database server.
//!
//! A provider's answer can name any URL, and a caller can name any image. Without a filter that is a way
//! from SQL to the server's own network. The filter looks at the *resolved address* of every connection, so
//! checking and using it are one step (no DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::http::Origin;

/// What a request goes to. Each has addresses of its own that it may reach although they are not public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A provider: `image_gen.allowed_provider_hosts`.
    #[default]
    Provider,
    /// A back end on one's own machine: its configured address, and what providers may reach.
    OwnMachine,
    /// An image that a caller or an answer names: `image_gen.allowed_image_hosts`.
    Image,
    /// A receiver of messages about jobs: `image_gen.allowed_webhook_hosts`.
    Webhook,
}

impl Destination {
    /// Its name in `audit_log`.
    pub fn as_str(self) -> &'static str {
        match self {
            Destination::Provider => "provider",
            Destination::OwnMachine => "own machine",
            Destination::Image => "image",
            Destination::Webhook => "webhook",
        }
    }

    /// The setting that opens further addresses.
    pub fn setting(self) -> &'static str {
        match self {
            Destination::Provider | Destination::OwnMachine => "image_gen.allowed_provider_hosts",
            Destination::Image => "image_gen.allowed_image_hosts",
            Destination::Webhook => "image_gen.allowed_webhook_hosts",
        }
    }
}

/// Which addresses a request may be sent to once its URL has passed [`Egress::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Addresses of the public internet only, whatever the name resolves to.
    Public,
    /// Any: an administrator has named this very origin.
    Any,
}

impl Reach {
    /// Whether a connection may be made to this address.
    pub fn admits(self, address: IpAddr) -> bool {
        self == Reach::Any || is_public(address)
    }
}

/// A name that leads to no address that may be contacted.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address, and not among the allowed hosts")]
pub struct Forbidden(pub String);

/// The addresses that an administrator has opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Egress {
    /// For providers.
    pub providers: AllowedHosts,
    /// For images of callers and answers.
    pub images: AllowedHosts,
    /// For webhooks.
    pub webhooks: AllowedHosts,
    /// Where the back end on one's own machine listens.
    pub own_machine: Option<Origin>,
}

impl Egress {
    /// Where a request may go; the reason when it may not be sent at all. What a name resolves to is looked at when it is
    /// connected to.
    pub fn check(&self, destination: Destination, origin: &Origin) -> Result<Reach, String> {
        let listed = match destination {
            Destination::Provider => self.providers.contains(origin),
            Destination::OwnMachine => {
                self.own_machine.as_ref() == Some(origin) || self.providers.contains(origin)
            }
            Destination::Image => self.images.contains(origin),
            Destination::Webhook => self.webhooks.contains(origin),
        };
        if listed {
            return Ok(Reach::Any);
        }
        let Origin { scheme, host, port } = origin;
        if scheme != "https" {
            return Err(format!("{host}:{port} is not https and not in {}", destination.setting()));
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal {
            // What is meant for people has a name.
            let what = if is_public(address) { "an address and no name" } else { "not a public address" };
            return Err(format!("{host} is {what}, and {host}:{port} not in {}", destination.setting()));
        }
        if !is_usual(*port) {
            return Err(format!(
                "{host}:{port} is no port of web servers, and not in {}",
                destination.setting()
            ));
        }
        Ok(Reach::Public)
    }
}

/// Whether a web server may listen there: at its own port, or at one that needs no privileges. The others are those of mail, of names
/// and of remote control.
fn is_usual(port: u16) -> bool {
    port == 443 || port >= 1024
}

/// Origins that may be contacted although they are loopback or private, or speak plain http.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedHosts(Vec<(String, Port)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Port {
    /// That of the URL's scheme: 443, or 80.
    OfScheme,
    This(u16),
    Any,
}

impl AllowedHosts {
    /// Reads a comma-separated list of `host` (at the port of the URL's scheme), `host:port` and `host:*`. A host is a name
    /// or an address, an IPv6 address with a port is in brackets. The error names the entry that is none of these.
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(entry).collect::<Result<_, _>>().map(AllowedHosts)
    }

    /// True when the origin, exactly as a URL names it, is on the list.
    pub fn contains(&self, origin: &Origin) -> bool {
        let host = bare(&origin.host);
        self.0.iter().any(|(allowed, port)| {
            *allowed == host
                && match port {
                    Port::Any => true,
                    Port::This(port) => *port == origin.port,
                    Port::OfScheme => origin.port == if origin.scheme == "https" { 443 } else { 80 },
                }
        })
    }
}

fn entry(text: &str) -> Result<(String, Port), String> {
    let wrong = || format!("'{text}' is not host, host:port or host:*");
    // An IPv6 address has colons of its own.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') == host.ends_with(']') && !text.ends_with(']') => {
            let is_address = !host.starts_with('[') && host.contains(':');
            if is_address { (text, None) } else { (host, Some(port)) }
        }
        _ => (text, None),
    };
    let port = match port {
        None => Port::OfScheme,
        Some("*") => Port::Any,
        Some(digits) => Port::This(digits.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?),
    };
    let is_balanced = host.starts_with('[') == host.ends_with(']');
    let host = bare(host);
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !host.is_empty() && is_balanced && (named || host.parse::<Ipv6Addr>().is_ok()) {
        Ok((host, port))
    } else {
        Err(wrong())
    }
}

/// A host as it is compared: lower case, without the brackets of an IPv6 literal or a final dot.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a name means one's own machine wherever it is looked up (RFC 6761).
pub fn is_own_machine(host: &str) -> bool {
    let host = bare(host);
    host == "localhost" || host.ends_with(".localhost")
}

/// True for addresses of the public internet. Everything that is special-purpose is not: loopback, private,
/// link-local (cloud metadata), carrier-grade NAT, benchmarking, documentation, multicast, reserved, and the
/// IPv6 forms that embed an IPv4 address of such a kind.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0, ..)
            | (10, ..)
            | (100, 64..=127, _)
            | (127, ..)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0)
            | (192, 0, 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    match s {
        // ::/96 (unspecified, loopback, IPv4-compatible) and ::ffff:0:0/96 (IPv4-mapped)
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] => match address.to_ipv4_mapped() {
            Some(v4) => is_public_v4(v4),
            None => false,
        },
        // NAT64, discard-only, Teredo and other protocol assignments, 6to4, documentation
        [0x64, 0xff9b, ..] | [0x100, ..] | [0x2002, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => false,
        [0x2001, 0..=0x1ff, ..] => false,
        // only 2000::/3 is global unicast: this leaves out fc00::/7, fe80::/10, ff00::/8 and the unassigned
        [first, ..] => (first & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_purpose_addresses_are_never_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["1.1.1.1", "100.63.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    fn allows(list: &str, url: &str) -> bool {
        AllowedHosts::parse(list).unwrap().contains(&crate::http::origin(url).unwrap())
    }

    #[test]
    fn an_allowed_host_is_allowed_at_its_port_only() {
        let list = " LocalHost:8188 , 127.0.0.1,[::1]:9,gpu.lan:*,fd00::2,[fd00::3],";
        for good in [
            "http://localhost:8188/",
            "http://LOCALHOST.:8188/",
            "http://127.0.0.1/x",
            "https://127.0.0.1/x",
            "http://[::1]:9/",
            "http://gpu.lan:1/",
            "https://gpu.lan/",
            "http://[fd00::2]/",
            "https://[fd00::3]/",
        ] {
            assert!(allows(list, good), "{good}");
        }
        for bad in [
            "http://localhost/",
            "http://localhost:9200/",
            "http://127.0.0.1:9200/",
            "http://127.0.0.1:443/",
            "https://127.0.0.1:80/",
            "http://127.0.0.2/",
            "http://[::1]/",
            "http://gpu.lan.example:1/",
            "http://xgpu.lan:1/",
        ] {
            assert!(!allows(list, bad), "{bad}");
        }
        assert!(!allows("", "http://localhost/"));
    }

    #[test]
    fn an_entry_that_is_no_host_is_an_error_and_opens_nothing() {
        for wrong in [
            "host:port",
            "a:0",
            "a:65536",
            "a:",
            ":80",
            "http://a",
            "a/b",
            "a b",
            "*",
            "*:80",
            "[::1",
            "1::2::3",
        ] {
            let error = AllowedHosts::parse(&format!("good,{wrong}")).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_opens_a_provider_opens_no_picture() {
        let origin = |url: &str| crate::http::origin(url).unwrap();
        let egress = Egress {
            providers: AllowedHosts::parse("gpu.lan:8188").unwrap(),
            images: AllowedHosts::parse("images.lan:80").unwrap(),
            webhooks: AllowedHosts::parse("hooks.lan:80").unwrap(),
            own_machine: Some(origin("http://127.0.0.1:7860/sd")),
        };
        let reach = |destination, url| egress.check(destination, &origin(url)).ok();
        use Destination::{Image, OwnMachine, Provider};
        for (url, allowed) in [
            ("http://gpu.lan:8188/prompt", [true, true, false]),
            ("http://images.lan/a.png", [false, false, true]),
            ("http://hooks.lan/x", [false; 3]),
            ("http://127.0.0.1:7860/x", [false, true, false]),
            ("http://127.0.0.1:5432/x", [false; 3]),
            ("http://gpu.lan:9200/", [false; 3]),
            ("https://10.0.0.1/", [false; 3]),
            ("https://[::1]:7860/", [false; 3]),
            ("https://8.8.8.8/", [false; 3]),
            ("https://[2606:4700::1111]/", [false; 3]),
            ("https://gpu.lan:25/", [false; 3]),
        ] {
            let found = [Provider, OwnMachine, Image].map(|to| reach(to, url) == Some(Reach::Any));
            assert_eq!(found, allowed, "{url}");
            assert!(
                [Provider, OwnMachine, Image].iter().all(|to| reach(*to, url) != Some(Reach::Public)),
                "{url}"
            );
        }
        // A name is only as good as what it resolves to.
        assert_eq!(reach(Image, "https://gpu.lan:8188/"), Some(Reach::Public));
        assert_eq!(reach(Image, "https://gpu.lan/"), Some(Reach::Public));
        assert!(
            egress.check(Image, &origin("http://gpu.lan:8188/")).unwrap_err().contains("allowed_image_hosts")
        );
    }
}

//! Which addresses may be contacted from inside the database server.
//!
//! A provider's answer can name any URL, and a caller can name any image. Without a filter that is a way
//! from SQL to the server's own network. The filter looks at the *resolved address* of every connection, so
//! checking and using it are one step (no DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hosts that an administrator has allowed although they are loopback or private: names or addresses,
/// lower case, without a port. They come from the setting `image_gen.allow_private_hosts`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Reads a comma-separated list.
    pub fn parse(list: &str) -> Self {
        let hosts = list.split(',').map(|h| bare(h.trim())).filter(|h| !h.is_empty()).collect();
        AllowedHosts(hosts)
    }

    /// True when the host, exactly as a URL names it, is on the list.
    pub fn contains(&self, host: &str) -> bool {
        self.0.contains(&bare(host))
    }
}

/// A host as it is compared: lower case, without the brackets of an IPv6 literal or a final dot.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
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

    #[test]
    fn an_allowed_host_is_compared_by_its_bare_name() {
        let hosts = AllowedHosts::parse(" LocalHost , 127.0.0.1,[::1],");
        assert!(hosts.contains("localhost."));
        assert!(hosts.contains("127.0.0.1"));
        assert!(hosts.contains("::1"));
        assert!(!hosts.contains("127.0.0.2"));
        assert!(!AllowedHosts::parse("").contains(""));
    }
}

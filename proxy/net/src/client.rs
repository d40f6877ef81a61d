//! Whose request it is, as shares go: by address, since anonymous clients have no other name.
//!
//! An address of IPv6 stands for its network of 64 bits, which one customer of a provider has for himself. What comes
//! through a proxy of our own is the client's that the proxy names; a proxy itself has no share.
//!
//! Not here: what is shared (`budget`).

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The network bits of an address that is one client's.
const CUSTOMER: u128 = u128::MAX << 64;

/// One client; `None` where nobody is counted: a trusted proxy that names nobody, a request that came by no socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Client(Option<IpAddr>);

impl Client {
    /// Whoever comes from `address`.
    pub fn at(address: IpAddr) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & CUSTOMER)),
        };
        Self(Some(address))
    }

    /// Whether it is known, and has a share.
    pub fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// Networks of proxies in front of us, which say whom they pass on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Who made a connection from `peer`.
    pub fn connected(&self, peer: IpAddr) -> Client {
        if self.trusts(peer) { Client::default() } else { Client::at(peer) }
    }

    /// Whose request came from `peer`: where that is a proxy of ours, the last in `X-Forwarded-For` that is none.
    pub fn asked(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let Some(peer) = peer else { return Client::default() };
        if !self.trusts(peer) {
            return Client::at(peer);
        }
        // From the end: what stands further in front was written by whoever came to the proxy.
        let passed: Vec<_> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        let named = passed.iter().rev().flat_map(|line| line.rsplit(','));
        for name in named {
            match address(name.trim()) {
                Some(address) if self.trusts(address) => {}
                Some(address) => return Client::at(address),
                None => return Client::default(),
            }
        }
        Client::default()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, as proxies write it: some with a port, some in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (FORWARDED_FOR, value.parse().unwrap())).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_its_address_or_its_network_of_64_bits() {
        assert_eq!(Client::at(ip("2001:db8:1:2::1")), Client::at(ip("2001:db8:1:2:ffff::9")));
        assert_ne!(Client::at(ip("2001:db8:1:2::1")), Client::at(ip("2001:db8:1:3::1")));
        assert_eq!(Client::at(ip("::ffff:192.0.2.1")), Client::at(ip("192.0.2.1")));
        assert_ne!(Client::at(ip("192.0.2.1")), Client::at(ip("192.0.2.2")));
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_passes_on() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let asked = |peer: &str, headers: &[&str]| trusted.asked(Some(ip(peer)), &forwarded(headers));
        let client = Client::at(ip("192.0.2.7"));
        assert_eq!(asked("192.0.2.7", &["198.51.100.1"]), client);
        assert_eq!(asked("10.1.1.1", &["192.0.2.7"]), client);
        // What the client itself wrote stands in front.
        assert_eq!(asked("10.1.1.1", &["203.0.113.5", "198.51.100.1, 192.0.2.7:4711, 10.2.2.2"]), client);
        assert_eq!(asked("10.1.1.1", &["198.51.100.1, unknown"]), Client::default());
        assert_eq!(asked("10.1.1.1", &[]), Client::default());
        assert!(!trusted.connected(ip("10.1.1.1")).is_known());
        assert!(trusted.connected(ip("192.0.2.7")).is_known());
    }
}

//! Which page a browser was on when it sent a request. Pure.
//!
//! Browsers say so by `Sec-Fetch-Site`, which no page can set; where they don't, `Origin` is compared with the host
//! that was asked. Programs other than browsers send neither.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};

/// The host that was asked, with its port.
pub(super) fn host(parts: &Parts) -> Option<Authority> {
    // HTTP/2 has it in the address, HTTP/1 in a header.
    parts.uri.authority().cloned().or_else(|| text(&parts.headers, HOST.as_str())?.parse().ok())
}

/// Whether `host` is a name of this machine for itself. Any other name that leads here was made to do so, by a page
/// that wants its browser to read from here.
pub(super) fn is_loopback(host: &Authority) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Whether the request may change something, or opens a socket that could.
pub(super) fn acts(parts: &Parts) -> bool {
    let is_safe = parts.method == Method::GET || parts.method == Method::HEAD;
    // Browsers let any page open a socket to anywhere, cookies included. HTTP/2 opens it with CONNECT.
    !is_safe || parts.headers.contains_key(UPGRADE)
}

/// Whether no page of another origin sent the request.
pub(super) fn is_own(parts: &Parts) -> bool {
    if let Some(site) = text(&parts.headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = parts.headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let origin = origin.and_then(|(scheme, rest)| Some((scheme, rest.parse::<Authority>().ok()?)));
    match (origin, host(parts)) {
        (Some((scheme, origin)), Some(host)) => {
            let port = |of: &Authority| of.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
            origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(&host)
        }
        // `null`, which pages in a sandbox send, is nobody's own.
        _ => false,
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn names_of_this_machine_are_known_and_nothing_else_is() {
        let is = |host: &str| is_loopback(&host.parse().unwrap());
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "127.8.8.8", "[::1]:9090"] {
            assert!(is(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9090", "127.0.0.1.nip.example", "10.0.0.1", "[::2]:80"] {
            assert!(!is(host), "{host}");
        }
        let http2 = Request::builder().uri("http://evil.example/").header("host", "localhost").body(()).unwrap();
        assert_eq!(host(&http2.into_parts().0).unwrap(), "evil.example");
        assert_eq!(host(&parts("GET", &[])), None);
    }

    #[test]
    fn a_page_of_another_site_is_told_from_our_own() {
        let own = |headers: &[(&str, &str)]| is_own(&parts("POST", headers));
        let host = ("host", "desk.example:9090");
        assert!(own(&[host]), "no browser");
        assert!(own(&[host, ("origin", "https://desk.example:9090")]));
        assert!(own(&[("host", "desk.example"), ("origin", "https://desk.example:443")]));
        assert!(own(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://outer.example")]), "behind a proxy");
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "https://desk.example:9091"),
            ("origin", "https://desk.example.evil.example:9090"),
            ("origin", "null"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "SAME-ORIGIN "),
        ] {
            assert!(!own(&[host, (name, value)]), "{name}: {value}");
        }
    }

    #[test]
    fn only_plain_reading_does_not_act() {
        assert!(!acts(&parts("GET", &[])));
        assert!(!acts(&parts("HEAD", &[])));
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "BREW"] {
            assert!(acts(&parts(method, &[])), "{method}");
        }
        assert!(acts(&parts("GET", &[("upgrade", "websocket")])));
    }
}

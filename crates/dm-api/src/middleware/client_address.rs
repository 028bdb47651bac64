//! Whose request it is, as far as the network tells.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes of an IPv6 address that name a customer's network: a /56.
const IPV6_PREFIX: usize = 7;

/// The client behind a connection from `peer`: the peer itself or, where that
/// is a trusted proxy, the last address in `X-Forwarded-For` that is not one.
/// An IPv6 client is its /56, of which it can use every address.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    let client = if trusted.contains(&peer) {
        forwarded_client(headers, trusted).unwrap_or(peer)
    } else {
        peer
    };
    network_of(client)
}

/// Proxies append to the list, so that what stands left of the first address
/// from a proxy we trust was written by the client and proves nothing.
fn forwarded_client(headers: &HeaderMap, trusted: &[IpAddr]) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all(&X_FORWARDED_FOR)
        .filter_map(|value| value.to_str().ok())
        .collect();
    lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(','))
        .map(parse)
        .find(|address| !matches!(address, Some(address) if trusted.contains(address)))
        .flatten()
}

fn parse(text: &str) -> Option<IpAddr> {
    text.trim()
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[IPV6_PREFIX..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let trusted: Vec<IpAddr> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_claim_another_address() {
        assert_eq!(client("9.9.9.9", &["1.2.3.4"], &[]), "9.9.9.9");
        assert_eq!(client("9.9.9.9", &["1.2.3.4"], &["10.0.0.1"]), "9.9.9.9");
    }

    #[test]
    fn behind_a_trusted_proxy_only_what_it_appended_counts() {
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 5.6.7.8"], &["10.0.0.1"]),
            "5.6.7.8"
        );
        let proxies = ["10.0.0.1", "10.0.0.2"];
        assert_eq!(client("10.0.0.1", &["5.6.7.8", "10.0.0.2"], &proxies), "5.6.7.8");
        assert_eq!(client("::ffff:10.0.0.1", &["5.6.7.8"], &proxies), "5.6.7.8");
    }

    #[test]
    fn rubbish_counts_as_the_proxy() {
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, rubbish"], &["10.0.0.1"]),
            "10.0.0.1"
        );
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.1"]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(client("2001:db8:1:2ff:aaaa::1", &[], &[]), "2001:db8:1:200::");
    }
}

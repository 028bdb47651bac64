//! Reads the entries of `initial_peers`.

use std::net::IpAddr;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::addresses::{is_quic, is_relayed};

/// Where a peer may be reached, and who it must be, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialTarget {
    /// The peer that must answer.
    pub peer: Option<PeerId>,
    /// Addresses to try, without `/p2p`.
    pub addresses: Vec<Multiaddr>,
}

impl DialTarget {
    /// Whether the peer is reached over QUIC and by no other way.
    pub(crate) fn is_quic_only(&self) -> bool {
        self.addresses.iter().all(is_quic)
    }
}

/// An entry that names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{entry}' is no peer: {reason} (expected a multiaddr such as /ip4/192.0.2.1/tcp/9000, or host:port)"
)]
pub struct InvalidPeer {
    /// The entry as it was given.
    pub entry: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads a multiaddr (with or without `/p2p/ID`), `host:port`, or the older
/// `http://host:port`. A host and port are tried over TCP and over QUIC.
///
/// # Errors
/// [`InvalidPeer`] names the entry and says what is wrong.
pub fn parse_initial_peer(entry: &str) -> Result<DialTarget, InvalidPeer> {
    let text = entry.trim();
    let parsed = if text.starts_with('/') {
        parse_multiaddr(text)
    } else {
        parse_host_and_port(text)
    };
    parsed.map_err(|reason| InvalidPeer {
        entry: entry.chars().take(200).collect(),
        reason,
    })
}

fn parse_multiaddr(text: &str) -> Result<DialTarget, &'static str> {
    let mut address: Multiaddr = text.parse().map_err(|_| "not a valid multiaddr")?;
    let peer = match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            Some(peer)
        }
        _ => None,
    };
    if !is_dialable(&address) {
        return Err("neither TCP, QUIC (/udp/PORT/quic-v1) nor /memory, nor one of these and a relay");
    }
    if is_relayed(&address) && peer.is_none() {
        return Err("behind a relay the peer has to be named: /p2p/ID at the end");
    }
    Ok(DialTarget {
        peer,
        addresses: vec![address],
    })
}

/// A place in the network, or a relay at such a place.
fn is_dialable(address: &Multiaddr) -> bool {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let place = match parts.as_slice() {
        [place @ .., Protocol::P2p(_), Protocol::P2pCircuit] => place,
        place => place,
    };
    match place {
        [Protocol::Memory(port)] => *port != 0,
        [host, Protocol::Tcp(port)] | [host, Protocol::Udp(port), Protocol::QuicV1] => {
            is_host(host) && *port != 0
        }
        _ => false,
    }
}

fn is_host(part: &Protocol<'_>) -> bool {
    matches!(
        part,
        Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)
    )
}

fn parse_host_and_port(text: &str) -> Result<DialTarget, &'static str> {
    let text = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port: u16 = port.parse().map_err(|_| "the port is not between 1 and 65535")?;
    if port == 0 {
        return Err("the port is not between 1 and 65535");
    }
    let host = host_protocol(host)?;
    Ok(DialTarget {
        peer: None,
        addresses: vec![
            Multiaddr::empty().with(host.clone()).with(Protocol::Tcp(port)),
            Multiaddr::empty()
                .with(host)
                .with(Protocol::Udp(port))
                .with(Protocol::QuicV1),
        ],
    })
}

fn host_protocol(host: &str) -> Result<Protocol<'_>, &'static str> {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = literal.unwrap_or(host).parse::<IpAddr>() {
        // A bare IPv6 address would hide where it ends and the port begins.
        return match ip {
            IpAddr::V6(_) if literal.is_none() => Err("an IPv6 address stands in brackets: [::1]:9000"),
            ip => Ok(ip.into()),
        };
    }
    if is_host_name(host) {
        Ok(Protocol::Dns(host.into()))
    } else {
        Err("not a host name or IP address")
    }
}

/// RFC 1123 host names; a last label of digits alone would be a mistyped IP address.
fn is_host_name(host: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label_ok) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(entry: &str) -> Vec<String> {
        parse_initial_peer(entry)
            .unwrap()
            .addresses
            .iter()
            .map(Multiaddr::to_string)
            .collect()
    }

    #[test]
    fn host_and_port_are_tried_over_tcp_and_quic() {
        for entry in [
            "127.0.0.1:9000",
            "http://127.0.0.1:9000",
            " http://127.0.0.1:9000/ ",
        ] {
            assert_eq!(
                addresses(entry),
                ["/ip4/127.0.0.1/tcp/9000", "/ip4/127.0.0.1/udp/9000/quic-v1"]
            );
        }
        assert_eq!(addresses("node-a.example:1")[0], "/dns/node-a.example/tcp/1");
        assert_eq!(addresses("[::1]:9000")[1], "/ip6/::1/udp/9000/quic-v1");
    }

    #[test]
    fn a_multiaddr_may_name_the_peer() {
        let peer = PeerId::random();
        let target = parse_initial_peer(&format!("/ip4/10.0.0.1/tcp/9000/p2p/{peer}")).unwrap();
        assert_eq!(target.peer, Some(peer));
        assert_eq!(target.addresses[0].to_string(), "/ip4/10.0.0.1/tcp/9000");
        assert_eq!(
            parse_initial_peer("/dns4/a.example/udp/9000/quic-v1")
                .unwrap()
                .peer,
            None
        );
    }

    #[test]
    fn a_peer_behind_a_relay_has_to_be_named() {
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let circuit = format!("/ip4/10.0.0.1/tcp/9000/p2p/{relay}/p2p-circuit");
        let target = parse_initial_peer(&format!("{circuit}/p2p/{peer}")).unwrap();
        assert_eq!(target.peer, Some(peer));
        assert_eq!(target.addresses[0].to_string(), circuit);
        assert!(parse_initial_peer(&circuit).is_err());
        assert!(parse_initial_peer(&format!("/p2p/{relay}/p2p-circuit/p2p/{peer}")).is_err());
    }

    #[test]
    fn rubbish_is_refused_by_name() {
        for entry in [
            "",
            "nonsense",
            "host",
            "host:0",
            "host:65536",
            "host:http",
            "::1:9000",
            "256.1.1.1:9000",
            "a b:9000",
            "ftp://host:9000",
            "http://host:9000/path",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/9000",
            "/ip4/127.0.0.1/tcp/9000/ws",
            "/ip4/300.0.0.1/tcp/9000",
            "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        ] {
            let fault = parse_initial_peer(entry).expect_err(entry);
            assert!(fault.to_string().contains(entry), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let _ = parse_initial_peer(&text);
        }

        #[test]
        fn no_text_like_a_multiaddr_makes_the_reader_panic(text in "(/(ip4|ip6|dns|tcp|udp|p2p|p2p-circuit|quic-v1|memory|[0-9.:]{0,9})){0,8}") {
            let _ = parse_initial_peer(&text);
        }
    }
}

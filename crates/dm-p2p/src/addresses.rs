//! Which of the addresses that a peer claims for itself are worth keeping.

use std::net::IpAddr;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Addresses kept of one peer.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// How far an address carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Within this process.
    Process,
    /// Within this machine.
    Machine,
    /// Within a private network.
    Private,
    /// Everywhere.
    Public,
}

/// Of the addresses that a peer claims, those that this node can use, at most
/// [`MAX_ADDRESSES`]: a loopback address only of a peer on this machine, a
/// private one only of a peer on a private network, so that a stranger cannot
/// send this node knocking at doors inside its own network. Where a peer that
/// comes through a relay is, is not known: only public ones are taken of it.
pub(crate) fn usable(claimed: &[Multiaddr], seen_at: &Multiaddr) -> Vec<Multiaddr> {
    let seen = match reach(seen_at) {
        _ if is_relayed(seen_at) => Reach::Public,
        Some(reach) => reach,
        None => return Vec::new(),
    };
    reaching(claimed, seen)
}

/// The same for a peer of which is known only that it is on the local network.
#[cfg(any(feature = "mdns", test))]
pub(crate) fn usable_nearby(claimed: &[Multiaddr]) -> Vec<Multiaddr> {
    reaching(claimed, Reach::Private)
}

fn reaching(claimed: &[Multiaddr], least: Reach) -> Vec<Multiaddr> {
    let mut usable: Vec<Multiaddr> = Vec::new();
    for address in claimed {
        let address = without_peer(address);
        if reach(&address).is_some_and(|reach| reach >= least) && !usable.contains(&address) {
            usable.push(address);
        }
        if usable.len() == MAX_ADDRESSES {
            break;
        }
    }
    usable
}

/// Whether the address carries at least as far as the one under which its
/// peer was seen, so that the peer may well be there.
pub(crate) fn reaches_as_far(address: &Multiaddr, seen_at: &Multiaddr) -> bool {
    reach(address).is_some_and(|reach_of_address| Some(reach_of_address) >= reach(seen_at))
}

/// Whether the address can be reached from everywhere.
pub(crate) fn is_public(address: &Multiaddr) -> bool {
    reach(address) == Some(Reach::Public)
}

/// The peer that an address ends with.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// Whether the address is of QUIC.
pub(crate) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1)
}

/// Whether the address leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether the address means the same place for everybody who sees the peer
/// where this node sees it: many private networks have the same addresses, and
/// names may stand for several machines.
pub(crate) fn is_unambiguous(address: &Multiaddr) -> bool {
    let is_name = matches!(
        address.iter().next(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
    );
    !is_name && reach(address).is_some_and(|reach| reach != Reach::Private)
}

/// The address without its trailing peer id.
pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

fn reach(address: &Multiaddr) -> Option<Reach> {
    match address.iter().next()? {
        Protocol::Memory(port) => (port != 0).then_some(Reach::Process),
        Protocol::Ip4(ip) => reach_of_ip(ip.into()),
        Protocol::Ip6(ip) => reach_of_ip(ip.into()),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Some(Reach::Public),
        _ => None,
    }
}

fn reach_of_ip(ip: IpAddr) -> Option<Reach> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    if ip.is_loopback() {
        return Some(Reach::Machine);
    }
    let private = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || is_shared(ip.octets()),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    Some(if private { Reach::Private } else { Reach::Public })
}

/// Carrier-grade NAT, RFC 6598: 100.64.0.0/10.
fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_far_peer_cannot_point_into_this_network() {
        let claimed = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.9/tcp/1",
            "/ip4/8.8.8.8/tcp/1",
        ]);
        let seen_at = "/ip4/9.9.9.9/tcp/5".parse().unwrap();
        assert_eq!(usable(&claimed, &seen_at), claimed[2..]);
    }

    #[test]
    fn peers_on_this_machine_and_on_the_same_network_are_usable() {
        let claimed = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.9/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
        ]);
        assert_eq!(
            usable(&claimed, &"/ip4/127.0.0.1/tcp/5".parse().unwrap()),
            claimed[..2]
        );
        assert_eq!(
            usable(&claimed, &"/ip4/192.168.1.1/tcp/5".parse().unwrap()),
            claimed[1..2]
        );
    }

    #[test]
    fn of_a_peer_behind_a_relay_only_public_addresses_are_usable() {
        let relay = PeerId::random();
        let claimed = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            &format!("/ip4/10.0.0.9/tcp/1/p2p/{relay}/p2p-circuit"),
            &format!("/ip4/8.8.8.8/tcp/1/p2p/{relay}/p2p-circuit"),
        ]);
        let seen_at = format!("/ip4/127.0.0.1/tcp/5/p2p/{relay}/p2p-circuit")
            .parse()
            .unwrap();
        assert_eq!(usable(&claimed, &seen_at), claimed[2..]);
    }

    #[test]
    fn a_neighbour_cannot_point_into_this_machine() {
        let claimed = addresses(&["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.9/tcp/1"]);
        assert_eq!(usable_nearby(&claimed), claimed[1..]);
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let claimed: Vec<Multiaddr> = (1..100)
            .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
            .collect();
        assert_eq!(usable(&claimed, &claimed[0]).len(), MAX_ADDRESSES);
    }
}

//! No more than a few entries of the routing table from one network: whoever
//! has a whole one must not surround others with it.

use std::net::IpAddr;

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::addresses::is_public;

/// Entries of the routing table from one network.
const MAX_OF_SUBNET: usize = 4;

/// The first bytes of an address: 24 bits of IPv4, 48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subnet {
    V4([u8; 3]),
    V6([u8; 6]),
}

/// Whether a peer with these addresses would be one too many of its network
/// beside those that are in the routing table, each with its addresses.
/// Addresses that carry within a private network only do not count: there all
/// nodes are neighbours.
pub(super) fn is_crowded<'a>(
    addresses: &[Multiaddr],
    table: impl Iterator<Item = Vec<&'a Multiaddr>>,
) -> bool {
    let wanted: Vec<Subnet> = addresses.iter().filter_map(subnet).collect();
    let mut counts = vec![0; wanted.len()];
    for entry in table {
        let subnets: Vec<Subnet> = entry.into_iter().filter_map(subnet).collect();
        for (count, subnet) in counts.iter_mut().zip(&wanted) {
            *count += usize::from(subnets.contains(subnet));
        }
    }
    counts.into_iter().any(|count| count >= MAX_OF_SUBNET)
}

/// The network of an address; `None` of one that carries within a private
/// network only.
pub(super) fn subnet(address: &Multiaddr) -> Option<Subnet> {
    let ip: IpAddr = match address.iter().next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    if !is_public(address) {
        return None;
    }
    Some(match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Subnet::V4([a, b, c])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, ..] = ip.octets();
            Subnet::V6([a, b, c, d, e, f])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        format!("{text}/tcp/1").parse().unwrap()
    }

    fn is_crowded_beside(new: &str, table: &[&str]) -> bool {
        let table: Vec<Multiaddr> = table.iter().map(|text| address(text)).collect();
        is_crowded(&[address(new)], table.iter().map(|address| vec![address]))
    }

    #[test]
    fn a_network_has_a_few_entries_and_no_more() {
        let few = ["/ip4/8.8.8.1", "/ip4/8.8.8.2", "/ip4/8.8.8.3"];
        assert!(!is_crowded_beside("/ip4/8.8.8.9", &few));
        let many = [&few[..], &["/ip4/8.8.8.4"]].concat();
        assert!(is_crowded_beside("/ip4/8.8.8.9", &many));
        assert!(!is_crowded_beside("/ip4/8.8.9.9", &many));
        let v6: Vec<String> = (1..=4).map(|n| format!("/ip6/2a00:1:2:{n}::1")).collect();
        let v6: Vec<&str> = v6.iter().map(String::as_str).collect();
        assert!(is_crowded_beside("/ip6/2a00:1:2:99::1", &v6));
        assert!(!is_crowded_beside("/ip6/2a00:1:3:1::1", &v6));
    }

    #[test]
    fn in_a_private_network_all_are_neighbours() {
        let many: Vec<String> = (1..99).map(|n| format!("/ip4/192.168.1.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(!is_crowded_beside("/ip4/192.168.1.200", &many));
    }

    #[test]
    fn an_entry_with_many_addresses_counts_once() {
        let own: Vec<Multiaddr> = (1..9).map(|n| address(&format!("/ip4/8.8.8.{n}"))).collect();
        assert!(!is_crowded(&own[..1], std::iter::once(own.iter().collect())));
    }
}

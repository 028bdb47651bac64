//! Where the other end of a connection is: what limits are counted by.

use std::net::{IpAddr, Ipv6Addr};

use libp2p::{Multiaddr, core::ConnectedPoint, multiaddr::Protocol};

use super::subnets::{Subnet, subnet};
use crate::addresses::is_relayed;

/// The address and the network of the other end. Of a relayed connection it is
/// the relay's: where the other end is cannot be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// One IPv4 address or one IPv6 /64, which is what one host has; `None` of
    /// a name and within one process.
    pub(super) address: Option<IpAddr>,
    /// `None` within private networks, where all nodes are neighbours.
    pub(super) network: Option<Subnet>,
}

impl Origin {
    /// Of a connection that another node opened, seen at `remote`.
    pub(super) fn of_incoming(local: &Multiaddr, remote: &Multiaddr) -> Self {
        // At the far end of a circuit nothing but a peer id is seen.
        Self::of(if is_relayed(local) { local } else { remote })
    }

    /// Of an address that this node dials.
    pub(super) fn of(address: &Multiaddr) -> Self {
        let ip = match address.iter().next() {
            Some(Protocol::Ip4(ip)) => Some(ip.into()),
            Some(Protocol::Ip6(ip)) => Some(ip.into()),
            _ => None,
        };
        Self {
            address: ip.map(of_one_host),
            network: subnet(address),
        }
    }

    /// Those that belong together: the whole network, or within private
    /// networks the address.
    pub(super) fn crowd(self) -> Self {
        match self.network {
            Some(_) => Self {
                address: None,
                ..self
            },
            None => self,
        }
    }

    pub(super) fn of_endpoint(endpoint: &ConnectedPoint) -> Self {
        match endpoint {
            ConnectedPoint::Dialer { address, .. } => Self::of(address),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } => Self::of_incoming(local_addr, send_back_addr),
        }
    }
}

/// All addresses of a /64 are one.
fn of_one_host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    fn of(address: &str) -> Origin {
        Origin::of(&address.parse().unwrap())
    }

    #[test]
    fn all_addresses_of_one_host_are_one_origin() {
        assert_eq!(of("/ip4/8.8.8.8/tcp/1"), of("/ip4/8.8.8.8/udp/2/quic-v1"));
        assert_eq!(of("/ip6/2a00:1:2:3::1/tcp/1"), of("/ip6/2a00:1:2:3:9::/tcp/2"));
        assert_ne!(of("/ip6/2a00:1:2:3::1/tcp/1"), of("/ip6/2a00:1:2:4::1/tcp/1"));
        assert_ne!(of("/ip4/8.8.8.8/tcp/1"), of("/ip4/8.8.8.9/tcp/1"));
        assert_eq!(of("/ip4/8.8.8.8/tcp/1").network, of("/ip4/8.8.8.9/tcp/1").network);
    }

    #[test]
    fn a_private_address_has_no_network_and_a_name_has_no_address() {
        let loopback = of("/ip4/127.0.0.1/tcp/1");
        assert!(loopback.address.is_some() && loopback.network.is_none());
        assert_eq!(of("/dns/a.example/tcp/1").address, None);
        assert_eq!(of("/memory/1"), Origin::default());
    }

    #[test]
    fn of_a_relayed_connection_the_relay_counts() {
        let (relay, far) = (PeerId::random(), PeerId::random());
        let local = format!("/ip4/8.8.8.8/tcp/1/p2p/{relay}/p2p-circuit")
            .parse()
            .unwrap();
        let remote = format!("/p2p/{far}").parse().unwrap();
        assert_eq!(Origin::of_incoming(&local, &remote), of("/ip4/8.8.8.8/tcp/9"));
    }
}

//! Which peer has proved to be at which address, to detect peers that announce the
//! addresses of others.

use std::collections::{HashMap, HashSet};

use libp2p::{Multiaddr, PeerId};

use crate::addresses::{is_relayed, is_unambiguous, without_peer};

/// Addresses at which connected peers were dialled and have proved who they
/// are. Does no I/O.
#[derive(Default)]
pub(super) struct VerifiedAddresses {
    owners: HashMap<Multiaddr, PeerId>,
    /// What was counted already: each announcement counts once.
    reported: HashSet<(PeerId, Multiaddr)>,
}

impl VerifiedAddresses {
    /// The peer answered at an address that this node dialled.
    pub(super) fn insert(&mut self, peer: PeerId, address: &Multiaddr) {
        // At a relay, many peers have the same address.
        if !is_relayed(address) {
            self.owners.insert(without_peer(address), peer);
        }
    }

    /// The last connection with a peer is gone.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.owners.retain(|_, known| known != peer);
        self.reported.retain(|(claimant, _)| claimant != peer);
    }

    /// Takes away the addresses at which somebody else than `peer` is: another
    /// connected peer, or this node at one of its `own` addresses.
    pub(super) fn remove_foreign(
        &self,
        peer: &PeerId,
        own: &[Multiaddr],
        addresses: &mut Vec<Multiaddr>,
    ) -> Vec<Multiaddr> {
        let (foreign, rest) = std::mem::take(addresses).into_iter().partition(|address| {
            let other = self.owners.get(address).is_some_and(|known| known != peer);
            other
                || own
                    .iter()
                    .any(|own| without_peer(own) == *address && !is_relayed(own))
        });
        *addresses = rest;
        foreign
    }

    /// Of the foreign addresses that `claimant` has announced, how many are to
    /// be held against it: those that mean the same for everybody, once each.
    pub(super) fn count_false_claims(&mut self, claimant: PeerId, foreign: Vec<Multiaddr>) -> usize {
        let certain = foreign.into_iter().filter(is_unambiguous);
        certain
            .filter(|address| self.reported.insert((claimant, address.clone())))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    /// Foreign addresses among these, and how many count as lies.
    fn announce(
        verified: &mut VerifiedAddresses,
        peer: PeerId,
        own: &[Multiaddr],
        texts: &[&str],
    ) -> (usize, usize) {
        let mut addresses = texts.iter().map(|text| address(text)).collect();
        let foreign = verified.remove_foreign(&peer, own, &mut addresses);
        assert_eq!(addresses.len() + foreign.len(), texts.len());
        (foreign.len(), verified.count_false_claims(peer, foreign))
    }

    #[test]
    fn the_address_of_another_peer_is_found_out_once() {
        let (victim, liar) = (PeerId::random(), PeerId::random());
        let mut verified = VerifiedAddresses::default();
        let place = "/ip4/8.8.8.8/tcp/1";
        verified.insert(victim, &address(place).with_p2p(victim).unwrap());
        assert_eq!(
            announce(&mut verified, victim, &[], &[place]),
            (0, 0),
            "it is its own"
        );
        let claims = [place, "/ip4/8.8.8.8/tcp/2"];
        assert_eq!(announce(&mut verified, liar, &[], &claims), (1, 1));
        assert_eq!(announce(&mut verified, liar, &[], &claims), (1, 0));
        verified.disconnected(&victim);
        assert_eq!(
            announce(&mut verified, liar, &[], &claims),
            (0, 0),
            "it may have moved there"
        );
    }

    #[test]
    fn the_own_address_is_foreign_to_others() {
        let own = [address("/ip4/127.0.0.1/tcp/9000")
            .with_p2p(PeerId::random())
            .unwrap()];
        let claims = ["/ip4/127.0.0.1/tcp/9000"];
        assert_eq!(
            announce(&mut VerifiedAddresses::default(), PeerId::random(), &own, &claims),
            (1, 1)
        );
    }

    #[test]
    fn private_addresses_and_relays_are_nobodys_alone() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let circuit = format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        let mut verified = VerifiedAddresses::default();
        for text in ["/ip4/192.168.1.1/tcp/1", &circuit, "/dns/a.example/tcp/1"] {
            verified.insert(peer, &address(text));
        }
        let claims = ["/ip4/192.168.1.1/tcp/1", &circuit, "/dns/a.example/tcp/1"];
        assert_eq!(announce(&mut verified, other, &[], &claims), (2, 0));
    }
}

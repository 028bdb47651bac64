//! The connected peers: where each is, and at which addresses it may be said to be.

use std::{collections::HashMap, slice, sync::Arc};

use libp2p::{Multiaddr, PeerId, Swarm, core::ConnectedPoint, dcutr, swarm::ConnectionId};

use super::{
    Context, behaviour::Behaviour, dial_filter::ObservedAddresses, verified_addresses::VerifiedAddresses,
};
use crate::addresses::{is_relayed, usable};

/// What is known of the connections that stand.
pub(super) struct Connections {
    context: Arc<Context>,
    /// Where connected peers were first seen; a direct connection replaces a relayed one.
    observed: Arc<ObservedAddresses>,
    verified: VerifiedAddresses,
    /// Connections that go through relays.
    relayed: HashMap<PeerId, Vec<ConnectionId>>,
}

impl Connections {
    pub(super) fn new(context: Arc<Context>, observed: Arc<ObservedAddresses>) -> Self {
        Self {
            context,
            observed,
            verified: VerifiedAddresses::default(),
            relayed: HashMap::new(),
        }
    }

    /// A connection stands with a peer that is not banned.
    pub(super) fn on_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        if endpoint.is_relayed() {
            self.relayed.entry(peer).or_default().push(connection);
        }
        let dialled = dialled_address(endpoint);
        if let Some(address) = dialled {
            self.verified.insert(peer, address);
        }
        match self.observed.get(&peer) {
            None => self.context.peers.connected(peer, dialled),
            Some(before) if is_relayed(&before) && !endpoint.is_relayed() => {
                self.context
                    .peers
                    .book
                    .reachable_at(peer, dialled.map_or(&[], slice::from_ref));
            }
            Some(_) => return,
        }
        self.observed.insert(peer, seen_at(endpoint));
    }

    /// A connection is gone; `left` others with the same peer stand.
    pub(super) fn on_closed(&mut self, peer: PeerId, connection: ConnectionId, left: u32) {
        if let Some(relayed) = self.relayed.get_mut(&peer) {
            relayed.retain(|known| *known != connection);
        }
        if left > 0 {
            return;
        }
        self.verified.disconnected(&peer);
        self.relayed.remove(&peer);
        self.context.streams.forget(&peer);
        self.context.notice_streams.forget(&peer);
        if self.observed.remove(&peer) {
            self.context.peers.disconnected(peer);
        }
    }

    /// Streams go over any of a peer's connections. Once a direct one stands,
    /// those through the relay are slower and not needed any more.
    pub(super) fn on_hole_punched(&mut self, swarm: &mut Swarm<Behaviour>, event: dcutr::Event) {
        let peer = event.remote_peer_id;
        match event.result {
            Ok(_) => {
                tracing::debug!(%peer, "a direct connection replaces the one through a relay");
                for connection in self.relayed.remove(&peer).unwrap_or_default() {
                    swarm.close_connection(connection);
                }
            }
            Err(error) => tracing::debug!(%peer, %error, "there is no direct connection"),
        }
    }

    /// Of the addresses that `claimant` announces for `peer`, those that are
    /// plausible from where the claimant is and that belong to nobody else;
    /// `None` where the claimant is not connected.
    pub(super) fn plausible_addresses(
        &mut self,
        claimant: PeerId,
        peer: &PeerId,
        announced: &[Multiaddr],
    ) -> Option<Vec<Multiaddr>> {
        let mut addresses = usable(announced, &self.observed.get(&claimant)?);
        self.remove_foreign(claimant, peer, &mut addresses);
        Some(addresses)
    }

    /// Removes addresses that belong to somebody else, and scores the claimant.
    /// A peer knows its own addresses; what it knows of others may be out of date.
    fn remove_foreign(&mut self, claimant: PeerId, peer: &PeerId, addresses: &mut Vec<Multiaddr>) {
        let mut own = self.context.listening();
        own.extend(self.context.external());
        let foreign = self.verified.remove_foreign(peer, &own, addresses);
        let peers = &self.context.peers;
        for _ in 0..self.verified.count_false_claims(claimant, foreign) {
            if claimant == *peer {
                peers.misbehaved(claimant, "it announces an address of another peer");
            } else {
                peers.disturbed(claimant, "it names a peer at an address of another");
            }
        }
    }
}

/// The address of a connection that this node opened.
pub(super) fn dialled_address(endpoint: &ConnectedPoint) -> Option<&Multiaddr> {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => Some(address),
        ConnectedPoint::Listener { .. } => None,
    }
}

/// Where a peer is: of one that came through a relay, at the relay.
fn seen_at(endpoint: &ConnectedPoint) -> Multiaddr {
    match endpoint {
        ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => local_addr.clone(),
        endpoint => endpoint.get_remote_address().clone(),
    }
}

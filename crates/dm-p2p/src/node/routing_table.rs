//! The routing table of the DHT: which peers enter it, and how it is refreshed.

use libp2p::{Multiaddr, PeerId, Swarm};

use super::{behaviour::Behaviour, subnets};

/// Looks for peers that are missing in the routing table, and meets those
/// again that are in it. Alone, a node has nobody to ask: then this also
/// takes back the attempt, with a warning, that Kademlia plans by itself
/// after every new listening address.
pub(super) fn refresh(swarm: &mut Swarm<Behaviour>) {
    if let Err(error) = swarm.behaviour_mut().kad.bootstrap() {
        tracing::debug!(%error, "the routing table was not refreshed");
    }
}

/// Enters a peer, unless there are enough of its network.
pub(super) fn insert(swarm: &mut Swarm<Behaviour>, peer: PeerId, addresses: Vec<Multiaddr>) {
    if is_crowded(swarm, &peer, &addresses) {
        tracing::debug!(%peer, "too many peers of its network are in the routing table");
        return;
    }
    for address in addresses {
        swarm.behaviour_mut().kad.add_address(&peer, address);
    }
}

/// Whether the routing table has enough of the networks of these addresses.
fn is_crowded(swarm: &mut Swarm<Behaviour>, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
    let mut table: Vec<Vec<Multiaddr>> = Vec::new();
    // Kademlia hands out its buckets by `&mut` only.
    for bucket in swarm.behaviour_mut().kad.kbuckets() {
        let others = bucket.iter().filter(|entry| entry.node.key.preimage() != peer);
        table.extend(others.map(|entry| entry.node.value.iter().cloned().collect()));
    }
    subnets::is_crowded(addresses, table.iter().map(|entry| entry.iter().collect()))
}

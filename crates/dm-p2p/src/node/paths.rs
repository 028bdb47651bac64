use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::trace::PeerPath;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};

/// The connections that stand, and where their other ends are.
#[derive(Default)]
pub(crate) struct Paths {
    open: Mutex<HashMap<PeerId, Vec<(ConnectionId, PeerPath)>>>,
}

impl Paths {
    pub(crate) fn opened(&self, peer: PeerId, connection: ConnectionId, remote: &Multiaddr) {
        self.lock()
            .entry(peer)
            .or_default()
            .push((connection, path_of(&peer, remote)));
    }

    pub(crate) fn closed(&self, peer: &PeerId, connection: ConnectionId) {
        let mut open = self.lock();
        if let Some(paths) = open.get_mut(peer) {
            paths.retain(|(other, _)| *other != connection);
            if paths.is_empty() {
                open.remove(peer);
            }
        }
    }

    /// The paths to a peer, the oldest first.
    pub(crate) fn to(&self, peer: &PeerId) -> Vec<PeerPath> {
        let open = self.lock();
        let paths = open.get(peer).map(Vec::as_slice).unwrap_or_default();
        paths.iter().map(|(_, path)| path.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Vec<(ConnectionId, PeerPath)>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_of(peer: &PeerId, remote: &Multiaddr) -> PeerPath {
    let mut remote = remote.clone();
    // Whose address it is stands beside it.
    if remote.iter().last() == Some(Protocol::P2p(*peer)) {
        remote.pop();
    }
    let has = |wanted: fn(&Protocol<'_>) -> bool| remote.iter().any(|part| wanted(&part));
    let transport = if has(|part| matches!(part, Protocol::QuicV1 | Protocol::Quic)) {
        "quic"
    } else if has(|part| matches!(part, Protocol::Memory(_))) {
        "memory"
    } else {
        "tcp"
    };
    PeerPath {
        address: remote.to_string(),
        transport: transport.to_owned(),
        relayed: has(|part| matches!(part, Protocol::P2pCircuit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_transport_and_whether_it_is_relayed() {
        let seen = |address: &str| {
            let path = path_of(&PeerId::random(), &address.parse().unwrap());
            (path.transport, path.relayed)
        };
        let relay = PeerId::random();
        assert_eq!(seen("/ip4/10.0.0.1/tcp/4001"), ("tcp".to_owned(), false));
        assert_eq!(seen("/ip6/::1/udp/4001/quic-v1"), ("quic".to_owned(), false));
        assert_eq!(seen("/memory/7"), ("memory".to_owned(), false));
        let relayed = format!("/ip4/10.0.0.1/udp/1/quic-v1/p2p/{relay}/p2p-circuit");
        assert_eq!(seen(&relayed), ("quic".to_owned(), true));
    }

    #[test]
    fn a_closed_connection_is_no_path() {
        let (paths, peer) = (Paths::default(), PeerId::random());
        let (first, second) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        paths.opened(peer, first, &"/ip4/10.0.0.1/tcp/1".parse().unwrap());
        paths.opened(peer, second, &"/ip4/10.0.0.1/udp/1/quic-v1".parse().unwrap());
        assert_eq!(paths.to(&peer).len(), 2);
        paths.closed(&peer, first);
        assert_eq!(paths.to(&peer)[0].transport, "quic");
        paths.closed(&peer, second);
        assert!(paths.to(&peer).is_empty());
    }
}

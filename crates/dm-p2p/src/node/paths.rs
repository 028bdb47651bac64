use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::trace::PeerPath;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};

/// Which of several connections with a peer is the better one: the smaller.
///
/// A relay is slower and serves others, so a direct connection comes first. Of these TCP
/// does: with noise and yamux it moves more bytes than QUIC for the same processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    is_relayed: bool,
    is_quic: bool,
}

impl Rank {
    /// The rank of a connection whose other end is there.
    pub(crate) fn of(remote: &Multiaddr) -> Self {
        Self {
            is_relayed: has(remote, |part| matches!(part, Protocol::P2pCircuit)),
            is_quic: has(remote, |part| matches!(part, Protocol::QuicV1 | Protocol::Quic)),
        }
    }
}

/// The connections that stand, and where their other ends are.
#[derive(Default)]
pub(crate) struct Paths {
    open: Mutex<HashMap<PeerId, Vec<Open>>>,
}

struct Open {
    connection: ConnectionId,
    rank: Rank,
    path: PeerPath,
}

impl Paths {
    pub(crate) fn opened(&self, peer: PeerId, connection: ConnectionId, remote: &Multiaddr) {
        let mut open = self.lock();
        let paths = open.entry(peer).or_default();
        paths.push(Open {
            connection,
            rank: Rank::of(remote),
            path: path_of(&peer, remote),
        });
        // Of equal ones the oldest stays ahead.
        paths.sort_by_key(|open| open.rank);
    }

    pub(crate) fn closed(&self, peer: &PeerId, connection: ConnectionId) {
        let mut open = self.lock();
        if let Some(paths) = open.get_mut(peer) {
            paths.retain(|open| open.connection != connection);
            if paths.is_empty() {
                open.remove(peer);
            }
        }
    }

    /// The paths to a peer, the best first: streams are opened over that.
    pub(crate) fn to(&self, peer: &PeerId) -> Vec<PeerPath> {
        let open = self.lock();
        let paths = open.get(peer).map(Vec::as_slice).unwrap_or_default();
        paths.iter().map(|open| open.path.clone()).collect()
    }

    /// The connection over which streams to a peer are opened.
    pub(crate) fn best(&self, peer: &PeerId) -> Option<ConnectionId> {
        Some(self.lock().get(peer)?.first()?.connection)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Vec<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has(address: &Multiaddr, wanted: impl Fn(&Protocol<'_>) -> bool) -> bool {
    address.iter().any(|part| wanted(&part))
}

fn path_of(peer: &PeerId, remote: &Multiaddr) -> PeerPath {
    let rank = Rank::of(remote);
    let mut remote = remote.clone();
    // Whose address it is stands beside it.
    if remote.iter().last() == Some(Protocol::P2p(*peer)) {
        remote.pop();
    }
    let transport = if rank.is_quic {
        "quic"
    } else if has(&remote, |part| matches!(part, Protocol::Memory(_))) {
        "memory"
    } else {
        "tcp"
    };
    PeerPath {
        address: remote.to_string(),
        transport: transport.to_owned(),
        relayed: rank.is_relayed,
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

    #[test]
    fn the_best_path_comes_first_however_they_were_opened() {
        let (paths, peer) = (Paths::default(), PeerId::random());
        let relay = format!("/ip4/10.0.0.9/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        let opened = [
            &relay,
            "/ip4/10.0.0.1/udp/1/quic-v1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/10.0.0.2/tcp/1",
        ];
        for (number, address) in opened.iter().enumerate() {
            paths.opened(
                peer,
                ConnectionId::new_unchecked(number),
                &address.parse().unwrap(),
            );
        }
        let seen: Vec<String> = paths.to(&peer).into_iter().map(|path| path.address).collect();
        assert_eq!(seen, [opened[2], opened[3], opened[1], opened[0]]);
        assert_eq!(paths.best(&peer), Some(ConnectionId::new_unchecked(2)));
        paths.closed(&peer, ConnectionId::new_unchecked(2));
        assert_eq!(paths.best(&peer), Some(ConnectionId::new_unchecked(3)));
        assert_eq!(paths.best(&PeerId::random()), None);
    }
}

//! The peer book, for everything that meets peers.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use dm_core::{clock::now_ms, peer::PeerRecord};
use libp2p::{Multiaddr, PeerId};

use super::{PeerBook, lock};

/// Where peers are and how they have answered. Each call takes the lock for itself alone.
pub(crate) struct SharedBook(Mutex<PeerBook>);

impl SharedBook {
    pub(super) fn new(records: Vec<PeerRecord>) -> Self {
        Self(Mutex::new(PeerBook::new(records)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PeerBook> {
        lock(&self.0)
    }

    /// Where the peer can be reached, as far as is known.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.lock().addresses(peer)
    }

    /// The peer announced these addresses.
    pub(crate) fn reachable_at(&self, peer: PeerId, addresses: &[Multiaddr]) {
        self.lock().reachable_at(&peer, addresses);
    }

    /// The peer is known to be elsewhere than at this address.
    pub(crate) fn remove_address(&self, peer: &PeerId, address: &Multiaddr) {
        self.lock().remove_address(peer, address);
    }

    /// Removes a peer: it is not dialled again.
    pub(crate) fn forget(&self, peer: &PeerId) {
        self.lock().forget(peer);
    }

    /// The peer answered a ping.
    pub(crate) fn answered_ping(&self, peer: PeerId, round_trip: Duration) {
        self.lock().answered_ping(&peer, round_trip, now_ms());
    }

    /// Whether the peer is away and failed when it was last tried.
    pub(crate) fn is_doubtful(&self, peer: &PeerId) -> bool {
        self.lock().is_doubtful(peer)
    }

    /// Orders peers: connected ones first, then those that fail least, then the fastest.
    pub(crate) fn rank(&self, peers: &mut [PeerId]) {
        self.lock().rank(peers);
    }

    /// Peers that are connected, or answered when they were last asked.
    pub(crate) fn reachable(&self) -> Vec<PeerId> {
        self.lock().reachable(now_ms())
    }

    /// Whether a peer is connected.
    pub(crate) fn has_connected(&self) -> bool {
        self.lock().has_connected()
    }

    /// Peers that are away and the likeliest to answer, with their addresses.
    pub(crate) fn best_disconnected(&self, limit: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.lock().best_disconnected(limit)
    }
}

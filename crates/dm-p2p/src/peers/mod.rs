//! What this node knows of its peers.

mod book;
mod keeper;
mod penalties;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{
    bus::{EventBus, Topic},
    clock::now_ms,
    peer::{PeerRecord, PeerStatus},
};
use libp2p::{Multiaddr, PeerId};
use serde_json::json;

pub(crate) use book::{Changes, PeerBook};
pub(crate) use keeper::keep_book;
use penalties::Penalties;

/// The peer book and the penalties, shared by everything that meets peers;
/// tells the event bus what changes.
pub(crate) struct Peers {
    book: Mutex<PeerBook>,
    penalties: Mutex<Penalties>,
    bus: EventBus,
}

impl Peers {
    pub(crate) fn new(records: Vec<PeerRecord>, bus: EventBus) -> Self {
        Self {
            book: Mutex::new(PeerBook::new(records)),
            penalties: Mutex::default(),
            bus,
        }
    }

    /// A first connection with the peer stands; `address` where this node dialled it.
    pub(crate) fn connected(&self, peer: PeerId, address: Option<&Multiaddr>) {
        self.book().connected(peer, address, now_ms());
        self.bus
            .publish(Topic::PeerConnected, json!({ "peer_id": peer.to_base58() }));
    }

    /// The last connection with the peer is gone.
    pub(crate) fn disconnected(&self, peer: PeerId) {
        self.book().disconnected(&peer, now_ms());
        self.bus
            .publish(Topic::PeerDisconnected, json!({ "peer_id": peer.to_base58() }));
    }

    /// The peer announced these addresses.
    pub(crate) fn reachable_at(&self, peer: PeerId, addresses: &[Multiaddr]) {
        self.book().reachable_at(&peer, addresses);
    }

    /// The peer answered a ping.
    pub(crate) fn answered_ping(&self, peer: PeerId, round_trip: Duration) {
        self.book().answered_ping(&peer, round_trip, now_ms());
    }

    /// An exchange went well.
    pub(crate) fn succeeded(&self, peer: PeerId) {
        self.book().succeeded(peer, now_ms());
    }

    /// An exchange failed.
    pub(crate) fn failed(&self, peer: PeerId) {
        self.book().failed(peer, now_ms());
    }

    /// The peer sent what no honest peer sends. Returns whether it is banned now.
    pub(crate) fn misbehaved(&self, peer: PeerId, what: &str) -> bool {
        tracing::warn!(%peer, what, "peer misbehaved");
        self.book().failed(peer, now_ms());
        self.penalties().strike(peer, Instant::now())
    }

    /// Whether nothing is asked of the peer and nothing is served to it for now.
    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.penalties().is_banned(peer, Instant::now())
    }

    /// Orders peers: connected ones first, then those that fail least, then the fastest.
    pub(crate) fn rank(&self, peers: &mut [PeerId]) {
        self.book().rank(peers);
    }

    /// Whether the peer is away and failed when it was last tried.
    pub(crate) fn is_doubtful(&self, peer: &PeerId) -> bool {
        self.book().is_doubtful(peer)
    }

    pub(crate) fn statuses(&self) -> Vec<PeerStatus> {
        self.book().statuses(now_ms())
    }

    /// Publishes the peers whose health changed, and returns what is to be saved.
    pub(crate) fn take_changes(&self) -> Changes {
        let (turned, changes) = {
            let mut book = self.book();
            (book.take_health_changes(now_ms()), book.take_changes())
        };
        for (peer, healthy) in turned {
            self.bus.publish(
                Topic::PeerHealth,
                json!({ "peer_id": peer.to_base58(), "healthy": healthy }),
            );
        }
        changes
    }

    fn book(&self) -> MutexGuard<'_, PeerBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn penalties(&self) -> MutexGuard<'_, Penalties> {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The part of the event loop that keeps the node among its peers.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::runner::{Runner, dial_peer};
use crate::{addresses::usable, client::exchange_peers, peers::Check, wire::Hint};

/// Peers that are dialled at one tick to see whether they are still there.
const DIALS_PER_TICK: usize = 4;
/// Peers that are dialled of those that one peer named.
const DIALS_PER_EXCHANGE: usize = 8;
/// Peers of the book that are dialled by a node that has too few.
const DIALS_WHEN_LONELY: usize = 8;

/// When a peer was asked for further peers, and whose turn it is.
pub(super) struct Exchange {
    interval: Duration,
    next: Instant,
    turn: usize,
}

impl Exchange {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next: now + interval,
            turn: 0,
        }
    }

    /// The peer to ask now; all have their turn.
    fn due(&mut self, connected: &[PeerId], now: Instant) -> Option<PeerId> {
        if now < self.next || connected.is_empty() {
            return None;
        }
        self.next = now + self.interval;
        self.turn = self.turn.wrapping_add(1);
        connected.get(self.turn % connected.len()).copied()
    }
}

impl Runner {
    /// Does what is due of health checks, peer exchange and the search for
    /// more peers.
    pub(super) fn keep_up(&mut self, now: Instant) {
        self.check_health();
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        if let Some(peer) = self.exchange.due(&connected, now) {
            tokio::spawn(exchange_peers(self.context.clone(), peer));
        }
        if self.dialer.is_due(connected.len(), now) {
            self.look_for_peers();
        }
    }

    fn check_health(&mut self) {
        let dials = self.free_dials().min(DIALS_PER_TICK);
        for check in self.context.peers.due_checks(dials) {
            match check {
                Check::Dial(peer, addresses) => drop(self.dial(dial_peer(peer, addresses))),
                Check::Close(peer) => {
                    tracing::debug!(%peer, "a connection is closed on which nobody answers");
                    // It may be gone already.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    /// Dials whom it can, and looks for neighbours.
    fn look_for_peers(&mut self) {
        for target in self.dialer.missing() {
            self.dial_target(target);
        }
        for (peer, addresses) in self.context.peers.best_away(DIALS_WHEN_LONELY) {
            self.dial(dial_peer(peer, addresses));
        }
        if self.swarm.connected_peers().next().is_some() {
            self.refresh_routing_table();
        }
    }

    /// Dials some of the peers that another one named. They are hearsay: they
    /// come into the peer book when they answer.
    pub(super) fn meet(&mut self, from: PeerId, hints: Vec<Hint>) {
        let Some(seen_at) = self.seen_at.get(&from).cloned() else {
            return;
        };
        let room = self.free_dials().min(DIALS_PER_EXCHANGE);
        let mut strangers = Vec::new();
        for hint in hints {
            strangers.extend(self.stranger(from, &hint, &seen_at));
        }
        strangers.truncate(room);
        for (peer, addresses) in strangers {
            if self.dial(dial_peer(peer, addresses)) {
                self.rumours.insert(peer, from);
            }
        }
    }

    /// A named peer that is worth dialling, with the addresses that are.
    fn stranger(
        &mut self,
        from: PeerId,
        hint: &Hint,
        seen_at: &Multiaddr,
    ) -> Option<(PeerId, Vec<Multiaddr>)> {
        let mut addresses = usable(&hint.addresses, seen_at);
        self.remove_foreign(from, &hint.peer, &mut addresses);
        let is_stranger = hint.peer != self.context.local
            && !self.swarm.is_connected(&hint.peer)
            && !self.context.peers.is_banned(&hint.peer);
        (is_stranger && !addresses.is_empty()).then_some((hint.peer, addresses))
    }

    /// Takes away addresses that `teller` announces for `peer` and that are
    /// somebody else's, and scores it. What one says of oneself one knows; of
    /// others it may be out of date.
    pub(super) fn remove_foreign(&mut self, teller: PeerId, peer: &PeerId, addresses: &mut Vec<Multiaddr>) {
        let mut own = self.context.listening();
        own.extend(self.context.external());
        let foreign = self.places.remove_foreign(peer, &own, addresses);
        for _ in 0..self.places.lies(teller, foreign) {
            if teller == *peer {
                self.context
                    .peers
                    .misbehaved(teller, "it announces an address of another peer");
            } else {
                self.context
                    .peers
                    .disturbed(teller, "it names a peer at an address of another");
            }
        }
    }

    /// Somebody else answered at the address of a peer.
    pub(super) fn is_elsewhere(&mut self, peer: PeerId, address: &Multiaddr) {
        self.context.peers.is_not_at(&peer, address);
        self.context.peers.failed(peer);
    }

    /// Connections that this node may still open: a quarter of all is left to
    /// those who come to it.
    pub(super) fn free_dials(&self) -> usize {
        let most = self.context.network.max_connections as usize * 3 / 4;
        most.saturating_sub(self.swarm.connected_peers().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_interval_another_peer_is_asked() {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        let mut exchange = Exchange::new(minute, now);
        assert_eq!(exchange.due(&peers, now), None);
        let asked: std::collections::HashSet<PeerId> = (1..=3)
            .map(|turn| {
                let peer = exchange.due(&peers, now + minute * turn).unwrap();
                assert_eq!(exchange.due(&peers, now + minute * turn), None);
                peer
            })
            .collect();
        assert_eq!(asked.len(), 3);
        assert_eq!(exchange.due(&[], now + minute * 9), None);
    }
}

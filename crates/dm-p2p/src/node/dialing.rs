//! Opens connections: to the initial peers, to peers of the book, and to peers
//! that others name or that are found on the local network.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    swarm::{
        DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{
    Context, behaviour::Behaviour, bootstrap_schedule::BootstrapSchedule, connections::Connections,
    exchange_schedule::ExchangeSchedule, routing_table,
};
use crate::{client::exchange_peers, initial_peers::DialTarget, peers::Check, wire::Hint};

/// Peers that are dialled at one tick to see whether they are still there.
const DIALS_PER_TICK: usize = 4;
/// Peers that are dialled of those that one peer named.
const DIALS_PER_EXCHANGE: usize = 8;
/// Peers of the book that are dialled by a node that has too few.
const DIALS_WHEN_LONELY: usize = 8;
/// Peers on the local network that are dialled at one time.
#[cfg(feature = "mdns")]
const DIALS_OF_NEIGHBOURS: usize = 8;

/// Decides which peers are dialled, and when.
pub(super) struct Dialing {
    context: Arc<Context>,
    bootstrap: BootstrapSchedule,
    exchange: ExchangeSchedule,
    /// Peers that others have named and that are being dialled, and by whom.
    hinted_by: HashMap<PeerId, PeerId>,
}

impl Dialing {
    pub(super) fn new(context: Arc<Context>, initial_peers: Vec<DialTarget>, now: Instant) -> Self {
        let enough = context.network.min_peers as usize;
        let exchange_interval = Duration::from_secs(context.network.peer_exchange_interval_secs);
        Self {
            context,
            bootstrap: BootstrapSchedule::new(initial_peers, enough, now),
            exchange: ExchangeSchedule::new(exchange_interval, now),
            hinted_by: HashMap::new(),
        }
    }

    /// Does what is due of health checks, peer exchange and the search for
    /// more peers.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        self.check_health(swarm);
        let connected: Vec<PeerId> = swarm.connected_peers().copied().collect();
        if let Some(peer) = self.exchange.take_due(&connected, now) {
            tokio::spawn(exchange_peers(self.context.clone(), peer));
        }
        if self.bootstrap.is_due(connected.len(), now) {
            self.bootstrap.attempted(now);
            self.look_for_peers(swarm);
        }
    }

    fn check_health(&self, swarm: &mut Swarm<Behaviour>) {
        let dials = free_dials(swarm).min(DIALS_PER_TICK);
        for check in self.context.peers.due_checks(dials) {
            match check {
                Check::Dial(peer, addresses) => drop(dial_peer(swarm, peer, addresses)),
                Check::Close(peer) => {
                    tracing::debug!(%peer, "a connection is closed on which nobody answers");
                    // It may be gone already.
                    let _ = swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    /// Dials the initial peers that are missing and peers of the book, and
    /// looks for neighbours.
    fn look_for_peers(&self, swarm: &mut Swarm<Behaviour>) {
        for target in self.bootstrap.missing() {
            dial_target(swarm, target);
        }
        for (peer, addresses) in self.context.peers.book.best_disconnected(DIALS_WHEN_LONELY) {
            dial_peer(swarm, peer, addresses);
        }
        if swarm.connected_peers().next().is_some() {
            routing_table::refresh(swarm);
        }
    }

    /// Dials some of the peers that another one named. They are unverified:
    /// they come into the peer book when they answer.
    pub(super) fn dial_hints(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        connections: &mut Connections,
        from: PeerId,
        hints: Vec<Hint>,
    ) {
        let room = free_dials(swarm).min(DIALS_PER_EXCHANGE);
        let mut dialable = Vec::new();
        for hint in hints {
            let Some(addresses) = connections.plausible_addresses(from, &hint.peer, &hint.addresses) else {
                return;
            };
            if !addresses.is_empty() && self.is_worth_dialing(swarm, &hint.peer) {
                dialable.push((hint.peer, addresses));
            }
        }
        for (peer, addresses) in dialable.into_iter().take(room) {
            if dial_peer(swarm, peer, addresses) {
                self.hinted_by.insert(peer, from);
            }
        }
    }

    fn is_worth_dialing(&self, swarm: &Swarm<Behaviour>, peer: &PeerId) -> bool {
        *peer != self.context.local && !swarm.is_connected(peer) && !self.context.peers.is_banned(peer)
    }

    /// Dials peers that were found on the local network.
    #[cfg(feature = "mdns")]
    pub(super) fn dial_neighbours(&self, swarm: &mut Swarm<Behaviour>, found: Vec<(PeerId, Multiaddr)>) {
        let room = free_dials(swarm).min(DIALS_OF_NEIGHBOURS);
        for (peer, address) in found.into_iter().take(room) {
            let addresses = crate::addresses::usable_nearby(&[address]);
            if !addresses.is_empty() && !self.context.peers.is_banned(&peer) {
                dial_peer(swarm, peer, addresses);
            }
        }
    }

    /// A connection stands; `dialled` where this node opened it.
    pub(super) fn on_connected(&mut self, peer: PeerId, dialled: Option<&Multiaddr>) {
        self.bootstrap.connected(peer, dialled);
        self.context.notice_routes.peer_connected();
        self.hinted_by.remove(&peer);
    }

    /// The last connection with a peer is gone.
    pub(super) fn on_disconnected(&mut self, peer: &PeerId, now: Instant) {
        self.bootstrap.disconnected(peer, now);
    }

    pub(super) fn on_dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        tracing::debug!(?peer, %error, "dial failed");
        let hinted_by = peer.and_then(|peer| self.hinted_by.remove(&peer));
        let peers = &self.context.peers;
        if let (Some(hinted_by), DialError::WrongPeerId { .. }) = (hinted_by, error) {
            peers.disturbed(hinted_by, "it names a peer that is not there");
        }
        match (peer, error) {
            (_, DialError::LocalPeerId { address }) => self.bootstrap.remove_own_address(address),
            // Another peer answered at this address.
            (Some(peer), DialError::WrongPeerId { address, .. }) => {
                peers.book.remove_address(&peer, address);
                peers.failed(peer);
            }
            (Some(peer), DialError::Transport(_)) => peers.failed(peer),
            _ => {}
        }
    }
}

/// Connections that this node may still open.
fn free_dials(swarm: &Swarm<Behaviour>) -> usize {
    swarm.behaviour().slots.free_outgoing()
}

fn dial_target(swarm: &mut Swarm<Behaviour>, target: DialTarget) {
    match target.peer {
        Some(peer) => drop(dial_peer(swarm, peer, target.addresses)),
        // Without a peer id one dial has one address.
        None => {
            for address in target.addresses {
                dial(swarm, address.into());
            }
        }
    }
}

/// Dials a peer unless it is connected or being dialled. Returns whether the
/// dial has begun.
pub(super) fn dial_peer(swarm: &mut Swarm<Behaviour>, peer: PeerId, addresses: Vec<Multiaddr>) -> bool {
    let opts = DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(addresses)
        .build();
    dial(swarm, opts)
}

fn dial(swarm: &mut Swarm<Behaviour>, opts: DialOpts) -> bool {
    let begun = swarm.dial(opts);
    if let Err(error) = &begun {
        tracing::debug!(%error, "not dialled");
    }
    begun.is_ok()
}

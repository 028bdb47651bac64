//! Decides which connections stand where more are wanted than there is room for.

use std::collections::HashMap;

use dm_core::config::NetworkConfig;
use libp2p::{PeerId, core::ConnectedPoint, swarm::ConnectionId};
use rand::seq::{IndexedRandom, IteratorRandom};

use super::origin::Origin;
use crate::peers::{Merit, Peers};

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Incoming,
    Outgoing,
}

/// A connection that stands or is about to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) peer: PeerId,
    pub(super) direction: Direction,
    pub(super) origin: Origin,
    /// Whether it goes through a relay.
    pub(super) relayed: bool,
}

impl Slot {
    pub(super) fn new(peer: PeerId, endpoint: &ConnectedPoint) -> Self {
        Self {
            peer,
            direction: match endpoint {
                ConnectedPoint::Dialer { .. } => Direction::Outgoing,
                ConnectedPoint::Listener { .. } => Direction::Incoming,
            },
            origin: Origin::of_endpoint(endpoint),
            relayed: endpoint.is_relayed(),
        }
    }
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
struct SlotLimits {
    /// In either direction, apart from the other.
    of_direction: usize,
    of_peer: usize,
    /// In one direction.
    of_address: usize,
    /// In one direction.
    of_network: usize,
}

/// What a limit is for.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Address,
    Network,
    Direction,
}

/// What the decision depends on beside the connections themselves.
pub(super) trait Judge {
    /// What the peer has shown so far.
    fn merit(&self, peer: &PeerId) -> Merit;

    /// Whether this node is asking the peer something.
    fn is_asked(&self, peer: &PeerId) -> bool;
}

impl Judge for Peers {
    fn merit(&self, peer: &PeerId) -> Merit {
        self.merit(peer)
    }

    fn is_asked(&self, peer: &PeerId) -> bool {
        self.asked.contains(peer)
    }
}

/// The connections that count against the limits. Does no I/O.
pub(super) struct ConnectionSlots {
    limits: SlotLimits,
    /// Each with its age: the higher the number, the younger.
    open: HashMap<ConnectionId, (u64, Slot)>,
    opened: u64,
}

impl ConnectionSlots {
    pub(super) fn new(network: &NetworkConfig) -> Self {
        Self {
            limits: SlotLimits {
                of_direction: network.max_connections_each_way() as usize,
                of_peer: network.max_connections_per_peer as usize,
                of_address: network.max_connections_per_address as usize,
                of_network: network.max_connections_per_network as usize,
            },
            open: HashMap::new(),
            opened: 0,
        }
    }

    pub(super) fn insert(&mut self, connection: ConnectionId, slot: Slot) {
        self.opened += 1;
        self.open.insert(connection, (self.opened, slot));
    }

    pub(super) fn remove(&mut self, connection: &ConnectionId) -> Option<Slot> {
        self.open.remove(connection).map(|(_, slot)| slot)
    }

    /// Outgoing connections that there is room for.
    pub(super) fn free_outgoing(&self) -> usize {
        let slots = self.open.values();
        let outgoing = slots.filter(|(_, slot)| slot.direction == Direction::Outgoing);
        self.limits.of_direction.saturating_sub(outgoing.count())
    }

    /// The connections to close so that `new` may stand; `None` where it may not.
    pub(super) fn make_room(&self, new: &Slot, judge: &impl Judge) -> Option<Vec<ConnectionId>> {
        let mut closed = self.surplus_of_peer(&new.peer);
        let scopes = [
            (Scope::Address, self.limits.of_address),
            (Scope::Network, self.limits.of_network),
            (Scope::Direction, self.limits.of_direction),
        ];
        // The narrowest first: what is closed there makes room in the wider ones.
        for (scope, limit) in scopes {
            let within: Vec<(ConnectionId, &Slot)> = self
                .open
                .iter()
                .map(|(connection, (_, slot))| (*connection, slot))
                .filter(|(connection, slot)| scope.has_both(new, slot) && !closed.contains(connection))
                .collect();
            if within.len() >= limit {
                closed.push(least_useful(&within, limit, judge.merit(&new.peer), judge)?);
            }
        }
        Some(closed)
    }

    /// A peer that connects again may have lost its earlier connections without
    /// this node knowing it: the newest stand. Direct ones replace relayed ones.
    fn surplus_of_peer(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let mut of_peer: Vec<(bool, u64, ConnectionId)> = self
            .open
            .iter()
            .filter(|(_, (_, slot))| slot.peer == *peer)
            .map(|(connection, (age, slot))| (!slot.relayed, *age, *connection))
            .collect();
        of_peer.sort_unstable();
        let surplus = (of_peer.len() + 1).saturating_sub(self.limits.of_peer);
        of_peer
            .into_iter()
            .take(surplus)
            .map(|(_, _, connection)| connection)
            .collect()
    }
}

impl Scope {
    /// Whether both connections count against the same limit.
    fn has_both(self, new: &Slot, other: &Slot) -> bool {
        new.direction == other.direction
            && match self {
                Self::Address => new.origin.address.is_some() && new.origin.address == other.origin.address,
                Self::Network => new.origin.network.is_some() && new.origin.network == other.origin.network,
                Self::Direction => true,
            }
    }
}

/// The connection to close of those `within` a limit that is reached, for a
/// newcomer of this merit.
///
/// - One of less merit goes, and an unproven one also for another unproven one:
///   otherwise whoever came first would keep all others out.
/// - A steady one goes for a newcomer that is not useful only where nothing
///   unproven is left and more than half of the room is steady: an attacker who
///   has waited long enough keeps no newcomer out.
/// - One on which this node waits for an answer goes last, and not at all where
///   the peer is steady. Who never answers must not keep his place by that.
fn least_useful(
    within: &[(ConnectionId, &Slot)],
    limit: usize,
    newcomer: Merit,
    judge: &impl Judge,
) -> Option<ConnectionId> {
    let of_merit = |merit: Merit| -> Vec<(ConnectionId, &Slot)> {
        let of_merit = within.iter().filter(|(_, slot)| judge.merit(&slot.peer) == merit);
        of_merit.copied().collect()
    };
    let (unproven, steady) = (of_merit(Merit::Unproven), of_merit(Merit::Steady));
    let is_idle = |slot: &Slot| !judge.is_asked(&slot.peer);
    let steady_may_go = newcomer > Merit::Steady || steady.len() > limit / 2;
    choose(&unproven, is_idle)
        .or_else(|| choose(&unproven, |_| true))
        .or_else(|| steady_may_go.then(|| choose(&steady, is_idle)).flatten())
}

/// A connection that `may_go`, chosen by lot among those of the origin that has
/// most: who comes with many identities from one place loses his own.
fn choose(slots: &[(ConnectionId, &Slot)], may_go: impl Fn(&Slot) -> bool) -> Option<ConnectionId> {
    let mut crowds: HashMap<Origin, Vec<ConnectionId>> = HashMap::new();
    for (connection, slot) in slots {
        if may_go(slot) {
            crowds.entry(slot.origin.crowd()).or_default().push(*connection);
        }
    }
    let largest = crowds.values().map(Vec::len).max()?;
    let crowd = crowds
        .into_values()
        .filter(|crowd| crowd.len() == largest)
        .choose(&mut rand::rng())?;
    crowd.choose(&mut rand::rng()).copied()
}

#[cfg(test)]
mod tests;

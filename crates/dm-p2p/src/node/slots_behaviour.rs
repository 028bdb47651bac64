use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use dm_core::config::NetworkConfig;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    memory_connection_limits,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::connection_slots::{ConnectionSlots, Slot};
use crate::peers::{Merit, Peers};

/// Refuses connections that there is no room for, and closes others for better
/// ones: see [`ConnectionSlots`].
pub(crate) struct SlotsBehaviour {
    slots: ConnectionSlots,
    peers: Arc<Peers>,
    /// Whether the process takes more memory than it may.
    memory: memory_connection_limits::Behaviour,
    to_close: VecDeque<(PeerId, ConnectionId)>,
    /// Unproven peers that were hung up on.
    evicted: HashSet<PeerId>,
}

/// There is nothing that would be closed for this connection.
#[derive(Debug, thiserror::Error)]
#[error("there are too many connections")]
struct NoRoom;

impl SlotsBehaviour {
    pub(super) fn new(network: &NetworkConfig, peers: Arc<Peers>) -> Self {
        let max_memory = usize::try_from(network.max_memory).unwrap_or(usize::MAX);
        Self {
            slots: ConnectionSlots::new(network),
            peers,
            memory: memory_connection_limits::Behaviour::with_max_bytes(max_memory),
            to_close: VecDeque::new(),
            evicted: HashSet::new(),
        }
    }

    /// Outgoing connections that there is room for.
    pub(super) fn free_outgoing(&self) -> usize {
        self.slots.free_outgoing()
    }

    /// Whether a connection of this peer, which has still proven nothing, was
    /// closed to make room.
    pub(super) fn take_evicted(&mut self, peer: &PeerId) -> bool {
        self.evicted.remove(peer) && self.peers.merit(peer) == Merit::Unproven
    }

    fn make_room(&mut self, new: &Slot) -> Result<(), ConnectionDenied> {
        let Some(closed) = self.slots.make_room(new, &*self.peers) else {
            return Err(ConnectionDenied::new(NoRoom));
        };
        for connection in closed {
            // From here on it takes no place: closing takes a moment.
            let Some(slot) = self.slots.remove(&connection) else {
                continue;
            };
            tracing::debug!(peer = %slot.peer, for_peer = %new.peer, "a connection is closed to make room");
            if slot.peer != new.peer && self.peers.merit(&slot.peer) == Merit::Unproven {
                self.evicted.insert(slot.peer);
            }
            self.to_close.push_back((slot.peer, connection));
        }
        Ok(())
    }
}

impl NetworkBehaviour for SlotsBehaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.peers.merit(&peer) == Merit::Unproven {
            // libp2p's check; the behaviour itself would refuse outgoing ones too.
            self.memory
                .handle_pending_inbound_connection(connection, local, remote)?;
        }
        let endpoint = ConnectedPoint::Listener {
            local_addr: local.clone(),
            send_back_addr: remote.clone(),
        };
        self.make_room(&Slot::new(peer, &endpoint))?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let endpoint = ConnectedPoint::Dialer {
            address: address.clone(),
            role_override,
            port_use,
        };
        self.make_room(&Slot::new(peer, &endpoint))?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(opened) => {
                self.slots
                    .insert(opened.connection_id, Slot::new(opened.peer_id, opened.endpoint));
            }
            FromSwarm::ConnectionClosed(closed) => drop(self.slots.remove(&closed.connection_id)),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.to_close.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            // What is pushed comes from calls of the swarm, which polls again afterwards.
            None => Poll::Pending,
        }
    }
}

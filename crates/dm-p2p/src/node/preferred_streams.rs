use std::{
    collections::HashMap,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        behaviour::{ConnectionClosed, ConnectionEstablished},
    },
};

use super::paths::Rank;

/// Opens streams over the best connection that stands with a peer, and takes those that
/// peers open over any.
///
/// `libp2p_stream` opens each stream over a random connection. It is therefore told of one
/// at a time: that of the best [`Rank`], of several equal ones the oldest.
#[derive(Default)]
pub(crate) struct PreferredStreams {
    streams: Streams,
    connections: HashMap<PeerId, Vec<Standing>>,
}

/// [`libp2p_stream::Behaviour`], and the connections that it knows of.
struct Streams(libp2p_stream::Behaviour);

/// A connection that stands.
#[derive(Clone)]
struct Standing {
    id: ConnectionId,
    rank: Rank,
    endpoint: ConnectedPoint,
}

impl Default for Streams {
    fn default() -> Self {
        Self(libp2p_stream::Behaviour::new())
    }
}

impl Streams {
    fn knows(&mut self, peer_id: PeerId, standing: &Standing) {
        self.0
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id: standing.id,
                endpoint: &standing.endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
    }

    fn forgets(&mut self, peer_id: PeerId, standing: &Standing) {
        self.0
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id: standing.id,
                endpoint: &standing.endpoint,
                cause: None,
                remaining_established: 0,
            }));
    }
}

impl PreferredStreams {
    /// Opens and takes streams.
    pub(crate) fn new_control(&self) -> libp2p_stream::Control {
        self.streams.0.new_control()
    }

    /// Changes the connections of a peer, and what the streams know of them. The new best
    /// one is known before the old one is forgotten: without any, the peer would be dialled.
    fn change(&mut self, peer: PeerId, change: impl FnOnce(&mut Vec<Standing>)) {
        let connections = self.connections.entry(peer).or_default();
        let before = best(connections);
        change(connections);
        let after = best(connections);
        if connections.is_empty() {
            self.connections.remove(&peer);
        }
        let id = |standing: &Option<Standing>| standing.as_ref().map(|standing| standing.id);
        if id(&before) == id(&after) {
            return;
        }
        if let Some(after) = &after {
            self.streams.knows(peer, after);
        }
        if let Some(before) = &before {
            self.streams.forgets(peer, before);
        }
    }
}

/// The oldest of those with the best rank.
fn best(connections: &[Standing]) -> Option<Standing> {
    connections.iter().min_by_key(|standing| standing.rank).cloned()
}

impl NetworkBehaviour for PreferredStreams {
    type ConnectionHandler = <libp2p_stream::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = <libp2p_stream::Behaviour as NetworkBehaviour>::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let streams = &mut self.streams.0;
        streams.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let streams = &mut self.streams.0;
        streams.handle_established_outbound_connection(connection, peer, address, role_override, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(opened) => self.change(opened.peer_id, |connections| {
                connections.push(Standing {
                    id: opened.connection_id,
                    rank: Rank::of(opened.endpoint.get_remote_address()),
                    endpoint: opened.endpoint.clone(),
                });
            }),
            FromSwarm::ConnectionClosed(closed) => self.change(closed.peer_id, |connections| {
                connections.retain(|standing| standing.id != closed.connection_id);
            }),
            event => self.streams.0.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.streams
            .0
            .on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.streams.0.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::poll_fn};
    use libp2p::{
        StreamProtocol,
        swarm::{ConnectionHandler, ConnectionHandlerEvent},
    };

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");

    /// A connection, as the swarm makes it.
    struct Connection {
        id: ConnectionId,
        endpoint: ConnectedPoint,
        handler: THandler<PreferredStreams>,
    }

    impl Connection {
        fn open(streams: &mut PreferredStreams, peer: PeerId, number: usize, remote: &str) -> Self {
            let (id, remote) = (ConnectionId::new_unchecked(number), remote.parse().unwrap());
            let local: Multiaddr = "/ip4/10.0.0.7/tcp/1".parse().unwrap();
            let handler = streams.handle_established_inbound_connection(id, peer, &local, &remote);
            let endpoint = ConnectedPoint::Listener {
                local_addr: local,
                send_back_addr: remote,
            };
            streams.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: id,
                endpoint: &endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
            Self {
                id,
                endpoint,
                handler: handler.unwrap(),
            }
        }

        fn close(self, streams: &mut PreferredStreams, peer: PeerId) {
            streams.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: peer,
                connection_id: self.id,
                endpoint: &self.endpoint,
                cause: None,
                remaining_established: 0,
            }));
        }

        /// Whether it was asked to open a stream.
        fn is_asked(&mut self) -> bool {
            let event = poll_fn(|cx| self.handler.poll(cx)).now_or_never();
            matches!(
                event,
                Some(ConnectionHandlerEvent::OutboundSubstreamRequest { .. })
            )
        }
    }

    /// Which of the connections is asked for a stream to the peer.
    fn asked(streams: &PreferredStreams, peer: PeerId, connections: &mut [Connection]) -> Vec<usize> {
        let mut control = streams.new_control();
        let opening = control.open_stream(peer, PROTOCOL);
        assert!(opening.now_or_never().is_none());
        let mut asked = Vec::new();
        for (number, connection) in connections.iter_mut().enumerate() {
            if connection.is_asked() {
                asked.push(number);
            }
        }
        asked
    }

    #[test]
    fn streams_go_over_tcp_where_a_peer_is_connected_over_quic_as_well() {
        for round in 0..20 {
            let (mut streams, peer) = (PreferredStreams::default(), PeerId::random());
            let addresses = ["/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/10.0.0.1/tcp/1"];
            let first = round % 2;
            let mut connections: Vec<_> = [first, 1 - first]
                .iter()
                .map(|which| Connection::open(&mut streams, peer, *which, addresses[*which]))
                .collect();
            let tcp = 1 - first;
            assert_eq!(asked(&streams, peer, &mut connections), [tcp]);
            connections.remove(tcp).close(&mut streams, peer);
            assert_eq!(asked(&streams, peer, &mut connections), [0], "QUIC is left");
        }
    }

    #[test]
    fn of_equal_connections_the_oldest_is_used() {
        let (mut streams, peer) = (PreferredStreams::default(), PeerId::random());
        let mut connections: Vec<_> = (0..5)
            .map(|number| Connection::open(&mut streams, peer, number, "/ip4/10.0.0.1/tcp/1"))
            .collect();
        assert_eq!(asked(&streams, peer, &mut connections), [0]);
        connections.remove(0).close(&mut streams, peer);
        assert_eq!(asked(&streams, peer, &mut connections), [0]);
    }
}
